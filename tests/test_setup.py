"""pyproject.toml, requirements/ and environment.yml say the same thing, and what they say is installed."""

import json
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
import yaml
from packaging.markers import Marker
from packaging.requirements import Requirement

from tools import install, lock, oldest
from tools.binder_url import binder_url

ROOT = Path(__file__).parent.parent
REPO2DOCKER = Path(sys.executable).with_name("jupyter-repo2docker")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
ENVIRONMENT = yaml.safe_load((ROOT / "environment.yml").read_text())
PINS = dict(pin.split("==") for pin in lock.inputs()["pins"])
EXTRAS = PROJECT["optional-dependencies"]
# An extra that holds another one names it as a part of this package.
INNER = {name: [entry for entry in EXTRAS[name] if entry.startswith("gradutils[")] for name in EXTRAS}
OUTER = [entry for name in EXTRAS for entry in EXTRAS[name] if entry not in INNER[name]]
WANTED = [*PROJECT["dependencies"], *OUTER, *PYPROJECT["build-system"]["requires"]]
LOCKS = {name: (ROOT / "requirements" / f"{name}.txt").read_text() for name in ("lab", "dev", "teach", "uv")}


def locked(name):
    """The (package, version, marker) of every line of a lock; one package may have several, for several Pythons."""
    return re.findall(r"^([a-z][\w-]*)==(\S+)(?: ; (.+?))? \\$", LOCKS[name], re.MULTILINE)


def parts(requirement):
    name, least = re.match(r"([\w-]+)>=([\d.]+)", requirement).groups()
    return name, tuple(map(int, least.split(".")))


@pytest.mark.parametrize("requirement", WANTED)
def test_every_requirement_is_a_range_with_a_tested_version_inside(requirement):
    wanted = Requirement(requirement)
    assert {part.operator for part in wanted.specifier} == {">="}
    assert PINS[wanted.name] in wanted.specifier


def test_the_recorder_asks_for_torch_and_numpy_and_each_extra_for_the_one_within():
    assert [Requirement(entry).name for entry in PROJECT["dependencies"]] == ["torch", "numpy"]
    assert EXTRAS["plots"] == [entry for entry in WANTED if entry.startswith("matplotlib>")]
    assert INNER == {
        "plots": [],
        "course": ["gradutils[plots]"],
        "lab": ["gradutils[course]"],
        "trainers": [],
        "teach": ["gradutils[lab]"],
        "site": [],
        "dev": ["gradutils[site]"],
    }


@pytest.mark.parametrize("name", LOCKS)
def test_the_locks_are_made_from_the_inputs_that_stand_there(name):
    assert LOCKS[name].startswith(lock.stamp() + "\n"), "requirements/ is stale: make lock"


@pytest.mark.parametrize(
    ("file", "old", "new", "changes"),
    [
        ("requirements/direct.in", "tqdm==", "tqdm==9.", True),
        ("requirements/direct.in", "# The versions", "# All versions", False),
        ("pyproject.toml", '"pytest>=', '"pytest>=1', True),
        ("pyproject.toml", "line-length = 110", "line-length = 100", False),
    ],
)
def test_a_changed_input_makes_a_lock_stale(tmp_path, file, old, new, changes):
    (tmp_path / "requirements").mkdir()
    for path in ("requirements/direct.in", "pyproject.toml"):
        text = (ROOT / path).read_text()
        assert path != file or old in text
        (tmp_path / path).write_text(text.replace(old, new) if path == file else text)
    assert (lock.stamp(tmp_path) != lock.stamp()) == changes


def test_every_direct_pin_is_locked():
    versions = {(package, pin) for name in LOCKS for package, pin, _ in locked(name)}
    assert set(PINS.items()) - versions == {("torch", PINS["torch"])}  # tools/install.py reads that one


def test_a_learner_gets_a_part_of_what_the_tests_get():
    lab, dev = ({(package, pin) for package, pin, _ in locked(name)} for name in ("lab", "dev"))
    assert lab < dev
    names = {package for package, _ in lab}
    assert {
        "jupyterlab",
        "matplotlib",
        "numpy",
        "pillow",
        "platformdirs",
        "setuptools",
        "sympy",
        "tqdm",
    } <= names
    assert not {"pytest", "ruff", "playwright", "scikit-learn"} & names


def test_a_teacher_gets_what_a_learner_gets_and_changes_no_version_of_it():
    lab, dev, teach = (
        {(package, pin) for package, pin, _ in locked(name)} for name in ("lab", "dev", "teach")
    )
    assert lab < teach
    more = {package for package, _ in teach - dev}
    assert {"nbgrader", "jupyterhub"} <= more
    assert not more & {package for package, _ in dev}


