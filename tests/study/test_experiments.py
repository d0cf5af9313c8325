"""The report's experiments: what is named, how it is trained, run, kept and taken up again, how results are read."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from hw1lib.faces import Preprocessor, feature_table, folds, small_pictures, split, split_rows
from hw1lib.faces.data import FaceDataset
from hw1lib.nn import Constant, ConvNetwork, He, Random, TrainingDiverged, Zero, mirrored
from hw1lib.study import experiments, results
from hw1lib.study.experiments import EXPERIMENTS, limit_epochs, run
from hw1lib.study.linear import baselines
from hw1lib.study.published import PUBLISHED
from hw1lib.study.record import summary
from hw1lib.study.training import Experiment, effective_rank, split_and_rescale, train, train_and_measure

SHORT = Experiment("a test", hidden=(4,), epochs=3, schedule=Constant(1e-3))


def without_seconds(found):
    return json.loads(json.dumps(found), object_hook=lambda d: {k: v for k, v in d.items() if k != "seconds"})


# -- what is there ----------------------------------------------------------------------------------------------------


def test_every_published_number_has_its_experiment_in_both_settings():
    for name, published in PUBLISHED.items():
        assert published.where in EXPERIMENTS[name].report or "2.2.7" in published.where
        assert name + results.AS_PUBLISHED in EXPERIMENTS


def test_settings_are_what_their_names_say():
    assert EXPERIMENTS["init/zero"].initializer == Zero()
    assert EXPERIMENTS["depth/64-16"].config()["layers"] == [128, 64, 16, 1]
    assert EXPERIMENTS["width/32" + results.AS_PUBLISHED].config()["layers"] == [128, 32, 1]
    assert EXPERIMENTS["race/8000" + results.AS_PUBLISHED].epochs == 8000
    assert EXPERIMENTS["race/8000"].config()["loss"] == "nll"
    published = [e for name, e in EXPERIMENTS.items() if name.endswith(results.AS_PUBLISHED) and e.target == "age"]
    free = {"hidden": (64,), "initializer": Random(0.1), "weight_decay": 0.0, "repeat": 0, "report": ""}
    assert {replace(one, **free) for one in published} == {experiments.NEAREST}  # but for what the report says


# -- one network ------------------------------------------------------------------------------------------------------


def test_faces_and_networks_are_drawn_apart(table):
    """The fold decides the faces, seed and repeat the weights alone."""
    still = replace(SHORT, epochs=1, schedule=Constant(1e-9))

    def one(fold, seed, repeat):
        net, _, parts = train(replace(still, repeat=repeat), table, fold, seed)
        return parts, net.weights[0]

    parts, weights = one(0, 0, 0)
    for seed, repeat in ((1, 0), (0, 1), (1, 1)):
        other_parts, other_weights = one(0, seed, repeat)
        assert all(np.array_equal(a, b) for a, b in zip(sum(parts, ()), sum(other_parts, ()), strict=True))
        assert abs(np.corrcoef(weights.ravel(), other_weights.ravel())[0, 1]) < 0.9
    other_parts, other_weights = one(1, 0, 0)
    assert not np.array_equal(other_parts[2].y, parts[2].y)
    assert not np.allclose(other_weights, weights)


def test_the_outputs_bias_starts_where_it_is_told(table):
    """A network of zeros that does not move yet says what its bias starts with."""
    still = replace(SHORT, initializer=Zero(), schedule=Constant(1e-12), epochs=1)
    net, _, (train_part, _, test) = train(still, table)
    assert net.predict(test.X) == pytest.approx(train_part.y.mean(), rel=1e-5)
    assert not any(bias.any() for bias in net.biases[:-1])
    net = train(replace(still, output_bias="zero"), table)[0]
    assert net.predict(test.X) == pytest.approx(0, abs=1e-5)
    for bias in ("mean", "zero"):
        net = train(replace(still, target="race", output_bias=bias), table)[0]
        assert net.biases[-1] == pytest.approx(0, abs=1e-6)


def test_features_stay_as_the_pca_gives_them(table):
    for mine, theirs in zip(
        split_and_rescale(replace(SHORT, input_rms=None), table, 2), split(table, "age", 2), strict=True
    ):
        assert np.array_equal(mine.X, theirs.X)
    assert not np.array_equal(split_and_rescale(SHORT, table, 2)[0].X, split(table, "age", 2)[0].X)


ON_PIXELS = replace(SHORT, filters=(3, 4), hidden=(5,), cell=20, initializer=He(), schedule=Constant(1e-4))


def test_filters_make_a_convolutional_network_on_small_pictures(table):
    """Trained by hand: mirrored pictures, the last layer ten times smaller, the bias at the mean age."""
    pictures = np.random.default_rng(0).integers(0, 256, (len(table), 3, 10, 10), np.uint8)
    for target, hand_y in (("age", table["age"]), ("race", table["race"])):
        experiment = replace(ON_PIXELS, target=target, n_train=150)
        net, history, (train_part, _, test) = train(experiment, table, 3, 1, pictures=pictures)
        rows = split_rows(table, 3)
        assert np.array_equal(train_part.X, pictures[rows[0][:150]])
        assert np.array_equal(test.y, hand_y.to_numpy()[rows[2]])
        hand = ConvNetwork(experiment.config(), He(), np.random.default_rng([2, 3, 1, 0]))
        hand.weights[-1][...] /= 10
        if target == "age":
            hand.biases[-1][...] = train_part.y.mean()
        kept = hand.fit(*train_part, epochs=3, schedule=1e-4, augment=mirrored, progress=False)
        assert np.array_equal(hand.parameters, net.parameters)
        assert kept.train_loss == history.train_loss
    with pytest.raises(ValueError, match=r"pictures are missing.*faces\.small_pictures"):
        train(ON_PIXELS, table)


def test_what_only_features_or_only_pictures_have_is_not_among_the_settings():
    of_pixels, of_features = ON_PIXELS.settings(), SHORT.settings()
    assert of_pixels.keys() - of_features.keys() == {"filters", "cell"}
    assert of_features.keys() - of_pixels.keys() == {"whitening", "input_rms", "normalizer", "pca_faces"}
    assert of_pixels["filters"] == [3, 4]


def test_pictures_come_from_the_faces_and_are_kept_apart(faces, monkeypatch):
    two = {"small": ON_PIXELS, "smaller": replace(ON_PIXELS, cell=40)}
    found = run(two, faces, [0], n_jobs=1, progress=False)
    (one,), (other,) = (found["experiments"][name]["runs"] for name in two)
    assert one["test"] != other["test"]
    assert len(one["errors"]) == 2  # of 23 faces
    expected = train_and_measure(
        two["small"],
        feature_table(faces, False),
        0,
        0,
        split_rows(feature_table(faces, False)),
        small_pictures(faces, 20),
    )
    assert without_seconds(one) == without_seconds(expected)
    monkeypatch.setattr(experiments, "_train_one", None)
    assert run(two, faces, [0], n_jobs=1, progress=False) == found  # kept
    with pytest.raises(ValueError, match="data must be faces, not a table, for an experiment with filters"):
        run(two, feature_table(faces, False), [0], progress=False)


def test_other_pictures_under_the_same_labels_are_other_data(faces, monkeypatch):
    names = []
    for change in (0, 1):
        monkeypatch.setattr(experiments, "small_pictures", lambda ds, cell, bar, c=change: small_pictures(ds, cell) + c)
        names.append(experiments._Tables(faces, None, False).name_of(ON_PIXELS, 0))
    assert names[0] != names[1]


def test_effective_ranks_that_are_known():
    rng = np.random.default_rng(0)
    directions = np.linalg.qr(rng.standard_normal((9, 4)))[0]
    known = [(np.eye(5), 5), (-3 * directions, 4), (np.outer(range(1, 7), range(3)), 1), (np.zeros((3, 2)), 0)]
    known += [(directions * [2, 1, 0, 0], (4 + 1) ** 2 / (16 + 1))]
    for matrix, rank in known:
        assert effective_rank(matrix) == pytest.approx(rank)
        assert effective_rank(matrix.T) == pytest.approx(rank)


# -- running ----------------------------------------------------------------------------------------------------------


def test_a_run_is_what_training_by_hand_gives(table):
    found = run({"mine": SHORT}, table, [4], [3], 1, progress=False)["experiments"]["mine"]["runs"][0]
    net, history, (train_part, validation, test) = train(SHORT, table, fold=4, seed=3)
    rmse = np.sqrt(np.mean((net.predict(test.X) - test.y) ** 2))
    assert found["test"] == pytest.approx(rmse, abs=1e-5)
    assert found["errors"] == pytest.approx(net.predict(test.X) - test.y, abs=0.006)
    assert found["mae"] == pytest.approx(np.abs(net.predict(test.X) - test.y).mean(), abs=1e-5)
    assert found["effective_rank"] == pytest.approx(effective_rank(net.weights[0]), abs=0.006)
    assert found["validation"] == pytest.approx(net.evaluate(*validation)[1], abs=1e-5)
    assert found["curves"]["epoch"] == [1, 2, 3]
    assert found["curves"]["train_loss"] == pytest.approx(history.train_loss, rel=1e-3)
    assert (found["train_faces"], len(validation.X), len(test.X)) == (len(train_part.X), 27, 30) == (243, 27, 30)


def test_same_results_with_one_and_two_processes_and_from_the_cache(table, cache):
    mine = {"a": SHORT, "b": replace(SHORT, hidden=(5, 3))}
    one = run(mine, table, range(2), n_jobs=1, keep=False, progress=False)
    two = run(mine, table, range(2), n_jobs=2, progress=False)
    assert without_seconds(one) == without_seconds(two)
    assert run(mine, table, range(2), progress=False) == two  # with the seconds: nothing was trained again
    kept = list(cache.glob("results/*/*/*.json"))
    assert len(kept) == 4
    kept[0].write_text(kept[0].read_text()[:-9])  # damaged
    assert without_seconds(run(mine, table, range(2), n_jobs=1, progress=False)) == without_seconds(one)


def test_what_is_finished_is_not_run_twice_and_the_same_setting_is_run_once(table, monkeypatch):
    trained = []

    def counting(experiment, table, fold, seed, rows, pictures):
        trained.append((fold, seed))
        if len(trained) == 3:
            raise KeyboardInterrupt
        return train_and_measure(experiment, table, fold, seed, rows)

    monkeypatch.setattr(experiments, "train_and_measure", counting)
    twice = {"init/random": SHORT, "width/64": replace(SHORT, report="another table")}
    with pytest.raises(KeyboardInterrupt):
        run(twice, table, [0, 2], range(2), n_jobs=1, progress=False)
    found = run(twice, table, [0, 2], range(2), n_jobs=1, progress=False)
    assert len(trained) == 5  # two networks on each of two folds, of which one was interrupted and run again
    assert sorted(trained) == sorted([(0, 0), (0, 1), (2, 0), (2, 1), trained[2]])
    told = [(one["fold"], one["seed"]) for one in found["experiments"]["width/64"]["runs"]]
    assert told == [(0, 0), (0, 1), (2, 0), (2, 1)]
    assert found["experiments"]["init/random"]["runs"] == found["experiments"]["width/64"]["runs"]


def test_what_is_kept_depends_on_settings_and_not_on_the_report():
    keys = [
        experiments._key(one) for one in (SHORT, replace(SHORT, epochs=4), replace(SHORT, output_activation="identity"))
    ]
    keys += [experiments._key(replace(SHORT, **other)) for other in ({"repeat": 1}, {"output_bias": "zero"})]
    assert len(set(keys)) == 5
    assert experiments._key(replace(SHORT, report="elsewhere")) == keys[0]
    assert experiments._key(replace(SHORT, loss="l2", output_activation="leaky_relu")) != keys[1]


def test_other_rows_are_another_result(table, cache):
    """Folds of another partition are not found under the same number."""
    mine = folds(np.arange(300), 2, seed=5)
    found = [
        run({"mine": SHORT}, table, [1], n_jobs=1, progress=False, rows=rows)["experiments"]["mine"]["runs"][0]
        for rows in (None, mine, mine)
    ]
    assert found[0]["errors"] != found[1]["errors"]
    assert found[1] == found[2]  # with the seconds
    net, _, (_, _, test) = train(SHORT, table, 1, rows=mine[1])
    assert test.y.tolist() == table["age"][mine[1][2]].tolist()
    assert found[1]["errors"] == pytest.approx(net.predict(test.X) - test.y, abs=0.006)
    assert len(list(cache.glob("results/*/*/*.json"))) == 2
    with pytest.raises(ValueError, match="folds must be from 0 to 1, not 2"):
        run({"mine": SHORT}, table, range(3), rows=mine, progress=False)
    with pytest.raises(ValueError, match="folds must be from 0 to 9, not 10"):
        run({"mine": SHORT}, table, range(11), progress=False)


@pytest.mark.parametrize("other", [{"normalizer": "l2"}, {"pca_faces": "training"}])
def test_a_table_has_one_normaliser_and_pca(other, table):
    with pytest.raises(ValueError, match="data must be faces, not a table, for an experiment with filters, normalizer"):
        run({"mine": replace(SHORT, **other)}, table, [0], n_jobs=1, progress=False)


def test_features_are_made_as_an_experiment_asks(faces_folder, monkeypatch):
    seen = {}

    def noting(experiment, table, fold, seed, rows, pictures):
        seen[experiment.normalizer, experiment.pca_faces, fold] = table.iloc[:, 4:].to_numpy(), rows
        return train_and_measure(experiment, table, fold, seed, rows)

    monkeypatch.setattr(experiments, "train_and_measure", noting)
    ds = FaceDataset.open(faces_folder, progress=False)
    names = {"a": SHORT, "b": replace(SHORT, normalizer="l2"), "c": replace(SHORT, pca_faces="training")}
    found = run(names, ds, [0, 3], n_jobs=1, progress=False)["experiments"]
    images = ds.images(slice(None))
    for fold in (0, 3):
        (standard, rows), (l2, l2_rows), (own, own_rows) = (
            seen[key] for key in (("standard", "any", fold), ("l2", "any", fold), ("standard", "training", fold))
        )
        for one, other in ((rows, l2_rows), (rows, own_rows)):
            assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
        for features, normalizer, fitted_on in (
            (standard, "standard", range(23)),
            (l2, "l2", range(23)),
            (own, "standard", rows[0]),  # no face of validation or test
        ):
            known = Preprocessor(len(fitted_on) - 1, normalizer).fit(images[np.sort(fitted_on)], progress=False)
            known = known.transform(images)
            assert features.shape == known.shape
            np.testing.assert_allclose(features, known, atol=1e-3 * np.abs(known).max())
    assert len({found[name]["runs"][0]["test"] for name in names}) == 3


def test_a_network_that_diverges(table):
    mine = {"fine": SHORT, "mine": replace(SHORT, schedule=Constant(1e6))}
    found = run(mine, table, [2], [1], 1, progress=False, may_diverge=True)["experiments"]
    assert found["fine"]["runs"][0]["test"] > 0
    (lost,) = found["mine"]["runs"]
    assert lost.keys() == {"fold", "seed", "diverged"}
    for _ in range(2):  # also when it is found in the cache
        with pytest.raises(TrainingDiverged, match=r"\(fold 2, seed 1: {.*Constant\(rate=1000000"):
            run(mine, table, [2], [1], 1, progress=False)


def test_other_columns_are_other_data(table):
    swapped = table.rename(columns={"f000": "f001", "f001": "f000"})
    a, b = (run({"a": SHORT}, table, [0], n_jobs=1, progress=False)["data"] for table in (table, swapped))
    assert a != b


def test_what_cannot_be_described_is_trained_every_time_and_not_kept(table, cache):
    class Drawn(Random):
        def __call__(self, fan_in, fan_out, rng):
            return generator.normal(size=(fan_in, fan_out))

    generator = np.random.default_rng(0)
    mine = {"mine": replace(SHORT, initializer=Drawn()), "short": SHORT}
    with pytest.warns(UserWarning, match="'mine' is trained every time, .* it depends on an object of numpy.random"):
        first = run(mine, table, [0], n_jobs=2, progress=False)
    with pytest.warns(UserWarning, match="'mine'"):
        second = run(mine, table, [0], n_jobs=2, progress=False)
    assert first["experiments"]["mine"]["runs"][0]["test"] != second["experiments"]["mine"]["runs"][0]["test"]
    assert first["experiments"]["short"] == second["experiments"]["short"]
    assert len(list(cache.glob("results/*/*/*.json"))) == 1


def test_results_are_saved_as_json(table, tmp_path):
    found = run({"mine": SHORT}, table, [0], n_jobs=1, save=tmp_path / "found.json", progress=False)
    assert json.loads((tmp_path / "found.json").read_text()) == found
    assert found["data"]["faces"] == 300
    assert found["experiments"]["mine"]["settings"]["hidden"] == [4]


def test_classification_results_count_every_test_face(table):
    race = replace(SHORT, target="race", schedule=Constant(0.1), epochs=30)
    found = run({"race": race}, table, [0], n_jobs=1, progress=False)["experiments"]["race"]["runs"][0]
    _, _, rows = split_rows(table, 0)
    confusion = np.array(found["confusion"])
    assert confusion.sum(axis=1).tolist() == np.bincount(table["race"].iloc[rows], minlength=5).tolist()
    assert np.trace(confusion) / 30 == pytest.approx(found["test"], abs=1e-5)
    for group in ("by_gender", "by_decade"):
        assert np.sum(found[group]) == 30
        assert np.sum(found[group], axis=0)[1] == np.trace(confusion)
    assert sum(found["errors"]) == 30 - np.trace(confusion)
    assert "mae" not in found


def test_fewer_faces_train_the_same_split(table):
    few = replace(SHORT, n_train=50)
    parts, all_parts = (split_and_rescale(one, table, 0) for one in (few, SHORT))
    assert np.array_equal(parts[0].X, all_parts[0].X[:50])
    assert all(np.array_equal(a.X, b.X) for a, b in zip(parts[1:], all_parts[1:], strict=True))


def test_scale(monkeypatch):
    monkeypatch.setenv("HW1_SCALE", "full")
    assert limit_epochs(["race/8000"])["race/8000"].epochs == 8000
    monkeypatch.setenv("HW1_SCALE", "quick")
    assert limit_epochs(["race/8000"])["race/8000"].epochs == 300
    assert limit_epochs(["width/64"])["width/64"] == EXPERIMENTS["width/64"]
    monkeypatch.setenv("HW1_SCALE", "huge")
    with pytest.raises(ValueError, match="HW1_SCALE must be full or quick"):
        limit_epochs(["race/8000"])


def test_numpy_numbers_are_plain_in_what_is_kept(table, tmp_path):
    mine = Experiment(
        "a test",
        "age",
        np.array([4]),
        epochs=np.int64(3),
        momentum=np.float32(0.5),
        initializer=Random(np.float64(0.1)),
    )
    found = run({"mine": mine}, table, np.arange(2), n_jobs=1, save=tmp_path / "found.json", progress=False)
    assert json.loads((tmp_path / "found.json").read_text()) == found
    settings = found["experiments"]["mine"]["settings"]
    assert (settings["hidden"], settings["epochs"], settings["momentum"]) == ([4], 3, 0.5)
    assert settings["initializer"] == "Random(sigma=0.1)"


def test_one_name_and_one_hidden_layer_may_be_given_as_they_are(table, monkeypatch):
    monkeypatch.setitem(EXPERIMENTS, "width/64", SHORT)
    assert run("width/64", table, [0], n_jobs=1, progress=False)["experiments"].keys() == {"width/64"}
    assert replace(SHORT, hidden=40).config()["layers"] == [128, 40, 1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((["width/65"],), "there is no experiment 'width/65'; there are init/zero, "),
        (("width/65",), "there is no experiment 'width/65'; there are init/zero, "),
        ((SHORT,), "names must be names of experiments, or a dict of name to Experiment, not Experiment"),
        (({"a": SHORT, "b": 3},), "names must be names, or a dict of name to Experiment: 'b' is 3"),
        (({"a": SHORT}, "no such folder", 3), r"folds must be several whole numbers, such as range\(10\) or .*, not 3"),
        (({"a": SHORT}, "no such folder", [0], [0.5]), "each of seeds must be a whole number >= 0, not 0.5"),
        (({"a": SHORT}, "no such folder", [10]), "folds must be from 0 to 9, not 10"),
    ],
)
def test_what_run_does_not_take_is_told_before_the_features_are_made(arguments, said):
    with pytest.raises(ValueError, match=said):
        run(*(*arguments, "no such folder")[: max(2, len(arguments))], progress=False)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"target": "height"}, "target must be one of age, gender, race, not 'height'"),
        ({"hidden": "64"}, "each of hidden must be a whole number >= 1, not '64'"),
        ({"hidden": (64, 0)}, "each of hidden must be a whole number >= 1, not 0"),
        ({"epochs": 2.5}, "epochs must be a whole number >= 1, not 2.5"),
        ({"momentum": 1}, "momentum must be a finite number >= 0 and below 1, not 1"),
        ({"input_rms": 0}, "input_rms must be a finite number > 0, not 0"),
        ({"output_bias": 35}, "output_bias must be one of mean, zero, not 35"),
        ({"normalizer": "L2"}, "normalizer must be one of standard, .*, not 'L2'"),
        ({"pca_faces": "all"}, "pca_faces must be one of any, training, not 'all'"),
        ({"filters": (8, 0)}, "each of filters must be a whole number >= 1, not 0"),
        ({"filters": (8,), "cell": 150}, r"config\['picture'\] must be .* at least 2 for each block"),
        ({"filters": (8,), "activation": "softmax"}, r"config\['activation'\] of a convolutional network must"),
        ({"repeat": -1}, "repeat must be a whole number >= 0, not -1"),
    ],
)
def test_settings_that_are_not_allowed(settings, said):
    with pytest.raises(ValueError, match=said):
        Experiment("a test", **settings)


@pytest.mark.parametrize("target", ["gender", "race"])
def test_one_label_is_enough(table, target):
    same = table.assign(**{target: 0})
    assert baselines(same, target, [0]) == {"largest": {"test": [1]}, "logistic": {"test": [1]}}
    found = run({"it": replace(SHORT, target=target)}, same, [0], n_jobs=1, progress=False)["experiments"]["it"][
        "runs"
    ][0]
    if target == "race":  # classes without faces have their rows, too
        assert np.shape(found["confusion"]) == (5, 5)
        assert np.shape(found["by_gender"]) == (2, 2)


def test_baselines_on_the_splits_of_the_networks(table):
    train_part, _, test = split(table, "age", 1)
    found = baselines(table, "age", folds=[1])
    assert found["mean"]["mae"][0] == pytest.approx(np.abs(test.y - train_part.y.mean()).mean(), abs=1e-5)
    assert found["mean"]["test"][0] == pytest.approx(np.sqrt(np.mean((test.y - train_part.y.mean()) ** 2)), abs=1e-5)
    A = np.column_stack([np.ones(len(train_part.X)), train_part.X])
    weights = np.linalg.lstsq(A, train_part.y, rcond=None)[0]
    error = test.y - np.column_stack([np.ones(len(test.X)), test.X]) @ weights
    assert found["linear"]["test"][0] == pytest.approx(np.sqrt(np.mean(error**2)), abs=1e-4)
    found = baselines(table, "race", folds=[1])
    assert found["logistic"]["test"][0] > found["largest"]["test"][0]


# -- reading results --------------------------------------------------------------------------------------------------


def test_interval_is_student_t():
    x = np.random.default_rng(0).normal(3, 2, 12)
    known = stats.ttest_1samp(x, 0).confidence_interval(0.95)
    assert results.interval(x) == pytest.approx((x.mean(), known.low, known.high))
    mean, low, high = results.interval([5.0])
    assert mean == 5
    assert np.isnan([low, high]).all()


def test_overlap_widens_the_interval_as_nadeau_and_bengio_say():
    x = np.arange(10.0)
    _, low, high = results.interval(x)
    _, wide_low, wide_high = results.interval(x, overlap=1 / 9)
    assert (wide_high - wide_low) / (high - low) == pytest.approx(np.sqrt((1 / 10 + 1 / 9) / (1 / 10)))


def test_wilson_by_hand():
    # Wilson 1927 for 8 of 10 at 95 %: centre (p + z^2/2n) / (1 + z^2/n)
    z, n, p = stats.norm.ppf(0.975), 10, 0.8
    centre, half = p + z**2 / (2 * n), z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    scale = 1 + z**2 / n
    assert results.wilson(8, 10) == pytest.approx((0.8, (centre - half) / scale, (centre + half) / scale))
    assert results.wilson(10, 10)[1] < 1
    assert np.isnan(results.wilson(0, 0)).all()


def made_up(target="age", networks=1, **tests):
    """Return results with one number a fold, from which the networks of the fold stray by a little each way."""

    def one(fold, test, stray):
        curves = {"epoch": [1, 2], "train_loss": [test + stray, 2 * test + 2 * stray]}
        return {"fold": fold, "test": test + stray, "mae": 0.75 * test + stray, "curves": curves}

    strays = np.arange(networks) - (networks - 1) / 2
    return {
        "experiments": {
            name.replace("__", "/"): {
                "settings": {"target": target, "name": name},
                "runs": [one(fold, test, stray) for fold, test in enumerate(values) for stray in strays],
            }
            for name, values in tests.items()
        }
    }


def test_a_fold_counts_once_however_many_networks_it_has():
    found = made_up(a=[19.0, 20.0, 21.0], networks=3)
    found["experiments"]["a"]["runs"].pop()  # the third fold's network of 22
    means = results.fold_means(found, "a")
    assert (means.index.tolist(), means.tolist()) == ([0, 1, 2], [19, 20, 20.5])
    assert results.fold_means(found, "a", "mae").tolist() == [14.25, 15, 15.25]


def test_numbers_beside_the_published_ones():
    kept = made_up(init__zero=[19.0, 20.0, 21.0], networks=2)
    kept["experiments"] |= made_up(**{"init__zero/as-published": [17.0, 17.0]})["experiments"]
    half = stats.t.ppf(0.975, 2) * np.sqrt(1 / 3 + results.OVERLAP)
    row = ["19.1553", "17.00", f"20.00 ± {half:.2f}", f"15.00 ± {0.75 * half:.2f}", "18.50"]
    names = ["published", "UTKFace, as published", "UTKFace, trained properly", "its MAE"]
    for drawn, heading in ((True, "this run, drawn faces"), (False, "this run")):
        here = made_up(init__zero=[18.5]) | {"data": {"drawn": drawn}}
        table = results.beside_published(["init/zero", "race/8000"], here, kept)
        assert table.columns.tolist() == [*names, heading]
        assert table.loc["init/zero"].tolist() == row
        assert table.loc["race/8000"].tolist() == ["72.2 %", "-", "-", "-", "-"]
    race = made_up("race", race__8000=[0.75, 0.76])
    table = results.beside_published("race/8000", race, race)
    assert table.columns.tolist() == [*names[:3], "this run"]  # of classes there is no MAE
    assert table.loc["race/8000"].tolist() == ["72.2 %", "-", "75.5 %", "75.5 %"]
    told = summary(kept | {"data": {"source": "stand-in"}})
    assert "init/zero" in told
    assert "stand-in, trained properly" in told  # drawn faces are not called UTKFace
    assert results.mean_and_interval([0.5, 0.6, 0.7], "accuracy").startswith("60.0 ± ")
    assert results.mean_and_interval([0.5, 0.7], "accuracy") == "60.0 %"
    assert results.mean_and_interval([]) == "-"


def test_unknown_names_are_told():
    with pytest.raises(ValueError, match=r"names must be of experiments .*, not \['init/none'\]"):
        results.beside_published(["init/zero", "init/none"], made_up(), made_up())
    with pytest.raises(ValueError, match="these results hold no experiment 'a'; they hold b"):
        results.values(made_up(b=[1.0]), "a")
    with pytest.raises(ValueError, match="values and reference must be pairs, not 3 and 1 numbers"):
        results.paired([1, 2, 3], [1])


def test_mean_curve_over_networks():
    epochs, mean, low, high = results.mean_curve(made_up(a=[1.0, 3.0]), "a", "train_loss")
    assert (epochs.tolist(), mean.tolist(), low.tolist(), high.tolist()) == ([1, 2], [2, 4], [1, 2], [3, 6])


def test_a_network_that_stopped_early_counts_as_long_as_it_trained():
    curves = [{"epoch": [1, 3, 9], "loss": [8.0, 6.0, 0.0]}, {"epoch": [1, 4], "loss": [6.0, 3.0]}]
    kept = {"experiments": {"a": {"runs": [{"curves": c} for c in curves]}}}
    epochs, mean, low, high = results.mean_curve(kept, "a", "loss")
    assert (epochs.tolist(), mean.tolist()) == ([1, 3, 9], [7, 5, 0])
    assert (low.tolist(), high.tolist()) == ([6, 4, 0], [8, 6, 0])


def test_groups_by_hand():
    true, said, groups = [10, 20, 30, 40], [12, 20, 33, 44], ["a", "a", "b", "b"]
    rmse = results.rmse_by_group(true, said, groups)
    assert rmse["value"].tolist() == pytest.approx([np.sqrt(2), np.sqrt(12.5)])
