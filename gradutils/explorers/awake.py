"""Explorer of Adam's memory: the steps of a weight whose first gradient comes late."""

import numpy as np
from matplotlib.figure import Figure

from gradutils.explorers.live import Drawn, Explorer, LiveFigure, Scene, course_style, slider
from gradutils.plots import EXPLODES, REFERENCE, STABLE, THEORY

SHOWN = 60  # steps after the weight woke


def steps_awake(beta1: float, beta2: float, t: int) -> tuple[np.ndarray, np.ndarray]:
    """Steps of Adam in units of the rate, and |g| over the root of v, for a gradient that is 0 before step t and then constant.

    Both hold SHOWN steps; step t is the first of them.
    """
    awake, count = np.arange(1, SHOWN + 1), t + np.arange(SHOWN)
    first = (1 - beta1**awake) / (1 - beta1**count)
    second = np.sqrt((1 - beta2**awake) / (1 - beta2**count))
    return first / second, 1 / second


def run_awake(beta1: float, memory: float, asleep: float) -> Drawn:
    """``memory`` and ``asleep`` are powers of ten: beta2 remembers 10 ** memory steps, and the gradient was 0 for 10 ** asleep."""
    beta2, t = 1 - 10.0**-memory, round(10.0**asleep) + 1
    steps, loudness = steps_awake(beta1, beta2, t)
    clipped = steps / np.maximum(loudness, 1)
    longest = int(steps.argmax())
    sentence = (
        f"No gradient in the first {t - 1} steps, beta1 {beta1:.2f}, beta2 {beta2:.5g}: the first step is {steps[0]:.2f} rates long, the longest "
        f"{steps[longest]:.2f}, {longest + 1} {'step' if longest == 0 else 'steps'} after the silence; the RMS begins at "
        f"{loudness[0]:.1f}. With an update clip no step is longer than {clipped.max():.2f}."
    )
    after = np.arange(1, SHOWN + 1)
    colour = EXPLODES if steps.max() > 2 else STABLE
    artists = {"steps": (after, steps, colour), "clipped": (after, clipped), "loudness": (after, loudness)}
    return Drawn(sentence, artists)


@course_style()
def explore_awake() -> Explorer:
    """A weight whose first gradient comes late: how long Adam's steps then are, with an update clip and without."""
    figure = Figure()
    left, right = figure.subplots(1, 2)
    left.axhline(1, color=REFERENCE, linewidth=0.8)
    (steps,), (clipped,) = left.plot([], []), left.plot([], [], **THEORY)
    left.set(xlim=(1, SHOWN), ylim=(0, 8), xlabel="steps after the silence", ylabel="step / rate")
    left.set_title("Steps (dotted: update clip)")
    right.axhline(1, color=REFERENCE, linewidth=0.8)
    (loudness,) = right.plot([], [], color="black")
    right.set(yscale="log", xlim=(1, SHOWN), ylim=(0.5, 200), xlabel="steps after the silence")
    right.set_title("RMS: gradient / root of v")
    live = LiveFigure(figure, {"steps": steps, "clipped": clipped, "loudness": loudness})
    sliders = {
        "beta1": slider("beta1", 0.9, 0, 0.99, 0.01, every=6),
        "memory": slider("beta2 remembers 10^", 3, 0.7, 4, 0.1, ".1f", every=2),
        "asleep": slider("no gradient for 10^", 2.5, 0, 4, 0.1, ".1f", every=2),
    }
    return Explorer("awake", Scene(run_awake, live), sliders)
