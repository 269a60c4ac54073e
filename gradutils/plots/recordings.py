"""A recorded run on one page. A recording is read as data: any object with the same fields will do.

What is exactly zero or not finite is said in words, for a logarithmic axis can show neither.
"""

from io import BytesIO
from textwrap import wrap

import numpy as np
from matplotlib import pyplot as plt
from matplotlib import style as styles
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from gradutils.plots.style import (
    EXPLODES,
    RAISED,
    REFERENCE,
    SECOND,
    STABLE,
    STYLE,
    VANISHES,
    describe,
    label_lines,
    sentence,
)

SIZE = 9.6, 6.8  # inches
FEW_LAYERS = 12  # as many names can be read below one panel
LARGE = 0.3  # of a weight in one step
CROSS = {"color": EXPLODES, "linestyle": "", "marker": "x", "markersize": 8, "markeredgewidth": 2.2}


def plot_recording(recording, figure: Figure | None = None) -> Figure:
    """A recorded run on one page: loss, updates, gradients by layer at three moments, and sleeping or saturated units.

    The first number that was not finite stands above them. ``recording`` is a ``Recorder`` or a ``Recording``. Returns the
    figure; ``figure.savefig("run.png")`` keeps it.
    """
    r = recorded(recording)
    with styles.context(["default", STYLE]):
        figure = figure or plt.figure(figsize=SIZE, layout="constrained")
        figure.set_facecolor("white")
        (loss, updates), (layers, shares) = figure.subplots(2, 2)
        words = [
            _loss_panel(loss, r),
            _update_panel(updates, r),
            _layer_panel(layers, r),
            _share_panel(shares, r),
        ]
        bad = r.first_nonfinite
        _share_the_steps((loss, updates, shares), r, bad)
        if bad:
            first = f"The first number that is not finite: {bad}, at step {bad.step}"
            figure.suptitle(
                _plain(first, 110), x=0.01, ha="left", color=EXPLODES, fontsize=11, parse_math=False
            )
        if figure.get_layout_engine():
            figure.get_layout_engine().execute(figure)  # labels keep apart in the room that there is
        for ax in (layers, shares):
            label_lines(ax, {line: line.get_label() for line in ax.lines if line.get_label()[0] != "_"})
    ends = f"{bad} is not finite at step {bad.step}" if bad else "all numbers finite"
    said = [f"{len(r)} records: loss from {r.loss[0]:.2g} to {r.loss[-1]:.2g}", ends, *filter(None, words)]
    describe(loss, f"{'; '.join(said)}.")
    return figure


def picture_of(recording, dpi: int) -> tuple[bytes, str]:
    """The page of `plot_recording` as a PNG, and its sentence. pyplot does not know of the figure, so nothing shows it again."""
    figure, picture = Figure(figsize=SIZE, layout="constrained"), BytesIO()
    plot_recording(recording, figure).savefig(picture, format="png", dpi=dpi)
    return picture.getvalue(), sentence(figure)


def recorded(recording):
    """The recording of a recorder, or the recording itself. Raises ValueError where it holds nothing."""
    r = getattr(recording, "recording", recording)
    if not len(r):
        raise ValueError("nothing was recorded: call recorder.step(loss) after each optimizer.step()")
    return r


# The panels: each draws what can be drawn, puts what cannot into its title or in place of it, and returns that in words.
def _loss_panel(ax: Axes, r) -> str:
    steps, loss = (_array(r, name) for name in ("loss_steps", "loss_curve"))
    if steps is None or not len(steps):
        steps, loss = r.steps.numpy(), r.loss.numpy()
    constant, title = _array(r, "constant_loss"), "Loss"
    if constant is None or not np.isfinite(constant).any():
        constant = np.full(len(r), float(r.trivial_loss))
    if np.isfinite(constant).any():
        title = "Loss; dashed: of a constant answer"
        style = {"color": REFERENCE, "linestyle": "--", "linewidth": 1.2}
        if (constant == constant[0]).all():
            ax.axhline(constant[0], **style)
        else:
            ax.plot(r.steps.numpy(), constant, **style)
    finite = np.isfinite(loss)
    if finite.any():
        shown = np.where(finite, loss, np.nan)
        ax.plot(steps, shown, color=STABLE if finite[-1] else EXPLODES, marker=_marker(finite))
        breaks = np.flatnonzero(finite[:-1] & ~finite[1:])
        if len(breaks):
            ax.plot(steps[breaks[:1]], loss[breaks[:1]], **CROSS)
    words = _end_of(ax, steps, finite)
    _readable(ax, np.concatenate([loss[finite], constant[np.isfinite(constant)]]))
    _title(ax, title, [])
    ax.set(xlabel="step")
    return f"the loss is {words}" if words else ""


