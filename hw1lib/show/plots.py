"""The notebooks' figures: each function takes data and returns a matplotlib Figure."""

from __future__ import annotations

import io
import itertools
import textwrap

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from hw1lib.study.results import mean_curve, ranking_intervals

GENDERS = ("male", "female")
RACES = ("White", "Black", "Asian", "Indian", "Others")


def picture(figure: Figure) -> tuple[str, bytes]:
    """Return a figure as "png" and its bytes, or "jpeg" if it holds photographs: a fifth of the size. It is closed."""
    plt.close(figure)
    photographs = any(getattr(image.get_array(), "ndim", 0) == 3 for ax in figure.axes for image in ax.images)
    kind, file = "jpeg" if photographs else "png", io.BytesIO()
    figure.savefig(file, format=kind, pil_kwargs={"quality": 85} if photographs else {})
    return kind, file.getvalue()


def show(figure: Figure, caption: str) -> None:
    """Display a figure with its caption under it, once.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        It is closed, so that the notebook does not draw it a second time.
    caption : str
        Markdown; starts with the report's figure or table, e.g. ``"Fig. 2.3: ..."``.
    """
    from IPython.display import Markdown, display

    kind, content = picture(figure)
    display({f"image/{kind}": content}, raw=True, metadata={f"image/{kind}": {"alt": caption}})
    head, colon, rest = caption.partition(":")
    display(Markdown(f"**{head}{colon}**{rest}"))


def race_names(is_standin: bool) -> tuple[str, ...]:
    """Return what the race codes 0 .. 4 stand for: UTKFace's labels, or the stand-in's abstract classes."""
    return tuple(f"class {code}" for code in range(5)) if is_standin else RACES


def _pixels(pixels) -> np.ndarray:
    """Return a flat image of any size as (height, width, 3), uint8."""
    pixels = np.asarray(pixels)
    side = round((pixels.size / 3) ** 0.5)
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8).reshape(side, side, 3)


# -- faces and their features (notebook 01) ---------------------------------------------------------------------------


