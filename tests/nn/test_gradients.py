"""Question 3's derivatives: SymPy, PyTorch and central differences."""

import re

import numpy as np
import pytest
from scipy.signal import correlate2d

from hw1lib.nn import gradients
from hw1lib.nn.gradients import (
    ELEMENTWISE,
    NAMES,
    by_conv2d,
    central_differences,
    closed_form,
    vectorised,
)


def problem(seed):
    """Return x, kernel, w and t whose sums keep clear of the kink of ReLU and leaky ReLU."""
    rng = np.random.default_rng(seed)
    while True:
        x, kernel, w = rng.normal(size=(4, 4)), rng.normal(size=(2, 2)), rng.normal(size=4)
        if np.abs(correlate2d(x, kernel, "valid")[::2, ::2]).min() > 0.01:
            return x, kernel, w, rng.normal()


@pytest.mark.parametrize("g", ELEMENTWISE)
@pytest.mark.parametrize("seed", range(3))
def test_all_ways_agree(g, seed):
    expected = closed_form(*problem(seed), g)
    assert tuple(expected) == NAMES
    for way, error in ((vectorised, 1e-13), (by_conv2d, 1e-13), (central_differences, 1e-7)):
        assert way(*problem(seed), g) == pytest.approx(expected, rel=error, abs=error), way.__name__


@pytest.mark.parametrize("g", ELEMENTWISE)
def test_equal_to_autograd(g, torch):
    activation = {
        "leaky_relu": torch.nn.LeakyReLU(0.01),
        "relu": torch.relu,
        "sigmoid": torch.sigmoid,
        "tanh": torch.tanh,
        "identity": torch.nn.Identity(),
    }[g]
    for seed in range(3):
        x, kernel, w, t = (
            torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in problem(seed)
        )
        c = torch.nn.functional.conv2d(x[None, None], kernel[None, None], stride=2)
        y = activation(c).flatten()
        output = w @ y
        loss = (output - t) ** 2 / 2
        values = gradients.forward(*problem(seed), g)
        forward = [*c.flatten(), *y, output, loss]
        assert list(values.values()) == pytest.approx(
            [float(v.detach()) for v in forward], rel=1e-12
        )
        result = torch.autograd.grad(loss, (output, y, c, w, kernel))
        expected = dict(
            zip(NAMES, np.concatenate([grad.numpy().ravel() for grad in result]), strict=True)
        )
        assert closed_form(*problem(seed), g) == pytest.approx(expected, rel=1e-12, abs=1e-14)


def test_sympy_derives_every_formula():
    formulas = gradients.derive()
    assert tuple(formulas) == NAMES
    assert all(formula.equal for formula in formulas.values())
    assert (
        formulas["w2"].tex
        == r"\frac{\partial L}{\partial w_{2}} = y_{2} \left(\mathrm{output} - t\right)"
    )
    for factor in ("x_{21}", "x_{23}", "x_{41}", "x_{43}", "g'(c_{21})"):
        assert factor in formulas["w21"].tex


def test_sympy_tells_the_misprinted_factor(monkeypatch):
    right = gradients._derivatives

    def misprinted(x, w, y, slopes, error):
        swapped = [list(row) for row in x]
        swapped[3][0] = x[2][1]  # dc21/dw12 = x32 in the place of dc21/dw21 = x41
        wrong = right(swapped, w, y, slopes, error)["w21"]
        return {**right(x, w, y, slopes, error), "w21": wrong}

    monkeypatch.setattr(gradients, "_derivatives", misprinted)
    formulas = gradients.derive()
    assert [name for name, formula in formulas.items() if not formula.equal] == ["w21"]
    case = problem(0)
    assert abs(closed_form(*case, "tanh")["w21"] - central_differences(*case, "tanh")["w21"]) > 1e-3


@pytest.mark.parametrize(
    ("name", "bad", "message"),
    [
        ("x", np.ones((5, 4)), "x must have shape (4, 4), not (5, 4)"),
        ("kernel", [1, 2, 3, 4], "kernel must have shape (2, 2), not (4,)"),
        ("t", None, "t must hold real numbers, not object"),
        ("g", "softmax", "g must be one of leaky_relu, relu, sigmoid, tanh, identity, not"),
    ],
)
def test_bad_arguments_are_named(name, bad, message):
    good = {"x": np.ones((4, 4)), "kernel": np.ones((2, 2)), "w": np.ones(4), "t": 0.5, "g": "tanh"}
    with pytest.raises(ValueError, match=re.escape(message)):
        closed_form(**{**good, name: bad})
