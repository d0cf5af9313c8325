"""What networks are trained on: numbers, labels, folds that keep near-duplicates together."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import pdist
from sklearn.neighbors import radius_neighbors_graph

from hw1lib.checks import UserError, numbers, one_of, real_number, unmasked, whole_number
from hw1lib.faces import standin
from hw1lib.faces.chunks import LABELS, feature_names

N_FOLDS = 10


class Subset(NamedTuple):
    """One part of a split: inputs (n, ...), and the target (n,)."""

    X: np.ndarray
    y: np.ndarray


@dataclass(frozen=True, eq=False)
class Data:
    """Faces as a network takes them: features or small pictures, their labels, their folds.

    ``FaceDataset.features`` and ``.pictures`` return one; ``Data.from_table`` makes one of a table.
    ``dataclasses.replace(data, groups=np.arange(len(data)))`` gives folds that know of no
    near-duplicates.

    Attributes
    ----------
    X : ndarray
        Features, (n, n_features) float32, or pictures, (n, 3, height, width) uint8.
    labels : DataFrame
        ``file, age, gender, race``, one row a face.
    groups : ndarray, (n,)
        As ``near_duplicates`` returns them: faces that share a number stay together in all folds.
    drawn : bool
        The faces are the stand-in's: what is measured on them is no result. By default, their file
        names tell.
    """

    X: np.ndarray
    labels: pd.DataFrame
    groups: np.ndarray
    drawn: bool | None = None

    def __post_init__(self):
        X = unmasked("X", self.X)
        X = X[:] if isinstance(X, np.memmap) else np.array(X)
        groups = np.array(self.groups)
        for array in (X, groups):  # the digest is taken once, and the folds are dealt out once
            array.flags.writeable = False
        object.__setattr__(self, "X", X)
        object.__setattr__(self, "groups", groups)
        # its own, which may be changed; and numbered as the rows of X are
        object.__setattr__(self, "labels", self.labels.reset_index(drop=True))
        if self.drawn is None:
            object.__setattr__(self, "drawn", standin.are_drawn(self.labels["file"]))
        n, n_labels, n_groups = len(self.X), len(self.labels), len(self.groups)
        if not n == n_labels == n_groups:
            rows = f"{n}, {n_labels} and {n_groups}"
            raise ValueError(f"X, labels and groups must have a row for each face, not {rows}")

    @classmethod
    def from_table(cls, table: pd.DataFrame, drawn: bool | None = None) -> Data:
        """Return the data of a table as ``load_features`` returns it.

        Features and labels are told by their names (f000, f001, ...; file, age, gender, race), in
        any order. Whatever else the table holds is no feature.
        """
        features = [name for name in feature_names(table.shape[1]) if name in table.columns]
        missing = sorted(set(LABELS).difference(table.columns))
        if missing or not features or not table.columns.is_unique:
            raise ValueError(
                f"table must have the columns {', '.join(LABELS)} and features f000, f001, ..., "
                f"each once, not {', '.join(map(str, table.columns[:12]))}"
            )
        X = numbers("features", table[features].to_numpy(), "iuf").astype(np.float32)
        return cls(X, table[LABELS], near_duplicates(X), drawn)

    def __len__(self) -> int:
        return len(self.X)

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits of X, labels and groups: other data have others."""
        digest = self._digest_of_inputs.copy()
        for label in LABELS[1:]:
            digest.update(self.labels[label].to_numpy(np.float64).tobytes())
        digest.update(np.asarray(self.groups, np.int64).tobytes())
        return digest.hexdigest()[:16]

    @functools.cached_property
    def _digest_of_inputs(self):
        digest = hashlib.sha256(f"{self.X.shape} {self.X.dtype}".encode())
        digest.update(np.ascontiguousarray(self.X).data)
        return digest

    def __getstate__(self):  # a digest has no place in a pickle
        return {name: part for name, part in vars(self).items() if name != "_digest_of_inputs"}

    @functools.cached_property
    def _dealt(self) -> dict[int, list[tuple[np.ndarray, np.ndarray, np.ndarray]]]:
        return {}  # the folds of each partition: they go to worker processes with the data

    def folds(self, partition: int = 0) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Return row numbers of training, validation and test for each of the ten folds.

        Another ``partition`` draws other folds. They are dealt out once, and read-only.
        """
        dealt = self._dealt.get(partition)
        if dealt is None:
            dealt = folds(self.groups, seed=partition)
            for rows in sum(dealt, ()):
                rows.flags.writeable = False
            self._dealt[partition] = dealt
        return dealt

    def split(self, target, fold: int = 0, partition: int = 0) -> tuple[Subset, ...]:
        """Return the training, validation and test faces of a fold: 81, 9 and 10 %.

        ``target`` is age, gender or race, or a list of them, a column of y each; ``fold`` is one of
        the ten disjoint tests, from 0, the same faces for every target.
        """
        for name in [target] if isinstance(target, str) else target:
            one_of("target", name, LABELS[1:])
        y = self.labels[target].to_numpy()
        if whole_number("fold", fold, 0) >= N_FOLDS:
            raise ValueError(f"fold must be from 0 to {N_FOLDS - 1}, not {fold}")
        parts = self.folds(partition)[fold]
        return tuple(Subset(self.X[rows], y[rows]) for rows in parts)


def near_duplicates(X, closer: float = 0.2) -> np.ndarray:
    """Return a group number for each row, (n,): near-duplicates, and theirs, share one.

    Rows are near-duplicates if their distance is below ``closer`` times the median distance of two
    rows. Between the two there is a gap: on UTKFace distances below a tenth, and above three
    tenths, are many, and few lie between.
    """
    X = numbers("X", X).astype(np.float32, copy=False)
    X = X.reshape(len(X), -1)
    some = X[np.random.default_rng(0).permutation(len(X))[:1000]]
    radius = closer * float(np.median(pdist(some))) if len(X) > 1 else 0.0
    return connected_components(radius_neighbors_graph(X, radius), directed=False)[1]


def label_noise(data: Data) -> dict[str, float]:
    """Return how far the labels of identical pictures differ, and what follows for any model.

    Pictures with the same features are taken to be identical, and the two labels of a pair to be
    independent. These pictures need not be typical of all.

    Returns
    -------
    dict
        - ``near_duplicates``: faces that share their group, identical or not.
        - ``groups`` of identical pictures, ``faces`` in them, and ``pairs``: a group of three makes
          three. Where there are none, all that follows is NaN.
        - ``age_differs``, ``gender_differs``, ``race_differs``: share of the pairs with two labels.
        - ``age_difference``: root mean square over all pairs, years; and ``age_spread``: that of
          one label, ``age_difference / sqrt(2)``, which is the least RMSE, too.
        - ``gender_wrong``, ``race_wrong``: share e of wrong labels, if each of the k - 1 others is
          as likely: two agree with chance (1 - e)^2 + e^2 / (k - 1). The best accuracy is 1 - e.
    """
    near = [group for group in _members(data.groups) if len(group) > 1]
    same = near_duplicates(data.X, closer=1e-3)  # up to rounding
    identical = [group for group in _members(same) if len(group) > 1]
    pairs = [pair for group in identical for pair in combinations(group, 2)]
    first, second = np.array(pairs, int).reshape(-1, 2).T
    noise: dict[str, float] = {
        "near_duplicates": sum(map(len, near)),
        "groups": len(identical),
        "faces": sum(map(len, identical)),
        "pairs": len(pairs),
    }

    def mean(values) -> float:
        return float(np.mean(values)) if len(pairs) else np.nan

    for label, k in {"age": None, "gender": 2, "race": 5}.items():
        values = data.labels[label].to_numpy()
        differs = mean(values[first] != values[second])
        noise[f"{label}_differs"] = differs
        if k is None:
            difference = mean((values[first] - values[second]) ** 2) ** 0.5
            noise |= {"age_difference": difference, "age_spread": difference / 2**0.5}
        else:
            agreement = np.maximum(0, 1 - differs * k / (k - 1))
            noise[f"{label}_wrong"] = float((1 - np.sqrt(agreement)) * (k - 1) / k)
    return noise


def _members(groups) -> list[np.ndarray]:
    """Return the rows of each group."""
    groups, sizes = np.unique(groups, return_inverse=True, return_counts=True)[1:]
    return np.split(np.argsort(groups, kind="stable"), np.cumsum(sizes)[:-1])


def folds(groups, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return row numbers of training, validation and test (81, 9 and 10 %) for each of ten folds.

    The tests are disjoint, and as large as the report's (2,000 of 20,000). Rows of one group stay
    together; ``seed`` draws the order in which they are dealt out.
    """
    groups = np.unique(numbers("groups", groups), return_inverse=True)[1]
    if len(groups) < N_FOLDS:
        raise UserError(f"ten folds need at least {N_FOLDS} faces, not {len(groups)}")
    whole_number("seed", seed, 0)
    # the first number tells the streams apart: NumPy takes [0], [0, 0] and [0, 0, 0] for the same
    n_test, members = round(len(groups) / N_FOLDS), _members(groups)
    tests: list[list[int]] = [[] for _ in range(N_FOLDS)]
    for group in np.random.default_rng([1, seed]).permutation(len(members)):
        rows = members[group].tolist()
        for test in tests:  # the first that has room for all; what finds none is always trained on
            if len(test) + len(rows) <= n_test:
                test += rows
                break
    drawn = []
    for fold, test in enumerate(tests):
        rest = np.setdiff1d(np.arange(len(groups)), test)
        n_validation = max(1, round(len(rest) / 10))
        validation: list[int] = []
        for group in np.random.default_rng([2, seed, fold]).permutation(np.unique(groups[rest])):
            if len(validation) + len(members[group]) <= n_validation:
                validation += members[group].tolist()
        train = np.setdiff1d(rest, validation)
        train = np.random.default_rng([3, seed, fold]).permutation(train)
        if not (test and validation and len(train)):
            raise UserError("too many faces are near-duplicates: a fold would be empty")
        drawn.append((train, np.array(validation), np.array(test)))
    return drawn


