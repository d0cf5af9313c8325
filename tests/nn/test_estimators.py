"""Network behind scikit-learn's interface: its own checks, and the places it is meant for."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import make_classification, make_regression
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
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


def test_regressor_is_the_network():
    X, y = make_regression(200, 5, random_state=0)
    parts = {"activation": nn.Tanh(), "loss": nn.L2()}  # objects as well as names
    settings = {"epochs": 5, "weight_decay": 0.01, "momentum": 0.5, "batch_size": 16}
    model = NetworkRegressor((7, 3), initializer=nn.He(), random_state=1, **parts, **settings)
    model.fit(X, y)
    config = {"layers": [5, 7, 3, 1], "output_activation": "identity", **parts}
    seed = np.random.RandomState(1).randint(2**31)
    net = nn.Network(config, nn.He(), seed, dtype=np.float64)
    scaled = X / np.sqrt(np.mean(X**2))
    net.fit(scaled, y, learning_rate=1e-3, progress=False, **settings)
    assert_allclose(model.predict(X), net.predict(scaled), rtol=1e-9)


@pytest.mark.parametrize("size", [1e-170, 1e160])
def test_inputs_of_any_size_are_brought_to_one(size):
    X, y = make_regression(50, 3, random_state=0)
    model = NetworkRegressor(epochs=5, random_state=0)
    expected = model.fit(X, y).predict(X)
    with np.errstate(all="raise"):
        assert_allclose(model.fit(X * size, y).predict(X * size), expected)


def test_grid_search_in_a_pipeline(classes):
    search = GridSearchCV(
        make_pipeline(StandardScaler(), NetworkClassifier(epochs=30, random_state=0)),
        {"networkclassifier__hidden_layer_sizes": [(1,), (16,)]},
        cv=3,
    ).fit(*classes)
    assert search.best_params_["networkclassifier__hidden_layer_sizes"] == (16,)
    assert search.score(*classes) > 0.7


def test_probabilities_and_early_stopping(classes):
    X, y = classes
    model = NetworkClassifier(epochs=500, early_stopping=True, patience=5, random_state=0)
    history = model.fit(X, y).history_
    assert history.best_epoch == len(history.train_loss) - 5 < 495
    proba = model.predict_proba(X)
    assert_allclose(proba.sum(axis=1), 1)
    assert_array_equal(model.classes_[proba.argmax(axis=1)], model.predict(X))


@pytest.mark.parametrize(("model", "rate"), [(NetworkRegressor, 1e-3), (NetworkClassifier, 1e-2)])
def test_each_has_a_learning_rate_of_its_own(model, rate):
    X, y = np.eye(4), [0, 1, 0, 1]
    assert model(epochs=1).fit(X, y).history_.learning_rate == [rate]
    assert model(epochs=1, learning_rate=0.5).fit(X, y).history_.learning_rate == [0.5]


def alone(X, y):
    return X, np.r_[["alone"], y[1:]]


@pytest.mark.parametrize(
    ("parameters", "change", "word"),
    [
        ({"initializer": "large"}, None, "must be one of zero, random"),
        ({"hidden_layer_sizes": (0,)}, None, "layers"),
        ({"early_stopping": True, "validation_fraction": 5}, None, "validation_fraction must be"),
        ({"early_stopping": True}, alone, "validation_fraction=0.1 of each class: The least"),
        ({}, lambda X, y: (np.ma.masked_greater(X, 2), y), "X must not hold masked"),
        ({}, lambda X, y: (X, np.ma.masked_equal(y, "low")), "y must not hold masked"),
    ],
)
def test_what_cannot_be_fitted_is_named(classes, parameters, change, word):
    X, y = change(*classes) if change else classes
    with pytest.raises(ValueError, match=word):
        NetworkClassifier(**parameters).fit(X, y)


def test_masked_values_are_not_predicted(classes):
    model = NetworkClassifier(epochs=1).fit(*classes)
    with pytest.raises(ValueError, match="X must not hold masked values"):
        model.predict(np.ma.masked_greater(classes[0], 2))


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


def test_columns_that_would_drown_the_others_are_told_once():
    X, y = make_regression(60, 3, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        NetworkRegressor(epochs=1).fit(X * [1, 1, 10], y)
        constant = np.column_stack([X, np.ones(60)])  # spreads not at all
        make_pipeline(StandardScaler(), NetworkRegressor(epochs=1)).fit(constant * 1e6, y)
    with pytest.warns(UserWarning, match="put a StandardScaler before") as told:
        NetworkRegressor(epochs=1, learning_rate=1e-9).fit(X * [1, 1, 100], y)
    assert len(told) == 1
    assert told[0].filename == __file__


def test_names_of_classes_and_names_of_other_libraries_lead_on():
    X = np.eye(3)
    config = {"layers": [3, 3], "activation": "relu", "output_activation": "softmax"}
    net = nn.Network(config | {"loss": "nll"})
    for names in (["low", "high", "low"], np.array(["low", "high", "low"], object)):
        with pytest.raises(ValueError, match=r"whole numbers from 0; .*NetworkClassifier"):
            net.fit(X, names, progress=False)
    with pytest.raises(ValueError, match=r"config\['loss'\]: 'cross_entropy' is called 'nll' here"):
        nn.Network(config | {"loss": "cross_entropy"})
    with pytest.raises(ValueError, match="'linear' is called 'identity' here"):
        nn.Network(config | {"output_activation": "linear", "loss": "l2"})
    with pytest.raises(ValueError, match="must be one of"):
        nn.Network(config | {"activation": "mse", "loss": "nll"})  # no activation
