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
    a, t = np.random.default_rng(0).normal(0, 5, (2, 40, outputs))
    mse = metrics.mean_squared_error(t, a)  # averaged over the outputs as well
    assert L2.value(a, t) == pytest.approx(outputs * mse / 2, rel=1e-12)
    assert L2.score(a, t) == pytest.approx(mse**0.5, rel=1e-12)


@pytest.mark.parametrize("scale", [1, 1000])
def test_nll_is_that_of_scipy_and_scikit_learn_at_any_scale(scale):
    rng = np.random.default_rng(0)
    z, shares = rng.normal(0, scale, (60, 5)), rng.dirichlet(np.ones(5), 60)
    labels = rng.integers(0, 5, 60)
    T = one_hot(labels, 5)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        loss, gradient = NLL.value(z, T), NLL.gradient(z, T)
    assert_allclose(gradient, (special.softmax(z, axis=1) - np.eye(5)[labels]) / 60, atol=1e-15)
    logs = special.log_softmax(z, axis=1)
    assert loss == pytest.approx(-logs[np.arange(60), labels].mean(), rel=1e-12)
    expected = -(shares * logs).sum(axis=1).mean()
    assert NLL.value(z, NLL.encode(shares, 5)) == pytest.approx(expected, rel=1e-12)
    assert NLL.score(z, T) == metrics.accuracy_score(labels, z.argmax(axis=1))


@pytest.mark.parametrize("outputs", [1, 3])
def test_the_logistic_loss_is_scikit_learns_log_loss(outputs):
    rng = np.random.default_rng(0)
    z, t = rng.normal(0, 2, (50, outputs)), rng.integers(0, 2, (50, outputs))
    a = special.expit(z)
    each = [metrics.log_loss(t[:, j], a[:, j], labels=[0, 1]) for j in range(outputs)]
    assert LOGISTIC.value(z, t.astype(float)) == pytest.approx(sum(each), rel=1e-9)
    assert LOGISTIC.score(z, t) == np.mean((z > 0) == t)
    assert_array_equal(LOGISTIC.predict(a), (z > 0)[:, 0] if outputs == 1 else z > 0)


def test_the_logistic_loss_of_huge_sums_and_of_an_even_chance_is_exact():
    z, t = np.array([[1000.0], [-1000], [1000], [-1000]]), np.array([[1.0], [0], [0], [1]])
    with np.errstate(all="raise"):
        assert (LOGISTIC.value(z, t), LOGISTIC.score(z, t)) == (500, 0.5)
        assert LOGISTIC.gradient(z, t).ravel().tolist() == [0, 0, 0.25, -0.25]
    assert LOGISTIC.predict(np.full((1, 1), 0.5)).tolist() == [0]
    assert LOGISTIC.score(np.zeros((1, 1)), np.zeros((1, 1))) == 1  # counted as it is predicted


def test_one_hot():
    assert one_hot([2, 0, 1], 3).tolist() == [[0, 0, 1], [1, 0, 0], [0, 1, 0]]
    assert one_hot([True, False], 2).tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize(
    ("loss", "y", "word"),
    [
        (L2, [1, 2], r"shape \(n, 3\), not \(2,\)"),
        (NLL, ["no", "yes"], "whole numbers from 0"),
        (NLL, [[0], [1]], r"rows \(n, 3\) .*; it has shape \(2, 1\)"),
        (NLL, [0, 3], "from 0 to 2"),
        (NLL, [0.5, 1], "whole numbers"),
        (NLL, [[1, 1, 0]], "one-hot rows"),
        (NLL, [[2, -1, 0]], "one-hot rows"),
        (LOGISTIC, [[0, 1, 2]], "between 0 and 1"),
        (LOGISTIC, [[0, 1, -0.1]], "between 0 and 1"),
    ],
)
def test_bad_targets_are_named(loss, y, word):
    with pytest.raises(ValueError, match=word):
        loss.encode(y, 3)
