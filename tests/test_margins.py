"""What decides otherwise on another processor is found, and what lies near its bar is named."""

import pytest

from gradutils.course.trials import at_least, at_most, mostly
from tools.margins import PROCESSORS, Run, close_calls, flips, main, margins
from tools.notebooks import build, sources

LESSON = """# %% [markdown]
# ## Claim on trial: S1

# %%
import os
from gradutils import plots
from gradutils.course import at_least, mostly, verdict
threads = int(os.environ.get("GRADUTILS_THREADS", 1))
print(plots.how_many([9, 6 + {threads}]))

# %%
verdict("S1", {{"here": at_least({threads}, 1.5), "there": mostly(10)}}, "One thread or two, no training.")
"""


@pytest.fixture
def course(tmp_path):
    for folder in ("solutions", "lessons"):
        (tmp_path / folder).mkdir()

    def write(threads):
        (tmp_path / "solutions" / "42_things.py").write_text(LESSON.format(threads=threads))
        build(sources(tmp_path, []))
        return tmp_path

    return write


TWO = {name: PROCESSORS[name] for name in ("native, 1 thread", "native, 2 threads")}


def test_a_lesson_that_flips_by_its_number_of_threads_is_caught(course, capsys, monkeypatch):
    monkeypatch.delenv("GRADUTILS_THREADS", raising=False)
    assert main(["--root", str(course("threads")), "42"], TWO) == 1
    out = capsys.readouterr().out
    assert "! S1 flips: depends with native, 1 thread; holds with native, 2 threads" in out
    assert "! S1, here, flips: false with native, 1 thread; true with native, 2 threads" in out
    assert (
        "! a count in cell 2 changes its word: some with native, 1 thread; most with native, 2 threads" in out
    )
    assert "! cell 2 prints otherwise with native, 2 threads: \"['most', 'most']\"" in out
    assert "? a count in cell 2 lies at the edge of its word: 7" in out
    assert "prints otherwise with native, 1 thread" not in out


def test_a_lesson_that_is_the_same_everywhere_passes(course, capsys):
    assert main(["--root", str(course(4)), "42"], TWO) == 0
    out = capsys.readouterr().out
    assert "S1" in out
    assert not [line for line in out.splitlines() if line.startswith(("!", "?"))]


def test_a_lesson_that_cannot_be_run_is_one_sentence(tmp_path, capsys):
    assert main(["--root", str(tmp_path)], TWO) == 1
    assert capsys.readouterr().err.startswith("not run: ")


def test_the_processors_differ_in_instructions_and_threads():
    assert len({tuple(sorted(variables.items())) for variables in PROCESSORS.values()}) == 6


# On runs that nobody made ----------------------------------------------------------------------------------------------
def ran(*findings, counts=(), texts=()):
    """One run for each value of the finding."""
    return {
        f"processor {k}": Run(
            {"W1": {"claim": "W1", "outcome": "holds", "found": [{"setting": "here"} | finding.as_json()]}},
            list(counts),
            list(texts),
        )
        for k, finding in enumerate(findings)
    }


@pytest.mark.parametrize(
    ("findings", "named"),
    [
        ([at_least(3.0, 2.0), at_least(3.4, 2.0)], False),
        ([at_least(3.0, 2.0), at_least(3.6, 2.0)], True),  # twice 0.6 is more than 1
        ([at_most(3.0, 5.0, false_at=20), at_most(4.5, 5.0, false_at=20)], True),
        ([mostly(9), mostly(10)], True),
        ([mostly(10), mostly(10)], False),
        ([mostly(8), mostly(8)], True),
        ([mostly(7), mostly(7)], True),
        ([mostly(5), mostly(5)], False),
        ([at_least(1.0, 0.8, false_at=0.2)] * 2, False),  # a share
        ([at_least(float("inf"), 2.0)] * 2, False),
        ([at_least(float("nan"), 2.0)] * 2, False),
    ],
)
def test_a_number_near_its_bar_is_named(findings, named):
    assert any("W1, here" in sentence for sentence in close_calls(ran(*findings))) is named


def test_the_table_says_values_bar_margin_and_spread():
    lines = margins(ran(at_most(3.0, 5.0, false_at=20), at_most(4.5, 5.0, false_at=20))).splitlines()
    assert lines[1].split() == ["W1", "holds"]
    assert lines[2].split() == [
        "true",
        "here",
        "3",
        "to",
        "4.5",
        "true",
        "≤",
        "5,",
        "false",
        "≥",
        "20",
        "0.5",
        "1.5",
    ]


def test_a_count_that_is_not_said_everywhere_and_a_verdict_that_is_missing_are_named():
    runs = ran(mostly(10), mostly(10))
    runs["processor 1"] = Run({}, [(3, [9])], [])
    found = "\n".join(flips(runs, Run({}, [], [])))
    assert "W1 flips: holds with processor 0; nothing with processor 1" in found
    assert "a count in cell 3 changes its word: nothing with processor 0; most with processor 1" in found


def test_the_stored_text_counts():
    runs, stored = ran(mostly(10), texts=["one\ntwo", ""]), Run({}, [], ["one\n2", ""])
    assert flips(runs, stored) == ["cell 1 prints otherwise with processor 0: 'two' in place of '2'"]
