"""Drawings that compute a little: a step in a valley, arrows that add up, a slope under a density, products of matrices."""

import numpy as np
import torch
from matplotlib.axes import Axes

from gradutils.plots.sheet import INK, SIZES, Sheet, plain
from gradutils.plots.style import EXPLODES, REFERENCE, STABLE, describe


def _derivative(function, x) -> np.ndarray:
    """Of an elementwise function, by autograd, float64."""
    x = torch.as_tensor(x, dtype=torch.float64).clone().requires_grad_()
    (slope,) = torch.autograd.grad(function(x).sum(), x)
    return slope.numpy()


def draw_slope_under_density(ax: Axes, phi, sigma: float, *, slope=None) -> Axes:
    """What E[phi'(z)^2] averages, z from N(0, sigma^2): phi' over the density of z, and the part of it that phi'^2 keeps.

    The density is drawn with height 1, so the coloured area over the grey one is the mean. ``phi`` is elementwise;
    ``slope`` is its derivative where autograd's is not wanted.
    """
    if not sigma > 0:
        raise ValueError(f"sigma must be positive; got {sigma}")
    reach = 3.3 * max(sigma, 1.0)
    z = torch.linspace(-reach, reach, 4001, dtype=torch.float64)
    slopes = _derivative(phi, z) if slope is None else np.asarray(slope(z), dtype=float)
    z = z.numpy()
    density = np.exp(-0.5 * (z / sigma) ** 2)
    kept = density * slopes**2
    mean = kept.sum() / density.sum()
    ax.fill_between(z, density, color=REFERENCE, alpha=0.3, linewidth=0)
    ax.fill_between(z, kept, color=STABLE, alpha=0.55, linewidth=0)
    ax.plot(z, slopes, color=INK, linewidth=1.6)
    top = 1.3 * max(1.0, slopes.max())
    ax.set(xlim=(-reach, reach), ylim=(min(0.0, 1.2 * slopes.min()), top), yticks=[], xlabel="$z$")
    ax.spines["left"].set_visible(False)
    ax.text(-0.97 * reach, 0.96 * top, "$\\phi'(z)$", color=INK, fontsize=9, va="top")
    ax.text(
        0.97 * reach,
        0.96 * top,
        f"$E[\\phi'(z)^2] = {mean:.2f}$",
        color=STABLE,
        fontsize=9,
        va="top",
        ha="right",
    )
    share = f"{100 * mean:.0f} % of the density"
    return describe(
        ax, f"The density of z with standard deviation {sigma:g} and phi' over it; phi'^2 keeps {share}."
    )


