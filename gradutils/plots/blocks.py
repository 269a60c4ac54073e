"""The ways through a normalisation: a value, the statistics that are taken from it, and the gradient that returns."""

from matplotlib.axes import Axes

from gradutils.plots.sheet import ACROSS, ALONG, SIZES, Sheet, must_hold, plain
from gradutils.plots.style import SECOND, STABLE, describe


def draw_statistics(
    ax: Axes,
    *,
    values=("z", "z - m", "y"),
    statistics=("mean m", "standard deviation s"),
    steps=("- m", "/ s"),
    back=True,
    back_colour=SECOND,
) -> Axes:
    """A normalisation: the values along the row, and below the arrow between two of them the statistic that it uses.

    A statistic is taken from the value on its left and goes into the one on its right. ``back`` draws the gradient on
    both ways, along the row and by the statistics. ``values`` holds one more than ``statistics`` and ``steps``, which
    label the arrows; three values fit in a figure 6.4 in wide.
    """
    must_hold("statistics", statistics, len(values) - 1, "one between two values")
    must_hold("steps", steps, len(values) - 1, "one between two values")
    sheet = Sheet(ax)
    apart = 4 * back  # the way back runs beside the way forward
    for size in SIZES:
        height = sheet.tallest([*values, *statistics], size) + 2.5 * ALONG
        above = max(height / 2, apart + 3 + sheet.tallest(steps, size))
        widths = [sheet.measure(text, size)[0] + 3 * ACROSS for text in values]
        below = [sheet.measure(text, size)[0] + 3 * ACROSS for text in statistics]
        gap = (sheet.width - 4 - sum(widths)) / len(steps)
        drop = sheet.height - 4 - above - 1.5 * height
        if gap >= max(60, *below, sheet.widest(steps, size) + 24) - 24 and drop >= 30:
            break
    gap, drop = min(gap, 130), min(drop, 58)
    y = (sheet.height + drop + 1.5 * height - above) / 2
    low = y - height - drop
    left = (sheet.width - sum(widths) - gap * len(steps)) / 2
    edges = []
    for text, width in zip(values, widths, strict=True):
        sheet.named_box(left + width / 2, y, width, height, text, size)
        edges.append((left, left + width))
        left += width + gap
    for k, (text, wide) in enumerate(zip(statistics, below, strict=True)):
        start, end = edges[k][1], edges[k + 1][0]
        middle = (start + end) / 2
        sheet.named_box(middle, low, wide, height, text, size, STABLE)
        sheet.arrow((start, y + apart), (end, y + apart))
        sheet.text(middle, y + apart + 3, steps[k], size, va="bottom")
        under, over = y - height / 2, low + height / 2
        into, out = middle - wide / 4, middle + wide / 4
        sheet.arrow((start - 12, under), (into, over))
        sheet.arrow((out, over), (end + 6, under))
        if back:
            sheet.arrow((end, y - apart), (start, y - apart), colour=back_colour)
            sheet.arrow((end + 14, under), (out + 8, over), colour=back_colour)
            sheet.arrow((into - 8, over), (start - 20, under), colour=back_colour)
    hops = [f", {plain(step)} to {plain(value)}" for step, value in zip(steps, values[1:], strict=True)]
    taken = [
        f"{plain(statistic)} is taken from {plain(value)}"
        for statistic, value in zip(statistics, values[:-1], strict=True)
    ]
    words = f"A normalisation: {plain(values[0])}{''.join(hops)}; {', '.join(taken)}."
    if back:
        words += (
            f" The gradient goes back from {plain(values[-1])} along the row, and by way of each statistic."
        )
    return describe(ax, words)
