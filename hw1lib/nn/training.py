"""What every network here does with its forward and backward pass: it answers, it trains, and it is kept in a file.

Training is gradient descent (report, 2.2.2 and 2.2.5).
"""

from __future__ import annotations

import copy
import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

from hw1lib.checks import mendable, numbers, real_number, whole_number
from hw1lib.files import read_npz, write_npz
from hw1lib.nn.activations import Activation
from hw1lib.nn.initializers import Zero
from hw1lib.nn.losses import Loss
from hw1lib.nn.schedules import Constant, as_schedule

EVALUATION_ROWS = 1024  # rows that go through a network at once outside training: its outputs stay in the cache


class TrainingDiverged(FloatingPointError, ValueError):
    """The loss or the weights stopped being finite; the message names the epoch and the learning rate."""


@dataclass
class History:
    """What training recorded, one entry an epoch.

    Training values cover all rows, each as the weights of its batch saw it; validation values are taken at the
    epoch's end. The metric is the loss's ``score``, RMSE or accuracy; weight decay has no part in the loss.
    """

    train_loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    train_metric: list[float] = field(default_factory=list)
    validation_metric: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)  # since the start of training

    def to_frame(self):
        """Return a pandas DataFrame: a row for each epoch, from 1, and a column for each list that is not empty."""
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
    """A network that can be asked and trained; a subclass sets these attributes and gives the first five methods."""

    kind: str  # of network, as its files say
    config: dict  # describes the network
    parameters: np.ndarray  # (n_parameters,), all in one vector: momentum, saving and gradient checks are one line
    gradient: np.ndarray  # (n_parameters,), the last one of a batch's mean loss, without weight decay
    weights: tuple[np.ndarray, ...]  # views into ``parameters``, layer by layer
    biases: tuple[np.ndarray, ...]
    weight_gradients: tuple[np.ndarray, ...]  # and into ``gradient``
    bias_gradients: tuple[np.ndarray, ...]
    _is_weight: np.ndarray  # (n_parameters,), 1 for each weight, and 0 for each bias, which does not decay
    dtype: np.dtype
    loss: Loss
    output_activation: Activation
    rng: np.random.Generator  # draws the order of the rows in every epoch
    input_shape: tuple[int, ...]  # of one row of X
    n_outputs: int
    _evaluation_rows = EVALUATION_ROWS
    _last: tuple | None = None  # what ``forward`` leaves for ``backward``

    def __init__(self, config, initializer, seed=0, dtype=np.float32):
        raise NotImplementedError

    @staticmethod
    def count_parameters(config) -> int:
        """Return how many parameters a network of this description has; ValueError if it describes none."""
        raise NotImplementedError

    def _views(self, flat) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
        """Return the weights and the biases of every layer, as views into a flat vector."""
        raise NotImplementedError

    def _forward(self, X) -> tuple[list, np.ndarray]:
        """Return the inputs of the layers and the output layer's weighted sums Z (m, n_outputs)."""
        raise NotImplementedError

    def _backward(self, inputs, delta):
        """Write ``gradient`` from the inputs of the layers, and dL/dZ of the output layer (m, n_outputs)."""
        raise NotImplementedError

    def _live_in(self, parameters, gradient) -> None:
        """Take these vectors, which may be parts of longer ones, as the parameters and the gradient."""
        self.parameters, self.gradient = parameters, gradient
        self.weights, self.biases = self._views(parameters)
        self.weight_gradients, self.bias_gradients = self._views(gradient)
        self._is_weight = np.zeros_like(parameters)
        for ones in self._views(self._is_weight)[0]:
            ones[...] = 1

    # -- asking -----------------------------------------------------------------------------------------------------

    def forward(self, X) -> np.ndarray:
        """Return the outputs (n, n_outputs) for the inputs ``X`` (n, ...) (the report's forwProp)."""
        self._last = self._forward(self._check_inputs(X).copy())  # X may change before ``backward``
        return self.output_activation(self._last[1])

    def backward(self, y, weight_decay: float = 0.0) -> np.ndarray:
        """Return the gradient of the mean loss of the last ``forward`` against the targets ``y``, as a flat vector.

        With ``weight_decay`` the gradient of ``weight_decay / 2 * sum(W**2)`` is added; ``gradient`` is without it.
        """
        weight_decay = real_number("weight_decay", weight_decay)
        if self._last is None:
            raise ValueError("backward(y) needs the outputs of forward(X) first; fit discards them")
        inputs, Z = self._last
        T = self._check_targets(y, len(Z))
        self._check_loss(Z, T)
        self._backward(inputs, self._output_delta(Z, T))
        return self.gradient + weight_decay * self._is_weight * self.parameters

    def _loss_takes(self, Z):
        return Z if self.loss.built_in else self.output_activation(Z)

    def _output_delta(self, Z, T):
        """Return dL/dZ of the output layer, (m, n_outputs), L the mean loss."""
        o = self._loss_takes(Z)
        gradient = self.loss.gradient(o, T)  # dL/dZ already, if the loss contains the output activation
        return gradient if self.loss.built_in else self.output_activation.backward(gradient, o)

    def _loss_and_metric(self, Z, T) -> tuple[float, float]:
        o = self._loss_takes(Z)
        return float(self.loss.value(o, T)), float(self.loss.score(o, T))

    def _weighted_sums(self, X) -> np.ndarray:
        """Return the output layer's weighted sums Z (n, n_outputs), block by block."""
        rows = self._evaluation_rows
        blocks = [self._forward(X[i : i + rows])[1] for i in range(0, len(X), rows)]
        return np.concatenate(blocks)

    def evaluate(self, X, y) -> tuple[float, float]:
        """Return the mean loss and the metric (RMSE or accuracy) on ``X`` (n, ...) and ``y``."""
        X, T = self._check_pair(X, y)
        return self._loss_and_metric(self._weighted_sums(X), T)

    def outputs(self, X) -> np.ndarray:
        """Return what ``forward`` does, block by block, for any number of rows; nothing is kept for ``backward``."""
        return self.output_activation(self._weighted_sums(self._check_inputs(X)))

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
        augment=None,
        progress=True,
    ) -> History:
        """Train by stochastic gradient descent with momentum, from the weights as they are; return what it recorded.

        Per batch, with g the gradient of its mean loss: ``v <- momentum v - rate (g + weight_decay W)``, ``W <- W + v``
        (Polyak 1964; the report calls weight_decay "lambda"). Biases do not decay. Each fit starts with ``v`` = 0.

        Parameters
        ----------
        X : array_like, (n, ...)
        y : array_like, (n,) or (n, n_outputs)
            Values; for NLL class codes (n,), or one-hot rows.
        validation : (array_like, array_like), optional
            Inputs and targets that are evaluated after every epoch, never trained on.
        epochs, batch_size : int
        schedule : Schedule, float or callable
            The learning rate, or a function from the epoch (from 0) to it.
        momentum, weight_decay : float
        patience : int, optional
            Stop early once the validation loss has not improved for so many epochs. The weights end as they were at the
            best epoch, also if ``epochs`` ran out.
        augment : callable, optional
            ``augment(rows, rng)`` returns what a batch trains on in place of its rows (m, ...) of ``X``, such as
            ``nn.mirrored`` for pictures; ``rng`` is the network's.
        progress : bool
            Show a bar over the epochs.

        Raises
        ------
        ValueError
            For arguments, and learning rates from ``schedule``, that are not allowed; the message says what is.
        TrainingDiverged
            When the loss or the weights stop being finite, most often because the learning rate is too large. The
            weights are then again those that fit began with; with ``patience``, those of the best epoch.
        """
        schedule = as_schedule(schedule)
        epochs, batch_size = whole_number("epochs", epochs), whole_number("batch_size", batch_size)
        momentum = real_number("momentum", momentum, below=1)
        weight_decay = real_number("weight_decay", weight_decay)
        if patience is not None:
            patience = whole_number("patience", patience)
            if validation is None:
                raise ValueError("patience needs validation=(X, y): early stopping watches its loss")
        X, T = self._check_pair(X, y)
        if validation is not None:
            try:
                Xv, yv = validation
                Xv, Tv = self._check_pair(Xv, yv)
            except (TypeError, ValueError) as error:
                raise ValueError(f"validation must be a pair (X, y): {error}") from error
        self._last = None  # ``backward`` would mix its activations with other weights
        velocity = np.zeros_like(self.parameters)
        history, start = History(), time.perf_counter()
        best, best_epoch, best_parameters = np.inf, 0, self.parameters.copy()

        # one BLAS thread: on products this small a second one mostly waits, and starves whatever runs beside it
        with threadpool_limits(1, "blas"), np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            self._check_loss(self._forward(X[:batch_size])[1], T[:batch_size])
            for epoch in tqdm(range(epochs), desc="training", unit="epoch", disable=not progress, leave=False):
                rate = real_number(f"schedule({epoch})", schedule(epoch))
                loss, metric = self._epoch(X, T, velocity, batch_size, rate, momentum, weight_decay, augment)
                watched = loss
                history.train_loss.append(loss)
                history.train_metric.append(metric)
                history.learning_rate.append(rate)
                if validation is not None:
                    watched, metric = self._loss_and_metric(self._weighted_sums(Xv), Tv)
                    history.validation_loss.append(watched)
                    history.validation_metric.append(metric)
                history.seconds.append(time.perf_counter() - start)
                if not (np.isfinite(loss + watched) and np.isfinite(self.parameters).all()):
                    self.parameters[...] = best_parameters
                    said = f"loss or weights stopped being finite in epoch {epoch + 1} at learning rate {rate:g}"
                    remedy = "take a smaller learning rate, or bring inputs and targets to a size near 1"
                    raise mendable(TrainingDiverged(f"{said}: {remedy}"))
                if patience is not None:
                    if watched < best:
                        best, best_epoch, best_parameters = watched, epoch, self.parameters.copy()
                    if epoch - best_epoch >= patience:
                        break
        if patience is not None:
            self.parameters[...] = best_parameters
        return history

    def _epoch(self, X, T, velocity, batch_size, rate, momentum, weight_decay, augment):
        """Train on every row once, in a new order; return the mean loss and the metric on the way."""
        decay = weight_decay * self._is_weight
        order = self.rng.permutation(len(X))
        T = T[order]
        Z = np.empty_like(T)  # the output layer's weighted sums of all rows: the loss is computed once, at the end
        for start in range(0, len(X), batch_size):
            rows = slice(start, start + batch_size)  # the last batch may be smaller
            batch = X.take(order[rows], axis=0)  # gathered batch by batch: no second copy of X
            if augment is not None:
                batch = self._check_inputs(augment(batch, self.rng))
            inputs, Z[rows] = self._forward(batch)
            self._backward(inputs, self._output_delta(Z[rows], T[rows]))
            gradient = (self.gradient + decay * self.parameters) if weight_decay else self.gradient
            velocity *= momentum
            velocity -= rate * gradient
            self.parameters += velocity
        return self._loss_and_metric(Z, T)

    # -- files ------------------------------------------------------------------------------------------------------

    def save(self, path) -> Path:
        """Write the network to an .npz file: its description and its parameters, no pickle."""
        config = json.dumps(self.named_config())
        return write_npz(path, self.kind, {"config": np.array(config), "parameters": self.parameters})

    def named_config(self) -> dict:
        """Return ``config`` if it is made of names; ValueError if it holds objects, which no file can keep."""
        for key in ("activation", "output_activation", "loss"):
            if not isinstance(self.config[key], str):
                raise ValueError(f"a file holds names, but config[{key!r}] is the object {self.config[key]!r}")
        return self.config

    @classmethod
    def load(cls, path) -> Self:
        """Return the network that ``save`` wrote; FileNotFoundError, or ValueError that names any other file."""
        arrays = read_npz(path, cls.kind, ("config", "parameters"))
        try:
            return cls.from_parameters(json.loads(str(arrays["config"])), arrays["parameters"])
        except (ValueError, TypeError, RecursionError) as error:
            raise ValueError(f"{path}: not a network that this version can read: {error}") from error

    @classmethod
    def from_parameters(cls, config, parameters, rng=0) -> Self:
        """Return a network with these parameters; ``rng`` as ``seed`` of the constructor."""
        parameters = numbers("parameters", parameters, shape=(cls.count_parameters(config),))
        net = cls(config, Zero(), dtype=parameters.dtype)
        net.parameters[...] = parameters
        net.rng = np.random.default_rng(rng)  # only now: it has drawn no weights
        return net

    def __reduce__(self):  # copy and pickle ask for it: the views into the parameters must be made anew
        return self.from_parameters, (self.config, self.parameters, copy.deepcopy(self.rng))

    # -- checks -----------------------------------------------------------------------------------------------------

    def _check_inputs(self, X):
        X = self._as_inputs(X)
        if X.shape[1:] != self.input_shape or len(X) == 0:
            wanted = ", ".join(map(str, self.input_shape))
            raise ValueError(f"X must have shape (n, {wanted}) with n >= 1, not {X.shape}")
        return X

    def _as_inputs(self, X):
        return self._array("X", X)

    def _check_targets(self, y, n):
        T = self._array("y", self.loss.encode(y, self.n_outputs))
        if len(T) != n:
            raise ValueError(f"X and y must have the same number of rows: {n} and {len(T)}")
        return T

    def _check_pair(self, X, y):
        X = self._check_inputs(X)
        return X, self._check_targets(y, len(X))

    def _check_loss(self, Z, T):
        """Raise ValueError for a loss, perhaps a reader's own, whose gradient NumPy would have to broadcast."""
        o = self._loss_takes(Z)
        shapes = np.shape(self.loss.value(o, T)), np.shape(self.loss.gradient(o, T))
        if shapes != ((), o.shape):
            raise ValueError(f"value and gradient of {self.loss!r} must have the shapes {((), o.shape)}, not {shapes}")

    def _array(self, name, values, shape=None):
        """Return the values as an array in the order and the dtype that the products take."""
        array = numbers(name, values, shape=shape)
        with np.errstate(over="ignore"):
            array = np.asarray(array, self.dtype, order="C")
        if not np.isfinite(array).all():
            raise ValueError(f"{name} must be finite in {array.dtype}: it holds numbers that are too large")
        return array
