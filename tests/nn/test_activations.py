"""Activations against PyTorch; central differences are in test_gradcheck.py."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from hw1lib import nn
from hw1lib.nn.activations import ACTIVATIONS


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_types_stay_and_results_are_new_arrays(name, dtype):
    z = np.random.default_rng(0).normal(0, 3, (50, 4)).astype(dtype)
    before = z.copy()
    a = ACTIVATIONS[name](z)
    assert a.dtype == ACTIVATIONS[name].backward(z, z, a).dtype == dtype
    a[...] = 7  # the caller's to change
    assert_array_equal(z, before)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_and_their_chain_rule_agree_with_pytorch(name, torch):
    theirs = getattr(torch.nn, type(ACTIVATIONS[name]).__name__)(
        **({"dim": 1} if name == "softmax" else {})
    )
    z, grad = np.random.default_rng(0).normal(0, 2, (2, 20, 5))
    z[0, 0] = 0  # the kink of the ReLUs
    leaf = torch.tensor(z, requires_grad=True)
    output = theirs(leaf)
    output.backward(torch.tensor(grad))
    a = ACTIVATIONS[name](z)
    assert_allclose(a, output.detach().numpy(), rtol=1e-12)
    assert_allclose(
        ACTIVATIONS[name].backward(grad, z, a), leaf.grad.numpy(), rtol=1e-9, atol=1e-12
    )


def test_derivatives_at_the_kink_are_those_on_the_left():
    zeros = np.array([0.0, -0.0])
    assert (ACTIVATIONS["leaky_relu"].derivative(zeros, zeros) == 0.01).all()
    assert (ACTIVATIONS["relu"].derivative(zeros, zeros) == 0).all()
    for dtype in (np.float32, np.float64):  # 1 and the slope exactly, not nearly
        z = np.array([-3, 3], dtype)
        slopes = ACTIVATIONS["leaky_relu"].derivative(z, None)
        assert slopes.tolist() == [dtype(0.01), 1]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softmax_and_sigmoid_of_huge_sums_and_of_one_row_of_whole_numbers_are_exact(dtype):
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        a = ACTIVATIONS["softmax"](
            np.array([[1000, -1000, 0], [-1000, -1000, -1000], [1000, 1000, 999]], dtype)
        )
        e = math.e
        assert_allclose(a, [[1, 0, 0], [1 / 3] * 3, np.array([e, e, 1]) / (2 * e + 1)], rtol=1e-6)
        assert ACTIVATIONS["sigmoid"](np.array([-1e4, 0, 1e4], dtype)).tolist() == [0, 0.5, 1]
        assert_allclose(
            ACTIVATIONS["softmax"](np.array([1, 1, 0])), np.array([e, e, 1]) / (2 * e + 1)
        )


def test_softmax_of_far_apart_logits_is_no_floating_point_error():
    with np.errstate(all="raise"):
        assert np.array_equal(nn.Softmax()([[0.0, -800.0]]), [[1, 0]])
        assert nn.NLL().value(np.array([[0.0, -800.0]]), np.array([[1.0, 0.0]])) == 0
