"""What was recorded on UTKFace: complete, of the code's settings; and how it is recorded."""

from dataclasses import replace
from importlib import resources

import numpy as np
import pandas as pd
import pytest

from hw1lib import faces, study
from hw1lib.study import COMPARISONS, EXPERIMENTS, TARGETS, TUNED, comparisons, record, tuning
from hw1lib.study.experiments import CONV_TUNED, LADDER, NEAREST


@pytest.fixture(scope="module")
def runs():
    return study.recorded()


def test_settings_are_those_that_the_code_has():
    folder = resources.files("hw1lib.study") / "recorded"
    table = record.settings_table().to_csv(index=False, lineterminator="\n")
    assert table == (folder / "settings.csv").read_text()
    sizes = {file.name: len(file.read_bytes()) for file in folder.iterdir()}
    assert sizes.pop("faces.npz") < 8_000_000
    assert sum(sizes.values()) < 1_000_000


def test_every_run_is_complete(runs):
    assert study.recorded("provenance")["data"]["faces"] == 20_002
    assert not runs["drawn"].any()
    of_networks = runs[runs["experiment"].isin(EXPERIMENTS)]
    assert list(of_networks["experiment"].unique()) == list(EXPERIMENTS)
    for name, its in of_networks.groupby("experiment"):
        experiment = EXPERIMENTS[name]
        networks = 1 if experiment.epochs >= record.LONG else 3
        pairs = [[fold, seed] for fold in range(10) for seed in range(networks)]
        assert its[["fold", "seed"]].to_numpy().tolist() == pairs
        assert set(its["target"]) == {experiment.target}
        assert np.isfinite(its["test"]).all()
        assert its["mae"].notna().all() == (experiment.target == "age")
        assert not (its["mae"] >= its["test"]).any()
        assert set(its["train_faces"]) == {min(experiment.n_train or 16_202, 16_202)}
        assert its["curve"].notna().tolist() == (its["seed"] == 0).tolist()
    simple = runs[~runs["experiment"].isin(EXPERIMENTS)].groupby("experiment").size()
    assert (simple == 10).all()
    assert len(simple) == 7


def test_every_comparison_is_recorded_and_changes_one_thing(runs):
    compared = study.compare(runs)
    assert list(compared.index) == [comparison.question for comparison in COMPARISONS]
    assert set(compared["else_differs"]) == {"nothing", "each tuned", comparisons.PICTURES}
    table = study.recorded("bootstrap")
    for comparison, row in zip(COMPARISONS, table.itertuples(), strict=True):
        assert (row.first, row.second) == comparison[1:3]
        assert row.mean == pytest.approx(study.difference(runs, *comparison[1:3])[0], abs=1e-9)
        assert compared.loc[comparison.question, "p"] >= row.p


def test_the_best_that_was_tried_is_what_is_used():
    tried = study.recorded("tuning")
    assert set(tried["experiment"]) == {*TUNED, "conv/age"}
    settings = ["learning_rate", "weight_decay", "whitening"]
    for name, its in tried.groupby("experiment"):
        chosen = TUNED.get(name, CONV_TUNED)
        best = its.iloc[0]
        assert {key: str(best[key]) for key in chosen} == {k: str(v) for k, v in chosen.items()}
        first = its.groupby("rank").first()
        offered = [c.settings() for c in tuning.candidates(tuning.untuned(name))]
        offered = pd.DataFrame(offered).reindex(columns=settings)
        both = [table[settings].astype(str).to_numpy().tolist() for table in (first, offered)]
        assert sorted(both[0]) == sorted(both[1])
        budget = [tuning.FOLDS] * tuning.BEST
        budget += [tuning.FIRST_FOLDS] * (tuning.SETTINGS - tuning.BEST)
        if name == "conv/age":
            budget = [tuning.FIRST_FOLDS] * tuning.CONV_SETTINGS
        assert its.groupby("rank").size().tolist() == budget
        means = its.groupby("rank")["score"].mean()[: tuning.BEST]
        assert means[0] == means.min()


def test_the_reconstruction_is_the_nearest_that_was_found():
    search = study.recorded("search")
    best = search.loc[search["misfit"].idxmin()]
    scale = "as the PCA gives them" if NEAREST.input_rms is None else "scaled to 1"
    settings = (NEAREST.normalizer, scale, NEAREST.learning_rate.rate, NEAREST.epochs)
    assert tuple(best[["normalizer", "scale", "rate", "epoch"]]) == settings
    fitted = list(search.columns[5:])
    assert len(fitted) == 7
    gaps = best[fitted].to_numpy(float) - [study.PUBLISHED[name].value for name in fitted]
    assert best["misfit"] == pytest.approx(np.sqrt(np.mean(gaps**2)), abs=0.002)


def test_recorded_numbers_agree_with_known_facts(runs):
    mean = runs.groupby("experiment")["test"].mean()
    assert mean["init/zero"] == pytest.approx(mean["mean/age"], abs=0.02)  # zeros learn the mean
    noise = study.recorded("label_noise")["age_spread"].iloc[0]
    assert (mean[list(runs.loc[runs["target"] == "age", "experiment"].unique())] > noise).all()
    assert study.recorded("variance")["ratio"].sum() == pytest.approx(0.918, abs=0.003)


