"""Running: what is trained, kept and found again; and how runs are read."""

import subprocess
import sys
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from hw1lib import faces, nn, study
from hw1lib.study import EXPERIMENTS, Experiment, runs
from hw1lib.study.runs import run


def same_numbers(first, second):
    """Compare all but the seconds."""
    numbers = [name for name in first if name not in ("seconds", "curve", "predicted")]
    pd.testing.assert_frame_equal(first[numbers], second[numbers], check_exact=True)
    for column in ("curve", "predicted"):
        for mine, theirs in zip(first[column], second[column], strict=True):
            assert np.array_equal(mine, theirs)


def test_a_run_is_what_training_by_hand_gives(data, short):
    (row,) = run({"mine": short}, data, [4], [3], n_jobs=1, progress=False).to_dict("records")
    net, history, (train_part, validation, test) = study.train(short, data, fold=4, seed=3)
    predicted = net.predict(test.X)
    assert row["predicted"] == pytest.approx(predicted, rel=1e-6)
    known = {
        "test": np.sqrt(np.mean((predicted - test.y) ** 2)),
        "mae": np.abs(predicted - test.y).mean(),
        "validation": net.evaluate(*validation)[1],
        "participation_ratio": study.participation_ratio(net.weights[0]),
    }
    for name, value in known.items():
        assert row[name] == pytest.approx(value, abs=0.006 if "ratio" in name else 1e-5)
    assert row["curve"]["epoch"].tolist() == [1, 2, 3]
    assert row["curve"]["train_loss"].tolist() == pytest.approx(history.train_loss, rel=1e-3)
    facts = {"experiment": "mine", "target": "age", "fold": 4, "seed": 3, "drawn": False}
    facts |= {"train_faces": len(train_part.y)}
    assert facts.items() <= row.items()


def test_same_results_with_one_and_two_processes_and_from_the_cache(data, short, cache):
    mine = {"a": short, "b": replace(short, hidden=(5, 3), target="race")}
    first = run(mine, data, range(2), n_jobs=2, progress=False)
    again = run(mine, data, range(2), progress=False)
    same_numbers(first, again)
    assert again["seconds"].tolist() == first["seconds"].tolist()  # nothing was trained again
    files = sorted(cache.glob("results/*.json"))
    assert len(files) == 4
    for file in files[:2]:
        file.write_text(file.read_text()[:-9])  # damaged
    files[2].unlink()
    same_numbers(first, run(mine, data, range(2), n_jobs=1, progress=False))


def test_what_is_finished_is_not_run_twice_and_one_setting_is_run_once(data, short, monkeypatch):
    trained, measure = [], runs.train_and_measure

    def counting(*job):
        trained.append(job[2:4])
        if len(trained) == 3:
            raise KeyboardInterrupt
        return measure(*job)

    monkeypatch.setattr(runs, "train_and_measure", counting)
    twice = {"init/random": short, "width/64": replace(short, report="another table")}
    with pytest.raises(KeyboardInterrupt):
        run(twice, data, [0, 2], range(2), n_jobs=1, progress=False)
    both = run(twice, data, [0, 2], range(2), n_jobs=1, progress=False)
    assert len(trained) == 5  # two networks on each of two folds; one was interrupted
    first, second = (both[both["experiment"] == name] for name in twice)
    assert second[["fold", "seed"]].to_numpy().tolist() == [[0, 0], [0, 1], [2, 0], [2, 1]]
    assert first["test"].tolist() == second["test"].tolist()


