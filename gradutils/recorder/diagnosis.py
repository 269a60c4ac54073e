"""From a recording to the name of the illness: a few rules in order, in numbers that do not depend on the network's size.

Bugs come first and are named even where the run survives them. The causes that follow are only looked for where the
loss is not beaten below that of a constant answer: most networks with an odd number somewhere train well. The first rule
that fires names the illness; the others that fire are what else it could be.
"""

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from gradutils.recorder.recording import Recording
from gradutils.recorder.rows import FIRST
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
    """The illness by name, the numbers that say so, what to do, and what else the same numbers allow, likeliest first."""

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


@dataclass(frozen=True)
class Signs:
    """The numbers that the rules look at. All are ratios, fractions or sizes in units of a unit-variance signal."""

    trivial: float  # the loss of the best constant answer
    unit: str  # what a loss is compared with, in words
    start: float  # first loss / trivial
    rise: float  # largest of the first 21 losses / the larger of first and trivial
    level: float  # mean loss around step 20 / trivial
    later: float  # smallest recorded loss after that / trivial; 1 if the run was shorter
    end: float  # mean of the last losses / trivial
    died: str  # the first number that was not finite, "" if none
    sudden: bool  # it died while the loss was ordinary
    stale: bool
    input_rms: float
    input_offset: float  # |mean| / standard deviation of the inputs
    broken_inputs: bool  # not finite, and so the first layer's output at the first step
    sigma_w: float  # median over the weight matrices of |W| / sqrt(fan_out): 1 to 1.4 is usual, torch's default 0.58
    sigma_w_max: float
    zero_gradients: float  # share of the weight matrices whose gradient is absent or exactly zero
    zero_weights: float  # share of the weight matrices that are exactly zero
    output_rms: float
    last_hidden_rms: float
    activation_growth: float  # RMS of the last pre-activations but the output's / of the first
    delta_growth: float  # |delta| of the first layer / of the output
    saturated: float  # of the worst bounded layer
    separation: float  # of the samples in the last hidden layer
    dead: float  # units of the worst layer
    died_units: float  # units that died between the first step and step 20, of the worst layer
    recurrent_norm: float  # largest singular value of a recurrent weight; gated cells halved
    recurrent_gradient: float  # its gradient / the output layer's
    update: float  # largest change of a weight matrix in the first step / its norm
    largest_update: float  # the same over the first five steps
    summed: bool
    unknown_loss: bool  # then only its size can tell whether it is summed

    @property
    def outputs_explain_start(self) -> bool:
        """The first loss is large because the outputs are, and not because the targets lie far from zero."""
        return self.output_rms**2 > 0.3 * self.start * self.trivial

    @property
    def recovered(self) -> bool:
        """After step 20 the loss fell well below that of a constant answer: whatever was odd did not matter."""
        return self.later < 0.8 and self.end < 0.9 and not self.died

    @property
    def blown(self) -> bool:
        """The loss left the scale of the problem, or ends worse than it began."""
        rose = (self.rise > 12 and self.level > 0.95) or (self.rise > 2.5 and self.level > 1.4)
        rose = rose or max(self.level, self.end) > 1.2 * max(1, self.start)
        return bool(self.died) or (rose and not self.recovered)

    @property
    def poor(self) -> bool:
        """Around step 20 a constant answer is not beaten, nor is it later."""
        return self.blown or not (self.level < 0.955 or self.recovered)

    @property
    def weak(self) -> bool:
        """It is hardly beaten."""
        return self.poor or not (self.level < 0.56 or self.recovered)

    @property
    def slow(self) -> bool:
        """The loss falls, but not to half of that of a constant answer: enough to name what is never seen in health."""
        return self.weak or not (self.level < 0.56 or self.later < 0.5)


class Rule(NamedTuple):
    """When an illness is named and what is said then."""

    illness: str
    holds: Callable[[Signs], bool]
    says: Callable[[Signs], str]


