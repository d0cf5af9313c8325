"""How the homework's checks work. What is asked of each blank stands in checks.py.

A student's function runs in a process of its own, which is ended after ``PATIENCE`` seconds: no
endless loop, exit or flood of prints reaches the notebook. It guards against accidents. It is no
prison for code that means harm.
"""

import atexit
import contextlib
import copy
import importlib
import io
import json
import os
import pickle
import subprocess
import sys
import threading
import time
import traceback
import warnings
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, NamedTuple

import cloudpickle
import numpy as np

HERE = Path(__file__).resolve().parent
PATIENCE = 7.0  # seconds for all cases of one check
FORMS: dict[str, Any] = {  # the first case is asked in all of them, the others in the first
    "float64": lambda x: np.array(x, np.float64),
    "float32": lambda x: np.array(x, np.float32),
    "float64 in Fortran order": lambda x: np.array(x, np.float64, order="F"),
    "float64, not contiguous": lambda x: np.repeat(np.array(x, np.float64), 2, axis=-1)[..., ::2],
}
LEFT = "It is not written yet."
ELSEWHERE = {"scipy", "sklearn", "torch", "hw1lib", "checks", "judge"}  # it is solved there


class Blank(NamedTuple):
    """What is asked of one function; ``blank`` makes it."""

    question: int
    points: int
    cases: Any  # of a generator: a list, the arguments of each call
    reference: Any  # the same by another way
    mistakes: dict  # what a usual mistake is called, and a function that makes it
    rounding: float  # the relative error that a right solution stays below
    seen: Any  # what of a result counts
    stand_in: Any  # what is used in place of a blank that was left: the reference, if not said


BLANKS: dict[str, Blank] = {}
TOLD: dict[str, tuple[bool, str]] = {}  # of each check that ran: is it right, and what was said


def blank(question, points, cases, mistakes=None, rounding=1e-6, seen=None, stand_in=None):
    """Return a decorator: what it stands above, by its name, is what a student is asked for."""

    def register(reference):
        counts = seen or (lambda result, *given: result)
        facts = question, points, cases, reference, mistakes or {}, rounding, counts
        BLANKS[reference.__name__] = Blank(*facts, stand_in or reference)
        return reference

    return register


def example(name: str, case: int = 0, seed: int = 0) -> list:
    """Return the arguments of one of a check's calls, to try a function on."""
    return BLANKS[name].cases(np.random.default_rng(seed))[case]


# -- one answer ------------------------------------------------------------------------------------


def judge(name: str, function, seed: int = 0) -> tuple[bool, str]:
    """Return whether a function does what is asked, and what to tell who wrote it."""
    asked = BLANKS[name]
    if not callable(function):
        return False, f"It must be a function, not {function!r:.60}."
    if module := _borrowed(function):
        return False, f"It calls {module}: write it yourself, with NumPy alone."
    for case in range(len(asked.cases(np.random.default_rng(seed)))):
        for form in FORMS if case == 0 else ["float64"]:
            given = _each(FORMS[form], example(name, case, seed))
            told = _judge_call(asked, function, given, form)
            if told == LEFT:
                return False, told
            if told:
                drawn = f", seed={seed}" if seed else ""
                call = f'{name}(*checks.example("{name}", {case}{drawn}))'
                kind = f" (there it was {form})" if form != "float64" else ""
                told = f"{told[0].upper()}{told[1:]}"
                return False, f"{told}\nTo see it, add to your cell: {call}{kind}"
    return True, ""


