"""Notebooks, one after the other, as one HTML page that opens from a folder without a network."""

from __future__ import annotations

import base64
import copy
import io
import re
from itertools import groupby
from pathlib import Path

import nbformat
from bs4 import BeautifulSoup, Tag
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from PIL import Image

from hw1lib.show.formulas import Formulas
from hw1lib.show.running import without_widgets

ASSETS = Path(__file__).parent / "assets" / "report"  # nbconvert's template, the page around it
TITLE = "Fully connected networks from scratch: a report, re-run"
SUBTITLE = (
    "Age and race label of UTKFace's faces, a convolution and a gradient by hand: every figure, "
    "table and formula of the homework report, computed again, beside the numbers that it printed."
)
CAPTION = re.compile(r"\*\*([^*]+):\*\* *(.*)", re.DOTALL)  # as hw1lib.show.figure writes it
NUMBERED = re.compile(r"(Fig|Table)s?\.? \d+\.\d+")


def to_html(notebooks, facts=None, lite: bool = False) -> str:
    """Return notebooks, one after the other, as one HTML page that loads nothing.

    Each begins with a heading ``# N. ...``; ``facts`` are names and values for the end of the page.
    With ``lite`` it leads to the browser edition in the folder ``lite`` beside it.
    What cells show that have the tag "top" stands at its top, too.
    """
    notebooks = [copy.deepcopy(notebook) for notebook in notebooks]
    page = _Page({_number(notebook, i) for i, notebook in enumerate(notebooks, start=1)})
    exporter = HTMLExporter(
        template_name=ASSETS.name,
        extra_template_basedirs=[str(ASSETS.parent)],
        filters={"markdown2html": page.markdown, "webp": _webp},
    )
    parts = [page.part(i, notebook, exporter) for i, notebook in enumerate(notebooks, start=1)]
    return exporter.environment.get_template("page.html.j2").render(
        title=TITLE,
        subtitle=SUBTITLE,
        facts=facts,
        lite=lite,
        top=page.top,
        parts=parts,
        figures=[entry for _, entry in sorted(page.figures)],
        letters=page.formulas.symbols(),
        style=(ASSETS / "style.css").read_text(encoding="utf-8"),
        script=(ASSETS / "page.js").read_text(encoding="utf-8"),
    )