def face_sheet(images, titles=None, columns: int = 8, scale: float = 0.95) -> Figure:
    """Draw faces (n, 120000) in a sheet, with a title above each if given; ``scale`` is a face's width in inches."""
    n_rows = -(-len(images) // columns)
    height = scale * (1.22 if titles else 1.03)
    figure, axes = plt.subplots(n_rows, columns, figsize=(columns * scale, n_rows * height), squeeze=False)
    for i, ax in enumerate(axes.flat):
        ax.axis("off")
        if i < len(images):
            ax.imshow(_pixels(images[i]))
            if titles:
                ax.set_title(titles[i], fontsize=8, pad=2)
    return figure


def label_distributions(labels, is_standin: bool) -> Figure:
    """Draw age by gender, and the counts of the race codes; ``labels`` as ``FaceDataset.labels``."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.2, 3.4), width_ratios=(1.7, 1))
    bins = np.arange(0, labels["age"].max() + 6, 5)  # the last one, too, is five ages wide
    groups = [labels.loc[labels["gender"] == code, "age"] for code in (0, 1)]
    left.hist(
        groups, bins=bins, label=[f"{g} ({len(a):,})" for g, a in zip(GENDERS, groups, strict=True)], stacked=True
    )
    left.set(xlabel="age label (years, in steps of 5)", ylabel="faces", title="Age by gender label")
    figure.legend(loc="outside upper left", ncols=2)
    counts = labels["race"].value_counts().reindex(range(5), fill_value=0)
    bars = right.bar(range(5), counts, color="C2")
    right.bar_label(bars, [f"{100 * c / len(labels):.1f} %" for c in counts], fontsize=9)
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
        left.loglog(k, shares, ("-", "--")[i], label=label)
        right.plot(k, np.cumsum(shares), ("-", "--")[i])
    kept = 100 * np.cumsum(ratio)
    for mark in (m for m in marks if m <= len(kept)):
        right.plot(mark, kept[mark - 1], "o", color="C0")
        right.annotate(
            f"{mark}: {kept[mark - 1]:.1f} %", (mark, kept[mark - 1] - 16), ha="right" if mark > 16 else "left"
        )
    left.set(xlabel="component", ylabel="share of the variance (%)", title="Scree plot")
    right.set(xlabel="components kept", ylabel="variance kept (%)", title="Cumulative variance", ylim=(0, 102))
    figure.legend(loc="outside upper right", ncols=2)
    return figure


def eigenfaces(components, ratio, n: int = 16, columns: int = 8) -> Figure:
    """Draw components (k, 120000) as pictures: grey is 0, each scaled by its own largest entry."""
    pictures = [127.5 + 127.5 * c / np.abs(c).max() for c in components[:n]]
    return face_sheet(
        pictures, [f"{i}: {100 * r:.1f} %" for i, r in enumerate(ratio[:n], start=1)], columns, scale=1.15
    )


# -- networks and training (notebooks 02 to 05) -----------------------------------------------------------------------


def network_drawing(layers, names=None, most: int = 6) -> Figure:
    """Draw a fully connected network; of a layer with more than ``most`` units the first and last are shown."""
    figure, ax = plt.subplots(figsize=(8.2, 3.9))
    ax.axis("off")
    columns, top = [], (min(max(layers), most) - 1) / 2
    for x, units in enumerate(layers):
        shown = units if units <= most else most
        ys = np.linspace((shown - 1) / 2, -(shown - 1) / 2, shown)
        gap = shown // 2 if units > most else None  # this place holds the dots
        columns.append([(x * 2.2, y) for i, y in enumerate(ys) if i != gap])
        if gap is not None:
            ax.text(x * 2.2, ys[gap], "⋮", ha="center", va="center", fontsize=16)
        name = names[x] if names else f"layer {x + 1}"
        ax.text(x * 2.2, -top - 0.55, f"{name}\n{units} unit{'s' * (units > 1)}", ha="center", va="top", fontsize=10)
    for left, right in itertools.pairwise(columns):
        for x0, y0 in left:
            for x1, y1 in right:
                ax.plot([x0, x1], [y0, y1], color="0.72", linewidth=0.6, zorder=1)
    for i, column in enumerate(columns):
        color = "C0" if i == 0 else "C1" if i == len(columns) - 1 else "C2"
        ax.scatter(
            [x for x, _ in column],
            [y for _, y in column],
            s=190,
            color=color,
            edgecolor="black",
            linewidth=0.8,
            zorder=2,
        )
    for i in range(len(columns) - 1):
        ax.text(i * 2.2 + 1.1, top + 0.45, rf"$W_{i + 1},\ b_{i + 1}$", ha="center", fontsize=12)
    ax.set(xlim=(-0.7, (len(layers) - 1) * 2.2 + 0.7), ylim=(-top - 1.5, top + 0.9))
    return figure


def function_and_derivative(functions) -> Figure:
    """Draw activations (dict of name to Activation) and their derivatives."""
    z = np.linspace(-3, 3, 601)
    figure, axes = plt.subplots(1, 2, figsize=(8.6, 3.2), sharex=True)
    for i, (name, f) in enumerate(functions.items()):
        a = f(z)
        axes[0].plot(z, a, ("-", "--", ":", "-.")[i % 4], label=name)
        axes[1].plot(z, f.derivative(a), ("-", "--", ":", "-.")[i % 4])
    axes[0].set(xlabel="weighted sum z", ylabel="output f(z)", title="Activation")
    axes[1].set(xlabel="weighted sum z", ylabel="f'(z)", title="Derivative")
    figure.legend(loc="outside right upper")
    return figure


def _as_rmse(results, names) -> dict:
    """Return the curves of experiments with the RMSE, the root of twice the L2 loss, in the place of each loss."""
    experiments = {}
    for name in names:
        curves = [run["curves"] for run in results["experiments"][name]["runs"]]
        roots = [{kind: np.sqrt(2 * np.asarray(c[kind])) for kind in ("train_loss", "validation_loss")} for c in curves]
        experiments[name] = {"runs": [{"curves": c | root} for c, root in zip(curves, roots, strict=True)]}
    return {"experiments": experiments}


def training_curves(
    results, names: dict[str, str], curve: str = "loss", best: bool = False, columns: int = 3
) -> Figure:
    """Draw training and validation curves of experiments, a panel each.

    Parameters
    ----------
    results : dict
        As ``experiments.run`` returns them.
    names : dict of str to str
        Experiments, and the panels' titles.
    curve : {"loss", "rmse", "accuracy"}
        "rmse" is computed from each seed's loss (L2, one output).
    best : bool
        Mark the epoch with the lowest validation loss, averaged over the seeds.
    columns : int
        Panels in a row.

    The line is the mean over the seeds, the band reaches from the lowest to the highest seed. Epochs are logarithmic,
    so that the beginning and a long end are both seen.
    """
    rows = -(-len(names) // columns)
    width = {1: 5.6, 2: 7.6}.get(columns, 9.4)
    figure, axes = plt.subplots(rows, columns, figsize=(width, 2.9 * rows + 0.4), sharey=True, squeeze=False)
    kinds = {"accuracy": ("train_metric", "validation_metric")}.get(curve, ("train_loss", "validation_loss"))
    shown = _as_rmse(results, names) if curve == "rmse" else results
    for ax, (name, title) in zip(axes.flat, names.items(), strict=False):
        runs = results["experiments"][name]["runs"]
        for i, (kind, label) in enumerate(zip(kinds, ("training", "validation"), strict=True)):
            epochs, *values = mean_curve(shown, name, kind)
            ax.plot(epochs, values[0], ("--", "-")[i], color=f"C{i}", label=label)
            ax.fill_between(epochs, values[1], values[2], color=f"C{i}", alpha=0.2, linewidth=0)
        if best:
            ax.axvline(
                np.mean([r["best_epoch"] for r in runs]), color="black", linestyle=":", label="best epoch (mean)"
            )
        ax.set(xlabel="epoch", xscale="log")
        ax.set_title(textwrap.fill(title, 22 if columns > 3 else 30))
    for ax in axes.flat[len(names) :]:
        ax.axis("off")
    label = {"loss": "mean loss", "rmse": "RMSE (years)", "accuracy": "accuracy"}[curve]
    for ax in axes[:, 0]:
        ax.set_ylabel(label)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def with_intervals(groups: dict, xlabel: str, reference: dict | None = None) -> Figure:
    """Draw means with their 95 % intervals: ``groups`` is label -> (mean, low, high); ``reference`` label -> value."""
    figure, ax = plt.subplots(figsize=(7.6, 0.42 * len(groups) + 1.2))
    y = np.arange(len(groups))[::-1]
    mean, low, high = np.array(list(groups.values())).T
    ax.errorbar(mean, y, xerr=[mean - low, high - mean], fmt="o", capsize=4, color="C0")
    for i, (name, value) in enumerate((reference or {}).items()):
        ax.axvline(value, color=f"C{i + 1}", linestyle=("--", ":", "-.")[i % 3], label=name)
    ax.set_yticks(y, groups)
    ax.set(xlabel=xlabel, ylim=(-0.6, len(groups) - 0.4))
    ax.grid(axis="y", visible=False)
    if reference:
        figure.legend(loc="outside upper right", ncols=2)
    return figure


def layer_histograms(layers, titles, xlabel: str, color: str = "C0") -> Figure:
    """Draw histograms within three standard deviations of 0: ``layers`` is name -> one array a layer, a row each."""
    n = len(titles)
    figure, axes = plt.subplots(len(layers), n, figsize=(8.8, 1.25 * len(layers) + 0.6), squeeze=False)
    for row, (name, arrays) in zip(axes, layers.items(), strict=True):
        for ax, array in zip(row, arrays, strict=True):
            std = float(np.std(array))
            reach = 3 * std if std > 0 else 1.0
            ax.hist(np.ravel(array), bins=41, range=(-reach, reach), color=color)
            ax.text(0.03, 0.9, f"{std:.2g}", transform=ax.transAxes, va="top", fontsize=9)
            ax.set_yticks([])
            ax.grid(visible=False)
            ax.tick_params(labelsize=8)
        row[0].set_ylabel(name, rotation=0, ha="right", va="center")
    for ax, title in zip(axes[0], titles, strict=True):
        ax.set_title(title)
    for ax in axes[-1]:
        ax.set_xlabel(xlabel)
    return figure


def rankings(results, variants, labels) -> Figure:
    """Draw the report's rankings: mean difference and 95 % interval of each, a colour for each variant."""
    tables = [ranking_intervals(results, variant) for variant in variants]
    published = pd.concat(tables)["published"].groupby(level=0, sort=False).first()  # a claim may lack in one variant
    place = pd.Series(np.arange(len(published))[::-1], published.index)
    figure, ax = plt.subplots(figsize=(8.8, 3.9))
    for i, (table, label) in enumerate(zip(tables, labels, strict=True)):
        mean, low, high = (table[column].to_numpy() for column in ("mean", "low", "high"))
        y = place[table.index] + 0.11 - 0.22 * i
        ax.errorbar(mean, y, xerr=[mean - low, high - mean], fmt="os"[i], capsize=3, color=f"C{i}", label=label)
    ax.plot(published, place, "|", color="black", markersize=12, label="published")
    ax.set_yticks(place, published.index)
    ax.axvline(0, color="black", linewidth=1)
    ax.set_xscale("symlog", linthresh=0.2)
    ticks = [-8, -4, -2, -1, -0.5, -0.2, 0, 0.2, 0.5, 1]
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.minorticks_off()
    ax.set(xlabel="difference in test RMSE, called better less called worse (years; linear within 0.2)")
    ax.grid(axis="y", visible=False)
    figure.legend(loc="outside upper right", ncols=3)
    return figure


def against(lines, xlabel: str, ylabel: str) -> Figure:
    """Draw means with 95 % intervals over a logarithmic axis: ``lines`` is name -> (x, (mean, low, high))."""
    figure, ax = plt.subplots(figsize=(6.8, 3.6))
    ticks = set()
    for i, (name, (x, (mean, low, high))) in enumerate(lines.items()):
        spread = np.nan_to_num([mean - low, high - mean])  # a single seed has no interval
        ax.errorbar(x, mean, spread, fmt="os"[i % 2] + ("-", "--")[i % 2], color=f"C{i}", capsize=4, label=name)
        ticks |= set(x)
    ax.set(xlabel=xlabel, ylabel=ylabel, xscale="log")
    ax.set_xticks(sorted(ticks), [f"{tick:,}" for tick in sorted(ticks)])
    ax.minorticks_off()
    figure.legend(loc="outside upper right", ncols=2)
    return figure


def probabilities(images, shares, names, titles) -> Figure:
    """Draw faces (n, 120000), each with the probabilities (n, k) that a classifier gives it, in rows of two."""
    n_rows = -(-len(images) // 2)
    figure, axes = plt.subplots(n_rows, 4, figsize=(9.4, 2.0 * n_rows), width_ratios=(1, 1.5) * 2, squeeze=False)
    for ax in axes.flat[2 * len(images) :]:
        ax.axis("off")
    for i, (image, share, title) in enumerate(zip(images, shares, titles, strict=True)):
        face, bars = axes.flat[2 * i], axes.flat[2 * i + 1]
        face.imshow(_pixels(image))
        face.axis("off")
        y = np.arange(len(share))[::-1]
        bars.barh(y, share)
        bars.set_yticks(y, names)
        bars.set(xlim=(0, 1), title=title)
        bars.grid(axis="y", visible=False)
        if i >= len(images) - 2:  # the lowest of its column
            bars.set_xlabel("probability")
    return figure


def confusion(matrices) -> Figure:
    """Draw confusion matrices side by side, in per cent of a row: ``matrices`` is title -> (counts (k, k), names)."""
    figure, axes = plt.subplots(1, len(matrices), figsize=(4.6 * len(matrices), 3.9), squeeze=False)
    for ax, (title, (counts, names)) in zip(axes[0], matrices.items(), strict=True):
        share = 100 * np.asarray(counts) / np.maximum(np.sum(counts, axis=1, keepdims=True), 1)
        ax.imshow(share, cmap="Blues", vmin=0, vmax=100)
        for (i, j), value in np.ndenumerate(share):
            ax.text(j, i, f"{value:.0f}", ha="center", va="center", color="white" if value > 71.5 else "black")
        labels = [f"{name} ({n:,})" for name, n in zip(names, np.sum(counts, axis=1), strict=True)]
        ax.set_yticks(range(len(names)), labels)
        ax.set_xticks(range(len(names)), names, rotation=30, ha="right")
        ax.set(xlabel="predicted", ylabel="label (and test faces)", title=title)
        ax.grid(visible=False)
    return figure


def learning_rates(schedules, epochs: int) -> Figure:
    """Draw learning-rate schedules (dict of name to Schedule) over the epochs."""
    figure, ax = plt.subplots(figsize=(6.4, 3.0))
    for i, (name, schedule) in enumerate(schedules.items()):
        rates = [schedule(epoch) for epoch in range(epochs)]
        ax.plot(range(1, epochs + 1), rates, ("-", "--", ":", "-.")[i % 4], label=name)
    ax.set(xlabel="epoch", ylabel="learning rate", yscale="log")
    figure.legend(loc="outside right upper")
    return figure


def predicted_against_true(true, predicted) -> Figure:
    """Draw predicted against true age, with the line where both are equal and the mean prediction by age."""
    figure, ax = plt.subplots(figsize=(5.6, 4.6))
    ax.scatter(true, predicted, s=7, alpha=0.25, linewidth=0, label="a face")
    top = max(np.max(true), np.max(predicted)) + 3
    ax.plot([0, top], [0, top], "--", color="black", linewidth=1, label="predicted = true")
    decades = np.arange(0, top, 10)
    which = np.digitize(true, decades) - 1
    middles = [(d + 5, np.mean(predicted[which == i])) for i, d in enumerate(decades) if np.sum(which == i) >= 5]
    if middles:
        ax.plot(*zip(*middles, strict=True), "o-", color="C1", label="mean of a decade")
    ax.set(xlabel="age label (years)", ylabel="predicted age (years)", aspect="equal")
    figure.legend(loc="outside upper center", ncols=3)
    return figure


def by_group(groups, ylabel: str = "test RMSE (years)", line: float | None = None) -> Figure:
    """Draw a number of groups of test faces with its intervals.

    Parameters
    ----------
    groups : dict of str to DataFrame
        A panel each; the index names the groups, columns ``n, value, low, high``.
    ylabel : str
    line : float, optional
        Of all faces together, drawn across.
    """
    widths = [len(table) + 1 for table in groups.values()]
    figure, axes = plt.subplots(1, len(groups), figsize=(9.4, 3.5), width_ratios=widths, sharey=True, squeeze=False)
    for i, (ax, (name, table)) in enumerate(zip(axes[0], groups.items(), strict=True)):
        x = np.arange(len(table))
        spread = np.abs(table[["low", "high"]].to_numpy().T - table["value"].to_numpy())
        ax.bar(x, table["value"], color=f"C{i}", alpha=0.85)
        ax.errorbar(x, table["value"], spread, fmt="none", ecolor="black", capsize=3, linewidth=1)
        ax.set_xticks(
            x, [f"{group}\n{n:,}" for group, n in zip(table.index, table["n"].astype(int), strict=True)], fontsize=8
        )
        ax.set(xlabel=f"{name} / test faces")
        ax.grid(axis="x", visible=False)
        if line is not None:
            ax.axhline(line, color="black", linestyle="--", linewidth=1, label="all test faces" if i == 0 else None)
    axes[0, 0].set_ylabel(ylabel)
    if line is not None:
        figure.legend(loc="outside upper right")
    return figure
