"""Whatever faces.open is handed: faces are read, the rest is set aside with its reason."""

import errno
import io
import os
import sys
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from made_faces import (
    STAMP,
    coded,
    made_up,
    opened,
    reasons,
    scene,
    write_folder,
    write_tar,
    write_zip,
)
from PIL import Image

from hw1lib.checks import FileError
from hw1lib.faces import reading
from hw1lib.faces.pictures import AN_ARCHIVE, open_face

LEADS_OUT = "its path leads out of the archive"
NO_TARGET = "it is a link to what is no face of the archive"


def special(name: str, kind: bytes, target: str = "") -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member, b""


# -- folders and archives of the same faces --------------------------------------------------------


def test_folder_and_archives_of_the_same_faces_are_the_same(tmp_path):
    packed = {f"UTK/part{i % 2}/{name}": c for i, (name, c) in enumerate(made_up(6).items())}
    packed["UTK/readme.txt"] = b"read me"
    windows = {name.replace("/", "\\"): content for name, content in packed.items()}
    datasets = [
        opened(write_folder(tmp_path / "folder", packed)),
        opened(os.fsencode(write_folder(tmp_path / "flat", made_up(6)))),
        opened(write_tar(tmp_path / "faces.tar.xz", packed, "w:xz")),
        opened(write_tar(tmp_path / "faces.tar", dict(reversed(packed.items())), "w")),
        opened(write_zip(tmp_path / "faces.zip", packed, zipfile.ZIP_DEFLATED)),
        opened(write_zip(tmp_path / "windows.zip", {"UTK\\": b""} | windows)),
        opened(write_folder(tmp_path / "badly unpacked", windows)),
    ]
    for ds in datasets:
        assert ds.fingerprint == datasets[0].fingerprint
        assert ds.labels.equals(datasets[0].labels)
        assert list(ds.labels.file) == sorted(made_up(6))
        assert (ds.images([4, -1, 0]) == datasets[0].images(slice(None))[[4, 5, 0]]).all()
        assert not ds.drawn
    for row, (_, content) in enumerate(sorted(made_up(6).items())):
        picture = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
        assert (datasets[0].images(row).reshape(200, 200, 3) == picture).all()


def test_links_in_a_tar_and_members_written_again_are_as_in_the_unpacked_folder(tmp_path):
    first, second = made_up(2).items()
    entries = [
        first,
        special(f"30_0_0_{STAMP}", tarfile.SYMTYPE, f"31_0_0_{STAMP}"),  # which stands further on
        special(f"31_0_0_{STAMP}", tarfile.SYMTYPE, first[0]),
        special(f"copies/32_0_0_{STAMP}", tarfile.SYMTYPE, f"../{first[0]}"),
        special(f"copies/33_0_0_{STAMP}", tarfile.LNKTYPE, first[0]),
        (first[0], second[1]),  # the last one of a name counts
    ]
    tar = write_tar(tmp_path / "faces.tar", entries, "w")
    with tarfile.open(tar) as opened_tar:
        opened_tar.extractall(tmp_path / "folder", filter="data")
    from_tar, from_folder = opened(tar), opened(tmp_path / "folder")
    assert len(from_tar) == len(from_folder) == 5
    assert (from_tar.images(range(4)) == from_folder.images(range(4))).all()


def test_a_tar_that_ends_in_a_zip_is_a_tar(tmp_path):
    last = write_zip(tmp_path / "last.zip", {f"90_0_0_{STAMP}": coded()}).read_bytes()
    ds = opened(write_tar(tmp_path / "faces.tar", made_up(5) | {"last.zip": last}, "w"))
    assert len(ds) == 5
    assert reasons(ds) == {"last.zip": AN_ARCHIVE}


