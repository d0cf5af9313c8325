"""A convolutional network from scratch: the report's three questions joined, described by one dictionary.

Question 2's convolution and max pooling, several times, with the gradients of question 3; then the fully connected
layers of question 1, which are a ``Network``, and its gradient descent.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from hw1lib.checks import numbers, whole_number
from hw1lib.nn.conv import correlate, filters_gradient, images_gradient, pool, unpool
from hw1lib.nn.initializers import as_initializer
from hw1lib.nn.network import CONFIG_KEYS, Network, check_config, whole_numbers
from hw1lib.nn.training import Trainable

SIZE, STRIDE, PADDING = (3, 3), (1, 1), (1, 1)  # of each convolution: its output is as large as its input
POOL = (2, 2)  # size and stride of each pooling: an odd last row or column is left out
KEYS = CONFIG_KEYS - {"layers"} | {"picture", "filters", "hidden", "outputs"}


class Block(NamedTuple):
    """What the forward pass of one block leaves for the backward pass, for m pictures."""

    padded: np.ndarray  # (m, C, H + 2, W + 2), the input
    shape: tuple[int, ...]  # (m, F, H, W), of the convolution's output, which is not kept
    cells: np.ndarray  # (m, F, H // 2, W // 2), where in it each largest value stood
    A: np.ndarray  # (m, F, H // 2, W // 2), the output


def mirrored(pictures, rng) -> np.ndarray:
    """Return a batch of pictures (n, C, H, W), each mirrored left to right with chance 1/2: ``fit(augment=mirrored)``.

    A face in the mirror is as old as it was: for the network it is one more face (Krizhevsky et al. 2012, 4.1).
    """
    turned = rng.random(len(pictures)) < 0.5
    return np.where(turned[:, None, None, None], pictures[..., ::-1], pictures)


def check_monotone(activation) -> None:
    """Raise ValueError for an activation that changes its result if max pooling, or another unit, comes first."""
    z = np.linspace(-8, 8, 161)
    column, row = activation(z[:, None])[:, 0], activation(z[None])[0]
    if not (np.array_equal(column, row) and (np.diff(column) >= 0).all()):
        needed = "act on each number alone and never fall, since max pooling comes before it"
        raise ValueError(f"config['activation'] of a convolutional network must {needed}, which {activation!r} doesn't")


class ConvNetwork(Trainable):
    """Blocks of convolution 3x3, bias, activation and max pooling 2x2, then a fully connected ``Network``.

    It pools first: the activation never falls, so max(f(z + b)) = f(max(z) + b), and f meets a quarter of the numbers.

    Parameters
    ----------
    config : dict
        ``picture``: (C, H, W) of the inputs; ``filters``: how many each block has; ``hidden``: units of the hidden
        layers after the blocks, perhaps none; ``outputs``: how many; ``activation`` of blocks and hidden layers, which
        may fall nowhere, ``output_activation`` and ``loss``: as in ``Network``.
    initializer, seed, dtype
        As in ``Network``; a filter's fan_in is its number of weights, 9 C.

    Attributes
    ----------
    head : Network
        The fully connected layers. Its parameters and gradient are the last part of this network's.
    parameters, gradient, weights, biases, weight_gradients, bias_gradients
        As in ``Network``, first those of the blocks, then those of ``head``.
    filters : tuple of ndarray, (F, C, 3, 3)
        The weights of the blocks.

    Notes
    -----
    Pictures ``X`` are (n, C, H, W). Bytes (uint8) stand for x / 255 - 1/2, from -0.5 to 0.5, and become floats batch by
    batch; all other numbers are taken as they are, and should be of that size.

    If the targets are far from 0 or the first outputs far from the targets, gradient descent diverges at rates that
    are fine later on. For ages, let the output start at their mean and close to constant::

        net.biases[-1][...] = ages.mean()
        net.weights[-1][...] /= 10
    """

    kind = "convolutional network"
    _evaluation_rows = 128  # what the blocks leave for a picture of 50x50 is some 200 KB

    def __init__(self, config, initializer="he", seed=0, dtype=np.float32):
        self.config, head_config = self._described(config)
        self.rng = np.random.default_rng(seed)
        self.head = head = Network(head_config, initializer, self.rng, dtype)
        self.activation, self.output_activation, self.loss = head.activation, head.output_activation, head.loss
        check_monotone(self.activation)
        self.input_shape, self.n_outputs, self.dtype = tuple(self.config["picture"]), head.n_outputs, head.dtype
        parameters = np.zeros(self.count_parameters(config), dtype)
        parameters[-head.parameters.size :] = head.parameters
        self._live_in(parameters, np.zeros_like(parameters))
        for W in self.filters:
            fans = W[0].size, len(W)
            drawn = as_initializer(initializer)(*fans, self.rng)
            W[...] = self._array("the initializer's weights", drawn, fans).T.reshape(W.shape)

    @staticmethod
    def _described(config) -> tuple[dict, dict]:
        """Return a copy of the config, checked, and the head's config."""
        config = check_config(config, KEYS)
        for key, least in (("picture", 3), ("filters", 1), ("hidden", 0)):
            config[key] = whole_numbers(config, key, least)
        config["outputs"] = whole_number("config['outputs']", config["outputs"])
        (channels, *sides), least = config["picture"], 2 ** len(config["filters"])
        if len(sides) != 2 or min(sides) < least:
            wanted = f"(C, H, W), with H and W at least 2 for each block, here {least}"
            raise ValueError(f"config['picture'] must be {wanted}, not {(channels, *sides)}")
        features = config["filters"][-1] * math.prod(side // least for side in sides)
        layers = [features, *config["hidden"], config["outputs"]]
        return config, {"layers": layers, **{key: config[key] for key in CONFIG_KEYS - {"layers"}}}

    @classmethod
    def count_parameters(cls, config) -> int:
        """Return how many weights and biases a network of this description has."""
        config, head_config = cls._described(config)
        blocks = pairwise([config["picture"][0], *config["filters"]])
        return sum((c * math.prod(SIZE) + 1) * f for c, f in blocks) + Network.count_parameters(head_config)

    def _live_in(self, parameters, gradient):
        last = slice(-self.head.parameters.size, None)
        self.head._live_in(parameters[last], gradient[last])
        super()._live_in(parameters, gradient)
        self.filters = self.weights[: len(self.config["filters"])]

    def _views(self, flat):
        filters, biases, start = [], [], 0
        for c, f in pairwise([self.input_shape[0], *self.config["filters"]]):
            end = start + f * c * math.prod(SIZE)
            filters.append(flat[start:end].reshape(f, c, *SIZE))
            biases.append(flat[end : end + f])
            start = end + f
        weights, others = self.head._views(flat[start:])
        return (*filters, *weights), (*biases, *others)

    def _as_inputs(self, X):
        X = numbers("X", X)
        return X if X.dtype == np.uint8 else super()._as_inputs(X)

    def _forward(self, X):
        """Return what each block leaves for ``_backward``, then the head's inputs; and the head's weighted sums."""
        A = X  # (m, C, H, W)
        if A.dtype == np.uint8:
            A = A.astype(self.dtype) / 255 - 0.5
        blocks = []
        for W, b in zip(self.filters, self.biases, strict=False):
            padded = np.pad(A, ((0, 0), (0, 0), *((p, p) for p in PADDING)))
            Z = correlate(padded, W, STRIDE)  # (m, F, H, W), still without the bias
            values, cells = pool(Z, POOL, POOL, (0, 0))  # (m, F, H // 2, W // 2)
            A = self.activation(values + b[:, None, None])
            blocks.append(Block(padded, Z.shape, cells, A))
        inputs, Z = self.head._forward(A.reshape(len(A), -1))
        return [*blocks, inputs], Z

    def _backward(self, inputs, delta):
        """Write the gradient: the head's, then from the last block to the first (report, question 3)."""
        *blocks, inputs = inputs
        delta = self.head._backward(inputs, delta)
        grad = np.dot(delta, self.head.weights[0].T).reshape(blocks[-1].A.shape)  # dL/dA of the last block
        for i, (padded, shape, cells, A) in reversed(list(enumerate(blocks))):
            delta = self.activation.backward(grad, A).astype(self.dtype, copy=False)  # (m, F, H // 2, W // 2)
            delta.sum(axis=(0, 2, 3), out=self.bias_gradients[i])
            delta = unpool(delta, cells, shape)  # dL/dZ, (m, F, H, W): what wasn't the largest has no part in L
            self.weight_gradients[i][...] = filters_gradient(delta, padded, SIZE, STRIDE)
            if i > 0:  # nobody needs that of the pictures themselves
                grad = images_gradient(delta, padded.shape, self.filters[i], STRIDE, PADDING)

    def __repr__(self):
        size = "x".join(map(str, self.input_shape))
        filters = " -> ".join(map(str, self.config["filters"]))
        return f"ConvNetwork({size} -> {filters} filters 3x3 -> {self.head!r}, {self.parameters.size:,} parameters)"
