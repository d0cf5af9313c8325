"""Network behind scikit-learn's interface: for pipelines, grid searches and cross-validation.

Thin: ``fit`` builds a ``Network`` from plain parameters, brings the inputs to root mean square 1 as
``faces.rescale`` does, and trains; ``predict`` asks it.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, is_classifier
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from hw1lib.checks import FileError, real_number
from hw1lib.files import read_npz, write_npz
from hw1lib.nn.losses import one_hot
from hw1lib.nn.network import Network
from hw1lib.nn.onnx_export import to_onnx


class _NetworkEstimator(BaseEstimator):
    """What both estimators share; subclasses say what the targets are."""

    _default_rate: float  # where none is given, like the loss
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

    def fit(self, X, y):
        """Train a new network on ``X`` (n, n_features) and ``y`` (n,); return the estimator.

        A fit that fails, or is interrupted, leaves what an earlier one learned.
        """
        for name, values in (("X", X), ("y", y)):
            if np.ma.is_masked(values):
                raise ValueError(f"{name} must not hold masked values: leave their rows out")
        fitted = copy.copy(self)
        fitted._train(X, y)
        self.__dict__ = fitted.__dict__  # all at once
        return self

    def _train(self, X, y):
        X, y = validate_data(
            self, X, y, dtype=[np.float64, np.float32], y_numeric=not is_classifier(self)
        )
        T, codes = self._encode(column_or_1d(y, warn=True))
        random = check_random_state(self.random_state)
        hidden = np.atleast_1d(np.asarray(self.hidden_layer_sizes)).tolist()
        config = {
            "layers": [X.shape[1], *hidden, T.shape[1]],
            "activation": self.activation,
            "output_activation": self._output_activation,
            "loss": self._loss if self.loss is None else self.loss,
        }
        largest = float(np.abs(X).max()) or 1.0  # squares of numbers up to 1 don't overflow
        mean_square = np.mean(np.square(X / largest), dtype=np.float64)
        self.scale_ = largest * float(np.sqrt(mean_square)) or 1.0
        X = X / X.dtype.type(self.scale_)
        validation = None
        if self.early_stopping:
            try:
                X, Xv, T, Tv = train_test_split(
                    X, T, test_size=self.validation_fraction, random_state=random, stratify=codes
                )
            except ValueError as error:
                share = f"validation_fraction={self.validation_fraction!r}"
                rows = "the rows" if codes is None else "each class"
                raise ValueError(f"early_stopping keeps {share} of {rows}: {error}") from error
            validation = Xv, Tv
        self.network_ = Network(config, self.initializer, random.randint(2**31), X.dtype)
        self.history_ = self.network_.fit(
            X,
            T,
            validation=validation,
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self._default_rate if self.learning_rate is None else self.learning_rate,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            patience=self.patience if self.early_stopping else None,
            progress=False,
        )
        self.loss_curve_ = self.history_.train_loss

    def _encode(self, y):
        """Return the targets (n, n_outputs), and the class codes (n,) or None."""
        return y[:, None], None

    @np.errstate(under="ignore")
    def _outputs(self, X):
        check_is_fitted(self)
        if np.ma.is_masked(X):
            raise ValueError("X must not hold masked values: leave their rows out")
        X = validate_data(self, X, reset=False, dtype=[np.float64, np.float32])
        return self.network_.outputs(X / X.dtype.type(self.scale_))

    def to_onnx(self, path) -> Path:
        """Write the fitted estimator with its scaling as an ONNX file, see ``nn.onnx_export``.

        It takes the rows that ``predict`` takes. Outputs are ``outputs`` (values, or the classes'
        probabilities) and, of a classifier, ``labels``.
        """
        check_is_fitted(self)
        return to_onnx(self.network_, path, self.scale_, getattr(self, "classes_", None))

    def save(self, path) -> Path:
        """Write what ``predict`` needs to an .npz file, no pickle.

        It holds the network, the scaling, the names of a table's columns, and the class labels.
        """
        check_is_fitted(self)
        classes = getattr(self, "classes_", np.empty(0))
        if classes.dtype.kind in "OT":  # texts, most often
            classes = np.array(classes.tolist())
        if classes.dtype.kind == "O":
            raise ValueError(f"a file holds labels that are numbers, texts or dates, not {classes}")
        config = json.loads(self.network_.config_as_json())
        config["feature_names"] = list(getattr(self, "feature_names_in_", []))
        arrays = {
            "config": np.array(json.dumps(config)),
            "parameters": self.network_.parameters,
            "scale": np.array(self.scale_),
            "classes": classes,
        }
        return write_npz(path, type(self).__name__, arrays)

    @classmethod
    def load(cls, path):
        """Return the fitted estimator that ``save`` wrote.

        Settings of its training are those of the constructor.
        """
        arrays = read_npz(path, (cls.__name__,), ("config", "scale", "parameters", "classes"))
        try:
            config = json.loads(str(arrays["config"]))
            names = config.pop("feature_names", [])
            new = cls()
            new.network_ = net = Network.from_parameters(config, arrays["parameters"])
            new.scale_ = real_number("scale", arrays["scale"].tolist(), above=True)
            new.n_features_in_ = net.input_shape[0]
            if names:
                new.feature_names_in_ = np.array(names, dtype=object)
            new.hidden_layer_sizes = tuple(net.config["layers"][1:-1])
            new.activation, new.loss = net.config["activation"], net.config["loss"]
            if is_classifier(new):
                new.classes_ = arrays["classes"]
                if new.classes_.shape != (net.n_outputs,):
                    raise ValueError(f"classes must be {net.n_outputs} labels, one an output")
            return new
        except (ValueError, TypeError, RecursionError) as error:
            said = f"{path}: not a {cls.__name__} that this version can read"
            raise FileError(f"{said}: {error}") from error


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
        Stop when the validation loss has not improved for ``patience`` epochs, and go back to the
        best weights.
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

    _default_rate = 1e-3
    _loss = "l2"
    _output_activation = "identity"

    def predict(self, X):
        """Return the values (n,) for ``X`` (n, n_features)."""
        return self._outputs(X)[:, 0]


class NetworkClassifier(ClassifierMixin, _NetworkEstimator):
    """A network with softmax and NLL (report, 2.2.7), as a scikit-learn classifier.

    Parameters are those of ``NetworkRegressor``. Labels may be of any kind. The rows that early
    stopping keeps are drawn class by class.

    Attributes
    ----------
    classes_ : ndarray, (n_classes,)
    network_, history_, loss_curve_, n_features_in_
        As of ``NetworkRegressor``.
    """

    _default_rate = 1e-2
    _loss = "nll"
    _output_activation = "softmax"

    def _encode(self, y):
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        return one_hot(codes, len(self.classes_)), codes

    def predict_proba(self, X):
        """Return the probability of each class, (n, n_classes), for ``X`` (n, n_features)."""
        return self._outputs(X)

    def predict(self, X):
        """Return the most probable labels (n,) for ``X`` (n, n_features)."""
        codes = self.predict_proba(X).argmax(axis=1)
        return self.classes_[codes]
