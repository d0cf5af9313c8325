"""What a cell shows: one picture and its caption."""

import base64
import io
import json
import re
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hw1lib import show
from hw1lib.show import display


@pytest.mark.parametrize(
    ("image", "kind"),
    [(np.arange(108), "jpeg"), (np.eye(9), "png")],
    ids=["face", "grey"],  # the second is no photograph
)
def test_a_figure_is_shown_once_with_its_caption(displayed, image, kind):
    plt.figure()
    others = plt.get_fignums()
    show.figure(show.face_sheet([image], ["3 y"], columns=1), "Fig. 2.3: x: *y*.")
    assert plt.get_fignums() == others
    ((bundle,), how), ((below,), _) = displayed
    assert how == {"raw": True, "metadata": {f"image/{kind}": {"alt": "3 y"}}}
    assert below.data == "**Fig. 2.3:** x: *y*."
    assert Image.open(io.BytesIO(base64.b64decode(bundle[f"image/{kind}"]))).format == kind.upper()


def test_a_figure_is_told_by_its_panels_axes_and_lines():
    figure, (left, right, picture) = plt.subplots(1, 3)
    left.set(title="zero", xlabel="epoch", ylabel="loss")
    left.plot([300, 200, 120.04], label="training")
    left.plot([1, 2])  # a guide, without a name
    left.plot([5, 4], ".", label="a fold")  # leads nowhere
    right.set_xlabel("age")
    picture.imshow([[0]])
    picture.axis("off")
    panels = "zero, loss against epoch, training from 300 to 120; age; a picture without axes"
    assert display.described(figure) == f"3 panels: {panels}"
    names, ax = plt.subplots()
    ax.plot([1, 2], ["low", "high"], label="gain")  # names have places
    assert display.described(names) == "gain from 0 to 1"
    empty = plt.figure()
    assert display.described(empty) == "a drawing"
    empty.add_axes((0, 0, 1, 1)).text(0, 0, "max")
    assert display.described(empty) == "a drawing with the words: max"


def test_the_style_leaves_nothing_of_a_matplotlibrc():
    """LaTeX that is not installed, a font that is not there: both would break every figure."""
    plt.rcParams.update({"text.usetex": True, "font.family": "No Such", "axes.facecolor": "red"})
    show.use_style()
    assert not plt.rcParams["text.usetex"]
    assert plt.rcParams["font.family"] == ["sans-serif"]
    assert plt.rcParams["axes.facecolor"] == "white"


@pytest.mark.parametrize("name", ["network", "question3"])
def test_a_drawing_is_shown_with_its_caption(displayed, name):
    show.drawing(name, "Fig. 2.2: *layers*")
    ((bundle,), how), ((below,), _) = displayed
    root = ElementTree.fromstring(bundle["image/svg+xml"])
    assert how["metadata"] == {"image/svg+xml": {"alt": root.findtext("{*}title")}}
    assert below.data == "**Fig. 2.2:** *layers*"
    assert root.find("{*}rect").get("fill") == "#ffffff"  # dark letters are on white everywhere


def test_tables_are_shown_with_their_captions(displayed):
    tables = [show.table([[1, None]], "one", {(0, 0): "wrong"}), show.table([["<2>"]])]
    show.side_by_side("Table 3.1: two.", *tables)
    frame = pd.DataFrame({"a": [1]})
    show.captioned(frame, "Table 2.6: RMSE: *years*.")
    ((html, below), _), ((shown, under), _) = displayed
    assert below.data == "**Table 3.1:** two."
    assert re.findall("<td.*?>(.*?)</td>", html.data) == ["<b>1</b>", "&nbsp;", "&lt;2&gt;"]
    assert html.data.count("<caption") == 1
    assert shown is frame
    assert under.data == "**Table 2.6:** RMSE: *years*."


def test_steps_hold_every_state_and_some_stand_still(displayed):
    states = [f'<b class="n{a}">{a}</b> &lt; <i>{b}</i></script>' for a in range(2) for b in "xyz"]
    show.steps(states, {"first": (10, 20), "second": "xyz"}, "Steps: *six*.", still=[4, 0])
    (((html, below), _),) = displayed
    assert below.data == "**Steps:** *six*."
    still, _, rest = html.data.partition('<script type="application/json">')
    data, _, script = rest.partition("</script>")
    assert "<" not in data
    stored = json.loads(data)
    pieces = stored["pieces"]
    assert ["".join(pieces[i] for i in state) for state in stored["states"]] == states
    places = [["first", ["10", "20"], 1], ["second", ["x", "y", "z"], 1]]  # begin at the first
    assert stored["sliders"] == places
    assert (display.ASSETS / "steps.js").read_text() in script
    assert [states[i] in still for i in range(6)] == [True, False, False, False, True, False]
    assert still.index(states[4]) < still.index(states[0])
