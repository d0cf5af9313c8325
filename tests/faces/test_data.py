"""What is trained on: folds, near-duplicates, subsets, and what identical pictures tell."""

import dataclasses
import io
import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from hw1lib.faces import (
    Data,
    Subset,
    batches,
    folds,
    label_noise,
    near_duplicates,
    rescale,
    standin,
)

# -- one type for features and pictures ------------------------------------------------------------


def test_features_are_chosen_by_name(table, data):
    assert_array_equal(data.X, table[[f"f{i:03d}" for i in range(6)]])
    assert data.X.dtype == np.float32
    more = table.assign(decade=table.age // 10, first=1, f1=table.age, f2024=table.age)
    backwards = more[more.columns[::-1]]
    assert Data.from_table(backwards).fingerprint == data.fingerprint
    for target in ("age", "gender", "race"):
        assert_array_equal(Data.from_table(backwards).split(target)[0].X, data.split(target)[0].X)


MASKED = np.ma.masked_greater(np.arange(24.0), 20)
CONSTANT = Subset(np.ones((4, 2), np.float32), np.ones(4))


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda t: Data.from_table(t.drop(columns="race")), "file, age, gender, race"),
        (lambda t: Data.from_table(t[["file", "age", "gender", "race"]]), "f000, f001"),
        (lambda t: Data.from_table(pd.concat([t, t[["f000"]]], axis=1)), "each once"),
        (
            lambda t: Data.from_table(t.assign(f001=t.f001.where(t.age > 30))),
            "must be finite",
        ),
        (lambda t: Data.from_table(t.assign(f001=pd.Timestamp("2020"))), "features must hold"),
        (lambda t: Data(t, t[:299], t.age), "a row for each face, not 300, 299 and 300"),
        (lambda t: Data.from_table(t).split("file"), "target must be one of age, gender, race"),
        (lambda t: Data.from_table(t).split("age", 10), "fold must be from 0 to 9"),
        (lambda t: Data.from_table(t).split("age", -1), "fold must be"),
        (lambda t: near_duplicates(MASKED), "masked"),
        (lambda t: folds(MASKED), "masked"),
        (lambda t: folds(np.arange(9)), "at least 10 faces, not 9"),
        (lambda t: folds(np.arange(30), -1), "seed must be a whole number >= 0, not -1"),
        (lambda t: folds(np.zeros(100)), "too many faces are near-duplicates"),
        (lambda t: rescale(CONSTANT, whitening=-1), "whitening must be"),
        (lambda t: rescale(CONSTANT, input_rms=0), "input_rms must be"),
        (lambda t: rescale(CONSTANT), "no feature varies"),
        (lambda t: batches(t, t, 0), "batch_size must be"),
        (lambda t: batches(t, t[:2]), "same number of rows, not 300 and 2"),
    ],
)
def test_what_is_refused(call, word, table):
    with pytest.raises(ValueError, match=word):
        call(table)


def test_drawn_faces_are_known_by_their_names_after_merge_concat_and_csv(table):
    files = [standin.file_name(i, standin.draw_labels(i)) for i in range(300)]
    drawn = table.assign(file=files)
    read_back = pd.read_csv(io.StringIO(drawn.to_csv(index=False)))
    merged = drawn.drop(columns="age").merge(drawn[["file", "age"]], on="file")
    for changed in (drawn, read_back, merged, pd.concat([drawn[100:], drawn[:100]])):
        assert Data.from_table(changed).drawn
    assert not Data.from_table(table).drawn
    assert Data.from_table(table, drawn=True).drawn


def test_the_fingerprint_tells_data_apart(data):
    assert dataclasses.replace(data).fingerprint == data.fingerprint
    older = data.labels.assign(age=data.labels.age + 1)
    changes = ({"X": data.X + 1}, {"labels": older}, {"groups": np.zeros(300)})
    others = [dataclasses.replace(data, **change).fingerprint for change in changes]
    assert len({data.fingerprint, *others}) == 4
    mine = dataclasses.replace(data)
    mine.labels["age"] += 1
    assert mine.fingerprint == others[1]
    assert data.fingerprint != others[1]  # its labels are its own
    half_years = data.labels.assign(age=data.labels.age + 0.5)
    assert dataclasses.replace(data, labels=half_years).fingerprint != data.fingerprint
    for array in (data.X, data.groups):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_what_a_caller_changes_later_is_not_the_data_s(table):
    X, groups = np.array(table[["f000", "f001"]], np.float32), np.arange(300)
    data = Data(X, table, groups)
    before = data.X.copy(), data.groups.copy()
    X[:], groups[:] = 0, 0
    assert_array_equal(data.X, before[0])
    assert_array_equal(data.groups, before[1])


