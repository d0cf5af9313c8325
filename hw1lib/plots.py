"""The notebooks' figures: each function takes data and returns a matplotlib Figure."""

from __future__ import annotations

import itertools

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

GENDERS = ("male", "female")
RACES = ("White", "Black", "Asian", "Indian", "Others")


def show(figure: Figure, caption: str) -> None:
    """Display a figure with its caption under it, once.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        The figure; it is closed, so that the notebook does not draw it a second time.
    caption : str
        Markdown; starts with the report's figure or table, e.g. ``"Fig. 2.3: ..."``.
    """
    from IPython.display import Markdown, display

    plt.close(figure)
    head, colon, rest = caption.partition(":")
    display(figure, metadata={"image/png": {"alt": caption}})
    display(Markdown(f"**{head}{colon}**{rest}"))


def race_names(is_standin: bool) -> tuple[str, ...]:
    """Return what the race codes 0 .. 4 stand for: UTKFace's labels, or the stand-in's abstract classes."""
    return tuple(f"class {code}" for code in range(5)) if is_standin else RACES


def _picture(pixels) -> np.ndarray:
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
            ax.imshow(_picture(images[i]))
            if titles:
                ax.set_title(titles[i], fontsize=8, pad=2)
    return figure


def label_distributions(labels, is_standin: bool) -> Figure:
    """Draw age by gender, and the counts of the race codes; ``labels`` as ``FaceDataset.labels``."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.2, 3.4), width_ratios=(1.7, 1))
    bins = np.arange(0, labels["age"].max() + 5, 5)
    groups = [labels.loc[labels["gender"] == code, "age"] for code in (0, 1)]
    left.hist(
        groups, bins=bins, label=[f"{g} ({len(a):,})" for g, a in zip(GENDERS, groups, strict=True)], stacked=True
    )
    left.set(xlabel="age label (years, in steps of 5)", ylabel="faces", title="Age by gender label")
    left.legend(loc="upper right")
    counts = labels["race"].value_counts().reindex(range(5), fill_value=0)
    bars = right.bar(range(5), counts, color="C2")
    right.bar_label(bars, [f"{100 * c / len(labels):.1f} %" for c in counts], fontsize=9)
    right.set_xticks(range(5), race_names(is_standin))
    right.set(xlabel="race label", ylabel="faces", title="Race label")
    right.grid(axis="x", visible=False)
    return figure


def scree(explained_variance_ratio, marks=(16, 64, 128)) -> Figure:
    """Draw the share of the variance that each component keeps, and the sum up to it."""
    ratio = np.asarray(explained_variance_ratio)
    k = np.arange(1, len(ratio) + 1)
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.2, 3.4))
    left.loglog(k, 100 * ratio, ".-", markersize=4)
    left.set(xlabel="component", ylabel="share of the variance (%)", title="Scree plot")
    right.plot(k, 100 * np.cumsum(ratio), color="C1")
    for mark in (m for m in marks if m <= len(ratio)):
        kept = 100 * ratio[:mark].sum()
        right.plot(mark, kept, "o", color="C1")
        right.annotate(f"{mark}: {kept:.1f} %", (mark, kept), (-4, -14), textcoords="offset points", ha="right")
    right.set(xlabel="components kept", ylabel="variance kept (%)", title="Cumulative variance", ylim=(0, 102))
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
    columns = []
    for x, units in enumerate(layers):
        shown = units if units <= most else most
        ys = np.linspace((shown - 1) / 2, -(shown - 1) / 2, shown)
        gap = shown // 2 if units > most else None  # this place holds the dots
        columns.append([(x * 2.2, y) for i, y in enumerate(ys) if i != gap])
        if gap is not None:
            ax.text(x * 2.2, ys[gap], "⋮", ha="center", va="center", fontsize=16)
        name = names[x] if names else f"layer {x + 1}"
        ax.text(x * 2.2, -most / 2 - 0.35, f"{name}\n{units} units", ha="center", va="top", fontsize=10)
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
        ax.text(i * 2.2 + 1.1, most / 2 + 0.15, rf"$W_{i + 1},\ b_{i + 1}$", ha="center", fontsize=12)
    ax.set(xlim=(-0.7, (len(layers) - 1) * 2.2 + 0.7), ylim=(-most / 2 - 1.4, most / 2 + 0.6))
    return figure


def loss_curves(histories, metric: str = "loss", log: bool = True, mark_best: bool = False) -> Figure:
    """Draw training (dashed) and validation (solid) curves over the epochs, a colour for each entry.

    Parameters
    ----------
    histories : dict of str to History
    metric : {"loss", "rmse", "accuracy"}
    log : bool
        Logarithmic loss axis.
    mark_best : bool
        Put a dot on the epoch with the lowest validation loss.
    """
    label = {"loss": "mean loss", "rmse": "RMSE (years)", "accuracy": "accuracy"}[metric]
    figure, ax = plt.subplots()
    for i, (name, history) in enumerate(histories.items()):
        train, validation = (
            (history.train_loss, history.validation_loss)
            if metric == "loss"
            else (history.train_metric, history.metric)
        )
        epochs = np.arange(1, len(train) + 1)
        ax.plot(epochs, train, "--", color=f"C{i}", linewidth=1.1, label=f"{name}, training")
        ax.plot(epochs, validation, color=f"C{i}", label=f"{name}, validation")
        if mark_best:
            best = history.best_epoch
            ax.plot(best, validation[best - 1], "o", color=f"C{i}", markersize=7, markeredgecolor="black")
    ax.set(xlabel="epoch", ylabel=label)
    if log and metric == "loss":
        ax.set_yscale("log")
    figure.legend(loc="outside right upper")
    figure.set_size_inches(8.6, 4.0)
    return figure


def learning_rates(schedules, epochs: int) -> Figure:
    """Draw learning-rate schedules (dict of name to Schedule) over the epochs."""
    figure, ax = plt.subplots(figsize=(6.4, 3.0))
    for name, schedule in schedules.items():
        ax.plot(range(1, epochs + 1), [schedule(epoch) for epoch in range(epochs)], label=name)
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
    ax.plot(*zip(*middles, strict=True), "o-", color="C1", label="mean of a decade")
    ax.set(xlabel="age label (years)", ylabel="predicted age (years)", aspect="equal")
    figure.legend(loc="outside upper center", ncols=3)
    return figure


def error_by_group(groups) -> Figure:
    """Draw the RMSE of groups with their intervals.

    Parameters
    ----------
    groups : dict of str to DataFrame
        A panel each; the index names the groups, columns ``n, rmse, low, high``.
    """
    widths = [len(table) + 1 for table in groups.values()]
    figure, axes = plt.subplots(1, len(groups), figsize=(9.4, 3.5), width_ratios=widths, sharey=True, squeeze=False)
    for i, (ax, (name, table)) in enumerate(zip(axes[0], groups.items(), strict=True)):
        x = np.arange(len(table))
        spread = np.abs(table[["low", "high"]].to_numpy().T - table["rmse"].to_numpy())
        ax.bar(x, table["rmse"], color=f"C{i}", alpha=0.85)
        ax.errorbar(x, table["rmse"], spread, fmt="none", ecolor="black", capsize=3, linewidth=1)
        ax.set_xticks(x, [f"{group}\n{n:,}" for group, n in zip(table.index, table["n"], strict=True)], fontsize=8)
        ax.set(xlabel=f"{name} (and test faces)")
        ax.grid(axis="x", visible=False)
    axes[0, 0].set_ylabel("test RMSE (years)")
    return figure
