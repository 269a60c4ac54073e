"""What a teacher may expect in the sessions of docs/classroom.md, from the lessons themselves.

    python -m tools.sessions            writes it below each timetable
    python -m tools.sessions --check    names the timetables below which it is stale, and changes nothing

A timetable is a table whose first column holds minutes. What it mentions, a prediction ("01.a"), an exercise ("01.2") or the
core of a lesson ("core of 03"), is listed below it: a prediction with its options and what each is for, an exercise with the
first of its known mistakes.
"""

import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from gradutils.course.classroom.asked import Asked, asked
from gradutils.course.exercises import all_exercises

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "classroom.md"
BEGIN, END = "<!-- what to expect: begin -->", "<!-- what to expect: end -->"
MISTAKES = 3  # of an exercise
questions = cache(asked)


def rows(timetable: str) -> list[tuple[int, str]]:
    """Minutes and text of each row of a timetable."""
    return [
        (int(minutes), text) for minutes, text in re.findall(r"^\| (\d+) \|(.*)\|$", timetable, re.MULTILINE)
    ]


def mentioned(timetable: str) -> tuple[list[str], list[str]]:
    """The ids of the predictions and of the exercises that a timetable mentions, in its order.

    Raises ValueError for one that the course does not have.
    """
    predictions, exercises = questions(), all_exercises()
    found = {}
    for _, text in rows(timetable):
        for lesson in re.findall(r"\bcore of (\d\d)\b", text):
            found |= dict.fromkeys(key for key in predictions if key.startswith(f"{lesson}."))
            found |= dict.fromkeys(
                key for key in exercises if key.startswith(f"{lesson}.") and not exercises[key].deeper
            )
        found |= dict.fromkeys(re.findall(r"\*\*(\d\d\.\w+)\*\*", text))
    if unknown := [key for key in found if key not in predictions and key not in exercises]:
        raise ValueError(f"there is no prediction or exercise {unknown[0]}")
    return [key for key in found if key in predictions], [key for key in found if key in exercises]


def minutes_of_exercises() -> dict[str, int]:
    """How long each exercise takes, as its lesson says."""
    found = {}
    for path in sorted((ROOT / "solutions").glob("[0-9][0-9]_*.py")):
        found |= dict(
            re.findall(
                r"^# ### Exercise (\S+) · \S+ · (\d+) minutes$",
                path.read_text(encoding="utf-8"),
                re.MULTILINE,
            )
        )
    return {key: int(minutes) for key, minutes in found.items()}


# What stands below a timetable -------------------------------------------------------------------------------------------
def expectations(timetable: str) -> str:
    """What stands between the markers below a timetable."""
    predictions, exercises = mentioned(timetable)
    minutes = minutes_of_exercises()
    lines = ["| ask | option | what it is for |", "|---|---|---|"]
    for key in predictions:
        lines += _rows_of_prediction(key, questions()[key])
    lines += ["", "| exercise | minutes | the check says |", "|---|---|---|"]
    for key in exercises:
        lines += _rows_of_exercise(key, minutes[key])
    body = "\n".join(lines)
    return f"<details><summary>What to ask, and which mistakes to expect</summary>\n\n{body}\n\n</details>"


def _rows_of_prediction(key: str, question: Asked) -> list[str]:
    """One row an option: the measured one first, each other with the reason why it is wrong."""
    first = [f"| **{key}** {plain(question.question)} | {plain(question.measured)} | **measured** |"]
    return first + [f"| | {plain(option)} | {plain(why)} |" for option, why in question.wrong.items()]


def _rows_of_exercise(key: str, minutes: int) -> list[str]:
    exercise = all_exercises()[key]
    name, sentences = exercise.task.partition("(")[0], list(exercise.mistakes)[:MISTAKES]
    heads = [f"**{key}** `{name}` | {minutes}"] + [" |"] * (len(sentences) - 1)
    return [f"| {head} | {plain(sentence)} |" for head, sentence in zip(heads, sentences, strict=True)]


def plain(text: str) -> str:
    """A text as Markdown shows it: nothing in it is markup."""
    return re.sub(r"([\\`*_|<\[$])", r"\\\1", text)


# The page --------------------------------------------------------------------------------------------------------------
def parts(text: str) -> Iterator[tuple[str, str]]:
    """Each timetable of the page, with what stands below it now. Raises ValueError where a marker has no partner."""
    if text.count(BEGIN) != text.count(END):
        raise ValueError(f"{PAGE.name}: each {BEGIN} needs its {END}")
    below = rf"((?:^\|.*\n)+)\n{BEGIN}\n((?:(?!{END}).*\n)*){END}"
    yield from re.findall(below, text, re.MULTILINE)


def rebuilt(text: str) -> str:
    """The page with all that it lists as the lessons have it."""
    for timetable, inner in list(parts(text)):
        old, new = (f"{timetable}\n{BEGIN}\n{body}{END}" for body in (inner, f"{expectations(timetable)}\n"))
        text = text.replace(old, new)
    return text


def main(arguments: list[str]) -> int:
    """Write the page, or with ``--check`` say whether it is stale; the exit status is 1 where it is."""
    text = PAGE.read_text(encoding="utf-8")
    new = rebuilt(text)
    if arguments == ["--check"]:
        if new != text:
            print(f"docs/{PAGE.name} is stale: run python -m tools.sessions")
        return int(new != text)
    if arguments:
        print(__doc__)
        return 2
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
