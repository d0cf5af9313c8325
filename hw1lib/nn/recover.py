"""The filter that the report does not print (question 2), from a picture and its output."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hw1lib.checks import numbers
from hw1lib.nn.conv import pad, patch_matrix


class Recovered(NamedTuple):
    """What ``recover_filter`` returns."""

    filter: np.ndarray  # (kh, kw); integers if ``integer``
    rank: int  # independent equations among the windows
    unique: bool  # the rank is the number of unknowns: no other filter does as well
    integer: bool  # these integers give the output exactly
    residual: float  # largest difference between the output and what the filter gives


def recover_filter(picture, output, stride=1, padding=0) -> Recovered:
    """Find the filter that turned ``picture`` (H, W) into ``output`` (oh, ow), by least squares.

    The report never prints filters 2 and 3; its Tables 3.5 and 3.6 fix them. Of the filter sizes
    that the shapes allow (several, if stride > 1), the largest is taken: a smaller filter is one of
    those, with zeros at its end. If ``rank`` is below the number of unknowns, it is one of many
    that fit: the shortest, or that rounded to whole numbers if it then still fits.
    """
    x, y = pad(picture, padding), numbers("output", output)
    size = [n - (m - 1) * stride for n, m in zip(x.shape, y.shape, strict=False)]
    if x.ndim != 2 or y.ndim != 2 or min(size) < 1:
        wanted = "(H, W) and (oh, ow), for a filter of at least 1x1"
        raise ValueError(f"picture and output must be {wanted}, not {x.shape} and {y.shape}")
    patches = patch_matrix(x, size, stride).astype(float)
    solution, _, rank, _ = np.linalg.lstsq(patches, y.ravel().astype(float))
    rounded = np.rint(solution)
    integer = np.array_equal(patches @ rounded, y.ravel())
    solution = rounded.astype(np.int64) if integer else solution
    residual = float(np.abs(patches @ solution - y.ravel()).max())
    unique = int(rank) == solution.size
    return Recovered(solution.reshape(size), int(rank), unique, integer, residual)
