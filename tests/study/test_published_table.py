"""Tables to read: beside the report, beside the recording, beside what others published."""

import io

import numpy as np
import pandas as pd
from scipy import stats

from hw1lib import study
from hw1lib.study import published_table, recorded_table


def test_a_mean_has_an_interval_from_three_folds_on():
    half = stats.t.ppf(0.975, 2) * np.sqrt(1 / 3)
    assert study.mean_and_interval([19.0, 20.0, 21.0]) == f"20.00 ± {half:.2f}"
    assert study.mean_and_interval([0.59, 0.6, 0.61], "accuracy") == f"60.0 ± {half:.1f} %"
    assert study.mean_and_interval([0.5, 0.7], "accuracy") == "60.0 %"
    assert study.mean_and_interval([]) == "-"


def test_numbers_beside_the_published_ones(made_up):
    zeros = {"init/zero": [[19.0, 19], [20, 20], [21, 21]]}
    known = made_up(zeros | {"init/zero/reconstructed": [17.0, 17.0]})
    table = published_table(["init/zero", "race/8000"], made_up({"init/zero": [18.5]}), known)
    columns = ["published", "UTKFace, reconstructed", "UTKFace, trained properly", "its MAE"]
    assert table.columns.tolist() == [*columns, "this run"]
    half = stats.t.ppf(0.975, 2) * np.sqrt(1 / 3)
    row = ["19.1553", "17.00", f"20.00 ± {half:.2f}", f"15.00 ± {0.75 * half:.2f}", "18.50"]
    assert table.loc["init/zero"].tolist() == row
    assert table.loc["race/8000"].tolist() == ["72.2 %", "-", "-", "-", "-"]


def test_drawn_faces_have_a_column_of_their_own(made_up, tmp_path):
    """Also where they come in one table with others, from a CSV file, or where nobody knows."""
    here = made_up({"a": [10.0]})
    drawn = made_up({"a": [9.0]}, drawn=True)
    known = made_up({"a": [8.0]})
    pd.concat([here, drawn]).to_csv(tmp_path / "runs.csv", index=False)
    table = recorded_table({"a": "mine"}, pd.read_csv(tmp_path / "runs.csv"), known)
    columns = ["recorded on UTKFace", "its MAE", "this run", "this run, drawn faces"]
    assert table.columns.tolist() == columns
    assert table.loc["mine"].tolist() == ["8.00", "6.00", "10.00", "9.00"]
    not_known = drawn.assign(drawn=None)
    assert "this run" not in recorded_table({"a": "mine"}, not_known, known)


def test_two_rows_of_the_same_run_are_told(made_up):
    names = ("width/64", "width/32", "init/random")
    known = made_up({name: [11.0 + i] for i, name in enumerate(names)})
    again = made_up({"width/64/reconstructed": [15.0], "init/xavier/reconstructed": [16.0]})
    known = pd.concat([known, again])
    table = published_table(["init/xavier", "width/32", "rate/lambda", "init/random"], known, known)
    said = ["width/64", "-", "width/64", "width/64/reconstructed"]
    assert table["the same run as"].tolist() == said
    for column in ("UTKFace, trained properly", "this run"):
        assert table[column].tolist() == ["11.00", "12.00", "11.00", "13.00"]
    assert table["UTKFace, reconstructed"].tolist() == ["16.00", "-", "-", "15.00"]
    assert table["published"].tolist() == ["14.9507", "15.0268", "14.8400", "14.9987"]
    assert "the same run as" not in published_table(["width/64", "width/32"], known=known)


def test_of_classes_there_is_no_mae_and_baselines_are_rows(made_up):
    race = made_up({"race/64": [0.75, 0.76], "logistic/race": [0.71, 0.71]}, "race")
    table = recorded_table({"logistic/race": "logistic", "race/64": "64"}, race, race)
    assert table.columns.tolist() == ["recorded on UTKFace", "this run"]
    assert table.loc["logistic"].tolist() == ["71.0 %", "71.0 %"]
    assert published_table("race/8000").loc["race/8000", "published"] == "72.2 %"


def test_where_this_stands_names_each_source():
    table = study.where_this_stands()
    assert len(table) == 5 + len(study.OTHERS)
    ours = table["source"] == "this project"
    assert (table["source"].str.contains(r"\d{4}$") | ours).all()
    told = table[["age: MAE (years)", "race label: accuracy"]] != "-"
    assert told.any(axis=1).all()


def test_models_are_compared_from_the_simplest_to_the_convolutional_network():
    table = study.model_comparison()
    folds = [*table["rmse"], *table["mae"], *table["accuracy"]]
    assert {len(each) for each in folds} == {0, 10}
    linear = study.fold_means(study.recorded(), "linear/age", "mae").tolist()
    assert table.loc["linear, logistic regression", "mae"] == linear
    assert table.loc["64, reconstructed", "published"] == [14.9183, 0.722]
    assert table.loc["(64, 16), reconstructed", "published"] == [12.9904, None]


def test_drawn_faces_never_stand_under_the_name_of_real_ones():
    """A single drawn one counts, and where nobody knows whether there is one."""
    utkface = study.recorded()
    half = utkface.assign(drawn=utkface["experiment"] == "linear/age")
    for runs in (half, utkface.drop(columns="drawn"), utkface.assign(drawn=None)):
        assert "drawn faces, trained properly" in published_table("width/64", known=runs)


def test_for_a_file_it_is_numbers_alone():
    """As `to_csv` writes them: each mean between the ends of its interval."""
    table = published_table(["width/64", "race/64"], numbers=True)
    table = pd.read_csv(io.StringIO(table.to_csv()), index_col=0)
    assert set(table.dtypes.astype(str)) == {"float64"}
    assert "this run" not in "".join(table)
    middle, low, high = (table[f"UTKFace, trained properly{end}"] for end in ("", ", from", ", to"))
    assert ((low < middle) & (middle < high)).all()
    assert table.loc["width/64", "published"] == 14.9183
    assert f"{middle['width/64']:.2f}" == "12.01"  # as README says
