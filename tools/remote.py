"""The address of the git remote `origin`, and what it says of where the course is public."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def origin(root: Path = ROOT) -> str:
    """The address of the remote named origin, "" where there is none."""
    command = ("git", "-C", root, "remote", "get-url", "origin")
    asked = subprocess.run(command, capture_output=True, text=True, check=False)
    return asked.stdout.strip() if asked.returncode == 0 else ""


def host_and_repository(remote: str) -> tuple[str, str] | None:
    """("host", "owner/name") of "https://host/owner/name.git", "git@host:owner/name" or "ssh://git@host/owner/name".

    None for an address on no public host, such as a folder.
    """
    user, host = r"(?:[\w.-]+(?::[^@/]*)?@)?", r"([\w-]+(?:\.[\w-]+)+)"
    found = re.fullmatch(rf"(?:\w+://)?{user}{host}(?::\d+)?[:/](.+?)(?:\.git)?/?", remote.strip())
    return found and found.groups()
