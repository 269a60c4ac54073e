"""A patient's chart: its script, what was measured at step 0, and six panels of what followed."""

import math
from functools import cache

from matplotlib.figure import Figure

from gradutils import plots
from gradutils.course.clinic.illnesses import THE_NAMES
from gradutils.course.clinic.patient import Patient, script_with
from gradutils.course.clinic.patients import find_patient
from gradutils.course.clinic.script import TrainingRun, run_script
from gradutils.course.display import Card, block, paragraphs, show
from gradutils.recorder.recording import Recording
from gradutils.recorder.signs import read_signs

SHOWN = 0  # the seed of every chart
FAR = 2  # times the RMS at step 0


def visit(patient_id: str | None = None) -> None:
    """Show a patient's chart, with what was measured at step 0. Without an id: a healthy run, its script, and the names."""
    if patient_id is None:
        healthy = script_with({})
        show_script("A healthy run", healthy)
        show_chart("A healthy run", run_script(healthy, SHOWN, watched=True).recording)
        show(Card(THE_NAMES, paragraphs(THE_NAMES)))
    else:
        show_patient(find_patient(patient_id))


def show_patient(patient: Patient) -> None:
    """Like `visit`, for a patient that has been found."""
    show_chart(f"Patient {patient.id}", as_it_came(patient).recording)


@cache
def as_it_came(patient: Patient) -> TrainingRun:
    """The untreated run of the chart."""
    return run_script(patient.script(), SHOWN, watched=True, data=patient.data)


def show_script(name: str, script: list[str]) -> None:
    """A card with the numbered lines of a script."""
    text = "\n".join(
        [f"{name}: the script", *(f"{number:>3}  {line}" for number, line in enumerate(script, start=1))]
    )
    show(Card(text, block(text)))


def show_chart(name: str, recording: Recording) -> None:
    """A card with the vitals, and the chart below it."""
    text = "\n".join([name, *vitals(recording)])
    show(Card(text, block(text)))
    show(plots.plot_chart(recording, _paper(), constant=_constant(recording)))


@cache
def _paper() -> Figure:
    """One figure for all charts: to build six axes anew costs nearly as much as to draw on them."""
    return Figure(figsize=plots.CHART_SIZE, layout="none")


def vitals(recording: Recording) -> list[str]:
    """What step 0 says, before any update: one line a number."""
    signs, bad = read_signs(recording), recording.first_nonfinite
    differ = f"differ by {_about(signs.separation)} of the mean square in the last hidden layer"
    if not signs.separation > 1e-4:
        differ = "hardly differ in the last hidden layer: by less than 0.0001 of the mean square"
    rows = {
        "inputs": f"RMS {signs.input_rms:.1f}, mean {abs(recording.input_mean[0].item()):.1f}",
        "outputs": f"RMS {_about(recording.output_rms[0].item())}, mean {_about(round(recording.output_mean[0].item(), 1) + 0.0)}",
        "loss": f"{_about(recording.loss[0].item())}; a constant answer, averaged over the batch, loses {_constant(recording):.1f}",
        "samples": differ,
        "dead units": f"{signs.dead:.0%} in the worst layer",
        "saturated": f"{signs.saturated:.0%} of the outputs in the worst layer",
    }
    if recording.spectral_norms:
        rows["recurrent"] = f"a weight that stretches up to {signs.recurrent_norm:.1f} times"
    if bad and bad.step < 2:
        rows["not finite"] = f"{bad} at step {bad.step}"
    lines = ["At step 0:", *(f"  {name:<11} {value}" for name, value in rows.items())]
    return [*lines, f"Later: {_later(recording)}."]


def _later(recording: Recording) -> str:
    """Whether the inputs stay what they are at step 0: a bad part of the data comes when it comes."""
    rms = recording.input_rms
    largest = int(rms.nan_to_num(nan=0.0).argmax())
    if rms[largest] < FAR * rms[0]:
        return "the inputs stay in scale"
    return f"inputs of RMS {rms[largest]:.0f} at step {int(recording.steps[largest])}"


def _about(value: float) -> str:
    """Two digits, in plain notation where it is readable."""
    return f"{float(f'{value:.2g}'):g}"


def _constant(recording: Recording) -> float:
    """The loss of a constant answer, averaged over the batch even where the run adds up."""
    return recording.trivial_loss if recording.loss_kind != "cross entropy" else math.log(10)
