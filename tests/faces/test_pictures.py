"""One file: the labels in its name are read or not, its picture is decoded or refused."""

import io
import re
import struct
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_faces import STAMP, coded, opened, reasons, scene, write_folder
from PIL import Image

from hw1lib.checks import FileError
from hw1lib.faces import block_mean, from_picture, reading
from hw1lib.faces.pictures import open_face, read_name

ROUND = settings(max_examples=300, deadline=None, derandomize=True, database=None)
USUAL = [".jpg.chip.jpg", ".jpg", ".JPG", ".jpeg"]
ODD = [" .jpg.chip.jpg", "jpg.chip.jpg", ".jpgchip.jpg", ".pg.chip.jpg", ".jpg.cip.jpg"]
endings = st.sampled_from(USUAL + ODD)
digits = st.text("0123456789", min_size=8, max_size=20)
names = st.builds(
    "{}_{}_{}_{}{}".format,
    st.integers(0, 120),
    st.integers(0, 1),
    st.integers(0, 4),
    digits,
    endings,
)


def read_by_hand(name):
    """Read the labels with little more than string methods: an oracle for the expression."""

    def known(word, *words):  # after at most one separator, and maybe short of a letter
        word = word.removeprefix("\0")
        return any(word in (w, *(w[:i] + w[i + 1 :] for i in range(len(w)))) for w in words)

    parts = name.split("_", 3)
    if len(parts) < 4:
        return None
    age, gender, race, rest = parts
    ending = rest.lstrip("0123456789")
    words = re.sub(r"[ ._]{1,2}", "\0", ending).lower()
    if not (age.isascii() and age.isdigit() and len(age) <= 3 and int(age) <= 120):
        return None
    if not 8 <= len(rest) - len(ending) <= 20 or gender not in ("0", "1"):
        return None
    if race not in tuple("01234") or "\0\0" in words:
        return None
    jpeg = known(words, "jpg", "jpeg")
    for j in range(len(words)):
        for i in range(j):
            parts = known(words[:i], "jpg", "jpeg"), known(words[i:j], "chip")
            jpeg |= all(parts) and known(words[j:], "jpg", "jpeg")
    return (int(age), int(gender), int(race)) if jpeg else None


@ROUND
@given(names, st.data())
def test_names_are_read_as_by_hand(name, draw):
    for _ in range(draw.draw(st.integers(0, 3))):  # changed here and there, or not at all
        start = draw.draw(st.integers(0, len(name)))
        stop = draw.draw(st.integers(start, min(len(name), start + 3)))
        new = draw.draw(st.text("0123456789_. -jpgcheiJ٣é\n/", max_size=3))
        name = name[:start] + new + name[stop:]
    assert read_name(name)[0] == read_by_hand(name)


@pytest.mark.parametrize(
    ("name", "labels", "remark"),
    [
        ("61_1_20170109150557335.jpg.chip.jpg", None, "no race label"),
        ("24_0_1_20170116220224657 .jpg.chip.jpg", (24, 0, 1), "unusual ending"),
        ("55_0_0_20170116232725357jpg.chip.jpg", (55, 0, 0), "unusual ending"),
        ("44_1_4_20170116235150272.pg.chip.jpg", (44, 1, 4), "unusual ending"),
        ("44_1_4_20170116235150272.png.chip.jpg", None, "is not age_gender_race"),
        ("crop (1).ZIP", None, "it is an archive, and not looked into"),
        ("faces.txz", None, "it is an archive, and not looked into"),
        ("._UTKFace.zip", None, "is not age_gender_race"),  # what macOS puts into archives
        ("120_1_4_20170109150557335.jpg.chip.jpg", (120, 1, 4), ""),
        ("121_1_4_20170109150557335.jpg.chip.jpg", None, "the age 121 in its name is above 120"),
        ("30_1_4_20170109150557335.jpg.chip.jpg\n", None, "is not age_gender_race"),
        ("٣٠_1_4_20170109150557335.jpg.chip.jpg", None, "is not age_gender_race"),
        ("9" * 100_000 + "_1_4", None, "is not age_gender_race"),
        ("", None, "is not age_gender_race"),
    ],
)
def test_names_as_they_are_met(name, labels, remark):
    read, why = read_name(name)
    assert read == labels
    assert why == remark == "" or remark in why


def sized(jpeg: bytes, width: int, height: int) -> bytes:
    """Change the size that a JPEG file claims (its SOF0 segment)."""
    at = jpeg.index(b"\xff\xc0") + 5
    return jpeg[:at] + struct.pack(">HH", height, width) + jpeg[at + 4 :]


def exif(orientation: int) -> bytes:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


NO_JPEG = "can't be read as a JPEG picture"
BAD_PICTURES = [
    (b"", "it is empty"),
    (b"no picture at all", f"{NO_JPEG}: not a JPEG file"),
    (coded()[:-200], f"{NO_JPEG}: .*truncated"),
    (coded()[:300] + bytes(len(coded()) - 300), NO_JPEG),
    (coded(scene(size=(201, 200))), "it is 201 x 200 pixels, not 200 x 200"),
    (sized(coded(), 30_000, 30_000), "it is 30000 x 30000 pixels"),
    (coded(scene().convert("RGBA"), "PNG"), "not a JPEG file"),
    (coded() + bytes(reading.MAX_BYTES), "it is too large for a face"),
]
GOOD_PICTURES = {
    "usual": coded(),
    "progressive": coded(progressive=True),
    "grey": coded(scene().convert("L")),
    "CMYK": coded(scene().convert("CMYK")),
    "no EXIF": coded(exif=b"Exif\x00\x00MM\x00\x2a\xff\xff\xff\xff" + b"\x99" * 40),
    "thumbnail in front": coded(comment=coded(scene(1, (32, 32)))),
    "data behind": coded() + b"more",
    "turned": coded(scene().transpose(Image.Transpose.ROTATE_90), exif=exif(6)),
}


