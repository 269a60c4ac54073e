"""The numbers that a diagnosis looks at: ratios, fractions, or sizes in units of a unit-variance signal.

Sizes are those of the first steps, where the cause of most illnesses can be seen before its consequences. What is frozen, and what
is never called, is no part of them; what is zero at the very first step and moves at the next is no sign either.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from gradutils.recorder.course import (
    BEATEN,
    BEYOND_NOISE,
    FAR_ABOVE,
    HALVED,
    LEAP,
    LEARNT_AT_LAST,
    LEARNT_LATER,
    NOT_BEATEN,
    RISE,
    TWICE_ITS_NOISE,
    WELL_BEATEN,
    WORSE_THAN_AT_FIRST,
    Course,
    read_course,
)  # fmt: skip
from gradutils.recorder.facts import Facts, read_facts
from gradutils.recorder.recording import Recording
from gradutils.recorder.relapse import Relapse, read_relapse
from gradutils.recorder.rows import FIRST
from gradutils.recorder.threshold import EARLY, Threshold

SHARE_OF_OUTPUTS = Threshold(0.3, well=0.022, ill=160)
RUNAWAY = Threshold(3, well=0.98, ill=990)
BESIDE = 0.1  # as large as this beside the outputs, targets are no rounding errors of theirs
SIXTH = 6
LATEST = 3  # records
ADAMS = ("Adam", "AdamW")
LAST_DIGIT = {"float16": 2.0**-11, "bfloat16": 2.0**-8}  # of a number, at most


@dataclass(frozen=True)
class Sizes:
    """Ratios, fractions, and sizes in units of a unit-variance signal, at the first steps where nothing else is said."""

    input_rms: float
    input_offset: float  # |mean| / standard deviation of the inputs
    sigma_w: float  # median over the weight matrices of |W| / sqrt(fan_out): 1 to 1.4 is usual, torch's default 0.58
    sigma_w_max: float
    zero_gradients: float  # share of the weight matrices that train whose gradient is absent or exactly zero, step after step
    zero_weights: float  # share of the weight matrices that are exactly zero
    frozen: float  # share of them that do not train
    output_rms: float
    last_hidden_rms: float
    activation_growth: float  # RMS of the last pre-activations but the output's / of the first
    delta_growth: float  # |delta| of the first layer / of the output
    normalised: bool  # layers with a norm bear small weights
    saturated: float  # of the worst bounded layer
    separation: float  # of the samples in the last hidden layer
    dead: float  # units of the worst layer
    died_units: float  # units that died between the first step and step 20, of the worst layer
    recurrent_norm: float  # largest singular value of a recurrent weight; gated cells halved
    recurrent_gradient: float  # its gradient / the output layer's
    update: float  # largest change of a weight matrix in the first step / its norm
    largest_update: float  # the same over the first five steps
    peak_update: float  # over all
    adam_step: float  # RMS of the first steps of Adam / its rate, of the middle weight matrix: 1 where eps does nothing; NaN of others
    last_digits: float  # largest change of the middle weight matrix / what its last digit is worth; NaN in single precision
    attention_before: float  # how far softmax layers inside the model choose one entry alone, at first: 0 to 1; NaN without any
    attention_after: float  # the same at last
    rate: float  # the largest learning rate, NaN where none is known
    gradient: float  # norm of all gradients, the middle one of all records
    gradient_varies: float  # its standard deviation over all records / its mean
    target_rms: float
    target_offset: (
        float  # of the targets' mean from that of the outputs, in standard deviations of the targets
    )
    target_growth: float  # RMS of the targets at last / at first
    target_share: float  # RMS of the targets at last / of the outputs
    output_growth: float
    spread: float  # of the outputs over the samples at last / of the targets; NaN where these are unknown
    spread_left: float  # of the outputs over the samples at last / in the first steps
    one_class: float  # share of the samples whose largest output is the commonest one's, at last
    commonest: float  # share of the commonest class among the targets


@dataclass(frozen=True)
class Signs(Sizes, Relapse, Course, Facts):
    """The numbers and sentences that the rules look at."""

    @property
    def outputs_explain_start(self) -> bool:
        """The first loss is large because the outputs are, and not because the targets lie far from zero."""
        return self.output_rms**2 > SHARE_OF_OUTPUTS * self.start * self.trivial

    @property
    def recovered(self) -> bool:
        """After step 20 the loss fell well below that of a constant answer: whatever was odd did not matter."""
        return (
            self.later < LEARNT_LATER
            and self.end < LEARNT_AT_LAST
            and self.fall > TWICE_ITS_NOISE
            and not self.died
        )

    @property
    def blown(self) -> bool:
        """The loss left the scale of the problem, or ends worse than it began."""
        leapt = self.rise > LEAP and self.level > NOT_BEATEN
        rose = self.rise > RISE and self.level > FAR_ABOVE
        worse = max(self.level, self.end) > WORSE_THAN_AT_FIRST * max(1, self.start) * (1 + 3 * self.shaky)
        learns = self.recovered or self.end < LEARNT_AT_LAST or self.signed
        return bool(self.died) or ((leapt or rose or worse) and not learns)

    @property
    def poor(self) -> bool:
        """Around step 20 a constant answer is not beaten, or no longer at the end. What a loss of both signs says is not known."""
        beaten = self.end < BEATEN and (self.level < BEATEN or self.falls or self.drift > 0)
        return self.blown or not (beaten or self.recovered or self.signed)

    @property
    def weak(self) -> bool:
        """A constant answer is hardly beaten."""
        return self.poor or not (self.level < WELL_BEATEN or self.recovered or self.signed)

    @property
    def slow(self) -> bool:
        """The loss falls, but not to half of that of a constant answer: enough to name what is never seen in health."""
        return self.weak or not (self.level < WELL_BEATEN or self.later < HALVED or self.signed)

    @property
    def runs_away(self) -> bool:
        """The targets grow with the outputs: they are computed from them."""
        return min(self.target_growth, self.output_growth) > RUNAWAY and self.target_share > BESIDE

    @property
    def stalls(self) -> bool:
        """A constant answer is hardly beaten, and it was best before the second half."""
        return self.weak and self.best_step > 0 and 2 * self.best_step < self.steps and not self.drift > 0

    @property
    def falls(self) -> bool:
        """The last losses lie below a constant answer's, or the first ones, by more than their noise."""
        halved = max(self.level, self.end) < HALVED and not self.signed
        return self.fall > BEYOND_NOISE or halved


