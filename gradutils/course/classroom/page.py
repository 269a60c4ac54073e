"""The facts of a class as one HTML page: no script, nothing fetched, and whatever comes from a file is escaped."""

from collections.abc import Iterable, Sequence
from datetime import date
from html import escape

from gradutils import __version__
from gradutils.course.classroom.facts import (
    IN_A_ROW,
    LIVELY,
    MANY,
    OPTION,
    Asking,
    Class,
    Mistake,
    Split,
    Work,
)
from gradutils.course.classroom.files import Skipped, printable
from gradutils.course.exercises import all_exercises
from gradutils.course.progress import is_deeper, to_pass
from gradutils.course.questions import QUESTIONS

MARK = "<!-- gradutils: a class page -->"
TOP = 15  # mistakes that the first list shows; a lesson's own shows all
MOST_SKIPPED = 200  # lines
STYLE = """
:root { color-scheme: light dark; --line: #9997; --tint: #9c9ca126; --blue: #5790fc; --orange: #f89c20; --soft: #595959 }
@media screen and (prefers-color-scheme: dark) { :root { --soft: #b4b4b8 } body { background: #16171a; color: #e8e8ea } a { color: #8ab4ff } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 74rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem } h2 { font-size: 1.3rem; margin-top: 2.5rem } h3 { font-size: 1.05rem; margin-bottom: .3rem }
p, li { max-width: 46rem; overflow-wrap: anywhere } nav ul { display: flex; flex-wrap: wrap; gap: .2rem 1rem; padding: 0; list-style: none }
.scroll { position: relative; overflow-x: auto; margin: .5rem 0 1rem } table { border-collapse: collapse; min-width: min(100%, 24rem); font-size: .9rem; font-variant-numeric: tabular-nums }
caption { text-align: left; color: var(--soft); padding: .2rem 0 }
th, td { text-align: left; padding: .2rem .6rem .2rem .3rem; border-bottom: 1px solid var(--line); vertical-align: top }
th { font-weight: 600 } tbody th { font-weight: 400 } thead th { white-space: nowrap; vertical-align: bottom }
.map th[scope=row] { position: sticky; left: 0; background: Canvas }
bdi { display: inline-block; min-width: 5.5em; max-width: 11rem; overflow-wrap: anywhere }
@media screen and (prefers-color-scheme: dark) { .map th[scope=row] { background: #16171a } }
.map td { white-space: nowrap } td.all { background: #5790fc38 } td.some { background: #f89c2033 } .number { text-align: right; white-space: nowrap }
td.sentence { min-width: 15rem; max-width: 42rem }
@media (max-width: 40rem) { body { padding: 0 .7rem } td.sentence { min-width: 8.5rem } th, td { padding: .2rem .25rem } thead th, thead th.number { white-space: normal } .bar { min-width: 3rem; width: 18% } }
.bar { min-width: 6rem; width: 30%; vertical-align: middle } .bar span { display: block; height: .9em; background: #9c9ca1; min-width: 1px }
.measured { font-weight: 600 } .measured .bar span { background: var(--blue); outline: 2px solid currentcolor }
.soft { color: var(--soft) }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap }
@media print { :root { color-scheme: light } body { max-width: none; margin: 0; font-size: 10pt; background: none; color: black } nav { display: none } .scroll { overflow: visible }
* { print-color-adjust: exact; -webkit-print-color-adjust: exact } tr { break-inside: avoid } h2, h3, caption { break-after: avoid }
th, td { padding: .1rem .25rem } .map { font-size: 7.5pt } .map th[scope=row] { position: static; background: none } }
@page { size: A4 landscape; margin: 12mm }
""".replace("\n", "")
# A browser that is told so keeps to it, whatever else the page might come to hold.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
PAGE = """<!DOCTYPE html>
<html lang="en"><head>{mark}<meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="{policy}"><meta name="referrer" content="no-referrer">
<title>{title}</title><style>{style}</style></head>
<body><header><h1>{title}</h1>
{head}</header>
{nav}
<main>
{main}
</main></body></html>
"""
OTHER = "another option, of another version of the course"
NOTHING = ("·", "", "untouched")
LEGEND = (
    "<p>✓ passed, ○ tried and not passed, · untouched. The number says at which try it was passed, or how many tries there were. "
    "A try counts once it was more than the three dots, until the first pass.</p>"
)


class Html(str):
    """A text that is HTML already. Any other is escaped before it stands on the page."""


def html(text) -> Html:
    """Anything as HTML; a name or an option is made printable where it is taken from a file."""
    return text if isinstance(text, Html) else Html(escape(str(text)))


