"""`make quick` runs the tests near what changed, nearest first, and no longer than it may."""

import subprocess
import sys

import pytest

from tools import quick

SOURCES = {
    "gradutils/data.py": "import torch",
    "gradutils/training.py": "from gradutils.data import digits",
    "gradutils/course/__init__.py": "from gradutils.course.checks import check",
    "gradutils/course/checks.py": 'from gradutils import training\nTABLE = files("gradutils") / "table.npz"',
    "tools/notebooks.py": "import jupytext",
    "tools/face.py": "",
    "tests/conftest.py": "",
    "tests/browser/test_page.py": "from gradutils import data",
    "tests/test_checks.py": "from gradutils.course.checks import judge",
    "tests/test_data.py": "import pytest",
    "tests/test_face.py": "def test():\n    from gradutils.course import check",
    "tests/test_pages.py": 'PAGES = ("README.md", ROOT / "lessons")',
    "tests/test_training.py": "import math, os, re\nimport gradutils.training as module",
}


def near(*changed):
    return [
        path.removeprefix("tests/test_").removesuffix(".py")
        for path in quick.nearest_tests(set(changed), SOURCES)
    ]


@pytest.mark.parametrize(
    ("changed", "tests"),
    [
        ("gradutils/data.py", ["data", "training", "checks", "face"]),
        ("gradutils/training.py", ["training", "checks", "face"]),
        ("gradutils/course/checks.py", ["checks", "face"]),
        ("gradutils/course/__init__.py", ["face"]),
        ("gradutils/course/table.npz", ["checks", "face"]),
        ("tests/test_data.py", ["data"]),
        ("tests/browser/test_page.py", []),
        ("README.md", ["pages"]),
        ("lessons/00_start_here.ipynb", ["pages"]),
        ("tools/notebooks.py", []),
        ("tools/face.py", ["face"]),
        ("CHANGELOG.md", []),
        ("gradutils/gone.py", []),
    ],
)
def test_the_nearest_tests_of_a_changed_file(changed, tests):
    assert near(changed) == tests


def test_two_changed_files_have_the_tests_of_both():
    assert set(near("README.md", "gradutils/course/__init__.py")) == {"pages", "face"}


def test_what_all_tests_share_touches_all():
    assert set(near("tests/conftest.py")) == {"checks", "data", "face", "pages", "training"}


def test_the_tests_of_this_repository():
    tests = quick.nearest_tests({"gradutils/meanfield.py"}, quick.read_sources())
    assert tests[0] == "tests/test_meanfield.py"
    assert "tests/test_propagation.py" in tests
    assert "tests/test_notebooks.py" not in tests


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository with a branch: one commit on main, one beside it."""

    def git(*arguments):
        who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "init.defaultBranch=main")
        done = subprocess.run(
            ("git", *who, *arguments), cwd=tmp_path, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    monkeypatch.setattr(quick, "ROOT", tmp_path)
    git("init", "--quiet")
    for name in ("kept.py", "edited.py", "deleted.py"):
        (tmp_path / name).write_text("old\n")
    git("add", ".")
    git("commit", "--quiet", "-m", "first")
    first = git("rev-parse", "HEAD")
    git("checkout", "--quiet", "-b", "branch")
    (tmp_path / "committed.py").write_text("new\n")
    git("add", ".")
    git("commit", "--quiet", "-m", "second")
    return tmp_path, first


def test_what_changed_since_the_branch_left_main(repository):
    root, first = repository
    (root / "edited.py").write_text("new\n")
    (root / "deleted.py").unlink()
    (root / "untracked.py").write_text("new\n")
    assert quick.branch_point() == first
    assert quick.changed_files(first) == {"committed.py", "edited.py", "deleted.py", "untracked.py"}
    assert quick.changed_files("HEAD") == {"edited.py", "deleted.py", "untracked.py"}


def test_without_a_main_the_last_commit_counts(repository):
    root, _ = repository
    subprocess.run(("git", "branch", "--quiet", "-D", "main"), cwd=root, check=True)
    assert quick.branch_point() == "HEAD"


def test_nothing_changed_is_said_and_is_no_failure(repository, capsys):
    assert quick.main("HEAD", 60) == 0
    assert "0 files differ from HEAD" in capsys.readouterr().out


def test_what_comes_too_late_is_skipped_and_said_to_be(tmp_path, monkeypatch):
    (tmp_path / "test_one.py").write_text("def test_one():\n    assert False\n")
    command = [sys.executable, "-m", "pytest", "-p", "tools.quick", "-p", "no:cacheprovider", "-rs", tmp_path]
    for until, code, said in (("0", 0, "1 skipped"), ("1e12", 1, "1 failed")):
        monkeypatch.setenv("QUICK_UNTIL", until)
        done = subprocess.run(
            command, cwd=quick.ROOT, capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode, said in done.stdout) == (code, True), done.stdout + done.stderr
