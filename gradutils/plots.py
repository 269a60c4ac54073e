"""Every figure of the course: functions take an axes and return it.

Red explodes, purple vanishes, grey is for reference, theory is a dotted black line drawn over the measurement and
never fitted to it. Other colours only tell lines apart; where these three are about, blue does neither. Every
function leaves a sentence on its figure that says what the figure shows; it is the figure's plain text in a notebook,
and so it is compared with the stored one.
"""

from base64 import b64encode
from html import escape
from importlib.resources import files
from io import BytesIO

import numpy as np
import torch
from IPython import get_ipython
from IPython.display import display
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatterSciNotation, LogLocator, MaxNLocator, NullLocator

STABLE, SECOND, EXPLODES = "#5790fc", "#f89c20", "#e42536"
THIRD, REFERENCE, VANISHES, FOURTH = "#964a8b", "#9c9ca1", "#7a21dd", "#008759"
QUIET = (STABLE, SECOND, THIRD, FOURTH)  # for lines that are only to be told apart, in turn
THEORY = {"color": "black", "linestyle": ":", "linewidth": 1.6, "zorder": 5}


STYLE = str(files("gradutils") / "gradutils.mplstyle")


def use_style() -> None:
    """Use the course's style; in a notebook a figure's plain text becomes the sentence that describes it."""
    plt.style.use(STYLE)
    shell = get_ipython()
    if shell is not None:
        plt.switch_backend(plt.get_backend())  # a backend that loads later would drop the formatter
        shell.display_formatter.formatters["text/plain"].for_type(
            Figure, lambda figure, p, _: p.text(sentence(figure))
        )


def describe(ax: Axes, text: str) -> Axes:
    """Add a sentence that says what the axes shows."""
    before = ax.figure.get_label()
    ax.figure.set_label(f"{before} {text}".strip())
    return ax


def sentence(figure: Figure) -> str:
    """What the figure shows, in words."""
    return str(figure.get_label()) or "A figure without a description."


