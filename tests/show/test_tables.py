"""Tables with marked cells, and question 2 step by step, against the report's tables."""

import re

import numpy as np
import pytest

from hw1lib import show
from hw1lib.nn.conv import conv2d, max_pool2d
from hw1lib.show.tables import COLOURS
from hw1lib.study.published import TABLE_3_3, TABLES

PICTURE = np.array(TABLES["3.1"])
FILTER = np.array([[0, 1, 2], [1, 0, 1], [2, 1, 0]])


def cells(html, caption):
    """Return the text of a table's cells, and which of them are coloured with what."""
    table = re.search(rf"<caption[^>]*>{caption}.*?</table>", html)[0]
    rows = [
        re.findall(r'<td style="([^"]*)">(.*?)</td>', row)
        for row in re.findall(r"<tr>(.*?)</tr>", table)
    ]
    text = [[re.sub(r"<.*?>|&nbsp;", "", cell) for _, cell in row] for row in rows]
    colours = {c: k for k, c in COLOURS.items()}
    marks = [[re.search(r"background-color:(#\w+)", style) for style, _ in row] for row in rows]
    marked = {(r, c): m[1] for r, row in enumerate(marks) for c, m in enumerate(row) if m}
    return text, {at: colours[colour] for at, colour in marked.items()}


def test_step_moves_the_window_and_grows_the_output():
    html = show.convolution_step(PICTURE, FILTER, 1, 1, 2, 7)
    text, marks = cells(html, "picture, padding 1")
    assert text == [[str(v) for v in row] for row in TABLES["3.2"]]
    window = {(r, c) for r in (1, 2, 3) for c in (2, 3, 4)}
    edge = {(r, c) for r, c in np.ndindex(6, 6) if r in (0, 5) or c in (0, 5)}
    assert {at for at, mark in marks.items() if mark == "window"} == window
    assert {at for at, mark in marks.items() if mark == "padding"} == edge
    text, marks = cells(html, "output, 7 of 16")
    assert text == [["2", "13", "18", "12"], ["11", "16", "33", ""], [""] * 4, [""] * 4]
    assert marks == {(1, 1): "selected", (1, 2): "window"}  # the first square is complete
    assert cells(html, "max pooling 2x2")[0] == [["16", ""], ["", ""]]
    assert f"{TABLE_3_3[1][2]} = <b>33</b>" in html


@pytest.mark.parametrize(
    ("stride", "padding", "pool"), [(1, 0, 1), (2, 1, 2), (1, 2, 3), (3, 2, 3)]
)
def test_every_setting_shows_what_conv2d_gives(stride, padding, pool):
    output = conv2d(PICTURE, FILTER, stride, padding)
    html = show.convolution_step(PICTURE, FILTER, stride, padding, pool, output.size)
    written, _ = cells(html, f"output, {output.size} of {output.size}")
    assert written == [[str(v) for v in row] for row in output]
    if pool > min(output.shape):
        assert "larger than the output" in html
    else:
        shown, _ = cells(html, f"max pooling {pool}x{pool}")
        assert shown == [[str(v) for v in row] for row in max_pool2d(output, pool)[0]]


def test_tables_stand_beside_each_other_as_one_piece_of_html():
    first, second = show.table([[1]]), show.table([[2]], "two")
    html = show.beside(first, second)
    assert html.index(first) < html.index(second)
    assert html.startswith("<div")
    assert html.count("<div") == html.count("</div>") == 3
