"""The homework: what a student gets, what the checks say, points without nbgrader."""

import ast
import csv
import os
import re
import runpy
import sys
import textwrap
import time
from pathlib import Path

import nbformat
import numpy as np
import pytest

from hw1lib import homework
from hw1lib.__main__ import main

HOMEWORK = Path(__file__).resolve().parents[2] / "homework"
SOURCE, RELEASE = HOMEWORK / "source" / "hw1", HOMEWORK / "release" / "hw1"
sys.path.insert(0, str(SOURCE))

import checks  # noqa: E402
import judge  # noqa: E402

STUB = "    # YOUR CODE HERE\n    raise NotImplementedError()"
SOLUTION = r"    ### BEGIN SOLUTION\n(.*?)\n    ### END SOLUTION"
HIDDEN = r"\n### BEGIN HIDDEN TESTS\n.*?### END HIDDEN TESTS"
ASKED = "order=rng.permutation(len(X))"  # the text says so, that all draw the same
QUESTIONS = [f"question_{i}.ipynb" for i in (1, 2, 3)]


def cells(folder, name):
    return nbformat.read(folder / name, as_version=4).cells


def facts(cell):
    return cell.metadata.get("nbgrader", {})


def solved():
    """Return the solution of each blank, as a student would write its cell."""
    found = {}
    for name in QUESTIONS:
        for cell in cells(SOURCE, name):
            if facts(cell).get("solution"):
                found[facts(cell)["grade_id"]] = re.sub(
                    SOLUTION, r"\1", cell.source, flags=re.DOTALL
                )
    return found


SOLVED = solved()


def function(source):
    """Return the function that a cell defines, as a notebook's would be."""
    scope = {"__name__": "__main__", "np": np}
    exec(textwrap.dedent(source), scope)
    return next(value for name, value in reversed(scope.items()) if callable(value))


# -- what a student gets ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", QUESTIONS)
def test_the_release_is_the_source_without_solutions_and_hidden_tests(name):
    given = cells(RELEASE, name)
    for own, theirs in zip(cells(SOURCE, name), given, strict=True):
        text = re.sub(SOLUTION, STUB, own.source, flags=re.DOTALL)
        assert theirs.source == re.sub(HIDDEN, "", text, flags=re.DOTALL)
        assert own.cell_type == theirs.cell_type
        assert facts(own).items() <= facts(theirs).items()


@pytest.mark.parametrize("name", QUESTIONS)
def test_no_solution_is_in_what_is_given(name):
    """Not in a cell, an output, a cell's metadata or a check."""
    for cell in cells(RELEASE, name):
        assert cell.get("outputs", []) == []
        assert not set(cell.metadata) - {"nbgrader", "deletable", "editable"}
        assert not set(facts(cell)) & {"source", "solution_source"}
    texts = [path.read_text("utf-8") for path in (RELEASE / name, *SOURCE.glob("*.py"))]
    given = re.sub(r"\s", "", "".join(texts).replace(r"\n", "").replace(r"\"", '"'))
    assert "BEGINSOLUTION" not in given
    assert "BEGINHIDDEN" not in given
    for cell in cells(SOURCE, name):
        for solution in re.findall(SOLUTION, cell.source, re.DOTALL):
            lines = [re.sub(r"\s", "", line) for line in solution.splitlines()]
            assert {line for line in lines if len(line) > 24 and line in given} <= {ASKED}


def test_at_least_24_blanks_each_with_points_shapes_and_a_hint():
    names = []
    for notebook in QUESTIONS:
        above = ""
        for cell in cells(RELEASE, notebook):
            if facts(cell).get("solution"):
                name = facts(cell)["grade_id"]
                asked = judge.BLANKS[name]
                names.append(name)
                assert str(asked.question) in notebook
                assert above.startswith(f"### `{name}` ({asked.points} point")
                assert "<details><summary>Hint</summary>" in above
                assert ast.get_docstring(ast.parse(cell.source).body[0])
                assert 1 <= len(SOLVED[name].splitlines()) - 2 <= 16
            if facts(cell).get("grade"):
                assert cell.source == f'{name} = checks.check("{name}")'
                assert facts(cell)["points"] == judge.BLANKS[name].points
            above = cell.source
        assert above == f"checks.points({notebook[9]})"
    assert len(set(names)) == len(names) >= 24
    assert set(names) == set(judge.BLANKS)


