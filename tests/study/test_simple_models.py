"""What needs no hidden layer: on the folds of the networks, as by hand and as by scikit-learn."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.preprocessing import StandardScaler

from hw1lib import faces, study
from hw1lib.study import baselines, run


def test_baselines_on_the_folds_of_the_networks(data):
    train, _, test = data.split("age", 1)
    simple = baselines(data, "age", folds=[1, 2]).set_index(["experiment", "fold"])
    errors = test.y - train.y.mean()
    mean = simple.loc[("mean/age", 1)]
    assert mean["mae"] == pytest.approx(np.abs(errors).mean(), abs=1e-5)
    assert mean["test"] == pytest.approx(np.sqrt(np.mean(errors**2)), abs=1e-5)
    A = np.column_stack([np.ones(len(train.X)), train.X])
    weights = np.linalg.lstsq(A, train.y, rcond=None)[0]
    predicted = np.column_stack([np.ones(len(test.X)), test.X]) @ weights
    linear = simple.loc[("linear/age", 1)]
    assert linear["predicted"] == pytest.approx(predicted, abs=1e-3)
    assert linear["test"] == pytest.approx(np.sqrt(np.mean((predicted - test.y) ** 2)), abs=1e-4)
    race = study.fold_means(baselines(data, "race", [1]), "logistic/race")
    assert race[1] > study.fold_means(baselines(data, "race", [1]), "largest/race")[1]


@pytest.mark.parametrize("target", ["gender", "race"])
def test_one_label_is_enough(data, short, target):
    same = replace(data, labels=data.labels.assign(**{target: 0}))
    assert baselines(same, target, [0])["test"].tolist() == [1, 1]
    runs = run({"it": replace(short, target=target)}, same, [0], n_jobs=1, progress=False)
    confusion = study.face_errors(runs, "it", same)
    assert (confusion[target] == 0).all()


def test_normalizers_are_compared_as_scikit_learn_would(faces_folder, monkeypatch):
    chosen = {name: faces.NORMALIZERS[name] for name in ("standard", "minmax")}
    monkeypatch.setattr(faces, "NORMALIZERS", chosen)
    ds = faces.open(faces_folder, progress=False)
    scores = study.compare_normalizers(ds, n=20)
    assert scores["normalizer"].tolist() == ["standard"] * 10 + ["minmax"] * 10
    rows = np.sort(np.random.default_rng(2).permutation(23)[:20])
    scaled = StandardScaler().fit_transform(ds.images(rows).astype(float))
    pca = PCA(5, svd_solver="full").fit(scaled)
    standard = scores[scores["normalizer"] == "standard"]
    variance = pca.explained_variance_ratio_.sum()
    assert standard["variance"].iloc[0] == pytest.approx(variance, abs=1e-4)
    X, y = pca.transform(scaled), ds.labels["age"].to_numpy()[rows]
    predicted = cross_val_predict(
        LinearRegression(), X, y, cv=KFold(10, shuffle=True, random_state=0)
    )
    squares = np.sum((predicted - y) ** 2)
    assert np.sum(2 * standard["age"] ** 2) == pytest.approx(squares, rel=1e-2)


def test_normalizers_are_compared_with_standard_fold_by_fold():
    ages = {"standard": [10.0, 11.0, 12.0], "l2": [10.5, 11.4, 12.6], "unit": [10.1, 10.9, 12.3]}
    scores = pd.DataFrame(ages).melt(var_name="normalizer", value_name="age")
    table = study.normalizer_table(scores.assign(variance=0.9, race=0.5))
    assert table.loc["standard"].tolist()[:3] == pytest.approx([0.9, 11, 0.5])
    assert table.loc["standard"][3:].isna().all()
    known = stats.ttest_1samp([0.5, 0.4, 0.6], 0)
    ends = [0.5, *known.confidence_interval(), 2 * known.pvalue]  # the smaller p of two
    assert table.loc["l2"].tolist()[3:] == pytest.approx(ends)
