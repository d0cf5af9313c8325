"""A fully connected network from scratch (report, 2.2): one dictionary describes it.

Rows are samples. Layer by layer ``Z = A @ W + b`` and ``A = f(Z)``; the report's ``forwProp`` writes the transposed
``a = f{W a + b}`` for one sample. Notebook 02 does both passes by hand.
"""

from __future__ import annotations

import copy
import json
from itertools import pairwise
from pathlib import Path

import numpy as np

from hw1lib.checks import numbers, one_of, whole_number
from hw1lib.files import read_npz, write_npz
from hw1lib.nn.activations import ACTIVATIONS, Activation
from hw1lib.nn.initializers import Random, Zero, as_initializer
from hw1lib.nn.losses import LOSSES, Loss
from hw1lib.nn.training import Trainable

CONFIG_KEYS = {"layers", "activation", "output_activation", "loss"}


def check_config(config) -> dict:
    """Return a copy of the dictionary that describes a network, or raise ValueError that says what is allowed."""
    if not isinstance(config, dict) or set(config) != CONFIG_KEYS:
        raise ValueError(f"config must be a dictionary with the keys {sorted(CONFIG_KEYS)}, not {config!r}")
    layers = config["layers"].tolist() if isinstance(config["layers"], np.ndarray) else config["layers"]
    if not isinstance(layers, list | tuple) or len(layers) < 2:
        raise ValueError(f"config['layers'] must hold two or more whole numbers >= 1, not {layers!r}")
    return {**config, "layers": [whole_number("each of config['layers']", units) for units in layers]}


def count_parameters(layers) -> int:
    """Return how many weights and biases there are between layers of so many units."""
    return sum((fan_in + 1) * fan_out for fan_in, fan_out in pairwise(layers))


def _resolve(key, value, registry, kind):
    """Return the object that a name or an object in the config stands for."""
    if isinstance(value, kind):
        return value
    if not isinstance(value, str) or value not in registry:
        own = f"an object, such as {next(iter(registry.values()))!r}, of a class that inherits {kind.__name__}"
        raise ValueError(f"config[{key!r}] must be one of {sorted(registry)}, or {own}, not {value!r}")
    return registry[value]


