"""A saved recording in the terminal: ``python -m gradutils.recorder run.npz``, with ``--report run.html`` as a page to send."""

import argparse
import sys
from pathlib import Path

from gradutils.recorder.recording import Recording
from gradutils.recorder.report import diagnosis_of, write_report


def main(arguments: list[str] | None = None) -> int:
    """Print what was recorded and what ails it. The exit status is 2 where a file cannot be read or written."""
    parser = argparse.ArgumentParser(prog="python -m gradutils.recorder", description=main.__doc__)
    parser.add_argument("recording", help="what recorder.save(path) wrote")
    parser.add_argument(
        "--report", metavar="PAGE", help="also write an HTML page of it, to send to a colleague"
    )
    asked = parser.parse_args(arguments)
    try:
        recording = Recording.load(asked.recording)
        print(printable(f"{recording.summary()}\n\n{diagnosis_of(recording)}"))
        if asked.report is not None:
            name = Path(asked.recording).name  # where it lies is nobody else's business
            print(printable(f"\nThe report is in {write_report(recording, asked.report, name)}"))
    except OSError as error:
        print(printable(f"{error.filename} cannot be opened ({error.strerror or error})"), file=sys.stderr)
        return 2
    except ValueError as error:
        print(printable(str(error)), file=sys.stderr)
        return 2
    return 0


def printable(text: str) -> str:
    """Names come from a file: no character of theirs steers the terminal, and any terminal can write them."""
    text = "".join(c if c.isprintable() or c == "\n" else "?" for c in text)
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)


if __name__ == "__main__":
    sys.exit(main())
