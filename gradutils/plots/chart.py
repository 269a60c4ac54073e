"""A patient's chart in the emergency room: six panels, drawn fast, with a sentence that every processor keeps."""

import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from gradutils.plots.curves import finite_part
from gradutils.plots.recordings import power_of_ten, recorded
from gradutils.plots.style import EXPLODES, REFERENCE, SECOND, STABLE, caption, widen_to

PANELS, CHART_SIZE = 6, (10.4, 5.0)
# Its own ground: where a run explodes, lines leave the panel behind it.
LEGEND = {"loc": "upper center", "ncols": 3, "fontsize": 8, "handlelength": 1.2, "columnspacing": 1.2}
LEGEND |= {"frameon": True, "framealpha": 0.85, "edgecolor": "none"}


def plot_chart(recording, figure: Figure | None = None, *, constant: float | None = None) -> Figure:
    """A patient's chart, six panels: loss, updates, cosine of successive gradients; by layer: signals, deltas, weight gradients.

    Each title says what the panel's lines are, and whether they are norms or RMS.

    ``recording`` is a ``Recorder(model, cosine=True)`` or its ``Recording``; ``constant`` the loss of a constant answer,
    where it is not the recorded one. A ``figure`` that holds a chart already is drawn on anew, in half of the time. The sentence says
    nothing that an unstable run would not keep on another processor.
    Returns the figure.
    """
    r = recorded(recording)
    constant = r.trivial_loss if constant is None else constant
    figure = figure or plt.figure(figsize=CHART_SIZE, layout="none")
    loss, updates, cosine, signals, deltas, grads = _six(figure)
    _loss_panel(loss, r, constant)
    _update_panel(updates, r)
    cosine.axhline(0, color=REFERENCE, linewidth=1)
    cosine.plot(r.steps, r.grad_cosine, color=STABLE, linewidth=1.2)
    cosine.set(title="Cosine of each gradient with the last", xlabel="step", ylim=(-1.05, 1.05))
    known = r.steps[r.grad_cosine.isfinite()]  # of steps that follow each other
    ends = [r.loss_steps[-1], r.loss_steps[-1], known[-1] if len(known) else 1]
    for ax, end in zip((loss, updates, cosine), map(int, ends), strict=True):
        ax.set_xlim(-0.05 * max(1, end), 1.05 * max(1, end))
    rms, owners = (r.activation_mean**2 + r.activation_std**2).sqrt(), ~r.delta_norm.isnan().all(0)
    with_inputs = torch.cat([r.input_rms.unsqueeze(1), rms[:, owners]], 1)
    _layer_panel(signals, r, with_inputs, "RMS of the inputs (left), then of each z")
    _layer_panel(deltas, r, r.delta_norm[:, owners], "Norm of dL/dz, layer by layer")
    matrices = [k for k, shape in enumerate(r.shapes) if len(shape) > 1]
    _layer_panel(grads, r, r.grad_norm[:, matrices], "Norm of dL/dW, layer by layer")
    for ax, layers in ((signals, with_inputs.shape[1]), (deltas, int(owners.sum())), (grads, len(matrices))):
        ax.set_xlim(layers - 0.8, -0.2)
        widen_to(ax, 3)
    for ax in (signals, deltas, grads):
        _keep_the_first(ax)
    for ax in (updates, signals, deltas, grads):
        low, high = ax.get_ylim()
        ax.set_ylim(low, high * (high / low) ** 0.15)  # room for the legend
    for ax in (updates, signals, deltas, grads):
        if not any(np.isfinite(line.get_ydata()).any() for line in ax.lines):
            said, centre = "all exactly zero, or not finite", {"transform": ax.transAxes, "ha": "center"}
            ax.text(0.5, 0.5, said, color=REFERENCE, **centre)
    widen_to(loss, 1)
    for ax in figure.axes:
        ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        ax.yaxis.set_minor_locator(NullLocator())
        # Plain text: to set formulas would take a third of the time.
        ax.xaxis.set_major_formatter("{x:g}")
        low, high = ax.get_ylim()
        short = ax.get_yscale() == "log" and high < 100 * low
        if short:
            ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        elif ax.get_yscale() == "log":
            ax.yaxis.set_major_locator(LogLocator(numticks=4))
        ax.yaxis.set_major_formatter("{x:g}" if short or ax.get_yscale() != "log" else power_of_ten)
    start, end = r.loss[0] / constant, r.loss_curve[-8:].mean() / constant
    starts = "far above" if start > 3 else "near"
    ends = "ends" if end < 0.6 else "does not end"  # one that blew up may be finite on another processor
    return caption(
        figure, f"A chart: the loss starts {starts} that of a constant answer and {ends} far below it."
    )


