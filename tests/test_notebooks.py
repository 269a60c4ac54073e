"""The builder: one source, two notebooks; whatever goes wrong, the old files stay whole."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from tools.notebooks import (
    FOLD,
    HOST,
    HOST_TAG,
    BuildError,
    build,
    contradicted,
    drifted,
    main,
    make_pair,
    sources,
    split_answer,
    targets,
)

GOOD = """# %% [markdown]
# # A lesson

# %%
def double(x):
    ### BEGIN SOLUTION
    y = 2 * x
    return y
    ### END SOLUTION


# %% tags=["nbval-ignore-output"]
print(double(4))
"""


@pytest.fixture
def course(tmp_path):
    (tmp_path / "solutions").mkdir()
    (tmp_path / "lessons").mkdir()
    (tmp_path / "solutions" / "42_things.py").write_text(GOOD)
    return tmp_path


def write(course, text):
    (course / "solutions" / "42_things.py").write_text(text)
    return sources(course, [])


def test_a_solution_is_run_and_a_lesson_is_stripped(course):
    build(sources(course, []))
    solution, lesson = (nbformat.read(path, as_version=4) for path in targets(sources(course, [])[0]))
    host = lesson.cells.pop(1)
    assert host.source == HOST.format("")
    assert host.metadata == {"tags": [HOST_TAG], **FOLD}
    assert solution.cells[1].source == "def double(x):\n    y = 2 * x\n    return y"
    assert lesson.cells[1].source == "def double(x):\n    ..."
    assert solution.cells[2].outputs[0].text == "8\n"
    assert lesson.cells[2].outputs == []
    assert lesson.cells[2].execution_count is None
    assert [cell.id for cell in lesson.cells] == ["42-001", "42-002", "42-003"]
    assert lesson.cells[2].metadata == {"tags": ["nbval-ignore-output"]}
    for notebook in (solution, lesson):
        nbformat.validate(notebook)
        assert "widgets" not in notebook.metadata
        assert "version" not in notebook.metadata.language_info
        assert all("execution" not in cell.metadata for cell in notebook.cells)
    assert drifted(sources(course, [])) == []


def test_building_twice_changes_nothing(course):
    build(write(course, GOOD + "\n# %%\nimport ipywidgets\n\nipywidgets.IntSlider()\n"))
    assert "widget-view" in targets(sources(course, [])[0])[0].read_text()
    before = [path.read_bytes() for path in targets(sources(course, [])[0])]
    build(sources(course, []))
    assert [path.read_bytes() for path in targets(sources(course, [])[0])] == before


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD.replace("    ### END SOLUTION\n", ""), "without ### END SOLUTION"),
        (GOOD.replace("    ### BEGIN SOLUTION\n", ""), "### END SOLUTION without"),
        (GOOD.replace("    y = 2 * x", "    ### BEGIN SOLUTION"), "inside an answer"),
        (GOOD.replace("    y = 2 * x\n    return y\n", ""), "a solution is missing"),
        (GOOD.replace("### BEGIN SOLUTION", "### Begin solution"), "a marker is written exactly"),
        (GOOD.replace("    y = 2 * x\n    return y\n", "    ...  # later\n"), "a solution is missing"),
        (GOOD.replace("SOLUTION", "SOLUTON"), "a marker is written exactly"),
        (GOOD.replace("BEGIN SOLUTION", "BEGIN_SOLUTION"), "a marker is written exactly"),
        (GOOD.replace("    ### BEGIN SOLUTION\n    y = 2 * x", "    y = 2 * x  ### BEGIN SOLUTION"), "a marker is written exactly"),
        (GOOD.replace("    ###", "###"), "without its answer: does not parse"),
        (GOOD.replace("return y", "return y +"), "does not parse"),
        (GOOD.replace("    ### BEGIN SOLUTION\n", "").replace("    ### END SOLUTION\n", '\ndouble = check("42.1", double).function\n'),
         "an exercise's answer is missing"),
    ],
)  # fmt: skip
def test_a_bad_source_names_file_and_cell(course, text, words):
    paths = write(course, text)
    with pytest.raises(BuildError, match=r"42_things\.py, cell 2") as caught:
        make_pair(paths[0])
    assert words in str(caught.value)
    assert main(["--root", str(course)]) == 1
    assert not list(course.glob("*/*.ipynb"))


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("import os\nos._exit(3)", "cell"),
    ],
)
def test_a_failing_build_leaves_the_old_files_whole(course, capsys, cell, words):
    build(sources(course, []))
    before = [path.read_bytes() for path in targets(sources(course, [])[0])]
    (course / "solutions" / "41_fine.py").write_text(GOOD)
    write(course, GOOD + f"\n# %%\n{cell}\n")
    assert main(["--root", str(course)]) == 1
    error = capsys.readouterr().err
    assert "42_things.py" in error
    assert words in error
    assert [path.read_bytes() for path in targets(sources(course, ["42"])[0])] == before
    assert not list(course.glob("*/41_fine.ipynb"))
    assert not list(course.glob("*/.*"))


FOLDING = """# %% tags=["experiment"]
results = [rate**2 for rate in range(3)]

