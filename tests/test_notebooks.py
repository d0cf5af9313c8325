"""How the notebooks are stored: as run, in order, readable, the same on every machine."""

import re
from itertools import pairwise, takewhile
from pathlib import Path

import nbformat
import pytest

from hw1lib.faces import standin
from hw1lib.show import report, running

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
PATHS = sorted(FOLDER.glob(report.NOTEBOOK_NAMES))
ANSWERS = FOLDER / "09_answers.ipynb"
FOLDED = "jp-MarkdownHeadingCollapsed"  # JupyterLab hides what stands below such a heading
# Where the reader finds each figure and table of the report, by its printed number
HOME = {
    "01": ["2.1"],
    "02": ["2.2", "2.15"],
    "03": [f"2.{i}" for i in range(3, 15)],
    "04": ["2.16", "2.17", "2.18"],
    "05": ["2.19", "2.20"],
    "06": [f"3.{i}" for i in range(1, 13)],
    "07": ["4.1"],
}

LESSONS = [path for path in PATHS if path != ANSWERS]
every_notebook = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
every_lesson = pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)


def read(path):
    return nbformat.read(path, as_version=4)


def code_cells(path):
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def outputs(path):
    return [output for cell in code_cells(path) for output in cell.outputs]


def prose(path):
    cells = read(path).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def shown(path):
    """Return the texts that the outputs show: lines, tables and captions, no pictures."""
    kinds = ("text/plain", "text/html", "text/markdown")
    texts = [output.get("text", "") for output in outputs(path)]
    return texts + [str(o.get("data", {}).get(kind, "")) for o in outputs(path) for kind in kinds]


def numbers_in(run):
    """Return the numbers in "2.3, 2.4 and 2.6" or "2.3 to 2.6"."""
    numbers = re.findall(r"\d+\.\d+", run)
    for chapter, first, last in re.findall(r"(\d+)\.(\d+)\s*(?:to|-|–)\s*\d+\.(\d+)", run):
        numbers += [f"{chapter}.{i}" for i in range(int(first), int(last) + 1)]
    return numbers


def test_notebooks_are_numbered_without_a_gap():
    assert [int(path.name[:2]) for path in PATHS] == list(range(1, len(PATHS) + 1))
    assert PATHS


@every_notebook
def test_it_is_stored_as_run_from_top_to_bottom_without_a_failure(path):
    nbformat.validate(read(path))
    cells = [cell for cell in code_cells(path) if cell.source.strip()]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    results = [o for o in outputs(path) if o.output_type == "execute_result"]
    assert all(o.execution_count for o in results)
    assert [o.ename for o in outputs(path) if o.output_type == "error"] == []
    assert [o.text for o in outputs(path) if o.get("name") == "stderr"] == []


def is_check(cell):
    return "check" in cell.metadata.get("tags", [])


@every_notebook
def test_visible_cells_teach_and_the_first_alone_imports(path):
    sources = [c.source for c in code_cells(path) if c.source.strip() and not is_check(c)]
    assert [source for source in sources if len(source.splitlines()) > 12] == []
    proofs = re.compile(r"^\s*assert |NBVAL|as_printed|Markdown\(f", re.MULTILINE)
    assert [source for source in sources if proofs.search(source)] == []
    if path != ANSWERS:
        importing = [re.findall("^(?:from|import) ", source, re.MULTILINE) for source in sources]
        assert [i for i, found in enumerate(importing) if found] == [0]
        assert len(importing[0]) <= 6


@every_notebook
def test_checks_are_folded_silent_and_hold_what_stands_above(path):
    checks = [cell for cell in code_cells(path) if is_check(cell)]
    assert len(checks) >= 5
    for cell in checks:
        assert cell.metadata.get("jupyter") == {"source_hidden": True}, cell.source
        assert cell.source.startswith("with show.as_printed():\n"), cell.source
        assert re.search(r"^\s+assert ", cell.source, re.MULTILINE), cell.source
        assert cell.outputs == [], cell.source


