"""The table of features: its folds, near-duplicates, and what identical pictures tell about the labels."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from hw1lib.faces import folds, label_noise, near_duplicates, split, split_rows
from hw1lib.faces.features import feature_names


def scattered_groups(n=20_002, seed=0):
    """Return groups of one, two, three and seven rows, anywhere in the table, with numbers that leave gaps."""
    sizes = np.repeat([1, 2, 3, 7], [n - 600 - 150 - 35, 300, 50, 5])
    return 3 * np.random.default_rng([9, seed]).permutation(np.repeat(np.arange(len(sizes)), sizes))


@pytest.mark.parametrize("groups", [np.arange(20_002), scattered_groups()], ids=["alone", "scattered"])
def test_folds_have_the_reports_sizes_and_keep_groups_together(groups):
    found = folds(groups)
    assert len(found) == 10
    for parts in found:
        assert [len(part) for part in parts] == [16_202, 1_800, 2_000]
        sides = np.full(len(groups), -1)
        for side, part in enumerate(parts):
            sides[part] = side
        assert sides.min() == 0  # every row is in one part
        assert pd.Series(sides).groupby(groups).nunique().max() == 1
        assert all(abs(part.mean() / len(groups) - 0.5) < 0.03 for part in parts)  # from everywhere
    tests = np.concatenate([test for _, _, test in found])
    assert len(np.unique(tests)) == len(tests) == 20_000  # disjoint


def test_folds_are_drawn_by_their_seed_alone():
    groups = scattered_groups(1000)
    first, again, other = folds(groups), folds(groups, 3), folds(groups, seed=1)
    assert len(again) == 3
    for a, b in zip(first, again, strict=False):
        for one, same in zip(a, b, strict=True):
            assert_array_equal(one, same)
    assert not any(set(a[2]) == set(b[2]) for a in first for b in other)
    for train, _, _ in first:  # the first n of the training rows are any n of them
        assert abs(np.corrcoef(train, np.arange(len(train)))[0, 1]) < 0.15
    assert len({frozenset(validation) for _, validation, _ in first}) == 10


def test_a_group_larger_than_a_test_is_always_trained_on():
    groups = np.arange(100)
    groups[40:55] = 40
    for train, validation, test in folds(groups, 5):
        assert {*range(40, 55)} <= {*train}
        assert (len(validation), len(test)) == (9, 10)
    with pytest.raises(ValueError, match="too many faces are near-duplicates"):
        folds(groups)  # eight and a half tests are full, the tenth is empty
    with pytest.raises(ValueError, match="too many faces are near-duplicates"):
        folds(np.zeros(100), 1)


def test_what_folds_do_not_take():
    assert [len(part) for part in folds(np.arange(10))[9]] == [8, 1, 1]
    with pytest.raises(ValueError, match="ten folds need at least 10 faces, not 9"):
        folds(np.arange(9))
    for bad in (0, 11, 2.5):
        with pytest.raises(ValueError, match="n_folds must be"):
            folds(np.arange(30), bad)
    with pytest.raises(ValueError, match="seed must be a whole number >= 0, not -1"):
        folds(np.arange(30), seed=-1)


def test_planted_twins_are_found_and_no_others():
    X = np.random.default_rng(0).normal(0, 50, (400, 20))
    twins = {17: 3, 250: 3, 399: 250, 20: 21}  # 3, 17, 250 and 399 are one group, though 399 is twice as far
    for one, other in twins.items():
        X[one] = X[other] + 8
    for scale in (1, 1e-3):  # what is near depends on how far apart the others are
        groups = near_duplicates(scale * X)
        together = [set(np.flatnonzero(groups == group)) for group in np.unique(groups)]
        assert sorted(map(sorted, filter(lambda group: len(group) > 1, together))) == [[3, 17, 250, 399], [20, 21]]
    for train, validation, test in folds(groups):
        assert any({3, 17, 250, 399} <= {*part} for part in (train, validation, test))
    assert near_duplicates(X[:1]).tolist() == [0]


def test_split_keeps_faces_and_labels_together(table):
    for target, fold in (("age", 0), ("race", 7)):
        parts, rows = split(table, target, fold), split_rows(table, fold)
        assert [len(part.X) for part in parts] == [243, 27, 30]
        for part, its_rows in zip(parts, rows, strict=True):
            assert part.X.dtype == np.float32
            assert_array_equal(part.X, table.iloc[its_rows, 4:])
            assert_array_equal(part.y, table[target].iloc[its_rows])
    mine = split(table, "age", rows=([5, 3], [0], [9, 1]))
    assert [part.y.tolist() for part in mine] == [table["age"][rows].tolist() for rows in ([5, 3], [0], [9, 1])]
    with pytest.raises(ValueError, match="target must be one of"):
        split(table, "file")
    with pytest.raises(ValueError, match="fold must be from 0 to 9, not 10"):
        split(table, "age", 10)
    with pytest.raises(ValueError, match="fold must be a whole number"):
        split_rows(table, -1)


def test_identical_pictures_measure_the_labels():
    X = np.random.default_rng(0).normal(0, 10, (40, 5)).astype(np.float32)
    X[[1, 3, 4]] = X[[0, 2, 2]] * np.float32(1 + 1e-7)  # a pair and a triple, identical up to rounding
    X[6] = X[5] + 0.5  # a near-duplicate is another picture, and so are pictures with the same labels
    table = pd.DataFrame(X, columns=feature_names(5))
    labels = {"age": [30, 36, 8, 8, 10], "gender": [0, 0, 1, 1, 1], "race": [0, 1, 2, 2, 2]}
    for i, (name, values) in enumerate(labels.items()):
        table.insert(i, name, values + [1] * 35)
    table.insert(0, "file", "a.jpg")
    found = label_noise(table)
    assert {key: found[key] for key in ("groups", "faces", "pairs")} == {"groups": 2, "faces": 5, "pairs": 4}
    assert found["near_duplicates"] == 7
    assert [found[f"{label}_differs"] for label in labels] == [0.75, 0, 0.25]
    assert found["age_difference"] == pytest.approx(np.sqrt((6**2 + 0 + 2**2 + 2**2) / 4))
    assert found["age_spread"] == pytest.approx(np.sqrt(5.5))
    assert found["gender_wrong"] == 0
    wrong = found["race_wrong"]
    assert (1 - wrong) ** 2 + wrong**2 / 4 == pytest.approx(0.75)
    nothing = label_noise(table.iloc[5:])
    assert nothing["pairs"] == 0
    assert np.isnan([nothing[key] for key in found if key not in ("near_duplicates", "groups", "faces", "pairs")]).all()
