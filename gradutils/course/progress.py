"""What the learner has passed, tried and predicted: a log of events, one JSON object a line, in the user's data folder.

The log is only ever appended to, each event by one write. A line begins with the newline that ends a torn one before it,
so that several kernels need no lock and a crash costs one line at most (on a local disk: NFS has no such appending).
The file of before the log, ``progress.json``, is read first and left as it is. An event says by which numbering of the lessons
it was written ("v"); an earlier one is read by the present numbers.
"""

import json
import os
import re
import secrets
import sys
from collections import deque
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import partial
from html import escape
from io import BytesIO, FileIO
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from platformdirs import user_data_dir

from gradutils.course.clinic.patients import PATIENTS
from gradutils.course.display import ORANGE, Card, aligned, paragraphs, show
from gradutils.course.exercises import all_exercises
from gradutils.course.questions import RECALLS

LOG, OLD = "progress.jsonl", "progress.json"
LIMIT, LONGEST = 4_000_000, 100_000  # bytes of a file and of a line; a thousand tries are 0.2 MB
TOO_LARGE = f"it is larger than {LIMIT / 1e6:.3g} MB"
TROUBLE = {
    LOG: "Progress cannot be kept in {path} just now ({reason}). It counts until this kernel stops, and is written as soon "
    "as that works. The environment variable GRADUTILS_HOME names another folder.",
    OLD: "The older progress file {path} could not be read ({reason}). It is left as it is.",
}
VERSION = 2  # of an event; up to 1 the emergency room was lesson 09, and the verdicts were lesson 10
RENUMBERED = {"09.": "12.", "10.": "13."}
DAY = re.compile(r"\d{4}-\d\d-\d\d")
WITHOUT_EXERCISES = ("13",)  # lessons that only predictions bring into the table

_waiting: deque[dict] = deque()  # events that could not be written yet; they are written before the next one
_turn = Lock()  # for what waits: a kernel may have threads
_said: set[str] = set()  # the files whose trouble has been told


# What is known ---------------------------------------------------------------------------------------------------------
class Prediction(NamedTuple):
    choice: str
    right: bool | None = None  # None until it is settled


class Guess(NamedTuple):
    right: bool
    diagnose: bool  # whether `diagnose` was right about the same patient


class Recalled(NamedTuple):
    day: str
    right: bool


@dataclass
class State:
    """What all events amount to.

    ``passed`` holds the day of the first pass, ``tries`` the mistake of each try that was not right, "" without a name;
    both go by the id of an exercise or a patient, ``guesses`` by a patient's id or a new one's number, ``recalled`` holds every
    answer to a question on an earlier lesson, and ``learner`` the number that decides in which order options stand.
    """

    passed: dict[str, str] = field(default_factory=dict)
    tries: dict[str, list[str]] = field(default_factory=dict)
    predictions: dict[str, Prediction] = field(default_factory=dict)
    guesses: dict[str, Guess] = field(default_factory=dict)
    recalled: dict[str, list[Recalled]] = field(default_factory=dict)
    learner: str = ""
    skipped: int = 0  # entries of the files that could not be read

    def add(self, event) -> None:
        """Count an event; skip what is damaged, unknown or of a later version."""
        match event:
            case {"v": 1, "id": str(key)}:
                self.add(event | {"v": VERSION, "id": RENUMBERED.get(key[:3], key[:3]) + key[3:]})
            case {"v": 2, "event": "passed", "id": str(key), "at": str(at)} if DAY.match(at):
                self.passed.setdefault(key, at[:10])
            case {"v": 2, "event": "tried", "id": str(key), "mistake": str(mistake)}:
                self.tries.setdefault(key, []).append(mistake)
            case {"v": 2, "event": "chosen", "id": str(key), "choice": str(choice)}:
                self._predict(key, Prediction(choice))
            case {"v": 2, "event": "settled", "id": str(key), "choice": str(choice), "right": bool(right)}:
                self._predict(key, Prediction(choice, right))
            case {"v": 2, "event": "guessed", "id": str(key), "right": bool(you), "diagnose": bool(rules)}:
                self.guesses.setdefault(key, Guess(you, rules))
            case {"v": 2, "event": "recalled", "id": str(key), "right": bool(right), "at": str(at)} if (
                DAY.match(at)
            ):
                self.recalled.setdefault(key, []).append(Recalled(at[:10], right))
            case {"v": 2, "event": "learner", "id": str(key)} if key.isalnum():
                self.learner = self.learner or key  # of two kernels that began together the first counts
            case _:
                self.skipped += 1

    def _predict(self, key: str, made: Prediction) -> None:
        if key not in self.predictions or self.predictions[key].right is None:  # settled is settled
            self.predictions[key] = made


