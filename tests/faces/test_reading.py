"""Whatever faces.open is handed: faces are read, the rest is set aside with its reason."""

import io
import os
import re
import subprocess
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


def tree(folder: Path) -> set[str]:
    return {str(path) for path in folder.rglob("*")}


def special(name: str, kind: bytes, target: str = "") -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member, b""


# -- folders and archives of the same faces --------------------------------------------------------


def test_folder_and_archives_of_the_same_faces_are_the_same(tmp_path):
    packed = {f"UTK/part{i % 2}/{name}": c for i, (name, c) in enumerate(made_up(6).items())}
    packed["UTK/readme.txt"] = b"read me"
    windows = {name.replace("/", "\\"): content for name, content in packed.items()}
    folder = write_folder(tmp_path / "folder", packed)
    datasets = [
        opened(folder),
        opened(os.fsencode(write_folder(tmp_path / "flat", made_up(6)))),
        opened(write_tar(tmp_path / "faces.tar.gz", packed)),
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


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_links_in_a_tar_are_faces_as_in_its_folder(link, tmp_path):
    folder = write_folder(tmp_path / "faces", made_up(3))
    first = next(folder.iterdir())
    (folder / "copies").mkdir()
    target = first if link is os.link else Path("..") / first.name
    link(target, folder / "copies" / f"50_0_0_{STAMP}")
    archive = tmp_path / "faces.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(folder, "faces")
    assert len(opened(archive)) == 4
    assert opened(archive).fingerprint == opened(folder).fingerprint


def test_links_that_lead_on_and_members_written_again_are_as_in_the_unpacked_folder(tmp_path):
    first, second = made_up(2).items()
    late = tarfile.TarInfo("30_0_0_" + STAMP)  # leads to a link that stands further on
    late.type, late.linkname = tarfile.SYMTYPE, "31_0_0_" + STAMP
    link = tarfile.TarInfo("31_0_0_" + STAMP)
    link.type, link.linkname = tarfile.SYMTYPE, first[0]
    entries = [first, (late, b""), (link, b""), (first[0], second[1])]  # the last one counts
    tar = write_tar(tmp_path / "faces.tar", entries, "w")
    with tarfile.open(tar) as opened_tar:
        opened_tar.extractall(tmp_path / "folder", filter="data")
    from_tar, from_folder = opened(tar), opened(tmp_path / "folder")
    assert len(from_tar) == len(from_folder) == 3
    assert from_tar.fingerprint == from_folder.fingerprint


@pytest.mark.parametrize("more", [0, 100, 511])
def test_a_tar_cut_at_a_header_is_refused(tmp_path, more):
    tar = write_tar(tmp_path / "faces.tar", made_up(4), "w")
    with tarfile.open(tar) as whole:
        at = whole.getmembers()[2].offset
    tar.write_bytes(tar.read_bytes()[: at + more])
    with pytest.raises(FileError, match=r"faces\.tar"):
        opened(tar)


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
    files = {
        f"a/{name}": coded()[:-300],
        f"b/{name}": coded(scene(1)),
        f"c/{upper}": coded(scene(2)),
    }
    datasets = [
        opened(write_folder(tmp_path / "faces", files)),
        opened(write_tar(tmp_path / "forth.tar", files, "w")),
        opened(write_tar(tmp_path / "back.tar", dict(reversed(files.items())), "w")),
    ]
    for ds in datasets:
        assert ds.fingerprint == datasets[0].fingerprint
        assert list(ds.labels.file) == [name]
        assert (ds.images(0) == open_face(io.BytesIO(files[f"b/{name}"])).reshape(-1)).all()
        assert reasons(ds)[f"c/{upper}"] == reading.SAME_NAME
        assert "truncated" in reasons(ds)[f"a/{name}"]


@pytest.mark.parametrize(
    "change",
    [
        lambda name, content: {name: coded(scene(9))},
        lambda name, content: {name.replace("20_0_0", "20_1_0"): content},
        lambda name, content: {},
        lambda name, content: {name: content, f"99_0_0_{STAMP}": coded()},
    ],
)
def test_the_fingerprint_tells_faces_apart(change, tmp_path):
    old, new = made_up(), made_up()
    first = next(iter(old))
    new |= change(first, new.pop(first))
    a, b = write_folder(tmp_path / "a", old), write_folder(tmp_path / "b", new)
    assert opened(a).fingerprint != opened(b).fingerprint


def test_the_second_opening_looks_at_nothing_until_a_file_changes(tmp_path, monkeypatch):
    folder = write_folder(tmp_path / "faces", made_up())
    archive = write_zip(tmp_path / "faces.zip", made_up())
    look, looked = reading.open_face, []
    monkeypatch.setattr(reading, "open_face", lambda *a, **k: looked.append(1) or look(*a, **k))
    first = opened(folder)
    for _ in range(2):
        assert opened(folder).fingerprint == opened(archive).fingerprint == first.fingerprint
        assert len(looked) == 8
    path = folder / first.labels.file[0]
    path.write_bytes(path.read_bytes()[:-1] + b"\xd8")  # as long as before
    os.utime(path, (1, 1))
    assert opened(folder).fingerprint != first.fingerprint
    write_zip(archive, made_up(3))
    assert len(opened(archive)) == 3


def test_a_file_that_is_damaged_after_the_first_look_is_named(tmp_path):
    ds = opened(write_folder(tmp_path, made_up()))
    path = tmp_path / ds.labels.file[2]
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(ValueError, match="truncated") as caught:
        ds.images([0, 2])
    assert str(path) in str(caught.value)


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
    before = tree(tmp_path)
    archives = [
        write_tar(tmp_path / "evil.tar.gz", members),
        write_zip(tmp_path / "evil.zip", made_up(2) | evil),
    ]
    tarred, zipped = map(opened, archives)
    written = tree(tmp_path) - before - {str(path) for path in archives}
    assert all(path.startswith(str(cache)) for path in written)
    assert not any(Path(path).is_symlink() for path in written)
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


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_truncated_archives_are_refused(tmp_path, cache, part):
    for path in (
        write_tar(tmp_path / "a.tar.gz", made_up()),
        write_tar(tmp_path / "a.tar.xz", made_up(), "w:xz"),
        write_zip(tmp_path / "a.zip", made_up()),
    ):
        path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
        with pytest.raises(ValueError, match="damaged, incomplete, or not an archive") as caught:
            opened(path)
        assert str(path) in str(caught.value)
        assert "https://susanqq.github.io/UTKFace/" in str(caught.value)
        assert "\n" not in str(caught.value)
    assert not list(cache.glob("archives/*"))


@pytest.mark.parametrize("kind", ["gz", "xz", "bz2"])
def test_damage_in_a_packed_tar_never_goes_unnoticed(tmp_path, kind):
    rng = np.random.default_rng(0)
    packed = write_tar(tmp_path / "whole", made_up(), f"w:{kind}").read_bytes()
    fingerprint = opened(tmp_path / "whole").fingerprint
    n_refused = 0
    for i in range(20):
        content = bytearray(packed)
        at = int(rng.integers(10, len(content)))  # after gzip's header (time, name)
        content[at] ^= 1 << int(rng.integers(8))
        (tmp_path / f"{i}").write_bytes(content)
        try:
            assert opened(tmp_path / f"{i}").fingerprint == fingerprint
        except ValueError as error:
            n_refused += "damaged, incomplete, or not an archive" in str(error)
    assert n_refused >= 19


def test_damage_in_headers_of_a_tar(tmp_path):
    plain = write_tar(tmp_path / "plain.tar", made_up(), "w")
    content = bytearray(plain.read_bytes())
    content[content.index(b"22_0_2") + 100] ^= 1  # in the third member's header
    plain.write_bytes(content)
    with pytest.raises(ValueError, match="something follows its end"):
        opened(plain)
    negative = special(f"30_0_0_{STAMP}", tarfile.REGTYPE)[0], coded()
    negative[0].pax_headers = {"size": "-1024"}
    with pytest.raises(ValueError, match="a header in it is damaged"):
        opened(write_tar(tmp_path / "negative.tar", [negative], "w"))


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


# -- a full disk -----------------------------------------------------------------------------------

FILL_THE_DISK = """
import os, sys
from pathlib import Path
from hw1lib import faces
from hw1lib.faces import standin

disk, archive = Path(sys.argv[1]), Path(sys.argv[2])
os.environ["HW1_CACHE"] = str(disk)
standin.make(disk / "before", 2, n_jobs=1, progress=False)
before = {path: path.is_file() and path.read_bytes() for path in disk.rglob("*")}
for action in (
    lambda: standin.make(disk / "faces", 100, n_jobs=1, progress=False),
    lambda: faces.open(archive, progress=False),
):
    try:
        action()
    except OSError as error:
        print(error)
    after = {path: path.is_file() and path.read_bytes() for path in disk.rglob("*")}
    assert {path for path in after if path.name != "archives"} == before.keys()
"""


@pytest.mark.slow
def test_a_full_disk_is_one_sentence_and_harms_nothing(tmp_path):
    disk, rng = tmp_path / "disk", np.random.default_rng(0)
    disk.mkdir()
    noise = [Image.fromarray(rng.integers(0, 256, (200, 200, 3), np.uint8)) for _ in range(9)]
    files = {f"{i}_0_0_{STAMP}": coded(picture) for i, picture in enumerate(noise)}
    archive = write_zip(tmp_path / "faces.zip", files)
    mount = 'mount -t tmpfs -o size=200k none "$1" && shift && exec "$@"'
    inside = ["unshare", "-rm", "sh", "-c", mount, "-", str(disk)]
    try:  # in a namespace of its own, which takes the disk along when it ends
        subprocess.run([*inside, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no small disk can be mounted here: {error}")
    run = [*inside, sys.executable, "-c", FILL_THE_DISK, str(disk), str(archive)]
    child = subprocess.run(run, capture_output=True, text=True)
    assert child.stderr == ""
    drawn, unpacked = child.stdout.splitlines()
    message = r" can't be written \(No space left on device\): it needs about \d MB"
    assert re.fullmatch(f"{disk}/faces{message}", drawn)
    assert re.fullmatch(rf"{disk}/archives/\w+{message}", unpacked)
