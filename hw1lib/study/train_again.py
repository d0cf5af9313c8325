"""Whether a recorded network comes out when it is trained again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from hw1lib import faces
from hw1lib.checks import UserError, one_of
from hw1lib.study.experiment import TARGETS
from hw1lib.study.experiments import EXPERIMENTS
from hw1lib.study.record import each_face
from hw1lib.study.training import train_and_measure

# How far a test result may be from the recorded one on another processor, whose rounding carries
# training elsewhere. Measured with OpenBLAS's kernels Haswell and Sandybridge for SkylakeX, each in
# a command of its own, on UTKFace: width/64 and depth/64-16 were up to 0.05 years apart, race/64 up
# to 0.0085, conv/age 0.03 years. On 20,000 drawn faces, three networks each, it was up to 0.11
# years and 0.0075.
DISTANCE = {"rmse": 0.3, "accuracy": 0.02}


def recorded_run(name: str, fold: int, seed: int, folder: Path) -> pd.Series:
    """Return the row of a recorded network; UserError if there is none."""
    one_of("NAME", name, EXPERIMENTS)
    runs = pd.read_csv(folder / "runs.csv")
    its = runs[(runs["experiment"] == name) & (runs["fold"] == fold) & (runs["seed"] == seed)]
    if its.empty:
        raise UserError(f"no network {name}, fold {fold}, seed {seed} is recorded in {folder}")
    return its.iloc[0]


def train_again(known: pd.Series, ds: faces.FaceDataset, folder: Path) -> tuple[str, bool]:
    """Train a ``recorded_run`` again; return a sentence, and whether it comes out.

    UserError says that ``ds`` holds other faces than were recorded.
    """
    about = json.loads((folder / "provenance.json").read_text("utf-8"))["data"]
    if about["faces_fingerprint"] != ds.fingerprint:
        raise UserError(f"{ds.source}: these are not the {about['faces']:,} faces of the recording")
    name, fold, seed = known["experiment"], int(known["fold"]), int(known["seed"])
    experiment = EXPERIMENTS[name]
    data = experiment.data(ds, fold, progress=True)
    result = train_and_measure(experiment, data, fold, seed, partition=0)
    if "diverged" in result:
        return f"{name}: {result['diverged']}", False
    result |= result["targets"][experiment.target]
    row = pd.DataFrame([{**known, "predicted": result["predicted"]}])
    key = f"{name}:{seed}"
    test = data.folds()[fold][2]
    with np.load(folder / "faces.npz", allow_pickle=False) as recorded:
        same = np.array_equal(each_face(row, data)[key][test], recorded[key][test])
    metric = TARGETS[experiment.target].metric
    near = abs(result["test"] - known["test"]) <= DISTANCE[metric]
    verdict = f"more than {DISTANCE[metric]} apart"
    if near:
        verdict = f"within {DISTANCE[metric]}, as on another processor"
    if same:
        verdict = "the same of every face"
    told = f"{name}, fold {fold}, seed {seed}: {metric} {result['test']}"
    return f"{told}, recorded {known['test']}: {verdict}", bool(same or near)
