"""The PCA is scikit-learn's, what is saved comes back, and what is damaged is named."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    StandardScaler,
)
from sklearn.utils.estimator_checks import parametrize_with_checks
from threadpoolctl import threadpool_limits

from hw1lib.faces import NORMALIZERS, load_features, preprocess
from hw1lib.faces.chunks import LABELS
from hw1lib.faces.preprocess import ARRAYS, SAVED, Preprocessor

TWINS = {
    "standard": StandardScaler(),
    "minmax": MinMaxScaler(),
    "maxabs": MaxAbsScaler(),
    "unit": FunctionTransformer(lambda x: x / 255),
    "l2": Normalizer(),
}


def pictures(n=60, n_pixels=400, seed=0) -> np.ndarray:
    """Draw a few patterns mixed in random amounts, and noise."""
    rng = np.random.default_rng(seed)
    patterns = rng.normal(size=(6, n_pixels)) * np.array([30, 20, 14, 10, 7, 5])[:, None]
    x = rng.normal(size=(n, 6)) @ patterns + rng.normal(size=(n, n_pixels)) * 4
    return (
        (rng.uniform(60, 180, n_pixels) + rng.uniform(0.3, 1.5, n_pixels) * x)
        .clip(0, 255)
        .astype(np.uint8)
    )


def fit(images, n_components=5, normalizer="standard") -> Preprocessor:
    return Preprocessor(n_components, normalizer).fit(images, progress=False)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Small products are slow on several threads that other tests keep waiting."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def on_faces(faces):
    return fit(faces.images(slice(None)), 4)


# -- the numbers -----------------------------------------------------------------------------------


# eigh; more faces than pixels; Lanczos
@pytest.mark.parametrize("shape", [(60, 400), (60, 40), (300, 200)], ids=str)
@pytest.mark.parametrize("name", NORMALIZERS)
def test_equals_scikit_learns_scaler_and_full_pca(name, shape, monkeypatch):
    monkeypatch.setattr(preprocess, "BLOCK_PIXELS", 150)  # several blocks, the last one smaller
    x, new = pictures(*shape), pictures(20, shape[1], seed=1)
    if shape == (60, 40):
        x, new = x - 150.0, new - 150.0  # pixels below 0, too
    ours = fit(x, 6, name)
    pca = PCA(6, svd_solver="full")
    theirs = make_pipeline(TWINS[name], pca).fit(x.astype(float))
    tolerance = 2e-5
    signs = np.sign(np.sum(ours.components * pca.components_, axis=1))
    assert_allclose(ours.components, signs[:, None] * pca.components_, atol=tolerance)
    assert_allclose(ours.explained_variance, pca.explained_variance_, rtol=1e-6)
    assert_allclose(ours.explained_variance_ratio, pca.explained_variance_ratio_, rtol=1e-6)
    expected = signs * theirs.transform(new.astype(float))
    got = ours.transform(new)
    assert got.dtype == ours.components.dtype == np.float32
    assert_allclose(got, expected, atol=tolerance * np.abs(expected).max())
    assert_allclose(ours.components @ ours.components.T, np.eye(6), atol=5e-6)


def test_singular_values_keep_their_digits_in_float32():
    rng = np.random.default_rng(0)
    u, v = np.linalg.qr(rng.normal(size=(400, 9)))[0], np.linalg.qr(rng.normal(size=(2000, 9)))[0]
    u -= u.mean(axis=0)
    x = np.float32(255 * (u * 2.0 ** -np.arange(9)) @ v.T)  # singular values from 1 down to 1 / 256
    ours = fit(x, 8, "unit")
    expected = np.linalg.svd((x - x.mean(axis=0, dtype=float)) / 255, compute_uv=False)[:8]
    assert_allclose(np.sqrt(ours.explained_variance * 399), expected, rtol=1e-6)
    assert_allclose(ours.components @ ours.components.T, np.eye(8), atol=1e-4)


def test_fits_the_same_bits_whatever_the_type(monkeypatch):
    monkeypatch.setattr(preprocess, "BLOCK_PIXELS", 16)  # 25 blocks: their order matters
    x = pictures()
    first = fit(x)
    for again in (fit(x), fit(x.astype(np.int64)), fit(pd.DataFrame(x.astype(float)))):
        for name in ARRAYS:
            assert_array_equal(getattr(again, name), getattr(first, name))
    rows = np.arange(5)
    assert (first.components[rows, np.abs(first.components).argmax(axis=1)] > 0).all()


@pytest.mark.parametrize("name", NORMALIZERS)
def test_pixels_that_never_vary_and_black_images(name):
    x = pictures()
    x[:, 5:9], x[:, 20] = 37, 0
    x[3] = 0 if name in ("unit", "l2") else x[3]
    ours = fit(x, 4, name)
    assert (ours.scale > 0).all()
    if name == "standard":
        assert_array_equal(ours.scale[5:9], 1)
        assert_array_equal(ours.components[:, 5:9], 0)
    black = ours.transform(np.zeros((1, 400), np.uint8))
    assert_allclose(black[0], ours.components @ (-ours.center / ours.scale), rtol=1e-4, atol=1e-4)


def test_fewer_directions_than_components_give_features_of_zero():
    ours = fit(np.repeat(pictures(4), 5, axis=0), 6)  # four pictures span three directions
    assert_array_equal(ours.explained_variance[3:], 0)
    assert_allclose(ours.explained_variance_ratio.sum(), 1, rtol=1e-6)
    assert_allclose(ours.components @ ours.components.T, np.diag([1.0, 1, 1, 0, 0, 0]), atol=1e-6)
    assert_array_equal(ours.transform(pictures(7, seed=3))[:, 3:], 0)


def test_a_picture_is_rebuilt_from_all_components_and_better_from_more():
    x = pictures(30)
    ours = fit(x, 29)
    z = ours.transform(x)
    assert_allclose(ours.inverse_transform(z), x, atol=1e-2)
    errors = [np.abs(ours.inverse_transform(z, k) - x).mean() for k in (1, 5, 20, 29)]
    assert errors == sorted(errors, reverse=True)
    assert_allclose(ours.inverse_transform(z[0, :5]), ours.inverse_transform(z[:1], 5), rtol=1e-6)


# -- bad input -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda x: fit(x).transform(x[0]), "1D array"),
        (lambda x: fit(x).transform(x[:, 1:]), "399 features.* expecting 400"),
        (lambda x: fit(x).transform(x * np.nan), "images contains NaN"),
        (lambda x: fit(x, 60), "n_components=60 needs more faces.*n_samples=60"),
        (lambda x: fit(x[:, :40], 41), "n_components=41.*n_features=40"),
        (lambda x: fit(x, 2.5), "n_components must be a whole number >= 1"),
        (lambda x: fit(x, 5, "robust"), "normalizer must be one of standard, minmax, maxabs"),
        *[(lambda x, name=name: fit(x[[0] * 9], 2, name), "the same") for name in NORMALIZERS],
        (lambda x: Preprocessor().transform(x), "not fitted yet"),
        (lambda x: Preprocessor().inverse_transform(x), "not fitted yet"),
        (lambda x: Preprocessor().save("new.npz"), "not fitted yet"),
        (lambda x: Preprocessor().export([], "new"), "not fitted yet"),
        (lambda x: Preprocessor().explained_variance_ratio, "not fitted yet"),
    ],
)
def test_what_is_refused(call, word):
    with pytest.raises(ValueError, match=word):
        call(pictures())


# -- saved and loaded ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["standard", "l2"])
def test_comes_back_from_its_file(name, tmp_path):
    saved = fit(pictures(), 5, name)
    loaded = Preprocessor.load(saved.save(tmp_path / "p.npz"))
    for attribute in SAVED:
        assert_array_equal(getattr(loaded, attribute), getattr(saved, attribute))
    assert_array_equal(loaded.transform(pictures(seed=2)), saved.transform(pictures(seed=2)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 99}, "later version"),
        ({"kind": "network"}, "holds no preprocessor"),
        ({"normalizer": "robust"}, "normalizer must be one of"),
        ({"center": np.zeros(3)}, "center must have shape"),
        ({"components": np.full((5, 400), np.nan)}, "components must be finite"),
        ({"components": np.zeros(400)}, "not a preprocessor"),
        ({"n_fitted": 0}, "n_fitted must be"),
        ({"center": np.array([{}] * 400)}, "not a readable"),  # needs pickle, which is never loaded
    ],
)
def test_files_that_are_whole_but_wrong(change, message, tmp_path):
    path = fit(pictures()).save(tmp_path / "p.npz")
    np.savez(path, **(dict(np.load(path)) | change))
    with pytest.raises(ValueError, match=rf"p\.npz.*{message}"):
        Preprocessor.load(path)


# -- CSV chunks ------------------------------------------------------------------------------------


def contents(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_chunks_hold_every_face_and_every_bit(faces, on_faces, tmp_path, monkeypatch):
    monkeypatch.setattr(preprocess, "BLOCK_FACES", 4)
    folder = on_faces.export(faces, tmp_path / "chunks", chunk_size=10, progress=False)
    assert sorted(contents(folder)) == ["chunk_00.csv", "chunk_01.csv", "chunk_02.csv"]
    plain = pd.concat([pd.read_csv(path) for path in sorted(folder.iterdir())])
    assert plain.columns.tolist() == [*LABELS, "f000", "f001", "f002", "f003"]
    table = load_features(folder)
    pd.testing.assert_frame_equal(table[LABELS], faces.labels, check_dtype=False)
    assert_array_equal(table.iloc[:, 4:], plain.iloc[:, 4:].astype(np.float32))
    expected = on_faces.transform(faces.images(slice(None)))
    assert_allclose(table.iloc[:, 4:], expected, rtol=1e-4, atol=1e-3)
    block = slice(10, 14)  # float32, bit by bit
    assert_array_equal(table.iloc[block, 4:], on_faces.transform(faces.images(block)))


def test_the_bytes_do_not_depend_on_the_number_of_workers(faces, on_faces, tmp_path):
    one, two, three = (
        contents(on_faces.export(faces, tmp_path / f"{n}", chunk_size=4, n_jobs=n, progress=False))
        for n in (1, 2, 3)
    )
    assert len(one) == 6
    assert one == two == three


def test_a_folder_with_anything_in_it_is_refused(faces, on_faces, tmp_path):
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="is not empty"):
        on_faces.export(faces, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]


def chunks(folder, rows=(4, 4, 2)):
    """Write chunks by hand, as export would."""
    for i, n in enumerate(rows):
        lines = ["file,age,gender,race,f000,f001,f002"]
        lines += [f"{j}_1_2_0.jpg,{j},1,2,{j}.5,-1e-05,{j}" for j in range(4 * i, 4 * i + n)]
        (folder / f"chunk_{i:02d}.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b",f002\n", b"\n"),  # a column's name alone
        (b"race,", b""),
        (b"6_1_2_0.jpg,6,1,2,6.5,", b"6_1_2_0.jpg,6,1,2,"),  # a field too few
        (b",6.5,", b",6.5,1,"),  # a field too many
        (b",6.5,", b",1e39,"),  # no float32
        (b",6,1,2", b",6.5,1,2"),
        (b"6_1", b"\xff_1"),  # no UTF-8
        (b",7\n", b""),  # the last line, in the middle
        (b",7\n", b",7"),  # its line break alone: a digit may be missing, too
        (None, b""),
        (None, b"\x89PNG\r\n\x00\n"),
    ],
)
def test_a_damaged_chunk_is_named(old, new, tmp_path):
    path = chunks(tmp_path) / "chunk_01.csv"
    content = path.read_bytes()
    path.write_bytes(content.replace(old, new, 1) if old else new)
    assert path.read_bytes() != content
    with pytest.raises(OSError, match=r"chunk_01\.csv is no whole chunk.*; delete the folder"):
        load_features(tmp_path)


def test_chunks_that_do_not_belong_together(tmp_path):
    for rows, number in (((4, 4, 5), 2), ((4, 3, 4), 1)):
        with pytest.raises(OSError, match=rf"chunk_0{number}\.csv has other rows or columns"):
            load_features(chunks(tmp_path, rows))
    last = tmp_path / "chunk_02.csv"
    last.write_text("file,age,gender,race,f000\n1_1_2_0.jpg,1,1,2,3\n")
    with pytest.raises(OSError, match="has other rows or columns"):
        load_features(tmp_path)
    (tmp_path / "chunk_01.csv").unlink()
    with pytest.raises(OSError, match=r"should hold chunk_01\.csv before chunk_02\.csv"):
        load_features(tmp_path)
    with pytest.raises(OSError, match="no chunk_"):
        load_features(tmp_path / "nowhere")


# -- scikit-learn ----------------------------------------------------------------------------------


REFUSED_CHECKS = {  # and why
    "check_dont_overwrite_parameters": "what is fitted has no underscore",
    "check_methods_sample_order_invariance": "float32: the last bit may depend on the rows beside",
    "check_methods_subset_invariance": "float32: the last bit may depend on the rows beside",
}


@parametrize_with_checks([Preprocessor(2)], expected_failed_checks=lambda _: REFUSED_CHECKS)
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


def test_stands_in_a_pipeline_and_hands_out_data_frames():
    x = pd.DataFrame(pictures(80)).add_prefix("pixel ")
    y = fit(x, 3).transform(x)[:, 1]
    model = make_pipeline(Preprocessor(2), LinearRegression())
    search = GridSearchCV(model, {"preprocessor__n_components": [1, 2]}, cv=2).fit(x, y)
    assert search.best_params_ == {"preprocessor__n_components": 2}
    assert search.score(x, y) > 0.999  # the target is the second feature
    frame = Preprocessor(2).set_output(transform="pandas").fit_transform(x)
    assert list(frame.columns) == ["f000", "f001"]


def test_what_was_fitted_counts_not_what_is_said_afterwards(tmp_path):
    fitted = fit(pictures())
    before = fitted.transform(pictures())
    fitted.normalizer = "l2"
    assert_array_equal(fitted.transform(pictures()), before)
    loaded = Preprocessor.load(fitted.save(tmp_path / "p.npz"))
    assert_array_equal(loaded.transform(pictures()), before)
    assert not clone(fitted).n_fitted


def test_shapes_that_are_no_rows_lead_to_from_picture(on_faces):
    for wrong in (np.zeros((200, 200, 3), np.uint8), np.zeros((1, 50, 50, 3)), np.zeros((2, 7))):
        with pytest.raises(ValueError, match=r"faces\.from_picture\(path\) makes such a row"):
            on_faces.transform(wrong)
