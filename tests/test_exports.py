"""What a reader makes of a notebook with nbconvert: a program that runs, a page whose figures are described."""

import os
import re
import subprocess
import sys
from html import unescape
from pathlib import Path

import nbformat
import pytest

exporters = pytest.importorskip("nbconvert.exporters", reason="nbconvert is not installed")
ROOT = Path(__file__).parent.parent


def test_a_solution_as_a_script_runs_to_its_end(home, tmp_path):
    text, _ = exporters.ScriptExporter().from_filename(str(ROOT / "solutions" / "00_start_here.ipynb"))
    script = tmp_path / "start_here.py"
    script.write_text(text, encoding="utf-8")
    environment = os.environ | {"MPLBACKEND": "agg", "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [sys.executable, script], env=environment, cwd=tmp_path, capture_output=True, encoding="utf-8", check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for said in (
        "Predict 00.a",
        'Add choice="a"',
        "Measured: ",
        "✗ 00.1 not yet.",
        "✓ 00.1 correct.",
        "to train on",
    ):
        assert said in done.stdout


@pytest.mark.parametrize("name", ["01_gradient_descent", "12_emergency_room"])
def test_a_page_of_the_classic_template_describes_its_figures(name):
    path = ROOT / "solutions" / f"{name}.ipynb"
    metadata = [
        output.get("metadata", {})
        for cell in nbformat.read(path, as_version=4).cells
        for output in cell.get("outputs", [])
    ]
    sentences = [one["image/png"]["alt"] for one in metadata if "alt" in one.get("image/png", {})]
    page, _ = exporters.HTMLExporter(template_name="classic").from_filename(str(path))
    told = re.findall(r'<img\b[^>]*\balt="([^"]*)"', page)
    assert len(sentences) >= 15
    assert [
        unescape(text) for text in told if text != "No description has been provided for this image"
    ] == sentences