def test_archives_within_archives_are_read_three_deep(tmp_path):
    plain = opened(write_folder(tmp_path / "plain", made_up()))
    archive = write_tar(tmp_path / "1.tar.gz", made_up())
    two = write_zip(tmp_path / "2.zip", {"a/1.tar.gz": archive.read_bytes(), "readme.txt": b""})
    three = write_tar(tmp_path / "3.tar", {"2.zip": two.read_bytes()}, "w")
    folder = write_folder(tmp_path / "downloads", {"x/3.tar": three.read_bytes(), "a.txt": b""})
    for path in (two, three, folder):
        ds = opened(path)
        assert ds.fingerprint == plain.fingerprint
        assert ds.source == str(path)
    four = write_zip(tmp_path / "4.zip", {"3.tar": three.read_bytes()})
    with pytest.raises(ValueError, match=r"no face in .*; a/1.tar.gz: it is an archive, and not"):
        opened(four)
    write_zip(folder / "other.zip", made_up(2))
    with pytest.raises(ValueError, match=r"no face .*downloads .*; other.zip: .*; x/3.tar: it is"):
        opened(folder)
    name, content = next(iter(made_up().items()))
    (folder / name).write_bytes(content)  # faces of its own are meant
    assert reasons(opened(folder))["other.zip"] == AN_ARCHIVE


def test_a_name_twice_is_read_once_wherever_it_stands(tmp_path):
    """Folders are walked, and archives packed, in any order: all must find the same faces."""
    name, upper = f"30_0_0_{STAMP}", f"30_0_0_{STAMP.upper()}"
    files = {f"a/{name}": coded()[:-300], f"b/{name}": coded(scene(1)), f"c/{upper}": coded()}
    for ds in (
        opened(write_folder(tmp_path / "faces", files)),
        opened(write_tar(tmp_path / "forth.tar", files, "w")),
        opened(write_tar(tmp_path / "back.tar", dict(reversed(files.items())), "w")),
    ):
        assert list(ds.labels.file) == [name]
        assert (ds.images(0) == open_face(io.BytesIO(files[f"b/{name}"])).reshape(-1)).all()
        assert reasons(ds)[f"c/{upper}"] == reading.SAME_NAME
        assert "truncated" in reasons(ds)[f"a/{name}"]


def test_the_second_opening_looks_at_nothing_until_a_file_changes(tmp_path, monkeypatch):
    folder = write_folder(tmp_path / "faces", made_up())
    archive = write_zip(tmp_path / "faces.zip", made_up())
    look, looked = reading.open_face, []
    monkeypatch.setattr(reading, "open_face", lambda *a, **k: looked.append(1) or look(*a, **k))
    first = opened(folder)
    for _ in range(2):
        assert opened(folder).fingerprint == opened(archive).fingerprint == first.fingerprint
        assert len(looked) == 8
    write_zip(archive, made_up(3))
    assert opened(archive).fingerprint != first.fingerprint
    path = folder / first.labels.file[0]
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + b"\xd8")  # as long as before
    os.utime(path, (1, 1))
    assert opened(folder).fingerprint != first.fingerprint
    path.write_bytes(whole)
    renamed = path.rename(folder / path.name.replace("20_0_0", "20_1_0"))
    last = opened(folder)
    assert last.fingerprint != first.fingerprint
    renamed.write_bytes(whole[:-300])  # after the last look
    with pytest.raises(ValueError, match=f"{renamed}: .*truncated"):
        last.images([0, 2])


# -- hostile and damaged archives ------------------------------------------------------------------


