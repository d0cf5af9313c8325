"""Loss functions (report, 2.2.3 and 2.2.7): a value and its gradient, side by side.

Losses are summed over the outputs and averaged over the n rows of a batch, so that each gradient
contains 1/n.
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from hw1lib.checks import numbers
from hw1lib.nn.activations import log_softmax, softmax


def one_hot(labels, n_classes: int) -> np.ndarray:
    """Return the labels 0 .. n_classes - 1, (n,), as rows with a single 1, (n, n_classes)."""
    labels = numbers("labels", labels)
    hits = labels[..., None] == np.arange(n_classes)  # (n, n_classes)
    if labels.ndim != 1 or not hits.any(axis=1).all():
        allowed = f"from 0 to {n_classes - 1}, one of {n_classes} classes"
        raise ValueError(f"labels must be (n,) whole numbers {allowed}")
    return hits.astype(np.float32)


class Loss:
    """What is minimised, and the metric shown beside it.

    The methods take ``o`` and ``t``, both (n, k): the network's outputs, and the targets. A loss
    that contains the output activation takes the sums before it instead, the logits, as PyTorch's
    CrossEntropyLoss does. A loss of your own needs ``value`` and ``gradient``; the rest fits a
    regression (``score``, too, gets logits where the loss contains the activation).

    Attributes
    ----------
    output_activation : str or None
        Name of the activation that is part of the loss, which the network must then use.
    """

    output_activation: str | None = None

    def value(self, o, t) -> float:
        """Return the mean loss: summed over the outputs, averaged over the n rows."""
        raise NotImplementedError(f"{type(self).__name__} needs a method value(self, o, t)")

    def gradient(self, o, t):
        """Return the gradient of ``value`` with respect to ``o``, (n, k), with the mean's 1/n."""
        raise NotImplementedError(f"{type(self).__name__} needs a method gradient(self, o, t)")

    def score(self, o, t) -> float:
        """Return the metric that ``History`` records: here RMSE."""
        return float(np.sqrt(np.mean(np.square(o - t), dtype=np.float64)))

    def encode(self, y, n_outputs: int) -> np.ndarray:
        """Return the targets as an array of floats (n, n_outputs), checked."""
        y = numbers("y", y)
        T = y[:, None] if y.ndim == 1 else y
        if T.shape[1:] != (n_outputs,):
            wanted = f"(n, {n_outputs}) or (n,)" if n_outputs == 1 else f"(n, {n_outputs})"
            raise ValueError(f"y must have shape {wanted}, not {y.shape}")
        return T.astype(np.float64)

    def predict(self, a):
        """Return what the outputs ``a`` (n, k) say: values or class codes, (n,) or (n, k)."""
        return a[:, 0] if a.shape[1] == 1 else a

    def __repr__(self):
        return f"{type(self).__name__}()"


class L2(Loss):
    """``1/2 ||t - o||^2``; a row's gradient is ``o - t`` (the report prints ``||t - o||^2``).

    The mean over the rows is k / 2 times the mean squared error: RMSE = sqrt(2 loss / k).
    """

    def value(self, o, t):
        return float(np.sum(np.square(o - t), dtype=np.float64) / (2 * len(t)))

    def gradient(self, o, t):
        return (o - t) / len(t)


class NLL(Loss):
    """``-sum_j t_j log a_j`` with ``a = softmax(o)``: negative log likelihood, or cross-entropy.

    Rows of ``t`` are one-hot, or any numbers >= 0 that sum to 1. A row's gradient with respect to
    its logits ``o`` is ``a - t`` (Bishop 2006, 4.3.4); the report's ``a_i - 1`` is the entry of the
    true class.
    """

    output_activation = "softmax"

    def value(self, o, t):
        return float(-np.sum(t * log_softmax(o), dtype=np.float64) / len(t))

    def gradient(self, o, t):
        return (softmax(o) - t) / len(t)

    def score(self, o, t):
        return float(np.mean(o.argmax(axis=1) == t.argmax(axis=1)))

    def encode(self, y, n_outputs):
        if np.asarray(y).dtype.kind in "USO":
            raise ValueError(
                "y must be class codes, whole numbers from 0; names of classes are what "
                "nn.estimators.NetworkClassifier takes"
            )
        y = numbers("y", y)
        if y.ndim == 1:
            return one_hot(y, n_outputs)
        if y.shape[1:] != (n_outputs,) or (y < 0).any() or not np.allclose(y.sum(axis=1), 1):
            rows = f"rows (n, {n_outputs}) of numbers >= 0 that sum to 1, as one-hot rows do"
            raise ValueError(f"y must be class codes (n,), or {rows}; it has shape {y.shape}")
        return y.astype(np.float64)

    def predict(self, a):
        return a.argmax(axis=1)


class Logistic(Loss):
    """``-t log a - (1 - t) log(1 - a)`` with ``a = sigmoid(o)``; ``t`` from 0 to 1.

    A row's gradient with respect to its logits ``o`` is ``a - t`` (Bishop 2006, 4.3.2).
    """

    output_activation = "sigmoid"

    @np.errstate(under="ignore")
    def value(self, o, t):
        # log a = o - log(1 + e^o) and log(1 - a) = -log(1 + e^o): no log of a rounded 0
        return float(np.sum(np.logaddexp(0, o) - t * o, dtype=np.float64) / len(t))

    def gradient(self, o, t):
        return (expit(o) - t) / len(t)

    def score(self, o, t):
        return float(np.mean((o > 0) == (t > 0.5)))  # a logit o > 0 means a > 1/2

    def encode(self, y, n_outputs):
        y = super().encode(y, n_outputs)
        if (y < 0).any() or (y > 1).any():
            raise ValueError("y must lie between 0 and 1 for the logistic loss")
        return y

    def predict(self, a):
        codes = (a > 0.5).astype(np.int64)
        return codes[:, 0] if a.shape[1] == 1 else codes


class WeightedSum(Loss):
    """``sum_i weight_i loss_i``, each of its own outputs: one network learns several labels.

    ``parts`` are (weight, loss, outputs), in the order of the network's outputs, which need the
    activation "identity": values, and for NLL logits. ``y`` is (n, labels), one column a part, and
    so is what is predicted; the metric that ``History`` records is the first part's.
    """

    def __init__(self, *parts: tuple[float, Loss, int]):
        self.parts = parts

    def _columns(self):
        start = 0
        for weight, loss, outputs in self.parts:
            yield weight, loss, slice(start, start + outputs)
            start += outputs

    def value(self, o, t):
        return sum(weight * loss.value(o[:, c], t[:, c]) for weight, loss, c in self._columns())

    def gradient(self, o, t):
        columns = self._columns()
        return np.hstack([weight * loss.gradient(o[:, c], t[:, c]) for weight, loss, c in columns])

    def score(self, o, t):
        _, loss, first = next(self._columns())
        return loss.score(o[:, first], t[:, first])

    def encode(self, y, n_outputs):
        y = numbers("y", y, shape=(len(y), len(self.parts)))
        parts = zip(y.T, self.parts, strict=True)
        return np.hstack([loss.encode(values, outputs) for values, (_, loss, outputs) in parts])

    def predict(self, a):
        return np.stack([loss.predict(a[:, c]) for _, loss, c in self._columns()], axis=1)

    def __repr__(self):
        return f"WeightedSum{self.parts}"


LOSSES: dict[str, Loss] = {"l2": L2(), "nll": NLL(), "logistic": Logistic()}
