"""The schedules against torch.optim.lr_scheduler and a published formula."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LinearLR, SequentialLR, StepLR

from gradutils.schedules import cosine, step_decay, warmup, warmup_cosine, warmup_stable_decay

torch.set_num_threads(1)

EXAMPLES = {
    "warmup": warmup(5),
    "cosine": cosine(30, 0.1),
    "warmup_cosine": warmup_cosine(5, 30, 0.1),
    "step_decay": step_decay(7, 0.5),
    "warmup_stable_decay": warmup_stable_decay(5, 30, 10, 0.1),
}


def torchs_rates(make, steps, lr=1.0):
    """The rates of ``steps`` steps under the scheduler that ``make(optimizer)`` gives."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr)
    scheduler = make(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def ours(schedule, steps):
    return [schedule(step) for step in range(steps)]


def same(rates):
    return pytest.approx(rates, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_schedule_fits_lambda_lr(name):
    schedule = EXAMPLES[name]
    rates = torchs_rates(lambda optimizer: LambdaLR(optimizer, schedule), 40, lr=0.3)
    assert rates == [0.3 * schedule(step) for step in range(40)]


@pytest.mark.parametrize(("total", "floor"), [(1, 0.0), (10, 0.0), (37, 0.2), (10, 1.0)])
def test_cosine_is_torchs(total, floor):
    rates = torchs_rates(lambda optimizer: CosineAnnealingLR(optimizer, total, eta_min=floor), total + 1)
    assert ours(cosine(total, floor), total + 1) == same(rates)


@pytest.mark.parametrize(("every", "factor"), [(1, 0.9), (4, 0.1), (7, 0.5)])
def test_step_decay_is_torchs(every, factor):
    rates = torchs_rates(lambda optimizer: StepLR(optimizer, every, factor), 30)
    assert ours(step_decay(every, factor), 30) == same(rates)


@pytest.mark.parametrize("steps", [2, 3, 10])
def test_warmup_is_torchs(steps):
    rates = torchs_rates(
        lambda optimizer: LinearLR(optimizer, start_factor=1 / steps, total_iters=steps - 1), 2 * steps
    )
    assert ours(warmup(steps), 2 * steps) == same(rates)


def test_no_warmup_or_one_step_of_it_is_a_constant():
    assert ours(warmup(0), 5) == ours(warmup(1), 5) == [1.0] * 5


@pytest.mark.parametrize(("rise", "total", "floor"), [(5, 30, 0.0), (2, 12, 0.1), (10, 11, 0.3)])
def test_warmup_cosine_is_torchs(rise, total, floor):
    def sequence(optimizer):
        first = LinearLR(optimizer, start_factor=1 / rise, total_iters=rise - 1)
        second = CosineAnnealingLR(optimizer, total - rise, eta_min=floor)
        return SequentialLR(optimizer, [first, second], milestones=[rise])

    assert ours(warmup_cosine(rise, total, floor), total + 1) == same(torchs_rates(sequence, total + 1))


def test_warmup_cosine_without_warmup_is_cosine():
    assert ours(warmup_cosine(0, 20, 0.1), 30) == ours(cosine(20, 0.1), 30)


@pytest.mark.parametrize(
    ("rise", "total", "fall", "floor"), [(5, 30, 10, 0.1), (4, 10, 6, 0.0), (3, 20, 1, 0.5)]
)
def test_warmup_stable_decay_is_torchs_three_in_a_row(rise, total, fall, floor):
    def sequence(optimizer):
        parts = [
            LinearLR(optimizer, start_factor=1 / rise, total_iters=rise - 1),
            LinearLR(optimizer, start_factor=1.0, total_iters=1),
            LinearLR(optimizer, start_factor=1.0, end_factor=floor, total_iters=fall),
        ]
        return SequentialLR(optimizer, parts, milestones=[rise, total - fall])

    if rise + fall < total:
        rates = torchs_rates(sequence, total + 5)
        assert ours(warmup_stable_decay(rise, total, fall, floor), total + 5) == same(rates)
    multipliers = ours(warmup_stable_decay(rise, total, fall, floor), total + 5)
    assert multipliers[:rise] == ours(warmup(rise), rise)
    assert multipliers[rise - 1 : total - fall + 1] == [1.0] * (total - fall + 2 - rise)
    assert multipliers[total:] == same([floor] * 5)


@settings(deadline=None)
@given(st.integers(1, 30), st.integers(0, 30), st.integers(1, 30), st.floats(0, 1))
def test_warmup_stable_decay_rises_to_one_and_falls_to_the_floor(rise, plateau, fall, floor):
    total = rise + plateau + fall
    multipliers = ours(warmup_stable_decay(rise, total, fall, floor), total + 3)
    assert max(multipliers) == 1
    up, down = multipliers[:rise], multipliers[rise - 1 :]
    assert up == sorted(up)
    assert down == sorted(down, reverse=True)
    assert multipliers[total] == pytest.approx(floor)


unit = st.floats(0, 1)
schedules = st.one_of(
    st.builds(warmup, st.integers(0, 50)),
    st.builds(cosine, st.integers(0, 50), unit),
    st.builds(
        lambda rise, fall, floor: warmup_cosine(rise, rise + fall, floor), *[st.integers(0, 50)] * 2, unit
    ),
    st.builds(step_decay, st.integers(1, 50), unit),
    st.builds(
        lambda rise, plateau, fall, floor: warmup_stable_decay(rise, rise + plateau + fall, fall, floor),
        *[st.integers(0, 50)] * 3,
        unit,
    ),
)


@settings(deadline=None, max_examples=300)
@given(schedules, st.integers(0, 200) | st.integers(0, 10**9))
def test_every_multiplier_lies_between_0_and_1(schedule, step):
    assert 0 <= schedule(step) <= 1 + 1e-12


@pytest.mark.parametrize("name", ["warmup", "cosine", "warmup_cosine", "warmup_stable_decay"])
def test_steps_past_the_end_keep_the_last_value(name):
    schedule = EXAMPLES[name]
    assert schedule(31) == schedule(30)
    assert schedule(10**6) == schedule(30)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: warmup(-1), "steps must be.*got -1"),
        (lambda: warmup(math.nan), "steps must be.*got nan"),
        (lambda: cosine(-5), "total must be.*got -5"),
        (lambda: cosine(5, -0.1), r"floor must be.*got -0\.1"),
        (lambda: cosine(5, math.nan), "floor must be.*got nan"),
        (lambda: warmup_cosine(-1, 5), "warmup_steps must lie between 0 and total = 5; got -1"),
        (lambda: warmup_cosine(6, 5), "warmup_steps must lie between 0 and total = 5; got 6"),
        (lambda: warmup_cosine(1, 5, -1.0), r"floor must be.*got -1\.0"),
        (lambda: step_decay(0), "every must be 1 or more .* got 0"),
        (lambda: warmup_stable_decay(-1, 5, 1), "warmup_steps must be.*got -1"),
        (lambda: warmup_stable_decay(1, 5, -1), "decay_steps must be.*got -1"),
        (lambda: warmup_stable_decay(3, 5, 3), r"must fit into total = 5 steps; got 3 \+ 3"),
        (lambda: warmup_stable_decay(1, 5, 1, -0.5), r"floor must be.*got -0\.5"),
    ],
)
def test_errors_say_what_was_given(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_the_floor_is_reached_even_where_nothing_is_left_to_decay():
    assert cosine(0, 0.1)(0) == warmup_cosine(5, 5, 0.1)(5) == warmup_stable_decay(3, 10, 0, 0.1)(10) == 0.1


def test_multipliers_stay_between_zero_and_one_or_are_refused():
    for make in (lambda: cosine(10, 2.0), lambda: step_decay(1, -2.0), lambda: step_decay(1, 1.5)):
        with pytest.raises(ValueError, match="between 0 and 1"):
            make()
