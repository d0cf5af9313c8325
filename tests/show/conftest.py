"""Figures as notebooks draw them, without a screen."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

from hw1lib import show


@pytest.fixture(autouse=True)
def style():
    plt.switch_backend("agg")
    with mpl.rc_context():
        show.use_style()
        yield
    plt.close("all")
