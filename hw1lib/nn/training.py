"""Gradient descent (report, 2.2.2 and 2.2.5): what every network here does with its forward and backward pass."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field

import numpy as np
from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

from hw1lib.checks import mendable, numbers, real_number, whole_number
from hw1lib.nn.activations import Activation
from hw1lib.nn.losses import Loss
from hw1lib.nn.schedules import Constant, as_schedule

EVALUATION_ROWS = 1024  # rows that go through a network at once outside training: its outputs stay in the cache


class TrainingDiverged(FloatingPointError, ValueError):
    """The loss stopped being finite; the message names the epoch and the learning rate."""


@dataclass
class History:
    """What training recorded, one entry an epoch.

    Training values are averages over the epoch's batches, while the weights change; validation values are taken at the
    epoch's end. A metric is RMSE or accuracy, as the loss says. The loss is the data's alone, without weight decay.
    """

    train_loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    train_metric: list[float] = field(default_factory=list)
    validation_metric: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)  # since the start of training

    def to_frame(self):
        """Return a pandas DataFrame, one row an epoch (from 1), one column a list that was filled."""
        import pandas as pd

        columns = {name: values for name, values in asdict(self).items() if values}
        return pd.DataFrame(columns, index=pd.RangeIndex(1, len(self.train_loss) + 1, name="epoch"))

    @property
    def best_epoch(self) -> int:
        """The epoch (from 1) with the lowest validation loss."""
        if not self.validation_loss:
            raise ValueError("there is no validation loss: fit(..., validation=(X, y)) records it")
        return int(np.argmin(self.validation_loss)) + 1


class Trainable:
    """A network that can be asked and trained; subclasses give its two passes.

    Attributes
    ----------
    parameters, gradient : ndarray, (n_parameters,)
        All weights and biases, and the last gradient of a batch's mean loss: one flat vector each, so that momentum,
        saving and gradient checks are one line.
    loss : Loss
    output_activation : Activation
    rng : numpy.random.Generator
        Draws the order of the rows in every epoch.
    """

    parameters: np.ndarray
    gradient: np.ndarray
    loss: Loss
    output_activation: Activation
    rng: np.random.Generator
    input_shape: tuple[int, ...]
    n_outputs: int
    _last: list | None = None  # what `forward` leaves for `backward`

    def _forward(self, X) -> list[np.ndarray]:
        """Return what ``_backward`` needs; the last entry is the output layer's sums Z (m, n_outputs)."""
        raise NotImplementedError

    def _backward(self, passed, delta) -> None:
        """Write ``gradient`` from what ``_forward`` returned, and dL/dZ of the output layer (m, n_outputs)."""
        raise NotImplementedError

    def _decay(self, weight_decay):
        """Return ``weight_decay`` for each weight and 0 for each bias, which does not decay, (n_parameters,)."""
        raise NotImplementedError

    # -- asking -----------------------------------------------------------------------------------------------------

    def forward(self, X) -> np.ndarray:
        """Return the outputs (n, n_outputs) for the inputs ``X`` (n, ...) (the report's forwProp)."""
        self._last = passed = self._forward(self._check_inputs(X).copy())  # X may change before ``backward``
        return self.output_activation(passed[-1])

    def backward(self, y, weight_decay: float = 0.0) -> np.ndarray:
        """Return the gradient of the mean loss of the last ``forward`` against the targets ``y``, as a flat vector.

        With ``weight_decay`` the gradient of ``weight_decay / 2 * sum(W**2)`` is added.
        """
        if self._last is None:
            raise ValueError("backward(y) needs the outputs of forward(X) first")
        Z = self._last[-1]
        self._backward(self._last, self._output_delta(Z, self._check_targets(y, len(Z))))
        return self.gradient + self._decay(weight_decay) * self.parameters

    def _output_delta(self, Z, T):
        """Return dL/dZ of the output layer, (m, n_outputs), L the mean loss."""
        if self.loss.built_in:  # its gradient is that with respect to the sums, through the output activation
            return self.loss.gradient(Z, T)
        A = self.output_activation(Z)
        return self.output_activation.backward(self.loss.gradient(A, T), A)

    def _loss_and_metric(self, Z, T) -> tuple[float, float]:
        o = Z if self.loss.built_in else self.output_activation(Z)
        return float(self.loss.value(o, T)), float(self.loss.score(o, T))

    def _sums(self, X) -> np.ndarray:
        """Return the output layer's sums Z (n, n_outputs), block by block."""
        blocks = [self._forward(X[i : i + EVALUATION_ROWS])[-1] for i in range(0, len(X), EVALUATION_ROWS)]
        return np.concatenate(blocks)

    def evaluate(self, X, y) -> tuple[float, float]:
        """Return the mean loss and the metric (RMSE or accuracy) on ``X`` (n, ...) and ``y``."""
        X = self._check_inputs(X)
        return self._loss_and_metric(self._sums(X), self._check_targets(y, len(X)))

    def outputs(self, X) -> np.ndarray:
        """Return what ``forward`` does, block by block, for any number of rows; nothing is kept for ``backward``."""
        return self.output_activation(self._sums(self._check_inputs(X)))

    def predict(self, X) -> np.ndarray:
        """Return values (n,) or (n, n_outputs) for a regression, class codes (n,) for a classification."""
        return self.loss.predict(self.outputs(X))

    # -- training ---------------------------------------------------------------------------------------------------

    def fit(
        self,
        X,
        y,
        validation=None,
        epochs=200,
        batch_size=128,
        schedule=Constant(1e-4),  # noqa: B008 - frozen, so shareable
        momentum=0.9,
        weight_decay=0.0,
        patience=None,
        progress=True,
    ) -> History:
        """Train by stochastic gradient descent with momentum, from the weights as they are and from rest.

        Per batch, with g the gradient of its mean loss: ``v <- momentum v - rate (g + weight_decay W)``, ``W <- W + v``
        (Polyak 1964; the report calls weight_decay "lambda"). Biases do not decay.

        Parameters
        ----------
        X : array_like, (n, ...)
        y : array_like, (n,) or (n, n_outputs)
            Values; for NLL one-hot rows or class codes.
        validation : (array_like, array_like), optional
            Inputs and targets that are evaluated after every epoch, never trained on.
        epochs, batch_size : int
        schedule : Schedule or float
            The learning rate of each epoch.
        momentum, weight_decay : float
        patience : int, optional
            Stop once the validation loss has not improved for so many epochs, and go back to the best weights.
        progress : bool
            Show a bar over the epochs.

        Raises
        ------
        ValueError
            For arguments that are not allowed; the message says what is.
        TrainingDiverged
            When the loss stops being finite: the learning rate is too large.
        """
        schedule = as_schedule(schedule)
        epochs, batch_size = whole_number("epochs", epochs), whole_number("batch_size", batch_size)
        momentum = real_number("momentum", momentum, below=1)
        weight_decay = real_number("weight_decay", weight_decay)
        if patience is not None and whole_number("patience", patience) and validation is None:
            raise ValueError("patience needs validation=(X, y): early stopping watches its loss")
        X = self._check_inputs(X)
        T = self._check_targets(y, len(X))
        if validation is not None:
            Xv = self._check_inputs(validation[0])
            Tv = self._check_targets(validation[1], len(Xv))
        velocity = np.zeros_like(self.parameters)
        history, start = History(), time.perf_counter()
        best, best_epoch, best_parameters = np.inf, 0, self.parameters

        # one BLAS thread: on products this small a second one mostly waits, and starves whatever runs beside it
        with threadpool_limits(1, "blas"), np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            for epoch in tqdm(range(epochs), desc="training", unit="epoch", disable=not progress, leave=False):
                rate = float(schedule(epoch))
                loss, metric = self._epoch(X, T, velocity, batch_size, rate, momentum, weight_decay)
                history.train_loss.append(loss)
                history.train_metric.append(metric)
                history.learning_rate.append(rate)
                if validation is not None:
                    loss, metric = self._loss_and_metric(self._sums(Xv), Tv)
                    history.validation_loss.append(loss)
                    history.validation_metric.append(metric)
                history.seconds.append(time.perf_counter() - start)
                if not np.isfinite(history.train_loss[-1] + loss):
                    said = f"the loss stopped being finite in epoch {epoch + 1} at learning rate {rate:g}"
                    remedy = "take a smaller learning rate, or bring inputs and targets to a size near 1"
                    raise mendable(TrainingDiverged(f"{said}: {remedy}"))
                if patience is not None and loss < best:
                    best, best_epoch, best_parameters = loss, epoch, self.parameters.copy()
                if patience is not None and epoch - best_epoch >= patience:
                    break
        self.parameters[...] = best_parameters
        return history

    def _epoch(self, X, T, velocity, batch_size, rate, momentum, weight_decay):
        """Train on every row once, in a new order; return the mean loss and the metric on the way."""
        decay = self._decay(weight_decay)
        order = self.rng.permutation(len(X))
        T = T[order]
        Z = np.empty_like(T)  # the output layer's sums of the whole epoch: the loss is computed once, at its end
        for start in range(0, len(X), batch_size):
            rows = slice(start, start + batch_size)
            passed = self._forward(X.take(order[rows], axis=0))
            Z[rows] = passed[-1]
            self._backward(passed, self._output_delta(Z[rows], T[rows]))
            gradient = self.gradient + decay * self.parameters if weight_decay else self.gradient
            velocity *= momentum
            velocity -= rate * gradient
            self.parameters += velocity
        return self._loss_and_metric(Z, T)

    # -- checks -----------------------------------------------------------------------------------------------------

    def _check_inputs(self, X):
        X = numbers("X", X)
        if X.shape[1:] != self.input_shape or len(X) == 0:
            wanted = ", ".join(map(str, self.input_shape))
            raise ValueError(f"X must have shape (n, {wanted}) with n >= 1, not {X.shape}")
        return self._as_dtype("X", X)

    def _check_targets(self, y, n):
        T = self.loss.encode(y, self.n_outputs)
        if len(T) != n:
            raise ValueError(f"X and y must have the same number of rows: {n} and {len(T)}")
        return self._as_dtype("y", T)

    def _as_dtype(self, name, array):
        with np.errstate(over="ignore"):
            array = np.ascontiguousarray(array, self.parameters.dtype)
        if not np.isfinite(array).all():
            raise ValueError(f"{name} must be finite in {array.dtype}: it holds numbers that are too large")
        return array
