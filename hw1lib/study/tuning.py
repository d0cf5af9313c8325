"""Settings chosen on validation faces: every architecture gets the same budget.

The folds are those of another partition than the one that is reported.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from hw1lib.nn import ExponentialDecay
from hw1lib.study.experiments import (
    BASE,
    CONV_BASE,
    CONV_TUNED,
    EXPERIMENTS,
    TARGETS,
    TUNED,
    Experiment,
)
from hw1lib.study.runs import run

# The budget: 32 settings drawn at random from these ranges (Bergstra and Bengio 2012), on two folds
# of another partition of the faces; then the best eight of them on four folds more. One network
# each; the best mean is chosen.
RATES, WEIGHT_DECAYS = (5e-4, 4e-3), (0.05, 1.5)  # on a logarithmic scale
DECAYS, WHITENINGS = (0.955, 0.985), (0.0, 0.5)
SETTINGS, FIRST_FOLDS, BEST, FOLDS, PARTITION = 32, 2, 8, 6, 1
RACE_RATE = 50  # the rates are so many times larger for race, and the weight decays smaller
# The budget of networks on pictures: six settings on one fold; of them ``within_one_error``.
CONV_RATES, CONV_WEIGHT_DECAYS = (2e-4, 1e-3), (0.02, 1)
CONV_DECAYS, CONV_SETTINGS = (0.85, 0.95), 6


def candidates(experiment: Experiment) -> list[Experiment]:
    """Return the settings that are tried: the same for every architecture of a kind."""
    rates, weight_decays, decays, whitenings, n = RATES, WEIGHT_DECAYS, DECAYS, WHITENINGS, SETTINGS
    if experiment.filters:
        rates, weight_decays, decays = CONV_RATES, CONV_WEIGHT_DECAYS, CONV_DECAYS
        whitenings, n = (0.0, 0.0), CONV_SETTINGS
    factor = 1 if experiment.target == "age" else RACE_RATE
    rng = np.random.default_rng(0)
    tried = []
    for _ in range(n):
        rate, weight_decay = np.exp(rng.uniform(*np.log([rates, weight_decays]).T))
        decay, whitening = rng.uniform(*np.transpose([decays, whitenings]))
        settings: dict[str, Any] = {
            "learning_rate": ExponentialDecay(_rounded(rate * factor), _rounded(decay)),
            "weight_decay": _rounded(weight_decay / factor),
            "whitening": _rounded(whitening),
        }
        tried.append(replace(experiment, **settings))
    return tried


def _rounded(value: float) -> float:
    """Return two digits, as one would write a setting; near 1, where a decay is, three decimals."""
    return float(f"{value:.2g}") if value < 0.9 else round(float(value), 3)


def untuned(name: str) -> Experiment:
    """Return what the settings of an architecture are tried on."""
    start = CONV_BASE if name in CONV_TUNED else BASE
    return replace(start, hidden=EXPERIMENTS[name].hidden, target=EXPERIMENTS[name].target)


def tune(ds, names=(*TUNED, *CONV_TUNED), n_jobs: int = -1, progress: bool = True) -> pd.DataFrame:
    """Return what was tried for architectures of ``TUNED`` and ``CONV_TUNED``, on ``run``'s data.

    Columns ``experiment, rank`` (0 is the best), ``learning_rate, weight_decay, whitening`` (of
    features), ``fold`` and ``validation``: RMSE in years, or accuracy; NaN where a network
    diverged. Only the best settings have all folds.
    """
    tables = []
    for name in names:
        experiment = untuned(name)
        all_tried = {str(i): each for i, each in enumerate(candidates(experiment))}

        def try_on(tried, n_folds, sign=TARGETS[experiment.target].sign):
            folds = range(n_folds)
            runs = run(tried, ds, folds, range(1), PARTITION, n_jobs, progress, may_diverge=True)
            lost = runs["validation"].fillna(sign * np.inf)  # what diverged is the worst
            runs["mean"] = (sign * lost).groupby(runs["experiment"]).transform("mean")
            return runs.sort_values("mean", kind="stable")

        runs = try_on(all_tried, 1 if experiment.filters else FIRST_FOLDS)
        if not experiment.filters:
            best = runs["experiment"].unique()[:BEST]
            others = runs[~runs["experiment"].isin(best)]
            runs = pd.concat([try_on({i: all_tried[i] for i in best}, FOLDS), others])
        settings = pd.DataFrame([all_tried[i].settings() for i in runs["experiment"]])
        table = settings.reindex(columns=["learning_rate", "weight_decay", "whitening"])
        table.insert(0, "experiment", name)
        table.insert(1, "rank", pd.factorize(runs["experiment"])[0])
        tables.append(table.assign(**{c: runs[c].to_numpy() for c in ("fold", "validation")}))
    return pd.concat(tables, ignore_index=True)


def within_one_error(tried: pd.DataFrame, target: str, n: int) -> pd.Series:
    """Return the setting with the largest weight decay of those that can't be told from the best.

    One standard error of the best score is what one fold of ``n`` faces can't tell (Breiman et al.
    1984, section 3.4.3). An RMSE's is taken as RMSE / sqrt(2 n), that of normal errors. ``tried``
    are the rows of one experiment, as ``tune`` returns them.
    """
    scores = tried["validation"]
    best = scores.iloc[0]
    error = best / (2 * n) ** 0.5 if target == "age" else (best * (1 - best) / n) ** 0.5
    near = tried[(scores - best).abs() <= error]
    return near.loc[near["weight_decay"].idxmax()]
