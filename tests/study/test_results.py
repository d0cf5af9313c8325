"""Tables made of results: beside the recording, by group of test faces, beside what others published."""

import numpy as np
import pytest

from hw1lib.study import published, results


def made_up(target, **runs):
    """Results of experiments, each a list of runs."""
    settings = {"target": target, "n_train": None}
    return {"experiments": {name: {"settings": settings, "runs": held} for name, held in runs.items()}}


def run(fold, test, seed=0, **more):
    return {"fold": fold, "seed": seed, "test": test, "mae": test / 2, "validation": test + 1, "best_epoch": 7, **more}


def test_beside_recorded_has_baselines_above_and_a_dash_for_what_is_not_held():
    kept = made_up("age", a=[run(0, 10.0), run(0, 12.0, seed=1), run(1, 13.0)])
    kept["baselines"] = {"age": {"linear": {"test": [14.0, 15.0], "mae": [11.0, 12.0]}}}
    here = made_up("age", b=[run(0, 9.0)]) | {"data": {"drawn": True}}
    table = results.beside_recorded({"a": "one", "b": "other"}, here, {"linear": {"test": [1.0]}}, kept)
    assert table.columns.tolist() == ["recorded on UTKFace", "its MAE", "this run, drawn faces"]
    assert table.loc["linear regression"].tolist() == ["14.50", "11.50", "1.00"]
    assert table.loc["one"].tolist() == ["12.00", "6.00", "-"]  # the two networks of fold 0 count as one
    assert table.loc["other"].tolist() == ["-", "-", "9.00"]


def test_beside_recorded_of_classes_is_in_per_cent_without_mae():
    kept = made_up("race", a=[run(0, 0.75)])
    table = results.beside_recorded({"a": "one"}, made_up("race"), kept=kept)
    assert table.loc["one"].tolist() == ["75.0 %", "-"]


def test_training_ends_and_learning_curve():
    curves = {"train_metric": [9.0, 8.0]}
    kept = made_up("age", a=[run(0, 10.0, curves=curves), run(1, 12.0, curves=curves)])
    assert results.training_ends(kept, {"a": "one"}).loc["one"].tolist() == ["8.00", "12.00", "11.00", "7"]
    kept["experiments"]["a"]["settings"]["n_train"] = 1000
    curve = results.learning_curve(kept, ["a", "not held"])
    assert curve.index.tolist() == [1000]
    assert curve["mean"].tolist() == [11.0]
    assert curve["low"].isna().all()  # two folds


def test_counts_are_summed_over_folds_of_the_first_network():
    one = {"confusion": [[2, 1], [0, 3]], "by_gender": [[1, 2], [0, 3]], "by_decade": [[1, 5]]}
    two = one | {"by_decade": [[0, 0], [9, 21]]}  # a fold that has older faces
    kept = made_up("race", a=[run(0, 0.8, **one), run(0, 0.1, seed=1, **one), run(1, 0.8, **two)])
    assert results.counts(kept, "a", "confusion").tolist() == [[4, 2], [0, 6]]
    assert results.counts(kept, "a", "by_decade").tolist() == [[1, 5], [9, 21]]
    found = results.accuracy_by_label(kept, "a", ("x", "y"), ("f", "m"), least=6)
    assert found["race label"]["value"].to_dict() == {"x": pytest.approx(2 / 3), "y": 1}
    assert found["gender label"]["n"].tolist() == [6, 6]
    assert found["age decade"]["n"].to_dict() == {0: 6, 10: 30}
    assert results.accuracy_by_label(kept, "a", ("x", "y"), ("f", "m"))["age decade"].index.tolist() == [10]
    assert np.all(found["age decade"]["low"] < found["age decade"]["value"])


def test_where_this_stands_names_each_source():
    table = results.where_this_stands()
    assert len(table) == 5 + len(published.OTHERS)
    assert (table["source"].str.contains(r"\d{4}$") | (table["source"] == "this project")).all()
    both = (table["age: MAE (years)"] != "-") & (table["race label: accuracy"] != "-")
    assert table.index[both].tolist() == ["three convolutions, 64 (notebook 8)"]
    assert not ((table["age: MAE (years)"] == "-") & (table["race label: accuracy"] == "-")).any()


def test_the_ladder_goes_from_the_simplest_model_to_the_convolutional_network():
    table = results.ladder()
    assert (table.index[0], table.index[-1]) == ("mean age, largest class", "convolutional network")
    assert all(len(folds) == 10 for folds in [*table["rmse"], *table["mae"], *table["accuracy"]] if len(folds))
    kept = results.recorded()
    assert table.loc["(64, 16)", "rmse"] == results.fold_means(kept, "depth/64-16").tolist()
    assert table.loc["support vectors, RBF kernel", "mae"] == kept["baselines"]["age"]["svm"]["mae"]
    assert table.loc["64, as published", "published"] == [14.9183, 0.722]
    means = [np.mean(folds) for folds in table.loc[["mean age, largest class", "64", "convolutional network"], "rmse"]]
    assert means == sorted(means, reverse=True)


def test_recorded_errors_by_label_have_names_and_leave_small_groups_out():
    columns = {"n": [30, 5], "value": [7.0, 9.0], "low": [6.0, 8.0], "high": [8.0, 10.0]}
    kept = {
        "by_group": {"a": {"age decade": {"group": [0, 100], **columns}, "race label": {"group": [1, 2], **columns}}}
    }
    tables = results.rmse_by_label(kept, "a", ("x", "y", "z"), ("f", "m"))
    assert tables["age decade"].index.tolist() == [0]
    assert tables["race label"].loc["y"].tolist() == [30, 7.0, 6.0, 8.0]
