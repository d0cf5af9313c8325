"""A whole round with nbgrader: made, handed in by three, graded, told."""

import csv
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

HOMEWORK = Path(__file__).resolve().parents[2] / "homework"
QUESTIONS = [f"question_{i}.ipynb" for i in (1, 2, 3)]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("nbgrader") is None,
        reason="nbgrader is for teachers: pip install -r homework/requirements.txt",
    ),
]


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """Return a folder of a course, with the assignment made."""
    folder = tmp_path_factory.mktemp("course")
    shutil.copy(HOMEWORK / "nbgrader_config.py", folder)
    shutil.copytree(HOMEWORK / "source", folder / "source")
    run(folder, "generate_assignment", "hw1")
    return folder


def run(folder, *arguments):
    """Run nbgrader in a folder, with few faces; it calls alembic, which is beside Python."""
    places = {f"JUPYTER_{name}_DIR": str(folder / "jupyter") for name in ("CONFIG", "RUNTIME")}
    places["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    settings = {"HW1_FACES": "150", "HW1_CACHE": str(folder / "cache"), "HW1_DATA": ""}
    command = [sys.executable, "-m", "nbgrader", *arguments]
    environment = os.environ | places | settings
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_what_is_generated_is_what_is_committed(course):
    for name in QUESTIONS:
        made, kept = (
            json.loads((place / "release" / "hw1" / name).read_text("utf-8"))
            for place in (course, HOMEWORK)
        )
        assert made == kept


def hand_in(course, student, names, wrong=None):
    """Hand in what was released, with some blanks right and some wrong."""
    folder = course / "submitted" / student / "hw1"
    shutil.copytree(course / "release" / "hw1", folder)
    for notebook in QUESTIONS:
        source = nbformat.read(course / "source" / "hw1" / notebook, as_version=4)
        given = nbformat.read(folder / notebook, as_version=4)
        for own, theirs in zip(source.cells, given.cells, strict=True):
            facts = own.metadata.get("nbgrader", {})
            if facts.get("solution") and facts["grade_id"] in names:
                theirs.source = re.sub(r" *### (BEGIN|END) SOLUTION\n?", "", own.source)
            elif facts.get("solution") and wrong:
                theirs.source = theirs.source.replace("raise NotImplementedError()", wrong)
        given.metadata["kernelspec"]["name"] = (
            "python"  # as the browser edition's notebooks have it
        )
        nbformat.write(given, folder / notebook)
    (folder / "checks.py").write_text("def check(name, function):\n    return function\n")


def test_a_round_of_three_students(course):
    points, blanks = {}, []
    for notebook in QUESTIONS:
        for cell in nbformat.read(HOMEWORK / "source" / "hw1" / notebook, as_version=4).cells:
            facts = cell.metadata.get("nbgrader", {})
            if facts.get("grade"):
                blanks.append(facts["grade_id"].removeprefix("check_"))
                points[blanks[-1]] = facts["points"]
    half = blanks[::2]
    hand_in(course, "right", blanks)
    hand_in(course, "half", half)
    hand_in(course, "wrong", [], "return 0")
    run(course, "autograde", "hw1", "--create")
    run(course, "generate_feedback", "hw1")
    run(course, "export")
    with open(course / "grades.csv", encoding="utf-8") as file:
        scores = {row["student_id"]: float(row["score"]) for row in csv.DictReader(file)}
    total = sum(points.values())
    assert scores == {"right": total, "half": sum(points[name] for name in half), "wrong": 0}
    for student in scores:
        told = [course / "feedback" / student / "hw1" / f"{name[:-6]}.html" for name in QUESTIONS]
        assert all(path.exists() for path in told)
    assert "Relative error" in told[-1].read_text("utf-8")