def read_signs(recording: Recording, trivial_loss: float | None = None) -> Signs:
    """The numbers that the rules look at, from the first 21 steps and what came after."""
    with torch.device("cpu"):  # whatever the default device is
        course = read_course(recording, trivial_loss)
        return Signs(
            **course,
            **read_facts(recording),
            **read_relapse(recording, course["left"]),
            **_weights(recording),
            **_layers(recording),
            **_attention(recording),
            **_outputs(recording),
        )


def _matrices(recording: Recording) -> list[int]:
    """The weight matrices of layers that are called, without embeddings."""
    kinds = dict(zip(recording.layers, recording.kinds, strict=True))
    owners = [name.partition(".parametrizations")[0] if ".parametrizations" in name else name.rpartition(".")[0]
              for name in recording.parameters]  # fmt: skip
    wide = [
        k
        for k, shape in enumerate(recording.shapes)
        if len(shape) > 1 and kinds.get(owners[k]) != "Embedding"
    ]
    return [k for k in wide if not kinds or not owners[k] or owners[k] in kinds] or wide


def _weights(recording: Recording) -> dict:
    """Scales of the weight matrices, their gradients and their updates."""
    names, shapes, matrices = recording.parameters, recording.shapes, _matrices(recording)
    total, lr = recording.total_grad_norm, recording.lr[recording.lr.isfinite()]
    total = total[total.isfinite()]
    found = {
        "rate": lr.max().item() if len(lr) else math.nan,
        "gradient": total.median().item() if len(total) else 0.0,
        "gradient_varies": (total.std(correction=0) / total.mean()).nan_to_num(nan=0.0).item()
        if len(total)
        else 0.0,
    }
    if not matrices:
        none = (
            "zero_gradients", "zero_weights", "frozen", "recurrent_norm", "recurrent_gradient",
            "update", "largest_update", "peak_update",
        )  # fmt: skip
        unknown = ("sigma_w", "sigma_w_max", "adam_step", "last_digits")
        return found | dict.fromkeys(unknown, math.nan) | dict.fromkeys(none, 0.0)
    weights, grads = recording.weight_norm[0, matrices], recording.grad_norm[:FIRST, matrices]
    sigma_w = weights / torch.tensor([float(shapes[k][0]) for k in matrices], device="cpu").sqrt()
    trains = torch.tensor(recording.trainable, dtype=torch.bool)[matrices]
    # What was exactly zero has no size to compare a change with: the new factor of an adapter, a new head.
    updates = recording.update_ratio[:, matrices].where(weights > 0, 0.0).nan_to_num(nan=0.0, posinf=0.0)
    without = ~(grads > 0).any(0)[trains]
    recurrent = [names.index(name) for name in recording.spectral_norms]
    # A gated cell multiplies its state by gates below 1 and stands a recurrent weight twice as large.
    stretch = [
        recording.spectral_norms[names[k]] / (2 if shapes[k][0] > shapes[k][1] else 1) for k in recurrent
    ]
    output = grads[0, -1].item()
    unknown = recording.order or recording.grad_norm.isnan().all()
    return found | {
        "sigma_w": (sigma_w[weights > 0] if (weights > 0).any() else sigma_w).median().item(),
        "sigma_w_max": sigma_w.max().item(),
        "zero_gradients": 0.0 if unknown or not trains.any() else without.double().mean().item(),
        "zero_weights": (weights == 0).double().mean().item(),
        "frozen": (~trains).double().mean().item(),
        "recurrent_norm": max(stretch, default=0.0),
        "recurrent_gradient": _worst(recording.grad_norm[0, recurrent]) / output if output > 0 else 0.0,
        "update": _worst(updates[0]),
        "largest_update": _worst(updates[:FIRST]),
        "peak_update": _worst(updates),
        "adam_step": _adam_step(recording, matrices),
        "last_digits": _last_digits(recording, matrices, updates),
    }


