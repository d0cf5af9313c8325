"""Reading results: means and intervals over folds, and tables beside the report's numbers."""

from __future__ import annotations

import json
from importlib import resources

import numpy as np
import pandas as pd
from scipy import stats

from hw1lib.study.published import PUBLISHED

OVERLAP = 1 / 8.1  # test faces per training face of a split, see ``interval``
AS_PUBLISHED = "/as-published"  # ends a name: the settings that come nearest to the report's number


def recorded(name: str = "utkface") -> dict:
    """Return what ``python -m hw1lib reproduce`` recorded on real UTKFace: numbers and curves."""
    return json.loads(resources.files("hw1lib.study").joinpath("recorded", f"{name}.json").read_text())


def values(results: dict, name: str, what: str = "test") -> np.ndarray:
    """Return one number of each run of an experiment, (n_runs,): "test", "mae", "validation", "epochs", ..."""
    return np.array([run[what] for run in _runs(results, name)])


def fold_means(results: dict, name: str, what: str = "test") -> pd.Series:
    """Return the mean over the networks of each fold; the index is the fold."""
    folds = pd.Index([run["fold"] for run in _runs(results, name)], name="fold")
    return pd.Series(values(results, name, what), folds).groupby(level="fold").mean()


def _runs(results: dict, name: str) -> list[dict]:
    held = results["experiments"]
    if name not in held:
        raise ValueError(f"these results hold no experiment {name!r}; they hold {', '.join(held) or 'none'}")
    return held[name]["runs"]


# -- intervals --------------------------------------------------------------------------------------------------------


def interval(values, overlap: float = 0.0) -> tuple[float, float, float]:
    """Return the mean, and the ends of its 95 % Student t interval; both NaN for a single value.

    Parameters
    ----------
    values : array_like, (n,)
    overlap : float
        0 for differences of networks on the same folds. For the metric itself, test faces per training face: the
        folds' training sets overlap, so that the plain interval would be too narrow (Nadeau and Bengio 2003).
    """
    values = np.asarray(values, float)
    mean, n = float(values.mean()), len(values)
    if n < 2:
        return mean, float("nan"), float("nan")
    half = stats.t.ppf(0.975, n - 1) * values.std(ddof=1) * (1 / n + overlap) ** 0.5
    return mean, mean - half, mean + half


def paired(values, reference) -> tuple[float, float, float]:
    """Return mean and 95 % interval (Student t) of ``values - reference``, pair by pair, of the same folds."""
    values, reference = np.asarray(values, float), np.asarray(reference, float)
    if values.shape != reference.shape:
        raise ValueError(f"values and reference must be pairs, not {len(values)} and {len(reference)} numbers")
    return interval(values - reference)


def wilson(right: int, n: int) -> tuple[float, float, float]:
    """Return a share ``right / n`` and its 95 % score interval (Wilson 1927), good for few faces and shares near 1."""
    if not n:
        return (float("nan"),) * 3
    found = stats.binomtest(int(right), int(n)).proportion_ci(0.95, method="wilson")
    return right / n, float(found.low), float(found.high)


# -- tables beside the published numbers ------------------------------------------------------------------------------


def mean_and_interval(numbers, metric: str = "rmse") -> str:
    """Return "mean ± half its interval" of one number a fold; accuracies in per cent; "-" if there are none.

    One or two folds say too little about their spread: of those the mean alone is returned.
    """
    numbers = np.asarray(numbers, float)
    if not len(numbers):
        return "-"
    mean, _, high = interval(numbers, overlap=OVERLAP)
    percent, unit = (100, " %") if metric == "accuracy" else (1, "")
    digits = 1 if metric == "accuracy" else 2
    spread = f" ± {percent * (high - mean):.{digits}f}" if len(numbers) > 2 else ""
    return f"{percent * mean:.{digits}f}{spread}{unit}"


def beside_published(names, this_run: dict, kept: dict | None = None) -> pd.DataFrame:
    """Return the table: published | recorded on UTKFace, twice | this run; means with 95 % intervals over the folds.

    Parameters
    ----------
    names : iterable of str
        Experiments.
    this_run, kept : dict
        Results of this run, and the recorded ones (default: ``recorded()``).

    Returns
    -------
    DataFrame
        A row an experiment: test RMSE in years, or accuracy; beside what is trained properly its MAE, too. The last
        column says whether this run's faces are drawn ones: its numbers are no match for the others then.
    """
    kept = recorded() if kept is None else kept
    rows, known = {}, {**kept["experiments"], **this_run["experiments"]}
    names = [names] if isinstance(names, str) else list(names)
    unknown = [name for name in names if name not in known and name not in PUBLISHED]
    if unknown:
        raise ValueError(f"names must be of experiments that were run, recorded or published, not {unknown}")
    for name in names:
        number = "-"
        if name in known:
            metric = "rmse" if known[name]["settings"]["target"] == "age" else "accuracy"
        if name in PUBLISHED:
            value, metric, _ = PUBLISHED[name]
            number = f"{100 * value:.1f} %" if metric == "accuracy" else f"{value:.4f}"
        sources = ((kept, name + AS_PUBLISHED), (kept, name), (this_run, name))
        found = [fold_means(source, n) if n in source["experiments"] else () for source, n in sources]
        rows[name] = [number, *(mean_and_interval(numbers, metric) for numbers in found)]
        mae = fold_means(kept, name, "mae") if name in kept["experiments"] and metric == "rmse" else ()
        rows[name].insert(3, mean_and_interval(mae))
    here = "this run, drawn faces" if this_run.get("data", {}).get("drawn") else "this run"
    columns = ["published", "UTKFace, as published", "UTKFace, trained properly", "its MAE", here]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    return table if (table["its MAE"] != "-").any() else table.drop(columns="its MAE")


