"""What the first step tells of the loss: which it is, whether it is summed, and what a constant answer would lose.

The kind is read off the node of autograd's graph that computed the loss, the targets off the gradient of the model's output. A
function mode of torch would see the loss being called, arguments and all. But whoever leaves a mode of their own while ours is on
ends ours in its place, and some layers compute otherwise under any mode: training would no longer be the same bit for bit.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from gradutils.recorder.torch_inside import loss_of


class Loss(NamedTuple):
    """What is known of the loss of a recording."""

    kind: str = "unknown"  # or "cross entropy", "binary cross entropy", "squared error"
    summed: bool = False
    trivial: float = math.nan  # of an answer that ignores the input: all classes alike, or the targets' mean


@torch.no_grad()
def tell(loss: Tensor | float, out: Tensor | None, delta: Tensor | None) -> Loss:
    """What is known of a loss, given the model's output and the gradient that reached it."""
    kind, summed = loss_of(getattr(loss, "grad_fn", None))
    if kind == "unknown" or out is None or delta is None or out.ndim == 0:
        return Loss(summed=summed)
    if kind == "binary cross entropy":
        return Loss(kind, summed, math.log(2) * (out.numel() if summed else 1))
    if kind == "squared error":
        return Loss(kind, summed, _spread(float(loss), summed, out, delta))
    classes = _classes(delta)
    if classes is None:
        return Loss(summed=summed)
    return Loss(kind, summed, math.log(classes) * (out.numel() / classes if summed else 1))


def _classes(delta: Tensor) -> int | None:
    """How many classes there are: softmax minus one-hot sums to zero over them, so they are found wherever they stand."""
    dims = [d for d in range(1, delta.ndim) if delta.sum(d).abs().max() < 1e-3 * delta.abs().sum(d).max()]
    return delta.shape[dims[0]] if len(dims) == 1 else None


def _spread(loss: float, summed: bool, out: Tensor, delta: Tensor) -> float:
    """The square of the targets about their mean, which the best constant loses; NaN where they cannot be told.

    The targets are gone by now, but the outputs' gradient 2 (out - y) / numel tells what they were, unless it was scaled.
    """
    out, delta = out.to("cpu", torch.float64), delta.to("cpu", torch.float64)
    y = out - delta / 2 * (1 if summed else out.numel())
    total, spread = (out - y).square(), (y - y.mean(0)).square()
    total, spread = ((v.sum() if summed else v.mean()).item() for v in (total, spread))
    return spread if abs(total - loss) < 0.01 * abs(loss) and spread > 1e-6 * total else math.nan
