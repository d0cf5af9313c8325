"""The report as one page: run every notebook, put them together, write HTML that opens offline."""

from __future__ import annotations

import copy
import gzip
import html
import platform
import re
from pathlib import Path

import nbformat
import numpy as np
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from tqdm.auto import tqdm
from traitlets.config import Config

from hw1lib import __version__
from hw1lib.faces.data import FaceDataset
from hw1lib.files import write_atomically
from hw1lib.study.experiments import full_scale

NOTEBOOK_NAMES = "[0-9][0-9]_*.ipynb"  # a notebook belongs to the report by its number alone
CELL_TIMEOUT = 1200  # seconds: no cell of ours comes near
ASSETS = Path(__file__).parent / "assets" / "report"  # an nbconvert template, and the page around it
TITLE = "Fully connected networks from scratch: a report, re-run"
SUBTITLE = (
    "Age and race label of UTKFace's faces, a convolution and a gradient by hand: every figure, table and formula of "
    "the homework report, computed again, beside the numbers that it printed."
)
WIDGET = "application/vnd.jupyter.widget-view+json"
PROGRESS_BAR = re.compile(r"\d%\||\d\w* \[\d\d:\d\d, |FloatProgress")  # a bar, with or without a known end, as text
INTERACTIVE = "*Interactive in JupyterLab; the figures beside this line show it standing still.*"


class _Client(NotebookClient):
    """Runs a notebook without keeping the state of its widgets: saved pages show the static figure beside each."""

    def on_comm_open_jupyter_widget(self, msg):
        return None


def read_notebook(path: Path):
    """Return a notebook as it is stored; ValueError that names the file if it is none."""
    try:
        return nbformat.read(path, as_version=4)
    except OSError:
        raise
    except Exception as error:  # nbformat raises many kinds over a damaged file
        raise ValueError(f"{path}: not a notebook: {error}") from error


def run_notebook(notebook, folder: Path) -> str:
    """Run a notebook from top to bottom, its kernel in ``folder``; return which cell failed and how, or "".

    The outputs are put into the notebook. That of a cell that failed is its error; the cells below it have none.
    """
    started: list = []  # code cells; their number is what JupyterLab shows at the last of them
    failure = ""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None

    client = _Client(
        notebook,
        timeout=CELL_TIMEOUT,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,
        on_cell_execute=lambda cell, cell_index: started.append(cell),
        config=Config({"KernelManager": {"transport_encryption": "auto"}}),
    )
    try:
        client.execute()
    except CellExecutionError as error:
        if error.ename == "KeyboardInterrupt":  # Ctrl-C reached the kernel first
            raise KeyboardInterrupt from None
        failure = f"cell [{len(started)}]: {error.ename}: {error.evalue}"
    except (CellTimeoutError, DeadKernelError, AssertionError) as error:
        if getattr(client, "_async_cleanup_kernel_future", None):  # nbclient saw Ctrl-C, and stopped the kernel
            raise KeyboardInterrupt from None
        failure = f"cell [{len(started)}]: {error}"
        shown = {"ename": type(error).__name__, "evalue": f"{error}", "traceback": [f"{error}"]}
        started[-1].outputs.append(nbformat.v4.new_output("error", **shown))
    notebook.metadata.pop("widgets", None)
    notebook.metadata.get("language_info", {}).pop("version", None)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = _without_widgets(cell.outputs)
    return failure


def _without_widgets(outputs: list) -> list:
    """Return a cell's outputs without progress bars, and with a line in place of the first of its widgets."""
    kept = []
    for output in outputs:
        text = output.get("data", {}).get("text/plain", "")
        if output.output_type == "stream" and output.name == "stderr":
            lines = [line for line in output.text.splitlines() if line.strip() and not PROGRESS_BAR.search(line)]
            output = nbformat.v4.new_output("stream", name="stderr", text="\n".join(lines)) if lines else None
        elif WIDGET in output.get("data", {}):
            note = nbformat.v4.new_output("display_data", {"text/markdown": INTERACTIVE, "text/plain": INTERACTIVE})
            output = None if PROGRESS_BAR.search(text) or note in kept else note
        if output is not None:
            kept.append(output)
    return kept


def this_run() -> dict[str, str]:
    """Return what the title block says of the data and the scale: no date and no folder, so equal runs look equal."""
    ds = FaceDataset.open()
    source = ds.source[0].upper() + ds.source[1:] if ds.is_standin else f"{Path(ds.source).name}, {len(ds):,} faces"
    facts = {"Data of this run": f"{source}; {len(ds.skipped)} files set aside; fingerprint {ds.fingerprint}"}
    if ds.is_standin:
        facts["Note"] = (
            "The stand-in's faces are drawn. Its numbers are no results; those measured on UTKFace are quoted."
        )
    facts["Scale"] = "full: all epochs and seeds" if full_scale() else "quick: fewer epochs and seeds"
    facts["Made with"] = f"hw1lib {__version__}, Python {platform.python_version()}, NumPy {np.__version__}"
    return facts


