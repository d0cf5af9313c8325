"""The report as one page: run every notebook, put them together, write HTML that opens offline."""

from __future__ import annotations

import platform
from pathlib import Path

import nbformat
import numpy as np

from hw1lib import __version__, faces, study
from hw1lib.checks import FileError
from hw1lib.files import write_text
from hw1lib.show.page import to_html
from hw1lib.show.running import read_notebook, run_notebooks

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
    progress: bool = True,
    facts: dict[str, str] | None = None,
) -> Path:
    """Run all notebooks of a folder, side by side, and write them as one HTML page.

    With ``store`` each notebook is also written back to its file, as run. ``facts`` are what the
    title block says of this run, by default ``this_run()``. FileError, before anything is run: no
    notebook in the folder, or a damaged one. RuntimeError: a cell failed; the others were run, and
    the page was written with the error in its place.
    """
    paths = sorted(Path(notebooks).glob(NOTEBOOK_NAMES))
    if not paths:
        raise FileError(f"there is no notebook {NOTEBOOK_NAMES} in {notebooks}")
    facts = this_run() if facts is None else facts
    done = {path: read_notebook(path) for path in paths}
    failed = run_notebooks(done, progress)
    for path in paths:
        if store and path not in failed:
            write_text(path, nbformat.writes(done[path]) + "\n")
    failures = [f"{path.name}, {failure}" for path, failure in failed.items()]
    if failures:
        facts = facts | {"Failed": "; ".join(failures)}
    write_text(output, to_html(done.values(), facts))
    if failures:
        told = "\n".join(failures)
        raise RuntimeError(
            f"{len(failures)} of {len(done)} notebooks failed, see {output}:\n{told}"
        )
    return Path(output)