# Reading ---------------------------------------------------------------------------------------------------------------
def progress_file() -> Path:
    """The log; the environment variable GRADUTILS_HOME names another folder. RuntimeError where ``~`` is nobody's home."""
    return _folder().expanduser().absolute() / LOG


def _folder() -> Path:
    return Path(os.environ.get("GRADUTILS_HOME") or user_data_dir("gradutils", appauthor=False))


def read() -> State:
    """What the older file, the log and the events that wait amount to. Whatever the files hold, nothing is raised."""
    state = State()
    for name in (OLD, LOG):
        try:
            for event in events_in(_content(name), older=name == OLD):
                state.add(event)
        except (OSError, ValueError, RuntimeError) as error:
            _say_once(name, error)
    for event in tuple(_waiting):
        state.add(event)
    return state


def _content(name: str) -> bytes:
    """What a file of this learner holds, up to the limit; nothing where there is no such file."""
    try:
        content, whole = content_of(progress_file().with_name(name))
    except (FileNotFoundError, NotADirectoryError):
        return b""
    if not whole:
        _say_once(name, OSError(TOO_LARGE))
    return content


def content_of(path: Path) -> tuple[bytes, bool]:
    """What a file holds, up to the limit, and whether that is all of it. OSError for what cannot be read, or is no file."""
    with _opened(path, "r") as file:
        content = file.read(LIMIT + 1)
    return content[:LIMIT], len(content) <= LIMIT


def events_in(content: bytes, older: bool = False) -> Iterator:
    """What a log holds, or the file of before the log, as events for `State.add`; of a log, None for a line that is torn.

    Raises ValueError or RecursionError where an older file is no JSON.
    """
    return _older_events(content) if older else _logged_events(content)


def _opened(path: Path, mode: str) -> FileIO:
    """A file without a buffer. OSError for a folder in its place, and for a pipe or a device, which could block for ever."""
    if path.exists() and not path.is_file():
        raise OSError("it is not a file")
    return FileIO(path, mode, opener=partial(os.open, mode=0o600))


def _older_events(content: bytes) -> Iterator:
    """The file of before the log, as events. Raises ValueError or RecursionError where it is no JSON."""
    stored = json.loads(content or b"{}")
    for name, event in (("exercises", "passed"), ("predictions", "chosen"), ("guesses", "guessed")):
        entries = stored.get(name, {}) if isinstance(stored, dict) else None
        for key, entry in entries.items() if isinstance(entries, dict) else [("", None)]:
            entry = entry if isinstance(entry, dict) else {"at": entry}  # a pass is its day alone
            settled = event == "chosen" and entry.get("right") is not None
            yield entry | {"v": 1, "event": "settled" if settled else event, "id": key}


def _logged_events(content: bytes) -> Iterator:
    """The log's lines as JSON values, None for one that is torn or too long."""
    for line in filter(bytes.strip, BytesIO(content)):
        try:
            event = b'"event"' in line and len(line) <= LONGEST  # megabytes of garbage take no seconds
            yield json.loads(line) if event else None
        except (ValueError, RecursionError):
            yield None


def _say_once(name: str, error: Exception) -> None:
    if name not in _said:
        _said.add(name)
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        sentence = TROUBLE[name].format(path=_folder() / name, reason=reason)
        show(Card(sentence, escape(sentence), ORANGE))


# Writing ---------------------------------------------------------------------------------------------------------------
def record_pass(exercise_id: str) -> None:
    """Note that an exercise or a patient has been passed; the first day counts."""
    _record("passed", exercise_id)


def record_try(exercise_id: str, mistake: str = "") -> None:
    """Note a try that was not right, and the name of its mistake if it has one."""
    _record("tried", exercise_id, mistake=mistake)


def record_choice(question_id: str, choice: str) -> None:
    """Note what was predicted; until it is settled, the last choice counts."""
    _record("chosen", question_id, choice=choice)


def record_settled(question_id: str, choice: str, right: bool) -> None:
    """Note whether a prediction came true; the first time counts."""
    _record("settled", question_id, choice=choice, right=right)


def record_guess(patient: int | str, right: bool, diagnose: bool) -> None:
    """Note whether the first name for a patient was right, and whether that of `diagnose` was: by its id, or a new one's number."""
    _record("guessed", str(patient), right=right, diagnose=diagnose)


def record_recalled(question_id: str, right: bool) -> None:
    """Note whether a question on an earlier lesson was answered rightly; every answer counts."""
    _record("recalled", question_id, right=right)


def learner() -> str:
    """The learner's own random number: drawn when it is first asked for, the same in every later kernel."""
    if not read().learner:
        _record("learner", secrets.token_hex(8))
    return read().learner


def now() -> datetime:
    """The time, in UTC as everywhere in the log. All that asks for the time asks here."""
    return datetime.now(UTC)


