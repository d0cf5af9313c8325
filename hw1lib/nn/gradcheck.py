"""Is a network's gradient that of its loss? Central differences tell (report, 2.2.2)."""

from __future__ import annotations

import copy
import warnings

import numpy as np

WRONG = 1e-3  # relative errors from here on come from no rounding


def gradcheck(net, X, y, weight_decay: float = 0.0, epsilon: float = 1e-5) -> float:
    """Return the relative error ``|backward - numerical| / (|backward| + |numerical|)``.

    ``net`` has the dtype float64: float32 rounds off too early to take differences. ``X`` and ``y``
    are a batch. Each parameter is moved by ``epsilon`` either way; ``weight_decay`` adds
    ``weight_decay / 2 * sum(W**2)`` to the loss.

    Below 1e-6 the two are the same function, but for rounding; from 1e-3 on ``backward`` is wrong,
    and a warning says so. 0 where both gradients vanish.

    Where a ReLU's sum is 0, or two cells are equal that max pooling compares, the loss has a kink
    and no derivative. Parameters with a kink within ``epsilon`` are left out, and a warning says
    which. A network whose biases are all 0 has some.
    """
    numerical, kinks = _differences(net, X, y, weight_decay, epsilon)
    if kinks.any():
        said = f"{kinks.sum()} of {kinks.size} parameters lie on a kink of the loss"
        if kinks.all():
            raise ValueError(f"{said}: nothing to compare; move net.parameters a little")
        where = np.flatnonzero(kinks)
        warnings.warn(f"{said} and are left out: net.parameters[{where}]", stacklevel=2)
    twin = copy.deepcopy(net)  # whose last forward pass and gradient stay what they are
    twin.forward(X, training=True)
    backward = np.where(kinks, 0, twin.backward(y, weight_decay))
    numerical = np.where(kinks, 0, numerical)
    size = float(np.linalg.norm(backward) + np.linalg.norm(numerical))
    if size < 1e-12:
        return 0.0
    error = float(np.linalg.norm(backward - numerical)) / size
    if not error < WRONG:  # NaN, where either is NaN, is wrong, too
        said = "backward is wrong: its gradient is not that of the loss"
        warnings.warn(f"relative error {error:.2g}: {said}", stacklevel=2)
    return error


def _differences(net, X, y, weight_decay, epsilon) -> tuple[np.ndarray, np.ndarray]:
    """Return the central differences, and where the loss has a kink within ``epsilon``.

    Where the loss is smooth, the slopes to the right and to the left differ by a multiple of the
    step, so by half as much at half the step. At a kink they do not.
    """
    if net.dtype != np.float64:
        raise ValueError("gradcheck needs a network with dtype=np.float64")
    net = copy.deepcopy(net)
    X = net._inputs(X)
    T = net._targets(y, len(X))

    def loss_at(i, value):
        net.parameters[i] = value
        penalty = weight_decay / 2 * np.sum(net._decays * net.parameters**2)
        Z, _ = net._forward(X, training=True)  # as ``fit`` does: layers may then differ
        return net._loss_and_metric(Z, T)[0] + penalty

    gradient, bends = np.empty((2, net.parameters.size))
    for i, value in enumerate(net.parameters.copy()):
        here = loss_at(i, value)
        slopes = []
        for step in (epsilon, epsilon / 2):
            right = (loss_at(i, value + step) - here) / step
            left = (here - loss_at(i, value - step)) / step
            slopes.append((left, right))
        net.parameters[i] = value
        (left, right), (nearer_left, nearer_right) = slopes
        gradient[i] = (left + right) / 2
        bends[i] = abs((right - left) - 2 * (nearer_right - nearer_left))
    rounding = 1e-15 * max(1.0, abs(here)) / epsilon
    return gradient, bends > 1e-6 * np.abs(gradient).max() + 10 * rounding
