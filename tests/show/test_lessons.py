"""The pictures that teach: what is drawn is what was given, and named."""

import numpy as np
import pytest
from scipy import stats

from hw1lib import show

# -- 03 ---------------------------------------------------------------------------------------------------------------


def test_units_that_move_alike_are_all_seen():
    alike, apart = np.tile([[0.1], [0.5], [0.3]], 3), np.array([[0.0, 1, 2], [0, 2, 1], [0, 3, -1]])
    figure = show.unit_paths({"alike": alike, "apart": apart})
    for ax, title, weights in zip(figure.axes, ("alike", "apart"), (alike, apart), strict=True):
        assert ax.get_title() == title
        np.testing.assert_array_equal([line.get_ydata() for line in ax.lines], weights.T)
        widths = [line.get_linewidth() for line in ax.lines]
        assert (np.diff(widths) < -1).all()  # each leaves the edges of the one below
        assert widths[-1] > 0.5
    assert [text.get_text() for text in figure.legends[0].texts] == ["unit 1", "unit 2", "unit 3"]


def test_rounding_is_not_enlarged_to_a_movement():
    figure = show.unit_paths({"still": np.full((4, 2), 0.1) + 1e-8 * np.arange(8).reshape(4, 2)})
    low, high = figure.axes[0].get_ylim()
    assert high - low >= 0.02 - 1e-9
    assert low < 0.1 < high


def test_each_fold_is_a_dot_on_its_line_behind_the_mean():
    tests = {"a": [[10.0, 12.0], [9.0, 9.0], [8.0, 10.0]], "b": [[12.0, 12.0], [8.0, 12.0], [9.0, 7.0]]}
    runs = {
        name: {"runs": [{"fold": i, "test": one} for i, fold in enumerate(folds) for one in fold]}
        for name, folds in tests.items()
    }
    figure = show.fold_dots({"experiments": runs}, {"b": "of b", "a": "of a"}, "RMSE")
    ax = figure.axes[0]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["of b", "of a"]
    assert ax.get_ylabel() == "RMSE"
    joined = [line.get_ydata().tolist() for line in ax.lines if line.get_linestyle() == "-"]
    dots = [line.get_ydata().tolist() for line in ax.lines if line.get_marker() == "."]
    assert joined == dots == [[12, 11], [10, 9], [8, 9]]
    (container,) = ax.containers
    np.testing.assert_allclose(container[0].get_ydata(), [10, 29 / 3])
    half = stats.t.ppf(0.975, 2) * 2 * (1 / 3 + 1 / 8.1) ** 0.5  # b: folds 12, 10, 8
    np.testing.assert_allclose(container[2][0].get_segments()[0][:, 1], [10 - half, 10 + half])
    assert len(figure.legends[0].texts) == 2


# -- 04 ---------------------------------------------------------------------------------------------------------------


def test_a_fitted_curve_is_drawn_beside_the_points_and_what_lies_behind_them():
    x, true = np.array([0.0, 1, 2]), np.array([0.0, 1, 4])
    fits = {"early": np.array([1.0, 1, 1]), "late": np.array([0.0, 2, 3])}
    figure = show.fitted_curves(([0.5, 1.5], [3.0, 5.0]), x, true, fits)
    for ax, (title, predicted) in zip(figure.axes, fits.items(), strict=True):
        assert ax.get_title() == title
        drawn = {line.get_label(): line.get_xydata().T.tolist() for line in ax.lines}
        assert drawn == {
            "the curve behind the points": [x.tolist(), true.tolist()],
            "the network": [x.tolist(), predicted.tolist()],
            "training points": [[0.5, 1.5], [3.0, 5.0]],
        }
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()


@pytest.mark.parametrize("start", [5.0, 0.1])
def test_sizes_of_weights_start_at_epoch_0_on_an_axis_from_0(start):
    figure = show.weight_sizes({"none": [start, 7.0, 9.0], "some": [start, 4.0, 3.0]})
    ax = figure.axes[0]
    assert [line.get_xydata().tolist() for line in ax.lines] == [
        [[0, start], [1, 7], [2, 9]],
        [[0, start], [1, 4], [2, 3]],
    ]
    assert ax.get_ylim()[0] == 0
    assert [text.get_text() for text in figure.legends[0].texts] == ["none", "some"]
