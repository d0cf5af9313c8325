"""What can be told without hidden layers: baselines of every target, and what the normalisers leave to be told."""

from __future__ import annotations

import joblib
import numpy as np
import pandas as pd
from scipy import stats
from tqdm.auto import tqdm

from hw1lib.faces.data import FaceDataset
from hw1lib.faces.features import LABELS, near_duplicates, rescale, split
from hw1lib.faces.features import folds as make_folds
from hw1lib.faces.preprocess import NORMALIZERS, Preprocessor
from hw1lib.study.comparisons import holm
from hw1lib.study.results import interval

# The budget of the support vector machine: settings drawn at random from these ranges, the first two on a logarithmic
# scale, each trained on some faces of one fold of another partition; the best on its validation faces is taken.
SVM_SETTINGS, SVM_FACES = 16, 6_000
SVM_GAMMAS, SVM_WHITENINGS = (5e-4, 2e-2), (0.0, 0.5)
SVM_COSTS = {"age": (0.3, 10), "race": (1, 30)}


def baselines(table: pd.DataFrame, target: str, folds=range(10), rows=None) -> dict[str, dict[str, list[float]]]:
    """Return the test metrics of models without hidden layers, on the folds that the networks get.

    ``rows`` are those folds' rows, if they are not the table's own: of features that were made in another way.

    Returns
    -------
    dict
        For age always saying the training mean (``mean``) and linear regression (``linear``); for race and gender
        always saying the largest class (``largest``) and logistic regression (``logistic``). Each a dict of ``test``,
        RMSE or accuracy a fold, and for age ``mae``.
    """
    from sklearn.dummy import DummyClassifier, DummyRegressor

    if rows is None:
        rows = make_folds(near_duplicates(table.iloc[:, len(LABELS) :]))
    found: dict[str, dict[str, list[float]]] = {}
    for fold in folds:
        train, _, test = split(table, target, rows=rows[fold])
        models = {"mean": DummyRegressor()} if target == "age" else {"largest": DummyClassifier()}
        models["linear" if target == "age" else "logistic"] = _linear_model(target, train.y)
        for name, model in models.items():
            predicted = model.fit(train.X, train.y).predict(test.X)
            kept = found.setdefault(name, {})
            kept.setdefault("test", []).append(round(_metric(target, test.y, predicted), 5))
            if target == "age":
                kept.setdefault("mae", []).append(round(float(np.mean(np.abs(predicted - test.y))), 5))
    return found


def tune_svm(table: pd.DataFrame, target: str, n_jobs: int = -1, progress: bool = True) -> list[dict]:
    """Return the settings of a support vector machine that were tried, the best first: see ``SVM_SETTINGS``.

    Returns
    -------
    list of dict
        ``gamma``, ``C`` and ``whitening``, and ``validation``: RMSE in years, or accuracy.
    """
    rows = make_folds(near_duplicates(table.iloc[:, len(LABELS) :]), 1, seed=1)[0]  # the partition of ``study.tuning``
    rng, tried = np.random.default_rng(0), []
    for _ in range(SVM_SETTINGS):
        gamma, C = np.exp(rng.uniform(*np.log([SVM_GAMMAS, SVM_COSTS[target]]).T))
        whitening = rng.uniform(*SVM_WHITENINGS)
        tried.append({"gamma": float(f"{gamma:.2g}"), "C": float(f"{C:.2g}"), "whitening": float(f"{whitening:.2f}")})
    jobs = [(how, (rows[0][:SVM_FACES], rows[1], rows[1])) for how in tried]
    scores = _svms(jobs, table, target, n_jobs, progress)
    found = [how | {"validation": score["test"]} for how, score in zip(tried, scores, strict=True)]
    return sorted(found, key=lambda one: one["validation"], reverse=target != "age")


def svm(
    table: pd.DataFrame, target: str, how: dict, folds=range(10), n_jobs: int = -1, progress: bool = True
) -> dict[str, list[float]]:
    """Return the test metrics of a support vector machine with an RBF kernel, as ``baselines`` returns a model's.

    ``how`` holds ``gamma``, ``C`` and ``whitening``. It takes about a minute a fold for 16,200 faces.
    """
    rows = make_folds(near_duplicates(table.iloc[:, len(LABELS) :]))
    scores = _svms([(how, rows[fold]) for fold in folds], table, target, n_jobs, progress)
    return {name: [one[name] for one in scores] for name in scores[0]}


