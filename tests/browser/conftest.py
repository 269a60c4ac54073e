"""A JupyterLab of its own and a real browser, for the length of the session."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
SCREENSHOTS = ROOT / "screenshots"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run",
]  # fmt: skip


def find_browser():
    found = [os.environ.get("BROWSER_PATH"), *map(shutil.which, NAMES)]
    return next((path for path in found if path), None)


@pytest.fixture(scope="session")
def browser():
    path = find_browser()
    if path is None:
        reason = "no chromium or chrome was found; the browser tests did not run"
        if os.environ.get("REQUIRE_BROWSER"):
            pytest.fail(reason)
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser):
    context = browser.new_context(viewport={"width": 1280, "height": 1200})
    yield context.new_page()
    context.close()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def setting(folder, extension, name, values):
    path = folder / "@jupyterlab" / extension / f"{name}.jupyterlab-settings"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values))


@pytest.fixture(scope="session")
def course(tmp_path_factory):
    """A copy of the notebooks: JupyterLab saves what it opens."""
    folder = tmp_path_factory.mktemp("course")
    for name in ("lessons", "solutions"):
        shutil.copytree(ROOT / name, folder / name)
    return folder


@pytest.fixture
def untouched(course):
    """The lessons as they are kept, whatever an earlier test has made of the copies."""
    for path in (ROOT / "lessons").glob("*.ipynb"):
        shutil.copy(path, course / "lessons" / path.name)


@pytest.fixture(scope="session", params=["Light", "Dark"])
def lab(request, course, browser, tmp_path_factory):
    """The address of a running JupyterLab, its token, and the folder of its learner's progress."""
    private = tmp_path_factory.mktemp(request.param.lower())
    settings = private / "settings"
    setting(settings, "apputils-extension", "notification", {"fetchNews": "false", "checkForUpdates": False})
    setting(settings, "apputils-extension", "themes", {"theme": f"JupyterLab {request.param}"})
    with served("jupyterlab", "LabApp", course, private) as server:
        yield server | {"theme": request.param, "pages": "doc/tree"}


@pytest.fixture(scope="session")
def notebook7(course, browser, tmp_path_factory):
    """The same of a running Notebook 7. It has no theme: its name stands there, for the names of pictures."""
    with served("notebook", "JupyterNotebookApp", course, tmp_path_factory.mktemp("notebook7")) as server:
        yield server | {"theme": "Notebook7", "pages": "notebooks"}


@contextmanager
def served(module, app, course, private):
    """A server of its own: its settings and its learner's progress lie in the folder `private`."""
    port, token = free_port(), secrets.token_hex(8)
    extensions = private / "jupyter" / "labextensions"
    extensions.mkdir(parents=True)
    shutil.copytree(ROOT / "labextension", extensions / "gradutils")  # as it is now, not as it was installed
    environment = os.environ | {
        "GRADUTILS_HOME": str(private / "home"),
        "JUPYTER_PATH": str(private / "jupyter"),
        "JUPYTERLAB_SETTINGS_DIR": str(private / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(private / "workspaces"),
    }
    environment.pop("MPLBACKEND", None)
    command = [
        sys.executable, "-m", module, "--no-browser", "--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0",
        f"--IdentityProvider.token={token}", f"--{app}.expose_app_in_browser=True", "--ServerApp.allow_root=True",
        f"--ServerApp.root_dir={course}",
    ]  # fmt: skip
    with open(private / "server.log", "w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=course)
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(address, server, private / "server.log")
        yield {"address": address, "token": token, "home": private / "home"}
    finally:
        server.terminate()
        server.wait(30)


def wait_for(address, server, log, seconds=60):
    for _ in range(seconds * 4):
        if server.poll() is not None:
            break
        try:
            urllib.request.urlopen(f"{address}/api", timeout=2)
        except OSError:
            time.sleep(0.25)
        else:
            return
    pytest.fail(f"The server did not start:\n{log.read_text()[-3000:]}")
