"""How a wrong answer is related to the right one, in a sentence, where no known mistake fits.

Numbers are handed to transformations.py; here are words, several returned values, and what the wrong cases share.
"""

import contextlib
import inspect
from dataclasses import replace
from itertools import combinations
from types import BuiltinFunctionType, FunctionType

import numpy as np
import torch

from gradutils.course.compare import difference, is_number
from gradutils.course.runs import Run
from gradutils.course.transformations import (
    DIGITS,
    LOOKED_AT,
    Pair,
    close,
    digits_within,
    holds,
    leaves_of,
    pair_of,
    phrases,
)

BARE = ("values differ.", "answer differs.", "the other way round.")
AT_LEAST = 6  # entries on either side, before a sign is said to divide them: by chance one in 2**12 would
# What random numbers can have or lack: said only where nothing else divides.
BY_CHANCE = ("zeros", "negative")


def explained(message: str, exercise, cases: list[tuple], wanted: list[Run], runs: list[Run]) -> str:
    """The message about a failing case, with the relation that holds in all of them before it or in its place."""
    if any(run.error is not None for run in [*wanted, *runs]):
        return message
    arguments = exercise.given or inspect.signature(exercise.reference).parameters
    returned = [want.value for want in wanted], [run.value for run in runs]
    found = ""
    with contextlib.suppress(Exception):  # things that torch refuses have no relation
        found = relation(
            *returned,
            exercise.returns,
            cases=[dict(zip(arguments, case, strict=True)) for case in cases],
            rtol=exercise.rtol,
        )
    if not found or message.endswith(BARE):
        return found or message
    return f"{found} {message}"


def relation(
    wanted: list, got: list, names: tuple[str, ...] = (), *, cases: list = (), rtol: float | None = None
) -> str:
    """One sentence on how the answer's values are related to the right ones in every case; empty where none holds.

    ``names`` are those of the returned values, ``cases`` the arguments of each case: a dict by name, or a tuple.
    """
    cases = [
        c if isinstance(c, dict) else {f"argument {k + 1}": v for k, v in enumerate(c)} for c in cases
    ] or [{}] * len(wanted)
    with contextlib.suppress(OverflowError), np.errstate(all="ignore"):  # a whole number too long for a float
        return _relation(wanted, got, names, cases, rtol, "Your")
    return ""


def _relation(wanted, got, names, cases, rtol, subject) -> str:
    right = [_right(a, b, rtol) for a, b in zip(wanted, got, strict=True)]
    if all(right) or len(right) < 2:
        return ""
    if found := _words(wanted, got, subject):
        return found
    columns = _columns(wanted, got)
    if columns and (found := _exchanged(*columns, names, rtol)):
        return found
    pairs = [pair_of(*case, rtol) for case in zip(wanted, got, cases, strict=True)]
    if all(pairs) and (found := _numbers_related(pairs, right, subject)):
        return found
    if columns and (found := _by_column(*columns, names, cases, rtol)):
        return found
    wrong = [pair for pair, is_right in zip(pairs, right, strict=True) if not is_right]
    numbers = all(wrong) and len(wrong) > 1
    if numbers and (found := _places(wrong, subject)):
        return found
    if all(pairs) and (found := _by_sign(pairs)):
        return _of(subject, found)
    where = _where(right, cases, subject)
    if not where or not numbers:
        return where
    phrase = next(phrases(wrong), "")
    there = _said(wrong, phrase, subject) + "." if phrase else _of(subject, _by_sign(wrong))
    return f"{where} In the wrong cases {there[0].lower()}{there[1:]}" if there else where


def _right(want, got, rtol) -> bool:
    return not difference(Run(want), Run(got), rtol)


