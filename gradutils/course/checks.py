"""Checks that name the mistake.

An answer is run on copies of an exercise's cases. If it agrees with the reference on all of them it is right.
If it agrees with a known wrong function on all of them, that mistake is named. Otherwise the smallest case on
which it fails is shown. Whatever it is given, `check` never raises.
"""

import contextlib
import copy
import dis
import inspect
import io
import math
import traceback
import types
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from html import escape
from typing import Any

import torch

from gradutils.course.clinic.patients import PATIENTS
from gradutils.course.display import BLUE, GREY, ORANGE, Card, block, current_cell, paragraphs, show
from gradutils.course.exercise import Exercise
from gradutils.course.exercises import all_exercises
from gradutils.course.progress import record_pass, record_try

SHOWN_OUTPUT = 800  # characters of what an answer printed
KEPT_OUTPUT = 100_000
MARKS = {"correct": ("✓", BLUE), "not yet": ("✗", ORANGE), "not attempted": ("○", GREY)}


@dataclass
class Verdict:
    """What `check` found. ``function`` is the learner's own once it is right, and the reference until then."""

    outcome: str  # "correct", "not yet" or "not attempted"
    message: str
    function: Callable
    details: str = ""  # lines whose spacing matters: the failing case, what was printed
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
        text = f"Exercise {exercise_id} has hints 1 to {len(exercise.hints)}; got {_short(number)}."
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
        verdict = Verdict("not attempted", _unknown(exercise_id), answer, exercise_id=_short(exercise_id))
    else:
        try:
            verdict = judge(exercise, answer)
        except KeyboardInterrupt:
            verdict = Verdict(
                "not yet",
                "The check was interrupted while your function ran. Does every loop in it end?",
                None,
            )
        except BaseException as error:  # an answer can be stranger than any list of cases
            verdict = Verdict("not yet", f"The answer could not be judged: {type(error).__name__}.", None)
        verdict.exercise_id, verdict.hints = exercise_id, exercise.hints
        verdict.message, verdict.details = _cut(verdict.message, 600), _cut(verdict.details, 3000)
        if verdict.outcome != "correct":
            verdict.function = exercise.reference
        _record(exercise_id, verdict)
    verdict.show()
    return verdict


def _record(exercise_id: str, verdict: Verdict) -> None:
    try:
        if verdict.outcome == "correct":
            record_pass(exercise_id)
        elif verdict.outcome == "not yet":
            record_try(exercise_id, getattr(verdict, "mistake", ""))
    except KeyboardInterrupt:
        if verdict.outcome == "correct":
            verdict.message = "(Interrupted before it was written to your progress: run the cell once more.)"


def _find(exercise_id) -> Exercise | None:
    return all_exercises().get(exercise_id) if isinstance(exercise_id, str) else None


def _unknown(exercise_id) -> str:
    return f"There is no exercise {_short(exercise_id)}. The exercises are {', '.join(all_exercises())}."


# The judgement ---------------------------------------------------------------------------------------------------------
@dataclass
class Run:
    """What one function did with one case."""

    value: Any = None
    error: BaseException | None = None
    changed: str = ""  # the name of an argument that was changed in place
    where: str = ""  # the function's own line that raised


def judge(exercise: Exercise, answer, seed: int | None = None) -> Verdict:
    """Like `check`, without showing or recording; ``seed`` fixes the random cases."""
    if answer is ... or answer is exercise.reference:
        return Verdict("not attempted", _not_attempted(exercise, answer), exercise.reference)
    if not callable(answer) or isinstance(answer, type):
        return Verdict("not yet", _not_a_function(exercise, answer), None)
    if _is_stub(answer):
        return Verdict("not attempted", _not_attempted(exercise, answer), exercise.reference)
    wrong_arity = _wrong_arity(exercise, answer)
    if wrong_arity:
        return Verdict("not yet", wrong_arity, None)

    cases = fresh_cases(exercise, seed)
    printed = io.StringIO()
    with _sandbox(printed):
        runs = run_all(exercise, answer, cases)
        again = None if runs[0].error else _run(exercise, answer, cases[0])
    verdict = _compare(exercise, answer, cases, runs, again)
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


