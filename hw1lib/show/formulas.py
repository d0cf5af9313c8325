"""Formulas as pictures that need no script and no font: SVG in the text's colour, on its line."""

from __future__ import annotations

import html
from functools import cache
from xml.etree import ElementTree

from ziamath import Math
from ziamath.tex import tex2mml

MATHML = "{http://www.w3.org/1998/Math/MathML}"
SIZE = 16  # of the letters that are drawn; the page scales them to those around the formula
TYPED = str.maketrans("∂−′", "d-'", "\u2061\u2062")  # two of MathML's signs are invisible


class Formulas:
    """Draws the formulas of one page; letters that come up again are drawn once.

    Each formula is a picture that is called by its TeX, for screen readers and for copying. Over it
    lies, unseen, what one would type, "dL/dw21=...": the browser's search finds that.
    """

    def __init__(self):
        self._symbols: dict[str, str] = {}

    def draw(self, tex: str, inline: bool = True) -> str:
        """Return a formula as HTML; TeX that can't be drawn is shown as it was written."""
        try:
            formula, symbols = _drawn(tex.strip(), inline)
        except Exception:  # latex2mathml and ziamath raise many kinds over what they do not know
            return f'<code class="undrawn">{html.escape(tex)}</code>'
        self._symbols |= symbols
        return formula

    def symbols(self) -> str:
        """Return the letters that the pictures refer to: they must stand once on the page."""
        letters = "".join(self._symbols.values())
        return f'<svg width="0" height="0" class="letters" aria-hidden="true">{letters}</svg>'


@cache
def _drawn(tex: str, inline: bool) -> tuple[str, dict[str, str]]:
    """Return a formula as HTML, and the letters that its picture refers to, by their ids."""
    mathml = tex2mml(tex, inline=inline)
    mathml = mathml.replace("<mo>&#x02202;</mo>", "<mi>&#x02202;</mi>")  # no space after a "∂"
    drawing = Math(mathml, size=SIZE)
    svg = drawing.svgxml()
    symbols = {}
    for symbol in svg.findall("symbol"):
        symbols[symbol.attrib["id"]] = ElementTree.tostring(symbol, "unicode")
        svg.remove(symbol)
    for part in svg.iter():
        part.attrib.pop("fill", None)  # black; without it, the colour of the text
    width, height = (float(svg.attrib[side]) / SIZE for side in ("width", "height"))
    size = f"width:{width:.3f}em;height:{height:.3f}em"
    svg.attrib = {"viewBox": svg.attrib["viewBox"], "aria-hidden": "true", "style": size}
    below = (drawing.margin - drawing.node.bbox.ymin) / SIZE
    look = f'formula" style="vertical-align:{-below:.3f}em' if inline else "formula block"
    opening = f'<span class="{look}" role="img" aria-label="{html.escape(tex)}">'
    typed = html.escape(_typed(ElementTree.fromstring(mathml)))
    picture = ElementTree.tostring(svg, "unicode")
    return f'{opening}{picture}<span class="typed">{typed}</span></span>', symbols


def _typed(node: ElementTree.Element) -> str:
    """Return MathML as one would type it: "dL/dw21", "(output-t)y1", "x^2"."""
    parts = [_typed(child) for child in node]
    between = ""
    if node.tag == f"{MATHML}mfrac":
        between = "/"
    elif node.tag == f"{MATHML}msup" and parts[-1] != "'":
        between = "^"
    return ((node.text or "").strip() + between.join(parts)).translate(TYPED)
