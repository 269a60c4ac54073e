"""The emergency room: name an illness from the chart, judge a treatment, tell what each repair bought."""

import operator
import sys
from functools import cache

from gradutils.course.checks import Verdict
from gradutils.course.clinic.chart import SHOWN, as_it_came, show_patient, show_script
from gradutils.course.clinic.illnesses import SIGNS, THE_NAMES, named, no_such
from gradutils.course.clinic.patient import CLIP, HEALTHY, Change, Patient
from gradutils.course.clinic.patients import PATIENTS, find_patient, nobody
from gradutils.course.clinic.rules import RULES, UNSEEN, Treated, of_all
from gradutils.course.clinic.script import quietly, run_script
from gradutils.course.display import Card, paragraphs, show, table
from gradutils.course.limits import TooLongError, within
from gradutils.course.progress import read, record_guess, record_pass, record_try
from gradutils.recorder import diagnose

SECONDS = 60.0  # for all runs of a treated script together
_mended_now: dict[str, list[str]] = {}  # patients mended while this kernel ran, and by which names


def treat(patient_id: str, *answer) -> Verdict:
    """Show a patient's chart; take the name of its illness, and open its script; judge a treatment on seeds that were not shown.

    ``treat("12.1", "learning rate too high")`` names it, ``treat("12.1", "learning rate too high", 4, "optimizer = ...")`` mends
    it: the illness, the number of one line, and what it should be. Two illnesses are two such names, or two such triples, each
    in brackets. A patient who is well: ``treat("12.1", "healthy")``. Says what was found, and returns it.
    """
    if patient_id not in PATIENTS:
        verdict = Verdict("not attempted", nobody(patient_id))
        show(Card(verdict.message, paragraphs(verdict.message)))
        return verdict
    patient = PATIENTS[patient_id]
    show_patient(patient)
    names = names_in(answer)
    if names:
        _note_first_name(patient, names)
    if names or patient.id in read().passed or patient.id in read().guesses:
        show_script(f"Patient {patient.id}", patient.script())
    try:
        verdict = _judge_in_time(patient, answer, SECONDS)
    except KeyboardInterrupt:
        verdict = _not_yet(
            "The treatment was interrupted while the script ran. Does your line come to an end?"
        )
    verdict.exercise_id, verdict.hints = patient.id, patient.hints
    if verdict.outcome == "correct":
        record_pass(patient.id)
        _mended_now[patient.id] = names
    elif verdict.outcome == "not yet" and not _only_names(answer):
        record_try(patient.id)
    verdict.show()
    return verdict


def is_mended(patient_id: str) -> bool:
    """Whether it was mended while this kernel ran, whatever the progress file says."""
    return patient_id in _mended_now


# The name --------------------------------------------------------------------------------------------------------------
def names_in(answer: tuple) -> list[str]:
    """The illnesses that an answer names, with lines or without; none where something in it is no name."""
    parts = [answer] if answer and not _only_names(answer) and isinstance(answer[0], str) else answer
    names = [named(part[0] if isinstance(part, tuple | list) and part else part) for part in parts]
    return [] if None in names else names


def _only_names(answer: tuple) -> bool:
    """Whether it has no lines; three texts of which the second is no name were meant as a name, a line and its text."""
    texts = bool(answer) and all(isinstance(part, str) for part in answer)
    return texts and not (len(answer) == 3 and named(answer[1]) is None)


def _note_first_name(patient: Patient, names: list[str]) -> None:
    """The first name counts, beside that of `diagnose`."""
    if patient.id not in read().guesses:
        machine = diagnose(as_it_came(patient).recording).illness
        record_guess(patient.id, patient.is_named_by(names), machine in patient.names)


def _of_names(patient: Patient, names: list[str]) -> Verdict:
    """What is said of names without lines."""
    if names == ["healthy"]:
        return _judge_changes(patient, [])
    if wrong := next((name for name in names if name not in patient.names), None):
        said = patient.likely.get(wrong) or f"The chart does not say “{wrong}”. {SIGNS[wrong]}"
        return _not_yet(f"{said} The script is open all the same: name it anew, with a line where it is ill.")
    if not patient.is_named_by(names):
        return Verdict("named", "One of its illnesses. Something else is ill as well.")
    lines = (
        "the number of a line, and its new text"
        if len(names) == 1
        else "a line and its new text to each, in brackets"
    )
    return Verdict("named", f"The name is right. Above is the script: add {lines}.")


# The treatment ---------------------------------------------------------------------------------------------------------
def _judge_in_time(patient: Patient, answer: tuple, seconds: float) -> Verdict:
    """Like `judge`, with a limit for all runs of the script together."""
    learner = sys.stdout
    with quietly():  # around the limit: what a run that is stopped does not put back is put back here
        try:
            return within(
                seconds, lambda: judge(patient, answer), lambda said: print(said, file=learner, flush=True)
            )
        except TooLongError:
            return _not_yet(
                f"Stopped after {seconds:g} seconds: the script was still running. Does your line come to an end?"
            )


