"""Training one network of an experiment, and measuring it.

The fold decides which faces train, validate and test; the seed what a network draws: its weights,
and the order of the rows.
"""

from __future__ import annotations

import numpy as np
from threadpoolctl import threadpool_limits

from hw1lib import faces, nn
from hw1lib.checks import unmasked
from hw1lib.study.experiment import TARGETS, Experiment

CURVE_POINTS = 20  # epochs of a curve that are kept, evenly spaced on a logarithmic axis
CURVES = ("train_loss", "validation_loss", "train_metric", "validation_metric")


def train(
    experiment: Experiment, data, fold: int = 0, seed: int = 0, partition: int = 0, progress=False
) -> tuple[nn.Network, nn.History, tuple[faces.Subset, faces.Subset, faces.Subset]]:
    """Train one network of an experiment on a FaceDataset, or on Data.

    Returns
    -------
    net, history, (train, validation, test)
        The three subsets, as the network takes them: it rescales features itself.
    """
    if not isinstance(experiment, Experiment):
        example = "study.EXPERIMENTS['width/64']"
        raise TypeError(f"experiment must be an Experiment such as {example}, not {experiment!r}")
    data = experiment.data(data, fold, partition, progress)
    subsets = experiment.split(data, fold, partition)
    train_part, validation, _ = subsets
    # the 4 makes it another stream of random numbers than those that the folds are drawn from
    rng = np.random.default_rng([4, fold, seed, experiment.repeat])
    all_training = data.X[data.folds(partition)[fold][0]]
    net = experiment.network(rng, None if experiment.filters else all_training)
    if "age" in experiment.targets and experiment.output_bias == "mean":
        ages = train_part.y.reshape(len(train_part.y), -1)[:, 0]
        net.biases[-1][0] = ages.mean()
    names = ("epochs", "batch_size", "learning_rate", "momentum", "weight_decay", "patience")
    settings: dict = {name: getattr(experiment, name) for name in names}
    augment = None
    if experiment.filters:
        augment = _flip_and_shift if experiment.shift else nn.random_flip
    settings |= {"augment": augment, "progress": progress}
    history = net.fit(train_part.X, train_part.y, validation, **settings)
    return net, history, subsets


def _flip_and_shift(pictures, rng):
    return nn.random_shift(nn.random_flip(pictures, rng), rng)


def predict(experiment: Experiment, net: nn.Network, X) -> dict[str, np.ndarray]:
    """Return what a network of this experiment says of each of its targets, (n,)."""
    outputs = net.outputs(X)
    if experiment.average_mirror:
        outputs = (outputs + net.outputs(X[..., ::-1])) / 2
    predicted = net.loss.predict(outputs).reshape(len(X), -1)
    return dict(zip(experiment.targets, predicted.T, strict=True))


def train_and_measure(experiment: Experiment, data, fold: int, seed: int, partition: int) -> dict:
    """Train one network on one BLAS thread; return what is kept of it, ready for JSON.

    Of a network that diverges that is the message alone.
    """
    with threadpool_limits(1, "blas"):
        try:
            net, history, subsets = train(experiment, data, fold, seed, partition)
        except nn.TrainingDiverged as error:
            return {"diverged": str(error)}
        train_part, validation, test = subsets
        results = measure(experiment, net, test)
        for target, on_validation in measure(experiment, net, validation).items():
            results[target]["validation"] = on_validation["test"]
    epochs = len(history.train_loss)
    at = np.unique(np.rint(np.geomspace(1, epochs, CURVE_POINTS)).astype(int))
    curve = {"epoch": at.tolist()}
    for name in CURVES:
        values = getattr(history, name)
        curve[name] = [float(f"{values[epoch - 1]:.4g}") for epoch in at]
    first = net.weights[0]
    return {
        "targets": results,
        "train_faces": len(train_part.X),
        "epochs": epochs,
        "best_epoch": history.best_epoch,
        "seconds": round(history.seconds[-1], 2),
        "participation_ratio": round(participation_ratio(first.reshape(len(first), -1)), 2),
        "curve": curve,
    }


def measure(experiment: Experiment, net: nn.Network, part: faces.Subset) -> dict[str, dict]:
    """Return ``score`` of each target of a network, and what is ``predicted``."""
    results: dict[str, dict] = {}
    predicted = predict(experiment, net, part.X)
    labels = part.y.reshape(len(part.y), -1).T  # a row a target
    for target, true in zip(predicted, labels, strict=True):
        results[target] = dict(score(target, true, predicted[target]))
        results[target]["predicted"] = [float(f"{value:.7g}") for value in predicted[target]]
    return results


def score(target: str, true, predicted) -> dict[str, float]:
    """Return ``test``, RMSE in years or accuracy, and ``mae`` (NaN for classes)."""
    if TARGETS[target].metric == "accuracy":
        return {"test": round(float(np.mean(predicted == true)), 5), "mae": float("nan")}
    errors = np.asarray(predicted, float) - true
    rmse, mae = np.sqrt(np.mean(errors**2)), np.mean(np.abs(errors))
    return {"test": round(float(rmse), 5), "mae": round(float(mae), 5)}


def participation_ratio(W) -> float:
    """Return in how many directions a matrix is spread.

    That is (sum of s^2)^2 / sum of s^4 over its singular values s: 1 if all columns are multiples
    of one, ``min(W.shape)`` if all singular values are the same; 0 for zeros alone.
    """
    squares = np.linalg.svd(np.asarray(unmasked("W", W), float), compute_uv=False) ** 2
    return float(squares.sum() ** 2 / np.sum(squares**2)) if squares.any() else 0.0
