"""The report as one page: run every notebook, put them together, write HTML that opens offline."""

from __future__ import annotations

import platform
from pathlib import Path

import nbformat
import numpy as np

from hw1lib import __version__
from hw1lib.faces.data import FaceDataset
from hw1lib.files import write_atomically
from hw1lib.show.page import to_html
from hw1lib.show.running import read_notebook, run_notebooks
from hw1lib.study.experiments import full_scale

NOTEBOOK_NAMES = "[0-9][0-9]_*.ipynb"  # a notebook belongs to the report by its number alone


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
    """Run all notebooks of a folder, side by side, and write them as one HTML page.

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

    def keep(path):
        if store:
            _write(path, nbformat.writes(done[path]) + "\n")

    failures = [f"{path.name}, {failure}" for path, failure in run_notebooks(done, keep, progress).items()]
    _write(output, to_html(done.values(), facts | ({"Failed": "; ".join(failures)} if failures else {})))
    if failures:
        raise RuntimeError(f"{len(failures)} of {len(done)} notebooks failed, see {output}:\n" + "\n".join(failures))
    return output


def _write(path: Path, text: str) -> None:
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
