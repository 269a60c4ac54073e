"""The two values that each threshold of the diagnosis separates, measured again on runs that thresholds may be set on.

    python -m benchmarks.thresholds [SEEDS]

``well`` is what half of the healthy runs are within (harmless changes count as healthy), ``ill`` what half of those with the
illness are beyond, of the runs that the rule is asked about. Where a rule has several ways to hold, it is another share.
The runs are patients drawn at random, and the public reports and healthy practices that may be looked at.
Prints a line a threshold: its name, its value, both sides, and of how many runs they are.
"""

import contextlib
import itertools
import math
import sys
import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional as F

from benchmarks import patients
from benchmarks.reports.healthy import PRACTICES
from benchmarks.reports.looked_at import REPORTS
from gradutils.course.clinic.patient import OPTIMIZER
from gradutils.course.clinic.patients import find_patient
from gradutils.course.clinic.script import run_script
from gradutils.models import init_weights_, mlp
from gradutils.recorder import Recorder, course, facts, relapse, rules, signs
from gradutils.recorder.signs import Signs, read_signs
from gradutils.recorder.threshold import Threshold

ROOMS = (course, facts, relapse, rules, signs)


class Separates(NamedTuple):
    """Which number of which runs a threshold separates."""

    sign: Callable[[Signs], float]
    illnesses: tuple[str, ...] = ()  # of the ill side; () is all of them
    asked: Callable[[Signs], bool] = lambda s: True
    beyond: float = 0.5  # the share of the ill
    within: float = 0.5  # the share of the healthy
    healthy: str = "healthy"


