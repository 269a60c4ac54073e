"""Verdicts are recorded where the table of all claims can find them."""

import pytest

from gradutils.course import verdicts
from gradutils.course.verdicts import CLAIMS, OUTCOMES, verdict


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
    monkeypatch.setattr(verdicts, "show", lambda card, metadata: shown.append(metadata))
    verdict("W1", "depends", "Two numbers.")
    assert shown == [{"gradutils_verdict": {"claim": "W1", "outcome": "depends", "evidence": "Two numbers."}}]


def test_every_claim_is_a_sentence():
    assert len(CLAIMS) == 28
    assert set(OUTCOMES) == {"holds", "refuted", "depends"}
    assert all(claim.endswith(".") for claim in CLAIMS.values())
