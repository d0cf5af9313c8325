"""Gradient descent against scikit-learn, PyTorch and steps by hand; history; what is refused."""

import copy
import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import metrics
from sklearn.neural_network import MLPClassifier, MLPRegressor
from threadpoolctl import threadpool_info, threadpool_limits

from hw1lib import nn


def test_steps_of_momentum_and_weight_decay_by_hand():
    # a = w x + b on two rows, x = 1, t = 3 and x = 2, t = 4; w = 1, b = 0: errors -2, -2
    linear = {"activation": "identity", "output_activation": "identity", "loss": "l2"}
    net = nn.Network({"layers": [1, 1], **linear}, lambda *fans: np.ones(fans[:2]), 0, np.float64)
    settings = {"batch_size": 2, "momentum": 0.5, "weight_decay": 1.0, "progress": False}
    X, y = [[1], [2]], [3, 4]
    history = net.fit(X, y, epochs=2, learning_rate=lambda epoch: 0.1 * (epoch + 1), **settings)
    # step 1: g_w = (-2 * 1 - 2 * 2) / 2 = -3, g_b = -2; v_w = -0.1 (-3 + 1) = 0.2, v_b = 0.2
    # step 2: w = 1.2, b = 0.2: errors 1.4 - 3 = -1.6, 2.6 - 4 = -1.4; the rate is 0.2
    #         g_w = (-1.6 - 2.8) / 2 = -2.2, g_b = -1.5
    #         v_w = 0.5 * 0.2 - 0.2 (-2.2 + 1.2) = 0.3, v_b = 0.5 * 0.2 + 0.3 = 0.4
    assert net.parameters.tolist() == pytest.approx([1.5, 0.6], rel=1e-12)
    assert net.gradient.tolist() == pytest.approx([-2.2, -1.5], rel=1e-12)
    assert history.learning_rate == [0.1, 0.2]
    mse = 2.0**2, (1.6**2 + 1.4**2) / 2
    assert history.train_loss == pytest.approx([each / 2 for each in mse], rel=1e-12)  # no decay
    assert history.train_metric == pytest.approx([each**0.5 for each in mse], rel=1e-12)
    # the next fit starts from rest: errors -0.9, -0.4; v_w = -0.1 (-0.85 + 1.5), v_b = 0.065
    net.fit(X, y, epochs=1, learning_rate=0.1, **settings)
    assert net.parameters.tolist() == pytest.approx([1.435, 0.665], rel=1e-12)


@pytest.mark.parametrize(("name", "dtype"), [("age", np.float64), ("race", np.float32)])
@pytest.mark.parametrize(("momentum", "weight_decay", "batch_size"), [(0, 0, 1), (0.9, 0.1, 16)])
def test_training_is_scikit_learns(
    configs, network, batch, name, dtype, momentum, weight_decay, batch_size
):
    config = {**configs[name], "activation": "tanh"}
    X, y = batch(config)  # 50 rows: of 16 a batch, the last one has 2
    X, regression = X.astype(dtype), name == "age"
    net = network(config, dtype)
    model = (MLPRegressor if regression else MLPClassifier)(
        hidden_layer_sizes=config["layers"][1:-1],
        activation="tanh",
        solver="sgd",
        batch_size=50,
        learning_rate_init=0.05,
        momentum=momentum,
        nesterovs_momentum=False,
    )
    model.partial_fit(X, y, **({} if regression else {"classes": [0, 1, 2]}))  # makes the arrays
    model.coefs_ = [W.copy() for W in net.weights]
    model.intercepts_ = [b.copy() for b in net.biases]
    del model._optimizer  # and with it the velocities
    rng, losses = copy.deepcopy(net.rng), []
    for _ in range(3):
        order, outputs = rng.permutation(50), []
        for start in range(0, 50, batch_size):
            rows = order[start : start + batch_size]
            outputs.append(model.predict(X[rows]) if regression else model.predict_proba(X[rows]))
            # its decay is divided by the rows of the batch
            model.set_params(batch_size=len(rows), alpha=weight_decay * len(rows))
            model.partial_fit(X[rows], y[rows])
        loss = metrics.mean_squared_error if regression else metrics.log_loss
        losses.append(loss(y[order], np.concatenate(outputs)) / (2 if regression else 1))
    settings = {"momentum": momentum, "weight_decay": weight_decay, "progress": False}
    history = net.fit(X, y, None, 3, batch_size, 0.05, **settings)
    close = {"rtol": 1e-3, "atol": 1e-5} if dtype == np.float32 else {"rtol": 1e-9, "atol": 1e-12}
    theirs = model.coefs_ + model.intercepts_
    for ours, expected in zip(net.weights + net.biases, theirs, strict=True):
        assert_allclose(ours, expected, **close)
    assert_allclose(history.train_loss, losses, **close)


