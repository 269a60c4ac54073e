"""`make lab`, with commands that only say how they were called; and once in earnest."""

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from urllib.request import urlopen

import pytest

ROOT = Path(__file__).parent.parent
DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
pytestmark = pytest.mark.skipif(os.name == "nt" or not shutil.which("make"), reason="there is no make")


def command(path, says):
    """A command that prints a line of shell, such as "jupyter $*"."""
    path.write_text(f'#!/bin/sh\necho "{says}"\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def checkout(tmp_path):
    """What `make lab` reads, and an environment that was installed after it."""
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / "path").mkdir()
    for name in ("python", "jupyter"):
        command(tmp_path / ".venv" / "bin" / name, f"{name} $*")
    for path in tmp_path.rglob("*"):
        os.utime(path, (1e9, 1e9))
    (tmp_path / ".venv" / "lab.stamp").touch()
    return tmp_path


def make(checkout, *arguments, user="1000", system="Linux", **environment):
    """What make prints, for a user of this number on this system."""
    command(checkout / "path" / "id", user)
    command(checkout / "path" / "uname", system)
    variables = {
        name: text
        for name, text in os.environ.items()
        if name not in DISPLAYS and not name.startswith(("MAKE", "MFLAGS"))
    }
    variables |= {"PATH": f"{checkout / 'path'}{os.pathsep}{os.environ['PATH']}"} | environment
    done = subprocess.run(
        ("make", *arguments),
        cwd=checkout,
        env=variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return [line for line in done.stdout.splitlines() if not line.startswith(".venv/bin/")]


def test_root_is_let_in_and_told_so(checkout):
    said, started = make(checkout, "lab", user="0", DISPLAY=":0")
    assert "--allow-root" in said
    assert started.split() == ["jupyter", "lab", "--allow-root", "lessons/00_start_here.ipynb"]


def test_a_learner_at_a_desk_gets_plain_jupyter(checkout):
    (started,) = make(checkout, "lab", DISPLAY=":0")
    assert started.split() == ["jupyter", "lab", "lessons/00_start_here.ipynb"]


@pytest.mark.parametrize(
    ("system", "variable", "opens"),
    [
        ("Linux", None, False),
        ("Linux", "DISPLAY", True),
        ("Linux", "WAYLAND_DISPLAY", True),
        ("Linux", "BROWSER", True),
        ("Darwin", None, True),
    ],
)
def test_no_browser_is_started_where_no_window_can_open(checkout, system, variable, opens):
    *said, started = make(checkout, "lab", system=system, **({variable: "x"} if variable else {}))
    assert ("--no-browser" not in started) == opens
    assert ["address" in line for line in said] == ([] if opens else [True])


def test_flags_for_jupyter_come_last_and_so_have_the_last_word(checkout):
    *_, started = make(checkout, "lab", "LAB_ARGS=--port 8899")
    assert started.endswith("--no-browser --port 8899 lessons/00_start_here.ipynb")


def test_nothing_is_installed_twice(checkout):
    assert not any("tools.install" in line for line in make(checkout, "lab"))


@pytest.mark.parametrize("name", ["requirements/lab.txt", "requirements/direct.in", "pyproject.toml"])
def test_a_changed_requirement_is_installed_before_jupyter_starts(checkout, name):
    os.utime(checkout / name, (time.time() + 5,) * 2)
    *_, installed, _, started = make(checkout, "lab", "INSTALL_ARGS=--pip")
    assert installed == "python -m tools.install lab --pip"
    assert started.startswith("jupyter lab")


def test_the_tests_get_more_than_a_learner(checkout):
    *_, installed = make(checkout, ".venv/test.stamp")
    assert installed.strip() == "python -m tools.install dev"
    (again,) = make(checkout, ".venv/test.stamp")
    assert "up to date" in again


def test_a_teachers_environment_is_made_beside_the_course(checkout):
    command(checkout / "path" / "npm", "npm $*")
    (checkout / ".venv-teach" / "bin").mkdir(parents=True)
    command(checkout / ".venv-teach" / "bin" / "python", "teacher's python $*")
    said = make(checkout, ".venv-teach/proxy.stamp")
    assert "python -m venv .venv-teach" in said
    assert "teacher's python -m tools.install teach" in said
    assert said[-1].startswith("npm install --prefix .venv-teach")


@pytest.fixture
def server(checkout):
    """`make lab` with the Jupyter of this environment, as whoever runs the tests; the address it should answer at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shutil.rmtree(checkout / ".venv" / "bin")
    (checkout / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    (checkout / "lessons").mkdir()
    shutil.copy(ROOT / "lessons" / "00_start_here.ipynb", checkout / "lessons")
    folders = {f"JUPYTER_{name}_DIR": str(checkout / name) for name in ("CONFIG", "DATA", "RUNTIME")}
    variables = {
        name: text
        for name, text in os.environ.items()
        if name not in DISPLAYS and not name.startswith(("MAKE", "MFLAGS"))
    } | folders
    (checkout / ".venv" / "lab.stamp").touch()
    with (checkout / "log").open("w") as log:
        started = subprocess.Popen(
            ("make", "lab", f"LAB_ARGS=--port {port} --ServerApp.port_retries=0"),
            cwd=checkout,
            env=variables,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        yield started, f"http://127.0.0.1:{port}/api"
        with suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)
        started.wait()


def test_the_server_answers_on_a_machine_without_a_display(checkout, server):
    started, address = server
    answer, end = "", time.monotonic() + 120
    while not answer and started.poll() is None and time.monotonic() < end:
        try:
            answer = urlopen(address, timeout=5).read().decode()
        except OSError:
            time.sleep(0.2)
    log = (checkout / "log").read_text()
    assert "version" in answer, log
    assert "tools.install" not in log
    assert "No display: open in a browser" in log
    assert ("--allow-root" in log) == (os.getuid() == 0)
    assert "/lab?token=" in log or "/lab/tree/" in log
