"""Every number that the report prints, by the name of the experiment that repeats it."""

from __future__ import annotations

from typing import NamedTuple


class Published(NamedTuple):
    """A number of the report: test RMSE in years, or test accuracy as a share of 1."""

    value: float
    metric: str
    where: str


PUBLISHED = {
    "init/zero": Published(19.1553, "rmse", "Table 2.6"),
    "init/random": Published(14.9987, "rmse", "Table 2.6"),
    "init/xavier": Published(14.9507, "rmse", "Table 2.6"),
    "width/64": Published(14.9183, "rmse", "Table 2.10"),
    "width/32": Published(15.0268, "rmse", "Table 2.10"),
    "width/16": Published(15.033, "rmse", "Table 2.10"),
    "depth/64-32": Published(13.3533, "rmse", "Table 2.14"),
    "depth/64-16": Published(12.9904, "rmse", "Table 2.14"),
    "depth/32-8": Published(13.3757, "rmse", "Table 2.14"),
    "rate/lambda": Published(14.84, "rmse", "Fig. 2.15"),
    "race/8000": Published(0.722, "accuracy", "section 2.2.7"),
}

SPLIT = {"subset": 5000, "pixels": 120_000, "components": 128, "chunk": 1000, "chunks": 20, "batch": 128}
SPLIT |= {"train": 16_200, "validation": 1_800, "test": 2_000}
