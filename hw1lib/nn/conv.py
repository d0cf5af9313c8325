"""Convolution and max pooling (report, chapter 3).

Read ``conv2d_loops`` and ``max_pool2d_loops`` first: they say what is computed. ``conv2d`` and ``max_pool2d`` compute
the same fast, from sliding windows; the tests hold each pair equal, and both equal to SciPy and PyTorch.

A picture is (H, W) with a filter (kh, kw), or a batch is (N, C, H, W) with filters (F, C, kh, kw). ``stride``,
``padding``, ``dilation`` and ``size`` are one integer, or a pair (vertical, horizontal). Integers in give integers out,
exactly. Input that can't be used raises ValueError, which names the argument and what is allowed.
"""

from __future__ import annotations

import math
import operator
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

MODES = ("correlation", "convolution")
BLOCK = 2**17  # numbers in one block of columns: about 0.5 to 1 MB, which stays in a core's cache


class ConvGradients(NamedTuple):
    """What ``conv2d_backward`` returns: the loss's gradient with respect to ``images`` and to ``filters``."""

    images: np.ndarray
    filters: np.ndarray


class Pooled(NamedTuple):
    """What max pooling returns: the largest ``values``, and the ``cells`` they come from, as row * W + column."""

    values: np.ndarray
    cells: np.ndarray


class Recovered(NamedTuple):
    """What ``recover_filter`` found."""

    filter: np.ndarray  # (kh, kw); integers if ``integer``
    rank: int  # independent equations among the windows
    unique: bool  # the rank is the number of unknowns: no other filter does as well
    integer: bool  # these integers give the output exactly
    residual: float  # largest difference between the output and what the filter gives


def _pair(name: str, value, least: int) -> tuple[int, int]:
    pair = value if isinstance(value, (tuple, list)) else (value, value)
    whole = all(isinstance(v, (int, np.integer)) and not isinstance(v, bool) for v in pair)
    if len(pair) != 2 or not whole or min(pair) < least:
        raise ValueError(f"{name} must be an integer of at least {least}, or a pair of them, not {value!r}")
    return int(pair[0]), int(pair[1])


def as_numbers(name: str, values) -> np.ndarray:
    """Return ``values`` as an array of finite integers or real numbers; ValueError that names it if they are not."""
    try:
        array = np.asarray(values)
    except ValueError:
        raise ValueError(f"{name} must be an array, with rows of equal length") from None
    if array.dtype.kind not in "iuf":
        raise ValueError(f"{name} must hold integers or real numbers, not {array.dtype}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must not hold NaN or infinity")
    return array


def _pictures(name: str, values) -> np.ndarray:
    array = as_numbers(name, values)
    if array.ndim < 2 or 0 in array.shape[-2:]:
        raise ValueError(f"{name} must be (H, W) or (N, C, H, W) with H, W >= 1, not of shape {array.shape}")
    return array


def _grid(name: str, padded_shape, size, stride, dilation=(1, 1)) -> tuple[int, int]:
    """Return how many windows there are below and beside each other: (H - span) // stride + 1, and so for W."""
    height, width = padded_shape[-2:]
    tall, wide = ((k - 1) * d + 1 for k, d in zip(size, dilation, strict=True))
    if tall > height or wide > width:
        raise ValueError(f"{name} must span at most the padded picture's {height}x{width} cells, not {tall}x{wide}")
    return (height - tall) // stride[0] + 1, (width - wide) // stride[1] + 1


def _windows(padded: np.ndarray, size, stride, dilation=(1, 1)) -> np.ndarray:
    """Return every window of (..., H, W) as a view (..., oh, ow, kh, kw)."""
    span = [(k - 1) * d + 1 for k, d in zip(size, dilation, strict=True)]
    view = sliding_window_view(padded, span, axis=(-2, -1))
    return view[..., :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]]


def _pad(x: np.ndarray, edge, value) -> np.ndarray:
    up, left = edge
    out = np.full((*x.shape[:-2], x.shape[-2] + 2 * up, x.shape[-1] + 2 * left), value, x.dtype)
    out[..., up : up + x.shape[-2], left : left + x.shape[-1]] = x
    return out


def pad(images, padding) -> np.ndarray:
    """Return (..., H, W) pictures, of the same dtype, with ``padding`` zeros on each side (report, Table 3.2)."""
    return _pad(_pictures("images", images), _pair("padding", padding, 0), 0)


