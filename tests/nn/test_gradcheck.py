"""backward() against central differences, for every activation with every loss; and that the check can fail."""

import numpy as np
import pytest

from hw1lib.nn.activations import ACTIVATIONS, Sigmoid
from hw1lib.nn.gradcheck import gradcheck, numerical_gradient
from hw1lib.nn.initializers import Random, Zero
from hw1lib.nn.losses import LOSSES
from hw1lib.nn.network import Network

PAIRS = [(name, f) for name, loss in LOSSES.items() for f in ACTIVATIONS if loss.built_in in (None, f)]


def network(activation, output, loss, outputs=3, dtype=np.float64, seed=0):
    config = {"layers": [4, 5, 3, outputs], "activation": activation, "output_activation": output, "loss": loss}
    net = Network(config, Random(0.7), seed, dtype)
    for b in net.biases:  # a bias of 0 could hide a missing one, and leaves a layer after a dead ReLU at its kink
        b[...] = np.random.default_rng(seed).normal(0, 0.5, b.shape)
    return net


def batch(loss, m, outputs, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(m, 4))
    if loss == "l2":
        return X, rng.normal(size=(m, outputs))
    return X, rng.integers(0, outputs, m) if loss == "nll" else rng.integers(0, 2, (m, outputs))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(("loss", "output"), PAIRS)
def test_gradients_are_those_of_the_loss(activation, loss, output):
    for outputs in (1, 3, 5):
        for m in (1, 7, 128):
            net, (X, y) = network(activation, output, loss, outputs), batch(loss, m, outputs)
            for weight_decay in (0, 0.3):
                error = gradcheck(net, X, y, weight_decay)
                assert error < 1e-6, f"{outputs} outputs, {m} rows, weight decay {weight_decay}"


def test_the_gradient_is_not_nothing():
    net, (X, y) = network("tanh", "identity", "l2"), batch("l2", 7, 3)
    assert (np.abs(numerical_gradient(net, X, y)) > 1e-4).mean() > 0.9
    net.forward(X)
    gradient = net.backward(y)
    np.testing.assert_allclose(gradient, numerical_gradient(net, X, y), rtol=1e-6, atol=1e-9)


def test_a_wrong_gradient_is_found(monkeypatch):
    net, (X, y) = network("sigmoid", "identity", "l2"), batch("l2", 7, 3)
    assert gradcheck(net, X, y) < 1e-8
    monkeypatch.setattr(Sigmoid, "derivative", lambda self, a: a * (1.01 - a))
    assert gradcheck(net, X, y) > 1e-3
    near = net.forward(X) + 1e-6 * y
    assert gradcheck(net, X, near) > 1e-3  # also where the gradient is small


def test_the_error_is_relative(monkeypatch):
    net, (X, y) = network("sigmoid", "identity", "l2"), batch("l2", 7, 3)
    y = y * 1e3
    assert gradcheck(net, X, y) < 1e-6
    monkeypatch.setattr(Sigmoid, "derivative", lambda self, a: a * (3 - a))
    net.forward(X)
    wrong, right = net.backward(y), numerical_gradient(net, X, y)
    norm = np.linalg.norm
    assert gradcheck(net, X, y) == pytest.approx(norm(wrong - right) / (norm(wrong) + norm(right)), rel=1e-6)


def test_two_gradients_of_nothing_are_equal():
    config = {"layers": [2, 3, 1], "activation": "tanh", "output_activation": "identity", "loss": "l2"}
    assert gradcheck(Network(config, Zero(), dtype=np.float64), np.ones((4, 2)), np.zeros(4)) == 0


def test_the_network_is_left_as_it_was():
    net, (X, y) = network("tanh", "softmax", "nll"), batch("nll", 7, 3)
    before = net.parameters.copy()
    gradcheck(net, X, y)
    np.testing.assert_array_equal(net.parameters, before)


def test_float32_rounds_off_too_early():
    net, (X, y) = network("tanh", "identity", "l2", dtype=np.float32), batch("l2", 7, 3)
    with pytest.raises(ValueError, match="needs a network with dtype"):
        gradcheck(net, X, y)
