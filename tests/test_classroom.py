"""The class page: it counts what the class did, and whatever lies in the folder, it says so in a page or a sentence."""

import json
import os
import re
import shutil
from collections import Counter
from datetime import date, timedelta
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from gradutils.course.classroom import __main__ as command
from gradutils.course.classroom import files as files_room
from gradutils.course.classroom.asked import SOLUTIONS, asked
from gradutils.course.classroom.facts import class_of, stuck_at, works_of
from gradutils.course.classroom.files import merged, moment, read_class, read_learner
from gradutils.course.exercises import all_exercises
from gradutils.course.questions import QUESTIONS
from tests.class_of_thirty import NAMES, make_class
from tests.test_progress_survives import LOGS, OLDER_FILES

questions = cache(asked)
TODAY = date(2026, 11, 1)
no_links = pytest.mark.skipif(os.name == "nt", reason="links need rights there, and there are no pipes")
SIGN = next(iter(all_exercises()["01.1"].mistakes))  # "This walks uphill: …"


@pytest.fixture(scope="module")
def thirty(tmp_path_factory):
    """The folder of a class of thirty, and what each learner did: exercise -> mistakes, then "passed"."""
    folder = tmp_path_factory.mktemp("class")
    return folder, make_class(folder)


def found_in(folder):
    return class_of(read_class(folder)[0], questions(), TODAY)


def event(name, key, at="2026-10-05T08:00:00+00:00", **more):
    return {"v": 2, "event": name, "id": key, "at": at} | more


def log(*events):
    return "".join("\n" + json.dumps(one) for one in events).encode()


def at(minute, day=5):
    return f"2026-10-{day:02d}T{8 + minute // 60:02d}:{minute % 60:02d}:00+00:00"


def handed_in(folder, name, *events):
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.jsonl").write_bytes(log(*events))
    return folder


def page_of(folder, *options):
    out = folder.parent / f"{folder.name}.html"
    assert command.main([str(folder), "--out", str(out), *options]) == 0
    return out.read_text(encoding="utf-8")


class Reader(HTMLParser):
    """What a browser would make of a page: its elements, their attributes, its words. Every element must be closed."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.attributes, self.words = [], Counter(), Counter(), []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags[tag] += 1
        self.attributes.update(name for name, _ in attributes)
        if tag not in ("meta", "wbr"):  # these have no end
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        self.words.append(text)


TAGS = {
    "html", "head", "meta", "title", "style", "body", "header", "h1", "h2", "h3", "h4", "p", "nav", "ul", "li",
    "a", "main", "section", "div", "table", "caption", "thead", "tbody", "tr", "th", "td", "span", "bdi", "wbr",
}  # fmt: skip
ATTRIBUTES = {
    "lang", "charset", "name", "content", "http-equiv", "id", "class", "href", "scope", "style", "role", "tabindex", "aria-label", "aria-labelledby", "aria-hidden",
}  # fmt: skip


def read_safely(text):
    """The page's words; that nothing in it can run, load or break out."""
    page = Reader(text)
    assert set(page.tags) <= TAGS
    assert set(page.attributes) <= ATTRIBUTES
    assert "default-src 'none'" in text
    assert not re.search(r"""(src|href)=["'](?!#)""", text)
    words = "".join(page.words)
    assert all(c.isprintable() or c == "\n" for c in words)
    return words


# A class of thirty -------------------------------------------------------------------------------------------------------
def test_the_class_is_worth_its_name(thirty):
    done = thirty[1]
    checks = [len(made) for one in done.values() for made in one.values()]
    assert len(done) == 30
    assert sum(checks) >= 300
    named = {
        (key, m)
        for one in done.values()
        for key, made in one.items()
        for m in made
        if m not in ("", "passed")
    }
    assert len(named) >= 40  # different known mistakes


