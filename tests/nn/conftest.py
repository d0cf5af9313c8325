"""What the tests of networks share: six descriptions of networks, and their data."""

import copy

import numpy as np
import pytest

from hw1lib import nn

PARTS = {
    "age": {"activation": "leaky_relu", "output_activation": "identity", "loss": "l2"},
    "race": {"activation": "tanh", "output_activation": "softmax", "loss": "nll"},
    "gender": {"activation": "leaky_relu", "output_activation": "sigmoid", "loss": "logistic"},
}
SIZES = {
    "age": {"layers": [6, 5, 1]},
    "race": {"layers": [6, 5, 3]},
    "gender": {"layers": [6, 5, 4, 2]},
    "age of pictures": {"picture": [2, 9, 7], "filters": [3, 4], "hidden": [5], "outputs": 1},
    "race of pictures": {"picture": [2, 9, 7], "filters": [3], "hidden": [], "outputs": 3},
    "gender of pictures": {"picture": [2, 9, 7], "filters": [3, 4], "hidden": [4, 3], "outputs": 2},
}
CONFIGS = {name: {**sizes, **PARTS[name.split()[0]]} for name, sizes in SIZES.items()}


@pytest.fixture
def configs():
    """Return all six by name."""
    return copy.deepcopy(CONFIGS)


@pytest.fixture(params=CONFIGS)
def config(request):
    """Go through all six."""
    return copy.deepcopy(CONFIGS[request.param])


@pytest.fixture(params=["age", "age of pictures"])
def age(request):
    """Go through one of each kind."""
    return copy.deepcopy(CONFIGS[request.param])


@pytest.fixture(scope="session")
def network():
    """Return a function that makes a network with biases: 0 could hide a missing one."""

    def make(config, dtype=np.float64, seed=0, cls=nn.Network):
        net = cls(config, nn.Random(0.5), seed, dtype)
        for b in net.biases:
            b[...] = np.random.default_rng(seed).normal(0, 0.5, b.shape)
        return net

    return make


@pytest.fixture(scope="session")
def batch():
    """Return a function that makes inputs, and targets that depend on them, for a description."""

    def make(config, n=50, seed=0):
        rng = np.random.default_rng(seed)
        shape = config["picture"] if "picture" in config else config["layers"][:1]
        X = rng.normal(size=(n, *shape))
        signal = X.reshape(n, -1)[:, 0] - X.reshape(n, -1)[:, 1] + 0.3 * rng.normal(size=n)
        if config["loss"] == "nll":
            return X, np.digitize(signal, [-0.5, 0.5])
        if config["loss"] == "logistic":
            return X, np.stack([signal > 0, signal < 1], axis=1).astype(int)
        return X, 1 + signal

    return make


@pytest.fixture(scope="session")
def fit():
    """Return a function that trains a network for a short while, and returns it."""

    def train(net, X, y, **settings):
        short = {"epochs": 2, "batch_size": 16, "learning_rate": 0.01, "progress": False}
        net.fit(X, y, **short | settings)
        return net

    return train


@pytest.fixture(scope="session")
def torch():
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    return torch
