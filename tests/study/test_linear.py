"""What needs no hidden layer, and what near-duplicates change."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.compose import TransformedTargetRegressor
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR

from hw1lib import faces
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


@pytest.mark.parametrize("target", ["age", "race"])
def test_support_vectors_are_tuned_and_tested_on_the_folds_of_the_networks(table, target, monkeypatch):
    monkeypatch.setattr(linear, "SVM_SETTINGS", 4)
    tried = linear.tune_svm(table, target, n_jobs=1, progress=False)
    scores = [one["validation"] for one in tried]
    assert scores == sorted(scores, reverse=target == "race")
    assert len({one["gamma"] for one in tried}) == 4
    rows = faces.folds(faces.near_duplicates(table.iloc[:, 4:]), 1, seed=1)[0]  # not the folds that are reported
    again = linear._svm(table, target, tried[0], (rows[0], rows[1], rows[1]))
    assert scores[0] == again["test"]
    found = linear.svm(table, target, tried[0], [0, 2], n_jobs=1, progress=False)
    train, _, test = faces.rescale(*faces.split(table, target, 2), whitening=tried[0]["whitening"])
    if target == "age":  # by hand: ages of mean 0 and standard deviation 1
        scaler = TransformedTargetRegressor(SVR(C=tried[0]["C"], gamma=tried[0]["gamma"]), transformer=StandardScaler())
        errors = scaler.fit(train.X, train.y.astype(float)).predict(test.X) - test.y
        assert found["test"][1] == pytest.approx(np.sqrt(np.mean(errors**2)), abs=1e-4)
        assert found["mae"][1] == pytest.approx(np.mean(np.abs(errors)), abs=1e-4)
    else:
        machine = SVC(C=tried[0]["C"], gamma=tried[0]["gamma"]).fit(train.X, train.y)
        assert found == {"test": [found["test"][0], pytest.approx(machine.score(test.X, test.y), abs=1e-4)]}


def test_errors_by_group_count_every_tested_face_once(table):
    rng, rows = np.random.default_rng(0), faces.folds(faces.near_duplicates(table.iloc[:, 4:]), 2)
    runs = [
        {"fold": f, "seed": s, "errors": rng.normal(0, 9, len(rows[f][2])).tolist()} for f in (0, 1) for s in (0, 1)
    ]
    found = record.by_group({"experiments": {"it": {"runs": runs}}}, "it", table, rows)
    true = pd.DataFrame({"face": [*rows[0][2], *rows[1][2]], "error": runs[0]["errors"] + runs[2]["errors"]})
    true["race"] = table["race"].to_numpy()[true["face"]]
    expected = true.groupby("race")["error"].apply(lambda errors: np.sqrt(np.mean(errors**2)))
    assert found["race label"]["group"] == expected.index.tolist()
    assert found["race label"]["value"] == pytest.approx(expected.tolist(), abs=1e-4)
    assert sum(found["age decade"]["n"]) == len(true)
    assert set(found["age decade"]["group"]) <= set(range(0, 120, 10))


def test_baselines_on_rows_that_are_given(table):
    train, _, test = np.split(np.random.default_rng(5).permutation(len(table)), [200, 220])
    found = linear.baselines(table, "age", [0], [(train, train, test)])
    X, y = np.c_[table.iloc[:, 4:].to_numpy(float), np.ones(len(table))], table["age"].to_numpy()
    solution = np.linalg.lstsq(X[train], y[train], rcond=None)[0]
    errors = X[test] @ solution - y[test]
    assert found["linear"]["test"] == pytest.approx([np.sqrt(np.mean(errors**2))], rel=1e-3)
    assert found["mean"]["mae"] == pytest.approx([np.mean(np.abs(y[test] - y[train].mean()))], rel=1e-4)