def input_scale(X, whitening: float = 0.0, input_rms: float = 1.0) -> np.ndarray:
    """Return what features are divided by to be of a size that a network trains well on.

    Parameters
    ----------
    X : ndarray, (n, n_features)
        Of the training faces, which alone may tell.
    whitening : float
        Each feature is first divided by (its standard deviation) ** whitening: 0 keeps the
        proportions that PCA gives, 1 makes all features equally wide, 0.5 lies between.
    input_rms : float
        Then all are divided by one number, so that their root mean square is this.

    Returns
    -------
    ndarray, (n_features,), float32
        For the config of a ``nn.Network``, which then takes features as they are.
    """
    real_number("whitening", whitening)
    real_number("input_rms", input_rms, above=True)
    std = X.std(axis=0, dtype=np.float64)
    if not std.any():
        raise ValueError("no feature varies over the training part")
    scale = np.where(std > 0, std, 1) ** whitening
    rms = np.sqrt(np.mean((X / scale) ** 2))
    return (scale * rms / input_rms).astype(np.float32)


def rescale(
    train: Subset, *others: Subset, whitening: float = 0.0, input_rms: float = 1.0
) -> tuple[Subset, ...]:
    """Divide the features of all by the ``input_scale`` of the training part.

    Bytes are returned as they are: a network divides them by 255 itself.
    """
    if train.X.dtype == np.uint8:
        return train, *others
    scale = input_scale(train.X, whitening, input_rms)
    return tuple(Subset(X / scale, y) for X, y in (train, *others))


def batches(X, y, batch_size: int = 128, rng=None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Return an iterator over ``(X, y)``, batch by batch; the last one may be smaller.

    A generator ``rng`` shuffles the order of the rows first; the arrays stay as they are.
    """
    if len(X) != len(y):
        raise ValueError(f"X and y must have the same number of rows, not {len(X)} and {len(y)}")
    batch_size = whole_number("batch_size", batch_size)
    order = np.arange(len(X)) if rng is None else rng.permutation(len(X))
    rows = (order[start : start + batch_size] for start in range(0, len(X), batch_size))
    return ((X[batch], y[batch]) for batch in rows)