def _compare(exercise, answer, cases, runs, again) -> Verdict:
    if any(_has_ellipsis(run.value) for run in runs):
        return Verdict("not attempted", _not_attempted(exercise, answer), exercise.reference)
    wanted = run_all(exercise, exercise.reference, cases)
    differences = [difference(want, run, exercise.rtol) for want, run in zip(wanted, runs, strict=True)]
    failing = [k for k, found in enumerate(differences) if found]
    if not failing:
        if again is None or difference(runs[0], again, exercise.rtol):
            return Verdict(
                "not yet",
                "Called a second time with the same arguments, it gave another answer. " + _MEMORY,
                None,
            )
        return Verdict("correct", "", answer)
    sentence = named_mistake(exercise, cases, runs)
    if sentence:
        return Verdict("not yet", sentence, None)
    k = min(failing, key=lambda k: _size(cases[k]))
    message = differences[k]
    if len(cases) > len(failing) and runs[k].error is None:
        message += f" ({len(cases) - len(failing)} of {len(cases)} cases are right.)"
    if again is not None and _comparable(runs[0].value) and difference(runs[0], again, exercise.rtol):
        message += " Called a second time with the same arguments, it gave another answer. " + _MEMORY
    return Verdict("not yet", message, None, _describe_case(exercise, cases[k], wanted[k], runs[k]))


def _comparable(value) -> bool:
    """Whether two runs that return such values can be told to differ: other objects need not equal themselves."""
    if isinstance(value, (tuple, list)):
        return all(map(_comparable, value))
    return isinstance(value, (str, bool, torch.Tensor)) or _is_number(value)


_MEMORY = "Does it keep something between calls, or draw too few random numbers?"


def named_mistake(exercise: Exercise, cases: list[tuple], runs: list[Run]) -> str | None:
    """The sentence of the first known mistake that returns the same as ``runs`` on every case, in place or not."""
    for wrong, sentence in exercise.mistakes:
        if agree(exercise, run_all(exercise, wrong, cases), runs):
            return sentence
    return None


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


# Differences -----------------------------------------------------------------------------------------------------------
def difference(want: Run, run: Run, rtol: float | None) -> str:
    """What differs between two runs, in a sentence; empty where nothing does."""
    if want.error is not None or run.error is not None:
        if type(want.error) is type(run.error) and str(want.error) == str(run.error):
            return ""
        return _describe_error(run) if run.error is not None else "An error was expected, and there was none."
    found = _different(want.value, run.value, rtol)
    if not found and run.changed and not want.changed:
        return f"The value is right, but your function changed its argument `{run.changed}` in place. Leave the arguments as they are."
    return found


def _different(want, got, rtol) -> str:
    if isinstance(want, (tuple, list)):
        if not isinstance(got, (tuple, list)):
            return f"It returns {_kind(got)}; a list or tuple of {len(want)} is expected."
        if len(got) != len(want):
            return f"It returns {len(got)} values; {len(want)} are expected."
        for k, (a, b) in enumerate(zip(want, got, strict=True)):
            found = _different(a, b, rtol)
            if found:
                inner = f", {found[6:]}" if found.startswith("Value ") else f": {found[0].lower()}{found[1:]}"
                return f"Value {k + 1} of {len(want)}{inner}"
        return ""
    if got is None or want is None:
        return "" if got is want else "It returns None. Is there a return?"
    if isinstance(want, (str, bool)):
        return _different_plain(want, got)
    if _is_number(want):
        return _different_number(want, got, rtol)
    if isinstance(want, torch.Tensor):
        return _different_tensor(want, got, rtol)
    return "" if type(got) is type(want) and _equal(got, want) else "The values differ."


def _equal(a, b) -> bool:
    try:
        return a is b or bool(a == b)
    except Exception:  # an answer's own objects may refuse
        return False


