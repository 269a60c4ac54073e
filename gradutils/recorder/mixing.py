"""Before training: does one sample's output depend on another sample's input? No recording tells, and one backward pass does.

A ``view`` in place of a transpose, or a softmax over the batch's axis, trains without an error and without learning. BatchNorm mixes
on purpose and is put aside.
"""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gradutils.recorder.outputs import first_tensor

NOISE = 1e-6  # where samples are kept apart the gradient is exactly zero
ASKED = 3  # samples: the first, the middle one and the last


@dataclass(frozen=True)
class Mixing:
    """Whether samples mix, and how much: ``share`` is the part of an output's gradient that lies on the inputs of other samples."""

    mixes: bool
    share: float
    sentence: str

    def __str__(self) -> str:
        return self.sentence


def mixes_samples(
    model: nn.Module, batch: Tensor | tuple | list | dict, *, dim: int = 0, output_dim: int | None = None
) -> Mixing:
    """Whether the output of one sample depends on the inputs of others, by the gradient.

    ``batch`` is what the model is called with: a tensor, a tuple or list of arguments, or a dictionary of named ones, without the
    targets. Samples lie along ``dim`` of the inputs and ``output_dim`` of the outputs (the same, if nothing is said); tensors that have
    no such axis of that size, such as a mask for all samples, are passed on as they are. Of integers the outputs of the embeddings are asked.
    The model runs in the mode it is in, with BatchNorm in evaluation mode; it is left as it was, gradients, buffers and the state
    of the random numbers included. Raises TypeError for what is no module or no batch, ValueError where nothing can be told.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be an nn.Module; got {type(model).__name__}")
    args, kwargs = _arguments(batch)
    values = [*args, *kwargs.values()]
    samples = _samples(values, dim)
    sources = [v.detach().clone().requires_grad_() if _is_batch(v, dim, samples) else v for v in values]
    args, kwargs = tuple(sources[: len(args)]), dict(zip(kwargs, sources[len(args) :], strict=True))
    asked = [(v, dim) for v in sources if _is_batch(v, dim, samples)]
    integers = [v for v in values if isinstance(v, Tensor) and not v.is_floating_point()]
    with _as_before(model), torch.enable_grad(), _embeddings(model, integers, dim, samples) as embedded:
        out = first_tensor(model(*args, **kwargs))
        asked += embedded
        if not asked:
            raise ValueError(
                "the inputs are integers, and no nn.Embedding took them: there is no gradient to look at"
            )
        shares = _shares(
            out, _axis_of_samples(out, dim if output_dim is None else output_dim, samples), asked, samples
        )
    share = max(shares)
    if share > NOISE:
        said = (
            f"Samples mix: {share:.0%} of the gradient of one sample's output lies on the inputs of other samples. Look for a "
            "view or reshape that should be a transpose, and for a softmax, a norm or a mean over the samples' axis."
        )
        return Mixing(True, share, said.replace(" 0% ", " less than 1% "))
    return Mixing(False, share, "Samples do not mix: the output of a sample depends on its own input alone.")


def _arguments(batch) -> tuple[tuple, dict]:
    if isinstance(batch, Tensor):
        return (batch,), {}
    if isinstance(batch, dict):
        return (), dict(batch)
    if isinstance(batch, tuple | list):
        return tuple(batch), {}
    raise TypeError(
        f"batch must be a tensor, or a tuple, list or dictionary of what the model takes; got {type(batch).__name__}"
    )


def _samples(values: list, dim: int) -> int:
    """How many there are: as many as the first tensor with such an axis has."""
    tensors = [v for v in values if isinstance(v, Tensor) and -v.ndim <= dim < v.ndim]
    if not tensors:
        raise ValueError(f"the batch holds no tensor with an axis {dim}")
    samples = tensors[0].shape[dim]
    if samples < 2:
        raise ValueError(
            f"a batch of at least 2 samples is needed; axis {dim} of the first tensor has {samples}"
        )
    return samples


def _is_batch(value, dim: int, samples: int) -> bool:
    """A floating-point tensor with a row for every sample."""
    there = isinstance(value, Tensor) and value.is_floating_point() and -value.ndim <= dim < value.ndim
    return there and value.shape[dim] == samples


@contextlib.contextmanager
def _embeddings(
    model: nn.Module, integers: list[Tensor], dim: int, samples: int
) -> Iterator[list[tuple[Tensor, int]]]:
    """While it lasts, what embeddings make of the batch's integers is gathered, with the axis of the samples."""
    found, handles = [], []
    shapes = {v.shape: dim % v.ndim for v in integers if -v.ndim <= dim < v.ndim and v.shape[dim] == samples}
    shapes |= {
        shape[::-1]: len(shape) - 1 - axis for shape, axis in shapes.items() if shape[::-1] not in shapes
    }

    def see(module, args, out):
        axis = shapes.get(args[0].shape)  # positions, which all samples share, have another shape
        if axis is None:
            return None
        out = out.detach().requires_grad_()
        found.append((out, axis))
        return out

    try:
        for module in model.modules():
            if shapes and isinstance(module, nn.Embedding):
                handles.append(module.register_forward_hook(see))
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _axis_of_samples(out: Tensor | None, dim: int, samples: int) -> int:
    if out is None:
        raise ValueError("the model's output holds no floating-point tensor")
    if -out.ndim <= dim < out.ndim and out.shape[dim] == samples:
        return dim % out.ndim
    axes = [k for k, size in enumerate(out.shape) if size == samples]
    if len(axes) != 1:
        shape = tuple(out.shape)
        raise ValueError(
            f"which axis of the output, of shape {shape}, holds the {samples} samples? Say output_dim=..."
        )
    return axes[0]


