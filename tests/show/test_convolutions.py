"""Pictures of convolutions: colours, numbers and lines are what other computations say."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle
from scipy.signal import correlate2d

from hw1lib import nn, show
from hw1lib.show.display import ASSETS
from hw1lib.show.tables import COLOURS


def grids(figure):
    """Return title -> text and colour of each cell, by row, as they lie in the figure."""
    (ax,) = figure.axes
    squares = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    faces = {tuple(np.add(patch.get_xy(), 0.5).round(1)): patch for patch in squares}
    tables, cells = {}, {}
    for text in ax.texts:
        x, y = text.get_position()
        place = next((at for at in faces if np.allclose(at, (x, y), atol=0.1)), None)
        if place:
            cells[place[::-1]] = text.get_text(), to_hex(faces[place].get_facecolor())
        elif cells:  # a title comes after its cells
            rows = sorted({y for y, _ in cells})
            ordered = [[cells[at] for at in sorted(cells) if at[0] == row] for row in rows]
            tables[text.get_text()], cells = np.array(ordered), {}
    return tables


@pytest.mark.parametrize("cell", [(0, 1), (2, 1)])
def test_the_receptive_field_is_all_that_can_change_the_pooled_cell(cell):
    rng = np.random.default_rng(4)
    picture, weights = rng.integers(0, 50, (6, 4)), rng.integers(1, 9, (3, 3))

    def layers(padded):
        output = correlate2d(padded, weights, mode="valid")
        return output, output.reshape(3, 2, 2, 2).max(axis=(1, 3))

    padded = np.pad(picture, 1)
    output, pooled = layers(padded)
    changes = np.zeros(padded.shape, bool)
    for at in np.ndindex(padded.shape):  # raise one cell at a time
        raised = padded.copy()
        raised[at] += 10**4
        changes[at] = layers(raised)[1][cell] != pooled[cell]
    drawn = grids(show.receptive_field(picture, weights, cell))
    tables = {"picture, padded": padded, "output of the filter": output, "max pooled": pooled}
    for title, values in tables.items():
        assert drawn[title][..., 0].tolist() == values.astype(str).tolist()
    colours = drawn["picture, padded"][..., 1]
    orange, blue = colours == COLOURS["selected"], colours == COLOURS["window"]
    assert (orange | blue).tolist() == changes.tolist()
    assert (padded[orange] * weights.ravel()).sum() == pooled[cell]
    assert (colours[0] == COLOURS["padding"]).tolist() == (~changes[0]).tolist()
    marked = drawn["output of the filter"][..., 1]
    assert output[marked == COLOURS["selected"]].tolist() == [pooled[cell]]
    assert (marked == COLOURS["window"]).sum() == 3
    assert np.argwhere(drawn["max pooled"][..., 1] == COLOURS["selected"]).tolist() == [list(cell)]


def test_the_gradient_goes_back_to_the_largest_of_each_square():
    output = np.array([[1, 2, 9, 3], [7, 4, 5, 5], [0, 0, 1, 2], [1, 6, 8, 3]])
    largest = [(1, 0), (0, 2), (3, 1), (3, 2)]
    gradient = np.array([[1.24, -0.5], [-0.04, 2.0]])
    back = np.zeros((4, 4))
    for at, value in zip(largest, gradient.flat, strict=True):
        back[at] = value
    figure = show.through_pooling(output, nn.max_pool2d(output, 2), gradient, back)
    forward, pooled, to_pooled, to_output = grids(figure).values()
    assert forward[..., 0].tolist() == output.astype(str).tolist()
    assert pooled[..., 0].tolist() == [["7", "9"], ["6", "8"]]
    assert to_pooled[..., 0].tolist() == [["1.2", "−0.5"], ["0.0", "2.0"]]
    assert [to_output[at][0] for at in largest] == ["1.2", "−0.5", "0.0", "2.0"]
    assert (to_output[..., 0] == "0.0").sum() == 13
    four = pooled[..., 1].ravel().tolist()
    assert len({*four, "#ffffff"}) == 5
    assert to_pooled[..., 1].ravel().tolist() == four
    for table in (forward, to_output):
        assert [table[at][1] for at in largest] == four
        assert (table[..., 1] == "#ffffff").sum() == 12


def test_both_passes_are_written_above_and_below_the_names():
    rng = np.random.default_rng(2)
    x, kernel, w = (rng.normal(size=size) for size in ((4, 4), (2, 2), 4))
    given = x, kernel, w, 0.3
    forward = nn.gradients.forward(*given, "sigmoid")
    svg = show.passes(x, kernel, w, forward, nn.gradients.closed_form(*given, "sigmoid"))

    c = [np.sum(x[r : r + 2, k : k + 2] * kernel) for r in (0, 2) for k in (0, 2)]
    y = 1 / (1 + np.exp(-np.array(c)))
    values = dict(zip([f"x{r}{k}" for r in "1234" for k in "1234"], x.flat, strict=True))
    values |= dict(zip(["w11", "w12", "w21", "w22"], kernel.flat, strict=True))
    values |= {f"w{i + 1}": w[i] for i in range(4)} | {f"y{i + 1}": y[i] for i in range(4)}
    values |= dict(zip(["c11", "c12", "c21", "c22"], c, strict=True))
    values |= {"output": y @ w, "loss": (y @ w - 0.3) ** 2 / 2}
    measured = nn.gradients.central_differences(*given, "sigmoid")
    measured["output"] = measured.pop("error")

    texts = [
        (node, float(node.get("x")), float(node.get("y")))
        for node in ElementTree.fromstring(svg).iter()
        if node.tag.endswith("text")
    ]
    above, below = {}, {}
    for name, across, down in texts:
        for number, x_of, y_of in texts:
            near = x_of == across and abs(y_of - down) < 30 and number is not name
            if name.get("class") and near:
                written = above if y_of < down else below
                assert (number.get("fill") is None) == (y_of < down)
                written[name.get("class")] = float(number.text.replace("−", "-"))
    assert above == pytest.approx(values, abs=0.0051)
    assert below == pytest.approx(measured, abs=0.0051)


def test_two_drawings_on_a_page_share_no_id():
    given = np.ones((4, 4)), np.ones((2, 2)), np.ones(4), 1, "tanh"
    svg = show.passes(*given[:3], nn.gradients.forward(*given), nn.gradients.closed_form(*given))
    plain = (ASSETS / "question3.svg").read_text()
    ids, others = (set(re.findall(r'id="(.*?)"', each)) for each in (svg, plain))
    assert ids
    assert not ids & others
    assert all(f"url(#{name})" in svg for name in ids)


@pytest.mark.parametrize(("picture", "cells"), [((3, 50, 40), "480"), ((1, 16, 16), "64")])
def test_a_convolutional_network_is_drawn_with_the_shapes_of_its_layers(picture, cells):
    """As ``Network`` has them: their product with the weights must work out."""
    config = {"picture": picture, "filters": (16, 4), "hidden": (64,), "outputs": 5}
    config |= {"activation": "relu", "output_activation": "softmax", "loss": "nll"}
    (ax,) = show.conv_layers(config).axes
    texts = [text.get_text() for text in ax.texts]
    sizes = [text for text in texts if re.match(r"[\d,]+( x|$)", text)]
    depth, height, width = picture
    maps = f"16 x {height // 2}x{width // 2}", f"4 x {height // 4}x{width // 4}"
    assert sizes == [f"{depth} x {height}x{width}", *maps, cells, "64", "5"]
    assert (int(cells), 64) in [W.shape for W in nn.Network(config).weights]
    sheets = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    assert len(sheets) == depth + 8 + 4 + 3  # of 16 maps eight
