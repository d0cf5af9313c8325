"""Pictures of convolutions and of networks made of them: what a cell depends on, both passes, filters and maps."""

from __future__ import annotations

import re

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Rectangle

from hw1lib.nn.conv import Pooled, conv2d, max_pool2d, pad
from hw1lib.nn.gradients import PARAMETERS
from hw1lib.show.display import ASSETS
from hw1lib.show.tables import COLOURS, padded_cells

# -- 06 and 07: convolution, pooling, and the gradients of question 3 -------------------------------------------------

QUADRANTS = ("#9ad0f5", "#f7c04a", "#8fd9b6", "#e8b4d2")  # as in the drawing "question3"
BACKWARD = "#9c3a00"  # numbers of the backward pass, dark enough on white


def _number(value: float, digits: int) -> str:
    """Return a number as text, with a minus that is as wide as a digit, and none before 0."""
    return f"{value:z.{digits}f}".replace("-", "−")


def _grid(ax, cells, corner, title: str, fills) -> None:
    """Write a table (h, w) into cells of size 1, the upper left one at ``corner`` (x, y), y downwards."""
    (x, y), (height, width) = corner, np.shape(cells)
    for r, c in np.ndindex(height, width):
        fill = fills.get((r, c), "white")
        strong = fill not in ("white", COLOURS["padding"])
        look = {"color": "black", "weight": "bold"} if strong else {"color": "#444444"}
        ax.add_patch(Rectangle((x + c, y + r), 1, 1, facecolor=fill, edgecolor="#888888"))
        ax.text(x + c + 0.5, y + r + 0.52, cells[r][c], ha="center", va="center", fontsize=10, **look)
    behind = {"facecolor": "white", "edgecolor": "none", "pad": 1}
    ax.text(x + width / 2, y - 0.25, title, ha="center", va="bottom", fontsize=10, bbox=behind)


def _blank(width: float, height: float):
    """Return a figure and its axes for cells of size 1: ``width`` x ``height`` of them, y downwards, no frame."""
    figure, ax = plt.subplots(figsize=(9.4, 9.4 * height / width))
    ax.set(xlim=(0, width), ylim=(height, 0), aspect="equal")
    ax.axis("off")
    return figure, ax


def receptive_field(picture, weights, cell, padding: int = 1, pool: int = 2) -> Figure:
    """Draw what one cell depends on after a convolution with stride 1 and max pooling (report, Tables 3.2 to 3.12).

    Parameters
    ----------
    picture, weights : (H, W), (k, k)
    cell : (row, column)
        Of the pooled output. Blue are its square in the convolution's output, and all cells under the windows of that
        square; orange are the largest cell of the square, and its window.
    padding, pool : int
        As for ``conv2d`` and ``max_pool2d``.
    """
    padded, output = pad(picture, padding), conv2d(picture, weights, padding=padding)
    pooled = max_pool2d(output, pool)
    k, square, largest = len(weights), np.multiply(cell, pool), divmod(int(pooled.cells[cell]), output.shape[1])
    regions = [  # of each table: (row, column, size) of the blue cells, and of the orange ones
        ((*square, pool + k - 1), (*largest, k)),
        ((*square, pool), (*largest, 1)),
        ((*cell, 1), (*cell, 1)),
    ]
    tables = {"picture, padded": padded, "output of the filter": output, "max pooled": pooled.values}
    figure, ax = _blank(sum(values.shape[1] for values in tables.values()) + 5.2, len(padded) + 1)
    x, before = 0.1, None
    for (title, values), region in zip(tables.items(), regions, strict=True):
        y = 0.95 + (len(padded) - len(values)) / 2
        fills = padded_cells(values.shape, padding) if values is padded else {}
        for (r, c, size), mark in zip(region, ("window", "selected"), strict=True):
            fills |= {(r + i, c + j): mark for i, j in np.ndindex(size, size)}
            if before:  # under the cells, so that it is seen between the tables
                left, top, wide = before[mark]
                ends = [(left, top), (x + c, y + r), (x + c, y + r + size), (left, top + wide)]
                ax.add_patch(Polygon(ends, facecolor=COLOURS[mark], edgecolor="#555555", alpha=0.4, zorder=0.5))
        _grid(ax, values, (x, y), title, {at: COLOURS[mark] for at, mark in fills.items()})
        before = {mark: (x + c + s, y + r, s) for (r, c, s), mark in zip(region, ("window", "selected"), strict=True)}
        x += values.shape[1] + 2.5
    return figure


