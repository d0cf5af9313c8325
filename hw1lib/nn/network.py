"""A network from scratch (report, 2.2): one dictionary describes it, gradient descent trains it.

The layers, with the formulas of both passes, are in ``layers.py``. Notebook 02 does both by hand.
"""

from __future__ import annotations

import copy
import functools
import json
import math
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
from threadpoolctl import ThreadpoolController

from hw1lib.checks import FileError, UserError, numbers, real_number, whole_number
from hw1lib.files import read_npz, write_npz
from hw1lib.nn.activations import ACTIVATIONS, Activation
from hw1lib.nn.config import check_config, make_layers, named
from hw1lib.nn.initializers import Random, Zero, as_initializer
from hw1lib.nn.losses import LOSSES, Loss
from hw1lib.nn.schedules import as_schedule
from hw1lib.progress import bar

# The passes ignore NumPy's floating-point warnings: OpenBLAS sets the flags for nothing now and
# then, and what is not finite is told by name where it matters.
quiet = np.errstate(all="ignore")

libraries = functools.cache(ThreadpoolController)  # to find them takes five epochs of a few points


class TrainingDiverged(UserError):
    """The loss or the weights stopped being finite; the message names epoch and learning rate."""


@dataclass
class History:
    """What training recorded, a value an epoch.

    Training values are of all rows, each as the weights of its batch saw it; validation values are
    taken at the epoch's end. The metric is RMSE or accuracy. No loss contains the weight decay.
    """

    train_loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    train_metric: list[float] = field(default_factory=list)
    validation_metric: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)  # since the start of training

    def to_frame(self):
        """Return a pandas DataFrame: a row an epoch, from 1; a column a list that is not empty."""
        import pandas as pd

        table = pd.DataFrame({name: values for name, values in asdict(self).items() if values})
        return table.set_axis(pd.RangeIndex(1, len(table) + 1, name="epoch"))

    @property
    def best_epoch(self) -> int:
        """The epoch (from 1) with the lowest validation loss."""
        if not self.validation_loss:
            raise ValueError("there is no validation loss: fit(..., validation=(X, y)) records it")
        return int(np.argmin(self.validation_loss)) + 1


