"""Drawings that measure nothing: a loop of boxes, a flow chart."""

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gradutils.plots.sheet import ACROSS, ALONG, SIZES, Sheet, must_hold, plain
from gradutils.plots.style import EXPLODES, REFERENCE, STABLE, caption, describe


def draw_cycle(ax: Axes, boxes, labels=()) -> Axes:
    """Three to five boxes in a loop, clockwise from the top, with labels on the arrows from each to the next."""
    count = len(boxes)
    if not 3 <= count <= 5:
        raise ValueError(f"boxes must hold 3 to 5 texts; got {count}")
    must_hold("labels", labels or boxes, count, "one for each arrow, the last back to the first box")
    labels = list(labels) or [""] * count
    turns = 2 * np.pi * (np.arange(count) + 0.5) / count  # of the middles of the arrows
    sides = [0 if abs(np.sin(turn)) < 0.3 else np.sign(np.sin(turn)) for turn in turns]
    sheet = Sheet(ax)
    for size in SIZES:
        width, height = sheet.widest(boxes, size) + 3 * ACROSS, sheet.tallest(boxes, size) + 2.5 * ALONG
        ry = (sheet.height - 4 - height) / 2
        outward = [abs(np.sin(turn)) for turn in turns]
        aside = [
            (sheet.width / 2 - 12 - sheet.measure(label, size)[0]) / out
            for label, out, side in zip(labels, outward, sides, strict=True)
            if side
        ]
        rx = min((sheet.width - 4 - width) / 2, *aside)
        if rx >= 0.8 * width + 12:
            break
    radii = np.array([min(rx, 2.8 * ry), ry])
    middle = np.array([sheet.width, sheet.height]) / 2

    def at(turn):
        return middle + radii * np.array([np.sin(turn), np.cos(turn)])

    for k, (text, label) in enumerate(zip(boxes, labels, strict=True)):
        step = np.pi / count
        points = np.array([at(turn) for turn in np.linspace(turns[k] - step, turns[k] + step, 401)])
        off = np.ones(len(points), dtype=bool)  # an arrow is what of the oval lies off its two boxes
        for box in (points[0], points[-1]):
            off &= (np.abs(points - box) > np.array([width, height]) / 2 + 2).any(axis=1)
        shown = points[off]
        sheet.arrow(*shown[np.linspace(0, len(shown) - 1, 30).astype(int)])
        sheet.named_box(*points[0], width, height, text, size, STABLE)
        out = 1 if sides[k] else -1  # above and below the middle a label stands inside, beside it outside
        level = 0 if abs(np.cos(turns[k])) < 0.35 else out * np.sign(np.cos(turns[k]))
        outward = np.array([np.sin(turns[k]) / radii[0], np.cos(turns[k]) / radii[1]])
        x, y = at(turns[k]) + out * (5 if level else 9) * outward / np.hypot(*outward)
        ha, va = {0: "center", 1: "left", -1: "right"}[sides[k]], {0: "center", 1: "bottom", -1: "top"}[level]
        sheet.text(x, y, label, size, ha=ha, va=va)
    hops = [
        f"{plain(text)}{f' ({plain(label)})' if label else ''}"
        for text, label in zip(boxes, labels, strict=True)
    ]
    return describe(ax, f"A loop: {', then '.join(hops)}, and again {plain(boxes[0])}.")


def plot_guide(rows: list[tuple[str, ...]], figure: Figure | None = None) -> Figure:
    """A flow chart: symptom -> measurement -> remedy.

    ``rows`` holds these three, and may hold more; rows of one symptom stand together and share its box. Returns the figure.
    """
    figure = figure or plt.figure(figsize=(10.4, 0.5 * len(rows) + 0.6), layout="none")
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, 10.4), ylim=(-len(rows), 0.8))
    ax.set_axis_off()
    box = {"boxstyle": "round,pad=0.35", "linewidth": 1.2, "facecolor": "white"}
    arrow = {"arrowstyle": "-|>", "color": REFERENCE, "linewidth": 1.2, "shrinkA": 2, "shrinkB": 2}
    for x, name in ((0.1, "what you see"), (2.3, "what to measure, and what it shows"), (7.1, "what to do")):
        ax.text(x, 0.4, name, fontsize=10, color=REFERENCE)
    symptoms = [row[0] for row in rows]
    boxes = {}
    for symptom in dict.fromkeys(symptoms):
        middle = -symptoms.index(symptom) - (symptoms.count(symptom) - 1) / 2 - 0.3
        boxes[symptom] = ax.text(
            0.15, middle, symptom, va="center", fontsize=9.5, bbox=box | {"edgecolor": EXPLODES}
        )
    renderer, to_data = figure.canvas.get_renderer(), ax.transData.inverted()

    def right_edge(text):
        return text.get_window_extent(renderer).transformed(to_data).x1 + 0.1

    for k, (symptom, measurement, remedy, *_) in enumerate(rows):
        y = -k - 0.3
        measured = ax.text(
            2.35, y, measurement, va="center", fontsize=9.5, bbox=box | {"edgecolor": REFERENCE}
        )
        ax.text(7.15, y, remedy, va="center", fontsize=9.5, bbox=box | {"edgecolor": STABLE})
        ax.annotate(
            "", (2.25, y), (right_edge(boxes[symptom]), boxes[symptom].get_position()[1]), arrowprops=arrow
        )
        ax.annotate("", (7.05, y), (right_edge(measured), y), arrowprops=arrow)
    said = (
        f"A flow chart of {len(rows)} ways from {len(set(symptoms))} symptoms over a measurement to a remedy."
    )
    return caption(figure, said)
