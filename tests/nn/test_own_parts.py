"""An activation and a loss that a reader writes work wherever the named ones do; files refuse them in plain words."""

import copy
import json
import pickle
import re
import subprocess
import sys

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import cross_val_score

from hw1lib.nn.activations import ACTIVATIONS, Activation, LeakyReLU
from hw1lib.nn.estimators import NetworkClassifier, NetworkRegressor
from hw1lib.nn.gradcheck import gradcheck
from hw1lib.nn.initializers import He, Random
from hw1lib.nn.losses import L2, Loss
from hw1lib.nn.network import Network


class ELU(Activation):
    def __call__(self, z):
        return np.where(z > 0, z, np.expm1(np.minimum(z, 0)))

    def derivative(self, a):
        return np.where(a > 0, np.float64(1), a + 1)  # float64 also for float32: a reader need not think of it


class Huber(Loss):
    def value(self, o, t):
        e = np.abs(o - t)
        return np.where(e < 1, e * e / 2, e - 0.5).sum() / len(t)  # no plain float either

    def gradient(self, o, t):
        return np.clip(o - t, -1, 1) / np.sqrt(len(t) ** 2)


def network(output="identity", outputs=2, dtype=np.float64):
    config = {"layers": [4, 5, 3, outputs], "activation": ELU(), "output_activation": output, "loss": Huber()}
    net = Network(config, Random(0.7), 1, dtype)
    for b in net.biases:
        b[...] = np.random.default_rng(0).normal(0, 0.5, b.shape)
    return net


X = np.random.default_rng(0).normal(size=(60, 4))
Y = np.stack([np.sin(X[:, 0]) + 3 * X[:, 1], X[:, 2]], axis=1)


@pytest.mark.parametrize("output", [ELU(), *ACTIVATIONS])
def test_gradients_are_those_of_the_loss(output):
    assert gradcheck(network(output), X, Y, weight_decay=0.1) < 1e-6


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_they_train_in_a_network(dtype):
    net = network(dtype=dtype)
    before = net.evaluate(X, Y)[0]
    history = net.fit(X, Y, (X, Y), epochs=200, batch_size=16, schedule=0.02, progress=False)
    assert net.evaluate(X, Y)[0] < 0.1 * before
    assert net.parameters.dtype == dtype
    json.dumps(history.train_loss + history.validation_loss)  # plain numbers
    assert repr(net) == "Network(4 -> 5 ELU() -> 3 ELU() -> 2 identity, loss Huber(), 51 parameters)"


def test_they_train_in_the_estimators():
    model = NetworkRegressor((16,), ELU(), Huber(), He(), 0.02, epochs=100, batch_size=16, random_state=0)
    assert model.fit(X, Y[:, 0]).score(X, Y[:, 0]) > 0.9
    assert cross_val_score(clone(model), X, Y[:, 0], cv=3).min() > 0.7
    classifier = NetworkClassifier((16,), ELU(), Huber(), learning_rate=0.1, epochs=100, random_state=0)
    assert classifier.fit(X, X[:, 0] > 0).score(X, X[:, 0] > 0) > 0.9


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_they_survive_copies(duplicate):
    net = network()
    twin = duplicate(net)
    np.testing.assert_array_equal(twin.outputs(X), net.outputs(X))
    assert isinstance(twin.activation, ELU)
    assert isinstance(twin.loss, Huber)


def test_those_of_a_notebook_reach_other_processes():
    cloudpickle = pytest.importorskip("cloudpickle")

    class Cubed(ELU):  # like a class of a cell, nowhere to be imported from
        def __call__(self, z):
            return z**3

    net = Network({**network().config, "activation": Cubed()}, seed=3)
    code = "import pickle, sys; print(pickle.load(sys.stdin.buffer).outputs([[1, 2, 3, 4]]).tolist())"
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    try:
        done = subprocess.run([sys.executable, "-c", code], input=cloudpickle.dumps(net), capture_output=True)
    finally:
        cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
    assert json.loads(done.stdout) == net.outputs([[1, 2, 3, 4]]).tolist(), done.stderr


class Nothing(Loss):
    """A loss without methods; the tests below give it some."""


@pytest.mark.parametrize(
    ("value", "gradient", "shapes"),
    [
        (
            lambda o, t: np.sum((o - t) ** 2, axis=1),
            lambda o, t: o - t,
            r"not \(\(60,\), \(60, 2\)\)",
        ),  # a row's, no mean
        (lambda o, t: 0.0, lambda o, t: np.mean(o - t, axis=0), r"not \(\(\), \(2,\)\)"),
        (lambda o, t: 0.0, lambda o, t: (o - t)[:, :1], r"not \(\(\), \(60, 1\)\)"),  # NumPy would broadcast it
    ],
)
def test_a_loss_of_other_shapes_is_named_before_a_step(value, gradient, shapes, monkeypatch):
    monkeypatch.setattr(Nothing, "value", staticmethod(value))
    monkeypatch.setattr(Nothing, "gradient", staticmethod(gradient))
    net = Network({**network().config, "loss": Nothing()}, Random(0.7))
    before = net.parameters.copy()
    net.forward(X)
    for use in (lambda: net.backward(Y), lambda: net.fit(X, Y, progress=False)):
        with pytest.raises(ValueError, match=rf"of Nothing\(\) must have the shapes \(\(\), \(60, 2\)\), {shapes}"):
            use()
    np.testing.assert_array_equal(net.parameters, before)


def test_what_is_missing_is_named(monkeypatch):
    class Step(Activation):
        def __call__(self, z):
            return np.sign(z)

    for change, missing in (
        ({"activation": Step()}, "Step needs a method derivative"),
        ({"activation": Activation()}, "Activation needs a method __call__"),
        ({"loss": Nothing()}, "Nothing needs a method value"),
    ):
        with pytest.raises(NotImplementedError, match=missing):
            Network({**network().config, **change}).fit(X, Y, progress=False)
    with pytest.raises(NotImplementedError, match="Nothing needs a method gradient"):
        Nothing().gradient(X, X)
    monkeypatch.setattr(Nothing, "built_in", "swish")
    with pytest.raises(ValueError, match=r"Nothing\(\).built_in, if not None, must be one of leaky_relu, .*'swish'"):
        Network({**network().config, "loss": Nothing()})


def test_files_refuse_them(tmp_path):
    named = {"activation": "tanh", "output_activation": "identity", "loss": "l2", "layers": [4, 2]}
    for key, thing in (("activation", ELU()), ("output_activation", ELU()), ("loss", Huber()), ("loss", L2())):
        with pytest.raises(
            ValueError, match=re.escape(f"a file holds names, but config['{key}'] is the object {thing!r}")
        ):
            Network({**named, key: thing}).save(tmp_path / "net.npz")
    model = NetworkRegressor((3,), ELU(), epochs=1).fit(X, Y[:, 0])
    with pytest.raises(ValueError, match=r"config\['activation'\] is the object ELU\(\)"):
        model.save(tmp_path / "model.npz")
    pytest.importorskip("onnx")

    class Steeper(LeakyReLU):  # not the operator that its parent is
        def __call__(self, z):
            return 2 * super().__call__(z)

    for net in (network(), network("softmax"), model, Network({**named, "output_activation": Steeper()})):
        with pytest.raises(
            ValueError, match=r"the activation (ELU|Steeper)\(\) has no ONNX operator; these have: Leaky"
        ):
            net.to_onnx(tmp_path / "net.onnx")
    assert list(tmp_path.iterdir()) == []
