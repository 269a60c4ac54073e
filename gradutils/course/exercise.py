"""An exercise is data: a task, a right answer, cases to try, and the mistakes that people make."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch


def call_directly(function: Callable, *arguments) -> Any:
    return function(*arguments)


def call_for_a_list(function: Callable, *arguments) -> Any:
    """What it returns; a tensor or a numpy array with one axis is as good as a list."""
    found = function(*arguments)
    return found.tolist() if getattr(found, "ndim", 0) == 1 else found


def drawer(generator: torch.Generator, dtype=torch.float32) -> Callable:
    """A ``randn(*shape, dtype=dtype)`` whose numbers come from the generator that an exercise's cases are given."""

    def randn(*shape, dtype=dtype):
        return torch.randn(*shape, generator=generator, dtype=dtype)

    return randn


@dataclass(frozen=True)
class Exercise:
    """What `check` needs to judge an answer and to name what is wrong with it.

    task          one line: what the function must return
    reference     a right answer; torch itself wherever torch has the thing
    cases         a torch.Generator -> list of argument tuples, small and readable ones first, at several shapes and dtypes
    mistakes      what was done wrong, in a sentence -> a wrong function that does it; the first that agrees with an answer
                  on every case names its mistake
    hints         two or three, weakest first
    alternatives  other right answers, which must pass
    call          (function, *case) -> the value to compare, where that is not simply function(*case)
    given         what the values of a case are called, where ``call`` takes others than the function itself
    returns       what the returned values are called, where there are several; the last name serves for all that follow
    rtol          relative tolerance; None: by dtype
    deeper        whether it stands in the part "Deeper" of its lesson
    """

    task: str
    reference: Callable
    cases: Callable[[torch.Generator], list[tuple]]
    mistakes: dict[str, Callable]
    hints: tuple[str, ...]
    alternatives: tuple[Callable, ...] = ()
    call: Callable = call_directly
    given: tuple[str, ...] = ()
    returns: tuple[str, ...] = ()
    rtol: float | None = None
    deeper: bool = False
