"""Tables to read: results beside the report's numbers, beside the recorded ones, beside others'."""

from __future__ import annotations

import numpy as np
import pandas as pd

from hw1lib.study.comparisons import FEW_FOLDS, interval
from hw1lib.study.experiment import TARGETS
from hw1lib.study.experiments import RECONSTRUCTED
from hw1lib.study.published import OTHERS, PUBLISHED, SAME_RUN
from hw1lib.study.runs import fold_means, recorded


def mean_and_interval(numbers, metric: str = "rmse") -> str:
    """Return "mean ± half its 95 % interval" of one number a fold; accuracies in per cent.

    One or two folds say too little about their spread: of those the mean alone; "-" of none.
    """
    if not len(numbers) or np.isnan(numbers).all():
        return "-"
    mean, _, high = interval(numbers)
    percent, unit, digits = (100, " %", 1) if metric == "accuracy" else (1, "", 2)
    spread = f" ± {percent * (high - mean):.{digits}f}" if len(numbers) > FEW_FOLDS else ""
    return f"{percent * mean:.{digits}f}{spread}{unit}"


def published_table(names, runs=None, known=None, numbers: bool = False) -> pd.DataFrame:
    """Return mean test RMSE in years, or accuracy: published, recorded on UTKFace, of this run.

    ``names`` are of experiments, and of baselines such as "linear/age", that were run, recorded or
    published; a dict says what their rows are called. ``runs`` are of this run: drawn faces have a
    column that says so, and are no match for the others. ``known`` are the recorded runs (default:
    ``recorded()``).

    A row a name: means over the folds with their 95 % interval. A row of the report with the
    settings of another shows that one's run (``SAME_RUN``), and a column says so. A column that
    would be empty is left out. ``numbers`` are for a file: each mean, and the interval's ends, as
    floats in columns of their own.
    """
    known = recorded() if known is None else known
    here = known[:0] if runs is None else runs
    drawn = _drawn(here)
    faces = "drawn faces" if _drawn(known).any() else "UTKFace"
    names = [names] if isinstance(names, str) else names
    rows = {}
    for name in names:
        metric = _metric(name, known, here)
        printed = PUBLISHED[name].value if name in PUBLISHED else None
        both = [name, name + RECONSTRUCTED]
        same = [SAME_RUN[its] for its in both if its in SAME_RUN]
        properly, again = (SAME_RUN.get(its, its) for its in both)
        cells = {
            "published": printed,
            f"{faces}, reconstructed": _folds(known, again),
            f"{faces}, trained properly": _folds(known, properly),
            "its MAE": _folds(known, properly, "mae"),
            "this run": _folds(here[~drawn], properly),
            "this run, drawn faces": _folds(here[drawn], properly),
            "the same run as": ", ".join(same) or None,
        }
        shown = _floats(cells) if numbers else _texts(cells, metric)
        rows[names[name] if isinstance(names, dict) else name] = shown
    table = pd.DataFrame.from_dict(rows, orient="index")
    return table.dropna(axis=1, how="all") if numbers else table.loc[:, (table != "-").any()]


def _folds(runs: pd.DataFrame, name: str, what: str = "test") -> np.ndarray:
    if name not in set(runs["experiment"]):
        return np.array([])
    return fold_means(runs, name, what).dropna().to_numpy()


def _texts(cells: dict, metric: str) -> dict[str, str]:
    texts = {}
    for column, value in cells.items():
        if isinstance(value, float):
            value = f"{100 * value:.1f} %" if metric == "accuracy" else f"{value:.4f}"
        elif isinstance(value, np.ndarray):
            value = mean_and_interval(value, metric)
        texts[column] = value or "-"
    return texts


def _floats(cells: dict) -> dict:
    floats: dict = {}
    for column, value in cells.items():
        if isinstance(value, np.ndarray):
            if not len(value):
                continue
            ends = f"{column}, from", f"{column}, to"
            floats |= dict(zip((column, *ends), interval(value), strict=True))
        else:
            floats[column] = value
    return floats


def recorded_table(names, runs=None, known=None) -> pd.DataFrame:
    """Return ``published_table`` without the report's numbers and what comes near to them."""
    table = published_table(names, runs, known)
    left_out = [c for c in table if str(c).endswith(("published", ", reconstructed"))]
    title = {"UTKFace, trained properly": "recorded on UTKFace"}
    return table.drop(columns=left_out).rename(columns=title)


def _metric(name: str, *tables) -> str:
    """Return what an experiment's test result is: "rmse" or "accuracy"."""
    if name in PUBLISHED:
        return PUBLISHED[name].metric
    for runs in tables:
        its = runs[runs["experiment"] == name]
        if len(its):
            return TARGETS[its["target"].iloc[0]].metric
    raise ValueError(f"names must be of experiments that were run, recorded or published: {name!r}")


def _drawn(runs: pd.DataFrame) -> pd.Series:
    """Return whether each run is of drawn faces, or nobody knows of which."""
    return runs.get("drawn", pd.Series(True, runs.index)).ne(False)


MODELS = {  # what is trained on ages, and on race labels
    "mean age, largest class": ("mean/age", "largest/race"),
    "linear, logistic regression": ("linear/age", "logistic/race"),
    "64, reconstructed": ("width/64" + RECONSTRUCTED, "race/8000" + RECONSTRUCTED),
    "(64, 16), reconstructed": ("depth/64-16" + RECONSTRUCTED, None),
    "64": ("width/64", "race/64"),
    "(64, 16)": ("depth/64-16", None),
    "convolutional network": ("conv/age", "conv/race"),
}


def model_comparison() -> pd.DataFrame:
    """Return what each step of the way gained, from the simplest model to the convolutional one.

    Of the recorded runs. Index the models. Columns ``rmse``, ``mae`` (years) and ``accuracy`` (of
    the race label), each a list of one number a fold, or empty; ``published``, the report's RMSE
    and accuracy, or None.
    """
    runs = recorded()
    rows = {}
    for model, (age, race) in MODELS.items():
        published: list = [None, None]
        if model.endswith("reconstructed"):
            printed = [PUBLISHED.get(str(n).removesuffix(RECONSTRUCTED)) for n in (age, race)]
            published = [number and number.value for number in printed]
        rows[model] = {
            "rmse": fold_means(runs, age).tolist(),
            "mae": fold_means(runs, age, "mae").tolist(),
            "accuracy": fold_means(runs, race).tolist() if race else [],
            "published": published,
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def where_this_stands() -> pd.DataFrame:
    """Return the recorded results beside what others published of UTKFace, with their sources."""
    runs = recorded()
    features = "128 PCA features; ten test folds, near-duplicates together"
    pictures = "pictures of 40x40; the same folds"
    models = {
        "linear regression": ("linear/age", "", features),
        "128-64-1": ("width/64", "", features),
        "128-64-16-1": ("depth/64-16", "", features),
        "128-64-5": ("", "race/64", features),
        "three convolutions, 64, three labels (notebook 8)": ("conv/age", "conv/race", pictures),
    }
    rows = {}
    for model, (age, race, differs) in models.items():
        mae = mean_and_interval(_folds(runs, age, "mae"))
        accuracy = mean_and_interval(_folds(runs, race), "accuracy")
        rows[model] = (mae, accuracy, "this project", differs)
    ours = pd.DataFrame.from_dict(rows, orient="index", columns=OTHERS.columns)
    return pd.concat([ours.rename_axis("model"), OTHERS])
