"""The form of a lesson, rule by rule. A rule takes a lesson and says in sentences where it is broken."""

import ast
import copy
import os
import re
import statistics
import time
from dataclasses import dataclass, field
from itertools import pairwise

from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_notebook

from tools.notebooks import FOLDED_TAGS

WORDS_FOR_COUNTS = "Most: eight or more of ten. Few: two or fewer. Some: in between."
SIZE = (
    r"\d (\w+ )?(layers|units|blocks|entries|dimensions|weights)\b|\b(layers|units|widths?|blocks) (of )?\d"
)
EXERCISE = re.compile(r"Exercise (\d\d\.\d+) · ([●○]{3}) · (\d+) minutes")


@dataclass(frozen=True)
class Lesson:
    """The cells of a solution, and the exercises that belong to it by their keys."""

    number: str
    cells: list
    exercises: dict = field(default_factory=dict)

    def prose(self) -> list[str]:
        return [cell.source for cell in self.cells if cell.cell_type == "markdown"]

    def code(self, folded: bool) -> list[str]:
        return [cell.source for cell in self.cells if cell.cell_type == "code" and is_folded(cell) is folded]

    def tree(self) -> ast.Module:
        """All code, as if it stood in one cell."""
        return ast.parse("\n".join(cell.source for cell in self.cells if cell.cell_type == "code"))

    def headings(self) -> list[tuple[int, str, int]]:
        """The level, the words and the cell of each."""
        return [
            (len(marks), title.strip(), k)
            for k, cell in enumerate(self.cells)
            if cell.cell_type == "markdown"
            for marks, title in re.findall(r"^(#+) (.*)$", cell.source, re.MULTILINE)
        ]


def tags(cell) -> set[str]:
    return set(cell.metadata.get("tags", []))


def is_folded(cell) -> bool:
    return bool(tags(cell) & FOLDED_TAGS)


def lines(source: str) -> list[str]:
    """Those that hold something. An import is one, however its names are spread."""
    source = re.sub(r"^(from \S+ import) \([^)]*\)", r"\1 ...", source, flags=re.MULTILINE)
    return [line for line in source.splitlines() if line.strip()]


def in_order(keys) -> list[str]:
    """Keys of exercises as they are counted: 01.10 after 01.9."""
    return sorted(keys, key=lambda key: [int(part) for part in key.split(".")])


# What is read ----------------------------------------------------------------------------------------------------------
def plain(text: str) -> str:
    """Markdown as it is read: a formula or a piece of code is one word, an address none."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"`[^`]+`", "Code", text)
    text = re.sub(r"\$\$.+?\$\$|\$[^$]+\$", "Formula", text, flags=re.DOTALL)
    text = re.sub(r"!\[[^\]]*\]\([^)]*\)", "", text)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"</?(details|summary)\b[^>]*>", "\n\n", text)
    return re.sub(r"</?[a-z]+\b[^>]*>|\*\*", "", text)


def words(text: str) -> list[str]:
    """The words of a text; a dash or a bar of a table is none."""
    return [word for word in plain(text).split() if re.search(r"\w", word)]


def sentences(text: str) -> list[str]:
    """The sentences of a text. A list's items stand alone; headings, tables and formulas that stand alone are none."""
    text = re.sub(r"^\s*(#+ |\|).*$", "\n", plain(text), flags=re.MULTILINE)
    text = re.sub(r"^\s*([-*+]|\d+\.) +", "\n\n", text, flags=re.MULTILINE)
    text = re.sub(r"^\s*> ?", "", text, flags=re.MULTILINE)
    text = re.sub(r"\b(e\.g|i\.e|vs|cf|al|fig|eq|[A-Z])\.", r"\1", text)
    found = []
    for block in re.split(r"\n\s*\n", text):
        found += re.split(
            r"(?:(?<=[.?!])|(?<=[.?!][\"”’')*])|(?<=…)(?=\s+[A-Z]))\s+", " ".join(block.split())
        )
    return [sentence for sentence in found if set(re.findall(r"\w+", sentence)) - {"Formula", "Code"}]


