"""Checks that name the mistake.

An answer is run on copies of an exercise's cases. If it agrees with the reference on all of them it is right.
If it agrees with a known wrong function on all of them, that mistake is named. Otherwise the smallest case on
which it fails is shown. Whatever it is given, `check` never raises.
"""

import contextlib
import copy
import inspect
import io
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from html import escape
from typing import Any

import torch

from gradutils.course.clinic.patients import PATIENTS
from gradutils.course.compare import Run, comparable, cut, difference, in_full, kind, short
from gradutils.course.display import BLUE, GREY, ORANGE, Card, block, current_cell, paragraphs, show
from gradutils.course.exercise import Exercise
from gradutils.course.exercises import all_exercises
from gradutils.course.progress import record_pass, record_try
from gradutils.course.relations import explained

SHOWN_OUTPUT = 800  # characters of what an answer printed
KEPT_OUTPUT = 100_000
CHANGES = (
    "Called a second time with the same arguments, it gave another answer. "
    "Does it keep something between calls, or draw too few random numbers?"
)
MARKS = {"correct": ("✓", BLUE), "not yet": ("✗", ORANGE), "not attempted": ("○", GREY)}


@dataclass
class Verdict:
    """What `check` found. ``function`` is the learner's own once it is right, and the reference until then.

    `judge` says what was found; whose verdict it is, the hints and the function are added where it is shown.
    """

    outcome: str  # "correct", "not yet" or "not attempted"
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
    return f"There is no exercise {short(exercise_id)}. The exercises are {', '.join(all_exercises())}."


# The judgement ---------------------------------------------------------------------------------------------------------
def judge(exercise: Exercise, answer, seed: int | None = None) -> Verdict:
    """Like `check`, without showing or recording; ``seed`` fixes the random cases."""
    if answer is ... or answer is exercise.reference:
        return _not_attempted(exercise, answer)
    if not callable(answer) or isinstance(answer, type):
        return Verdict("not yet", _not_a_function(exercise, answer))
    if _is_stub(answer):
        return _not_attempted(exercise, answer)
    if wrong_arity := _wrong_arity(exercise, answer):
        return Verdict("not yet", wrong_arity)

    cases = fresh_cases(exercise, seed)
    printed = io.StringIO()
    with _sandbox(printed):
        runs = run_all(exercise, answer, cases)
        again = None if runs[0].error else _run(exercise, answer, cases[0])
    verdict = _verdict_from(exercise, answer, cases, runs, again)
    if verdict.outcome != "correct" and printed.getvalue():
        verdict.details = "\n".join(filter(None, [verdict.details, _excerpt(printed.getvalue())]))
    return verdict


def fresh_cases(exercise: Exercise, seed: int | None = None) -> list[tuple]:
    generator = torch.Generator()
    generator.seed() if seed is None else generator.manual_seed(seed)
    with torch.random.fork_rng(devices=[]):  # building a model draws from the global state
        return exercise.cases(generator)


def run_all(exercise: Exercise, function: Callable, cases: list[tuple]) -> list[Run]:
    return [_run(exercise, function, case) for case in cases]


def _verdict_from(exercise, answer, cases, runs, again) -> Verdict:
    if any(_has_ellipsis(run.value) for run in runs):
        return _not_attempted(exercise, answer)
    wanted = run_all(exercise, exercise.reference, cases)
    differences = [difference(want, run, exercise.rtol) for want, run in zip(wanted, runs, strict=True)]
    failing = [k for k, found in enumerate(differences) if found]
    if not failing:
        if again is None or difference(runs[0], again, exercise.rtol):
            return Verdict("not yet", CHANGES)
        return Verdict("correct", "")
    if mistake := named_mistake(exercise, cases, runs):
        return Verdict("not yet", mistake, mistake=mistake)
    k = min(failing, key=lambda k: _size(cases[k]))
    message = explained(differences[k], exercise, cases, wanted, runs)
    if len(cases) > len(failing) and runs[k].error is None:
        message += f" ({len(cases) - len(failing)} of {len(cases)} cases are right.)"
    if again is not None and comparable(runs[0].value) and difference(runs[0], again, exercise.rtol):
        message += f" {CHANGES}"
    return Verdict("not yet", message, details=_describe_case(exercise, cases[k], wanted[k], runs[k]))


def _size(case: tuple) -> int:
    def size(value) -> int:
        if isinstance(value, (list, tuple)):
            return sum(map(size, value))
        return value.numel() if isinstance(value, torch.Tensor) else 1

    return size(case)


def named_mistake(exercise: Exercise, cases: list[tuple], runs: list[Run]) -> str:
    """The sentence of the first known mistake that returns the same as ``runs`` on every case, in place or not.

    Empty where none does.
    """
    for sentence, wrong in exercise.mistakes.items():
        if agree(exercise, run_all(exercise, wrong, cases), runs):
            return sentence
    return ""


def agree(exercise: Exercise, theirs: list[Run], mine: list[Run]) -> bool:
    """Whether two functions returned the same on every case, in place or not."""
    return all(
        not difference(a, replace(b, changed=""), exercise.rtol) for a, b in zip(theirs, mine, strict=True)
    )


