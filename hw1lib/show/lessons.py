"""Pictures that teach, notebook by notebook."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from hw1lib.show.plots import STYLES
from hw1lib.study.results import OVERLAP, fold_means, interval

# -- 03 ---------------------------------------------------------------------------------------------------------------


def unit_paths(paths) -> Figure:
    """Draw one weight of each hidden unit over the epochs, a panel for each start.

    Parameters
    ----------
    paths : dict of str to array_like, (epochs + 1, units)
        Title and weights, before training and after each epoch. Lines get thinner from unit to unit, so that those
        which lie on each other are all seen.
    """
    figure, axes = plt.subplots(1, len(paths), figsize=(9.4, 3.1), squeeze=False)
    for ax, (title, weights) in zip(axes[0], paths.items(), strict=True):
        weights = np.asarray(weights)
        for unit, path in enumerate(weights.T):
            width = 1.5 + 2.5 * (weights.shape[1] - 1 - unit)
            ax.plot(path, color=f"C{unit}", linewidth=width, label=f"unit {unit + 1}")
        ax.set(title=title, xlabel="epoch")
        middle, half = np.mean(ax.get_ylim()), max(np.ptp(ax.get_ylim()) / 2, 0.01)
        ax.set_ylim(middle - half, middle + half)  # where nothing moves, rounding is not made to look like something
    axes[0, 0].set_ylabel("weight from the first feature")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=7)
    return figure


def fold_dots(results, titles: dict[str, str], ylabel: str) -> Figure:
    """Draw each fold as a dot, the mean of its networks, behind the mean over the folds and its 95 % interval.

    Parameters
    ----------
    results : dict
        As ``study.recorded`` returns them.
    titles : dict of str to str
        Experiments, from left to right, and what stands below them. Grey lines join the dots of a fold.
    ylabel : str
    """
    figure, ax = plt.subplots(figsize=(9.4, 3.8))
    table = np.array([fold_means(results, name) for name in titles])  # (experiments, folds)
    place = np.arange(len(table))
    ax.plot(place, table, "-", color="0.8", linewidth=1, zorder=1)
    ax.plot(place, table, ".", color="C0", markersize=6, alpha=0.7, label="a fold, lines join the same")
    mean, low, high = np.array([interval(folds, overlap=OVERLAP) for folds in table]).T
    reach, label = [mean - low, high - mean], "mean, 95 % interval"
    ax.errorbar(place + 0.12, mean, reach, fmt="o", color="C1", markersize=6, capsize=4, zorder=4, label=label)
    ax.set_xticks(place, titles.values())
    ax.set(ylabel=ylabel, xlim=(-0.4, len(place) - 0.5))
    ax.grid(axis="x", visible=False)
    handles, labels = ax.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    figure.legend(once.values(), once.keys(), loc="outside upper right", ncols=2)
    return figure


# -- 04 ---------------------------------------------------------------------------------------------------------------


def fitted_curves(points, x, true, fits) -> Figure:
    """Draw what a network makes of noisy points, a panel for each moment of its training.

    Parameters
    ----------
    points : (array_like, array_like), (n,) each
        The points' places and values.
    x, true : array_like, (m,)
        Places, from left to right, and the curve without noise there.
    fits : dict of str to array_like, (m,)
        Title, and what the network predicts at ``x``.
    """
    figure, axes = plt.subplots(1, len(fits), figsize=(9.4, 3.2), sharex=True, sharey=True, squeeze=False)
    for ax, (title, predicted) in zip(axes[0], fits.items(), strict=True):
        ax.plot(x, true, "--", color="black", linewidth=1, label="the curve behind the points")
        ax.plot(x, predicted, color="C1", label="the network")
        ax.plot(*points, "o", color="C0", markersize=5, label="training points")
        ax.set(title=title, xlabel="x")
    axes[0, 0].set_ylabel("y")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def weight_sizes(sizes) -> Figure:
    """Draw the size of all weights together, the root of the sum of their squares, over the epochs.

    Parameters
    ----------
    sizes : dict of str to array_like, (epochs + 1,)
        A line each: its label, and the size before training and after each epoch.
    """
    figure, ax = plt.subplots(figsize=(6.8, 3.2))
    for i, (label, size) in enumerate(sizes.items()):
        ax.plot(size, STYLES[i % 4], color=f"C{i}", label=label)
    ax.set(xlabel="epoch", ylabel="size of the weights", ylim=(0, None))
    figure.legend(loc="outside right upper")
    return figure
