"""Convolution and pooling: against SciPy, PyTorch, differences and the report's tables."""

import re
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.signal import convolve2d, correlate2d

from hw1lib.nn import conv
from hw1lib.nn.conv import (
    conv2d,
    conv2d_backward,
    conv2d_loops,
    max_pool2d,
    max_pool2d_backward,
    pad,
)
from hw1lib.nn.recover import recover_filter
from hw1lib.study.published import TABLES

PICTURE = np.array(TABLES["3.1"])
FILTERS = np.array(
    [
        [[0, 1, 2], [1, 0, 1], [2, 1, 0]],
        [[1, 0, 1], [0, 1, 0], [1, 0, 1]],
        [[1, 2, 0], [2, 0, 2], [0, 2, 1]],
    ]
)


@st.composite
def convolutions(draw):
    """Draw integer images (N, C, H, W), filters (F, C, kh, kw), and options that fit them."""
    n, c, f, kh, kw, stride = (draw(st.integers(1, 3)) for _ in range(6))
    padding = draw(st.integers(0, 3))
    least = [max(1, k - 2 * padding) for k in (kh, kw)]
    height, width = (draw(st.integers(low, low + 4)) for low in least)
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    images = rng.integers(-9, 10, (n, c, height, width))
    filters = rng.integers(-9, 10, (f, c, kh, kw))
    return images, filters, {"stride": stride, "padding": padding}


