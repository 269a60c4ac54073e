"""Verdicts are recorded where the table of all claims can find them."""

import json
import math
from pathlib import Path

import pytest

from gradutils.course import trials as module
from gradutils.course.trials import (
    CLAIMS,
    EXPECTED,
    OUTCOMES,
    at_least,
    at_most,
    decide,
    mostly,
    trials,
    verdict,
)

ROOT = Path(__file__).parent.parent


def test_a_verdict_says_claim_outcome_settings_and_evidence(capsys):
    verdict("S1", {"plain": mostly(10), "with momentum": mostly(1), "late": mostly(5)}, "10, 1 and 5 of 10.")
    out = capsys.readouterr().out
    assert "Claim S1: depends." in out
    assert CLAIMS["S1"] in out
    assert "True: plain. False: with momentum. Undecided: late." in out
    assert "10, 1 and 5 of 10." in out


@pytest.mark.parametrize(
    ("found", "usual", "outcome"),
    [
        ({}, (), "not tested"),
        ({"a": mostly(8), "b": at_least(2.0, 2.0), "c": at_most(2.0, 2.0)}, (), "holds"),
        ({"a": mostly(2), "b": at_least(1.9, 2.0), "c": at_most(2.1, 2.0)}, (), "refuted"),
        ({"a": mostly(8), "b": mostly(2)}, (), "depends"),
        ({"a": mostly(8), "b": mostly(2)}, ("b",), "refuted"),
        ({"a": mostly(8), "b": mostly(2)}, ("a",), "depends"),
        ({"a": mostly(8), "b": mostly(7)}, (), "depends"),
        ({"a": mostly(2), "b": mostly(3)}, (), "depends"),
        ({"a": at_least(math.nan, 1.0)}, (), "depends"),
        ({"a": at_least(math.inf, 1.0)}, (), "holds"),
    ],
)
def test_the_outcome_follows_the_rule(found, usual, outcome):
    assert decide(found, usual) == outcome


def test_between_two_bars_nothing_is_decided():
    assert [at_least(v, 3, false_at=1).true for v in (1, 1.1, 2.9, 3)] == [False, None, None, True]
    assert [at_most(v, 1, false_at=3).true for v in (1, 1.1, 2.9, 3)] == [True, None, None, False]
    assert at_least(2.5, 3, false_at=1).margin == 0.5
    assert at_least(5, 3, false_at=1).margin == 2
    with pytest.raises(ValueError, match="false_at must lie below the bar, 1; got 3"):
        at_least(2, 1, false_at=3)
    with pytest.raises(ValueError, match="false_at must lie above the bar, 3; got 1"):
        at_most(2, 3, false_at=1)


@pytest.mark.parametrize(
    "arguments",
    [
        ("S99", {}, "x"),
        ("S1", {}, " "),
        ("S1", {}, None),
        ("S1", {"a": mostly(1)}, "x", ("b",)),
        ("S1", "holds", "x"),
        ("S1", {"a": True}, "x"),
    ],
)
def test_bad_verdicts_are_clear_errors(arguments):
    with pytest.raises(ValueError, match="got"):
        verdict(*arguments)


def test_the_record_is_in_the_metadata_and_comes_back_from_it(monkeypatch):
    shown, found = [], {"a": at_least(1 / 3, 0.5), "b": at_most(math.inf, 2)}
    monkeypatch.setattr(module, "show", lambda card, metadata: shown.append(metadata))
    verdict("W1", found, "Two numbers.")
    (record,) = (json.loads(json.dumps(given, allow_nan=False))["gradutils_verdict"] for given in shown)
    assert (record["claim"], record["outcome"], record["evidence"]) == ("W1", "refuted", "Two numbers.")
    heading = markdown("## Claim on trial: W1")
    trial = next(
        module._trials_of(
            "01_x", [heading, {"cell_type": "code", "source": "", "outputs": [{"metadata": shown[0]}]}]
        )
    )
    assert trial.found == {"a": at_least(0.333333, 0.5), "b": found["b"]}


def test_every_claim_is_a_sentence():
    assert set(OUTCOMES) == set(EXPECTED)
    assert sorted(CLAIMS) == sorted(claim for claims in EXPECTED.values() for claim in claims)
    assert all(claim.endswith(".") for claim in CLAIMS.values())


