"""A recording of a training run: plain data, read by people, by figures and by ``diagnose``."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from gradutils.recorder.files import read, write


class NonFinite(NamedTuple):
    """The first number that was not finite: its step, its kind (input, activation, loss, delta, gradient or update) and where it is."""

    step: int
    what: str
    where: str  # a layer; of a gradient or an update the parameter; of an input or a loss the same word

    def __str__(self) -> str:
        return f"the {self.what}" if self.what in ("input", "loss") else f"the {self.what} of {self.where}"


@dataclass(frozen=True)
class Recording:
    """What a recorder saw, in ``R`` records of ``P`` parameters and ``L`` layers, float64 where nothing else is said.

    NaN stands where there was nothing to measure, infinity for a norm of what was not finite. A layer is a module
    that was called and has no children, or has parameters of its own. The *samples* of its output are the first axis, and for
    (batch, time, units) the first two; its *units* are all other axes.
    """

    steps: Tensor  # (R,) int64
    loss: Tensor  # (R,)
    lr: Tensor  # (R,) as given to step(), or as torch's optimizer has it
    # The loss of every step, also of those that were not recorded: the newest hundred thousand, (S,).
    loss_steps: Tensor  # (S,) int64
    loss_curve: Tensor  # (S,)
    passes: Tensor  # (R,) int64: backward passes through the model since the step before
    optimizer_steps: (
        Tensor  # (R,) int64: of torch's optimizers that hold a parameter of the model; -1 where none was seen
    )
    input_rms: (
        Tensor  # (R,) of the model's first floating-point input; infinite where any input is not finite
    )
    input_mean: Tensor  # (R,)
    # The model's outputs, and the targets where a squared error tells them. A spread is the RMS about the mean over the samples.
    output_mean: Tensor  # (R,)
    output_rms: Tensor  # (R,)
    output_spread: Tensor  # (R,)
    target_mean: Tensor  # (R,)
    target_rms: Tensor  # (R,)
    target_spread: Tensor  # (R,)
    constant_loss: Tensor  # (R,) of the best constant answer, on this record's own batch; NaN if unknown
    top_answer: Tensor  # (R,) share of the batch that is given the commonest class
    top_target: Tensor  # (R,) share of the batch that has the commonest class
    stale: Tensor  # (R,) bool: gradients of an earlier step were still there when the backward pass began
    parameters: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    grad_norm: Tensor  # (R, P)
    grad_cosine: (
        Tensor  # (R,) between the gradients of this step and the step before, of all parameters; if asked for
    )
    weight_norm: Tensor  # (R, P) before the step
    update_norm: Tensor  # (R, P) of the change that the step made
    layers: tuple[str, ...]  # in the order of their first calls
    kinds: tuple[str, ...]  # their classes' names
    calls: tuple[int, ...]  # in one forward pass
    activation_mean: Tensor  # (R, L) over samples and units
    activation_std: Tensor  # (R, L) over samples and units
    zero_fraction: Tensor  # (R, L) outputs that are exactly zero; not for affine and normalisation layers
    dead_fraction: Tensor  # (R, L) units that are zero for every sample; likewise
    saturated_fraction: Tensor  # (R, L) outputs within 0.05 of a bound of the activation
    separation: Tensor  # (R, L) 1 - |mean h|^2 / mean |h|^2 over the samples: 0 where all look alike; not of one sample
    delta_norm: Tensor  # (R, L) |dL/dz|, z the output of a layer with parameters, over all its calls
    # A loop through time is a layer called many times; these are of its first call alone and of its last.
    first_call_delta: Tensor  # (R, L)
    last_call_delta: Tensor  # (R, L)
    loss_kind: str  # "cross entropy", "binary cross entropy", "squared error" or "unknown"
    loss_summed: bool  # over the batch, instead of averaged
    loss_scale: float  # what the mean loss was multiplied by on its way back; NaN if unknown
    misfit: str  # how the outputs and the loss do not fit, in words; "" where nothing of the kind was seen
    order: str  # that step() was called at another place than after the optimizer's step, in words; or ""
    dtypes: tuple[str, ...]  # of the parameters: "float32", ...
    layer_dtypes: tuple[str, ...]  # of the layers' outputs
    trainable: tuple[bool, ...]  # whether a parameter asks for a gradient
    held: tuple[bool, ...]  # whether one of torch's optimizers that made a step holds it
    optimizer: str  # the class of that optimizer; "" if none was seen
    foreign_steps: int  # steps of optimizers that hold no parameter of the model
    evaluating: dict[
        str, int
    ]  # norm or dropout layer (the model itself: "") -> records in which it trained in eval mode
    unregistered: tuple[
        str, ...
    ]  # modules and parameters that have gradients, are moved by nobody and not known to the model
    spectral_norms: dict[str, float]  # the largest singular value of each recurrent weight at the start
    dropped: int  # records lost because the ring wrapped

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def update_ratio(self) -> Tensor:
        """|change| / |weight before|, (R, P); infinite where a zero weight changed, or the change is not finite."""
        return (self.update_norm / self.weight_norm).where(self.update_norm.isfinite(), torch.inf)

    @property
    def trivial_loss(self) -> float:
        """The loss of the best answer that ignores the input, over the run; NaN if unknown."""
        known = self.constant_loss[self.constant_loss.isfinite()]
        return known.mean().item() if len(known) else math.nan

    @property
    def total_grad_norm(self) -> Tensor:
        """The norm of all gradients together, (R,)."""
        return self.grad_norm.nan_to_num(nan=0.0, posinf=torch.inf).square().sum(1).sqrt()

    @property
    def first_nonfinite(self) -> NonFinite | None:
        """The first number that was not finite, in the order in which a step computes them; None if all were."""
        last_first = torch.arange(len(self.layers) - 1, -1, -1, device="cpu")
        for r in range(len(self)):
            for what, bad, names in (
                ("input", self.input_rms[r : r + 1].isinf(), ("input",)),
                ("activation", self.activation_std[r].isinf(), self.layers),
                ("loss", ~self.loss[r : r + 1].isfinite(), ("loss",)),
                ("delta", self.delta_norm[r].isinf()[last_first], self.layers[::-1]),
                ("gradient", self.grad_norm[r].isinf(), self.parameters),
                ("update", self.update_norm[r].isinf(), self.parameters),
            ):
                if bad.any():
                    return NonFinite(int(self.steps[r]), what, names[int(bad.int().argmax())])
        return None

    def to_dict(self) -> dict:
        """Everything as plain numbers, strings, lists and dictionaries."""
        return {name: v.tolist() if isinstance(v, Tensor) else v for name, v in vars(self).items()}

    def save(self, path: str | Path) -> None:
        """Write an npz file; a crash on the way leaves an older file of that name as it was."""
        write(Path(path), vars(self))

    @classmethod
    def load(cls, path: str | Path) -> "Recording":
        """Read what ``save`` wrote. Raises OSError where the file cannot be opened, ValueError for any other file."""
        return cls(**read(Path(path)))

    def summary(self) -> str:
        """The run in a few lines of text."""
        if not len(self):
            return "Nothing was recorded: call recorder.step(loss) after each optimizer.step()."
        ratio, row = self.update_ratio.nan_to_num(nan=-1.0, posinf=-1.0), len(self.parameters)
        lines = [
            f"{len(self)} records of steps {self.steps[0]} to {self.steps[-1]}, {row} parameters, {len(self.layers)} layers"
            + (f"; {self.dropped} older records were overwritten" if self.dropped else ""),
            f"loss           {self.loss[0]:.3g} at first, {self.loss[-1]:.3g} at last",
            f"gradient norm  {self.total_grad_norm[0]:.3g} at first, {self.total_grad_norm[-1]:.3g} at last",
        ]
        if row and ratio.max() >= 0:
            # A bias that starts at zero has no size yet to compare its change with.
            matrices = torch.tensor([len(shape) > 1 for shape in self.shapes], device="cpu")
            if matrices.any() and ratio[:, matrices].max() >= 0:
                ratio = ratio.where(matrices, -1.0)
            r, p = divmod(int(ratio.argmax()), row)
            lines.append(
                f"largest update {ratio[r, p]:.3g} of the weight: {self.parameters[p]}, step {self.steps[r]}"
            )
        delta = self.delta_norm[0][~self.delta_norm[0].isnan()] if len(self.layers) else []
        if len(delta) > 1:
            lines.append(f"delta          first layer / last {delta[0] / delta[-1]:.3g} at first")
        for name, what in (("dead_fraction", "dead units"), ("saturated_fraction", "saturated")):
            last = getattr(self, name)[-1].nan_to_num(nan=0.0)
            if len(last) and last.max() > 0:
                lines.append(f"{what:<14} {last.max():.0%} of {self.layers[int(last.argmax())]} at last")
        if self.stale.any():
            lines.append(
                f"not cleared    gradients were stale in {int(self.stale.sum())} of {len(self)} records"
            )
        bad = self.first_nonfinite
        lines.append(f"not finite     {f'{bad}, step {bad.step}' if bad else 'never'}")
        return "\n".join(lines)
