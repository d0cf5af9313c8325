"""The notebooks' plots: each function takes data, computed elsewhere, and returns a matplotlib Figure."""

from __future__ import annotations

import textwrap

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from sklearn.metrics import ConfusionMatrixDisplay

from hw1lib.study.comparisons import SAME
from hw1lib.study.results import OVERLAP, interval, mean_curve

GENDERS = ("male", "female")
RACES = ("White", "Black", "Asian", "Indian", "Others")
STYLES, MARKERS = ("-", "--", ":", "-."), "osD^"  # series differ in more than their colour


def race_names(is_standin: bool) -> tuple[str, ...]:
    """Return what the race codes 0 .. 4 stand for: UTKFace's labels, or the stand-in's abstract classes."""
    return tuple(f"class {code}" for code in range(5)) if is_standin else RACES


def label_distributions(labels, is_standin: bool) -> Figure:
    """Draw age by gender, and the counts of the race codes; ``labels`` as ``FaceDataset.labels``."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.2, 3.4), width_ratios=(1.7, 1))
    bins = np.arange(0, labels["age"].max() + 6, 5)  # the last one, too, is five ages wide
    groups = [labels.loc[labels["gender"] == code, "age"] for code in (0, 1)]
    names = [f"{gender} ({len(ages):,})" for gender, ages in zip(GENDERS, groups, strict=True)]
    left.hist(groups, bins=bins, label=names, stacked=True)
    left.set(xlabel="age label (years, in steps of 5)", ylabel="faces", title="Age by gender label")
    figure.legend(loc="outside upper left", ncols=2)
    counts = labels["race"].value_counts().reindex(range(5), fill_value=0)
    bars = right.bar(range(5), counts, color="C2")
    right.bar_label(bars, [f"{100 * c / len(labels):.1f} %" if c else "-" for c in counts], fontsize=9)
    right.set_xticks(range(5), race_names(is_standin))
    right.set(xlabel="race label", ylabel="faces", title="Race label")
    right.grid(axis="x", visible=False)
    return figure


def scree(ratio, recorded, marks=(16, 64, 128)) -> Figure:
    """Draw the share of the variance that each component keeps, and the sum up to it; of this run, and as recorded."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.2, 3.4))
    for i, (label, shares) in enumerate((("this run", ratio), ("recorded on UTKFace", recorded))):
        shares = 100 * np.asarray(shares)
        k = np.arange(1, len(shares) + 1)
        left.loglog(k, shares, STYLES[i], label=label)
        right.plot(k, np.cumsum(shares), STYLES[i])
    kept = 100 * np.cumsum(ratio)
    for mark in (m for m in marks if m <= len(kept)):
        right.plot(mark, kept[mark - 1], "o", color="C0")
        right.vlines(mark, 0, kept[mark - 1], color="C0", linestyle=":", linewidth=1)  # the text: clear of both curves
        beside = {"xytext": (-4, 0), "ha": "right"} if mark > 99 else {"xytext": (4, 0)}
        right.annotate(f"{mark}: {kept[mark - 1]:.1f} %", (mark, 3), textcoords="offset points", color="C0", **beside)
    left.set(xlabel="component", ylabel="share of the variance (%)", title="Scree plot")
    right.set(xlabel="components kept", ylabel="variance kept (%)", title="Cumulative variance", ylim=(0, 102))
    figure.legend(loc="outside upper right", ncols=2)
    return figure


def activations(functions) -> Figure:
    """Draw activations (dict of name to Activation) and their derivatives."""
    z = np.linspace(-3, 3, 601)
    figure, axes = plt.subplots(1, 2, figsize=(8.6, 3.2), sharex=True)
    for i, (name, f) in enumerate(functions.items()):
        a = f(z)
        axes[0].plot(z, a, STYLES[i % 4], label=name)
        slope = f.derivative(a)
        jumps = np.abs(np.diff(slope, prepend=slope[0])) > 0.5
        axes[1].plot(z, np.where(jumps, np.nan, slope), STYLES[i % 4])  # no line across a jump
    axes[0].set(xlabel="weighted sum z", ylabel="output f(z)", title="Activation")
    axes[1].set(xlabel="weighted sum z", ylabel="f'(z)", title="Derivative")
    figure.legend(loc="outside right upper")
    return figure