BUGS = (
    Rule(
        "inputs not normalised",
        lambda s: s.broken_inputs,
        lambda s: "the inputs hold numbers that are not finite, from the first step on",
    ),
    Rule(
        "half-precision overflow",
        lambda s: s.sudden and not s.end < 0.8,
        lambda s: f"{s.died} is not finite while the loss is {s.start:.2g} x {s.unit}",
    ),
    Rule(
        "gradients not cleared",
        lambda s: s.stale,
        lambda s: "gradients of the step before were still there when the backward pass began",
    ),
    Rule(
        "loss summed",
        lambda s: s.summed or (s.unknown_loss and s.start > 6 and s.output_rms < 0.6),
        lambda s: (
            "the loss is summed over the batch, and its gradient as many times larger"
            if s.summed
            else f"the loss starts at {s.start:.2g} x {s.unit}, with outputs of RMS {s.output_rms:.2g}"
        ),
    ),
    Rule(
        "dead units",
        lambda s: s.dead > 0.9 and s.sigma_w > 0.28 and s.poor,
        lambda s: f"{s.dead:.0%} of the units of a layer are zero for every sample",
    ),
    Rule(
        "zero gradient",
        lambda s: (
            s.weak
            and s.zero_gradients >= 0.5
            and s.saturated < 0.5
            and (s.zero_weights > 0 or s.sigma_w > 0.28)
        ),
        lambda s: f"{s.zero_gradients:.0%} of the weight matrices have no gradient, or one of exactly zero",
    ),
)
CAUSES = (
    Rule(
        "inputs not normalised",
        lambda s: s.slow and (s.input_rms > 2.5 or s.input_offset > 1.5),
        lambda s: f"the inputs have RMS {s.input_rms:.2g} and a mean of {s.input_offset:.2g} standard deviations",
    ),
    Rule(
        "recurrent explosion",
        lambda s: s.weak and s.recurrent_norm > 1.3 and s.sigma_w_max < 4,
        lambda s: f"a recurrent weight stretches by up to {s.recurrent_norm:.2g} a step",
    ),
    Rule(
        "saturated",
        lambda s: s.weak and s.saturated > 0.55,
        lambda s: f"{s.saturated:.0%} of a layer's outputs lie within 0.05 of a bound",
    ),
    Rule(
        "init too small",
        lambda s: s.sigma_w < 0.28 and (s.poor or (s.slow and s.last_hidden_rms < 0.2)),
        lambda s: f"the weights have a median scale of {s.sigma_w:.2g}, where 1 to 1.4 is usual",
    ),
    Rule(
        "dead signal",
        lambda s: ((s.poor and s.separation < 10**-2.6) or (s.weak and s.separation < 10**-3.5)) and s.last_hidden_rms > 0.2,
        lambda s: f"samples differ by only {s.separation:.1g} of the last hidden layer's mean square",
    ),
    Rule(
        "init too large",
        lambda s: (s.weak and (s.output_rms > (3.2 if s.poor else 5.6) or s.activation_growth > 4 or s.delta_growth > 6))
        or (s.poor and s.start > 2.5 and s.outputs_explain_start and s.update < 0.35),
        lambda s: f"outputs of RMS {s.output_rms:.2g} at the start, a loss of {s.start:.2g} x {s.unit}, "
        f"gradients growing {s.delta_growth:.2g} x through the network",
    ),
    Rule(
        "recurrent explosion",
        lambda s: s.poor and s.recurrent_gradient > 3,
        lambda s: f"the recurrent weight's gradient is {s.recurrent_gradient:.2g} x the output layer's",
    ),
    Rule(
        "learning rate too high",
        lambda s: s.blown and s.update > 0.35,
        lambda s: f"the first step changed a weight matrix by {s.update:.2g} of its size, "
        f"and the loss rose to {s.rise:.2g} x",
    ),
    Rule(
        "init too small",
        lambda s: s.poor and s.update < 0.5 and (s.delta_growth < 10**-2.2 or s.last_hidden_rms < 10**-1.6),
        lambda s: f"signals of RMS {s.last_hidden_rms:.1g} in the last hidden layer, "
        f"gradients of {s.delta_growth:.1g} x in the first",
    ),
    Rule(
        "learning rate too high",
        lambda s: s.blown or (s.poor and (s.largest_update > 0.22 or s.died_units > 0.3)) or (s.largest_update > 1 and s.weak),
        lambda s: f"a step changed a weight matrix by {s.largest_update:.2g} of its size, "
        f"and the loss rose to {s.rise:.2g} x" + (f"; {s.died} was not finite" if s.died else ""),
    ),
)  # fmt: skip


