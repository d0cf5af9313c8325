"""One experiment: what is trained, and how."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from hw1lib import faces, nn
from hw1lib.checks import UserError, one_of, whole_number
from hw1lib.faces.pictures import SIZE
from hw1lib.nn import Constant, Random
from hw1lib.nn.initializers import as_initializer
from hw1lib.nn.schedules import as_schedule


class Target(NamedTuple):
    """What a label asks of a network, and how its test result is told."""

    outputs: int
    activation: str  # of the outputs
    loss: str | nn.Loss
    metric: str  # "rmse" or "accuracy"
    sign: int  # 1 where less is better
    factor: int  # 100 where it is told in per cent

    def result(self, squares):
        """Return the test result of mean squared errors; a wrong label is an error of 1."""
        return np.sqrt(squares) if self.metric == "rmse" else 1 - squares


TARGETS = {
    "age": Target(1, "leaky_relu", "l2", "rmse", 1, 1),
    "gender": Target(1, "sigmoid", "logistic", "accuracy", -1, 100),
    "race": Target(5, "softmax", "nll", "accuracy", -1, 100),
}
OF_FEATURES = ("whitening", "input_rms", "normalizer", "pca_faces")  # fields without filters
OF_PICTURES = ("filters", "cell", "margin", "batch_norm", "shift", "average_mirror", "joint")
# One network for all labels: an error of 10 years costs as much as a label's probability of 1/e.
JOINT = nn.WeightedSum((0.02, nn.L2(), 1), (1, nn.NLL(), 2), (1, nn.NLL(), 5))


@dataclass(frozen=True)
class Experiment:
    """One experiment: what is trained, and how. ``nn.Network`` and its ``fit`` take the same names.

    Parameters
    ----------
    report : str
        The figure and the table of the report that it repeats. Experiments that differ in this
        alone are equal.
    output_activation, loss : optional
        By default, as ``TARGETS`` says.
    whitening, input_rms : float
        As ``faces.input_scale`` takes them; ``input_rms=None`` leaves the features as they are.
    n_train : int, optional
        At most so many training faces.
    output_bias : {"mean", "zero"}
        Where the output's bias starts: at the mean age of the training faces, or at 0. Classes
        always start at 0.
    normalizer : str
        One of ``faces.NORMALIZERS``.
    pca_faces : {"any", "training"}
        Which 5,000 faces the PCA is fitted on: any, as in the report, or of this fold's training.
    repeat : int
        Another number draws other networks on the same faces.
    filters : tuple of int
        If there are any, the network has so many filters in each block, and is trained on small
        pictures: flipped at random, its last layer's weights drawn ten times smaller.
    cell, margin : int
        Side of the squares, in pixels, that make one of a small picture; and how many pixels are
        left out at each side of the face.
    batch_norm : bool
        In each block.
    shift : bool
        Pictures are moved by up to one cell at random, too.
    average_mirror : bool
        What the network says is the mean of its outputs for a face and for its mirror image.
    joint : bool
        The network learns age, gender and race label at once, and ``target`` is what is told of it.
    """

    report: str = field(default="", compare=False)
    target: str = "age"
    hidden: tuple[int, ...] = (64,)
    activation: str | nn.Activation = "leaky_relu"
    output_activation: str | nn.Activation | None = None
    loss: str | nn.Loss | None = None
    initializer: nn.Initializer | str = Random(0.1)
    learning_rate: Any = Constant(3e-4)
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
    margin: int = 0
    batch_norm: bool = False
    shift: bool = False
    average_mirror: bool = False
    joint: bool = False

    def __post_init__(self):
        """Check what ``fit`` will not, so that a mistake is told before anything is trained."""
        one_of("target", self.target, TARGETS)
        one_of("output_bias", self.output_bias, ("mean", "zero"))
        one_of("normalizer", self.normalizer, faces.NORMALIZERS)
        one_of("pca_faces", self.pca_faces, ("any", "training"))
        hidden = self.hidden if isinstance(self.hidden, tuple | list) else (self.hidden,)
        plain = {
            "hidden": tuple(whole_number("each of hidden", units) for units in hidden),
            "filters": tuple(whole_number("each of filters", number) for number in self.filters),
            "initializer": as_initializer(self.initializer),
            "learning_rate": as_schedule(self.learning_rate),
        }
        for name, value in plain.items():
            object.__setattr__(self, name, value)  # the class is frozen
        self.network()  # raises if a part is unknown, or does not go with another

    @property
    def targets(self) -> list[str]:
        """What the network learns."""
        return list(TARGETS) if self.joint else [self.target]

    def config(self, n_features: int = 128) -> dict:
        """Return the dictionary that describes the network, of features or of pictures."""
        target = TARGETS[self.target]
        if self.joint:
            target = target._replace(outputs=8, activation="identity", loss=JOINT)
        sizes: dict[str, Any] = {"layers": [n_features, *self.hidden, target.outputs]}
        if self.filters:
            side = (SIZE - 2 * self.margin) // self.cell
            sizes = {"picture": (3, side, side), "filters": self.filters}
            sizes |= {"batch_norm": self.batch_norm, "hidden": self.hidden}
            sizes["outputs"] = target.outputs
        functions = {
            "activation": self.activation,
            "output_activation": self.output_activation or target.activation,
            "loss": self.loss or target.loss,
        }
        return sizes | functions

    def network(self, seed=0, X=None) -> nn.Network:
        """Return a new network; ``seed`` draws its weights, and later the order of the rows.

        ``X`` are the features of all training faces, which say how all are rescaled (default: 128
        features that are not).
        """
        config = self.config(128 if X is None else X.shape[1])
        if X is not None and self.input_rms is not None and not self.filters:
            scale = faces.input_scale(X, self.whitening, self.input_rms)
            config["input_scale"] = scale.tolist()
        net = nn.Network(config, self.initializer, seed)
        if self.filters:
            # first outputs that differ little: gradient descent diverges otherwise
            net.weights[-1][...] /= 10
        return net

    def data(self, ds, fold: int = 0, partition: int = 0, progress: bool = False) -> faces.Data:
        """Return what this experiment trains on: ``Data`` as it is, or made of a FaceDataset."""
        if isinstance(ds, faces.Data):
            if bool(self.filters) != (ds.X.ndim == 4):
                raise UserError("filters need ds.pictures(), and other networks ds.features()")
            return ds
        if not hasattr(ds, "pictures"):
            raise UserError(f"data must be faces.open() or faces.Data, not {type(ds).__name__}")
        if self.filters:
            return ds.pictures(self.cell, self.margin, progress=progress)
        fit_on = None
        if self.pca_faces == "training":
            train, _, _ = ds.features(progress=progress).folds(partition)[fold]
            fit_on = train[:5000]  # shuffled: any 5,000 of the training
        return ds.features(self.normalizer, fit_on=fit_on, progress=progress)

    def split(self, data: faces.Data, fold: int = 0, partition: int = 0):
        """Return train, validation and test as the network gets them: of limited number."""
        targets = self.targets if self.joint else self.target
        (X, y), validation, test = data.split(targets, fold, partition)
        return faces.Subset(X[: self.n_train], y[: self.n_train]), validation, test

    def settings(self) -> dict:
        """Return the settings as JSON has them, without those that are implied or unused."""
        skipped = {"report", *(OF_FEATURES if self.filters else OF_PICTURES)}
        skipped |= {name for name in ("output_activation", "loss") if getattr(self, name) is None}
        settings = {}
        for name, value in vars(self).items():
            if isinstance(value, tuple):
                value = list(value)
            elif not isinstance(value, str | int | float | None):
                value = re.sub(r" at 0x\w+", "", repr(value))
            if name not in skipped:
                settings[name] = value
        return settings
