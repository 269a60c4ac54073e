"""Build the notebooks: ``solutions/NN_topic.py`` is the one hand-written form of a lesson.

    python -m tools.notebooks            build all
    python -m tools.notebooks 01 02      build these
    python -m tools.notebooks --check    name what drifted, change nothing: a notebook that is not as its source says, or a
                                         table of verdicts that is not as the trials decided
    python -m tools.notebooks --address  write the address of the remote `origin` into the lessons, for Colab and Kaggle

From the .py (jupytext's percent format) come ``solutions/NN_topic.ipynb``, run, with outputs, and
``lessons/NN_topic.ipynb``, with ``...`` for the answers, not run. Lines between ``### BEGIN SOLUTION`` and
``### END SOLUTION`` are an answer. A cell tagged ``experiment``, ``reveal`` or ``drawing`` opens with its code folded.
A lesson, which people open where nothing is installed, has one cell more before its first code: `HOST`. A solution, which
they read, has not.
"""

import argparse
import ast
import copy
import os
import re
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import jupytext
import nbformat
from IPython.core.inputtransformer2 import TransformerManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from gradutils.course.trials import CLAIMS, OUTCOMES, line_of, trials
from tools.remote import host_and_repository, origin

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"file_extension": ".py", "name": "python"},
}
FOLDED_TAGS = {"experiment", "reveal", "drawing"}
TAGS = FOLDED_TAGS | {"nbval-ignore-output"}
# What folds an input: the first is read by JupyterLab and Notebook 7, the second by Colab. VS Code reads neither; it keeps
# folds in its own memory and no key in a file can set them.
FOLD = {"jupyter": {"source_hidden": True}, "cellView": "form"}
WIDGET = "application/vnd.jupyter.widget-view+json"
# The course in full comes with the first lesson: what runs there is kept beside it (tools/hosted.py), and so is what it reads.
HOST = """# Only on Colab and Kaggle: fetch the course. Elsewhere this cell does nothing
import os
import runpy
import subprocess

if {{"COLAB_RELEASE_TAG", "KAGGLE_KERNEL_RUN_TYPE"}} & os.environ.keys():
    address = "{}"
    course = os.environ.get("GRADUTILS_COURSE") or os.path.expanduser("~/gradutils")
    if not os.path.exists(course):
        subprocess.run(["git", "clone", "-q", "--depth=1", address, course], check=True)
    runpy.run_path(f"{{course}}/tools/hosted.py")["prepare"](course)"""
HOST_TAG = "host"
ADDRESS = re.compile(r'(?<=address = ")[^"]*')


class BuildError(Exception):
    """A lesson that cannot be built; the message names the file and the cell."""


# From one source to two notebooks --------------------------------------------------------------------------------------
def read_source(source: Path) -> nbformat.NotebookNode:
    """The notebook that a source describes, markers and answers included, with ids and metadata that never change."""
    try:
        notebook = jupytext.read(source, fmt="py:percent")
    except Exception as error:  # jupytext raises whatever its parsers raise
        raise BuildError(f"{source}: cannot be read as a percent script ({error})") from error
    if not notebook.cells:
        raise BuildError(f"{source}: has no cells")
    number = source.name[:2]
    for k, cell in enumerate(notebook.cells, start=1):
        cell.id = f"{number}-{k:03d}"
        cell.metadata = _metadata(cell, f"{source}, cell {k} ({_first_line(cell)})")
    notebook.metadata = nbformat.from_dict(METADATA)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def _metadata(cell, where: str) -> nbformat.NotebookNode:
    """A cell's tags, and what folds its input where one of them asks for that."""
    tags = cell.metadata.get("tags", [])
    if unknown := sorted(set(tags) - TAGS):
        raise BuildError(f"{where}: has the unknown tag {unknown[0]!r}; known are {', '.join(sorted(TAGS))}")
    folded = bool(FOLDED_TAGS & set(tags))
    if folded and cell.cell_type != "code":
        raise BuildError(f"{where}: only a code cell can be folded, and its tag asks for that")
    if folded and BEGIN in cell.source:
        raise BuildError(f"{where}: is folded by its tag, so nobody would find the place for an answer in it")
    return nbformat.from_dict(({"tags": tags} if tags else {}) | (FOLD if folded else {}))


