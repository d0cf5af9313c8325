"""Runs killed at random moments and started again, and several at once: as one undisturbed run.

``HW1_KILLS=20 python -m pytest tests/test_kills.py`` kills each of them so often.
"""

import contextlib
import errno
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hw1lib import files

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="processes fork otherwise there"),
]
KILLS = int(os.environ.get("HW1_KILLS", "1"))
EXPERIMENTS = """
from dataclasses import replace
from hw1lib import faces, study
short = {name: replace(study.EXPERIMENTS[name], epochs=40) for name in ("width/64", "race/64")}
runs = study.run(short, faces.open(progress=False), range(2), range(2), progress=False)
print(runs.drop(columns=["seconds", "curve", "predicted"]).to_csv())
"""


def started(folder: Path) -> subprocess.Popen:
    """Draw faces, make their features, train: in a process of its own."""
    settings = {"HW1_CACHE": str(folder), "HW1_FACES": "150", "HW1_DATA": "", "HW1_SCALE": "quick"}
    return subprocess.Popen(
        [sys.executable, "-c", EXPERIMENTS],
        env=os.environ | settings,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(folder: Path) -> tuple[str, dict]:
    """Run to the end; return what is printed, and the faces and their features."""
    process = started(folder)
    said, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    made = [path for path in folder.rglob("*") if path.suffix in (".csv", ".jpg")]
    contents = {str(path.relative_to(folder)): path.read_bytes() for path in made}
    return said, contents


def test_killed_and_started_again(tmp_path):
    start = time.monotonic()
    expected = finished(tmp_path / "undisturbed")
    seconds = time.monotonic() - start
    folder, rng = tmp_path / "killed", random.Random()
    for _ in range(KILLS):
        with started(folder) as process:  # and don't wait for those that it has started
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(rng.uniform(0.1, 0.9) * seconds)
            if rng.random() < 0.5:  # the command alone, whose processes live on for a while
                process.kill()
            else:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
    done = [p for p in folder.rglob("*") if p.is_file() and "/." not in str(p)]
    done = {path.stat().st_ino for path in done}
    assert finished(folder) == expected
    there = {path.stat().st_ino for path in folder.rglob("*") if path.is_file()}
    assert done <= there  # what was finished is not made again


# A run that fills a folder with 40 files, and says in the log which it writes. It stops in the
# midst of one of them, until it is killed or a file named "go" appears beside the log.
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
    command = [sys.executable, "-c", RUN, folder, log, str(stop)]
    run = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while stop >= 0 and not (log.exists() and f"{stop}" in log.read_text().split()):
        assert run.poll() is None
        time.sleep(0.01)
    return run


def entries(folder):
    return sorted(path.name for path in folder.iterdir())


def assert_whole(folder):
    assert entries(folder) == sorted(f"{i}.txt" for i in range(40))
    assert all((folder / f"{i}.txt").stat().st_size == 4000 for i in range(40))


def test_what_a_killed_run_left_is_thrown_away(tmp_path):
    folder, log = tmp_path / "out" / "set[1].x", tmp_path / "log"  # brackets are patterns
    others = [".set[1].x.y.01234567.partial", ".set1.x.01234567.partial", ".set[1].x"]
    for other in others:  # another folder's
        (folder.parent / other).mkdir(parents=True)
    run = start(folder, log, stop=30)
    run.kill()
    run.communicate()
    assert not folder.exists()
    assert start(folder, log).communicate()[1] == ""
    assert_whole(folder)
    assert entries(folder.parent) == sorted([folder.name, *others])  # no lock, nothing partial


@pytest.mark.parametrize("hangs", [False, True])
def test_of_two_runs_at_once_one_waits(tmp_path, hangs):
    folder, log, go = tmp_path / "faces", tmp_path / "log", tmp_path / "go"
    first = start(folder, log, stop=20)
    second = start(folder, log)
    said = second.stderr.readline()
    assert said.startswith(f"waiting for another run that is writing {folder}; ")
    if hangs:  # as if on another machine, whose lock the disk never frees
        Path(re.search(r"delete (.*), and", said)[1]).unlink()
        second.wait()
        assert_whole(folder)
    go.touch()
    assert [run.communicate()[1] for run in (first, second)] == ["", ""]
    assert first.returncode == second.returncode == 0
    assert len(log.read_text().split()) == (61 if hangs else 40)
    assert_whole(folder)
    assert entries(tmp_path) == ["faces", "go", "log"]


def forked(*actions) -> list[int]:
    """Run each action in a process of its own; return their exit statuses."""
    children = []
    for action in actions:
        if (child := os.fork()) == 0:
            with contextlib.suppress(BaseException):
                action()
                os._exit(0)
            os._exit(1)
        children.append(child)
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

    def no_locks(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    if not locks:
        monkeypatch.setattr("fcntl.flock", no_locks)
    assert forked(*[many] * 8) == [0] * 8
    written = len((tmp_path / "log").read_text())
    assert written == 20 if locks else 20 <= written <= 160
    assert all((tmp_path / f"{i}" / "file").read_text() == "whole" for i in range(20))
    assert entries(tmp_path) == sorted(["log", *map(str, range(20))])


def test_of_many_who_write_one_file_a_reader_sees_one(tmp_path):
    path = files.write_text(tmp_path / "file", "-" * 300_000)

    def writes(letter):
        for _ in range(50):
            files.write_text(path, letter * 300_000)

    def reads():
        contents = [path.read_text() for _ in range(100)]
        assert all(len(text) == 300_000 and len(set(text)) == 1 for text in contents)

    def is_killed():
        files.write_atomically(path, lambda temporary: os._exit(9))

    assert forked(lambda: writes("a"), lambda: writes("b"), reads, is_killed) == [0, 0, 0, 9]
    assert entries(tmp_path)[-1] == "file"
