"""Runs killed at random moments and started again, and several at once: the files of one undisturbed run.

``HW1_KILLS=20 python -m pytest tests/test_kills.py`` kills each of them so often, on more faces.
"""

import contextlib
import errno
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

from hw1lib import files

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="processes fork, and signals are sent, otherwise there"),
]
KILLS = int(os.environ.get("HW1_KILLS", "1"))
MANY = KILLS > 1
SMALL_REPORT = (
    "import pathlib, sys; from hw1lib.show import report; report.build(*map(pathlib.Path, sys.argv[1:]), facts={})"
)
SMALL_RECORD = """
import sys
from dataclasses import replace
from hw1lib.study.experiments import EXPERIMENTS, run
names = {name: replace(EXPERIMENTS[name], epochs=40) for name in ("width/64", "width/64/training-pca", "race/64")}
run(names, None, range(2), range(2), save=sys.argv[1], progress=False)
"""
COMMANDS = {
    "prepare": lambda folder: ["-m", "hw1lib", "prepare"],
    "experiments": lambda folder: ["-c", SMALL_RECORD, folder / "out" / "results.json"],
    "notebooks": lambda folder: ["-c", SMALL_REPORT, folder / "notebooks", folder / "out" / "index.html"],
}
if MANY:
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
    done = {path.stat().st_ino: path for path in found(folder / "cache") if "/." not in str(path.relative_to(folder))}
    assert finished(command, folder) == expected
    there = {path.stat().st_ino for path in found(folder / "cache")}  # under its old name, or in a renamed folder
    assert not [path for file, path in done.items() if file not in there]


# A run that fills a folder with 40 files, and says in the log which it writes. It stops in the midst of one of them,
# until it is killed or a file named "go" appears beside the log.
RUN = """
import sys, time
from pathlib import Path
from hw1lib.files import make_folder

folder, log, stop = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])

def fill(partial):
    for i in range(40):
        (partial / f"{i}.txt").write_bytes(b"half")
        with log.open("a") as file:
            file.write(f"{i}\\n")
        while i == stop and not log.with_name("go").exists():
            time.sleep(0.01)
        (partial / f"{i}.txt").write_bytes(b"0123456789" * 400)

make_folder(folder, fill)
"""


def start(folder, log, stop=-1):
    """Start a run in a process of its own; wait until it stops in file number ``stop``, if any."""
    run = subprocess.Popen([sys.executable, "-c", RUN, folder, log, str(stop)], stderr=subprocess.PIPE, text=True)
    while stop >= 0 and not (log.exists() and f"{stop}\n" in log.read_text().splitlines(keepends=True)):
        assert run.poll() is None
        time.sleep(0.01)
    return run


def entries(folder):
    return sorted(path.name for path in folder.iterdir())


def assert_whole(folder):
    assert entries(folder) == sorted(f"{i}.txt" for i in range(40))
    assert all((folder / f"{i}.txt").stat().st_size == 4000 for i in range(40))


def test_what_a_killed_run_left_is_thrown_away(tmp_path):
    folder, log = tmp_path / "out" / "set[1].x", tmp_path / "log"  # brackets mean something in file patterns
    others = [
        folder.parent / name for name in (".set[1].x.y.01234567.partial", ".set1.x.01234567.partial", ".set[1].x")
    ]
    for other in others:  # another folder's
        other.mkdir(parents=True)
    for stop in (3, 30):
        run = start(folder, log, stop)
        run.send_signal(signal.SIGKILL)
        run.communicate()
        assert not folder.exists()
        log.unlink()
    run = start(folder, log)
    assert run.communicate()[1] == ""
    assert_whole(folder)
    assert entries(folder.parent) == sorted(
        [folder.name, *(other.name for other in others)]
    )  # no lock, nothing partial
    assert log.read_text().split() == [str(i) for i in range(40)]


