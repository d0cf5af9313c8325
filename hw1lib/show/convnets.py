"""Pictures of a convolutional network: its layers to scale, its filters, and what they make of a face."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

SHEETS = 8  # of the maps of one layer so many are drawn at most


def conv_layers(config: dict) -> Figure:
    """Draw a convolutional network from left to right: pictures and maps as sheets to scale, units as columns.

    ``config`` describes it, as for ``nn.ConvNetwork``.
    """
    channels, height, width = config["picture"]
    activation = str(config["activation"]).replace("leaky_relu", "leaky ReLU")
    layers: list[tuple[str, tuple[int, ...]]] = [("", (channels, height, width))]
    for n in config["filters"]:
        height, width = height // 2, width // 2
        layers.append((f"convolution\n3x3, max\npooling 2x2,\n{activation}", (n, height, width)))
    layers.append(("cells in\na row", (layers[-1][1][0] * height * width,)))
    layers += [(f"product,\n{activation}", (n,)) for n in config["hidden"]]
    layers.append(("product", (config["outputs"],)))

    figure, ax = plt.subplots(figsize=(9.6, 2.3))
    longest, x, end = max(config["picture"][1:]), 0.0, 0.0
    for i, (step, shape) in enumerate(layers):
        if len(shape) == 3:
            tall, wide, sheets = shape[1] / longest, shape[2] / longest, min(shape[0], SHEETS)
            size, colour = f"{shape[0]} x {shape[1]}x{shape[2]}", f"C{min(i, 1)}"
        else:
            tall, wide, sheets = 0.2 + 0.7 * min(1, shape[0] / 64), 0.08, 1
            size, colour = f"{shape[0]:,}", "C2"
        if step:
            x = end + 0.75
            ax.annotate("", (x - 0.05, 0), (end + 0.05, 0), arrowprops={"arrowstyle": "->", "color": "0.3"})
            ax.text((end + x) / 2, 0.07, step, ha="center", va="bottom", fontsize=8)
        for sheet in reversed(range(sheets)):  # the last one first: it lies behind
            corner = x + 0.05 * sheet, -tall / 2 + 0.05 * sheet
            ax.add_patch(Rectangle(corner, wide, tall, facecolor=colour, edgecolor="white", linewidth=0.7))
        end = x + wide + 0.05 * (sheets - 1)
        ax.text((x + end) / 2, -0.58, size, ha="center", va="top", fontsize=9)
    ax.set(xlim=(-0.1, end + 0.2), ylim=(-0.75, 0.9), aspect="equal")
    ax.axis("off")
    return figure


def filters_and_maps(picture, filters, maps: dict[str, np.ndarray]) -> Figure:
    """Draw the first layer's filters in colour, a face, and of each layer the first maps of it.

    Parameters
    ----------
    picture : (3, H, W), uint8
    filters : (F, 3, 3, 3)
        Grey is 0: more red, green or blue of a pixel than that raises the output, less lowers it. One scale for all.
    maps : dict of str to (F, H, W)
        Of each layer its outputs; each map has its own scale, from its least to its largest number.
    """
    columns = 8
    n_filters = min(len(filters), columns)
    figure, axes = plt.subplots(1 + len(maps), columns + 1, figsize=(9.4, 1.12 * (1 + len(maps))))
    for ax in axes.flat:
        ax.axis("off")
    axes[1, 0].imshow(np.moveaxis(picture, 0, -1))
    axes[1, 0].set_title("the face", fontsize=9)
    most = np.abs(filters).max() or 1
    for k in range(n_filters):
        axes[0, 1 + k].imshow(np.moveaxis(0.5 + filters[k] / (2 * most), 0, -1))
        axes[0, 1 + k].set_title(f"filter {k + 1}", fontsize=9)
    axes[0, 0].text(0.5, 0.5, "first layer,\n3x3", ha="center", va="center", fontsize=9)
    for row, (name, layer) in enumerate(maps.items(), start=1):
        for k in range(min(len(layer), columns)):
            axes[row, 1 + k].imshow(layer[k], cmap="gray")
        axes[row, 1].set_title(name, fontsize=9, loc="left")
    return figure