def prose_is_short(lesson: Lesson) -> list[str]:
    return [
        f"{len(words(text))} words, at most 180: {text}" for text in lesson.prose() if len(words(text)) > 180
    ]


def sentences_are_of_middle_length(lesson: Lesson) -> list[str]:
    """The first cell lists goals, the last one books: both are left out, and so are labels, such as "Our prediction."."""
    found = [sentence for text in lesson.prose()[1:-1] for sentence in sentences(text)]
    found = [sentence for sentence in found if len(words(sentence)) > 3]
    counts = [len(words(sentence)) for sentence in found]
    wrong = [f"{n} words, at most 35: {s}" for s, n in zip(found, counts, strict=True) if n > 35]
    middle = statistics.median(counts)
    if not 12 <= middle <= 16:
        wrong.append(
            f"half of the sentences have {middle} words or fewer; that number lies between 12 and 16"
        )
    return wrong


def minutes_are_said(lesson: Lesson) -> list[str]:
    first = lesson.prose()[0]
    core = re.search(r"(\d+) minutes", first)
    if not core or int(core[1]) > 75:
        return [f"the first cell says in how many minutes the core is done, 75 at most: {first}"]
    deeper = r"\d+ (more|minutes)\b.*\bDeeper|\bDeeper\b.*\d+ minutes"
    if _where_deeper_begins(lesson) is not None and not re.search(deeper, first[core.end() :], re.DOTALL):
        return [f"the first cell says how many minutes more Deeper takes: {first}"]
    return []


# The parts of a lesson -------------------------------------------------------------------------------------------------
def _where_deeper_begins(lesson: Lesson) -> int | None:
    """Its place among the headings."""
    named = [heading[:2] for heading in lesson.headings()]
    return named.index((2, "Deeper")) if (2, "Deeper") in named else None


def deeper_follows_the_summary(lesson: Lesson) -> list[str]:
    """Lesson 00 may do without."""
    headings, begin = lesson.headings(), _where_deeper_begins(lesson)
    if begin is None:
        return [] if lesson.number == "00" else ['the part "## Deeper" is missing']
    wrong = []
    if (2, "Summary") not in [heading[:2] for heading in headings[:begin]]:
        wrong.append('"## Deeper" comes after "## Summary"')
    last = len(lesson.cells) - 1
    for level, title, cell in headings[begin + 1 :]:
        if level < 3 and cell != last:
            wrong.append(f'"{title}" is a part of Deeper: "### {title}"')
    return wrong


def exercises_stand_in_their_part(lesson: Lesson) -> list[str]:
    headings, begin = lesson.headings(), _where_deeper_begins(lesson)
    begin = len(headings) if begin is None else begin
    wrong = []
    for part, deeper, place in (("core", False, headings[:begin]), ("part Deeper", True, headings[begin:])):
        asked = [match for _, title, _ in place if (match := EXERCISE.fullmatch(title))]
        known = in_order(
            key for key, exercise in lesson.exercises.items() if getattr(exercise, "deeper", False) is deeper
        )
        if [match[1] for match in asked] != known:
            said = ", ".join(match[1] for match in asked)
            wrong.append(
                f"the {part} asks {said or 'nothing'}; what belongs there: {', '.join(known) or 'nothing'}"
            )
        if not deeper:
            wrong += [
                f"{match[1]} has three dots and stands in the core" for match in asked if "○" not in match[2]
            ]
            wrong += [f"the core asks {len(asked)} exercises, at most 5"] if len(asked) > 5 else []
    return wrong


def mechanisms_are_drawn(lesson: Lesson) -> list[str]:
    drawn, least = sum("drawing" in tags(cell) for cell in lesson.cells), 2 if lesson.number == "00" else 3
    return [f"{drawn} cells are tagged drawing, at least {least}"] if drawn < least else []


