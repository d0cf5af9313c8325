"""What the tests of the faces share: pictures, folders and archives of them."""

import io
import tarfile
import warnings
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from hw1lib.faces import FaceDataset

STAMP = "20170109150557335.jpg.chip.jpg"


def scene(seed=0, size=(200, 200)) -> Image.Image:
    """Draw a smooth coloured picture."""
    pixels = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    return Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)


def coded(picture=None, kind="JPEG", **options) -> bytes:
    file = io.BytesIO()
    (picture or scene()).save(file, kind, **options)
    return file.getvalue()


def made_up(n=4) -> dict[str, bytes]:
    """Return n faces: name to content."""
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


def opened(path) -> FaceDataset:
    with warnings.catch_warnings():  # of few faces
        warnings.simplefilter("ignore", UserWarning)
        return FaceDataset.open(path, progress=False)


def reasons(ds) -> dict[str, str]:
    return dict(ds.skipped.itertuples(index=False))
