"""What is compared differs in what is said; differences, intervals, corrections and verdicts are the known ones."""

from dataclasses import fields

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from hw1lib.study import comparisons
from hw1lib.study.comparisons import (
    COMPARISONS,
    Comparison,
    bootstrap,
    compare,
    difference,
    else_differs,
    holm,
    verdict,
)
from hw1lib.study.experiments import CONV, EXPERIMENTS, START, TUNED
from hw1lib.study.published import PUBLISHED
from hw1lib.study.results import AS_PUBLISHED

NAN = np.nan


def made_up(numbers, errors=None):
    """Return results: name -> (folds, networks) of test metrics; settings are those of the experiments."""
    found = {}
    for name, folds in numbers.items():
        runs = [
            {"fold": f, "seed": s, "test": t} for f, fold in enumerate(folds) for s, t in enumerate(np.atleast_1d(fold))
        ]
        for run, its_errors in zip(runs, errors[name] if errors else [], strict=False):
            run["errors"] = its_errors
        found[name] = {"settings": EXPERIMENTS[name].settings(), "runs": runs}
    return {"experiments": found}


# -- what is compared -------------------------------------------------------------------------------------------------


def test_questions_are_asked_once():
    assert len({one.question for one in COMPARISONS}) == len(COMPARISONS)
    assert len({frozenset((one.first, one.second)) for one in COMPARISONS}) == len(COMPARISONS)


@pytest.mark.parametrize("one", COMPARISONS, ids=lambda one: f"{one.first} - {one.second}")
def test_a_comparison_is_fair(one):
    """One setting differs, the one that is named; or both sides were tuned, and nothing else differs."""
    first, second = EXPERIMENTS[one.first], EXPERIMENTS[one.second]
    differ = {f.name for f in fields(first) if getattr(first, f.name) != getattr(second, f.name)} - {"report"}
    if one.factor == comparisons.TUNED:
        assert {one.first, one.second} <= TUNED.keys()
        assert "hidden" in differ
        for name, experiment in ((one.first, first), (one.second, second)):
            chosen = {f.name for f in fields(first) if getattr(experiment, f.name) != getattr(START, f.name)}
            assert chosen <= {"report", "hidden", *TUNED[name]}
            assert TUNED[name].keys() == TUNED[one.first].keys()
            assert TUNED[name].items() <= vars(experiment).items()
    elif one.factor == comparisons.PIXELS:
        assert first.filters
        assert not second.filters
        assert (first.target, one.first in CONV, one.second in TUNED) == (second.target, True, True)
        assert differ <= {"filters", "hidden", "initializer", "epochs", *TUNED[one.second]}
    else:
        assert differ == {one.factor}
    names = [name.removesuffix(AS_PUBLISHED) for name in (one.first, one.second)]
    if set(names) <= PUBLISHED.keys():  # the side that the report prints as better stands first
        assert PUBLISHED[names[0]].value < PUBLISHED[names[1]].value
    else:
        assert not one.claimed


# -- numbers ----------------------------------------------------------------------------------------------------------


def test_differences_are_paired_over_the_folds():
    rng = np.random.default_rng(0)
    faces = rng.normal(0, 3, (10, 1))  # the folds': far larger than what is looked for
    results = made_up({"init/xavier": 14 + faces + rng.normal(0, 0.1, (10, 3)), "init/random": 14.3 + faces})
    results["experiments"]["init/random"]["runs"].reverse()  # folds meet by number, not by place
    a = [
        np.mean([r["test"] for r in results["experiments"]["init/xavier"]["runs"] if r["fold"] == f]) for f in range(10)
    ]
    b = 14.3 + faces[:, 0]
    known = stats.ttest_rel(a, b)
    interval = known.confidence_interval(0.95)
    row = compare(results).loc["Is Xavier better than random?"]
    assert row["folds"] == pytest.approx(a - b)
    assert (row["mean"], row["low"], row["high"]) == pytest.approx((np.mean(a - b), *interval))
    assert row["p"] == pytest.approx(known.pvalue)
    assert row["published"] == pytest.approx(14.9507 - 14.9987)
    assert (row["factor"], row["else_differs"], row["metric"], row["verdict"]) == (
        "initializer",
        "nothing",
        "rmse",
        "yes",
    )
    assert difference(results, "init/xavier", "init/random") == pytest.approx((row["mean"], *interval))
    del results["experiments"]["init/xavier"]["runs"][:3]  # of one side alone: the fold is left out
    assert len(compare(results).loc["Is Xavier better than random?", "folds"]) == 9


def test_accuracies_are_compared_in_points():
    rng = np.random.default_rng(1)
    results = made_up({"race/8000": 0.75 + rng.normal(0, 0.01, 10), "race/8000/no-decay": 0.7 + np.zeros(10)})
    results["bootstrap"] = {"race/8000 - race/8000/no-decay": [0.01, 0.09]}
    (row,) = compare(results).itertuples()
    assert row.metric == "accuracy"
    assert row.mean == pytest.approx(100 * difference(results, "race/8000", "race/8000/no-decay")[0])
    assert (row.low, row.high) == pytest.approx((1, 9))  # the wider of the two intervals
    assert row.verdict == "yes"
    results["bootstrap"] = {"race/8000 - race/8000/no-decay": [0.0499, 0.0501]}
    known = difference(results, "race/8000", "race/8000/no-decay")
    assert compare(results)[["mean", "low", "high"]].iloc[0].tolist() == pytest.approx([100 * x for x in known])


