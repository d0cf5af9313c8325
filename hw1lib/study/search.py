"""Which settings give the report's numbers: whole families are tried, each with one free number, the epochs.

The report does not print its learning rate, its epochs, or how its inputs were scaled. It says that its "normalize"
method was the best choice, that initialisation was random but for Fig. 2.3 and 2.5, that leaky ReLU was used "for all
layers", and that batches hold 128. A family fixes a normaliser, whether the features are scaled to root mean square 1,
and a rate; momentum is 0.9. Its misfit at an epoch is the root mean square, over the seven numbers that are fitted, of
mean test RMSE less published RMSE.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import replace
from typing import Any

import joblib
import numpy as np
from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

from hw1lib.faces.data import FaceDataset
from hw1lib.faces.features import LABELS, folds, near_duplicates
from hw1lib.faces.kept import feature_table
from hw1lib.faces.preprocess import NORMALIZERS
from hw1lib.files import cache_dir, write_atomically
from hw1lib.nn import Constant, TrainingDiverged, Xavier
from hw1lib.study.dependencies import digest
from hw1lib.study.experiments import NEAREST
from hw1lib.study.published import PUBLISHED
from hw1lib.study.training import Experiment, train

FITTED: dict[str, dict[str, Any]] = {  # the seven numbers: what was trained
    "init/xavier": {"initializer": Xavier()},
    "width/64": {},
    "width/32": {"hidden": (32,)},
    "width/16": {"hidden": (16,)},
    "depth/64-32": {"hidden": (64, 32)},
    "depth/64-16": {"hidden": (64, 16)},
    "depth/32-8": {"hidden": (32, 8)},
}
MOST_EPOCHS = 300
RATES = (1e-5, 1e-4, 1e-3)
SCALES = {"as the PCA gives them": None, "scaled to 1": 1.0}
AT = np.unique(np.rint(np.geomspace(5, MOST_EPOCHS, 80)).astype(int))  # epochs at which misfits are kept
PARTITION, FOLDS = 1, 2  # apart from the folds that are reported


def search(ds: FaceDataset, n_jobs: int = -1, progress: bool = True) -> dict:
    """Return the misfit of every family at every epoch of ``AT``.

    Parameters
    ----------
    ds : FaceDataset
        Features are made of it with every normaliser, and kept.
    n_jobs : int
    progress : bool

    Returns
    -------
    dict
        ``epochs``, and ``families``, a list of ``normalizer``, ``scale``, ``rate``, ``misfit`` (years, at each epoch;
        None once a network diverged) and ``rmse``: experiment -> mean test RMSE at each epoch.
    """
    tables = {normalizer: feature_table(ds, progress, normalizer) for normalizer in NORMALIZERS}
    rows = folds(near_duplicates(tables["standard"].iloc[:, len(LABELS) :]), FOLDS, PARTITION)
    families: dict[tuple[str, str, float], Experiment] = {
        (normalizer, scale, rate): replace(
            NEAREST, schedule=Constant(rate), input_rms=input_rms, normalizer=normalizer, epochs=MOST_EPOCHS
        )
        for normalizer in tables
        for scale, input_rms in SCALES.items()
        for rate in RATES
    }
    jobs = [(family, name, fold) for family in families for name in FITTED for fold in range(FOLDS)]
    folder = cache_dir() / "results" / "search"
    tasks = (
        joblib.delayed(_curve)(
            replace(families[family], **FITTED[name]), tables[family[0]].iloc[:, 1:], fold, rows[fold], folder
        )
        for family, name, fold in jobs
    )
    done = joblib.Parallel(n_jobs=n_jobs, return_as="generator")(tasks)
    curves = list(tqdm(done, "search", len(jobs), unit="run", disable=not progress, leave=False))
    found: list[dict[str, Any]] = []
    for family in families:
        rmse = {
            name: np.mean([c for c, job in zip(curves, jobs, strict=True) if job[:2] == (family, name)], axis=0)
            for name in FITTED
        }
        gaps = np.array([rmse[name] - PUBLISHED[name].value for name in FITTED])
        misfit = np.sqrt(np.mean(gaps**2, axis=0))
        found.append(
            {"normalizer": family[0], "scale": family[1], "rate": family[2]}
            | {"misfit": _plain(misfit), "rmse": {name: _plain(values) for name, values in rmse.items()}}
        )
    return {"epochs": AT.tolist(), "families": found}


def _plain(values) -> list:
    return [round(float(value), 3) if np.isfinite(value) else None for value in values]


def _curve(experiment, table, fold, rows, folder) -> list[float]:
    """Return the test RMSE after each epoch of ``AT``, infinite from where the network diverged."""
    table = table.copy()
    table.insert(0, "file", "")
    data = hashlib.sha256(table.iloc[:, 1:].to_numpy(np.float32).tobytes()).hexdigest()
    path = folder / f"{digest([experiment, train, PARTITION, fold, AT, data])[:24]}.json"
    with contextlib.suppress(FileNotFoundError, ValueError):
        return json.loads(path.read_text())
    curve = np.full(MOST_EPOCHS, np.inf)
    train_rows, _, test_rows = rows
    with threadpool_limits(1, "blas"), contextlib.suppress(TrainingDiverged):
        history = train(experiment, table, fold, rows=(train_rows, test_rows, test_rows))[1]
        curve[: len(history.validation_metric)] = history.validation_metric
    result = curve[AT - 1].tolist()
    write_atomically(path, lambda temporary: temporary.write_text(json.dumps(result)))
    return result
