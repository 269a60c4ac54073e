"""What the README shows is what the course does."""

import re
from pathlib import Path

import torch
from torch.nn import functional as F

from gradutils.data import digits
from gradutils.models import init_weights_, mlp

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_recorders_lines_run_as_they_stand(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code = re.search(r"```python\n(.*?)```", README, re.S)[1]
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


def test_the_quoted_measurements_are_those_of_the_bench():
    quoted = re.search(r"<!-- from tests/benchmarks/results.md -->\n(.*?)<!-- end -->", README, re.S)[1]
    results = (ROOT / "tests" / "benchmarks" / "results.md").read_text(encoding="utf-8").splitlines()
    rows = [line for line in quoted.splitlines() if line.startswith("|")]
    assert len(rows) > 6
    for line in rows:
        assert line in results, line
    for title in ("Recorder on a 4-block transformer", "Diagnosis"):
        assert f"### {title}" in results


def test_links_to_files_resolve():
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target
