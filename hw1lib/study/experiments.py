"""The report's experiments by name, and how to run them: over folds, side by side, each result kept as JSON.

Settings were chosen on validation faces of other folds (``study.tuning``), never on test faces.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import pickle
import platform
import warnings
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from hw1lib.checks import mendable, whole_number
from hw1lib.faces.data import FaceDataset
from hw1lib.faces.features import LABELS, near_duplicates
from hw1lib.faces.features import folds as make_folds
from hw1lib.faces.kept import feature_table, small_pictures
from hw1lib.files import cache_dir, write_atomically
from hw1lib.nn import ACTIVATIONS, LOSSES, Constant, ExponentialDecay, He, Random, TrainingDiverged, Xavier, Zero
from hw1lib.study import training
from hw1lib.study.dependencies import CannotDescribe, digest
from hw1lib.study.results import AS_PUBLISHED
from hw1lib.study.training import Experiment, train_and_measure

NO_KEY = "no key for "  # begins the name of a job whose result can't be kept
OTHER_CODE = (
    "worker processes hold other code than this process, or can't take over what a cell has made (a function imported "
    "by its own name, such as expit: write scipy.special.expit): trained in this process alone, which takes longer"
)

# What every architecture is tuned from, and what was chosen for each, with the same budget, see ``study.tuning``.
START = Experiment("", initializer=Xavier(), epochs=150)
TUNED: dict[str, dict[str, Any]] = {
    "width/64": {"schedule": ExponentialDecay(0.0016, 0.973), "weight_decay": 0.15, "whitening": 0.17},
    "width/32": {"schedule": ExponentialDecay(0.0024, 0.971), "weight_decay": 0.27, "whitening": 0.39},
    "width/16": {"schedule": ExponentialDecay(0.0024, 0.971), "weight_decay": 0.27, "whitening": 0.39},
    "depth/64-32": {"schedule": ExponentialDecay(0.00066, 0.971), "weight_decay": 0.58, "whitening": 0.16},
    "depth/64-16": {"schedule": ExponentialDecay(0.00066, 0.971), "weight_decay": 0.58, "whitening": 0.16},
    "depth/32-8": {"schedule": ExponentialDecay(0.00066, 0.971), "weight_decay": 0.58, "whitening": 0.16},
    "race/64": {"schedule": ExponentialDecay(0.15, 0.964), "weight_decay": 0.0063, "whitening": 0.21},
}
# Networks on small pictures: chosen with a smaller budget, since one epoch takes as long as 100 on features.
PIXELS = Experiment("beyond the report", initializer=He(), epochs=20, filters=(16, 32, 64))
CONV: dict[str, dict[str, Any]] = {
    "conv/age": {"schedule": ExponentialDecay(0.0008, 0.88), "weight_decay": 0.17},
    "conv/race": {"schedule": ExponentialDecay(0.04, 0.88), "weight_decay": 0.0033},
}
ONE_HIDDEN = replace(START, **TUNED["width/64"])
SIGMAS = (0.01, 0.1, 0.3, 1.0)
# What of all that was tried comes nearest to the report's numbers, see ``study.search``: it need not be what was done.
NEAREST = Experiment("", schedule=Constant(1e-4), epochs=106, input_rms=None, output_bias="zero", normalizer="l2")
RATE = Experiment("section 2.2.5")  # changed one thing at a time
LONG = Experiment("Fig. 2.18", epochs=1500)
RACE_8000 = Experiment("Fig. 2.19, 2.20", "race", schedule=Constant(1e-3), weight_decay=3e-3, epochs=8000)


def _tuned(name: str, report: str, hidden: tuple[int, ...]) -> dict[str, Experiment]:
    """Return an architecture trained properly, and as published."""
    return {
        name: replace(START, report=report, hidden=hidden, **TUNED[name]),
        name + AS_PUBLISHED: replace(NEAREST, report=report, hidden=hidden),
    }


EXPERIMENTS: dict[str, Experiment] = {
    # 2.2.4, initialisation: with the settings of 64
    "init/zero": replace(ONE_HIDDEN, report="Fig. 2.3, Table 2.6", initializer=Zero()),
    "init/random": replace(ONE_HIDDEN, report="Fig. 2.4, Table 2.6", initializer=Random(0.1)),
    "init/xavier": replace(ONE_HIDDEN, report="Fig. 2.5, Table 2.6"),
    "init/he": replace(ONE_HIDDEN, report="beside Table 2.6", initializer=He()),
    "init/zero" + AS_PUBLISHED: replace(NEAREST, report="Fig. 2.3, Table 2.6", initializer=Zero()),
    "init/random" + AS_PUBLISHED: replace(NEAREST, report="Fig. 2.4, Table 2.6", repeat=1),  # printed again as width/64
    "init/xavier" + AS_PUBLISHED: replace(NEAREST, report="Fig. 2.5, Table 2.6", initializer=Xavier()),
    # 2.2.4, where the output's bias starts
    **{
        f"{name}/sigma-{s}": replace(ONE_HIDDEN, report="section 2.2.4", initializer=Random(s), output_bias=bias)
        for name, bias in (("mean-bias", "mean"), ("zero-bias", "zero"))
        for s in SIGMAS
    },
    "zero-bias/64": replace(ONE_HIDDEN, report="section 2.2.4", output_bias="zero"),
    "zero-bias/16": replace(START, report="section 2.2.4", hidden=(16,), output_bias="zero", **TUNED["width/16"]),
    "zero-bias/64-16": replace(
        START, report="section 2.2.4", hidden=(64, 16), output_bias="zero", **TUNED["depth/64-16"]
    ),
    # 2.2.4, one hidden layer and two, each tuned
    **_tuned("width/64", "Fig. 2.7, Table 2.10", (64,)),
    **_tuned("width/32", "Fig. 2.8, Table 2.10", (32,)),
    **_tuned("width/16", "Fig. 2.9, Table 2.10", (16,)),
    **_tuned("depth/64-32", "Fig. 2.11, Table 2.14", (64, 32)),
    **_tuned("depth/64-16", "Fig. 2.12, Table 2.14", (64, 16)),
    **_tuned("depth/32-8", "Fig. 2.13, Table 2.14", (32, 8)),
    # and under each other's settings; the same setting with other networks; the PCA fitted on training faces alone
    "depth/64-16/settings-of-64": replace(ONE_HIDDEN, report="section 2.2.4", hidden=(64, 16)),
    "width/64/settings-of-64-16": replace(START, report="section 2.2.4", **TUNED["depth/64-16"]),
    "width/64/other-networks": replace(ONE_HIDDEN, report="section 2.2.4", repeat=1),
    "width/64/training-pca": replace(ONE_HIDDEN, report="section 2.1", pca_faces="training"),
    # 2.2.5
    "rate/constant": replace(RATE, momentum=0.0),
    "rate/constant-10": replace(RATE, momentum=0.0, schedule=Constant(3e-3)),
    "rate/momentum": RATE,
    "rate/momentum-large": replace(RATE, schedule=Constant(2e-3)),
    "rate/decay": replace(RATE, schedule=ExponentialDecay(3e-4, 0.95)),
    "rate/decay-large": replace(RATE, schedule=ExponentialDecay(2e-3, 0.95)),
    "rate/weight-decay": replace(RATE, weight_decay=0.1),
    "rate/lambda": replace(ONE_HIDDEN, report="Fig. 2.15"),
    "rate/lambda" + AS_PUBLISHED: replace(NEAREST, report="Fig. 2.15", weight_decay=1e-3),
    # 2.2.6, over-fitting and what helps
    "overfit/short": replace(LONG, report="Fig. 2.16", epochs=30),
    "overfit/longer": replace(LONG, report="Fig. 2.17", epochs=200),
    "overfit/long": LONG,
    "overfit/early-stopping": replace(LONG, report="section 2.2.6", patience=50),
    "overfit/weight-decay": replace(LONG, report="section 2.2.6", weight_decay=0.1),
    "overfit/width-8": replace(LONG, report="section 2.2.6", hidden=(8,)),
    **{
        f"overfit/faces-{n}": replace(LONG, report="section 2.2.6", epochs=200, patience=30, n_train=n)
        for n in (1000, 2000, 4000, 8000, 16000)
    },
    # 2.2.7, classification
    "race/64": replace(START, report="section 2.2.7", target="race", **TUNED["race/64"]),
    "race/8000": RACE_8000,
    "race/8000/no-decay": replace(RACE_8000, weight_decay=0.0),
    "race/8000/rate-1e-4": replace(RACE_8000, schedule=Constant(1e-4), weight_decay=0.0),
    "race/8000/rate-1e-4-decay": replace(RACE_8000, schedule=Constant(1e-4)),
    "race/8000" + AS_PUBLISHED: replace(NEAREST, report="Fig. 2.19, 2.20", target="race", epochs=8000),
    "gender/64": replace(START, report="beyond the report: gender", target="gender", **TUNED["race/64"]),
    # beyond the report: pixels
    **{name: replace(PIXELS, target=name.removeprefix("conv/"), **CONV[name]) for name in CONV},
}


def limit_epochs(names, most: int = 300) -> dict[str, Experiment]:
    """Return experiments by name for ``run``: at full scale as they are, otherwise with at most ``most`` epochs."""
    full = full_scale()
    return {name: e if full else replace(e, epochs=min(e.epochs, most)) for name, e in _by_name(names).items()}


def full_scale() -> bool:
    """Whether HW1_SCALE=full asks for every epoch and seed; otherwise notebooks run reduced sizes."""
    text = os.environ.get("HW1_SCALE", "")
    if text not in ("", "quick", "full"):
        raise mendable(ValueError(f"HW1_SCALE must be full or quick, not {text!r}"))
    return text == "full"


def _by_name(names) -> dict[str, Experiment]:
    """Return experiments by name, of what ``run`` takes as names."""
    if isinstance(names, dict) and any(isinstance(one, Experiment) for one in names.values()):
        for name, one in names.items():
            if not isinstance(one, Experiment):
                raise ValueError(f"names must be names, or a dict of name to Experiment: {name!r} is {one!r}")
        return dict(names)
    if isinstance(names, Experiment) or not np.iterable(names):
        raise ValueError(f"names must be names of experiments, or a dict of name to Experiment, not {names!r}")
    chosen = [names] if isinstance(names, str) else list(names)
    for name in chosen:
        if name not in EXPERIMENTS:
            raise ValueError(f"there is no experiment {name!r}; there are {', '.join(EXPERIMENTS)}")
    return {name: EXPERIMENTS[name] for name in chosen}


def run(
    names,
    data,
    folds=range(10),
    seeds=range(1),
    n_jobs: int = -1,
    keep: bool = True,
    save=None,
    progress: bool = True,
    rows=None,
    may_diverge: bool = False,
) -> dict:
    """Train experiments over folds and seeds, side by side as processes with one BLAS thread each.

    Parameters
    ----------
    names : str, iterable of str, or dict
        Of ``EXPERIMENTS``; or a dict of name to Experiment, for your own.
    data : FaceDataset, DataFrame or path-like
        Faces, or a table as ``load_features`` returns it, or what ``FaceDataset.open`` takes. A table holds features of
        one normaliser and PCA; experiments that ask for another need the faces.
    folds : iterable of int
        Which of the ten disjoint test folds of ``faces.folds``, from 0 to 9.
    seeds : iterable of int
        Networks on each fold.
    n_jobs : int
        Processes; -1 for all cores.
    keep : bool
        Keep each finished run in the cache folder, and take it from there: what was interrupted goes on. It is found
        again as long as all is the same that it depends on: data, settings, this package's code, and your own classes
        and functions with all that they refer to. Where that can't be told, a warning says why, and the experiment is
        trained every time, in this process.
    save : path-like, optional
        Write the results there too, as JSON.
    progress : bool
        Show a bar.
    rows : list of (train, validation, test), optional
        Other folds than those of ``faces.folds``: the rows of each.
    may_diverge : bool
        A network that diverges is a result, too, with the message as ``diverged``; otherwise it is an error.

    Returns
    -------
    dict
        Ready for JSON: ``data`` (fingerprint, faces), ``versions``, ``experiments``: name -> ``report``, ``settings``
        and ``runs``, one per fold and seed: test and validation metric, MAE (age), epochs, best epoch, seconds,
        effective rank of the first layer, groups of test faces (race), thinned curves, and the error of each test face
        (years, or 1 for a wrong label).
    """
    chosen = _by_name(names)
    folds, seeds = _whole_numbers("folds", folds), _whole_numbers("seeds", seeds)
    last = 9 if rows is None else len(rows) - 1
    if max(folds, default=0) > last:
        raise ValueError(f"folds must be from 0 to {last}, not {max(folds)}")
    tables = _Tables(data, rows, progress)
    keys = {name: _key_or_warning(name, experiment) for name, experiment in chosen.items()}
    jobs = {
        (tables.name_of(experiment, fold), f"{keys[name]}-{fold}-{seed}"): (experiment, fold, seed)
        for name, experiment in chosen.items()
        for fold, seed in itertools.product(folds, seeds)
    }
    found = {}
    for job in jobs if keep else ():
        with contextlib.suppress(FileNotFoundError, ValueError):  # not there, or damaged: trained again
            found[job] = json.loads(_path(job).read_text())
    missing = [job for job in jobs if job not in found]
    missing.sort(key=lambda job: (-jobs[job][0].epochs, job))  # long ones first: no core waits for one at the end

    def task(job) -> dict[str, Any]:
        experiment, fold, seed = jobs[job]
        shared, path = tables.shared(experiment, fold), _path(job) if keep else None
        return {"job": job, "experiment": experiment, "fold": fold, "seed": seed, "shared": shared, "path": path}

    tasks = (joblib.delayed(_train_one)(**task(job)) for job in missing if NO_KEY not in job[1])
    with tqdm(desc="experiments", total=len(missing), unit="run", disable=not progress, leave=False) as bar:
        for job, result in _in_workers(tasks, n_jobs):
            found |= {job: result} if result else {}
            bar.update(result is not None)
        left = [job for job in missing if job not in found]
        if any(NO_KEY not in job[1] for job in left):
            warnings.warn(OTHER_CODE, stacklevel=2)
        for job in left:
            found[job] = _train_one(**task(job), anyway=True)[1]
            bar.update()
    for job, result in found.items():
        if "diverged" in result and not may_diverge:
            experiment, fold, seed = jobs[job]
            where = f"fold {fold}, seed {seed}: {experiment.settings()}"
            raise mendable(TrainingDiverged(f"{result['diverged']} ({where})"))
    results = {
        "data": {
            "fingerprint": tables.fingerprint,
            "faces": len(tables.table),
            "drawn": tables.table.attrs.get("drawn", False),  # of the stand-in, as ``feature_table`` knows
        },
        "versions": {name: version(name) for name in ("hw1lib", "numpy", "scipy")}
        | {"python": platform.python_version()},
        "experiments": {
            name: {
                "report": experiment.report,
                "settings": experiment.settings(),
                "runs": [
                    found[tables.name_of(experiment, fold), f"{keys[name]}-{fold}-{seed}"]
                    for fold, seed in itertools.product(folds, seeds)
                ],
            }
            for name, experiment in chosen.items()
        },
    }
    if save is not None:
        write_results(save, results)
    return results


def _whole_numbers(name: str, values) -> list[int]:
    if not np.iterable(values) or isinstance(values, str):
        raise ValueError(f"{name} must be several whole numbers, such as range(10) or [0], not {values!r}")
    return [whole_number(f"each of {name}", value, least=0) for value in values]


class _Tables:
    """The features that experiments train on: of each normaliser and PCA, made when one asks for them."""

    def __init__(self, data, rows, progress: bool):
        self.progress, self.ds = progress, None
        if not isinstance(data, pd.DataFrame):
            self.ds = data if isinstance(data, FaceDataset) else FaceDataset.open(data, progress=progress)
        self.table = feature_table(self.ds, progress) if self.ds else data
        self.rows = make_folds(near_duplicates(self.table.iloc[:, len(LABELS) :])) if rows is None else rows
        self.made: dict[tuple, tuple[np.ndarray, list[str], str, np.ndarray | None]] = {
            ("standard", None): self._numbers(self.table)
        }
        self.fingerprint = self.made["standard", None][2]

    def _numbers(self, table, pictures=None) -> tuple[np.ndarray, list[str], str, np.ndarray | None]:
        """Return numbers, columns (fewer where a PCA had fewer faces), a fingerprint of all, and the pictures."""
        numbers = table.iloc[:, 1:].to_numpy(np.float32)  # one array: joblib hands it to processes through a file
        columns = list(table.columns[1:])
        content = repr(columns).encode() + numbers.tobytes()
        if pictures is not None:
            content += pictures.tobytes()
        return numbers, columns, hashlib.sha256(content).hexdigest()[:16], pictures

    def _of(self, experiment: Experiment, fold: int) -> tuple[np.ndarray, list[str], str, np.ndarray | None]:
        how: tuple = experiment.normalizer, fold if experiment.pca_faces == "training" else None
        if experiment.filters:
            how = "pictures", experiment.cell
        if how not in self.made:
            if self.ds is None:
                raise mendable(
                    ValueError(
                        "data must be faces, not a table, for an experiment with filters, normalizer other than "
                        "'standard', or pca_faces='training': pictures or features are made first, which takes up to a "
                        "minute for 20,000 faces"
                    )
                )
            if experiment.filters:
                pictures = small_pictures(self.ds, experiment.cell, self.progress)
                self.made[how] = self._numbers(self.table[LABELS], pictures)
                return self.made[how]
            fitted_on = None if how[1] is None else self.rows[fold][0][:5000]  # shuffled: any 5,000 of the training
            self.made[how] = self._numbers(feature_table(self.ds, self.progress, how[0], fitted_on))
        return self.made[how]

    def name_of(self, experiment: Experiment, fold: int) -> str:
        """Return a name for features and fold together: what is kept is told apart by it."""
        rows = hashlib.sha256(b"".join(np.asarray(part, np.int64).tobytes() for part in self.rows[fold]))
        return f"{self._of(experiment, fold)[2]}/{rows.hexdigest()[:8]}"

    def shared(self, experiment: Experiment, fold: int) -> tuple:
        """Return what a worker needs; in a tuple, Dask sends it with each task: no worker alone holds it."""
        numbers, columns, _, pictures = self._of(experiment, fold)
        return numbers, columns, self.rows[fold], pictures


def _path(job: tuple[str, str]) -> Path:
    return cache_dir() / "results" / job[0] / f"{job[1]}.json"


def _in_workers(tasks, n_jobs: int):
    """Yield jobs and results as worker processes finish; end early where they can't read what is sent to them."""
    try:
        yield from joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered")(tasks)
    except (pickle.PicklingError, BrokenProcessPool) as error:
        if isinstance(error, BrokenProcessPool) and "un-serialize" not in str(error):
            raise  # a worker died, of too little memory, say