def _judge_call(asked: Blank, function, given: list, form: str) -> str:
    """Return what is wrong with one call, or nothing."""
    exact = _each(FORMS["float64"], given)
    expected = asked.seen(asked.reference(*copy.deepcopy(exact)), *exact)
    before = pickle.dumps(_numbers(given))
    try:
        got = function(*given)
    except NotImplementedError:
        return LEFT
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        own = [f for f in frames if f.lineno and not Path(f.filename).exists()]  # of a notebook
        line = f" in line {own[-1].lineno} of {own[-1].name}" if own else ""
        return f"It raises {type(error).__name__}{line}: {error!s:.300}"
    with contextlib.suppress(Exception):  # of another kind or shape: told as it is
        got = asked.seen(got, *exact)
    wrong = _difference(got, expected, max(asked.rounding, 2e-3 if form == "float32" else 0))
    if wrong:
        said, *arrays = wrong
        return said + _looks_like(asked, got, exact, expected, *arrays)
    if pickle.dumps(_numbers(given)) != before:
        return "The result is right, but the arguments are changed: work on a copy."
    return ""


def _borrowed(function) -> str | None:
    """Return the name of a module that has the solution, and that the function calls.

    It looks into what is defined inside it, its defaults, and the notebook's own helpers.
    """
    left, seen = [function], set()
    while left:
        one = left.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, type):
            left += vars(one).values()
        scope, code = getattr(one, "__globals__", {}), getattr(one, "__code__", None)
        codes, names = [code] if code else [], set()
        while codes:
            part = codes.pop()
            names |= {*part.co_names}
            codes += [inner for inner in part.co_consts if isinstance(inner, CodeType)]
        for name in names:
            if name.split(".")[0] in ELSEWHERE and name not in scope:  # imported inside
                return name
        given = [*(getattr(one, "__defaults__", None) or ())]
        given += (getattr(one, "__kwdefaults__", None) or {}).values()
        for name, thing in [
            *((name, scope.get(name)) for name in names),
            *(("", g) for g in given),
        ]:
            if thing is BLANKS:
                return "judge"
            its = thing.__name__ if isinstance(thing, ModuleType) else ""
            its = its or (getattr(thing, "__module__", None) or "" if callable(thing) else "")
            if its.split(".")[0] in ELSEWHERE and not (name in BLANKS and its == "checks"):
                return its  # but another blank's stand-in may be called
            if its == "__main__":
                left.append(thing)
    return None


def _each(form, value):
    """Return lists and arrays of floats in a form; all else as it is."""
    if isinstance(value, list | tuple):
        return type(value)(_each(form, part) for part in value)
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return form(value)
    return copy.deepcopy(value)


def _numbers(value):
    """Return arguments without generators, which are meant to change."""
    if isinstance(value, list):
        return [_numbers(part) for part in value if not isinstance(part, np.random.Generator)]
    return value


def _difference(got, expected, tolerance: float, at: str = "the result"):
    """Return None, or what is wrong and, where it is two arrays that differ, these."""
    if isinstance(expected, list | tuple):
        parted = isinstance(got, list | tuple) or (isinstance(got, np.ndarray) and got.ndim > 0)
        if not parted or len(got) != len(expected):
            kind = f"a {type(got).__name__} of {len(got)}" if parted else f"{got!r:.40}"
            return (f"{at} must be {len(expected)} values, not {kind}.",)
        pairs = enumerate(zip(got, expected, strict=True))
        parts = (_difference(g, e, tolerance, f"the {_nth(i)} of {at}") for i, (g, e) in pairs)
        return next(filter(None, parts), None)
    if got is None:
        return (f"{at} is None: is a `return` missing?",)
    try:
        g, e = np.asarray(got), np.asarray(expected, float)
    except Exception:
        return (f"{at} must be numbers, not {got!r:.60}.",)
    if g.dtype.kind not in "biuf":
        return (f"{at} must be real numbers, not {got!r:.60}.",)
    if g.shape != e.shape:
        shape = e.shape or "a single number"
        return f"{at} has the shape {g.shape}; expected is {shape}.", g, e
    if not np.isfinite(g).all():
        return (f"{at} holds NaN or infinity: exp of a large number, log of 0, 0 / 0?",)
    with np.errstate(all="ignore"):
        size = float(np.abs(e).max(initial=0)) or 1.0
        error = float(np.abs(g - e).max(initial=0)) / size
    if error <= tolerance:
        return None
    place = np.unravel_index((np.abs(g - e) > tolerance * size).argmax(), e.shape)
    where = f" at [{', '.join(map(str, place))}]" if place else ""
    said = f"{at}{where} is {g[place]:.5g}; expected is {e[place]:.5g}. Relative error {error:.2g} "
    said += "(the largest difference, as a share of the largest number expected)"
    return f"{said}; of right ones it is below {tolerance:.0e}.", g, e


