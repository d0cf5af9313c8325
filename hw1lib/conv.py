"""Convolution and max pooling (report, chapter 3).

Read ``conv2d_loops`` and ``max_pool2d_loops`` first: they say what is computed. ``conv2d`` and ``max_pool2d`` compute
the same fast, from sliding windows; the tests hold each pair equal, and both equal to SciPy and PyTorch.

A picture is (H, W) with a filter (kh, kw), or a batch is (N, C, H, W) with filters (F, C, kh, kw). ``stride``,
``padding``, ``dilation`` and ``size`` are one integer, or a pair (vertical, horizontal). Integers in give integers out,
exactly. Input that can't be used raises ValueError, which names the argument and what is allowed.
"""

from __future__ import annotations

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
    pair = (value, value) if np.ndim(value) == 0 else tuple(value)
    whole = all(isinstance(v, (int, np.integer)) and not isinstance(v, bool) for v in pair)
    if len(pair) != 2 or not whole or min(pair) < least:
        raise ValueError(f"{name} must be an integer of at least {least}, or a pair of them, not {value!r}")
    return int(pair[0]), int(pair[1])


def _numbers(name: str, values, finite: bool = True) -> np.ndarray:
    try:
        array = np.asarray(values)
    except ValueError:
        raise ValueError(f"{name} must be an array, with rows of equal length") from None
    if array.dtype.kind == "b":
        array = array.astype(np.uint8)
    if array.dtype.kind not in "iuf":
        raise ValueError(f"{name} must hold integers or real numbers, not {array.dtype}")
    if array.dtype.kind == "f" and (not np.isfinite(array).all() if finite else np.isnan(array).any()):
        raise ValueError(f"{name} must not hold NaN{' or infinity' if finite else ''}")
    return array


def _pictures(name: str, values, finite: bool = True) -> np.ndarray:
    array = _numbers(name, values, finite)
    if array.ndim < 2 or 0 in array.shape[-2:]:
        raise ValueError(f"{name} must be (H, W) or (N, C, H, W) with H, W >= 1, not of shape {array.shape}")
    return array


def _windows(padded: np.ndarray, size, stride, dilation=(1, 1)) -> np.ndarray:
    """Return every window of (..., H, W) as a view (..., oh, ow, kh, kw), where oh = (H - span) // stride + 1."""
    span = [(k - 1) * d + 1 for k, d in zip(size, dilation, strict=True)]
    if span[0] > padded.shape[-2] or span[1] > padded.shape[-1]:
        raise ValueError(
            f"the window (filter or size) spans {span[0]}x{span[1]}; at most the padded picture's "
            f"{padded.shape[-2]}x{padded.shape[-1]} is allowed"
        )
    view = sliding_window_view(padded, span, axis=(-2, -1))
    return view[..., :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]]