def learning_rates(schedules, epochs: int) -> Figure:
    """Draw learning-rate schedules (dict of name to Schedule) over the epochs."""
    figure, ax = plt.subplots(figsize=(6.4, 3.0))
    for i, (name, schedule) in enumerate(schedules.items()):
        rates = [schedule(epoch) for epoch in range(epochs)]
        ax.plot(range(1, epochs + 1), rates, STYLES[i % 4], label=name)
    ax.set(xlabel="epoch", ylabel="learning rate", yscale="log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.minorticks_off()
    figure.legend(loc="outside right upper")
    return figure


def training_curves(
    sources,
    names: dict[str, str],
    curve: str = "loss",
    best: bool = False,
    columns: int = 4,
    since: int = 1,
    share_epochs: bool = False,
) -> Figure:
    """Draw training and validation curves of experiments, a panel each, and a row of panels for each source.

    Parameters
    ----------
    sources : dict of str to dict
        What the results are called, and the results as ``run`` or ``recorded`` returns them: the recorded ones above
        this run's, say. A source that does not hold an experiment leaves its panel empty.
    names : dict of str to str
        Experiments, and the panels' titles.
    curve : {"loss", "rmse", "accuracy"}
        The metric of the experiments is one of the last two.
    best : bool
        Mark the epoch with the lowest validation loss, the median over the networks.
    columns : int
        Panels in a row.
    since : int
        The first epoch that is drawn: after a steep beginning the rest is seen better.
    share_epochs : bool
        Let all panels of a source reach to its last epoch, though one stopped early.

    The line is the mean over the networks, the band reaches from the lowest to the highest. A source's panels share
    their vertical axis. Epochs are logarithmic, so that the beginning and a long end are both seen.
    """
    if not any(name in results["experiments"] for results in sources.values() for name in names):
        raise ValueError(f"sources must hold one of {', '.join(names)} at least")
    columns = min(columns, len(names))
    n_rows = -(-len(names) // columns)
    shape = len(sources) * n_rows, columns
    width = {1: 5.6, 2: 7.6}.get(columns, 9.4)
    figure, axes = plt.subplots(*shape, figsize=(width, 2.7 * shape[0] + 0.4), squeeze=False)
    kind = "loss" if curve == "loss" else "metric"
    unit = {"rmse": "RMSE (years)", "accuracy": "accuracy", "loss": "mean loss"}[curve]
    for panels, (source, results) in zip(np.split(axes, len(sources)), sources.items(), strict=True):
        held = {name: results["experiments"][name] for name in names if name in results["experiments"]}
        last = max((mean_curve(results, name, f"train_{kind}")[0][-1] for name in held), default=1)
        for ax in panels.flat:
            ax.axis("off")
            if ax is not panels[0, 0]:
                ax.sharey(panels[0, 0])
            if share_epochs and ax is not panels[0, 0]:
                ax.sharex(panels[0, 0])
            ax.tick_params(labelleft=False)
        for place, (ax, (name, title)) in enumerate(zip(panels.flat, names.items(), strict=False)):
            if name not in held:
                continue
            ax.axis("on")
            for i, (part, label) in enumerate({"train": "training", "validation": "validation"}.items()):
                epochs, *curves = mean_curve(results, name, f"{part}_{kind}")
                epochs, mean, low, high = (array[epochs >= since] for array in (epochs, *curves))
                ax.plot(epochs, mean, ("--", "-")[i], color=f"C{i}", label=label)
                ax.fill_between(epochs, low, high, color=f"C{i}", alpha=0.2, linewidth=0)
            if best:
                epoch = np.median([run["best_epoch"] for run in held[name]["runs"]])
                ax.axvline(epoch, color="black", linestyle=":", label="best epoch (median)")
            ax.set(xlabel="epoch", xscale="log")
            if since > 1:  # plain numbers, and more ticks where there is less than two powers of ten
                to = last if share_epochs else epochs[-1]
                ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if to < 50 * since else (1,)))
                ax.xaxis.set_major_formatter("{x:g}")
                ax.minorticks_off()
            ax.set_title(textwrap.fill(title, 22 if columns > 3 else 30))
            squared = " (years²)" if curve == "loss" and held[name]["settings"]["target"] == "age" else ""
            if not any(beside.get_ylabel() for beside in panels[place // columns]):  # the first that is there
                ax.set_ylabel(f"{source}\n{unit}{squared}")
                ax.tick_params(labelleft=True)
    drawn = next(ax for ax in axes.flat if ax.has_data())
    figure.legend(*drawn.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def _reach(table, middle: str) -> np.ndarray:
    """Return how far each interval reaches below and above its middle, (2, n); NaN where there is none."""
    return table[["low", "high"]].sub(table[middle], axis=0).abs().to_numpy().T


def forest(compared: pd.DataFrame) -> Figure:
    """Draw comparisons: a row each, the differences' mean with its 95 % interval, and each fold as a small dot.

    Parameters
    ----------
    compared : DataFrame
        As ``study.compare`` returns it. Differences of age errors (years; left is better) and of accuracy (points;
        right is better) get a panel each. The grey band holds differences that are called "the same"; what the report
        claims is bold. The axes are linear around 0, and logarithmic further out.
    """
    metrics = [metric for metric in SAME if (compared["metric"] == metric).any()]
    rows = [(compared["metric"] == metric).sum() for metric in metrics]
    size = 9.4, 0.36 * sum(rows) + 0.9 * len(metrics) + 0.3
    figure, axes = plt.subplots(len(metrics), 1, figsize=size, height_ratios=rows, squeeze=False)
    for ax, metric in zip(axes[:, 0], metrics, strict=True):
        table = compared[compared["metric"] == metric]
        place = np.arange(len(table))[::-1]
        ax.axvspan(-SAME[metric], SAME[metric], color="0.85", zorder=0, label="called the same")
        ax.axvline(0, color="0.35", linewidth=1, zorder=1)
        ax.hlines(place[1:] + 0.5, 0, 1, color="0.9", linewidth=0.8, zorder=0, transform=ax.get_yaxis_transform())
        for y, folds in zip(place, table["folds"], strict=True):
            ax.plot(folds, np.full(len(folds), y - 0.27), ".", color="C0", markersize=4, alpha=0.6, label="a fold")
        mean, reach = table["mean"], _reach(table, "mean")
        ax.errorbar(mean, place, xerr=reach, fmt="o", markersize=5, capsize=3, color="C1", label="mean, 95 % interval")
        if table["published"].notna().any():
            (hollow,) = ax.plot(table["published"], place + 0.27, "D", color="black", markersize=5, label="published")
            hollow.set(fillstyle="none", zorder=4)
        linear = 0.5 if metric == "rmse" else 4.0
        limits = ax.get_xlim()
        ax.set_xscale("symlog", base=2, linthresh=linear)  # small and large ones are both seen
        ax.set_xticks(linear * np.array([-16, -8, -6, -4, -2, -1, -0.5, 0, 0.5, 1, 2, 4, 6, 8, 16]))
        ax.xaxis.set_major_formatter("{x:g}")
        ax.minorticks_off()
        for label, claimed in zip(ax.set_yticks(place, table.index), table["claimed"], strict=True):
            label.label1.set_fontweight("bold" if claimed else "normal")
        better = "years of test RMSE, left is better" if metric == "rmse" else "points of accuracy, right is better"
        beyond = f"; logarithmic beyond {linear:g}" if max(map(abs, limits)) > 1.5 * linear else ""
        ax.set(xlabel=f"first less second ({better}{beyond})", xlim=limits, ylim=(-0.5, len(table) - 0.5))
        ax.grid(axis="y", visible=False)
        right = ax.secondary_yaxis("right")
        right.set_yticks(place, [textwrap.shorten(text, 28) for text in table["else_differs"]])
        right.tick_params(length=0)
    axes[0, 0].annotate(
        "what else differs", (1, 1), (6, 4), "axes fraction", "offset points", fontsize=9, style="italic"
    )
    once = {label: handle for ax in axes[:, 0] for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(once.values(), once.keys(), loc="outside lower center", ncols=4)
    return figure


def misfits(epochs, families: pd.DataFrame, best: int = 3) -> Figure:
    """Draw how far settings are from the report's numbers over the epochs, the best few in colour.

    Parameters
    ----------
    epochs : sequence of int
    families : DataFrame
        As ``study.families`` returns it.
    best : int
    """
    figure, ax = plt.subplots(figsize=(8.8, 3.8))
    for i, (_, row) in enumerate(families[::-1].iterrows(), start=1 - len(families)):
        named = -i < best
        label = f"{row['normalizer']}, {row['scale']}, rate {row['rate']:g}" if named else "the others"
        colour, style, width = (f"C{-i}", STYLES[-i % 4], 1.6) if named else ("0.75", "-", 0.8)
        ax.plot(epochs, row["curve"], style, color=colour, linewidth=width, label=label)
    ax.set(xlabel="epoch", ylabel="misfit (years)", xscale="log", yscale="log", ylim=(None, 12))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter("{x:g}")
    ax.minorticks_off()
    handles, labels = ax.get_legend_handles_labels()
    once = dict(zip(labels[::-1], handles[::-1], strict=True))  # the best first
    figure.legend(once.values(), once.keys(), loc="outside lower center", ncols=2)
    return figure


def learning_curve(tables, ylabel: str, xlabel: str = "training faces") -> Figure:
    """Draw means with 95 % intervals over a number, of training faces or of something else.

    Parameters
    ----------
    tables : dict of str to DataFrame
        A line each; the index is the number, columns ``mean, low, high``.
    ylabel, xlabel : str
    """
    figure, ax = plt.subplots(figsize=(6.8, 3.6))
    for i, (name, table) in enumerate(tables.items()):
        reach = _reach(table, "mean")
        ax.errorbar(table.index, table["mean"], reach, fmt=MARKERS[i] + STYLES[i], color=f"C{i}", capsize=4, label=name)
    ticks = sorted(set().union(*(table.index for table in tables.values())))
    ax.set(xlabel=xlabel, ylabel=ylabel, xscale="log")
    ax.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    ax.minorticks_off()
    figure.legend(loc="outside upper right", ncols=2)
    return figure


def layer_spreads(starts, layers, titles) -> Figure:
    """Draw standard deviations on a log axis: ``starts`` is name -> for each panel one array a layer."""
    figure, axes = plt.subplots(1, len(titles), figsize=(8.8, 3.4))
    for panel, (ax, title) in enumerate(zip(axes, titles, strict=True)):
        for i, (name, panels) in enumerate(starts.items()):
            spreads = np.array([np.std(array) for array in panels[panel]])
            label = name if spreads.any() else f"{name}: all 0"
            drawn = np.where(spreads > 0, spreads, np.nan)
            ax.plot(drawn, MARKERS[i % 4] + STYLES[i % 4], color=f"C{i}", label=label)
        ax.set(title=title, xlabel="layer", ylabel="standard deviation", yscale="log")
        ax.set_xticks(range(len(layers)), layers)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(starts))
    return figure


def predicted_against_true(true, predicted) -> Figure:
    """Draw predicted against true age, with the line where both are equal and the mean prediction by age."""
    figure, ax = plt.subplots(figsize=(5.6, 4.6))
    ax.scatter(true, predicted, s=7, alpha=0.25, linewidth=0, label="a face")
    top = max(np.max(true), np.max(predicted)) + 3
    ax.plot([0, top], [0, top], "--", color="black", linewidth=1, label="predicted = true")
    decades = np.arange(0, top, 10)
    which = np.digitize(true, decades) - 1
    groups = [which == i for i in range(len(decades)) if np.sum(which == i) >= 5]
    middles = [(np.mean(true[group]), np.mean(predicted[group])) for group in groups]
    if middles:
        ax.plot(*zip(*middles, strict=True), "o-", color="C1", label="mean of a decade")
    ax.set(xlabel="age label (years)", ylabel="predicted age (years)", aspect="equal")
    figure.legend(loc="outside upper center", ncols=3)
    return figure


def by_group(groups, ylabel: str, overall: float, limit: float | None = None) -> Figure:
    """Draw a number of groups of test faces with its intervals.

    Parameters
    ----------
    groups : dict of str to DataFrame
        A panel each; the index names the groups, columns ``n, value, low, high``.
    ylabel : str
    overall : float
        The number of all faces together, drawn across.
    limit : float, optional
        What no model can do better than, as the labels themselves are noisy (``faces.label_noise``).
    """
    widths = [len(table) + 1 for table in groups.values()]
    figure, axes = plt.subplots(1, len(groups), figsize=(9.4, 3.5), width_ratios=widths, sharey=True, squeeze=False)
    for i, (ax, (name, table)) in enumerate(zip(axes[0], groups.items(), strict=True)):
        x = np.arange(len(table))
        ax.bar(x, table["value"], color=f"C{i}", alpha=0.85)
        ax.errorbar(x, table["value"], _reach(table, "value"), fmt="none", ecolor="black", capsize=3, linewidth=1)
        labels = [f"{group}\n{int(n):,}" for group, n in table["n"].items()]
        ax.set_xticks(x, labels, fontsize=8)
        ax.set(xlabel=f"{name} / test faces")
        ax.grid(axis="x", visible=False)
        across = [ax.axhline(overall, color="black", linestyle="--", linewidth=1, label="all test faces")]
        if limit is not None:
            across.append(ax.axhline(limit, color="C3", linestyle=":", linewidth=1.5, label="the labels' limit"))
    axes[0, 0].set_ylabel(ylabel)
    figure.legend(handles=across, loc="outside upper right", ncols=2)
    return figure


def by_group_and_model(groups, ylabel: str, limit: float | None = None) -> Figure:
    """Draw a number of groups of test faces for several models beside each other, with intervals.

    Parameters
    ----------
    groups : dict of str to dict of str to DataFrame
        Panel -> model -> table; its index names the groups, columns ``value, low, high``, and ``n`` in the first one's,
        which stands below the groups.
    ylabel : str
    limit : float, optional
        What no model can do better than, as the labels themselves are noisy (``faces.label_noise``).
    """
    widths = [len(next(iter(models.values()))) + 1 for models in groups.values()]
    figure, axes = plt.subplots(1, len(groups), figsize=(9.4, 3.5), width_ratios=widths, sharey=True, squeeze=False)
    for ax, (name, models) in zip(axes[0], groups.items(), strict=True):
        first = next(iter(models.values()))
        for i, (model, table) in enumerate(models.items()):
            at = np.arange(len(table)) + 0.36 * (i / max(1, len(models) - 1) - 0.5)
            reach = _reach(table, "value")
            ax.errorbar(at, table["value"], reach, fmt=MARKERS[i % 4], color=f"C{i}", capsize=3, label=model)
        if limit is not None:
            ax.axhline(limit, color="C3", linestyle=":", linewidth=1.5, label="the labels' limit")
        ax.set_xticks(range(len(first)), [f"{group}\n{int(n):,}" for group, n in first["n"].items()], fontsize=8)
        ax.set(xlabel=name, xlim=(-0.6, len(first) - 0.4))
        ax.grid(axis="x", visible=False)
    axes[0, 0].set_ylabel(ylabel)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper right", ncols=4)
    return figure


def ladder(table: pd.DataFrame) -> Figure:
    """Draw what each of ``study.ladder``'s models reaches: mean with its 95 % interval, folds as dots."""
    panels = {
        "rmse": ("test RMSE of age (years), left is better", 1),
        "accuracy": ("accuracy of the race label (%), right is better", 100),
    }
    figure, axes = plt.subplots(1, 2, figsize=(9.4, 0.34 * len(table) + 1.2), sharey=True)
    place = np.arange(len(table))[::-1]
    for i, (ax, (column, (label, unit))) in enumerate(zip(axes, panels.items(), strict=True)):
        for y, folds, printed in zip(place, table[column], table["published"], strict=True):
            if len(folds):
                mean, _, high = interval(folds, overlap=OVERLAP)
                ax.plot(unit * np.array(folds), np.full(len(folds), y - 0.27), ".", color="C0", markersize=4, alpha=0.6)
                drawn = ax.errorbar(
                    unit * mean, y, xerr=unit * (high - mean), fmt="o", markersize=5, capsize=3, color="C1"
                )
                drawn.set_label("mean, 95 % interval")
            if printed[i] is not None:
                ax.plot(
                    unit * printed[i], y + 0.27, "D", color="black", fillstyle="none", markersize=5, label="published"
                )
        ax.hlines(place[1:] + 0.5, 0, 1, color="0.9", linewidth=0.8, zorder=0, transform=ax.get_yaxis_transform())
        ax.set(xlabel=label, ylim=(-0.5, len(table) - 0.5))
        ax.grid(axis="y", visible=False)
    axes[0].set_yticks(place, table.index)
    axes[0].plot([], [], ".", color="C0", markersize=4, alpha=0.6, label="a fold")
    once = dict(zip(*axes[0].get_legend_handles_labels()[::-1], strict=True))
    figure.legend(once.values(), once.keys(), loc="outside lower center", ncols=3)
    return figure


def confusion(matrices) -> Figure:
    """Draw confusion matrices side by side: ``matrices`` is title -> (counts (k, k), or means of them, and names).

    In per cent of a row; "-" in the rows of labels that no face has.
    """
    figure, axes = plt.subplots(1, len(matrices), figsize=(4.6 * len(matrices), 3.9), squeeze=False)
    for ax, (title, (counts, names)) in zip(axes[0], matrices.items(), strict=True):
        share = 100 * np.asarray(counts) / np.maximum(np.sum(counts, axis=1, keepdims=True), 1)
        shade = {"cmap": "Blues", "vmin": 0, "vmax": 150}  # up to a blue on which black is easy to read
        look = {"im_kw": shade, "text_kw": {"color": "black"}, "values_format": ".0f", "xticks_rotation": 30}
        drawn = ConfusionMatrixDisplay(share, display_labels=names).plot(ax=ax, colorbar=False, **look)
        for text in drawn.text_[np.sum(counts, axis=1) == 0].flat:
            text.set_text("-")
        labels = [f"{name} ({n:,.0f})" for name, n in zip(names, np.sum(counts, axis=1), strict=True)]
        ax.set_yticks(range(len(names)), labels)
        ax.set(xlabel="predicted", ylabel="label (and test faces)", title=title)
        ax.grid(visible=False)
    return figure
