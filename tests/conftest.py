"""An empty day for tests of progress; the conftest above this one has led them away from the learner's own file."""

import os
from collections import deque
from importlib import import_module

import pytest
import torch

os.environ.setdefault("MPLBACKEND", "agg")
torch.set_num_threads(1)  # as the course does


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty folder for progress, as on the first day."""
    progress = import_module("gradutils.course.progress")  # the face has a function of this name
    monkeypatch.setenv("GRADUTILS_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(progress, "_waiting", deque())
    monkeypatch.setattr(progress, "_said", set())
    return tmp_path / "home"


@pytest.fixture
def notebook(home, monkeypatch):
    """What is asked gets its buttons."""
    for room in ("quiz", "recall"):
        monkeypatch.setattr(import_module(f"gradutils.course.{room}"), "in_notebook", lambda: True)
    return home
