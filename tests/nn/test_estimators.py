"""Network behind scikit-learn's interface: its own checks, and the places it is meant for."""

import json

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.datasets import make_classification, make_regression
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from hw1lib import nn
from hw1lib.nn.estimators import NetworkClassifier, NetworkRegressor


@parametrize_with_checks([NetworkRegressor(), NetworkClassifier()])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def classes():
    X, y = make_classification(400, 10, n_informative=5, n_classes=3, random_state=0)
    return X, np.array(["low", "middle", "high"])[y]


def test_regressor_is_the_network(classes):
    X, y = make_regression(200, 5, random_state=0)
    model = NetworkRegressor(
        (7, 3), initializer=nn.He(), epochs=5, weight_decay=0.01, random_state=1
    ).fit(X, y)
    config = {
        "layers": [5, 7, 3, 1],
        "activation": "leaky_relu",
        "output_activation": "identity",
        "loss": "l2",
    }
    seed = np.random.RandomState(1).randint(2**31)
    net = nn.Network(config, nn.He(), seed, dtype=np.float64)
    assert model.scale_ == pytest.approx(np.sqrt(np.mean(X**2)), rel=1e-12)
    X = X / model.scale_
    history = net.fit(X, y, epochs=5, learning_rate=1e-3, weight_decay=0.01, progress=False)
    assert model.loss_curve_ == history.train_loss
    assert np.array_equal(model.predict(X * model.scale_), net.predict(X))


def test_a_linear_network_comes_to_linear_regression():
    X, y = make_regression(300, 4, noise=5, random_state=0)
    model = NetworkRegressor((), learning_rate=0.02, epochs=400, batch_size=300).fit(X, y)
    assert np.allclose(model.predict(X), LinearRegression().fit(X, y).predict(X), atol=0.05)


def test_grid_search_in_a_pipeline(classes):
    search = GridSearchCV(
        make_pipeline(StandardScaler(), NetworkClassifier(epochs=30, random_state=0)),
        {"networkclassifier__hidden_layer_sizes": [(1,), (16,)]},
        cv=3,
    ).fit(*classes)
    assert search.best_params_["networkclassifier__hidden_layer_sizes"] == (16,)
    assert search.score(*classes) > 0.7
    assert set(search.predict(classes[0])) == {"low", "middle", "high"}


def test_names_are_the_objects(classes):
    X, y = classes
    for names, objects in (
        ({"initializer": "he"}, {"initializer": nn.He()}),
        ({"activation": "tanh", "loss": "nll"}, {"activation": nn.Tanh()}),  # its own loss
    ):
        named, made = (NetworkClassifier(epochs=2, random_state=0, **k) for k in (names, objects))
        expected = named.fit(X, y).predict_proba(X)
        assert_array_equal(made.fit(X, y).predict_proba(X), expected)


def test_clone_and_cross_validation_repeat_themselves(classes):
    model = NetworkClassifier(epochs=5, random_state=0)
    scores = [cross_val_score(m, *classes, cv=3).tolist() for m in (model, clone(model))]
    assert scores[0] == scores[1]
    assert model._repr_html_().count("NetworkClassifier")


def test_probabilities_and_early_stopping(classes):
    model = NetworkClassifier(epochs=500, early_stopping=True, patience=5, random_state=0).fit(
        *classes
    )
    assert len(model.loss_curve_) < 500
    assert model.history_.best_epoch == len(model.loss_curve_) - 5
    proba = model.predict_proba(classes[0])
    assert proba.shape == (400, 3)
    assert np.allclose(proba.sum(axis=1), 1)
    assert np.array_equal(model.classes_[proba.argmax(axis=1)], model.predict(classes[0]))


@pytest.mark.parametrize(("model", "rate"), [(NetworkRegressor, 1e-3), (NetworkClassifier, 1e-2)])
def test_each_has_a_learning_rate_of_its_own(model, rate):
    X, y = np.eye(4), [0, 1, 0, 1]
    assert model(epochs=1).fit(X, y).history_.learning_rate == [rate]
    assert model(epochs=1, learning_rate=0.5).fit(X, y).history_.learning_rate == [0.5]