@pytest.mark.parametrize("name", QUESTIONS[1:])
def test_all_cells_run_with_every_blank_left(name, capsys):
    """A stand-in takes the place of each."""
    pytest.importorskip("matplotlib").use("Agg")
    scope = {"__name__": "__main__"}
    for cell in cells(RELEASE, name):
        if cell.cell_type == "code":
            exec(compile(cell.source, name, "exec"), scope)
    told = capsys.readouterr().out
    total = sum(b.points for b in judge.BLANKS.values() if b.question == int(name[9]))
    assert f"Question {name[9]}: 0 of {total} points" in told
    assert told.count("It is not written yet.\n  Until it is right, a stand-in") > 8


# -- what the checks say ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", judge.BLANKS)
def test_the_solution_is_right_with_any_numbers(name):
    scope = {"__name__": "__main__", "np": np}
    exec("\n\n".join(SOLVED.values()), scope)
    for seed in (0, 1, 2, 26):
        assert judge.judge(name, scope[name], seed) == (True, "")


def through(function):
    return lambda *given: function(*given)


@pytest.mark.parametrize("name", judge.BLANKS)
def test_each_usual_mistake_is_refused_by_its_name(name):
    for sentence, mistaken in judge.BLANKS[name].mistakes.items():
        right, said = judge.judge(name, through(mistaken))
        assert not right, sentence
        named = sentence in said or "NaN" in said
        assert named, f"{sentence}: {said}"
    right, said = judge.judge(name, lambda *given: -np.ones((7, 5, 3)))
    assert not right


WRONG = {
    "pass": "The result is None: is a `return` missing?",
    "return z * np.nan": "holds NaN or infinity",
    "return 'abc'": "must be real numbers, not 'abc'",
    "return z.T": "has the shape (4, 5); expected is (5, 4)",
    "return {1: 2}": "must be real numbers",
    "return z + 1j": "must be real numbers",
    "while True: pass": "It took more than 2 seconds: a loop without an end",
    "while True: print('round and round')": "It took more than 2 seconds",
    "import os; os._exit(0)": "It ended Python",
    "exit()": "It ends with SystemExit",
    "return softmax(z)": "It raises RecursionError",
    "return z / nothing": "It raises NameError in line 2 of softmax: name 'nothing'",
    "import scipy.special as s; return s.softmax(z, axis=1)": "It calls scipy",
    "raise NotImplementedError()": "It is not written yet.",
    "z -= z.max(1)[:, None]; e = np.exp(z); return e / e.sum(1)[:, None]": "arguments are changed",
    "e = np.exp(z); return e / e.sum(0)": "the sum runs over the rows, not over the classes",
    "e = np.exp(-z); return e / e.sum(1)[:, None]": "Relative error 1.1 (the largest",
    "e = np.exp(z); return 2 * e / e.sum(1)[:, None]": "it is twice the expected",
    "e = np.exp(z); return e / e.sum(1)[:, None]": 'cell: softmax(*checks.example("softmax", 1))',
}


KILLED = [body for body in WRONG if "while" in body or "_exit" in body]


@pytest.mark.parametrize(
    "body", [pytest.param(b, marks=pytest.mark.slow if b in KILLED else ()) for b in WRONG]
)
def test_whatever_is_wrong_gets_a_sentence_in_time(body, monkeypatch):
    judge.ask("l2", None)  # the process has started
    monkeypatch.setattr(judge, "PATIENCE", 2.0)
    start = time.monotonic()
    right, said = judge.ask("softmax", function(f"def softmax(z):\n    {body}"))
    assert not right
    assert WRONG[body] in said
    assert time.monotonic() - start < 8
    assert judge.ask("l2", function(SOLVED["l2"])) == (True, "")  # and the next check works


def test_what_is_no_function_and_what_can_not_be_sent():
    assert judge.ask("l2", 3) == (False, "It must be a function, not 3.")
    generator = (i for i in range(3))
    assert "can't be sent to the check" in judge.ask("l2", lambda o, t: generator)[1]


BORROWED = {
    "helper": "def mine(z):\n    return checks.softmax(z)\ndef softmax(z):\n    return mine(z)",
    "inside": "def softmax(z):\n    return [checks.softmax(x) for x in [z]][0]",
    "default": "def softmax(z, f=checks.softmax):\n    return f(z)",
    "class": "class A:\n    def f(self, z):\n        return checks.softmax(z)\n"
    "def softmax(z):\n    return A().f(z)",
    "judge": "from judge import BLANKS as B\ndef softmax(z):\n    return B['softmax'].reference(z)",
}


@pytest.mark.parametrize("way", BORROWED)
def test_what_is_borrowed_by_a_detour_gets_no_points(way):
    scope = {"__name__": "__main__", "np": np, "checks": checks}
    exec(BORROWED[way], scope)
    assert judge.judge("softmax", scope["softmax"])[1].startswith("It calls ")


