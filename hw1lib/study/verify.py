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
from hw1lib.study.comparisons import bootstrap, errors_by_label, fold_differences
from hw1lib.study.experiments import TARGETS
from hw1lib.study.runs import face_errors
from hw1lib.study.training import score

RECORDED = Path(__file__).with_name("recorded")
PAGES = ("README.md", "MODEL_CARD.md", "PROTOCOL.md")
KEYS = {  # what tells a row of a table, and the numbers in it that are compared
    "runs": (["experiment", "fold", "seed"], ["test", "mae"]),
    "groups": (["experiment", "kind", "group"], ["n", "value", "low", "high"]),
    "confusion": (["experiment", "label", "predicted"], ["n"]),
    "bootstrap": (["first", "second"], ["mean", "low", "high", "p"]),
}
# Ages are recorded in hundredths of a year. What this may change in a number is seen by moving the
# predictions at random by as much, five times; it may differ by 20 times the largest of these moves
# (of 6,000 numbers, one exceeds that by chance in one of 200 cases), and by its own last digit.
# A difference has two sides: it may differ by twice the largest move of one network's result. Its p
# value is twice the share of the bootstrap's draws on one side of 0. If all move by d, that changes
# by less than 4 d over the interval's length (of normal draws); and three of 2,000 may lie near 0.
ROUNDING, MOVES, TIMES, LAST_DIGIT, P_VALUE = 0.005, 5, 20, 1.1e-5, 0.003


def verify(folder=RECORDED) -> pd.DataFrame:
    """Return how many numbers of each table and page were compared, and how many ``differ``.

    ``furthest`` is the largest difference that was seen, ``rounding`` the largest that the rounding
    of the recorded predictions made when it was tried. The pages are those that quote the
    package's own recording, if they lie beside it.

    Raises
    ------
    FileError
        If the recording holds no faces' predictions.
    """
    folder = Path(folder)
    tables, arrays = read_recording(folder)
    labels = pd.DataFrame({name: arrays[name].astype(int) for name in TARGETS})
    no_features = np.empty((len(labels), 0), np.float32)
    # the groups say who is tested where
    data = faces.Data(no_features, labels, arrays["group"], drawn=False)
    again = recompute(tables, arrays, data)
    moved = [runs_again(tables["runs"], arrays, data, ROUNDING, seed) for seed in range(MOVES)]
    moves = {"runs": moved, "groups": [groups_again(tables["groups"], r, data) for r in moved]}
    rows: dict[str, tuple] = {}
    for name, (key, columns) in KEYS.items():
        known, new = (table.set_index(key)[columns] for table in (tables[name], again[name]))
        others = [table.set_index(key)[columns] for table in moves.get(name, [])]
        least = pd.DataFrame(0.0, known.index, columns)
        if name == "bootstrap":
            least[:] = 2 * rows["runs"][3]
            least["p"] = P_VALUE + 4 * least["p"] / (known["high"] - known["low"])
        rows[name] = compare_tables(known, new, others, least)
    in_fold = np.full(len(data), -1)
    for fold in tables["runs"]["fold"].unique():
        in_fold[data.folds()[fold][2]] = fold
    rows["folds"] = (len(data), int((in_fold != arrays["fold"]).sum()), np.nan, np.nan)
    root = Path(__file__).parents[2]
    for name in PAGES:
        if folder == RECORDED and (root / "tests" / "pages.py").exists() and (root / name).exists():
            rows[name] = (*compare_page(root / name), np.nan, np.nan)
    columns = ["numbers", "differ", "furthest", "rounding"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def read_recording(folder: Path) -> tuple[dict[str, pd.DataFrame], dict[str, np.ndarray]]:
    """Return the tables that follow from the faces' predictions, and the arrays of faces.npz."""
    try:
        with np.load(folder / "faces.npz", allow_pickle=False) as file:
            arrays = dict(file)
    except FileNotFoundError:
        raise FileError(f"the recording in {folder} holds no faces' predictions") from None
    tables = {name: pd.read_csv(folder / f"{name}.csv") for name in KEYS}
    runs = tables["runs"]
    needed = {*TARGETS, "group", "fold", *(runs["experiment"] + ":" + runs["seed"].astype(str))}
    if missing := needed - arrays.keys():
        raise FileError(f"{folder / 'faces.npz'} holds no {', '.join(sorted(missing))}")
    return tables, arrays


def runs_again(runs, arrays, data, moved: float = 0.0, seed: int = 0) -> pd.DataFrame:
    """Return the runs as each face's prediction has them, moved by up to so many years."""
    rng = np.random.default_rng(seed)
    rows = []
    for run in runs.itertuples():
        test = data.folds()[run.fold][2]
        predicted = arrays[f"{run.experiment}:{run.seed}"][test].astype(float)
        if run.target == "age":
            predicted = predicted / 100 + rng.uniform(-moved, moved, len(test))
        result = score(run.target, data.labels[run.target].to_numpy()[test], predicted)
        rows.append({**result, "predicted": predicted})
    return runs.drop(columns=["test", "mae"]).join(pd.DataFrame(rows))


def groups_again(groups, runs, data) -> pd.DataFrame:
    """Return the results by group of faces."""
    tables = []
    for name in groups["experiment"].unique():
        target = runs.loc[runs["experiment"] == name, "target"].iloc[0]
        tested = face_errors(runs, name, data)
        tables.append(errors_by_label(tested, target).assign(experiment=name))
    return pd.concat(tables)


def recompute(tables, arrays, data) -> dict[str, pd.DataFrame]:
    """Return all tables again."""
    runs = runs_again(tables["runs"], arrays, data)
    target = runs.drop_duplicates("experiment").set_index("experiment")["target"]
    confusion, intervals = [], []
    for name in tables["confusion"]["experiment"].unique():
        tested = face_errors(runs[runs["seed"] == 0], name, data)
        counts = tested.groupby(["race", "predicted"]).size().rename("n").reset_index()
        confusion.append(counts.rename(columns={"race": "label"}).assign(experiment=name))
    for pair in tables["bootstrap"][["first", "second"]].to_numpy().tolist():
        mean = fold_differences(runs, *pair).mean()
        first, second = (face_errors(runs, name, data) for name in pair)
        intervals.append((*pair, mean, *bootstrap(first, second, target[pair[0]])))
    return {
        "runs": runs,
        "groups": groups_again(tables["groups"], runs, data),
        "confusion": pd.concat(confusion),
        "bootstrap": pd.DataFrame(intervals, columns=tables["bootstrap"].columns),
    }


def compare_tables(known, new, moved=(), least=0.0) -> tuple[int, int, float, float]:
    """Return how many numbers there are, how many differ, how far, and how far rounding moves.

    ``moved`` are tables like ``new`` with moved predictions; numbers may differ by ``least``.
    """
    rows = known.index.union(new.index)  # a row that one of them lacks differs
    known, new = known.reindex(rows), new.reindex(rows)
    moves = pd.DataFrame(0.0, rows, known.columns)
    for table in moved:
        moves = np.maximum(moves, (table.reindex(rows) - new).abs().fillna(0))
    apart = (known - new).abs()
    differs = (apart > TIMES * moves + LAST_DIGIT + least) | (known.isna() != new.isna())
    numbers = known.notna() | new.notna()
    furthest = np.nanmax(apart.to_numpy(float))
    return int(numbers.sum().sum()), int(differs.sum().sum()), float(furthest), moves.max().max()


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