def test_a_part_of_the_faces_is_numbered_anew(data):
    some = np.flatnonzero(data.labels.gender == 1)
    part = Data(data.X[some], data.labels.iloc[some], data.groups[some])
    assert part.labels.index.tolist() == list(range(len(some)))


def test_drawn_faces_are_known_by_their_names(faces):
    standin_labels = faces.labels
    X, groups = np.ones((len(standin_labels), 2), np.float32), np.arange(len(standin_labels))
    assert Data(X, standin_labels, groups).drawn
    bare = standin_labels.assign(file=standin_labels.file.str.partition(".")[0])
    assert Data(X, bare, groups).drawn
    mixed = standin_labels.assign(file=["real.jpg"] * 20 + standin_labels.file[20:].tolist())
    assert Data(X, mixed, groups).drawn  # three of 23
    assert not Data(X, standin_labels.assign(file="9_0_1_20170116174525125.jpg"), groups).drawn


def test_split_keeps_faces_and_labels_together(data):
    for target, fold, partition in (("age", 0, 0), ("race", 7, 2)):
        parts, rows = data.split(target, fold, partition), folds(data.groups, seed=partition)[fold]
        assert [len(part.X) for part in parts] == [243, 27, 30]
        for part, its_rows in zip(parts, rows, strict=True):
            assert_array_equal(part.X, data.X[its_rows])
            assert_array_equal(part.y, data.labels[target].iloc[its_rows])


def test_folds_are_dealt_out_once(data, monkeypatch):
    data = dataclasses.replace(data)
    (train, _, _), *_ = data.folds(3)
    monkeypatch.delattr("hw1lib.faces.data.folds")
    sent = pickle.loads(pickle.dumps(data))
    assert_array_equal(sent.split("age", 0, 3)[0].X, data.X[train])
    with pytest.raises(ValueError, match="read-only"):
        train.sort()


def _sums(data, fold):
    return [float(part.X.sum(dtype=np.float64)) for part in data.split("age", fold)]


def test_memory_mapped_pictures_go_to_worker_processes(data, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (300, 3, 8, 8), np.uint8)
    np.save(tmp_path / "pictures.npy", pixels)
    X = np.load(tmp_path / "pictures.npy", mmap_mode="r")
    pictures = dataclasses.replace(data, X=X)
    assert pictures.fingerprint == dataclasses.replace(data, X=pixels).fingerprint
    assert pickle.loads(pickle.dumps(pictures)).fingerprint == pictures.fingerprint
    sums = joblib.Parallel(2)(joblib.delayed(_sums)(pictures, fold) for fold in range(2))
    assert sums == [_sums(pictures, 0), _sums(pictures, 1)]


# -- folds -----------------------------------------------------------------------------------------


def scattered_groups(n=20_002):
    """Return groups of one, two, three and seven rows, with numbers that leave gaps."""
    sizes = np.repeat([1, 2, 3, 7], [n - 600 - 150 - 35, 300, 50, 5])
    return 3 * np.random.default_rng(9).permutation(np.repeat(np.arange(len(sizes)), sizes))


@pytest.mark.parametrize("groups", [np.arange(20_002), scattered_groups()], ids=["alone", "mixed"])
def test_folds_have_the_reports_sizes_and_keep_groups_together(groups):
    drawn = folds(groups)
    assert len(drawn) == 10
    for parts in drawn:
        assert [len(part) for part in parts] == [16_202, 1_800, 2_000]
        sides = np.full(len(groups), -1)
        for side, part in enumerate(parts):
            sides[part] = side
        assert sides.min() == 0  # every row is in one part
        assert pd.Series(sides).groupby(groups).nunique().max() == 1
        assert all(abs(part.mean() / len(groups) - 0.5) < 0.03 for part in parts)
    tests = np.concatenate([test for _, _, test in drawn])
    assert len(np.unique(tests)) == len(tests) == 20_000  # disjoint


