"""Convolution and max pooling (report, chapter 3), and their gradients.

Read ``conv2d_loops`` and ``max_pool2d_loops`` first: they say what is computed. ``conv2d`` and ``max_pool2d`` compute
the same fast; the tests hold each pair equal, and both equal to SciPy and PyTorch.

A picture is (H, W) with a filter (kh, kw), or a batch is (N, C, H, W) with filters (F, C, kh, kw). ``stride``,
``padding`` and ``size`` are one whole number, or a pair (vertical, horizontal). Integers in give integers out,
exactly. Input that can't be used raises ValueError, which names the argument and what is allowed; only ``correlate``,
``pool``, ``unpool`` and the two gradients, which ``ConvNetwork`` trains with, check nothing and let NaN through.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from hw1lib.checks import numbers, one_of, whole_number

MODES = ("correlation", "convolution")
BLOCK = 2**17  # numbers in one block of columns: about 0.5 to 1 MB, which stays in a core's cache


class ConvGradients(NamedTuple):
    """What ``conv2d_backward`` returns: the loss's gradient with respect to ``images`` and to ``filters``."""

    images: np.ndarray | None
    filters: np.ndarray


class Pooled(NamedTuple):
    """What max pooling returns: the largest ``values``, and the ``argmax`` they come from, as row * W + column."""

    values: np.ndarray
    argmax: np.ndarray


class Recovered(NamedTuple):
    """What ``recover_filter`` found."""

    filter: np.ndarray  # (kh, kw); integers if ``integer``
    rank: int  # independent equations among the windows
    unique: bool  # the rank is the number of unknowns: no other filter does as well
    integer: bool  # these integers give the output exactly
    residual: float  # largest difference between the output and what the filter gives


def _pair(name: str, value, least: int) -> tuple[int, int]:
    pair = value if isinstance(value, (tuple, list)) else (value, value)
    if len(pair) != 2:
        raise ValueError(f"{name} must be a whole number, or a pair of them, not {value!r}")
    return whole_number(name, pair[0], least), whole_number(name, pair[1], least)


def _pictures(name: str, values) -> np.ndarray:
    array = numbers(name, values, "iuf")
    if array.ndim < 2 or 0 in array.shape[-2:]:
        raise ValueError(
            f"{name} must be (H, W) or (N, C, H, W) with H, W >= 1, not of shape {array.shape}"
        )
    return array


def _pad(x: np.ndarray, padding, value) -> np.ndarray:
    around = [(0, 0)] * (x.ndim - 2) + [(p, p) for p in padding]
    return np.pad(x, around, constant_values=value) if any(padding) else x


def pad(images, padding) -> np.ndarray:
    """Return (..., H, W) pictures, of the same dtype, with ``padding`` zeros on each side (report, Table 3.2)."""
    return _pad(_pictures("images", images), _pair("padding", padding, 0), 0).copy()


def _grid(name: str, padded_shape, size, stride) -> tuple[int, int]:
    """Return how many windows there are below and beside each other: (H - kh) // stride + 1, and so for W."""
    (height, width), (kh, kw) = padded_shape[-2:], size
    if kh > height or kw > width:
        raise ValueError(
            f"{name} must be at most the padded picture's {height}x{width} argmax, not {kh}x{kw}"
        )
    return (height - kh) // stride[0] + 1, (width - kw) // stride[1] + 1


def _windows(padded: np.ndarray, size, stride) -> np.ndarray:
    """Return every window of (..., H, W) as a view (..., oh, ow, kh, kw)."""
    return sliding_window_view(padded, tuple(size), axis=(-2, -1))[
        ..., :: stride[0], :: stride[1], :, :
    ]


def _columns(padded: np.ndarray, size, stride):
    """Yield the batch block by block: its slice, and its windows as columns (b, C*kh*kw, oh*ow), until the next."""
    windows = _windows(padded, size, stride).transpose(
        0, 1, 4, 5, 2, 3
    )  # (N, C, kh, kw, oh, ow), no copy
    n, c, kh, kw, oh, ow = windows.shape
    block = max(
        1, BLOCK // (c * kh * kw * oh * ow)
    )  # the whole batch's columns would leave the cache
    columns = np.empty((min(block, n), *windows.shape[1:]), padded.dtype)
    for start in range(0, n, block):
        part = columns[: n - start]
        part[...] = windows[start : start + block]
        yield slice(start, start + block), part.reshape(len(part), c * kh * kw, oh * ow)


def correlate(padded: np.ndarray, filters: np.ndarray, stride) -> np.ndarray:
    """Return (N, F, oh, ow): all windows of a picture times all filters are one matrix product."""
    oh, ow = _grid("filters", padded.shape, filters.shape[2:], stride)
    out, rows = (
        np.empty((len(padded), len(filters), oh * ow), padded.dtype),
        filters.reshape(len(filters), -1),
    )
    for part, columns in _columns(padded, filters.shape[2:], stride):
        np.matmul(rows, columns, out=out[part])  # (F, C*kh*kw) @ (b, C*kh*kw, oh*ow)
    return out.reshape(len(padded), len(filters), oh, ow)


