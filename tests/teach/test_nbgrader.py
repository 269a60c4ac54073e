"""nbgrader's round trip in earnest: release, four submissions, autograde, points."""

import json
import os
import re
import shutil
import sqlite3
import subprocess
from pathlib import Path

import nbformat
import pytest

from tools.notebooks import ADDRESS

ROOT = Path(__file__).parent.parent.parent
BIN = ROOT / ".venv-teach" / "bin"
pytestmark = pytest.mark.skipif(
    not (BIN / "nbgrader").exists(), reason="make .venv-teach/teach.stamp installs nbgrader and JupyterHub"
)
LESSONS = ("00_start_here", "01_gradient_descent", "02_backpropagation")
POINTS = {"00_start_here": 1, "01_gradient_descent": 6, "02_backpropagation": 7}
# The first answer, with a mistake that people make; in the third lesson an answer is thrown away instead.
WRONG = {
    "00_start_here": ("x.square().mean().sqrt()", "x.square().sum().sqrt()"),
    "01_gradient_descent": ("return x - lr * gradient", "return x + lr * gradient"),
}
# What stands in the place of the first answer's cell.
HOSTILE = {
    "00_start_here": """
        import time
        while True:
            try:
                while True: time.sleep(0.1)
            except BaseException: pass""",
    "01_gradient_descent": """
        from gradutils.course import exercises, progress
        from gradutils.course.progress import progress_file, record_pass
        import json, sys
        from datetime import datetime
        line = {"v": 2, "event": "passed", "at": datetime.now().isoformat()}
        for key, exercise in exercises().items():
            record_pass(key)
            progress_file().open("a").write("\\n" + json.dumps(line | {"id": key}))
            globals()[exercise.task.split("(")[0]] = exercise.reference
        print(progress("01"))
        sys.exit(0)""",
    "02_backpropagation": """
        import os
        os._exit(0)""",
}


def teach(*command, cwd=ROOT, status=0):
    """What a command of the teacher's environment prints."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
        env=os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"},
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def assignment(folder, *arguments, status=0):
    return teach(BIN / "python", "-m", "tools.assignment", folder, *arguments, status=status)


def hand_in(folder, lesson, learner, change):
    """Put a changed copy of what was released where nbgrader looks for it."""
    notebook = nbformat.read(folder / "release" / lesson / f"{lesson}.ipynb", as_version=4)
    change(notebook)
    target = folder / "submitted" / learner / lesson / f"{lesson}.ipynb"
    target.parent.mkdir(parents=True)
    nbformat.write(notebook, target)


def without_points(notebook):
    """The cells of a release, without those for the points and without nbgrader's marks."""
    cells = [cell for cell in notebook.cells if not cell.id.endswith("-point")]
    for cell in cells:
        if cell.metadata.pop("nbgrader", None):
            del cell.metadata["deletable"]
    return cells


def answers(notebook):
    return [cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("solution")]


def solve(lesson, *change):
    """Put the solutions' answers in, the first of them changed."""
    solved = {
        cell.id: cell for cell in nbformat.read(ROOT / "solutions" / f"{lesson}.ipynb", as_version=4).cells
    }

    def fill(notebook):
        for cell in answers(notebook):
            cell.source = solved[cell.id].source
        if change:
            first = answers(notebook)[0]
            assert change[0] in first.source
            first.source = first.source.replace(*change)

    return fill


def forget(notebook):
    """Throw away the cells of the last answer, which no other one uses, and of its point."""
    solve(LESSONS[2])(notebook)
    last = notebook.cells.index(answers(notebook)[-1])
    del notebook.cells[last : last + 2]


def attack(lesson):
    def fill(notebook):
        answers(notebook)[0].source = re.sub(r"^ {8}", "", HOSTILE[lesson], flags=re.MULTILINE).strip()

    return fill


def points(folder, lesson):
    """Learner -> the points of an assignment, and how many cells have been graded."""
    query = """
        select submitted_assignment.student_id, sum(grade.auto_score), count(grade.auto_score)
        from grade join submitted_notebook on grade.notebook_id = submitted_notebook.id
        join submitted_assignment on submitted_notebook.assignment_id = submitted_assignment.id
        join assignment on submitted_assignment.assignment_id = assignment.id
        where assignment.name = ? group by 1"""
    with sqlite3.connect(folder / "gradebook.db") as book:
        return {name: (got, graded) for name, got, graded in book.execute(query, (lesson,))}


def plain(notebook):
    """As if somebody had worked in the course's own lesson, which has no marks of nbgrader's."""
    solve(LESSONS[0])(notebook)
    notebook.cells = without_points(notebook)


@pytest.mark.timeout(300)
def test_what_is_released_equals_the_lessons_but_for_the_points(tmp_path):
    said = assignment(tmp_path)
    lessons = {path.stem: nbformat.read(path, as_version=4) for path in (ROOT / "lessons").glob("*.ipynb")}
    released = {
        path.stem: nbformat.read(path, as_version=4) for path in (tmp_path / "release").rglob("*.ipynb")
    }
    assert lessons.keys() - released.keys() == {"13_verdicts"}
    for name, notebook in released.items():
        assert name in said
        for one in (notebook, lessons[name]):
            for cell in one.cells:
                cell.source = ADDRESS.sub(
                    "", cell.source
                )  # where Colab fetches the course: that of this clone's remote
        assert without_points(notebook) == lessons[name].cells, name
        assert notebook.metadata == lessons[name].metadata


@pytest.mark.timeout(900)
@pytest.mark.parametrize("lesson", LESSONS)
def test_the_round_trip(lesson, tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    passes = [{"v": 2, "event": "passed", "id": f"{lesson[:2]}.{k}", "at": "2026-01-01"} for k in range(1, 8)]
    (home / "progress.jsonl").write_text("".join(f"\n{json.dumps(event)}" for event in passes))
    monkeypatch.setenv("GRADUTILS_HOME", str(home))
    before = (home / "progress.jsonl").read_bytes()
    folder = tmp_path / "course"
    assert lesson in assignment(folder, lesson)

    hand_in(folder, lesson, "1_solved", plain if lesson == LESSONS[0] else solve(lesson))
    hand_in(folder, lesson, "2_partly", forget if lesson == LESSONS[2] else solve(lesson, *WRONG[lesson]))
    hand_in(folder, lesson, "3_hostile", attack(lesson))
    hand_in(folder, lesson, "4_untouched", lambda notebook: None)
    kept = shutil.copytree(folder / "submitted", tmp_path / "kept")
    with (folder / "nbgrader_config.py").open("a") as config:
        config.write("c.Run.timeout = 30\n")  # for the loop that does not end
    teach(BIN / "nbgrader", "autograde", lesson, cwd=folder)

    full = POINTS[lesson]
    earned = {
        "1_solved": (full, full),
        "2_partly": (full - 1, full),
        "3_hostile": (0, full),
        "4_untouched": (0, full),
    }
    assert points(folder, lesson) == earned
    if lesson == LESSONS[0]:  # a newer lesson takes nothing away
        assignment(folder, lesson, "--replace")
        assert points(folder, lesson) == earned
    assert (home / "progress.jsonl").read_bytes() == before
    for path in kept.rglob("*.ipynb"):
        assert (folder / "submitted" / path.relative_to(kept)).read_bytes() == path.read_bytes()
