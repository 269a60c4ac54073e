"""What a page of the site shows of a lesson: the stub to try, one answer folded under it, outputs as they were stored.

A page has no kernel. So a prediction becomes radio buttons whose measured answer stays closed until one is chosen, an
explorer becomes its picture with the address of its table, and what speaks of the reader's own progress is left out.
"""

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from html import escape
from io import BytesIO
from random import Random
from urllib.parse import unquote

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output
from PIL import Image

from gradutils.course.classroom.asked import Card, card_in, question_in
from gradutils.course.questions import QUESTIONS, RECALLS
from tools.notebooks import FOLDED_TAGS, HOST_TAG

EXPLORER = re.compile(r"^explorers\.explore_(\w+)\(\)\s*$", re.MULTILINE)
PASSED = re.compile(r"✓ [\d.]+ correct\.")
# What runs of the untouched cell show as well: a patient's chart and first numbers, the names to choose from.
BEFORE_AN_ANSWER = re.compile(r"Patient [\d.]+\n|The names, each once")
LARGE = 60_000  # bytes, from which on a picture is worth the time that it takes to make it smaller
OF_THE_READER = {
    "progress()": "In the notebook a table stands here of what you have passed and predicted. A page keeps nothing of you.",
    "review()": "In the notebook questions come back here, a day and more after you have passed what they are about.",
}


class PageError(ValueError):
    """What is stored cannot be made into a page; the message names the cell."""


@dataclass
class Page:
    """A notebook to be set, and the pictures that it shows, by name."""

    cells: list
    pictures: dict[str, bytes] = field(default_factory=dict)

    def notebook(self) -> nbformat.NotebookNode:
        kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
        return nbformat.v4.new_notebook(
            cells=self.cells, metadata={"kernelspec": kernel, "language_info": {"name": "python"}}
        )


def lesson_page(solution: dict, lesson: dict, mend: Callable[[str], str], tables: set[str], top: str) -> Page:
    """The page of a lesson.

    ``solution`` and ``lesson`` are the two notebooks, as JSON. ``mend`` leads the links of a text to where they go here,
    ``tables`` names the explorers that have one, and ``top`` is HTML that stands under the first cell.

    Raises PageError where the two have other cells, or an output that a page needs is missing.
    """
    # On a page there is nothing to fetch the course for.
    stubs = [cell for cell in lesson["cells"] if HOST_TAG not in cell["metadata"].get("tags", [])]
    ids = [[cell["id"] for cell in cells] for cells in (solution["cells"], stubs)]
    if ids[0] != ids[1]:
        raise PageError(f"solution and lesson have other cells: {sorted(set(ids[0]) ^ set(ids[1]))}")
    page = Page([])
    options: dict[str, list[str]] = {}
    for solved, stub in zip(solution["cells"], stubs, strict=True):
        if solved["cell_type"] == "markdown":
            page.cells.append(new_markdown_cell(mend(_text(solved["source"]))))
        else:
            page.cells += _code(solved, _text(stub["source"]), page.pictures, options, tables, mend)
        if len(page.cells) == 1 and top:
            page.cells.append(new_markdown_cell(top))
    return page


def _text(lines: str | list[str]) -> str:
    return lines if isinstance(lines, str) else "".join(lines)


def plain(output: dict) -> str:
    """An output as text."""
    return _text(output.get("text", output.get("data", {}).get("text/plain", "")))