def pad(images, padding, value=0) -> np.ndarray:
    """Return (..., H, W) pictures, of the same dtype, with ``padding`` cells of ``value`` on each side (Table 3.2)."""
    x = _pictures("images", images, finite=False)
    up, left = _pair("padding", padding, 0)
    if x.dtype.kind != "f" and not (value == value // 1 and np.iinfo(x.dtype).min <= value <= np.iinfo(x.dtype).max):
        raise ValueError(f"value must be an integer that {x.dtype} can hold, not {value!r}")
    out = np.full((*x.shape[:-2], x.shape[-2] + 2 * up, x.shape[-1] + 2 * left), value, x.dtype)
    out[..., up : up + x.shape[-2], left : left + x.shape[-1]] = x
    return out


def _prepare(images, filters, stride, padding, mode, dilation):
    """Check conv2d's arguments; return padded (N, C, H, W), filters (F, C, kh, kw) as correlated, and the pairs."""
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
    x, w = pad(x.astype(dtype, copy=False), edge), w.astype(dtype, copy=False)
    return x, w if mode == "correlation" else w[..., ::-1, ::-1], step, gap, edge


def conv2d_loops(images, filters, stride=1, padding=0, mode="correlation", dilation=1) -> np.ndarray:
    """Compute what ``conv2d`` does with plain loops: each output cell is a window times the filter, summed."""
    x, w, (sh, sw), (dh, dw), _ = _prepare(images, filters, stride, padding, mode, dilation)
    oh, ow = _windows(x, w.shape[2:], (sh, sw), (dh, dw)).shape[2:4]
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
    x, w, step, gap, _ = _prepare(images, filters, stride, padding, mode, dilation)
    windows = _windows(x, w.shape[2:], step, gap).transpose(0, 1, 4, 5, 2, 3)  # (N, C, kh, kw, oh, ow), no copy
    oh, ow = windows.shape[4:]
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
    """Carry a gradient back through ``conv2d``: ``grad`` has its output's shape, the results its inputs' shapes."""
    x, w, step, gap, edge = _prepare(images, filters, stride, padding, mode, dilation)
    windows = _windows(x, w.shape[2:], step, gap).transpose(0, 1, 4, 5, 2, 3)  # (N, C, kh, kw, oh, ow)
    oh, ow = windows.shape[4:]
    g = _numbers("grad", grad)
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
    """Check max pooling's arguments; return the pictures and the three pairs."""
    x, size = _pictures("images", images, finite=False), _pair("size", size, 1)
    stride = size if stride is None else _pair("stride", stride, 1)
    padding = _pair("padding", padding, 0)
    if 2 * padding[0] > size[0] or 2 * padding[1] > size[1]:  # so every window holds a cell of the picture
        raise ValueError(f"padding must be at most half of size {size}, not {padding}")
    return x, size, stride, padding


def max_pool2d_loops(images, size, stride=None, padding=0) -> Pooled:
    """Compute what ``max_pool2d`` does with plain loops: look at each window's cells in row order, keep the largest."""
    x, size, (sh, sw), (ph, pw) = _pooling(images, size, stride, padding)
    height, width = x.shape[-2:]
    outside = _windows(pad(np.zeros((height, width)), (ph, pw)), size, (sh, sw))
    values = np.empty(x.shape[:-2] + outside.shape[:2], x.dtype)
    cells = np.full(values.shape, -1)
    for *picture, row, column in np.ndindex(values.shape):
        at = (*picture, row, column)
        for i, j in np.ndindex(size):
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
        minus infinity or the smallest integer (zeros would beat negative cells).

    Returns
    -------
    Pooled
        ``values`` and ``cells``, both (..., oh, ow). Of equal cells the first in row order is chosen, as in PyTorch.
    """
    x, size, step, edge = _pooling(images, size, stride, padding)
    index = pad(np.arange(x.shape[-2] * x.shape[-1]).reshape(x.shape[-2:]), edge, -1)
    index = _windows(index, size, step)  # (oh, ow, kh, kw): which cell of the picture, -1 for padding
    index = index.reshape(*index.shape[:2], -1)  # (oh, ow, kh*kw)
    lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    windows = _windows(pad(x, edge, lowest), size, step)
    windows = windows.reshape(*windows.shape[:-2], size[0] * size[1])  # (..., oh, ow, kh*kw)
    values = windows.max(axis=-1)
    # a picture may hold the padding's value itself, so the place is the first equal cell that is not padding
    place = ((windows == values[..., None]) & (index >= 0)).argmax(axis=-1)
    cells = np.take_along_axis(np.broadcast_to(index, windows.shape), place[..., None], axis=-1)[..., 0]
    return Pooled(values, cells)


def max_pool2d_backward(grad, cells, shape) -> np.ndarray:
    """Carry a gradient back through ``max_pool2d``: each cell chosen gets its window's, the others nothing.

    ``grad`` and ``cells`` are (..., oh, ow); ``shape`` is the pictures', (..., H, W).
    """
    g, cells = _numbers("grad", grad), np.asarray(cells)
    if g.shape != cells.shape or g.shape[:-2] != tuple(shape[:-2]):
        raise ValueError(f"grad must have the shape of cells {cells.shape}, and the leading axes of shape {shape}")
    each = shape[-2] * shape[-1]
    if cells.size and not 0 <= cells.min() <= cells.max() < each:
        raise ValueError(f"cells must be from 0 to {each - 1}, the last cell of a picture of shape {shape}")
    n = int(np.prod(shape[:-2]))
    out = np.zeros(n * each, np.result_type(g, np.float32))
    start = each * np.arange(n).reshape(*shape[:-2], 1, 1)  # of each picture in the flat result
    np.add.at(out, start + cells, g)  # a cell may be chosen by several windows
    return out.reshape(shape)


def patch_matrix(picture, size, stride=1, padding=0) -> np.ndarray:
    """Return each window of an (H, W) picture as a row, (positions, kh*kw): times the flat filter, it is ``conv2d``."""
    x = _pictures("picture", picture)
    if x.ndim != 2:
        raise ValueError(f"picture must be (H, W), not of shape {x.shape}")
    kh, kw = _pair("size", size, 1)
    return _windows(pad(x, padding), (kh, kw), _pair("stride", stride, 1)).reshape(-1, kh * kw)


def recover_filter(picture, output, padding=0, stride=1) -> Recovered:
    """Find the filter that turned ``picture`` (H, W) into ``output`` (oh, ow), by least squares.

    The report never prints filters 2 and 3; its Tables 3.5 and 3.6 fix them. Of the filter sizes that the shapes allow
    (more than one if ``stride`` is), the largest is taken: a smaller filter is one of those, with zeros at its end.
    If ``rank`` is below the number of unknowns, the filter is the shortest of many that fit as well.
    """
    x, y = _numbers("picture", picture), _numbers("output", output)
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
