"""Progress is one small log; nothing that happens to it is a traceback, and nothing in it is lost."""

import errno
import json
import os
import subprocess
import sys
import threading
import tracemalloc
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gradutils.course.certificate import certificate
from gradutils.course.clinic.practice import hit_rate
from gradutils.course.progress import (
    Guess,
    Prediction,
    State,
    lessons,
    progress,
    progress_file,
    read,
    record_choice,
    record_guess,
    record_pass,
    record_settled,
    record_try,
)
from gradutils.course.quiz import predict, reveal

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
    return "\n" + json.dumps({"v": 1} | fields)


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
    content = progress_file().read_bytes()
    assert sum(sizes) == len(content)
    assert len(sizes) == content.count(b"\n") == 5
    assert content.startswith(b"\n{")
    assert content.endswith(b"}")
    assert all(event["v"] == 1 and event["at"][:2] == "20" for event in logged(home))
    (day,) = read().passed.values()
    assert len(day) == len("2026-01-01")
    assert read() == State(
        {"01.1": day}, {"01.2": ["It walks\nuphill: Ł"]}, {"01.a": Prediction("down", False)}, {"5": Guess(True, False)}
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
    "1" * 10_000, PASSED[:-1], PASSED[5:], PASSED.replace("1,", "2,", 1), PASSED.replace("passed", "healed"),
    PASSED.replace('"2026-01-01"', "5"), PASSED.replace("2026-01-01", "yesterday"), PASSED.replace('"01.1"', '["01.1"]'),
    line(event="settled", id="01.a", choice="up", right=1), line(event="chosen", id="01.a", choice=None),
    line(event="guessed", id="5", right=True), line(event="tried", id="01.1"), line(event="tried", id="01.1", mistake=["a"]),
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
    assert "could not be read, and were left as they are" in str(progress())
    assert "could not be read, and were left as they are" in certificate().html
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
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["there"]


@pytest.mark.skipif(os.name == "nt", reason="there every name has a home")
def test_nobodys_home_is_a_sentence(home, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRADUTILS_HOME", "~nobody-of-this-name/course")
    record_pass("01.1")
    assert "kept in ~nobody-of-this-name/course/progress.jsonl just now (Could not" in capsys.readouterr().out
    assert list(read().passed) == ["01.1"]
    assert list(tmp_path.iterdir()) == []


# Where nothing can be written ------------------------------------------------------------------------------------------
def a_file_as_the_folder(home):
    home.write_text("a file where the folder should be")
    return home.unlink


def a_folder_as_the_file(home):
    (home / "progress.jsonl").mkdir(parents=True)
    return (home / "progress.jsonl").rmdir


def a_loop_of_links(home):
    home.mkdir()
    (home / "progress.jsonl").symlink_to("progress.jsonl")
    return (home / "progress.jsonl").unlink


def a_pipe(home):
    home.mkdir()
    os.mkfifo(home / "progress.jsonl")  # opening it would wait for somebody to read
    return (home / "progress.jsonl").unlink


def a_device(home):
    home.mkdir()
    (home / "progress.jsonl").symlink_to("/dev/zero")  # reading it would never end
    return (home / "progress.jsonl").unlink


@no_links
@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "obstacle", [a_file_as_the_folder, a_folder_as_the_file, a_loop_of_links, a_pipe, a_device]
)
def test_what_cannot_be_written_waits_and_counts(home, capsys, obstacle):
    home.parent.mkdir(exist_ok=True)
    remove = obstacle(home)
    record_pass("01.1")
    said = capsys.readouterr().out
    assert said.startswith(f"Progress cannot be kept in {home / 'progress.jsonl'} just now (")
    assert "until this kernel stops" in said
    record_pass("01.2")
    record_try("01.3", "the sign")
    predict("01.a", "Which way?", ["up", "down"], choice="up")
    assert list(read().passed) == ["01.1", "01.2"]
    assert "✓ 01.1" in str(progress("01"))
    assert "Progress" not in capsys.readouterr().out  # said once
    remove()
    record_pass("01.4")  # now it can be written, and what has waited is written before it
    assert [event["id"] for event in logged(home)] == ["01.1", "01.2", "01.3", "01.a", "01.4"]
    assert not module._waiting
    assert list(read().passed) == ["01.1", "01.2", "01.4"]


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC, errno.EMFILE])
def test_the_system_refuses(home, capsys, monkeypatch, number):
    record_pass("01.1")

    def refused(path, *_, **__):
        raise OSError(number, os.strerror(number), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(module.os, "open", refused)
        record_pass("01.2")
        assert list(read().passed) == ["01.2"]
    out = capsys.readouterr().out
    assert f"just now ({os.strerror(number)})" in out
    assert out.count("Progress cannot be kept") == 1
    record_pass("01.3")
    assert list(read().passed) == ["01.1", "01.2", "01.3"]


FULL = """
import resource
from gradutils.course.progress import progress_file, read, record_pass, record_try
record_pass("01.1")
most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
full = progress_file().stat().st_size + 25  # room for a part of a line
resource.setrlimit(resource.RLIMIT_FSIZE, (full, most))
record_pass("01.2")  # a part is written
record_pass("01.3")  # nothing is written
record_try("01.4", "the sign")
assert progress_file().stat().st_size == full
assert list(read().passed) == ["01.1", "01.2", "01.3"], read()
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
record_pass("01.5")
"""


@pytest.mark.skipif(os.name == "nt", reason="it has no such limit")
def test_a_disk_that_is_full_in_the_middle_of_a_line(home):
    said = run(FULL, home)
    assert said.count("Progress cannot be kept") == 1
    assert "only a part of a line found room" in said
    state = read()
    assert list(state.passed) == ["01.1", "01.2", "01.3", "01.5"]
    assert state.tries == {"01.4": ["the sign"]}
    assert state.skipped == 1  # the part


def test_an_interrupted_write_waits(home, monkeypatch):
    record_pass("01.1")
    for name in ("write", "close"):

        class Interrupted(module.FileIO):
            pass

        def interrupt(self, *_):
            raise KeyboardInterrupt

        setattr(Interrupted, name, interrupt)
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):  # noqa: PT012
            patch.setattr(module, "FileIO", Interrupted)
            record_pass("01.2")
        assert list(read().passed) == ["01.1", "01.2"]
    record_pass("01.3")
    assert {event["id"] for event in logged(home)} == {"01.1", "01.2", "01.3"}
    assert not module._waiting


