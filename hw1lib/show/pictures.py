"""Figures that are made of pictures: faces, components, maps and filters."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle


def _pixels(pixels) -> np.ndarray:
    """Return a flat image of any size as (height, width, 3), uint8."""
    pixels = np.asarray(pixels)
    side = round((pixels.size / 3) ** 0.5)
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8).reshape(side, side, 3)


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


def around_grey(picture) -> np.ndarray:
    """Return a picture's numbers as pixels: grey is 0, the largest of them black or white."""
    return 127.5 + 127.5 * picture / np.abs(picture).max()


def eigenfaces(components, ratio, n: int = 16, columns: int = 8) -> Figure:
    """Draw components (k, 120000) as pictures: grey is 0, each scaled by its own largest entry."""
    titles = [f"{i}: {100 * r:.1f} %" for i, r in enumerate(ratio[:n], start=1)]
    return face_sheet([*map(around_grey, components[:n])], titles, columns, scale=1.15)


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


def face_maps(face, filters, maps, pooled, crop=(slice(None), slice(None))) -> Figure:
    """Draw a grey face, and for each filter its numbers, its output, what it changed there, and the pooled output.

    Parameters
    ----------
    face : (H, W)
    filters : dict of str to (kh, kw)
        Of a filter whose numbers sum to 0 the output is compared with 0, not with the face.
    maps, pooled : sequence of (oh, ow)
        One for each filter; the maps are of the face's size.
    crop : pair of slices
        The part of the face, framed in it, on which the change is enlarged.
    """
    rows: list = [["face", *(f"{kind}{i}" for kind in "fmcp")] for i in range(len(filters))]
    figure, axes = plt.subplot_mosaic(rows, figsize=(9.6, 2.1 * len(filters)), width_ratios=(1, 0.6, 1, 1, 1))

    def show(at, values, title, cmap="gray", **limits):
        axes[at].imshow(values, cmap=cmap, **limits)
        axes[at].set_title(title, fontsize=9)

    show("face", face, f"face, {face.shape[0]}x{face.shape[1]}")
    (top, bottom, _), (left, right, _) = (part.indices(n) for part, n in zip(crop, face.shape, strict=True))
    size = right - left, bottom - top
    axes["face"].add_patch(Rectangle((left - 0.5, top - 0.5), *size, fill=False, edgecolor="#d55e00", linewidth=1.2))
    for i, ((name, weights), output, small) in enumerate(zip(filters.items(), maps, pooled, strict=True)):
        numbers = "\n".join("  ".join(map(str, row)) for row in weights)
        axes[f"f{i}"].text(0.5, 0.5, f"{name}\n\n{numbers}", ha="center", va="center", linespacing=1.5)
        show(f"m{i}", output, "output" + f", {output.shape[0]}x{output.shape[1]}" * (i == 0))
        total = np.sum(weights)
        change = (output / total - face if total else output)[crop]
        most = np.percentile(np.abs(change), 99) or 1
        title = f"{'output / sum - face' if total else 'output'}: ±{most:.0f}"
        show(f"c{i}", change, title, "PuOr", vmin=-most, vmax=most)
        show(f"p{i}", small, "max pooled" + f", {small.shape[0]}x{small.shape[1]}" * (i == 0))
    for ax in axes.values():
        ax.axis("off")
    return figure


def small_pictures(pictures, titles) -> Figure:
    """Draw small grey pictures (n, H, W) with a title each, with lines where the windows of stride 2 meet."""
    figure, axes = plt.subplots(1, len(pictures), figsize=(9.4, 1.6), squeeze=False)
    for ax, picture, title in zip(axes[0], pictures, titles, strict=False):  # there may be more titles
        ax.imshow(picture, cmap="gray", vmin=-0.2, vmax=1.2)
        ax.axhline(1.5, color="#d55e00", linewidth=1.2)
        ax.axvline(1.5, color="#d55e00", linewidth=1.2)
        ax.set_title(title, fontsize=9)
        ax.axis("off")
    return figure


def learned_filter(losses, filters) -> Figure:
    """Draw the loss over the steps, and filters (dict of title to (2, 2)) as numbers on colours."""
    figure, axes = plt.subplots(1, 1 + len(filters), figsize=(9.2, 2.9), width_ratios=[2.2] + [1] * len(filters))
    axes[0].semilogy(losses)
    axes[0].set(xlabel="step of gradient descent", ylabel="mean loss")
    most = max(np.abs(f).max() for f in filters.values())
    for ax, (title, weights) in zip(axes[1:], filters.items(), strict=True):
        ax.imshow(weights, cmap="PuOr", vmin=-2 * most, vmax=2 * most)
        for r, c in np.ndindex(np.shape(weights)):
            ax.text(c, r, f"{weights[r, c]:+.2f}", ha="center", va="center", fontsize=10)
        ax.set_title(title)
        ax.axis("off")
    return figure
