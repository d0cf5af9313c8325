"""Running the notebooks for the report, with kernels: what is kept, and what if something fails."""

import asyncio
import functools
import json
import os
import re
import signal
import subprocess
import sys
import time

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from hw1lib.checks import FileError
from hw1lib.show import report, running


def write(folder, name, *sources):
    """Write a notebook, and return its path; what begins with "!" is text."""
    cells = [
        new_markdown_cell(source[1:]) if source.startswith("!") else new_code_cell(source)
        for source in sources
    ]
    nbformat.write(new_notebook(cells=cells), folder / name)
    return folder / name


def run(*paths):
    """Return notebooks as run, and which of them failed."""
    notebooks = {path: running.read_notebook(path) for path in paths}
    failures = running.run_notebooks(notebooks)
    return [notebooks[path] for path in paths], failures


@pytest.mark.slow
def test_build_runs_the_numbered_notebooks_side_by_side_and_stores_them(tmp_path, monkeypatch):
    monkeypatch.setattr(running.joblib, "cpu_count", lambda: 2)
    meet = (
        "import pathlib, time, joblib\nme, other = {!r}, {!r}\npathlib.Path(me).touch()\n"
        "while not pathlib.Path(other).exists(): time.sleep(0.05)\n"
        "print('cores', joblib.effective_n_jobs(-1))"
    )
    figure = (
        "import matplotlib.pyplot as plt\nfrom tqdm.auto import tqdm\nfrom hw1lib import show\n"
        "for _ in tqdm(range(3)): pass\n"
        "show.figure(plt.subplots()[0], 'Fig. 2.1: a *figure*.')"
    )
    widget = "import ipywidgets\nipywidgets.interact(lambda k: print('k is', k), k=(1, 9));"
    first = write(tmp_path, "01_a.ipynb", "!# 1. First", meet.format("a", "b"), figure, widget)
    write(tmp_path, "02_b.ipynb", "!# 2. Second", meet.format("b", "a"))
    write(tmp_path, "scratch.ipynb", "1 / 0")
    output = tmp_path / "out" / "index.html"
    facts = {"Data": "\udce9"}  # of a path that is no UTF-8

    async def cell():  # as in a notebook, where an event loop is running
        return report.build(tmp_path, output, store=True, facts=facts)

    assert asyncio.run(cell()) == output
    soup = BeautifulSoup(output.read_text(encoding="utf-8"), "html.parser")
    assert soup.footer.dd.text == "\\udce9"
    assert [a.text for a in soup.select(".contents a")] == ["1. First", "2. Second"]
    assert soup.figcaption.text.strip() == "Fig. 2.1: a figure."
    assert "k is 5" in soup.main.text
    assert soup.main.text.count("cores 1\n") == 2
    stored = first.read_text(encoding="utf-8")
    counts = [cell.execution_count for cell in nbformat.reads(stored, 4).cells[1:]]
    assert counts == [1, 2, 3]
    build = functools.partial(report.build, tmp_path, output, facts={})
    build(numbers=["01"], figures=tmp_path / "figures")
    assert "First" in output.read_text(encoding="utf-8")
    assert "Second" not in output.read_text(encoding="utf-8")
    (drawn,) = (tmp_path / "figures").iterdir()
    assert drawn.name == "01-01 Fig. 2.1.png"
    assert drawn.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="each notebook's number must be one of 01, 02, not '07'"):
        build(numbers=["07"])
    for noise in ("widget-view", "widget-state", "iopub", "%|"):
        assert noise not in stored


@pytest.mark.slow
def test_a_kernel_is_this_python_with_our_figures_whatever_a_user_has_set(tmp_path, monkeypatch):
    mine = tmp_path / "jupyter"
    spec = mine / "kernels" / "python3" / "kernel.json"
    spec.parent.mkdir(parents=True)
    spec.write_text(json.dumps({"argv": ["/deleted/python"], "display_name": "P"}))
    (mine / "matplotlibrc").write_text("text.usetex: True\nfont.family: No Such Font\n")
    for name in ("JUPYTER_PATH", "MATPLOTLIBRC", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(mine))
    monkeypatch.setenv("MPLBACKEND", "tkagg")
    monkeypatch.setenv("PYTHONOPTIMIZE", "1")  # which passes over asserts
    python = "import sys; print(sys.executable, __debug__)"
    path = write(tmp_path, "01_a.ipynb", python, "import matplotlib.pyplot as plt; plt.plot([1]);")
    (notebook,), failures = run(path)
    assert failures == {}
    assert notebook.cells[0].outputs[0].text.strip() == f"{sys.executable} True"
    (output,) = notebook.cells[1].outputs  # the figure alone
    assert "image/png" in output.data
    assert {path.name for path in mine.iterdir()} == {"kernels", "matplotlibrc"}  # no profile


