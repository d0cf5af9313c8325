"""The faces of one archive that train, and those of another that test: one split, no folds."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import pdist
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from hw1lib import faces
from hw1lib.checks import UserError
from hw1lib.faces.pictures import SIZE
from hw1lib.faces.preprocess import BLOCK_FACES, Preprocessor

CLOSER = 0.2  # near-duplicates are closer than so many median distances, as for faces.folds
WATCHED = 200  # training faces whose error stands in a network's curve; nothing depends on them


@dataclass(frozen=True, eq=False)
class OneSplit(faces.Data):
    """Data with one fold: the first ``n_train`` faces train, all of them, and the others test."""

    n_train: int = 0

    def folds(self, partition: int = 0):
        """Return the one: its validation faces are some of those that train."""
        rows = np.arange(len(self))
        return [(rows[: self.n_train], rows[: self.n_train][:WATCHED], rows[self.n_train :])]

    @property
    def fingerprint(self) -> str:
        """As of all Data; another split, or the ten folds of the same faces, have another one."""
        text = f"one split {super().fingerprint} {self.n_train} {WATCHED}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class TwoArchives:
    """The faces of two data sets: those that train, and those of the other that may test.

    ``study.run`` takes it in place of a FaceDataset.

    Attributes
    ----------
    rows : ndarray
        Which faces of ``test`` are tested: no near-duplicate of theirs, or of their mirror image,
        trains, nor one of what is a near-duplicate of theirs in ``test``.
    groups : ndarray
        Of these faces: near-duplicates, mirrored or not, share a number.
    left_out : dict
        How many faces of ``test`` are not tested, for each reason.
    """

    def __init__(self, train: faces.FaceDataset, test: faces.FaceDataset):
        self.train, self.test = train, test
        X = train.features().X
        radius = duplicate_radius(X)
        preprocessor = train.preprocessor()
        known, seen = NearestNeighbors(radius=radius).fit(X), _features(preprocessor, test)
        own, turned = NearestNeighbors(radius=radius).fit(seen), _features(preprocessor, test, True)

        def in_training(features):
            return known.radius_neighbors_graph(features).getnnz(axis=1) > 0

        near, mirrored = in_training(seen), in_training(turned)
        among_themselves = own.radius_neighbors_graph(seen) + own.radius_neighbors_graph(turned)
        groups = connected_components(among_themselves, directed=False)[1]
        out = np.isin(groups, groups[near | mirrored])
        self.rows = np.flatnonzero(~out)
        self.groups = groups[self.rows]
        self.left_out = {
            "near-duplicate of a training face": int(near.sum()),
            "near-duplicate of a training face's mirror image": int((mirrored & ~near).sum()),
            "near-duplicate of one of these": int((out & ~near & ~mirrored).sum()),
        }
        if len(self.rows) < 2:
            raise UserError(f"{len(self.rows)} faces are left to test: all others are in training")

    def features(self, normalizer="standard", fit_on=None, progress=True) -> OneSplit:
        """Return the features of all: normaliser and PCA are fitted on the training faces."""
        X = _features(self.train.preprocessor(normalizer, fit_on, progress), self.test)[self.rows]
        return self._together(self.train.features(normalizer, fit_on, progress), X)

    def pictures(self, cell: int = 4, margin: int = 0, progress: bool = True) -> OneSplit:
        """Return all as small pictures."""
        X = self.test.pictures(cell, margin, progress).X[self.rows]
        return self._together(self.train.pictures(cell, margin, progress), X)

    def _together(self, train: faces.Data, X) -> OneSplit:
        labels = pd.concat([train.labels, self.test.labels.iloc[self.rows]], ignore_index=True)
        groups = np.concatenate([train.groups, train.groups.max() + 1 + self.groups])
        X = np.concatenate([train.X, X])
        return OneSplit(X, labels, groups, self.train.drawn or self.test.drawn, len(train))


def duplicate_radius(X) -> float:
    """Return the distance below which ``faces.near_duplicates`` takes rows of X for duplicates."""
    some = X[np.random.default_rng(0).permutation(len(X))[:1000]]
    return CLOSER * float(np.median(pdist(some)))


def _features(preprocessor: Preprocessor, ds: faces.FaceDataset, mirrored: bool = False):
    blocks = []
    with threadpool_limits(1, "blas"):  # as the training faces' features are made
        for start in range(0, len(ds), BLOCK_FACES):
            images = ds.images(slice(start, start + BLOCK_FACES))
            if mirrored:
                images = images.reshape(-1, SIZE, SIZE, 3)[:, :, ::-1].reshape(images.shape)
            blocks.append(preprocessor.transform(images))
    return np.concatenate(blocks)
