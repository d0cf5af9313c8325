"""The convolutional network: loops, central differences and PyTorch; bytes, mirrors, files, and what is refused."""

import copy
import pickle
import re
import tracemalloc

import numpy as np
import pytest

from hw1lib.nn.activations import Activation, LeakyReLU
from hw1lib.nn.conv import conv2d_loops, max_pool2d_loops
from hw1lib.nn.convnet import ConvNetwork, mirrored
from hw1lib.nn.gradcheck import gradcheck, numerical_gradient
from hw1lib.nn.initializers import He, Zero
from hw1lib.nn.losses import LOSSES
from hw1lib.nn.network import Network
from hw1lib.nn.training import TrainingDiverged

AGE = {"picture": [2, 9, 7], "filters": [3, 4], "hidden": [5], "outputs": 1}
AGE |= {"activation": "leaky_relu", "output_activation": "identity", "loss": "l2"}
RACE = {**AGE, "hidden": [], "outputs": 3, "activation": "tanh", "output_activation": "softmax", "loss": "nll"}
GENDER = {**AGE, "hidden": [4, 3], "outputs": 2, "output_activation": "sigmoid", "loss": "logistic"}
CONFIGS = [AGE, RACE, GENDER]
TORCH_RATE, MOMENTUM, DECAY = 0.05, 0.9, 0.1


def network(config, dtype=np.float64, seed=0):
    net = ConvNetwork(config, "he", seed, dtype)
    for b in net.biases:  # a bias of 0 could hide a missing one
        b[...] = np.random.default_rng(seed).normal(0, 0.5, b.shape)
    return net


def batch(config, n=6, seed=0):
    rng = np.random.default_rng(seed)
    X, shape = rng.normal(size=(n, *config["picture"])), (n, config["outputs"])
    targets = {"l2": rng.normal(size=shape), "nll": rng.integers(0, shape[1], n), "logistic": rng.integers(0, 2, shape)}
    return X, targets[config["loss"]]


def fit(net, X, y, **settings):
    net.fit(X, y, **{"epochs": 2, "batch_size": 8, "schedule": 0.01, "progress": False} | settings)
    return net


def in_loops(net, X):
    """Return the outputs as the layers are drawn: convolution, bias, activation, then pooling; then the head."""
    A = X
    for W, b in zip(net.filters, net.biases, strict=False):
        A = max_pool2d_loops(net.activation(conv2d_loops(A, W, padding=1) + b[:, None, None]), 2).values
    return net.head.outputs(A.reshape(len(X), -1))


# -- what it computes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("activation", ["leaky_relu", "relu", "sigmoid", "tanh", "identity"])
def test_pooling_first_is_the_same_as_pooling_last(config, activation):
    net, (X, _) = network({**config, "activation": activation}), batch(config, 3)
    np.testing.assert_allclose(net.forward(X), in_loops(net, X), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    ("picture", "filters", "hidden"),
    [((1, 2, 2), [1], []), ((3, 5, 8), [2], [3]), ((2, 9, 7), [3, 2], []), ((1, 8, 11), [2, 3, 2], [3])],
)
def test_gradients_are_those_of_the_loss(loss, picture, filters, hidden):
    output = LOSSES[loss].built_in or "tanh"
    sizes = {"picture": picture, "filters": filters, "hidden": hidden, "output_activation": output, "loss": loss}
    for n, outputs, activation in ((1, 3, "tanh"), (5, 1, "leaky_relu"), (5, 3, "leaky_relu")):
        config = AGE | sizes | {"outputs": outputs, "activation": activation}
        assert gradcheck(network(config), *batch(config, n), weight_decay=0.3) < 1e-6


def test_every_parameter_has_a_gradient():
    net, (X, y) = network({**AGE, "activation": "sigmoid"}), batch(AGE, 7)
    assert (np.abs(numerical_gradient(net, X, y)) > 1e-7).mean() > 0.95


def torch_twin(torch, net):
    """Return the parameters as PyTorch's tensors, in this network's order, and the function to the weighted sums."""
    tensors = [torch.tensor(p, requires_grad=True) for p in (*net.weights, *net.biases)]
    layers = list(zip(tensors[: len(net.weights)], tensors[len(net.weights) :], strict=True))
    activation = getattr(torch.nn, type(net.activation).__name__)()

    def weighted_sums(X):
        a, F = torch.tensor(X), torch.nn.functional
        for W, b in layers[: len(net.filters)]:
            a = F.max_pool2d(activation(F.conv2d(a, W, b, padding=1)), 2)
        a = a.flatten(1)
        for W, b in layers[len(net.filters) :]:
            z = a @ W + b
            a = activation(z)
        return z

    return tensors, weighted_sums


