"""What a recording says outright: exact signs, each in a sentence with its numbers, or "" where there is nothing to say.

A part that is frozen on purpose is no fault: only parameters with ``requires_grad`` are looked at. Records between two steps of the
optimizer, where a loop tells every micro-batch, say nothing of updates and are left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gradutils.recorder.recording import NonFinite, Recording
from gradutils.recorder.threshold import Threshold

NEAR_THE_END_OF_FLOATS = 1e30  # single precision ends at 3e38, and is not reached in one leap
SHOWN = 3  # names
ENOUGH = 10  # records in which something never happens
FEW_DIGITS = ("float16", "bfloat16")
MOST = Threshold(0.9, well=0, ill=1)  # of the records, or of the parameters
GREW = Threshold(100, well=1.6, ill=4.5e18)
SCALED = 8000  # no loss is multiplied by this much in single precision


@dataclass(frozen=True)
class Facts:
    """What needs no statistics."""

    order: str  # how step() was called out of place
    misfit: str  # how the loss and the outputs do not fit
    unregistered: str
    model_evaluates: str  # the whole model was in evaluation mode
    layers_evaluate: str  # some layers with weights that train were
    stale: bool
    still: float  # share of the records in which no weight moved
    unmoved: str  # no weight moves, and why
    unmoved_by: str  # the reason as a key of ``words.MENDS``
    stuck: str  # some never move, since their numbers have too few digits
    forgotten: str  # some have gradients and are in no optimizer
    severed: str  # some never have one, though their layers were called and an optimizer holds them
    flat: str  # some, or all, have gradients of exactly zero at every step
    stopped: str  # they moved, and no longer do
    died: str  # the first number that was not finite, with its step; "" where the run went on
    bad: NonFinite | None  # the same; None where the run went on
    broken: str  # where it was born
    broken_by: str  # the reason as a key of ``words.MENDS``
    growth: float  # of what grew most: its last size before the end, or before that number, / the usual one
    grown: bool  # so much that the growth is the cause, and not the place
    half: bool  # something is float16, or the loss is scaled as it is for that
    loss_scale: float
    opponent: bool  # an optimizer of other parameters steps as often: two players, perhaps, of whom each one's loss says little
    passes: float  # that go backward for one step of the optimizer
    summed: bool
    unknown_loss: bool  # then only its size can tell whether it is summed


def read_facts(recording: Recording) -> dict:
    """The fields of ``Facts``."""
    bad = _end_of_the_run(recording)
    reason, broken = _broken(recording, bad) if bad else ("", "")
    stepped = recording.optimizer_steps
    counted = stepped != 0 if (stepped > 0).any() else torch.ones(len(recording), dtype=torch.bool)
    # Between two steps of the optimizer gradients are kept on purpose.
    stale = recording.stale[1:] & counted[:-1]
    return {
        "order": recording.order,
        "misfit": recording.misfit,
        "unregistered": _unregistered(recording),
        **_evaluating(recording),
        "stale": bool(stale.any()),
        **_motion(recording, counted, bad),
        "died": f"{bad} at step {bad.step}" if bad else "",
        "bad": bad,
        "broken": broken,
        "broken_by": reason,
        **_growth(recording, bad),
        "half": "float16" in (*recording.dtypes, *recording.layer_dtypes)
        or (recording.loss_scale > SCALED and not recording.loss_summed),
        "loss_scale": recording.loss_scale,
        "opponent": any(recording.held) and 2 * recording.foreign_steps > len(recording.loss_curve),
        "passes": recording.passes[counted].double().median().item() if counted.any() else 1.0,
        "summed": recording.loss_summed,
        "unknown_loss": recording.loss_kind == "unknown",
    }


def _unregistered(recording: Recording) -> str:
    paths = recording.unregistered
    if not paths:
        return ""
    return f"{_some(paths)} get gradients, but model.parameters() does not hold them, and nothing moves them"


def _some(names: Sequence[str]) -> str:
    """The first names of several."""
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _evaluating(recording: Recording) -> dict:
    """Which layers normalised or dropped as they do in evaluation, while the model trained."""
    trained = {
        name.rpartition(".")[0]
        for name, on in zip(recording.parameters, recording.trainable, strict=True)
        if on
    }
    owners = {name.rpartition(".")[0] for name in recording.parameters}
    layers = {
        name: n
        for name, n in recording.evaluating.items()
        if name and (name in trained or name not in owners)
    }
    whole, records = recording.evaluating.get("", 0), len(recording)
    said = f"{_some(list(layers))}, which normalise or drop"
    most = max(layers.values(), default=0)
    return {
        "model_evaluates": f"the model was in evaluation mode in {whole} of {records} training steps, and with it {said}"
        if whole and layers
        else "",
        "layers_evaluate": f"{_some(list(layers))} stood in evaluation mode in {most} of {records} training steps"
        if layers and not whole
        else "",
    }


def _motion(recording: Recording, counted: Tensor, bad: NonFinite | None) -> dict:
    """Which parameters do not move though they should, and what holds them."""
    none = dict.fromkeys(("unmoved", "unmoved_by", "stuck", "forgotten", "severed", "flat", "stopped"), "")
    none |= {"still": 0.0}
    mine = torch.tensor(recording.trainable, dtype=torch.bool)
    before = counted & (recording.steps < bad.step) if bad else counted
    if recording.order or not mine.any() or before.sum() < 2:
        return none
    moved, gradient = recording.update_norm[before][:, mine] != 0, recording.grad_norm[before][:, mine]
    still = ~moved.any(1)
    pulled = (gradient > 0) & gradient.isfinite()  # a gradient that is there, and a number
    steps, held = recording.steps[before], torch.tensor(recording.held, dtype=torch.bool)[mine]
    none["still"] = still.double().mean().item()
    zero = (gradient == 0).all(0) & _alone(recording, mine, gradient)
    if zero.any() and len(gradient) >= ENOUGH:
        first = [name for name, on in zip(recording.parameters, mine, strict=True) if on][
            int(zero.int().argmax())
        ]
        which = (
            "all parameters"
            if zero.all()
            else f"{int(zero.sum())} of {len(zero)} parameters, {first} the first,"
        )
        nothing = ", and so is the loss" if not recording.loss[before].any() else ""
        none["flat"] = f"the gradient of {which} is exactly zero at each of {len(gradient)} steps{nothing}"
    if none["still"] >= MOST:
        reason, said = _why_nothing_moves(recording, before, still, gradient, pulled)
        return none | {"unmoved": said, "unmoved_by": reason}
    often = pulled.double().mean(0) >= MOST
    never = often & ~moved.any(0)
    low = torch.tensor([d in FEW_DIGITS for d, on in zip(recording.dtypes, mine, strict=True) if on])
    loose = never & ~held & bool(held.any())
    stuck = never & low & ~loose
    found = dict(none)
    if stuck.any():
        kind = next(d for d in recording.dtypes if d in FEW_DIGITS)
        found["stuck"] = (
            f"{int(stuck.sum())} of {int(often.sum())} parameters with gradients never move: in {kind} their updates are "
            "smaller than the last digit of the weight and are rounded away"
        )
    if loose.any():
        names = [name for name, on in zip(recording.parameters, mine, strict=True) if on]
        first = next(name for name, out in zip(names, loose, strict=True) if out)
        found["forgotten"] = (
            f"{int(loose.sum())} of {int(often.sum())} parameters with gradients are in no optimizer, {first} the first"
        )
    cut = gradient.isnan().all(0) & held & _called(recording)[mine]
    if cut.any() and pulled.any() and len(gradient) >= ENOUGH:
        names = [name for name, on in zip(recording.parameters, mine, strict=True) if on]
        found["severed"] = (
            f"{int(cut.sum())} of {len(cut)} parameters, {names[int(cut.int().argmax())]} the first, never have a gradient, though "
            "their layers were called and an optimizer holds them: nothing leads from there to the loss"
        )
    last = int((~still).nonzero().max())
    if (
        2 * steps[last] < recording.loss_steps[-1]
        and last + 1 < len(still)
        and pulled[last + 1 :].any(1).all()
    ):
        rate = recording.lr[before][last + 1 :]
        why = "the learning rate is 0" if (rate == 0).all() else "though gradients are there"
        found["stopped"] = f"no weight moves from step {int(steps[last + 1])} on: {why}"
    return found


def _alone(recording: Recording, mine: Tensor, gradient: Tensor) -> Tensor:
    """Which parameters have no neighbour in their layer to which gradients come: a bias may cancel where outputs are subtracted."""
    owners = [name.rpartition(".")[0] for name, on in zip(recording.parameters, mine, strict=True) if on]
    reached = {owner for owner, some in zip(owners, (gradient > 0).any(0), strict=True) if some and owner}
    return torch.tensor([owner not in reached for owner in owners], dtype=torch.bool)


def _called(recording: Recording) -> Tensor:
    """Which parameters belong to a layer that was called, (P,) bool."""
    layers = set(recording.layers)
    return torch.tensor(
        [name.rpartition(".")[0] in layers for name in recording.parameters], dtype=torch.bool
    )


def _why_nothing_moves(
    recording: Recording, before: Tensor, still: Tensor, gradient: Tensor, pulled: Tensor
) -> tuple[str, str]:
    """The reason and a sentence; both "" where the gradients are zero or no numbers, which other rules tell."""
    rate, kinds = (
        recording.lr[before],
        {d for d, on in zip(recording.dtypes, recording.trainable, strict=True) if on},
    )
    head = f"no weight moved in {int(still.sum())} of {len(still)} steps"
    if gradient[still].isnan().all():
        return (
            "cut",
            f"{head}, and no parameter has a gradient: the graph is cut between the weights and the loss",
        )
    if not pulled[still].any():
        return "", ""
    size = gradient[still].nan_to_num(nan=0.0, posinf=0.0).square().sum(1).sqrt().median().item()
    head = f"{head}, though gradients of norm {size:.2g} are there"
    if recording.foreign_steps and not any(recording.held):
        n = recording.foreign_steps
        return (
            "another optimizer",
            f"{head}: an optimizer stepped {n} times, and holds none of this model's parameters",
        )
    if (rate == 0).all():
        return "rate", f"{head}: the learning rate is 0"
    if (recording.optimizer_steps[before] <= 0).all():
        return "no step", f"{head}: no optimizer of torch took a step"
    if kinds <= set(FEW_DIGITS):
        digit = f"in {' and '.join(sorted(kinds))} the updates are smaller than the last digit of the weights"
        return "digits", f"{head}: {digit}"
    known = rate[rate.isfinite()]
    at = f" at a rate of {known.median():.2g}" if len(known) else ""
    return "small", f"{head}: the updates are rounded away{at}, or something puts the weights back"


def _end_of_the_run(recording: Recording) -> NonFinite | None:
    """The first number that was not finite; None where the run went on: a step that was skipped, a mask of infinities."""
    last = [
        recording.grad_norm[-1],
        recording.delta_norm[-1],
        recording.update_norm[-1],
        recording.weight_norm[-1],
    ]
    goes_on = recording.loss[-1].isfinite() and not any(v.isinf().any() for v in last)
    return None if goes_on else recording.first_nonfinite


def _growth(recording: Recording, bad: NonFinite | None) -> dict:
    """Whether what is recorded grew far beyond its scale before it broke."""
    upto = recording.steps <= bad.step if bad else recording.steps >= 0
    rms = (recording.activation_mean.square() + recording.activation_std.square()).sqrt()
    sizes = [v[upto] for v in (rms, recording.delta_norm, recording.grad_norm, recording.weight_norm)]
    sizes.append(recording.loss[upto].abs().unsqueeze(1))
    whole = [v.nan_to_num(nan=0.0, posinf=0.0).square().sum(1).sqrt() for v in sizes]
    growth = max(_times_usual(v) for v in whole)
    huge = max(_largest(v) for v in sizes) > NEAR_THE_END_OF_FLOATS**0.5
    # One step that changes a matrix by more than its size needs no growth before it.
    matrices = [k for k, shape in enumerate(recording.shapes) if len(shape) > 1]
    whole_update = _largest(recording.update_ratio[upto][-2:, matrices]) > 1
    return {"growth": growth, "grown": bad is not None and (huge or whole_update or growth > GREW)}


def _times_usual(sizes: Tensor) -> float:
    """The size before the last over the middle one of those before it; 1 where there are too few."""
    if len(sizes) <= 2:
        return 1.0
    usual = sizes[:-2].median().item()
    return sizes[-2].item() / usual if usual > 0 else 1.0


def _largest(values: Tensor) -> float:
    return values.where(values.isfinite(), 0.0).max().item() if values.numel() else 0.0


def _broken(recording: Recording, bad: NonFinite) -> tuple[str, str]:
    """Where the first number that is none was born: a key of ``words.MENDS``, and in words."""
    step, where = bad.step, bad.where
    r = int((recording.steps == step).int().argmax())
    weights = recording.weight_norm[r]
    if bad.what != "input" and weights.isinf().any():
        first = recording.parameters[int(weights.isinf().int().argmax())]
        if not r:
            return "weights", f"{first} holds numbers that are not finite before the first step"
        losses = recording.loss_steps[~recording.loss_curve.isfinite()]
        seen = (
            f"the loss of step {int(losses[0])} is the first that is not finite"
            if len(losses)
            else f"seen at step {step}"
        )
        return (
            "between",
            f"{first} broke after step {int(recording.steps[r - 1])}, at a step that was not recorded: {seen}",
        )
    after = ""
    if bad.what == "activation" and (k := recording.layers.index(where)):
        after = f", or between it and {recording.layers[k - 1]}"
    said = {
        "input": f"the inputs of step {step} hold numbers that are not finite",
        "activation": f"the output of {where} is not finite at step {step}, though the weights, the inputs and all outputs "
        f"before it are: an operation inside {where}{after} breaks",
        "loss": f"the loss of step {step} is not finite, though the model's outputs are",
        "delta": f"on the way back at step {step} the gradient of {where}'s output is not finite, though the loss is",
        "gradient": f"at step {step} the gradient of {where} is not finite, though the gradients of the outputs are",
        "update": f"the optimizer's step {step} made {where} not finite, from a gradient that was finite",
    }
    return bad.what, said[bad.what]
