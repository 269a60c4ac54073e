"""The predictions as the lessons ask them, with what was measured: read from the outputs of the executed solutions."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

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
            if asks := question_in(text):
                questions[asks[0]] = asks[1:]
        measured = [card for text in said if (card := card_in(text))]
        cards |= dict(zip(settled, measured, strict=False))
    return {
        key: Asked(*questions[key], card.measured, card.wrong)
        for key, card in cards.items()
        if key in questions
    }


# What `predict` and `reveal` say in words ------------------------------------------------------------------------------
class Card(NamedTuple):
    """What `reveal` says where nobody predicted: the measured option, what decided, and why each other is wrong."""

    measured: str
    because: str
    wrong: dict[str, str]


def question_in(text: str) -> tuple[str, str, tuple[str, ...]] | None:
    """The id, the question and the options of a prediction, from its plain text; None where it is none."""
    if asks := re.match(r"Predict (\S+): (.*)", text):
        return asks[1], asks[2], tuple(re.findall(r"^  [a-j]\) (.*)$", text, re.MULTILINE))
    return None


def card_in(text: str) -> Card | None:
    """What settles a prediction, from its plain text; None where it is something else."""
    first, *lines = text.split("\n")
    measured = re.match(r"Measured: (.*)\. No prediction was made\.", first)
    if not measured:
        return None
    wrong = {line: found.groups() for line in lines if (found := re.fullmatch(r"Not “(.*?)”: (.*)", line))}
    because = " ".join(line for line in lines if line not in wrong)
    return Card(measured[1], because, dict(wrong.values()))
