"""A function is run on the cases of an exercise: on copies, in the course's settings, and an answer within a limit in time."""

import contextlib
import copy
import inspect
import io
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from gradutils.course.arguments import Change, change_for_all_modules, first_change
from gradutils.course.exercise import Exercise
from gradutils.course.limits import TooLongError, within
from gradutils.course.settings import usual_settings
from gradutils.course.words import cut
from gradutils.recorder.torch_inside import global_hooks

KEPT_OUTPUT = 100_000


@dataclass
class Run:
    """What one function did with one case."""

    value: Any = None
    error: BaseException | None = None
    changed: Change | None = None  # what it changed in its arguments
    where: str = ""  # the function's own line that raised
    left: tuple = ()  # the arguments, as the call left them


@dataclass
class Attempt:
    """What an answer did with all cases, and what it did beside."""

    runs: list[Run] = field(default_factory=list)
    again: Run | None = None  # a second call with the arguments of the first; None where one raised
    stopped: bool = False  # its time was over
    settings: list[str] = field(default_factory=list)  # those that it left changed
    printed: str = ""


def fresh_cases(exercise: Exercise, seed: int | None = None) -> list[tuple]:
    """The cases of an exercise; ``seed`` fixes the random ones."""
    generator = torch.Generator()
    generator.seed() if seed is None else generator.manual_seed(seed)
    with torch.random.fork_rng(devices=[]):  # building a model draws from the global state
        return exercise.cases(generator)


def run_all(exercise: Exercise, function: Callable, cases: list[tuple]) -> list[Run]:
    """What a function of the course does with each case."""
    return [run(exercise, function, case) for case in cases]


def run_again(exercise: Exercise, function: Callable, first: Run) -> Run | None:
    """A second call with the first call's very arguments: what they remember is seen."""
    return None if first.error else run(exercise, function, first.left, copied=False)


def attempt(exercise: Exercise, answer: Callable, cases: list[tuple], seconds: float) -> Attempt:
    """Run an answer on all cases and once more on the first, in so many seconds together.

    Each call starts in the usual settings. What it prints is caught, and its warnings are dropped.
    """
    made, printed, learner = Attempt(), io.StringIO(), sys.stdout

    def on_every_case():
        for case in cases:
            with left.alike():
                made.runs.append(run(exercise, answer, case))
        with left.alike():
            made.again = run_again(exercise, answer, made.runs[0])

    with usual_settings() as left, _caught(printed):
        try:
            within(seconds, on_every_case, lambda said: print(said, file=learner, flush=True))
        except TooLongError:
            made.stopped = True
    made.settings, made.printed = left, printed.getvalue()
    return made


def run(exercise: Exercise, function: Callable, case: tuple, copied: bool = True) -> Run:
    """What a function does with one case, given its own copy of it."""
    arguments = copy.deepcopy(case) if copied else case
    hooks = global_hooks() if any(isinstance(value, nn.Module) for value in case) else None
    try:
        value = _snapshot(exercise.call(function, *arguments))
    except (KeyboardInterrupt, TooLongError):
        raise
    except BaseException as error:  # SystemExit too: an answer must not stop the kernel
        return Run(error=error, where=_where(error, function))
    changes = (first_change(*one) for one in zip(case_names(exercise), case, arguments, strict=True))
    changed = next(filter(None, changes), None)
    if changed is None and hooks is not None:
        changed = change_for_all_modules(hooks)
    return Run(value, changed=changed, left=arguments)


def case_names(exercise: Exercise) -> list[str]:
    """What the values of a case are called."""
    return list(exercise.given) or argument_names(exercise)


def argument_names(exercise: Exercise) -> list[str]:
    """What the function's own arguments are called."""
    return list(inspect.signature(exercise.reference).parameters)


def _snapshot(value):
    """A copy that a later call cannot change."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if isinstance(value, np.ndarray):
        return value.copy()
    if type(value) in (tuple, list):
        return type(value)(_snapshot(item) for item in value)
    return value


def _where(error: BaseException, function) -> str:
    """The function's own line that raised, where its source is known."""
    file = getattr(getattr(function, "__code__", None), "co_filename", None)
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f" (line {own[-1].lineno}: {cut(own[-1].line, 80)})" if own and own[-1].line else ""


@contextlib.contextmanager
def _caught(printed: io.StringIO) -> Iterator[None]:
    """What is printed is kept, up to a length; warnings are dropped."""
    writer = _Bounded(printed)
    with warnings.catch_warnings(), contextlib.redirect_stdout(writer), contextlib.redirect_stderr(writer):
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
