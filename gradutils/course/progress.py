"""What the learner has passed and predicted, in one small JSON file in the user's own data folder."""

import json
import os
import tempfile
from contextlib import contextmanager
from datetime import UTC, datetime
from html import escape
from pathlib import Path

from filelock import FileLock, Timeout
from platformdirs import user_data_dir

from gradutils.course.clinic.patients import PATIENTS
from gradutils.course.display import ORANGE, Card, show
from gradutils.course.exercises import all_exercises

# What could not be written yet; it is written with the next change that can be.
_waiting: dict | None = None
_said = False


def progress_file() -> Path:
    """The file; the environment variable GRADUTILS_HOME names another folder."""
    return (
        Path(os.environ.get("GRADUTILS_HOME") or user_data_dir("gradutils", appauthor=False))
        / "progress.json"
    )


def read() -> dict:
    """``{"exercises": {id: date}, "predictions": {id: {"choice": …, "right": …}}}``; empty where nothing is stored."""
    try:
        state = _stored()
        if state is None:
            with _lock():
                state = _stored() or _set_aside()  # another kernel may have mended it meanwhile
    except (OSError, Timeout) as error:
        _say_once(error)
        state = _empty()
    return _with_waiting(state)


def _empty() -> dict:
    return {"exercises": {}, "predictions": {}}


def _stored() -> dict | None:
    """What the file holds; None where it is damaged."""
    path = progress_file()
    if not path.exists():
        return _empty()
    if not path.is_file():
        raise OSError(f"{path} is not a file")
    try:
        state = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError):
        return None
    sound = (
        isinstance(state, dict)
        and isinstance(state.get("exercises"), dict)
        and isinstance(state.get("predictions"), dict)
        and all(isinstance(entry, dict) for entry in state["predictions"].values())
    )
    return state if sound else None


def _set_aside() -> dict:
    path = progress_file()
    aside = path.with_name(f"progress.damaged-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}.json")
    path.replace(aside)
    _say(f"The progress file could not be read. It was set aside as {aside}, and a new one begins.")
    return _empty()


def _with_waiting(state: dict) -> dict:
    for key, entries in (_waiting or {}).items():
        if isinstance(entries, dict):
            state[key] = state.get(key, {}) | entries
    return state


def _say_once(error: Exception) -> None:
    global _said
    if not _said:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        _say(
            f"Progress cannot be kept in {progress_file()} just now ({reason}). It counts until this kernel stops, and is "
            "written as soon as that works. The environment variable GRADUTILS_HOME names another folder."
        )
    _said = True


def _say(sentence: str) -> None:
    show(Card(sentence, escape(sentence), ORANGE))


def _lock() -> FileLock:
    path = progress_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path.with_suffix(".lock"), timeout=3)


@contextmanager
def changing():
    """The stored state, to be changed in place; written back whole, and alone, when the block ends.

    Where that fails, the state waits in memory for the next change.
    """
    global _waiting, _said
    state = None
    try:
        with _lock():
            state = _with_waiting(_stored() or _set_aside())
            yield state
            _write(progress_file().resolve(), state)  # a link stays a link
            _waiting, _said = None, False
    except (OSError, Timeout) as error:
        _say_once(error)
        if state is None:  # the block has not run yet
            state = _with_waiting(_empty())
            yield state
        _waiting = state


def _write(path: Path, state: dict) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix="progress.", suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(state, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def record_pass(exercise_id: str) -> None:
    """Note that an exercise has been passed, with today's date."""
    if exercise_id not in read()["exercises"]:
        with changing() as state:
            state["exercises"].setdefault(exercise_id, f"{datetime.now(UTC):%Y-%m-%d}")


def to_pass() -> list[str]:
    """The ids of all exercises, and of all patients of the emergency room."""
    return [*all_exercises(), *PATIENTS]


def progress(lesson: str | None = None) -> Card:
    """A table: each lesson's exercises or patients, passed or open, and the predictions made; ``progress("01")`` for one lesson."""
    state = read()
    lessons = sorted({key.split(".")[0] for key in (*to_pass(), *state["predictions"])})
    if lesson is not None:
        if lesson not in lessons:
            raise ValueError(f"lesson must be one of {', '.join(map(repr, lessons))}; got {lesson!r}")
        lessons = [lesson]
    rows = [_row(state, name) for name in lessons]
    head = ("lesson", "exercises", "passed", "predictions")
    widths = [max(len(row[k]) for row in (head, *rows)) for k in range(len(head))]
    text = "\n".join(
        "  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip()
        for row in (head, *rows)
    )
    cells = "".join(
        "<tr style='background:transparent'>"
        + "".join(
            f'<td style="text-align:left;padding:.1em 1em .1em 0">{_unbroken(cell)}</td>' for cell in row
        )
        + "</tr>"
        for row in (head, *rows)
    )
    return Card(text, f"<table style='background:transparent'>{cells}</table>")


def _unbroken(cell: str) -> str:
    """A mark stays on the line of its exercise."""
    return cell.replace("✓ ", "✓&nbsp;").replace("○ ", "○&nbsp;")


def _row(state: dict, lesson: str) -> tuple[str, str, str, str]:
    ids = [key for key in to_pass() if key.startswith(f"{lesson}.")]
    passed = [exercise_id in state["exercises"] for exercise_id in ids]
    marks = "  ".join(f"{'✓' if done else '○'} {i}" for i, done in zip(ids, passed, strict=True))
    made = [
        entry
        for key, entry in state["predictions"].items()
        if key.startswith(f"{lesson}.") and entry.get("choice")
    ]
    settled = [entry["right"] for entry in made if isinstance(entry.get("right"), bool)]
    predictions = f"{len(made)} made"
    if settled:
        predictions += f", {sum(settled)} of {len(settled)} right"
    return lesson, marks, f"{sum(passed)} of {len(ids)}" if ids else "", predictions
