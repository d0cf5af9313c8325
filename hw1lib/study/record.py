"""Everything that is recorded on real UTKFace in one go: the experiments, and what they are compared with."""

from __future__ import annotations

from dataclasses import replace

import joblib
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from hw1lib.faces.data import FaceDataset
from hw1lib.faces.features import LABELS, label_noise, near_duplicates
from hw1lib.faces.features import folds as make_folds
from hw1lib.faces.kept import feature_table, fitted_preprocessor
from hw1lib.faces.preprocess import NORMALIZERS
from hw1lib.study import tuning
from hw1lib.study.comparisons import COMPARISONS, bootstrap, compare
from hw1lib.study.experiments import CONV, EXPERIMENTS, PIXELS, START, TUNED, run
from hw1lib.study.linear import baselines, compare_normalizers, svm, tune_svm
from hw1lib.study.published import PUBLISHED
from hw1lib.study.results import beside_published, rmse_by_group
from hw1lib.study.search import FITTED, FOLDS, MOST_EPOCHS, RATES, SCALES, search
from hw1lib.study.training import TARGETS, train

LONG = 1000  # experiments of so many epochs get one network a fold, and those on pixels
BY_GROUP = "conv/age", "depth/64-16", "width/64"  # whose errors are kept by group of faces
SVM_SECONDS = 3000  # on one core, for 20,000 faces: support vectors take no epochs
FEATURES = 15  # sets of features beside the main one, four normalisers' and ten folds': about a minute each


def estimated_hours(table: pd.DataFrame, folds=range(10), seeds=range(3), n_jobs: int = -1) -> float:
    """Return about how long ``record`` takes if nothing of it is kept yet, from a few epochs that are timed."""
    of_features = [e for e in EXPERIMENTS.values() if not e.filters]
    epochs = sum(e.epochs * len(folds) * (len(seeds) if e.epochs < LONG else 1) for e in of_features)
    epochs += 10 * len(seeds) * EXPERIMENTS["width/64"].epochs  # again, near-duplicates on both sides
    tried = tuning.SETTINGS * tuning.FIRST_FOLDS + tuning.BEST * (tuning.FOLDS - tuning.FIRST_FOLDS)
    epochs += len(TUNED) * tried * START.epochs
    epochs += len(NORMALIZERS) * len(SCALES) * len(RATES) * len(FITTED) * FOLDS * MOST_EPOCHS
    epochs_of_pixels = len(CONV) * (len(folds) + tuning.CONV_SETTINGS) * PIXELS.epochs
    rng, some = np.random.default_rng(0), 3 * PIXELS.batch_size
    pictures = rng.integers(0, 256, (some, *PIXELS.config()["picture"]), np.uint8)
    with threadpool_limits(1, "blas"):
        one = train(replace(START, epochs=3), table)[1].seconds[-1] / 3
        of_some = PIXELS.network().fit(pictures, rng.random(some), epochs=1, schedule=1e-9, progress=False).seconds[0]
    training = epochs * one + epochs_of_pixels * of_some * 0.81 * len(table) / some
    svms = SVM_SECONDS * len(table) / 20_000
    return ((training + svms) / joblib.effective_n_jobs(n_jobs) + 60 * FEATURES * len(table) / 20_000) / 3600


def record(ds: FaceDataset, folds=range(10), seeds=range(3), n_jobs: int = -1, progress: bool = True) -> dict:
    """Return all that the notebooks quote.

    Every experiment over the folds, the intervals of what is compared, errors by group, the baselines, what was tried
    when tuning and in the search for the report's settings, the labels' noise, what near-duplicates on both sides
    change, the variance kept, the normalisers.
    """
    short = {name: e for name, e in EXPERIMENTS.items() if e.epochs < LONG and not e.filters}
    long = {name: experiment for name, experiment in EXPERIMENTS.items() if name not in short}
    results = run(short, ds, folds, seeds, n_jobs, progress=progress)
    results["experiments"] |= run(long, ds, folds, seeds[:1], n_jobs, progress=progress)["experiments"]
    results["experiments"] = {name: results["experiments"][name] for name in EXPERIMENTS}
    results["bootstrap"] = {
        f"{one.first} - {one.second}": [round(end, 5) for end in bootstrap(results, one.first, one.second)]
        for one in COMPARISONS
    }
    table = feature_table(ds, progress)
    rows = make_folds(near_duplicates(table.iloc[:, len(LABELS) :]))
    results["by_group"] = {name: by_group(results, name, table, rows) for name in BY_GROUP}
    for name in EXPERIMENTS:
        for one in results["experiments"][name]["runs"]:
            one.pop("errors", None)  # the same run may stand under two names
            if one["seed"]:  # curves of one network a fold are enough
                one.pop("curves", None)
    results["data"] |= {"source": "stand-in" if ds.is_standin else "UTKFace", "faces_fingerprint": ds.fingerprint}
    results["data"]["set_aside"] = len(ds.skipped)
    results["baselines"] = {target: baselines(table, target, folds) for target in TARGETS}
    results["svm"] = {target: tune_svm(table, target, n_jobs, progress) for target in ("age", "race")}
    for target, tried in results["svm"].items():
        results["baselines"][target]["svm"] = svm(table, target, tried[0], folds, n_jobs, progress)
    l2 = baselines(feature_table(ds, progress, "l2"), "age", folds, rows)  # the features that "as published" gets
    results["baselines"]["age"]["linear, l2"] = l2["linear"]
    results["tuning"] = tuning.tune(ds, n_jobs=n_jobs, progress=progress)
    results["search"] = search(ds, n_jobs, progress)
    results["label_noise"] = {name: round(value, 4) for name, value in label_noise(table).items()}
    results["twins"] = twins(table, seeds, n_jobs, progress)
    preprocessor = fitted_preprocessor(ds, progress)
    results["variance"] = [float(f"{ratio:.4g}") for ratio in preprocessor.explained_variance_ratio]
    results["normalizers"] = compare_normalizers(ds, progress=progress)
    return results


