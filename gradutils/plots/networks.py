"""Networks as boxes and arrows: a chain, a unit, a recurrent network unrolled, a residual block."""

import numpy as np
from matplotlib.axes import Axes

from gradutils.plots.sheet import ACROSS, ALONG, INK, PALE, SIZES, Sheet, must_hold, plain
from gradutils.plots.style import REFERENCE, SECOND, STABLE, describe


def _row(sheet, names, numbers, size):
    """The widths, 0 where there is nothing to say, and the one height of a row of boxes."""
    texts = list(zip(names, numbers, strict=True))
    sizes = [(sheet.measure(name, size), sheet.measure(number, size - 1)) for name, number in texts]
    widths = [
        max(a[0], b[0]) + 2 * ACROSS if any(text) else 0.0 for (a, b), text in zip(sizes, texts, strict=True)
    ]
    return np.array(widths), max(a[1] + b[1] for a, b in sizes) + 2 * ALONG + 1.5


def _apart(widths, between):
    """How far apart the middles of neighbours must be, with so much room between their edges."""
    return (widths[:-1] + widths[1:]) / 2 + between


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
    hang = not any(back_numbers)  # the labels of the way back stand below flat boxes, where there is room
    back = list(back) or [""] * (count - 1) if named else list(back) or [None] * (count - 1)
    labels = [label or "" for label in back]

    sheet = Sheet(ax)
    for size in SIZES:
        widths, height = _row(sheet, values, numbers, size)
        low_widths, low_height = _row(sheet, gradients, back_numbers, size)
        shape_widths = np.array([sheet.measure(shape, size - 1)[0] for shape in shapes])
        step_widths = np.array([sheet.measure(step, size)[0] for step in steps])
        label_widths = np.array([sheet.measure(label, size)[0] for label in labels])
        apart = np.maximum.reduce(
            [
                _apart(widths, np.maximum(22, step_widths + 10)),
                _apart(low_widths, np.maximum(16, 0 if hang else label_widths + 10)),
                _apart(shape_widths, 6),
                label_widths + 8,
            ]
        )
        columns = np.maximum.reduce([widths, low_widths, shape_widths])
        spare = sheet.width - 4 - columns[0] / 2 - apart.sum() - columns[-1] / 2
        above = max(height / 2 + sheet.tallest(shapes, size - 1) + 3, sheet.tallest(steps, size) + 4)
        label_room = sheet.tallest(labels, size) + 3
        if named:
            foot = low_height / 2 + 1 if hang else 3
            below = 14 + low_height / 2 + max(low_height / 2, foot + label_room)
        else:
            below = 16 + label_room if any(label is not None for label in back) else 0
        room = sheet.height - 4 - above - height / 2 - below
        if spare >= 0 and room >= 0:
            break
    stretch = np.clip(spare / max(count - 1, 1), 0, 50)
    drop = np.clip(0.6 * room, 0, 18) * named
    x = np.concatenate([[0], np.cumsum(apart + stretch)])
    x += (sheet.width + columns[0] / 2 - columns[-1] / 2 - x[-1]) / 2
    y = (sheet.height + height / 2 + below + drop - above) / 2
    low = y - height / 2 - 14 - drop - low_height / 2

    for k in range(count):
        sheet.named_box(x[k], y, widths[k], height, values[k], size, numbers=numbers[k])
        sheet.text(x[k], y + height / 2 + 2, shapes[k], size - 1, PALE, va="bottom")
        if low_widths[k]:
            texts = gradients[k], size, back_colour, back_numbers[k]
            sheet.named_box(x[k], low, low_widths[k], low_height, *texts)
    for k in range(count - 1):
        left, right = x[k] + widths[k] / 2, x[k + 1] - widths[k + 1] / 2
        sheet.arrow((left, y), (right, y))
        sheet.text((left + right) / 2, y + 3, steps[k], size, va="bottom")
        if back[k] is None:
            continue
        if named:
            left, right = x[k] + low_widths[k] / 2, x[k + 1] - low_widths[k + 1] / 2
            sheet.arrow((right, low), (left, low), colour=back_colour)
            sheet.text((left + right) / 2, low - foot, labels[k], size, back_colour, va="top")
        else:
            bottom = y - height / 2 - 1
            sheet.arrow((x[k + 1] - 4, bottom), (x[k] + 4, bottom), colour=back_colour, bend=14)
            sheet.text((x[k] + x[k + 1]) / 2, bottom - 16, labels[k], size, back_colour, va="top")
    if low_widths[-1] and back and back[-1] is not None:  # here the way turns
        sheet.arrow((x[-1], y - height / 2), (x[-1], low + low_height / 2), colour=back_colour)
    words = _forward_words(values, steps, shapes, numbers)
    if any(label is not None for label in back):
        words += _backward_words(values, back, gradients, back_numbers)
    return describe(ax, words)


