"""The package as a learner's own project would install it: a wheel, far from the repository."""

import os
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
UNPACKED = ("gradutils.egg-info", "screenshots", "build", "dist", "__pycache__", ".*")

# What runs far from the repository. A right answer to exercise 01.1 is all that is borrowed from the course.
LEARNER = """
import sys
import gradutils
from gradutils import plots
from gradutils.course import check
from gradutils.data import digits

print("digits", *digits().x_train.shape)
plots.use_style()
check("01.1", lambda x, gradient, lr: x - lr * gradient)
ours = [module.__file__ for name, module in sys.modules.items() if name.split(".")[0] == "gradutils"]
print("from", gradutils.__file__)
print("elsewhere", [path for path in ours if not path.startswith(gradutils.__file__.removesuffix("__init__.py"))])
"""


# What an engineer does who has installed torch and numpy, and nothing else that the course needs.
ENGINEER = """
import sys
import torch
from gradutils.recorder import Recorder, Recording, diagnose

torch.manual_seed(0)
model, x = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2)), torch.randn(16, 4)
optimizer = torch.optim.SGD(model.parameters(), 0.1)
with Recorder(model, every=1) as recorder:
    for _ in range(25):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(x), (x[:, 0] > 0).long())
        loss.backward()
        optimizer.step()
        recorder.step(loss)
recorder.save("run.npz")
print("records", len(Recording.load("run.npz")))
print("diagnosis", diagnose(recorder).illness)
for name in ("matplotlib", "IPython", "PIL", "tqdm"):
    try:
        __import__(name)
    except ModuleNotFoundError:
        continue
    print("there is", name)
try:
    import gradutils.plots
except ModuleNotFoundError as missing:
    print(missing)
"""
# Lends packages of another environment, some by name and no other.
LENDER = """
import sys
from importlib.machinery import PathFinder


class Lender:
    @staticmethod
    def find_spec(name, path=None, target=None):
        return PathFinder.find_spec(name, {paths!r}) if path is None and name in {names!r} else None


sys.meta_path.append(Lender)
"""


def run(*command, cwd, **options):
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, encoding="utf-8", errors="replace", check=False, **options
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout


def pip(*arguments):
    return (sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of a copy of the repository, which building would litter; and the copy."""
    folder = tmp_path_factory.mktemp("wheel")
    copied = shutil.copytree(ROOT, folder / "copy", ignore=shutil.ignore_patterns(*UNPACKED))
    build = pip("wheel", "--no-deps", "--wheel-dir", folder, copied)
    try:
        import setuptools

        here = int(setuptools.__version__.split(".")[0]) >= 77  # as pyproject.toml asks
    except ImportError:
        here = False
    if here:
        run(*build, "--no-build-isolation", cwd=folder)
    else:  # pip fetches it
        done = subprocess.run(
            (*build, "--retries", "0"), cwd=folder, capture_output=True, text=True, check=False
        )
        if "No matching distribution found for setuptools" in done.stderr:
            pytest.skip("no setuptools is installed, and none can be fetched")
        assert done.returncode == 0, done.stderr[-3000:]
    (made,) = folder.glob("*.whl")
    return made, copied


def test_the_wheel_holds_the_package_whole_and_nothing_else(wheel):
    made, copied = wheel
    names = {name for name in zipfile.ZipFile(made).namelist() if not name.endswith("/")}
    beside = ".data/data/share/jupyter/labextensions/gradutils/"
    extension = {name.split(beside)[1] for name in names if beside in name}
    assert extension == {
        path.relative_to(copied / "labextension").as_posix()
        for path in (copied / "labextension").rglob("*")
        if path.is_file()
    }
    packed = {name for name in names if ".dist-info/" not in name and beside not in name}
    assert packed == {
        path.relative_to(copied).as_posix() for path in (copied / "gradutils").rglob("*") if path.is_file()
    }
    assert {"gradutils/assets/digits.npz", "gradutils/plots/gradutils.mplstyle"} <= packed
    assert any(name.endswith("licenses/LICENSE") for name in names)


def new_environment(made, tmp_path):
    """The Python of a new environment into which the wheel alone is installed, and its folder of packages."""
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv", cwd=tmp_path)
    python = tmp_path / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    run(*pip("--python", python, "install", "--no-deps", "--no-index", made), cwd=tmp_path)
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    return python, Path(run(python, "-I", "-c", where, cwd=tmp_path).strip())


def lent_paths():
    return [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]


def test_a_wheel_in_a_new_environment_needs_no_repository(wheel, tmp_path):
    python, site = new_environment(wheel[0], tmp_path)
    # torch and the rest are lent. A path in a .pth file is added as it is: the .pth files in that folder, among them that of the
    # editable install, are not read.
    (site / "lent.pth").write_text("\n".join(lent_paths()), encoding="utf-8")

    home = os.environ | {"GRADUTILS_HOME": str(tmp_path / "home"), "MPLBACKEND": "agg"}
    printed = run(python, "-I", "-c", LEARNER, cwd=tmp_path, env=home)  # -I: no other folder counts
    lines = printed.splitlines()
    assert lines[0] == "digits 1400 64"
    assert lines[1].endswith("01.1 correct.")
    assert lines[2:] == [f"from {site / 'gradutils' / '__init__.py'}", "elsewhere []"]
    assert (tmp_path / "home" / "progress.jsonl").exists()


def needed_by(*names):
    """What these distributions need in turn, themselves included, as the names by which it is imported."""
    distributions, waiting = set(), [*names]
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name not in distributions:
            distributions.add(name)
            for line in requires(name) or ():
                wanted = Requirement(line)
                if wanted.marker is None or wanted.marker.evaluate({"extra": ""}):
                    waiting.append(wanted.name)
    return {
        module
        for module, owners in packages_distributions().items()
        if distributions & set(map(canonicalize_name, owners))
    }


def test_torch_and_numpy_are_enough_for_the_recorder(wheel, tmp_path):
    python, site = new_environment(wheel[0], tmp_path)
    names = needed_by("torch", "numpy")
    assert "sympy" in names
    assert "matplotlib" not in names
    (site / "lender.py").write_text(LENDER.format(paths=lent_paths(), names=names), encoding="utf-8")
    (site / "lender.pth").write_text("import lender", encoding="utf-8")

    asked = "figures need matplotlib: pip install gradutils[plots]"
    printed = run(python, "-I", "-c", ENGINEER, cwd=tmp_path)
    assert printed.splitlines() == ["records 25", "diagnosis healthy", asked]
    printed = run(python, "-I", "-m", "gradutils.recorder", "run.npz", "--report", "run.html", cwd=tmp_path)
    assert printed.startswith("25 records of steps 0 to 24")
    assert "\nhealthy: " in printed
    assert f"No figure: {asked}." in (tmp_path / "run.html").read_text(encoding="utf-8")
