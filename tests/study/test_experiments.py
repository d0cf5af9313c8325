"""The report's experiments: what is named, how it is run, kept and taken up again, and how results are read."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from hw1lib.faces.features import split, split_rows
from hw1lib.nn import Constant, Random, Zero
from hw1lib.study import experiments, results
from hw1lib.study.experiments import EXPERIMENTS, limit_epochs, run
from hw1lib.study.linear import baselines
from hw1lib.study.published import PUBLISHED, RANKINGS
from hw1lib.study.record import summary
from hw1lib.study.training import Experiment, split_and_rescale, train, train_and_measure

SHORT = Experiment("a test", hidden=(4,), epochs=3, schedule=Constant(1e-3))


def without_seconds(found):
    return json.loads(json.dumps(found), object_hook=lambda d: {k: v for k, v in d.items() if k != "seconds"})


# -- what is there ----------------------------------------------------------------------------------------------------


def test_every_published_number_has_its_experiment_in_both_settings():
    for name, published in PUBLISHED.items():
        assert published.where in EXPERIMENTS[name].report or "2.2.7" in published.where
        assert name + results.AS_PUBLISHED in EXPERIMENTS
    for _, better, worse in RANKINGS:
        assert {better, worse} <= PUBLISHED.keys()
        assert PUBLISHED[better].value < PUBLISHED[worse].value  # the claim is the report's own


def test_settings_are_what_their_names_say():
    assert EXPERIMENTS["init/zero"].initializer == Zero()
    assert EXPERIMENTS["depth/64-16"].config()["layers"] == [128, 64, 16, 1]
    assert EXPERIMENTS["width/32" + results.AS_PUBLISHED].config()["layers"] == [128, 32, 1]
    assert EXPERIMENTS["race/8000" + results.AS_PUBLISHED].epochs == 8000
    assert EXPERIMENTS["race/8000"].config()["loss"] == "nll"
    # the comparison of a table is between settings that differ in one thing
    for variant in ("", results.AS_PUBLISHED):
        wide, narrow = EXPERIMENTS["width/64" + variant], EXPERIMENTS["width/16" + variant]
        assert replace(narrow, hidden=(64,), report=wide.report) == wide
        random, xavier = EXPERIMENTS["init/random" + variant], EXPERIMENTS["init/xavier" + variant]
        assert replace(xavier, initializer=random.initializer, report=random.report) == random


# -- running ----------------------------------------------------------------------------------------------------------


def test_a_run_is_what_training_by_hand_gives(table):
    found = run({"mine": SHORT}, table, seeds=[3], n_jobs=1, progress=False)["experiments"]["mine"]["runs"][0]
    net, history, (train_part, validation, test) = train(SHORT, table, seed=3)
    rmse = np.sqrt(np.mean((net.predict(test.X) - test.y) ** 2))
    assert found["test"] == pytest.approx(rmse, abs=1e-5)
    assert found["validation"] == pytest.approx(net.evaluate(*validation)[1], abs=1e-5)
    assert found["curves"]["epoch"] == [1, 2, 3]
    assert found["curves"]["train_loss"] == pytest.approx(history.train_loss, rel=1e-3)
    assert (found["train_faces"], len(validation.X), len(test.X)) == (len(train_part.X), 27, 30) == (243, 27, 30)


def test_same_results_with_one_and_two_processes_and_from_the_cache(table, cache):
    mine = {"a": SHORT, "b": replace(SHORT, hidden=(5, 3))}
    one = run(mine, table, range(2), n_jobs=1, keep=False, progress=False)
    two = run(mine, table, range(2), n_jobs=2, progress=False)
    assert without_seconds(one) == without_seconds(two)
    assert run(mine, table, range(2), progress=False) == two  # with the seconds: nothing was trained again
    kept = list(cache.glob("results/*/*.json"))
    assert len(kept) == 4
    kept[0].write_text(kept[0].read_text()[:-9])  # damaged
    assert without_seconds(run(mine, table, range(2), n_jobs=1, progress=False)) == without_seconds(one)


def test_what_is_finished_is_not_run_twice_and_the_same_setting_is_run_once(table, monkeypatch):
    trained = []

    def counting(experiment, table, seed):
        trained.append(seed)
        if len(trained) == 3:
            raise KeyboardInterrupt
        return train_and_measure(experiment, table, seed)

    monkeypatch.setattr(experiments, "train_and_measure", counting)
    twice = {"init/random": SHORT, "width/64": replace(SHORT, report="another table")}
    with pytest.raises(KeyboardInterrupt):
        run(twice, table, range(4), n_jobs=1, progress=False)
    found = run(twice, table, range(4), n_jobs=1, progress=False)
    assert len(trained) == 5  # four seeds, of which one was interrupted and run again
    assert sorted(trained) == sorted([0, 1, 2, 3, trained[2]])
    assert found["experiments"]["init/random"]["runs"] == found["experiments"]["width/64"]["runs"]


def test_what_is_kept_depends_on_settings_and_not_on_the_report():
    keys = [
        experiments._key(one) for one in (SHORT, replace(SHORT, epochs=4), replace(SHORT, output_activation="identity"))
    ]
    assert len(set(keys)) == 3
    assert experiments._key(replace(SHORT, report="elsewhere")) == keys[0]
    assert experiments._key(replace(SHORT, loss="l2", output_activation="leaky_relu")) != keys[1]


def test_other_columns_are_other_data(table):
    swapped = table.rename(columns={"f000": "f001", "f001": "f000"})
    a, b = (run({"a": SHORT}, table, [0], n_jobs=1, progress=False)["data"] for table in (table, swapped))
    assert a != b


def test_what_cannot_be_described_is_trained_every_time_and_not_kept(table, cache):
    class Drawn(Random):
        def __call__(self, fan_in, fan_out, rng):
            return generator.normal(size=(fan_in, fan_out))

    generator = np.random.default_rng(0)
    mine = {"mine": replace(SHORT, initializer=Drawn()), "short": SHORT}
    with pytest.warns(UserWarning, match="'mine' is trained every time, .* it depends on an object of numpy.random"):
        first = run(mine, table, [0], n_jobs=2, progress=False)
    with pytest.warns(UserWarning, match="'mine'"):
        second = run(mine, table, [0], n_jobs=2, progress=False)
    assert first["experiments"]["mine"]["runs"][0]["test"] != second["experiments"]["mine"]["runs"][0]["test"]
    assert first["experiments"]["short"] == second["experiments"]["short"]
    assert len(list(cache.glob("results/*/*.json"))) == 1


def test_results_are_saved_as_json(table, tmp_path):
    found = run({"mine": SHORT}, table, [0], n_jobs=1, save=tmp_path / "found.json", progress=False)
    assert json.loads((tmp_path / "found.json").read_text()) == found
    assert found["data"]["faces"] == 300
    assert found["experiments"]["mine"]["settings"]["hidden"] == [4]


def test_classification_results_count_every_test_face(table):
    race = replace(SHORT, target="race", schedule=Constant(0.1), epochs=30)
    found = run({"race": race}, table, [0], n_jobs=1, progress=False)["experiments"]["race"]["runs"][0]
    _, _, rows = split_rows(300, 0)
    confusion = np.array(found["confusion"])
    assert confusion.sum(axis=1).tolist() == np.bincount(table["race"].iloc[rows], minlength=5).tolist()
    assert np.trace(confusion) / 30 == pytest.approx(found["test"], abs=1e-5)
    for group in ("by_gender", "by_decade"):
        assert np.sum(found[group]) == 30
        assert np.sum(found[group], axis=0)[1] == np.trace(confusion)


def test_fewer_faces_train_the_same_split(table):
    few = replace(SHORT, n_train=50)
    parts, all_parts = (split_and_rescale(one, table, 0) for one in (few, SHORT))
    assert np.array_equal(parts[0].X, all_parts[0].X[:50])
    assert all(np.array_equal(a.X, b.X) for a, b in zip(parts[1:], all_parts[1:], strict=True))


def test_scale(monkeypatch):
    monkeypatch.setenv("HW1_SCALE", "full")
    assert limit_epochs(["race/8000"])["race/8000"].epochs == 8000
    monkeypatch.setenv("HW1_SCALE", "quick")
    assert limit_epochs(["race/8000"])["race/8000"].epochs == 300
    assert limit_epochs(["width/64"])["width/64"] == EXPERIMENTS["width/64"]
    monkeypatch.setenv("HW1_SCALE", "huge")
    with pytest.raises(ValueError, match="HW1_SCALE must be full or quick"):
        limit_epochs(["race/8000"])


def test_numpy_numbers_are_plain_in_what_is_kept(table, tmp_path):
    mine = Experiment(
        "a test",
        "age",
        np.array([4]),
        epochs=np.int64(3),
        momentum=np.float32(0.5),
        initializer=Random(np.float64(0.1)),
    )
    found = run({"mine": mine}, table, np.arange(2), n_jobs=1, save=tmp_path / "found.json", progress=False)
    assert json.loads((tmp_path / "found.json").read_text()) == found
    settings = found["experiments"]["mine"]["settings"]
    assert (settings["hidden"], settings["epochs"], settings["momentum"]) == ([4], 3, 0.5)
    assert settings["initializer"] == "Random(sigma=0.1)"


def test_one_name_and_one_hidden_layer_may_be_given_as_they_are(table, monkeypatch):
    monkeypatch.setitem(EXPERIMENTS, "width/64", SHORT)
    assert run("width/64", table, [0], 1, progress=False)["experiments"].keys() == {"width/64"}
    assert replace(SHORT, hidden=40).config()["layers"] == [128, 40, 1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((["width/65"],), "there is no experiment 'width/65'; there are init/zero, "),
        (("width/65",), "there is no experiment 'width/65'; there are init/zero, "),
        ((SHORT,), "names must be names of experiments, or a dict of name to Experiment, not Experiment"),
        (({"a": SHORT, "b": 3},), "names must be names, or a dict of name to Experiment: 'b' is 3"),
        (({"a": SHORT}, "no such folder", 3), r"seeds must be several whole numbers, such as range\(10\) or .*, not 3"),
        (({"a": SHORT}, "no such folder", [0.5]), "each of seeds must be a whole number >= 0, not 0.5"),
    ],
)
def test_what_run_does_not_take_is_told_before_the_features_are_made(arguments, said):
    with pytest.raises(ValueError, match=said):
        run(*(*arguments, "no such folder")[: max(2, len(arguments))], progress=False)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"target": "height"}, "target must be one of age, gender, race, not 'height'"),
        ({"hidden": "64"}, "each of hidden must be a whole number >= 1, not '64'"),
        ({"hidden": (64, 0)}, "each of hidden must be a whole number >= 1, not 0"),
        ({"epochs": 2.5}, "epochs must be a whole number >= 1, not 2.5"),
        ({"momentum": 1}, "momentum must be a finite number >= 0 and below 1, not 1"),
        ({"input_rms": 0}, "input_rms must be a finite number > 0, not 0"),
    ],
)
def test_settings_that_are_not_allowed(settings, said):
    with pytest.raises(ValueError, match=said):
        Experiment("a test", **settings)


@pytest.mark.parametrize("target", ["gender", "race"])
def test_one_label_is_enough(table, target):
    same = table.assign(**{target: 0})
    assert baselines(same, target, [0]) == {"largest": [1], "logistic": [1]}
    found = run({"it": replace(SHORT, target=target)}, same, [0], 1, progress=False)["experiments"]["it"]["runs"][0]
    if target == "race":  # classes without faces have their rows, too
        assert np.shape(found["confusion"]) == (5, 5)
        assert np.shape(found["by_gender"]) == (2, 2)


def test_baselines_on_the_splits_of_the_networks(table):
    train_part, _, test = split(table, "age", 1)
    found = baselines(table, "age", seeds=[1])
    assert found["mean"][0] == pytest.approx(np.sqrt(np.mean((test.y - train_part.y.mean()) ** 2)), abs=1e-5)
    A = np.column_stack([np.ones(len(train_part.X)), train_part.X])
    weights = np.linalg.lstsq(A, train_part.y, rcond=None)[0]
    error = test.y - np.column_stack([np.ones(len(test.X)), test.X]) @ weights
    assert found["linear"][0] == pytest.approx(np.sqrt(np.mean(error**2)), abs=1e-4)
    found = baselines(table, "race", seeds=[1])
    assert found["logistic"][0] > found["largest"][0]


# -- reading results --------------------------------------------------------------------------------------------------


def test_interval_is_student_t():
    x = np.random.default_rng(0).normal(3, 2, 12)
    known = stats.ttest_1samp(x, 0).confidence_interval(0.95)
    assert results.interval(x) == pytest.approx((x.mean(), known.low, known.high))
    mean, low, high = results.interval([5.0])
    assert mean == 5
    assert np.isnan([low, high]).all()


def test_overlap_widens_the_interval_as_nadeau_and_bengio_say():
    x = np.arange(10.0)
    _, low, high = results.interval(x)
    _, wide_low, wide_high = results.interval(x, overlap=1 / 9)
    assert (wide_high - wide_low) / (high - low) == pytest.approx(np.sqrt((1 / 10 + 1 / 9) / (1 / 10)))


def test_wilson_by_hand():
    # Wilson 1927 for 8 of 10 at 95 %: centre (p + z^2/2n) / (1 + z^2/n)
    z, n, p = stats.norm.ppf(0.975), 10, 0.8
    centre, half = p + z**2 / (2 * n), z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    scale = 1 + z**2 / n
    assert results.wilson(8, 10) == pytest.approx((0.8, (centre - half) / scale, (centre + half) / scale))
    assert results.wilson(10, 10)[1] < 1
    assert np.isnan(results.wilson(0, 0)).all()


@pytest.mark.parametrize(
    ("difference", "said"),
    [
        ((-1.0, -1.5, -0.5), "holds"),
        ((-1.0, -2.5, 0.5), "can't be told"),
        ((1.0, 0.5, 1.5), "does not hold: the reverse is true"),
    ],
)
def test_verdicts(difference, said):
    assert results.verdict(difference) == said


def made_up(**tests):
    return {
        "experiments": {
            name.replace("__", "/"): {
                "settings": {"target": "age", "name": name},
                "runs": [{"test": t, "curves": {"epoch": [1, 2], "train_loss": [t, 2 * t]}} for t in values],
            }
            for name, values in tests.items()
        }
    }


def test_rankings_are_paired_over_seeds():
    spread = np.array([-2.0, 0.0, 2.0, 1.0])  # the split's, the same for both: far larger than the difference
    found = made_up(init__xavier=14 + spread, init__random=14.3 + spread + [0, 0.01, -0.01, 0])
    table = results.ranking_verdicts(found)
    assert list(table.index) == ["Xavier beats random initialisation"]
    assert table.iloc[0]["verdict"] == "holds"
    assert table.iloc[0]["published difference"] == "-0.048"
    low, high = results.ranking_intervals(found).iloc[0][["low", "high"]]
    assert low < -0.3 < high < 0


def test_numbers_beside_the_published_ones():
    kept = made_up(init__zero=[19.0, 20.0, 21.0])
    table = results.beside_published(["init/zero", "race/8000"], made_up(init__zero=[18.5]), kept)
    half = stats.t.ppf(0.975, 2) * np.sqrt(1 / 3 + results.OVERLAP)
    assert table.loc["init/zero"].tolist() == ["19.1553", "-", f"20.00 ± {half:.2f}", "18.50"]
    told = summary(kept | {"data": {"source": "stand-in"}})
    assert "init/zero" in told
    assert "stand-in, trained properly" in told  # drawn faces are not called UTKFace
    assert results.mean_and_interval([0.5, 0.6, 0.7], "accuracy").startswith("60.0 ± ")
    assert results.mean_and_interval([0.5, 0.7], "accuracy") == "60.0 %"
    assert table.loc["race/8000"].tolist() == ["72.2 %", "-", "-", "-"]


def test_unknown_names_are_told():
    with pytest.raises(ValueError, match=r"names must be of experiments .*, not \['init/none'\]"):
        results.beside_published(["init/zero", "init/none"], made_up(), made_up())
    with pytest.raises(ValueError, match="these results hold no experiment 'a'; they hold b"):
        results.values(made_up(b=[1.0]), "a")
    with pytest.raises(ValueError, match="values and reference must be pairs, not 3 and 1 numbers"):
        results.paired([1, 2, 3], [1])


def test_mean_curve_over_seeds():
    epochs, mean, low, high = results.mean_curve(made_up(a=[1.0, 3.0]), "a", "train_loss")
    assert (epochs.tolist(), mean.tolist(), low.tolist(), high.tolist()) == ([1, 2], [2, 4], [1, 2], [3, 6])


def test_a_seed_that_stopped_early_counts_as_long_as_it_trained():
    curves = [{"epoch": [1, 3, 9], "loss": [8.0, 6.0, 0.0]}, {"epoch": [1, 4], "loss": [6.0, 3.0]}]
    kept = {"experiments": {"a": {"runs": [{"curves": c} for c in curves]}}}
    epochs, mean, low, high = results.mean_curve(kept, "a", "loss")
    assert (epochs.tolist(), mean.tolist()) == ([1, 3, 9], [7, 5, 0])
    assert (low.tolist(), high.tolist()) == ([6, 4, 0], [8, 6, 0])


def test_groups_by_hand():
    true, said, groups = [10, 20, 30, 40], [12, 20, 33, 44], ["a", "a", "b", "b"]
    rmse = results.rmse_by_group(true, said, groups)
    assert rmse["value"].tolist() == pytest.approx([np.sqrt(2), np.sqrt(12.5)])


# -- what was recorded on UTKFace -------------------------------------------------------------------------------------


def test_recorded_results_are_complete():
    kept = results.recorded()
    assert kept["data"]["source"] == "UTKFace"
    assert kept["data"]["faces"] > 20_000
    assert kept["experiments"].keys() == EXPERIMENTS.keys()
    for name, experiment in kept["experiments"].items():
        assert [one["seed"] for one in experiment["runs"]] == list(range(10))
        assert experiment["settings"] == EXPERIMENTS[name].settings()
    assert (results.resources.files("hw1lib.study") / "recorded" / "utkface.json").stat().st_size < 400_000


def test_recorded_numbers_agree_with_known_facts():
    kept = results.recorded()
    mean = {name: results.values(kept, name).mean() for name in kept["experiments"]}
    assert mean["init/zero"] == pytest.approx(np.mean(kept["baselines"]["age"]["mean"]), abs=0.02)
    assert mean["width/64"] < np.mean(kept["baselines"]["age"]["linear"]) < mean["width/64/as-published"]
    for name, published in PUBLISHED.items():  # one weak setting gives the report's numbers, each within a few per cent
        assert mean[name + results.AS_PUBLISHED] == pytest.approx(published.value, rel=0.05)
    assert sum(kept["variance"]) == pytest.approx(0.918, abs=0.003)