class Network:
    """A fully connected network, or one of convolutions for pictures.

    Parameters
    ----------
    config : dict
        ``layers``: the units of each layer, input first; and perhaps ``input_scale``: what inputs
        are divided by, a number or one for each, as of ``faces.input_scale``. For pictures instead
        ``picture``: (C, H, W) of one; ``filters``: how many each convolution has; ``hidden``: the
        units of the layers after them, perhaps none; ``outputs``: how many; and perhaps
        ``batch_norm``: True.
        ``activation`` (of what is hidden), ``output_activation`` and ``loss``: names in
        ``ACTIVATIONS`` and ``LOSSES``, or objects of your own. A ``Layer`` of your own may stand
        among ``layers``, ``filters`` and ``hidden``.
    initializer : Initializer, callable or str
        ``initializer(fan_in, fan_out, rng) -> W``, or a name in ``INITIALIZERS``. Biases start
        at 0. A filter's fan_in is its number of weights, 9 C.
    seed : int or numpy.random.Generator
        Draws the weights, layer by layer, and then the order of the rows in every epoch.
    dtype : {np.float32, np.float64}
        Of the parameters; inputs and targets are brought to it.

    Attributes
    ----------
    parameters, gradient : ndarray, (n_parameters,)
        All weights and biases, layer by layer, and the last gradient of a batch's mean loss,
        without weight decay: one flat vector each. To set them write into them, as in
        ``net.parameters[...] = 0``.
    weights, biases, weight_gradients, bias_gradients : tuple of ndarray
        Views into these two, one for each layer that has weights.
    layers : list of Layer

    Notes
    -----
    Pictures ``X`` are (n, C, H, W). Bytes (uint8) stand for x / 255 - 1/2 and become floats batch
    by batch; all other numbers are taken as they are, and should be of that size.

    If the first outputs are far from the targets, gradient descent diverges at rates that are fine
    later on. For ages, let the output start at their mean and close to constant::

        net.biases[-1][...] = ages.mean()
        net.weights[-1][...] /= 10
    """

    def __init__(self, config, initializer=Random(0.1), seed=0, dtype=np.float32):  # noqa: B008
        self.config = config = check_config(config)
        self.activation = named(config, "activation", ACTIVATIONS, Activation)
        self.output_activation = named(config, "output_activation", ACTIVATIONS, Activation)
        self.loss = named(config, "loss", LOSSES, Loss)
        needed = self.loss.output_activation
        if needed and not isinstance(self.output_activation, type(ACTIVATIONS[needed])):
            said = f"the loss {config['loss']!r} needs the output activation {needed!r}"
            raise ValueError(f"{said}, not {config['output_activation']!r}")
        if dtype not in (np.float32, np.float64, "float32", "float64"):
            raise ValueError(f"dtype must be np.float32 or np.float64, not {dtype!r}")
        self.dtype = np.dtype(dtype)
        self.rng = np.random.default_rng(seed)
        initializer = as_initializer(initializer)

        self.layers = make_layers(config)
        self.input_scale = np.asarray(config.get("input_scale", 1), dtype)
        self.input_shape = tuple(config.get("picture") or config["layers"][:1])
        units = [layer.units for layer in self.layers if layer.units]
        self.n_outputs = units[-1] if units else self.input_shape[0]
        shapes = [shape for layer in self.layers for shape in layer.shapes.values()]
        self.parameters = np.zeros(sum(map(math.prod, shapes)), dtype)
        self.gradient = np.zeros_like(self.parameters)
        self._last = None  # what ``forward`` leaves for ``backward``
        self._connect()

        def draw(fan_in, fan_out):
            W = initializer(fan_in, fan_out, self.rng)
            return self._array("the initializer's weights", W, (fan_in, fan_out))

        for layer in self.layers:
            layer.initialize(draw)

    def _connect(self) -> None:
        """Give each layer its part of the flat vectors, as views: arrays on the same memory."""
        self._decays = np.zeros_like(self.parameters)  # 1 for what decays: weights, no biases
        start = 0
        for layer in self.layers:
            layer.first = False
            for name, shape in layer.shapes.items():
                part = slice(start, start + math.prod(shape))
                setattr(layer, name, self.parameters[part].reshape(shape))
                setattr(layer, f"d{name}", self.gradient[part].reshape(shape))
                self._decays[part] = float(name in layer.decays)
                start = part.stop
        # the gradient goes back to the first layer that learns, and no further
        self._first = next((i for i, layer in enumerate(self.layers) if layer.shapes), 0)
        self.layers[self._first].first = True

    def _views(self, name: str) -> tuple[np.ndarray, ...]:
        parameter = name[-1]  # W of dW
        return tuple(getattr(layer, name) for layer in self.layers if parameter in layer.shapes)

    weights = property(lambda self: self._views("W"))
    biases = property(lambda self: self._views("b"))
    weight_gradients = property(lambda self: self._views("dW"))
    bias_gradients = property(lambda self: self._views("db"))

    # -- both passes -----------------------------------------------------------------------------

    @quiet
    def forward(self, X, training: bool = False) -> np.ndarray:
        """Return the outputs (n, n_outputs) for the inputs ``X`` (n, ...) (the report's forwProp).

        What ``backward`` needs is kept; ``outputs`` keeps nothing, and takes any number of rows.
        """
        X = self._inputs(X).copy()  # the caller's may change before ``backward``
        Z, backwards = self._forward(X, training)
        self._last = Z, backwards
        return self.output_activation(Z)

    @quiet
    def backward(self, y, weight_decay: float = 0.0) -> np.ndarray:
        """Return the gradient of the mean loss of the last ``forward`` against the targets ``y``.

        It is a new flat vector, with the gradient of ``weight_decay / 2 * sum(W**2)`` added;
        ``gradient`` is without that. The weights must be those that ``forward`` had.
        """
        weight_decay = real_number("weight_decay", weight_decay)
        if self._last is None:
            raise ValueError("backward(y) needs the outputs of forward(X) first; fit discards them")
        Z, backwards = self._last
        T = self._targets(y, len(Z))
        self._backward(backwards, self._output_delta(Z, T))
        return self.gradient + weight_decay * self._decays * self.parameters

    def _forward(self, A, training=False) -> tuple[np.ndarray, list]:
        """Return the output layer's weighted sums Z (m, n_outputs), and each layer's backward."""
        if A.dtype == np.uint8:
            A = A.astype(self.dtype) / 255 - 0.5
        backwards = []
        for layer in self.layers:
            A, backward = layer.forward(A, training)
            A = A.astype(self.dtype, copy=False)  # a layer of your own may return float64
            backwards.append(backward)
        return A, backwards

    def _backward(self, backwards, delta) -> None:
        """Write ``gradient`` from dL/dZ of the output layer, from the last layer to the first."""
        delta = delta.astype(self.dtype, copy=False)
        for backward in reversed(backwards[self._first :]):
            delta = backward(delta)
            if delta is not None:  # as the first layer may say
                delta = delta.astype(self.dtype, copy=False)

    def _output_delta(self, Z, T):
        """Return dL/dZ of the output layer, (m, n_outputs), L the mean loss."""
        if self.loss.output_activation:  # is part of the loss, and so of its gradient
            return self.loss.gradient(Z, T)
        A = self.output_activation(Z)
        return self.output_activation.backward(self.loss.gradient(A, T), Z, A)

    def _loss_and_metric(self, Z, T) -> tuple[float, float]:
        o = Z if self.loss.output_activation else self.output_activation(Z)
        return float(self.loss.value(o, T)), float(self.loss.score(o, T))

    # -- asking ----------------------------------------------------------------------------------

    def preactivations(self, X) -> np.ndarray:
        """Return the output layer's weighted sums Z (n, n_outputs), before its activation."""
        return self._in_blocks(self._inputs(X))

    @quiet
    def _in_blocks(self, X):
        rows = 128 if X.ndim == 4 else 1024  # at once: what they need stays in the cache
        blocks = [self._forward(X[i : i + rows])[0] for i in range(0, len(X), rows)]
        return np.concatenate(blocks)

    @quiet
    def outputs(self, X) -> np.ndarray:
        """Return the outputs (n, n_outputs), block by block, for any number of rows."""
        return self.output_activation(self.preactivations(X))

    def predict(self, X) -> np.ndarray:
        """Return values of a regression, or class codes: (n,), or (n, n_outputs) if several."""
        return self.loss.predict(self.outputs(X))

    @quiet
    def evaluate(self, X, y) -> tuple[float, float]:
        """Return the mean loss and the metric (RMSE or accuracy) on ``X`` (n, ...) and ``y``."""
        X = self._inputs(X)
        T = self._targets(y, len(X))
        return self._loss_and_metric(self._in_blocks(X), T)

    # -- training --------------------------------------------------------------------------------

    @quiet
    def fit(
        self,
        X,
        y,
        validation=None,
        epochs=200,
        batch_size=128,
        learning_rate=1e-4,
        momentum=0.9,
        weight_decay=0.0,
        patience=None,
        augment=None,
        progress=True,
    ) -> History:
        """Train by gradient descent with momentum, from the weights as they are (report, 2.2.5).

        Each batch, with g the gradient of its mean loss, changes all weights W: ``v <- momentum v -
        learning_rate (g + weight_decay W)``, ``W <- W + v`` (Polyak 1964; the report calls
        weight_decay "lambda"). Biases do not decay. Each fit starts with v = 0.

        Parameters
        ----------
        X : array_like, (n, ...)
        y : array_like, (n,) or (n, n_outputs)
            Values; for NLL class codes (n,), or one-hot rows.
        validation : (array_like, array_like), optional
            Inputs and targets that are evaluated after every epoch, never trained on.
        epochs, batch_size : int
        learning_rate : float, Schedule or callable
            A function gives the rate of each epoch, which count from 0.
        momentum, weight_decay : float
        patience : int, optional
            Stop once the validation loss has not improved for so many epochs. The weights are
            then those of the best epoch, also if ``epochs`` ran out.
        augment : callable, optional
            ``augment(rows, rng)`` returns what a batch trains on in place of its rows (m, ...) of
            ``X``, such as ``nn.random_flip``; ``rng`` is the network's.
        progress : bool
            Show a bar over the epochs.

        Raises
        ------
        TrainingDiverged
            When the loss or the weights stop being finite, most often because the learning rate is
            too large. The weights are then those that fit began with; with ``patience``, those of
            the best epoch.
        """
        schedule = as_schedule(learning_rate)
        epochs, batch_size = whole_number("epochs", epochs), whole_number("batch_size", batch_size)
        momentum = real_number("momentum", momentum, below=1)
        weight_decay = real_number("weight_decay", weight_decay)
        X = self._inputs(X)
        T = self._targets(y, len(X))
        if validation is not None:
            Xv, yv = validation
            Xv = self._inputs(Xv, "the validation's X")
            Tv = self._targets(yv, len(Xv))
        if patience is not None:
            whole_number("patience", patience)
            if validation is None:
                raise ValueError("patience needs validation=(X, y): it watches the loss on it")
        self._last = None  # ``backward`` would mix its sums with other weights
        velocity = np.zeros_like(self.parameters)
        best, best_epoch, best_parameters = np.inf, 0, self.parameters.copy()
        history, start = History(), time.perf_counter()

        # one BLAS thread: on products this small a second one mostly waits, and starves others
        with libraries().limit(limits=1, user_api="blas"):
            for epoch in bar(range(epochs), "training", progress=progress, unit="epoch"):
                rate = real_number(f"learning_rate({epoch})", schedule(epoch))
                loss, metric = self._epoch(
                    X, T, velocity, batch_size, rate, momentum, weight_decay, augment
                )
                history.train_loss.append(loss)
                history.train_metric.append(metric)
                history.learning_rate.append(rate)
                watched = loss
                if validation is not None:
                    watched, metric = self._loss_and_metric(self._in_blocks(Xv), Tv)
                    history.validation_loss.append(watched)
                    history.validation_metric.append(metric)
                history.seconds.append(time.perf_counter() - start)
                if not (np.isfinite(loss + watched) and np.isfinite(self.parameters).all()):
                    self.parameters[...] = best_parameters
                    where = f"in epoch {epoch + 1} at learning rate {rate:g}"
                    remedy = "take a smaller one, or bring inputs and targets to a size near 1"
                    said = f"loss or weights stopped being finite {where}: {remedy}"
                    raise TrainingDiverged(said)
                if patience is not None:
                    if watched < best:
                        best, best_epoch = watched, epoch
                        best_parameters = self.parameters.copy()
                    if epoch - best_epoch >= patience:
                        break
        if patience is not None:
            self.parameters[...] = best_parameters
        return history

    def _epoch(self, X, T, velocity, batch_size, rate, momentum, weight_decay, augment):
        """Train on every row once, in a new order; return the mean loss and the metric."""
        decay = weight_decay * self._decays
        order = self.rng.permutation(len(X))
        T = T[order]
        Z = np.empty_like(T)  # the output layer's weighted sums of all rows, for the loss
        for start in range(0, len(X), batch_size):
            rows = slice(start, start + batch_size)  # the last batch may be smaller
            batch = X.take(order[rows], axis=0)  # as X[order[rows]], but faster
            if augment is not None:
                batch = self._checked(augment(batch, self.rng), "what augment returns")
            Z[rows], backwards = self._forward(batch, training=True)
            self._backward(backwards, self._output_delta(Z[rows], T[rows]))
            gradient = self.gradient
            if weight_decay:
                gradient = gradient + decay * self.parameters
            velocity *= momentum
            velocity -= rate * gradient
            self.parameters += velocity
        return self._loss_and_metric(Z, T)

    # -- files and copies ------------------------------------------------------------------------

    def save(self, path) -> Path:
        """Write the network to an .npz file: its description and its parameters, no pickle."""

        def refuse(thing):
            raise ValueError(f"a file holds names and numbers; config holds the object {thing!r}")

        config = json.dumps(self.config, default=refuse)
        arrays = {"config": np.array(config), "parameters": self.parameters}
        return write_npz(path, "network", arrays)

    @classmethod
    def load(cls, path) -> Self:
        """Return the network that ``save`` wrote; FileError names a file that holds none.

        Its ``rng`` is new: the file holds none.
        """
        kinds = ("network", "convolutional network")  # the second was a kind of its own once
        arrays = read_npz(path, kinds, ("config", "parameters"))
        try:
            config, parameters = json.loads(str(arrays["config"])), arrays["parameters"]
            net = cls(config, Zero(), dtype=parameters.dtype)
            net.parameters[...] = numbers("parameters", parameters, shape=net.parameters.shape)
        except ValueError as error:
            raise FileError(f"{path}: not a network that this version can read: {error}") from error
        return net

    def to_onnx(self, path) -> Path:
        """Write the network as an ONNX file, see ``nn.onnx_export``; needs the package ``onnx``."""
        from hw1lib.nn.onnx_export import to_onnx

        return to_onnx(self, path)

    def __getstate__(self):
        return {**vars(self), "_last": None}  # functions have no place in a pickle

    def __setstate__(self, state):
        vars(self).update(state)
        self._connect()

    def __copy__(self):
        return copy.deepcopy(self)  # a copy that shared its parameters would train with its twin

    def __repr__(self):
        chain = " -> ".join(map(repr, [*self.layers, self.output_activation]))
        return f"{type(self).__name__}({chain}, {self.loss!r}, {self.parameters.size:,} parameters)"

    # -- checks ----------------------------------------------------------------------------------

    def _inputs(self, X, name="X"):
        """Return inputs as the layers take them: checked, and rescaled."""
        X = self._checked(X, name)
        return X / self.input_scale if "input_scale" in self.config else X

    def _checked(self, X, name):
        X = numbers(name, X)
        if X.shape[1:] != self.input_shape or len(X) == 0:
            wanted = ", ".join(map(str, self.input_shape))
            raise ValueError(f"{name} must have shape (n, {wanted}) with n >= 1, not {X.shape}")
        return X if X.dtype == np.uint8 and X.ndim == 4 else self._array(name, X)

    def _targets(self, y, n: int):
        T = self._array("y", self.loss.encode(y, self.n_outputs))
        if len(T) != n:
            raise ValueError(f"X and y must have the same number of rows: {n} and {len(T)}")
        return T

    def _array(self, name, values, shape=None):
        """Return the values as an array of the network's dtype."""
        array = numbers(name, values, shape=shape)
        with np.errstate(over="ignore", under="ignore"):
            # each row in one piece: fit takes them in random order
            array = np.asarray(array, self.dtype, order="C")
        if not np.isfinite(array).all():
            raise ValueError(f"{name} must be finite in {array.dtype}: it holds larger numbers")
        return array
