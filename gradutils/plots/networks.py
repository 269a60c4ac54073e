"""Networks as boxes and arrows: a chain, a unit, a recurrent network unrolled, a residual block."""

import numpy as np
from matplotlib.axes import Axes

from gradutils.plots.sheet import ACROSS, ALONG, INK, SIZES, Sheet, must_hold, plain
from gradutils.plots.style import REFERENCE, SECOND, STABLE, describe


def _row(sheet, names, numbers, size):
    """The widths and the one height of a row of boxes, 0 wide where there is nothing to say."""
    texts = list(zip(names, numbers, strict=True))
    sizes = [(sheet.measure(name, size), sheet.measure(text, size - 1)) for name, text in texts]
    widths = [(max(a[0], b[0]) + 2 * ACROSS) * any(text) for (a, b), text in zip(sizes, texts, strict=True)]
    return widths, max(a[1] + b[1] for a, b in sizes) + 2 * ALONG + 1.5


def draw_chain(
    ax: Axes,
    values,
    steps,
    *,
    shapes=(),
    back=(),
    gradients=(),
    numbers=(),
    back_numbers=(),
    back_colour=SECOND,
) -> Axes:
    """A chain of values in boxes from left to right, what is done to them on the arrows between; below, the way back.

    ``values`` and, where given, ``shapes`` (above the boxes), ``numbers`` (in them), ``gradients`` (the names below them)
    and ``back_numbers`` hold an entry a box; ``steps`` and ``back`` one an arrow. In ``back``, "" is an arrow without a
    label, None no arrow. Up to seven boxes in a figure 6.4 in wide. ValueError for other lengths.
    """
    count = len(values)
    rows = {"shapes": shapes, "numbers": numbers, "gradients": gradients, "back_numbers": back_numbers}
    for name, row in rows.items():
        must_hold(name, row or values, count, "one a box")
    for name, row in {"steps": steps, "back": back or steps}.items():
        must_hold(name, row, count - 1, f"one for each arrow between {count} boxes")
    shapes, numbers, gradients, back_numbers = (list(row) or [""] * count for row in rows.values())
    named = any(gradients) or any(back_numbers)  # else the arrows back bend from box to box
    back = list(back) or [""] * (count - 1) if named else list(back) or [None] * (count - 1)
    labels = [label or "" for label in back]

    sheet = Sheet(ax)
    for size in SIZES:
        widths, height = _row(sheet, values, numbers, size)
        low_widths, low_height = _row(sheet, gradients, back_numbers, size)
        shape_widths = [sheet.measure(text, size - 1)[0] for text in shapes]
        columns = np.array([widths, low_widths, shape_widths]).max(axis=0)
        gaps = np.array(
            [max(24.0, 12 + sheet.widest(pair, size)) for pair in zip(steps, labels, strict=True)]
        )
        above = max(height / 2 + sheet.tallest(shapes, size - 1) + 3, sheet.tallest(steps, size) + 4)
        under = sheet.tallest(labels, size) + 4
        below = (
            14 + low_height / 2 + max(low_height / 2, under)
            if named
            else (16 + under) * (back != [None] * (count - 1))
        )
        free = sheet.width - columns.sum() - gaps.sum() - 4
        room = sheet.height - above - height / 2 - below - 4
        if free >= 0 and room >= 0:
            break
    gaps += np.clip(free / max(count - 1, 1), 0, 60)
    extra = np.clip(0.6 * room, 0, 20) * named  # between the rows
    before = np.concatenate([[0], np.cumsum(columns[:-1] + gaps)])
    x = before + columns / 2 + (sheet.width - columns.sum() - gaps.sum()) / 2
    y = (sheet.height + height / 2 + below + extra - above) / 2
    low = y - height / 2 - 14 - extra - low_height / 2

    for k in range(count):
        sheet.named_box(x[k], y, widths[k], height, values[k], size, numbers=numbers[k])
        sheet.text(x[k], y + height / 2 + 2, shapes[k], size - 1, REFERENCE, va="bottom")
        if low_widths[k]:
            sheet.named_box(
                x[k], low, low_widths[k], low_height, gradients[k], size, back_colour, back_numbers[k]
            )
    for k in range(count - 1):
        left, right = x[k] + widths[k] / 2, x[k + 1] - widths[k + 1] / 2
        sheet.arrow((left, y), (right, y))
        sheet.text((left + right) / 2, y + 3, steps[k], size, va="bottom")
        if back[k] is None:
            continue
        if named:
            left, right = x[k] + low_widths[k] / 2, x[k + 1] - low_widths[k + 1] / 2
            sheet.arrow((right, low), (left, low), colour=back_colour)
            sheet.text((left + right) / 2, low - 3, labels[k], size, back_colour, va="top")
        else:
            foot = y - height / 2 - 1
            sheet.arrow((x[k + 1] - 4, foot), (x[k] + 4, foot), colour=back_colour, bend=14)
            sheet.text((x[k] + x[k + 1]) / 2, foot - 16, labels[k], size, back_colour, va="top")
    if low_widths[-1] and back and back[-1] is not None:  # here the way turns
        sheet.arrow((x[-1], y - height / 2), (x[-1], low + low_height / 2), colour=back_colour)
    words = _chain_words(values, steps, shapes, numbers)
    if any(label is not None for label in back):
        words += _way_back_words(values, back, gradients, back_numbers)
    return describe(ax, words)


