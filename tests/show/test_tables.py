"""Tables with marked cells, and question 2 step by step, against the report's tables and ``conv2d``."""

import re

import numpy as np
import pytest

from hw1lib import show
from hw1lib.nn.conv import conv2d, max_pool2d, patch_matrix
from hw1lib.show.tables import COLOURS
from hw1lib.study.published import TABLE_3_3, TABLES

PICTURE = np.array(TABLES["3.1"])
FILTERS = np.array(
    [
        [[0, 1, 2], [1, 0, 1], [2, 1, 0]],
        [[1, 0, 1], [0, 1, 0], [1, 0, 1]],
        [[1, 2, 0], [2, 0, 2], [0, 2, 1]],
    ]
)


def test_table_3_3_has_one_misprint():
    windows = patch_matrix(PICTURE, 3, padding=1).reshape(4, 4, 3, 3)
    written = [[show.products(window, FILTERS[0]) for window in row] for row in windows]
    wrong = [(r, c) for r, c in np.ndindex(4, 4) if written[r][c] != TABLE_3_3[r][c]]
    assert wrong == [(1, 1)]
    assert written[1][1].replace("1*1+6*0", "1*+6*0") == TABLE_3_3[1][1]


@pytest.fixture
def stepper():
    return show.Stepper(PICTURE, {f"filter {k + 1}": f for k, f in enumerate(FILTERS)})


def cells(html, caption):
    """Return the text of a table's cells, and which of them are coloured with what."""
    found = re.search(rf"<caption[^>]*>{caption}.*?</table>", html)[0]
    rows = [re.findall(r'<td style="([^"]*)">(.*?)</td>', row) for row in re.findall(r"<tr>(.*?)</tr>", found)]
    text = [[re.sub(r"<.*?>|&nbsp;", "", cell) for _, cell in row] for row in rows]
    colours = {c: k for k, c in COLOURS.items()}
    marks = [[re.search(r"background-color:(#\w+)", style) for style, _ in row] for row in rows]
    return text, {(r, c): colours[m[1]] for r, row in enumerate(marks) for c, m in enumerate(row) if m}


def test_step_moves_the_window_and_grows_the_output(stepper):
    stepper.step.value = 7
    text, marks = cells(stepper.view.value, "picture, padding 1")
    assert text == [[str(v) for v in row] for row in TABLES["3.2"]]
    assert {at for at, mark in marks.items() if mark == "window"} == {(r, c) for r in (1, 2, 3) for c in (2, 3, 4)}
    assert {at for at, mark in marks.items() if mark == "padding"} == {
        (r, c) for r, c in np.ndindex(6, 6) if r in (0, 5) or c in (0, 5)
    }
    text, marks = cells(stepper.view.value, "output, 7 of 16")
    assert text == [["2", "13", "18", "12"], ["11", "16", "33", ""], [""] * 4, [""] * 4]
    assert marks == {(1, 1): "selected", (1, 2): "window"}  # the first square is complete
    assert cells(stepper.view.value, "max pooling 2x2")[0] == [["16", ""], ["", ""]]
    assert f"{TABLE_3_3[1][2]} = <b>33</b>" in stepper.view.value


def test_last_step_shows_the_tables(stepper):
    stepper.step.value = 16
    for k, name in enumerate(stepper.filters):
        stepper.filter.value = name
        output, marks = cells(stepper.view.value, "output, 16 of 16")
        assert output == [[str(v) for v in row] for row in TABLES[f"3.{k + 4}"]]
        assert sum(mark == "selected" for mark in marks.values()) == 4
        pooled, _ = cells(stepper.view.value, "max pooling 2x2")
        assert pooled == [[str(v) for v in row] for row in TABLES[f"3.{k + 10}"]]


def test_every_setting_shows_what_conv2d_gives(stepper):
    stepper.step.value = stepper.step.max
    for stride, padding, pool in np.ndindex(3, 3, 3):
        stepper.stride.value, stepper.padding.value, stepper.pooling.value = stride + 1, padding, pool + 1
        output = conv2d(PICTURE, FILTERS[0], stride + 1, padding)
        assert stepper.step.max == output.size
        stepper.step.value = output.size
        shown, _ = cells(stepper.view.value, f"output, {output.size} of {output.size}")
        assert shown == [[str(v) for v in row] for row in output]
        _, marks = cells(stepper.view.value, f"picture, padding {padding}")
        last = [(n - 1) * (stride + 1) for n in output.shape]  # where the last window begins
        window = {(last[0] + i, last[1] + j) for i, j in np.ndindex(3, 3)}
        assert {at for at, mark in marks.items() if mark == "window"} == window
        if pool + 1 > min(output.shape):
            assert "larger than the output" in stepper.view.value
        else:
            shown, _ = cells(stepper.view.value, f"max pooling {pool + 1}x{pool + 1}")
            assert shown == [[str(v) for v in row] for row in max_pool2d(output, pool + 1).values]


def test_step_beyond_a_smaller_output_is_moved_back(stepper):
    stepper.step.value = 16
    stepper.stride.value = 3
    assert stepper.step.value == stepper.step.max == 4
    assert "output, 4 of 4" in stepper.view.value


def test_cells_are_escaped():
    assert "<script>" not in show.table([["<script>"]], "<script>")


@pytest.mark.parametrize("padding", [0, 1])
def test_film_strip_moves_the_window_and_grows_the_output(padding):
    padded, output = np.pad(PICTURE, padding), conv2d(PICTURE, FILTERS[0], padding=padding)
    n, steps = len(output), (1, 3, output.size)
    for html, step in zip(show.film_strip(PICTURE, FILTERS[0], steps, padding), steps, strict=True):
        row, column = divmod(step - 1, n)
        text, marks = cells(html, f"step {step}<")
        assert text == [[str(v) for v in r] for r in padded]
        assert sorted(at for at, mark in marks.items() if mark == "window") == [
            (row + i, column + j) for i, j in np.ndindex(3, 3)
        ]
        text, marks = cells(html, f"sum {output[row, column]}<")
        assert [v for r in text for v in r] == [str(v) for v in output.ravel()[:step]] + [""] * (output.size - step)
        assert marks == {(row, column): "window"}
