"""Question 3 (report, chapter 4): every derivative of a small network, by hand, and three checks.

A picture x (4, 4) meets a 2x2 filter with stride 2, an activation g, a weighted sum, a target t:

    c = conv2d(x, filter, stride=2)                                 c11, c12, c21, c22
    y = g(c)                                                        y1, y2, y3, y4
    output = w1 y1 + w2 y2 + w3 y3 + w4 y4
    loss = error^2 / 2                                              error = output - t

The report never prints the loss; its dL/d(output) = output - t means this one. Each function takes
``x`` (4, 4), the filter as ``kernel`` (2, 2), ``w`` (4,), the number ``t`` and the name ``g`` of an
elementwise activation; it returns a dictionary by the report's names. Gradients are the loss's with
respect to each of ``NAMES``; the one with respect to the output is the error, and has its name.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from hw1lib.checks import numbers, one_of
from hw1lib.nn.activations import ACTIVATIONS
from hw1lib.nn.conv import conv2d, conv2d_backward

FILTER, WEIGHTS = ("w11", "w12", "w21", "w22"), ("w1", "w2", "w3", "w4")
PARAMETERS = WEIGHTS + FILTER  # what is learned: the eight derivatives that the report derives
SUMS, OUTPUTS = ("c11", "c12", "c21", "c22"), ("y1", "y2", "y3", "y4")
NAMES = ("error", *OUTPUTS, *SUMS, *PARAMETERS)  # from the loss backwards
ELEMENTWISE = tuple(name for name in ACTIVATIONS if name != "softmax")


class Formula(NamedTuple):
    """A derivative of the loss, in SymPy's terms, as ``derive`` returns it."""

    closed_form: Any  # what ``closed_form`` computes, which is what the report prints
    equal: bool  # to what SymPy derives, once c, y and output are written out
    tex: str  # the closed form as an equation


# -- as the report writes it: plain arithmetic, for numbers and for SymPy's symbols ---------------


def _convolution(x, kernel) -> list:
    (w11, w12), (w21, w22) = kernel
    corners = (0, 0), (0, 2), (2, 0), (2, 2)  # of the four windows
    return [
        x[r][c] * w11 + x[r][c + 1] * w12 + x[r + 1][c] * w21 + x[r + 1][c + 1] * w22
        for r, c in corners
    ]


def _weighted_sum(w, y):
    return w[0] * y[0] + w[1] * y[1] + w[2] * y[2] + w[3] * y[3]


def _loss(output, t):
    return (output - t) ** 2 / 2


def _derivatives(x, w, y, slopes, error) -> dict:
    """Return the report's formulas; ``slopes`` are g'(c11), g'(c12), g'(c21), g'(c22)."""
    (x11, x12, x13, x14), (x21, x22, x23, x24), (x31, x32, x33, x34), (x41, x42, x43, x44) = x
    (w1, w2, w3, w4), (y1, y2, y3, y4), (s11, s12, s21, s22) = w, y, slopes
    return {
        "error": error,
        "y1": error * w1,
        "y2": error * w2,
        "y3": error * w3,
        "y4": error * w4,
        "c11": error * w1 * s11,
        "c12": error * w2 * s12,
        "c21": error * w3 * s21,
        "c22": error * w4 * s22,
        "w1": y1 * error,
        "w2": y2 * error,
        "w3": y3 * error,
        "w4": y4 * error,
        "w11": error * (w1 * s11 * x11 + w2 * s12 * x13 + w3 * s21 * x31 + w4 * s22 * x33),
        "w12": error * (w1 * s11 * x12 + w2 * s12 * x14 + w3 * s21 * x32 + w4 * s22 * x34),
        "w21": error * (w1 * s11 * x21 + w2 * s12 * x23 + w3 * s21 * x41 + w4 * s22 * x43),
        "w22": error * (w1 * s11 * x22 + w2 * s12 * x24 + w3 * s21 * x42 + w4 * s22 * x44),
    }


def forward(x, kernel, w, t, g: str) -> dict[str, float]:
    """Return c11 .. c22, y1 .. y4, the output and the loss."""
    x, kernel, w, t, activation = _checked(x, kernel, w, t, g)
    c = np.array(_convolution(x, kernel))
    y = activation(c)
    output = _weighted_sum(w, y)
    return _by_name((*SUMS, *OUTPUTS, "output", "loss"), c, y, output, _loss(output, t))


