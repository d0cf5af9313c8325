"""Pictures of convolutions: what a cell depends on, both passes, and a network's layers."""

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

QUADRANTS = ("#9ad0f5", "#f7c04a", "#8fd9b6", "#e8b4d2")  # as in the drawing "question3"
BACKWARD = "#9c3a00"  # numbers of the backward pass, dark enough on white
MOST_SHEETS = 8  # of the maps of one layer so many are drawn
ARROW = {"arrowstyle": "->", "color": "#444444"}


def _number(value: float, digits: int) -> str:
    """Return a number with a minus that is as wide as a digit, and none before 0."""
    return f"{value:z.{digits}f}".replace("-", "−")


def _blank(width: float, height: float):
    """Return a figure and axes of ``width`` x ``height`` cells of size 1, y downwards, no frame."""
    figure, ax = plt.subplots(figsize=(9.4, 9.4 * height / width))
    ax.set(xlim=(0, width), ylim=(height, 0), aspect="equal")
    ax.axis("off")
    return figure, ax


def _grid(ax, cells, corner, title: str, fills) -> None:
    """Write a table (h, w) into cells of size 1, the upper left one at ``corner`` (x, y)."""
    x, y = corner
    height, width = np.shape(cells)
    for r, c in np.ndindex(height, width):
        fill = fills.get((r, c), "white")
        strong = fill not in ("white", COLOURS["padding"])
        look = {"color": "black", "weight": "bold"} if strong else {"color": "#444444"}
        look |= {"ha": "center", "va": "center"}
        ax.add_patch(Rectangle((x + c, y + r), 1, 1, facecolor=fill, edgecolor="#888888"))
        ax.text(x + c + 0.5, y + r + 0.52, cells[r][c], fontsize=10, **look)
    behind = {"facecolor": "white", "edgecolor": "none", "pad": 1}
    ax.text(x + width / 2, y - 0.25, title, ha="center", va="bottom", fontsize=10, bbox=behind)


def receptive_field(picture, weights, cell) -> Figure:
    """Draw what a pooled cell (row, column) depends on: a convolution, padding 1, max pooling 2x2.

    See the report's Tables 3.2 to 3.12. Blue are the cell's square in the convolution's output, and
    all cells under the windows of that square; orange are the largest cell of the square, and its
    window.
    """
    padded = pad(picture, 1)
    output = conv2d(picture, weights, padding=1)
    pooled, argmax = max_pool2d(output, 2)
    k = len(weights)
    top, left = 2 * cell[0], 2 * cell[1]
    row, column = divmod(int(argmax[cell]), output.shape[1])
    tables = [  # title, numbers, and (row, column, size) of the blue cells and of the orange ones
        ("picture, padded", padded, (top, left, k + 1), (row, column, k)),
        ("output of the filter", output, (top, left, 2), (row, column, 1)),
        ("max pooled", pooled, (*cell, 1), (*cell, 1)),
    ]
    width = sum(values.shape[1] for _, values, *_ in tables) + 5.2
    figure, ax = _blank(width, len(padded) + 1)
    x = 0.1
    before: dict = {}  # where the coloured cells of the table to the left are
    for title, values, blue, orange in tables:
        y = 0.95 + (len(padded) - len(values)) / 2
        marks = padded_cells(values.shape) if values is padded else {}
        for mark, (r, c, size) in (("window", blue), ("selected", orange)):
            marks |= {(r + i, c + j): mark for i, j in np.ndindex(size, size)}
            if mark in before:  # under the cells, so that it is seen between the tables
                x0, y0, y1 = before[mark]
                corners = [(x0, y0), (x + c, y + r), (x + c, y + r + size), (x0, y1)]
                look: dict = {"facecolor": COLOURS[mark], "edgecolor": "#555555", "alpha": 0.4}
                ax.add_patch(Polygon(corners, zorder=0.5, **look))
            before[mark] = x + c + size, y + r, y + r + size
        _grid(ax, values, (x, y), title, {at: COLOURS[mark] for at, mark in marks.items()})
        x += values.shape[1] + 2.5
    return figure


def through_pooling(output, pooled: Pooled, to_pooled, to_output) -> Figure:
    """Draw max pooling 2x2 of a 4x4 output, and how the loss's gradient comes back through it.

    ``to_pooled`` (2, 2) and ``to_output`` (4, 4) are that gradient; a chosen cell has one colour,
    forward and backward.
    """
    values, argmax = pooled
    square = dict(zip(np.ndindex(2, 2), QUADRANTS, strict=True))
    chosen = {divmod(int(argmax[at]), 4): colour for at, colour in square.items()}
    forward = [[_number(value, 1) for value in row] for row in to_pooled]
    back = [[_number(value, 1) for value in row] for row in to_output]
    figure, ax = _blank(20.2, 5)
    _grid(ax, output, (0.1, 0.9), "output of the filter", chosen)
    _grid(ax, values, (6.1, 1.9), "max pooled", square)
    _grid(ax, forward, (10.1, 1.9), "$\\partial L/\\partial$ pooled", square)
    _grid(ax, back, (16.1, 0.9), "$\\partial L/\\partial$ output", chosen)
    for left in (0.1, 16.1):
        ax.plot([left, left + 4], [2.9, 2.9], color="#444444", linewidth=2)
        ax.plot([left + 2, left + 2], [0.9, 4.9], color="#444444", linewidth=2)
    arrows = (4.3, 5.9, "max"), (8.3, 9.9, "loss"), (12.3, 15.9, "to the cell chosen")
    for left, right, text in arrows:
        ax.annotate("", (right, 2.9), (left, 2.9), arrowprops=ARROW)
        ax.text((left + right) / 2, 2.7, text, ha="center", va="bottom", fontsize=10)
    return figure


