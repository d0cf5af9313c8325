"""What is kept is found again only as long as all that it depends on is the same: a reader's classes, our code."""

import functools
import linecache
import sys
import types
from dataclasses import dataclass

import numpy as np
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from hw1lib.faces import split_rows
from hw1lib.nn import ACTIVATIONS, Initializer, LeakyReLU, Network, Tanh
from hw1lib.study import dependencies, training
from hw1lib.study.dependencies import CannotDescribe, digest
from hw1lib.study.experiments import run

CELL = """
from dataclasses import dataclass
import functools
import numpy as np
import scipy.special
import helpers
from hw1lib import nn

SCALE = 0.1
TABLE = {"a": [1, 2.5], "b": np.arange(3)}
rng = np.random.default_rng(0)  # nothing here refers to it

def double(x):
    return 2 * x

def power(n):
    return lambda x: x**n

square = power(2)

class Base(nn.Initializer):
    def width(self, fan_in):
        return SCALE * double(fan_in) + helpers.offset(fan_in)

@dataclass(frozen=True)
class Mine(Base):
    factor: float = 1.0
    share = 3

    @property
    def rng(self):  # an attribute may be called like a global
        return self.share

    @staticmethod
    def shift(x):
        return x + max(len(TABLE), 1)

    @functools.lru_cache
    def std(self, fan_in, fan_out):
        inner = [scipy.special.expit(x) for x in (0.5, square(fan_in))]
        return self.factor * super().width(fan_in) + self.shift(self.rng) * sum(inner)

object_of_mine = Mine()
"""
HELPERS = "def offset(x):\n    return x - LIMIT\nLIMIT = 4\n"
CHANGES = {
    "a number that a method refers to": ("SCALE = 0.1", "SCALE = 0.2"),
    "a value deep in a container": ("2.5", "2.6"),
    "an array": ("np.arange(3)", "np.arange(3) * 1.0"),
    "a function that a method calls": ("return 2 * x", "return 3 * x"),
    "a value in a closure": ("power(2)", "power(3)"),
    "a function in another": ("x**n", "x**-n"),
    "its base class": ("SCALE * double", "SCALE + double"),
    "its bases": ("class Mine(Base)", "class Mine(Base, nn.Xavier)"),
    "the default of a field": ("factor: float = 1.0", "factor: float = 1.5"),
    "a class attribute": ("share = 3", "share = 4"),
    "a property": ("return self.share", "return -self.share"),
    "a static method": ("x + max", "x - max"),
    "a wrapped method": ("0.5, square", "0.6, square"),
    "an attribute": ("Mine()", "Mine(2.0)"),
    "a function of a module": ("helpers.offset(fan_in)", "helpers.LIMIT"),
}


def run_cell(source, name="__main__"):
    """Run a cell as a kernel does: its source is in linecache alone; return the object that it makes."""
    filename = f"<cell {len(linecache.cache)}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    namespace = {"__name__": name, "__builtins__": __builtins__}
    exec(compile(source, filename, "exec"), namespace)
    return namespace["object_of_mine"]


def digest_of(value):
    return digest([training.train_and_measure, training.Experiment, value])


@pytest.fixture(autouse=True)
def helpers(monkeypatch):
    module = types.ModuleType("helpers")
    exec(HELPERS, vars(module))
    monkeypatch.setitem(sys.modules, "helpers", module)
    return module


def test_the_same_cell_run_again_gives_the_same():
    commented = CELL.replace("def double(x):", "def double(x):  # twice")
    assert digest_of(run_cell(CELL)) == digest_of(run_cell(CELL)) == digest_of(run_cell("\n\n" + commented))


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_every_change_counts(change):
    assert CELL.count(change[0]) == 1
    assert digest_of(run_cell(CELL.replace(*change))) != digest_of(run_cell(CELL))


def test_a_module_beside_the_notebook_counts(helpers):
    before = digest_of(run_cell(CELL))
    helpers.unused = 1
    assert digest_of(run_cell(CELL)) == before
    helpers.LIMIT = 5
    assert digest_of(run_cell(CELL)) != before


