"""Figures as notebooks draw them, without a screen, and what cells display, caught."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

from hw1lib import show
from hw1lib.show import display


@pytest.fixture(autouse=True)
def style():
    plt.switch_backend("agg")
    with mpl.rc_context():
        show.use_style()
        yield
    plt.close("all")


@pytest.fixture
def displayed(monkeypatch):
    """Return a list of what is displayed: what, and how."""
    calls = []
    monkeypatch.setattr(display, "display", lambda *what, **how: calls.append((what, how)))
    return calls
