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
from sklearn.preprocessing import FunctionTransformer, MaxAbsScaler, MinMaxScaler, Normalizer, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from threadpoolctl import threadpool_limits

from hw1lib.faces import features, preprocess
from hw1lib.faces.features import Part, batches, load_features, rescale
from hw1lib.faces.preprocess import Preprocessor

TWINS = {
    "standard": StandardScaler(),
    "minmax": MinMaxScaler(),
    "maxabs": MaxAbsScaler(),
    "unit": FunctionTransformer(lambda x: x / 255),
    "l2": Normalizer(),
}


def pictures(n=60, n_pixels=400, seed=0) -> np.ndarray:
    """Draw a few patterns mixed in random amounts, and noise; pixels of unlike brightness and contrast."""
    rng = np.random.default_rng(seed)
    patterns = rng.normal(size=(6, n_pixels)) * np.array([30, 20, 14, 10, 7, 5])[:, None]
    x = rng.normal(size=(n, 6)) @ patterns + rng.normal(size=(n, n_pixels)) * 4
    return (rng.uniform(60, 180, n_pixels) + rng.uniform(0.3, 1.5, n_pixels) * x).clip(0, 255).astype(np.uint8)


def fit(images, n_components=5, normalizer="standard") -> Preprocessor:
    return Preprocessor(n_components, normalizer).fit(images, progress=False)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Small products are slow on several threads that other tests keep waiting."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def on_faces(faces):
    return Preprocessor(4).fit(faces, progress=False)


# -- the numbers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(60, 400), (60, 40), (300, 200)], ids=str)  # eigh, n > n_pixels, Lanczos
@pytest.mark.parametrize("small", [0, preprocess.FLOAT64_PIXELS], ids=["float32", "float64"])
@pytest.mark.parametrize("name", preprocess.NORMALIZERS)
def test_equals_scikit_learns_scaler_and_full_pca(name, small, shape, monkeypatch):
    monkeypatch.setattr(preprocess, "FLOAT64_PIXELS", small)
    monkeypatch.setattr(preprocess, "BLOCK_PIXELS", 150)  # several blocks, the last one smaller
    x, new = pictures(*shape), pictures(20, shape[1], seed=1)
    if shape == (60, 40):
        x, new = x - 150.0, new - 150.0  # pixels below 0, too
    ours = fit(x, 6, name)
    pca = PCA(6, svd_solver="full")
    theirs = make_pipeline(TWINS[name], pca).fit(x.astype(float))
    tolerance = 2e-6 if small else 2e-5
    signs = np.sign(np.sum(ours.components * pca.components_, axis=1))
    assert_allclose(ours.components, signs[:, None] * pca.components_, atol=tolerance)
    assert_allclose(ours.explained_variance, pca.explained_variance_, rtol=1e-6)
    assert_allclose(ours.explained_variance_ratio, pca.explained_variance_ratio_, rtol=1e-6)
    expected = signs * theirs.transform(new.astype(float))
    got = ours.transform(new)
    assert got.dtype == ours.components.dtype == np.float32
    assert_allclose(got, expected, atol=tolerance * np.abs(expected).max())
    assert_allclose(ours.components @ ours.components.T, np.eye(6), atol=5e-6)


def test_singular_values_keep_their_digits_in_float32(monkeypatch):
    monkeypatch.setattr(preprocess, "FLOAT64_PIXELS", 0)
    rng = np.random.default_rng(0)
    u, v = np.linalg.qr(rng.normal(size=(400, 9)))[0], np.linalg.qr(rng.normal(size=(2000, 9)))[0]
    u -= u.mean(axis=0)
    x = np.float32(255 * (u * 2.0 ** -np.arange(9)) @ v.T)  # singular values from 1 down to 1 / 256
    ours = fit(x, 8, "unit")
    expected = np.linalg.svd((x - x.mean(axis=0, dtype=float)) / 255, compute_uv=False)[:8]
    assert_allclose(np.sqrt(ours.explained_variance * 399), expected, rtol=1e-6)
    assert_allclose(ours.components @ ours.components.T, np.eye(8), atol=1e-4)


def test_fits_the_same_bits_every_time_whatever_the_type(monkeypatch):
    monkeypatch.setattr(preprocess, "FLOAT64_PIXELS", 0)
    monkeypatch.setattr(preprocess, "BLOCK_PIXELS", 16)  # 25 blocks: summed in any order, they would differ
    x = pictures()
    first = fit(x)
    for again in (fit(x), fit(x.astype(float)), fit(x.astype(np.int64)), fit(pd.DataFrame(x))):
        for name in Preprocessor._ARRAYS:
            assert_array_equal(getattr(again, name), getattr(first, name))
    rows = np.arange(5)
    assert (first.components[rows, np.abs(first.components).argmax(axis=1)] > 0).all()