class Network(Trainable):
    """A fully connected network.

    Parameters
    ----------
    config : dict
        ``layers``: units of each layer, input first; ``activation`` of the hidden layers, ``output_activation`` and
        ``loss``: names in ``ACTIVATIONS`` and ``LOSSES``, or objects of your own.
    initializer : Initializer, callable or str
        ``initializer(fan_in, fan_out, rng) -> W``, or a name in ``INITIALIZERS``. Biases start at 0.
    seed : int or numpy.random.Generator
        Draws the weights, and then the order of the rows in every epoch.
    dtype : {np.float32, np.float64}
        Of the parameters; inputs and targets are brought to it.

    Attributes
    ----------
    parameters, gradient : ndarray, (n_parameters,)
        Layer by layer the weights and the biases, and the last gradient of a batch's mean loss, without weight decay:
        one flat vector each. To set them write into them, as in ``net.parameters[...] = 0``.
    weights, biases : tuple of ndarray, (fan_in, fan_out) and (fan_out,)
        Views into ``parameters``; ``weight_gradients`` and ``bias_gradients`` likewise into ``gradient``.
    """

    def __init__(self, config, initializer=Random(0.1), seed=0, dtype=np.float32):  # noqa: B008 - frozen, so shareable
        self.config = config = check_config(config)
        self.layers: list[int] = config["layers"]
        self.activation = _resolve("activation", config["activation"], ACTIVATIONS, Activation)
        self.output_activation = _resolve("output_activation", config["output_activation"], ACTIVATIONS, Activation)
        self.loss = _resolve("loss", config["loss"], LOSSES, Loss)
        if self.loss.built_in:  # the output activation must be the one that this names, or the same as an object
            needed = one_of(f"{self.loss!r}.built_in, if not None,", self.loss.built_in, ACTIVATIONS)
            if not isinstance(self.output_activation, type(ACTIVATIONS[needed])):
                given = config["output_activation"]
                raise ValueError(f"the loss {config['loss']!r} needs the output activation {needed!r}, not {given!r}")
        if dtype not in (np.float32, np.float64, "float32", "float64"):
            raise ValueError(f"dtype must be np.float32 or np.float64, not {dtype!r}")
        initializer = as_initializer(initializer)
        self.input_shape, self.n_outputs = (self.layers[0],), self.layers[-1]
        self.rng = np.random.default_rng(seed)
        self.dtype = np.dtype(dtype)
        self.parameters = np.zeros(count_parameters(self.layers), dtype)
        self.gradient = np.zeros_like(self.parameters)
        self.weights, self.biases = self._views(self.parameters)
        self.weight_gradients, self.bias_gradients = self._views(self.gradient)
        self._is_weight = np.zeros_like(self.parameters)
        for ones in self._views(self._is_weight)[0]:
            ones[...] = 1
        for W in self.weights:
            W[...] = self._array("the initializer's weights", initializer(*W.shape, self.rng), W.shape)

    def _views(self, flat):
        """Return the weights and the biases of every layer, as views into a flat vector."""
        weights, biases, start = [], [], 0
        for fan_in, fan_out in pairwise(self.layers):
            end = start + fan_in * fan_out
            weights.append(flat[start:end].reshape(fan_in, fan_out))
            biases.append(flat[end : end + fan_out])
            start = end + fan_out
        return tuple(weights), tuple(biases)

    def _forward(self, X) -> tuple[list[np.ndarray], np.ndarray]:
        """Return each layer's input A (m, fan_in), ``X`` first, and the output layer's weighted sums Z (2.2.1)."""
        inputs = [X]
        for W, b in zip(self.weights, self.biases, strict=True):
            Z = np.dot(inputs[-1], W)  # (m, fan_out); dot is faster than @, above all where there is one output
            Z += b
            if len(inputs) < len(self.weights):
                inputs.append(self.activation(Z))
        return inputs, Z

    def _backward(self, inputs, delta) -> None:
        """Write the gradient, from the last layer to the first (report, 2.2.2)."""
        ones = np.ones(len(delta), self.dtype)
        # delta (m, fan_out) is dL/dZ of the layer that weights[i] leads to; L is the batch's mean loss, so 1/m is in it
        for i in range(len(self.weights) - 1, -1, -1):
            A = inputs[i]  # (m, fan_in)
            delta = delta.astype(self.dtype, copy=False)  # a derivative of your own may be float64
            np.dot(A.T, delta, out=self.weight_gradients[i])  # dL/dW, (fan_in, fan_out)
            np.dot(ones, delta, out=self.bias_gradients[i])  # dL/db = delta.sum(axis=0), but 5 % of an epoch faster
            if i > 0:  # dL/dA of the layer before, then its dL/dZ
                delta = self.activation.backward(np.dot(delta, self.weights[i].T), A)

    # -- files ------------------------------------------------------------------------------------------------------

    def save(self, path) -> Path:
        """Write the network to an .npz file: its description and its parameters, no pickle."""
        config = json.dumps(self.named_config())
        return write_npz(path, "network", {"config": np.array(config), "parameters": self.parameters})

    def named_config(self) -> dict:
        """Return ``config`` if it is made of names; ValueError if it holds objects, which no file can keep."""
        for key in CONFIG_KEYS - {"layers"}:
            if not isinstance(self.config[key], str):
                raise ValueError(f"a file holds names, but config[{key!r}] is the object {self.config[key]!r}")
        return self.config

    def to_onnx(self, path) -> Path:
        """Write the network as an ONNX file, see ``hw1lib.nn.onnx_export.to_onnx``; needs the package ``onnx``."""
        from hw1lib.nn.onnx_export import to_onnx

        return to_onnx(self, path)

    @classmethod
    def load(cls, path) -> Network:
        """Return the network that ``save`` wrote; FileNotFoundError, or ValueError that names any other file."""
        arrays = read_npz(path, "network", ("config", "parameters"))
        try:
            return cls.from_parameters(json.loads(str(arrays["config"])), arrays["parameters"])
        except (ValueError, TypeError, RecursionError) as error:
            raise ValueError(f"{path}: not a network that this version can read: {error}") from error

    @classmethod
    def from_parameters(cls, config, parameters, rng=0) -> Network:
        """Return a network with these parameters; ``rng`` as ``seed`` of the constructor."""
        size = count_parameters(check_config(config)["layers"])
        parameters = numbers("parameters", parameters, shape=(size,))
        net = cls(config, Zero(), dtype=parameters.dtype)
        net.parameters[...] = parameters
        net.rng = np.random.default_rng(rng)  # only now: it has drawn no weights
        return net

    def __reduce__(self):  # copy and pickle ask for it: the views into the parameters must be made anew
        return self.from_parameters, (self.config, self.parameters, copy.deepcopy(self.rng))

    def __repr__(self):
        names = [self.config["activation"]] * (len(self.layers) - 2) + [self.config["output_activation"]]
        chain = " -> ".join([str(self.layers[0])] + [f"{n} {f}" for n, f in zip(self.layers[1:], names, strict=True)])
        return f"Network({chain}, loss {self.config['loss']}, {self.parameters.size:,} parameters)"
