"""The table of errors of age: simple models, a network as published and trained properly, the labels' own noise."""

from hw1lib.study.results import beside_baselines


def results(tests, **settings):
    runs = [{"fold": fold, "test": test, "mae": test - 3} for fold, test in enumerate(tests)]
    return {"settings": {"target": "age"} | settings, "runs": runs}


SIMPLE = {"mean": {"test": [20.0, 22.0], "mae": [15.0, 15.0]}, "linear": {"test": [14.0, 15.0], "mae": [11.0, 11.0]}}
KEPT = {
    "experiments": {"width/64": results([12.0, 12.5]), "width/64/as-published": results([15.0, 16.0])},
    "baselines": {"age": SIMPLE | {"linear, l2": {"test": [15.0, 15.5], "mae": [12.0, 12.0]}}},
    "label_noise": {"age_spread": 5.0},
}


def test_a_row_for_each_model_and_for_the_labels():
    here = {"experiments": {"width/64": results([13.0], loss="l2")}, "data": {"drawn": True}}
    table = beside_baselines("width/64", here, SIMPLE, {"age_spread": 6.0}, KEPT)
    assert table.columns.get_level_values(0).unique()[-1] == "this run, drawn faces"
    assert table.loc["the network, trained properly"].tolist() == [
        "-",
        "12.25",
        "9.25",
        "-2.25 (-5.43 to +0.93)",
        "13.00",
        "10.00",
    ]
    same_features = "+0.25 (-2.93 to +3.43)"  # less linear regression on images divided by their norms
    assert table.loc["the network, as published"].tolist() == ["14.92", "15.50", "12.50", same_features, "-", "-"]
    assert table.loc["linear regression"].tolist() == ["-", "14.50", "11.00", "-", "14.50", "11.00"]
    assert table.loc["the labels' own noise"].tolist() == ["-", "5.00", "-", "-", "6.00", "-"]


def test_other_settings_than_the_recorded_ones_do_not_stand_beside_them():
    here = {"experiments": {"width/64": results([13.0], output_activation="identity")}}
    row = beside_baselines("width/64", here, SIMPLE, {"age_spread": 6.0}, KEPT).loc["the network, trained properly"]
    assert row.tolist() == ["-", "-", "-", "-", "13.00", "10.00"]
