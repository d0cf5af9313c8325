"""The project's own files agree with each other, and with what was recorded."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from cogapp import Cog
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from PIL import Image
from sklearn.datasets import load_iris

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "hw1lib"
ROOMS = {  # what each may import
    "nn": set(),
    "faces": set(),
    "study": {"nn", "faces"},
    "show": {"study", "nn", "faces"},
}
BELOW = {"cache", "files", "checks", "progress"}
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "MODEL_CARD.md",
    "PROTOCOL.md",
    "tests/benchmarks/README.md",
    "homework/README.md",
)
WRITTEN = ["README.md", "MODEL_CARD.md", "PROTOCOL.md", "tests/benchmarks/README.md"]  # by cog
WRITTEN += ["hw1lib/show/assets/printed_cells.txt"]


def page(name):
    return (ROOT / name).read_text(encoding="utf-8")


PROJECT = tomllib.loads(page("pyproject.toml"))["project"]
CI = yaml.safe_load(page(".github/workflows/ci.yml"))["jobs"]


def examples(name):
    """Return the Python that stands in a page."""
    return re.findall(r"```python\n(.*?)```", page(name), re.DOTALL)


def requirements(lines):
    lines = [line.split("#")[0].strip() for line in lines]
    return {r.name: str(r.specifier) for r in map(Requirement, filter(None, lines))}


# -- requirements and continuous integration -------------------------------------------------------


def test_requirements_are_pinned_and_meet_what_the_package_asks_for():
    first, *lines = [line for line in page("requirements.txt").splitlines() if line[0] != "#"]
    assert first == "-e ."
    pinned = requirements(lines)
    assert all(re.fullmatch(r"==[\w.]+", version) for version in pinned.values()), pinned
    for requirement in map(Requirement, PROJECT["dependencies"]):
        assert requirement.specifier.contains(pinned[requirement.name][2:]), requirement.name


def test_the_oldest_versions_that_are_allowed_are_those_that_are_tried():
    command = [sys.executable, ROOT / "tests" / "lower_bounds.py"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    tried = requirements(line for line in printed.splitlines() if line[0] not in "#-")
    for allowed in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()):
        for name, version in requirements(allowed).items():
            assert tried[name] == version.replace(">=", "==")
    (python,) = (step["with"]["python-version"] for step in CI["test-lower"]["steps"][1:2])
    assert PROJECT["requires-python"] == f">={python}"


def test_continuous_integration_tries_the_pythons_that_are_stated():
    tried = CI["test"]["strategy"]["matrix"]["python"]
    stated = [re.search(r"Python :: (3\.\d+)", c) for c in PROJECT["classifiers"]]
    assert tried == [match[1] for match in stated if match]
    assert PROJECT["requires-python"] == f">={tried[0]}"
    python, _, pip = yaml.safe_load(page("environment.yml"))["dependencies"]
    assert pip == {"pip": ["-r requirements.txt"]}
    assert SpecifierSet(PROJECT["requires-python"]).contains(python.split("=")[1])


def test_where_there_is_no_make_the_same_tests_are_run():
    recipe = r"^test-fast:.*\n\t\$\(BIN\)/(python .*)$"
    command = re.search(recipe, page("Makefile"), re.MULTILINE)[1]
    assert {"run": command} in CI["test-fast"]["steps"]
    assert command in page("CONTRIBUTING.md")


# -- imports ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_import_only_what_is_below_them_and_readme_names_their_modules(room):
    row = re.search(rf"^\| `hw1lib.{room}` .*$", page("README.md"), re.MULTILINE)[0]
    for path in (PACKAGE / room).glob("[a-z]*.py"):
        code = path.read_text(encoding="utf-8")
        together = re.findall(r"^ *from hw1lib import (.*)$", code, re.MULTILINE)
        rooms = {name for names in together for name in names.split(", ")}
        rooms |= set(re.findall(r"^ *from hw1lib\.(\w+)", code, re.MULTILINE))
        assert rooms - {"__version__"} <= ROOMS[room] | BELOW | {room}, path
        assert f"`{path.stem}`" in row


@pytest.mark.parametrize(
    ("what", "heavy"),
    [
        ("hw1lib", {"pandas", "sklearn", "matplotlib", "scipy"}),
        ("hw1lib.nn", {"pandas", "sklearn", "matplotlib"}),
    ],
)
def test_importing_brings_nothing_heavy(what, heavy):
    code = f"import sys, {what}; print({heavy} & sys.modules.keys())"
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, capture_output=True, text=True).stdout.strip() == "set()"


# -- pages -----------------------------------------------------------------------------------------


def test_the_readme_names_every_notebook_and_its_example_prints_what_it_says(capsys):
    assert all(path.stem in page("README.md") for path in (ROOT / "notebooks").glob("[0-9]*.ipynb"))
    example = examples("README.md")[0]
    exec(compile(example, "README.md", "exec"), {})
    told = re.findall(r"\d\.\d\d", example.rpartition("  # ")[2])
    assert re.findall(r"\d\.\d\d", capsys.readouterr().out) == told


def test_the_readme_s_table_and_picture_of_one_s_own(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HW1_FACES", "200")
    flowers = load_iris(as_frame=True)
    names = flowers.target.map(dict(enumerate(flowers.target_names)))
    flowers.data.assign(species=names).to_csv("flowers.csv", index=False)
    Image.new("RGB", (320, 240), "grey").save("me.jpg")
    for example in examples("README.md")[1:]:
        exec(compile(example, "README.md", "exec"), {})
    score, age = re.findall(r"-?\d+\.?\d*", capsys.readouterr().out)
    assert float(score) > 0.9
    assert -50 < float(age) < 150  # years, of a network and a picture that have nothing in common


@pytest.mark.parametrize("number", range(len(examples("CONTRIBUTING.md"))))
def test_contributing_s_examples_run_as_written(number, tmp_path, monkeypatch):
    monkeypatch.setenv("HW1_FACES", "60")
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")  # no processes for so little
    monkeypatch.chdir(tmp_path)
    code = examples("CONTRIBUTING.md")[number]
    exec(compile(code, "CONTRIBUTING.md", "exec"), {"__name__": "contributing"})


@pytest.mark.parametrize("name", WRITTEN)
def test_the_numbers_of_a_page_are_those_recorded(name, capsys):
    """Else `make format` writes them."""
    assert "[[[cog" in page(name)
    options = re.search(r"^COG := (.*) tests$", page("Makefile"), re.MULTILINE)[1].split()
    told = Cog().main(["cog", "--check", "--diff", *options, f"{ROOT}/tests", str(ROOT / name)])
    assert told == 0, capsys.readouterr().out


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_to_files_and_headings_that_are_there(name):
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page(name)):
        path, _, heading = link.partition("#")
        there = (ROOT / name).parent / path if path else ROOT / name
        assert there.exists(), link
        if heading:
            titles = re.findall(r"^#+ (.*)$", there.read_text("utf-8"), re.MULTILINE)
            assert heading in [title.lower().replace(" ", "-") for title in titles], link


def test_the_version_is_the_same_everywhere():
    cited = yaml.safe_load(page("CITATION.cff"))
    assert (cited["version"], cited["license"]) == (PROJECT["version"], PROJECT["license"])
    assert re.search(r"^## (\S+)", page("CHANGELOG.md"), re.MULTILINE)[1] == PROJECT["version"]


@pytest.mark.skipif(not shutil.which("cffconvert"), reason="it is not beside JupyterLab: .ci/run")
def test_the_citation_file_is_valid():
    command = ["cffconvert", "--validate"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
