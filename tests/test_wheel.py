"""The package as a learner's own project would install it: a wheel, far from the repository."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

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
    packed = {name for name in names if ".dist-info/" not in name}
    assert packed == {
        path.relative_to(copied).as_posix() for path in (copied / "gradutils").rglob("*") if path.is_file()
    }
    assert {"gradutils/assets/digits.npz", "gradutils/plots/gradutils.mplstyle"} <= packed
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_a_wheel_in_a_new_environment_needs_no_repository(wheel, tmp_path):
    made, _ = wheel
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv", cwd=tmp_path)
    python = tmp_path / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    run(*pip("--python", python, "install", "--no-deps", "--no-index", made), cwd=tmp_path)
    # torch and the rest are lent. A path in a .pth file is added as it is: the .pth files in that folder, among them that of the
    # editable install, are not read.
    lent = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(run(python, "-I", "-c", where, cwd=tmp_path).strip())
    (site / "lent.pth").write_text("\n".join(lent), encoding="utf-8")

    home = os.environ | {"GRADUTILS_HOME": str(tmp_path / "home"), "MPLBACKEND": "agg"}
    printed = run(python, "-I", "-c", LEARNER, cwd=tmp_path, env=home)  # -I: no other folder counts
    lines = printed.splitlines()
    assert lines[0] == "digits 1400 64"
    assert lines[1].endswith("01.1 correct.")
    assert lines[2:] == [f"from {site / 'gradutils' / '__init__.py'}", "elsewhere []"]
    assert (tmp_path / "home" / "progress.jsonl").exists()