def write_results(path, results: dict) -> Path:
    """Write results as JSON, and return the path."""
    text = json.dumps(results, separators=(",", ":")) + "\n"
    return write_atomically(path, lambda temporary: temporary.write_text(text))


def _train_one(job, experiment: Experiment, fold: int, seed: int, shared, path: Path | None, anyway: bool = False):
    """Return a job and its result, which is kept; None where this process would train something else.

    A worker process may hold other code than the process that asks: if a file was edited since, if a reader replaced a
    function or a number of this package, or if a class of the same name came with an earlier run.
    """
    try:
        same = job[1] == f"{_key(experiment)}-{fold}-{seed}"
    except CannotDescribe:
        same = False
    if not same and not anyway:
        return job, None
    numbers, columns, rows, pictures = shared
    table = pd.DataFrame(numbers, columns=columns)
    table.insert(0, "file", "")
    result = train_and_measure(experiment, table, fold, seed, rows, pictures)
    if path is not None and same:
        text = json.dumps(result, separators=(",", ":"))
        write_atomically(path, lambda temporary: temporary.write_text(text))
    return job, result


def _key(experiment: Experiment) -> str:
    """Return what a result is kept under, for every seed: it changes with all that the result depends on."""
    parts = {name: value for name, value in vars(experiment).items() if name != "report"} | experiment.config()
    for name, registry in (("activation", ACTIVATIONS), ("output_activation", ACTIVATIONS), ("loss", LOSSES)):
        if isinstance(parts[name], str):  # a reader may have put an object of his own under one of our names
            parts[name] = registry.get(parts[name], parts[name])
    versions = [platform.python_version(), version("numpy"), version("scipy")]
    return digest([training.train_and_measure, type(experiment), parts, versions])[:24]


def _key_or_warning(name: str, experiment: Experiment) -> str:
    try:
        return _key(experiment)
    except CannotDescribe as reason:
        warnings.warn(f"{name!r} is trained every time, and in this process alone: {reason}", stacklevel=3)
        return NO_KEY + name
