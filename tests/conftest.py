"""What all tests share: a cache of their own, a folder of faces, a table of features."""

import numpy as np
import pandas as pd
import pytest

from hw1lib.faces import standin
from hw1lib.faces.data import FaceDataset
from hw1lib.faces.features import feature_names


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Give each test a cache folder, which is made when it is used, and no data but the stand-in."""
    monkeypatch.setenv("HW1_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HW1_DATA", raising=False)
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def faces_folder(tmp_path_factory):
    """Return a folder with 23 drawn faces, named as UTKFace's; to be read only."""
    return standin.make(tmp_path_factory.mktemp("drawn") / "faces", 23, n_jobs=1, progress=False)


@pytest.fixture(scope="module")
def faces(faces_folder, tmp_path_factory):
    """Return these faces, opened."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HW1_CACHE", str(tmp_path_factory.mktemp("cache")))
        return FaceDataset.open(faces_folder, progress=False)


@pytest.fixture(scope="module")
def table():
    """Return 300 made-up faces with 6 features, of which the first tells the age and the second the race code."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 6)).astype(np.float32)
    labels = {
        "file": [f"{i}.jpg" for i in range(300)],
        "age": np.clip(np.rint(35 + 15 * X[:, 0] + rng.normal(0, 4, 300)), 1, 116).astype(int),
        "gender": (X[:, 2] + rng.normal(0, 0.5, 300) > 0).astype(int),
        "race": np.digitize(X[:, 1], [-1, -0.3, 0.3, 1]),
    }
    return pd.concat([pd.DataFrame(labels), pd.DataFrame(X, columns=feature_names(6))], axis=1)
