"""Full disks, kills, loops of links, garbage: what may happen to the progress file costs no traceback and loses nothing."""

import errno
import json
import os
import subprocess
import sys
import threading
import tracemalloc
from importlib import import_module

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gradutils.course.certificate import certificate
from gradutils.course.clinic.practice import hit_rate
from gradutils.course.progress import (
    Prediction,
    progress,
    progress_file,
    read,
    record_choice,
    record_pass,
    record_try,
)
from gradutils.course.quiz import in_own_order, predict, reveal
from gradutils.course.recall import review
from tests.test_progress import PASSED, line, logged, no_links, written

module = import_module("gradutils.course.progress")  # the face has a function of this name


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
    assert "progress" not in capsys.readouterr().out.lower()  # said once
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


@pytest.mark.skipif(os.name == "nt", reason="there the hole in the file would take up room")
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


# Whatever it holds -----------------------------------------------------------------------------------------------------
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
IDS = st.sampled_from(["00.a", "01.1", "09.4", "12.4", "13.a", "01.r1", "<b>.1", "01.<b>", ".", ""])
NAMES = st.sampled_from(["passed", "tried", "chosen", "settled", "guessed", "recalled", "learner", "healed"])
FIELDS = {"choice": "up", "right": True, "diagnose": False, "mistake": "", "at": "2026-01-01"}
DAYS = st.sampled_from(["2026-01-01", "2026-13-45", "0000-00-00", "9999-12-31"])
EVENTS = st.fixed_dictionaries(
    {"v": st.sampled_from([1, 1, 2, 3, "1", None]), "event": NAMES | VALUES, "id": IDS | VALUES},
    optional={name: st.just(value) | VALUES for name, value in FIELDS.items()} | {"at": DAYS | VALUES},
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
    assert all(isinstance(made.choice, str) for made in state.predictions.values())
    assert all(isinstance(made.right, bool | None) for made in state.predictions.values())
    assert all(isinstance(answer, bool) for guess in state.guesses.values() for answer in guess)
    table = progress()
    assert table.text.splitlines()[0].split() == [
        "lesson",
        "exercises",
        "core",
        "deeper",
        "recall",
        "predictions",
    ]
    assert "<b>" not in table.html
    certificate("Ada")
    hit_rate()
    review()
    assert in_own_order("00.a", ["up", "down"]) == in_own_order("00.a", ["up", "down"])
    predict("00.a", "Which way?", ["up", "down"], choice="up")
    reveal("00.a", "up")
    assert "00.a" in read().predictions
    assert path.read_bytes().startswith(log)
    assert old.read_bytes() == older