def by_group(results: dict, name: str, table: pd.DataFrame, rows) -> dict[str, dict]:
    """Return the test RMSE of an experiment on age by group of faces, all folds together, of one network each.

    Parameters
    ----------
    results : dict
        With ``errors``.
    name : str
    table : DataFrame
    rows : list
        Of the folds.

    Returns
    -------
    dict
        "age decade", "gender label", "race label" -> columns of ``rmse_by_group`` as JSON has them, and ``group``.
    """
    runs = [run for run in results["experiments"][name]["runs"] if run["seed"] == 0]
    errors = np.concatenate([run["errors"] for run in runs])
    tested = table.iloc[np.concatenate([rows[run["fold"]][2] for run in runs])]
    groups = {"age decade": tested["age"] // 10 * 10, "gender label": tested["gender"], "race label": tested["race"]}
    found = {}
    for kind, group in groups.items():
        of = rmse_by_group(np.zeros(len(errors)), errors, group)
        found[kind] = {"group": [int(one) for one in of.index], "n": [int(n) for n in of["n"]]}
        found[kind] |= {column: [round(one, 4) for one in of[column]] for column in ("value", "low", "high")}
    return found


def twins(table: pd.DataFrame, seeds=range(3), n_jobs: int = -1, progress: bool = True) -> dict[str, dict]:
    """Return the test RMSE of ``width/64`` with folds drawn at random, and with near-duplicates kept together.

    Each face is in one test of either kind, so that both are measured on the same faces.

    Returns
    -------
    dict
        For all faces, those with a near-duplicate, and the others: ``faces``, ``random``, ``together`` (years), and of
        the difference ``mean, low, high`` (95 %, over the groups of near-duplicates).
    """
    groups = near_duplicates(table.iloc[:, len(LABELS) :])
    squares = []
    for apart in (np.arange(len(table)), groups):
        rows, square = make_folds(apart), np.full(len(table), np.nan)
        runs = run("width/64", table, range(10), seeds, n_jobs, progress=progress, rows=rows)["experiments"]["width/64"]
        for fold, (_, _, test) in enumerate(rows):
            errors = [one["errors"] for one in runs["runs"] if one["fold"] == fold]
            square[test] = np.mean(np.square(errors), axis=0)
        squares.append(square)
    twin = np.bincount(groups)[groups] > 1
    tested = np.isfinite(sum(squares))  # a face that found no room in a fold's test is in none
    found = {}
    for name, chosen in (("all", tested), ("with a twin", tested & twin), ("others", tested & ~twin)):
        a, b = (square[chosen] for square in squares)
        sizes, n = np.bincount(groups[chosen]), len(a)
        random, together = (float(np.sqrt(np.mean(square))) for square in (a, b)) if n else (np.nan, np.nan)
        sums = np.bincount(groups[chosen], a - b) - sizes * (np.mean(a - b) if n else 0)
        half = 1.96 * float(np.sqrt(np.sum(sums**2))) / (n * (random + together)) if n else np.nan
        mean = random - together
        numbers = {"random": random, "together": together, "mean": mean, "low": mean - half, "high": mean + half}
        found[name] = {"faces": n} | {key: round(number, 4) for key, number in numbers.items()}
    return found


def summary(results: dict) -> str:
    """Return the tables that ``python -m hw1lib reproduce`` prints: published | recorded, and the comparisons."""
    numbers = beside_published(PUBLISHED, {"experiments": {}}, results).drop(columns="this run")
    numbers.columns = numbers.columns.str.replace("UTKFace", results["data"]["source"])
    compared = compare(results)[["mean", "low", "high", "holm", "verdict"]]
    return "\n\n".join(
        [
            "Mean test RMSE (years) or accuracy over folds, ± half its 95 % interval",
            numbers.to_string(),
            "First less second, paired over the folds; p corrected for all comparisons (Holm 1979)",
            compared.round(3).to_string(),
        ]
    )
