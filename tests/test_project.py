"""The project's own files: requirements that agree, pages that say what was recorded, imports that go one way."""

import ast
import json
import re
import shutil
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from hw1lib import faces, show, study
from hw1lib.study.published import PUBLISHED

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PACKAGE = ROOT / "hw1lib"
ROOMS = {
    "nn": set(),
    "faces": set(),
    "study": {"nn", "faces"},
    "show": {"study", "nn", "faces"},
}  # what each may import


PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "MODEL_CARD.md", "tests/benchmarks/README.md")


def page(name):
    return (ROOT / name).read_text(encoding="utf-8")


def examples(name):
    """Return the Python that stands in a page."""
    return re.findall(r"```python\n(.*?)```", page(name), re.DOTALL)


def rows(begins, name="README.md"):
    """Return the other cells of a page's table rows whose first cell is ``begins``."""
    found = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page(name).splitlines() if line[:2] == "| "]
    return [row[1:] for row in found if row[0] == begins]


def pinned():
    lines = page("requirements.txt").splitlines()
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
    jobs = yaml.safe_load(page(".github/workflows/ci.yml"))["jobs"]
    oldest = next(job for job in jobs.values() if {"run": "make test-lower"} in job["steps"])
    assert f">={oldest['steps'][1]['with']['python-version']}" == PROJECT["requires-python"]


def test_environment_delegates_to_requirements_and_pins_python():
    environment = yaml.safe_load(page("environment.yml"))
    python, _, pip = environment["dependencies"]
    assert pip == {"pip": ["-r requirements.txt"]}
    assert re.fullmatch(r"python=3\.\d+", python)
    assert SpecifierSet(PROJECT["requires-python"]).contains(python.split("=")[1])


def test_continuous_integration_tries_the_pythons_that_are_stated():
    workflow = yaml.safe_load(page(".github/workflows/ci.yml"))
    tried = workflow["jobs"]["test"]["strategy"]["matrix"]["python"]
    assert tried == ["3.11", "3.12", "3.13", "3.14"]
    stated = [c.split(" :: ")[-1] for c in PROJECT["classifiers"] if re.search(r"Python :: 3\.\d", c)]
    assert stated == tried
    assert PROJECT["requires-python"] == f">={tried[0]}"


def test_where_there_is_no_make_the_same_tests_are_run():
    makefile = page("Makefile")
    (command,) = re.findall(r"^test-fast:.*\n\t\$\(BIN\)/(python .*)$", makefile, re.MULTILINE)
    exported = dict(re.findall(r"^test test-fast .*: export (\w+) = (\w+)$", makefile, re.MULTILINE))
    job = yaml.safe_load(page(".github/workflows/ci.yml"))["jobs"]["test-fast"]
    assert {"run": command} in job["steps"]
    assert job["env"] == exported
    assert {system.split("-")[0] for system in job["strategy"]["matrix"]["os"]} == {"windows", "macos"}
    assert command in page("CONTRIBUTING.md")


