"""Drawings of numbers in a format: the bits of one, and the line of all with updates that reach the next or do not."""

import math

import torch
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from gradutils.plots.sheet import ACROSS, ALONG, INK, PALE, SIZES, Sheet
from gradutils.plots.style import REFERENCE, SECOND, STABLE, VANISHES, describe

LAYOUT = {  # bits in all, in the exponent
    "float32": (32, 8),
    "bfloat16": (16, 8),
    "float16": (16, 5),
}
MOST = 40  # numbers on a line


def draw_bits(ax: Axes, value: float, formats=("float32", "bfloat16", "float16")) -> Axes:
    """A number as each format stores it: its sign, its exponent and its digits in bits, and what it is then.

    ValueError for a format that is not one of float32, bfloat16 and float16.
    """
    if unknown := [name for name in formats if name not in LAYOUT]:
        raise ValueError(f"formats must be some of {', '.join(LAYOUT)}; got {unknown[0]!r}")
    rows = []
    for name in formats:
        stored, (count, exponent) = torch.tensor(value, dtype=getattr(torch, name)), LAYOUT[name]
        whole = stored.view(torch.int32 if count == 32 else torch.int16).item() % (1 << count)
        bits = f"{whole:0{count}b}"
        rows.append((name, [bits[0], bits[1 : exponent + 1], bits[exponent + 1 :]], f"{stored.item():.7g}"))
    sheet, heads = Sheet(ax), ("sign", "exponent", "digits")
    for size in SIZES:
        groups = [
            max(sheet.widest([head, *(row[1][k] for row in rows)], size) + 2 * ACROSS for row in rows)
            for k, head in enumerate(heads)
        ]
        side = sheet.widest([row[0] for row in rows], size), sheet.widest([row[2] for row in rows], size)
        height = sheet.tallest(["0", *(row[0] for row in rows)], size) + 2 * ALONG
        wide = sum(groups) + sum(side) + 5 * 6
        pitch = (sheet.height - 4) / (len(rows) + 1)
        if wide <= sheet.width - 4 and height + 3 <= pitch:
            break
    pitch, left = min(pitch, 1.6 * height), (sheet.width - wide) / 2
    top = (sheet.height + pitch * len(rows)) / 2
    starts = [left + side[0] + 8]
    for width in groups[:-1]:
        starts.append(starts[-1] + width + 6)
    colours = (REFERENCE, SECOND, STABLE)
    for head, start in zip(heads, starts, strict=True):
        sheet.text(start, top, head, size, PALE, ha="left")
    for k, (name, parts, stored) in enumerate(rows, start=1):
        y = top - k * pitch
        sheet.text(left, y, name, size, ha="left")
        for part, start, colour in zip(parts, starts, colours, strict=True):
            width = sheet.measure(part, size)[0] + 2 * ACROSS
            sheet.named_box(start + width / 2, y, width, height, part, size, colour)
        sheet.text(starts[-1] + groups[-1] + 8, y, stored, size, ha="left")
    said = [f"{name} {' '.join(parts)}, which is {stored}" for name, parts, stored in rows]
    return describe(ax, f"The number {value:g} in bits, sign exponent digits: {'; '.join(said)}.")


def draw_updates(ax: Axes, start: float, updates, *, bits=7, low: float, high: float) -> Axes:
    """All numbers with so many stored bits from ``low`` to ``high``, and updates of the one nearest to ``start``.

    An update that rounding takes back is purple, one that moves the number blue; beside each stands what is stored.
    ``low`` and ``high`` lie on one side of 0. ValueError where the line would hold more than 40 numbers, or not the start.
    """
    if not 0 < low < start < high:
        raise ValueError(f"low, start and high must rise, all above 0; got {low}, {start}, {high}")
    numbers = _numbers(low, high, bits)
    if len(numbers) > MOST:
        raise ValueError(f"low and high must hold {MOST} numbers at most; got {len(numbers)}")
    w = min(numbers, key=lambda number: abs(number - start))
    sheet = Sheet(ax)
    for size in SIZES:
        line = sheet.tallest([f"{w:.6g}"], size) + 5
        if line * (len(updates) + 2) + 12 <= sheet.height:
            break
    lands = [min(numbers, key=lambda number, u=u: abs(number - w - u)) for u in updates]
    labels = [
        f"{w:.5g} {'+' if u > 0 else '-'} {abs(u):g} is stored as {land:.5g}"
        for u, land in zip(updates, lands, strict=True)
    ]
    margin = sheet.widest(labels, size) + 14
    bottom = (sheet.height - line * (len(updates) + 2)) / 2 + line

    def place(number):
        return 12 + (sheet.width - margin - 24) * (number - low) / (high - low)

    ends, codes = [(place(low), bottom), (place(high), bottom)], [Path.MOVETO, Path.LINETO]
    for number in numbers:
        tall = 7 if number == w else 4
        ends += [(place(number), bottom - tall), (place(number), bottom + tall)]
    path = Path(ends, codes * (len(ends) // 2))
    sheet.ax.add_patch(PathPatch(path, edgecolor=INK, facecolor="none", linewidth=1.1, clip_on=False))
    sheet.text(place(w), bottom - 10, f"{w:.5g}", size, va="top")
    for k, (u, land, label) in enumerate(zip(updates, lands, labels, strict=True), start=1):
        colour, y = VANISHES if land == w else STABLE, bottom + k * line
        sheet.arrow((place(w), y), (place(w + u), y), colour=colour)
        sheet.text(sheet.width - margin + 6, y, label, size, colour, ha="left")
    lost = sum(land == w for land in lands)
    words = f"A line of {len(numbers)} numbers from {low:g} to {high:g}, and updates of {w:.5g}: "
    return describe(ax, f"{words}{'; '.join(labels)}. {lost} of {len(updates)} are lost.")


def _numbers(low: float, high: float, bits: int) -> list[float]:
    """All numbers of the format between the two, in order."""
    found, number = [], low
    while number <= high and len(found) <= MOST:
        gap = 2.0 ** (math.floor(math.log2(number)) - bits)
        number = math.ceil(number / gap) * gap
        if number <= high:
            found.append(number)
        number += gap
    return found