# Numbers ---------------------------------------------------------------------------------------------------------------
def _numbers_related(pairs: list[Pair], right: list[bool], subject: str) -> str:
    wrong = [pair for pair, is_right in zip(pairs, right, strict=True) if not is_right]
    if len(wrong) < 2:
        return ""
    others = [pair for pair, is_right in zip(pairs, right, strict=True) if is_right]
    always = "" if others else ", in every case"
    if phrase := next(phrases(wrong + others), ""):  # where most fail comes first: it decides soonest
        return f"{_said(pairs, phrase, subject)}{always}."
    return _constant(pairs, subject)


def _said(pairs: list[Pair], phrase: str, subject: str) -> str:
    single = all(len(pair.want) == 1 and pair.want[0].ndim == 0 for pair in pairs)
    ones = "one" if single or subject != "Your" else "ones"
    if subject == "Your":
        subject = "Your value is" if single else "Your values are"
    return f"{subject} {phrase.format(ones=ones)}"


def _who(subject: str) -> str:
    return "Your answer is" if subject == "Your" else subject


def _constant(pairs: list[Pair], subject: str) -> str:
    """One number in all places of all cases, where the right ones differ."""
    got = {f"{v + 0.0:.6g}" for pair in pairs for t in pair.got for v in t.ravel()[:LOOKED_AT].tolist()}
    if len(got) != 1 or got & {"nan"}:
        return ""
    number = float(got.pop())
    off = [pair for pair in pairs if not all(close(a, np.full_like(a, number), pair.tol) for a in pair.want)]
    wanted = {f"{v:.3g}" for pair in off for t in pair.want for v in t.ravel()[:LOOKED_AT].tolist()}
    same = all((t == t.ravel()[0]).all() for pair in pairs for t in pair.got if t.size)
    if len(off) < 2 or len(wanted) < 2 or not same:
        return ""
    return f"{_who(subject)} {number:.6g} in every case, whatever the arguments."


def _places(pairs: list[Pair], subject: str) -> str:
    """Which of the items that a value is made of are right: those at its beginning, or at its end."""
    parts = [
        (pair, pair.want[0], pair.got[0])
        if len(pair.want) == 1 and pair.want[0].ndim and pair.alike
        else (pair, pair.want, pair.got)
        for pair in pairs
    ]
    if any(len(want) != len(got) or len(want) < 2 for _, want, got in parts):
        return ""
    marks = [[close(a, b, pair.tol) for a, b in zip(want, got, strict=True)] for pair, want, got in parts]
    kinds = {
        "value" if want is pair.want else "entry" if want.ndim == 1 else "row" for pair, want, _ in parts
    }
    agreeing = sum(
        digits_within(pair.tol) * sum(mark and np.any(a) for mark, a in zip(row, want, strict=True))
        for row, (pair, want, _) in zip(marks, parts, strict=True)
    )
    if len(kinds) > 1 or sum(len(row) >= 3 for row in marks) < 2 or agreeing < DIGITS:
        return ""
    thing, of = kinds.pop(), "" if subject == "Your" else f" of {subject.removesuffix(' is')}"
    for place, k in (("first", 0), ("last", -1)):
        if all(not row[k] and row.count(False) == 1 for row in marks):
            chosen = [replace(pair, want=[want[k]], got=[got[k]]) for pair, want, got in parts]
            phrase = next(phrases(chosen), "")
            return f"Only the {place} {thing}{of} is wrong" + (
                f": {_said(chosen, phrase, 'it is')}." if phrase else "."
            )
        if all(row[k] and row.count(True) == 1 for row in marks):
            return f"Only the {place} {thing}{of} is right."
    return ""


# Relations between words, and between several values ---------------------------------------------------------------------
def _words(wanted: list, got: list, subject: str) -> str:
    """Words, or True and False, that always stand for the same others."""
    if not all(isinstance(value, (str, bool)) for value in [*wanted, *got]):
        return ""
    if len(set(got)) == 1 and len(set(wanted)) > 1:
        return f"{_who(subject)} {got[0]!r} in every case, whatever the arguments."
    becomes: dict = {}
    for a, b in zip(wanted, got, strict=True):
        if becomes.setdefault(a, b) != b:
            return ""
    wrong = {a: b for a, b in becomes.items() if a != b}
    if sum(a in wrong for a in wanted) < 2 or len(wrong) > 2:
        return ""
    a, b = next(iter(wrong.items()))
    if wrong.get(b) == a:
        return f"{a!r} and {b!r} are exchanged, in every case."
    if len(wrong) == 1 and len(becomes) > 1:
        return f"Only {a!r} is missed: wherever it is right, your answer is {b!r}."
    return ""


