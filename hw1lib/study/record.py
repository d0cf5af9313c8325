"""Everything that is recorded on real UTKFace in one go, and written to a folder of tables."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_info

from hw1lib import faces
from hw1lib.files import write_atomically, write_text
from hw1lib.study import comparisons
from hw1lib.study.comparisons import compare, difference, errors_by_label, fold_differences
from hw1lib.study.experiment import TARGETS
from hw1lib.study.experiments import CONV_STEPS, EXPERIMENTS, LADDER
from hw1lib.study.published import PUBLISHED
from hw1lib.study.runs import COLUMNS, KEY, face_errors, fold_means, run
from hw1lib.study.simple_models import baselines, compare_normalizers
from hw1lib.study.tables import published_table
from hw1lib.study.training import score
from hw1lib.study.tuning import tune

LONG = 1000  # experiments of so many epochs get one network a fold
RUNG_FOLDS = 3  # of each rung of the ladder, one network a fold
HUNDREDTHS = {"age": 100, "gender": 1, "race": 1}  # ages are recorded in hundredths of a year
BY_GROUP = ("conv/age", "depth/64-16", "width/64", "race/64", "conv/race", "conv/gender")


def record(ds: faces.FaceDataset, folds=range(10), seeds=range(3), n_jobs: int = -1) -> dict:
    """Return all that the notebooks quote: tables by name, ``provenance``, each face."""
    short = {n: e for n, e in EXPERIMENTS.items() if e.epochs < LONG}
    long = {n: e for n, e in EXPERIMENTS.items() if e.epochs >= LONG}
    both = [run(short, ds, folds, seeds, n_jobs=n_jobs)]
    both.append(run(long, ds, folds, seeds[:1], n_jobs=n_jobs))
    by_experiment = dict(list(pd.concat(both).groupby("experiment")))
    runs = pd.concat([by_experiment[name] for name in EXPERIMENTS])
    data = ds.features()
    simple = [baselines(data, target, folds) for target in TARGETS]
    l2 = baselines(ds.features("l2"), "age", folds)  # the reconstructed get it
    simple.append(l2[l2["experiment"] == "linear/age"].assign(experiment="linear-l2/age"))
    runs = pd.concat([runs, *simple], ignore_index=True)
    arrays = each_face(runs, data)
    follows = from_each_face(runs, arrays, data)
    first = runs[runs["seed"] == 0]
    kept = ds.preprocessor().explained_variance_ratio.round(6)
    variance = pd.Series(kept, np.arange(1, len(kept) + 1), name="ratio")
    return {
        **follows,
        "curves": _stacked(first.set_index(KEY)["curve"].dropna(), KEY),
        "settings": settings_table(),
        "tuning": tune(ds, n_jobs=n_jobs),
        "ladder": ladder(ds, folds[:RUNG_FOLDS], n_jobs),
        "label_noise": pd.DataFrame([faces.label_noise(data)]).round(4),
        "duplicate_leakage": duplicate_leakage(data, seeds, n_jobs),
        "variance": variance.rename_axis("component").reset_index(),
        "normalizers": compare_normalizers(ds),
        "provenance": provenance(ds),
        "faces": arrays,
    }


def ladder(ds, folds=range(RUNG_FOLDS), n_jobs: int = -1) -> pd.DataFrame:
    """Return what each change of the network on pictures gained, a row a rung of ``LADDER``.

    Columns ``rung, changed, epochs, seconds`` (median), ``age`` (RMSE), ``mae`` (years), ``gender,
    race`` (accuracy, where they are learnt), and of the age's RMSE less that of the rung before
    ``mean, low, high`` (95 %, Student t over the folds). One network a fold.
    """
    runs = {}
    for target in TARGETS:
        learn_it = {rung: e for rung, e in LADDER.items() if target in e.targets}
        rungs = {rung: replace(e, target=target) for rung, e in learn_it.items()}
        runs[target] = run(rungs, ds, folds, n_jobs=n_jobs)
    rows: list[dict] = []
    for rung, experiment in LADDER.items():
        its = runs["age"][runs["age"]["experiment"] == rung]
        changed = "; ".join(f"{name} {value}" for name, value in CONV_STEPS[rung].items())
        row = {"rung": rung, "changed": changed, "epochs": experiment.epochs}
        row["seconds"] = its["seconds"].median()  # one fold may have had to wait for other work
        row["mae"] = round(its["mae"].mean(), 4)
        for target in experiment.targets:
            row[target] = round(fold_means(runs[target], rung).mean(), 5)
        if rows:
            less = np.round(difference(runs["age"], rung, rows[-1]["rung"]), 5)
            row |= dict(zip(("mean", "low", "high"), less, strict=True))
        rows.append(row)
    columns = ["rung", "changed", "epochs", "seconds", "age", "mae", "gender", "race"]
    return pd.DataFrame(rows, columns=[*columns, "mean", "low", "high"])


def settings_table() -> pd.DataFrame:
    """Return what ``EXPERIMENTS`` says, a row an experiment."""
    rows = [{"experiment": n, "report": e.report, **e.settings()} for n, e in EXPERIMENTS.items()]
    return pd.DataFrame(rows, dtype=object)


def _stacked(tables, names=("experiment",)) -> pd.DataFrame:
    """Return tables one below another, with their keys as columns."""
    stacked: pd.DataFrame = pd.concat(dict(tables), names=[*names])
    return stacked.reset_index(level=list(names)).reset_index(drop=True)


def _bootstraps(runs: pd.DataFrame, data) -> pd.DataFrame:
    """Return the intervals of all comparisons, and whose they are: the mean difference."""
    rows = []
    for comparison in comparisons.COMPARISONS:
        first, second = comparison.first, comparison.second
        mean = fold_differences(runs, first, second).mean()
        sides = [face_errors(runs, name, data) for name in (first, second)]
        low, high, p = comparisons.bootstrap(sides[0], sides[1], EXPERIMENTS[first].target)
        rows.append((first, second, mean, round(low, 5), round(high, 5), round(p, 5)))
    return pd.DataFrame(rows, columns=["first", "second", "mean", "low", "high", "p"])


def each_face(runs: pd.DataFrame, data) -> dict[str, np.ndarray]:
    """Return what every recorded result is computed from: no picture and no file name.

    ``age, gender, race, group`` (near-duplicates) and ``fold`` (in which it is tested, or -1); and
    by "experiment:seed" what is predicted of each face, in hundredths of a year (at most 327
    years), or the class: of a face that is tested in no fold -32768.
    """
    arrays = {name: data.labels[name].to_numpy(np.int16) for name in TARGETS}
    arrays["group"] = np.asarray(data.groups, np.int32)
    arrays["fold"] = tested_in(data, runs["fold"].unique())
    limits = np.iinfo(np.int16)
    for (name, seed), its in runs.groupby(["experiment", "seed"]):
        predicted = np.full(len(data), limits.min, np.int16)
        factor = HUNDREDTHS[its["target"].iloc[0]]
        for fold, values in zip(its["fold"], its["predicted"], strict=True):
            rounded = np.rint(factor * np.asarray(values, float))
            predicted[data.folds()[fold][2]] = rounded.clip(limits.min + 1, limits.max)
        arrays[f"{name}:{seed}"] = predicted
    return arrays


def tested_in(data, folds) -> np.ndarray:
    """Return in which of these folds each face is tested, or -1."""
    tested = np.full(len(data), -1, np.int8)
    for fold in folds:
        tested[data.folds()[fold][2]] = fold
    return tested


def from_each_face(runs: pd.DataFrame, arrays, data) -> dict[str, pd.DataFrame]:
    """Return the tables ``runs, groups, confusion, bootstrap`` as ``each_face`` has them.

    Of ``runs`` the columns stay that do not follow from what is predicted.
    """
    rows = []
    for _, row in runs.iterrows():
        test = data.folds()[row["fold"]][2]
        predicted = arrays[f"{row['experiment']}:{row['seed']}"][test] / HUNDREDTHS[row["target"]]
        true = data.labels[row["target"]].to_numpy()[test]
        rows.append({**score(row["target"], true, predicted), "predicted": predicted})
    again = pd.DataFrame(rows, runs.index)
    runs = runs.assign(test=again["test"], mae=again["mae"], predicted=again["predicted"])
    groups, confusion = {}, {}
    for name in BY_GROUP:
        target = EXPERIMENTS[name].target
        tested = face_errors(runs, name, data)
        groups[name] = errors_by_label(tested, target).round(6)
        if target == "race":
            once = tested[tested["seed"] == 0].rename(columns={"race": "label"})
            confusion[name] = once.groupby(["label", "predicted"]).size().rename("n").reset_index()
    return {
        "runs": runs[COLUMNS[:-2]],
        "groups": _stacked(groups),
        "confusion": _stacked(confusion).astype({"predicted": int}),
        "bootstrap": _bootstraps(runs, data),
    }


def provenance(ds: faces.FaceDataset) -> dict:
    """Return where the numbers come from: the faces, the code, the versions, the machine."""
    files = [*ds.labels["file"], *ds.skipped["file"]]
    names = "".join(f"{name}\n" for name in sorted(Path(file).name for file in files))
    git = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    blas = [
        f"{b['internal_api']} {b['version']} {b['architecture']}"
        for b in threadpool_info()
        if b["user_api"] == "blas"
    ]
    data: dict[str, Any] = {"source": "the stand-in" if ds.drawn else "UTKFace", "drawn": ds.drawn}
    data |= {"faces": len(ds), "set_aside": len(ds.skipped), "faces_fingerprint": ds.fingerprint}
    data["file_names_sha256"] = hashlib.sha256(names.encode()).hexdigest()
    if not ds.drawn and Path(ds.source).is_file():
        with open(ds.source, "rb") as file:
            data["archive_sha256"] = hashlib.file_digest(file, "sha256").hexdigest()
    versions = {name: version(name) for name in ("hw1lib", "numpy", "scipy", "scikit-learn")}
    return {
        "data": data,
        "code": {"commit": commit or "not known", "date": time.strftime("%Y-%m-%d")},
        "versions": versions | {"python": platform.python_version()},
        "machine": {"processor": platform.processor() or platform.machine(), "blas": blas},
    }


def write_recording(results: dict, folder) -> Path:
    """Write what ``record`` returns: CSV files, provenance.json, faces.npz; return the folder."""
    folder = Path(folder)

    def arrays(path):
        with open(path, "wb") as file:
            np.savez_compressed(file, allow_pickle=False, **results["faces"])

    for name, table in results.items():
        if isinstance(table, pd.DataFrame):
            write_text(folder / f"{name}.csv", table.to_csv(index=False, lineterminator="\n"))
    write_text(folder / "provenance.json", json.dumps(results["provenance"], indent=2) + "\n")
    write_atomically(folder / "faces.npz", arrays)
    return folder


def summary(results: dict) -> str:
    """Return the tables that ``python -m hw1lib reproduce`` prints."""
    runs = results["runs"]
    numbers = published_table(list(PUBLISHED), known=runs)
    compared = compare(runs)[["mean", "low", "high", "holm", "verdict"]]
    return (
        "Mean test RMSE (years) or accuracy over folds, ± half its 95 % interval\n\n"
        f"{numbers.to_string()}\n\n"
        "First less second, paired over the folds; p corrected for all comparisons (Holm 1979)\n\n"
        f"{compared.round(3).to_string()}"
    )


def duplicate_leakage(data: faces.Data, seeds=range(3), n_jobs: int = -1) -> pd.DataFrame:
    """Return the test RMSE of ``width/64`` with folds at random, and with near-duplicates together.

    Both are measured on the same faces: all, those with a near-duplicate, the others (``kind``).
    Columns ``faces, random, together`` (years), and of the difference ``mean, low, high`` (95 %,
    over the groups of near-duplicates).
    """
    groups = np.asarray(data.groups)
    squares = {}
    for kind, its_groups in (("random", np.arange(len(data))), ("together", groups)):
        dealt = replace(data, groups=its_groups)
        runs = run("width/64", dealt, range(10), seeds, n_jobs=n_jobs)
        tested = face_errors(runs, "width/64", dealt)
        squares[kind] = (tested["error"] ** 2).groupby(level=0).mean()
    both = pd.DataFrame(squares).dropna()  # a face that found no room in a fold is in no test
    twice = np.bincount(groups)[groups[both.index]] > 1
    chosen = {"all": both, "with a near-duplicate": both[twice], "others": both[~twice]}
    rows = []
    for kind, faces_of in chosen.items():
        random, together = np.sqrt(faces_of["random"].mean()), np.sqrt(faces_of["together"].mean())
        change = faces_of["random"] - faces_of["together"]
        sums = (change - change.mean()).groupby(groups[faces_of.index]).sum()
        spread = np.sqrt((sums**2).sum()) / max(len(faces_of), 1)
        half = 1.96 * spread / (random + together)  # from squared errors to their root
        mean = random - together
        numbers = [random, together, mean, mean - half, mean + half]
        rows.append([kind, len(faces_of), *np.round(numbers, 4)])
    columns = ["kind", "faces", "random", "together", "mean", "low", "high"]
    return pd.DataFrame(rows, columns=columns)