def present(figure: Figure) -> None:
    """Show a figure here and now, with its sentence, drawn once and as it is laid out, and close it."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png")
    plt.close(figure)
    if get_ipython():
        picture = b64encode(buffer.getvalue()).decode()
        display({"image/png": picture, "text/plain": sentence(figure)}, raw=True)
    else:
        print(sentence(figure))


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


def plain_ticks(ax: Axes) -> None:
    """Plain numbers on logarithmic axes that are short: 2 is read faster than 2 x 10^0."""
    for axis, (low, high) in ((ax.xaxis, ax.get_xlim()), (ax.yaxis, ax.get_ylim())):
        logarithmic = isinstance(axis.get_major_formatter(), LogFormatterSciNotation)
        if logarithmic and 1e-3 < low < high < min(1e3 * low, 1e4):
            axis.set_major_formatter(_Plain())
            axis.set_minor_formatter(_Plain())


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


def colour_of_growth(growth: float) -> str:
    """Red for what grows by more than 10 x over a network (or is no number), purple for what shrinks as much, else blue."""
    return EXPLODES if not growth < 10 else VANISHES if growth < 0.1 else STABLE


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


def plot_recording(recording, figure: Figure | None = None) -> Figure:
    """A recorded run on one page: loss, updates, gradients by layer at three moments, and sleeping or saturated units.

    ``recording`` is a ``Recorder`` or a ``Recording``. Returns the figure; ``figure.savefig("run.png")`` keeps it.
    """
    r = _something(recording)
    figure = figure or plt.figure(figsize=(9.6, 6.4), layout="constrained")
    (loss, updates), (layers, units) = figure.subplots(2, 2)
    _loss_panel(loss, r, r.trivial_loss)
    _update_panel(updates, r)
    _layer_panel(layers, r, r.delta_norm[:, ~r.delta_norm.isnan().all(0)], "|dL/dz| by layer")
    words = _units_panel(units, r)
    bad = r.first_nonfinite
    ends = f"the {bad.what} of {bad.where} is not finite at step {bad.step}" if bad else "all numbers finite"
    describe(
        loss,
        f"{len(r)} records: loss from {r.loss[0]:.2g} to {r.loss[-1]:.2g}; {ends}. {'; '.join(words)}",
    )
    return figure


def plot_chart(recording, figure: Figure | None = None, *, constant: float | None = None) -> Figure:
    """A patient's chart, six panels: loss, updates, cosine of successive gradients; by layer: signals, deltas, weight gradients.

    ``recording`` is a ``Recorder(model, cosine=True)`` or its ``Recording``; ``constant`` the loss of a constant answer,
    where it is not the recorded one. The sentence says nothing that an unstable run would not keep on another processor.
    Returns the figure.
    """
    r = _something(recording)
    constant = r.trivial_loss if constant is None else constant
    # Six panels: to lay them out costs more than to draw.
    figure = figure or plt.figure(figsize=(10.4, 5.0), layout="none")
    room = {"left": 0.05, "right": 0.99, "bottom": 0.1, "top": 0.94, "wspace": 0.22, "hspace": 0.45}
    (loss, updates, cosine), (signals, deltas, grads) = figure.subplots(2, 3, gridspec_kw=room)
    _loss_panel(loss, r, constant)
    _update_panel(updates, r)
    cosine.axhline(0, color=REFERENCE, linewidth=1)
    cosine.plot(r.steps, r.grad_cosine, color=STABLE, linewidth=1.2)
    cosine.set(title="Cosine of successive gradients", xlabel="step", ylim=(-1.05, 1.05))
    for ax in (loss, updates, cosine):
        ax.set_xlim(r.steps[0].item() - 0.05 * len(r), r.steps[-1].item() + 0.05 * len(r))
    rms, owners = (r.activation_mean**2 + r.activation_std**2).sqrt(), ~r.delta_norm.isnan().all(0)
    with_inputs = torch.cat([r.input_rms.unsqueeze(1), rms[:, owners]], 1)
    _layer_panel(signals, r, with_inputs, "RMS: inputs (left), then z by layer")
    _layer_panel(deltas, r, r.delta_norm[:, owners], "|dL/dz| by layer")
    matrices = [k for k, shape in enumerate(r.shapes) if len(shape) > 1]
    _layer_panel(grads, r, r.grad_norm[:, matrices], "|dL/dW| by layer")
    for ax, layers in ((signals, with_inputs.shape[1]), (deltas, int(owners.sum())), (grads, len(matrices))):
        ax.set_xlim(layers - 0.8, -0.2)
        widen_to(ax, 3)
        low, high = ax.get_ylim()
        ax.set_ylim(low, high * (high / low) ** 0.15)  # room for the legend
    for ax in (updates, signals, deltas, grads):
        if not any(np.isfinite(line.get_ydata()).any() for line in ax.lines):
            said, centre = "all exactly zero, or not finite", {"transform": ax.transAxes, "ha": "center"}
            ax.text(0.5, 0.5, said, color=REFERENCE, **centre)
    widen_to(loss, 1)
    for ax in figure.axes:
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        ax.yaxis.set_minor_locator(NullLocator())
        # Plain text: to set formulas would take a third of the time.
        ax.xaxis.set_major_formatter("{x:g}")
        low, high = ax.get_ylim()
        short = ax.get_yscale() == "log" and high < 100 * low
        if short:
            ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter("{x:g}" if short or ax.get_yscale() != "log" else _power)
    start, end = r.loss[0] / constant, r.loss[-8:].mean() / constant
    starts = "far above" if start > 3 else "near"
    ends = "not finite" if not end.isfinite() else "far below it" if end < 0.6 else "not far below it"
    describe(loss, f"A chart: the loss starts {starts} that of a constant answer and ends {ends}.")
    return figure


def _power(value: float, _=None) -> str:
    """A power of ten as plain text."""
    return "10" + str(round(np.log10(value))).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def widen_to(ax: Axes, decades: float) -> None:
    """Widen a logarithmic y axis to so many decades: what is nearly equal is to look nearly equal."""
    if ax.get_yscale() == "log":
        low, high = np.log10(ax.get_ylim())
        if high - low < decades:
            middle = (low + high) / 2
            ax.set_ylim(10 ** (middle - decades / 2), 10 ** (middle + decades / 2))


def _something(recording):
    r = getattr(recording, "recording", recording)
    if not len(r):
        raise ValueError("nothing was recorded: call recorder.step(loss) after each optimizer.step()")
    return r


def _loss_panel(ax: Axes, r, constant: float) -> None:
    steps, kept = r.steps.numpy(), finite_part(r.loss)
    ax.plot(steps[: len(kept)], kept, color=STABLE if len(kept) == len(steps) else EXPLODES)
    if 0 < len(kept) < len(steps):
        ax.plot(steps[len(kept) - 1], kept[-1], "x", color=EXPLODES, markersize=9, markeredgewidth=2.5)
    title = "Loss"
    if np.isfinite(constant):
        ax.axhline(constant, color=REFERENCE, linestyle="--", linewidth=1)
        ax.update_datalim([(steps[0], constant)])  # a loss far above it does not push it out of sight
        title = "Loss; dashed: of a constant answer"
    positive = len(kept) > 0 and kept.min() > 0
    ax.set(title=title, xlabel="step", yscale="log" if positive else "linear")


def _update_panel(ax: Axes, r) -> None:
    steps, matrices = r.steps.numpy(), [k for k, shape in enumerate(r.shapes) if len(shape) > 1]
    ratio = r.update_ratio[:, matrices].numpy()
    ratio = np.where(np.isfinite(ratio) & (ratio > 0), ratio, np.nan)
    some = np.isfinite(ratio).any(axis=1)
    low, middle, high = np.nanquantile(ratio[some], [0, 0.5, 1], axis=1) if some.any() else ([], [], [])
    ax.fill_between(steps[some], low, high, color=STABLE, alpha=0.25, linewidth=0)
    ax.plot(steps[some], middle, color=STABLE)
    if some.any():
        ax.axhspan(0.3, max(1, np.max(high)), color=EXPLODES, alpha=0.08, linewidth=0)
    ax.set(title="Update / weight: median and range", xlabel="step", yscale="log")


def _layer_panel(ax: Axes, r, sizes, title: str) -> None:
    """Sizes (R, K) by layer, at the first, a middle and the last record of a finite loss."""
    sizes, last = sizes.numpy(), max(0, len(finite_part(r.loss)) - 1)
    for row, colour in zip(sorted({0, last // 2, last}), (REFERENCE, SECOND, STABLE), strict=False):
        values = np.where(np.isfinite(sizes[row]) & (sizes[row] > 0), sizes[row], np.nan)
        if np.isfinite(values).any():
            style = {"color": colour, "marker": "o", "markersize": 3, "label": f"step {r.steps[row]}"}
            ax.plot(np.arange(len(values))[::-1], values, **style)
    if ax.lines:
        ax.legend(loc="upper center", ncols=3, fontsize=8, handlelength=1.2, columnspacing=1.2)
    ax.set(title=title, xlabel="layers back from the output", yscale="log")


def _units_panel(ax: Axes, r) -> list[str]:
    words = []
    shares = ("dead_fraction", "dead", VANISHES), ("saturated_fraction", "saturated", EXPLODES)
    for name, text, colour in shares:
        values = getattr(r, name)
        values = values[:, ~values.isnan().all(0)].numpy()
        if values.size:
            worst = np.nanmax(values, axis=1)
            ax.plot(r.steps, worst, color=colour, label=f"{text}, worst layer")
            words.append(f"{worst[-1]:.0%} {text} in the worst layer at last")
    if ax.lines:
        ax.legend(frameon=False, fontsize=8)
    ax.set(title="Share of units", xlabel="step", ylim=(-0.03, 1.03))
    return words


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
    figure.set_label(
        f"A flow chart of {len(rows)} ways from {len(set(symptoms))} symptoms over a measurement to a remedy."
    )
    return figure


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


def mark_vertical(ax: Axes, x: float, text: str, *, colour="black", style=":") -> Axes:
    """A vertical line with its name written up along it."""
    ax.axvline(x, color=colour, linestyle=style, linewidth=1.4)
    place = {"xycoords": ("data", "axes fraction"), "xytext": (-3, 0), "textcoords": "offset points"}
    ax.annotate(text, (x, 0.98), **place, rotation=90, ha="right", va="top", color=colour, fontsize=9)
    return ax


def how_many(counts) -> list[str]:
    """ "most", "some" or "few" for each count of ten: what a chaotic count keeps on another processor."""
    return ["most" if count > 7 else "few" if count < 3 else "some" for count in counts]


def table(columns: dict) -> None:
    """Show columns side by side: HTML in a notebook, aligned text elsewhere. Numbers keep three digits.

    Raises ValueError where the columns differ in length.
    """
    columns = {name: [_cell(value) for value in values] for name, values in columns.items()}
    if len({len(values) for values in columns.values()}) > 1:
        raise ValueError(
            f"columns differ in length: { {name: len(values) for name, values in columns.items()} }"
        )
    rows = [tuple(columns), *zip(*columns.values(), strict=True)]
    widths = [max(len(row[k]) for row in rows) for k in range(len(columns))]
    text = "\n".join("  ".join(f"{cell:>{w}}" for cell, w in zip(row, widths, strict=True)) for row in rows)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows[1:])
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    html = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    display({"text/plain": text, "text/html": html}, raw=True) if get_ipython() else print(text)


def _cell(value) -> str:
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
