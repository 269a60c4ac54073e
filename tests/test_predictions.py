"""What the lessons ask before a run: no place is right too often, each wrong option gets its reason, no key is in sight."""

import ast
import re
from collections import Counter
from pathlib import Path

import nbformat
import pytest

SOLUTIONS = sorted((Path(__file__).parent.parent / "solutions").glob("[0-9][0-9]_*.ipynb"))
NAMES = [path.stem for path in SOLUTIONS]
# Lessons whose predictions name their options and give a reason for each wrong one.


def cells(name):
    (path,) = (path for path in SOLUTIONS if path.stem == name)
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def said(cell):
    """The plain text of what a cell has shown, one string an output."""
    return ["".join(output.get("data", {}).get("text/plain", "")) for output in cell.outputs]


def asked(name):
    """Question -> its options in the order of the text, as the executed solution shows them."""
    texts = [text for cell in cells(name) for text in said(cell) if text.startswith("Predict ")]
    return {
        text.split()[1].rstrip(":"): re.findall(r"^  [a-j]\) (.*)$", text, re.MULTILINE) for text in texts
    }


def settled(name):
    """Question -> the lines of the card that settled it."""
    found = {}
    for cell in cells(name):
        cards = [text.splitlines() for text in said(cell) if "No prediction was made." in text]
        found |= dict(zip(re.findall(r"\breveal\(\s*\"([^\"]+)\"", cell.source), cards, strict=True))
    return found


def measured(card):
    return re.fullmatch(r"Measured: (.*)\. No prediction was made\.", card[0])[1]


def places(names):
    """How often the first, the second, … option was measured."""
    return Counter(
        options.index(measured(settled(name)[key])) for name in names for key, options in asked(name).items()
    )


def test_no_place_is_right_in_more_than_half():
    found = places(NAMES)
    assert found.total() >= len(NAMES)
    assert max(found.values()) <= found.total() / 2, found


@pytest.mark.parametrize("name", NAMES)
def test_each_wrong_option_gets_its_reason(name):
    cards = settled(name)
    assert asked(name).keys() == cards.keys()
    for key, options in asked(name).items():
        reasons = dict(re.findall(r"^Not “(.*)”: (.+)$", "\n".join(cards[key]), re.MULTILINE))
        assert list(reasons) == [option for option in options if option != measured(cards[key])], key
        for sentence in reasons.values():
            assert 8 <= len(sentence.split()) <= 40, sentence
            assert sentence.endswith("."), sentence


@pytest.mark.parametrize("name", NAMES)
def test_no_key_is_in_sight(name):
    """What is measured selects the option by its name, and the cell that does it is folded."""
    for cell in cells(name):
        for call in ast.walk(ast.parse(cell.source)):
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "reveal":
                assert "reveal" in cell.metadata.tags, cell.source
                texts = {node.value for node in ast.walk(call.args[1]) if isinstance(node, ast.Constant)}
                keys = {*asked(name)[call.args[0].value], *"abc"}
                assert not texts & keys, ast.unparse(call.args[1])
