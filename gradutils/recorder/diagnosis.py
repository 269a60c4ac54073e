"""From a recording to the name of the illness: a few rules in order, in numbers that do not depend on the network's size.

Bugs come first; those that are exact to detect are named even where the run survives them. The causes that follow are only looked
for where a constant answer is not beaten, or hardly: most networks with an odd number somewhere train well. The first rule
that holds names the illness; the others that hold, in their order, are what else it could be.
"""

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from gradutils.recorder.outputs import NEAR
from gradutils.recorder.recording import Recording
from gradutils.recorder.signs import Signs, Threshold, read_signs
from gradutils.recorder.watching import Recorder

REMEDIES = {
    "healthy": "Nothing to mend.",
    "half-precision overflow": "Lower the loss scale, or let torch.amp.GradScaler find it; bfloat16 does not overflow.",
    "gradients not cleared": "Call optimizer.zero_grad() before each backward pass.",
    "dead units": "Lower the learning rate or draw the biases anew; leaky ReLU keeps a slope where ReLU has none.",
    "saturated": "Draw smaller weights and biases, or use an activation without an upper bound.",
    "zero gradient": "Look for a detach(), a frozen part, or weights that are all zero; draw the weights at random.",
    "inputs not normalised": "Subtract the mean of the training inputs and divide by their standard deviation.",
    "loss summed": "Average the loss over the batch, or divide the learning rate by the number of terms.",
    "recurrent explosion": "Scale the recurrent weights to a spectral radius of 1 or less, or start them orthogonal, and clip.",
    "init too small": "Draw weights of variance 2/fan_in for ReLU, 1/fan_in for tanh; or normalise each layer.",
    "dead signal": "Keep the samples apart: fewer layers, skip connections, tanh or ReLU in place of the sigmoid.",
    "init too large": "Draw weights of variance 2/fan_in for ReLU, 1/fan_in for tanh; or normalise each layer.",
    "learning rate too high": "Divide the learning rate by 10; if it is needed later, warm up to it.",
}
# Said where no rule holds and nothing is learnt either.
UNNAMED = "No illness is named, and nothing is learnt: look at the targets and the data, raise the rate, or train longer."
RERUNS = {
    "learning rate too high": "Run again at a tenth of the learning rate: this cures it, and hardly ever cures a bad init.",
    "missing warmup": "Run again with the learning rate rising over the first 50 steps: only this tells the two apart.",
    "init too large": "Run again at a tenth of the learning rate: if the loss still starts far too high, it is the init.",
    "loss summed": "Look whether the loss changes with the batch size.",
    "init too small": "Print the standard deviation of each layer's output: it shrinks from layer to layer.",
    "dead signal": "Run 60 steps more, or with Adam: a long plateau ends, a dead signal stays.",
    "recurrent explosion": "Run again on shorter sequences: the gradient shrinks.",
    "saturated": "Run again with the weights and biases halved.",
}


@dataclass(frozen=True)
class Diagnosis:
    """The illness by name, the numbers that say so, what to do, and what else the same numbers allow."""

    illness: str
    evidence: tuple[str, ...]
    remedy: str
    alternatives: tuple[str, ...] = ()

    @property
    def reruns(self) -> dict[str, str]:
        """The cheap run that would tell, for the illness and each alternative that has one."""
        return {name: RERUNS[name] for name in (self.illness, *self.alternatives) if name in RERUNS}

    def __str__(self) -> str:
        lines = [f"{self.illness}: {'; '.join(self.evidence)}.", f"Remedy: {self.remedy}"]
        if self.alternatives:
            lines.append(f"It could also be: {', '.join(self.alternatives)}.")
        lines += [f"To tell ({name}): {rerun}" for name, rerun in self.reruns.items() if self.alternatives]
        return "\n".join(lines)


class Rule(NamedTuple):
    """When an illness is named and what is said then."""

    illness: str
    holds: Callable[[Signs], bool]
    says: Callable[[Signs], str]


