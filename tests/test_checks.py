"""What is wrong with an argument is said with its name, and with what is allowed."""

import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell

from hw1lib import study
from hw1lib.checks import FileError, UserError, numbers, one_of, real_number, whole_number
from hw1lib.progress import bar


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
        (lambda: one_of("loss", "l3", ["l1", "l2"]), "loss must be one of l1, l2, not 'l3'"),
        (lambda: one_of("loss", ["l1"], ["l1", "l2"]), r"not \['l1'\]"),
        (lambda: numbers("X", [[1, 2], [3]]), "X must be an array, with rows of equal length"),
        (lambda: numbers("X", ["a"]), "X must hold real numbers, not <U1"),
        (lambda: numbers("y", [1.5], kinds="iu"), "y must hold real numbers, not float64"),
        (lambda: numbers("X", [1, 2], shape=(3,)), r"X must have shape \(3,\), not \(2,\)"),
        (lambda: numbers("X", [1, np.inf]), "X must be finite"),
        (lambda: numbers("X", np.ma.masked_equal([1, 999], 999)), "X must not hold masked values"),
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
    assert issubclass(FileError, OSError)


def test_a_list_of_masked_rows_is_refused_too():
    row = np.ma.array([1.0, 999.0], mask=[False, True])
    with pytest.raises(ValueError, match="X must not hold masked values"):
        numbers("X", [[1.0, 2.0]] * 1000 + [row])


@pytest.mark.parametrize(
    "compute",
    [
        study.interval,
        study.mean_and_interval,
        lambda row: study.participation_ratio(row[None]),
        lambda row: study.paired(row, [1, 2]),
        lambda row: study.paired([1, 2], row),
        lambda row: study.errors_by_group(row, ["a", "b"], "age"),
        lambda row: study.errors_by_group([1, 2], row, "age"),
    ],
)
def test_no_number_is_computed_of_what_is_hidden(compute):
    with pytest.raises(ValueError, match="must not hold masked values"):
        compute(np.ma.array([1.0, 999.0], mask=[False, True]))


def test_a_bar_is_silent_where_nobody_reads_it(monkeypatch):
    monkeypatch.setattr("sys.stderr", None)
    assert list(bar(range(3), "counting")) == [0, 1, 2]
