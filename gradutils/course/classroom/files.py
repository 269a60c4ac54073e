"""Which files of a folder are whose, and what each learner's amount to.

What stands directly in the folder is a learner: a folder of theirs, or a file that they handed in. Nothing in these files
is trusted: reading is limited in depth, number and size, follows no link, and opens nothing but plain files.
"""

import os
import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from gradutils.course.progress import LOG, OLD, TOO_LARGE, VERSION, State, content_of, events_in

SUBMITTED = "submitted"  # nbgrader's folder: a folder a student, in it one an assignment
DEPTH = (
    4  # folders below a learner's own: .local/share/gradutils in a home, an assignment in what was submitted
)
ENTRIES = 20_000  # looked at below one learner's folder, the upper ones first
FILES = 50  # read of one learner
NAME = 60  # characters of a name that are shown
NO_ENTRY = "nothing in it is an entry of this course"


class Step(NamedTuple):
    """One entry of a log that was understood: what happened ("tried", "passed", "chosen", …), to what, with which mistake, when."""

    event: str
    key: str
    mistake: str
    at: datetime | None


@dataclass
class Learner(State):
    """What one learner's files amount to, and its entries in their order."""

    name: str = ""
    steps: list[Step] = field(default_factory=list)

    def add(self, event) -> None:
        """Count an event; what was understood is a step besides."""
        skipped = self.skipped
        super().add(event)
        # An event of an earlier numbering comes a second time, by the present numbers.
        if self.skipped == skipped and event["v"] == VERSION:
            mistake = event["mistake"] if event["event"] == "tried" else ""
            self.steps.append(Step(event["event"], event["id"], mistake, moment(event.get("at"))))


class Skipped(NamedTuple):
    """A file or a folder, as seen from the folder that was given, and why it does not count, or not all of it."""

    path: str
    why: str


# Whose -----------------------------------------------------------------------------------------------------------------
def find(folder: Path) -> tuple[dict[str, list[Path]], list[Skipped]]:
    """The files of each learner by name, and what was passed over.

    Raises ValueError, with a sentence, where there is no such folder or where it cannot be read.
    """
    folder = folder.absolute()
    base = folder / SUBMITTED if os.path.isdir(folder / SUBMITTED) else folder
    found: dict[str, list[Path]] = {}
    skipped = []
    for entry in _listed(base):
        name, paths, path = entry.name, [], Path(entry.path)
        if entry.is_symlink():
            why = "it is a link, and links are not followed"
        elif os.path.isdir(path):
            paths, why = _below(path)
        elif not os.path.isfile(path):
            why = "it is not a file"
        elif path.suffix.lower() not in (".jsonl", ".json"):
            why = "its name does not end in .jsonl"
        else:
            name, paths, why = _owner(path), [path], ""
        if paths:
            found.setdefault(name, []).extend(paths)
        if why:
            skipped.append(Skipped(entry.name, why))
    return found, skipped


def _listed(folder: Path) -> list[os.DirEntry]:
    """What a folder holds, by name, hidden things aside. ValueError where it cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            return sorted((e for e in entries if not e.name.startswith(".")), key=lambda e: in_order(e.name))
    except FileNotFoundError:
        raise ValueError(f"There is no folder {printable(folder, 500)}.") from None
    except NotADirectoryError:
        raise ValueError(
            f"{printable(folder, 500)} is a file. Give the folder in which the learners' files are."
        ) from None
    except (OSError, ValueError) as error:
        raise ValueError(f"The folder {printable(folder, 500)} cannot be read ({reason(error)}).") from None


def _owner(path: Path) -> str:
    """Whose a file is that stands directly in the folder: its name says so, unless it is the plain name of the log."""
    if path.name in (LOG, OLD):  # the folder is one learner's own
        return path.parent.name
    return re.sub(r"[\s_.-]*progress(\s*\(\d+\))?$", "", path.stem) or path.stem


def _below(top: Path) -> tuple[list[Path], str]:
    """The progress files in a learner's folder, and what is to be said of the search: upper folders first, no link followed."""
    found, level, left, troubles = [], [top], ENTRIES, []
    for _ in range(DEPTH + 1):
        deeper = []
        for folder in level:
            try:
                with os.scandir(folder) as entries:
                    for entry in entries:
                        left -= 1
                        if entry.is_symlink():
                            troubles += [f"{entry.name} is a link"] if entry.name in (LOG, OLD) else []
                        elif entry.name in (LOG, OLD):
                            found.append(Path(entry.path))
                        elif entry.is_dir() and (entry.name == ".local" or not entry.name.startswith(".")):
                            deeper.append(Path(entry.path))
                        if left <= 0:
                            break
            except OSError as error:
                troubles.append(reason(error))
            if left <= 0:
                return _first(found), f"it holds more than {ENTRIES:,} files; the rest was not searched"
        level = deeper
    if len(found) > FILES:
        troubles.append(f"it holds more than {FILES} progress files; the rest was not read")
    if not found:
        troubles.insert(0, f"neither {LOG} nor {OLD} is in it")
    return _first(found), "; ".join(dict.fromkeys(troubles))


