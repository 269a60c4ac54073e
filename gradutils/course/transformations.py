"""Transformations that turn right numbers into wrong ones, each tried on all cases of an exercise at once.

A transformation is named only where it holds in every case and could have failed: `holds` counts what speaks for it.
"""

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import torch

from gradutils.course.compare import is_number, tolerance_of

DIGITS = 4  # that must agree, over all cases and beyond what was fitted, before a relation is named
LOOKED_AT = 30  # entries of a case that are counted: more tell nothing new
LARGEST = 100_000  # entries of a value that is looked at: far above those of any case
LN2, LN10 = math.log(2), math.log(10)
CONSTANTS = {
    math.pi: "pi",
    1 / math.pi: "1/pi",
    2 * math.pi: "2 pi",
    1 / (2 * math.pi): "1/(2 pi)",
    math.e: "e",
    1 / math.e: "1/e",
    math.sqrt(2): "the square root of 2",
    math.sqrt(0.5): "1 over the square root of 2",
    LN2: "ln 2: a natural logarithm in place of one to base 2",
    1 / LN2: "1/ln 2: a logarithm to base 2 in place of the natural one",
    LN10: "ln 10: a natural logarithm in place of one to base 10",
    1 / LN10: "1/ln 10: a logarithm to base 10 in place of the natural one",
}


@dataclass(frozen=True)
class Pair:
    """What the reference and the answer returned in one case, as arrays of float64."""

    want: list[np.ndarray]
    got: list[np.ndarray]
    tol: float
    arguments: dict[str, Any] = field(default_factory=dict)

    @property
    def alike(self) -> bool:
        return [t.shape for t in self.want] == [t.shape for t in self.got]


# Values as numbers -----------------------------------------------------------------------------------------------------
def pair_of(want, got, arguments, rtol) -> Pair | None:
    """None where one of them is not made of numbers."""
    a, b = leaves_of(want), leaves_of(got)
    return None if a is None or b is None else Pair(a, b, rtol or _loosest(want), arguments)


def leaves_of(value) -> list[np.ndarray] | None:
    """The arrays that a value is made of; None where it is made of other things too."""
    if isinstance(value, torch.Tensor) and not value.is_complex():
        return [value.detach().double().numpy()] if value.numel() <= LARGEST else None
    if is_number(value):
        return [np.array(float(value))]
    if isinstance(value, (tuple, list)) and len(value) > LARGEST:
        return None
    if isinstance(value, list) and value and all(map(is_number, value)):
        return [np.array([float(item) for item in value])]
    if not isinstance(value, (tuple, list)):
        return None
    parts = [leaves_of(item) for item in value]
    return None if any(part is None for part in parts) else [leaf for part in parts for leaf in part]


def _loosest(value) -> float:
    if isinstance(value, (tuple, list)):
        return max(map(_loosest, value), default=1e-6)
    floating = isinstance(value, torch.Tensor) and value.is_floating_point()
    return tolerance_of(value.dtype) if floating else 1e-6


def close(a: np.ndarray, b: np.ndarray, tol: float) -> bool:
    """Whether b is a, up to ``tol`` of an entry and of the largest one; what is not finite must be the same."""
    if a.shape != b.shape:
        return False
    a, b = np.ravel(a), np.ravel(b)
    finite = np.isfinite(a)
    if not finite.all():
        if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
            return False
        a, b = a[finite], b[finite]
    size = np.abs(a)
    return not size.size or bool((np.abs(a - b) <= tol * (size + size.max())).all())


def holds(pairs: list[Pair], predictions: Iterable[list[np.ndarray]], fitted: int = 0) -> bool:
    """Whether the answer returned what is predicted in every case, and in two or more not by itself.

    Only numbers count that the relation changes, each different one once, by the digits in which it agrees (within
    twice the tolerance, on either side); a whole number, which is hit by chance more easily, by two. ``fitted`` numbers
    are taken off.
    """
    seen: dict[str, float] = {}
    informative = 0
    for pair, predicted in zip(pairs, predictions, strict=True):
        if len(predicted) != len(pair.got):
            return False
        if not all(close(a, b, pair.tol) for a, b in zip(predicted, pair.got, strict=True)):
            return False
        changed = _changed(predicted, pair)
        informative += bool(changed)
        for value in changed:
            seen[f"{value:.2e}"] = 2 if value == round(value) else digits_within(pair.tol)
    digits = sum(seen.values()) - fitted * max(seen.values(), default=0)
    return informative >= 2 and digits >= DIGITS


def digits_within(tol: float) -> float:
    """How many digits agree where two numbers are as close as `close` asks."""
    return -math.log10(4 * tol)