def torch_loss(torch, loss, z, y):
    t, F = torch.tensor(y), torch.nn.functional
    return {
        "l2": lambda: ((z - t) ** 2).sum() / (2 * len(t)),
        "nll": lambda: F.cross_entropy(z, t),
        "logistic": lambda: F.binary_cross_entropy_with_logits(z, t.double(), reduction="sum") / len(t),
    }[loss]()


@pytest.mark.parametrize("activation", ["leaky_relu", "relu", "tanh", "sigmoid"])
@pytest.mark.parametrize("config", CONFIGS)
def test_gradients_and_two_steps_are_pytorchs(config, activation):
    torch = pytest.importorskip("torch")
    config = {**config, "picture": [3, 13, 10], "filters": [4, 5, 3], "activation": activation}
    net, (X, y) = network(config), batch(config, 20)
    tensors, weighted_sums = torch_twin(torch, net)
    net.forward(X)
    net.backward(y)
    loss = torch_loss(torch, config["loss"], weighted_sums(X), y)
    loss.backward()
    for ours, tensor in zip((*net.weight_gradients, *net.bias_gradients), tensors, strict=True):
        np.testing.assert_allclose(ours, tensor.grad.numpy(), rtol=1e-9, atol=1e-13)
    assert net.evaluate(X, y)[0] == pytest.approx(loss.item(), rel=1e-12)

    weights = len(net.weights)  # biases do not decay
    groups = [{"params": tensors[:weights], "weight_decay": DECAY}, {"params": tensors[weights:]}]
    optimizer = torch.optim.SGD(groups, TORCH_RATE, MOMENTUM)
    for _ in range(2):
        optimizer.zero_grad()
        torch_loss(torch, config["loss"], weighted_sums(X), y).backward()
        optimizer.step()
    fit(net, X, y, batch_size=20, schedule=TORCH_RATE, momentum=MOMENTUM, weight_decay=DECAY)
    for ours, tensor in zip((*net.weights, *net.biases), tensors, strict=True):
        np.testing.assert_allclose(ours, tensor.detach().numpy(), rtol=1e-9, atol=1e-13)


def test_it_starts_as_the_initializer_says():
    config = {**AGE, "picture": [16, 8, 8], "filters": [50, 60]}
    net = ConvNetwork(config, He(), seed=1, dtype=np.float64)
    for W, fan_in in zip(net.weights, (16 * 9, 50 * 9, 60 * 4, 5), strict=True):
        assert W.std() == pytest.approx(np.sqrt(2 / fan_in), rel=0.1 if W.size > 99 else 1)
    assert not any(b.any() for b in net.biases)
    assert len(np.unique(net.parameters)) > 0.99 * sum(W.size for W in net.weights)  # no part is another's copy
    np.testing.assert_array_equal(net.parameters, ConvNetwork(config, "he", 1, np.float64).parameters)
    with pytest.raises(ValueError, match=r"the initializer's weights must have shape \(18, 3\), not \(3, 18\)"):
        ConvNetwork(AGE, lambda m, n, rng: np.ones((n, m) if m == 18 else (m, n)))


def test_the_head_is_a_network_whose_numbers_are_the_last_ones():
    net, (X, y) = fit(network(AGE), *batch(AGE)), batch(AGE)
    assert isinstance(net.head, Network)
    n = net.head.parameters.size
    net.parameters[-n:] = np.arange(n)
    np.testing.assert_array_equal(net.head.parameters, np.arange(n))
    net.forward(X)
    net.backward(y)
    np.testing.assert_array_equal(net.head.gradient, net.gradient[-n:])
    for ours, heads in ((net.weights, net.head.weights), (net.biases, net.head.biases)):
        assert all(np.shares_memory(a, b) for a, b in zip(ours[2:], heads, strict=True))


# -- training ---------------------------------------------------------------------------------------------------------


def bars(n=300, seed=0):
    """Return pictures as bytes of a bright line, lying (0) or standing (1), somewhere in the noise; and which."""
    rng = np.random.default_rng(seed)
    X, y = rng.integers(0, 100, (n, 1, 10, 10), dtype=np.uint8), rng.integers(0, 2, n)
    for picture, standing, at in zip(X[:, 0], y, rng.integers(0, 10, n), strict=True):
        (picture.T if standing else picture)[at] += 100
    return X, y


