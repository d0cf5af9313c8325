"""Beyond one machine: chunks and experiments on a Dask cluster of two worker processes, byte for byte the same."""

import multiprocessing
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import joblib
import pytest

from hw1lib.faces import standin
from hw1lib.faces.data import FaceDataset
from hw1lib.faces.features import load_features
from hw1lib.faces.preprocess import Preprocessor
from hw1lib.nn.initializers import Random
from hw1lib.study import Experiment, run

distributed = pytest.importorskip("distributed")
cloudpickle = pytest.importorskip("cloudpickle")


@pytest.fixture(scope="module")
def cluster():
    """Start a scheduler and two worker processes with one thread each, on the loopback address."""
    arguments = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "host": "127.0.0.1"}
    with (
        distributed.LocalCluster(**arguments, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dask")
    patch = pytest.MonkeyPatch()
    patch.setenv("HW1_CACHE", str(folder / "cache"))
    standin.make(folder / "faces", 80, n_jobs=1, progress=False)
    ds = FaceDataset.open(folder / "faces", progress=False)
    preprocessor = Preprocessor(8).fit(ds, progress=False)
    preprocessor.export(ds, folder / "here", chunk_size=8, n_jobs=1, progress=False)
    yield folder, ds, preprocessor
    patch.undo()


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.slow
def test_chunks_are_the_same_bytes(cluster, faces):
    folder, ds, preprocessor = faces
    with joblib.parallel_config(backend="dask"):
        preprocessor.export(ds, folder / "there", chunk_size=8, progress=False)
    assert contents(folder / "there") == contents(folder / "here")
    assert len(contents(folder / "there")) == 10


@dataclass(frozen=True)
class KillsItsWorkerOnce(Random):
    """Random weights; the first worker process that draws them is killed on the way."""

    flag: str = ""

    def __call__(self, fan_in, fan_out, rng):
        if multiprocessing.current_process().name != "MainProcess" and not Path(self.flag).exists():
            Path(self.flag).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(fan_in, fan_out, rng)


@pytest.mark.slow
def test_experiments_are_the_same_though_a_worker_is_killed(cluster, faces):
    folder, _, _ = faces
    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the workers can't import this file
    table = load_features(folder / "here")
    initializer = KillsItsWorkerOnce(flag=str(folder / "killed"))
    names = {"mine": Experiment("a test", hidden=(4,), epochs=30, initializer=initializer)}
    here = run(names, table, range(6), n_jobs=1, keep=False, progress=False)
    before = set(cluster.run(os.getpid).values())
    with joblib.parallel_config(backend="dask"):
        there = run(names, table, range(6), keep=False, progress=False)
    for one in (*here["experiments"]["mine"]["runs"], *there["experiments"]["mine"]["runs"]):
        del one["seconds"]
    assert there == here
    assert (folder / "killed").exists()
    cluster.wait_for_workers(2, timeout=60)
    assert set(cluster.run(os.getpid).values()) != before  # another worker took its place
