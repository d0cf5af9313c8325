"""Question 3 (report, chapter 4): every derivative of a small network, by hand, and four ways to check it.

A picture x (4, 4) meets a 2x2 filter with stride 2, an activation g, a weighted sum and a target t:

    c = conv2d(x, filter, stride=2)                                 c11, c12, c21, c22
    y = g(c)                                                        y1, y2, y3, y4
    output = w1 y1 + w2 y2 + w3 y3 + w4 y4
    loss = (output - t)^2 / 2

The report never prints the loss; its dL/d(output) = output - t means this one. Each function takes ``x`` (4, 4),
``filter`` (2, 2), ``w`` (4,), the number ``t`` and the name ``g`` of an elementwise activation; it returns a dictionary
by the report's names, and raises ValueError for anything else, naming the argument. Gradients are the loss's with
respect to each of ``NAMES``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from hw1lib.nn.activations import ACTIVATIONS
from hw1lib.nn.conv import as_numbers, conv2d, conv2d_backward, patch_matrix

FILTER, WEIGHTS = ("w11", "w12", "w21", "w22"), ("w1", "w2", "w3", "w4")
PARAMETERS = WEIGHTS + FILTER  # what is learned: the eight derivatives that the report derives
SUMS, OUTPUTS = ("c11", "c12", "c21", "c22"), ("y1", "y2", "y3", "y4")
NAMES = ("output", *OUTPUTS, *SUMS, *PARAMETERS)  # from the loss backwards
ELEMENTWISE = tuple(name for name in ACTIVATIONS if name != "softmax")


class Formula(NamedTuple):
    """A derivative of the loss, in SymPy's terms, as ``derive`` returns it."""

    derived: Any  # what SymPy makes of the loss
    closed_form: Any  # what ``closed_form`` computes, which is what the report prints
    equal: bool  # both are the same once c, y and output are written out
    tex: str  # the closed form as an equation


def _checked(x, filter, w, t, g):
    """Return the four as float arrays, and the activation."""
    given = []
    for name, value, shape in (("x", x, (4, 4)), ("filter", filter, (2, 2)), ("w", w, (4,)), ("t", t, ())):
        array = as_numbers(name, value)
        if array.shape != shape:
            wanted = f"of shape {shape}" if shape else "one number"
            raise ValueError(f"{name} must be {wanted}, not of shape {array.shape}")
        given.append(array.astype(float))
    if not isinstance(g, str) or g not in ELEMENTWISE:
        raise ValueError(f"g must be one of {', '.join(ELEMENTWISE)}, not {g!r}")
    return *given, ACTIVATIONS[g]


def _named(**arrays) -> dict[str, float]:
    """Return arrays for output, y, c, w and filter as one dictionary by the report's names."""
    flat = np.concatenate([np.ravel(arrays[stage]) for stage in ("output", "y", "c", "w", "filter")])
    return dict(zip(NAMES, flat.tolist(), strict=True))


# -- as the report writes it: plain arithmetic, so that SymPy's symbols pass through it as numbers do -----------------


def _convolution(x, filter) -> list:
    (x11, x12, x13, x14), (x21, x22, x23, x24), (x31, x32, x33, x34), (x41, x42, x43, x44) = x
    (w11, w12), (w21, w22) = filter
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


def _derivatives(x, w, t, y, slopes, output) -> dict:
    """Return the report's formulas; ``slopes`` are g'(c11), g'(c12), g'(c21), g'(c22)."""
    (x11, x12, x13, x14), (x21, x22, x23, x24), (x31, x32, x33, x34), (x41, x42, x43, x44) = x
    (w1, w2, w3, w4), (y1, y2, y3, y4), (s11, s12, s21, s22) = w, y, slopes
    return {
        "output": output - t,
        "y1": (output - t) * w1,
        "y2": (output - t) * w2,
        "y3": (output - t) * w3,
        "y4": (output - t) * w4,
        "c11": (output - t) * w1 * s11,
        "c12": (output - t) * w2 * s12,
        "c21": (output - t) * w3 * s21,
        "c22": (output - t) * w4 * s22,
        "w1": y1 * (output - t),
        "w2": y2 * (output - t),
        "w3": y3 * (output - t),
        "w4": y4 * (output - t),
        "w11": (output - t) * (w1 * s11 * x11 + w2 * s12 * x13 + w3 * s21 * x31 + w4 * s22 * x33),
        "w12": (output - t) * (w1 * s11 * x12 + w2 * s12 * x14 + w3 * s21 * x32 + w4 * s22 * x34),
        "w21": (output - t) * (w1 * s11 * x21 + w2 * s12 * x23 + w3 * s21 * x41 + w4 * s22 * x43),
        "w22": (output - t) * (w1 * s11 * x22 + w2 * s12 * x24 + w3 * s21 * x42 + w4 * s22 * x44),
    }


