"""The benchmark of public reports: how it judges, and that each of its runs is what it says."""

import pytest
import torch
from torch import nn

from benchmarks.reports import (
    Outcome,
    Practice,
    Report,
    cases_of,
    confirmed,
    cross_entropy,
    drawn,
    judge,
    named,
    report,
    seeded,
    settled,
    train,
)
from benchmarks.reports.healthy import PRACTICES
from benchmarks.reports.looked_at import REPORTS

ILL = {"illness": "one answer", "also": ("dead signal",)}


def faulty(named, *alternatives, case="a", seed=0, calm=False, **truth):
    said = {"named": named, "alternatives": alternatives, "calm": calm, "note": "why"}
    return Outcome(case, "faulty", seed, **(ILL | truth | said))


@pytest.mark.parametrize(
    ("outcome", "verdict"),
    [
        (faulty("one answer"), "told"),
        (faulty("dead signal"), "told"),
        (faulty("saturated", "dead units", "one answer"), "told"),
        (faulty("saturated", "dead units", "zero gradient", "one answer"), "wrong name"),
        (faulty("healthy", calm=True), "called healthy"),
        (faulty("healthy"), "not named"),
        (faulty("healthy", illness="", also=()), "not named"),
        (faulty("saturated", illness="", also=()), "wrong name"),
        (faulty("", calm=True), "exception"),
        (Outcome("a", "repaired", 0, named="healthy"), "left alone"),
        (Outcome("a", "practice", 0, named="saturated"), "accused"),
        (Outcome("a", "practice", 0), "exception"),
    ],
)
def test_a_verdict_on_one_run(outcome, verdict):
    assert outcome.verdict == verdict


def test_a_case_is_told_by_most_of_its_seeds():
    told, missed, wrong = faulty("one answer"), faulty("healthy"), faulty("saturated")
    assert settled([told, told, wrong]) == "told"
    assert settled([told, wrong, wrong]) == "wrong name"
    assert settled([told, missed]) == "not named", "one of two is not most of them"
    assert settled([missed, wrong, missed]) == "not named"


def test_the_report_counts_cases_of_the_faulty_and_runs_of_the_healthy():
    outcomes = [
        *(faulty("one answer", case="first", seed=k) for k in range(3)),
        *(faulty("saturated", "one answer", case="second", seed=k) for k in range(3)),
        *(faulty("healthy", case="calm", seed=k, calm=True) for k in range(3)),
        *(faulty("healthy", case="none", seed=k, illness="", also=()) for k in range(3)),
        *(faulty("saturated", case="wrong", seed=k) for k in range(3)),
        faulty("", case="broken"),
        *(Outcome("first", "repaired", k, named=name) for k, name in enumerate(["healthy", "saturated"])),
        Outcome("habit", "practice", 0, named="healthy"),
    ]
    lines, text = report(outcomes)
    assert {line.what: line.value for line in lines} == {
        "reported faults told": "2 of 6, 5 of them can be told",
        "… by the first name": "1 of 6",
        "… called healthy though ill": "1 of 6",
        "… nothing named": "1 of 6",
        "… a wrong name": "1 of 6",
        "repaired runs accused": "1 of 2 runs",
        "healthy practices accused": "0 of 1 runs",
        "exceptions": "1 of 19 runs",
    }
    assert len(text.splitlines()) == 8
    (second,) = (line for line in text.splitlines() if line.startswith("second"))
    assert "told" in second
    assert "saturated 3/3: why" in second


def short(steps):
    def play(*_):
        model = nn.Linear(64, 10)
        return train(model, drawn(steps, 16), cross_entropy, torch.optim.SGD(model.parameters(), 0.1))

    return play


def test_exceptions_are_outcomes_of_their_own():
    def breaks(seed, faulty):
        if faulty:
            raise FloatingPointError(f"seed {seed}")
        return short(20)()

    outcomes = judge([Report("r", "own", "it breaks", "saturated", (), breaks)], (4,))
    assert [(o.kind, o.verdict) for o in outcomes] == [("faulty", "exception"), ("repaired", "left alone")]
    assert outcomes[0].note == "FloatingPointError: seed 4"
    (outcome,) = judge([Practice("p", "too short for a diagnosis", short(1))], (0,))
    assert outcome.verdict == "exception"
    assert "2 recorded steps" in outcome.note


def test_each_recording_of_a_practice_is_judged():
    outcomes = judge([Practice("p", "two models", lambda seed: [short(20)(), short(25)()])], (0, 1))
    assert [(o.seed, o.named) for o in outcomes] == [(0, "healthy")] * 2 + [(1, "healthy")] * 2


def test_micro_batches_go_into_one_step():
    model = nn.Linear(64, 10)
    batches = drawn(12, 8)
    recording = train(model, batches, cross_entropy, torch.optim.SGD(model.parameters(), 0.1), accumulate=4)
    assert recording.steps.tolist() == [0, 1, 2]
    assert not recording.stale.any()


def test_a_schedule_is_stepped_once_an_epoch_and_its_rate_recorded():
    optimizer = torch.optim.SGD((model := nn.Linear(64, 10)).parameters(), 1.0)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    recording = train(model, drawn(5, 8), cross_entropy, optimizer, schedule=schedule, every=2)
    assert recording.lr.tolist() == [1, 1, 0.5, 0.5, 0.25]


def test_a_run_that_is_not_what_the_report_says_is_refused():
    assert confirmed("recording", True, 0.1, sick=0.2, well=0.8) == "recording"
    assert confirmed("recording", True, float("nan"), sick=0.2, well=0.8) == "recording"
    assert confirmed("recording", False, 0.8, sick=0.2, well=0.8) == "recording"
    with pytest.raises(AssertionError, match="not sick"):
        confirmed("recording", True, 0.3, sick=0.2, well=0.8)
    for score in (0.7, float("nan")):
        with pytest.raises(AssertionError, match="does not learn"):
            confirmed("recording", False, score, sick=0.2, well=0.8)


def test_a_play_draws_from_its_seed_alone():
    torch.manual_seed(0)
    before, draw = torch.get_rng_state(), seeded(lambda: torch.randn(3))
    assert draw(1).equal(draw(1))
    assert not draw(1).equal(draw(2))
    assert torch.get_rng_state().equal(before)


def test_names_are_unique():
    names = [case.name for case in (*REPORTS, *PRACTICES)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("case", REPORTS, ids=lambda case: case.name)
@pytest.mark.filterwarnings("ignore")  # what a recorder warns of is tested in its own file
def test_a_report_fails_as_reported_and_its_repair_learns(case):
    for kind in (True, False):
        assert len(case.play(0, kind)) >= 20


@pytest.mark.parametrize("case", PRACTICES, ids=lambda case: case.name)
@pytest.mark.filterwarnings("ignore")
def test_a_practice_learns(case):
    assert all(len(recording) >= 20 for recording in case.play(0))


OTHERS = [case for name in ("asked_for", "kept_back") for case in cases_of(name) if isinstance(case, Report)]


@pytest.mark.parametrize("case", OTHERS, ids=lambda case: case.name)
def test_each_fault_of_the_other_sets_is_sick_as_reported(case):
    (outcome,) = named(Outcome(case.name, "faulty", 0, case.illness, case.also), case.play, 0, True)
    assert outcome.verdict != "exception", outcome.note
    assert outcome.note