def test_float32_stays_float32(classes):
    X, y = classes
    assert (
        NetworkClassifier(epochs=2)
        .fit(X.astype(np.float32), y)
        .predict_proba(X.astype(np.float32))
        .dtype
        == np.float32
    )


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"initializer": "large"}, "must be one of zero, random, xavier, he, not 'large'"),
        ({"loss": "mse"}, r"config\['loss'\] must be one of"),
        ({"activation": "step"}, "must be one of"),
        ({"hidden_layer_sizes": (0,)}, "layers"),
        ({"epochs": 0}, "epochs must be"),
        (
            {"early_stopping": True, "validation_fraction": 2.0},
            "validation_fraction=2.0 of each class",
        ),
    ],
)
def test_bad_parameters_are_named(classes, parameters, message):
    with pytest.raises(ValueError, match=message):
        NetworkClassifier(**parameters).fit(*classes)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_estimators_come_back_from_their_files(classes, dtype, tmp_path):
    X, y = (2000 * classes[0] + 500).astype(dtype), classes[1]
    codes = np.unique(y, return_inverse=True)[1]
    regressor = NetworkRegressor((8, 4), "tanh", epochs=3).fit(X, codes)
    for labels in (y, y.astype(object), codes, codes - 7, codes > 0, codes * 2.0):
        model = NetworkClassifier((8,), learning_rate=0.1, epochs=20, random_state=0).fit(X, labels)
        back = NetworkClassifier.load(model.save(tmp_path / "model.npz"))
        assert_array_equal(back.predict(X), model.predict(X))
        assert_array_equal(back.predict_proba(X), model.predict_proba(X))
        assert len(set(back.predict(X))) > 1
    back = NetworkRegressor.load(regressor.save(tmp_path / "deep" / "regressor.npz"))
    assert_array_equal(back.predict(X), regressor.predict(X))
    assert (back.hidden_layer_sizes, back.activation, back.loss) == ((8, 4), "tanh", "l2")
    clone(back).set_params(epochs=1).fit(X, codes)  # and can be trained anew
    with pytest.raises(ValueError, match="9 features, but NetworkRegressor is expecting 10"):
        back.predict(X[:, 1:])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": np.array("NetworkRegressor")}, "holds no NetworkClassifier"),
        ({"config": np.array("{")}, "not a NetworkClassifier that this version can read"),
        ({"parameters": np.zeros(3)}, r"parameters must have shape \(899,\), not \(3,\)"),
        ({"classes": np.array(["low", "high"])}, "classes"),
        ({"classes": np.empty(0)}, "classes"),
        ({"classes": np.array(3)}, "classes"),
        *[({"scale": np.array(bad)}, "scale") for bad in (0, -1, np.nan, "1", [1, 2])],
        ({"scale": None}, "not a readable"),
    ],
)
def test_damaged_files_are_named(classes, change, message, tmp_path):
    path = NetworkClassifier(epochs=1).fit(*classes).save(tmp_path / "model.npz")
    with np.load(path) as file:
        arrays = {**file, **change}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(ValueError, match=message) as caught:
        NetworkClassifier.load(path)
    assert str(path) in str(caught.value)