def draw_step(ax: Axes, loss, x: float, lr: float, *, low: float, high: float) -> Axes:
    """One step of gradient descent in a valley: the tangent at ``x``, the step against it, and where it lands.

    ``loss`` is an elementwise function of tensors. Red where it lands higher than it began, else blue.
    """
    if not low < x < high:
        raise ValueError(f"x must lie between low and high, {low} and {high}; got {x}")
    axis = torch.linspace(low, high, 401, dtype=torch.float64)
    heights = loss(axis).numpy()
    slope = float(_derivative(loss, x))
    landed = x - lr * slope
    before, after = (float(loss(torch.tensor(place, dtype=torch.float64))) for place in (x, landed))
    colour = EXPLODES if not after <= before else STABLE
    span = heights.max() - heights.min()
    ax.plot(axis, heights, color=REFERENCE)
    floor = heights.min() - 0.15 * span
    half = 0.12 * (high - low) / np.hypot(1, slope * (high - low) / span)
    ax.plot(
        [x - half, x + half], [before - half * slope, before + half * slope], color="black", linewidth=1.4
    )
    end = np.clip(landed, low, high)
    arrow = {"arrowstyle": "-|>", "color": colour, "linewidth": 1.6, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", (end, floor), (x, floor), arrowprops=arrow)
    ax.plot([x, x], [floor, before], color=REFERENCE, linewidth=0.8, linestyle="--")
    ax.plot(x, before, "o", color="black", markersize=6)
    inside = low <= landed <= high
    if inside:
        ax.plot([landed, landed], [floor, after], color=REFERENCE, linewidth=0.8, linestyle="--")
        ax.plot(landed, after, "o", color=colour, markersize=6)
    ax.text(
        (x + end) / 2,
        floor - 0.03 * span,
        f"step {-lr * slope:+.2g}",
        color=colour,
        fontsize=9,
        ha="center",
        va="top",
    )
    ax.text(
        x,
        before + 0.06 * span,
        f"derivative {slope:.2g}",
        fontsize=9,
        ha="left" if x < (low + high) / 2 else "right",
    )
    ax.set(xlim=(low, high), ylim=(floor - 0.18 * span, heights.max() + 0.05 * span), yticks=[])
    ax.spines["left"].set_visible(False)
    where = "" if inside else ", outside the picture"
    higher = "higher than" if colour == EXPLODES else "not higher than"
    words = f"A valley: at {x:.2g} the derivative is {slope:.2g}; the step of {-lr * slope:+.2g} lands at {landed:.2g}{where}"
    return describe(ax, f"{words}, {higher} before.")


def draw_arrows(ax: Axes, arrows: dict, *, reach) -> Axes:
    """Vectors in a plane with their names: ``arrows`` maps a name to (tail, vector, colour).

    ``reach``: the picture holds all points from -reach to reach; or (x low, x high, y low, y high).
    """
    x0, x1, y0, y1 = (-reach, reach, -reach, reach) if np.isscalar(reach) else reach
    ax.set_axis_off()
    ax.update_datalim([(x0, y0), (x1, y1)])
    ax.set_xlim(x0, x1, auto=True)
    ax.set_ylim(y0, y1, auto=True)
    ax.set_aspect("equal", adjustable="datalim")
    for name, ((x, y), (dx, dy), colour) in arrows.items():
        arrow = {
            "arrowstyle": "-|>",
            "color": colour,
            "linewidth": 1.8,
            "shrinkA": 0,
            "shrinkB": 0,
            "mutation_scale": 12,
        }
        ax.annotate("", (x + dx, y + dy), (x, y), arrowprops=arrow)
        across = np.array([-dy, dx]) / (np.hypot(dx, dy) or 1)
        ax.annotate(
            name,
            (x + dx / 2, y + dy / 2),
            10 * across,
            textcoords="offset points",
            color=colour,
            fontsize=9,
            ha="left" if across[0] > 0.3 else "right" if across[0] < -0.3 else "center",
            va="center",
        )
    said = [
        f"{plain(name)} from ({x:g}, {y:g}) by ({dx:g}, {dy:g})"
        for name, ((x, y), (dx, dy), _) in arrows.items()
    ]
    return describe(ax, f"Arrows: {'; '.join(said)}.")


def draw_grid_of_numbers(ax: Axes, matrices, *, highlight=None, shapes=True, colour=STABLE) -> Axes:
    """Matrices as grids of numbers with their names and shapes below, and signs between: [("h", [[1, 2]]), "@", ...].

    Entries are numbers or texts. ``highlight`` maps a name to (row, column), either of which may be None for all of
    them: those entries stand on ``colour``. ValueError for a name that is not among the matrices.
    """
    highlight = highlight or {}
    grids = [
        (part, None) if isinstance(part, str) else (part[0], np.atleast_2d(np.array(part[1], dtype=object)))
        for part in matrices
    ]
    names = [name for name, grid in grids if grid is not None]
    if unknown := set(highlight) - set(names):
        raise ValueError(f"highlight names {sorted(unknown)}; the matrices are {names}")
    sheet = Sheet(ax)
    texts = [
        [[entry if isinstance(entry, str) else f"{float(entry):.4g}" for entry in row] for row in grid]
        if grid is not None
        else None
        for _, grid in grids
    ]
    below = [
        f"{name} ({grid.shape[0]}, {grid.shape[1]})" if shapes else name
        for name, grid in grids
        if grid is not None
    ]
    for size in SIZES:
        cells = [
            max(24, sheet.widest([text for row in table for text in row], size) + 10) if table else 0
            for table in texts
        ]
        cell_height = (
            sheet.tallest([text for table in texts if table for row in table for text in row], size) + 10
        )
        labels = iter(below)
        widths = [
            max(cell * grid.shape[1], sheet.measure(next(labels), size)[0])
            if grid is not None
            else sheet.measure(name, size + 2)[0]
            for cell, (name, grid) in zip(cells, grids, strict=True)
        ]
        rows = max(grid.shape[0] for _, grid in grids if grid is not None)
        foot = sheet.tallest(below, size) + 5
        gap = (sheet.width - 4 - sum(widths)) / max(len(grids) - 1, 1)
        if gap >= 8 and rows * cell_height + foot + 4 <= sheet.height:
            break
    gap = min(gap, 20)
    x = (sheet.width - sum(widths) - gap * (len(grids) - 1)) / 2
    y = (sheet.height + foot) / 2
    labels = iter(below)
    for (name, grid), table, cell, width in zip(grids, texts, cells, widths, strict=True):
        middle = x + width / 2
        if grid is None:
            sheet.text(middle, y, name, size + 2)
        else:
            row, column = highlight.get(name, (-1, -1))
            for i, line in enumerate(table):
                for j, text in enumerate(line):
                    lit = row in (None, i) and column in (None, j)
                    place = (
                        middle + (j - (grid.shape[1] - 1) / 2) * cell,
                        y - (i - (grid.shape[0] - 1) / 2) * cell_height,
                    )
                    sheet.box(*place, cell - 2, cell_height - 2, colour if lit else REFERENCE)
                    sheet.text(*place, text, size, "black")
            sheet.text(middle, y - grid.shape[0] * cell_height / 2 - 3, next(labels), size, va="top")
        x += width + gap
    said = [name if grid is None else f"{plain(name)} = {grid.tolist()}" for name, grid in grids]
    return describe(ax, f"Matrices: {' '.join(said)}.")
