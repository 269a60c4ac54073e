"""Questions on earlier lessons: three in place, where a lesson begins, and a small deck of those that are due today."""

from datetime import date

import ipywidgets as widgets

from gradutils.course.display import Card, Spoken, in_notebook, paragraphs, show
from gradutils.course.progress import State, read, record_recalled, today
from gradutils.course.questions import QUESTIONS, RECALLS
from gradutils.course.quiz import LETTERS, in_own_order

# Days from a pass, or a right answer, to the next time; then each is twice the last.
INTERVALS = (1, 3, 7, 16)
AT_MOST = 5
NOTHING_YET = (
    "Nothing to review yet. A question comes here a day after you have passed the exercise that it is about, "
    "because a thing recalled after a pause is kept."
)


def recall(lesson: str):
    """Ask three questions on earlier lessons, answered in place; ``recall("03")`` at the beginning of lesson 03.

    In JupyterLab the options are buttons, and the reason follows at once. Anywhere else the answers stand below.
    Raises ValueError for a lesson that asks nothing.
    """
    if lesson not in RECALLS:
        raise ValueError(f"lesson must be one of {', '.join(map(repr, RECALLS))}; got {lesson!r}")
    return _ask("Three questions on earlier lessons", RECALLS[lesson])


def review():
    """Ask what was learnt and is due today, five questions at most: 1, 3, 7, 16 days after the last right answer.

    A right answer makes the next pause longer, a wrong one brings the question back tomorrow.
    """
    days = due_days(read())
    ready = sorted((key for key in days if days[key] <= today().toordinal()), key=days.get)
    if ready:
        more = f", the first {AT_MOST}; run this cell again for the others" if len(ready) > AT_MOST else ""
        return _ask(f"Due today: {len(ready)}{more}", ready[:AT_MOST])
    text = NOTHING_YET
    if days:
        first = min(days.values())
        wait = first - today().toordinal()
        text = f"Nothing is due today. The next question is due in {wait} {'day' if wait == 1 else 'days'}, on {_day(first)}."
    show(Card(text, paragraphs(text)))
    return None


# When a question is due ------------------------------------------------------------------------------------------------
def due_days(state: State) -> dict[str, int]:
    """For each question whose exercise has been passed, the day on which it is due, as an ordinal."""
    days = {}
    for key, question in QUESTIONS.items():
        if passed := _ordinal(state.passed.get(question.after, "")):
            answers = [(_ordinal(answer.day), answer.right) for answer in state.recalled.get(key, ())]
            days[key] = _due(passed, answers)
    return days


def _due(passed: int, answers: list[tuple[int, bool]]) -> int:
    """A right answer before its day counts anew from its day, but makes no pause longer: the reason was just read."""
    step, since = 0, passed
    for day, right in answers:
        if day >= since:
            step = step + (day >= since + _pause(step)) if right else 0
            since = day
    return since + _pause(step)


def _pause(step: int) -> int:
    last = len(INTERVALS) - 1
    return INTERVALS[step] if step < last else INTERVALS[last] * 2 ** (step - last)


def _ordinal(day: str) -> int:
    """A day of the progress file as a number, 0 for none and for one that no calendar has."""
    try:
        return date.fromisoformat(day).toordinal()
    except ValueError:
        return 0


def _day(ordinal: int) -> date:
    return date.fromordinal(min(ordinal, date.max.toordinal()))


# How it is asked -------------------------------------------------------------------------------------------------------
def _ask(head: str, keys):
    """A deck of buttons in a notebook; in a plain program the questions are printed, and their answers below them."""
    if in_notebook():
        return Deck(head, keys)
    print(_text(head, keys))
    return None


class Deck(Spoken):
    """Questions that are answered in place; where no kernel lives, plain questions with the answers in a fold."""

    def __init__(self, head: str, keys):
        self.text, self.html = _text(head, keys), _folded(head, keys)
        self.asked = [Asked(number, key) for number, key in enumerate(keys, start=1)]
        super().__init__([widgets.HTML(paragraphs(f"{head}.")), *self.asked])


class Asked(widgets.VBox):
    """One question. Each answer is recorded, and the reason stands below it at once."""

    def __init__(self, number: int, key: str):
        self.key, question = key, QUESTIONS[key]
        wide = widgets.Layout(width="max-content", max_width="100%")
        shown = in_own_order(key, question.options)
        self.buttons = widgets.RadioButtons(options=shown, value=None, layout=wide)
        self.said = widgets.HTML()
        self.buttons.observe(lambda change: self._answer(change.new), names="value")
        super().__init__(
            [widgets.HTML(paragraphs(f"{number}. {question.question}")), self.buttons, self.said]
        )

    def _answer(self, option: str) -> None:
        question = QUESTIONS[self.key]
        right = option == question.right
        record_recalled(self.key, right)
        if right:
            self.said.value = paragraphs(f"✓ Right. {question.because}")
        else:
            known = f"Right is “{question.right}”: {question.because}"
            self.said.value = paragraphs(f"✗ Not “{option}”: {question.wrong[option]}", known)


def _text(head: str, keys) -> str:
    """The questions with their options by letter, and the answers below all of them."""
    return "\n".join([f"{head}.", *_questions(keys), "Answers:", *_answers(keys)])


def _folded(head: str, keys) -> str:
    """The same as HTML, with the answers in a fold."""
    asked, answers = paragraphs(f"{head}.", *_questions(keys)), paragraphs(*_answers(keys))
    return f"{asked}<details><summary>Answers</summary>{answers}</details>"


def _questions(keys) -> list[str]:
    lines = []
    for number, key in enumerate(keys, start=1):
        lines.append(f"{number}. {QUESTIONS[key].question}")
        lines += [
            f"  {letter}) {option}" for letter, option in zip(LETTERS, QUESTIONS[key].options, strict=False)
        ]
    return lines


def _answers(keys) -> list[str]:
    lines = []
    for number, key in enumerate(keys, start=1):
        question = QUESTIONS[key]
        letter = LETTERS[question.options.index(question.right)]
        lines.append(f"{number}. {letter}) {question.right}: {question.because}")
        lines += [f"  Not “{option}”: {why}" for option, why in question.wrong.items()]
    return lines
