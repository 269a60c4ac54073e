"""Explorer of a softmax over random logits: their spread, their number, and how far it still is from a choice."""

from functools import cache

import numpy as np
import torch
from matplotlib.figure import Figure

from gradutils.attention import expected_slope
from gradutils.explorers.live import Drawn, Explorer, LiveFigure, Scene, course_style, slider
from gradutils.plots import REFERENCE, THEORY

LOG_SPREADS = (-1, 1.5)
SPREADS = np.logspace(*LOG_SPREADS, 26)
ROWS, LEVELS = 2000, np.linspace(0, 1, 51)


@cache
def _draws(tokens: int) -> torch.Tensor:  # (ROWS, tokens)
    return torch.randn(ROWS, tokens, generator=torch.Generator().manual_seed(0))


@cache
def _predicted(tokens: int) -> np.ndarray:
    return np.array([expected_slope(s, tokens) for s in SPREADS])


def run_softmax(log_spread: float, doublings: float) -> Drawn:
    """Rows of 2 ** ``doublings`` logits of standard deviation 10 ** ``log_spread``: the largest weight and 1 - sum of p^2."""
    spread, tokens = 10.0**log_spread, 2 ** int(doublings)
    p = (spread * _draws(tokens)).softmax(-1)
    largest, slope = p.amax(-1), float((1 - p.square().sum(-1)).mean())
    share = (largest.numpy()[:, None] > LEVELS).mean(0)
    sentence = (
        f"{tokens} logits of standard deviation {spread:.2f}: the largest weight is {float(largest.median()):.2f} in the median, "
        f"and 1 - sum of p^2 is {slope:.2f} on average (predicted {expected_slope(spread, tokens):.2f})."
    )
    artists = {
        "largest": (LEVELS, share),
        "slope": (SPREADS, _predicted(tokens)),
        "dot": (spread, slope),
    }
    return Drawn(sentence, artists)


@course_style()
def explore_softmax() -> Explorer:
    """Spread and number of the logits: how often a softmax has chosen already, and how much slope is left."""
    figure = Figure()
    left, right = figure.subplots(1, 2)
    (largest,) = left.plot([], [])
    left.axvline(0.5, color=REFERENCE, linewidth=0.8)
    left.axhline(0.5, color=REFERENCE, linewidth=0.8)
    left.set(
        xlim=(0, 1), ylim=(-0.03, 1.03), xlabel="weight w", ylabel="share of rows: largest weight above w"
    )
    left.set_title("How sure each row is")
    (slope,), (dot,) = right.plot([], [], **THEORY), right.plot([1], [1], "o", markersize=8)
    right.axhline(0, color=REFERENCE, linewidth=0.8)
    right.set(xscale="log", xlim=(0.1, 32), ylim=(-0.03, 1.03), xlabel="standard deviation of the logits")
    right.set_title("1 - sum of p^2, on average")
    live = LiveFigure(figure, {"largest": largest, "slope": slope, "dot": dot})
    sliders = {
        "log_spread": slider("log10 of the spread", 0.0, *LOG_SPREADS, 0.05),
        "doublings": slider("log2 of the tokens", 4, 1, 9, 1, ".0f"),
    }
    return Explorer("softmax", Scene(run_softmax, live), sliders)
