"""Models without hidden layers, and support vectors, on the folds that the networks get.

They are rows of Runs like any network's, named "mean/age", "linear/age", "largest/race",
"logistic/race", "svm/age" and so on, with 0 epochs.
"""

from __future__ import annotations

import joblib
import numpy as np
import pandas as pd
from scipy import stats
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import TransformedTargetRegressor
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import KFold, PredefinedSplit, RandomizedSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR
from tqdm.auto import tqdm

from hw1lib import faces
from hw1lib.study.comparisons import holm, interval
from hw1lib.study.runs import COLUMNS
from hw1lib.study.training import score

# The budget of the support vectors: settings drawn at random, each trained on some faces of one
# fold of another partition; the best on that fold's validation faces is taken.
SVM_SETTINGS, SVM_FACES, PARTITION = 16, 6_000, 1
SVM_GAMMAS = stats.loguniform(5e-4, 2e-2)
SVM_COSTS = {"age": stats.loguniform(0.3, 10), "race": stats.loguniform(1, 30)}
SVM_WHITENINGS = stats.uniform(0, 0.5)


def baselines(data: faces.Data, target: str, folds=range(10), partition: int = 0) -> pd.DataFrame:
    """Return Runs of what can be told without hidden layers.

    For age always saying the training mean, "mean/age", and linear regression, "linear/age"; for
    the others always saying the largest class, "largest/race", and logistic regression,
    "logistic/race".
    """
    if target == "age":
        models = {"mean": DummyRegressor(), "linear": LinearRegression()}
    else:
        models = {"largest": DummyClassifier(), "logistic": logistic_regression()}
    jobs = [(f"{name}/{target}", models[name], fold) for name in models for fold in folds]
    return pd.DataFrame([_fit(data, target, *job, partition) for job in jobs], columns=COLUMNS)


