"""Checks that name the mistake.

An answer is run on copies of an exercise's cases. If it agrees with the reference on all of them it is right.
If it agrees with a known wrong function on all of them, that mistake is named. Otherwise the smallest case on
which it fails is shown. Whatever it is given, `check` never raises.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from html import escape
from typing import Any

import torch
from torch import nn

from gradutils.course.clinic.patients import PATIENTS
from gradutils.course.compare import comparable, difference
from gradutils.course.display import BLUE, GREY, ORANGE, Card, block, current_cell, paragraphs, show
from gradutils.course.exercise import Exercise
from gradutils.course.exercises import all_exercises
from gradutils.course.progress import record_pass, record_try
from gradutils.course.relations import explained
from gradutils.course.runs import Attempt, Run, attempt, case_names, fresh_cases, run, run_again, run_all
from gradutils.course.settings import usual_settings
from gradutils.course.stubs import has_dots, is_stub, not_a_function, wrong_arity
from gradutils.course.words import cut, in_full, listed, meant, short

SECONDS = 30.0  # for all calls of an answer together
SHOWN_OUTPUT = 800  # characters of what an answer printed
CHANGES = (
    "Called a second time with the same arguments, it gave another answer. "
    "Does it keep something between calls, or draw too few random numbers?"
)
MARKS = {
    "correct": ("✓", BLUE),
    "not yet": ("✗", ORANGE),
    "named": ("◐", BLUE),
    "not attempted": ("○", GREY),
    "not judged": ("○", GREY),
}


@dataclass
class Verdict:
    """What `check` found. ``function`` is the learner's own once it is right, and the reference until then.

    `judge` says what was found; whose verdict it is, the hints and the function are added where it is shown.
    """

    outcome: str  # "correct", "not yet", "not attempted", "named" of a patient, or "not judged" where the course cannot
    message: str
    function: Callable | None = None
    details: str = ""  # lines whose spacing matters: the failing case, what was printed
    mistake: str = ""  # the sentence of the known mistake, where one was named
    exercise_id: str = ""
    hints: tuple[str, ...] = ()
    _shown_in: Any = field(default=None, repr=False)

    @property
    def card(self) -> Card:
        mark, colour = MARKS[self.outcome]
        head = f"{mark} {self.exercise_id} {self.outcome}."
        text = "\n".join(part for part in (f"{head} {self.message}".rstrip(), self.details) if part)
        html = f"<b>{escape(head)}</b> {escape(self.message)}" + (block(self.details) if self.details else "")
        if self.hints and self.outcome != "correct":
            text += f"\nHints: from gradutils.course import hint; hint({self.exercise_id!r})"
            html += _nested_hints(self.hints)
        return Card(text, html, colour)

    def show(self) -> None:
        self._shown_in = current_cell()
        show(self.card)

    def _ipython_display_(self) -> None:
        # `check` has shown itself already; a bare verdict in a later cell shows itself again.
        if self._shown_in is None or self._shown_in != current_cell():
            self.show()


def _nested_hints(hints: tuple[str, ...]) -> str:
    inner = ""
    for number in range(len(hints), 0, -1):
        name = "A hint" if number == 1 else "Another hint"
        inner = f"<details style='margin:.3em 0'><summary>{name}</summary>{paragraphs(hints[number - 1])}{inner}</details>"
    return inner


def exercises() -> dict[str, Exercise]:
    """All exercises by id, such as "01.3"."""
    return dict(all_exercises())


def hint(exercise_id: str, number: int = 1) -> None:
    """Show one hint of an exercise or a patient; 1 is the weakest."""
    exercise = _find(exercise_id) or (PATIENTS.get(exercise_id) if isinstance(exercise_id, str) else None)
    if exercise is None:
        text = _unknown(exercise_id)
    elif not isinstance(number, int) or not 1 <= number <= len(exercise.hints):
        text = f"Exercise {exercise_id} has hints 1 to {len(exercise.hints)}; got {short(number)}."
    else:
        more = f" (next: hint({exercise_id!r}, {number + 1}))" if number < len(exercise.hints) else ""
        text = f"Hint {number} of {len(exercise.hints)}: {exercise.hints[number - 1]}{more}"
    show(Card(text, paragraphs(text)))


def check(exercise_id: str, answer) -> Verdict:
    """Judge an answer, show what was found and return it; never raises.

    ``step = check("01.1", step).function`` lets later cells run on the learner's own function once it is right.
    """
    exercise = _find(exercise_id)
    if exercise is None:
        verdict = Verdict("not attempted", _unknown(exercise_id), answer, exercise_id=short(exercise_id))
    else:
        verdict = _judge_anything(exercise, answer)
        verdict.exercise_id, verdict.hints = exercise_id, exercise.hints
        verdict.function = answer if verdict.outcome == "correct" else exercise.reference
        verdict.message, verdict.details = cut(verdict.message, 600), cut(verdict.details, 3000)
        _record(exercise_id, verdict)
    verdict.show()
    return verdict


def _judge_anything(exercise: Exercise, answer) -> Verdict:
    try:
        return judge(exercise, answer)
    except KeyboardInterrupt:
        return Verdict(
            "not yet", "The check was interrupted while your function ran. Does every loop in it end?"
        )
    except BaseException as error:  # an answer can be stranger than any list of cases
        return Verdict("not yet", f"The answer could not be judged: {type(error).__name__}.")


def _record(exercise_id: str, verdict: Verdict) -> None:
    try:
        if verdict.outcome == "correct":
            record_pass(exercise_id)
        elif verdict.outcome == "not yet":
            record_try(exercise_id, verdict.mistake)
    except KeyboardInterrupt:
        if verdict.outcome == "correct":
            verdict.message = "(Interrupted before it was written to your progress: run the cell once more.)"


def _find(exercise_id) -> Exercise | None:
    return all_exercises().get(exercise_id) if isinstance(exercise_id, str) else None


def _unknown(exercise_id) -> str:
    if isinstance(exercise_id, str) and exercise_id in PATIENTS:
        return f"{exercise_id} is a patient, not an exercise: treat({exercise_id!r}, ...)."
    near = meant(exercise_id, [*all_exercises(), *PATIENTS])
    more = f"Did you mean {near}?" if near else f"The exercises are {', '.join(all_exercises())}."
    return f"There is no exercise {short(exercise_id)}. {more}"


# The judgement ---------------------------------------------------------------------------------------------------------
def judge(exercise: Exercise, answer, seed: int | None = None, seconds: float = SECONDS) -> Verdict:
    """Like `check`, without showing or recording; ``seed`` fixes the random cases."""
    if answer is ... or answer is exercise.reference or is_stub(answer):
        return _not_attempted(exercise, answer)
    if not callable(answer) or isinstance(answer, type):
        return Verdict("not yet", not_a_function(exercise, answer))
    if said := wrong_arity(exercise, answer):
        return Verdict("not yet", said)

    with usual_settings():  # before and after the answer's own, so that what it does touches neither side
        warnings.simplefilter("ignore")
        cases = fresh_cases(exercise, seed)
        wanted = run_all(exercise, exercise.reference, cases)
        if failed := next((run.error for run in wanted if run.error is not None), None):
            said = f"The course itself cannot compute this just now: {type(failed).__name__}: {cut(str(failed), 200)}"
            return Verdict("not judged", said)
        wanted_again = run_again(exercise, exercise.reference, wanted[0])
        made = attempt(exercise, answer, cases, seconds)
        verdict = _stopped(exercise, cases, made, seconds) or _verdict_from(
            exercise, answer, cases, wanted, wanted_again, made
        )
    if made.settings and verdict.outcome != "not attempted":
        verdict.message = f"{verdict.message} {_left_changed(made.settings)}".strip()
    if verdict.outcome != "correct" and made.printed:
        verdict.details = "\n".join(filter(None, [verdict.details, _excerpt(made.printed)]))
    return verdict


def _verdict_from(exercise, answer, cases, wanted: list[Run], wanted_again: Run, made: Attempt) -> Verdict:
    runs, again = made.runs, made.again
    if any(has_dots(run.value) for run in runs):
        return _not_attempted(exercise, answer)

    def differ(want: Run, run: Run) -> str:
        return difference(want, run, exercise.rtol, exercise.returns)

    differences = [differ(want, run) for want, run in zip(wanted, runs, strict=True)]
    failing = [k for k, found in enumerate(differences) if found]
    if not failing:
        return Verdict("not yet", CHANGES) if differ(wanted_again, again) else Verdict("correct", "")
    if mistake := named_mistake(exercise, cases, runs):
        return Verdict("not yet", mistake, mistake=mistake)
    k = min(failing, key=lambda k: _effort(cases[k]))
    message = explained(differences[k], exercise, cases, wanted, runs)
    if len(cases) > len(failing) and runs[k].error is None:
        message += f" ({len(cases) - len(failing)} of {len(cases)} cases are right.)"
    if again and not runs[0].changed and comparable(runs[0].value) and differ(runs[0], again):
        message += f" {CHANGES}"
    return Verdict("not yet", message, details=_describe_case(exercise, cases[k], wanted[k], runs[k]))


def _effort(case: tuple) -> int:
    """How hard a case is to work out by hand: its size; whole numbers are worth four times as many others."""
    tensors = [value for value in _leaves(case) if isinstance(value, torch.Tensor)]
    size = sum(value.numel() if isinstance(value, torch.Tensor) else 1 for value in _leaves(case))
    return size * (1 if all(bool((t == t.round()).all()) for t in tensors) else 4)


def _leaves(value) -> Iterator:
    """What lists, tuples and modules hold."""
    if isinstance(value, nn.Module):
        value = list(value.parameters())
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _leaves(item)
    else:
        yield value


def named_mistake(exercise: Exercise, cases: list[tuple], runs: list[Run]) -> str:
    """The sentence of the first known mistake that returns the same as ``runs`` on every case, in place or not.

    Empty where none does.
    """
    for sentence, wrong in exercise.mistakes.items():
        if agree(exercise, (run(exercise, wrong, case) for case in cases), runs):
            return sentence
    return ""


def agree(exercise: Exercise, theirs: Iterable[Run], mine: Iterable[Run]) -> bool:
    """Whether two functions did the same on every case, in place or not; the first difference ends the comparison."""
    return all(
        not difference(a, replace(b, changed=None), exercise.rtol)
        and _leaves_behind(a) in ((), _leaves_behind(b))
        for a, b in zip(theirs, mine, strict=True)
    )


def _leaves_behind(run: Run) -> tuple:
    """What it changed beside the values of its arguments, such as hooks on a model, and whether it added any."""
    found = run.changed
    return (
        (found.what, _entries(found.after) > _entries(found.before)) if found and not found.in_place else ()
    )


def _entries(value) -> int:
    """How many things stand in the lists of a dict."""
    lists = value.values() if isinstance(value, dict) else ()
    return sum(len(one) for one in lists if isinstance(one, (tuple, list)))


def _stopped(exercise: Exercise, cases: list[tuple], made: Attempt, seconds: float) -> Verdict | None:
    if not made.stopped:
        return None
    said = f"Stopped after {seconds:g} seconds: your function was still running. Does every loop in it come to an end?"
    return Verdict("not yet", said, details=_given(exercise, cases[min(len(made.runs), len(cases) - 1)]))


def _not_attempted(exercise: Exercise, answer) -> Verdict:
    message = f"Replace the three dots. Wanted: {exercise.task}."
    if answer is exercise.reference:
        message = "This is the reference, which stood in for yours. Run the cell that defines your own function first."
    return Verdict("not attempted", message)


# Words -----------------------------------------------------------------------------------------------------------------
def _describe_case(exercise: Exercise, case: tuple, want: Run, run: Run) -> str:
    if run.changed and not difference(want, replace(run, changed=None), exercise.rtol):
        now = [("before", run.changed.before), ("after", run.changed.after)]
        return "\n".join(
            [
                _given(exercise, case),
                *(f"{when:<10}{run.changed.shown} = {short(value)}" for when, value in now),
            ]
        )
    expected, got = short(want.value), short(run.value)
    if run.error is not None:
        got = cut(type(run.error).__name__, 60)
    elif got == expected:  # printed in a few digits, different numbers can look alike
        expected, got = short(in_full(want.value)), short(in_full(run.value))
    return "\n".join([_given(exercise, case), f"expected  {expected}", f"got       {got}"])


def _given(exercise: Exercise, case: tuple) -> str:
    given = [f"{name} = {short(value)}" for name, value in zip(case_names(exercise), case, strict=True)]
    return "with      " + "\n          ".join(given)


def _left_changed(settings: list[str]) -> str:
    they = "it has" if len(settings) == 1 else "they have"
    return f"Your function left {listed(settings)} changed; {they} been put back."


def _excerpt(printed: str) -> str:
    lines = printed.count("\n") + (not printed.endswith("\n"))
    return f"It printed ({lines} lines):\n{cut(printed.rstrip(), SHOWN_OUTPUT)}"