# One code cell ---------------------------------------------------------------------------------------------------------
def _code(cell, stub, pictures, options, tables, mend) -> list:
    """The cells that one code cell becomes: itself, or its stub and a folded answer, and tables that are markdown."""
    source, shown, below = _text(cell["source"]), [], []
    name = EXPLORER.search(source)
    for k, output in enumerate(cell["outputs"]):
        data, text = output.get("data", {}), plain(output)
        if source.strip() in OF_THE_READER:
            html = f'<p class="note">{escape(OF_THE_READER[source.strip()])}</p>'
        elif recalled := re.search(r"^recall\(\"(\d\d)\"\)", source, re.MULTILINE):
            html = recall_html(recalled[1])
        elif asked := question_in(text):
            options[asked[0]] = list(asked[2])
            html = prediction_html(asked[0], asked[1], options[asked[0]])
        elif card := card_in(text):
            html = measured_html(*_settled(source, card, options, cell["id"]))
        elif "image/png" in data:
            png = base64.b64decode(_text(data["image/png"]))
            picture = f"{cell['id']}-{k}.{'webp' if len(png) > LARGE else 'png'}"
            html = picture_html(picture, png, text)
            pictures[picture] = smaller(png) if len(png) > LARGE else png
            if name and name[1] in tables:
                html = f'<div class="explorer" data-explorer="{name[1]}">{html}</div>'
        elif "text/markdown" in data:
            below.append(new_markdown_cell(wide_table(mend(_text(data["text/markdown"])))))
            continue
        elif "text/html" in data:
            html = _html(_text(data["text/html"]))
        elif "text" in output:
            shown.append((text, new_output("stream", name=output["name"], text=text)))
            continue
        else:  # a progress bar, of which nothing remains
            continue
        shown.append((text, new_output("display_data", data={"text/html": html, "text/plain": text})))
    if source != stub:
        return [*exercise(source, stub, shown), *below]
    tags, metadata = cell["metadata"].get("tags", []), {}
    if FOLDED_TAGS & set(tags):
        first = source.splitlines()[0]
        metadata = folded("hide-input", first.lstrip("# ") if first.startswith("#") else "The code")
    return [new_code_cell(source, outputs=[output for _, output in shown], metadata=metadata), *below]


def folded(tag: str, words: str) -> dict:
    """The metadata of a cell of which myst-nb folds the input ("hide-input") or all ("hide-cell") under these words."""
    return {"tags": [tag], "mystnb": {"code_prompt_show": words}}


def exercise(source: str, stub: str, shown: list) -> list:
    """The stub with what it would show too, and under it one answer, folded, with what the answer showed."""
    before = [
        output
        for text, output in shown
        if BEFORE_AN_ANSWER.match(text) and "the script" not in text.split("\n")[0]
    ]
    charts = [output for text, output in shown if "<img" in output.get("data", {}).get("text/html", "")]
    first = [output for _, output in shown if output in before or output in charts]
    after = [_of_the_answer(text, output) for text, output in shown if output not in first]
    answer = folded("hide-cell", "Show one answer")
    return [
        new_code_cell(stub, outputs=first),
        new_code_cell(source, outputs=[output for output in after if output], metadata=answer),
    ]


def _of_the_answer(text: str, output):
    """An output without the word that the reader has passed; None where nothing else is in it."""
    if not PASSED.match(text):
        return output
    words = PASSED.sub("", text).strip()
    html = f'<p class="note">{escape(words)}</p>'
    return words and new_output("display_data", data={"text/html": html, "text/plain": words})


# What is asked ---------------------------------------------------------------------------------------------------------
def prediction_html(question: str, asked: str, options: list[str]) -> str:
    """A prediction to make; what was measured stands where the lesson settles it."""
    first = "<p><em>Choose before you scroll on: what follows was measured.</em></p>"
    return (
        f'<div class="quiz" data-settled="measured-{question}">{_form(question, asked, options)}</div>{first}'
    )


def measured_html(question: str, options: list[str], answer: str, because: str, wrong: dict[str, str]) -> str:
    """What was measured, closed until the reader has chosen."""
    return _answer(
        question, options, answer, ("Measured: {}.", "As predicted.", "Predicted: {}."), because, wrong
    )


def recall_html(lesson: str) -> str:
    """The three questions on earlier lessons that a lesson begins with, each with its answer closed below it."""
    parts = ["<p>Three questions on earlier lessons.</p>"]
    for key in RECALLS[lesson]:
        one = QUESTIONS[key]
        words = ("Right is “{}”.", "", "You chose “{}”.")
        parts.append(
            f'<div class="quiz" data-settled="measured-{key}">{_form(key, one.question, one.options)}</div>'
            + _answer(key, one.options, one.right, words, one.because, one.wrong)
        )
    return "".join(parts)


