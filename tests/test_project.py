"""The project's own files: requirements that agree, a README that says what was recorded, imports that go one way."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from hw1lib import faces, study
from hw1lib.study.published import PUBLISHED

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PACKAGE = ROOT / "hw1lib"
ROOMS = {
    "nn": set(),
    "faces": set(),
    "study": {"nn", "faces"},
    "show": {"study", "nn", "faces"},
}  # what each may import


def pinned():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    lines = [line.split("#")[0].strip() for line in lines]
    return [line for line in lines if line]


def test_requirements_are_pinned_and_meet_what_the_package_asks_for():
    lines = pinned()
    assert lines[0] == "-e ."
    versions = {}
    for requirement in map(Requirement, lines[1:]):
        assert re.fullmatch(r"==[\w.]+", str(requirement.specifier)), f"{requirement} is not pinned"
        versions[requirement.name] = str(requirement.specifier)[2:]
    for requirement in map(Requirement, PROJECT["dependencies"]):
        assert requirement.specifier.contains(versions[requirement.name]), requirement.name


def test_the_oldest_versions_that_are_allowed_are_those_that_are_tried():
    command = [sys.executable, ROOT / "tests" / "lower_bounds.py"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    tried = {
        r.name: r.specifier for r in map(Requirement, (line.split("#")[0] for line in printed if line[0] not in "#-"))
    }
    for requirement in map(Requirement, chain(PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())):
        assert str(requirement.specifier)[:2] == ">="
        assert str(tried[requirement.name]) == "==" + str(requirement.specifier)[2:]
    assert "-e ." in printed
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
    oldest = next(job for job in jobs.values() if {"run": "make test-lower"} in job["steps"])
    assert f">={oldest['steps'][1]['with']['python-version']}" == PROJECT["requires-python"]


def test_environment_delegates_to_requirements_and_pins_python():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python, _, pip = environment["dependencies"]
    assert pip == {"pip": ["-r requirements.txt"]}
    assert re.fullmatch(r"python=3\.\d+", python)
    assert SpecifierSet(PROJECT["requires-python"]).contains(python.split("=")[1])


def test_continuous_integration_tries_the_pythons_that_are_stated():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    tried = workflow["jobs"]["test"]["strategy"]["matrix"]["python"]
    assert tried == ["3.11", "3.12", "3.13", "3.14"]
    stated = [c.split(" :: ")[-1] for c in PROJECT["classifiers"] if re.search(r"Python :: 3\.\d", c)]
    assert stated == tried
    assert PROJECT["requires-python"] == f">={tried[0]}"


def imported(path, everywhere=True):
    """Return the hw1lib modules that a file imports, as dotted names; ``everywhere``: inside functions, too."""
    tree = ast.parse(path.read_text())
    inside = {id(node) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) for node in ast.walk(f)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (everywhere or id(node) not in inside):
            for alias in node.names if (node.module or "").startswith("hw1lib") else ():
                module = PACKAGE.parent.joinpath(*node.module.split("."), f"{alias.name}.py")
                yield f"{node.module}.{alias.name}" if module.exists() else node.module


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_import_only_what_is_below_them(room):
    for path in (PACKAGE / room).glob("*.py"):
        rooms = {name.split(".")[1] for name in imported(path) if "." in name}
        assert rooms <= ROOMS[room] | {room, "files", "checks"}, path


def test_imports_go_one_way():
    paths = {".".join(p.relative_to(ROOT).with_suffix("").parts): p for p in PACKAGE.rglob("*.py") if p.stem[0] != "_"}
    below = {name: set(imported(path, everywhere=False)) for name, path in paths.items()}
    while below:  # take away modules that import nothing of what is left: in a circle none can be
        free = {name for name, names in below.items() if not names & below.keys()}
        assert free, f"these import each other in a circle: {sorted(below)}"
        below = {name: names for name, names in below.items() if name not in free}


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_and_module_is_named_in_the_readme(room):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    row = next(line for line in readme.splitlines() if line.startswith(f"| `hw1lib.{room}`"))
    for path in (PACKAGE / room).glob("[a-z]*.py"):
        assert f"`{path.stem}`" in row
    for notebook in (ROOT / "notebooks").glob("[0-9]*.ipynb"):
        assert notebook.stem in readme


def test_contributing_s_examples_run_as_written(table, monkeypatch):
    monkeypatch.setattr(faces, "feature_table", lambda: table)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        exec(compile(block, "CONTRIBUTING.md", "exec"), {"__name__": "contributing"})


@pytest.mark.parametrize(
    ("what", "heavy"),
    [("hw1lib", ("pandas", "sklearn", "matplotlib", "scipy")), ("hw1lib.nn", ("pandas", "sklearn", "matplotlib"))],
)
def test_importing_brings_nothing_heavy(what, heavy):
    code = f"import sys, {what}; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def readme_rows(begins):
    """Return the cells of the README's table rows whose first cell is ``begins``."""
    lines = [line for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    return [row[1:] for row in rows if row[0] == begins]


@pytest.mark.parametrize("name", PUBLISHED)
def test_readme_quotes_the_recorded_numbers(name):
    table = study.beside_published(PUBLISHED, {"experiments": {}}, study.recorded())
    assert table.columns.tolist()[:4] == readme_rows("experiment")[0][:4]
    (row,) = readme_rows(f"`{name}`")
    assert row[:4] == table.loc[name].tolist()[:4]


def test_readme_quotes_every_verdict_on_what_the_report_concludes():
    compared = study.compare(study.recorded())
    table = study.verdict_table(compared)
    assert table.columns.tolist() == readme_rows("question")[0]
    quoted = [question for question in table.index if readme_rows(question)]
    assert set(compared.index[compared["claimed"]]) <= set(quoted)
    assert compared.index[0] in quoted  # the check: a setting beside itself
    for question in quoted:
        assert readme_rows(question) == [table.loc[question].tolist()]


def test_readme_quotes_the_recorded_baselines():
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    kept = study.recorded()["baselines"]
    for name, said in (("mean", "Always guessing the mean age"), ("linear", "linear regression")):
        rmse, mae = (study.mean_and_interval(kept["age"][name][what]) for what in ("test", "mae"))
        assert f"{said}: {rmse} (MAE {mae})" in readme
    race = study.mean_and_interval(kept["race"]["logistic"]["test"], "accuracy")
    assert f"logistic regression for race: {race}" in readme


def test_readme_quotes_the_measured_speeds():
    measured = json.loads((ROOT / "tests" / "benchmarks" / "results.json").read_text())
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for row in measured["rows"]:
        assert f"| {row['what']} | {row['against']} | {row['ratio']:.2f} | {row['goal']:.2f} |" in readme
    for word in ("processor", "python", "numpy", "scikit-learn"):
        assert measured["machine"][word] in readme
