"""Loss functions (report, 2.2.3 and 2.2.7): value and gradient of the same function, side by side.

With ``a`` (n, k) the network's outputs and ``t`` (n, k) the targets, ``a - t`` is the gradient in all three cases: for
L2 with respect to ``a``; for NLL after softmax, and for the logistic loss after a sigmoid, already with respect to the
weighted sums ``z``, because the derivatives of the pair cancel to it (Bishop 2006, sections 4.3.2 and 4.3.4). These two
are therefore tied to their output activation, and their values are computed from ``z``: finite for sums of any size.

Losses are summed over the outputs; the network averages them over the batch.
"""

from __future__ import annotations

import numpy as np


def as_numbers(name: str, values) -> np.ndarray:
    """Return ``values`` as an array of real numbers, or raise ValueError that names them."""
    try:
        array = np.asarray(values)
    except ValueError:
        raise ValueError(f"{name} must be an array, with rows of equal length") from None
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} must hold real numbers, not {array.dtype}")
    return array


def one_hot(labels, n_classes: int) -> np.ndarray:
    """Return the labels 0 .. n_classes - 1, shape (n,), as rows with a single 1: float32 (n, n_classes)."""
    labels = as_numbers("labels", labels)
    if labels.ndim != 1:
        raise ValueError(f"labels must have one dimension, not shape {labels.shape}")
    hits = labels[:, None] == np.arange(n_classes)  # (n, n_classes)
    if not hits.any(axis=1).all():
        raise ValueError(f"labels must be whole numbers from 0 to {n_classes - 1}, one of {n_classes} classes")
    return hits.astype(np.float32)


class Loss:
    """What is minimised, and the metric shown beside it.

    Attributes
    ----------
    metric : str
        "rmse" or "accuracy".
    output_activations : tuple of str or None
        The output activations that the loss is defined for; None means any.
    through_activation : bool
        Whether ``a - t`` is still to be carried back through the output activation.
    """

    metric = "accuracy"
    output_activations: tuple[str, ...] | None = None
    through_activation = False

    def evaluate(self, z, t, activation) -> tuple[float, float]:
        """Return the mean loss and the metric.

        Parameters
        ----------
        z, t : ndarray, (n, k)
            Weighted sums of the output layer, and the targets.
        activation : Activation
            Of the output layer.
        """
        raise NotImplementedError

    def encode(self, y, n_outputs: int) -> np.ndarray:
        """Return the targets as a float array (n, n_outputs), checked."""
        y = as_numbers("y", y)
        y = y[:, None] if y.ndim == 1 else y
        if y.ndim != 2 or y.shape[1] != n_outputs:
            raise ValueError(f"y must have shape (n, {n_outputs}), not {y.shape}")
        y = y.astype(np.float64)
        if not np.isfinite(y).all():
            raise ValueError("y must be finite: it holds NaN or infinite values")
        return y

    def predict(self, a):
        """Return what the outputs ``a`` (n, k) say: values (n,) or (n, k), or class codes (n,)."""
        raise NotImplementedError

    def __repr__(self):
        return f"{type(self).__name__}()"


class L2(Loss):
    """``1/2 ||t - a||^2``; its derivative is ``a - t`` (the report prints ``||t - a||^2``).

    Averaged over the batch it is half the mean squared error, so RMSE = sqrt(2 loss / outputs).
    """

    metric = "rmse"
    through_activation = True

    def evaluate(self, z, t, activation):  # noqa: D102
        squared = np.sum(np.square(activation(z) - t), dtype=np.float64)
        return float(squared / (2 * len(t))), float(np.sqrt(squared / t.size))

    def predict(self, a):  # noqa: D102
        return a[:, 0].copy() if a.shape[1] == 1 else a.copy()


def _first_largest(z):
    """Return ``z.argmax(axis=0)`` for few rows (k, n), many times faster."""
    rank = np.arange(len(z), 0, -1, dtype=np.int32)[:, None]  # the first of equal ones has the highest
    return len(z) - (rank * (z == z.max(axis=0))).max(axis=0)


class NLL(Loss):
    """``-sum_j t_j log a_j``, the negative log likelihood, after softmax; ``t`` one-hot.

    The gradient with respect to ``z`` is ``a - t``; the report's ``a_i - 1`` is its entry of the true class.
    """

    output_activations = ("softmax",)

    def evaluate(self, z, t, activation):  # noqa: D102
        z, t = (
            np.array(z.T, order="C"),
            np.array(t.T, order="C"),
        )  # (k, n): sums over few classes are several times faster down than along
        z -= z.max(axis=0)  # the same softmax, and exp can't overflow
        log_sum = np.log(np.exp(z).sum(axis=0))  # (n,); -log a_j = log_sum - z_j
        right = _first_largest(z) == _first_largest(t)
        return float(np.mean(log_sum) - np.vdot(z, t) / t.shape[1]), float(np.mean(right))  # the rows of t sum to 1

    def encode(self, y, n_outputs):  # noqa: D102
        y = as_numbers("y", y)
        if y.ndim == 1:
            return one_hot(y, n_outputs)
        y = super().encode(y, n_outputs)
        if (y < 0).any() or not np.allclose(y.sum(axis=1), 1):
            raise ValueError("y must be one-hot rows (each sums to 1), or a vector of class codes")
        return y

    def predict(self, a):  # noqa: D102
        return a.argmax(axis=1)


class Logistic(Loss):
    """``-t log a - (1 - t) log(1 - a)`` after a sigmoid; ``t`` 0 or 1.

    The gradient with respect to ``z`` is ``a - t``.
    """

    output_activations = ("sigmoid",)

    def evaluate(self, z, t, activation):  # noqa: D102
        loss = np.logaddexp(0, z) - t * z  # log(1 + e^z) - t z: the same, without the log of a rounded 0
        right = (z > 0) == (t > 0.5)
        return float(np.sum(loss, dtype=np.float64) / len(t)), float(np.mean(right))

    def encode(self, y, n_outputs):  # noqa: D102
        y = super().encode(y, n_outputs)
        if (y < 0).any() or (y > 1).any():
            raise ValueError("y must lie between 0 and 1 for the logistic loss")
        return y

    def predict(self, a):  # noqa: D102
        codes = (a > 0.5).astype(np.int64)
        return codes[:, 0] if a.shape[1] == 1 else codes


LOSSES = {"l2": L2(), "nll": NLL(), "logistic": Logistic()}
