"""Gradient descent against scikit-learn and steps worked by hand; history, patience, divergence, what is refused."""

import copy
import json
import re

import numpy as np
import pytest
from sklearn import metrics
from sklearn.neural_network import MLPClassifier, MLPRegressor
from threadpoolctl import threadpool_info, threadpool_limits

from hw1lib.nn.initializers import Random, Zero
from hw1lib.nn.network import Network
from hw1lib.nn.schedules import Constant, ExponentialDecay
from hw1lib.nn.training import EVALUATION_ROWS, History, TrainingDiverged

AGE = {"layers": [6, 5, 1], "activation": "leaky_relu", "output_activation": "identity", "loss": "l2"}
RACE = {"layers": [6, 5, 3], "activation": "leaky_relu", "output_activation": "softmax", "loss": "nll"}
GENDER = {"layers": [6, 5, 4, 1], "activation": "leaky_relu", "output_activation": "sigmoid", "loss": "logistic"}


def data(config, n=50, seed=0):
    """Return X (n, 6) and targets that depend on it, as a user would have them."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 6))
    signal = X[:, 0] - X[:, 1] + 0.3 * rng.normal(size=n)
    if config["loss"] == "l2":
        return X, 10 + 3 * signal
    return X, np.digitize(signal, [-0.5, 0.5]) if config["loss"] == "nll" else (signal > 0).astype(int)


def fit(net, X, y, **settings):
    return net.fit(X, y, **{"progress": False, "schedule": 0.01, **settings})


def test_steps_of_momentum_and_weight_decay_by_hand():
    # a = w x + b on the two rows x = 1, t = 3 and x = 2, t = 4, from w = 1, b = 0: errors a - t = -2, -2
    config = {"layers": [1, 1], "activation": "identity", "output_activation": "identity", "loss": "l2"}
    net = Network(config, lambda fan_in, fan_out, rng: np.ones((fan_in, fan_out)), dtype=np.float64)
    history = net.fit([[1], [2]], [3, 4], None, 2, 2, lambda epoch: 0.1 * (epoch + 1), 0.5, 1.0, progress=False)
    # step 1: g_w = (-2 * 1 - 2 * 2) / 2 = -3, g_b = -2; v_w = -0.1 (-3 + 1) = 0.2, v_b = 0.2; w = 1.2, b = 0.2
    # step 2: errors 1.4 - 3 = -1.6, 2.6 - 4 = -1.4; g_w = (-1.6 - 2.8) / 2 = -2.2, g_b = -1.5; the rate is 0.2
    #         v_w = 0.5 * 0.2 - 0.2 (-2.2 + 1.2) = 0.3, v_b = 0.5 * 0.2 + 0.3 = 0.4; w = 1.5, b = 0.6
    assert net.parameters.tolist() == pytest.approx([1.5, 0.6], rel=1e-12)
    assert net.gradient.tolist() == pytest.approx([-2.2, -1.5], rel=1e-12)
    assert history.learning_rate == [0.1, 0.2]
    assert history.train_loss == pytest.approx([2.0, (1.6**2 + 1.4**2) / 4], rel=1e-12)  # without the decay's part
    assert history.train_metric == pytest.approx([2.0, ((1.6**2 + 1.4**2) / 2) ** 0.5], rel=1e-12)
    # the next fit starts from rest: errors -0.9, -0.4; v_w = -0.1 (-0.85 + 1.5) = -0.065, v_b = 0.065
    net.fit([[2], [1]], [4, 3], None, 1, 2, 0.1, 0.5, 1.0, progress=False)
    assert net.parameters.tolist() == pytest.approx([1.435, 0.665], rel=1e-12)


@pytest.mark.parametrize("config", [AGE, RACE, GENDER])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("momentum", "weight_decay", "batch_size"), [(0, 0, 10), (0.9, 0.1, 16), (0.5, 0, 1)])
def test_training_is_scikit_learns(config, dtype, momentum, weight_decay, batch_size):
    config, (X, y) = {**config, "activation": "tanh"}, data(config)  # 50 rows: of 16 a batch, the last one has 2
    X, regression = X.astype(dtype), config["loss"] == "l2"
    net = Network(config, Random(0.5), 1, dtype)
    model = (MLPRegressor if regression else MLPClassifier)(
        hidden_layer_sizes=config["layers"][1:-1], activation="tanh", solver="sgd", batch_size=50,
        learning_rate_init=0.05, momentum=momentum, nesterovs_momentum=False,
    )  # fmt: skip
    classes = {} if regression else {"classes": np.unique(y)}
    model.partial_fit(X, y, **classes)  # makes the arrays
    model.coefs_, model.intercepts_ = [W.copy() for W in net.weights], [b.copy() for b in net.biases]
    del model._optimizer  # and with it the velocities
    rng, losses, scores = copy.deepcopy(net.rng), [], []
    for _ in range(3):
        order, said = rng.permutation(50), []
        for start in range(0, 50, batch_size):
            rows = order[start : start + batch_size]
            said.append(model.predict(X[rows]) if regression else model.predict_proba(X[rows]))
            # its decay is divided by the rows of the batch
            model.set_params(batch_size=len(rows), alpha=weight_decay * len(rows)).partial_fit(X[rows], y[rows])
        said, t = np.concatenate(said), y[order]
        mse = metrics.mean_squared_error(t, said) if regression else None
        losses.append(mse / 2 if regression else -np.log(said[np.arange(50), t]).mean())
        scores.append(mse**0.5 if regression else metrics.accuracy_score(t, said.argmax(axis=1)))
    history = fit(net, X, y, epochs=3, batch_size=batch_size, schedule=0.05, momentum=momentum,
                  weight_decay=weight_decay)  # fmt: skip
    tolerance = {"rtol": 1e-3, "atol": 1e-5} if dtype == np.float32 else {"rtol": 1e-9, "atol": 1e-12}
    for ours, theirs in zip(net.weights + net.biases, model.coefs_ + model.intercepts_, strict=True):
        np.testing.assert_allclose(ours, theirs, **tolerance)
    np.testing.assert_allclose([history.train_loss, history.train_metric], [losses, scores], **tolerance)
    assert net.parameters.dtype == dtype
    assert np.abs(net.parameters - Network(config, Random(0.5), 1, dtype).parameters).max() > 0.01  # it went somewhere


def test_zero_weights_never_leave_zero_and_predict_the_mean():
    net, (X, y) = Network(AGE, Zero()), data(AGE, 64)
    fit(net, X, y, epochs=300, batch_size=64, schedule=0.1)
    assert not net.parameters[:-1].any()  # all but the output's bias
    np.testing.assert_allclose(net.predict(X), y.mean(), rtol=1e-4)
    assert net.evaluate(X, y)[1] == pytest.approx(y.std(), rel=1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_same_seed_gives_the_same_weights_to_the_bit(dtype):
    X, y = data(RACE, 300)

    def trained(seed=3, threads=None, **settings):
        np.random.seed(len(settings))  # noqa: NPY002 - what others do to the global state is of no consequence
        net = Network(RACE, Random(0.1), seed, dtype)
        with threadpool_limits(threads):
            fit(net, X, y, epochs=4, batch_size=64, **settings)
        return net.parameters

    first = trained()
    for same in (trained(np.random.default_rng(3)), trained(threads=2), trained(validation=(X[:64], y[:64]))):
        np.testing.assert_array_equal(same, first)
    assert (trained(4) != first).any()


def test_small_products_are_left_to_one_thread():
    def threads():
        return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}

    seen = set()
    with threadpool_limits(2, "blas"):
        fit(Network(AGE), *data(AGE), epochs=1, schedule=lambda epoch: seen.update(threads()) or 0.1)
        assert threads() == {2}
    assert seen == {1}


def test_progress_shows_a_bar_and_changes_nothing(capsys):
    one, two = Network(AGE), Network(AGE)
    fit(one, *data(AGE), epochs=3, progress=True)
    assert "training" in capsys.readouterr().err
    fit(two, *data(AGE), epochs=3)
    assert capsys.readouterr().err == ""
    np.testing.assert_array_equal(one.parameters, two.parameters)


@pytest.mark.parametrize("config", [AGE, RACE, GENDER])
def test_no_array_of_the_caller_changes(config):
    X, y = data(config)
    arrays = [X.astype(np.float32), y.astype(np.float32), X[:20].astype(np.float32), y[:20].copy()]
    before = [array.copy() for array in arrays]
    for array in arrays:
        array.flags.writeable = False
    net = Network(config, Random(0.5))
    X, y, Xv, yv = arrays
    history = fit(net, X, y, validation=(Xv, yv), epochs=3, batch_size=20)
    net.forward(X), net.backward(y), net.predict(X)
    for array, copied in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, copied)
    assert (history.validation_loss[-1], history.validation_metric[-1]) == net.evaluate(Xv, yv)


def test_validation_is_taken_at_the_end_of_each_epoch():
    X, y = data(AGE, 64)
    Xv, yv = data(AGE, 2 * EVALUATION_ROWS + 7, seed=1)  # in three pieces
    one, two = (Network({**AGE, "activation": "tanh"}, Random(0.5), 0, np.float64) for _ in range(2))
    mse = []
    for _ in range(3):
        fit(one, X, y, epochs=1, batch_size=16, momentum=0)
        mse.append(np.mean((one.forward(Xv)[:, 0] - yv) ** 2))  # all rows in one piece
    history = fit(two, X, y, validation=(Xv, yv), epochs=3, batch_size=16, momentum=0)
    assert history.validation_loss == pytest.approx([each / 2 for each in mse], rel=1e-10)
    assert history.validation_metric == pytest.approx([each**0.5 for each in mse], rel=1e-10)


def test_history_becomes_a_table():
    X, y = data(AGE)
    history = fit(Network(AGE), X, y, validation=(X, y), epochs=4, schedule=ExponentialDecay(1e-3, 0.5))
    frame = history.to_frame()
    assert " ".join(frame) == "train_loss validation_loss train_metric validation_metric learning_rate seconds"
    assert (frame.index.name, frame.index.tolist()) == ("epoch", [1, 2, 3, 4])
    assert frame["learning_rate"].tolist() == [1e-3, 5e-4, 2.5e-4, 1.25e-4]
    assert frame["seconds"].is_monotonic_increasing
    json.dumps(history.train_loss + history.validation_metric)  # plain floats
    without = fit(Network(AGE), X, y, epochs=2)
    assert " ".join(without.to_frame()) == "train_loss train_metric learning_rate seconds"
    with pytest.raises(ValueError, match="no validation loss"):
        _ = without.best_epoch
    assert History(validation_loss=[3, 1, 2, 1]).best_epoch == 2


def test_patience_stops_and_goes_back_to_the_best_weights():
    X, y = data(RACE, 40)
    Xv, yv = data(RACE, 40, seed=1)
    settings = {"validation": (Xv, yv), "batch_size": 8, "schedule": 0.05}
    net, same = (Network({**RACE, "layers": [6, 30, 3]}, Random(0.5)) for _ in range(2))
    history = fit(net, X, y, epochs=500, patience=7, **settings)
    epochs = len(history.validation_loss)
    assert epochs == history.best_epoch + 7 < 500
    assert net.evaluate(Xv, yv) == (min(history.validation_loss), history.validation_metric[history.best_epoch - 1])
    assert fit(same, X, y, epochs=epochs, **settings).validation_loss == history.validation_loss
    assert same.evaluate(Xv, yv)[0] == history.validation_loss[-1] > min(history.validation_loss)
    # where nothing changes it ends; where each epoch is better it does not
    X, y = data(AGE)
    still = fit(Network(AGE, Zero()), X, 0 * y, validation=(X, 0 * y), epochs=50, patience=4)
    assert still.validation_loss == [0] * 5
    better = fit(Network(AGE, Random(0.5)), X, y, validation=(X, y), epochs=20, batch_size=50, schedule=1e-3,
                 momentum=0, patience=1)  # fmt: skip
    assert better.best_epoch == len(better.validation_loss) == 20


@pytest.mark.parametrize(
    ("config", "factor", "settings", "message"),
    [
        (RACE, 1, {"schedule": Constant(1e12)}, r"learning rate 1e\+12: take a smaller learning rate"),
        (AGE, 20_000, {}, "bring inputs and targets to a size near 1"),  # the prices of houses
        # one step: the training loss precedes it, the validation loss does not
        (AGE, 1, {"schedule": 1e30, "epochs": 1, "batch_size": 50, "validation": data(AGE)}, r"epoch 1 at .* 1e\+30"),
    ],
)
def test_training_that_diverges_is_stopped_and_named(config, factor, settings, message):
    X, y = data(config)
    net = Network({**config, "activation": "relu"}, Random(0.5))
    before = net.parameters.copy()
    with pytest.raises(TrainingDiverged, match=message) as caught:
        fit(net, X, y * factor, **{"epochs": 1000, "batch_size": 8, **settings})
    assert 1 <= int(re.search(r"in epoch (\d+) at", str(caught.value))[1]) < 1000
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, FloatingPointError)
    np.testing.assert_array_equal(net.parameters, before)  # so that a smaller rate may be tried at once
    fit(net, X, y, epochs=2, schedule=1e-4)


def test_patience_keeps_the_best_weights_from_a_later_divergence():
    X, y = data(AGE)
    best, net = (Network(AGE, Random(0.5)) for _ in range(2))
    fit(best, X, y, epochs=3)
    with pytest.raises(TrainingDiverged, match="in epoch 4 at"):
        fit(net, X, y, validation=(X, y), patience=9, schedule=lambda epoch: 0.01 if epoch < 3 else 1e30)
    np.testing.assert_array_equal(net.parameters, best.parameters)


def test_the_last_step_may_not_leave_infinite_weights():
    net, (X, y) = Network(AGE, Random(0.5)), data(AGE)
    with pytest.raises(TrainingDiverged, match="weights stopped being finite in epoch 1 at"):
        fit(net, X, y, epochs=1, batch_size=50, schedule=1e38)
    assert np.isfinite(net.parameters).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        *[({name: bad}, f"{name} must be a whole number >= 1, not {bad!r}")
          for name in ("epochs", "batch_size", "patience") for bad in (0, 2.0, True, "5")],
        *[({"momentum": bad}, "momentum must be a finite number >= 0 and below 1, not ")
          for bad in (1.0, -0.1, np.nan, "0.9")],
        *[({"weight_decay": bad}, "weight_decay must be a finite number >= 0") for bad in (-1, np.inf, None)],
        *[({"schedule": bad}, f"schedule, .* must be a finite number > 0, not {bad!r}") for bad in (0, "step")],
        *[({"schedule": lambda epoch, bad=bad: bad}, rf"schedule\(0\) must be a finite number >= 0, not {bad}")
          for bad in (None, np.nan, -1)],
        *[({"validation": bad}, r"validation must be a pair \(X, y\)")
          for bad in (50, 0.1, True, (1,), (1, 2, 3), {"X": 1, "y": 2})],
        ({"validation": (data(AGE)[0][:, 1:], data(AGE)[1])}, r"validation must be .*: X must have shape \(n, 6\)"),
        ({"validation": (data(AGE)[0], data(AGE)[1][1:])}, "validation must be .* number of rows: 50 and 49"),
        ({"patience": 5}, r"patience needs validation=\(X, y\)"),
    ],
)  # fmt: skip
def test_bad_settings_say_what_is_allowed(settings, message):
    with pytest.raises(ValueError, match=message):
        fit(Network(AGE), *data(AGE), **settings)


def test_settings_may_be_numpys_numbers():
    X, y = data(AGE)
    history = fit(
        Network({**AGE, "layers": np.array([6, 5, 1])}), X, y, validation=(X, y), epochs=np.int64(2),
        batch_size=np.int32(8), schedule=np.float32(0.25), momentum=np.float32(0.5), weight_decay=np.float64(0),
        patience=np.uint8(9),
    )  # fmt: skip
    assert history.learning_rate == [0.25, 0.25]
    assert {type(value) for value in history.learning_rate + history.train_loss} == {float}