def write(
    found: Class, skipped: Sequence[Skipped], files: int, *, lessons: Sequence[str], minutes: float, today: date,
    answers: bool = True, nameless: bool = False,
) -> str:  # fmt: skip
    """The page of a class, of these lessons. ``minutes`` is the longest pause that counts; without ``answers`` it holds
    the predictions alone, and no word of what was measured; ``nameless`` keeps the files' names off the page.
    """
    count = len(found.names)
    title = f"A class of {count}" if count > 1 else "A class of one"
    about = _whole(found, lessons) if answers else _before(found, lessons)
    parts = [
        *about,
        ("counted", "How it is counted", _counted(minutes)),
        ("files", "Files", _files(skipped, files, nameless or not answers)),
    ]
    links = "".join(f'<li><a href="#{key}">{html(head)}</a></li>' for key, head, _ in parts)
    sections = (f'<section id="{key}" aria-labelledby="{key}-h"><h2 id="{key}-h">{html(head)}</h2>\n{body}</section>' for key, head, body in parts)  # fmt: skip
    passed = sum(work.passed for done in found.works for key, work in done.items() if key.split(".")[0] in lessons)  # fmt: skip
    begun = sum(map(bool, found.works))
    where = f"lesson {lessons[0]}" if len(lessons) == 1 else "all lessons"
    told = f"{begun} of {count} have tried something; {passed} passes in {where}. " if answers else ""
    head = f"<p>{told}Course version {__version__}, {today}.</p>"
    return PAGE.format(
        mark=MARK, policy=POLICY, title=title, style=STYLE, head=head, main="\n".join(sections),
        nav=f'<nav aria-label="Sections"><ul>{links}</ul></nav>',
    )  # fmt: skip


def _whole(found: Class, lessons: Sequence[str]) -> list[tuple[str, str, str]]:
    """The sections that say what the class did: id, heading, HTML."""
    mistakes = _mistakes(found.mistakes[:TOP], len(found.mistakes))
    overview = (
        [("mistakes", "Mistakes, most frequent first", mistakes)] if len(lessons) > 1 else []
    )  # a lesson has all of its own
    return [
        ("stuck", "Stuck now", _stuck(found)),
        ("map", "Who has passed what", _overview(found, lessons)),
        *overview,
        *((f"lesson-{name}", f"Lesson {name}", _lesson(found.only([name]), name)) for name in lessons),
        ("recall", "Questions on earlier lessons", _recalls(found)),
    ]


def _before(found: Class, lessons: Sequence[str]) -> list[tuple[str, str, str]]:
    """The predictions alone: mistakes and earlier questions would tell what was measured, and lists would show names."""
    each = {name: _splits(found.only([name]), answers=False) for name in lessons}
    return [
        (f"lesson-{name}", f"Lesson {name}", said or "<p>Nobody has chosen.</p>")
        for name, said in each.items()
    ]


# Tables ----------------------------------------------------------------------------------------------------------------
def _table(
    head: Sequence, rows: Iterable[Sequence], caption: str, kind: str = "", numbers: Sequence[int] = (), marked: int | None = None
) -> Html:  # fmt: skip
    """A table whose first column heads its rows. A cell is text, or a pair of its class and its text; one row may be marked."""
    top = "".join(
        f'<th scope="col"{_class("number" if k in numbers else "")}>{html(text)}</th>'
        for k, text in enumerate(head)
    )
    body = []
    for place, (first, *cells) in enumerate(rows):
        shown = [
            cell if isinstance(cell, tuple) else ("number" if k in numbers else "", cell)
            for k, cell in enumerate(cells, start=1)
        ]
        row = "".join(f"<td{_class(name)}>{html(text)}</td>" for name, text in shown)
        body.append(f'<tr{_class("measured" if place == marked else "")}><th scope="row">{html(first)}</th>{row}</tr>')  # fmt: skip
    lines = "\n".join(body)
    inner = f"<caption>{html(caption)}</caption><thead><tr>{top}</tr></thead><tbody>{lines}</tbody>"
    return Html(
        f'<div class="scroll" tabindex="0" role="group" aria-label="{html(caption)}"><table{_class(kind)}>{inner}</table></div>\n'
    )


def _class(name: str) -> str:
    return f' class="{name}"' if name else ""


def _sign(sign: str, number, word: str) -> Html:
    """A mark with its number; the word is for those who hear the page."""
    return Html(f'<span aria-hidden="true">{sign}</span><span class="unseen">{word}</span> {number}')


def _of(lesson: str, keys: Iterable[str]) -> list[str]:
    return [key for key in keys if key.startswith(f"{lesson}.")]


