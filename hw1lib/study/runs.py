"""Running experiments, and the table that comes of it.

``Runs`` is a DataFrame, a row a trained network: ``experiment, target, fold, seed``, the ``test``
result (RMSE in years, or accuracy) and ``mae`` (years), ``validation``, ``train_faces, epochs,
best_epoch, seconds``, the ``participation_ratio`` of the first layer's weights, ``drawn`` (whether
the faces are drawn ones), ``curve`` (a DataFrame of some epochs) and ``predicted`` (an array: each
test face, in the order of the fold's rows).
"""

from __future__ import annotations

import functools
import hashlib
import json
import pickle
import platform
import re
import sys
import warnings
from concurrent.futures import BrokenExecutor
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import cloudpickle
import joblib
import numpy as np
import pandas as pd

from hw1lib import faces, nn
from hw1lib.cache import cache_dir, cached
from hw1lib.checks import UserError, whole_number
from hw1lib.progress import bar, processes
from hw1lib.study.experiment import Experiment
from hw1lib.study.experiments import by_name
from hw1lib.study.training import score, train_and_measure

RECORDED = Path(__file__).with_name("recorded")
KEY = ["experiment", "fold", "seed"]
COLUMNS = ["experiment", "target", "fold", "seed", "test", "mae", "validation", "train_faces"]
COLUMNS += ["epochs", "best_epoch", "seconds", "participation_ratio", "drawn", "curve", "predicted"]
CANT_BE_SENT = (
    "worker processes can't take over what a cell has made (a function imported by its own name, "
    "such as expit: write scipy.special.expit): trained in this process, which takes longer"
)


def run(
    experiments,
    data,
    folds=range(10),
    seeds=range(1),
    partition: int = 0,
    n_jobs: int = -1,
    progress: bool = True,
    may_diverge: bool = False,
) -> pd.DataFrame:
    """Train experiments over folds, side by side as processes with one BLAS thread each.

    Each finished run is kept in the cache folder, and found again as long as all is the same that
    it depends on: data, settings, the code that trains, your own classes and functions. What was
    interrupted goes on. What is returned, this module's first lines say.

    Parameters
    ----------
    experiments : str, iterable of str, or dict
        Of ``EXPERIMENTS``; or a dict of name to Experiment, for your own.
    data : FaceDataset or Data
        Faces; or what is to be trained on, which has one normaliser and one PCA.
    folds, seeds : iterable of int
        Which of the ten disjoint test folds, and which networks on each.
    partition : int
        Another number deals out the faces to the folds in another way.
    n_jobs : int
        Processes; -1 for all cores.
    may_diverge : bool
        A network that diverges is a row without results; otherwise it is an error.
    """
    chosen = by_name(experiments)
    folds = [whole_number("each of folds", fold, least=0) for fold in folds]
    seeds = [whole_number("each of seeds", seed, least=0) for seed in seeds]
    if max(folds, default=0) > 9:
        raise ValueError(f"folds must be from 0 to 9, not {max(folds)}")
    rows, jobs = [], {}
    made: dict = {}
    for name, experiment in chosen.items():
        for fold in folds:
            its_data = _data(experiment, data, fold, partition, progress, made)
            for seed in seeds:
                key = _key(experiment, its_data, fold, seed, partition)
                jobs[key] = (experiment, its_data, fold, seed, partition)
                row = {"experiment": name, "target": experiment.target, "fold": fold, "seed": seed}
                rows.append(row | {"drawn": its_data.drawn, "key": key})
    _train_missing(jobs, n_jobs, progress)
    for row in rows:
        job = jobs[row["key"]]
        result = _result(row.pop("key"), functools.partial(train_and_measure, *job))
        if "diverged" in result and not may_diverge:
            where = f"{row['experiment']}, fold {row['fold']}, seed {row['seed']}"
            raise nn.TrainingDiverged(f"{result['diverged']} ({where}: {job[0].settings()})")
        if "diverged" not in result:
            row |= result | result["targets"][row["target"]]
            row |= {"curve": pd.DataFrame(row["curve"]), "predicted": np.array(row["predicted"])}
            if row["target"] != job[0].targets[0]:  # the metric in History is of the first
                row["curve"] = row["curve"].drop(columns=["train_metric", "validation_metric"])
    return pd.DataFrame(rows, columns=COLUMNS)


