"""Convolution and max pooling (report, chapter 3), and their gradients.

Read ``conv2d_loops`` first: it says what ``conv2d`` computes fast. The tests hold the two equal.

A picture is (H, W) with a filter (kh, kw), or a batch is (N, C, H, W) with filters (F, C, kh, kw).
``conv2d`` and pooling of integers give integers. What networks train with (``correlate``,
``max_pool`` and the gradients) checks nothing.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from hw1lib.checks import numbers, one_of, whole_number

MODES = ("correlation", "convolution")
# Numbers in one block of columns: 1 MB of float64, if a row fits; it stays in a core's cache.
BLOCK = 2**17


class ConvGradients(NamedTuple):
    """The loss's gradient with respect to ``images`` and to ``filters``."""

    images: np.ndarray
    filters: np.ndarray


class Pooled(NamedTuple):
    """The largest ``values``, and ``argmax``: the cells where they were, as row * W + column."""

    values: np.ndarray
    argmax: np.ndarray


# -- convolution ---------------------------------------------------------------------------------


def conv2d_loops(images, filters, stride=1, padding=0, mode="correlation") -> np.ndarray:
    """Compute what ``conv2d`` does: each output cell is a window times the filter, summed."""
    x, w = _checked(images, filters, stride, padding, mode)
    out = np.zeros((len(x), len(w), *_grid(x, w.shape[2:], stride)), x.dtype)
    for n, f, row, column in np.ndindex(out.shape):
        for c, i, j in np.ndindex(w.shape[1:]):
            cell = x[n, c, row * stride + i, column * stride + j]
            out[n, f, row, column] += cell * w[f, c, i, j]
    return out if np.ndim(images) == 4 else out[0, 0]


def conv2d(images, filters, stride=1, padding=0, mode="correlation") -> np.ndarray:
    """Slide each filter over each picture and sum the products (report, Tables 3.3 to 3.6).

    Parameters
    ----------
    images : (H, W) or (N, C, H, W)
    filters : (kh, kw) or (F, C, kh, kw)
    stride, padding : int
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
    x, w = _checked(images, filters, stride, padding, mode)
    out = correlate(x, w, stride)
    return out if np.ndim(images) == 4 else out[0, 0]


def conv2d_backward(
    grad, images, filters, stride=1, padding=0, mode="correlation"
) -> ConvGradients:
    """Carry a gradient back through ``conv2d``.

    ``grad``, (oh, ow) or (N, F, oh, ow), is the loss's with respect to what ``conv2d`` returns for
    the other arguments. The two gradients have the shapes of ``images`` and of ``filters``.
    """
    x, w = _checked(images, filters, stride, padding, mode)
    size = w.shape[2:]
    shape = (len(x), len(w), *_grid(x, size, stride))
    wanted = shape if np.ndim(images) == 4 else shape[2:]
    g = numbers("grad", grad, "iuf", wanted).reshape(shape)
    g = g.astype(np.result_type(g, x, np.float32), copy=False)
    to_filters = filters_gradient(g, x, size, stride)
    if mode == "convolution":
        to_filters = to_filters[..., ::-1, ::-1]
    to_images = images_gradient(g, x.shape, w.astype(g.dtype), stride, padding)
    return ConvGradients(to_images.reshape(np.shape(images)), to_filters.reshape(np.shape(filters)))


def correlate(padded: np.ndarray, filters: np.ndarray, stride: int = 1, bias=None) -> np.ndarray:
    """Return (N, F, oh, ow): the windows as columns make it one matrix product.

    ``bias`` (F, 1) is added, if there is one.
    """
    size = filters.shape[2:]
    oh, ow = _grid(padded, size, stride)
    rows = filters.reshape(len(filters), -1)  # (F, C*kh*kw)
    out = np.empty((len(padded), len(filters), oh * ow), padded.dtype)
    for pictures, cells, columns in _columns(padded, size, stride):
        part = out[pictures, :, cells]
        np.matmul(rows, columns, out=part)
        if bias is not None:
            part += bias  # while it is in the cache
    return out.reshape(len(padded), len(filters), oh, ow)


def filters_gradient(grad: np.ndarray, padded: np.ndarray, size, stride: int = 1) -> np.ndarray:
    """Return (F, C, kh, kw): a filter's cell collects grad * cell of the picture that it lay on."""
    n, f, oh, ow = grad.shape
    grad = grad.reshape(n, f, oh * ow)
    total = np.zeros((f, padded.shape[1] * math.prod(size)), grad.dtype)
    for pictures, cells, columns in _columns(padded, size, stride):
        products = grad[pictures, :, cells] @ columns.swapaxes(1, 2)  # (b, F, C*kh*kw)
        total += products.sum(axis=0)
    return total.reshape(f, padded.shape[1], *size)


