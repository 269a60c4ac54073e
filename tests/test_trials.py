"""Verdicts are recorded where the table of all claims can find them."""

import json
from pathlib import Path

import pytest

from gradutils.course import trials as module
from gradutils.course.trials import CLAIMS, EXPECTED, OUTCOMES, trials, verdict

ROOT = Path(__file__).parent.parent


def test_a_verdict_says_claim_outcome_and_evidence(capsys):
    verdict("S1", "holds", "The edge is at 2.0 in 10 of 10.")
    out = capsys.readouterr().out
    assert "Claim S1: holds." in out
    assert CLAIMS["S1"] in out
    assert "10 of 10" in out


@pytest.mark.parametrize(
    "arguments", [("S99", "holds", "x"), ("S1", "true", "x"), ("S1", "holds", " "), ("S1", "holds", None)]
)
def test_bad_verdicts_are_clear_errors(arguments):
    with pytest.raises(ValueError, match="got"):
        verdict(*arguments)


def test_the_record_is_in_the_metadata(monkeypatch):
    shown = []
    monkeypatch.setattr(module, "show", lambda card, metadata: shown.append(metadata))
    verdict("W1", "depends", "Two numbers.")
    assert shown == [{"gradutils_verdict": {"claim": "W1", "outcome": "depends", "evidence": "Two numbers."}}]


def test_every_claim_is_a_sentence():
    assert set(OUTCOMES) == set(EXPECTED)
    assert sorted(CLAIMS) == sorted(claim for claims in EXPECTED.values() for claim in claims)
    assert all(claim.endswith(".") for claim in CLAIMS.values())


# All trials together ---------------------------------------------------------------------------------------------------
def markdown(source):
    return {"cell_type": "markdown", "source": source}


def tried(claim_id, outcome="holds", evidence="It held."):
    record = {"claim": claim_id, "outcome": outcome, "evidence": evidence}
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
    module.show_guide([("it\nleaps", "a number", "a remedy", "S1 09.4")], found)
    assert capsys.readouterr().out == "it leaps -> a number -> a remedy  (S1 09.4)\n"
    with pytest.raises(ValueError, match="a claim or a patient; got 'S99'"):
        module.show_guide([("a", "b", "c", "S99")], found)
