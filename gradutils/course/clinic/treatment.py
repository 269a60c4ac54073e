"""The emergency room: judge a treatment, tell what each repair bought."""

import operator
from functools import cache

from gradutils.course.checks import Verdict
from gradutils.course.clinic.chart import SHOWN, as_it_came, known, visit
from gradutils.course.clinic.patients import (
    CLIP,
    CLIPPED,
    HEALTHY,
    PATIENTS,
    SIGNS,
    Patient,
    lines,
    named,
    no_such,
)
from gradutils.course.clinic.script import Played, play, trained
from gradutils.course.display import table
from gradutils.course.progress import read, record_pass
from gradutils.recorder.diagnosis import diagnose

UNSEEN = (101, 102, 103)  # seeds that judge a treatment
_mended_now: set[str] = set()  # patients whose treatment trained on all unseen seeds while this kernel ran


# The treatment ---------------------------------------------------------------------------------------------------------
def treat(patient_id: str, *answer) -> Verdict:
    """Show a patient, then judge a treatment on seeds that were not shown; says what was found, and returns it.

    ``treat("09.1", "learning rate too high", 4, "optimizer = ...")``: the illness, the number of one line, and what it
    should be. Two illnesses are two such triples, each in brackets. A patient who is well: ``treat("09.1", "healthy")``.
    """
    patient = known(patient_id)
    visit(patient_id)
    try:
        verdict = judge(patient, answer)
    except KeyboardInterrupt:
        verdict = _said(
            "not yet", "The treatment was interrupted while the script ran. Does your line come to an end?"
        )
    verdict.exercise_id, verdict.hints = patient_id, patient.hints
    if verdict.outcome == "correct":
        record_pass(patient_id)
        _mended_now.add(patient_id)
    verdict.show()
    return verdict


def judge(patient: Patient, answer: tuple) -> Verdict:
    """Like `treat`, without showing or recording."""
    if not answer or any(part is ... for part in answer):
        return _said(
            "not attempted",
            'Replace the dots: the illness, the number of a line, the new line; or "healthy".',
        )
    first = answer[0][0] if isinstance(answer[0], tuple | list) and answer[0] else answer[0]
    if named(first) == "healthy":
        if len(answer) > 1 or (not isinstance(answer[0], str) and len(answer[0]) > 1):
            return _said("not yet", "“healthy” stands alone: who is well needs no line.")
        return _judge_healthy(patient)
    triples, wrong = _triples(patient, answer)
    if wrong:
        return _said("not yet", wrong)
    script = lines(patient, {number: text for _, number, text in triples})
    cured = [play(script, seed) for seed in UNSEEN]
    if cured[0].error:
        whole = " Your text replaces the whole of its line." if "NameError" in cured[0].error else ""
        return _said("not yet", f"{cured[0].error}.{whole}")
    if patient.is_well:
        count, before = sum(run.trained for run in cured), trained(lines(patient), UNSEEN)
        said = f"{count} of {len(UNSEEN)} train on new seeds with your line, and {before} of {len(UNSEEN)} without it."
        return _said("not yet", f"{said} {SIGNS['healthy']}")
    return _judge_treated(patient, triples, cured)


def _said(outcome: str, message: str) -> Verdict:
    return Verdict(outcome, message, None)


def _judge_healthy(patient: Patient) -> Verdict:
    if patient.is_well:
        return _said("correct", patient.after)
    return _said(
        "not yet",
        f"{trained(lines(patient), UNSEEN)} of {len(UNSEEN)} train on new seeds as it is. {SIGNS['healthy']}",
    )


def _triples(patient: Patient, answer: tuple) -> tuple[list[tuple], str]:
    """The answer as (illness, number, whole line), and what is wrong with its form."""
    triples = [answer] if isinstance(answer[0], str) else list(answer)
    form = 'A treatment is an illness, the number of a line and its new text: "init too large", 2, "init_weights_(net, 1.0)".'
    found = []
    for triple in triples:
        if not isinstance(triple, (tuple, list)) or len(triple) != 3:
            return [], f"{form} Two illnesses are two such triples in brackets."
        illness, number, text = named(triple[0]), *triple[1:]
        if illness is None:
            return [], no_such(triple[0])
        number = (
            operator.index(number) if hasattr(number, "__index__") and not isinstance(number, bool) else None
        )
        if number is None or not 1 <= number <= len(HEALTHY):
            return [], f"A line's number is a whole number, 1 to {len(HEALTHY)}; got {repr(triple[1])[:60]}."
        if not isinstance(text, str):
            return [], form
        if not text.strip():
            return [], "The new line is empty. Say what is to stand there instead."
        if "\n" in text.strip() or ";" in text:
            return [], "One line may become one other line: without a line break or a semicolon."
        was = lines(patient)[number - 1]
        whole = was[: len(was) - len(was.lstrip())] + text.strip()
        if whole == was:
            return [], f"Line {number} is as it was."
        found.append((illness, number, whole))
    if len({number for _, number, _ in found}) < len(found):
        return [], "Two illnesses are mended on two different lines."
    return found, ""


