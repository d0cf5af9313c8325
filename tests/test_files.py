"""Files and folders are written whole or not at all, whoever else writes and however it ends."""

import errno
import os
import stat
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from hw1lib import cache, files
from hw1lib.checks import FileError

posix = pytest.mark.skipif(sys.platform == "win32", reason="links, pipes and modes differ there")
ARRAYS = {"a": np.arange(9.0)}


def entries(folder):
    return sorted(path.name for path in folder.iterdir())


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(
    "write",
    [
        lambda path: files.write_text(path, "new"),
        lambda path: files.write_npz(path, "thing", ARRAYS),
    ],
    ids=["text", "npz"],
)
@posix
def test_what_stands_at_a_path_stays_what_it_is(write, tmp_path):
    plain, private, fifo, link = (tmp_path / name for name in ("plain", "private", "fifo", "link"))
    content = write(plain).read_bytes()
    private.touch()
    private.chmod(0o640)
    link.symlink_to(private)
    write(link)
    assert link.is_symlink()
    assert private.read_bytes() == content
    assert mode(private) == 0o640
    os.mkfifo(fifo)
    for other in (fifo, tmp_path):
        with pytest.raises(FileError, match="can't be written: it is no file"):
            write(other)
    assert stat.S_ISFIFO(fifo.stat().st_mode)
    write(tmp_path / ("x" * 245))
    assert entries(tmp_path) == ["fifo", "link", "plain", "private", "x" * 245]


@posix
def test_what_others_may_not_read_they_never_may(tmp_path):
    def write(temporary):
        temporary.write_text("secret")
        assert mode(temporary) == 0o600

    path = tmp_path / "private"
    path.touch(0o600)
    files.write_atomically(path, write)
    assert (path.read_text(), mode(path)) == ("secret", 0o600)


@posix
def test_a_private_folder_stays_private(tmp_path):
    private = tmp_path / "private"
    private.mkdir(0o700)
    files.make_folder(private, lambda partial: (partial / "a").touch())
    assert mode(private) == 0o700
    assert entries(tmp_path) == ["private"]


@posix
@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="root alone can give files away"
)
def test_a_file_stays_its_owner_s(tmp_path):
    path = tmp_path / "theirs"
    path.touch()
    os.chown(path, 1234, 1234)
    files.write_text(path, "new")
    assert (path.read_text(), path.stat().st_uid, path.stat().st_gid) == ("new", 1234, 1234)


@posix
def test_a_link_to_nothing_yet_is_written(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "new" / "file")
    files.write_text(tmp_path / "link", "new")
    assert (tmp_path / "new" / "file").read_text() == "new"


def test_text_that_is_no_text_is_escaped(tmp_path):
    name = os.fsdecode(b"caf\xe9.jpg") if sys.platform != "win32" else "caf\udce9.jpg"
    assert files.write_text(tmp_path / "page", name).read_bytes() == rb"caf\udce9.jpg"


def test_when_writing_fails_the_old_file_stays_and_the_error_names_it(tmp_path):
    def full(temporary):
        temporary.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    old = files.write_text(tmp_path / "old", "old")
    with pytest.raises(FileError, match=r"old can't be written: No space left on device"):
        files.write_atomically(old, full)
    assert old.read_text() == "old"
    folder = tmp_path / "faces"
    with pytest.raises(
        FileError, match=r"faces can't be .*\(No space left .*: it needs about 110 MB"
    ):
        files.make_folder(folder, lambda partial: full(partial / "a.jpg"), size=110_000_000)
    with pytest.raises(FileError, match=r"old must be a folder, or not exist"):
        files.make_folder(old, None)
    with pytest.raises(FileError, match=r"old.x can't be written"):
        files.write_text(old / "x", "new")
    assert entries(tmp_path) == ["old"]


def test_when_filling_is_interrupted_nothing_is_left(tmp_path):
    def fill(partial):
        (partial / "half").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        files.make_folder(tmp_path / "new" / "faces", fill)
    assert entries(tmp_path / "new") == []


@pytest.mark.parametrize("name", ["faces", "x" * 245])
def test_a_filled_folder_is_left_alone_and_an_empty_one_is_filled(tmp_path, name):
    (tmp_path / name).mkdir()
    for content in ("first", "second"):
        folder = files.make_folder(
            tmp_path / name, lambda partial, text=content: (partial / "a").write_text(text)
        )
    assert (folder / "a").read_text() == "first"
    assert entries(tmp_path) == [name]


