"""Training against its bare matrix products, PyTorch and scikit-learn.

Ratios are ours / theirs, from pairs measured in turn, so that both meet the same load; the median
counts. Each benchmark first asserts that both sides compute the same thing.
"""

from __future__ import annotations

import copy
import statistics
import time
import warnings

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor
from threadpoolctl import threadpool_limits

from hw1lib import nn

N, FEATURES, BATCH, RATE, MOMENTUM, ROUNDS = 16_200, 128, 128, 1e-3, 0.9, 9
CASES = {  # layers, loss
    "128-64-1, L2": ([FEATURES, 64, 1], "l2"),
    "128-64-16-1, L2": ([FEATURES, 64, 16, 1], "l2"),
    "128-64-5, NLL": ([FEATURES, 64, 5], "nll"),
}


def network(case, activation="leaky_relu", output="leaky_relu") -> nn.Network:
    layers, loss = CASES[case]
    output = "softmax" if loss == "nll" else output
    config = {"layers": layers, "activation": activation, "output_activation": output, "loss": loss}
    return nn.Network(config, nn.Xavier(), seed=0)


def data(case, n=N):
    rng = np.random.default_rng(1)
    X = rng.standard_normal((n, FEATURES), dtype=np.float32)
    if CASES[case][1] == "nll":
        return X, (X[:, :5] + rng.standard_normal((n, 5))).argmax(axis=1)
    return X, (X[:, :5].sum(axis=1) + 3 * rng.standard_normal(n)).astype(np.float32)


def row(what, against, ours, theirs, goal) -> dict:
    """Return the median of ours() / theirs(), both in seconds."""
    ratio = statistics.median(ours() / theirs() for _ in range(ROUNDS))
    return {"what": what, "against": against, "ratio": round(ratio, 3), "goal": goal}


def clock(work, *arguments, **settings) -> float:
    start = time.perf_counter()
    work(*arguments, **settings)
    return time.perf_counter() - start


def fit(net, X, y, validation=None, epochs=1, batch_size=BATCH) -> nn.History:
    return net.fit(X, y, validation, epochs, batch_size, RATE, MOMENTUM, progress=False)


def our_seconds(case, X, y, epochs, validation=None) -> float:
    """Return the seconds of ``epochs`` epochs of ``fit``, without its start."""
    seconds = fit(network(case), X, y, validation, epochs + 1).seconds
    return seconds[-1] - seconds[0]


def assert_same(net, weights, biases):
    for ours, theirs in zip(net.weights + net.biases, [*weights, *biases], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5)


# -- the floor: nothing but the matrix products --------------------------------------------------


def products(net, X, y):
    """Return the step's products as (left, right, out), on arrays that hold what they do in it."""
    A, steps, forward, backward = X, [], [], []
    for layer in net.layers:
        inputs = A
        A, back = layer.forward(inputs)
        steps.append((layer, inputs, back))
        if isinstance(layer, nn.Dense):
            forward.append((inputs, layer.W, np.empty_like(A)))
    delta = net._output_delta(A, net._targets(y, len(X)))
    for layer, inputs, back in reversed(steps):
        if isinstance(layer, nn.Dense):
            backward.append((inputs.T, delta, np.empty_like(layer.W)))
            if not layer.first:
                backward.append((delta, layer.W.T, np.empty_like(inputs)))
        delta = back(delta)
    return forward, backward


def multiply(calls):
    for left, right, out in calls:
        np.matmul(left, right, out=out)


