"""Pictures that teach: what is drawn is what was computed, in another way."""

import re
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from hw1lib import faces, nn, show
from hw1lib.faces import Subset
from hw1lib.show.display import ASSETS

SVG = "{http://www.w3.org/2000/svg}"


def test_a_cloud_s_components_feet_and_variances():
    points = 100 + np.random.default_rng(0).normal(size=(60, 2)) @ [[20, 12], [-3, 6]]
    pca = faces.Preprocessor(2, "unit").fit(points, progress=False)
    values, vectors = np.linalg.eigh(np.cov(points.T))
    largest, axis = values[1], vectors[:, 1]
    left, right = show.cloud(points, pca, ("red", "blue")).axes
    lines = {line.get_label(): line.get_xydata() for line in left.lines}
    ends = lines[f"component 1: {100 * largest / values.sum():.0f} % of the variance"]
    length = (ends[1] - ends[0]) @ axis
    assert abs(length) == pytest.approx(4 * np.sqrt(largest), rel=1e-4)
    assert ends.mean(axis=0) == pytest.approx(points.mean(axis=0))
    feet = lines["its foot on component 1"]
    assert (feet - points) @ axis == pytest.approx(0, abs=0.01)
    assert (feet - ends[0]) @ [-axis[1], axis[0]] == pytest.approx(0, abs=0.01)
    curve, *marks = (line.get_xydata() for line in right.lines)
    assert curve[[0, 90], 1] == pytest.approx(np.diag(np.cov(points.T)))
    assert [mark[0, 1] for mark in marks] == pytest.approx(values[::-1], rel=1e-4)
    assert curve[curve[:, 1].argmax(), 0] == pytest.approx(marks[0][0, 0], abs=1)


def test_a_valley_shows_the_first_steps_and_their_loss():
    paths = {"a": [(-10, 1), (-5, 0.5), (0, 0)], "b": [(-10, 1), (-9, -1), (-8, 1)]}
    drawn = ElementTree.fromstring(show.valley(paths, (1, 100), 1))
    lines = [line.get("points") for line in drawn.iter(f"{SVG}polyline")]
    assert lines == ["56.0,18.0 276.0,40.0", "56.0,18.0 100.0,106.0"]  # 44 pixels for 1, both ways
    told = " ".join(text.text for text in drawn.iter(f"{SVG}text"))
    assert "step 1: loss 25 " in told  # (1 * 25 + 100 * 0.25) / 2
    assert "step 1: loss 90.5 " in told
    for ellipse in drawn.iter(f"{SVG}ellipse"):  # equal loss: ten times as long as wide
        assert float(ellipse.get("rx")) == pytest.approx(10 * float(ellipse.get("ry")), rel=0.05)


def test_back_propagation_step_by_step_writes_each_number_once_it_is_known():
    config = {"layers": [2, 2, 1], "activation": "leaky_relu"}
    config |= {"output_activation": "identity", "loss": "l2"}
    network = nn.Network(config, dtype=np.float64)
    network.parameters[...] = 0.5, -1, 1, 0.25, 0.1, 0, 2, 4, 0.5
    drawings = show.backprop_steps(network, [1, 2], 4)
    seen = [re.findall(r"<text[^>]*>(.*?)</text>", drawing) for drawing in drawings]
    new = [set(after) - set(before) for before, after in pairwise(seen)]
    assert len(seen[0]) == len(set(seen[0])) == 12  # 2 inputs, 6 weights, 3 biases, t
    assert new[:5] == [
        {"z₁ = 2.6"},
        {"z₂ = −0.5"},
        {"a₁ = 2.6", "a₂ = −0.005"},
        {"p = 5.68"},
        {"L = 1.41"},
    ]
    assert new[5:8] == [
        {"∂L/∂p = 1.68"},
        {"∂L/∂v₁ = 4.37", "∂L/∂v₂ = −0.0084"},
        {"∂L/∂a₁ = 3.36", "∂L/∂a₂ = 6.72"},
    ]
    assert new[8] == {"∂L/∂z₁ = 3.36", "∂L/∂z₂ = 0.0672"}
    assert new[9:] == [
        {"∂L/∂u₁₁ = 3.36", "∂L/∂u₂₁ = 6.72"},
        {"∂L/∂u₁₂ = 0.0672", "∂L/∂u₂₂ = 0.134"},
    ]
    assert "= 1 · (−1) + 2 · 0.25 + 0 = −0.5<" in drawings[2]
    assert "∂L/∂z₂ = ∂L/∂a₂ · f′(z₂) = 6.72 · 0.01 = 0.0672;" in drawings[9]
    edged = [drawing.count('stroke="currentColor"') for drawing in drawings]
    assert edged == [0, *(len(names) for names in new)]
    for drawing in drawings:
        ElementTree.fromstring(f"<div>{drawing}</div>")


