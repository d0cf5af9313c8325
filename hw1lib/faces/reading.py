"""Finding the faces in a folder or an archive: what is no face is set aside, with the reason.

An archive is unpacked into the cache folder first, and that folder is read like any other.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import io
import json
import os
import posixpath
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath, PureWindowsPath

from hw1lib.cache import cache_dir, cached
from hw1lib.checks import FileError
from hw1lib.faces.pictures import AN_ARCHIVE, open_face, read_name
from hw1lib.files import make_folder, write_text
from hw1lib.progress import bar

VERSION = 4  # of what is kept about a folder or an archive in the cache
MAX_BYTES = 1_000_000  # of one file: UTKFace's are about 5 kB
MAX_TOTAL = 2_000_000_000  # of all files of an archive: UTKFace's have about 100 MB
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

    name = f"index/{_digest(VERSION, str(folder), files)}.json"
    return cached(name, lambda: _index(folder, files, progress), _save_index, _load_index)


def read_archive(archive: Path, progress: bool) -> tuple[Path, dict]:
    """Unpack an archive into the cache, once; return that folder and what is in it."""
    try:
        with open(archive, "rb") as file:
            state = os.fstat(file.fileno())
    except OSError as error:
        raise FileError(f"{printable(archive)} can't be read: {error.strerror}") from error
    key = _digest(VERSION, str(archive.absolute()), state.st_size, state.st_mtime_ns)

    def fill(partial: Path) -> None:
        (partial / "files").mkdir()
        refused = _unpack(archive, partial / "files", progress)
        index = _index(partial / "files", _walk(partial / "files"), progress)
        index["skipped"] = sorted(index["skipped"] + [list(entry) for entry in refused.items()])
        _save_index(index, partial / "index.json")

    folder = make_folder(cache_dir() / "archives" / key, fill, size=state.st_size)
    try:
        return folder / "files", _load_index(folder / "index.json")
    except (OSError, ValueError) as error:
        remedy = f"delete it, and {archive.name} is unpacked again"
        raise FileError(f"{folder} is damaged ({error}): {remedy}") from error


def _save_index(index: dict, path: Path) -> None:
    write_text(path, json.dumps(index))


def _load_index(path: Path) -> dict:
    return json.loads(path.read_text("utf-8"))


def _digest(*facts) -> str:
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def _walk(folder: Path) -> list[tuple[str, str, int, int]]:
    """Return path, reason not to read it or "", size and time of change of every file.

    They are sorted by name. The cache folder, if it is in there, is left out.
    """
    files = []
    cache = str(cache_dir())

    def add(path: str, reason: str = "") -> None:
        size = changed = 0
        try:
            state = os.stat(path)  # of what a link leads to
            size, changed = state.st_size, state.st_mtime_ns
            if not reason and not stat.S_ISREG(state.st_mode):
                reason = "it is no regular file"
        except OSError as error:
            reason = f"it can't be read: {error.strerror}"
        files.append((os.path.relpath(path, folder).replace(os.sep, "/"), reason, size, changed))

    def add_unreadable(error: OSError) -> None:
        add(error.filename, f"it can't be read: {error.strerror}")

    for parent, folders, names in os.walk(folder, onerror=add_unreadable):
        folders[:] = [name for name in folders if os.path.join(parent, name) != cache]
        for name in folders:
            if os.path.islink(os.path.join(parent, name)):
                add(os.path.join(parent, name), "it is a link to a folder, and not followed")
        for name in names:
            add(os.path.join(parent, name))
    return sorted(files, key=lambda file: (_name(file[0]).lower(), file[0]))


def _name(path: str) -> str:
    """Return the last part of a path; Windows separates by backslashes, in archives, too."""
    return PurePosixPath(path.replace("\\", "/")).name


def _index(folder: Path, files: list[tuple[str, str, int, int]], progress: bool) -> dict:
    """Return labels, paths, what was skipped, notes and the fingerprint of a folder's files.

    Of several faces with one name (upper case apart: not every disk minds it) the first path
    counts, so that folders and archives of the same faces are the same.
    """
    faces: dict[str, tuple] = {}
    skipped = []
    for path, reason, _, _ in bar(files, "checking", progress=progress):
        name = _name(path)
        labels, remark = read_name(name)
        try:
            if reason or labels is None:
                raise ValueError(reason or remark)
            if name.lower() in faces:
                raise ValueError(SAME_NAME)
            with open(folder / path, "rb") as file:
                content = file.read(MAX_BYTES + 1)
            if not 0 < len(content) <= MAX_BYTES:
                raise ValueError("it is too large for a face" if content else "it is empty")
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


def _unpack(archive: Path, folder: Path, progress: bool) -> dict[str, str]:
    """Write an archive's faces and archives into a folder; return the others, with the reason.

    Nothing but plain files is made, and all of them below ``folder``.
    """
    try:
        unpacking = bar(None, f"unpacking {archive.name}", progress=progress, unit="file")
        with _opened(archive) as opened, unpacking:
            target = _Target(folder, unpacking)
            if isinstance(opened, tarfile.TarFile):
                _unpack_tar(opened, target)
            else:
                _unpack_zip(opened, target)
        return target.refused
    except OSError as error:
        if error.errno is not None:  # of the disk; gzip's have no number
            raise
        reason = str(error)
    except Exception as error:  # these modules raise a dozen kinds over damaged archives
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(":")
    said = f"{archive}: damaged, incomplete, or not an archive ({reason}); {WHERE}"
    raise FileError(printable(said))


def _opened(archive: Path) -> tarfile.TarFile | zipfile.ZipFile:
    """Open an archive. A tar is asked first: one that ends in a zip would be taken for that."""
    try:
        return tarfile.open(archive, tarinfo=_TarMember)
    except tarfile.ReadError:
        return zipfile.ZipFile(archive)


class _Target:
    """The folder that an archive is unpacked to, and what was refused."""

    def __init__(self, folder: Path, bar):
        self.folder, self.bar = folder, bar
        self.refused: dict[str, str] = {}
        self.written: set[Path] = set()
        self.room = MAX_TOTAL

    def path(self, name: str) -> Path:
        """Return where a member belongs; ValueError if that is nowhere in the folder."""
        path = name.replace("\\", "/")
        if path.startswith("/") or ".." in path.split("/") or PureWindowsPath(name).drive:
            raise ValueError("its path leads out of the archive")
        return self.folder / path

    def write(self, name: str, size: int, open_member: Callable) -> None:
        """Write a file, or note why not."""
        self.bar.update()
        try:
            path = self.path(name)
            labels, remark = read_name(path.name)
            if labels is None and remark != AN_ARCHIVE:
                raise ValueError(remark)
            if size > MAX_BYTES and remark != AN_ARCHIVE:
                raise ValueError("it is too large for a face")
            self.room -= size
            if self.room < 0:
                raise tarfile.ReadError(f"it holds more than {MAX_TOTAL / 1e9:g} GB")
            with open_member() as source:
                path.parent.mkdir(parents=True, exist_ok=True)
                # the last of one path counts, as for tar; but not every disk minds upper case
                with open(path, "wb" if path in self.written else "xb") as file:
                    self.written.add(path)
                    shutil.copyfileobj(source, file)
        except FileExistsError:
            self.refused[name] = SAME_NAME
        except ValueError as error:
            self.refused[name] = str(error)
        except OSError as error:
            if error.errno not in (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EILSEQ):
                raise
            self.refused[name] = f"it can't be written: {error.strerror}"


def _unpack_tar(tar: tarfile.TarFile, target: _Target) -> None:
    links = []
    for member in tar:
        if member.size < 0:  # tarfile would go round in circles
            raise tarfile.ReadError("a header in it is damaged")
        if member.issym() or member.islnk():
            links.append(member)
        elif member.isfile():
            target.write(member.name, member.size, functools.partial(tar.extractfile, member))
        elif not member.isdir():
            target.refused[member.name] = "it is a device, not a file"
    # tarfile takes a cut or damaged header for the end; and gzip checks its sum at the very end
    if tar.fileobj.tell() < tar.offset + tarfile.BLOCKSIZE:
        raise tarfile.ReadError("it is cut")
    while rest := tar.fileobj.read(1 << 20):
        if rest.strip(b"\0"):
            raise tarfile.ReadError("something follows its end")
    while waiting := links:  # now that all is there that they may lead to; they, too, lead on
        links = [link for link in waiting if not _copy_link(link, target)]
        if len(links) == len(waiting):
            reason = "it is a link to what is no face of the archive"
            target.refused |= {link.name: reason for link in links}
            break


def _copy_link(link: tarfile.TarInfo, target: _Target) -> bool:
    """Write what a link of an archive leads to; return whether that is there yet."""
    beside = posixpath.dirname(link.name) if link.issym() else ""
    try:
        path = target.path(posixpath.normpath(posixpath.join(beside, link.linkname)))
        size = path.stat().st_size
    except (OSError, ValueError):
        return False
    target.write(link.name, size, functools.partial(open, path, "rb"))
    return True


def _unpack_zip(zipped: zipfile.ZipFile, target: _Target) -> None:
    for entry in zipped.infolist():
        name = entry.filename
        if name.endswith(("/", "\\")):
            continue
        try:
            target.write(name, entry.file_size, functools.partial(zipped.open, entry))
        except (zipfile.BadZipFile, RuntimeError, EOFError, zlib.error) as error:  # this one alone
            target.path(name).unlink(missing_ok=True)
            target.refused[name] = f"it can't be read: {error}"


class _TarMember(tarfile.TarInfo):
    """A member whose header is not read into memory if it claims an absurd size."""

    def _proc_member(self, tar):  # tarfile says to override this one
        if not self.isfile() and self.size > MAX_BYTES:
            raise tarfile.ReadError("a header in it is damaged")
        return super()._proc_member(tar)  # type: ignore[misc]
