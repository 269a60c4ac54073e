"""Explorers of clipping: a threshold at the cliff, and learning rate against threshold in a recurrent network."""

import math
from functools import cache

import numpy as np
from matplotlib.figure import Figure

from gradutils.data import digit_sequences
from gradutils.explorers.live import Drawn, Explorer, LiveFigure, Scene, course_style, slider
from gradutils.models import recurrent_scores, recurrent_stacks
from gradutils.plots import EXPLODES, REFERENCE, STABLE, finite_part
from gradutils.training import grid, train_stacks

# The cliff ---------------------------------------------------------------------------------------------------------------
START, WALK = -2.38, 200


def cliff_and_slope(b):
    """The loss of one recurrent unit after 50 steps, and its slope by the bias b: any shape (Pascanu et al. 2013, fig. 6)."""
    h, dh = np.full_like(b, 0.5), np.zeros_like(b)
    for _ in range(50):
        s = 1 / (1 + np.exp(-h))
        h, dh = 5 * s + b, 5 * s * (1 - s) * dh + 1
    s = 1 / (1 + np.exp(-h))
    return (s - 0.7) ** 2, 2 * (s - 0.7) * s * (1 - s) * dh


def run_cliff(log_threshold: float, lr: float) -> Drawn:
    """WALK steps from b = START towards the wall, with every slope cut to 10 ** log_threshold."""
    threshold, path = 10.0**log_threshold, [np.float64(START)]
    losses, clipped = [], 0
    for _ in range(WALK + 1):
        loss, slope = cliff_and_slope(np.clip(path[-1], -700, 700))
        losses.append(loss)
        clipped += abs(slope) > threshold
        path.append(path[-1] - lr * np.clip(slope, -threshold, threshold))
    b = np.array(path[:-1])
    lengths = np.abs(np.diff(b))
    longest, thrown = lengths.max(), bool((lengths > 1).any())
    end, colour = ("is thrown off the page", EXPLODES) if thrown else ("stays near the wall", STABLE)
    sentence = (
        f"Threshold {threshold:.2g}, learning rate {lr:.2f}: {clipped} of {WALK + 1} slopes are cut, the longest step is "
        f"{longest:.1g}; it {end}."
    )
    return Drawn(sentence, {"run": (b, losses, colour), "lengths": (np.arange(WALK), lengths, colour)})


@course_style()
def explore_cliff() -> Explorer:
    """A clip at the cliff: how far a threshold lets a run jump."""
    figure = Figure()
    left, right = figure.subplots(1, 2)
    along = np.linspace(-3.2, -1.4, 600)
    left.plot(along, cliff_and_slope(along)[0], color=REFERENCE)
    (run,) = left.plot([], [], marker="o", markersize=3, linewidth=0.8)
    left.set(xlim=along[[0, -1]], ylim=(-0.02, 0.5), xlabel="b", ylabel="loss", title="The run on the cliff")
    (lengths,) = right.plot([], [], marker="o", markersize=2, linewidth=0)
    right.set(yscale="log", xlim=(0, WALK), ylim=(1e-5, 1e5), xlabel="step", title="Length of the steps")
    sliders = {
        "log_threshold": slider("threshold = 10^", -1, -3, 4, 0.1, ".1f"),
        "lr": slider("learning rate", 0.5, 0.05, 1, 0.05),
    }
    return Explorer("cliff", Scene(run_cliff, LiveFigure(figure, {"run": run, "lengths": lengths})), sliders)


# Rate and threshold ------------------------------------------------------------------------------------------------------
HALF = 0.5  # the steps of both sliders, in powers of ten
RATES, THRESHOLDS, STEPS, UNITS = np.arange(-3.5, 0.6, HALF), np.arange(-2, 2.6, HALF), 60, 12


@cache
def _grid():
    """Losses (STEPS, rates, thresholds), norms alike, and accuracies (rates, thresholds): one small network a cell."""
    lr, limit = grid(10.0**RATES, 10.0**THRESHOLDS, seeds=1)
    options = {"momentum": 0.0, "batch": 16, "steps": STEPS, "max_norm": limit}
    start = recurrent_stacks(8, UNITS, 1.6, seeds=1)
    runs = train_stacks(recurrent_scores, start, digit_sequences(8), lr, **options)
    shape = (len(RATES), len(THRESHOLDS))
    return (
        runs.loss.view(-1, *shape).numpy(),
        runs.grad_norm.view(-1, *shape).numpy(),
        runs.accuracy.view(shape).numpy(),
    )


def run_clipped(rate: float, threshold: float) -> Drawn:
    """STEPS of a recurrent network on digits read as sequences; rate and threshold are powers of ten, in halves."""
    i, j = (
        int(np.abs(values - value).argmin()) for values, value in ((RATES, rate), (THRESHOLDS, threshold))
    )
    losses, norms, accuracy = _grid()
    share = float((norms[:, i, j] > 10.0**threshold).mean())
    cut = "every step is" if share > 0.98 else "no step is" if share < 0.02 else "some steps are"
    learnt = (
        "guesses" if accuracy[i, j] < 0.16 else "has begun to learn" if accuracy[i, j] < 0.35 else "learns"
    )
    product = f"{10.0 ** (rate + threshold):.0e}"
    sentence = f"Rate {10.0**rate:.0e}, threshold {10.0**threshold:.0e} (product {product}): {cut} clipped; after {STEPS} steps the network {learnt}."
    loss = losses[:, i, j]
    kept = finite_part(loss)
    colour = STABLE if loss[-1] < loss[0] else EXPLODES
    return Drawn(sentence, {"dot": (rate, threshold), "loss": (np.arange(len(kept)), kept, colour)})


@course_style()
def explore_rate_and_threshold() -> Explorer:
    """A map of accuracy over learning rate and threshold, a point on it, and the loss of the run at that point."""
    figure = Figure()
    left, right = figure.subplots(1, 2)
    image = left.pcolormesh(
        RATES, THRESHOLDS, _grid()[2].T, shading="nearest", vmin=0, vmax=0.5, rasterized=True
    )
    figure.colorbar(image, ax=left)
    left.set(xlabel="learning rate, power of 10", ylabel="threshold, power of 10")
    left.set_title(f"Accuracy after {STEPS} steps, {UNITS} units")
    (dot,) = left.plot([0], [0], "o", color=EXPLODES, markersize=9, markeredgecolor="white")
    (loss,) = right.plot([], [])
    right.axhline(math.log(10), color=REFERENCE, linestyle="--", linewidth=1)
    right.set(yscale="log", xlim=(0, STEPS), ylim=(0.3, 1e4), xlabel="step")
    right.set_title("Loss (dashed: guessing)")
    sliders = {
        "rate": slider("rate = 10^", -1.0, RATES[0], RATES[-1], HALF, ".1f"),
        "threshold": slider("threshold = 10^", 0, THRESHOLDS[0], THRESHOLDS[-1], HALF, ".1f"),
    }
    return Explorer(
        "rate_and_threshold", Scene(run_clipped, LiveFigure(figure, {"dot": dot, "loss": loss})), sliders
    )
