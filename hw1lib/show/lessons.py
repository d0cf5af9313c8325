"""Pictures that teach, notebook by notebook."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.figure import Figure

from hw1lib.study.results import wilson

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
