"""Attention: a head as boxes and arrows, and what a softmax makes of logits."""

import numpy as np
from matplotlib.axes import Axes

from gradutils.plots.sheet import ACROSS, ALONG, INK, SIZES, Sheet, deep, must_hold, plain
from gradutils.plots.style import SECOND, STABLE, describe


def draw_head(
    ax: Axes,
    *,
    names=("q", "k", "v"),
    shapes=("(T, n)", "(T, d)", "(T, T)"),
    scaled="q @ k.T / sqrt(d)",
    entrance="h",
) -> Axes:
    """One head: the tokens become queries, keys and values; queries meet keys, a softmax weights, the values are mixed.

    ``names`` are written in the three boxes, ``scaled`` above what the queries and keys make, ``shapes`` below what is (T, n),
    (T, d) and (T, T). A figure 6.4 in wide and 2.6 in high is enough.
    """
    must_hold("names", names, 3, "of queries, keys and values")
    must_hold("shapes", shapes, 3, "of the tokens, of what is d wide, and of the weights")
    tokens, wide, square = shapes
    columns = [[(entrance, tokens)], [(name, wide) for name in names], [("logits", square)], [("p", square)]]
    columns.append([("p @ v", wide)])
    steps = ["", "", "softmax", ""]
    sheet = Sheet(ax)
    for size in SIZES:
        sizes = [
            [sheet.measure(part, size - (part in shapes)) for pair in c for part in pair] for c in columns
        ]
        widths = np.array([max(width for width, _ in column) + 2 * ACROSS for column in sizes])
        height = sheet.measure("p @ v", size)[1] + sheet.tallest(shapes, size - 1) + 2 * ALONG + 1.5
        labels = np.array([sheet.measure(step, size)[0] for step in steps])
        above = sheet.measure(scaled, size)
        gaps = np.maximum(labels + 12, [46, 46, 24, 30])
        over = max(above[0] - widths[2], 0) / 2
        gaps[1:3] = np.maximum(gaps[1:3], over + 8)
        spare = sheet.width - 4 - widths.sum() - gaps.sum()
        pitch = (sheet.height - 4 - height) / 2
        if spare >= 0 and pitch >= height + 8:
            break
    gaps += np.clip(spare / 4, 0, 26)
    pitch = min(pitch, 62)
    left = (sheet.width - widths.sum() - gaps.sum()) / 2
    x = left + np.cumsum(widths) - widths / 2 + np.concatenate([[0], np.cumsum(gaps)])
    right, begin = x + widths / 2, x - widths / 2
    rows = sheet.height / 2 + pitch * np.array([1, 0, -1])
    middle = (rows[0] + rows[1]) / 2

    sheet.named_box(x[0], rows[1], widths[0], height, entrance, size, numbers=tokens)
    for row, name in zip(rows, names, strict=True):
        sheet.named_box(x[1], row, widths[1], height, name, size, STABLE, numbers=wide)
        sheet.arrow((right[0], rows[1]), (begin[1], row))
    for row in rows[:2]:
        sheet.arrow((right[1], row), (begin[2], middle))
    sheet.named_box(x[2], middle, widths[2], height, "logits", size, SECOND, numbers=square)
    sheet.text(x[2], middle + height / 2 + 3, scaled, size, va="bottom")
    sheet.named_box(x[3], middle, widths[3], height, "p", size, SECOND, numbers=square)
    sheet.arrow((right[2], middle), (begin[3], middle))
    sheet.text((right[2] + begin[3]) / 2, middle + 3, "softmax", size, va="bottom")
    sheet.named_box(x[4], middle, widths[4], height, "p @ v", size, STABLE, numbers=wide)
    sheet.arrow((right[3], middle), (begin[4], middle))
    sheet.arrow((right[1], rows[2]), (x[4], rows[2]), (x[4], middle - height / 2))
    q, k, v = map(plain, names)
    words = f"One head: the tokens {plain(entrance)} {tokens} become {q}, {k} and {v}, each {wide}. {q} and {k} make the logits "
    words += f"{plain(scaled)} {square}, a softmax makes the weights p {square} of them, and p @ v {wide} mixes the values."
    return describe(ax, words)


def draw_softmax(ax: Axes, logits, *, colour=STABLE) -> Axes:
    """What a softmax makes of a few logits: a bar for each, as high as its weight, and the logit below it."""
    logits = np.asarray(logits, dtype=float)
    weights = np.exp(logits - logits.max())
    weights /= weights.sum()
    places = np.arange(len(logits))
    ax.bar(places, weights, color=colour, width=0.7)
    for place, weight in zip(places, weights, strict=True):
        ax.text(place, weight + 0.03, f"{weight:.2g}", ha="center", color=deep(INK), fontsize=9)
    ax.set_xticks(places, [f"{logit:g}" for logit in logits])
    ax.set(ylim=(0, 1.18), yticks=[0, 1], xlabel="logit", ylabel="weight p")
    pairs = [f"{logit:g} gets {weight:.2g}" for logit, weight in zip(logits, weights, strict=True)]
    return describe(ax, f"A softmax of {len(logits)} logits: {', '.join(pairs)}.")
