"""What a reader writes works wherever the named parts do; files refuse it in plain words.

The first two examples stand in CONTRIBUTING.
"""

import copy
import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit
from sklearn.base import clone

from hw1lib import nn
from hw1lib.nn.estimators import NetworkClassifier, NetworkRegressor


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


class ELU(nn.Activation):
    def __call__(self, z):
        return np.where(z > 0, z, np.expm1(np.minimum(z, 0)))

    def derivative(self, z, a):
        return np.where(z > 0, np.float64(1), a + 1)  # float64 also for float32: it need not matter


class Swish(nn.Activation):
    def __call__(self, z):
        return z * expit(z)

    def derivative(self, z, a):
        return a + expit(z) * (1 - a)


class Huber(nn.Loss):
    def value(self, o, t):
        e = np.abs(o - t)
        return np.where(e < 1, e * e / 2, e - 0.5).sum() / len(t)

    def gradient(self, o, t):
        return np.clip(o - t, -1, 1) / len(t)


OWN = {"activation": ELU(), "output_activation": "identity", "loss": Huber()}
DENSE = {"layers": [6, 5, Scale(5), 3, 1], **OWN}
PICTURES = {"picture": [2, 9, 7], "filters": [3], "hidden": [Scale(36), 4], "outputs": 1, **OWN}


@pytest.mark.parametrize("config", [DENSE, PICTURES])
@pytest.mark.parametrize("activation", [ELU(), Swish()])
def test_gradients_are_those_of_the_loss(network, batch, config, activation):
    config = {**config, "activation": activation}
    for output in (activation, "tanh", "softmax"):
        config = {**config, "output_activation": output}
        assert nn.gradcheck(network(config), *batch(config, 9), weight_decay=0.1) < 1e-6


@pytest.mark.parametrize("config", [DENSE, PICTURES])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_they_train_in_a_network(network, batch, fit, config, dtype):
    net, (X, y) = network(config, dtype), batch(config)
    before = net.evaluate(X, y)[0]
    history = net.fit(X, y, (X, y), 50, 16, 0.02, weight_decay=1e-3, progress=False)
    assert net.evaluate(X, y)[0] < 0.5 * before
    assert net.parameters.dtype == dtype
    json.dumps(history.train_loss + history.validation_loss)  # plain numbers
    scale = next(layer for layer in net.layers if isinstance(layer, Scale))
    assert np.abs(scale.gamma - 1).max() > 1e-3
    outputs = net.outputs(X)
    other = nn.Network(config)  # the same description, another network
    assert_array_equal(net.outputs(X), outputs)
    assert all((layer.gamma == 1).all() for layer in other.layers if isinstance(layer, Scale))


def test_only_what_decays_is_made_smaller(network, batch, fit):
    net, (X, _) = nn.Network(DENSE, "zero", dtype=np.float64), batch(DENSE)
    fit(net, X, np.zeros(len(X)), weight_decay=1.0)
    assert (net.layers[2].gamma == 1).all()


class CountsBatches(nn.Layer):
    """Like batch norm's running means: something that changes in training alone."""

    batches = 0

    def forward(self, A, training=False):
        self.batches += training
        return A, lambda delta: delta


def test_a_layer_knows_whether_it_trains_and_keeps_what_it_learned(network, batch, fit):
    parts = {**OWN, "layers": [6, nn.Dense(6, 4), CountsBatches(), nn.Apply(ELU()), nn.Dense(4, 1)]}
    net, (X, y) = network(parts), batch(parts)
    net.predict(X), net.evaluate(X, y), net.forward(X)
    fit(net, X, y, validation=(X, y))
    assert net.layers[1].batches == 2 * 4  # epochs times batches of 16
    for twin in (copy.copy(net), copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert twin.layers[1].batches == 8
        assert_array_equal(twin.outputs(X), net.outputs(X))
    plain = network({**OWN, "layers": [6, 4, 1]})
    plain.parameters[...] = net.parameters
    assert_allclose(plain.outputs(X), net.outputs(X))


def test_a_network_may_begin_with_a_layer_that_learns_nothing(network, batch, fit):
    config = {**OWN, "layers": [6, CountsBatches(), 4, 1]}
    net, (X, y) = network(config), batch(config)
    assert nn.gradcheck(net, X, y) < 1e-6
    fit(net, X, y)


def test_they_train_in_the_estimators(batch):
    X, y = batch(DENSE, 200)
    settings = {"learning_rate": 0.02, "epochs": 100, "batch_size": 16, "random_state": 0}
    model = NetworkRegressor((16,), ELU(), Huber(), nn.He(), **settings)
    assert clone(model).fit(X, y).score(X, y) > 0.8
    classifier = NetworkClassifier((16,), ELU(), Huber(), **settings)
    assert classifier.fit(X, y > 1).score(X, y > 1) > 0.8


def test_those_of_a_notebook_reach_other_processes(network):
    cloudpickle = pytest.importorskip("cloudpickle")
    net = network(DENSE)
    code = "import pickle, sys; print(pickle.load(sys.stdin.buffer).outputs([[1] * 6]).tolist())"
    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # like classes of a cell
    try:
        data = cloudpickle.dumps(net)
    finally:
        cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
    done = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True)
    assert json.loads(done.stdout) == net.outputs([[1] * 6]).tolist(), done.stderr


