"""Where the faces come from, and what is made of them once and found again."""

import dataclasses

import numpy as np
import pytest
from made_faces import made_up, opened, write_folder, write_zip
from numpy.testing import assert_array_equal

from hw1lib import faces as room
from hw1lib import files
from hw1lib.faces import dataset
from hw1lib.faces.dataset import FaceDataset
from hw1lib.faces.preprocess import Preprocessor


@pytest.fixture
def few(faces_folder):
    """Return 23 drawn faces, opened with an empty cache."""
    return opened(faces_folder)


# -- where they are --------------------------------------------------------------------------------


def test_where_no_faces_are_says_what_is_expected(tmp_path):
    with pytest.raises(OSError, match=r"nothing at .*/no where: expected .*chip\.jpg .*\.tar\.gz"):
        opened(tmp_path / "no where")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"no face in .*empty \(0 files were set aside\): expec"):
        opened(tmp_path / "empty")
    files = {"holiday.jpg": b"", "work.txt": b""}
    for path in (write_folder(tmp_path / "a", files), write_zip(tmp_path / "a.zip", files)):
        with pytest.raises(ValueError, match=r"\(2 files .*; holiday.jpg: its name is"):
            opened(path)


def test_a_path_from_the_home_folder_or_the_checkout(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(dataset, "CHECKOUT", tmp_path)
    write_folder(tmp_path / "my faces", made_up(1))
    assert len(opened("~/my faces")) == len(opened("my faces")) == 1


def test_a_cache_that_cannot_be_written_is_one_sentence(tmp_path, monkeypatch):
    folder = write_folder(tmp_path / "faces", made_up(1))
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HW1_CACHE", str(tmp_path / "file"))
    for path in (None, folder, write_zip(tmp_path / "faces.zip", made_up(1))):
        with pytest.raises(OSError, match=r"the cache folder .* HW1_CACHE to a folder that can"):
            opened(path)


def test_without_a_path_the_stand_in_is_opened(cache, monkeypatch):
    monkeypatch.setenv("HW1_FACES", "10")
    for path in (None, ""):
        ds = opened(path)
        assert (len(ds), ds.drawn, ds.folder.is_relative_to(cache)) == (10, True, True)
        assert "the embedded stand-in, 10 drawn faces" in repr(ds)
    assert opened(ds.folder).drawn  # wherever they lie
    for wrong in ("9", "-3", "many"):
        monkeypatch.setenv("HW1_FACES", wrong)
        with pytest.raises(ValueError, match=r"HW1_FACES must be .* >= 10 \(.* need 200\), not"):
            opened(None)


def test_few_faces_are_said_to_be_few(faces_folder, monkeypatch):
    with pytest.warns(UserWarning, match="23 drawn faces: fewer than 200 faces"):
        room.open(faces_folder, progress=False)
    monkeypatch.setattr(dataset, "FEW", 23)
    room.open(faces_folder, progress=False)


# -- features and pictures -------------------------------------------------------------------------


def test_features_and_pictures_are_of_the_same_faces(few):
    features, pictures = few.features(progress=False), few.pictures(20, progress=False)
    assert features.X.shape == (23, 22)  # one component fewer than faces
    assert (pictures.X.shape, pictures.X.dtype) == ((23, 3, 10, 10), np.uint8)
    assert_array_equal(pictures.X, room.block_mean(few.images(slice(None)), 20))
    table = room.load_features(few.feature_folder())
    assert room.Data.from_table(table).fingerprint == features.fingerprint
    for data in (features, pictures):
        assert data.labels.equals(few.labels)
        assert data.drawn
        assert_array_equal(data.groups, few.groups)
        assert len(dataclasses.replace(data, groups=np.arange(23)).folds()) == 10
    with pytest.raises(ValueError, match=r"cell must be a divisor of 200 - 2 \* margin, not 3"):
        few.pictures(3, progress=False)


def test_a_preprocessor_is_fitted_on_the_rows_that_are_given_or_drawn(few, monkeypatch):
    monkeypatch.setattr(dataset, "N_FITTED", 9)
    drawn = np.random.default_rng(0).permutation(23)[:9]  # recorded results stand on these
    expected = Preprocessor(8).fit(few.images(np.sort(drawn)), progress=False)
    assert_array_equal(few.preprocessor(progress=False).components, expected.components)
    rows = [5, 3, 8, 1]
    l2 = few.preprocessor("l2", fit_on=rows, progress=False)
    assert (l2.n_components, l2.n_fitted, l2.normalizer) == (3, 4, "l2")
    again = few.preprocessor("l2", fit_on=np.isin(np.arange(23), rows), progress=False)
    assert_array_equal(again.components, l2.components)
    assert few.features("l2", fit_on=rows, progress=False).X.shape == (23, 3)
    with pytest.raises(ValueError, match="normalizer must be one of"):
        few.preprocessor("robust")


def test_everything_is_made_once_and_again_if_damaged(few, cache, monkeypatch):
    def made():
        return (
            few.preprocessor(progress=False).components,
            few.features(progress=False).X,
            np.array(few.pictures(20, progress=False).X),
        )

    first = made()
    for name in ("fit", "export"):
        monkeypatch.setattr(Preprocessor, name, None)
    with monkeypatch.context() as patch:
        patch.setattr(FaceDataset, "images", None)
        for kept, expected in zip(made(), first, strict=True):
            assert_array_equal(kept, expected)
    monkeypatch.undo()
    monkeypatch.setenv("HW1_CACHE", str(cache))
    (model,) = cache.glob("features/*.npz")
    (pictures,) = cache.glob("pictures/*.npy")
    for damage in (
        lambda: model.write_bytes(model.read_bytes()[:1000]),
        lambda: files.write_npz(model, "preprocessor", {"mean": first[0]}),
        lambda: pictures.write_bytes(pictures.read_bytes()[:-9]),
        lambda: pictures.write_bytes(b""),
    ):
        damage()
        for again, expected in zip(made(), first, strict=True):
            assert_array_equal(again, expected)
    chunk = few.feature_folder(progress=False) / "chunk_00.csv"
    chunk.write_text("\n".join(chunk.read_text().splitlines()[:9]) + "\n")
    with pytest.raises(ValueError, match=r"holds 8 of 23 faces; delete the folder"):
        few.features(progress=False)


def test_very_few_faces(tmp_path):
    with pytest.raises(ValueError, match=r"n_components must be a whole number >= 1, not 0"):
        opened(write_folder(tmp_path, made_up(1))).features(progress=False)
    data = opened(write_folder(tmp_path, made_up(2))).features(progress=False)
    assert (data.X.shape, data.drawn) == ((2, 1), False)
