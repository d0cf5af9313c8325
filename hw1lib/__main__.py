"""The command line: ``python -m hw1lib prepare | report | lab | homework | ...``."""

from __future__ import annotations

import argparse
import importlib.util
import io
import os
import sys
import tempfile
from pathlib import Path

from hw1lib.cache import cache_dir
from hw1lib.checks import FileError, UserError, one_of, whole_number

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
PAGE = NOTEBOOKS.parent / "report" / "index.html"
ASSETS = Path(__file__).parent / "show" / "assets"


def main(arguments=None) -> int:
    """Run one command; return the exit status."""
    for stream in (sys.stdout, sys.stderr):  # nothing that is printed may end the work
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # cp1252 has no "ф"
    parser = _parser()
    options, others = parser.parse_known_args(arguments)
    if others and options.command is not lab:
        parser.error(f"unknown arguments: {' '.join(others)}")
    options.others = others
    try:
        _set_environment(options)
        options.command(options)
    except (OSError, ValueError, RuntimeError) as error:
        _say(f"hw1lib: {error}", "stderr")
        return 1
    except KeyboardInterrupt:
        _say("hw1lib: interrupted; what was finished is kept", "stderr")
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m hw1lib", description=__doc__)
    every = (prepare, report, lab, homework, check, reproduce, verify, confirm)
    names = ",".join(command.__name__ for command in every)
    commands = parser.add_subparsers(required=True, metavar=f"{{{names}}}")
    add = {}
    for command in every:
        text = command.__doc__
        of_command = commands.add_parser(command.__name__, help=text, description=text)
        of_command.set_defaults(command=command, data=None)
        add[command] = of_command.add_argument
        if command not in (homework, check, confirm):  # which take none, or two
            data = "folder or archive of UTKFace (default: HW1_DATA, or drawn faces)"
            add[command]("--data", help=data)
    add[report]("--scale", choices=("quick", "full"), help="default: HW1_SCALE, or quick")
    page = (
        "the page (default: report/index.html; of some notebooks, their numbers, as report/06.html)"
    )
    add[report]("--output", type=Path, help=page)
    add[report]("numbers", nargs="*", metavar="NN", help="of these notebooks alone, such as 02")
    folder = "a folder for each figure, too, as PNG, JPEG or SVG"
    add[report]("--figures", type=Path, metavar="FOLDER", help=folder)
    add[report]("--store", action="store_true", help="also save the notebooks as run (drawn faces)")
    add[homework]("--to", type=Path, required=True, metavar="FOLDER", help="a new folder")
    add[check]("notebooks", nargs="+", type=Path, metavar="NOTEBOOK")
    seed = "of the numbers that functions are tried on (default: 0, as in the notebooks)"
    add[check]("--seed", type=int, default=0, metavar="S", help=seed)
    add[check]("--csv", type=Path, metavar="FILE", help="also write a table, a row a blank")
    tests = "of ten disjoint tests (default: all)"
    add[reproduce]("--folds", type=int, default=10, choices=range(1, 11), metavar="N", help=tests)
    seeds = "networks a test (default: 3); where training is long, 1"
    add[reproduce]("--seeds", type=int, default=3, metavar="N", help=seeds)
    for command in (reproduce, confirm):
        of_cores = "processes (default: one a core)"
        add[command]("--jobs", type=int, default=-1, metavar="N", help=of_cores)
    reproduced = "a folder (default: reproduced, in the cache folder)"
    add[reproduce]("--output", type=Path, help=reproduced)
    one = "an experiment: one of its networks is trained again (default: no training)"
    add[verify]("name", nargs="?", metavar="NAME", help=one)
    add[verify]("--fold", type=int, default=0, metavar="K", help="of NAME, 0 to 9 (default: 0)")
    add[verify]("--seed", type=int, default=0, metavar="S", help="of NAME (default: 0)")
    recording = "a folder that reproduce wrote (default: the package's own)"
    add[verify]("--recording", type=Path, metavar="FOLDER", help=recording)
    add[confirm]("--train", required=True, help="folder or archive: all of its faces train")
    add[confirm]("--test", required=True, help="folder or archive: its other faces test, once")
    add[confirm]("--output", type=Path, required=True, help="the JSON file of protocol and result")
    return parser


def prepare(options) -> None:
    """Make the features once, so that no notebook waits: 1 to 3 minutes, 1.1 GB of memory."""
    from hw1lib import faces

    ds = faces.open()
    _say(ds)
    _say(f"features: {ds.feature_folder()}")


