"""What is recorded can be computed, and trained, again: a number that was changed is found."""

from dataclasses import replace

import numpy as np
import pytest

from hw1lib import faces
from hw1lib.__main__ import main
from hw1lib.study import EXPERIMENTS, comparisons, record, run, train_again, verify
from hw1lib.study.runs import COLUMNS, face_errors


@pytest.fixture(scope="module")
def recording(data, short, tmp_path_factory):
    """Return a folder as ``record`` writes it, of two ages and one race label on made-up faces."""
    names = {"width/64": replace(short, epochs=20), "width/16": replace(short, hidden=(3,))}
    names["race/64"] = replace(short, target="race")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("HW1_CACHE", str(tmp_path_factory.mktemp("cache")))
        asked = [c for c in comparisons.COMPARISONS if c[1:3] == ("width/64", "width/16")]
        patched.setattr(comparisons, "COMPARISONS", asked)
        runs = run(names, data, range(3), range(2), n_jobs=1, progress=False)
        bootstrap = record._bootstraps(runs, data)
    tested = {name: face_errors(runs, name, data) for name in names}
    groups = {n: comparisons.errors_by_label(tested[n], names[n].target).round(6) for n in names}
    once = tested["race/64"].query("seed == 0").rename(columns={"race": "label"})
    confusion = once.groupby(["label", "predicted"]).size().rename("n").reset_index()
    tables = {
        "runs": runs[COLUMNS[:-2]],
        "groups": record._stacked(groups),
        "confusion": record._stacked({"race/64": confusion}),
        "bootstrap": bootstrap,
        "provenance": {"data": {"faces": 300, "faces_fingerprint": "another"}},
        "faces": record.each_face(runs, data),
    }
    return tables, record.write_recording(tables, tmp_path_factory.mktemp("recorded"))


def write(tables, folder, **changed):
    return record.write_recording({**tables, **changed}, folder)


def test_every_number_comes_out_of_the_faces(recording, capsys):
    tables, folder = recording
    assert main(["verify", "--recording", str(folder)]) == 0
    assert "bootstrap" in capsys.readouterr().out
    table = verify.verify(folder)
    assert (table["differ"] == 0).all()
    assert (
        table["numbers"].to_dict()
        == {
            "runs": 3 * 6 + 2 * 6,  # race has no MAE
            "groups": tables["groups"].iloc[:, 3:].notna().sum().sum(),
            "confusion": len(tables["confusion"]),
            "bootstrap": 4,
            "folds": 300,
        }
    )


@pytest.mark.parametrize(
    ("name", "column", "change"),
    [
        ("runs", "test", 0.02),
        ("runs", "mae", -0.02),
        ("groups", "n", 1),
        ("groups", "value", 0.02),
        ("confusion", "n", 1),
        ("bootstrap", "mean", 0.02),
        ("bootstrap", "low", 0.02),
        ("bootstrap", "p", 0.2),
    ],
)
def test_a_number_that_was_changed_is_found(recording, tmp_path, name, column, change):
    tables, _ = recording
    wrong = tables[name].copy()
    row = wrong["n"].idxmax() if name == "groups" else 0  # of few faces, less is certain
    wrong.loc[row, column] += change
    table = verify.verify(write(tables, tmp_path, **{name: wrong}))
    assert table["differ"].drop(name).eq(0).all()
    assert table.loc[name, "differ"] == 1


def test_rows_and_predictions_that_were_changed_are_found(recording, tmp_path, capsys):
    tables, _ = recording
    shorter = write(tables, tmp_path / "a", confusion=tables["confusion"].iloc[1:])
    assert verify.verify(shorter).loc["confusion", "differ"] == 1
    tested = np.flatnonzero(tables["faces"]["fold"] == 1)[0]
    arrays = {name: array.copy() for name, array in tables["faces"].items()}
    arrays["width/64:0"][tested] += 1000  # ten years
    table = verify.verify(write(tables, tmp_path / "b", faces=arrays))
    assert (table.loc[["runs", "groups", "bootstrap"], "differ"] > 0).all()
    arrays["fold"][tested] = 2
    folder = write(tables, tmp_path / "c", faces=arrays)
    assert verify.verify(folder).loc["folds", "differ"] == 1
    assert main(["verify", "--recording", str(folder)]) == 1
    assert " differ" in capsys.readouterr().err


def test_a_recording_without_faces_says_so_in_a_sentence(recording, tmp_path, capsys):
    tables, _ = recording
    folder = write(tables, tmp_path)
    (folder / "faces.npz").unlink()
    assert main(["verify", "--recording", str(folder)]) == 1
    told = f"hw1lib: the recording in {folder} holds no faces' predictions\n"
    assert capsys.readouterr().err == told


def test_a_page_s_numbers_are_those_that_its_code_writes(tmp_path):
    path = tmp_path / "page.md"
    text = "<!-- [[[cog print('a 1,200 -0.25') ]]] -->\na {} -0.25\n<!-- [[[end]]] -->\nand 7\n"
    for number, differ in (("1,200", 0), ("1,201", 1)):
        path.write_text(text.format(number))
        assert verify.compare_page(path) == (2, differ)
    path.write_text(text.format("1,200").replace("a 1", "no 1", 2).replace("print('no", "print('a"))
    assert verify.compare_page(path) == (2, 1)  # a word


@pytest.mark.slow
def test_a_network_trained_again_comes_out(short, faces_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(EXPERIMENTS, "width/64", short)
    monkeypatch.setenv("HW1_DATA", str(faces_folder))
    ds = faces.open(progress=False)
    runs = run("width/64", ds, [1], n_jobs=1, progress=False)
    tables = {"runs": runs[COLUMNS[:-2]], "provenance": record.provenance(ds), "faces": {}}
    command = ["verify", "width/64", "--recording", str(tmp_path), "--fold"]
    distance = train_again.DISTANCE["rmse"]
    for change, status, said in (
        (0, 0, "the same to the last digit"),
        (0.9 * distance, 0, "as on another processor"),
        (1.1 * distance, 1, f"more than {distance} apart"),
    ):
        write(tables, tmp_path, runs=tables["runs"].assign(test=runs["test"] + change))
        assert main([*command, "1"]) == status
        assert said in capsys.readouterr().out
    assert main([*command, "2"]) == 1
    assert "no network width/64, fold 2, seed 0 is recorded" in capsys.readouterr().err
    tables["provenance"]["data"]["faces_fingerprint"] = "another"
    write(tables, tmp_path)
    assert main([*command, "1"]) == 1
    assert "these are not the 23 faces of the recording" in capsys.readouterr().err