def passes(x, kernel, w, values, gradients) -> str:
    """Return the drawing of question 3 with numbers on it, as SVG for ``drawing``.

    Above each name stands its value, as ``nn.gradients.forward`` returns it for x, kernel and w;
    below it the gradient, as ``closed_form`` returns it.
    """
    pixels = {f"x{r + 1}{c + 1}": x[r][c] for r, c in np.ndindex(4, 4)}
    values = values | pixels | dict(zip(PARAMETERS, [*w, *np.ravel(kernel)], strict=True))
    gradients = gradients | {"output": gradients["error"]}
    back = f'font-size="13" font-weight="bold" fill="{BACKWARD}"'

    def numbered(name_drawn):
        name, x, y = name_drawn[1], name_drawn[2], float(name_drawn[3])
        step = 25 if name[0] in "cy" else 20  # clear of the circles
        value = _number(values[name], 2)
        text = f'<text x="{x}" y="{y - step:g}" font-size="13">{value}</text>'
        if name in gradients:
            gradient = _number(gradients[name], 2)
            text += f'<text x="{x}" y="{y + step:g}" {back}>{gradient}</text>'
        return name_drawn[0] + text

    svg = (ASSETS / "question3.svg").read_text(encoding="utf-8").replace("question3-", "passes-")
    svg = re.sub(r'<text class="(\w+)" x="(\S+)" y="(\S+)">.*?</text>', numbered, svg)
    legend = '<text x="882" y="24" font-size="13">above: value</text>'
    legend += f'<text x="882" y="44" {back}>below: gradient</text>'
    return svg.replace("</svg>", f"{legend}</svg>")


def conv_layers(config: dict) -> Figure:
    """Draw a convolutional network's config: maps as sheets to scale, units as columns."""
    figure, ax = plt.subplots(figsize=(9.6, 2.3))
    longest = max(config["picture"][1:])
    end = -0.75
    for i, (step, shape) in enumerate(_steps_and_shapes(config)):
        if len(shape) == 3:
            tall, wide = shape[1] / longest, shape[2] / longest
            sheets = min(shape[0], MOST_SHEETS)
            colour = f"C{min(i, 1)}"
            size = f"{shape[0]} x {shape[1]}x{shape[2]}"
        else:
            tall, wide = 0.2 + 0.7 * min(1, shape[0] / 64), 0.08
            sheets = 1
            colour = "C2"
            size = f"{shape[0]:,}"
        x = end + 0.75
        if step:
            ax.annotate("", (x - 0.05, 0), (end + 0.05, 0), arrowprops=ARROW)
            ax.text((end + x) / 2, 0.07, step, ha="center", va="bottom", fontsize=8)
        for sheet in reversed(range(sheets)):  # the last one first: it lies behind
            corner = x + 0.05 * sheet, -tall / 2 + 0.05 * sheet
            look: dict = {"facecolor": colour, "edgecolor": "white", "linewidth": 0.7}
            ax.add_patch(Rectangle(corner, wide, tall, **look))
        end = x + wide + 0.05 * (sheets - 1)
        ax.text((x + end) / 2, -0.58, size, ha="center", va="top", fontsize=9)
    ax.set(xlim=(-0.1, end + 0.2), ylim=(-0.75, 0.9), aspect="equal")
    ax.axis("off")
    return figure


def _steps_and_shapes(config: dict) -> list[tuple[str, tuple[int, ...]]]:
    """Return what leads to each layer, and its shape."""
    channels, height, width = config["picture"]
    functions = config["activation"], config["output_activation"]
    activation, output = (str(f).replace("leaky_relu", "leaky ReLU") for f in functions)
    layers: list[tuple[str, tuple[int, ...]]] = [("", (channels, height, width))]
    for channels in config["filters"]:
        height, width = height // 2, width // 2
        step = f"convolution\n3x3, max\npooling 2x2,\n{activation}"
        layers.append((step, (channels, height, width)))
    layers.append(("cells in\na row", (channels * height * width,)))
    for n in config["hidden"]:
        layers.append((f"product,\n{activation}", (n,)))
    step = "product" if output == "identity" else f"product,\n{output}"
    layers.append((step, (config["outputs"],)))
    return layers