def test_passes_tries_and_mistakes_are_those_that_were_made(thirty):
    folder, done = thirty
    found = found_in(folder)
    assert sorted(found.names) == sorted(NAMES)
    for name, works in zip(found.names, found.works, strict=True):
        for key, made in done[name].items():
            assert works[key].passed == (made[-1:] == ["passed"])
            assert list(works[key].mistakes) == [m for m in made if m != "passed"]
        assert {key for key in works if not key.startswith("12.")} == {
            key for key, made in done[name].items() if made
        }
    tries = Counter(
        (k, m) for one in done.values() for k, made in one.items() for m in made if m not in ("", "passed")
    )
    makers = Counter(
        (k, m) for one in done.values() for k, made in one.items() for m in {*made} - {"", "passed"}
    )
    assert {(one.key, one.sentence): (one.learners, one.tries) for one in found.mistakes} == {
        one: (makers[one], tries[one]) for one in tries
    }
    order = [(one.learners, one.tries) for one in found.mistakes]
    assert order == sorted(order, reverse=True)


def test_who_is_stuck_is_found(thirty):
    folder, done = thirty
    rows = {
        (name, key)
        for name, one in done.items()
        for key, made in one.items()
        if "passed" not in made
        and (len(made) >= 10 or any(made[k] and made[k : k + 3] == [made[k]] * 3 for k in range(len(made))))
    }
    assert {(one.learner, one.key) for one in found_in(folder).stuck} == rows
    assert len(rows) >= 3


def test_the_page_says_it_in_words(thirty):
    folder, _ = thirty
    found, words = found_in(folder), read_safely(page_of(folder))
    assert all(name in words for name in NAMES)
    assert all(one.sentence in words for one in found.mistakes)
    first, second = found.mistakes[0].sentence, found.mistakes[14].sentence
    listed = words.partition("Mistakes, most frequent first")[2]
    assert listed.partition("The sentence is what the check says.")[2].index(first) < listed.index(second)
    for split in found.splits:
        assert split.asked.question in words
        assert all(option in words for option in split.asked.options)


def test_predictions_are_counted_before_the_reveal_and_the_measured_answer_is_marked(thirty):
    folder, _ = thirty
    splits = {split.key: split for split in found_in(folder).splits}
    chosen = Counter()
    for learner in read_class(folder)[0]:
        chosen.update([learner.predictions["01.a"].choice] if "01.a" in learner.predictions else [])
    assert splits["01.a"].counts == {option: chosen[option] for option in questions()["01.a"].options}
    assert splits["01.a"].made >= 20
    rows = re.findall(r"<tr[^>]*>(?:(?!</tr>).)*✓ measured", page_of(folder, "--lesson", "01"))
    assert len(rows) == 3  # 01.a, 01.b, 01.c
    assert questions()["01.a"].measured in rows[0]
    hidden = page_of(folder, "--lesson", "01", "--no-answers")
    assert "✓ measured" not in hidden
    assert 'class="measured"' not in hidden
    assert "were right" not in hidden
    # Neither a mistake's sentence nor an earlier question tells it, and the class is shown no name.
    assert re.findall(r'<section id="([\w-]+)"', hidden) == ["lesson-01", "counted", "files"]
    assert not re.search(r"<bdi>|<th scope=.col.>(learner|mistake|sentence|right answer)", hidden)


def test_every_prediction_of_the_lessons_is_known_with_its_options():
    found = asked()
    sources = "".join(path.read_text(encoding="utf-8") for path in SOLUTIONS.glob("[0-9][0-9]_*.py"))
    assert set(found) == set(re.findall(r"\bpredict\(\s*\"([^\"]+)\"", sources))
    for one in found.values():
        assert one.measured in one.options
        assert set(one.wrong) == set(one.options) - {one.measured}


def test_without_the_solutions_what_was_chosen_is_shown(thirty, tmp_path):
    folder, _ = thirty
    words = read_safely(page_of(folder, "--solutions", str(tmp_path)))
    assert questions()["01.a"].measured in words
    assert "✓ measured" in words  # known from those who were right
    assert questions()["01.a"].question not in words


def test_one_lesson_alone(thirty):
    words = read_safely(page_of(thirty[0], "--lesson", "03"))
    assert "Lesson 03" in words
    assert not re.search(r"\b0[0124-9]\.\w", words)  # no exercise, prediction or question of another
    assert "Nobody has begun it." in read_safely(page_of(thirty[0], "--lesson", "08"))


