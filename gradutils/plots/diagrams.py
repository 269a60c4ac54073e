"""Drawings that measure nothing: a loop of boxes, a flow chart."""

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gradutils.plots.sheet import ACROSS, ALONG, SIZES, Sheet, must_hold, plain
from gradutils.plots.style import EXPLODES, REFERENCE, STABLE, caption, describe


def draw_cycle(ax: Axes, boxes, labels=()) -> Axes:
    """Three to five boxes in a loop, clockwise from the top, with labels on the arrows from each to the next."""
    if not 3 <= len(boxes) <= 5:
        raise ValueError(f"boxes must hold 3 to 5 texts; got {len(boxes)}")
    must_hold("labels", labels or boxes, len(boxes), "one for each arrow, the last back to the first box")
    labels = list(labels) or [""] * len(boxes)
    sheet = Sheet(ax)
    count = len(boxes)
    turn = 2 * np.pi / count
    for size in SIZES:
        width, height = sheet.widest(boxes, size) + 2 * ACROSS + 4, sheet.tallest(boxes, size) + 2 * ALONG + 2
        aside = sheet.widest(labels, size)
        rx = min((sheet.width - 4 - width) / 2, (sheet.width - 4) / 2 / 0.75 - aside)
        ry = (sheet.height - 4 - height) / 2
        if rx >= width:
            break
    rx = min(rx, 2.6 * ry)
    middle = np.array([sheet.width, sheet.height]) / 2

    def at(angle, grow=0.0):
        return middle + np.array([(rx + grow) * np.sin(angle), (ry + grow) * np.cos(angle)])

    for k, (text, label) in enumerate(zip(boxes, labels, strict=True)):
        angles = np.linspace(k, k + 1, 201) * turn
        points = np.array([at(angle) for angle in angles])
        off = np.ones(len(points), dtype=bool)  # an arrow is what of the oval lies off its two boxes
        for centre in (at(k * turn), at((k + 1) * turn)):
            off &= (np.abs(points - centre) > np.array([width, height]) / 2 + 2).any(axis=1)
        sheet.arrow(*points[off][::4], tuple(points[off][-1]))
        half = (k + 0.5) * turn
        sine = np.sin(half)
        side = 0 if abs(sine) < 0.3 else np.sign(sine)
        ha = {0: "center", 1: "left", -1: "right"}[side]
        place = at(half, 4) if side else at(half, -8)
        sheet.text(*place, label, size, STABLE, ha=ha, va="bottom" if not side or np.cos(half) > 0 else "top")
        sheet.named_box(*at(k * turn), width, height, text, size)
    hops = [
        f"{plain(text)}{f' ({plain(label)})' if label else ''}"
        for text, label in zip(boxes, labels, strict=True)
    ]
    return describe(ax, f"A loop: {', then '.join(hops)}, and again {plain(boxes[0])}.")


def plot_guide(rows: list[tuple[str, str, str, str]], figure: Figure | None = None) -> Figure:
    """A flow chart: symptom -> measurement -> remedy, the evidence written on the last arrow.

    ``rows`` holds (symptom, measurement, remedy, evidence); rows of one symptom stand together and share its box. Returns
    the figure.
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

    for k, (symptom, measurement, remedy, evidence) in enumerate(rows):
        y = -k - 0.3
        measured = ax.text(
            2.35, y, measurement, va="center", fontsize=9.5, bbox=box | {"edgecolor": REFERENCE}
        )
        ax.text(7.15, y, remedy, va="center", fontsize=9.5, bbox=box | {"edgecolor": STABLE})
        ax.annotate(
            "", (2.25, y), (right_edge(boxes[symptom]), boxes[symptom].get_position()[1]), arrowprops=arrow
        )
        ax.annotate("", (7.05, y), (right_edge(measured), y), arrowprops=arrow)
        ax.text(6.3, y + 0.12, evidence, ha="center", fontsize=8)
    said = (
        f"A flow chart of {len(rows)} ways from {len(set(symptoms))} symptoms over a measurement to a remedy."
    )
    return caption(figure, said)