def diagnose(recorder: Recorder | Recording, *, trivial_loss: float | None = None) -> Diagnosis:
    """Name what ails a recorded run, with its evidence, its remedy and what else it could be.

    ``trivial_loss`` is the loss of the best answer that ignores the input; it is known for cross entropy and squared error,
    and else the first loss stands in for it. Twenty recorded steps are enough for most illnesses; sixty silence false alarms.
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


def read_signs(recording: Recording, trivial_loss: float | None = None) -> Signs:
    """The numbers that the rules look at, from the first 21 steps and what came after."""
    start = recording.loss[0].item()
    trivial = recording.trivial_loss if trivial_loss is None else trivial_loss
    unit = "that of a constant answer"
    if not (math.isfinite(trivial) and trivial > 0):
        trivial, unit = (start, "the first") if math.isfinite(start) and start > 0 else (1.0, "1")
    return Signs(
        trivial=trivial,
        unit=unit,
        start=start / trivial,
        **_course(recording, trivial),
        **_weights(recording),
        **_layers(recording),
    )


def _course(recording: Recording, trivial: float) -> dict:
    """How the loss went, and where it died."""
    steps, loss, bad = recording.steps, recording.loss, recording.first_nonfinite
    if loss[-1].isfinite() and not (
        recording.grad_norm[-1].isinf().any() or recording.delta_norm[-1].isinf().any()
    ):
        bad = None  # a step that was skipped, or a mask of infinities: the run goes on
    early, late = loss[steps <= 20], loss[steps > 21]
    scale = max(loss[0].item(), trivial)
    finite = loss[steps < bad.step] if bad else loss
    sizes = torch.cat([recording.delta_norm.flatten(), recording.grad_norm.flatten()])
    largest = _worst(sizes.where(sizes.isfinite(), 0.0))
    # Single precision ends at 3e38 and is not reached in one leap: before its end other gradients would be nearly as large.
    overflow = bad is not None and bad.what in ("delta", "gradient") and largest < 1e30
    return {
        "rise": early.nan_to_num(nan=math.inf).max().item() / scale,
        "level": early[-6:].mean().item() / trivial,
        "later": late.min().item() / trivial if len(late) and late.isfinite().all() else 1.0,
        "end": loss[-max(1, len(loss) // 6) :][-6:].mean().item() / trivial,
        "died": f"the {bad.what} of {bad.where} at step {bad.step}" if bad else "",
        "sudden": overflow
        and (len(finite) == 0 or finite[-3:].max().item() < 3 * scale)
        and loss[0].item() < 10 * trivial,
        "stale": bool(recording.stale.any()),
        "summed": recording.loss_summed,
        "unknown_loss": recording.loss_kind == "unknown",
    }


def _weights(recording: Recording) -> dict:
    """Scales of the weight matrices, their gradients and their updates, at the first steps."""
    kinds = dict(zip(recording.layers, recording.kinds, strict=True))
    names, shapes = recording.parameters, recording.shapes
    matrices = [
        k
        for k, name in enumerate(names)
        if len(shapes[k]) > 1 and kinds.get(name.rpartition(".")[0]) != "Embedding"
    ]
    if not matrices:
        none = (
            "zero_gradients",
            "zero_weights",
            "recurrent_norm",
            "recurrent_gradient",
            "update",
            "largest_update",
        )
        return {"sigma_w": math.nan, "sigma_w_max": math.nan} | dict.fromkeys(none, 0.0)
    weights, grads = recording.weight_norm[0, matrices], recording.grad_norm[0, matrices]
    sigma_w = weights / torch.tensor([float(shapes[k][0]) for k in matrices]).sqrt()
    updates = recording.update_ratio[:FIRST, matrices].nan_to_num(nan=0.0, posinf=0.0)
    recurrent = [names.index(name) for name in recording.spectral_norms]
    # A gated cell multiplies its state by gates below 1 and stands a recurrent weight twice as large.
    stretch = [
        recording.spectral_norms[names[k]] / (2 if shapes[k][0] > shapes[k][1] else 1) for k in recurrent
    ]
    output = grads[-1].item()
    return {
        "sigma_w": sigma_w.median().item(),
        "sigma_w_max": sigma_w.max().item(),
        "zero_gradients": 0.0 if grads.isnan().all() else (~(grads > 0)).double().mean().item(),
        "zero_weights": (weights == 0).double().mean().item(),
        "recurrent_norm": max(stretch, default=0.0),
        "recurrent_gradient": _worst(recording.grad_norm[0, recurrent]) / output if output > 0 else 0.0,
        "update": _worst(updates[0]),
        "largest_update": _worst(updates),
    }


def _layers(recording: Recording) -> dict:
    """Sizes of inputs, signals and deltas at the first step, and units that died since."""
    mean, std = recording.activation_mean[0].nan_to_num(nan=0.0), recording.activation_std[0]
    rms = (mean**2 + std**2).sqrt()
    delta = recording.delta_norm[0]
    owners = [k for k in range(len(delta)) if not delta[k].isnan()]  # layers with weights, first to last
    dead = recording.dead_fraction[recording.steps <= 20].nan_to_num(nan=0.0)
    input_rms, input_mean = recording.input_rms[0].item(), abs(recording.input_mean[0].item())
    spread = math.sqrt(max(input_rms**2 - input_mean**2, 0.0))
    signs = {
        "input_rms": input_rms,
        "broken_inputs": not math.isfinite(input_rms) and bool(std[:1].isinf().any()),
        "input_offset": input_mean / spread if spread > 0 else 0.0,
        "saturated": _worst(recording.saturated_fraction[0]),
        "dead": _worst(dead[0]),
        "died_units": _worst(dead - dead[0]),
        "output_rms": math.nan,
        "last_hidden_rms": math.nan,
        "separation": 1.0,
        "activation_growth": 1.0,
        "delta_growth": 1.0,
    }
    if len(owners) > 1:
        first, before_last, last = owners[0], owners[-2], owners[-1]
        signs |= {
            "output_rms": rms[last].item(),
            "last_hidden_rms": rms[last - 1].item(),
            "separation": recording.separation[0, last - 1].item(),
            "activation_growth": (rms[before_last] / rms[first]).item(),
            "delta_growth": (delta[first] / delta[last]).item(),
        }
    return signs


def _worst(values: Tensor) -> float:
    """The largest value, NaN aside; 0 of none."""
    return values.nan_to_num(nan=0.0).max().item() if values.numel() else 0.0