def test_it_learns_lines_wherever_they_are():
    config = {**RACE, "picture": [1, 10, 10], "filters": [4, 8], "outputs": 2, "activation": "leaky_relu"}
    net = ConvNetwork(config)
    test = bars(seed=1)
    history = net.fit(*bars(), test, 12, 16, 0.05, augment=mirrored, progress=False)
    assert net.evaluate(*test) == (history.validation_loss[-1], history.validation_metric[-1])
    assert history.validation_metric[-1] > 0.95
    assert (net.predict(test[0]) == test[1]).mean() == history.validation_metric[-1]


def test_bytes_are_numbers_from_minus_a_half_to_a_half():
    (X, y), config = bars(40), {**RACE, "picture": [1, 10, 10], "outputs": 2}
    assert X.dtype == np.uint8
    kept, floats = X.copy(), X / 255 - 0.5
    one, two = (fit(network(config, np.float32), pictures, y) for pictures in (X, floats))
    np.testing.assert_allclose(one.parameters, two.parameters, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(one.outputs(X), one.outputs(floats), rtol=1e-5)
    np.testing.assert_allclose(one.forward(X), one.forward(floats), rtol=1e-5)
    assert np.abs(one.outputs(X) - one.outputs(X.astype(int))).max() > 0.01  # no bytes: taken as they are
    last_axis = np.ascontiguousarray(X.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(one.outputs(last_axis), one.outputs(X), rtol=1e-5)
    np.testing.assert_array_equal(X, kept)


def test_a_fit_never_holds_all_pictures_as_floats():
    X = np.zeros((4000, 3, 20, 20), np.uint8)
    net = ConvNetwork({**AGE, "picture": [3, 20, 20], "filters": [2]})
    tracemalloc.start()
    try:
        net.fit(X, np.zeros(4000), (X, np.zeros(4000)), epochs=1, batch_size=50, progress=False)
        assert tracemalloc.get_traced_memory()[1] < X.size  # a quarter of what the floats would take
    finally:
        tracemalloc.stop()


def test_about_half_of_each_batch_is_mirrored():
    X = np.random.default_rng(0).integers(0, 256, (2000, 2, 3, 4), dtype=np.uint8)
    kept, found = X.copy(), mirrored(X, np.random.default_rng(1))
    same, turned = (np.all(found == other, axis=(1, 2, 3)) for other in (X, X[:, :, :, ::-1]))
    assert np.all(same ^ turned)
    assert 900 < turned.sum() < 1100
    assert not np.array_equal(mirrored(X, np.random.default_rng(2)), found)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(X, kept)


def test_training_meets_what_augment_returns_and_evaluation_does_not():
    X, y = batch(AGE, 24)
    seen = []

    def minus(pictures, rng):
        seen.append((pictures, rng))
        return -pictures

    net, twin = (network(AGE) for _ in range(2))
    history = net.fit(X, y, (X, y), 2, 10, 0.01, augment=minus, progress=False)
    np.testing.assert_array_equal(net.parameters, fit(twin, -X, y, batch_size=10).parameters)
    assert history.validation_loss[-1] == net.evaluate(X, y)[0]
    assert [len(pictures) for pictures, _ in seen] == [10, 10, 4] * 2
    assert all(rng is net.rng for _, rng in seen)
    with pytest.raises(ValueError, match=r"X must have shape \(n, 2, 9, 7\)"):
        fit(net, X, y, augment=lambda pictures, rng: pictures[..., 1:])
    one, two, other = (fit(network(AGE, seed=s), X, y, augment=mirrored) for s in (0, 0, 1))
    np.testing.assert_array_equal(one.parameters, two.parameters)
    assert not np.array_equal(one.parameters, other.parameters)
    assert not np.allclose(one.parameters, fit(network(AGE), X, y).parameters)


def test_a_training_that_diverges_says_so_and_the_weights_come_back():
    net, (X, y) = network(AGE, np.float32), batch(AGE, 40)
    before = net.parameters.copy()
    with pytest.raises(TrainingDiverged, match=r"stopped being finite in epoch .* at learning rate 1e\+06"):
        fit(net, X, y, schedule=1e6, epochs=20)
    np.testing.assert_array_equal(net.parameters, before)


# -- files and copies -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_network_comes_back_from_its_file(config, dtype, tmp_path):
    X, y = batch(config)
    net = fit(network({**config, "picture": tuple(config["picture"])}, dtype), X, y)
    back = ConvNetwork.load(net.save(tmp_path / "net.npz"))
    assert (back.config, back.dtype) == (config, dtype)
    np.testing.assert_array_equal(back.parameters, net.parameters)
    np.testing.assert_array_equal(back.predict(X), net.predict(X))
    with pytest.raises(ValueError, match="holds no network"):
        Network.load(tmp_path / "net.npz")
    with pytest.raises(ValueError, match="holds no convolutional network"):
        ConvNetwork.load(net.head.save(tmp_path / "head.npz"))


@pytest.mark.parametrize("duplicate", [copy.deepcopy, copy.copy, lambda net: pickle.loads(pickle.dumps(net))])
def test_copies_train_on_as_the_original_would(duplicate):
    X, y = batch(AGE, 20)
    net = fit(network(AGE), X, y, augment=mirrored)
    twin, before = duplicate(net), net.parameters.copy()
    fit(twin, X, y, augment=mirrored)
    np.testing.assert_array_equal(net.parameters, before)  # nothing shared
    np.testing.assert_array_equal(twin.parameters, fit(net, X, y, augment=mirrored).parameters)


def test_a_file_of_another_size_is_refused_before_it_takes_memory(tmp_path):
    with pytest.raises(ValueError, match=r"parameters must have shape \(\d{9},\), not \(3,\)"):
        ConvNetwork.from_parameters({**AGE, "filters": [3, 20_000_000]}, np.zeros(3))
    net = ConvNetwork(AGE, Zero())
    assert net.parameters.size == ConvNetwork.count_parameters(AGE) == (18 + 1) * 3 + (27 + 1) * 4 + 9 * 5 + 6
    assert repr(net) == (
        "ConvNetwork(2x9x7 -> 3 -> 4 filters 3x3 -> Network(8 -> 5 leaky_relu -> 1 identity, loss l2, 51 parameters), "
        "220 parameters)"
    )


# -- what can't be used -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"picture": (2, 3, 9)}, r"config\['picture'\] must be \(C, H, W\), with H and W at least 2 .*, here 4, not"),
        ({"picture": (2, 9, 9, 9)}, r"config\['picture'\] must be \(C, H, W\)"),
        ({"picture": (9, 9)}, r"config\['picture'\] must hold three whole numbers >= 1, not \(9, 9\)"),
        ({"picture": (0, 9, 9)}, r"each of config\['picture'\] must be a whole number >= 1, not 0"),
        ({"filters": []}, r"config\['filters'\] must hold one or more whole numbers >= 1, not \[\]"),
        ({"filters": 3}, r"config\['filters'\] must hold one or more whole numbers"),
        ({"hidden": 5}, r"config\['hidden'\] must hold any number of whole numbers >= 1, not 5"),
        ({"outputs": 1.5}, r"config\['outputs'\] must be a whole number >= 1, not 1.5"),
        ({"layers": [3]}, "config must be a dictionary with the keys"),
        ({"activation": "softmax"}, r"must act on each number alone and never fall, .* which Softmax\(\) doesn't"),
        ({"activation": "swish"}, r"config\['activation'\] must be one of"),
        ({"loss": "nll"}, "the loss 'nll' needs the output activation 'softmax', not 'identity'"),
    ],
)
def test_bad_descriptions_say_what_is_allowed(change, message):
    config = copy.deepcopy(AGE)
    with pytest.raises(ValueError, match=message):
        ConvNetwork(config | change)
    assert config == AGE


