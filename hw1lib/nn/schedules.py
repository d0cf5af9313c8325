"""The learning rate over the epochs (report, 2.2.5): ``schedule(epoch) -> rate``, a pure function of the epoch."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from numbers import Real


@dataclass(frozen=True)
class Schedule:
    """A learning rate that starts at ``rate``; epochs count from 0."""

    rate: float

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            if not (isinstance(value, Real) and 0 < float(value) < math.inf):
                raise ValueError(f"{field.name} must be a finite number > 0, not {value!r}")

    def __call__(self, epoch: int) -> float:
        """Return the learning rate of this epoch."""
        raise NotImplementedError


@dataclass(frozen=True)
class Constant(Schedule):
    """Always ``rate``."""

    def __call__(self, epoch):  # noqa: D102
        return self.rate


@dataclass(frozen=True)
class StepDecay(Schedule):
    """Multiplied by ``drop`` once ``every`` so many epochs."""

    drop: float = 0.5
    every: int = 50

    def __call__(self, epoch):  # noqa: D102
        return self.rate * self.drop ** (epoch // self.every)


@dataclass(frozen=True)
class ExponentialDecay(Schedule):
    """Multiplied by ``decay`` every epoch."""

    decay: float = 0.99

    def __call__(self, epoch):  # noqa: D102
        return self.rate * self.decay**epoch


@dataclass(frozen=True)
class InverseTimeDecay(Schedule):
    """``rate / (1 + decay * epoch)`` (Robbins and Monro 1951)."""

    decay: float = 0.01

    def __call__(self, epoch):  # noqa: D102
        return self.rate / (1 + self.decay * epoch)


SCHEDULES = {
    "constant": Constant,
    "step": StepDecay,
    "exponential": ExponentialDecay,
    "inverse_time": InverseTimeDecay,
}
