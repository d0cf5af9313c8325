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
    max_pool2d_loops,
    pad,
    patch_matrix,
    recover_filter,
)
from hw1lib.study.published import TABLES

PICTURE = np.array(TABLES["3.1"])
FILTERS = np.array(
    [
        [[0, 1, 2], [1, 0, 1], [2, 1, 0]],
        [[1, 0, 1], [0, 1, 0], [1, 0, 1]],
        [[1, 2, 0], [2, 0, 2], [0, 2, 1]],
    ]
)


def pairs(least, most):
    return st.tuples(st.integers(least, most), st.integers(least, most))


@st.composite
def convolutions(draw):
    """Draw integer images (N, C, H, W), filters (F, C, kh, kw), and options that fit them."""
    n, c, f = (draw(st.integers(1, 3)) for _ in range(3))
    size, options = draw(pairs(1, 3)), {"stride": draw(pairs(1, 3)), "padding": draw(pairs(0, 3))}
    least = [max(1, k - 2 * p) for k, p in zip(size, options["padding"], strict=True)]
    height, width = (draw(st.integers(low, low + 4)) for low in least)
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return rng.integers(-9, 10, (n, c, height, width)), rng.integers(-9, 10, (f, c, *size)), options


@st.composite
def poolings(draw):
    """Draw images with many equal cells, and options under which every window holds a cell."""
    size, stride = draw(pairs(1, 4)), draw(st.none() | pairs(1, 3))
    padding = tuple(draw(st.integers(0, k // 2)) for k in size)
    shape = [
        draw(st.integers(max(1, k - 2 * p), k + 4)) for k, p in zip(size, padding, strict=True)
    ]
    leading = draw(st.sampled_from([(), (2, 3)]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    options = {"size": size, "stride": stride, "padding": padding}
    return rng.integers(-3, 1, (*leading, *shape)), options


def by_scipy(images, filters, stride, padding, mode):
    padded = np.pad(images, [(0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2])
    slide = {"correlation": correlate2d, "convolution": convolve2d}[mode]
    maps = [[sum(map(slide, image, f, ["valid"] * len(f))) for f in filters] for image in padded]
    return np.array(maps)[..., :: stride[0], :: stride[1]]


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
        for pool in (max_pool2d, max_pool2d_loops):
            assert_array_equal(pool(TABLES[f"3.{k + 4}"], 2).values, TABLES[f"3.{k + 10}"])
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
    single = conv2d(images[0, 0], filters[0, 0], **options, mode=mode)
    alone = by_scipy(images[:1, :1], filters[:1, :1], **options, mode=mode)
    assert_array_equal(single, alone[0, 0])
    assert_array_equal(single, conv2d_loops(images[0, 0], filters[0, 0], **options, mode=mode))


@settings(max_examples=40, deadline=None)
@given(case=convolutions())
def test_conv2d_and_backward_equal_pytorch(torch, case):
    images, filters, options = case
    x, w = (torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in (images, filters))
    out = torch.nn.functional.conv2d(x, w, **options)
    assert_array_equal(conv2d(images, filters, **options), out.detach().numpy())
    grad = np.random.default_rng(0).integers(-9, 10, out.shape)
    out.backward(torch.tensor(grad, dtype=torch.float64))
    result = conv2d_backward(grad, images, filters, **options)
    assert_array_equal(result.images, x.grad.numpy())
    assert_array_equal(result.filters, w.grad.numpy())


@settings(max_examples=15, deadline=None)
@given(case=convolutions(), mode=st.sampled_from(conv.MODES))
def test_conv2d_backward_equals_central_differences(case, mode):
    images, filters, options = case
    images, filters, options = images[:2], filters[:2], {**options, "mode": mode}
    grad = np.random.default_rng(0).integers(-9, 10, conv2d(images, filters, **options).shape)
    result = conv2d_backward(grad, images, filters, **options)
    assert_array_equal(
        result.images, differences(lambda x: conv2d(x, filters, **options), images, grad)
    )
    assert_array_equal(
        result.filters, differences(lambda w: conv2d(images, w, **options), filters, grad)
    )
    single = conv2d_backward(grad[0, 0], images[0, 0], filters[0, 0], **options)
    assert (single.images.shape, single.filters.shape) == (images.shape[2:], filters.shape[2:])
    alone = conv2d_backward(grad[:1, :1], images[:1, :1], filters[:1, :1], **options)
    assert_array_equal(single.filters, alone.filters[0, 0])


@pytest.mark.parametrize("block", [2 * 72 * 12, 72 * 5, 1])  # two pictures, a row, a window
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


def test_integers_stay_exact():
    big = 2**53 + 1  # a float64 can't hold it
    assert conv2d([[big]], [[1]])[0, 0] == conv2d_loops([[big]], [[1]])[0, 0] == big
    assert max_pool2d([[big - 1, big]], (1, 2)).values[0, 0] == big
    white = np.full((3, 3), 255, np.uint8)
    assert conv2d(white, white)[0, 0] == 9 * 255**2  # beyond 8 bits, and 16
    with pytest.raises(ValueError, match=r"must be below 2\*\*63"):
        conv2d([[2**62, 2**62]], [[1, 1]])


def test_floats_keep_their_type():
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


def test_empty_batch_gives_an_empty_batch():
    none = np.zeros((0, 2, 5, 5))
    assert conv2d(none, np.ones((3, 2, 3, 3))).shape == (0, 3, 3, 3)
    gradients = conv2d_backward(np.zeros((0, 3, 3, 3)), none, np.ones((3, 2, 3, 3)))
    assert_array_equal(gradients.filters, np.zeros((3, 2, 3, 3)))
    pooled = max_pool2d(none, 2)
    assert pooled.values.shape == (0, 2, 2, 2)
    assert max_pool2d_backward(pooled.values, pooled.argmax, none.shape).shape == none.shape


# -- pooling -------------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(case=poolings())
def test_max_pool2d_equals_loops(case):
    images, options = case
    result, expected = max_pool2d(images, **options), max_pool2d_loops(images, **options)
    assert_array_equal(result.values, expected.values)
    assert_array_equal(result.argmax, expected.argmax)
    flat = images.reshape(*images.shape[:-2], 1, -1)
    assert_array_equal(np.take_along_axis(flat, result.argmax, -1), result.values)
    assert result.values.dtype == images.dtype


@settings(max_examples=40, deadline=None)
@given(case=poolings())
def test_max_pool2d_and_backward_equal_pytorch(torch, case):
    images, options = case
    batch = images.reshape(-1, 1, *images.shape[-2:])
    x = torch.tensor(batch, dtype=torch.float64, requires_grad=True)
    values, argmax = torch.nn.functional.max_pool2d(
        x, options["size"], options["stride"], options["padding"], return_indices=True
    )
    result = max_pool2d(batch, **options)
    assert_array_equal(result.values, values.detach().numpy())
    assert_array_equal(result.argmax, argmax.numpy())  # of equal cells, the same one
    grad = np.random.default_rng(0).integers(-9, 10, values.shape)
    values.backward(torch.tensor(grad, dtype=torch.float64))
    assert_array_equal(max_pool2d_backward(grad, result.argmax, batch.shape), x.grad.numpy())


@pytest.mark.parametrize(
    "options", [{"size": 2}, {"size": (3, 2), "stride": (1, 2), "padding": (1, 0)}]
)
def test_max_pool2d_backward_equals_central_differences(options):
    rng = np.random.default_rng(0)
    images = rng.permutation(60).reshape(2, 5, 6)  # no two alike: a quarter changes no choice
    pooled = max_pool2d(images, **options)
    grad = rng.integers(-9, 10, pooled.values.shape)
    expected = differences(lambda x: max_pool2d(x, **options).values, images, grad)
    assert_array_equal(max_pool2d_backward(grad, pooled.argmax, images.shape), expected)


@pytest.mark.parametrize("pool", [max_pool2d, max_pool2d_loops])
def test_padding_is_never_chosen(pool):
    for dtype in (np.int8, np.int64, np.float32):
        lowest = np.finfo(dtype).min if dtype is np.float32 else np.iinfo(dtype).min
        pooled = pool(np.full((3, 3), lowest, dtype), 3, 2, 1)
        assert (pooled.values == lowest).all()
        assert pooled.argmax.tolist() == [[0, 1], [3, 4]]


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
    picture, stride, padding = images[0, 0], options["stride"], options["padding"]
    output = conv2d(picture, filters[0, 0], stride, padding)
    result = recover_filter(picture, output, padding, stride)
    again = conv2d(picture, result.filter, stride, padding)
    assert_allclose(again, output, atol=1e-9)
    assert result.rank == np.linalg.matrix_rank(
        patch_matrix(picture, result.filter.shape, stride, padding)
    )
    if result.unique:
        assert result.integer
        largest = np.zeros(result.filter.shape)
        largest[: filters.shape[2], : filters.shape[3]] = filters[0, 0]
        assert_array_equal(result.filter, largest)


def test_recovers_a_filter_that_is_not_whole():
    rng = np.random.default_rng(0)
    picture, f = rng.normal(size=(9, 8)), rng.normal(size=(3, 2))
    result = recover_filter(picture, conv2d(picture, f, (2, 1), (1, 0)), (1, 0), (2, 1))
    assert result.filter[:3, :2] == pytest.approx(f, rel=1e-10)
    assert not result.integer


# -- what can't be used --------------------------------------------------------------------------

FOUR, BATCH = np.ones((4, 4)), np.ones((2, 3, 4, 4))
MASKED = np.ma.masked_equal(np.eye(4), 1)
CELLS = np.ones((4, 4), int)


@pytest.mark.parametrize("bad", [FOUR * np.nan, [[1, 2], [3]], None, FOUR > 0, [[]], MASKED])
@pytest.mark.parametrize(
    ("name", "use"),
    [
        ("images", lambda bad: pad(bad, 1)),
        ("images", lambda bad: conv2d(bad, [[1]])),
        ("images", lambda bad: conv2d_loops(bad, [[1]])),
        ("images", lambda bad: conv2d_backward(FOUR, bad, [[1]])),
        ("images", lambda bad: max_pool2d(bad, 2)),
        ("filters", lambda bad: conv2d(FOUR, bad)),
        ("grad", lambda bad: conv2d_backward(bad, FOUR, [[1]])),
        ("grad", lambda bad: max_pool2d_backward(bad, CELLS, (4, 4))),
        ("argmax", lambda bad: max_pool2d_backward(FOUR, bad, (4, 4))),
        ("picture", lambda bad: recover_filter(bad, FOUR)),
        ("output", lambda bad: recover_filter(FOUR, bad)),
    ],
)
def test_bad_pictures_are_named(name, use, bad):
    with pytest.raises(ValueError, match=rf"(?=.*\b{name}\b).* must "):
        use(bad)


@pytest.mark.parametrize("name", ["stride", "padding", "size"])
@pytest.mark.parametrize("bad", [-1, 1.0, True, "2", (1,), (1, 0.5)])
def test_bad_steps_are_named(name, bad):
    function, arguments = (max_pool2d, (FOUR,)) if name == "size" else (conv2d, (FOUR, [[1]]))
    with pytest.raises(ValueError, match=f"{name} must be a whole number"):
        function(*arguments, **{name: bad})


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda: conv2d(FOUR, BATCH), "images and filters must be (H, W) and (kh, kw), or"),
        (lambda: conv2d(BATCH, BATCH[:, :2]), "one or more, with the images' 3 channels"),
        (lambda: conv2d(BATCH, BATCH[:0]), "filters must be one or more"),
        (lambda: conv2d(FOUR, [[1]], mode="full"), "mode must be one of correlation, convolution"),
        (lambda: conv2d(FOUR, np.ones((5, 1))), "filters must be at most the padded picture's 4x4"),
        (lambda: conv2d_backward(FOUR, FOUR, FOUR), "grad must have shape (1, 1), not (4, 4)"),
        (lambda: max_pool2d(FOUR, 5), "size must be at most the padded picture's 4x4 cells"),
        (lambda: max_pool2d(FOUR, 2, padding=2), "padding must be at most half of size (2, 2)"),
        (
            lambda: max_pool2d_backward(FOUR, CELLS[:2], (4, 4)),
            "grad must have the shape of argmax",
        ),
        (lambda: max_pool2d_backward(FOUR, 16 * CELLS, (4, 4)), "argmax must be from 0 to 15"),
        (lambda: max_pool2d_backward(FOUR, CELLS, 16), "shape must be the pictures' (..., H, W)"),
        (lambda: patch_matrix(BATCH, 2), "picture must be (H, W), not of shape (2, 3, 4, 4)"),
        (
            lambda: recover_filter(FOUR, np.ones((5, 4))),
            "small enough for a filter of at least 1x1",
        ),
    ],
)
def test_bad_combinations_are_named(use, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        use()
