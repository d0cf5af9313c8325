"""The report's experiments by name, and how to run them: over seeds, side by side, each result kept as JSON.

What depends on settings was chosen on validation faces, never on test faces.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pickle
import platform
import warnings
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from hw1lib.checks import mendable, whole_number
from hw1lib.faces.preprocess import feature_table
from hw1lib.files import cache_dir, write_atomically
from hw1lib.nn import ACTIVATIONS, LOSSES, Constant, ExponentialDecay, He, Random, Xavier, Zero
from hw1lib.study import training
from hw1lib.study.dependencies import CannotDescribe, digest
from hw1lib.study.results import AS_PUBLISHED
from hw1lib.study.training import Experiment, train_and_measure

NO_KEY = "no key for "  # begins the name of a job whose result can't be kept
OTHER_CODE = (
    "worker processes hold other code than this process, or can't take over what a cell has made (a function imported "
    "by its own name, such as expit: write scipy.special.expit): trained in this process alone, which takes longer"
)

# Chosen on validation faces, over seeds: what trains 128-64-1, 128-a-b-1 and 128-64-5 well. For age the rate is half of
# the best one, at which a seed in twenty or so diverged.
ONE_HIDDEN = Experiment("", schedule=ExponentialDecay(2e-3, 0.97), weight_decay=0.07, epochs=150)
TWO_HIDDEN = replace(ONE_HIDDEN, initializer=Xavier(), schedule=ExponentialDecay(1e-3, 0.97), weight_decay=0.3)
RACE = Experiment(
    "section 2.2.7",
    "race",
    initializer=Xavier(),
    schedule=ExponentialDecay(0.2, 0.98),
    weight_decay=6e-3,
    epochs=220,
    whitening=0.4,
)
# One under-trained setting that gives the report's own numbers for age: inputs 25 times smaller, and few epochs.
UNDER_TRAINED = Experiment("", initializer=Xavier(), schedule=Constant(1e-4), epochs=70, input_rms=1 / 25)


def _both_ways(name: str, report: str, proper: Experiment, weak: Experiment = UNDER_TRAINED, **settings):
    """Return an experiment trained properly, and as published; both with these settings."""
    return {
        name: replace(proper, report=report, **settings),
        name + AS_PUBLISHED: replace(weak, report=report, **settings),
    }


EXPERIMENTS: dict[str, Experiment] = {
    # 2.2.4, initialisation
    **_both_ways("init/zero", "Fig. 2.3, Table 2.6", ONE_HIDDEN, initializer=Zero()),
    **_both_ways("init/random", "Fig. 2.4, Table 2.6", ONE_HIDDEN, initializer=Random(0.1)),
    **_both_ways("init/xavier", "Fig. 2.5, Table 2.6", ONE_HIDDEN, initializer=Xavier()),
    **_both_ways("init/he", "beside Table 2.6", ONE_HIDDEN, initializer=He()),
    **{
        f"init/random-{s}": replace(ONE_HIDDEN, report="section 2.2.4", initializer=Random(s))
        for s in (0.01, 0.1, 0.3, 1.0)
    },
    # 2.2.4, one hidden layer
    **_both_ways("width/64", "Fig. 2.7, Table 2.10", ONE_HIDDEN, initializer=Random(0.1)),
    **_both_ways("width/32", "Fig. 2.8, Table 2.10", ONE_HIDDEN, initializer=Random(0.1), hidden=(32,)),
    **_both_ways("width/16", "Fig. 2.9, Table 2.10", ONE_HIDDEN, initializer=Random(0.1), hidden=(16,)),
    # 2.2.4, two hidden layers
    **_both_ways("depth/64-32", "Fig. 2.11, Table 2.14", TWO_HIDDEN, hidden=(64, 32)),
    **_both_ways("depth/64-16", "Fig. 2.12, Table 2.14", TWO_HIDDEN, hidden=(64, 16)),
    **_both_ways("depth/32-8", "Fig. 2.13, Table 2.14", TWO_HIDDEN, hidden=(32, 8)),
    # 2.2.5, one thing at a time
    "rate/constant": Experiment("section 2.2.5", momentum=0.0),
    "rate/momentum": Experiment("section 2.2.5"),
    "rate/decay": Experiment("section 2.2.5", schedule=ExponentialDecay(3e-4, 0.95)),
    "rate/weight-decay": Experiment("section 2.2.5", weight_decay=0.1),
    "rate/lambda": replace(ONE_HIDDEN, report="Fig. 2.15"),
    "rate/lambda" + AS_PUBLISHED: replace(
        UNDER_TRAINED, report="Fig. 2.15", initializer=Random(0.1), weight_decay=1e-3
    ),
    # 2.2.6, over-fitting and what helps
    "overfit/short": Experiment("Fig. 2.16", epochs=30),
    "overfit/longer": Experiment("Fig. 2.17", epochs=200),
    "overfit/long": Experiment("Fig. 2.18", epochs=1500),
    "overfit/early-stopping": Experiment("section 2.2.6", epochs=1500, patience=50),
    "overfit/weight-decay": Experiment("section 2.2.6", epochs=1500, weight_decay=0.1),
    "overfit/width-8": Experiment("section 2.2.6", epochs=1500, hidden=(8,)),
    **{
        f"overfit/faces-{n}": Experiment("section 2.2.6", epochs=200, patience=30, n_train=n)
        for n in (1000, 2000, 4000, 8000, 16000)
    },
    # 2.2.7, classification
    "race/64": RACE,
    **_both_ways(
        "race/8000",
        "Fig. 2.19, 2.20",
        replace(RACE, schedule=Constant(1e-3), weight_decay=3e-3, whitening=0.0),
        replace(RACE, schedule=Constant(1e-4), weight_decay=0.0, whitening=0.0),
        epochs=8000,
    ),
    "gender/64": replace(RACE, target="gender", report="beyond the report: gender"),
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


def run(names, data, seeds=range(10), n_jobs: int = -1, keep: bool = True, save=None, progress: bool = True) -> dict:
    """Train experiments over seeds, side by side as processes with one BLAS thread each.

    Parameters
    ----------
    names : str, iterable of str, or dict
        Of ``EXPERIMENTS``; or a dict of name to Experiment, for your own.
    data : FaceDataset, DataFrame or path-like
        Faces, or a table as ``load_features`` returns it, or what ``FaceDataset.open`` takes.
    seeds : iterable of int
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

    Returns
    -------
    dict
        Ready for JSON: ``data`` (fingerprint, faces), ``versions``, ``experiments``: name -> ``report``, ``settings``
        and ``runs``, one per seed: test and validation metric, epochs, best epoch, seconds, groups of test faces and
        thinned curves.
    """
    chosen = _by_name(names)
    if not np.iterable(seeds) or isinstance(seeds, str):
        raise ValueError(f"seeds must be several whole numbers, such as range(10) or [0], not {seeds!r}")
    seeds = [whole_number("each of seeds", seed, least=0) for seed in seeds]
    table = data if isinstance(data, pd.DataFrame) else feature_table(data, progress)
    numbers = table.iloc[:, 1:].to_numpy(np.float32)  # one array: joblib hands it to processes through a file
    columns = list(table.columns[1:])
    fingerprint = hashlib.sha256(repr(columns).encode() + numbers.tobytes()).hexdigest()[:16]
    folder: Path | None = cache_dir() / "results" / fingerprint if keep else None

    keys = {name: _key_or_warning(name, experiment) for name, experiment in chosen.items()}
    jobs = {f"{keys[name]}-{seed}": (experiment, seed) for name, experiment in chosen.items() for seed in seeds}
    found = {}
    if folder is not None:
        for job in jobs:
            with contextlib.suppress(FileNotFoundError, ValueError):  # not there, or damaged: trained again
                found[job] = json.loads((folder / f"{job}.json").read_text())
    missing = [job for job in jobs if job not in found]
    missing.sort(key=lambda job: (-jobs[job][0].epochs, job))  # long ones first: no core waits for one at the end

    shared = (numbers, columns)  # in a tuple, Dask sends it with each task: no worker alone holds it
    tasks = (joblib.delayed(_train_one)(job, *jobs[job], shared, folder) for job in missing if NO_KEY not in job)
    with tqdm(desc="experiments", total=len(missing), unit="run", disable=not progress, leave=False) as bar:
        for job, result in _in_workers(tasks, n_jobs):
            found |= {job: result} if result else {}
            bar.update(result is not None)
        left = [job for job in missing if job not in found]
        if any(NO_KEY not in job for job in left):
            warnings.warn(OTHER_CODE, stacklevel=2)
        for job in left:
            found[job] = _train_one(job, *jobs[job], shared, folder, anyway=True)[1]
            bar.update()
    results = {
        "data": {"fingerprint": fingerprint, "faces": len(table)},
        "versions": {name: version(name) for name in ("hw1lib", "numpy", "scipy")}
        | {"python": platform.python_version()},
        "experiments": {
            name: {
                "report": experiment.report,
                "settings": experiment.settings(),
                "runs": [found[f"{keys[name]}-{seed}"] for seed in seeds],
            }
            for name, experiment in chosen.items()
        },
    }
    if save is not None:
        write_results(save, results)
    return results


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


def _train_one(job: str, experiment: Experiment, seed: int, shared, folder, anyway: bool = False):
    """Return a job and its result, which goes to the folder; None where this process would train something else.

    A worker process may hold other code than the process that asks: if a file was edited since, if a reader replaced a
    function or a number of this package, or if a class of the same name came with an earlier run.
    """
    try:
        same = f"{_key(experiment)}-{seed}" == job
    except CannotDescribe:
        same = False
    if not same and not anyway:
        return job, None
    table = pd.DataFrame(shared[0], columns=shared[1])
    table.insert(0, "file", "")
    result = train_and_measure(experiment, table, seed)
    if folder is not None and same:
        text = json.dumps(result)
        write_atomically(folder / f"{job}.json", lambda temporary: temporary.write_text(text))
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
