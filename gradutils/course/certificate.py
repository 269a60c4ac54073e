"""A page of the learner's own results, to be looked at or kept as an HTML file; and what the course runs on."""

import os
import platform
import sys
from datetime import date
from html import escape
from pathlib import Path

import matplotlib
import torch

from gradutils import __version__
from gradutils.course.clinic.patients import PATIENTS
from gradutils.course.display import Card
from gradutils.course.exercises import all_exercises
from gradutils.course.progress import is_deeper, lessons, progress, read, share
from gradutils.course.questions import QUESTIONS

MARK = "<!-- gradutils: a page of results -->"
PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Training stability: results</title>{mark}
<style>body {{ font: 16px/1.5 sans-serif; max-width: 46em; margin: 3em auto; padding: 0 1em; color-scheme: light dark }}</style>
</head><body>{body}</body></html>
"""


def certificate(name: str = "", path: str | Path | None = None) -> Card:
    """What has been done in the course: exercises, predictions, patients; with ``path``, kept there as an HTML page.

    The page counts what is in the progress file of this machine. Raises ValueError for a path that does not end in
    .html, or where a file stands that is not such a page.
    """
    lines, results = _summary(name), progress()
    body = (
        f"<h1>{escape(lines[0])}</h1>"
        + "".join(f"<p>{escape(line)}</p>" for line in lines[1:])
        + results.html
    )
    text = "\n".join([*lines, results.text])
    if path is not None:
        kept = _keep(Path(path), PAGE.format(mark=MARK, body=body))
        text, body = f"{text}\nKept as {kept}", f"{body}<p>Kept as {escape(str(kept))}</p>"
    return Card(text, body)


def _summary(name: str) -> list[str]:
    state = read()
    passed = [key for key in all_exercises() if key in state.passed]
    healed = [key for key in PATIENTS if key in state.passed]
    made = [prediction for key, prediction in state.predictions.items() if key.split(".")[0] in lessons()]
    settled = [prediction.right for prediction in made if prediction.right is not None]
    days = sorted(state.passed[key] for key in passed + healed)
    lines = [f"Training stability{f': {name}' if name else ''}"]
    lines += [
        f"Exercises passed: {len(passed)} of {len(all_exercises())}. Patients healed: {len(healed)} of {len(PATIENTS)}."
    ]
    deeper = [key for key in all_exercises() if is_deeper(key)]
    if deeper:
        core = [key for key in all_exercises() if key not in deeper]
        lines += [f"Of the core {share(passed, core)}, of what is deeper {share(passed, deeper)}."]
    lines += [
        f"Predictions settled: {len(settled)}, of which {sum(settled)} were right. A wrong one taught as much."
    ]
    recalled = [answers[-1].right for key, answers in state.recalled.items() if key in QUESTIONS]
    if recalled:
        lines += [
            f"Questions on earlier lessons answered: {len(recalled)}, of which {sum(recalled)} are known."
        ]
    if days:
        lines += [f"From {days[0]} to {days[-1]}."]
    return [
        *lines,
        f"Course version {__version__}, {date.today()}. Counted on the learner's own machine; nobody watched.",
    ]


def _keep(path: Path, page: str) -> Path:
    if path.suffix != ".html":
        raise ValueError(f"path must end in .html; got {str(path)!r}")
    if path.exists() and MARK not in path.read_text(encoding="utf-8", errors="replace"):
        raise ValueError(f"{path} is another file, which is left as it is; give another path")
    path.write_text(page, encoding="utf-8")
    return path.resolve()


# What it runs on ------------------------------------------------------------------------------------------------------
def machine() -> str:
    """Versions, cores, torch's threads and this kernel's memory, one line each."""
    rows = {
        "Python": platform.python_version(),
        "torch": torch.__version__,
        "matplotlib": matplotlib.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "torch threads": torch.get_num_threads(),
        "kernel memory": _resident_memory(),
    }
    return "\n".join(f"{name:<14} {value}" for name, value in rows.items())


def _resident_memory() -> str:
    if not sys.platform.startswith("linux"):
        return "see the system's own monitor"
    with open("/proc/self/statm") as file:
        return f"{int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE') / 1e6:.0f} MB"
