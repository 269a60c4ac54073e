"""gradutils: the helper package of a course on training stability.

A lesson imports the course's own words from here: ``from gradutils import check, predict, reveal, verdict``.
The science and the pictures are imported by module: ``from gradutils.data import digits``.

Names are looked up when they are first used, so that ``import gradutils.data`` in a program of your own loads
nothing of the course and changes no setting.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gradutils.course.certificate import certificate
    from gradutils.course.checks import check, exercises, hint
    from gradutils.course.machine import machine
    from gradutils.course.progress import progress
    from gradutils.course.quiz import predict, reveal
    from gradutils.course.verdicts import verdict

__version__ = "1.0.0"
__all__ = ["certificate", "check", "exercises", "hint", "machine", "predict", "progress", "reveal", "verdict"]

_HOME = {
    "certificate": "certificate",
    "check": "checks",
    "exercises": "checks",
    "hint": "checks",
    "machine": "machine",
    "predict": "quiz",
    "progress": "progress",
    "reveal": "quiz",
    "verdict": "verdicts",
}


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"module 'gradutils' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"gradutils.course.{_HOME[name]}"), name)


def __dir__():
    return sorted([*globals(), *__all__])