def _six(figure: Figure) -> list[Axes]:
    """Places that are given: to lay six panels out costs more than to draw them, and to look for places for titles and names a fifth."""
    # Drawn on before: an axis and its ticks cost more than what is drawn between them.
    if len(figure.axes) == PANELS:
        return [_cleared(ax) for ax in figure.axes]
    room = {"left": 0.05, "right": 0.99, "bottom": 0.1, "top": 0.94, "wspace": 0.22, "hspace": 0.45}
    with plt.rc_context({"axes.titley": 1.0}):
        axes = list(figure.subplots(2, 3, gridspec_kw=room).flat)
    for ax in axes:
        ax.xaxis.set_label_coords(0.5, -0.13)
    return axes


def _cleared(ax: Axes) -> Axes:
    """Axes without what was drawn on them."""
    legend = [ax.get_legend()] if ax.get_legend() else []
    for artist in (*ax.lines, *ax.patches, *ax.collections, *ax.texts, *legend):
        artist.remove()
    ax.relim()  # of nothing
    ax.set(xscale="linear", yscale="linear")
    ax.set_xlim(0, 1, auto=True)
    ax.set_ylim(0, 1, auto=True)
    return ax


def _loss_panel(ax: Axes, r, constant: float) -> None:
    steps, kept = r.loss_steps.numpy(), finite_part(r.loss_curve)
    ax.plot(steps[: len(kept)], kept, color=STABLE if len(kept) == len(steps) else EXPLODES)
    if 0 < len(kept) < len(steps):
        ax.plot(steps[len(kept) - 1], kept[-1], "x", color=EXPLODES, markersize=9, markeredgewidth=2.5)
    title = "Loss"
    if np.isfinite(constant):
        ax.axhline(constant, color=REFERENCE, linestyle="--", linewidth=1)
        ax.update_datalim([(steps[0], constant)])  # a loss far above it does not push it out of sight
        title = "Loss; dashed: that of a constant answer"
    positive = len(kept) > 0 and kept.min() > 0
    ax.set(title=title, xlabel="step", yscale="log" if positive else "linear")


def _update_panel(ax: Axes, r) -> None:
    steps, matrices = r.steps.numpy(), [k for k, shape in enumerate(r.shapes) if len(shape) > 1]
    ratio = r.update_ratio[:, matrices].numpy()
    ratio = np.where(np.isfinite(ratio) & (ratio > 0), ratio, np.nan)
    some = np.isfinite(ratio).any(axis=1)
    low, middle, high = np.nanquantile(ratio[some], [0, 0.5, 1], axis=1) if some.any() else ([], [], [])
    ax.fill_between(steps[some], low, high, color=STABLE, alpha=0.25, linewidth=0, label="all")
    ax.plot(steps[some], middle, color=STABLE, label="median")
    if some.any():
        ax.axhspan(0.3, max(1, np.max(high)), color=EXPLODES, alpha=0.08, linewidth=0, label="above 0.3")
        ax.legend(**LEGEND)
    ax.set(title="Update / weight, matrix by matrix", xlabel="step", yscale="log")


def _keep_the_first(ax: Axes) -> None:
    """Step 0 fills a third of the axis or more: what lies further away than it is long leaves the panel."""
    first = ax.lines[0].get_ydata() if ax.lines else np.array([])
    first = first[np.isfinite(first)]
    if len(first) and ax.lines[0].get_label() == "step 0":
        far = max(10.0, float(first.max() / first.min()))
        low, high = ax.get_ylim()
        ax.set_ylim(max(low, first.min() / far), min(high, first.max() * far))


def _layer_panel(ax: Axes, r, sizes, title: str) -> None:
    """Sizes (R, K) by layer, at the first, a middle and the last record of a finite loss."""
    sizes, last = sizes.numpy(), max(0, len(finite_part(r.loss)) - 1)
    middle = int((r.steps - r.steps[last] / 2).abs().argmin())
    for row, colour in zip(sorted({0, middle, last}), (REFERENCE, SECOND, STABLE), strict=False):
        values = np.where(np.isfinite(sizes[row]) & (sizes[row] > 0), sizes[row], np.nan)
        if np.isfinite(values).any():
            style = {"color": colour, "marker": "o", "markersize": 3, "label": f"step {r.steps[row]}"}
            ax.plot(np.arange(len(values))[::-1], values, **style)
    if ax.lines:
        ax.legend(**LEGEND)
    ax.set(title=title, xlabel="layers back from the output", yscale="log")
