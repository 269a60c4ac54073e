"""What a map from a number to a number does again and again, as a staircase."""

import numpy as np
from matplotlib.axes import Axes

from gradutils.plots.style import REFERENCE, STABLE, describe, label_lines


def draw_staircase(ax: Axes, function, start: float, steps: int, *, high: float, name="q") -> Axes:
    """A number goes through ``function`` again and again: up or down to the curve, then across to the diagonal.

    ``function`` maps a float to a float; the picture reaches from 0 to ``high`` both ways. Where the curve meets the
    diagonal a number stays as it is. ValueError unless start lies between 0 and high and there is a step.
    """
    if not 0 <= start <= high or steps < 1:
        raise ValueError(
            f"start must lie between 0 and high = {high}, steps must be 1 or more; got {start}, {steps}"
        )
    axis = np.linspace(0, high, 121)
    (diagonal,) = ax.plot(axis, axis, color=REFERENCE)
    (curve,) = ax.plot(axis, [float(function(x)) for x in axis], color="black")
    numbers = [start]
    for _ in range(steps):
        numbers.append(float(function(numbers[-1])))
    x = np.repeat(numbers, 2)
    ax.plot(x[:-1], [0, *x[2:]], color=STABLE, linewidth=1.4)
    ax.plot(numbers[0], 0, "o", color=STABLE, markersize=6, clip_on=False)
    ax.set(xlim=(0, high), ylim=(0, high), xlabel=f"${name}$", ylabel=f"next ${name}$")
    label_lines(ax, {diagonal: f"same ${name}$", curve: f"next ${name}$"})
    said = ", ".join(f"{number:.2g}" for number in numbers)
    return describe(ax, f"A staircase: {name} goes from {said}; it stays where the curve meets the diagonal.")
