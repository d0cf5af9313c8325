"""One experiment, as data: what is trained, how, and what is kept of it.

The fold decides which faces train, validate and test; the seed what a network draws: weights, and the order of rows.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from hw1lib.checks import one_of, real_number, whole_number
from hw1lib.faces.features import Part, rescale, split, split_rows
from hw1lib.faces.pictures import SIZE
from hw1lib.faces.preprocess import NORMALIZERS
from hw1lib.nn import (
    Activation,
    Constant,
    ConvNetwork,
    History,
    Initializer,
    Loss,
    Network,
    Random,
    Schedule,
    TrainingDiverged,
    mirrored,
)
from hw1lib.nn.initializers import as_initializer
from hw1lib.nn.schedules import as_schedule

CURVE_POINTS = 20  # epochs of a curve that are kept, evenly spaced on a log axis
TARGETS = {  # target: outputs, output activation, loss
    "age": (1, "leaky_relu", "l2"),
    "gender": (1, "sigmoid", "logistic"),
    "race": (5, "softmax", "nll"),
}
OF_FEATURES = "whitening", "input_rms", "normalizer", "pca_faces"  # fields that only such networks have
OF_PICTURES = "filters", "cell"


@dataclass(frozen=True)
class Experiment:
    """One experiment: what is trained, and how.

    Parameters
    ----------
    report : str
        The figure and the table of the report that it repeats.
    target : {"age", "gender", "race"}
    hidden : tuple of int, or int
        Units of the hidden layers; one number for one layer.
    activation : str or Activation
        Of the hidden layers.
    output_activation : str or Activation, optional
    loss : str or Loss, optional
        As the target implies, if they are not given: leaky ReLU and "l2" for age, sigmoid and "logistic" for gender,
        softmax and "nll" for race.
    initializer : Initializer or str
    schedule : Schedule or float
    momentum, weight_decay : float
    batch_size, epochs : int
    patience : int, optional
        All as ``Network.fit`` takes them.
    whitening, input_rms : float
        As ``faces.rescale`` takes them; ``input_rms=None`` leaves the features as the PCA gives them.
    n_train : int, optional
        At most so many training faces.
    output_bias : {"mean", "zero"}
        Where the output's bias starts: at the mean age of the training faces, or at 0. Classes always start at 0.
    normalizer : str
        One of ``faces.NORMALIZERS``: how the images were normalised whose features are trained on.
    pca_faces : {"any", "training"}
        Which 5,000 faces normaliser and PCA are fitted on: any, as in the report, or those of this fold's training.
    repeat : int
        Another number draws other networks on the same faces.
    filters : tuple of int
        If there are any, the network is a ``ConvNetwork`` with so many filters in each block, trained on small pictures
        instead of features: mirrored at random, its last layer's weights drawn ten times smaller.
    cell : int
        Side of the squares, in pixels, that make one of a small picture, as ``faces.small_pictures`` takes it.
    """

    report: str
    target: str = "age"
    hidden: tuple[int, ...] = (64,)
    activation: str | Activation = "leaky_relu"
    output_activation: str | Activation | None = None
    loss: str | Loss | None = None
    initializer: Initializer | str = Random(0.1)
    schedule: Schedule | float = Constant(3e-4)
    momentum: float = 0.9
    weight_decay: float = 0.0
    batch_size: int = 128
    epochs: int = 60
    patience: int | None = None
    whitening: float = 0.0
    input_rms: float | None = 1.0
    n_train: int | None = None
    output_bias: str = "mean"
    normalizer: str = "standard"
    pca_faces: str = "any"
    repeat: int = 0
    filters: tuple[int, ...] = ()
    cell: int = 4

    def __post_init__(self):
        one_of("target", self.target, TARGETS)
        set_field = functools.partial(object.__setattr__, self)  # NumPy's numbers become plain ones, as JSON has them
        hidden = self.hidden if np.iterable(self.hidden) and not isinstance(self.hidden, str) else (self.hidden,)
        set_field("hidden", tuple(whole_number("each of hidden", units) for units in hidden))
        for name in ("batch_size", "epochs", "patience", "n_train"):
            value = getattr(self, name)
            set_field(name, None if value is None and name in ("patience", "n_train") else whole_number(name, value))
        for name in ("weight_decay", "whitening"):
            set_field(name, real_number(name, getattr(self, name)))
        set_field("momentum", real_number("momentum", self.momentum, below=1))
        if self.input_rms is not None:
            set_field("input_rms", real_number("input_rms", self.input_rms, above=True))
        one_of("output_bias", self.output_bias, ("mean", "zero"))
        one_of("normalizer", self.normalizer, NORMALIZERS)
        one_of("pca_faces", self.pca_faces, ("any", "training"))
        set_field("repeat", whole_number("repeat", self.repeat, 0))
        set_field("filters", tuple(whole_number("each of filters", n) for n in self.filters))
        set_field("cell", whole_number("cell", self.cell))
        set_field("initializer", as_initializer(self.initializer))
        set_field("schedule", as_schedule(self.schedule))
        self.network(0, 1)  # raises if a part is unknown, or does not go with another

    def config(self, n_features: int = 128) -> dict:
        """Return the dictionary that describes the network, of so many features, or of pictures if it has filters."""
        n_outputs, output_activation, loss = TARGETS[self.target]
        sizes: dict = {"layers": [n_features, *self.hidden, n_outputs]}
        if self.filters:
            picture = 3, SIZE // self.cell, SIZE // self.cell
            sizes = {"picture": picture, "filters": self.filters, "hidden": self.hidden, "outputs": n_outputs}
        return sizes | {
            "activation": self.activation,
            "output_activation": output_activation if self.output_activation is None else self.output_activation,
            "loss": loss if self.loss is None else self.loss,
        }

    def network(self, seed=0, n_features: int = 128) -> Network | ConvNetwork:
        """Return a new network; ``seed`` draws its weights, and later the order of the rows."""
        if not self.filters:
            return Network(self.config(n_features), self.initializer, seed)
        net = ConvNetwork(self.config(), self.initializer, seed)
        net.weights[-1][...] /= 10  # first outputs that differ little: gradient descent diverges otherwise
        return net

    def settings(self) -> dict:
        """Return the settings as JSON has them: objects by what they show of themselves, without what is implied."""
        settings = {f.name: getattr(self, f.name) for f in fields(Experiment) if f.name != "report"}
        settings["hidden"] = list(self.hidden)
        settings["filters"] = list(self.filters)
        implied = [name for name in ("output_activation", "loss") if settings[name] is None]
        implied += OF_FEATURES if self.filters else OF_PICTURES
        plain = (str, int, float, list, type(None))
        with np.printoptions(legacy="1.25"):  # 0.1, not np.float64(0.1)
            return {
                name: value if isinstance(value, plain) else re.sub(r" at 0x\w+", "", repr(value))
                for name, value in settings.items()
                if name not in implied
            }


def split_and_rescale(
    experiment: Experiment, table: pd.DataFrame, fold: int = 0, rows=None, pictures=None
) -> tuple[Part, Part, Part]:
    """Return train, validation and test of this experiment and fold, the training part limited.

    Features are rescaled. ``rows`` are those of ``faces.split``, ``pictures`` those of ``train``.
    """
    if experiment.filters:
        if pictures is None:
            raise ValueError("pictures are missing, which filters need: faces.small_pictures(faces) returns them")
        y = table[experiment.target].to_numpy()
        chosen = split_rows(table, fold) if rows is None else rows
        train, validation, test = (Part(pictures[part], y[part]) for part in chosen)
    else:
        train, validation, test = split(table, experiment.target, fold, rows)
        if experiment.input_rms is not None:
            how = {"whitening": experiment.whitening, "input_rms": experiment.input_rms}
            train, validation, test = rescale(train, validation, test, **how)
    limit = experiment.n_train
    return Part(train.X[:limit], train.y[:limit]), validation, test


def train(
    experiment: Experiment,
    table: pd.DataFrame,
    fold: int = 0,
    seed: int = 0,
    rows=None,
    progress: bool = False,
    pictures=None,
) -> tuple[Network | ConvNetwork, History, tuple[Part, Part, Part]]:
    """Train one network of an experiment.

    Parameters
    ----------
    experiment : Experiment
    table : DataFrame
        As ``load_features`` returns it.
    fold, seed : int
        Which faces are tested, from 0 to 9; and which network this is of several on the same faces.
    rows : optional
        As ``faces.split`` takes them.
    progress : bool
        Show a bar.
    pictures : ndarray, optional
        As ``faces.small_pictures`` returns them, row by row those of the table: what an experiment with filters trains
        on.

    Returns
    -------
    net : Network or ConvNetwork
    history : History
    parts : (Part, Part, Part)
        Train, validation and test, as the network saw them.
    """
    parts = split_and_rescale(experiment, table, fold, rows, pictures)
    rng = np.random.default_rng([2, fold, seed, experiment.repeat])  # no stream that the folds are drawn from
    net = experiment.network(rng, parts[0].X.shape[1])
    if experiment.target == "age" and experiment.output_bias == "mean":
        net.biases[-1][...] = parts[0].y.mean()
    history = net.fit(
        *parts[0],
        validation=parts[1],
        epochs=experiment.epochs,
        batch_size=experiment.batch_size,
        schedule=experiment.schedule,
        momentum=experiment.momentum,
        weight_decay=experiment.weight_decay,
        patience=experiment.patience,
        augment=mirrored if experiment.filters else None,
        progress=progress,
    )
    return net, history, parts


def train_and_measure(experiment: Experiment, table: pd.DataFrame, fold: int, seed: int, rows, pictures=None) -> dict:
    """Train one network of an experiment on one BLAS thread; return what is kept of it, see ``run``."""
    with threadpool_limits(1, "blas"):
        try:
            net, history, (train_part, validation, test) = train(experiment, table, fold, seed, rows, pictures=pictures)
        except TrainingDiverged as error:
            return {"fold": fold, "seed": seed, "diverged": str(error)}
        predicted = net.predict(test.X)
        scores = [round(float(net.evaluate(*part)[1]), 5) for part in (test, validation)]
    epochs = len(history.train_loss)
    at = np.unique(np.rint(np.geomspace(1, epochs, CURVE_POINTS)).astype(int))
    kept = ("train_loss", "validation_loss", "train_metric", "validation_metric")
    curves = {name: [float(f"{getattr(history, name)[epoch - 1]:.4g}") for epoch in at] for name in kept}
    errors = np.asarray(predicted - test.y if experiment.target == "age" else predicted != test.y, float)
    result = {
        "fold": fold,
        "seed": seed,
        "test": scores[0],
        "mae": round(float(np.mean(np.abs(errors))), 5),
        "validation": scores[1],
        "train_faces": len(train_part.X),
        "epochs": epochs,
        "best_epoch": history.best_epoch,
        "seconds": round(history.seconds[-1], 2),
        "effective_rank": round(effective_rank(net.weights[0].reshape(len(net.weights[0]), -1)), 2),
        "curves": {"epoch": at.tolist(), **curves},
        "errors": [round(error, 2) for error in errors.tolist()],  # of each test face, in the order of the fold's rows
    }
    if experiment.target != "age":
        del result["mae"]
    if experiment.target == "race":
        faces, right = table.iloc[rows[2]], predicted == test.y
        result["confusion"] = _counts(test.y, predicted, 5, 5)
        result["by_gender"] = _counts(faces["gender"], right, 2, 2)
        decades = faces["age"] // 10
        result["by_decade"] = _counts(decades, right, int(decades.max()) + 1, 2)
    return result


def effective_rank(W) -> float:
    """Return in how many directions a matrix is spread: (sum of s^2)^2 / sum of s^4, over its singular values s.

    1 if all columns are multiples of one, ``min(W.shape)`` if all singular values are the same; 0 for zeros alone.
    (It is called participation ratio, too.)
    """
    squares = np.linalg.svd(np.asarray(W, float), compute_uv=False) ** 2
    return float(squares.sum() ** 2 / np.sum(squares**2)) if squares.any() else 0.0


def _counts(rows, columns, n_rows: int, n_columns: int) -> list[list[int]]:
    """Return how many faces have each pair (row, column) of whole numbers."""
    counts = np.zeros((n_rows, n_columns), int)
    np.add.at(counts, (np.asarray(rows, int), np.asarray(columns, int)), 1)
    return counts.tolist()
