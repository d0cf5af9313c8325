"""The command line: ``python -m hw1lib prepare | report | lab | reproduce``."""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import tempfile
import webbrowser
from pathlib import Path

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"


def main(arguments=None) -> int:
    """Run one command; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m hw1lib", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    prepare = commands.add_parser(
        "prepare",
        help="make the features once, so that no notebook waits for them (1 to 3 minutes)",
        epilog="It takes 1 to 3 minutes on two cores, 1.1 GB of memory, and 330 MB of disk in the folder that "
        "HW1_CACHE names (default: .cache). The next time it returns at once.",
    )
    report = commands.add_parser(
        "report",
        help="run every notebook and write the report as one HTML page",
        epilog="On two cores, the first time: about seven minutes at full scale, two at quick scale, and as much as "
        "prepare takes; later runs train less, as what was trained is kept.",
    )
    report.add_argument(
        "--scale",
        choices=("quick", "full"),
        help="full: all epochs and seeds, the report's numbers (default: HW1_SCALE, or quick)",
    )
    report.add_argument(
        "--output",
        type=Path,
        default=NOTEBOOKS.parent / "report" / "index.html",
        help="the page (default: report/index.html beside the notebooks' folder)",
    )
    report.add_argument(
        "--store", action="store_true", help="also save the notebooks as run (stand-in only)"
    )
    lab = commands.add_parser(
        "lab",
        help="make the features once, then open JupyterLab on the notebooks",
        epilog="JupyterLab's own options may follow, such as --no-browser or --port=8899; where a port is taken, it "
        "takes the next one, and prints the address. The first time the features are made, which takes 1 to 3 minutes.",
    )
    reproduce = commands.add_parser(
        "reproduce",
        help="run every experiment over folds, and record the results (hours)",
        epilog="It says at the start about how many hours it will take. What is finished is kept: interrupted, it goes "
        "on where it stopped.",
    )
    reproduce.add_argument(
        "--folds", type=int, default=10, help="of ten disjoint test sets (default: all)"
    )
    reproduce.add_argument(
        "--seeds",
        type=int,
        default=3,
        help="networks on each fold (default: 3); of long experiments one",
    )
    reproduce.add_argument(
        "--jobs", type=int, default=-1, help="processes (default: -1, one a core)"
    )
    reproduce.add_argument(
        "--output", type=Path, help="JSON file (default: reproduced.json in the cache folder)"
    )
    for command in (prepare, report, lab, reproduce):
        command.add_argument(
            "--data", help="folder or archive of UTKFace (default: HW1_DATA, or the stand-in)"
        )
    options, others = parser.parse_known_args(arguments)
    if others and options.command != "lab":
        parser.error(f"unknown arguments: {' '.join(others)}")
    options.others = others
    try:
        if options.data == "":
            raise ValueError(
                "--data must name a folder or an archive; without it HW1_DATA counts, or the stand-in"
            )
        if options.data:
            os.environ["HW1_DATA"] = options.data
        for name in (
            "HW1_DATA",
            "HW1_CACHE",
        ):  # notebooks read them too, and run in a folder of their own
            path = Path(os.environ.get(name) or "/").expanduser()
            if os.environ.get(name) and (path.exists() or name == "HW1_CACHE" or options.data):
                os.environ[name] = str(path.absolute())
        if getattr(options, "scale", None):
            os.environ["HW1_SCALE"] = options.scale
        if getattr(options, "output", None):
            options.output = options.output.expanduser()
        return globals()[f"_{options.command}"](options)
    except (OSError, ValueError, RuntimeError) as error:
        print(f"hw1lib: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("hw1lib: interrupted; what was finished is kept", file=sys.stderr)
        return 130


def _prepare(options) -> int:
    from hw1lib.faces.data import FaceDataset
    from hw1lib.faces.kept import feature_folder

    ds = FaceDataset.open()
    print(ds)
    print(f"features: {feature_folder(ds)}")
    return 0


def _report(options) -> int:
    from hw1lib.show.report import build

    if options.store and os.environ.get("HW1_DATA"):
        raise ValueError(
            "--store keeps pictures in the notebooks: it is for the stand-in only, without HW1_DATA"
        )
    _check_notebooks()
    _check_can_write(options.output)
    if options.store:
        _check_can_write(NOTEBOOKS / "01.ipynb")
    status = _prepare(options)
    page = build(NOTEBOOKS, options.output, options.store)
    print(page)
    return status


def _lab(options) -> int:
    if importlib.util.find_spec("jupyterlab") is None:
        raise RuntimeError("JupyterLab is missing: pip install jupyterlab")
    _check_notebooks()
    _check_lab_options(options.others)
    from jupyter_core.paths import jupyter_runtime_dir

    try:
        _check_can_write(Path(jupyter_runtime_dir()) / "server.json")
    except OSError as error:
        raise OSError(
            f"JupyterLab's file {error}: set HOME to a folder that can be written"
        ) from error
    arguments = [f"--notebook-dir={NOTEBOOKS}", *options.others]
    if (
        hasattr(os, "geteuid") and os.geteuid() == 0
    ):  # in containers; Jupyter refuses root unless it is told
        arguments.append("--allow-root")
    if "--no-browser" not in options.others and not _has_browser():
        print("There is no browser here: open the address that JupyterLab prints.")
        arguments.append("--no-browser")
    try:
        _check_can_write(NOTEBOOKS / "01.ipynb")
    except OSError as error:
        print(f"Notebooks will run, but what you change in them can't be saved: {error}")
    _prepare(options)

    from jupyterlab.labapp import LabApp

    LabApp.launch_instance(arguments)
    return 0


def _reproduce(options) -> int:
    from hw1lib.faces.data import FaceDataset
    from hw1lib.faces.kept import feature_table
    from hw1lib.files import cache_dir
    from hw1lib.study.experiments import write_results
    from hw1lib.study.record import estimated_hours, record, summary

    if not 1 <= options.folds <= 10:
        raise ValueError(f"--folds must be from 1 to 10, not {options.folds}")
    if options.seeds < 1:
        raise ValueError(f"--seeds must be at least 1, not {options.seeds}")
    if options.jobs == 0:
        raise ValueError("--jobs must be a number of processes, or -1 for all cores, not 0")
    if options.output:
        _check_can_write(options.output)
    ds = FaceDataset.open()
    print(ds)
    output = options.output or cache_dir() / "reproduced.json"
    _check_can_write(output)
    how = range(options.folds), range(options.seeds), options.jobs
    hours = estimated_hours(feature_table(ds), *how)
    print(
        f"about {hours:.1f} hours from nothing; what is finished is kept, and an interrupted run goes on there"
    )
    results = record(ds, *how)
    path = write_results(output, results)
    print(summary(results))
    print(path)
    return 0


# -- what can be checked before the long work --------------------------------------------------------------------------


def _check_notebooks() -> None:
    """Raise an error if there are no notebooks to run, or if HW1_SCALE, which they read, is wrong."""
    from hw1lib.study.experiments import full_scale

    if not any(NOTEBOOKS.glob("[0-9]*.ipynb")):
        raise FileNotFoundError(
            f"there are no notebooks in {NOTEBOOKS}: an installed package has none; run this in a checkout of hw1lib"
        )
    full_scale()


def _check_lab_options(given: list[str]) -> None:
    """Raise ValueError for an option that JupyterLab does not have: JupyterLab itself would open without it."""
    from jupyterlab.labapp import LabApp

    known = {f"--{name}" for name in [*LabApp.flags, *LabApp.aliases] if len(name) > 1}
    for option in given:
        name = option.partition("=")[0]
        if name.startswith("--") and "." not in name and name not in known:
            raise ValueError(
                f"lab has no option {name}: there are --data, JupyterLab's {', '.join(sorted(known))}, and settings of "
                "its parts, such as --ServerApp.token=..."
            )


def _check_can_write(path: Path) -> None:
    """Raise OSError that names the file if it can't be written; its folder is made."""
    try:
        if path.is_dir():
            raise IsADirectoryError(None, "it is a folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise OSError(f"{path} can't be written: {error.strerror}") from error


def _has_browser() -> bool:
    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