def forward(x, filter, w, t, g: str) -> dict[str, float]:
    """Return c11 .. c22, y1 .. y4, the output and the loss."""
    x, filter, w, t, activation = _checked(x, filter, w, t, g)
    c = np.array(_convolution(x, filter))
    y = activation(c)
    output = _weighted_sum(w, y)
    values = [*c, *y, output, _loss(output, t)]
    return dict(zip((*SUMS, *OUTPUTS, "output", "loss"), map(float, values), strict=True))


def closed_form(x, filter, w, t, g: str) -> dict[str, float]:
    """Return the gradients by the report's formulas."""
    x, filter, w, t, activation = _checked(x, filter, w, t, g)
    y = activation(np.array(_convolution(x, filter)))
    slopes = activation.derivative(y)
    return {name: float(value) for name, value in _derivatives(x, w, t, y, slopes, _weighted_sum(w, y)).items()}


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
    losses = [_loss(output, t)]  # as a function of the output, of y and w, of c and w, of everything
    for values in written_out:
        losses.append(losses[-1].subs(values))
    variables = dict(zip(NAMES, (output, *y, *c, *w, *v), strict=True))
    formulas = {}
    for name, formula in _derivatives(x, w, t, y, [gprime(ci) for ci in c], output).items():
        loss = next(loss for loss in reversed(losses) if variables[name] in loss.free_symbols)
        derived = sp.diff(loss, variables[name])
        difference = derived - formula
        for values in written_out:
            difference = difference.subs(values)
        variable = sp.latex(variables[name])
        below = f"({variable})" if name == "output" else variable
        tex = rf"\frac{{\partial L}}{{\partial {below}}} = {sp.latex(formula)}"
        formulas[name] = Formula(derived, formula, sp.expand(difference) == 0, tex)
    return formulas


# -- the same gradients, three more ways ------------------------------------------------------------------------------


def vectorised(x, filter, w, t, g: str) -> dict[str, float]:
    """Return the gradients from one matrix product forward and one back, as ``conv2d`` works inside."""
    x, filter, w, t, activation = _checked(x, filter, w, t, g)
    patches = patch_matrix(x, 2, stride=2)  # (4, 4): a window a row
    y = activation(patches @ filter.ravel())  # (4,)
    error = w @ y - t
    to_y = error * w  # (4,)
    to_c = activation.backward(to_y, y)  # (4,)
    return _named(output=error, y=to_y, c=to_c, w=error * y, filter=patches.T @ to_c)


def by_conv2d(x, filter, w, t, g: str) -> dict[str, float]:
    """Return the gradients through ``conv2d`` and ``conv2d_backward``."""
    x, filter, w, t, activation = _checked(x, filter, w, t, g)
    y = activation(conv2d(x, filter, stride=2))  # (2, 2)
    w = w.reshape(2, 2)
    error = np.sum(w * y) - t
    to_y = error * w  # (2, 2)
    to_c = activation.backward(to_y, y)  # (2, 2)
    return _named(output=error, y=to_y, c=to_c, w=error * y, filter=conv2d_backward(to_c, x, filter, stride=2).filters)


def central_differences(x, filter, w, t, g: str, epsilon: float = 1e-5) -> dict[str, float]:
    """Return the gradients by moving each quantity by ``epsilon`` either way: (loss above - loss below) / 2 epsilon.

    Nothing is derived here, so a wrong formula can't hide. A leaky ReLU's sum within ``epsilon`` of 0 is moved across
    the kink, where there is no derivative to compare with.
    """
    x, filter, w, t, activation = _checked(x, filter, w, t, g)
    if as_numbers("epsilon", epsilon).ndim or epsilon <= 0:
        raise ValueError(f"epsilon must be a number above 0, not {epsilon!r}")
    still = {
        "output": np.zeros(()),
        "y": np.zeros(4),
        "c": np.zeros((2, 2)),
        "w": np.zeros(4),
        "filter": np.zeros((2, 2)),
    }

    def loss(stage, move):
        moved = {**still, stage: move}
        c = conv2d(x, filter + moved["filter"], stride=2) + moved["c"]
        y = activation(c).ravel() + moved["y"]
        output = (w + moved["w"]) @ y + moved["output"]
        return (output - t) ** 2 / 2

    gradients = {stage: np.empty(zeros.shape) for stage, zeros in still.items()}
    for stage, gradient in gradients.items():
        for at in np.ndindex(gradient.shape):
            move = np.zeros(gradient.shape)
            move[at] = epsilon
            gradient[at] = (loss(stage, move) - loss(stage, -move)) / (2 * epsilon)
    return _named(**gradients)
