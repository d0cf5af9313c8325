"""Network behind scikit-learn's interface: scikit-learn's own checks, and the places it is meant for."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import make_classification, make_regression
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from hw1lib.nn.activations import Tanh
from hw1lib.nn.estimators import NetworkClassifier, NetworkRegressor
from hw1lib.nn.initializers import INITIALIZERS, He
from hw1lib.nn.network import Network


@parametrize_with_checks([NetworkRegressor(), NetworkClassifier()])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def classes():
    X, y = make_classification(400, 10, n_informative=5, n_classes=3, random_state=0)
    return X, np.array(["low", "middle", "high"])[y]


def test_regressor_is_the_network(classes):
    X, y = make_regression(200, 5, random_state=0)
    model = NetworkRegressor((7, 3), initializer=He(), epochs=5, weight_decay=0.01, random_state=1).fit(X, y)
    config = {"layers": [5, 7, 3, 1], "activation": "leaky_relu", "output_activation": "identity", "loss": "l2"}
    seed = np.random.RandomState(1).randint(2**31)
    net = Network(config, He(), seed, dtype=np.float64)
    assert model.scale_ == pytest.approx(np.sqrt(np.mean(X**2)), rel=1e-12)
    X = X / model.scale_
    history = net.fit(X, y, epochs=5, schedule=1e-3, weight_decay=0.01, progress=False)
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
    for name, thing in INITIALIZERS.items():
        one, two = (NetworkClassifier(epochs=2, initializer=i, random_state=0).fit(X, y) for i in (name, thing))
        np.testing.assert_array_equal(one.predict_proba(X), two.predict_proba(X))
    named = NetworkClassifier(epochs=2, activation="tanh", loss="nll", random_state=0).fit(X, y)
    made = NetworkClassifier(epochs=2, activation=Tanh(), random_state=0).fit(X, y)  # its own loss is the NLL
    np.testing.assert_array_equal(named.predict_proba(X), made.predict_proba(X))


def test_clone_and_cross_validation_repeat_themselves(classes):
    model = NetworkClassifier(epochs=5, random_state=0)
    scores = [cross_val_score(m, *classes, cv=3).tolist() for m in (model, clone(model))]
    assert scores[0] == scores[1]
    assert model._repr_html_().count("NetworkClassifier")


def test_probabilities_and_early_stopping(classes):
    model = NetworkClassifier(epochs=500, early_stopping=True, patience=5, random_state=0).fit(*classes)
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
        NetworkClassifier(epochs=2).fit(X.astype(np.float32), y).predict_proba(X.astype(np.float32)).dtype == np.float32
    )


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"initializer": "large"}, "must be one of zero, random, xavier, he, not 'large'"),
        ({"loss": "mse"}, r"config\['loss'\] must be one of"),
        ({"activation": "step"}, "must be one of"),
        ({"hidden_layer_sizes": (0,)}, "layers"),
        ({"epochs": 0}, "epochs must be"),
        ({"early_stopping": True, "validation_fraction": 2.0}, "test_size"),
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
        np.testing.assert_array_equal(back.predict(X), model.predict(X))
        np.testing.assert_array_equal(back.predict_proba(X), model.predict_proba(X))
        assert len(set(back.predict(X))) > 1
    back = NetworkRegressor.load(regressor.save(tmp_path / "deep" / "regressor.npz"))
    np.testing.assert_array_equal(back.predict(X), regressor.predict(X))
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
        ({"scale": None}, "incomplete, without scale"),
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
    with pytest.raises(ValueError, match="float32, for which scale has numbers that are too large or too small"):
        NetworkRegressor(epochs=2).fit(X, X[:, 0]).to_onnx(tmp_path / "it.onnx")
    assert not any(tmp_path.iterdir())