def _prepare(images, filters, stride, padding, mode, dilation):
    """Check conv2d's arguments; return padded (N, C, H, W), filters (F, C, kh, kw) as correlated, pairs, grid."""
    x, w = _pictures("images", images), _pictures("filters", filters)
    if (x.ndim, w.ndim) not in ((2, 2), (4, 4)):
        raise ValueError(
            "images and filters must be (H, W) and (kh, kw), or (N, C, H, W) and (F, C, kh, kw), "
            f"not {x.shape} and {w.shape}"
        )
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}, not {mode!r}")
    step, gap, edge = _pair("stride", stride, 1), _pair("dilation", dilation, 1), _pair("padding", padding, 0)
    x, w = x.reshape((1, 1) * (x.ndim == 2) + x.shape), w.reshape((1, 1) * (w.ndim == 2) + w.shape)
    if x.shape[1] != w.shape[1] or 0 in w.shape:
        raise ValueError(f"filters must be one or more, with the images' {x.shape[1]} channels, not {w.shape}")
    if x.dtype.kind in "iu" and w.dtype.kind in "iu":
        # 8-bit pictures would overflow in 8 bits; and a sum beyond 64 bits would wrap silently
        big = [max(abs(int(a.max(initial=0))), abs(int(a.min(initial=0)))) for a in (x, w)]
        if max(*big, big[0] * big[1] * w[0].size) > np.iinfo(np.int64).max:
            raise ValueError("images and filters: their sums must stay below 2**63; floats allow larger ones")
        dtype = np.dtype(np.int64)
    else:
        dtype = np.result_type(x, w, np.float32)
    x, w = _pad(x.astype(dtype, copy=False), edge, 0), w.astype(dtype, copy=False)
    grid = _grid("filters", x.shape, w.shape[2:], step, gap)
    return x, w if mode == "correlation" else w[..., ::-1, ::-1], step, gap, edge, grid


def conv2d_loops(images, filters, stride=1, padding=0, mode="correlation", dilation=1) -> np.ndarray:
    """Compute what ``conv2d`` does with plain loops: each output cell is a window times the filter, summed."""
    x, w, (sh, sw), (dh, dw), _, (oh, ow) = _prepare(images, filters, stride, padding, mode, dilation)
    out = np.zeros((len(x), len(w), oh, ow), x.dtype)
    for n, f, row, column in np.ndindex(out.shape):
        for c, i, j in np.ndindex(w.shape[1:]):
            out[n, f, row, column] += x[n, c, row * sh + i * dh, column * sw + j * dw] * w[f, c, i, j]
    return out if np.ndim(images) == 4 else out[0, 0]