def _first(found: list[Path]) -> list[Path]:
    return sorted(found, key=in_order)[:FILES]


def in_order(name: str | Path) -> list:
    """A key that sorts ps2 before ps10."""
    return [(part.isdecimal() and int(part[:18]), part) for part in re.split(r"(\d+)", str(name).lower())]


# What they hold --------------------------------------------------------------------------------------------------------
def read_class(folder: Path) -> tuple[list[Learner], list[Skipped], int]:
    """All learners of a folder by name, what was passed over, and how many files were read. ValueError as in `find`."""
    found, skipped = find(folder)
    learners, count = [], 0
    for name in sorted(found, key=in_order):
        learner, read, troubles = read_learner(name, found[name])
        base = folder.absolute()
        skipped += [Skipped(str(path.relative_to(base)), why) for path, why in troubles]
        learners += [learner] if read else []
        count += read
    return learners, skipped, count


def read_learner(name: str, paths: list[Path]) -> tuple[Learner, int, list[tuple[Path, str]]]:
    """One learner's files as one, how many of them count, and what is to be said of some."""
    older, logs, troubles = [], [], []
    for path in paths:
        try:
            content, whole = content_of(path)
            events = list(events_in(content, path.suffix.lower() == ".json"))
        except (OSError, ValueError, RecursionError) as error:
            troubles.append((path, f"it cannot be read ({reason(error)})"))
            continue
        if events and not _understood(events):
            troubles.append((path, NO_ENTRY))
            continue
        if not whole:
            troubles.append((path, f"{TOO_LARGE}; only what stands before counts"))
        (older if path.suffix.lower() == ".json" else logs).append(content)
    learner = Learner(name=name)
    for content in older:
        for event in events_in(content, older=True):
            learner.add(event)
    for event in events_in(merged(logs)):
        learner.add(event)
    if learner.skipped:
        troubles.append((paths[-1], f"{learner.skipped:,} of its entries cannot be read, and are left out"))
    return learner, len(older) + len(logs), troubles


def _understood(events: list) -> bool:
    state = State()
    for event in events:
        state.add(event)
    return state.skipped < len(events)


def merged(logs: list[bytes]) -> bytes:
    """Several copies of one log as one: a line that stands in more than one of them counts once."""
    if len(logs) == 1:
        return logs[0]
    lines: Counter[bytes] = Counter()
    for log in logs:
        lines |= Counter(log.splitlines())
    return b"\n".join(lines.elements())


def moment(at) -> datetime | None:
    """A time of the log; None for a day without a time, and for what is none."""
    if not isinstance(at, str) or len(at) <= len("2026-01-01"):
        return None
    try:
        found = datetime.fromisoformat(at)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def reason(error: Exception) -> str:
    """Why something failed, in the system's words where it has some."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, ValueError):
        return "it is no JSON"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def printable(name, most: int = NAME) -> str:
    """A name as it may be shown: no character of it steers a page or a terminal, and it is not longer than ``most``."""
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(name))
    return text if len(text) <= most else f"{text[: most - 1]}…"
