"""One training loop that knows nothing of its model."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from gradutils.schedules import Schedule


@dataclass
class History:
    """What a run left behind: one entry a step."""

    loss: list[float] = field(default_factory=list)
    lr: list[float] = field(default_factory=list)
    grad_norm: list[float] = field(default_factory=list)  # the global norm before any clip
    measured: list = field(default_factory=list)  # what ``measure`` returned, without the Nones
    diverged_at: int | None = None  # the step whose loss or gradient was not finite

    def __len__(self) -> int:
        return len(self.loss)


def train(
    model: nn.Module,
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    batches: Iterable[tuple[Tensor, Tensor]],
    optimizer: torch.optim.Optimizer,
    *,
    max_norm: float | None = None,
    schedule: Schedule | None = None,
    measure: Callable | None = None,
) -> History:
    """One step of the optimizer on each batch (x, y), with ``loss_fn(model(x), y)``; stops where the run diverges.

    ``max_norm`` clips the global gradient norm. ``schedule`` maps the step to a multiplier of each group's learning rate,
    which is put back at the end. ``measure(loss)`` is called after each step, before the gradients are cleared:
    ``measure=recorder.step`` records the run.

    At a loss or a gradient that is not finite the run ends before the weights are touched and says at which step.
    """
    history = History()
    base = [group["lr"] for group in optimizer.param_groups]
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    try:
        for step, (x, y) in enumerate(tqdm(batches, leave=False, delay=2, desc="training")):
            for group, lr in zip(optimizer.param_groups, base, strict=True):
                group["lr"] = lr * schedule(step) if schedule else lr
            optimizer.zero_grad()
            loss = loss_fn(model(x), y)
            loss.backward()
            grads = [p.grad for p in parameters if p.grad is not None]
            norm = nn.utils.get_total_norm(grads)
            history.loss.append(loss.item())
            history.lr.append(optimizer.param_groups[0]["lr"])
            history.grad_norm.append(float(norm))
            if not (math.isfinite(history.loss[-1]) and math.isfinite(history.grad_norm[-1])):
                history.diverged_at = step
            else:
                if max_norm is not None:
                    nn.utils.clip_grads_with_norm_(parameters, max_norm, norm)
                optimizer.step()
            if measure is not None and (value := measure(loss)) is not None:
                history.measured.append(value)
            if history.diverged_at is not None:
                break
    finally:
        for group, lr in zip(optimizer.param_groups, base, strict=True):
            group["lr"] = lr
    return history
