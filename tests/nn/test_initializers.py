"""Initialisers: the widths of the papers, seeds and names."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from hw1lib.nn.initializers import INITIALIZERS, He, Random, Xavier, Zero, as_initializer


@pytest.mark.parametrize(
    ("initializer", "std"),
    [
        (Random(0.1), 0.1),
        (Random(2), 2),
        (Xavier(), (2 / 1000) ** 0.5),
        (He(), (2 / 300) ** 0.5),
        (Zero(), 0),
    ],
)
def test_weights_are_normal_with_the_width_of_the_paper(initializer, std):
    W = initializer(300, 700, np.random.default_rng(0))
    assert_array_equal(W, initializer(300, 700, np.random.default_rng(0)))
    assert W.shape == (300, 700)
    assert W.std() == pytest.approx(std, rel=0.01)
    assert abs(W.mean()) <= 0.01 * std
    if std:
        assert np.mean((W / std) ** 4) == pytest.approx(
            3, rel=0.03
        )  # a uniform distribution has 1.8


def test_names_stand_for_objects_that_compare():
    objects = {"zero": Zero(), "random": Random(0.1), "xavier": Xavier(), "he": He()}
    assert objects == INITIALIZERS
    for name, thing in objects.items():
        assert as_initializer(name) == thing
        assert hash(as_initializer(name)) == hash(thing)
        assert as_initializer(thing) is thing
    for bad in ("large", None, Xavier, 0.1):
        with pytest.raises(
            ValueError, match=r"initializer.* must be one of zero, random, xavier, he, not"
        ):
            as_initializer(bad)


def test_the_width_is_a_finite_number_and_shown_plainly():
    assert (
        repr(Random(np.float64(0.1))) == repr(Random(0.1)) == repr(Random()) == "Random(sigma=0.1)"
    )
    assert not Random(0)(3, 2, np.random.default_rng(0)).any()
    for sigma in (-0.1, np.nan, np.inf, "0.1", None, True):
        with pytest.raises(ValueError, match="sigma must be a finite number >= 0"):
            Random(sigma)