def _adam_step(recording: Recording, matrices: list[int]) -> float:
    """Adam's first step is its rate times g / (|g| + eps), entry by entry."""
    if recording.optimizer not in ADAMS:
        return math.nan
    entries = torch.tensor([float(math.prod(recording.shapes[k])) for k in matrices], device="cpu")
    step = recording.update_norm[:FIRST, matrices] / (recording.lr[:FIRST, None] * entries.sqrt())
    step = step.where(recording.grad_norm[:FIRST, matrices] > 0, 0.0).nan_to_num(nan=0.0, posinf=0.0)
    largest = step.max(0).values
    return largest[largest > 0].median().item() if (largest > 0).any() else math.nan


def _last_digits(recording: Recording, matrices: list[int], updates: Tensor) -> float:
    """Of weights that all have few digits."""
    digits = [LAST_DIGIT.get(recording.dtypes[k]) for k in matrices if recording.trainable[k]]
    if not digits or None in digits:
        return math.nan
    trains = torch.tensor([recording.trainable[k] for k in matrices], dtype=torch.bool, device="cpu")
    return updates[:, trains].median(1).values.max().item() / max(digits)


def _attention(recording: Recording) -> dict:
    """The variance of a softmax's outputs over that of the same mean if all were 0 or 1."""
    inside = [k for k, kind in enumerate(recording.kinds[:-1]) if kind == "Softmax"]
    if not inside:
        return {"attention_before": math.nan, "attention_after": math.nan}
    mean, std = recording.activation_mean[:, inside], recording.activation_std[:, inside]
    chosen = (std.square() / (mean * (1 - mean))).max(1).values
    return {"attention_before": chosen[0].item(), "attention_after": chosen[-LATEST:].nanmedian().item()}