def floor_of_epoch(case, X, y):
    """Return a function that does the products of an epoch of N rows."""
    net = network(case)
    forward, backward = products(net, X[:BATCH], y[:BATCH])
    full = forward + backward
    rest = [call for part in products(net, X[: N % BATCH], y[: N % BATCH]) for call in part]
    multiply(full)
    Z = net.preactivations(X[:BATCH])  # biases are still 0
    np.testing.assert_allclose(forward[-1][2], Z, rtol=1e-4, atol=1e-5)
    net.forward(X[:BATCH])
    net.backward(y[:BATCH])
    gradients = [out for left, _, out in backward if left.shape[1] == BATCH][::-1]
    for ours, W in zip(net.weight_gradients, gradients, strict=True):
        np.testing.assert_allclose(ours, W, rtol=1e-3, atol=1e-5)

    def epoch():
        for _ in range(N // BATCH):
            multiply(full)
        multiply(rest)

    return epoch


def against_the_floor(case, validated=False, epochs=8) -> dict:
    """One training step, everything included, against its matrix products."""
    X, y = data(case)
    validation = data(case, 1_800) if validated else None
    of_validation = products(network(case), *validation)[0] if validated else []
    with threadpool_limits(1):
        training = floor_of_epoch(case, X, y)

        def ours():
            return our_seconds(case, X, y, epochs, validation)

        def floor():
            for _ in range(epochs):
                training()
                multiply(of_validation)

        what, goal = f"training step {case}", 1.4
        if validated:
            minutes = ours() / epochs * 8_000 / 60
            what, goal = f"8,000 epochs {case}, {N:,} faces ({minutes:.1f} minutes)", 1.5
        return row(what, "its matrix products", ours, lambda: clock(floor), goal)


# -- PyTorch, eager ------------------------------------------------------------------------------


def torch_training(net, X, y):
    """Return PyTorch's ``epoch(order)`` for a copy of ``net``, and its linear layers."""
    linears, layers = [], []
    for W, b in zip(net.weights, net.biases, strict=True):
        linear = torch.nn.Linear(*W.shape)
        linear.weight.data = torch.from_numpy(W.T.copy())
        linear.bias.data = torch.from_numpy(b.copy())
        linears.append(linear)
        layers += [linear, torch.nn.LeakyReLU(0.01)]
    classes = net.config["loss"] == "nll"
    model = torch.nn.Sequential(*(layers[:-1] if classes else layers))
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=MOMENTUM)

    def half_squares(a, t):
        return (a - t).square().sum() / (2 * len(t))

    # its cross entropy takes the logits
    loss_function = torch.nn.CrossEntropyLoss() if classes else half_squares
    X, T = torch.from_numpy(X), torch.from_numpy(y if classes else y[:, None])

    def epoch(order):
        total, right = torch.zeros(()), torch.zeros((), dtype=torch.int64)
        for rows in torch.from_numpy(order).split(BATCH):
            target = T[rows]
            output = model(X[rows])
            loss = loss_function(output, target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(rows)
            if classes:
                right += (output.detach().argmax(1) == target).sum()
        return float(total) / len(order), int(right) / len(order)

    return epoch, linears


def against_pytorch(case, epochs=2) -> dict:
    """Epochs of training, the same data in memory, the same settings; threads as each does best."""
    X, y = data(case)
    net, few = network(case), 1_000  # eight steps, the last one uneven: the same loss and weights
    epoch, linears = torch_training(net, X[:few], y[:few])
    loss, _ = epoch(copy.deepcopy(net.rng).permutation(few))
    np.testing.assert_allclose(fit(net, X[:few], y[:few]).train_loss, [loss], rtol=1e-4)
    weights = [linear.weight.detach().numpy().T for linear in linears]
    assert_same(net, weights, [linear.bias.detach().numpy() for linear in linears])

    epoch, _ = torch_training(network(case), X, y)
    rng = np.random.default_rng(0)

    def theirs():
        return clock(lambda: [epoch(rng.permutation(N)) for _ in range(epochs)])

    def with_threads(n):
        torch.set_num_threads(n)
        return min(theirs(), theirs())

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(min((1, 2), key=with_threads))
        return row(
            f"epoch {case}", "PyTorch", lambda: our_seconds(case, X, y, epochs), theirs, 1 / 4
        )
    finally:
        torch.set_num_threads(before)


# -- scikit-learn --------------------------------------------------------------------------------


def scikit_model(case, **settings):
    layers, loss = CASES[case]
    return (MLPClassifier if loss == "nll" else MLPRegressor)(
        hidden_layer_sizes=layers[1:-1],
        activation="relu",
        solver="sgd",
        alpha=0,
        learning_rate_init=RATE,
        momentum=MOMENTUM,
        nesterovs_momentum=False,
        **{"batch_size": BATCH, "n_iter_no_change": 10**6, **settings},
    )


def assert_same_as_scikit_learn(case, X, y):
    """Take the same three steps on all rows: the same weights."""
    net, model = network(case, "relu", "identity"), scikit_model(case, batch_size=len(X))
    classes = {"classes": np.arange(5)} if CASES[case][1] == "nll" else {}
    model.partial_fit(X, y, **classes)  # makes the arrays
    model.coefs_ = [W.copy() for W in net.weights]
    model.intercepts_ = [b.copy() for b in net.biases]
    del model._optimizer  # and with it the velocities
    for _ in range(3):
        model.partial_fit(X, y)
    fit(net, X, y, epochs=3, batch_size=len(X))
    assert_same(net, model.coefs_, model.intercepts_)


def against_scikit_learn(case, epochs=4) -> dict:
    """``fit`` against MLPRegressor or MLPClassifier, solver "sgd", relu, the same settings."""
    X, y = data(case)
    assert_same_as_scikit_learn(case, X[:1_000], y[:1_000])

    def theirs(threads):
        with threadpool_limits(threads), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = scikit_model(case, max_iter=epochs, tol=0, random_state=0)
            return clock(model.fit, X, y)

    def ours():
        return clock(fit, network(case, "relu", "identity"), X, y, epochs=epochs)

    threads = min((1, 2), key=theirs)
    return row(f"fit {case}", "scikit-learn", ours, lambda: theirs(threads), 0.43)


def rows():
    """Yield every ratio, each with the most that is allowed."""
    for against in (against_the_floor, against_pytorch, against_scikit_learn):
        yield from map(against, CASES)
    yield against_the_floor("128-64-5, NLL", validated=True)
