"""The report as one page: run every notebook, put them together, write HTML that opens offline."""

from __future__ import annotations

import gzip
import re
from importlib import resources
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from tqdm.auto import tqdm

from hw1lib.files import write_atomically

NOTEBOOKS = "[0-9][0-9]_*.ipynb"  # a notebook belongs to the report by its number alone
CELL_TIMEOUT = 1200  # seconds: no cell of ours comes near


class _Client(NotebookClient):
    """Runs a notebook without keeping the state of its widgets: saved pages show the static figure beside each."""

    def on_comm_open_jupyter_widget(self, msg):
        return None


def run_notebook(path: Path):
    """Return the notebook, run top to bottom in its folder; RuntimeError that names notebook, cell and error."""
    notebook = nbformat.read(path, as_version=4)
    client = _Client(
        notebook,
        timeout=CELL_TIMEOUT,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        record_timing=False,
        store_widget_state=False,
    )
    try:
        client.execute()
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        raise RuntimeError(f"{path}: {error}") from error
    notebook.metadata.pop("widgets", None)
    notebook.metadata.get("language_info", {}).pop("version", None)
    return notebook


def build(notebooks: Path, output: Path, store: bool = False, progress: bool = True) -> Path:
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
    """
    paths = sorted(Path(notebooks).glob(NOTEBOOKS))
    if not paths:
        raise FileNotFoundError(f"there is no notebook {NOTEBOOKS} in {notebooks}")
    done = {}
    bar = tqdm(paths, unit="notebook", disable=not progress)
    for path in bar:
        bar.set_description(path.stem)
        done[path] = run_notebook(path)
        if store:
            text = nbformat.writes(done[path]) + "\n"
            write_atomically(path, lambda temporary, text=text: temporary.write_text(text, encoding="utf-8"))
    page = to_html(done.values())
    return write_atomically(output, lambda temporary: temporary.write_text(page, encoding="utf-8"))


def to_html(notebooks) -> str:
    """Return notebooks, one after the other, as one self-contained HTML page with contents at the side."""
    from nbconvert import HTMLExporter

    whole = nbformat.v4.new_notebook(metadata={"title": "Fully connected networks from scratch: a report, re-run"})
    contents: list[tuple[int, str, str]] = []
    for notebook in notebooks:
        for cell in notebook.cells:
            cell = nbformat.from_dict(cell)
            cell.id = f"cell{len(whole.cells)}"  # ids are unique in a notebook, not across notebooks
            if cell.cell_type == "markdown":
                heading = re.match(r"(#{1,2}) +(.+)", cell.source)
                if heading:
                    anchor = f"part{len(contents) + 1}"
                    text = re.sub(r"[$`*]", "", heading[2])
                    contents.append((len(heading[1]), anchor, text))
                    cell.source = f'<a id="{anchor}"></a>\n\n{cell.source}'
            whole.cells.append(cell)
    assets = resources.files("hw1lib") / "assets" / "report"
    with resources.as_file(assets) as folder:
        mathjax = gzip.decompress((folder / "mathjax-3.2.2-tex-svg.js.gz").read_bytes()).decode()
        exporter = HTMLExporter(template_name="report", extra_template_basedirs=[str(folder.parent)])
        exporter.exclude_anchor_links = True
        # "</script" inside the script would end it early
        given = {"contents": contents, "mathjax": mathjax.replace("</script", "<\\/script")}
        return exporter.from_notebook_node(whole, resources=given)[0]
