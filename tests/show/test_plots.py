"""The figures: every number drawn is one that was given, axes and legends say what is what, and nothing is covered."""

import re
from functools import cache
from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import to_hex, to_rgb
from matplotlib.patches import Rectangle

from hw1lib import show
from hw1lib.nn import ConvNetwork
from hw1lib.nn.activations import ACTIVATIONS
from hw1lib.nn.schedules import Constant, ExponentialDecay, InverseTimeDecay, StepDecay

RNG = np.random.default_rng(0)
FACES = RNG.integers(0, 256, (5, 6 * 6 * 3)).astype(np.uint8)
NAN = np.nan


# -- made-up data -----------------------------------------------------------------------------------------------------


def labels(n=200, oldest=115):
    rng = np.random.default_rng(1)
    ages = np.concatenate([[oldest], rng.integers(0, oldest, n - 1)])  # as many old as young: no corner is left free
    return pd.DataFrame({"age": ages, "gender": rng.integers(0, 2, n), "race": rng.choice([0, 1, 3, 4], n)})


def trained(names, seeds=3, epochs=(1, 2, 5, 20)):
    rng = np.random.default_rng(2)
    kinds = ("train_loss", "validation_loss", "train_metric", "validation_metric")

    def one(seed):
        curves = {kind: rng.uniform(0.1, 200, len(epochs)).tolist() for kind in kinds}
        return {"seed": seed, "best_epoch": int(rng.integers(2, 15)), "curves": {"epoch": list(epochs), **curves}}

    runs = {name: [one(seed) for seed in range(seeds)] for name in names}
    return {"experiments": {name: {"settings": {"target": "age"}, "runs": of_name} for name, of_name in runs.items()}}


def group_table(names, seed):
    value = np.random.default_rng(seed).uniform(5, 9, len(names))
    columns = {"n": 1000.0 + np.arange(len(names)), "value": value, "low": value - 0.5, "high": value + 2}
    return pd.DataFrame(columns, index=names)


NETWORKS = {
    "a": "a short name",
    "b": "another one",
    "c": "a long name that does not fit into a single line",
    "d": "4th",
}
SCHEDULES = {
    "constant": Constant(3e-4),
    "step": StepDecay(3e-4, drop=0.5, every=5),
    "exponential": ExponentialDecay(3e-4, 0.9),
    "inverse": InverseTimeDecay(3e-4, 0.05),
}
BOUNDS = ["mean", "low", "high"]
COMPARED = pd.DataFrame(
    [
        ["rmse", 0.01, -0.04, 0.06, NAN, [0.02, 0.0], "nothing", False],
        ["rmse", -7.5, -9, -4, -4.2, [-9.5, -8, -5], "each tuned", True],
        ["accuracy", 1.5, 0.5, 2.5, NAN, [1, 2], "nothing", False],
        ["rmse", 0.2, NAN, NAN, -0.1, [0.2], "whitening, schedule, weight_decay, epochs", True],
        ["accuracy", -12, -20, -4, NAN, [-12, -15, -9], "epochs", False],
    ],
    ["A/A: the same setting, other networks", "Are 64 better than 32?", "race?", "three?", "... the other way?"],
    ["metric", *BOUNDS, "published", "folds", "else_differs", "claimed"],
)
SIZES = {
    "recorded": pd.DataFrame([[9, 8.5, 9.9], [8, 7.8, 8.1], [7, 6.0, 8.5]], [1000, 2000, 8000], BOUNDS),
    "this run": pd.DataFrame([[10, NAN, NAN], [8.2, NAN, NAN]], [500, 2000], BOUNDS),
}
TRUE = np.array([*range(10, 20), *range(40, 46), 80])
PREDICTED = TRUE + np.where(TRUE < 30, 6.0, -4.0) + np.arange(len(TRUE)) / 7
GROUPS = {"age decade": group_table([0, 10, 20], 3), "gender label": group_table(["male", "female"], 4)}
MODELS = {name: {"one": table, "other": table.assign(value=6.0)} for name, table in GROUPS.items()}
LADDER = pd.DataFrame({"rmse": [[20, 19, 21], [12, 12.5, 13]], "accuracy": [[0.4, 0.42, 0.44], []]}, ["mean", "net"])
LADDER["published"] = [[None, None], [14.9, 0.722]]
CONV = {"picture": (3, 50, 40), "filters": (16, 4), "hidden": (64,), "outputs": 5, "activation": "leaky_relu"}
CONV |= {"output_activation": "softmax", "loss": "nll"}
SEEN = (
    RNG.integers(0, 256, (3, 8, 6)).astype(np.uint8),
    RNG.normal(0, 1, (9, 3, 3, 3)),
    {"b": RNG.normal(0, 1, (2, 4, 3))},
)
SOURCES = {"recorded on UTKFace": trained("abcd"), "this run": trained("bd")}  # the first panel is empty in one
COUNTS = np.array([[50, 50, 0], [1, 3, 0], [0, 0, 0]])
SHARES = RNG.dirichlet(np.ones(5), 5)
STARTS = {
    "zero": [[np.zeros((4, 3)), np.zeros(2)]] * 2,
    "random": [[RNG.normal(0, s, (40, 6)), RNG.normal(1, 7, 90)] for s in (0.1, 2)],
}
FILTERS = {"some": np.array([[1, 2], [0, 3]]), "all": np.ones((3, 3), int), "edge": np.array([[-1, 1], [-1, 1]])}
LEARNED = {"start": np.array([[0.3, -0.1], [0.0, 0.2]]), "learned": np.array([[1.0, -1.0], [0.9, -1.2]])}


