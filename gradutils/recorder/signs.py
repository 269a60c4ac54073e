"""The numbers that a diagnosis looks at: ratios, fractions, or sizes in units of a unit-variance signal."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from gradutils.recorder.recording import Recording
from gradutils.recorder.rows import FIRST


class Threshold(float):
    """A number, and the two that it separates: ``well`` is what half of the healthy runs are within, ``ill`` what half of those
    with the illness are beyond (a tenth, where other signs tell most of them). ``python -m benchmarks.thresholds`` says which,
    and measures both again, on the runs that thresholds may be set on."""

    def __new__(cls, value: float, *, well: float, ill: float):
        made = super().__new__(cls, value)
        made.well, made.ill = well, ill
        return made


EARLY = 20  # steps after which an illness is looked for
NEAR_THE_END_OF_FLOATS = 1e30  # single precision ends at 3e38, and is not reached in one leap
# Whether it learns, and whether it rose on the way: losses over that of a constant answer.
SHARE_OF_OUTPUTS = Threshold(0.3, well=0.022, ill=160)
LEARNT_LATER = Threshold(0.8, well=0.26, ill=1)
LEARNT_AT_LAST = Threshold(0.9, well=0.37, ill=1.5)
LEAP = Threshold(12, well=1, ill=66)
NOT_BEATEN = Threshold(0.95, well=0.7, ill=1.2)
RISE = Threshold(2.5, well=1, ill=66)
FAR_ABOVE = Threshold(1.4, well=0.7, ill=35)
WORSE_THAN_AT_FIRST = Threshold(1.2, well=0.62, ill=36)
BEATEN = Threshold(0.955, well=0.7, ill=1.2)
WELL_BEATEN = Threshold(0.56, well=0.52, ill=1.2)
HALVED = Threshold(0.5, well=0.26, ill=1)
ORDINARY = Threshold(3, well=1, ill=66)
ORDINARY_AT_FIRST = Threshold(10, well=1, ill=76)


@dataclass(frozen=True)
class Signs:
    """The numbers that the rules look at. All are ratios, fractions or sizes in units of a unit-variance signal."""

    trivial: float  # the loss of the best constant answer
    unit: str  # what a loss is compared with, in words
    start: float  # first loss / trivial
    rise: float  # largest of the losses recorded up to step 20 / the larger of first and trivial
    level: float  # mean of the last six of these / trivial
    later: float  # smallest loss recorded from step 22 on / trivial; 1 if there is none, or one that is not finite
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
        return self.output_rms**2 > SHARE_OF_OUTPUTS * self.start * self.trivial

    @property
    def recovered(self) -> bool:
        """After step 20 the loss fell well below that of a constant answer: whatever was odd did not matter."""
        return self.later < LEARNT_LATER and self.end < LEARNT_AT_LAST and not self.died

    @property
    def blown(self) -> bool:
        """The loss left the scale of the problem, or ends worse than it began."""
        leapt = self.rise > LEAP and self.level > NOT_BEATEN
        rose = self.rise > RISE and self.level > FAR_ABOVE
        worse = max(self.level, self.end) > WORSE_THAN_AT_FIRST * max(1, self.start)
        return bool(self.died) or ((leapt or rose or worse) and not self.recovered)

    @property
    def poor(self) -> bool:
        """Around step 20 a constant answer is not beaten, nor is it later."""
        return self.blown or not (self.level < BEATEN or self.recovered)

    @property
    def weak(self) -> bool:
        """A constant answer is hardly beaten."""
        return self.poor or not (self.level < WELL_BEATEN or self.recovered)

    @property
    def slow(self) -> bool:
        """The loss falls, but not to half of that of a constant answer: enough to name what is never seen in health."""
        return self.weak or not (self.level < WELL_BEATEN or self.later < HALVED)


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
    early, late = loss[steps <= EARLY], loss[steps > EARLY + 1]
    scale = max(loss[0].item(), trivial)
    finite = loss[steps < bad.step] if bad else loss
    sizes = torch.cat([recording.delta_norm.flatten(), recording.grad_norm.flatten()])
    largest = _worst(sizes.where(sizes.isfinite(), 0.0))
    # Single precision ends at 3e38 and is not reached in one leap: before its end other gradients would be nearly as large.
    overflow = bad is not None and bad.what in ("delta", "gradient") and largest < NEAR_THE_END_OF_FLOATS
    return {
        "rise": early.nan_to_num(nan=math.inf).max().item() / scale,
        "level": early[-6:].mean().item() / trivial,
        "later": late.min().item() / trivial if len(late) and late.isfinite().all() else 1.0,
        "end": loss[-max(1, len(loss) // 6) :][-6:].mean().item() / trivial,
        "died": f"{bad} at step {bad.step}" if bad else "",
        "sudden": overflow
        and (len(finite) == 0 or finite[-3:].max().item() < ORDINARY * scale)
        and loss[0].item() < ORDINARY_AT_FIRST * trivial,
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
    sigma_w = weights / torch.tensor([float(shapes[k][0]) for k in matrices], device="cpu").sqrt()
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
    dead = recording.dead_fraction[recording.steps <= EARLY].nan_to_num(nan=0.0)
    input_rms, input_mean = recording.input_rms[0], recording.input_mean[0].abs()
    spread = (input_rms**2 - input_mean**2).clamp(min=0).sqrt()
    signs = {
        "input_rms": input_rms.item(),
        "broken_inputs": not input_rms.isfinite() and bool(std[:1].isinf().any()),
        "input_offset": (input_mean / spread).item() if spread > 0 else 0.0,
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
