"""Showing: figures, drawings and tables, each with its caption, and the style that all figures share."""

from __future__ import annotations

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


def use_style() -> None:
    """Give all figures from here on, your own ones too, the look of the report's."""
    plt.style.use("hw1lib.show.hw1")


def picture(figure: Figure) -> tuple[str, bytes]:
    """Return a figure as "png" and its bytes, or "jpeg" if it holds photographs: a fifth of the size. It is closed."""
    plt.close(figure)
    photographs = any(getattr(image.get_array(), "ndim", 0) == 3 for ax in figure.axes for image in ax.images)
    kind, file = "jpeg" if photographs else "png", io.BytesIO()
    figure.savefig(file, format=kind, pil_kwargs={"quality": 85} if photographs else {})
    return kind, file.getvalue()


def figure(figure: Figure, caption: str) -> None:
    """Display a figure with its caption under it, once.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        It is closed, so that the notebook does not draw it a second time.
    caption : str
        Markdown; starts with the report's figure or table, e.g. ``"Fig. 2.3: ..."``.
    """
    alt = described(figure)
    kind, content = picture(figure)
    _display_image(f"image/{kind}", content, caption, alt)


def drawing(drawn: str, caption: str) -> None:
    """Display a drawing, "network" (Fig. 2.2), "question3", or any as SVG, with a caption as for ``figure``."""
    svg = drawn if drawn.startswith("<svg") else (ASSETS / f"{drawn}.svg").read_text(encoding="utf-8")
    _display_image("image/svg+xml", svg, caption, ElementTree.fromstring(svg).findtext("{*}title") or caption)


def side_by_side(caption: str, *tables: str) -> None:
    """Display HTML tables beside each other with a caption as for ``figure``."""
    display(HTML(beside(*tables)), _bold_head(caption))


def steps(states, sliders, caption: str, still=None) -> None:
    """Display states that sliders, or the arrow keys, switch between, with a caption as for ``figure``.

    The states themselves are stored, so that a saved page shows them without a kernel. Where no script runs, and on
    paper, some of them stand beside each other instead.

    Parameters
    ----------
    states : sequence of str
        HTML or SVG, one for each place of the sliders in the order of ``itertools.product``: the last slider moves
        first.
    sliders : dict of str to sequence
        What each is called, and what its places are called.
    caption : str
    still : sequence of int, optional
        The states that stand beside each other, by default all. The sliders begin at the first of them.
    """
    states, labels = list(states), [[str(label) for label in places] for places in sliders.values()]
    shape = tuple(map(len, labels))
    if len(states) != np.prod(shape):
        raise ValueError(f"states must be one for each place of the sliders, {np.prod(shape)}, not {len(states)}")
    still = range(len(states)) if still is None else still
    pieces: dict[str, int] = {}  # states share most of their elements: each is stored once
    coded = [[pieces.setdefault(piece, len(pieces)) for piece in re.split("(?=<)", state)] for state in states]
    starts = map(int, np.unravel_index(still[0], shape))
    kept = {"pieces": list(pieces), "sliders": list(zip(sliders, labels, starts, strict=True)), "states": coded}
    data = json.dumps(kept, separators=(",", ":")).replace("<", r"\u003c")  # no element to a browser, nor to the page
    script = (ASSETS / "steps.js").read_text(encoding="utf-8")
    html = f"<div>{beside(*(states[i] for i in still))}</div>"
    html += f'<script type="application/json">{data}</script><script>{script}</script>'
    display(HTML(f'<div class="steps">{html}</div>'), _bold_head(caption))


def captioned(table, caption: str) -> None:
    """Display a DataFrame with a caption as for ``figure``; one that starts with "Table 2.6:" is in the page's list."""
    with pd.option_context("display.max_colwidth", None):  # texts whole
        display(table, _bold_head(caption))


def described(figure: Figure) -> str:
    """Return in words what a figure shows, for who cannot see it: its panels, their axes, and where lines lead."""
    said = []
    for ax in figure.axes:
        parts = [ax.get_title(loc) for loc in ("left", "center", "right")]
        if ax.images and not ax.axison:
            parts.append("" if any(parts) else "a picture without axes")
        elif ax.get_xlabel() or ax.get_ylabel():
            parts.append(" against ".join(filter(None, (ax.get_ylabel(), ax.get_xlabel()))))
        for line in ax.lines[:8]:
            y = np.asarray(line.get_ydata(), float)
            if not str(line.get_label()).startswith("_") and len(y) > 1:
                parts.append(f"{line.get_label()} from {y[0]:.3g} to {y[-1]:.3g}")
        said.append(", ".join(" ".join(part.split()) for part in parts if part))
    said = list(filter(None, said))
    panels = f"{len(said)} panels: " if len(said) > 1 else ""
    words = " ".join(", ".join(text.get_text() for ax in figure.axes for text in ax.texts).split())
    return panels + "; ".join(said) or "a drawing" + (words and f" with the words: {words}")


def _display_image(kind: str, content: bytes | str, caption: str, alt: str) -> None:
    display({kind: content}, raw=True, metadata={kind: {"alt": alt}})
    display(_bold_head(caption))


def _bold_head(caption: str) -> Markdown:
    head, colon, rest = caption.partition(":")
    return Markdown(f"**{head}{colon}**{rest}")
