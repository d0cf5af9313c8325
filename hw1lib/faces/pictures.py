"""One file of UTKFace: the labels in its name, and the picture in it."""

from __future__ import annotations

import re
import threading
import warnings

import numpy as np
from PIL import Image, ImageOps
from PIL.JpegImagePlugin import JpegImageFile

from hw1lib.checks import FileError, whole_number

SIZE = 200  # pixels, either way
N_PIXELS = SIZE * SIZE * 3  # 120,000 numbers a face
MAX_AGE = 120
AN_ARCHIVE = "it is an archive, and not looked into: give its own path, or unpack it first"

# age, gender, race, date and time; then an ending that must name a JPEG, though a letter, a space
# or a dot may be off
JPEG = r"[ ._]{0,2}(?:jpe?g|pe?g|je?g|jpe?)"
CHIP = r"[ ._]{0,2}(?:chip|hip|cip|chp|chi)"
NAME = re.compile(
    rf"(\d{{1,3}})_([01])_([0-4])_(\d{{8,20}}){JPEG}(?:{CHIP}{JPEG})?", re.ASCII | re.IGNORECASE
)
WITHOUT_RACE = re.compile(r"\d{1,3}_[01]_\d{8,20}\D.*", re.ASCII | re.DOTALL)
USUAL_ENDINGS = (".jpg.chip.jpg", ".jpg")
ARCHIVE = re.compile(r"[^.].*\.(zip|tar|tgz|tbz2?|txz|gz|bz2|xz)", re.IGNORECASE | re.DOTALL)
DECODING = threading.Lock()  # held where the warnings of the whole process are changed


def read_name(name: str) -> tuple[tuple[int, int, int] | None, str]:
    """Return the labels (age, gender, race) that a file's name carries, and a remark.

    Without all three there are none: they are never guessed. The remark then says why; otherwise,
    what is odd about the name, or nothing.
    """
    match = NAME.fullmatch(name)
    if match:
        age, gender, race = (int(match[i]) for i in (1, 2, 3))
        if age > MAX_AGE:
            return None, f"the age {age} in its name is above {MAX_AGE}"
        usual = name[match.end(4) :].lower() in USUAL_ENDINGS
        return (age, gender, race), "" if usual else "unusual ending, labels read all the same"
    if WITHOUT_RACE.fullmatch(name):
        return None, "no race label in its name"
    if ARCHIVE.fullmatch(name):
        return None, AN_ARCHIVE
    return None, "its name is not age_gender_race_datetime.jpg.chip.jpg"


def open_face(source, check_only: bool = False) -> np.ndarray:
    """Decode one picture to uint8 (200, 200, 3); ValueError with the reason if it is none.

    Grey and CMYK become RGB, and a picture that its EXIF turns is turned, as a viewer does. With
    ``check_only`` it is decoded to (25, 25, 3): a broken file shows just the same, but six times
    faster.
    """
    try:
        with DECODING, warnings.catch_warnings(action="ignore"):  # Pillow warns of damaged EXIF
            picture = JpegImageFile(source)
            picture.getexif()
        with picture:
            if picture.size != (SIZE, SIZE):
                size = f"{picture.width} x {picture.height}"
                raise ValueError(f"it is {size} pixels, not {SIZE} x {SIZE}")
            if check_only:
                picture.draft(None, (SIZE // 8, SIZE // 8))
            return np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
    except ValueError:
        raise
    except Exception as error:  # damaged files make Pillow raise a dozen kinds
        reason = error or type(error).__name__
        raise ValueError(f"it can't be read as a JPEG picture: {reason}") from error


def from_picture(source) -> np.ndarray:
    """Read a picture of your own, of any size: the square in its middle, scaled to 200 x 200.

    ``source`` is a file's path, or an open file, of any kind that Pillow reads. Returns one row as
    ``FaceDataset.images`` has them, (1, 120000), uint8: for ``Preprocessor.transform``, or for
    ``block_mean``. UTKFace's faces are centred and upright; crop yours likewise. FileError if there
    is no picture.
    """
    try:
        with Image.open(source) as picture:
            upright = ImageOps.exif_transpose(picture).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise FileError(f"{source} can't be read as a picture: {error}") from error
    square = ImageOps.fit(upright, (SIZE, SIZE), Image.Resampling.LANCZOS)
    return np.asarray(square).reshape(1, N_PIXELS)


def block_mean(images, cell: int = 4, margin: int = 0) -> np.ndarray:
    """Return smaller pictures: the mean of each square of ``cell`` x ``cell`` pixels, rounded.

    From ``FaceDataset.images``, (n, 120000), without the ``margin`` pixels at each side, to
    (n, 3, side, side), uint8, side = (200 - 2 margin) / cell: red, green and blue apart, as
    ``nn.Network`` takes them.
    """
    side, rest = divmod(SIZE - 2 * whole_number("margin", margin, 0), whole_number("cell", cell))
    if rest or side < 1:
        raise ValueError(f"cell must be a divisor of {SIZE} - 2 * margin, not {cell}")
    inner = slice(margin, SIZE - margin)
    middle = images.reshape(-1, SIZE, SIZE, 3)[:, inner, inner]
    squares = middle.reshape(-1, side, cell, side, cell, 3)
    return np.rint(squares.mean(axis=(2, 4))).astype(np.uint8).transpose(0, 3, 1, 2)
