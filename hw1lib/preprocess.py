"""From 120,000 pixels to 128 features (report, 2.1): a normaliser and a PCA, fitted on 5,000 faces, applied to all.

The PCA is exact and never forms the 120,000 x 120,000 covariance: with fewer faces than pixels, the eigenvectors of
the small Gram matrix of the faces give those of the covariance (Sirovich 1987; Turk and Pentland 1991).
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

import joblib
import numpy as np
import pandas as pd
from scipy.sparse.linalg import eigsh
from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

from hw1lib.data import FaceDataset
from hw1lib.files import cache_dir, make_folder, read_npz, write_npz

BLOCK_PIXELS = 3_000  # columns of the fit's block: 5,000 x 3,000 float32 are 60 MB
BLOCK_ROWS = 100  # faces that are projected at once: 100 x 120,000 float32 are 48 MB
CHUNK_SIZE = 1_000  # faces in one CSV file (report, 2.1)
LABELS = ["file", "age", "gender", "race"]


# -- normalisers: (image * row scale - offset) / scale, offset and scale one number a pixel ---------------------------


def _standard(statistics):
    """Each pixel to mean 0 and standard deviation 1 over the faces."""
    return statistics["mean"], statistics["std"]


def _minmax(statistics):
    """Each pixel to 0 .. 1: less its minimum, divided by its range."""
    return statistics["min"], statistics["max"] - statistics["min"]


def _maxabs(statistics):
    """Each pixel divided by its largest absolute value."""
    return np.zeros_like(statistics["max"]), np.maximum(np.abs(statistics["max"]), np.abs(statistics["min"]))


def _unit(statistics):
    """Each pixel divided by 255."""
    return np.zeros_like(statistics["max"]), np.full_like(statistics["max"], 255)


def _l2(statistics):
    """Each image divided by its own Euclidean norm; the pixels themselves stay as they are."""
    return np.zeros_like(statistics["max"]), np.ones_like(statistics["max"])


NORMALIZERS = {"standard": _standard, "minmax": _minmax, "maxabs": _maxabs, "unit": _unit, "l2": _l2}


def _row_scale(images, normalizer):
    """Return what each image is multiplied by first: 1, or with "l2" the inverse of its norm; (n, 1) or 1."""
    if normalizer != "l2":
        return np.float32(1)
    norms = np.array([np.sqrt(float(np.dot(row, row))) for row in (image.astype(np.float64) for image in images)])
    return (1 / np.where(norms > 0, norms, 1))[:, None].astype(np.float32)  # an all-black image stays 0


class Preprocessor:
    """The report's "preprocess" class: a normaliser and a PCA, fitted once, saved, applied to every face.

    Parameters
    ----------
    n_components : int
        Features that are kept.
    normalizer : {"standard", "minmax", "maxabs", "unit", "l2"}

    Attributes
    ----------
    offset, scale : ndarray, (n_pixels,), float32
        A pixel x (with "l2": x over the image's norm) is normalised to (x - offset) / scale. A pixel that never varied
        gets scale 1.
    mean : ndarray, (n_pixels,), float32
        Of the normalised pixels; the PCA takes it off.
    components : ndarray, (n_components, n_pixels), float32
        Orthonormal rows, the largest variance first; the sign makes each row's largest entry positive.
    explained_variance : ndarray, (n_components,)
        Of each feature over the faces fitted on (divided by n - 1).
    total_variance : float
        Of all normalised pixels together.
    n_fitted : int
        Faces fitted on.
    """

    _ARRAYS = ("offset", "scale", "mean", "components", "explained_variance")

    def __init__(self, n_components: int = 128, normalizer: str = "standard"):
        if not (isinstance(n_components, int | np.integer) and n_components >= 1):
            raise ValueError(f"n_components must be a whole number >= 1, not {n_components!r}")
        if normalizer not in NORMALIZERS:
            raise ValueError(f"normalizer must be one of {sorted(NORMALIZERS)}, not {normalizer!r}")
        self.n_components, self.normalizer = int(n_components), normalizer
        self.n_fitted = 0

    def fit(self, faces, subset: int = 5000, seed: int = 0, progress: bool = True) -> Preprocessor:
        """Fit normaliser and PCA on a random subset of the faces.

        Parameters
        ----------
        faces : FaceDataset or ndarray, uint8 or float, (n, n_pixels)
            An array is taken whole.
        subset : int
            Faces of the data set that are drawn, without replacement; all if there are fewer.
        seed : int
            Draws them.

        Raises
        ------
        ValueError
            If there are not more faces than components.
        """
        if isinstance(faces, FaceDataset):
            if subset < 2:
                raise ValueError(f"subset must be at least 2, not {subset}")
            rows = np.random.default_rng(seed).permutation(len(faces))[:subset]
            images = faces.images(np.sort(rows), progress=progress)
        else:
            images = _check_images(faces)
        n, n_pixels = images.shape
        if n <= self.n_components:
            raise ValueError(f"{self.n_components} components need more than {n} faces to be fitted on")
        row_scale = _row_scale(images, self.normalizer)

        # first pass, block by block: normaliser, mean, and the Gram matrix of the normalised and centred faces
        self.offset, self.scale, self.mean = (np.empty(n_pixels, np.float32) for _ in range(3))
        gram = np.zeros((n, n))
        blocks = [slice(start, start + BLOCK_PIXELS) for start in range(0, n_pixels, BLOCK_PIXELS)]
        for block in tqdm(blocks, desc="fitting", unit="block", disable=not progress, leave=False):
            Z = self._fit_block(images[:, block], row_scale, block)  # (n, block)
            gram += Z @ Z.T
        values, vectors = _largest_eigenpairs(gram, self.n_components)
        self.explained_variance = values / (n - 1)
        self.total_variance = float(np.trace(gram) / (n - 1))
        del gram

        # second pass: component = Z^T u / sqrt(eigenvalue)
        U = (vectors / np.sqrt(np.maximum(values, np.finfo(float).tiny))).astype(np.float32).T  # (n_components, n)
        self.components = np.empty((self.n_components, n_pixels), np.float32)
        for block in blocks:
            Z = (images[:, block] * row_scale - self.offset[block]) / self.scale[block] - self.mean[block]
            np.matmul(U, Z, out=self.components[:, block])
        largest = np.abs(self.components).argmax(axis=1)
        self.components *= np.sign(self.components[np.arange(self.n_components), largest])[:, None]
        self.n_fitted = n
        return self

    def _fit_block(self, pixels, row_scale, block):
        """Fit the normaliser on some columns; return them normalised and centred, float32 (n, block)."""
        x = pixels * row_scale  # float32
        statistics = {
            "mean": x.mean(axis=0, dtype=np.float64),
            "std": x.std(axis=0, dtype=np.float64),
            "min": x.min(axis=0).astype(np.float64),
            "max": x.max(axis=0).astype(np.float64),
        }
        offset, scale = NORMALIZERS[self.normalizer](statistics)
        self.offset[block] = offset
        self.scale[block] = np.where(scale > 0, scale, 1)
        x -= self.offset[block]
        x /= self.scale[block]
        self.mean[block] = x.mean(axis=0, dtype=np.float64)
        x -= self.mean[block]
        return x

    @property
    def explained_variance_ratio(self) -> np.ndarray:
        """The share of the total variance that each component keeps, (n_components,)."""
        self._check_fitted()
        return self.explained_variance / self.total_variance

    def transform(self, images) -> np.ndarray:
        """Return the features of images (n, n_pixels): float32 (n, n_components)."""
        self._check_fitted()
        images = _check_images(images, self.offset.size)
        features = np.empty((len(images), self.n_components), np.float32)
        for start in range(0, len(images), BLOCK_ROWS):
            rows = slice(start, start + BLOCK_ROWS)
            x = images[rows] * _row_scale(images[rows], self.normalizer)
            x -= self.offset
            x /= self.scale
            x -= self.mean
            np.matmul(x, self.components.T, out=features[rows])
        return features

    def inverse_transform(self, features, n_components: int | None = None) -> np.ndarray:
        """Return the images (n, n_pixels), float32, rebuilt from the first ``n_components`` features (default: all).

        With "l2" each image comes back at norm 1: its own norm was divided away.
        """
        self._check_fitted()
        features = np.atleast_2d(features)[:, :n_components]
        return (features @ self.components[: features.shape[1]] + self.mean) * self.scale + self.offset

    def save(self, path) -> Path:
        """Write normaliser and PCA to an .npz file (62 MB for 128 components of 120,000 pixels), no pickle."""
        self._check_fitted()
        arrays = {name: getattr(self, name) for name in self._ARRAYS}
        arrays |= {"normalizer": np.array(self.normalizer), "total_variance": np.array(self.total_variance)}
        return write_npz(path, "preprocessor", arrays | {"n_fitted": np.array(self.n_fitted)})

    @classmethod
    def load(cls, path) -> Preprocessor:
        """Return what ``save`` wrote; ValueError that names the file if it is anything else."""
        arrays = read_npz(path, "preprocessor", (*cls._ARRAYS, "normalizer", "total_variance", "n_fitted"))
        try:
            k, n_pixels = arrays["components"].shape
            new = cls(k, str(arrays["normalizer"]))
            shapes = ((n_pixels,), (n_pixels,), (n_pixels,), (k, n_pixels), (k,))
            for name, shape in zip(cls._ARRAYS, shapes, strict=True):
                if arrays[name].shape != shape or not np.isfinite(arrays[name]).all():
                    raise ValueError(f"{name} must be finite, of shape {shape}")
                setattr(new, name, arrays[name])
            new.total_variance, new.n_fitted = float(arrays["total_variance"]), int(arrays["n_fitted"])
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path}: not a preprocessor that this version can read: {error}") from error
        return new

    def export(
        self, ds: FaceDataset, folder, chunk_size: int = CHUNK_SIZE, n_jobs: int = -1, progress: bool = True
    ) -> Path:
        """Write the features of every face as ``chunk_00.csv`` ... (report, 2.1), ``chunk_size`` faces a file.

        Columns: file, age, gender, race, f000 ... f127. The folder appears when all files are whole; one that exists
        is an error, so that no results are mixed. Chunks are written side by side by ``n_jobs`` processes (-1: all
        cores); the bytes do not depend on how many.
        """
        self._check_fitted()
        if not (isinstance(chunk_size, int | np.integer) and chunk_size >= 1):
            raise ValueError(f"chunk_size must be a whole number >= 1, not {chunk_size!r}")
        folder = Path(folder)
        if folder.exists() and any(folder.iterdir()):
            raise FileExistsError(f"{folder} is not empty: take another folder, or delete it first")
        if folder.exists():
            folder.rmdir()
        starts = range(0, len(ds), chunk_size)
        digits = max(2, len(str(len(starts) - 1)))

        def fill(temporary: Path):
            jobs = (
                joblib.delayed(_write_chunk)(
                    self, ds, slice(start, start + chunk_size), temporary / f"chunk_{i:0{digits}d}.csv"
                )
                for i, start in enumerate(starts)
            )
            done = joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered", max_nbytes="1M")(jobs)
            for _ in tqdm(done, desc="exporting", total=len(starts), unit="chunk", disable=not progress, leave=False):
                pass

        return make_folder(folder, fill)

    def _check_fitted(self):
        if not self.n_fitted:
            raise ValueError("this Preprocessor is not fitted yet: call fit(faces) first")

    def __repr__(self):
        fitted = f"fitted on {self.n_fitted:,} faces" if self.n_fitted else "not fitted"
        return f"Preprocessor(n_components={self.n_components}, normalizer={self.normalizer!r}), {fitted}"


def _check_images(images, n_pixels: int | None = None) -> np.ndarray:
    images = np.asarray(images)
    if images.ndim != 2 or len(images) == 0 or (n_pixels is not None and images.shape[1] != n_pixels):
        raise ValueError(f"images must have shape (n, {n_pixels or 'n_pixels'}) with n >= 1, not {images.shape}")
    if images.dtype == np.uint8:
        return images
    images = images.astype(np.float32)
    if not np.isfinite(images).all():
        raise ValueError("images must be finite: they hold NaN or infinite values")
    return images


def _largest_eigenpairs(gram, k):
    """Return the k largest eigenvalues, falling, and their eigenvectors (n, k) of a symmetric matrix."""
    if k < len(gram) // 4:
        start = np.random.default_rng(0).standard_normal(len(gram))  # fixed: the same result every time
        values, vectors = eigsh(gram, k, v0=start)  # Lanczos: seconds where a full decomposition takes a minute
    else:
        values, vectors = np.linalg.eigh(gram)
    order = np.argsort(values)[::-1][:k]
    return np.maximum(values[order], 0), vectors[:, order]


# -- CSV chunks -------------------------------------------------------------------------------------------------------


def feature_names(n: int) -> list[str]:
    """Return the columns f000, f001, ..."""
    return [f"f{i:03d}" for i in range(n)]


def _write_chunk(preprocessor, ds, rows, path):
    """Write one chunk; float32 with the 9 digits that bring back the same number."""
    with threadpool_limits(1, "blas"):  # also when run in this very process: the same bytes either way
        features = np.concatenate(
            [
                preprocessor.transform(ds.images(slice(start, min(start + BLOCK_ROWS, rows.stop))))
                for start in range(rows.start, min(rows.stop, len(ds)), BLOCK_ROWS)
            ]
        )
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(LABELS + feature_names(features.shape[1]))
        for labels, row in zip(ds.labels[rows].itertuples(index=False), features, strict=True):
            writer.writerow([*labels, *(f"{x:.9g}" for x in row.tolist())])


def load_features(folder) -> pd.DataFrame:
    """Read all chunks of a folder into one table: file, age, gender, race, then the features as float32.

    Raises
    ------
    FileNotFoundError
        If the folder holds no chunk.
    ValueError
        Naming the file, if a chunk is damaged or its columns are not those of the first.
    """
    files = sorted(Path(folder).glob("chunk_*.csv"))
    if not files:
        raise FileNotFoundError(f"there is no chunk_*.csv in {folder}: Preprocessor.export(ds, folder) writes them")
    chunks: list[pd.DataFrame] = []
    for file in files:
        try:
            header = pd.read_csv(file, nrows=0).columns.tolist()
            expected = chunks[0].columns.tolist() if chunks else LABELS + feature_names(len(header) - len(LABELS))
            if header != expected:
                raise ValueError(f"its columns must be {', '.join(expected[:6])} ... {expected[-1]}")
            types = {"file": "string", "age": "int64", "gender": "int64", "race": "int64"}
            types |= dict.fromkeys(header[len(LABELS) :], "float32")
            chunk = pd.read_csv(file, dtype=types, float_precision="round_trip")
            numbers = chunk[header[1:]].to_numpy(np.float32)
            if not np.isfinite(numbers).all():
                line = int(np.flatnonzero(~np.isfinite(numbers).all(axis=1))[0]) + 2
                raise ValueError(f"line {line} is cut off, or holds an empty or infinite number")
        except (ValueError, UnicodeDecodeError) as error:
            raise ValueError(f"{file}: {error}") from error
        chunks.append(chunk)
    return pd.concat(chunks, ignore_index=True)


# -- training, validation, test ---------------------------------------------------------------------------------------


class Part(NamedTuple):
    """One part of a split: features float32 (n, n_features), and the target (n,)."""

    X: np.ndarray
    y: np.ndarray


def split_rows(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return shuffled row numbers of training, validation and test: 81, 9 and 10 % (report, 2.1: 18,000 and 2,000)."""
    if n < 3:
        raise ValueError(f"three parts need at least 3 rows, not {n}")
    order = np.random.default_rng(seed).permutation(n)
    n_test = max(1, round(n / 10))
    n_validation = max(1, round((n - n_test) / 10))
    train, validation, test = np.split(order, [n - n_test - n_validation, n - n_test])
    return train, validation, test


def split(table: pd.DataFrame, target: str, seed: int = 0) -> tuple[Part, Part, Part]:
    """Split a table of features into training, validation and test, 81, 9 and 10 %.

    Parameters
    ----------
    table : DataFrame
        As ``load_features`` returns it.
    target : {"age", "gender", "race"}
    seed : int
        Which rows go where; ``split_rows(len(table), seed)`` tells them. The same for every target.

    Returns
    -------
    train, validation, test : Part
        Each a pair ``X, y``.
    """
    if target not in LABELS[1:]:
        raise ValueError(f"target must be one of {LABELS[1:]}, not {target!r}")
    X = table.iloc[:, len(LABELS) :].to_numpy(np.float32)
    y = table[target].to_numpy()
    train, validation, test = (Part(X[rows], y[rows]) for rows in split_rows(len(table), seed))
    return train, validation, test


def rescale(train: Part, *others: Part, power: float = 0.0, size: float = 1.0) -> tuple[Part, ...]:
    """Bring the features to a size that a network trains well on, with numbers taken from the training part alone.

    Parameters
    ----------
    train, *others : Part
    power : float
        Each feature is first divided by (its standard deviation) ** power: 0 keeps the proportions that PCA gives, 1
        makes all features equally wide (whitening), 0.5 lies between. Then all are divided by one number, so that the
        root mean square is ``size``.
    size : float
    """
    std = train.X.std(axis=0, dtype=np.float64)
    if not std.any():
        raise ValueError("no feature varies over the training part")
    scale = np.where(std > 0, std, 1) ** power
    scale = (scale * np.sqrt(np.mean((train.X / scale) ** 2)) / size).astype(np.float32)
    return tuple(Part(part.X / scale, part.y) for part in (train, *others))


def batches(X, y, batch_size: int = 128, rng=None):
    """Yield ``(X, y)`` batch by batch; the last is smaller where the rows don't come out even.

    Parameters
    ----------
    X : ndarray, (n, n_features)
    y : ndarray, (n,) or (n, k)
    batch_size : int
    rng : numpy.random.Generator, optional
        Shuffles the rows first (a shuffled order: the arrays stay as they are).
    """
    if len(X) != len(y):
        raise ValueError(f"X and y must have the same number of rows: {len(X)} and {len(y)}")
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size}")
    order = np.arange(len(X)) if rng is None else rng.permutation(len(X))
    for start in range(0, len(X), batch_size):
        rows = order[start : start + batch_size]
        yield X[rows], y[rows]


# -- the whole way, once ----------------------------------------------------------------------------------------------


def fitted(ds: FaceDataset, progress: bool = True) -> Preprocessor:
    """Return the default Preprocessor for a data set: fitted the first time, then loaded from the cache folder."""
    path = cache_dir() / "features" / f"{ds.fingerprint}.npz"
    if path.exists():
        return Preprocessor.load(path)
    n_components = min(128, min(5000, len(ds)) - 1)
    preprocessor = Preprocessor(n_components).fit(ds, progress=progress)
    preprocessor.save(path)
    return preprocessor


def prepare(ds: FaceDataset, progress: bool = True) -> Path:
    """Return the folder with a data set's CSV chunks: exported the first time, in the cache folder."""
    folder = cache_dir() / "features" / ds.fingerprint
    return folder if folder.is_dir() else fitted(ds, progress).export(ds, folder, progress=progress)
