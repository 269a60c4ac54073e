"""The emergency room: judge a treatment, tell what each repair bought."""

import operator
import sys
from functools import cache

from gradutils.course.checks import Verdict
from gradutils.course.clinic.chart import as_it_came, show_patient
from gradutils.course.clinic.patients import (
    CLIP,
    HEALTHY,
    PATIENTS,
    Change,
    Patient,
    find_patient,
    named,
    no_such,
)
from gradutils.course.clinic.patients import SIGNS as SIGNS  # the lesson lists their names from here
from gradutils.course.clinic.rules import RULES, UNSEEN, Treated, of_all
from gradutils.course.clinic.script import count_trained, quietly
from gradutils.course.display import table
from gradutils.course.limits import TooLongError, within
from gradutils.course.progress import read, record_pass, record_try

SECONDS = 60.0  # for all runs of a treated script together
_mended_now: set[str] = set()  # patients whose treatment trained on all unseen seeds while this kernel ran


def treat(patient_id: str, *answer) -> Verdict:
    """Show a patient, then judge a treatment on seeds that were not shown; says what was found, and returns it.

    ``treat("09.1", "learning rate too high", 4, "optimizer = ...")``: the illness, the number of one line, and what it
    should be. Two illnesses are two such triples, each in brackets. A patient who is well: ``treat("09.1", "healthy")``.
    """
    patient = find_patient(patient_id)
    show_patient(patient)
    try:
        verdict = _judge_in_time(patient, answer, SECONDS)
    except KeyboardInterrupt:
        verdict = _not_yet(
            "The treatment was interrupted while the script ran. Does your line come to an end?"
        )
    verdict.exercise_id, verdict.hints = patient.id, patient.hints
    if verdict.outcome == "correct":
        record_pass(patient.id)
        _mended_now.add(patient.id)
    elif verdict.outcome == "not yet":
        record_try(patient.id)
    verdict.show()
    return verdict


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
        said = 'Replace the dots: the illness, the number of a line, the new line; or "healthy".'
        return Verdict("not attempted", said)
    try:
        treated = Treated(patient, _read_changes(patient, answer))
    except NoTreatmentError as error:
        return _not_yet(str(error))
    rule = next(rule for rule in RULES if rule.holds(treated))
    return Verdict(rule.outcome, rule.says(treated))


def _not_yet(message: str) -> Verdict:
    return Verdict("not yet", message)


# What was given --------------------------------------------------------------------------------------------------------
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


def with_a_clip(patient_id: str) -> int:
    """Of two new seeds, on how many a patient trains with a clip at 1 and no other change."""
    return _count_with_a_clip(find_patient(patient_id))


@cache
def _count_with_a_clip(patient: Patient) -> int:
    return count_trained(patient.script(CLIPPED), UNSEEN[:2])


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
            "illness": [" + ".join(change.illness for change in patient.treatment) for patient in healed],
            "trains as it came": [as_it_came(patient).trained for patient in healed],
            "with a clip only": [f"{_count_with_a_clip(patient)} of 2" for patient in healed],
            "mended": [all_seeds if patient.id in _mended_now else "earlier" for patient in healed],
        }
    )