def _svms(jobs, table, target, n_jobs, progress) -> list[dict[str, float]]:
    tasks = (joblib.delayed(_svm)(table, target, *job) for job in jobs)
    done = joblib.Parallel(n_jobs, return_as="generator")(tasks)
    return list(tqdm(done, "support vectors", len(jobs), unit="run", disable=not progress, leave=False))


def _svm(table, target, how, rows) -> dict[str, float]:
    from sklearn.svm import SVC, SVR

    train, _, test = rescale(*split(table, target, rows=rows), whitening=how["whitening"])
    mean, spread = (train.y.mean(), train.y.std()) if target == "age" else (0, 1)
    model = (SVR if target == "age" else SVC)(gamma=how["gamma"], C=how["C"], cache_size=1000)
    predicted = model.fit(train.X, (train.y - mean) / spread).predict(test.X) * spread + mean
    score = {"test": round(_metric(target, test.y, predicted), 5)}
    if target == "age":
        score["mae"] = round(float(np.mean(np.abs(predicted - test.y))), 5)
    return score


def compare_normalizers(ds: FaceDataset, n: int = 3000, folds: int = 10, seed: int = 2, progress: bool = True) -> dict:
    """Return what each normaliser leaves to be told from its features, on ``n`` faces drawn at random.

    Returns
    -------
    dict
        Normaliser -> ``variance`` (share that 128 components keep), ``age`` (test RMSE of linear regression in each
        fold) and ``race`` (accuracy of logistic regression in each fold).
    """
    from sklearn.model_selection import KFold

    rows = np.sort(np.random.default_rng(seed).permutation(len(ds))[:n])
    images, labels = ds.images(rows, progress=progress), ds.labels.iloc[rows]
    parts = list(KFold(min(folds, len(rows)), shuffle=True, random_state=0).split(rows))
    found: dict[str, dict] = {}
    for name in NORMALIZERS:
        preprocessor = Preprocessor(max(1, min(128, len(rows) // 4)), name).fit(images, progress=progress)
        X = preprocessor.transform(images)
        found[name] = {"variance": round(float(preprocessor.explained_variance_ratio.sum()), 5)}
        for target in ("age", "race"):
            y = labels[target].to_numpy()
            found[name][target] = [
                round(
                    _metric(target, y[test], _linear_model(target, y[train]).fit(X[train], y[train]).predict(X[test])),
                    4,
                )
                for train, test in parts
            ]
    return found


def normalizer_table(scores: dict) -> pd.DataFrame:
    """Return what ``compare_normalizers`` found as a table: each normaliser, and how it compares with "standard".

    Returns
    -------
    DataFrame
        Index the normalisers; ``variance kept``, ``age RMSE``, ``race accuracy``, and of the age's RMSE less that of
        "standard", fold by fold: ``difference, low, high`` (95 %, Student t) and ``p`` (Holm 1979).
    """
    rows = {}
    for name, score in scores.items():
        gaps = np.subtract(score["age"], scores["standard"]["age"])
        p = stats.ttest_1samp(gaps, 0.0).pvalue if len(gaps) > 1 and gaps.std() > 0 else np.nan
        rows[name] = score["variance"], np.mean(score["age"]), np.mean(score["race"]), *interval(gaps), p
    columns = ["variance kept", "age RMSE", "race accuracy", "difference", "low", "high", "p"]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    table.loc["standard", ["difference", "low", "high"]] = np.nan
    return table.assign(p=holm(table["p"]))


def _linear_model(target: str, y):
    """Return linear regression for age, logistic regression for classes; where all are one class, that class."""
    from sklearn.dummy import DummyClassifier
    from sklearn.linear_model import LinearRegression, LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if target == "age":
        return LinearRegression()
    if len(np.unique(y)) == 1:
        return DummyClassifier()
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))


def _metric(target: str, true, predicted) -> float:
    """Return RMSE for age, accuracy for classes."""
    return float(np.sqrt(np.mean((predicted - true) ** 2)) if target == "age" else np.mean(predicted == true))
