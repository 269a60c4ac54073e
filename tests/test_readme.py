"""What the README shows is what the course does."""

import re
from pathlib import Path

import torch
from torch.nn import functional as F

from benchmarks.reports import SETS
from gradutils.course import check
from gradutils.course.progress import is_deeper, to_pass
from gradutils.course.trials import CLAIMS, trials
from gradutils.data import digits
from gradutils.models import init_weights_, mlp
from tools.front_figure import front_figure

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_recorders_lines_run_as_they_stand(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code = re.search(r"```python\n(from gradutils.*?)```", README, re.S)[1]
    torch.manual_seed(0)
    model = init_weights_(mlp(8, 64), 2**0.5)
    x, y, _, _ = digits()
    rows = [torch.randint(1400, (64,)) for _ in range(60)]
    names = {
        "model": model,
        "optimizer": torch.optim.SGD(model.parameters(), lr=0.5),
        "loss_fn": F.cross_entropy,
        "batches": [(x[r], y[r]) for r in rows],
    }
    exec(code, names)
    printed = capsys.readouterr().out
    assert "learning rate too high" in printed
    assert (tmp_path / "run.png").stat().st_size > 10_000


def test_the_wrong_answer_gets_the_sentence_that_is_shown(home, capsys):
    code, shown = re.search(r"```python\n(def .*?)```\n\n> (.*?)\n", README, re.S).groups()
    exec(code, {"torch": torch, "check": check})
    assert capsys.readouterr().out.splitlines()[0] == shown


RESULTS = (ROOT / "benchmarks" / "results.md").read_text(encoding="utf-8")


def section(title):
    """A table of what the bench measured: what -> value."""
    text = RESULTS.partition(f"### {title}\n")[2].partition("\n### ")[0]
    assert text, title
    return dict(re.findall(r"^\| (.+?) \| (.*?) \|", text, re.MULTILINE))


def test_the_quoted_counts_are_those_of_the_bench():
    kept, asked = (
        section(f"Public reports {SETS['kept_back']}"),
        section(f"Public reports {SETS['asked_for']}"),
    )
    told, cases, possible = re.findall(r"\d+", kept["reported faults told"])
    first, healthy = (
        kept[name].split()[0] for name in ("… by the first name", "… called healthy though ill")
    )
    accused, runs = (
        sum(
            int(re.findall(r"\d+", kept[name])[k])
            for name in ("repaired runs accused", "healthy practices accused")
        )
        for k in (0, 1)
    )
    also, others, _ = re.findall(r"\d+", asked["reported faults told"])
    right, patients = re.match(
        r"([\d.]+%) of (\d+)", section("Diagnosis")["kinds it was built on: right"]
    ).groups()
    words = " ".join(README.split())
    assert f"Of {cases} faults that people reported in public" in words
    assert (
        f"it told {told} ({possible} of them can be told from a recording at all), {first} by the first name"
        in words
    )
    assert f"it called {healthy} healthy that were not, and accused {accused} of {runs} healthy runs" in words
    assert re.search(
        rf"Of {others} others, gathered by symptom, it told \d+ at the first look and {also} after", words
    )
    assert f"it is right in {right} of {patients}:" in words


def test_the_quoted_costs_are_those_of_the_bench():
    def ratio(model, setting, what):
        table = RESULTS.partition(f"### Recorder on a {model}\n")[2].partition("\n### ")[0]
        part = table.partition(f"| a plain step, {setting} |")[2].partition("| a plain step")[0]
        return re.search(rf"^\| … {what}.*? \| ([\d.]+) x", part, re.MULTILINE)[1]

    words = " ".join(README.split())
    deep, transformer = ("20 x 128 MLP", "batch 128, SGD"), ("4-block transformer", "batch 128, Adam")
    assert f"{ratio(*transformer, 'everything')} x the time of a plain step of a 4-block transformer" in words
    assert f"{ratio(*deep, 'everything')} x that of a 20 x 128 network under plain SGD" in words
    kept = [float(found) for found in re.findall(r"within a budget of 5%.*? \| ([\d.]+) x", RESULTS)]
    assert f"between {min(kept):.3f} and {max(kept):.3f} x" in words


def test_links_to_files_resolve():
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_verdicts_on_the_front_page_are_those_of_the_trials():
    found = trials(ROOT / "solutions")
    by_claim = {CLAIMS[claim_id]: trial for claim_id, trial in found.items()}
    rows = re.findall(r"^\| (.+?) \| \[(\w+)\]\(lessons/(\w+)\.ipynb\) \| (.+) \|$", README, re.MULTILINE)
    assert len(rows) == 3
    for claim, outcome, lesson, evidence in rows:
        trial = by_claim[claim]
        assert (outcome, lesson, evidence) == (trial.outcome, trial.lesson, trial.evidence)
    assert f"Here {len(CLAIMS)} claims are put on trial" in README


def test_the_front_figure_is_the_one_that_the_lesson_drew():
    assert (ROOT / "docs" / "front.png").read_bytes() == front_figure()


def test_every_lesson_has_its_row_with_its_claims_and_exercises():
    rows = dict(
        re.findall(
            r"^\| (\d\d) \| \[[^\]]+\]\(lessons/\w+\.ipynb\)[^|]*\|[^|]*\|([^|]*\|[^|]*)\|",
            README,
            re.MULTILINE,
        )
    )
    assert sorted(rows) == [path.name[:2] for path in sorted((ROOT / "lessons").glob("*.ipynb"))]
    found = trials(ROOT / "solutions").values()
    for number, row in rows.items():
        count, claims = (cell.strip() for cell in row.split("|"))
        own = [key for key in to_pass() if key.startswith(f"{number}.")]
        parts = [sum(is_deeper(key) == part for key in own) for part in (False, True)]
        assert list(map(int, re.findall(r"\d+", count))) == [part for part in parts if part], number
        tried = {trial.claim for trial in found if trial.lesson.startswith(number)}
        assert claims == "all" or set(filter(None, claims.split(", "))) == tried, number


def test_seconds_and_memory_of_the_lessons_are_those_of_the_bench():
    results = (ROOT / "benchmarks" / "results.md").read_text(encoding="utf-8")
    measured = re.findall(r"^\| (\d\d)_\w+ \| ([\d.]+) s, (\d+) MB \|", results, re.MULTILINE)
    shown = re.findall(r"^\| (\d\d) \|.*\| (\d+) s \| (\d+) MB \|$", README, re.MULTILINE)
    assert shown == [(name, f"{float(seconds):.0f}", memory) for name, seconds, memory in measured]
    assert len(shown) == len(list((ROOT / "lessons").glob("*.ipynb")))
