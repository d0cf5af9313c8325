"""What is wrong with an argument is said with its name, and with what is allowed."""

import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell

from hw1lib import faces, study
from hw1lib.checks import FileError, UserError, numbers, one_of, real_number, whole_number
from hw1lib.progress import bar, processes

HIDING = np.ma.array([1.0, 999.0], mask=[False, True])


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (lambda: whole_number("epochs", True), "epochs must be a whole number >= 1, not True"),
        (lambda: whole_number("epochs", 2.0), "not 2.0"),
        (lambda: whole_number("seed", -1, least=0), "seed must be a whole number >= 0, not -1"),
        (lambda: real_number("momentum", 1, below=1), ">= 0 and below 1, not 1"),
        (lambda: real_number("rate", 0, above=True), "rate must be a finite number > 0, not 0"),
        (lambda: real_number("rate", float("nan")), "not nan"),
        (lambda: real_number("rate", "1"), "not '1'"),
        (lambda: one_of("loss", ["l1"], ["l1", "l2"]), r"loss must be one of l1, l2, not \['l1'\]"),
        (lambda: numbers("X", [[1, 2], [3]]), "X must be an array, with rows of equal length"),
        (lambda: numbers("X", ["a"]), "X must hold real numbers, not <U1"),
        (lambda: numbers("X", [1, 2], shape=(3,)), r"X must have shape \(3,\), not \(2,\)"),
        (lambda: numbers("X", [1, np.inf]), "X must be finite"),
        (lambda: numbers("X", HIDING), "X must not hold masked values"),
        (lambda: numbers("X", [[1.0, 2.0], HIDING]), "X must not hold masked values"),
        (lambda: numbers("X", [[HIDING, HIDING]]), "X must not hold masked values"),
        (lambda: faces.Preprocessor(1).fit(HIDING[:, None]), "must not hold masked values"),
        (lambda: faces.Data(HIDING, HIDING, HIDING), "must not hold masked values"),
        (lambda: study.interval(HIDING), "must not hold masked values"),
        (lambda: study.mean_and_interval(HIDING), "must not hold masked values"),
        (lambda: study.participation_ratio(HIDING[None]), "must not hold masked values"),
        (lambda: study.paired(HIDING, [1, 2]), "must not hold masked values"),
        (lambda: study.paired([1, 2], HIDING), "must not hold masked values"),
    ],
)
def test_what_is_wrong_is_said(check, message):
    with pytest.raises(ValueError, match=message):
        check()


def test_what_is_right_is_returned_as_it_is_used():
    assert (whole_number("n", np.int8(3)), real_number("x", np.float32(0.5))) == (3, 0.5)
    np.testing.assert_array_equal(numbers("X", np.ma.array([1, 2])), [1, 2])  # which hides nothing


@pytest.mark.parametrize("kind", [UserError, FileError])
def test_a_notebook_shows_the_sentence_without_a_traceback(kind, capsys):
    def fail():
        raise kind("learning_rate is too large")

    shell = InteractiveShell()
    shell.user_ns["fail"] = fail
    shell.run_cell("fail()")
    assert capsys.readouterr().out.strip() == f"{kind.__name__}: learning_rate is too large"


def test_a_bar_is_silent_where_nobody_reads_it(monkeypatch):
    monkeypatch.setattr("sys.stderr", None)
    assert list(bar(range(3), "counting")) == [0, 1, 2]
    assert processes(2) == 1  # joblib's would fail
