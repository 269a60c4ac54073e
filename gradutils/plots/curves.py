"""The figures of the lessons: functions take an axes and return it."""

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.ticker import NullLocator

from gradutils.plots.style import (
    EXPLODES,
    QUIET,
    REFERENCE,
    STABLE,
    THEORY,
    colour_of_growth,
    describe,
    label_lines,
)  # fmt: skip


def finite_part(values) -> np.ndarray:
    """The values up to the last one before the first that is not finite."""
    values = np.asarray(values, dtype=float)
    broken = np.flatnonzero(~np.isfinite(values))
    return values[: broken[0]] if len(broken) else values


def colours_of(runs: dict) -> dict:
    """A colour for each run (a sequence of sizes): red for those that grew, the quiet colours in turn for the others."""
    if len(runs) > 4:
        raise ValueError(f"at most four lines an axes; got {len(runs)}")
    quiet = iter(QUIET)
    return {name: next(quiet) if sizes[-1] <= sizes[0] else EXPLODES for name, sizes in runs.items()}


def plot_history(
    ax: Axes, curves: dict, *, colours=None, ylabel="loss", xlabel="step", log=True, limit=1e12
) -> Axes:
    """One line a curve over the steps; a curve that leaves the finite numbers (or passes ``limit``) ends in a cross.

    ``curves`` maps a label to a sequence of values. At most four. Without ``colours`` (label to colour) those that end above
    their start are red.
    """
    curves = {name: np.asarray(values, dtype=float) for name, values in curves.items()}
    colours = colours or colours_of(curves)
    labels, words = {}, []
    for name, values in curves.items():
        kept = finite_part(np.where(values > limit, np.inf, values))
        (line,) = ax.plot(kept, color=colours[name])
        labels[line] = name
        if len(kept) == 0:
            words.append(f"{name}: never finite")
        elif len(kept) < len(values):
            ax.plot(len(kept) - 1, kept[-1], "x", color=colours[name], markersize=9, markeredgewidth=2.5)
            words.append(f"{name}: {kept[0]:.2g} at first, diverges at step {len(kept)}")
        else:
            words.append(f"{name}: {kept[0]:.2g} at first, {_end(kept)} at last")
    if log:
        ax.set_yscale("log")
    ax.set(xlabel=xlabel, ylabel=ylabel)
    label_lines(ax, labels)
    return describe(ax, f"{ylabel} by {xlabel}. " + "; ".join(words) + ".")


def _end(values) -> str:
    """Where a curve ends, in words that an unstable run keeps on another processor."""
    first, last = abs(values[0]), abs(values[-1])
    if last > 0 and not first / 100 < last < first * 100:
        return f"about {10.0 ** round(np.log10(last)):.0e}"
    return "higher" if last > first else "lower"


def plot_path_1d(ax: Axes, loss, path, *, low: float, high: float, name="x") -> Axes:
    """The loss over one parameter from ``low`` to ``high``, and the points of ``path`` on it, joined in order.

    Red if it ends higher than it began. If only its last step leaves the page, that step is red.
    """
    grid = torch.linspace(low, high, 400, dtype=torch.float64)
    points = torch.as_tensor(finite_part(path), dtype=torch.float64)
    grows = loss(points[-1]) > loss(points[0])
    leaves = bool((points[-1] < low) | (points[-1] > high))
    kept = points[:-1] if leaves else points
    ax.plot(grid, loss(grid), color=REFERENCE)
    colour = EXPLODES if grows and not leaves else STABLE
    ax.plot(kept, loss(kept), color=colour, marker="o", markersize=4, linewidth=0.8)
    if leaves:
        ax.plot(points[-2:], loss(points[-2:]), color=EXPLODES, linewidth=2)
    ax.set(xlabel=name, ylabel="loss", xlim=(low, high))
    return describe(
        ax, f"A path on the loss over {name}, " + ("leaving it." if leaves else f"ending at {kept[-1]:.2g}.")
    )


