"""The exercises, one module a lesson: each ``lesson_NN`` holds a dict ``EXERCISES`` from id ("NN.k") to Exercise."""

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from gradutils.course.exercise import Exercise


@cache
def all_exercises() -> dict[str, Exercise]:
    """Every exercise by its id, lesson by lesson."""
    names = sorted(module.name for module in iter_modules(__path__) if module.name.startswith("lesson_"))
    found = {}
    for name in names:
        found |= import_module(f"{__name__}.{name}").EXERCISES
    return found
