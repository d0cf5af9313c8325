"""What was recorded on UTKFace: complete, of the settings that the code names, and in line with known facts."""

import numpy as np
import pytest

from hw1lib.study import results
from hw1lib.study.comparisons import COMPARISONS, PIXELS, compare
from hw1lib.study.experiments import CONV, EXPERIMENTS, NEAREST, TUNED
from hw1lib.study.linear import SVM_SETTINGS
from hw1lib.study.record import BY_GROUP, LONG
from hw1lib.study.search import AT, FITTED, MOST_EPOCHS
from hw1lib.study.tuning import BEST, CONV_SETTINGS, FIRST_FOLDS, FOLDS, SETTINGS, candidates, within_one_error


@pytest.fixture(scope="module")
def kept():
    return results.recorded()


def test_every_experiment_is_recorded_with_the_settings_that_the_code_has(kept):
    assert kept["data"]["source"] == "UTKFace"
    assert kept["data"]["faces"] == 20_002
    assert list(kept["experiments"]) == list(EXPERIMENTS)
    for name, recorded in kept["experiments"].items():
        assert recorded["settings"] == EXPERIMENTS[name].settings(), name
        assert recorded["report"] == EXPERIMENTS[name].report


def test_every_run_is_complete(kept):
    for name, recorded in kept["experiments"].items():
        networks = {run["seed"] for run in recorded["runs"]}
        assert networks == set(range(len(networks)))
        assert len(networks) == (1 if EXPERIMENTS[name].epochs >= LONG or EXPERIMENTS[name].filters else 3)
        found = [(run["fold"], run["seed"]) for run in recorded["runs"]]
        assert found == [(fold, seed) for fold in range(10) for seed in range(len(networks))]
        for run in recorded["runs"]:
            assert np.isfinite(run["test"])
            assert ("mae" in run) == (recorded["settings"]["target"] == "age")
            assert run.get("mae", 0) < run["test"]
            assert run["train_faces"] == min(recorded["settings"]["n_train"] or 16_202, 16_202)
            assert ("curves" in run) == (run["seed"] == 0)
    assert (results.resources.files("hw1lib.study") / "recorded" / "utkface.json").stat().st_size < 1_000_000


def test_every_comparison_is_recorded_and_changes_one_thing(kept):
    compared = compare(kept)
    assert list(compared.index) == [one.question for one in COMPARISONS]
    assert set(compared["else_differs"]) == {"nothing", "each tuned", PIXELS}
    assert kept["bootstrap"].keys() == {f"{one.first} - {one.second}" for one in COMPARISONS}


def test_the_same_setting_with_other_networks_is_the_same(kept):
    assert compare(kept, "width/64/other").iloc[0]["verdict"] == "the same within 0.1 years"


def test_the_best_that_was_tried_is_what_is_used(kept):
    assert kept["tuning"].keys() == {*TUNED, *CONV}
    for name, tried in kept["tuning"].items():
        settings = EXPERIMENTS[name].settings()
        chosen = {**TUNED, **CONV}[name]
        best = within_one_error(tried, settings["target"], 1800) if name in CONV else tried[0]
        assert {key: best[key] for key in chosen} == {key: settings[key] for key in chosen}
        offered = [{key: one.settings()[key] for key in chosen} for one in candidates(EXPERIMENTS[name])]
        recorded = [{key: one[key] for key in chosen} for one in tried]
        assert sorted(map(str, recorded)) == sorted(map(str, offered))
        budget = [1] * CONV_SETTINGS if name in CONV else [FOLDS] * BEST + [FIRST_FOLDS] * (SETTINGS - BEST)
        assert [len(one["validation"]) for one in tried] == budget
        means = [np.mean(one["validation"]) for one in tried[:BEST]]
        assert means[0] == (min(means) if settings["target"] == "age" else max(means))


def test_as_published_is_the_nearest_that_was_found(kept):
    assert kept["search"]["epochs"] == AT.tolist()
    misfits = [[m or np.inf for m in family["misfit"]] for family in kept["search"]["families"]]
    best, at = np.unravel_index(np.argmin(misfits), np.shape(misfits))
    family = kept["search"]["families"][best]
    assert family["rmse"].keys() == FITTED.keys()
    found = family["normalizer"], family["scale"], family["rate"], AT[at]
    scale = "scaled to 1" if NEAREST.input_rms else "as the PCA gives them"
    assert found == (NEAREST.normalizer, scale, NEAREST.schedule.rate, NEAREST.epochs)
    assert AT[-1] == MOST_EPOCHS


def test_recorded_numbers_agree_with_known_facts(kept):
    mean = {name: results.fold_means(kept, name).mean() for name in kept["experiments"]}
    baselines = {name: np.mean(found["test"]) for name, found in kept["baselines"]["age"].items()}
    assert mean["init/zero"] == pytest.approx(baselines["mean"], abs=0.02)  # zeros learn the mean, and no more
    assert mean["width/64"] < baselines["linear"] < baselines["mean"]
    assert all(
        mean[name] > kept["label_noise"]["age_spread"] for name in mean if "race" not in name and "gen" not in name
    )
    assert len(kept["baselines"]["race"]["logistic"]["test"]) == 10
    assert sum(kept["variance"]) == pytest.approx(0.918, abs=0.003)


def test_the_goals_of_the_convolutional_network_are_met(kept):
    """At most 10.8 years and at least 80 %; better than the networks on features by paired intervals."""
    assert results.fold_means(kept, "conv/age").mean() < 10.8
    assert results.fold_means(kept, "conv/race").mean() > 0.8
    assert compare(kept, "conv/")["verdict"].tolist() == ["yes"] * 3
    assert (compare(kept, "conv/")["holm"] < 0.05).all()


def test_support_vectors_are_recorded_with_what_was_tried(kept):
    for target, tried in kept["svm"].items():
        assert len(tried) == SVM_SETTINGS
        sign = 1 if target == "age" else -1
        scores = [sign * one["validation"] for one in tried]
        assert scores == sorted(scores)
        assert len(kept["baselines"][target]["svm"]["test"]) == 10
    assert kept["svm"].keys() == {"age", "race"}


def test_errors_by_group_are_those_of_all_test_faces(kept):
    assert kept["by_group"].keys() == set(BY_GROUP)
    for name, kinds in kept["by_group"].items():
        rmse = np.array([run["test"] for run in kept["experiments"][name]["runs"] if run["seed"] == 0])
        for kind in kinds.values():
            n, value = np.array(kind["n"]), np.array(kind["value"])
            assert 19_900 < n.sum() <= 20_002
            together = np.sqrt(np.sum(n * value**2) / n.sum())
            assert together == pytest.approx(np.sqrt(np.mean(rmse**2)), abs=0.01)


def test_the_check_is_not_counted_among_the_questions(kept):
    compared = compare(kept)
    check, questions = compared.iloc[0], compared.iloc[1:]
    assert np.isnan(check["holm"])
    assert questions["holm"].min() == pytest.approx(len(questions) * questions["p"].min())
