"""Points: what earns one, what does not, and where their cells stand. The round trip through nbgrader is in tests/teach."""

import json
import os
import shutil
import sys
from pathlib import Path
from types import ModuleType

import nbformat
import pytest

from gradutils.course import grading
from gradutils.course.checks import check, exercises
from gradutils.course.clinic import treatment
from gradutils.course.clinic.patients import PATIENTS
from gradutils.course.grading import NoPointError, point
from gradutils.course.progress import progress_file, read, record_pass
from tools import assignment
from tools.notebooks import read_source, sources

ROOT = Path(__file__).parent.parent
SOURCES = sources(ROOT, [])


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADUTILS_HOME", str(tmp_path))


def right(x):
    return x.square().mean().sqrt()


def wrong(x):
    return x.square().sum().sqrt()


def test_a_right_answer_earns_its_point():
    rms = check("00.1", right).function
    assert point("00.1", rms) is None


def test_a_wrong_answer_earns_none_though_the_reference_stands_in_for_it():
    rms = check("00.1", wrong).function
    assert rms is exercises()["00.1"].reference
    with pytest.raises(NoPointError, match=r"00\.1: no point yet\. The cell above says why\."):
        point("00.1", rms)


@pytest.mark.parametrize("answer", [None, ..., wrong, exercises()["01.1"].reference, "right", lambda: ...])
def test_nothing_else_earns_it(answer):
    with pytest.raises(NoPointError):
        point("00.1", answer)


def test_what_stands_in_the_progress_file_earns_nothing():
    record_pass("00.1")
    progress_file().write_text(json.dumps({"v": 2, "event": "passed", "id": "12.6", "at": "2026-01-01"}))
    record_pass("00.1")
    assert {"00.1", "12.6"} <= read().passed.keys()
    for key in ("00.1", "12.6"):
        with pytest.raises(NoPointError):
            point(key)


def test_a_patient_earns_it_by_being_mended_in_this_kernel(monkeypatch):
    monkeypatch.setattr(treatment, "_mended_now", {})
    with pytest.raises(NoPointError):
        point("12.6")
    treatment.treat("12.6", "init too large")
    with pytest.raises(NoPointError):
        point("12.6")
    treatment.treat("12.6", "healthy")
    assert point("12.6") is None


def test_an_unknown_id_is_said():
    with pytest.raises(ValueError, match=r"no exercise or patient '00\.9'"):
        point("00.9", right)


def test_in_a_notebook_it_is_one_sentence():
    assert NoPointError("a sentence")._render_traceback_() == ["a sentence"]
    assert "judge" in vars(grading)  # not a name of a lesson's, which a learner may have bound anew


# The cells -------------------------------------------------------------------------------------------------------------
def pairs(notebook):
    """Each answer with the cell behind it."""
    return [
        (cell, after)
        for cell, after in zip(notebook.cells, [*notebook.cells[1:], None], strict=True)
        if cell.metadata.get("nbgrader", {}).get("solution")
    ]


def test_each_exercise_and_each_patient_has_one_point():
    made = [assignment.with_points(read_source(source)) for source in SOURCES]
    asked = [after.source for notebook in made for _, after in pairs(notebook)]
    for key in [*exercises(), *PATIENTS]:
        assert sum(f'point("{key}"' in text for text in asked) == 1, key
    assert sum(map(assignment.points, made)) == len(exercises()) + len(PATIENTS)


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_only_points_are_added(source):
    plain, made = read_source(source), assignment.with_points(read_source(source))
    rest = [cell for cell in made.cells if not cell.id.endswith("-point")]
    for cell in rest:
        cell.metadata.pop("nbgrader", None)
    assert rest == plain.cells
    ids = [cell.metadata.nbgrader.grade_id for cell in made.cells if "nbgrader" in cell.metadata]
    assert len(ids) == len(set(ids))
    nbformat.validate(made)


@pytest.mark.parametrize(
    ("answer", "key", "call"),
    [
        ('rms = check("00.1", rms).function', "00.1", 'point("00.1", rms)'),
        ('treat(\n    "12.1",\n    "healthy",\n)', "12.1", 'point("12.1")'),
        ("practice.consult(\n    {1: 'healthy'}\n)", "", ""),
        ('check("00.1", rms)', "", ""),
    ],
)
def test_what_a_cell_asks(answer, key, call):
    assert assignment.asked(answer) == (key, call)


# The command, where there is no nbgrader -------------------------------------------------------------------------------
def test_the_command_says_what_is_missing_and_writes_nothing(tmp_path, capsys):
    folder = tmp_path / "course"
    assert assignment.main([str(folder), "00"]) == 1
    assert "No module named 'nbgrader'. `make .venv-teach/teach.stamp` installs" in capsys.readouterr().err
    assert not folder.exists()


class Released:
    """nbgrader as far as it is called here."""

    def __init__(self, config, log_level):
        self.root = Path(config.CourseDirectory.root)

    def generate_assignment(self, name):
        shutil.copytree(self.root / "source" / name, self.root / "release" / name)
        return {"success": True}


@pytest.fixture
def with_nbgrader(monkeypatch, tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    for folder in ("deploy", "solutions"):
        (root / folder).mkdir()
    for source in SOURCES:
        shutil.copy(source, root / "solutions")
    (root / "deploy" / "nbgrader_config.py").write_text("c = get_config()\n")
    apps = ModuleType("nbgrader.apps")
    apps.NbGraderAPI = Released
    monkeypatch.setitem(sys.modules, "nbgrader", ModuleType("nbgrader"))
    monkeypatch.setitem(sys.modules, "nbgrader.apps", apps)
    monkeypatch.setattr(assignment, "ROOT", root)
    monkeypatch.setenv("PATH", os.environ["PATH"])  # put back afterwards


def test_what_is_there_is_kept_until_it_is_to_be_replaced(tmp_path, with_nbgrader, capsys):
    assert assignment.main([str(tmp_path), "00"]) == 0
    mine = tmp_path / "source" / "00_start_here" / "00_start_here.ipynb"
    settings = tmp_path / "nbgrader_config.py"
    made = mine.read_text()
    mine.write_text("mine")
    settings.write_text(settings.read_text() + "# mine\n")
    assert assignment.main([str(tmp_path), "00", "01"]) == 1
    assert "00_start_here exists. --replace makes it anew" in capsys.readouterr().err
    assert mine.read_text() == "mine"
    assert not (mine.parent.parent / "01_gradient_descent").exists()
    shutil.rmtree(tmp_path / "release")
    assert assignment.main([str(tmp_path), "00", "--replace"]) == 0
    assert mine.read_text() == made
    assert settings.read_text().endswith("# mine\n")


@pytest.mark.parametrize(
    ("folder", "lesson", "said"),
    [
        ("course", "99", "no lesson '99'"),
        ("course", "13", "13_verdicts: nothing to give a point for"),
        ("a file", "00", "Not a directory"),
    ],
)
def test_what_cannot_be_made_is_said_in_a_sentence(tmp_path, with_nbgrader, capsys, folder, lesson, said):
    (tmp_path / "a file").write_text("a file")
    assert assignment.main([str(tmp_path / folder), lesson]) == 1
    assert said in capsys.readouterr().err
    assert not (tmp_path / "course").exists()
