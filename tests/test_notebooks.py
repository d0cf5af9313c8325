"""How the notebooks are stored: as run, in order, readable, the same on every machine."""

import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from statistics import median

import nbformat
import pytest

from hw1lib.faces import standin
from hw1lib.show import report, running

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
PATHS = sorted(FOLDER.glob(report.NOTEBOOK_NAMES))

# Where the reader finds each figure and table of the report (by its printed number).
HOME = {
    "01": ["2.1"],
    "02": ["2.2", "2.15"],
    "03": ["2.3", "2.4", "2.5", "2.6", "2.7", "2.8", "2.9", "2.10", "2.11", "2.12", "2.13", "2.14"],
    "04": ["2.16", "2.17", "2.18"],
    "05": ["2.19", "2.20"],
    "06": [f"3.{i}" for i in range(1, 13)],
    "07": ["4.1"],
}

every_notebook = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
ANSWERS = FOLDER / "09_answers.ipynb"
LESSONS = [path for path in PATHS if path != ANSWERS]
every_lesson = pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)


def read(path):
    return nbformat.read(path, as_version=4)


def code_cells(path):
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def outputs(path):
    return [output for cell in code_cells(path) for output in cell.outputs]


def headings(path):
    """Return (level, text) of every markdown heading, without those in fenced code."""
    source = "\n\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")
    source = re.sub(r"^```.*?^```", "", source, flags=re.DOTALL | re.MULTILINE)
    return [(len(marks), text.strip()) for marks, text in re.findall(r"^(#+) +(.+)$", source, flags=re.MULTILINE)]


def test_notebooks_are_numbered_without_a_gap():
    assert [int(path.name[:2]) for path in PATHS] == list(range(1, len(PATHS) + 1))
    assert PATHS


@every_notebook
def test_it_is_a_valid_notebook_with_ids_of_its_own(path):
    notebook = read(path)
    nbformat.validate(notebook)
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)


@every_notebook
def test_it_is_stored_as_run_from_top_to_bottom(path):
    cells = [cell for cell in code_cells(path) if cell.source.strip()]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    results = [(cell, o) for cell in cells for o in cell.outputs if o.output_type == "execute_result"]
    assert [o.execution_count for _, o in results] == [cell.execution_count for cell, _ in results]
    assert any(cell.outputs for cell in cells)


@every_notebook
def test_no_cell_failed_or_warned(path):
    assert [o.ename for o in outputs(path) if o.output_type == "error"] == []
    assert [o.text for o in outputs(path) if o.get("name") == "stderr"] == []
    assert [cell.source for cell in code_cells(path) if "raises-exception" in cell.metadata.get("tags", [])] == []


@every_notebook
def test_code_cells_are_short(path):
    assert {cell.id: n for cell in code_cells(path) if (n := len(cell.source.splitlines())) > 25} == {}


@every_lesson
def test_most_code_cells_are_very_short_and_few_lines_import(path):
    sources = [cell.source for cell in code_cells(path) if cell.source.strip()]
    assert median(len(source.splitlines()) for source in sources) <= 8
    importing = [[n for n, line in enumerate(s.splitlines()) if re.match("(from|import) ", line)] for s in sources]
    assert [n for n, lines in enumerate(importing) if lines] == [0]  # the first cell alone
    assert len(importing[0]) <= 5


@every_notebook
def test_who_is_cited_stands_in_a_list_of_references(path):
    """As "Zhang et al. 2017" or "Holm (1979)"; each entry of the list says "Authors (year), *title*"."""
    text, _, listed = "\n".join(c.source for c in read(path).cells if c.cell_type == "markdown").partition(
        "### References"
    )
    entries = {(m[1], m[2]) for m in re.finditer(r"^- ([^\W\d_a-z]\w+)[^(\n]* \((\d{4})\), \*\S", listed, re.MULTILINE)}
    assert len(entries) == len(re.findall(r"^- ", listed, re.MULTILINE))
    names = r"([A-Z][\w-]+)(?:(?:, [A-Z][\w-]+)*,? and [A-Z][\w-]+| et al\.)? \(?((?:19|20)\d\d)\b"
    assert {(m[1], m[2]) for m in re.finditer(names, text)} - entries == set()


@every_lesson
def test_exercises_are_few(path):
    text = read(path).cells[-1].source.partition("## Try it")[2]
    numbers = re.findall(r"^(\d+)\. ", text, re.MULTILINE)
    assert numbers == [str(i + 1) for i in range(len(numbers))]
    assert 1 <= len(numbers) <= 5


