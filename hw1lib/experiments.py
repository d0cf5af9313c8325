"""The report's experiments as data, and how to run them: over seeds, side by side, each result kept as JSON.

A seed decides everything that is drawn: which faces train, validate and test, the weights, the order of the rows. What
depends on settings was chosen on validation faces, never on test faces.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import platform
from dataclasses import dataclass
from importlib import resources
from importlib.metadata import version

import joblib
import numpy as np
import pandas as pd
from scipy import stats
from tqdm.auto import tqdm

from hw1lib.data import FaceDataset
from hw1lib.files import cache_dir, write_atomically
from hw1lib.initializers import Initializer, Random, Xavier
from hw1lib.network import Network
from hw1lib.preprocess import load_features, prepare, rescale, split
from hw1lib.schedules import Constant, ExponentialDecay, Schedule

RESULT_VERSION = 1  # raised when a change here makes kept results out of date
CURVE_POINTS = 24  # epochs of a curve that are kept, evenly spaced on a log axis
TARGETS = {  # target: outputs, output activation, loss
    "age": (1, "leaky_relu", "l2"),
    "gender": (1, "sigmoid", "logistic"),
    "race": (5, "softmax", "nll"),
}


@dataclass(frozen=True)
class Experiment:
    """One experiment of the report: what is trained, and how.

    ``report`` names its figure and table. ``power`` is that of ``preprocess.rescale``; ``n_train`` limits the training
    faces; the rest are the arguments of ``Network`` and ``Network.fit``.
    """

    report: str
    target: str = "age"
    hidden: tuple[int, ...] = (64,)
    activation: str = "leaky_relu"
    initializer: Initializer = Random(0.1)
    schedule: Schedule = Constant(1e-3)
    momentum: float = 0.9
    weight_decay: float = 0.0
    batch_size: int = 128
    epochs: int = 60
    patience: int | None = None
    power: float = 0.0
    n_train: int | None = None

    def config(self, n_features: int = 128) -> dict:
        """Return the dictionary that describes the network."""
        n_outputs, output_activation, loss = TARGETS[self.target]
        return {
            "layers": [n_features, *self.hidden, n_outputs],
            "activation": self.activation,
            "output_activation": output_activation,
            "loss": loss,
        }


PROPER = Experiment(  # the settings that the validation faces preferred for 128-64-1
    "Fig. 2.15, trained properly",
    initializer=Xavier(),
    schedule=ExponentialDecay(2e-3, 0.97),
    weight_decay=0.06,
    epochs=100,
)

EXPERIMENTS = {
    # the report's section 2.2.5, one thing at a time
    "rate/constant": Experiment("section 2.2.5", schedule=Constant(3e-4), momentum=0.0),
    "rate/momentum": Experiment("section 2.2.5", schedule=Constant(3e-4)),
    "rate/decay": Experiment("section 2.2.5", schedule=ExponentialDecay(3e-4, 0.95)),
    "rate/lambda": Experiment("Fig. 2.15", schedule=Constant(3e-4), weight_decay=0.1),
    "age/64": PROPER,
}


def parts_of(experiment: Experiment, table: pd.DataFrame, seed: int):
    """Return train, validation and test of this experiment and seed, rescaled, the training part limited."""
    train, validation, test = rescale(*split(table, experiment.target, seed), power=experiment.power)
    limit = experiment.n_train
    return train._replace(X=train.X[:limit], y=train.y[:limit]), validation, test


def train(experiment: Experiment, table: pd.DataFrame, seed: int = 0, progress: bool = False):
    """Train one experiment with one seed.

    Returns
    -------
    net : Network
    history : History
    parts : (Part, Part, Part)
        Train, validation and test, as the network saw them.
    """
    parts = parts_of(experiment, table, seed)
    net = Network(experiment.config(parts[0].X.shape[1]), experiment.initializer, seed)
    history = net.fit(
        parts[0].X,
        parts[0].y,
        validation=parts[1],
        epochs=experiment.epochs,
        batch_size=experiment.batch_size,
        schedule=experiment.schedule,
        momentum=experiment.momentum,
        weight_decay=experiment.weight_decay,
        patience=experiment.patience,
        progress=progress,
    )
    return net, history, parts


def run(names, data, seeds=range(10), n_jobs: int = -1, keep: bool = True, progress: bool = True) -> dict:
    """Train experiments over seeds, side by side as processes with one BLAS thread each.

    Parameters
    ----------
    names : iterable of str
        Of ``EXPERIMENTS``; or a dict of name to Experiment, for your own.
    data : FaceDataset, DataFrame or path-like
        Faces, or a table as ``load_features`` returns it, or what ``FaceDataset.open`` takes.
    seeds : iterable of int
    n_jobs : int
        Processes; -1 for all cores.
    keep : bool
        Keep each finished run in the cache folder, and take it from there: what was interrupted goes on.
    progress : bool
        Show a bar.

    Returns
    -------
    dict
        Ready for JSON: ``data`` (fingerprint, faces), ``versions``, ``experiments``: name -> ``report``, ``settings``
        and ``runs``, one per seed: test metric, epochs, best epoch, seconds and thinned curves.
    """
    chosen = dict(names) if isinstance(names, dict) else {name: _named(name) for name in names}
    seeds = list(seeds)
    if not isinstance(data, pd.DataFrame):
        ds = data if isinstance(data, FaceDataset) else FaceDataset.open(data, progress=progress)
        data = load_features(prepare(ds, progress=progress))
    print_of_data = _fingerprint(data)
    folder = cache_dir() / "results" / print_of_data
    jobs = [(name, experiment, seed) for name, experiment in chosen.items() for seed in seeds]
    found = {job: _kept(folder, *job[1:]) if keep else None for job in jobs}
    missing = [job for job in jobs if found[job] is None]
    missing.sort(key=lambda job: -job[1].epochs)  # the long ones first: no core waits for one at the end

    numbers = data.iloc[:, 1:].to_numpy(np.float32)  # one array, which joblib hands to the processes through a file
    columns = list(data.columns[1:])
    tasks = (joblib.delayed(_one)(job, numbers, columns, folder if keep else None) for job in missing)
    done = joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered")(tasks)
    for job, result in tqdm(done, desc="experiments", total=len(missing), disable=not progress, leave=False):
        found[job] = result
    return {
        "data": {"fingerprint": print_of_data, "faces": len(data)},
        "versions": {name: version(name) for name in ("hw1lib", "numpy", "scipy")}
        | {"python": platform.python_version()},
        "experiments": {
            name: {
                "report": experiment.report,
                "settings": _settings(experiment),
                "runs": [found[name, experiment, seed] for seed in seeds],
            }
            for name, experiment in chosen.items()
        },
    }


def _named(name: str) -> Experiment:
    if name not in EXPERIMENTS:
        raise ValueError(f"there is no experiment {name!r}; there are {', '.join(EXPERIMENTS)}")
    return EXPERIMENTS[name]


def _one(job, numbers, columns, folder):
    _, experiment, seed = job
    table = pd.DataFrame(numbers, columns=columns)
    table.insert(0, "file", "")
    net, history, (train_part, _, test) = train(experiment, table, seed)
    epochs = len(history.train_loss)
    at = np.unique(np.rint(np.geomspace(1, epochs, CURVE_POINTS)).astype(int))
    curves = {
        name: [float(f"{values[epoch - 1]:.4g}") for epoch in at]
        for name, values in dataclasses.asdict(history).items()
        if name in ("train_loss", "validation_loss", "train_metric", "metric")
    }
    result = {
        "seed": seed,
        "test": round(net.evaluate(*test)[1], 5),
        "train_faces": len(train_part.X),
        "epochs": epochs,
        "best_epoch": history.best_epoch,
        "seconds": round(history.seconds[-1], 2),
        "curves": {"epoch": at.tolist(), **curves},
    }
    if folder is not None:
        text = json.dumps(result)
        write_atomically(_path(folder, experiment, seed), lambda temporary: temporary.write_text(text))
    return job, result


def _settings(experiment: Experiment) -> dict:
    settings = {f.name: getattr(experiment, f.name) for f in dataclasses.fields(experiment) if f.name != "report"}
    return {name: repr(v) if isinstance(v, Initializer | Schedule) else v for name, v in settings.items()}


def _path(folder, experiment, seed):
    text = json.dumps([RESULT_VERSION, _settings(experiment), seed, version("numpy")])
    return folder / f"{hashlib.sha256(text.encode()).hexdigest()[:24]}.json"


def _kept(folder, experiment, seed):
    path = _path(folder, experiment, seed)
    return json.loads(path.read_text()) if path.exists() else None


def _fingerprint(table: pd.DataFrame) -> str:
    """Return 16 hexadecimal digits from all labels and features."""
    numbers = np.ascontiguousarray(table.iloc[:, 1:].to_numpy(np.float32))
    return hashlib.sha256(numbers.tobytes()).hexdigest()[:16]


# -- reading results -------------------------------------------------------------------------------------------------


def interval(values, confidence: float = 0.95) -> tuple[float, float, float]:
    """Return mean, and lower and upper end of its Student t interval; both ends NaN for a single value."""
    values = np.asarray(values, float)
    mean = float(values.mean())
    if len(values) < 2:
        return mean, float("nan"), float("nan")
    half = stats.t.ppf((1 + confidence) / 2, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return mean, mean - half, mean + half


def paired(values, reference) -> tuple[float, float, float]:
    """Return mean and 95 % interval of ``values - reference``, pair by pair: of the same seeds, or folds."""
    return interval(np.asarray(values, float) - np.asarray(reference, float))


def cross_validate(features, labels, folds: int = 10) -> dict[str, np.ndarray]:
    """Return what linear models tell from features (n, k), fold by fold.

    Returns
    -------
    dict
        ``age``: test RMSE of linear regression, ``race``: test accuracy of logistic regression, each (folds,).
    """
    from sklearn.linear_model import LinearRegression, LogisticRegression
    from sklearn.model_selection import KFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    parts = KFold(folds, shuffle=True, random_state=0)
    race = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
    rmse = cross_val_score(LinearRegression(), features, labels["age"], cv=parts, scoring="neg_root_mean_squared_error")
    return {"age": -rmse, "race": cross_val_score(race, features, labels["race"], cv=parts)}


def baselines(table: pd.DataFrame, target: str, seeds=range(10)) -> dict[str, list[float]]:
    """Return the test metric of models without hidden layers, one a seed, on the splits that the networks get.

    Returns
    -------
    dict
        For age the RMSE of always saying the training mean (``mean``) and of linear regression (``linear``); for race
        and gender the accuracy of always saying the largest class (``largest``) and of logistic regression
        (``logistic``).
    """
    from sklearn.dummy import DummyClassifier, DummyRegressor
    from sklearn.linear_model import LinearRegression, LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    models: dict = {"mean": DummyRegressor(), "linear": LinearRegression()}
    if target != "age":
        models = {
            "largest": DummyClassifier(),
            "logistic": make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500)),
        }
    found: dict[str, list[float]] = {name: [] for name in models}
    for seed in seeds:
        train_part, _, test = split(table, target, seed)
        for name, model in models.items():
            predicted = model.fit(train_part.X, train_part.y).predict(test.X)
            score = np.sqrt(np.mean((predicted - test.y) ** 2)) if target == "age" else np.mean(predicted == test.y)
            found[name].append(round(float(score), 5))
    return found


def recorded(name: str = "utkface") -> dict:
    """Return what ``python -m hw1lib reproduce`` recorded on real UTKFace: numbers and curves."""
    return json.loads(resources.files("hw1lib").joinpath("recorded", f"{name}.json").read_text())


def test_values(results: dict, name: str) -> np.ndarray:
    """Return the test metric of each seed, (n_seeds,); empty if the results do not hold the experiment."""
    runs = results["experiments"].get(name, {}).get("runs", [])
    return np.array([r["test"] for r in runs])


def rmse_by_group(true, predicted, groups) -> pd.DataFrame:
    """Return n, RMSE and its 95 % interval for each group of test faces.

    Parameters
    ----------
    true, predicted, groups : array_like, (n,)

    Returns
    -------
    DataFrame
        Index the groups; columns ``n, rmse, low, high``. The interval is that of the mean squared error (Student t
        over the faces), its root taken.
    """
    squared = pd.Series((np.asarray(predicted, float) - np.asarray(true, float)) ** 2)
    rows = {}
    for group, values in squared.groupby(np.asarray(groups)):
        mean, low, high = interval(values)
        rows[group] = (len(values), mean**0.5, max(low, 0) ** 0.5 if low == low else low, high**0.5)
    return pd.DataFrame.from_dict(rows, orient="index", columns=["n", "rmse", "low", "high"])


def full_scale() -> bool:
    """Whether HW1_SCALE=full asks for every epoch and seed; otherwise notebooks run reduced sizes."""
    text = os.environ.get("HW1_SCALE", "")
    if text not in ("", "quick", "full"):
        raise ValueError(f"HW1_SCALE must be full or quick, not {text!r}")
    return text == "full"