class Swish(Activation):
    def __call__(self, z):
        return z / (1 + np.exp(-z))


class Steep(LeakyReLU):
    slope = 2.0


class Bent(LeakyReLU):
    slope = -0.5


def test_activations_that_fall_somewhere_are_refused():
    for bad in (Swish(), Bent()):
        with pytest.raises(ValueError, match=f"never fall, .* which {re.escape(repr(bad))} doesn't"):
            ConvNetwork({**AGE, "activation": bad})
    net, (X, _) = network({**AGE, "activation": Steep()}), batch(AGE)
    np.testing.assert_allclose(net.outputs(X), in_loops(net, X), rtol=1e-12)
    with pytest.raises(ValueError, match="a file holds names"):
        net.save("never.npz")


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (lambda X: X[..., :6], r"X must have shape \(n, 2, 9, 7\) with n >= 1, not \(6, 2, 9, 6\)"),
        (lambda X: X[..., :6].astype(np.uint8), r"X must have shape \(n, 2, 9, 7\) with n >= 1, not \(6, 2, 9, 6\)"),
        (lambda X: X[0], r"X must have shape \(n, 2, 9, 7\)"),
        (lambda X: np.where(X > 2, np.nan, X), "X must be finite"),
        (lambda X: X[1:], "X and y must have the same number of rows: 5 and 6"),
    ],
)
def test_bad_inputs_are_named(bad, message):
    net, (X, y) = network(AGE), batch(AGE)
    for use in (net.evaluate, net.fit):
        with pytest.raises(ValueError, match=message):
            use(bad(X), y)
