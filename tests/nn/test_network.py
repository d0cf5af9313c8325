"""Training against plain NumPy, PyTorch, scikit-learn and a step worked by hand; files; and what is refused."""

import copy
import json
import pickle
import re

import numpy as np
import pandas as pd
import pytest
from sklearn.neural_network import MLPClassifier, MLPRegressor
from threadpoolctl import threadpool_info, threadpool_limits

from hw1lib import files
from hw1lib.nn.activations import ACTIVATIONS
from hw1lib.nn.initializers import INITIALIZERS, He, Random, Xavier, Zero
from hw1lib.nn.losses import LOSSES
from hw1lib.nn.network import EVALUATION_ROWS, History, Network, TrainingDiverged
from hw1lib.nn.schedules import Constant, ExponentialDecay, StepDecay

AGE = {"layers": [6, 5, 1], "activation": "leaky_relu", "output_activation": "leaky_relu", "loss": "l2"}
RACE = {"layers": [6, 5, 3], "activation": "leaky_relu", "output_activation": "softmax", "loss": "nll"}
GENDER = {"layers": [6, 5, 4, 1], "activation": "leaky_relu", "output_activation": "sigmoid", "loss": "logistic"}
QUIET = {"progress": False}


def data(config, n=50, seed=0):
    """Return X (n, k) and targets that depend on it, as a user would have them."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, config["layers"][0]))
    signal = X[:, 0] - X[:, 1] + 0.3 * rng.normal(size=n)
    if config["loss"] == "l2":
        return X, 10 + 3 * signal
    return X, np.digitize(signal, [-0.5, 0.5]) if config["loss"] == "nll" else (signal > 0).astype(int)


def parameters(net):
    return [part.copy() for pair in zip(net.weights, net.biases, strict=True) for part in pair]


# -- training ---------------------------------------------------------------------------------------------------------


def plain_training(net, X, y, epochs, batch_size, rates, momentum, weight_decay):
    """Train as ``net.fit`` does, in the plainest NumPy; return weights, biases, mean losses and metrics."""
    W, b = [w.astype(float) for w in net.weights], [v.astype(float) for v in net.biases]
    vW, vb = [np.zeros_like(w) for w in W], [np.zeros_like(v) for v in b]
    loss_name, n, last = net.config["loss"], len(X), len(W) - 1
    T = np.eye(net.layers[-1])[y] if loss_name == "nll" else np.asarray(y, float).reshape(n, -1)
    losses, metrics = [], []
    rng = copy.deepcopy(net.rng)
    for epoch in range(epochs):
        order = rng.permutation(n)
        loss = metric = 0.0
        for start in range(0, n, batch_size):
            x, t = X[order[start : start + batch_size]], T[order[start : start + batch_size]]
            a = [x]
            for i in range(last + 1):
                z = a[i] @ W[i] + b[i]
                a.append(np.where(z > 0, z, 0.01 * z))
            if loss_name == "l2":
                loss, metric = loss + ((a[-1] - t) ** 2).sum() / 2, metric + ((a[-1] - t) ** 2).sum()
                delta = (a[-1] - t) * np.where(z > 0, 1, 0.01)
            else:
                p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True) if loss_name == "nll" else 1 / (1 + np.exp(-z))
                other = 0 if loss_name == "nll" else (1 - t) * np.log(1 - p)
                loss -= (t * np.log(p) + other).sum()
                right = p.argmax(axis=1) == t.argmax(axis=1) if loss_name == "nll" else (p > 0.5) == t
                metric, delta = metric + right.sum(), p - t
            for i in range(last, -1, -1):
                gW, gb = a[i].T @ delta / len(x), delta.sum(axis=0) / len(x)
                delta = delta @ W[i].T * np.where(a[i] > 0, 1, 0.01)
                vW[i] = momentum * vW[i] - rates(epoch) * (gW + weight_decay * W[i])
                vb[i] = momentum * vb[i] - rates(epoch) * gb
                W[i], b[i] = W[i] + vW[i], b[i] + vb[i]
        losses.append(loss / n)
        metrics.append((metric / n) ** 0.5 if loss_name == "l2" else metric / n)
    return W, b, losses, metrics


@pytest.mark.parametrize("config", [AGE, RACE, GENDER])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("momentum", "weight_decay", "batch_size"), [(0, 0, 10), (0.9, 0.1, 16), (0.5, 0, 1)])
def test_training_is_what_plain_numpy_does(config, dtype, momentum, weight_decay, batch_size):
    X, y = data(config)  # 50 rows: with batches of 16 the last one has 2
    X = X.astype(np.float32)
    net = Network(config, Random(0.5), 1, dtype)
    rates = StepDecay(0.01, drop=0.5, every=2)
    W, b, losses, metrics = plain_training(net, X, y, 5, batch_size, rates, momentum, weight_decay)
    start = parameters(net)
    history = net.fit(X, y, None, 5, batch_size, rates, momentum, weight_decay, progress=False)
    tolerance = {"rtol": 1e-4, "atol": 1e-5} if dtype == np.float32 else {"rtol": 1e-10, "atol": 1e-12}
    for i in range(len(W)):
        np.testing.assert_allclose(net.weights[i], W[i], **tolerance)
        np.testing.assert_allclose(net.biases[i], b[i], **tolerance)
        assert np.abs(W[i] - start[2 * i]).max() > 1e-3  # it went somewhere
    np.testing.assert_allclose(history.train_loss, losses, **tolerance)
    np.testing.assert_allclose(history.train_metric, metrics, **tolerance)
    assert history.learning_rate == [0.01, 0.01, 0.005, 0.005, 0.0025]
    assert net.parameters.dtype == dtype


def test_two_steps_of_momentum_and_weight_decay_by_hand():
    # a = w x + b on the two rows x = 1, t = 3 and x = 2, t = 4, from w = 1, b = 0: errors a - t = -2, -2
    config = {"layers": [1, 1], "activation": "identity", "output_activation": "identity", "loss": "l2"}
    net = Network(config, lambda fan_in, fan_out, rng: np.ones((fan_in, fan_out)), dtype=np.float64)
    X, y = [[1], [2]], [3, 4]
    history = net.fit(X, y, None, 2, 2, 0.1, momentum=0.5, weight_decay=1.0, progress=False)
    # step 1: g_w = (-2 * 1 - 2 * 2) / 2 = -3, g_b = -2; v_w = -0.1 (-3 + 1) = 0.2, v_b = 0.2; w = 1.2, b = 0.2
    # step 2: errors 1.4 - 3 = -1.6, 2.6 - 4 = -1.4; g_w = (-1.6 - 2.8) / 2 = -2.2, g_b = -1.5
    #         v_w = 0.5 * 0.2 - 0.1 (-2.2 + 1.2) = 0.2, v_b = 0.5 * 0.2 + 0.15 = 0.25; w = 1.4, b = 0.45
    assert net.weights[0].item() == pytest.approx(1.4, rel=1e-12)
    assert net.biases[0].item() == pytest.approx(0.45, rel=1e-12)
    assert history.train_loss == pytest.approx([2.0, (1.6**2 + 1.4**2) / 4], rel=1e-12)
    assert history.train_metric == pytest.approx([2.0, ((1.6**2 + 1.4**2) / 2) ** 0.5], rel=1e-12)


def test_every_fit_starts_from_rest():
    X, y = data(AGE)
    whole, halves = Network(AGE, Random(0.5)), Network(AGE, Random(0.5))
    whole.fit(X, y, epochs=1, batch_size=50, schedule=0.01, momentum=0.9, **QUIET)
    first = whole.parameters.copy()
    g = whole.forward(X) is not None and whole.backward(y)
    whole.fit(X, y, epochs=1, batch_size=50, schedule=0.01, momentum=0.9, **QUIET)
    np.testing.assert_allclose(whole.parameters, first - 0.01 * g, rtol=1e-4, atol=1e-6)
    halves.fit(X, y, epochs=2, batch_size=50, schedule=0.01, momentum=0.9, **QUIET)
    assert np.abs(halves.parameters - whole.parameters).max() > 1e-3


@pytest.mark.parametrize(("config", "kind"), [(AGE, MLPRegressor), (RACE, MLPClassifier)])
def test_steps_are_scikit_learns(config, kind):
    config = {**config, "activation": "tanh"} | ({"output_activation": "identity"} if config is AGE else {})
    X, y = data(config)
    net = Network(config, Xavier(), 0, np.float64)
    model = kind(
        hidden_layer_sizes=[5],
        activation="tanh",
        solver="sgd",
        alpha=0,
        learning_rate_init=0.05,
        momentum=0.9,
        nesterovs_momentum=False,
        batch_size=50,
    )
    model.partial_fit(X, y, **({} if config["loss"] == "l2" else {"classes": [0, 1, 2]}))  # makes the arrays
    model.coefs_, model.intercepts_ = [W.copy() for W in net.weights], [b.copy() for b in net.biases]
    del model._optimizer  # and with it the velocities
    for _ in range(4):
        model.partial_fit(X, y)
    net.fit(X, y, None, 4, 50, 0.05, momentum=0.9, progress=False)
    for ours, theirs in zip(net.weights + net.biases, model.coefs_ + model.intercepts_, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("activation", ["leaky_relu", "tanh", "sigmoid"])
@pytest.mark.parametrize("config", [AGE, RACE, GENDER])
def test_gradients_and_steps_are_pytorchs(config, activation):
    torch = pytest.importorskip("torch")
    config = {**config, "activation": activation}
    functions = {
        "leaky_relu": torch.nn.LeakyReLU(0.01), "tanh": torch.nn.Tanh(), "sigmoid": torch.nn.Sigmoid(),
    }  # fmt: skip
    losses = {
        "l2": lambda z, t: (functions["leaky_relu"](z) - t[:, None]).square().sum() / (2 * len(t)),
        "nll": lambda z, t: torch.nn.functional.cross_entropy(z, t),
        "logistic": lambda z, t: torch.nn.functional.binary_cross_entropy_with_logits(z, t[:, None].double()),
    }
    X, y = data(config)
    net = Network(config, Random(0.5), 0, np.float64)
    linear = [torch.nn.Linear(*W.shape, dtype=torch.float64) for W in net.weights]
    for layer, W, b in zip(linear, net.weights, net.biases, strict=True):
        layer.weight.data, layer.bias.data = torch.tensor(W.T.copy()), torch.tensor(b.copy())
    layers = [part for layer in linear for part in (layer, functions[activation])][:-1]
    model, t = torch.nn.Sequential(*layers), torch.tensor(y)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.8)
    rng = copy.deepcopy(net.rng)
    for step in range(3):
        order = rng.permutation(len(X))
        optimizer.zero_grad()
        loss = losses[config["loss"]](model(torch.tensor(X[order])), t[order])
        loss.backward()
        if step == 0:
            net.forward(X)
            net.backward(y)
            for layer, gW, gb in zip(linear, net.weight_gradients, net.bias_gradients, strict=True):
                np.testing.assert_allclose(gW, layer.weight.grad.numpy().T, rtol=1e-9, atol=1e-14)
                np.testing.assert_allclose(gb, layer.bias.grad.numpy(), rtol=1e-9, atol=1e-14)
            assert net.evaluate(X, y)[0] == pytest.approx(loss.item(), rel=1e-12)
        optimizer.step()
    net.fit(X, y, None, 3, 50, 0.1, momentum=0.8, progress=False)
    for layer, W, b in zip(linear, net.weights, net.biases, strict=True):
        np.testing.assert_allclose(W, layer.weight.detach().numpy().T, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(b, layer.bias.detach().numpy(), rtol=1e-9, atol=1e-12)


def test_it_learns():
    for config, better in ((AGE, lambda m: m < 1.5), (RACE, lambda m: m > 0.8), (GENDER, lambda m: m > 0.85)):
        X, y = data(config, 800)
        net = Network(config, He(), 0)
        net.fit(X[:600], y[:600], epochs=60, batch_size=32, schedule=0.01, **QUIET)
        assert better(net.evaluate(X[600:], y[600:])[1]), config["loss"]


def test_softmax_training_survives_sums_of_a_thousand():
    X, y = data(RACE)
    net = Network(RACE, Random(0.5))
    net.weights[-1][...] *= 2000
    with np.errstate(all="raise", under="ignore"):
        history = net.fit(X, y, validation=(X, y), epochs=2, schedule=1e-6, **QUIET)
    assert history.train_loss[0] > 100
    assert np.isfinite(history.train_loss + history.validation_loss).all()


def test_zero_weights_never_leave_zero_and_predict_the_mean():
    X, y = data(AGE, 64)
    net = Network(AGE, Zero())
    net.forward(X)
    net.backward(y)
    assert not net.weight_gradients[0].any()
    assert not net.bias_gradients[0].any()
    assert not net.weight_gradients[1].any()
    assert net.bias_gradients[1].any()
    net.fit(X, y, epochs=300, batch_size=64, schedule=0.1, **QUIET)
    assert not net.weights[0].any()
    assert not net.weights[1].any()
    assert not net.biases[0].any()
    predicted = net.predict(X)
    assert (predicted == predicted[0]).all()
    assert predicted[0] == pytest.approx(y.mean(), rel=1e-4)
    assert net.evaluate(X, y)[1] == pytest.approx(y.std(), rel=1e-4)


# -- the same again ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_same_seed_gives_the_same_weights_to_the_bit(dtype):
    X, y = data(RACE, 300)

    def trained(seed=3, threads=None, **settings):
        np.random.seed(len(settings))  # noqa: NPY002 - what others do to the global state is of no consequence
        net = Network(RACE, Random(0.1), seed, dtype)
        with threadpool_limits(threads):
            net.fit(X, y, epochs=4, batch_size=64, schedule=0.1, **{**QUIET, **settings})
        return net.parameters

    first = trained()
    np.testing.assert_array_equal(trained(), first)
    np.testing.assert_array_equal(trained(np.random.default_rng(3)), first)
    np.testing.assert_array_equal(trained(threads=2), first)
    np.testing.assert_array_equal(trained(validation=(X[:64], y[:64])), first)  # looking on changes nothing
    assert (trained(4) != first).any()


def test_small_products_are_left_to_one_thread():
    seen = []

    class Watching(Constant):
        def __call__(self, epoch):
            seen.extend(library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas")
            return self.rate

    X, y = data(AGE)
    with threadpool_limits(2, "blas"):
        Network(AGE).fit(X, y, epochs=1, schedule=Watching(0.1), **QUIET)
        assert {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"} == {2}
    assert set(seen) == {1}


def test_progress_shows_a_bar_and_changes_nothing(capsys):
    X, y = data(AGE)
    one, two = Network(AGE), Network(AGE)
    one.fit(X, y, epochs=3, progress=True)
    assert "training" in capsys.readouterr().err
    two.fit(X, y, epochs=3, **QUIET)
    assert capsys.readouterr().err == ""
    np.testing.assert_array_equal(one.parameters, two.parameters)


@pytest.mark.parametrize("config", [AGE, RACE, GENDER])
def test_no_array_of_the_caller_changes(config):
    X, y = data(config, 128)
    Xv, yv = data(config, 32, seed=1)  # as many rows as a batch: both meet the same work arrays
    arrays = [X.astype(np.float32), y, Xv.astype(np.float32), yv]
    before = [array.copy() for array in arrays]
    for array in arrays:
        array.flags.writeable = False
    described = copy.deepcopy(config)
    net = Network(config, Random(0.5))
    X, y, Xv, yv = arrays
    history = net.fit(X, y, (Xv, yv), epochs=3, batch_size=32, **QUIET)
    net.predict(X), net.forward(X), net.backward(y), net.evaluate(X, y)
    for array, copied in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, copied)
    assert config == described
    again = net.evaluate(Xv, yv)
    assert (history.validation_loss[-1], history.validation_metric[-1]) == again
    net.config["layers"][0] = 99
    assert config == described


def test_validation_is_taken_at_the_end_of_each_epoch():
    config = {**AGE, "layers": [6, 5, 4, 1], "activation": "tanh", "output_activation": "identity"}
    X, y = data(AGE, 64)
    Xv, yv = data(AGE, 2 * EVALUATION_ROWS + 7, seed=1)
    net = Network(config, Random(0.5), 0, np.float64)
    losses, metrics = [], []
    for _ in range(3):
        net.fit(X, y, epochs=1, batch_size=16, schedule=0.01, momentum=0, **QUIET)
        error = net.forward(Xv)[:, 0] - yv  # all rows in one piece
        losses.append(np.mean(error**2) / 2)
        metrics.append(np.mean(error**2) ** 0.5)
    net = Network(config, Random(0.5), 0, np.float64)
    history = net.fit(X, y, (Xv, yv), epochs=3, batch_size=16, schedule=0.01, momentum=0, **QUIET)
    assert history.validation_loss == pytest.approx(losses, rel=1e-10)
    assert history.validation_metric == pytest.approx(metrics, rel=1e-10)


@pytest.mark.parametrize(
    "make",
    [
        lambda X, y: (X.tolist(), y.tolist()),
        lambda X, y: (pd.DataFrame(X), pd.Series(y)),
        lambda X, y: (np.asfortranarray(X), y[:, None]),
        lambda X, y: (np.repeat(X, 2, axis=1)[:, ::2], np.repeat(y, 2)[::2]),
    ],
)
def test_any_array_like_will_do(make):
    X, y = data(AGE)
    one, two = Network(AGE), Network(AGE)
    one.fit(X, y, epochs=2, **QUIET)
    two.fit(*make(X, y), epochs=2, **QUIET)
    np.testing.assert_array_equal(one.parameters, two.parameters)


def test_one_hot_rows_and_codes_are_the_same_targets():
    X, y = data(RACE)
    one, two = Network(RACE), Network(RACE)
    one.fit(X, y, epochs=2, **QUIET)
    two.fit(X, np.eye(3, dtype=int)[y], epochs=2, **QUIET)
    np.testing.assert_array_equal(one.parameters, two.parameters)


# -- outputs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", [AGE, RACE, GENDER])
def test_predictions_follow_from_the_outputs(config):
    X, _ = data(config, 2 * EVALUATION_ROWS + 7)  # in three pieces
    net = Network(config, Random(0.5), 0, np.float64)
    outputs, predicted = net.forward(X), net.predict(X)
    assert outputs.shape == (len(X), config["layers"][-1])
    if config["loss"] == "l2":
        np.testing.assert_allclose(predicted, outputs[:, 0], rtol=1e-12)
    elif config["loss"] == "nll":
        np.testing.assert_array_equal(predicted, outputs.argmax(axis=1))
        np.testing.assert_allclose(outputs.sum(axis=1), 1)
    else:
        np.testing.assert_array_equal(predicted, outputs[:, 0] > 0.5)
    assert len(np.unique(predicted)) > 1
    np.testing.assert_allclose(net.forward(X[5:6]), outputs[5:6], rtol=1e-12)


def test_several_values_a_row():
    config = {**AGE, "layers": [6, 5, 2], "output_activation": "identity"}
    X, y = data(config)
    y = np.stack([y, -y], axis=1)
    net = Network(config, Xavier())
    net.fit(X, y, epochs=200, schedule=0.01, **QUIET)
    assert net.predict(X).shape == (50, 2)
    loss, rmse = net.evaluate(X, y)
    assert rmse == pytest.approx(np.sqrt(np.mean((net.predict(X) - y) ** 2)), rel=1e-5)
    assert rmse == pytest.approx((2 * loss / 2) ** 0.5, rel=1e-5)
    assert rmse < 3


def test_backward_belongs_to_the_last_forward():
    X, y = data(AGE)
    net = Network(AGE, Random(0.5))
    net.forward(X)
    gradient = net.backward(y)
    net.forward(X)[...] = 7  # the caller's to change
    net.predict(X[::-1])
    net.evaluate(X[::-1], y)
    np.testing.assert_array_equal(net.backward(y), gradient)
    with pytest.raises(ValueError, match="same number of rows: 50 and 49"):
        net.backward(y[1:])
    with pytest.raises(ValueError, match=r"needs the outputs of forward\(X\) first"):
        Network(AGE).backward(y)


def test_many_sizes_of_batches_keep_few_work_arrays():
    net = Network(AGE)
    for n in range(1, 60):
        net.predict(np.zeros((n, 6)))
    assert len(net._workspaces) < 12


# -- history ----------------------------------------------------------------------------------------------------------


def test_history_becomes_a_table():
    X, y = data(AGE)
    history = Network(AGE).fit(X, y, (X, y), epochs=4, schedule=ExponentialDecay(1e-3, 0.5), **QUIET)
    frame = history.to_frame()
    assert frame.columns.tolist() == [
        "train_loss", "validation_loss", "train_metric", "validation_metric", "learning_rate", "seconds",
    ]  # fmt: skip
    assert frame.index.tolist() == [1, 2, 3, 4]
    assert frame.index.name == "epoch"
    assert frame["learning_rate"].tolist() == [1e-3, 5e-4, 2.5e-4, 1.25e-4]
    assert frame["train_loss"].tolist() == history.train_loss
    assert frame["seconds"].is_monotonic_increasing
    json.dumps(history.train_loss + history.validation_metric)  # plain floats
    without = Network(AGE).fit(X, y, epochs=2, **QUIET)
    assert without.to_frame().columns.tolist() == ["train_loss", "train_metric", "learning_rate", "seconds"]
    with pytest.raises(ValueError, match="no validation loss"):
        _ = without.best_epoch
    assert History(validation_loss=[3, 1, 2, 1]).best_epoch == 2


def test_patience_stops_and_goes_back_to_the_best_weights():
    X, y = data(RACE, 40)
    Xv, yv = data(RACE, 40, seed=1)
    net = Network({**RACE, "layers": [6, 30, 3]}, Random(0.5))
    history = net.fit(X, y, (Xv, yv), epochs=500, batch_size=8, schedule=0.05, patience=7, **QUIET)
    epochs = len(history.validation_loss)
    assert epochs == history.best_epoch + 7 < 500
    assert net.evaluate(Xv, yv) == (min(history.validation_loss), history.validation_metric[history.best_epoch - 1])
    same = Network({**RACE, "layers": [6, 30, 3]}, Random(0.5))
    whole = same.fit(X, y, (Xv, yv), epochs=epochs, batch_size=8, schedule=0.05, **QUIET)
    assert whole.validation_loss == history.validation_loss
    assert same.evaluate(Xv, yv)[0] == history.validation_loss[-1] > min(history.validation_loss)


def test_patience_ends_where_nothing_changes():
    X = np.random.default_rng(0).normal(size=(20, 6))
    history = Network(AGE, Zero()).fit(X, np.zeros(20), (X, np.zeros(20)), epochs=50, patience=4, **QUIET)
    assert history.validation_loss == [0] * 5


def test_patience_waits_as_long_as_it_gets_better():
    X, y = data(AGE)
    net = Network(AGE, Random(0.5))
    history = net.fit(X, y, (X, y), epochs=20, batch_size=50, schedule=1e-3, momentum=0, patience=1, **QUIET)
    assert history.best_epoch == len(history.validation_loss) == 20
    assert net.evaluate(X, y)[0] == history.validation_loss[-1]


# -- files and copies -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", [AGE, RACE, GENDER])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_network_comes_back_from_its_file(config, dtype, tmp_path):
    X, y = data(config)
    net = Network(config, Random(0.5), 0, dtype)
    net.fit(X, y, epochs=2, **QUIET)
    path = net.save(tmp_path / "deep" / "net.npz")
    back = Network.load(path)
    assert back.config == net.config
    assert back.dtype == dtype
    np.testing.assert_array_equal(back.parameters, net.parameters)
    np.testing.assert_array_equal(back.predict(X), net.predict(X))
    assert [p.name for p in path.parent.iterdir()] == ["net.npz"]
    with np.load(path, allow_pickle=False) as arrays:
        assert json.loads(str(arrays["config"])) == config


def test_damaged_files_are_named_and_never_half_read(tmp_path):
    net = Network(AGE, Random(0.5))
    original = net.save(tmp_path / "net.npz").read_bytes()
    path = tmp_path / "damaged.npz"
    rng = np.random.default_rng(0)
    outcomes = {"same": 0, "refused": 0}
    for case in range(2000):
        damaged = bytearray(original)
        for _ in range(rng.integers(1, 4)):
            damaged[rng.integers(len(damaged))] = rng.integers(256)
        if case % 10 == 0:
            damaged = damaged[: rng.integers(len(damaged))]
        path.write_bytes(damaged)
        try:
            back, message = Network.load(path), ""
        except ValueError as error:
            back, message = None, str(error)
        if back is None:
            assert str(path) in message
            outcomes["refused"] += 1
        else:
            assert back.config == net.config
            np.testing.assert_array_equal(back.parameters, net.parameters)
            outcomes["same"] += 1
    assert outcomes["refused"] > 1000
    assert outcomes["same"] > 10  # bytes that mean nothing, dates for example


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": np.array(2)}, "written by a later version of hw1lib"),
        ({"kind": np.array("preprocessor")}, "holds no network"),
        ({"config": np.array("layers: 6")}, "not a network that this version can read"),
        ({"config": np.array("[" * 100_000)}, "not a network that this version can read"),
        ({"config": np.array("[6, 5, 1]")}, "config must be a dictionary"),
        ({"config": np.array(json.dumps({**AGE, "layers": [10**9, 10**9]}))}, "finite numbers"),
        ({"config": np.array(json.dumps({**AGE, "activation": "swish"}))}, "must be one of"),
        ({"config": np.array(json.dumps({**AGE, "layers": [6, "5", 1]}))}, "two or more whole numbers"),
        ({"parameters": np.zeros(40, np.float32)}, "must be 41 finite numbers"),
        ({"parameters": np.zeros((41, 1), np.float32)}, "must be 41 finite numbers"),
        ({"parameters": np.full(41, np.nan, np.float32)}, "must be 41 finite numbers"),
        ({"parameters": np.zeros(41, int)}, "dtype must be"),
        ({"parameters": np.array(["x"] * 41)}, "not a network that this version can read"),
        ({"parameters": np.zeros(41, np.float16)}, "dtype must be"),
        ({"parameters": None}, "incomplete, without parameters"),
    ],
)
def test_files_of_another_kind_are_refused_by_name(change, message, tmp_path):
    good = {
        "kind": np.array("network"),
        "version": np.array(files.NPZ_VERSION),
        "config": np.array(json.dumps(AGE)),
        "parameters": np.zeros(41, np.float32),
    }
    np.savez(tmp_path / "good.npz", **good)
    assert Network.load(tmp_path / "good.npz").config == AGE
    path = tmp_path / "bad.npz"
    np.savez(path, **{name: array for name, array in {**good, **change}.items() if array is not None})
    with pytest.raises(ValueError, match=message) as caught:
        Network.load(path)
    assert str(path) in str(caught.value)


def test_pickles_and_missing_files_are_not_opened(tmp_path):
    path = tmp_path / "net.npz"
    with pytest.raises(FileNotFoundError):
        Network.load(path)
    path.write_bytes(pickle.dumps({"config": AGE}))
    with pytest.raises(ValueError, match="not a readable"):
        Network.load(path)
    np.savez(path, kind=np.array("network"), version=np.array(1), config=np.array([AGE]), parameters=np.zeros(41))
    with pytest.raises(ValueError, match="not a readable"):
        Network.load(path)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, copy.copy, lambda net: pickle.loads(pickle.dumps(net))])
def test_copies_train_on_as_the_original_would(duplicate):
    X, y = data(AGE)
    net = Network(AGE, Random(0.5), 5)
    net.fit(X, y, epochs=2, **QUIET)
    twin = duplicate(net)
    before = net.parameters.copy()
    state = copy.deepcopy(net.rng.bit_generator.state)
    twin.fit(X, y, epochs=2, **QUIET)
    assert (twin.parameters != before).any()
    np.testing.assert_array_equal(net.parameters, before)  # nothing shared
    np.testing.assert_array_equal(np.concatenate([w.ravel() for w in parameters(twin)]), twin.parameters)
    net.rng.bit_generator.state = state
    net.fit(X, y, epochs=2, **QUIET)
    np.testing.assert_array_equal(twin.parameters, net.parameters)


def test_the_repr_shows_the_network():
    assert repr(Network(GENDER)) == (
        "Network(6 -> 5 leaky_relu -> 4 leaky_relu -> 1 sigmoid, loss logistic, 64 parameters)"
    )


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"activation": "swish"}, r"config\['activation'\] must be one of \['identity', 'leaky_relu', .*not 'swish'"),
        ({"output_activation": "swish"}, r"config\['output_activation'\] must be one of"),
        ({"loss": "mse"}, r"config\['loss'\] must be one of \['l2', 'logistic', 'nll'\], not 'mse'"),
        ({"loss": ["l2"]}, r"config\['loss'\] must be one of"),
        ({"loss": "nll"}, "the loss 'nll' is defined for the output activation softmax, not 'leaky_relu'"),
        ({"loss": "logistic"}, "the loss 'logistic' is defined for the output activation sigmoid"),
        ({"layers": [6]}, "two or more whole numbers"),
        ({"layers": [6, 0, 1]}, "two or more whole numbers"),
        ({"layers": [6, 2.0, 1]}, "two or more whole numbers"),
        ({"layers": [6, True]}, "two or more whole numbers"),
        ({"layers": 6}, "two or more whole numbers"),
        ({"layers": None}, "two or more whole numbers"),
        ({"dropout": 0.5}, "config must be a dictionary with the keys"),
        ({1: 0.5}, "config must be a dictionary with the keys"),
    ],
)
def test_bad_descriptions_say_what_is_allowed(change, message):
    with pytest.raises(ValueError, match=message):
        Network({**AGE, **change})


def test_incomplete_descriptions_say_what_is_missing():
    for config in ({}, None, [6, 5, 1], {key: AGE[key] for key in ("layers", "loss")}):
        with pytest.raises(ValueError, match=r"keys \['activation', 'layers', 'loss', 'output_activation'\]"):
            Network(config)


@pytest.mark.parametrize("initializer", ["xavier", None, Xavier, INITIALIZERS["he"]])
def test_initializers_must_be_made(initializer):
    with pytest.raises(ValueError, match="initializer must be Zero"):
        Network(AGE, initializer)


@pytest.mark.parametrize("dtype", [np.float16, int, "f4", None, ">f4", object])
def test_other_types_are_refused(dtype):
    with pytest.raises(ValueError, match=r"dtype must be np.float32 or np.float64"):
        Network(AGE, dtype=dtype)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (lambda X: X[:, :5], r"X must have shape \(n, 6\) with n >= 1, not \(50, 5\)"),
        (lambda X: X[0], r"X must have shape \(n, 6\) with n >= 1, not \(6,\)"),
        (lambda X: X[:0], r"X must have shape \(n, 6\) with n >= 1, not \(0, 6\)"),
        (lambda X: X[None], "X must have shape"),
        (lambda X: 3.0, "X must have shape"),
        (lambda X: None, "X must hold real numbers, not object"),
        (lambda X: np.where(X > 2, np.nan, X), "X must be finite"),
        (lambda X: np.where(X > 2, np.inf, X), "X must be finite"),
        (lambda X: X * 1e300, "X must be finite in float32"),
        (lambda X: X.astype(str), "X must hold real numbers, not <U32"),
        (lambda X: X + 1j, "X must hold real numbers, not complex128"),
        (lambda X: X.astype(object), "X must hold real numbers, not object"),
        (lambda X: [[1] * 6, [1] * 5], "X must be an array, with rows of equal length"),
    ],
)
def test_bad_inputs_are_named(bad, message):
    X, y = data(AGE)
    net = Network(AGE)
    before = net.parameters.copy()
    for use in (net.predict, net.forward, lambda bad: net.evaluate(bad, y), lambda bad: net.fit(bad, y, **QUIET),
                lambda bad: net.fit(X, y, (bad, y), **QUIET)):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            use(bad(X))
    np.testing.assert_array_equal(net.parameters, before)


@pytest.mark.parametrize(
    ("config", "bad", "message"),
    [
        (AGE, lambda y: y[1:], "X and y must have the same number of rows: 50 and 49"),
        (AGE, lambda y: np.where(y > 12, np.nan, y), "y must be finite"),
        (AGE, lambda y: y * 1e300, "y must be finite"),
        (AGE, lambda y: y.astype(str), "y must hold real numbers"),
        (AGE, lambda y: np.stack([y, y], axis=1), r"y must have shape \(n, 1\), not \(50, 2\)"),
        (RACE, lambda y: y + 1, "labels must be whole numbers from 0 to 2, one of 3 classes"),
        (RACE, lambda y: y - 1, "labels must be whole numbers from 0 to 2, one of 3 classes"),
        (GENDER, lambda y: y + 1, "y must lie between 0 and 1"),
    ],
)
def test_bad_targets_are_named(config, bad, message):
    X, y = data(config)
    net = Network(config)
    for use in (lambda bad: net.evaluate(X, bad), lambda bad: net.fit(X, bad, **QUIET),
                lambda bad: net.fit(X, y, (X, bad), **QUIET)):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            use(bad(y))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "epochs must be a whole number >= 1, not 0"),
        ({"epochs": 2.0}, "epochs must be a whole number >= 1"),
        ({"epochs": True}, "epochs must be a whole number >= 1"),
        ({"epochs": "5"}, "epochs must be a whole number >= 1"),
        ({"batch_size": 0}, "batch_size must be a whole number >= 1"),
        ({"batch_size": None}, "batch_size must be a whole number >= 1"),
        ({"momentum": 1.0}, "momentum must be a number of at least 0 and below 1, not 1.0"),
        ({"momentum": -0.1}, "momentum must be a number"),
        ({"momentum": np.nan}, "momentum must be a number"),
        ({"momentum": "0.9"}, "momentum must be a number"),
        ({"weight_decay": -1}, "weight_decay must be a number of at least 0"),
        ({"weight_decay": np.inf}, "weight_decay must be a number of at least 0"),
        ({"weight_decay": None}, "weight_decay must be a number of at least 0"),
        ({"schedule": 0}, "rate must be a finite number > 0, not 0"),
        ({"schedule": "step"}, "rate must be a finite number > 0, not 'step'"),
        ({"patience": 0}, "patience must be a whole number >= 1"),
        ({"patience": 5}, r"patience needs validation=\(X, y\)"),
    ],
)
def test_bad_settings_say_what_is_allowed(settings, message):
    X, y = data(AGE)
    with pytest.raises(ValueError, match=message):
        Network(AGE).fit(X, y, **{**QUIET, **settings})


def test_settings_may_be_numpys_numbers():
    X, y = data(AGE)
    history = Network({**AGE, "layers": tuple(np.array([6, 5, 1]))}).fit(
        X, y, epochs=np.int64(2), batch_size=np.int32(8), schedule=np.float32(0.25), momentum=np.float32(0.5), **QUIET
    )
    assert history.learning_rate == [0.25, 0.25]


@pytest.mark.parametrize("config", [AGE, RACE, GENDER])
def test_one_row_is_enough(config):
    X, y = data(config, 1)
    net = Network(config, Random(0.5))
    history = net.fit(X, y, (X, y), epochs=3, **QUIET)
    assert len(history.train_loss) == 3
    assert net.predict(X).shape == (1,)


def test_a_class_that_is_missing_from_training_can_still_be_scored():
    X, y = data(RACE)
    net = Network(RACE, Random(0.5))
    net.fit(X, np.minimum(y, 1), epochs=30, schedule=0.1, **QUIET)
    assert set(net.predict(X)) <= {0, 1}
    assert net.evaluate(X, np.full(50, 2))[1] == 0


def test_bool_is_a_number():
    X, y = data(GENDER)
    one, two = Network(GENDER), Network(GENDER)
    one.fit(X > 0, y > 0, epochs=2, **QUIET)
    two.fit((X > 0).astype(float), y, epochs=2, **QUIET)
    np.testing.assert_array_equal(one.parameters, two.parameters)


@pytest.mark.parametrize("config", [AGE, RACE])
def test_a_rate_too_large_stops_training_and_is_named(config):
    X, y = data(config)
    net = Network(config, Random(0.5))
    with pytest.raises(TrainingDiverged, match=r"in epoch (\d+) at learning rate 1e\+12: take a smaller") as caught:
        net.fit(X, y, epochs=1000, batch_size=8, schedule=Constant(1e12), **QUIET)
    assert 1 <= int(re.search(r"epoch (\d+)", str(caught.value))[1]) < 1000
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, FloatingPointError)


def test_a_validation_loss_that_is_not_finite_stops_training_too():
    X, y = data(AGE, 8)
    net = Network(AGE, Random(0.5))
    with pytest.raises(TrainingDiverged, match="in epoch 1 at learning rate 1e\\+30"):
        net.fit(X, y, (X, y), epochs=1, batch_size=8, schedule=1e30, **QUIET)  # one step: the training loss precedes it


def test_the_registries_hold_what_the_design_names():
    assert set(ACTIVATIONS) == {"leaky_relu", "relu", "sigmoid", "tanh", "identity", "softmax"}
    assert set(LOSSES) == {"l2", "nll", "logistic"}
    assert set(INITIALIZERS) == {"zero", "random", "xavier", "he"}
