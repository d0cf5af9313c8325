"""A cache folder of its own for every test, and a small table of features."""

import numpy as np
import pandas as pd
import pytest

from hw1lib.faces.features import feature_names


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HW1_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="session")
def small_table():
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
