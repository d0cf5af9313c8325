"""All benchmarks, as one table and as results.json; or those named (run.py bench_conv ...).

Ratios are ours / theirs: below 1 we are faster.
"""

import json
import os
import platform
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import torch
from sklearn import __version__ as sklearn_version

HERE = Path(__file__).parent
MODULES = ("bench_network", "bench_conv", "bench_preprocess", "bench_project")


def processor() -> str:
    """Return the processor's name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def main():
    machine = {"processor": processor(), "cores": os.cpu_count()}
    machine |= {"python": platform.python_version(), "numpy": np.__version__}
    machine |= {"torch": torch.__version__, "scikit-learn": sklearn_version}
    print(machine)
    rows = []
    for module in sys.argv[1:] or MODULES:
        for row in import_module(module).rows():
            numbers = {name: round(float(row[name]), 3) for name in ("ratio", "goal")}
            rows.append(row | numbers)
            missed = "" if row["ratio"] <= row["goal"] else "  <- missed"
            told = f"{row['what']:60} {row['against']:45} {row['ratio']:6.2f} {row['goal']:6.2f}"
            print(told + missed, flush=True)
    if not sys.argv[1:]:  # some alone are no table
        results = json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n"
        (HERE / "results.json").write_text(results)


if __name__ == "__main__":
    main()
