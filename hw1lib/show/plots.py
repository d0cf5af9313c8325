"""Plots of results: each function takes runs or tables, and returns a matplotlib Figure."""

from __future__ import annotations

import textwrap

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from hw1lib import study

GENDERS = ("male", "female")
RACES = ("White", "Black", "Asian", "Indian", "Others")
SEPARATORS = {"color": "0.9", "linewidth": 0.8, "zorder": 0}
MEAN = {"fmt": "o", "color": "C1", "markersize": 5, "capsize": 3, "label": "mean, 95 % interval"}
FOLD = {"linestyle": "", "marker": ".", "color": "C0", "markersize": 4, "alpha": 0.6}
PUBLISHED = {"linestyle": "", "marker": "D", "color": "black", "fillstyle": "none", "markersize": 5}


def race_names(drawn: bool) -> tuple[str, ...]:
    """Return what the race codes 0 .. 4 stand for: UTKFace's labels, or the drawn classes."""
    return tuple(f"class {code}" for code in range(5)) if drawn else RACES


def _legend(figure: Figure, **look) -> None:
    """Name each series of all panels once."""
    once: dict = {}
    for ax in figure.axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            once.setdefault(label, handle)
    figure.legend(handles=list(once.values()), labels=list(once), **look)


# -- training ------------------------------------------------------------------------------------