def maps():
    face = np.random.default_rng(5).integers(0, 256, (12, 10)).astype(np.uint8)
    found = [RNG.integers(0, 2000, face.shape) for _ in FILTERS]
    return face, FILTERS, found, [m[::4, ::5] for m in found]


# each figure, and what its axes must be labelled with
MAKERS = {
    "label_distributions": (lambda: show.label_distributions(labels(), True), "age.*years|race", "faces"),
    "scree": (lambda: show.scree([0.5, 0.2, 0.1], [0.4, 0.3]), "component", "%"),
    "activations": (
        lambda: show.activations({k: ACTIVATIONS[k] for k in ("leaky_relu", "sigmoid", "tanh")}),
        "z",
        r"f'?\(z\)",
    ),
    "loss": (lambda: show.training_curves({"here": trained(NETWORKS)}, NETWORKS, best=True), "epoch", "loss"),
    "rmse": (lambda: show.training_curves(SOURCES, NETWORKS, "rmse", columns=3, since=2), "epoch", "RMSE.*years"),
    "accuracy": (
        lambda: show.training_curves({"this run": trained("a")}, {"a": "A"}, "accuracy", columns=1),
        "epoch",
        "accuracy",
    ),
    "spreads": (lambda: show.layer_spreads(STARTS, ["one", "two"], ["outputs", "dL/dW"]), "layer", "deviation"),
    "forest": (lambda: show.forest(COMPARED), "years|points", ""),
    "forest of one": (lambda: show.forest(COMPARED[2:3]), "points", ""),
    "learning_curve": (lambda: show.learning_curve(SIZES, "RMSE (years)"), "training faces", "years"),
    "probabilities": (lambda: show.probabilities(FACES[:3], SHARES[:3], show.RACES, "abc"), "probability", ""),
    "confusion": (lambda: show.confusion({"a": (COUNTS, "xyz"), "b": (COUNTS.T, "xyz")}), "predicted", "label"),
    "learning_rates": (lambda: show.learning_rates(SCHEDULES, 20), "epoch", "learning rate"),
    "predicted_against_true": (lambda: show.predicted_against_true(TRUE, PREDICTED), "age.*years", "age.*years"),
    "by_group": (lambda: show.by_group(GROUPS, "RMSE (years)", 7.0), "age decade|gender label", "RMSE.*years"),
    "limited": (lambda: show.by_group(GROUPS, "RMSE (years)", 7.0, 4.0), "age decade|gender label", "RMSE.*years"),
    "models": (lambda: show.by_group_and_model(MODELS, "RMSE (years)", 4.0), "age decade|gender label", "RMSE.*years"),
    "ladder": (lambda: show.ladder(LADDER), "years|%", ""),
    "learned_filter": (lambda: show.learned_filter([3, 2, 0.1], LEARNED), "step", "loss"),
    # pictures, without axes
    "conv_layers": (lambda: show.conv_layers(CONV), None, None),
    "filters_and_maps": (lambda: show.filters_and_maps(*SEEN), None, None),
    "face_sheet": (lambda: show.face_sheet(FACES, list("abcde"), columns=4, scale=1.9), None, None),
    "eigenfaces": (lambda: show.eigenfaces(RNG.normal(size=(3, 48)), [0.5, 0.3, 0.1], columns=4), None, None),
    "face_maps": (lambda: show.face_maps(*maps()), None, None),
    "small_pictures": (lambda: show.small_pictures(RNG.normal(size=(8, 4, 4)), list("abcdefgh")), None, None),
}
SERIES = {
    "label_distributions": [f"{g} ({n})" for g, n in zip(show.GENDERS, np.bincount(labels()["gender"]), strict=True)],
    "scree": ["this run", "recorded on UTKFace"],
    "activations": ["leaky_relu", "sigmoid", "tanh"],
    "loss": ["training", "validation", "best epoch (median)"],
    "rmse": ["training", "validation"],
    "accuracy": ["training", "validation"],
    "spreads": ["zero: all 0", "random"],
    "models": ["one", "other", "the labels' limit"],
    "ladder": ["a fold", "mean, 95 % interval", "published"],
    "forest": ["called the same", "a fold", "mean, 95 % interval", "published"],
    "forest of one": ["called the same", "a fold", "mean, 95 % interval"],
    "learning_curve": list(SIZES),
    "learning_rates": list(SCHEDULES),
    "predicted_against_true": ["a face", "predicted = true", "mean of a decade"],
    "by_group": ["all test faces"],
    "limited": ["all test faces", "the labels' limit"],
}
every_figure = pytest.mark.parametrize("name", MAKERS)


