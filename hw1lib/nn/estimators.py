"""Network behind scikit-learn's interface: for pipelines, grid searches and cross-validation.

Thin: ``fit`` builds a ``Network`` from plain parameters, brings the inputs to root mean square 1 as ``faces.rescale``
does, and trains; ``predict`` asks it.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, is_classifier
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from hw1lib.checks import real_number
from hw1lib.files import read_npz, write_npz
from hw1lib.nn.losses import one_hot
from hw1lib.nn.network import Network
from hw1lib.nn.onnx_export import to_onnx


class _NetworkEstimator(BaseEstimator):
    """What both estimators share; subclasses say what the targets are."""

    _learning_rate: float  # where none is given, like the loss
    _loss: str
    _output_activation: str
    classes_: np.ndarray  # of the classifier

    def __init__(
        self,
        hidden_layer_sizes=(64,),
        activation="leaky_relu",
        loss=None,
        initializer="xavier",
        learning_rate=None,
        momentum=0.9,
        weight_decay=0.0,
        batch_size=128,
        epochs=200,
        validation_fraction=0.1,
        early_stopping=False,
        patience=20,
        random_state=None,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.loss = loss
        self.initializer = initializer
        self.learning_rate = learning_rate
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.epochs = epochs
        self.validation_fraction = validation_fraction
        self.early_stopping = early_stopping
        self.patience = patience
        self.random_state = random_state

    def _fit(self, X, y, stratify=None):
        """Train a new network on checked inputs ``X`` and targets ``y`` (n, n_outputs)."""
        random = check_random_state(self.random_state)
        hidden = np.atleast_1d(np.asarray(self.hidden_layer_sizes)).tolist()
        config = {
            "layers": [X.shape[1], *hidden, y.shape[1]],
            "activation": self.activation,
            "output_activation": self._output_activation,
            "loss": self._loss if self.loss is None else self.loss,
        }
        largest = float(np.abs(X).max()) or 1.0  # squares of numbers up to 1 don't overflow
        self.scale_ = (
            largest * float(np.sqrt(np.mean(np.square(X / largest, dtype=np.float64)))) or 1.0
        )
        X, validation = X / X.dtype.type(self.scale_), None
        if self.early_stopping:
            X, Xv, y, yv = train_test_split(
                X, y, test_size=self.validation_fraction, random_state=random, stratify=stratify
            )
            validation = Xv, yv
        self.network_ = Network(config, self.initializer, seed=random.randint(2**31), dtype=X.dtype)
        self.history_ = self.network_.fit(
            X,
            y,
            validation=validation,
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self._learning_rate if self.learning_rate is None else self.learning_rate,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            patience=self.patience if self.early_stopping else None,
            progress=False,
        )
        self.loss_curve_ = self.history_.train_loss
        return self

    def _outputs(self, X):
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=[np.float64, np.float32])
        return self.network_.outputs(X / X.dtype.type(self.scale_))

    def to_onnx(self, path) -> Path:
        """Write the fitted estimator with its scaling as an ONNX file, which takes the rows that ``predict`` takes.

        Outputs are ``outputs`` (values, or the classes' probabilities) and, of a classifier, ``labels``.
        """
        check_is_fitted(self)
        return to_onnx(self.network_, path, self.scale_, getattr(self, "classes_", None))

    def save(self, path) -> Path:
        """Write what ``predict`` needs to an .npz file, no pickle: network, scaling and class labels."""
        check_is_fitted(self)
        arrays = {
            "config": np.array(self.network_.config_as_json()),
            "scale": np.array(self.scale_),
        }
        arrays["parameters"] = self.network_.parameters
        arrays["classes"] = np.array(getattr(self, "classes_", np.empty(0)).tolist())
        return write_npz(path, type(self).__name__, arrays)

    @classmethod
    def load(cls, path):
        """Return the fitted estimator that ``save`` wrote; settings of its training are those of the constructor."""
        arrays = read_npz(path, (cls.__name__,), ("config", "scale", "parameters", "classes"))
        try:
            new = cls()
            new.network_ = Network.from_parameters(
                json.loads(str(arrays["config"])), arrays["parameters"]
            )
            new.scale_ = real_number("scale", arrays["scale"].tolist(), above=True)
            new.n_features_in_ = new.network_.config["layers"][0]
            new.hidden_layer_sizes = tuple(new.network_.config["layers"][1:-1])
            new.activation, new.loss = (
                new.network_.config["activation"],
                new.network_.config["loss"],
            )
            if is_classifier(new):
                new.classes_ = arrays["classes"]
                if new.classes_.shape != (new.network_.n_outputs,):
                    raise ValueError(
                        f"classes must be {new.network_.n_outputs} labels, one an output"
                    )
            return new
        except (ValueError, TypeError, RecursionError) as error:
            raise ValueError(
                f"{path}: not a {cls.__name__} that this version can read: {error}"
            ) from error


class NetworkRegressor(RegressorMixin, _NetworkEstimator):
    """A fully connected network with the L2 loss (report, 2.2.3), as a scikit-learn regressor.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int
    activation : str or Activation
        Of the hidden layers, as ``Network`` takes it. The output layer is linear.
    loss : str, Loss or None
        None takes "l2"; the classifier "nll".
    initializer : str or Initializer
        A name in ``hw1lib.nn.initializers.INITIALIZERS``, or one of its objects.
    learning_rate : float, Schedule or None
        None takes 1e-3; the classifier 1e-2.
    momentum, weight_decay : float
    batch_size, epochs : int
    validation_fraction : float
        Share of the rows that is kept for early stopping.
    early_stopping : bool
        Stop when the validation loss has not improved for ``patience`` epochs, and go back to the best weights.
    patience : int
    random_state : int, RandomState or None
        Draws weights, order of rows, and the validation rows.

    Attributes
    ----------
    network_ : Network
    history_ : History
    loss_curve_ : list of float
        Training loss of each epoch.
    n_features_in_ : int
    """

    _learning_rate = 1e-3
    _loss = "l2"
    _output_activation = "identity"

    def fit(self, X, y):
        """Train on ``X`` (n, n_features) and ``y`` (n,)."""
        X, y = validate_data(self, X, y, dtype=[np.float64, np.float32], y_numeric=True)
        y = column_or_1d(y, warn=True)
        return self._fit(X, y[:, None])

    def predict(self, X):
        """Return the values (n,) for ``X`` (n, n_features)."""
        return self._outputs(X)[:, 0]


class NetworkClassifier(ClassifierMixin, _NetworkEstimator):
    """A fully connected network with softmax and NLL (report, 2.2.7), as a scikit-learn classifier.

    Parameters are those of ``NetworkRegressor``; the rows that early stopping keeps are drawn class by class.

    Attributes
    ----------
    classes_ : ndarray, (n_classes,)
    network_, history_, loss_curve_, n_features_in_
        As of ``NetworkRegressor``.
    """

    _learning_rate = 1e-2
    _loss = "nll"
    _output_activation = "softmax"

    def fit(self, X, y):
        """Train on ``X`` (n, n_features) and labels ``y`` (n,) of any kind."""
        X, y = validate_data(self, X, y, dtype=[np.float64, np.float32])
        check_classification_targets(y)
        self.classes_, codes = np.unique(column_or_1d(y, warn=True), return_inverse=True)
        return self._fit(X, one_hot(codes, len(self.classes_)), stratify=codes)

    def predict_proba(self, X):
        """Return the probability of each class, (n, n_classes), for ``X`` (n, n_features)."""
        return self._outputs(X)

    def predict(self, X):
        """Return the most probable labels (n,) for ``X`` (n, n_features)."""
        codes = self.predict_proba(X).argmax(axis=1)
        return self.classes_[codes]
