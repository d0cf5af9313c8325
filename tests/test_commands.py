"""The command line: prepare, reproduce, report."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from numpy.testing import assert_allclose
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, Normalizer, StandardScaler

from hw1lib import __main__ as command_line
from hw1lib.__main__ import main
from hw1lib.faces import standin
from hw1lib.faces.data import FaceDataset
from hw1lib.faces.features import load_features
from hw1lib.study import linear, record
from hw1lib.study.experiments import EXPERIMENTS

FACES = 60


@pytest.fixture(autouse=True)
def environment(tmp_path, monkeypatch):
    for name, value in {"HW1_CACHE": str(tmp_path / "cache"), "HW1_FACES": str(FACES), "HW1_DATA": ""}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(record, "EXPERIMENTS", {name: replace(e, epochs=2) for name, e in EXPERIMENTS.items()})


@pytest.fixture
def folder(tmp_path):
    """Return a folder of faces that is not the stand-in's."""
    standin.make(tmp_path / "my faces", FACES, seed=5, progress=False)
    return tmp_path / "my faces"


def test_prepare_says_where_the_features_are(tmp_path, capsys):
    assert main(["prepare"]) == 0
    data, features = capsys.readouterr().out.splitlines()
    assert "the embedded stand-in, 60 drawn faces" in data
    table = load_features(features.removeprefix("features: "))
    assert (len(table), str(table.columns[-1])) == (FACES, "f058")  # one component fewer than faces
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.csv")}
    assert main(["prepare"]) == 0
    assert files == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.csv")}


def test_data_may_be_given(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder.parent)
    assert main(["prepare", "--data", folder.name]) == 0
    assert str(folder) in capsys.readouterr().out
    assert os.environ["HW1_DATA"] == str(folder)  # absolute: the notebooks run in a folder of their own


def test_reproduce_records_all_that_is_quoted(tmp_path, capsys):
    assert main(["reproduce", "--seeds", "2", "--jobs", "1"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == str(tmp_path / "cache" / "standin.json")  # recorded results of UTKFace stay
    results = json.loads((tmp_path / "cache" / "standin.json").read_text())
    assert results["experiments"].keys() == EXPERIMENTS.keys()
    assert {len(one["runs"]) for one in results["experiments"].values()} == {2}
    assert results["data"]["source"] == "stand-in"
    assert results["data"]["faces"] == FACES
    assert np.sum(results["variance"]) == pytest.approx(1, abs=1e-3)  # all components that 60 faces have
    assert results["baselines"].keys() == {"age", "gender", "race"}
    for words in ("over 2 seeds", "trained properly", "as published", "width/64", "14.9183"):
        assert words in out


def test_reproduce_writes_what_is_recorded_on_utkface(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(command_line, "__file__", str(tmp_path / "hw1lib" / "__main__.py"))
    assert main(["reproduce", "--seeds=1", "--data", str(folder)]) == 0
    results = json.loads((tmp_path / "hw1lib" / "study" / "recorded" / "utkface.json").read_text())
    assert results["data"]["source"] == "UTKFace"
    assert results["data"]["faces_fingerprint"] == FaceDataset.open(folder, progress=False).fingerprint
    assert str(tmp_path) not in json.dumps(results)


def test_normalizers_are_compared_as_scikit_learn_would(folder):
    ds = FaceDataset.open(folder, progress=False)
    found = linear.compare_normalizers(ds, progress=False)
    theirs = {
        "standard": StandardScaler(),
        "minmax": MinMaxScaler(),
        "maxabs": MaxAbsScaler(),
        "l2": Normalizer(),
        "unit": MinMaxScaler((0, 1)).fit([[0] * 120_000, [255] * 120_000]),
    }
    images = ds.images(slice(None)).astype(float)
    folds = KFold(10, shuffle=True, random_state=0)
    assert found.keys() == theirs.keys()
    for name, scaler in theirs.items():
        scaled = scaler.transform(images) if name == "unit" else scaler.fit_transform(images)
        pca = PCA(FACES // 4, svd_solver="full").fit(scaled)
        age = cross_val_score(
            LinearRegression(), pca.transform(scaled), ds.labels["age"], cv=folds, scoring="neg_root_mean_squared_error"
        )
        race = cross_val_score(
            make_pipeline(*[step for _, step in linear._linear_model("race", [0, 1]).steps]),
            pca.transform(scaled),
            ds.labels["race"],
            cv=folds,
        )
        assert found[name]["variance"] == pytest.approx(pca.explained_variance_ratio_.sum(), abs=1e-4)
        assert_allclose(found[name]["age"], -age, atol=2e-3)
        assert_allclose(found[name]["race"], race, atol=1e-4)


def test_report_of_a_folder_of_notebooks(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command_line, "NOTEBOOKS", tmp_path)
    cells = [new_markdown_cell("# 1. Part"), new_code_cell("print(6 * 7)")]
    nbformat.write(new_notebook(cells=cells), tmp_path / "01_part.ipynb")
    output = tmp_path / "page.html"
    assert main(["report", "--output", str(output)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(output)
    assert "60 drawn faces" in output.read_text(encoding="utf-8")
    assert "42" in output.read_text(encoding="utf-8")
    assert not nbformat.read(tmp_path / "01_part.ipynb", 4).cells[1].outputs  # stored only if that is asked for
    assert main(["report", "--output", str(output), "--store"]) == 0
    assert nbformat.read(tmp_path / "01_part.ipynb", 4).cells[1].outputs


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["prepare", "--data", "no such place"], "no such place: expected a folder that holds UTKFace's"),
        (["report", "--store", "--data", "no such place"], "--store keeps pictures in the notebooks"),
        (["reproduce", "--seeds", "0"], "--seeds must be at least 1, not 0"),
    ],
)
def test_what_is_wrong_is_one_line_on_stderr(arguments, said, capsys):
    assert main(arguments) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("hw1lib: ")
    assert said in line


def test_ctrl_c_is_one_line(monkeypatch, capsys):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(standin, "make", interrupted)
    assert main(["prepare"]) == 130
    assert capsys.readouterr().err == "hw1lib: interrupted; what was finished is kept\n"


def test_without_a_command_the_usage_is_shown():
    done = subprocess.run([sys.executable, "-m", "hw1lib"], check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert "{prepare,report,reproduce}" in done.stderr
