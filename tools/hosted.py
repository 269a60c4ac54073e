"""What the first cell of a lesson runs on Colab and on Kaggle, where the course lies beside what is installed already.

`prepare` adds the packages that are missing and changes none that is there: IPython, ipywidgets, numpy and torch are running.
It makes the course importable, in this kernel and in programs that it starts, goes to its lessons, and keeps progress where it
lasts. The standard library is all that it needs.
"""

import os
import re
import subprocess
import sys
import tempfile
import tomllib
from importlib import metadata
from pathlib import Path

DRIVE = "/content/drive"
KAGGLE = "/kaggle/working"


def prepare(course: str | Path) -> None:
    """Make a lesson run here; ``course`` is the folder of the repository. What was done is printed, in a line each."""
    course = Path(course).resolve()
    missing, older = compared(wanted(course))
    if missing:
        install(missing)
        print("Installed:", ", ".join(missing) + ".")
    for name, here, least in older:
        print(f"{name} is {here} here; the course was tried with {least} and later.")
    if str(course) not in sys.path:
        sys.path.append(str(course))
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(course), os.environ.get("PYTHONPATH")]))
    os.chdir(course / "lessons")
    print(keep_progress())


def wanted(course: Path) -> dict[str, str]:
    """What a lesson needs, name -> least version, as pyproject.toml says it."""
    project = tomllib.loads((course / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    needed = [*project["dependencies"], *extras["plots"], *extras["course"]]
    return dict(found.groups() for text in needed if (found := re.fullmatch(r"([\w-]+)>=([\d.]+)", text)))


def compared(needed: dict[str, str]) -> tuple[list[str], list[tuple[str, str, str]]]:
    """Of what is needed, the requirements of what is missing; and name, version and least version of what is older."""
    missing, older = [], []
    for name, least in needed.items():
        try:
            here = metadata.version(name)
        except metadata.PackageNotFoundError:
            missing.append(f"{name}>={least}")
        else:
            if _numbers(here) < _numbers(least):
                older.append((name, here, least))
    return missing, older


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.match(r"\d+(\.\d+)*", version)[0].split(".")]


def install(missing: list[str]) -> None:
    """Install packages and what they need, with every installed version held. CalledProcessError where the two do not agree."""
    held = {d.metadata["Name"]: d.version for d in metadata.distributions() if d.metadata["Name"]}
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "held.txt"
        constraints.write_text("\n".join(f"{name}=={version}" for name, version in held.items()))
        pip = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        subprocess.run([*pip, "--constraint", constraints, *missing], check=True)


def keep_progress() -> str:
    """Name in GRADUTILS_HOME a folder that lasts, unless it names one already; a sentence that says where that is."""
    if "GRADUTILS_HOME" not in os.environ:
        if "KAGGLE_KERNEL_RUN_TYPE" in os.environ:
            home, lasts = KAGGLE, "It lasts where the notebook's settings say that files persist."
        elif _mounted():
            home, lasts = f"{DRIVE}/MyDrive", "That is your Drive."
        else:
            return "Progress is kept until this runtime ends: Drive was not connected."
        os.environ["GRADUTILS_HOME"] = f"{home}/gradutils"
        return f"Progress is kept in {home}/gradutils. {lasts}"
    return f"Progress is kept in {os.environ['GRADUTILS_HOME']}."


def _mounted() -> bool:
    """Whether the reader let Colab connect to Drive, which it asks here."""
    try:
        from google.colab import drive

        drive.mount(DRIVE)
    except Exception as refused:  # Colab raises what it likes, such as ValueError for a refused consent
        print(f"{type(refused).__name__}: {refused}")
        return False
    return True
