"""Question 3's derivatives: SymPy, PyTorch, central differences and a case worked by hand."""

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


def test_worked_by_hand():
    x = [[1, 2, 0, 1], [3, 4, 1, 0], [2, 0, 1, 1], [0, 1, 2, 3]]
    kernel, w, t = [[1, 0], [-1, 2]], [1, -1, 2, 0], 3
    values = gradients.forward(x, kernel, w, t, "identity")
    # c11 = 1 - 3 + 8 = 6, c12 = 0 - 1 + 0 = -1, c21 = 2 - 0 + 2 = 4, c22 = 1 - 2 + 6 = 5
    # output = 6 + 1 + 8 + 0 = 15
    assert list(values.values()) == [6, -1, 4, 5, 6, -1, 4, 5, 15, 72]
    result = closed_form(x, kernel, w, t, "identity")  # output - t = 12
    assert [result[name] for name in gradients.WEIGHTS] == [72, -12, 48, 60]
    # dL/dw11 = 12 (1 * 1 - 1 * 0 + 2 * 2), dL/dw12 = 12 (2 - 1 + 0)
    # dL/dw21 = 12 (3 - 1 + 0), dL/dw22 = 12 (4 - 0 + 2)
    assert [result[name] for name in gradients.FILTER] == [60, 12, 24, 72]


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


GOOD = {"x": np.ones((4, 4)), "kernel": np.ones((2, 2)), "w": np.ones(4), "t": 0.5, "g": "tanh"}


@pytest.mark.parametrize(
    ("name", "bad", "message"),
    [
        ("x", np.ones((5, 4)), "x must have shape (4, 4), not (5, 4)"),
        ("x", np.full((4, 4), np.nan), "x must be finite: it holds NaN or infinite values"),
        ("x", np.ones((4, 4)) > 0, "x must hold real numbers, not bool"),
        ("kernel", [1, 2, 3, 4], "kernel must have shape (2, 2), not (4,)"),
        ("kernel", np.ma.masked_equal(np.eye(2), 1), "kernel must not hold masked values"),
        ("w", np.ones((2, 2)), "w must have shape (4,), not (2, 2)"),
        ("t", [0.5], "t must have shape (), not (1,)"),
        ("t", None, "t must hold real numbers, not object"),
        (
            "g",
            "softmax",
            "g must be one of leaky_relu, relu, sigmoid, tanh, identity, not 'softmax'",
        ),
        ("g", np.tanh, "g must be one of leaky_relu"),
    ],
)
def test_bad_arguments_are_named(name, bad, message):
    for way in (gradients.forward, closed_form, vectorised, by_conv2d, central_differences):
        with pytest.raises(ValueError, match=re.escape(message)):
            way(**{**GOOD, name: bad})


@pytest.mark.parametrize("bad", [0, -1, np.nan, "1", [1e-5], True])
def test_bad_epsilon_is_named(bad):
    with pytest.raises(ValueError, match="epsilon must"):
        central_differences(**GOOD, epsilon=bad)
