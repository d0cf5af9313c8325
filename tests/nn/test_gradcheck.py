"""backward() against central differences, for every activation with every loss, and against PyTorch."""

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


def test_the_gradient_is_the_mean_losses_alone_after_backward_and_after_fit():
    net, (X, y) = network("tanh", "identity", "l2"), batch("l2", 50, 3)
    expected = numerical_gradient(net, X, y)
    penalty = numerical_gradient(net, X, y, weight_decay=0.3) - expected
    assert np.abs(penalty).max() > 0.1
    net.forward(X)
    np.testing.assert_allclose(net.backward(y, weight_decay=0.3), expected + penalty, atol=1e-8)
    np.testing.assert_allclose(net.gradient, expected, atol=1e-8)
    net.gradient[...] = 0
    net.fit(X, y, epochs=1, batch_size=50, weight_decay=0.3, progress=False)
    np.testing.assert_allclose(net.gradient, expected, atol=1e-8)
    parts = [part.ravel() for pair in zip(net.weight_gradients, net.bias_gradients, strict=True) for part in pair]
    np.testing.assert_array_equal(np.concatenate(parts), net.gradient)  # layer by layer, weights and biases


@pytest.mark.parametrize("activation", ["leaky_relu", "relu", "tanh", "sigmoid"])
@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_and_losses_are_pytorchs(activation, loss):
    torch = pytest.importorskip("torch")
    net = network(activation, LOSSES[loss].built_in or "identity", loss)
    X, y = batch(loss, 50, 3)
    net.forward(X)
    gradient = net.backward(y)
    parts = [torch.tensor(p, requires_grad=True) for pair in zip(net.weights, net.biases, strict=True) for p in pair]
    a, t = torch.tensor(X), torch.tensor(y)
    for W, b in zip(parts[::2], parts[1::2], strict=True):
        z = a @ W + b
        a = getattr(torch.nn, type(net.activation).__name__)()(z)
    functional = torch.nn.functional
    theirs = {
        "l2": lambda: ((z - t) ** 2).sum() / (2 * len(t)),
        "nll": lambda: functional.cross_entropy(z, t),
        "logistic": lambda: functional.binary_cross_entropy_with_logits(z, t.double(), reduction="sum") / len(t),
    }[loss]()
    theirs.backward()
    expected = np.concatenate([part.grad.numpy().ravel() for part in parts])
    np.testing.assert_allclose(gradient, expected, rtol=1e-9, atol=1e-14)
    assert net.evaluate(X, y)[0] == pytest.approx(theirs.item(), rel=1e-12)