@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_version_has_hashes_and_nothing_but(name):
    lines = [line for line in LOCKS[name].splitlines() if not line.lstrip().startswith("#")]
    assert sum(not line.startswith(" ") for line in lines) == len(locked(name)) > 0
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        if line.startswith(" "):
            assert re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?", line)
        else:
            assert after.startswith("    --hash"), line


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_names_no_host_no_file_no_local_version_and_no_cuda(name):
    assert not re.search(r"://|file:|--index|--find-links|\+cpu", LOCKS[name])
    assert not re.search(r"^(torch==|triton|nvidia|cuda)", LOCKS[name], re.MULTILINE)


def test_torch_and_cuda_are_cut_out_of_a_lock():
    before = "sympy==1.1 \\\n    --hash=sha256:0\n    # via torch\n"
    cut = "torch==2.1 ; sys_platform == 'linux' \\\n    --hash=sha256:1\n    # via gradutils\ntriton==3.7 \\\n    --hash=sha256:2\n"
    after = "torchaudio==1.0 \\\n    --hash=sha256:3\n"
    assert lock.without_torch(before + cut + after) == before + after


def test_the_locked_versions_are_the_installed_ones():
    here = [(name, pin) for name, pin, marker in locked("dev") if not marker or Marker(marker).evaluate()]
    assert len(here) > 100
    wrong = {name: version(name) for name, pin in here if version(name) != pin}
    assert not wrong, "make .venv/test.stamp installs what is locked"
    assert version("torch").split("+")[0] == PINS["torch"]


def test_the_oldest_packages_are_those_of_the_ranges(monkeypatch):
    calls = []
    monkeypatch.setattr(oldest.subprocess, "run", lambda command, **_: calls.append([*map(str, command)]))
    oldest.install()
    for name in ("ipython==7.34", "ipywidgets==7.7.1", "numpy==1.26"):
        assert name in calls[0]
        assert name.replace("==", ">=") in WANTED
    assert calls[1][-2:] == [
        install.TORCH_INDEX,
        next(e for e in WANTED if e.startswith("torch")).replace(">", "="),
    ]
    assert "torch" not in " ".join(calls[0])


@pytest.mark.parametrize(
    ("there", "least", "same"), [("4.0.0", "4", True), ("4.0.1", "4", False), ("7.34.0", "7.34", True), ("7.3", "7.34", False)]
)  # fmt: skip
def test_a_least_version_may_be_written_short(there, least, same):
    assert oldest.same(there, least) == same


def test_uv_fails_and_pip_takes_over(monkeypatch, capsys):
    calls = []

    def run(*command):
        calls.append(command)
        if command[0] == "uv":
            raise install.InstallError("no wheel for this machine")

    monkeypatch.setattr(install, "run", run)
    install.install("uv", "-r", "lab.txt")
    assert [call[0] for call in calls] == ["uv", sys.executable]
    assert all(call[-2:] == ("-r", "lab.txt") for call in calls)
    assert "no wheel for this machine" in capsys.readouterr().err
    install.install(None, "-r", "lab.txt")
    assert calls[-1] == calls[1]


def test_no_uv_to_be_had_is_no_error(monkeypatch):
    def run(*command):
        raise install.InstallError("no matching distribution")

    monkeypatch.setattr(install, "run", run)
    monkeypatch.setattr(install.shutil, "which", lambda name: None)
    assert install.find_uv() is None