def logistic_regression():
    """Return a new logistic regression on features that are equally wide."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))


def _fit(data, target: str, name: str, model, fold: int, partition: int) -> dict:
    """Return one row of Runs."""
    train, _, test = data.split(target, fold, partition)
    if len(np.unique(train.y)) == 1:  # of few faces: there is nothing to tell apart
        model = DummyClassifier()
    predicted = model.fit(train.X, train.y).predict(test.X)
    row = {"experiment": name, "target": target, "fold": fold, "seed": 0, "drawn": data.drawn}
    row |= {"train_faces": len(train.X), "epochs": 0, "best_epoch": 0}
    return row | score(target, test.y, predicted) | {"predicted": predicted}


# -- support vectors ------------------------------------------------------------------------------


class Rescale(TransformerMixin, BaseEstimator):
    """``faces.rescale`` as a step of a scikit-learn pipeline."""

    def __init__(self, whitening: float = 0.0):
        self.whitening = whitening

    def fit(self, X, y=None):
        """Keep the training features: ``transform`` takes its numbers from them."""
        self.train_ = faces.Subset(np.asarray(X), None)
        return self

    def transform(self, X):
        """Return features of root mean square 1 over the training faces."""
        given = faces.Subset(np.asarray(X), None)
        return faces.rescale(self.train_, given, whitening=self.whitening)[1].X


def support_vectors(target: str):
    """Return a new support vector machine with an RBF kernel; ages are brought to mean 0, width 1."""
    if target != "age":
        return make_pipeline(Rescale(), SVC(cache_size=1000))
    return make_pipeline(
        Rescale(),
        TransformedTargetRegressor(SVR(cache_size=1000), transformer=StandardScaler()),
    )


def tune_support_vectors(data: faces.Data, target: str, n_jobs: int = -1) -> pd.DataFrame:
    """Return the settings that were tried, the best first: ``gamma, C, whitening, validation``."""
    machine = "transformedtargetregressor__regressor" if target == "age" else "svc"
    drawn = {
        f"{machine}__gamma": SVM_GAMMAS,
        f"{machine}__C": SVM_COSTS[target],
        "rescale__whitening": SVM_WHITENINGS,
    }
    train, validation, _ = data.split(target, 0, PARTITION)
    train = faces.Subset(train.X[:SVM_FACES], train.y[:SVM_FACES])
    X, y = (np.concatenate(both) for both in zip(train, validation, strict=True))
    only = PredefinedSplit(np.repeat([-1, 0], [len(train.y), len(validation.y)]))
    scoring = "neg_root_mean_squared_error" if target == "age" else "accuracy"
    search = RandomizedSearchCV(
        support_vectors(target),
        drawn,
        n_iter=SVM_SETTINGS,
        scoring=scoring,
        n_jobs=n_jobs,
        refit=False,
        cv=only,
        random_state=0,
    ).fit(X, y)
    tried = pd.DataFrame(search.cv_results_).sort_values("rank_test_score", ignore_index=True)
    columns = {f"param_{name}": name.split("__")[-1] for name in drawn}
    tried = tried.rename(columns=columns).astype(dict.fromkeys(columns.values(), float))
    tried["validation"] = tried["mean_test_score"].abs().round(5)
    return tried[["gamma", "C", "whitening", "validation"]]


def support_vector_runs(
    data: faces.Data, target: str, settings, folds=range(10), n_jobs: int = -1
) -> pd.DataFrame:
    """Return Runs of "svm/age" or "svm/race", with a row of ``tune_support_vectors``.

    It takes about a minute a fold for 16,200 faces.
    """
    model = support_vectors(target)
    machine = model[-1].regressor if target == "age" else model[-1]
    machine.set_params(gamma=settings["gamma"], C=settings["C"])
    model[0].set_params(whitening=settings["whitening"])
    task = joblib.delayed(_fit)
    tasks = (task(data, target, f"svm/{target}", model, fold, 0) for fold in folds)
    return pd.DataFrame(joblib.Parallel(n_jobs)(tasks), columns=COLUMNS)


# -- normalisers ----------------------------------------------------------------------------------


def compare_normalizers(
    ds: faces.FaceDataset, n: int = 3000, folds: int = 10, seed: int = 2, progress: bool = True
) -> pd.DataFrame:
    """Return what each normaliser leaves to be told from its features, on ``n`` faces.

    Returns
    -------
    DataFrame
        A row a normaliser and fold: ``normalizer, variance`` (share that 128 components keep),
        ``fold, age`` (test RMSE of linear regression), ``race`` (accuracy of logistic regression).
    """
    rows = np.sort(np.random.default_rng(seed).permutation(len(ds))[:n])
    images, labels = ds.images(rows, progress=progress), ds.labels.iloc[rows]
    splits = list(KFold(min(folds, len(rows)), shuffle=True, random_state=0).split(rows))
    n_components = max(1, min(128, len(rows) // 4))
    results = []
    for name in tqdm(faces.NORMALIZERS, "normalizers", disable=not progress, leave=False):
        preprocessor = faces.Preprocessor(n_components, name).fit(images, progress=False)
        X = preprocessor.transform(images)
        variance = round(float(preprocessor.explained_variance_ratio.sum()), 5)
        for fold, (train, test) in enumerate(splits):
            row = {"normalizer": name, "variance": variance, "fold": fold}
            for target, model in (("age", LinearRegression()), ("race", logistic_regression())):
                y = labels[target].to_numpy()
                if len(np.unique(y[train])) == 1:
                    model = DummyClassifier()
                predicted = model.fit(X[train], y[train]).predict(X[test])
                row[target] = round(score(target, y[test], predicted)["test"], 4)
            results.append(row)
    return pd.DataFrame(results)


def normalizer_table(scores: pd.DataFrame) -> pd.DataFrame:
    """Return each normaliser, and how it compares with "standard", fold by fold.

    Returns
    -------
    DataFrame
        Index the normalisers; ``variance kept``, ``age RMSE``, ``race accuracy``, and of the age's
        RMSE less that of "standard": ``difference, low, high`` (95 %, Student t) and ``p`` (Holm
        1979).
    """
    rows = {}
    standard = scores.loc[scores["normalizer"] == "standard", "age"].to_numpy()
    for name, part in scores.groupby("normalizer", sort=False):
        gaps = part["age"].to_numpy() - standard
        p = np.nan
        if len(gaps) > 1 and gaps.std() > 0:
            p = stats.ttest_1samp(gaps, 0.0).pvalue
        means = part[["variance", "age", "race"]].mean()
        ends = interval(gaps) if name != "standard" else [np.nan] * 3
        rows[name] = [*means, *ends, p]
    columns = ["variance kept", "age RMSE", "race accuracy", "difference", "low", "high", "p"]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    return table.assign(p=holm(table["p"]))
