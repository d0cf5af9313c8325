"""What is compared with what (``comparisons.txt``), and what the numbers say.

A difference is "first less second", in years of test RMSE (negative: the first is better) or in
points of accuracy, per cent of the faces (positive: the first is better).
"""

from __future__ import annotations

import functools
import itertools
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from hw1lib.checks import unmasked
from hw1lib.study.experiment import TARGETS
from hw1lib.study.experiments import EXPERIMENTS, RECONSTRUCTED
from hw1lib.study.published import PUBLISHED, Published, read_table
from hw1lib.study.runs import fold_means, of_experiments, recorded

SAME = {"rmse": 0.1, "accuracy": 0.5}  # differences within it are of no use to anyone
UNITS = {"rmse": "years", "accuracy": "points"}  # of a difference
FEW_FOLDS, FEW_FACES = 2, 20  # no more folds, or fewer faces, say too little
# Of the two experiments the factor alone differs, fields of Experiment; or it is one of
TUNED = "each tuned"  # with the same budget
PICTURES = "pixels; each tuned"  # each with its own


class Comparison(NamedTuple):
    """A question, the experiment that would be better, and the one it is compared with."""

    question: str
    first: str
    second: str
    factor: str
    claimed: bool = False  # by the report


_TABLE = read_table("comparisons.txt")
_TABLE["claimed"] = _TABLE["claimed"] == "yes"
COMPARISONS = tuple(Comparison(*row) for row in _TABLE.itertuples(index=False))


# -- intervals ------------------------------------------------------------------------------------


def interval(values) -> tuple[float, float, float]:
    """Return the mean, and the ends of its 95 % Student t interval; both NaN for a single value."""
    values = np.asarray(unmasked("values", values), float)
    mean, n = float(values.mean()), len(values)
    if n < 2:
        return mean, np.nan, np.nan
    half = stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / n**0.5
    return mean, mean - half, mean + half


def paired(values, reference) -> tuple[float, float, float]:
    """Return mean and 95 % interval (Student t) of ``values - reference``, pair by pair."""
    if len(values) != len(reference):
        raise ValueError(f"there must be pairs, not {len(values)} and {len(reference)} numbers")
    return interval(np.ma.asarray(values, float) - np.ma.asarray(reference, float))


def wilson(right: int, n: int) -> tuple[float, float, float]:
    """Return a share ``right / n`` and its 95 % score interval, good near 1, too (Wilson 1927)."""
    if not n:
        return np.nan, np.nan, np.nan
    ends = stats.binomtest(int(right), int(n)).proportion_ci(0.95, method="wilson")
    return right / n, float(ends.low), float(ends.high)


def difference(runs, first: str, second: str, what: str = "test") -> tuple[float, float, float]:
    """Return mean and 95 % interval (Student t) of first less second, on the folds that both have.

    About where the difference would lie if other faces were drawn and all networks trained again.
    """
    return interval(fold_differences(runs, first, second, what))


def fold_differences(runs, first: str, second: str, what: str = "test") -> pd.Series:
    """Return first less second in each fold that both have."""
    both = of_experiments(runs, first, second)
    return (fold_means(both, first, what) - fold_means(both, second, what)).dropna()


def bootstrap(first: pd.DataFrame, second: pd.DataFrame, target: str, n: int = 2000):
    """Return a 95 % interval of the same difference, the faces of each test drawn again n times.

    ``first`` and ``second`` are as ``face_errors`` returns them. The networks stay as they are
    (Efron 1979). Also returned is the two-sided p value of a difference of 0: twice the share of
    the draws on the rarer side of it.
    """
    totals = np.zeros(n)
    common = sorted(set(first["fold"]) & set(second["fold"]))
    sizes = tuple(first.index[first["fold"] == fold].nunique() for fold in common)
    for fold, n_faces, drawn in zip(common, sizes, _draws(sizes, n), strict=True):
        counts = drawn.astype(np.float32)
        for side, sign in ((first, 1), (second, -1)):
            errors = side.loc[side["fold"] == fold, "error"].to_numpy(np.float32)
            errors = errors.reshape(-1, n_faces)  # (networks, faces)
            squares = counts @ (errors**2).T / n_faces  # (n, networks)
            totals += sign * TARGETS[target].result(squares).mean(axis=1)
    low, high = np.quantile(totals / len(common), (0.025, 0.975))
    rarer = 1 + min((totals <= 0).sum(), (totals >= 0).sum())  # what was measured counts as a draw
    return float(low), float(high), min(1.0, 2 * float(rarer) / (n + 1))


