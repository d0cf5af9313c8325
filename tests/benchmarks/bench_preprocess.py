"""Preprocessor's fit against scikit-learn's, and its export against decoding the same pictures.

python tests/benchmarks/bench_preprocess.py [--fit 5000] [--export 20000] [--rounds 7]
Each run has a process of its own, so that its peak of memory is its own; the runs of a pair take
turns. The faces are those of HW1_DATA, or drawn.
"""

import argparse
import json
import re
import shutil
import statistics
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


def decode(paths) -> list:
    faces = []
    for path in paths:
        with Image.open(path) as picture:
            faces.append(np.asarray(picture.convert("RGB")))
    return faces


def blocks(n: int) -> list:
    ds = first_faces(n)
    paths = [ds.folder / path for path in ds._paths[:n]]
    return [paths[start : start + BLOCK] for start in range(0, n, BLOCK)]


def decode_only(folder: Path, n: int):
    jobs = [joblib.delayed(lambda paths: len(decode(paths)))(paths) for paths in blocks(n)]
    return lambda: joblib.Parallel(-1)(jobs) and {}


def decode_and_multiply(folder: Path, n: int):
    model = Preprocessor.load(folder / "model.npz")

    def reduce(paths):
        return (
            np.stack(decode(paths)).reshape(len(paths), -1).astype(np.float32) @ model.components.T
        )

    def work():
        with threadpool_limits(1):
            joblib.Parallel(-1, require="sharedmem")(
                joblib.delayed(reduce)(paths) for paths in blocks(n)
            )
        return {}

    return work


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


def run(name: str, folder: Path, n: int) -> tuple[float, float]:
    command = [sys.executable, __file__, "--child", name, "--folder", folder, "--export", str(n)]
    seconds, peak = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return seconds, peak


def row(what: str, against: str, ours, theirs, goal: float) -> dict:
    """Compare runs in pairs: the median of the ratios; at most ``goal`` is asked for."""
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    numbers = f"{statistics.median(ours):,.1f} and {statistics.median(theirs):,.1f}"
    return {
        "what": f"{what} ({numbers})",
        "against": against,
        "ratio": round(ratio, 3),
        "goal": goal,
    }


def fit_rows(n: int = 5000, rounds: int = 7) -> list[dict]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ds = first_faces(n)
        np.save(folder / "images.npy", ds.images(slice(None)))
        works = ("fit_ours", "fit_sklearn", "gram_only")
        runs = [[run(work, folder, n) for work in works] for _ in range(rounds)]
        ours, theirs = np.load(folder / "fit_ours.npz"), np.load(folder / "fit_sklearn.npz")
        # scikit-learn's are approximate: the last ones, most
        np.testing.assert_allclose(theirs["variance"], ours["variance"], rtol=0.15)
        np.testing.assert_allclose(theirs["variance"][:10], ours["variance"][:10], rtol=1e-3)
        cosines = np.abs(np.sum(ours["components"] * theirs["components"], axis=1))
        assert cosines[:10].min() > 0.999, cosines[:10]
    seconds = [[run[i][0] for run in runs] for i in range(3)]
    memory = [[run[i][1] for run in runs] for i in range(2)]
    what, peer = f"fit {len(ds):,} faces", "scikit-learn's StandardScaler and PCA"
    return [
        row(f"{what}, s", peer, seconds[0], seconds[1], 1 / 2.5),
        row(f"{what}, s", "its largest matrix product", seconds[0], seconds[2], 1.5),
        row(f"{what}, MB", peer, memory[0], memory[1], 1 / 6),
        row(f"{what}, MB", "1,500 MB", memory[0], [1500] * rounds, 1),
    ]


def export_rows(n: int = 20_000, rounds: int = 7) -> list[dict]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = first_faces(500).images(slice(None))
        model = Preprocessor(128).fit(images, progress=False)
        model.save(folder / "model.npz")
        np.testing.assert_array_equal(np.stack(decode(blocks(20)[0])).reshape(20, -1), images[:20])
        works = ("export", "decode_only", "decode_and_multiply")
        runs = [[run(work, folder, n) for work in works] for _ in range(rounds)]
        table = load_features(folder / "chunks").iloc[:500, 4:]
        n = len(first_faces(n))
        np.testing.assert_allclose(table, model.transform(images)[: len(table)], atol=1e-2)
        tenth = run("export", folder, n // 10)[1]
    ours, decoding, product = ([run[i][0] for run in runs] for i in range(3))
    memory = [run[0][1] for run in runs]
    what = f"export {n:,} faces"
    return [
        row(f"{what}, s", "decoding with Pillow, all cores", ours, decoding, 1.5),
        row(f"{what}, s", "decoding and one product, all cores", ours, product, 1.25),
        row(f"{what}, MB", "1,000 MB", memory, [1000] * rounds, 1),
        row(f"{what}, MB", f"for {n // 10:,} faces", memory, [tenth] * rounds, 1.1),
    ]


def rows(fit: int = 5000, export: int = 20_000, rounds: int = 7):
    """Yield every ratio, each with the most that is allowed."""
    if fit:
        yield from fit_rows(fit, rounds)
    if export:
        yield from export_rows(export, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fit", type=int, default=5000, help="faces to fit on (0: leave it out)")
    parser.add_argument(
        "--export", type=int, default=20_000, help="faces to export (0: leave it out)"
    )
    parser.add_argument("--rounds", type=int, default=7, help="pairs")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return child(options.child, options.folder, options.export)
    for ratio in rows(options.fit, options.export, options.rounds):
        goal = f"(at most {ratio['goal']:.2f})"
        print(f"{ratio['what']} / {ratio['against']}: {ratio['ratio']:.2f} {goal}", flush=True)


if __name__ == "__main__":
    main()