def _first_line(cell) -> str:
    return cell.source.strip().splitlines()[0][:60] if cell.source.strip() else "empty"


def split_answer(text: str, where: str) -> tuple[str, str, int]:
    """A cell with its answers, the same cell with ``...`` for each, and how many answers it has."""
    full, stripped, answers, inside, body = [], [], 0, False, []
    for number, line in enumerate(text.split("\n"), start=1):
        place = f"{where}, line {number} of the cell"
        if line.strip() == BEGIN:
            if inside:
                raise BuildError(f"{place}: {BEGIN} inside an answer that has not ended")
            inside, body, indent = True, [], line[: len(line) - len(line.lstrip())]
        elif line.strip() == END:
            if not inside:
                raise BuildError(f"{place}: {END} without {BEGIN}")
            if _says_nothing(body):
                raise BuildError(f"{place}: the answer is empty; a solution is missing")
            inside, answers = False, answers + 1
            stripped.append(f"{indent}...")
        elif re.search(r"#+\s*(BEGIN|END)[\s_-]*SOLU", line, re.IGNORECASE):
            raise BuildError(
                f"{place}: a marker is written exactly {BEGIN!r} or {END!r}; found {line.strip()!r}"
            )
        else:
            full.append(line)
            (body if inside else stripped).append(line)
    if inside:
        raise BuildError(f"{where}: {BEGIN} without {END}")
    return "\n".join(full), "\n".join(stripped), answers


def _says_nothing(body: list[str]) -> bool:
    """Whether an answer is only comments, ``...`` or ``pass``."""
    try:
        statements = ast.parse(textwrap.dedent("\n".join(body))).body
    except SyntaxError:  # half a statement; the whole cell is parsed later
        return False
    idle = [
        isinstance(s, ast.Pass) or (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))
        for s in statements
    ]
    return all(idle)


def _must_parse(text: str, where: str) -> None:
    try:
        ast.parse(TransformerManager().transform_cell(text))
    except SyntaxError as error:
        raise BuildError(f"{where}: does not parse ({error.msg}, line {error.lineno} of the cell)") from error


def make_pair(source: Path) -> tuple[nbformat.NotebookNode, nbformat.NotebookNode]:
    """The solution and the lesson, neither of them run."""
    solution = read_source(source)
    lesson = copy.deepcopy(solution)
    for k, cell in enumerate(solution.cells):
        where = f"{source}, cell {k + 1} ({_first_line(cell)})"
        full, stripped, answers = split_answer(cell.source, where)
        if cell.cell_type == "code":
            if not answers and re.search(r"= check\(", full):
                raise BuildError(f"{where}: an exercise's answer is missing between {BEGIN} and {END}")
            _must_parse(full, where)
            _must_parse(stripped, f"{where}, without its answer")
        cell.source, lesson.cells[k].source = full, stripped
    return solution, lesson


def with_host_cell(lesson: nbformat.NotebookNode, number: str, address: str) -> nbformat.NotebookNode:
    """A lesson, with the cell before its first code that fetches the course from ``address`` on a host without it."""
    cell = nbformat.v4.new_code_cell(
        HOST.format(address), id=f"{number}-000", metadata={"tags": [HOST_TAG]} | FOLD
    )
    first = next((k for k, other in enumerate(lesson.cells) if other.cell_type == "code"), len(lesson.cells))
    lesson.cells.insert(first, cell)
    return lesson


def public_address(root: Path) -> str:
    """Where a host fetches the course: the https address of the remote `origin`; "" where that is on no public host."""
    found = host_and_repository(origin(root))
    return "https://{}/{}".format(*found) if found else ""


