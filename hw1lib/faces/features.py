"""The table of features (report, 2.1): read back from CSV chunks, split into three parts, scaled, cut into batches."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import pdist
from sklearn.neighbors import radius_neighbors_graph

from hw1lib.checks import mendable, one_of, real_number, whole_number

LABELS = ["file", "age", "gender", "race"]
AGAIN = "delete the folder and export it again"


def feature_names(n: int) -> list[str]:
    """Return the columns f000, f001, ..."""
    return [f"f{i:03d}" for i in range(n)]


def chunk_names(n: int) -> list[str]:
    """Return the files of n chunks, chunk_00.csv, chunk_01.csv, ..."""
    digits = max(2, len(str(n - 1)))
    return [f"chunk_{i:0{digits}d}.csv" for i in range(n)]


def load_features(folder) -> pd.DataFrame:
    """Read all chunks of a folder into one table: file, age, gender, race, then the features as float32.

    Raises
    ------
    FileNotFoundError
        If the folder holds no chunk.
    ValueError
        Naming the file and the line, if a chunk is not as `Preprocessor.export` writes it, or a missing chunk.
    """
    files = sorted(Path(folder).glob("chunk_*.csv"))
    if not files:
        raise mendable(
            FileNotFoundError(f"there is no chunk_*.csv in {folder}: Preprocessor.export(ds, folder) writes them")
        )
    for file, name in zip(files, chunk_names(len(files)), strict=True):
        if file.name != name:
            raise mendable(ValueError(f"{folder} should hold {name} before {file.name}; {AGAIN}"))
    chunks: list[pd.DataFrame] = []
    for file in files:
        chunk = _read_chunk(file)
        first = chunks[0] if chunks else chunk
        if len(chunk.columns) != len(first.columns):
            raise mendable(ValueError(f"{file}, line 1: not the columns of {files[0].name}; {AGAIN}"))
        if len(chunk) > len(first) or (len(chunk) < len(first) and file != files[-1]):
            raise mendable(
                ValueError(f"{file} ends at line {len(chunk) + 1}, {files[0].name} at {len(first) + 1}; {AGAIN}")
            )
        chunks.append(chunk)
    return pd.concat(chunks, ignore_index=True)


def _read_chunk(file: Path) -> pd.DataFrame:
    header, *lines = file.read_bytes().split(b"\n")
    columns = LABELS + feature_names(max(1, header.count(b",") + 1 - len(LABELS)))
    names, numbers = [], np.zeros((len(lines), len(columns) - 1))
    n_line = 1
    try:
        if header != ",".join(columns).encode():
            raise ValueError("it must be file,age,gender,race,f000,f001,...")
        for n_line, line in enumerate(lines[:-1], start=2):
            name, *fields = line.decode().split(",")
            if len(fields) != len(columns) - 1:
                raise ValueError(f"{len(fields) + 1} fields, but {len(columns)} columns")
            names.append(name)
            numbers[n_line - 2] = list(map(float, fields))
        wrong = ~(np.abs(numbers) <= np.finfo(np.float32).max)  # NaN is wrong, too
        wrong[:, : len(LABELS) - 1] |= numbers[:, : len(LABELS) - 1] % 1 != 0
        for row, column in np.argwhere(wrong)[:1]:
            n_line = row + 2
            raise ValueError(f"{columns[column + 1]} is {numbers[row, column]}")
        n_line = len(lines) + 1
        if not names or lines[-1]:  # nothing follows the last line break
            raise ValueError("the file is cut")
    except ValueError as error:
        raise mendable(ValueError(f"{file}, line {n_line}: {error}; {AGAIN}")) from error
    labels, features = np.split(numbers[:-1], [len(LABELS) - 1], axis=1)
    chunk = pd.DataFrame(features.astype(np.float32), columns=columns[len(LABELS) :])
    for i, label in enumerate(LABELS[1:]):
        chunk.insert(i, label, labels[:, i].astype(np.int64))
    chunk.insert(0, "file", pd.Series(names, dtype="string"))
    return chunk


def near_duplicates(X, closer: float = 0.2) -> np.ndarray:
    """Return a group number for each row, (n,): near-duplicates, and theirs, share one.

    Rows are near-duplicates if their distance is below ``closer`` times the median distance of two rows. Between the
    two there is a gap: on UTKFace distances below a tenth, and above three tenths, are many, and few lie between.

    Parameters
    ----------
    X : array_like, (n, n_features)
    closer : float
    """
    X = np.asarray(X, np.float32)
    some = X[np.random.default_rng(0).permutation(len(X))[:1000]]
    radius = closer * float(np.median(pdist(some))) if len(X) > 1 else 0.0
    return connected_components(radius_neighbors_graph(X, radius), directed=False)[1]


def label_noise(table: pd.DataFrame) -> dict[str, float]:
    """Return how far the labels of identical pictures differ, and what follows for any model that is tested on them.

    The pictures need not be typical of all, and the two labels of a pair are taken to be independent.

    Parameters
    ----------
    table : DataFrame
        As ``load_features`` returns it: pictures with the same features are identical.

    Returns
    -------
    dict
        - ``near_duplicates``: faces that have one, identical or not.
        - ``groups`` of identical pictures, ``faces`` in them, and ``pairs``: a group of three makes three.
        - ``age_differs``, ``gender_differs``, ``race_differs``: share of the pairs with two labels.
        - ``age_difference``: root mean square over all pairs, years.
        - ``age_spread``: standard deviation of one label, ``age_difference / sqrt(2)``. It is the least RMSE, too.
        - ``gender_wrong``, ``race_wrong``: share of wrong labels, if each is wrong with one chance e, and then any of
          the k - 1 others: two agree with chance (1 - e)^2 + e^2 / (k - 1). The best accuracy is 1 - e.

        All but the counts are NaN where no two pictures are identical.
    """
    X = table.iloc[:, len(LABELS) :]
    near, identical = (_members(near_duplicates(X, closer)) for closer in (0.2, 1e-3))  # identical up to rounding
    members = [group for group in identical if len(group) > 1]
    pairs = np.array([pair for group in members for pair in combinations(group, 2)], int).reshape(-1, 2)
    found: dict[str, float] = {"near_duplicates": sum(len(group) for group in near if len(group) > 1)}
    found |= {"groups": len(members), "faces": sum(map(len, members)), "pairs": len(pairs)}
    for label in LABELS[1:]:
        first, second = table[label].to_numpy()[pairs.T]
        found[f"{label}_differs"] = differs = float(np.mean(first != second)) if len(pairs) else np.nan
        if label == "age":
            found["age_difference"] = float(np.sqrt(np.mean((first - second) ** 2))) if len(pairs) else np.nan
            found["age_spread"] = found["age_difference"] / 2**0.5
        else:
            k = 2 if label == "gender" else 5
            found[f"{label}_wrong"] = float((1 - np.sqrt(np.maximum(0, 1 - differs * k / (k - 1)))) * (k - 1) / k)
    return found


def _members(groups) -> list[np.ndarray]:
    """Return the rows of each group, by its number."""
    order = np.argsort(groups, kind="stable")
    return np.split(order, np.cumsum(np.bincount(groups))[:-1])


class Part(NamedTuple):
    """One part of a split: features float32 (n, n_features), and the target (n,)."""

    X: np.ndarray
    y: np.ndarray


def folds(groups, n_folds: int = 10, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return row numbers of training, validation and test (81, 9 and 10 % of the rows) for each fold.

    The tests are disjoint, and as large as the report's (2,000 of 20,000). Rows of one group stay together.

    Parameters
    ----------
    groups : array_like, (n,)
        As ``near_duplicates`` returns them.
    n_folds : int
        At most 10.
    seed : int
        Draws the order in which groups are dealt out.
    """
    groups = np.unique(np.asarray(groups), return_inverse=True)[1]
    if len(groups) < 10:
        raise mendable(ValueError(f"ten folds need at least 10 faces, not {len(groups)}"))
    if whole_number("n_folds", n_folds) > 10:
        raise ValueError(f"n_folds must be at most 10, not {n_folds}")
    n_test, members = round(len(groups) / 10), _members(groups)
    order = np.random.default_rng([whole_number("seed", seed, 0)]).permutation(len(members))
    tests: list[list[int]] = [[] for _ in range(10)]
    for group in order:  # to the first test that has room for all of it; what finds none is always trained on
        room = next((test for test in tests if len(test) + len(members[group]) <= n_test), None)
        if room is not None:
            room += members[group].tolist()
    found = []
    for fold, test in enumerate(tests[:n_folds]):
        rest = np.setdiff1d(np.arange(len(groups)), test)
        validation: list[int] = []
        for group in np.random.default_rng([seed, fold]).permutation(np.unique(groups[rest])):
            if len(validation) + len(members[group]) <= max(1, round(len(rest) / 10)):
                validation += members[group].tolist()
        train = np.random.default_rng([seed, fold, 1]).permutation(np.setdiff1d(rest, validation))
        if not (test and validation and len(train)):
            raise mendable(ValueError("too many faces are near-duplicates of each other: a fold would be empty"))
        found.append((train, np.array(validation), np.array(test)))
    return found


