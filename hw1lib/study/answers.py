"""Answers to the notebooks' exercises: whether a reader's own is right, or a hint."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

import numpy as np

from hw1lib import faces, nn
from hw1lib.checks import one_of
from hw1lib.study.published import TABLES

# What question 3's exercises start from, as in 7.2
PICTURE = np.array(TABLES["3.1"])
X, KERNEL, T = (PICTURE - 3.5) / 2, np.array([[0.8, -0.4], [-0.3, 0.9]]), 0.6
W = np.array([0.5, -1.2, 0.8, 1.1])
FILTER_1 = np.array([[0, 1, 2], [1, 0, 1], [2, 1, 0]])
FILTER_2 = np.array([[1, 0, 1], [0, 1, 0], [1, 0, 1]])


def check(exercise: str, answer=None) -> None:
    """Say whether an answer to an exercise is right; if not, give a hint.

    Numbers may be rounded to three digits. Without an answer it is said what is asked for.

    Raises
    ------
    ValueError
        No notebook has this exercise.
    """
    print(f"{exercise}: {judge(exercise, answer)[1]}")


def judge(exercise: str, answer) -> tuple[bool, str]:
    """Return whether an answer is right, and a sentence to its author."""
    form, right, *near = ANSWERS[one_of("exercise", exercise, ANSWERS)]
    texts = _texts()[exercise]
    if answer is None:
        return False, f"my_answer is {texts['asks']}."
    try:
        given = _read(answer, form)
    except (TypeError, ValueError) as error:
        return False, f"my_answer is {texts['asks']}; {error}."
    try:
        if _holds(right, given):
            return True, "Yes."
        hint = texts["near" if near and _holds(near[0], given) else "hint"]
    except Exception as error:  # of a reader's function
        hint = f"It raised {type(error).__name__}: {error}"
    return False, f"Not yet. {hint}"


@cache
def _texts() -> dict[str, dict[str, str]]:
    path = Path(__file__).with_name("exercises.toml")
    return tomllib.loads(path.read_text(encoding="utf-8"))


def _read(answer, form: tuple | None):
    """Return an answer in the form that is asked for, or say how it differs."""
    if form is None:
        if not callable(answer):
            raise TypeError(f"this is {type(answer).__name__}: give the function or class itself")
        return answer
    if form and isinstance(form[0], str):
        if not isinstance(answer, str) or answer not in form:
            raise ValueError(f"choose one of {', '.join(map(repr, form))}")
        return answer
    try:
        numbers = np.asarray(answer, float)
    except (TypeError, ValueError):
        raise TypeError(
            f"this is {type(answer).__name__}, and no number or array of them"
        ) from None
    if numbers.shape != form:
        is_asked = " x ".join(map(str, form)) or "one"
        raise ValueError(f"of numbers it asks {is_asked}, this has the shape {numbers.shape}")
    if not np.isfinite(numbers).all():
        raise ValueError("not all of these are finite")
    return numbers


def _holds(right, given) -> bool:
    if callable(right):
        return bool(right(given))
    if isinstance(given, np.ndarray):
        exact = np.asarray(right).dtype.kind in "bi"  # what is counted
        return np.allclose(given, right, rtol=0 if exact else 2e-3, atol=1e-6 if exact else 2e-3)
    return given == right


# -- what is tried ---------------------------------------------------------------------------------


def _is_number_of_components(given) -> bool:
    kept = np.cumsum(faces.open().preprocessor().explained_variance_ratio)
    return np.array_equal(given, [np.argmax(kept >= share) + 1 for share in (0.5, 0.9)])


def _are_losses_of_knowing_nothing(given) -> bool:
    train, _, _ = faces.open().features().split("race")
    shares = np.bincount(train.y, minlength=5) / len(train.y)
    entropy = -np.sum(shares[shares > 0] * np.log(shares[shares > 0]))
    return np.allclose(given, [np.log(5), entropy], atol=2e-3)


def _learnt_by_heart(rmse) -> bool:
    spread = faces.open().labels["age"].std()
    return abs(rmse[2] / spread - 1) < 0.1 and rmse[0] < 0.5 * rmse[2] < rmse[2] < rmse[1]


def _is_absolute_error(loss) -> bool:
    loss = loss() if isinstance(loss, type) else loss
    o, t = np.array([[3.0], [1.0]]), np.array([[1.0], [2.0]])
    slopes = np.array([[0.5], [-0.5]])
    return bool(np.isclose(loss.value(o, t), 1.5)) and np.allclose(loss.gradient(o, t), slopes)


def _is_orthogonal(initializer) -> bool:
    tall, wide = (initializer(*n, np.random.default_rng(0)) for n in ((12, 5), (5, 12)))
    identity = np.eye(5)
    return np.allclose(tall.T @ tall, identity) and np.allclose(wide @ wide.T, identity)


def _finds_the_cell(function) -> bool:
    table = np.array(TABLES["3.5"], float)
    wrong = table + np.eye(16).reshape(16, 4, 4)
    return all(np.ravel(function(table)).tolist() == [i] for i, table in enumerate(wrong))


def _is_both_questions(function) -> bool:
    w, f = W.reshape(2, 2), np.array([[0.3, -0.2, 0.1], [-0.1, 0.4, 0.2], [0.1, -0.3, 0.2]])

    def loss(w, f):
        pooled, _ = nn.max_pool2d(nn.conv2d(X, f, padding=1), 2)
        return (np.sum(w * np.tanh(pooled)) - T) ** 2 / 2

    own, to_w, to_f = function(w, f)
    slopes = []
    for move in 1e-5 * np.eye(13):
        to, on = move[:4].reshape(2, 2), move[4:].reshape(3, 3)
        slopes.append((loss(w + to, f + on) - loss(w - to, f - on)) / 2e-5)
    derived = np.concatenate([np.ravel(to_w), np.ravel(to_f)])
    return bool(np.isclose(own, loss(w, f))) and np.allclose(derived, slopes, atol=1e-7)


def _pools_otherwise(activation) -> bool:
    f = activation() if isinstance(activation, type) else activation
    z = np.random.default_rng(0).normal(size=(5, 1, 6, 6))
    apart = np.abs(f(nn.max_pool2d(z, 2)[0]) - nn.max_pool2d(f(z), 2)[0]).max()
    config = {"picture": (1, 6, 6), "filters": (2,), "hidden": (), "outputs": 1}
    config |= {"activation": f, "output_activation": "identity", "loss": "l2"}
    net = nn.Network(config, "he", dtype=np.float64)
    return apart > 1e-3 and nn.gradcheck(net, z, np.arange(5.0)) < 1e-5


BACK = nn.gradients.closed_form(X, KERNEL, W, T, "tanh")
TO_X = np.kron([[BACK["c11"], BACK["c12"]], [BACK["c21"], BACK["c22"]]], KERNEL)
LEVEL = np.array([[0] * 4, [36] * 4, [36] * 4, [0] * 4])
SEEN = [np.outer(row, row) for row in ([1, 2, 2, 1], [2, 3, 3, 2])]

# The form of each answer: the shape of its numbers, the words to choose from, or None for a
# function or class. Then what is right (or tells whether it is), and what has a hint of its own.
ANSWERS: dict[str, tuple] = {
    "01.1": ((2,), _is_number_of_components),
    "01.2": (("the mean", "black", "grey", "noise"), "the mean"),
    "01.3": (("l2", "standard"), "l2"),
    "01.4": ((2,), lambda error: 0 < error[0] < error[1] < 255),
    "01.5": (("more", "less"), "less"),
    "02.1": ((), 9313, 9232),
    "02.2": ((2,), [-31.29, 30.10], [-61.29, 0.10]),
    "02.3": ((2,), lambda share: share.min() > 0 and share.max() < 1.05),
    "02.4": (
        (3,),
        lambda s: np.isclose(s[0], s[1], rtol=1e-3) and s[1] < s[2],
        lambda s: np.isclose(s[0], s[2], rtol=1e-4),
    ),
    "02.5": (None, _is_absolute_error),
    "03.1": ((), 2, 64),
    "03.2": ((), lambda share: 0 <= share < 0.05, lambda share: share > 0.95),
    "03.3": ((2,), lambda years: 0 <= years[0] < 2 < 10 < years[1]),
    "03.4": (None, _is_orthogonal),
    "04.1": (("validation", "test"), "validation"),
    "04.2": ((), lambda steps: 2290 <= steps <= 2330, lambda steps: 22900 <= steps <= 23300),
    "04.3": ((3,), _learnt_by_heart),
    "04.4": (
        (3,),
        lambda mse: mse[2] < mse[0] and np.isclose(mse[2], mse[0] - mse[1], rtol=0.01),
        lambda mse: np.isclose(mse[2], mse[0] - 0.8 * mse[1], rtol=1e-3),
    ),
    "05.1": ((3,), [0.867, 0.117, 0.016], [0.367, 0.332, 0.301]),
    "05.2": (
        (2,),
        _are_losses_of_knowing_nothing,
        lambda loss: np.isclose(loss[0], np.log2(5), atol=2e-3),
    ),
    "05.3": ((), 1, 0),
    "05.4": (("both", "neither", "others zero", "all alike"), "others zero"),
    "05.5": ((), 0),
    "06.1": ((2, 4, 4), SEEN, SEEN[::-1]),
    "06.2": ((4, 4), LEVEL, -LEVEL),
    "06.3": ((5, 5), nn.conv2d(FILTER_1, FILTER_2, padding=2, mode="convolution")),
    "06.4": ((), 100, lambda cells: cells in (10, 16, 64)),
    "06.5": (None, _finds_the_cell),
    "07.1": (("w", "kernel", "both"), "both"),
    "07.2": ((4, 4), np.kron(np.ones((2, 2)), [[1, 0], [0, 0]]), np.full((4, 4), 0.5)),
    "07.3": ((), lambda epsilon: 5e-7 < epsilon < 5e-5),
    "07.4": ((4, 4), TO_X, -TO_X),
    "07.5": (None, _is_both_questions),
    "08.1": ((), 4224, 73856),
    "08.2": (None, _pools_otherwise),
    "08.3": (
        (3,),
        lambda mse: 0 < mse[2] < mse[:2].mean(),
        lambda mse: np.isclose(mse[2], mse[:2].mean()),
    ),
    "08.4": ((3,), lambda less: less[1] < less[0] < less[2] and less[0] < 1),
    "08.5": (
        (5, 5),
        lambda change: change.min() >= 0 and change[1:4, 1:4].mean() > change[::4, ::4].mean(),
    ),
    "10.1": (("share", "width"), "width"),
    "10.2": (("yes", "no", "the same", "inconclusive"), "no"),
    "10.3": ((), lambda times: 2.5 < times < 3.6, lambda times: 1.7 < times < 1.95),
    "10.4": ((2,), lambda rmse: 0 < rmse[1] < rmse[0], lambda rmse: rmse[0] < rmse[1]),
}
