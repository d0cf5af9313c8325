"""Gradients of networks: central differences, PyTorch, and what gradcheck says of kinks."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose

from hw1lib import nn

SIZES = [
    {"layers": [6, 3]},
    {"layers": [6, 5, 4, 3]},
    {"picture": (1, 2, 2), "filters": [1], "hidden": [], "outputs": 3},
    {"picture": (2, 5, 8), "filters": [2, 3], "hidden": [3], "outputs": 3},
]


@pytest.mark.parametrize("activation", nn.ACTIVATIONS)
@pytest.mark.parametrize("loss", nn.LOSSES)
@pytest.mark.parametrize("sizes", SIZES)
def test_gradients_are_those_of_the_loss(network, batch, activation, loss, sizes):
    output = nn.LOSSES[loss].output_activation or activation
    config = {**sizes, "activation": activation, "output_activation": output, "loss": loss}
    net, (X, _) = network(config), batch(config, 7)
    y = np.random.default_rng(0).dirichlet(np.ones(3), 7)  # fits every loss
    assert nn.gradcheck(net, X, y, weight_decay=0.3) < 1e-6


def torch_twin(torch, net):
    """Return the parameters as PyTorch's tensors, and the function to the weighted sums."""
    weights = [torch.tensor(W, requires_grad=True) for W in net.weights]
    biases = [torch.tensor(b, requires_grad=True) for b in net.biases]
    f = getattr(torch.nn, type(net.activation).__name__)()
    functional, n_filters = torch.nn.functional, len(net.config.get("filters", []))

    def weighted_sums(X):
        a = torch.tensor(X)
        for W, b in zip(weights[:n_filters], biases[:n_filters], strict=True):
            a = functional.max_pool2d(f(functional.conv2d(a, W, b, padding=1)), 2)
        a = a.flatten(1)
        for W, b in zip(weights[n_filters:], biases[n_filters:], strict=True):
            z = a @ W + b
            a = f(z)
        return z

    return weights, biases, weighted_sums


def torch_loss(torch, loss, z, y):
    t, functional = torch.tensor(y), torch.nn.functional
    if loss == "l2":
        return ((z[:, 0] - t) ** 2).sum() / (2 * len(t))
    if loss == "nll":
        return functional.cross_entropy(z, t)
    logistic = functional.binary_cross_entropy_with_logits
    return logistic(z, t.double(), reduction="sum") / len(t)


def test_gradients_and_two_steps_are_pytorchs(torch, config, network, batch, fit):
    if "picture" in config:
        config |= {"picture": [3, 13, 10], "filters": [4, 5, 3]}
    net, (X, y) = network(config), batch(config, 20)
    weights, biases, weighted_sums = torch_twin(torch, net)
    net.forward(X)
    net.backward(y, weight_decay=0.5)  # of which the gradient takes no notice
    loss = torch_loss(torch, config["loss"], weighted_sums(X), y)
    loss.backward()
    assert net.evaluate(X, y)[0] == pytest.approx(loss.item(), rel=1e-12)
    ours = net.weight_gradients + net.bias_gradients
    for gradient, tensor in zip(ours, weights + biases, strict=True):
        assert_allclose(gradient, tensor.grad.numpy(), rtol=1e-9, atol=1e-13)
    groups = [{"params": weights, "weight_decay": 0.1}, {"params": biases}]
    optimizer = torch.optim.SGD(groups, lr=0.05, momentum=0.9)
    for _ in range(2):
        optimizer.zero_grad()
        torch_loss(torch, config["loss"], weighted_sums(X), y).backward()
        optimizer.step()
    fit(net, X, y, batch_size=20, learning_rate=0.05, momentum=0.9, weight_decay=0.1)
    for parameter, tensor in zip(net.weights + net.biases, weights + biases, strict=True):
        assert_allclose(parameter, tensor.detach().numpy(), rtol=1e-9, atol=1e-13)


# -- what gradcheck says -------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["relu", "leaky_relu"])
def test_sums_on_a_kink_are_named_and_left_out(configs, batch, activation):
    config = {**configs["gender"], "activation": activation}
    net = nn.Network(config, nn.Random(0.5), 0, np.float64)  # with biases 0
    X, y = batch(config)
    X[:3] = 0  # whose sums are 0 in every layer
    with pytest.warns(UserWarning, match=r"of 69 parameters lie on a kink .*parameters\[\[30 31"):
        assert nn.gradcheck(net, X, y, 0.1) < 1e-6

    class Wrong(type(net.activation)):
        def derivative(self, z, a):
            return 1.01 * super().derivative(z, a)

    net.layers[1].activation = Wrong()
    with pytest.warns(UserWarning, match="lie on a kink"):
        assert nn.gradcheck(net, X, y, 0.1) > 1e-4  # it hides nothing else


def test_equal_cells_of_a_pool_are_a_kink(configs, batch):
    config = {**configs["age of pictures"], "activation": "tanh"}
    net = nn.Network(config, "he", 0, np.float64)
    X, y = batch(config, 9)
    X[:3] = 0
    with pytest.warns(UserWarning, match="lie on a kink"):
        assert nn.gradcheck(net, X, y) < 1e-6
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert nn.gradcheck(net, *batch(config, 9)) < 1e-6


def test_where_nothing_can_be_compared_it_says_so(configs, batch):
    config = {**configs["age"], "layers": [6, 1], "output_activation": "relu"}
    net = nn.Network(config, nn.Zero(), dtype=np.float64)
    X, _ = batch(config)
    with pytest.raises(ValueError, match="7 of 7 parameters lie on a kink"):
        nn.gradcheck(net, X, np.ones(50))
    config["output_activation"] = "identity"
    assert nn.gradcheck(nn.Network(config, nn.Zero(), dtype=np.float64), X, np.zeros(50)) == 0
    with pytest.raises(ValueError, match=r"dtype=np.float64"):
        nn.gradcheck(nn.Network(config), X, np.zeros(50))


def test_a_wrong_backward_is_called_wrong(configs, batch):
    config = {**configs["age"], "activation": "tanh"}
    net = nn.Network(config, nn.Random(0.5), 0, np.float64)

    class Wrong(nn.Tanh):
        def derivative(self, z, a):
            return 1.1 * super().derivative(z, a)

    net.layers[1].activation = Wrong()
    with pytest.warns(UserWarning, match=r"relative error 0\.0\d+: backward is wrong"):
        assert 1e-3 < nn.gradcheck(net, *batch(config)) < 0.1
