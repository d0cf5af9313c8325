"""From 120,000 pixels to 128 features (report, 2.1): a normaliser and a PCA, fitted on 5,000 faces, applied to all.

The PCA is exact and never forms the 120,000 x 120,000 covariance: with fewer faces than pixels, the eigenvectors of
the small Gram matrix of the faces give those of the covariance (Sirovich 1987; Turk and Pentland 1991).
"""

from __future__ import annotations

import functools
import threading
from pathlib import Path

import joblib
import numpy as np
from scipy.linalg import eigh, get_blas_funcs
from scipy.linalg.blas import dsymv
from scipy.sparse.linalg import LinearOperator, eigsh
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted
from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

from hw1lib.checks import one_of, whole_number
from hw1lib.faces.chunks import chunk_names, chunk_text, feature_names
from hw1lib.files import make_folder, read_npz, write_npz

BLOCK_PIXELS = 3_000  # columns that are worked on at once: of 5,000 faces 60 MB as float32
FLOAT64_PIXELS = 20_000_000  # up to so many in all faces, the fit computes in float64, then in float32
BLOCK_FACES = 250  # faces that the export holds at once: 30 MB as bytes
CHUNK_SIZE = 1_000  # faces in one CSV file (report, 2.1)
EXPORTING = threading.Lock()

# What each pixel is divided by, after its mean over the faces is taken off: x are the pixels, (n, n_pixels) float32.
# A normaliser's own offset (such as min-max's minimum) cancels out: the PCA takes the mean off anyway.
NORMALIZERS = {
    "standard": lambda x, mean: np.sqrt(np.mean((x - mean) ** 2, axis=0, dtype=np.float64)),  # standard deviation
    "minmax": lambda x, mean: x.max(axis=0) - x.min(axis=0),  # range
    "maxabs": lambda x, mean: np.abs(x).max(axis=0),  # largest absolute value
    "unit": lambda x, mean: np.full(x.shape[1], 255),  # largest value that a pixel can have
    "l2": lambda x, mean: np.ones(x.shape[1]),  # nothing: here each image is divided by its own Euclidean norm
}


