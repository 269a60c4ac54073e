"""Lessons where learners keep them: read-only, in a folder with a strange name, offline, restarted, out of order."""

import ast
import builtins
import dis
import os
import re
import shutil
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import CodeType

import matplotlib
import nbformat
import pytest
import torch
from nbclient import NotebookClient
from nbclient.util import run_sync

from gradutils.course.progress import Prediction, read
from tools.notebooks import make_pair

ROOT = Path(__file__).parent.parent
SOURCES = {path.stem: path for path in sorted((ROOT / "solutions").glob("[0-9][0-9]_*.py"))}
EXERCISES = [
    (name, key)
    for name, path in SOURCES.items()
    for key in re.findall(r'= check\("(\d\d\.\d+)"', path.read_text(encoding="utf-8"))
]

# A sitecustomize.py for the kernel. An audit hook sees every call that Python's sockets make, and nothing takes it away again.
# The kernel speaks with its client through zmq, which is not Python's, over loopback. What tries is noted in a file, because
# a library may swallow the error.
NO_NETWORK = """
import importlib.util, os, sys
from importlib.machinery import PathFinder

HERE = os.path.dirname(os.path.abspath(__file__))


def block(event, arguments):
    if event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        host = arguments[0]
    elif event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        host = arguments[1][0] if isinstance(arguments[1], tuple) else None  # a Unix socket stays in the machine
    else:
        return
    host = host.decode() if isinstance(host, bytes) else host
    if host and host not in ("localhost", "::1") and not host.startswith("127."):
        with open(os.path.join(HERE, "tried"), "a") as file:
            print(event, host, file=file)
        raise OSError(f"no network: {event} {host}")


sys.addaudithook(block)
others = [path for path in sys.path if os.path.abspath(path) != HERE]
if spec := PathFinder.find_spec("sitecustomize", others):  # this one stands before the machine's own
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
"""


@pytest.fixture
def offline(tmp_path):
    """The environment of a kernel without network, and the file in which it notes what was tried."""
    folder = tmp_path / "offline"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(NO_NETWORK, encoding="utf-8")
    # pytest's own backend would keep the figures from being shown.
    environment = {key: value for key, value in os.environ.items() if key != "MPLBACKEND"}
    path = [str(folder), os.environ.get("PYTHONPATH")]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, path))
    environment["GRADUTILS_HOME"] = str(tmp_path / "Fortschritt für Łódź 课 2")
    return environment, folder / "tried"


@contextmanager
def kernel(notebook, folder, environment):
    """A client whose ``execute_cell`` runs the notebook's cells, and raises where one fails."""
    resources = {"metadata": {"path": str(folder)}}
    client = NotebookClient(notebook, timeout=120, kernel_name="python3", resources=resources)
    with client.setup_kernel(env=environment):
        yield client


def printed(cell):
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


def test_the_network_is_blocked_in_a_kernel_and_loopback_is_not(tmp_path, offline):
    environment, tried = offline
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "sitecustomize.py").write_text("import builtins; builtins.own_site = 'kept'")
    environment["PYTHONPATH"] += os.pathsep + str(tmp_path / "own")
    attempts = {
        "connect": "socket.create_connection(('192.0.2.1', 80), timeout=1)",
        "connect_ex": "socket.socket().connect_ex(('192.0.2.1', 80))",
        "sendto": "socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 53))",
        "getaddrinfo": "socket.getaddrinfo('example.org', 80)",
        "gethostbyname": "socket.gethostbyname('example.org')",
        "urlopen": "urllib.request.urlopen('http://example.org', timeout=1)",
        "loopback": "socket.create_connection(server.getsockname(), timeout=1)",
        "localhost": "socket.getaddrinfo('localhost', 80)",
    }
    source = f"""import socket, urllib.request
server = socket.create_server(("127.0.0.1", 0))
for name, attempt in {attempts!r}.items():
    try:
        eval(attempt)
        print(name, "went through")
    except OSError as error:
        print(name, "blocked" if "no network" in str(error) else error)
print(own_site)
"""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    with kernel(notebook, tmp_path, environment) as client:
        client.execute_cell(notebook.cells[0], 0)
    through = [f"{name} went through" for name in ("loopback", "localhost")]
    assert printed(notebook.cells[0]).splitlines() == [
        *(f"{name} blocked" for name in list(attempts)[:-2]),
        *through,
        "kept",
    ]
    assert len(tried.read_text().splitlines()) == len(attempts) - 2