def _data(experiment, data, fold, partition, progress, made) -> faces.Data:
    """Return what an experiment trains on; what several experiments share is made once."""
    own_pca = experiment.pca_faces == "training"
    if isinstance(data, faces.Data):
        if experiment.normalizer != "standard" or own_pca:
            raise UserError(
                "data must be faces, as faces.open() returns them, for an experiment with a "
                "normalizer other than 'standard' or with pca_faces='training'"
            )
        return experiment.data(data)
    pictures = (experiment.cell, experiment.margin) if experiment.filters else ()
    kind = (experiment.normalizer, fold if own_pca else None, pictures)
    if kind not in made:
        made[kind] = experiment.data(data, fold, partition, progress)
    return made[kind]


def _train_missing(jobs: dict, n_jobs: int, progress: bool) -> None:
    """Train what the cache does not hold, and keep each result as it comes."""
    missing = [key for key in jobs if not (cache_dir() / key).exists()]
    if not missing:
        return
    # no core waits for a long one at the end: pictures take long
    missing.sort(key=lambda key: (not jobs[key][0].filters, -jobs[key][0].epochs))
    for key in missing:
        _, data, _, _, partition = jobs[key]
        data.folds(partition)  # dealt out here, once, for all processes
    tasks = (joblib.delayed(_train_for)(key, *jobs[key]) for key in missing)
    done = joblib.Parallel(processes(n_jobs), return_as="generator_unordered")(tasks)
    try:
        for key, result in bar(done, "experiments", len(missing), progress):
            _result(key, lambda result=result: result)
    except (pickle.PicklingError, BrokenExecutor) as error:
        if isinstance(error, BrokenExecutor) and "un-serialize" not in str(error):
            raise  # a worker died, of too little memory, say
        warnings.warn(CANT_BE_SENT, stacklevel=3)


def _train_for(key: str, *job) -> tuple[str, dict]:
    return key, train_and_measure(*job)


def _result(key: str, make) -> dict:
    """Return a result from the cache; what is not there, or is damaged, is made."""

    def save(result, path):
        path.write_text(json.dumps(result, separators=(",", ":")))

    return cached(key, make, save, lambda path: json.loads(path.read_text()))


def _key(experiment: Experiment, data, fold: int, seed: int, partition: int) -> str:
    """Return the file of a result in the cache: it changes with all that the result depends on.

    Each setting is pickled by itself, so that equal experiments have the same key however they
    were built.
    """
    settings = {"type": type(experiment), **vars(experiment), **experiment.config(), "report": ""}
    settings["target"] = experiment.targets  # a network that learns several is trained once
    _pickle_own_modules_by_value()
    digest = hashlib.sha256(_code().encode())
    for name, value in settings.items():
        # an own class is pickled with a number that is drawn anew in each session
        digest.update(name.encode() + re.sub(rb"[0-9a-f]{32}", b"", cloudpickle.dumps(value)))
    digest.update(repr((data.fingerprint, fold, seed, partition)).encode())
    return f"results/{digest.hexdigest()[:32]}.json"


def _pickle_own_modules_by_value() -> None:
    """Have all that cells and files of your own define pickled whole, not by name.

    It counts in the key, then; and worker processes get it so: they may have imported an older
    version of a file.
    """
    installed = {"hw1lib", "__main__", *sys.stdlib_module_names}
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None) or "site-packages"
        own = isinstance(module, ModuleType) and "site-packages" not in file
        if own and name.partition(".")[0] not in installed:
            cloudpickle.register_pickle_by_value(module)


@functools.cache
def _code() -> str:
    """Return a digest of the source of what trains, with the versions that count."""
    study = Path(__file__).parent
    files = [study / "training.py"]
    for room in ("nn", "faces"):
        files += sorted((study.parent / room).glob("*.py"))
    source = b"".join(path.read_bytes() for path in files)
    versions = (platform.python_version(), version("numpy"), version("scipy"))
    return hashlib.sha256(source + repr(versions).encode()).hexdigest()