def test_make_help_names_every_command():
    make = shutil.which("make")
    if not make or sys.platform == "win32":
        pytest.skip("there is no make, or no awk")
    told = subprocess.run([make, "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    (phony,) = re.findall(r"^\.PHONY: (.*)$", page("Makefile"), re.MULTILINE)
    assert [line.split()[1] for line in told.splitlines()] == phony.split()
    assert all(len(line.split()) > 3 for line in told.splitlines())


def imported(path, everywhere=True):
    """Return the hw1lib modules that a file imports, as dotted names; ``everywhere``: inside functions, too."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
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
    readme = page("README.md")
    row = next(line for line in readme.splitlines() if line.startswith(f"| `hw1lib.{room}`"))
    for path in (PACKAGE / room).glob("[a-z]*.py"):
        assert f"`{path.stem}`" in row
    for notebook in (ROOT / "notebooks").glob("[0-9]*.ipynb"):
        assert notebook.stem in readme


def test_the_readme_s_first_screen_holds_what_a_newcomer_needs(capsys):
    first = page("README.md").partition("\n## ")[0]
    assert len(first.splitlines()) <= 45
    assert all(f"python -m hw1lib {command}" in first for command in ("lab", "report"))
    (example,) = examples("README.md")
    lines = [line for line in example.splitlines() if line and not re.match("import|from", line)]
    assert example in first
    assert len(lines) <= 10
    exec(compile(example, "README.md", "exec"), {})
    told = re.findall(r"\d\.\d\d", example.partition("  # ")[2].rpartition("  # ")[2])
    assert re.findall(r"\d\.\d\d", capsys.readouterr().out) == told


@pytest.mark.parametrize("number", [0, 1, pytest.param(2, marks=pytest.mark.slow)])
def test_contributing_s_examples_run_as_written(number, table, tmp_path, monkeypatch):
    monkeypatch.setattr(faces, "feature_table", lambda: table)
    monkeypatch.chdir(tmp_path)
    found = examples("CONTRIBUTING.md")
    assert len(found) == 3
    exec(compile(found[number], "CONTRIBUTING.md", "exec"), {"__name__": "contributing"})


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_to_files_and_headings_that_are_there(name):
    for link in re.findall(r"\]\(([^)\s]+)\)", page(name)):
        path, _, heading = link.partition("#")
        if not re.match("https?:", link):
            assert ((ROOT / name).parent / path).exists(), link
            there = (ROOT / name).parent / path if path else ROOT / name
            titles = re.findall(r"^#+ (.*)$", there.read_text(encoding="utf-8"), re.MULTILINE) if heading else []
            assert not heading or heading in [title.lower().replace(" ", "-") for title in titles], link


def test_the_version_is_the_same_everywhere():
    cited = yaml.safe_load(page("CITATION.cff"))
    assert cited["version"] == PROJECT["version"]
    assert cited["license"] == PROJECT["license"]
    assert re.search(r"^## (\S+)", page("CHANGELOG.md"), re.MULTILINE)[1] == PROJECT["version"]


@pytest.mark.skipif(not shutil.which("cffconvert"), reason="cffconvert is not beside JupyterLab, see .ci/run")
def test_the_citation_file_is_valid():
    done = subprocess.run(["cffconvert", "--validate"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("what", "heavy"),
    [("hw1lib", ("pandas", "sklearn", "matplotlib", "scipy")), ("hw1lib.nn", ("pandas", "sklearn", "matplotlib"))],
)
def test_importing_brings_nothing_heavy(what, heavy):
    code = f"import sys, {what}; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


@pytest.mark.parametrize("name", PUBLISHED)
def test_readme_quotes_the_recorded_numbers(name):
    table = study.beside_published(PUBLISHED, {"experiments": {}}, study.recorded())
    assert table.columns.tolist()[:4] == rows("experiment")[0][:4]
    (row,) = rows(f"`{name}`")
    assert row[:4] == table.loc[name].tolist()[:4]


def test_readme_quotes_every_verdict_on_what_the_report_concludes():
    compared = study.compare(study.recorded())
    table = study.verdict_table(compared)
    assert table.columns.tolist() == rows("question")[0]
    quoted = [question for question in table.index if rows(question)]
    assert set(compared.index[compared["claimed"]]) <= set(quoted)
    assert compared.index[0] in quoted  # the check: a setting beside itself
    for question in quoted:
        assert rows(question) == [table.loc[question].tolist()]


def test_readme_quotes_the_recorded_baselines():
    readme = " ".join(page("README.md").split())
    kept = study.recorded()["baselines"]
    for name, said in (("mean", "Always guessing the mean age"), ("linear", "linear regression")):
        rmse, mae = (study.mean_and_interval(kept["age"][name][what]) for what in ("test", "mae"))
        assert f"{said}: {rmse} (MAE {mae})" in readme
    race = study.mean_and_interval(kept["race"]["logistic"]["test"], "accuracy")
    assert f"logistic regression for race: {race}" in readme


def measured():
    return json.loads(page("tests/benchmarks/results.json"))


def speed(row):
    return f"| {row['what']} | {row['against']} | {row['ratio']:.2f} | {row['goal']:.2f} |"


def test_every_measured_speed_stands_beside_the_benchmarks_and_five_in_the_readme():
    every = [speed(row) for row in measured()["rows"]]
    named = [line for line in page("tests/benchmarks/README.md").splitlines() if line in every]
    assert named == every
    assert len([line for line in page("README.md").splitlines() if line in every]) == 5
    for word in ("processor", "python", "numpy", "scikit-learn"):
        assert measured()["machine"][word] in page("tests/benchmarks/README.md")


def test_the_readme_says_what_a_face_costs_as_it_was_measured():
    """From the seconds that the benchmarks' names tell: "export 20,000 faces, s (9.6 and 4.4)"."""
    told = {row["what"] for row in measured()["rows"]}
    export = next(m for what in told if (m := re.match(r"export 20,000 faces, s \((\d+\.\d) and", what)))
    epochs = next(m for what in told if (m := re.match(r"8,000 epochs .*, 16,200 faces \((\d+\.\d) minutes\)", what)))
    once, each = 1e3 * float(export[1]) / 20_000, 1e6 * 60 * float(epochs[1]) / 8_000 / 16_200
    readme = " ".join(page("README.md").split())
    assert f"about {once:.1f} ms and {128 * 4} bytes once" in readme
    assert f"{each:.1f} µs in each epoch" in readme


def test_the_readme_tells_what_the_convolutional_network_reaches():
    kept, of = study.recorded(), study.mean_and_interval
    age, mae, race = (study.fold_means(kept, *which) for which in (("conv/age",), ("conv/age", "mae"), ("conv/race",)))
    assert f"age {of(age)} (MAE {of(mae)}), race label {of(race, 'accuracy')}." in page("README.md")


# -- the model card ---------------------------------------------------------------------------------------------------

CONV = {"age": "conv/age", "race": "conv/race"}
CARD = {"age": "depth/64-16", "race": "race/64", "gender": "gender/64"}


def test_the_model_card_describes_the_networks_that_are_recorded():
    recorded = study.recorded()["experiments"]
    settings = [recorded[name]["settings"] for name in CARD.values()]
    outputs = {"age": 1, "race": 5, "gender": 1}
    assert rows("experiment (`study.EXPERIMENTS`)", "MODEL_CARD.md") == [[f"`{name}`" for name in CARD.values()]]
    layers = ["-".join(map(str, [128, *one["hidden"], outputs[one["target"]]])) for one in settings]
    assert rows("layers", "MODEL_CARD.md") == [layers]
    assert rows("epochs", "MODEL_CARD.md") == [[str(one["epochs"]) for one in settings]]
    assert [name in study.TUNED for name in CARD.values()] == [True, True, False]
    chosen = ("schedule", "weight_decay", "whitening")
    assert [settings[1][key] for key in chosen] == [settings[2][key] for key in chosen]
    assert {one["activation"] for one in settings} == {"leaky_relu"}


def test_the_model_card_quotes_the_recorded_numbers():
    kept = study.recorded()
    named = {
        "age, RMSE in years": ("age", "test", {"linear": "linear regression", "mean": "always the mean"}),
        "age, MAE in years": ("age", "mae", {"linear": "linear regression", "mean": "always the mean"}),
        "race label, accuracy": (
            "race",
            "test",
            {"logistic": "logistic regression", "largest": "always the largest class"},
        ),
        "gender label, accuracy": (
            "gender",
            "test",
            {"logistic": "logistic regression", "largest": "always the larger class"},
        ),
    }
    for row, (target, what, simple) in named.items():
        metric = "rmse" if target == "age" else "accuracy"
        network = study.mean_and_interval(study.fold_means(kept, CARD[target], what), metric)
        others = [
            f"{study.mean_and_interval(kept['baselines'][target][key][what], metric)}, {name}"
            for key, name in simple.items()
        ]
        conv = "-"
        if target in CONV:
            conv = study.mean_and_interval(study.fold_means(kept, CONV[target], what), metric)
        assert rows(row, "MODEL_CARD.md") == [[network, conv, "; ".join(others)]]


def test_the_model_card_says_how_good_the_labels_are():
    kept, text = study.recorded(), " ".join(page("MODEL_CARD.md").split())
    data, noise = kept["data"], kept["label_noise"]
    for said in (
        f"Recorded are {data['faces']:,} of them; {data['set_aside']} more were set aside",
        f"{noise['faces']} of the faces are, but for rounding, the same picture as another. Of the {noise['pairs']} ",
        f"{noise['age_differs']:.0%} differ in age, {noise['gender_differs']:.0%} in the gender label and "
        f"{noise['race_differs']:.0%} in the race label".replace("%", " %"),
        f"off by {noise['age_spread']:.1f} years (root mean square), and {100 * noise['race_wrong']:.0f} % of the race",
        f"({noise['near_duplicates']:,} faces have one)",
    ):
        assert said in text


def test_the_model_card_tells_for_whom_it_works_with_intervals():
    kept, quoted = study.recorded(), 0
    labels = show.RACES, show.GENDERS
    race = [study.accuracy_by_label(kept, of["race"], *labels) for of in (CARD, CONV)]
    age = [study.rmse_by_label(kept, of["age"], *labels) for of in (CARD, CONV)]
    cells = {"": "{:.1f} % ({:.1f} to {:.1f})", "RMSE, ": "{:.1f} ({:.1f} to {:.1f})"}
    for (before, cell), tables, factor in zip(cells.items(), (race, age), (100, 1), strict=True):
        for kind, table in tables[0].items():
            for group, one in table.iterrows():
                name = f"age label {group} to {group + 9}" if kind == "age decade" else f"{kind} {group}"
                both = one, tables[1][kind].loc[group]
                told = [cell.format(*(factor * each[key] for key in ("value", "low", "high"))) for each in both]
                assert rows(before + name, "MODEL_CARD.md") == [[f"{one['n']:,.0f}", *told]]
                quoted += 1
    section = page("MODEL_CARD.md").partition("## For whom")[2].partition("\n## ")[0]
    assert quoted == len(re.findall(r"^\| (?:RMSE, )?\w+ label ", section, re.MULTILINE))
    decades = age[1]["age decade"]["value"]
    assert f"is {decades[20]:.1f} years for labels from 20 to 29, and {decades[90]:.1f} from 90 on" in section
    assert (decades.idxmin(), decades.idxmax()) == (20, 90)
    groups = race[0]
    race = groups["race label"]
    best, worst = race["value"].idxmax(), race["value"].idxmin()
    assert (best, worst) == (race["n"].idxmax(), race["n"].idxmin())
    most, least = (f"{100 * race['value'][label]:.1f} %" for label in (best, worst))
    said = f'{most} of the label "{best}", the most frequent, and for {least} of "{worst}", the least frequent'
    assert said in " ".join(page("MODEL_CARD.md").split())
