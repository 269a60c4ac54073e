"""Drawings that compute a little: a slope under a density, a step in a valley, vectors, products of matrices."""

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from gradutils.plots.sheet import INK, PALE, SIZES, Sheet, deep, plain
from gradutils.plots.style import EXPLODES, REFERENCE, STABLE, describe


def _derivative(function, x) -> np.ndarray:
    """The derivative of an elementwise function by autograd, float64."""
    x = torch.as_tensor(x, dtype=torch.float64).clone().requires_grad_()
    (slope,) = torch.autograd.grad(function(x).sum(), x)
    return slope.numpy()


def _bare(ax: Axes) -> None:
    """Only the axis along the bottom: the heights have no unit."""
    ax.spines["left"].set_visible(False)
    ax.set_yticks([])
    ax.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))


def _write(ax: Axes, text: str, places, points, colour) -> None:
    """Write a text at the place, (x, y, right, up), where it covers the fewest points and texts; off by so many points."""
    ax.figure.draw_without_rendering()  # the layout is found when drawing
    points = ax.transData.transform(points)
    taken = [other.get_window_extent() for other in ax.texts if other.get_text()]
    tried = []
    for x, y, right, up in places:
        ha = {-1: "right", 0: "center", 1: "left"}[np.sign(right) if abs(right) > 2 else 0]
        va = {-1: "top", 0: "center", 1: "bottom"}[np.sign(up) if abs(up) > 2 else 0]
        label = ax.annotate(
            text,
            (x, y),
            (right, up),
            textcoords="offset points",
            color=deep(colour),
            fontsize=9,
            ha=ha,
            va=va,
            annotation_clip=False,
        )
        extent = label.get_window_extent()
        inside = ax.bbox.x0 <= extent.x0 and extent.x1 <= ax.bbox.x1 and ax.bbox.y0 <= extent.y0 <= ax.bbox.y1
        covered = extent.padded(2).count_contains(points) + 1000 * extent.count_overlaps(taken)
        tried.append((covered + 1000 * (not inside), len(tried), label))
    for _, _, label in sorted(tried)[1:]:
        label.remove()


def draw_slope_under_density(ax: Axes, phi, sigma: float, *, slope=None, reach=None, height=1.0) -> Axes:
    """What E[phi'(z)^2] averages, z from N(0, sigma^2): phi' over the density of z, and the part of it that phi'^2 keeps.

    The coloured area over the grey one is the mean. ``phi`` is elementwise; ``slope`` is its derivative where autograd's
    is not wanted. Two pictures are compared with one ``reach`` on either side of 0 (3.3 sigma by default, at least 3.3)
    and with a ``height`` of the density that falls as 1 / sigma. ValueError unless sigma is positive.
    """
    if not sigma > 0:
        raise ValueError(f"sigma must be positive; got {sigma}")
    most = 3.3 * max(sigma, 1.0)  # where nearly all of the density lies
    reach = most if reach is None else reach
    end = max(most, reach)  # the mean is taken over all of it, also where the picture is narrower
    z = torch.linspace(-end, end, 4001, dtype=torch.float64)
    slopes = _derivative(phi, z) if slope is None else np.asarray(slope(z), dtype=float)
    z = z.numpy()
    density = height * np.exp(-0.5 * (z / sigma) ** 2)
    kept = density * slopes**2
    mean = kept.sum() / density.sum()
    low, high = min(0.0, 1.15 * slopes.min()), max(1.0, slopes.max(), kept.max())
    ax.fill_between(z, density, color=REFERENCE, alpha=0.3, linewidth=0)
    ax.fill_between(z, kept, color=STABLE, alpha=0.6, linewidth=0)
    ax.plot(z, slopes, color=INK, linewidth=1.6)
    if low < 0:
        ax.axhline(0, color=REFERENCE, linewidth=0.8)
    ax.set(xlim=(-reach, reach), ylim=(low, 1.05 * high + 0.32 * (high - low)), xlabel="$z$")
    _bare(ax)
    names = [
        ((4, -3), "density of $z$", PALE),
        ((4, -17), r"derivative $\phi'(z)$", INK),
        ((-4, -3), rf"$E[\phi'(z)^2] = {mean:.2f}$", deep(STABLE)),
    ]
    style = {"xycoords": "axes fraction", "textcoords": "offset points", "fontsize": 9, "va": "top"}
    for offset, text, shade in names:
        corner, side = ((0, 1), "left") if offset[0] > 0 else ((1, 1), "right")
        ax.annotate(text, corner, offset, color=shade, ha=side, **style)
    words = f"The density of z with standard deviation {sigma:g}, grey, and the derivative phi' over it"
    return describe(ax, f"{words}; phi'^2 keeps {100 * mean:.0f} % of the density, blue.")


