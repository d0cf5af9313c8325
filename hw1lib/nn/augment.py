"""Pictures that are changed a little in every epoch: for ``fit(..., augment=...)``."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def random_flip(pictures, rng) -> np.ndarray:
    """Return pictures (n, C, H, W), each mirrored left to right with chance 1/2.

    A face in the mirror is as old as it was: for the network it is one more face (Krizhevsky et al.
    2012, 4.1).
    """
    flipped = rng.random(len(pictures)) < 0.5
    return np.where(flipped[:, None, None, None], pictures[..., ::-1], pictures)


def random_shift(pictures, rng) -> np.ndarray:
    """Return pictures (n, C, H, W), each moved by up to one cell down and across.

    At the border, the outermost cells are repeated.
    """
    height, width = pictures.shape[2:]
    padded = np.pad(pictures, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    windows = sliding_window_view(padded, (height, width), axis=(2, 3))  # (n, C, 3, 3, H, W)
    down, across = rng.integers(0, 3, (2, len(pictures)))
    return windows[np.arange(len(pictures)), :, down, across]