def test_pictures_are_set_aside_with_the_reason(tmp_path):
    files = {f"{40 + i}_0_0_{STAMP}": content for i, (content, _) in enumerate(BAD_PICTURES)}
    ds = opened(write_folder(tmp_path / "faces", files | {f"1_0_0_{STAMP}": coded()}))
    assert len(ds) == 1
    why = reasons(ds)
    for name, (_, pattern) in zip(files, BAD_PICTURES, strict=True):
        assert re.search(pattern, why[name]), (name, why[name])
        assert "0x" not in why[name]  # an address in memory would tell the reader nothing


@pytest.mark.filterwarnings("error")
def test_pictures_that_a_viewer_shows_are_read():
    for kind, content in GOOD_PICTURES.items():
        expected = scene().convert("L").convert("RGB") if kind == "grey" else scene()
        shown = open_face(io.BytesIO(content)).astype(int)
        assert np.abs(shown - np.asarray(expected, int)).mean() < 3, kind


def is_read(content: bytes, check_only: bool) -> bool:
    try:
        open_face(io.BytesIO(content), check_only)
    except ValueError:  # nothing else may escape
        return False
    return True


@pytest.mark.slow
@pytest.mark.filterwarnings("error")
def test_damaged_jpegs_are_refused_or_read_and_the_quick_check_is_as_strict_as_decoding():
    rng = np.random.default_rng(0)
    bases = [*GOOD_PICTURES.values(), coded(quality=30)]
    n_bad = 0
    for i in range(1_600):
        content = bytearray(bases[i % len(bases)])
        at, n = rng.integers(len(content)), rng.integers(1, 100)
        match i // len(bases) % 4:
            case 0:
                del content[at:]
            case 1:
                del content[at : at + n]
            case 2:
                content[at : at + n] = rng.bytes(n)
            case 3:
                for place in rng.integers(0, 700, 5):  # where the tables are
                    content[place % len(content)] = rng.integers(256)
        quick, whole = is_read(bytes(content), True), is_read(bytes(content), False)
        assert quick == whole, f"case {i}"
        n_bad += not whole
    assert 400 < n_bad < 1200  # many of either kind were met


def test_threads_read_pictures_and_leave_the_warnings_as_they_were(tmp_path):
    """Python silences a warning by changing the whole process."""
    damaged = Image.Exif()
    damaged[0x0132] = "wide"  # the date may be a text, the width may not: Pillow warns
    damaged = damaged.tobytes().replace(b"\x01\x32", b"\x01\x00")
    path, before = tmp_path / "face.jpg", list(warnings.filters)
    path.write_bytes(coded(exif=damaged))  # opening a file lets other threads run
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            pictures = list(pool.map(open_face, [path] * 500))
    finally:
        sys.setswitchinterval(interval)
    assert all((picture == pictures[0]).all() for picture in pictures)
    assert warnings.filters == before


@pytest.mark.parametrize("cell", [1, 4, 5])
def test_small_pictures_are_means_of_squares(cell):
    faces = np.stack([np.asarray(scene(i)) for i in range(3)])
    small = block_mean(faces.reshape(3, -1), cell)
    assert small.dtype == np.uint8
    for face, pictures in zip(faces, small, strict=True):
        reduced = np.asarray(Image.fromarray(face).reduce(cell), int).transpose(2, 0, 1)
        assert np.abs(pictures - reduced).max() <= 1  # which rounds halves another way
        assert np.mean(pictures == reduced) > 0.9


@pytest.mark.parametrize("cell", [3, 0, 400])
def test_squares_that_do_not_fill_a_picture_are_refused(cell):
    with pytest.raises(ValueError, match="cell must be"):
        block_mean(np.zeros((1, 120_000), np.uint8), cell)


# -- a picture of one's own ------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(300, 200), (200, 300), (200, 200), (640, 480), (50, 30)])
def test_a_picture_of_one_s_own_becomes_the_square_in_its_middle(size, tmp_path):
    """Red rises from left to right, green from top to bottom."""
    width, height = size
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0] = np.linspace(0, 255, width)
    pixels[..., 1] = np.linspace(0, 255, height)[:, np.newaxis]
    Image.fromarray(pixels).save(tmp_path / "me.png")
    row = from_picture(tmp_path / "me.png")
    assert (row.shape, row.dtype) == ((1, 120_000), np.uint8)
    seen = row.reshape(200, 200, 3)
    side = min(size)
    for channel, length, axis in ((0, width, 1), (1, height, 0)):
        margin = (length - side) / 2 / length
        line = seen[..., channel].mean(axis=1 - axis)
        due = 255 * np.linspace(margin, 1 - margin, 200)
        assert np.abs(line - due).max() < 6


def test_a_picture_that_its_exif_turns_is_turned_and_any_kind_is_read(tmp_path):
    pixels = np.zeros((200, 200, 3), np.uint8)
    pixels[:100] = 255
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    seen = from_picture(str(tmp_path / "turned.png")).reshape(200, 200, 3)
    assert (seen[:90] == 0).all()
    assert (seen[110:] == 255).all()
    for mode in ("L", "RGBA", "P", "CMYK"):
        file = io.BytesIO()
        Image.fromarray(pixels).convert(mode).save(file, "tiff")
        grey = from_picture(io.BytesIO(file.getvalue())).reshape(200, 200, 3)
        assert grey[:90].min() > 250
        assert grey[110:].max() < 5


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + bytes(40), None])
def test_what_is_no_picture_is_refused_by_name(content, tmp_path):
    path = tmp_path / "me.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FileError, match=r"me\.jpg can't be read as a picture"):
        from_picture(path)