class Preprocessor(TransformerMixin, BaseEstimator):
    """The report's "preprocess" class: a normaliser and a PCA, fitted once, saved, applied to every face.

    It is a scikit-learn transformer.

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
            If a parameter is out of range; if there are not more faces than components, or fewer pixels; if all faces
            are the same.
        """
        if isinstance(y, int | np.integer):
            raise ValueError(f"y={y!r} has no use here; did you mean subset={y!r}?")
        k = whole_number("n_components", self.n_components)
        spread_of = NORMALIZERS[one_of("normalizer", self.normalizer, NORMALIZERS)]
        if hasattr(faces, "images"):  # a FaceDataset
            rng = np.random.default_rng(whole_number("seed", seed, 0))
            rows = rng.permutation(len(faces))[: whole_number("subset", subset, 2)]
            images = faces.images(np.sort(rows), progress)
        else:
            images = _check_images(faces)
        n, n_pixels = images.shape
        if n <= k or n_pixels < k:
            raise ValueError(
                f"n_components={k} needs more faces than that, and at least as many pixels, "
                f"not n_samples={n}, n_features={n_pixels}"
            )
        norms = _norms(images, self.normalizer)
        dtype = np.float64 if images.size <= FLOAT64_PIXELS else np.float32
        center, scale = np.empty((2, n_pixels), dtype)
        components = np.empty((k, n_pixels), np.float32)
        gram, syrk = np.zeros((n, n), dtype, order="F"), get_blas_funcs("syrk", dtype=dtype)
        n_blocks = -(-n_pixels // BLOCK_PIXELS)
        quiet = not progress or n_blocks == 1
        with tqdm(desc="fitting", total=2 * n_blocks, unit="block", disable=quiet, leave=False) as bar:
            for block, x in _blocks(images, norms, dtype):
                center[block] = x.mean(axis=0, dtype=np.float64)
                spread = spread_of(x, center[block])
                scale[block] = np.where(spread > 0, spread, 1)
                x -= center[block]
                x /= scale[block]
                syrk(1, x.T, 1, gram, trans=1, overwrite_c=1)  # gram += x @ x.T, the upper half: it is symmetric
                bar.update()
            total = float(np.trace(gram, dtype=np.float64))
            if not 1e-12 * n * np.sum((center / scale) ** 2, dtype=np.float64) < total < 1e30:
                raise ValueError(f"all {n} faces are the same, or hold numbers too large to be squared")
            vectors = _largest_eigenvectors(gram, k).astype(dtype)  # (n, k)
            del gram
            for block, x in _normalized(images, norms, center, scale):
                components[:, block] = vectors.T @ x
                bar.update()
        # Each row is a component times its singular value; what is only rounding, beside the largest, becomes 0.
        singular_values = np.sqrt(np.sum(components**2, axis=1, dtype=np.float64))
        singular_values[singular_values < 1e-4 * singular_values[0]] = 0
        largest = np.abs(components).argmax(axis=1)
        signs = np.sign(components[np.arange(k), largest])
        components *= (signs / np.where(singular_values > 0, singular_values, np.inf))[:, None].astype(np.float32)
        self.center, self.scale, self.components = center.astype(np.float32), scale.astype(np.float32), components
        self.explained_variance, self.total_variance = singular_values**2 / (n - 1), total / (n - 1)
        self.n_fitted = n
        return self

    @property
    def explained_variance_ratio(self) -> np.ndarray:
        """The share of the total variance that each component keeps, (n_components,)."""
        check_is_fitted(self)
        return self.explained_variance / self.total_variance

    def transform(self, images) -> np.ndarray:
        """Return the features of images (n, n_pixels): float32 (n, n_components)."""
        check_is_fitted(self)
        images = _check_images(images, self.n_features_in_)
        return self._features(images)

    def _features(self, images) -> np.ndarray:
        norms = _norms(images, self.normalizer)
        features = np.zeros((len(images), len(self.components)))
        for block, x in _normalized(images, norms, self.center, self.scale):
            features += x @ self.components[:, block].T
        return features.astype(np.float32)

    def inverse_transform(self, features, n_components: int | None = None) -> np.ndarray:
        """Return the images (n, n_pixels), float32, rebuilt from the first ``n_components`` features (default: all).

        With "l2" each image comes back at norm 1: its own norm was divided away.
        """
        check_is_fitted(self)
        if n_components is not None:
            n_components = whole_number("n_components", n_components)
        features = np.atleast_2d(features)[:, :n_components]
        return features @ self.components[: features.shape[1]] * self.scale + self.center

    def save(self, path) -> Path:
        """Write normaliser and PCA to an .npz file (62 MB for 128 components of 120,000 pixels), no pickle."""
        check_is_fitted(self)
        arrays = {name: getattr(self, name) for name in self._ARRAYS}
        arrays |= {"normalizer": np.array(self.normalizer), "total_variance": np.array(self.total_variance)}
        return write_npz(path, "preprocessor", arrays | {"n_fitted": np.array(self.n_fitted)})

    @classmethod
    def load(cls, path) -> Preprocessor:
        """Return what ``save`` wrote; ValueError that names the file if it is anything else."""
        arrays = read_npz(path, ("preprocessor",), (*cls._ARRAYS, "normalizer", "total_variance", "n_fitted"))
        try:
            k, n_pixels = arrays["components"].shape
            new = cls(k, one_of("normalizer", str(arrays["normalizer"]), NORMALIZERS))
            shapes = ((n_pixels,), (n_pixels,), (k, n_pixels), (k,))
            for name, shape in zip(cls._ARRAYS, shapes, strict=True):
                if arrays[name].shape != shape or not np.isfinite(arrays[name]).all():
                    raise ValueError(f"{name} must be finite, of shape {shape}")
                setattr(new, name, arrays[name])
            new.total_variance, new.n_fitted = float(arrays["total_variance"]), int(arrays["n_fitted"])
            if not (new.scale > 0).all() or not new.total_variance > 0 or not new.n_fitted > k:
                raise ValueError("scale, total_variance or n_fitted is too small")
        except (ValueError, TypeError, OverflowError) as error:
            raise ValueError(f"{path}: not a preprocessor that this version can read: {error}") from error
        return new

    def export(
        self, ds, folder, chunk_size: int = CHUNK_SIZE, n_jobs: int = -1, progress: bool = True
    ) -> Path:
        """Write the features of every face as ``chunk_00.csv`` ... (report, 2.1), ``chunk_size`` faces a file.

        Columns: file, age, gender, race, f000 ... f127. The folder appears when all files are whole; one that holds
        anything is an error, so that no results are mixed. Chunks are made side by side by ``n_jobs`` threads (-1: all
        cores), or by the workers of ``joblib.parallel_config``; the bytes do not depend on how many.
        """
        check_is_fitted(self)
        chunk_size = whole_number("chunk_size", chunk_size)
        folder = Path(folder)
        if folder.is_dir() and any(folder.iterdir()):
            raise FileExistsError(f"{folder} is not empty: take another folder, or delete it first")
        starts = range(0, len(ds), chunk_size)
        jobs = [
            joblib.delayed(self._chunk)(ds, name, start, min(start + chunk_size, len(ds)))
            for name, start in zip(chunk_names(len(starts)), starts, strict=True)
        ]

        def fill(partial: Path):
            # BLAS's threads are the whole process's: exports that each set and reset them would meet
            with EXPORTING, threadpool_limits(1, "blas"):
                chunks = joblib.Parallel(n_jobs, prefer="threads", return_as="generator_unordered")(jobs)
                bar = tqdm(chunks, "exporting", len(jobs), unit="chunk", disable=not progress, leave=False)
                for name, content in bar:
                    (partial / name).write_bytes(content)

        return make_folder(folder, fill, size=1500 * len(ds))

    def _chunk(self, ds, name: str, start: int, stop: int) -> tuple[str, bytes]:
        """Return a chunk's name and content: float32 with the 9 digits that bring back the same number."""
        features = np.empty((stop - start, len(self.components)), np.float32)
        with threadpool_limits(1, "blas"):  # in another process, too: the same bytes on any number of cores
            for first in range(start, stop, BLOCK_FACES):
                rows = slice(first, min(first + BLOCK_FACES, stop))
                features[first - start : rows.stop - start] = self._features(ds.images(rows))
        return name, chunk_text(ds.labels[start:stop], features).encode()

    def __repr__(self):
        fitted = f"fitted on {self.n_fitted:,} faces" if self.n_fitted else "not fitted"
        return f"Preprocessor(n_components={self.n_components}, normalizer={self.normalizer!r}), {fitted}"

    # What scikit-learn asks of a transformer.

    @property
    def n_features_in_(self) -> int:
        """Pixels of an image."""
        return self.components.shape[1]

    def get_feature_names_out(self, input_features=None) -> np.ndarray:
        """Return the columns f000, f001, ..."""
        check_is_fitted(self)
        return np.array(feature_names(len(self.components)), dtype=object)

    def set_params(self, **params) -> Preprocessor:
        """Change parameters of the constructor; a new ``fit`` is needed then."""
        super().set_params(**params)
        self.n_fitted = 0
        return self

    def __sklearn_is_fitted__(self):
        return self.n_fitted > 0

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


def _check_images(images, n_pixels: int | None = None) -> np.ndarray:
    """Return images as uint8 or float32 (n, n_pixels); ValueError if they are no table of finite numbers."""
    bytes_already = isinstance(images, np.ndarray) and images.dtype == np.uint8 and images.ndim == 2 and images.size
    if not bytes_already:
        images = check_array(images, dtype=(np.float32, np.uint8), input_name="images")
    if n_pixels not in (None, images.shape[1]):
        raise ValueError(
            f"X has {images.shape[1]} features, but Preprocessor is expecting {n_pixels} features as input: the pixels "
            "of the images that it was fitted on"
        )
    return images


def _norms(images, normalizer: str):
    """Return what each image is divided by first, (n, 1): with "l2" its Euclidean norm, else None."""
    if normalizer != "l2":
        return None
    norms = np.array([[np.linalg.norm(image.astype(np.float64))] for image in images])
    return np.where(norms > 0, norms, 1).astype(np.float32)  # an all-black image stays 0


def _blocks(images, norms, dtype):
    """Yield columns of the images, block by block, and their pixels as numbers that may be changed, (n, block).

    All pass through one buffer: fresh memory for each would take longer than the arithmetic.
    """
    buffer = np.empty(len(images) * BLOCK_PIXELS, dtype)
    for start in range(0, images.shape[1], BLOCK_PIXELS):
        columns = images[:, start : start + BLOCK_PIXELS]
        x = buffer[: columns.size].reshape(columns.shape)
        x[...] = columns
        if norms is not None:
            x /= norms
        yield slice(start, start + columns.shape[1]), x


def _normalized(images, norms, center, scale):
    """Yield what `_blocks` does, once the normaliser is known: as the pixels enter the PCA."""
    for block, x in _blocks(images, norms, center.dtype):
        x -= center[block]
        x /= scale[block]
        yield block, x


def _largest_eigenvectors(gram, k):
    """Return the eigenvectors (n, k) of a symmetric matrix's k largest eigenvalues, the largest first.

    Only its upper half is read.
    """
    n = len(gram)
    gram = gram.astype(np.float64, order="F")
    if k < n // 4:  # Lanczos: seconds where a full decomposition takes a minute
        product = LinearOperator((n, n), matvec=functools.partial(dsymv, 1.0, gram), dtype=np.float64)
        values, vectors = eigsh(product, k, v0=np.random.default_rng(0).standard_normal(n))  # the same every time
    else:
        values, vectors = eigh(gram, lower=False, subset_by_index=[n - k, n - 1])
    return vectors[:, np.argsort(values)[::-1]]
