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
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from hw1lib.cache import cache_dir, cached
from hw1lib.checks import FileError, UserError, one_of, whole_number
from hw1lib.faces import standin
from hw1lib.faces.chunks import LABELS, chunk_names, load_features
from hw1lib.faces.data import Data, near_duplicates
from hw1lib.faces.pictures import AN_ARCHIVE, SIZE, block_mean, open_face, read_name
from hw1lib.faces.preprocess import BLOCK_FACES, CHUNK_SIZE, NORMALIZERS, Preprocessor
from hw1lib.files import make_folder, write_atomically

CHECKOUT = Path(__file__).resolve().parents[2]
N_PIXELS = SIZE * SIZE * 3  # 120,000 numbers a face
MAX_BYTES = 1_000_000  # of one file: UTKFace's are about 5 kB
N_STANDIN = 20_000  # faces of the stand-in, unless HW1_FACES says otherwise
WHERE = (
    "expected a folder that holds UTKFace's *.jpg.chip.jpg files (at any depth), or UTKFace.tar.gz, .tar or .zip as "
    'downloaded; to get it, see "Aligned&Cropped Faces" on https://susanqq.github.io/UTKFace/'
)
SAME_NAME = "another file of this name is read"
# Of the code that features come from: who edits it gets new ones, not those that were kept.
SOURCES = sorted(Path(__file__).parent.glob("*.py"))
CODE = hashlib.sha256(b"".join(path.read_bytes() for path in SOURCES)).hexdigest()[:8]
INDEX_VERSION = 3  # of what is kept about a folder or an archive in the cache


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
    drawn : bool
    source : str
        What was opened, to be shown.
    """

    def __init__(self, folder: Path, index: dict, source: str, drawn: bool):
        self.folder = folder
        self.labels = pd.DataFrame(index["labels"], columns=["file", "age", "gender", "race"])
        self.skipped = pd.DataFrame(index["skipped"], columns=["file", "reason"], dtype=str)
        self.notes = pd.DataFrame(index["notes"], columns=["file", "note"], dtype=str)
        self.fingerprint: str = index["fingerprint"]
        self.source, self.drawn = source, drawn
        self._paths: list[str] = index["paths"]

    @classmethod
    def open(cls, path=None, progress: bool = True) -> FaceDataset:
        """Open a folder, an archive, or the stand-in.

        Every picture is looked at once, and what was found is kept in the cache folder, as is an archive's content.

        Parameters
        ----------
        path : path-like, optional
            A folder (any depth), or a .tar.gz, .tar or .zip as downloaded; a folder without faces may hold one.
            None asks the environment variable HW1_DATA. Where that is empty, too, the stand-in is opened, with 20,000
            faces or as many as HW1_FACES says; it is drawn at the first time.
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
            number = os.environ.get("HW1_FACES") or str(N_STANDIN)
            n_faces = int(number) if number.isdecimal() else 0
            if n_faces < 1:
                raise UserError(f"HW1_FACES must be a whole number >= 1, not {number!r}")
            folder = cache_dir() / "standin" / f"v{standin.VERSION}-{n_faces}"
            standin.make(folder, n_faces, progress=progress)
            return cls(
                folder,
                _read_folder(folder, progress),
                f"the embedded stand-in, {n_faces:,} drawn faces",
                True,
            )
        path = Path(os.path.expanduser(path))
        if not path.exists() and (CHECKOUT / path).exists():
            path = (
                CHECKOUT / path
            )  # a relative HW1_DATA, as given to make, seen from a notebook's folder
        if not path.exists():
            raise FileError(f"there is nothing at {path}: {WHERE}")
        if path.is_dir():
            folder = path.absolute()
            index = _read_folder(folder, progress)
        else:
            folder, index = _read_archive(path, progress)
        if not index["labels"]:
            archives = [file for file, reason in index["skipped"] if reason == AN_ARCHIVE]
            if path.is_dir() and len(archives) == 1:
                return cls.open(path / archives[0], progress)
            first = "; the first, {}: {}".format(*index["skipped"][0]) if index["skipped"] else ""
            if archives:
                first = f", but {', '.join(archives[:5])}: give one of these by its own path, or unpack it first"
            set_aside = f"{len(index['skipped'])} files were set aside{first}"
            raise UserError(f"there is no face in {path} ({set_aside}): {WHERE}")
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
        for i, row in enumerate(
            tqdm(rows, desc="reading", unit="face", disable=not progress, leave=False)
        ):
            path = self.folder / self._paths[row]
            try:
                images[i] = open_face(path).reshape(-1)
            except ValueError as error:
                raise UserError(f"{path}: {error}; it was whole when first opened") from error
        return images

    def preprocessor(
        self, normalizer: str = "standard", fit_on=None, progress: bool = True
    ) -> Preprocessor:
        """Return the normaliser and PCA of these faces: fitted the first time, then kept.

        Parameters
        ----------
        normalizer : str
            One of ``NORMALIZERS``.
        fit_on : array_like, optional
            Rows of the faces to fit on; by default any 5,000 (report, 2.1).
        progress : bool
            Show bars.
        """
        if len(self) < 2:
            raise UserError(f"{self.source} holds one face, and features tell faces apart")

        def fit() -> Preprocessor:
            n = len(self) if fit_on is None else len(fit_on)
            new = Preprocessor(max(1, min(128, n - 1)), normalizer)
            if fit_on is None:
                return new.fit(self, progress=progress)
            return new.fit(self.images(np.sort(fit_on), progress), progress=progress)

        name = f"features/{self._key(normalizer, fit_on)}.npz"
        return cached(name, fit, Preprocessor.save, Preprocessor.load)

    def feature_folder(
        self, normalizer: str = "standard", fit_on=None, progress: bool = True
    ) -> Path:
        """Return the folder with the features' CSV chunks: exported the first time, then kept.

        The parameters are those of ``preprocessor``.
        """
        folder = cache_dir() / "features" / self._key(normalizer, fit_on)
        if not folder.is_dir() or not any(folder.iterdir()):
            preprocessor = self.preprocessor(normalizer, fit_on, progress)
            with contextlib.suppress(FileExistsError):  # another run was faster
                preprocessor.export(self, folder, progress=progress)
        for name in chunk_names(-(-len(self) // CHUNK_SIZE)):
            if not (folder / name).is_file():
                raise FileError(
                    f"{folder} is without {name}: delete the folder, and it is made again"
                )
        return folder

    def features(self, normalizer: str = "standard", fit_on=None, progress: bool = True) -> Data:
        """Return the features of all faces: (n, 128) float32, made the first time, then kept.

        The parameters are those of ``preprocessor``.
        """
        X = self._features(normalizer, fit_on, progress)
        return Data(X, self.labels, self.groups, self.drawn)

    def _features(self, normalizer, fit_on, progress) -> np.ndarray:
        table = load_features(self.feature_folder(normalizer, fit_on, progress))
        return table.drop(columns=LABELS).to_numpy()

    @functools.cached_property
    def groups(self) -> np.ndarray:
        """Near-duplicates share a number, (n,): by the standard features, found once, then kept."""

        def find() -> np.ndarray:
            return near_duplicates(self._features("standard", None, True))

        return cached(f"features/{self._key()}-groups.npy", find, _save_array, np.load)

    def pictures(self, cell: int = 4, progress: bool = True) -> Data:
        """Return all faces as small pictures: made the first time, then read as they are needed.

        X is (n, 3, 200 // cell, 200 // cell), uint8: see ``block_mean``.
        """
        side = SIZE // whole_number("cell", cell)

        def make() -> np.ndarray:
            pictures = np.empty((len(self), 3, side, side), np.uint8)
            bar = tqdm(total=len(self), desc="pictures", disable=not progress, leave=False)
            with bar:
                for start in range(0, len(self), BLOCK_FACES):
                    block = block_mean(self.images(slice(start, start + BLOCK_FACES)), cell)
                    pictures[start : start + len(block)] = block
                    bar.update(len(block))
            return pictures

        name = f"pictures/{self.fingerprint}-{CODE}-{side}.npy"
        X = cached(name, make, _save_array, functools.partial(np.load, mmap_mode="r"))
        return Data(X, self.labels, self.groups, self.drawn)

    def _key(self, normalizer: str = "standard", fit_on=None) -> str:
        """Return the cache's name for features that are made so."""
        key = f"{self.fingerprint}-{CODE}-{one_of('normalizer', normalizer, NORMALIZERS)}"
        if fit_on is not None:
            rows = np.sort(fit_on).astype(np.int64)
            key += "-" + hashlib.sha256(rows.tobytes()).hexdigest()[:8]
        return key

    def __repr__(self):
        return f"FaceDataset({self.source}: {len(self):,} faces, {len(self.skipped)} set aside, {self.fingerprint})"


def _save_array(array: np.ndarray, path: Path) -> None:
    with open(path, "wb") as file:
        np.save(file, array, allow_pickle=False)


def _digest(*parts) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _read_folder(folder: Path, progress: bool) -> dict:
    """Return what is in a folder (see `_check_faces`), from the cache if no file has changed."""
    files = _walk(folder)
    kept = cache_dir() / "index" / f"{_digest(INDEX_VERSION, str(folder), files)}.json"
    with contextlib.suppress(FileNotFoundError, ValueError):  # not there, or damaged
        return json.loads(kept.read_text())
    entries = (
        (path, reason, functools.partial(open, folder / path, "rb")) for path, reason, _, _ in files
    )
    index = _check_faces(entries, "checking", progress, len(files))
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
            if not stat.S_ISREG(state.st_mode):
                reason = reason or "it is no regular file"
        except OSError as error:
            reason = f"it can't be read: {error.strerror}"
        files.append((path.removeprefix(root).replace(os.sep, "/"), reason, size, changed))

    for parent, folders, names in os.walk(
        folder, onerror=lambda e: add(e.filename, f"it can't be read: {e.strerror}")
    ):
        folders[:] = [name for name in folders if os.path.join(parent, name) != cache]
        for path in (os.path.join(parent, name) for name in folders):
            if os.path.islink(path):
                add(path, "it is a link to a folder, and not followed")
        for name in names:
            add(os.path.join(parent, name))
    return sorted(files, key=lambda file: (PurePosixPath(file[0]).name, file[0]))


def _read_archive(archive: Path, progress: bool) -> tuple[Path, dict]:
    """Copy the faces of an archive into the cache, once; return that folder and what is in it (see `_check_faces`)."""
    state = archive.stat()
    key = _digest(INDEX_VERSION, str(archive.absolute()), state.st_size, state.st_mtime_ns)

    def fill(partial: Path) -> None:
        (partial / "faces").mkdir()
        index = _check_faces(
            _members(archive), f"unpacking {archive.name}", progress, save_to=partial / "faces"
        )
        (partial / "index.json").write_text(json.dumps(index))

    folder = make_folder(cache_dir() / "archives" / key, fill, size=state.st_size)
    try:
        return folder / "faces", json.loads((folder / "index.json").read_text())
    except (OSError, ValueError) as error:
        remedy = f"delete it, and {archive.name} is unpacked again"
        raise UserError(f"{folder} is damaged ({error}): {remedy}") from error


class _TarMember(tarfile.TarInfo):
    """A member whose name and other facts, which may fill headers of any length, are not read if they are absurd."""

    def _proc_member(self, tar):  # tarfile says to override this one
        if not self.isfile() and self.size > MAX_BYTES:
            raise tarfile.ReadError("a header in it is too large")
        return super()._proc_member(tar)  # type: ignore[misc]


def _members(archive: Path) -> Iterator[tuple[str, str, Callable]]:
    """Yield path, reason not to read it or "", and a function that opens it, for every file of an archive."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as zipped:
                for entry in zipped.infolist():
                    if not entry.filename.endswith(("/", "\\")):
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
    except PermissionError as error:
        raise FileError(f"{archive}: {error.strerror}") from error
    except Exception as error:  # damaged archives make these modules raise a dozen kinds
        detail = (str(error) or type(error).__name__).splitlines()[0].rstrip(":")
        said = f"{archive}: damaged, incomplete, or not an archive ({detail}); {WHERE}"
        raise UserError(said) from error


def _check_faces(
    entries, what: str, progress: bool, total: int | None = None, save_to: Path | None = None
) -> dict:
    """Return labels, paths, what was skipped, notes and the fingerprint of entries as `_members` yields them.

    Of several faces with one name (upper case apart: not every disk minds it) the first path counts. Faces are copied
    to ``save_to`` under their names, which are known to be harmless: nothing is written where an archive says.
    """
    faces: dict[str, tuple] = {}
    skipped = []
    for path, reason, open_file in tqdm(
        entries, what, total, unit="file", disable=not progress, leave=False
    ):
        parts = PurePosixPath(
            path.replace("\\", "/")
        ).parts  # Windows separates by backslashes, in archives, too
        name = parts[-1] if parts else ""
        labels, remark = read_name(name)
        same = faces.get(name.lower())
        try:
            if reason or labels is None:
                raise ValueError(reason or remark)
            if parts[0].startswith("/") or ".." in parts:
                raise ValueError("its path leads out of the archive")
            if same and same[0] <= path:
                raise ValueError(SAME_NAME)
            with open_file() as file:
                content = file.read(
                    MAX_BYTES + 1
                )  # what it holds counts, not the size that an archive claims
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
        "skipped": sorted(
            [path.encode(errors="replace").decode(), reason] for path, reason in skipped
        ),  # printable
        "notes": [[name, remark] for _, name, _, remark, _ in found if remark],
        "fingerprint": digest.hexdigest()[:16],
    }
