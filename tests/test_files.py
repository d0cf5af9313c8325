"""Files and folders are written whole or not at all, whoever else writes and whenever a run is killed."""

import errno
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from hw1lib import files
from hw1lib.faces import Preprocessor


def entries(folder):
    return sorted(path.name for path in folder.iterdir())


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
        full(partial / "a.jpg")

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
            assert len(set(files.read_npz(tmp_path / "x.npz", "thing", ("a",))["a"])) == 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert len(filled) == 1
    assert entries(tmp_path) == ["folder", "x.npz"]


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
        (of_objects, "no file that hw1lib saved"),  # it would take pickle to load them
        (lambda path: path.write_text("file,age\n"), "it is damaged, or no file that hw1lib saved$"),
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
    assert "pickle" not in str(caught.value)  # NumPy's advice, which would let a file run code


def write_arrays(path):
    return files.write_npz(path, "thing", {"a": np.arange(9.0)})


def write_preprocessor(path):
    images = np.random.default_rng(0).integers(0, 256, (20, 30), np.uint8)
    return Preprocessor(2).fit(images, progress=False).save(path)


def read_preprocessor(path):
    return [getattr(Preprocessor.load(path), name) for name in ("center", "scale", "components", "n_fitted")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("write", "read"),
    [
        (write_arrays, lambda path: [files.read_npz(path, "thing", ("a",))["a"]]),
        (write_preprocessor, read_preprocessor),
    ],
    ids=["arrays", "preprocessor"],
)
def test_npz_with_any_damage_is_read_or_refused(write, read, tmp_path):
    rng, refused = np.random.default_rng(0), 0
    path = write(tmp_path / "x.npz")
    whole, expected = path.read_bytes(), read(path)
    for _ in range(500):
        content = bytearray(whole)
        for at in rng.integers(len(whole), size=rng.integers(1, 4)):
            content[at] ^= 1 << int(rng.integers(8))
        if rng.random() < 0.2:
            del content[rng.integers(len(whole)) :]
        path.write_bytes(content)
        try:
            for got, array in zip(read(path), expected, strict=True):
                np.testing.assert_array_equal(got, array)
        except ValueError as error:  # nothing else may escape
            assert "x.npz" in str(error)  # noqa: PT017
            refused += 1
    assert 250 < refused < 500


def test_npz_that_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        files.read_npz(tmp_path / "none.npz", "thing", ("a",))


def test_cache_dir_is_where_hw1_cache_says(tmp_path, monkeypatch):
    monkeypatch.setenv("HW1_CACHE", str(tmp_path / "my cache"))
    assert files.cache_dir() == tmp_path / "my cache"
    monkeypatch.setenv("HW1_CACHE", "")
    monkeypatch.setattr(files, "__file__", str(tmp_path / "site-packages" / "hw1lib" / "files.py"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert files.cache_dir() == tmp_path / "home" / ".cache" / "hw1lib"


def test_without_a_home_folder_only_a_cache_in_it_fails(tmp_path, monkeypatch):
    def no_home(*_):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(files, "__file__", str(tmp_path / "site-packages" / "hw1lib" / "files.py"))
    monkeypatch.setattr(Path, "expanduser", lambda path: no_home() if str(path).startswith("~") else path)
    monkeypatch.setattr(Path, "home", no_home)
    assert files.cache_dir() == tmp_path / "cache"
    monkeypatch.delenv("HW1_CACHE")
    with pytest.raises(OSError, match=r"\(there is no home folder\): set the environment variable HW1_CACHE"):
        files.cache_dir()


def test_cache_that_cannot_be_written_is_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HW1_CACHE", str(tmp_path / "file"))
    with pytest.raises(OSError, match=r"the cache folder .*file can't be written .* set the environment variable"):
        files.cache_dir()
