"""Running notebooks, side by side, and what of their outputs is kept."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable
from pathlib import Path

import joblib
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from tqdm.auto import tqdm
from traitlets.config import Config

CELL_TIMEOUT = 1200  # seconds: no cell of ours comes near
LONGEST = ("05", "03", "04", "02", "08")  # they start first, in this order: 05 alone takes two minutes of a core
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


def run_notebooks(notebooks: dict, finished: Callable, progress: bool = True) -> dict[Path, str]:
    """Run notebooks, one on each core and the longest first; return those that failed, with the cell and how.

    Parameters
    ----------
    notebooks : dict of Path to NotebookNode
        The outputs are put into them. A kernel runs in its file's folder.
    finished : callable
        Called with the path of each notebook that did not fail.
    progress : bool
        Show a bar that tells which are running.
    """
    failures = {}
    cores = joblib.cpu_count()
    at_once = min(cores, len(notebooks))
    free = asyncio.Semaphore(at_once)
    bar = tqdm(total=len(notebooks), unit="notebook", disable=not progress)
    running: list[str] = []

    async def run(path):
        async with free:
            running.append(path.stem)
            bar.set_description(", ".join(running))
            failure = await _run(notebooks[path], path.parent, max(1, cores // at_once))
            running.remove(path.stem)
            bar.set_description(", ".join(running))
            bar.update()
        if failure:
            failures[path] = failure
        else:
            finished(path)

    async def run_all():
        await asyncio.gather(*map(run, sorted(notebooks, key=_rank)))

    with bar:
        asyncio.run(run_all())
    return {path: failures[path] for path in notebooks if path in failures}


async def _run(notebook, folder: Path, cores: int) -> str:
    """Run a notebook from top to bottom, its kernel in ``folder``; return which cell failed and how, or "".

    The output of a cell that failed is its error; the cells below it have none.
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
        # what n_jobs=-1 and BLAS take for all cores in the kernel: two kernels at once do not fight over them
        share = {"OMP_NUM_THREADS": f"{cores}"} | os.environ | {"LOKY_MAX_CPU_COUNT": f"{cores}"}
        await client.async_execute(env=share)
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
            cell.outputs = without_widgets(cell.outputs)
    return failure


def _rank(path: Path) -> int:
    return LONGEST.index(path.name[:2]) if path.name[:2] in LONGEST else len(LONGEST)


def without_widgets(outputs: list) -> list:
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