def test_numbers_leave_no_name_on_the_page(thirty, capsys):
    folder, _ = thirty
    (folder / "empty folder of Erdős").mkdir(exist_ok=True)
    words = read_safely(page_of(folder, "--numbers"))
    said = capsys.readouterr().out
    assert not [name for name in [*NAMES, "Erdős"] if re.search(rf"\b{name}\b", words)]
    key = dict(re.findall(r"^ +(\d+)  (\w+)$", said, re.MULTILINE))
    assert sorted(key.values()) == sorted(NAMES)
    assert set(key) == {str(k) for k in range(1, 31)}
    assert "empty folder of Erdős: neither" in said


# One learner -----------------------------------------------------------------------------------------------------------
def learner_of(tmp_path, *events):
    return read_class(handed_in(tmp_path / "one", "ada", *events))[0][0]


def test_minutes_are_the_times_before_the_tries_without_the_pauses(tmp_path):
    learner = learner_of(
        tmp_path,
        event("chosen", "01.a", at(0), choice="up"),
        event("tried", "01.1", at(4), mistake=SIGN),
        event("settled", "01.a", at(5), choice="up", right=True),
        event("passed", "01.1", at(8)),
        event("passed", "01.2", at(38)),  # half an hour without an entry
        event("tried", "01.3", at(40), mistake=""),
        event("tried", "01.3", at(1, day=6), mistake=""),  # the next day
        event("tried", "01.3", at(0, day=6), mistake=""),  # the clock was set back
        event("passed", "01.3", at(3, day=6)),
        event("tried", "01.1", at(9, day=6), mistake=SIGN),  # after the pass: for the fun of it
        event("passed", "01.1", at(10, day=6)),
    )
    works = works_of(learner)
    assert works["01.1"] == (True, (SIGN,), 4 + 3)
    assert works["01.2"] == (True, (), None)
    assert works["01.3"] == (True, ("", "", ""), 2 + 3)
    assert works_of(learner, timedelta(minutes=45))["01.2"].minutes == 30
    assert works["01.1"].tries == 2


def test_stuck_is_three_times_the_same_or_ten_tries_and_no_pass(tmp_path):
    other = list(all_exercises()["01.1"].mistakes)[1]

    def stuck(*mistakes, passed=False):
        events = [event("tried", "01.1", mistake=mistake) for mistake in mistakes]
        events += [event("passed", "01.1")] if passed else []
        return [(one.mistake, one.times) for one in stuck_at("ada", works_of(learner_of(tmp_path, *events)))]

    assert stuck(SIGN, SIGN) == []
    assert stuck(SIGN, SIGN, SIGN) == [(SIGN, 3)]
    assert stuck(SIGN, SIGN, SIGN, passed=True) == []
    assert stuck(SIGN, SIGN, other, SIGN) == []
    assert stuck(SIGN, SIGN, SIGN, SIGN, other) == [(SIGN, 4)]
    assert stuck("", "", "") == []
    assert stuck(*[""] * 10) == [("", 10)]
    assert stuck(*["An unknown sentence."] * 10) == [("", 10)]


def test_a_sentence_or_an_option_that_the_course_does_not_know_is_counted_and_not_shown(tmp_path):
    folder = handed_in(
        tmp_path / "class",
        "ada",
        event("tried", "01.1", mistake="The teacher is a fool."),
        event("tried", "77.7", mistake="The teacher is a fool."),
        event("chosen", "01.a", choice="The teacher is a fool."),
        event("chosen", "77.a", choice="The teacher is a fool."),
        event("recalled", "77.r1", right=False),
    )
    words = read_safely(page_of(folder))
    assert "fool" not in words
    assert "77." not in words
    assert "of another version" in words
    found = found_in(folder)
    assert found.exercises["01.1"].unnamed == 1
    assert [split.others for split in found.splits] == [1]