def split_rows(table: pd.DataFrame, fold: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the rows of a table that ``split`` puts into training, validation and test."""
    if whole_number("fold", fold, 0) > 9:
        raise ValueError(f"fold must be from 0 to 9, not {fold}")
    return folds(near_duplicates(table.iloc[:, len(LABELS) :]))[fold]


def split(table: pd.DataFrame, target: str, fold: int = 0, rows=None) -> tuple[Part, Part, Part]:
    """Split a table of features into training, validation and test: 81, 9 and 10 %, near-duplicates kept together.

    Parameters
    ----------
    table : DataFrame
        As ``load_features`` returns it.
    target : {"age", "gender", "race"}
    fold : int
        Which of the ten disjoint tests, from 0; ``split_rows(table, fold)`` tells the rows. The same for every target.
    rows : (array_like, array_like, array_like), optional
        The three parts' rows, as ``folds`` returns them, where they are known: finding them again takes a second.

    Returns
    -------
    train, validation, test : Part
        Each a pair ``X, y``.
    """
    one_of("target", target, LABELS[1:])
    X = table.iloc[:, len(LABELS) :].to_numpy(np.float32)
    y = table[target].to_numpy()
    train, validation, test = (Part(X[part], y[part]) for part in (split_rows(table, fold) if rows is None else rows))
    return train, validation, test


def rescale(train: Part, *others: Part, whitening: float = 0.0, input_rms: float = 1.0) -> tuple[Part, ...]:
    """Bring the features to a size that a network trains well on, with numbers taken from the training part alone.

    Parameters
    ----------
    train, *others : Part
    whitening : float
        Each feature is first divided by (its standard deviation) ** whitening: 0 keeps the proportions that PCA gives,
        1 makes all features equally wide, 0.5 lies between.
    input_rms : float
        Then all are divided by one number, so that their root mean square over the training part is this.
    """
    real_number("whitening", whitening)
    real_number("input_rms", input_rms, above=True)
    std = train.X.std(axis=0, dtype=np.float64)
    if not std.any():
        raise ValueError("no feature varies over the training part")
    scale = np.where(std > 0, std, 1) ** whitening
    scale = (scale * np.sqrt(np.mean((train.X / scale) ** 2)) / input_rms).astype(np.float32)
    return tuple(Part(part.X / scale, part.y) for part in (train, *others))


def batches(X, y, batch_size: int = 128, rng=None):
    """Return an iterator over ``(X, y)``, batch by batch; the last is smaller where the rows don't come out even.

    Parameters
    ----------
    X : ndarray, (n, n_features)
    y : ndarray, (n,) or (n, k)
    batch_size : int
    rng : numpy.random.Generator, optional
        Shuffles the rows first (a shuffled order: the arrays stay as they are).
    """
    if len(X) != len(y):
        raise ValueError(f"X and y must have the same number of rows, not {len(X)} and {len(y)}")
    batch_size = whole_number("batch_size", batch_size)
    order = np.arange(len(X)) if rng is None else rng.permutation(len(X))
    rows = (order[start : start + batch_size] for start in range(0, len(X), batch_size))
    return ((X[batch], y[batch]) for batch in rows)
