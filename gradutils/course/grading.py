"""A point for an exercise or a patient: what a cell asks that nbgrader puts behind each answer.

A lesson goes on with the reference where an answer was wrong, so a test of the function would pass everybody. And the
progress file is the learner's own, who can write anything into it. So an answer is judged once more, where it stands,
and the reference is known when it is met; of a patient it is asked what happened in this very kernel.
"""

from gradutils.course.checks import exercises, judge
from gradutils.course.clinic.patients import PATIENTS
from gradutils.course.clinic.treatment import is_mended


class NoPointError(AssertionError):
    """What was handed in earns no point; in a notebook it is one sentence, without a traceback."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


def point(key: str, answer=None) -> None:
    """Nothing where the answer to the exercise is right, or the patient was mended in this kernel; NoPointError otherwise.

    ValueError where there is no such exercise or patient.
    """
    if key in PATIENTS:
        earned = is_mended(key)
    elif key in exercises():
        earned = judge(exercises()[key], answer).outcome == "correct"
    else:
        raise ValueError(f"there is no exercise or patient {key!r} to give a point for")
    if not earned:
        raise NoPointError(f"{key}: no point yet. The cell above says why.")
