"""Five claims on faces that nobody here has seen: which faces test, what a verdict says."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from hw1lib import faces
from hw1lib.__main__ import main
from hw1lib.faces import standin
from hw1lib.study import EXPERIMENTS, confirm, two_archives


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Return 60 drawn faces to train on, and 30 others with a copy of two of these, one turned."""
    root = tmp_path_factory.mktemp("two")
    train = standin.make(root / "train", 60, n_jobs=1, progress=False)
    test = standin.make(root / "test", 30, seed=7, n_jobs=1, progress=False)
    files = faces.open(train, progress=False).labels["file"]
    known = [next(train.rglob(file)) for file in files[:2]]
    Image.open(known[0]).save(test / "20_0_0_20170101000000001.jpg.chip.jpg", quality=95)
    turned = ImageOps.mirror(Image.open(known[1]))
    turned.save(test / "20_0_0_20170101000000002.jpg.chip.jpg", quality=95)
    return train, test


@pytest.fixture
def quick(monkeypatch):
    for name in confirm.NAMES:
        assert EXPERIMENTS[name].patience is None  # no validation faces are needed
        assert EXPERIMENTS[name].n_train is None  # all faces train
        monkeypatch.setitem(EXPERIMENTS, name, replace(EXPERIMENTS[name], epochs=1))


@pytest.mark.slow
def test_faces_with_a_near_duplicate_in_training_are_not_tested(folders):
    train, test = (faces.open(folder, progress=False) for folder in folders)
    both = two_archives.TwoArchives(train, test)
    names = test.labels["file"].str
    copy, turned = (int(np.flatnonzero(names.contains(f"00000000{i}"))[0]) for i in (1, 2))
    assert both.left_out["near-duplicate of a training face"] >= 1
    assert both.left_out["near-duplicate of a training face's mirror image"] >= 1
    assert not {copy, turned} & set(both.rows)
    assert len(both.rows) + sum(both.left_out.values()) == len(test)
    assert len(both.rows) > 15
    for data in (both.features("l2"), both.pictures(4, 20)):
        ((first, watched, second),) = data.folds()
        assert first.tolist() == list(range(60))
        assert set(watched) <= set(first)
        assert data.labels["file"][second].tolist() == test.labels["file"][both.rows].tolist()
        assert data.fingerprint != faces.Data(data.X, data.labels, data.groups).fingerprint
        assert data.fingerprint != replace(data, n_train=59).fingerprint
    features = train.preprocessor("l2").transform(test.images(both.rows))
    assert both.features("l2").X[60:] == pytest.approx(features, abs=1e-3)
    assert both.pictures(4, 20).X[60:].tolist() == test.pictures(4, 20).X[both.rows].tolist()


def test_the_radius_is_that_of_the_folds():
    X = np.random.default_rng(0).standard_normal((400, 8)).astype(np.float32)
    radius = two_archives.duplicate_radius(X)
    for distance, same in ((0.98, True), (1.02, False)):
        X[1] = X[0] + [distance * radius, *[0] * 7]
        groups = faces.near_duplicates(X)
        assert (groups[0] == groups[1]) == same


def test_the_interval_is_that_of_a_mean_and_groups_widen_it():
    errors = np.random.default_rng(0).normal(0, 10, (2, 3, 1000))
    errors[0] += 1
    mean, low, high = confirm.difference(errors, np.arange(1000), "age")
    rmse = np.sqrt((errors**2).mean(axis=2)).mean(axis=1)
    assert mean == pytest.approx(rmse[0] - rmse[1])
    squares = (errors**2).mean(axis=1)
    spread = (squares[0] / rmse[0] - squares[1] / rmse[1]).std() / 2 / 1000**0.5
    assert (high - low) / 2 == pytest.approx(1.96 * spread, rel=0.1)
    twice = np.concatenate([errors, errors], axis=2)  # the same faces again say nothing new
    again = confirm.difference(twice, np.tile(np.arange(1000), 2), "age")
    assert again == pytest.approx((mean, low, high))
    equal = np.array([3, 2])[:, None, None] * np.ones((2, 3, 9))  # whoever is drawn, it is 1 year
    assert confirm.difference(equal, [0, 0, 0, 0, 1, 2, 3, 4, 5], "age") == pytest.approx((1, 1, 1))
    wrong = (errors > 0).astype(float)
    mean, *_ = confirm.difference(wrong, np.arange(1000), "race")
    assert mean == pytest.approx(100 * (wrong[1].mean() - wrong[0].mean()))


@pytest.mark.parametrize(
    ("target", "low", "high", "said"),
    [
        ("age", -0.3, -0.2, ("confirmed", True)),
        ("age", -0.3, -0.05, ("confirmed", False)),
        ("age", -0.1, 0.1, ("not decided", False)),
        ("age", 0.1, 0.2, ("refuted", False)),
        ("race", 0.6, 0.9, ("confirmed", True)),
        ("race", -0.9, -0.6, ("refuted", False)),
    ],
)
def test_verdicts(target, low, high, said):
    assert confirm.judge(target, low, high) == said


def test_the_page_says_what_the_code_does():
    """Its tables are compared by test_project.py."""
    page = Path(__file__).parents[2].joinpath("PROTOCOL.md").read_text("utf-8")
    assert f"{confirm.DRAWS:,} times the tested faces" in page
    assert f"than {two_archives.CLOSER} of the median distance" in page
    assert confirm.SEEDS == (0, 1, 2)
    assert "seeds 0, 1 and 2" in page


@pytest.mark.slow
def test_what_is_written_is_written_once(folders, quick, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    output = tmp_path / "result.json"
    command = ["confirm", "--output", str(output), "--jobs", "1"]
    command += ["--train", str(folders[0]), "--test", str(folders[1])]
    assert main(command) == 0
    assert "3 networks each. They are trained on all 60 faces" in capsys.readouterr().out
    text = output.read_text()
    held = json.loads(text)
    for claim, row in zip(confirm.CLAIMS, held["result"]["claims"], strict=True):
        first, second = (np.mean(held["result"]["experiments"][n]["test"]) for n in claim[1:])
        factor = 100 if row["unit"] == "points" else 1
        assert row["difference"] == pytest.approx(factor * (first - second), abs=2e-3)
        assert row["low"] <= row["difference"] <= row["high"]
    assert ".jpg" not in text
    assert main(command) == 0  # and is not done again
    assert "nothing is done again" in capsys.readouterr().out
    begun = json.dumps(held | {"result": None})
    output.write_text(begun)  # as of a run that was stopped

    def again(*job):
        raise AssertionError("all networks must be found again")

    monkeypatch.setattr("hw1lib.study.runs.train_and_measure", again)
    assert main(command) == 0
    assert output.read_text() == text
    monkeypatch.setattr(confirm, "SEEDS", (0, 1))
    assert main(command) == 1
    assert "another protocol, and is kept: ['seeds'] differ" in capsys.readouterr().err
    assert output.read_text() == text