def test_softmax_bars_are_as_long_as_the_probabilities():
    drawn = ElementTree.fromstring(show.softmax_bars([2.0, 1.0, -1.0], [0.7054, 0.2595, 0.0351]))
    widths = [float(bar.get("width")) for bar in drawn.iter("rect")]
    assert widths == pytest.approx([141.1, 51.9, 7.0])  # of 200
    said = [text.text for text in drawn.iter("text")]
    assert said[3:9] == ["z0 = 2", "7.39", "0.705", "z1 = 1", "2.72", "0.260"]
    assert said[9:] == ["z2 = -1", "0.37", "0.035", "10.48"]
    assert drawn.get("fill") == "currentColor"  # of letters: JupyterLab's dark theme has light ones


def test_decision_regions_show_what_the_network_says_everywhere():
    config = {"layers": [2, 3], "activation": "tanh"}
    net = nn.Network(config | {"output_activation": "softmax", "loss": "nll"}, nn.Zero())
    # class 1 where the first feature is above 0.5, else class 0
    net.weights[0][...] = [[0, 4, 0], [0, 0, 0]]
    net.biases[0][...] = [0, -2, -9]
    X = np.random.default_rng(0).uniform(-1, 1, (500, 2))
    y = np.arange(500) % 3
    (ax,) = show.decision_regions({"a": (net, Subset(X, y), ("f000", "f005"))}, "abc").axes
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("f000", "f005")  # as they are given
    zero, one, two = (np.ma.filled(mesh.get_array(), np.nan) for mesh in ax.collections[:3])
    x = np.linspace(*ax.get_xlim(), zero.shape[1])
    assert np.isfinite(zero)[:, x < 0.5].all()
    assert np.isnan(two).all()
    p = np.exp(4 * x - 2) / (1 + np.exp(4 * x - 2) + np.exp(-9))
    np.testing.assert_allclose(one[7, x > 0.5], p[x > 0.5], rtol=1e-5)
    for code, line in enumerate(ax.lines):
        np.testing.assert_array_equal(line.get_xydata(), X[:250][y[:250] == code])


def test_both_passes_are_written_above_and_below_the_names():
    rng = np.random.default_rng(2)
    x, kernel, w = (rng.normal(size=size) for size in ((4, 4), (2, 2), 4))
    given = x, kernel, w, 0.3, "sigmoid"
    forward, back = nn.gradients.forward(*given), nn.gradients.closed_form(*given)
    svg = show.passes(x, kernel, w, forward, back)
    pixels = {f"x{r}{k}": x[int(r) - 1, int(k) - 1] for r in "1234" for k in "1234"}
    weights = dict(zip(nn.gradients.PARAMETERS, [*w, *kernel.ravel()], strict=True))
    measured = nn.gradients.central_differences(*given)
    measured["output"] = measured.pop("error")
    texts = [node for node in ElementTree.fromstring(svg).iter() if node.tag.endswith("text")]
    above, below = {}, {}
    for i, name in enumerate(texts):
        if name.get("class"):  # its numbers come after it
            value, *gradient = (node for node in texts[i + 1 : i + 3] if not node.get("class"))
            assert value.get("x") == name.get("x")
            assert -30 < float(value.get("y")) - float(name.get("y")) < 0
            above[name.get("class")] = float(value.text.replace("−", "-"))
            if name.get("class") in measured:
                assert 0 < float(gradient[0].get("y")) - float(name.get("y")) < 30
                below[name.get("class")] = float(gradient[0].text.replace("−", "-"))
    assert above == pytest.approx(forward | pixels | weights, abs=0.0051)
    assert below == pytest.approx(measured, abs=0.0051)
    plain = (ASSETS / "question3.svg").read_text()
    ids, others = (set(re.findall(r'id="(.*?)"', each)) for each in (svg, plain))
    assert ids
    assert not ids & others  # both stand on one page
    assert all(f"url(#{name})" in svg for name in ids)
    part = show.passes(x, kernel, w, {"y1": forward["y1"]}, {})  # what is not known yet
    assert not ids & set(re.findall(r'id="(.*?)"', part))
    assert len(re.findall(r">−?\d\.\d\d<", part)) == 16 + 8 + 1


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
