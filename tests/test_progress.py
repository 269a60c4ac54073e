"""Progress is one small log; nothing that happens to it is a traceback, and nothing in it is lost."""

import json
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from gradutils.course.certificate import certificate
from gradutils.course.clinic.practice import hit_rate
from gradutils.course.exercises import all_exercises
from gradutils.course.progress import (
    Guess,
    Prediction,
    Recalled,
    State,
    learner,
    lessons,
    progress,
    progress_file,
    read,
    record_choice,
    record_guess,
    record_pass,
    record_recalled,
    record_settled,
    record_try,
)

module = import_module("gradutils.course.progress")  # the face has a function of this name
no_links = pytest.mark.skipif(os.name == "nt", reason="links need rights there, and there are no pipes")
ROOT = Path(__file__).parent.parent


def logged(home):
    """The log's whole lines, as objects."""
    return [json.loads(line) for line in (home / "progress.jsonl").read_bytes().splitlines() if line]


def written(home, name, content):
    home.mkdir(exist_ok=True)
    (home / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return home / name


def line(**fields):
    return "\n" + json.dumps({"v": 2} | fields)


PASSED = line(event="passed", id="01.1", at="2026-01-01")


# The log ---------------------------------------------------------------------------------------------------------------
def test_the_first_day(home):
    assert read() == State()
    assert not home.exists()  # reading makes nothing
    record_pass("01.1")
    assert progress_file() == home / "progress.jsonl"
    assert list(home.iterdir()) == [progress_file()]
    assert list(read().passed) == ["01.1"]


def test_each_event_is_one_line_of_one_write(home, monkeypatch):
    sizes = []

    class Counted(module.FileIO):
        def write(self, content):
            sizes.append(len(content))
            return super().write(content)

    monkeypatch.setattr(module, "FileIO", Counted)
    record_pass("01.1")
    record_try("01.2", "It walks\nuphill: Ł")
    record_choice("01.a", "down")
    record_settled("01.a", "down", False)
    record_guess(5, True, False)
    record_recalled("01.r1", True)
    content = progress_file().read_bytes()
    assert sum(sizes) == len(content)
    assert len(sizes) == content.count(b"\n") == 6
    assert content.startswith(b"\n{")
    assert content.endswith(b"}")
    assert all(event["v"] == 2 and event["at"][:2] == "20" for event in logged(home))
    (day,) = read().passed.values()
    assert len(day) == len("2026-01-01")
    assert read() == State(
        {"01.1": day}, {"01.2": ["It walks\nuphill: Ł"]}, {"01.a": Prediction("down", False)}, {"5": Guess(True, False)},
        {"01.r1": [Recalled(day, True)]},
    )  # fmt: skip


def test_the_first_pass_the_last_choice_and_the_first_guess_count(home):
    events = [
        line(event="passed", id="01.1", at="2026-01-01"), line(event="passed", id="01.1", at="2026-02-02"),
        line(event="chosen", id="01.a", choice="up"), line(event="chosen", id="01.a", choice="down"),
        line(event="settled", id="01.a", choice="down", right=True), line(event="chosen", id="01.a", choice="up"),
        line(event="settled", id="01.a", choice="up", right=False), line(event="settled", id="01.b", choice="x", right=False),
        line(event="guessed", id="5", right=False, diagnose=True), line(event="guessed", id="5", right=True, diagnose=True),
        line(event="tried", id="01.2", mistake=""), line(event="tried", id="01.2", mistake="the sign"),
    ]  # fmt: skip
    written(home, "progress.jsonl", "".join(events))
    assert read() == State(
        {"01.1": "2026-01-01"},
        {"01.2": ["", "the sign"]},
        {"01.a": Prediction("down", True), "01.b": Prediction("x", False)},
        {"5": Guess(False, True)},
    )


DAMAGE = [
    "{", "null", "[]", "3", '"event"', '"passed"', "{}", '{"event": "passed"}', "[" * 90_000, '{"event":' * 10_000, "\x00\x01",
    "1" * 10_000, PASSED[:-1], PASSED[5:], PASSED.replace("2,", "3,", 1), PASSED.replace("passed", "healed"),
    PASSED.replace('"2026-01-01"', "5"), PASSED.replace("2026-01-01", "yesterday"), PASSED.replace('"01.1"', '["01.1"]'),
    line(event="settled", id="01.a", choice="up", right=1), line(event="chosen", id="01.a", choice=None),
    line(event="guessed", id="5", right=True), line(event="tried", id="01.1"), line(event="tried", id="01.1", mistake=["a"]),
    line(event="recalled", id="01.r1", right=True), line(event="recalled", id="01.r1", right="yes", at="2026-01-01"),
    line(event="learner", id="\udc80"), line(event="learner", id=7), line(event="learner", id=""),
    line(event="passed", id="01.1", at="2026-01-01", note="x" * 100_001), b"\xff\xfe\x00{", PASSED.encode("utf-16"),
]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE, ids=range(len(DAMAGE)))
def test_what_cannot_be_read_costs_only_itself(home, capsys, damage):
    damage = damage if isinstance(damage, bytes) else damage.encode()
    before = line(event="passed", id="02.1", at="2026-01-01").encode() + b"\n" + damage
    path = written(home, "progress.jsonl", before)
    assert list(read().passed) == ["02.1"]
    assert read().skipped >= 1
    record_pass("02.2")
    assert list(read().passed) == ["02.1", "02.2"]
    assert "cannot be read, and stay as they are" in str(progress())
    assert "cannot be read, and stay as they are" in certificate().html
    assert path.read_bytes().startswith(before)
    assert capsys.readouterr().out == ""


