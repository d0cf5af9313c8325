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
        kurtosis = np.mean((W / std) ** 4)
        assert kurtosis == pytest.approx(3, rel=0.03)  # a uniform distribution has 1.8


def test_names_stand_for_objects_that_compare():
    assert as_initializer("random") == Random(np.float64(0.1)) == INITIALIZERS["random"]
    assert repr(Random(np.float64(0.1))) == "Random(sigma=0.1)"
    assert as_initializer(round) is round  # any function
    for bad in ("large", None, Xavier, 0.1):
        with pytest.raises(ValueError, match=r"initializer.* one of zero, random, xavier, he, not"):
            as_initializer(bad)
    with pytest.raises(ValueError, match="sigma must be a finite number >= 0"):
        Random(-0.1)
