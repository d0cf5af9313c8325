"""Five claims, tested once on faces that nobody here has seen: PROTOCOL.md says how and why.

All faces of one archive train; those of another test that have no near-duplicate in the first.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from hw1lib import faces
from hw1lib.checks import FileError, UserError
from hw1lib.files import write_text
from hw1lib.study.comparisons import SAME, UNITS
from hw1lib.study.experiment import TARGETS
from hw1lib.study.experiments import EXPERIMENTS, RECONSTRUCTED
from hw1lib.study.record import provenance
from hw1lib.study.runs import _code, face_errors, run
from hw1lib.study.two_archives import CLOSER, TwoArchives

SEEDS = (0, 1, 2)  # networks of each experiment
DRAWS = 2000  # of the bootstrap


class Claim(NamedTuple):
    """What is claimed: the first experiment's test result is better than the second's."""

    claim: str
    first: str
    second: str


CLAIMS = (
    Claim("(64, 16) is better than 64, each tuned", "depth/64-16", "width/64"),
    Claim(
        "(64, 16) is better than 64, both as reconstructed",
        "depth/64-16" + RECONSTRUCTED,
        "width/64" + RECONSTRUCTED,
    ),
    Claim("A convolutional network is better than (64, 16)", "conv/age", "depth/64-16"),
    Claim("A convolutional network is better than 64, race label", "conv/race", "race/64"),
    Claim("64 neurons are better than 16", "width/64", "width/16"),
)
NAMES = tuple(dict.fromkeys(name for claim in CLAIMS for name in claim[1:]))


def difference(errors, groups, target: str) -> tuple[float, float, float]:
    """Return first less second, and its 95 % interval by a bootstrap over faces (Efron 1979).

    ``errors`` are those of both sides on the same faces, each (networks, faces): years, or 1 for a
    wrong label. Faces that share a group are drawn together; the networks stay as they are.
    """
    groups = np.unique(groups, return_inverse=True)[1]
    sizes = np.bincount(groups)
    n = len(sizes)
    drawn = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), DRAWS)
    counts = np.vstack([np.ones(n), drawn])  # first, the faces as they are
    results = []
    for side in errors:
        sums = np.stack([np.bincount(groups, network**2) for network in side], axis=1)
        means = counts @ sums / (counts @ sizes)[:, None]  # (draws, networks)
        metric = np.sqrt(means) if TARGETS[target].metric == "rmse" else 1 - means
        results.append(metric.mean(axis=1))
    differences = TARGETS[target].factor * (results[0] - results[1])
    low, high = np.quantile(differences[1:], (0.025, 0.975))
    return float(differences[0]), float(low), float(high)


def judge(target: str, low: float, high: float) -> tuple[str, bool]:
    """Return the verdict, and whether the whole interval is at least the margin away from 0."""
    better = sorted(-TARGETS[target].sign * end for end in (low, high))  # what the first gains
    verdict = "confirmed" if better[0] > 0 else "refuted" if better[1] < 0 else "not decided"
    return verdict, better[0] >= SAME[TARGETS[target].metric]


def results(runs: pd.DataFrame, both: TwoArchives) -> dict:
    """Return what each network's test says, and each claim's difference, interval and verdict."""
    errors, tests = {}, {}
    data = both.features(progress=False)  # for its labels and its split, which pictures have, too
    for name in NAMES:
        its = runs[runs["experiment"] == name]
        tests[name] = {"test": its["test"].tolist()}
        if its["mae"].notna().all():
            tests[name]["mae"] = its["mae"].tolist()
        errors[name] = face_errors(its, name, data)["error"].to_numpy().reshape(len(SEEDS), -1)
    rows = []
    for claim in CLAIMS:
        target = EXPERIMENTS[claim.first].target
        numbers = difference((errors[claim.first], errors[claim.second]), both.groups, target)
        verdict, beyond = judge(target, *numbers[1:])
        names = ("difference", "low", "high")
        row: dict[str, Any] = dict(zip(names, np.round(numbers, 5).tolist(), strict=True))
        row |= {"unit": UNITS[TARGETS[target].metric], "verdict": verdict, "beyond_margin": beyond}
        rows.append(claim._asdict() | row)
    return {"experiments": tests, "claims": rows}


def protocol(train: faces.FaceDataset, test: faces.FaceDataset) -> dict:
    """Return all that is fixed before anything is trained, as JSON has it."""
    here = Path(__file__)
    code = [here.read_bytes(), here.with_name("two_archives.py").read_bytes()]
    about = provenance(train)
    fixed = {
        "claims": [claim._asdict() for claim in CLAIMS],
        "settings": {name: EXPERIMENTS[name].settings() for name in NAMES},
        "seeds": SEEDS,
        "margins": SAME,
        "near_duplicates": CLOSER,
        "bootstrap": DRAWS,
        "code_sha256": hashlib.sha256(_code().encode() + b"".join(code)).hexdigest(),
        "versions": about["versions"],
        "train": about["data"],
        "test": provenance(test)["data"],
    }
    return json.loads(json.dumps(fixed))


def confirm(train: faces.FaceDataset, test: faces.FaceDataset, output, n_jobs: int, say) -> dict:
    """Test ``CLAIMS``, write protocol and result to a file, and return them; ``say`` prints.

    The protocol is written before anything is trained. A file that holds another one is refused; of
    the same one, what was interrupted goes on, and what is finished is not done again.
    """
    held: dict[str, Any] = {"protocol": protocol(train, test), "result": None}
    known = read(output)
    if known:
        own, its = held["protocol"], known["protocol"]
        differ = [name for name in own if own[name] != its.get(name)]
        if differ:
            raise UserError(f"{output} holds another protocol, and is kept: {differ} differ")
        if known["result"]:
            say(f"{output} holds the result of this same protocol: nothing is done again")
            return known
        say(f"{output} holds this same protocol, without a result: it goes on")
    _write(held, output)
    say(
        f"{len(CLAIMS)} claims, {len(NAMES)} experiments, {len(SEEDS)} networks each. They are "
        f"trained on all {len(train):,} faces of {train.source}, and tested once on those of the "
        f"{len(test):,} of {test.source} that have no near-duplicate there"
    )
    both = TwoArchives(train, test)
    say(f"{len(both.rows):,} faces are tested; left out: {both.left_out}")
    runs = run(NAMES, both, [0], SEEDS, n_jobs=n_jobs)
    held["result"] = {"tested": len(both.rows), "left_out": both.left_out, **results(runs, both)}
    _write(held, output)
    return held


def _write(held: dict, output) -> None:
    write_text(output, json.dumps(held, indent=2) + "\n")


def read(output) -> dict | None:
    """Return what a file of this command holds, or None if there is no file."""
    if not Path(output).exists():
        return None
    try:
        held = json.loads(Path(output).read_text("utf-8"))
        return {name: held[name] for name in ("protocol", "result")}
    except (ValueError, KeyError, TypeError) as error:
        raise FileError(f"{output} is there, and no file of this command: it is kept") from error