def test_torch_is_asked_from_the_index_of_cpu_builds_alone(monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(install, "run", lambda *command: calls.append(command))
    monkeypatch.setattr(install, "has_torch", lambda: False)
    assert install.download_torch(str(tmp_path)) == []
    (command,) = calls
    assert command[command.index("--index-url") + 1] == install.TORCH_INDEX
    assert "--no-deps" in command
    assert command[-1] == f"torch=={PINS['torch']}"


def test_torch_is_not_brought_twice(monkeypatch, tmp_path):
    monkeypatch.setattr(install, "run", pytest.fail)
    assert install.has_torch()
    assert install.download_torch(str(tmp_path)) == []


def test_an_index_out_of_reach_is_named(monkeypatch, tmp_path):
    def run(*command):
        raise install.InstallError("no matching distribution")

    monkeypatch.setattr(install, "run", run)
    monkeypatch.setattr(install, "has_torch", lambda: False)
    with pytest.raises(install.InstallError, match=r"no matching distribution\n.*; the variable TORCH_INDEX"):
        install.download_torch(str(tmp_path))


def test_the_extension_of_jupyterlab_comes_with_an_installation(monkeypatch, tmp_path):
    monkeypatch.setattr(install.sys, "prefix", str(tmp_path))
    for _ in range(2):
        install.extend_jupyter()
    extension = tmp_path / "share" / "jupyter" / "labextensions" / "gradutils"
    load = json.loads((extension / "package.json").read_text())["jupyterlab"]["_build"]["load"]
    assert (extension / load).is_file()
    assert "extend_jupyter()" in (ROOT / "postBuild").read_text()  # and on Binder


@pytest.mark.parametrize(("cuda", "fits"), [(None, True), ("13.0", False)])
def test_a_cuda_build_is_refused(monkeypatch, tmp_path, cuda, fits):
    (tmp_path / "version.py").write_text(f"__version__ = '2.13.0'\ncuda = {cuda!r}\n")
    spec = type("Spec", (), {"origin": str(tmp_path / "__init__.py")})
    monkeypatch.setattr(install.util, "find_spec", lambda name: spec)
    if fits:
        install.check_cpu_build()
    else:
        with pytest.raises(install.InstallError, match=r"gave torch 2\.13\.0; the course needs a CPU build"):
            install.check_cpu_build()


def test_nothing_is_installed_outside_of_a_virtual_environment():
    command = [sys._base_executable, "-m", "tools.install", "lab"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.strip().endswith("Make one first: python -m venv .venv")


def test_a_container_for_editors_runs_what_make_runs():
    text = (ROOT / ".devcontainer" / "devcontainer.json").read_text()
    container = json.loads(re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE))
    assert container["postCreateCommand"] == "make .venv/lab.stamp"
    assert container["forwardPorts"] == [8888]


def test_conda_gets_the_same_ranges():
    conda = [entry for entry in ENVIRONMENT["dependencies"] if isinstance(entry, str)]
    assert conda[0] == "python=3.12"  # one =: with >= repo2docker would choose an older Python
    ranges = dict(map(parts, (entry.replace("pytorch-cpu", "torch") for entry in conda if ">=" in entry)))
    assert set(ranges) == {"torch", "jupyterlab", "ipywidgets", "matplotlib", "nbval"}
    assert ranges == {name: least for name, least in map(parts, WANTED) if name in ranges}
    assert ENVIRONMENT["dependencies"][-1] == {"pip": ["-e .[course]"]}
    assert not (ROOT / "binder").exists()  # it would hide environment.yml


def test_python_versions_agree():
    assert PROJECT["requires-python"] == ">=3.11"
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    assert workflow.count('["3.11", "3.12", "3.13"]') == 2
    jobs = yaml.safe_load(workflow)["jobs"]
    assert set(jobs) == {"unix", "windows", "oldest"}
    assert jobs["oldest"]["steps"][1]["with"] == {
        "python-version": PROJECT["requires-python"].removeprefix(">=")
    }


def test_versions_agree():
    import gradutils

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert PROJECT["version"] == gradutils.__version__ == citation["version"]


def test_torch_is_the_cpu_build():
    assert torch.version.cuda is None


def test_package_data_is_packaged():
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"][
        "gradutils"
    ]
    packaged = {path for pattern in patterns for path in (ROOT / "gradutils").glob(pattern)}
    others = {
        path
        for path in (ROOT / "gradutils").rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    assert others == packaged


@pytest.mark.skipif(not REPO2DOCKER.exists(), reason="jupyter-repo2docker is not installed")
def test_binder_would_read_environment_yml():
    command = [REPO2DOCKER, "--no-build", "--debug", "."]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    printed = done.stdout + done.stderr
    assert done.returncode == 0, printed[-2000:]
    assert "environment.yml" in printed
    assert "python=3.12" in printed or "3.12" in printed


@pytest.mark.parametrize(
    ("remote", "where"),
    [
        ("https://github.com/ada/course.git", "gh/ada/course"),
        ("git@github.com:ada/course.git\n", "gh/ada/course"),
        ("ssh://git@github.com/ada/course", "gh/ada/course"),
        ("https://ada:secret@github.com/ada/course", "gh/ada/course"),
        ("https://gitlab.com/ada/sub/course.git", "gl/ada%2Fsub%2Fcourse"),
        ("https://git.example.org/ada/course", "git/https%3A%2F%2Fgit.example.org%2Fada%2Fcourse"),
    ],
)
def test_the_address_on_binder_comes_from_the_remote(remote, where):
    url = binder_url(remote)
    assert url == f"https://mybinder.org/v2/{where}/HEAD?urlpath=lab%2Ftree%2Flessons%2F00_start_here.ipynb"


@pytest.mark.parametrize("remote", ["/srv/course", "../course", "", "course"])
def test_a_remote_that_binder_cannot_reach_is_said_so(remote):
    with pytest.raises(ValueError, match="must be on a public host"):
        binder_url(remote)
