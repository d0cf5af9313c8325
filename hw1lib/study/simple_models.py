"""Models without hidden layers, on the folds that the networks get.

They are rows of Runs like any network's, named "mean/age", "linear/age", "largest/race",
"logistic/race" and so on, with 0 epochs.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hw1lib import faces
from hw1lib.progress import bar
from hw1lib.study.comparisons import holm, interval, p_value
from hw1lib.study.runs import COLUMNS
from hw1lib.study.training import score


def baselines(data: faces.Data, target: str, folds=range(10)) -> pd.DataFrame:
    """Return Runs of what can be told without hidden layers.

    For age "mean/age", always the training mean, and linear regression, "linear/age"; for the
    others "largest/race", always the largest class, and logistic regression, "logistic/race".
    """
    if target == "age":
        models = {"mean": DummyRegressor(), "linear": LinearRegression()}
    else:
        models = {"largest": DummyClassifier(), "logistic": logistic_regression()}
    rows = []
    for name, model in models.items():
        for fold in folds:
            train, _, test = data.split(target, fold)
            predicted = _predicted(model, train.X, train.y, test.X)
            row = {"experiment": f"{name}/{target}", "target": target, "fold": fold, "seed": 0}
            row |= {"drawn": data.drawn, "train_faces": len(train.X), "epochs": 0, "best_epoch": 0}
            rows.append(row | score(target, test.y, predicted) | {"predicted": predicted})
    return pd.DataFrame(rows, columns=COLUMNS)


def logistic_regression():
    """Return a new logistic regression on features that are equally wide."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))


def _predicted(model, X, y, X_test):
    if len(np.unique(y)) == 1:  # of few faces: there is nothing to tell apart
        model = DummyClassifier()
    return model.fit(X, y).predict(X_test)


# -- normalisers ----------------------------------------------------------------------------------


def compare_normalizers(ds: faces.FaceDataset, n: int = 3000) -> pd.DataFrame:
    """Return what each normaliser leaves to be told from its features, on ``n`` faces.

    A row a normaliser and fold: ``normalizer, variance`` (share that 128 components keep), ``fold,
    age`` (test RMSE of linear regression), ``race`` (accuracy of logistic regression).
    """
    rows = np.sort(np.random.default_rng(2).permutation(len(ds))[:n])
    images, labels = ds.images(rows, progress=True), ds.labels.iloc[rows]
    splits = list(KFold(min(10, len(rows)), shuffle=True, random_state=0).split(rows))
    n_components = max(1, min(128, len(rows) // 4))
    results = []
    for name in bar(faces.NORMALIZERS, "normalizers"):
        preprocessor = faces.Preprocessor(n_components, name).fit(images, progress=False)
        X = preprocessor.transform(images)
        variance = round(float(preprocessor.explained_variance_ratio.sum()), 5)
        for fold, (train, test) in enumerate(splits):
            row = {"normalizer": name, "variance": variance, "fold": fold}
            for target, model in (("age", LinearRegression()), ("race", logistic_regression())):
                y = labels[target].to_numpy()
                predicted = _predicted(model, X[train], y[train], X[test])
                row[target] = round(score(target, y[test], predicted)["test"], 4)
            results.append(row)
    return pd.DataFrame(results)


def normalizer_table(scores: pd.DataFrame) -> pd.DataFrame:
    """Return each normaliser, and how it compares with "standard", fold by fold.

    Index the normalisers; ``variance kept``, ``age RMSE``, ``race accuracy``, and of the age's RMSE
    less that of "standard": ``difference, low, high`` (95 %, Student t) and ``p`` (Holm 1979).
    """
    rows = {}
    standard = scores.loc[scores["normalizer"] == "standard", "age"].to_numpy()
    for name, part in scores.groupby("normalizer", sort=False):
        gaps = part["age"].to_numpy() - standard
        means = part[["variance", "age", "race"]].mean()
        ends = interval(gaps) if name != "standard" else [np.nan] * 3
        rows[name] = [*means, *ends, p_value(gaps)]
    columns = ["variance kept", "age RMSE", "race accuracy", "difference", "low", "high", "p"]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    return table.assign(p=holm(table["p"]))
