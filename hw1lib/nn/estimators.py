"""Network behind scikit-learn's interface: for pipelines, grid searches and cross-validation.

Thin: ``fit`` builds a ``Network`` from plain parameters, whose ``input_scale`` brings the inputs to
root mean square 1, and trains it; ``predict`` asks it. A fitted pipeline is kept in a file by
``skops.io`` (without pickle, as scikit-learn advises), a fitted estimator by ``to_onnx``.
"""

from __future__ import annotations

import copy
import warnings
from pathlib import Path

import numpy as np
from scipy.linalg import norm
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, is_classifier
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from hw1lib.checks import real_number, unmasked
from hw1lib.nn.losses import one_hot
from hw1lib.nn.network import Network
from hw1lib.nn.onnx_export import to_onnx

UNEVEN = 30  # times the spread of another column: such columns can't be learnt from together


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
        unmasked("X", X)  # scikit-learn would take what is hidden
        unmasked("y", y)
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
        with np.errstate(all="ignore"):
            spread = X.std(axis=0)
        spread = spread[spread > 0]
        if len(spread) and spread.max() > UNEVEN * spread.min():
            warnings.warn(
                f"some columns of X spread over {UNEVEN:,} times as much as others, and drown "
                "them: put a StandardScaler before the network, see sklearn.pipeline",
                stacklevel=3,
            )
        # a norm by BLAS does not overflow where squares would
        config["input_scale"] = float(norm(X.ravel().astype(float)) / X.size**0.5) or 1.0
        validation = None
        if self.early_stopping:
            real_number("validation_fraction", self.validation_fraction, above=True, below=1)
            try:
                X, Xv, T, Tv = train_test_split(
                    X, T, test_size=self.validation_fraction, random_state=random, stratify=codes
                )
            except ValueError as error:
                share = f"validation_fraction={self.validation_fraction!r}"
                rows = "the rows" if codes is None else "each class"
                raise ValueError(f"early_stopping keeps {share} of {rows}: {error}") from error
            validation = (Xv, Tv)
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

    def _encode(self, y):
        """Return the targets (n, n_outputs), and the class codes (n,) or None."""
        return y[:, None], None

    def _outputs(self, X):
        check_is_fitted(self)
        unmasked("X", X)
        X = validate_data(self, X, reset=False, dtype=[np.float64, np.float32])
        return self.network_.outputs(X)

    def to_onnx(self, path) -> Path:
        """Write the fitted estimator with its scaling as an ONNX file, see ``nn.onnx_export``.

        It takes the rows that ``predict`` takes. Outputs are ``outputs`` (values, or the classes'
        probabilities) and, of a classifier, ``labels``. What stands before it in a pipeline, such
        as a StandardScaler, is not in the file: apply it to the rows first.
        """
        check_is_fitted(self)
        return to_onnx(self.network_, path, getattr(self, "classes_", None))


class NetworkRegressor(RegressorMixin, _NetworkEstimator):
    """A fully connected network with the L2 loss (report, 2.2.3), as a scikit-learn regressor.

    Parameters are those of ``Network`` and its ``fit``, and

    hidden_layer_sizes : int or sequence of int
        The output layer is linear.
    loss, learning_rate
        None takes "l2" and 1e-3; the classifier "nll" and 1e-2.
    early_stopping : bool
        Keep ``validation_fraction`` of the rows apart, stop when their loss has not improved for
        ``patience`` epochs, and go back to the best weights.
    random_state : int, RandomState or None
        Draws weights, order of rows, and the validation rows.

    What scikit-learn's MLPRegressor calls learning_rate_init and max_iter are ``learning_rate`` and
    ``epochs`` here. After ``fit`` there are ``network_``, ``history_`` (see ``History``), and the
    classifier's ``classes_``.
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