@every_notebook
def test_title_sections_summary_and_exercises(path):
    number = int(path.name[:2])
    found = headings(path)
    assert found[0][0] == 1
    assert re.match(rf"{number}\. \w", found[0][1])
    assert read(path).cells[0].source.startswith(f"# {number}. ")
    assert [text for level, text in found if level == 1] == [found[0][1]]
    sections = [text for level, text in found if level == 2]
    if path != ANSWERS:
        assert sections[-2:] == ["Summary", "Try it"]
        del sections[-2:]
    numbers = [re.match(r"(\d+)\.(\d+) \S", text) for text in sections]
    assert all(numbers), sections
    assert [(int(m[1]), int(m[2])) for m in numbers] == [(number, i) for i in range(1, len(numbers) + 1)]
    assert "What you will see" in read(path).cells[0].source


@every_notebook
def test_every_figure_has_a_caption_and_a_text_for_who_cannot_see_it(path):
    for cell in code_cells(path):
        for picture, after in pairwise([*cell.outputs, {}]):
            kind = next((kind for kind in picture.get("data", {}) if kind.startswith("image/")), None)
            if kind:
                assert len(picture.metadata[kind]["alt"]) > 10, cell.source
                assert re.match(r"\*\*.+:\*\* ?\S", after["data"]["text/markdown"]), cell.source


@every_notebook
def test_the_reports_figures_and_tables_are_at_home_here(path):
    notebook = read(path)
    text = " ".join(cell.source for cell in notebook.cells)
    text += " ".join(str(o.get("data", {}).get("text/markdown", "")) for o in outputs(path))
    named = {
        number
        for run in re.findall(r"(?:Fig|Table)[a-z.]* ([\d.,\s]*(?:(?:to|and|-|–)[\d.,\s]+)*)", text)
        for number in _expanded(run)
    }
    assert set(HOME.get(path.name[:2], [])) - named == set()


@pytest.mark.parametrize("number", ["2.6", "2.10", "2.14"])
def test_the_reports_tables_of_numbers_have_a_caption_for_the_list_on_the_page(number):
    path = next(path for path in PATHS if number in HOME[path.name[:2]])
    captions = [str(o.get("data", {}).get("text/markdown", "")) for o in outputs(path)]
    assert [text for text in captions if text.startswith(f"**Table {number}:**")]


@every_notebook
def test_a_verdict_is_yes_no_the_same_or_inconclusive(path):
    """As ``study.verdict`` has it, not in other words; and a network predicts an age."""
    said = [cell.source for cell in read(path).cells]
    said += [str(o.get("text", "")) + str(o.get("data", {}).get("text/markdown", "")) for o in outputs(path)]
    assert [text for text in said if re.search(r"can't be told|interval holds|tells? the age|\? holds", text)] == []


def _expanded(run):
    """Return the numbers in "2.3, 2.4 and 2.6" or "2.3 to 2.6"."""
    numbers = re.findall(r"\d+\.\d+", run)
    for first, last in re.findall(r"(\d+\.\d+)\s*(?:to|-|–)\s*(\d+\.\d+)", run):
        chapter, start = first.split(".")
        numbers += [f"{chapter}.{i}" for i in range(int(start), int(last.split(".")[1]) + 1)]
    return numbers


@every_notebook
def test_nothing_of_the_machine_is_stored(path):
    """What `make format` takes away is away, and so are widgets' states and bars."""
    notebook = read(path)
    assert "widgets" not in notebook.metadata
    assert "version" not in notebook.metadata["language_info"]
    assert [cell.id for cell in notebook.cells if set(cell.metadata) - {"tags"}] == []
    assert [o.data for o in outputs(path) if "application/vnd.jupyter.widget-view+json" in o.get("data", {})] == []
    said = [
        o.get("text", "") + str({k: v for k, v in o.get("data", {}).items() if "image/" not in k})
        for o in outputs(path)
    ]
    for text in [cell.source for cell in notebook.cells] + said:
        assert not re.search(r"/(home|root|Users|tmp|work|mnt|opt|usr)/|[A-Z]:\\\\|\bat 0x[0-9a-f]{6,}", text), text
        assert not re.search(r"\d%\||it/s\]", text), text


@every_notebook
def test_it_was_stored_on_the_stand_in(path):
    """Pictures of real faces must never be stored: whichever cell says what data it read, it read the stand-in."""
    said = [o.text for o in outputs(path) if "FaceDataset(" in o.get("text", "")]
    assert [text for text in said if "stand-in" not in text] == []
    assert said or path.name[:2] not in ("01", "02", "03", "04", "05")


@every_notebook
def test_links_lead_to_notebooks_that_are_there(path):
    source = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")
    linked = re.findall(r"\]\(([^)#\s]+)", source)
    local = [link for link in linked if not re.match(r"https?://", link)]
    assert [link for link in local if not (FOLDER / link).exists()] == []


