"""Build the site into build/site, from what is stored: nothing is executed, and no request leaves a page.

    python -m tools.site [FOLDER]

The lessons come from solutions/*.ipynb and lessons/*.ipynb, the front page and the pages beside it from README.md, the
verdicts from the trials. `tools/pages.py` makes a lesson into a page, and Sphinx (docs/site/conf.py) sets all of them.
"""

import argparse
import json
import re
import shutil
import sys
import time
from pathlib import Path

import nbformat
from sphinx.cmd.build import build_main

from gradutils.course.trials import CLAIMS, OUTCOMES, how_often_true, trials, where
from tools import pages
from tools.binder_url import binder_url
from tools.mathml import write_font
from tools.remote import host_and_repository, origin

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / "docs" / "site"
TARGET = ROOT / "build" / "site"
TABLES = ROOT / "gradutils" / "explorers" / "tables"
MODULE = ROOT / "gradutils" / "explorers" / "figure.js"
# The files of the repository that are pages here, and the sections of the README that are pages of their own.
PLACES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "docs/trainers.md": "trainers.md",
    "docs/classroom.md": "classroom.md",
    "docs/front_ends.md": "front_ends.md",
    "benchmarks/results.md": "results.md",
}
SECTIONS = {
    "Lessons": "lessons/index.md",
    "Where it runs": "where_it_runs.md",
    "Take the recorder home": "recorder.md",
    "For teachers": "teachers.md",
}
TRY = "Move the first slider to the right. At one point the path turns red, and where that is can be computed beforehand:"
PROOF = "## Theory that is computed before the measurement"
MARK = ".made-by-tools-site"  # in each folder that a build has made, and may make anew
ABOUT = "This is a course in notebooks"  # the paragraph of the README that says what the course is


class Repository:
    """Where the course can be opened and read, by the address of its git remote; nowhere if that is empty."""

    def __init__(self, remote: str):
        self.remote = remote
        try:
            self._first = binder_url(remote) if remote else ""
        except ValueError:
            self._first = ""
        host, repository = host_and_repository(remote) or ("", "")
        self._github = repository if host == "github.com" and repository.count("/") == 1 else ""

    def binder(self, notebook: str) -> str:
        """The address that opens a notebook on Binder, "" where none does."""
        return binder_url(self.remote, f"lab/tree/{notebook}") if self._first else ""

    def colab(self, notebook: str) -> str:
        """The same for Colab, which reads from GitHub alone."""
        base = "https://colab.research.google.com/github"
        return f"{base}/{self._github}/blob/main/{notebook}" if self._github else ""

    def file(self, path: str) -> str:
        """The address at which a file or a folder can be read, "" where none is known."""
        return f"https://github.com/{self._github}/blob/main/{path}" if self._github else ""


# Texts -----------------------------------------------------------------------------------------------------------------
def sections(readme: str) -> dict[str, str]:
    """The README's text by heading; what stands before the first one by ""."""
    first, *rest = re.split(r"^## ", readme, flags=re.MULTILINE)
    return {"": first} | dict(part.split("\n", 1) for part in rest)


def in_the_site(text: str, path: str, repository: Repository) -> str:
    """A text of the repository, ``path``, with its links to files led to their pages, to the repository, or left out.

    The result stands at the top of the site. Links to places of the same text and to addresses stay.
    """

    def lead(found: re.Match) -> str:
        words, target, place = found[1], found[2], found[3] or ""
        file = (ROOT / path).parent.joinpath(target).resolve()
        if not file.exists() or not file.is_relative_to(ROOT):
            return found[0]
        known = file.relative_to(ROOT).as_posix()
        if file.suffix == ".png":
            return f"[{words}](figures/{file.name})"
        section = next((page for name, page in SECTIONS.items() if place == f"#{pages.anchor(name)}"), "")
        if known == "README.md" and section:
            return f"[{words}]({section})"
        if known in PLACES or known.startswith("lessons/"):
            return f"[{words}]({PLACES.get(known, known)}{place})"
        address = repository.file(known)
        return f"[{words}]({address})" if address else words

    return re.sub(r"\[([^\]]*)\]\(([^)\s#:]+)(#[^)\s]*)?\)", lead, text)


