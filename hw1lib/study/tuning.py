"""Settings chosen on validation faces: every architecture gets the same budget, on folds apart from those reported."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from hw1lib.faces.features import LABELS, folds, near_duplicates
from hw1lib.faces.kept import feature_table
from hw1lib.nn import ExponentialDecay
from hw1lib.study.experiments import CONV, EXPERIMENTS, PIXELS, START, TUNED, run
from hw1lib.study.training import Experiment

# The budget: 32 settings drawn at random from these ranges (Bergstra and Bengio 2012), on two folds of another
# partition of the faces; then the best eight of them on four folds more. One network each; the best mean is chosen.
RATES, WEIGHT_DECAYS = (5e-4, 4e-3), (0.05, 1.5)  # on a logarithmic scale
DECAYS, WHITENINGS = (0.955, 0.985), (0.0, 0.5)
SETTINGS, FIRST_FOLDS, BEST, FOLDS, PARTITION = 32, 2, 8, 6, 1
RACE_RATE = 50  # the rates are so many times larger for race, and the weight decays smaller
# The budget of networks on pixels: six settings, each on one fold of that partition; of them ``within_one_error``.
CONV_RATES, CONV_WEIGHT_DECAYS, CONV_DECAYS, CONV_SETTINGS = (2e-4, 1e-3), (0.02, 1.0), (0.85, 0.95), 6


def candidates(experiment: Experiment) -> list[Experiment]:
    """Return the settings that are tried: the same for every architecture on features, others for one on pixels."""
    ranges, n, whitenings = [RATES, WEIGHT_DECAYS, DECAYS], SETTINGS, WHITENINGS
    if experiment.filters:
        ranges, n, whitenings = [CONV_RATES, CONV_WEIGHT_DECAYS, CONV_DECAYS], CONV_SETTINGS, (0.0, 0.0)
    rng, found = np.random.default_rng(0), []
    factor = 1 if experiment.target == "age" else RACE_RATE
    for _ in range(n):
        rate, weight_decay = np.exp(rng.uniform(*np.log(ranges[:2]).T))
        decay, whitening = rng.uniform(*np.transpose([ranges[2], whitenings]))
        schedule = ExponentialDecay(_rounded(rate * factor), _rounded(decay))
        weight_decay, whitening = _rounded(weight_decay / factor), _rounded(whitening)
        found.append(replace(experiment, schedule=schedule, weight_decay=weight_decay, whitening=whitening))
    return found


def _rounded(value: float) -> float:
    """Return two digits, as one would write a setting; near 1, where a decay is, three decimals."""
    return float(f"{value:.2g}") if value < 0.9 else round(float(value), 3)


def untuned(name: str) -> Experiment:
    """Return what the settings of an architecture are tried on."""
    start = PIXELS if name in CONV else START
    return replace(start, hidden=EXPERIMENTS[name].hidden, target=EXPERIMENTS[name].target)


def within_one_error(tried: list[dict], target: str, n: int) -> dict:
    """Return the setting with the largest weight decay of those that one fold can't tell from the best.

    One standard error of the best score is what it can't tell (Breiman et al. 1984, section 3.4.3).

    Parameters
    ----------
    tried : list of dict
        As ``tune`` returns them.
    target : {"age", "race"}
    n : int
        Validation faces. An RMSE's standard error is taken as RMSE / sqrt(2 n), that of normal errors.
    """
    best = tried[0]["validation"][0]
    error = best / (2 * n) ** 0.5 if target == "age" else (best * (1 - best) / n) ** 0.5
    near = [one for one in tried if None not in one["validation"] and abs(one["validation"][0] - best) <= error]
    return max(near, key=lambda one: one["weight_decay"])


def tune(data, names=(*TUNED, *CONV), n_jobs: int = -1, progress: bool = True) -> dict[str, list[dict]]:
    """Return what was tried for each architecture, the best first.

    ``data`` is what ``study.run`` takes; networks on pixels need the faces.

    Returns
    -------
    dict
        Name -> list of ``schedule, weight_decay, whitening`` (of features) as JSON has them, and ``validation``: RMSE
        in years, or accuracy, of each fold; None where a network diverged.
    """
    table = data if isinstance(data, pd.DataFrame) else feature_table(data, progress)
    rows = folds(near_duplicates(table.iloc[:, len(LABELS) :]), FOLDS, PARTITION)
    found: dict[str, list[dict]] = {}
    for name in names:
        experiment, chosen = untuned(name), CONV.get(name) or TUNED[name]
        sign = 1 if experiment.target == "age" else -1
        tried = {str(i): candidate for i, candidate in enumerate(candidates(experiment))}
        for n_folds in (1,) if name in CONV else (FIRST_FOLDS, FOLDS):
            results = run(tried, data, range(n_folds), n_jobs=n_jobs, progress=progress, rows=rows, may_diverge=True)[
                "experiments"
            ]
            scores = {i: [one.get("validation", np.inf * sign) for one in results[i]["runs"]] for i in tried}
            order = sorted(tried, key=lambda i: sign * np.mean(scores[i]))
            found[name] = [
                {key: results[i]["settings"][key] for key in chosen}
                | {"validation": [score if np.isfinite(score) else None for score in scores[i]]}
                for i in order
            ] + found.get(name, [])[BEST:]
            tried = {i: tried[i] for i in order[:BEST]}
    return found
