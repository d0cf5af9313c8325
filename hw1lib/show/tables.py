"""Tables as HTML with coloured cells, and the convolution of question 2 step by step."""

from __future__ import annotations

from html import escape

import numpy as np

from hw1lib.nn.conv import conv2d, max_pool2d, pad

# Black or dark grey on light: at least 7 to 1. A coloured cell is bold too, so that colour is not
# all that tells it.
COLOURS = {"padding": "#eeeeee", "window": "#9ad0f5", "selected": "#f7c04a", "wrong": "#f2a488"}
KEPT = "print-color-adjust:exact;forced-color-adjust:none;"  # on paper, in forced colours
EMPTY = np.array(None)  # what is not known yet
GAP = '<div style="margin:0px 28px 10px 0px">'


def table(cells, caption: str = "", marks=None, block: int | None = None) -> str:
    """Return rows of numbers or text as an HTML table; None leaves a cell empty.

    ``marks`` names cells to colour, (row, column) -> "padding", "window", "selected" or "wrong".
    After each ``block`` rows and columns a heavier line is drawn: the windows of a pooling.
    """
    marks = marks or {}
    html = ""
    for r, row in enumerate(cells):
        html += "<tr>"
        for c, cell in enumerate(row):
            text = "&nbsp;" if cell is None else escape(str(cell))
            style = "border:1px solid #888888;padding:4px 10px;text-align:center;"
            if (r, c) in marks:
                mark = marks[r, c]
                colour = "#444444" if mark == "padding" else "#000000"
                style += f"background-color:{COLOURS[mark]};color:{colour};{KEPT}"
                text = text if mark == "padding" else f"<b>{text}</b>"
            if block and c and c % block == 0:
                style += "border-left:3px solid #777777;"
            if block and r and r % block == 0:
                style += "border-top:3px solid #777777;"
            html += f'<td style="{style}">{text}</td>'
        html += "</tr>"
    if caption:
        style = "caption-side:top;text-align:left;white-space:nowrap;padding:4px 0px"
        html = f'<caption style="{style}">{escape(caption)}</caption>{html}'
    return f'<table style="border-collapse:collapse">{html}</table>'


def beside(*tables: str) -> str:
    """Return tables side by side, as HTML; where there is no room they go below each other."""
    items = "".join(f"{GAP}{html}</div>" for html in tables)
    return f'<div style="display:flex;flex-wrap:wrap;align-items:flex-start">{items}</div>'


def padded_cells(shape, padding: int = 1) -> dict:
    """Return the ``marks`` of what padding adds around a picture; ``shape`` is the padded one's."""
    added = np.ones(shape, bool)
    added[padding : shape[0] - padding, padding : shape[1] - padding] = False
    return dict.fromkeys(zip(*np.nonzero(added), strict=True), "padding")


def pooled_cells(argmax, width: int) -> dict:
    """Return the ``marks`` of what ``max_pool2d`` chose from a picture ``width`` cells wide."""
    return {divmod(int(cell), width): "selected" for cell in np.ravel(argmax)}


def products(window, weights) -> str:
    """Return a window's products as the report's Table 3.3 writes them."""
    rows = []
    for values, factors in zip(window, weights, strict=True):
        rows.append("+".join(f"{a}*{b}" for a, b in zip(values, factors, strict=True)))
    return " + ".join(rows)


def convolution_step(picture, weights, stride: int, padding: int, pool: int, step: int) -> str:
    """Return one step of question 2 as HTML: the window, its products, and the outputs so far.

    ``pool`` is the size and the stride of the pooling; ``step`` is the window's number, from 1.
    """
    padded = pad(picture, padding)
    output = conv2d(picture, weights, stride, padding)
    row, column = divmod(step - 1, output.shape[1])
    height, width = np.shape(weights)
    top, left = row * stride, column * stride
    window = padded[top : top + height, left : left + width]
    marks = padded_cells(padded.shape, padding)
    marks |= {(top + i, left + j): "window" for i, j in np.ndindex(height, width)}
    computed = np.arange(output.size).reshape(output.shape) < step
    output_marks: dict = {}
    pooled = "<i>pooling: its window is larger than the output</i>"
    if pool <= min(output.shape):
        values, argmax = max_pool2d(output, pool)
        done = computed[pool - 1 :: pool, pool - 1 :: pool]  # squares whose last cell is known
        output_marks = pooled_cells(argmax[done], output.shape[1])
        chosen = dict.fromkeys(zip(*np.nonzero(done), strict=True), "selected")
        pooled = table(np.where(done, values, EMPTY), f"max pooling {pool}x{pool}", chosen)
    output_marks[row, column] = "window"
    known = np.where(computed, output, EMPTY)
    block = pool if pool > 1 else None
    tables = beside(
        table(padded, f"picture, padding {padding}", marks),
        table(weights, "filter"),
        table(known, f"output, {step} of {output.size}", output_marks, block),
        pooled,
    )
    written = f"{products(window, weights)} = <b>{output[row, column]}</b>"
    return f"{tables}<div><code>{written}</code></div>"
