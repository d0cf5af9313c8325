"""Commands killed at random moments and started again: the files of an undisturbed run, and nothing done twice.

``HW1_KILLS=20 python -m pytest tests/test_kills.py`` kills each of them so often, on more faces.
"""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

KILLS = int(os.environ.get("HW1_KILLS", "1"))
MANY = KILLS > 1
SMALL_REPORT = (
    "import pathlib, sys; from hw1lib.show import report; report.build(*map(pathlib.Path, sys.argv[1:]), facts={})"
)
SMALL_RECORD = """
import sys
from dataclasses import replace
from hw1lib.study.experiments import EXPERIMENTS, run
names = {name: replace(EXPERIMENTS[name], epochs=40) for name in ("width/64", "depth/64-16", "race/64")}
run(names, None, range(4), save=sys.argv[1], progress=False)
"""
COMMANDS = {
    "prepare": lambda folder: ["-m", "hw1lib", "prepare"],
    "experiments": lambda folder: ["-c", SMALL_RECORD, folder / "out" / "results.json"],
    "notebooks": lambda folder: ["-c", SMALL_REPORT, folder / "notebooks", folder / "out" / "index.html"],
}
if MANY:
    COMMANDS["reproduce"] = lambda folder: ["-m", "hw1lib", "reproduce", "--seeds=1", f"--output={folder}/out/it.json"]
    COMMANDS["report"] = lambda folder: ["-m", "hw1lib", "report", f"--output={folder}/out/index.html"]


def make(folder: Path) -> Path:
    """Make the folder with the notebooks that are reported on."""
    (folder / "notebooks").mkdir(parents=True)
    (folder / "out").mkdir()
    for i in (1, 2):
        cells = [new_markdown_cell(f"# {i}. Part", id="a"), new_code_cell("print(6 * 7)", id="b")]
        nbformat.write(new_notebook(cells=cells), folder / "notebooks" / f"0{i}_part.ipynb")
    return folder


def started(command: str, folder: Path) -> subprocess.Popen:
    environment = os.environ | {"HW1_CACHE": str(folder / "cache"), "HW1_FACES": "1200" if MANY else "150"}
    environment |= {"HW1_DATA": "", "HW1_SCALE": "quick"}
    arguments = map(str, COMMANDS[command](folder))
    return subprocess.Popen(
        [sys.executable, *arguments], env=environment, start_new_session=True, stderr=subprocess.PIPE, text=True
    )


def finished(command: str, folder: Path) -> dict[str, object]:
    """Run to the end; return the content of every file."""
    process = started(command, folder)
    said = process.communicate(timeout=600)[1]
    assert process.returncode == 0, said
    return {str(path.relative_to(folder)): content(path) for path in found(folder)}


def found(folder: Path) -> list[Path]:
    """Return all files but the index of the data, which is named by its folder."""
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and path.parent.name != "index"]


def content(path: Path):
    if path.suffix == ".json":  # without the times that training took
        return json.loads(path.read_text(), object_hook=lambda d: {k: v for k, v in d.items() if k != "seconds"})
    if path.suffix == ".html":  # in it, a search for settings and a network show the seconds that they took
        return re.sub(r"<td>(0\.\d+|\{'me.*|History.*)</td>", "", path.read_text(encoding="utf-8"))
    return path.read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise there")
@pytest.mark.parametrize("command", COMMANDS)
def test_killed_and_started_again(command, tmp_path):
    start = time.monotonic()
    expected = finished(command, make(tmp_path / "undisturbed"))
    seconds = time.monotonic() - start
    folder, rng, kills = make(tmp_path / "killed"), random.Random(), 0
    while kills < KILLS:
        process = started(command, folder)
        try:
            process.wait(rng.uniform(0.1, 0.9) * seconds)
            shutil.rmtree(folder / "cache", ignore_errors=True)  # it was faster than that: once more, from nothing
        except subprocess.TimeoutExpired:
            kills += 1
            if rng.random() < 0.5:  # the command alone, whose processes may live on for a while; or all at once
                process.kill()
            else:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        process.stderr.close()
    done = {path.stat().st_ino: path for path in found(folder / "cache") if not path.name.startswith(".")}
    assert finished(command, folder) == expected
    there = {path.stat().st_ino for path in found(folder / "cache")}  # under its old name, or in a renamed folder
    assert not [path for file, path in done.items() if file not in there]