def test_partitions_and_groups_are_other_folds(data, short):
    def predictions(data, partition=0):
        return run({"mine": short}, data, [1], range(1), partition, 1, progress=False)

    first = predictions(data)
    other = predictions(data, 1)
    dealt = predictions(replace(data, groups=np.arange(len(data)) // 2))
    assert len({table["test"][0] for table in (first, other, dealt)}) == 3
    net, _, (_, _, test) = study.train(short, data, 1, partition=1)
    assert other["predicted"][0] == pytest.approx(net.predict(test.X), rel=1e-6)
    with pytest.raises(ValueError, match="must be those that mine was tested on"):
        study.face_errors(other, "mine", data)


def test_a_data_set_gives_what_each_experiment_asks_for(faces_folder, short):
    ds = faces.open(faces_folder, progress=False)
    mine = {"a": short, "b": replace(short, normalizer="l2")}
    mine["c"] = replace(short, filters=(2, 2), cell=20, learning_rate=1e-5)
    table = run(mine, ds, [0], n_jobs=1, progress=False)
    assert table["test"].nunique() == 3
    known = run({"b": short}, ds.features("l2", progress=False), [0], n_jobs=1, progress=False)
    assert table["test"][1] == known["test"][0]


def test_one_training_tells_of_three_labels(data, short, cache):
    pictures = np.random.default_rng(0).integers(0, 256, (len(data), 3, 10, 10), np.uint8)
    data = replace(data, X=pictures)
    conv = replace(short, filters=(2,), cell=20, joint=True, average_mirror=True)
    mine = {target: replace(conv, target=target) for target in study.TARGETS}
    table = run(mine, data, [1], n_jobs=1, progress=False)
    assert len(list(cache.glob("results/*.json"))) == 1
    net, _, (_, _, test) = study.train(conv, data, 1)
    outputs = (net.outputs(test.X) + net.outputs(test.X[..., ::-1])) / 2
    known = [outputs[:, 0], outputs[:, 1:3].argmax(axis=1), outputs[:, 3:].argmax(axis=1)]
    for row, predicted in zip(table.itertuples(), known, strict=True):
        assert row.predicted == pytest.approx(predicted, rel=1e-5)
        assert ("train_metric" in row.curve) == (row.target == "age")
    assert table["test"][2] == pytest.approx(np.mean(known[2] == test.y[:, 2]), abs=1e-5)
    assert table["mae"].notna().tolist() == [True, False, False]


def test_a_network_that_diverges(data, short):
    mine = {"fine": short, "mine": replace(short, learning_rate=1e6)}
    both = run(mine, data, [2], [1], n_jobs=1, progress=False, may_diverge=True)
    fine, lost = both.to_dict("records")
    assert fine["test"] > 0
    assert np.isnan([lost["test"], lost["validation"], lost["epochs"]]).all()
    for _ in range(2):  # also when it is found in the cache
        with pytest.raises(nn.TrainingDiverged, match=r"\(mine, fold 2, seed 1: {.*1000000"):
            run(mine, data, [2], [1], n_jobs=1, progress=False)


# -- what a result is kept under ------------------------------------------------------------------


def key(experiment, data, fold=0):
    return runs._key(experiment, data, fold, 0, 0)


def test_the_key_changes_with_the_settings_and_not_with_the_report(data, short):
    changes = [{}, {"epochs": 4}, {"output_activation": "identity"}, {"repeat": 1}]
    changes += [{"output_bias": "zero"}, {"learning_rate": nn.ExponentialDecay(1e-3, 0.9)}]
    keys = [key(replace(short, **change), data) for change in changes]
    keys += [key(short, data, fold=1), key(short, replace(data, X=data.X + 1))]
    assert len(set(keys)) == len(keys)
    assert key(replace(short, report="elsewhere"), data) == keys[0]


def test_equal_experiments_have_one_key_in_every_process():
    """However they were built: names put together at run time are other objects than constants."""
    data = SimpleNamespace(fingerprint="0")
    code = (
        "from types import SimpleNamespace as Data\n"
        "from hw1lib.study import EXPERIMENTS, runs\n"
        "data = Data(fingerprint='0')\n"
        "print([runs._key(each, data, 0, 0, 0) for each in EXPERIMENTS.values()])\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    assert eval(said) == [key(each, data) for each in EXPERIMENTS.values()]
    known = EXPERIMENTS["depth/64-16"]
    built = {"activation": "_".join(["leaky", "relu"]), "hidden": [64, np.int64(16)]}
    assert key(Experiment(**{**vars(known), **built}), data) == key(known, data)


NOTEBOOK = (
    """
import numpy as np, pandas as pd, warnings
from dataclasses import replace
from hw1lib import faces, nn, study
warnings.simplefilter("error")
rng = np.random.default_rng(0)
X = rng.standard_normal((120, 4)).astype(np.float32)
labels = pd.DataFrame({"file": "", "age": (40 + 9 * X[:, 0]).astype(int), "gender": 0, "race": 0})
data = faces.Data(X, labels, np.arange(120))
def train():
    mine = study.Experiment("", hidden=3, epochs=4, initializer=Mine(), learning_rate=falling)
    here = [study.train(mine, data, fold) for fold in range(3)]
    here = [round(float(net.evaluate(*test)[1]), 5) for net, _, (_, _, test) in here]
    twice = [study.run({"": mine}, data, range(3), n_jobs=2, progress=False) for _ in range(2)]
    assert twice[0]["seconds"].tolist() == twice[1]["seconds"].tolist()  # found again
    assert all(np.allclose(table["test"], here, atol=2e-5) for table in twice)
    results.append(here)
results = []
""",
    """
SCALE = 0.1
class Mine(nn.Initializer):
    width = 1
    def std(self, fan_in, fan_out):
        return SCALE * self.width
def falling(epoch):
    return 1e-3 / (1 + epoch)
train()
""",
    "SCALE = 0.5\ntrain()",  # the class stays; worker processes hold it with the old number
    "Mine.width = 2\ntrain()",
    "def falling(epoch):\n    return 5e-3\ntrain()",
    "class Mine(nn.Initializer):\n    def std(self, fan_in, fan_out):\n        return 0.3\ntrain()",
    "assert len(np.unique(results, axis=0)) == 5",
)


@pytest.mark.slow
def test_in_a_kernel_nothing_stale_is_found():
    notebook = new_notebook(cells=[new_code_cell(source) for source in NOTEBOOK])
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()


BESIDE = """
import sys
sys.dont_write_bytecode = True
from dataclasses import replace
from hw1lib import study
from hw1lib.study.runs import _key
import beside
class Data:
    fingerprint = ""
mine = replace(study.EXPERIMENTS["width/16"], initializer=beside.Mine())
print(_key(mine, Data, 0, 0, 0))
"""


def test_a_file_beside_the_notebook_counts_and_what_it_imports(tmp_path):
    """In every session anew: what was trained with classes of one's own is found again."""
    keys = []
    source = "from hw1lib import nn\nimport further\nclass Mine(nn.Xavier):\n    factor = "
    for factor, further in (
        ("1", "0"),
        ("1", "0"),
        ("2", "0"),
        ("further.f()", "0"),
        ("further.f()", "1"),
    ):
        (tmp_path / "beside.py").write_text(source + factor + "\n    f = further.f")
        (tmp_path / "further.py").write_text(f"def f():\n    return {further}")
        command = [sys.executable, "-c", BESIDE]
        keys.append(subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout)
    assert keys[0] == keys[1]
    assert len({*keys}) == 4


def refuse():
    raise ImportError("no module of this name")


@dataclass(frozen=True)
class Unreadable(nn.Random):
    """What a cell made, and pickle looks for in a module that workers do not have."""

    def __reduce__(self):
        return refuse, ()


@pytest.mark.slow
def test_what_worker_processes_cannot_read_is_trained_here(data, short):
    mine = {"mine": replace(short, initializer=Unreadable())}
    with pytest.warns(UserWarning, match="write scipy.special.expit"):
        table = run(mine, data, range(2), n_jobs=2, progress=False)
    assert table["test"].notna().tolist() == [True, True]


# -- reading runs ---------------------------------------------------------------------------------


def test_a_fold_counts_once_however_many_networks_it_has(made_up):
    table = made_up({"a": [[18.0, 19, 20], [19, 20, 21], [20, 21, 22]]}).iloc[:-1]
    means = study.fold_means(table, "a")
    assert (means.index.tolist(), means.tolist()) == ([0, 1, 2], [19, 20, 20.5])
    assert study.fold_means(table, "a", "mae").tolist() == [14.25, 15, 15.375]


def test_drawn_faces_never_mix_with_others_unsaid(made_up, tmp_path):
    """Also after a concat, a merge and a CSV file."""
    here = made_up({"width/64": [11.0, 12], "width/16": [12.0, 13]}, drawn=True)
    utkface = made_up({"width/64": [14.0, 15], "width/16": [14.0, 15]})
    both = pd.concat([here, utkface]).merge(pd.DataFrame({"fold": [0, 1], "note": "mine"}))
    both.drop(columns="curve").to_csv(tmp_path / "both.csv", index=False)
    from_csv = pd.read_csv(tmp_path / "both.csv")
    apart = pd.concat([here[:2], utkface[2:]])  # the one drawn, the other not
    for read in (
        lambda: study.fold_means(both, "width/64"),
        lambda: study.fold_means(from_csv, "width/64"),
        lambda: study.compare(from_csv),
        lambda: study.difference(apart, "width/64", "width/16"),
    ):
        with pytest.raises(ValueError, match="runs on drawn faces stand among runs on others"):
            read()
    assert study.fold_means(from_csv[from_csv["drawn"]], "width/64").tolist() == [11, 12]


def test_a_network_that_stopped_early_counts_as_long_as_it_trained(made_up):
    table = made_up({"a": [1.0, 1.0, 1.0]})
    long = pd.DataFrame({"epoch": [1, 3, 9], "loss": [8.0, 6.0, 0.0]})
    table["curve"] = [long, pd.DataFrame({"epoch": [1, 4], "loss": [6.0, 3.0]}), None]
    curve = study.mean_curve(table, "a", "loss")
    assert curve.index.tolist() == [1, 3, 9]
    assert curve["mean"].tolist() == [7, 5, 0]
    assert curve[["low", "high"]].to_numpy().tolist() == [[6, 8], [4, 6], [0, 0]]


def test_errors_of_each_tested_face(data, short):
    table = run({"race": replace(short, target="race")}, data, [0, 3], n_jobs=1, progress=False)
    tested = study.face_errors(table, "race", data)
    tests = np.concatenate([data.folds()[fold][2] for fold in (0, 3)])
    assert tested.index.tolist() == tests.tolist()
    predicted = np.concatenate(list(table["predicted"]))
    assert tested["error"].tolist() == (predicted != data.labels["race"][tests]).tolist()
    accuracy = 1 - tested.groupby("fold")["error"].mean()
    assert accuracy.tolist() == pytest.approx(table["test"].tolist(), abs=1e-5)
