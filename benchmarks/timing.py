"""Interleaved timing, and the table it ends in."""

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple


class Line(NamedTuple):
    """One line of the table."""

    what: str
    value: str
    spread: str = ""  # min .. max of the paired ratios
    aim: str = ""


def interleave(arms: dict[str, Callable[[], object]], rounds: int, warm: int = 1) -> dict[str, list[float]]:
    """Seconds of every arm in every round; the arms take turns, so that a slow moment of the machine hits them all."""
    times = {name: [] for name in arms}
    for k in range(warm + rounds):
        for name, arm in arms.items():
            started = time.perf_counter()
            arm()
            if k >= warm:
                times[name].append(time.perf_counter() - started)
    return times


def ratio(times: dict[str, list[float]], arm: str, base: str) -> tuple[float, float, float]:
    """Smallest, median and largest ratio of an arm to the base of the same round."""
    ratios = [a / b for a, b in zip(times[arm], times[base], strict=True)]
    return min(ratios), statistics.median(ratios), max(ratios)


def compare(what: str, times: dict[str, list[float]], arm: str, base: str, aim: str = "") -> Line:
    low, middle, high = ratio(times, arm, base)
    return Line(what, f"{middle:.2f} x", f"{low:.2f} to {high:.2f}", aim)


def milliseconds(what: str, seconds: list[float], aim: str = "") -> Line:
    low, middle, high = (1e3 * f(seconds) for f in (min, statistics.median, max))
    return Line(what, f"{middle:.3g} ms", f"{low:.3g} to {high:.3g}", aim)


def markdown(title: str, lines: list[Line]) -> str:
    """A table for people and for the README."""
    rows = [f"\n### {title}\n", "| what | median | smallest to largest | aim |", "|---|---|---|---|"]
    return "\n".join(rows + [f"| {' | '.join(line)} |" for line in lines]) + "\n"