class Nothing(nn.Loss):
    """A loss without methods; the tests below give it some."""


@pytest.mark.parametrize(
    ("value", "gradient", "shapes"),
    [
        (lambda o, t: np.sum(o - t, axis=1), lambda o, t: o - t, r"not \(\(50,\), \(50, 1\)\)"),
        (lambda o, t: 0.0, lambda o, t: np.mean(o - t, axis=0), r"not \(\(\), \(1,\)\)"),
    ],
)
def test_a_loss_of_other_shapes_is_named_before_a_step(
    network, batch, value, gradient, shapes, monkeypatch
):
    monkeypatch.setattr(Nothing, "value", staticmethod(value))
    monkeypatch.setattr(Nothing, "gradient", staticmethod(gradient))
    net, (X, y) = network({**DENSE, "loss": Nothing()}), batch(DENSE)
    before = net.parameters.copy()
    net.forward(X)
    for use in (lambda: net.backward(y), lambda: net.fit(X, y, progress=False)):
        with pytest.raises(ValueError, match=rf"of Nothing\(\) must have the shapes .*, {shapes}"):
            use()
    assert_array_equal(net.parameters, before)


def test_what_is_missing_is_named(batch, monkeypatch):
    class Step(nn.Activation):
        def __call__(self, z):
            return np.sign(z)

    for change, missing in (
        ({"activation": Step()}, "Step needs a method derivative"),
        ({"activation": nn.Activation()}, "Activation needs a method __call__"),
        ({"loss": Nothing()}, "Nothing needs a method value"),
        ({"layers": [6, nn.Layer(), 1]}, "Layer needs forward"),
    ):
        with pytest.raises(NotImplementedError, match=missing):
            nn.Network({**DENSE, **change}).fit(*batch(DENSE), progress=False)
    monkeypatch.setattr(Nothing, "output_activation", "swish")
    with pytest.raises(ValueError, match=r"output_activation, if not None, must be one of leaky_"):
        nn.Network({**DENSE, "loss": Nothing()})


def test_files_refuse_them(tmp_path, batch):
    named = {"activation": "tanh", "output_activation": "identity", "loss": "l2", "layers": [6, 1]}
    for change in ({"activation": ELU()}, {"loss": Huber()}, {"layers": [6, 5, Scale(5), 1]}):
        thing = r"config holds the object (ELU|Huber|Scale)\(\)"
        with pytest.raises(ValueError, match=f"a file holds names and numbers; {thing}"):
            nn.Network({**named, **change}).save(tmp_path / "net.npz")
    model = NetworkRegressor((3,), ELU(), epochs=1).fit(*batch(DENSE))
    with pytest.raises(ValueError, match=r"config holds the object ELU\(\)"):
        model.save(tmp_path / "model.npz")
    pytest.importorskip("onnx")

    class Steeper(nn.LeakyReLU):  # not the operator that its parent is
        def __call__(self, z):
            return 2 * super().__call__(z)

    for change in ({"output_activation": Steeper()}, {"layers": [6, Scale(6), 1]}):
        with pytest.raises(ValueError, match=r"(Scale|Steeper)\(\) has no ONNX operator"):
            nn.Network({**named, **change}).to_onnx(tmp_path / "net.onnx")
    assert list(tmp_path.iterdir()) == []
