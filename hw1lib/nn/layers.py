"""The layers of a network (report, 2.2.1, 2.2.2 and chapter 4).

``forward(A)`` returns a layer's outputs and a function ``backward``. That function takes the loss's
gradient with respect to the outputs, writes the one with respect to the layer's own weights and
biases, and returns the one with respect to the inputs ``A``: the chain rule, a layer at a time.

What ``backward`` needs of the forward pass, it holds itself. The layer keeps nothing between calls,
so that any number of threads may ask one network.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hw1lib.nn.activations import Activation
from hw1lib.nn.conv import (
    correlate,
    filters_gradient,
    images_gradient,
    max_pool,
    max_pool_backward,
)


class Layer:
    """A layer; one of your own needs ``forward``, and whatever else here is different for it.

    Attributes
    ----------
    shapes : dict
        The name of each parameter and its shape. For "W" the network sets ``layer.W``, and
        ``layer.dW`` where ``backward`` writes the gradient: both are parts of its flat vectors.
    decays : tuple of str
        The parameters that weight decay makes smaller.
    units : int or None
        Columns of the outputs (of pictures: channels), if they are not as many as the inputs have.
    first : bool
        Set by the network where nobody needs the gradient with respect to the inputs.
    """

    shapes: dict[str, tuple[int, ...]] = {}  # noqa: RUF012 - a subclass sets its own
    decays: tuple[str, ...] = ("W",)
    units: int | None = None
    first = False
    W: np.ndarray  # the network sets these, where ``shapes`` has them
    b: np.ndarray
    dW: np.ndarray
    db: np.ndarray

    def forward(self, A, training: bool = False) -> tuple[np.ndarray, Callable]:
        """Return the outputs for the inputs ``A`` (m, ...), and ``backward``, see above.

        Nothing is written into ``A``: it may be the caller's.

        ``training`` is True within ``fit``, for layers that then do something else.
        """
        raise NotImplementedError(f"{type(self).__name__} needs forward(self, A, training=False)")

    def initialize(self, draw: Callable) -> None:
        """Set the parameters, which are 0, to their first values.

        ``draw(fan_in, fan_out)`` returns weights of that shape from the network's initialiser.
        """

    def __getstate__(self):  # without W, dW, ...: the network that is copied sets them again
        parts = {*self.shapes, *(f"d{name}" for name in self.shapes)}
        return {name: value for name, value in vars(self).items() if name not in parts}

    def __repr__(self):
        return f"{type(self).__name__}()"


class Dense(Layer):
    """Weighted sums ``Z = A @ W + b``: rows are samples, W is (fan_in, fan_out).

    Back: ``dL/dW = A^T delta``, ``dL/db`` is the sum of delta's rows, ``dL/dA = delta W^T``, where
    ``delta = dL/dZ``. L is a batch's mean loss, so that its 1/m is in delta already.
    """

    def __init__(self, fan_in: int, fan_out: int):
        self.shapes = {"W": (fan_in, fan_out), "b": (fan_out,)}
        self.units = fan_out

    def initialize(self, draw):
        self.W[...] = draw(*self.W.shape)

    def forward(self, A, training=False):
        def backward(delta):  # dL/dZ, (m, fan_out)
            np.dot(A.T, delta, out=self.dW)
            ones = np.ones(len(delta), delta.dtype)
            np.dot(ones, delta, out=self.db)  # delta.sum(axis=0), but faster
            return None if self.first else np.dot(delta, self.W.T)

        Z = np.dot(A, self.W)  # as A @ self.W, but faster for a single output
        Z += self.b
        return Z, backward

    def __repr__(self):
        fan_in, fan_out = self.shapes["W"]
        return f"Dense({fan_in}, {fan_out})"


class Conv(Layer):
    """Filters of 3x3 cells over pictures (m, C, H, W), with zeros around: Z is (m, F, H, W)."""

    def __init__(self, channels: int, filters: int, bias: bool = True):
        self.shapes = {"W": (filters, channels, 3, 3)} | ({"b": (filters,)} if bias else {})
        self.units = filters

    def initialize(self, draw):
        filters, channels = self.W.shape[:2]
        # a column of what is drawn holds the 9 C weights of one filter; fan_out is F
        self.W[...] = draw(9 * channels, filters).T.reshape(self.W.shape)

    def forward(self, A, training=False):
        padded = np.pad(A, ((0, 0), (0, 0), (1, 1), (1, 1)))

        def backward(delta):  # dL/dZ, (m, F, H, W)
            self.dW[...] = filters_gradient(delta, padded, size=(3, 3))
            if "b" in self.shapes:
                np.einsum("mfhw->f", delta, out=self.db)  # delta.sum(axis=(0, 2, 3)), faster
            if self.first:
                return None
            return images_gradient(delta, padded.shape, self.W, padding=1)

        bias = self.b[:, None] if "b" in self.shapes else None
        return correlate(padded, self.W, bias=bias), backward

    def __repr__(self):
        filters, channels = self.shapes["W"][:2]
        return f"Conv({channels}, {filters})"


class MaxPool(Layer):
    """The largest cell of each square of 2x2; an odd last row or column is left out."""

    def forward(self, A, training=False):
        shape = A.shape  # (m, C, H, W)
        values, argmax = max_pool(A, 2)  # (m, C, H // 2, W // 2)

        def backward(grad):  # only what was the largest has a part in L
            return max_pool_backward(grad, argmax, shape)

        return values, backward


class BatchNorm(Layer):
    """``gamma * (A - mean) / sqrt(variance + eps) + beta``, each channel or unit by itself.

    In training, mean and variance are those of the batch, so that the layers before can change
    without the layers behind having to follow (Ioffe and Szegedy 2015). Asked afterwards, they are
    running means over the batches: parameters, so that they are saved and copied with the others,
    whose gradient is 0.
    """

    decays = ()
    eps, momentum = 1e-5, 0.1

    gamma: np.ndarray
    beta: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    dgamma: np.ndarray
    dbeta: np.ndarray

    def __init__(self, channels: int):
        self.shapes = dict.fromkeys(("gamma", "beta", "mean", "variance"), (channels,))

    def initialize(self, draw):
        self.gamma[...] = 1
        self.variance[...] = 1

    def forward(self, A, training=False):
        shape = A.shape  # (m, C, H, W), or (m, C)
        A = A.reshape(*shape[:2], -1)  # (m, C, cells)
        n = A.shape[0] * A.shape[2]  # numbers of each channel
        mean, variance = self.mean, self.variance
        if training:
            mean = np.einsum("mci->c", A) / n
        X = A - mean[:, None]
        if training:
            variance = np.einsum("mci,mci->c", X, X) / n
            self.mean += self.momentum * (mean - self.mean)
            self.variance += self.momentum * (variance * n / max(n - 1, 1) - self.variance)
        scale = 1 / np.sqrt(variance + self.eps)
        X *= scale[:, None]  # mean 0, variance 1

        def backward(delta):  # dL/d(outputs)
            delta = delta.reshape(A.shape)
            np.einsum("mci->c", delta, out=self.dbeta)
            np.einsum("mci,mci->c", delta, X, out=self.dgamma)
            if training:  # the batch's mean and variance depend on A, too
                delta = delta - (self.dbeta[:, None] + self.dgamma[:, None] * X) / n
            return (delta * (self.gamma * scale)[:, None]).reshape(shape)

        return (self.gamma[:, None] * X + self.beta[:, None]).reshape(shape), backward

    def __repr__(self):
        return f"BatchNorm({self.shapes['gamma'][0]})"


class Apply(Layer):
    """An activation: ``A = f(Z)``, and back ``dL/dZ = dL/dA * f'(Z)``."""

    def __init__(self, activation: Activation):
        self.activation = activation

    def forward(self, Z, training=False):
        A = self.activation(Z)

        def backward(grad):  # dL/dA
            return self.activation.backward(grad, Z, A)

        return A, backward

    def __repr__(self):
        return repr(self.activation)


class Flatten(Layer):
    """Pictures (m, C, H, W) as rows (m, C * H * W)."""

    def forward(self, A, training=False):
        shape = A.shape

        def backward(grad):
            return grad.reshape(shape)

        return A.reshape(len(A), -1), backward
