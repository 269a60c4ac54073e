"""Install the course into the virtual environment whose Python runs this.

    python -m tools.install lab           what a learner needs
    python -m tools.install dev           and what the tests need
    python -m tools.install teach         a learner's, nbgrader and JupyterHub
    python -m tools.install lab --pip     without uv

requirements/ pins everything with its hashes, except torch, which comes from PyTorch's index of CPU builds: the one for
Linux on PyPI brings gigabytes of CUDA. uv unpacks in seconds; where there is none, or it fails, pip does the same.
"""

import argparse
import os
import re
import runpy
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata, util
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements"
TORCH_INDEX = os.environ.get("TORCH_INDEX", "https://download.pytorch.org/whl/cpu")  # or a mirror of your own
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")


class InstallError(Exception):
    """What an installer said last before it failed."""


def run(*command) -> None:
    """Run a command in silence; raise InstallError with what it printed if it fails."""
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, encoding="utf-8", errors="replace", check=False
    )
    if done.returncode:
        raise InstallError((done.stdout + done.stderr).strip()[-2000:])


def find_uv() -> str | None:
    """The uv on the path, or the pinned one, which pip puts into this environment; None where there is neither."""
    here = Path(sys.executable).with_name("uv.exe" if os.name == "nt" else "uv")
    found = shutil.which("uv") or shutil.which(here)
    if not found:
        try:
            run(*PIP, "install", "--require-hashes", "-r", REQUIREMENTS / "uv.txt")
        except InstallError:
            return None
    return found or str(here)


def install(uv: str | None, *arguments) -> None:
    """Install by uv, or by pip if there is no uv or it fails."""
    if uv:
        try:
            run(uv, "pip", "install", "--quiet", "--python", sys.executable, "--no-deps", *arguments)
            return
        except InstallError as error:
            print(f"uv failed, so pip takes over. It said: {error}", file=sys.stderr)
    run(*PIP, "install", "--no-compile", "--no-deps", *arguments)


def pinned_torch() -> str:
    """The torch of requirements/direct.in, as "torch==2.13.0"."""
    pins = (REQUIREMENTS / "direct.in").read_text(encoding="utf-8")
    return re.search(r"^torch==.+", pins, re.MULTILINE).group()


def has_torch() -> bool:
    """Whether the pinned torch is here already, in whichever build."""
    try:
        return metadata.version("torch").split("+")[0] == pinned_torch().removeprefix("torch==")
    except metadata.PackageNotFoundError:
        return False


def download_torch(folder: str) -> list[Path]:
    """The wheel of the pinned torch, unless it is installed. By pip, which heeds this machine's proxies and mirrors."""
    if has_torch():
        return []
    options = ("--no-deps", "--index-url", TORCH_INDEX, "--retries", "1", "--timeout", "10", "--dest", folder)
    try:
        run(*PIP, "download", *options, pinned_torch())
    except InstallError as error:
        said = (
            f"{pinned_torch()} cannot be had from {TORCH_INDEX}; the variable TORCH_INDEX names another one."
        )
        raise InstallError(f"{error}\n{said}") from error
    return list(Path(folder).glob("torch-*.whl"))


def extend_jupyter() -> None:
    """Put the course's extension of JupyterLab where that looks for it: an editable installation leaves it out."""
    shutil.copytree(
        ROOT / "labextension",
        Path(sys.prefix, "share", "jupyter", "labextensions", "gradutils"),
        dirs_exist_ok=True,
    )


def check_cpu_build() -> None:
    """A build for CUDA, which only a mirror can have brought, lacks its libraries here: it could not be imported."""
    facts = runpy.run_path(Path(util.find_spec("torch").origin).with_name("version.py"))
    if facts["cuda"]:
        raise InstallError(f"{TORCH_INDEX} gave torch {facts['__version__']}; the course needs a CPU build.")


def main(name: str, with_uv: bool) -> None:
    """Bring torch while everything else is installed; then unpack it beside the course itself."""
    with tempfile.TemporaryDirectory(dir=sys.prefix) as folder, ThreadPoolExecutor() as pool:
        torch = pool.submit(download_torch, folder)
        uv = find_uv() if with_uv else None
        install(uv, "--require-hashes", "-r", REQUIREMENTS / f"{name}.txt")
        # A cache of its own: a wheel from a folder would lie in uv's for ever, and be found by nobody.
        install(uv, "--cache-dir", folder, "--no-build-isolation", *torch.result(), "-e", ROOT)
        extend_jupyter()
        if torch.result():
            check_cpu_build()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=["lab", "dev", "teach"])
    parser.add_argument("--pip", action="store_true", help="without uv")
    chosen = parser.parse_args()
    if sys.prefix == sys.base_prefix:
        sys.exit("This Python is not in a virtual environment. Make one first: python -m venv .venv")
    try:
        main(chosen.name, with_uv=not chosen.pip)
    except InstallError as error:
        sys.exit(f"Not installed. {error}")