def filters_gradient(grad: np.ndarray, padded: np.ndarray, size, stride) -> np.ndarray:
    """Return (F, C, kh, kw): a filter's cell collects grad (N, F, oh, ow) * the picture's cell that it lay on."""
    f, oh, ow = grad.shape[1:]
    found = np.zeros((f, padded.shape[1] * math.prod(size)), grad.dtype)
    for part, columns in _columns(padded, size, stride):  # (b, F, oh*ow) @ (b, oh*ow, C*kh*kw)
        found += (grad[part].reshape(-1, f, oh * ow) @ columns.swapaxes(1, 2)).sum(axis=0)
    return found.reshape(f, padded.shape[1], *size)


def images_gradient(grad: np.ndarray, shape, filters: np.ndarray, stride, padding) -> np.ndarray:
    """Return the pictures', given the shape of the padded ones: a cell collects grad * filter's cell from its windows.

    So turned filters slide over the grad (N, F, oh, ow), spread as the windows were and with room around it.
    """
    (kh, kw), (oh, ow), (up, left) = filters.shape[2:], grad.shape[2:], padding
    spread = np.zeros((*grad.shape[:2], shape[2] + kh - 1, shape[3] + kw - 1), grad.dtype)
    spread[..., kh - 1 :: stride[0], kw - 1 :: stride[1]][..., :oh, :ow] = grad
    inside = spread[
        ..., up : spread.shape[2] - up, left : spread.shape[3] - left
    ]  # without the padding's share
    return correlate(inside, filters[..., ::-1, ::-1].swapaxes(0, 1), (1, 1))


def _checked(images, filters, stride, padding, mode):
    """Check conv2d's arguments; return padded (N, C, H, W), filters (F, C, kh, kw) as correlated, and the pairs."""
    x, w = _pictures("images", images), _pictures("filters", filters)
    if (x.ndim, w.ndim) not in ((2, 2), (4, 4)):
        wanted = "(H, W) and (kh, kw), or (N, C, H, W) and (F, C, kh, kw)"
        raise ValueError(f"images and filters must be {wanted}, not {x.shape} and {w.shape}")
    one_of("mode", mode, MODES)
    stride, padding = _pair("stride", stride, 1), _pair("padding", padding, 0)
    x, w = (a.reshape((1,) * (4 - a.ndim) + a.shape) for a in (x, w))
    if x.shape[1] != w.shape[1] or 0 in w.shape:
        raise ValueError(
            f"filters must be one or more, with the images' {x.shape[1]} channels, not {w.shape}"
        )
    dtype = np.result_type(x, w, np.float32)
    if x.dtype.kind in "iu" and w.dtype.kind in "iu":
        # 8-bit pictures would overflow in 8 bits; and a sum beyond 64 bits would wrap silently
        big = [max(abs(int(a.max(initial=0))), abs(int(a.min(initial=0)))) for a in (x, w)]
        if max(*big, big[0] * big[1] * w[0].size) > np.iinfo(np.int64).max:
            raise ValueError(
                "images and filters: their sums must stay below 2**63; floats allow larger ones"
            )
        dtype = np.dtype(np.int64)
    x, w = _pad(x.astype(dtype, copy=False), padding, 0), w.astype(dtype, copy=False)
    return x, w if mode == "correlation" else w[..., ::-1, ::-1], stride, padding


def conv2d_loops(images, filters, stride=1, padding=0, mode="correlation") -> np.ndarray:
    """Compute what ``conv2d`` does with plain loops: each output cell is a window times the filter, summed."""
    x, w, (down, right), _ = _checked(images, filters, stride, padding, mode)
    out = np.zeros(
        (len(x), len(w), *_grid("filters", x.shape, w.shape[2:], (down, right))), x.dtype
    )
    for n, f, row, column in np.ndindex(out.shape):
        for c, i, j in np.ndindex(w.shape[1:]):
            out[n, f, row, column] += x[n, c, row * down + i, column * right + j] * w[f, c, i, j]
    return out if np.ndim(images) == 4 else out[0, 0]