def draw_step(ax: Axes, loss, x: float, lr: float, *, low: float, high: float) -> Axes:
    """One step of gradient descent in a valley: the tangent at ``x``, the step against it, and where it lands.

    ``loss`` is an elementwise function of tensors. Red where it lands higher than it began, else blue. ValueError unless
    x lies between low and high.
    """
    if not low < x < high:
        raise ValueError(f"x must lie between low = {low} and high = {high}; got {x}")
    axis = torch.linspace(low, high, 401, dtype=torch.float64)
    heights = loss(axis).detach().numpy()
    slope = float(_derivative(loss, x))
    landed = x - lr * slope
    before, after = (float(loss(torch.tensor(place, dtype=torch.float64))) for place in (x, landed))
    colour = STABLE if after <= before else EXPLODES
    bottom, span = heights.min(), np.ptp(heights)
    floor = bottom - 0.14 * span
    inside = low <= landed <= high
    end = np.clip(landed, low, high)
    pictured = slope * (high - low) / (1.5 * span)  # as it looks: the tangent is drawn as long at any slope
    reach = 0.17 * (high - low) / np.hypot(1, pictured)
    tangent = np.linspace(x - reach, x + reach, 60)
    touching = before + slope * (tangent - x)
    top = max(bottom + 1.08 * span, touching.max() + 0.04 * span)
    ax.set(xlim=(low, high), ylim=(floor - 0.24 * span, top))
    _bare(ax)
    ax.plot(axis, heights, color=REFERENCE)
    ax.plot(tangent, touching, color="black", linewidth=1.4)
    spots = [(x, before, "black")] + [(landed, after, colour)] * inside
    for place, height, shade in spots:
        ax.plot([place, place], [floor, height], color=REFERENCE, linewidth=0.9, linestyle="--")
        ax.plot(place, height, "o", color=shade, markersize=6)
    arrow = {"arrowstyle": "-|>", "color": colour, "linewidth": 1.8, "shrinkA": 0, "shrinkB": 0}
    if slope:
        ax.annotate("", (end, floor), (x, floor), arrowprops=arrow)
    worked = f"$-{lr:g} \\times {f'({slope:.2g})' if slope < 0 else f'{slope:.2g}'} = {-lr * slope:+.2g}$"
    lines = [np.column_stack([axis, heights]), np.column_stack([tangent, touching])]
    for place, height, _ in spots:
        down = np.linspace(floor, height, 60)
        lines.append(np.column_stack([0 * down + place, down]))
    covered = np.concatenate(lines)
    around = [(x, before, right, up) for up in (7, -7, 0, 20, -20) for right in (12, -12)]
    _write(ax, f"derivative {slope:.2g}", [*around, (x, before, 0, 10)], covered, "black")
    under = [((x + end) / 2, floor, 0, -4), (low, floor, 3, -4), (high, floor, -3, -4)]
    _write(ax, worked, under, covered, colour)
    where = "" if inside else ", outside the picture"
    higher = "not higher than" if after <= before else "higher than"
    words = f"A valley: at {x:.2g} the derivative is {slope:.2g}; the step of {-lr * slope:+.2g}"
    return describe(ax, f"{words} lands at {landed:.2g}{where}, {higher} before.")


def draw_arrows(ax: Axes, arrows: dict, *, reach) -> Axes:
    """Vectors in a plane with their names: ``arrows`` maps a name to (tail, vector, colour).

    ``reach``: the picture holds all points from -reach to reach; or (x low, x high, y low, y high).
    """
    x0, x1, y0, y1 = (-reach, reach, -reach, reach) if np.isscalar(reach) else reach
    ax.set_axis_off()
    ax.set(xticks=[], yticks=[])  # hidden ticks, too, would be measured
    ax.set_xlim(x0, x1, auto=True)
    ax.set_ylim(y0, y1, auto=True)
    ax.update_datalim([(x0, y0), (x1, y1)])  # room that is gained is added around
    ax.set_aspect("equal", adjustable="datalim")
    style = {"arrowstyle": "-|>", "linewidth": 1.8, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 12}
    shares = np.linspace(0, 1, 60)[:, None]
    points = []
    for tail, vector, colour in arrows.values():
        tail, vector = np.array(tail, dtype=float), np.array(vector, dtype=float)
        ax.annotate("", tail + vector, tail, arrowprops=style | {"color": colour}, annotation_clip=False)
        points.append(tail + shares * vector)
    points = np.concatenate(points)
    for name, (tail, vector, colour) in arrows.items():
        tail, vector = np.array(tail, dtype=float), np.array(vector, dtype=float)
        across = np.array([-vector[1], vector[0]]) / (np.hypot(*vector) or 1.0)
        sides = [
            (*(tail + share * vector), *(side * away * across))
            for away in (7, 12)
            for share in (0.5, 0.4, 0.6, 0.25, 0.75, 0.9)
            for side in (1, -1)
        ]
        _write(ax, name, sides, points, colour)
    said = [
        f"{plain(name)} from ({x:.3g}, {y:.3g}) by ({dx:.3g}, {dy:.3g})"
        for name, ((x, y), (dx, dy), _) in arrows.items()
    ]
    return describe(ax, f"Arrows: {'; '.join(said)}.")


