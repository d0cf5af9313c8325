"""Tables to read: results beside the report's numbers, beside the recorded ones, beside others'."""

from __future__ import annotations

import numpy as np
import pandas as pd

from hw1lib.study.comparisons import OVERLAP, interval
from hw1lib.study.experiments import EXPERIMENTS, RECONSTRUCTED, TARGETS
from hw1lib.study.published import OTHERS, PUBLISHED
from hw1lib.study.runs import fold_means, recorded, same_run

SAME_RUN = "the same run as"


def mean_and_interval(numbers, metric: str = "rmse") -> str:
    """Return "mean ± half its 95 % interval" of one number a fold; accuracies in per cent.

    One or two folds say too little about their spread: of those the mean alone is returned; "-"
    of none.
    """
    numbers = np.asarray(numbers, float)
    if not len(numbers) or np.isnan(numbers).all():
        return "-"
    mean, _, high = interval(numbers, overlap=OVERLAP)
    percent, unit, digits = (100, " %", 1) if metric == "accuracy" else (1, "", 2)
    spread = f" ± {percent * (high - mean):.{digits}f}" if len(numbers) > 2 else ""
    return f"{percent * mean:.{digits}f}{spread}{unit}"


def published_table(names, runs=None, known=None) -> pd.DataFrame:
    """Return the table: published | recorded on UTKFace, twice | this run.

    Parameters
    ----------
    names : str or iterable of str
        Experiments that were run, recorded or published.
    runs : DataFrame, optional
        Of this run. Runs on drawn faces have a column that says so: they are no match for others.
    known : DataFrame, optional
        The recorded runs (default: ``recorded()``).

    Returns
    -------
    DataFrame
        A row an experiment: mean test RMSE in years, or accuracy, over the folds, with its 95 %
        interval; beside what is trained properly its MAE. Two names of one recorded run have a
        column that says so.
    """
    known = recorded() if known is None else known
    rows = {}
    for name in [names] if isinstance(names, str) else names:
        number, metric = "-", _metric(name, known, runs)
        if name in PUBLISHED:
            value, metric, _ = PUBLISHED[name]
            number = f"{100 * value:.1f} %" if metric == "accuracy" else f"{value:.4f}"
        rows[name] = {
            "published": number,
            "UTKFace, reconstructed": _cell(known, name + RECONSTRUCTED, metric),
            "UTKFace, trained properly": _cell(known, name, metric),
            "its MAE": _cell(known, name, "rmse", "mae"),
            **_this_run(runs, name, metric),
            SAME_RUN: ", ".join(same_run(name)) or "-",
        }
    return _told(rows)


def recorded_table(titles: dict[str, str], runs=None, known=None) -> pd.DataFrame:
    """Return the table: recorded on UTKFace | its MAE | this run.

    Parameters
    ----------
    titles : dict of str to str
        Experiments or baselines, such as "linear/age", and what their rows are called.
    runs, known : DataFrame, optional
        As ``published_table`` takes them; "-" for what one does not hold.
    """
    known = recorded() if known is None else known
    rows = {}
    for name, title in titles.items():
        metric = _metric(name, known, runs)
        rows[title] = {
            "recorded on UTKFace": _cell(known, name, metric),
            "its MAE": _cell(known, name, "rmse", "mae"),
            **_this_run(runs, name, metric),
        }
    return _told(rows)


def _metric(name: str, *tables) -> str:
    """Return what an experiment's test result is: "rmse" or "accuracy"."""
    for runs in tables:
        if runs is not None and name in set(runs["experiment"]):
            return TARGETS[runs.loc[runs["experiment"] == name, "target"].iloc[0]].metric
    if name in PUBLISHED:
        return PUBLISHED[name].metric
    if name in EXPERIMENTS:
        return TARGETS[EXPERIMENTS[name].target].metric
    raise ValueError(f"names must be of experiments that were run, recorded or published: {name!r}")


