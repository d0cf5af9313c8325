"""What is compared with what: each comparison differs in one setting, or both sides were tuned with the same budget.

A difference is "first less second", in years of test RMSE (negative: the first is better) or in points of accuracy, per
cent of the faces (positive: the first is better).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from hw1lib.study.published import PUBLISHED
from hw1lib.study.results import AS_PUBLISHED, fold_means, interval

SAME = {"rmse": 0.1, "accuracy": 0.5}  # years, points: differences that are of no use to anyone
TUNED = "each tuned"
PIXELS = "pixels; each tuned"


class Comparison(NamedTuple):
    """A question, the experiment that would be better, the one it is compared with, and what differs between them."""

    question: str
    first: str
    second: str
    factor: str  # the one setting, a field of Experiment; or TUNED, with the same budget; or PIXELS, with its own
    claimed: bool = False  # by the report


COMPARISONS = (
    Comparison("A/A: the same setting, other networks", "width/64/other-networks", "width/64", "repeat"),
    # 2.2.4, what the report concludes
    Comparison("Is random better than zero initialisation?", "init/random", "init/zero", "initializer", True),
    Comparison("Is Xavier better than zero initialisation?", "init/xavier", "init/zero", "initializer", True),
    Comparison("Are 64 neurons better than 32?", "width/64", "width/32", TUNED, True),
    Comparison("Are 64 neurons better than 16?", "width/64", "width/16", TUNED, True),
    Comparison("Is (64, 16) better than (64, 32)?", "depth/64-16", "depth/64-32", TUNED, True),
    Comparison("Is (64, 16) better than (32, 8)?", "depth/64-16", "depth/32-8", TUNED, True),
    Comparison("Is (64, 16) better than 64?", "depth/64-16", "width/64", TUNED, True),
    Comparison("... both with the settings of 64", "depth/64-16/settings-of-64", "width/64", "hidden"),
    Comparison("... both with the settings of (64, 16)", "depth/64-16", "width/64/settings-of-64-16", "hidden"),
    # 2.2.4, orders that the tables print
    Comparison("Is Xavier better than random?", "init/xavier", "init/random", "initializer"),
    Comparison("Is He better than Xavier?", "init/he", "init/xavier", "initializer"),
    Comparison("Are 32 neurons better than 16?", "width/32", "width/16", TUNED),
    # where the output's bias starts
    Comparison("Is an output bias that starts at the mean age better?", "width/64", "zero-bias/64", "output_bias"),
    Comparison("Is sigma 1 better than 0.1, bias at the mean?", "mean-bias/sigma-1.0", "init/random", "initializer"),
    Comparison("Is sigma 1 better than 0.1, bias at 0?", "zero-bias/sigma-1.0", "zero-bias/sigma-0.1", "initializer"),
    # 2.1
    Comparison("Is a PCA of training faces alone better?", "width/64/training-pca", "width/64", "pca_faces"),
    # 2.2.5
    Comparison("Is momentum 0.9 better than none?", "rate/momentum", "rate/constant", "momentum"),
    Comparison("Is the rate 3e-3 better, no momentum?", "rate/constant-10", "rate/constant", "schedule"),
    Comparison("Is a rate that decays better, from 3e-4?", "rate/decay", "rate/momentum", "schedule"),
    Comparison("Is the rate 2e-3 better than 3e-4?", "rate/momentum-large", "rate/momentum", "schedule"),
    Comparison("Is a rate that decays better, from 2e-3?", "rate/decay-large", "rate/momentum-large", "schedule"),
    Comparison("Is weight decay 0.1 better, 60 epochs?", "rate/weight-decay", "rate/momentum", "weight_decay"),
    Comparison(
        'Is "lambda" better, as published?',
        "rate/lambda" + AS_PUBLISHED,
        "width/64" + AS_PUBLISHED,
        "weight_decay",
        True,
    ),
    # 2.2.6
    Comparison("Is weight decay 0.1 better, 1,500 epochs?", "overfit/weight-decay", "overfit/long", "weight_decay"),
    Comparison("Is early stopping better?", "overfit/early-stopping", "overfit/long", "patience"),
    Comparison("Are 8 neurons better than 64, 1,500 epochs?", "overfit/width-8", "overfit/long", "hidden"),
    Comparison("Are 16,000 faces better than 8,000?", "overfit/faces-16000", "overfit/faces-8000", "n_train"),
    # 2.2.7
    Comparison("Is the rate 1e-3 better, 8,000 epochs?", "race/8000/no-decay", "race/8000/rate-1e-4", "schedule"),
    Comparison("Is weight decay better, at 1e-4?", "race/8000/rate-1e-4-decay", "race/8000/rate-1e-4", "weight_decay"),
    Comparison("Is weight decay better, at 1e-3?", "race/8000", "race/8000/no-decay", "weight_decay"),
    # beyond the report
    Comparison("Is a convolutional network better than 64?", "conv/age", "width/64", PIXELS),
    Comparison("Is a convolutional network better than (64, 16)?", "conv/age", "depth/64-16", PIXELS),
    Comparison("Is a convolutional network better, race label?", "conv/race", "race/64", PIXELS),
)


def difference(results: dict, first: str, second: str, what: str = "test") -> tuple[float, float, float]:
    """Return mean and 95 % interval (Student t over the folds) of first less second, on the folds that both have.

    About where the difference would lie if other faces were drawn and all networks trained again.
    """
    return interval(_by_fold(results, first, second, what))


def _by_fold(results: dict, first: str, second: str, what: str = "test") -> pd.Series:
    return (fold_means(results, first, what) - fold_means(results, second, what)).dropna()


def bootstrap(results: dict, first: str, second: str, n: int = 2000) -> tuple[float, float]:
    """Return a 95 % interval of the same difference, the faces of each test drawn again (Efron 1979).

    ``results`` must hold ``errors``. The networks stay as they are: of two intervals, the wider is shown.
    """
    age = results["experiments"][first]["settings"]["target"] == "age"
    squares = [_errors_by_fold(results, name, age) for name in (first, second)]
    rng, totals = np.random.default_rng(0), np.zeros(n)
    common = sorted(squares[0].keys() & squares[1].keys())
    for fold in common:
        a, b = squares[0][fold], squares[1][fold]  # (networks, faces)
        counts = rng.multinomial(a.shape[1], np.full(a.shape[1], 1 / a.shape[1]), n).astype(np.float32)  # (n, faces)
        means = [counts @ errors.T.astype(np.float32) / errors.shape[1] for errors in (a, b)]  # (n, networks)
        one, other = (np.sqrt(m) if age else 1 - m for m in means)
        totals += one.mean(axis=1) - other.mean(axis=1)
    low, high = np.quantile(totals / len(common), (0.025, 0.975))
    return float(low), float(high)


def _errors_by_fold(results: dict, name: str, age: bool) -> dict[int, np.ndarray]:
    found: dict[int, list] = {}
    for run in results["experiments"][name]["runs"]:
        errors = np.asarray(run["errors"], float)
        found.setdefault(run["fold"], []).append(errors**2 if age else errors)
    return {fold: np.array(rows) for fold, rows in found.items()}


def verdict(metric: str, low: float, high: float) -> str:
    """Say whether the first is better: "yes", "no", "the same within 0.1 years" (0.5 points), or "inconclusive"."""
    same, sign = SAME[metric], 1 if metric == "rmse" else -1
    low, high = sorted((sign * low, sign * high))
    if -same <= low and high <= same:
        return "the same within " + ("0.1 years" if metric == "rmse" else "0.5 points")
    return "yes" if high < 0 else "no" if low > 0 else "inconclusive"


def holm(p_values: pd.Series) -> pd.Series:
    """Return p values corrected for their number (Holm 1979), step by step from the smallest."""
    ordered = p_values.dropna().sort_values()
    steps = np.maximum.accumulate(ordered.to_numpy() * np.arange(len(ordered), 0, -1))
    return pd.Series(np.minimum(steps, 1.0), ordered.index).reindex(p_values.index)


def else_differs(results: dict, comparison: Comparison) -> str:
    """Return which settings differ beside the factor: "nothing", or their names; or "each tuned"."""
    if comparison.factor in (TUNED, PIXELS):
        return comparison.factor
    first, second = (results["experiments"][name]["settings"] for name in (comparison.first, comparison.second))
    return ", ".join(key for key in first if first[key] != second[key] and key != comparison.factor) or "nothing"


def compare(results: dict, of: str | tuple[str, ...] = "", comparisons=COMPARISONS) -> pd.DataFrame:
    """Return every comparison whose two experiments are in the results.

    Parameters
    ----------
    results : dict
        As ``run`` or ``recorded`` returns them.
    of : str or tuple of str
        Only those whose first experiment's name begins so; p values are corrected for all of them nevertheless.
    comparisons : sequence of Comparison

    Returns
    -------
    DataFrame
        Index the questions; ``first, second, factor, else_differs, claimed, metric, published`` (difference, or NaN),
        ``folds`` (the difference in each), ``mean, low, high`` (the wider of the two intervals, where the results hold
        both), ``p``, ``holm``, ``verdict``. Differences are in years, or in points: per cent of the faces.
    """
    rows = {}
    for one in comparisons:
        if not {one.first, one.second} <= results["experiments"].keys():
            continue
        metric = "rmse" if results["experiments"][one.first]["settings"]["target"] == "age" else "accuracy"
        folds = _by_fold(results, one.first, one.second)
        mean, low, high = interval(folds)
        kept = results.get("bootstrap", {}).get(f"{one.first} - {one.second}")
        if kept and kept[1] - kept[0] > high - low:
            low, high = kept
        p = float(stats.ttest_1samp(folds, 0.0).pvalue) if len(folds) > 1 and folds.std() > 0 else np.nan
        known = [PUBLISHED.get(name.removesuffix(AS_PUBLISHED)) for name in (one.first, one.second)]
        published = known[0].value - known[1].value if known[0] and known[1] else np.nan
        unit = 1 if metric == "rmse" else 100
        numbers = (unit * published, unit * folds.to_numpy(), unit * mean, unit * low, unit * high, p)
        names = (one.first, one.second, one.factor, else_differs(results, one), one.claimed, metric)
        rows[one.question] = (*names, *numbers, verdict(metric, unit * low, unit * high))
    columns = ["first", "second", "factor", "else_differs", "claimed", "metric", "published", "folds"]
    columns += ["mean", "low", "high", "p", "verdict"]
    found = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    found.insert(len(columns) - 1, "holm", holm(found["p"].where(found["factor"] != "repeat")))  # A/A is no question
    return found[found["first"].str.startswith(of)]


def verdict_table(compared: pd.DataFrame) -> pd.DataFrame:
    """Return what ``compare`` returns as a table to read; "*" marks a verdict that Holm's correction does not leave."""
    unit = compared["metric"].map({"rmse": "years", "accuracy": "points"})
    doubtful = compared["verdict"].isin(["yes", "no"]) & (compared["holm"] > 0.05)
    columns = {
        "published": compared["published"].map(lambda value: "-" if np.isnan(value) else f"{value:+.2f}"),
        "difference": compared["mean"].map("{:+.2f} ".format) + unit,
        "95 % interval": [f"{a:+.2f} to {b:+.2f}" for a, b in zip(compared["low"], compared["high"], strict=True)],
        "verdict": compared["verdict"] + doubtful.map({True: " *", False: ""}),
        "what else differs": compared["else_differs"],
    }
    return pd.DataFrame(columns, index=compared.index)