class _Page:
    """What the notebooks on one page share: ids, links, formulas, the index, and the top."""

    def __init__(self, numbers: set[int]):
        self.numbers = numbers  # of the notebooks
        self.taken: set[str] = set()  # ids
        self.figures: list[tuple[tuple, tuple[str, str, str]]] = []  # number; id, name, text
        self.formulas = Formulas()
        self.top: list[str] = []
        self.renderer = _Renderer(self)
        self.markdown = MarkdownWithMath(renderer=self.renderer).render

    def part(self, number: int, notebook, exporter: HTMLExporter) -> dict:
        """Return a notebook as HTML, with the ids and texts of its title and sections."""
        self.number = number
        self.headings: list[tuple[str, str]] = []
        notebook.cells = [cell for cell in notebook.cells if not _is_left_out(cell)]
        self._fold_answers(notebook)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs = self._with_captions(without_widgets(cell.outputs))
        body = BeautifulSoup(exporter.from_notebook_node(notebook)[0], "html.parser")
        _mark_what_is_short(body)
        for cell in body.select("[data-top]"):
            self.top.append(_without_ids_and_code(cell))
        headings = self.headings or [(self.new_id(f"{number}"), f"Notebook {number}")]
        anchor, title = headings[0]
        return {"id": anchor, "title": title, "sections": headings[1:], "html": str(body)}

    def new_id(self, text: str) -> str:
        """Return an id made of the text's letters, digits and dots that nothing else has."""
        anchor = _slug(text)
        while anchor in self.taken:
            anchor += "-again"
        self.taken.add(anchor)
        return anchor

    @staticmethod
    def _fold_answers(notebook) -> None:
        """Mark where a fold begins and ends: around each run of cells with the tag "answer"."""
        for answer, group in groupby(notebook.cells, lambda cell: "answer" in _tags(cell)):
            cells = list(group)
            if answer:
                cells[0].metadata.fold_begins = True
                cells[-1].metadata.fold_ends = True

    def _with_captions(self, outputs: list) -> list:
        """Return outputs, each caption put to the picture or table before it."""
        kept: list[nbformat.NotebookNode] = []
        for output in outputs:
            data = output.get("data", {})
            caption = CAPTION.fullmatch(data.get("text/markdown", ""))
            if caption and kept and "caption" not in kept[-1].metadata and _is_shown(kept[-1]):
                self._put_caption(kept[-1], *caption.groups())
                continue
            if "text/html" in data:
                data["text/html"] = self._mended(data["text/html"])
            kept.append(output)
        return kept

    def _put_caption(self, output, name: str, text: str) -> None:
        numbers = re.findall(r"\d+\.\d+", name) if NUMBERED.match(name) else []
        kind = "Fig." if name.startswith("Fig") else "Table"
        names = [f"{kind} {number}" for number in numbers]
        if len(names) > 1:
            name = ", ".join(names)  # so that a search for any of them finds it
        about = re.split(r"[.;](?!\d)", _text(self.markdown(text)))[0].strip()
        output.metadata.anchors = [self.new_id(each) for each in names]
        for number, each, anchor in zip(numbers, names, output.metadata.anchors, strict=True):
            entry = anchor, name if len(names) == 1 else each, about
            self.figures.append(((*map(int, number.split(".")), len(self.figures)), entry))
        output.metadata.caption = f"**{name}:** {text}"

    def _mended(self, html: str) -> str:
        """Return HTML whose tables scroll, without pandas's style."""
        tables = BeautifulSoup(html, "html.parser")
        for style in tables("style", scoped=True):
            style.decompose()
        for head in tables("th"):
            if not head.get_text(strip=True):
                head.name = "td"  # a corner
        for cell in tables("td"):
            if "±" in cell.get_text():
                cell["class"] = "number"
        for table in tables("table"):
            table.wrap(tables.new_tag("div", attrs={"class": "scroll"}))
        return str(tables)


class _Renderer(IPythonRenderer):
    """Markdown as HTML: headings with ids, links that hold on one page, formulas as pictures."""

    def __init__(self, page: _Page):
        super().__init__(escape=False)
        self.page = page

    def heading(self, text, level, **attrs):
        plain = _text(text)
        if level == 1 and (title := re.match(r"(\d+)\. ", plain)):
            self.page.number = int(title[1])
        number = self.page.number
        own = re.match(rf"{number}\.\s|{number}(\.\d+)+", plain)  # "2.1"; else "2-summary"
        anchor = self.page.new_id(own[0] if own else f"{number}-{plain}")
        if level < 3:
            self.page.headings.append((anchor, plain))
        return f'<h{level} id="{anchor}">{text}</h{level}>\n'

    def link(self, text, url, title=None):
        name, _, fragment = url.partition("#")
        if exercise := re.fullmatch(r"cell-id=(\w+)-(\d+)-(\d+)", fragment):
            kind, *numbers = exercise.groups()
            fragment = f"Answer-{'.'.join(numbers)}" if kind == "Answer" else "Try-it"
        notebook = re.fullmatch(r"0*(\d+)_\w+\.ipynb", name)
        if notebook and int(notebook[1]) not in self.page.numbers:
            return f"{text}: notebook {notebook[1]}" if exercise else text  # on another page
        if notebook and not fragment and re.fullmatch(rf"0*{int(notebook[1])}\.\d+", text):
            return super().link(text, f"#{text}", title)  # its section
        if notebook or not name:
            number = notebook[1] if notebook else self.page.number
            url = "#" + _slug(f"{number}-{fragment}")  # as ``heading`` makes it
        return super().link(text, url, title)

    def table(self, text):
        return f'<div class="scroll"><table>\n{text}</table></div>\n'

    def inline_math(self, body):
        return self.page.formulas.draw(body)

    def block_math(self, body):
        return self.page.formulas.draw(body, inline=False)

    def latex_environment(self, name, body):
        return self.block_math(rf"\begin{{{name}}}{body}\end{{{name}}}")


