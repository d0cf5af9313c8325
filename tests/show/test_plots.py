"""The figures: every number drawn is one that was given, and nothing is covered or unnamed."""

from functools import cache
from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from hw1lib import show, study

NAN = np.nan
EPOCHS = [1, 2, 5, 20]
PARTS = "train", "validation"
NETWORKS = {"a": "short", "b": "another", "c": "a long name that fits no line", "d": "4th"}


def runs(names, seeds=3):
    """Return made-up runs; of one network of each experiment no curve was kept."""
    rng = np.random.default_rng(2)
    kinds = [f"{part}_{kind}" for part in PARTS for kind in ("loss", "metric")]
    rows = []
    for name in names:
        for seed in range(seeds + 1):
            curves = {kind: rng.uniform(0.1, 200, len(EPOCHS)) for kind in kinds}
            curve = pd.DataFrame({"epoch": EPOCHS, **curves}) if seed < seeds else None
            best = int(rng.integers(2, 15))
            row = {"experiment": name, "target": "age", "fold": 0, "seed": seed, "test": 12.0}
            rows.append(row | {"best_epoch": best, "curve": curve})
    return pd.DataFrame(rows)


COMPARED = pd.DataFrame(
    [
        ["rmse", 0.01, -0.04, 0.06, NAN, [0.02, 0.0], "nothing", False],
        ["rmse", -7.5, -9, -4, -4.2, [-9.5, -8, -5], "each tuned", True],
        ["accuracy", 1.5, 0.5, 2.5, NAN, [1, 2], "nothing", False],
        ["rmse", 0.2, NAN, NAN, -0.1, [0.2], "whitening, learning_rate, weight_decay", True],
        ["accuracy", -12, -20, -4, NAN, [-12, -15, -9], "epochs", False],
    ],
    ["A/A: the same setting", "Are 64 better than 32?", "race?", "three?", "... the other way?"],
    ["metric", "mean", "low", "high", "published", "folds", "else_differs", "claimed"],
)
MODELS = pd.DataFrame({"rmse": [[20, 19, 21], [12, 12.5, 13]]}, ["mean", "net"])
MODELS["accuracy"] = [[0.4, 0.42, 0.44], []]
MODELS["published"] = [[None, None], [14.9, 0.722]]
SOURCES = {"recorded": runs("abcd"), "this run": runs("bd")}  # the first panel is empty in one

MAKERS = {
    "loss": lambda: show.training_curves({"here": SOURCES["recorded"]}, NETWORKS, best=True),
    "rmse": lambda: show.training_curves(SOURCES, NETWORKS, "rmse", columns=3, since=2),
    "forest": lambda: show.forest(COMPARED),
    "models": lambda: show.model_comparison(MODELS),
}
every_figure = pytest.mark.parametrize("name", MAKERS)


@cache
def drawn(name):
    figure = MAKERS[name]()
    figure.draw_without_rendering()
    return figure


def panels_of(figure):
    return [ax for ax in figure.axes if ax.get_visible()]


def errors(ax):
    """Return the ends of a panel's horizontal error bars, (n, 2); some have none."""
    segments = [bar[2][0].get_segments()[0] for bar in ax.containers]
    return np.array([segment[:, 0] for segment in segments if len(segment) == 2])


@every_figure
def test_nothing_is_covered_or_cut_off_and_all_is_named(name):
    figure = drawn(name)
    canvas = figure.bbox.padded(1)
    boxes = [ax.get_tightbbox() for ax in panels_of(figure)]  # with title and labels
    boxes += [legend.get_window_extent() for legend in figure.legends]
    for box in boxes:
        assert canvas.contains(*box.min)
        assert canvas.contains(*box.max)
    for first, second in combinations(boxes, 2):
        assert not first.padded(-1).overlaps(second.padded(-1))
    assert all(ax.get_xlabel() for ax in panels_of(figure))
    named = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    series = {label for ax in figure.axes for label in ax.get_legend_handles_labels()[1]}
    assert sorted(named) == sorted(series)


def test_pictures_are_in_order_rounded_and_clipped():
    face = np.arange(108)
    pictures = [face, np.array([-3.0, 0.6, 254.6] * 4), np.full((3, 4, 5), 300), np.eye(3)]
    axes = show.face_sheet(pictures, list("abcd"), columns=3).axes
    shown = [ax.images[0].get_array() for ax in axes[:4]]
    assert [ax.get_title() for ax in axes] == [*"abcd", "", ""]
    assert shown[0].tolist() == face.reshape(6, 6, 3).tolist()
    assert shown[1][0, 0].tolist() == [0, 1, 255]
    assert shown[2].shape == (4, 5, 3)
    assert shown[2].max() == 255
    assert shown[3].tolist() == np.eye(3).tolist()  # grey, as it is


def test_numbers_around_grey_reach_black_or_white():
    assert show.around_grey(np.array([0.0, 0.5, -0.25])).tolist() == [127.5, 255, 63.75]
    assert show.around_grey(np.zeros(3)).tolist() == [127.5] * 3


