"""Reading results: means and intervals over folds, and tables beside the report's numbers."""

from __future__ import annotations

import json
from importlib import resources

import numpy as np
import pandas as pd
from scipy import stats

from hw1lib.study.published import OTHERS, PUBLISHED

OVERLAP = 1 / 8.1  # test faces per training face of a split, see ``interval``
BASELINES = {
    "mean": "always the mean age",
    "linear": "linear regression",
    "largest": "always the largest class",
    "logistic": "logistic regression",
    "svm": "support vectors, RBF kernel",
}
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
        rows[name] = [number, *(mean_and_interval(_if_held(source, n), metric) for source, n in sources)]
        rows[name].insert(3, mean_and_interval(_if_held(kept, name, "mae") if metric == "rmse" else ()))
    columns = ["published", "UTKFace, as published", "UTKFace, trained properly", "its MAE", _whose(this_run)]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    return table if (table["its MAE"] != "-").any() else table.drop(columns="its MAE")


def beside_recorded(titles: dict[str, str], this_run: dict, baselines=None, kept: dict | None = None) -> pd.DataFrame:
    """Return the table: recorded on UTKFace | its MAE (age) | this run; means with 95 % intervals over the folds.

    Parameters
    ----------
    titles : dict of str to str
        Experiments of one target, and what their rows are called.
    this_run, kept : dict
        Results of this run, and the recorded ones (default: ``recorded()``); "-" for what one does not hold.
    baselines : dict, optional
        Of this run, as ``study.baselines`` returns them: rows above, beside the recorded ones.
    """
    kept = recorded() if kept is None else kept
    target = {**kept["experiments"], **this_run["experiments"]}[next(iter(titles))]["settings"]["target"]
    metric = "rmse" if target == "age" else "accuracy"
    rows = {}
    for name in baselines or ():
        known = kept["baselines"][target][name]
        rows[BASELINES[name]] = known["test"], known.get("mae", ()), baselines[name]["test"]
    for name, title in titles.items():
        mae = _if_held(kept, name, "mae") if metric == "rmse" else ()
        rows[title] = _if_held(kept, name), mae, _if_held(this_run, name)
    cells = {title: [mean_and_interval(numbers, metric) for numbers in row] for title, row in rows.items()}
    columns = ["recorded on UTKFace", "its MAE", _whose(this_run)]
    table = pd.DataFrame.from_dict(cells, orient="index", columns=columns)
    return table if metric == "rmse" else table.drop(columns="its MAE")


def _whose(this_run: dict) -> str:
    """Return the heading of this run's column: numbers of drawn faces are no match for the others."""
    return "this run, drawn faces" if this_run.get("data", {}).get("drawn") else "this run"


def _if_held(results: dict, name: str, what: str = "test"):
    return fold_means(results, name, what) if name in results["experiments"] else ()


def training_ends(results: dict, titles: dict[str, str]) -> pd.DataFrame:
    """Return RMSE after the last epoch on training, validation and test faces, and the best epoch on average.

    ``titles`` is experiment -> what its row is called. "training" is the mean over the last epoch.
    """
    rows = {}
    for name, title in titles.items():
        training = [run["curves"]["train_metric"][-1] for run in _runs(results, name) if "curves" in run]
        others = [fold_means(results, name, what) for what in ("validation", "test")]
        best = f"{fold_means(results, name, 'best_epoch').mean():,.0f}"
        rows[title] = [*map(mean_and_interval, (training, *others)), best]
    return pd.DataFrame.from_dict(rows, orient="index", columns=["training", "validation", "test", "best epoch"])


def learning_curve(results: dict, names) -> pd.DataFrame:
    """Return mean test metric and 95 % interval by training faces, of the experiments that the results hold.

    One or two folds say too little about their spread: their interval is NaN.
    """
    rows = {}
    for name in names:
        if name in results["experiments"]:
            folds = fold_means(results, name)
            found = interval(folds, overlap=OVERLAP)
            rows[results["experiments"][name]["settings"]["n_train"]] = (
                found if len(folds) > 2 else (found[0], *[np.nan] * 2)
            )
    return pd.DataFrame.from_dict(rows, orient="index", columns=["mean", "low", "high"])


