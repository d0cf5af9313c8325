"""The faces: a folder or an archive of UTKFace, or the embedded stand-in, behind one interface (report, 2.1).

Labels are read from the file names, ``age_gender_race_datetime.jpg.chip.jpg``. They are estimates about real people:
good for an exercise, not for deciding anything about anyone.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import json
import os
import re
import stat
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
from PIL.ExifTags import Base
from PIL.Image import Transpose
from PIL.JpegImagePlugin import JpegImageFile
from tqdm.auto import tqdm

from hw1lib.faces import standin
from hw1lib.files import cache_dir, make_folder, write_atomically

CHECKOUT = Path(__file__).resolve().parents[2]
SIZE = 200  # pixels, either way
N_PIXELS = SIZE * SIZE * 3  # 120,000 numbers a face
MAX_AGE = 120
MAX_BYTES = 1_000_000  # of one file: UTKFace's are about 5 kB
N_STANDIN = 20_000  # faces of the stand-in, unless HW1_FACES says otherwise
WHERE = (
    "expected a folder that holds UTKFace's *.jpg.chip.jpg files (at any depth), or UTKFace.tar.gz, .tar or .zip as "
    'downloaded; to get it, see "Aligned&Cropped Faces" on https://susanqq.github.io/UTKFace/'
)
SAME_NAME = "another file of this name is read"
INDEX_VERSION = 2  # of what is kept about a folder or an archive in the cache

# age, gender, race, date and time; then an ending that must name a JPEG, though a space or a dot may be off
NAME = re.compile(
    r"(\d{1,3})_([01])_([0-4])_(\d{8,20})[ ._]{0,2}jpe?g([ ._]{0,2}chip[ ._]{0,2}jpe?g)?", re.ASCII | re.IGNORECASE
)
TURNS: dict = {  # what EXIF's orientation asks a viewer to do
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
USUAL_ENDINGS = (".jpg.chip.jpg", ".jpg")


def read_name(name: str) -> tuple[tuple[int, int, int] | None, str]:
    """Read the labels in a file's name.

    Parameters
    ----------
    name : str
        Without folders.

    Returns
    -------
    labels : (age, gender, race) or None
        None if the name does not carry all three; they are never guessed.
    remark : str
        Why there are none, or what is odd about the name; empty for a usual name.
    """
    match = NAME.fullmatch(name)
    if match:
        age, gender, race = (int(match[i]) for i in (1, 2, 3))
        if age > MAX_AGE:
            return None, f"the age {age} in its name is above {MAX_AGE}"
        usual = name[match.end(4) :].lower() in USUAL_ENDINGS
        return (age, gender, race), "" if usual else "unusual ending, labels read all the same"
    if re.fullmatch(r"\d{1,3}_[01]_\d{8,20}\D.*", name, re.ASCII | re.DOTALL):
        return None, "no race label in its name"
    return None, "its name is not age_gender_race_datetime.jpg.chip.jpg"


def open_face(source, check_only: bool = False) -> np.ndarray:
    """Decode one picture to uint8 (200, 200, 3); ValueError with the reason if it is not such a picture.

    Grey and CMYK become RGB, and a picture that its EXIF turns is turned, as a viewer does. With ``check_only`` it is
    decoded to (25, 25, 3): a broken file shows just the same, but six times faster.
    """
    try:
        with warnings.catch_warnings(action="ignore"), JpegImageFile(source) as picture:  # it warns of damaged EXIF
            if picture.size != (SIZE, SIZE):
                raise ValueError(f"it is {picture.width} x {picture.height} pixels, not {SIZE} x {SIZE}")
            turn = TURNS.get(picture.getexif().get(Base.Orientation))
            if check_only:
                picture.draft(None, (SIZE // 8, SIZE // 8))
            face = picture.convert("RGB")
            return np.asarray(face if turn is None else face.transpose(turn))
    except ValueError:
        raise
    except Exception as error:  # damaged files make Pillow raise a dozen kinds
        raise ValueError(f"it can't be read as a JPEG picture: {error or type(error).__name__}") from error


class FaceDataset:
    """Faces and their labels; made by ``FaceDataset.open``.

    Attributes
    ----------
    labels : DataFrame
        ``file, age, gender, race``, one row a face, sorted by file name. Gender 0 male, 1 female; race codes 0 White,
        1 Black, 2 Asian, 3 Indian, 4 Others (in the stand-in the codes are abstract classes and depict no group).
    skipped : DataFrame
        ``file, reason``: what was set aside.
    notes : DataFrame
        ``file, note``: what was read though its name is odd.
    fingerprint : str
        16 hexadecimal digits from all names and contents: the same for a folder and an archive of the same faces.
    is_standin : bool
    source : str
        What was opened, to be shown.
    """

    def __init__(self, folder: Path, index: dict, source: str, is_standin: bool):
        self.folder = folder
        self.labels = pd.DataFrame(index["labels"], columns=["file", "age", "gender", "race"])
        self.skipped = pd.DataFrame(index["skipped"], columns=["file", "reason"], dtype=str)
        self.notes = pd.DataFrame(index["notes"], columns=["file", "note"], dtype=str)
        self.fingerprint: str = index["fingerprint"]
        self.source, self.is_standin = source, is_standin
        self._paths: list[str] = index["paths"]

    @classmethod
    def open(cls, path=None, progress: bool = True) -> FaceDataset:
        """Open a folder, an archive, or the stand-in.

        Every picture is looked at once, and what was found is kept in the cache folder, as is an archive's content.

        Parameters
        ----------
        path : path-like, optional
            A folder (any depth), or a .tar.gz, .tar or .zip as downloaded. None asks the environment variable HW1_DATA.
            Where that is empty, too, the stand-in is opened, with 20,000 faces or as many as HW1_FACES says; it is
            drawn at the first time.
        progress : bool
            Show bars.

        Raises
        ------
        FileNotFoundError
            If there is nothing at ``path``.
        ValueError
            If there is no face in it, or the archive is damaged.
        """
        path = os.environ.get("HW1_DATA", "") if path is None else path
        if str(path) == "":
            n_faces = _standin_faces()
            folder = cache_dir() / "standin" / f"v{standin.VERSION}-{n_faces}"
            standin.make(folder, n_faces, progress=progress)
            return cls(folder, _read_folder(folder, progress), f"the embedded stand-in, {n_faces:,} drawn faces", True)
        path = Path(path).expanduser()
        if not path.exists() and (CHECKOUT / path).exists():
            path = CHECKOUT / path  # a relative HW1_DATA, as given to make, seen from a notebook's folder
        if not path.exists():
            raise FileNotFoundError(f"there is nothing at {path}: {WHERE}")
        if path.is_dir():
            folder = path.absolute()
            index = _read_folder(folder, progress)
        else:
            folder, index = _read_archive(path, progress)
        if not index["labels"]:
            first = "; the first, {}: {}".format(*index["skipped"][0]) if index["skipped"] else ""
            raise ValueError(
                f"there is no face in {path} ({len(index['skipped'])} files were set aside{first}): {WHERE}"
            )
        return cls(folder, index, str(path), False)

    def __len__(self) -> int:
        return len(self.labels)

    def images(self, rows, progress: bool = False) -> np.ndarray:
        """Return the pictures of these rows, flattened: uint8 (n, 120000), row by row, red, green, blue.

        Parameters
        ----------
        rows : int, slice or sequence of int
            Into ``labels``.
        progress : bool
            Show a bar.
        """
        rows = np.atleast_1d(np.arange(len(self))[rows])
        images = np.empty((len(rows), N_PIXELS), np.uint8)
        for i, row in enumerate(tqdm(rows, desc="reading", unit="face", disable=not progress, leave=False)):
            path = self.folder / self._paths[row]
            try:
                images[i] = open_face(path).reshape(-1)
            except ValueError as error:
                raise ValueError(f"{path}: {error}; it was whole when first opened") from error
        return images

    def __repr__(self):
        return f"FaceDataset({self.source}: {len(self):,} faces, {len(self.skipped)} set aside, {self.fingerprint})"


def _standin_faces() -> int:
    text = os.environ.get("HW1_FACES") or str(N_STANDIN)
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"HW1_FACES must be a whole number >= 1, not {text!r}")
    return int(text)


def _digest(*parts) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _read_folder(folder: Path, progress: bool) -> dict:
    """Return what is in a folder (see `_look_at_all`), from the cache if no file has changed."""
    files = _walk(folder)
    kept = cache_dir() / "index" / f"{_digest(INDEX_VERSION, str(folder), files)}.json"
    with contextlib.suppress(FileNotFoundError, ValueError):  # not there, or damaged
        return json.loads(kept.read_text())
    ways = ((path, reason, functools.partial(open, folder / path, "rb")) for path, reason, _, _ in files)
    index = _look_at_all(ways, "checking", progress, len(files))
    write_atomically(kept, lambda temporary: temporary.write_text(json.dumps(index)))
    return index


def _walk(folder: Path) -> list[tuple[str, str, int, int]]:
    """Return path, reason not to read it or "", size and time of change of every file, sorted by name.

    The cache folder, if it is in there, is left out.
    """
    files, root, cache = [], os.path.join(folder, ""), str(cache_dir())

    def add(path: str, reason: str = "") -> None:
        size = changed = 0
        try:
            state = os.stat(path)  # of what a link leads to
            size, changed = state.st_size, state.st_mtime_ns
            if not reason and not stat.S_ISREG(state.st_mode):
                reason = "it is no regular file"
        except OSError as error:
            reason = f"it can't be read: {error.strerror}"
        files.append((path.removeprefix(root).replace(os.sep, "/"), reason, size, changed))

    for parent, folders, names in os.walk(folder, onerror=lambda e: add(e.filename, f"it can't be read: {e.strerror}")):
        folders[:] = [name for name in folders if os.path.join(parent, name) != cache]
        for name in folders:
            if os.path.islink(os.path.join(parent, name)):
                add(os.path.join(parent, name), "it is a link to a folder, and not followed")
        for name in names:
            add(os.path.join(parent, name))
    return sorted(files, key=lambda file: (PurePosixPath(file[0]).name, file[0]))


def _read_archive(archive: Path, progress: bool) -> tuple[Path, dict]:
    """Copy the faces of an archive into the cache, once; return that folder and what is in it (see `_look_at_all`)."""
    state = archive.stat()
    key = _digest(INDEX_VERSION, str(archive.absolute()), state.st_size, state.st_mtime_ns)

    def fill(partial: Path) -> None:
        (partial / "faces").mkdir(exist_ok=True)
        index = _look_at_all(_members(archive), f"unpacking {archive.name}", progress, save_to=partial / "faces")
        (partial / "index.json").write_text(json.dumps(index))

    folder = make_folder(cache_dir() / "archives" / key, fill, size=state.st_size)
    try:
        return folder / "faces", json.loads((folder / "index.json").read_text())
    except (OSError, ValueError) as error:
        raise ValueError(f"{folder} is damaged ({error}): delete it, and {archive.name} is unpacked again") from error


class _TarMember(tarfile.TarInfo):
    """A member whose name and other facts, which may fill headers of any length, are not read if they are absurd."""

    def _proc_member(self, tar):  # tarfile says to override this one
        if not self.isfile() and self.size > MAX_BYTES:
            raise tarfile.ReadError("a header in it is too large")
        return super()._proc_member(tar)  # type: ignore[misc]


def _members(archive: Path) -> Iterator[tuple[str, str, Callable]]:
    """Yield path, reason not to read it or "", and the way to open it, for every file of an archive."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as zipped:
                for entry in zipped.infolist():
                    if not entry.is_dir():
                        yield entry.filename, "", functools.partial(zipped.open, entry)
            return
        with tarfile.open(archive, "r:*", tarinfo=_TarMember) as tar:
            for member in tar:
                if member.size < 0:  # tarfile would go round in circles
                    raise tarfile.ReadError("it holds a file of negative size")
                reason = "" if member.isfile() else "it is a link or a device, not a file"
                if not member.isdir():
                    yield member.name, reason, functools.partial(tar.extractfile, member)
            # tarfile takes a damaged header for the end; and gzip checks its sum at the very end
            while rest := tar.fileobj.read(1 << 20):
                if rest.strip(b"\0"):
                    raise tarfile.ReadError("something follows its end")
    except Exception as error:  # damaged archives make these modules raise a dozen kinds
        detail = (str(error) or type(error).__name__).splitlines()[0].rstrip(":")
        raise ValueError(f"{archive}: damaged, incomplete, or not an archive ({detail}); {WHERE}") from error


