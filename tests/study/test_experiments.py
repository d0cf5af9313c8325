"""The report's experiments: what is named, what it trains on, how one network is trained."""

import re
from dataclasses import replace

import numpy as np
import pytest

from hw1lib import faces, nn, study
from hw1lib.nn import Random, Zero
from hw1lib.study import EXPERIMENTS, PUBLISHED, RECONSTRUCTED, SAME_RUN, train
from hw1lib.study.experiments import NEAREST


def test_every_published_number_has_its_experiment_in_both_settings():
    for name, published in PUBLISHED.items():
        for row in (name, name + RECONSTRUCTED):
            report = EXPERIMENTS[SAME_RUN.get(row, row)].report
            assert published.where.split()[-1] in report or "2.2.7" in published.where


def test_every_figure_and_table_of_training_has_its_experiment():
    told = {number for e in EXPERIMENTS.values() for number in re.split("[ ,]+", e.report)}
    figures = [*range(3, 6), *range(7, 10), *range(11, 14), *range(15, 21)]
    assert told >= {f"2.{number}" for number in [*figures, 6, 10, 14]}


def test_reconstructed_settings_differ_in_what_their_names_say():
    free = {"hidden": (64,), "initializer": Random(0.1), "weight_decay": 0.0, "repeat": 0}
    again = [e for name, e in EXPERIMENTS.items() if name.endswith(RECONSTRUCTED)]
    assert {replace(e, **free) for e in again if e.target == "age"} == {NEAREST}


def test_the_report_is_no_setting():
    known = EXPERIMENTS["width/64"]
    assert replace(known, report="another figure") == known


def test_one_run_has_one_name():
    assert len(set(EXPERIMENTS.values())) == len(EXPERIMENTS)
    assert not SAME_RUN.keys() & EXPERIMENTS.keys()


def test_scale(monkeypatch):
    monkeypatch.setenv("HW1_SCALE", "full")
    assert study.limit_epochs(["race/8000"])["race/8000"].epochs == 8000
    monkeypatch.setenv("HW1_SCALE", "quick")
    assert study.limit_epochs("race/8000")["race/8000"].epochs == 300
    assert study.limit_epochs(["width/64"])["width/64"] == EXPERIMENTS["width/64"]
    monkeypatch.setenv("HW1_SCALE", "huge")
    with pytest.raises(ValueError, match="HW1_SCALE must be"):
        study.full_scale()


# -- what is trained on ---------------------------------------------------------------------------


def test_the_pca_of_training_faces_sees_no_other(faces_folder, short):
    ds = faces.open(faces_folder, progress=False)
    data = replace(short, pca_faces="training").data(ds, 2)
    training = np.sort(ds.features(progress=False).folds()[2][0])
    images = ds.images(slice(None))
    preprocessor = faces.Preprocessor(data.X.shape[1]).fit(images[training], progress=False)
    known = preprocessor.transform(images)
    assert data.X.shape == (23, len(training) - 1)
    np.testing.assert_allclose(data.X, known, atol=1e-3 * np.abs(known).max())
    assert np.array_equal(data.groups, ds.groups)  # the folds stay


def test_the_training_part_is_limited_and_features_are_rescaled(data, short):
    raw = data.split("age", 2)
    few = replace(short, n_train=50, whitening=0.5)
    limited = few.split(data, 2)
    for subset, theirs in zip(limited, raw, strict=True):
        assert np.array_equal(subset.X, theirs.X[: len(subset.X)])
    assert [len(subset.y) for subset in limited] == [50, 27, 30]
    net, _, _ = train(few, data, 2)
    scaled, own = faces.rescale(raw[0], limited[0], whitening=0.5)  # all training faces tell
    plain = nn.Network({k: v for k, v in net.config.items() if k != "input_scale"})
    plain.parameters[...] = net.parameters
    assert np.array_equal(net.predict(limited[0].X), plain.predict(own.X))
    assert np.std(scaled.X) == pytest.approx(1, abs=0.1)
    assert "input_scale" not in train(replace(few, input_rms=None), data, 2)[0].config


# -- one network ----------------------------------------------------------------------------------


def test_faces_and_networks_are_drawn_apart(data, short):
    """The fold decides the faces, seed and repeat the weights alone."""
    still = replace(short, epochs=1, learning_rate=1e-9)

    def draw(fold, seed, repeat):
        net, _, (part, _, test) = train(replace(still, repeat=repeat), data, fold, seed)
        return part.X, test.X, net.weights[0].ravel()

    train_X, test_X, weights = draw(0, 0, 0)
    for seed, repeat in ((1, 0), (0, 1), (1, 1)):
        *same, others = draw(0, seed, repeat)
        assert np.array_equal(same[0], train_X)
        assert np.array_equal(same[1], test_X)
        assert abs(np.corrcoef(weights, others)[0, 1]) < 0.9
    _, other_X, others = draw(1, 0, 0)
    assert not np.array_equal(other_X, test_X)
    assert not np.allclose(others, weights)


@pytest.mark.parametrize(("target", "where"), [("age", "mean"), ("age", "zero"), ("race", "mean")])
def test_the_outputs_bias_starts_where_it_is_told(data, short, target, where):
    still = {"initializer": Zero(), "learning_rate": 1e-12, "epochs": 1}
    net, _, (part, *_) = train(replace(short, target=target, output_bias=where, **still), data)
    known = part.y.mean() if (target, where) == ("age", "mean") else 0
    assert net.biases[-1] == pytest.approx(known, rel=1e-5, abs=1e-6)
    assert not any(bias.any() for bias in net.biases[:-1])


@pytest.mark.parametrize("target", ["age", "race"])
def test_filters_make_a_convolutional_network_on_small_pictures(data, short, target):
    """Trained by hand: flipped pictures, the last layer ten times smaller, the bias at the mean."""
    random = np.random.default_rng(0)
    pictures = random.integers(0, 256, (len(data), 3, 10, 10), np.uint8)
    data = replace(data, X=pictures)
    on_pictures = {"filters": (3, 4), "hidden": (5,), "cell": 20, "initializer": "he"}
    settings = {"target": target, "learning_rate": 1e-4, "n_train": 150}
    experiment = replace(short, **on_pictures, **settings)
    net, history, (train_part, _, test) = train(experiment, data, 3, 1)
    rows = data.folds()[3]
    assert np.array_equal(train_part.X, pictures[rows[0][:150]])
    assert np.array_equal(test.y, data.labels[target].to_numpy()[rows[2]])
    hand = nn.Network(experiment.config(), nn.He(), np.random.default_rng([4, 3, 1, 0]))
    hand.weights[-1][...] /= 10
    if target == "age":
        hand.biases[-1][...] = train_part.y.mean()
    how = {"epochs": 3, "learning_rate": 1e-4, "augment": nn.random_flip, "progress": False}
    by_hand = hand.fit(train_part.X, train_part.y, **how)
    assert np.array_equal(hand.parameters, net.parameters)
    assert by_hand.train_loss == history.train_loss


def test_participation_ratios_that_are_known():
    directions = np.linalg.qr(np.random.default_rng(0).standard_normal((9, 4)))[0]
    known = [(-3 * directions, 4), (np.outer(range(1, 7), range(3)), 1), (np.zeros((3, 2)), 0)]
    known.append((directions * [2, 1, 0, 0], (4 + 1) ** 2 / (16 + 1)))
    for matrix, ratio in known:
        assert study.participation_ratio(matrix) == pytest.approx(ratio)