def _changed(predicted: list[np.ndarray], pair: Pair) -> list[float]:
    """Numbers in which a prediction is not the right value itself: finite, and not 0."""
    found: list[float] = []
    for k, a in enumerate(predicted):
        new = np.ravel(a)
        kept = np.isfinite(new) & (new != 0)
        if len(predicted) == len(pair.want) and a.shape == pair.want[k].shape:
            right = np.ravel(pair.want[k])
            kept &= ~(np.abs(new - right) <= 3 * pair.tol * np.maximum(np.abs(new), np.abs(right)))
        found += new[kept][: LOOKED_AT - len(found)].tolist()
    return found


# Relations between numbers ---------------------------------------------------------------------------------------------
def _each(function: Callable) -> Callable[[list], list]:
    return lambda leaves: [function(t) for t in leaves]


def _matrix(function: Callable) -> Callable[[list], list]:
    return _each(lambda t: function(t) if t.ndim == 2 else t)


def _in_a_row(function: Callable) -> Callable[[list], list]:
    """Of the entries of a vector, or of the values of a list."""

    def transform(leaves):
        if len(leaves) == 1:
            return [function(leaves[0])] if leaves[0].ndim == 1 else leaves
        return [leaves[k] for k in function(np.arange(len(leaves))).tolist()]

    return transform


def _one(function: Callable) -> Callable[[list], list]:
    return lambda leaves: (
        [function(leaves[0])] if len(leaves) == 1 and leaves[0].ndim and leaves[0].size else leaves
    )


# What stands first is named where two fit: the plainest first.
OF_THE_RIGHT: dict[str, Callable[[list], list]] = {
    "the right {ones} without the sign": _each(np.abs),
    "the right {ones}, all made negative": _each(lambda t: -np.abs(t)),
    "1 divided by the right {ones}": _each(lambda t: 1 / t),
    "the right {ones} squared": _each(np.square),
    "the square root of the right {ones}": _each(np.sqrt),
    "1 minus the right {ones}": _each(lambda t: 1 - t),
    "the logarithm of the right {ones}": _each(np.log),
    "the logarithm to base 2 of the right {ones}": _each(np.log2),
    "the logarithm to base 10 of the right {ones}": _each(np.log10),
    "e to the power of the right {ones}": _each(np.exp),
    "the right {ones} transposed": _matrix(lambda t: t.T),
    "the right {ones} with the rows in reverse order": _matrix(lambda t: t[::-1]),
    "the right {ones} with the columns in reverse order": _matrix(lambda t: t[:, ::-1]),
    "the right {ones} in reverse order": _in_a_row(lambda t: t[::-1]),
    "the right {ones} with the first two exchanged": _in_a_row(
        lambda t: t[[1, 0, *range(2, len(t))]] if len(t) > 1 else t
    ),
    "the right {ones} without the first": _in_a_row(lambda t: t[1:]),
    "the right {ones} without the last": _in_a_row(lambda t: t[:-1]),
    "the right {ones} without the first row": _matrix(lambda t: t[1:]),
    "the right {ones} without the last row": _matrix(lambda t: t[:-1]),
    "the right {ones} moved on by one place, the last one in front": _in_a_row(lambda t: np.roll(t, 1)),
    "the right {ones} moved back by one place, the first one at the end": _in_a_row(lambda t: np.roll(t, -1)),
    "the right {ones} with the rows moved on by one place": _matrix(lambda t: np.roll(t, 1, 0)),
    "the right {ones} with the rows moved back by one place": _matrix(lambda t: np.roll(t, -1, 0)),
    "the right {ones} sorted in rising order": _one(np.sort),
    "the right {ones} sorted in falling order": _one(lambda t: np.sort(t)[..., ::-1]),
    "the sum of the right values": _one(np.sum),
    "the mean of the right values": _one(np.mean),
    "the largest of the right values": _one(np.max),
    "the running sum of the right {ones}": _one(lambda t: np.cumsum(t, 0)),
}
# With one number more to agree: whole numbers are near to many others.
ROUNDED: dict[str, Callable[[list], list]] = {
    "the right {ones} rounded to whole numbers": _each(np.round),
    "the right {ones} rounded down to whole numbers": _each(np.floor),
    "the right {ones} rounded up to whole numbers": _each(np.ceil),
    "the right {ones} with the decimals cut off": _each(np.trunc),
    "the right {ones} rounded to 1 decimal": _each(lambda t: np.round(t, 1)),
    "the right {ones} rounded to 2 decimals": _each(lambda t: np.round(t, 2)),
    "the right {ones} rounded to 3 decimals": _each(lambda t: np.round(t, 3)),
}
# Here it is the answer's values that have to be turned to give the right ones.
OF_YOURS: dict[str, Callable[[list], list]] = {
    "the right {ones} and one more in front": _in_a_row(lambda t: t[1:]),
    "the right {ones} and one more at the end": _in_a_row(lambda t: t[:-1]),
    "the right {ones} and one more row in front": _matrix(lambda t: t[1:]),
    "the right {ones} and one more row at the end": _matrix(lambda t: t[:-1]),
    "still to be summed": _one(np.sum),
    "still to be averaged": _one(np.mean),
    "still to be summed over the rows": _matrix(lambda t: t.sum(0)),
    "still to be summed over the columns": _matrix(lambda t: t.sum(1)),
}


