"""What a class did, from what its learners' files amount to: nothing here reads a file, and nothing writes a page."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import groupby
from statistics import median
from typing import NamedTuple

from gradutils.course.classroom.asked import Asked
from gradutils.course.classroom.files import Learner, printable
from gradutils.course.exercises import all_exercises
from gradutils.course.progress import lessons, to_pass
from gradutils.course.questions import QUESTIONS

PAUSE = timedelta(minutes=20)  # a longer time between two entries is a pause, and counts for nothing
IN_A_ROW = 3  # so many times the same mistake, and nothing passed since: stuck
MANY = 10  # so many tries without a pass: stuck too, whatever the mistakes
LIVELY = (0.3, 0.7)  # a prediction that such a share had right is worth a talk between neighbours
OPTIONS = 6  # that are shown of a question whose text is not known
OPTION = 160  # characters of such an option


# One learner ------------------------------------------------------------------------------------------------------------
class Work(NamedTuple):
    """What one learner did for one exercise or patient, up to the first pass.

    ``mistakes`` holds that of each wrong try in order, "" where it has no known name; ``minutes`` is None where no time is known.
    """

    passed: bool
    mistakes: tuple[str, ...]
    minutes: float | None

    @property
    def tries(self) -> int:
        return len(self.mistakes) + self.passed


def works_of(learner: Learner, pause: timedelta = PAUSE) -> dict[str, Work]:
    """By the id of what was tried or passed. The time before an entry counts for what the entry is about."""
    ids, passed = set(to_pass()), set()
    mistakes: dict[str, list[str]] = {}
    minutes: dict[str, float] = {}
    before = None
    for step in learner.steps:
        gap = step.at - before if step.at and before else None
        before = step.at or before
        key = step.key
        if key not in ids or key in passed or step.event not in ("tried", "passed"):
            continue
        made = mistakes.setdefault(key, [])
        if gap is not None and timedelta(0) <= gap <= pause:
            minutes[key] = minutes.get(key, 0.0) + gap.total_seconds() / 60
        if step.event == "passed":
            passed.add(key)
        else:
            made.append(step.mistake if _is_known(key, step.mistake) else "")
    return {key: Work(key in passed, tuple(made), minutes.get(key)) for key, made in mistakes.items()}


def _is_known(key: str, mistake: str) -> bool:
    """Whether a sentence is one of an exercise's known mistakes: nothing else that a file calls a mistake is shown."""
    return key in all_exercises() and mistake in all_exercises()[key].mistakes


def last_seen(learner: Learner, today: date) -> str:
    """The day of the newest entry, such as "2026-01-31", "" for none; what lies in the future does not count."""
    days = [step.at.date() for step in learner.steps if step.at]
    return max((str(day) for day in days if day <= today + timedelta(days=1)), default="")


class Stuck(NamedTuple):
    """Someone who does not get on with an exercise: the mistake that was made so many times in a row, or "" for any."""

    learner: str
    key: str
    mistake: str
    times: int


def stuck_at(name: str, works: Mapping[str, Work]) -> list[Stuck]:
    """Where one learner is stuck: the longest row of one mistake, or many tries at all, and not passed."""
    found = []
    for key, work in works.items():
        rows = [(len(list(row)), mistake) for mistake, row in groupby(work.mistakes) if mistake]
        times, mistake = max(rows, default=(0, ""))
        if work.passed:
            continue
        if times >= IN_A_ROW:
            found.append(Stuck(name, key, mistake, times))
        elif len(work.mistakes) >= MANY:
            found.append(Stuck(name, key, "", len(work.mistakes)))
    return found


# The class -------------------------------------------------------------------------------------------------------------
class Mistake(NamedTuple):
    """A known mistake, by the sentence that the check says to it, and how often the class made it."""

    key: str
    sentence: str
    learners: int
    tries: int


class Asking(NamedTuple):
    """How the class did with one exercise: medians over those who passed, None where nobody did, or no time is known."""

    passed: int
    tried: int  # and not passed
    tries: float | None
    minutes: float | None
    unnamed: int  # wrong tries whose mistake has no name


class Split(NamedTuple):
    """How the class split on a prediction: for each option how many chose it, before it was settled."""

    key: str
    asked: Asked
    counts: dict[str, int]
    others: int  # chose what is no option of this version

    @property
    def made(self) -> int:
        return sum(self.counts.values())

    @property
    def lively(self) -> bool:
        """Whether about half had it right, so that neighbours have something to tell each other."""
        share = self.counts.get(self.asked.measured, 0) / (self.made or 1)
        return bool(self.made) and LIVELY[0] <= share <= LIVELY[1]


class Recall(NamedTuple):
    """How a question on an earlier lesson was answered the first time."""

    key: str
    wrong: int
    answered: int


