"""Showing: figures, drawings and tables, each with its caption, and the style of all figures."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import HTML, Markdown, display
from matplotlib.figure import Figure

from hw1lib.show.tables import beside

ASSETS = Path(__file__).parent / "assets"
STYLE = Path(__file__).parent / "hw1.mplstyle"


def use_style() -> None:
    """Give all figures from here on, your own ones too, the look of the report's.

    Nothing of a matplotlibrc of yours is left: an unknown font or LaTeX would break figures.
    """
    plt.style.use(["default", STYLE])


def picture(figure: Figure) -> tuple[str, bytes]:
    """Close a figure; return its kind and bytes: "jpeg" if it holds photographs, else "png"."""
    plt.close(figure)
    images = [image for ax in figure.axes for image in ax.images]
    photographs = any(len(image.get_shape()) == 3 for image in images)
    kind = "jpeg" if photographs else "png"
    file = io.BytesIO()
    figure.savefig(file, format=kind, pil_kwargs={"quality": 85} if photographs else None)
    return kind, file.getvalue()


def figure(figure: Figure, caption: str) -> None:
    """Display a figure with its caption under it, and close it, so that it is drawn once.

    The caption is Markdown, and starts with the report's figure or table: ``"Fig. 2.3: ..."``.
    """
    alt = described(figure)
    kind, content = picture(figure)
    encoded = base64.b64encode(content).decode()  # a browser's kernel does not do it
    _display_image(f"image/{kind}", encoded, caption, alt)


def drawing(name: str, caption: str) -> None:
    """Display a drawing with a caption: "network" (Fig. 2.2) or "question3"."""
    svg = (ASSETS / f"{name}.svg").read_text(encoding="utf-8")
    alt = ElementTree.fromstring(svg).findtext("{*}title", caption)
    _display_image("image/svg+xml", svg, caption, alt)


def side_by_side(caption: str, *tables: str) -> None:
    """Display HTML tables beside each other with a caption as for ``figure``."""
    display(HTML(beside(*tables)), _bold_head(caption))


def steps(states, sliders, caption: str, still) -> None:
    """Display states that sliders, or the arrow keys, switch between, with a caption.

    All states are stored, so that a saved page shows them without a kernel: HTML or SVG, in the
    order of ``itertools.product``: the last slider moves first. ``sliders`` says what each is
    called, and what its places are called. ``still`` are the numbers of the states that stand
    beside each other where no script runs, and on paper; the sliders begin at the first.
    """
    labels = [[str(label) for label in places] for places in sliders.values()]
    numbered = np.arange(len(states)).reshape([len(places) for places in labels])
    starts = np.argwhere(numbered == still[0])[0].tolist()
    pieces: dict[str, int] = {}  # states share most of their elements: each is stored once
    coded = []
    for state in states:
        split = re.split("(?=<)", state)
        coded.append([pieces.setdefault(piece, len(pieces)) for piece in split])
    places = list(zip(sliders, labels, starts, strict=True))
    stored = {"pieces": list(pieces), "sliders": places, "states": coded}
    data = json.dumps(stored, separators=(",", ":")).replace("<", r"\u003c")  # no element to HTML
    script = (ASSETS / "steps.js").read_text(encoding="utf-8")
    html = f"<div>{beside(*(states[i] for i in still))}</div>"
    html += f'<script type="application/json">{data}</script><script>{script}</script>'
    display(HTML(f'<div class="steps">{html}</div>'), _bold_head(caption))


def captioned(table, caption: str) -> None:
    """Display a DataFrame with a caption; one that begins "Table 2.6:" is in the page's list."""
    with pd.option_context("display.max_colwidth", None):  # texts whole
        display(table, _bold_head(caption))


def described(figure: Figure) -> str:
    """Return in words what a figure shows: its panels, their axes, and where lines lead."""
    panels = []
    for ax in figure.axes:
        parts = [ax.get_title(loc) for loc in ("left", "center", "right")]
        if ax.images and not ax.axison:
            parts.append("" if any(parts) else "a picture without axes")
        else:
            labels = filter(None, (ax.get_ylabel(), ax.get_xlabel()))
            parts.append(" against ".join(labels))
        for line in ax.lines[:8]:
            y = np.asarray(line.get_ydata(orig=False), float)  # names have places, too
            named = not str(line.get_label()).startswith("_")
            if named and len(y) > 1 and line.get_linestyle() != "None":  # no mere dots
                parts.append(f"{line.get_label()} from {y[0]:.3g} to {y[-1]:.3g}")
        panels.append(", ".join(" ".join(part.split()) for part in parts if part))
    panels = [panel for panel in panels if panel]
    if not panels:
        words = [text.get_text() for ax in figure.axes for text in ax.texts]
        told = " ".join(", ".join(words).split())
        return f"a drawing with the words: {told}" if told else "a drawing"
    count = f"{len(panels)} panels: " if len(panels) > 1 else ""
    return count + "; ".join(panels)


def _display_image(kind: str, content: bytes | str, caption: str, alt: str) -> None:
    display({kind: content}, raw=True, metadata={kind: {"alt": alt}})
    display(_bold_head(caption))


def _bold_head(caption: str) -> Markdown:
    head, colon, rest = caption.partition(":")
    return Markdown(f"**{head}{colon}**{rest}")
