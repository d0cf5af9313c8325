"""What a result depends on: its settings, a reader's own classes and functions, and the code of this package.

In a notebook a reader defines a class again under its old name, or changes a number that a function reads. What was
kept must not be found then. So a function is described by its compiled code and by all that this code refers to, an
object by its class and its attributes, a class by its bases and its members. Of installed libraries the version counts.
This package's code is described like a reader's, as it is loaded: a cell may have changed it.
"""

from __future__ import annotations

import dis
import functools
import hashlib
import importlib
import sys
import types
from pathlib import Path

import numpy as np
from scipy import special

PLAIN = (type(None), type(...), bool, int, float, complex, str, bytes, range, slice, np.generic, np.dtype, Path)
LOADS = {"LOAD_GLOBAL", "LOAD_NAME", "IMPORT_NAME"}  # instructions that take something from outside the function
UNKNOWN = {"open", "eval", "exec", "globals", "input", "environ", "getenv"}  # what these return, no code tells
UNKNOWN |= {"load", "loadtxt", "genfromtxt", "fromfile", "memmap", "read_csv", "read_text", "read_bytes"}
SKIPPED = {"tqdm"}  # a progress bar is another class in a worker process than in a notebook


class CannotDescribe(ValueError):
    """Something that a result depends on has no reliable description; the message names it."""


def digest(value) -> str:
    """Return 64 hexadecimal digits that change with all that ``value`` does or holds.

    Raises
    ------
    CannotDescribe
        If ``value`` refers to something whose content can't be told, such as a random generator or an open file.
    """
    return hashlib.sha256(_describe(value, {}).encode()).hexdigest()


def _describe(value, seen: dict) -> str:
    if isinstance(value, PLAIN):
        return repr(value)
    if id(value) not in seen:
        seen[id(value)] = value, "a circle"  # the value, too, so that its id stays its own
        text = _describe_new(value, functools.partial(_describe, seen=seen))
        seen[id(value)] = value, hashlib.sha256(text.encode()).hexdigest()
    return seen[id(value)][1]


def _describe_new(value, tell) -> str:
    if isinstance(value, list | tuple) and type(value) in (list, tuple):
        return f"{type(value).__name__} {list(map(tell, value))}"
    if type(value) in (set, frozenset):
        return f"set {sorted(map(repr, value))}"
    if type(value) is dict:
        return f"dict {[(tell(key), tell(one)) for key, one in value.items()]}"
    if type(value) is np.ndarray and not value.dtype.hasobject:
        return f"array {value.dtype} {value.shape} {hashlib.sha256(value.tobytes()).hexdigest()}"
    if isinstance(value, types.ModuleType):
        return _name(value) if _is_library(value) else str(value.__name__)  # what is taken from it is told elsewhere
    if isinstance(value, types.FunctionType):
        cells = [tell(cell.cell_contents) for cell in value.__closure__ or ()]
        if _is_library(value):
            return f"{_name(value)} {cells}"
        given = tell([value.__defaults__, value.__kwdefaults__])
        return f"{_code(value.__code__)} {given} {cells} {_references(value.__code__, value.__globals__, tell)}"
    if isinstance(value, type):
        if _is_library(value):
            return _name(value)
        members = {name: one for name, one in sorted(vars(value).items()) if _is_member(value, name, one)}
        return f"{value.__qualname__} {tell(list(value.__bases__))} {tell(members)}"
    for part in ("__wrapped__", "__func__", "fget"):  # of cached, class and static functions, and properties
        if hasattr(value, part) and type(value).__module__ in ("builtins", "functools"):
            return f"{type(value).__name__} {tell(getattr(value, part))}"
    if isinstance(value, functools.partial):
        return f"partial {tell([value.func, list(value.args), value.keywords])}"
    name = getattr(value, "__name__", "")
    if name and any(getattr(home, name, None) is value for home in (sys.modules.get(_module(value)), np, special)):
        return _name(value)  # a function that is not written in Python
    if type(value).__module__ == "dataclasses":  # the mark of a default factory, which is told with the code
        return type(value).__name__
    own = hasattr(value, "__dict__") and not any(_is_library(base) for base in type(value).__mro__[:-1])
    if not own:
        raise CannotDescribe(f"it depends on an object of {type(value).__module__}.{type(value).__qualname__}")
    return f"{tell(type(value))} {tell(dict(sorted(vars(value).items())))}"


def _code(code: types.CodeType) -> str:
    """Return what the compiler made of a function: comments, and places in files, do not count."""
    constants = [_code(one) if isinstance(one, types.CodeType) else repr(one) for one in code.co_consts]
    names = code.co_names, code.co_varnames, code.co_argcount, code.co_kwonlyargcount, code.co_flags
    return f"{code.co_code.hex()} {code.co_exceptiontable.hex()} {names} {constants}"


def _references(code: types.CodeType, namespace: dict, tell) -> list[str]:
    """Return what each name from outside stands for that code refers to."""
    ours = namespace.get("__name__", "").partition(".")[0] == __name__.partition(".")[0]
    found = []
    if not ours and "random" in code.co_names and "default_rng" not in code.co_names:
        raise CannotDescribe(f"{code.co_name} draws from NumPy's global generator")
    for step in dis.get_instructions(code):
        name = step.argval
        if not ours and name in UNKNOWN and step.opname.startswith("LOAD_") and _is_library(namespace.get(name, open)):
            raise CannotDescribe(f"{code.co_name} uses {name}")
        if step.opname not in LOADS or name in SKIPPED or (ours and step.opname == "IMPORT_NAME"):
            continue  # what ours import inside a function (pandas, onnx, ...), no training needs
        value = importlib.import_module(name) if step.opname == "IMPORT_NAME" else namespace.get(name)
        if isinstance(value, types.ModuleType) and not _is_library(value):  # what the code takes from it
            value = {one: getattr(value, one) for one in code.co_names if hasattr(value, one)}
        try:
            found.append(f"{name} {tell(value)}")
        except CannotDescribe:
            if not ours:  # ours keep locks and the like, on which no number depends
                raise
    for one in code.co_consts:
        if isinstance(one, types.CodeType):
            found += _references(one, namespace, tell)
    return found


def _module(value) -> str:
    return str(getattr(value, "__name__" if isinstance(value, types.ModuleType) else "__module__", "") or "numpy")


def _is_library(value) -> bool:
    """Whether a module, class or function is Python's, or that of a package installed in the usual place."""
    top = _module(value).partition(".")[0]
    installed = {"site-packages", "dist-packages"} & {
        *Path(getattr(sys.modules.get(top), "__file__", None) or "").parts
    }
    return top in sys.stdlib_module_names or (bool(installed) and top not in ("__main__", "hw1lib"))


def _name(value) -> str:
    version = getattr(sys.modules.get(_module(value).partition(".")[0]), "__version__", "")
    return f"{_module(value)}.{getattr(value, '__qualname__', getattr(value, '__name__', ''))} {version}"


def _is_member(cls: type, name: str, value) -> bool:
    """Whether something in a class was written by its author, and does not repeat what a base says."""
    if name.startswith("__"):
        return isinstance(value, types.FunctionType | classmethod | staticmethod | property)
    inherited = isinstance(value, PLAIN) and repr(value) == repr(getattr(super(cls, cls), name, super))
    return name != "_abc_impl" and not inherited  # a copy in another process has it from the base alone