def images_gradient(
    grad: np.ndarray, shape, filters: np.ndarray, stride: int = 1, padding: int = 0
) -> np.ndarray:
    """Return the pictures' gradient; ``shape`` is that of the padded ones.

    A cell r collects from each window i that it is in: ``dx[r] = sum_i grad[i] w[r - stride i]``.
    So turned filters slide over the grad (N, F, oh, ow), spread as the windows were, with kh - 1
    and kw - 1 zeros around it. Channels and filters change places. What the padding's cells collect
    is not computed.
    """
    (kh, kw), (oh, ow) = filters.shape[2:], grad.shape[2:]
    spread = np.zeros((*grad.shape[:2], shape[2] + kh - 1, shape[3] + kw - 1), grad.dtype)
    places = spread[..., kh - 1 :: stride, kw - 1 :: stride]
    places[..., :oh, :ow] = grad  # what begins further on would leave the picture: no window
    height, width = spread.shape[2:]
    inside = spread[..., padding : height - padding, padding : width - padding]
    return correlate(inside, filters[..., ::-1, ::-1].swapaxes(0, 1))


def _columns(padded: np.ndarray, size, stride: int):
    """Yield the windows block by block, as columns: several pictures, or some rows of one.

    Each block is the slice of the pictures, the slice of the output's cells (row by row, so out of
    oh*ow), and the columns (b, C*kh*kw, cells); these are overwritten by the next block.
    """
    windows = _windows(padded, size, stride).transpose(0, 1, 4, 5, 2, 3)  # a view, no copy
    n, c, kh, kw, oh, ow = windows.shape
    fit = BLOCK // (c * kh * kw)  # so many windows go into a block; a row does in any case
    pictures = max(1, fit // (oh * ow))
    rows = max(1, min(oh, fit // ow))
    memory = np.empty(pictures * c * kh * kw * rows * ow, padded.dtype)
    for start in range(0, n, pictures):
        for row in range(0, oh, rows):
            part = windows[start : start + pictures, ..., row : row + rows, :]
            columns = memory[: part.size].reshape(part.shape)
            columns[...] = part
            flat = columns.reshape(len(part), c * kh * kw, -1)
            yield slice(start, start + pictures), slice(row * ow, (row + rows) * ow), flat


# -- max pooling ---------------------------------------------------------------------------------


def max_pool2d(images, size: int) -> Pooled:
    """Keep the largest cell of each ``size`` x ``size`` square (report, Tables 3.7 to 3.12).

    ``images`` are (..., H, W), and both results (..., H // size, W // size); rows and columns that
    fill no square are left out. Of equal cells the first in row order is chosen, as in PyTorch.
    """
    return max_pool(_pictures("images", images), whole_number("size", size))


def max_pool2d_backward(grad, argmax, shape) -> np.ndarray:
    """Carry a gradient back through ``max_pool2d``: to the cells that were chosen.

    ``grad`` and ``argmax`` are (..., oh, ow); ``shape`` is the pictures' (..., H, W), and what is
    returned has it.
    """
    argmax = numbers("argmax", argmax, "iu")
    grad = numbers("grad", grad, "iuf", argmax.shape)
    last = shape[-2] * shape[-1] - 1
    inside = argmax.min(initial=0) >= 0 and argmax.max(initial=0) <= last
    if argmax.shape[:-2] != tuple(shape[:-2]) or not inside:
        raise ValueError(f"argmax must be of max_pool2d for pictures of the shape {shape}")
    return max_pool_backward(grad, argmax, shape)


def max_pool(x: np.ndarray, size: int) -> Pooled:
    """Return what ``max_pool2d`` does."""
    *leading, height, width = x.shape
    oh, ow = height // size, width // size
    whole = (slice(oh * size), slice(ow * size))  # without what fills no square
    x = x[(..., *whole)]
    index = np.arange(height * width, dtype=np.int32).reshape(height, width)[whole]
    flat = (*leading, oh * ow)  # NumPy is fast on long rows
    values = x[..., ::size, ::size].reshape(flat).copy()  # x itself may not be written into
    argmax = np.broadcast_to(index[::size, ::size].ravel(), flat).copy()
    for i, j in list(np.ndindex(size, size))[1:]:  # all squares at once, a cell after another
        these = x[..., i::size, j::size].reshape(flat)
        larger = these > values
        np.maximum(values, these, out=values)
        # a later cell's index is larger, so that the maximum keeps it; faster than np.where
        np.maximum(argmax, larger * index[i::size, j::size].ravel(), out=argmax)
    return Pooled(values.reshape(*leading, oh, ow), argmax.reshape(*leading, oh, ow))


def max_pool_backward(grad: np.ndarray, argmax: np.ndarray, shape) -> np.ndarray:
    """Return what ``max_pool2d_backward`` does."""
    *leading, height, width = shape
    pictures = np.zeros(shape, np.result_type(grad, np.float32))
    first = height * width * np.arange(math.prod(leading))  # each picture's first cell
    cells = first.reshape(*leading, 1, 1) + argmax
    pictures.reshape(-1)[cells.ravel()] = grad.ravel()  # squares do not overlap: nothing to add
    return pictures


# -- windows and arguments ------------------------------------------------------------------------


def patch_matrix(picture, size, stride=1, padding=0) -> np.ndarray:
    """Return each window of (H, W) as a row: times the filter, it is conv2d.

    ``size`` is that of the filter: (kh, kw), or one number for both.
    """
    kh, kw = np.broadcast_to(size, 2)
    return _windows(pad(picture, padding), (kh, kw), stride).reshape(-1, kh * kw)


def pad(images, padding: int) -> np.ndarray:
    """Return (..., H, W) pictures with ``padding`` zeros on each side (report, Table 3.2)."""
    padding = whole_number("padding", padding, 0)
    images = _pictures("images", images)
    around = [(0, 0)] * (images.ndim - 2) + [(padding, padding)] * 2
    return np.pad(images, around)


def _windows(padded: np.ndarray, size, stride: int) -> np.ndarray:
    """Return every window of (..., H, W) as a view (..., oh, ow, kh, kw)."""
    windows = sliding_window_view(padded, size, axis=(-2, -1))
    return windows[..., ::stride, ::stride, :, :]


def _grid(padded: np.ndarray, size, stride: int) -> tuple[int, int]:
    """Return how many windows are below and beside each other."""
    (height, width), (kh, kw) = padded.shape[-2:], size
    return (height - kh) // stride + 1, (width - kw) // stride + 1


def _pictures(name: str, values) -> np.ndarray:
    array = numbers(name, values, "iuf")
    if array.ndim < 2 or 0 in array.shape[-2:]:
        wanted = "(H, W) or (N, C, H, W) with H, W >= 1"
        raise ValueError(f"{name} must be {wanted}, not of shape {array.shape}")
    return array


def _checked(images, filters, stride, padding, mode):
    """Return conv2d's padded pictures (N, C, H, W), and the filters as they are correlated."""
    whole_number("stride", stride)
    one_of("mode", mode, MODES)
    x, w = pad(images, padding), _pictures("filters", filters)
    if (x.ndim, w.ndim) not in ((2, 2), (4, 4)):
        wanted = "(H, W) and (kh, kw), or (N, C, H, W) and (F, C, kh, kw)"
        raise ValueError(f"images and filters must be {wanted}, not {x.shape} and {w.shape}")
    x, w = (a.reshape((1,) * (4 - a.ndim) + a.shape) for a in (x, w))
    channels, height, width = x.shape[1:]
    if w.shape[1] != channels or w.shape[2] > height or w.shape[3] > width:
        wanted = f"{channels} channels and at most the padded picture's {height}x{width} cells"
        raise ValueError(f"filters must have {wanted}, not {w.shape[1:]}")
    integers = x.dtype.kind in "iu" and w.dtype.kind in "iu"
    # 8-bit pictures would overflow in 8 bits
    dtype = np.int64 if integers else np.result_type(x, w, np.float32)
    x, w = x.astype(dtype, copy=False), w.astype(dtype, copy=False)
    return x, w if mode == "correlation" else w[..., ::-1, ::-1]