def test_what_is_chosen_is_corrected_for_all():
    rng = np.random.default_rng(2)
    names = ("width/64", "width/32", "width/16", "rate/constant", "rate/momentum")
    results = made_up({name: 12 + rng.normal(0, 0.2, 10) for name in names})
    every, rates = compare(results), compare(results, "rate/")
    assert every["first"].tolist() == ["width/64", "width/64", "width/32", "rate/momentum"]
    assert every["holm"].tolist() == pytest.approx(holm(every["p"]).tolist())
    pd.testing.assert_frame_equal(rates, every[3:])
    pd.testing.assert_frame_equal(compare(results, ("rate/", "width/32")), every[2:])
    assert compare(made_up({})).empty


def test_one_fold_alone_has_no_interval():
    (row,) = compare(made_up({"width/64": [12.0], "width/32": [12.5]})).itertuples()
    assert np.isnan([row.low, row.high, row.p, row.holm]).all()
    assert (row.mean, row.verdict) == (-0.5, "inconclusive")


def test_holm_by_hand():
    # of five, in order: 0.001 * 5, 0.01 * 4, 0.012 * 3 (at least the 0.04 before it), 0.3 * 2, 0.7 * 1
    p = pd.Series([0.3, 0.001, NAN, 0.012, 0.7, 0.01], list("abcdef"))
    known = pd.Series([0.6, 0.005, NAN, 0.04, 0.7, 0.04], list("abcdef"))
    pd.testing.assert_series_equal(holm(p), known)
    assert holm(pd.Series([0.6, 0.9])).tolist() == [1, 1]


@pytest.mark.parametrize(
    ("metric", "low", "high", "said"),
    [
        ("rmse", -0.5, -0.02, "yes"),
        ("rmse", 0.02, 0.5, "no"),
        ("rmse", -0.09, -0.02, "the same within 0.1 years"),  # less than anyone would notice, if not nothing
        ("rmse", -0.11, 0.02, "inconclusive"),
        ("rmse", NAN, NAN, "inconclusive"),
        ("accuracy", 0.1, 2, "yes"),
        ("accuracy", -2, -0.1, "no"),
        ("accuracy", -0.4, 0.3, "the same within 0.5 points"),
        ("accuracy", -0.4, 0.6, "inconclusive"),
    ],
)
def test_verdicts(metric, low, high, said):
    assert verdict(metric, low, high) == said


@pytest.mark.parametrize(("first", "second"), [("width/64", "width/32"), ("race/8000", "race/8000/no-decay")])
def test_bootstrap_draws_the_faces_of_each_test_again(first, second):
    rng = np.random.default_rng(3)
    age, sizes = first == "width/64", (30, 40)
    shared = [rng.normal(0, 12, n) for n in sizes]  # what both find hard
    errors = {first: [], second: []}
    for name, networks, wide in ((first, 2, 3), (second, 1, 6)):
        for common in shared:
            for _ in range(networks):
                found = common + rng.normal(0, wide, len(common))
                errors[name].append((found if age else (np.abs(found) > 10).astype(float)).tolist())
    results = made_up({first: np.zeros((2, 2)), second: np.zeros((2, 1))}, errors)

    def metric(values, rows):
        chosen = np.array(values)[rows]
        return np.sqrt(np.mean(chosen**2)) if age else np.mean(chosen == 0)

    drawn = []
    for _ in range(3000):
        folds = []
        for f, n in enumerate(sizes):
            rows = rng.integers(0, n, n)
            one = np.mean([metric(values, rows) for values in errors[first][2 * f : 2 * f + 2]])
            folds.append(one - metric(errors[second][f], rows))
        drawn.append(np.mean(folds))
    assert bootstrap(results, first, second, 3000) == pytest.approx(
        np.quantile(drawn, (0.025, 0.975)).tolist(), abs=0.25 * np.std(drawn)
    )


# -- tables -----------------------------------------------------------------------------------------------------------


def test_a_second_difference_is_told():
    results = made_up({"overfit/early-stopping": [12.0, 12.1], "overfit/long": [12.2, 12.4]})
    (one,) = (c for c in COMPARISONS if c.first == "overfit/early-stopping")
    assert else_differs(results, one) == "nothing"
    results["experiments"]["overfit/long"]["settings"] |= {"epochs": 60, "whitening": 0.2}
    assert else_differs(results, one) == "epochs, whitening"
    assert compare(results)["else_differs"].tolist() == ["epochs, whitening"]
    assert else_differs(results, Comparison("", "a", "b", comparisons.TUNED)) == "each tuned"


def test_the_table_marks_what_does_not_survive():
    columns = ["metric", "published", "mean", "low", "high", "holm", "verdict", "else_differs"]
    rows = [
        ["rmse", -0.108, -0.3, -0.4, -0.2, 0.004, "yes", "each tuned"],
        ["rmse", NAN, 0.3, 0.01, 0.59, 0.2, "no", "nothing"],
        ["accuracy", NAN, 1, 0.1, 1.9, 0.06, "yes", "nothing"],
        ["accuracy", NAN, 0.1, -0.2, 0.4, 1, "the same within 0.5 points", "nothing"],
        ["rmse", NAN, 0.1, NAN, NAN, NAN, "inconclusive", "nothing"],
    ]
    table = comparisons.verdict_table(pd.DataFrame(rows, list("abcde"), columns))
    assert table["verdict"].tolist() == ["yes", "no *", "yes *", "the same within 0.5 points", "inconclusive"]
    assert table["published"].tolist() == ["-0.11", *"----"]
    assert table["difference"].tolist()[1:3] == ["+0.30 years", "+1.00 points"]
    assert table["95 % interval"].iloc[0] == "-0.40 to -0.20"
    assert table.index.tolist() == list("abcde")
