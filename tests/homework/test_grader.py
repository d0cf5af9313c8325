"""The grader, graded: wrong functions are rejected, right ones accepted; the teacher's page."""

import re
import runpy
from pathlib import Path

import pytest

HOMEWORK = Path(__file__).resolve().parents[2] / "homework"
GRADER = runpy.run_path(str(HOMEWORK / "grade_the_grader.py"))


def test_mutants_are_of_every_kind_and_none_twice():
    source = "def f(x):\n    a = x.T @ x.sum(axis=0)\n    return -a + 2.0"
    changed = [line for line, _ in GRADER["mutants"](source)]
    assert len(set(changed)) == len(changed)
    assert {
        "a = x @ x.sum(axis=0)",
        "a = x.T @ x.sum(axis=1)",
        "a = x.T @ x.mean(axis=0)",
        "return a + 2.0",
        "return -a - 2.0",
        "return -a",
        "pass",
    } <= set(changed)


def test_question_3_s_mutants_are_rejected():
    names = ["sums", "to_w", "to_w21", "gradient"]
    assert GRADER["main"](names, say=lambda *told, **how: None) == (1.0, 1.0)


@pytest.mark.slow
def test_both_rates_are_those_that_the_teacher_s_page_tells(capsys):
    rejected, accepted = GRADER["main"]()
    told = capsys.readouterr().out
    assert rejected >= 0.95
    assert accepted == 1
    listed = len(GRADER["equivalent"]())
    assert f"{listed} more change no result" in told  # none is listed in vain
    page = " ".join((HOMEWORK / "README.md").read_text("utf-8").split())
    wrong, of, right, of_right = re.search(
        r"rejected: (\d+) of (\d+) .*?accepted: (\d+) of (\d+)", told, re.DOTALL
    ).groups()
    assert f"{int(wrong):,} of {int(of):,} wrong" in page
    assert f"{right} of {of_right} right" in page
