"""What is compared differs in what is said; differences and corrections are the known ones."""

from dataclasses import fields

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from hw1lib import study
from hw1lib.study import COMPARISONS, TUNED, comparisons, interval
from hw1lib.study.comparisons import Comparison, bootstrap, compare, else_differs, holm, verdict
from hw1lib.study.experiment import OF_PICTURES
from hw1lib.study.experiments import BASE, EXPERIMENTS

NAN = np.nan

# -- what is compared -----------------------------------------------------------------------------


def test_questions_are_asked_once():
    assert len({each.question for each in COMPARISONS}) == len(COMPARISONS)
    assert len({frozenset(each[1:3]) for each in COMPARISONS}) == len(COMPARISONS)


@pytest.mark.parametrize("comparison", COMPARISONS, ids=lambda c: f"{c.first} - {c.second}")
def test_a_comparison_is_fair(comparison):
    """One setting differs, the one that is named; or both sides were tuned, and nothing else."""
    _, first_name, second_name, factor, claimed = comparison
    first, second = EXPERIMENTS[first_name], EXPERIMENTS[second_name]
    names = [field.name for field in fields(first) if field.name != "report"]
    differ = {name for name in names if getattr(first, name) != getattr(second, name)}
    if factor == comparisons.TUNED:
        assert {first_name, second_name} <= TUNED.keys()
        assert TUNED[first_name].keys() == TUNED[second_name].keys()
        assert "hidden" in differ
        for name, experiment in ((first_name, first), (second_name, second)):
            chosen = {n for n in names if getattr(experiment, n) != getattr(BASE, n)}
            assert chosen <= {"hidden", *TUNED[name]}
            assert TUNED[name].items() <= vars(experiment).items()
    elif factor == comparisons.PICTURES:
        assert first.filters
        assert not second.filters
        assert first.target == second.target
        of_pictures = {"filters", "hidden", "initializer", "epochs", *OF_PICTURES}
        assert differ <= of_pictures | TUNED[second_name].keys()
    else:
        assert differ == set(factor.split(", "))
    printed = comparisons.printed(comparison)
    if all(printed):  # the side that the report prints as better stands first
        assert printed[0].value < printed[1].value
    else:
        assert not claimed


def test_a_second_difference_is_told():
    first = "overfit/early-stopping"
    assert else_differs(Comparison("", first, "overfit/200-epochs", "patience")) == "epochs"
    assert else_differs(Comparison("", first, "overfit/1500-epochs", "patience")) == "nothing"
    both = Comparison("", "rate/momentum", "rate/large", "momentum, learning_rate")
    assert else_differs(both) == "nothing"
    assert else_differs(Comparison("", "a", "b", comparisons.TUNED)) == "each tuned"


# -- numbers --------------------------------------------------------------------------------------


def test_interval_is_student_t():
    x = np.random.default_rng(0).normal(3, 2, 12)
    known = stats.ttest_1samp(x, 0).confidence_interval(0.95)
    assert interval(x) == pytest.approx((x.mean(), known.low, known.high))
    assert np.isnan(interval([5.0])[1:]).all()


def test_pairs_are_pairs():
    known = stats.ttest_rel([1, 2, 4], [0, 3, 1]).confidence_interval(0.95)
    assert study.paired([1, 2, 4], [0, 3, 1])[1:] == pytest.approx(tuple(known))


def test_differences_are_paired_over_the_folds(made_up):
    rng = np.random.default_rng(0)
    hard = rng.normal(0, 3, (10, 1))  # the folds differ by far more than what is looked for
    first, second = 14 + hard + rng.normal(0, 0.1, (10, 3)), 14.3 + hard
    runs = made_up({"width/64": first, "init/random": second})[::-1]  # folds meet by number
    known = stats.ttest_rel(first.mean(axis=1), second[:, 0])
    mean = np.mean(first) - np.mean(second)
    row = compare(runs).loc["Is Xavier better than random?"]
    ends = (mean, *known.confidence_interval(0.95))
    assert tuple(row[["mean", "low", "high"]]) == pytest.approx(ends)
    assert row["p"] == pytest.approx(known.pvalue)
    assert row["published"] == pytest.approx(14.9507 - 14.9987)
    said = ["initializer", "nothing", "rmse", "yes"]
    assert row[["factor", "else_differs", "metric", "verdict"]].tolist() == said
    noise = np.sqrt(np.mean(np.var(first, axis=1, ddof=1)))  # of the second there is one a fold
    assert row["times_noise"] == pytest.approx(-mean / noise)
    assert study.difference(runs, "width/64", "init/random") == pytest.approx(ends)
    lost = runs[(runs["experiment"] != "width/64") | (runs["fold"] != 4)]
    assert len(compare(lost).loc["Is Xavier better than random?", "folds"]) == 9


