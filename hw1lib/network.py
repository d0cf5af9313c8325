"""A fully connected network from scratch (report, 2.2): one dictionary describes it, gradient descent trains it.

Rows are samples. Layer by layer ``Z = A @ W + b`` and ``A = f(Z)``; the report's ``forwProp`` writes the transposed
``a = f{W a + b}`` for one sample.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

from hw1lib.activations import ACTIVATIONS
from hw1lib.files import read_npz, write_npz
from hw1lib.initializers import Random
from hw1lib.losses import LOSSES
from hw1lib.schedules import Constant, Schedule

CONFIG_KEYS = {"layers": None, "activation": ACTIVATIONS, "output_activation": ACTIVATIONS, "loss": LOSSES}
EVALUATION_ROWS = 1024  # rows that go through the network at once outside training


class TrainingDiverged(FloatingPointError, ValueError):
    """The loss stopped being finite; the message names the epoch and the learning rate."""


@dataclass
class History:
    """What training recorded, one entry an epoch.

    Training values are averages over the epoch's batches, while the weights change; validation values are taken at the
    epoch's end. ``metric`` is RMSE for L2, accuracy for the others. The loss is the data's alone, without weight decay.
    """

    train_loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    train_metric: list[float] = field(default_factory=list)
    metric: list[float] = field(default_factory=list)  # on the validation set
    learning_rate: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)  # since the start of training

    def to_frame(self):
        """Return a pandas DataFrame, one row an epoch (from 1), one column a list that was filled."""
        import pandas as pd

        columns = {name: values for name, values in asdict(self).items() if values}
        frame = pd.DataFrame(columns)
        frame.index = pd.RangeIndex(1, len(frame) + 1, name="epoch")
        return frame

    @property
    def best_epoch(self) -> int:
        """The epoch (from 1) with the lowest validation loss."""
        if not self.validation_loss:
            raise ValueError("there is no validation loss: fit(..., validation=(X, y)) records it")
        return int(np.argmin(self.validation_loss)) + 1


class Workspace:
    """The arrays that a batch of ``m`` rows passes through, made once: nothing is allocated in the training loop."""

    def __init__(self, layers, m, dtype):
        self.a = [np.empty((m, units), dtype) for units in layers]  # a[0] is the input
        self.z = [np.empty((m, units), dtype) for units in layers[1:]]
        self.delta = [np.empty((m, units), dtype) for units in layers[1:]]
        self.target = np.empty((m, layers[-1]), dtype)
        self.error = np.empty((m, layers[-1]), dtype)
        self.ones = np.ones(m, dtype)


def check_config(config: dict) -> dict:
    """Return a copy of the dictionary that describes a network, or raise ValueError that says what is allowed."""
    if not isinstance(config, dict) or set(config) != set(CONFIG_KEYS):
        got = sorted(config) if isinstance(config, dict) else config
        raise ValueError(f"config must be a dictionary with the keys {sorted(CONFIG_KEYS)}, not {got}")
    for key, registry in CONFIG_KEYS.items():
        if registry is not None and config[key] not in registry:
            raise ValueError(f"config[{key!r}] must be one of {sorted(registry)}, not {config[key]!r}")
    layers = list(config["layers"])
    if len(layers) < 2 or not all(isinstance(n, int | np.integer) and n >= 1 for n in layers):
        raise ValueError(f"config['layers'] must hold two or more whole numbers >= 1, not {config['layers']!r}")
    allowed = LOSSES[config["loss"]].output_activations
    if allowed is not None and config["output_activation"] not in allowed:
        raise ValueError(
            f"the loss {config['loss']!r} is defined for the output activation {' or '.join(allowed)}, "
            f"not {config['output_activation']!r}"
        )
    return {**config, "layers": [int(n) for n in layers]}


class Network:
    """A fully connected network.

    Parameters
    ----------
    config : dict
        ``layers``: units of each layer, input first; ``activation`` of the hidden layers and ``output_activation``:
        names in ``ACTIVATIONS``; ``loss``: a name in ``LOSSES``.
    initializer : Initializer
        ``initializer(fan_in, fan_out, rng) -> W``. Biases start at 0.
    seed : int or numpy.random.Generator
        Draws the weights, and then the order of the rows in every epoch.
    dtype : {np.float32, np.float64}

    Attributes
    ----------
    parameters, gradient : ndarray, (n_parameters,)
        All weights, then all biases, and the last gradient: one flat vector each.
    weights, biases : list of ndarray, (fan_in, fan_out) and (fan_out,)
        Views into ``parameters``; ``weight_gradients`` and ``bias_gradients`` likewise into ``gradient``.
    """

    def __init__(self, config, initializer=Random(0.1), seed=0, dtype=np.float32):  # noqa: B008 - frozen, so shareable
        self.config = check_config(config)
        self.dtype = np.dtype(dtype)
        if self.dtype not in (np.float32, np.float64):
            raise ValueError(f"dtype must be float32 or float64, not {dtype!r}")
        self.layers = self.config["layers"]
        self.activations = [ACTIVATIONS[self.config["activation"]]] * (len(self.layers) - 2)
        self.activations.append(ACTIVATIONS[self.config["output_activation"]])
        self.loss = LOSSES[self.config["loss"]]
        self.rng = np.random.default_rng(seed)

        self.shapes = list(zip(self.layers[:-1], self.layers[1:], strict=True))
        self.n_weights = sum(fan_in * fan_out for fan_in, fan_out in self.shapes)
        self.parameters = np.zeros(self.n_weights + sum(self.layers[1:]), self.dtype)
        self.gradient = np.zeros_like(self.parameters)
        self.velocity = np.zeros_like(self.parameters)
        self.weights, self.biases = self._views(self.parameters)
        self.weight_gradients, self.bias_gradients = self._views(self.gradient)
        for W in self.weights:
            W[...] = initializer(*W.shape, self.rng)
        self._workspaces: dict[int, Workspace] = {}
        self._last: Workspace | None = None

    def _views(self, flat):
        """Return the weights and the biases as views into a flat vector."""
        ends = np.cumsum([fan_in * fan_out for fan_in, fan_out in self.shapes] + self.layers[1:])
        pieces = np.split(flat, ends[:-1])
        n = len(self.shapes)
        return [piece.reshape(shape) for piece, shape in zip(pieces[:n], self.shapes, strict=True)], pieces[n:]

    def _workspace(self, m) -> Workspace:
        if m not in self._workspaces:
            if len(self._workspaces) > 8:  # batch sizes vary little; a reader who tries many should not pile them up
                self._workspaces.clear()
            self._workspaces[m] = Workspace(self.layers, m, self.dtype)
        return self._workspaces[m]

    # -- one pass ---------------------------------------------------------------------------------------------------

    def _forward(self, work):
        """Carry ``work.a[0]`` through the layers (report, 2.2.1)."""
        for i, f in enumerate(self.activations):
            np.matmul(work.a[i], self.weights[i], out=work.z[i])  # (m, fan_in) @ (fan_in, fan_out)
            work.z[i] += self.biases[i]
            f(work.z[i], out=work.a[i + 1])

    def _error(self, work) -> tuple[float, float]:
        """Compare outputs and ``work.target``; return the summed loss and count."""
        np.subtract(work.a[-1], work.target, out=work.error)
        return self.loss.total(work.z[-1], work.a[-1], work.target, work.error)

    def _backward(self, work):
        """Carry the error back to the gradient of the batch's mean loss (report, 2.2.2)."""
        last = len(self.shapes) - 1
        np.divide(work.error, len(work.error), out=work.delta[last])
        if self.loss.through_activation:
            self.activations[last].backward(work.delta[last], work.a[-1], out=work.delta[last])
        for i in range(last, -1, -1):
            delta = work.delta[i]  # dL/dZ, (m, fan_out)
            np.matmul(work.a[i].T, delta, out=self.weight_gradients[i])  # (fan_in, m) @ (m, fan_out)
            np.matmul(work.ones, delta, out=self.bias_gradients[i])  # sum over the batch, as a product: faster
            if i > 0:
                np.matmul(delta, self.weights[i].T, out=work.delta[i - 1])  # dL/dA of the layer before
                self.activations[i - 1].backward(work.delta[i - 1], work.a[i], out=work.delta[i - 1])

    def forward(self, X) -> np.ndarray:
        """Return the outputs (n, k) for the inputs ``X`` (n, layers[0]) (the report's forwProp)."""
        X = self._check_inputs(X)
        work = self._workspace(len(X))
        work.a[0][...] = X
        self._forward(work)
        self._last = work
        return work.a[-1].copy()

    def backward(self, y, weight_decay: float = 0.0) -> np.ndarray:
        """Return the gradient of the mean loss of the last ``forward`` against the targets ``y``, as a flat vector.

        With ``weight_decay`` the gradient of ``weight_decay / 2 * sum(W**2)`` is added.
        """
        if self._last is None:
            raise ValueError("backward(y) needs the outputs of forward(X) first")
        work = self._last
        work.target[...] = self._check_targets(y, len(work.target))
        self._error(work)
        self._backward(work)
        self.gradient[: self.n_weights] += weight_decay * self.parameters[: self.n_weights]
        return self.gradient.copy()

    def evaluate(self, X, y) -> tuple[float, float]:
        """Return the mean loss and the metric (RMSE or accuracy) on ``X`` (n, layers[0]) and ``y``."""
        X = self._check_inputs(X)
        return self._evaluate(X, self._check_targets(y, len(X)))

    def _evaluate(self, X, T):
        loss = count = 0.0
        for work, rows in self._blocks(X):
            work.target[...] = T[rows]
            part = self._error(work)
            loss, count = loss + part[0], count + part[1]
        return loss / len(X), self.loss.score(count, len(X), self.layers[-1])

    def _blocks(self, X):
        """Yield the rows of ``X`` block by block, carried forward: the memory stays small, however many there are."""
        for start in range(0, len(X), EVALUATION_ROWS):
            rows = slice(start, min(start + EVALUATION_ROWS, len(X)))
            work = self._workspace(rows.stop - start)
            work.a[0][...] = X[rows]
            self._forward(work)
            yield work, rows

    def predict(self, X) -> np.ndarray:
        """Return values (n,) or (n, k) with L2, class codes (n,) with NLL, 0 or 1 with the logistic loss."""
        X = self._check_inputs(X)
        return np.concatenate([self.loss.predict(work.a[-1]) for work, _ in self._blocks(X)])

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
        """Train by stochastic gradient descent with momentum, from the weights as they are.

        Per batch, with g the gradient of its mean loss: ``v <- momentum v - rate (g + weight_decay W)``, ``W <- W + v``
        (Polyak 1964; the report calls weight_decay "lambda"). Biases do not decay.

        Parameters
        ----------
        X : array_like, (n, layers[0])
        y : array_like, (n,) or (n, k)
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

        Returns
        -------
        History

        Raises
        ------
        ValueError
            For arguments that are not allowed; the message says what is.
        TrainingDiverged
            When the loss stops being finite: the learning rate is too large.
        """
        schedule = schedule if isinstance(schedule, Schedule) else Constant(schedule)
        _check_numbers(epochs, batch_size, momentum, weight_decay, patience, validation)
        X = np.ascontiguousarray(self._check_inputs(X))
        T = self._check_targets(y, len(X))
        if validation is not None:
            Xv = self._check_inputs(validation[0])
            Tv = self._check_targets(validation[1], len(Xv))
        history, start = History(), time.perf_counter()
        best, best_epoch, best_parameters = np.inf, 0, None

        # one BLAS thread: on products this small a second one mostly waits, and starves whatever runs beside it
        with threadpool_limits(1, "blas"), np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            bar = tqdm(range(epochs), desc="training", unit="epoch", disable=not progress, leave=False)
            for epoch in bar:
                rate = schedule(epoch)
                loss, metric = self._epoch(X, T, batch_size, rate, momentum, weight_decay)
                if not np.isfinite(loss):
                    raise TrainingDiverged(
                        f"the loss stopped being finite in epoch {epoch + 1} at learning rate {rate:g}: "
                        "take a smaller learning rate, or scale the inputs"
                    )
                history.train_loss.append(loss)
                history.train_metric.append(metric)
                history.learning_rate.append(rate)
                if validation is not None:
                    loss, metric = self._evaluate(Xv, Tv)
                    history.validation_loss.append(loss)
                    history.metric.append(metric)
                    if loss < best:
                        best, best_epoch = loss, epoch
                        best_parameters = self.parameters.copy() if patience is not None else None
                history.seconds.append(time.perf_counter() - start)
                if patience is not None and epoch - best_epoch >= patience:
                    break
        if best_parameters is not None:
            self.parameters[...] = best_parameters
        return history

    def _epoch(self, X, T, batch_size, rate, momentum, weight_decay):
        """Train on every row once, in a new order; return the mean loss and the metric on the way."""
        order = self.rng.permutation(len(X))
        p, g, v = self.parameters, self.gradient, self.velocity
        W, gW = p[: self.n_weights], g[: self.n_weights]
        loss = count = 0.0
        for start in range(0, len(X), batch_size):
            rows = order[start : start + batch_size]
            work = self._workspace(len(rows))
            np.take(X, rows, axis=0, out=work.a[0], mode="clip")  # "clip" writes into out without a detour
            np.take(T, rows, axis=0, out=work.target, mode="clip")
            self._forward(work)
            batch_loss, batch_count = self._error(work)
            self._backward(work)
            if weight_decay:
                gW += weight_decay * W
            v *= momentum  # v <- momentum v - rate g
            g *= rate
            v -= g
            p += v
            loss += batch_loss
            count += batch_count
        return loss / len(X), self.loss.score(count, len(X), self.layers[-1])

    # -- checks, files ----------------------------------------------------------------------------------------------

    def _check_inputs(self, X):
        X = np.asarray(X)
        if X.ndim != 2 or X.shape[1] != self.layers[0] or len(X) == 0:
            raise ValueError(f"X must have shape (n, {self.layers[0]}) with n >= 1, not {X.shape}")
        X = X.astype(self.dtype, copy=False)
        if not np.isfinite(X).all():
            raise ValueError("X must be finite: it holds NaN or infinite values")
        return X

    def _check_targets(self, y, n):
        T = self.loss.encode(y, self.layers[-1])
        if len(T) != n:
            raise ValueError(f"X and y must have the same number of rows: {n} and {len(T)}")
        return np.ascontiguousarray(T, self.dtype)

    def save(self, path) -> Path:
        """Write the network to an .npz file: its description and its parameters, no pickle."""
        config = json.dumps(self.config)
        return write_npz(path, "network", {"config": np.array(config), "parameters": self.parameters})

    @classmethod
    def load(cls, path) -> Network:
        """Return the network that ``save`` wrote; ValueError that names the file if it is anything else."""
        arrays = read_npz(path, "network", ("config", "parameters"))
        try:
            net = cls(json.loads(str(arrays["config"])), dtype=arrays["parameters"].dtype)
            net.parameters[...] = net._check_parameters(arrays["parameters"])
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path}: not a network that this version can read: {error}") from error
        return net

    def _check_parameters(self, parameters):
        if parameters.shape != self.parameters.shape or not np.isfinite(parameters).all():
            raise ValueError(f"the parameters must be {self.parameters.size} finite numbers")
        return parameters

    def __repr__(self):
        names = [self.config["activation"]] * (len(self.layers) - 2) + [self.config["output_activation"]]
        chain = " -> ".join([str(self.layers[0])] + [f"{n} {f}" for n, f in zip(self.layers[1:], names, strict=True)])
        return f"Network({chain}, loss {self.config['loss']}, {self.parameters.size:,} parameters)"


def _check_numbers(epochs, batch_size, momentum, weight_decay, patience, validation):
    for name, value in (("epochs", epochs), ("batch_size", batch_size), ("patience", patience)):
        if not (isinstance(value, int | np.integer) and value >= 1) and not (name == "patience" and value is None):
            raise ValueError(f"{name} must be a whole number >= 1, not {value!r}")
    if not 0 <= momentum < 1:
        raise ValueError(f"momentum must be at least 0 and below 1, not {momentum!r}")
    if not (weight_decay >= 0 and np.isfinite(weight_decay)):
        raise ValueError(f"weight_decay must be a finite number >= 0, not {weight_decay!r}")
    if patience is not None and validation is None:
        raise ValueError("patience needs validation=(X, y): early stopping watches its loss")
