"""Where the course is not installed and little can be chosen: the first cell of a lesson on Colab and Kaggle, and what a
reader is told where no widget lives. `make oldest` runs this once more, on the packages that such hosts carry."""

import os
import re
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tools import hosted
from tools.notebooks import HOST, HOST_TAG

ROOT = Path(__file__).parent.parent
WIDGET = "application/vnd.jupyter.widget-view+json"
DRIVE = "def mount(folder):\n    print('mounted', folder)\n"


@pytest.fixture
def colab(tmp_path, monkeypatch):
    """A place like Colab: its variable, its package, a home, an empty folder to start in, and the course beside it."""
    package = tmp_path / "packages" / "google" / "colab"
    package.mkdir(parents=True)
    (package / "drive.py").write_text(DRIVE)
    for name in ("home", "content"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "content")
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release-colab")
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "packages"))
    monkeypatch.delenv("GRADUTILS_HOME")
    monkeypatch.setattr(sys, "path", [path for path in sys.path if Path(path).resolve() != ROOT])
    monkeypatch.syspath_prepend(tmp_path / "packages")
    for name in [name for name in sys.modules if name.split(".")[0] == "google"]:
        monkeypatch.delitem(sys.modules, name)  # another package of Google's may have been imported
    return tmp_path


# A lesson --------------------------------------------------------------------------------------------------------------
def run(notebook, folder, **environment):
    """Every output of a notebook, run as a front end without widgets runs it, in an empty folder."""
    client = NotebookClient(
        notebook, timeout=120, kernel_name="python3", store_widget_state=False, resources={"metadata": {"path": str(folder)}}
    )  # fmt: skip
    client.execute(env=os.environ | environment)
    return [(cell.source, output) for cell in notebook.cells for output in cell.get("outputs", [])]


def test_a_lesson_runs_on_colab_and_says_in_words_all_that_widgets_would(colab):
    lesson = nbformat.read(ROOT / "lessons" / "02_backpropagation.ipynb", as_version=4)
    asked = [cell for cell in lesson.cells if re.search(r"^predict\(", cell.source, re.MULTILINE)]
    asked[0].source = asked[0].source.removesuffix(")") + ', choice="b")'  # as the words say
    home = colab / "home" / "kept"
    outputs = run(lesson, colab / "content", GRADUTILS_COURSE=str(ROOT), GRADUTILS_HOME=str(home))
    for source, output in outputs:
        assert output.output_type != "error", source
        assert output.get("name") != "stderr", (source, output.text)
    shown = {
        source: output.data["text/plain"] for source, output in outputs if WIDGET in output.get("data", {})
    }
    predictions = [text for source, text in shown.items() if "predict(" in source]
    assert len(predictions) == len(asked) >= 3
    for text in predictions:
        assert re.match(r"Predict 02\.\w: .+\n  a\) .+\n  b\) ", text)
        assert 'Add choice="a" to the call' in text
    (recalled,) = (text for source, text in shown.items() if "recall(" in source)
    assert len(re.findall(r"^\d\. .+\n  a\) .+\n  b\) ", recalled, re.MULTILINE)) == 3
    assert "Answers:\n1. " in recalled
    (explorer,) = (text for source, text in shown.items() if "explorers." in source)
    assert len(explorer.split()) > 8
    option = re.search(r"^  b\) (.+)$", predictions[0], re.MULTILINE)[1]
    said = "\n".join(output.data["text/plain"] for source, output in outputs if "reveal(" in source)
    assert said.startswith((f"✓ Measured: {option}. As predicted.", "✗ Measured: "))
    assert said.startswith("✓") or f"Predicted: {option}." in said
    assert (home / "progress.jsonl").exists()


# Its first cell --------------------------------------------------------------------------------------------------------
def state():
    return os.getcwd(), list(sys.path), dict(os.environ)


def test_the_first_cell_does_nothing_elsewhere(monkeypatch):
    monkeypatch.setattr(subprocess, "run", pytest.fail)
    before = state()
    exec(HOST.format("https://example.org/course"), {})
    assert state() == before


def test_every_lesson_begins_its_code_with_that_cell_and_no_solution_has_it():
    for path in ROOT.glob("lessons/*.ipynb"):
        lesson, solution = (
            nbformat.read(ROOT / folder / path.name, as_version=4) for folder in ("lessons", "solutions")
        )
        first = next(cell for cell in lesson.cells if cell.cell_type == "code")
        assert first.metadata.tags == [HOST_TAG]
        assert len(lesson.cells) == len(solution.cells) + 1