def network_noise(results: dict, name: str, what: str = "test") -> float:
    """Return the standard deviation over networks on the same faces, pooled over the folds; NaN for one a fold."""
    folds = [run["fold"] for run in _runs(results, name)]
    return float(np.sqrt(pd.Series(values(results, name, what)).groupby(folds).var().mean()))


def overview(results: dict, names: dict[str, str]) -> pd.DataFrame:
    """Return what is told of experiments beside each other, as text.

    Parameters
    ----------
    results : dict
        Experiments whose target is the age.
    names : dict of str to str
        What a row is called, and the experiment.

    Returns
    -------
    DataFrame
        Mean test RMSE and MAE over the folds, with 95 % intervals; the mean effective rank of the first layer's
        weights; and the noise of the network, the standard deviation of the RMSE over networks on the same faces.
    """
    rows = {
        row: {
            "test RMSE": mean_and_interval(fold_means(results, name)),
            "MAE": mean_and_interval(fold_means(results, name, "mae")),
            "effective rank": f"{values(results, name, 'effective_rank').mean():.1f}",
            "noise of the network": f"{network_noise(results, name):.2f}",
        }
        for row, name in names.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def families(search: dict) -> pd.DataFrame:
    """Return the families of settings of ``study.search``, the nearest to the report's numbers first.

    Returns
    -------
    DataFrame
        ``normalizer, scale, rate``, the lowest ``misfit`` over the epochs in years, the ``epoch`` of it, and ``curve``,
        the misfit at each epoch of ``search["epochs"]`` (NaN once a network diverged).
    """
    rows = []
    for family in search["families"]:
        curve = np.array(family["misfit"], float)
        lowest = int(np.nanargmin(curve)) if np.isfinite(curve).any() else 0
        at = {"misfit": curve[lowest], "epoch": search["epochs"][lowest], "curve": curve}
        rows.append({key: family[key] for key in ("normalizer", "scale", "rate")} | at)
    return pd.DataFrame(rows).sort_values("misfit", ignore_index=True)


def against_published(names, kept: dict | None = None) -> pd.DataFrame:
    """Return how far the recorded runs "as published" are from the report's numbers.

    Parameters
    ----------
    names : iterable of str
        Published experiments; without "/as-published".
    kept : dict, optional
        The recorded results (default: ``recorded()``).

    Returns
    -------
    DataFrame
        ``unit`` ("years" or "%"), ``published``, ``mean`` over all runs, ``less`` (published less mean), ``spread``
        (standard deviation of the runs, over test faces and networks: the report's number is one such run), and
        ``spreads``, how many of these ``less`` is.
    """
    kept, rows = recorded() if kept is None else kept, {}
    for name in names:
        value, metric, _ = PUBLISHED[name]
        unit, factor = ("%", 100) if metric == "accuracy" else ("years", 1)
        runs = factor * values(kept, name + AS_PUBLISHED)
        mean, less, spread = runs.mean(), factor * value - runs.mean(), runs.std(ddof=1)
        rows[name] = (unit, factor * value, mean, less, spread, less / spread)
    columns = ["unit", "published", "mean", "less", "spread", "spreads"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def mean_curve(results: dict, name: str, curve: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return epochs, and mean, lowest and highest value over the networks, of a thinned curve of an experiment.

    One that stopped early counts as long as it trained; between the epochs that are kept, values are interpolated.
    (Of the recorded results, one network a fold has kept its curves.)
    """
    curves = [run["curves"] for run in _runs(results, name) if "curves" in run]
    epochs = np.array(max((c["epoch"] for c in curves), key=lambda kept: kept[-1]))
    table = np.array([np.interp(epochs, c["epoch"], c[curve], right=np.nan) for c in curves])
    return epochs, np.nanmean(table, axis=0), np.nanmin(table, axis=0), np.nanmax(table, axis=0)


# -- groups of test faces ---------------------------------------------------------------------------------------------


def rmse_by_group(true, predicted, groups) -> pd.DataFrame:
    """Return n, RMSE and its 95 % interval for each group of test faces.

    Parameters
    ----------
    true, predicted, groups : array_like, (n,)

    Returns
    -------
    DataFrame
        Index the groups; columns ``n, value, low, high``. The interval is that of the mean squared error (Student t
        over the faces), its root taken.
    """
    squared = pd.Series((np.asarray(predicted, float) - np.asarray(true, float)) ** 2)
    rows = {}
    for group, errors in squared.groupby(np.asarray(groups)):
        mean, low, high = interval(errors)
        rows[group] = (len(errors), mean**0.5, max(low, 0) ** 0.5 if low == low else low, high**0.5)
    return pd.DataFrame.from_dict(rows, orient="index", columns=["n", "value", "low", "high"])


def accuracy_by_group(true, predicted, groups) -> pd.DataFrame:
    """Return n, accuracy and its 95 % Wilson interval for each group: index the groups; ``n, value, low, high``."""
    right = pd.Series(np.asarray(true) == np.asarray(predicted)).groupby(np.asarray(groups))
    rows = {group: (len(hits), *wilson(int(hits.sum()), len(hits))) for group, hits in right}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["n", "value", "low", "high"])
