"""Loss functions (report, 2.2.3 and 2.2.7): value and gradient of the same function, side by side.

With ``a`` (n, k) the network's outputs and ``t`` (n, k) the targets, ``a - t`` is the gradient in all three cases: for
L2 with respect to ``a``; for NLL after softmax, and for the logistic loss after a sigmoid, already with respect to the
weighted sums ``z``, because the derivatives of the pair cancel to it (Bishop 2006, sections 4.3.2 and 4.3.4). These two
are therefore tied to their output activation, and their values are computed from ``z``: finite for sums of any size.

Losses are summed over the outputs; the network averages them over the batch.
"""

from __future__ import annotations

import numpy as np


def one_hot(labels, n_classes: int) -> np.ndarray:
    """Return the labels 0 .. n_classes - 1, shape (n,), as rows with a single 1: float32 (n, n_classes)."""
    labels = np.asarray(labels)
    if labels.ndim != 1:
        raise ValueError(f"labels must have one dimension, not shape {labels.shape}")
    codes = labels.astype(np.int64) if np.isfinite(labels).all() else np.array([-1])
    if not np.array_equal(codes, labels) or (codes < 0).any() or (codes >= n_classes).any():
        raise ValueError(f"labels must be whole numbers from 0 to {n_classes - 1}, one of {n_classes} classes")
    return np.eye(n_classes, dtype=np.float32)[codes]


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

    def total(self, z, a, t, error) -> tuple[float, float]:
        """Return the loss and the metric's count, both summed over the batch.

        Parameters
        ----------
        z, a, t, error : ndarray, (n, k)
            Weighted sums of the output layer, its outputs, the targets, and ``a - t``.

        Returns
        -------
        loss, count : float
            ``count`` is the squared error, or the number of right predictions.
        """
        raise NotImplementedError

    def encode(self, y, n_outputs: int) -> np.ndarray:
        """Return the targets as a float array (n, n_outputs), checked."""
        y = np.asarray(y)
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

    def score(self, count: float, n: int, n_outputs: int) -> float:
        """Return the metric of ``n`` samples from the summed ``count``."""
        return count / n

    def __repr__(self):
        return f"{type(self).__name__}()"


class L2(Loss):
    """``1/2 ||t - a||^2``; its derivative is ``a - t`` (the report prints ``||t - a||^2``).

    Averaged over the batch it is half the mean squared error, so RMSE = sqrt(2 loss / outputs).
    """

    metric = "rmse"
    through_activation = True

    def total(self, z, a, t, error):  # noqa: D102
        squared = float(np.vdot(error, error))
        return squared / 2, squared

    def predict(self, a):  # noqa: D102
        return a[:, 0].copy() if a.shape[1] == 1 else a.copy()

    def score(self, count, n, n_outputs):  # noqa: D102
        return (count / (n * n_outputs)) ** 0.5


class NLL(Loss):
    """``-sum_j t_j log a_j``, the negative log likelihood, after softmax; ``t`` one-hot.

    The gradient with respect to ``z`` is ``a - t``; the report's ``a_i - 1`` is its entry of the true class.
    """

    output_activations = ("softmax",)

    def total(self, z, a, t, error):  # noqa: D102
        largest = z.max(axis=1)
        log_sum = np.log(np.exp(z - largest[:, None]).sum(axis=1)) + largest  # (n,)
        z_true = np.einsum("ij,ij->i", z, t)
        right = z.argmax(axis=1) == t.argmax(axis=1)
        return float(log_sum.sum() - z_true.sum()), float(np.count_nonzero(right))  # the rows of t sum to 1

    def encode(self, y, n_outputs):  # noqa: D102
        y = np.asarray(y)
        if y.ndim == 1:
            return one_hot(y, n_outputs).astype(np.float64)
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

    def total(self, z, a, t, error):  # noqa: D102
        loss = np.logaddexp(0, z) - t * z  # log(1 + e^z) - t z: the same, without the log of a rounded 0
        right = (z > 0) == (t > 0.5)
        return float(loss.sum()), float(np.count_nonzero(right)) / z.shape[1]

    def encode(self, y, n_outputs):  # noqa: D102
        y = super().encode(y, n_outputs)
        if (y < 0).any() or (y > 1).any():
            raise ValueError("y must lie between 0 and 1 for the logistic loss")
        return y

    def predict(self, a):  # noqa: D102
        codes = (a > 0.5).astype(np.int64)
        return codes[:, 0] if a.shape[1] == 1 else codes


LOSSES = {"l2": L2(), "nll": NLL(), "logistic": Logistic()}
