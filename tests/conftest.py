"""Tests never touch the learner's own progress file."""

import os
import tempfile

import pytest

os.environ["GRADUTILS_HOME"] = tempfile.mkdtemp(prefix="gradutils-tests-")
os.environ.setdefault("MPLBACKEND", "agg")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty folder for progress, as on the first day."""
    from gradutils.course import progress

    monkeypatch.setenv("GRADUTILS_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(progress, "_waiting", None)
    monkeypatch.setattr(progress, "_said", False)
    return tmp_path / "home"
