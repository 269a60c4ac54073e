"""The address that opens this course on Binder, from the address of the repository's remote `origin`."""

import sys
from pathlib import Path
from urllib.parse import quote

from tools.remote import host_and_repository, origin

HOSTS = {"github.com": "gh", "gitlab.com": "gl"}
LESSON = "lab/tree/lessons/00_start_here.ipynb"


def binder_url(remote: str, path: str = LESSON) -> str:
    """https://mybinder.org/v2/... for "https://host/owner/name.git", "git@host:owner/name" or "ssh://git@host/owner/name".

    ``path`` is what opens there. Raises ValueError for an address that Binder cannot reach, such as a folder.
    """
    found = host_and_repository(remote)
    if not found:
        raise ValueError(
            f"the remote must be on a public host, such as https://github.com/owner/name; got {remote!r}"
        )
    host, repository = found
    if host == "github.com":
        where = f"gh/{repository}"
    elif host in HOSTS:
        where = f"{HOSTS[host]}/{quote(repository, safe='')}"
    else:
        where = f"git/{quote(f'https://{host}/{repository}', safe='')}"
    return f"https://mybinder.org/v2/{where}/HEAD?urlpath={quote(path, safe='')}"


if __name__ == "__main__":
    remote = origin(Path.cwd())
    if not remote:
        sys.exit("There is no git remote named origin: push the course to a public repository first.")
    try:
        print(binder_url(remote))
    except ValueError as error:
        sys.exit(f"No address for Binder: {error}")
