"""What these tests share: made-up Runs, and an experiment that trains in a moment."""

import numpy as np
import pandas as pd
import pytest

from hw1lib.study import Experiment


@pytest.fixture(scope="session")
def short():
    return Experiment("a test", hidden=(4,), epochs=3, learning_rate=1e-3)


@pytest.fixture(scope="session")
def made_up():
    """Return a function that makes Runs: name -> test results, (folds,) or (folds, networks)."""

    def make(tests: dict, target: str = "age", **columns) -> pd.DataFrame:
        rows = []
        for name, folds in tests.items():
            for fold, networks in enumerate(folds):
                for seed, test in enumerate(np.atleast_1d(networks)):
                    row = {"experiment": name, "target": target, "fold": fold, "seed": seed}
                    mae = 0.75 * test if target == "age" else np.nan
                    rows.append(row | {"test": test, "mae": mae, "drawn": False, "curve": None})
        names = ["experiment", "target", "fold", "seed", "test", "mae", "drawn", "curve"]
        return pd.DataFrame(rows, columns=names).assign(**columns)

    return make
