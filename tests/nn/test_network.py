"""What a network answers, also to many threads; copies and files; what is refused."""

import copy
import json
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from hw1lib import files, nn

COPIES = [copy.copy, copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))]


def test_predictions_follow_from_the_outputs(config, network, batch):
    X, _ = batch(config, 2 * 1024 + 7 if "layers" in config else 2 * 128 + 7)  # in three pieces
    net = network(config)
    outputs, predicted = net.forward(X), net.predict(X)
    assert_allclose(net.outputs(X), outputs, rtol=1e-12)
    if config["loss"] == "nll":
        assert_array_equal(predicted, outputs.argmax(axis=1))
    elif config["loss"] == "logistic":
        assert_array_equal(predicted, outputs > 0.5)
    else:
        assert_allclose(predicted, outputs[:, 0], rtol=1e-12)
    assert len(np.unique(predicted)) > 1


@pytest.mark.parametrize("ask", ["forward", "evaluate"])
def test_eight_threads_that_ask_one_network_get_what_one_would(age, network, batch, ask):
    X, y = batch(age, 2000)
    net = network(age, np.float32)
    rows = [slice(i, i + 100) for i in range(0, 2000, 100)]
    parts = [(X[r], y[r]) if ask == "evaluate" else (X[r],) for r in rows]
    expected = [getattr(net, ask)(*part) for part in parts]
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda part: getattr(net, ask)(*part), parts * 5)
        for answer, wanted in zip(answers, expected * 5, strict=True):
            assert_allclose(answer, wanted)


def test_backward_belongs_to_the_last_forward(age, network, batch, fit):
    X, y = batch(age)
    net = network(age)
    net.forward(X)
    gradient = net.backward(y)
    net.forward(X)[...] = 7  # the caller's to change
    net.predict(X[::-1]), net.evaluate(X[::-1], y)
    assert_array_equal(net.backward(y), gradient)
    with pytest.raises(ValueError, match="same number of rows: 50 and 49"):
        net.backward(y[1:])
    fit(net, X, y)  # its weights are others than those of the last forward
    for silent in (net, network(age)):
        with pytest.raises(ValueError, match=r"needs the outputs of forward\(X\) first"):
            silent.backward(y)


@pytest.mark.parametrize(
    "make",
    [
        lambda X, y: (pd.DataFrame(X), pd.Series(y)),
        lambda X, y: (np.asfortranarray(X), np.eye(3, dtype=int)[y]),  # one-hot rows are the codes
    ],
)
def test_any_array_like_will_do(configs, network, batch, fit, make):
    X, y = batch(configs["race"])
    plain, other = network(configs["race"]), network(configs["race"])
    assert_array_equal(fit(plain, X, y).outputs(X), fit(other, *make(X, y)).outputs(X))


def test_bytes_are_numbers_from_minus_a_half_to_a_half(configs, network, fit):
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 256, (40, 2, 9, 7), dtype=np.uint8), rng.integers(0, 3, 40)
    config, floats = configs["race of pictures"], X / 255 - 0.5
    net, twin = fit(network(config), X, y), fit(network(config), floats, y)
    assert_allclose(net.parameters, twin.parameters, rtol=1e-10)
    assert_allclose(net.forward(X), net.outputs(floats), rtol=1e-10)
    assert np.abs(net.outputs(X) - net.outputs(X.astype(int))).max() > 0.01  # taken as they are


def test_it_starts_as_the_initializer_says(configs):
    sizes = {"picture": [16, 8, 8], "filters": [50, 60], "hidden": [30]}
    net = nn.Network({**configs["age of pictures"], **sizes}, "he", seed=1, dtype=np.float64)
    for W, fan_in in zip(net.weights, (16 * 9, 50 * 9, 60 * 4, 30), strict=True):
        assert W.std() == pytest.approx(np.sqrt(2 / fan_in), rel=0.1 if W.size > 99 else 1)
    assert not any(b.any() for b in net.biases)
    n_weights = sum(W.size for W in net.weights)
    assert len(np.unique(net.parameters)) > 0.99 * n_weights  # no part is another's copy
    assert "MaxPool() -> LeakyReLU() -> Flatten() -> Dense(240, 30) -> " in repr(net)
    net.config["hidden"][0] = 99
    assert sizes["hidden"] == [30]  # the caller's is not the network's


