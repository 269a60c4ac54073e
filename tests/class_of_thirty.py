"""A class that never was: its learners' answers are known mistakes and right answers, each judged by the real check.

python -m tests.class_of_thirty FOLDER      writes it, to look at: python -m gradutils.course.classroom FOLDER
"""

import contextlib
import io
import os
import sys
from collections import deque
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from random import Random
from unittest.mock import patch

from gradutils.course import check, predict, reveal
from gradutils.course.classroom.asked import asked
from gradutils.course.exercises import all_exercises
from gradutils.course.questions import RECALLS

progress = import_module("gradutils.course.progress")  # the face has a function of this name
NAMES = [
    "Ada", "Amal", "Björn", "Chen", "Chloé", "Dag", "Dmitri", "Emmy", "Farah", "Grace",
    "Hypatia", "Ibrahim", "Ida", "Jun", "Katherine", "Lars", "Lucía", "Mei", "Noor", "Olu",
    "Paul", "Quynh", "Ravi", "Sofia", "Tariq", "Ugo", "Vera", "Wanjiru", "Yuki", "Zoë",
]  # fmt: skip
# What is done in this order, as far as a learner gets: predictions, exercises, and the questions where a lesson begins.
WAY = [
    "00.a", "00.1", "01.a", "01.1", "01.2", "01.3", "01.b", "01.4", "01.c", "01.5",
    "03.recall", "03.a", "03.1", "03.b", "03.2", "03.4", "03.c", "05.recall", "05.a", "05.1",
    "05.2", "05.b", "06.recall", "06.a", "06.1",
]  # fmt: skip
PATIENTS = ("12.1", "12.2", "12.3", "12.4")
FIRST = datetime(2026, 10, 5, 8, 0, tzinfo=UTC)


class Clock:
    """The time as this class has it."""

    def __init__(self, at: datetime):
        self.at = at

    def wait(self, minutes: float) -> None:
        self.at += timedelta(minutes=minutes)

    def __call__(self) -> datetime:
        return self.at


def make_class(folder: Path, seed: int = 0, names=NAMES) -> dict[str, dict[str, list[str]]]:
    """Write ``folder/NAME/progress.jsonl`` for each name; return what each learner did: exercise -> mistakes, then "passed"."""
    questions, done = asked(), {}
    for k, name in enumerate(names):
        random, clock = Random(f"{seed} {name}"), Clock(FIRST + timedelta(minutes=k))
        with (
            patch.dict(os.environ, GRADUTILS_HOME=str(folder / name)),
            patch.object(progress, "now", clock),
            patch.object(progress, "_waiting", deque()),
            contextlib.redirect_stdout(io.StringIO()),
        ):
            done[name] = _work(random, clock, questions)
    return done


def _work(random: Random, clock: Clock, questions) -> dict[str, list[str]]:
    """One learner's way through the course: how far, how well and how quickly is drawn."""
    skill, far, pace = random.betavariate(3, 2), random.randint(8, len(WAY) + 8), random.uniform(0.6, 1.8)
    done = {}
    for key in WAY[:far]:
        if random.random() < 0.15:
            clock.wait(60 * 24)  # another day
        if key.endswith(".recall"):
            for question in RECALLS[key[:2]]:
                clock.wait(pace * 0.5)
                progress.record_recalled(question, random.random() < 0.4 + 0.5 * skill)
        elif key in questions:
            _predict(random, clock, key, questions[key], skill)
        else:
            done[key] = _try(random, clock, key, skill, pace)
            if done[key][-1:] != ["passed"] and random.random() < 0.3:
                return done  # gives up here
    if far >= len(WAY):
        _treat(random, clock, skill)
    return done


def _predict(random: Random, clock: Clock, key: str, question, skill: float) -> None:
    clock.wait(1.5)
    if random.random() < 0.1:  # goes on without
        return
    wrong = [option for option in question.options if option != question.measured]
    predict(
        key,
        question.question,
        question.options,
        question.measured if random.random() < skill * 0.7 else random.choice(wrong),
    )
    if random.random() < 0.9:
        clock.wait(0.5)
        reveal(key, question.measured)


def _try(random: Random, clock: Clock, key: str, skill: float, pace: float) -> list[str]:
    """Wrong answers, then a right one or none: each is one real check."""
    exercise, done = all_exercises()[key], []
    sentences = list(exercise.mistakes)
    weights = [1 / (k + 1) for k in range(len(sentences))]
    sentence = random.choices(sentences, weights)[0]
    stuck = random.random() < 0.12 * (1.3 - skill)
    while stuck or random.random() > 0.35 + 0.6 * skill:
        clock.wait(pace * random.uniform(0.5, 4))
        if random.random() < 0.1:
            check(key, lambda *arguments: "no known mistake")
            done.append("")
        else:
            check(key, exercise.mistakes[sentence])
            done.append(sentence)
        if stuck and done.count(sentence) >= 4:
            return done
        if not stuck and random.random() < 0.6:
            sentence = random.choices(sentences, weights)[0]
    clock.wait(pace * random.uniform(0.5, 5))
    check(
        key,
        exercise.alternatives[0]
        if exercise.alternatives
        else lambda *arguments: exercise.reference(*arguments),
    )
    return [*done, "passed"]


def _treat(random: Random, clock: Clock, skill: float) -> None:
    for patient in PATIENTS:
        clock.wait(4)
        progress.record_guess(patient, random.random() < skill, True)
        while random.random() > 0.3 + 0.6 * skill:
            clock.wait(2)
            progress.record_try(patient)
        progress.record_pass(patient)


if __name__ == "__main__":
    if len(sys.argv) != 2 or Path(sys.argv[1]).exists():
        sys.exit("Give one folder, which is not there yet: python -m tests.class_of_thirty FOLDER")
    where = Path(sys.argv[1])
    made = make_class(where)
    tries = sum(len(each) for one in made.values() for each in one.values())
    print(f"{len(made)} learners and {tries} checks in {where}")