def front_page(readme: str, explorer: str) -> tuple[str, str]:
    """The front page, and what the README says of setting up. ``explorer`` is HTML.

    Raises ValueError where the README has no paragraph that begins with `ABOUT`.
    """
    first = sections(readme)[""].strip().split("\n\n")
    at = next((k for k, part in enumerate(first) if part.startswith(ABOUT)), None)
    if at is None:
        raise ValueError(f"README.md must hold a paragraph that begins with {ABOUT!r}")
    title, question, *proof = first[:at]
    about, _, setting_up = first[at].rpartition(". ")
    doors = (
        "[Begin with lesson 00](lessons/00_start_here.ipynb) [Lesson 01](lessons/01_gradient_descent.ipynb) "
        f"[{len(CLAIMS)} verdicts](verdicts.md) [Set it up](setup.md)"
    )
    words = _container("words", f"{about}.", _container("doors", doors))
    parts = [title, question, _container("hero", words, _container("moves", TRY, explorer)), PROOF]
    for part in proof:  # what a figure is described by is what is said under it, too
        figure = re.fullmatch(r"!\[([^\]]+)\]\([^)]+\)", part)
        parts += [part, _container("caption", figure[1])] if figure else [part]
    return "\n\n".join(parts), "\n\n".join([setting_up, *first[at + 1 :]])


def _container(name: str, *parts: str) -> str:
    """Paragraphs in a box that the style sheet knows by this name."""
    inner = "\n\n".join(parts)
    within = [len(row) for row in re.findall(r"^:+(?=\{)", inner, re.MULTILINE)]
    fence = ":" * (max(within, default=2) + 1)
    return f"{fence}{{container}} {name}\n{inner}\n{fence}"


def verdict_page() -> str:
    """All claims with their verdicts, as the trials found them."""
    found = trials(ROOT / "solutions")
    outcomes = [trial.outcome for trial in found.values()]
    said = {
        "holds": "{} *hold*",
        "refuted": "{} are *refuted*",
        "depends": "{} *depend*",
        "not tested": "{} were *not tested*",
    }
    counted = ", ".join(said[name].format(outcomes.count(name)) for name in OUTCOMES if name in outcomes)
    true = how_often_true(found)
    rows = ["| claim | verdict | where | measured |", "|-|-|-|-|"]
    for name, trial in found.items():
        place = f"lessons/{trial.lesson}.ipynb#{pages.anchor(trial.heading)}"
        outcome = f"{OUTCOMES[trial.outcome][0]} **{trial.outcome}**"
        cells = [f"[{name}]({place}) {CLAIMS[name]}", outcome, where(trial.found) or "–", trial.evidence]
        rows.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    return f"""# Verdicts

This page tells some of what the lessons ask you to predict. {len(found)} claims about exploding gradients were put on trial as they are often taught: {counted}. Each was tried at several
settings, over ten random networks where no other number stands. The claims were true at {true["true"]} of these settings and
false at {true["false"]}; at {true["undecided"]} the numbers did not decide. A claim that is true everywhere *holds*; one that is
false wherever it is usually said is *refuted*; any other *depends*. Each name leads to its trial.
[Lesson 13](lessons/13_verdicts.ipynb) makes a guide of them.

{pages.wide_table(chr(10).join(rows))}"""


def launch_line(name: str, repository: Repository) -> str:
    """HTML: where this lesson can be worked on."""
    notebook = f"lessons/{name}.ipynb"
    ways = {"Open on Binder": repository.binder(notebook), "Open in Colab": repository.colab(notebook)}
    links = [f'<a href="{address}">{words}</a>' for words, address in ways.items() if address]
    links.append('<a href="../setup.html">On your machine</a>')
    nothing_runs = "Here nothing runs: what is said of cells is for the notebook. Predictions, sliders and folds work here too. "
    shown = f"This page shows the lesson as it was run. {nothing_runs if name.startswith('00') else ''}To work on it:"
    return f'<p class="launch"><span>{shown}</span> {" ".join(links)}</p>'


# The build -------------------------------------------------------------------------------------------------------------
def lessons() -> list[str]:
    """The names of all lessons, such as "01_gradient_descent"."""
    return [path.stem for path in sorted((ROOT / "lessons").glob("[0-9][0-9]_*.ipynb"))]


def explorers() -> set[str]:
    """The explorers that move in a page: those that have a table, and none without the module that draws them."""
    return {path.stem for path in TABLES.glob("*.bin")} if MODULE.exists() else set()


def prepare(source: Path, repository: Repository) -> dict[str, bytes]:
    """Write the sources that Sphinx reads; return the pictures that they show, by name."""
    pictures = {path.name: path.read_bytes() for path in (ROOT / "docs").glob("*.png")}
    texts, tables = {}, explorers()
    for name in lessons():
        solution, lesson = (
            json.loads((ROOT / folder / f"{name}.ipynb").read_text(encoding="utf-8"))
            for folder in ("solutions", "lessons")
        )
        page = pages.lesson_page(
            solution, lesson, pages.notebook_links, tables, launch_line(name, repository)
        )
        texts[f"lessons/{name}.ipynb"] = nbformat.writes(page.notebook())
        pictures |= page.pictures
    texts |= prose(repository, first_explorer(texts[f"lessons/{lessons()[0]}.ipynb"]))
    for path, text in texts.items():
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_text(text, encoding="utf-8", newline="\n")
    return pictures