def test_a_broken_notebook_among_others_is_told_and_the_others_count(tmp_path, capsys):
    (tmp_path / "broken.ipynb").write_text("{")
    good = RELEASE / "question_3.ipynb"
    table = tmp_path / "points.csv"
    assert main(["check", str(tmp_path / "broken.ipynb"), str(good), "--csv", str(table)]) == 1
    assert "1 of 2 can't be read" in capsys.readouterr().err
    broken, *rows = csv.DictReader(table.open(encoding="utf-8"))
    assert (broken["points"], len(rows), rows[0]["question"]) == ("0", 10, "3")
    assert list(broken) == ["notebook", "question", "blank", "points", "of", "said"]


def test_a_check_finds_its_function_and_says_where_there_is_none(capsys):
    scope = {"__name__": "__main__", "np": np, "checks": checks}
    exec('l2 = checks.check("l2")', scope)
    assert "It is not defined: has its cell run" in capsys.readouterr().out
    assert scope["l2"] is judge.BLANKS["l2"].stand_in
    exec(SOLVED["l2"] + '\nl2 = checks.check("l2")', scope)
    assert "l2: right" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("softmax", "e = np.exp(z - z.mean(1)[:, None]); return e / e.sum(1)[:, None]"),
        ("output_size", "return round((size + 2 * padding - filter_size) / stride) + 1"),
        ("output_size", "return (size + 2 * padding - filter_size) // stride + 1.0"),
        ("normaliser", "s = X.std(0); return X.mean(0), np.where(s > 0.1, s, 1)"),
    ],
)
def test_what_was_once_taken_for_right_is_not(name, wrong):
    head = SOLVED[name].split("\n")[0]
    assert not judge.ask(name, function(f"{head}\n    {wrong}"))[0]


def test_a_stand_in_of_another_blank_may_be_called(capsys):
    source = """def gradient(x, kernel, w, t):
    c = sums(x, kernel)
    y, output, _ = outputs(c, w, t)
    given = x, c, w, output, t
    filters = [[to_w11(*given), to_w12(*given)], [to_w21(*given), to_w22(*given)]]
    return to_w(y, output, t), np.array(filters)"""
    names = ["sums", "outputs", "to_w", "to_w11", "to_w12", "to_w21", "to_w22"]
    scope = {"__name__": "__main__", "np": np}
    scope |= {name: judge.BLANKS[name].stand_in for name in names}
    exec(source, scope)
    assert judge.ask("gradient", scope["gradient"]) == (True, "")
    judge.TOLD.clear()
    checks.check("to_w", scope["to_w11"])
    capsys.readouterr()
    checks.say_stand_ins(3)
    assert "a stand-in works for sums, outputs, to_w, " in capsys.readouterr().out


def test_a_mean_where_a_sum_is_asked_for_is_named():
    said = judge.judge("l2", lambda o, t: np.mean((o - t) ** 2) / 2)[1]
    assert "it is 1/3 of the expected" in said
    right = function(SOLVED["kernel_gradient"].replace("pad(", "np.pad("))
    said = judge.judge("kernel_gradient", lambda g, *rest: right(g, *rest) / g.size)
    assert "a mean, where a sum is asked for" in said[1]


def test_an_array_will_do_where_a_list_is_asked_for():
    losses = SOLVED["descend"].replace("w, losses", "w, np.array(losses)")
    scope = {"__name__": "__main__", "np": np, "mean_gradient": checks.mean_gradient}
    exec(losses, scope)
    assert judge.judge("descend", scope["descend"]) == (True, "")
    said = judge.judge("outputs", lambda c, w, t: np.tanh(c))[1]
    assert said.startswith("The result must be 3 values, not a ndarray of 4.")
    assert "3 values, not None" in judge.judge("outputs", lambda *given: None)[1]


def test_a_right_function_that_prints_a_flood_is_right():
    source = SOLVED["l2"].replace("return", "print('x' * 10**6)\n    return")
    right, said = judge.ask("l2", function(source))
    assert right
    assert said.startswith("It prints 5,000,005 characters")  # of five calls


def test_a_check_returns_the_function_or_its_stand_in(capsys, monkeypatch):
    right, wrong = function(SOLVED["l2"]), function("def l2(o, t):\n    return 0.0")
    assert checks.check("l2", right) is right
    checks.grade("l2", right, seed=26)
    stand_in = checks.check("l2", wrong)
    assert stand_in is judge.BLANKS["l2"].stand_in
    assert checks.check("l2", stand_in) is stand_in  # run again without a new function
    told = capsys.readouterr().out
    assert "l2: not yet, 1 point.\n  The result is 0; expected is" in told
    for passed in (stand_in, wrong):
        with pytest.raises(AssertionError, match="l2: The result is 0; expected is"):
            checks.grade("l2", passed, seed=26)
    monkeypatch.setenv("NBGRADER_EXECUTION", "validate")
    with pytest.raises(AssertionError, match="l2: "):
        checks.check("l2", wrong)