def test_folds_are_drawn_by_their_seed():
    groups = scattered_groups(1000)
    first, other = folds(groups), folds(groups, seed=1)
    assert not any(set(a[2]) == set(b[2]) for a in first for b in other)
    for train, _, _ in first:  # the first n of the training rows are any n of them
        assert abs(np.corrcoef(train, np.arange(len(train)))[0, 1]) < 0.15
    assert len({frozenset(validation) for _, validation, _ in first}) == 10
    train, validation, test = folds(np.arange(20) // 2)[0]  # recorded results stand on these
    assert train[:4].tolist() == [13, 19, 11, 1]
    assert (validation.tolist(), test.tolist()) == ([4, 5], [16, 17])


def test_a_group_larger_than_a_test_is_always_trained_on():
    groups = np.minimum(np.arange(104), 93)  # the others fill nine tests, and three of the last
    for fold, (train, validation, test) in enumerate(folds(groups)):
        assert {*range(93, 104)} <= {*train}
        assert len(test) == (10 if fold < 9 else 3)
        assert len(validation) == round((104 - len(test)) / 10)


# -- near-duplicates -------------------------------------------------------------------------------


def test_planted_duplicates_are_found_and_no_others():
    X = np.random.default_rng(0).normal(0, 50, (400, 20))
    for row, original in {17: 3, 250: 3, 399: 250, 20: 21}.items():  # 399 is twice as far from 3
        X[row] = X[original] + 8
    for scale in (1, 1e-3):  # what is near depends on how far apart the others are
        groups = near_duplicates(scale * X)
        together = [np.flatnonzero(groups == group).tolist() for group in np.unique(groups)]
        assert sorted(rows for rows in together if len(rows) > 1) == [[3, 17, 250, 399], [20, 21]]
    assert near_duplicates(X[:1]).tolist() == [0]


def test_identical_pictures_measure_the_labels(table):
    X = np.random.default_rng(0).normal(0, 10, (40, 6)).astype(np.float32)
    X[[1, 3, 4]] = X[[0, 2, 2]] * np.float32(1 + 1e-7)  # a pair and a triple, but for rounding
    X[6] = X[5] + 0.5  # a near-duplicate is another picture
    labels = {"age": [30, 36, 8, 8, 10], "gender": [0, 0, 1, 1, 1], "race": [0, 1, 2, 2, 2]}
    mine = table[:40].assign(**{name: values + [1] * 35 for name, values in labels.items()})
    mine[mine.columns[4:]] = X
    noise = label_noise(Data.from_table(mine))
    counts = {"near_duplicates": 7, "groups": 2, "faces": 5, "pairs": 4}
    assert {key: noise[key] for key in counts} == counts
    assert [noise[f"{label}_differs"] for label in labels] == [0.75, 0, 0.25]
    assert noise["age_difference"] == pytest.approx(np.sqrt((6**2 + 0 + 2**2 + 2**2) / 4))
    assert noise["age_spread"] == pytest.approx(np.sqrt(5.5))
    assert noise["gender_wrong"] == 0
    wrong = noise["race_wrong"]
    assert (1 - wrong) ** 2 + wrong**2 / 4 == pytest.approx(0.75)
    nothing = label_noise(Data.from_table(mine.iloc[5:]))
    assert nothing["pairs"] == 0
    assert np.isnan([value for key, value in nothing.items() if key not in counts]).all()


# -- scaled, and cut into batches ------------------------------------------------------------------


@pytest.mark.parametrize("whitening", [0, 0.5, 1])
def test_rescale_takes_its_numbers_from_the_training_part(whitening):
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(500, 3)) * [100, 10, 1]).astype(np.float32)
    parts = Subset(X, X[:, 0]), Subset(2 * X[:9], X[:9, 0])
    train, test = rescale(*parts, whitening=whitening, input_rms=0.25)
    assert_allclose(np.sqrt(np.mean(train.X**2)), 0.25, rtol=1e-5)
    assert_allclose(test.X, 2 * train.X[:9], rtol=1e-6)
    spread, before = train.X.std(axis=0), X.std(axis=0)
    assert_allclose(spread / spread[0], (before / before[0]) ** (1 - whitening), rtol=1e-4)
    assert_array_equal(train.y, X[:, 0])


def test_rescale_leaves_bytes_as_they_are():
    pictures = Subset(np.ones((4, 3, 2, 2), np.uint8), np.ones(4))
    assert rescale(pictures, pictures) == (pictures, pictures)


def test_batches_hold_every_row_once_and_change_nothing():
    X, y = np.arange(600).reshape(300, 2), np.arange(300)
    assert [len(y_batch) for _, y_batch in batches(X, y)] == [128, 128, 44]
    assert_array_equal(np.concatenate([x for x, _ in batches(X, y, 7)]), X)
    shuffled = list(batches(X, y, 7, np.random.default_rng(0)))
    order = np.concatenate([t for _, t in shuffled])
    assert_array_equal(np.concatenate([x for x, _ in shuffled])[:, 0], 2 * order)
    assert not np.array_equal(order, np.arange(300))
    assert_array_equal(np.sort(order), np.arange(300))