def test_nothing_leaves_the_cache_folder(tmp_path, cache):
    secret = tmp_path / "secret"
    secret.write_bytes(coded(scene(9)))
    evil = {
        f"{tmp_path}/30_0_0_{STAMP}": coded(),
        f"../../31_0_0_{STAMP}": coded(),
        f"UTKFace/../../32_0_0_{STAMP}": coded(),
        f"..\\..\\33_0_0_{STAMP}": coded(),
        f"C:\\34_0_0_{STAMP}": coded(),
    }
    members = [
        *made_up(2).items(),
        *evil.items(),
        special(f"40_0_0_{STAMP}", tarfile.SYMTYPE, str(secret)),
        special(f"41_0_0_{STAMP}", tarfile.LNKTYPE, str(secret)),
        special(f"42_0_0_{STAMP}", tarfile.LNKTYPE, "../../../../secret"),
        special(f"43_0_0_{STAMP}", tarfile.FIFOTYPE),
        special(f"44_0_0_{STAMP}", tarfile.CHRTYPE),
        special("faces", tarfile.SYMTYPE, str(tmp_path)),
        (f"faces/45_0_0_{STAMP}", coded()),  # through the link, if that were made
    ]
    archives = [
        write_tar(tmp_path / "evil.tar.gz", members),
        write_zip(tmp_path / "evil.zip", made_up(2) | evil),
    ]
    before = set(tmp_path.rglob("*"))
    tarred, zipped = map(opened, archives)
    for path in set(tmp_path.rglob("*")) - before:
        assert path.is_relative_to(cache)
        assert not path.is_symlink()
    assert sorted(tarred.labels.age) == [20, 21, 45]
    assert sorted(zipped.labels.age) == [20, 21]
    for name in evil:
        assert reasons(tarred)[name] == reasons(zipped)[name] == LEADS_OUT
    for n in (40, 41, 42):
        assert reasons(tarred)[f"{n}_0_0_{STAMP}"] == NO_TARGET
    for n in (43, 44):
        assert reasons(tarred)[f"{n}_0_0_{STAMP}"] == "it is a device, not a file"


def test_large_files_are_neither_written_nor_read_into_memory(tmp_path, cache):
    name, size = f"30_0_0_{STAMP}", 30_000_000
    folder = write_folder(tmp_path / "faces", made_up())
    with open(folder / name, "wb") as file:
        file.truncate(size)
    for path in (
        folder,
        write_zip(tmp_path / "a.zip", made_up() | {name: bytes(size)}, zipfile.ZIP_DEFLATED),
        write_tar(tmp_path / "a.tar.gz", made_up() | {name: bytes(size)}),
    ):
        tracemalloc.start()
        assert reasons(opened(path)) == {name: "it is too large for a face"}
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < size / 3
    assert sum(path.stat().st_size for path in cache.rglob("*.jpg")) < 1e6


def test_what_unpacks_to_too_much_is_refused_whole(tmp_path, cache, monkeypatch):
    names = [f"{age}_0_0_{STAMP}" for age in range(10, 16)]
    links = [special(name, tarfile.LNKTYPE, names[0]) for name in names[1:]]  # each is a face
    bombs = [
        write_tar(tmp_path / "bomb.tar", [(names[0], coded() + bytes(900_000)), *links]),
        write_zip(tmp_path / "bomb.zip", {"a.zip": bytes(5_000_001)}, zipfile.ZIP_DEFLATED),
    ]
    with monkeypatch.context() as patch:
        patch.setattr(reading, "MAX_TOTAL", 5_000_000)
        for bomb in bombs:
            with pytest.raises(FileError, match=rf"{bomb}.*it holds more than 0\.005 GB"):
                opened(bomb)
    assert not list(cache.glob("archives/*"))
    assert len(opened(bombs[0])) == 6


