"""Explorers of learning rates over time: where the sharpness stops, and a schedule beside what it does to training."""

from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from matplotlib.figure import Figure
from torch.nn import functional as F

from gradutils.curvature import follow_sharpness
from gradutils.data import digits
from gradutils.explorers.live import Drawn, Explorer, LiveFigure, Scene, choice, course_style, slider
from gradutils.models import flat_scores, weight_stacks
from gradutils.plots import EXPLODES, SECOND, STABLE, THEORY
from gradutils.schedules import cosine, step_decay, warmup, warmup_stable_decay

# The edge of stability -----------------------------------------------------------------------------------------------------
RATES, STEPS, EVERY = np.round(np.arange(0.1, 0.85, 0.1), 1), 320, 8
SIZES = [64, 16, 16, 10]


@cache
def _runs() -> tuple[np.ndarray, np.ndarray]:
    """Losses (STEPS, rates) and sharpness (STEPS / EVERY, rates) of one network at all rates."""
    weights = weight_stacks(SIZES, seeds=1)
    weights[-1] = 0.3 * weights[-1]  # so that it starts below most of the limits
    w = torch.cat([W.flatten(1) for W in weights], 1).repeat(len(RATES), 1)
    x, y = digits().x_train[:150], F.one_hot(digits().y_train[:150], 10).float()
    loss_of = lambda w: (flat_scores(torch.tanh, w, SIZES, x) - y).square().sum(-1).mean(-1) / 2  # noqa: E731
    losses, sharp = follow_sharpness(loss_of, w, torch.tensor(RATES).float(), STEPS, every=EVERY)
    return losses.numpy(), sharp.numpy()


def run_edge(lr: float) -> Drawn:
    """Full-batch descent of a small tanh network on some digits, squared error; ``lr`` is one of RATES."""
    k = int(np.abs(RATES - lr).argmin())
    losses, sharp = (values[:, k] for values in _runs())
    limit, last = 2 / RATES[k], float(np.median(sharp[-20:]))
    place = (
        "at the limit" if abs(last / limit - 1) < 0.06 else "still below it" if last < limit else "above it"
    )
    rises = int((np.diff(losses) > 0).sum())
    often = "never rises" if rises == 0 else "rises now and then, and falls in the long run"
    sentence = (
        f"Learning rate {RATES[k]:.1f}: the limit 2/lr is {limit:.1f}. The sharpness begins at {sharp[0]:.1f}; in the "
        f"second half its median is {place}. The loss {often}."
    )
    artists = {
        "sharpness": (np.arange(0, STEPS, EVERY), sharp),
        "limit": ([0, STEPS], limit),
        "loss": (np.arange(STEPS), losses),
    }
    return Drawn(sentence, artists)


@course_style()
def explore_edge() -> Explorer:
    """The sharpness of a network in training, and the limit at which it stops: 2 over the learning rate."""
    figure = Figure()
    left, right = figure.subplots(1, 2)
    (sharpness,), (limit,) = left.plot([], [], color=STABLE), left.plot([], [], **THEORY)
    left.set(xlim=(0, STEPS), ylim=(0, 21), xlabel="step", title="Sharpness (dotted: 2 / lr)")
    (loss,) = right.plot([], [], color=STABLE)
    right.set(xlim=(0, STEPS), ylim=(3e-3, 2), yscale="log", xlabel="step", title="Loss")
    artists = {"sharpness": sharpness, "limit": limit, "loss": loss}
    sliders = {"lr": slider("learning rate", 0.3, RATES[0], RATES[-1], 0.1, ".1f")}
    return Explorer("edge", Scene(run_edge, LiveFigure(figure, artists)), sliders)


# Schedules -----------------------------------------------------------------------------------------------------------------
TOTAL, BATCH, READ = 400, 8, 20  # steps, images a step, steps between two losses
SHAPES = ("constant", "cosine", "steps", "1 / t", "fall at the end")


def shape_of(shape: str, warmup_steps: int) -> Callable[[int], float]:
    """The multiplier of a shape in ``SHAPES`` over TOTAL steps, after a linear warmup."""
    if shape not in SHAPES:
        raise ValueError(f"shape must be one of {SHAPES}; got {shape!r}")
    rest = TOTAL - warmup_steps
    fall = {
        "constant": lambda step: 1.0,
        "cosine": cosine(rest),
        "steps": step_decay(max(1, rest // 3), 0.3),
        "1 / t": lambda step: 1 / (1 + step / 20),
        "fall at the end": warmup_stable_decay(0, rest, rest // 4),
    }[shape]
    rise = warmup(warmup_steps)
    return lambda step: rise(step) if step < warmup_steps else fall(step - warmup_steps)


@cache
def _problem():
    """Digits with a column of ones (N, 65), labels one-hot (N, 10), rows of each step (TOTAL, BATCH)."""
    x, y = digits().x_train.numpy(), digits().y_train.numpy()
    rows = torch.randint(len(x), (TOTAL, BATCH), generator=torch.Generator().manual_seed(0)).numpy()
    return np.pad(x, ((0, 0), (0, 1)), constant_values=1), np.eye(10, dtype=np.float32)[y], rows


def _softmax(z):
    z = np.exp(z - z.max(1, keepdims=True))
    return z / z.sum(1, keepdims=True)


def run_scheduled(shape: str, warmup_steps: float, log_lr: float) -> Drawn:
    """Softmax regression on the digits, few images a step: noise decides where it ends."""
    (x, y, rows), warmup_steps, peak = _problem(), int(warmup_steps), 10.0**log_lr
    multiplier = shape_of(shape, warmup_steps)
    rates = np.array([peak * multiplier(step) for step in range(TOTAL)])
    W, losses = np.zeros((x.shape[1], y.shape[1]), dtype=np.float32), []
    for step in range(TOTAL + 1):
        if step % READ == 0:
            losses.append(float(-np.log(np.maximum((_softmax(x @ W) * y).sum(1), 1e-30)).mean()))
        if step < TOTAL:
            some, right = x[rows[step]], y[rows[step]]
            W -= rates[step] * some.T @ (_softmax(some @ W) - right) / BATCH
    sentence = (
        f"{shape[0].upper()}{shape[1:]}, {warmup_steps} steps of warmup, peak rate {peak:.2g}: after {TOTAL} steps the loss over all "
        f"digits is {losses[-1]:.2g}."
    )
    colour = STABLE if losses[-1] < losses[0] else EXPLODES
    artists = {
        "rate": (np.arange(TOTAL), rates),
        "loss": (np.arange(0, TOTAL + 1, READ), losses, colour),
    }
    return Drawn(sentence, artists)


@course_style()
def explore_schedule() -> Explorer:
    """A schedule to be designed, and the training that it gives."""
    figure = Figure()
    left, right = figure.subplots(1, 2)
    (rate,), (loss,) = left.plot([], [], color=SECOND), right.plot([], [], marker="o", markersize=3)
    left.set(xlim=(0, TOTAL), ylim=(1e-4, 10), yscale="log", xlabel="step", title="Learning rate")
    right.set(xlim=(0, TOTAL), ylim=(0.08, 30), yscale="log", xlabel="step", title="Loss over all digits")
    sliders = {
        "shape": choice("shape", SHAPES),
        "warmup_steps": slider("steps of warmup", 0, 0, 200, 10, ".0f", every=2),
        "log_lr": slider("peak rate = 10^", -1, -3, 1, 0.1, ".1f"),
    }
    return Explorer(
        "schedule", Scene(run_scheduled, LiveFigure(figure, {"rate": rate, "loss": loss})), sliders
    )