def test_more_fields_an_editors_marks_and_empty_lines_do_no_harm(home):
    events = (
        PASSED.replace("}", ', "minutes": [3]}') + "\n\n  " + line(event="tried", id="01.2", mistake="a")[1:]
    )
    written(home, "progress.jsonl", events.replace("\n", "\r\n").strip().encode("utf-8-sig"))
    record_pass("01.3")
    state = read()
    assert list(state.passed) == ["01.1", "01.3"]
    assert (state.tries, state.skipped) == ({"01.2": ["a"]}, 0)
    assert "could not be read" not in str(progress())


def test_a_line_torn_anywhere_costs_only_itself(home):
    record_pass("01.1")
    first = len(progress_file().read_bytes())
    record_choice("01.a", "aufwärts")
    whole = progress_file().read_bytes()
    for end in range(first, len(whole)):
        progress_file().write_bytes(whole[:end])
        record_pass("01.2")
        state = read()
        assert list(state.passed) == ["01.1", "01.2"], whole[:end]
        assert state.predictions == {}
        assert state.skipped == (end > first + 1)  # a newline alone is nothing


def test_a_learner_keeps_one_number(home):
    number = learner()
    assert number == learner() == read().learner
    written(home, "progress.jsonl", progress_file().read_bytes() + line(event="learner", id="later").encode())
    assert learner() == number  # of two kernels that began together the first counts
    assert [event["event"] for event in logged(home)] == ["learner"] * 2


def test_a_learner_whose_file_cannot_be_written_keeps_a_number_for_this_kernel(home):
    home.write_text("a file where the folder should be")
    assert learner() == learner()
    home.unlink()
    record_pass("01.1")
    assert [event["event"] for event in logged(home)] == ["learner", "passed"]


def test_half_a_letter_is_kept(home):
    record_choice("00.b", "\udc80")
    assert read().predictions["00.b"].choice == "\udc80"


# The folder ------------------------------------------------------------------------------------------------------------
def test_a_folder_may_be_named_from_home_or_from_here(home, tmp_path, monkeypatch):
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path / "me"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("GRADUTILS_HOME", "~/course")
    record_pass("01.1")
    assert (tmp_path / "me" / "course" / "progress.jsonl").is_file()
    monkeypatch.setenv("GRADUTILS_HOME", "there")
    record_pass("01.1")
    assert progress_file() == tmp_path / "here" / "there" / "progress.jsonl"
    monkeypatch.delenv("GRADUTILS_HOME")
    assert progress_file().is_absolute()
    assert progress_file().parent.name == "gradutils"
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["there"]