def test_the_course_is_fetched_once_from_its_address(colab):
    public = colab / "public"
    (public / "tools").mkdir(parents=True)
    (public / "tools" / "hosted.py").write_text("def prepare(course):\n    print('ready', course)\n")
    author = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    for command in (("init", "-q"), ("add", "."), (*author, "commit", "-q", "-m", "All")):
        subprocess.run(["git", "-C", public, *command], check=True)
    cell = f"import os\n{HOST.format(public.as_uri())}"
    for _ in range(2):  # the second time it is there
        done = subprocess.run([sys.executable, "-c", cell], capture_output=True, text=True, check=True)
        assert done.stdout == f"ready {colab / 'home' / 'gradutils'}\n"


# What it prepares ------------------------------------------------------------------------------------------------------
def test_what_is_there_is_left_and_what_is_missing_is_installed(colab, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(hosted, "install", asked.append)
    monkeypatch.setattr(
        hosted, "wanted", lambda course: {"numpy": "1.26", "torch": "999.0", "no-such-thing": "1.2"}
    )
    hosted.prepare(ROOT)
    hosted.prepare(ROOT)  # the cell may be run again
    assert asked == [["no-such-thing>=1.2"]] * 2
    said = capsys.readouterr().out
    assert "Installed: no-such-thing>=1.2." in said
    assert re.search(r"torch is \S+ here; the course was tried with 999.0 and later", said)
    assert Path.cwd() == ROOT / "lessons"
    assert sys.path.count(str(ROOT)) == 1
    assert os.environ["PYTHONPATH"].split(os.pathsep) == [str(ROOT), str(colab / "packages")]


def test_all_that_a_lesson_needs_is_wanted():
    assert {"torch", "numpy", "matplotlib", "pillow", "ipywidgets", "ipython", "anywidget"} <= set(
        hosted.wanted(ROOT)
    )


def wheel(folder, name, needs):
    """A package without code that requires something."""
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as file:
        info = f"{name}-1.0.dist-info"
        file.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nRequires-Dist: {needs}\n"
        )
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", f"{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")


def test_an_installation_changes_no_version_that_is_there(tmp_path):
    """Two packages to be had, one of which wants a newer pip than there is; it is to be had, too."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "host"], check=True)
    python = tmp_path / "host" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    for name, needs in (("modest", "pip"), ("greedy", "pip>=999")):
        wheel(tmp_path, name, needs)
    with zipfile.ZipFile(tmp_path / "pip-999-py3-none-any.whl", "w") as file:
        file.writestr("pip-999.dist-info/METADATA", "Metadata-Version: 2.1\nName: pip\nVersion: 999\n")
        file.writestr(
            "pip-999.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        file.writestr("pip-999.dist-info/RECORD", "")
    offline = os.environ | {
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(tmp_path),
        "PYTHONPATH": os.pathsep.join([str(ROOT), sysconfig.get_path("purelib")]),
    }
    for name, fits in (("modest", True), ("greedy", False)):
        code = f"from tools import hosted; hosted.install([{name!r}])"
        done = subprocess.run(
            [python, "-c", code], env=offline, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert (done.returncode == 0) == fits, done.stderr
    command = [
        python,
        "-c",
        "from importlib.metadata import version; print(version('modest'), version('pip') == '999')",
    ]
    assert (
        subprocess.run(command, env=offline, capture_output=True, text=True, check=True).stdout
        == "1.0 False\n"
    )


def test_progress_is_kept_where_it_lasts(colab, monkeypatch):
    assert (
        hosted.keep_progress() == "Progress is kept in /content/drive/MyDrive/gradutils. That is your Drive."
    )
    assert os.environ["GRADUTILS_HOME"] == "/content/drive/MyDrive/gradutils"
    assert hosted.keep_progress() == "Progress is kept in /content/drive/MyDrive/gradutils."
    monkeypatch.delenv("GRADUTILS_HOME")
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Interactive")
    assert hosted.keep_progress().startswith("Progress is kept in /kaggle/working/gradutils. It lasts where")


def test_a_drive_that_is_refused_is_no_failure(colab, capsys):
    (colab / "packages" / "google" / "colab" / "drive.py").write_text(
        "def mount(folder):\n    raise ValueError('no')\n"
    )
    assert "until this runtime ends" in hosted.keep_progress()
    assert "ValueError: no" in capsys.readouterr().out
    assert "GRADUTILS_HOME" not in os.environ
