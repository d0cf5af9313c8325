"""Writing files whole or not at all, and reading them back without trusting them."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

NPZ_VERSION = 1  # of the .npz files below; a higher one was written by a later release


def write_atomically(path, write: Callable) -> Path:
    """Call ``write(temporary path)`` beside ``path``, then rename: a reader finds the old file or the new, whole."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    os.close(handle)
    try:
        write(Path(name))
        os.chmod(name, 0o644)  # mkstemp's files are private
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)
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
    except FileNotFoundError:
        raise
    except Exception as error:  # zipfile and numpy raise a dozen kinds over damaged bytes
        raise ValueError(f"{path}: not a readable .npz file: {type(error).__name__}: {error}") from error
    if str(found.get("kind")) != kind:
        raise ValueError(f"{path}: holds no {kind} that hw1lib saved")
    if int(found.get("version", 0)) > NPZ_VERSION:
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


def make_folder(folder: Path, fill: Callable[[Path], None]) -> Path:
    """Return ``folder``; if there is none yet, ``fill`` it under a temporary name and rename it when it is whole."""
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=".tmp"))
        try:
            fill(temporary)
            temporary.chmod(0o755)
            try:
                temporary.rename(folder)
            except OSError:  # another process was quicker: its folder is as good as ours
                if not folder.is_dir():
                    raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return folder