def _columns(wanted: list, got: list) -> tuple[list, list] | None:
    """The first, the second, ... of several values that are returned as a tuple of the same length in all cases."""
    rows = [*wanted, *got]
    if not all(isinstance(row, tuple) for row in wanted) or not all(
        isinstance(row, (tuple, list)) for row in got
    ):
        return None
    if len(wanted[0]) < 2 or any(len(row) != len(wanted[0]) for row in rows):
        return None
    return [*map(list, zip(*wanted, strict=True))], [*map(list, zip(*got, strict=True))]


def _exchanged(wanted: list, got: list, names, rtol) -> str:
    for i, j in combinations(range(len(wanted)), 2):
        others = [k for k in range(len(wanted)) if k not in (i, j)]
        if not all(_right(a, b, rtol) for k in others for a, b in zip(wanted[k], got[k], strict=True)):
            continue
        one, two = (list(zip(columns[i], columns[j], strict=True)) for columns in (wanted, got))
        pairs = [pair_of(*both, {}, rtol) for both in zip(one, two, strict=True)]
        if not all(pairs):
            continue
        turned = (pair_of((b, a), (b, a), {}, rtol).want for a, b in one)
        if holds(pairs, turned):
            both = _listed([_name(names, i), _name(names, j)])
            return f"{both[0].upper() if not names else both[0]}{both[1:]} are exchanged, in every case."
    return ""


def _name(names: tuple[str, ...], k: int) -> str:
    return names[k] if k < len(names) else f"value {k + 1}"


def _listed(words: list[str], last: str = "and") -> str:
    return f" {last} ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _by_column(wanted: list, got: list, names, cases, rtol) -> str:
    """Which of several returned values are right, and how each of the others is related to its own right one."""
    right = [
        [_right(a, b, rtol) for a, b in zip(*column, strict=True)] for column in zip(wanted, got, strict=True)
    ]
    if sum(map(all, zip(*right, strict=True))) > len(right[0]) - 2:
        return ""  # one wrong case says little
    fine = [*map(all, right)]
    right = [_name(names, k) for k, is_right in enumerate(fine) if is_right]
    wrong = [_name(names, k) for k, is_right in enumerate(fine) if not is_right]
    more = [
        _relation(wanted[k], got[k], (), cases, rtol, f"{_name(names, k)} is")
        for k, is_right in enumerate(fine)
        if not is_right
    ]
    sentences = [
        sentence if names else sentence[:1].upper() + sentence[1:] for sentence in filter(None, more)
    ]
    if right:
        first = f"{_listed(right)} {'is' if len(right) == 1 else 'are'} right, "
        first += f"{_listed(wrong)} {'is' if len(wrong) == 1 else 'are'} not."
        sentences.insert(0, first if names else first[0].upper() + first[1:])
    return " ".join(sentences)


# What the wrong cases share ----------------------------------------------------------------------------------------------
def _where(right: list[bool], cases: list[dict], subject: str) -> str:
    """The property of an argument that divides the cases into right and wrong ones; empty where none or several do."""
    found = {}
    for name in cases[0]:
        described = [_described(case.get(name)) for case in cases]
        for key in described[0]:
            if not all(key in each for each in described):
                continue
            groups = [
                [each[key] for each, ok in zip(described, right, strict=True) if ok is side]
                for side in (True, False)
            ]
            least = 1 if key == "is" else 2
            if min(map(len, groups)) < least or set(groups[0]) & set(groups[1]):
                continue
            # Where each case has a word of its own, any cases at all could be told apart by it.
            if len(set(groups[0]) | set(groups[1])) < min(len(cases), 5):
                found.setdefault(key, (name, *(_either(group) for group in groups)))
    if len(found) > 1:
        found = {key: value for key, value in found.items() if key not in BY_CHANCE}
    if not 1 <= len(found) <= 2:
        return ""
    (name, one, other), *more = found.values()
    who = "It is" if subject == "Your" else subject
    too = ""
    if more:
        too = f" `{more[0][0]}` divides the cases in the same way: it {more[0][1]}, or it {more[0][2]}."
    return f"{who} right where `{name}` {one}, and wrong where it {other}.{too}"