def _cell(runs: pd.DataFrame, name: str, metric: str, what: str = "test") -> str:
    if name not in set(runs["experiment"]):
        return "-"
    return mean_and_interval(fold_means(runs, name, what), metric)


def _this_run(runs: pd.DataFrame | None, name: str, metric: str) -> dict[str, str]:
    """Return the column of this run, or two, as numbers of drawn faces stand by themselves."""
    if runs is None:
        return {}
    drawn = runs["drawn"].ne(False)  # where it is not known, too
    kinds = {"this run": runs[~drawn], "this run, drawn faces": runs[drawn]}
    return {head: _cell(part, name, metric) for head, part in kinds.items() if len(part)}


def _told(rows: dict) -> pd.DataFrame:
    """Return a table without the optional columns that say nothing."""
    table = pd.DataFrame.from_dict(rows, orient="index")
    said = [c for c in table if c not in ("its MAE", SAME_RUN) or (table[c] != "-").any()]
    return table[said]


def model_comparison(runs: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return what each step of the way gained, from the simplest model to the convolutional one.

    Parameters
    ----------
    runs : DataFrame, optional
        Experiments and baselines (default: the recorded ones).

    Returns
    -------
    DataFrame
        Index the models. Columns ``rmse``, ``mae`` (years) and ``accuracy`` (of the race label),
        each a list of one number a fold, empty where a model was not asked; ``published``, RMSE
        and accuracy of the report, or None.
    """
    runs = recorded() if runs is None else runs
    models = {
        "mean age, largest class": ("mean/age", "largest/race"),
        "linear, logistic regression": ("linear/age", "logistic/race"),
        "64, reconstructed": ("width/64" + RECONSTRUCTED, "race/8000" + RECONSTRUCTED),
        "(64, 16), reconstructed": ("depth/64-16" + RECONSTRUCTED, None),
        "64": ("width/64", "race/64"),
        "(64, 16)": ("depth/64-16", None),
        "support vectors, RBF kernel": ("svm/age", "svm/race"),
        "convolutional network": ("conv/age", "conv/race"),
    }
    rows = {}
    for model, (age, race) in models.items():
        row: dict = {"rmse": fold_means(runs, age).tolist()}
        row["mae"] = fold_means(runs, age, "mae").tolist()
        row["accuracy"] = fold_means(runs, race).tolist() if race else []
        row["published"] = [None, None]
        if model.endswith("reconstructed"):
            for i, name in enumerate((age, race)):
                if name:
                    row["published"][i] = PUBLISHED[name.removesuffix(RECONSTRUCTED)].value
        rows[model] = row
    return pd.DataFrame.from_dict(rows, orient="index")


def where_this_stands(runs: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return the recorded results beside what others published of UTKFace, with their sources."""
    runs = recorded() if runs is None else runs
    features = "128 PCA features; ten test folds, near-duplicates together"
    pictures = "pictures of 50x50; the same folds"
    models = (
        ("linear regression", "linear/age", None, features),
        ("128-64-1", "width/64", None, features),
        ("128-64-16-1", "depth/64-16", None, features),
        ("128-64-5", None, "race/64", features),
        ("three convolutions, 64 (notebook 8)", "conv/age", "conv/race", pictures),
    )
    rows = []
    for model, age, race, differs in models:
        mae = _cell(runs, age, "rmse", "mae") if age else "-"
        accuracy = _cell(runs, race, "accuracy") if race else "-"
        rows.append((model, mae, accuracy, "this project", differs))
    for other in OTHERS:
        mae = f"{other.value:.2f}" if other.metric == "mae" else "-"
        accuracy = f"{100 * other.value:.1f} %" if other.metric == "accuracy" else "-"
        rows.append((other.model, mae, accuracy, other.source, other.differs))
    columns = ["model", "age: MAE (years)", "race label: accuracy", "source", "what differs"]
    return pd.DataFrame(rows, columns=columns).set_index("model")