def test_a_try_reads_nothing(home, monkeypatch):
    def slow(*_):
        raise AssertionError("a check would have to wait")

    monkeypatch.setattr(module, "_content", slow)
    record_try("01.1", "the sign")
    record_pass("01.1")
    assert len(logged(home)) == 2


# Limits ----------------------------------------------------------------------------------------------------------------
def test_a_log_beyond_the_limit_is_read_as_far_and_grows_no_more(home, capsys):
    path = written(
        home,
        "progress.jsonl",
        PASSED + "\n" * module.LIMIT + line(event="passed", id="09.9", at="2026-01-01"),
    )
    size = path.stat().st_size
    assert list(read().passed) == ["01.1"]
    assert read()
    record_pass("01.2")
    assert path.stat().st_size == size
    assert list(read().passed) == ["01.1", "01.2"]
    out = capsys.readouterr().out
    assert "it is larger than 4 MB" in out
    assert out.count("Progress cannot be kept") == 1
    path.unlink()
    record_pass("01.3")
    assert list(read().passed) == ["01.2", "01.3"]


def test_what_is_written_is_read_up_to_the_limit(home, monkeypatch):
    monkeypatch.setattr(module, "LIMIT", 2000)
    for number in range(100):
        record_try(str(number))
    assert 1800 < progress_file().stat().st_size <= 2000
    assert len(read().tries) == 100  # some of them from memory
    assert read().skipped == 0


@pytest.mark.parametrize("name", ["progress.jsonl", "progress.json"])
def test_gigabytes_are_left_unread(home, name, capsys):
    os.truncate(written(home, name, PASSED + "\n"), 5 * 10**9)
    tracemalloc.start()
    state = read()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50e6
    assert list(state.passed) == (["01.1"] if name == "progress.jsonl" else [])
    assert "it is larger than 4 MB" in capsys.readouterr().out