@functools.lru_cache(maxsize=1)
def _draws(sizes: tuple[int, ...], n: int) -> list[np.ndarray]:
    """Return how often each face of each test is drawn, (n, faces): the same for each question."""
    rng = np.random.default_rng(0)
    return [rng.multinomial(size, np.full(size, 1 / size), n).astype(np.uint8) for size in sizes]


# -- groups of test faces -------------------------------------------------------------------------


def errors_by_group(tested: pd.DataFrame, groups, target: str) -> pd.DataFrame:
    """Return the test result of each group of test faces: the mean of what its folds say.

    ``tested`` is as ``face_errors`` returns it; ``groups`` says to which group each row belongs.
    Index the groups; ``n`` faces, the RMSE or accuracy as ``value``, and its 95 % interval ``low,
    high`` (Student t over the folds; NaN for a group that one fold or two have).
    """
    rows = {}
    for group, its in tested.groupby(np.asarray(groups)):
        squares = (its["error"] ** 2).groupby([its["fold"], its["seed"]]).mean()
        folds = TARGETS[target].result(squares).groupby("fold").mean()
        value, low, high = interval(folds)
        if len(folds) <= FEW_FOLDS:
            low = high = np.nan
        rows[group] = (its.index.nunique(), value, low, high)
    return pd.DataFrame.from_dict(rows, orient="index", columns=["n", "value", "low", "high"])


