"""Activation functions (report, 2.2.1, 2.2.3 and 2.2.7).

Each is called on the weighted sums ``z`` (n, units) and returns the outputs ``a`` of the same shape. ``backward``
carries a gradient from the outputs back to the sums; it is written with ``a`` alone, so that ``z`` need not be kept.
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit


class Activation:
    """An elementwise function ``a = f(z)``; subclasses give ``f`` and, written with ``a``, its derivative."""

    def __call__(self, z, out=None):
        """Return ``f(z)``, written into ``out`` (not ``z`` itself) if that is given."""
        raise NotImplementedError

    def derivative(self, a):
        """Return ``f'(z)`` where ``a = f(z)``."""
        raise NotImplementedError

    def backward(self, grad, a, out=None):
        """Return ``grad * f'(z)``: the loss's gradient with respect to ``z``, from that with respect to ``a``."""
        return np.multiply(grad, self.derivative(a), out=out)

    def __repr__(self):
        return f"{type(self).__name__}()"


class LeakyReLU(Activation):
    """``max(z, slope z)`` with slope 0.01 (report, 2.2.3; Maas et al. 2013). At 0 the derivative is the slope."""

    slope = 0.01

    def __call__(self, z, out=None):  # noqa: D102
        out = np.multiply(z, self.slope, out=out)
        return np.maximum(z, out, out=out)

    def derivative(self, a):  # noqa: D102
        # a > 0 exactly where z > 0; the cast keeps float32 in float32
        return np.where(a > 0, a.dtype.type(1), a.dtype.type(self.slope))


class ReLU(Activation):
    """``max(z, 0)``. At 0 the derivative is 0."""

    def __call__(self, z, out=None):  # noqa: D102
        return np.maximum(z, 0, out=out)

    def derivative(self, a):  # noqa: D102
        return a > 0


class Sigmoid(Activation):
    """``1 / (1 + exp(-z))``, safe for any finite ``z``."""

    def __call__(self, z, out=None):  # noqa: D102
        return expit(z, out=out)

    def derivative(self, a):  # noqa: D102
        return a * (1 - a)


class Tanh(Activation):
    """``tanh(z)``."""

    def __call__(self, z, out=None):  # noqa: D102
        return np.tanh(z, out=out)

    def derivative(self, a):  # noqa: D102
        return 1 - a * a


class Identity(Activation):
    """``z`` itself: a linear layer."""

    def __call__(self, z, out=None):  # noqa: D102
        return np.positive(z, out=out)

    def derivative(self, a):  # noqa: D102
        return np.ones_like(a)


class Softmax(Activation):
    """``exp(z_i) / sum_j exp(z_j)`` over each row (report, 2.2.7).

    The report says that its derivative is one. It is the matrix ``diag(a) - a a^T``, and ``backward`` multiplies by it.
    """

    def __call__(self, z, out=None):  # noqa: D102
        # the largest sum of each row is taken off first: the quotient is the same, and exp can't overflow
        out = np.subtract(z, z.max(axis=-1, keepdims=True), out=out)
        np.exp(out, out=out)
        out /= out.sum(axis=-1, keepdims=True)
        return out

    def backward(self, grad, a, out=None):  # noqa: D102
        along = np.sum(grad * a, axis=-1, keepdims=True)  # (n, 1)
        return np.multiply(a, grad - along, out=out)


ACTIVATIONS = {
    "leaky_relu": LeakyReLU(),
    "relu": ReLU(),
    "sigmoid": Sigmoid(),
    "tanh": Tanh(),
    "identity": Identity(),
    "softmax": Softmax(),
}
