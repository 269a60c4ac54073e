"""Remake requirements/*.txt, every version with its hashes: `make lock`, after direct.in or pyproject.toml changed.

    python -m tools.lock              keep each version that still fits
    python -m tools.lock --upgrade    take the newest that direct.in leaves free

One file serves Linux, macOS and Windows and every Python the course runs on; pip reads it as well as uv. torch and
what only its CUDA build needs are left out: tools/install.py takes torch from an index of its own.
"""

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from tools.install import REQUIREMENTS, ROOT, find_uv

TORCH = re.compile(r"(torch|triton|cuda-[\w-]+|nvidia-[\w-]+)==")


def inputs(root: Path = ROOT) -> dict:
    """What the locks are made from: the direct pins and the requirements of pyproject.toml."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    pins = (root / "requirements" / "direct.in").read_text(encoding="utf-8").splitlines()
    return {
        "pins": [line for line in pins if line and not line.startswith("#")],
        "build": project["build-system"]["requires"],
        "python": project["project"]["requires-python"],
        "run": project["project"]["dependencies"],
        "extras": project["project"]["optional-dependencies"],
    }


def stamp(root: Path = ROOT) -> str:
    """The line that a lock begins with: it changes whenever the inputs do."""
    text = json.dumps(inputs(root), sort_keys=True)
    return f"# made from the inputs {hashlib.sha256(text.encode()).hexdigest()[:16]}"


def without_torch(lock: str) -> str:
    """A lock without torch and CUDA. A package begins at the margin; its hashes and reasons are indented."""
    blocks = re.split(r"^(?=[a-z0-9])", lock, flags=re.MULTILINE)
    return "".join(block for block in blocks if not TORCH.match(block))


def compile_lock(name: str, *arguments: str, wanted: list[str]) -> Path:
    """Resolve `wanted` and the sources named in `arguments` into requirements/`name`, near what stands there already."""
    uv = find_uv()
    if uv is None:
        sys.exit("uv is needed to make a lock, and pip could not install it.")
    lock = REQUIREMENTS / name
    options = ["--universal", "--generate-hashes", "--no-header", "--annotation-style", "line", "--quiet"]
    python = ("--python-version", inputs()["python"].removeprefix(">="))  # the oldest that must be served
    pins = ("--constraints", "requirements/direct.in", "--output-file", lock)
    command = (uv, "pip", "compile", *options, *python, *pins, *arguments, "-")
    asked = "\n".join(wanted)
    subprocess.run(command, cwd=ROOT, input=asked, text=True, check=True, stdout=subprocess.DEVNULL)
    text = f"{stamp()}\n# by `make lock`; do not edit\n{without_torch(lock.read_text(encoding='utf-8'))}"
    lock.write_text(text, encoding="utf-8", newline="\n")
    return lock


def main(arguments: list[str]) -> None:
    """Lock what the tests need; then a part of it, what a learner needs; then what a teacher needs besides; then uv itself."""
    build = inputs()["build"]
    extras = ("pyproject.toml", "--extra", "lab")
    tests = ("--extra", "dev", "--extra", "trainers")
    dev = compile_lock("dev.txt", *extras, *tests, *arguments, wanted=build)
    for name, more in (("lab", ()), ("teach", ("--extra", "teach"))):
        lock = shutil.copy(dev, REQUIREMENTS / f"{name}.txt")  # the versions to keep
        compile_lock(lock.name, *extras, *more, wanted=build)
    compile_lock("uv.txt", wanted=["uv"])


if __name__ == "__main__":
    main(sys.argv[1:])
