"""Checks of arguments: each returns the value as it is used, or raises ValueError.

Also the errors that a notebook shows without their traceback.
"""

from __future__ import annotations

import math
from numbers import Integral, Real

import numpy as np


class UserError(ValueError):
    """What its reader can mend without looking at code: a setting, a learning rate, a file.

    A notebook shows its sentence alone; all other errors keep their traceback.
    """

    def _render_traceback_(self) -> list[str]:  # IPython asks for it
        return [f"{type(self).__name__}: {self}"]


class FileError(UserError, OSError):
    """A file or folder that is missing, or can't be read or written; the message names it."""


def whole_number(name: str, value, least: int = 1) -> int:
    """Return a whole number of at least ``least``; True and False are none."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, Integral) or value < least:
        raise ValueError(f"{name} must be a whole number >= {least}, not {value!r}")
    return int(value)


def real_number(name: str, value, least=0.0, below=math.inf, above: bool = False) -> float:
    """Return a finite number >= ``least`` (``above``: larger than that), and below ``below``."""
    number = isinstance(value, Real) and not isinstance(value, bool | np.bool_)
    allowed = number and math.isfinite(value) and least <= value < below
    if not allowed or (above and value == least):
        limit = f"{'>' if above else '>='} {least:g}"
        limit += f" and below {below:g}" if below < math.inf else ""
        raise ValueError(f"{name} must be a finite number {limit}, not {value!r}")
    return float(value)


def one_of(name: str, value, allowed) -> str:
    """Return a name that is among the ``allowed`` ones."""
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(str, allowed))}, not {value!r}")
    return value


def unmasked(name: str, values):
    """Return the values; a masked array, or rows of one, would be used with what it hides."""
    if _hides(values):
        raise ValueError(f"{name} must not hold masked values: fill them, or leave their rows out")
    return values


def _hides(values) -> bool:
    if isinstance(values, list | tuple):
        return any(map(_hides, values))
    return np.ma.isMaskedArray(values) and np.ma.is_masked(values)


def numbers(name: str, values, kinds: str = "biuf", shape: tuple[int, ...] | None = None):
    """Return an array of finite real numbers; ``kinds`` are NumPy's kinds, "b" is bool.

    A masked array is allowed if it hides nothing.
    """
    unmasked(name, values)
    try:
        array = np.asarray(values)
    except ValueError:
        raise ValueError(f"{name} must be an array, with rows of equal length") from None
    if array.dtype.kind not in kinds:
        raise ValueError(f"{name} must hold real numbers, not {array.dtype}")
    if shape is not None and array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, not {array.shape}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite: it holds NaN or infinite values")
    return array
