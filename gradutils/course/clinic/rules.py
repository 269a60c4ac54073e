"""What is said of a treatment: a few rules in order, on what became of the patient.

The first rule that holds speaks. What it looks at is a fact of `Treated`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from gradutils.course.clinic.illnesses import SIGNS
from gradutils.course.clinic.patient import Change, Patient
from gradutils.course.clinic.script import TrainingRun, count_trained, run_script
from gradutils.course.clinic.still import Look

UNSEEN = (101, 102, 103)  # seeds that judge a treatment


@dataclass(frozen=True)
class Treated:
    """A patient after a treatment: the facts that the rules look at. A script is run when a rule first asks for it."""

    patient: Patient
    changes: list[Change]  # empty where the patient is called healthy

    def _with(self, changes: list[Change]) -> list[str]:
        return self.patient.script({change.line: change.text for change in changes})

    @cached_property
    def script(self) -> list[str]:
        return self._with(self.changes)

    @cached_property
    def runs(self) -> list[TrainingRun]:
        """One on each of the unseen seeds."""
        return [run_script(self.script, seed, data=self.patient.data) for seed in UNSEEN]

    @property
    def error(self) -> str:
        return self.runs[0].error

    @property
    def trained(self) -> int:
        """How many of the runs train."""
        return sum(run.trained for run in self.runs)

    @property
    def healed(self) -> bool:
        return self.trained == len(self.runs)

    @property
    def wrong_name(self) -> str | None:
        """The first name that fits none of its illnesses."""
        return next((c.illness for c in self.changes if c.illness not in self.patient.names), None)

    @cached_property
    def look(self) -> Look:
        return Look(self.patient, tuple(self.script))

    @cached_property
    def misplaced(self) -> list[tuple[str, str]]:
        """The names, right in themselves, that their own new line does not cure; and what says so."""
        signs = {name: sign for cause in self.patient.causes for name, sign in cause.items()}
        found = []
        for change in self.changes:
            alone = len(self.changes) == 1
            look = self.look if alone else Look(self.patient, tuple(self._with([change])))
            if not self._by_a_clip_that_cures and (shown := look.shows(signs[change.illness])):
                found.append((change.illness, shown))
        return found

    @property
    def overlooked(self) -> list[dict]:
        """The causes that no name fits."""
        names = [change.illness for change in self.changes]
        return [cause for cause in self.patient.causes if not any(name in cause for name in names)]

    @cached_property
    def left(self) -> list[tuple[str, str]]:
        """For each cause that was not mended, by whatever name: the name given to it, or its own, and what says so."""
        if self._by_a_clip_that_cures:
            return []
        given, found = [change.illness for change in self.changes], []
        for cause in self.patient.causes:
            shown = {name: self.look.shows(sign) for name, sign in cause.items()}
            if all(shown.values()):
                name = next((name for name in given if name in shown), next(iter(shown)))
                found.append((name, shown[name]))
        return found

    @property
    def _by_a_clip_that_cures(self) -> bool:
        return self.patient.clip_cures and any("clip" in change.text for change in self.changes)

    @cached_property
    def needs_a_clip(self) -> bool:
        """Whether it works only by a clip, where a clip is no cure."""
        if self.patient.clip_cures:
            return False
        words = ("clip", "inf", "exec", "globals")
        if not any(word in change.text for change in self.changes for word in words):
            return False  # no other line changes what line 11 does
        runs = (run_script(self.script, seed, clipping=False, data=self.patient.data) for seed in UNSEEN)
        return not all(run.trained for run in runs)

    @property
    def is_painkiller(self) -> bool:
        """Whether it trains, and the cause stands as it did."""
        return self.healed and (bool(self.left) or self.needs_a_clip)

    @property
    def aside(self) -> str:
        """What is to say of this very try."""
        words = self.patient.asides
        return next((words[word] for word in words for change in self.changes if word in change.text), "")

    @property
    def count(self) -> str:
        """The measurement, in a sentence."""
        said = f"{of_all(self.trained)} train on new seeds with {'this line' if len(self.changes) == 1 else 'these lines'}."
        if any(run.losses and run.losses[0] != run.losses[0] for run in self.runs):  # NaN differs from itself
            said += " The loss is not a number from the first step on: is something divided by zero?"
        return said


def of_all(count: int) -> str:
    """So many of the unseen seeds, in words."""
    return f"{count} of {len(UNSEEN)}"


class Rule(NamedTuple):
    """When a rule speaks, what it says, and what that makes of the treatment."""

    holds: Callable[[Treated], object]
    says: Callable[[Treated], str]
    outcome: str = "not yet"


def _of_an_error(treated: Treated) -> str:
    whole = " Your text replaces the whole of its line." if "NameError" in treated.error else ""
    return f"{treated.error}.{whole}"


def _of_the_well(treated: Treated) -> str:
    before = of_all(count_trained(treated.patient.script(), UNSEEN, treated.patient.data))
    return f"{of_all(treated.trained)} train on new seeds with your line, and {before} without it. {SIGNS['healthy']}"


def _of_a_wrong_name(treated: Treated) -> str:
    name, but = treated.wrong_name, "But" if treated.healed else "And"
    cured = treated.healed and not treated.left and not treated.needs_a_clip
    where = " You changed a line that can cure it." if cured else ""
    why = treated.patient.likely.get(name, SIGNS[name])
    return f"{treated.count}{where} {but} the name is not “{name}”. {why}"


def _of_a_painkiller(treated: Treated) -> str:
    """What shows that the cause has not been touched."""
    if treated.left:
        illness, shown = treated.left[0]
        because = f"“{illness}” still shows: {shown}. Find the line that makes it so."
    else:
        because = "it trains by a clip, and not without. Find the line that makes it need one."
    return f"{treated.count} A painkiller, though: {because}"


def _of_what_still_shows(treated: Treated) -> str:
    shown = treated.misplaced[0][1]
    return f"{treated.count} The name is right, but it still shows: {shown}. {treated.aside}".rstrip()


RULES = (
    # Who is called healthy.
    Rule(lambda t: not t.changes and t.patient.is_well, lambda t: t.patient.after, "correct"),
    Rule(
        lambda t: not t.changes,
        lambda t: (
            f"{of_all(t.trained)} train on new seeds as it is. {t.patient.likely.get('healthy', SIGNS['healthy'])}"
        ),
    ),
    # What cannot be a cure.
    Rule(lambda t: t.error, _of_an_error),
    Rule(lambda t: t.patient.is_well, _of_the_well),
    Rule(lambda t: t.wrong_name, _of_a_wrong_name),
    Rule(lambda t: t.is_painkiller, _of_a_painkiller),
    # It heals; is it named after what it does?
    Rule(
        lambda t: t.healed and len(t.changes) > len(t.patient.causes),
        lambda t: f"{t.count} But one line an illness is enough. Which one?",
    ),
    Rule(
        lambda t: t.healed and t.misplaced and len(t.changes) > 1,
        lambda t: f"{t.count} The lines are right, and their names are exchanged.",
    ),
    Rule(
        lambda t: t.healed and t.misplaced,
        lambda t: (
            f"{t.count} But what the line does now is no cure of “{t.misplaced[0][0]}”: {t.misplaced[0][1]}. "
            "Name it after what it changes."
        ),
    ),
    Rule(lambda t: t.healed, lambda t: f"{t.count} {t.patient.after}", "correct"),
    # It does not heal, but the names are right.
    Rule(lambda t: t.misplaced, _of_what_still_shows),
    Rule(
        lambda t: t.overlooked,
        lambda t: f"{t.count} Name and line fit, but something else is ill as well.",
    ),
    Rule(lambda t: t.aside, lambda t: f"{t.count} The name is right. {t.aside}"),
    Rule(
        lambda t: t.trained,
        lambda t: (
            f"{t.count} The name is right, and the new line goes the right way, too far or not far enough."
        ),
    ),
    Rule(
        lambda t: True,
        lambda t: f"{t.count} The name is right; the new line is too much, or not enough.",
    ),
)
