"""Make nbgrader's assignments from the sources of the lessons; it stands here because only a teacher runs it.

    python -m tools.assignment FOLDER              an assignment for each lesson with exercises or patients
    python -m tools.assignment FOLDER 01 02        for these
    python -m tools.assignment FOLDER 01 --replace anew, after the lesson changed

FOLDER becomes a course folder of nbgrader: source/, release/, gradebook.db, nbgrader_config.py. What is released equals
lessons/ but for one cell behind each answer, which asks for its point. Run it in the environment that holds nbgrader.
"""

import argparse
import copy
import os
import re
import sys
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell
from traitlets.config.loader import PyFileConfigLoader

from tools.notebooks import BEGIN, BuildError, public_address, read_source, sources, with_host_cell

ROOT = Path(__file__).parent.parent
CONFIG = "nbgrader_config.py"
EXERCISE = re.compile(r'^(?P<name>\w+) = check\("(?P<key>[\d.]+)", (?P=name)\)\.function$', re.MULTILINE)
PATIENT = re.compile(r'^treat\(\s*"(?P<key>[\d.]+)",', re.MULTILINE)


class AssignmentError(Exception):
    """An assignment that cannot be made; the message says why."""


# From a source to nbgrader's -------------------------------------------------------------------------------------------
def with_points(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A lesson with its answers, which are marked as such, and behind each the cell that asks for its point."""
    notebook = copy.deepcopy(notebook)
    cells = []
    for cell in notebook.cells:
        cells.append(cell)
        if cell.cell_type == "code" and BEGIN in cell.source:
            key, call = asked(cell.source)
            number = key.replace(".", "-") or cell.id
            cell.metadata.nbgrader = _marks(f"answer-{number}", solution=True, grade=False, locked=False)
            if call:
                cells.append(_point(number, call, f"{cell.id}-point"))
    notebook.cells = cells
    return notebook


def asked(answer: str) -> tuple[str, str]:
    """The id of what a cell answers, and the call that asks for its point; both empty for guesses, of which every one counts."""
    if found := EXERCISE.search(answer):
        return found["key"], f'point("{found["key"]}", {found["name"]})'
    if found := PATIENT.search(answer):
        return found["key"], f'point("{found["key"]}")'
    return "", ""


def _point(number: str, call: str, cell_id: str) -> nbformat.NotebookNode:
    source = (
        f"# One point, once the answer above is right\nfrom gradutils.course.grading import point\n\n{call}"
    )
    marks = _marks(f"point-{number}", solution=False, grade=True, locked=True, points=1)
    # By its tag "Run All" goes on behind it where there is no point yet.
    return new_code_cell(source, id=cell_id, metadata={"tags": ["raises-exception"], "nbgrader": marks})


def _marks(grade_id: str, **marks) -> dict:
    return {"schema_version": 3, "task": False, "grade_id": grade_id} | marks


def points(notebook: nbformat.NotebookNode) -> int:
    """How many points a notebook gives."""
    return sum(cell.metadata.get("nbgrader", {}).get("points", 0) for cell in notebook.cells)


# The course folder -----------------------------------------------------------------------------------------------------
def make(folder: Path, lessons: list[Path], replace: bool) -> list[str]:
    """Write the source of each lesson and release it; the names of the assignments. Nothing is written if one is refused."""
    from nbgrader.apps import NbGraderAPI  # only a teacher's environment has it

    made = {source.stem: with_points(_lesson(source)) for source in lessons}
    made = {name: notebook for name, notebook in made.items() if points(notebook)}
    if not made:
        raise AssignmentError(f"{', '.join(source.stem for source in lessons)}: nothing to give a point for")
    there = [name for name in made if (folder / "source" / name).exists()]
    if there and not replace:
        raise AssignmentError(
            f"{folder / 'source' / there[0]} exists. --replace makes it anew; what was handed in and its points stay."
        )
    for name, notebook in made.items():
        target = folder / "source" / name / f"{name}.ipynb"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8", newline="\n")
    if not (folder / CONFIG).exists():
        (folder / CONFIG).write_bytes((ROOT / "deploy" / CONFIG).read_bytes())
    _release(NbGraderAPI, folder, list(made))
    return list(made)


def _lesson(source: Path) -> nbformat.NotebookNode:
    """A lesson with its answers, and with the cell that fetches the course where nothing is installed."""
    return with_host_cell(read_source(source), source.name[:2], public_address(ROOT))


def _release(nbgrader: type, folder: Path, names: list[str]) -> None:
    """Let nbgrader strip the answers and note the points in its gradebook."""
    config = PyFileConfigLoader(CONFIG, path=str(folder)).load_config()
    config.CourseDirectory.root = str(folder)
    # A new gradebook asks for the command alembic, which stands beside this Python.
    os.environ["PATH"] = str(Path(sys.executable).parent) + os.pathsep + os.environ.get("PATH", "")
    api = nbgrader(config=config, log_level="ERROR")
    for name in names:
        done = api.generate_assignment(name)
        if not done["success"]:
            raise AssignmentError(f"nbgrader did not release {name}: {done.get('error') or done.get('log')}")


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    about = (__doc__ or "").split("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m tools.assignment", description=about)
    parser.add_argument("folder", type=Path, help="the course folder, made if it is not there")
    parser.add_argument(
        "lessons", nargs="*", help="numbers or names, such as 01; none: all that have exercises or patients"
    )
    parser.add_argument("--replace", action="store_true", help="make anew what is there already")
    options = parser.parse_args(arguments)
    folder = options.folder.expanduser().resolve()
    try:
        names = make(folder, sources(ROOT, options.lessons), options.replace)
    except ModuleNotFoundError as error:
        print(
            f"not made: {error}. `make .venv-teach/teach.stamp` installs what a teacher needs.",
            file=sys.stderr,
        )
        return 1
    except OSError as error:
        print(f"not made: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    except (AssignmentError, BuildError) as error:
        print(f"not made: {error}", file=sys.stderr)
        return 1
    print(f"{len(names)} assignments in {folder / 'release'}: {', '.join(names)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