def _update_panel(ax: Axes, r) -> str:
    matrices = [k for k, shape in enumerate(r.shapes) if len(shape) > 1] or list(range(len(r.shapes)))
    steps, (ratio, zero, broken) = r.steps.numpy(), (values[:, matrices] for values in _updates(r))
    shown = np.where(zero | broken | ~np.isfinite(ratio), np.nan, ratio)
    some, still = np.isfinite(shown).any(1), zero.all(1) & bool(matrices)
    findings = []
    if some.any():
        low, middle, high = np.full((3, len(r)), np.nan)
        low[some], middle[some], high[some] = np.nanquantile(shown[some], [0, 0.5, 1], axis=1)
        ax.fill_between(steps, low, high, color=STABLE, alpha=0.25, linewidth=0)
        ax.plot(steps, middle, color=STABLE, marker=_marker(some))
        ax.axhspan(LARGE, max(1, np.nanmax(high)), color=EXPLODES, alpha=0.08, linewidth=0)
        place = {"ha": "right", "va": "bottom", "transform": ax.get_yaxis_transform()}
        ax.text(0.99, LARGE, "large", color=EXPLODES, fontsize=8, **place)
        ax.set_yscale("log")
        if still.any():
            _at_the_edge(ax, steps[still], 0.02, VANISHES)
            findings += [f"exactly zero in {still.sum()} of {len(r)} records (marks below)"]
        never = [matrices[k] for k in np.flatnonzero(zero.all(0)) if _may_move(r, matrices[k])]
        if never and len(r) > 1:
            findings += [f"{len(never)} of {len(matrices)} never move: {_plain(r.parameters[never[0]])}"]
            findings[-1] += ", …" if len(never) > 1 else ""
        _readable_powers(ax)
        findings += [_end_of(ax, steps, some | ~broken.any(1))]
    elif not matrices:
        findings += [_say(ax, "no parameter is recorded")]
    elif still.all():
        findings += [_say(ax, "every update is exactly zero:\nthe weights do not move")]
    elif broken.any(1).all():
        findings += [_say(ax, f"not finite from step {steps[0]} on")]
    else:
        findings += [_say(ax, f"exactly zero in {still.sum()} records,\nnot finite in {broken.any(1).sum()}")]
    _title(ax, "Update / weight: median and range", findings if some.any() else [])
    ax.set(xlabel="step")
    return _joined("updates", findings)


def _layer_panel(ax: Axes, r) -> str:
    """|dL/dz| by layer, at the first, a middle and the last record in which there is something to draw."""
    sizes = r.delta_norm.numpy()
    owners = np.flatnonzero(~np.isnan(sizes).all(0))
    sizes, names, findings = sizes[:, owners], [r.layers[k] for k in owners], []
    shown = np.where(np.isfinite(sizes) & (sizes > 0), sizes, np.nan)
    rows = np.flatnonzero(np.isfinite(shown).any(1))
    place = np.arange(1, len(names) + 1)
    if len(rows):
        steps = r.steps.numpy()[rows]
        middle = rows[
            np.abs(steps - (steps[0] + steps[-1]) / 2).argmin()
        ]  # of the steps: records crowd at the start
        chosen = sorted({rows[0], middle, rows[-1]})
        for row, colour in zip(chosen, (REFERENCE, SECOND, STABLE)[-len(chosen) :], strict=True):
            label = f"step {r.steps[row]}"
            ax.plot(place, shown[row], color=colour, marker="o", markersize=3, label=label)
        ax.set_yscale("log")
        lost, broken = (sizes[chosen] == 0).any(0), np.isinf(sizes[chosen]).any(0)
        for where, height, colour, what in (
            (lost, 0.02, VANISHES, "exactly zero"),
            (broken, 0.98, EXPLODES, "not finite"),
        ):
            if where.any():
                _at_the_edge(ax, place[where], height, colour)
                findings += [f"{what} in {where.sum()} of {len(names)} layers (marks)"]
        _readable_powers(ax)
        bad = r.first_nonfinite
        _name_layers(ax, names, _worst(sizes[rows[-1]], names, bad), bad.where if bad else None)
    elif not names:
        findings += [_say(ax, "not recorded")]
    elif (sizes == 0).sum() and not np.isinf(sizes).any():
        findings += [_say(ax, "every gradient is exactly zero:\nnothing reaches the layers")]
    elif np.isinf(sizes).any(1).all():
        findings += [_say(ax, f"not finite from step {r.steps[0]} on")]
    else:
        findings += [_say(ax, "exactly zero or not finite in every record")]
    if not len(rows):
        ax.set_xticks([])
    _title(ax, "Gradient |dL/dz| by layer", findings if len(rows) else [])
    few = len(names) <= FEW_LAYERS
    ax.set(xlabel=f"layers, from the input{' to the output' if few else '; first, worst and last by name'}")
    return _joined("gradients by layer", findings)


