"""Settings chosen on validation faces: every architecture gets the same budget, on folds apart from those reported."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd

from hw1lib.faces.features import LABELS, folds, near_duplicates
from hw1lib.nn import ExponentialDecay
from hw1lib.study.experiments import EXPERIMENTS, START, TUNED, run
from hw1lib.study.training import Experiment

# The budget: 24 of these settings, drawn once, each on two folds of another partition of the faces, one network each.
GRID = {
    "rate": (5e-4, 1e-3, 2e-3, 4e-3),
    "decay": (0.96, 0.98),
    "weight_decay": (0.03, 0.1, 0.3, 1.0),
    "whitening": (0.0, 0.2, 0.4),
}
SETTINGS, FOLDS, PARTITION = 24, 2, 1
RACE_RATE = 100  # the grid's rates are so many times larger for race, and its weight decays smaller


def candidates(experiment: Experiment) -> list[Experiment]:
    """Return the settings that are tried: the same for every architecture."""
    grid = list(product(*GRID.values()))
    drawn = np.random.default_rng(0).choice(len(grid), SETTINGS, replace=False)
    factor = 1 if experiment.target == "age" else RACE_RATE
    return [
        replace(
            experiment,
            schedule=ExponentialDecay(rate * factor, decay),
            weight_decay=weight_decay / factor,
            whitening=whitening,
        )
        for rate, decay, weight_decay, whitening in (grid[i] for i in sorted(drawn))
    ]


def tune(table: pd.DataFrame, names=tuple(TUNED), n_jobs: int = -1, progress: bool = True) -> dict[str, list[dict]]:
    """Return what was tried for each architecture, the best first.

    Returns
    -------
    dict
        Name -> list of ``schedule, weight_decay, whitening`` as JSON has them, and ``validation``: the mean over the
        folds, years or accuracy; None for settings with which a network diverged.
    """
    rows = folds(near_duplicates(table.iloc[:, len(LABELS) :]), FOLDS, PARTITION)
    tried = {
        f"{name} {i}": candidate
        for name in names
        for i, candidate in enumerate(
            candidates(replace(START, hidden=EXPERIMENTS[name].hidden, target=EXPERIMENTS[name].target))
        )
    }
    results = run(tried, table, range(FOLDS), n_jobs=n_jobs, progress=progress, rows=rows, may_diverge=True)
    found: dict[str, list[dict]] = {name: [] for name in names}
    for label, one in results["experiments"].items():
        settings = {name: one["settings"][name] for name in ("schedule", "weight_decay", "whitening")}
        scores = [fold.get("validation") for fold in one["runs"]]
        settings["validation"] = None if None in scores else round(float(np.mean(scores)), 4)
        found[label.split()[0]].append(settings)
    for name, all_tried in found.items():
        sign = 1 if EXPERIMENTS[name].target == "age" else -1
        all_tried.sort(key=lambda one: np.inf if one["validation"] is None else sign * one["validation"])
    return found
