"""Settings chosen on validation faces: every architecture gets the same budget, on folds apart from those reported."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd

from hw1lib.nn import ExponentialDecay
from hw1lib.study.experiments import run
from hw1lib.study.training import Experiment

# The budget: 24 of these settings, drawn once, each on two folds of another partition of the faces.
GRID = {
    "rate": (5e-4, 1e-3, 2e-3, 4e-3),
    "decay": (0.96, 0.98),
    "weight_decay": (0.03, 0.1, 0.3, 1.0),
    "whitening": (0.0, 0.2, 0.4),
}
SETTINGS, FOLDS, PARTITION = 24, (0, 1), 1


def candidates(experiment: Experiment, rate_factor: float = 1.0) -> dict[str, Experiment]:
    """Return the settings that are tried, the same for every experiment; ``rate_factor`` is 100 for classes."""
    grid = list(product(*GRID.values()))
    drawn = np.random.default_rng(0).choice(len(grid), SETTINGS, replace=False)
    found = {}
    for rate, decay, weight_decay, whitening in (grid[i] for i in sorted(drawn)):
        schedule = ExponentialDecay(rate * rate_factor, decay)
        wd = weight_decay / rate_factor
        found[f"{schedule.rate:g}, {decay:g}, {wd:g}, {whitening:g}"] = replace(
            experiment, schedule=schedule, weight_decay=wd, whitening=whitening
        )
    return found


def tune(experiment: Experiment, table: pd.DataFrame, rate_factor: float = 1.0, **how) -> pd.Series:
    """Return the mean validation metric of every candidate, the best first; who diverged once is infinitely bad."""
    tried = run(candidates(experiment, rate_factor), table, FOLDS, partition=PARTITION, may_diverge=True, **how)
    sign = 1 if experiment.target == "age" else -1
    score = {
        name: np.mean([sign * one.get("validation", np.inf * sign) for one in found["runs"]])
        for name, found in tried["experiments"].items()
    }
    return pd.Series(score, name="validation").sort_values() * sign