@dataclass(frozen=True)
class Class:
    """All that the page shows. ``names`` are as they may be shown; works and days go by their place among them."""

    names: list[str]
    works: list[dict[str, Work]]
    days: list[str]
    stuck: list[Stuck]
    mistakes: list[Mistake]  # most frequent first
    exercises: dict[str, Asking]
    splits: list[Split]
    recalls: list[Recall]  # most often wrong first
    guesses: dict[str, tuple[int, int]]  # patient -> first names that were right, first names

    @property
    def touched(self) -> list[str]:
        """The lessons in which anyone did anything."""
        keys = [*self.exercises, *(split.key for split in self.splits)]
        return [name for name in lessons() if any(key.startswith(f"{name}.") for key in keys)]

    def only(self, names: Collection[str]) -> "Class":
        """The same class in these lessons alone; what each learner did stays whole."""

        def of(found: Iterable) -> list:
            return [one for one in found if one.key.split(".")[0] in names]

        return replace(
            self,
            stuck=of(self.stuck),
            mistakes=of(self.mistakes),
            exercises={key: one for key, one in self.exercises.items() if key.split(".")[0] in names},
            splits=of(self.splits),
            recalls=of(self.recalls),
        )


def class_of(
    learners: list[Learner], questions: Mapping[str, Asked], today: date, pause: timedelta = PAUSE
) -> Class:
    """The facts of a class; the learners' names as they stand."""
    works = [works_of(learner, pause) for learner in learners]
    names = [printable(learner.name) for learner in learners]
    return Class(
        names=names,
        works=works,
        days=[last_seen(learner, today) for learner in learners],
        stuck=sorted(
            (one for name, done in zip(names, works, strict=True) for one in stuck_at(name, done)),
            key=lambda one: (one.key, -one.times),
        ),
        mistakes=mistakes_in(works),
        exercises={
            key: asking for key in to_pass() if (asking := _asking([w[key] for w in works if key in w]))
        },
        splits=splits_in(learners, questions),
        recalls=recalls_in(learners),
        guesses=_guesses(learners),
    )


def mistakes_in(works: list[dict[str, Work]]) -> list[Mistake]:
    """The known mistakes that were made: those of most learners first, then those of most tries."""
    tries, makers = Counter(), Counter()
    for done in works:
        for key, work in done.items():
            made = Counter((key, mistake) for mistake in work.mistakes if mistake)
            tries += made
            makers.update(made.keys())
    found = [Mistake(*one, makers[one], tries[one]) for one in tries]
    return sorted(found, key=lambda one: (-one.learners, -one.tries, one.key, one.sentence))


def _asking(works: list[Work]) -> Asking | None:
    if not works:
        return None
    passed = [work for work in works if work.passed]
    timed = [work.minutes for work in passed if work.minutes is not None]
    return Asking(
        passed=len(passed),
        tried=len(works) - len(passed),
        tries=median(work.tries for work in passed) if passed else None,
        minutes=median(timed) if timed else None,
        unnamed=sum(work.mistakes.count("") for work in works),
    )


def splits_in(learners: list[Learner], questions: Mapping[str, Asked]) -> list[Split]:
    """How the class split on each prediction that anyone made; without the lessons' own words, on what was chosen."""
    chosen: dict[str, list] = {}
    for learner in learners:
        for key, made in learner.predictions.items():
            chosen.setdefault(key, []).append(made)
    if not questions:
        questions = {key: _as_chosen(made) for key, made in chosen.items() if _is_id(key)}
    found = []
    for key in sorted(questions):
        choices = Counter(made.choice for made in chosen.get(key, ()))
        counts = {option: choices[option] for option in questions[key].options}
        if choices:
            found.append(Split(key, questions[key], counts, choices.total() - sum(counts.values())))
    return found


def _is_id(key: str) -> bool:
    """Whether it could be the id of a prediction, such as "01.a"."""
    lesson, _, letter = key.partition(".")
    return lesson in lessons() and re.fullmatch("[a-z]", letter) is not None


def _as_chosen(made: list) -> Asked:
    """A question of which only the answers are known: the options most chosen, and the one that most were right with."""
    right = Counter(one.choice for one in made if one.right).most_common(1)
    options = tuple(choice for choice, _ in Counter(one.choice for one in made).most_common(OPTIONS))
    return Asked("", options, right[0][0] if right and right[0][0] in options else "")


def recalls_in(learners: list[Learner]) -> list[Recall]:
    """The questions on earlier lessons that were answered wrongly the first time, the largest share first."""
    first = [
        (key, answers[0].right)
        for learner in learners
        for key, answers in learner.recalled.items()
        if key in QUESTIONS
    ]
    answered, wrong = Counter(key for key, _ in first), Counter(key for key, right in first if not right)
    found = [Recall(key, wrong[key], answered[key]) for key in wrong]
    return sorted(found, key=lambda one: (-one.wrong / one.answered, -one.wrong, one.key))


def _guesses(learners: list[Learner]) -> dict[str, tuple[int, int]]:
    made = [(key, guess.right) for learner in learners for key, guess in learner.guesses.items()]
    right, all_made = Counter(key for key, was_right in made if was_right), Counter(key for key, _ in made)
    return {key: (right[key], all_made[key]) for key in to_pass() if key in all_made}
