"""Everything that is recorded on real UTKFace in one go: the experiments, and what they are compared with."""

from __future__ import annotations

from hw1lib.faces.data import FaceDataset
from hw1lib.faces.features import label_noise
from hw1lib.faces.preprocess import feature_table, fitted_preprocessor
from hw1lib.study.comparisons import COMPARISONS, bootstrap, compare
from hw1lib.study.experiments import EXPERIMENTS, run
from hw1lib.study.linear import baselines, compare_normalizers
from hw1lib.study.published import PUBLISHED
from hw1lib.study.results import beside_published
from hw1lib.study.search import search
from hw1lib.study.training import TARGETS
from hw1lib.study.tuning import tune

LONG = 1000  # experiments of so many epochs get one network a fold


def record(ds: FaceDataset, folds=range(10), seeds=range(3), n_jobs: int = -1, progress: bool = True) -> dict:
    """Return all that the notebooks quote.

    Every experiment over the folds, the intervals of what is compared, the baselines, what was tried when tuning and
    in the search for the report's settings, the labels' noise, the variance kept, the normalisers.
    """
    short = {name: experiment for name, experiment in EXPERIMENTS.items() if experiment.epochs < LONG}
    long = {name: experiment for name, experiment in EXPERIMENTS.items() if name not in short}
    results = run(short, ds, folds, seeds, n_jobs, progress=progress)
    results["experiments"] |= run(long, ds, folds, seeds[:1], n_jobs, progress=progress)["experiments"]
    results["experiments"] = {name: results["experiments"][name] for name in EXPERIMENTS}
    results["bootstrap"] = {
        f"{one.first} - {one.second}": [round(end, 5) for end in bootstrap(results, one.first, one.second)]
        for one in COMPARISONS
    }
    for name in EXPERIMENTS:
        for one in results["experiments"][name]["runs"]:
            one.pop("errors", None)  # the same run may stand under two names
            if one["seed"]:  # curves of one network a fold are enough
                one.pop("curves", None)
    results["data"] |= {"source": "stand-in" if ds.is_standin else "UTKFace", "faces_fingerprint": ds.fingerprint}
    results["data"]["set_aside"] = len(ds.skipped)
    table = feature_table(ds, progress)
    results["baselines"] = {target: baselines(table, target, folds) for target in TARGETS}
    results["tuning"] = tune(table, n_jobs=n_jobs, progress=progress)
    results["search"] = search(ds, n_jobs, progress)
    results["label_noise"] = {name: round(value, 4) for name, value in label_noise(table).items()}
    preprocessor = fitted_preprocessor(ds, progress)
    results["variance"] = [float(f"{ratio:.4g}") for ratio in preprocessor.explained_variance_ratio]
    results["normalizers"] = compare_normalizers(ds, progress=progress)
    return results


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
