"""Running the notebooks for the report, with kernels: what is kept, and what if something fails."""

import asyncio
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
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from hw1lib.checks import FileError
from hw1lib.faces import standin
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
    failures = running.run_notebooks(notebooks, lambda path: None, progress=False)
    return [notebooks[path] for path in paths], failures


@pytest.mark.slow
def test_build_runs_the_numbered_notebooks_in_order_and_stores_them(tmp_path):
    write(tmp_path, "02_b.ipynb", "!# 2. Second", "import os; print(os.path.exists('01_a.ipynb'))")
    write(
        tmp_path,
        "01_a.ipynb",
        "!# 1. First",
        "import matplotlib.pyplot as plt\nfrom tqdm.auto import tqdm\nfrom hw1lib import show\n"
        "for _ in tqdm(range(3)): pass\n"
        "show.figure(plt.subplots()[0], 'Fig. 2.1: a *figure*.')",
        "import ipywidgets\nipywidgets.interact(lambda k: print('k is', k), k=(1, 9));",
    )
    write(tmp_path, "scratch.ipynb", "1 / 0")
    output = tmp_path / "out" / "index.html"
    facts = {"Data": "\udce9"}  # of a path that is no UTF-8

    async def cell():  # as in a notebook, where an event loop is running
        return report.build(tmp_path, output, store=True, progress=False, facts=facts)

    assert asyncio.run(cell()) == output
    soup = BeautifulSoup(output.read_text(encoding="utf-8"), "html.parser")
    assert soup.header.dd.text == "\\udce9"
    assert [a.text for a in soup.select(".contents a")] == ["1. First", "2. Second"]
    assert soup.figcaption.text.strip() == "Fig. 2.1: a figure."
    assert "k is 5" in soup.main.text
    assert "True" in soup.main.text  # the kernel runs in the notebooks' folder
    assert "%|" not in soup.main.text
    assert [path.name for path in output.parent.iterdir()] == ["index.html"]

    stored = nbformat.read(tmp_path / "01_a.ipynb", as_version=4)
    counts = [cell.execution_count for cell in stored.cells if cell.cell_type == "code"]
    assert counts == [1, 2]
    assert "version" not in stored.metadata.language_info
    text = (tmp_path / "01_a.ipynb").read_text(encoding="utf-8")
    assert "Fig. 2.1" in text
    for noise in ("widget-view", "widget-state", "iopub", "%|"):
        assert noise not in text
    assert "ZeroDivisionError" not in (tmp_path / "scratch.ipynb").read_text(encoding="utf-8")


@pytest.mark.slow
def test_notebooks_run_side_by_side_and_share_the_cores(tmp_path, monkeypatch):
    monkeypatch.setattr(running.joblib, "cpu_count", lambda: 2)
    source = (
        "import pathlib, time, joblib\nme, other = {!r}, {!r}\npathlib.Path(me).touch()\n"
        "while not pathlib.Path(other).exists(): time.sleep(0.05)\n"
        "print(joblib.effective_n_jobs(-1))"
    )
    first = write(tmp_path, "01_a.ipynb", source.format("a", "b"))
    second = write(tmp_path, "05_b.ipynb", source.format("b", "a"))
    notebooks, failures = run(first, second)
    assert failures == {}
    assert [notebook.cells[0].outputs[0].text for notebook in notebooks] == ["1\n", "1\n"]
    assert sorted([first, second], key=running._rank) == [second, first]  # the longest first


@pytest.mark.slow
def test_a_kernel_is_this_python_with_our_figures_whatever_a_user_has_set(tmp_path, monkeypatch):
    spec = tmp_path / "jupyter" / "kernels" / "python3" / "kernel.json"
    spec.parent.mkdir(parents=True)
    spec.write_text(json.dumps({"argv": ["/deleted/python"], "display_name": "P"}))
    settings = "text.usetex: True\nfont.family: No Such Font\n"
    (tmp_path / "jupyter" / "matplotlibrc").write_text(settings)
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("MATPLOTLIBRC", str(tmp_path / "jupyter"))
    monkeypatch.setenv("MPLBACKEND", "tkagg")
    python = "import sys; print(sys.executable)"
    path = write(tmp_path, "01_a.ipynb", python, "import matplotlib.pyplot as plt; plt.plot([1]);")
    (notebook,), failures = run(path)
    assert failures == {}
    assert notebook.cells[0].outputs[0].text.strip() == sys.executable
    (output,) = notebook.cells[1].outputs  # the figure alone
    assert "image/png" in output.data


