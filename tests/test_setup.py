"""environment.yml, pyproject.toml and constraints.txt say the same thing."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
import yaml

from tools.binder_url import binder_url

ROOT = Path(__file__).parent.parent
REPO2DOCKER = Path(sys.executable).with_name("jupyter-repo2docker")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ENVIRONMENT = yaml.safe_load((ROOT / "environment.yml").read_text())
PINS = dict(
    line.split("==")
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if line and not line.startswith("#")
)
EXTRAS = PROJECT["optional-dependencies"]
WANTED = [*PROJECT["dependencies"], *EXTRAS["lab"], *EXTRAS["dev"]]


def parts(requirement):
    name, least = re.match(r"([\w-]+)>=([\d.]+)", requirement).groups()
    return name, tuple(map(int, least.split(".")))


@pytest.mark.parametrize("requirement", WANTED)
def test_every_requirement_is_a_range_with_a_tested_version_inside(requirement):
    name, least = parts(requirement)
    assert "==" not in requirement.split(";")[0]
    assert tuple(map(int, PINS[name].split("."))) >= least


@pytest.mark.parametrize("name", sorted(PINS))
def test_the_tested_versions_are_the_installed_ones(name):
    if name == "jupyter-repo2docker" and not REPO2DOCKER.exists():
        pytest.skip("jupyter-repo2docker is for Linux")
    assert version(name).split("+")[0] == PINS[name]


def test_constraints_name_no_host_no_file_and_no_local_version():
    assert all(re.fullmatch(r"[\d.]+", pin) for pin in PINS.values())


def test_conda_gets_the_same_ranges():
    conda = [entry for entry in ENVIRONMENT["dependencies"] if isinstance(entry, str)]
    assert conda[0] == "python=3.12"  # one =: with >= repo2docker would choose an older Python
    ranges = dict(map(parts, (entry.replace("pytorch-cpu", "torch") for entry in conda if ">=" in entry)))
    assert set(ranges) == {"torch", "jupyterlab", "ipywidgets", "matplotlib", "nbval"}
    assert ranges == {name: least for name, least in map(parts, WANTED) if name in ranges}
    assert ENVIRONMENT["dependencies"][-1] == {"pip": ["-e ."]}
    assert not (ROOT / "binder").exists()  # it would hide environment.yml


def test_python_versions_agree():
    assert PROJECT["requires-python"] == ">=3.11"
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    assert workflow.count('["3.11", "3.12", "3.13"]') == 2
    jobs = yaml.safe_load(workflow)["jobs"]
    assert set(jobs) == {"unix", "windows"}


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