def _share_panel(ax: Axes, r) -> str:
    steps, findings, measured = r.steps.numpy(), [], np.zeros(len(r), dtype=bool)
    broken = np.isinf(r.activation_std.numpy()).any(1)
    shares = ("dead_fraction", "dead", VANISHES), ("saturated_fraction", "saturated", EXPLODES)
    for name, text, colour in shares:
        values = getattr(r, name).numpy()
        some = np.flatnonzero(~np.isnan(values).all(1))
        if len(some):
            worst, measured[some] = np.full(len(r), np.nan), True
            worst[some] = np.nanmax(values[some], axis=1)
            ax.plot(steps, worst, color=colour, label=text, marker=_marker(some))
            layer = r.layers[int(np.nanargmax(values[some[-1]]))]
            where = f" in {_plain(layer)}" if worst[some[-1]] > 0 else ""
            findings += [f"{text} {worst[some[-1]]:.0%}{where} at last"]
    spread, size = _array(r, "output_spread"), _array(r, "output_rms")
    if spread is not None and size is not None:
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(size > 0, spread / size, np.nan)
        if np.isfinite(share).any():
            share = np.where(np.isfinite(share), share, np.nan)
            ax.plot(steps, share, color=SECOND, label="spread", marker=_marker(np.isfinite(share)))
            last = share[np.isfinite(share)][-1]
            findings += [f"outputs spread by {last:.2g} of their RMS"]
    ax.set(xlabel="step", ylim=(-0.03, 1.03))
    if ax.lines:
        beside = "; output spread" if ax.lines[-1].get_label() == "spread" else ""
        _title(ax, f"Dead or saturated units, worst layer{beside}", findings)
        _end_of(ax, steps, measured | ~broken)
        ax.yaxis.set_major_formatter("{x:.0%}")
    else:
        never = f"not finite from step {steps[0]} on"
        none = "no layer was recorded\nwhose units can be dead or saturated"
        findings += [_say(ax, never if broken.all() else none)]
        _title(ax, "Units dead or saturated", [])
    return _joined("units", findings)


# What is read.
def _array(r, name: str) -> np.ndarray | None:
    """A field that older recordings lack."""
    values = getattr(r, name, None)
    return None if values is None else np.asarray(values)


