"""What is made once for each data set and kept in the cache folder: the preprocessor, the features, small pictures."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from hw1lib.checks import mendable, one_of, whole_number
from hw1lib.faces.data import FaceDataset
from hw1lib.faces.features import chunk_names, load_features
from hw1lib.faces.pictures import SIZE
from hw1lib.faces.preprocess import BLOCK_FACES, CHUNK_SIZE, NORMALIZERS, Preprocessor
from hw1lib.files import cache_dir, write_atomically

# Of the code that features come from: who edits it finds others, not what was kept before.
CODE = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))).hexdigest()[
    :8
]


def fitted_preprocessor(
    ds: FaceDataset, progress: bool = True, normalizer: str = "standard", rows=None
) -> Preprocessor:
    """Return the Preprocessor for a data set: fitted the first time, then loaded from the cache folder.

    Parameters
    ----------
    ds : FaceDataset
    progress : bool
    normalizer : str
        One of ``NORMALIZERS``.
    rows : array_like, optional
        Faces to fit on; by default any 5,000 (report, 2.1).

    A file there that can't be read, or that another version wrote, is replaced.
    """
    if len(ds) < 2:
        raise mendable(ValueError(f"{ds.source} holds one face, and features tell faces apart: it takes two or more"))
    path = _kept(ds, normalizer, rows).with_suffix(".npz")
    with contextlib.suppress(FileNotFoundError, ValueError):
        return Preprocessor.load(path)
    n = len(ds) if rows is None else len(rows)
    preprocessor = Preprocessor(max(1, min(128, n - 1)), normalizer)
    preprocessor.fit(ds if rows is None else ds.images(np.sort(rows), progress=progress), progress=progress)
    preprocessor.save(path)
    return preprocessor


def feature_folder(ds: FaceDataset, progress: bool = True, normalizer: str = "standard", rows=None) -> Path:
    """Return the folder with a data set's CSV chunks: exported the first time, in the cache folder.

    Parameters are those of ``fitted_preprocessor``.
    """
    folder = _kept(ds, normalizer, rows)
    if not folder.is_dir() or not any(folder.iterdir()):
        with contextlib.suppress(FileExistsError):  # another run was faster
            fitted_preprocessor(ds, progress, normalizer, rows).export(ds, folder, progress=progress)
    for name in chunk_names(-(-len(ds) // CHUNK_SIZE)):
        if not (folder / name).is_file():
            raise mendable(ValueError(f"{folder} is without {name}: delete the folder, and it is made again"))
    return folder


def _kept(ds: FaceDataset, normalizer: str, rows) -> Path:
    """Return the folder of the cache that features made so have; with .npz, the file of their preprocessor."""
    name = f"{ds.fingerprint}-{CODE}"
    if one_of("normalizer", normalizer, NORMALIZERS) != "standard":
        name += f"-{normalizer}"
    if rows is not None:
        name += "-" + hashlib.sha256(np.sort(rows).astype(np.int64).tobytes()).hexdigest()[:8]
    return cache_dir() / "features" / name


def feature_table(data=None, progress: bool = True, normalizer: str = "standard", rows=None) -> pd.DataFrame:
    """Return the features of a FaceDataset, or of what ``FaceDataset.open`` takes: made the first time, then kept.

    ``normalizer`` and ``rows`` are those of ``fitted_preprocessor``; ``attrs["drawn"]`` of the table says whether the
    faces are the stand-in's.
    """
    ds = data if isinstance(data, FaceDataset) else FaceDataset.open(data, progress=progress)
    table = load_features(feature_folder(ds, progress, normalizer, rows))
    table.attrs["drawn"] = ds.is_standin
    return table


def shrink(images, cell: int = 4) -> np.ndarray:
    """Return smaller pictures of faces: the mean of each square of ``cell`` x ``cell`` pixels, rounded.

    Parameters
    ----------
    images : ndarray, (n, 120000), uint8
        As ``FaceDataset.images`` returns them.
    cell : int
        A divisor of 200.

    Returns
    -------
    ndarray, (n, 3, 200 // cell, 200 // cell), uint8
        Red, green and blue apart, as ``nn.ConvNetwork`` takes them.
    """
    if SIZE % whole_number("cell", cell):
        raise ValueError(f"cell must be a divisor of {SIZE}, not {cell}")
    squares = images.reshape(-1, SIZE // cell, cell, SIZE // cell, cell, 3)
    return np.rint(squares.mean(axis=(2, 4))).astype(np.uint8).transpose(0, 3, 1, 2)


def small_pictures(ds: FaceDataset, cell: int = 4, progress: bool = True) -> np.ndarray:
    """Return all pictures of a data set as ``shrink`` makes them: the first time, then kept, and read as needed.

    They are in the order of ``ds.labels``, (n, 3, 200 // cell, 200 // cell), uint8.
    """
    side = SIZE // whole_number("cell", cell)
    path = cache_dir() / "pictures" / f"{ds.fingerprint}-{CODE}-{side}.npy"
    shape = len(ds), 3, side, side
    with contextlib.suppress(FileNotFoundError, ValueError, EOFError):  # not there, or damaged: made again
        kept = np.load(path, mmap_mode="r", allow_pickle=False)
        if kept.shape == shape and kept.dtype == np.uint8:
            return kept
    pictures = np.empty(shape, np.uint8)
    with tqdm(desc="making pictures", total=len(ds), unit="face", disable=not progress, leave=False) as bar:
        for start in range(0, len(ds), BLOCK_FACES):
            block = shrink(ds.images(slice(start, start + BLOCK_FACES)), cell)
            pictures[start : start + len(block)] = block
            bar.update(len(block))

    def write(temporary: Path):
        with open(temporary, "wb") as file:
            np.save(file, pictures, allow_pickle=False)

    write_atomically(path, write)
    return np.load(path, mmap_mode="r", allow_pickle=False)