@pytest.mark.parametrize(("low", "high", "wider"), [(0.01, 0.09, True), (0.0499, 0.0501, False)])
def test_of_the_recorded_runs_the_wider_interval_counts(made_up, monkeypatch, low, high, wider):
    """In points of accuracy; of other runs under the same names it tells nothing."""
    rng = np.random.default_rng(1)
    names = ("conv/race", "race/64")
    runs = made_up({names[0]: 0.75 + rng.normal(0, 0.01, 10), names[1]: [0.7] * 10}, "race")
    mean, *student = study.difference(runs, *names)
    table = pd.DataFrame([[*names, mean, low, high, 0.02]])
    table.columns = ["first", "second", "mean", "low", "high", "p"]
    monkeypatch.setattr(comparisons, "recorded", lambda name: table)
    (row,) = compare(runs).itertuples()
    assert (row.metric, row.mean, row.verdict) == ("accuracy", pytest.approx(100 * mean), "yes")
    known = (low, high) if wider else student
    assert (row.low, row.high) == pytest.approx((100 * known[0], 100 * known[1]))
    assert (row.p, row.holm) == (0.02, 0.02)  # Student's is smaller
    runs["test"] += runs["fold"].eq(3) * runs["experiment"].eq(names[0]) * 1e-4
    (row,) = compare(runs).itertuples()
    _, low, high = study.difference(runs, *names)
    assert (row.low, row.high) == pytest.approx((100 * low, 100 * high))
    assert row.p < 0.02


def test_what_is_chosen_is_corrected_for_all(made_up):
    rng = np.random.default_rng(2)
    names = ("width/64", "width/16", "init/random", "rate/momentum", "rate/large")
    every = compare(made_up({name: 12 + rng.normal(0, 0.2, 10) for name in names}))
    assert every["second"].tolist() == ["width/16", "init/random", "rate/large"]
    assert every["holm"].tolist() == pytest.approx(holm(every["p"]).tolist())
    runs = made_up({name: [12.0] for name in names})  # one fold alone has no interval
    some = compare(runs, ("rate/", "init/"))
    assert some["first"].tolist() == ["rate/momentum"]
    assert some[["low", "high", "p", "holm", "times_noise"]].isna().all(axis=None)
    assert set(some["verdict"]) == {"inconclusive"}
    assert compare(made_up({})).empty


def test_settings_are_compared_with_themselves(made_up):
    rng = np.random.default_rng(5)
    tests = rng.normal(12, 3, (10, 1)) + rng.normal(0, 0.1, (10, 3))
    tests[:, 1] += 1
    runs = made_up({"a": tests, "b": [[14.0, 14.5], [15.0, 15.1]], "c": [12.0, 13.0]})
    known = [stats.ttest_rel(tests[:, i], tests[:, j]).pvalue for i, j in ((0, 1), (0, 2), (1, 2))]
    assert sum(p < 0.05 for p in known) == 2
    assert study.same_settings(runs) == (2, 4)


def test_holm_by_hand():
    # of five, in order: 0.001 * 5, 0.01 * 4, 0.012 * 3 (at least the 0.04 before it), 0.3 * 2, 0.7;
    # statsmodels' multipletests(method="holm") gives the same
    p = pd.Series([0.3, 0.001, NAN, 0.012, 0.7, 0.01], list("abcdef"))
    known = pd.Series([0.6, 0.005, NAN, 0.04, 0.7, 0.04], list("abcdef"))
    pd.testing.assert_series_equal(holm(p), known)
    assert holm(pd.Series([0.6, 0.9])).tolist() == [1, 1]


@pytest.mark.parametrize(
    ("metric", "low", "high", "said"),
    [
        ("rmse", -0.5, -0.02, "yes"),
        ("rmse", -0.09, -0.02, "the same within 0.1 years"),  # less than anyone would notice
        ("rmse", -0.11, 0.02, "inconclusive"),
        ("rmse", NAN, NAN, "inconclusive"),
        ("accuracy", -2, -0.1, "no"),
        ("accuracy", -0.4, 0.3, "the same within 0.5 points"),
    ],
)
def test_verdicts(metric, low, high, said):
    assert verdict(metric, low, high) == said


