"""Figures that are made of pictures: faces, components, filters and maps."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure


def face_sheet(images, titles=None, columns: int = 8, scale: float = 0.95) -> Figure:
    """Draw faces, or other pictures, in a sheet, with a title above each if given.

    Each image is flat, (120000,), or (3, H, W), in colours from 0 to 255; or (H, W), in grey, from
    its least number, black, to its largest, white. ``scale`` is a picture's width in inches.
    """
    n_rows = -(-len(images) // columns)
    height = scale * (1.22 if titles else 1.03)
    size = columns * scale, n_rows * height
    figure, axes = plt.subplots(n_rows, columns, figsize=size, squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    for ax, image in zip(axes.flat, images, strict=False):
        ax.imshow(_pixels(np.asarray(image)), cmap="gray")
    if titles:
        for ax, title in zip(axes.flat, titles, strict=False):
            ax.set_title(title, fontsize=8, pad=2)
    return figure


def _pixels(image) -> np.ndarray:
    """Return (H, W, 3), uint8, of a picture in colours; one in grey as it is."""
    if image.ndim == 2:
        return image
    if image.ndim == 1:
        side = round((image.size / 3) ** 0.5)
        image = image.reshape(side, side, 3)
    else:
        image = np.moveaxis(image, 0, -1)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def around_grey(picture) -> np.ndarray:
    """Return a picture's numbers as pixels: grey is 0, the largest of them black or white."""
    return 127.5 + 127.5 * picture / (np.abs(picture).max() or 1)
