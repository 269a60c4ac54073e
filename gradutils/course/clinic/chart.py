"""A patient's chart: its script, what was measured at step 0, and six panels of what followed."""

import math
from functools import cache

from gradutils import plots
from gradutils.course.clinic.patients import HEALTHY, PATIENTS, Patient, lines
from gradutils.course.clinic.script import Played, play
from gradutils.course.display import Card, block, show
from gradutils.recorder.recording import Recording
from gradutils.recorder.signs import read_signs

SHOWN = 0  # the seed of every chart


def visit(patient_id: str | None = None) -> None:
    """Show a patient: its script with numbered lines, what was measured at step 0, and its chart. Without an id: a healthy run."""
    if patient_id is None:
        name, script = "A healthy run", list(HEALTHY)
        found = play(script, SHOWN, watched=True).recording
    else:
        name, script = f"Patient {patient_id}", lines(known(patient_id))
        found = as_it_came(patient_id).recording
    numbered = [f"{number:>3}  {line}" for number, line in enumerate(script, start=1)]
    show_chart([name, *numbered, ""], found)


def show_chart(head: list[str], found: Recording) -> None:
    """A card of text that ends with the vitals, and the chart below it."""
    text = "\n".join([*head, *vitals(found)])
    show(Card(text, block(text)))
    show(plots.plot_chart(found, constant=_constant(found)))


def vitals(found: Recording) -> list[str]:
    """What step 0 says, before any update: one line a number."""
    signs, bad = read_signs(found), found.first_nonfinite
    differ = f"differ by {_about(signs.separation)} of the mean square in the last hidden layer"
    if not signs.separation > 1e-4:
        differ = "hardly differ in the last hidden layer: by less than 0.0001 of the mean square"
    rows = {
        "inputs": f"RMS {signs.input_rms:.1f}, mean {abs(found.input_mean[0].item()):.1f}",
        "outputs": f"RMS {_about(signs.output_rms)}",
        "loss": f"{_about(found.loss[0].item())}; a constant answer, averaged over the batch, loses {_constant(found):.1f}",
        "samples": differ,
        "dead units": f"{signs.dead:.0%} in the worst layer",
        "saturated": f"{signs.saturated:.0%} of the outputs in the worst layer",
    }
    if found.spectral_norms:
        rows["recurrent"] = f"a weight that stretches up to {signs.recurrent_norm:.1f} times"
    if bad and bad.step < 2:
        rows["not finite"] = f"the {bad.what} of {bad.where} at step {bad.step}"
    return ["At step 0:", *(f"  {name:<11} {value}" for name, value in rows.items())]


def _about(value: float) -> str:
    """Two digits, in plain notation where it is readable."""
    return f"{float(f'{value:.2g}'):g}"


def _constant(found: Recording) -> float:
    """The loss of a constant answer, averaged over the batch even where the run adds up."""
    return found.trivial_loss if found.loss_kind != "cross entropy" else math.log(10)


@cache
def as_it_came(patient_id: str) -> Played:
    """The untreated run of the chart."""
    return play(lines(known(patient_id)), SHOWN, watched=True)


def known(patient_id) -> Patient:
    if patient_id not in PATIENTS:
        raise ValueError(f"patient must be one of {', '.join(PATIENTS)}; got {patient_id!r}")
    return PATIENTS[patient_id]
