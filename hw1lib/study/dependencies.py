"""What a result depends on: settings, a reader's own classes and functions, and the code of this package.

In a notebook a reader defines a class again under its old name, or changes a number that a function reads. What was
kept must not be found then. So a function is described by its compiled code and by all that this code refers to, an
object by its class and its attributes, a class by its bases and its methods. Of installed libraries the version counts.
Code is taken from the running interpreter, not from files: a file may have been edited since it was imported.
"""

from __future__ import annotations

import abc
import builtins
import contextlib
import dis
import functools
import hashlib
import re
import sys
import types
import typing
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import scipy.special

PLAIN = (type(None), type(...), bool, int, float, complex, str, bytes, range, slice, np.dtype)
CONTAINERS = (list, tuple, dict, set, frozenset)
WITHOUT_STATE = (object, abc.ABC, typing.Generic, typing.Protocol, *CONTAINERS)  # bases that hide nothing from us
BEYOND_CODE = {"eval", "exec", "globals", "__import__", "input", "environ", "getenv"}  # what these find may change
BEYOND_CODE |= {"open", "load", "loadtxt", "genfromtxt", "fromfile", "memmap", "read_csv", "read_text", "read_bytes"}


class CannotDescribe(ValueError):
    """Something that a result depends on has no reliable description; the message names it."""


def digest(value, module: str) -> str:
    """Return a name that changes with all that ``value`` does or holds, and with the code of a module of ours.

    Parameters
    ----------
    value : object
        Plain values, arrays, containers, functions, classes, and objects of classes that are written in Python.
    module : str
        Its code counts, and that of every module of this package that it imports.

    Raises
    ------
    CannotDescribe
        If ``value`` refers to something whose content can't be told, such as a random generator or an open file.
    """
    tell = _Description()
    text = tell(value)
    return hashlib.sha256(f"{text}\n{_own_code({module} | tell.own)}".encode()).hexdigest()


def _own_code(names: set[str]) -> str:
    tell, found = _Description(), sorted(own_modules(names).items())
    return "\n".join(f"{name} {_own_members(module, name, tell)}" for name, module in found)


def own_modules(names: set[str]) -> dict[str, types.ModuleType]:
    """Return modules of this package by name, with all of this package that they import, and so on."""
    found: dict[str, types.ModuleType] = {}
    while names:
        name, *others = names
        names = set(others)
        if name not in found and _is_own(name):
            found[name] = sys.modules[name]
            values = list(vars(found[name]).values())
            values += [one for value in values if isinstance(value, dict) for one in value.values()]
            names |= set(map(_module, values))
    return found


def _own_members(owner, module: str, tell) -> str:
    """Return code and values of one of our modules or classes; what it imports is told by the module it comes from."""
    told = []
    for name, value in sorted(vars(owner).items()):
        value = getattr(value, "__wrapped__", getattr(value, "__func__", value))
        for part in (value.fget, value.fset) if isinstance(value, property) else (value,):
            if isinstance(part, types.FunctionType):
                if _module(part) == module or _module(part) not in sys.modules:  # made by NamedTuple or dataclass
                    told.append(f"{name}: {tell.code(part.__code__)} {part.__defaults__!r} {part.__kwdefaults__!r}")
                elif _is_readers(part):  # in the place of ours
                    told.append(f"{name}: {tell(part)}")
            elif isinstance(part, type):
                if _module(part) == module:
                    told.append(f"{name}: {_own_members(part, module, tell)}")
                elif _is_readers(part):
                    told.append(f"{name}: {tell(part)}")
            elif type(part) in PLAIN and not name.startswith("__"):
                told.append(f"{name}: {part!r}")
            elif not name.startswith("_") and not isinstance(part, types.ModuleType):
                with contextlib.suppress(CannotDescribe):
                    told.append(f"{name}: {tell(part)}")
    return re.sub(r" at 0x\w+", "", "\n".join(told))