def in_order(question: str, options: list[str]) -> list[str]:
    """The options in an order of this question's own, so that no place is more often right."""
    return Random(question).sample(options, len(options))


def _form(question: str, asked: str, options: list[str]) -> str:
    buttons = "".join(
        f'<label><input type="radio" name="{question}" value="{options.index(option)}"> {escape(option)}</label>'
        for option in in_order(question, options)
    )
    return f'<form><fieldset><legend>{escape(asked)}</legend>{buttons}</fieldset><p role="status"></p></form>'


def _answer(question, options, answer, words, because, wrong) -> str:
    """The closed answer. ``words`` are its head, and what is added for a right choice and for a wrong one."""
    head, hit, miss = words
    nots = "".join(
        f'<p data-option="{options.index(option)}">Not “{escape(option)}”: {escape(why)}</p>'
        for option, why in wrong.items()
    )
    return (
        f'<details class="measured" id="measured-{question}" data-right="{options.index(answer)}" data-hit="{escape(hit)}" '
        f'data-miss="{escape(miss)}"><summary>{"The answer" if not hit else "What was measured"}</summary>'
        f'<p class="head">{escape(head.format(answer))}</p><p>{escape(because)}</p>{nots}</details>'
    )


def _settled(source: str, card: Card, options: dict, cell: str) -> tuple:
    """Which question a reveal settles, its options, and what was measured, why, and why not."""
    question = re.search(r"reveal\(\s*\"([\w.]+)\"", source)
    if not question or question[1] not in options:
        raise PageError(f"{cell}: settles a question that was not asked before it")
    key = question[1]
    if card.measured not in options[key]:
        raise PageError(f"{cell}: measured is {card.measured!r}, which is none of the options of {key}")
    return key, options[key], *card


# What is looked at -----------------------------------------------------------------------------------------------------
def picture_html(name: str, png: bytes, sentence: str) -> str:
    """A figure, out of line, with its sentence as alternative text. Raises PageError where it has none."""
    if not sentence.strip() or sentence.startswith("<Figure"):
        raise PageError(f"{name}: the figure has no sentence")
    width, height = (int.from_bytes(png[at : at + 4], "big") for at in (16, 20))  # where a PNG says its size
    size = f'width="{width}" height="{height}" loading="lazy" decoding="async"'
    return f'<img class="figure" src="../figures/{name}" {size} alt="{escape(" ".join(sentence.split()))}">'


def smaller(png: bytes) -> bytes:
    """The same pixels as WebP without loss, which takes half of the bytes."""
    stream = BytesIO()
    Image.open(BytesIO(png)).save(stream, "WEBP", lossless=True, method=1)
    return stream.getvalue()


def wide_table(markdown: str) -> str:
    """A table with sentences in its cells, which a narrow page shows as a block a row."""
    return f":::{{table}}\n:class: verdicts\n\n{markdown}\n:::\n"


def _html(html: str) -> str:
    """A card as it is; a table in a box that scrolls by itself, by keys too, with a head that is named as one."""
    if not html.startswith("<table"):
        return html
    html = re.sub(r"<th[^>]*></th>", "<td></td>", html).replace("<th>", '<th scope="col">')
    return f'<div class="wide" tabindex="0" role="group" aria-label="Table">{html}</div>'


# Links -----------------------------------------------------------------------------------------------------------------
def anchor(heading: str) -> str:
    """The name of a heading in an address, as MyST makes it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def notebook_links(text: str) -> str:
    """A lesson's links: to a heading by the name that it has on a page; none to its solution, which is folded in."""
    text = re.sub(r"\[The solution of this\s+\w+\]\(\.\./solutions/\w+\.ipynb\)( · )?", "", text)
    return re.sub(
        r"(\.ipynb#)([^)\s]+)\)",
        lambda found: f"{found[1]}{anchor(unquote(found[2]).replace('-', ' '))})",
        text,
    )