def _mistake(told: str) -> str:
    return f"\nIt looks like a usual mistake: {told}{'' if told.endswith('?') else '.'}"


def _nth(i: int) -> str:
    return ("first", "second", "third", "fourth")[i] if i < 4 else f"{i + 1}th"


def _looks_like(asked, got, given, expected, g=None, e=None) -> str:
    """Return which usual mistake gives the same, as a sentence, or nothing."""
    for mistake, returns in asked.mistakes.items():
        with contextlib.suppress(Exception):
            other = asked.seen(returns(*copy.deepcopy(given)), *given)
            if _difference(other, expected, 1e-3) and not _difference(got, other, 1e-3):
                return _mistake(mistake)
    if e is None or e.size == 0:
        return ""
    if e.ndim == 2 and g.T.shape == e.shape and not _difference(g.T, e, 1e-3):
        return "\nIt is the expected, transposed."
    n = next((len(part) for part in given if isinstance(part, np.ndarray) and part.ndim > 1), 1)
    if g.shape == (n,) != e.shape and e.ndim == 1:
        return "\nIt has a number for each row: the sum is over the wrong axis."
    if g.shape != e.shape or not e.any():
        return ""
    matrix = next((part for part in given if isinstance(part, np.ndarray) and part.ndim == 2), e)
    k = (e if e.ndim else matrix).shape[-1] if e.ndim or matrix.ndim else 1
    factors = {-1.0: "the sign is turned", 2.0: "it is twice the expected", 0.5: "it is half of it"}
    factors |= {n: f"it is {n} times the expected, the number of rows: the mean is forgotten"}
    factors |= {1 / n: f"it is 1/{n} of the expected: divided by the number of rows once too often"}
    columns = ", the number of columns" if e.ndim else ": is it a mean where a sum is asked for?"
    factors |= {1 / k: f"it is 1/{k} of the expected{columns}"}
    windows = given[0].size if isinstance(given[0], np.ndarray) else 1
    factors |= {1 / windows: f"it is 1/{windows} of the expected: a mean, where a sum is asked for"}
    for factor, sentence in factors.items():
        if factor != 1 and not _difference(g, factor * e, 1e-3):
            return _mistake(sentence)
    return ""


# -- in a process of its own -----------------------------------------------------------------------

_workers: list = []


def ask(name: str, function, seed: int = 0) -> tuple[bool, str]:
    """Return what ``judge`` says; or that it took too long, or ended Python."""
    if sys.platform == "emscripten":  # in a browser there is no other process
        return judge(name, function, seed)
    try:
        message = cloudpickle.dumps((name, function, seed))
    except Exception as error:
        what = "does it use exit(), or a file that is open?"
        return False, f"It can't be sent to the check: {what} ({error!s:.200})"
    if not _workers or _workers[0].poll() is not None:
        _workers[:] = [_start()]
    worker, start, line = _workers[0], time.monotonic(), b""
    timer = threading.Timer(PATIENCE, worker.kill)
    timer.start()
    try:
        worker.stdin.write(b"%d\n" % len(message) + message)
        worker.stdin.flush()
        line = worker.stdout.readline()
    except OSError:
        pass  # it has ended: nothing was read
    finally:
        timer.cancel()
        if not line:
            worker.kill()
            worker.wait()
            _workers.clear()
    if line:
        return tuple(json.loads(line))
    if time.monotonic() - start >= PATIENCE:
        return (
            False,
            f"It took more than {PATIENCE:.0f} seconds: a loop without an end, or a detour?",
        )
    return False, "It ended Python: by exit, or for want of memory?"