def test_errors_by_group_are_those_of_all_test_faces(runs):
    groups = study.recorded("groups")
    assert set(groups["experiment"]) == set(record.BY_GROUP)
    for (name, _), its in groups.groupby(["experiment", "kind"]):
        assert its["n"].sum() == 20_000
        tests = runs.loc[runs["experiment"] == name, "test"]
        power = 2 if EXPERIMENTS[name].target == "age" else 1
        together = np.sum(its["n"] * its["value"] ** power) / its["n"].sum()
        assert together == pytest.approx(np.mean(tests**power), rel=0.02)  # folds weigh the same
    first = runs[runs["seed"] == 0]
    counts = study.recorded("confusion")
    right = counts["label"] == counts["predicted"]
    accuracy = counts[right].groupby("experiment")["n"].sum() / 20_000
    for name in accuracy.index:
        known = first.loc[first["experiment"] == name, "test"].mean()
        assert accuracy[name] == pytest.approx(known, abs=1e-5)


def test_the_ladder_ends_in_what_is_recorded(runs):
    table = study.recorded("ladder").set_index("rung")
    assert list(table.index) == list(LADDER)
    assert table[["mean", "low", "high"]].isna().all(axis=1).tolist() == [True] + [False] * 8
    first = runs[(runs["seed"] == 0) & (runs["fold"] < record.RUNG_FOLDS)]
    for target in TARGETS:
        its = first[first["experiment"] == f"conv/{target}"]
        assert table.loc["28 epochs", target] == pytest.approx(its["test"].mean(), abs=1e-5)


# -- recording ------------------------------------------------------------------------------------


@pytest.fixture
def small(monkeypatch, short):
    """Make of all that is recorded a few networks that train in a moment."""
    names = {"width/64": short, "width/16": replace(short, hidden=(3,))}
    names |= {"race/64": replace(short, target="race"), "init/zero": replace(short, epochs=1000)}
    for name, experiment in names.items():
        monkeypatch.setitem(EXPERIMENTS, name, experiment)
    monkeypatch.setattr(record, "EXPERIMENTS", names)
    monkeypatch.setattr(record, "BY_GROUP", ("width/64", "race/64"))
    asked = [c for c in COMPARISONS if c[1:3] == ("width/64", "width/16")]
    monkeypatch.setattr(comparisons, "COMPARISONS", asked)
    normalizers = {name: faces.NORMALIZERS[name] for name in ("standard", "l2")}
    monkeypatch.setattr(faces, "NORMALIZERS", normalizers)
    monkeypatch.setattr(record, "tune", lambda ds, **how: pd.DataFrame({"rank": [0]}))
    rung = replace(short, filters=(2,), cell=20, learning_rate=1e-5)
    steps = {"first": {}, "three labels": {"joint": True}}
    monkeypatch.setattr(record, "CONV_STEPS", steps)
    rungs = {name: replace(rung, **change) for name, change in steps.items()}
    monkeypatch.setattr(record, "LADDER", rungs)


@pytest.mark.slow
def test_what_is_recorded_can_be_computed_again_from_each_face(small, faces_folder, tmp_path):
    ds = faces.open(faces_folder, progress=False)
    results = record.record(ds, range(2), range(2), n_jobs=1)
    folder = record.write_recording(results, tmp_path / "recorded")
    kept = {"search.csv"}  # whose code is gone
    here = resources.files("hw1lib.study") / "recorded"
    assert {file.name for file in folder.iterdir()} ^ {file.name for file in here.iterdir()} == kept
    for file in folder.glob("*.csv"):
        if file.name not in ("tuning.csv", "settings.csv"):
            columns = study.recorded(file.stem).columns.drop("curve", errors="ignore")
            assert pd.read_csv(file).columns.tolist() == columns.tolist()
    runs = pd.read_csv(folder / "runs.csv")
    assert runs[runs["experiment"] == "init/zero"]["seed"].tolist() == [0, 0]  # a long one
    with np.load(folder / "faces.npz", allow_pickle=False) as each_face:
        for row in runs.itertuples():
            tested = each_face["fold"] == row.fold
            predicted = each_face[f"{row.experiment}:{row.seed}"][tested]
            true = each_face[row.target][tested]
            test = np.mean(predicted == true)
            if row.target == "age":
                test = np.sqrt(np.mean((predicted / 100 - true) ** 2))
            assert test == pytest.approx(row.test, abs=1e-5)
        assert all(array.dtype.kind == "i" for array in each_face.values())  # no name, no picture
    told = record.summary(results)
    assert "Are 64 neurons better than 16?" in told
    assert "width/64" in told.split("Holm")[0]
    ladder = results["ladder"].set_index("rung")
    assert ladder["changed"].tolist() == ["", "joint True"]
    assert ladder["race"].notna().tolist() == [False, True]
    gap = ladder["age"].diff().iloc[1]
    assert ladder["mean"].iloc[1] == pytest.approx(gap, abs=2e-5)


def test_near_duplicates_on_both_sides_flatter(table):
    some = table.iloc[:40].assign(age=table["age"][:40] + 40)  # far from what their features tell
    data = faces.Data.from_table(pd.concat([table, some, some, some], ignore_index=True))
    leakage = record.duplicate_leakage(data, range(1), n_jobs=1).set_index("kind")
    both = leakage.loc["with a near-duplicate"]
    assert both["faces"] + leakage.loc["others", "faces"] == leakage.loc["all", "faces"]
    assert 150 <= both["faces"] <= len(data) - 240
    gaps = leakage["random"] - leakage["together"]
    assert leakage["mean"].tolist() == pytest.approx(gaps.tolist(), abs=2e-4)
    assert (leakage["low"] < leakage["mean"]).all()
    assert both["high"] < 0