def test_what_is_not_fitted_is_neither_written_nor_exported(tmp_path):
    for use in (NetworkRegressor().save, NetworkClassifier().to_onnx):
        with pytest.raises(NotFittedError):
            use(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("factor", [1e160, 1e-170])
def test_inputs_of_any_size_are_scaled(factor):
    X = np.random.default_rng(0).standard_normal((60, 3))
    y = X @ [1.0, -2.0, 0.5]
    assert NetworkRegressor(random_state=0).fit(factor * X, y).score(factor * X, y) > 0.9


def test_what_float32_cannot_hold_is_not_exported(tmp_path):
    pytest.importorskip("onnx")
    X = 1e-50 * np.random.default_rng(0).standard_normal((40, 3))
    with pytest.raises(ValueError, match=r"float32, for which the scale .* is no number"):
        NetworkRegressor(epochs=2).fit(X, X[:, 0]).to_onnx(tmp_path / "it.onnx")
    assert not any(tmp_path.iterdir())


class Stop(BaseException):
    """What Ctrl+C raises, but not for pytest."""


def interrupt(fan_in, fan_out, rng):
    raise Stop


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"activation": "nonsense"}, ValueError),
        ({"initializer": interrupt}, Stop),
        ({"learning_rate": 1e30}, nn.TrainingDiverged),
    ],
)
def test_a_fit_that_fails_leaves_what_was_there(classes, change, error):
    X, y = classes
    model = NetworkClassifier(epochs=3, random_state=0).fit(X, y)
    before = model.predict(X)
    with pytest.raises(error):
        model.set_params(**change).fit(X[:, :4], np.char.add("no ", y))
    assert_array_equal(model.predict(X), before)
    fresh = NetworkClassifier(**change)
    with pytest.raises(error):
        fresh.fit(X, y)
    with pytest.raises(NotFittedError):
        fresh.predict(X)


def test_masked_values_are_refused(classes):
    X, y = classes
    codes = np.unique(y, return_inverse=True)[1]
    for model in (NetworkClassifier(epochs=1), NetworkRegressor(epochs=1)):
        with pytest.raises(ValueError, match="X must not hold masked values"):
            model.fit(np.ma.masked_greater(X, 2), codes)
        with pytest.raises(ValueError, match="y must not hold masked values"):
            model.fit(X, np.ma.masked_equal(codes, 1))
        with pytest.raises(ValueError, match="X must not hold masked values"):
            model.fit(X, codes).predict(np.ma.masked_greater(X, 2))


def test_a_class_of_one_row_and_early_stopping(classes):
    X, y = classes[0], np.r_[["alone"], classes[1][1:]]
    message = "early_stopping keeps validation_fraction=0.1 of each class: The least populated"
    with pytest.raises(ValueError, match=message):
        NetworkClassifier(early_stopping=True).fit(X, y)


def test_dates_may_be_labels(classes, tmp_path):
    X, y = classes[0], np.datetime64("2024-01-01", "D") + (classes[0][:, 0] > 0)
    model = NetworkClassifier(epochs=20, learning_rate=0.1).fit(X, y)
    back = NetworkClassifier.load(model.save(tmp_path / "model.npz"))
    assert_array_equal(back.predict(X), model.predict(X))
    assert back.predict(X).dtype == y.dtype
    pytest.importorskip("onnx")
    with pytest.raises(ValueError, match="classes must be numbers or texts for ONNX"):
        model.to_onnx(tmp_path / "model.onnx")


def test_names_of_columns_come_back_from_the_file(classes, tmp_path):
    X = pd.DataFrame(classes[0], columns=[f"x{i}" for i in range(10)])
    model = NetworkClassifier(epochs=2).fit(X, classes[1])
    back = NetworkClassifier.load(model.save(tmp_path / "model.npz"))
    assert_array_equal(back.predict(X), model.predict(X))
    with pytest.raises(ValueError, match="feature names"):
        back.predict(X[X.columns[::-1]])
    with np.load(tmp_path / "model.npz") as file:  # as it was written before there were names
        config = json.loads(str(file["config"]))
        del config["feature_names"]
        np.savez(tmp_path / "model.npz", **{**file, "config": np.array(json.dumps(config))})
    old = NetworkClassifier.load(tmp_path / "model.npz")
    assert_array_equal(old.predict(X.to_numpy()), model.predict(X))


def test_where_numpy_raises_for_every_rounding_all_goes_on(classes):
    with np.errstate(all="raise"):
        model = NetworkClassifier(epochs=5, learning_rate=0.1).fit(*classes)
        assert np.isfinite(model.predict_proba(1e6 * classes[0])).all()