# Each between what health keeps within and what the illness goes beyond; what it is held against is a field of `Signs`.
SURVIVED = Threshold(0.8, well=0.37, ill=math.inf)
SUMMED_START = Threshold(6, well=1, ill=66)
SMALL_OUTPUTS = Threshold(0.6, well=0.28, ill=120)
MOST_UNITS_DEAD = Threshold(0.9, well=0, ill=1)
SMALL_WEIGHTS = Threshold(0.28, well=0.58, ill=0.012)
WITHOUT_GRADIENT = Threshold(0.5, well=0, ill=0.67)
SATURATION_EXPLAINS = Threshold(0.5, well=0, ill=1)
INPUT_RMS = Threshold(2.5, well=1, ill=67)
INPUT_OFFSET = Threshold(1.5, well=0.0087, ill=2.6)
STRETCH = Threshold(1.3, well=1.1, ill=3)
LARGE_WEIGHTS = Threshold(4, well=0.73, ill=8.8)
SATURATED = Threshold(0.55, well=0, ill=1)
QUIET = Threshold(0.2, well=0.29, ill=0.083)
ALIKE = Threshold(10**-2.6, well=0.6, ill=6.4e-07)
ALL_ALIKE = Threshold(10**-3.5, well=0.6, ill=6.4e-07)
LARGE_OUTPUTS = Threshold(3.2, well=0.28, ill=120)
HUGE_OUTPUTS = Threshold(5.6, well=0.28, ill=120)
SIGNAL_GROWTH = Threshold(4, well=1, ill=5.1)
GRADIENT_GROWTH = Threshold(6, well=0.57, ill=390)
HIGH_START = Threshold(2.5, well=1, ill=76)
LARGE_UPDATE = Threshold(0.35, well=0.056, ill=2.7)
SLEEPERS_UPDATE = Threshold(0.5, well=0.056, ill=2.7)
LOST_GRADIENT = Threshold(10**-2.2, well=0.57, ill=0.0016)
LOST_SIGNAL = Threshold(10**-1.6, well=0.29, ill=3e-14)
RECURRENT_GRADIENT = Threshold(3, well=0.62, ill=3.1)
EARLY_UPDATE = Threshold(0.22, well=0.072, ill=11)
UNITS_THAT_DIED = Threshold(0.3, well=0, ill=0.32)
WHOLE_UPDATE = Threshold(1, well=0.072, ill=11)

BUGS = (
    Rule(
        "inputs not normalised",
        lambda s: s.broken_inputs,
        lambda s: "the inputs hold numbers that are not finite, from the first step on",
    ),
    Rule(
        "half-precision overflow",
        lambda s: s.sudden and not s.end < SURVIVED,
        lambda s: f"{s.died} is not finite while the loss is {s.start:.2g} x {s.unit}",
    ),
    Rule(
        "gradients not cleared",
        lambda s: s.stale,
        lambda s: "gradients of the step before were still there when the backward pass began",
    ),
    Rule(
        "loss summed",
        lambda s: s.summed or (s.unknown_loss and s.start > SUMMED_START and s.output_rms < SMALL_OUTPUTS),
        lambda s: (
            "the loss is summed over the batch, and its gradient as many times larger"
            if s.summed
            else f"the loss starts at {s.start:.2g} x {s.unit}, with outputs of RMS {s.output_rms:.2g}"
        ),
    ),
    Rule(
        "dead units",
        lambda s: s.dead > MOST_UNITS_DEAD and s.sigma_w > SMALL_WEIGHTS and s.poor,
        lambda s: f"{s.dead:.0%} of the units of a layer are zero for every sample",
    ),
    Rule(
        "zero gradient",
        lambda s: (
            s.weak
            and s.zero_gradients >= WITHOUT_GRADIENT
            and s.saturated < SATURATION_EXPLAINS
            and (s.zero_weights > 0 or s.sigma_w > SMALL_WEIGHTS)
        ),
        lambda s: f"{s.zero_gradients:.0%} of the weight matrices have no gradient, or one of exactly zero",
    ),
)
CAUSES = (
    Rule(
        "inputs not normalised",
        lambda s: s.slow and (s.input_rms > INPUT_RMS or s.input_offset > INPUT_OFFSET),
        lambda s: f"the inputs have RMS {s.input_rms:.2g} and a mean of {s.input_offset:.2g} standard deviations",
    ),
    Rule(
        "recurrent explosion",
        lambda s: s.weak and s.recurrent_norm > STRETCH and s.sigma_w_max < LARGE_WEIGHTS,
        lambda s: f"a recurrent weight stretches by up to {s.recurrent_norm:.2g} a step",
    ),
    Rule(
        "saturated",
        lambda s: s.weak and s.saturated > SATURATED,
        lambda s: f"{s.saturated:.0%} of a layer's outputs lie within {NEAR} of a bound",
    ),
    Rule(
        "init too small",
        lambda s: s.sigma_w < SMALL_WEIGHTS and (s.poor or (s.slow and s.last_hidden_rms < QUIET)),
        lambda s: f"the weights have a median scale of {s.sigma_w:.2g}, where 1 to 1.4 is usual",
    ),
    Rule(
        "dead signal",
        lambda s: s.last_hidden_rms > QUIET and s.separation < (ALIKE if s.poor else ALL_ALIKE) and s.weak,
        lambda s: f"samples differ by only {s.separation:.1g} of the last hidden layer's mean square",
    ),
    Rule(
        "init too large",
        lambda s: (s.weak and s.output_rms > (LARGE_OUTPUTS if s.poor else HUGE_OUTPUTS))
        or (s.weak and (s.activation_growth > SIGNAL_GROWTH or s.delta_growth > GRADIENT_GROWTH))
        or (s.poor and s.start > HIGH_START and s.outputs_explain_start and s.update < LARGE_UPDATE),
        lambda s: f"outputs of RMS {s.output_rms:.2g} at the start, a loss of {s.start:.2g} x {s.unit}, "
        f"gradients growing {s.delta_growth:.2g} x through the network",
    ),
    Rule(
        "recurrent explosion",
        lambda s: s.poor and s.recurrent_gradient > RECURRENT_GRADIENT,
        lambda s: f"the recurrent weight's gradient is {s.recurrent_gradient:.2g} x the output layer's",
    ),
    Rule(
        "learning rate too high",
        lambda s: s.blown and s.update > LARGE_UPDATE,
        lambda s: f"the first step changed a weight matrix by {s.update:.2g} of its size, "
        f"and the loss rose to {s.rise:.2g} x",
    ),
    Rule(
        "init too small",
        lambda s: s.poor and s.update < SLEEPERS_UPDATE and (s.delta_growth < LOST_GRADIENT or s.last_hidden_rms < LOST_SIGNAL),
        lambda s: f"signals of RMS {s.last_hidden_rms:.1g} in the last hidden layer, "
        f"gradients of {s.delta_growth:.1g} x in the first",
    ),
    Rule(
        "learning rate too high",
        lambda s: s.blown
        or (s.poor and (s.largest_update > EARLY_UPDATE or s.died_units > UNITS_THAT_DIED))
        or (s.weak and s.largest_update > WHOLE_UPDATE),
        lambda s: f"a step changed a weight matrix by {s.largest_update:.2g} of its size, "
        f"and the loss rose to {s.rise:.2g} x" + (f"; {s.died} was not finite" if s.died else ""),
    ),
)  # fmt: skip