def _different_plain(want, got) -> str:
    if isinstance(want, bool) and isinstance(got, torch.Tensor) and got.dtype == torch.bool and got.ndim == 0:
        got = bool(got)
    if isinstance(want, str) != isinstance(got, str) or isinstance(want, bool) != isinstance(got, bool):
        return f"It returns {_kind(got)}; {_kind(want)} is expected."
    if got == want:
        return ""
    if isinstance(want, str) and got.strip().lower() == want:
        return f"It returns {got!r}; write it {want!r}."
    return "The answer differs."


def _different_number(want, got, rtol) -> str:
    if not _is_number(got):
        shape = f" of shape {tuple(got.shape)}" if isinstance(got, torch.Tensor) and got.ndim else ""
        return f"It returns {_kind(got)}{shape}; one number is expected."
    a, b = _float(want), _float(got)
    if b != b and a == a:
        return "The value is NaN."
    if a == b or (a != a and b != b):
        return ""
    if math.isinf(a) or math.isinf(b):
        return "The values differ."
    tolerance = rtol or (_tolerance(want.dtype) if isinstance(want, torch.Tensor) else 1e-6)
    return "" if abs(a - b) <= tolerance * max(abs(a), 1e-3) else "The values differ."


def _float(value) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer too long for a float
        return math.inf if value > 0 else -math.inf


def _different_tensor(want, got, rtol) -> str:
    if not isinstance(got, torch.Tensor):
        return f"It returns {_kind(got)}; a torch.Tensor is expected."
    if got.shape != want.shape:
        return f"The shape differs: expected {tuple(want.shape)}, got {tuple(got.shape)}."
    if got.dtype != want.dtype:
        return f"The dtype differs: expected {want.dtype}, got {got.dtype}."
    if want.dtype == torch.bool:
        return "" if torch.equal(got, want) else "The shape is right, the values differ."
    if got.isnan().any() and not want.isnan().any():
        return "There is a NaN in the values."
    tolerance = rtol or _tolerance(want.dtype)
    scale = want.abs().nan_to_num().amax().item() if want.numel() else 0.0
    if torch.allclose(got, want, rtol=tolerance, atol=tolerance * max(scale, 1e-3), equal_nan=True):
        return ""
    if torch.allclose(got, -want, rtol=tolerance, atol=tolerance * max(scale, 1e-3), equal_nan=True):
        return "The values differ: the sign is the other way round."
    return "The shape is right, the values differ."


def _tolerance(dtype) -> float:
    # Single-precision steps on the way to a double-precision answer are no mistake.
    return {torch.float64: 1e-6, torch.float32: 1e-5}.get(dtype, 1e-2)


def _is_number(value) -> bool:
    if isinstance(value, torch.Tensor):
        return value.ndim == 0 and value.dtype != torch.bool and not value.is_complex()
    if isinstance(value, bool):
        return False
    return isinstance(value, (int, float)) or (
        type(value).__module__ == "numpy" and hasattr(value, "item") and _is_scalar(value)
    )


def _is_scalar(value) -> bool:
    return (
        getattr(value, "ndim", 0) == 0
        and isinstance(value.item(), (int, float))
        and not isinstance(value.item(), bool)
    )


# Words -----------------------------------------------------------------------------------------------------------------
def _is_stub(function) -> bool:
    """Whether the body is nothing but ``...``, a docstring or ``pass``."""
    code = getattr(function, "__code__", None)
    if code is None:
        return False
    idle = {"RESUME", "LOAD_CONST", "RETURN_VALUE", "RETURN_CONST", "NOP", "POP_TOP", "COPY_FREE_VARS"}
    instructions = list(dis.get_instructions(code))
    last = [i.argval for i in instructions if i.opname in ("LOAD_CONST", "RETURN_CONST")][-1:]
    return {i.opname for i in instructions} <= idle and last in ([None], [...])


def _has_ellipsis(value) -> bool:
    if isinstance(value, (tuple, list)):
        return any(item is ... for item in value)
    return value is ...


def _not_attempted(exercise: Exercise, answer) -> str:
    if answer is exercise.reference:
        return "This is the reference, which stood in for yours. Run the cell that defines your own function first."
    return f"Replace the three dots. Wanted: {exercise.task}."


