"""Questions on earlier lessons: asked in place, answered at once, and brought back when they are due."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from importlib import import_module

import pytest

from gradutils.course.exercises import all_exercises
from gradutils.course.progress import State, read, record_pass, record_recalled
from gradutils.course.questions import QUESTIONS, RECALLS
from gradutils.course.recall import Deck, due_days, recall, review

module = import_module("gradutils.course.progress")  # the face has a function of this name
START = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def clock(home, monkeypatch):
    """A function that sets the day, counted from the first."""

    def set_day(day):
        monkeypatch.setattr(module, "now", lambda: START + timedelta(days=day))

    set_day(0)
    return set_day


# The questions ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("key", QUESTIONS)
def test_a_question_is_whole(key):
    asked = QUESTIONS[key]
    assert asked.after in all_exercises()
    assert asked.after[:2] == max(key[:2], "01")  # lesson 00 waits for 01
    assert 2 <= len(asked.options) == len(set(asked.options)) <= 3
    for sentence in (asked.because, *asked.wrong.values()):
        assert 8 <= len(sentence.split()) <= 20, sentence
        assert sentence.endswith("."), sentence
        assert "!" not in sentence


def test_the_right_option_is_given_away_by_neither_place_nor_length():
    places, longest = Counter(), 0
    for asked in QUESTIONS.values():
        places[asked.options.index(asked.right)] += 1
        longest += all(len(asked.right) > len(option) for option in asked.wrong)
    assert max(places.values()) <= len(QUESTIONS) / 2, places
    assert longest <= len(QUESTIONS) / 2


def test_a_lesson_asks_three_questions_on_earlier_ones():
    lessons = sorted({key[:2] for key in all_exercises()})
    assert list(RECALLS) == lessons[2:]
    for lesson, keys in RECALLS.items():
        assert len(set(keys)) == 3
        assert all(QUESTIONS[key].after[:2] < lesson for key in keys)
    assert Counter(key[:2] for key in QUESTIONS).keys() == set(lessons)


# In place --------------------------------------------------------------------------------------------------------------
def test_without_buttons_the_answers_stand_below(home, capsys):
    assert recall("03") is None
    asked, answers = capsys.readouterr().out.split("Answers:")
    for number, key in enumerate(RECALLS["03"], start=1):
        known = QUESTIONS[key]
        letter = "abc"[known.options.index(known.right)]
        assert f"{number}. {known.question}\n  a) {known.options[0]}\n" in asked
        assert f"{number}. {letter}) {known.right}: {known.because}" in answers
        assert known.because not in asked
        assert all(why in answers for why in known.wrong.values())
    assert not home.exists()  # nothing was answered


def test_a_lesson_that_asks_nothing_is_said(home):
    for lesson in ("01", "3", "", None):
        with pytest.raises(ValueError, match="lesson must be one of '02', '03'"):
            recall(lesson)


def test_an_answer_is_judged_at_once_and_kept(notebook):
    deck = recall("03")
    first = deck.asked[0]
    known = QUESTIONS[first.key]
    for option, why in known.wrong.items():
        first.buttons.value = option
        assert why in first.said.value
        assert known.because in first.said.value
    first.buttons.value = known.right
    assert first.said.value.count("✓") == 1
    assert [answer.right for answer in read().recalled[first.key]] == [False, False, True]
    assert list(read().recalled) == [first.key]


def test_a_deck_has_a_plain_form_and_a_fold(notebook):
    shown = recall("02")._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in shown
    asked, fold = shown["text/html"].split("<details>")
    assert "Answers:" in shown["text/plain"]
    for key in RECALLS["02"]:
        assert QUESTIONS[key].because not in asked
    assert fold.startswith("<summary>Answers</summary>")
    assert fold.endswith("</details>")


# The deck --------------------------------------------------------------------------------------------------------------
def days_until_due(key):
    return due_days(read())[key] - module.today().toordinal()


def test_the_first_day_says_the_same_in_every_place(home, capsys):
    review()
    first = capsys.readouterr().out
    assert first.startswith("Nothing to review yet.")
    record_pass("00.1")  # questions on lesson 00 wait for lesson 01
    review()
    assert capsys.readouterr().out == first


def test_nothing_due_says_when(clock, capsys):
    record_pass("01.3")
    review()
    assert (
        "Nothing is due today. The next question is due in 1 day, on 2026-03-02." in capsys.readouterr().out
    )
    clock(1)
    for key in ("01.r2", "01.r3"):
        record_recalled(key, True)
    review()
    assert "The next question is due in 3 days, on 2026-03-05." in capsys.readouterr().out


def test_the_pauses_grow_and_a_wrong_answer_begins_again(clock):
    record_pass("01.4")
    day = 0
    for pause in (1, 3, 7, 16, 32, 64):
        assert days_until_due("01.r4") == pause
        day += pause
        clock(day)
        record_recalled("01.r4", True)
    record_recalled("01.r4", False)
    assert days_until_due("01.r4") == 1
    record_recalled("01.r4", True)  # its reason has just been read
    assert days_until_due("01.r4") == 1
    clock(day + 1)
    record_recalled("01.r4", True)
    assert days_until_due("01.r4") == 3


def test_an_answer_before_its_day_starts_the_pause_anew_and_makes_it_no_longer(clock):
    record_recalled("01.r4", False)  # recalled in a lesson before the exercise was passed
    clock(5)
    record_pass("01.4")
    assert days_until_due("01.r4") == 1
    clock(6)
    record_recalled("01.r4", True)
    clock(8)
    record_recalled("01.r4", True)
    assert days_until_due("01.r4") == 3


def test_a_deck_is_small_and_what_waited_longest_comes_first(clock, notebook, capsys):
    for day, lesson in enumerate(("02", "01")):
        clock(day)
        for key in all_exercises():
            if key.startswith(lesson):
                record_pass(key)
    clock(2)
    deck = review()
    assert isinstance(deck, Deck)
    assert [asked.key[:2] for asked in deck.asked] == ["02"] * 5
    head = deck._repr_mimebundle_()["text/plain"].splitlines()[0]
    assert head == f"Due today: {len(due_days(read()))}, the first 5; run this cell again for the others."
    for asked in deck.asked:
        asked.buttons.value = QUESTIONS[asked.key].right
    for asked in review().asked:
        assert asked.key[:2] in ("00", "01")


def test_days_that_no_calendar_has_do_no_harm():
    for day in ("2026-13-45", "0000-00-00"):
        assert due_days(State(passed={"01.1": day})) == {}
    late = due_days(State(passed={"01.4": "9999-12-31"}))
    assert late["01.r4"] == datetime.max.toordinal() + 1