RATE, LARGE, SMALL = ("learning rate too high",), ("init too large",), ("init too small",)
INPUTS, SUMMED, LOOP = ("inputs not normalised",), ("loss summed",), ("recurrent explosion",)
STILL, RELAPSE, ONE = ("weights do not move",), ("relapse",), ("one answer",)
ATTENTION = ("attention logits grow",)
FAR = "targets far from zero"
SEPARATES = {
    "BEYOND_NOISE": Separates(lambda s: s.fall),
    "HAD_LEARNT": Separates(lambda s: s.best),
    "LOST": Separates(lambda s: s.lost, RELAPSE),
    "MOST": Separates(lambda s: s.still, STILL),
    "GREW": Separates(lambda s: s.growth, RATE, beyond=0.1),
    "SOME_UPDATE": Separates(lambda s: s.peak_update, RATE),
    "HARDLY_MOVES": Separates(lambda s: s.peak_update, STILL),
    "SCALED_AWAY": Separates(lambda s: s.gradient, STILL, lambda s: not (s.unmoved or s.stuck)),
    "STEADY": Separates(lambda s: s.gradient_varies, STILL, lambda s: not (s.unmoved or s.stuck)),
    "FAR_INPUTS": Separates(lambda s: s.input_rms, INPUTS),
    "FAR_TARGETS": Separates(
        lambda s: s.target_rms / max(1, s.output_rms),
        ("targets not normalised",),
        lambda s: s.target_rms > 0,
        healthy=FAR,
    ),
    "OFF_CENTRE": Separates(
        lambda s: s.target_offset,
        ("targets not normalised",),
        lambda s: s.target_offset >= 0,
        beyond=0.1,
    ),
    "RUNAWAY": Separates(lambda s: s.target_growth, ("",), lambda s: s.target_growth > 0),
    "ONE_CLASS": Separates(lambda s: s.one_class, ONE, lambda s: s.one_class > 0),
    "COLLAPSED": Separates(
        lambda s: s.spread_left, ONE, lambda s: s.spread_left >= 0 and not s.one_class > 0, beyond=0.3
    ),
    "SHRUNK": Separates(
        lambda s: s.spread_left, ONE, lambda s: s.spread_left >= 0 and not s.one_class > 0, beyond=0.3
    ),
    "HELD_BY_EPS": Separates(
        lambda s: s.adam_step, STILL, lambda s: s.adam_step > 0 and not s.last_digits > 0
    ),
    "ROUNDED_AWAY": Separates(lambda s: s.last_digits, STILL, lambda s: s.last_digits > 0),
    "ATTENDS_TO_ONE": Separates(lambda s: s.attention_after, ATTENTION, lambda s: s.attention_after > 0),
    "STILL_FALLS": Separates(lambda s: s.drift, ONE, within=0.3),
    "BEATEN": Separates(lambda s: s.level),
    "WELL_BEATEN": Separates(lambda s: s.level, within=0.2),
    "HALVED": Separates(lambda s: s.later),
    "LEARNT_LATER": Separates(lambda s: s.later),
    "LEARNT_AT_LAST": Separates(lambda s: s.end),
    "LEAP": Separates(lambda s: s.rise, RATE),
    "NOT_BEATEN": Separates(lambda s: s.level),
    "RISE": Separates(lambda s: s.rise, RATE),
    "FAR_ABOVE": Separates(lambda s: s.level, RATE),
    "WORSE_THAN_AT_FIRST": Separates(lambda s: max(s.level, s.end) / max(1, s.start), RATE),
    "SHARE_OF_OUTPUTS": Separates(
        lambda s: s.output_rms**2 / (s.start * s.trivial), LARGE, lambda s: s.start > 2.5, healthy=FAR
    ),
    "SURVIVED": Separates(lambda s: s.end, ("half-precision overflow",)),
    "SUMMED_START": Separates(lambda s: s.start * s.trivial / math.log(10), SUMMED),
    "SMALL_OUTPUTS": Separates(lambda s: s.output_rms, LARGE),
    "MOST_UNITS_DEAD": Separates(lambda s: s.dead, ("dead units",)),
    "SMALL_WEIGHTS": Separates(lambda s: s.sigma_w, SMALL),
    "TINY_WEIGHTS": Separates(lambda s: s.sigma_w, SMALL),
    "WITHOUT_GRADIENT": Separates(lambda s: s.zero_gradients, ("zero gradient",)),
    "SATURATION_EXPLAINS": Separates(lambda s: s.saturated, ("saturated",)),
    "INPUT_RMS": Separates(lambda s: s.input_rms, INPUTS),
    "INPUT_OFFSET": Separates(lambda s: s.input_offset, INPUTS, beyond=0.1),
    "STRETCH": Separates(lambda s: s.recurrent_norm, LOOP, lambda s: s.recurrent_norm > 0),
    "WIDE_WEIGHTS": Separates(lambda s: s.sigma_w, LARGE),
    "LARGE_WEIGHTS": Separates(lambda s: s.sigma_w_max, LARGE),
    "SATURATED": Separates(lambda s: s.saturated, ("saturated",)),
    "QUIET": Separates(lambda s: s.last_hidden_rms, SMALL),
    "ALIKE": Separates(lambda s: s.separation, ("dead signal",)),
    "ALL_ALIKE": Separates(lambda s: s.separation, ("dead signal",)),
    "LARGE_OUTPUTS": Separates(lambda s: s.output_rms, LARGE),
    "HUGE_OUTPUTS": Separates(lambda s: s.output_rms, LARGE),
    "SIGNAL_GROWTH": Separates(lambda s: s.activation_growth, LARGE, beyond=0.4),
    "GRADIENT_GROWTH": Separates(lambda s: s.delta_growth, LARGE),
    "HIGH_START": Separates(lambda s: s.start, LARGE),
    "LARGE_UPDATE": Separates(lambda s: s.update, RATE),
    "SLEEPERS_UPDATE": Separates(lambda s: s.update, RATE),
    "LOST_GRADIENT": Separates(lambda s: s.delta_growth, SMALL),
    "LOST_SIGNAL": Separates(lambda s: s.last_hidden_rms, SMALL, beyond=0.1),
    "RECURRENT_GRADIENT": Separates(
        lambda s: s.recurrent_gradient, LOOP, lambda s: s.recurrent_norm > 0, beyond=0.25
    ),
    "EARLY_UPDATE": Separates(lambda s: s.largest_update, RATE),
    "UNITS_THAT_DIED": Separates(lambda s: s.died_units, RATE, beyond=0.4),
    "WHOLE_UPDATE": Separates(lambda s: s.largest_update, RATE),
}


