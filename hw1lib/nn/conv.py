"""Convolution and max pooling (report, chapter 3), and their gradients.

Read ``conv2d_loops`` and ``max_pool2d_loops`` first: they say what is computed. ``conv2d`` and
``max_pool2d`` compute the same fast; the tests hold each pair equal, and to SciPy and PyTorch.

A picture is (H, W) with a filter (kh, kw), or a batch is (N, C, H, W) with filters (F, C, kh, kw).
``stride``, ``padding`` and ``size`` are one whole number, or a pair (vertical, horizontal).
Integers in give integers out, exactly. Input that can't be used raises ValueError, which names the
argument. Only what networks train with (``correlate``, ``max_pool`` and the gradients) takes pairs
alone, and checks nothing.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from hw1lib.checks import numbers, one_of, whole_number

MODES = ("correlation", "convolution")
BLOCK = 2**17  # numbers in one block of columns: at most 1 MB, which stays in a core's cache


class ConvGradients(NamedTuple):
    """The loss's gradient with respect to ``images`` and to ``filters``."""

    images: np.ndarray
    filters: np.ndarray


class Pooled(NamedTuple):
    """The largest ``values``, and ``argmax``: the cells where they were, as row * W + column."""

    values: np.ndarray
    argmax: np.ndarray


class Recovered(NamedTuple):
    """What ``recover_filter`` returns."""

    filter: np.ndarray  # (kh, kw); integers if ``integer``
    rank: int  # independent equations among the windows
    unique: bool  # the rank is the number of unknowns: no other filter does as well
    integer: bool  # these integers give the output exactly
    residual: float  # largest difference between the output and what the filter gives


# -- the plain way -------------------------------------------------------------------------------


def conv2d_loops(images, filters, stride=1, padding=0, mode="correlation") -> np.ndarray:
    """Compute what ``conv2d`` does: each output cell is a window times the filter, summed."""
    x, w, (down, right), _ = _checked(images, filters, stride, padding, mode)
    out = np.zeros((len(x), len(w), *_grid("filters", x, w.shape[2:], (down, right))), x.dtype)
    for n, f, row, column in np.ndindex(out.shape):
        for c, i, j in np.ndindex(w.shape[1:]):
            cell = x[n, c, row * down + i, column * right + j]
            out[n, f, row, column] += cell * w[f, c, i, j]
    return out if np.ndim(images) == 4 else out[0, 0]


def max_pool2d_loops(images, size, stride=None, padding=0) -> Pooled:
    """Compute what ``max_pool2d`` does: look at a window's cells in row order, keep the largest."""
    x, (kh, kw), (down, right), (up, left) = _checked_pooling(images, size, stride, padding)
    height, width = x.shape[-2:]
    grid = _grid("size", _pad(x, (up, left), 0), (kh, kw), (down, right))
    values = np.empty((*x.shape[:-2], *grid), x.dtype)
    argmax = np.full(values.shape, -1)
    for *picture, row, column in np.ndindex(values.shape):
        at = (*picture, row, column)
        for i, j in np.ndindex(kh, kw):
            r, c = row * down + i - up, column * right + j - left
            inside = 0 <= r < height and 0 <= c < width  # padding is never chosen
            if inside and (argmax[at] < 0 or x[(*picture, r, c)] > values[at]):
                values[at], argmax[at] = x[(*picture, r, c)], r * width + c
    return Pooled(values, argmax)


# -- convolution ---------------------------------------------------------------------------------


