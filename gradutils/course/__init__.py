"""The face of a lesson: ``from gradutils.course import check, predict, reveal, verdict``.

checks          an answer is judged here: compared with the reference on every case, its mistake named
runs            a function is run on cases, an answer apart from everything else; arguments says what it changed in them
limits          a limit in time, which also stops a loop that catches everything
compare         how two results differ, in a sentence; words puts values into words
relations       how a wrong answer is related to the right one; transformations holds those of numbers
stubs           whether an answer has been begun
exercise        what an exercise is made of; exercises/ holds them, a file per lesson
clinic          the emergency room: patients, their charts and their treatment
classroom       a page of what a class did, for its teacher
trials          the claims, their verdicts, and the table of all trials
quiz            predictions before a run, settled by what the run measured
recall          questions on earlier lessons: three where a lesson begins, and those that are due today
questions       what it asks, with the reason for each option
grading         a point of nbgrader's for an exercise or a patient
progress        what the learner has passed and predicted; certificate makes a page of it
display         cards, tables and figures: the only room that asks where it runs
settings        what a learner's code can leave changed, and how it is put back

Importing it sets torch to one thread: the networks of the course are so small that a second thread costs more
than it brings, up to 17 times more where other programs share the machine. The environment variable GRADUTILS_THREADS
sets another number.
"""

import os

import torch

from gradutils.course.certificate import certificate, machine
from gradutils.course.checks import check, exercises, hint
from gradutils.course.display import show, speak_for_figures, table
from gradutils.course.progress import progress
from gradutils.course.quiz import predict, reveal
from gradutils.course.recall import recall, review
from gradutils.course.trials import at_least, at_most, mostly, verdict

__all__ = [
    "at_least", "at_most", "certificate", "check", "exercises", "hint", "machine", "mostly", "predict", "progress",
    "recall", "reveal", "review", "show", "table", "verdict",
]  # fmt: skip


def _threads() -> int:
    """How many threads torch is to use; ValueError for what is no number of threads."""
    asked = os.environ.get("GRADUTILS_THREADS", "1")
    if not asked.strip().isdecimal() or int(asked) < 1:
        raise ValueError(f"GRADUTILS_THREADS must be a whole number, 1 or more; got {asked!r}")
    return int(asked)


torch.set_num_threads(_threads())
speak_for_figures()