def _look_at_all(files, what: str, progress: bool, total: int | None = None, save_to: Path | None = None) -> dict:
    """Return labels, paths, what was skipped, notes and the fingerprint of files, as `_members` yields them.

    Of several faces with one name (upper case apart: not every disk minds it) the first path counts. Faces are copied
    to ``save_to`` under their names, which are known to be harmless: nothing is written where an archive says.
    """
    faces: dict[str, tuple] = {}
    skipped = []
    for path, reason, way in tqdm(files, what, total, unit="file", disable=not progress, leave=False):
        name = PurePosixPath(path).name
        labels, remark = read_name(name)
        same = faces.get(name.lower())
        try:
            if reason or labels is None:
                raise ValueError(reason or remark)
            if path.startswith("/") or ".." in PurePosixPath(path).parts:
                raise ValueError("its path leads out of the archive")
            if same and same[0] <= path:
                raise ValueError(SAME_NAME)
            with way() as file:
                content = file.read(MAX_BYTES + 1)  # what it holds counts, not the size that an archive claims
            if not 0 < len(content) <= MAX_BYTES:
                raise ValueError("it is too large for a face" if content else "it is empty")
            open_face(io.BytesIO(content), check_only=True)
        except ValueError as error:
            skipped.append([path, str(error)])
            continue
        except Exception as error:  # what the disk, tarfile and zipfile raise over one file
            skipped.append([path, f"it can't be read: {getattr(error, 'strerror', None) or error}"])
            continue
        if same:
            skipped.append([same[0], SAME_NAME])
        if save_to:
            (save_to / name).write_bytes(content)
        faces[name.lower()] = path, name, labels, remark, hashlib.sha256(content).hexdigest()
    found = sorted(faces.values(), key=lambda face: face[1])
    digest = hashlib.sha256("".join(f"{name} {sha}\n" for _, name, _, _, sha in found).encode())
    return {
        "labels": [[name, *labels] for _, name, labels, _, _ in found],
        "paths": [name if save_to else path for path, name, _, _, _ in found],
        "skipped": sorted([path.encode(errors="replace").decode(), reason] for path, reason in skipped),  # printable
        "notes": [[name, remark] for _, name, _, remark, _ in found if remark],
        "fingerprint": digest.hexdigest()[:16],
    }