def closed_form(x, kernel, w, t, g: str) -> dict[str, float]:
    """Return the gradients by the report's formulas."""
    x, kernel, w, t, activation = _checked(x, kernel, w, t, g)
    c = np.array(_convolution(x, kernel))
    y = activation(c)
    gradients = _derivatives(x, w, y, activation.derivative(c, y), _weighted_sum(w, y) - t)
    return {name: float(value) for name, value in gradients.items()}


def derive() -> dict[str, Formula]:
    """Let SymPy differentiate the loss, for any g, and compare with the report's formulas."""
    import sympy as sp

    class gprime(sp.Function):
        def _latex(self, printer):
            return f"g'({printer._print(self.args[0])})"

    class g(sp.Function):
        def fdiff(self, argindex=1):
            return gprime(self.args[0])

    x = [sp.symbols(f"x{row}(1:5)") for row in range(1, 5)]
    c, y, w, v = (sp.symbols(names) for names in (SUMS, OUTPUTS, WEIGHTS, FILTER))
    output, t = sp.symbols(r"\mathrm{output} t")
    written_out = [
        {output: _weighted_sum(w, y)},
        {yi: g(ci) for yi, ci in zip(y, c, strict=True)},
        dict(zip(c, _convolution(x, [v[:2], v[2:]]), strict=True)),
    ]
    losses = [_loss(output, t)]  # of the output, of y and w, of c and w, of everything
    for values in written_out:
        losses.append(losses[-1].subs(values))
    formulas = {}
    printed = _derivatives(x, w, y, [gprime(ci) for ci in c], output - t)
    for variable, (name, formula) in zip((output, *y, *c, *w, *v), printed.items(), strict=True):
        loss = next(loss for loss in reversed(losses) if variable in loss.free_symbols)
        difference = sp.diff(loss, variable) - formula
        for values in written_out:
            difference = difference.subs(values)
        below = f"({sp.latex(variable)})" if variable == output else sp.latex(variable)
        tex = rf"\frac{{\partial L}}{{\partial {below}}} = {sp.latex(formula)}"
        formulas[name] = Formula(formula, sp.expand(difference) == 0, tex)
    return formulas


# -- the same gradients, two more ways ------------------------------------------------------------


def by_conv2d(x, kernel, w, t, g: str) -> dict[str, float]:
    """Return the gradients through ``conv2d`` and ``conv2d_backward``."""
    x, kernel, w, t, activation = _checked(x, kernel, w, t, g)
    c = conv2d(x, kernel, stride=2)  # (2, 2)
    y = activation(c)
    error = w @ y.ravel() - t
    to_y = error * w.reshape(2, 2)  # (2, 2)
    to_c = to_y * activation.derivative(c, y)  # (2, 2)
    to_kernel = conv2d_backward(to_c, x, kernel, stride=2).filters
    return _by_name(NAMES, error, to_y, to_c, error * y, to_kernel)


def central_differences(x, kernel, w, t, g: str, epsilon: float = 1e-5) -> dict[str, float]:
    """Return the gradients by moving each quantity by ``epsilon`` either way.

    Each is (loss above - loss below) / 2 epsilon: nothing is derived here, so a wrong formula can't
    hide. A leaky ReLU's sum within ``epsilon`` of 0 is moved across the kink, where there is no
    derivative to compare with.
    """
    x, kernel, w, t, activation = _checked(x, kernel, w, t, g)

    def loss(move):  # one number for each of NAMES
        of_output, of_y, of_c, of_w, of_kernel = np.split(move, (1, 5, 9, 13))
        c = conv2d(x, kernel + of_kernel.reshape(2, 2), stride=2).ravel() + of_c
        y = activation(c) + of_y
        return _loss((w + of_w) @ y + of_output[0], t)

    moves = epsilon * np.eye(len(NAMES))  # one name at a time
    return _by_name(NAMES, [(loss(move) - loss(-move)) / (2 * epsilon) for move in moves])


def _checked(x, kernel, w, t, g):
    """Return the four as float arrays, and the activation."""
    shapes = {"x": (4, 4), "kernel": (2, 2), "w": (4,), "t": ()}
    given = zip(shapes.items(), (x, kernel, w, t), strict=True)
    arrays = [numbers(name, value, "iuf", shape).astype(float) for (name, shape), value in given]
    return *arrays, ACTIVATIONS[one_of("g", g, ELEMENTWISE)]


def _by_name(names, *values) -> dict[str, float]:
    """Return numbers and arrays, one after another, as one dictionary."""
    flat = np.concatenate([np.ravel(value) for value in values])
    return dict(zip(names, flat.tolist(), strict=True))
