"""Experiments side by side, the time of an import, and how cost grows with data.

Run it alone: python tests/benchmarks/bench_project.py. Ratios are ours / theirs, from pairs measured in turn; the
median counts.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import pandas as pd

from hw1lib.faces import standin
from hw1lib.faces.data import FaceDataset
from hw1lib.faces.features import feature_names, folds
from hw1lib.faces.preprocess import Preprocessor
from hw1lib.study.experiments import EXPERIMENTS, run

ROUNDS = 7
CORES = joblib.cpu_count()


def clock(work) -> float:
    """Return the seconds that a call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def made_up(n: int) -> pd.DataFrame:
    """Return a table of n made-up faces with 128 features, of which a few tell the age."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, 128)).astype(np.float32)
    age = np.clip(np.rint(35 + 8 * X[:, :4].sum(axis=1)), 1, 116).astype(int)
    labels = pd.DataFrame({"file": "", "age": age, "gender": 0, "race": 0})
    return pd.concat([labels, pd.DataFrame(X, columns=feature_names(128))], axis=1)


def side_by_side(rounds: int = ROUNDS) -> dict:
    """Ten seeds through experiments.run on all cores, against the same ten one after the other."""
    table, rows = made_up(20_000), folds(np.arange(20_000))  # known: no time for near-duplicates
    experiment = {"ten seeds": replace(EXPERIMENTS["width/64"], epochs=60)}

    def ten(n_jobs):
        return run(experiment, table, [0], range(10), n_jobs, keep=False, progress=False, rows=rows)["experiments"]

    tests = [
        [one["test"] for one in ten(n_jobs)["ten seeds"]["runs"]] for n_jobs in (CORES, 1)
    ]  # starts the processes, too
    assert tests[0] == tests[1]
    pairs = [(clock(lambda: ten(CORES)), clock(lambda: ten(1))) for _ in range(rounds)]
    ratio = statistics.median(ours / theirs for ours, theirs in pairs)
    what = f"ten seeds of one experiment, {CORES} processes"
    return {"what": what, "against": "ten runs in a row", "ratio": ratio, "goal": 1 / 1.8}


def import_time(rounds: int = 15) -> dict:
    """``import hw1lib`` against ``import numpy``, each in a fresh interpreter."""

    def seconds(module):
        return clock(lambda: subprocess.run([sys.executable, "-c", f"import {module}"], check=True))

    pairs = [(seconds("hw1lib"), seconds("numpy")) for _ in range(rounds)]
    ratio = statistics.median(ours / theirs for ours, theirs in pairs)
    return {"what": "import hw1lib", "against": "import numpy", "ratio": ratio, "goal": 1.5}


def growth(what: str, cost, sizes, goal: float = 1.15) -> dict:
    """Return how the cost of one item grows from the smallest to the largest of ``sizes``: 1 is exactly linear."""
    each = {n: statistics.median(cost(n) for _ in range(3)) / n for n in sizes}
    slope = np.polyfit(np.log(sizes), np.log(list(each.values())), 1)[0]
    print(f"{what}: " + ", ".join(f"{n:,}: {1e6 * s:.1f} us" for n, s in each.items()) + f"; slope {slope:+.3f}")
    ratio = each[sizes[-1]] / each[sizes[0]]
    return {"what": what, "against": f"itself at 1/{sizes[-1] // sizes[0]}", "ratio": ratio, "goal": goal}


def training_growth() -> dict:
    """Seconds per training row of an epoch, at 1x, 4x and 16x the rows."""
    experiment = replace(EXPERIMENTS["width/64"], epochs=2)
    tables = {n: made_up(n) for n in (20_000, 80_000, 320_000)}

    def cost(n):
        rows = folds(np.arange(n), 1)
        found = run({"it": experiment}, tables[n], [0], n_jobs=1, keep=False, progress=False, rows=rows)
        return found["experiments"]["it"]["runs"][0]["seconds"]

    return growth("training, seconds a row", cost, list(tables))


def export_growth() -> dict:
    """Seconds per face of an export, at 1x, 4x and 16x the faces."""
    with tempfile.TemporaryDirectory() as folder:
        standin.make(Path(folder) / "faces", 16_000, progress=False)
        ds = FaceDataset.open(Path(folder) / "faces", progress=False)
        preprocessor = Preprocessor(32).fit(ds, subset=500, progress=False)
        labels, paths = ds.labels, ds._paths

        def cost(n):
            ds.labels, ds._paths = labels[:n], paths[:n]
            with tempfile.TemporaryDirectory() as target:
                return clock(lambda: preprocessor.export(ds, Path(target) / "chunks", progress=False))

        return growth("export, seconds a face", cost, [1000, 4000, 16_000])


def rows():
    """Yield one row for each benchmark: dict(what, against, ratio, goal)."""
    yield side_by_side()
    yield import_time()
    yield training_growth()
    yield export_growth()


def main():
    for found in rows():
        print(f"{found['what']} / {found['against']}: {found['ratio']:.2f} (at most {found['goal']:.2f})", flush=True)


if __name__ == "__main__":
    main()