def judge(patient: Patient, answer: tuple) -> Verdict:
    """Like `treat`, without showing or recording."""
    if not answer or any(part is ... for part in answer):
        said = f"Replace the dots by the name of the illness; then the script opens. {THE_NAMES}"
        return Verdict("not attempted", said)
    if _only_names(answer):
        unknown = next((name for name in answer if named(name) is None), None)
        return _of_names(patient, names_in(answer)) if unknown is None else _not_yet(no_such(unknown))
    try:
        return _judge_changes(patient, _read_changes(patient, answer))
    except NoTreatmentError as error:
        return _not_yet(str(error))


def _judge_changes(patient: Patient, changes: list[Change]) -> Verdict:
    treated = Treated(patient, changes)
    rule = next(rule for rule in RULES if rule.holds(treated))
    return Verdict(rule.outcome, rule.says(treated))


def _not_yet(message: str) -> Verdict:
    return Verdict("not yet", message)


FORM = 'A treatment is an illness, the number of a line and its new text: "init too large", 2, "init_weights_(net, 1.0)".'


class NoTreatmentError(ValueError):
    """What was given is no treatment; the message says why."""


def _read_changes(patient: Patient, answer: tuple) -> list[Change]:
    """The answer as changes of lines, none for "healthy"; NoTreatmentError where it has another form."""
    first = answer[0] if isinstance(answer[0], tuple | list) else [answer[0]]
    if first and named(first[0]) == "healthy":
        if len(answer) > 1 or len(first) > 1:
            raise NoTreatmentError("“healthy” stands alone: who is well needs no line.")
        return []
    triples = [answer] if isinstance(answer[0], str) else answer
    changes = [_read_change(patient, triple) for triple in triples]
    if len({change.line for change in changes}) < len(changes):
        raise NoTreatmentError("Two illnesses are mended on two different lines.")
    return changes


def _read_change(patient: Patient, triple) -> Change:
    if not isinstance(triple, tuple | list) or len(triple) != 3:
        raise NoTreatmentError(f"{FORM} Two illnesses are two such triples in brackets.")
    illness, line, text = named(triple[0]), _line_number(triple[1]), triple[2]
    if illness is None:
        raise NoTreatmentError(no_such(triple[0]))
    if line is None:
        raise NoTreatmentError(
            f"A line's number is a whole number, 1 to {len(HEALTHY)}; got {repr(triple[1])[:60]}."
        )
    if not isinstance(text, str):
        raise NoTreatmentError(FORM)
    text = text.strip()
    if not text:
        raise NoTreatmentError("The new line is empty. Say what is to stand there instead.")
    if "\n" in text or ";" in text:
        raise NoTreatmentError("One line may become one other line: without a line break or a semicolon.")
    if patient.script({line: text}) == patient.script():
        raise NoTreatmentError(f"Line {line} is as it was.")
    return Change(illness, line, text)


def _line_number(given) -> int | None:
    """The number of a line of the script, be it Python's, numpy's or torch's; None for anything else."""
    try:
        number = 0 if isinstance(given, bool) else operator.index(given)
    except TypeError:
        return None
    return number if 1 <= number <= len(HEALTHY) else None


# What all repairs bought -----------------------------------------------------------------------------------------------
CLIPPED = {CLIP: "clip_grad_norm_(net.parameters(), 1.0)"}


def with_a_clip(patient_id: str) -> bool:
    """Whether a patient trains, from the seed of its chart, with a clip at 1 and no other change."""
    return _trains_with_a_clip(find_patient(patient_id))


@cache
def _trains_with_a_clip(patient: Patient) -> bool:
    return run_script(patient.script(CLIPPED), SHOWN, data=patient.data).trained


def sick() -> list[str]:
    """The patients who are not well."""
    return [patient_id for patient_id, patient in PATIENTS.items() if not patient.is_well]


def repairs() -> None:
    """The table of what each repair bought, of the patients that have been healed so far."""
    healed = [PATIENTS[patient_id] for patient_id in sick() if patient_id in read().passed]
    all_seeds = of_all(len(UNSEEN))
    table(
        {
            "patient": [patient.id for patient in healed],
            "healed as": [" + ".join(_mended_now.get(patient.id, ["earlier"])) for patient in healed],
            "trains as it came": [as_it_came(patient).trained for patient in healed],
            "with a clip only": [_trains_with_a_clip(patient) for patient in healed],
            "mended": [all_seeds if patient.id in _mended_now else "earlier" for patient in healed],
        }
    )
