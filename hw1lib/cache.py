"""What is made once and found again: one folder, ``HW1_CACHE`` or ``.cache``, and its one use."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hw1lib.checks import FileError
from hw1lib.files import write_atomically


def cache_dir() -> Path:
    """Return the folder for what is made once and used again, made if need be.

    ``HW1_CACHE`` names it; else it is ``.cache`` in the checkout, or ``~/.cache/hw1lib`` for an
    installed package.
    """
    checkout = Path(__file__).resolve().parents[1]
    in_checkout = (checkout / "pyproject.toml").exists()
    default = checkout / ".cache" if in_checkout else "~/.cache/hw1lib"
    folder = Path(os.environ.get("HW1_CACHE") or default).expanduser().absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        remedy = f"({error.strerror}): set the environment variable HW1_CACHE to a folder that can"
        raise FileError(f"the cache folder {folder} can't be written {remedy}") from error
    return folder


def cached(name: str, make: Callable[[], Any], save: Callable, load: Callable) -> Any:
    """Return what the cache holds under a name; what is not there, or is damaged, is made first.

    The name is a file's, below ``cache_dir()``: it must change with all that the content depends
    on. ``make()`` returns the content, ``save(content, path)`` writes it, and ``load(path)`` reads
    it; its ValueError and EOFError say that the file is damaged.
    """
    path = cache_dir() / name
    with contextlib.suppress(FileNotFoundError, ValueError, EOFError):
        return load(path)
    content = make()
    write_atomically(path, lambda temporary: save(content, temporary))
    return load(path)