def _named(name: str, number: str) -> str:
    return plain(f"{name} = {number}" if number else name)


def _through(step: str) -> str:
    return f"through {plain(step)} " if step else ""


def _forward_words(values, steps, shapes, numbers) -> str:
    names = [_named(*pair) for pair in zip(values, numbers, strict=True)]
    hops = [f", {_through(step)}to {name}" for step, name in zip(steps, names[1:], strict=True)]
    sizes = [f"{plain(value)} {plain(shape)}" for value, shape in zip(values, shapes, strict=True) if shape]
    return f"A chain from {names[0]}{''.join(hops)}." + (f" Shapes: {', '.join(sizes)}." if sizes else "")


def _backward_words(values, back, gradients, numbers) -> str:
    names = [g or f"the gradient of {v}" for g, v in zip(gradients, values, strict=True)]
    names = [_named(*pair) for pair in zip(names, numbers, strict=True)]
    hops = [(_through(step), name) for step, name in zip(back, names[:-1], strict=True) if step is not None]
    return f" Backwards from {names[-1]}{''.join(f', {step}to {name}' for step, name in reversed(hops))}."


def draw_unit(ax: Axes, inputs, weights, output, *, sum_label="sum", backward=False, colour=None) -> Axes:
    """One unit adds what several others give it, each through its weight; ``backward``: it adds what they hand back.

    Backward is drawn from right to left, in orange. Up to five ``inputs``; "…" stands for many and has no arrow.
    ``weights`` holds one label an input. ValueError for another number.
    """
    must_hold("weights", weights, len(inputs), "one an input")
    colour = colour or (SECOND if backward else INK)
    frame = colour if backward else REFERENCE
    many = [text in ("…", "...") for text in inputs]
    sheet = Sheet(ax)
    for size in SIZES:
        height = sheet.tallest([*inputs, output], size) + 2 * ALONG
        pitch = np.clip((sheet.height - height - 4) / max(len(inputs) - 1, 1), 0, 36)
        width, end = sheet.widest(inputs, size) + 2 * ACROSS, sheet.measure(output, size)[0] + 2 * ACROSS
        radius = max(13, sheet.measure(sum_label, size)[0] / 2 + 5)
        label, tall = sheet.widest(weights, size), sheet.tallest(weights, size)
        spare = sheet.width - 4 - width - end - 2 * radius
        near, far = np.clip(0.72 * spare, label + 30, 160), np.clip(0.28 * spare, 22, 60)
        first = (7 + label / 2) / (near + radius)  # where on its arrow a label can stand, at the earliest
        if spare >= near + far - 1 and pitch >= height + 2 and (1 - first) * pitch >= tall:
            break
    at = np.clip(1 - (tall + 4) / max(pitch, 1), first, max(first, 0.36))
    side = -1 if backward else 1
    x = sheet.width / 2 - side * (near + 2 * radius + far + end) / 2
    centre = x + side * (width / 2 + near + radius)
    last = centre + side * (radius + far + end / 2)
    middle = sheet.height / 2
    heights = middle + pitch * ((len(inputs) - 1) / 2 - np.arange(len(inputs)))
    for text, weight, dots, y in zip(inputs, weights, many, heights, strict=True):
        if dots:
            sheet.text(x, y, r"$\vdots$", size + 2)
            continue
        sheet.named_box(x, y, width, height, text, size, frame)
        start = np.array([x + side * width / 2, y])
        way = np.array([centre, middle]) - start
        sheet.arrow(start, start + way * (1 - radius / np.hypot(*way)), colour=colour)
        sheet.text(*(start + at * way), weight, size, colour, ground=True)
    sheet.circle(centre, middle, radius, sum_label, size, frame)
    sheet.arrow((centre + side * radius, middle), (last - side * end / 2, middle), colour=colour)
    sheet.named_box(last, middle, end, height, output, size, frame)
    parts = [
        "others like them" if dots else f"{plain(text)} {_through(weight)}".strip()
        for text, weight, dots in zip(inputs, weights, many, strict=True)
    ]
    begin = "Backwards, from right to left, the ways add up in one unit" if backward else "One unit adds"
    return describe(ax, f"{begin}: {', '.join(parts)}. The {plain(sum_label)} is {plain(output)}.")