def conv2d(images, filters, stride=1, padding=0, mode="correlation") -> np.ndarray:
    """Slide each filter over each picture and sum the products (report, Tables 3.3 to 3.6).

    Parameters
    ----------
    images : (H, W) or (N, C, H, W)
    filters : (kh, kw) or (F, C, kh, kw)
    stride, padding : int or (vertical, horizontal)
        Cells from one window to the next, and zeros added on each side.
    mode : "correlation" or "convolution"
        The report, like deep learning, says convolution and computes the correlation; true
        convolution first gives the filter a half turn.

    Returns
    -------
    (oh, ow) or (N, F, oh, ow)
        With oh = (H + 2 padding - kh) // stride + 1, and so for ow. int64 where both inputs are
        integers, otherwise the wider of their types, float32 at least.
    """
    x, w, stride, _ = _checked(images, filters, stride, padding, mode)
    out = correlate(x, w, stride)
    return out if np.ndim(images) == 4 else out[0, 0]


def conv2d_backward(
    grad, images, filters, stride=1, padding=0, mode="correlation"
) -> ConvGradients:
    """Carry a gradient back through ``conv2d``.

    ``grad``, (oh, ow) or (N, F, oh, ow), is the loss's with respect to what ``conv2d`` returns for
    the other arguments. The two gradients have the shapes of ``images`` and of ``filters``.
    """
    x, w, stride, padding = _checked(images, filters, stride, padding, mode)
    size = w.shape[2:]
    shape = (len(x), len(w), *_grid("filters", x, size, stride))
    wanted = shape if np.ndim(images) == 4 else shape[2:]
    g = numbers("grad", grad, "iuf", wanted).reshape(shape)
    g = g.astype(np.result_type(g, x, np.float32), copy=False)
    to_filters = filters_gradient(g, x, size, stride)
    if mode == "convolution":
        to_filters = to_filters[..., ::-1, ::-1]
    to_images = images_gradient(g, x.shape, w.astype(g.dtype), stride, padding)
    return ConvGradients(to_images.reshape(np.shape(images)), to_filters.reshape(np.shape(filters)))


def correlate(padded: np.ndarray, filters: np.ndarray, stride, bias=None) -> np.ndarray:
    """Return (N, F, oh, ow): the windows as columns make it one matrix product.

    ``bias`` (F, 1) is added, if there is one.
    """
    size = filters.shape[2:]
    oh, ow = _grid("filters", padded, size, stride)
    rows = filters.reshape(len(filters), -1)  # (F, C*kh*kw)
    out = np.empty((len(padded), len(filters), oh * ow), padded.dtype)
    for pictures, cells, columns in _columns(padded, size, stride):
        part = out[pictures, :, cells]
        np.matmul(rows, columns, out=part)
        if bias is not None:
            part += bias  # while it is in the cache
    return out.reshape(len(padded), len(filters), oh, ow)


def filters_gradient(grad: np.ndarray, padded: np.ndarray, size, stride) -> np.ndarray:
    """Return (F, C, kh, kw): a filter's cell collects grad * cell of the picture that it lay on."""
    n, f, oh, ow = grad.shape
    grad = grad.reshape(n, f, oh * ow)
    total = np.zeros((f, padded.shape[1] * math.prod(size)), grad.dtype)
    for pictures, cells, columns in _columns(padded, size, stride):
        products = grad[pictures, :, cells] @ columns.swapaxes(1, 2)  # (b, F, C*kh*kw)
        total += products.sum(axis=0)
    return total.reshape(f, padded.shape[1], *size)


def images_gradient(grad: np.ndarray, shape, filters: np.ndarray, stride, padding) -> np.ndarray:
    """Return the pictures' gradient; ``shape`` is that of the padded ones.

    A cell of a picture collects grad * cell of the filter from each window that it is in. So turned
    filters slide over the grad (N, F, oh, ow), spread as the windows were and with room around it.
    """
    (kh, kw), (oh, ow), (up, left) = filters.shape[2:], grad.shape[2:], padding
    spread = np.zeros((*grad.shape[:2], shape[2] + kh - 1, shape[3] + kw - 1), grad.dtype)
    spread[..., kh - 1 :: stride[0], kw - 1 :: stride[1]][..., :oh, :ow] = grad
    height, width = spread.shape[2:]
    inside = spread[..., up : height - up, left : width - left]  # without the padding's share
    return correlate(inside, filters[..., ::-1, ::-1].swapaxes(0, 1), (1, 1))