# -- copies and files ----------------------------------------------------------------------------


class Named(nn.Network):
    """A reader's own, with an attribute."""

    decimals = 1


@pytest.mark.parametrize("duplicate", COPIES)
def test_copies_keep_what_a_subclass_adds_and_train_on_alone(age, network, batch, fit, duplicate):
    X, y = batch(age)
    net = network(age, cls=Named)
    net.decimals = 5
    net.forward(X)
    twin, before = duplicate(net), net.parameters.copy()
    assert (type(twin), twin.decimals) == (Named, 5)
    fit(twin, X, y)
    assert_array_equal(net.parameters, before)  # nothing shared
    assert_array_equal(twin.parameters, fit(net, X, y).parameters)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_network_comes_back_from_its_file(config, network, batch, fit, dtype, tmp_path):
    X, y = batch(config)
    net = fit(network(config, dtype), X, y)
    path = net.save(tmp_path / "deep" / "net.npz")
    back = nn.Network.load(path)
    assert (back.config, back.dtype) == (config, dtype)
    assert_array_equal(back.parameters, net.parameters)
    assert_array_equal(back.predict(X), net.predict(X))
    with np.load(path) as file:  # as convolutional networks were called once
        np.savez(path, **{**file, "kind": np.array("convolutional network")})
    assert_array_equal(nn.Network.load(path).parameters, net.parameters)


def described(**change):
    age = {"layers": [6, 5, 1], "activation": "relu", "output_activation": "relu", "loss": "l2"}
    return {"config": np.array(json.dumps({**age, **change}))}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"kind": np.array("preprocessor")}, "holds no network"),
        ({"config": np.array("[")}, "not a network that this version can read"),
        (described(layers=[6, 9, 1]), r"parameters must have shape \(73,\), not \(41,"),
        (described(activation="swish"), "must be one of"),
    ],
)
def test_files_of_another_kind_are_refused(change, word, tmp_path):
    arrays = {"kind": np.array("network"), "version": np.array(files.NPZ_VERSION), **described()}
    path = tmp_path / "net.npz"
    np.savez(path, **{**arrays, "parameters": np.zeros(41, np.float32), **change})
    with pytest.raises(ValueError, match=word) as caught:
        nn.Network.load(path)
    assert str(path) in str(caught.value)