def _named(name, number) -> str:
    return plain(f"{name} = {number}" if number else name)


def _through(step) -> str:
    return f"through {plain(step)} " if step else ""


def _chain_words(values, steps, shapes, numbers) -> str:
    names = [_named(*pair) for pair in zip(values, numbers, strict=True)]
    hops = [f", {_through(step)}to {name}" for step, name in zip(steps, names[1:], strict=True)]
    sizes = [f"{plain(value)} {plain(shape)}" for value, shape in zip(values, shapes, strict=True) if shape]
    return f"A chain from {names[0]}{''.join(hops)}." + (f" Shapes: {', '.join(sizes)}." if sizes else "")


def _way_back_words(values, back, gradients, numbers) -> str:
    names = [g or f"the gradient of {v}" for g, v in zip(gradients, values, strict=True)]
    names = [_named(*pair) for pair in zip(names, numbers, strict=True)]
    hops = [
        f", {_through(step)}to {name}"
        for step, name in zip(back, names[:-1], strict=True)
        if step is not None
    ]
    return f" Backwards from {names[-1]}{''.join(reversed(hops))}."


def _row_heights(sheet, texts, size):
    """How high each of a column of boxes stands, evenly over the sheet but not far apart, and their one height."""
    height = sheet.tallest(texts, size) + 2 * ALONG
    pitch = np.clip((sheet.height - height - 4) / max(len(texts) - 1, 1), 0, 40)
    return sheet.height / 2 + pitch * ((len(texts) - 1) / 2 - np.arange(len(texts))), height, pitch


def draw_unit(ax: Axes, inputs, weights, output, *, sum_label="sum", backward=False, colour=None) -> Axes:
    """One unit adds what several others give it, each through its weight; ``backward``: it adds what they hand back.

    Backward is drawn from right to left, in orange. Up to five ``inputs``; "…" stands for many and has no arrow.
    ``weights`` holds one label an input. ValueError for another number.
    """
    must_hold("weights", weights, len(inputs), "one an input")
    sheet = Sheet(ax)
    colour = colour or (SECOND if backward else INK)
    frame = SECOND if backward else REFERENCE
    many = [text in ("…", "...") for text in inputs]
    for size in SIZES:
        y, height, pitch = _row_heights(sheet, inputs, size)
        width, end = sheet.widest(inputs, size) + 2 * ACROSS, sheet.measure(output, size)[0] + 2 * ACROSS
        radius = max(13, sheet.measure(sum_label, size)[0] / 2 + 5)
        label = sheet.widest(weights, size)
        free = sheet.width - width - end - 2 * radius - 4
        near, far = np.clip(free * 0.7, label + 34, 150), np.clip(free * 0.3, 24, 60)
        at = (9 + label / 2) / (near + radius)  # where on its arrow a label stands
        if (
            free >= near + far - 1
            and pitch >= height + 2
            and (1 - at) * pitch >= sheet.tallest(weights, size)
        ):
            break
    side = -1 if backward else 1
    left = sheet.width / 2 - side * (width + near + 2 * radius + far + end) / 2
    x = left + side * width / 2
    centre = left + side * (width + near + radius)
    last = centre + side * (radius + far + end / 2)
    middle = sheet.height / 2
    for text, weight, dots, height_of_input in zip(inputs, weights, many, y, strict=True):
        if dots:
            sheet.text(x, height_of_input, r"$\vdots$", size + 2)
            continue
        sheet.named_box(x, height_of_input, width, height, text, size, frame)
        start = np.array([x + side * width / 2, height_of_input])
        way = np.array([centre, middle]) - start
        sheet.arrow(start, start + way * (1 - radius / np.hypot(*way)), colour=colour)
        sheet.text(*(start + at * way), weight, size, colour, ground=True)
    sheet.circle(centre, middle, radius, sum_label, size, frame)
    sheet.arrow((centre + side * radius, middle), (last - side * end / 2, middle), colour=colour)
    sheet.named_box(last, middle, end, height, output, size, frame)
    parts = [
        f"{plain(text)}{' through ' + plain(weight) if weight else ''}" if not dots else "others like them"
        for text, weight, dots in zip(inputs, weights, many, strict=True)
    ]
    verb = "Backwards, from right to left, the ways add up in one unit" if backward else "One unit adds"
    return describe(ax, f"{verb}: {', '.join(parts)}. The {plain(sum_label)} is {plain(output)}.")


