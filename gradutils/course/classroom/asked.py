"""The predictions as the lessons ask them, with what was measured: read from the outputs of the executed solutions."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

SOLUTIONS = (
    Path(__file__).parents[3] / "solutions"
)  # of the clone that this package lies in; an installed one has none


@dataclass(frozen=True)
class Asked:
    """A prediction: the question, its options in the order of the text, the measured one, and why each other is wrong."""

    question: str
    options: tuple[str, ...]
    measured: str
    wrong: dict[str, str] = field(default_factory=dict)


def asked(folder: str | Path = SOLUTIONS) -> dict[str, Asked]:
    """Every prediction by its id, such as "01.a"; none where the folder holds no executed solutions.

    Raises ValueError, with a sentence, for a notebook there that cannot be read.
    """
    found = {}
    for path in sorted(Path(folder).glob("[0-9][0-9]_*.ipynb")):
        try:
            found |= _asked_in(json.loads(path.read_text(encoding="utf-8"))["cells"])
        except (OSError, ValueError, KeyError, TypeError):
            raise ValueError(f"{path} is no notebook that can be read.") from None
    return found


def _asked_in(cells: list[dict]) -> dict[str, Asked]:
    """The predictions of one notebook that were asked and settled there."""
    questions, cards = {}, {}
    for cell in cells:
        settled = re.findall(r"\breveal\(\s*\"([^\"]+)\"", "".join(cell["source"]))
        said = ["".join(output.get("data", {}).get("text/plain", "")) for output in cell.get("outputs", [])]
        for text in said:
            if asks := re.match(r"Predict (\S+): (.*)", text):
                questions[asks[1]] = asks[2], tuple(re.findall(r"^  [a-j]\) (.*)$", text, re.MULTILINE))
        measured = [text for text in said if "No prediction was made." in text]
        cards |= dict(zip(settled, measured, strict=False))
    return {key: _from(*questions[key], card) for key, card in cards.items() if key in questions}


def _from(question: str, options: tuple[str, ...], card: str) -> Asked:
    """The question with what the card that settles it says."""
    measured = re.match(r"Measured: (.*)\. No prediction was made\.", card)
    wrong = dict(re.findall(r"^Not “(.*?)”: (.*)$", card, re.MULTILINE))
    return Asked(question, options, measured[1] if measured else "", wrong)
