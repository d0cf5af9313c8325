"""Writing files whole or not at all, and reading them back without trusting them."""

from __future__ import annotations

import contextlib
import errno
import glob
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

PARTIAL = ".partial"  # ends the name of a folder that is being filled
NPZ_VERSION = 1  # of the .npz files below; a higher one was written by a later release


def write_atomically(path, write: Callable) -> Path:
    """Call ``write(temporary path)`` beside ``path``, then rename: a reader finds the old file or the new, whole.

    Of two writers of one file, one waits. The next write replaces the temporary file that a killed run left.
    """
    path = Path(path)
    partial = path.parent.suffix == PARTIAL  # `make_folder` locks it, and clears away what is left in it
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp" if partial else f".{path.name}.tmp")
    try:
        with contextlib.nullcontext() if partial else _locked(path):
            try:
                write(temporary)
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
    except OSError as error:
        raise OSError(error.errno or errno.EIO, error.strerror or str(error), str(path)) from error
    return path


def write_npz(path, kind: str, arrays: dict[str, np.ndarray]) -> Path:
    """Write arrays to ``path`` (uncompressed .npz) with the kind of thing they are and the format's version."""

    def write(temporary):
        with open(temporary, "wb") as file:
            np.savez(file, allow_pickle=False, kind=np.array(kind), version=np.array(NPZ_VERSION), **arrays)

    return write_atomically(path, write)


def read_npz(path, kind: str, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Return the named arrays of a file that ``write_npz`` wrote; no pickle is ever loaded.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        Naming the file, if it is damaged, of another kind, incomplete, or of a later version.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name] for name in ("kind", "version", *names) if name in file.files}
        version = int(found.get("version", 0))
    except FileNotFoundError:
        raise
    except Exception as error:  # zipfile and numpy raise a dozen kinds over damaged bytes
        raise ValueError(f"{path}: not a readable .npz file: {type(error).__name__}: {error}") from error
    if str(found.get("kind")) != kind:
        raise ValueError(f"{path}: holds no {kind} that hw1lib saved")
    if version > NPZ_VERSION:
        raise ValueError(f"{path}: written by a later version of hw1lib; update it to read this file")
    missing = [name for name in names if name not in found]
    if missing:
        raise ValueError(f"{path}: incomplete, without {', '.join(missing)}")
    return found


def cache_dir() -> Path:
    """Return the folder for what is made once and used again, made if need be.

    ``HW1_CACHE`` names it; otherwise it is ``.cache`` in the checkout, or ``~/.cache/hw1lib`` for an installed package.
    """
    checkout = Path(__file__).resolve().parents[1]
    default = checkout / ".cache" if (checkout / "pyproject.toml").exists() else Path.home() / ".cache" / "hw1lib"
    folder = Path(os.environ.get("HW1_CACHE") or default).expanduser().absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise OSError(
            f"the cache folder {folder} can't be written ({error.strerror}): "
            "set the environment variable HW1_CACHE to a folder that can"
        ) from error
    return folder


def make_folder(folder, fill: Callable[[Path], None], key: str = "", size: int = 0) -> Path:
    """Return ``folder``; if there is none yet, or an empty one, fill it out of sight and rename it when it is whole.

    Of two runs at once, one waits and then finds the folder done. A run that was killed is taken up again by the next
    one with the same ``key``: ``fill`` finds what was finished and may skip it.

    Parameters
    ----------
    folder : path-like
    fill : callable
        ``fill(partial)`` writes everything into the folder ``partial``, each file by `write_atomically`, so that a file
        that is there is whole. If it raises, ``partial`` is removed.
    key : str
        Tells what is written: what a killed run with another key left is removed, not used.
    size : int
        Bytes that are needed, about; named when the disk is full.

    Raises
    ------
    OSError
        Naming the folder, if it can't be written.
    """
    folder = Path(folder).absolute()
    partial = folder.with_name(f".{folder.name}.{hashlib.sha256(key.encode()).hexdigest()[:8]}{PARTIAL}")
    if _is_filled(folder):
        return folder
    try:
        with _locked(folder):
            if _is_filled(folder):
                return folder
            for other in folder.parent.glob(f".{glob.escape(folder.name)}.????????{PARTIAL}"):
                if other != partial:
                    shutil.rmtree(other, ignore_errors=True)
            partial.mkdir(exist_ok=True)
            try:
                fill(partial)
                _remove_leftovers(partial)
                if folder.exists():  # and is empty: Windows renames nothing to it
                    folder.rmdir()
                partial.rename(folder)
                _remove_leftovers(folder)  # again, of workers that outlived a killed run: the new name stops them
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        need = f": it needs about {-(-size // 10**6):,} MB" if size and error.errno == errno.ENOSPC else ""
        raise OSError(f"{folder} can't be written ({error.strerror or error}){need}") from error
    return folder


def _is_filled(folder: Path) -> bool:
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder} must be a folder, or not exist")
    return folder.is_dir() and any(folder.iterdir())


def _remove_leftovers(folder: Path) -> None:
    for leftover in folder.rglob(".*.tmp"):
        leftover.unlink(missing_ok=True)


@contextlib.contextmanager
def _locked(path: Path):
    """Hold the lock of ``path``, a hidden file beside it, among processes; say so if that means to wait.

    The operating system frees a killed run's lock. The file is removed before the lock is let go: a process that waits
    for a file that has lost its name notices (filelock looks) and starts over, so no two hold the lock.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"waiting for another run that is writing {path}", file=sys.stderr)
        lock.acquire()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # Windows removes no open file: there it stays
            os.unlink(lock.lock_file)
        lock.release()
