"""The command line: ``python -m hw1lib prepare | report | reproduce``."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"


def main(arguments=None) -> int:
    """Run one command; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m hw1lib", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    prepare = commands.add_parser("prepare", help="make the features once, so that no notebook waits for them")
    report = commands.add_parser("report", help="run every notebook and write the report as one HTML page")
    report.add_argument("--output", type=Path, default=NOTEBOOKS.parent / "report" / "index.html")
    report.add_argument("--store", action="store_true", help="also save the notebooks as run (stand-in only)")
    reproduce = commands.add_parser("reproduce", help="run every experiment over seeds, and record the results")
    reproduce.add_argument("--seeds", type=int, default=10)
    reproduce.add_argument("--jobs", type=int, default=-1, help="processes; -1 for all cores")
    reproduce.add_argument("--output", type=Path, help="JSON file (default for UTKFace: the recorded one)")
    for command in (prepare, report, reproduce):
        command.add_argument("--data", help="folder or archive of UTKFace (default: HW1_DATA, or the stand-in)")
    options = parser.parse_args(arguments)
    if options.data:
        os.environ["HW1_DATA"] = str(Path(options.data).expanduser().absolute())  # notebooks read it too
    try:
        return globals()[f"_{options.command}"](options)
    except (OSError, ValueError, RuntimeError) as error:
        print(f"hw1lib: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("hw1lib: interrupted; what was finished is kept", file=sys.stderr)
        return 130


def _prepare(options) -> int:
    from hw1lib.faces.data import FaceDataset
    from hw1lib.faces.preprocess import feature_folder

    ds = FaceDataset.open()
    print(ds)
    print(f"features: {feature_folder(ds)}")
    return 0


def _report(options) -> int:
    from hw1lib.show.report import build

    if options.store and os.environ.get("HW1_DATA"):
        raise ValueError("--store keeps pictures in the notebooks: it is for the stand-in only, without HW1_DATA")
    status = _prepare(options)
    page = build(NOTEBOOKS, options.output, options.store)
    print(page)
    return status


def _reproduce(options) -> int:
    from hw1lib.faces.data import FaceDataset
    from hw1lib.files import cache_dir
    from hw1lib.study.experiments import write_results
    from hw1lib.study.record import record, summary

    if options.seeds < 1:
        raise ValueError(f"--seeds must be at least 1, not {options.seeds}")
    ds = FaceDataset.open()
    print(ds)
    results = record(ds, range(options.seeds), options.jobs)
    default = (
        cache_dir() / "standin.json"
        if ds.is_standin
        else Path(__file__).with_name("study") / "recorded" / "utkface.json"
    )
    path = write_results(options.output or default, results)
    print(summary(results))
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
