"""What a hub for a class is made of: its settings, and what is started for a learner. A real hub runs in tests/teach."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml
from traitlets.config.loader import PyFileConfigLoader

from deploy import learner
from gradutils import __version__

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
pytestmark = pytest.mark.skipif(os.name == "nt", reason="JupyterHub runs on Linux and macOS")


@pytest.fixture
def course(tmp_path):
    """A course of two lessons."""
    course = tmp_path / "course"
    for folder in ("lessons", "solutions"):
        (course / folder).mkdir(parents=True)
        for name in ("00_start_here", "01_gradient_descent"):
            (course / folder / f"{name}.ipynb").write_text(f"{folder} {name}")
    return course


@pytest.fixture
def home(tmp_path):
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def lessons(home):
    return {path.name: path.read_text() for path in (home / "lessons").glob("*.ipynb")}


def test_a_new_learner_finds_all_lessons_and_the_solutions(course, home):
    put = learner.give(course, home)
    assert lessons(home) == {
        f"{name}.ipynb": f"lessons {name}" for name in ("00_start_here", "01_gradient_descent")
    }
    assert {path.name for path in put} == lessons(home).keys()
    assert (home / "solutions" / "00_start_here.ipynb").read_text() == "solutions 00_start_here"


def test_work_is_never_written_to(course, home):
    learner.give(course, home)
    mine = home / "lessons" / "00_start_here.ipynb"
    mine.write_text("my work")
    assert learner.give(course, home) == []
    assert mine.read_text() == "my work"


def test_a_newer_lesson_goes_beside_the_work_once(course, home):
    learner.give(course, home)
    mine = home / "lessons" / "00_start_here.ipynb"
    mine.write_text("my work")
    for number, text in enumerate(("second", "third")):
        (course / "lessons" / mine.name).write_text(text)
        beside = mine.with_name(("00_start_here.new.ipynb", "00_start_here.new2.ipynb")[number])
        assert learner.give(course, home) == [beside]
        assert learner.give(course, home) == []
        assert beside.read_text() == text
    assert mine.read_text() == "my work"


def test_a_lesson_that_was_thrown_away_is_given_again(course, home):
    learner.give(course, home)
    (home / "lessons" / "00_start_here.ipynb").unlink()
    assert [path.name for path in learner.give(course, home)] == ["00_start_here.ipynb"]


@pytest.mark.parametrize("there", ["file", "folder", "dangling link"])
def test_what_has_a_lessons_name_already_stays(course, home, there):
    (home / "lessons").mkdir()
    mine = home / "lessons" / "00_start_here.ipynb"
    match there:
        case "file":
            mine.write_text("mine")
        case "folder":
            mine.mkdir()
        case _:
            mine.symlink_to(home / "nowhere")
    learner.give(course, home)
    assert os.path.lexists(mine)
    assert not (home / "nowhere").exists()
    assert (home / "lessons" / "00_start_here.new.ipynb").read_text() == "lessons 00_start_here"


@pytest.mark.skipif(sys.platform != "linux", reason="files are kept small as Linux does it")
def test_a_full_disk_leaves_no_half_a_lesson(course, home):
    import resource

    (course / "lessons" / "01_gradient_descent.ipynb").write_text("long" * 10_000)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(
        resource.RLIMIT_FSIZE, (10_000, before[1])
    )  # a write fails in its middle, as on a full disk
    try:
        with pytest.raises(OSError, match="too large"):
            learner.give(course, home)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert lessons(home) == {"00_start_here.ipynb": "lessons 00_start_here"}
    assert [path.name for path in learner.give(course, home)] == ["01_gradient_descent.ipynb"]


def started(home, *arguments, **environment):
    """What `learner.py` does where the server is a program that says what it finds."""
    server = home / "jupyterhub"
    server.mkdir()
    (server / "__init__.py").touch()
    (server / "singleuser.py").write_text(
        "import os, resource, sys\n"
        "print(sys.argv[1:], os.environ['GRADUTILS_HOME'], os.getcwd(), resource.getrlimit(resource.RLIMIT_DATA)[0])"
    )
    done = subprocess.run(
        (sys.executable, DEPLOY / "learner.py", *arguments),
        env=os.environ | {"HOME": str(home), "PYTHONPATH": str(home)} | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()[-1], done.stderr


def test_the_server_gets_a_progress_folder_of_the_learners_own_and_a_limit(home):
    said, _ = started(home, "--port=1", GRADUTILS_HOME="/shared", MEM_LIMIT=str(2**31))
    limit = 2**31 if sys.platform == "linux" else -1
    assert said == f"['--port=1'] {home / '.local/share/gradutils'} {home} {limit}"
    assert len(lessons(home)) == len(list((ROOT / "lessons").glob("*.ipynb")))


def test_the_server_starts_where_lessons_cannot_be_copied(home):
    (home / "lessons").write_text("a file of this name")
    said, trouble = started(home)
    assert said.startswith("[]")
    assert "not all lessons could be copied" in trouble


# The settings ----------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def settings():
    return PyFileConfigLoader("jupyterhub_config.py", path=str(DEPLOY)).load_config()


@pytest.fixture(scope="module")
def values():
    """What Zero to JupyterHub is told."""
    return yaml.safe_load((DEPLOY / "zero_to_jupyterhub.yaml").read_text())


def test_the_hub_starts_what_stands_here(settings):
    python, script = settings.Spawner.cmd
    assert python == sys.executable
    assert Path(script) == DEPLOY / "learner.py"
    page = settings.Spawner.default_url.removeprefix("/lab/tree/")
    nbformat.read(ROOT / page, as_version=4)


def test_both_hubs_say_the_same(settings, values):
    one = values["singleuser"]
    assert one["cmd"] == ["python3", "/srv/course/deploy/learner.py"]
    assert one["defaultUrl"] == settings.Spawner.default_url
    assert one["memory"]["limit"] == settings.Spawner.mem_limit
    assert one["extraEnv"] == settings.Spawner.environment


def test_idle_kernels_end_and_the_buttons_of_a_teacher_are_off():
    command = (sys.executable, "-m", "jupyter", "server", "--show-config-json")
    found = os.environ | {"JUPYTER_CONFIG_PATH": str(learner.SETTINGS)}
    done = subprocess.run(command, env=found, capture_output=True, text=True, check=True)
    config = json.loads(done.stdout)
    assert config["MappingKernelManager"] == {
        "cull_idle_timeout": 3600,
        "cull_interval": 300,
        "cull_connected": True,
    }
    assert config["ServerApp"]["shutdown_no_activity_timeout"] == 7200
    extensions = config["ServerApp"]["jpserver_extensions"]
    assert {on for name, on in extensions.items() if name.startswith("nbgrader")} == {False}


def test_the_image_is_made_where_the_settings_look_for_it():
    page = next(path for path in (ROOT / "docs").glob("classroom*.md") if "repo2docker" in path.read_text())
    assert "--target-repo-dir /srv/course" in page.read_text()


def test_the_image_of_a_cluster_is_named_after_this_version():
    image = f'tag: "{__version__}"'
    assert image in (ROOT / "deploy" / "zero_to_jupyterhub.yaml").read_text()
    assert f"training-stability:{__version__}" in (ROOT / "docs" / "classroom.md").read_text()
