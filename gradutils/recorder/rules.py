"""The rules, in order: facts, bugs, and causes. The first that holds names the illness.

Facts and bugs that are exact to detect are named even where the run survives them. The causes that follow are only looked for where
a constant answer is not beaten, or hardly: most networks with an odd number somewhere train well.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

from gradutils.recorder.course import HAD_LEARNT, HALVED, LEAP, LEARNT_AT_LAST, LOST, NOT_BEATEN
from gradutils.recorder.outputs import NEAR
from gradutils.recorder.signs import Signs
from gradutils.recorder.threshold import EARLY, Threshold


class Rule(NamedTuple):
    """When an illness is named and what is said then."""

    illness: str
    holds: Callable[[Signs], bool]
    says: Callable[[Signs], str]
    reason: Callable[[Signs], str] = lambda s: ""  # a key of MENDS, where it is known


MICRO_BATCHES = 3  # passes: two or three may be those of a pair of samples, or of two players
MAJORITY = 0.8  # of the targets are of one class, and some are rare
# Each between what health keeps within and what the illness goes beyond; what it is held against is a field of `Signs`.
SURVIVED = Threshold(0.8, well=0.37, ill=math.inf)
SUMMED_START = Threshold(6, well=1, ill=66)
SMALL_OUTPUTS = Threshold(0.6, well=0.28, ill=120)
MOST_UNITS_DEAD = Threshold(0.9, well=0, ill=1)
SMALL_WEIGHTS = Threshold(0.28, well=0.58, ill=0.012)
TINY_WEIGHTS = Threshold(
    0.1, well=0.58, ill=0.038
)  # where a norm follows, narrow layers with small weights are in order
WITHOUT_GRADIENT = Threshold(0.5, well=0, ill=0.67)
SATURATION_EXPLAINS = Threshold(0.5, well=0, ill=1)
INPUT_RMS = Threshold(2.5, well=1, ill=67)
INPUT_OFFSET = Threshold(2.5, well=0.0089, ill=3.6)
STRETCH = Threshold(1.3, well=1.1, ill=3)
WIDE_WEIGHTS = Threshold(2, well=0.58, ill=6.8)
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
EARLY_UPDATE = Threshold(0.3, well=0.039, ill=11)
UNITS_THAT_DIED = Threshold(0.3, well=0, ill=0.32)
WHOLE_UPDATE = Threshold(1, well=0.072, ill=11)
SOME_UPDATE = Threshold(0.1, well=0.049, ill=14)
HARDLY_MOVES = Threshold(0.0001, well=0.049, ill=0)
SCALED_AWAY = Threshold(0.001, well=0.99, ill=1.5e-05)
STEADY = Threshold(0.02, well=0.37, ill=9.7e-08)
FAR_INPUTS = Threshold(30, well=1, ill=67)
NEARLY_ALL = 0.1  # of a constant answer's loss is left
FAR_TARGETS = Threshold(25, well=6.4, ill=11000)
OFF_CENTRE = Threshold(3, well=0.061, ill=3.3)
ONE_CLASS = Threshold(0.99, well=0.19, ill=1)
COLLAPSED = Threshold(0.1, well=7.8, ill=6.4e-08)
SHRUNK = Threshold(0.5, well=7.8, ill=6.4e-08)
HELD_BY_EPS = Threshold(0.05, well=0.93, ill=0.0024)
ROUNDED_AWAY = Threshold(0.5, well=2.6, ill=0.14)
ATTENDS_TO_ONE = Threshold(0.97, well=0.93, ill=1)
STILL_FALLS = Threshold(0.02, well=0.06, ill=0.00025)


def _rose(s: Signs) -> str:
    """How far the loss rose, where that is a number."""
    if not math.isfinite(s.peak):
        return ""
    above = "the first" if s.start > 1 else s.unit
    return f", and the loss rose to {s.peak:.2g} x {above}" if s.peak > 1 else ""


def _hardly_moves(s: Signs) -> bool:
    """Gradients as small as they are even: clipped while they were scaled, and scaled back."""
    return (
        s.poor
        and 0 < s.peak_update < HARDLY_MOVES
        and 0 < s.gradient < SCALED_AWAY
        and s.gradient_varies < STEADY
    )


def _relapsed(s: Signs) -> str:
    said = f"the loss was at {s.best:.2g} x {s.unit} around step {s.best_step}, left it at step {s.left} and never came back"
    names = {
        "inputs": "the inputs' RMS",
        "gradient": "the gradient's norm",
        "update": "the change of the weights",
    }
    if s.leapt:
        said += f"; {names[s.leapt]} leapt first, to {s.leapt_by:.2g} x what was usual, at step {s.leapt_at}"
    if s.dead_after > max(MOST_UNITS_DEAD, s.dead_before):
        said += f"; {s.dead_after:.0%} of a layer's units are dead since, {s.dead_before:.0%} before"
    return said


def _units_died(s: Signs) -> bool:
    """By updates that were large: where they were small, it is the signal that dies."""
    return s.died_units > UNITS_THAT_DIED and s.peak_update > SOME_UPDATE


def _grows(s: Signs) -> bool:
    """Signals or gradients grow through the layers, with no norm between them that would take it back."""
    grows = s.activation_growth > SIGNAL_GROWTH or s.delta_growth > GRADIENT_GROWTH
    return grows and s.output_rms > SMALL_OUTPUTS and (not s.normalised or s.sigma_w > WIDE_WEIGHTS)


def _mostly_without_gradient(s: Signs) -> bool:
    return s.weak and (s.zero_gradients >= WITHOUT_GRADIENT or s.zero_weights > WITHOUT_GRADIENT)


def _one_answer(s: Signs) -> str:
    """What says that at last all inputs get one answer; "" where nothing does, or there is nothing better to be had."""
    if s.died or s.opponent or (s.recovered and s.compared):
        return ""
    level = s.end > NOT_BEATEN and s.drift < STILL_FALLS
    if (
        s.compared
        and s.one_class > ONE_CLASS > s.commonest
        and (level or (s.end > LEARNT_AT_LAST and s.commonest > MAJORITY))
    ):
        return f"the largest output is the same one for {s.one_class:.0%} of the samples, and {s.commonest:.0%} of the targets are alike"
    if level and not s.falls and s.spread < COLLAPSED and s.spread_left < SHRUNK:
        return f"over the samples the outputs vary by {s.spread:.1g} of what the targets do"
    if s.spread_left < COLLAPSED and (s.unknown_loss or s.end > NOT_BEATEN):
        return f"over the samples the outputs vary by {s.spread_left:.1g} of what they did at the start"
    return ""


def _why_alike(s: Signs) -> str:
    return "" if s.commonest > MAJORITY else "alike"


FACTS = (
    Rule("parts not registered", lambda s: bool(s.unregistered), lambda s: s.unregistered),
    Rule("loss does not fit the outputs", lambda s: bool(s.misfit), lambda s: s.misfit),
    Rule(
        "half-precision overflow",
        lambda s: s.bad is not None
        and s.half
        and not s.grown
        and s.bad.what not in ("input", "update")
        and not s.end < SURVIVED,
        lambda s: f"{s.died} is not finite, "
        + (
            f"with the loss multiplied by {s.loss_scale:.2g}"
            if s.loss_scale > 1
            else f"while the loss began at {s.start:.2g} x {s.unit}"
        ),
    ),
    Rule(
        "not a number",
        lambda s: s.bad is not None and not s.grown,
        lambda s: s.broken,
        lambda s: s.broken_by,
    ),
    Rule("weights do not move", lambda s: bool(s.unmoved), lambda s: s.unmoved, lambda s: s.unmoved_by),
    Rule("weights do not move", lambda s: bool(s.stuck), lambda s: s.stuck, lambda s: "digits"),
    Rule(
        "weights do not move",
        lambda s: s.slow and s.last_digits < ROUNDED_AWAY,
        lambda s: f"no step changed the middle weight matrix by more than {s.last_digits:.1g} of its numbers' last digit: most updates "
        "are rounded away",
        lambda s: "digits",
    ),
    Rule(
        "weights do not move",
        _hardly_moves,
        lambda s: f"no step changed a weight matrix by more than {s.peak_update:.1g} of its size; the gradient's norm is "
        f"{s.gradient:.2g} at every step, as clipping leaves it",
        lambda s: "small",
    ),
    Rule(
        "weights do not move",
        lambda s: s.slow and bool(s.stopped or s.forgotten),
        lambda s: s.stopped or s.forgotten,
        lambda s: "rate" if s.stopped else "forgotten",
    ),
    Rule(
        "weights do not move",
        lambda s: bool(s.severed) and not _mostly_without_gradient(s),
        lambda s: s.severed,
        lambda s: "severed",
    ),
    Rule(
        "evaluation mode",
        lambda s: bool(s.model_evaluates) and (s.poor or s.frozen < WITHOUT_GRADIENT),
        lambda s: s.model_evaluates,
    ),
    Rule("gradients not cleared", lambda s: s.stale, lambda s: "gradients of the step before were still there when the backward pass began"),
)  # fmt: skip
BUGS = (
    Rule(
        "loss summed",
        lambda s: (
            s.summed
            or (s.unknown_loss and s.compared and s.start > SUMMED_START and s.output_rms < SMALL_OUTPUTS)
        ),
        lambda s: (
            "the loss is summed over the batch, and its gradient as many times larger"
            if s.summed
            else f"the loss starts at {s.start:.2g} x {s.unit}, with outputs of RMS {s.output_rms:.2g}"
        ),
    ),
    Rule(
        "loss summed",
        lambda s: s.blown and s.passes > MICRO_BATCHES and s.loss_scale > MICRO_BATCHES,
        lambda s: (
            f"{s.passes:.0f} backward passes add up before each step, and the loss of each is whole: the gradient is "
            f"{s.passes:.0f} times that of their mean"
        ),
        lambda s: "accumulated",
    ),
    Rule(
        "dead units",
        lambda s: s.dead > MOST_UNITS_DEAD and s.sigma_w > SMALL_WEIGHTS and s.poor,
        lambda s: f"{s.dead:.0%} of the units of a layer are zero for every sample",
    ),
    Rule(
        "zero gradient",
        lambda s: (
            _mostly_without_gradient(s)
            and s.saturated < SATURATION_EXPLAINS
            and (s.zero_weights > 0 or s.sigma_w > SMALL_WEIGHTS)
        ),
        lambda s: (
            f"{s.zero_weights:.0%} of the weight matrices are exactly zero, and let no gradient through"
            if s.zero_weights > WITHOUT_GRADIENT
            else f"{s.zero_gradients:.0%} of the weight matrices that train have no gradient, or one of exactly zero"
        ),
    ),
    Rule("zero gradient", lambda s: bool(s.flat), lambda s: s.flat),
    Rule("weights do not move", lambda s: bool(s.severed), lambda s: s.severed, lambda s: "severed"),
    Rule("evaluation mode", lambda s: s.poor and bool(s.layers_evaluate), lambda s: s.layers_evaluate),
)
CAUSES = (
    Rule(
        "inputs not normalised",
        lambda s: (s.slow and (s.input_rms > INPUT_RMS or s.input_offset > INPUT_OFFSET))
        or (s.input_rms > FAR_INPUTS and not s.normalised and s.end > NEARLY_ALL),
        lambda s: f"the inputs have RMS {s.input_rms:.2g} and a mean of {s.input_offset:.2g} standard deviations",
    ),
    Rule(
        "targets not normalised",
        lambda s: (s.slow and s.target_rms > FAR_TARGETS * max(1, s.output_rms))
        or (s.weak and s.target_offset > OFF_CENTRE),
        lambda s: f"the targets have RMS {s.target_rms:.2g}, the outputs of the fresh network {s.output_rms:.2g}"
        + (f"; they lie {s.target_offset:.2g} of their standard deviations from them" if s.target_offset > 1 else ""),
    ),
    Rule(
        "attention logits grow",
        lambda s: s.end > HALVED and s.attention_after > ATTENDS_TO_ONE > s.attention_before,
        lambda s: f"the softmax inside the model was {s.attention_before:.1g} of the way to choosing one entry alone at first, and is "
        f"{s.attention_after:.2g} of it at last",
    ),
    Rule(
        "one answer",
        lambda s: s.left > EARLY and not s.leapt and bool(_one_answer(s)),
        _one_answer,
        _why_alike,
    ),
    Rule(
        "relapse",
        lambda s: (
            s.left > EARLY
            and not s.died
            and s.best < HAD_LEARNT
            and s.lost > LOST
            and s.update < LARGE_UPDATE
            and (s.compared or s.peak > LEAP)
            and not s.moves
            and bool(s.leapt or not s.opponent)
        ),
        _relapsed,
        lambda s: f"leapt {s.leapt}" + (" of Adam" if s.leapt == "update" and s.adam_step > 0 else ""),
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
        lambda s: s.sigma_w < SMALL_WEIGHTS
        and ((s.poor and s.sigma_w < (TINY_WEIGHTS if s.normalised else SMALL_WEIGHTS)) or (s.slow and s.last_hidden_rms < QUIET)),
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
        or (s.weak and _grows(s))
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
        lambda s: f"the first step changed a weight matrix by {s.update:.2g} of its size{_rose(s)}",
    ),
    Rule(
        "init too small",
        lambda s: s.poor
        and s.update < SLEEPERS_UPDATE
        and not s.zero_weights  # behind these signals and gradients are small until they have grown
        and (s.delta_growth < LOST_GRADIENT or s.last_hidden_rms < LOST_SIGNAL),
        lambda s: f"signals of RMS {s.last_hidden_rms:.1g} in the last hidden layer, "
        f"gradients of {s.delta_growth:.1g} x in the first",
    ),
    Rule(
        "weights do not move",
        lambda s: s.slow and s.adam_step < HELD_BY_EPS,
        lambda s: f"Adam's first steps moved the weights by {s.adam_step:.1g} of its rate, where 1 is usual: the gradients lie far below "
        "its eps",
        lambda s: "eps",
    ),
    Rule(
        "learning rate too high",
        lambda s: s.rate != 0
        and not s.runs_away
        and (
            (s.blown and (s.peak_update > SOME_UPDATE or s.grown))
            or ((s.poor or s.stalls) and (s.largest_update > EARLY_UPDATE or _units_died(s)))
            or (s.weak and s.largest_update > WHOLE_UPDATE)
        ),
        lambda s: (
            f"a step changed a weight matrix by {s.peak_update:.2g} of its size{_rose(s)}"
            + (f"; {s.died_units:.0%} of a layer's units died by step {EARLY}" if _units_died(s) else "")
            if s.peak_update > SOME_UPDATE
            else f"what is recorded grew {s.growth:.2g} x over the steps before{_rose(s)}"
        )
        + (f"; {s.died} was not finite" if s.died else ""),
    ),
    Rule("one answer", lambda s: bool(_one_answer(s)), _one_answer, _why_alike),
    Rule(
        "loss summed",
        lambda s: s.blown and s.passes > MICRO_BATCHES and math.isnan(s.loss_scale),
        lambda s: f"{s.passes:.0f} backward passes add up before each step",
        lambda s: "accumulated",
    ),
)  # fmt: skip