def test_leaves_the_callers_array_alone():
    x = pictures().astype(np.float32)
    before = x.copy()
    for name in preprocess.NORMALIZERS:
        fit(x, 3, name).transform(x)
    assert_array_equal(x, before)


@pytest.mark.parametrize("name", preprocess.NORMALIZERS)
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
    ours = fit(np.repeat(pictures(4), 5, axis=0), 6)  # four different pictures span three directions
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


def test_a_data_set_is_fitted_on_a_seeded_subset(faces):
    rows = np.sort(np.random.default_rng(3).permutation(23)[:9])
    drawn, given = Preprocessor(4).fit(faces, subset=9, seed=3, progress=False), fit(faces.images(rows), 4)
    assert_array_equal(drawn.components, given.components)
    assert drawn.n_fitted == 9
    other = Preprocessor(4).fit(faces, subset=9, seed=4, progress=False)
    assert not np.array_equal(drawn.components, other.components)
    assert Preprocessor(4).fit(faces, progress=False).n_fitted == 23


# -- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((0, 400), np.uint8), "0 sample"),
        (np.zeros(400, np.uint8), "1D array"),
        (np.zeros((2, 20, 20), np.uint8), "dim 3"),
        (np.zeros((2, 399), np.uint8), "399 features.* expecting 400"),
        (np.full((2, 400), np.nan), "images contains NaN"),
        (np.full((2, 400), -np.inf), "infinity"),
        (np.full((2, 400), 1e300), "infinity"),
        (np.full((2, 400), "face"), "could not convert string"),
        (np.full((2, 400), None), "images contains NaN|float"),
        (np.full((2, 400), 1j), "Complex"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_images_that_are_none(images, message):
    fitted = fit(pictures())
    with pytest.raises((ValueError, TypeError), match=message):
        fitted.transform(images)
    if "expecting" not in message:
        with pytest.raises((ValueError, TypeError), match=message):
            fit(images)


def test_what_can_not_be_fitted(faces):
    x = pictures()
    with pytest.raises(ValueError, match=r"n_components=60 needs more faces than that.*n_samples=60"):
        fit(x, 60)
    with pytest.raises(ValueError, match=r"n_components=41.*n_features=40"):
        fit(x[:, :40], 41)
    for same in (x[:1].repeat(9, axis=0), np.zeros_like(x)):
        for name in preprocess.NORMALIZERS:
            with pytest.raises(ValueError, match="are the same"):
                fit(same, 2, name)
    with pytest.raises(ValueError, match="too large"):
        fit(x * 1e36, 2, "unit")
    with pytest.raises(ValueError, match=r"subset must be a whole number >= 2, not 1"):
        Preprocessor(1).fit(faces, subset=1)
    with pytest.raises(ValueError, match="did you mean subset=9"):
        Preprocessor(1).fit(faces, 9)
    for bad in (0, -1, 2.5, "5", None, True):
        with pytest.raises(ValueError, match="n_components must be a whole number >= 1"):
            fit(x, bad)
        if bad is not None:
            with pytest.raises(ValueError, match="n_components must be a whole number >= 1"):
                fit(x).inverse_transform(np.zeros((1, 5)), bad)
    for bad in ("robust", None, ["l2"]):
        with pytest.raises(ValueError, match="normalizer must be one of standard, minmax, maxabs, unit, l2"):
            fit(x, 5, bad)
    with pytest.raises(ValueError, match="seed must be a whole number >= 0"):
        Preprocessor(1).fit(faces, seed=None)


def test_a_fit_that_fails_changes_nothing():
    fitted = fit(pictures())
    before = fitted.transform(pictures())
    with pytest.raises(ValueError, match="are the same"):
        fitted.fit(np.zeros((9, 400)))
    assert_array_equal(fitted.transform(pictures()), before)


def test_unfitted(faces, tmp_path):
    new = Preprocessor()
    for use in (
        lambda: new.transform(pictures()),
        lambda: new.inverse_transform(np.zeros((1, 5))),
        lambda: new.save(tmp_path / "new.npz"),
        lambda: new.export(faces, tmp_path / "new"),
        lambda: new.explained_variance_ratio,
    ):
        with pytest.raises(ValueError, match="not fitted yet"):
            use()
    assert not list(tmp_path.iterdir())
    assert repr(new) == "Preprocessor(n_components=128, normalizer='standard'), not fitted"


def test_numpy_numbers_are_as_good_as_pythons(faces, tmp_path):
    one, two = np.int64(1), np.uint8(2)
    ours = Preprocessor(two).fit(faces, subset=np.int32(9), seed=one, progress=False)
    theirs = Preprocessor(2).fit(faces, subset=9, seed=1, progress=False)
    assert_array_equal(ours.components, theirs.components)
    assert_same(Preprocessor.load(ours.save(tmp_path / "p.npz")), theirs)
    folders = (
        p.export(faces, tmp_path / str(type(k)), k, progress=False) for p, k in ((ours, np.int64(9)), (theirs, 9))
    )
    assert len({tuple(sorted(contents(folder).items())) for folder in folders}) == 1
    assert_array_equal(faces.images(one), faces.images(1))
    features = ours.transform(faces.images(0))
    assert_array_equal(ours.inverse_transform(features, one), theirs.inverse_transform(features, 1))


# -- saved and loaded -------------------------------------------------------------------------------------------------


def assert_same(a: Preprocessor, b: Preprocessor):
    assert (a.get_params(), a.n_fitted, a.total_variance) == (b.get_params(), b.n_fitted, b.total_variance)
    for name in Preprocessor._ARRAYS:
        assert_array_equal(getattr(a, name), getattr(b, name))


@pytest.mark.parametrize("name", ["standard", "l2"])
def test_comes_back_from_its_file(name, tmp_path):
    saved = fit(pictures(), 5, name)
    loaded = Preprocessor.load(saved.save(tmp_path / "p.npz"))
    assert_same(loaded, saved)
    assert_array_equal(loaded.transform(pictures(seed=2)), saved.transform(pictures(seed=2)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 99}, "later version"),
        ({"kind": "network"}, "holds no preprocessor"),
        ({"center": None}, "without center"),
        ({"normalizer": "robust"}, "normalizer must be one of"),
        ({"center": np.zeros(3)}, "center must be finite, of shape"),
        ({"components": np.full((5, 400), np.nan)}, "components must be finite"),
        ({"components": np.zeros(400)}, "not a preprocessor"),
        ({"components": np.full((5, 400), "x")}, "not a preprocessor"),
        ({"scale": np.zeros(400)}, "too small"),
        ({"n_fitted": 0}, "too small"),
        ({"n_fitted": np.inf}, "not a preprocessor"),
        ({"total_variance": np.zeros(2)}, "not a preprocessor"),
        ({"center": np.array([{}] * 400)}, "not a readable"),  # needs pickle, which is never loaded
    ],
)
def test_files_that_are_whole_but_wrong(change, message, tmp_path):
    path = fit(pictures()).save(tmp_path / "p.npz")
    arrays = dict(np.load(path)) | change
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(ValueError, match=rf"p\.npz.*{message}"):
        Preprocessor.load(path)
    with pytest.raises(FileNotFoundError):
        Preprocessor.load(tmp_path / "none.npz")


