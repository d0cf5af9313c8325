"""Every number that the report prints, and what others published."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

import pandas as pd


def read_table(name: str) -> pd.DataFrame:
    """Return a table of this folder as text; its columns stand two spaces apart."""
    path = Path(__file__).with_name(name)
    return pd.read_csv(
        path, sep=r"\s{2,}", comment="#", dtype=str, quoting=csv.QUOTE_NONE, engine="python"
    )


OTHERS = read_table("others.txt").set_index("model")


class Published(NamedTuple):
    """A number of the report: test RMSE in years, or test accuracy as a share of 1."""

    value: float
    metric: str
    where: str


PUBLISHED = {  # by the name of the experiment that repeats it; or see SAME_RUN
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

# Of two rows with the same settings one run is shown, which has one name
SAME_RUN = {
    "init/xavier": "width/64",
    "init/random/reconstructed": "width/64/reconstructed",
    "rate/lambda": "width/64",
}

SPLIT = {"train": 16_200, "validation": 1_800, "test": 2_000, "chunks": 20}

# -- question 2 (chapter 3) -----------------------------------------------------------------------

# Tables 3.7 to 3.9 repeat 3.4 to 3.6 with the cells that pooling selects coloured
TABLES = {
    "3.1": ((2, 1, 3, 3), (1, 6, 2, 5), (1, 4, 5, 2), (6, 6, 5, 3)),  # the picture
    "3.2": (  # and with its padding
        (0, 0, 0, 0, 0, 0),
        (0, 2, 1, 3, 3, 0),
        (0, 1, 6, 2, 5, 0),
        (0, 1, 4, 5, 2, 0),
        (0, 6, 6, 5, 3, 0),
        (0, 0, 0, 0, 0, 0),
    ),
    # outputs of filters 1, 2, 3
    "3.4": ((2, 13, 18, 12), (11, 16, 33, 17), (23, 34, 35, 23), (15, 25, 18, 7)),
    "3.5": ((8, 4, 14, 5), (6, 17, 12, 13), (13, 18, 25, 9), (10, 12, 11, 8)),
    "3.6": ((10, 24, 17, 16), (22, 23, 41, 17), (28, 42, 35, 28), (14, 31, 32, 19)),
    "3.10": ((16, 33), (34, 35)),  # after max pooling
    "3.11": ((17, 14), (18, 25)),
    "3.12": ((24, 41), (42, 35)),
}

# Table 3.3, letter for letter: filter 1's products, window by window, row by row of four; its one
# misprint is in row 2, column 2
_WINDOWS = """
0*0+0*1+0*2 + 0*1+2*0+1*1 + 0*2+1*1+6*0
0*0+0*1+0*2 + 2*1+1*0+3*1 + 1*2+6*1+2*0
0*0+0*1+0*2 + 1*1+3*0+3*1 + 6*2+2*1+5*0
0*0+0*1+0*2 + 3*1+3*0+0*1 + 2*2+5*1+0*0
0*0+2*1+1*2 + 0*1+1*0+6*1 + 0*2+1*1+4*0
2*0+1*1+3*2 + 1*+6*0+2*1 + 1*2+4*1+5*0
1*0+3*1+3*2 + 6*1+2*0+5*1 + 4*2+5*1+2*0
3*0+3*1+0*2 + 2*1+5*0+0*1 + 5*2+2*1+0*0
0*0+1*1+6*2 + 0*1+1*0+4*1 + 0*2+6*1+6*0
1*0+6*1+2*2 + 1*1+4*0+5*1 + 6*2+6*1+5*0
6*0+2*1+5*2 + 4*1+5*0+2*1 + 6*2+5*1+3*0
2*0+5*1+0*2 + 5*1+2*0+0*1 + 5*2+3*1+0*0
0*0+1*1+4*2 + 0*1+6*0+6*1 + 0*2+0*1+0*0
1*0+4*1+5*2 + 6*1+6*0+5*1 + 0*2+0*1+0*0
4*0+5*1+2*2 + 6*1+5*0+3*1 + 0*2+0*1+0*0
5*0+2*1+0*2 + 5*1+3*0+0*1 + 0*2+0*1+0*0
"""
_CELLS = _WINDOWS.strip().split("\n")
TABLE_3_3 = [_CELLS[row : row + 4] for row in range(0, 16, 4)]