def test_questions_are_ranked_by_the_first_answers(tmp_path):
    folder = tmp_path / "class"
    handed_in(folder, "ada", event("recalled", "02.r1", right=False), event("recalled", "02.r1", right=True))
    handed_in(folder, "bob", event("recalled", "02.r1", right=True), event("recalled", "01.r1", right=False))
    handed_in(folder, "eve", event("recalled", "02.r1", right=True), event("recalled", "03.r1", right=True))
    assert found_in(folder).recalls == [("01.r1", 1, 1), ("02.r1", 1, 3)]
    words = read_safely(page_of(folder))  # though nobody has begun a lesson
    assert words.index(QUESTIONS["01.r1"].question) < words.index(QUESTIONS["02.r1"].question)
    assert "1 of 3" in words


def test_the_last_day_is_none_that_lies_in_the_future(tmp_path):
    learner = learner_of(
        tmp_path, event("passed", "01.1"), event("passed", "01.2", "9999-12-31T23:59:59+00:00")
    )
    found = class_of([learner], {}, TODAY)
    assert found.days == ["2026-10-05"]
    assert found.works[0]["01.2"].minutes is None


@pytest.mark.parametrize(
    "text", ["", "2026-10-05", "soon", "2026-13-45T00:00:00", "2026-10-05T", None, 7, "9" * 5000]
)
def test_what_is_no_time_is_none(text):
    assert moment(text) is None


def test_times_with_and_without_zones_can_be_compared():
    times = [
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        "2026-10-05T08:00:00",
        "2026-10-05T08:00:00Z",
    ]
    found = [moment(text) for text in times]
    assert found[2] == found[3]
    assert found[0] < found[2] < found[1]
    assert found[1] - found[0] > timedelta(days=1)


# Where files are ---------------------------------------------------------------------------------------------------------
PLACES = [
    "{}/progress.jsonl",
    "{}.jsonl",
    "submitted/{}/lesson 01/progress.jsonl",
    "{}/.local/share/gradutils/progress.jsonl",
    "{}/Library/Application Support/gradutils/progress.jsonl",
    "{}/AppData/Local/gradutils/progress.jsonl",
    "{}_progress.jsonl",
    "{} progress (1).jsonl",
]


@pytest.mark.parametrize("place", PLACES)
def test_the_class_is_the_same_wherever_its_files_are(thirty, tmp_path, place):
    folder, _ = thirty
    for name in NAMES[:5]:
        to = tmp_path / "class" / place.format(name)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / name / "progress.jsonl", to)
    learners, skipped, count = read_class(tmp_path / "class")
    assert [learner.name for learner in learners] == NAMES[:5]
    assert (skipped, count) == ([], 5)
    assert learners[0].steps == read_learner("Ada", [folder / "Ada" / "progress.jsonl"])[0].steps


def test_copies_of_one_log_count_once(thirty, tmp_path):
    whole = (thirty[0] / "Ada" / "progress.jsonl").read_bytes()
    for assignment, share in (("ps2", 0.5), ("ps10", 1.0), ("ps1", 0.2)):
        to = tmp_path / "submitted" / "Ada" / assignment / "progress.jsonl"
        to.parent.mkdir(parents=True)
        lines = whole.splitlines(keepends=True)
        to.write_bytes(b"".join(lines[: round(len(lines) * share)]))
    (learner,), skipped, count = read_class(tmp_path)
    assert learner.steps == read_learner("Ada", [thirty[0] / "Ada" / "progress.jsonl"])[0].steps
    assert (skipped, count) == ([], 3)
    assert merged([b"a\nb", b"b\na\nc\na"]).split() == [b"a", b"a", b"b", b"c"]


def test_an_older_file_counts_by_the_present_numbers(tmp_path):
    ada = tmp_path / "class" / "ada"
    ada.mkdir(parents=True)
    older = {
        "exercises": {"01.1": "2026-01-05", "09.1": "2026-01-06"},
        "predictions": {"01.a": {"choice": "up"}},
    }
    (ada / "progress.json").write_text(json.dumps(older))
    (ada / "progress.jsonl").write_bytes(log(event("tried", "01.1", mistake=SIGN), event("passed", "01.2")))
    found = found_in(tmp_path / "class")
    assert {key: work.passed for key, work in found.works[0].items()} == {
        "01.1": True,
        "12.1": True,
        "01.2": True,
    }
    assert found.works[0]["01.1"].mistakes == ()  # it had been passed before