def _by_sign(pairs: list[Pair]) -> str:
    """Entries that are right where an argument of their shape has one sign, and wrong where it has the other."""
    for name in pairs[0].arguments:
        given = [leaves_of(pair.arguments.get(name)) for pair in pairs]
        if any(
            leaves is None or [t.shape for t in leaves] != [t.shape for t in pair.want] or not pair.alike
            for leaves, pair in zip(given, pairs, strict=True)
        ):
            continue
        signs, wrong = [], []
        for leaves, pair in zip(given, pairs, strict=True):
            for x, want, got in zip(leaves, pair.want, pair.got, strict=True):
                signs.append(np.sign(x).ravel())
                wrong.append(~np.isclose(got, want, pair.tol, pair.tol, equal_nan=True).ravel())
        sign, is_wrong = np.concatenate(signs), np.concatenate(wrong)[np.concatenate(signs) != 0]
        negative = sign[sign != 0] < 0
        if min(is_wrong.sum(), (~is_wrong).sum()) >= AT_LEAST:
            if (is_wrong == negative).all():
                return f"right where `{name}` is positive, and wrong where it is negative."
            if (is_wrong == ~negative).all():
                return f"right where `{name}` is negative, and wrong where it is positive."
    return ""


def _of(subject: str, found: str) -> str:
    who = "The entries are" if subject == "Your" else f"The entries of {subject.removesuffix(' is')} are"
    return f"{who} {found}" if found else ""


def _either(clauses: list[str]) -> str:
    """Several in one, the verb said once: "is 'relu' or 'tanh'"."""
    first, *rest = sorted(set(clauses))
    return _listed([first, *(clause.split(" ", 1)[1] for clause in rest)], "or")


def _described(value) -> dict[str, str]:
    """What can be said of an argument, by what it is about; the plainest first."""
    if isinstance(value, (str, bool)):
        return {"is": f"is {value!r}"}
    if isinstance(value, torch.dtype):
        return {"is": f"is {str(value).removeprefix('torch.')}"}
    if isinstance(value, (FunctionType, BuiltinFunctionType)):
        name = value.__name__.strip("_")
        return {"is": f"is {name}"} if name.isidentifier() else {}
    if is_number(value):
        number = float(value)
        return {"sign": f"is {'negative' if number < 0 else 'positive' if number > 0 else '0'}"}
    if isinstance(value, (list, tuple)):
        return {"length": "has one item" if len(value) == 1 else "has several items"}
    if not isinstance(value, torch.Tensor) or value.is_complex():
        return {}
    found = {"dtype": f"is {str(value.dtype).removeprefix('torch.')}"}
    found["axes"] = f"has {value.ndim} {'axis' if value.ndim == 1 else 'axes'}"
    if value.ndim == 2:
        rows, columns = value.shape
        found["square"] = f"is {'' if rows == columns else 'not '}square"
        found["rows"] = f"has {'one row' if rows == 1 else 'several rows'}"
        found["columns"] = f"has {'one column' if columns == 1 else 'several columns'}"
    for key, words, there in (
        ("finite", "entries that are not finite", not value.isfinite().all()),
        ("zeros", "entries that are 0", (value == 0).any()),
        ("negative", "negative entries", (value < 0).any()),
    ):
        found[key] = f"has {'' if there else 'no '}{words}"
    return found