def _layers(recording: Recording) -> dict:
    """Sizes of inputs, signals and deltas at the first step, and units that died since."""
    mean, std = recording.activation_mean[0].nan_to_num(nan=0.0), recording.activation_std[0]
    rms = (mean**2 + std**2).sqrt()
    delta = recording.delta_norm[0]
    owners = [k for k in range(len(delta)) if not delta[k].isnan()]  # layers with weights, first to last
    dead = recording.dead_fraction[recording.steps <= EARLY].nan_to_num(nan=0.0)
    input_rms, input_mean = recording.input_rms[0], recording.input_mean[0].abs()
    spread = (input_rms**2 - input_mean**2).clamp(min=0).sqrt()
    signs = {
        "input_rms": input_rms.item(),
        "input_offset": (input_mean / spread).item() if spread > 0 else 0.0,
        "normalised": any("Norm" in kind for kind in recording.kinds),
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
        growth = recording.delta_norm[:FIRST, first] / recording.delta_norm[:FIRST, last]
        begun = growth[
            growth > 0
        ]  # behind a head that starts at zero, gradients arrive from the second step on
        signs |= {
            "output_rms": rms[last].item(),
            "last_hidden_rms": rms[last - 1].item(),
            "separation": recording.separation[0, last - 1].item(),
            "activation_growth": (rms[before_last] / rms[first]).item(),
            "delta_growth": (begun[0] if len(begun) else growth[0]).item(),
        }
    return signs


def _outputs(recording: Recording) -> dict:
    """The model's outputs and the targets, at first and at last."""
    last = recording.steps * SIXTH >= recording.steps[-1] * (SIXTH - 1)
    at_last = lambda field: field[last].nanmedian().item()  # noqa: E731
    rms, spread = recording.output_rms, recording.output_spread
    # Far from the outputs, and not only because these are far from zero.
    apart = torch.minimum((recording.target_mean - recording.output_mean).abs(), recording.target_mean.abs())
    early = spread[:FIRST].nanmedian().item()
    return {
        "target_rms": _target_rms(recording),
        "target_offset": off.item()
        if (off := apart[0] / recording.target_spread[0]).isfinite()
        else math.nan,
        "target_growth": at_last(recording.target_rms) / recording.target_rms[0].item()
        if recording.target_rms[0] > 0
        else math.nan,
        "target_share": at_last(recording.target_rms) / at_last(rms) if at_last(rms) > 0 else math.nan,
        "output_growth": at_last(rms) / rms[0].item() if rms[0] > 0 else math.nan,
        "spread": at_last(spread) / at_last(recording.target_spread)
        if at_last(recording.target_spread) > 0
        else math.nan,
        "spread_left": at_last(spread) / early if early > 0 else math.nan,
        "one_class": at_last(recording.top_answer),
        "commonest": at_last(recording.top_target),
    }


def _target_rms(recording: Recording) -> float:
    """Of the first batch's targets; an absolute error is of their size, where outputs are small."""
    size = recording.target_rms[0].item()
    if math.isnan(size) and recording.loss_kind == "absolute error" and round(recording.loss_scale, 2) == 1:
        return recording.loss[0].item()
    return size


def _worst(values: Tensor) -> float:
    """The largest value, NaN aside; 0 of none."""
    return values.nan_to_num(nan=0.0).max().item() if values.numel() else 0.0
