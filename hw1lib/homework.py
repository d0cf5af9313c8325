"""The homework: a student's folder, and notebooks checked without nbgrader and without a kernel."""

from __future__ import annotations

import ast
import contextlib
import importlib
import re
import shutil
import sys
from pathlib import Path

import nbformat
from IPython.core.inputtransformer2 import TransformerManager

from hw1lib.checks import FileError
from hw1lib.files import make_folder

HOMEWORK = Path(__file__).resolve().parents[1] / "homework"
NAME = "hw1"
KEPT = ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef  # of a notebook's cells
CHEAP = {"np", "numpy", "math", "functools", "partial", "float", "int", "len", "list", "tuple"}
CHEAP |= {"dict", "range", "sum", "min", "max", "abs", "round", "sorted", "zip", "enumerate"}


def write(folder) -> Path:
    """Write the student's notebooks and their checks into a new folder."""
    folder = Path(folder).expanduser()
    notebooks = sorted((HOMEWORK / "release" / NAME).glob("*.ipynb"))
    if not notebooks:
        remedy = "an installed package has none; run this in a checkout of hw1lib"
        raise FileError(f"there is no homework in {HOMEWORK}: {remedy}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileError(f"{folder} must be a new folder, or an empty one: what is there is kept")

    def fill(partial: Path) -> None:
        for path in (*notebooks, *(HOMEWORK / "source" / NAME).glob("*.py")):
            shutil.copyfile(path, partial / path.name)

    return make_folder(folder, fill)


def check_notebook(path, seed: int = 0) -> list[dict]:
    """Check every blank of one notebook; return a row a blank, and print the points.

    Of its cells only imports, definitions and constants are run: nothing is trained or drawn. The
    checks are this checkout's own, whatever lies beside the notebook.
    """
    sys.path.insert(0, str(HOMEWORK / "source" / NAME))
    for module in ("checks", "judge"):  # another notebook may have changed them
        sys.modules.pop(module, None)
    judge = importlib.import_module("judge")
    importlib.import_module("checks")
    sys.path.pop(0)
    try:
        notebook = nbformat.read(path, as_version=4)
        sources = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    except (ValueError, AttributeError) as error:
        raise FileError(f"{path}: not a notebook: {error!s:.80}") from error
    names = re.findall(r"""checks\.check\(["'](\w+)""", "\n".join(sources))
    questions = sorted({judge.BLANKS[name].question for name in names if name in judge.BLANKS})
    if not questions:
        raise FileError(f"{path}: no notebook of the homework: it checks none of its blanks")
    scope, unread = _definitions(sources)
    judge.TOLD.clear()
    rows = []
    for name, blank in judge.BLANKS.items():
        if blank.question not in questions:
            continue
        told = [line for line in unread if line.startswith(f"the cell of {name} ")]
        answer = False, (told or ["It is not in the notebook."])[0]
        if name in scope:
            answer = judge.ask(name, scope[name], seed)
        judge.TOLD[name] = right, said = answer
        if not right:
            scope[name] = blank.stand_in
        points = blank.points if right else 0
        facts = {"notebook": str(path), "question": blank.question, "blank": name}
        rows.append(facts | {"points": points, "of": blank.points, "said": said})
    for worker in judge._workers:  # the next notebook has its own
        worker.kill()
    print(*unread, sep="\n", end="\n" if unread else "")
    for question in questions:
        judge.points(question)
    return rows


def _definitions(sources) -> tuple[dict, list[str]]:
    """Return what cells define, and a sentence about each that can't be read."""
    scope: dict = {"__name__": "__main__"}
    unread = []
    for number, source in enumerate(sources, 1):
        try:
            for part in ast.parse(TransformerManager().transform_cell(source)).body:
                code = compile(ast.Module([part], []), f"code cell {number}", "exec")
                if isinstance(part, KEPT):
                    exec(code, scope)
                elif isinstance(part, ast.Assign) and _is_cheap(part.value):
                    with contextlib.suppress(Exception):  # it may need what is not run
                        exec(code, scope)
        except Exception as error:
            function = re.search(r"def (\w+)", source)
            cell = f"the cell of {function[1]}" if function else f"code cell {number}"
            unread.append(f"{cell} can't be read: {type(error).__name__}: {error}")
    return scope, unread


def _is_cheap(value) -> bool:
    """Return whether an expression is a lambda, or calls nothing but NumPy and Python's own."""
    if isinstance(value, ast.Lambda):
        return True
    for node in ast.walk(value):
        if isinstance(node, ast.Call):
            root = node.func
            while isinstance(root, ast.Attribute):
                root = root.value
            if not isinstance(root, ast.Name) or root.id not in CHEAP:
                return False
    return True
