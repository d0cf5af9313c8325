"""What is made once for a data set is found again, and made again where it is damaged."""

import shutil

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from hw1lib import files
from hw1lib.faces import kept
from hw1lib.faces.data import FaceDataset
from hw1lib.faces.features import load_features, split
from hw1lib.faces.preprocess import Preprocessor


@pytest.mark.parametrize("n", [2, 3])
def test_very_few_faces(n, faces_folder, tmp_path):
    for path in sorted(faces_folder.iterdir())[:n]:
        shutil.copy(path, tmp_path)
    ds = FaceDataset.open(tmp_path, progress=False)
    table = kept.feature_table(ds, progress=False)
    assert table.shape == (n, 4 + n - 1)
    with pytest.raises(ValueError, match=f"ten folds need at least 10 faces, not {n}"):
        split(table, "race")


def test_one_face_alone_says_what_is_missing(faces_folder, tmp_path):
    shutil.copy(next(faces_folder.iterdir()), tmp_path)
    with pytest.raises(ValueError, match=r"holds one face, .* it takes two or more"):
        kept.feature_table(tmp_path, progress=False)


def test_prepare_works_once_and_says_what_to_delete(faces, tmp_path, monkeypatch):
    monkeypatch.setenv("HW1_CACHE", str(tmp_path))
    monkeypatch.setattr(kept, "CHUNK_SIZE", 10)
    monkeypatch.setattr(Preprocessor.export, "__defaults__", (10, -1, True))
    folder = kept.feature_folder(faces, progress=False)
    assert load_features(folder)["file"].tolist() == faces.labels["file"].tolist()
    assert kept.fitted_preprocessor(faces).n_components == 22  # of 23 faces, no more
    with monkeypatch.context() as patch:
        patch.setattr(Preprocessor, "fit", None)
        patch.setattr(Preprocessor, "export", None)
        assert kept.feature_folder(faces, progress=False) == folder
        (folder / "chunk_02.csv").unlink()
        with pytest.raises(ValueError, match=r"is without chunk_02\.csv: delete the folder"):
            kept.feature_folder(faces, progress=False)


@pytest.mark.parametrize("damage", ["cut", "old"])
def test_a_damaged_or_outdated_file_in_the_cache_is_made_again(damage, faces, tmp_path, monkeypatch):
    monkeypatch.setenv("HW1_CACHE", str(tmp_path))
    first = kept.fitted_preprocessor(faces, progress=False)
    (path,) = tmp_path.glob("features/*.npz")
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:1000])
    else:
        files.write_npz(path, "preprocessor", {"mean": first.center})
    for again in (kept.fitted_preprocessor(faces, progress=False), Preprocessor.load(path)):
        assert_array_equal(again.components, first.components)
        assert_array_equal(again.scale, first.scale)


# -- small pictures ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", [4, 5])
def test_small_pictures_are_means_of_squares(cell, faces, tmp_path, monkeypatch):
    monkeypatch.setenv("HW1_CACHE", str(tmp_path))
    monkeypatch.setattr(kept, "BLOCK_FACES", 7)  # of 23 faces: four blocks, the last smaller
    pictures = kept.small_pictures(faces, cell, progress=False)
    assert pictures.shape == (23, 3, 200 // cell, 200 // cell)
    assert pictures.dtype == np.uint8
    for i in (0, 22):
        face = Image.fromarray(faces.images([i])[0].reshape(200, 200, 3))
        reduced = np.asarray(face.reduce(cell), int).transpose(2, 0, 1)
        assert np.abs(pictures[i] - reduced).max() <= 1  # which rounds halves another way
        assert np.mean(pictures[i] == reduced) > 0.95


def test_small_pictures_are_made_once_and_again_if_damaged(faces, tmp_path, monkeypatch):
    monkeypatch.setenv("HW1_CACHE", str(tmp_path))
    first = np.array(kept.small_pictures(faces, 20, progress=False))
    with monkeypatch.context() as patch:
        patch.setattr(FaceDataset, "images", None)
        assert_array_equal(kept.small_pictures(faces, 20, progress=False), first)
    (path,) = tmp_path.glob("pictures/*.npy")
    for damaged in (path.read_bytes()[:-9], b""):
        path.write_bytes(damaged)
        assert_array_equal(kept.small_pictures(faces, 20, progress=False), first)
    np.save(path, first[:5])
    assert len(kept.small_pictures(faces, 20, progress=False)) == 23


@pytest.mark.parametrize("cell", [3, 0, 400, 2.5])
def test_squares_that_do_not_fill_a_picture_are_refused(cell, faces):
    with pytest.raises(ValueError, match="cell must be"):
        kept.small_pictures(faces, cell)