def plot_path_2d(ax: Axes, H, path, *, reach=None) -> Axes:
    """Contours of x.H.x / 2 and a path of shape (steps + 1, 2); red if it ends further out than it began."""
    H, path = np.asarray(H, dtype=float), np.asarray(path, dtype=float)
    sizes = np.linalg.norm(path, axis=1)
    reach = reach or 1.15 * np.abs(path[np.isfinite(sizes)]).max()
    axis = np.linspace(-reach, reach, 121)
    x, y = np.meshgrid(axis, axis)
    z = 0.5 * (H[0, 0] * x**2 + 2 * H[0, 1] * x * y + H[1, 1] * y**2)
    ax.contour(x, y, z, levels=z.max() * np.geomspace(1e-4, 1, 9), colors=REFERENCE, linewidths=0.7)
    colour = STABLE if sizes[-1] <= sizes[0] else EXPLODES
    ax.plot(path[:, 0], path[:, 1], color=colour, marker="o", markersize=3, linewidth=1)
    ax.set(xlabel="$x_1$", ylabel="$x_2$", xlim=(-reach, reach), ylim=(-reach, reach))
    return describe(ax, f"A path of {len(path) - 1} steps from distance {sizes[0]:.2g} to {sizes[-1]:.1g}.")


def plot_outcomes(ax: Axes, x, y, good) -> Axes:
    """One dot a run, blue where ``good``, red elsewhere, on a logarithmic y axis."""
    x, y, good = np.asarray(x, dtype=float), np.asarray(y, dtype=float), np.asarray(good, dtype=bool)
    ax.semilogy(x, y, color=REFERENCE, linewidth=1)
    for mask, colour in ((good, STABLE), (~good, EXPLODES)):
        ax.plot(x[mask], y[mask], "o", color=colour, markersize=7)
    return describe(ax, f"{good.sum()} of {len(x)} runs end well (blue), the others do not (red).")


