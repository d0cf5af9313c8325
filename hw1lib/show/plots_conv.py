"""What notebooks 06 and 07 show: tables as HTML with coloured cells, a step-through, and figures."""

from __future__ import annotations

from html import escape

import ipywidgets as widgets
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle

from hw1lib.nn.conv import conv2d, max_pool2d, pad

# black or dark grey on light: at least 7 to 1. A coloured cell is bold too, so that colour is not all that tells it.
COLOURS = {"padding": "#eeeeee", "window": "#9ad0f5", "selected": "#f7c04a", "wrong": "#f2a488"}
QUADRANTS = ("#9ad0f5", "#f7c04a", "#8fd9b6", "#e8b4d2")  # the four windows of question 3
EDGE = "1px solid #888888"


# -- tables -----------------------------------------------------------------------------------------------------------


def table(cells, caption: str = "", marks=None, block: int | None = None, compact: bool = False) -> str:
    """Return a table as HTML.

    Parameters
    ----------
    cells : sequence of rows
        Numbers or text; None leaves a cell empty.
    caption : str
        Shown above, plain text.
    marks : dict of (row, column) to {"padding", "window", "selected", "wrong"}, optional
        Cells to colour.
    block : int, optional
        Draw a heavier line after so many rows and columns: the windows of a pooling.
    compact : bool
        Smaller, for many numbers.
    """
    marks = marks or {}
    size = "padding:1px 5px;font-size:85%" if compact else "padding:4px 10px"
    rows = []
    for r, row in enumerate(cells):
        html = []
        for c, cell in enumerate(row):
            mark = marks.get((r, c))
            text = "&nbsp;" if cell is None else escape(str(cell))
            style = f"border:{EDGE};{size};text-align:center;"
            if mark:
                style += f"background-color:{COLOURS[mark]};color:{'#444444' if mark == 'padding' else '#000000'};"
                text = text if mark == "padding" else f"<b>{text}</b>"
            if block and c and c % block == 0:
                style += "border-left:3px solid #444444;"
            if block and r and r % block == 0:
                style += "border-top:3px solid #444444;"
            html.append(f'<td style="{style}">{text}</td>')
        rows.append(f"<tr>{''.join(html)}</tr>")
    style = "caption-side:top;text-align:left;white-space:nowrap;padding:4px 0px"
    head = f'<caption style="{style}">{escape(caption)}</caption>'
    return f'<table style="border-collapse:collapse">{head if caption else ""}{"".join(rows)}</table>'


def beside(*tables: str) -> str:
    """Return tables side by side, as HTML; where the page is too narrow they go below each other."""
    items = "".join(f'<div style="margin:0px 28px 10px 0px">{html}</div>' for html in tables)
    return f'<div style="display:flex;flex-wrap:wrap;align-items:flex-start">{items}</div>'


def show_tables(caption: str, *tables: str) -> None:
    """Display tables side by side with a caption under them; ``caption`` as for ``plots.show``."""
    from IPython.display import HTML, Markdown, display

    head, colon, rest = caption.partition(":")
    display(HTML(beside(*tables)), Markdown(f"**{head}{colon}**{rest}"))


def border(shape, padding: int = 1) -> dict:
    """Return the ``marks`` of the cells that padding adds around a picture; ``shape`` is the padded one's."""
    height, width = shape
    inside = range(padding, height - padding), range(padding, width - padding)
    return {(r, c): "padding" for r, c in np.ndindex(height, width) if r not in inside[0] or c not in inside[1]}


def selected(cells, width: int) -> dict:
    """Return the ``marks`` of the ``cells`` that ``max_pool2d`` chose from a picture ``width`` cells wide."""
    return {divmod(int(cell), width): "selected" for cell in np.ravel(cells)}


# -- the window, step by step -----------------------------------------------------------------------------------------


def written_out(window, filter) -> str:
    """Return a window's products as the report's Table 3.3 writes them."""
    return " + ".join(
        "+".join(f"{a}*{b}" for a, b in zip(*rows, strict=True)) for rows in zip(window, filter, strict=True)
    )


