"""Network behind scikit-learn's interface: its own checks, and the places it is meant for."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.datasets import make_classification, make_regression
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
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


def test_regressor_is_the_network(classes):
    X, y = make_regression(200, 5, random_state=0)
    model = NetworkRegressor(
        (7, 3), initializer=nn.He(), epochs=5, weight_decay=0.01, random_state=1
    )
    model.fit(X, y)
    parts = {"activation": "leaky_relu", "output_activation": "identity", "loss": "l2"}
    config = {"layers": [5, 7, 3, 1], **parts}
    seed = np.random.RandomState(1).randint(2**31)
    net = nn.Network(config, nn.He(), seed, dtype=np.float64)
    assert model.scale_ == pytest.approx(np.sqrt(np.mean(X**2)), rel=1e-12)
    X = X / model.scale_
    history = net.fit(X, y, epochs=5, learning_rate=1e-3, weight_decay=0.01, progress=False)
    assert model.loss_curve_ == history.train_loss
    assert np.array_equal(model.predict(X * model.scale_), net.predict(X))


@pytest.mark.parametrize("size", [1e-170, 1e160])
def test_inputs_of_any_size_are_brought_to_one(size):
    X, y = make_regression(50, 3, random_state=0)
    models = [NetworkRegressor(epochs=5, random_state=0).fit(X * f, y) for f in (1, size)]
    assert np.allclose(models[0].predict(X), models[1].predict(X * size))


@pytest.mark.parametrize("share", [0, 1.5, 5, "x"])
def test_a_share_that_is_none_is_named(classes, share):
    model = NetworkClassifier(early_stopping=True, validation_fraction=share)
    with pytest.raises(ValueError, match="validation_fraction must be"):
        model.fit(*classes)


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


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"initializer": "large"}, "must be one of zero, random, xavier, he, not 'large'"),
        ({"hidden_layer_sizes": (0,)}, "layers"),
        (
            {"early_stopping": True, "validation_fraction": 2.0},
            "validation_fraction must be",
        ),
    ],
)
def test_bad_parameters_are_named(classes, parameters, message):
    with pytest.raises(ValueError, match=message):
        NetworkClassifier(**parameters).fit(*classes)


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
    model = NetworkClassifier(epochs=1)
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


def test_where_numpy_raises_for_every_rounding_all_goes_on(classes):
    with np.errstate(all="raise"):
        model = NetworkClassifier(epochs=5, learning_rate=0.1).fit(*classes)
        assert np.isfinite(model.predict_proba(1e6 * classes[0])).all()