def draw_unrolled(
    ax: Axes,
    steps: int,
    *,
    state="h",
    operation="W, tanh",
    inputs="x",
    gradient=True,
    first=0,
    folded=False,
    back_colour=SECOND,
) -> Axes:
    """A recurrent network unrolled over so many steps: the same operation on each state, inputs from below.

    ``inputs``: a name to count, a list of names, or None; ``gradient`` draws the way back above; ``folded`` puts the
    network as a loop before it. Four steps fit in a figure 6.4 in wide, three with the loop. ValueError below one step.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1; got {steps}")
    states = [f"{state}[{first + k}]" for k in range(steps + 1)]
    fed = [f"{inputs}[{first + k + 1}]" for k in range(steps)] if isinstance(inputs, str) else inputs or ()
    if fed:
        must_hold("inputs", fed, steps, "one a step")
    same = f"the same {operation.split(',')[0].strip()} at every step" if steps > 1 else ""
    sheet = Sheet(ax)
    for size in SIZES:
        tall = sheet.tallest([*states, operation, same], size)
        width, height = sheet.widest(states, size) + 2 * ACROSS, tall + 2.5 * ALONG
        op = sheet.widest([operation, *fed], size) + 2 * ACROSS
        loop = op + 58 if folded else 0
        gap = (sheet.width - 4 - loop - (steps + 1) * width - steps * op) / (2 * steps)
        over = max(22 * gradient, (14 + tall / 2) * folded)
        under = (tall + 18) * bool(fed) + (tall + 5) * bool(same)
        room = sheet.height - 4 - over - height - under
        if gap >= 15 and room >= 0:
            break
    gap = min(gap, 40)
    rise = np.clip(room / 2, 0, 10) * bool(fed)  # the arrows of the inputs, longer where there is room
    y = (sheet.height - over + under + rise) / 2
    pitch = width + op + 2 * gap
    left = (sheet.width - loop - width - steps * pitch) / 2
    x = left + loop + width / 2 + pitch * np.arange(steps + 1)
    top, bottom = y + height / 2, y - height / 2

    def operate(middle, text):
        sheet.named_box(middle, y, op, height, operation, size, STABLE)
        if text:
            sheet.arrow((middle, bottom - 16 - rise), (middle, bottom))
            sheet.text(middle, bottom - 18 - rise, text, size, va="top")

    for k, name in enumerate(states):
        sheet.named_box(x[k], y, width, height, name, size)
    for k in range(steps):
        middle = (x[k] + x[k + 1]) / 2
        operate(middle, fed[k] if fed else "")
        sheet.arrow((x[k] + width / 2, y), (middle - op / 2, y))
        sheet.arrow((middle + op / 2, y), (x[k + 1] - width / 2, y))
        if gradient:
            sheet.arrow((x[k + 1] - 5, top + 1), (x[k] + 5, top + 1), colour=back_colour, bend=-19)
    sheet.text((x[0] + x[-1]) / 2, bottom - under - rise, same, size, STABLE, va="bottom")
    if folded:
        middle = left + 14 + op / 2
        operate(middle, inputs if isinstance(inputs, str) else fed[0] if fed else "")
        ends = middle - op / 2, middle + op / 2
        corners = [(ends[1] + 13, y), (ends[1] + 13, top + 14), (ends[0] - 13, top + 14), (ends[0] - 13, y)]
        sheet.arrow((ends[1], y), *corners, (ends[0], y))
        sheet.text(middle, top + 14, state, size, ground=True)
        sheet.text(ends[1] + 29, y, "=", size + 2)
    hops = [
        f", through {plain(operation)}{f' with {fed[k]}' if fed else ''} to {states[k + 1]}"
        for k in range(steps)
    ]
    words = f"A recurrent network{', as a loop and' if folded else ''} unrolled: {states[0]}{''.join(hops)}"
    words += f"; {plain(same)}." if same else "."
    if gradient:
        words += f" The gradient goes back from {states[-1]} to {states[0]}, step by step."
    return describe(ax, words)


def draw_residual(
    ax: Axes,
    branch,
    *,
    path="",
    after=(),
    scale=None,
    back=True,
    ends=("h[k]", "h[k+1]"),
    back_colour=SECOND,
) -> Axes:
    """A residual block: its input goes straight along the path and through the boxes of the branch, and both are added.

    ``path`` is written on the straight way, ``scale`` on the arrow that leaves the branch; the boxes of ``after`` follow
    the sum; ``back`` draws the gradient on both ways; ``ends`` are the block's input and output. Up to three boxes in the
    branch and one after the sum in a figure 6.4 in wide.
    """
    branch, after = list(branch), list(after)
    if not branch:
        raise ValueError("branch must name at least one box; got none")
    must_hold("ends", ends, 2, "the names of the block's input and output")
    sheet = Sheet(ax)
    for size in SIZES:
        tall = sheet.tallest([*branch, *after, *ends, path], size)
        height, radius = tall + 2.5 * ALONG, 10

        def wide(text, size=size):
            return sheet.measure(text, size)[0] + 2 * ACROSS

        factor = sheet.measure(scale, size)[0] + 4 if scale else 0
        inner = max(sum(map(wide, branch)) + factor, sheet.measure(path, size)[0])
        outer = sum(map(wide, [*after, *ends])) + 2 * radius
        arrows = len(branch) + len(after) + 3.5
        gap = (sheet.width - 4 - inner - outer) / arrows
        rise = sheet.height - 4 - 1.5 * height - max(height / 2, 12 * back) - 6 * back
        needed = height / 2 + radius + 8 + (tall + 2) * bool(path)
        if gap >= 12 and rise >= needed:
            break
    gap = min(gap, 34)
    rise = np.clip(rise, 0, 62)
    y = (sheet.height - rise) / 2 + 4 * back
    top = y + rise
    x = (sheet.width - inner - outer - arrows * gap) / 2
    begin = x + wide(ends[0])
    split = begin + gap
    join = split + inner + (len(branch) + 1.5) * gap + radius
    sheet.named_box(x + wide(ends[0]) / 2, y, wide(ends[0]), height, ends[0], size)
    sheet.arrow((begin, y), (join - radius, y))
    x, way = split, [(split, y), (split, top)]
    for text in branch:
        sheet.arrow(*way, (x + gap, top))
        sheet.named_box(x + gap + wide(text) / 2, top, wide(text), height, text, size, STABLE)
        x += gap + wide(text)
        way = [(x, top)]
    sheet.arrow(*way, (join, top), (join, y + radius))
    sheet.text((x + join) / 2, top + 3, scale, size, va="bottom")
    sheet.text((split + join) / 2, y + 3, path, size, va="bottom")
    sheet.circle(join, y, radius, "+", size + 1)
    x = join + radius
    for text, colour in [*((text, STABLE) for text in after), (ends[1], REFERENCE)]:
        sheet.arrow((x, y), (x + gap, y))
        sheet.named_box(x + gap + wide(text) / 2, y, wide(text), height, text, size, colour)
        x += gap + wide(text)
    if back:
        low, inside = y - height / 2 - 5, top - height / 2 - 5
        sheet.arrow((x - wide(ends[1]) / 2, low), (begin - wide(ends[0]) / 2, low), colour=back_colour)
        right, left = join - 6, split + 6
        sheet.arrow(
            (right, y + radius - 1), (right, inside), (left, inside), (left, y + 1), colour=back_colour
        )
    inside = ", ".join(map(plain, branch)) + (f"; {plain(scale)}" if scale else "")
    words = f"A residual block: {plain(ends[0])} goes straight along the path{f' ({plain(path)})' if path else ''}"
    words += f" and through the branch ({inside}); the two are added"
    words += f", then {', '.join(map(plain, after))}" if after else ""
    words += f", giving {plain(ends[1])}."
    if back:
        words += " The gradient goes back on both ways, and they add up."
    return describe(ax, words)
