"""Explorer of weights that an update no longer moves: a layer's weights, and the share of lost updates over the rate."""

import math

import numpy as np
from matplotlib.figure import Figure

from gradutils.explorers.live import Drawn, Explorer, LiveFigure, Scene, course_style, slider
from gradutils.plots import STABLE, VANISHES
from gradutils.precision import share_lost

POWERS = np.linspace(-16, 1, 120)  # of two: the middles of the bars
RATES = np.logspace(-6, -1, 101)
RUN = 128  # the widest network that the lesson runs


def run_precision(rate: float, fan_in: float, bits: float) -> Drawn:
    """Gaussian weights at He's scale, by their power of two, those that an update of 10 ** rate leaves as they are apart.

    ``fan_in`` is the power of two of the inputs of a unit, ``bits`` how many are stored behind the first.
    """
    lr, inputs, bits = 10.0**rate, 2 ** int(fan_in), int(bits)
    std = math.sqrt(2 / inputs)
    size = 2.0**POWERS / std
    heights = math.sqrt(2 / math.pi) * size * np.exp(-(size**2) / 2)  # the density over the logarithm
    lost = lr < 2.0 ** (np.floor(POWERS) - bits - 1)
    share = share_lost(lr, std, bits)
    only = "" if inputs <= RUN else " No network of this width is run here: the formula alone says it."
    sentence = (
        f"An update of {lr:.1e}, {inputs} inputs a unit, {bits} stored bits: {share:.1%} of the weights stay as they are "
        f"(purple), all from {2.0 ** math.ceil(math.log2(lr) + bits + 1):.2g} on.{only}"
    )
    curve = [share_lost(float(each), std, bits) for each in RATES]
    artists = {
        "kept": _bars(POWERS[~lost], heights[~lost]),
        "lost": _bars(POWERS[lost], heights[lost]),
        "curve": (RATES, curve),
        "point": (lr, share),
    }
    return Drawn(sentence, artists)


def _bars(x, heights) -> tuple[np.ndarray, np.ndarray]:
    """Upright bars as one line with gaps."""
    nothing = np.full(len(x), np.nan)
    return np.repeat(x, 3), np.stack([np.zeros(len(x)), heights, nothing], 1).ravel()


@course_style()
def explore_precision() -> Explorer:
    """Rate, width and bits: which weights an update of that size no longer moves."""
    figure = Figure()
    left, right = figure.subplots(1, 2)
    kept, lost = (left.plot([], [], color=colour, linewidth=2)[0] for colour in (STABLE, VANISHES))
    left.set(xlim=(POWERS[0], POWERS[-1]), ylim=(0, 0.55), yticks=[], xticks=range(-16, 1, 4))
    left.set(xlabel="size of the weight, power of 2", title="Weights: moved (blue), not (purple)")
    (curve,), (point,) = right.plot([], [], color=VANISHES), right.plot([], [], "o", color=VANISHES)
    right.set(xscale="log", xlim=(RATES[0], RATES[-1]), ylim=(-0.03, 1.03), xlabel="size of the update")
    right.set(title="Share of updates that are lost")
    live = LiveFigure(figure, {"kept": kept, "lost": lost, "curve": curve, "point": point})
    sliders = {
        "rate": slider("update, power of 10", -3.5, -6, -1, 0.1, ".1f"),
        "fan_in": slider("inputs, power of 2", 6, 3, 13, 1, ".0f"),
        "bits": slider("stored bits", 7, 2, 23, 1, ".0f"),
    }
    return Explorer("precision", Scene(run_precision, live), sliders)
