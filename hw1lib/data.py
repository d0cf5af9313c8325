"""The faces: a folder or an archive of UTKFace, or the embedded stand-in, behind one interface (report, 2.1).

Labels are read from the file names, ``age_gender_race_datetime.jpg.chip.jpg``. They are estimates about real people:
good for an exercise, not for deciding anything about anyone.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
from PIL import Image, ImageOps
from tqdm.auto import tqdm

from hw1lib import standin
from hw1lib.files import cache_dir, make_folder, write_atomically

CHECKOUT = Path(__file__).resolve().parents[1]
SIZE = 200  # pixels, either way
N_PIXELS = SIZE * SIZE * 3  # 120,000 numbers a face
MAX_AGE = 120
MAX_BYTES = 5_000_000  # of one file in an archive: UTKFace's are about 5 kB
N_STANDIN = 20_000  # faces of the stand-in, unless HW1_FACES says otherwise
WHERE = (
    "expected a folder that holds UTKFace's *.jpg.chip.jpg files (at any depth), or UTKFace.tar.gz, .tar or .zip as "
    'downloaded; to get it, see "Aligned&Cropped Faces" on https://susanqq.github.io/UTKFace/'
)
INDEX_VERSION = 1

# age, gender, race, date and time; then an ending that must name a JPEG, though a space or a dot may be off
NAME = re.compile(
    r"(\d{1,3})_([01])_([0-4])_(\d{8,20})(?!\d)[ ._]*(jpe?g)[ ._]*(chip[ ._]*jpe?g)?",
    re.ASCII | re.IGNORECASE,
)
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


def open_face(source, check_only: bool = False) -> np.ndarray | None:
    """Decode one picture to uint8 (200, 200, 3); ValueError with the reason if it is not such a picture.

    With ``check_only`` it is only checked, at an eighth of the size: a broken file shows just the same, but six
    times faster.
    """
    try:
        with Image.open(source, formats=("JPEG",)) as picture:
            if picture.size != (SIZE, SIZE):
                raise ValueError(f"it is {picture.width} x {picture.height} pixels, not {SIZE} x {SIZE}")
            if check_only:
                picture.draft(None, (SIZE // 8, SIZE // 8))
                picture.load()
                return None
            if picture.info.get("exif"):
                ImageOps.exif_transpose(picture, in_place=True)
            return np.asarray(picture.convert("RGB"))  # grey and CMYK become RGB, as a viewer shows them
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
            A folder (any depth), or a .tar.gz, .tar or .zip as downloaded. None (or empty) opens the stand-in, with
            20,000 faces or as many as the environment variable HW1_FACES says; it is drawn at the first time.
        progress : bool
            Show bars.

        Raises
        ------
        FileNotFoundError
            If there is nothing at ``path``.
        ValueError
            If there is no face in it, or the archive is damaged.
        """
        if path is None or str(path) == "":
            n_faces = _standin_faces()
            folder = standin.make(cache_dir() / "standin" / f"{n_faces}", n_faces, progress=progress)
            return cls(folder, _index(folder, [], progress), f"the embedded stand-in, {n_faces:,} drawn faces", True)
        path = Path(path).expanduser()
        if not path.exists() and (CHECKOUT / path).exists():
            path = CHECKOUT / path  # a relative HW1_DATA, as given to make, seen from a notebook's folder
        if not path.exists():
            raise FileNotFoundError(f"there is nothing at {path}: {WHERE}")
        folder, skipped = (path.absolute(), []) if path.is_dir() else _unpack(path, progress)
        index = _index(folder, skipped, progress)
        if not index["labels"]:
            raise ValueError(f"there is no face in {path} ({len(index['skipped'])} files were set aside): {WHERE}")
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
            try:
                face = open_face(self.folder / self._paths[row])
            except (OSError, ValueError) as error:
                raise ValueError(
                    f"{self.folder / self._paths[row]}: {error}; it was whole when first opened"
                ) from error
            assert face is not None
            images[i] = face.reshape(-1)
        return images

    def __repr__(self):
        return f"FaceDataset({self.source}: {len(self):,} faces, {len(self.skipped)} set aside, {self.fingerprint})"


def _standin_faces() -> int:
    text = os.environ.get("HW1_FACES") or str(N_STANDIN)
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"HW1_FACES must be a whole number >= 1, not {text!r}")
    return int(text)