@pytest.mark.parametrize("target", ["age", "race"])
def test_bootstrap_draws_the_faces_of_each_test_again(target):
    rng = np.random.default_rng(3)
    hard = rng.normal(0, 12, 40)  # what all three networks find hard
    errors = [hard + rng.normal(0, wide, 40) for wide in (3, 3, 6)]
    if target == "race":
        errors = [(np.abs(each) > 10) * 1.0 for each in errors]

    def difference(*errors, axis):
        squares = [np.mean(each**2, axis) for each in errors]
        a, b, c = np.sqrt(squares) if target == "age" else 1 - np.array(squares)
        return (a + b) / 2 - c

    how = {"paired": True, "method": "percentile", "n_resamples": 3000, "random_state": 0}
    known = stats.bootstrap(errors, difference, **how)
    first = pd.DataFrame({"fold": 0, "error": np.concatenate(errors[:2])}, [*range(40)] * 2)
    second = pd.DataFrame({"fold": 0, "error": errors[2]}, range(40))
    low, high, p = bootstrap(first, second, target, 3000)
    draws = known.bootstrap_distribution
    assert p == pytest.approx(2 * min(np.mean(draws < 1e-9), np.mean(draws > -1e-9)), abs=0.03)
    within = 0.2 * known.standard_error
    assert (low, high) == pytest.approx(tuple(known.confidence_interval), abs=within)
    twice = [pd.concat([side, side.assign(fold=1)]) for side in (first, second)]
    low, high, _ = bootstrap(*twice, target, 3000)
    ends = np.array(known.confidence_interval)
    assert high - low == pytest.approx((ends[1] - ends[0]) / np.sqrt(2), abs=2 * within)


# -- groups and tables ----------------------------------------------------------------------------


def test_groups_by_hand():
    """Two networks a fold; a group that two folds have gets no interval."""
    folds = {"fold": [0, 0, 0, 0, 1, 1, 2, 2], "seed": [0, 0, 1, 1, 0, 1, 0, 1]}
    faces = [0, 1, 0, 1, 2, 2, 3, 3]
    tested = pd.DataFrame({**folds, "error": [2.0, 0, 4, 0, 3, 5, 6, 8]}, faces)
    rmse = study.errors_by_group(tested, ["a"] * 8, "age").loc["a"]
    known = interval([(np.sqrt(2) + np.sqrt(8)) / 2, 4, 7])
    assert rmse.tolist() == pytest.approx([4, *known])
    tested["error"] = [0.0, 1, 0, 0, 0, 0, 1, 1]
    groups = study.errors_by_group(tested, [1, 2] * 2 + [1] * 4, "race")
    assert groups.loc[1].tolist() == pytest.approx([3, *interval([1, 1, 0])])
    assert groups.loc[2].tolist() == pytest.approx([1, 0.5, NAN, NAN], nan_ok=True)
    two_folds = study.errors_by_group(tested[:6], [1] * 6, "race").loc[1]
    assert two_folds.tolist() == pytest.approx([3, 0.875, NAN, NAN], nan_ok=True)


def test_wilson():
    known = stats.binomtest(8, 10).proportion_ci(0.95, method="wilson")
    assert study.wilson(8, 10) == pytest.approx((0.8, known.low, known.high))
    assert np.isnan(study.wilson(0, 0)).all()


def test_groups_have_names_and_small_ones_are_left_out():
    tested = pd.DataFrame({"age": [3] * 30 + [104] * 5, "gender": 1, "race": 2, "error": 1.0})
    tested = tested.assign(fold=np.arange(35) % 5, seed=0)
    table = study.errors_by_label(tested, "age")
    assert table.columns.tolist() == study.recorded("groups").columns.tolist()[1:]
    tables = study.by_label(table, ("x", "y", "z"), ("f", "m"))
    groups = {kind: each.index.tolist() for kind, each in tables.items()}
    assert groups == {"age decade": [0], "gender label": ["m"], "race label": ["z"]}
    assert tables["race label"].loc["z"].tolist() == [35, 1, 1, 1]
    few = study.by_label(table.assign(n=19), ("x", "y", "z"), ("f", "m"))
    assert [len(each) for each in few.values()] == [0, 0, 0]  # a table each, though empty


def test_the_table_marks_what_does_not_survive():
    columns = ["metric", "published", "mean", "low", "high", "holm", "verdict", "else_differs"]
    columns += ["margin", "times_noise"]
    rows = [
        ["rmse", -0.108, -0.3, -0.4, -0.2, 0.004, "yes", "each tuned", 0.1, 6.04],
        ["accuracy", NAN, 1, 0.1, 1.9, 0.06, "yes", "nothing", 0.5, 2],
        ["accuracy", NAN, 0.1, -0.2, 0.4, 1, "the same within 0.5 points", "nothing", 0.5, NAN],
    ]
    table = study.verdict_table(pd.DataFrame(rows, list("abc"), columns))
    assert table["verdict"].tolist() == ["yes", "yes *", "the same within 0.5 points"]
    assert table["published"].tolist() == ["-0.11", "-", "-"]
    assert table["difference"].tolist()[:2] == ["-0.30 years", "+1.00 points"]
    assert table["95 % interval"].iloc[0] == "-0.40 to -0.20"
    assert table["margin"].tolist() == ["0.1 years", "0.5 points", "0.5 points"]
    assert table["times the network's own noise"].tolist() == ["6.0", "2.0", "-"]