def errors_by_label(tested: pd.DataFrame, target: str) -> pd.DataFrame:
    """Return ``errors_by_group`` of age decades, gender labels and race labels, in one table."""
    kinds = {"age decade": tested["age"] // 10 * 10}
    kinds |= {"gender label": tested["gender"], "race label": tested["race"]}
    tables = {kind: errors_by_group(tested, groups, target) for kind, groups in kinds.items()}
    return pd.concat(tables, names=["kind", "group"]).reset_index()


def by_label(table: pd.DataFrame, races, genders) -> dict[str, pd.DataFrame]:
    """Return what ``errors_by_label`` returns as a table for each kind, with names for codes.

    Groups of fewer than 20 faces are left out; a table may be empty.
    """
    names = {"gender label": dict(enumerate(genders)), "race label": dict(enumerate(races))}
    tables = {}
    for kind, part in table.groupby("kind"):
        part = part[part["n"] >= FEW_FACES].set_index("group")[["n", "value", "low", "high"]]
        tables[str(kind)] = part.rename(index=names.get(str(kind), {}))
    return tables


# -- verdicts -------------------------------------------------------------------------------------


def verdict(metric: str, low: float, high: float) -> str:
    """Say whether the first is better: yes, no, the same within 0.1 years, or inconclusive."""
    same = SAME[metric]
    if metric == "accuracy":  # where more is better
        low, high = -high, -low
    if -same <= low and high <= same:
        return f"the same within {same} {UNITS[metric]}"
    return "yes" if high < 0 else "no" if low > 0 else "inconclusive"


def holm(p_values: pd.Series) -> pd.Series:
    """Return p values corrected for their number (Holm 1979), step by step from the smallest."""
    ordered = p_values.dropna().sort_values()
    steps = np.maximum.accumulate(ordered.to_numpy() * np.arange(len(ordered), 0, -1))
    return pd.Series(np.minimum(steps, 1.0), ordered.index).reindex(p_values.index)


def p_value(differences) -> float:
    """Return the p value of a mean of 0 (Student t); NaN for a single value, or equal ones."""
    if len(differences) < 2 or np.std(differences) == 0:
        return np.nan
    return float(stats.ttest_1samp(differences, 0.0).pvalue)


def else_differs(comparison: Comparison) -> str:
    """Return which settings in ``EXPERIMENTS`` differ beside the factor, or "each tuned"."""
    if comparison.factor in (TUNED, PICTURES):
        return comparison.factor
    first, second = (EXPERIMENTS[name].settings() for name in comparison[1:3])
    factors = comparison.factor.split(", ")
    others = [key for key in first if first[key] != second[key] and key not in factors]
    return ", ".join(others) or "nothing"


def printed(comparison: Comparison) -> list[Published | None]:
    """Return the report's numbers of both experiments, where it has them."""
    rows = [name.removesuffix(RECONSTRUCTED) for name in comparison[1:3]]
    if comparison.factor == "initializer":  # Table 2.6 has another number for the same settings
        rows = ["init/xavier" if row == "width/64" else row for row in rows]
    return [PUBLISHED.get(row) for row in rows]


def own_noise(runs: pd.DataFrame, *names: str) -> float:
    """Return how much networks differ that differ in their seed alone.

    The standard deviation of their test results on the same fold, pooled over folds and
    experiments; NaN where there is one network a fold.
    """
    tests = of_experiments(runs, *names).groupby(["experiment", "fold"])["test"]
    return float(tests.var().mean() ** 0.5)


def same_settings(runs: pd.DataFrame) -> tuple[int, int]:
    """Return in how many of how many comparisons of a setting with itself the interval excludes 0.

    Each two seeds of an experiment are compared over its folds (A/A): 5 % would be no surprise.
    """
    excluded = pairs = 0
    for name in runs["experiment"].unique():
        tests = of_experiments(runs, name).pivot_table("test", "fold", "seed")
        for first, second in itertools.combinations(tests, 2):
            _, low, high = interval((tests[first] - tests[second]).dropna())
            excluded += bool(low > 0 or high < 0)
            pairs += 1
    return excluded, pairs


def compare(runs: pd.DataFrame, of="") -> pd.DataFrame:
    """Return every comparison whose two experiments are among the runs; the index is the questions.

    ``of`` takes those whose first experiment's name begins so, or in one of several ways; p values
    are corrected for all of them nevertheless.

    The columns are those of ``Comparison``, ``else_differs, metric``, ``published`` (difference, or
    NaN), ``folds`` (the difference in each), ``mean, low, high, p, holm, verdict, margin``
    (differences within it are of no use) and ``times_noise``, the mean in ``own_noise``. Of the
    recorded runs the interval is the wider one of Student's t over the folds and the bootstrap, and
    p the larger.
    """
    held = set(runs["experiment"])
    bootstraps = recorded("bootstrap").set_index(["first", "second"]).to_dict("index")
    rows = []
    for comparison in COMPARISONS:
        names = (comparison.first, comparison.second)
        if not held.issuperset(names):
            continue
        target = TARGETS[of_experiments(runs, *names)["target"].iloc[0]]
        folds = fold_differences(runs, *names)
        mean, low, high = interval(folds)
        p = p_value(folds)
        again = bootstraps.get(names)
        # it was computed of each face's error when the runs were recorded: it is theirs alone
        if again and abs(again["mean"] - mean) < 1e-9:
            p = np.fmax(p, again["p"])
            if again["high"] - again["low"] > high - low:
                low, high = again["low"], again["high"]
        first, second = printed(comparison)
        published = first.value - second.value if first and second else np.nan
        numbers: dict[str, Any] = {"published": published, "folds": folds.to_numpy()}
        numbers |= {"mean": mean, "low": low, "high": high}
        row = comparison._asdict()
        row |= {"else_differs": else_differs(comparison), "metric": target.metric}
        row |= {name: target.factor * number for name, number in numbers.items()}
        row |= {"p": p, "verdict": verdict(target.metric, row["low"], row["high"])}
        noise = own_noise(runs, *names) or np.nan
        row |= {"margin": SAME[target.metric], "times_noise": abs(mean) / noise}
        rows.append(row)
    table = pd.DataFrame(rows, columns=COLUMNS).set_index("question")
    table["holm"] = holm(table["p"])
    return table[table["first"].str.startswith(of)]


COLUMNS = [*Comparison._fields, "else_differs", "metric", "published", "folds"]
COLUMNS += ["mean", "low", "high", "p", "holm", "verdict", "margin", "times_noise"]


def verdict_table(compared: pd.DataFrame) -> pd.DataFrame:
    """Return ``compare``'s table to read; "*" marks a verdict that Holm's correction takes away."""
    unit = compared["metric"].map(UNITS)
    doubtful = compared["verdict"].isin(["yes", "no"]) & (compared["holm"] > 0.05)
    ends = zip(compared["low"], compared["high"], strict=True)
    columns = {
        "published": compared["published"].map(lambda x: "-" if np.isnan(x) else f"{x:+z.2f}"),
        "difference": compared["mean"].map("{:+z.2f} ".format) + unit,
        "95 % interval": [f"{low:+z.2f} to {high:+z.2f}" for low, high in ends],
        "verdict": compared["verdict"] + doubtful.map({True: " *", False: ""}),
        "margin": compared["margin"].map("{:g} ".format) + unit,
        "times the network's own noise": compared["times_noise"].map(
            lambda times: "-" if np.isnan(times) else f"{times:.1f}"
        ),
        "what else differs": compared["else_differs"],
    }
    return pd.DataFrame(columns, index=compared.index)