@pytest.mark.slow
def test_a_kernel_that_dies_at_its_start_is_told_and_the_others_run(tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "ipykernel_launcher.py").write_text("raise SystemExit(1)")
    bad = write(tmp_path / "bad", "01_a.ipynb", "!# 1. First", "1")
    good = write(tmp_path, "02_b.ipynb", "!# 2. Second", "6 * 7")
    notebooks, failures = run(bad, good)
    assert list(failures) == [bad]
    assert failures[bad].startswith("no kernel started: Kernel died")
    soup = BeautifulSoup(report.to_html(notebooks), "html.parser")
    told, result = (pre.text.strip() for pre in soup.select("pre.output"))
    assert told.startswith("no kernel started")
    assert result == "42"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def f(x):\n    return x / 0\nf(1)", "ZeroDivisionError: division by zero"),
        ("import os\nos._exit(1)", "Kernel died"),
    ],
)
def test_a_failing_notebook_is_shown_as_far_as_it_came_and_the_others_whole(tmp_path, source, said):
    before = new_output("stream", text="stored before")
    never = new_code_cell("print('never')", execution_count=3, outputs=[before])
    ran = [new_code_cell(each) for each in ("print('until here')", "", source)]
    first = new_notebook(cells=[new_markdown_cell("# 1. First"), *ran, never])
    nbformat.write(first, tmp_path / "01_a.ipynb")
    write(tmp_path, "02_b.ipynb", "!# 2. Second", "print(6 * 7)")
    stored = (tmp_path / "01_a.ipynb").read_bytes()
    output = tmp_path / "index.html"
    failed = rf"1 of 2 notebooks failed.*\n01_a\.ipynb, cell \[2\]: {said}"
    with pytest.raises(RuntimeError, match=failed):
        report.build(tmp_path, output, store=True, progress=False, facts={})
    soup = BeautifulSoup(output.read_text(encoding="utf-8"), "html.parser")
    assert soup.header.dd.text.startswith(f"01_a.ipynb, cell [2]: {said}")
    printed = [pre.text.strip() for pre in soup.select("pre.output:not(.stderr)")]
    assert printed == ["until here", "42"]
    (error,) = soup.select("pre.stderr")
    assert source.splitlines()[-1] in error.find_previous("pre").text  # in its place
    assert said in error.text
    assert ("return x / 0" in error.text) == ("f(x)" in source)  # a real error keeps its traceback
    assert "\x1b" not in soup.text
    assert (tmp_path / "01_a.ipynb").read_bytes() == stored
    assert nbformat.read(tmp_path / "02_b.ipynb", 4).cells[1].outputs[0].text == "42\n"
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("HW1_DATA", "no such place", "FileError: there is nothing at no such place"),
        ("HW1_DATA", "01_a.ipynb", "UserError: 01_a.ipynb: damaged"),
        ("HW1_CACHE", "01_a.ipynb/cache", "FileError: .*01_a.ipynb"),
        ("HW1_FACES", "many", "UserError: HW1_FACES must be a whole number >= 1, not 'many'"),
    ],
)
def test_what_settings_can_mend_is_one_sentence_without_a_traceback(
    tmp_path, monkeypatch, name, value, said
):
    monkeypatch.setenv(name, value)
    path = write(tmp_path, "01_a.ipynb", "from hw1lib import faces\nfaces.open(progress=False)")
    (notebook,), failures = run(path)
    assert re.match(rf"cell \[1\]: {said}", failures[path])
    (error,) = notebook.cells[0].outputs
    (line,) = error.traceback
    assert re.match(said, line)


def test_a_page_that_cannot_be_made_leaves_the_old_one(tmp_path, monkeypatch):
    write(tmp_path, "01_a.ipynb", "!# 1. First")
    output = tmp_path / "index.html"
    output.write_text("the old page")
    monkeypatch.setattr(report, "to_html", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        report.build(tmp_path, output, progress=False, facts={})
    assert output.read_text() == "the old page"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["01_a.ipynb", "index.html"]


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
    for text in ("{", "[]", '{"a": 1}'):
        (tmp_path / "01_a.ipynb").write_text(text)
        with pytest.raises(FileError, match=r"01_a\.ipynb: not a notebook"):
            report.build(tmp_path, tmp_path / "index.html", progress=False, facts={})


@pytest.mark.slow
def test_the_title_block_says_which_data_without_the_path(tmp_path, monkeypatch):
    monkeypatch.setenv("HW1_FACES", "12")
    monkeypatch.setenv("HW1_SCALE", "quick")
    facts = report.this_run()
    data = "The embedded stand-in, 12 drawn faces; 0 files set aside"
    assert facts["Data of this run"].startswith(data)
    assert "no results" in facts["Note"]
    assert facts["Scale"].startswith("quick")

    folder = standin.make(tmp_path / "UTK", 12, progress=False)  # as if they were real
    monkeypatch.setenv("HW1_DATA", str(folder))
    monkeypatch.setenv("HW1_SCALE", "full")
    facts = report.this_run()
    assert facts["Data of this run"].startswith("UTK, 12 faces; 0 files set aside")
    assert "Note" not in facts
    assert str(tmp_path) not in str(facts)
    assert facts["Scale"].startswith("full")