def test_a_value_changed_in_place_counts():
    mine = run_cell(CELL)
    before = digest_of(mine)
    type(mine).share = 7
    assert digest_of(mine) != before


@pytest.mark.parametrize(
    "body",
    [
        "object_of_mine = lambda x: rng.normal()",
        "object_of_mine = lambda x: open('weights.txt').read()",
        "from io import open\nobject_of_mine = lambda x: open('weights.txt').read()",  # as IPython has it
        "object_of_mine = lambda x: np.random.normal() * x",
        "object_of_mine = lambda x: eval('SCALE') * x",
        "object_of_mine = lambda x: np.load('weights.npy')",
        "import os\nobject_of_mine = lambda x: float(os.environ['SCALE'])",
        "object_of_mine = np.frompyfunc(double, 1, 1)",
        "class Odd(np.ndarray): pass\nobject_of_mine = np.zeros(3).view(Odd)",
        "object_of_mine = [1, {'a': iter([2])}]",
    ],
)
def test_what_cannot_be_told_is_not_told(body):
    with pytest.raises(CannotDescribe):
        digest_of(run_cell(CELL + body))


def test_libraries_count_by_name_and_version(monkeypatch):
    tanh = digest_of(np.tanh)
    assert tanh != digest_of(np.sin)
    assert digest_of(functools.partial(np.clip, a_min=0)) != digest_of(functools.partial(np.clip, a_min=1))
    monkeypatch.setattr(np, "__version__", "9.9")
    assert digest_of(np.tanh) != tanh


def test_our_own_code_counts_as_it_is_loaded(monkeypatch):
    seen = {digest_of(None)}
    monkeypatch.setattr(LeakyReLU, "slope", 0.2)  # as a reader may, in a cell
    seen.add(digest_of(None))
    monkeypatch.setattr(LeakyReLU, "derivative", lambda self, a, out=None: a)
    seen.add(digest_of(None))
    monkeypatch.setattr(training, "CURVE_POINTS", 21)
    seen.add(digest_of(None))
    monkeypatch.setattr(training, "rescale", lambda *parts, **how: parts)
    seen.add(digest_of(None))
    monkeypatch.setitem(training.TARGETS, "age", (1, "tanh", "l2"))
    seen.add(digest_of(None))
    monkeypatch.setitem(ACTIVATIONS, "tanh", LeakyReLU())
    seen.add(digest_of(None))
    assert len(seen) == 7


@pytest.mark.parametrize("target", training.TARGETS)
def test_every_function_of_ours_that_training_runs_counts(target, table, monkeypatch):
    used, told, rows = set(), set(), split_rows(table)

    def note(frame, event, argument):
        if frame.f_globals.get("__name__", "").startswith("hw1lib."):
            used.add(frame.f_code)

    sys.setprofile(note)
    try:
        training.train_and_measure(training.Experiment("a test", target, epochs=2, patience=1), table, 0, 0, rows)
    finally:
        sys.setprofile(None)
    describe = dependencies._code
    monkeypatch.setattr(dependencies, "_code", lambda code: told.add(code) or describe(code))
    digest_of([target, training.Experiment("a test", target)])
    names = {code.co_qualname for code in used}
    assert {"Network._forward", "L2.gradient" if target == "age" else "rescale", "whole_number"} <= names
    assert used <= told


