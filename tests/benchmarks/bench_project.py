"""Experiments side by side, the time of an import, and how cost grows with data.

Run it alone: python tests/benchmarks/run.py bench_project. Ratios are ours / theirs, from pairs
measured in turn; the median counts.
"""

from __future__ import annotations

import os
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

from hw1lib import faces
from hw1lib.faces import standin
from hw1lib.study import EXPERIMENTS, run

ROUNDS = 7
CORES = joblib.cpu_count()


def clock(work) -> float:
    """Return the seconds that a call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def made_up(n: int) -> faces.Data:
    """Return n made-up faces with 128 features, of which a few tell the age."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, 128)).astype(np.float32)
    age = np.clip(np.rint(35 + 8 * X[:, :4].sum(axis=1)), 1, 116).astype(int)
    labels = pd.DataFrame({"file": "", "age": age, "gender": 0, "race": 0})
    return faces.Data(X, labels, np.arange(n))


def train_anew(experiment, data, seeds, n_jobs: int) -> pd.DataFrame:
    """Run an experiment on the first fold, with an empty cache."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HW1_CACHE"] = folder
        return run({"it": experiment}, data, [0], seeds, n_jobs=n_jobs, progress=False)


def side_by_side(rounds: int = ROUNDS) -> dict:
    """Ten seeds through study.run on all cores, against the same ten one after the other."""
    data, experiment = made_up(20_000), replace(EXPERIMENTS["width/64"], epochs=60)

    def ten(n_jobs):
        return train_anew(experiment, data, range(10), n_jobs)["test"].tolist()

    assert ten(CORES) == ten(1)  # starts the processes, too
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
    """Return how the cost of an item grows from the smallest to the largest size: 1 is linear."""
    each = {n: statistics.median(cost(n) for _ in range(3)) / n for n in sizes}
    slope = np.polyfit(np.log(sizes), np.log(list(each.values())), 1)[0]
    told = ", ".join(f"{n:,}: {1e6 * seconds:.1f} us" for n, seconds in each.items())
    print(f"{what}: {told}; slope {slope:+.3f}")
    ratio = each[sizes[-1]] / each[sizes[0]]
    against = f"itself at 1/{sizes[-1] // sizes[0]}"
    return {"what": what, "against": against, "ratio": ratio, "goal": goal}


def training_growth() -> dict:
    """Seconds per training row of an epoch, at 1x, 4x and 16x the rows."""
    experiment = replace(EXPERIMENTS["width/64"], epochs=2)
    data = {n: made_up(n) for n in (20_000, 80_000, 320_000)}

    def cost(n):
        return train_anew(experiment, data[n], [0], 1)["seconds"][0]

    return growth("training, seconds a row", cost, list(data))


def export_growth() -> dict:
    """Seconds per face of an export, at 1x, 4x and 16x the faces."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HW1_CACHE"] = str(Path(folder) / "cache")
        standin.make(Path(folder) / "faces", 16_000, progress=False)
        ds = faces.open(Path(folder) / "faces", progress=False)
        preprocessor = faces.Preprocessor(32).fit(ds.images(range(500)), progress=False)
        labels, paths = ds.labels, ds._paths

        def cost(n):
            ds.labels, ds._paths = labels[:n], paths[:n]
            with tempfile.TemporaryDirectory() as target:
                chunks = Path(target) / "chunks"
                return clock(lambda: preprocessor.export(ds, chunks, progress=False))

        return growth("export, seconds a face", cost, [1000, 4000, 16_000])


def rows():
    """Yield one row for each benchmark: dict(what, against, ratio, goal)."""
    yield side_by_side()
    yield import_time()
    yield training_growth()
    yield export_growth()
