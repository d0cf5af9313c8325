"""Question 3 (report, chapter 4): every derivative of a small network, by hand, and four ways to check it.

A picture x (4, 4) meets a 2x2 filter with stride 2, an activation g, a weighted sum and a target t:

    c = conv2d(x, filter, stride=2)                                 c11, c12, c21, c22
    y = g(c)                                                        y1, y2, y3, y4
    output = w1 y1 + w2 y2 + w3 y3 + w4 y4
    loss = error^2 / 2                                              error = output - t

The report never prints the loss; its dL/d(output) = output - t means this one. Each function takes ``x`` (4, 4), the
filter as ``kernel`` (2, 2), ``w`` (4,), the number ``t`` and the name ``g`` of an elementwise activation; it returns a
dictionary by the report's names, and raises ValueError for anything else, naming the argument. Gradients are the loss's
with respect to each of ``NAMES``; the one with respect to the output is the error itself, and has its name.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from hw1lib.checks import numbers, one_of, real_number
from hw1lib.nn.activations import ACTIVATIONS
from hw1lib.nn.conv import conv2d, conv2d_backward, patch_matrix

FILTER, WEIGHTS = ("w11", "w12", "w21", "w22"), ("w1", "w2", "w3", "w4")
PARAMETERS = WEIGHTS + FILTER  # what is learned: the eight derivatives that the report derives
SUMS, OUTPUTS = ("c11", "c12", "c21", "c22"), ("y1", "y2", "y3", "y4")
NAMES = ("error", *OUTPUTS, *SUMS, *PARAMETERS)  # from the loss backwards
ELEMENTWISE = tuple(name for name in ACTIVATIONS if name != "softmax")


class Formula(NamedTuple):
    """A derivative of the loss, in SymPy's terms, as ``derive`` returns it."""

    derived: Any  # what SymPy makes of the loss
    closed_form: Any  # what ``closed_form`` computes, which is what the report prints
    equal: bool  # both are the same once c, y and output are written out
    tex: str  # the closed form as an equation


def _checked(x, kernel, w, t, g):
    """Return the four as float arrays, and the activation."""
    given = []
    for name, value, shape in (
        ("x", x, (4, 4)),
        ("kernel", kernel, (2, 2)),
        ("w", w, (4,)),
        ("t", t, ()),
    ):
        array = numbers(name, value, "iuf")
        if array.shape != shape:
            wanted = f"of shape {shape}" if shape else "one number"
            raise ValueError(f"{name} must be {wanted}, not of shape {array.shape}")
        given.append(array.astype(float))
    return *given, ACTIVATIONS[one_of("g", g, ELEMENTWISE)]


def _by_name(error, y, c, w, kernel) -> dict[str, float]:
    """Return the gradients with respect to these five as one dictionary."""
    flat = np.concatenate([np.ravel(gradient) for gradient in (error, y, c, w, kernel)])
    return dict(zip(NAMES, flat.tolist(), strict=True))


# -- as the report writes it: plain arithmetic, so that SymPy's symbols pass through it as numbers do -----------------


def _convolution(x, kernel) -> list:
    (x11, x12, x13, x14), (x21, x22, x23, x24), (x31, x32, x33, x34), (x41, x42, x43, x44) = x
    (w11, w12), (w21, w22) = kernel
    return [
        x11 * w11 + x12 * w12 + x21 * w21 + x22 * w22,  # c11
        x13 * w11 + x14 * w12 + x23 * w21 + x24 * w22,  # c12
        x31 * w11 + x32 * w12 + x41 * w21 + x42 * w22,  # c21
        x33 * w11 + x34 * w12 + x43 * w21 + x44 * w22,  # c22
    ]


def _weighted_sum(w, y):
    (w1, w2, w3, w4), (y1, y2, y3, y4) = w, y
    return w1 * y1 + w2 * y2 + w3 * y3 + w4 * y4


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
    values = [*c, *y, output, _loss(output, t)]
    return dict(zip((*SUMS, *OUTPUTS, "output", "loss"), map(float, values), strict=True))


def closed_form(x, kernel, w, t, g: str) -> dict[str, float]:
    """Return the gradients by the report's formulas."""
    x, kernel, w, t, activation = _checked(x, kernel, w, t, g)
    c = np.array(_convolution(x, kernel))
    y = activation(c)
    found = _derivatives(x, w, y, activation.derivative(c, y), _weighted_sum(w, y) - t)
    return {name: float(value) for name, value in found.items()}