def test_a_learners_own_folder_is_a_class_of_one(tmp_path):
    words = read_safely(page_of(handed_in(tmp_path / "Ada", "progress", event("passed", "01.1"))))
    assert "A class of one" in words
    assert "Ada" in words


def test_an_empty_log_is_a_learner_who_has_not_begun(tmp_path):
    folder = handed_in(tmp_path / "class", "ada", event("passed", "01.1"))
    (folder / "bob.jsonl").write_bytes(b"")
    learners, skipped, _ = read_class(folder)
    assert [learner.name for learner in learners] == ["ada", "bob"]
    assert not skipped
    assert "1 of 2 have tried something" in read_safely(page_of(folder))


# What people put there ---------------------------------------------------------------------------------------------------
BIDI = "\u202egnp.exe\u2066\u200f"
EVIL = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</table></section><h1>",
    "&lt;b&gt; \x1b[31m\x07",
]


def hostile_class(folder):
    """Every file that a learner could hand in to do harm, beside two that are well."""
    handed_in(folder, "ada", event("passed", "01.1"), event("tried", "01.2", mistake=""))
    texts = [*EVIL, BIDI, "\ud800", "A" * 90_000, "</style><script>", "{", "'\"`"]
    handed_in(
        folder,
        "mallory",
        *(event("tried", "01.1", mistake=text) for text in texts),
        *(event("tried", text, mistake=SIGN) for text in texts),
        *(event("chosen", "01.a", choice=text) for text in texts),
        *(event("chosen", f"01.{text}", choice=text) for text in texts),
        *(event("settled", "01.b", choice=text, right=True) for text in texts[:1]),
        *(event("passed", "01.2", text) for text in [*texts, "9999-12-31T23:59:59+00:00", "0000-00-00"]),
        *(
            event("tried", "01.3", f"{year}-01-01T00:00:00+00:00", mistake="")
            for year in (9999, "0001", 10**9)
        ),
        event("guessed", "12.1<b>", right=True, diagnose=True),
    )
    broken = {
        "long line": b'{"event"' + b"x" * 5_000_000,
        "huge number": b'\n{"v": 2, "event": "passed", "id": "01.1", "at": ' + b"9" * 20_000 + b"}",
        "deep": b'\n{"event": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        "binary": bytes(range(256)) * 4000,
        "wide": "\n{}".format(json.dumps(event("passed", "01.1"))).encode("utf-16"),
        "ten megabytes": log(event("passed", "01.1")) + b"\n" + b" " * 10_000_000,
        "a list": b"[1, 2, 3]",
    }
    for name, content in broken.items():
        (folder / f"{name}.jsonl").write_bytes(content)
    (folder / "deep.json").write_bytes(b"[" * 100_000)
    (folder / "nothing of ours.json").write_bytes(b'{"name": "package"}')
    (folder / "notes.txt").write_text("hello")
    (folder / "no files").mkdir()
    if os.name != "nt":
        for name in [*(text.replace("/", "∕") for text in EVIL), BIDI, "x" * 240]:
            handed_in(folder, name, event("passed", "01.1"))
        os.mkfifo(folder / "pipe.jsonl")
        (folder / "piped").mkdir()
        os.mkfifo(folder / "piped" / "progress.jsonl")
        (folder / "loop").symlink_to(folder)
        (folder / "stolen.jsonl").symlink_to("/etc/passwd")
        (folder / "round").mkdir()
        (folder / "round" / "again").symlink_to(folder / "round")
        (folder / "round" / "progress.jsonl").symlink_to(folder / "ada.jsonl")
        (folder / "endless").mkdir()
        (folder / "endless" / "progress.jsonl").symlink_to("/dev/zero")
    (folder / "a folder.jsonl").mkdir()
    return folder