def step_html(picture, filter, stride: int, padding: int, pool: int, step: int) -> str:
    """Return one step of question 2 as HTML: the window, its products, and what is known of both layers' outputs.

    Parameters
    ----------
    picture, filter : (H, W), (kh, kw)
        Integers.
    stride, padding, pool : int
        As for ``conv2d``; ``pool`` is the size and the stride of the pooling.
    step : int
        The window's number, from 1.
    """
    padded, output = pad(picture, padding), conv2d(picture, filter, stride, padding)
    kh, kw = np.shape(filter)
    row, column = divmod(step - 1, output.shape[1])
    top, left = row * stride, column * stride
    window = padded[top : top + kh, left : left + kw]
    marks = border(padded.shape, padding) | {(top + i, left + j): "window" for i, j in np.ndindex(kh, kw)}
    known = [[int(v) if i * len(r) + j < step else None for j, v in enumerate(r)] for i, r in enumerate(output)]
    output_marks: dict = {}
    pooled_table = "<i>pooling: its window is larger than the output</i>"
    if pool <= min(output.shape):
        pooled = max_pool2d(output, pool)
        rows = []
        for values, cells, i in zip(*pooled, range(len(pooled.values)), strict=True):
            last = [(i * pool + pool - 1) * output.shape[1] + j * pool + pool - 1 for j in range(len(values))]
            rows.append([int(v) if at < step else None for v, at in zip(values, last, strict=True)])
            output_marks |= selected([cell for cell, at in zip(cells, last, strict=True) if at < step], output.shape[1])
        found = {(i, j): "selected" for i, r in enumerate(rows) for j, v in enumerate(r) if v is not None}
        pooled_table = table(rows, f"max pooling {pool}x{pool}", found)
    output_marks[row, column] = "window"
    tables = beside(
        table(padded, f"picture, padding {padding}", marks),
        table(filter, "filter"),
        table(known, f"output, {step} of {output.size}", output_marks, block=pool if pool > 1 else None),
        pooled_table,
    )
    return f"{tables}<div><code>{written_out(window, filter)} = <b>{output[row, column]}</b></code></div>"


class Stepper(widgets.VBox):
    """Sliders for the window's step, padding, stride and pooling, a choice of filter, and ``step_html`` below them.

    Parameters
    ----------
    picture : (H, W)
    filters : dict of str to (kh, kw)
    """

    def __init__(self, picture, filters):
        def slider(name, value, least, most):
            return widgets.IntSlider(value=value, min=least, max=most, description=name)

        self.picture, self.filters = picture, filters
        self.filter = widgets.ToggleButtons(options=list(filters), description="filter")
        self.step, self.padding = slider("step", 1, 1, 16), slider("padding", 1, 0, 2)
        self.stride, self.pooling = slider("stride", 1, 1, 3), slider("pooling", 2, 1, 3)
        self.view = widgets.HTML()
        controls = [self.filter, self.step, self.padding, self.stride, self.pooling]
        for control in controls:
            control.observe(self._draw, names="value")
        self._draw()
        rows = [widgets.HBox(controls[1:3]), widgets.HBox(controls[3:])]
        super().__init__([self.filter, *rows, self.view])

    def _draw(self, change=None):
        filter = self.filters[self.filter.value]
        settings = self.stride.value, self.padding.value
        self.step.max = conv2d(self.picture, filter, *settings).size  # which moves the step back if it is beyond
        self.view.value = step_html(self.picture, filter, *settings, self.pooling.value, self.step.value)