def report(options) -> None:
    """Run the notebooks and write them as one HTML page: all in 7 minutes at full scale."""
    from hw1lib.show.report import build

    if options.store and os.environ.get("HW1_DATA"):
        raise UserError("--store keeps pictures in the notebooks: without HW1_DATA and --data only")
    _check_notebooks()
    there = sorted(path.name[:2] for path in NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
    numbers = sorted(one_of("a notebook's number", n.zfill(2), there) for n in options.numbers)
    page = PAGE.with_stem("-".join(numbers)) if numbers else PAGE
    output = (options.output or page).expanduser()
    _check_can_write(output)
    if options.store:
        _check_can_write(NOTEBOOKS / "01.ipynb")
    prepare(options)
    if options.figures:
        _check_can_write(options.figures / "figure.png")
    chosen = {"numbers": numbers, "figures": options.figures}
    _say(build(NOTEBOOKS, output, options.store, **chosen))


def lab(options) -> None:
    """Make the features, then open JupyterLab; its own options may follow, such as --port=8899."""
    if importlib.util.find_spec("jupyterlab") is None:
        raise UserError("JupyterLab is missing: pip install jupyterlab")
    from jupyterlab.labapp import LabApp

    _check_notebooks()
    arguments = [f"--notebook-dir={NOTEBOOKS}"]
    arguments.append(f"--LabApp.app_settings_dir={ASSETS / 'lab'}")  # no box of news
    arguments.append("--ServerApp.contents_manager_class=hw1lib.contents.Contents")
    arguments += ["--LabApp.default_url=/lab/tree/01_preprocess.ipynb", *options.others]
    if hasattr(os, "geteuid") and os.geteuid() == 0:  # in containers, where Jupyter refuses
        arguments.append("--allow-root")
    prepare(options)
    for name in ("MPLBACKEND", "JUPYTER_PATH"):  # of an IDE, of another Python's kernels
        os.environ.pop(name, None)
    os.environ.setdefault("PYTHONSTARTUP", str(ASSETS / "kernel_startup.py"))  # of each kernel
    LabApp.launch_instance(arguments)


def homework(options) -> None:
    """Write the homework, notebooks with blanks to fill in, into a folder of one's own."""
    from hw1lib.homework import write

    _say(f"{write(options.to)}: open it in JupyterLab: jupyter lab {options.to}")
    _say(f"all your points: python -m hw1lib check {options.to / 'question_1.ipynb'}")


def check(options) -> None:
    """Check notebooks of the homework: their points, and what is missing; in seconds."""
    import pandas as pd

    from hw1lib.homework import check_notebook

    whole_number("--seed", options.seed, 0)
    if options.csv:
        _check_can_write(options.csv)
    rows: list[dict] = []
    broken: list[str] = []
    for path in options.notebooks:
        _say(path)
        try:
            rows += check_notebook(path, options.seed)
        except FileError as error:
            broken.append(str(error))
            nothing = {"question": "", "blank": "", "points": 0, "of": 0, "said": str(error)}
            rows.append({"notebook": str(path)} | nothing)
            _say(error)
    if options.csv:
        pd.DataFrame(rows).to_csv(options.csv, index=False)
    if broken:
        raise UserError(f"{len(broken)} of {len(options.notebooks)} can't be read: {broken[0]}")


def reproduce(options) -> None:
    """Run every experiment over folds, and record it: hours; interrupted, it goes on there."""
    from hw1lib import faces
    from hw1lib.study import EXPERIMENTS
    from hw1lib.study.record import record, summary, write_recording

    whole_number("--seeds", options.seeds)
    output = (options.output or cache_dir() / "reproduced").expanduser()
    _check_can_write(output / "runs.csv")
    ds = faces.open()
    _say(ds)
    networks = (
        f"{len(EXPERIMENTS)} experiments, {options.folds} tests, {options.seeds} networks each"
    )
    _say(
        f"{networks} (where training is long, 1); those that the cache holds are not trained again"
    )
    results = record(ds, range(options.folds), range(options.seeds), options.jobs)
    write_recording(results, output)
    _say(summary(results))
    _say(output)


def verify(options) -> None:
    """Compute every recorded number again from each face's prediction; or train NAME again."""
    from hw1lib import faces
    from hw1lib.study.runs import RECORDED
    from hw1lib.study.train_again import recorded_run, train_again
    from hw1lib.study.verify import verify as compare_all

    folder = (options.recording or RECORDED).expanduser()
    if options.name is None:
        table = compare_all(folder)
        _say(table.to_string())
        if table["differ"].any():
            raise UserError(f"{table['differ'].sum():,} of {table['numbers'].sum():,} differ")
        return
    known = recorded_run(options.name, options.fold, options.seed, folder)
    told, same = train_again(known, faces.open(), folder)
    _say(told)
    if not same:
        raise UserError("it does not come out")


def confirm(options) -> None:
    """Test five claims once on faces that nobody here has seen, as PROTOCOL.md says."""
    from hw1lib import faces
    from hw1lib.study import confirm as confirmation

    output = options.output.expanduser()
    _check_can_write(output)
    confirmation.read(output)  # an error if it is another file
    train, test = (faces.open(path) for path in (options.train, options.test))
    held = confirmation.confirm(train, test, output, options.jobs, _say)
    told = "{claim}: {difference:+.2f} {unit} ({low:+.2f} to {high:+.2f}), {verdict}"
    for row in held["result"]["claims"]:
        _say(told.format(**row))
    _say(output)


def _set_environment(options) -> None:
    """Put options into the environment, where notebooks find them, which run in another folder."""
    if options.data == "":
        raise UserError("--data must name a folder or an archive; without it HW1_DATA counts")
    if options.data:
        os.environ["HW1_DATA"] = options.data
    if getattr(options, "scale", None):
        os.environ["HW1_SCALE"] = options.scale
    one_of("HW1_SCALE", os.environ.get("HW1_SCALE") or "quick", ("full", "quick"))
    for name in ("HW1_DATA", "HW1_CACHE"):
        if os.environ.get(name):
            os.environ[name] = str(Path(os.environ[name]).expanduser().absolute())


def _check_notebooks() -> None:
    if not any(NOTEBOOKS.glob("[0-9]*.ipynb")):
        remedy = "an installed package has none; run this in a checkout of hw1lib"
        raise FileError(f"there are no notebooks in {NOTEBOOKS}: {remedy}")


def _check_can_write(path: Path) -> None:
    """Raise FileError that names the file if it can't be written; its folder is made."""
    try:
        if path.exists() and not path.is_file():
            raise OSError(None, "it is no file")
        path.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=os.path.dirname(os.path.realpath(path))).close()
    except OSError as error:
        raise FileError(f"{path} can't be written: {error.strerror}") from error


def _say(text, stream: str = "stdout") -> None:
    try:
        print(text, file=getattr(sys, stream), flush=True)
    except OSError:  # whoever read it has gone
        setattr(sys, stream, io.StringIO())


if __name__ == "__main__":
    sys.exit(main())