def diagnose(recorder: Recorder | Recording, *, trivial_loss: float | None = None) -> Diagnosis:
    """Name what ails a recorded run, with its evidence, its remedy and what else it could be.

    ``trivial_loss`` is the loss of the best answer that ignores the input. For cross entropies it is taken as that of all classes
    alike, so give it where some are rare; for squared errors it is known, and else the first loss stands in for it. Twenty steps
    are enough for most illnesses; sixty silence false alarms.
    "missing warmup" cannot be told from a recording and is only ever an alternative. Raises ValueError for fewer than 2
    records, TypeError for anything but a recorder or a recording.
    """
    recording = recorder.recording if isinstance(recorder, Recorder) else recorder
    if not isinstance(recording, Recording):
        hint = "; Recording.load(path) reads a saved one" if isinstance(recorder, str | os.PathLike) else ""
        raise TypeError(f"diagnose takes a Recorder or a Recording; got {type(recorder).__name__}{hint}")
    if len(recording) < 2:
        raise ValueError(f"a diagnosis needs at least 2 recorded steps, better 20; got {len(recording)}")
    signs = read_signs(recording, trivial_loss)
    found = [rule for rule in (*BUGS, *CAUSES) if rule.holds(signs)]
    if not found:
        if signs.poor:  # a null result is said as one
            evidence = f"the loss stands at {signs.end:.2g} x {signs.unit}, but nothing is out of scale"
            return Diagnosis("healthy", (evidence,), UNNAMED)
        return Diagnosis(
            "healthy", (f"the loss fell to {signs.end:.2g} x {signs.unit}",), REMEDIES["healthy"]
        )
    illness = found[0].illness
    stands = "is not finite" if not math.isfinite(signs.end) else f"ends at {signs.end:.2g} x {signs.unit}"
    evidence = found[0].says(signs), f"the loss {stands}"
    others = dict.fromkeys(rule.illness for rule in found if rule.illness != illness)
    if illness in ("learning rate too high", "init too large"):
        others |= dict.fromkeys(["missing warmup"])
    return Diagnosis(illness, evidence, REMEDIES[illness], tuple(others))