def phrases(pairs: list[Pair]) -> Iterator[str]:
    """What the answer's values are, in words, for each transformation that holds in all cases: the plainest first."""
    if all(pair.alike for pair in pairs):
        yield from _scaled(pairs)
        yield from _shifted(pairs)
    for table, fitted in ((OF_THE_RIGHT, 0), (ROUNDED, 1)):
        for phrase, turn in table.items():
            if holds(pairs, (turn(pair.want) for pair in pairs), fitted):
                yield phrase
    if all([t.size for t in pair.want] == [t.size for t in pair.got] for pair in pairs):
        reshaped = ([a.reshape(b.shape) for a, b in zip(pair.want, pair.got, strict=True)] for pair in pairs)
        if holds(pairs, reshaped):
            yield "the right {ones} in another shape"
    swapped = [Pair(pair.got, pair.want, pair.tol) for pair in pairs]
    for phrase, turn in OF_YOURS.items():
        if holds(swapped, (turn(pair.want) for pair in swapped)):
            yield phrase
    yield from _with_arguments(pairs)
    if all(pair.alike for pair in pairs):
        yield from _one_factor_each(pairs)


def _scaled(pairs: list[Pair]) -> Iterator[str]:
    """One factor per case: the same in all, or a size or an argument of the case, or just one per case."""
    factors = [_at_largest(pair, np.divide) for pair in pairs]
    known = [factor for factor in factors if factor is not None]
    if not known or 0 in known:
        return
    tol = max(pair.tol for pair in pairs)
    if _constant_within(known, tol):
        factor, phrase, fitted = _named_factor(sorted(known)[len(known) // 2], tol)
        if factor != 1 and holds(pairs, ([factor * t for t in pair.want] for pair in pairs), fitted):
            yield phrase
        return
    yield from _by_quantity(pairs, factors, FACTORS, np.multiply, tol)


def _one_factor_each(pairs: list[Pair]) -> Iterator[str]:
    """Values that are in proportion in every case, and right in none."""
    factors = [_at_largest(pair, np.divide) for pair in pairs]
    long = all(sum(int((t != 0).sum()) for t in pair.want) >= 3 for pair in pairs)
    if not long or any(
        factor is None or abs(factor - 1) <= 2 * pair.tol for factor, pair in zip(factors, pairs, strict=True)
    ):
        return
    scaled = ([factor * t for t in pair.want] for pair, factor in zip(pairs, factors, strict=True))
    if holds(pairs, scaled, len(pairs)):
        yield "the right {ones} times one number, which differs from case to case"


def _shifted(pairs: list[Pair]) -> Iterator[str]:
    """One difference per case: the same in all, or a size or an argument of the case."""
    shifts = [_at_largest(pair, np.subtract) for pair in pairs]
    known = [shift for shift in shifts if shift is not None]
    if not known:
        return
    tol = max(pair.tol for pair in pairs)
    if _constant_within(known, tol):
        shift = sorted(known)[len(known) // 2]
        plain = abs(shift - round(shift)) <= tol
        shift = round(shift) if plain else shift
        if shift and holds(pairs, ([t + shift for t in pair.want] for pair in pairs), not plain):
            yield f"{abs(shift):.4g} {'more' if shift > 0 else 'less'} than the right {{ones}}"
        return
    yield from _by_quantity(pairs, shifts, SHIFTS, np.add, tol)


def _at_largest(pair: Pair, function: Callable) -> float | None:
    """``function`` of the answer's and the right value where the right one is largest; None where that tells nothing."""
    if not pair.want:
        return None
    want, got = (np.concatenate([t.ravel() for t in leaves]) for leaves in (pair.want, pair.got))
    told = np.isfinite(want) & np.isfinite(got)
    if function is np.divide:
        told &= want != 0
    if not told.any():
        return None
    k = int(np.where(told, np.abs(want), -1).argmax())
    return float(function(got[k], want[k]))


def _constant_within(numbers: list[float], tol: float) -> bool:
    return max(numbers) - min(numbers) <= 2 * tol * max(map(abs, numbers))


def _named_factor(factor: float, tol: float) -> tuple[float, str, int]:
    """The factor, made exact where it is one that has a name, its phrase, and whether it was fitted."""
    loose = tol > 1e-3
    fraction = Fraction(factor).limit_denominator(4 if loose else 12)
    if abs(fraction - Fraction(factor)) <= tol * abs(factor):
        if fraction == -1:
            return -1.0, "the right {ones} with the sign reversed", 0
        exact = float(fraction)
        called = "" if exact == round(exact, 4) else f" ({fraction})"
        return exact, f"{exact:.{4 if called else 7}g} times the right {{ones}}{called}", 0
    for value, name in CONSTANTS.items():
        if abs(abs(factor) - value) <= tol * value and not loose:
            exact = math.copysign(value, factor)
            return exact, f"{exact:.5g} times the right {{ones}} ({'-' * (exact < 0)}{name})", 0
    return factor, f"{'about ' * loose}{factor:.{2 if loose else 5}g} times the right {{ones}}", 1


FACTORS: dict[str, Callable[[float], float]] = {
    "the right {{ones}} times {}{sum}": lambda n: n,
    "the right {{ones}} divided by {}{mean}": lambda n: 1 / n,
    "the right {{ones}} times the square root of {}": lambda n: math.sqrt(n),
    "the right {{ones}} divided by the square root of {}": lambda n: 1 / math.sqrt(n),
    "the right {{ones}} times n/(n - 1), where n is {}": lambda n: n / (n - 1),
    "the right {{ones}} times (n - 1)/n, where n is {}": lambda n: (n - 1) / n,
    "the right {{ones}} times the root of n/(n - 1), where n is {}": lambda n: math.sqrt(n / (n - 1)),
    "the right {{ones}} times the root of (n - 1)/n, where n is {}": lambda n: math.sqrt((n - 1) / n),
    "the right {{ones}} times 1 - {}": lambda n: 1 - n,
    "the right {{ones}} divided by 1 - {}": lambda n: 1 / (1 - n),
}
SHIFTS: dict[str, Callable[[float], float]] = {
    "the right {{ones}} plus {}": lambda n: n,
    "the right {{ones}} minus {}": lambda n: -n,
}


def _by_quantity(pairs, numbers, forms: dict[str, Callable], combine: Callable, tol: float) -> Iterator[str]:
    """The phrases of those quantities of a case from which its number follows."""
    quantities = [_quantities(pair) for pair in pairs]
    for name in quantities[0]:
        for phrase, form in forms.items():
            with contextlib.suppress(ValueError, ZeroDivisionError, KeyError):
                made = [form(quantity[name]) for quantity in quantities]
                near = (
                    a is None or abs(a - b) <= 2 * tol * abs(b) for a, b in zip(numbers, made, strict=True)
                )
                if all(near) and holds(
                    pairs,
                    ([combine(t, b) for t in pair.want] for pair, b in zip(pairs, made, strict=True)),
                ):
                    counts = name.startswith(("the number", "the length"))
                    yield phrase.format(
                        name,
                        sum=" (a sum in place of a mean?)" * counts,
                        mean=" (a mean in place of a sum?)" * counts,
                    )


def _quantities(pair: Pair) -> dict[str, float]:
    """Sizes of what is returned, and sizes and numbers among the arguments, by name."""
    found: dict[str, float] = {}
    things = {f" of `{name}`": value for name, value in pair.arguments.items()}
    if len(pair.want) == 1:
        things = {"": pair.want[0], **things}
    for of, value in things.items():
        if isinstance(value, (list, tuple)):
            found[f"the length{of}"] = float(len(value))
        elif isinstance(value, (np.ndarray, torch.Tensor)) and value.ndim:
            found[f"the number of entries{of}"] = float(math.prod(value.shape))
            if value.ndim == 2:
                found[f"the number of rows{of}"], found[f"the number of columns{of}"] = map(
                    float, value.shape
                )
            if of:
                found[f"the norm{of}"] = value.detach().double().norm().item()
        elif of and is_number(value):
            found[of.removeprefix(" of ")] = float(value)
    return found


def _with_arguments(pairs: list[Pair]) -> Iterator[str]:
    """What is one of the arguments itself, or was joined with one entry by entry."""
    ways = {"plus": np.add, "minus": np.subtract, "times": np.multiply, "divided by": np.divide}
    for name in pairs[0].arguments:
        given = [leaves_of(pair.arguments.get(name)) for pair in pairs]
        if any(leaves is None for leaves in given):
            continue
        if holds(pairs, given):
            yield f"`{name}` itself"
        both = [*zip((pair.want for pair in pairs), given, strict=True)]
        if all([t.shape for t in want] == [t.shape for t in leaves] for want, leaves in both):
            for word, way in ways.items():
                if holds(pairs, ([*map(way, want, leaves)] for want, leaves in both)):
                    yield f"the right {{ones}} {word} `{name}`"
