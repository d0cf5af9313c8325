"""A fully connected network from scratch (report, 2.2): one dictionary describes it.

Rows are samples. Layer by layer ``Z = A @ W + b`` and ``A = f(Z)``; the report's ``forwProp`` writes the transposed
``a = f{W a + b}`` for one sample. Notebook 02 does both passes by hand.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np

from hw1lib.checks import one_of, whole_number
from hw1lib.nn.activations import ACTIVATIONS, Activation
from hw1lib.nn.initializers import Random, as_initializer
from hw1lib.nn.losses import LOSSES, Loss
from hw1lib.nn.training import Trainable

CONFIG_KEYS = {"layers", "activation", "output_activation", "loss"}


def check_config(config, keys=CONFIG_KEYS) -> dict:
    """Return a copy of the dictionary that describes a network, or raise ValueError that says what is allowed."""
    if not isinstance(config, dict) or set(config) != keys:
        raise ValueError(f"config must be a dictionary with the keys {sorted(keys)}, not {config!r}")
    return dict(config)


def whole_numbers(config, key, least: int) -> list[int]:
    """Return the list of at least so many whole numbers that a config holds under this key."""
    values = config[key].tolist() if isinstance(config[key], np.ndarray) else config[key]
    if not isinstance(values, list | tuple) or len(values) < least:
        count = ("any number of", "one or more", "two or more", "three")[least]
        raise ValueError(f"config[{key!r}] must hold {count} whole numbers >= 1, not {values!r}")
    return [whole_number(f"each of config[{key!r}]", value) for value in values]


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

    kind = "network"

    def __init__(self, config, initializer=Random(0.1), seed=0, dtype=np.float32):  # noqa: B008 - frozen, so shareable
        self.layers = whole_numbers(check_config(config), "layers", 2)
        self.config = config = {**config, "layers": self.layers}
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
        parameters = np.zeros(self.count_parameters(config), dtype)
        self._live_in(parameters, np.zeros_like(parameters))
        for W in self.weights:
            W[...] = self._array("the initializer's weights", initializer(*W.shape, self.rng), W.shape)

    @staticmethod
    def count_parameters(config) -> int:
        """Return how many weights and biases a network of this description has."""
        layers = whole_numbers(check_config(config), "layers", 2)
        return sum((fan_in + 1) * fan_out for fan_in, fan_out in pairwise(layers))

    def _views(self, flat):
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

    def _backward(self, inputs, delta) -> np.ndarray:
        """Write the gradient, from the last layer to the first (report, 2.2.2); return dL/dZ of the first."""
        ones = np.ones(len(delta), self.dtype)
        # delta (m, fan_out) is dL/dZ of the layer that weights[i] leads to; L is the batch's mean loss, so 1/m is in it
        for i in range(len(self.weights) - 1, -1, -1):
            A = inputs[i]  # (m, fan_in)
            delta = delta.astype(self.dtype, copy=False)  # a derivative of your own may be float64
            np.dot(A.T, delta, out=self.weight_gradients[i])  # dL/dW, (fan_in, fan_out)
            np.dot(ones, delta, out=self.bias_gradients[i])  # dL/db = delta.sum(axis=0), but 5 % of an epoch faster
            if i > 0:  # dL/dA of the layer before, then its dL/dZ
                delta = self.activation.backward(np.dot(delta, self.weights[i].T), A)
        return delta

    def to_onnx(self, path) -> Path:
        """Write the network as an ONNX file, see ``hw1lib.nn.onnx_export.to_onnx``; needs the package ``onnx``."""
        from hw1lib.nn.onnx_export import to_onnx

        return to_onnx(self, path)

    def __repr__(self):
        names = [self.config["activation"]] * (len(self.layers) - 2) + [self.config["output_activation"]]
        chain = " -> ".join([str(self.layers[0])] + [f"{n} {f}" for n, f in zip(self.layers[1:], names, strict=True)])
        return f"Network({chain}, loss {self.config['loss']}, {self.parameters.size:,} parameters)"