def test_the_same_seed_gives_the_same_weights_to_the_bit(age, batch, fit):
    X, y = batch(age, 100)

    def trained(seed=3, threads=None, **settings):
        with threadpool_limits(threads):
            return fit(nn.Network(age, "he", seed), X, y, **settings).parameters

    first = trained()
    for same in (trained(threads=2), trained(validation=(X, y))):
        assert_array_equal(same, first)
    assert (trained(4) != first).any()


def test_small_products_are_left_to_one_thread(age, network, batch, fit):
    def threads():
        return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}

    seen = set()
    with threadpool_limits(2, "blas"):
        fit(network(age), *batch(age), learning_rate=lambda epoch: seen.update(threads()) or 1e-4)
        assert threads() == {2}
    assert seen == {1}


def test_progress_shows_a_bar(configs, network, batch, fit, capsys):
    for progress in (True, False):
        fit(network(configs["age"]), *batch(configs["age"]), progress=progress)
        assert ("training" in capsys.readouterr().err) == progress


def test_where_numpy_raises_for_every_rounding_all_goes_on(config, network, batch, fit):
    X, y = batch(config)
    net = network({**config, "activation": "sigmoid"}, np.float32)
    wide = network({**config, "activation": "tanh"}, np.float32)
    wide.parameters[...] *= 1e38  # whose products overflow
    with np.errstate(all="raise"):
        fit(net, X, y, validation=(X, y), weight_decay=1e-30)
        for asked in (net, wide):
            asked.predict(30 * X), asked.evaluate(30 * X, y)
            asked.forward(30 * X), asked.backward(y)


def test_validation_is_taken_at_the_end_of_each_epoch(age, network, batch, fit):
    (X, y), (Xv, yv) = batch(age, 64), batch(age, 300, seed=1)
    step, settings = network(age), {"batch_size": 16, "learning_rate": 0.01, "momentum": 0}
    history = network(age).fit(X, y, (Xv, yv), 3, progress=False, **settings)
    for loss, rmse in zip(history.validation_loss, history.validation_metric, strict=True):
        fit(step, X, y, epochs=1, momentum=0)
        mse = np.mean((step.forward(Xv)[:, 0] - yv) ** 2)  # all rows in one piece
        assert (loss, rmse) == pytest.approx((mse / 2, mse**0.5), rel=1e-10)


def test_history_becomes_a_table(age, network, batch):
    X, y = batch(age)
    rates = nn.ExponentialDecay(1e-3, 0.5)
    frame = network(age).fit(X, y, (X, y), 3, learning_rate=rates, progress=False).to_frame()
    columns = "train_loss validation_loss train_metric validation_metric learning_rate seconds"
    assert " ".join(frame) == columns
    assert (frame.index.name, frame.index.tolist()) == ("epoch", [1, 2, 3])
    assert frame["learning_rate"].tolist() == [1e-3, 5e-4, 2.5e-4]
    assert frame["seconds"].is_monotonic_increasing
    without = network(age).fit(X, y, epochs=2, progress=False)
    assert " ".join(without.to_frame()) == "train_loss train_metric learning_rate seconds"
    with pytest.raises(ValueError, match="no validation loss"):
        _ = without.best_epoch
    assert nn.History(validation_loss=[3, 1, 2, 1]).best_epoch == 2


def test_patience_stops_and_goes_back_to_the_best_weights(configs, network, batch):
    config = {**configs["race"], "layers": [6, 30, 3]}
    (X, y), (Xv, yv) = batch(config, 40), batch(config, 40, seed=1)
    settings = {"validation": (Xv, yv), "batch_size": 8, "learning_rate": 0.05, "progress": False}
    net = network(config)
    history = net.fit(X, y, epochs=500, patience=7, **settings)
    assert len(history.validation_loss) == history.best_epoch + 7 < 500
    best = min(history.validation_loss)
    assert net.evaluate(Xv, yv) == (best, history.validation_metric[history.best_epoch - 1])