# -- CSV chunks -------------------------------------------------------------------------------------------------------


def contents(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_chunks_hold_every_face_and_every_bit(faces, on_faces, tmp_path, monkeypatch):
    monkeypatch.setattr(preprocess, "BLOCK_FACES", 4)
    folder = on_faces.export(faces, tmp_path / "chunks", chunk_size=10, progress=False)
    assert sorted(contents(folder)) == ["chunk_00.csv", "chunk_01.csv", "chunk_02.csv"]
    plain = pd.concat([pd.read_csv(folder / f"chunk_0{i}.csv") for i in range(3)], ignore_index=True)
    assert plain.columns.tolist() == ["file", "age", "gender", "race", "f000", "f001", "f002", "f003"]
    table = load_features(folder)
    pd.testing.assert_frame_equal(table[features.LABELS], faces.labels, check_dtype=False)
    assert_array_equal(table.iloc[:, 4:], plain.iloc[:, 4:].astype(np.float32))
    expected = on_faces.transform(faces.images(slice(None)))
    assert_allclose(table.iloc[:, 4:], expected, rtol=1e-4, atol=1e-3)
    assert_array_equal(table.iloc[10:14, 4:], on_faces.transform(faces.images(slice(10, 14))))  # float32, bit by bit


def test_the_bytes_do_not_depend_on_the_number_of_workers(faces, on_faces, tmp_path):
    one, two, three = (
        contents(on_faces.export(faces, tmp_path / f"{n}", chunk_size=4, n_jobs=n, progress=False)) for n in (1, 2, 3)
    )
    assert len(one) == 6
    assert one == two == three


def test_a_folder_with_anything_in_it_is_refused(faces, on_faces, tmp_path):
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="is not empty"):
        on_faces.export(faces, tmp_path)
    for bad in (0, 2.5, None):
        with pytest.raises(ValueError, match="chunk_size must be a whole number >= 1"):
            on_faces.export(faces, tmp_path / "new", chunk_size=bad)
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]


