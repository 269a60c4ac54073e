"""``python -m gradutils.course.classroom FOLDER`` writes the class page."""

import argparse
import os
import secrets
import sys
import tempfile
from dataclasses import replace
from datetime import date, timedelta
from math import isfinite
from pathlib import Path
from random import Random

from gradutils.course.classroom import facts, page
from gradutils.course.classroom.asked import SOLUTIONS, asked
from gradutils.course.classroom.files import Learner, Skipped, printable, read_class
from gradutils.course.progress import lessons

ABOUT = """Read the learners' progress files of a class, and write one HTML page about it: who has passed what, which mistakes
are made and how often, how the class split on each prediction, tries and minutes, and who is stuck. The page is one file
that asks for nothing; nothing is sent anywhere, and no file of a learner is changed."""
WHERE = """What FOLDER may hold (each thing directly in it is one learner):
  NAME/progress.jsonl                           a shared disk, or GRADUTILS_HOME of a hub; up to four folders deep
  NAME/.local/share/gradutils/progress.jsonl    home folders, on Linux; those of macOS and Windows as well
  NAME.jsonl                                    files that were handed in
  submitted/NAME/ASSIGNMENT/progress.jsonl      the course folder of nbgrader; copies of one log count once
progress.json, of versions before 1.1, is read as well. Links are not followed."""


def main(arguments: list[str] | None = None) -> int:
    """Write the page and say what was read. The exit status is 2 where that cannot be done, and then nothing was written."""
    given = _parser().parse_args(arguments)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a name may need letters that a terminal has not
    try:
        out = _checked(Path(given.out))
        learners, skipped, files = read_class(Path(given.folder))
        if not learners:
            raise ValueError(_nobody(given.folder, skipped))
        if given.numbers:
            learners = _numbered(learners)
        pause = timedelta(minutes=given.pause)
        found = facts.class_of(learners, asked(given.solutions), date.today(), pause)
        found = found.only(given.lesson) if given.lesson else found
        text = page.write(
            found,
            skipped,
            files,
            lessons=sorted({*given.lesson}) if given.lesson else found.touched,
            minutes=given.pause,
            today=date.today(),
            answers=not given.no_answers,
            nameless=given.numbers,
        )
        _keep(out, text)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{printable(given.out, 500)} cannot be written ({error.strerror or error}).", file=sys.stderr)
        return 2
    print(f"{_counted(len(learners), 'learner')} in {_counted(files, 'file')}.")
    for one in skipped[: page.MOST_SKIPPED]:
        print(f"  {printable(one.path, 200)}: {one.why}")
    if len(skipped) > page.MOST_SKIPPED:
        print(f"  and {len(skipped) - page.MOST_SKIPPED} more")
    print(f"The page is {printable(out.resolve(), 500)}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m gradutils.course.classroom",
        description=ABOUT,
        epilog=WHERE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", metavar="FOLDER", help="the folder of the learners' folders or files")
    parser.add_argument("--out", metavar="FILE", default="class.html", help="the page (class.html, here); an older page is replaced, another file never")  # fmt: skip
    parser.add_argument("--numbers", action="store_true", help="numbers in place of names, drawn anew each time; the terminal says who is who")  # fmt: skip
    parser.add_argument("--lesson", metavar="NN", action="append", choices=lessons(), help="only this lesson, such as 03; may be given again")  # fmt: skip
    parser.add_argument("--no-answers", action="store_true", help="the predictions alone, without what was measured: a page to show before the measurement")  # fmt: skip
    parser.add_argument("--pause", metavar="MINUTES", type=_minutes, default=facts.PAUSE.total_seconds() / 60, help="a longer time without an entry counts for nothing (20)")  # fmt: skip
    parser.add_argument("--solutions", metavar="FOLDER", default=SOLUTIONS, help="the executed solutions, for the words of the predictions (those of this clone)")  # fmt: skip
    return parser


def _minutes(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not (isfinite(value) and 0 < value <= 24 * 60):
        raise argparse.ArgumentTypeError(f"a number of minutes, more than 0 and at most a day; got {text!r}")
    return value


def _nobody(folder: str, skipped: list[Skipped]) -> str:
    lines = [f"No learner's file was found in {printable(folder, 500)}."]
    lines += [f"  {printable(one.path, 200)}: {one.why}" for one in skipped[:20]]
    return "\n".join([*lines, WHERE])


def _numbered(learners: list[Learner]) -> list[Learner]:
    """The class in an order that tells nothing, numbers in place of names; prints who is who."""
    drawn = Random(secrets.randbits(64)).sample(learners, len(learners))
    for number, learner in enumerate(drawn, start=1):
        print(f"  {number:>3}  {printable(learner.name)}")
    return [replace(learner, name=str(number)) for number, learner in enumerate(drawn, start=1)]


def _counted(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


# The page --------------------------------------------------------------------------------------------------------------
def _checked(out: Path) -> Path:
    """The page's path. ValueError, with a sentence, where it should not be written."""
    shown = printable(out, 500)
    if out.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"The page is an HTML file, so its name must end in .html; got {shown}.")
    if not os.path.isdir(out.absolute().parent):
        raise ValueError(
            f"There is no folder {printable(out.absolute().parent, 500)} to write the page into."
        )
    if os.path.lexists(out) and not _is_ours(out):
        raise ValueError(
            f"{shown} is there already and is no class page. It is left as it is: give another name."
        )
    return out


def _is_ours(out: Path) -> bool:
    if not os.path.isfile(out):
        return False
    with open(out, "rb") as file:
        return page.MARK.encode() in file.read(1000)


def _keep(out: Path, text: str) -> None:
    """Write the page beside its place and move it there: a full disk costs no older page. Only its owner may read it."""
    handle, beside = tempfile.mkstemp(dir=out.absolute().parent, prefix=".class-", suffix=".part")
    try:
        with open(handle, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
        os.replace(beside, out)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise


if __name__ == "__main__":
    sys.exit(main())