NOTEBOOK = (
    """
import numpy as np, pandas as pd, warnings
from dataclasses import replace
from hw1lib import nn, study
from hw1lib.study import experiments
warnings.simplefilter("error")
rng = np.random.default_rng(0)
X = rng.standard_normal((120, 4)).astype(np.float32)
table = pd.DataFrame({"file": "", "age": (40 + 9 * X[:, 0]).astype(int), "gender": 0, "race": 0})
table = table.join(pd.DataFrame(X, columns=["f000", "f001", "f002", "f003"]))
def run(n_jobs=2, keep=True):
    mine = study.Experiment("a test", hidden=3, epochs=4, initializer=Mine(), schedule=Falling(1e-3))
    found = study.run({"mine": mine}, table, range(3), range(1), n_jobs, keep, progress=False)
    runs = found["experiments"]["mine"]["runs"]
    return [one["test"] for one in runs], [one["seconds"] for one in runs]
""",
    """
SCALE = 0.1
class Mine(nn.Initializer):
    def std(self, fan_in, fan_out):
        return SCALE
class Falling(nn.Schedule):
    def __call__(self, epoch):
        return self.rate / (1 + epoch)
train_here, experiments.train_and_measure = experiments.train_and_measure, None  # worker processes train
first = run()
assert run() == first  # with the seconds: found again
experiments.train_and_measure = train_here
""",
    """
SCALE = 0.5  # the class stays; the processes of the first run hold it with the old number
second = run()
assert second[0] != first[0] and second[0] == run(1, keep=False)[0] and second == run()
""",
    """
Mine.std = lambda self, fan_in, fan_out: 0.3
third = run()
assert third[0] not in (first[0], second[0]) and third[0] == run(1, keep=False)[0]
""",
    """
nn.LeakyReLU.slope = 0.5  # of ours: worker processes do not know
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    fourth = run()
assert "worker processes hold other code" in str(told[0].message)
assert fourth[0] != third[0] and fourth[0] == run(1, keep=False)[0]
""",
)


@pytest.mark.slow
def test_in_a_kernel_nothing_stale_is_found():
    notebook = new_notebook(cells=[new_code_cell(source) for source in NOTEBOOK])
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()


OBJECTS = """
class ELU(nn.Activation):
    def __call__(self, z):
        return np.where(z > 0, z, np.expm1(np.minimum(z, 0)))
    def derivative(self, a):
        return np.where(a > 0, 1, a + 1)
class Huber(nn.Loss):
    metric = "rmse"
    delta = 8.0
    def value(self, o, t):
        size = np.abs(o - t)
        return np.where(size < self.delta, size**2 / 2, self.delta * (size - self.delta / 2)).sum(axis=1).mean()
    def gradient(self, o, t):
        return np.clip(o - t, -self.delta, self.delta) / len(o)
mine = study.Experiment("", hidden=3, epochs=4, schedule=nn.Constant(0.1), activation=ELU(), loss=Huber())
def run(**settings):
    found = study.run({"mine": replace(mine, **settings)}, table, range(2), n_jobs=2, progress=False)
    found = found["experiments"]["mine"]
    assert [found["settings"][name] for name in ("activation", "loss")] == ["ELU()", "Huber()"]
    return [one["test"] for one in found["runs"]]
experiments.train_and_measure = None  # worker processes train
first = run()
assert first == run()
Huber.delta = 1.0
experiments.train_and_measure = train_here
assert run() != first
net, _, (_, _, test) = study.train(mine, table, fold=1)
assert abs(net.evaluate(*test)[1] - run()[1]) < 1e-4
"""


@pytest.mark.slow
def test_a_readers_loss_and_activation_train_in_worker_processes():
    try:
        Network({"layers": [2, 2, 1], "activation": Tanh(), "output_activation": "identity", "loss": "l2"})
    except ValueError:
        pytest.skip("this core takes names only")
    cells = [NOTEBOOK[0] + "train_here = experiments.train_and_measure", OBJECTS]
    notebook = new_notebook(cells=[new_code_cell(source) for source in cells])
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()


def refuse():
    raise ImportError("no module of this name")


@dataclass(frozen=True)
class Unreadable(Initializer):
    """What a cell made, and pickle looks for in a module that workers do not have."""

    def std(self, fan_in, fan_out):
        return 0.1

    def __reduce__(self):
        return refuse, ()


@pytest.mark.slow
def test_what_worker_processes_cannot_read_is_trained_here(table):
    mine = training.Experiment("", hidden=3, epochs=2, initializer=Unreadable())
    with pytest.warns(UserWarning, match="write scipy.special.expit"):
        found = run({"mine": mine}, table, range(2), n_jobs=2, keep=False, progress=False)
    assert [one["fold"] for one in found["experiments"]["mine"]["runs"]] == [0, 1]
