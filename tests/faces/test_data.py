"""Whatever FaceDataset.open is handed: faces are read, the rest is set aside with its reason, nothing else happens."""

import io
import os
import re
import struct
import subprocess
import sys
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hw1lib.faces import data
from hw1lib.faces.data import FaceDataset
from hw1lib.faces.pictures import AN_ARCHIVE, open_face, read_name

STAMP = "20170109150557335.jpg.chip.jpg"
ROUND = settings(max_examples=300, deadline=None, derandomize=True, database=None)


def scene(seed=0, size=(200, 200)) -> Image.Image:
    """Draw a smooth coloured picture."""
    pixels = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    return Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)


def coded(picture=None, kind="JPEG", **options) -> bytes:
    file = io.BytesIO()
    (picture or scene()).save(file, kind, **options)
    return file.getvalue()


def faces(n=4) -> dict[str, bytes]:
    return {f"{20 + i}_{i % 2}_{i % 5}_{STAMP}": coded(scene(i)) for i in range(n)}


def write_folder(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def write_tar(path: Path, files, mode="w:gz") -> Path:
    """Pack (name or TarInfo, content) pairs, or a dictionary of them."""
    with tarfile.open(path, mode) as tar:
        for entry, content in files.items() if isinstance(files, dict) else files:
            member = entry if isinstance(entry, tarfile.TarInfo) else tarfile.TarInfo(entry)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def write_zip(path: Path, files, method=zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as zipped:
        for name, content in files.items():
            zipped.writestr(name, content)
    return path


def opened(path, **options) -> FaceDataset:
    return FaceDataset.open(path, progress=False, **options)


def reasons(ds) -> dict[str, str]:
    return dict(ds.skipped.itertuples(index=False))


def tree(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.rglob("*"))


# -- names ------------------------------------------------------------------------------------------------------------

ENDINGS = st.sampled_from(
    [
        ".jpg.chip.jpg",
        ".jpg",
        ".JPG",
        ".jpeg",
        " .jpg.chip.jpg",
        "jpg.chip.jpg",
        ".jpgchip.jpg",
        ".pg.chip.jpg",
        ".jpg.cip.jpg",
    ]
)
digits = st.text("0123456789", min_size=8, max_size=20)
valid = st.builds("{}_{}_{}_{}{}".format, st.integers(0, 120), st.integers(0, 1), st.integers(0, 4), digits, ENDINGS)


def read_by_hand(name):
    """Read the labels with little more than string methods: an oracle for the regular expression."""

    def known(word, *words):  # or short of a letter
        return word in words or any(word == w[:i] + w[i + 1 :] for w in words for i in range(len(w)))

    parts = name.split("_", 3)
    if len(parts) < 4:
        return None
    age, gender, race, rest = parts
    ending = rest.lstrip("0123456789")
    words = re.sub(r"[ ._]{1,2}", "/", ending).lower()
    if not (
        age.isascii() and age.isdigit() and len(age) <= 3 and int(age) <= 120 and 8 <= len(rest) - len(ending) <= 20
    ):
        return None
    if gender not in ("0", "1") or race not in tuple("01234") or "//" in words or words.endswith("/"):
        return None
    letters = words.replace("/", "")
    splits = [(letters[:i], letters[i:j], letters[j:]) for j in range(len(letters)) for i in range(j)]
    jpeg = known(letters, "jpg", "jpeg") or any(
        known(a, "jpg", "jpeg") and known(b, "chip") and known(c, "jpg", "jpeg") for a, b, c in splits
    )
    return (int(age), int(gender), int(race)) if jpeg else None


@ROUND
@given(st.integers(0, 120), st.integers(0, 1), st.integers(0, 4), digits, ENDINGS)
def test_every_valid_name_is_read(age, gender, race, stamp, ending):
    labels, remark = read_name(f"{age}_{gender}_{race}_{stamp}{ending}")
    assert labels == (age, gender, race)
    assert (remark == "") == (ending.lower() in (".jpg.chip.jpg", ".jpg"))


@ROUND
@given(valid, st.data())
def test_no_other_name_is_read(name, draw):
    for _ in range(draw.draw(st.integers(1, 3))):  # changed here and there
        start = draw.draw(st.integers(0, len(name)))
        stop = draw.draw(st.integers(start, min(len(name), start + 3)))
        name = name[:start] + draw.draw(st.text("0123456789_. -jpgcheiJ٣é\n/", max_size=3)) + name[stop:]
    assert read_name(name)[0] == read_by_hand(name)


@ROUND
@given(st.text())
def test_any_text_has_labels_or_a_reason(name):
    labels, remark = read_name(name)
    assert labels == read_by_hand(name)
    assert labels or remark


@pytest.mark.parametrize(
    ("name", "labels", "remark"),
    [
        ("61_1_20170109150557335.jpg.chip.jpg", None, "no race label"),
        ("24_0_1_20170116220224657 .jpg.chip.jpg", (24, 0, 1), "unusual ending"),
        ("55_0_0_20170116232725357jpg.chip.jpg", (55, 0, 0), "unusual ending"),
        ("44_1_4_20170116235150272.pg.chip.jpg", (44, 1, 4), "unusual ending"),
        ("44_1_4_20170116235150272.jpg.chp.jpg", (44, 1, 4), "unusual ending"),
        ("44_1_4_20170116235150272.jpg.chip.jp", (44, 1, 4), "unusual ending"),
        ("44_1_4_20170116235150272.png.chip.jpg", None, "is not age_gender_race"),
        ("UTKFace.tar.gz", None, "it is an archive, and not looked into"),
        ("crop (1).ZIP", None, "it is an archive, and not looked into"),
        ("._UTKFace.zip", None, "is not age_gender_race"),  # what macOS puts into archives
        ("1_0_0_20170109150557335.JPG", (1, 0, 0), ""),
        ("0_0_0_20170109150557335.jpg.chip.jpg", (0, 0, 0), ""),
        ("116_1_4_20170109150557335.jpg.chip.jpg", (116, 1, 4), ""),
        ("120_1_4_20170109150557335.jpg.chip.jpg", (120, 1, 4), ""),
        ("121_1_4_20170109150557335.jpg.chip.jpg", None, "the age 121 in its name is above 120"),
        ("200_1_4_20170109150557335.jpg.chip.jpg", None, "the age 200 in its name is above 120"),
        ("-1_1_4_20170109150557335.jpg.chip.jpg", None, "is not age_gender_race"),
        ("30_2_4_20170109150557335.jpg.chip.jpg", None, "is not age_gender_race"),
        ("30_1_5_20170109150557335.jpg.chip.jpg", None, "is not age_gender_race"),
        ("30_1_4_20170109150557335.png", None, "is not age_gender_race"),
        ("30_1_4_20170109150557335.jpg.chip.jpg\n", None, "is not age_gender_race"),
        ("٣٠_1_4_20170109150557335.jpg.chip.jpg", None, "is not age_gender_race"),
        ("30_1_4_20170109150557335" + "." * 300 + "jpg", None, "is not age_gender_race"),
        ("9" * 100_000 + "_1_4", None, "is not age_gender_race"),
        ("._30_1_4_20170109150557335.jpg.chip.jpg", None, "is not age_gender_race"),
        ("thumbs.db", None, "is not age_gender_race"),
        ("", None, "is not age_gender_race"),
    ],
)
def test_names_as_they_are_met(name, labels, remark):
    found, why = read_name(name)
    assert found == labels
    assert why == remark == "" or remark in why


# -- pictures ---------------------------------------------------------------------------------------------------------


def sized(jpeg: bytes, width: int, height: int) -> bytes:
    """Change the size that a JPEG file claims (its SOF0 segment)."""
    at = jpeg.index(b"\xff\xc0") + 5
    return jpeg[:at] + struct.pack(">HH", height, width) + jpeg[at + 4 :]


def exif(orientation: int, width: str | None = None) -> bytes:
    tags = Image.Exif()
    tags[0x0112] = orientation
    if width is None:
        return tags.tobytes()
    tags[0x0132] = width  # the date may be a text, but ...
    return tags.tobytes().replace(b"\x01\x32", b"\x01\x00")  # ... the width may not


BAD_PICTURES = {
    "empty": (b"", "it is empty"),
    "text": (b"no picture at all", "can't be read as a JPEG picture: not a JPEG file"),
    "cut": (coded()[:-200], "can't be read as a JPEG picture: .*truncated"),
    "half": (coded()[: len(coded()) // 2], "can't be read as a JPEG picture"),
    "head only": (coded()[:300], "can't be read as a JPEG picture"),
    "zeroed": (coded()[:300] + bytes(len(coded()) - 300), "can't be read as a JPEG picture"),
    "one pixel": (coded(scene(size=(1, 1))), "it is 1 x 1 pixels, not 200 x 200"),
    "a column more": (coded(scene(size=(201, 200))), "it is 201 x 200 pixels"),
    "a row less": (coded(scene(size=(200, 199))), "it is 200 x 199 pixels"),
    "a bomb": (sized(coded(), 30_000, 30_000), "it is 30000 x 30000 pixels"),
    "nothing high": (sized(coded(), 200, 0), "it is 200 x 0 pixels|can't be read as a JPEG picture"),
    "PNG with alpha": (coded(scene().convert("RGBA"), "PNG"), "not a JPEG file"),
    "PNG of 16 bits": (coded(Image.fromarray(np.zeros((200, 200), np.uint16)), "PNG"), "not a JPEG file"),
    "animated": (coded(scene(), "GIF", save_all=True, append_images=[scene(1)]), "not a JPEG file"),
    "large": (coded() + bytes(data.MAX_BYTES), "it is too large for a face"),
}
GOOD_PICTURES = {
    "usual": coded(),
    "progressive": coded(progressive=True),
    "grey": coded(scene().convert("L")),
    "CMYK": coded(scene().convert("CMYK")),
    "lying": coded(exif=exif(6)),
    "no EXIF": coded(exif=b"Exif\x00\x00MM\x00\x2a\xff\xff\xff\xff" + b"\x99" * 40),
    "damaged EXIF": coded(exif=exif(6, width="wide")),
    "thumbnail in front": coded(comment=coded(scene(1, (32, 32)))),
    "data behind": coded() + b"more",
}


def test_pictures_are_set_aside_with_the_reason(tmp_path):
    cases = {f"{40 + i}_0_0_{STAMP}": case for i, case in enumerate(BAD_PICTURES.values())}
    folder = write_folder(tmp_path / "faces", faces(1) | {f"bad/{name}": case[0] for name, case in cases.items()})
    for ds in (
        opened(folder),
        opened(write_zip(tmp_path / "faces.zip", {p: c[0] for p, c in cases.items()} | {f"1_0_0_{STAMP}": coded()})),
    ):
        assert len(ds) == 1
        why = {Path(file).name: reason for file, reason in reasons(ds).items()}
        for name, (_, pattern) in cases.items():
            assert re.search(pattern, why[name]), (name, why[name])
            assert "0x" not in why[name]  # an address in memory would tell the reader nothing
        assert ds.images(0).shape == (1, 120_000)


@pytest.mark.filterwarnings("error")
def test_pictures_that_a_viewer_shows_are_read(tmp_path):
    names = {f"{20 + i}_0_0_{STAMP}": content for i, content in enumerate(GOOD_PICTURES.values())}
    ds = opened(write_folder(tmp_path, names))
    assert len(ds) == len(names)
    shown = dict(zip(GOOD_PICTURES, ds.images(slice(None)).reshape(-1, 200, 200, 3).astype(int), strict=True))
    drawn = np.asarray(scene(), int)
    for kind in ("usual", "progressive", "CMYK", "no EXIF", "thumbnail in front", "data behind"):
        assert np.abs(shown[kind] - drawn).mean() < 3, kind
    assert np.abs(shown["grey"] - np.asarray(scene().convert("L").convert("RGB"), int)).mean() < 3
    for kind in ("lying", "damaged EXIF"):
        assert np.abs(shown[kind] - np.rot90(drawn, -1)).mean() < 3  # 6: a quarter turn clockwise


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_a_picture_as_the_standard_says(orientation):
    turn = {  # the EXIF standard's table: where row 0 and column 0 of the file are seen
        1: lambda x: x,  # top, left
        2: lambda x: x[:, ::-1],  # top, right
        3: lambda x: x[::-1, ::-1],  # bottom, right
        4: lambda x: x[::-1],  # bottom, left
        5: lambda x: x.transpose(1, 0, 2),  # left, top
        6: lambda x: x.transpose(1, 0, 2)[:, ::-1],  # right, top
        7: lambda x: x.transpose(1, 0, 2)[::-1, ::-1],  # right, bottom
        8: lambda x: x.transpose(1, 0, 2)[::-1],  # left, bottom
    }[orientation]
    found = open_face(io.BytesIO(coded(exif=exif(orientation), quality=95))).astype(int)
    assert np.abs(found - turn(np.asarray(scene(), int))).mean() < 2


def verdict(content: bytes, check_only: bool) -> bool:
    try:
        open_face(io.BytesIO(content), check_only)
    except ValueError:  # nothing else may escape
        return False
    return True


@pytest.mark.slow
@pytest.mark.filterwarnings("error")
def test_damaged_jpegs_are_refused_or_read_and_the_quick_check_is_as_strict_as_decoding():
    rng = np.random.default_rng(0)
    bases = [*GOOD_PICTURES.values(), coded(quality=30, restart_marker_blocks=8)]
    n_bad = 0
    for i in range(2_400):
        content = bytearray(bases[i % len(bases)])
        head = min(len(content), 700)  # where the tables are
        match i // len(bases) % 5:
            case 0:
                del content[rng.integers(len(content)) :]
            case 1:
                for at in rng.integers(0, len(content), rng.integers(1, 20)):
                    content[at] ^= 1 << int(rng.integers(8))
            case 2:
                for at in rng.integers(0, head, rng.integers(1, 6)):
                    content[at] = rng.integers(256)
            case 3:
                at = rng.integers(len(content))
                del content[at : at + rng.integers(1, 100)]
            case 4:
                at, n = rng.integers(len(content)), rng.integers(1, 200)
                content[at : at + n] = rng.bytes(n)
        quick, whole = verdict(bytes(content), True), verdict(bytes(content), False)
        assert quick == whole, f"case {i}"
        n_bad += not whole
    assert 600 < n_bad < 1800  # many of either kind were met


def test_a_damaged_cache_is_made_anew_or_named(tmp_path, cache):
    folder = write_folder(tmp_path / "faces", faces())
    archive = write_zip(tmp_path / "faces.zip", faces())
    fingerprint = opened(folder).fingerprint
    assert opened(archive).fingerprint == fingerprint
    for index in cache.rglob("*.json"):
        index.write_bytes(index.read_bytes()[:-9])
    assert opened(folder).fingerprint == fingerprint
    with pytest.raises(ValueError, match=r"archives/\w+ is damaged .*: delete it, and faces.zip is unpacked again"):
        opened(archive)


def test_a_file_that_is_damaged_after_the_first_look_is_named(tmp_path):
    ds = opened(write_folder(tmp_path, faces()))
    path = tmp_path / ds.labels.file[2]
    for damage in (lambda: path.write_bytes(path.read_bytes()[:-300]), path.unlink):
        damage()
        with pytest.raises(ValueError, match="it was whole when first opened") as caught:
            ds.images([0, 2])
        assert str(path) in str(caught.value)


# -- archives ---------------------------------------------------------------------------------------------------------


def special(name: str, kind: bytes, target: str = "") -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member, b""


def test_nothing_leaves_the_cache_folder(tmp_path, cache):
    (tmp_path / "secret").write_bytes(coded(scene(9)))
    good = list(faces(2).items())
    evil = [
        (f"{tmp_path}/30_0_0_{STAMP}", coded()),
        (f"../../31_0_0_{STAMP}", coded()),
        (f"UTKFace/../../32_0_0_{STAMP}", coded()),
        ("../../evil.jpg", coded()),
        special(f"33_0_0_{STAMP}", tarfile.SYMTYPE, f"{tmp_path}/secret"),
        special(f"34_0_0_{STAMP}", tarfile.LNKTYPE, f"{tmp_path}/secret"),
        special(f"35_0_0_{STAMP}", tarfile.FIFOTYPE),
        special(f"36_0_0_{STAMP}", tarfile.CHRTYPE),
        special("faces", tarfile.SYMTYPE, str(tmp_path)),
        (f"faces/37_0_0_{STAMP}", coded()),  # through the link, if that were made: a face like any other
    ]
    before = tree(tmp_path)
    ds = opened(write_tar(tmp_path / "evil.tar.gz", good + evil))
    written = set(tree(tmp_path)) - set(before) - {str(tmp_path / "evil.tar.gz")}
    assert len(ds) == 3
    assert all(path.startswith(str(cache)) for path in written)
    assert not any(Path(path).is_symlink() for path in written)
    why = reasons(ds)
    assert [why[name] for name, _ in evil[:3]] == ["its path leads out of the archive"] * 3
    assert [why[f"{n}_0_0_{STAMP}"] for n in (33, 34, 35, 36)] == ["it is a link or a device, not a file"] * 4
    windows = [(name.replace("/", "\\"), content) for name, content in evil[:4]]
    ds = opened(write_zip(tmp_path / "evil.zip", dict(good + evil[:4] + windows)))
    assert [reasons(ds)[name] for name, _ in windows[:3]] == ["its path leads out of the archive"] * 3
    written = set(tree(tmp_path)) - set(before) - {str(tmp_path / "evil.tar.gz"), str(tmp_path / "evil.zip")}
    assert len(ds) == 2
    assert all(path.startswith(str(cache)) for path in written)


@pytest.mark.parametrize("kind", ["zip", "tar", "folder"])
def test_backslashes_separate_folders(tmp_path, kind):
    """PowerShell and .NET write them into archives, and some programs unpack them as a part of the name."""
    packed = {f"UTKFace\\part1\\{name}": content for name, content in faces().items()}
    if kind == "folder":
        ds = opened(write_folder(tmp_path / "faces", packed))
    else:
        write = write_zip if kind == "zip" else write_tar
        ds = opened(write(tmp_path / f"faces.{kind}", {"UTKFace\\": b""} | packed))
    assert list(ds.labels.file) == sorted(faces())
    assert ds.fingerprint == opened(write_folder(tmp_path / "plain", faces())).fingerprint
    assert ds.images(slice(None)).shape == (4, 120_000)
    assert "leads out" not in str(reasons(ds))


def test_an_archive_in_a_folder_is_read_if_it_is_the_only_one(tmp_path):
    downloads = write_folder(tmp_path / "Downloads", {"deep/holiday.jpg": coded(), "deep/list.txt": b""})
    archive = write_tar(downloads / "deep" / "UTKFace.tar.gz", faces())
    ds = opened(downloads)
    assert len(ds) == 4
    assert ds.source == str(archive)
    write_zip(downloads / "crop_part1.zip", faces(2))
    with pytest.raises(
        ValueError, match=r"no face in .*Downloads .* but crop_part1.zip, deep/UTKFace.tar.gz: give one"
    ):
        opened(downloads)
    name, content = next(iter(faces().items()))
    (downloads / name).write_bytes(content)  # faces of its own are meant
    ds = opened(downloads)
    assert len(ds) == 1
    assert reasons(ds)["crop_part1.zip"] == AN_ARCHIVE


def test_an_archive_in_an_archive_is_named(tmp_path):
    inner = write_tar(tmp_path / "UTKFace.tar.gz", faces())
    outer = write_zip(tmp_path / "archive.zip", {"data/UTKFace.tar.gz": inner.read_bytes(), "data/readme.txt": b""})
    with pytest.raises(ValueError, match=r"no face in .*archive.zip .* but data/UTKFace.tar.gz: .* or unpack it first"):
        opened(outer)


def test_a_name_twice_is_read_once_wherever_it_stands(tmp_path):
    """Folders are walked, and archives packed, in any order: all must find the same faces."""
    name, upper = f"30_0_0_{STAMP}", f"30_0_0_{STAMP.upper()}"
    files = {f"a/{name}": coded()[:-300], f"b/{name}": coded(scene(1)), f"c/{upper}": coded(scene(2))}
    forth, back = list(files.items()), list(files.items())[::-1]
    found = [
        opened(write_folder(tmp_path / "faces", files)),
        opened(write_tar(tmp_path / "forth.tar", forth, "w")),
        opened(write_tar(tmp_path / "back.tar", back, "w")),
    ]
    assert len({ds.fingerprint for ds in found}) == 1
    for ds in found:
        assert list(ds.labels.file) == [name]
        assert ds.images(0).tobytes() == open_face(io.BytesIO(files[f"b/{name}"])).tobytes()
        assert reasons(ds)[f"c/{upper}"] == "another file of this name is read"
        assert "truncated" in reasons(ds)[f"a/{name}"]
    twice = write_tar(tmp_path / "twice.tar", [(name, coded()), (name, coded(scene(1)))], "w")
    assert (len(opened(twice)), len(opened(twice).skipped)) == (1, 1)


def test_zip_entries_that_cannot_be_read_are_set_aside(tmp_path):
    name = f"30_0_0_{STAMP}"

    def patched(offset_local, offset_central, new, file):
        """Change a field in both headers of the entry."""
        path = write_zip(tmp_path / file, faces() | {name: coded(scene(9))})
        content = bytearray(path.read_bytes())
        local = content.index(b"PK\x03\x04", content.index(name.encode()) - 40)
        central = content.rindex(b"PK\x01\x02", 0, content.rindex(name.encode()))
        content[local + offset_local : local + offset_local + len(new)] = new
        content[central + offset_central : central + offset_central + len(new)] = new
        path.write_bytes(content)
        return reasons(opened(path))[name]

    assert "encrypted" in patched(6, 8, b"\x01\x00", "encrypted.zip")
    assert "can't be read" in patched(8, 10, b"\x63\x00", "method.zip")  # a way of packing that nobody knows
    assert "can't be read" in patched(14, 16, b"\0\0\0\0", "sum.zip")
    assert "can't be read" in patched(22, 24, b"\x05\0\0\0", "claims to be small.zip")


def test_a_large_file_is_not_read_into_memory(tmp_path):
    name, size = f"30_0_0_{STAMP}", 30_000_000
    folder = write_folder(tmp_path / "faces", faces())
    with open(folder / name, "wb") as file:
        file.truncate(size)
    paths = [
        folder,
        write_zip(tmp_path / "faces.zip", faces() | {name: bytes(size)}, zipfile.ZIP_DEFLATED),
        write_tar(tmp_path / "faces.tar.gz", faces() | {name: bytes(size)}),
    ]
    for path in paths:
        tracemalloc.start()
        ds = opened(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert reasons(ds) == {name: "it is too large for a face"}
        assert peak < size / 3


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_truncated_archives_are_refused(tmp_path, cache, part):
    for path in (
        write_tar(tmp_path / "a.tar.gz", faces()),
        write_tar(tmp_path / "a.tar.xz", faces(), "w:xz"),
        write_zip(tmp_path / "a.zip", faces()),
    ):
        path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
        with pytest.raises(ValueError, match="damaged, incomplete, or not an archive") as caught:
            opened(path)
        assert str(path) in str(caught.value)
        assert "https://susanqq.github.io/UTKFace/" in str(caught.value)
    assert not (cache / "archives").exists() or not any((cache / "archives").iterdir())


@pytest.mark.parametrize("kind", ["gz", "xz", "bz2"])
def test_damage_in_a_packed_tar_never_goes_unnoticed(tmp_path, kind):
    rng = np.random.default_rng(0)
    packed = write_tar(tmp_path / "whole", faces(), f"w:{kind}").read_bytes()
    fingerprint = opened(tmp_path / "whole").fingerprint
    n_refused = 0
    for i in range(30):
        content = bytearray(packed)
        content[int(rng.integers(10, len(content)))] ^= 1 << int(rng.integers(8))  # after gzip's header (time, name)
        path = tmp_path / f"{i}"
        path.write_bytes(content)
        try:
            assert opened(path).fingerprint == fingerprint
        except ValueError as error:
            n_refused += "damaged, incomplete, or not an archive" in str(error)
    assert n_refused >= 29


def test_damage_in_a_plain_tar(tmp_path):
    plain = write_tar(tmp_path / "plain.tar", faces(), "w")
    content = bytearray(plain.read_bytes())
    at = content.index(b"22_0_2")
    content[at + 100] ^= 1  # in the third member's header
    plain.write_bytes(content)
    with pytest.raises(ValueError, match="something follows its end"):
        opened(plain)


def test_a_tar_member_of_negative_size(tmp_path):
    name = f"30_0_0_{STAMP}"
    negative = tarfile.TarInfo(name)
    negative.pax_headers = {"size": "-1024"}
    with pytest.raises(ValueError, match="it holds a file of negative size"):
        opened(write_tar(tmp_path / "negative.tar", [(negative, coded())], "w"))


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_a_large_tar_header_is_not_read_into_memory(tmp_path, kind):
    size = 30_000_000
    path = write_tar(tmp_path / "faces.tar.gz", [*faces().items(), (special("header", kind)[0], bytes(size))])
    tracemalloc.start()
    with pytest.raises(ValueError, match="a header in it is too large"):
        opened(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < size / 3


@pytest.mark.parametrize("content", [b"", b"text", coded(), bytes(10_000)])
def test_a_file_that_is_no_archive(tmp_path, content):
    path = tmp_path / "UTKFace.tar.gz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"not an archive|there is no face") as caught:
        opened(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


# -- folders ----------------------------------------------------------------------------------------------------------


def test_a_folder_with_everything_in_it(tmp_path, cache, monkeypatch):
    folder = write_folder(tmp_path / "my faces", faces(2) | {"deep/er/notes.txt": b"", "thumbs.db": b"\x00" * 9})
    paths = {n: folder / f"{n}_0_0_{STAMP}" for n in range(30, 36)}
    paths[30].symlink_to(paths[31])  # a loop
    paths[31].symlink_to(paths[30])
    paths[32].symlink_to(folder / "nothing")
    os.mkfifo(paths[33])  # reading it would wait for ever
    paths[34].mkdir()
    paths[35].write_bytes(coded())  # can't be read
    (folder / "again").symlink_to(folder, target_is_directory=True)
    (folder / "good link").mkdir()
    (folder / "good link" / f"36_0_0_{STAMP}").symlink_to(folder / f"20_0_0_{STAMP}")

    def refused(path, *mode):
        if path == paths[35]:
            raise PermissionError(13, "Permission denied", str(path))
        return open(path, *mode)

    monkeypatch.setattr(data, "open", refused, raising=False)
    ds = opened(folder)
    assert sorted(ds.labels.age) == [20, 21, 36]
    why = {Path(file).name.split("_")[0]: reason for file, reason in reasons(ds).items()}
    assert why["30"] == why["31"] == "it can't be read: Too many levels of symbolic links"
    assert why["32"] == "it can't be read: No such file or directory"
    assert why["33"] == "it is no regular file"
    assert why["35"] == "it can't be read: Permission denied"
    assert why["again"] == "it is a link to a folder, and not followed"
    assert "is not age_gender_race" in why["thumbs.db"]
    assert set(why) == {"30", "31", "32", "33", "35", "again", "thumbs.db", "notes.txt"}
    assert ds.images(slice(None)).shape == (3, 120_000)


def test_a_folder_that_cannot_be_looked_into_is_listed(tmp_path, monkeypatch):
    folder = write_folder(tmp_path / "faces", faces(1) | {f"closed/{name}": c for name, c in faces(2).items()})
    scandir = os.scandir

    def refused(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    assert reasons(opened(folder)) == {"closed": "it can't be read: Permission denied"}


@pytest.mark.skipif(os.name == "nt" or os.uname().sysname == "Darwin", reason="names are Unicode there")
def test_names_that_are_no_text(tmp_path):
    folder = write_folder(tmp_path / "faces", faces(1))
    (folder / os.fsdecode(b"\xff\xfe.jpg")).write_bytes(b"")
    (folder / "line\nbreak").write_bytes(b"")
    archive = tmp_path / "faces.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(folder, "faces")
    for ds in (opened(folder), opened(archive)):
        assert len(ds) == 1
        assert len(ds.skipped) == 2
        str(ds.skipped).encode()


def test_the_cache_in_the_folder_is_no_data(tmp_path, monkeypatch):
    monkeypatch.setenv("HW1_CACHE", str(tmp_path / "faces" / "cache"))
    folder = write_folder(tmp_path / "faces", faces(2))
    opened(write_zip(tmp_path / "others.zip", {f"1_0_0_{STAMP}": coded()}))
    assert list(opened(folder).labels.age) == [20, 21]
    monkeypatch.setattr(data, "open_face", None)  # the second time nothing is looked at
    assert list(opened(folder).labels.age) == [20, 21]


def test_folder_and_archives_of_the_same_faces_are_the_same(tmp_path):
    packed = {f"UTKFace/part{i % 2}/{name}": content for i, (name, content) in enumerate(faces(6).items())}
    packed["UTKFace/readme.txt"] = b"read me"
    found = [
        opened(write_folder(tmp_path / "folder", packed)),
        opened(write_folder(tmp_path / "flat", faces(6))),
        opened(write_tar(tmp_path / "faces.tar.gz", packed)),
        opened(write_tar(tmp_path / "faces.tar.xz", packed, "w:xz")),
        opened(write_tar(tmp_path / "faces.tar", dict(reversed(packed.items())), "w")),
        opened(write_zip(tmp_path / "faces.zip", packed, zipfile.ZIP_DEFLATED)),
    ]
    assert {ds.fingerprint for ds in found} == {found[0].fingerprint}
    for ds in found:
        assert ds.labels.equals(found[0].labels)
        assert list(ds.labels.columns) == ["file", "age", "gender", "race"]
        assert list(ds.labels.file) == sorted(faces(6))
        assert (ds.images([4, -1, 0]) == found[0].images(slice(None))[[4, 5, 0]]).all()
        assert not ds.is_standin
    for row, (_, content) in enumerate(sorted(faces(6).items())):
        picture = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
        assert (found[0].images(row).reshape(200, 200, 3) == picture).all()


@pytest.mark.parametrize("change", ["content", "label", "fewer", "more"])
def test_the_fingerprint_tells_faces_apart(tmp_path, change):
    old = faces()
    new = dict(old)
    first = next(iter(old))
    if change == "content":
        new[first] = coded(scene(9))
    elif change == "more":
        new[f"99_0_0_{STAMP}"] = coded()
    else:
        content = new.pop(first)
        if change == "label":
            new[first.replace("20_0_0", "20_1_0")] = content
    assert (
        opened(write_folder(tmp_path / "a", old)).fingerprint != opened(write_folder(tmp_path / "b", new)).fingerprint
    )


def test_the_second_opening_looks_at_nothing_until_a_file_changes(tmp_path, monkeypatch):
    folder = write_folder(tmp_path / "faces", faces())
    archive = write_zip(tmp_path / "faces.zip", faces())
    look, looked = data.open_face, []
    monkeypatch.setattr(data, "open_face", lambda *a, **k: looked.append(1) or look(*a, **k))
    first = opened(folder)
    assert opened(archive).fingerprint == first.fingerprint
    assert len(looked) == 8
    assert opened(folder).fingerprint == opened(archive).fingerprint == first.fingerprint
    assert len(looked) == 8
    path = folder / first.labels.file[0]
    path.write_bytes(path.read_bytes()[:-1] + b"\xd8")  # as long as before
    os.utime(path, (1, 1))
    assert opened(folder).fingerprint != first.fingerprint
    write_zip(archive, faces(3))
    assert len(opened(archive)) == 3


# -- where the data is ------------------------------------------------------------------------------------------------


def test_a_wrong_path_says_what_is_expected(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        opened(tmp_path / "no where")
    for word in (
        f"there is nothing at {tmp_path}/no where",
        "*.jpg.chip.jpg",
        "UTKFace.tar.gz",
        "https://susanqq.github.io",
    ):
        assert word in str(caught.value)


def test_a_folder_without_faces_says_what_is_expected(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"there is no face in .*empty \(0 files were set aside\): expected a folder"):
        opened(tmp_path / "empty")
    folder = write_folder(tmp_path / "other", {"holiday.jpg": coded(), "work.txt": b""})
    with pytest.raises(
        ValueError, match=r"\(2 files were set aside; the first, holiday.jpg: its name is not age_gender"
    ):
        opened(folder)


def test_a_path_from_the_home_folder_or_the_checkout(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(data, "CHECKOUT", tmp_path)
    write_folder(tmp_path / "my faces", faces(1))
    assert len(opened("~/my faces")) == len(opened("my faces")) == 1
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)  # a bare user id, as containers have
    with pytest.raises(FileNotFoundError, match="there is nothing at ~/my faces"):
        opened("~/my faces")


def test_a_cache_that_cannot_be_written_is_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HW1_CACHE", str(tmp_path / "file"))
    for path in (None, write_folder(tmp_path / "faces", faces(1)), write_zip(tmp_path / "faces.zip", faces(1))):
        with pytest.raises(
            OSError, match=r"the cache folder .*file can't be written .* HW1_CACHE to a folder that can"
        ):
            opened(path)


def test_without_a_path_the_stand_in_is_opened(cache, monkeypatch):
    monkeypatch.setenv("HW1_FACES", "3")
    monkeypatch.setattr(data.standin, "make", lambda folder, n, progress: write_folder(folder, faces(n)))
    for path in (None, ""):
        ds = opened(path)
        assert (len(ds), ds.is_standin) == (3, True)
        assert "stand-in" in repr(ds)
        assert ds.folder.is_relative_to(cache)
    for wrong in ("0", "-3", "many", "1.5"):
        monkeypatch.setenv("HW1_FACES", wrong)
        with pytest.raises(ValueError, match="HW1_FACES must be a whole number >= 1"):
            opened(None)


FILL_THE_DISK = """
import os, sys
from pathlib import Path
from hw1lib import files
from hw1lib.faces import standin
from hw1lib.faces.data import FaceDataset

disk, archive = Path(sys.argv[1]), Path(sys.argv[2])
os.environ["HW1_CACHE"] = str(disk)
old = files.write_atomically(disk / "old.json", lambda temporary: temporary.write_text("old"))
standin.make(disk / "kept", 2, n_jobs=1, progress=False)
before = {path: path.is_file() and path.read_bytes() for path in disk.rglob("*")}
for action in (
    lambda: standin.make(disk / "faces", 100, n_jobs=1, progress=False),
    lambda: FaceDataset.open(archive, progress=False),
    lambda: files.write_atomically(old, lambda temporary: temporary.write_bytes(bytes(300_000))),
):
    try:
        action()
    except OSError as error:
        print(error)
    left = {path: path.is_file() and path.read_bytes() for path in disk.rglob("*") if path.name != "archives"}
    assert left == before, left.keys() - before.keys()
"""


@pytest.mark.slow
def test_a_full_disk_is_one_sentence_and_harms_nothing(tmp_path):
    disk, noise = tmp_path / "disk", np.random.default_rng(0)
    disk.mkdir()
    faces = {
        f"{i}_0_0_{STAMP}": coded(Image.fromarray(noise.integers(0, 256, (200, 200, 3), np.uint8))) for i in range(9)
    }
    archive = write_zip(tmp_path / "faces.zip", faces)
    inside = ["sh", "-c", 'mount -t tmpfs -o size=200k none "$1" && shift && exec "$@"', "-", str(disk)]
    try:  # in a namespace of its own, which takes the disk along when it ends
        subprocess.run(["unshare", "-rm", *inside, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no small disk can be mounted here: {error}")
    run = [sys.executable, "-c", FILL_THE_DISK, str(disk), str(archive)]
    child = subprocess.run(["unshare", "-rm", *inside, *run], capture_output=True, text=True)
    assert child.stderr == ""
    drawn, unpacked, written = child.stdout.splitlines()
    message = r" can't be written \(No space left on device\): it needs about \d MB"
    assert re.fullmatch(f"{disk}/faces{message}", drawn)
    assert re.fullmatch(rf"{disk}/archives/\w+{message}", unpacked)
    assert written == f"[Errno 28] No space left on device: '{disk}/old.json'"
