"""Writing files whole or not at all, and reading them back without trusting them."""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import shutil
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from hw1lib.checks import FileError, UserError

NPZ_VERSION = 1  # of the .npz files below; a higher one was written by a later release
PATIENCE = 3  # seconds: who waits longer for another run is told


def write_atomically(path, write: Callable) -> Path:
    """Call ``write(temporary path)``, then rename: a reader finds the old file or the new, whole.

    A link stays a link, and what it leads to is written. A file keeps its permissions. A folder, a
    pipe or a device is left alone.
    """
    target = Path(os.path.realpath(path))
    try:
        if target.exists() and not target.is_file():
            raise FileError(f"{path} can't be written: it is no file")
        target.parent.mkdir(parents=True, exist_ok=True)
        _replace(target, write)
    except UserError:
        raise
    except OSError as error:
        raise FileError(f"{path} can't be written: {error.strerror or error}") from error
    return Path(path)


def _replace(target: Path, write: Callable) -> None:
    temporary = target.with_name(f".{uuid.uuid4().hex[:8]}.partial")  # short: names have a limit
    try:
        if target.exists():
            temporary.touch(0o600)  # what others may not read, they never may
        write(temporary)
        if target.exists():
            with contextlib.suppress(OSError, AttributeError):  # of others, and Windows
                os.chown(temporary, target.stat().st_uid, target.stat().st_gid)
            shutil.copymode(target, temporary)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path, text: str) -> Path:
    """Write text as UTF-8; what is no text, such as the bytes of an odd file name, is escaped."""
    content = text.encode("utf-8", "backslashreplace")
    return write_atomically(path, lambda temporary: temporary.write_bytes(content))


def write_npz(path, kind: str, arrays: dict[str, np.ndarray]) -> Path:
    """Write arrays to an uncompressed .npz, with the kind of thing they are; no pickle."""

    def write(temporary):
        with open(temporary, "wb") as file:
            facts = {"kind": np.array(kind), "version": np.array(NPZ_VERSION)}
            np.savez(file, allow_pickle=False, **facts, **arrays)

    return write_atomically(path, write)


def read_npz(path, kinds: tuple[str, ...], names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Return the named arrays of a file that ``write_npz`` wrote; no pickle is ever loaded.

    FileError names a file that is damaged, of none of these kinds, or of a later version.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in ("kind", "version")}
            kind, version = str(arrays["kind"]), int(arrays["version"])
            if kind in kinds and version <= NPZ_VERSION:
                arrays |= {name: file[name] for name in names}
    except FileNotFoundError:
        raise
    except Exception as error:  # zipfile and numpy raise a dozen kinds over damaged bytes
        reason = getattr(error, "strerror", None) or "damaged, or no file that hw1lib saved"
        raise FileError(f"{path}: not a readable .npz file: {reason}") from None
    if kind not in kinds:
        raise FileError(f"{path}: holds no {kinds[0]} that hw1lib saved, but a {kind}")
    if version > NPZ_VERSION:
        raise FileError(f"{path}: written by a later version of hw1lib; update it to read this")
    return arrays


def make_folder(folder, fill: Callable, size: int = 0) -> Path:
    """Return ``folder``; if there is none yet, or an empty one, fill it out of sight and rename it.

    ``fill(partial)`` writes everything into the new, empty folder ``partial``; ``size`` are the
    bytes that it needs, about, named when the disk is full. Of two runs at once, one waits and then
    finds the folder done. What a killed run left is thrown away.
    """
    folder = Path(os.path.realpath(folder))  # a link stays a link
    if folder.exists() and not folder.is_dir():
        raise FileError(f"{folder} must be a folder, or not exist")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(folder) as alone:
            if not _is_filled(folder):
                _fill(folder, fill, alone)
    except UserError:
        raise
    except OSError as error:
        if _is_filled(folder):  # by another run that was faster, on a disk without locks
            return folder
        full = size and error.errno == errno.ENOSPC
        need = f": it needs about {-(-size // 10**6):,} MB" if full else ""
        raise FileError(f"{folder} can't be written ({error.strerror or error}){need}") from error
    return folder


def _is_filled(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def _fill(folder: Path, fill: Callable, alone: bool) -> None:
    name = _hidden(folder)
    if alone:  # what killed runs left
        for left in folder.parent.glob(f"{glob.escape(name)}.????????.partial"):
            shutil.rmtree(left, ignore_errors=True)
    partial = folder.with_name(f"{name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        partial.mkdir()
        fill(partial)
        if folder.exists():  # and is empty: Windows renames nothing to it
            shutil.copymode(folder, partial)
            folder.rmdir()
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _hidden(path: Path) -> str:
    """Return how the names of the hidden files beside a path begin; names have a limit."""
    return f".{path.name[:40]}"


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Hold the lock of ``path``, a hidden file beside it, among processes and threads.

    The operating system frees a killed run's lock. Some network disks have none (False): there,
    nothing worse happens than the same work twice.
    """
    lock = FileLock(path.with_name(f"{_hidden(path)}.lock"), fallback_to_soft=False)
    alone = True
    try:
        lock.acquire(timeout=PATIENCE)
    except Timeout:
        remedy = f"if there is none, delete {lock.lock_file}, and this run goes on"
        print(f"waiting for another run that is writing {path}; {remedy}", file=sys.stderr)
        lock.acquire()
    except (OSError, NotImplementedError):  # if nothing can be written, writing fails
        alone = False
    try:
        yield alone
    finally:
        with contextlib.suppress(OSError):  # Windows removes no open file: there it stays
            os.unlink(lock.lock_file)
        lock.release()