def _index(folder: Path, skipped: list, progress: bool) -> dict:
    """Return labels, paths, skipped files, notes and fingerprint of a folder, from the cache if nothing changed."""
    files = []
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            state = path.lstat()
            files.append((path.relative_to(folder).as_posix(), state.st_size, state.st_mtime_ns))
    files.sort(key=lambda file: (PurePosixPath(file[0]).name, file[0]))
    key = hashlib.sha256(repr((INDEX_VERSION, str(folder), files)).encode("utf-8", "surrogateescape")).hexdigest()
    kept = cache_dir() / "index" / f"{key[:32]}.json"
    if kept.exists():
        index = json.loads(kept.read_text())
    else:
        index = _look_at_all(folder, [path for path, _, _ in files], progress)
        write_atomically(kept, lambda temporary: temporary.write_text(json.dumps(index)))
    index["skipped"] = sorted(skipped + index["skipped"])
    return index


def _look_at_all(folder: Path, paths: list[str], progress: bool) -> dict:
    index: dict = {"labels": [], "paths": [], "skipped": [], "notes": []}
    digest, seen = hashlib.sha256(), set()
    for path in tqdm(paths, desc="checking", unit="file", disable=not progress, leave=False):
        name = PurePosixPath(path).name
        labels, remark = read_name(name)
        if labels and name in seen:
            labels, remark = None, "another file of this name was read before"
        if labels:
            try:
                content = (folder / path).read_bytes()
                open_face(io.BytesIO(content), check_only=True)
            except (OSError, ValueError) as error:
                labels, remark = None, "it is empty" if not (folder / path).stat().st_size else str(error)
        if labels is None:
            index["skipped"].append([path, remark])
            continue
        seen.add(name)
        digest.update(f"{name} {hashlib.sha256(content).hexdigest()}\n".encode())
        index["labels"].append([name, *labels])
        index["paths"].append(path)
        if remark:
            index["notes"].append([name, remark])
    index["fingerprint"] = digest.hexdigest()[:16]
    return index


def _unpack(archive: Path, progress: bool) -> tuple[Path, list]:
    """Copy the faces of an archive into the cache, once; return that folder and what was set aside.

    Nothing is extracted where the archive says: a file is read, and written under its last name, and only if that name
    is a face's.
    """
    state = archive.stat()
    key = hashlib.sha256(repr((str(archive.absolute()), state.st_size, state.st_mtime_ns)).encode()).hexdigest()[:16]

    def fill(folder: Path):
        (folder / "faces").mkdir()
        skipped, seen = [], set()
        bar = tqdm(
            _members(archive),
            desc=f"unpacking {archive.name}",
            unit="file",
            disable=not progress,
            leave=False,
        )
        for path, content in bar:
            name = PurePosixPath(path).name
            labels, reason = read_name(name)
            if path.startswith("/") or ".." in PurePosixPath(path).parts:
                reason = "its path leads out of the archive"
            elif isinstance(content, str):
                reason = content
            elif labels and name in seen:
                reason = "another file of this name was read before"
            elif labels:
                seen.add(name)
                (folder / "faces" / name).write_bytes(content)
                continue
            skipped.append([path, reason])
        (folder / "skipped.json").write_text(json.dumps(skipped))

    folder = make_folder(cache_dir() / "archives" / key, fill)
    return folder / "faces", json.loads((folder / "skipped.json").read_text())


def _members(archive: Path):
    """Yield (path, bytes, or the reason why it was not read) for every file of a tar or zip archive."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as zipped:
                for member in zipped.infolist():
                    if member.is_dir():
                        continue
                    if member.flag_bits & 1:
                        yield member.filename, "it is encrypted"
                        continue
                    with zipped.open(member) as file:  # what it holds counts, not the size that it claims
                        content = file.read(MAX_BYTES + 1)
                    yield (
                        member.filename,
                        content if len(content) <= MAX_BYTES else "it is too large for a face",
                    )
            return
        with tarfile.open(archive, "r:*") as tar:
            for entry in tar:
                if entry.isdir():
                    continue
                if not entry.isfile():
                    yield entry.name, "it is a link or a device, not a file"
                elif entry.size > MAX_BYTES:
                    yield entry.name, "it is too large for a face"
                else:
                    extracted = tar.extractfile(entry)
                    yield entry.name, extracted.read() if extracted else b""
    except (
        tarfile.TarError,
        zipfile.BadZipFile,
        EOFError,
        OSError,
        ValueError,
        NotImplementedError,
    ) as error:
        raise ValueError(f"{archive}: damaged, incomplete, or not an archive ({error}); {WHERE}") from error
