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

from gradutils.course.display import ORANGE, Card, show
from gradutils.course.exercises import all_exercises

# Where the file cannot be written the sitting goes on from here.
_sitting: dict | None = None


def progress_file() -> Path:
    """The file; the environment variable GRADUTILS_HOME names another folder."""
    return (
        Path(os.environ.get("GRADUTILS_HOME") or user_data_dir("gradutils", appauthor=False))
        / "progress.json"
    )


def read() -> dict:
    """``{"exercises": {id: date}, "predictions": {id: {"choice": …, "right": …}}}``; empty where nothing is stored."""
    if _sitting is not None:
        return _sitting
    path = progress_file()
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        if _is_sound(stored):
            return stored
    except FileNotFoundError:
        return {"exercises": {}, "predictions": {}}
    except (ValueError, RecursionError):
        pass
    except OSError as error:
        return _go_on_without_file({"exercises": {}, "predictions": {}}, error)
    return _set_aside(path)


def _is_sound(stored) -> bool:
    return (
        isinstance(stored, dict)
        and isinstance(stored.get("exercises"), dict)
        and isinstance(stored.get("predictions"), dict)
        and all(isinstance(entry, dict) for entry in stored["predictions"].values())
    )


def _set_aside(path: Path) -> dict:
    empty = {"exercises": {}, "predictions": {}}
    aside = path.with_name(f"progress.damaged-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}.json")
    try:
        path.replace(aside)
    except FileNotFoundError:  # another kernel has just set it aside
        return empty
    except OSError as error:
        return _go_on_without_file(empty, error)
    _say(f"The progress file could not be read. It was set aside as {aside}, and a new one begins.")
    return empty


def _go_on_without_file(state: dict, error: Exception) -> dict:
    global _sitting
    if _sitting is None:
        reason = getattr(error, "strerror", None) or type(error).__name__
        _say(
            f"Progress cannot be kept in {progress_file()} ({reason}). It counts until this kernel stops. "
            "The environment variable GRADUTILS_HOME names another folder."
        )
    _sitting = state
    return state


def _say(sentence: str) -> None:
    show(Card(sentence, escape(sentence), ORANGE))


@contextmanager
def changing():
    """The stored state, to be changed in place; written back whole, and alone, when the block ends."""
    if _sitting is not None:
        yield _sitting
        return
    path = progress_file()
    lock = FileLock(path.with_suffix(".lock"), timeout=3)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except (OSError, Timeout) as error:
        yield _go_on_without_file(read(), error)
        return
    with lock:
        lock.release()  # acquired twice: once to be tried, once by the block
        state = read()
        yield state
        try:
            _write(path, state)
        except OSError as error:
            _go_on_without_file(state, error)


def _write(path: Path, state: dict) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix="progress.", suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(state, file, indent=1, ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def record_pass(exercise_id: str) -> None:
    if exercise_id not in read()["exercises"]:
        with changing() as state:
            state["exercises"].setdefault(exercise_id, f"{datetime.now(UTC):%Y-%m-%d}")


def progress(lesson: str | None = None) -> Card:
    """A table: each lesson's exercises, passed or open, and the predictions made; ``progress("01")`` for one lesson."""
    state = read()
    lessons = sorted({exercise_id.split(".")[0] for exercise_id in all_exercises()})
    if lesson is not None:
        if lesson not in lessons:
            raise ValueError(f"lesson must be one of {', '.join(map(repr, lessons))}; got {lesson!r}")
        lessons = [lesson]
    rows = [_row(state, name) for name in lessons]
    head = ("lesson", "exercises", "passed", "predictions")
    text = "\n".join(f"{a:<8} {b:<34} {c:<8} {d}".rstrip() for a, b, c, d in (head, *rows))
    cells = "".join(
        "<tr style='background:transparent'>"
        + "".join(f'<td style="text-align:left;padding:.1em 1em .1em 0">{cell}</td>' for cell in row)
        + "</tr>"
        for row in (head, *rows)
    )
    return Card(text, f"<table style='background:transparent'>{cells}</table>")


def _row(state: dict, lesson: str) -> tuple[str, str, str, str]:
    ids = [exercise_id for exercise_id in all_exercises() if exercise_id.startswith(f"{lesson}.")]
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
    return lesson, marks, f"{sum(passed)} of {len(ids)}", predictions
