"""Pictures that teach, notebook by notebook."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.figure import Figure

from hw1lib.show.pictures import around_grey, face_sheet
from hw1lib.show.plots import MARKERS, STYLES
from hw1lib.study.results import OVERLAP, fold_means, interval, wilson

# -- 01 ---------------------------------------------------------------------------------------------------------------


def cloud(points, pca, names) -> Figure:
    """Draw a PCA of points in the plane: its components, the points' feet on the first, the variance by direction.

    Parameters
    ----------
    points : (n, 2)
    pca : faces.Preprocessor
        Of two components, normaliser "unit", fitted on the points.
    names : (str, str)
        What the two numbers of a point are.
    """
    points = np.asarray(points, float)
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.2, 3.9))
    left.plot(*points.T, ".", color="0.6", markersize=5, label="a face")
    feet = pca.inverse_transform(pca.transform(points), 1)
    pairs = np.stack([points, feet, np.full_like(points, np.nan)], axis=1)  # NaN: the line breaks off
    left.plot(*pairs.reshape(-1, 2).T, color="0.75", linewidth=0.6, zorder=1)
    foot = {"color": "white", "markeredgecolor": "C0", "markeredgewidth": 0.8, "markersize": 3}
    left.plot(*feet.T, "o", zorder=4, label="its foot on component 1", **foot)
    angles = np.arange(181)
    directions = np.column_stack([np.cos(np.radians(angles)), np.sin(np.radians(angles))])
    right.plot(angles, (points @ directions.T).var(axis=0, ddof=1), color="black", linewidth=1)
    variances = pca.explained_variance * pca.scale[0] ** 2
    shares = pca.explained_variance_ratio
    for i, (axis, variance, share) in enumerate(zip(pca.components, variances, shares, strict=True)):
        ends = pca.center + 2 * np.sqrt(variance) * np.outer((-1, 1), axis)
        label = f"component {i + 1}: {100 * share:.0f} % of the variance"
        left.plot(*ends.T, STYLES[i], color=f"C{i}", linewidth=4, label=label)
        right.plot(np.degrees(np.arctan2(axis[1], axis[0])) % 180, variance, MARKERS[i], color=f"C{i}", markersize=8)
    left.set(xlabel=names[0], ylabel=names[1], aspect="equal", title="The points")
    right.set(xlabel="direction (degrees from the horizontal)", ylabel="variance along it", ylim=(0, None))
    right.set(xticks=range(0, 181, 45), title="Looking for the largest variance")
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def face_sum(preprocessor, image, until=(1, 2, 3, 16, 64, 128)) -> Figure:
    """Draw a face as the mean and a sum of features times components, and how far each sum comes.

    Parameters
    ----------
    preprocessor : faces.Preprocessor
    image : (n_pixels,)
    until : sequence of int
        The numbers of components, rising, after which the sum is shown.

    Upper row: the mean, and what is added to it (grey is 0, each scaled by its own largest entry). Lower row: the face,
    and the sums.
    """
    features = preprocessor.transform(image[None])
    until = sorted({min(k, preprocessor.n_components) for k in until})
    sums = [preprocessor.center, *(preprocessor.inverse_transform(features, k)[0] for k in until)]
    added, titles = map(around_grey, np.diff(sums, axis=0)), []
    for first, last in zip([1, *(k + 1 for k in until[:-1])], until, strict=True):
        titles.append(f"{features[0, first - 1]:+.0f} × no. {first}" if first == last else f"+ no. {first} to {last}")
    below = ["the face itself", *(f"sum to no. {k}" for k in until)]
    rows = [sums[0], *added, image, *sums[1:]]
    return face_sheet(rows, ["mean", *titles, *below], columns=len(sums), scale=1.32)


# -- 02 ---------------------------------------------------------------------------------------------------------------


def small_network(net, x, t=None) -> Figure:
    """Draw a network of two inputs, two hidden units and one output, with the numbers of one sample.

    Parameters
    ----------
    net : nn.Network
        ``layers`` [2, 2, 1].
    x : (2,)
    t : float, optional
        The target; with it the loss and its gradients are drawn, too.
    """
    (p,) = net.forward([x])[0]
    if t is not None:
        net.backward([t])
    figure, ax = plt.subplots(figsize=(9.2, 4.4))
    at = [(0.0, 1.0), (0.0, 0.0)], [(1.0, 1.0), (1.0, 0.0)], [(2.0, 0.5)]

    def write(place, text, gradient, above=1, below=-1):  # what goes forward is blue, gradients are orange
        look: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "zorder": 4}
        look["bbox"] = {"color": "white", "pad": 0.5}
        ax.annotate(text, place, (0, above), va="bottom", color="C0", **look)
        if t is not None and gradient:
            ax.annotate(gradient, place, (0, below), va="top", color="C1", **look)

    def unit(place, text, gradient="", outside=""):
        ax.plot(*place, "o", markersize=54, color="white", markeredgecolor="black", zorder=3)
        ax.annotate(text, place, ha="center", va="center", color="C0", zorder=4)
        write(place, outside, gradient, 34, -31)

    for place, value in zip(at[0], x, strict=True):
        unit(place, f"x = {value:g}")
    A = np.asarray(x)
    for layer, (W, b) in enumerate(zip(net.weights, net.biases, strict=True)):
        for i, j in np.ndindex(W.shape):
            (x0, y0), (x1, y1) = at[layer][i], at[layer + 1][j]
            ax.plot([x0, x1], [y0, y1], color="0.7", linewidth=1.2, zorder=1)
            place = 0.65 * x0 + 0.35 * x1, 0.65 * y0 + 0.35 * y1
            product = f"{W[i, j]:g} · {A[i]:.3g} = {W[i, j] * A[i]:.3g}"
            write(place, product, f"∂L/∂w = {net.weight_gradients[layer][i, j]:.3g}")
        Z = A @ W + b
        A = net.activation(Z) if layer == 0 else np.array([p])
        for j, place in enumerate(at[layer + 1]):
            text = f"b {b[j]:g}\nz {Z[j]:.3g}\n{'ap'[layer]} {A[j]:.3g}"
            loss = f"t = {t:g}\nL = ½ (t - p)² = {(t - p) ** 2 / 2:.3g}" if layer and t is not None else ""
            unit(place, text, f"∂L/∂z = {net.bias_gradients[layer][j]:.3g}", loss)
    ax.set(xlim=(-0.2, 2.35), ylim=(-0.3, 1.25))
    ax.axis("off")
    return figure


def descents(loss, paths) -> Figure:
    """Draw paths over the contours of a loss of two weights, and the loss after each step.

    Parameters
    ----------
    loss : callable
        From weights (..., 2) to losses (...).
    paths : dict of str to (n, 2)
        The weights before the first step, after it, and so on.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.4, 3.9), width_ratios=(1.5, 1))
    every = np.concatenate(list(paths.values()))
    low, high = every.min(axis=0), every.max(axis=0)
    low, high = low - 0.08 * (high - low), high + 0.08 * (high - low)
    grid = np.stack(np.meshgrid(*np.linspace(low, high, 200).T), axis=-1)  # (200, 200, 2)
    heights = loss(grid)
    levels = heights.max() * 0.5 ** np.arange(9.0)[::-1]
    left.contour(*np.moveaxis(grid, -1, 0), heights, levels, colors="0.7", linewidths=0.8)
    for i, (name, path) in enumerate(paths.items()):
        look = {"color": f"C{i}", "label": name, "linestyle": STYLES[i % 4], "marker": MARKERS[i % 4], "markersize": 3}
        left.plot(*path.T, linewidth=1, **look)
        right.plot(loss(path), markevery=5, **look)
    left.plot(*every[0], "*", color="black", markersize=11)
    left.set(xlabel="first weight", ylabel="second weight", title="Paths from the star, and lines of equal loss")
    right.set(xlabel="step", ylabel="loss", yscale="log", title="The loss on the way")
    figure.legend(*right.get_legend_handles_labels(), loc="outside lower center", ncols=len(paths))
    return figure