def _exercise(key: str) -> Html:
    """An exercise by its id and its function, which may break at an underscore; a patient by its id."""
    exercises = all_exercises()
    name = exercises[key].task.partition("(")[0] if key in exercises else "patient"
    return Html(f"{key} {escape(name).replace('_', '_<wbr>')}")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2g}" if value < 10 else f"{value:.0f}"


def _bdi(name: str) -> Html:
    """A learner's name: its direction of writing ends with it."""
    return Html(f"<bdi>{escape(name)}</bdi>")


# Parts -----------------------------------------------------------------------------------------------------------------
def _stuck(found: Class) -> str:
    intro = f"<p>The same mistake {IN_A_ROW} times in a row or more, or {MANY} tries and more of any kind, and not passed since.</p>"
    if not found.stuck:
        return f"{intro}<p>Nobody.</p>"
    rows = [
        (_bdi(one.learner), _exercise(one.key), one.times, ("sentence", one.mistake or "Different mistakes, or some without a name."))
        for one in found.stuck
    ]  # fmt: skip
    return intro + _table(
        ("learner", "exercise", "times", "mistake"), rows, "Who is stuck where", numbers=(2,)
    )


def _overview(found: Class, lessons: Sequence[str]) -> str:
    legend = (
        "<p>Of each lesson: how many exercises of its core are passed, then + those of its part Deeper. ✓ the core is done, "
        "○ begun, · untouched. Emergency room (12): patients.</p>"
    )
    rows = []
    for name, works, day in zip(found.names, found.works, found.days, strict=True):
        cells = [_share(lesson, works) for lesson in lessons]
        passed = sum(work.passed for key, work in works.items() if key.split(".")[0] in lessons)
        rows.append((_bdi(name), *cells, passed, day or "–"))
    numbers = (len(lessons) + 1,)
    return legend + _table(
        ("learner", *lessons, "passed", "last seen"), rows, "Learners by lessons", "map", numbers
    )


def _share(lesson: str, works: dict[str, Work]) -> tuple[str, Html]:
    """A learner's standing in a lesson, as a cell."""
    ids = _of(lesson, to_pass())
    core = [key for key in ids if not is_deeper(key)]
    done, deeper = (
        [key for key in keys if key in works and works[key].passed] for keys in (core, set(ids) - set(core))
    )
    if not any(key in works for key in ids):
        return "", _sign(*NOTHING)
    text = f"{len(done)}/{len(core)}" + (f" +{len(deeper)}" if deeper else "")
    return (
        ("all", _sign("✓", text, "core done,"))
        if len(done) == len(core)
        else ("some", _sign("○", text, "begun,"))
    )


def _mistakes(mistakes: Sequence[Mistake], all_of_them: int) -> str:
    if not mistakes:
        return "<p>No try whose mistake has a name.</p>"
    rows = [(_exercise(one.key), one.learners, one.tries, ("sentence", one.sentence)) for one in mistakes]
    said = "The sentence is what the check says." + (
        f" The first {len(mistakes)} of {all_of_them}; each lesson has all of its own."
        if all_of_them > len(mistakes)
        else ""
    )
    keys = sorted({one.key.split(".")[0] for one in mistakes})
    caption = "Mistakes by name" + (f" of lesson {keys[0]}" if len(keys) == 1 else "")
    return f"<p>{said}</p>" + _table(
        ("exercise", "learners", "tries", "sentence"), rows, caption, numbers=(1, 2)
    )


def _lesson(found: Class, lesson: str) -> str:
    """All of one lesson: map, exercises, mistakes, predictions."""
    exercises = all_exercises()
    ids = [key for key in _of(lesson, to_pass()) if key in exercises or key in found.exercises]
    begun = bool(found.exercises)
    if not begun and not found.splits:
        return "<p>Nobody has begun it.</p>"
    parts = [_exercises(found, lesson, ids)] if begun else []
    if found.mistakes:
        parts += ["<h3>Mistakes</h3>", _mistakes(found.mistakes, len(found.mistakes))]
    parts += [_splits(found, answers=True)]
    if begun:
        parts += ["<h3>Map</h3>", LEGEND, _lesson_map(found, lesson, ids)]
    return "".join(parts)


def _splits(found: Class, answers: bool) -> str:
    """The predictions of one lesson as bars; nothing where nobody chose."""
    if not found.splits:
        return ""
    head = "<h3>Predictions, as they stood before the measurement</h3>"
    return head + "".join(_split(split, answers, len(found.names)) for split in found.splits)


