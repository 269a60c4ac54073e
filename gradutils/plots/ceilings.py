"""A drawing of what a learning rate allows: the ceiling on the sharpness, 2 over the rate, along a schedule."""

import numpy as np
from matplotlib.axes import Axes

from gradutils.plots.sheet import deep
from gradutils.plots.style import EXPLODES, STABLE, THEORY, describe


def draw_ceiling(ax: Axes, rates, *, limits=None) -> Axes:
    """The ceiling 2 / rate, dotted, over the steps of a schedule; red above it, where a step overshoots, blue below.

    ``rates`` holds the rate of each step, two or more, all above 0; ValueError otherwise. ``limits``: the lowest and the
    highest sharpness shown, so that drawings side by side can share them.
    """
    rates = np.asarray(rates, dtype=float)
    if rates.ndim != 1 or len(rates) < 2 or not (rates > 0).all():
        raise ValueError(f"rates must hold the rates of two or more steps, all above 0; got {rates}")
    steps, ceiling = np.arange(len(rates)), 2 / rates
    # by themselves they leave room for a line of words on either side
    bottom, top = (ceiling.min() / 6, ceiling.max() * 6) if limits is None else limits
    ax.set(yscale="log", xlim=(0, steps[-1]), ylim=(bottom, top), xlabel="step", ylabel="sharpness")
    ax.fill_between(steps, ceiling, top, color=EXPLODES, alpha=0.15, linewidth=0)
    ax.fill_between(steps, bottom, ceiling, color=STABLE, alpha=0.15, linewidth=0)
    ax.plot(steps, ceiling, **THEORY)
    style = {"xycoords": "axes fraction", "textcoords": "offset points", "fontsize": 9}
    above, below = "above: a step overshoots", "below: it lands nearer"
    ax.annotate(above, (1, 1), (-5, -5), ha="right", va="top", color=deep(EXPLODES), **style)
    ax.annotate(below, (0, 0), (5, 5), ha="left", va="bottom", color=deep(STABLE), **style)
    words = f"The ceiling 2 / rate on the sharpness over {len(rates)} steps, from {ceiling[0]:.3g} to {ceiling[-1]:.3g}"
    return describe(ax, f"{words}; {above}, {below}.")