@st.composite
def poolings(draw):
    """Draw images with many equal cells, and the size of the squares."""
    size = draw(st.integers(1, 4))
    shape = [draw(st.integers(size, size + 5)) for _ in range(2)]
    leading = draw(st.sampled_from([(), (2, 3)]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return rng.integers(-3, 1, (*leading, *shape)), size


def by_scipy(images, filters, stride, padding, mode):
    padded = np.pad(images, [(0, 0), (0, 0), (padding, padding), (padding, padding)])
    slide = {"correlation": correlate2d, "convolution": convolve2d}[mode]
    maps = [[sum(map(slide, image, f, ["valid"] * len(f))) for f in filters] for image in padded]
    return np.array(maps)[..., ::stride, ::stride]


def differences(function, array, grad):
    """Return the gradient of sum(grad * function(array)) by central differences."""
    result = np.empty(array.shape)
    for at in np.ndindex(array.shape):
        move = np.zeros(array.shape)
        move[at] = 0.25  # exact in binary; conv2d is linear in each argument, so any step will do
        result[at] = np.sum(grad * (function(array + move) - function(array - move))) / 0.5
    return result


# -- the report's tables -------------------------------------------------------------------------


def test_tables_of_question_2():
    assert pad(PICTURE, 1).tolist() == np.array(TABLES["3.2"]).tolist()
    for k, f in enumerate(FILTERS):
        for convolve in (conv2d, conv2d_loops):
            assert_array_equal(convolve(PICTURE, f, stride=1, padding=1), TABLES[f"3.{k + 4}"])
        assert_array_equal(max_pool2d(TABLES[f"3.{k + 4}"], 2).values, TABLES[f"3.{k + 10}"])
    assert max_pool2d(TABLES["3.4"], 2).argmax.tolist() == [[5, 6], [9, 10]]
    assert max_pool2d(TABLES["3.5"], 2).argmax.tolist() == [[5, 2], [9, 10]]


# -- convolution ---------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(case=convolutions(), mode=st.sampled_from(conv.MODES))
def test_conv2d_equals_loops_and_scipy(case, mode):
    images, filters, options = case
    expected = by_scipy(images, filters, **options, mode=mode)
    for way in (conv2d, conv2d_loops):
        result = way(images, filters, **options, mode=mode)
        assert result.dtype == np.int64
        assert_array_equal(result, expected)
        assert_array_equal(
            way(images[0, 0], filters[0, 0], **options, mode=mode),
            by_scipy(images[:1, :1], filters[:1, :1], **options, mode=mode)[0, 0],
        )


@settings(max_examples=30, deadline=None)
@given(case=convolutions(), mode=st.sampled_from(conv.MODES))
def test_conv2d_backward_equals_central_differences(case, mode):
    images, filters, options = case
    options["mode"] = mode
    grad = np.random.default_rng(0).integers(-9, 10, conv2d(images, filters, **options).shape)
    result = conv2d_backward(grad, images, filters, **options)
    of_images = differences(lambda x: conv2d(x, filters, **options), images, grad)
    of_filters = differences(lambda w: conv2d(images, w, **options), filters, grad)
    assert_array_equal(result.images, of_images)
    assert_array_equal(result.filters, of_filters)


@pytest.mark.parametrize("block", [2 * 72 * 12, 72 * 12, 1])  # pictures, rows, one row
def test_columns_are_made_in_pieces(monkeypatch, block):
    rng = np.random.default_rng(0)
    images, filters = rng.normal(size=(7, 2, 6, 5)), rng.normal(size=(3, 2, 3, 2))
    whole = conv2d(images, filters)
    back = conv2d_backward(whole, images, filters)
    monkeypatch.setattr(conv, "BLOCK", block)
    assert_allclose(conv2d(images, filters), whole, rtol=1e-12)
    for piecewise, expected in zip(conv2d_backward(whole, images, filters), back, strict=True):
        assert_allclose(piecewise, expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float64, np.int64])
def test_one_large_picture_takes_little_memory(dtype):
    picture, f = np.ones((400, 500), dtype), np.ones((11, 11), dtype)
    tracemalloc.start()
    try:
        out = conv2d(picture, f)
        conv2d_backward(out, picture, f)
        assert tracemalloc.get_traced_memory()[1] < 20 * picture.nbytes  # its columns are 121 times
    finally:
        tracemalloc.stop()
    assert (out == 121).all()


def test_types():
    big = 2**53 + 1  # a float64 can't hold it
    assert conv2d([[big]], [[1]])[0, 0] == conv2d_loops([[big]], [[1]])[0, 0] == big
    white = np.full((3, 3), 255, np.uint8)
    assert conv2d(white, white)[0, 0] == 9 * 255**2  # beyond 8 bits, and 16
    x = np.ones((1, 1, 4, 4), np.float32)
    assert conv2d(x, x).dtype == conv2d_loops(x, x).dtype == np.float32
    assert conv2d(x, x.astype(float)).dtype == np.float64
    assert conv2d_backward(x[..., :1, :1], x, x).filters.dtype == np.float32
    assert max_pool2d(x, 2).values.dtype == pad(x, 1).dtype == np.float32


def test_arguments_are_left_alone_and_not_shared():
    x, w = np.arange(16.0).reshape(4, 4), np.ones((1, 1))
    kept = x.copy()
    for out in (pad(x, 0), conv2d(x, w), max_pool2d(x, 1).values, conv2d_backward(x, x, w).images):
        out += 1
    assert_array_equal(x, kept)


# -- pooling -------------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(case=poolings())
def test_max_pool2d_finds_the_largest_of_each_square_and_sends_its_gradient_there(case):
    images, size = case
    result = max_pool2d(images, size)
    assert result.values.dtype == images.dtype
    assert result.values.shape[-2:] == tuple(n // size for n in images.shape[-2:])
    grad = np.random.default_rng(0).integers(-9, 10, result.values.shape)
    back = max_pool2d_backward(grad, result.argmax, images.shape)
    for *picture, row, column in np.ndindex(grad.shape):
        at, top, left = (*picture, row, column), row * size, column * size
        square = images[(*picture, slice(top, top + size), slice(left, left + size))]
        down, across = divmod(square.argmax(), size)  # the first of the largest, row by row
        cell = (*picture, top + down, left + across)
        assert result.values[at] == images[cell]
        assert result.argmax[at] == cell[-2] * images.shape[-1] + cell[-1]
        assert back[cell] == grad[at]
        back[cell] = 0
    assert not back.any()  # what was not the largest has none


# -- recovering a filter -------------------------------------------------------------------------


def test_the_filters_of_the_report_are_the_only_ones():
    for k, f in enumerate(FILTERS):
        result = recover_filter(PICTURE, TABLES[f"3.{k + 4}"], padding=1, stride=1)
        assert result.filter.tolist() == f.tolist()
        assert result.filter.dtype == np.int64
        assert result[1:] == (9, True, True, 0)
    spoilt = np.array(TABLES["3.5"])
    spoilt[2, 1] += 1
    result = recover_filter(PICTURE, spoilt, padding=1)
    assert result.unique
    assert not result.integer
    assert 0.1 < result.residual < 1


@settings(max_examples=40, deadline=None)
@given(case=convolutions())
def test_recovered_filter_gives_the_output(case):
    images, filters, options = case
    picture = images[0, 0]
    output = conv2d(picture, filters[0, 0], **options)
    result = recover_filter(picture, output, **options)
    again = conv2d(picture, result.filter, **options)
    assert_allclose(again, output, atol=1e-9)
    if result.unique:
        assert result.integer
        largest = np.zeros(result.filter.shape)
        largest[: filters.shape[2], : filters.shape[3]] = filters[0, 0]
        assert_array_equal(result.filter, largest)


# -- what can't be used --------------------------------------------------------------------------

FOUR, BATCH = np.ones((4, 4)), np.ones((2, 3, 4, 4))
CELLS = np.ones((4, 4), int)


@pytest.mark.parametrize(
    ("use", "word"),
    [
        (lambda: pad([[]], 1), "images must be (H, W) or (N, C, H, W)"),
        (lambda: conv2d(FOUR > 0, FOUR), "images must hold real numbers"),
        (lambda: max_pool2d(FOUR, 0), "size must be"),
        (lambda: conv2d(FOUR, FOUR, stride=0), "stride must be"),
        (lambda: conv2d(FOUR, FOUR, padding=-1), "padding must be"),
        (lambda: conv2d(FOUR, BATCH), "images and filters must be (H, W) and (kh, kw), or"),
        (lambda: conv2d(BATCH, BATCH[:, :2]), "filters must have 3 channels"),
        (lambda: conv2d(FOUR, np.ones((5, 1))), "at most the padded picture's 4x4 cells"),
        (lambda: conv2d(FOUR, [[1]], mode="full"), "mode must be"),
        (lambda: conv2d_backward(FOUR, FOUR, FOUR), "grad must have shape (1, 1)"),
        (lambda: max_pool2d_backward(FOUR, CELLS[:2], (4, 4)), "grad must have shape (2, 4)"),
        (lambda: max_pool2d_backward(FOUR, 16 * CELLS, (4, 4)), "argmax must be of max_pool2d"),
        (lambda: recover_filter(BATCH, FOUR), "picture and output must be (H, W) and (oh, ow)"),
        (lambda: recover_filter(FOUR, np.ones((5, 4))), "a filter of at least 1x1"),
    ],
)
def test_what_cannot_be_used_is_named(use, word):
    with pytest.raises(ValueError, match=re.escape(word)):
        use()
