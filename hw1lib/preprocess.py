"""From 120,000 pixels to 128 features (report, 2.1): a normaliser and a PCA, fitted on 5,000 faces, applied to all.

The PCA is exact and never forms the 120,000 x 120,000 covariance: with fewer faces than pixels, the eigenvectors of
the small Gram matrix of the faces give those of the covariance (Sirovich 1987; Turk and Pentland 1991).
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
from pathlib import Path
from typing import NamedTuple

import joblib
import numpy as np
import pandas as pd
from scipy.linalg import eigh
from scipy.linalg.blas import dsymv
from scipy.sparse.linalg import LinearOperator, eigsh
from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

from hw1lib.data import FaceDataset
from hw1lib.files import cache_dir, make_folder, read_npz, write_atomically, write_npz

BLOCK_PIXELS = 3_000  # columns that are worked on at once: of 5,000 faces 60 MB as float32
SMALL = 20_000_000  # pixels in all: up to here the fit computes in float64
BLOCK_FACES = 250  # faces that the export holds at once: 30 MB as bytes
CHUNK_SIZE = 1_000  # faces in one CSV file (report, 2.1)
LABELS = ["file", "age", "gender", "race"]

# What each pixel is divided by, after its mean over the faces is taken off: x are the pixels, (n, n_pixels) float32.
# A normaliser's own offset (such as min-max's minimum) cancels out: the PCA takes the mean off anyway.
NORMALIZERS = {
    "standard": lambda x, mean: np.sqrt(np.mean((x - mean) ** 2, axis=0, dtype=np.float64)),  # standard deviation
    "minmax": lambda x, mean: x.max(axis=0) - x.min(axis=0),  # range
    "maxabs": lambda x, mean: np.abs(x).max(axis=0),  # largest absolute value
    "unit": lambda x, mean: np.full(x.shape[1], 255),  # largest value that a pixel can have
    "l2": lambda x, mean: np.ones(x.shape[1]),  # nothing: here each image is divided by its own Euclidean norm
}


class Preprocessor:
    """The report's "preprocess" class: a normaliser and a PCA, fitted once, saved, applied to every face.

    A scikit-learn transformer, too: it can stand in a Pipeline and be cloned.

    Parameters
    ----------
    n_components : int
        Features that are kept.
    normalizer : {"standard", "minmax", "maxabs", "unit", "l2"}

    Attributes
    ----------
    center, scale : ndarray, (n_pixels,), float32
        A pixel x (with "l2": x over the image's norm) enters the PCA as (x - center) / scale; center is its mean over
        the faces fitted on, scale the normaliser's, or 1 for a pixel that never varied.
    components : ndarray, (n_components, n_pixels), float32
        Orthonormal rows, the largest variance first; the sign makes each row's largest entry positive.
    explained_variance : ndarray, (n_components,), float64
        Of each feature over the faces fitted on (divided by n - 1).
    total_variance : float
        Of all normalised pixels together.
    n_fitted : int
        Faces fitted on; 0 before.
    """

    n_fitted = 0
    _ARRAYS = ("center", "scale", "components", "explained_variance")

    def __init__(self, n_components: int = 128, normalizer: str = "standard"):
        _check_whole("n_components", n_components)
        if normalizer not in list(NORMALIZERS):
            raise ValueError(f"normalizer must be one of {', '.join(NORMALIZERS)}, not {normalizer!r}")
        self.n_components, self.normalizer = n_components, normalizer

    def fit(self, faces, y=None, *, subset: int = 5000, seed: int = 0, progress: bool = True) -> Preprocessor:
        """Fit normaliser and PCA on a random subset of the faces.

        Parameters
        ----------
        faces : FaceDataset or array, (n, n_pixels)
            An array, uint8 or any real numbers, is taken whole.
        y : ignored
            What a Pipeline passes.
        subset : int
            Faces of the data set that are drawn, without replacement; all if there are fewer.
        seed : int
            Draws them.
        progress : bool
            Show bars.

        Raises
        ------
        ValueError
            If there are not more faces than components, or fewer pixels; if all faces are the same.
        """
        if isinstance(faces, FaceDataset):
            _check_whole("subset", subset, 2)
            rows = np.random.default_rng(seed).permutation(len(faces))[:subset]
            images = faces.images(np.sort(rows), progress=progress)
        else:
            images = _check_images(faces)
        n, n_pixels = images.shape
        if n <= self.n_components or n_pixels < self.n_components:
            raise ValueError(
                f"{self.n_components} components need more faces than that, and at least as many pixels: "
                f"there are {n} faces of {n_pixels} pixels"
            )
        norms = _norms(images, self.normalizer)
        dtype = np.float64 if images.size <= SMALL else np.float32
        center, scale = np.empty((2, n_pixels), np.float32)
        components = np.empty((self.n_components, n_pixels), np.float32)
        blocks = [slice(start, start + BLOCK_PIXELS) for start in range(0, n_pixels, BLOCK_PIXELS)]

        def gram_of(block):  # fits the normaliser on the way
            x = _pixels(images, norms, block, dtype)  # (n, block)
            center[block] = x.mean(axis=0, dtype=np.float64)
            fitted_scale = NORMALIZERS[self.normalizer](x, center[block])
            scale[block] = np.where(fitted_scale > 0, fitted_scale, 1)
            x = _normalize(x, center[block], scale[block])
            return x @ x.T  # NumPy notices that this is symmetric, and computes half of it

        def project(block):
            x = _normalize(_pixels(images, norms, block, dtype), center[block], scale[block])
            components[:, block] = vectors.T @ x

        # Two blocks at a time, each on half of the cores. They are summed in order: the same bits every time.
        with threadpool_limits(max(1, joblib.cpu_count() // 2), "blas"):
            side_by_side = joblib.Parallel(2, require="sharedmem", return_as="generator", pre_dispatch="n_jobs")
            bar = functools.partial(tqdm, total=len(blocks), unit="block", disable=not progress, leave=False)
            gram = np.zeros((n, n), dtype)
            for product in bar(side_by_side(map(joblib.delayed(gram_of), blocks)), "fitting"):
                gram += product
            total = float(np.trace(gram, dtype=np.float64))
            if not 0 < total < np.inf:
                raise ValueError("the faces are all the same, or hold numbers too large to be squared")
            vectors = _largest_eigenvectors(gram, self.n_components).astype(dtype)  # (n, n_components)
            del gram
            for _ in bar(side_by_side(map(joblib.delayed(project), blocks)), "projecting"):
                pass
        # each row is a component times its singular value; what is rounding beside the largest becomes 0
        singular_values = np.sqrt(np.sum(components**2, axis=1, dtype=np.float64))
        singular_values[singular_values < 1e-4 * singular_values[0]] = 0
        largest = np.abs(components).argmax(axis=1)
        signs = np.sign(components[np.arange(self.n_components), largest])
        components *= (signs / np.where(singular_values > 0, singular_values, np.inf))[:, None].astype(np.float32)
        self.center, self.scale, self.components = center, scale, components
        self.explained_variance, self.total_variance = singular_values**2 / (n - 1), total / (n - 1)
        self.n_fitted = n
        return self

    @property
    def explained_variance_ratio(self) -> np.ndarray:
        """The share of the total variance that each component keeps, (n_components,)."""
        self._check_fitted()
        return self.explained_variance / self.total_variance

    def transform(self, images) -> np.ndarray:
        """Return the features of images (n, n_pixels): float32 (n, n_components)."""
        self._check_fitted()
        images = _check_images(images, self.n_features_in_)
        norms = _norms(images, self.normalizer)
        features = np.zeros((len(images), len(self.components)))
        for start in range(0, self.n_features_in_, BLOCK_PIXELS):
            block = slice(start, start + BLOCK_PIXELS)
            x = _normalize(_pixels(images, norms, block), self.center[block], self.scale[block])
            features += x @ self.components[:, block].T
        return features.astype(np.float32)

    def fit_transform(self, images, y=None) -> np.ndarray:
        """Fit on an array of images and return their features."""
        return self.fit(images).transform(images)

    def inverse_transform(self, features, n_components: int | None = None) -> np.ndarray:
        """Return the images (n, n_pixels), float32, rebuilt from the first ``n_components`` features (default: all).

        With "l2" each image comes back at norm 1: its own norm was divided away.
        """
        self._check_fitted()
        features = np.atleast_2d(features)[:, :n_components]
        return features @ self.components[: features.shape[1]] * self.scale + self.center

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
            shapes = ((n_pixels,), (n_pixels,), (k, n_pixels), (k,))
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

        Columns: file, age, gender, race, f000 ... f127. The folder appears when all files are whole; one that holds
        anything is an error, so that no results are mixed. A run that was killed goes on where it was. Chunks are
        written side by side by ``n_jobs`` threads (-1: all cores); the bytes do not depend on how many.
        """
        self._check_fitted()
        _check_whole("chunk_size", chunk_size)
        folder = Path(folder)
        if folder.is_dir() and any(folder.iterdir()):
            raise FileExistsError(f"{folder} is not empty: take another folder, or delete it first")
        starts = range(0, len(ds), chunk_size)
        chunks = dict(zip(_chunk_names(len(starts)), starts, strict=True))

        def fill(partial: Path):
            jobs = [
                joblib.delayed(self._write_chunk)(ds, slice(start, min(start + chunk_size, len(ds))), partial / name)
                for name, start in chunks.items()
                if not (partial / name).exists()
            ]
            with threadpool_limits(1, "blas"):  # one a chunk: the same bytes on any number of cores
                done = joblib.Parallel(n_jobs, require="sharedmem", return_as="generator_unordered")(jobs)
                for _ in tqdm(done, "exporting", len(jobs), unit="chunk", disable=not progress, leave=False):
                    pass

        digest = hashlib.sha256(f"{ds.fingerprint} {chunk_size} {self.normalizer}".encode())
        for array in (self.center, self.scale, self.components):
            digest.update(array.tobytes())
        return make_folder(folder, fill, key=digest.hexdigest(), size=1500 * len(ds))

    def _write_chunk(self, ds, rows, path):
        """Write one chunk; float32 with the 9 digits that bring back the same number."""
        number = ",".join(["%.9g"] * len(self.components))
        lines = [",".join(LABELS + feature_names(len(self.components)))]
        for start in range(rows.start, rows.stop, BLOCK_FACES):
            block = slice(start, min(start + BLOCK_FACES, rows.stop))
            features = self.transform(ds.images(block)).tolist()
            for labels, row in zip(ds.labels[block].itertuples(index=False), features, strict=True):
                lines.append(f"{','.join(map(str, labels))},{number % tuple(row)}")
        text = "\n".join(lines) + "\n"
        write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8", newline="\n"))

    def _check_fitted(self):
        if not self.n_fitted:
            from sklearn.exceptions import NotFittedError  # a ValueError

            raise NotFittedError("this Preprocessor is not fitted yet: call fit(faces) first")

    def __repr__(self):
        fitted = f"fitted on {self.n_fitted:,} faces" if self.n_fitted else "not fitted"
        return f"Preprocessor(n_components={self.n_components}, normalizer={self.normalizer!r}), {fitted}"

    # What scikit-learn asks of a transformer. Its base class would do, but takes as long to import as all of this.

    @property
    def n_features_in_(self) -> int:
        """Pixels of an image."""
        return self.components.shape[1]

    def get_feature_names_out(self, input_features=None) -> np.ndarray:
        """Return the columns f000, f001, ..."""
        self._check_fitted()
        return np.array(feature_names(len(self.components)), dtype=object)

    def get_params(self, deep: bool = True) -> dict:
        """Return the parameters of the constructor."""
        return {"n_components": self.n_components, "normalizer": self.normalizer}

    def set_params(self, **params) -> Preprocessor:
        """Change parameters of the constructor; they count from the next ``fit`` on."""
        unknown = params.keys() - self.get_params()
        if unknown:
            raise ValueError(f"{', '.join(unknown)}: Preprocessor's parameters are {', '.join(self.get_params())}")
        self.__init__(**self.get_params() | params)  # type: ignore[misc]
        return self

    def __sklearn_is_fitted__(self):
        return self.n_fitted > 0

    def __sklearn_tags__(self):
        from sklearn.utils import Tags, TargetTags, TransformerTags

        return Tags(None, TargetTags(required=False), TransformerTags(preserves_dtype=["float32"]))


def _check_whole(name: str, value, least: int = 1) -> None:
    if not (isinstance(value, int | np.integer) and value >= least):
        raise ValueError(f"{name} must be a whole number >= {least}, not {value!r}")


def _check_images(images, n_pixels: int | None = None) -> np.ndarray:
    images = np.asarray(images)
    if images.ndim != 2 or 0 in images.shape or (n_pixels is not None and images.shape[1] != n_pixels):
        raise ValueError(f"images must have shape (n, {n_pixels or 'n_pixels'}) with n >= 1, not {images.shape}")
    if images.dtype.kind not in "buif":
        raise ValueError(f"images must be uint8 or real numbers, not {images.dtype}")
    if images.dtype == np.uint8:
        return images
    with np.errstate(over="ignore"):
        images = images.astype(np.float32, copy=False)
    if not np.isfinite(images).all():
        raise ValueError("images must be finite numbers: they hold NaN, or infinite or too large values")
    return images


def _norms(images, normalizer):
    """Return what each image is divided by first, (n, 1): with "l2" its Euclidean norm, else None."""
    if normalizer != "l2":
        return None
    norms = np.array([[np.linalg.norm(image.astype(np.float64))] for image in images])
    return np.where(norms > 0, norms, 1).astype(np.float32)  # an all-black image stays 0


def _pixels(images, norms, block, dtype=np.float32):
    """Return some columns of the images as new numbers, (n, block)."""
    x = images[:, block].astype(dtype)
    if norms is not None:
        x /= norms
    return x


def _normalize(x, center, scale):
    x -= center  # in place: x is a block's own copy
    x /= scale
    return x


def _largest_eigenvectors(gram, k):
    """Return the eigenvectors (n, k) of a symmetric matrix's k largest eigenvalues, the largest first."""
    n = len(gram)
    gram = gram.astype(np.float64)
    if k < n // 4:  # Lanczos: seconds where a full decomposition takes a minute
        product = LinearOperator((n, n), matvec=functools.partial(dsymv, 1.0, gram.T), dtype=np.float64)
        values, vectors = eigsh(product, k, v0=np.random.default_rng(0).standard_normal(n))  # the same every time
    else:
        values, vectors = eigh(gram, subset_by_index=[n - k, n - 1])
    return vectors[:, np.argsort(values)[::-1]]


# -- CSV chunks -------------------------------------------------------------------------------------------------------


def feature_names(n: int) -> list[str]:
    """Return the columns f000, f001, ..."""
    return [f"f{i:03d}" for i in range(n)]


def _chunk_names(n: int) -> list[str]:
    digits = max(2, len(str(n - 1)))
    return [f"chunk_{i:0{digits}d}.csv" for i in range(n)]


def load_features(folder) -> pd.DataFrame:
    """Read all chunks of a folder into one table: file, age, gender, race, then the features as float32.

    Raises
    ------
    FileNotFoundError
        If the folder holds no chunk.
    ValueError
        Naming the file and the line, if a chunk is not as `Preprocessor.export` writes it, or a missing chunk.
    """
    files = sorted(Path(folder).glob("chunk_*.csv"))
    if not files:
        raise FileNotFoundError(f"there is no chunk_*.csv in {folder}: Preprocessor.export(ds, folder) writes them")
    for file, name in zip(files, _chunk_names(len(files)), strict=True):
        if file.name != name:
            raise ValueError(f"{folder} should hold {name} before {file.name}: a chunk is missing, or one too many")
    chunks: list[pd.DataFrame] = []
    for file in files:
        chunk = _read_chunk(file)
        first = chunks[0] if chunks else chunk
        if len(chunk.columns) != len(first.columns):
            raise ValueError(f"{file}, line 1: {len(chunk.columns)} columns; {files[0].name} has {len(first.columns)}")
        if len(chunk) > len(first) or (len(chunk) < len(first) and file != files[-1]):
            raise ValueError(f"{file}, line {len(chunk) + 1} is its last; {files[0].name} has {len(first) + 1} lines")
        chunks.append(chunk)
    return pd.concat(chunks, ignore_index=True)


def _read_chunk(file: Path) -> pd.DataFrame:
    header, *lines = file.read_bytes().split(b"\n")  # the last "line" is what follows the last line break: nothing
    columns = LABELS + feature_names(header.count(b",") + 1 - len(LABELS))
    names, numbers = [], np.empty((len(lines) - 1, len(columns) - 1))
    number = 1
    try:
        if header != ",".join(columns).encode() or len(columns) == len(LABELS):
            raise ValueError(f"it must be {','.join(LABELS)},f000,f001,...")
        for number, line in enumerate(lines[:-1], start=2):
            name, *fields = line.decode().split(",")
            if len(fields) != len(columns) - 1:
                raise ValueError(f"{len(fields) + 1} fields, but {len(columns)} columns")
            names.append(name)
            numbers[number - 2] = list(map(float, fields))
        wrong = ~(np.abs(numbers) <= np.finfo(np.float32).max)  # NaN is wrong, too
        wrong[:, : len(LABELS) - 1] |= numbers[:, : len(LABELS) - 1] % 1 != 0
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            number = row + 2
            raise ValueError(f"{columns[column + 1]} is {numbers[row, column]}")
        number = len(lines) + 1
        if lines[-1] or not names:
            raise ValueError("the file is cut")
    except ValueError as error:
        raise ValueError(f"{file}, line {number}: {error}") from error
    chunk = pd.DataFrame(numbers[:, len(LABELS) - 1 :].astype(np.float32), columns=columns[len(LABELS) :])
    for i, label in enumerate(LABELS[1:]):
        chunk.insert(i, label, numbers[:, i].astype(np.int64))
    chunk.insert(0, "file", pd.Series(names, dtype="string"))
    return chunk


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
    """Return the default Preprocessor for a data set: fitted the first time, then loaded from the cache folder.

    A file there that can't be read, or that another version wrote, is replaced.
    """
    path = cache_dir() / "features" / f"{ds.fingerprint}.npz"
    with contextlib.suppress(FileNotFoundError, ValueError):
        return Preprocessor.load(path)
    preprocessor = Preprocessor(n_components=min(128, min(5000, len(ds)) - 1)).fit(ds, progress=progress)
    preprocessor.save(path)
    return preprocessor


def prepare(ds: FaceDataset, progress: bool = True) -> Path:
    """Return the folder with a data set's CSV chunks: exported the first time, in the cache folder."""
    folder = cache_dir() / "features" / ds.fingerprint
    if not folder.is_dir() or not any(folder.iterdir()):
        fitted(ds, progress).export(ds, folder, progress=progress)
    for name in _chunk_names(-(-len(ds) // CHUNK_SIZE)):
        if not (folder / name).is_file():
            raise ValueError(f"{folder} is without {name}: delete the folder, and it is made again")
    return folder
