"""What `study.check` says of answers; that it says yes to the right ones is held by 09."""

import re
from pathlib import Path

import numpy as np
import pytest

from hw1lib import nn, study
from hw1lib.study import answers

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"


def said(exercise, answer, capsys):
    study.check(exercise, answer)
    return capsys.readouterr().out


def test_every_exercise_has_a_cell_and_says_what_it_asks_for(capsys):
    cells = "".join(path.read_text("utf-8") for path in NOTEBOOKS.glob("*.ipynb"))
    assert re.findall(r'study\.check\(\\"(\d\d\.\d)\\", my_answer\)', cells) != []
    assert set(re.findall(r'study\.check\(\\"(\d\d\.\d)\\"', cells)) == set(answers.ANSWERS)
    assert set(answers._texts()) == set(answers.ANSWERS)
    for exercise, (_, _, *near) in answers.ANSWERS.items():
        texts = answers._texts()[exercise]
        assert set(texts) == {"asks", "hint", *(["near"] if near else [])}
        assert said(exercise, None, capsys) == f"{exercise}: my_answer is {texts['asks']}.\n"


@pytest.mark.parametrize("wrong", ["", b"x", 1e300, np.nan, [[]], [1, 2, 3, 4, 5], {}, len, object])
@pytest.mark.parametrize("exercise", answers.ANSWERS)
def test_a_wrong_answer_of_any_type_gets_a_sentence(exercise, wrong, capsys):
    text = said(exercise, wrong, capsys)
    assert text.startswith((f"{exercise}: Not yet. ", f"{exercise}: my_answer is "))
    assert "Yes" not in text


@pytest.mark.parametrize(
    ("exercise", "near", "told"),
    [
        ("02.1", 9313 - 64 - 16 - 1, "bias"),
        ("04.2", np.log(2) / (3e-4 * 0.1), "Momentum"),
        ("05.2", [np.log2(5), 2.1], "natural"),
        (
            "06.2",
            nn.conv2d(
                np.repeat([[0], [9]], 3, axis=0) * np.ones(6), [[1, 2, 1], [0, 0, 0], [-1, -2, -1]]
            ),
            "sign",
        ),
        ("07.2", np.full((4, 4), 0.5), "differences"),
        ("08.1", 9 * 64 * 128 + 128, "hidden"),
        ("10.3", np.sqrt(10 / 3), "Student"),
    ],
)
def test_a_usual_mistake_is_named(exercise, near, told, capsys):
    text = said(exercise, near, capsys)
    assert "Not yet" in text
    assert told in text


def test_functions_and_classes_are_tried(capsys):
    class Sign(nn.L2):
        def value(self, o, t):
            return float(np.mean(np.abs(o - t)))

    assert "Not yet" in said("02.5", Sign, capsys)  # the value alone
    assert "Not yet" in said("03.4", lambda n, m, rng: rng.standard_normal((n, m)), capsys)
    assert "Not yet" in said("08.2", nn.LeakyReLU, capsys)  # it never falls
    assert "It raised ZeroDivisionError" in said("06.5", lambda table: 1 / 0, capsys)


def test_an_exercise_that_no_notebook_has_is_refused():
    with pytest.raises(ValueError, match=r"02\.1"):
        study.check("2.1", 9313)