def chunks(folder, rows=(4, 4, 2)):
    """Write chunks by hand, as export would."""
    numbers = iter(range(100))
    for i, n in enumerate(rows):
        lines = [f"{j}_1_2_0.jpg,{j},1,2,{j}.5,-1e-05,{j}" for j in (next(numbers) for _ in range(n))]
        (folder / f"chunk_{i:02d}.csv").write_text("\n".join(["file,age,gender,race,f000,f001,f002", *lines]) + "\n")
    return folder


def test_chunks_written_by_hand_are_read(tmp_path):
    table = load_features(chunks(tmp_path))
    assert table.dtypes.astype(str).tolist() == ["string", *["int64"] * 3, *["float32"] * 3]
    assert_array_equal(table["age"], range(10))
    assert_array_equal(table["f001"], np.full(10, -1e-5, np.float32))
    with pytest.raises(FileNotFoundError, match="no chunk_"):
        load_features(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b",f002\n", b"\n", "line 2: 7 fields, but 6 columns"),  # a column's name alone
        (b"f001", b"f000", "line 1: it must be file,age,gender,race,f000,f001"),  # twice the same
        (b"race,", b"", "line 1: it must be"),
        (b"file", b"\xef\xbb\xbffile", "line 1: it must be"),
        (b"6_1_2_0.jpg,6,1,2,6.5,", b"6_1_2_0.jpg,6,1,2,", "line 4: 6 fields, but 7 columns"),
        (b",6.5,", b",6.5,1,", "line 4: 8 fields"),
        (b",6.5,", b",six,", "line 4: could not convert string to float: 'six'"),
        (b",6.5,", b",,", "line 4: could not convert"),
        (b",6.5,", b",nan,", "line 4: f000 is nan"),
        (b",6.5,", b",-inf,", "line 4: f000 is -inf"),
        (b",6.5,", b",1e39,", "line 4: f000 is 1e"),
        (b",6,1,2", b",6.5,1,2", "line 4: age is 6.5"),
        (b"6_1", b"\xff_1", "line 4: .*utf-8"),
        (b"6_1_2_0", b"\n6_1_2_0", "line 4: 1 fields"),  # an empty line
        (b",7\n", b"", "line 5: the file is cut"),  # the last line, in the middle
        (b",7\n", b",7", "line 5: the file is cut"),  # its line break alone: a digit may be missing, too
        (b"7_1_2_0.jpg,7,1,2,7.5,-1e-05,7\n", b"", "ends at line 4"),
    ],
)
def test_a_damaged_chunk_is_named_with_its_line(old, new, message, tmp_path):
    path = chunks(tmp_path) / "chunk_01.csv"
    content = path.read_bytes()
    assert content.count(old) >= 1
    path.write_bytes(content.replace(old, new, 1))
    with pytest.raises(ValueError, match=rf"chunk_01\.csv,? {message}.*; delete the folder"):
        load_features(tmp_path)


def test_chunks_that_do_not_belong_together(tmp_path):
    chunks(tmp_path, rows=(4, 4, 5))
    with pytest.raises(ValueError, match=r"chunk_02\.csv ends at line 6, chunk_00\.csv at 5"):
        load_features(tmp_path)
    wide = chunks(tmp_path) / "chunk_03.csv"
    wide.write_text("file,age,gender,race,f000\n1_1_2_0.jpg,1,1,2,3\n")
    with pytest.raises(
        ValueError, match=r"chunk_02\.csv ends at line 3, chunk_00\.csv at 5"
    ):  # no longer the last file
        load_features(tmp_path)
    (tmp_path / "chunk_02.csv").write_text(wide.read_text())
    with pytest.raises(ValueError, match=r"chunk_02\.csv, line 1: not the columns of chunk_00\.csv"):
        load_features(tmp_path)
    (tmp_path / "chunk_01.csv").unlink()
    with pytest.raises(ValueError, match=r"should hold chunk_01\.csv before chunk_02\.csv"):
        load_features(tmp_path)
    for path in tmp_path.iterdir():
        path.unlink()
    (tmp_path / "chunk_00.csv").write_bytes(b"")
    with pytest.raises(ValueError, match=r"chunk_00\.csv, line 1: it must be"):
        load_features(tmp_path)
    chunks(tmp_path, rows=(0,))
    with pytest.raises(ValueError, match=r"chunk_00\.csv, line 2: the file is cut"):
        load_features(tmp_path)


