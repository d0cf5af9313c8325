"""How the weights start (report, 2.2.4): ``initializer(fan_in, fan_out, rng) -> W``."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hw1lib.checks import one_of, real_number


@dataclass(frozen=True)
class Initializer:
    """Normal weights with mean 0; subclasses say how wide. Biases always start at 0."""

    def std(self, fan_in: int, fan_out: int) -> float:
        """Return the standard deviation of the weights between ``fan_in`` and ``fan_out`` units."""
        raise NotImplementedError

    def __call__(self, fan_in, fan_out, rng):
        """Return weights (fan_in, fan_out) as float64, drawn from the numpy Generator ``rng``."""
        return self.std(fan_in, fan_out) * rng.standard_normal((fan_in, fan_out))


@dataclass(frozen=True)
class Zero(Initializer):
    """All weights 0. No hidden unit ever learns from there: notebook 03 shows why."""

    def std(self, fan_in, fan_out):
        return 0.0


@dataclass(frozen=True)
class Random(Initializer):
    """The report's "random": one width ``sigma`` for every layer."""

    sigma: float = 0.1

    def __post_init__(self):
        sigma = real_number("sigma", self.sigma)  # a plain number, also of NumPy's
        object.__setattr__(self, "sigma", sigma)

    def std(self, fan_in, fan_out):
        return self.sigma


@dataclass(frozen=True)
class Xavier(Initializer):
    """``sqrt(2 / (fan_in + fan_out))`` (Glorot and Bengio 2010, equation 12)."""

    def std(self, fan_in, fan_out):
        return math.sqrt(2 / (fan_in + fan_out))


@dataclass(frozen=True)
class He(Initializer):
    """``sqrt(2 / fan_in)`` (He et al. 2015, equation 10): for ReLU and its kin."""

    def std(self, fan_in, fan_out):
        return math.sqrt(2 / fan_in)


INITIALIZERS: dict[str, Initializer] = {
    "zero": Zero(),
    "random": Random(),
    "xavier": Xavier(),
    "he": He(),
}


def as_initializer(value):
    """Return the initialiser of this name, or the object or function itself."""
    if callable(value) and not isinstance(value, type):
        return value
    name = "initializer, if no object such as Random(0.1),"
    return INITIALIZERS[one_of(name, value, INITIALIZERS)]
