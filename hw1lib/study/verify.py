"""Every printed number, computed again from what is recorded.

A recording's ``faces.npz`` says what each network predicted of each face that it was tested on
(``record.each_face``). The tables and pages that follow from it are compared number by number.
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
from itertools import zip_longest
from pathlib import Path

import numpy as np
import pandas as pd

from hw1lib import faces
from hw1lib.checks import FileError
from hw1lib.study.experiment import TARGETS
from hw1lib.study.record import from_each_face, tested_in
from hw1lib.study.runs import KEY, RECORDED

PAGES = ("README.md", "MODEL_CARD.md", "PROTOCOL.md")
KEYS = {  # what tells a row of a table, and the numbers in it that are compared
    "runs": (KEY, ["test", "mae"]),
    "groups": (["experiment", "kind", "group"], ["n", "value", "low", "high"]),
    "confusion": (["experiment", "label", "predicted"], ["n"]),
    "bootstrap": (["first", "second"], ["mean", "low", "high", "p"]),
}
# Another processor may round a sum otherwise: a last digit, or one draw of the bootstrap's 2,000.
LAST_DIGIT, ONE_DRAW = 1.1e-5, 1.1e-3


def verify(folder=RECORDED) -> pd.DataFrame:
    """Return how many numbers of each table and page were compared, and how many ``differ``.

    ``furthest`` is the largest difference that was seen. The pages are those that quote the
    package's own recording, if they lie beside it. FileError: no faces' predictions in the folder.
    """
    folder = Path(folder)
    tables, arrays = read_recording(folder)
    labels = pd.DataFrame({name: arrays[name].astype(int) for name in TARGETS})
    no_features = np.empty((len(labels), 0), np.float32)
    # the groups say who is tested where
    data = faces.Data(no_features, labels, arrays["group"], drawn=False)
    again = from_each_face(tables["runs"], arrays, data)
    rows: dict[str, tuple] = {}
    for name, (key, columns) in KEYS.items():
        known, new = (table.set_index(key)[columns] for table in (tables[name], again[name]))
        rows[name] = compare_tables(known, new)
    other_folds = tested_in(data, tables["runs"]["fold"].unique()) != arrays["fold"]
    rows["folds"] = (len(data), int(other_folds.sum()), np.nan)
    root = Path(__file__).parents[2]
    if folder == RECORDED and (root / "tests" / "pages.py").exists():  # in a checkout
        rows |= {name: (*compare_page(root / name), np.nan) for name in PAGES}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["numbers", "differ", "furthest"])


def read_recording(folder: Path) -> tuple[dict[str, pd.DataFrame], dict[str, np.ndarray]]:
    """Return the tables that follow from the faces' predictions, and the arrays of faces.npz."""
    try:
        with np.load(folder / "faces.npz", allow_pickle=False) as file:
            arrays = dict(file)
    except FileNotFoundError:
        raise FileError(f"the recording in {folder} holds no faces' predictions") from None
    tables = {name: pd.read_csv(folder / f"{name}.csv") for name in KEYS}
    return tables, arrays


def compare_tables(known, new) -> tuple[int, int, float]:
    """Return how many numbers there are, how many differ, and how far."""
    rows = known.index.union(new.index)  # a row that one of them lacks differs
    known, new = known.reindex(rows), new.reindex(rows)
    apart = (known - new).abs()
    allowed = pd.Series({name: ONE_DRAW if name == "p" else LAST_DIGIT for name in known})
    differs = apart.gt(allowed) | (known.isna() != new.isna())
    numbers = known.notna() | new.notna()
    return int(numbers.sum().sum()), int(differs.sum().sum()), float(np.nanmax(apart))


# -- pages ----------------------------------------------------------------------------------------

TABLE = re.compile(r"<!-- \[\[\[cog (.*?) \]\]\] -->\n(.*?)<!-- \[\[\[end\]\]\] -->", re.DOTALL)
NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?")


def compare_page(path: Path) -> tuple[int, int]:
    """Return how many numbers stand in a page's written parts, and how many are to be others."""
    folder = str(Path(__file__).parents[2] / "tests")  # where pages.py is, which writes them
    n = differ = 0
    names: dict = {}
    sys.path.insert(0, folder)
    try:
        for code, text in TABLE.findall(path.read_text("utf-8")):
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(code, names)
            stands, due = NUMBER.findall(text), NUMBER.findall(printed.getvalue())
            n += len(stands)
            others = sum(a != b for a, b in zip_longest(stands, due))
            differ += others or int(text != printed.getvalue())  # a word, then
    finally:
        sys.path.remove(folder)
    return n, differ