def _mark_what_is_short(body: BeautifulSoup) -> None:
    """Give the class "short" to what the short version has of a notebook.

    That is a title with its first paragraph, a summary, and of each lesson what `_of_lesson` says.
    """
    sections: list[list[Tag]] = []
    for element in body.find_all(True):
        if element.name in ("h1", "h2"):
            sections.append([])
        if sections:
            sections[-1].append(element)
    marked: list[list[Tag]] = []
    for title, *section in sections:
        texts = [e for e in section if e.name in ("p", "ul") and "text" in _classes(e.parent)]
        if title.name == "h1":
            marked.append([title, *texts[:1]])
        elif title.get_text().startswith("Summary"):
            marked.append([title, *texts])
        elif lesson := _of_lesson(section, texts):
            marked.append([title, *lesson])
    if len(marked) == 1 < len(sections):
        return  # no lesson: the answers
    for element in [element for kept in marked for element in kept]:
        element["class"] = " ".join([*_classes(element), "short"])


def _of_lesson(section: list[Tag], texts: list[Tag]) -> list[Tag]:
    """Return its first question, the picture and the paragraph after it, and the plain words."""
    begins = [text.get_text()[:11] for text in texts]
    if "Guess first" not in begins:
        return []  # an answer, say
    guess = texts[begins.index("Guess first")]
    place = {id(element): i for i, element in enumerate(section)}
    after = section[place[id(guess)] :]
    figure = next((element for element in after if element.name == "figure"), guess)
    later = [text for text in texts if place[id(text)] > place[id(figure)] and text.name == "p"]
    told = [text for text in later if text.get_text().strip()[-1:] in ".?!)"]  # announce nothing
    plain = [text for text in told if text.get_text().startswith("In plain words")]
    guess["class"] = "asked"
    kept = {id(element): element for element in [guess, figure, *told[:1], *(plain or told)[-1:]]}
    return list(kept.values())


def _classes(element) -> list[str]:
    given = element.get("class") or []
    return given.split() if isinstance(given, str) else given


def _without_ids_and_code(cell) -> str:
    """Return what a cell shows, to stand on the page a second time."""
    again = copy.copy(cell)
    for code in again.select("details.code"):
        code.decompose()
    for element in [again, *again.find_all(id=True)]:
        del element["id"]
    return str(again)


def _webp(png: str) -> str:
    """Return a picture as WebP, exactly the same in less than half as many bytes."""
    file = io.BytesIO()
    image = Image.open(io.BytesIO(base64.b64decode(png)))
    image.save(file, "webp", lossless=True, method=1, quality=25)
    return base64.b64encode(file.getvalue()).decode()


def _number(notebook, otherwise: int) -> int:
    title = (
        re.search(r"^# (\d+)\. ", notebook.cells[0].source, re.MULTILINE)
        if notebook.cells
        else None
    )
    return int(title[1]) if title else otherwise


def _tags(cell) -> list[str]:
    return cell.metadata.get("tags", [])


def _is_left_out(cell) -> bool:
    """Tell whether a cell is for notebooks alone: for an answer, or a check that held."""
    failed = any(output.output_type == "error" for output in cell.get("outputs", []))
    return not {"check", "exercise"}.isdisjoint(_tags(cell)) and not failed


def _is_shown(output) -> bool:
    return any(kind == "text/html" or kind.startswith("image/") for kind in output.get("data", {}))


def _slug(text: str) -> str:
    return re.sub(r"\.?[^a-z0-9.]+", "-", text.lower()).strip("-.")


def _text(html: str) -> str:
    """Return HTML's text, each formula as it would be typed."""
    return " ".join(BeautifulSoup(html, "html.parser").get_text().split())
