"""The command line: prepare, report, lab, reproduce."""

import functools
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import replace
from importlib import resources
from pathlib import Path

import nbformat
import numpy as np
import pytest
from jupyterlab.labapp import LabApp
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
from hw1lib.study import experiments, linear, record, search, tuning
from hw1lib.study.comparisons import COMPARISONS
from hw1lib.study.experiments import CONV, EXPERIMENTS, TUNED

FACES = 60
ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def environment(tmp_path, monkeypatch):
    for name, value in {"HW1_CACHE": str(tmp_path / "cache"), "HW1_FACES": str(FACES), "HW1_DATA": ""}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def all_of_it_but_short(monkeypatch):
    """Let ``reproduce`` do everything, on two folds, with few epochs and a small budget."""
    short = {name: replace(e, epochs=2 + (e.epochs >= record.LONG)) for name, e in EXPERIMENTS.items()}
    pixels = replace(tuning.PIXELS, epochs=2, filters=(2,), hidden=(3,), cell=20)
    short |= {name: replace(pixels, target=short[name].target) for name in CONV}
    monkeypatch.setattr(record, "EXPERIMENTS", short)
    monkeypatch.setattr(record, "LONG", 3)
    monkeypatch.setattr(experiments, "_key", functools.cache(experiments._key))
    budget = {"SETTINGS": 3, "FIRST_FOLDS": 1, "BEST": 2, "FOLDS": 2, "START": replace(tuning.START, epochs=2)}
    tried = {"MOST_EPOCHS": 3, "AT": np.array([1, 3]), "RATES": (1e-4,), "NORMALIZERS": ("standard", "l2")}
    budget |= {"CONV_SETTINGS": 2, "PIXELS": pixels}
    for module, constants in ((tuning, budget), (search, tried), (linear, {"SVM_SETTINGS": 2})):
        for name, value in constants.items():
            monkeypatch.setattr(module, name, value)


@pytest.fixture
def nothing_long(tmp_path, monkeypatch):
    """Let any work on faces fail, in a folder with a file in it."""

    def too_late(*args, **kwargs):
        raise AssertionError("this takes long: check first")

    monkeypatch.setattr(standin, "make", too_late)
    (tmp_path / "a file").touch()
    monkeypatch.chdir(tmp_path)


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


@pytest.mark.slow
@pytest.mark.usefixtures("all_of_it_but_short")
def test_reproduce_records_all_that_is_quoted(tmp_path, capsys):
    assert main(["reproduce", "--folds", "2", "--seeds", "2", "--jobs", "1"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == str(tmp_path / "cache" / "reproduced.json")  # recorded results of UTKFace stay
    results = json.loads((tmp_path / "cache" / "reproduced.json").read_text())
    assert results["experiments"].keys() == EXPERIMENTS.keys()
    for name, one in results["experiments"].items():
        networks = 1 if EXPERIMENTS[name].epochs >= 1000 or name.startswith("conv/") else 2
        told = [(run["fold"], run["seed"]) for run in one["runs"]]
        assert told == [(fold, seed) for fold in range(2) for seed in range(networks)]
        assert not any("errors" in run for run in one["runs"])
        assert [run["seed"] for run in one["runs"] if "curves" in run] == [0, 0]
    assert results["bootstrap"].keys() == {f"{one.first} - {one.second}" for one in COMPARISONS}
    assert all(low <= high for low, high in results["bootstrap"].values())
    assert results["tuning"].keys() == {*TUNED, *CONV}
    assert {target: len(tried) for target, tried in results["svm"].items()} == {"age": 2, "race": 2}
    assert len(results["baselines"]["race"]["svm"]["test"]) == 2
    assert results["by_group"].keys() == set(record.BY_GROUP)
    assert len(results["search"]["families"]) == 4
    assert results["data"]["source"] == "stand-in"
    assert results["data"]["faces"] == FACES
    assert np.sum(results["variance"]) == pytest.approx(1, abs=1e-3)  # all components that 60 faces have
    assert results["baselines"].keys() == {"age", "gender", "race"}
    for words in ("over folds", "trained properly", "as published", "width/64", "14.9183", COMPARISONS[-1].question):
        assert words in out


@pytest.mark.slow
@pytest.mark.usefixtures("all_of_it_but_short")
def test_reproduce_leaves_what_is_recorded_unless_it_is_named(folder, tmp_path):
    kept = resources.files("hw1lib.study").joinpath("recorded", "utkface.json").read_bytes()
    output = tmp_path / "mine" / "it.json"
    assert (
        main(["reproduce", "--folds=2", "--seeds=1", "--jobs=1", "--data", str(folder), "--output", str(output)]) == 0
    )
    assert resources.files("hw1lib.study").joinpath("recorded", "utkface.json").read_bytes() == kept
    results = json.loads(output.read_text())
    assert results["data"]["source"] == "UTKFace"
    assert results["data"]["faces_fingerprint"] == FaceDataset.open(folder, progress=False).fingerprint
    assert str(tmp_path) not in json.dumps(results)


@pytest.mark.slow
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


@pytest.mark.slow
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
        (["reproduce", "--jobs", "0"], "--jobs must be a number of processes, or -1 for all cores, not 0"),
        (["reproduce", "--output", "."], ". can't be written: it is a folder"),
        (["reproduce", "--output", "a file/found.json"], "a file/found.json can't be written: "),
        (["report", "--output", "a file/index.html"], "a file/index.html can't be written: "),
    ],
)
@pytest.mark.usefixtures("nothing_long")
def test_what_is_wrong_is_one_line_on_stderr(arguments, said, capsys):
    assert main(arguments) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("hw1lib: ")
    assert said.replace("/", os.sep) in line


