"""Directions side by side: two vectors in one place after another, and the angle that is left between them."""

import math

from matplotlib.axes import Axes

from gradutils.plots.sheet import INK, PALE, SIZES, Sheet, must_hold
from gradutils.plots.style import STABLE, describe


def draw_directions(ax: Axes, cosines, names, *, colours=(INK, STABLE)) -> Axes:
    """Two arrows at the angle that has the given cosine, one pair beside the other, each with its name and its cosine.

    Their lengths say nothing: all are the same. Up to seven pairs in a figure 6.4 in wide. ValueError for another number of
    names, or for a number that is no cosine.
    """
    cosines = [float(cosine) for cosine in cosines]
    must_hold("names", names, len(cosines), "one a pair")
    if wrong := [cosine for cosine in cosines if not -1 <= cosine <= 1]:
        raise ValueError(f"cosines must lie between -1 and 1; got {wrong[0]}")
    numbers = [f"cosine {cosine:.2f}" for cosine in cosines]
    sheet = Sheet(ax)
    pitch = (sheet.width - 4) / len(cosines)
    for size in SIZES:
        line = sheet.tallest([*names, *numbers], size) + 2
        if sheet.widest([*names, *numbers], size) + 6 <= pitch:
            break
    turns = [math.acos(cosine) / 2 for cosine in cosines]  # each arrow from the upright
    deepest = max(0.0, *(-math.cos(turn) for turn in turns))
    reach = min(0.45 * pitch, (sheet.height - 2 * line - 8) / (1 + deepest), 60)
    foot = (sheet.height - reach * (1 + deepest) - 2 * line - 4) / 2 + 2 * line + 4
    for k, (name, number, turn) in enumerate(zip(names, numbers, turns, strict=True)):
        x, y = 2 + (k + 0.5) * pitch, foot + reach * deepest
        for side, colour in zip((-1, 1), colours, strict=True):
            tip = x + side * reach * math.sin(turn), y + reach * math.cos(turn)
            sheet.arrow((x, y), tip, colour=colour)
        sheet.text(x, foot - 4, name, size, va="top")
        sheet.text(x, foot - 4 - line, number, size, PALE, va="top")
    said = [f"{name} {number}" for name, number in zip(names, numbers, strict=True)]
    return describe(ax, f"Two directions and the angle between them: {'; '.join(said)}.")
