"""The report as one page: run every notebook, put them together, write HTML that opens offline."""

from __future__ import annotations

import base64
import platform
import re
from itertools import pairwise
from pathlib import Path

import nbformat
import numpy as np

from hw1lib import __version__, faces, study
from hw1lib.checks import FileError, one_of
from hw1lib.files import write_atomically, write_text
from hw1lib.show.page import CAPTION, to_html
from hw1lib.show.running import read_notebook, run_notebooks

ENDINGS = {"image/png": "png", "image/jpeg": "jpg", "image/svg+xml": "svg"}
SMALLER = "quick: at most 300 epochs, on two of the ten tests"
NOTEBOOK_NAMES = "[0-9][0-9]_*.ipynb"  # a notebook belongs to the report by its number alone


def this_run() -> dict[str, str]:
    """Return what the title block says of data and scale; no date, so equal runs look equal."""
    ds = faces.open()
    source = f"{Path(ds.source).name}, {len(ds):,} faces"
    if ds.drawn:
        source = ds.source[0].upper() + ds.source[1:]
    skipped = f"{len(ds.skipped)} files set aside; fingerprint {ds.fingerprint}"
    facts = {"Data of this run": f"{source}; {skipped}"}
    if ds.drawn:
        facts["Note"] = (
            "The stand-in's faces are drawn. Its numbers are no results; those measured on "
            "UTKFace are quoted."
        )
    full = study.full_scale()
    facts["Scale"] = "full: all epochs, on five of the ten tests" if full else SMALLER
    python = platform.python_version()
    facts["Made with"] = f"hw1lib {__version__}, Python {python}, NumPy {np.__version__}"
    return facts


def build(
    notebooks: Path,
    output: Path,
    store: bool = False,
    facts: dict[str, str] | None = None,
    numbers=(),
    figures: Path | None = None,
) -> Path:
    """Run the notebooks of a folder, side by side, and write them as one HTML page.

    With ``numbers`` only those, such as "02". With ``store`` each notebook is also written back to
    its file, as run. ``figures`` is a folder for each picture as a file. ``facts`` are what the
    page's end says of this run, by default ``this_run()``. FileError, before anything is run: no
    notebook in the folder, or a damaged one. RuntimeError: a cell failed; the others were run, and
    the page was written with the error in its place.
    """
    paths = sorted(Path(notebooks).glob(NOTEBOOK_NAMES))
    by_number = {path.name[:2]: path for path in paths}
    if not paths:
        raise FileError(f"there is no notebook {NOTEBOOK_NAMES} in {notebooks}")
    if numbers:
        for number in numbers:
            one_of("each notebook's number", number, by_number)
        paths = [by_number[number] for number in sorted(set(numbers))]
    facts = this_run() if facts is None else facts
    done = {path: read_notebook(path) for path in paths}
    failed = run_notebooks(done)
    for path in paths:
        if store and path not in failed:
            write_text(path, nbformat.writes(done[path]) + "\n")
    if figures is not None:
        for path in paths:
            write_figures(done[path], Path(figures), path.name[:2])
    failures = [f"{path.name}, {failure}" for path, failure in failed.items()]
    if failures:
        facts = facts | {"Failed": "; ".join(failures)}
    lite = (Path(output).parent / "lite" / "index.html").exists()
    write_text(output, to_html(done.values(), facts, lite))
    if failures:
        told = "\n".join(failures)
        raise RuntimeError(
            f"{len(failures)} of {len(done)} notebooks failed, see {output}:\n{told}"
        )
    return Path(output)


def write_figures(notebook, folder: Path, number: str) -> None:
    """Write each picture of a notebook that ran to a file, "02-07 Fig. 2.15.png" or so."""
    count = 0
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    for output, after in pairwise([*outputs, {}]):
        for kind in ENDINGS.keys() & output.get("data", {}).keys():
            count += 1
            caption = CAPTION.fullmatch(after.get("data", {}).get("text/markdown", ""))
            name = f"{number}-{count:02} {caption[1] if caption else ''}".strip()
            name = re.sub(r"[^\w .,()-]", "", name)  # as every system allows
            content = output["data"][kind]
            content = content.encode() if kind == "image/svg+xml" else base64.b64decode(content)
            path = folder / f"{name}.{ENDINGS[kind]}"
            write_atomically(path, lambda part, content=content: part.write_bytes(content))
