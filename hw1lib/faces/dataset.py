"""The faces: a folder or an archive of UTKFace, or the embedded stand-in (report, 2.1).

Labels are read from the file names, ``age_gender_race_datetime.jpg.chip.jpg``. They are estimates
about real people: good for an exercise, not for deciding anything about anyone.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from hw1lib.cache import cache_dir, cached
from hw1lib.checks import FileError, UserError, one_of
from hw1lib.faces import standin
from hw1lib.faces.chunks import AGAIN, LABELS, load_features
from hw1lib.faces.data import N_FOLDS, Data, near_duplicates
from hw1lib.faces.pictures import AN_ARCHIVE, N_PIXELS, block_mean, open_face
from hw1lib.faces.preprocess import BLOCK_FACES, NORMALIZERS, Preprocessor
from hw1lib.faces.reading import WHERE, printable, read_archive, read_folder
from hw1lib.progress import bar

CHECKOUT = Path(__file__).resolve().parents[2]
N_STANDIN = 20_000  # faces of the stand-in, unless HW1_FACES says otherwise
N_FITTED = 5_000  # faces that normaliser and PCA are fitted on (report, 2.1)
FEW = 200  # below it, what the notebooks compare has too few faces to go by
MAX_DEPTH = 3  # of archives in archives
# Of the code that features come from: who edits it gets new ones, not those that were kept.
SOURCES = [Path(__file__).with_name(f"{name}.py") for name in ("data", "pictures", "preprocess")]
CODE = hashlib.sha256(b"".join(path.read_bytes() for path in SOURCES)).hexdigest()[:8]


class FaceDataset:
    """Faces and their labels; made by ``FaceDataset.open``.

    Attributes
    ----------
    labels : DataFrame
        ``file, age, gender, race``, one row a face, sorted by file name. Gender 0 male, 1 female;
        race codes 0 White, 1 Black, 2 Asian, 3 Indian, 4 Others (in the stand-in the codes are
        abstract classes and depict no group).
    skipped : DataFrame
        ``file, reason``: what was set aside.
    notes : DataFrame
        ``file, note``: what was read though its name is odd.
    fingerprint : str
        16 hexadecimal digits from all names and contents: the same for a folder and an archive of
        the same faces.
    drawn : bool
        The faces are the stand-in's, as their names tell wherever they lie.
    source : str
        What was opened, to be shown.
    """

    def __init__(self, folder: Path, index: dict, source: str):
        self.folder = folder
        self.labels = pd.DataFrame(index["labels"], columns=LABELS)
        skipped = [(printable(file), reason) for file, reason in index["skipped"]]
        self.skipped = pd.DataFrame(skipped, columns=["file", "reason"], dtype=str)
        self.notes = pd.DataFrame(index["notes"], columns=["file", "note"], dtype=str)
        self.fingerprint: str = index["fingerprint"]
        self.drawn = standin.are_drawn(self.labels.file)
        self.source = f"the embedded stand-in, {len(self):,} drawn faces" if self.drawn else source
        self._paths: list[str] = index["paths"]

    @classmethod
    def open(cls, path=None, progress: bool = True) -> FaceDataset:
        """Open a folder, an archive, or the stand-in.

        Every picture is looked at once, and what was seen is kept in the cache folder, as is an
        archive's content.

        Parameters
        ----------
        path : path-like, optional
            A folder (any depth), or a .tar.gz, .tar or .zip as downloaded. One without faces may
            hold one archive, which may again hold one, and so on, three deep. None asks the
            environment variable HW1_DATA. Where that is empty, too, the stand-in is opened, with
            20,000 faces or as many as HW1_FACES says; it is drawn at the first time.

        Raises
        ------
        FileError
            Naming it, if there is nothing at ``path``, no face in it, or the archive is damaged.
        """
        path = os.environ.get("HW1_DATA", "") if path is None else os.fsdecode(path)
        path = Path(os.path.expanduser(path)) if path else _drawn_faces(progress)
        if not path.exists() and (CHECKOUT / path).exists():
            path = CHECKOUT / path  # a relative HW1_DATA, seen from a notebook's folder
        ds = cls(*_read(path, progress), printable(path))
        if len(ds) < FEW:
            few = f"{ds.source}: fewer than {FEW} faces; some notebooks need that many"
            warnings.warn(few, stacklevel=2)
        return ds

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self):
        return (
            f"FaceDataset({self.source}: {len(self):,} faces, {len(self.skipped)} set aside, "
            f"{self.fingerprint})"
        )

    def images(self, rows, progress: bool = False) -> np.ndarray:
        """Return the pictures of these rows (int, slice or sequence), flattened: uint8 (n, 120000).

        A picture's numbers run row by row: red, green, blue of each pixel.
        """
        rows = np.atleast_1d(np.arange(len(self))[rows])
        images = np.empty((len(rows), N_PIXELS), np.uint8)
        reading = bar(rows, "reading", progress=progress, unit="face")
        for image, row in zip(images, reading, strict=True):
            path = self.folder / self._paths[row]
            try:
                image[:] = open_face(path).reshape(-1)
            except ValueError as error:  # it was whole when first opened
                raise FileError(f"{printable(path)}: {error}") from error
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
            Rows of the faces to fit on, or a mask; by default any 5,000 (report, 2.1).
        """

        def fit() -> Preprocessor:
            rows = np.random.default_rng(0).permutation(len(self))[:N_FITTED]
            rows = np.sort(rows if fit_on is None else np.arange(len(self))[fit_on])
            new = Preprocessor(min(128, len(rows) - 1), normalizer)
            return new.fit(self.images(rows, progress), progress=progress)

        name = f"features/{self._key(normalizer, fit_on)}.npz"
        return cached(name, fit, Preprocessor.save, Preprocessor.load)

    def feature_folder(
        self, normalizer: str = "standard", fit_on=None, progress: bool = True
    ) -> Path:
        """Return the folder with the features' CSV chunks: exported the first time, then kept."""
        folder = cache_dir() / "features" / self._key(normalizer, fit_on)
        if not folder.is_dir():
            preprocessor = self.preprocessor(normalizer, fit_on, progress)
            with contextlib.suppress(FileExistsError):  # another run was faster
                preprocessor.export(self, folder, progress=progress)
        return folder

    def features(self, normalizer: str = "standard", fit_on=None, progress: bool = True) -> Data:
        """Return the features of all faces: (n, 128) float32, made the first time, then kept."""
        X = self._features(normalizer, fit_on, progress)
        return Data(X, self.labels, self.groups, self.drawn)

    def _features(self, normalizer, fit_on, progress) -> np.ndarray:
        folder = self.feature_folder(normalizer, fit_on, progress)
        table = load_features(folder)
        if len(table) != len(self):
            raise FileError(f"{folder} holds {len(table)} of {len(self)} faces; {AGAIN}")
        return table.drop(columns=LABELS).to_numpy()

    @functools.cached_property
    def groups(self) -> np.ndarray:
        """Near-duplicates share a number, (n,): by the standard features, found once, then kept."""

        def find() -> np.ndarray:
            return near_duplicates(self._features("standard", None, progress=True))

        return cached(f"features/{self._key()}-groups.npy", find, _save_array, np.load)

    def pictures(self, cell: int = 4, margin: int = 0, progress: bool = True) -> Data:
        """Return all faces as small pictures: made the first time, then read as they are needed.

        X is (n, 3, side, side), uint8, side = (200 - 2 margin) / cell: see ``block_mean``.
        """

        def make() -> np.ndarray:
            side = block_mean(self.images(slice(1)), cell, margin).shape[-1]
            pictures = np.empty((len(self), 3, side, side), np.uint8)
            starts = range(0, len(self), BLOCK_FACES)
            for start in bar(starts, "pictures", progress=progress):
                rows = slice(start, start + BLOCK_FACES)
                pictures[rows] = block_mean(self.images(rows), cell, margin)
            return pictures

        name = f"pictures/{self.fingerprint}-{CODE}-{cell}-{margin}.npy"
        X = cached(name, make, _save_array, functools.partial(np.load, mmap_mode="r"))
        return Data(X, self.labels, self.groups, self.drawn)

    def _key(self, normalizer: str = "standard", fit_on=None) -> str:
        key = f"{self.fingerprint}-{CODE}-{one_of('normalizer', normalizer, NORMALIZERS)}"
        if fit_on is not None:
            rows = np.sort(np.arange(len(self))[fit_on])
            key += "-" + hashlib.sha256(rows.tobytes()).hexdigest()[:8]
        return key


