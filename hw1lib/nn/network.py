"""A fully connected network from scratch (report, 2.2): one dictionary describes it, gradient descent trains it.

Rows are samples. Layer by layer ``Z = A @ W + b`` and ``A = f(Z)``; the report's ``forwProp`` writes the transposed
``a = f{W a + b}`` for one sample. A last column of ones in ``A`` and ``b`` as the last row under ``W`` make it one
product, ``Z = [A 1] @ [W; b]``, and the gradients of ``W`` and ``b`` one product as well.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
from scipy.linalg import get_blas_funcs
from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

from hw1lib.files import read_npz, write_npz
from hw1lib.nn.activations import ACTIVATIONS
from hw1lib.nn.initializers import Random, Zero
from hw1lib.nn.losses import LOSSES, as_numbers
from hw1lib.nn.schedules import Constant, Schedule

CONFIG_KEYS = {"layers": None, "activation": ACTIVATIONS, "output_activation": ACTIVATIONS, "loss": LOSSES}
EVALUATION_ROWS = 1024  # rows that go through the network at once outside training


class TrainingDiverged(FloatingPointError, ValueError):
    """The loss stopped being finite; the message names the epoch and the learning rate."""


@dataclass
class History:
    """What training recorded, one entry an epoch.

    Training values are averages over the epoch's batches, while the weights change; validation values are taken at the
    epoch's end. A metric is RMSE for L2, accuracy for the others. The loss is the data's alone, without weight decay.
    """

    train_loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    train_metric: list[float] = field(default_factory=list)
    validation_metric: list[float] = field(default_factory=list)  # on the validation set
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
    """The arrays that a batch of ``m`` rows passes through, made once: the training loop allocates next to nothing."""

    def __init__(self, layers, m, dtype):
        self.with_ones = [np.ones((m, k + 1), dtype) for k in layers[:-1]]  # [A 1], the input of each layer
        self.batch = self.with_ones[0]
        self.a = [a[:, :-1] for a in self.with_ones[1:]] + [np.empty((m, layers[-1]), dtype)]  # A = f(Z)
        self.z, self.prime, self.delta = ([np.empty((m, k), dtype) for k in layers[1:]] for _ in range(3))


def check_config(config: dict) -> dict:
    """Return a copy of the dictionary that describes a network, or raise ValueError that says what is allowed."""
    if not isinstance(config, dict) or set(config) != set(CONFIG_KEYS):
        got = sorted(config, key=str) if isinstance(config, dict) else config
        raise ValueError(f"config must be a dictionary with the keys {sorted(CONFIG_KEYS)}, not {got}")
    for key, registry in CONFIG_KEYS.items():
        if registry is not None and not (isinstance(config[key], str) and config[key] in registry):
            raise ValueError(f"config[{key!r}] must be one of {sorted(registry)}, not {config[key]!r}")
    layers = config["layers"]
    if not isinstance(layers, list | tuple) or len(layers) < 2 or not all(map(_whole, layers)):
        raise ValueError(f"config['layers'] must hold two or more whole numbers >= 1, not {layers!r}")
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
        Layer by layer the weights and the biases, and the last gradient: one flat vector each.
    weights, biases : list of ndarray, (fan_in, fan_out) and (fan_out,)
        Views into ``parameters``; ``weight_gradients`` and ``bias_gradients`` likewise into ``gradient``.
    """

    def __init__(self, config, initializer=Random(0.1), seed=0, dtype=np.float32):  # noqa: B008 - frozen, so shareable
        self.config = check_config(config)
        if dtype not in (np.float32, np.float64):
            raise ValueError(f"dtype must be np.float32 or np.float64, not {dtype!r}")
        if not callable(initializer) or isinstance(initializer, type):
            raise ValueError(f"initializer must be Zero(), Random(sigma), Xavier() or He(), not {initializer!r}")
        self.dtype = np.dtype(dtype)
        self.layers = self.config["layers"]
        self.activations = [ACTIVATIONS[self.config["activation"]]] * (len(self.layers) - 2)
        self.activations.append(ACTIVATIONS[self.config["output_activation"]])
        self.loss = LOSSES[self.config["loss"]]
        self.rng = np.random.default_rng(seed)

        self.shapes = [(fan_in + 1, fan_out) for fan_in, fan_out in pairwise(self.layers)]
        self.parameters = np.zeros(sum(rows * columns for rows, columns in self.shapes), self.dtype)
        self.gradient = np.zeros_like(self.parameters)
        self._theta, self.weights, self.biases = self._views(self.parameters)
        self._theta_gradients, self.weight_gradients, self.bias_gradients = self._views(self.gradient)
        for W in self.weights:
            W[...] = initializer(*W.shape, self.rng)
        self._workspaces: dict[int, Workspace] = {}
        self._last: Workspace | None = None

    def _views(self, flat):
        """Return ``[W; b]``, ``W`` and ``b`` of every layer, as views into a flat vector."""
        ends = np.cumsum([rows * columns for rows, columns in self.shapes])
        theta = [part.reshape(shape) for part, shape in zip(np.split(flat, ends[:-1]), self.shapes, strict=True)]
        return theta, [t[:-1] for t in theta], [t[-1] for t in theta]

    def _workspace(self, m) -> Workspace:
        if m not in self._workspaces:
            if len(self._workspaces) > 8:  # batch sizes vary little; a reader who tries many should not pile them up
                self._workspaces.clear()
            self._workspaces[m] = Workspace(self.layers, m, self.dtype)
        return self._workspaces[m]

    # -- one pass ---------------------------------------------------------------------------------------------------

    def _forward(self, work, X, Z):
        """Carry ``[X 1]`` through the layers (report, 2.2.1), into ``work``; the last layer's sums go to ``Z``."""
        work.with_ones[0], work.z[-1] = X, Z
        for i, f in enumerate(self.activations):
            np.dot(work.with_ones[i], self._theta[i], out=work.z[i])  # Z = [A 1] @ [W; b], (m, fan_out)
            f.forward(work.z[i], work.a[i], work.prime[i])  # A = f(Z), and f'(Z)

    def _backward(self, work, target):
        """Carry the error back to the gradient, summed over the batch (report, 2.2.2)."""
        last = len(self.shapes) - 1
        delta = np.subtract(work.a[last], target, out=work.delta[last])  # of each row; the batch's mean comes later
        if self.loss.through_activation:
            self.activations[last].backward(delta, work.a[last], work.prime[last], out=delta)
        for i in range(last, -1, -1):  # delta is dL/dZ of layer i, (m, fan_out)
            np.dot(work.with_ones[i].T, delta, out=self._theta_gradients[i])  # dL/d[W; b], (fan_in + 1, fan_out)
            if i > 0:
                delta = np.dot(delta, self.weights[i].T, out=work.delta[i - 1])  # dL/dA, (m, fan_in)
                self.activations[i - 1].backward(delta, work.a[i - 1], work.prime[i - 1], out=delta)

    def _outputs(self, X) -> np.ndarray:
        """Return the output layer's sums Z (n, k), block by block: the work arrays stay small, however many rows."""
        Z = np.empty((len(X), self.layers[-1]), self.dtype)
        for start in range(0, len(X), EVALUATION_ROWS):
            rows = slice(start, min(start + EVALUATION_ROWS, len(X)))
            self._forward(self._workspace(rows.stop - start), X[rows], Z[rows])
        return Z

    def forward(self, X) -> np.ndarray:
        """Return the outputs (n, k) for the inputs ``X`` (n, layers[0]) (the report's forwProp)."""
        X = self._check_inputs(X)
        self._last = work = Workspace(self.layers, len(X), self.dtype)  # its own: nothing changes it before backward
        self._forward(work, X, work.z[-1])
        return work.a[-1].copy()

    def backward(self, y, weight_decay: float = 0.0) -> np.ndarray:
        """Return the gradient of the mean loss of the last ``forward`` against the targets ``y``, as a flat vector.

        With ``weight_decay`` the gradient of ``weight_decay / 2 * sum(W**2)`` is added.
        """
        if self._last is None:
            raise ValueError("backward(y) needs the outputs of forward(X) first")
        n = len(self._last.z[-1])
        self._backward(self._last, self._check_targets(y, n))
        self.gradient /= n
        for W, gW in zip(self.weights, self.weight_gradients, strict=True):
            gW += weight_decay * W
        return self.gradient.copy()

    def evaluate(self, X, y) -> tuple[float, float]:
        """Return the mean loss and the metric (RMSE or accuracy) on ``X`` (n, layers[0]) and ``y``."""
        X = self._check_inputs(X)
        return self.loss.evaluate(self._outputs(X), self._check_targets(y, len(X)), self.activations[-1])

    def predict(self, X) -> np.ndarray:
        """Return values (n,) or (n, k) with L2, class codes (n,) with NLL, 0 or 1 with the logistic loss."""
        return self.loss.predict(self.activations[-1](self._outputs(self._check_inputs(X))))

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
                rate = schedule(epoch)
                loss, metric = self._epoch(X, T, velocity, batch_size, rate, momentum, weight_decay)
                history.train_loss.append(loss)
                history.train_metric.append(metric)
                history.learning_rate.append(rate)
                if validation is not None:
                    loss, metric = self.loss.evaluate(self._outputs(Xv), Tv, self.activations[-1])
                    history.validation_loss.append(loss)
                    history.validation_metric.append(metric)
                history.seconds.append(time.perf_counter() - start)
                if not np.isfinite(history.train_loss[-1] + loss):
                    raise TrainingDiverged(
                        f"the loss stopped being finite in epoch {epoch + 1} at learning rate {rate:g}: "
                        "take a smaller learning rate, or scale the inputs"
                    )
                if patience is not None and loss < best:
                    best, best_epoch, best_parameters = loss, epoch, self.parameters.copy()
                if patience is not None and epoch - best_epoch >= patience:
                    break
        self.parameters[...] = best_parameters
        return history

    def _epoch(self, X, T, velocity, batch_size, rate, momentum, weight_decay):
        """Train on every row once, in a new order; return the mean loss and the metric on the way."""
        scal, axpy = get_blas_funcs(("scal", "axpy"), dtype=self.dtype)  # x <- a x and y <- y + a x, in place
        g, v, velocity_W = self.gradient, velocity, self._views(velocity)[1]
        order = self.rng.permutation(len(X))
        T = T.take(order, axis=0)
        Z = np.empty_like(T)  # the output layer's sums of the whole epoch: the loss is computed once, at its end
        for start in range(0, len(X), batch_size):
            rows = order[start : start + batch_size]
            stop, work = start + len(rows), self._workspace(len(rows))
            X.take(rows, axis=0, out=work.batch, mode="clip")  # "clip" writes into out without a detour
            self._forward(work, work.batch, Z[start:stop])
            self._backward(work, T[start:stop])
            scal(momentum, v)  # v <- momentum v
            axpy(g, v, a=-rate / len(rows))  # v <- v - rate g, with g the batch's mean gradient
            if weight_decay:
                for W, vW in zip(self.weights, velocity_W, strict=True):
                    axpy(W.ravel(), vW.ravel(), a=-rate * weight_decay)  # v <- v - rate lambda W
            axpy(v, self.parameters)  # W <- W + v
        return self.loss.evaluate(Z, T, self.activations[-1])

    # -- checks, files ----------------------------------------------------------------------------------------------

    def _check_inputs(self, X):
        """Return ``[X 1]`` (n, layers[0] + 1), a copy."""
        X = as_numbers("X", X)
        if X.ndim != 2 or X.shape[1] != self.layers[0] or len(X) == 0:
            raise ValueError(f"X must have shape (n, {self.layers[0]}) with n >= 1, not {X.shape}")
        with_ones = np.ones((len(X), self.layers[0] + 1), self.dtype)
        with np.errstate(over="ignore"):
            with_ones[:, :-1] = X
        return _finite("X", with_ones)

    def _check_targets(self, y, n):
        T = self.loss.encode(y, self.layers[-1])
        if len(T) != n:
            raise ValueError(f"X and y must have the same number of rows: {n} and {len(T)}")
        with np.errstate(over="ignore"):
            return _finite("y", np.ascontiguousarray(T, self.dtype))

    def save(self, path) -> Path:
        """Write the network to an .npz file: its description and its parameters, no pickle."""
        config = json.dumps(self.config)
        return write_npz(path, "network", {"config": np.array(config), "parameters": self.parameters})

    def to_onnx(self, path) -> Path:
        """Write the network as an ONNX file, see ``hw1lib.nn.onnx_export.to_onnx``; needs the package ``onnx``."""
        from hw1lib.nn.onnx_export import to_onnx

        return to_onnx(self, path)

    @classmethod
    def load(cls, path) -> Network:
        """Return the network that ``save`` wrote; ValueError that names the file if it is anything else."""
        arrays = read_npz(path, "network", ("config", "parameters"))
        try:
            return cls._from_parameters(json.loads(str(arrays["config"])), arrays["parameters"])
        except (ValueError, TypeError, RecursionError) as error:
            raise ValueError(f"{path}: not a network that this version can read: {error}") from error

    @classmethod
    def _from_parameters(cls, config, parameters, rng=0) -> Network:
        size = sum((fan_in + 1) * fan_out for fan_in, fan_out in pairwise(check_config(config)["layers"]))
        if parameters.shape != (size,) or not np.isfinite(parameters).all():
            raise ValueError(f"the parameters must be {size:,} finite numbers")
        net = cls(config, Zero(), dtype=parameters.dtype)
        net.rng = np.random.default_rng(rng)
        net.parameters[...] = parameters
        return net

    def __reduce__(self):  # for copies and other processes: the views into the parameters must be made anew
        return self._from_parameters, (self.config, self.parameters, self.rng)

    def __repr__(self):
        names = [self.config["activation"]] * (len(self.layers) - 2) + [self.config["output_activation"]]
        chain = " -> ".join([str(self.layers[0])] + [f"{n} {f}" for n, f in zip(self.layers[1:], names, strict=True)])
        return f"Network({chain}, loss {self.config['loss']}, {self.parameters.size:,} parameters)"


def _finite(name, array):
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite in {array.dtype}: it holds NaN, infinite or too large values")
    return array


def _whole(n) -> bool:
    return isinstance(n, int | np.integer) and not isinstance(n, bool) and bool(n >= 1)


def _check_numbers(epochs, batch_size, momentum, weight_decay, patience, validation):
    for name, value in (("epochs", epochs), ("batch_size", batch_size), ("patience", patience)):
        if not _whole(value) and not (name == "patience" and value is None):
            raise ValueError(f"{name} must be a whole number >= 1, not {value!r}")
    for name, value, end in (("momentum", momentum, 1), ("weight_decay", weight_decay, np.inf)):
        if not (isinstance(value, int | float | np.number) and 0 <= value < end):
            raise ValueError(f"{name} must be a number of at least 0 and below {end}, not {value!r}")
    if patience is not None and validation is None:
        raise ValueError("patience needs validation=(X, y): early stopping watches its loss")
