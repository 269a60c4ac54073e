"""One training loop that knows nothing of its model, and one that trains many small networks at once."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from gradutils.data import Digits
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


@dataclass
class ManyRuns:
    """What N networks trained together left behind."""

    loss: Tensor  # (steps, N), of each step's batch
    accuracy: Tensor  # (len(at), N), on the test set


def train_many(
    phi: Callable[[Tensor], Tensor],
    weights: list[Tensor],
    data: Digits,
    lr: float | Tensor,
    *,
    biases: list[Tensor] | None = None,
    steps: int = 200,
    at: tuple[int, ...] = (),
    batch: int = 32,
    adam: bool = False,
    seed: int = 0,
) -> ManyRuns:
    """Train N plain networks at once with cross-entropy: a layer's weight is a stack (N, m, n), its bias (N, m).

    Without ``biases`` the networks have none. ``phi`` follows every layer but the last; ``lr`` is one number or (N,). SGD with momentum 0.9, or Adam with torch's
    defaults. All networks see the same batches. ``at`` counts the steps after which test accuracy is taken; the last
    is always among them. A network that left the finite numbers keeps NaN and its accuracy is that of guessing or less.
    The weights given are not changed.
    """
    count, at = len(weights[0]), (*(step for step in at if step < steps), steps)
    lr = torch.as_tensor(lr, dtype=torch.float32).expand(count).view(-1, 1, 1)
    learnt = [weight.clone() for weight in weights] + [bias.unsqueeze(1).clone() for bias in biases or ()]
    first, second = ([torch.zeros_like(p) for p in learnt] for _ in range(2))
    generator, losses, accuracies = torch.Generator().manual_seed(seed), [], []

    def scores(x):  # (B, inputs) -> (N, B, outputs)
        z, layers = x, len(weights)
        for k in range(layers):
            z = (phi(z) if k else z) @ learnt[k].mT
            if biases:
                z = z + learnt[layers + k]
        return z

    for step in range(1, steps + 1):
        rows = torch.randint(len(data.x_train), (batch,), generator=generator)
        learnt = [p.requires_grad_() for p in learnt]
        loss = F.cross_entropy(
            scores(data.x_train[rows]).permute(1, 2, 0),
            data.y_train[rows].unsqueeze(1).expand(-1, count),
            reduction="none",
        ).mean(0)
        grads = torch.autograd.grad(loss.sum(), learnt)
        losses.append(loss.detach())
        with torch.no_grad():
            learnt = [p.detach() for p in learnt]
            for p, g, m, v in zip(learnt, grads, first, second, strict=True):
                if adam:
                    m.lerp_(g, 0.1)
                    v.lerp_(g * g, 0.001)
                    p -= lr / (1 - 0.9**step) * m / ((v / (1 - 0.999**step)).sqrt() + 1e-8)
                else:
                    p -= lr * m.mul_(0.9).add_(g)
            if step in at:
                right = scores(data.x_test).argmax(-1) == data.y_test
                accuracies.append(right.float().mean(-1))
    return ManyRuns(torch.stack(losses), torch.stack(accuracies))