def _judge_treated(patient: Patient, triples: list[tuple], cured: list[Played]) -> Verdict:
    """Is it healed, is the name right, and was it the cause that was mended?"""
    count, healed = sum(run.trained for run in cured), all(run.trained for run in cured)
    said = f"{count} of {len(cured)} train on new seeds with {'this line' if len(triples) == 1 else 'these lines'}."
    if any(run.loss and run.loss[0] != run.loss[0] for run in cured):
        said += " The loss is not a number from the first step on: is something divided by zero?"
    right, elsewhere = [], []
    for illness, number, text in triples:
        cause = next((cause for cause in patient.causes if illness in cause), None)
        if cause is None:
            where = (
                " You changed a line that can cure it." if healed and any(_mended(patient, triples)) else ""
            )
            but = "But" if healed else "And"
            return _said("not yet", f"{said}{where} {but} the name is not “{illness}”. {SIGNS[illness]}")
        right.append(cause)
        cold = healed and illness == "missing warmup" and not cured[0].warms_up
        if cold or not _mends(patient, cause[illness], number, text):
            elsewhere.append(illness)
    mended = all(_mended(patient, triples)) and not (healed and _needs_a_clip(patient, triples))
    if healed and not mended:
        return _said("not yet", f"{said} A painkiller, though: {_still_there(patient, triples)}")
    if healed and len(triples) > len(patient.causes):
        return _said("not yet", f"{said} But one line an illness is enough. Which one?")
    if healed and elsewhere and len(triples) > 1:
        return _said("not yet", f"{said} The lines are right, and their names are exchanged.")
    if healed and elsewhere:
        return _said(
            "not yet",
            f"{said} But what the line does now is no cure of “{elsewhere[0]}”. Name it after what it changes.",
        )
    if healed:
        return _said("correct", f"{said} {patient.after}")
    if elsewhere:
        return _said("not yet", f"{said} The name is right; look for another line, the one that does it.")
    if any(cause not in right for cause in patient.causes):
        return _said("not yet", f"{said} Name and line fit, but something else is ill as well.")
    far = "goes the right way, too far or not far enough." if count else "is too much, or not enough."
    return _said("not yet", f"{said} Name and line are right; the new line {far}")


def _mends(patient: Patient, numbers: tuple[int, ...], number: int, text: str) -> bool:
    """Whether a line is one where the cause can be mended, and holds what it takes there."""
    return number in numbers and patient.needs.get(number, "") in text


def _mended(patient: Patient, triples: list[tuple]) -> list[bool]:
    """For each illness whether a line of its cause was changed, by whatever name."""
    return [
        any(_mends(patient, numbers, *where) for numbers in cause.values() for _, *where in triples)
        for cause in patient.causes
    ]


def _needs_a_clip(patient: Patient, triples: list[tuple]) -> bool:
    """Whether the treatment works only by a clip, where a clip is no cure."""
    if any(CLIP in numbers for cause in patient.causes for numbers in cause.values()):
        return False
    if not any(word in text for _, _, text in triples for word in ("clip", "inf", "exec", "globals")):
        return False  # no other line changes what line 11 does
    script = lines(patient, {number: text for _, number, text in triples})
    return not all(play(script, seed, clipping=False).trained for seed in UNSEEN)


def _still_there(patient: Patient, triples: list[tuple]) -> str:
    """What shows that the cause has not been touched."""
    changes = {number: text for _, number, text in triples}
    treated = play(lines(patient, changes), SHOWN, watched=True).recording
    illness = diagnose(treated).illness if treated is not None and len(treated) > 1 else "healthy"
    if illness != "healthy":
        return f"the record of the treated run still says “{illness}”. Find the line that causes it."
    if _needs_a_clip(patient, triples):
        return "it trains by a clip, and not without. Find the line that makes it need one."
    return "it bears the cause, which stands as it did. Find the line that makes it ill."


# What all repairs bought -----------------------------------------------------------------------------------------------
@cache
def with_a_clip(patient_id: str) -> int:
    """Of two new seeds, on how many a patient trains with a clip at 1 and no other change."""
    return trained(lines(known(patient_id), CLIPPED), UNSEEN[:2])


def sick() -> list[str]:
    """The patients who are not well."""
    return [patient_id for patient_id, patient in PATIENTS.items() if not patient.is_well]


def repairs() -> None:
    """The table of what each repair bought, of the patients that have been healed so far."""
    healed = [patient_id for patient_id in sick() if patient_id in read()["exercises"]]
    table(
        {
            "patient": healed,
            "illness": [" + ".join(name for name, *_ in PATIENTS[p].treatment) for p in healed],
            "trains as it came": [as_it_came(p).trained for p in healed],
            "with a clip only": [f"{with_a_clip(p)} of 2" for p in healed],
            "mended": [f"{len(UNSEEN)} of {len(UNSEEN)}" if p in _mended_now else "earlier" for p in healed],
        }
    )
