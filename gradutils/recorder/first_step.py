"""What the first step tells of the loss: which it is, whether it is summed, and what a constant answer would lose."""

import inspect
import math
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from gradutils.recorder.torch_inside import in_transform, take_off

KEPT = 64  # calls of a loss function: who accumulates gradients has many before the first step
# Every loss of torch.nn.functional: what it is called with tells its reduction and its targets.
LOSSES = {
    function: inspect.signature(function)
    for name, function in vars(F).items()
    if not name.startswith("_")
    and inspect.isfunction(function)
    and {"target", "reduction"} <= inspect.signature(function).parameters.keys()
}


class Loss(NamedTuple):
    """What is known of the loss of a recording."""

    kind: str = "unknown"  # or "cross entropy", "binary cross entropy", "squared error"
    summed: bool = False
    trivial: float = math.nan  # of an answer that ignores the input: all classes alike, or the targets' mean


class Call(NamedTuple):
    """One call of a loss function: its result and, without their graphs, its arguments by name."""

    function: Callable
    arguments: dict
    result: Tensor


class LossListener(TorchFunctionMode):
    """Sees torch's own loss functions being called, from ``listen`` until ``rest``; changes nothing of what they do."""

    def __init__(self):
        super().__init__()
        self._calls: deque[Call] = deque(maxlen=KEPT)
        self._listening = False

    def listen(self) -> None:
        if not self._listening:
            self._listening = True
            self.__enter__()

    def rest(self) -> None:
        if self._listening:
            self._listening = False
            take_off(self)
        self._calls.clear()

    def __torch_function__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if (
            not torch.compiler.is_compiling()
            and function in LOSSES
            and self._listening
            and not in_transform()
        ):
            given = LOSSES[function].bind(*args, **(kwargs or {}))
            given.apply_defaults()
            kept = {k: v.detach() if isinstance(v, Tensor) else v for k, v in given.arguments.items()}
            self._calls.append(Call(function, kept, result))
        return result

    @torch.no_grad()
    def tell(self, loss: Tensor | float) -> Loss:
        """What is known of a loss that was among the calls; it may come without its graph, or as a number."""
        return next((_told_by(call) for call in reversed(self._calls) if _is(call.result, loss)), Loss())


def _is(result: Tensor, loss: Tensor | float) -> bool:
    if isinstance(loss, Tensor) and loss.grad_fn is not None:
        return result.grad_fn is loss.grad_fn
    return result.numel() == 1 and float(result) == float(loss)


def _told_by(call: Call) -> Loss:
    given, summed = call.arguments, call.arguments["reduction"] == "sum"
    if call.function not in KINDS or given["reduction"] == "none":
        return Loss(summed=summed)
    kind, trivial = KINDS[call.function]
    return Loss(kind, summed, trivial(given) * (_terms(call) if summed else 1))


def _terms(call: Call) -> int:
    """How many errors are added up: one an image, pixel or token for a cross entropy, one a number for the others."""
    out, target = call.arguments["input"], call.arguments["target"]
    if KINDS[call.function][0] != "cross entropy":
        return math.prod(torch.broadcast_shapes(out.shape, target.shape))
    if target.is_floating_point():  # probabilities of the classes, in place of their numbers
        return target.numel() // _classes(out)
    return int((target != call.arguments["ignore_index"]).sum())


def _classes(out: Tensor) -> int:
    """Of scores (N, C, ...), or of one sample, (C,)."""
    return out.shape[1] if out.ndim > 1 else out.shape[0]


def _spread(given: dict) -> float:
    """The mean square of the targets about their mean, which the best constant loses; NaN where they are all alike."""
    out, y = torch.broadcast_tensors(*(given[name].to("cpu", torch.float64) for name in ("input", "target")))
    spread, lost = (y - y.mean(0)).square().mean().item(), (out - y).square().mean().item()
    return spread if spread > 1e-6 * lost else math.nan


# Its kind, and what an answer that ignores the input loses on average.
KINDS: dict[Callable, tuple[str, Callable[[dict], float]]] = {
    F.cross_entropy: ("cross entropy", lambda given: math.log(_classes(given["input"]))),
    F.nll_loss: ("cross entropy", lambda given: math.log(_classes(given["input"]))),
    F.binary_cross_entropy: ("binary cross entropy", lambda given: math.log(2)),
    F.binary_cross_entropy_with_logits: ("binary cross entropy", lambda given: math.log(2)),
    F.mse_loss: ("squared error", _spread),
}
