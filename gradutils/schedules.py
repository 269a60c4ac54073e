"""Learning-rate schedules: functions from the step, 0, 1, 2, ..., to a multiplier of the base rate.

Each fits ``torch.optim.lr_scheduler.LambdaLR`` and ``train(..., schedule=...)``. Steps past the end keep the last value.
"""

import math
from collections.abc import Callable

Schedule = Callable[[int], float]


def warmup(steps: int) -> Schedule:
    """Linear from 1/steps at the first step to 1 at step ``steps - 1``, then constant. ``steps=0`` is no warmup."""
    _check(steps=steps)
    return lambda step: min(1.0, (step + 1) / steps) if steps else 1.0


def cosine(total: int, floor: float = 0.0) -> Schedule:
    """Half a cosine from 1 at step 0 to ``floor`` at step ``total``. Source: SGDR, Loshchilov and Hutter 2017, eq. 5."""
    _check(total=total, floor=floor)

    def multiplier(step: int) -> float:
        done = min(step / total, 1.0) if total else 1.0
        return floor + (1 - floor) * (1 + math.cos(math.pi * done)) / 2

    return multiplier


def warmup_cosine(warmup_steps: int, total: int, floor: float = 0.0) -> Schedule:
    """Linear warmup over the first steps, then half a cosine down to ``floor`` at step ``total``."""
    if not 0 <= warmup_steps <= total:
        raise ValueError(f"warmup_steps must lie between 0 and total = {total!r}; got {warmup_steps!r}")
    rise, fall = warmup(warmup_steps), cosine(total - warmup_steps, floor)
    return lambda step: rise(step) if step < warmup_steps else fall(step - warmup_steps)


def step_decay(every: int, factor: float = 0.1) -> Schedule:
    """Multiplied by ``factor`` after every ``every`` steps."""
    if every < 1 or not 0 <= factor <= 1:
        raise ValueError(f"every must be 1 or more and factor between 0 and 1; got {every!r} and {factor!r}")
    return lambda step: factor ** (step // every)


def warmup_stable_decay(warmup_steps: int, total: int, decay_steps: int, floor: float = 0.0) -> Schedule:
    """Linear warmup, a plateau at 1, and a linear fall to ``floor`` over the last ``decay_steps`` of ``total``.

    Named by Hu et al. 2024.
    """
    _check(warmup_steps=warmup_steps, decay_steps=decay_steps, floor=floor)
    if warmup_steps + decay_steps > total:
        raise ValueError(
            f"warmup and decay must fit into total = {total!r} steps; got {warmup_steps!r} + {decay_steps!r}"
        )
    rise = warmup(warmup_steps)

    def multiplier(step: int) -> float:
        left = min(1.0, max(total - step, 0) / decay_steps) if decay_steps else float(step < total)
        return min(rise(step), floor + (1 - floor) * left)

    return multiplier


def _check(**values) -> None:
    for name, value in values.items():
        if not 0 <= value < math.inf or (name == "floor" and value > 1):
            most = "between 0 and 1" if name == "floor" else "a finite number, 0 or more"
            raise ValueError(f"{name} must be {most}; got {value!r}")