def draw_unrolled(
    ax: Axes, steps: int, *, state="h", operation="W, tanh", inputs="x", gradient=True, first=0, folded=False
) -> Axes:
    """A recurrent network unrolled over so many steps: the same operation on each state, inputs from below.

    ``inputs=None`` draws none; ``gradient`` draws the way back above; ``folded`` puts the network as a loop before it.
    Four steps fit in a figure 6.4 in wide. ValueError below one step.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1; got {steps}")
    sheet = Sheet(ax)
    times = range(first, first + steps + 1)
    states = [f"{state}[{time}]" for time in times]
    fed = [f"{inputs}[{time}]" for time in times[1:]] if inputs else []
    same = f"the same {operation.split(',')[0].strip()} at every step"
    for size in SIZES:
        width, height = (
            sheet.widest(states, size) + 2 * ACROSS,
            sheet.tallest([*states, operation], size) + 3 * ALONG,
        )
        op = sheet.widest([operation, *fed], size) + 2 * ACROSS
        loop = op + 52 if folded else 0
        free = sheet.width - 4 - loop - (steps + 1) * width - steps * op
        gap = free / (2 * steps)
        arc = 22 if gradient else 0
        feet = 16 + sheet.tallest(fed, size) if fed else 0
        note = sheet.measure(same, size)[1] + 6 if steps > 1 else 0
        room = sheet.height - 4 - height - arc - feet - note
        if gap >= 15 and room >= 0:
            break
    gap = min(gap, 40)
    feet += np.clip(room / 2, 0, 12) * bool(fed)
    total = loop + (steps + 1) * width + steps * (op + 2 * gap)
    left = (sheet.width - total) / 2
    y = (sheet.height - height - arc + feet + note) / 2 + height / 2
    pitch = width + op + 2 * gap
    x = left + loop + width / 2 + pitch * np.arange(steps + 1)
    for k, name in enumerate(states):
        sheet.named_box(x[k], y, width, height, name, size)
    for k in range(steps):
        middle = (x[k] + x[k + 1]) / 2
        sheet.named_box(middle, y, op, height, operation, size, STABLE)
        sheet.arrow((x[k] + width / 2, y), (middle - op / 2, y))
        sheet.arrow((middle + op / 2, y), (x[k + 1] - width / 2, y))
        if fed:
            sheet.arrow(
                (middle, y - height / 2 - feet + sheet.measure(fed[k], size)[1]), (middle, y - height / 2)
            )
            sheet.text(middle, y - height / 2 - feet, fed[k], size, va="bottom")
        if gradient:
            top = y + height / 2 + 1
            sheet.arrow((x[k + 1] - 5, top), (x[k] + 5, top), colour=SECOND, bend=-19)
    if steps > 1:
        sheet.text((x[0] + x[-1]) / 2, y - height / 2 - feet - 4, same, size, STABLE, va="top")
    if folded:
        middle, top = left + op / 2, y + height / 2
        sheet.named_box(middle, y, op, height, operation, size, STABLE)
        sheet.arrow(
            (middle + op / 2, y),
            (middle + op / 2 + 10, y),
            (middle + op / 2 + 10, top + 12),
            (middle, top + 12),
            (middle, top),
        )
        sheet.text(left + op + 30, y, "=", size + 2)
        sheet.text(middle, top + 14, state, size, va="bottom")
    words = f"A recurrent network unrolled: {states[0]}"
    words += "".join(
        f", through {plain(operation)}{' with ' + fed[k] if fed else ''} to {states[k + 1]}"
        for k in range(steps)
    )
    words += f"; {plain(same)}." if steps > 1 else "."
    if gradient:
        words += f" The gradient goes back from {states[-1]} to {states[0]} through each of them."
    return describe(ax, words)


def draw_residual(
    ax: Axes, branch, *, path="", after=(), scale=None, back=True, ends=("h[k]", "h[k + 1]")
) -> Axes:
    """A residual block: ``h`` goes straight along the path and through the boxes of the branch, and the two are added.

    ``path`` is written on the straight way, ``scale`` on the arrow that leaves the branch; the boxes of ``after`` follow
    the sum; ``back`` draws the gradient on both ways. Up to four boxes in the branch and one after the sum.
    """
    branch, after = list(branch), list(after)
    if not branch:
        raise ValueError("branch must name at least one box; got none")
    sheet = Sheet(ax)
    for size in SIZES:
        height = sheet.tallest([*branch, *after, *ends], size) + 2.5 * ALONG
        wide = {text: sheet.measure(text, size)[0] + 2 * ACROSS for text in [*branch, *after, *ends]}
        factor = sheet.measure(scale or "", size)[0] + 14 * bool(scale)
        inner = sum(wide[text] for text in branch) + factor
        outer = sum(wide[text] for text in [*after, *ends]) + 22
        arrows = len(branch) + len(after) + 5
        gap = (sheet.width - 4 - inner - outer) / arrows
        if gap >= 15:
            break
    gap = min(gap, 34)
    rise = np.clip(sheet.height - 2 * height - 24 - sheet.measure(path, size)[1], 30, 62)
    y, top = (sheet.height - rise) / 2 + 4, (sheet.height + rise) / 2 + 4
    x = (sheet.width - inner - outer - arrows * gap) / 2
    start = x + wide[ends[0]]
    split = start + gap
    join = split + inner + (len(branch) + 2) * gap + 11
    sheet.named_box(x + wide[ends[0]] / 2, y, wide[ends[0]], height, ends[0], size)
    sheet.arrow((start, y), (join - 11, y))
    x, way = split, [(split, y), (split, top)]
    for text in branch:
        x += gap
        sheet.arrow(*way, (x, top))
        sheet.named_box(x + wide[text] / 2, top, wide[text], height, text, size, STABLE)
        x += wide[text]
        way = [(x, top)]
    sheet.arrow(*way, (join, top), (join, y + 11))
    if scale:
        sheet.text((x + join) / 2, top + 3, scale, size, va="bottom")
    sheet.text((split + join) / 2, y + 3, path, size, va="bottom")
    sheet.circle(join, y, 11, "+", size + 2)
    x = join + 11
    for text in [*after, ends[1]]:
        sheet.arrow((x, y), (x + gap, y))
        x += gap
        sheet.named_box(
            x + wide[text] / 2, y, wide[text], height, text, size, REFERENCE if text is ends[1] else STABLE
        )
        x += wide[text]
    if back:
        low, high = y - height / 2 - 5, top + height / 2 + 6
        sheet.arrow((x - wide[ends[1]] / 2, low), (start - wide[ends[0]] / 2, low), colour=SECOND)
        sheet.arrow((join + 17, low), (join + 17, high), (split - 7, high), (split - 7, low), colour=SECOND)
    words = f"A residual block: {plain(ends[0])} goes straight along the path{f' ({plain(path)})' if path else ''} and through the branch"
    words += (
        f" ({', '.join(map(plain, branch))}){f', times {plain(scale)}' if scale else ''}; the two are added"
    )
    words += f", then {', '.join(map(plain, after))}" if after else ""
    words += f", giving {plain(ends[1])}."
    if back:
        words += " The gradient goes back on both ways, and they add up."
    return describe(ax, words)