def test_hostile_files_neither_run_nor_break_the_page(tmp_path, capsys):
    page = page_of(hostile_class(tmp_path / "class"))
    words = read_safely(page)
    assert len(page) < 150_000
    assert "ada" in words
    assert "mallory" in words
    assert "AAAAA" not in page
    said = capsys.readouterr().out
    assert all(c.isprintable() or c == "\n" for c in said)
    for text in (words, said):
        why = " ".join(text.split())
        assert "nothing in it is an entry of this course" in why
        assert "it is larger than 4 MB; only what stands before counts" in why
        assert "its name does not end in .jsonl" in why
        assert "of its entries cannot be read, and are left out" in why
        assert "neither progress.jsonl nor progress.json is in it" in why
    assert "deep.json: it cannot be read (it is nested too deeply)" in said


@no_links
def test_links_and_pipes_are_named_and_not_opened(tmp_path):
    learners, skipped, _ = read_class(hostile_class(tmp_path / "class"))
    why = dict(skipped)
    for name in ("loop", "stolen.jsonl"):
        assert why[name] == "it is a link, and links are not followed"
    assert why["pipe.jsonl"] == "it is not a file"
    assert why["piped/progress.jsonl"] == "it cannot be read (it is not a file)"
    assert why["round"] == "neither progress.jsonl nor progress.json is in it; progress.jsonl is a link"
    assert "root" not in [learner.name for learner in learners]


def test_without_the_solutions_hostile_options_are_escaped_and_cut(tmp_path):
    page = page_of(hostile_class(tmp_path / "class"), "--solutions", str(tmp_path))
    words = read_safely(page)
    assert "<script>alert(1)</script>" in words  # as words
    assert "A" * 200 not in page


def test_a_home_with_too_many_files_is_searched_from_the_top(tmp_path, monkeypatch):
    monkeypatch.setattr(files_room, "ENTRIES", 30)
    home = tmp_path / "class" / "ada"
    (home / "deep" / "er").mkdir(parents=True)
    (home / "progress.jsonl").write_bytes(log(event("passed", "01.1")))
    for k in range(60):
        (home / "deep" / f"{k}").touch()
    (learner,), skipped, _ = read_class(tmp_path / "class")
    assert list(learner.passed) == ["01.1"]
    assert skipped == [("ada", "it holds more than 30 files; the rest was not searched")]


def test_a_file_that_may_not_be_read_is_said_and_the_others_count(tmp_path, monkeypatch):
    folder = handed_in(tmp_path / "class", "ada", event("passed", "01.1"))
    handed_in(folder, "bob", event("passed", "01.1"))
    really = files_room.content_of

    def refused(path):
        if path.stem == "bob":
            raise PermissionError(13, "Permission denied", str(path))
        return really(path)

    monkeypatch.setattr(files_room, "content_of", refused)
    learners, skipped, _ = read_class(folder)
    assert [learner.name for learner in learners] == ["ada"]
    assert skipped == [("bob.jsonl", "it cannot be read (Permission denied)")]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(logged=LOGS, older=OLDER_FILES)
def test_whatever_the_files_hold_there_is_a_page(tmp_path, logged, older):
    folder = handed_in(tmp_path / "class", "bob", event("passed", "01.1"))
    (folder / "ada.jsonl").write_bytes(logged)
    (folder / "ada.json").write_bytes(older)
    learners, skipped, files = read_class(folder)
    found = class_of(learners, questions(), TODAY)
    read_safely(command.page.write(found, skipped, files, lessons=found.touched, minutes=20, today=TODAY))


# Bad input ---------------------------------------------------------------------------------------------------------------
def fails(capsys, *arguments):
    """What is said where it cannot be done."""
    assert command.main([str(one) for one in arguments]) == 2
    captured = capsys.readouterr()
    assert not captured.out
    assert "Traceback" not in captured.err
    return captured.err


