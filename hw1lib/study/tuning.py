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

# The budget: 48 of these settings, drawn once, on two folds of another partition of the faces; then the best eight of
# them on four folds more. One network each; what is chosen has the best mean over all six.
GRID = {
    "rate": (5e-4, 1e-3, 2e-3, 4e-3),
    "decay": (0.96, 0.97, 0.98, 0.99),
    "weight_decay": (0.05, 0.1, 0.3, 1.0, 2.0),
    "whitening": (0.0, 0.2, 0.4),
}
SETTINGS, FIRST_FOLDS, BEST, FOLDS, PARTITION = 48, 2, 8, 6, 1
RACE_RATE = 50  # the grid's rates are so many times larger for race, and its weight decays smaller


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
        Name -> list of ``schedule, weight_decay, whitening`` as JSON has them, and ``validation``: RMSE in years, or
        accuracy, of each fold; None where a network diverged.
    """
    rows = folds(near_duplicates(table.iloc[:, len(LABELS) :]), FOLDS, PARTITION)
    found: dict[str, list[dict]] = {}
    for name in names:
        experiment = replace(START, hidden=EXPERIMENTS[name].hidden, target=EXPERIMENTS[name].target)
        sign = 1 if experiment.target == "age" else -1
        tried = {str(i): candidate for i, candidate in enumerate(candidates(experiment))}
        for n_folds in (FIRST_FOLDS, FOLDS):
            results = run(tried, table, range(n_folds), n_jobs=n_jobs, progress=progress, rows=rows, may_diverge=True)[
                "experiments"
            ]
            scores = {i: [one.get("validation", np.inf * sign) for one in results[i]["runs"]] for i in tried}
            order = sorted(tried, key=lambda i: sign * np.mean(scores[i]))
            found[name] = [
                {key: results[i]["settings"][key] for key in TUNED[name]}
                | {"validation": [score if np.isfinite(score) else None for score in scores[i]]}
                for i in order
            ] + found.get(name, [])[BEST:]
            tried = {i: tried[i] for i in order[:BEST]}
    return found
