"""How good the checks are: how many wrong functions they reject, and how many right ones they pass.

python homework/grade_the_grader.py [BLANK ...]

Wrong ones are mutants: each reference solution with one thing changed in its syntax tree, an
operator, a number, an axis, a transpose, a term that is dropped. Those that change no result are
listed in equivalent_mutants.txt, with the reason. Right ones stand in right_1.py to right_3.py:
each blank, written in three more ways.
"""

import ast
import copy
import importlib
import sys
from pathlib import Path

import nbformat

HERE = Path(__file__).resolve().parent
SOURCE = HERE / "source" / "hw1"
SEEDS = 0, 26  # of the checks, and of the grading: `grade` in the notebooks' hidden tests
SWAPS = {
    ast.Add: [ast.Sub],
    ast.Sub: [ast.Add],
    ast.Mult: [ast.Div],
    ast.Div: [ast.Mult],
    ast.FloorDiv: [ast.Div],
    ast.Pow: [ast.Mult],
    ast.Gt: [ast.Lt, ast.GtE],
    ast.Eq: [ast.NotEq],
}
NAMES = {"sum": "mean", "mean": "sum", "max": "min", "argmax": "argmin", "maximum": "minimum"}
NAMES |= {"zeros": "ones", "tanh": "sinh", "log1p": "log", "exp": "expm1"}


def mutated(node):
    """Yield what may stand in place of one node of a syntax tree: a slip of the pen."""
    match node:
        case ast.BinOp(left=left, op=op, right=right):
            yield from (ast.BinOp(left, other(), right) for other in SWAPS.get(type(op), []))
            yield from (left, right)  # a term or a factor dropped
            if isinstance(op, ast.Sub | ast.Div | ast.MatMult):
                yield ast.BinOp(right, op, left)
        case ast.UnaryOp(operand=operand):
            yield operand
        case ast.Compare(left=left, ops=[op], comparators=right):
            yield from (ast.Compare(left, [o()], right) for o in SWAPS.get(type(op), []))
        case ast.Constant(value=bool()):
            yield ast.Constant(not node.value)
        case ast.Constant(value=int() | float()):
            yield from (ast.Constant(node.value + 1), ast.Constant(node.value - 1))
        case ast.Attribute(value=value, attr="T"):
            yield value
        case ast.Attribute(value=value, attr=name) if name in NAMES:
            yield ast.Attribute(value, NAMES[name])
        case ast.Return(value=value) if not isinstance(value, ast.Tuple):
            yield ast.Return(ast.UnaryOp(ast.USub(), value))
        case ast.Call(func=func, args=[first, *_]) if not isinstance(first, ast.Starred):
            yield first  # the function forgotten
            if isinstance(func, ast.Attribute) and isinstance(func.value, ast.Call | ast.Name):
                yield func.value
        case ast.Call(func=ast.Attribute(value=value), args=[]):
            yield value
        case ast.Subscript(value=value):
            yield value
        case ast.keyword(arg="keepdims"):
            yield ast.keyword("keepdims", ast.Constant(False))
        case ast.AugAssign(target=target, op=ast.Add(), value=value):
            yield ast.AugAssign(target, ast.Sub(), value)
            yield ast.Assign([target], value)
            yield ast.Pass()
        case ast.Assign():
            yield ast.Pass()
        case ast.Tuple(elts=[first, second], ctx=ast.Load()):
            yield ast.Tuple([second, first], ast.Load())


def mutants(source: str):
    """Yield each changed source once: its line that is another one now, and all of it."""
    original = ast.unparse(ast.parse(source))
    seen = {original}
    nodes = list(ast.walk(ast.parse(source)))
    for i, node in enumerate(nodes):
        for number in range(sum(1 for _ in mutated(node))):
            tree = ast.parse(source)
            place = list(ast.walk(tree))[i]
            new = copy.deepcopy(list(mutated(place))[number])
            for parent in ast.walk(tree):
                for field, value in ast.iter_fields(parent):
                    if value is place:
                        setattr(parent, field, new)
                    elif isinstance(value, list):
                        value[:] = [new if part is place else part for part in value]
            text = ast.unparse(ast.fix_missing_locations(tree))
            if text not in seen:
                seen.add(text)
                lines = zip(text.splitlines(), original.splitlines(), strict=False)
                yield next((a for a, b in lines if a != b), text.splitlines()[-1]).strip(), text


def solutions():
    """Return the source of each reference solution, without its markers, and the scope of all."""
    sources, scope = {}, {"__name__": "__main__"}
    for path in sorted(SOURCE.glob("*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            facts = cell.metadata.get("nbgrader", {})
            if facts.get("solution"):
                sources[facts["grade_id"]] = cell.source
    exec("import numpy as np\n" + "\n\n".join(sources.values()), scope)
    return sources, scope


def equivalent():
    """Return the mutants that change no result: (blank, changed line), and the reason."""
    listed = {}
    for line in (HERE / "equivalent_mutants.txt").read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            name, changed, reason = (part.strip() for part in line.split(" | "))
            listed[name, changed] = reason
    return listed


def main(names=(), say=print):
    """Print and return both rates: rejected of wrong ones, accepted of right ones."""
    sys.path.insert(0, str(SOURCE))
    judge = importlib.import_module("judge")
    importlib.import_module("checks")
    sources, scope = solutions()
    listed, used = equivalent(), set()
    rejected = raised = wrong = accepted = right = 0
    for name in names or sources:
        passed = []
        for line, text in mutants(sources[name]):
            if (name, line) in listed:
                used.add((name, line))
                continue
            own = dict(scope)
            exec(compile(text, name, "exec"), own)
            wrong += 1
            good, said = judge.ask(name, own[name])
            rejected += not good
            raised += said.startswith("It raises")
            if good:
                passed.append(f"  passes: {name} | {line}")
        for number in (1, 2, 3):
            theirs = {"__name__": "__main__"}
            exec((HERE / f"right_{number}.py").read_text("utf-8"), theirs)
            right += 1
            asked = [judge.ask(name, theirs[name], seed) for seed in SEEDS]
            good, said = min(asked)
            accepted += good
            if not good:
                passed.append(f"  refused: {name} of right_{number}.py: {said}")
        say(f"{name}:", *passed, sep="\n" if passed else " ")
    say(f"wrong ones rejected: {rejected} of {wrong} ({rejected / wrong:.1%}), ", end="")
    say(f"{raised} of them for an error that they raise; ", end="")
    say(f"{len(used)} more change no result")
    say(f"right ones accepted: {accepted} of {right} ({accepted / right:.1%})")
    return rejected / wrong, accepted / right


if __name__ == "__main__":
    main(sys.argv[1:])
