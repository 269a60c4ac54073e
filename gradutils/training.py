"""One training loop that knows nothing of its model, and one that trains many small networks at once."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from gradutils.data import Digits
from gradutils.models import stack_scores
from gradutils.schedules import Schedule

TINY = torch.finfo(torch.float32).tiny  # under a root in place of 0, whose root can take ten times as long


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
    grad_norm: Tensor  # (steps, N), the global norm before any clip
    accuracy: Tensor  # (len(at), N), on the test set


def train_many(
    phi: Callable[[Tensor], Tensor],
    weights: list[Tensor],
    data: Digits,
    lr: float | Tensor,
    *,
    biases: list[Tensor] | None = None,
    **options,
) -> ManyRuns:
    """Train N plain networks at once: a layer's weight is a stack (N, m, n), its bias (N, m), and phi follows all but the last.

    Without ``biases`` the networks have none. The options are those of `train_stacks`.
    """
    layers = len(weights)

    def scores(learnt, x):  # (B, inputs) -> (N, B, outputs)
        return stack_scores(phi, learnt[:layers], x, learnt[layers:])

    return train_stacks(
        scores, [*weights, *(bias.unsqueeze(1) for bias in biases or ())], data, lr, **options
    )


def train_stacks(
    scores: Callable[[list[Tensor], Tensor], Tensor],
    parameters: list[Tensor],
    data: Digits,
    lr: float | Tensor,
    *,
    steps: int = 200,
    at: tuple[int, ...] = (),
    batch: int = 32,
    batches: Callable[[int], tuple[Tensor, Tensor]] | None = None,
    momentum: float | Tensor = 0.9,
    adam: bool = False,
    beta2: float | Tensor = 0.999,
    eps: float | Tensor = 1e-8,
    weight_decay: float | Tensor = 0.0,
    max_norm: float | Tensor | Callable[[Tensor], Tensor] | None = None,
    schedule: Callable[[int], float | Tensor] | None = None,
    reduction: str = "mean",
    clear: bool = True,
    stored: Callable[[str, Tensor, Tensor], Tensor] | None = None,
    seed: int = 0,
) -> ManyRuns:
    """Train N networks of one shape at once with cross-entropy; ``parameters`` are stacks (N, ...), and stay as they are.

    ``scores(parameters, x)`` gives (N, B, outputs). All networks see the same batches: drawn at random from ``data``, or
    ``batches(step)``. SGD with momentum, or Adam with its first beta in ``momentum``. ``weight_decay`` shrinks each weight
    by itself times the rate, beside the gradient's step and after any clip: with Adam that is AdamW. A setting is one
    number or (N,); if some are longer than the stacks, the stacks are repeated (see `grid`).

    ``max_norm`` clips the global norm of each network's gradient, or is a function of all norms so far, (steps, N), that
    gives the limit. ``schedule`` maps the step, from 0, to a multiplier of the rate. Two well-known bugs can be had on
    purpose: ``reduction="sum"`` adds up the losses of a batch, and without ``clear`` each gradient is added to the
    (clipped) one before.

    ``stored(name, new, old)`` says what is kept of a tensor after each step, such as its rounding; the name is "weights",
    "first" (the velocity, or Adam's first mean) or "second". Each step itself is computed in the parameters' own format.

    ``at`` counts the steps after which test accuracy is taken; the last is always among them. A network that left the
    finite numbers keeps NaN, and its accuracy is that of guessing or less.
    """
    settings = (
        lr,
        momentum,
        beta2,
        eps,
        weight_decay,
        0 if max_norm is None or callable(max_norm) else max_norm,
    )
    count, at = len(parameters[0]), (*(step for step in at if step < steps), steps)
    longest = max(torch.as_tensor(value).numel() for value in settings)
    if longest > count and longest % count:
        raise ValueError(f"settings must be one number or a multiple of the {count} networks; got {longest}")
    count = max(count, longest)
    lr, beta1, beta2, eps, weight_decay = (_one_each(value, count) for value in settings[:5])
    decays, new1, new2 = bool(weight_decay.any()), 1 - beta1, 1 - beta2
    learnt, kept = [p.detach().repeat(count // len(p), *[1] * (p.ndim - 1)) for p in parameters], None
    first = second = None  # of Adam, or the momentum
    generator, accuracies = torch.Generator().manual_seed(seed), []
    losses, norms = torch.empty(
        2, steps, count, dtype=learnt[0].dtype
    )  # many small tensors would scatter the heap
    for step in range(1, steps + 1):
        if batches is None:
            rows = torch.randint(len(data.x_train), (batch,), generator=generator)
            x, y = data.x_train[rows], data.y_train[rows]
        else:
            x, y = batches(step - 1)
        learnt = [p.requires_grad_() for p in learnt]
        # Along the axis before the last: a softmax over a last one as short as ten is four times as slow.
        loss = F.cross_entropy(scores(learnt, x).mT, y.expand(count, -1), reduction="none")  # (N, B)
        loss = getattr(loss, reduction)(1)
        grads = torch.autograd.grad(loss.sum(), learnt)
        if kept is not None:
            grads = [g + old for g, old in zip(grads, kept, strict=True)]
        if first is None:  # all in the layout of the gradients: mixed layouts cost ten times as much
            learnt = [torch.empty_like(g).copy_(p.detach()) for g, p in zip(grads, learnt, strict=True)]
            first, second = ([torch.zeros_like(g) for g in grads] for _ in range(2))
        losses[step - 1] = loss.detach()
        norms[step - 1] = torch.stack([_norm_each(g) for g in grads]).norm(dim=0)
        if max_norm is not None:
            limit = max_norm(norms[:step]) if callable(max_norm) else max_norm
            shrink = (limit / (norms[step - 1] + 1e-6)).clamp(max=1)
            grads = [g * _beside(shrink, g) for g in grads]
        kept = None if clear else grads
        now = lr * _one_each(schedule(step - 1), count) if schedule else lr
        if adam:  # once a step, not once a tensor
            whole2, rate1 = 1 - beta2**step, now / (1 - beta1**step)
        with torch.no_grad():
            learnt = [p.detach() for p in learnt]
            for p, g, m, v in zip(learnt, grads, first, second, strict=True):
                rate = _beside(now, p)
                before = [x.clone() for x in (p, m, v)] if stored else ()
                if decays:
                    p *= 1 - rate * _beside(weight_decay, p)
                if adam:
                    m.lerp_(g, _beside(new1, p))
                    v.lerp_(g * g, _beside(new2, p))
                else:
                    m.mul_(_beside(beta1, p)).add_(g)
                if stored:
                    m.copy_(stored("first", m, before[1]))
                    v.copy_(stored("second", v, before[2]))
                if adam:
                    size = (v / _beside(whole2, p)).clamp_(min=TINY).sqrt_().add_(_beside(eps, p))
                    p -= (_beside(rate1, p) * m).div_(size)
                else:
                    p -= rate * m
                if stored:
                    p.copy_(stored("weights", p, before[0]))
            if step in at:
                found = [scores(learnt, x).argmax(-1) for x in data.x_test.split(100)]  # spares memory
                accuracies.append((torch.cat(found, -1) == data.y_test).float().mean(-1))
    return ManyRuns(losses, norms, torch.stack(accuracies))


def grid(*settings: Sequence[float], seeds: int = 10) -> tuple[Tensor, ...]:
    """Every combination of the settings, each for ``seeds`` networks: one tensor a setting, (combinations * seeds,).

    ``lr, limit = grid([0.1, 0.01], [1.0, 10.0])`` has the rates of 40 networks and their limits; a result (40,) of theirs is
    ``.view(2, 2, 10)``.
    """
    axes = [torch.tensor(values, dtype=torch.float32) for values in settings]
    return torch.cartesian_prod(*axes).view(-1, len(axes)).repeat_interleave(seeds, 0).unbind(1)


def _one_each(value: float | Tensor, count: int) -> Tensor:
    return torch.as_tensor(value, dtype=torch.float32).expand(count)


def _norm_each(stack: Tensor) -> Tensor:
    """The norm of each network's part of a stack: (N, ...) -> (N,)."""
    return torch.linalg.vector_norm(stack, dim=tuple(range(1, stack.ndim)))


def _beside(values: Tensor, stack: Tensor) -> Tensor:
    """One number a network, (N,), shaped to multiply its part of a stack (N, ...)."""
    return values.view(-1, *[1] * (stack.ndim - 1))