@pytest.mark.skipif(os.name == "nt", reason="there every name has a home")
def test_nobodys_home_is_a_sentence(home, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRADUTILS_HOME", "~nobody-of-this-name/course")
    record_pass("01.1")
    assert "kept in ~nobody-of-this-name/course/progress.jsonl just now (Could not" in capsys.readouterr().out
    assert list(read().passed) == ["01.1"]
    assert list(tmp_path.iterdir()) == []


# The file of before the log --------------------------------------------------------------------------------------------
OLDER = {
    "exercises": {"01.1": "2025-12-31", "09.4": "2026-01-02"},
    "predictions": {"00.a": {"choice": "up", "right": True}, "01.a": {"choice": "down"}, "01.b": {"choice": "x", "right": None}},
    "guesses": {"5": {"right": True, "diagnose": False}},
    "healed": ["patient 3"],
}  # fmt: skip
KNOWN = State(
    {"01.1": "2025-12-31", "12.4": "2026-01-02"},
    {},
    {"00.a": Prediction("up", True), "01.a": Prediction("down"), "01.b": Prediction("x")},
    {"5": Guess(True, False)},
)


def test_an_older_file_alone(home, capsys):
    path = written(home, "progress.json", json.dumps(OLDER, indent=1).encode("utf-8-sig"))
    before = path.read_bytes()
    assert read() == KNOWN
    assert "Patients healed: 1 of 19" in certificate().text
    assert "From 2025-12-31 to 2026-01-02." in certificate().text
    hit_rate()
    assert re.search(r"new +1 +1 +0\n", capsys.readouterr().out)
    assert path.read_bytes() == before
    assert list(home.iterdir()) == [path]


def test_an_older_file_and_the_log_after_it(home):
    path = written(home, "progress.json", json.dumps(OLDER))
    record_pass("01.1")
    record_pass("01.2")
    record_choice("00.a", "down")  # settled long ago
    record_settled("01.a", "down", False)
    record_guess(5, False, True)
    state = read()
    assert state.passed["01.1"] == "2025-12-31"
    assert set(state.passed) == {"01.1", "12.4", "01.2"}
    assert state.predictions["00.a"] == Prediction("up", True)
    assert state.predictions["01.a"] == Prediction("down", False)
    assert state.guesses == KNOWN.guesses
    assert json.loads(path.read_text()) == OLDER


def test_events_of_an_earlier_numbering_of_the_lessons(home):
    written(
        home,
        "progress.jsonl",
        line(v=1, event="passed", id="09.4", at="2026-01-02")
        + line(v=1, event="settled", id="10.a", choice="x", right=True)
        + line(v=1, event="passed", id="01.1", at="2026-01-02")
        + line(event="passed", id="09.1", at="2026-02-01")
        + line(event="chosen", id="10.a", choice="y"),
    )
    state = read()
    assert state.passed == {"12.4": "2026-01-02", "01.1": "2026-01-02", "09.1": "2026-02-01"}
    assert state.predictions == {"13.a": Prediction("x", True), "10.a": Prediction("y")}
    assert not state.skipped


@pytest.mark.parametrize(
    "damage",
    ["{", "[" * 100_000, "\x00\x01", '{"exercises": {"01.1": "2026-01-01"}', b"\xff\xfe\x00{", "1" * 10_000],
)
def test_a_damaged_older_file_is_a_sentence_and_stays(home, capsys, damage):
    path = written(home, "progress.json", damage)
    before = path.read_bytes()
    assert read() == read() == State()
    assert capsys.readouterr().out.count(f"The older progress file {path} could not be read (") == 1
    record_pass("00.1")
    assert list(read().passed) == ["00.1"]
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "odd", ["null", "[]", "3", '{"exercises": []}', '{"predictions": {"00.a": 3}}', '{"predictions": {"00.a": {"choice": 3}}}',
    '{"exercises": {"01.2": 3}}', '{"exercises": {"01.2": ""}}', '{"guesses": [1, 2]}', '{"guesses": {"1": {"right": true}}}',
    '{"guesses": {"1": "x"}}', '{"predictions": {"00.a": {"choice": "x", "right": "yes"}}}'],
)  # fmt: skip
def test_odd_entries_of_an_older_file_are_skipped(home, capsys, odd):
    odd = json.loads(odd)
    written(
        home,
        "progress.json",
        json.dumps({"exercises": {"01.1": "2026-01-01"}} | odd if isinstance(odd, dict) else odd),
    )
    state = read()
    assert state.skipped > 0
    assert not state.predictions and not state.guesses and "01.2" not in state.passed  # noqa: PT018
    hit_rate()
    assert re.search(r"new +0 +0 +0\n", capsys.readouterr().out)
    assert "stay as they are" in str(progress())


def test_an_empty_older_file_is_nothing(home, capsys):
    written(home, "progress.json", "")
    assert read() == State()
    assert capsys.readouterr().out == ""