def median_and_band(values, dim: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Over the seeds along ``dim``: the median, and the 10 and 90 % quantiles stacked, (2, ...); float64."""
    levels = torch.tensor([0.5, 0.1, 0.9], dtype=torch.float64)
    median, *band = torch.as_tensor(values, dtype=torch.float64).quantile(levels, dim=dim)
    return median, torch.stack(band)


def plot_vectors(ax: Axes, vectors) -> Axes:
    """Arrows from the origin to the (n, 2) points and the outline through them, drawn as large as the longest."""
    vectors = np.asarray(vectors, dtype=float)
    sizes = np.linalg.norm(vectors, axis=1)
    scale = sizes.max() or 1.0
    x, y = (vectors / scale).T
    ax.plot([*x, x[0]], [*y, y[0]], color=REFERENCE, linewidth=1)
    ax.quiver(
        np.zeros_like(x),
        np.zeros_like(y),
        x,
        y,
        color=STABLE,
        angles="xy",
        scale_units="xy",
        scale=1,
        width=0.012,
    )
    ax.set(xlim=(-1.1, 1.1), ylim=(-1.1, 1.1), xticks=[], yticks=[], aspect="equal")
    return describe(ax, f"{len(vectors)} arrows; the longest is {scale:.1g}, the shortest {sizes.min():.0e}.")


def _over_seeds(values, seeds_axis: int):
    """The heights of a line and its band; of values without a second axis there is no band, (n,) and None."""
    values = np.asarray(values, dtype=float)
    if values.ndim < 2:
        return values, None
    median, band = median_and_band(values, seeds_axis)
    return median.numpy(), band.numpy()


def _line_and_band(ax: Axes, x, heights, band, colour: str, **style):
    if band is not None:
        ax.fill_between(x, *band, color=colour, alpha=0.25, linewidth=0)
    (line,) = ax.plot(x, heights, color=colour, **{"marker": "o"} | style)
    return line


def plot_against_theory(
    ax: Axes, x, measured: dict, theory=(), *, log="", rough=False, colours=QUIET, marker="o"
) -> Axes:
    """Measurements over x, each with its prediction as a dotted black line on top.

    ``measured`` maps a name to (points,), or to (points, seeds), of which the median is drawn with its 10-90 % band;
    ``theory`` holds as many predictions, in the same order, or none; ``colours`` as many colours; ``marker`` marks the
    points ("" for curves of many); ``log`` names the logarithmic axes: "", "x", "y" or "xy". ``rough``: the sentence says
    in words where a line goes, for measurements whose digits another processor does not keep.
    """
    if theory and len(theory) != len(measured):
        raise ValueError(
            f"theory must hold one sequence a measurement: {len(measured)} expected, got {len(theory)}"
        )
    ax.set(xscale="log" if "x" in log else "linear", yscale="log" if "y" in log else "linear")
    labels, words = {}, []
    for (name, values), colour in zip(measured.items(), colours, strict=False):
        heights, band = _over_seeds(values, 1)
        labels[_line_and_band(ax, x, heights, band, colour, marker=marker)] = name
        first, last = heights[[0, -1]]
        change = (
            "rises" if last > 10 * first else "falls" if last < first / 10 else "stays within a factor of 10"
        )
        words.append(f"{name} {change}" if rough else f"{name} from {first:.2g} to {last:.2g}")
    for values in theory:
        ax.plot(x, values, **THEORY)
    if "x" in log and len(x) <= 8 and all(float(value).is_integer() for value in x):
        ax.set_xticks([float(value) for value in x], [f"{float(value):g}" for value in x])
        ax.xaxis.set_minor_locator(NullLocator())  # counts, such as layers, are named where they are
    label_lines(ax, labels)
    dotted = ", theory dotted" if len(theory) else ""
    return describe(ax, f"Measured over {len(x)} points{dotted}: {'; '.join(words)}.")


def plot_map(
    ax: Axes, x, y, values, predicted=None, *, levels=(), limits=None, log=False, cmap="viridis", rough=False
) -> Axes:
    """A map of ``values`` (rows follow y) with, dotted in black, the contours at ``levels`` of what was predicted.

    ``rough``: the sentence gives no digits, for measurements whose digits another processor does not keep.
    """
    x, y, values = (np.asarray(array, dtype=float) for array in (x, y, values))
    low, high = limits or (np.nanmin(values), np.nanmax(values))
    norm = LogNorm(low, high) if log else Normalize(low, high)
    image = ax.pcolormesh(
        x.ravel(), y.ravel(), values, norm=norm, cmap=cmap, shading="nearest", rasterized=True
    )
    ax.figure.colorbar(image, ax=ax, extend="both" if limits else "neither")
    if predicted is not None:
        dotted = {"colors": "black", "linestyles": "dotted", "linewidths": 1.4}
        ax.contour(x.ravel(), y.ravel(), np.asarray(predicted), levels=list(levels), **dotted)
    words = "" if rough else f" of values from {np.nanmin(values):.2g} to {np.nanmax(values):.2g}"
    return describe(ax, f"A map{words}.")


def plot_depth_profile(
    ax: Axes, profiles: dict, predicted=None, *, ylabel="RMS of delta", colours=None
) -> Axes:
    """One line a network over its layers, counted back from the output, on a logarithmic axis.

    ``profiles`` maps a name to sizes (depth,), first layer first, or to (seeds, depth), of which the median is drawn with
    its 10-90 % band; ``predicted`` maps some of the names to predictions, dotted. Red grows on its way back by more than
    10 x, purple shrinks by more than 10 x, blue does neither; ``colours`` (name to colour) are for telling networks of one
    kind apart. At most four.
    """
    if len(profiles) > 4:
        raise ValueError(f"at most four lines an axes; got {len(profiles)}")
    ax.set_yscale("log")
    labels, words = {}, []
    for name, values in profiles.items():
        heights, band = _over_seeds(np.asarray(values, dtype=float)[..., ::-1].copy(), 0)  # last layer first
        with np.errstate(all="ignore"):
            growth = heights[-1] / heights[0]
        back = np.arange(len(heights))
        colour = colours[name] if colours else colour_of_growth(growth)
        labels[_line_and_band(ax, back, heights, band, colour, markersize=3)] = name
        if predicted and name in predicted:
            ax.plot(back, np.asarray(predicted[name])[::-1], **THEORY)
        size = f"{growth:.1g} x" if np.isfinite(growth) else "beyond all numbers"
        words.append(f"{name}: {size} from the last layer to the first")
    ax.set(xlabel="layers back from the output", ylabel=ylabel)
    label_lines(ax, labels)
    return describe(ax, f"{ylabel} by layer. {'; '.join(words)}.")


def plot_images(ax: Axes, images, labels) -> Axes:
    """A row of 8x8 images, each with its label below it."""
    count = len(images)
    strip = np.concatenate(
        [np.pad(np.asarray(image).reshape(8, 8), 1, constant_values=np.nan) for image in images], 1
    )
    ax.imshow(strip, cmap="gray_r")
    for k, label in enumerate(labels):
        ax.text(10 * k + 4.5, 10, str(int(label)), ha="center", va="top", fontsize=10)
    ax.set_axis_off()
    return describe(ax, f"{count} handwritten digits: {', '.join(str(int(label)) for label in labels)}.")


def how_many(counts) -> list[str]:
    """ "most", "some" or "few" for each count of ten: what a chaotic count keeps on another processor."""
    return ["most" if count > 7 else "few" if count < 3 else "some" for count in counts]
