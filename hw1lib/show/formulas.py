"""Formulas as pictures that need no script and no font: SVG in the colour of the text, on its line."""

from __future__ import annotations

import html
from functools import cache
from xml.etree import ElementTree

MATHML = "http://www.w3.org/1998/Math/MathML"
SIZE = 16  # of the letters that are drawn; the page scales them to those around the formula
TYPED = str.maketrans("∂−′", "d-'", "\u2061\u2062")  # what a reader types into a search; two are invisible

ElementTree.register_namespace("", MATHML)


class Formulas:
    """Draws the formulas of one page; letters that come up again are drawn once.

    Each formula is its picture, its MathML with the TeX that it was written in, for screen readers and for copying,
    and one line of text, "dL/dw21=...", which lies invisibly over the picture: the browser's search finds it.
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
        return f'<svg width="0" height="0" class="letters" aria-hidden="true">{"".join(self._symbols.values())}</svg>'


@cache
def _drawn(tex: str, inline: bool) -> tuple[str, dict[str, str]]:
    """Return a formula as HTML, and the letters that its picture refers to, by their ids."""
    from ziamath import Math
    from ziamath.tex import tex2mml

    math = ElementTree.fromstring(tex2mml(tex, inline=inline))
    for sign in math.iter(f"{{{MATHML}}}mo"):
        if sign.text == "∂":
            sign.tag = f"{{{MATHML}}}mi"  # no operator: nothing between it and its variable
    drawing = Math(ElementTree.tostring(math, "unicode"), size=SIZE)
    svg, symbols = drawing.svgxml(), {}
    for symbol in svg.findall("symbol"):
        symbols[symbol.attrib["id"]] = ElementTree.tostring(symbol, "unicode")
        svg.remove(symbol)
    for part in svg.iter():
        part.attrib.pop("fill", None)  # black; without it, the colour of the text
    width, height = (float(svg.attrib[side]) / SIZE for side in ("width", "height"))
    size = f"width:{width:.3f}em;height:{height:.3f}em"
    svg.attrib = {"viewBox": svg.attrib["viewBox"], "aria-hidden": "true", "style": size}
    below = (drawing.margin - drawing.node.bbox.ymin) / SIZE
    opening = (
        f'<span class="formula" style="vertical-align:{-below:.3f}em">' if inline else '<span class="formula block">'
    )
    typed = html.escape(_typed(math))
    semantics = ElementTree.Element(f"{{{MATHML}}}semantics")
    semantics.extend(math)
    ElementTree.SubElement(semantics, f"{{{MATHML}}}annotation", encoding="application/x-tex").text = tex
    math[:] = [semantics]
    read = ElementTree.tostring(math, "unicode")
    picture = ElementTree.tostring(svg, "unicode")
    return f'{opening}{picture}{read}<span class="typed" aria-hidden="true">{typed}</span></span>', symbols


def _typed(node: ElementTree.Element) -> str:
    """Return MathML as one would type it: "dL/dw21", "(output-t)y1", "x^2"."""
    parts = [_typed(child) for child in node]
    between = {"mfrac": "/", "msup": "" if parts[-1:] == ["'"] else "^"}.get(node.tag.removeprefix(f"{{{MATHML}}}"), "")
    return ((node.text or "").strip() + between.join(parts)).translate(TYPED)