def _lesson_map(found: Class, lesson: str, ids: list[str]) -> str:
    begun = [k for k, works in enumerate(found.works) if any(key in works for key in ids)]
    rows = [(_bdi(found.names[k]), *(_standing(found.works[k].get(key)) for key in ids)) for k in begun]
    head = [f"{key} deeper" if is_deeper(key) else key for key in ids]
    left = len(found.names) - len(begun)
    rest = f"<p>{left} of {len(found.names)} have not begun this lesson.</p>" if left else ""
    return _table(("learner", *head), rows, f"Learners by exercises of lesson {lesson}", "map") + rest


def _standing(work: Work | None) -> tuple[str, Html]:
    if work is None:
        return "", _sign(*NOTHING)
    if work.passed:
        return "all", _sign("✓", work.tries, "passed at try")
    return "some", _sign("○", work.tries, "tried, not passed; tries:")


def _exercises(found: Class, lesson: str, ids: list[str]) -> str:
    """Passes, tries and minutes by exercise; of patients also how many were named rightly at first."""
    named = any(key in found.guesses for key in ids)
    rows = []
    for key in ids:
        one = found.exercises.get(key, Asking(0, 0, None, None, 0))
        right, of = found.guesses.get(key, (0, 0))
        more = [f"{right} of {of}" if of else "–"] if named else [one.unnamed]
        rows.append((_exercise(key), one.passed, one.tried, _number(one.tries), _number(one.minutes), *more))
    head = ("exercise", "passed", "tried, not passed", "tries to a pass", "minutes to a pass")
    last = "first name right" if named else "tries without a name"
    return _table(
        (*head, last),
        rows,
        f"Exercises of lesson {lesson}; tries and minutes are medians",
        numbers=range(1, 6),
    )


def _split(split: Split, answers: bool, count: int) -> str:
    """A prediction as bars: what was chosen before it was settled, with what was measured."""
    counts = split.counts | ({OTHER: split.others} if split.others else {})
    made = sum(counts.values())
    measured = (
        list(counts).index(split.asked.measured) if answers and split.asked.measured in counts else None
    )
    rows = []
    for place, (option, chosen) in enumerate(counts.items()):
        share = f"{100 * chosen / made:.0f}"
        bar = Html(f'<span aria-hidden="true" style="width:{share}%"></span>')
        mark = ["✓ measured" if place == measured else ""] if answers else []
        rows.append((printable(option, OPTION), ("bar", bar), ("number", f"{chosen} ({share} %)"), *mark))
    head = ("option", "share", "chosen", "measured")[: 4 if answers else 3]
    said = f"{split.key}: {made} of {count} chose."
    if answers and split.lively:
        few, many = (round(100 * share) for share in LIVELY)
        said += f" Between {few} and {many} % were right: worth a talk between neighbours."
    title = f"{split.key}: {split.asked.question}" if split.asked.question else split.key
    return f"<h4>{html(title)}</h4>" + _table(head, rows, said, marked=measured)


def _recalls(found: Class) -> str:
    if not found.recalls:
        return "<p>No wrong answer so far.</p>"
    rows = [
        (one.key, f"{one.wrong} of {one.answered}", ("sentence", QUESTIONS[one.key].question), ("sentence", QUESTIONS[one.key].right))
        for one in found.recalls[:TOP]
    ]  # fmt: skip
    return _table(
        ("question", "wrong at first", "asked", "right answer"), rows, "Most often wrong, first answers only"
    )


def _counted(minutes: float) -> str:
    return (
        "<ul><li>Tries: those before the first pass, and the pass. Answers that still hold three dots are no tries. Mistakes are those of "
        "these tries; one whose sentence this version of the course does not know counts as a try without a name.</li>"
        f"<li>Minutes: the time from the entry before, whatever it was about, to each try and to the first pass. More than {minutes:g} minutes "
        "without an entry are a pause and count for nothing, and so does all that is done after the last entry. So the numbers compare exercises "
        "and judge nobody.</li>"
        "<li>Predictions: the last choice before the measurement was shown. A learner who did not choose is not in the bars.</li>"
        "<li>A learner can change this file of theirs: these are the learner's own notes, and no examination.</li></ul>"
    )


def _files(skipped: Sequence[Skipped], files: int, nameless: bool) -> str:
    said = f"<p>{files} {'file was' if files == 1 else 'files were'} read."
    if not skipped:
        return f"{said} Nothing was passed over.</p>"
    if nameless:
        return f"{said} Of {len(skipped)} others, or parts of them, the program has said why they do not count.</p>"
    rows = [(printable(one.path, OPTION), ("sentence", one.why)) for one in skipped[:MOST_SKIPPED]]
    more = f" The first {MOST_SKIPPED} of {len(skipped)} are listed." if len(skipped) > MOST_SKIPPED else ""
    return f"{said} These, or parts of them, do not count.{more}</p>" + _table(
        ("file", "reason"), rows, "What was passed over"
    )