# -- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "change", "word"),
    [
        ("age", {"activation": "swish"}, r"\['activation'\], if no .*leaky_relu, .*not 'swish'"),
        ("age", {"activation": nn.ReLU}, r"inherits nn.Activation, .*not <class"),
        ("age", {"loss": "nll"}, "'nll' needs the output activation 'softmax', not 'identity'"),
        *[("age", {"layers": bad}, "a list of 2 or more") for bad in ([6], 6, None)],
        *[("age", {"layers": [6, bad, 1]}, "a whole number >= 1") for bad in (0, 2.0, True)],
        ("age", {"layers": [nn.Flatten(), 5, 1]}, "the inputs, must be a whole"),
        ("age", {"dropout": 0.5}, r"keys \['activation', 'layers', .*; not known: 'dropout'"),
        ("age", {"activaton": "tanh"}, "not known: 'activaton'"),
        ("age of pictures", {"picture": (2, 3, 9)}, "too small to be halved"),
        ("age of pictures", {"hidden": 5}, "0 or more numbers, not 5"),
        ("age of pictures", {"outputs": 1.5}, r"\['outputs'\] must be a whole number >= 1"),
    ],
)
def test_bad_descriptions_say_what_is_allowed(configs, kind, change, word):
    config = {**configs[kind], **change}
    with pytest.raises(ValueError, match=word):
        nn.Network(config)


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"initializer": lambda m, n, rng: np.ones((n, m))}, r"initializer's .* shape \(\d+, \d\)"),
        ({"initializer": lambda *fans: np.full(fans[:2], 1e300)}, "finite in float32"),
        ({"dtype": np.float16}, "np.float32 or np.float64"),
    ],
)
def test_bad_weights_and_types_are_refused(age, settings, word):
    with pytest.raises(ValueError, match=word):
        nn.Network(age, **settings)


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        (lambda X: X[..., 1:], r"X must have shape \(n, .*\) with n >= 1, not \(50, "),
        (lambda X: X[:0], r"with n >= 1, not \(0, "),
        (lambda X: X * 1e300, "X must be finite in float32"),
        (lambda X: np.ma.masked_greater(X, 2), "X must not hold masked values"),
        (lambda X: X[1:], "X and y must have the same number of rows: 49 and 50"),
    ],
)
def test_bad_inputs_are_named(age, network, batch, bad, word):
    X, y = batch(age)
    net = network(age, np.float32)
    before = net.parameters.copy()
    uses = [
        lambda X: net.evaluate(X, y),
        lambda X: net.fit(X, y, progress=False),
        lambda bad: net.fit(X, y, (bad, y), progress=False),
    ]
    if "rows:" not in word:
        uses += [net.predict, net.forward]
    for use in uses:
        with pytest.raises(ValueError, match=word):
            use(bad(X))
    assert_array_equal(net.parameters, before)


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        (lambda y: y * 1e300, "y must be finite in float32"),
        (lambda y: np.ma.masked_greater(y, 1), "y must not hold masked values"),
        (lambda y: y[:, None] * [1, 1], r"y must have shape \(n, 1\) or \(n,\), not \(50, 2\)"),
    ],
)
def test_bad_targets_are_named(age, network, batch, bad, word):
    X, y = batch(age)
    net = network(age, np.float32)
    for use in (net.evaluate, net.fit, lambda X, bad: net.fit(X, y, validation=(X, bad))):
        with pytest.raises(ValueError, match=word):
            use(X, bad(y))


@pytest.mark.parametrize("scale", [250.0, [250.0, 1.0, 0.004, 3.0, 7.0, 1.0]])
def test_a_network_keeps_what_its_inputs_are_divided_by(
    configs, network, batch, fit, scale, tmp_path
):
    config = configs["race"]
    X, y = batch(config)
    own, plain = network({**config, "input_scale": scale}, np.float32), network(config, np.float32)
    raw = X.astype(np.float32) * np.asarray(scale, np.float32)
    scaled = raw / np.asarray(scale, np.float32)
    for net, rows in ((own, raw), (plain, scaled)):
        fit(net, rows, y, augment=lambda rows, rng: -rows)
    assert_array_equal(own.parameters, plain.parameters)
    assert_array_equal(own.predict(raw), plain.predict(scaled))
    assert own.evaluate(raw, y) == plain.evaluate(scaled, y)
    assert_array_equal(own.forward(raw), plain.forward(scaled))
    again = nn.Network.load(own.save(tmp_path / "net.npz"))
    assert_array_equal(again.outputs(raw), own.outputs(raw))
    assert nn.gradcheck(network({**config, "input_scale": scale}), raw, y) < 1e-6


@pytest.mark.parametrize("scale", [0, -1, np.nan, [1, 2], "one", [[1] * 6]])
def test_a_scale_that_is_none_is_refused(configs, scale):
    with pytest.raises(ValueError, match=r"config\['input_scale'\] must"):
        nn.Network({**configs["age"], "input_scale": scale})
    with pytest.raises(ValueError, match="not known: 'input_scale'"):
        nn.Network({**configs["age of pictures"], "input_scale": 2.0})  # bytes have theirs