def test_what_is_no_folder_gets_a_sentence(tmp_path, capsys):
    out = tmp_path / "class.html"
    (tmp_path / "file").touch()
    assert fails(capsys, tmp_path / "none", "--out", out) == f"There is no folder {tmp_path / 'none'}.\n"
    assert fails(capsys, tmp_path / "file", "--out", out).startswith(
        f"{tmp_path / 'file'} is a file. Give the folder"
    )
    assert "cannot be read" in fails(capsys, "nul\0byte", "--out", out)
    assert not out.exists()


def test_a_folder_that_may_not_be_read_gets_a_sentence(tmp_path, capsys, monkeypatch):
    def refused(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(files_room.os, "scandir", refused)
    said = fails(capsys, tmp_path, "--out", tmp_path / "class.html")
    assert said == f"The folder {tmp_path} cannot be read (Permission denied).\n"


def test_a_folder_without_learners_says_what_it_may_hold(tmp_path, capsys):
    (tmp_path / "notes.txt").touch()
    said = fails(capsys, tmp_path, "--out", tmp_path / "class.html")
    assert said.startswith(
        f"No learner's file was found in {tmp_path}.\n  notes.txt: its name does not end in .jsonl\n"
    )
    assert "NAME/progress.jsonl" in said
    assert not (tmp_path / "class.html").exists()


def test_a_page_takes_the_place_of_a_page_and_of_nothing_else(tmp_path, capsys):
    folder = handed_in(tmp_path / "class", "ada", event("passed", "01.1"))
    other = tmp_path / "thesis.html"
    other.write_text("<p>Three years of work.</p>")
    assert "is no class page. It is left as it is" in fails(capsys, folder, "--out", other)
    assert other.read_text() == "<p>Three years of work.</p>"
    assert "must end in .html" in fails(capsys, folder, "--out", tmp_path / "class.pdf")
    assert "There is no folder" in fails(capsys, folder, "--out", tmp_path / "none" / "class.html")
    (tmp_path / "dir.html").mkdir()
    assert "is no class page" in fails(capsys, folder, "--out", tmp_path / "dir.html")
    page_of(folder)
    (folder / "bob.jsonl").write_bytes(b"")
    assert "A class of 2" in page_of(folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "class",
        "class.html",
        "dir.html",
        "thesis.html",
    ]


def test_a_full_disk_costs_no_older_page(tmp_path, capsys, monkeypatch):
    folder = handed_in(tmp_path / "class", "ada", event("passed", "01.1"))
    before = page_of(folder)
    capsys.readouterr()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(command.os, "replace", full)
    assert "cannot be written (No space left on device)" in fails(
        capsys, folder, "--out", tmp_path / "class.html"
    )
    assert (tmp_path / "class.html").read_text(encoding="utf-8") == before
    assert len(list(tmp_path.iterdir())) == 2


def test_solutions_that_are_none_get_a_sentence(tmp_path, capsys):
    folder = handed_in(tmp_path / "class", "ada", event("passed", "01.1"))
    (tmp_path / "01_gradient_descent.ipynb").write_text("{")
    said = fails(capsys, folder, "--out", tmp_path / "class.html", "--solutions", tmp_path)
    assert said == f"{tmp_path / '01_gradient_descent.ipynb'} is no notebook that can be read.\n"


@pytest.mark.parametrize(
    "options", [["--pause", "0"], ["--pause", "nan"], ["--pause", "a while"], ["--lesson", "77"], []]
)
def test_options_that_are_none_get_a_sentence(tmp_path, capsys, options):
    with pytest.raises(SystemExit) as stopped:
        command.main([*(["folder"] if options else []), *options])
    assert stopped.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_the_help_says_where_files_may_be(capsys):
    with pytest.raises(SystemExit) as stopped:
        command.main(["--help"])
    assert stopped.value.code == 0
    said = " ".join(capsys.readouterr().out.split())
    assert all(
        words in said for words in ("nothing is sent anywhere", "submitted/NAME/ASSIGNMENT", "--no-answers")
    )


def test_reading_changes_no_file(thirty):
    folder, _ = thirty

    def stamps():
        return {
            path: (path.stat().st_mtime_ns, path.stat().st_size) for path in Path(folder).rglob("*.jsonl")
        }

    before = stamps()
    page_of(folder)
    assert stamps() == before
