"""Drawings that measure nothing: boxes and arrows."""

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from gradutils.plots.style import EXPLODES, REFERENCE, STABLE, caption


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