@pytest.mark.slow
def test_failing_notebooks_are_shown_as_far_as_they_came_and_the_others_whole(tmp_path):
    never = "print('never')"
    divided = "def f(x):\n    return x / 0\nf(1)"
    first = write(tmp_path, "01_a.ipynb", "!# 1. First", "print('until here')", "", divided, never)
    write(tmp_path, "02_b.ipynb", "!# 2. Second", "import os\nos._exit(1)", never)
    last = write(tmp_path, "03_c.ipynb", "!# 3. Third", "print(6 * 7)")
    stored = first.read_bytes()
    output = tmp_path / "index.html"
    failed = (
        r"2 of 3 notebooks failed.*\n01_a\.ipynb, cell \[2\]: ZeroDivisionError: division by zero"
        r"\n02_b\.ipynb, cell \[1\]: Kernel died"
    )
    with pytest.raises(RuntimeError, match=failed):
        report.build(tmp_path, output, store=True, facts={})
    soup = BeautifulSoup(output.read_text(encoding="utf-8"), "html.parser")
    assert soup.footer.dd.text.startswith("01_a.ipynb, cell [2]: ZeroDivisionError")
    printed = [pre.text.strip() for pre in soup.select("pre.output:not(.stderr)")]
    assert printed == ["until here", "42"]
    divided, died = soup.select("pre.stderr")
    assert "return x / 0" in divided.text  # with its traceback, and in its place:
    assert "return x / 0" in divided.find_previous("pre").text
    assert "os._exit(1)" in died.find_previous("pre").text
    assert "\x1b" not in soup.text
    assert first.read_bytes() == stored
    assert nbformat.read(last, 4).cells[1].outputs[0].text == "42\n"


@pytest.mark.slow
def test_a_kernel_that_dies_at_its_start_is_told_and_the_others_run(tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "ipykernel_launcher.py").write_text("raise SystemExit(1)")
    bad = write(tmp_path / "bad", "01_a.ipynb", "1")
    good = write(tmp_path, "02_b.ipynb", "6 * 7")
    (failed, ran), failures = run(bad, good)
    assert list(failures) == [bad]
    assert failures[bad].startswith("no kernel started: Kernel died")
    assert failed.cells[0].outputs[0].traceback == [failures[bad]]
    assert ran.cells[0].outputs[0].data["text/plain"] == "42"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise there")
def test_ctrl_c_stops_the_kernel_and_leaves_the_old_page(tmp_path):
    sleep = (
        "import os, pathlib, time\npathlib.Path('pid').write_text(str(os.getpid()))\n"
        "pathlib.Path('pid').rename('started')\ntime.sleep(300)"
    )
    write(tmp_path, "01_a.ipynb", "!# 1. First", sleep)
    output = tmp_path / "index.html"
    output.write_text("the old page")
    program = "import sys; from hw1lib.show import report; report.build(*sys.argv[1:], facts={})"
    command = [sys.executable, "-c", program, str(tmp_path), str(output)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while not (tmp_path / "started").exists():
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[1]
    assert process.returncode != 0
    assert said.strip().endswith("KeyboardInterrupt")  # what python -m hw1lib tells in one line
    assert output.read_text() == "the old page"
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "started").read_text()), 0)


def test_errors_name_what_is_missing_or_damaged(tmp_path):
    with pytest.raises(FileError, match=re.escape(str(tmp_path))):
        report.build(tmp_path, tmp_path / "index.html")
    (tmp_path / "01_a.ipynb").write_text('{"a": 1}')
    with pytest.raises(FileError, match=r"01_a\.ipynb: not a notebook"):
        report.build(tmp_path, tmp_path / "index.html", facts={})


@pytest.mark.parametrize(
    ("drawn", "scale", "data"),
    [
        (True, "quick", "The stand-in, 3 drawn faces; 1 files"),
        (False, "full", "UTK, 3 faces; 1 files"),
    ],
)
def test_the_title_block_says_which_data_without_the_path(monkeypatch, drawn, scale, data):
    class Faces(list):
        source = "the stand-in, 3 drawn faces" if drawn else "/home/me/UTK"
        skipped, fingerprint = ["a.jpg"], "f"

    ds = Faces("abc")
    ds.drawn = drawn
    monkeypatch.setattr(report.faces, "open", lambda: ds)
    monkeypatch.setenv("HW1_SCALE", scale)
    facts = report.this_run()
    assert facts["Data of this run"].startswith(data)
    assert ("Note" in facts) == drawn
    assert facts["Scale"].startswith(scale)
