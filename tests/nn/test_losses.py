"""Losses against scikit-learn and SciPy (gradients: test_gradcheck.py); what is refused."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import special
from sklearn import metrics

from hw1lib.nn.losses import LOSSES, one_hot

L2, NLL, LOGISTIC = (LOSSES[name] for name in ("l2", "nll", "logistic"))


@pytest.mark.parametrize("outputs", [1, 3])
def test_l2_is_half_the_squared_error_averaged_over_rows_and_summed_over_outputs(outputs):
    rng = np.random.default_rng(0)
    a, t = rng.normal(0, 5, (40, outputs)), rng.normal(0, 5, (40, outputs))
    mse = metrics.mean_squared_error(t, a)  # averaged over the outputs as well
    assert L2.value(a, t) == pytest.approx(outputs * mse / 2, rel=1e-12)
    assert L2.score(a, t) == pytest.approx(mse**0.5, rel=1e-12)
    assert L2.score(a, t) == pytest.approx(
        (2 * L2.value(a, t) / outputs) ** 0.5
    )  # the report's "almost half"


@pytest.mark.parametrize("scale", [1, 1000])
def test_nll_is_scikit_learns_log_loss_at_any_scale(scale):
    rng = np.random.default_rng(0)
    z, labels = rng.normal(0, scale, (60, 5)), rng.integers(0, 5, 60)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        loss = NLL.value(z, one_hot(labels, 5))
        gradient = NLL.gradient(z, one_hot(labels, 5))
    assert_allclose(gradient, (special.softmax(z, axis=1) - np.eye(5)[labels]) / 60, atol=1e-15)
    assert loss == pytest.approx(
        -special.log_softmax(z, axis=1)[np.arange(60), labels].mean(), rel=1e-12
    )
    assert NLL.score(z, one_hot(labels, 5)) == metrics.accuracy_score(labels, z.argmax(axis=1))
    if scale == 1:
        assert loss == pytest.approx(
            metrics.log_loss(labels, special.softmax(z, axis=1), labels=range(5)), rel=1e-9
        )


def test_nll_takes_shares_of_classes_and_the_first_of_equal_outputs():
    rng = np.random.default_rng(0)
    z, shares = rng.normal(size=(30, 4)), rng.dirichlet(np.ones(4), 30)
    expected = -(shares * special.log_softmax(z, axis=1)).sum(axis=1).mean()
    assert NLL.value(z, NLL.encode(shares, 4)) == pytest.approx(expected, rel=1e-12)
    z = np.array([[0, 0, 0], [0, 0, 0], [1, 2, 2], [1, 2, 2]], np.float32)
    assert NLL.score(z, one_hot([0, 1, 1, 2], 3)) == 0.5
    assert NLL.predict(z).tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("outputs", [1, 3])
def test_the_logistic_loss_is_scikit_learns_log_loss(outputs):
    rng = np.random.default_rng(0)
    z, t = rng.normal(0, 2, (50, outputs)), rng.integers(0, 2, (50, outputs))
    each = [
        metrics.log_loss(t[:, j], special.expit(z[:, j]), labels=[0, 1]) for j in range(outputs)
    ]
    assert LOGISTIC.value(z, t.astype(float)) == pytest.approx(sum(each), rel=1e-9)
    assert LOGISTIC.score(z, t) == np.mean((z > 0) == t)
    predicted = LOGISTIC.predict(special.expit(z))
    assert_array_equal(predicted, (z > 0)[:, 0] if outputs == 1 else z > 0)


def test_the_logistic_loss_of_huge_sums_and_of_an_even_chance_is_exact():
    z, t = np.array([[1000.0], [-1000], [1000], [-1000]]), np.array([[1.0], [0], [0], [1]])
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        assert (LOGISTIC.value(z, t), LOGISTIC.score(z, t)) == (500, 0.5)
        assert LOGISTIC.gradient(z, t).ravel().tolist() == [0, 0, 0.25, -0.25]
    assert LOGISTIC.predict(np.full((4, 1), 0.5)).tolist() == [0, 0, 0, 0]
    assert (
        LOGISTIC.score(np.zeros((4, 1)), np.array([[0.0], [0], [0], [1]])) == 0.75
    )  # counted as it is predicted


def test_one_hot():
    assert one_hot([2, 0, 1], 3).tolist() == [[0, 0, 1], [1, 0, 0], [0, 1, 0]]
    assert one_hot([True, False], 2).tolist() == [[0, 1], [1, 0]]
    assert one_hot([], 3).shape == (0, 3)


@pytest.mark.parametrize(
    ("loss", "y", "message"),
    [
        (L2, [1, 2], r"y must have shape \(n, 3\), not \(2,\)"),
        (L2, [[1, 2, np.nan]], "y must be finite"),
        (NLL, ["no", "yes"], "y must hold real numbers, not <U3"),
        (NLL, np.ma.masked_equal([0, 1], 1), "y must not hold masked values"),
        (NLL, [[0], [1]], r"class codes \(n,\), or rows \(n, 3\) .*; it has shape \(2, 1\)"),
        (NLL, [0, 3], "whole numbers from 0 to 2, one of 3 classes"),
        (NLL, [0.5, 1], "whole numbers from 0 to 2, one of 3 classes"),
        (NLL, [[1, 1, 0]], "one-hot rows"),
        (NLL, [[2, -1, 0]], "one-hot rows"),
        (LOGISTIC, [[0, 1, 2]], "y must lie between 0 and 1"),
        (LOGISTIC, [[0, 1, -0.1]], "y must lie between 0 and 1"),
    ],
)
def test_bad_targets_are_named(loss, y, message):
    with pytest.raises(ValueError, match=message):
        loss.encode(y, 3)
