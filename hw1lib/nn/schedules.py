"""The learning rate over the epochs (report, 2.2.5): ``schedule(epoch) -> rate``."""

from __future__ import annotations

from dataclasses import dataclass, fields
from numbers import Integral

from hw1lib.checks import real_number


@dataclass(frozen=True)
class Schedule:
    """A learning rate that starts at ``rate``; epochs count from 0."""

    rate: float

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            real_number(field.name, value, above=True)
            # a plain number, also of NumPy's
            plain = int(value) if isinstance(value, Integral) else float(value)
            object.__setattr__(self, field.name, plain)

    def __call__(self, epoch: int) -> float:
        """Return the learning rate of this epoch."""
        raise NotImplementedError


@dataclass(frozen=True)
class Constant(Schedule):
    """Always ``rate``."""

    def __call__(self, epoch):
        return self.rate


@dataclass(frozen=True)
class StepDecay(Schedule):
    """Multiplied by ``drop`` once ``every`` so many epochs."""

    drop: float = 0.5
    every: int = 50

    def __call__(self, epoch):
        return self.rate * self.drop ** (epoch // self.every)


@dataclass(frozen=True)
class ExponentialDecay(Schedule):
    """Multiplied by ``decay`` every epoch."""

    decay: float = 0.99

    def __call__(self, epoch):
        return self.rate * self.decay**epoch


@dataclass(frozen=True)
class InverseTimeDecay(Schedule):
    """``rate / (1 + decay * epoch)`` (Robbins and Monro 1951)."""

    decay: float = 0.01

    def __call__(self, epoch):
        return self.rate / (1 + self.decay * epoch)


@dataclass(frozen=True)
class LinearDecay(Schedule):
    """``rate * (1 - epoch / epochs)``: it would be 0 after ``epochs`` of them."""

    epochs: int = 100

    def __call__(self, epoch):
        return self.rate * max(0.0, 1 - epoch / self.epochs)


def as_schedule(value):
    """Return a schedule: a number is a constant rate, a function of the epoch is itself."""
    if callable(value) and not isinstance(value, type):
        return value
    name = "learning_rate, if no object such as Constant(1e-4) and no function of the epoch,"
    return Constant(real_number(name, value, above=True))
