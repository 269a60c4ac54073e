"""How the package hangs together: imports point one way, and importing the science changes no setting."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gradutils import course

ROOT = Path(__file__).parent.parent
MODULES = {
    ".".join(path.relative_to(ROOT / "gradutils").with_suffix("").parts).removesuffix(".__init__"): path
    for path in (ROOT / "gradutils").rglob("*.py")
    if path != ROOT / "gradutils" / "__init__.py"
}


# Who may import whom, floor by floor: a room sees the floors below it and the rooms beside it, never those above.
FLOORS = (
    {"data", "models", "schedules", "meanfield", "propagation", "curvature", "training", "plots"},
    {"recorder"},
    {"explorers", "two_processes"},
    {"course"},
)


def floor(module):
    """0 is the ground; the package itself holds only its version."""
    return next((k for k, rooms in enumerate(FLOORS) if module.split(".")[0] in rooms), 0)


def imported_by(path):
    """The modules of ours that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gradutils"):
            for alias in node.names:
                deeper = f"{node.module}.{alias.name}".removeprefix("gradutils.")
                yield deeper if deeper in MODULES else node.module.removeprefix("gradutils").lstrip(".")


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_point_one_way(module):
    for name in imported_by(MODULES[module]):
        assert floor(name) <= floor(module), f"{module} imports {name}"


def test_no_room_imports_itself_in_a_circle():
    waiting = {module: set(imported_by(path)) for module, path in MODULES.items()}
    while free := {module for module, needs in waiting.items() if not needs & set(waiting)}:
        waiting = {module: needs for module, needs in waiting.items() if module not in free}
    assert not waiting, f"a circle lies among {sorted(waiting)}"


def test_plots_import_nothing_of_ours_and_nothing_of_ours_imports_tools():
    for module, path in MODULES.items():
        if module.split(".")[0] == "plots":
            assert all(name.split(".")[0] == "plots" for name in imported_by(path)), module
        outside = r"^\s*(from|import) (tools|tests|benchmarks)\b"
        assert not re.search(outside, path.read_text(encoding="utf-8"), re.MULTILINE), module


def test_a_file_fits_in_a_head():
    for module, path in MODULES.items():
        if not module.startswith("course.exercises."):
            assert len(path.read_text(encoding="utf-8").splitlines()) <= 400, module


@pytest.mark.parametrize(
    "folder",
    sorted({path.parent for path in MODULES.values()} - {ROOT / "gradutils" / "course" / "exercises"}),
)
def test_a_folder_says_its_rooms(folder):
    said = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))
    rooms = {
        path.stem for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    } - {"__init__"}
    for room in rooms:
        assert re.search(rf"\b{room}\b", said), f"{folder.name}/__init__.py does not say what {room} is for"


def run(code, **environment):
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ | environment
    )
    return done.stdout.strip()


def test_importing_the_science_loads_no_course_and_leaves_the_threads():
    code = "import torch; torch.set_num_threads(2); import sys, gradutils.data; "
    code += "print(torch.get_num_threads(), 'gradutils.course' in sys.modules, 'matplotlib' in sys.modules)"
    assert run(code) == "2 False False"


def test_importing_the_recorder_loads_torch_numpy_and_the_standard_library_alone():
    code = "import sys, torch, numpy; before = {name.split('.')[0] for name in sys.modules}; import gradutils.recorder; "
    code += "after = {name.split('.')[0] for name in sys.modules}; print(*sorted(after - before - sys.stdlib_module_names))"
    assert run(code) == "gradutils"
    code = "import sys, gradutils.recorder.__main__; print({'matplotlib', 'IPython', 'PIL'} & {*sys.modules})"
    assert run(code) == "set()"


def test_the_course_uses_one_thread():
    assert (
        run(
            "import torch; torch.set_num_threads(2); from gradutils.course import check; print(torch.get_num_threads())"
        )
        == "1"
    )


def test_no_heavy_library_is_loaded():
    code = "import sys; from gradutils import explorers, plots; from gradutils.course import check; "
    code += "print([name for name in ('scipy', 'sklearn', 'pandas', 'torchvision', 'seaborn') if name in sys.modules])"
    assert run(code) == "[]"


def test_the_face_of_a_lesson():
    for name in course.__all__:
        assert callable(getattr(course, name))
        assert getattr(course, name).__doc__


@pytest.mark.parametrize("asked", ["two", "0", "-1", "1.5", ""])
def test_a_number_of_threads_that_is_none_is_said(asked):
    with pytest.raises(subprocess.CalledProcessError) as failed:
        run("import gradutils.course", GRADUTILS_THREADS=asked)
    assert f"GRADUTILS_THREADS must be a whole number, 1 or more; got {asked!r}" in failed.value.stderr


def test_public_functions_have_docstrings():
    for name, path in MODULES.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert ast.get_docstring(tree), name
        for node in tree.body:
            if name.startswith("course.exercises.") or not isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                continue
            if not node.name.startswith("_") and len(node.body) > 3:
                assert ast.get_docstring(node), f"{name}.{node.name}"


def test_the_project_speaks_of_itself_alone():
    here = str(ROOT)
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    for name in tracked:
        if not name.endswith((".npz", ".png", ".bin")):
            text = (ROOT / name).read_text(encoding="utf-8")
            assert here not in text, name
            assert "/root/" not in text.replace("conda", "") or name == "tests/test_package.py", name


def test_machine_names_the_threads():
    assert "torch threads  1" in course.machine()
