"""Whether an illness still shows after a treatment: what reaches the network is looked at, not the line that makes it so."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from gradutils.course.clinic.chart import SHOWN, as_it_came
from gradutils.course.clinic.patient import CLIP, Patient, healthy
from gradutils.course.clinic.script import TrainingRun, run_script
from gradutils.recorder.rules import (
    ALIKE,
    EARLY_UPDATE,
    GRADIENT_GROWTH,
    HELD_BY_EPS,
    HUGE_OUTPUTS,
    INPUT_OFFSET,
    INPUT_RMS,
    LARGE_OUTPUTS,
    LOST_GRADIENT,
    LOST_SIGNAL,
    MOST_UNITS_DEAD,
    ROUNDED_AWAY,
    SATURATED,
    WITHOUT_GRADIENT,
)
from gradutils.recorder.signs import Signs, read_signs

FEW = 12  # steps: step 0 tells most, and five of them the rate
TWICE = 2  # a batch so many times as large tells a sum from a mean
STRETCHES = 3  # times: a random recurrent weight at its best scale stretches by 2
CHOOSES = 0.8  # of the way to one token alone, so early: where it trains it is about half of it
ALL_THE_SAME = 1.5  # outputs within this factor of what they were before the treatment


@dataclass(frozen=True)
class Look:
    """A few steps of a treated script, without its clip: a clip hides what it bounds."""

    patient: Patient
    script: tuple[str, ...]

    @cached_property
    def run(self) -> TrainingRun:
        return self._few_steps(1)

    @cached_property
    def larger(self) -> TrainingRun:
        """The same on larger batches."""
        return self._few_steps(TWICE)

    def _few_steps(self, larger: int) -> TrainingRun:
        data = self.patient.data._replace(steps=FEW, larger=larger)
        return run_script(list(self.script), SHOWN, watched=True, clipping=False, data=data)

    @property
    def failed(self) -> bool:
        """There is nothing to look at."""
        return self.run.recording is None or len(self.run.recording) < 2

    @cached_property
    def signs(self) -> Signs:
        return read_signs(self.run.recording)

    @cached_property
    def before(self) -> Signs:
        return read_signs(as_it_came(self.patient).recording)

    def shows(self, illness: str) -> str:
        """What says that the illness is still there; "" where nothing does, or where only training tells."""
        return "" if self.failed or illness not in SHOWS else SHOWS[illness](self)


def _inputs(look: Look) -> str:
    rms, mean = look.run.reached
    spread = math.sqrt(max(rms**2 - mean**2, 0))
    off = rms > INPUT_RMS or abs(mean) > INPUT_OFFSET * spread
    return f"what reaches the first weights has RMS {rms:.2g} and mean {mean:.2g}" if off else ""


def _rate(look: Look) -> str:
    """A rate shows after step 0: what mends it leaves step 0 as it was."""
    if look.signs.largest_update > EARLY_UPDATE:
        clipped = any("clip_grad" in line and line.strip() != healthy(CLIP) for line in look.script)
        clipped &= not any("Adam" in line for line in look.script)  # its steps are as long with a clip
        said = "without the clip a step would change" if clipped else "a step changes"
        return f"{said} a weight matrix by {look.signs.largest_update:.2g} of its size"
    changed = look.signs.output_rms / look.before.output_rms
    if not 1 / ALL_THE_SAME < changed < ALL_THE_SAME:
        return "the rate is what it was, and step 0 is what changed"
    return ""


def _warmup(look: Look) -> str:
    rate = look.run.recording.lr
    return "" if rate.max() > rate[0] else "the rate does not rise after the first step"


def _too_large(look: Look) -> str:
    """A start that is less than half as large as it was may be a little too large: if it trains so, it is mended."""
    s = look.signs
    large = s.output_rms > (HUGE_OUTPUTS if s.normalised else LARGE_OUTPUTS)
    if large and 2 * s.output_rms > look.before.output_rms:
        return f"the outputs have RMS {s.output_rms:.2g} at step 0"
    grows = s.delta_growth > GRADIENT_GROWTH and not s.normalised
    return f"gradients grow {s.delta_growth:.2g} times through the network at step 0" if grows else ""


def _too_small(look: Look) -> str:
    s = look.signs
    lost = s.last_hidden_rms < LOST_SIGNAL or s.delta_growth < LOST_GRADIENT
    return f"signals have RMS {s.last_hidden_rms:.1g} in the last hidden layer at step 0" if lost else ""


def _zero(look: Look) -> str:
    zero = max(look.signs.zero_weights, look.signs.zero_gradients) >= WITHOUT_GRADIENT
    return "weights are zero, or have no gradient" if zero else ""


def _alike(look: Look) -> str:
    alike = look.signs.separation < ALIKE
    return (
        f"samples differ by only {look.signs.separation:.1g} of the mean square in the last hidden layer"
        if alike
        else ""
    )


def _summed(look: Look) -> str:
    """What goes back from a mean does not know the size of the batch."""
    if look.larger.recording is None:
        return ""
    scales = look.run.recording.loss_scale, look.larger.recording.loss_scale
    if scales[1] > (1 + TWICE) / 2 * scales[0]:
        return "on batches twice as large the gradient doubles"
    return f"the gradient is {scales[0]:.0f} times that of the mean" if scales[0] > TWICE else ""


def _recurrent(look: Look) -> str:
    """A stretch that the activation bounds, or that eight steps do not add up to much, does no harm."""
    s = look.signs
    explodes = s.recurrent_norm > STRETCHES and s.output_rms > LARGE_OUTPUTS
    return f"the recurrent weight stretches up to {s.recurrent_norm:.2g} times a step" if explodes else ""


def _misfit(look: Look) -> str:
    """A multiple of probabilities is taken for a logit no less wrongly than they are."""
    probabilities = "what enters the cross-entropy adds up to the same for each sample, as probabilities do"
    return look.signs.misfit or (probabilities if look.run.probabilities else "")


def _attends(look: Look) -> str:
    chosen = look.signs.attention_after
    return (
        f"by step {FEW} the softmax is {chosen:.0%} of the way to choosing one token alone"
        if chosen > CHOOSES
        else ""
    )


def _holds(look: Look) -> str:
    s = look.signs
    if s.bad:
        return f"{s.died} is not finite"
    if s.adam_step < HELD_BY_EPS:
        return f"Adam's first steps are {s.adam_step:.1g} of its rate: the gradients lie far below its eps"
    if s.last_digits < ROUNDED_AWAY:
        return f"no step changes the middle weight matrix by more than {s.last_digits:.1g} of its last digit"
    return s.unmoved or s.stopped


SHOWS: dict[str, Callable[[Look], str]] = {
    "learning rate too high": _rate,
    "missing warmup": _warmup,
    "init too large": _too_large,
    "init too small": _too_small,
    "zero gradient": _zero,
    "dead signal": _alike,
    "inputs not normalised": _inputs,
    "loss summed": _summed,
    "recurrent explosion": _recurrent,
    "saturated": lambda look: (
        "most outputs of a layer lie at a bound" if look.signs.saturated > SATURATED else ""
    ),
    "dead units": lambda look: (
        "nearly all units of a layer are dead" if look.signs.dead > MOST_UNITS_DEAD else ""
    ),
    "gradients not cleared": lambda look: (
        "gradients of the step before are still there" if look.signs.stale else ""
    ),
    "half-precision overflow": lambda look: f"{look.signs.died} is not finite" if look.signs.bad else "",
    "loss does not fit the outputs": _misfit,
    "attention logits grow": _attends,
    "weights do not move": _holds,
}