def _grid(entries) -> list[list[str]]:
    """A matrix, or a vector as a row, as texts."""
    rows = entries.tolist() if hasattr(entries, "tolist") else list(entries)
    rows = [list(row) for row in rows] if rows and isinstance(rows[0], list | tuple) else [rows]
    if len({len(row) for row in rows}) != 1 or not rows[0]:
        raise ValueError(f"a matrix must have rows of one length; got {rows}")
    return [[entry if isinstance(entry, str) else f"{float(entry):.4g}" for entry in row] for row in rows]


def draw_grid_of_numbers(ax: Axes, matrices, *, highlight=None, shapes=True, colour=STABLE) -> Axes:
    """Matrices as grids of numbers, names and shapes below them, and signs between: [("h", [[1, 2]]), "@", ...].

    Entries are numbers or texts. ``highlight`` maps a name to (row, column), either of which may be None for all of
    them: those entries stand on ``colour``. ValueError for a name that is not among the matrices, or for rows of several
    lengths.
    """
    highlight = highlight or {}
    parts = [(part, None) if isinstance(part, str) else (part[0], _grid(part[1])) for part in matrices]
    names = [name for name, grid in parts if grid]
    if unknown := sorted(set(highlight) - set(names)):
        raise ValueError(f"highlight must name some of the matrices {names}; got {unknown}")

    def under(name, grid):
        return f"{name}  ({len(grid)}, {len(grid[0])})" if shapes else name

    entries = [text for _, grid in parts if grid for row in grid for text in row]
    labels = [under(*part) for part in parts if part[1]]
    most = max(len(grid) for _, grid in parts if grid)
    sheet = Sheet(ax)
    for size in SIZES:
        cell = max(22.0, sheet.widest(entries, size) + 9), sheet.tallest(entries, size) + 9
        widths = [
            max(cell[0] * len(grid[0]), sheet.measure(under(name, grid), size)[0])
            if grid
            else sheet.measure(name, size + 2)[0]
            for name, grid in parts
        ]
        gap = (sheet.width - 4 - sum(widths)) / max(len(parts) - 1, 1)
        foot = sheet.tallest(labels, size) + 5
        if gap >= 7 and most * cell[1] + foot + 4 <= sheet.height:
            break
    gap = min(gap, 18)
    left = (sheet.width - sum(widths) - gap * (len(parts) - 1)) / 2
    y = (sheet.height + foot) / 2
    for (name, grid), width in zip(parts, widths, strict=True):
        middle, left = left + width / 2, left + width + gap
        if not grid:
            sheet.text(middle, y, name, size + 2)
            continue
        row, column = highlight.get(name, (-1, -1))
        tall, wide = len(grid), len(grid[0])
        for i, line in enumerate(grid):
            for j, text in enumerate(line):
                place = middle + (j - (wide - 1) / 2) * cell[0], y - (i - (tall - 1) / 2) * cell[1]
                lit = row in (None, i) and column in (None, j)
                sheet.box(*place, cell[0] - 2, cell[1] - 2, colour if lit else REFERENCE)
                sheet.text(*place, text, size, "black")
        sheet.text(middle, y - tall * cell[1] / 2 - 3, under(name, grid), size, va="top")
    said = [
        f"{plain(name)} [{', '.join('[' + ', '.join(row) + ']' for row in grid)}]" if grid else name
        for name, grid in parts
    ]
    marked = [f"{plain(name)} at {_place(*place)}" for name, place in highlight.items()]
    return describe(ax, f"Numbers: {' '.join(said)}." + (f" Marked: {', '.join(marked)}." if marked else ""))


def _place(row, column) -> str:
    words = [f"row {row}"] * (row is not None) + [f"column {column}"] * (column is not None)
    return " and ".join(words) or "all entries"