# -- reading a figure -------------------------------------------------------------------------------------------------


@cache
def drawn(name):
    figure = MAKERS[name][0]()
    figure.draw_without_rendering()
    return figure


def panels_of(figure):
    return [ax for ax in figure.axes if ax.axison and ax.get_visible()]


def text_of(axis):
    return [label.get_text() for label in axis.get_ticklabels() if label.get_visible()]


def label_of(ax, which):
    """Return an axis' label: its own, or the one in its column, or the one in its row if that has the same scale."""
    place, column = ax.get_subplotspec(), which == "x"
    for other in (ax, *panels_of(ax.figure)):
        at = other.get_subplotspec()
        aligned = at.colspan == place.colspan if column else at.rowspan == place.rowspan
        alike = column or other.get_ylim() == ax.get_ylim()
        if aligned and alike and getattr(other, f"get_{which}label")():
            return getattr(other, f"get_{which}label")()
    return ""


def look(handle):
    """Return colour, and marker and line style, of what a legend names."""
    handle = handle[0] if isinstance(handle, tuple) else handle  # bars, or a line with error bars
    if isinstance(handle, plt.Line2D):
        return to_hex(handle.get_color()), (handle.get_marker(), handle.get_linestyle())
    if isinstance(handle, Rectangle):
        return to_hex(handle.get_facecolor()), Rectangle
    return to_hex((handle.get_edgecolor() if isinstance(handle, LineCollection) else handle.get_facecolor())[0]), None


def luminance(colour):
    c = np.array(to_rgb(colour))
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]


def contrast(one, other):
    dark, light = sorted([luminance(one), luminance(other)])
    return (light + 0.05) / (dark + 0.05)


def errors(container):
    """Return the lower and upper ends of error bars, (n, 2); NaN where none is drawn."""
    along = 0 if container.has_xerr else 1
    return np.array([s[:, along] if len(s) == 2 else (NAN, NAN) for s in container[2][0].get_segments()])


# -- all figures ------------------------------------------------------------------------------------------------------


@every_figure
def test_axes_are_labelled(name):
    figure, (_, x, y) = drawn(name), MAKERS[name]
    assert bool(panels_of(figure)) == (x is not None)
    for ax in panels_of(figure):
        assert ax.has_data()
        for axis, which, pattern in ((ax.xaxis, "x", x), (ax.yaxis, "y", y)):
            ticks, label = text_of(axis), label_of(ax, which)
            if pattern and (label or ticks):
                assert re.search(pattern, label), (which, label)
            else:  # names or nothing stand beside it
                assert all(re.search("[A-Za-z]|^$", text) for text in ticks), (which, ticks)


@every_figure
def test_nothing_is_covered_or_cut_off(name):
    figure = drawn(name)
    canvas = figure.bbox.padded(1)
    boxes = [ax.get_tightbbox() for ax in figure.axes if ax.axison or ax.has_data() or ax.texts]
    for box in boxes:  # with title, labels, and legend if any
        assert canvas.contains(*box.min), (name, box)
        assert canvas.contains(*box.max), (name, box)
    for one, other in combinations(boxes, 2):
        assert not one.padded(-1).overlaps(other.padded(-1))
    assert all(ax.get_legend() is None for ax in figure.axes)  # in the panel it would lie on data of some shape
    for legend in figure.legends:
        box = legend.get_window_extent()
        assert canvas.contains(*box.min)
        assert canvas.contains(*box.max)
        assert not any(box.padded(-1).overlaps(other) for other in boxes)