def damaged_archives(folder):
    """Yield archives that are cut, or have one wrong bit, or a wrong header."""
    rng = np.random.default_rng(0)
    for kind in ("gz", "xz", "bz2"):
        packed = write_tar(folder / f"tar.{kind}", made_up(), f"w:{kind}").read_bytes()
        yield from (packed[: int(part * len(packed))] for part in (0, 0.1, 0.5, 0.999))
        for _ in range(9):
            content = bytearray(packed)
            content[rng.integers(len(packed) // 20, len(packed) - 8)] ^= 1 << int(rng.integers(8))
            yield content
    zipped = write_zip(folder / "zip", made_up()).read_bytes()
    yield from (zipped[: int(part * len(zipped))] for part in (0.1, 0.5, 0.999))
    plain = write_tar(folder / "tar", made_up(), "w").read_bytes()
    header = plain.index(b"22_0_2")
    yield from (plain[: header + more] for more in (0, 100, 511))
    yield plain[: header + 100] + b"x" + plain[header + 101 :]
    yield plain + bytes(reading.MAX_BYTES)
    negative, content = tarfile.TarInfo(f"30_0_0_{STAMP}"), coded()
    negative.pax_headers = {"size": "-1536"}  # the next header is this one
    yield write_tar(
        folder / "negative", [*made_up(2).items(), (negative, content)], "w"
    ).read_bytes()


def test_damaged_archives_are_refused_in_one_sentence(tmp_path, cache):
    for i, content in enumerate(damaged_archives(tmp_path)):
        path = tmp_path / f"{i}"
        path.write_bytes(content)
        with pytest.raises(ValueError, match="damaged, incomplete, or not an archive") as caught:
            opened(path)
        assert str(path) in str(caught.value)
        assert "https://susanqq.github.io/UTKFace/" in str(caught.value)
        assert "\n" not in str(caught.value)
    assert not list(cache.glob("archives/*"))


# -- folders ---------------------------------------------------------------------------------------


def test_a_folder_with_everything_in_it(tmp_path, monkeypatch):
    files = {"deep/er/notes.txt": b"", "thumbs.db": b"\x00" * 9}
    folder = write_folder(tmp_path / "my faces", made_up(2) | files)
    paths = {n: folder / f"{n}_0_0_{STAMP}" for n in range(30, 35)}
    paths[30].symlink_to(paths[31])  # a loop
    paths[31].symlink_to(paths[30])
    paths[32].symlink_to(folder / "nothing")
    os.mkfifo(paths[33])  # reading it would wait for ever
    paths[34].mkdir()
    (folder / "again").symlink_to(folder, target_is_directory=True)
    (folder / "deep" / f"36_0_0_{STAMP}").symlink_to(folder / f"20_0_0_{STAMP}")
    (folder / "closed").mkdir()
    scandir = os.scandir

    def refused(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    ds = opened(folder)
    assert sorted(ds.labels.age) == [20, 21, 36]
    why = {Path(file).name.split("_")[0]: reason for file, reason in reasons(ds).items()}
    assert set(why) == {"30", "31", "32", "33", "again", "closed", "thumbs.db", "notes.txt"}
    for name in ("30", "31", "32", "33", "again", "closed"):
        assert why[name] == "it is no regular file, or can't be read"


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names are Unicode there")
def test_names_that_are_no_text(tmp_path):
    odd = os.fsdecode(b"caf\xe9")
    folder = write_folder(tmp_path / odd, {f"{odd}/{name}": c for name, c in made_up(2).items()})
    (folder / os.fsdecode(b"\xff\xfe.jpg")).write_bytes(b"")
    (folder / "line\nbreak").write_bytes(b"")
    archive = tmp_path / f"{odd}.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(folder, "faces")
    for path in (folder, archive):
        ds = opened(path)
        assert (len(ds), len(ds.skipped)) == (2, 2)
        assert len(ds.images(slice(None))) == 2
        f"{ds} {ds.source} {ds.skipped}".encode()
    for path in (tmp_path / odd / "nothing", write_zip(tmp_path / f"{odd}.zip", {"a": b""})):
        with pytest.raises(OSError, match=r"caf\?") as caught:
            opened(path)
        str(caught.value).encode()


def test_the_cache_in_the_folder_is_no_data(tmp_path, monkeypatch):
    monkeypatch.setenv("HW1_CACHE", str(tmp_path / "faces" / "cache"))
    folder = write_folder(tmp_path / "faces", made_up(2))
    opened(write_zip(tmp_path / "others.zip", {f"1_0_0_{STAMP}": coded()}))
    assert list(opened(folder).labels.age) == [20, 21]


def test_a_full_disk_is_one_sentence(tmp_path, monkeypatch, cache):
    archive = write_zip(tmp_path / "faces.zip", made_up())

    def on_a_full_disk(path, mode):
        if mode == "xb":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return open(path, mode)

    monkeypatch.setattr(reading, "open", on_a_full_disk, raising=False)
    with pytest.raises(FileError, match=r"/archives/.* \(No space .*\): it needs about 1 MB"):
        opened(archive)
