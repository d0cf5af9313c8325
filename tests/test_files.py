"""Files and folders are written whole or not at all, whoever else writes and whenever a run is killed."""

import contextlib
import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from hw1lib import files

# A run that fills a folder with 40 files, and says in the log which it writes. It stops in the midst of one of them,
# until it is killed or a file named "go" appears beside the log.
RUN = """
import sys, time
from pathlib import Path
from hw1lib.files import make_folder, write_atomically

folder, log, stop = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])

def fill(partial):
    for i in range(40):
        def write(temporary):
            temporary.write_bytes(b"half")
            with log.open("a") as file:
                file.write(f"{i}\\n")
            while i == stop and not log.with_name("go").exists():
                time.sleep(0.01)
            temporary.write_bytes(b"0123456789" * 400)

        if not (partial / f"{i}.txt").exists():
            write_atomically(partial / f"{i}.txt", write)

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


def test_a_killed_run_is_taken_up_again(tmp_path):
    folder, log = tmp_path / "out" / "set[1].x", tmp_path / "log"
    for stop in (3, 11, 12, 30):
        run = start(folder, log, stop)
        run.send_signal(signal.SIGKILL)
        run.communicate()
        assert not folder.exists()
    run = start(folder, log)
    assert run.communicate()[1] == ""
    assert_whole(folder)
    assert entries(folder.parent) == [folder.name]  # neither a lock nor a partial folder
    again = (3, 11, 12, 30)  # only the file at hand was written twice
    assert log.read_text().split() == [str(i) for i in sorted([*range(40), *again])]


def test_what_a_killed_run_left_under_another_key_is_not_used(tmp_path):
    folder = tmp_path / "faces[1]"  # brackets mean something in file patterns

    def stop(partial):
        (partial / "old").write_text("old")
        os._exit(9)

    if (child := os.fork()) == 0:
        files.make_folder(folder, stop, key="old")
    os.waitpid(child, 0)
    others = [tmp_path / name for name in (".faces[1].x.01234567.partial", ".faces1.01234567.partial", ".faces[1].tmp")]
    for other in others:  # another folder's
        other.mkdir()
    assert len(entries(tmp_path)) == 5  # with a partial folder, and a lock that nobody holds
    files.make_folder(folder, lambda partial: (partial / "new").write_text("new"), key="new")
    assert entries(folder) == ["new"]
    assert entries(tmp_path) == sorted([folder.name, *(other.name for other in others)])


def test_of_two_runs_at_once_one_waits_and_finds_it_done(tmp_path):
    folder, log = tmp_path / "faces", tmp_path / "log"
    first = start(folder, log, stop=20)
    second = start(folder, log)
    assert second.stderr.readline() == f"waiting for another run that is writing {folder}\n"
    (tmp_path / "go").touch()
    assert [run.communicate()[1] for run in (first, second)] == ["", ""]
    assert first.returncode == second.returncode == 0
    assert log.read_text().split() == [str(i) for i in range(40)]  # each file was written once
    assert_whole(folder)
    assert entries(tmp_path) == ["faces", "go", "log"]


def test_many_runs_at_once(tmp_path):
    def fill(partial):
        with (tmp_path / "log").open("a") as file:
            file.write("x")
        (partial / "file").write_text("whole")

    children = []
    for _ in range(8):
        if (child := os.fork()) == 0:
            with open(os.devnull, "w") as null, contextlib.redirect_stderr(null):
                for i in range(20):
                    files.make_folder(tmp_path / f"{i}", fill)
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 8
    assert (tmp_path / "log").read_text() == "x" * 20
    assert entries(tmp_path) == sorted(["log", *map(str, range(20))])


def test_a_filled_folder_is_left_alone_and_an_empty_one_is_filled(tmp_path):
    folder = tmp_path / "faces"
    folder.mkdir()
    assert files.make_folder(str(folder), lambda partial: (partial / "a").write_text("a")) == folder
    files.make_folder(folder, None)  # calling None would fail
    assert entries(folder) == ["a"]
    assert entries(tmp_path) == ["faces"]
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="file must be a folder"):
        files.make_folder(tmp_path / "file", None)


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_when_filling_fails_nothing_is_left(tmp_path, error):
    def fill(partial):
        (partial / "half").write_text("half")
        raise error

    with pytest.raises(type(error)):
        files.make_folder(tmp_path / "new" / "faces", fill)
    assert entries(tmp_path / "new") == []


def test_a_full_disk_is_one_clear_error(tmp_path):
    def full(temporary):
        temporary.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")  # as file.write raises it: without a name

    def fill(partial):
        files.write_atomically(partial / "a.jpg", full)

    with pytest.raises(OSError, match="No space left") as caught:
        files.make_folder(tmp_path / "faces", fill, size=110_000_000)
    wanted = f"{tmp_path / 'faces'} can't be written (No space left on device): it needs about 110 MB"
    assert str(caught.value) == wanted
    old = files.write_atomically(tmp_path / "old", lambda temporary: temporary.write_text("old"))
    with pytest.raises(OSError, match="No space left on device") as caught:
        files.write_atomically(old, full)
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(old)
    assert old.read_text() == "old"
    assert entries(tmp_path) == ["old"]


def test_write_atomically_after_a_kill(tmp_path):
    def stop(temporary):
        temporary.write_text("half of a long file")
        os._exit(9)

    path = tmp_path / "new" / "file"
    if (child := os.fork()) == 0:
        files.write_atomically(path, stop)
    os.waitpid(child, 0)
    assert not path.exists()
    assert len(entries(path.parent)) == 2  # the half file, and a lock that nobody holds
    files.write_atomically(path, lambda temporary: temporary.write_text("whole"))
    assert entries(path.parent) == ["file"]
    assert path.read_text() == "whole"


def test_write_atomically_by_many_at_once(tmp_path):
    """A reader never sees a mixture of two writers, nor a part of what one wrote."""
    path = tmp_path / "file"
    files.write_atomically(path, lambda temporary: temporary.write_bytes(b"-" * 300_000))
    children = []
    for letter in b"ab":
        if (child := os.fork()) == 0:
            with open(os.devnull, "w") as null, contextlib.redirect_stderr(null):
                for _ in range(50):
                    files.write_atomically(path, lambda t, letter=letter: t.write_bytes(bytes([letter]) * 300_000))
            os._exit(0)
        children.append(child)
    seen = [path.read_bytes() for _ in range(100)]
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    assert all(len(content) == 300_000 and len(set(content)) == 1 for content in seen)
    assert entries(tmp_path) == ["file"]


def test_a_worker_that_outlives_its_run_does_not_bring_the_partial_folder_back(tmp_path):
    partial = tmp_path / f".faces.01234567{files.PARTIAL}"
    with pytest.raises(FileNotFoundError):
        files.write_atomically(partial / "a.jpg", lambda temporary: temporary.write_text("a"))
    assert entries(tmp_path) == []


def test_half_files_do_not_get_into_the_folder(tmp_path, monkeypatch):
    rename = Path.rename

    def fill(partial):
        (partial / "a.jpg").write_text("a")
        (partial / ".b.jpg.98.tmp").write_text("half")  # by the killed run itself

    def late(partial, folder):
        assert entries(partial) == ["a.jpg"]
        (partial / ".a.jpg.99.tmp").write_text("half")  # by the worker that outlived its run
        return rename(partial, folder)

    monkeypatch.setattr(Path, "rename", late)
    files.make_folder(tmp_path / "faces", fill)
    assert entries(tmp_path / "faces") == ["a.jpg"]


def test_npz_there_and_back(tmp_path):
    arrays = {"a": np.arange(6.0).reshape(2, 3), "b": np.array("text")}
    path = files.write_npz(tmp_path / "x.npz", "thing", arrays)
    back = files.read_npz(path, "thing", ("a", "b"))
    np.testing.assert_array_equal(back["a"], arrays["a"])
    assert str(back["b"]) == "text"


def damaged(path):
    path.write_bytes(path.read_bytes()[:-40])


def of_objects(path):
    np.savez(path, kind=np.array("thing"), version=np.array(1), a=np.array([{}], dtype=object))


def of_a_later_version(path):
    np.savez(path, kind=np.array("thing"), version=np.array(99), a=np.zeros(1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: path.write_bytes(b""), "not a readable .npz file"),
        (lambda path: path.write_bytes(b"PK\x03\x04 nonsense"), "not a readable .npz file"),
        (damaged, "not a readable .npz file"),
        (of_objects, "not a readable .npz file"),  # it would take pickle to load them
        (of_a_later_version, "written by a later version"),
        (lambda path: files.write_npz(path, "other", {"a": np.zeros(1)}), "holds no thing"),
        (lambda path: files.write_npz(path, "thing", {"b": np.zeros(1)}), "incomplete, without a"),
        (lambda path: np.savez(path, a=np.zeros(1)), "holds no thing"),
    ],
)
def test_npz_that_is_not_ours_is_refused(tmp_path, change, message):
    path = files.write_npz(tmp_path / "x.npz", "thing", {"a": np.zeros(9)})
    change(path)
    with pytest.raises(ValueError, match=message) as caught:
        files.read_npz(path, "thing", ("a",))
    assert str(path) in str(caught.value)


def test_npz_with_any_damage_is_read_or_refused(tmp_path):
    rng = np.random.default_rng(0)
    path = files.write_npz(tmp_path / "x.npz", "thing", {"a": np.arange(9)})
    whole = path.read_bytes()
    for _ in range(400):
        content = bytearray(whole)
        for at in rng.integers(0, len(whole), rng.integers(1, 9)):
            content[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(content[: rng.integers(len(whole))] if rng.random() < 0.2 else content)
        with contextlib.suppress(ValueError):  # nothing else may escape
            files.read_npz(path, "thing", ("a",))


def test_npz_that_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        files.read_npz(tmp_path / "none.npz", "thing", ("a",))


def test_cache_dir_is_where_hw1_cache_says(tmp_path, monkeypatch):
    monkeypatch.setenv("HW1_CACHE", str(tmp_path / "my cache"))
    assert files.cache_dir() == tmp_path / "my cache"
    monkeypatch.setenv("HW1_CACHE", "")
    monkeypatch.setattr(files, "__file__", str(tmp_path / "site-packages" / "hw1lib" / "files.py"))
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    assert files.cache_dir() == tmp_path / "home" / ".cache" / "hw1lib"


def test_cache_that_cannot_be_written_is_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HW1_CACHE", str(tmp_path / "file"))
    with pytest.raises(OSError, match=r"the cache folder .*file can't be written .* set the environment variable"):
        files.cache_dir()