@pytest.fixture
def course(tmp_path):
    """A read-only copy of the lessons and the solutions that they lead to."""
    copied = tmp_path / "Kurs für Łódź 课 1"
    for folder in ("lessons", "solutions"):
        shutil.copytree(ROOT / folder, copied / folder, ignore=shutil.ignore_patterns(".*", "__pycache__"))
    for path in (copied, *copied.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    yield copied
    for path in (copied, *copied.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def snapshot(folder):
    """Every path with its content. A folder's time tells of files that came and went again.

    root may write where nobody may, so a run without an error proves nothing.
    """
    return {
        str(path.relative_to(folder)): path.stat().st_mtime_ns if path.is_dir() else path.read_bytes()
        for path in (folder, *folder.rglob("*"))
    }


def choose_first(cell):
    """The question of a cell if it asks one, which then is answered in code, as lesson 00 says."""
    tree = ast.parse(cell.source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "predict":
            node.keywords.append(ast.keyword("choice", ast.Constant("a")))
            cell.source = ast.unparse(tree)
            return node.args[0].value
    return None


def assert_quiet(cell):
    for output in cell.outputs:
        assert output.output_type != "error", cell.source
        assert output.get("name") != "stderr", f"{cell.source}\n{output}"


# The long ones first, so that no worker waits for the other.
@pytest.mark.parametrize("name", sorted(SOURCES, reverse=True))
def test_an_untouched_lesson_runs_read_only_offline_and_after_a_restart(name, course, offline, monkeypatch):
    environment, tried = offline
    notebook = nbformat.read(course / "lessons" / f"{name}.ipynb", as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    before = snapshot(course)
    passed = f"from gradutils.course.progress import record_pass; record_pass('{name[:2]}.1')"
    monkeypatch.setenv("GRADUTILS_HOME", environment["GRADUTILS_HOME"])
    with kernel(notebook, course / "lessons", environment) as client:
        chosen = None
        for k, cell in enumerate(code[: len(code) // 2]):
            cell = nbformat.from_dict(cell)
            chosen = chosen or choose_first(cell)
            client.execute_cell(cell, k)
            assert_quiet(cell)
        client.execute_cell(nbformat.v4.new_code_cell(passed), 0)
        kept = read()
        assert list(kept.passed) == [f"{name[:2]}.1"]
        assert list(kept.predictions) == [chosen] * (chosen is not None)

        run_sync(client.km.restart_kernel)()
        run_sync(client.kc.wait_for_ready)(timeout=60)
        for k, cell in enumerate(code):
            client.execute_cell(cell, k)
            assert_quiet(cell)
            assert cell.execution_count == k + 1  # a new kernel counts from 1
    assert not tried.exists(), tried.read_text()
    assert snapshot(course) == before

    # The lesson has settled the prediction, if the first half had not; nothing else has changed.
    now = read()
    now.tries = kept.tries  # lesson 00 shows a wrong answer, each time it runs
    if chosen is not None:
        settled = now.predictions[chosen]
        assert settled.right is not None
        assert kept.predictions[chosen] in (settled, Prediction(settled.choice))
        kept.predictions[chosen] = settled
    assert now == kept


# Alone -----------------------------------------------------------------------------------------------------------------
@cache
def cells(name):
    solution, _ = make_pair(SOURCES[name])
    return solution.cells


def instructions(code):
    yield from ((step.opname, step.argval) for step in dis.get_instructions(code))
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from instructions(constant)


def reads_and_makes(source):
    """The global names that a cell, or a function in it, reads, and those that it binds."""
    found = set(instructions(compile(source, "cell", "exec")))
    makes = {argument for opname, argument in found if opname == "STORE_NAME"}
    return {argument for opname, argument in found if opname in ("LOAD_NAME", "LOAD_GLOBAL")} - makes, makes


def makers(name, k, there):
    """The name that cell ``k`` misses -> the last cell before it that binds it."""
    missing, before = reads_and_makes(cells(name)[k].source)[0] - there, {}
    for j, cell in enumerate(cells(name)[:k]):
        if cell.cell_type == "code":
            before |= dict.fromkeys(reads_and_makes(cell.source)[1], j)
    return {thing: before[thing] for thing in missing}  # a name that nothing binds is a KeyError


def exercise_of(name, k):
    found = re.search(r'= check\("(\d\d\.\d+)"', cells(name)[k].source)
    return found and found[1]


def text_above(name, k):
    texts = []
    while cells(name)[k - 1].cell_type == "markdown":
        k -= 1
        texts.insert(0, cells(name)[k].source)
    return "\n".join(texts)


@pytest.mark.parametrize(("name", "key"), EXERCISES, ids=[key for _, key in EXERCISES])
def test_an_exercise_needs_only_what_its_text_names(name, key, home):
    """The imports and the exercise's cell are enough; an earlier name that an answer needs is named just above it."""
    code = [k for k, cell in enumerate(cells(name)) if cell.cell_type == "code"]
    (at,) = (k for k in code if exercise_of(name, k) == key)
    there = reads_and_makes(cells(name)[code[0]].source)[1] | set(dir(builtins)) | {"__name__"}

    needed, waiting = {code[0], at}, [at]
    while waiting:  # what is needed may itself need something
        more = set(makers(name, waiting.pop(), there).values()) - needed
        needed |= more
        waiting += more
    namespace = {"__name__": "__main__"}
    with matplotlib.rc_context(), torch.random.fork_rng():
        for k in sorted(needed):
            exec(compile(cells(name)[k].source, f"{name}, cell {k + 1}", "exec"), namespace)
    asked = {exercise_of(name, k) for k in needed} - {None}
    assert set(read().passed) == asked  # none of them on the reference of another

    text = text_above(name, at)
    named = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]*)`", text))))
    unnamed = {
        thing
        for thing, k in makers(name, at, there).items()
        if thing not in named and (exercise_of(name, k) or thing) not in text
    }
    assert not unnamed, f"the text above exercise {key} does not say that an answer needs them:\n{text}"