def _drawn_faces(progress: bool) -> Path:
    """Return the folder of the stand-in with as many faces as HW1_FACES says, drawn if need be."""
    number = os.environ.get("HW1_FACES") or str(N_STANDIN)
    if not number.isdecimal() or int(number) < N_FOLDS:
        need = f"a whole number >= {N_FOLDS} (the notebooks need {FEW})"
        raise UserError(f"HW1_FACES must be {need}, not {number!r}")
    folder = cache_dir() / "standin" / f"v{standin.VERSION}-{int(number)}"
    return standin.make(folder, int(number), progress=progress)


def _read(path: Path, progress: bool, depth: int = 0) -> tuple[Path, dict]:
    """Return the folder with the faces of a folder or an archive, and what is in it."""
    if not path.exists():
        raise FileError(f"there is nothing at {printable(path)}: {WHERE}")
    if path.is_dir():
        folder = path.absolute()
        index = read_folder(folder, progress)
    else:
        folder, index = read_archive(path, progress)
        depth += 1
    skipped = index["skipped"]
    if index["labels"]:
        return folder, index
    archives = [file for file, reason in skipped if reason == AN_ARCHIVE]
    if len(archives) == 1 and depth < MAX_DEPTH:
        return _read(folder / archives[0], progress, depth)
    skipped.sort(key=lambda entry: entry[1] != AN_ARCHIVE)  # these first
    told = "".join(f"; {file}: {reason}" for file, reason in skipped[:3])
    set_aside = f"{len(skipped)} files were set aside{told}"
    raise FileError(printable(f"there is no face in {path} ({set_aside}): {WHERE}"))


def _save_array(array: np.ndarray, path: Path) -> None:
    with open(path, "wb") as file:
        np.save(file, array, allow_pickle=False)
