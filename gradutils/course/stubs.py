"""Whether an answer has been begun: what stands where a function should be, and functions that do nothing yet."""

import inspect
import re
from collections.abc import Callable

from gradutils.course.exercise import Exercise
from gradutils.course.runs import argument_names
from gradutils.course.words import cut, kind


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


def is_stub(function) -> bool:
    """Whether it does what a stub does, and returns no constant of its own."""
    code = getattr(function, "__code__", None)
    if code is None or code.co_code not in STUBS:
        return False
    return set(code.co_consts) <= {None, ..., function.__doc__} and not _says_none(function)


def _says_none(function) -> bool:
    """Whether None is written as what it returns: in byte code that looks like no answer yet."""
    try:
        source = inspect.getsource(function)
    except (OSError, TypeError):
        return False
    return re.search(r"\breturn\s+None\b|\blambda\b[^:]*:\s*None\b", source) is not None


def has_dots(value) -> bool:
    """Whether a returned value holds the three dots that were to be replaced."""
    if isinstance(value, (tuple, list)):
        return any(item is ... for item in value)
    return value is ...


def not_a_function(exercise: Exercise, answer) -> str:
    """The sentence for an answer that cannot be called."""
    name = exercise.task.split("(")[0]
    if answer is None:
        return f"None was passed. Pass the function itself, by its name: {name}."
    if isinstance(answer, type):
        return f"A class was passed. Pass a function: {name}."
    return f"{kind(answer).capitalize()} was passed, not a function. Pass {name} by its name, without calling it."


def wrong_arity(exercise: Exercise, answer) -> str:
    """The sentence for a function that takes other arguments; empty where it can be called."""
    try:
        signature = inspect.signature(answer)
    except (TypeError, ValueError):
        return ""
    try:
        signature.bind(*argument_names(exercise))
    except TypeError:
        return f"It is called as {exercise.task.split(':')[0]}; yours takes {cut(str(signature), 200)}."
    return ""