def test_drawn_faces_races_have_no_names():
    assert show.race_names(True)[::4] == ("class 0", "class 4")
    assert show.race_names(False) == show.RACES


@pytest.mark.parametrize(("name", "kind"), [("loss", "loss"), ("rmse", "metric")])
def test_training_curves_are_mean_lowest_and_highest_of_the_networks(name, kind):
    panels = panels_of(drawn(name))[:4]
    for ax, experiment in zip(panels, NETWORKS, strict=True):
        assert ax.get_title().replace("\n", " ") == NETWORKS[experiment]
        of_name = SOURCES["recorded"].query("experiment == @experiment")
        for line, band, part in zip(ax.lines, ax.collections, PARTS, strict=False):
            curves = [c.set_index("epoch")[f"{part}_{kind}"] for c in of_name["curve"].dropna()]
            values = pd.DataFrame(curves)[line.get_xdata()]
            assert line.get_label().startswith(part)
            assert line.get_ydata() == pytest.approx(values.mean())
            edge = pd.Series(*band.get_paths()[0].vertices.T[::-1]).groupby(level=0)
            assert edge.min().to_numpy() == pytest.approx(values.min())
            assert edge.max().to_numpy() == pytest.approx(values.max())
        if name == "loss":
            assert ax.lines[2].get_xdata()[0] == of_name["best_epoch"].median()
    assert len({ax.get_ylim() for ax in panels}) == 1
    assert {ax.get_xlabel() for ax in panels} == {"epoch (logarithmic)"}
    assert ("years²" in panels[0].get_ylabel()) == (name == "loss")


def test_sources_are_rows_and_what_one_lacks_is_empty():
    panels = np.reshape(drawn("rmse").axes, (2, 2, 3))
    for (source, made), rows in zip(SOURCES.items(), panels, strict=True):
        for ax, name in zip(rows.flat, [*"abcd", None, None], strict=True):
            of_name = made[made["experiment"] == name]
            assert ax.get_visible() == bool(ax.lines) == (len(of_name) > 0)
            assert not ax.lines or ax.lines[1].get_xdata().tolist() == [2, 5, 20]
        for row in rows:
            labels = [ax.get_ylabel() for ax in row if ax.get_visible()]
            assert labels == [f"{source}\nRMSE (years)", "", ""][: len(labels)]
    with pytest.raises(ValueError, match="sources must hold one of e, f"):
        show.training_curves(SOURCES, {"e": "E", "f": "F"})


def test_comparisons_stand_beside_their_questions():
    for ax, metric, same in zip(drawn("forest").axes, study.SAME, (0.1, 0.5), strict=True):
        table = COMPARED[COMPARED["metric"] == metric]
        assert [tick.get_text() for tick in ax.get_yticklabels()] == list(table.index)
        place = ax.get_yticks()
        assert np.all(np.diff(place) < 0)  # the first on top
        middles = [bar[0].get_xydata()[0] for bar in ax.containers]
        assert np.array_equal(middles, np.column_stack([table["mean"], place]))
        assert errors(ax) == pytest.approx(table[["low", "high"]].dropna().to_numpy())
        dots = [line for line in ax.lines if line.get_label() == "a fold"]
        assert [line.get_xdata().tolist() for line in dots] == table["folds"].tolist()
        under = place - [line.get_ydata()[0] for line in dots]
        assert np.all((under > 0) & (under < 0.5))
        published = [line.get_xdata()[0] for line in ax.lines if line.get_label() == "published"]
        assert published == table["published"].dropna().tolist()
        (band,) = (patch for patch in ax.patches if patch.get_label() == "called the same")
        ends = band.get_extents().transformed(ax.transData.inverted()).intervalx
        assert ends == pytest.approx([-same, same])
        weights = [tick.get_fontweight() == "bold" for tick in ax.get_yticklabels()]
        assert weights == table["claimed"].tolist()
        (beside,) = ax.child_axes
        told = [tick.get_text().removesuffix(" [...]") for tick in beside.get_yticklabels()]
        assert all(map(str.startswith, table["else_differs"], told))
        assert ("left is better" in ax.get_xlabel()) == (metric == "rmse")
    assert "logarithmic" in drawn("forest").axes[1].get_xlabel()
    assert "logarithmic" not in show.forest(COMPARED[2:3]).axes[0].get_xlabel()


def test_models_are_drawn_with_folds_intervals_and_what_is_published():
    rmse, accuracy = drawn("models").axes
    (published,) = (line for line in rmse.lines if line.get_label() == "published")
    assert published.get_xydata().tolist() == [[14.9, 0.27]]
    dots = [line.get_xdata() for line in accuracy.lines if line.get_label() == "a fold"]
    assert dots[0] == pytest.approx([40, 42, 44])
    middles = [bar[0].get_xydata()[0].tolist() for bar in rmse.containers]
    assert middles == [[20, 1], [12.5, 0]]
    wanted = [study.interval(folds)[1:] for folds in MODELS["rmse"]]
    assert errors(rmse) == pytest.approx(np.array(wanted))