def _shares(out: Tensor, axis: int, asked: list[tuple[Tensor, int]], samples: int) -> list[float]:
    """Of some samples: the norm of the gradient on other samples' inputs over that on all."""
    if out.grad_fn is None:
        raise ValueError("the model's output has no gradient: it is detached, or computed under no_grad")
    generator = torch.Generator().manual_seed(0)  # of its own, so no other random number changes
    direction = torch.randn(out.select(axis, 0).shape, generator=generator).to(out)
    shares = []
    for k in sorted({0, samples // 2, samples - 1})[:ASKED]:
        target = (out.select(axis, k) * direction).sum()
        gradients = torch.autograd.grad(target, [v for v, _ in asked], retain_graph=True, allow_unused=True)
        others = everything = 0.0
        for gradient, (_, dim) in zip(gradients, asked, strict=True):
            if gradient is not None:
                rows = gradient.double().movedim(dim, 0).flatten(1).square().sum(1)
                everything += rows.sum().item()
                rows[k] = 0  # a difference of two sums would leave noise
                others += rows.sum().item()
        if not math.isfinite(everything):
            raise ValueError("the gradient of the output holds numbers that are not finite: mend these first")
        if everything:
            shares.append(math.sqrt(others / everything))
    if not shares:
        raise ValueError(
            "the outputs do not depend on the inputs: the last weights may be zero, or units dead. Train a step first"
        )
    return shares


@contextlib.contextmanager
def _as_before(model: nn.Module) -> Iterator[None]:
    """While it lasts BatchNorm uses no batch; afterwards modes, buffers and the state of the random numbers are as they were."""
    modes = [(module, module.training) for module in model.modules()]
    buffers = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    norms = [module for module in model.modules() if "BatchNorm" in type(module).__name__]
    without = [
        m for m in norms if getattr(m, "running_mean", 0) is None
    ]  # these ask the batch in evaluation, too
    devices = sorted({p.device.index for p in model.parameters() if p.device.type == "cuda"})
    with torch.random.fork_rng(devices):
        try:
            for norm in norms:
                norm.training = False
            for norm in without:
                some = next(iter(norm.parameters()), torch.empty(0))
                norm.running_mean, norm.running_var = (
                    some.new_zeros(norm.num_features),
                    some.new_ones(norm.num_features),
                )
            yield
        finally:
            for norm in without:
                norm.running_mean = norm.running_var = None
            for module, training in modes:
                module.training = training
            with torch.no_grad():
                for buffer, was in buffers:
                    if not torch.equal(buffer, was):
                        buffer.copy_(was)
