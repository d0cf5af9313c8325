"""What is refused, and a word of what is said."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from hw1lib import study
from hw1lib.study import Experiment


@pytest.fixture(scope="module")
def given(data, short, made_up):
    """Return what the calls below are given."""
    pictures = replace(data, X=np.zeros((len(data), 3, 10, 10), np.uint8))
    lost = made_up({"a": [[12.0, np.nan], [12.0, 12.0]]})
    return SimpleNamespace(data=data, short=short, made_up=made_up, pictures=pictures, lost=lost)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda _: Experiment(target="height"), "target must be one of age, .*, not 'height'"),
        (lambda _: Experiment(hidden="64"), "each of hidden must be"),
        (lambda _: Experiment(output_bias=35), "output_bias must be"),
        (lambda _: Experiment(normalizer="L2"), "normalizer must be"),
        (lambda _: Experiment(pca_faces="all"), "pca_faces must be"),
        (lambda _: Experiment(filters=(8, 0)), "each of filters must be"),
        (lambda _: Experiment(activation="softplus"), "activation.* must be"),
        (lambda _: Experiment(loss="nll"), "nll"),
        (lambda it: replace(it.short, filters=(2, 2)).data(it.data), "filters need"),
        (lambda it: it.short.data(it.pictures), "filters need"),
        (lambda _: study.run("width/65", None), "width/65. is none of width/64, .*hidden"),
        (lambda _: study.run("width/64", None, [0], [0.5]), "each of seeds must be"),
        (lambda _: study.run("width/64", None, [10]), "folds must be from 0 to 9, not 10"),
        (lambda _: study.run("width/64", pd.DataFrame()), "data must be faces.open"),
        (lambda it: study.run({"": replace(it.short, normalizer="l2")}, it.data), "a normalizer"),
        (lambda it: study.fold_means(it.lost, "b"), "no experiment 'b'; they hold a"),
        (lambda it: study.fold_means(it.lost, "a"), r"networks diverged, .* \[\['a', 0, 1\]\]"),
        (lambda it: study.mean_curve(it.lost, "a", "train_loss"), "networks diverged"),
        (lambda _: study.recorded("run"), "no recorded table 'run'; there are bootstrap,"),
        (lambda _: study.published_table(["init/none"]), "names must be .*: 'init/none'"),
        (lambda _: study.paired([1, 2, 3], [1]), "there must be pairs, not 3 and 1 numbers"),
    ],
)
def test_what_is_wrong_is_said(call, said, given):
    with pytest.raises(ValueError, match=said):
        call(given)