def where_this_stands(kept: dict | None = None) -> pd.DataFrame:
    """Return the recorded results beside what others published of UTKFace (``OTHERS``), each with its source."""
    kept = recorded() if kept is None else kept
    here = "this project", "128 PCA features; ten test folds, near-duplicates together"
    ours = {
        "linear regression": kept["baselines"]["age"]["linear"]["mae"],
        "128-64-1": fold_means(kept, "width/64", "mae"),
        "128-64-16-1": fold_means(kept, "depth/64-16", "mae"),
    }
    rows = [(name, mean_and_interval(numbers), "-", *here) for name, numbers in ours.items()]
    rows.append(("128-64-5", "-", mean_and_interval(fold_means(kept, "race/64"), "accuracy"), *here))
    conv = fold_means(kept, "conv/age", "mae"), fold_means(kept, "conv/race")
    both = mean_and_interval(conv[0]), mean_and_interval(conv[1], "accuracy")
    rows.append(("three convolutions, 64 (notebook 8)", *both, here[0], "pictures of 50x50; the same folds"))
    for other in OTHERS:
        numbers = (f"{other.value:.2f}", "-") if other.metric == "mae" else ("-", f"{100 * other.value:.1f} %")
        rows.append((other.model, *numbers, other.source, other.differs))
    columns = ["model", "age: MAE (years)", "race label: accuracy", "source", "what differs"]
    return pd.DataFrame(rows, columns=columns).set_index("model")


def ladder(kept: dict | None = None) -> pd.DataFrame:
    """Return what each step of the way gained on UTKFace, from the simplest model to the convolutional network.

    Returns
    -------
    DataFrame
        Index the models. Columns ``rmse``, ``mae`` (years) and ``accuracy`` (of the race label), each a list of one
        number a fold, empty where a model was not asked; ``published``, RMSE and accuracy of the report, or None.
    """
    kept = recorded() if kept is None else kept
    age, race = kept["baselines"]["age"], kept["baselines"]["race"]

    def of(name, what="test"):
        return fold_means(kept, name, what).tolist() if name else []

    rows: dict[str, tuple] = {
        "mean age, largest class": (age["mean"]["test"], age["mean"]["mae"], race["largest"]["test"]),
        "linear, logistic regression": (age["linear"]["test"], age["linear"]["mae"], race["logistic"]["test"]),
    }
    networks = {
        "64, as published": ("width/64" + AS_PUBLISHED, "race/8000" + AS_PUBLISHED),
        "(64, 16), as published": ("depth/64-16" + AS_PUBLISHED, None),
        "64": ("width/64", "race/64"),
        "(64, 16)": ("depth/64-16", None),
        "convolutional network": ("conv/age", "conv/race"),
    }
    for row, (first, second) in networks.items():
        rows[row] = of(first), of(first, "mae"), of(second)
    rows["support vectors, RBF kernel"] = age["svm"]["test"], age["svm"]["mae"], race["svm"]["test"]
    rows["convolutional network"] = rows.pop("convolutional network")  # the last
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["rmse", "mae", "accuracy"])
    printed = {"64, as published": ("width/64", "race/8000"), "(64, 16), as published": ("depth/64-16", None)}
    table["published"] = [[PUBLISHED[n].value if n else None for n in printed.get(row, (None, None))] for row in rows]
    return table


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