def _draw_table(ax, cells, marks, title: str) -> None:
    """Draw a small table into an Axes; ``marks`` as for ``table``, None cells are left empty."""
    height, width = len(cells), len(cells[0])
    for r, c in np.ndindex(height, width):
        mark = marks.get((r, c))
        colour = COLOURS[mark] if mark else "white"
        ax.add_patch(Rectangle((c, r), 1, 1, facecolor=colour, edgecolor="#888888", linewidth=0.8))
        if cells[r][c] is not None:
            weight = "bold" if mark in ("window", "selected") else "normal"
            ax.text(c + 0.5, r + 0.53, str(cells[r][c]), ha="center", va="center", fontsize=8.5, fontweight=weight)
    ax.set(xlim=(-0.1, width + 0.1), ylim=(height + 0.1, -0.1), aspect="equal")
    ax.set_title(title, fontsize=9)
    ax.axis("off")


def film_strip(picture, filter, steps, padding: int = 1) -> Figure:
    """Draw some steps of a convolution with stride 1: the window above, the sum, the output so far below.

    Parameters
    ----------
    picture, filter : (H, W), (kh, kw)
    steps : sequence of int
        The windows' numbers, from 1, in row order.
    """
    padded, output = pad(picture, padding), conv2d(picture, filter, 1, padding)
    kh, kw = np.shape(filter)
    figure, axes = plt.subplots(
        2, len(steps), figsize=(1.6 * len(steps), 3.1), height_ratios=(len(padded), len(output)), squeeze=False
    )
    for (above, below), step in zip(axes.T, steps, strict=True):
        row, column = divmod(step - 1, output.shape[1])
        window = {(row + i, column + j): "window" for i, j in np.ndindex(kh, kw)}
        _draw_table(above, padded, border(padded.shape, padding) | window, f"step {step}")
        above.add_patch(Rectangle((column, row), kw, kh, fill=False, edgecolor="#0072b2", linewidth=2))
        known = [[v if i * len(r) + j < step else None for j, v in enumerate(r)] for i, r in enumerate(output)]
        _draw_table(below, known, {(row, column): "window"}, f"sum {output[row, column]}")
    return figure


def face_maps(face, filters, maps, pooled) -> Figure:
    """Draw a grey face, and for each filter its numbers, its output, what it changed, and the pooled output.

    Parameters
    ----------
    face : (H, W)
    filters : dict of str to (kh, kw)
    maps, pooled : sequence of (oh, ow)
        One for each filter; the maps are of the face's size.
    """
    rows: list = [["face", *(f"{kind}{i}" for kind in "fmcp")] for i in range(len(filters))]
    figure, axes = plt.subplot_mosaic(rows, figsize=(9.6, 2.1 * len(filters)), width_ratios=(1, 0.6, 1, 1, 1))

    def show(at, values, title, **style):
        axes[at].imshow(values, cmap=style.pop("cmap", "gray"), **style)
        axes[at].set_title(title, fontsize=9)
        axes[at].axis("off")

    show("face", face, f"face, {face.shape[0]}x{face.shape[1]}")
    for i, ((name, filter), output, small) in enumerate(zip(filters.items(), maps, pooled, strict=True)):
        _draw_table(axes[f"f{i}"], filter, {}, name)
        show(f"m{i}", output, "output" + f", {output.shape[0]}x{output.shape[1]}" * (i == 0))
        change = (output / np.sum(filter) - face)[1:-1, 1:-1]  # without the rim, where zeros were averaged in
        show(f"c{i}", change, "output / sum - face", cmap="PuOr", vmin=-25, vmax=25)
        show(f"p{i}", small, "max pooled" + f", {small.shape[0]}x{small.shape[1]}" * (i == 0))
    return figure


# -- question 3 -------------------------------------------------------------------------------------------------------


def _arrow(ax, start, end, **style):
    ax.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=11, color="#555555", **style))


