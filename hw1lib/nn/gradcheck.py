"""Central differences against ``backward`` of a network (report, 2.2.2): the test that a gradient is the loss's own."""

from __future__ import annotations

import numpy as np


def numerical_gradient(net, X, y, weight_decay: float = 0.0, epsilon: float = 1e-5) -> np.ndarray:
    """Return the gradient of the mean loss by central differences, (n_parameters,): two forward passes a parameter.

    Parameters
    ----------
    net : Network or ConvNetwork
        With dtype float64; float32 rounds off too early to take differences.
    X, y : array_like
        A batch, as for ``net.fit``.
    weight_decay : float
        Adds ``weight_decay / 2 * sum(W**2)`` to the loss.
    epsilon : float
        Each parameter is moved so far either way.
    """
    if net.dtype != np.float64:
        raise ValueError("gradcheck needs a network with dtype=np.float64")
    gradient = np.empty_like(net.parameters)
    for i, value in enumerate(net.parameters.copy()):
        sides = []
        for moved in (value + epsilon, value - epsilon):
            net.parameters[i] = moved
            penalty = weight_decay / 2 * sum(np.sum(W**2) for W in net.weights)
            sides.append(net.evaluate(X, y)[0] + penalty)
        net.parameters[i] = value
        gradient[i] = (sides[0] - sides[1]) / (2 * epsilon)
    return gradient


def gradcheck(net, X, y, weight_decay: float = 0.0, epsilon: float = 1e-5) -> float:
    """Return the relative error ``|backward - numerical| / (|backward| + |numerical|)`` (Euclidean norms).

    Below 1e-6 in float64 the two are the same function, but for rounding; 0 where both gradients vanish.
    """
    numerical = numerical_gradient(net, X, y, weight_decay, epsilon)
    net.forward(X)
    backward = net.backward(y, weight_decay)
    size = float(np.linalg.norm(backward) + np.linalg.norm(numerical))
    return (
        0.0 if size < 1e-12 else float(np.linalg.norm(backward - numerical)) / size
    )  # NaN where either is NaN