def test_many_threads_at_once_fill_a_folder_once_and_never_mix_a_file(tmp_path):
    filled, start = [], threading.Barrier(8)

    def fill(partial):
        filled.append(partial)
        (partial / "file").write_text("whole")

    def work(i):
        start.wait()
        files.make_folder(tmp_path / "folder", fill)
        for _ in range(20):
            files.write_npz(tmp_path / "x.npz", "thing", {"a": np.full(1000, i)})
            assert len(set(files.read_npz(tmp_path / "x.npz", ("thing",), ("a",))["a"])) == 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert len(filled) == 1
    assert entries(tmp_path) == ["folder", "x.npz"]


def savez(**arrays):
    return lambda path: np.savez(path, **arrays)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: path.write_text("file,age\n"), "damaged, or no file"),
        (savez(kind="thing", version=1, b=np.zeros(1)), "damaged, or no file"),
        (savez(kind="thing", version=1, a=np.array([{}], dtype=object)), "damaged, or no file"),
        (savez(kind="thing", version=99, b=np.zeros(1)), "written by a later version"),
        (savez(kind="other", version=1, b=np.zeros(1)), "holds no thing .* but a other"),
    ],
)
def test_npz_that_is_not_ours_is_refused(tmp_path, change, message):
    path = files.write_npz(tmp_path / "x.npz", "thing", ARRAYS)
    change(path)
    with pytest.raises(FileError, match=message) as caught:
        files.read_npz(path, ("thing", "another"), ("a",))
    assert str(path) in str(caught.value)
    assert "pickle" not in str(caught.value)  # NumPy's advice, which would let a file run code


def test_npz_with_any_damage_is_read_as_it_was_or_refused(tmp_path):
    rng, refused = np.random.default_rng(0), 0
    path = files.write_npz(tmp_path / "x.npz", "thing", ARRAYS)
    whole = path.read_bytes()
    for _ in range(300):
        content = bytearray(whole)
        for at in rng.integers(len(whole), size=rng.integers(1, 4)):
            content[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(content[: rng.integers(len(whole))] if rng.random() < 0.2 else content)
        try:
            np.testing.assert_array_equal(
                files.read_npz(path, ("thing",), ("a",))["a"], ARRAYS["a"]
            )
        except FileError:  # nothing else may escape
            refused += 1
    assert 150 < refused < 300
    with pytest.raises(FileNotFoundError):
        files.read_npz(tmp_path / "none.npz", ("thing",), ("a",))


# -- the cache -------------------------------------------------------------------------------------


def test_what_is_cached_is_made_once_and_again_when_its_file_is_damaged():
    made = []

    def make():
        made.append(True)
        return ARRAYS

    def save(arrays, path):
        files.write_npz(path, "thing", arrays)

    def load(path):
        return files.read_npz(path, ("thing",), ("a",))["a"].tolist()

    first, again = [cache.cached("things/x.npz", make, save, load) for _ in range(2)]
    assert first == again == list(range(9))
    assert len(made) == 1
    (cache.cache_dir() / "things" / "x.npz").write_bytes(b"PK")
    assert cache.cached("things/x.npz", make, save, load) == first
    assert len(made) == 2


def test_cache_dir_is_where_hw1_cache_says(tmp_path, monkeypatch):
    monkeypatch.setenv("HW1_CACHE", str(tmp_path / "my cache"))
    assert cache.cache_dir() == tmp_path / "my cache"
    monkeypatch.setenv("HW1_CACHE", "")
    monkeypatch.setattr(cache, "__file__", str(tmp_path / "site-packages" / "hw1lib" / "cache.py"))
    monkeypatch.setattr(Path, "expanduser", lambda path: tmp_path / str(path).replace("~", "home"))
    assert cache.cache_dir() == tmp_path / "home" / ".cache" / "hw1lib"
    monkeypatch.undo()
    (tmp_path / "file").touch()
    monkeypatch.setenv("HW1_CACHE", str(tmp_path / "file"))
    with pytest.raises(FileError, match=r"the cache folder .*file can't be written .*HW1_CACHE"):
        cache.cache_dir()
