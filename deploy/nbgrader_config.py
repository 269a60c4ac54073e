"""nbgrader's settings for this course. `python -m tools.assignment` puts a copy beside the gradebook: it is yours to change.

A submission runs with a progress file of its own, which vanishes with it. A cell that does not end, or a kernel that dies,
ends the run; what stands behind was not run and earns nothing: nbgrader by itself gives a full point for a cell without output.
"""

import os
import re
import time
from tempfile import TemporaryDirectory

from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbconvert.preprocessors import ClearMetadataPreprocessor
from nbformat.v4 import new_code_cell, new_output
from nbgrader.api import Gradebook
from nbgrader.preprocessors import (
    AssignLatePenalties,
    CheckCellMetadata,
    ClearOutput,
    DeduplicateIds,
    Execute,
    IgnorePattern,
    LimitOutput,
    NbGraderPreprocessor,
    OverwriteCells,
    OverwriteKernelspec,
    SaveAutoGrades,
)
from nbgrader.utils import setenv
from traitlets import Bool, Integer

ANSWER = re.compile(r'^(?:\w+ = check|treat)\(\s*"(\d+)\.(\d+)",', re.MULTILINE)
UNMARKED = {"solution": True, "grade": False, "locked": False, "task": False, "schema_version": 3}
# Seconds. A lesson runs in 20; a check ends an answer after 30, a treatment after 60.
CELL, NOTEBOOK = 120, 900


class Mark(NbGraderPreprocessor):
    """Who worked in the course's own lesson hands in answers without nbgrader's marks: each says what it answers."""

    def preprocess(self, nb, resources):
        """The notebook with every answer marked, an empty cell for one that is gone. The points' cells are added after that."""
        where = resources["nbgrader"]
        with Gradebook(where["db_url"]) as book:
            asked = [
                cell.name
                for cell in book.find_notebook(where["notebook"], where["assignment"]).solution_cells
            ]
        for cell in nb.cells:
            found = ANSWER.search(cell.source)
            name = found and f"answer-{found[1]}-{found[2]}"
            if name in asked and not cell.metadata.get("nbgrader"):
                cell.metadata.nbgrader = UNMARKED | {"grade_id": name}
        there = {cell.metadata.get("nbgrader", {}).get("grade_id") for cell in nb.cells}
        for name in asked:
            if name not in there:
                nb.cells.append(new_code_cell(metadata={"nbgrader": UNMARKED | {"grade_id": name}}))
        return nb, resources


class Run(Execute):
    """Run a submission from its first cell on, whatever stands in it."""

    timeout = Integer(CELL).tag(config=True)
    notebook_timeout = Integer(NOTEBOOK, help="seconds for all cells together").tag(config=True)
    # A loop can catch an interruption, and then each later cell would wait as long: the run ends instead.
    interrupt_on_timeout = Bool(False).tag(config=True)

    def preprocess(self, nb, resources, *more):
        """The notebook as it ran; a cell that was never run has an error for its output."""
        end = time.monotonic() + self.notebook_timeout
        self.timeout_func = lambda cell: max(1, min(self.timeout, end - time.monotonic()))
        with TemporaryDirectory() as home, setenv(GRADUTILS_HOME=home):
            try:
                nb, resources = super().preprocess(nb, resources, *more)
            except (DeadKernelError, CellTimeoutError) as error:
                self.log.warning(
                    "What stands behind is not run and earns nothing. %s", str(error).split("\n")[0]
                )
        for cell in nb.cells:
            if cell.cell_type == "code" and cell.execution_count is None:
                cell.outputs = [
                    new_output("error", ename="NotRun", evalue="", traceback=["This cell was not run."])
                ]
        return nb, resources


c = get_config()  # noqa: F821
c.CourseDirectory.root = os.path.dirname(os.path.abspath(__file__))
c.ClearSolutions.code_stub = {"python": "..."}
c.ClearSolutions.begin_solution_delimeter = "### BEGIN SOLUTION"
c.ClearSolutions.end_solution_delimeter = "### END SOLUTION"
c.OverwriteCells.add_missing_cells = True
c.Autograde.sanitize_preprocessors = [
    Mark,
    ClearOutput,
    DeduplicateIds,
    OverwriteKernelspec,
    OverwriteCells,
    CheckCellMetadata,
]
c.Autograde.autograde_preprocessors = [
    Run,
    IgnorePattern,
    ClearMetadataPreprocessor,
    LimitOutput,
    SaveAutoGrades,
    AssignLatePenalties,
    CheckCellMetadata,
]