def conv2d(images, filters, stride=1, padding=0, mode="correlation", dilation=1) -> np.ndarray:
    """Slide each filter over each picture and sum the products (report, Tables 3.3 to 3.6).

    Parameters
    ----------
    images : (H, W) or (N, C, H, W)
    filters : (kh, kw) or (F, C, kh, kw)
    stride, padding, dilation : int or (vertical, horizontal)
        Steps between windows, zeros added on each side, steps between a window's cells.
    mode : "correlation" or "convolution"
        The report, like deep learning, says convolution and computes the correlation; true convolution first
        gives the filter a half turn.

    Returns
    -------
    (oh, ow) or (N, F, oh, ow)
        With oh = (H + 2 padding - dilation (kh - 1) - 1) // stride + 1, and so for ow. int64 where both inputs are
        integers, otherwise the wider of their types, float32 at least.

    Raises
    ------
    ValueError
        For shapes, numbers or options that are not allowed, or a window larger than the padded picture.
    """
    x, w, step, gap, _, (oh, ow) = _prepare(images, filters, stride, padding, mode, dilation)
    windows = _windows(x, w.shape[2:], step, gap).transpose(0, 1, 4, 5, 2, 3)  # (N, C, kh, kw, oh, ow), no copy
    rows = w.reshape(len(w), -1)  # (F, C*kh*kw)
    out = np.empty((len(x), len(w), oh * ow), x.dtype)
    block = max(1, BLOCK // (rows.shape[1] * oh * ow))  # pictures at a time: the whole batch's columns leave the cache
    columns = np.empty((min(block, len(x)), *windows.shape[1:]), x.dtype)
    for start in range(0, len(x), block):
        part = columns[: len(x) - start]
        part[...] = windows[start : start + block]
        np.matmul(rows, part.reshape(len(part), -1, oh * ow), out=out[start : start + block])  # (b, F, oh*ow)
    out = out.reshape(len(x), len(w), oh, ow)
    return out if np.ndim(images) == 4 else out[0, 0]


def conv2d_backward(grad, images, filters, stride=1, padding=0, mode="correlation", dilation=1) -> ConvGradients:
    """Carry a gradient back through ``conv2d``.

    Parameters
    ----------
    grad : (oh, ow) or (N, F, oh, ow)
        The loss's gradient with respect to the output of ``conv2d`` with the other arguments.
    images, filters, stride, padding, mode, dilation
        As they were given to ``conv2d``; ValueError as there.

    Returns
    -------
    ConvGradients
        The loss's gradient with respect to ``images`` and ``filters``, each of its shape.
    """
    x, w, step, gap, edge, (oh, ow) = _prepare(images, filters, stride, padding, mode, dilation)
    windows = _windows(x, w.shape[2:], step, gap).transpose(0, 1, 4, 5, 2, 3)  # (N, C, kh, kw, oh, ow)
    g = as_numbers("grad", grad)
    wanted = (len(x), len(w), oh, ow) if np.ndim(images) == 4 else (oh, ow)
    if g.shape != wanted:
        raise ValueError(f"grad must have the output's shape {wanted}, not {g.shape}")
    g = g.reshape(len(x), len(w), oh, ow).astype(np.result_type(g, x, np.float32))
    to_filters = np.tensordot(g, windows, axes=((0, 2, 3), (0, 4, 5)))  # (F, C, kh, kw)
    to_windows = np.tensordot(w, g, axes=((0,), (1,)))  # (C, kh, kw, N, oh, ow)
    to_padded = np.zeros(x.shape, g.dtype)
    for i, j in np.ndindex(w.shape[2:]):  # a picture's cell collects from every window that it lies in
        top, left = i * gap[0], j * gap[1]
        cells = (slice(top, top + step[0] * oh, step[0]), slice(left, left + step[1] * ow, step[1]))
        to_padded[(..., *cells)] += to_windows[:, i, j].transpose(1, 0, 2, 3)
    to_images = to_padded[..., edge[0] : x.shape[2] - edge[0], edge[1] : x.shape[3] - edge[1]]
    if mode == "convolution":
        to_filters = to_filters[..., ::-1, ::-1]
    return ConvGradients(to_images.reshape(np.shape(images)), to_filters.reshape(np.shape(filters)))


def _pooling(images, size, stride, padding):
    """Check max pooling's arguments; return the pictures, the three pairs and the grid."""
    x, size = _pictures("images", images), _pair("size", size, 1)
    stride = size if stride is None else _pair("stride", stride, 1)
    edge = _pair("padding", padding, 0)
    if 2 * edge[0] > size[0] or 2 * edge[1] > size[1]:  # so every window holds a cell of the picture
        raise ValueError(f"padding must be at most half of size {size}, not {padding}")
    grid = _grid("size", (x.shape[-2] + 2 * edge[0], x.shape[-1] + 2 * edge[1]), size, stride)
    return x, size, stride, edge, grid


def max_pool2d_loops(images, size, stride=None, padding=0) -> Pooled:
    """Compute what ``max_pool2d`` does with plain loops: look at each window's cells in row order, keep the largest."""
    x, (kh, kw), (sh, sw), (ph, pw), grid = _pooling(images, size, stride, padding)
    height, width = x.shape[-2:]
    values = np.empty((*x.shape[:-2], *grid), x.dtype)
    cells = np.full(values.shape, -1)
    for *picture, row, column in np.ndindex(values.shape):
        at = (*picture, row, column)
        for i, j in np.ndindex(kh, kw):
            r, c = row * sh + i - ph, column * sw + j - pw
            inside = 0 <= r < height and 0 <= c < width  # padding is never chosen
            if inside and (cells[at] < 0 or x[(*picture, r, c)] > values[at]):
                values[at], cells[at] = x[(*picture, r, c)], r * width + c
    return Pooled(values, cells)


def max_pool2d(images, size, stride=None, padding=0) -> Pooled:
    """Keep the largest cell of each window (report, Tables 3.7 to 3.12).

    Parameters
    ----------
    images : (..., H, W)
    size, stride, padding : int or (vertical, horizontal)
        ``stride`` is ``size`` if not given; ``padding``, at most half of ``size``, is of cells that are never chosen:
        the smallest number of the type (zeros would beat negative cells).

    Returns
    -------
    Pooled
        ``values`` and ``cells``, both (..., oh, ow), with oh = (H + 2 padding - size) // stride + 1. Of equal cells
        the first in row order is chosen, as in PyTorch.

    Raises
    ------
    ValueError
        For shapes, numbers or options that are not allowed.
    """
    x, size, step, edge, _ = _pooling(images, size, stride, padding)
    lowest = np.finfo(x.dtype).min if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    windows = _windows(_pad(x, edge, lowest), size, step)  # (..., oh, ow, kh, kw), a view
    index = np.arange(x.shape[-2] * x.shape[-1]).reshape(x.shape[-2:])
    index = _windows(_pad(index, edge, -1), size, step)  # (oh, ow, kh, kw): the cell's number, -1 for padding
    values = windows[..., 0, 0].copy()
    cells = np.broadcast_to(index[..., 0, 0], values.shape).copy()
    for i, j in np.ndindex(size):  # all windows at once, one of their cells after the other
        larger = (windows[..., i, j] > values) | (cells < 0)  # whatever comes is better than padding
        np.copyto(values, windows[..., i, j], where=larger)
        np.copyto(cells, index[..., i, j], where=larger)
    return Pooled(values, cells)


def max_pool2d_backward(grad, cells, shape) -> np.ndarray:
    """Carry a gradient back through ``max_pool2d``: each cell chosen gets its window's, the others nothing.

    ``grad`` and ``cells`` are (..., oh, ow); ``shape`` is the pictures', (..., H, W), and the result's.
    """
    g, cells = as_numbers("grad", grad), as_numbers("cells", cells)
    try:
        *leading, height, width = shape = tuple(map(operator.index, shape))
    except (TypeError, ValueError):
        raise ValueError(f"shape must be the pictures' (..., H, W), not {shape!r}") from None
    if g.shape != cells.shape or g.ndim != len(shape) or g.shape[:-2] != shape[:-2]:
        raise ValueError(f"grad must have the shape of cells {cells.shape}, and the leading axes of shape {shape}")
    if cells.dtype.kind not in "iu" or (cells.size and not 0 <= cells.min() <= cells.max() < height * width):
        raise ValueError(f"cells must be from 0 to {height * width - 1}, the last cell of a picture of shape {shape}")
    n, windows = math.prod(leading), math.prod(g.shape[-2:])
    pictures = np.zeros((n, height * width), np.result_type(g, np.float32))
    where = np.arange(n)[:, None], cells.reshape(n, windows)
    np.add.at(pictures, where, g.reshape(n, windows))  # add.at, since a cell may be chosen by several windows
    return pictures.reshape(shape)


def patch_matrix(picture, size, stride=1, padding=0) -> np.ndarray:
    """Return each window of an (H, W) picture as a row, (positions, kh*kw): times the flat filter, it is ``conv2d``."""
    x = _pictures("picture", picture)
    if x.ndim != 2:
        raise ValueError(f"picture must be (H, W), not of shape {x.shape}")
    padded, size, step = pad(x, padding), _pair("size", size, 1), _pair("stride", stride, 1)
    positions = _grid("size", padded.shape, size, step)
    return _windows(padded, size, step).reshape(math.prod(positions), -1)


def recover_filter(picture, output, padding=0, stride=1) -> Recovered:
    """Find the filter that turned ``picture`` (H, W) into ``output`` (oh, ow), by least squares.

    The report never prints filters 2 and 3; its Tables 3.5 and 3.6 fix them. Of the filter sizes that the shapes allow
    (more than one if ``stride`` is), the largest is taken: a smaller filter is one of those, with zeros at its end.
    If ``rank`` is below the number of unknowns, the filter is the shortest of many that fit as well.
    """
    x, y = as_numbers("picture", picture), as_numbers("output", output)
    if x.ndim != 2 or y.ndim != 2 or 0 in x.shape + y.shape:
        raise ValueError(f"picture and output must be (H, W) and (oh, ow), not of shapes {x.shape} and {y.shape}")
    step, edge = _pair("stride", stride, 1), _pair("padding", padding, 0)
    size = [h + 2 * p - (o - 1) * s for h, p, o, s in zip(x.shape, edge, y.shape, step, strict=True)]
    if min(size) < 1:
        raise ValueError(f"output must be small enough for a filter of at least 1x1, not of shape {y.shape}")
    patches = patch_matrix(x.astype(np.result_type(x, y, np.int64)), size, step, edge)  # (oh*ow, kh*kw)
    solution, _, rank, _ = np.linalg.lstsq(patches.astype(float), y.ravel().astype(float), rcond=None)
    rounded = np.rint(solution)
    integer = bool(np.abs(rounded).max() < 2**53 and np.array_equal(patches @ rounded.astype(np.int64), y.ravel()))
    found = rounded.astype(np.int64) if integer else solution
    residual = float(np.abs(patches @ found - y.ravel()).max())
    return Recovered(found.reshape(size), int(rank), int(rank) == found.size, integer, residual)