@no_links
@pytest.mark.parametrize(
    "obstacle", [Path.mkdir, lambda path: path.symlink_to(path), lambda path: os.mkfifo(path)]
)
def test_something_else_in_place_of_the_older_file(home, capsys, obstacle):
    home.mkdir()
    obstacle(home / "progress.json")
    record_pass("01.1")
    assert capsys.readouterr().out == ""
    assert list(read().passed) == ["01.1"]
    assert "The older progress file" in capsys.readouterr().out
    assert read().skipped == 0


@no_links
def test_a_link_stays_a_link(home, tmp_path):
    home.mkdir()
    progress_file().symlink_to(tmp_path / "elsewhere.jsonl")
    record_pass("01.1")
    assert progress_file().is_symlink()
    assert "01.1" in (tmp_path / "elsewhere.jsonl").read_text()


# The table -------------------------------------------------------------------------------------------------------------
def test_the_table(home):
    record_pass("01.1")
    record_settled("01.a", "it grows", True)
    record_choice("01.b", "higher")
    text = str(progress())
    assert "✓ 01.1" in text
    assert "○ 01.2" in text
    row = next(line for line in text.splitlines() if line.startswith("01"))
    assert row.split("01.6")[1].split()[:6] == ["1", "of", "4", "0", "of", "2"]
    assert "2 made, 1 of 1 right" in text
    assert "✓&nbsp;01.1  ○&nbsp;01.2" in progress("01")._repr_mimebundle_()["text/html"]
    with pytest.raises(ValueError, match="lesson must be one of"):
        progress("99")
    assert "\n13" not in text
    record_recalled("01.r2", True)  # asked in lesson 02
    record_recalled("01.r3", True)
    record_recalled("01.r3", False)  # the last answer counts
    assert "0 of 5" in str(progress("02"))
    assert "1 of 3" in str(progress("02"))
    record_choice("13.a", "at most 7")  # a lesson without exercises is shown for its predictions
    assert str(progress()).splitlines()[-1].split() == ["13", "1", "made"]
    assert str(progress("13")).splitlines()[-1].split() == ["13", "1", "made"]


def test_core_and_deeper_are_counted_apart(home):
    deeper = [key for key, exercise in all_exercises().items() if exercise.deeper]
    assert {"01.5", "01.6"} <= set(deeper)
    record_pass("01.1")
    record_pass("01.6")
    row = str(progress("01")).splitlines()[1]
    assert "○ 01.4  Deeper: ○ 01.5  ✓ 01.6" in row
    assert row.split("01.6")[1].split() == ["1", "of", "4", "1", "of", "2", "0", "made"]
    core = len(all_exercises()) - len(deeper)
    assert f"Of the core 1 of {core}, of what is deeper 1 of {len(deeper)}." in certificate().text
    record_recalled("01.r2", True)
    record_recalled("01.r3", False)
    assert "Questions on earlier lessons answered: 2, of which 1 are known." in certificate().text


def test_the_lessons_are_those_of_the_course():
    assert lessons() == sorted(path.name[:2] for path in (ROOT / "solutions").glob("[0-9][0-9]_*.py"))


def test_a_file_from_elsewhere_brings_no_html(home, tmp_path):
    sly = "<img src=x onerror=alert(1)>"
    written(
        home,
        "progress.json",
        json.dumps({"predictions": {f"{sly}.1": {"choice": sly, "right": True}}, "exercises": {sly: sly}}),
    )
    record_settled(f"{sly}.2", sly, True)
    record_settled(f"01.{sly}", sly, True)
    record_try(sly, sly)
    record_recalled(sly, True)
    assert "img" not in str(progress())
    certificate(sly, tmp_path / "page.html")
    for html in (
        progress().html,
        certificate(sly).html,
        (tmp_path / "page.html").read_text(encoding="utf-8"),
    ):
        assert "<img" not in html
    assert "Predictions settled: 1, " in certificate().text  # that of a lesson
    assert "&lt;img" in module._html([(sly,)])  # and every cell is escaped


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_the_table_can_be_printed_anywhere(home, encoding):
    record_pass("01.1")
    code = "from gradutils.course import certificate, progress; print(progress('01')); print(certificate()); progress()"
    environment = os.environ | {"GRADUTILS_HOME": str(home), "PYTHONIOENCODING": encoding}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    marks = "✓ 01.1  ○ 01.2" if encoding == "utf-8" else "+ 01.1  - 01.2"
    assert done.stdout.decode(encoding).count(marks) == 2
