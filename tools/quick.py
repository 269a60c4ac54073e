"""Run the unit tests near what changed, for a minute at most: `make quick`, while you work. `make test` is what counts.

    python -m tools.quick                   since the branch left main, with what is not committed
    python -m tools.quick --since HEAD~3

First come changed tests and namesakes (`tests/test_data.py` of `gradutils/data.py`), then the tests that import a changed
file, then those that import what imports it, and so on. A file that is no module counts as imported by what names it.
"""

import argparse
import ast
import os
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOMES = ("gradutils", "tools", "benchmarks", "deploy", "tests")
TESTS = r"tests/test_\w+\.py"
SECONDS = 50


def git(*arguments: str) -> list[str]:
    """The lines that a git command prints; none if it fails."""
    done = subprocess.run(("git", *arguments), cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.splitlines() if done.returncode == 0 else []


def branch_point() -> str:
    """The commit at which this branch left main; HEAD on main itself, and where there is no main."""
    for main in ("main", "origin/main"):
        if found := git("merge-base", "HEAD", main):
            return found[0]
    return "HEAD"


def changed_files(since: str) -> set[str]:
    """Paths, from the root of the repository, that differ from a commit, deleted and new ones included."""
    return {*git("diff", "--name-only", since, "--"), *git("ls-files", "--others", "--exclude-standard")}


def module_name(path: str) -> str:
    """ "gradutils.course" for "gradutils/course/__init__.py"."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def read_sources() -> dict[str, str]:
    """The text of every Python file of ours, under its path."""
    paths = (path for home in HOMES for path in sorted((ROOT / home).rglob("*.py")))
    return {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in paths}


def imported_names(text: str) -> set[str]:
    """What a source imports, wherever it does: "a.b" and "a" for `from a import b`, where b may be a module."""
    names = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def depends(path: str, text: str, names: set[str], changed: str) -> bool:
    """Whether a source, which imports `names`, imports a changed module, or names another changed file.

    A test also depends on a file whose folder it names; on a conftest.py all do.
    """
    is_test = re.fullmatch(TESTS, path) is not None
    if changed in ("conftest.py", "tests/conftest.py"):
        return is_test
    if changed.split("/")[0] in HOMES and changed.endswith(".py"):
        return module_name(changed) in names
    named = [Path(changed).name, Path(changed).parent.name if is_test else ""]
    return any(name and f'"{name}"' in text for name in named)


def nearest_tests(changed: set[str], sources: dict[str, str]) -> list[str]:
    """The unit tests that changed files can touch, nearest first."""
    names = {path: imported_names(text) for path, text in sources.items()}
    stems = {part for path in changed for part in Path(path).with_suffix("").parts[-2:]}
    namesakes = {f"tests/test_{stem}.py" for stem in stems}
    near = dict.fromkeys(sources.keys() & (changed | namesakes), 0)
    front = set(changed)
    for distance in range(1, len(sources)):
        front = {
            path
            for path in sources.keys() - near.keys()
            if any(depends(path, sources[path], names[path], before) for before in front)
        }
        near |= dict.fromkeys(front, distance)
    tests = [path for path in near if re.fullmatch(TESTS, path)]
    return sorted(tests, key=lambda path: (near[path], len(names[path])))


def pytest_runtest_setup(item):
    """This module is a plugin of the pytest that it starts: what comes too late is skipped, and said to be."""
    import pytest

    if time.time() > float(os.environ["QUICK_UNTIL"]):
        pytest.skip("the time is over: make unit runs this one")


def main(since: str, seconds: float) -> int:
    """Say what changed and which tests are near, and run them; 0 if none fails."""
    changed = changed_files(since)
    tests = nearest_tests(changed, read_sources())
    print(f"{len(changed)} files differ from {since[:12]}. Tests near them, nearest first:")
    print(" ".join(tests) or "none. `make unit` runs all there are.", flush=True)
    if not tests:
        return 0
    command = (sys.executable, "-m", "pytest", "-q", "-p", "tools.quick", "-n", "2", "--dist", "load", *tests)
    until = {"QUICK_UNTIL": str(time.time() + seconds)}
    return subprocess.run(command, cwd=ROOT, env=os.environ | until, check=False).returncode


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--since", default=branch_point(), help="a commit (default: where the branch left main)"
    )
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"default: {SECONDS}")
    chosen = parser.parse_args()
    sys.exit(main(chosen.since, chosen.seconds))
