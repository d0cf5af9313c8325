"""What a cell shows: one picture and its caption."""

import io
import json
import re
from xml.etree import ElementTree

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hw1lib import show
from hw1lib.nn.schedules import Constant
from hw1lib.show import display

FACE = np.random.default_rng(0).integers(0, 256, (1, 6 * 6 * 3))


@pytest.fixture
def displayed(monkeypatch):
    found = []
    monkeypatch.setattr(display, "display", lambda *what, **how: found.append((what, how)))
    return found


@pytest.mark.parametrize(
    ("caption", "markdown"),
    [("Fig. 2.3: x: *y*.", "**Fig. 2.3:** x: *y*."), ("No number.", "**No number.**")],
    ids=["figure", "bare"],
)
@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda: show.face_sheet(FACE, ["3 y"], columns=1), "jpeg"),
        (lambda: show.probabilities(FACE, [[0.1, 0.2, 0.3, 0.2, 0.2]], show.RACES, "a"), "jpeg"),
        (lambda: show.confusion({"a": ([[3, 1], [0, 2]], "xy")}), "png"),  # an image, but of colours for numbers
        (lambda: show.learning_rates({"a": Constant(0.1)}, 3), "png"),
    ],
    ids=["faces", "probabilities", "confusion", "rates"],
)
def test_a_figure_is_shown_once_with_its_caption(displayed, make, kind, caption, markdown):
    figure = make()
    alt = display.described(figure)
    show.figure(figure, caption)
    assert not plt.get_fignums()
    ((bundle,), how), ((below,), _) = displayed
    assert how == {"raw": True, "metadata": {f"image/{kind}": {"alt": alt}}}
    assert below.data == markdown
    image = Image.open(io.BytesIO(bundle.pop(f"image/{kind}")))
    assert not bundle
    assert image.format == kind.upper()
    assert image.size == pytest.approx(figure.get_size_inches() * mpl.rcParams["savefig.dpi"], abs=1)
    assert len(np.unique(np.asarray(image))) > 10


def test_a_figure_is_told_by_its_panels_axes_and_lines():
    figure, (left, right, picture) = plt.subplots(1, 3)
    left.set(title="zero", xlabel="epoch", ylabel="loss")
    left.plot([300, 200, 120.04], label="training")
    left.plot([1, 2])  # a guide, without a name
    right.set_xlabel("age")
    picture.imshow([[0]])
    picture.axis("off")
    expected = "3 panels: zero, loss against epoch, training from 300 to 120; age; a picture without axes"
    assert display.described(figure) == expected
    plt.close(figure)
    assert display.described(plt.figure()) == "a drawing"
    plt.close()


def test_picture_closes_only_its_own_figure():
    figure, other = plt.figure(), plt.figure()
    kind, content = show.picture(figure)
    assert (kind, content[1:4]) == ("png", b"PNG")
    assert plt.get_fignums() == [other.number]


@pytest.mark.parametrize("name", ["network", "question3"])
def test_a_drawing_is_shown_with_its_caption(displayed, name):
    show.drawing(name, "Fig. 2.2: *layers*")
    ((bundle,), how), ((below,), _) = displayed
    assert how == {
        "raw": True,
        "metadata": {"image/svg+xml": {"alt": ElementTree.fromstring(bundle["image/svg+xml"]).findtext("{*}title")}},
    }
    assert below.data == "**Fig. 2.2:** *layers*"
    root = ElementTree.fromstring(bundle["image/svg+xml"])  # nothing in it is loaded from elsewhere
    assert not [value for node in root.iter() for key, value in node.items() if "href" in key or "http" in value]


def test_tables_are_shown_beside_each_other_with_a_caption(displayed):
    tables = [show.table([[1, None]], "one", {(0, 0): "wrong"}, compact=True), show.table([[2]], block=1)]
    show.side_by_side("Table 3.1: two.", *tables)
    (((html, below), _),) = displayed
    assert below.data == "**Table 3.1:** two."
    assert html.data.index(tables[0]) < html.data.index(tables[1])
    assert re.findall("<td.*?>(.*?)</td>", html.data) == ["<b>1</b>", "&nbsp;", "2"]
    assert html.data.count("<caption") == 1


def test_steps_hold_every_state_and_some_stand_still(displayed):
    states = [f'<b class="n{a}">{a}</b> &lt; <i>{b}</i></script>' for a in range(2) for b in "xyz"]
    show.steps(states, {"first": (10, 20), "second": "xyz"}, "Steps: *six*.", still=[4, 0])
    (((html, below), _),) = displayed
    assert below.data == "**Steps:** *six*."
    data, script = re.findall("<script.*?>(.*?)</script>", html.data.partition(states[0])[2], re.DOTALL)
    assert "<" not in data
    kept = json.loads(data)
    assert ["".join(kept["pieces"][i] for i in state) for state in kept["states"]] == states
    assert kept["sliders"] == [["first", ["10", "20"], 1], ["second", ["x", "y", "z"], 1]]  # at the first that stands
    assert script == (display.ASSETS / "steps.js").read_text()
    still, _, _ = html.data.partition('<script type="application/json">')
    assert [states[i] in still for i in range(6)] == [True, False, False, False, True, False]
    assert still.index(states[4]) < still.index(states[0])


def test_without_a_choice_all_states_stand_still(displayed):
    show.steps(["<b>one</b>", "<b>two</b>"], {"n": (1, 2)}, "Steps: two.")
    assert "<b>one</b>" in displayed[0][0][0].data
    assert "<b>two</b>" in displayed[0][0][0].data


def test_states_must_be_as_many_as_the_sliders_have_places(displayed):
    with pytest.raises(ValueError, match="one for each place of the sliders, 6, not 5"):
        show.steps(["a"] * 5, {"first": (1, 2), "second": "xyz"}, "Steps: five.")


def test_a_table_is_shown_with_its_caption(displayed):
    table = pd.DataFrame({"a": [1]})
    show.captioned(table, "Table 2.6: RMSE: *years*.")
    (((shown, below), _),) = displayed
    assert shown is table
    assert below.data == "**Table 2.6:** RMSE: *years*."
