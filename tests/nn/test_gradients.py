"""Question 3's derivatives: SymPy, PyTorch and central differences."""

import numpy as np
import pytest
from scipy.signal import correlate2d

from hw1lib import nn
from hw1lib.nn import gradients
from hw1lib.nn.gradients import (
    ELEMENTWISE,
    NAMES,
    by_conv2d,
    central_differences,
    closed_form,
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
    for way, error in ((by_conv2d, 1e-13), (central_differences, 1e-7)):
        assert way(*problem(seed), g) == pytest.approx(expected, rel=error, abs=error), way.__name__


@pytest.mark.parametrize("g", ELEMENTWISE)
def test_forward_and_closed_form_are_pytorchs(g, torch):
    f = getattr(torch.nn, type(nn.ACTIVATIONS[g]).__name__)()
    given = [torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in problem(0)]
    x, kernel, w, t = given
    c = torch.nn.functional.conv2d(x[None, None], kernel[None, None], stride=2)
    y = f(c).flatten()
    output = w @ y
    loss = (output - t) ** 2 / 2
    passed = [each.detach().numpy().ravel() for each in (c, y, output, loss)]
    back = [grad.numpy().ravel() for grad in torch.autograd.grad(loss, (output, y, c, w, kernel))]
    values, result = gradients.forward(*problem(0), g), closed_form(*problem(0), g)
    assert list(values.values()) == pytest.approx(np.concatenate(passed), rel=1e-12)
    assert list(result.values()) == pytest.approx(np.concatenate(back), rel=1e-12, abs=1e-14)


def test_sympy_derives_every_formula():
    formulas = gradients.derive()
    assert tuple(formulas) == NAMES
    assert all(formula.equal for formula in formulas.values())
    w2 = r"\frac{\partial L}{\partial w_{2}} = y_{2} \left(\mathrm{output} - t\right)"
    assert formulas["w2"].tex == w2
    assert "g'(c_{21})" in formulas["w21"].tex


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


@pytest.mark.parametrize(
    ("name", "bad", "word"),
    [
        ("kernel", [1, 2, 3, 4], r"kernel must have shape \(2, 2\)"),
        ("t", None, "t must hold real numbers"),
        ("g", "softmax", "g must be one of"),
    ],
)
def test_bad_arguments_are_named(name, bad, word):
    good = dict(zip(("x", "kernel", "w", "t"), problem(0), strict=True))
    with pytest.raises(ValueError, match=word):
        closed_form(**{**good, "g": "tanh", name: bad})
