"""Finding the faces in a folder or an archive: what is no face is set aside, with the reason.

An archive is unpacked into the cache folder first, and that folder is read like any other.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

from hw1lib.cache import cache_dir, cached
from hw1lib.checks import FileError
from hw1lib.faces.pictures import open_face, read_name
from hw1lib.files import make_folder, write_text
from hw1lib.progress import bar

VERSION = 6  # of what is kept about a folder or an archive in the cache
MAX_BYTES = 1_000_000  # of one face: UTKFace's have about 5 kB
MAX_TOTAL = 2_000_000_000  # of what an archive unpacks to: UTKFace's, to about 100 MB
SAME_NAME = "another file of this name is read"
WHERE = (
    "expected a folder that holds UTKFace's *.jpg.chip.jpg files (at any depth), or "
    'UTKFace.tar.gz, .tar or .zip as downloaded; to get it, see "Aligned&Cropped Faces" on '
    "https://susanqq.github.io/UTKFace/"
)


def printable(path) -> str:
    """Return a path as text: a name that is no UTF-8 could not be printed."""
    return str(path).encode(errors="replace").decode()


def read_folder(folder: Path, progress: bool) -> dict:
    """Return what is in a folder (see `_index`), from the cache if no file has changed."""
    files = _walk(folder)
    name = f"index/{_digest(str(folder), files)}.json"
    return cached(name, lambda: _index(folder, files, progress), _save_index, _load_index)


def read_archive(archive: Path, progress: bool) -> tuple[Path, dict]:
    """Unpack an archive into the cache, once; return that folder and what is in it."""
    try:
        with open(archive, "rb") as file:
            state = os.fstat(file.fileno())
    except OSError as error:
        raise FileError(f"{printable(archive)} can't be read: {error.strerror}") from error

    def fill(partial: Path) -> None:
        files = partial / "files"
        files.mkdir()
        _unpack(archive, files, progress)
        _save_index(_index(files, _walk(files), progress), partial / "index.json")

    key = _digest(str(archive.absolute()), state.st_size, state.st_mtime_ns)
    folder = make_folder(cache_dir() / "archives" / key, fill, size=state.st_size)
    return folder / "files", _load_index(folder / "index.json")


def _save_index(index: dict, path: Path) -> None:
    write_text(path, json.dumps(index))


def _load_index(path: Path) -> dict:
    return json.loads(path.read_text("utf-8"))


def _digest(*facts) -> str:
    return hashlib.sha256(repr((VERSION, *facts)).encode()).hexdigest()[:16]


def _walk(folder: Path) -> list[tuple[str, int, int]]:
    """Return path, size and time of change of every file, and of what can't be looked into.

    They are sorted by name. The cache folder, if it is in there, is left out.
    """
    files = []
    cache = str(cache_dir())

    def add(path: str) -> None:
        size = changed = 0
        if os.path.exists(path):  # a link may lead nowhere
            state = os.stat(path)
            size, changed = state.st_size, state.st_mtime_ns
        files.append((os.path.relpath(path, folder).replace(os.sep, "/"), size, changed))

    for parent, folders, names in os.walk(folder, onerror=lambda error: add(error.filename)):
        folders[:] = [name for name in folders if os.path.join(parent, name) != cache]
        links = [name for name in folders if os.path.islink(os.path.join(parent, name))]
        for name in names + links:
            add(os.path.join(parent, name))
    return sorted(files, key=lambda file: (_name(file[0]).lower(), file[0]))


def _name(path: str) -> str:
    """Return the last part of a path; Windows separates by backslashes, in archives, too."""
    return PurePosixPath(path.replace("\\", "/")).name


def _index(folder: Path, files: list[tuple[str, int, int]], progress: bool) -> dict:
    """Return labels, paths, what was skipped, notes and the fingerprint of a folder's files.

    Of several faces with one name (upper case apart: not every disk minds it) the first path
    counts, so that folders and archives of the same faces are the same.
    """
    faces: dict[str, tuple] = {}
    skipped = []
    for path, _, _ in bar(files, "checking", progress=progress):
        name = _name(path)
        labels, remark = read_name(name)
        try:
            if not os.path.isfile(folder / path):  # to read a pipe is to wait for ever
                raise ValueError("it is no regular file, or can't be read")
            if labels is None:
                raise ValueError(remark)
            if name.lower() in faces:
                raise ValueError(SAME_NAME)
            with open(folder / path, "rb") as file:
                content = file.read(MAX_BYTES + 1)
            if not content:
                raise ValueError("it is empty")
            if len(content) > MAX_BYTES:
                raise ValueError("it is too large for a face")
            open_face(io.BytesIO(content), check_only=True)
        except OSError as error:
            skipped.append([path, f"it can't be read: {error.strerror or error}"])
        except ValueError as error:
            skipped.append([path, str(error)])
        else:
            faces[name.lower()] = name, path, labels, remark, hashlib.sha256(content).hexdigest()
    ordered = sorted(faces.values())
    lines = "".join(f"{name} {sha}\n" for name, _, _, _, sha in ordered)
    return {
        "labels": [[name, *labels] for name, _, labels, _, _ in ordered],
        "paths": [path for _, path, _, _, _ in ordered],
        "skipped": sorted(skipped),
        "notes": [[name, remark] for name, _, _, remark, _ in ordered if remark],
        "fingerprint": hashlib.sha256(lines.encode()).hexdigest()[:16],
    }


# -- archives --------------------------------------------------------------------------------------


def _unpack(archive: Path, folder: Path, progress: bool) -> None:
    """Write what an archive holds into a folder, and nothing anywhere else."""
    try:
        # A tar is asked for first: one that ends in a zip would be taken for that.
        unpack = _unpack_tar if tarfile.is_tarfile(archive) else _unpack_zip
        return unpack(archive, folder, progress)
    except Exception as error:  # these modules raise a dozen kinds over damaged archives
        if getattr(error, "errno", None) is not None:  # of the disk; gzip's have no number
            raise
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(":")
    said = f"{archive}: damaged, incomplete, or not an archive of faces ({reason}); {WHERE}"
    raise FileError(printable(said))


def _unpack_tar(archive: Path, folder: Path, progress: bool) -> None:
    with tarfile.open(archive) as tar:
        members = []
        for member in tar:
            if member.size < 0:  # tarfile would go round in circles
                raise tarfile.ReadError("a header in it is damaged")
            members.append(member)
        _check_total(sum(member.size for member in members))
        # tarfile takes a cut or damaged header for the end; and gzip checks its sum at the very end
        tar.fileobj.seek(tar.offset)
        end = tar.fileobj.read(MAX_BYTES)
        if not tarfile.BLOCKSIZE <= len(end) < MAX_BYTES or end.strip(b"\0"):
            raise tarfile.ReadError("it is cut, or something follows its end")
        # "data" refuses devices, and what leads out of the folder
        tar.extractall(folder, bar(members, "unpacking", progress=progress), filter="data")


def _unpack_zip(archive: Path, folder: Path, progress: bool) -> None:
    with zipfile.ZipFile(archive) as zipped:
        members = zipped.infolist()
        _check_total(sum(member.file_size for member in members))
        for member in bar(members, "unpacking", progress=progress):
            zipped.extract(member, folder)  # below the folder, whatever its name


def _check_total(size: int) -> None:
    if size > MAX_TOTAL:
        raise tarfile.ReadError(f"it holds more than {MAX_TOTAL / 1e9:g} GB")