def _updates(r) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each parameter in each record (R, P): the update over the weight, whether it is exactly zero, whether it is not finite."""
    ratio, weight, moved = r.update_ratio.numpy(), r.weight_norm.numpy(), _array(r, "update_norm")
    if moved is not None:
        return ratio, moved == 0, np.isinf(moved)
    return ratio, (ratio == 0) | (np.isnan(ratio) & (weight == 0)), ~np.isfinite(ratio) & (weight > 0)


def _may_move(r, parameter: int) -> bool:
    """Whether a parameter is frozen is known of newer recordings; one without a gradient counts as frozen in the others."""
    trainable = _array(r, "trainable")
    return bool((r.grad_norm[:, parameter] > 0).any() if trainable is None else trainable[parameter])


def _worst(sizes: np.ndarray, names: list[str], bad) -> int:
    """The layer to be named: where the first bad number was, else the one furthest from the others."""
    if bad and bad.where in names:
        return names.index(bad.where)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(sizes)
        away = np.abs(logs - np.median(logs[np.isfinite(logs)]))
    return int(np.nan_to_num(away, nan=-1.0, posinf=np.inf).argmax())


def _plain(name: str, longest: int = 28) -> str:
    """A name on one line, its end kept where it is long."""
    name = "".join(letter if letter.isprintable() else "?" for letter in name)
    return name if len(name) <= longest else f"…{name[1 - longest :]}"


# How it is drawn.
def _share_the_steps(panels, r, bad) -> None:
    """One axis of steps for all panels over steps, and the first bad one marked on it."""
    of_loss = _array(r, "loss_steps")
    every = r.steps.numpy() if of_loss is None or not len(of_loss) else np.append(of_loss, r.steps.numpy())
    first, last = int(every.min()), int(every.max())
    room = 0.02 * (last - first) or 1
    for ax in panels:
        ax.set_xlim(first - room, last + room)
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        ax.xaxis.set_major_formatter("{x:.0f}")
        if bad:
            ax.axvline(bad.step, color=EXPLODES, linestyle=":", linewidth=1.4)


def _end_of(ax: Axes, steps: np.ndarray, fine: np.ndarray) -> str:
    """Grey over the steps from which on nothing is finite, and what it means."""
    after = len(fine) - int(fine[::-1].argmax()) if fine.any() else 0
    if after == len(fine):
        return "" if fine.all() else f"not finite in {(~fine).sum()} of {len(fine)} records"
    said = f"not finite from step {steps[after]} on"
    ax.axvspan(steps[after], max(steps[-1], steps[after] + 0.5), color=REFERENCE, alpha=0.2, linewidth=0)
    if not fine.any():
        _say(ax, said)
    elif steps[-1] - steps[after] > 0.4 * (steps[-1] - steps[0]):
        middle, place = (
            (steps[after] + steps[-1]) / 2,
            {"transform": ax.get_xaxis_transform(), "ha": "center"},
        )
        ax.text(middle, 0.5, said, color=EXPLODES, fontsize=9, va="center", **place)
    return said


def _say(ax: Axes, text: str) -> str:
    """What stands in a panel where nothing can be drawn."""
    ax.text(0.5, 0.5, text, color="black", ha="center", va="center", fontsize=11, transform=ax.transAxes)
    ax.set_yticks([])
    return text.replace("\n", " ")


def _title(ax: Axes, name: str, findings: list[str]) -> None:
    """The name of a panel, and below it what was found."""
    lines = wrap(", ".join(filter(None, findings)), 62, max_lines=2, placeholder=" …")
    ax.set_title("\n".join([name, *lines]), fontsize=10, parse_math=False)


def _joined(what: str, findings: list[str]) -> str:
    said = ", ".join(filter(None, findings))
    return f"{what}: {said}" if said else ""


def _marker(drawn: np.ndarray) -> str:
    """A line of one point would not be seen."""
    return "o" if np.count_nonzero(drawn) < 2 else ""


def _at_the_edge(ax: Axes, x, height: float, colour: str) -> None:
    """Marks at the lower or the upper edge of a panel, for what has no place on its axis."""
    style = {"color": colour, "linestyle": "", "marker": "v" if height < 0.5 else "^", "markersize": 5}
    ax.plot(x, np.full(len(x), height), transform=ax.get_xaxis_transform(), clip_on=False, **style)


def _readable(ax: Axes, values: np.ndarray) -> None:
    """A logarithmic axis for positive values that span more than a factor of 10; what is nearly equal is to look nearly equal."""
    if not len(values):
        return
    low, high = values.min(), values.max()
    if low > 0 and high > 10 * low:
        ax.set_yscale("log")
        _readable_powers(ax)
        return
    middle, room = (low + high) / 2, max(0.05 * max(abs(low), abs(high)), 1.1 * (high - low), 1e-300)
    ax.set_ylim(middle - room / 2, middle + room / 2)
    ax.yaxis.set_major_locator(MaxNLocator(5))
    ax.yaxis.set_major_formatter("{x:g}")


def _readable_powers(ax: Axes) -> None:
    """Plain numbers on a short logarithmic axis, powers of ten on a long one."""
    low, high = ax.get_ylim()
    if high < 10 * low:
        low, high = low / (10 * low / high) ** 0.5, high * (10 * low / high) ** 0.5
        ax.set_ylim(low, high)
    short = high < 1000 * low
    if short:
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter("{x:g}" if short else power_of_ten)


def power_of_ten(value: float, _=None) -> str:
    """A power of ten as plain text."""
    return "10" + str(round(np.log10(value))).translate(RAISED)


def _name_layers(ax: Axes, names: list[str], worst: int, bad: str | None) -> None:
    """All names where they are few; else those of the first, the worst and the last layer, and whole numbers between them."""
    count = len(names)
    named = range(count) if count <= FEW_LAYERS else sorted({0, worst, count - 1})
    labels = {k + 1: _plain(names[k], 20) for k in named}
    if count > FEW_LAYERS:
        for k in MaxNLocator(6, integer=True).tick_values(1, count):
            if 1 <= k <= count and all(abs(k - taken) > count / 12 for taken in list(labels)):
                labels[int(k)] = str(int(k))
    slanted = count > FEW_LAYERS or sum(map(len, labels.values())) > 40
    turned = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if slanted else {}
    ax.set_xlim(0.5, count + 0.5)
    ax.set_xticks(list(labels), list(labels.values()), fontsize=8, parse_math=False, **turned)
    for k, label in zip(labels, ax.get_xticklabels(), strict=True):
        if names[k - 1] == bad:
            label.set_color(EXPLODES)