def first_explorer(notebook: str) -> str:
    """The HTML of a page's first explorer, or of its picture where it has no table, for a page at the top."""
    for cell in nbformat.reads(notebook, as_version=4).cells:
        if pages.EXPLORER.search(cell.source):
            return cell.outputs[0].data["text/html"].replace("../figures/", "figures/")
    raise ValueError("the first lesson has no explorer to show on the front page")


def prose(repository: Repository, explorer: str) -> dict[str, str]:
    """Every page that is no lesson, by its file."""
    read = {path: in_the_site((ROOT / path).read_text(encoding="utf-8"), path, repository) for path in PLACES}
    front, setting_up = front_page(read["README.md"], explorer)
    texts = {"index.md": front, "setup.md": f"# Set it up\n\n{setting_up}", "verdicts.md": verdict_page()}
    about = ["# About this course"]
    for heading, text in sections(read["README.md"]).items():
        if heading in SECTIONS:
            texts[SECTIONS[heading]] = f"# {heading}\n\n{text}"
        elif heading:
            about.append(f"## {heading}\n\n{text}")
    texts["about.md"] = "\n\n".join(about)
    texts["lessons/index.md"] = texts["lessons/index.md"].replace("](lessons/", "](")
    texts |= {place: read[path] for path, place in PLACES.items() if place not in texts}
    texts["results.md"] = texts["results.md"].replace("\n### ", "\n## ")
    contents = {
        "index.md": ["lessons/index", "verdicts", "setup", "recorder", "teachers", "about"],
        "lessons/index.md": lessons(),
        "setup.md": ["where_it_runs", "front_ends"],
        "recorder.md": ["trainers", "results"],
        "teachers.md": ["classroom", "contributing"],
    }
    for path, below in contents.items():
        texts[path] += "\n\n```{toctree}\n:hidden:\n\n" + "\n".join(below) + "\n```\n"
    return texts


def empty(folder: Path) -> None:
    """Make a folder anew. Raises SystemExit where it holds what no build has put there: that is somebody's."""
    if folder.exists():
        if not folder.is_dir() or (any(folder.iterdir()) and not (folder / MARK).exists()):
            sys.exit(f"{folder} holds something else. Name a folder that is empty or not there yet.")
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    (folder / MARK).touch()


def build(target: Path) -> None:
    """Build the site anew into ``target``, from sources beside it. Raises SystemExit where Sphinx warns of anything."""
    source = target.with_name(f"{target.name}-source")
    for folder in (source, target):
        empty(folder)
    repository = Repository(origin())
    if not repository.binder("lessons"):
        print("No git remote on a public host: the links to Binder and Colab are left out.")
    pictures = prepare(source, repository)
    options = ["--quiet", "--fail-on-warning", "--keep-going", "--fresh-env", "--conf-dir", str(HOME)]
    (source / "figures").mkdir()
    for name in ("front.png", "recording.png"):  # these two are set by Sphinx
        (source / "figures" / name).write_bytes(pictures[name])
    if build_main([*options, "--doctree-dir", str(source / ".doctrees"), str(source), str(target)]):
        sys.exit("The site was not built: Sphinx names above what is wrong.")
    (target / "figures").mkdir(exist_ok=True)
    for name, png in pictures.items():
        (target / "figures" / name).write_bytes(png)
    write_font(target / "_static" / "math.woff")
    for name in explorers():
        (target / "explorers").mkdir(exist_ok=True)
        shutil.copy(TABLES / f"{name}.bin", target / "explorers")
        shutil.copy(MODULE, target / "_static")
    (target / ".nojekyll").touch()  # GitHub would leave out folders that begin with _


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.site", description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", default=TARGET, type=Path, help="where to build; build/site")
    started, target = time.perf_counter(), parser.parse_args().folder.resolve()
    build(target)
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    shown = target.relative_to(ROOT) if target.is_relative_to(ROOT) else target
    seconds = f"{time.perf_counter() - started:.0f} s ({time.process_time():.0f} s of them computing)"
    print(f"Built in {seconds}, {size / 1e6:.1f} MB. A browser shows it with")
    print(f"    {Path(sys.executable).name} -m http.server --directory {shown} 8000")
    print("and the address http://localhost:8000")


if __name__ == "__main__":
    main()
