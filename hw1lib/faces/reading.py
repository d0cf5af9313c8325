"""Finding the faces in a folder or an archive: what is no face is set aside, with the reason.

An archive is unpacked into the cache folder first, and that folder is read like any other.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
import os
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

from hw1lib.cache import cache_dir, cached
from hw1lib.checks import FileError
from hw1lib.faces.pictures import AN_ARCHIVE, open_face, read_name
from hw1lib.files import make_folder, write_text
from hw1lib.progress import bar

VERSION = 5  # of what is kept about a folder or an archive in the cache
MAX_BYTES = 1_000_000  # of one face: UTKFace's have about 5 kB
MAX_TOTAL = 2_000_000_000  # of what an archive unpacks to: UTKFace's, to about 100 MB
SAME_NAME = "another file of this name is read"
TOO_LARGE = "it is too large for a face"
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
        refused = _unpack(archive, files, progress)
        index = _index(files, _walk(files), progress)
        index["skipped"] = sorted(index["skipped"] + refused)
        _save_index(index, partial / "index.json")

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
                raise ValueError(TOO_LARGE)
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


def _unpack(archive: Path, folder: Path, progress: bool) -> list[list[str]]:
    """Write an archive's faces and archives into a folder; return the others, with the reason.

    Nothing but plain files is made, and all of them below ``folder``.
    """
    refused, room = {}, MAX_TOTAL
    try:
        # A tar is asked for first: one that ends in a zip would be taken for that.
        members = _tar_members(archive) if tarfile.is_tarfile(archive) else _zip_members(archive)
        for name, open_member in bar(members, f"unpacking {archive.name}", progress=progress):
            try:
                room -= _write(folder, name, open_member, room)
            except ValueError as error:
                refused[name] = str(error)
        return [[name, reason] for name, reason in refused.items()]
    except Exception as error:  # these modules raise a dozen kinds over damaged archives
        if getattr(error, "errno", None) is not None:  # of the disk; gzip's have no number
            raise
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(":")
    said = f"{archive}: damaged, incomplete, or not an archive of faces ({reason}); {WHERE}"
    raise FileError(printable(said))


def _tar_members(archive: Path) -> Iterator[tuple[str, Callable]]:
    """Yield the name of each member, and what opens it; the last of one name counts, as for tar."""
    with tarfile.open(archive) as tar:
        members = {}
        for member in tar:
            if member.size < 0:  # tarfile would go round in circles
                raise tarfile.ReadError("a header in it is damaged")
            members[member.name] = member
        # tarfile takes a cut or damaged header for the end; and gzip checks its sum at the very end
        tar.fileobj.seek(tar.offset)
        end = tar.fileobj.read(MAX_BYTES)
        if not tarfile.BLOCKSIZE <= len(end) < MAX_BYTES or end.strip(b"\0"):
            raise tarfile.ReadError("it is cut, or something follows its end")
        for name, member in members.items():
            if not member.isdir():
                yield name, functools.partial(_open_tar_member, tar, member)


def _open_tar_member(tar: tarfile.TarFile, member: tarfile.TarInfo):
    try:
        file = tar.extractfile(member)  # of a link, the member that it leads to
    except (KeyError, RecursionError) as error:
        raise ValueError("it is a link to what is no face of the archive") from error
    if file is None:
        raise ValueError("it is a device, not a file")
    return file


def _zip_members(archive: Path) -> Iterator[tuple[str, Callable]]:
    """Yield the name of each member, and what opens it; the last of one name counts."""
    with zipfile.ZipFile(archive) as zipped:
        for name in dict.fromkeys(zipped.namelist()):
            if not name.endswith(("/", "\\")):
                yield name, functools.partial(zipped.open, name)


def _write(folder: Path, name: str, open_member: Callable, room: int) -> int:
    """Write a member of an archive, return its size; ValueError with the reason if left out."""
    path = name.replace("\\", "/")
    if path.startswith("/") or ".." in path.split("/") or PureWindowsPath(name).drive:
        raise ValueError("its path leads out of the archive")
    labels, remark = read_name(_name(name))
    if labels is None and remark != AN_ARCHIVE:
        raise ValueError(remark)
    target = folder / path
    if target.exists():
        raise ValueError(SAME_NAME)
    with open_member() as source:
        block = source.read(MAX_BYTES + 1)
        if len(block) > MAX_BYTES and remark != AN_ARCHIVE:
            raise ValueError(TOO_LARGE)
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(target, "xb") as file:
            while block:
                if file.tell() + len(block) > room:
                    raise tarfile.ReadError(f"it holds more than {MAX_TOTAL / 1e9:g} GB")
                file.write(block)
                block = source.read(MAX_BYTES)
            return file.tell()
