"""Convolution and pooling against PyTorch, one thread each: python tests/benchmarks/bench_conv.py (needs torch).

Ratios are ours / theirs, from pairs measured in turn, so that both meet the same load; the median counts. Each
benchmark first asserts that both sides compute the same thing.
"""

from __future__ import annotations

import statistics
import time

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from hw1lib.nn.conv import conv2d, conv2d_backward, max_pool2d, max_pool2d_backward

ROUNDS = 15
SHAPES = "(32, 3, 64, 64) by (16, 3, 3, 3)"
SLOPE = np.float32(0.01)


def clock(work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def against_pytorch(what: str, ours, theirs, goal: float) -> dict:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            for mine, torchs in zip(ours(), theirs(), strict=True):
                np.testing.assert_allclose(mine, torchs.detach().numpy(), rtol=1e-3, atol=1e-3)
            ratio = statistics.median(clock(ours) / clock(theirs) for _ in range(ROUNDS))
    finally:
        torch.set_num_threads(threads)
    return {"what": what, "against": "PyTorch", "ratio": round(ratio, 3), "goal": goal}


def numbers(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def conv2d_forward(padding: int) -> dict:
    images, filters = numbers(32, 3, 64, 64), numbers(16, 3, 3, 3)
    tensors = torch.from_numpy(images), torch.from_numpy(filters)
    return against_pytorch(
        f"conv2d, {SHAPES}, padding {padding}",
        lambda: [conv2d(images, filters, padding=padding)],
        lambda: [torch.nn.functional.conv2d(*tensors, padding=padding)],
        goal=2,
    )


def conv2d_back() -> dict:
    images, filters, grad = numbers(32, 3, 64, 64), numbers(16, 3, 3, 3), numbers(32, 16, 64, 64)
    tensors = [torch.from_numpy(a).requires_grad_() for a in (images, filters)]
    out, upstream = torch.nn.functional.conv2d(*tensors, padding=1), torch.from_numpy(grad)
    return against_pytorch(
        f"conv2d_backward, {SHAPES}, padding 1",
        lambda: conv2d_backward(grad, images, filters, padding=1),
        lambda: torch.autograd.grad(out, tensors, upstream, retain_graph=True),
        goal=3,
    )


def max_pool2d_forward() -> dict:
    images = numbers(32, 16, 64, 64)
    tensor = torch.from_numpy(images)
    return against_pytorch(
        "max_pool2d with cells, (32, 16, 64, 64), 2x2",
        lambda: max_pool2d(images, 2),
        lambda: torch.nn.functional.max_pool2d(tensor, 2, return_indices=True),
        goal=1,
    )


def three_layers() -> dict:
    """Convolution, pooling and leaky ReLU, three times, forward and back to the filters, as a network trains."""
    pictures = numbers(128, 3, 50, 50)
    filters = [numbers(f, c, 3, 3) * np.float32((2 / 9 / c) ** 0.5) for f, c in ((16, 3), (32, 16), (64, 32))]
    grad = numbers(128, 64, 6, 6)
    tensors = [torch.from_numpy(w).requires_grad_() for w in filters]

    def ours():
        a, layers = pictures, []
        for w in filters:
            z = conv2d(a, w, padding=1)
            pooled = max_pool2d(z, 2)
            layers.append((a, w, z.shape, pooled))
            a = np.maximum(pooled.values, SLOPE * pooled.values)
        delta, found = grad, []
        for a, w, shape, pooled in reversed(layers):
            delta = max_pool2d_backward(delta * np.maximum(pooled.values > 0, SLOPE), pooled.cells, shape)
            back = conv2d_backward(delta, a, w, padding=1, images_needed=a is not pictures)
            delta = back.images
            found.append(back.filters)
        return found[::-1]

    def theirs():
        a = torch.from_numpy(pictures)
        for w in tensors:
            z = torch.nn.functional.max_pool2d(torch.nn.functional.conv2d(a, w, padding=1), 2)
            a = torch.nn.functional.leaky_relu(z, float(SLOPE))
        return torch.autograd.grad(a, tensors, torch.from_numpy(grad))

    return against_pytorch("three layers, forward and backward, (128, 3, 50, 50)", ours, theirs, goal=1.5)


def rows():
    """Yield one row for each benchmark: dict(what, against, ratio, goal)."""
    yield conv2d_forward(padding=0)
    yield conv2d_forward(padding=1)
    yield conv2d_back()
    yield max_pool2d_forward()
    yield three_layers()


def main():
    for found in rows():
        print(f"{found['what']} / {found['against']}: {found['ratio']:.2f} (at most {found['goal']:.2f})", flush=True)


if __name__ == "__main__":
    main()
