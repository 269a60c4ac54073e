"""Predictions before a run, settled by what the run measured."""

from html import escape

import ipywidgets as widgets

from gradutils.course.display import BLUE, GREY, ORANGE, Card, in_notebook, paragraphs, show
from gradutils.course.progress import Prediction, read, record_choice, record_settled

LETTERS = "abcdefghij"
_options: dict[str, tuple[str, ...]] = {}  # of the questions that this kernel has asked


def predict(question_id: str, question: str, options, choice: str | None = None):
    """Ask a question before the run that answers it; the learner's choice is kept until `reveal` settles it.

    In JupyterLab the options are buttons. Anywhere else ``choice="b"`` says the same in code.
    A choice can be changed until it is settled.

    Raises ValueError for fewer than two options, for two that are the same, or for a choice that is not among them.
    """
    options = tuple(str(option) for option in options)
    if not 2 <= len(options) <= len(LETTERS) or len(set(options)) < len(options):
        raise ValueError(f"options must be 2 to {len(LETTERS)} different answers; got {list(options)!r}")
    question_id = str(question_id)
    _options[question_id] = options
    letters = LETTERS[: len(options)]
    if choice is not None:
        _choose(question_id, _option(question_id, choice))
    lines = [f"Predict {question_id}: {question}"]
    lines += [f"  {letter}) {option}" for letter, option in zip(letters, options, strict=True)]
    if not in_notebook():
        print("\n".join(lines))
        return None
    return Question(question_id, question, options, "\n".join(lines))


def reveal(question_id: str, answer: str, because: str = "") -> None:
    """Settle a prediction with the measured answer: one of the options that `predict` showed, or its letter.

    Raises ValueError where the answer is not among them.
    """
    question_id = str(question_id)
    answer = _option(question_id, answer)
    made = _made(question_id)
    choice = made.choice if made and made.choice in _options[question_id] else None
    if choice is None:
        head, colour = f"Measured: {answer}. No prediction was made.", GREY
    elif choice == answer:
        head, colour = f"✓ Measured: {answer}. As predicted.", BLUE
    else:
        head, colour = f"✗ Measured: {answer}. Predicted: {choice}.", ORANGE
    if choice is not None and made.right is None:
        record_settled(question_id, choice, choice == answer)
    text = f"{head}\n{because}" if because else head
    show(Card(text, paragraphs(head, because), colour))


def _option(question_id: str, answer) -> str:
    """The option that ``answer`` names, itself or by its letter."""
    if question_id not in _options:
        raise ValueError(
            f"question {question_id} has not been asked in this kernel: run its predict cell first"
        )
    options, answer = _options[question_id], str(answer)
    by_letter = dict(zip(LETTERS, options, strict=False))
    if answer not in options and answer not in by_letter:
        given = f"{', '.join(by_letter)} or one of {list(options)!r}"
        raise ValueError(f"the answer to {question_id} must be {given}; got {answer!r}")
    return answer if answer in options else by_letter[answer]


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


class Question(widgets.VBox):
    """The question with its options as buttons; plain text where no kernel lives."""

    def __init__(self, question_id: str, question: str, options: tuple[str, ...], text: str):
        self._text = text
        made = _made(question_id)
        chosen = made.choice if made and made.choice in options else None
        wide = widgets.Layout(width="max-content", max_width="100%")
        self.buttons = widgets.RadioButtons(options=options, value=chosen, layout=wide)
        self.said = widgets.HTML(_said(made) if chosen else "<i>Choose one, then go on.</i>")
        self.buttons.observe(
            lambda change: setattr(self.said, "value", f"<i>{escape(_choose(question_id, change.new))}</i>"),
            names="value",
        )
        title = widgets.HTML(paragraphs(question))
        super().__init__([title, self.buttons, self.said])

    def _repr_mimebundle_(self, **kwargs):
        return super()._repr_mimebundle_(**kwargs) | {"text/plain": self._text}


def _said(made: Prediction) -> str:
    if made.right is None:
        return "<i>Your prediction. You can change it until the run.</i>"
    return "<i>Settled earlier.</i>"