# Several at once -------------------------------------------------------------------------------------------------------
def run(code, home):
    environment = os.environ | {"GRADUTILS_HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_two_kernels_lose_nothing_and_see_each_other(home):
    code = "import sys\nfrom gradutils.course.progress import read, record_pass\nfor k in range(30): record_pass(f'{sys.argv[1]}.{k}')\nprint(len(read().passed))"
    environment = os.environ | {"GRADUTILS_HOME": str(home)}
    kernels = [
        subprocess.Popen([sys.executable, "-c", code, name], env=environment, stdout=subprocess.PIPE)
        for name in "ab"
    ]
    seen = [int(kernel.communicate(timeout=120)[0]) for kernel in kernels]
    assert len(read().passed) == max(seen) == 60


MANY = """
import os
from gradutils.course.progress import record_try
for name in range(12):
    if os.fork() == 0:
        for k in range(50):
            record_try(f"{name}.{k}", "m" * 300 * (k % 3))
        os._exit(0)
assert [os.wait()[1] for _ in range(12)] == [0] * 12
"""

KILLED = """
import os, random, signal, time
from importlib import import_module
module = import_module("gradutils.course.progress")
module.LIMIT = 10**9
for name in range(40):
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        for k in range(100_000):
            module.record_try(f"{name}.{k}", "m" * 2000)
            os.write(writer, b".")
    os.close(writer)
    os.read(reader, 1)  # it is at work
    time.sleep(random.random() / 100)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    count = 1
    while got := os.read(reader, 65536):
        count += len(got)
    print(count)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_twelve_processes_lose_nothing(home):
    run(MANY, home)
    state = read()
    assert len(state.tries) == 12 * 50
    assert all(len(made) == 1 for made in state.tries.values())
    assert state.skipped == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_kills_in_mid_write_cost_nothing_that_was_kept(home, monkeypatch):
    counts = list(map(int, run(KILLED, home).split()))
    monkeypatch.setattr(module, "LIMIT", 10**9)
    record_pass("01.1")
    state = read()
    kept = {f"{name}.{k}" for name, count in enumerate(counts) for k in range(count)}
    assert len(counts) == 40
    assert kept <= set(state.tries)
    assert len(state.tries) <= len(kept) + 40  # written, and killed before it was said
    assert state.skipped <= 40
    assert list(state.passed) == ["01.1"]


def test_threads_lose_nothing_and_write_nothing_twice(home):
    threads = [threading.Thread(target=record_try, args=(f"t.{k}",)) for k in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(event["id"] for event in logged(home)) == sorted(f"t.{k}" for k in range(24))


def test_what_waited_does_not_undo_what_another_kernel_settled(home, monkeypatch):
    home.parent.mkdir(exist_ok=True)
    home.write_text("in the way")
    record_choice("01.a", "up")
    home.unlink()
    run("from gradutils.course.progress import record_settled as s; s('01.a', 'down', True)", home)
    assert read().predictions == {"01.a": Prediction("down", True)}
    record_pass("01.1")
    assert read().predictions == {"01.a": Prediction("down", True)}


# The file of before the log --------------------------------------------------------------------------------------------
OLDER = {
    "exercises": {"01.1": "2025-12-31", "09.4": "2026-01-02"},
    "predictions": {"00.a": {"choice": "up", "right": True}, "01.a": {"choice": "down"}, "01.b": {"choice": "x", "right": None}},
    "guesses": {"5": {"right": True, "diagnose": False}},
    "healed": ["patient 3"],
}  # fmt: skip
KNOWN = State(
    {"01.1": "2025-12-31", "09.4": "2026-01-02"},
    {},
    {"00.a": Prediction("up", True), "01.a": Prediction("down"), "01.b": Prediction("x")},
    {"5": Guess(True, False)},
)


def test_an_older_file_alone(home, capsys):
    path = written(home, "progress.json", json.dumps(OLDER, indent=1).encode("utf-8-sig"))
    before = path.read_bytes()
    assert read() == KNOWN
    assert "Patients healed: 1 of 15" in certificate().text
    assert "From 2025-12-31 to 2026-01-02." in certificate().text
    hit_rate()
    assert capsys.readouterr().out == "New patients: 1. You: 1 right. diagnose: 0 right.\n"
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
    assert set(state.passed) == {"01.1", "09.4", "01.2"}
    assert state.predictions["00.a"] == Prediction("up", True)
    assert state.predictions["01.a"] == Prediction("down", False)
    assert state.guesses == KNOWN.guesses
    assert json.loads(path.read_text()) == OLDER


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
    assert capsys.readouterr().out == "New patients: 0. You: 0 right. diagnose: 0 right.\n"
    assert "left as they are" in str(progress())


def test_an_empty_older_file_is_nothing(home, capsys):
    written(home, "progress.json", "")
    assert read() == State()
    assert capsys.readouterr().out == ""


@no_links
@pytest.mark.parametrize("obstacle", [Path.mkdir, lambda path: path.symlink_to(path), os.mkfifo])
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


# Whatever it holds -----------------------------------------------------------------------------------------------------
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
IDS = st.sampled_from(["00.a", "01.1", "09.4", "10.a", "<b>.1", "01.<b>", ".", ""])
NAMES = st.sampled_from(["passed", "tried", "chosen", "settled", "guessed", "healed"])
FIELDS = {"choice": "up", "right": True, "diagnose": False, "mistake": "", "at": "2026-01-01"}
EVENTS = st.fixed_dictionaries(
    {"v": st.sampled_from([1, 1, 1, 2, "1", None]), "event": NAMES | VALUES, "id": IDS | VALUES},
    optional={name: st.just(value) | VALUES for name, value in FIELDS.items()},
)
JSON = (EVENTS | VALUES).map(json.dumps).map(str.encode)
LOGS = st.lists(JSON | st.binary(max_size=40), max_size=6).map(b"\n".join)
ENTRIES = st.dictionaries(st.text(max_size=4) | IDS, VALUES | st.fixed_dictionaries({}, optional={k: st.just(v) | VALUES for k, v in FIELDS.items()}), max_size=3)  # fmt: skip
OLDER_FILES = st.binary(max_size=40) | st.fixed_dictionaries(
    {}, optional=dict.fromkeys(["exercises", "predictions", "guesses"], ENTRIES | VALUES)
).map(json.dumps).map(str.encode)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(log=LOGS, older=OLDER_FILES)
def test_whatever_the_files_hold_nothing_raises(home, log, older):
    path, old = written(home, "progress.jsonl", log), written(home, "progress.json", older)
    state = read()
    known = [*state.passed, *state.tries, *state.predictions, *state.guesses, *state.passed.values()]
    assert all(isinstance(thing, str) for thing in known)
    assert all(
        made.right in (None, True, False) and isinstance(made.choice, str)
        for made in state.predictions.values()
    )
    assert all(isinstance(answer, bool) for guess in state.guesses.values() for answer in guess)
    table = progress()
    assert table.text.splitlines()[0].split() == ["lesson", "exercises", "passed", "predictions"]
    assert "<b>" not in table.html
    certificate("Ada")
    hit_rate()
    predict("00.a", "Which way?", ["up", "down"], choice="up")
    reveal("00.a", "up")
    assert "00.a" in read().predictions
    assert path.read_bytes().startswith(log)
    assert old.read_bytes() == older


# The table -------------------------------------------------------------------------------------------------------------
def test_the_table(home):
    record_pass("01.1")
    record_settled("01.a", "it grows", True)
    record_choice("01.b", "higher")
    text = str(progress())
    assert "✓ 01.1" in text
    assert "○ 01.2" in text
    assert "1 of 6" in text
    assert "2 made, 1 of 1 right" in text
    assert "✓&nbsp;01.1  ○&nbsp;01.2" in progress("01")._repr_mimebundle_()["text/html"]
    with pytest.raises(ValueError, match="lesson must be one of"):
        progress("99")
    assert "\n10" not in text
    record_choice("10.a", "at most 7")  # a lesson without exercises is shown for its predictions
    assert str(progress()).splitlines()[-1].split() == ["10", "1", "made"]
    assert str(progress("10")).splitlines()[-1].split() == ["10", "1", "made"]


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


# Predictions -----------------------------------------------------------------------------------------------------------
OPTIONS = ["up", "down", "neither"]


def test_a_prediction_is_kept_changed_and_settled(home, capsys):
    predict("77.a", "Which way?", OPTIONS, choice="a")
    predict("77.a", "Which way?", OPTIONS, choice="down")
    assert read().predictions["77.a"] == Prediction("down")
    reveal("77.a", "up", "It was measured.")
    assert "Predicted: down" in capsys.readouterr().out
    assert read().predictions["77.a"] == Prediction("down", False)
    reveal("77.a", "down")
    predict("77.a", "Which way?", OPTIONS, choice="up")  # too late
    assert read().predictions["77.a"] == Prediction("down", False)
    assert [event["event"] for event in logged(home)] == ["chosen", "chosen", "settled"]


def test_without_a_prediction_the_answer_is_shown(home, capsys):
    predict("77.b", "Which way?", OPTIONS)
    assert "b) down" in capsys.readouterr().out
    reveal("77.b", "up")
    assert "No prediction was made" in capsys.readouterr().out
    assert "77.b" not in read().predictions


@pytest.mark.parametrize(
    ("options", "choice"), [(["up"], None), (["up", "up"], None), ([], None), (OPTIONS, "d"), (OPTIONS, "sideways"), (OPTIONS, ""), (OPTIONS, 2), (OPTIONS, ["a"]), (range(11), "a")]
)  # fmt: skip
def test_bad_questions_are_clear_errors(home, options, choice):
    with pytest.raises(ValueError, match=r"must be|options must"):
        predict("77.c", "Which way?", options, choice=choice)


def test_an_answer_that_was_no_option_is_an_error(home):
    with pytest.raises(ValueError, match="run its predict cell first"):
        reveal("77.d", "a")
    predict("77.d", "Which way?", OPTIONS)
    for wrong in ("sideways", "d", "", 2, None):
        with pytest.raises(ValueError, match="must be a, b, c or one of"):
            reveal("77.d", wrong)


def test_questions_of_numbers_and_with_a_number_for_an_id(home, capsys):
    predict(7, "How many?", [10, 20], choice=20)
    reveal(7, 10)
    assert "Predicted: 20" in capsys.readouterr().out


def test_a_choice_that_is_no_longer_offered_does_not_count(home, capsys):
    predict("77.f", "Which way?", OPTIONS, choice="up")
    predict("77.f", "Which way?", ["left", "right"])
    reveal("77.f", "left")
    assert "No prediction was made" in capsys.readouterr().out


def test_an_answer_may_be_a_letter(home, capsys):
    predict("77.e", "Which way?", OPTIONS, choice="b")
    reveal("77.e", "b")
    assert "✓ Measured: down. As predicted." in capsys.readouterr().out


def test_the_certificate_counts_what_was_done(home, tmp_path):
    record_pass("01.1")
    record_pass("09.4")
    record_settled("00.a", "a", True)
    record_settled("01.a", "b", False)
    page = certificate("Ada <b>")
    assert "Exercises passed: 1 of " in page.text
    assert "Patients healed: 1 of 15" in page.text
    assert "Predictions settled: 2, of which 1 were right" in page.text
    assert "Ada &lt;b&gt;" in page.html
    path = tmp_path / "results.html"
    kept = certificate("Ada", path)
    assert f"Kept as {path}" in kept.text
    assert "Patients healed: 1 of 15" in path.read_text(encoding="utf-8")
    certificate("Eve", path)  # an older page of results may go
    assert "Eve" in path.read_text(encoding="utf-8")


def test_the_certificate_overwrites_nothing_else(home, tmp_path):
    other = tmp_path / "index.html"
    other.write_text("mine")
    with pytest.raises(ValueError, match="another file, which is left as it is"):
        certificate("Ada", other)
    assert other.read_text() == "mine"
    with pytest.raises(ValueError, match=r"must end in \.html"):
        certificate("Ada", tmp_path / "results.txt")


def test_the_first_certificate_is_empty(home):
    assert "Exercises passed: 0 of " in certificate().text
    assert "From" not in certificate().text
