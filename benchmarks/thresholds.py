"""The two values that each threshold of the diagnosis separates, measured again on runs that thresholds may be set on.

    python -m benchmarks.thresholds [SEEDS]

``well`` is what nine of ten runs without the illness stay within, ``ill`` what most runs with it reach, of those runs
that the rule is asked about. Prints a line a threshold: its name, its value, both sides, and how many runs they come from.
"""

from collections.abc import Callable
from typing import NamedTuple

from gradutils.recorder.signs import Signs


class Separates(NamedTuple):
    """Which number of which runs a threshold separates."""

    sign: Callable[[Signs], float]
    illnesses: tuple[str, ...]  # those of the ill side; () means all but "healthy"
    asked: Callable[[Signs], bool] = lambda s: True


class Seen(NamedTuple):
    """One run: what was wrong with it, whether that did harm, and its signs."""

    truth: str
    benign: bool
    signs: Signs


SMALL, LARGE, RATE = ("init too small",), ("init too large",), ("learning rate too high",)
ASLEEP = ("zero gradient",)
SEPARATES = {
    "BEATEN": Separates(lambda s: s.level, ()),
    "WELL_BEATEN": Separates(lambda s: s.level, ()),
    "HALVED": Separates(lambda s: s.later, ()),
    "LEARNT_LATER": Separates(lambda s: s.later, ()),
    "LEARNT_AT_LAST": Separates(lambda s: s.end, ()),
    "LEAP": Separates(lambda s: s.rise, RATE),
    "NOT_BEATEN": Separates(lambda s: s.level, ()),
    "RISE": Separates(lambda s: s.rise, RATE),
    "FAR_ABOVE": Separates(lambda s: s.level, RATE),
    "WORSE_THAN_AT_FIRST": Separates(lambda s: max(s.level, s.end) / max(1, s.start), RATE),
    "SHARE_OF_OUTPUTS": Separates(lambda s: s.output_rms**2 / (s.start * s.trivial), LARGE),
    "ORDINARY": Separates(lambda s: s.rise, RATE),
    "ORDINARY_AT_FIRST": Separates(lambda s: s.start, ("loss summed",)),
    "SURVIVED": Separates(lambda s: s.end, ("half-precision overflow",)),
    "SUMMED_START": Separates(lambda s: s.start, ("loss summed",)),
    "SMALL_OUTPUTS": Separates(lambda s: s.output_rms, LARGE),
    "MOST_UNITS_DEAD": Separates(lambda s: s.dead, ("dead units",)),
    "SMALL_WEIGHTS": Separates(lambda s: s.sigma_w, SMALL, lambda s: s.poor),
    "WITHOUT_GRADIENT": Separates(lambda s: s.zero_gradients, ASLEEP),
    "SATURATION_EXPLAINS": Separates(lambda s: s.saturated, ("saturated",)),
    "INPUT_RMS": Separates(lambda s: s.input_rms, ("inputs not normalised",)),
    "INPUT_OFFSET": Separates(lambda s: s.input_offset, ("inputs not normalised",)),
    "STRETCH": Separates(lambda s: s.recurrent_norm, ("recurrent explosion",)),
    "LARGE_WEIGHTS": Separates(lambda s: s.sigma_w_max, LARGE),
    "SATURATED": Separates(lambda s: s.saturated, ("saturated",)),
    "QUIET": Separates(lambda s: s.last_hidden_rms, SMALL),
    "ALIKE": Separates(lambda s: s.separation, ("dead signal",), lambda s: s.last_hidden_rms > 0.2),
    "ALL_ALIKE": Separates(lambda s: s.separation, ("dead signal",), lambda s: s.last_hidden_rms > 0.2),
    "LARGE_OUTPUTS": Separates(lambda s: s.output_rms, LARGE),
    "HUGE_OUTPUTS": Separates(lambda s: s.output_rms, LARGE),
    "SIGNAL_GROWTH": Separates(lambda s: s.activation_growth, LARGE),
    "GRADIENT_GROWTH": Separates(lambda s: s.delta_growth, LARGE),
    "HIGH_START": Separates(lambda s: s.start, LARGE),
    "LARGE_UPDATE": Separates(lambda s: s.update, RATE),
    "SLEEPERS_UPDATE": Separates(lambda s: s.update, RATE),
    "LOST_GRADIENT": Separates(lambda s: s.delta_growth, SMALL),
    "LOST_SIGNAL": Separates(lambda s: s.last_hidden_rms, SMALL),
    "RECURRENT_GRADIENT": Separates(lambda s: s.recurrent_gradient, ("recurrent explosion",)),
    "EARLY_UPDATE": Separates(lambda s: s.largest_update, RATE),
    "UNITS_THAT_DIED": Separates(lambda s: s.died_units, RATE),
    "WHOLE_UPDATE": Separates(lambda s: s.largest_update, RATE),
}