def _not_a_function(exercise: Exercise, answer) -> str:
    name = exercise.task.split("(")[0]
    if answer is None:
        return f"None was passed. Pass the function itself, by its name: {name}."
    if isinstance(answer, type):
        return f"A class was passed. Pass a function: {name}."
    return f"{_kind(answer).capitalize()} was passed, not a function. Pass {name} by its name, without calling it."


def _wrong_arity(exercise: Exercise, answer) -> str:
    try:
        signature = inspect.signature(answer)
    except (TypeError, ValueError):
        return ""
    try:
        signature.bind(*_argument_names(exercise))
    except TypeError:
        return f"It is called as {_call(exercise)}; yours takes {_cut(str(signature), 200)}."
    return ""


def _describe_error(run: Run) -> str:
    if isinstance(run.error, RecursionError):
        return "It calls itself too often for Python (RecursionError). Does it come to an end? If so, use a loop or a formula."
    try:
        text = " ".join(str(run.error).split())
    except BaseException:  # an error of the answer's own can fail to speak
        text = ""
    return (
        f"It raises {_cut(type(run.error).__name__, 60)}{': ' if text else ''}{_cut(text, 200)}{run.where}."
    )


def _where(error: BaseException, function) -> str:
    """The function's own line that raised, where its source is known."""
    file = getattr(getattr(function, "__code__", None), "co_filename", None)
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f" (line {own[-1].lineno}: {_cut(own[-1].line, 80)})" if own and own[-1].line else ""


def _call(exercise: Exercise) -> str:
    return exercise.task.split(":")[0]


def _describe_case(exercise: Exercise, case: tuple, want: Run, run: Run) -> str:
    given = [f"{name} = {_short(value)}" for name, value in zip(_case_names(exercise), case, strict=True)]
    expected, got = _short(want.value), _short(run.value)
    if run.error is not None:
        got = _cut(type(run.error).__name__, 60)
    elif got == expected:  # printed in a few digits, different numbers can look alike
        expected, got = _short(_in_full(want.value)), _short(_in_full(run.value))
    return "\n".join(["with      " + "\n          ".join(given), f"expected  {expected}", f"got       {got}"])


def _in_full(value):
    """Tensors as lists, whose numbers are printed in all their digits."""
    if isinstance(value, (tuple, list)):
        return [_in_full(item) for item in value]
    return value.tolist() if isinstance(value, torch.Tensor) else value


def _excerpt(printed: str) -> str:
    lines = printed.count("\n") + (not printed.endswith("\n"))
    return f"It printed ({lines} lines):\n{_cut(printed.rstrip(), SHOWN_OUTPUT)}"


def _kind(value) -> str:
    names = {
        "NoneType": "None",
        "complex": "a complex number",
        "float": "a number",
        "int": "a number",
        "bool": "True or False",
        "str": "a text",
        "list": "a list",
    }
    names |= {
        "tuple": "a tuple",
        "Tensor": "a tensor",
        "ndarray": "a numpy array",
        "generator": "a generator",
    }
    return names.get(type(value).__name__, f"an object of type {_cut(type(value).__name__, 60)}")


def _short(value, limit: int = 300) -> str:
    if isinstance(value, (types.FunctionType, types.BuiltinFunctionType)):
        return _name_of(value)
    try:
        text = f"{value:.6g}" if isinstance(value, float) else repr(value)
    except BaseException as error:
        text = f"an object whose repr raises {type(error).__name__}"
    return _cut(text.replace("\n", "\n          "), limit)


def _name_of(function) -> str:
    """A function of a case: its name and the first line of its docstring, where it has them."""
    if not function.__name__.strip("_").isidentifier():
        return "a function"
    about = (function.__doc__ or "").strip().splitlines()[:1]
    return ": ".join([function.__name__.strip("_"), *about])


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[:limit] + " …"


def _size(case: tuple) -> int:
    def size(value) -> int:
        if isinstance(value, (list, tuple)):
            return sum(map(size, value))
        return value.numel() if isinstance(value, torch.Tensor) else 1

    return size(case)