def _module(value) -> str:
    """Return the name of the module that a module, class or function comes from."""
    if isinstance(value, types.FunctionType):
        return value.__globals__.get("__name__", "")  # its __module__ may be copied from the function that it wraps
    return str(getattr(value, "__name__" if isinstance(value, types.ModuleType) else "__module__", ""))


def _is_own(module: str) -> bool:
    return module.partition(".")[0] == __name__.partition(".")[0] and module in sys.modules


def _is_library(value) -> bool:
    """Whether a module, class or function is Python's, or that of a package installed in the usual place."""
    top = _module(value).partition(".")[0]
    file = getattr(sys.modules.get(top), "__file__", None) or ""
    installed = bool({"site-packages", "dist-packages"} & set(Path(file).parts))
    return top in sys.stdlib_module_names or (installed and top != "__main__" and not _is_own(_module(value)))


def _is_readers(value) -> bool:
    return not _is_library(value) and not _is_own(_module(value))


class _Description:
    """Describes one value after the other; what was seen before is named by its number, so that circles end."""

    def __init__(self):
        self.seen: dict[int, tuple[int, object]] = {}  # the object, too: its id must stay its own
        self.own: set[str] = set()  # modules of this package that were met

    def __call__(self, value) -> str:
        kind = type(value)
        if kind in PLAIN or isinstance(value, np.generic | Path) or issubclass(kind, np.dtype):
            return f"{kind.__name__} {value!r}"
        if kind is np.ndarray and not value.dtype.hasobject:
            return f"array {value.dtype} {value.shape} {hashlib.sha256(value.tobytes()).hexdigest()}"
        if id(value) in self.seen:
            return f"#{self.seen[id(value)][0]}"
        self.seen[id(value)] = (len(self.seen), value)
        if kind in CONTAINERS:
            return f"{kind.__name__} {self.content(value)}"
        if isinstance(value, types.CodeType):
            return self.code(value)
        if isinstance(value, type):
            return self.type(value)
        if isinstance(value, types.FunctionType):
            return self.function(value)
        if isinstance(value, types.ModuleType):
            return self.module(value, dir(value))
        for parts in (("__func__", "__self__"), ("func", "args", "keywords"), ("fget", "fset"), ("__wrapped__",)):
            if kind.__module__ in ("builtins", "functools") and hasattr(value, parts[0]):
                return f"{kind.__name__} {[self(getattr(value, part)) for part in parts if hasattr(value, part)]}"
        if kind is functools.cached_property:
            return self(value.func)
        return self.instance(value)

    def named(self, value) -> str:
        """Return the name of a class or function of a library, with its version, or of this package."""
        module = _module(value)
        if _is_own(module):
            self.own.add(module)
        version = getattr(sys.modules.get(module.partition(".")[0]), "__version__", "")
        return f"{module}.{value.__qualname__} {version}"

    def content(self, value) -> str:
        if isinstance(value, dict):
            return str([(self(key), self(one)) for key, one in value.items()])
        return str(sorted(map(self, value)) if isinstance(value, set | frozenset) else list(map(self, value)))

    def code(self, code: types.CodeType) -> str:
        """Return what the compiler made of a function: comments and places in files do not count."""
        names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
        counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
        constants = [self.code(c) if isinstance(c, types.CodeType) else _Description()(c) for c in code.co_consts]
        return f"{code.co_code.hex()} {code.co_exceptiontable.hex()} {names} {counts} {constants}"

    def function(self, function: types.FunctionType) -> str:
        cells = []
        for cell in function.__closure__ or ():
            try:
                cells.append(self(cell.cell_contents))
            except ValueError as error:
                if isinstance(error, CannotDescribe):
                    raise
                cells.append("empty")
        if not _is_readers(function):
            return f"{self.named(function)} {cells}"
        given = [function.__defaults__, function.__kwdefaults__, vars(function)]
        found = [f"{name}: {one}" for name, one in self.references(function.__code__, function.__globals__)]
        return f"{function.__qualname__} {self.code(function.__code__)} {list(map(self, given))} {cells} {found}"

    def references(self, code: types.CodeType, namespace: dict) -> Iterator[tuple[str, str]]:
        """Yield each global name that code reads, and what it stands for; imports likewise."""
        for step in dis.get_instructions(code):
            name = step.argval
            if step.opname in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS", "IMPORT_NAME"):
                value = sys.modules.get(name) if step.opname == "IMPORT_NAME" else namespace.get(name)
                if isinstance(value, types.ModuleType):
                    yield name, self.module(value, code.co_names)
                elif name in namespace:
                    yield name, self(value)
                elif name in BEYOND_CODE or step.opname == "IMPORT_NAME":
                    raise CannotDescribe(f"{code.co_name} uses {name}")
                else:
                    yield name, f"builtin {hasattr(builtins, name)}"
            elif step.opname in ("LOAD_ATTR", "LOAD_METHOD") and name in BEYOND_CODE:
                raise CannotDescribe(f"{code.co_name} uses {name}")
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                yield from self.references(constant, namespace)

    def module(self, module: types.ModuleType, names) -> str:
        """Describe a module; of one that is no library, what it calls by these names."""
        if _is_library(module) or module is builtins:
            return f"{module.__name__} {getattr(module, '__version__', '')}"
        found = []
        for name in sorted(set(names) & vars(module).keys()):
            value = vars(module)[name]
            found.append((name, self.module(value, names) if isinstance(value, types.ModuleType) else self(value)))
        return f"{module.__name__} {found}"

    def type(self, cls: type) -> str:
        if not _is_readers(cls):
            return self.named(cls)
        functions = (types.FunctionType, classmethod, staticmethod, property)
        members = [
            (name, self(value))
            for name, value in sorted(vars(cls).items())
            if not isinstance(value, types.MemberDescriptorType | types.GetSetDescriptorType)
            and (isinstance(value, functions) if name.startswith("__") else name != "_abc_impl")
            and name not in ("__annotate__", "__annotate_func__")
            and not _is_inherited(cls, name, value)
        ]
        return f"{cls.__qualname__} {self(type(cls))} {list(map(self, cls.__bases__))} {members}"

    def instance(self, value) -> str:
        """Describe an object: something that a library knows by its name, or one of a reader's or of our classes."""
        name, cls = getattr(value, "__name__", ""), type(value)
        holder = getattr(value, "__objclass__", getattr(value, "__self__", None))  # of tuple.__new__, str.upper, ...
        if isinstance(holder, type) and cls.__module__ == "builtins":
            return f"{self(holder)}.{name}"
        for module in (sys.modules.get(str(getattr(value, "__module__", None))), builtins, np, scipy.special):
            if name and module and _is_library(module) and getattr(module, name, None) is value:
                return f"{module.__name__}.{name} {getattr(module, '__version__', '')}"
        if any(_is_library(base) and base not in WITHOUT_STATE for base in cls.__mro__):
            raise CannotDescribe(f"it depends on an object of {cls.__module__}.{cls.__qualname__}")
        slots = [name for base in cls.__mro__ for name in _slots(base) if hasattr(value, name)]
        state = {**getattr(value, "__dict__", {}), **{name: getattr(value, name) for name in slots}}
        content = self.content(value) if isinstance(value, CONTAINERS) else ""
        return f"{self(cls)} {[(name, self(one)) for name, one in sorted(state.items())]} {content}"


def _slots(cls: type) -> list[str]:
    return [name for name, value in vars(cls).items() if isinstance(value, types.MemberDescriptorType)]


def _is_inherited(cls: type, name: str, value) -> bool:
    """Whether a class repeats what a base says: the copy in another process has it from there alone."""
    for base in cls.__mro__[1:]:
        if name in vars(base):
            other = vars(base)[name]
            return other is value or (type(value) in PLAIN and repr(value) == repr(other))
    return False
