"""Beyond one machine: chunks and experiments on a Dask cluster of two workers, byte for byte."""

import joblib
import pandas as pd
import pytest

from hw1lib import faces, study

distributed = pytest.importorskip("distributed")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster():
    """Start a scheduler and two worker processes with one thread each, on this machine."""
    workers = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "host": "127.0.0.1"}
    cluster = distributed.LocalCluster(**workers, dashboard_address=None)
    with cluster, distributed.Client(cluster) as client:
        yield client


def test_chunks_are_the_same_bytes(cluster, faces_folder, tmp_path):
    ds = faces.open(faces_folder, progress=False)
    preprocessor = faces.Preprocessor(8).fit(ds.images(slice(None)), progress=False)
    preprocessor.export(ds, tmp_path / "here", chunk_size=8, n_jobs=1, progress=False)
    with joblib.parallel_config(backend="dask"):
        preprocessor.export(ds, tmp_path / "there", chunk_size=8, progress=False)
    here, there = (
        {path.name: path.read_bytes() for path in (tmp_path / where).iterdir()}
        for where in ("here", "there")
    )
    assert here == there
    assert len(here) == 3


def test_experiments_are_the_same(cluster, data, tmp_path, monkeypatch):
    mine = study.Experiment("a test", hidden=(4,), epochs=30)
    here = study.run({"mine": mine}, data, range(6), n_jobs=1, progress=False)
    monkeypatch.setenv("HW1_CACHE", str(tmp_path / "another cache"))
    with joblib.parallel_config(backend="dask"):
        there = study.run({"mine": mine}, data, range(6), progress=False)
    numbers = ["fold", "test", "mae", "validation", "best_epoch"]
    pd.testing.assert_frame_equal(here[numbers], there[numbers], check_exact=True)