def hidden_units(templates, faces, titles, below) -> Figure:
    """Draw what hidden units look for: grey is 0, each scaled by its own largest entry; below each a face.

    Parameters
    ----------
    templates : (n, n_pixels)
        The weights of each unit, carried back to the pixels.
    faces : (n, n_pixels)
    titles, below : sequence of str
        One above each template, and one above each face.
    """
    return face_sheet([*map(around_grey, templates), *faces], [*titles, *below], columns=len(titles), scale=1.5)


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


# -- 05 ---------------------------------------------------------------------------------------------------------------


def softmax_bars(x, p) -> str:
    """Return logits, their exponentials and the probabilities (k,) as a small drawing, SVG: a row for each class."""
    x, p, e = np.asarray(x), np.asarray(p), np.exp(x)
    heads = (("logit x", 60, "end"), ("e^x", 130, "end"), ("p = e^x / sum", 150, "start"))
    rows = [f'<text x="{at}" y="16" text-anchor="{anchor}">{head}</text>' for head, at, anchor in heads]
    for i in range(len(x)):
        y = 26 + 26 * i
        rows.append(f'<text x="60" y="{y + 15}" text-anchor="end">x{i} = {x[i]:g}</text>')
        rows.append(f'<text x="130" y="{y + 15}" text-anchor="end">{e[i]:.2f}</text>')
        rows.append(f'<rect x="150" y="{y}" width="{200 * p[i]:.1f}" height="20" fill="{to_hex(f"C{i}")}"/>')
        rows.append(f'<text x="{156 + 200 * p[i]:.1f}" y="{y + 15}">{p[i]:.3f}</text>')
    y = 26 * (len(x) + 1)
    rows.append(
        f'<path d="M80 {y}H130" stroke="#444444"/><text x="130" y="{y + 17}" text-anchor="end">{e.sum():.2f}</text>'
    )
    size = f'width="410" height="{y + 26}" viewBox="0 0 410 {y + 26}"'
    said = ", ".join(f"{share:.3f}" for share in p)
    return f'<svg {size} font-size="14" role="img" aria-label="p = {said}">{"".join(rows)}</svg>'


