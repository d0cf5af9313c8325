"""Writing files whole or not at all, and reading them back without trusting them."""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import shutil
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from hw1lib.checks import mendable

NPZ_VERSION = 1  # of the .npz files below; a higher one was written by a later release
PATIENCE = 3  # seconds: who waits longer for another run is told


def write_atomically(path, write: Callable) -> Path:
    """Call ``write(temporary path)`` beside ``path``, then rename: a reader finds the old file or the new, whole."""
    path = Path(path)
    try:
        with _partial(path) as temporary:
            write(temporary)
            temporary.replace(path)
    except OSError as error:
        raise mendable(OSError(error.errno or errno.EIO, error.strerror or str(error), str(path))) from error
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
    except Exception as error:  # zipfile and numpy raise a dozen kinds over damaged bytes, and advise pickle
        detail = getattr(error, "strerror", None) or "it is damaged, or no file that hw1lib saved"
        raise ValueError(f"{path}: not a readable .npz file: {detail}") from None
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
    default = checkout / ".cache" if (checkout / "pyproject.toml").exists() else "~/.cache/hw1lib"
    folder = Path(os.environ.get("HW1_CACHE") or default)
    unwritable = (
        "the cache folder {} can't be written ({}): set the environment variable HW1_CACHE to a folder that can"
    )
    try:
        folder = folder.expanduser().absolute()
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except RuntimeError as error:  # of expanduser
        raise mendable(OSError(unwritable.format(folder, "there is no home folder"))) from error
    except OSError as error:
        raise mendable(OSError(unwritable.format(folder, error.strerror))) from error
    return folder


def make_folder(folder, fill: Callable, size: int = 0) -> Path:
    """Return ``folder``; if there is none yet, or an empty one, fill it out of sight and rename it when it is whole.

    Of two runs at once, one waits and then finds the folder done. What a killed run left is thrown away.

    Parameters
    ----------
    folder : path-like
    fill : callable
        ``fill(partial)`` writes everything into the new, empty folder ``partial``. If it raises, that is removed.
    size : int
        Bytes that are needed, about; named when the disk is full.

    Raises
    ------
    OSError
        Naming the folder, if it can't be written.
    """
    folder = Path(folder).absolute()
    if _is_filled(folder):
        return folder
    try:
        with _partial(folder) as partial:
            if not _is_filled(folder):
                partial.mkdir()
                fill(partial)
                if folder.exists():  # and is empty: Windows renames nothing to it
                    folder.rmdir()
                partial.rename(folder)
    except OSError as error:
        if _is_filled(folder):  # by another run that was faster, on a disk without locks
            return folder
        need = f": it needs about {-(-size // 10**6):,} MB" if size and error.errno == errno.ENOSPC else ""
        raise mendable(OSError(f"{folder} can't be written ({error.strerror or error}){need}")) from error
    return folder


def _is_filled(folder: Path) -> bool:
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder} must be a folder, or not exist")
    return folder.is_dir() and any(folder.iterdir())


@contextlib.contextmanager
def _partial(path: Path) -> Iterator[Path]:
    """Yield a new hidden name beside ``path``, to be written to and renamed; whatever still has it then is removed.

    One run after the other, where the disk has locks: each also removes what killed runs left. The names differ, so
    that without locks nothing worse happens than the same work twice.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    token = uuid.uuid4().hex[:8]
    with _locked(path) as alone:
        removable = f".{glob.escape(path.name)}.{'?' * 8 if alone else token}.partial"
        _remove(path.parent, removable)
        try:
            yield path.with_name(f".{path.name}.{token}.partial")
        finally:
            _remove(path.parent, removable)  # again: workers may have outlived a killed run


def _remove(folder: Path, pattern: str) -> None:
    for path in folder.glob(pattern):
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Hold the lock of ``path``, a hidden file beside it, among processes and threads; yield False if that can't be.

    The operating system frees a killed run's lock. The file is removed before the lock is let go: whoever waits for a
    file that has lost its name notices (filelock looks) and starts over, so no two hold the lock.
    """
    lock = FileLock(path.with_name(f".{path.name}.lock"), fallback_to_soft=False)
    held = True
    try:
        lock.acquire(timeout=PATIENCE)
    except Timeout:
        print(
            f"waiting for another run that is writing {path}; if there is none, on another machine either, "
            f"delete {lock.lock_file}, and this run goes on",
            file=sys.stderr,
        )
        lock.acquire()
    except (OSError, NotImplementedError):  # some network disks have no locks; if nothing can be written, writing fails
        held = False
    try:
        yield held
    finally:
        with contextlib.suppress(OSError):  # Windows removes no open file: there it stays
            os.unlink(lock.lock_file)
        lock.release()
