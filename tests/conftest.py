"""What all tests share: a cache of their own, a folder of faces, and made-up data."""

import numpy as np
import pandas as pd
import pytest


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Give each test a cache folder of its own, and no data but the stand-in."""
    monkeypatch.setenv("HW1_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HW1_DATA", raising=False)
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def faces_folder(tmp_path_factory):
    """Return a folder with 23 drawn faces, named as UTKFace's; to be read only."""
    from hw1lib.faces import standin

    return standin.make(tmp_path_factory.mktemp("drawn") / "faces", 23, n_jobs=1, progress=False)


@pytest.fixture(scope="session")
def table():
    """Return 300 made-up faces with 6 features: the first tells the age, the second the race."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 6)).astype(np.float32)
    labels = {
        "file": [f"{i}.jpg" for i in range(300)],
        "age": np.clip(np.rint(35 + 15 * X[:, 0] + rng.normal(0, 4, 300)), 1, 116).astype(int),
        "gender": (X[:, 2] + rng.normal(0, 0.5, 300) > 0).astype(int),
        "race": np.digitize(X[:, 1], [-1, -0.3, 0.3, 1]),
    }
    features = pd.DataFrame(X, columns=[f"f{i:03d}" for i in range(6)])
    return pd.concat([pd.DataFrame(labels), features], axis=1)


@pytest.fixture(scope="session")
def data(table):
    """Return these faces as they are trained on."""
    from hw1lib.faces import Data

    return Data.from_table(table)
