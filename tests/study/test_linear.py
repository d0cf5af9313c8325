"""What needs no hidden layer, and what near-duplicates change."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from hw1lib.study import linear, record


def test_normalizers_are_compared_with_standard_fold_by_fold():
    scores = {
        "standard": {"variance": 0.9, "age": [10.0, 11.0, 12.0], "race": [0.5, 0.5, 0.8]},
        "l2": {"variance": 0.8, "age": [10.5, 11.4, 12.6], "race": [0.5, 0.5, 0.5]},
        "unit": {"variance": 0.7, "age": [10.1, 10.9, 12.3], "race": [0.5, 0.5, 0.5]},
    }
    table = linear.normalizer_table(scores)
    assert table.loc["standard", ["variance kept", "age RMSE", "race accuracy"]].tolist() == pytest.approx(
        [0.9, 11, 0.6]
    )
    assert table.loc["standard", ["difference", "low", "high", "p"]].isna().all()
    gaps = np.array([0.5, 0.4, 0.6])
    expected = stats.ttest_1samp(gaps, 0)
    assert table.loc["l2", "difference"] == pytest.approx(0.5)
    assert table.loc["l2", ["low", "high"]].tolist() == pytest.approx(list(expected.confidence_interval()))
    assert table.loc["l2", "p"] == pytest.approx(2 * expected.pvalue)  # the smaller of two


def test_twins_on_both_sides_flatter(table):
    some = table.iloc[:40].assign(age=lambda faces: faces["age"] + 40)  # far from what their features tell
    twice = pd.concat([table, some, some, some], ignore_index=True)
    found = record.twins(twice, seeds=range(1), n_jobs=1, progress=False)
    assert found["with a twin"]["faces"] + found["others"]["faces"] == found["all"]["faces"] <= len(twice)
    assert found["with a twin"]["faces"] >= 150
    for numbers in found.values():
        assert numbers["mean"] == pytest.approx(numbers["random"] - numbers["together"], abs=2e-4)
        assert numbers["low"] < numbers["mean"] < numbers["high"]
    assert found["with a twin"]["high"] < 0


def test_baselines_on_rows_that_are_given(table):
    train, _, test = np.split(np.random.default_rng(5).permutation(len(table)), [200, 220])
    found = linear.baselines(table, "age", [0], [(train, train, test)])
    X, y = np.c_[table.iloc[:, 4:].to_numpy(float), np.ones(len(table))], table["age"].to_numpy()
    solution = np.linalg.lstsq(X[train], y[train], rcond=None)[0]
    errors = X[test] @ solution - y[test]
    assert found["linear"]["test"] == pytest.approx([np.sqrt(np.mean(errors**2))], rel=1e-3)
    assert found["mean"]["mae"] == pytest.approx([np.mean(np.abs(y[test] - y[train].mean()))], rel=1e-4)
