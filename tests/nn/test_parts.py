"""Activations (derivatives: test_gradcheck.py), initialisers and learning rates."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from hw1lib import nn
from hw1lib.nn.initializers import as_initializer
from hw1lib.nn.schedules import as_schedule


@pytest.mark.parametrize("name", nn.ACTIVATIONS)
def test_activations_and_their_chain_rule_are_pytorchs(name, torch):
    f = nn.ACTIVATIONS[name]
    dim = {"dim": 1} if name == "softmax" else {}
    z, grad = np.random.default_rng(0).normal(0, 2, (2, 20, 5))
    z[0, 0] = 0  # the kink of the ReLUs
    leaf = torch.tensor(z, requires_grad=True)
    output = getattr(torch.nn, type(f).__name__)(**dim)(leaf)
    output.backward(torch.tensor(grad))
    a = f(z)
    assert_allclose(a, output.detach().numpy(), rtol=1e-12)
    assert_allclose(f.backward(grad, z, a), leaf.grad.numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", nn.ACTIVATIONS)
def test_float32_stays_and_activations_are_new_arrays(name):
    z = np.random.default_rng(0).normal(0, 3, (50, 4)).astype(np.float32)
    before, a = z.copy(), nn.ACTIVATIONS[name](z)
    assert a.dtype == nn.ACTIVATIONS[name].backward(z, z, a).dtype == np.float32
    a[...] = 7  # the caller's to change
    assert_array_equal(z, before)


def test_derivatives_at_the_kink_are_those_on_the_left():
    zeros = np.array([0.0, -0.0])
    assert nn.ReLU().derivative(zeros, zeros).tolist() == [0, 0]
    assert nn.LeakyReLU().derivative(zeros, zeros).tolist() == [0.01, 0.01]
    steep = nn.LeakyReLU()
    steep.slope = 0.5
    assert steep.derivative(zeros, zeros).tolist() == [0.5, 0.5]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softmax_and_sigmoid_of_huge_sums_are_exact(dtype):
    e = math.e
    z = np.array([[1000, -1000, 0], [-1000, -1000, -1000], [1000, 1000, 999]], dtype)
    with np.errstate(all="raise"):
        a = nn.Softmax()(z)
        assert_allclose(a, [[1, 0, 0], [1 / 3] * 3, np.array([e, e, 1]) / (2 * e + 1)], rtol=1e-6)
        assert nn.NLL().value(np.array([[0.0, -800.0]]), np.array([[1.0, 0.0]])) == 0
    assert nn.Sigmoid()(np.array([-1e4, 0, 1e4], dtype)).tolist() == [0, 0.5, 1]


WIDTHS = {nn.Random(2): 2, nn.Xavier(): (2 / 1000) ** 0.5, nn.He(): (2 / 300) ** 0.5, nn.Zero(): 0}


@pytest.mark.parametrize("initializer", WIDTHS)
def test_weights_are_normal_with_the_width_of_the_paper(initializer):
    W, std = initializer(300, 700, np.random.default_rng(0)), WIDTHS[initializer]
    assert W.shape == (300, 700)
    assert W.std() == pytest.approx(std, rel=0.01)
    assert abs(W.mean()) <= 0.01 * std
    # of a uniform distribution 1.8
    assert np.mean(W**4) == pytest.approx(3 * std**4, rel=0.03)


def test_learning_rates_by_hand():
    assert [nn.Constant(0.3)(epoch) for epoch in (0, 9999)] == [0.3] * 2
    halves = nn.StepDecay(0.8, drop=0.5, every=10)
    assert [halves(epoch) for epoch in (39, 20, 19, 10, 9)] == [0.1, 0.2, 0.4, 0.4, 0.8]
    assert nn.ExponentialDecay(2.0, decay=0.5)(3) == 0.25
    assert nn.InverseTimeDecay(1.0, decay=0.5)(6) == 0.25


def test_names_and_numbers_stand_for_objects_that_compare_and_show_themselves():
    assert as_initializer("random") == nn.Random(np.float64(0.1))
    assert repr(nn.Random(np.float64(0.1))) == "Random(sigma=0.1)"
    assert as_schedule(np.float32(0.25)) == nn.Constant(0.25)
    decay = nn.StepDecay(np.float64(0.1), every=np.int64(3))
    assert repr(decay) == "StepDecay(rate=0.1, drop=0.5, every=3)"
    assert as_initializer(round) is as_schedule(round) is round  # any function


@pytest.mark.parametrize(
    ("use", "word"),
    [
        *[(lambda bad=bad: as_initializer(bad), "xavier, he") for bad in ("large", nn.Xavier, 0.1)],
        *[(lambda bad=bad: as_schedule(bad), "> 0") for bad in (nn.StepDecay, None, 0, np.nan)],
        (lambda: nn.Random(-0.1), "sigma must be"),
        (lambda: nn.StepDecay(0.1, every=0), "every must be"),
    ],
)
def test_what_cannot_be_used_is_named(use, word):
    with pytest.raises(ValueError, match=word):
        use()
