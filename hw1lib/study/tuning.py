"""Settings chosen on validation faces: every architecture gets the same budget.

The folds are those of another partition than the one that is reported.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from hw1lib.nn import ExponentialDecay, LinearDecay
from hw1lib.study.experiment import TARGETS, Experiment
from hw1lib.study.experiments import BASE, EXPERIMENTS, TUNED
from hw1lib.study.runs import run

# The budget: 32 settings drawn at random from these ranges (Bergstra and Bengio 2012), on two folds
# of another partition of the faces; then the best eight of them on four folds more. One network
# each; the best mean is chosen.
RATES, WEIGHT_DECAYS = (5e-4, 4e-3), (0.05, 1.5)  # on a logarithmic scale
DECAYS, WHITENINGS = (0.955, 0.985), (0.0, 0.5)
SETTINGS, FIRST_FOLDS, BEST, FOLDS, PARTITION = 32, 2, 8, 6, 1
TRIED = ["learning_rate", "weight_decay", "whitening"]
RACE_RATE = 50  # the rates are so many times larger for race, and the weight decays smaller
# The budget of the network on pictures: six settings on two folds of that partition. The lowest
# mean validation loss, which has all three labels in it, is chosen.
CONV_RATES, CONV_WEIGHT_DECAYS, CONV_SETTINGS = (0.01, 0.1), (1e-3, 1e-2), 6


def candidates(experiment: Experiment) -> list[Experiment]:
    """Return the settings that are tried: the same for every architecture of a kind."""
    rng = np.random.default_rng(0)
    if experiment.filters:
        return [_on_pictures(experiment, rng) for _ in range(CONV_SETTINGS)]
    return [_on_features(experiment, rng) for _ in range(SETTINGS)]


def _on_features(experiment: Experiment, rng) -> Experiment:
    factor = 1 if experiment.target == "age" else RACE_RATE
    rate, weight_decay = np.exp(rng.uniform(*np.log([RATES, WEIGHT_DECAYS]).T))
    decay, whitening = rng.uniform(*np.transpose([DECAYS, WHITENINGS]))
    return replace(
        experiment,
        learning_rate=ExponentialDecay(_rounded(rate * factor), _rounded(decay)),
        weight_decay=_rounded(weight_decay / factor),
        whitening=_rounded(whitening),
    )


def _on_pictures(experiment: Experiment, rng) -> Experiment:
    rate, weight_decay = np.exp(rng.uniform(*np.log([CONV_RATES, CONV_WEIGHT_DECAYS]).T))
    schedule = LinearDecay(_rounded(rate), experiment.epochs)
    return replace(experiment, learning_rate=schedule, weight_decay=_rounded(weight_decay))


def _rounded(value: float) -> float:
    """Return two digits, as one would write a setting; near 1, where a decay is, three decimals."""
    return float(f"{value:.2g}") if value < 0.9 else round(float(value), 3)


def untuned(name: str) -> Experiment:
    """Return what the settings of an architecture are tried on."""
    known = EXPERIMENTS[name]
    return known if known.filters else replace(BASE, hidden=known.hidden, target=known.target)


def tune(ds, names=(*TUNED, "conv/age"), n_jobs: int = -1) -> pd.DataFrame:
    """Return what was tried for architectures of ``TUNED``, and on pictures, on ``run``'s data.

    Columns ``experiment, rank`` (0 is the best), ``learning_rate, weight_decay, whitening`` (of
    features), ``fold``, ``validation``: RMSE in years, or accuracy; NaN where a network diverged;
    and the ``score`` that chooses: the smaller, the better. Only the best settings have all folds.
    """
    tables = []
    for name in names:
        experiment = untuned(name)
        tried = {str(i): each for i, each in enumerate(candidates(experiment))}
        runs = _ranked(tried, ds, FIRST_FOLDS, n_jobs)
        if not experiment.filters:
            best = runs["experiment"].unique()[:BEST]
            again = _ranked({i: tried[i] for i in best}, ds, FOLDS, n_jobs)
            runs = pd.concat([again, runs[~runs["experiment"].isin(best)]])
        settings = pd.DataFrame([tried[i].settings() for i in runs["experiment"]])
        table = settings.reindex(columns=TRIED)
        table.insert(0, "experiment", name)
        table.insert(1, "rank", pd.factorize(runs["experiment"])[0])
        results = runs[["fold", "validation", "score"]].reset_index(drop=True)
        tables.append(table.join(results))
    return pd.concat(tables, ignore_index=True)


def _ranked(tried: dict[str, Experiment], ds, n_folds: int, n_jobs: int) -> pd.DataFrame:
    """Return runs of what is tried on the first folds, each with its score, the best first."""
    folds = range(n_folds)
    runs = run(tried, ds, folds, partition=PARTITION, n_jobs=n_jobs, may_diverge=True)
    (target,) = runs["target"].unique()
    runs["score"] = TARGETS[target].sign * runs["validation"]
    if any(experiment.filters for experiment in tried.values()):
        runs["score"] = [_last_loss(curve) for curve in runs["curve"]]
    lost = runs["score"].fillna(np.inf)  # what diverged is the worst
    runs["mean"] = lost.groupby(runs["experiment"]).transform("mean")
    return runs.sort_values("mean", kind="stable")


def _last_loss(curve) -> float:
    return curve["validation_loss"].iloc[-1] if isinstance(curve, pd.DataFrame) else np.nan


def tuning_noise(tuning: pd.DataFrame, first: str, second: str, n: int = 2000):
    """Return how much of a difference between two tuned architectures is the luck of the settings.

    Settings are drawn again from those that ``tune`` tried, n times, the same for both; each time
    each architecture's best on the first folds is taken. Of the difference of their validation
    results the standard deviation, and the ends of 95 % of them.
    """
    sign = TARGETS[EXPERIMENTS[first].target].sign
    means = {}
    for name in (first, second):
        its = tuning[(tuning["experiment"] == name) & (tuning["fold"] < FIRST_FOLDS)]
        scores = (sign * its["validation"]).fillna(np.inf)  # what diverged is the worst
        means[name] = scores.groupby([its[setting] for setting in TRIED]).mean()
    both = pd.DataFrame(means).to_numpy()
    drawn = np.random.default_rng(0).integers(len(both), size=(n, len(both)))
    best = both[drawn].min(axis=1)
    differences = sign * (best[:, 0] - best[:, 1])
    low, high = np.quantile(differences, (0.025, 0.975))
    return float(differences.std()), float(low), float(high)