@every_figure
def test_legends_name_every_series_and_series_differ(name):
    figure = drawn(name)
    legend = {}
    for found in figure.legends:
        texts = [text.get_text() for text in found.get_texts()]
        assert len(set(texts)) == len(texts)
        legend = dict(zip(texts, map(look, found.legend_handles), strict=True))
    named = set()
    for ax in figure.axes:
        handles, names = ax.get_legend_handles_labels()
        series = dict(zip(names, map(look, handles), strict=True))
        named |= set(names)
        for (a, style_a), (b, style_b) in combinations(series.values(), 2):
            assert style_a != style_b or (a != b and contrast(a, b) > 1.2)
        colours = [colour for colour, _ in series.values()]
        assert len(set(colours)) == len(colours)
        for text, (colour, _) in series.items():
            assert legend[text][0] == colour
    assert named == set(legend) == set(SERIES.get(name, []))


# -- numbers drawn -----------------------------------------------------------------------------------------------------


def test_face_sheet_holds_the_faces_in_order():
    axes = show.face_sheet(FACES, [f"face {i}" for i in range(5)], columns=4).axes
    assert len(axes) == 8
    for ax, face in zip(axes, FACES, strict=False):
        assert ax.images[0].get_array().tolist() == face.reshape(6, 6, 3).tolist()
    assert [ax.get_title() for ax in axes] == [*(f"face {i}" for i in range(5)), "", "", ""]
    assert not any(ax.images for ax in axes[5:])


def test_rebuilt_faces_are_rounded_and_clipped():
    (ax,) = show.face_sheet(np.array([[-3.0, 0.6, 254.6] * 4]), columns=1).axes
    assert ax.images[0].get_array()[0, 0].tolist() == [0, 1, 255]
    (ax,) = show.face_sheet(np.array([[300.0, 127.4, 255] * 4]), columns=1).axes
    assert ax.images[0].get_array()[1, 1].tolist() == [255, 127, 255]


def test_eigenfaces_are_grey_at_0_and_reach_black_or_white():
    components = np.array([[0.0, 0.5, -0.25, 0.125] * 3, [0.0, 0.01, -0.02, 0.0] * 3, [1.0] * 12])
    figure = show.eigenfaces(components, [0.5, 0.25, 0.1], n=2, columns=2)
    pixels = [ax.images[0].get_array().ravel().tolist()[:4] for ax in figure.axes]
    assert pixels == [[128, 255, 64, 159], [128, 191, 0, 128]]
    assert [ax.get_title() for ax in figure.axes] == ["1: 50.0 %", "2: 25.0 %"]


