"""Convolution and pooling against PyTorch, one thread each (needs torch).

Ratios are ours / theirs, from pairs measured in turn, so that both meet the same load; the median
counts. Seconds are the process's own. Each benchmark first asserts that both sides compute the same
thing.
"""

from __future__ import annotations

import statistics
import time

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from hw1lib import nn
from hw1lib.nn.conv import conv2d, conv2d_backward, max_pool2d

ROUNDS = 15
SHAPES = "(32, 3, 64, 64) by (16, 3, 3, 3)"
RATE, MOMENTUM = 1e-3, 0.9
CONFIG = {"filters": [16, 32, 64], "hidden": [64], "outputs": 1, "activation": "leaky_relu"}
CONFIG |= {"output_activation": "identity", "loss": "l2"}


def clock(work) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


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
        "max_pool2d with argmax, (32, 16, 64, 64), 2x2",
        lambda: max_pool2d(images, 2),
        lambda: torch.nn.functional.max_pool2d(tensor, 2, return_indices=True),
        goal=1,
    )


def training_step(side: int) -> dict:
    """One step on a batch of 128; both pool before the activation."""
    net = nn.Network(CONFIG | {"picture": (3, side, side)}, "he")
    X, y, velocity = numbers(128, 3, side, side) / 3, numbers(128, 1), np.zeros_like(net.parameters)
    pictures, targets = torch.from_numpy(X), torch.from_numpy(y)
    blocks = len(CONFIG["filters"])
    tensors = [torch.tensor(W).requires_grad_() for W in net.weights]
    offsets = [torch.tensor(b).requires_grad_() for b in net.biases]
    optimizer = torch.optim.SGD(tensors + offsets, RATE, MOMENTUM)

    def ours():
        net._epoch(X, y, velocity, 128, RATE, MOMENTUM, 0, None)
        return [*net.weights, *net.biases]

    def theirs():
        a = pictures
        for i, (W, b) in enumerate(zip(tensors, offsets, strict=True)):
            if i < blocks:
                a = torch.nn.functional.conv2d(a, W, b, padding=1)
                a = torch.nn.functional.max_pool2d(a, 2)
            else:
                a = a.flatten(1) @ W + b
            if i < len(tensors) - 1:
                a = torch.nn.functional.leaky_relu(a, 0.01)
        optimizer.zero_grad()
        (((a - targets) ** 2).sum() / (2 * len(targets))).backward()
        optimizer.step()
        return [*tensors, *offsets]

    what = f"training step, 128 pictures 3x{side}x{side}, 16-32-64 filters"
    return against_pytorch(what, ours, theirs, goal=1.5)


def rows():
    """Yield one row for each benchmark: dict(what, against, ratio, goal)."""
    yield conv2d_forward(padding=0)
    yield conv2d_forward(padding=1)
    yield conv2d_back()
    yield max_pool2d_forward()
    yield training_step(50)
    yield training_step(40)