@every_notebook
def test_who_is_cited_stands_in_a_list_of_references(path):
    """As "Zhang et al. 2017" or "Holm (1979)"; the list says "Authors (year), *title*"."""
    text, _, listed = prose(path).partition("### References")
    entry = re.compile(r"^- ([^\W\d_a-z]\w+)[^(\n]* \((\d{4})\), \*\S", re.MULTILINE)
    entries = set(entry.findall(listed))
    assert len(entries) == len(re.findall(r"^- ", listed, re.MULTILINE))
    others = r"(?:(?:, [A-Z][\w-]+)*,? and [A-Z][\w-]+| et al\.)?"
    cited = set(re.findall(rf"([A-Z][\w-]+){others} \(?((?:19|20)\d\d)\b", text))
    assert cited - entries == set()


@every_notebook
def test_title_sections_summary_exercises_and_links(path):
    number = int(path.name[:2])
    text = re.sub(r"^```.*?^```", "", prose(path), flags=re.DOTALL | re.MULTILINE)
    (title,) = re.findall(r"^# +(.+)$", text, re.MULTILINE)
    sections = re.findall(r"^## +(.+)$", text, re.MULTILINE)
    first = read(path).cells[0].source
    assert first.startswith(f"# {number}. ")
    assert title in first
    assert "What you will see" in first
    links = re.findall(r"\]\(([^)#\s]+)", text)
    local = [link for link in links if not re.match(r"https?://", link)]
    assert [link for link in local if not (FOLDER / link).exists()] == []
    if path != ANSWERS:
        assert sections[-2:] == ["Summary", "Try it"]
        del sections[-2:]
    assert [s.split()[0] for s in sections] == [f"{number}.{i + 1}" for i in range(len(sections))]


@every_notebook
def test_every_figure_has_a_caption_and_a_text_for_who_cannot_see_it(path):
    for cell in code_cells(path):
        for picture, after in pairwise([*cell.outputs, {}]):
            for kind in picture.get("data", {}):
                if kind.startswith("image/"):
                    assert len(picture.metadata[kind]["alt"]) > 10, cell.source
                    assert re.match(r"\*\*.+:\*\* ?\S", after["data"]["text/markdown"]), cell.source


@every_notebook
def test_the_reports_figures_and_tables_are_at_home_here(path):
    text = " ".join([cell.source for cell in read(path).cells] + shown(path))
    runs = re.findall(r"(?:Fig|Table)[a-z.]* ([\d.,\s]*(?:(?:to|and|-|–)[\d.,\s]+)*)", text)
    named = {number for run in runs for number in numbers_in(run)}
    assert set(HOME.get(path.name[:2], [])) - named == set()
    for table in {"2.6", "2.10", "2.14"} & set(HOME.get(path.name[:2], [])):
        assert any(text.startswith(f"**Table {table}:**") for text in shown(path))  # for the page


@every_notebook
def test_a_summary_has_no_number_that_does_not_stand_above_it(path):
    """There it is checked; a summary alone would go stale."""
    texts = [cell.source for cell in read(path).cells if cell.cell_type == "markdown"]
    above, _, rest = "\n".join(texts).partition("## Summary")
    summary = rest.split("\n## ")[0]
    told = re.findall(r"\d[\d,]*\.\d+", summary)
    told = [number for number in told if not re.search(rf"(?<![\d.]){number}(?!\d)", above)]
    assert told == []


@every_notebook
def test_a_verdict_is_yes_no_the_same_or_inconclusive(path):
    """As ``study.verdict`` has it, not in other words; and a network predicts an age."""
    said = [cell.source for cell in read(path).cells] + shown(path)
    other_words = re.compile(r"can't be told|interval holds|tells? the age|\? holds|as published")
    assert [text for text in said if other_words.search(text)] == []