def build(notebooks: Path, output: Path, store: bool = False, progress: bool = True, facts=None) -> Path:
    """Run all notebooks of a folder and write them as one HTML page.

    Parameters
    ----------
    notebooks : Path
        The folder with ``01_....ipynb`` and so on.
    output : Path
        Where the page goes; it appears when it is whole.
    store : bool
        Also write each notebook, as run, back to its file.
    progress : bool
        Show a bar over the notebooks.
    facts : dict of str to str, optional
        What the title block says of this run; by default the data, the scale and the versions.

    Raises
    ------
    FileNotFoundError
        If there is no notebook in the folder.
    ValueError
        If one of them is damaged; nothing was run then.
    RuntimeError
        If a cell failed, naming it: after all others were run, and the page was written, with the error in its place.
    """
    paths = sorted(Path(notebooks).glob(NOTEBOOK_NAMES))
    if not paths:
        raise FileNotFoundError(f"there is no notebook {NOTEBOOK_NAMES} in {notebooks}")
    output = Path(output)
    facts = this_run() if facts is None else facts
    done = {path: read_notebook(path) for path in paths}
    failures = []
    bar = tqdm(paths, unit="notebook", disable=not progress)
    for path in bar:
        bar.set_description(path.stem)
        if failure := run_notebook(done[path], path.parent):
            failures.append(f"{path.name}, {failure}")
        elif store:
            text = nbformat.writes(done[path]) + "\n"
            write_atomically(path, lambda temporary, text=text: temporary.write_text(text, encoding="utf-8"))
    page = to_html(done.values(), facts | ({"Failed": "; ".join(failures)} if failures else {}))
    write_atomically(output, lambda temporary: temporary.write_text(page, encoding="utf-8"))
    if failures:
        raise RuntimeError(f"{len(failures)} of {len(done)} notebooks failed, see {output}:\n" + "\n".join(failures))
    return output


def to_html(notebooks, facts=None) -> str:
    """Return notebooks, one after the other, as one self-contained HTML page with contents at the side.

    Parameters
    ----------
    notebooks : iterable of NotebookNode
        As run; each begins with a heading ``# N. ...``.
    facts : dict of str to str, optional
        Names and values for the title block.
    """
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(template_name=ASSETS.name, extra_template_basedirs=[str(ASSETS.parent)])
    exporter.exclude_anchor_links = True
    taken: set[str] = set()  # ids, over all notebooks
    figures: list[tuple[str, str]] = []
    parts = []
    for number, notebook in enumerate(notebooks, start=1):
        body = exporter.from_notebook_node(_with_captions(notebook, figures, taken))[0]
        body, (title, *sections) = _with_anchors(body, number, taken)
        parts.append({"id": title[0], "title": title[1], "sections": sections, "html": body})
    return exporter.environment.get_template("page.html.j2").render(
        title=TITLE,
        subtitle=SUBTITLE,
        facts=facts,
        parts=parts,
        figures=figures,
        style=(ASSETS / "style.css").read_text(encoding="utf-8"),
        script=(ASSETS / "page.js").read_text(encoding="utf-8"),
        mathjax=gzip.decompress((ASSETS / "mathjax-3.2.2-tex-svg.js.gz").read_bytes()).decode(),
    )


def _new_id(text: str, taken: set[str]) -> str:
    """Return an id made of the text's letters, digits and dots that nothing else on the page has."""
    anchor = re.sub(r"\.?[^a-z0-9.]+", "-", text.lower()).strip("-.")
    while anchor in taken:
        anchor += "-again"
    taken.add(anchor)
    return anchor


def _with_captions(notebook, figures: list, taken: set[str]):
    """Return a copy without widgets, a caption with its picture; add the report's figures and tables to ``figures``."""
    notebook = copy.deepcopy(notebook)
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        outputs: list[nbformat.NotebookNode] = []
        for output in _without_widgets(cell.outputs):
            text = output.get("data", {}).get("text/markdown", "")
            caption = text if text.startswith("**") else ""
            before = outputs[-1] if outputs else {}
            picture = any(kind.startswith("image/") for kind in before.get("data", {}))
            bare = picture and "caption" not in before["metadata"]
            if caption and bare:
                output = outputs.pop()
                output.metadata["caption"] = caption
            elif caption:
                output.metadata["is_caption"] = True  # of the table beside it
            numbered = re.match(r"\*\*((?:Fig|Table)[a-z.]* \d.*?):?\*\*:?(.*?[^\d. ][.;]|.*)", caption)
            if numbered:
                output.metadata["anchor"] = _new_id(numbered[1], taken)
                entry = re.sub(r"[*`]", "", f"{numbered[1]}:{numbered[2]}".rstrip(".;"))
                figures.append((output.metadata["anchor"], html.escape(entry)))
            outputs.append(output)
        cell.outputs = outputs
    return notebook


def _with_anchors(body: str, number: int, taken: set[str]) -> tuple[str, list[tuple[str, str]]]:
    """Return HTML with an id on each heading, links that hold on one page and tables that scroll; and the headings.

    Headings are (id, text) of the title and the sections. The id is the heading's own number if it has one ("2",
    "2.1"), otherwise its text after the notebook's number ("2-summary"), so that a link to it lasts.
    """
    headings: list[tuple[str, str]] = []

    def heading(match):
        nonlocal number
        level, text = match[1], re.sub(r"<[^>]*>", "", match[2])
        if level == "1" and (title := re.match(r"(\d+)\. ", text)):
            number = int(title[1])
        own = re.match(rf"{number}\.\s|{number}(\.\d+)+", text)
        anchor = _new_id(own[0] if own else f"{number}-{text}", taken)
        if level in "12":
            headings.append((anchor, text))
        return f'<h{level} id="{anchor}">{match[2]}</h{level}>'

    body = re.sub(r"<h([1-6])>(.*?)</h\1>", heading, body, flags=re.DOTALL)
    body = re.sub(r'href="(?:\./)?0*(\d+)_\w+\.ipynb[^"]*"', r'href="#\1"', body)
    body = re.sub(r"<style scoped[^>]*>.*?</style>", "", body, flags=re.DOTALL)  # of pandas; the page has its own
    body = body.replace("<table", '<div class="scroll"><table').replace("</table>", "</table></div>")
    return body, headings or [(_new_id(f"{number}", taken), f"Notebook {number}")]
