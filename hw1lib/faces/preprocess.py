"""From 120,000 pixels to 128 features (report, 2.1): a normaliser and a PCA, fitted on 5,000 faces.

The PCA is exact and never forms the 120,000 x 120,000 covariance: with fewer faces than pixels, the
eigenvectors of the small Gram matrix of the faces give those of the covariance (Sirovich 1987; Turk
and Pentland 1991).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

import joblib
import numpy as np
from scipy.linalg import eigh
from scipy.linalg.blas import dsymv, ssyrk
from scipy.sparse.linalg import LinearOperator, eigsh
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted
from threadpoolctl import threadpool_limits

from hw1lib.checks import FileError, numbers, one_of, unmasked, whole_number
from hw1lib.faces.chunks import chunk_names, chunk_text, feature_names
from hw1lib.files import make_folder, read_npz, write_npz
from hw1lib.progress import bar

BLOCK_PIXELS = 3_000  # columns that are worked on at once: of 5,000 faces 60 MB
BLOCK_FACES = 250  # faces that the export holds at once: 30 MB as bytes
CHUNK_SIZE = 1_000  # faces in one CSV file (report, 2.1)
ARRAYS = ("center", "scale", "components", "explained_variance")  # what is saved, and numbers
SAVED = (*ARRAYS, "normalizer", "total_variance", "n_fitted")

# What each pixel is divided by, after its mean over the faces is taken off: x is (n, n_pixels).
# A normaliser's own offset (such as min-max's minimum) cancels out: the PCA takes the mean off.
NORMALIZERS = {
    "standard": lambda x, mean: np.sqrt(np.mean((x - mean) ** 2, axis=0, dtype=np.float64)),
    "minmax": lambda x, mean: x.max(axis=0) - x.min(axis=0),
    "maxabs": lambda x, mean: np.abs(x).max(axis=0),
    "unit": lambda x, mean: np.full(x.shape[1], 255),  # the largest value that a pixel can have
    "l2": lambda x, mean: np.ones(x.shape[1]),  # here each image is divided by its own norm
}


class Preprocessor(TransformerMixin, BaseEstimator):
    """The report's "preprocess" class: a normaliser and a PCA, as a scikit-learn transformer.

    Parameters
    ----------
    n_components : int
        Features that are kept.
    normalizer : {"standard", "minmax", "maxabs", "unit", "l2"}

    Attributes
    ----------
    center, scale : ndarray, (n_pixels,), float32
        A pixel x (with "l2": x over the image's norm) enters the PCA as (x - center) / scale;
        center is its mean over the faces fitted on, scale the normaliser's, or 1 for a pixel that
        never varied.
    components : ndarray, (n_components, n_pixels), float32
        Orthonormal rows, the largest variance first; the sign makes each row's largest entry
        positive.
    explained_variance : ndarray, (n_components,), float64
        Of each feature over the faces fitted on (divided by n - 1).
    total_variance : float
        Of all normalised pixels together.
    n_fitted : int
        Faces fitted on; 0 before.
    """

    n_fitted = 0

    def __init__(self, n_components: int = 128, normalizer: str = "standard"):
        self.n_components = n_components
        self.normalizer = normalizer

    def fit(self, images, y=None, *, progress: bool = True):
        """Fit normaliser and PCA on images (n, n_pixels); ``y`` is ignored.

        Raises
        ------
        ValueError
            If there are not more faces than components, or fewer pixels; if all faces are the same.
        """
        k = whole_number("n_components", self.n_components)
        spread_of = NORMALIZERS[one_of("normalizer", self.normalizer, NORMALIZERS)]
        images = _check_images(images)
        n, n_pixels = images.shape
        if n <= k or n_pixels < k:
            raise ValueError(
                f"n_components={k} needs more faces than that, and at least as many pixels, "
                f"not n_samples={n}, n_features={n_pixels}"
            )
        norms = _norms(images, self.normalizer)
        center, scale = np.empty((2, n_pixels), np.float32)
        gram = np.zeros((n, n), np.float32, order="F")
        n_blocks = -(-n_pixels // BLOCK_PIXELS)
        with bar(None, "fitting", 2 * n_blocks, progress) as fitting:
            for block, x in _blocks(images, norms):
                center[block] = x.mean(axis=0, dtype=np.float64)
                spread = spread_of(x, center[block])
                scale[block] = np.where(spread > 0, spread, 1)
                x -= center[block]
                x /= scale[block]
                # gram += x @ x.T, the upper half alone, in place: a fit takes 15 % less time
                ssyrk(1, x.T, 1, gram, trans=1, overwrite_c=1)
                fitting.update()
            total = float(np.trace(gram, dtype=np.float64))
            rounding = 1e-12 * n * np.sum((center / scale) ** 2, dtype=np.float64)
            if total <= rounding:
                raise ValueError(f"all {n} faces are the same")
            vectors = _largest_eigenvectors(gram, k).astype(np.float32)
            del gram
            components = np.empty((k, n_pixels), np.float32)
            for block, x in _normalized(images, norms, center, scale):
                components[:, block] = vectors.T @ x
                fitting.update()
        # Each row is a component times its singular value; what is only rounding becomes 0.
        singular_values = np.sqrt(np.sum(components**2, axis=1, dtype=np.float64))
        singular_values[singular_values < 1e-4 * singular_values[0]] = 0
        largest = components[np.arange(k), np.abs(components).argmax(axis=1)]
        lengths = np.where(singular_values > 0, singular_values, np.inf)
        components *= (np.sign(largest) / lengths).astype(np.float32)[:, None]
        self.center, self.scale, self.components = center, scale, components
        self.explained_variance = singular_values**2 / (n - 1)
        self.total_variance = total / (n - 1)
        self.n_fitted, self.fitted_with = n, self.normalizer
        return self

    @property
    def explained_variance_ratio(self) -> np.ndarray:
        """The share of the total variance that each component keeps, (n_components,)."""
        check_is_fitted(self)
        return self.explained_variance / self.total_variance

    def transform(self, images) -> np.ndarray:
        """Return the features of images (n, n_pixels): float32 (n, n_components)."""
        check_is_fitted(self)
        images = _check_images(images)
        if images.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X has {images.shape[1]} features, but Preprocessor is expecting "
                f"{self.n_features_in_} features as input: the pixels of what it was fitted on; "
                "faces.from_picture(path) makes such a row of a picture"
            )
        return self._features(images)

    def _features(self, images) -> np.ndarray:
        norms = _norms(images, self.fitted_with)
        features = np.zeros((len(images), len(self.components)))
        for block, x in _normalized(images, norms, self.center, self.scale):
            features += x @ self.components[:, block].T
        return features.astype(np.float32)

    def inverse_transform(self, features, n_components: int | None = None) -> np.ndarray:
        """Return the images (n, n_pixels) rebuilt from the first ``n_components`` features.

        With "l2" each image comes back at norm 1: its own norm was divided away.
        """
        check_is_fitted(self)
        features = np.atleast_2d(features)[:, :n_components]
        return features @ self.components[: features.shape[1]] * self.scale + self.center

    def save(self, path) -> Path:
        """Write normaliser and PCA to an .npz file (62 MB for 128 x 120,000), no pickle."""
        check_is_fitted(self)
        arrays = {name: getattr(self, name) for name in SAVED}
        return write_npz(path, "preprocessor", arrays | {"normalizer": self.fitted_with})

    @classmethod
    def load(cls, path) -> Preprocessor:
        """Return what ``save`` wrote; FileError that names the file if it is anything else."""
        arrays = read_npz(path, ("preprocessor",), SAVED)
        try:
            k, n_pixels = arrays["components"].shape
            new = cls(k, one_of("normalizer", str(arrays["normalizer"]), NORMALIZERS))
            new.fitted_with = new.normalizer
            shapes = (n_pixels,), (n_pixels,), (k, n_pixels), (k,)
            for name, shape in zip(ARRAYS, shapes, strict=True):
                setattr(new, name, numbers(name, arrays[name], "f", shape))
            new.total_variance = float(arrays["total_variance"])
            new.n_fitted = whole_number("n_fitted", arrays["n_fitted"].item())
        except (ValueError, TypeError) as error:
            raise FileError(f"{path}: not a preprocessor: {error}") from error
        return new

    def export(
        self, ds, folder, chunk_size: int = CHUNK_SIZE, n_jobs: int = -1, progress: bool = True
    ) -> Path:
        """Write the features of a FaceDataset as ``chunk_00.csv`` ... (report, 2.1).

        A chunk holds ``chunk_size`` faces: file, age, gender, race, f000 ... f127. The folder
        appears when all files are whole; one that holds anything is an error, so that no results
        are mixed. Chunks are made side by side by ``n_jobs`` threads (-1: all cores), or by the
        workers of ``joblib.parallel_config``; the bytes do not depend on how many.
        """
        check_is_fitted(self)
        chunk_size = whole_number("chunk_size", chunk_size)
        folder = Path(folder)
        if folder.is_dir() and any(folder.iterdir()):
            raise FileExistsError(f"{folder} is not empty: take another, or delete it first")
        starts = range(0, len(ds), chunk_size)
        jobs = [
            joblib.delayed(self._chunk)(ds, name, range(len(ds))[start : start + chunk_size])
            for name, start in zip(chunk_names(len(starts)), starts, strict=True)
        ]

        def fill(partial: Path) -> None:
            parallel = joblib.Parallel(n_jobs, prefer="threads", return_as="generator_unordered")
            with threadpool_limits(1, "blas"):  # before threads set it, each for all
                for name, text in bar(parallel(jobs), "exporting", len(jobs), progress):
                    (partial / name).write_bytes(text.encode())

        return make_folder(folder, fill, size=1500 * len(ds))

    def _chunk(self, ds, name: str, rows: range) -> tuple[str, str]:
        """Return a chunk's name and content; one BLAS thread makes the same bytes anywhere."""
        blocks = [rows[start : start + BLOCK_FACES] for start in range(0, len(rows), BLOCK_FACES)]
        with threadpool_limits(1, "blas"):
            features = [self._features(ds.images(block)) for block in blocks]
        return name, chunk_text(ds.labels.iloc[rows], np.concatenate(features))

    # What scikit-learn asks of a transformer.

    @property
    def n_features_in_(self) -> int:
        """Pixels of an image."""
        return self.components.shape[1]

    def get_feature_names_out(self, input_features=None) -> np.ndarray:
        """Return the columns f000, f001, ..."""
        check_is_fitted(self)
        return np.array(feature_names(len(self.components)), dtype=object)

    def __sklearn_is_fitted__(self):
        return self.n_fitted > 0

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


def _check_images(images) -> np.ndarray:
    """Return images as uint8 or float32 (n, n_pixels); ValueError if they are no such table."""
    images = unmasked("images", images)
    if isinstance(images, str | Path) or getattr(images, "ndim", 0) > 2:
        given = np.shape(images) or repr(images)
        said = f"images must be rows of pixels, (n, n_pixels), not {given}"
        raise ValueError(f"{said}; faces.from_picture(path) makes such a row of a picture")
    return check_array(images, dtype=(np.float32, np.uint8), input_name="images")


def _norms(images, normalizer: str) -> np.ndarray | None:
    """Return what each image is divided by first, (n, 1): with "l2" its norm, else nothing."""
    if normalizer != "l2":
        return None
    norms = np.array([[np.linalg.norm(image.astype(np.float64))] for image in images])
    return np.where(norms > 0, norms, 1).astype(np.float32)  # an all-black image stays 0


def _blocks(images, norms) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield columns of the images, block by block, and their pixels, (n, block), to be changed.

    All pass through one buffer: fresh memory for each would take longer than the arithmetic.
    """
    buffer = np.empty(len(images) * BLOCK_PIXELS, np.float32)
    for start in range(0, images.shape[1], BLOCK_PIXELS):
        columns = images[:, start : start + BLOCK_PIXELS]
        x = buffer[: columns.size].reshape(columns.shape)
        x[...] = columns
        if norms is not None:
            x /= norms
        yield slice(start, start + columns.shape[1]), x


def _normalized(images, norms, center, scale) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield what `_blocks` does, as the pixels enter the PCA."""
    for block, x in _blocks(images, norms):
        x -= center[block]
        x /= scale[block]
        yield block, x


def _largest_eigenvectors(gram, k: int) -> np.ndarray:
    """Return the eigenvectors (n, k) of the k largest eigenvalues, the largest first.

    Of the symmetric matrix only the upper half is read.
    """
    n = len(gram)
    gram = gram.astype(np.float64)
    if k < n // 4:  # Lanczos: seconds where a full decomposition takes a minute
        # dsymv reads half of the matrix: a third of the time of a product with all of it
        product = LinearOperator((n, n), functools.partial(dsymv, 1, gram), dtype=np.float64)
        values, vectors = eigsh(product, k, v0=np.random.default_rng(0).standard_normal(n))
    else:
        values, vectors = eigh(gram, lower=False, subset_by_index=[n - k, n - 1])
    return vectors[:, np.argsort(values)[::-1]]