# -- training, validation, test ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("whitening", [0, 0.5, 1])
def test_rescale_takes_its_numbers_from_the_training_part(whitening):
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(500, 3)) * [100, 10, 1]).astype(np.float32)
    train, test = rescale(Part(X, X[:, 0]), Part(2 * X[:9], X[:9, 0]), whitening=whitening, input_rms=0.25)
    assert_allclose(np.sqrt(np.mean(train.X**2)), 0.25, rtol=1e-5)
    assert_allclose(test.X, 2 * train.X[:9], rtol=1e-6)
    spread = train.X.std(axis=0)
    assert_allclose(spread / spread[0], (X.std(axis=0) / X.std(axis=0)[0]) ** (1 - whitening), rtol=1e-4)
    assert_array_equal(train.y, X[:, 0])
    for bad in ({"whitening": -1}, {"whitening": np.nan}, {"input_rms": 0}, {"input_rms": "1"}):
        with pytest.raises(ValueError, match=r"(whitening|input_rms) must be a finite number"):
            rescale(train, **bad)
    with pytest.raises(ValueError, match="no feature varies"):
        rescale(Part(np.ones((4, 2), np.float32), np.ones(4)))


def test_batches_hold_every_row_once_and_change_nothing():
    X, y = np.arange(600).reshape(300, 2), np.arange(300)
    before = X.copy(), y.copy()
    assert [len(y_batch) for _, y_batch in batches(X, y)] == [128, 128, 44]
    assert_array_equal(np.concatenate([x for x, _ in batches(X, y, 7)]), X)
    shuffled = list(batches(X, y, 7, np.random.default_rng(0)))
    assert_array_equal(np.concatenate([x for x, _ in shuffled])[:, 0], 2 * np.concatenate([t for _, t in shuffled]))
    order = np.concatenate([t for _, t in shuffled])
    assert not np.array_equal(order, y)
    assert_array_equal(np.sort(order), y)
    assert_array_equal((X, y)[0], before[0])
    assert_array_equal(y, before[1])
    for bad in (0, 2.5):
        with pytest.raises(ValueError, match="batch_size must be a whole number >= 1"):
            batches(X, y, bad)
    with pytest.raises(ValueError, match="same number of rows, not 300 and 2"):
        batches(X, y[:2])


# -- scikit-learn -----------------------------------------------------------------------------------------------------


REFUSED_CHECKS = {  # and why
    "check_dont_overwrite_parameters": "what is fitted is named as in the report's notebooks, without an underscore",
    "check_methods_sample_order_invariance": "float32: the last bit may depend on the rows beside",
    "check_methods_subset_invariance": "float32: the last bit may depend on the rows beside",
}


@parametrize_with_checks([Preprocessor(2)], expected_failed_checks=lambda _: REFUSED_CHECKS)
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


def test_hands_out_data_frames_when_asked(faces, tmp_path):
    x = pictures()
    frame = pd.DataFrame(x, index=[f"face {i}" for i in range(60)])
    model = make_pipeline(Preprocessor(5), StandardScaler()).set_output(transform="pandas")
    got = model.fit_transform(frame)
    assert list(got.columns) == [f"f{i:03d}" for i in range(5)]
    assert list(got.index) == list(frame.index)
    assert_allclose(got, StandardScaler().fit_transform(fit(x).transform(x)), rtol=1e-6, atol=1e-6)
    plain, framed = (Preprocessor(4).fit(faces, progress=False) for _ in range(2))
    folders = plain.export(faces, tmp_path / "a"), framed.set_output(transform="pandas").export(faces, tmp_path / "b")
    assert contents(folders[0]) == contents(folders[1])


def test_stands_in_a_pipeline():
    x = pictures(80)
    y = fit(x, 3).transform(x)[:, 1]
    model = make_pipeline(Preprocessor(2), LinearRegression()).fit(x, y)
    assert model.score(x, y) > 0.999  # the target is the second feature
    names = model[:-1].get_feature_names_out()
    assert list(names) == ["f000", "f001"]
    search = GridSearchCV(model, {"preprocessor__n_components": [1, 2]}, cv=2).fit(x, y)
    assert search.best_params_ == {"preprocessor__n_components": 2}
    copy = clone(Preprocessor(3, "l2").fit(x))
    assert copy.get_params() == {"n_components": 3, "normalizer": "l2"}
    assert not copy.n_fitted
    with pytest.raises(ValueError, match=r"Invalid parameter 'alpha'"):
        copy.set_params(alpha=1)
    with pytest.raises(ValueError, match="not fitted"):
        fit(x).set_params(normalizer="l2").transform(x)
