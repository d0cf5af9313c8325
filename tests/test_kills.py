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


def entries(folder):
    return sorted(path.name for path in folder.iterdir())


def wait_for(condition):
    while not condition():
        time.sleep(0.01)


def fill(partial):
    (partial / "file").write_text("whole")


def test_what_a_killed_run_left_is_thrown_away(tmp_path):
    def is_killed(partial):
        (partial / "file").write_text("half")
        os._exit(9)

    folder = tmp_path / "set[1].x"  # brackets mean something in file patterns
    others = [".set[1].x.y.01234567.partial", ".set1.x.01234567.partial", ".set[1].x"]
    for other in others:  # another folder's
        (tmp_path / other).mkdir()
    assert statuses(forked(lambda: files.make_folder(folder, is_killed))) == [9]
    assert not folder.exists()
    files.make_folder(folder, fill)
    assert (folder / "file").read_text() == "whole"
    assert entries(tmp_path) == sorted([folder.name, *others])  # no lock, nothing partial


def test_who_waits_goes_on_when_the_lock_is_deleted(tmp_path, monkeypatch):
    """As it says, if the other run is on another machine, whose lock the disk never frees."""
    folder, started, go, said = (tmp_path / name for name in ("faces", "started", "go", "said"))
    monkeypatch.setattr(files, "PATIENCE", 0.1)

    def hangs(partial):
        (partial / "file").write_text("half")
        started.touch()
        wait_for(go.exists)

    def second():
        sys.stderr = said.open("w", buffering=1)
        files.make_folder(folder, fill)

    first = forked(lambda: files.make_folder(folder, hangs))
    wait_for(started.exists)
    other = forked(second)
    wait_for(lambda: said.exists() and said.read_text().endswith("\n"))
    assert f"waiting for another run that is writing {folder}; if there is none" in said.read_text()
    Path(re.search(r"delete (.*), and", said.read_text())[1]).unlink()
    assert statuses(other) == [0]
    go.touch()
    assert statuses(first) == [0]
    assert (folder / "file").read_text() == "whole"
    assert entries(tmp_path) == ["faces", "go", "said", "started"]


@pytest.mark.parametrize("locks", [True, False], ids=["with locks", "on a disk without"])
def test_many_runs_at_once(tmp_path, monkeypatch, locks):
    def fill_and_say(partial):
        with (tmp_path / "log").open("a") as file:
            file.write("x")
        fill(partial)

    def many():
        for i in range(20):
            files.make_folder(tmp_path / f"{i}", fill_and_say)

    def no_locks(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    if not locks:
        monkeypatch.setattr("fcntl.flock", no_locks)
    assert statuses(forked(*[many] * 8)) == [0] * 8
    written = len((tmp_path / "log").read_text())
    assert written == 20 if locks else 20 <= written <= 160
    assert all((tmp_path / f"{i}" / "file").read_text() == "whole" for i in range(20))
    assert entries(tmp_path) == sorted(["log", *map(str, range(20))])
