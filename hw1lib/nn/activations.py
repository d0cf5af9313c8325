"""Activation functions (report, 2.2.1, 2.2.3 and 2.2.7): a value and a derivative.

Rows are samples: ``z`` (n, units), of pictures (n, C, H, W), are the weighted sums of a layer, and
``a = f(z)`` its outputs.
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit


class Activation:
    """A function ``a = f(z)``; subclasses give its value and its derivative."""

    def __call__(self, z):
        """Return ``f(z)``, a new array of the shape of ``z``."""
        raise NotImplementedError(f"{type(self).__name__} needs a method __call__(self, z)")

    def derivative(self, z, a):
        """Return ``f'(z)``, elementwise, written with ``z``, ``a = f(z)`` or both."""
        raise NotImplementedError(f"{type(self).__name__} needs a method derivative(self, z, a)")

    def backward(self, grad, z, a):
        """Return the loss's gradient with respect to ``z`` from ``grad``, that of ``a``."""
        return grad * self.derivative(z, a)

    def __repr__(self):
        return f"{type(self).__name__}()"


class LeakyReLU(Activation):
    """``max(z, slope z)`` (report, 2.2.3; Maas et al. 2013). At 0 the derivative is the slope."""

    slope = 0.01  # a subclass may set another, at most 1

    def __call__(self, z):
        return np.maximum(z, self.slope * z)

    def derivative(self, z, a):
        positive = (z > 0).astype(z.dtype)  # 1 or 0
        return positive * (1 - self.slope) + self.slope  # 1 or the slope; faster than np.where


class ReLU(Activation):
    """``max(z, 0)``. At 0 the derivative is 0."""

    def __call__(self, z):
        return np.maximum(z, 0)

    def derivative(self, z, a):
        return (z > 0).astype(z.dtype)


class Sigmoid(Activation):
    """``1 / (1 + exp(-z))``; SciPy's expit is safe for any finite ``z``."""

    def __call__(self, z):
        return expit(z)

    def derivative(self, z, a):
        return a * (1 - a)


class Tanh(Activation):
    """``tanh(z)``."""

    def __call__(self, z):
        return np.tanh(z)

    def derivative(self, z, a):
        return 1 - a * a


class Identity(Activation):
    """``z`` itself: a linear layer."""

    def __call__(self, z):
        return np.array(z)

    def derivative(self, z, a):
        return np.ones_like(a)


def _shifted(z):
    """Return ``z - max(z)`` of each row, turned to (k, n): softmax is the same, exp can't overflow.

    Over a few classes, sums down are several times faster than along.
    """
    z = z.T.copy()
    z -= z.max(axis=0)
    return z


@np.errstate(
    under="ignore"
)  # what is far below the largest is 0: no error, if a caller asks for some
def softmax(z):
    """Return ``exp(z_i) / sum_j exp(z_j)`` over each row of ``z`` (n, k)."""
    e = np.exp(_shifted(z))
    return (e / e.sum(axis=0)).T


@np.errstate(under="ignore")
def log_softmax(z):
    """Return the logarithm of ``softmax(z)``, finite for finite ``z`` of any size."""
    z = _shifted(z)
    return (z - np.log(np.exp(z).sum(axis=0))).T


class Softmax(Activation):
    """``exp(z_i) / sum_j exp(z_j)`` over each row (report, 2.2.7).

    The report says that its derivative is 1. But each output depends on every ``z`` of its row, so
    the derivative is a matrix, ``diag(a) - a a^T``; ``backward`` multiplies by it.
    """

    def __call__(self, z):
        return softmax(z)

    def derivative(self, z, a):
        raise ValueError("softmax's derivative is a matrix, diag(a) - a a^T: see its backward")

    def backward(self, grad, z, a):
        # (diag(a) - a a^T) grad = a grad - a (a . grad)
        return a * (grad - np.sum(grad * a, axis=-1, keepdims=True))


ACTIVATIONS: dict[str, Activation] = {
    "leaky_relu": LeakyReLU(),
    "relu": ReLU(),
    "sigmoid": Sigmoid(),
    "tanh": Tanh(),
    "identity": Identity(),
    "softmax": Softmax(),
}
