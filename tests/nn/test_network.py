"""What a network answers, also to many threads; files; what is refused."""

import copy
import json
import pickle
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest

from hw1lib import files
from hw1lib.nn.activations import ReLU
from hw1lib.nn.initializers import INITIALIZERS, Random
from hw1lib.nn.network import Network
from hw1lib.nn.training import EVALUATION_ROWS

AGE = {"layers": [6, 5, 1], "activation": "leaky_relu", "output_activation": "leaky_relu", "loss": "l2"}
RACE = {"layers": [6, 5, 3], "activation": "tanh", "output_activation": "softmax", "loss": "nll"}
GENDER = {"layers": [6, 5, 4, 1], "activation": "relu", "output_activation": "sigmoid", "loss": "logistic"}
CONFIGS = [AGE, RACE, GENDER]


def data(config, n=50):
    """Return X (n, 6) and targets (n,) that depend on it."""
    X = np.random.default_rng(0).normal(size=(n, 6))
    signal = X[:, 0] - X[:, 1]
    return X, {"l2": signal, "nll": np.digitize(signal, [-0.5, 0.5]), "logistic": (signal > 0) + 0}[config["loss"]]


def fit(net, X, y):
    net.fit(X, y, epochs=2, batch_size=16, schedule=0.01, progress=False)
    return net


@pytest.mark.parametrize("config", CONFIGS)
def test_predictions_follow_from_the_outputs(config):
    X, _ = data(config, 2 * EVALUATION_ROWS + 7)  # in three pieces
    net = Network(config, Random(0.5), 0, np.float64)
    outputs, predicted = net.forward(X), net.predict(X)
    np.testing.assert_allclose(net.outputs(X), outputs, rtol=1e-12)
    expected = {"l2": outputs[:, 0], "nll": outputs.argmax(axis=1), "logistic": outputs[:, 0] > 0.5}[config["loss"]]
    np.testing.assert_allclose(predicted, expected, rtol=1e-12)
    assert len(np.unique(predicted)) > 1
    np.testing.assert_allclose(net.forward(X[5:6]), outputs[5:6], rtol=1e-12)


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("ask", ["predict", "outputs", "forward", "evaluate"])
def test_eight_threads_that_ask_one_network_get_what_one_would(config, ask):
    X, y = data(config, 20_000)
    net = Network({**config, "layers": [6, 64, *config["layers"][1:]]}, Random(0.5))
    parts = [(X[i : i + 1000], y[i : i + 1000])[: 2 if ask == "evaluate" else 1] for i in range(0, 20_000, 1000)]
    expected = [getattr(net, ask)(*part) for part in parts]
    with ThreadPoolExecutor(8) as pool:
        for found, wanted in zip(pool.map(lambda part: getattr(net, ask)(*part), parts * 5), expected * 5, strict=True):
            np.testing.assert_allclose(found, wanted)


def test_backward_belongs_to_the_last_forward():
    X, y = data(AGE)
    net = Network(AGE, Random(0.5))
    net.forward(X)
    gradient = net.backward(y)
    net.forward(X)[...] = 7  # the caller's to change
    net.predict(X[::-1]), net.evaluate(X[::-1], y)
    np.testing.assert_array_equal(net.backward(y), gradient)
    with pytest.raises(ValueError, match="same number of rows: 50 and 49"):
        net.backward(y[1:])
    with pytest.raises(ValueError, match="weight_decay must be a finite number >= 0, not 'much'"):
        net.backward(y, "much")
    fit(net, X, y)  # its weights are others than those of the last forward
    with pytest.raises(ValueError, match=r"needs the outputs of forward\(X\) first"):
        net.backward(y)
    with pytest.raises(ValueError, match=r"needs the outputs of forward\(X\) first"):
        Network(AGE).backward(y)


@pytest.mark.parametrize(
    "make",
    [
        lambda X, y: (X.tolist(), y.tolist()),
        lambda X, y: (pd.DataFrame(X), pd.Series(y)),
        lambda X, y: (np.asfortranarray(X), np.eye(3, dtype=int)[y]),  # one-hot rows are the codes
        lambda X, y: (np.repeat(X, 2, axis=1)[:, ::2], np.repeat(y, 2)[::2]),
        lambda X, y: (X, y.astype(float)),
    ],
)
def test_any_array_like_will_do(make):
    X, y = data(RACE)
    one, two = fit(Network(RACE), X, y), fit(Network(RACE), *make(X, y))
    np.testing.assert_array_equal(one.parameters, two.parameters)


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_network_comes_back_from_its_file(config, dtype, tmp_path):
    net = fit(Network(config, Random(0.5), 0, dtype), *data(config))
    path = net.save(tmp_path / "deep" / "net.npz")
    back = Network.load(path)
    assert (back.config, back.dtype) == (config, dtype)
    np.testing.assert_array_equal(back.parameters, net.parameters)
    np.testing.assert_array_equal(back.predict(data(config)[0]), net.predict(data(config)[0]))
    assert [p.name for p in path.parent.iterdir()] == ["net.npz"]


