"""One data set, or one Preprocessor, used from many threads that really run at once."""

import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from made_faces import opened
from numpy.testing import assert_array_equal
from PIL import Image

from hw1lib.faces import Preprocessor


@pytest.fixture
def often():
    """Let Python change threads as often as it can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def at_once(n, action):
    """Return what n threads get that start the action at the same moment."""
    start = threading.Barrier(n)

    def wait_and_act(_):
        start.wait()
        return action()

    with ThreadPoolExecutor(n) as pool:
        return list(pool.map(wait_and_act, range(n)))


def test_pictures_are_read_and_the_warnings_stay_as_they_were(faces_folder, tmp_path, often):
    """Python silences a warning by changing the whole process."""
    damaged = Image.Exif()
    damaged[0x0132] = "wide"  # the date may be a text, but ...
    damaged = damaged.tobytes().replace(
        b"\x01\x32", b"\x01\x00"
    )  # ... the width may not: Pillow warns
    for path in list(faces_folder.iterdir())[:6]:
        Image.open(path).save(tmp_path / path.name, exif=damaged)
    ds = opened(tmp_path)
    expected, before = ds.images(slice(None)), list(warnings.filters)
    for got in at_once(8, lambda: [ds.images(slice(None)) for _ in range(10)]):
        assert all((images == expected).all() for images in got)
    assert warnings.filters == before


def test_one_preprocessor_answers_many(often):
    images = np.random.default_rng(0).integers(0, 256, (60, 400), np.uint8)
    fitted = Preprocessor(5, "l2").fit(images, progress=False)
    expected = fitted.transform(images)
    for answers in at_once(8, lambda: [fitted.transform(images) for _ in range(9)]):
        assert_array_equal(answers, [expected] * 9)
