"""How every figure of the course looks and speaks.

Red explodes, purple vanishes, grey is for reference, theory is a dotted black line drawn over the measurement and
never fitted to it. Other colours only tell lines apart; where these three are about, blue does neither. Every
function leaves a sentence on its figure that says what the figure shows; it is the figure's plain text in a notebook,
and so it is compared with the stored one.
"""

import re
from importlib.resources import files
from weakref import WeakKeyDictionary

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatterSciNotation, NullLocator

STABLE, SECOND, EXPLODES = "#5790fc", "#f89c20", "#e42536"
THIRD, REFERENCE, VANISHES, FOURTH = "#964a8b", "#9c9ca1", "#7a21dd", "#008759"
QUIET = (STABLE, SECOND, THIRD, FOURTH)  # for lines that are only to be told apart, in turn
GROWTH = LinearSegmentedColormap.from_list("growth", [VANISHES, "white", EXPLODES])  # of a factor, 1 is white
THEORY = {"color": "black", "linestyle": ":", "linewidth": 1.6, "zorder": 5}
RAISED = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
STYLE = str(files("gradutils.plots") / "gradutils.mplstyle")

_sentences: WeakKeyDictionary[Figure, str] = WeakKeyDictionary()


def use_style() -> None:
    """Use the course's style for every figure from now on."""
    plt.style.use(STYLE)


def describe(ax: Axes, text: str) -> Axes:
    """Add a sentence that says what the axes shows."""
    caption(ax.figure, f"{_sentences.get(ax.figure, '')} {text}".strip())
    return ax


def caption(figure: Figure, text: str) -> Figure:
    """Say what the figure shows as a whole, in place of what was said of its axes."""
    _sentences[figure] = text
    return figure


def sentence(figure: Figure) -> str:
    """What the figure shows, in words."""
    return _sentences.get(figure) or "A figure without a description."


def label_lines(ax: Axes, labels: dict) -> Axes:
    """Write each label at the right end of its line, in the line's colour, pushed apart where ends are close.

    ``labels`` maps a Line2D to its text. Call it last, when the limits are final.
    """
    ax.autoscale_view()
    ends = []
    for line, text in labels.items():
        x, y = (np.asarray(values, dtype=float) for values in line.get_data())
        inside = np.isfinite(x) & np.isfinite(y)
        if inside.any():
            ends.append((ax.transData.transform((x[inside][-1], y[inside][-1])), line, text))
    low, high = ax.transAxes.transform([(0, 0), (1, 1)])[:, 1]
    ends.sort(key=lambda end: end[0][1])
    height, floor = 15.0, low
    for (x, y), line, text in ends:
        floor = max(min(y, high), floor)
        position = ax.transData.inverted().transform((x, floor))
        ax.annotate(
            text,
            position,
            xytext=(5, 0),
            textcoords="offset points",
            color=line.get_color(),
            va="center",
            fontsize=9,
            annotation_clip=False,  # pushed past the top it is still shown
        )
        floor += height
    return ax


def finish(ax: Axes, title: str, xlabel: str | None = None, ylabel: str | None = None) -> None:
    """The last line of a figure's cell: the finding as its title, and the axes' names."""
    ax.set_title(title)
    for name, setter in ((xlabel, ax.set_xlabel), (ylabel, ax.set_ylabel)):
        if name is not None:
            setter(name)
    if len(ax.get_shared_y_axes().get_siblings(ax)) > 1:
        ax.label_outer()  # side by side on one scale, the outer axes carry the names
    plain_ticks(ax)
    describe(ax, f"{title}.")


class _Plain(LogFormatterSciNotation):
    """The labels that a logarithmic axis would carry, as plain numbers."""

    def __call__(self, x, pos=None):
        return f"{x:g}" if super().__call__(x, pos) else ""


class _Powers(LogFormatterSciNotation):
    """The same labels, as text such as 10⁻³: what is set as a formula takes many times as long to draw."""

    def __call__(self, x, pos=None):
        label = super().__call__(x, pos).removeprefix(r"$\mathdefault{").removesuffix("}$")
        label = re.sub(r"\^\{(.*?)\}", lambda power: power[1].translate(RAISED), label)
        return label.replace(r"\times", "×").replace("-", "−")


def plain_ticks(ax: Axes) -> None:
    """Plain numbers on logarithmic axes that are short: 2 is read faster than 2 × 10⁰. Powers alone on those that are long."""
    for axis, (low, high) in ((ax.xaxis, ax.get_xlim()), (ax.yaxis, ax.get_ylim())):
        if isinstance(axis.get_major_formatter(), LogFormatterSciNotation):
            labels = _Plain if 1e-3 < low < high < min(1e3 * low, 1e4) else _Powers
            axis.set_major_formatter(labels())
            axis.set_minor_formatter(labels())
            if high > 1e3 * low > 0:
                axis.set_minor_locator(NullLocator())


def widen_to(ax: Axes, decades: float) -> None:
    """Widen a logarithmic y axis to so many decades: what is nearly equal is to look nearly equal."""
    if ax.get_yscale() == "log":
        low, high = np.log10(ax.get_ylim())
        if high - low < decades:
            middle = (low + high) / 2
            ax.set_ylim(10 ** (middle - decades / 2), 10 ** (middle + decades / 2))


def mark_vertical(ax: Axes, x: float, text: str, *, colour="black", style=":") -> Axes:
    """A vertical line with its name written up along it."""
    ax.axvline(x, color=colour, linestyle=style, linewidth=1.4)
    place = {"xycoords": ("data", "axes fraction"), "xytext": (-3, 0), "textcoords": "offset points"}
    ax.annotate(text, (x, 0.98), **place, rotation=90, ha="right", va="top", color=colour, fontsize=9)
    return ax


def colour_of_growth(growth: float) -> str:
    """Red for what grows by more than 10 x over a network (or is no number), purple for what shrinks as much, else blue."""
    return EXPLODES if not growth < 10 else VANISHES if growth < 0.1 else STABLE
