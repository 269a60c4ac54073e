"""Run the course on the oldest packages that it takes, as they are on hosts such as Colab: `make oldest`.

    python -m tools.oldest --install     the least versions of pyproject.toml, into the environment whose Python runs this
    python -m tools.oldest               the tests there, among them a lesson that begins with its cell for such hosts

The course itself is not installed: on such a host its folder is all there is.
"""

import subprocess
import sys
from importlib.metadata import version

from tools.hosted import wanted
from tools.install import PIP, ROOT, TORCH_INDEX

# Left out is what needs a browser, the locked versions, or the numbers of the newest torch.
TESTS = ("hosts", "data", "models", "schedules", "precision", "checks", "quiz", "recall", "progress", "predictions",
         "recorder", "figures", "diagrams")  # fmt: skip
# torch 2.6 shards on graphics cards alone.
NOT = ("tests/test_recorder.py::test_norms_over_two_processes_equal_those_of_one[fsdp2]",)


def install() -> None:
    """Install the least version of each package that a lesson needs, torch as a CPU build."""
    least = wanted(ROOT)
    torch = f"torch=={least.pop('torch')}"
    pins = [f"{name}=={number}" for name, number in least.items()]
    around = ("-r", ROOT / "requirements" / "oldest.in")
    subprocess.run([*PIP, "install", *around, *pins], check=True)
    subprocess.run([*PIP, "install", "--no-deps", "--index-url", TORCH_INDEX, torch], check=True)


def newer() -> list[str]:
    """What is not there in its least version, in a sentence each."""
    here = {name: (version(name).split("+")[0], least) for name, least in wanted(ROOT).items()}
    return [
        f"{name} is {there}, not {least}" for name, (there, least) in here.items() if not same(there, least)
    ]


def same(there: str, least: str) -> bool:
    """Whether two versions are one: 4.0.0 is 4."""
    one, other = (text.split(".") for text in (there, least))
    return one[: len(other)] == other and set(one[len(other) :]) <= {"0"}


def test() -> int:
    """Run the tests; the exit status of pytest."""
    files = [path for name in TESTS if (path := ROOT / "tests" / f"test_{name}.py").exists()]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        *(f"--deselect={name}" for name in NOT),
        *files,
    ]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    if "--install" in sys.argv[1:]:
        install()
        sys.exit()
    if found := newer():
        sys.exit("\n".join(found))
    sys.exit(test())