def conv2d(images, filters, stride=1, padding=0, mode="correlation") -> np.ndarray:
    """Slide each filter over each picture and sum the products (report, Tables 3.3 to 3.6).

    Parameters
    ----------
    images : (H, W) or (N, C, H, W)
    filters : (kh, kw) or (F, C, kh, kw)
    stride, padding : int or (vertical, horizontal)
        Cells from one window to the next, and zeros added on each side.
    mode : "correlation" or "convolution"
        The report, like deep learning, says convolution and computes the correlation; true convolution first
        gives the filter a half turn.

    Returns
    -------
    (oh, ow) or (N, F, oh, ow)
        With oh = (H + 2 padding - kh) // stride + 1, and so for ow. int64 where both inputs are integers, otherwise
        the wider of their types, float32 at least.
    """
    x, w, stride, _ = _checked(images, filters, stride, padding, mode)
    out = correlate(x, w, stride)
    return out if np.ndim(images) == 4 else out[0, 0]


def conv2d_backward(
    grad, images, filters, stride=1, padding=0, mode="correlation", *, images_needed=True
) -> ConvGradients:
    """Carry a gradient back through ``conv2d``.

    Parameters
    ----------
    grad : (oh, ow) or (N, F, oh, ow)
        The loss's gradient with respect to the output of ``conv2d`` with the other arguments.
    images, filters, stride, padding, mode
        As they were given to ``conv2d``.
    images_needed : bool
        Whether to compute the gradient of the images, which a network's first layer has no use for.

    Returns
    -------
    ConvGradients
        The loss's gradient with respect to ``images`` (None if not needed) and ``filters``, each of its shape.
    """
    x, w, stride, padding = _checked(images, filters, stride, padding, mode)
    (kh, kw), (oh, ow) = w.shape[2:], _grid("filters", x.shape, w.shape[2:], stride)
    g = numbers("grad", grad, "iuf")
    wanted = (len(x), len(w), oh, ow) if np.ndim(images) == 4 else (oh, ow)
    if g.shape != wanted:
        raise ValueError(f"grad must have the output's shape {wanted}, not {g.shape}")
    g = g.reshape(len(x), len(w), oh, ow).astype(np.result_type(g, x, np.float32), copy=False)

    turn = slice(None, None, 1 if mode == "correlation" else -1)
    to_filters = filters_gradient(g, x, (kh, kw), stride)[..., turn, turn].reshape(
        np.shape(filters)
    )
    if not images_needed:
        return ConvGradients(None, to_filters)
    to_images = images_gradient(g, x.shape, w.astype(g.dtype), stride, padding)
    return ConvGradients(to_images.reshape(np.shape(images)), to_filters)


def _checked_pooling(images, size, stride, padding):
    """Check max pooling's arguments; return the pictures, the three pairs and the grid."""
    x, size = _pictures("images", images), _pair("size", size, 1)
    stride = size if stride is None else _pair("stride", stride, 1)
    up, left = _pair("padding", padding, 0)
    if 2 * up > size[0] or 2 * left > size[1]:  # so every window holds a cell of the picture
        raise ValueError(f"padding must be at most half of size {size}, not {padding}")
    grid = _grid("size", (x.shape[-2] + 2 * up, x.shape[-1] + 2 * left), size, stride)
    return x, size, stride, (up, left), grid


def max_pool2d_loops(images, size, stride=None, padding=0) -> Pooled:
    """Compute what ``max_pool2d`` does with plain loops: look at each window's argmax in row order, keep the largest."""
    x, (kh, kw), (down, right), (up, left), grid = _checked_pooling(images, size, stride, padding)
    height, width = x.shape[-2:]
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


def max_pool(x: np.ndarray, size, stride, padding) -> Pooled:
    """Return what ``max_pool2d`` does; the arguments are pairs that fit."""
    lowest = np.finfo(x.dtype).min if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    windows = _windows(_pad(x, padding, lowest), size, stride)  # (..., oh, ow, kh, kw), a view
    index = np.arange(x.shape[-2] * x.shape[-1], dtype=np.int32).reshape(x.shape[-2:])
    index = _windows(
        _pad(index, padding, index.size), size, stride
    )  # (oh, ow, kh, kw): the argmax' numbers
    flat = (
        *x.shape[:-2],
        math.prod(index.shape[:2]),
    )  # (..., oh*ow): NumPy is fast along long rows
    values = windows[..., 0, 0].reshape(flat).copy()
    argmax = np.broadcast_to(
        index.min(axis=(-2, -1)).ravel(), flat
    ).copy()  # each window's first that is not padding
    for i, j in list(np.ndindex(size))[
        1:
    ]:  # all windows at once, one of their argmax after the other
        these = windows[..., i, j].reshape(flat)
        larger = these > values
        np.maximum(values, these, out=values)
        np.maximum(
            argmax, larger * index[..., i, j].ravel(), out=argmax
        )  # a window's later cell has a larger number
    return Pooled(values.reshape(windows.shape[:-2]), argmax.reshape(windows.shape[:-2]))


