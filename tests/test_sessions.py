"""The sessions of docs/classroom.md can be held in their time, ask what the lessons ask, and list what the checks say."""

import re
from itertools import pairwise

import pytest

from gradutils.course.classroom.__main__ import _parser
from gradutils.course.exercises import all_exercises
from tools import sessions
from tools.sessions import (
    BEGIN,
    END,
    ROOT,
    expectations,
    mentioned,
    minutes_of_exercises,
    parts,
    rebuilt,
    rows,
)

TEXT = sessions.PAGE.read_text(encoding="utf-8")
TIMETABLES = [timetable for timetable, _ in parts(TEXT)]
PLAN = [45, 90, 450, 450]  # minutes: two lectures, two days of seven hours and a half with their breaks
README = (ROOT / "README.md").read_text(encoding="utf-8")
ADVICE = "run python -m tools.sessions"


def test_what_to_expect_is_as_the_lessons_have_it():
    assert rebuilt(TEXT) == TEXT, f"docs/classroom.md is stale: {ADVICE}"


def test_a_session_fills_its_time():
    assert [sum(minutes for minutes, _ in rows(timetable)) for timetable in TIMETABLES] == PLAN
    assert re.findall(r"^### (\d+) minutes", TEXT, re.MULTILINE) == ["45", "90"]


@pytest.mark.parametrize("timetable", TIMETABLES, ids=["45", "90", "day 1", "day 2"])
def test_a_row_has_time_for_what_it_asks(timetable):
    takes = minutes_of_exercises()
    cores = dict(re.findall(r"^\| (\d\d) \| \[.*?\| (\d+)", README, re.MULTILINE))
    for minutes, text in rows(timetable):
        written = sum(takes[key] for key in re.findall(r"\*\*(\d\d\.\d)\*\*", text))
        talked = 3 * len(re.findall(r"\*\*\d\d\.[a-z]\*\*", text))
        core = sum(int(cores[lesson]) for lesson in re.findall(r"core of (\d\d)", text))
        assert minutes >= written + talked + core, text


def test_the_lectures_stay_in_the_core_and_keep_its_order():
    for timetable in TIMETABLES[:2]:
        predictions, exercises = mentioned(timetable)
        assert predictions
        assert exercises
        assert not [key for key in exercises if all_exercises()[key].deeper]
        for keys in (predictions, exercises):
            assert all(one < other for one, other in pairwise(keys)), "in the order of the lessons"


def test_what_is_shown_is_in_the_lessons_of_its_session():
    for timetable in TIMETABLES:
        named = set(re.findall(r"(?:core of|lesson|\()\s?\(?(\d\d)\b", timetable)) | set(
            re.findall(r"\*\*(\d\d)\.", timetable)
        )
        sources = "".join(
            path.read_text(encoding="utf-8") for n in named for path in (ROOT / "solutions").glob(f"{n}_*.py")
        )
        shown = re.findall(r"`(explore_\w+)\(\)`", timetable)
        assert all(f"explorers.{name}()" in sources for name in shown), shown


def test_each_option_is_there_with_its_point_and_each_exercise_with_sentences_of_its_check():
    for timetable in TIMETABLES:
        listed, (predictions, exercises) = expectations(timetable), mentioned(timetable)
        for key in predictions:
            for text in [*sessions.questions()[key].options, *sessions.questions()[key].wrong.values()]:
                assert sessions.plain(text) in listed
        for key in exercises:
            assert sessions.plain(next(iter(all_exercises()[key].mistakes))) in listed
        table = [line for line in listed.splitlines() if line.startswith("|")]
        assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {4}  # three columns


def test_a_day_lists_the_cores_that_it_names():
    exercises = mentioned(TIMETABLES[2])[1]
    assert {key[:2] for key in exercises} == {"01", "03", "05"}
    assert {"01.1", "03.4", "05.5"} <= set(exercises)
    assert "01.5" not in exercises  # deeper


def test_what_drifted_is_seen(monkeypatch, tmp_path, capsys):
    page = tmp_path / "classroom.md"
    stale = TEXT.replace("goes against it", "goes along with it", 1)
    assert stale != TEXT
    page.write_text(stale, encoding="utf-8")
    monkeypatch.setattr(sessions, "PAGE", page)
    assert sessions.main(["--check"]) == 1
    assert ADVICE in capsys.readouterr().out
    assert page.read_text(encoding="utf-8") == stale
    assert sessions.main([]) == 0
    assert page.read_text(encoding="utf-8") == TEXT
    assert sessions.main(["--check"]) == 0


@pytest.mark.parametrize("key", ["01.9", "77.a", "01.z"])
def test_a_timetable_that_asks_what_there_is_not_is_named(key):
    with pytest.raises(ValueError, match=f"there is no prediction or exercise {key}"):
        rebuilt(f"| 5 | **{key}** | 1 |\n\n{BEGIN}\n{END}")


def test_a_marker_without_its_partner_is_named():
    with pytest.raises(ValueError, match="needs its"):
        rebuilt(f"| 5 | **01.1** | 1 |\n\n{BEGIN}\n")


def test_the_examples_of_the_page_are_those_of_the_command():
    options = set(re.findall(r"--[a-z-]+", _parser().format_help())) - {"--help"}
    described = TEXT.partition("| option | what it does |")[2].partition("\n\n")[0]
    assert options == set(re.findall(r"--[a-z-]+", described)) - {"---"}