@contextlib.contextmanager
def _sandbox(printed: io.StringIO):
    """Whatever the answer prints is caught, its warnings are dropped, and the random state is put back."""
    writer = _Bounded(printed)
    with (
        torch.random.fork_rng(devices=[]),
        warnings.catch_warnings(),
        contextlib.redirect_stdout(writer),
        contextlib.redirect_stderr(writer),
    ):
        warnings.simplefilter("ignore")
        yield


class _Bounded(io.TextIOBase):
    def __init__(self, target: io.StringIO):
        self.target = target

    def writable(self):
        return True

    def write(self, text):
        room = KEPT_OUTPUT - self.target.tell()
        self.target.write(text[: max(room, 0)])
        return len(text)


def _run(exercise: Exercise, function: Callable, case: tuple) -> Run:
    arguments = copy.deepcopy(case)
    try:
        value = _snapshot(exercise.call(function, *arguments))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit too: an answer must not stop the kernel
        return Run(error=error, where=_where(error, function))
    changed = [not _same(before, after) for before, after in zip(case, arguments, strict=True)]
    return Run(value, changed=_case_names(exercise)[changed.index(True)] if any(changed) else "")


def _case_names(exercise: Exercise) -> list[str]:
    return list(exercise.given) or _argument_names(exercise)


def _argument_names(exercise: Exercise) -> list[str]:
    return list(inspect.signature(exercise.reference).parameters)


def _snapshot(value):
    """A copy that a later call cannot change."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if type(value) in (tuple, list):
        return type(value)(_snapshot(item) for item in value)
    return value


def _same(before, after) -> bool:
    if isinstance(before, torch.Tensor):
        kept = before.shape == after.shape and before.requires_grad == after.requires_grad
        return kept and bool(((before == after) | (before != before)).all())
    if isinstance(before, (list, tuple)):
        return len(before) == len(after) and all(map(_same, before, after))
    return before is after or callable(before) or bool(before == after)


# No answer yet ---------------------------------------------------------------------------------------------------------
def _stubs() -> tuple[Callable, ...]:
    """Functions that do nothing yet, as a lesson or a learner leaves them."""

    def dots(): ...

    def described():
        """To be done."""

    def described_dots():
        """To be done."""
        ...  # noqa: PIE790

    def passes():
        pass

    return dots, described, described_dots, passes, lambda: ...


STUBS = {stub.__code__.co_code for stub in _stubs()}


def _is_stub(function) -> bool:
    """Whether it does what a stub does, and returns no constant of its own."""
    code = getattr(function, "__code__", None)
    if code is None or code.co_code not in STUBS:
        return False
    return set(code.co_consts) <= {None, ..., function.__doc__}


def _has_ellipsis(value) -> bool:
    if isinstance(value, (tuple, list)):
        return any(item is ... for item in value)
    return value is ...


def _not_attempted(exercise: Exercise, answer) -> Verdict:
    message = f"Replace the three dots. Wanted: {exercise.task}."
    if answer is exercise.reference:
        message = "This is the reference, which stood in for yours. Run the cell that defines your own function first."
    return Verdict("not attempted", message)


def _not_a_function(exercise: Exercise, answer) -> str:
    name = exercise.task.split("(")[0]
    if answer is None:
        return f"None was passed. Pass the function itself, by its name: {name}."
    if isinstance(answer, type):
        return f"A class was passed. Pass a function: {name}."
    return f"{kind(answer).capitalize()} was passed, not a function. Pass {name} by its name, without calling it."


def _wrong_arity(exercise: Exercise, answer) -> str:
    try:
        signature = inspect.signature(answer)
    except (TypeError, ValueError):
        return ""
    try:
        signature.bind(*_argument_names(exercise))
    except TypeError:
        return f"It is called as {exercise.task.split(':')[0]}; yours takes {cut(str(signature), 200)}."
    return ""


# Words -----------------------------------------------------------------------------------------------------------------
def _describe_case(exercise: Exercise, case: tuple, want: Run, run: Run) -> str:
    given = [f"{name} = {short(value)}" for name, value in zip(_case_names(exercise), case, strict=True)]
    expected, got = short(want.value), short(run.value)
    if run.error is not None:
        got = cut(type(run.error).__name__, 60)
    elif got == expected:  # printed in a few digits, different numbers can look alike
        expected, got = short(in_full(want.value)), short(in_full(run.value))
    return "\n".join(["with      " + "\n          ".join(given), f"expected  {expected}", f"got       {got}"])


def _where(error: BaseException, function) -> str:
    """The function's own line that raised, where its source is known."""
    file = getattr(getattr(function, "__code__", None), "co_filename", None)
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f" (line {own[-1].lineno}: {cut(own[-1].line, 80)})" if own and own[-1].line else ""


def _excerpt(printed: str) -> str:
    lines = printed.count("\n") + (not printed.endswith("\n"))
    return f"It printed ({lines} lines):\n{cut(printed.rstrip(), SHOWN_OUTPUT)}"
