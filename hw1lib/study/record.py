"""Everything that is recorded on real UTKFace in one go: the experiments, and what they are compared with."""

from __future__ import annotations

import numpy as np
import pandas as pd

from hw1lib.faces.data import FaceDataset
from hw1lib.faces.features import split
from hw1lib.faces.preprocess import NORMALIZERS, Preprocessor, feature_table, fitted_preprocessor
from hw1lib.study.experiments import EXPERIMENTS, TARGETS, run
from hw1lib.study.published import PUBLISHED
from hw1lib.study.results import AS_PUBLISHED, beside_published, rankings


def baselines(table: pd.DataFrame, target: str, seeds=range(10)) -> dict[str, list[float]]:
    """Return the test metric of models without hidden layers, one a seed, on the splits that the networks get.

    Returns
    -------
    dict
        For age the RMSE of always saying the training mean (``mean``) and of linear regression (``linear``); for race
        and gender the accuracy of always saying the largest class (``largest``) and of logistic regression
        (``logistic``).
    """
    from sklearn.dummy import DummyClassifier, DummyRegressor
    from sklearn.linear_model import LinearRegression

    models: dict = {"mean": DummyRegressor(), "linear": LinearRegression()}
    if target != "age":
        models = {"largest": DummyClassifier(), "logistic": _logistic()}
    found: dict[str, list[float]] = {name: [] for name in models}
    for seed in seeds:
        train_part, _, test = split(table, target, seed)
        for name, model in models.items():
            predicted = model.fit(train_part.X, train_part.y).predict(test.X)
            score = np.sqrt(np.mean((predicted - test.y) ** 2)) if target == "age" else np.mean(predicted == test.y)
            found[name].append(round(float(score), 5))
    return found


def _logistic():
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))


def compare_normalizers(ds: FaceDataset, n: int = 3000, folds: int = 10, seed: int = 2, progress: bool = True) -> dict:
    """Return what each normaliser leaves to be told from its features, on ``n`` faces drawn at random.

    Returns
    -------
    dict
        Normaliser -> ``variance`` (share that 128 components keep), ``age`` (test RMSE of linear regression in each
        fold) and ``race`` (accuracy of logistic regression in each fold).
    """
    from sklearn.linear_model import LinearRegression
    from sklearn.model_selection import KFold, cross_val_score

    rows = np.sort(np.random.default_rng(seed).permutation(len(ds))[:n])
    images, labels = ds.images(rows, progress=progress), ds.labels.iloc[rows]
    parts, found = KFold(folds, shuffle=True, random_state=0), {}
    for name in NORMALIZERS:
        preprocessor = Preprocessor(min(128, len(rows) // 4), name).fit(images, progress=progress)
        X = preprocessor.transform(images)
        age = cross_val_score(LinearRegression(), X, labels["age"], cv=parts, scoring="neg_root_mean_squared_error")
        race = cross_val_score(_logistic(), X, labels["race"], cv=parts)
        found[name] = {
            "variance": round(float(preprocessor.explained_variance_ratio.sum()), 5),
            "age": (-age).round(4).tolist(),
            "race": race.round(4).tolist(),
        }
    return found


def record(ds: FaceDataset, seeds=range(10), n_jobs: int = -1, progress: bool = True) -> dict:
    """Return all that the notebooks quote: every experiment, the baselines, the variance kept, the normalisers."""
    table = feature_table(ds, progress)
    results = run(EXPERIMENTS, table, seeds, n_jobs, progress=progress)
    results["data"] |= {"source": "stand-in" if ds.is_standin else "UTKFace", "faces_fingerprint": ds.fingerprint}
    results["data"]["set_aside"] = len(ds.skipped)
    results["baselines"] = {target: baselines(table, target, seeds) for target in TARGETS}
    preprocessor = fitted_preprocessor(ds, progress)
    results["variance"] = [float(f"{ratio:.4g}") for ratio in preprocessor.explained_variance_ratio]
    results["normalizers"] = compare_normalizers(ds, progress=progress)
    return results


def summary(results: dict) -> str:
    """Return the tables that ``python -m hw1lib reproduce`` prints: published | recorded | verdict."""
    n = len(next(iter(results["experiments"].values()))["runs"])
    numbers = beside_published(PUBLISHED, {"experiments": {}}, results).drop(columns="this run")
    parts = [f"Mean test RMSE (years) or accuracy over {n} seeds, ± its 95 % interval", numbers.to_string()]
    for title, variant in (("trained properly", ""), ("as published", AS_PUBLISHED)):
        parts += [f"The report's rankings, {title}, paired over {n} seeds", rankings(results, variant).to_string()]
    return "\n\n".join(parts)
