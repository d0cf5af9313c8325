"""What is recorded can be computed, and trained, again: a number that was changed is found."""

from dataclasses import replace

import numpy as np
import pytest

from hw1lib import faces
from hw1lib.__main__ import main
from hw1lib.study import EXPERIMENTS, comparisons, record, run, train_again, verify
from hw1lib.study.runs import COLUMNS

ASKED = [c for c in comparisons.COMPARISONS if c[1:3] == ("width/64", "width/16")]


@pytest.fixture(scope="module")
def recording(data, short, tmp_path_factory):
    """Return a folder as ``record`` writes it, of two ages and one race label on made-up faces."""
    names = {"width/64": replace(short, epochs=20), "width/16": replace(short, hidden=(3,))}
    names["race/64"] = replace(short, target="race")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("HW1_CACHE", str(tmp_path_factory.mktemp("cache")))
        patched.setattr(comparisons, "COMPARISONS", ASKED)
        runs = run(names, data, range(3), range(2), n_jobs=1, progress=False)
        patched.setattr(record, "BY_GROUP", tuple(names))
        arrays = record.each_face(runs, data)
        tables = record.from_each_face(runs, arrays, data)
    about = {"data": {"faces": 300, "faces_fingerprint": "another"}}
    tables |= {"provenance": about, "faces": arrays}
    return tables, record.write_recording(tables, tmp_path_factory.mktemp("recorded"))


def write(tables, folder, **changed):
    return record.write_recording({**tables, **changed}, folder)


@pytest.fixture(autouse=True)
def few_groups(monkeypatch):
    monkeypatch.setattr(record, "BY_GROUP", ("width/64", "width/16", "race/64"))
    monkeypatch.setattr(comparisons, "COMPARISONS", ASKED)


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
        ("runs", "test", 0.0001),
        ("runs", "mae", -0.0001),
        ("groups", "n", 1),
        ("groups", "value", 0.0001),
        ("confusion", "n", 1),
        ("bootstrap", "mean", 0.0001),
        ("bootstrap", "low", 0.0001),
        ("bootstrap", "p", 0.002),
    ],
)
def test_a_number_that_was_changed_is_found(recording, tmp_path, name, column, change):
    tables, _ = recording
    wrong = tables[name].copy()
    wrong.loc[0, column] += change
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
    data = ds.features(progress=False)
    tables = {"runs": runs[COLUMNS[:-2]], "provenance": record.provenance(ds)}
    tables["faces"] = record.each_face(runs, data)
    command = ["verify", "width/64", "--recording", str(tmp_path), "--fold"]
    distance = train_again.DISTANCE["rmse"]
    other = {**tables["faces"], "width/64:0": tables["faces"]["width/64:0"] + 1}
    for faces_of, change, status, said in (
        (tables["faces"], 0, 0, "the same of every face"),
        (other, 0.9 * distance, 0, "as on another processor"),
        (other, 1.1 * distance, 1, f"more than {distance} apart"),
    ):
        tested = tables["runs"].assign(test=runs["test"] + change)
        write(tables, tmp_path, runs=tested, faces=faces_of)
        assert main([*command, "1"]) == status
        assert said in capsys.readouterr().out
    assert main([*command, "2"]) == 1
    assert "no network width/64, fold 2, seed 0 is recorded" in capsys.readouterr().err
    tables["provenance"]["data"]["faces_fingerprint"] = "another"
    write(tables, tmp_path)
    assert main([*command, "1"]) == 1
    assert "these are not the 23 faces of the recording" in capsys.readouterr().err