def derive() -> dict[str, Formula]:
    """Let SymPy differentiate the loss, for a g of which it knows nothing, and compare with the report's formulas."""
    import sympy as sp

    class gprime(sp.Function):
        def _latex(self, printer):
            return f"g'({printer._print(self.args[0])})"

    class g(sp.Function):
        def fdiff(self, argindex=1):
            return gprime(self.args[0])

    x = [sp.symbols(" ".join(f"x{row}{column}" for column in range(1, 5))) for row in range(1, 5)]
    c, y, w, v = (sp.symbols(names) for names in (SUMS, OUTPUTS, WEIGHTS, FILTER))
    output, t = sp.symbols(r"\mathrm{output} t")
    written_out = [
        {output: _weighted_sum(w, y)},
        {yi: g(ci) for yi, ci in zip(y, c, strict=True)},
        dict(zip(c, _convolution(x, [v[:2], v[2:]]), strict=True)),
    ]
    losses = [
        _loss(output, t)
    ]  # as a function of the output, of y and w, of c and w, of everything
    for values in written_out:
        losses.append(losses[-1].subs(values))
    formulas = {}
    variables = (output, *y, *c, *w, *v)
    found = _derivatives(x, w, y, [gprime(ci) for ci in c], output - t)
    for variable, (name, formula) in zip(variables, found.items(), strict=True):
        loss = next(loss for loss in reversed(losses) if variable in loss.free_symbols)
        derived = sp.diff(loss, variable)
        difference = derived - formula
        for values in written_out:
            difference = difference.subs(values)
        below = f"({sp.latex(variable)})" if variable == output else sp.latex(variable)
        tex = rf"\frac{{\partial L}}{{\partial {below}}} = {sp.latex(formula)}"
        formulas[name] = Formula(derived, formula, sp.expand(difference) == 0, tex)
    return formulas


# -- the same gradients, three more ways ------------------------------------------------------------------------------


def vectorised(x, kernel, w, t, g: str) -> dict[str, float]:
    """Return the gradients from one matrix product forward and one back, as ``conv2d`` works inside."""
    x, kernel, w, t, activation = _checked(x, kernel, w, t, g)
    patches = patch_matrix(x, 2, stride=2)  # (4, 4): a window a row
    c = patches @ kernel.ravel()  # (4,)
    y = activation(c)
    error = w @ y - t
    to_y = error * w  # (4,)
    to_c = to_y * activation.derivative(c, y)  # (4,)
    return _by_name(error, to_y, to_c, w=error * y, kernel=patches.T @ to_c)


def by_conv2d(x, kernel, w, t, g: str) -> dict[str, float]:
    """Return the gradients through ``conv2d`` and ``conv2d_backward``."""
    x, kernel, w, t, activation = _checked(x, kernel, w, t, g)
    c = conv2d(x, kernel, stride=2)  # (2, 2)
    y = activation(c)
    error = w @ y.ravel() - t
    to_y = error * w.reshape(2, 2)  # (2, 2)
    to_c = to_y * activation.derivative(c, y)  # (2, 2)
    return _by_name(
        error, to_y, to_c, w=error * y, kernel=conv2d_backward(to_c, x, kernel, stride=2).filters
    )


def central_differences(x, kernel, w, t, g: str, epsilon: float = 1e-5) -> dict[str, float]:
    """Return the gradients by moving each quantity by ``epsilon`` either way: (loss above - loss below) / 2 epsilon.

    Nothing is derived here, so a wrong formula can't hide. A leaky ReLU's sum within ``epsilon`` of 0 is moved across
    the kink, where there is no derivative to compare with.
    """
    x, kernel, w, t, activation = _checked(x, kernel, w, t, g)
    epsilon = real_number("epsilon", epsilon, above=True)

    def loss(move):  # one number for each of NAMES
        of_output, of_y, of_c, of_w, of_kernel = np.split(move, (1, 5, 9, 13))
        c = conv2d(x, kernel + of_kernel.reshape(2, 2), stride=2).ravel() + of_c
        y = activation(c) + of_y
        return _loss((w + of_w) @ y + of_output[0], t)

    moves = epsilon * np.eye(len(NAMES))  # one name at a time
    found = [(loss(move) - loss(-move)) / (2 * epsilon) for move in moves]
    return dict(zip(NAMES, map(float, found), strict=True))