# %%
print(results)

# %% tags=["drawing", "nbval-ignore-output"]
print("a drawing")

# %% tags=["reveal"]
print("because")
"""


def test_a_tagged_cell_is_folded_in_both_notebooks_and_runs(course):
    build(write(course, FOLDING))
    solution, lesson = (nbformat.read(path, as_version=4) for path in targets(sources(course, [])[0]))
    assert lesson.cells.pop(0).metadata.tags == [HOST_TAG]
    for notebook in (solution, lesson):
        nbformat.validate(notebook)
        folded = [cell.metadata.get("jupyter", {}).get("source_hidden", False) for cell in notebook.cells]
        assert folded == [True, False, True, True]
        assert [cell.metadata.get("cellView") for cell in notebook.cells] == ["form", None, "form", "form"]
        assert notebook.cells[2].metadata.tags == ["drawing", "nbval-ignore-output"]
    assert [cell.outputs[0].text for cell in solution.cells[1:]] == [
        "[0, 1, 4]\n",
        "a drawing\n",
        "because\n",
    ]


@pytest.mark.parametrize("key", ["jupyter", "cellView"])
@pytest.mark.parametrize("kind", [0, 1])
def test_a_missing_fold_is_named(course, key, kind):
    build(write(course, FOLDING))
    path = targets(sources(course, [])[0])[kind]
    notebook = nbformat.read(path, as_version=4)
    del notebook.cells[3].metadata[key]
    nbformat.write(notebook, path)
    said = [f"{path}: the tags or the fold of cell 4 are not those of its source"]
    assert drifted(sources(course, [])) == said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (FOLDING.replace('"reveal"', '"reveals"'), r"42_things\.py, cell 4 \(print\(\"because\"\)\): has the unknown tag 'reveals'; known"),
        (GOOD.replace("[markdown]", '[markdown] tags=["drawing"]'), "cell 1 .*: only a code cell"),
        (GOOD.replace("# %%\ndef", '# %% tags=["experiment"]\ndef'), "cell 2 .*: is folded by its tag"),
    ],
)  # fmt: skip
def test_a_tag_that_cannot_be_kept_is_an_error(course, text, words):
    with pytest.raises(BuildError, match=words):
        make_pair(write(course, text)[0])


def test_a_lesson_becomes_a_script(course, tmp_path):
    build(write(course, FOLDING))
    lesson = targets(sources(course, [])[0])[1]
    command = [sys.executable, "-m", "nbconvert", "--to", "script", "--output-dir", tmp_path / "as", lesson]
    subprocess.run(command, check=True, capture_output=True)
    script = tmp_path / "as" / "42_things.py"
    ran = subprocess.run([sys.executable, script], check=True, capture_output=True, text=True)
    assert ran.stdout.split("\n") == ["[0, 1, 4]", "a drawing", "because", ""]


@pytest.mark.skipif(os.name == "nt", reason="signals work otherwise there")
def test_an_interrupted_build_leaves_the_old_files_whole(course):
    build(sources(course, []))
    before = [path.read_bytes() for path in targets(sources(course, [])[0])]
    marker = course / "started"
    write(
        course,
        GOOD + f"\n# %%\nimport time, pathlib\npathlib.Path({str(marker)!r}).touch()\ntime.sleep(60)\n",
    )
    command = [sys.executable, "-m", "tools.notebooks", "--root", str(course)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    for _ in range(300):
        if marker.exists():
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) != 0
    assert [path.read_bytes() for path in targets(sources(course, [])[0])] == before


def test_drift_is_named(course):
    build(sources(course, []))
    solution, lesson = targets(sources(course, [])[0])
    for path, cell, change in (
        (solution, 3, "double(4)"),
        (lesson, 4, "double(4)"),
        (lesson, 2, "--depth=1"),
    ):
        text = path.read_text()
        path.write_text(text.replace(change, "double(5)"))
        (sentence,) = drifted(sources(course, []))
        assert sentence == f"{path}: cell {cell} differs from its source"
        path.write_text(text)
    notebook = nbformat.read(lesson, as_version=4)
    notebook.cells[2].execution_count = 1
    nbformat.write(notebook, lesson)
    assert "has been run" in drifted(sources(course, []))[0]
    lesson.write_text("no notebook")
    assert "cannot be read" in drifted(sources(course, []))[0]
    lesson.write_text(nbformat.writes(notebook).replace('"source"', '"sauce"'))
    assert "cannot be read" in drifted(sources(course, []))[0]
    build(sources(course, []))
    unrun = nbformat.read(solution, as_version=4)
    unrun.cells[2].execution_count = None
    nbformat.write(unrun, solution)
    assert "was not run" in drifted(sources(course, []))[0]
    unrun.metadata.kernelspec.name = "other"
    nbformat.write(unrun, solution)
    assert "metadata" in drifted(sources(course, []))[0]
    build(sources(course, []))
    lesson.unlink()
    assert drifted(sources(course, [])) == [f"{lesson}: is missing"]
    assert main(["--check", "--root", str(course)]) == 1
    (course / "lessons" / "43_orphan.ipynb").write_text("{}")
    assert "has no source" in drifted(sources(course, []))[-1]


def remote(course, address):
    for command in (("init", "--quiet"), ("remote", "add", "origin", address)):
        subprocess.run(["git", "-C", course, *command], check=True)


@pytest.mark.parametrize("address", ["https://github.com/ada/course.git", "git@github.com:ada/course"])
def test_a_lesson_knows_where_the_course_is_public(course, address):
    build(sources(course, []))
    lesson = targets(sources(course, [])[0])[1]
    assert HOST.format("") in nbformat.read(lesson, as_version=4).cells[1].source
    remote(course, address)
    assert main(["--address", "--root", str(course)]) == 0
    written = lesson.read_bytes()
    assert HOST.format("https://github.com/ada/course") in nbformat.read(lesson, as_version=4).cells[1].source
    assert drifted(sources(course, [])) == []  # whichever it is: a fork has another
    build(sources(course, []))
    assert lesson.read_bytes() == written


def test_an_address_on_no_public_host_is_said_so(course, capsys):
    build(sources(course, []))
    remote(course, "../elsewhere")
    assert main(["--address", "--root", str(course)]) == 1
    assert "on no public host" in capsys.readouterr().err


def test_odd_calls_are_sentences(course, capsys):
    assert main(["42", "42_things", "--root", str(course)]) == 0
    solution, lesson = targets(sources(course, [])[0])
    before = solution.read_bytes()
    lesson.unlink()
    lesson.mkdir()
    assert main(["--root", str(course)]) == 1
    assert "cannot be written" in capsys.readouterr().err
    assert solution.read_bytes() == before


def test_unknown_lessons_and_an_empty_course_are_sentences(course, tmp_path, capsys):
    assert main(["99", "--root", str(course)]) == 1
    assert "no lesson '99'" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert main(["--root", str(tmp_path / "empty")]) == 1
    assert "no lesson sources" in capsys.readouterr().err


def test_an_answer_may_stand_in_the_middle_of_a_function():
    text = "def f(x):\n    y = 1\n    ### BEGIN SOLUTION\n    y += x\n    ### END SOLUTION\n    return y"
    full, stripped, answers = split_answer(text, "here")
    assert full == "def f(x):\n    y = 1\n    y += x\n    return y"
    assert stripped == "def f(x):\n    y = 1\n    ...\n    return y"
    assert answers == 1


ROOT = Path(__file__).parent.parent


def test_the_stored_notebooks_agree_with_their_sources():
    assert drifted(sources(ROOT, [])) == []
    assert contradicted(sources(ROOT, [])) == []


def change_a_verdict(path, **changes):
    """Another verdict on S9, as a trial would have found it."""
    notebook = nbformat.read(path, as_version=4)
    (record,) = (
        output.metadata.gradutils_verdict
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output.get("metadata", {}).get("gradutils_verdict", {}).get("claim") == "S9"
    )
    record.update(changes)
    nbformat.write(notebook, path)


def test_a_table_that_shows_another_verdict_than_its_trial_is_named(tmp_path, capsys):
    shutil.copytree(ROOT / "solutions", tmp_path / "solutions")
    shutil.copytree(ROOT / "lessons", tmp_path / "lessons")
    tried = tmp_path / "solutions" / "01_gradient_descent.ipynb"
    change_a_verdict(tried, evidence="Something else.")
    said = "lesson 13 shows other evidence on S9 than lesson 01 found: build 13"
    assert contradicted(sources(tmp_path, [])) == [said]
    change_a_verdict(tried, outcome="refuted")
    assert main(["--check", "--root", str(tmp_path), "01"]) == 1
    assert "lesson 13 shows S9 as depends, lesson 01 found refuted: build 13" in capsys.readouterr().out
    change_a_verdict(tried, outcome="not tested")
    assert contradicted(sources(tmp_path, [])) == [
        "lesson 13 shows S9 as depends, lesson 01 found not tested: build 13"
    ]