def _start() -> subprocess.Popen:
    code = f"import sys; sys.path[:] = {[str(HERE), *sys.path]!r}; import judge; judge.work()"
    worker = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    atexit.register(worker.kill)
    if worker.stdout is None or worker.stdout.readline().strip() != b"ready":
        raise RuntimeError(f"the checks in {HERE} do not start: is hw1lib installed?")
    return worker


def work() -> None:
    """Judge what comes, line by line, until nothing comes any more."""
    importlib.import_module("checks")
    asked, told = sys.stdin.buffer, os.fdopen(os.dup(1), "w")
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (1, 2):
        os.dup2(nothing, stream)
    sys.stdin = io.StringIO()  # whoever calls input() gets an error
    warnings.simplefilter("ignore")
    print("ready", file=told, flush=True)
    while size := asked.readline():
        message, printed = asked.read(int(size)), _Printed()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            try:
                right, said = judge(*pickle.loads(message))
            except BaseException as error:  # exit(), too
                right, said = False, f"It ends with {type(error).__name__}: {error!s:.200}"
        if printed.count:
            said += f"\nIt prints {printed.count:,} characters: {printed.first!r:.80}."
        print(json.dumps([right, said.strip()]), file=told, flush=True)


class _Printed(io.TextIOBase):
    """Counts what is printed, and keeps its beginning."""

    count, first = 0, ""

    def write(self, text):
        self.count += len(text)
        self.first = (self.first + text[:60])[:60]
        return len(text)


# -- in the notebooks ------------------------------------------------------------------------------


def check(name: str, function=None):
    """Say whether a function is right; return it, or what stands in for it until it is.

    Without a function it is the one of this name where the call stands.
    """
    asked = BLANKS[name]
    function = function or sys._getframe(1).f_globals.get(name)
    if function is None:
        TOLD[name] = False, "It is not defined: has its cell run, and without an error?"
        print(f"{name}: {TOLD[name][1]} Until then a stand-in takes its place.")
        return asked.stand_in
    if function is asked.stand_in:
        print(f"{name}: run the cell with your function again, then this one.")
        return function
    right, said = TOLD[name] = ask(name, function)
    points = "1 point" if asked.points == 1 else f"{asked.points} points"
    print(f"{name}: {'right' if right else 'not yet'}, {points}.", *said.splitlines(), sep="\n  ")
    if right:
        return function
    if os.environ.get("NBGRADER_EXECUTION") == "validate":
        raise AssertionError(f"{name}: {said}")
    print("  Until it is right, a stand-in takes its place in what follows.")
    return asked.stand_in


def grade(name: str, function, seed: int) -> None:
    """Raise AssertionError if a function is not right, with other numbers than those of check."""
    if function is BLANKS[name].stand_in:
        right, said = TOLD.get(name, (False, LEFT))
    else:
        right, said = TOLD[name] = ask(name, function, seed)
    if not right:
        raise AssertionError(f"{name}: {said}")


def say_stand_ins(question: int) -> None:
    """Print for which blanks of a question a stand-in works: what follows is not all one's own."""
    asked = [name for name, blank in BLANKS.items() if blank.question == question]
    left = [name for name in asked if not TOLD.get(name, (False,))[0]]
    if left:
        print(f"Not all of this is yours: a stand-in works for {', '.join(left)}.")


def points(question: int) -> None:
    """Print the points of a question, and what is missing."""
    asked = {name: blank for name, blank in BLANKS.items() if blank.question == question}
    right = {name for name in asked if TOLD.get(name, (False,))[0]}
    total = sum(blank.points for blank in asked.values())
    reached = sum(asked[name].points for name in right)
    print(f"Question {question}: {reached} of {total} points, {len(right)} of {len(asked)} blanks.")
    for name, blank in asked.items():
        if name not in right:
            _, said = TOLD.get(name, (False, "Its check has not run."))
            told = [line for line in said.splitlines() if not line.startswith("To see it")]
            print(f"  {name} ({blank.points}): {' '.join(told)}")