def question3_network() -> Figure:
    """Draw the network of question 3: each quadrant of the picture, its sum and its output in one colour."""
    figure, ax = plt.subplots(figsize=(9.4, 3.7))

    def square(x, y, side, colour, text):
        ax.add_patch(Rectangle((x, y), side, side, facecolor=colour, edgecolor="#444444", linewidth=0.9))
        ax.text(x + side / 2, y + side / 2, text, ha="center", va="center", fontsize=10)

    def circle(x, y, colour, text):
        ax.plot(x, y, "o", markersize=27, color=colour, markeredgecolor="#444444", markeredgewidth=0.9)
        ax.text(x, y, text, ha="center", va="center", fontsize=10)

    for r, c in np.ndindex(4, 4):
        square(c, 3 - r, 1, QUADRANTS[2 * (r // 2) + c // 2], f"$x_{{{r + 1}{c + 1}}}$")
    for r, c in np.ndindex(2, 2):
        square(5.1 + 0.8 * c, 2 - 0.8 * r, 0.8, "white", f"$w_{{{r + 1}{c + 1}}}$")
    _arrow(ax, (4.1, 2), (5.05, 2))
    _arrow(ax, (6.75, 2), (7.55, 2))
    for k, (colour, height) in enumerate(zip(QUADRANTS, (3.6, 2.55, 1.5, 0.45), strict=True)):
        circle(8.0, height, colour, f"$c_{{{k // 2 + 1}{k % 2 + 1}}}$")
        circle(10.0, height, colour, f"$y_{k + 1}$")
        _arrow(ax, (8.35, height), (9.65, height))
        ax.text(9.0, height + 0.1, "$g$", ha="center", va="bottom", fontsize=11)
        ax.plot([10.36, 12.5], [height, 2], color="#555555", linewidth=1.2, zorder=0)
        ax.text(11.1, height + (2 - height) * 0.35 + 0.1, f"$w_{k + 1}$", ha="center", va="bottom", fontsize=10)
    circle(12.5, 2, "white", "$\\Sigma$")
    _arrow(ax, (12.9, 2), (13.9, 2))
    ax.text(14.0, 2, "output\n\n$L = \\frac{1}{2}(\\mathrm{output} - t)^2$", ha="left", va="center", fontsize=10)
    for x, text in (
        (2, "picture"),
        (5.9, "filter, stride 2"),
        (8, "sums"),
        (10, "activations"),
        (12.5, "weighted sum"),
    ):
        ax.text(x, -0.55, text, ha="center", va="top", fontsize=9.5)
    ax.set(xlim=(-0.2, 16.6), ylim=(-1.0, 4.2), aspect="equal")
    ax.axis("off")
    return figure


def differences(tables, reference: str = "closed form") -> Figure:
    """Draw how far each way of computing the gradients is from the reference, quantity by quantity.

    Parameters
    ----------
    tables : dict of str to DataFrame
        A panel each; a row for each quantity, a column for each way.
    """
    figure, axes = plt.subplots(1, len(tables), figsize=(9.6, 3.4), sharey=True, squeeze=False)
    for ax, (name, values) in zip(axes[0], tables.items(), strict=True):
        gaps = values.drop(columns=reference).sub(values[reference], axis=0).abs()
        for i, (way, gap) in enumerate(gaps.items()):
            # zero has no place on a logarithmic axis: it is drawn at the bottom
            places = np.arange(len(gap)) + 0.25 * (i - 1)
            ax.plot(places, gap.clip(lower=1e-18), "osD"[i], color=f"C{i}", markersize=3.5, label=way)
        ax.set_xticks(range(len(values)), values.index, rotation=90, fontsize=8)
        ax.set(yscale="log", title=f"{name}: at most {gaps.max(axis=None):.0e}")
    axes[0, 0].set_ylim(3e-19, max(1e-7, *(3 * ax.dataLim.y1 for ax in axes[0])))
    axes[0, 0].set_ylabel(f"|difference| to the {reference}\n(0 is drawn at 1e-18)")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
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
    for ax, (title, filter) in zip(axes[1:], filters.items(), strict=True):
        ax.imshow(filter, cmap="PuOr", vmin=-2 * most, vmax=2 * most)
        for r, c in np.ndindex(np.shape(filter)):
            ax.text(c, r, f"{filter[r, c]:+.2f}", ha="center", va="center", fontsize=10)
        ax.set_title(title)
        ax.axis("off")
    return figure