@every_lesson
def test_each_exercise_is_answered_under_its_number_and_title(path):
    """From the exercise a link leads to its answer, and back; the answer asserts something."""
    number, exercises = path.stem[:2], read(path).cells[-1].source.partition("## Try it")[2]
    asked = re.findall(r"^(\d)\. \*\*(.+?)\*\* \((.+?)\)\.", exercises, re.MULTILINE)
    assert len(asked) == len(re.findall(r"^\d\. ", exercises, re.MULTILINE))
    cells = read(ANSWERS).cells
    for i, title, duration in asked:
        assert f"[Answer](09_answers.ipynb#Answer-{number}.{i})" in exercises
        (at,) = (j for j, cell in enumerate(cells) if cell.source.startswith(f"### Answer {number}.{i}\n"))
        question = cells[at].source
        assert f"**{title}** ({duration})." in question
        assert f"[Back to the exercise]({path.name}#Try-it)" in question
        assert "<details><summary>Hint</summary>" in question
        answer = []
        for cell in cells[at + 1 :]:
            if "answer" not in cell.metadata.get("tags", []):
                break
            answer.append(cell)
        assert [cell.cell_type for cell in answer][-1] == "markdown"
        assert any(re.search(r"^\s*assert ", cell.source, re.MULTILINE) for cell in answer if cell.cell_type == "code")


# -- opened by other people -------------------------------------------------------------------------------------------


def opening(path, folder, **environment):
    """Run the cells up to the one that opens the data, in another folder; return exit status and last line."""
    sources = [cell.source for cell in code_cells(path)]
    last = next(i for i, source in enumerate(sources) if "faces.open(" in source)
    command = [sys.executable, "-c", "\n".join(sources[: last + 1])]
    options = {
        "cwd": folder,
        "env": os.environ | {"MPLBACKEND": "agg"} | environment,
        "text": True,
    }
    done = subprocess.run(command, check=False, capture_output=True, **options)
    return done.returncode, (done.stderr.strip().splitlines() or [""])[-1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "path", [p for p in PATHS if "FaceDataset" in p.read_text(encoding="utf-8")], ids=lambda path: path.stem
)
def test_it_opens_in_any_folder(path, tmp_path):
    faces = tmp_path / "my faces"
    standin.make(faces, 60, progress=False)
    status, said = opening(path, tmp_path, HW1_DATA=str(faces), HW1_CACHE=str(tmp_path / "a cache"))
    assert status == 0, said
    assert (tmp_path / "a cache" / "index").is_dir()


@pytest.mark.slow
def test_what_is_wrong_is_said_in_one_sentence(tmp_path):
    status, said = opening(PATHS[1], tmp_path, HW1_DATA="no such folder")
    assert status == 1
    assert said.startswith(
        "FileNotFoundError: there is nothing at no such folder: expected a folder that holds UTKFace"
    )
    (tmp_path / "file").touch()
    status, said = opening(PATHS[1], tmp_path, HW1_CACHE=str(tmp_path / "file" / "cache"))
    assert status == 1
    assert said.endswith(
        "can't be written (Not a directory): set the environment variable HW1_CACHE to a folder that can"
    )


# -- with few faces, and as readers change them -----------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("path", PATHS[:5], ids=lambda path: path.stem)
@pytest.mark.parametrize("name", ["{}_0_{}", "{}_1_2"])  # all race labels and one gender; one race label, too
def test_few_and_lopsided_faces_are_enough(path, name, tmp_path, monkeypatch):
    drawn = standin.make(tmp_path / "faces", 20, progress=False)
    for face in list(drawn.iterdir()):
        age, _, race, rest = face.name.split("_", 3)
        face.rename(drawn / f"{name.format(age, race)}_{rest}")
    monkeypatch.setenv("HW1_DATA", str(drawn))
    monkeypatch.setenv("HW1_SCALE", "quick")
    assert running.run_notebooks({path: running.read_notebook(path)}, lambda path: None, progress=False) == {}


@pytest.mark.slow
@pytest.mark.parametrize("number", [2, 3])
def test_a_reader_s_first_edit_is_what_is_trained_below(number, monkeypatch, capsys):
    monkeypatch.setenv("HW1_FACES", "60")
    sources = [cell.source for cell in code_cells(PATHS[number - 1])]
    edited = next(i for i, source in enumerate(sources) if re.search(r"^config = ", source, re.MULTILINE))
    sources[edited], n = re.subn(r'("layers": \[[\w.\[\]]+), 64, 1\]', r"\1, 32, 16, 1]", sources[edited])
    assert n == 1
    trained = next(i for i, source in enumerate(sources) if "study.train(" in source)
    found: dict = {}
    for source in sources[: trained + 1]:
        exec(compile(source, PATHS[number - 1].name, "exec"), found)
    assert found["net"].layers[1:] == [32, 16, 1]
