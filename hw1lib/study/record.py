"""Everything that is recorded on real UTKFace in one go: the experiments, and what they are compared with."""

from __future__ import annotations

from hw1lib.faces.data import FaceDataset
from hw1lib.faces.features import label_noise
from hw1lib.faces.preprocess import feature_table, fitted_preprocessor
from hw1lib.study.experiments import EXPERIMENTS, run
from hw1lib.study.linear import baselines, compare_normalizers
from hw1lib.study.published import PUBLISHED
from hw1lib.study.results import AS_PUBLISHED, beside_published, ranking_verdicts
from hw1lib.study.training import TARGETS


def record(ds: FaceDataset, seeds=range(10), n_jobs: int = -1, progress: bool = True) -> dict:
    """Return all that the notebooks quote: every experiment, the baselines, the variance kept, the normalisers."""
    table = feature_table(ds, progress)
    results = run(EXPERIMENTS, table, seeds, n_jobs, progress=progress)
    results["data"] |= {"source": "stand-in" if ds.is_standin else "UTKFace", "faces_fingerprint": ds.fingerprint}
    results["data"]["set_aside"] = len(ds.skipped)
    results["baselines"] = {target: baselines(table, target, seeds) for target in TARGETS}
    results["label_noise"] = {name: round(value, 4) for name, value in label_noise(table).items()}
    preprocessor = fitted_preprocessor(ds, progress)
    results["variance"] = [float(f"{ratio:.4g}") for ratio in preprocessor.explained_variance_ratio]
    results["normalizers"] = compare_normalizers(ds, progress=progress)
    return results


def summary(results: dict) -> str:
    """Return the tables that ``python -m hw1lib reproduce`` prints: published | recorded | verdict."""
    n = len(next(iter(results["experiments"].values()))["runs"])
    numbers = beside_published(PUBLISHED, {"experiments": {}}, results).drop(columns="this run")
    numbers.columns = numbers.columns.str.replace("UTKFace", results["data"]["source"])
    parts = [f"Mean test RMSE (years) or accuracy over {n} seeds, ± its 95 % interval", numbers.to_string()]
    for title, variant in (("trained properly", ""), ("as published", AS_PUBLISHED)):
        table = ranking_verdicts(results, variant)
        parts += [f"The report's rankings, {title}, paired over {n} seeds", table.to_string()]
    return "\n\n".join(parts)