@pytest.mark.parametrize("oldest", [0, 4, 5, 114, 115, 116])
def test_label_distributions_count_every_face(oldest):
    made = labels(oldest=oldest) if oldest else pd.DataFrame({"age": [0], "gender": [1], "race": [2]})
    left, right = show.label_distributions(made, is_standin=False).axes
    for code, bars in enumerate(left.containers):
        counted = np.bincount(made.loc[made["gender"] == code, "age"] // 5, minlength=oldest // 5 + 1)
        assert [bar.get_height() for bar in bars] == counted.tolist()
    race = [int((made["race"] == code).sum()) for code in range(5)]
    assert [bar.get_height() for bar in right.containers[0]] == race
    shares = [f"{n / len(made):.1%}".replace("%", " %") if n else "-" for n in race]
    assert [text.get_text() for text in right.texts] == shares
    assert text_of(right.xaxis) == ["White", "Black", "Asian", "Indian", "Others"]


def test_the_standins_races_have_no_names():
    assert show.race_names(True) == ("class 0", "class 1", "class 2", "class 3", "class 4")
    assert text_of(drawn("label_distributions").axes[1].xaxis) == list(show.race_names(True))


def test_scree_draws_each_share_and_the_sums():
    left, right = show.scree([0.5, 0.2, 0.1, 0.05], [0.4, 0.3], marks=(2, 4, 8)).axes
    assert [line.get_ydata().tolist() for line in left.lines] == [[50, 20, 10, 5], [40, 30]]
    assert right.lines[0].get_ydata() == pytest.approx([50, 70, 80, 85])
    assert right.lines[1].get_ydata() == pytest.approx([40, 70])
    assert [text.get_text() for text in right.texts] == ["2: 70.0 %", "4: 85.0 %"]


def test_activations_and_their_derivatives():
    functions = {name: ACTIVATIONS[name] for name in ("leaky_relu", "sigmoid", "tanh")}
    left, right = show.activations(functions).axes
    z = left.lines[0].get_xdata()
    assert (z.min(), z.max()) == (-3, 3)
    s = 1 / (1 + np.exp(-z))
    outputs = [np.where(z > 0, z, z / 100), s, np.tanh(z)]
    slopes = [np.where(z > 0, 1, 0.01), s * (1 - s), 1 / np.cosh(z) ** 2]
    for name, f, slope, a, b in zip(functions, left.lines, right.lines, outputs, slopes, strict=True):
        assert (f.get_label(), look(f)) == (name, look(slope))
        assert f.get_ydata() == pytest.approx(a)
        assert slope.get_xdata().tolist() == z.tolist()
        drawn = np.isfinite(slope.get_ydata())  # no line across a jump
        assert np.flatnonzero(~drawn).tolist() == ([301] if name == "leaky_relu" else [])
        assert slope.get_ydata()[drawn] == pytest.approx(b[drawn])


@pytest.mark.parametrize(
    ("curve", "kinds", "change"),
    [
        ("loss", ("train_loss", "validation_loss"), np.array),
        ("rmse", ("train_metric", "validation_metric"), np.array),
        ("accuracy", ("train_metric", "validation_metric"), np.array),
    ],
)
@pytest.mark.parametrize(("seeds", "names", "columns"), [(1, ["c"], 1), (3, ["a", "c", "b", "d"], 3)])
def test_training_curves_are_mean_lowest_and_highest_of_the_seeds(curve, kinds, change, seeds, names, columns):
    found = trained(NETWORKS, seeds)
    figure = show.training_curves({"here": found}, {n: NETWORKS[n] for n in names}, curve, best=True, columns=columns)
    panels = panels_of(figure)
    assert [ax.get_title().replace("\n", " ") for ax in panels] == [NETWORKS[name] for name in names]
    assert max(len(line) for ax in panels for line in ax.get_title().split("\n")) <= 30
    for ax, name in zip(panels, names, strict=True):
        runs = found["experiments"][name]["runs"]
        for line, band, kind, label in zip(ax.lines, ax.collections, kinds, ("training", "validation"), strict=False):
            values = np.array([change(run["curves"][kind]) for run in runs])
            assert line.get_label() == label
            assert line.get_xdata().tolist() == [1, 2, 5, 20]
            assert line.get_ydata() == pytest.approx(values.mean(axis=0))
            assert isinstance(band, PolyCollection)
            assert to_hex(band.get_facecolor()[0]) == look(line)[0]
            edge = band.get_paths()[0].vertices
            for epoch, low, high in zip([1, 2, 5, 20], values.min(axis=0), values.max(axis=0), strict=True):
                at = edge[edge[:, 0] == epoch, 1]
                assert (at.min(), at.max()) == pytest.approx((low, high))
        assert ax.lines[2].get_xdata()[0] == pytest.approx(np.median([run["best_epoch"] for run in runs]))
        assert ax.get_xscale() == "log"
    for row in range(len(panels) // columns):
        assert len({ax.get_ylim() for ax in panels[row * columns :][:columns]}) == 1


def test_sources_are_rows_and_what_one_lacks_is_empty():
    figure = drawn("rmse")
    panels = np.reshape(figure.axes, (2, 2, 3))
    for (source, results), rows in zip(SOURCES.items(), panels, strict=True):
        for ax, name in zip(rows.flat, [*"abcd", None, None], strict=True):
            assert ax.axison == (name in results["experiments"]) == bool(ax.lines)
            if ax.axison:
                runs = results["experiments"][name]["runs"]
                known = np.mean([run["curves"]["validation_metric"] for run in runs], axis=0)
                assert ax.lines[1].get_xydata() == pytest.approx(np.column_stack([[2, 5, 20], known[1:]]))
        for row in rows:
            first = next(ax for ax in row if ax.axison)  # it has the label, and numbers
            assert [ax.get_ylabel() for ax in row if ax.get_ylabel()] == [f"{source}\nRMSE (years)"]
            assert first.get_ylabel()
            assert any(text_of(first.yaxis))
    with pytest.raises(ValueError, match="sources must hold one of e, f at least"):
        show.training_curves(SOURCES, {"e": "E", "f": "F"})


def test_comparisons_stand_beside_their_questions():
    figure = drawn("forest")
    for ax, metric, same in zip(figure.axes, ("rmse", "accuracy"), (0.1, 0.5), strict=True):
        table = COMPARED[COMPARED["metric"] == metric]
        row = dict(zip(text_of(ax.yaxis), ax.get_yticks(), strict=True))
        assert sorted(row, key=row.get, reverse=True) == list(table.index)  # the first on top
        (bars,) = ax.containers
        assert bars[0].get_xdata().tolist() == table["mean"].tolist()
        assert bars[0].get_ydata().tolist() == [row[question] for question in table.index]
        np.testing.assert_allclose(errors(bars), table[["low", "high"]])
        dots = [line for line in ax.lines if line.get_label() == "a fold"]
        assert [line.get_xdata().tolist() for line in dots] == table["folds"].tolist()
        for line, question in zip(dots, table.index, strict=True):
            assert all(0 < row[question] - y < 0.5 for y in line.get_ydata())  # below their mean, above the next
        published = [line for line in ax.lines if line.get_label() == "published"]
        assert len(published) == (metric == "rmse")  # none of accuracy is
        for line in published:
            np.testing.assert_array_equal(line.get_xdata(), table["published"])
            assert line.get_fillstyle() == "none"
        band = next(patch for patch in ax.patches if patch.get_label() == "called the same")
        assert band.get_extents().transformed(ax.transData.inverted()).intervalx == pytest.approx([-same, same])
        (beside,) = ax.child_axes
        told = dict(zip(beside.get_yticks(), text_of(beside.yaxis), strict=True))
        for question, differs in table["else_differs"].items():
            assert differs.startswith(told[row[question]].removesuffix(" [...]"))
        assert ("left is better" in ax.get_xlabel()) == (metric == "rmse")
    (alone,) = drawn("forest of one").axes
    assert figure.axes[1].get_xlabel() == alone.get_xlabel()[:-1] + "; logarithmic beyond 4)"  # which it does not reach


def test_the_noise_of_the_labels_is_drawn_across():
    for ax in drawn("limited").axes:
        across = {line.get_linestyle(): line.get_ydata() for line in ax.lines if len(line.get_ydata()) == 2}
        assert (across["--"], across[":"]) == ([7, 7], [4, 4])


def test_learning_curve():
    (ax,) = show.learning_curve(SIZES, "RMSE").axes
    for bars, (name, table) in zip(ax.containers, SIZES.items(), strict=True):
        assert bars.get_label() == name
        assert bars[0].get_xdata().tolist() == table.index.tolist()
        assert bars[0].get_ydata().tolist() == table["mean"].tolist()
        np.testing.assert_allclose(errors(bars), table[["low", "high"]])  # one seed has no interval
    assert text_of(ax.xaxis) == ["500", "1,000", "2,000", "8,000"]
    assert ax.get_xscale() == "log"


def test_standard_deviations_stand_at_their_layers():
    axes = show.layer_spreads(STARTS, ["one", "two"], ["outputs", "dL/dW"]).axes
    for panel, ax in enumerate(axes):
        zero, drawn = (line.get_ydata() for line in ax.lines)
        assert np.isnan(zero).all()
        assert drawn == pytest.approx([np.std(array) for array in STARTS["random"][panel]])
        assert text_of(ax.xaxis) == ["one", "two"]
        assert ax.get_yscale() == "log"
    assert [ax.get_title() for ax in axes] == ["outputs", "dL/dW"]


@pytest.mark.parametrize("n", [1, 3, 4])
def test_probabilities_stand_beside_their_face(n):
    figure = show.probabilities(FACES[:n], SHARES[:n], show.RACES, [f"face {i}" for i in range(n)])
    for i, (face, bars) in enumerate(zip(figure.axes[: 2 * n : 2], figure.axes[1 : 2 * n : 2], strict=True)):
        assert face.images[0].get_array().tolist() == FACES[i].reshape(6, 6, 3).tolist()
        row = dict(zip(text_of(bars.yaxis), bars.get_yticks(), strict=True))
        drawn_at = {bar.get_y() + bar.get_height() / 2: bar.get_width() for bar in bars.patches}
        assert {name: drawn_at[y] for name, y in row.items()} == dict(zip(show.RACES, SHARES[i], strict=True))
        assert bars.get_title() == f"face {i}"
    assert len(panels_of(figure)) == n


def test_confusion_is_in_per_cent_of_each_label():
    (ax,) = show.confusion({"here": (COUNTS, ["cat", "dog", "owl"])}).axes
    share = [[50, 50, 0], [25, 75, 0], [0, 0, 0]]  # of a label without faces, too
    assert ax.images[0].get_array().tolist() == share
    written = {(round(t.get_position()[1]), round(t.get_position()[0])): t.get_text() for t in ax.texts}
    assert written == {(i, j): f"{share[i][j]}" if i < 2 else "-" for i, j in np.ndindex(3, 3)}
    assert text_of(ax.xaxis) == ["cat", "dog", "owl"]
    assert text_of(ax.yaxis) == ["cat (100)", "dog (4)", "owl (0)"]


def test_numbers_on_colours_can_be_read():
    many = np.zeros((21, 21), int)
    many[:, 0], many[:, 1] = np.arange(0, 101, 5), np.arange(100, -1, -5)
    found = [show.confusion({"a": (many, ["x"] * len(many))}), show.learned_filter([1], LEARNED)]
    for ax in (ax for figure in found for ax in figure.axes if ax.images):
        (image,) = ax.images
        for text in ax.texts:
            column, row = map(round, text.get_position())
            behind = image.cmap(image.norm(image.get_array()[row, column]))
            assert contrast(text.get_color(), behind) >= 4.4


def test_learning_rates_by_epoch():
    (ax,) = show.learning_rates(SCHEDULES, 20).axes
    rates = {line.get_label(): line.get_ydata() for line in ax.lines}
    assert rates["step"][[0, 4, 5]].tolist() == [3e-4, 3e-4, 1.5e-4]
    assert ax.lines[0].get_xdata().tolist() == list(range(1, 21))


def test_predictions_against_the_true_age():
    (ax,) = show.predicted_against_true(TRUE, PREDICTED).axes
    assert ax.collections[0].get_offsets().tolist() == np.column_stack([TRUE, PREDICTED]).tolist()
    equal, means = ax.lines
    assert equal.get_xdata().tolist() == equal.get_ydata().tolist()
    assert equal.get_xdata()[1] >= max(TRUE.max(), PREDICTED.max())
    decades = {14.5: PREDICTED[:10].mean(), 42.5: PREDICTED[10:16].mean()}  # the only face of 80 is no mean
    assert dict(zip(*means.get_data(), strict=True)) == pytest.approx(decades)
    assert ax.get_aspect() == 1


def test_groups_are_bars_with_their_intervals():
    one = pd.DataFrame({"n": [1], "value": [6.0], "low": [NAN], "high": [NAN]}, index=["race"])
    groups = {**GROUPS, "race label": one}
    figure = show.by_group(groups, "test accuracy", 7.25)
    for ax, (name, table) in zip(figure.axes, groups.items(), strict=True):
        bars, error_bars = ax.containers
        assert [bar.get_height() for bar in bars] == table["value"].tolist()
        np.testing.assert_allclose(errors(error_bars), table[["low", "high"]])
        assert text_of(ax.xaxis) == [f"{group}\n{int(n):,}" for group, n in table["n"].items()]
        assert ax.get_xlabel() == f"{name} / test faces"
        assert [found.get_ydata() for found in ax.lines if found.get_linestyle() == "--"] == [[7.25, 7.25]]
    assert len({ax.get_ylim() for ax in figure.axes}) == 1


def test_face_maps_are_a_row_for_each_filter():
    face, filters, outputs, pooled = maps()
    figure = show.face_maps(face, filters, outputs, pooled, crop=(slice(2, 7), slice(3, 9)))
    axes = {ax.get_label(): ax for ax in figure.axes}
    images = {at: ax.images[0].get_array() for at, ax in axes.items() if ax.images}
    assert images["face"].tolist() == face.tolist()
    (frame,) = axes["face"].patches
    assert frame.get_bbox().bounds == (2.5, 1.5, 6, 5)
    for i, (name, f) in enumerate(filters.items()):
        assert axes[f"f{i}"].texts[0].get_text().split() == [name, *(str(number) for number in f.ravel())]
        assert images[f"m{i}"].tolist() == outputs[i].tolist()
        assert images[f"p{i}"].tolist() == pooled[i].tolist()
        change = outputs[i] / f.sum() - face.astype(float) if f.sum() else outputs[i]
        np.testing.assert_allclose(images[f"c{i}"], change[2:7, 3:9])
        low, high = axes[f"c{i}"].images[0].get_clim()
        assert low == -high < 0  # no change is white
    titles = [axes[at].get_title() for at in ("face", "m0", "m1", "p0", "p1")]
    assert titles == ["face, 12x10", "output, 12x10", "output", "max pooled, 3x2", "max pooled"]
    assert [axes[f"c{i}"].get_title().split(":")[0] for i in (0, 2)] == ["output / sum - face", "output"]


def test_small_pictures_and_filters_share_their_colours():
    pictures = RNG.normal(size=(3, 4, 4))
    small = show.small_pictures(pictures, [f"t = {i}" for i in range(50)]).axes
    loss, *panels = show.learned_filter([4.0, 2.0, 0.5], LEARNED).axes
    assert [ax.images[0].get_array().tolist() for ax in small] == pictures.tolist()
    assert [ax.get_title() for ax in small] == ["t = 0", "t = 1", "t = 2"]
    assert loss.lines[0].get_xydata().tolist() == [[0, 4], [1, 2], [2, 0.5]]
    for ax, (title, f) in zip(panels, LEARNED.items(), strict=True):
        assert ax.images[0].get_array().tolist() == f.tolist()
        assert [text.get_text() for text in ax.texts] == [f"{number:+.2f}" for number in f.ravel()]
        assert ax.get_title() == title
    for group in (small, panels):
        assert len({ax.images[0].get_clim() for ax in group}) == 1
    assert sum(panels[0].images[0].get_clim()) == 0  # 0 is white


def test_a_convolutional_network_is_drawn_with_the_shapes_of_its_layers():
    """As ``ConvNetwork`` has them: their product with the weights must work out."""
    (ax,) = show.conv_layers(CONV).axes
    sizes = [text.get_text() for text in ax.texts if re.match(r"[\d,]+( x|$)", text.get_text())]
    assert sizes == ["3 x 50x40", "16 x 25x20", "4 x 12x10", "480", "64", "5"]
    net = ConvNetwork(CONV)
    assert net.head.weights[0].shape == (480, 64)
    sheets = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    assert len(sheets) == 3 + 8 + 4 + 3


def test_filters_are_grey_where_they_are_zero_and_on_one_scale():
    picture, filters, maps = SEEN
    filters = filters.copy()
    filters[0] = 0
    axes = np.reshape(show.filters_and_maps(picture, filters, maps).axes, (2, 9))
    drawn = [np.asarray(ax.images[0].get_array()) for ax in axes[0, 1:]]
    assert np.all(drawn[0] == 0.5)
    shown = np.moveaxis([2 * image - 1 for image in drawn], -1, 1)
    assert shown == pytest.approx(filters[:8] / np.abs(filters).max())
    assert np.array_equal(axes[1, 2].images[0].get_array(), maps["b"][1])
    assert not any(ax.images for ax in axes[1, 3:])


def test_the_ladder_draws_folds_intervals_and_what_is_published():
    rmse, accuracy = show.ladder(LADDER).axes
    lines = {line.get_label(): line for line in rmse.lines}
    assert lines["published"].get_xydata().tolist() == [[14.9, 0.27]]
    dots = [line for line in accuracy.lines if len(line.get_xdata()) == 3]
    assert np.concatenate([d.get_xdata() for d in dots]) == pytest.approx([40, 42, 44])
    middles = [bar.lines[0].get_xydata()[0].tolist() for bar in rmse.containers]
    assert middles == [[20, 1], [12.5, 0]]
    assert [label.get_text() for label in rmse.get_yticklabels()] == ["mean", "net"]


def test_models_stand_beside_each_other_in_each_group():
    first, _ = show.by_group_and_model(MODELS, "RMSE (years)", 4.0).axes
    one, other = (bar.lines[0].get_xydata() for bar in first.containers)
    assert one[:, 1] == pytest.approx(GROUPS["age decade"]["value"])
    assert np.all(other[:, 1] == 6)
    assert np.all((other[:, 0] - one[:, 0] > 0.2) & (other[:, 0] - one[:, 0] < 0.5))
    assert [label.get_text() for label in first.get_xticklabels()] == ["0\n1,000", "10\n1,001", "20\n1,002"]