def through_pooling(output, pooled: Pooled, to_pooled, to_output) -> Figure:
    """Draw max pooling 2x2 of a 4x4 output, and how the loss's gradient comes back through it.

    Parameters
    ----------
    output : (4, 4)
    pooled : Pooled
        As ``max_pool2d`` returns it; a chosen cell has one colour, forward and backward.
    to_pooled, to_output : (2, 2), (4, 4)
        The loss's gradient with respect to the pooled cells and to the output's.
    """
    square = dict(zip(np.ndindex(2, 2), QUADRANTS, strict=True))
    chosen = {divmod(int(pooled.cells[at]), 4): colour for at, colour in square.items()}
    back, on = ([[_number(value, 1) for value in row] for row in gradient] for gradient in (to_output, to_pooled))
    figure, ax = _blank(20.2, 5)
    _grid(ax, output, (0.1, 0.9), "output of the filter", chosen)
    _grid(ax, pooled.values, (6.1, 1.9), "max pooled", square)
    _grid(ax, on, (10.1, 1.9), "$\\partial L/\\partial$ pooled", square)
    _grid(ax, back, (16.1, 0.9), "$\\partial L/\\partial$ output", chosen)
    for left in (0.1, 16.1):
        ax.plot([left, left + 4], [2.9, 2.9], color="#444444", linewidth=2)
        ax.plot([left + 2, left + 2], [0.9, 4.9], color="#444444", linewidth=2)
    for left, right, text in ((4.3, 5.9, "max"), (8.3, 9.9, "loss"), (12.3, 15.9, "to the cell chosen")):
        ax.annotate("", (right, 2.9), (left, 2.9), arrowprops={"arrowstyle": "->", "color": "#444444"})
        ax.text((left + right) / 2, 2.7, text, ha="center", va="bottom", fontsize=10)
    return figure


def passes(x, kernel, w, values, gradients) -> str:
    """Return the drawing of question 3 with numbers on it, as SVG for ``drawing``.

    Parameters
    ----------
    x, kernel, w : (4, 4), (2, 2), (4,)
        As for ``nn.gradients.forward``, which gives ``values``: written above their names.
    values, gradients : dict of str to float
        As ``nn.gradients.forward`` and ``closed_form`` return them; the gradients are written below the names.
    """
    pixels = {f"x{r + 1}{c + 1}": x[r][c] for r, c in np.ndindex(4, 4)}
    values = values | pixels | dict(zip(PARAMETERS, [*w, *np.ravel(kernel)], strict=True))
    gradients = gradients | {"output": gradients["error"]}
    back = f'font-size="13" font-weight="bold" fill="{BACKWARD}"'

    def numbered(found):
        name, x, y = found[1], found[2], float(found[3])
        step = 25 if name[0] in "cy" else 20  # clear of the circles
        texts = [f'<text x="{x}" y="{y - step:g}" font-size="13">{_number(values[name], 2)}</text>']
        if name in gradients:
            texts.append(f'<text x="{x}" y="{y + step:g}" {back}>{_number(gradients[name], 2)}</text>')
        return found[0] + "".join(texts)

    drawn = (ASSETS / "question3.svg").read_text(encoding="utf-8").replace("question3-", "passes-")
    drawn = re.sub(r'<text class="(\w+)" x="(\S+)" y="(\S+)">.*?</text>', numbered, drawn)
    legend = (
        f'<text x="882" y="24" font-size="13">above: value</text><text x="882" y="44" {back}>below: gradient</text>'
    )
    return drawn.replace("</svg>", f"{legend}</svg>")


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
    output = str(config["output_activation"]).replace("leaky_relu", "leaky ReLU").replace("identity", "")
    layers.append((f"product,\n{output}".removesuffix(",\n"), (config["outputs"],)))

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
