"""The command line: prepare, report, lab, reproduce."""

import importlib.util
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from jupyterlab.labapp import LabApp
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from hw1lib import __main__ as command_line
from hw1lib import faces
from hw1lib.__main__ import main
from hw1lib.faces import standin

FACES = 60
ROOT = Path(__file__).parents[1]
CONFIRM = ["confirm", "--train", "no such place", "--test", "x", "--output"]


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    settings = {"HW1_FACES": str(FACES), "HW1_DATA": "", "HW1_SCALE": ""}
    settings["LOKY_MAX_CPU_COUNT"] = "1"  # no processes for so little
    for name, value in settings.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def nothing_long(tmp_path, monkeypatch):
    """Let any work on faces fail, in a folder with a file in it."""

    def too_late(*args, **kwargs):
        raise AssertionError("this takes long: check first")

    monkeypatch.setattr(standin, "make", too_late)
    (tmp_path / "a file").touch()
    monkeypatch.chdir(tmp_path)


def test_prepare_makes_the_features_once_and_says_where_they_are(tmp_path, capsys):
    assert main(["prepare"]) == 0
    data, features = capsys.readouterr().out.splitlines()
    assert "60 drawn faces" in data
    table = faces.load_features(features.removeprefix("features: "))
    assert (len(table), str(table.columns[-1])) == (FACES, "f058")  # a component fewer than faces
    made = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.csv")}
    assert main(["prepare"]) == 0
    assert made == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.csv")}


@pytest.mark.slow
def test_report_of_a_folder_of_notebooks(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command_line, "NOTEBOOKS", tmp_path)
    code = "import os; print(2 * os.environ['HW1_SCALE'])"
    cells = [new_markdown_cell("# 1. Part"), new_code_cell(code)]
    nbformat.write(new_notebook(cells=cells), tmp_path / "01_part.ipynb")
    output = tmp_path / "page.html"
    assert main(["report", "--scale", "full", "--output", str(output), "--store"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(output)
    for words in ("60 drawn faces", "fullfull"):
        assert words in output.read_text(encoding="utf-8")
    assert nbformat.read(tmp_path / "01_part.ipynb", 4).cells[1].outputs


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["prepare", "--data", "no such place"], "no such place"),
        (["prepare", "--data", ""], "--data must name a folder or an archive"),
        (["report", "--store", "--data", "x"], "--store keeps pictures in the notebooks"),
        (["report", "--output", "a file/index.html"], "a file/index.html can't be written: "),
        (["reproduce", "--seeds", "0"], "--seeds must be a whole number >= 1, not 0"),
        (["reproduce", "--output", "a file"], "can't be written: "),
        (["verify", "width/63"], "NAME must be one of width/64, "),
        (["verify", "width/64", "--fold", "10"], "no network width/64, fold 10, seed 0 is"),
        (["verify", "--recording", "."], "the recording in . holds no faces' predictions"),
        ([*CONFIRM, "a file/x"], "a file/x can't be written: "),
        ([*CONFIRM, "a file"], "a file is there, and no file of this command: it is kept"),
    ],
)
@pytest.mark.usefixtures("nothing_long")
def test_what_is_wrong_is_one_line_on_stderr(arguments, said, capsys):
    assert main(arguments) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("hw1lib: ")
    assert said.replace("/", os.sep) in line