def execute(notebook: nbformat.NotebookNode, source: Path, environment: dict[str, str] | None = None) -> None:
    """Run the notebook in its own folder, with a progress file of its own, and drop what differs from run to run.

    ``environment`` holds the variables of the kernel, in place of those of this process.
    """
    with tempfile.TemporaryDirectory() as home:
        environment = dict(os.environ if environment is None else environment) | {"GRADUTILS_HOME": home}
        client = NotebookClient(
            notebook, timeout=120, kernel_name="python3", record_timing=False, store_widget_state=False, coalesce_streams=True,
            resources={"metadata": {"path": str(source.parent)}},
        )  # fmt: skip
        try:
            client.execute(env=environment)
        except CellExecutionError as error:
            raise BuildError(f"{source}, {_failing_cell(notebook)}: {error.ename}: {error.evalue}") from error
        except (CellTimeoutError, DeadKernelError, nbformat.ValidationError) as error:
            raise BuildError(f"{source}, {_failing_cell(notebook)}: {str(error)[:500]}") from error
    for cell in notebook.cells:
        for k, output in enumerate(cell.get("outputs", [])):
            output.pop("transient", None)
            if view := output.get("data", {}).get(WIDGET):
                view["model_id"] = f"{cell.id}-{k}"  # its widget went with the kernel
    notebook.metadata = nbformat.from_dict(METADATA)


def _failing_cell(notebook) -> str:
    for k, cell in enumerate(notebook.cells, start=1):
        if any(output.output_type == "error" for output in cell.get("outputs", [])):
            return f"cell {k} ({_first_line(cell)})"
    ran = [k for k, cell in enumerate(notebook.cells, start=1) if cell.get("execution_count")]
    return f"after cell {ran[-1] if ran else 0}"


# Files -----------------------------------------------------------------------------------------------------------------
def sources(root: Path, names: list[str]) -> list[Path]:
    """The sources of the named lessons ("01" or "01_gradient_descent"), or of all."""
    found = sorted((root / "solutions").glob("[0-9][0-9]_*.py"))
    if not names:
        if not found:
            raise BuildError(f"{root / 'solutions'}: no lesson sources (NN_topic.py) are there")
        return found
    chosen = []
    for name in names:
        matching = [
            path for path in found if path.stem == Path(name).stem or path.name.startswith(f"{name}_")
        ]
        if not matching:
            raise BuildError(
                f"no lesson {name!r} in {root / 'solutions'}; there are {', '.join(p.stem for p in found)}"
            )
        chosen += matching
    return sorted(set(chosen))


def targets(source: Path) -> tuple[Path, Path]:
    """Where the solution and the lesson go."""
    name = source.with_suffix(".ipynb").name
    return source.with_name(name), source.parent.parent / "lessons" / name


def build(paths: list[Path]) -> None:
    """Build the lessons that run by themselves, then those that read what the others found."""
    for reads in (False, True):
        _build([path for path in paths if _reads_the_others(path) == reads])


def _reads_the_others(source: Path) -> bool:
    return "trials.trials(" in source.read_text(encoding="utf-8")


def _build(paths: list[Path]) -> None:
    """Build lessons, then put all their files in place: if one fails, none is changed."""
    for target in (target for source in paths for target in targets(source)):
        if target.is_dir() or (target.parent.exists() and not target.parent.is_dir()):
            raise BuildError(f"{target}: cannot be written, a folder and a file are mixed up there")
    built = []
    for source in paths:
        started = time.perf_counter()
        solution, lesson = make_pair(source)
        execute(solution, source)
        with_host_cell(lesson, source.name[:2], public_address(source.parent))
        built += zip((solution, lesson), targets(source), strict=True)
        print(f"{source.name}: {len(lesson.cells)} cells, {time.perf_counter() - started:.1f} s", flush=True)
    waiting = []
    try:
        for notebook, target in built:
            target.parent.mkdir(exist_ok=True)
            waiting.append((target.with_name(f".{target.name}.new"), target))
            waiting[-1][0].write_text(nbformat.writes(notebook) + "\n", encoding="utf-8", newline="\n")
        for new, target in waiting:
            os.replace(new, target)
    finally:
        for new, _ in waiting:
            new.unlink(missing_ok=True)


def drifted(paths: list[Path]) -> list[str]:
    """What a rebuild would change, a sentence a notebook; outputs are left to nbval."""
    found = []
    for source in paths:
        solution, lesson = make_pair(source)
        with_host_cell(lesson, source.name[:2], "")
        for wanted, target in zip((solution, lesson), targets(source), strict=True):
            found += _drift(wanted, target)
    solutions = paths[0].parent
    for folder in (solutions, solutions.parent / "lessons"):
        for notebook in sorted(folder.glob("*.ipynb")):
            if not (solutions / notebook.with_suffix(".py").name).exists():
                found.append(f"{notebook}: has no source in {solutions}")
    return found