def today() -> date:
    return now().date()


def _record(event: str, key: str, **more) -> None:
    """Append an event after those that wait; where that fails they go on waiting. Only an interrupt is raised."""
    at = now().isoformat(timespec="seconds")
    _waiting.append({"v": VERSION, "event": event, "id": key, "at": at, **more})
    try:
        with _turn:
            while _waiting:
                _append(b"\n" + json.dumps(_waiting[0]).encode())
                _waiting.popleft()
    except (OSError, RuntimeError) as error:
        _say_once(LOG, error)


def _append(line: bytes) -> None:
    path = progress_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    with _opened(path, "a") as log:
        if log.tell() + len(line) > LIMIT:  # it would never be read
            raise OSError(TOO_LARGE)
        if log.write(line) < len(line):
            raise OSError("only a part of a line found room")


# The table -------------------------------------------------------------------------------------------------------------
def to_pass() -> list[str]:
    """The ids of all exercises, and of all patients of the emergency room."""
    return [*all_exercises(), *PATIENTS]


def lessons() -> list[str]:
    """The numbers of the course's lessons, such as "01"."""
    return sorted({key.split(".")[0] for key in to_pass()}.union(WITHOUT_EXERCISES))


def progress(lesson: str | None = None) -> Card:
    """A table of what is passed and open, lesson by lesson, with the questions recalled and the predictions made.

    ``progress("01")`` shows one lesson. Its core is counted apart from what stands in its part "Deeper".
    """
    state = read()
    if lesson is not None and lesson not in lessons():
        raise ValueError(f"lesson must be one of {', '.join(map(repr, lessons()))}; got {lesson!r}")
    listed = [name for name in lessons() if _of(name, to_pass()) or _of(name, state.predictions)]
    head = ("lesson", "exercises", "core", "deeper", "recall", "predictions")
    rows = [head, *(_row(state, name) for name in (listed if lesson is None else [lesson]))]
    unread = f"Entries of the progress file that cannot be read, and stay as they are: {state.skipped}."
    notes = [unread] if state.skipped else []
    return Card(_printable("\n".join([aligned(rows), *notes])), _html(rows) + paragraphs(*notes))


def _of(lesson: str, ids: Iterable[str]) -> list[str]:
    return [key for key in ids if key.startswith(f"{lesson}.")]


def is_deeper(exercise_id: str) -> bool:
    """Whether an exercise stands in its lesson's part "Deeper"; patients do not."""
    return exercise_id in all_exercises() and all_exercises()[exercise_id].deeper


def _row(state: State, lesson: str) -> tuple[str, ...]:
    ids = _of(lesson, to_pass())
    core, deeper = ([key for key in ids if is_deeper(key) == where] for where in (False, True))
    marks = _marks(state, core) + (f"  Deeper: {_marks(state, deeper)}" if deeper else "")
    asked = RECALLS.get(lesson, ())
    known = [key for key in asked if key in state.recalled and state.recalled[key][-1].right]
    made = [state.predictions[key] for key in _of(lesson, state.predictions)]
    settled = [prediction.right for prediction in made if prediction.right is not None]
    predictions = f"{len(made)} made"
    if settled:
        predictions += f", {sum(settled)} of {len(settled)} right"
    counts = (share(state.passed, core), share(state.passed, deeper), share(known, asked))
    return lesson, marks, *counts, predictions


def _marks(state: State, ids: list[str]) -> str:
    return "  ".join(f"{'✓' if key in state.passed else '○'} {key}" for key in ids)


def share(done: Container[str], ids: Sequence[str]) -> str:
    """How many of the ids are done, as "3 of 4"; nothing where there are none."""
    return f"{sum(key in done for key in ids)} of {len(ids)}" if ids else ""


def _html(rows: list[tuple[str, ...]]) -> str:
    """The rows as a table, the first of them its head; a mark stays on the line of its exercise."""
    style = 'style="text-align:left;padding:.1em 1em .1em 0"'
    head = "".join(f'<th scope="col" {style}>{escape(text)}</th>' for text in rows[0])
    lines = [head, *("".join(f"<td {style}>{escape(text)}</td>" for text in row) for row in rows[1:])]
    head, *body = (f"<tr style='background:transparent'>{line}</tr>" for line in lines)
    unbroken = "".join(body).replace("✓ ", "✓&nbsp;").replace("○ ", "○&nbsp;")
    return f"<table style='background:transparent'><thead>{head}</thead><tbody>{unbroken}</tbody></table>"


def _printable(text: str) -> str:
    """The text with + and - for its marks where this program's output has no ✓: a pipe on Windows."""
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        text = text.replace("✓", "+").replace("○", "-")
    return text