@pytest.mark.usefixtures("nothing_long")
def test_a_wrong_scale_and_jupyterlab_missing_are_said_first(monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert main(["lab"]) == 1
    assert capsys.readouterr().err == "hw1lib: JupyterLab is missing: pip install jupyterlab\n"
    monkeypatch.setenv("HW1_SCALE", "fulll")
    assert main(["prepare"]) == 1
    assert "HW1_SCALE must be one of full, quick, not 'fulll'" in capsys.readouterr().err


@pytest.mark.usefixtures("nothing_long")
def test_only_lab_takes_options_of_jupyter():
    with pytest.raises(SystemExit, match="2"):
        main(["prepare", "--port=8899"])


@pytest.mark.usefixtures("nothing_long")
@pytest.mark.parametrize("command", ["report", "lab"])
def test_without_notebooks_that_is_said_first(command, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command_line, "NOTEBOOKS", tmp_path / "notebooks")
    assert main([command]) == 1
    assert "an installed package has none; run this in a checkout" in capsys.readouterr().err


def test_ctrl_c_is_one_line(monkeypatch, capsys):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(standin, "make", interrupted)
    assert main(["prepare"]) == 130
    assert capsys.readouterr().err == "hw1lib: interrupted; what was finished is kept\n"


@pytest.mark.parametrize("name", ["фото".encode(), b"caf\xe9"])
def test_whatever_becomes_of_what_is_printed_the_work_is_done(name, tmp_path, monkeypatch):
    if sys.platform == "linux":  # elsewhere file names are text
        folder = tmp_path / os.fsdecode(name)
        standin.make(folder, 12, n_jobs=1, progress=False)
        monkeypatch.setenv("HW1_DATA", str(folder))
    readable, gone = os.pipe()
    os.close(readable)
    narrow = io.BytesIO()
    streams = [None, open(gone, "w"), io.TextIOWrapper(narrow, "cp1252")]  # noqa: SIM115
    for stream in streams:
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setattr(sys, "stderr", None if stream is None else io.StringIO())
        assert main(["prepare"]) == 0
    assert b"features: " in narrow.getvalue()


@pytest.mark.parametrize("given", ["--data", "HW1_DATA"])
@pytest.mark.parametrize(("user", "more"), [(0, ["--allow-root"]), (1000, [])])
def test_lab_gives_jupyter_what_it_needs(given, user, more, tmp_path, monkeypatch):
    monkeypatch.setattr(command_line, "prepare", lambda options: None)
    monkeypatch.setattr(os, "geteuid", lambda: user, raising=False)
    asked = []
    monkeypatch.setattr(LabApp, "launch_instance", asked.extend)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HW1_CACHE", "a cache")
    for name in ("MPLBACKEND", "JUPYTER_PATH"):
        monkeypatch.setenv(name, "another's")
    monkeypatch.setenv("PYTHONSTARTUP", "")
    monkeypatch.delenv("PYTHONSTARTUP")
    if given == "HW1_DATA":
        monkeypatch.setenv(given, "my faces")
    data = ["--data", "my faces"] if given == "--data" else []
    assert main(["lab", "--port=8899", *data]) == 0
    assert asked[0] == f"--notebook-dir={ROOT / 'notebooks'}"
    assert asked[-1 - len(more) :] == ["--port=8899", *more]
    settings = next(each for each in asked if "app_settings_dir" in each).partition("=")[2]
    assert (Path(settings) / "overrides.json").is_file()
    assert Path(os.environ["PYTHONSTARTUP"]).is_file()
    # notebooks run in a folder of their own
    assert os.environ["HW1_DATA"] == str(tmp_path / "my faces")
    assert os.environ["HW1_CACHE"] == str(tmp_path / "a cache")
    assert not {"MPLBACKEND", "JUPYTER_PATH"} & {*os.environ}


@pytest.mark.slow
def test_lab_opens_as_make_lab_opens_it(tmp_path):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipe = re.search(r"^lab:.*\n\t\$\(BIN\)/python (.*)$", makefile, re.MULTILINE)[1]
    places = dict.fromkeys(("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR"), str(tmp_path))
    environment = os.environ | places | {"BROWSER": "true"}  # a browser that opens nothing
    command = [sys.executable, *recipe.split()]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=environment, cwd=ROOT
    ) as server:
        try:
            assert any(
                re.search(r"http://.*/lab/tree/01_preprocess.ipynb\?token=", line)
                for line in server.stderr
            )
        finally:
            server.terminate()


def test_report_takes_a_number_with_or_without_its_zero_and_a_page_of_its_own(monkeypatch, capsys):
    built = []
    monkeypatch.setattr(command_line, "prepare", lambda options: None)
    monkeypatch.setattr(
        "hw1lib.show.report.build", lambda *given, **chosen: built.append((given[1], chosen))
    )
    assert main(["report", "6", "07"]) == 0
    assert built[0][0].name == "06-07.html"
    assert built[0][1]["numbers"] == ["06", "07"]
    assert main(["report", "11"]) == 1  # before anything is made
    assert "a notebook's number must be one of" in capsys.readouterr().err