def test_parameters_may_be_a_list_and_their_views_are_not_to_be_replaced():
    net = Network(AGE, Random(0.5), dtype=np.float64)
    again = Network.from_parameters(AGE, net.parameters.tolist())
    np.testing.assert_array_equal(again.parameters, net.parameters)
    for views in (net.weights, net.biases, net.weight_gradients, net.bias_gradients):
        with pytest.raises(TypeError, match="does not support item assignment"):  # it would no longer be a view
            views[0] = np.zeros_like(views[0])


def test_missing_pickled_and_damaged_files_are_named_and_never_half_read(tmp_path):
    net, path, rng = Network(AGE, Random(0.5)), tmp_path / "net.npz", np.random.default_rng(0)
    with pytest.raises(FileNotFoundError):
        Network.load(path)
    path.write_bytes(pickle.dumps(net))
    with pytest.raises(ValueError, match="not a readable") as caught:
        Network.load(path)
    assert "allow_pickle" not in str(caught.value)  # as NumPy advises
    original, refused = net.save(path).read_bytes(), 0
    for case in range(1000):
        damaged = bytearray(original)
        for _ in range(rng.integers(1, 4)):
            damaged[rng.integers(len(damaged))] = rng.integers(256)
        path.write_bytes(damaged[: rng.integers(len(damaged))] if case % 10 == 0 else damaged)
        try:
            back = Network.load(path)
        except ValueError as error:
            refused += str(path) in str(error) or pytest.fail(f"{error} names no file")
        else:  # bytes that mean nothing, dates for example
            assert back.config == net.config
            np.testing.assert_array_equal(back.parameters, net.parameters)
    assert 500 < refused < 1000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": np.array(2)}, "written by a later version of hw1lib"),
        ({"kind": np.array("preprocessor")}, "holds no network"),
        ({"config": np.array("layers: 6")}, "not a network that this version can read"),
        ({"config": np.array("[" * 100_000)}, "not a network that this version can read"),
        ({"config": np.array("[6, 5, 1]")}, "config must be a dictionary"),
        ({"config": np.array([AGE])}, "not a readable"),  # an object, thus a pickle
        (
            {"config": np.array(json.dumps({**AGE, "layers": [6, 10**8, 1]}))},
            r"parameters must have shape \(800000001,\), not \(41,\)",
        ),
        ({"config": np.array(json.dumps({**AGE, "activation": "swish"}))}, "must be one of"),
        ({"config": np.array(json.dumps({**AGE, "layers": [6, "5", 1]}))}, "must be a whole number >= 1, not '5'"),
        ({"parameters": np.zeros(40, np.float32)}, r"parameters must have shape \(41,\)"),
        ({"parameters": np.full(41, np.nan, np.float32)}, "parameters must be finite"),
        ({"parameters": np.zeros(41, np.float16)}, "dtype must be"),
        ({"parameters": np.array(["x"] * 41)}, "not a network that this version can read"),
        ({"parameters": None}, "incomplete, without parameters"),
    ],
)
def test_files_of_another_kind_are_refused_before_they_take_memory(change, message, tmp_path):
    arrays = {"kind": np.array("network"), "version": np.array(files.NPZ_VERSION)}
    arrays |= {"config": np.array(json.dumps(AGE)), "parameters": np.zeros(41, np.float32)}
    path = tmp_path / "net.npz"
    np.savez(path, **arrays)
    assert Network.load(path).config == AGE
    np.savez(path, **{name: array for name, array in {**arrays, **change}.items() if array is not None})
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=message) as caught:
            Network.load(path)
        assert tracemalloc.get_traced_memory()[1] < 10**7
    finally:
        tracemalloc.stop()
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, copy.copy, lambda net: pickle.loads(pickle.dumps(net))])
def test_copies_train_on_as_the_original_would(duplicate):
    X, y = data(AGE)
    net, same = (fit(Network(AGE, Random(0.5), 5), X, y) for _ in range(2))
    twin, before = duplicate(net), net.parameters.copy()
    fit(twin, X, y)
    np.testing.assert_array_equal(twin.parameters, fit(same, X, y).parameters)
    np.testing.assert_array_equal(net.parameters, before)  # nothing shared
    np.testing.assert_array_equal(twin.parameters, fit(net, X, y).parameters)


def test_importing_the_room_loads_nothing_heavy():
    heavy = "pandas", "matplotlib", "sklearn", "sympy", "torch", "onnx"
    code = f"import sys, hw1lib.nn; sys.exit(' '.join(set({heavy}) & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"activation": "swish"}, r"config\['activation'\] must be one of \['identity', 'leaky_relu', .*not 'swish'"),
        ({"output_activation": np.tanh}, r"config\['output_activation'\] must be one of .* inherits Activation"),
        ({"activation": ReLU}, r"or an object, such as LeakyReLU\(\), .* not <class .*ReLU'>"),
        ({"loss": "mse"}, r"config\['loss'\] must be one of \['l2', 'logistic', 'nll'\], .* inherits Loss, not 'mse'"),
        ({"loss": "nll"}, "the loss 'nll' needs the output activation 'softmax', not 'leaky_relu'"),
        ({"loss": "logistic"}, "the loss 'logistic' needs the output activation 'sigmoid'"),
        *[({"layers": bad}, "two or more whole numbers") for bad in ([6], 6, None, np.array(6))],
        *[({"layers": [6, bad, 1]}, r"config\['layers'\] must be a whole number >= 1, not") for bad in (0, 2.0, True)],
        ({"layers": np.array([[6, 5, 1]] * 2)}, r"config\['layers'\] must be a whole number >= 1, not \[6, 5, 1\]"),
        *[({bad: 0.5}, r"keys \['activation', 'layers', 'loss', 'output_activation'\], not") for bad in ("dropout", 1)],
    ],
)
def test_bad_descriptions_say_what_is_allowed(change, message):
    config = copy.deepcopy(AGE)
    net = Network(config)
    net.config["layers"][0] = 99
    assert config == AGE  # and not that of the network
    with pytest.raises(ValueError, match=message):
        Network({**AGE, **change})


def test_other_initializers_types_and_descriptions_are_refused():
    for name, initializer in INITIALIZERS.items():
        np.testing.assert_array_equal(Network(AGE, name).parameters, Network(AGE, initializer).parameters)
    for bad, message in (
        (lambda *_: None, "must hold real numbers"),
        (lambda *_: 0.5, r"must have shape \(6, 5\), not \(\)"),
        (lambda fan_in, fan_out, rng: np.ones((fan_out, fan_in)), r"must have shape \(6, 5\), not \(5, 6\)"),
        (lambda *shape: np.full(shape[:2], np.nan), "must be finite"),
        (lambda *shape: np.full(shape[:2], 1e300), "must be finite in float32"),
    ):
        with pytest.raises(ValueError, match=f"the initializer's weights {message}"):
            Network(AGE, bad)
    assert Network(AGE, dtype="float64").dtype == np.float64
    for dtype in (np.float16, int, "f4", None, ">f4", object):
        with pytest.raises(ValueError, match=r"dtype must be np.float32 or np.float64"):
            Network(AGE, dtype=dtype)
    for config in ({}, None, [6, 5, 1]):
        with pytest.raises(ValueError, match="config must be a dictionary with the keys"):
            Network(config)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (lambda X: X[:, :5], r"X must have shape \(n, 6\) with n >= 1, not \(50, 5\)"),
        (lambda X: X[0], r"X must have shape \(n, 6\) with n >= 1, not \(6,\)"),
        (lambda X: X[:0], r"X must have shape \(n, 6\) with n >= 1, not \(0, 6\)"),
        (lambda X: None, "X must hold real numbers, not object"),
        (lambda X: np.where(X > 2, np.nan, X), "X must be finite"),
        (lambda X: X * 1e300, "X must be finite in float32"),
        (lambda X: [[1] * 6, [1] * 5], "X must be an array, with rows of equal length"),
        (lambda X: X[1:], "X and y must have the same number of rows: 49 and 50"),
    ],
)
def test_bad_inputs_are_named(bad, message):
    X, y = data(AGE)
    net = Network(AGE)
    before, uses = net.parameters.copy(), [lambda X: net.evaluate(X, y), lambda X: net.fit(X, y, progress=False)]
    uses.append(lambda bad: net.fit(X, y, (bad, y), progress=False))
    for use in uses + ([net.predict, net.forward, net.outputs] if "rows:" not in message else []):
        with pytest.raises(ValueError, match=message):
            use(bad(X))
    for y in (np.full(50, 1e300), np.full(50, np.nan)):
        with pytest.raises(ValueError, match="y must be finite"):
            net.fit(X, y, progress=False)
    np.testing.assert_array_equal(net.parameters, before)
