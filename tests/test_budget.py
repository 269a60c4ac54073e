"""Which steps are recorded, for times that are made up."""

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradutils.recorder import budget
from gradutils.recorder.budget import AFTER_A_LEAP, ALWAYS, EXTRA, SELDOM, Every, Schedule


@pytest.fixture(autouse=True)
def _landmarks(request, monkeypatch):
    """What is spread evenly is looked at without the few records that a short run has besides."""
    if "landmark" not in request.node.name:
        monkeypatch.setattr(budget, "FARTHER", 1e9)


def test_a_landmark_is_recorded_whenever_a_run_has_become_a_third_longer():
    schedule = Schedule(0.05)
    steps = []
    for k in range(300):
        wanted = schedule.wants(k)
        steps += [k] if wanted else []
        schedule.stepped(wall=1.0 + 9.0 * wanted, own=9.0 * wanted + 0.5, recorded=wanted)
    late = steps[21:]
    assert 8 <= len(late) <= 14
    assert all(b <= 1.3 * a + 3 for a, b in zip([20, *late], late, strict=False))


def chosen(schedule, steps, plain=10.0, cost=8.0, idle=0.01, hidden=0.0, numbers=lambda step: {}, start=0):
    """The steps that are recorded, where each takes such times."""
    found = []
    for step in range(start, start + steps):
        recorded = schedule.wants(step)
        own = cost if recorded else idle
        if recorded:
            found.append(step)
        schedule.stepped(plain + own + hidden * recorded, own, recorded, **numbers(step))
    return found


def gaps(found):
    return {b - a for a, b in itertools.pairwise(found)}


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    plain=st.floats(1e-3, 10),
    dear=st.floats(0.05, 30),
    listening=st.floats(0, 0.5),
    share=st.sampled_from([0.01, 0.05, 0.2]),
    hidden=st.floats(0, 3),
)
def test_the_budget_is_kept_and_used(plain, dear, listening, share, hidden):
    idle = listening * share * plain
    cost, hidden = max(dear * plain, idle), hidden * plain
    schedule = Schedule(share)
    assert chosen(schedule, 3000, plain, cost, idle, hidden)[:ALWAYS] == list(range(ALWAYS))
    paid_back = not schedule.owes
    late = chosen(schedule, 3000, plain, cost, idle, hidden, start=3000)
    record = (cost + hidden - idle) / plain / 3000  # what one more or less changes
    taken = idle / plain + len(late) * record
    assert taken <= share + record or len(late) == 3000
    least = idle / plain + (share - idle / plain) * (1 if paid_back else 0.5) - record
    assert len(late) == 3000 or taken >= least
    if paid_back and len(late) > 1:
        assert max(gaps(late)) - min(gaps(late)) <= 1 + 0.1 * min(gaps(late))


def test_the_first_steps_are_paid_back_and_then_the_steps_are_evenly_spread():
    schedule = Schedule(0.05)
    found = chosen(schedule, 4000)  # a record costs 16 steps' budget
    assert gaps(found[:ALWAYS]) == {1}
    # 7.99 / 0.49 = 16.3 steps pay for a record; as long as there is a debt, 32.6
    assert gaps([step for step in found if 30 < step < 300]) == {32, 33}
    assert gaps([step for step in found if step > 2000]) == {16, 17}
    assert 0.048 < schedule.share < 0.0505


def test_what_is_cheap_enough_is_recorded_always():
    assert chosen(Schedule(0.05), 500, plain=10, cost=0.4) == list(range(500))


def test_steps_that_grow_longer_are_recorded_more_often():
    schedule = Schedule(0.05)
    for step in range(4000):
        recorded = schedule.wants(step)
        if step == 2000:
            before = schedule._affordable()
        plain = 10.0 if step < 2000 else 40.0
        schedule.stepped(plain + 8 * recorded, 8.0 * recorded, recorded)
    assert 3 < schedule._affordable() / before < 5


def test_a_pause_between_two_steps_changes_nothing():
    calm, paused = Schedule(0.05), Schedule(0.05)
    chosen(calm, 100)
    chosen(paused, 99)
    paused.stepped(5000.0, 0.01, False)  # an evaluation
    assert paused.plain == calm.plain
    assert paused.cost == calm.cost


def test_what_only_shows_in_the_length_of_a_step_is_counted():
    seen, unseen = Schedule(0.05), Schedule(0.05)
    chosen(seen, 1000, cost=8.0)
    chosen(unseen, 1000, cost=6.0, hidden=2.0)
    assert unseen.cost == seen.cost


def test_steps_too_short_for_listening_are_said_so():
    schedule = Schedule(0.05)
    found = chosen(schedule, 5000, plain=0.3, cost=0.9, idle=0.02)
    assert schedule.over
    assert len(found) - ALWAYS <= 5000 * SELDOM
    enough = Schedule(0.05)
    chosen(enough, 5000, plain=0.3, cost=0.9, idle=0.01)
    assert not enough.over


def test_after_a_leap_the_next_steps_are_recorded():
    calm = chosen(Schedule(0.05), 400)
    for name, high in (("loss", 3.1), ("grad_norm", math.inf), ("loss", math.nan)):
        found = chosen(
            Schedule(0.05),
            400,
            numbers=lambda step, name=name, high=high: {name: high if step == 200 else 1.0},
        )
        assert set(range(201, 201 + AFTER_A_LEAP)) <= set(found)
        assert len(found) <= len(calm) + AFTER_A_LEAP
    assert chosen(Schedule(0.05), 400, numbers=lambda step: {"loss": 2.9 if step == 200 else 1.0}) == calm


def test_a_loss_that_stays_high_or_is_no_number_for_ever_leaps_once():
    calm = len(chosen(Schedule(0.05), 3000))
    for high in (math.nan, math.inf, 100.0):
        found = chosen(
            Schedule(0.05), 3000, numbers=lambda step, high=high: {"loss": high if step > 200 else 1.0}
        )
        assert calm <= len(found) <= calm + AFTER_A_LEAP


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from([1.0, 1.2, 50.0, math.nan]), min_size=50, max_size=50))
def test_leaps_without_end_add_a_tenth_at_most(pattern):
    calm = len(chosen(Schedule(0.05), 1000))
    found = chosen(Schedule(0.05), 1000, numbers=lambda step: {"loss": pattern[step % 50]})
    assert len(found) <= (1 + EXTRA) * calm + AFTER_A_LEAP


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 1), st.floats()), min_size=30, max_size=300))
def test_any_times_and_losses_are_borne_and_choose_the_same_steps_again(told):
    def choose():
        schedule, found = Schedule(0.05), []
        for step, (wall, part, loss) in enumerate(told):
            found.append(schedule.wants(step))
            schedule.stepped(wall, wall * part, found[-1], loss=loss)
        assert schedule.over in (True, False)
        return found

    assert choose() == choose()
    assert all(choose()[:ALWAYS])


def test_each_nth_step_whatever_it_costs():
    assert chosen(Every(4), 14, plain=1, cost=100) == [0, 1, 2, 3, 4, 8, 12]
    assert chosen(Every(1), 14, plain=1, cost=100) == list(range(14))
    assert not Every(1).over
