"""What was recorded on UTKFace: complete, of the settings that the code names, and in line with known facts."""

import numpy as np
import pytest

from hw1lib.study import results
from hw1lib.study.comparisons import COMPARISONS, compare
from hw1lib.study.experiments import EXPERIMENTS, NEAREST, TUNED
from hw1lib.study.record import LONG
from hw1lib.study.search import AT, FITTED, MOST_EPOCHS
from hw1lib.study.tuning import BEST, FIRST_FOLDS, FOLDS, SETTINGS, candidates


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
        assert len(networks) == 1 or EXPERIMENTS[name].epochs < LONG
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
    assert set(compared["else_differs"]) == {"nothing", "each tuned"}
    assert kept["bootstrap"].keys() == {f"{one.first} - {one.second}" for one in COMPARISONS}


def test_the_same_setting_with_other_networks_is_the_same(kept):
    assert compare(kept, "width/64/other").iloc[0]["verdict"] == "the same within 0.1 years"


def test_the_best_that_was_tried_is_what_is_used(kept):
    assert kept["tuning"].keys() == TUNED.keys()
    for name, tried in kept["tuning"].items():
        settings = EXPERIMENTS[name].settings()
        assert {key: tried[0][key] for key in TUNED[name]} == {key: settings[key] for key in TUNED[name]}
        offered = [{key: one.settings()[key] for key in TUNED[name]} for one in candidates(EXPERIMENTS[name])]
        recorded = [{key: one[key] for key in TUNED[name]} for one in tried]
        assert sorted(map(str, recorded)) == sorted(map(str, offered))
        assert [len(one["validation"]) for one in tried] == [FOLDS] * BEST + [FIRST_FOLDS] * (SETTINGS - BEST)
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


def test_the_check_is_not_counted_among_the_questions(kept):
    compared = compare(kept)
    check, questions = compared.iloc[0], compared.iloc[1:]
    assert np.isnan(check["holm"])
    assert questions["holm"].min() == pytest.approx(len(questions) * questions["p"].min())
