"""conv2d's forward pass against PyTorch's, one thread each: python tests/benchmarks/bench_conv.py (needs torch)."""

import statistics
import time

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from hw1lib.conv import conv2d

ROUNDS = 21


def seconds(work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main():
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    images = rng.normal(size=(32, 3, 64, 64)).astype(np.float32)
    filters = rng.normal(size=(16, 3, 3, 3)).astype(np.float32)
    images_t, filters_t = torch.from_numpy(images), torch.from_numpy(filters)
    with threadpool_limits(1), torch.inference_mode():
        for padding in (0, 1):
            ours = lambda p=padding: conv2d(images, filters, padding=p)  # noqa: E731
            theirs = lambda p=padding: torch.nn.functional.conv2d(images_t, filters_t, padding=p)  # noqa: E731
            np.testing.assert_allclose(ours(), theirs().numpy(), rtol=1e-4, atol=1e-4)
            pairs = [(seconds(ours), seconds(theirs)) for _ in range(ROUNDS)]  # in turn, so that both meet the same load
            mine, torchs = (statistics.median(column) for column in zip(*pairs, strict=True))
            print(
                f"(32, 3, 64, 64) by (16, 3, 3, 3), padding {padding}: conv2d {1e3 * mine:.2f} ms, "
                f"PyTorch {1e3 * torchs:.2f} ms, ratio {mine / torchs:.2f} (2 is allowed)"
            )


if __name__ == "__main__":
    main()
