"""Pictures that teach: what is drawn, against numbers from outside."""

from xml.etree import ElementTree

import numpy as np
import pytest

from hw1lib import nn, show
from hw1lib.faces import Part

# -- 05 ---------------------------------------------------------------------------------------------------------------


def test_softmax_bars_are_as_long_as_the_probabilities():
    drawn = ElementTree.fromstring(show.softmax_bars([2.0, 1.0, -1.0], [0.7054, 0.2595, 0.0351]))
    widths = [float(bar.get("width")) for bar in drawn.iter("rect")]
    assert widths == pytest.approx([141.1, 51.9, 7.0])  # of 200
    assert len({bar.get("fill") for bar in drawn.iter("rect")}) == 3
    said = [text.text for text in drawn.iter("text")]
    assert said[3:] == ["x0 = 2", "7.39", "0.705", "x1 = 1", "2.72", "0.260", "x2 = -1", "0.37", "0.035", "10.48"]
    assert drawn.get("aria-label") == "p = 0.705, 0.260, 0.035"


def test_decision_regions_show_what_the_network_says_everywhere():
    net = nn.Network({"layers": [2, 3], "activation": "tanh", "output_activation": "softmax", "loss": "nll"}, nn.Zero())
    net.weights[0][...] = [[0, 4, 0], [0, 0, 0]]  # class 1 where the first feature is above 0.5, else class 0
    net.biases[0][...] = [0, -2, -9]
    X = np.random.default_rng(0).uniform(-1, 1, (500, 2))
    y = np.arange(500) % 3
    figure = show.decision_regions({"a": (net, Part(X, y), ("f000", "f005"))}, "abc", most=90)
    (ax,) = figure.axes
    zero, one, two = (image.get_array().filled(np.nan) for image in ax.images)
    x = np.linspace(*ax.get_xlim(), zero.shape[1])
    assert np.isfinite(zero)[:, x < 0.5].all()
    assert np.isfinite(one)[:, x > 0.5].all()
    assert np.isnan(two).all()
    p = np.exp(4 * x - 2) / (1 + np.exp(4 * x - 2) + np.exp(-9))
    np.testing.assert_allclose(one[7, x > 0.5], p[x > 0.5], rtol=1e-5)
    for code, line in enumerate(ax.lines):
        np.testing.assert_array_equal(line.get_xydata(), X[:90][y[:90] == code])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("f000 (rescaled)", "f005 (rescaled)")
    assert [text.get_text() for text in figure.legends[0].texts] == ["a", "b", "c"]


def test_calibration_shows_the_share_that_is_right_and_its_interval():
    sure = np.r_[np.full(10, 0.95), np.full(4, 0.65), 1.0]
    shares = np.c_[sure, 1 - sure]
    y = np.r_[np.zeros(9), 1, [0, 0, 1, 1], 1].astype(int)  # 9 of 10, 2 of 4; and one is sure and wrong
    top, bottom = show.calibration(shares, y).axes
    points, _, (bars,) = top.containers[0]
    np.testing.assert_allclose(points.get_xydata(), [[0.65, 0.5], [10.5 / 11, 9 / 11]])
    ends = np.array(bars.get_segments())[:, :, 1]
    np.testing.assert_allclose(ends, [[0.150, 0.850], [0.523, 0.949]], atol=1e-3)  # Wilson's, of 2/4 and 9/11
    assert [(bar.get_x() + bar.get_width() / 2, bar.get_height()) for bar in bottom.patches] == [
        (pytest.approx(0.65), 4),
        (pytest.approx(0.95), 11),
    ]