# -- points without nbgrader -----------------------------------------------------------------------


def fill(folder, name, names, sources=SOLVED):
    """Write a release notebook with some blanks filled in."""
    notebook = nbformat.read(RELEASE / name, as_version=4)
    for cell in notebook.cells:
        if facts(cell).get("solution") and facts(cell)["grade_id"] in names:
            cell.source = sources[facts(cell)["grade_id"]]
    folder.mkdir(exist_ok=True)
    nbformat.write(notebook, folder / name)
    return folder / name


@pytest.mark.parametrize("name", ["backward", "train", "layer", "mean_gradient", "descend"])
def test_a_part_works_without_the_parts_before(name, tmp_path, capsys):
    asked = judge.BLANKS[name]
    path = fill(tmp_path, f"question_{asked.question}.ipynb", [name])
    assert main(["check", str(path)]) == 0
    assert f"Question {asked.question}: {asked.points} of " in capsys.readouterr().out


def test_homework_is_written_once_and_checked(tmp_path, capsys):
    folder = tmp_path / "mine"
    assert main(["homework", "--to", str(folder)]) == 0
    assert sorted(os.listdir(folder)) == ["checks.py", "judge.py", *QUESTIONS]
    assert main(["homework", "--to", str(folder)]) == 1
    assert "what is there is kept" in capsys.readouterr().err
    half = fill(tmp_path / "half", QUESTIONS[2], [*judge.BLANKS][-4:])
    table = tmp_path / "points.csv"
    command = ["check", str(half), str(folder / QUESTIONS[2]), "--csv", str(table), "--seed", "7"]
    assert main(command) == 0
    told = capsys.readouterr().out
    assert "Question 3: 8 of 15 points, 4 of 10 blanks.\n  sums (1): It is not written" in told
    rows = list(csv.DictReader(table.open(encoding="utf-8")))
    assert len(rows) == 20
    assert sum(int(row["points"]) for row in rows) == 8
    assert [*rows[0]] == ["notebook", "question", "blank", "points", "of", "said"]


def test_what_is_broken_in_a_notebook_costs_its_own_points_alone(tmp_path, capsys):
    broken = SOLVED | {"sums": "def sums(x, kernel)\n    return 1", "to_w": "while True: pass"}
    broken["to_w22"] = "%matplotlib inline\n" + SOLVED["to_w22"] + "\nimport no_such_module"
    squared = "HALF = 1 / np.float64(2)\nsquare = lambda x: x * x\n"
    loss = "HALF * square(output - t)"
    broken["outputs"] = squared + SOLVED["outputs"].replace("(output - t) ** 2 / 2", loss)
    path = fill(tmp_path, QUESTIONS[2], judge.BLANKS, broken)
    assert main(["check", str(path)]) == 0
    told = capsys.readouterr().out
    assert "the cell of sums can't be read: SyntaxError" in told
    assert "can't be read: ModuleNotFoundError: No module named 'no_such_module'" in told
    assert "13 of 15 points, 8 of 10 blanks" in told
    assert "to_w (1): It is not in the notebook" in told


def test_where_there_is_no_homework_that_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(homework, "HOMEWORK", tmp_path)
    assert main(["homework", "--to", str(tmp_path / "mine")]) == 1
    assert "an installed package has none; run this in a checkout" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("no notebook", "not a notebook"),
        ('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}', "no notebook of the"),
        (None, "No such file"),
    ],
)
def test_what_is_no_homework_is_said(content, said, tmp_path, capsys):
    path = tmp_path / "x.ipynb"
    if content is not None:
        path.write_text(content)
    assert main(["check", str(path)]) == 1
    assert said in capsys.readouterr().err


LESSON = HOMEWORK.parent / "notebooks" / "01_preprocess.ipynb"


@pytest.mark.parametrize("path", [RELEASE / QUESTIONS[2], LESSON])
def test_slides_are_one_a_heading(path):
    notebook = nbformat.read(path, as_version=4)
    headings = [c for c in notebook.cells if c.cell_type == "markdown" and c.source[0] == "#"]
    slides = runpy.run_path(str(HOMEWORK / "slides.py"))["slides"](path)
    assert slides.count("<section") >= len(headings) > 3
    assert "as_printed" not in slides
    assert "checks.check(" not in slides
