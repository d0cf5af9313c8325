"""What a reader writes works where the examples in CONTRIBUTING don't show it; files refuse it."""

import copy
import json
import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from hw1lib import nn


class Scale(nn.Layer):
    """Multiplies each unit by a number of its own."""

    def __init__(self, units):
        self.shapes = {"gamma": (units,)}

    def initialize(self, draw):
        self.gamma[...] = 1

    def forward(self, A, training=False):
        def backward(delta):  # dL/d(outputs), (m, units)
            self.dgamma[...] = (delta * A).sum(axis=0)
            return delta * self.gamma

        return A * self.gamma, backward


class Doubles(nn.Layer):
    """Returns float64, whatever it gets."""

    def forward(self, A, training=False):
        twice = np.full(A.shape[1:], 2.0)
        return A * twice, lambda delta: delta * twice


class ELU(nn.Activation):
    def __call__(self, z):
        return np.where(z > 0, z, np.expm1(np.minimum(z, 0)))

    def derivative(self, z, a):
        return np.where(z > 0, np.float64(1), a + 1)  # float64 also for float32: it need not matter


class Huber(nn.Loss):
    def value(self, o, t):
        e = np.abs(o - t)
        return np.where(e < 1, e * e / 2, e - 0.5).sum() / len(t)

    def gradient(self, o, t):
        return np.clip(o - t, -1, 1) / len(t)


OWN = {"activation": ELU(), "output_activation": "identity", "loss": Huber()}
DENSE = {"layers": [6, 5, Scale(5), 3, 1], **OWN}
PICTURES = {"picture": [2, 5, 4], "filters": [nn.Conv(2, 4), 3], "hidden": [Scale(12), 4]}
PICTURES |= {"outputs": 1, **OWN}


@pytest.mark.parametrize("config", [DENSE, PICTURES])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_they_train_in_a_network(network, batch, config, dtype):
    net, (X, y) = network(config, dtype), batch(config)
    if dtype == np.float64:
        for output in (ELU(), "softmax"):
            twin = network({**config, "output_activation": output})
            assert nn.gradcheck(twin, X[:9], y[:9], weight_decay=0.1) < 1e-6
    before = net.evaluate(X, y)[0]
    history = net.fit(X, y, (X, y), 50, 16, 0.02, weight_decay=1e-3, progress=False)
    assert net.evaluate(X, y)[0] < 0.5 * before
    assert net.parameters.dtype == dtype
    json.dumps(history.train_loss + history.validation_loss)  # plain numbers
    scale = next(layer for layer in net.layers if isinstance(layer, Scale))
    assert np.abs(scale.gamma - 1).max() > 1e-3
    other = nn.Network(config)  # the same description, another network
    assert not set(net.layers) & set(other.layers)


class CountsBatches(nn.Layer):
    """Like batch norm's running means: something that changes in training alone."""

    batches = 0

    def forward(self, A, training=False):
        self.batches += training
        return A, lambda delta: delta


def test_a_layer_knows_whether_it_trains_and_keeps_what_it_learned(network, batch, fit):
    parts = {**OWN, "layers": [6, CountsBatches(), nn.Dense(6, 4), nn.Apply(ELU()), 1]}
    net, (X, y) = network(parts), batch(parts)
    net.predict(X), net.evaluate(X, y), net.forward(X)
    fit(net, X, y, validation=(X, y))
    assert net.layers[0].batches == 2 * 4  # epochs times batches of 16
    for twin in (copy.copy(net), copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert twin.layers[0].batches == 8
        assert_array_equal(twin.outputs(X), net.outputs(X))
    plain = network({**OWN, "layers": [6, 4, 1]})
    plain.parameters[...] = net.parameters
    assert_allclose(plain.outputs(X), net.outputs(X))


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        ({"activation": nn.Activation()}, "Activation needs a method __call__"),
        ({"loss": nn.Loss()}, "Loss needs a method gradient"),
        ({"layers": [6, nn.Layer(), 1]}, "Layer needs forward"),
    ],
)
def test_what_is_missing_is_named(batch, change, missing):
    with pytest.raises(NotImplementedError, match=missing):
        nn.Network({**DENSE, **change}).fit(*batch(DENSE), progress=False)


class Steeper(nn.LeakyReLU):
    """Not the operator that its parent is."""


def test_files_refuse_them(tmp_path):
    named = {"activation": "tanh", "output_activation": "identity", "loss": "l2", "layers": [6, 1]}
    for change in ({"activation": ELU()}, {"loss": Huber()}, {"layers": [6, 5, Scale(5), 1]}):
        with pytest.raises(ValueError, match=r"holds the object (ELU|Huber|Scale)\(\)"):
            nn.Network({**named, **change}).save(tmp_path / "net.npz")
    pytest.importorskip("onnx")
    for change in ({"output_activation": Steeper()}, {"layers": [6, Scale(6), 1]}):
        with pytest.raises(ValueError, match=r"(Scale|Steeper)\(\) has no ONNX operator"):
            nn.Network({**named, **change}).to_onnx(tmp_path / "net.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_layer_may_return_float64(batch, fit):
    config = {**OWN, "layers": [6, 5, Doubles(), 3, Doubles(), 1]}
    net = fit(nn.Network(config), *batch(config))
    assert net.outputs(np.ones((2, 6))).dtype == np.float32


def test_an_attribute_of_a_layer_is_no_parameter():
    layer = Doubles()
    layer.b = 3
    net = nn.Network({**OWN, "layers": [6, 5, layer, 1]})
    assert [b.shape for b in net.biases] == [(5,), (1,)]