# All trials together ---------------------------------------------------------------------------------------------------
def markdown(source):
    return {"cell_type": "markdown", "source": source}


def tried(claim_id, outcome="holds", evidence="It held.", found=None):
    record = {"claim": claim_id, "outcome": outcome, "evidence": evidence}
    record["found"] = [{"setting": name} | finding.as_json() for name, finding in (found or {}).items()]
    return {"cell_type": "code", "source": "", "outputs": [{}, {"metadata": {"gradutils_verdict": record}}]}


def write(folder, name, cells):
    (folder / f"{name}.ipynb").write_text(json.dumps({"cells": cells}))


def test_every_claim_has_one_trial_in_the_executed_solutions():
    found = trials(ROOT / "solutions")
    assert list(found) == list(CLAIMS)
    for trial in found.values():
        assert trial.prediction, trial.claim
        assert (ROOT / "lessons" / f"{trial.lesson}.ipynb").exists()
        assert f"## {trial.heading}" in (ROOT / "solutions" / f"{trial.lesson}.py").read_text(
            encoding="utf-8"
        )
        assert trial.link.startswith(f"{trial.lesson}.ipynb#")
        assert " " not in trial.link


def test_a_trial_is_read_from_its_heading_to_its_verdict(tmp_path):
    cells = [
        markdown(
            "## 3 · Claim on trial: S1\n\n*In steep regions…* Often taught. More.\n\n**Our prediction.** It holds.\n\nNot this."
        ),
        tried("S1"),
        markdown("## Claims on trial: S2 and S4\n\n*A*"),
        markdown("**Our prediction.** S4: the one. S2: the other."),
        tried("S4"),
        tried("S2"),
        markdown("## Claim on trial: W9\n\n*B* (a mere remark)"),
        {"cell_type": "code", "source": 'predict("01.a", "How many?", [])'},
        tried("W9", "depends"),
    ]
    (one, four, two, nine) = module._trials_of("01_x", cells)
    assert (one.taught, one.prediction) == ("Often taught", "It holds.")
    assert one.link == "01_x.ipynb#3-%C2%B7-Claim-on-trial:-S1"
    assert (four.prediction, two.prediction) == ("the one.", "the other.")
    assert (nine.taught, nine.prediction, nine.outcome) == ("", "Asked: How many?", "depends")


def test_a_missing_and_a_double_trial_are_errors(tmp_path):
    with pytest.raises(ValueError, match="no trial was found of S1, S2"):
        trials(tmp_path)
    write(tmp_path, "01_x", [markdown("## Claim on trial: S1"), tried("S1")])
    write(tmp_path, "02_y", [markdown("## Claim on trial: S1"), tried("S1")])
    with pytest.raises(ValueError, match="S1 is tried in 01_x and in 02_y"):
        trials(tmp_path)


def test_the_tables_of_trials_and_of_the_guide(capsys):
    found = trials(ROOT / "solutions")
    module.show_trials(found)
    assert len(capsys.readouterr().out.splitlines()) == len(CLAIMS)
    module.show_guide([("it\nleaps", "a number", "a remedy", "S1 12.4")], found)
    assert capsys.readouterr().out == "it leaps -> a number -> a remedy  (S1 12.4)\n"
    link = module._link("S1", found)
    assert link == f"[{CLAIMS['S1'].rstrip('.')}]({found['S1'].link}) (S1: {found['S1'].outcome})"
    assert module._link("01", found) == "[lesson 01](01_gradient_descent.ipynb)"
    with pytest.raises(ValueError, match="a claim, a patient or a lesson; got 'S99'"):
        module.show_guide([("a", "b", "c", "S99")], found)


def test_the_table_shows_what_was_not_tested_and_where_a_claim_was_true(capsys):
    cells = [
        markdown("## Claims on trial: S1 and S2"),
        tried("S1", "not tested", "Nobody tried."),
        tried(
            "S2",
            "depends",
            "5 of 10.",
            {"b": mostly(10), "a": mostly(9), "there": mostly(0), "else": mostly(5)},
        ),
    ]
    found = {trial.claim: trial for trial in module._trials_of("01_x", cells)}
    module.show_trials(found)
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "S1   not tested Nobody tried.",
        "S2   depends    True: b; a. False: there. Undecided: else. 5 of 10.",
    ]
    assert module.how_often_true(found) == {"true": 2, "false": 1, "undecided": 1}