def test_of_two_runs_at_once_one_waits_and_finds_it_done(tmp_path):
    folder, log = tmp_path / "faces", tmp_path / "log"
    first = start(folder, log, stop=20)
    second = start(folder, log)
    said = second.stderr.readline()
    assert said == (
        f"waiting for another run that is writing {folder}; if there is none, on another machine either, "
        f"delete {tmp_path / '.faces.lock'}, and this run goes on\n"
    )
    (tmp_path / "go").touch()
    assert [run.communicate()[1] for run in (first, second)] == ["", ""]
    assert first.returncode == second.returncode == 0
    assert log.read_text().split() == [str(i) for i in range(40)]  # each file was written once
    assert_whole(folder)
    assert entries(tmp_path) == ["faces", "go", "log"]


def test_a_run_that_waits_goes_on_when_the_lock_file_is_deleted_as_it_says(tmp_path):
    folder, log = tmp_path / "faces", tmp_path / "log"
    hanging = start(folder, log, stop=20)  # as if on another machine, whose lock the disk never frees
    second = start(folder, log)
    Path(re.search(r"delete (.*), and", second.stderr.readline())[1]).unlink()
    assert second.communicate()[1] == ""
    assert_whole(folder)
    (tmp_path / "go").touch()
    hanging.communicate()
    assert_whole(folder)
    assert entries(tmp_path) == ["faces", "go", "log"]


def forked(*actions) -> list[int]:
    """Start each action in a process of its own."""
    children = []
    for action in actions:
        if (child := os.fork()) == 0:
            with contextlib.suppress(BaseException):
                action()
                os._exit(0)
            os._exit(1)
        children.append(child)
    return children


def statuses(children) -> list[int]:
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


@pytest.mark.parametrize("locks", [True, False], ids=["with locks", "on a disk without"])
def test_many_runs_at_once(tmp_path, monkeypatch, locks):
    def fill(partial):
        with (tmp_path / "log").open("a") as file:
            file.write("x")
        (partial / "file").write_text("whole")

    def many():
        for i in range(20):
            files.make_folder(tmp_path / f"{i}", fill)

    if not locks:
        monkeypatch.setattr("fcntl.flock", no_locks)
    assert statuses(forked(*[many] * 8)) == [0] * 8
    assert len((tmp_path / "log").read_text()) == 20 if locks else 20 <= len((tmp_path / "log").read_text()) <= 160
    assert all((tmp_path / f"{i}" / "file").read_text() == "whole" for i in range(20))
    assert entries(tmp_path) == sorted(["log", *map(str, range(20))])


def no_locks(*_):
    raise OSError(errno.ENOLCK, "No locks available")


@pytest.mark.parametrize("locks", [True, False], ids=["with locks", "on a disk without"])
def test_many_write_one_file_at_once(tmp_path, monkeypatch, locks):
    """A reader never sees a mixture of two writers, nor a part of what one wrote."""
    path = tmp_path / "file"
    files.write_atomically(path, lambda temporary: temporary.write_bytes(b"-" * 300_000))

    def writes(letter):
        for _ in range(50):
            files.write_atomically(path, lambda temporary: temporary.write_bytes(letter * 300_000))

    if not locks:
        monkeypatch.setattr("fcntl.flock", no_locks)
    children = forked(lambda: writes(b"a"), lambda: writes(b"b"))
    seen = [path.read_bytes() for _ in range(100)]
    assert statuses(children) == [0, 0]
    assert all(len(content) == 300_000 and len(set(content)) == 1 for content in seen)
    assert entries(tmp_path) == ["file"]


def test_a_file_whose_writer_is_killed(tmp_path):
    def stop(temporary):
        temporary.write_text("half of a long file")
        os._exit(9)

    path = tmp_path / "new" / "file"
    assert statuses(forked(lambda: files.write_atomically(path, stop))) == [9]
    assert not path.exists()
    assert len(entries(path.parent)) == 2  # the half file, and a lock that nobody holds
    files.write_atomically(path, lambda temporary: temporary.write_text("whole"))
    assert entries(path.parent) == ["file"]
    assert path.read_text() == "whole"