@pytest.mark.usefixtures("nothing_long")
@pytest.mark.parametrize("command", ["report", "lab"])
def test_what_notebooks_need_is_checked_first(command, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HW1_SCALE", "huge")
    assert main([command]) == 1
    assert capsys.readouterr().err == "hw1lib: HW1_SCALE must be full or quick, not 'huge'\n"
    monkeypatch.setattr(command_line, "NOTEBOOKS", tmp_path / "notebooks")
    assert main([command]) == 1
    assert "an installed package has none; run this in a checkout" in capsys.readouterr().err


@pytest.mark.usefixtures("nothing_long")
def test_lab_without_jupyterlab_says_so(monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert main(["lab"]) == 1
    assert capsys.readouterr().err == "hw1lib: JupyterLab is missing: pip install jupyterlab\n"


@pytest.mark.usefixtures("nothing_long")
def test_lab_without_a_home_says_what_helps(monkeypatch, capsys):
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", "a file/jupyter/runtime")
    assert main(["lab"]) == 1
    said = capsys.readouterr().err
    where = Path("a file", "jupyter", "runtime", "server.json")
    assert said.startswith(f"hw1lib: JupyterLab's file {where} can't be written: ")  # the system's reason, then:
    assert said.endswith(": set HOME to a folder that can be written\n")


@pytest.mark.parametrize("user", [0, 1000])
def test_lab_gives_jupyter_what_it_needs(user, tmp_path, monkeypatch, capsys):
    given = []
    monkeypatch.setattr(LabApp, "launch_instance", given.extend)
    monkeypatch.setattr(os, "geteuid", lambda: user, raising=False)
    monkeypatch.setattr(command_line, "_has_browser", lambda: bool(user))
    monkeypatch.setattr(command_line, "_prepare", lambda options: 0)
    assert main(["lab", "--port=8899"]) == 0
    assert given[:2] == [f"--notebook-dir={command_line.NOTEBOOKS}", "--port=8899"]
    assert given[2:] == ([] if user else ["--allow-root", "--no-browser"])
    monkeypatch.setattr(command_line, "NOTEBOOKS", tmp_path / "read-only")
    (tmp_path / "read-only").mkdir()
    (tmp_path / "read-only" / "01_part.ipynb").touch()

    def refused(dir, usual=tempfile.TemporaryFile):
        if dir == command_line.NOTEBOOKS:
            raise PermissionError(13, "Permission denied")
        return usual(dir=dir)

    monkeypatch.setattr(command_line.tempfile, "TemporaryFile", refused)
    assert main(["lab"]) == 0
    assert "what you change in them can't be saved" in capsys.readouterr().out


@pytest.mark.usefixtures("nothing_long")
def test_lab_tells_what_is_no_option_of_jupyterlab(monkeypatch, capsys):
    monkeypatch.setattr(LabApp, "launch_instance", None)
    assert main(["lab", "--port=8899", "--no-browsr"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("hw1lib: lab has no option --no-browsr: there are --data, ")
    assert "--no-browser, " in line
    assert main(["lab", "--prot", "8899"]) == 1
    assert "no option --prot:" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--ServerApp.token=x", "--port=8899", "--debug", "03_init_sweep.ipynb"])
def test_lab_passes_on_what_jupyterlab_knows(option, monkeypatch):
    given = []
    monkeypatch.setattr(LabApp, "launch_instance", given.extend)
    monkeypatch.setattr(command_line, "_prepare", lambda options: 0)
    assert main(["lab", option]) == 0
    assert option in given


def answer(address, token, tries=100):
    """Return what a server says; it prints its address a moment before it listens."""
    for last in [*[False] * tries, True]:
        try:
            with urllib.request.urlopen(f"{address}?token={token}") as response:
                return json.load(response)
        except urllib.error.URLError:
            if last:
                raise
            time.sleep(0.1)


@pytest.mark.slow
def test_lab_opens_as_make_lab_opens_it(tmp_path):
    """The server answers, whoever runs it: in a container that is root, which Jupyter refuses unless it is told."""
    (recipe,) = re.findall(
        r"^lab:.*\n\t\$\(BIN\)/python (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE
    )
    environment = os.environ | {name: str(tmp_path) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR")}
    environment |= {"BROWSER": "true", "HW1_SCALE": ""}  # a browser that opens nothing
    arguments = [sys.executable, *recipe.split()]
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, env=environment, cwd=ROOT) as server:
        try:
            said = []
            for line in server.stderr:
                said.append(line)
                if found := re.search(r"(http://(?:localhost|127\.0\.0\.1):\d+)/lab\?token=(\w+)", line):
                    break
            else:
                pytest.fail("".join(said))
            assert answer(f"{found[1]}/api/status", found[2])["kernels"] == 0
            files = answer(f"{found[1]}/api/contents", found[2])["content"]
            assert "01_preprocess.ipynb" in {one["name"] for one in files}
        finally:
            server.terminate()


def test_ctrl_c_is_one_line(monkeypatch, capsys):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(standin, "make", interrupted)
    assert main(["prepare"]) == 130
    assert capsys.readouterr().err == "hw1lib: interrupted; what was finished is kept\n"


def test_report_takes_its_scale_from_the_command_line(monkeypatch):
    monkeypatch.setenv("HW1_SCALE", "quick")
    monkeypatch.setattr(command_line, "_report", lambda options: 0)
    assert main(["report", "--scale", "full"]) == 0
    assert os.environ["HW1_SCALE"] == "full"
    with pytest.raises(SystemExit):
        main(["report", "--scale", "huge"])


def test_without_a_command_the_usage_is_shown():
    done = subprocess.run([sys.executable, "-m", "hw1lib"], check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert "{prepare,report,lab,reproduce}" in done.stderr


def test_relative_paths_are_those_of_the_folder_where_the_command_was_given(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder.parent)
    monkeypatch.setenv("HW1_DATA", folder.name)
    monkeypatch.setenv("HW1_CACHE", "kept")
    assert main(["prepare"]) == 0
    assert (os.environ["HW1_DATA"], os.environ["HW1_CACHE"]) == (str(folder), str(folder.parent / "kept"))


def test_data_that_is_empty_is_told(capsys):
    assert main(["prepare", "--data", ""]) == 1
    assert "--data must name a folder or an archive" in capsys.readouterr().err