def decision_regions(panels, names, most: int = 250) -> Figure:
    """Draw what classifiers of two features say everywhere in the plane, and faces with their labels.

    Parameters
    ----------
    panels : dict of str to (Network, Part, sequence of str)
        What a panel is called: a network with two inputs, faces (X (n, 2), class codes y (n,)), the inputs' names.
    names : sequence of str
        What the codes stand for.
    most : int
        Only so many faces are drawn.
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(3.2 * len(panels), 3.6), squeeze=False)
    for ax, (title, (net, (X, y), (first, second))) in zip(axes[0], panels.items(), strict=True):
        low, high = np.quantile(X, (0.01, 0.99), axis=0)
        a, b = np.meshgrid(*np.linspace(low, high, 200).T)
        shares = net.forward(np.column_stack([a.ravel(), b.ravel()])).reshape(*a.shape, -1)
        winner, sure = shares.argmax(axis=-1), shares.max(axis=-1)
        for code, name in enumerate(names):
            where = winner == code
            shade = LinearSegmentedColormap.from_list(name, ["white", f"C{code}"])  # white where nothing is sure
            look = {"vmin": 1 / len(names), "vmax": 1.3, "origin": "lower", "aspect": "auto", "interpolation": "none"}
            ax.imshow(np.where(where, sure, np.nan), shade, extent=np.ravel([low, high], "F"), **look)
            if where.any() and not where.all():
                ax.contour(a, b, where, levels=[0.5], colors="black", linewidths=0.8)
            faces = X[:most][y[:most] == code]
            ax.plot(*faces.T, "osD^v"[code % 5], color=f"C{code}", ms=5, mec="white", mew=0.5, label=name)
        ax.set(title=title, xlabel=f"{first} (rescaled)", ylabel=f"{second} (rescaled)")
        ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
        ax.grid(visible=False)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=len(names))
    return figure


def calibration(shares, y) -> Figure:
    """Draw how often a classifier is right when it is so sure, in steps of a tenth, with 95 % Wilson intervals.

    Parameters
    ----------
    shares : (n, k)
        The probabilities of the classes.
    y : (n,)
        Class codes.
    """
    sure, right = shares.max(axis=1), shares.argmax(axis=1) == y
    tenth = np.minimum((10 * sure).astype(int), 9)
    tenths = np.unique(tenth)
    n = np.array([np.sum(tenth == t) for t in tenths])
    middle = [sure[tenth == t].mean() for t in tenths]
    value, low, high = np.array([wilson(right[tenth == t].sum(), m) for t, m in zip(tenths, n, strict=True)]).T
    figure, (top, bottom) = plt.subplots(2, 1, figsize=(5.6, 5.0), sharex=True, height_ratios=(3, 1))
    top.plot([0, 1], [0, 1], "--", color="black", linewidth=1, label="as often as it says")
    top.errorbar(
        middle, value, [value - low, high - value], fmt="o", capsize=3, label="faces of a tenth, 95 % interval"
    )
    top.set(ylabel="share that is right", xlim=(1 / shares.shape[1], 1), ylim=(-0.03, 1.03))
    bars = bottom.bar(tenths / 10 + 0.05, n, width=0.09, color="C2")
    bottom.bar_label(bars, [f"{m:,}" for m in n], fontsize=8)
    bottom.set(xlabel="the largest of the probabilities", ylabel="test faces")
    bottom.margins(y=0.25)
    bottom.grid(axis="x", visible=False)
    figure.legend(*top.get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure
