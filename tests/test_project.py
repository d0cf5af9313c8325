"""The project's own files: requirements that agree, a README that says what was recorded, imports that go one way."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from hw1lib.study import results
from hw1lib.study.published import PUBLISHED

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MODULES = {path.stem: path for path in (ROOT / "hw1lib").glob("*.py")}


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


def own_imports(path):
    """Return the hw1lib modules that a file imports when it is imported itself: not inside functions."""
    tree = ast.parse(path.read_text())
    inside = {id(node) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) for node in ast.walk(f)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and id(node) not in inside and (node.module or "").startswith("hw1lib"):
            names = [a.name for a in node.names] if node.module == "hw1lib" else [node.module.split(".")[1]]
            yield from (name for name in names if name in MODULES)


def test_imports_go_one_way():
    below = {name: set(own_imports(path)) for name, path in MODULES.items()}
    while below:  # take away modules that import nothing of what is left: in a circle none can be
        free = {name for name, imported in below.items() if not imported & below.keys()}
        assert free, f"these import each other in a circle: {sorted(below)}"
        below = {name: imported for name, imported in below.items() if name not in free}


def test_every_module_is_named_in_the_readme_and_in_the_package():
    import hw1lib

    readme = (ROOT / "README.md").read_text()
    for name in MODULES.keys() - {"__init__", "__main__"}:
        assert re.search(rf"`{name}(\.py)?`", readme), f"README's What's where lacks {name}"
        assert re.search(rf"^{name}\b", hw1lib.__doc__, re.MULTILINE), f"hw1lib.__doc__ lacks {name}"
    for notebook in (ROOT / "notebooks").glob("[0-9]*.ipynb"):
        assert notebook.stem in readme


def test_importing_the_package_brings_nothing_heavy():
    code = "import sys, hw1lib; print([m for m in ('pandas', 'sklearn', 'matplotlib', 'scipy') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


@pytest.mark.parametrize("name", PUBLISHED)
def test_readme_quotes_the_recorded_numbers(name):
    kept = results.recorded()
    row = results.beside_published([name], {"experiments": {}}, kept).loc[name].tolist()[:3]
    line = next(line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith(f"| `{name}` |"))
    assert [cell.strip() for cell in line.split("|")[2:5]] == row


def test_readme_quotes_the_measured_speeds():
    measured = json.loads((ROOT / "tests" / "benchmarks" / "results.json").read_text())
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for row in measured["rows"]:
        assert f"| {row['what']} | {row['against']} | {row['ratio']:.2f} | {row['goal']:.2f} |" in readme
    for word in ("processor", "python", "numpy", "scikit-learn"):
        assert measured["machine"][word] in readme
