"""Predictions before a run, settled by what the run measured."""

from collections.abc import Sequence
from html import escape
from random import Random

import ipywidgets as widgets

from gradutils.course.display import BLUE, GREY, ORANGE, Card, Spoken, in_notebook, paragraphs, show
from gradutils.course.progress import Prediction, learner, read, record_choice, record_settled

LETTERS = "abcdefghij"
_options: dict[str, tuple[str, ...]] = {}  # of the questions that this kernel has asked


def predict(question_id: str, question: str, options, choice: str | None = None):
    """Ask a question before the run that answers it; the learner's choice is kept until `reveal` settles it.

    In a notebook the options are buttons, in an order drawn for each learner, so that no place is more often right.
    Where there are none, ``choice="b"`` says the same in code, by the order given here. A choice can be changed until it is settled.

    Raises ValueError for fewer than two options, for two that are the same, or for a choice that is not among them.
    """
    options = tuple(str(option) for option in options)
    if not 2 <= len(options) <= len(LETTERS) or len(set(options)) < len(options):
        raise ValueError(f"options must be 2 to {len(LETTERS)} different answers; got {list(options)!r}")
    question_id = str(question_id)
    _options[question_id] = options
    letters = LETTERS[: len(options)]
    if choice is not None:
        _choose(question_id, _chosen(question_id, choice))
    lines = [f"Predict {question_id}: {question}"]
    lines += [f"  {letter}) {option}" for letter, option in zip(letters, options, strict=True)]
    lines += ['No buttons? Add choice="a" to the call, or another letter, and run it again.']
    if not in_notebook():
        print("\n".join(lines))
        return None
    return Question(question_id, question, options, "\n".join(lines))


def reveal(question_id: str, answer: str, because: str = "", wrong: dict[str, str] | None = None) -> None:
    """Settle a prediction with the measured answer, the text of one of the options that `predict` showed.

    ``because`` says what decided. ``wrong`` holds for each option a sentence that says why it is wrong; that of the
    measured one may be there, and is left out.

    Raises ValueError where the answer is no such text, and where ``wrong`` misses an option or names one that is none.
    """
    question_id = str(question_id)
    options, answer = _asked(question_id), str(answer)
    if answer not in options:
        raise ValueError(f"the answer to {question_id} must be one of {list(options)!r}; got {answer!r}")
    why = _why(question_id, answer, wrong or {})
    made = _made(question_id)
    choice = made.choice if made and made.choice in options else None
    if choice is None:
        head, colour = f"Measured: {answer}. No prediction was made.", GREY
    elif choice == answer:
        head, colour = f"✓ Measured: {answer}. As predicted.", BLUE
    else:
        head, colour = f"✗ Measured: {answer}. Predicted: {choice}.", ORANGE
    if choice is not None and made.right is None:
        record_settled(question_id, choice, choice == answer)
    others = sorted(why, key=lambda option: option != choice)  # what was chosen comes first
    lines = [
        text for text in (head, because, *(f"Not “{option}”: {why[option]}" for option in others)) if text
    ]
    show(Card("\n".join(lines), paragraphs(*lines), colour))


def in_own_order(question_id: str, options: Sequence[str]) -> list[str]:
    """The options in this learner's order: the same in every kernel, another for another learner or question."""
    return Random(f"{learner()} {question_id}").sample(options, len(options))


def _why(question_id: str, answer: str, wrong: dict[str, str]) -> dict[str, str]:
    """Why each option but the measured one is wrong, in the order in which they were given."""
    others = [option for option in _options[question_id] if option != answer]
    wrong = {str(option): sentence for option, sentence in wrong.items()}
    if wrong and set(others) != set(wrong) - {answer}:
        raise ValueError(f"wrong must hold a sentence for each of {others!r}; got {list(wrong)!r}")
    return {option: wrong[option] for option in others if wrong}


def _asked(question_id: str) -> tuple[str, ...]:
    """The options of a question."""
    if question_id not in _options:
        raise ValueError(
            f"question {question_id} has not been asked in this kernel: run its predict cell first"
        )
    return _options[question_id]


def _chosen(question_id: str, choice) -> str:
    """The option that ``choice`` names, itself or by its letter."""
    options, choice = _options[question_id], str(choice)
    by_letter = dict(zip(LETTERS, options, strict=False))
    if choice not in options and choice not in by_letter:
        given = f"{', '.join(by_letter)} or one of {list(options)!r}"
        raise ValueError(f"the choice for {question_id} must be {given}; got {choice!r}")
    return choice if choice in options else by_letter[choice]


def _made(question_id: str) -> Prediction | None:
    return read().predictions.get(question_id)


def _choose(question_id: str, choice: str) -> str:
    """Keep the choice unless it is settled already; the sentence to show."""
    made = _made(question_id)
    if made and made.right is not None:
        return f"Settled earlier, with: {made.choice}"
    if made != Prediction(choice):
        record_choice(question_id, choice)
    return f"Your prediction: {choice}. You can change it until the run."


class Question(Spoken):
    """The question with its options as buttons; plain text, in the order given, where no kernel lives."""

    def __init__(self, question_id: str, question: str, options: tuple[str, ...], text: str):
        self.text = text
        made = _made(question_id)
        chosen = made.choice if made and made.choice in options else None
        wide = widgets.Layout(width="max-content", max_width="100%")
        shown = in_own_order(question_id, options)
        self.buttons = widgets.RadioButtons(options=shown, value=chosen, layout=wide)
        self.said = widgets.HTML(_said(made) if chosen else "<i>Choose one, then go on.</i>")
        self.buttons.observe(
            lambda change: setattr(self.said, "value", f"<i>{escape(_choose(question_id, change.new))}</i>"),
            names="value",
        )
        title = widgets.HTML(paragraphs(question))
        super().__init__([title, self.buttons, self.said])


def _said(made: Prediction) -> str:
    if made.right is None:
        return "<i>Your prediction. You can change it until the run.</i>"
    return "<i>Settled earlier.</i>"
