"""Preprocessor's fit against scikit-learn's, and its export against decoding the same pictures.

Run it alone: python tests/benchmarks/run.py bench_preprocess. Each run has a process of its own, so
that its peak of memory is its own; the runs of a pair take turns. The faces are those of HW1_DATA,
or drawn.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import joblib
import numpy as np
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from hw1lib.faces import FaceDataset, Preprocessor, load_features

ROUNDS = 7
BLOCK = 250


def first_faces(n: int) -> FaceDataset:
    ds = FaceDataset.open(progress=False)
    ds.labels = ds.labels[:n]
    return ds


# -- what is timed; each prepares, then returns the work -------------------------------------------


def fit_ours(folder: Path, n: int):
    images = np.load(folder / "images.npy")

    def work():
        model = Preprocessor(128).fit(images, progress=False)
        return {"variance": model.explained_variance, "components": model.components}

    return work


def fit_sklearn(folder: Path, n: int):
    images = np.load(folder / "images.npy")

    def work():
        pca = PCA(128, svd_solver="randomized", random_state=0)
        make_pipeline(StandardScaler(), pca).fit(images.astype(np.float32))
        return {"variance": pca.explained_variance_, "components": pca.components_}

    return work


def gram_only(folder: Path, n: int):
    """The fit's one large product, which nothing exact does without: the floor."""
    x = np.load(folder / "images.npy").astype(np.float32)
    return lambda: {"trace": np.trace(x @ x.T)}


def export(folder: Path, n: int):
    ds, model = first_faces(n), Preprocessor.load(folder / "model.npz")
    shutil.rmtree(folder / "chunks", ignore_errors=True)
    return lambda: model.export(ds, folder / "chunks", progress=False) and {}


def decode(paths) -> np.ndarray:
    faces = []
    for path in paths:
        with Image.open(path) as picture:
            faces.append(np.asarray(picture.convert("RGB")).reshape(-1))
    return np.stack(faces)


def side_by_side(n: int, action):
    """Return the work of an action on n faces' paths, block by block, on all cores."""
    ds = first_faces(n)
    paths = [ds.folder / path for path in ds._paths[:n]]
    blocks = [paths[start : start + BLOCK] for start in range(0, n, BLOCK)]

    def work():
        with threadpool_limits(1):
            joblib.Parallel(-1, require="sharedmem")(map(joblib.delayed(action), blocks))
        return {}

    return work


def decode_only(folder: Path, n: int):
    return side_by_side(n, lambda paths: len(decode(paths)))


def decode_and_multiply(folder: Path, n: int):
    model = Preprocessor.load(folder / "model.npz")
    return side_by_side(n, lambda paths: decode(paths).astype(np.float32) @ model.components.T)


# -- pairs -----------------------------------------------------------------------------------------


def child(name: str, folder: Path, n: int) -> None:
    """Run one of the above; print its seconds and its peak of memory, MB (on Linux)."""
    work = globals()[name](folder, n)
    start = time.perf_counter()
    arrays = work()
    seconds = time.perf_counter() - start
    # resource's ru_maxrss would start from what the parent holds
    peak = int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1e3
    np.savez(folder / f"{name}.npz", **arrays)
    print(json.dumps([seconds, peak]))


def run(name: str, folder: Path, n: int) -> list[float]:
    command = [sys.executable, __file__, name, str(folder), str(n)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def measure(names, folder: Path, n: int) -> np.ndarray:
    """Return seconds and MB of all runs: (2, names, rounds)."""
    return np.transpose([[run(name, folder, n) for name in names] for _ in range(ROUNDS)])


def row(what: str, against: str, ours, theirs, goal: float) -> dict:
    """Compare runs in pairs: the median of the ratios; at most ``goal`` is asked for."""
    numbers = f"{np.median(ours):,.1f} and {np.median(theirs):,.1f}"
    ratio = np.median(ours / theirs)
    return {"what": f"{what} ({numbers})", "against": against, "ratio": ratio, "goal": goal}


def fit_rows(n: int = 5000) -> list[dict]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ds = first_faces(n)
        np.save(folder / "images.npy", ds.images(slice(None)))
        seconds, memory = measure(("fit_ours", "fit_sklearn", "gram_only"), folder, n)
        ours, theirs = np.load(folder / "fit_ours.npz"), np.load(folder / "fit_sklearn.npz")
        # scikit-learn's are approximate: the last ones, most
        np.testing.assert_allclose(theirs["variance"], ours["variance"], rtol=0.15)
        np.testing.assert_allclose(theirs["variance"][:10], ours["variance"][:10], rtol=1e-3)
        cosines = np.abs(np.sum(ours["components"] * theirs["components"], axis=1))
        assert cosines[:10].min() > 0.999, cosines[:10]
    what, peer = f"fit {len(ds):,} faces", "scikit-learn's StandardScaler and PCA"
    return [
        row(f"{what}, s", peer, seconds[0], seconds[1], 1 / 2.5),
        row(f"{what}, s", "its largest matrix product", seconds[0], seconds[2], 1.5),
        row(f"{what}, MB", peer, memory[0], memory[1], 1 / 6),
        row(f"{what}, MB", "1,500 MB", memory[0], 1500, 1),
    ]


def export_rows(n: int = 20_000) -> list[dict]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ds = first_faces(500)
        images = ds.images(slice(None))
        model = Preprocessor(128).fit(images, progress=False)
        model.save(folder / "model.npz")
        paths = [ds.folder / path for path in ds._paths[:20]]
        np.testing.assert_array_equal(decode(paths), images[:20])
        seconds, memory = measure(("export", "decode_only", "decode_and_multiply"), folder, n)
        table = load_features(folder / "chunks").iloc[:500, 4:]
        np.testing.assert_allclose(table, model.transform(images), atol=1e-2)
        tenth = run("export", folder, n // 10)[1]
    what = f"export {n:,} faces"
    return [
        row(f"{what}, s", "decoding with Pillow, all cores", seconds[0], seconds[1], 1.5),
        row(f"{what}, s", "decoding and one product, all cores", seconds[0], seconds[2], 1.25),
        row(f"{what}, MB", "1,000 MB", memory[0], 1000, 1),
        row(f"{what}, MB", f"for {n // 10:,} faces", memory[0], tenth, 1.1),
    ]


def rows():
    """Yield every ratio, each with the most that is allowed."""
    yield from fit_rows()
    yield from export_rows()


if __name__ == "__main__":
    child(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