def earlier_lessons_are_recalled(lesson: Lesson) -> list[str]:
    """From lesson 02 on, before anything is predicted."""
    if lesson.number < "02":
        return []
    recalled = [
        call.lineno for call in _calls(lesson.tree(), "recall") if _constants(call) == [lesson.number]
    ]
    predicted = [call.lineno for call in _calls(lesson.tree(), "predict")]
    if recalled and recalled[0] < min(predicted, default=recalled[0] + 1):
        return []
    return [f'recall("{lesson.number}") stands before the first prediction']


# Code ------------------------------------------------------------------------------------------------------------------
def code_is_short(lesson: Lesson) -> list[str]:
    shown, folded = lesson.code(folded=False), lesson.code(folded=True)
    counts = [len(lines(source)) for source in shown]
    wrong = [
        f"{len(lines(source))} lines are shown, at most 15: {source}"
        for source in shown
        if len(lines(source)) > 15
    ]
    for source in shown + folded:
        wrong += [
            f"{len(line)} columns, at most 88: {line}" for line in source.splitlines() if len(line) > 88
        ]
    if sum(counts) > 130:
        wrong.append(f"{sum(counts)} lines are shown, at most 130")
    for part, tried in zip(("core", "part Deeper"), _experiments(lesson), strict=True):
        if tried > 180:
            wrong.append(f"the {part} folds {tried} lines of experiments, at most 180")
    if (middle := statistics.median(counts)) > 4:
        wrong.append(f"half of the shown cells have {middle} lines or more, at most 4")
    return wrong


def _experiments(lesson: Lesson) -> tuple[int, int]:
    """Lines of experiments before Deeper and in it; the first of a cell says what it does."""
    begin = _where_deeper_begins(lesson)
    border = len(lesson.cells) if begin is None else lesson.headings()[begin][2]
    counts = [len(lines(cell.source)) - 1 if "experiment" in tags(cell) else 0 for cell in lesson.cells]
    return sum(counts[:border]), sum(counts[border:])


def folds_have_words_above(lesson: Lesson) -> list[str]:
    """What an experiment does is said in words just above, for a row of folds once. A reveal shows words itself, a drawing has its title."""
    wrong = []
    for k, cell in enumerate(lesson.cells):
        if "experiment" in tags(cell):
            above = next((other for other in reversed(lesson.cells[:k]) if not is_folded(other)), None)
            if above is None or above.cell_type != "markdown" or not _ends_in_prose(above.source):
                wrong.append(f"no sentence stands above this fold: {cell.source}")
    return wrong


def folds_say_what_they_hold(lesson: Lesson) -> list[str]:
    """The bar of a closed cell shows its first line."""
    return [
        f"a folded cell begins with a comment that says what it does: {cell.source}"
        for cell in lesson.cells
        if is_folded(cell) and not cell.source.startswith("# ")
    ]


def _ends_in_prose(text: str) -> bool:
    return bool(lines(text)) and bool(sentences(lines(text)[-1]))


def reveals_give_reasons(lesson: Lesson) -> list[str]:
    """Each is folded, selects an option by its text, and says of each other option why it is wrong."""
    wrong = [
        f"a reveal is tagged reveal: {cell.source}"
        for cell in lesson.cells
        if cell.cell_type == "code" and "reveal" not in tags(cell) and re.search(r"\breveal\(", cell.source)
    ]
    tree = lesson.tree()
    assigned = {
        ast.unparse(target): node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
    }

    def given(call, place, name):
        """An argument, as it is written there or where its name got its value."""
        node = {keyword.arg: keyword.value for keyword in call.keywords}.get(name)
        node = call.args[place] if node is None and len(call.args) > place else node
        return None if node is None else assigned.get(ast.unparse(node), node)

    asked = {call.args[0].value: given(call, 2, "options") for call in _calls(tree, "predict")}
    for call in _calls(tree, "reveal"):
        key, answer, reasons = call.args[0].value, given(call, 1, "answer"), given(call, 3, "wrong")
        if any(isinstance(part, str) and len(part) == 1 for part in _constants(answer)):
            wrong.append(f"{key} is settled by a letter: {ast.unparse(answer)}")
        if not isinstance(reasons, ast.Dict):
            wrong.append(f"{key} gives no reasons: wrong={{option: reason}}")
            continue
        options = {ast.unparse(option) for option in asked[key].elts}
        # The measured option needs no reason; which one that is, only the run knows.
        may_be_measured = {ast.unparse(node) for node in ast.walk(answer)} & options or options
        without = options - set(map(ast.unparse, reasons.keys))
        if len(without) > 1 or not without <= may_be_measured:
            wrong.append(f"{key} gives no reason against {', '.join(sorted(without))}")
    return wrong