@every_notebook
def test_nothing_of_the_machine_is_stored_and_no_real_face(path):
    """What `make format` takes away is away, and so are widgets' states and bars."""
    notebook = read(path)
    assert "widgets" not in notebook.metadata
    assert "version" not in notebook.metadata["language_info"]
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        hidden = {"check", "drawing"} & {*tags}  # a click opens them
        assert not set(cell.metadata) - {"tags", FOLDED, *(["jupyter"] if hidden else [])}
        assert not hidden or cell.metadata["jupyter"] == {"source_hidden": True}
    assert [o for o in outputs(path) if running.WIDGET in o.get("data", {})] == []
    machine = r"/(home|root|Users|tmp|work|mnt|opt|usr)/|[A-Z]:\\\\|\bat 0x[0-9a-f]{6,}"
    for text in [cell.source for cell in notebook.cells] + shown(path):
        assert not re.search(rf"{machine}|\d%\||it/s\]", text), text
    opened = [text for text in shown(path) if "FaceDataset(" in text]
    assert [text for text in opened if "stand-in" not in text] == []
    assert opened or path.name[:2] not in ("01", "02", "03", "04", "05")


@every_lesson
def test_each_exercise_is_answered_under_its_number_and_title(path):
    """From the exercise a link leads to its answer, and back; it is folded, and checked."""
    number, exercises = path.stem[:2], prose(path).partition("## Try it")[2]
    asked = re.findall(r"^(\d)\. \*\*(.+?)\*\* \((.+?)\)\.", exercises, re.MULTILINE)
    assert [int(i) for i, _, _ in asked] == list(range(1, len(asked) + 1))
    assert 1 <= len(asked) == len(re.findall(r"^\d+\. ", exercises, re.MULTILINE)) <= 5
    cells = read(ANSWERS).cells
    for i, title, duration in asked:
        assert f"[Hint and answer](09_answers.ipynb#cell-id=Answer-{number}-{i})" in exercises
        heading = f"### Answer {number}.{i}\n"
        (at,) = (j for j, cell in enumerate(cells) if cell.source.startswith(heading))
        back = f"[Back to the exercise]({path.name}#cell-id=exercise-{number}-{i})"
        assert cells[at].id == f"Answer-{number}-{i}"
        for words in (f"**{title}** ({duration}).", back, "<details><summary>Hint</summary>"):
            assert words in cells[at].source
        assert cells[at].metadata.get(FOLDED) is True
        answer = list(takewhile(lambda c: "answer" in c.metadata.get("tags", []), cells[at + 1 :]))
        assert any(map(is_check, answer))


# -- with lopsided faces of another folder, and as readers change them -----------------------------


@pytest.mark.slow
@pytest.mark.parametrize("path", [PATHS[1], PATHS[4]], ids=lambda path: path.stem)
def test_few_faces_of_one_gender_and_one_race_are_enough(path, tmp_path, monkeypatch):
    drawn = standin.make(tmp_path / "faces", 20, progress=False)
    for face in list(drawn.iterdir()):
        age, _, _, rest = face.name.split("_", 3)
        face.rename(drawn / f"{age}_1_2_{rest}")
    monkeypatch.setenv("HW1_DATA", str(drawn))
    monkeypatch.setenv("HW1_SCALE", "quick")
    notebooks = {path: running.read_notebook(path)}
    assert running.run_notebooks(notebooks) == {}


@pytest.mark.slow
@pytest.mark.parametrize("number", [2, 3])
def test_a_reader_s_first_edit_is_what_is_trained_below(number, monkeypatch, capsys):
    monkeypatch.setenv("HW1_FACES", "60")
    cells = code_cells(PATHS[number - 1])
    sources = [cell.source for cell in cells if "check" not in cell.metadata.get("tags", [])]
    layers = r'(^config = \{[^}]*?"layers": \[[\w.\[\]]+), 64, 1\]'
    trained = next(i for i, source in enumerate(sources) if "study.train(" in source)
    scope: dict = {}
    changes = 0
    for source in sources[: trained + 1]:
        edited, n = re.subn(layers, r"\1, 32, 16, 1]", source, flags=re.MULTILINE)
        exec(compile(edited, PATHS[number - 1].name, "exec"), scope)
        changes += n
    assert changes == 1
    assert scope["net"].config["layers"][1:] == [32, 16, 1]
