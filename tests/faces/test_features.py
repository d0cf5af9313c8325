"""The table of features: what identical pictures tell about the labels."""

import numpy as np
import pandas as pd
import pytest

from hw1lib.faces import label_noise
from hw1lib.faces.features import feature_names


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