def words_for_counts_are_told(lesson: Lesson) -> list[str]:
    """What "most", "some" and "few" mean stands in the text of each section that says a count in such a word."""
    begins = [0, *sorted({cell for _, _, cell in lesson.headings()}), len(lesson.cells)]
    wrong = []
    for begin, end in pairwise(begins):
        cells = lesson.cells[begin:end]
        text = " ".join(" ".join(cell.source.split()) for cell in cells if cell.cell_type == "markdown")
        if WORDS_FOR_COUNTS not in text:
            wrong += [
                f'"{WORDS_FOR_COUNTS}" stands in the section of this cell: {cell.source}'
                for cell in cells
                if cell.cell_type == "code" and "how_many" in cell.source
            ]
    return wrong


def what_evidence_lacks(evidence: str) -> list[str]:
    """A verdict is worth what was run: which optimizer, for how many steps, at which size."""
    untrained = re.search(r"\b(no training|algebra)\b", evidence, re.IGNORECASE)
    named = {
        "the optimizer": untrained
        or re.search(r"\b(SGD|gradient descent|momentum|Adam\w*)\b", evidence, re.IGNORECASE),
        "the number of steps": untrained or re.search(r"\d steps\b", evidence),
        "the size": re.search(SIZE, evidence, re.IGNORECASE),
    }
    return [f"{what} is not named: {evidence}" for what, found in named.items() if not found]


def _calls(tree: ast.AST, name: str) -> list[ast.Call]:
    """In the order in which they are written."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == name]
    return sorted(calls, key=lambda call: call.lineno)


def _constants(node: ast.AST) -> list:
    return [part.value for part in ast.walk(node) if isinstance(part, ast.Constant)]


RULES = (
    prose_is_short,
    sentences_are_of_middle_length,
    minutes_are_said,
    deeper_follows_the_summary,
    exercises_stand_in_their_part,
    mechanisms_are_drawn,
    earlier_lessons_are_recalled,
    code_is_short,
    folds_have_words_above,
    folds_say_what_they_hold,
    reveals_give_reasons,
    words_for_counts_are_told,
)


# Run again -------------------------------------------------------------------------------------------------------------
def what_fails_again(cells: list, folder, home, quick: float = 1.0) -> list[str]:
    """What goes wrong where cells are run once more after a whole lesson, the last one first.

    A name that a later cell has given another meaning shows here. Cells that took longer than ``quick`` seconds are left out.
    """
    notebook = new_notebook(cells=copy.deepcopy(cells))
    client = NotebookClient(
        notebook, timeout=120, kernel_name="python3", store_widget_state=False, resources={"metadata": {"path": str(folder)}}
    )  # fmt: skip
    again, wrong = [], {}
    with client.setup_kernel(env=os.environ | {"GRADUTILS_HOME": str(home)}):
        for k, cell in enumerate(notebook.cells):
            started = time.perf_counter()
            client.execute_cell(cell, k)
            if cell.cell_type == "code" and time.perf_counter() - started < quick:
                again.append(k)
        for k in again[::-1]:
            try:
                client.execute_cell(notebook.cells[k], k)
            except CellExecutionError as error:
                wrong[k] = (
                    f"cell {k + 1} fails when it is run again, {error.ename}: {error.evalue}: {cells[k].source}"
                )
    return list(wrong.values())
