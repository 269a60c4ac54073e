"""How the package hangs together: imports point one way, and importing the science changes no setting."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import gradutils

ROOT = Path(__file__).parent.parent
ORDER = [
    "data", "models", "meanfield", "curvature", "schedules", "propagation", "recording", "telemetry", "diagnosis", "training", "sharded_clip",
    "plots", "live", "explorers.descent", "explorers.depth", "explorers.activation", "explorers.initialization", "explorers.clipping", "explorers.schedule", "explorers.residual",
    "explorers",
    "course", "course.display", "course.machine", "course.exercise", "course.exercises", "course.patients", "course.progress", "course.certificate", "course.checks",
    "course.scripts", "course.ward", "course.cases", "course.quiz", "course.verdicts", "course.notebooks",
]  # fmt: skip
MODULES = {
    ".".join(path.relative_to(ROOT / "gradutils").with_suffix("").parts).removesuffix(".__init__"): path
    for path in (ROOT / "gradutils").rglob("*.py")
    if path != ROOT / "gradutils" / "__init__.py"
}


def rank(module):
    name = module.removeprefix("gradutils.")
    while name not in ORDER:
        name = name.rpartition(".")[0]
    return ORDER.index(name)


def imported_by(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gradutils"):
            for alias in node.names:
                deeper = f"{node.module}.{alias.name}".removeprefix("gradutils.")
                yield deeper if deeper in MODULES else node.module.removeprefix("gradutils").lstrip(".")


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_point_one_way(module):
    for name in imported_by(MODULES[module]):
        same_folder = module.startswith("course.exercises") and name.startswith("course.exercises")
        assert rank(name) < rank(module) or same_folder, f"{module} imports {name}"


def test_the_builder_imports_nothing_of_ours():
    assert list(imported_by(MODULES["course.notebooks"])) == []


@pytest.mark.parametrize(("storey", "limit"), [("science", 2600), ("pictures", 750), ("course", 2300)])
def test_a_storey_can_be_read_in_an_hour(storey, limit):
    lines = 0
    for name, path in MODULES.items():
        own = name.split(".")[0]
        own = own if own in ("course", "explorers") else "pictures" if own in ("plots", "live") else "science"
        if own == storey and not name.startswith(("course.exercises.", "course.patients")):
            lines += len(path.read_text(encoding="utf-8").splitlines())
    assert lines < limit


def test_an_explorer_fits_on_two_screens():
    for name, path in MODULES.items():
        if name.startswith("explorers."):
            text = path.read_text(encoding="utf-8")
            assert len(text.splitlines()) < 120 * text.count("-> Explorer:"), name


def run(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_importing_the_science_loads_no_course_and_leaves_the_threads():
    code = "import torch; torch.set_num_threads(2); import sys, gradutils.data; "
    code += "print(torch.get_num_threads(), 'gradutils.course' in sys.modules, 'matplotlib' in sys.modules)"
    assert run(code) == "2 False False"


def test_the_course_uses_one_thread():
    assert (
        run(
            "import torch; torch.set_num_threads(2); from gradutils import check; print(torch.get_num_threads())"
        )
        == "1"
    )


def test_no_heavy_library_is_loaded():
    code = "import sys; from gradutils import check, explorers, plots; "
    code += "print([name for name in ('scipy', 'sklearn', 'pandas', 'torchvision', 'seaborn') if name in sys.modules])"
    assert run(code) == "[]"


def test_the_face():
    for name in gradutils.__all__:
        assert callable(getattr(gradutils, name))
        assert getattr(gradutils, name).__doc__
    assert set(gradutils.__all__) <= set(dir(gradutils))
    with pytest.raises(AttributeError, match="it has certificate"):
        gradutils.chekc  # noqa: B018


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
        if not name.endswith((".npz", ".png")):
            text = (ROOT / name).read_text(encoding="utf-8")
            assert here not in text, name
            assert "/root/" not in text.replace("conda", "") or name == "tests/test_package.py", name


def test_machine_names_the_threads():
    assert "torch threads  1" in gradutils.machine()
