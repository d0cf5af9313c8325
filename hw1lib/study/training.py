"""Training one network of an experiment, and measuring it.

The fold decides which faces train, validate and test; the seed what a network draws: its weights,
and the order of the rows.
"""

from __future__ import annotations

import numpy as np
from threadpoolctl import threadpool_limits

from hw1lib import faces, nn
from hw1lib.checks import unmasked
from hw1lib.study.experiments import TARGETS, Experiment

CURVE_POINTS = 20  # epochs of a curve that are kept, evenly spaced on a logarithmic axis
CURVES = ("train_loss", "validation_loss", "train_metric", "validation_metric")


def train(
    experiment: Experiment, data, fold: int = 0, seed: int = 0, partition: int = 0, progress=False
) -> tuple[nn.Network, nn.History, tuple[faces.Subset, faces.Subset, faces.Subset]]:
    """Train one network of an experiment on a FaceDataset, or on Data.

    Returns
    -------
    net, history, (train, validation, test)
        The three subsets as the network saw them.
    """
    data = experiment.data(data, fold, partition, progress)
    subsets = experiment.split(data, fold, partition)
    train_part, validation, _ = subsets
    # the 2 makes it another stream of random numbers than those that the folds are drawn from
    rng = np.random.default_rng([2, fold, seed, experiment.repeat])
    net = experiment.network(rng, train_part.X.shape[1])
    if experiment.target == "age" and experiment.output_bias == "mean":
        net.biases[-1][...] = train_part.y.mean()
    names = ("epochs", "batch_size", "learning_rate", "momentum", "weight_decay", "patience")
    settings: dict = {name: getattr(experiment, name) for name in names}
    settings |= {"augment": nn.random_flip if experiment.filters else None, "progress": progress}
    history = net.fit(train_part.X, train_part.y, validation, **settings)
    return net, history, subsets


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
        predicted = net.predict(test.X)
        result: dict = score(experiment.target, test.y, predicted)
        result["validation"] = round(float(net.evaluate(*validation)[1]), 5)
    epochs = len(history.train_loss)
    at = np.unique(np.rint(np.geomspace(1, epochs, CURVE_POINTS)).astype(int))
    curve = {"epoch": at.tolist()}
    for name in CURVES:
        values = getattr(history, name)
        curve[name] = [float(f"{values[epoch - 1]:.4g}") for epoch in at]
    first = net.weights[0]
    result |= {
        "train_faces": len(train_part.X),
        "epochs": epochs,
        "best_epoch": history.best_epoch,
        "seconds": round(history.seconds[-1], 2),
        "participation_ratio": round(participation_ratio(first.reshape(len(first), -1)), 2),
        "curve": curve,
        "predicted": [float(f"{value:.7g}") for value in predicted],
    }
    return result


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
