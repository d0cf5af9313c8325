"""Running notebooks, side by side, and what of their outputs is kept."""

from __future__ import annotations

import atexit
import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import joblib
import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbclient.util import run_sync
from traitlets.config import Config

from hw1lib.cache import cache_dir
from hw1lib.checks import FileError
from hw1lib.progress import bar
from hw1lib.show.display import STYLE

CELL_TIMEOUT = 1200  # seconds: no cell of ours comes near
LONGEST = ("05", "03", "04", "02", "08")  # they start first, in this order
WIDGET = "application/vnd.jupyter.widget-view+json"
PROGRESS_BAR = re.compile(r"\d%\||\d\w* \[\d\d:\d\d, ")  # with or without an end


class _ThisPython(AsyncKernelManager):
    """Starts kernels of the Python that runs this, whatever is installed under their name."""

    def _kernel_spec_manager_default(self):
        return KernelSpecManager(kernel_dirs=[])


class _Client(NotebookClient):
    """Runs a notebook without the state of its widgets, which nothing shows."""

    def on_comm_open_jupyter_widget(self, msg):
        return None


def read_notebook(path: Path):
    """Return a notebook as it is stored; FileError that names the file if it is none."""
    try:
        return nbformat.read(path, as_version=4)
    except OSError:
        raise
    except Exception as error:  # nbformat raises many kinds over a damaged file
        raise FileError(f"{path}: not a notebook: {error}") from error


def run_notebooks(notebooks: dict) -> dict[Path, str]:
    """Run notebooks, one on each core and the longest first; return which failed, and how.

    ``notebooks`` are by their paths. The outputs are put into them; a kernel runs in its file's
    folder.
    """
    at_once = min(joblib.cpu_count(), len(notebooks))
    clients = {path: _client(notebooks[path], path.parent) for path in notebooks}
    finished = bar(None, "report", len(notebooks), unit="notebook")
    with finished, ThreadPoolExecutor(at_once) as pool:
        running = {}
        for path in sorted(notebooks, key=_rank):
            running[path] = pool.submit(_run, clients[path], _environment(at_once))
            running[path].add_done_callback(lambda _: finished.update())
        try:
            while wait(running.values(), timeout=1).not_done:  # without one, Windows has no Ctrl-C
                pass
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            while wait(running.values(), timeout=0.5).not_done:
                for client in clients.values():
                    _stop(client)
            raise
    failures = {path: running[path].result() for path in notebooks}
    return {path: failure for path, failure in failures.items() if failure}


def _client(notebook, folder: Path) -> NotebookClient:
    return _Client(
        notebook,
        timeout=CELL_TIMEOUT,
        kernel_name="python3",
        kernel_manager_class=_ThisPython,
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,
        config=Config({"KernelManager": {"transport_encryption": "auto"}}),
    )


def _environment(at_once: int) -> dict[str, str]:
    """Return a kernel's environment: its share of the cores, and our figures, not its user's."""
    share = str(joblib.cpu_count() // at_once)
    ours = {
        "LOKY_MAX_CPU_COUNT": share,  # what n_jobs=-1 takes for all cores
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "MATPLOTLIBRC": str(STYLE),
        "IPYTHONDIR": str(cache_dir() / "ipython"),
        "PYTHONOPTIMIZE": "",  # which would pass over every assert
    }
    return {"OMP_NUM_THREADS": share} | os.environ | ours


def _run(client: NotebookClient, environment: dict[str, str]) -> str:
    """Run a notebook from top to bottom; return which cell failed and how, or "".

    The output of a cell that failed is its error; the cells below it have none.
    """
    cells = [cell for cell in client.nb.cells if cell.cell_type == "code"]
    for cell in cells:
        cell.outputs, cell.execution_count = [], None
    started: list = []  # their number is what JupyterLab shows at the last of them
    client.on_cell_execute = lambda cell, cell_index: started.append(cell)
    failure = ""
    try:
        client.execute(env=environment)
    except CellExecutionError as error:
        failure = f"cell [{len(started)}]: {error.ename}: {error.evalue}"
    except Exception as error:  # the kernel died, was too slow, or did not even start
        atexit.unregister(client._cleanup_kernel)  # nbclient's, which fails without a kernel
        where = f"cell [{len(started)}]" if started else "no kernel started"
        failure = f"{where}: {error}"
        shown = {"ename": type(error).__name__, "evalue": f"{error}", "traceback": [failure]}
        for cell in (started or cells[:1])[-1:]:
            cell.outputs.append(nbformat.v4.new_output("error", **shown))
    client.nb.metadata.pop("widgets", None)
    client.nb.metadata.get("language_info", {}).pop("version", None)
    for cell in cells:
        cell.outputs = without_widgets(cell.outputs)
    return failure


def _stop(client: NotebookClient) -> None:
    if client.km is not None and client.km.has_kernel:
        shutdown: Callable = client.km.shutdown_kernel
        run_sync(shutdown)(now=True)


def _rank(path: Path) -> int:
    return LONGEST.index(path.name[:2]) if path.name[:2] in LONGEST else len(LONGEST)


def without_widgets(outputs: list) -> list:
    """Return outputs without progress bars and other widgets: a stored page can't show them."""
    kept: list = []
    for output in outputs:
        if output.output_type == "stream" and output.name == "stderr":
            lines = [line for line in output.text.splitlines() if line.strip()]
            text = "\n".join(line for line in lines if not PROGRESS_BAR.search(line))
            if text:
                kept.append(nbformat.v4.new_output("stream", name="stderr", text=text))
        elif WIDGET not in output.get("data", {}):
            kept.append(output)
    return kept