def _columns(padded: np.ndarray, size, stride):
    """Yield the windows block by block, as columns: several pictures, or a part of one.

    Each block is the slice of the pictures, the slice of the output's cells (row by row, so out of
    oh*ow), and the columns (b, C*kh*kw, cells); these are overwritten by the next block.
    """
    windows = _windows(padded, size, stride).transpose(0, 1, 4, 5, 2, 3)  # a view, no copy
    n, c, kh, kw, oh, ow = windows.shape
    fit = max(1, BLOCK // (c * kh * kw))  # so many windows go into a block
    pictures, rows, width = max(1, fit // (oh * ow)), max(1, min(oh, fit // ow)), min(ow, fit)
    memory = np.empty(pictures * c * kh * kw * rows * width, padded.dtype)
    for start in range(0, n, pictures):
        for row in range(0, oh, rows):
            for column in range(0, ow, width):
                part = windows[start : start + pictures]
                part = part[..., row : row + rows, column : column + width]
                columns = memory[: part.size].reshape(part.shape)
                columns[...] = part
                first = row * ow + column
                cells = slice(first, first + math.prod(part.shape[-2:]))
                flat = columns.reshape(len(part), c * kh * kw, -1)
                yield slice(start, start + pictures), cells, flat


# -- max pooling ---------------------------------------------------------------------------------


def max_pool2d(images, size, stride=None, padding=0) -> Pooled:
    """Keep the largest cell of each window (report, Tables 3.7 to 3.12).

    Parameters
    ----------
    images : (..., H, W)
    size, stride, padding : int or (vertical, horizontal)
        ``stride`` is ``size`` if not given; ``padding``, at most half of ``size``, is of cells that
        are never chosen: the smallest number of the type (zeros would beat negative cells).

    Returns
    -------
    Pooled
        ``values`` and ``argmax`` (int32), both (..., oh, ow), with
        oh = (H + 2 padding - size) // stride + 1. Of equal cells the first in row order is chosen,
        as in PyTorch.
    """
    return max_pool(*_checked_pooling(images, size, stride, padding))


def max_pool2d_backward(grad, argmax, shape) -> np.ndarray:
    """Carry a gradient back through ``max_pool2d``: to the cells that were chosen.

    ``grad`` and ``argmax`` are (..., oh, ow); ``shape`` is the pictures' (..., H, W), and what is
    returned has it.
    """
    g, argmax = numbers("grad", grad, "iuf"), numbers("argmax", argmax, "iu")
    if not isinstance(shape, tuple | list) or len(shape) < 2:
        raise ValueError(f"shape must be the pictures' (..., H, W), not {shape!r}")
    shape = tuple(whole_number("shape", n, 0) for n in shape)
    if g.shape != argmax.shape or g.shape[:-2] != shape[:-2] or g.ndim != len(shape):
        wanted = f"the shape of argmax {argmax.shape}, and the leading axes of shape {shape}"
        raise ValueError(f"grad must have {wanted}")
    last = shape[-2] * shape[-1] - 1
    if argmax.size and not 0 <= argmax.min() <= argmax.max() <= last:
        raise ValueError(f"argmax must be from 0 to {last}, the last cell of a picture {shape}")
    return max_pool_backward(g, argmax, shape)


def max_pool(x: np.ndarray, size, stride, padding) -> Pooled:
    """Return what ``max_pool2d`` does."""
    lowest = np.finfo(x.dtype).min if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    windows = _windows(_pad(x, padding, lowest), size, stride)  # (..., oh, ow, kh, kw), a view
    index = np.arange(x.shape[-2] * x.shape[-1], dtype=np.int32).reshape(x.shape[-2:])
    index = _windows(_pad(index, padding, index.size), size, stride)  # each cell's number
    flat = (*x.shape[:-2], math.prod(index.shape[:2]))  # (..., oh*ow): NumPy is fast on long rows
    values = windows[..., 0, 0].reshape(flat).copy()
    first = index.min(axis=(-2, -1)).ravel()  # the first of each window that is not padding
    argmax = np.broadcast_to(first, flat).copy()
    for i, j in list(np.ndindex(size))[1:]:  # all windows at once, one of their cells after another
        these = windows[..., i, j].reshape(flat)
        larger = these > values
        np.maximum(values, these, out=values)
        # a later cell of a window has a larger number
        np.maximum(argmax, larger * index[..., i, j].ravel(), out=argmax)
    shape = windows.shape[:-2]
    return Pooled(values.reshape(shape), argmax.reshape(shape))


def max_pool_backward(grad: np.ndarray, argmax: np.ndarray, shape) -> np.ndarray:
    """Return what ``max_pool2d_backward`` does."""
    *leading, height, width = shape
    pictures = np.zeros(shape, np.result_type(grad, np.float32))
    first = height * width * np.arange(math.prod(leading))  # each picture's first cell
    cells = first.reshape(*leading, 1, 1) + argmax
    np.add.at(pictures.reshape(-1), cells.ravel(), grad.ravel())  # two windows may share a cell
    return pictures


# -- recovering a filter -------------------------------------------------------------------------


def recover_filter(picture, output, padding=0, stride=1) -> Recovered:
    """Find the filter that turned ``picture`` (H, W) into ``output`` (oh, ow), by least squares.

    The report never prints filters 2 and 3; its Tables 3.5 and 3.6 fix them. Of the filter sizes
    that the shapes allow (more than one if ``stride`` is), the largest is taken: a smaller filter
    is one of those, with zeros at its end. If ``rank`` is below the number of unknowns, the filter
    is the shortest of many that fit as well.
    """
    x, y = _pictures("picture", picture), _pictures("output", output)
    if x.ndim != 2 or y.ndim != 2:
        shapes = f"{x.shape} and {y.shape}"
        raise ValueError(f"picture and output must be (H, W) and (oh, ow), not of shapes {shapes}")
    (down, right), (up, left) = _pair("stride", stride, 1), _pair("padding", padding, 0)
    kh = x.shape[0] + 2 * up - (y.shape[0] - 1) * down
    kw = x.shape[1] + 2 * left - (y.shape[1] - 1) * right
    if min(kh, kw) < 1:
        raise ValueError(f"output must be small enough for a filter of at least 1x1, not {y.shape}")
    patches = patch_matrix(x.astype(np.result_type(x, y, np.int64)), (kh, kw), stride, padding)
    solution, _, rank, _ = np.linalg.lstsq(patches.astype(float), y.ravel().astype(float))
    rounded = np.rint(solution)
    safe = np.abs(rounded).max() < 2**53  # floats hold all integers up to there
    integer = bool(safe and np.array_equal(patches @ rounded.astype(np.int64), y.ravel()))
    solution = rounded.astype(np.int64) if integer else solution
    residual = float(np.abs(patches @ solution - y.ravel()).max())
    unique = int(rank) == kh * kw
    return Recovered(solution.reshape(kh, kw), int(rank), unique, integer, residual)


def patch_matrix(picture, size, stride=1, padding=0) -> np.ndarray:
    """Return each window of an (H, W) picture as a row (kh*kw): times the filter, it is conv2d."""
    x, size, stride = (
        _pictures("picture", picture),
        _pair("size", size, 1),
        _pair("stride", stride, 1),
    )
    if x.ndim != 2:
        raise ValueError(f"picture must be (H, W), not of shape {x.shape}")
    padded = pad(x, padding)
    positions = math.prod(_grid("size", padded, size, stride))
    return _windows(padded, size, stride).reshape(positions, -1)


# -- arguments -----------------------------------------------------------------------------------


def pad(images, padding) -> np.ndarray:
    """Return (..., H, W) pictures with ``padding`` zeros on each side (report, Table 3.2)."""
    return _pad(_pictures("images", images), _pair("padding", padding, 0), 0).copy()


def _pad(x: np.ndarray, padding, value) -> np.ndarray:
    around = [(0, 0)] * (x.ndim - 2) + [(p, p) for p in padding]
    return np.pad(x, around, constant_values=value) if any(padding) else x


def _windows(padded: np.ndarray, size, stride) -> np.ndarray:
    """Return every window of (..., H, W) as a view (..., oh, ow, kh, kw)."""
    windows = sliding_window_view(padded, tuple(size), axis=(-2, -1))
    return windows[..., :: stride[0], :: stride[1], :, :]


def _grid(name: str, padded: np.ndarray, size, stride) -> tuple[int, int]:
    """Return how many windows are below and beside each other."""
    (height, width), (kh, kw) = padded.shape[-2:], size
    if kh > height or kw > width:
        most = f"the padded picture's {height}x{width} cells"
        raise ValueError(f"{name} must be at most {most}, not {kh}x{kw}")
    return (height - kh) // stride[0] + 1, (width - kw) // stride[1] + 1


def _pair(name: str, value, least: int) -> tuple[int, int]:
    pair = value if isinstance(value, tuple | list) else (value, value)
    if len(pair) != 2:
        raise ValueError(f"{name} must be a whole number, or a pair of them, not {value!r}")
    return whole_number(name, pair[0], least), whole_number(name, pair[1], least)


def _pictures(name: str, values) -> np.ndarray:
    array = numbers(name, values, "iuf")
    if array.ndim < 2 or 0 in array.shape[-2:]:
        wanted = "(H, W) or (N, C, H, W) with H, W >= 1"
        raise ValueError(f"{name} must be {wanted}, not of shape {array.shape}")
    return array


def _checked(images, filters, stride, padding, mode):
    """Return conv2d's padded (N, C, H, W), filters as they are correlated, stride and padding."""
    x, w = _pictures("images", images), _pictures("filters", filters)
    if (x.ndim, w.ndim) not in ((2, 2), (4, 4)):
        wanted = "(H, W) and (kh, kw), or (N, C, H, W) and (F, C, kh, kw)"
        raise ValueError(f"images and filters must be {wanted}, not {x.shape} and {w.shape}")
    one_of("mode", mode, MODES)
    stride, padding = _pair("stride", stride, 1), _pair("padding", padding, 0)
    x, w = (a.reshape((1,) * (4 - a.ndim) + a.shape) for a in (x, w))
    if x.shape[1] != w.shape[1] or 0 in w.shape:
        wanted = f"one or more, with the images' {x.shape[1]} channels"
        raise ValueError(f"filters must be {wanted}, not {w.shape}")
    dtype = np.result_type(x, w, np.float32)
    if x.dtype.kind in "iu" and w.dtype.kind in "iu":
        dtype = np.dtype(np.int64)  # 8-bit pictures would overflow in 8 bits
        largest = [max(abs(int(a.max(initial=0))), abs(int(a.min(initial=0)))) for a in (x, w)]
        if max(*largest, math.prod(largest) * w[0].size) > np.iinfo(np.int64).max:
            raise ValueError("images and filters: sums must be below 2**63; floats may be larger")
    x, w = _pad(x.astype(dtype, copy=False), padding, 0), w.astype(dtype, copy=False)
    return x, w if mode == "correlation" else w[..., ::-1, ::-1], stride, padding


def _checked_pooling(images, size, stride, padding):
    """Return max pooling's pictures, and the three pairs."""
    x, size = _pictures("images", images), _pair("size", size, 1)
    stride = size if stride is None else _pair("stride", stride, 1)
    up, left = _pair("padding", padding, 0)
    if 2 * up > size[0] or 2 * left > size[1]:  # so every window holds a cell of the picture
        raise ValueError(f"padding must be at most half of size {size}, not {padding}")
    _grid("size", _pad(x, (up, left), 0), size, stride)
    return x, size, stride, (up, left)
