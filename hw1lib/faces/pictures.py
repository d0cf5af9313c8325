"""One file of UTKFace: the labels in its name, and the picture in it."""

from __future__ import annotations

import re
import threading
import warnings

import numpy as np
from PIL import ImageOps
from PIL.ExifTags import Base
from PIL.JpegImagePlugin import JpegImageFile

from hw1lib.checks import whole_number

SIZE = 200  # pixels, either way
MAX_AGE = 120
AN_ARCHIVE = "it is an archive, and not looked into: give its own path, or unpack it first"

# age, gender, race, date and time; then an ending that must name a JPEG, though a letter, a space or a dot may be off
JPEG, CHIP = r"[ ._]{0,2}(?:jpe?g|pe?g|je?g|jpe?)", r"[ ._]{0,2}(?:chip|hip|cip|chp|chi)"
NAME = re.compile(rf"(\d{{1,3}})_([01])_([0-4])_(\d{{8,20}}){JPEG}(?:{CHIP}{JPEG})?", re.ASCII | re.IGNORECASE)
USUAL_ENDINGS = (".jpg.chip.jpg", ".jpg")
ARCHIVE = re.compile(r"[^.].*\.(zip|tar|tgz|gz|bz2|xz)", re.IGNORECASE | re.DOTALL)
DECODING = threading.Lock()  # held where the warnings of the whole process are changed


def read_name(name: str) -> tuple[tuple[int, int, int] | None, str]:
    """Return the labels (age, gender, race) that a file's name carries, and a remark.

    Without all three there are none: they are never guessed. The remark then says why; otherwise, what is odd about the
    name, or nothing.
    """
    match = NAME.fullmatch(name)
    if match:
        age, gender, race = (int(match[i]) for i in (1, 2, 3))
        if age > MAX_AGE:
            return None, f"the age {age} in its name is above {MAX_AGE}"
        usual = name[match.end(4) :].lower() in USUAL_ENDINGS
        return (age, gender, race), "" if usual else "unusual ending, labels read all the same"
    if re.fullmatch(r"\d{1,3}_[01]_\d{8,20}\D.*", name, re.ASCII | re.DOTALL):
        return None, "no race label in its name"
    if ARCHIVE.fullmatch(name):
        return None, AN_ARCHIVE
    return None, "its name is not age_gender_race_datetime.jpg.chip.jpg"


def open_face(source, check_only: bool = False) -> np.ndarray:
    """Decode one picture to uint8 (200, 200, 3); ValueError with the reason if it is not such a picture.

    Grey and CMYK become RGB, and a picture that its EXIF turns is turned, as a viewer does. With ``check_only`` it is
    decoded to (25, 25, 3): a broken file shows just the same, but six times faster.
    """
    try:
        with DECODING, warnings.catch_warnings(action="ignore"):  # Pillow warns of damaged EXIF
            picture = JpegImageFile(source)
            orientation = picture.getexif().get(Base.Orientation)
        with picture:
            if picture.size != (SIZE, SIZE):
                raise ValueError(f"it is {picture.width} x {picture.height} pixels, not {SIZE} x {SIZE}")
            if check_only:
                picture.draft(None, (SIZE // 8, SIZE // 8))
            face = picture.convert("RGB")
            face.info.clear()  # what else is in the EXIF may be damaged, which would stop Pillow
            face.getexif()[Base.Orientation] = orientation
            return np.asarray(ImageOps.exif_transpose(face))
    except ValueError:
        raise
    except Exception as error:  # damaged files make Pillow raise a dozen kinds
        raise ValueError(f"it can't be read as a JPEG picture: {error or type(error).__name__}") from error


def block_mean(images, cell: int = 4) -> np.ndarray:
    """Return smaller pictures: the mean of each square of ``cell`` x ``cell`` pixels, rounded.

    Parameters
    ----------
    images : ndarray, (n, 120000), uint8
        As ``FaceDataset.images`` returns them.
    cell : int
        A divisor of 200.

    Returns
    -------
    ndarray, (n, 3, 200 // cell, 200 // cell), uint8
        Red, green and blue apart, as ``nn.Network`` takes them.
    """
    if SIZE % whole_number("cell", cell):
        raise ValueError(f"cell must be a divisor of {SIZE}, not {cell}")
    side = SIZE // cell
    squares = images.reshape(-1, side, cell, side, cell, 3)
    return np.rint(squares.mean(axis=(2, 4))).astype(np.uint8).transpose(0, 3, 1, 2)