def training_curves(
    sources: dict[str, pd.DataFrame],
    names: dict[str, str],
    curve: str = "loss",
    best: bool = False,
    columns: int = 4,
    since: int = 1,
) -> Figure:
    """Draw training and validation curves: a panel an experiment, rows of panels a source.

    The line is the mean over the networks, the band reaches from the lowest to the highest. A
    source's panels share their axes; epochs are logarithmic.

    Parameters
    ----------
    sources : dict of str to DataFrame
        What the runs are called, and the runs. What a source lacks leaves its panel empty.
    names : dict of str to str
        Experiments, and the panels' titles.
    curve : {"loss", "rmse", "accuracy"}
    best : bool
        Mark the epoch with the lowest validation loss, the median over the networks.
    columns, since : int
        Panels in a row; the first epoch that is drawn.
    """
    if not any(runs["experiment"].isin(names).any() for runs in sources.values()):
        raise ValueError(f"sources must hold one of {', '.join(names)} at least")
    columns = min(columns, len(names))
    n_rows = len(sources) * -(-len(names) // columns)
    size = {1: 5.6, 2: 7.6}.get(columns, 9.4), 2.7 * n_rows + 0.4
    figure, axes = plt.subplots(n_rows, columns, figsize=size, squeeze=False)
    for panels, (source, runs) in zip(np.split(axes, len(sources)), sources.items(), strict=True):
        first = panels[0, 0]
        for ax in panels.flat[1:]:
            ax.sharex(first)
            ax.sharey(first)
        for ax, name in zip(panels.flat, [*names, *[""] * len(names)], strict=False):
            of_name = runs[runs["experiment"] == name]
            ax.set_visible(len(of_name) > 0)
            if len(of_name):
                _draw_curves(ax, of_name, curve, best, since)
                ax.set_title(textwrap.fill(names[name], 22 if columns > 3 else 30))
        for row in panels:
            shown = [ax for ax in row if ax.get_visible()]
            for ax in shown[1:]:
                ax.tick_params(labelleft=False)
                ax.set_ylabel("")
            if shown:
                shown[0].set_ylabel(f"{source}\n{shown[0].get_ylabel()}")
    _legend(figure, loc="outside lower center", ncols=3)
    return figure


def _draw_curves(ax, runs: pd.DataFrame, curve: str, best: bool, since: int) -> None:
    """Draw both curves of one experiment's networks."""
    (name,) = runs["experiment"].unique()
    kind = "loss" if curve == "loss" else "metric"
    for i, (part, label) in enumerate({"train": "training", "validation": "validation"}.items()):
        table = study.mean_curve(runs, name, f"{part}_{kind}").loc[since:]
        ax.plot(table.index, table["mean"], ("--", "-")[i], color=f"C{i}", label=label)
        ax.fill_between(table.index, table["low"], table["high"], color=f"C{i}", alpha=0.2, lw=0)
    if best:
        epoch = runs["best_epoch"].median()
        ax.axvline(epoch, color="black", linestyle=":", label="best epoch (median)")
    unit = {"rmse": "RMSE (years)", "accuracy": "accuracy", "loss": "mean loss"}[curve]
    if curve == "loss" and (runs["target"] == "age").all():
        unit += " (years²)"
    ax.set(xlabel="epoch (logarithmic)", xscale="log", ylabel=unit)
    if since > 1:  # plain numbers, and more ticks where there are less than two powers of ten
        subs = (1, 2, 5) if ax.get_xlim()[1] < 50 * since else (1,)
        ax.xaxis.set_major_locator(LogLocator(subs=subs))
        ax.xaxis.set_major_formatter("{x:g}")
        ax.minorticks_off()


# -- comparing -----------------------------------------------------------------------------------


def forest(compared: pd.DataFrame) -> Figure:
    """Draw what ``study.compare`` returns: mean differences, 95 % intervals, folds as dots.

    Differences of age errors (years; left is better) and of accuracy (points; right is better) get
    a panel each. The grey band holds differences that are called "the same"; what the report claims
    is bold. The axes are linear around 0, and logarithmic further out.
    """
    metrics = [metric for metric in study.SAME if (compared["metric"] == metric).any()]
    rows = [int((compared["metric"] == metric).sum()) for metric in metrics]
    size = 9.4, 0.36 * sum(rows) + 0.9 * len(metrics) + 0.3
    figure, axes = plt.subplots(len(metrics), 1, figsize=size, height_ratios=rows, squeeze=False)
    for ax, metric in zip(axes.flat, metrics, strict=True):
        table = compared[compared["metric"] == metric]
        same = study.SAME[metric]
        ax.axvspan(-same, same, color="0.85", zorder=0, label="called the same")
        ax.axvline(0, color="0.35", linewidth=1, zorder=1)
        place = _rows_of(ax, table.index)
        for y, (_, row) in zip(place, table.iterrows(), strict=True):
            _draw_row(ax, y, row["folds"], row[["mean", "low", "high"]], row["published"])
        _bend(ax, metric)
        for tick, claimed in zip(ax.get_yticklabels(), table["claimed"], strict=True):
            tick.set_fontweight("bold" if claimed else "normal")
        right = ax.secondary_yaxis("right")
        right.set_yticks(place, [textwrap.shorten(text, 28) for text in table["else_differs"]])
        right.tick_params(length=0)
    head = {"xycoords": "axes fraction", "textcoords": "offset points", "style": "italic"}
    axes[0, 0].annotate("what else differs", (1, 1), (6, 4), fontsize=9, **head)
    _legend(figure, loc="outside lower center", ncols=4)
    return figure


def _rows_of(ax, names) -> np.ndarray:
    """Give each name a row, the first on top; return their places."""
    place = np.arange(len(names))[::-1]
    ax.set_yticks(place, names)
    ax.set_ylim(-0.5, len(names) - 0.5)
    ax.grid(axis="y", visible=False)
    ax.hlines(place[1:] + 0.5, 0, 1, transform=ax.get_yaxis_transform(), **SEPARATORS)
    return place


def _draw_row(ax, y: float, folds, interval, published) -> None:
    """Draw a row's folds as dots, their mean and its interval, and above what was published."""
    ax.plot(folds, np.full(len(folds), y - 0.27), label="a fold", **FOLD)
    mean, low, high = interval
    ax.errorbar(mean, y, xerr=[[mean - low], [high - mean]], **MEAN)
    if pd.notna(published):
        ax.plot(published, y + 0.27, label="published", zorder=4, **PUBLISHED)


def _bend(ax, metric: str) -> None:
    """Make an axis of differences linear around 0 and logarithmic further out, and say so."""
    linear = 0.5 if metric == "rmse" else 4.0
    unit = "years of test RMSE, left is better"
    if metric == "accuracy":
        unit = "points of accuracy, right is better"
    limits = ax.get_xlim()
    beyond = f"; logarithmic beyond {linear:g}" if max(map(abs, limits)) > 1.5 * linear else ""
    ax.set_xscale("symlog", base=2, linthresh=linear)
    ax.set_xticks(linear * np.array([-16, -8, -6, -4, -2, -1, -0.5, 0, 0.5, 1, 2, 4, 6, 8, 16]))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.minorticks_off()
    ax.set(xlabel=f"first less second ({unit}{beyond})", xlim=limits)


def model_comparison(table: pd.DataFrame) -> Figure:
    """Draw what ``study.model_comparison`` returns: a row a model, both targets beside each other.

    Of each the mean with its 95 % interval, the folds as dots, and what the report has.
    """
    labels = {
        "rmse": "test RMSE of age (years), left is better",
        "accuracy": "accuracy of the race label (%), right is better",
    }
    figure, axes = plt.subplots(1, 2, figsize=(9.4, 0.34 * len(table) + 1.2), sharey=True)
    for i, (column, label) in enumerate(labels.items()):
        place = _rows_of(axes[i], table.index)
        percent = 100 if column == "accuracy" else 1
        for y, folds, published in zip(place, table[column], table["published"], strict=True):
            if len(folds):
                dots = percent * np.array(folds)
                printed = published[i] and percent * published[i]
                _draw_row(axes[i], y, dots, study.interval(dots), printed)
        axes[i].set_xlabel(label)
    _legend(figure, loc="outside lower center", ncols=3)
    return figure
