"""Activation functions (report, 2.2.1, 2.2.3 and 2.2.7).

Each is called on the weighted sums ``z`` (n, units) and returns the outputs ``a`` of the same shape. Its derivative is
written with ``a`` alone, and ``backward`` multiplies a gradient by it: from the outputs back to the sums.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.special import expit


def _like(a):
    """Return an array of the shape of ``a``, float also where ``a`` holds whole numbers."""
    return np.empty_like(a, np.result_type(a, np.float32))


@lru_cache(maxsize=8)
def _constant(value, shape, dtype):
    """Return an array that holds one value: np.maximum is three times faster with it than with a number."""
    array = np.full(shape, value, dtype)
    array.flags.writeable = False
    return array


class Activation:
    """An elementwise function ``a = f(z)``; subclasses give ``f`` and, written with ``a``, its derivative."""

    def __call__(self, z, out=None):
        """Return ``f(z)``, written into ``out`` (not ``z`` itself) if that is given."""
        raise NotImplementedError

    def derivative(self, a, out=None):
        """Return ``f'(z)`` where ``a = f(z)``, written into ``out`` (not ``a`` itself) if that is given."""
        raise NotImplementedError

    def forward(self, z, a, prime):
        """Write ``f(z)`` into ``a`` and ``f'(z)`` into ``prime``."""
        self(z, out=a)
        self.derivative(a, out=prime)

    def backward(self, grad, a, prime=None, out=None):
        """Return ``grad * f'(z)``: the loss's gradient with respect to ``z``, from that with respect to ``a``.

        ``prime`` is ``f'(z)`` where ``forward`` has left it; otherwise it is computed from ``a``.
        """
        return np.multiply(grad, self.derivative(a) if prime is None else prime, out=out)

    def __repr__(self):
        return f"{type(self).__name__}()"


class LeakyReLU(Activation):
    """``max(z, slope z)`` with slope 0.01 (report, 2.2.3; Maas et al. 2013). At 0 the derivative is the slope."""

    slope = 0.01

    def __call__(self, z, out=None):  # noqa: D102
        return np.maximum(z, np.multiply(z, self.slope), out=out)

    def derivative(self, a, out=None):  # noqa: D102
        out = _like(a) if out is None else out
        out[...] = a > 0  # 1 or 0, and a > 0 exactly where z > 0
        return np.maximum(out, _constant(self.slope, out.shape, out.dtype), out=out)

    def forward(self, z, a, prime):  # noqa: D102
        np.multiply(z, self.derivative(z, out=prime), out=a)  # z and a have the same sign


class ReLU(Activation):
    """``max(z, 0)``. At 0 the derivative is 0."""

    def __call__(self, z, out=None):  # noqa: D102
        return np.maximum(z, _constant(0, np.shape(z), np.result_type(z)), out=out)

    def derivative(self, a, out=None):  # noqa: D102
        out = _like(a) if out is None else out
        out[...] = a > 0
        return out


class Sigmoid(Activation):
    """``1 / (1 + exp(-z))``, safe for any finite ``z``."""

    def __call__(self, z, out=None):  # noqa: D102
        return expit(z, out=out)

    def derivative(self, a, out=None):  # noqa: D102
        return np.multiply(a, 1 - a, out=out)


class Tanh(Activation):
    """``tanh(z)``."""

    def __call__(self, z, out=None):  # noqa: D102
        return np.tanh(z, out=out)

    def derivative(self, a, out=None):  # noqa: D102
        return np.subtract(1, a * a, out=out)


class Identity(Activation):
    """``z`` itself: a linear layer."""

    def __call__(self, z, out=None):  # noqa: D102
        return np.positive(z, out=out)

    def derivative(self, a, out=None):  # noqa: D102
        out = _like(a) if out is None else out
        out[...] = 1
        return out


class Softmax(Activation):
    """``exp(z_i) / sum_j exp(z_j)`` over each row (report, 2.2.7).

    The report says that its derivative is one. It is the matrix ``diag(a) - a a^T``, and ``backward`` multiplies by it.
    """

    def __call__(self, z, out=None):  # noqa: D102
        out = _like(z) if out is None else out
        e = np.array(z.T, order="C")  # (units, n): sums over few units are several times faster down than along
        e -= e.max(axis=0)  # the quotient is the same, and exp can't overflow
        np.exp(e, out=e)
        np.divide(e, e.sum(axis=0), out=out.T)
        return out

    def forward(self, z, a, prime):  # noqa: D102
        self(z, out=a)

    def backward(self, grad, a, prime=None, out=None):  # noqa: D102
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