def write_address(paths: list[Path]) -> None:
    """Write the public address of the course into the stored lessons. BuildError where it has none."""
    address = public_address(paths[0].parent)
    if not address:
        raise BuildError("the git remote named origin is missing, or on no public host")
    for lesson in (targets(source)[1] for source in paths):
        notebook = nbformat.read(lesson, as_version=4)
        for cell in notebook.cells:
            if HOST_TAG in cell.metadata.get("tags", []):
                cell.source = ADDRESS.sub(lambda _: address, cell.source)
        lesson.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8", newline="\n")


def contradicted(paths: list[Path]) -> list[str]:
    """Where a stored table of verdicts shows another one than the lesson that tried the claim, a sentence a claim."""
    found = []
    for source in filter(_reads_the_others, paths):
        shown, own = _shown_trials(nbformat.read(targets(source)[0], as_version=4)), source.name[:2]
        for claim, trial in trials(source.parent).items():
            line, lesson = shown.get(claim), trial.lesson[:2]
            outcome = next((o for o in OUTCOMES if line and line[4:].lstrip().startswith(o)), "not tried")
            if outcome != trial.outcome:
                found.append(
                    f"lesson {own} shows {claim} as {outcome}, lesson {lesson} found {trial.outcome}: build {own}"
                )
            elif line != line_of(trial):
                found.append(
                    f"lesson {own} shows other evidence on {claim} than lesson {lesson} found: build {own}"
                )
    return found


def _shown_trials(notebook) -> dict[str, str]:
    """Claim -> its line in the table of verdicts."""
    outputs = [output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", [])]
    lines = [line for data in outputs if "text/markdown" in data for line in data["text/plain"].splitlines()]
    return {line.split()[0]: line for line in lines if line.split() and line.split()[0] in CLAIMS}


def _drift(wanted, target: Path) -> list[str]:
    try:
        stored = nbformat.read(target, as_version=4)
        nbformat.validate(stored)
        return _differences(wanted, stored, target)
    except FileNotFoundError:
        return [f"{target}: is missing"]
    except Exception as error:  # a damaged notebook raises whatever its parser raises
        return [f"{target}: cannot be read ({type(error).__name__})"]


def _differences(wanted, stored, target: Path) -> list[str]:
    if stored.metadata != wanted.metadata:
        return [f"{target}: its metadata differ from those of a build"]
    if len(stored.cells) != len(wanted.cells):
        return [f"{target}: has {len(stored.cells)} cells, its source {len(wanted.cells)}"]
    for k, (a, b) in enumerate(zip(wanted.cells, stored.cells, strict=True), start=1):
        # A fork has another address.
        source = ADDRESS.sub("", b.source) if HOST_TAG in b.metadata.get("tags", []) else b.source
        if (a.cell_type, a.source, a.id) != (b.cell_type, source, b.id):
            return [f"{target}: cell {k} differs from its source"]
        if a.metadata != b.metadata:
            return [f"{target}: the tags or the fold of cell {k} are not those of its source"]
    counts = [
        cell.execution_count for cell in stored.cells if cell.cell_type == "code" and cell.source.strip()
    ]
    if target.parent.name == "solutions" and None in counts:
        return [f"{target}: has a cell that was not run"]
    if target.parent.name == "lessons" and (any(counts) or any(cell.get("outputs") for cell in stored.cells)):
        return [f"{target}: has been run; lessons are kept without outputs"]
    return []


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.notebooks", description=__doc__.split("\n")[0])
    parser.add_argument("lessons", nargs="*", help="numbers or names, such as 01; none: all")
    parser.add_argument("--check", action="store_true", help="name what drifted and change nothing")
    parser.add_argument(
        "--address", action="store_true", help="write where the course is public into the lessons"
    )
    parser.add_argument(
        "--root", type=Path, default=Path.cwd(), help="the folder that holds solutions/ and lessons/"
    )
    options = parser.parse_args(arguments)
    try:
        paths = sources(options.root, options.lessons)
        if options.address:
            write_address(paths)
            return 0
        if not options.check:
            build(paths)
            return 0
        found = drifted(paths) or contradicted(sources(options.root, []))
    except (BuildError, OSError, ValueError) as error:
        print(f"not built: {error}", file=sys.stderr)
        return 1
    print("\n".join(found) if found else f"{len(paths)} lessons agree with their sources")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
