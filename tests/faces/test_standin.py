"""The embedded stand-in: what it writes is reproducible, and its faces show their labels."""

import hashlib
import re

import numpy as np
import pytest
from made_faces import opened

from hw1lib.faces import near_duplicates, standin

NAME = re.compile(r"(\d+)_([01])_([0-4])_(\d{17})\.jpg\.chip\.jpg")


def contents(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir()}


@pytest.fixture(scope="module")
def thirty(tmp_path_factory):
    return standin.make(tmp_path_factory.mktemp("faces") / "thirty", 30, n_jobs=1, progress=False)


@pytest.fixture(scope="module")
def labels():
    return [standin.draw_labels(i) for i in range(20_000)]


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
        digest.update(picture.tobytes())
        digest.update(standin.file_name(index, labels).encode())
    assert (standin.VERSION, digest.hexdigest()[:16]) == (2, "1d9374b62125dc41")


def test_a_face_depends_on_seed_and_index_alone():
    picture, labels = standin.draw_face(5, seed=3)
    np.random.seed(0)  # noqa: NPY002 the global generator must not matter
    standin.draw_face(6, seed=3)
    again, labels_again = standin.draw_face(5, seed=3)
    assert picture.tobytes() == again.tobytes()
    assert labels == labels_again == standin.draw_labels(5, seed=3)
    for index, seed in ((5, 4), (6, 3), (3, 5)):
        assert standin.draw_face(index, seed)[0].tobytes() != picture.tobytes()


def test_names_match_the_labels_and_differ(thirty):
    found = [NAME.fullmatch(name) for name in contents(thirty)]
    assert all(found)
    named = sorted(tuple(map(int, match.groups()[:3])) for match in found)
    drawn = [standin.draw_face(i)[1] for i in range(30)]
    assert named == sorted((face["age"], face["gender"], face["race"]) for face in drawn)
    same = {"age": 7, "gender": 1, "race": 4}
    times = [standin.file_name(i, same) for i in range(20_000)]
    assert len(set(times)) == 20_000
    assert times[0].startswith("7_1_4_")
    odd = [i for i, name in enumerate(times) if not NAME.fullmatch(name)]
    assert odd == [97, 98]  # a space, and a dot missing


def test_labels_have_the_frequencies_of_utkface(labels):
    age, gender, race = (
        np.array([face[key] for face in labels]) for key in ("age", "gender", "race")
    )
    assert age.min() == 1
    assert 100 < age.max() <= 116
    assert age.mean() == pytest.approx(33.3, abs=0.5)
    assert age.std() == pytest.approx(19.9, abs=0.4)
    assert np.bincount(age).argmax() == 26
    assert np.mean(age == 1) == pytest.approx(0.048, abs=0.006)
    assert np.bincount(gender) / len(gender) == pytest.approx([0.523, 0.477], abs=0.012)
    assert np.bincount(race) / len(race) == pytest.approx(
        [0.425, 0.191, 0.145, 0.168, 0.071], abs=0.012
    )


def test_some_files_are_set_aside_noted_and_identical(tmp_path):
    ds = opened(standin.make(tmp_path / "faces", 100, seed=4, progress=False))
    assert len(ds) == 100
    assert ds.skipped["reason"].tolist() == ["no race label in its name"]
    odd = {name.split("_")[3] for name in ds.notes["file"]}
    assert odd == {"20170101000137097 .jpg.chip.jpg", "20170101000138098jpg.chip.jpg"}
    contents = {(ds.folder / name).read_bytes() for name in ds.labels["file"]}
    assert len(contents) == 98  # two faces repeat another
    assert standin.make(tmp_path / "faces", 100, seed=4, progress=False) == ds.folder  # is complete


def test_faces_repeat_and_labels_differ_as_often_as_utkfaces(labels):
    first = np.array([standin._first(i, 0) for i in range(20_000)])
    members = np.bincount(first)
    assert members[members > 1].sum() / 20_000 == pytest.approx(1383 / 20_002, abs=0.008)
    assert np.sum(members == 3) > 10
    pairs = [
        [[*labels[face].values()] for face in (i, first[i])]
        for i in np.flatnonzero(first != np.arange(20_000))
    ]
    difference = np.diff(pairs, axis=1)[:, 0]  # (n, 3): age, gender, race
    assert np.mean(difference != 0, axis=0) == pytest.approx([0.55, 0.095, 0.19], abs=0.05)
    assert np.sqrt(np.mean(difference[:, 0] ** 2)) == pytest.approx(7.5, abs=0.8)


def test_complete_folder_is_returned_as_it_is(thirty, monkeypatch):
    monkeypatch.setattr(standin, "_draw_files", None)  # calling it would fail
    before = {p.name: p.stat().st_mtime_ns for p in thirty.iterdir()}
    assert standin.make(str(thirty), 30, n_jobs=1, progress=False) == thirty
    assert before == {p.name: p.stat().st_mtime_ns for p in thirty.iterdir()}


def test_folder_with_something_else_is_left_alone(thirty, tmp_path):
    before = contents(thirty)
    for n_faces, seed in ((29, 0), (31, 0), (30, 1)):  # the last would have other names only
        with pytest.raises(ValueError, match="must be new, empty, or hold"):
            standin.make(thirty, n_faces, seed, progress=False)
    assert contents(thirty) == before
    empty = tmp_path / "empty"
    empty.mkdir()
    assert len(contents(standin.make(empty, 2, n_jobs=1, progress=False))) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_faces": 0}, "n_faces must be a whole number >= 1"),
        ({"n_faces": 2.5}, "n_faces must be"),
        ({"seed": -1}, "seed must be a whole number >= 0"),
        ({"n_jobs": 0}, "n_jobs == 0"),
    ],
)
def test_bad_arguments_are_named(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        standin.make(tmp_path / "faces", **{"n_faces": 1, "progress": False, **arguments})
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def tiny_faces():
    """Draw 600 faces, 10 x 10 pixels each: (600, 300) standardised features, and their labels."""
    faces = [standin.draw_face(i, seed=1) for i in range(600)]
    X = np.array([np.asarray(picture.reduce(20), float).ravel() for picture, _ in faces])
    return (X - X.mean(axis=0)) / X.std(axis=0), [labels for _, labels in faces]


def test_repeats_are_found_as_near_duplicates_and_nothing_else(tiny_faces):
    X, _ = tiny_faces
    first = np.array([standin._first(i, 1) for i in range(600)])
    groups, identical = near_duplicates(X), near_duplicates(X, 1e-3)
    assert np.array_equal(groups, groups[first])
    assert groups.max() + 1 == len(set(first))
    # some are repeated byte for byte, some are not
    assert len(set(groups)) < len(set(identical)) < 600


def test_faces_show_their_age(tiny_faces):
    from sklearn.linear_model import Ridge

    X, labels = tiny_faces
    age = np.array([face["age"] for face in labels], float)
    predicted = Ridge(300).fit(X[:450], age[:450]).predict(X[450:])
    guess = np.sqrt(np.mean((age[450:] - age[:450].mean()) ** 2))
    assert np.sqrt(np.mean((age[450:] - predicted) ** 2)) < 0.93 * guess


@pytest.mark.parametrize(("key", "margin"), [("race", 0.12), ("gender", 0.08)])
def test_faces_show_their_class(tiny_faces, key, margin):
    from sklearn.linear_model import RidgeClassifier

    X, labels = tiny_faces
    y = np.array([face[key] for face in labels])
    accuracy = RidgeClassifier(300).fit(X[:450], y[:450]).score(X[450:], y[450:])
    assert accuracy > np.bincount(y[450:]).max() / 150 + margin