def max_pool2d(images, size, stride=None, padding=0) -> Pooled:
    """Keep the largest cell of each window (report, Tables 3.7 to 3.12).

    Parameters
    ----------
    images : (..., H, W)
    size, stride, padding : int or (vertical, horizontal)
        ``stride`` is ``size`` if not given; ``padding``, at most half of ``size``, is of argmax that are never chosen:
        the smallest number of the type (zeros would beat negative argmax).

    Returns
    -------
    Pooled
        ``values`` and ``argmax`` (int32), both (..., oh, ow), with oh = (H + 2 padding - size) // stride + 1. Of equal
        argmax the first in row order is chosen, as in PyTorch.
    """
    x, size, stride, padding, _ = _checked_pooling(images, size, stride, padding)
    return max_pool(x, size, stride, padding)


def max_pool_backward(grad: np.ndarray, argmax: np.ndarray, shape) -> np.ndarray:
    """Return what ``max_pool2d_backward`` does."""
    *leading, height, width = shape
    pictures = np.zeros(shape, np.result_type(grad, np.float32))
    first = (
        height * width * np.arange(math.prod(leading)).reshape(*leading, 1, 1)
    )  # each picture's first cell
    np.add.at(
        pictures.reshape(-1), (first + argmax).ravel(), grad.ravel()
    )  # several windows may have chosen a cell
    return pictures


def max_pool2d_backward(grad, argmax, shape) -> np.ndarray:
    """Carry a gradient back through ``max_pool2d``: each cell chosen gets its window's, the others nothing.

    ``grad`` and ``argmax`` are (..., oh, ow); ``shape`` is the pictures', (..., H, W), and the result's.
    """
    g, argmax = numbers("grad", grad, "iuf"), numbers("argmax", argmax, "iu")
    if not isinstance(shape, (tuple, list)) or len(shape) < 2:
        raise ValueError(f"shape must be the pictures' (..., H, W), not {shape!r}")
    shape = tuple(whole_number("shape", n, 0) for n in shape)
    if g.shape != argmax.shape or g.shape[:-2] != shape[:-2] or g.ndim != len(shape):
        raise ValueError(
            f"grad must have the shape of argmax {argmax.shape}, and the leading axes of shape {shape}"
        )
    last = shape[-2] * shape[-1] - 1
    if argmax.size and not 0 <= argmax.min() <= argmax.max() <= last:
        raise ValueError(
            f"argmax must be from 0 to {last}, the last cell of a picture of shape {shape}"
        )
    return max_pool_backward(g, argmax, shape)


def patch_matrix(picture, size, stride=1, padding=0) -> np.ndarray:
    """Return each window of an (H, W) picture as a row, (positions, kh*kw): times the flat filter, it is ``conv2d``."""
    x, size, stride = (
        _pictures("picture", picture),
        _pair("size", size, 1),
        _pair("stride", stride, 1),
    )
    if x.ndim != 2:
        raise ValueError(f"picture must be (H, W), not of shape {x.shape}")
    padded = pad(x, padding)
    positions = math.prod(_grid("size", padded.shape, size, stride))
    return _windows(padded, size, stride).reshape(positions, -1)


def recover_filter(picture, output, padding=0, stride=1) -> Recovered:
    """Find the filter that turned ``picture`` (H, W) into ``output`` (oh, ow), by least squares.

    The report never prints filters 2 and 3; its Tables 3.5 and 3.6 fix them. Of the filter sizes that the shapes allow
    (more than one if ``stride`` is), the largest is taken: a smaller filter is one of those, with zeros at its end.
    If ``rank`` is below the number of unknowns, the filter is the shortest of many that fit as well.
    """
    x, y = _pictures("picture", picture), _pictures("output", output)
    if x.ndim != 2 or y.ndim != 2:
        raise ValueError(
            f"picture and output must be (H, W) and (oh, ow), not of shapes {x.shape} and {y.shape}"
        )
    stride, padding = _pair("stride", stride, 1), _pair("padding", padding, 0)
    size = [
        h + 2 * p - (o - 1) * s
        for h, p, o, s in zip(x.shape, padding, y.shape, stride, strict=True)
    ]
    if min(size) < 1:
        raise ValueError(
            f"output must be small enough for a filter of at least 1x1, not of shape {y.shape}"
        )
    patches = patch_matrix(
        x.astype(np.result_type(x, y, np.int64)), size, stride, padding
    )  # (oh*ow, kh*kw)
    solution, _, rank, _ = np.linalg.lstsq(
        patches.astype(float), y.ravel().astype(float), rcond=None
    )
    rounded = np.rint(solution)
    integer = bool(
        np.abs(rounded).max() < 2**53
        and np.array_equal(patches @ rounded.astype(np.int64), y.ravel())
    )
    found = rounded.astype(np.int64) if integer else solution
    residual = float(np.abs(patches @ found - y.ravel()).max())
    return Recovered(found.reshape(size), int(rank), int(rank) == found.size, integer, residual)
