"""The dictionary that describes a network: what is allowed in it, and the layers that it means."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from hw1lib.checks import numbers, one_of, whole_number
from hw1lib.nn.activations import ACTIVATIONS, Activation
from hw1lib.nn.layers import Apply, BatchNorm, Conv, Dense, Flatten, Layer, MaxPool

# What other libraries call a loss or an activation, and what it is called here.
OTHER_NAMES = {"cross_entropy": "nll", "crossentropy": "nll", "log_loss": "logistic"}
OTHER_NAMES |= {"bce": "logistic", "mse": "l2", "linear": "identity"}
PARTS = {"activation", "output_activation", "loss"}
DENSE = PARTS | {"layers"}
PICTURES = PARTS | {"picture", "filters", "hidden", "outputs"}


def check_config(config) -> dict:
    """Return a copy of the dictionary that describes a network, or say what is allowed in it."""
    if not isinstance(config, dict):
        raise ValueError(f"config must be a dictionary, not {config!r}")
    of_pictures = not {"picture", "filters"}.isdisjoint(config)
    needed, optional = (PICTURES, "batch_norm") if of_pictures else (DENSE, "input_scale")
    missing, unknown = needed - set(config), set(config) - needed - {optional}
    if missing or unknown:
        told = f"config must have the keys {sorted(needed)}, and perhaps {optional!r}"
        for kind, keys in (("missing", missing), ("not known", unknown)):
            told += f"; {kind}: {', '.join(sorted(map(repr, keys)))}" if keys else ""
        raise ValueError(told)
    config = dict(config)
    for key, least in (("layers", 2), ("picture", 3), ("filters", 1), ("hidden", 0)):
        if key in config:
            config[key] = _sizes(key, config[key], least)
    if "layers" in config:
        whole_number("config['layers'][0], the inputs,", config["layers"][0])
    else:
        whole_number("config['outputs']", config["outputs"])
    if "input_scale" in config:
        scale = numbers("config['input_scale']", config["input_scale"])
        inputs = config["layers"][0]
        if scale.shape not in ((), (inputs,)) or not (scale > 0).all():
            raise ValueError(f"config['input_scale'] must be a number > 0, or {inputs} of them")
        config["input_scale"] = scale.tolist()
    return config


def _sizes(key: str, values, least: int) -> list:
    if not isinstance(values, list | tuple) or len(values) < least:
        wanted = f"a list of {least} or more numbers"
        raise ValueError(f"config[{key!r}] must be {wanted}, not {values!r}")
    name = f"each of config[{key!r}], if no layer,"
    return [v if isinstance(v, Layer) else whole_number(name, v) for v in values]


def named(config, key: str, registry: dict, kind: type):
    """Return what a name in the config stands for, or the object that is there instead."""
    value = config[key]
    if isinstance(value, kind):
        return value
    if isinstance(value, str) and OTHER_NAMES.get(value) in registry:
        raise ValueError(f"config[{key!r}]: {value!r} is called {OTHER_NAMES[value]!r} here")
    name = f"config[{key!r}], if no object of a class that inherits nn.{kind.__name__},"
    return registry[one_of(name, value, registry)]


def make_layers(config: dict) -> list[Layer]:
    """Return the layers that a config describes."""
    activation = named(config, "activation", ACTIVATIONS, Activation)
    if "picture" in config:
        return _conv_layers(config, activation)
    return _dense_layers(config["layers"], activation)


def _dense_layers(sizes: Sequence, activation: Activation) -> list[Layer]:
    """Return the layers of a fully connected network.

    ``sizes`` are its units, input first. A layer that stands among them is taken as it is. If units
    come last, no activation follows them: that is the output activation, which the network knows.
    """
    layers: list[Layer] = []
    units = sizes[0]
    for size in sizes[1:]:
        if isinstance(size, Layer):
            layers.append(copy.deepcopy(size))  # two networks of one config share nothing
            units = size.units or units
        else:
            layers += [Dense(units, size), Apply(activation)]
            units = size
    return layers if isinstance(sizes[-1], Layer) else layers[:-1]  # without the last activation


def _conv_layers(config: dict, activation: Activation) -> list[Layer]:
    """Return convolution, max pooling and activation for each of the filters; then dense layers.

    A layer that stands among the filters is taken as it is, and leaves height and width as they
    are. The activation comes after the pooling, which leaves it a quarter of the numbers: for one
    that never falls, ``max(f(z)) = f(max(z))``. With ``batch_norm`` it stands between the two, and
    its beta in the place of the convolution's bias.
    """
    layers: list[Layer] = []
    channels, height, width = config["picture"]
    batch_norm = config.get("batch_norm", False)
    for filters in config["filters"]:
        if isinstance(filters, Layer):
            layers.append(copy.deepcopy(filters))
            channels = filters.units or channels
        else:
            layers += [Conv(channels, filters, bias=not batch_norm), MaxPool()]
            layers += [BatchNorm(filters)] if batch_norm else []
            layers += [Apply(activation)]
            channels, height, width = filters, height // 2, width // 2
    if min(height, width) < 1:
        raise ValueError("config['picture'] is too small to be halved for each of the filters")
    sizes = [channels * height * width, *config["hidden"], config["outputs"]]
    return [*layers, Flatten(), *_dense_layers(sizes, activation)]
