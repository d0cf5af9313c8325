"""Tables as HTML with coloured cells, and the convolution of question 2 step by step."""

from __future__ import annotations

from html import escape

import numpy as np

from hw1lib.nn.conv import conv2d, max_pool2d, pad

# black or dark grey on light: at least 7 to 1. A coloured cell is bold too, so that colour is not all that tells it.
COLOURS = {"padding": "#eeeeee", "window": "#9ad0f5", "selected": "#f7c04a", "wrong": "#f2a488"}
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
                style += "border-left:3px solid #777777;"
            if block and r and r % block == 0:
                style += "border-top:3px solid #777777;"
            html.append(f'<td style="{style}">{text}</td>')
        rows.append(f"<tr>{''.join(html)}</tr>")
    style = "caption-side:top;text-align:left;white-space:nowrap;padding:4px 0px"
    head = f'<caption style="{style}">{escape(caption)}</caption>'
    return f'<table style="border-collapse:collapse">{head if caption else ""}{"".join(rows)}</table>'


def beside(*tables: str) -> str:
    """Return tables side by side, as HTML; where the page is too narrow they go below each other."""
    items = "".join(f'<div style="margin:0px 28px 10px 0px">{html}</div>' for html in tables)
    return f'<div style="display:flex;flex-wrap:wrap;align-items:flex-start">{items}</div>'


def padded_cells(shape, padding: int = 1) -> dict:
    """Return the ``marks`` of the cells that padding adds around a picture; ``shape`` is the padded one's."""
    height, width = shape
    inside = range(padding, height - padding), range(padding, width - padding)
    return {(r, c): "padding" for r, c in np.ndindex(height, width) if r not in inside[0] or c not in inside[1]}


def pooled_cells(cells, width: int) -> dict:
    """Return the ``marks`` of the ``cells`` that ``max_pool2d`` chose from a picture ``width`` cells wide."""
    return {divmod(int(cell), width): "selected" for cell in np.ravel(cells)}


# -- the window, step by step -----------------------------------------------------------------------------------------


def products(window, weights) -> str:
    """Return a window's products as the report's Table 3.3 writes them."""
    return " + ".join(
        "+".join(f"{a}*{b}" for a, b in zip(*rows, strict=True)) for rows in zip(window, weights, strict=True)
    )


def _only(values, where) -> np.ndarray:
    """Return an array's values, and None in the place of the others."""
    chosen = np.full(np.shape(values), None)
    chosen[where] = values[where]
    return chosen


def convolution_step(picture, weights, stride: int, padding: int, pool: int, step: int) -> str:
    """Return one step of question 2 as HTML: the window, its products, and what is known of both layers' outputs.

    Parameters
    ----------
    picture, weights : (H, W), (kh, kw)
        Integers; the weights are the filter's.
    stride, padding, pool : int
        As for ``conv2d``; ``pool`` is the size and the stride of the pooling.
    step : int
        The window's number, from 1.
    """
    padded, output = pad(picture, padding), conv2d(picture, weights, stride, padding)
    place = row, column = divmod(step - 1, output.shape[1])
    seen = [(row * stride + i, column * stride + j) for i, j in np.ndindex(np.shape(weights))]
    marks = padded_cells(padded.shape, padding) | dict.fromkeys(seen, "window")
    window = np.reshape([padded[at] for at in seen], np.shape(weights))
    computed = np.arange(output.size).reshape(output.shape) < step
    output_marks: dict = {}
    pooled_table = "<i>pooling: its window is larger than the output</i>"
    if pool <= min(output.shape):
        values, cells = max_pool2d(output, pool)
        done = computed[pool - 1 :: pool, pool - 1 :: pool]  # a square is complete when its last cell is
        output_marks = pooled_cells(cells[done], output.shape[1])
        found = dict.fromkeys(zip(*np.nonzero(done), strict=True), "selected")
        pooled_table = table(_only(values, done), f"max pooling {pool}x{pool}", found)
    output_marks[place] = "window"
    block = pool if pool > 1 else None
    tables = beside(
        table(padded, f"picture, padding {padding}", marks),
        table(weights, "filter"),
        table(_only(output, computed), f"output, {step} of {output.size}", output_marks, block),
        pooled_table,
    )
    return f"{tables}<div><code>{products(window, weights)} = <b>{output[place]}</b></code></div>"