# -- reading runs ---------------------------------------------------------------------------------


def recorded(name: str = "runs"):
    """Return what was recorded on UTKFace: one of the tables, or ``"provenance"``, a dict.

    ``"runs"`` are as ``run`` returns them, without ``predicted``. The other tables are the CSV
    files of study/recorded. ``"search"``, what comes near to the report's numbers, is of the first
    recording, of 26 November 2026; its code is gone.
    """
    if name == "provenance":
        return json.loads((RECORDED / "provenance.json").read_text())
    names = sorted(path.stem for path in RECORDED.glob("*.csv"))
    if name not in names:
        raise ValueError(f"there is no recorded table {name!r}; there are {', '.join(names)}")
    table = pd.read_csv(RECORDED / f"{name}.csv")
    if name == "runs":
        by_run = recorded("curves").groupby(KEY)
        curves = {run: curve.iloc[:, 3:].reset_index(drop=True) for run, curve in by_run}
        runs = table[KEY].itertuples(index=False)
        table["curve"] = [curves.get(tuple(run)) for run in runs]  # of one network a fold
    return table


def of_experiments(runs: pd.DataFrame, *names: str) -> pd.DataFrame:
    """Return the runs of these experiments; an error if any diverged, or only some are drawn."""
    held = list(runs["experiment"].unique())
    for name in names:
        if name not in held:
            known = ", ".join(held) or "none"
            raise ValueError(f"these runs hold no experiment {name!r}; they hold {known}")
    chosen = runs[runs["experiment"].isin(names)]
    if "drawn" in chosen and len(chosen["drawn"].unique()) > 1:
        raise ValueError("runs on drawn faces stand among runs on others: choose by column drawn")
    lost = chosen.loc[chosen["test"].isna(), KEY].to_numpy().tolist()
    if lost:
        raise ValueError(f"networks diverged, and can't be left out: experiment, fold, seed {lost}")
    return chosen


def fold_means(runs: pd.DataFrame, name: str, what: str = "test") -> pd.Series:
    """Return the mean of a column over the networks of each fold; the index is the fold."""
    return of_experiments(runs, name).groupby("fold")[what].mean()


def mean_curve(runs: pd.DataFrame, name: str, column: str) -> pd.DataFrame:
    """Return mean, lowest and highest value of a curve over an experiment's networks, by epoch.

    One that stopped early counts as long as it trained; between the epochs that are kept, values
    are interpolated. (Of the recorded runs, one network a fold has kept its curve.)
    """
    curves = list(of_experiments(runs, name)["curve"].dropna())
    longest = max(curves, key=lambda curve: curve["epoch"].max())
    epochs = longest["epoch"].to_numpy()
    values = [np.interp(epochs, c["epoch"], c[column], right=np.nan) for c in curves]
    table = pd.DataFrame(values, columns=pd.Index(epochs, name="epoch"))
    return pd.DataFrame({"mean": table.mean(), "low": table.min(), "high": table.max()})


def face_errors(runs: pd.DataFrame, name: str, data) -> pd.DataFrame:
    """Return a row a tested face and network of an experiment: what is predicted, and the labels.

    Index the rows of ``data``, which holds the faces that were trained on; ``fold, seed, age,
    gender, race, predicted`` and ``error``: years, or 1 for a wrong label.
    """
    folds = data.folds()
    parts = []
    for _, row in of_experiments(runs, name).iterrows():
        part = data.labels[["age", "gender", "race"]].iloc[folds[row["fold"]][2]]
        part = part.assign(fold=row["fold"], seed=row["seed"], predicted=row["predicted"])
        error = part["predicted"] - part[row["target"]]
        part["error"] = error if row["target"] == "age" else (error != 0).astype(float)
        if abs(score(row["target"], error * 0, error)["test"] - row["test"]) > 1e-3:
            raise ValueError(f"data must be those that {name} was tested on")
        parts.append(part)
    return pd.concat(parts)
