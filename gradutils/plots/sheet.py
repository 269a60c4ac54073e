"""A sheet of paper to draw on: boxes as large as their text, arrows, and labels, all placed in points."""

from matplotlib.axes import Axes
from matplotlib.colors import to_rgb, to_rgba
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path

from gradutils.plots.style import REFERENCE

INK = "#444444"  # what goes forward
PALE = "#77777c"  # what is said by the way
SIZES = (10, 9.5, 9, 8.5, 8, 7.5, 7)  # of text, the largest that fits is taken
ACROSS, ALONG = 5, 4  # the room between a text and its box: at the sides, above and below


class Sheet:
    """An axes whose data units are points, from (0, 0) at the lower left to (width, height)."""

    def __init__(self, ax: Axes):
        self.ax = ax
        ax.set_axis_off()
        ax.set(xticks=[], yticks=[])  # hidden ticks, too, would be measured
        title = ax.get_title(loc="left")
        ax.set_title(title or "A title", loc="left")  # one may come later: its room is kept free
        ax.figure.draw_without_rendering()  # the layout is found when drawing
        ax.set_title(title, loc="left")
        self.points = 72 / ax.figure.dpi
        self.width, self.height = (self.points * pixels for pixels in ax.get_window_extent().size)
        ax.set_xlim(0, self.width, auto=True)
        ax.set_ylim(0, self.height, auto=True)
        ax.update_datalim([(0, 0), (self.width, self.height)])  # room that is gained is added around
        ax.set_aspect("equal", adjustable="datalim")

    def measure(self, text: str, size: float) -> tuple[float, float]:
        """The width and the height of a text."""
        if not text:
            return 0.0, 0.0
        probe = self.ax.text(0, 0, text, fontsize=size)
        extent = probe.get_window_extent()
        probe.remove()
        return self.points * extent.width, self.points * extent.height

    def widest(self, texts, size: float) -> float:
        return max((self.measure(text, size)[0] for text in texts), default=0.0)

    def tallest(self, texts, size: float) -> float:
        return max((self.measure(text, size)[1] for text in texts), default=0.0)

    def text(
        self, x, y, text, size, colour=INK, *, ha="center", va="center", ma="center", ground=False
    ) -> None:
        """A text; ``ground`` lets it stand on a line."""
        if text:
            ground = {"facecolor": "white", "edgecolor": "none", "pad": 0.8} if ground else None
            place = {"ha": ha, "va": va, "ma": ma, "bbox": ground, "clip_on": False}
            self.ax.text(x, y, text, fontsize=size, color=deep(colour), **place)

    def box(self, x, y, width, height, colour=REFERENCE) -> None:
        """A light box with its middle at (x, y)."""
        style = {"boxstyle": "round,pad=0,rounding_size=3.5", "linewidth": 1.1, "clip_on": False}
        corner = (x - width / 2, y - height / 2)
        self.ax.add_patch(
            FancyBboxPatch(corner, width, height, facecolor=to_rgba(colour, 0.15), edgecolor=colour, **style)
        )

    def named_box(self, x, y, width, height, text, size, colour=REFERENCE, numbers="") -> None:
        """A box with its name in it, and smaller below it the numbers."""
        self.box(x, y, width, height, colour)
        high, low = self.measure(text, size)[1], self.measure(numbers, size - 1)[1]
        between = 1.5 if text and numbers else 0
        self.text(x, y + (low + between) / 2, text, size, "black")
        self.text(x, y - (high + between) / 2, numbers, size - 1, ma="left")

    def circle(self, x, y, radius, text, size, colour=REFERENCE) -> None:
        style = {"facecolor": to_rgba(colour, 0.15), "edgecolor": colour, "linewidth": 1.1, "clip_on": False}
        self.ax.add_patch(Circle((x, y), radius, **style))
        self.text(x, y, text, size, "black")

    def arrow(self, *points, colour=INK, bend=0.0) -> None:
        """An arrow through the points; ``bend`` is how far the middle of one of two points leaves the line, to its left."""
        style = {
            "arrowstyle": "-|>",
            "mutation_scale": 9,
            "linewidth": 1.3,
            "color": colour,
            "clip_on": False,
        }
        (x0, y0), (x1, y1) = points[0], points[-1]
        if bend:
            length = ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5
            across = -(y1 - y0) / length, (x1 - x0) / length
            middle = ((x0 + x1) / 2 + 2 * bend * across[0], (y0 + y1) / 2 + 2 * bend * across[1])
            path = Path([points[0], middle, points[-1]], [Path.MOVETO, Path.CURVE3, Path.CURVE3])
        else:
            path = Path(points)
        self.ax.add_patch(FancyArrowPatch(path=path, shrinkA=0, shrinkB=0, **style))


def deep(colour: str) -> tuple[float, float, float]:
    """The colour of an arrow, darker: thin letters need more of it than lines do."""
    return tuple(0.72 * part for part in to_rgb(colour))


def plain(text: str) -> str:
    """A label as it is read aloud: on one line, without the marks of mathtext."""
    for mark, word in (("\\partial ", "d"), ("\\times", "x"), ("{", "("), ("}", ")"), ("$", ""), ("\\", "")):
        text = text.replace(mark, word)
    return " ".join(text.split())


def must_hold(name: str, given, expected: int, why: str) -> None:
    """Raise ValueError unless as many entries are given as expected."""
    if len(given) != expected:
        raise ValueError(f"{name} must hold {expected} entries, {why}; got {len(given)}: {list(given)}")
