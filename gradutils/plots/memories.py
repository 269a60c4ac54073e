"""What an optimizer remembers: the gradients of a few steps as bars, and Adam's two means of them as lines."""

import numpy as np
from matplotlib.axes import Axes

from gradutils.plots.style import REFERENCE, SECOND, STABLE, describe, label_lines


def running_mean(values, beta: float) -> np.ndarray:
    """mean <- beta mean + (1 - beta) value from 0 on, each over the share 1 - beta^t that has come in: (steps,)."""
    mean, means = 0.0, []
    for t, value in enumerate(np.asarray(values, dtype=float), 1):
        mean = beta * mean + (1 - beta) * value
        means.append(mean / (1 - beta**t))
    return np.array(means)


def draw_memory(
    ax: Axes, gradients, beta1: float | None = 0.9, beta2: float | None = None, *, quiet: int = 0
) -> Axes:
    """The gradients of one weight as grey bars; over them Adam's mean m, blue, and the root of its mean square v, orange.

    Both are corrected for their start, and a beta of None leaves one out. ``quiet`` steps with a gradient of 0 come before,
    and are counted but not drawn. ValueError for fewer than two gradients, or if neither is left.
    """
    gradients = np.asarray(gradients, dtype=float)
    if gradients.ndim != 1 or len(gradients) < 2 or (beta1 is None and beta2 is None):
        raise ValueError(
            f"gradients must hold two or more, and a beta be given; got {gradients}, {beta1}, {beta2}"
        )
    steps, labels, words = quiet + np.arange(1, len(gradients) + 1), {}, []
    ax.bar(steps, gradients, color=REFERENCE, alpha=0.45, linewidth=0)
    for name, beta, colour in (("m^", beta1, STABLE), ("root of v^", beta2, SECOND)):
        if beta is not None:
            values = gradients if name == "m^" else gradients**2
            means = running_mean([*[0.0] * quiet, *values], beta)[quiet:]
            means = means if name == "m^" else np.sqrt(means)
            (line,) = ax.plot(steps, means, color=colour)
            labels[line] = name
            words.append(f"{name} (beta {beta:g}) ends at {means[-1]:.2g}")
    ax.axhline(0, color=REFERENCE, linewidth=0.8)
    ax.set(xlim=(steps[0] - 0.6, steps[-1] + 0.6), xlabel="step", ylabel="gradient, grey")
    label_lines(ax, labels)
    after = f" after {quiet} steps without one" if quiet else ""
    return describe(ax, f"{len(steps)} gradients of one weight as bars{after}; {'; '.join(words)}.")
