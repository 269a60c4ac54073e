"""What JupyterHub starts in place of a learner's server, as that learner: lessons, a progress file, a limit, then the server.

Lessons are copied into the home folder, and nothing that lies there is ever written to. Because it runs as the learner, no
right of the hub's is at work in a learner's folder. `deploy/jupyterhub_config.py` names it; it needs nothing but Python.
"""

import hashlib
import os
import sys
from itertools import count
from pathlib import Path

COURSE = Path(__file__).resolve().parent.parent
SETTINGS = COURSE / "deploy" / "jupyter"
GIVEN = ".given"  # in the learner's folder of lessons: the hash of each that was put there


def give(course: Path, home: Path) -> list[Path]:
    """Copy the lessons that a learner has not been given; what was put there.

    A lesson goes where there is none. Where there is one and the course's has changed since, the new one goes beside it,
    as NN_topic.new.ipynb. Solutions are a link: they are read, and lesson 13 reads them. Raises OSError, with what was
    copied until then in place.
    """
    lessons = home / "lessons"
    lessons.mkdir(exist_ok=True)
    if not os.path.lexists(home / "solutions"):
        (home / "solutions").symlink_to(course / "solutions", target_is_directory=True)
    noted = lessons / GIVEN
    given = set(noted.read_text(encoding="utf-8").split()) if noted.exists() else set()
    put = []
    for lesson in sorted((course / "lessons").glob("*.ipynb")):
        content = lesson.read_bytes()
        name = hashlib.sha256(content).hexdigest()
        target = lessons / lesson.name
        if os.path.lexists(target):
            if name in given:
                continue
            target = _beside(target)
        _put(content, target)
        with noted.open("a", encoding="utf-8") as file:
            file.write(f"{name}\n")
        put.append(target)
    return put


def _beside(target: Path) -> Path:
    """The first free name for a newer lesson."""
    names = (target.with_suffix(f".new{n if n > 1 else ''}.ipynb") for n in count(1))
    return next(name for name in names if not os.path.lexists(name))


def _put(content: bytes, target: Path) -> None:
    """A new file, whole or not at all."""
    with target.open("xb") as file:
        try:
            file.write(content)
            file.flush()
        except OSError:
            target.unlink(missing_ok=True)
            raise


def limit_memory(limit: str | None) -> None:
    """Let no process that is started here hold more than so many bytes: Python says MemoryError then, and the machine lives.

    JupyterHub gives its `mem_limit` in MEM_LIMIT; a spawner that starts plain processes does no more about it.
    """
    if limit and limit.isdecimal() and sys.platform == "linux":
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        wanted = int(limit) if most == resource.RLIM_INFINITY else min(int(limit), most)
        resource.setrlimit(resource.RLIMIT_DATA, (wanted, wanted))


def main() -> None:
    """Prepare the home folder, then become the server; a full disk does not keep it from starting."""
    home = Path.home()
    try:
        for target in give(COURSE, home):
            print(f"new in the learner's folder: {target}", flush=True)
    except OSError as error:
        print(f"not all lessons could be copied: {error}", file=sys.stderr, flush=True)
    # Whatever the hub's own environment says: a shared one would mix the learners.
    os.environ["GRADUTILS_HOME"] = str(home / ".local" / "share" / "gradutils")
    # Before all other settings, the learner's own apart: idle kernels end, and nbgrader's buttons are a teacher's.
    more = os.environ.get("JUPYTER_CONFIG_PATH")
    os.environ["JUPYTER_CONFIG_PATH"] = os.pathsep.join(filter(None, (str(SETTINGS), more)))
    limit_memory(os.environ.get("MEM_LIMIT"))
    os.chdir(home)
    os.execv(sys.executable, [sys.executable, "-m", "jupyterhub.singleuser", *sys.argv[1:]])


if __name__ == "__main__":
    main()
