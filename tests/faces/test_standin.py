"""The embedded stand-in: what it writes is reproducible, and its faces show their labels."""

import hashlib

import numpy as np
import pandas as pd
import pytest
from made_faces import opened
from sklearn.linear_model import Ridge, RidgeClassifier

from hw1lib.faces import near_duplicates, standin


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def thirty(tmp_path_factory):
    return standin.make(tmp_path_factory.mktemp("faces") / "thirty", 30, n_jobs=1, progress=False)


def test_same_bytes_with_two_workers_and_for_a_prefix(thirty, tmp_path, monkeypatch):
    monkeypatch.setattr(standin, "BATCH", 7)  # several calls a worker, unlike the fixture's one
    two = contents(standin.make(tmp_path / "two", 30, n_jobs=2, progress=False))
    prefix = contents(standin.make(tmp_path / "prefix", 11, n_jobs=1, progress=False))
    assert two == contents(thirty)
    assert len(prefix) == 11
    assert prefix.items() <= two.items()


def test_faces_are_the_same_bytes_in_every_release():
    """Raise standin.VERSION when they change, so that nobody goes on with a mixture."""
    digest = hashlib.sha256()
    for index in range(40):
        picture, labels = standin.draw_face(np.uint16(index), np.int64(3))
        assert labels == standin.draw_labels(index, 3)
        digest.update(picture.tobytes())
        digest.update(standin.file_name(index, labels).encode())
    assert (standin.VERSION, digest.hexdigest()[:16]) == (2, "1d9374b62125dc41")


def test_labels_have_the_frequencies_of_utkface_and_repeats_differ_as_often():
    labels = pd.DataFrame([standin.draw_labels(i) for i in range(20_000)])
    assert labels.age.agg(["mean", "std"]).tolist() == pytest.approx([33.3, 19.9], abs=0.5)
    assert (labels.age.min(), labels.age.mode()[0]) == (1, 26)
    assert 100 < labels.age.max() <= 116
    shares = {"gender": [0.523, 0.477], "race": [0.425, 0.191, 0.145, 0.168, 0.071]}
    for name, expected in shares.items():
        assert np.bincount(labels[name]) / 20_000 == pytest.approx(expected, abs=0.012)
    names = [standin.file_name(i, {"age": 7, "gender": 1, "race": 4}) for i in range(20_000)]
    assert len(set(names)) == 20_000
    first = np.array([standin._first(i, 0) for i in range(20_000)])
    members = np.bincount(first)
    assert members[members > 1].sum() / 20_000 == pytest.approx(1383 / 20_002, abs=0.008)
    again = np.flatnonzero(first != np.arange(20_000))
    difference = labels.to_numpy()[again] - labels.to_numpy()[first[again]]
    assert np.mean(difference != 0, axis=0) == pytest.approx([0.55, 0.095, 0.19], abs=0.05)
    assert np.sqrt(np.mean(difference[:, 0] ** 2)) == pytest.approx(7.5, abs=0.8)


def test_some_files_are_set_aside_noted_and_identical(tmp_path):
    ds = opened(standin.make(tmp_path / "faces", 100, seed=4, progress=False))
    labels = pd.DataFrame([standin.draw_labels(i, 4) for i in range(100)])
    read = ds.labels.sort_values("file", key=lambda names: names.str.split("_").str[3])
    assert read[["age", "gender", "race"]].to_numpy().tolist() == labels.to_numpy().tolist()
    assert ds.skipped["reason"].tolist() == ["no race label in its name"]
    odd = {name.split("_")[3] for name in ds.notes["file"]}
    assert odd == {"20170101000137097 .jpg.chip.jpg", "20170101000138098jpg.chip.jpg"}
    assert len({*contents(ds.folder).values()}) == 98  # two faces repeat another


def test_a_complete_folder_is_returned_and_any_other_left_alone(thirty, monkeypatch, tmp_path):
    (tmp_path / "empty").mkdir()
    assert len(contents(standin.make(tmp_path / "empty", 2, n_jobs=1, progress=False))) == 2
    monkeypatch.setattr(standin, "_draw_files", None)  # calling it would fail
    before = contents(thirty)
    assert standin.make(str(thirty), 30, n_jobs=1, progress=False) == thirty
    for n_faces, seed in ((29, 0), (31, 0), (30, 1)):  # the last would have other names only
        with pytest.raises(ValueError, match="must be new, empty, or hold"):
            standin.make(thirty, n_faces, seed, progress=False)
    for bad in ((0, 0), (30, -1)):
        with pytest.raises(ValueError, match="must be a whole number"):
            standin.make(thirty, *bad, progress=False)
    assert contents(thirty) == before


def test_faces_show_their_labels_and_repeats_are_near_duplicates():
    faces = [standin.draw_face(i, seed=1) for i in range(600)]
    X = np.array([np.asarray(picture.reduce(20), float).ravel() for picture, _ in faces])
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    labels = pd.DataFrame([labels for _, labels in faces])
    train, test = slice(450), slice(450, None)
    age = labels.age.to_numpy(float)
    predicted = Ridge(300).fit(X[train], age[train]).predict(X[test])
    errors = age[test] - predicted, age[test] - age[train].mean()
    assert np.std(errors[0]) < 0.93 * np.std(errors[1])
    for name, margin in (("race", 0.12), ("gender", 0.08)):
        y = labels[name].to_numpy()
        accuracy = RidgeClassifier(300).fit(X[train], y[train]).score(X[test], y[test])
        assert accuracy > np.bincount(y[test]).max() / 150 + margin
    first = np.array([standin._first(i, 1) for i in range(600)])
    groups, identical = near_duplicates(X), near_duplicates(X, 1e-3)
    assert np.array_equal(groups, groups[first])
    assert groups.max() + 1 == len(set(first))
    # some are repeated byte for byte, some are not
    assert len(set(groups)) < len(set(identical)) < 600
