"""Checks of arguments that more than one module makes: each returns the value as it is used, or raises ValueError.

Also the mark of errors that a notebook shows without their traceback.
"""

from __future__ import annotations

import functools
import math
from numbers import Integral, Real

import numpy as np


def whole_number(name: str, value, least: int = 1) -> int:
    """Return a whole number of at least ``least``; NumPy's are allowed, True and False are not."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, Integral) or value < least:
        raise ValueError(f"{name} must be a whole number >= {least}, not {value!r}")
    return int(value)


def real_number(name: str, value, least: float = 0.0, below: float = math.inf, above: bool = False) -> float:
    """Return a finite number of at least ``least`` (``above``: larger than that), and below ``below``."""
    number = isinstance(value, Real) and not isinstance(value, bool | np.bool_)
    if not number or not math.isfinite(value) or not least <= value < below or (above and value == least):
        limit = f" and below {below:g}" if below < math.inf else ""
        raise ValueError(f"{name} must be a finite number {'>' if above else '>='} {least:g}{limit}, not {value!r}")
    return float(value)


def one_of(name: str, value, allowed) -> str:
    """Return a name that is among the ``allowed`` ones."""
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(str, allowed))}, not {value!r}")
    return value


def numbers(name: str, values, kinds: str = "biuf", shape: tuple[int, ...] | None = None) -> np.ndarray:
    """Return an array of finite real numbers; ``kinds`` are the allowed NumPy kinds of number, "b" is bool."""
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


def mendable(error):
    """Return an error that its reader can mend without looking at code: a notebook shows its sentence, no traceback.

    For what is wrong with a setting, a learning rate, a file or a disk. All other errors keep their traceback.
    """
    error._render_traceback_ = functools.partial(list, [f"{type(error).__name__}: {error}"])  # IPython asks for it
    return error