def beside_baselines(name: str, this_run: dict, simple: dict, noise: dict, kept: dict | None = None) -> pd.DataFrame:
    """Return the errors of age: of simple models, of one network as published and trained properly, of the labels.

    Parameters
    ----------
    name : str
        An experiment. If this run's has other settings than the recorded one, that is left out.
    this_run, kept : dict
        Results of this run, and the recorded ones (default: ``recorded()``).
    simple, noise : dict
        Of this run's faces, as ``baselines`` and ``faces.label_noise`` return them.

    Returns
    -------
    DataFrame
        Test RMSE and MAE in years with 95 % intervals over the folds; and how far the recorded RMSE is from that of
        linear regression on the same folds and features: "as published" gets those of l2-normalised images.
    """
    kept = recorded() if kept is None else kept
    implied = {"output_activation": "leaky_relu", "loss": "l2"}  # if a network of ages does not say
    ours = implied | this_run["experiments"][name]["settings"]
    sources = (kept, kept["baselines"]["age"]), (this_run, simple)

    def errors(of, key, what):
        source, models = of
        if key in models:
            return models[key][what]
        held = source["experiments"].get(key)
        changed = key == name and held and implied | held["settings"] != ours
        return fold_means(source, key, what) if held and not changed else ()

    labels = {"mean": "always the mean age", "linear": "linear regression", "linear, l2": "linear regression, l2"}
    labels |= {name + AS_PUBLISHED: "the network, as published", name: "the network, trained properly"}
    rows = {}
    for key, label in labels.items():
        (rmse, mae), mine = ([errors(of, key, what) for what in ("test", "mae")] for of in sources)
        like = "linear, l2" if key.endswith(AS_PUBLISHED) else "linear"
        gaps = pd.Series(rmse, dtype=float) - pd.Series(kept["baselines"]["age"][like]["test"])  # by fold
        less = interval(gaps.dropna()) if not key.startswith("linear") and len(rmse) else None
        published = f"{PUBLISHED[name].value:.2f}" if key.endswith(AS_PUBLISHED) and name in PUBLISHED else "-"
        told = "{:+.2f} ({:+.2f} to {:+.2f})".format(*less) if less else "-"
        rows[label] = [published, *map(mean_and_interval, (rmse, mae)), told, *map(mean_and_interval, mine)]
    floors = [f"{found['age_spread']:.2f}" for found in (kept["label_noise"], noise)]
    rows["the labels' own noise"] = ["-", floors[0], "-", "-", floors[1], "-"]
    columns = [("published", "RMSE")]
    columns += [("recorded on UTKFace", what) for what in ("RMSE", "MAE", "less linear's, same features")]
    columns += [(_whose(this_run), what) for what in ("RMSE", "MAE")]
    return pd.DataFrame.from_dict(rows, orient="index", columns=pd.MultiIndex.from_tuples(columns))


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


def rmse_by_label(results: dict, name: str, races, genders, least: int = 20) -> dict[str, pd.DataFrame]:
    """Return the recorded test RMSE by age decade, gender label and race label, as ``accuracy_by_label`` does.

    ``results`` are recorded ones, ``name`` an experiment of ``study.record.BY_GROUP``.
    """
    tables = {}
    for kind, columns in results["by_group"][name].items():
        table = pd.DataFrame(columns).set_index("group").query("n >= @least")
        names = {"gender label": genders, "race label": races}.get(kind)
        tables[kind] = table if names is None else table.rename(index=dict(enumerate(names)))
    return tables


def counts(results: dict, name: str, kind: str) -> np.ndarray:
    """Return counts of test faces, summed over the folds, of the first network of each: every face is counted once.

    Parameters
    ----------
    results : dict
    name : str
        An experiment whose target is race.
    kind : {"confusion", "by_gender", "by_decade"}
        (label, predicted), or (group, wrong or right).
    """
    tables = [np.array(run[kind]) for run in _runs(results, name) if run["seed"] == 0]
    total = np.zeros((max(map(len, tables)), tables[0].shape[1]), int)
    for table in tables:
        total[: len(table)] += table
    return total


def accuracy_by_label(results: dict, name: str, races, genders, least: int = 20) -> dict[str, pd.DataFrame]:
    """Return the accuracy of ``counts`` by race label, gender label and age decade, with 95 % Wilson intervals.

    Each a table: index the groups, columns ``n, value, low, high``. Groups of fewer than ``least`` faces are left out.
    """
    confusion, gender, decade = (counts(results, name, kind) for kind in ("confusion", "by_gender", "by_decade"))
    groups = {
        "race label": (races, confusion.diagonal(), confusion.sum(axis=1)),
        "gender label": (genders, gender[:, 1], gender.sum(axis=1)),
        "age decade": (range(0, 10 * len(decade), 10), decade[:, 1], decade.sum(axis=1)),
    }
    tables = {}
    for group, (names, right, n) in groups.items():
        rows = {k: (m, *wilson(r, m)) for k, r, m in zip(names, right, n, strict=True) if m >= least}
        tables[group] = pd.DataFrame.from_dict(rows, orient="index", columns=["n", "value", "low", "high"])
    return tables