# -- augment -------------------------------------------------------------------------------------


def test_about_half_of_each_batch_is_flipped():
    X = np.random.default_rng(0).integers(0, 256, (2000, 2, 3, 4), dtype=np.uint8)
    new = nn.random_flip(X, np.random.default_rng(1))
    same, flipped = (np.all(new == other, axis=(1, 2, 3)) for other in (X, X[:, :, :, ::-1]))
    assert np.all(same ^ flipped)
    assert 900 < flipped.sum() < 1100
    assert new.dtype == np.uint8


def test_training_meets_what_augment_returns_and_evaluation_does_not(age, network, batch, fit):
    X, y = batch(age, 24)
    seen = []

    def minus(rows, rng):
        seen.append((rows, rng))
        return -rows

    net, twin = network(age), network(age)
    settings = {"batch_size": 10, "learning_rate": 0.01, "progress": False}
    history = net.fit(X, y, (X, y), 2, augment=minus, **settings)
    assert_array_equal(net.parameters, fit(twin, -X, y, batch_size=10).parameters)
    assert history.validation_loss[-1] == net.evaluate(X, y)[0]
    assert [(len(rows), rng) for rows, rng in seen] == [(n, net.rng) for n in [10, 10, 4] * 2]


def test_a_fit_never_holds_all_pictures_as_floats(configs):
    X = np.zeros((4000, 3, 20, 20), np.uint8)
    sizes = {"picture": [3, 20, 20], "filters": [2]}
    net = nn.Network({**configs["age of pictures"], **sizes})
    tracemalloc.start()
    try:
        net.fit(X, np.zeros(4000), (X, np.zeros(4000)), 1, batch_size=50, progress=False)
        assert tracemalloc.get_traced_memory()[1] < X.size  # a quarter of what the floats take
    finally:
        tracemalloc.stop()


# -- what goes wrong -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("factor", "settings", "word"),
    [
        (20_000, {"epochs": 1000}, r"in epoch (\d+) at .*a size near 1"),  # house prices
        (50, {"learning_rate": 1e38, "epochs": 1, "batch_size": 50}, "weights .* in epoch 1 at"),
    ],
)
def test_training_that_diverges_is_stopped_and_named(
    age, network, batch, fit, factor, settings, word
):
    X, y = batch(age)
    net = network({**age, "activation": "relu"}, np.float32)
    before = net.parameters.copy()
    with pytest.raises(nn.TrainingDiverged, match=word):
        fit(net, X, y * factor, **{"batch_size": 8, **settings})
    assert_array_equal(net.parameters, before)  # a smaller rate may be tried at once
    fit(net, X, y, learning_rate=1e-4)


def test_patience_keeps_the_best_weights_from_a_later_divergence(age, network, batch, fit):
    X, y = batch(age)
    best, net = fit(network(age), X, y, epochs=3, learning_rate=1e-3), network(age)

    def rates(epoch):
        return 1e-3 if epoch < 3 else 1e300

    with pytest.raises(nn.TrainingDiverged, match="in epoch 4 at"):
        fit(net, X, y, validation=(X, y), patience=9, learning_rate=rates, epochs=9)
    assert_array_equal(net.parameters, best.parameters)


@pytest.mark.parametrize(
    ("setting", "bad", "word"),
    [
        ("epochs", 0, "epochs must be a whole number >= 1"),
        ("batch_size", 2.5, "batch_size must be a whole number >= 1"),
        ("patience", "5", "patience must be a whole number >= 1"),
        ("momentum", 1.0, "momentum must be a finite number >= 0 and below 1"),
        ("weight_decay", -1, "weight_decay must be a finite number >= 0"),
        ("learning_rate", lambda epoch: -1.0, r"learning_rate\(0\) must be a finite number"),
        ("validation", (np.ones((3, 1)), np.ones(3)), "the validation's X must have shape"),
        ("validation", None, r"patience needs validation=\(X, y\)"),
        ("augment", lambda rows, rng: rows[..., 1:], r"augment returns must have shape \(n, "),
    ],
)
def test_bad_settings_say_what_is_allowed(age, network, batch, fit, setting, bad, word):
    X, y = batch(age)
    with pytest.raises(ValueError, match=word):
        fit(network(age), X, y, **{"validation": (X, y), "patience": 5, setting: bad})