def thresholds() -> dict[str, Threshold]:
    """All thresholds of the diagnosis by name."""
    return {
        name: value for room in ROOMS for name, value in vars(room).items() if isinstance(value, Threshold)
    }


def measured(seen: list[tuple[str, Signs]], names=SEPARATES) -> dict[str, tuple[float, float, int, int]]:
    """By name: well, ill, and of how many runs. ``seen`` holds (truth, signs); what did no harm is "healthy"."""
    found = {}
    for name in names:
        what = SEPARATES[name]
        healthy, sick = [], []
        for truth, s in filter(lambda run: what.asked(run[1]), seen):
            value = what.sign(s)
            value = math.inf if math.isnan(value) else value  # NaN: it died
            if truth == what.healthy:
                healthy.append(value)
            elif truth in what.illnesses or not (what.illnesses or truth in ("healthy", FAR)):
                sick.append(value)
        rises = np.median(healthy) <= np.median(sick)
        shares = (what.within, 1 - what.beyond) if rises else (1 - what.within, what.beyond)
        sides = (
            np.quantile(values, share, method="nearest")
            for values, share in zip((healthy, sick), shares, strict=True)
        )
        found[name] = *map(float, sides), len(healthy), len(sick)
    return found


def far_from_zero(seed: int) -> Signs:
    """A healthy run whose first loss is large because its targets lie far from zero."""
    torch.manual_seed(seed)
    model = init_weights_(mlp(2, 64), 2**0.5)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.003, momentum=0.9)
    with Recorder(model) as recorder:
        for _ in range(patients.STEPS):
            rows = torch.randint(len(patients.X), (64,))
            optimizer.zero_grad()
            loss = F.mse_loss(model(patients.X[rows]), 9 + patients.X[rows, :10])
            loss.backward()
            optimizer.step()
            recorder.step(loss)
    return read_signs(recorder.recording)


def of_the_ward(seeds: int) -> list[tuple[str, Signs]]:
    """Patients of what no network drawn has (attention, a large eps, bfloat16), and three of them with another rate or start."""
    adam = "optimizer = Adam(net.parameters(), lr={})"
    played = {
        ("12.20", "attention logits grow"): {},
        ("12.20", "healthy"): {OPTIMIZER: adam.format(0.02)},
        ("12.21", "weights do not move"): {},
        ("12.21", "healthy"): {OPTIMIZER: adam.format(0.003)},
        ("12.22", "weights do not move"): {},
        ("12.22", "healthy"): {OPTIMIZER: adam.format(0.001)},
    }
    seen = []
    for (patient_id, truth), changes in played.items():
        script = find_patient(patient_id).script(changes)
        runs = (run_script(script, seed, watched=True) for seed in range(1000, 1000 + seeds))
        seen += [(truth, read_signs(run.recording)) for run in runs]
    return seen


def reported() -> list[tuple[str, Signs]]:
    """The reports that may be looked at, faulty and repaired, and the healthy practices."""
    seen = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for report in REPORTS:
            for faulty in (True, False):
                truth = report.illness if faulty else "healthy"
                for seed in range(3):
                    with contextlib.suppress(AssertionError):  # it did not fail, or did not learn: no case
                        seen.append((truth, read_signs(report.play(seed, faulty))))
        for practice in PRACTICES:
            with contextlib.suppress(AssertionError):
                seen += [("healthy", read_signs(recording)) for recording in practice.play(0)]
    return seen


def main(seeds: int) -> None:
    seen = [(FAR, far_from_zero(seed)) for seed in range(10)] + reported() + of_the_ward(10)
    # Few networks drawn are recurrent; as many seeds again are of such alone.
    runs = (
        patients.drawn(range(seeds), patients.KNOWN, 99),
        patients.drawn(range(seeds, 2 * seeds), ("rnn",), 99),
    )
    for truth, _, outcome, benign in itertools.chain(*runs):
        seen.append(("healthy" if benign else truth, read_signs(outcome.recording)))
    known = thresholds()
    for name, (well, ill, healthy, sick) in measured(seen).items():
        print(f"{name:20} {known[name]:<8.3g} well {well:<8.2g} ill {ill:<8.2g} of {healthy} and {sick} runs")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 60)
