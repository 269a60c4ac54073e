"""A relation is named where it holds in every case, and nothing is named where none does."""

import inspect
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gradutils.course.checks import difference, fresh_cases, judge, named_mistake, run_all
from gradutils.course.compare import is_number
from gradutils.course.exercise import Exercise
from gradutils.course.exercises import all_exercises
from gradutils.course.relations import explained, relation
from gradutils.course.transformations import pair_of, phrases

EXERCISES = all_exercises()
seeds = st.integers(0, 2**31)
several = settings(max_examples=12, deadline=None, derandomize=True)


def drawn(seed, shapes, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes]


VECTORS, MATRICES, SCALARS = [(4,), (6,), (5,)], [(2, 3), (4, 4), (3, 5)], [()] * 5


def said(wanted, change, **more):
    return relation(wanted, [change(value) for value in wanted], **more)


# Each relation gets its own sentence -------------------------------------------------------------------------------------
ELEMENTWISE = {
    "2 times the right": lambda t: 2 * t,
    "0.25 times the right": lambda t: t / 4,
    "0.3333 times the right one{s} (1/3)": lambda t: t / 3,
    "-3 times the right": lambda t: -3 * t,
    "with the sign reversed": lambda t: -t,
    "(pi)": lambda t: math.pi * t,
    "(1/pi)": lambda t: t / math.pi,
    "(e)": lambda t: math.e * t,
    "(the square root of 2)": lambda t: math.sqrt(2) * t,
    "a logarithm to base 2 in place of the natural one": lambda t: t / math.log(2),
    "a natural logarithm in place of one to base 10": lambda t: t * math.log(10),
    "1.37 times the right": lambda t: 1.37 * t,
    "1 more than the right": lambda t: t + 1,
    "1 less than the right": lambda t: t - 1,
    "0.3 more than the right": lambda t: t + 0.3,
    "1 divided by the right": lambda t: 1 / t,
    "squared": torch.square,
    "e to the power of": torch.exp,
    "1 minus the right": lambda t: 1 - t,
}


@pytest.mark.parametrize("words", ELEMENTWISE)
@pytest.mark.parametrize("shapes", [SCALARS, VECTORS, MATRICES], ids=["scalars", "vectors", "matrices"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@several
@given(seed=seeds)
def test_numbers(words, shapes, dtype, seed):
    found = said(drawn(seed, shapes, dtype), ELEMENTWISE[words])
    assert words.format(s="" if shapes is SCALARS else "s") in found
    assert found.startswith("Your value is " if shapes is SCALARS else "Your values are ")
    assert found.endswith(", in every case.")


OF_POSITIVE = {
    "the square root of the right": torch.sqrt,
    "the logarithm of the right": torch.log,
    "the logarithm to base 10 of the right": torch.log10,
    "rounded to whole numbers": torch.round,
    "rounded down to whole numbers": torch.floor,
    "rounded up to whole numbers": torch.ceil,
    "rounded to 2 decimals": lambda t: t.round(decimals=2),
}


@pytest.mark.parametrize("words", OF_POSITIVE)
@several
@given(seed=seeds)
def test_positive_numbers(words, seed):
    wanted = [20 * t.abs() + 1 for t in drawn(seed, [(8,)] * 3)]
    assert words in said(wanted, OF_POSITIVE[words])


ARRANGED = {
    "transposed": (MATRICES, lambda t: t.T),
    "rows in reverse order": (MATRICES, lambda t: t.flip(0)),
    "columns in reverse order": (MATRICES, lambda t: t.flip(1)),
    "the number of entries (a sum in place of a mean?)": (VECTORS, lambda t: t * len(t)),
    "divided by the number of rows (a mean in place of a sum?)": (MATRICES, lambda t: t / t.shape[0]),
    "times the number of columns": (MATRICES, lambda t: t * t.shape[1]),
    "divided by the square root of the number of entries": (VECTORS, lambda t: t / len(t) ** 0.5),
    "n/(n - 1), where n is the number of entries": (VECTORS, lambda t: t * len(t) / (len(t) - 1)),
    "times one number, which differs from case to case": (VECTORS, lambda t: t / t.norm()),
    "plus the number of rows": (MATRICES, lambda t: t + t.shape[0]),
    "ones in reverse order": (VECTORS, lambda t: t.flip(0)),
    "moved on by one place": (VECTORS, lambda t: t.roll(1)),
    "rows moved back by one place": (MATRICES, lambda t: t.roll(-1, 0)),
    "without the first,": (VECTORS, lambda t: t[1:]),
    "without the last row": (MATRICES, lambda t: t[:-1]),
    "and one more at the end": (VECTORS, lambda t: torch.cat([t, t[:1] + 1])),
    "sorted in rising order": (VECTORS, lambda t: t.sort().values),
    "sorted in falling order": (VECTORS, lambda t: t.sort(descending=True).values),
    "in another shape": (VECTORS, lambda t: t[:, None]),
    "the sum of the right values": (VECTORS, torch.sum),
    "Only the first entry is wrong.": (VECTORS, lambda t: torch.cat([t[:1] * t[1] + 7 * t[2], t[1:]])),
    "Only the last row is wrong: it is 2 times the right one.": (
        [(3, 2), (4, 3)],
        lambda t: torch.cat([t[:-1], 2 * t[-1:]]),
    ),
}


@pytest.mark.parametrize("words", ARRANGED)
@several
@given(seed=seeds)
def test_how_they_are_arranged(words, seed):
    shapes, change = ARRANGED[words]
    assert words in said(drawn(seed, shapes), change)


def test_a_lost_sign():
    signs = [torch.tensor([1.5, -2.5, 3.5]), torch.tensor([-4.5, 5.5])]
    assert said(signs, torch.abs) == "Your values are the right ones without the sign, in every case."
    assert "all made negative" in said([*signs, -signs[0]], lambda t: -t.abs())


def test_whole_numbers_and_plain_ones():
    assert relation([5, 27, 110], [6, 28, 111]) == "Your value is 1 more than the right one, in every case."
    assert relation([5, 27], [4, 26]) == "Your value is 1 less than the right one, in every case."
    assert "with the decimals cut off" in relation([2.7, 14.9, -3.8, 8.6], [2, 14, -3, 8])
    assert "1 more" in relation([5, 27, math.inf], [6, 28, math.inf])
    assert relation([10**400, 5, 7], [2, 10, 14]) == ""


@several
@given(seed=seeds)
def test_what_is_still_to_be_summed(seed):
    got = drawn(seed, MATRICES)
    assert (
        relation([t.sum(0) for t in got], got)
        == "Your values are still to be summed over the rows, in every case."
    )
    assert "still to be summed over the columns" in relation([t.sum(1) for t in got], got)
    assert "still to be averaged" in relation([t.mean() for t in got], got)


@several
@given(seed=seeds)
def test_an_argument_is_named(seed):
    wanted, x = drawn(seed, VECTORS), drawn(seed + 1, VECTORS)
    rates = [0.3, 0.7, 1.9]
    cases = [{"x": a, "lr": lr} for a, lr in zip(x, rates, strict=True)]

    def of(got):
        return relation(wanted, got, cases=cases)

    assert of(x) == "Your values are `x` itself, in every case."
    assert "ones plus `x`" in of([a + b for a, b in zip(wanted, x, strict=True)])
    assert "ones times `lr`" in of([a * lr for a, lr in zip(wanted, rates, strict=True)])
    assert "divided by the norm of `x`" in of([a / b.norm() for a, b in zip(wanted, x, strict=True)])
    assert "divided by 1 - `lr`" in of([a / (1 - lr) for a, lr in zip(wanted, rates, strict=True)])


# Nothing is named without reason -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("shapes", [SCALARS[:2], SCALARS, VECTORS, MATRICES, [(3,)] * 2])
@pytest.mark.parametrize("rtol", [None, 1e-3, 0.03])
@settings(max_examples=50, deadline=None, derandomize=True)
@given(seed=seeds, dtype=st.sampled_from([torch.float16, torch.float32, torch.float64]), log=st.booleans())
def test_unrelated_answers_get_no_sentence(shapes, rtol, seed, dtype, log):
    wanted, got = drawn(seed, shapes, dtype), drawn(seed + 1, shapes, dtype)
    if log:  # positive, over several sizes
        wanted, got = [t.exp() for t in wanted], [t.exp() for t in got]
    cases = [(a, b) for a, b in zip(drawn(seed + 2, shapes), drawn(seed + 3, shapes), strict=True)]
    assert relation(wanted, got, cases=cases, rtol=rtol) == ""
    pairs = [*zip(wanted, got, strict=True)]
    assert relation(pairs, [(b, a + b) for a, b in pairs], rtol=rtol) == ""


@pytest.mark.parametrize("words", ELEMENTWISE)
@several
@given(seed=seeds, k=st.integers(0, 4))
def test_one_case_that_does_not_fit_silences_it(words, seed, k):
    wanted = drawn(seed, SCALARS)
    got = [ELEMENTWISE[words](t) for t in wanted]
    got[k] = got[k] * 1.01 + 0.05
    assert relation(wanted, got) == ""


@pytest.mark.parametrize(
    ("wanted", "got"),
    [
        ([torch.zeros(3), torch.zeros(2)], [torch.ones(3), torch.ones(2)]),
        ([1.0, 1.0, 1.0], [2.0, 2.0, 2.0]),  # one number: twice, one more, its square and so on
        ([2.5, 0.0, 0.0], [5.0, 0.0, 0.0]),  # one case in which anything could be seen
        ([3.0, 4.0], [4.0, 3.0]),
        ([torch.eye(2), torch.eye(3)], [torch.eye(2).flip(0), torch.eye(3).flip(0)]),
        (["explodes"], ["vanishes"]),
        ([torch.zeros(0), torch.zeros(0)], [torch.zeros(1), torch.zeros(1)]),
        ([{"a": 1}, {"a": 2}], [{"a": 2}, {"a": 4}]),
        ([1.5, 2.5], [None, None]),
        ([1.5, 2.5], [math.nan, math.nan]),
    ],
)
def test_what_could_not_have_failed_is_not_named(wanted, got):
    assert relation(wanted, got) == ""


def test_what_is_right_has_no_relation():
    for shapes in (SCALARS, VECTORS, MATRICES):
        assert said(drawn(0, shapes), torch.clone) == ""


# Words, and several values -----------------------------------------------------------------------------------------------
def test_words():
    wanted = ["explodes", "vanishes", "steady", "vanishes"]
    swapped = ["vanishes", "explodes", "steady", "explodes"]
    assert relation(wanted, swapped) == "'explodes' and 'vanishes' are exchanged, in every case."
    missed = ["explodes", "steady", "steady", "steady"]
    assert (
        relation(wanted, missed)
        == "Only 'vanishes' is missed: wherever it is right, your answer is 'steady'."
    )
    assert (
        relation(wanted, ["steady"] * 4) == "Your answer is 'steady' in every case, whatever the arguments."
    )
    assert relation([True, False], [False, True]) == "True and False are exchanged, in every case."
    assert relation(wanted, ["steady", "explodes", "vanishes", "steady"]) == ""
    assert relation([2.5, 3.5], [0.0, -0.0]) == "Your answer is 0 in every case, whatever the arguments."


@several
@given(seed=seeds)
def test_one_of_several_values(seed):
    numbers = drawn(seed, [(2, 3), (3,), (3,), (4, 2), (2,), (2,)] * 2)
    wanted = [tuple(numbers[k : k + 3]) for k in range(0, 12, 3)]
    names = ("dW", "db", "dh")
    assert said(wanted, lambda v: (v[0], v[1], v[2] / 4), names=names) == (
        "dW and db are right, dh is not. dh is 0.25 times the right one, in every case."
    )
    assert said(wanted, lambda v: (v[0], v[1].exp() + v[1] ** 3, v[2])) == (
        "Value 1 and value 3 are right, value 2 is not."
    )
    assert said(wanted, lambda v: (v[0].T, v[1], -v[2]), names=names) == (
        "db is right, dW and dh are not. dW is the right one transposed, in every case. "
        "dh is the right one with the sign reversed, in every case."
    )
    assert (
        said(wanted, lambda v: (v[0], v[2], v[1]), names=names) == "db and dh are exchanged, in every case."
    )
    assert said(wanted, lambda v: (v[2], v[1], v[0])) == "Value 1 and value 3 are exchanged, in every case."
    assert said(wanted, lambda v: tuple(2 * t for t in v)).startswith("Your values are 2 times")
    lists = [list(v) for v in wanted]
    assert "in reverse order" in said(lists, lambda v: v[::-1])
    assert "with the first two exchanged" in said(lists, lambda v: [v[1], v[0], v[2]])


# What the wrong cases share ----------------------------------------------------------------------------------------------
def _wrong_where(cases, is_wrong, seed=0):
    wanted = drawn(seed, [(3,)] * len(cases))
    spoilt = [t.exp() + t**3 if is_wrong(*case) else t.clone() for t, case in zip(wanted, cases, strict=True)]
    return relation(wanted, spoilt, cases=cases)


def test_what_divides_right_from_wrong():
    kinds = [(phi,) for phi in ("relu", "linear", "tanh") for _ in range(2)]
    assert _wrong_where(kinds, lambda phi: phi == "tanh") == (
        "It is right where `argument 1` is 'linear' or 'relu', and wrong where it is 'tanh'."
    )
    doubles = [(torch.ones(3, dtype=dtype),) for dtype in (torch.float32, torch.float64) for _ in range(2)]
    assert _wrong_where(doubles, lambda x: x.dtype == torch.float32) == (
        "It is right where `argument 1` is float64, and wrong where it is float32."
    )
    shapes = [(torch.ones(shape),) for shape in ((2, 2), (3, 3), (2, 3), (3, 4))]
    assert "is square, and wrong where it is not square" in _wrong_where(
        shapes, lambda x: x.shape[0] != x.shape[1]
    )
    rows = [(torch.ones(shape),) for shape in ((1, 2), (1, 3), (2, 3), (3, 4))]
    assert "has several rows, and wrong where it has one row" in _wrong_where(rows, lambda x: len(x) == 1)
    signs = [(torch.tensor([1.0, sign]),) for sign in (2.0, -2.0, 3.0, -3.0)]
    assert "has no negative entries" in _wrong_where(signs, lambda x: x.min() < 0)
    slopes = [(2.0,), (-1.0,), (3.0,), (-4.0,)]
    assert "is positive, and wrong where it is negative" in _wrong_where(slopes, lambda slope: slope < 0)


@several
@given(seed=seeds)
def test_entries_that_are_right_for_one_sign_only(seed):
    x = drawn(seed, [(30,), (5, 8), (20,)])
    cases = [{"z": t} for t in x]
    leaky = [torch.where(t > 0, t, t / 10) for t in x]
    relu = [t.clamp(min=0) for t in x]
    assert relation(leaky, relu, cases=cases) == (
        "The entries are right where `z` is positive, and wrong where it is negative."
    )
    spoilt = [*relu[:2], relu[2] + 0.1]
    assert relation(leaky, spoilt, cases=cases) == ""


def test_nothing_is_said_to_divide_what_it_does_not():
    once = [(torch.ones(3, dtype=torch.float64),), *[(torch.ones(3),)] * 3]
    assert _wrong_where(once, lambda x: x.dtype == torch.float64) == ""  # one such case says little
    words = [("relu",), ("linear",), ("tanh",)]
    assert _wrong_where(words, lambda phi: phi == "tanh") == ""  # any one case could be told by its word
    mixed = [("relu",), ("tanh",), ("relu",), ("tanh",)]
    turn = iter([True, False, False, True])
    assert _wrong_where(mixed, lambda phi: next(turn)) == ""


def test_the_relation_in_the_wrong_cases_is_said_too():
    x = [*drawn(0, [(3,)] * 2), *drawn(1, [(3,)] * 2, torch.float32)]
    got = [t if t.dtype == torch.float64 else 2 * t for t in x]
    assert relation(x, got, cases=[{"x": t} for t in x]) == (
        "It is right where `x` is float64, and wrong where it is float32. "
        "In the wrong cases your values are 2 times the right ones."
    )


# On the exercises --------------------------------------------------------------------------------------------------------
def _deep(function):
    def change(value):
        if isinstance(value, (tuple, list)):
            return type(value)(change(item) for item in value)
        return function(value) if isinstance(value, torch.Tensor) or is_number(value) else value

    return change


def _front(change):
    """Changes a returned tuple or list of two or more."""
    return lambda value: (
        type(value)(change(*value)) if isinstance(value, (tuple, list)) and len(value) > 1 else value
    )


WAYS = {
    "twice": _deep(lambda t: 2 * t),
    "sign": _deep(lambda t: -t),
    "one more": _deep(lambda t: t + 1),
    "reciprocal": _deep(lambda t: 1 / t if isinstance(t, torch.Tensor) or t else math.inf),
    "transposed": _deep(lambda t: t.T if isinstance(t, torch.Tensor) and t.ndim == 2 else t),
    "exchanged": _front(lambda a, b, *more: (b, a, *more)),
    "one spoilt": _front(lambda a, b, *more: (a, _deep(lambda t: 1.3 * t + 0.7)(b), *more)),
    "float64 only": _deep(
        lambda t: t if isinstance(t, torch.Tensor) and t.dtype == torch.float64 else 1.37 * t + 0.2
    ),
}
# Judged by what a network does, in words of the exercise's own: there are no numbers to relate.
MEASURED = {"04.5", "05.6", "07.4"}
# Ways that cannot be seen: of a yes or no, of rows that stand in any order, and of float16, where a reciprocal overflows.
UNSEEN = {
    "11.2": ("twice", "sign", "reciprocal"),
    "11.3": ("sign", "reciprocal", "transposed"),
    "11.6": ("reciprocal",),
}


def _answer(exercise, change):
    def answer(*arguments):
        return change(exercise.reference(*arguments))

    answer.__wrapped__ = exercise.reference
    return answer


def _can_be_told(way, cases, wanted, differing):
    """Whether the cases of an exercise let this be seen at all."""
    if way == "float64 only":
        for column in zip(*cases, strict=True):
            dtypes = [getattr(value, "dtype", None) for value in column]
            if None not in dtypes and all(
                sum((t == torch.float64) is side for t in dtypes) >= 2 for side in (True, False)
            ):
                return all(isinstance(value, torch.Tensor) for value in wanted)
        return False
    if way == "one spoilt":
        return all(isinstance(value, tuple) and len(value) == len(wanted[0]) for value in wanted)
    return len(differing) >= 2


@pytest.mark.parametrize("exercise_id", sorted(EXERCISES.keys() - MEASURED))
def test_a_changed_reference_is_recognised(exercise_id):
    exercise = EXERCISES[exercise_id]
    cases = fresh_cases(exercise, 3)
    wanted = run_all(exercise, exercise.reference, cases)
    names = exercise.given or inspect.signature(exercise.reference).parameters
    for way in WAYS.keys() - UNSEEN.get(exercise_id, ()):
        change = WAYS[way]
        runs = run_all(exercise, _answer(exercise, change), cases)
        assert not any(run.error for run in runs), way
        differing = [k for k in range(len(cases)) if difference(wanted[k], runs[k], exercise.rtol)]
        values = [want.value for want in wanted]
        if not differing or not _can_be_told(way, cases, values, differing):
            continue
        found = relation(
            values,
            [run.value for run in runs],
            cases=[dict(zip(names, case, strict=True)) for case in cases],
            rtol=exercise.rtol,
        )
        assert found or named_mistake(exercise, cases, runs), way


# In a verdict ------------------------------------------------------------------------------------------------------------
def _square_exercise():
    return Exercise(
        task="squares(x): the square of each entry",
        reference=lambda x: x * x,
        cases=lambda generator: [(torch.randn(n, generator=generator),) for n in (2, 3, 4)],
        mistakes={},
        hints=(),
    )


def test_a_verdict_says_the_relation_in_place_of_the_bare_difference():
    verdict = judge(_square_exercise(), lambda x: x * x / 2, 0)
    assert verdict.message == "Your values are 0.5 times the right ones, in every case."
    assert (verdict.outcome, verdict.mistake) == ("not yet", "")
    assert "expected" in verdict.details


def test_a_verdict_keeps_what_else_it_knows():
    verdict = judge(_square_exercise(), lambda x: (x * x)[1:], 0)
    assert verdict.message == (
        "Your values are the right ones without the first, in every case. The shape differs: expected (2,), got (1,)."
    )


def test_a_verdict_without_a_relation_is_as_it_was():
    verdict = judge(_square_exercise(), lambda x: x.exp() + 0.1 * x, 0)
    assert verdict.message == "The shape is right, the values differ."


def test_an_answer_that_raises_somewhere_has_no_relation():
    exercise = _square_exercise()
    cases = fresh_cases(exercise, 0)
    wanted = run_all(exercise, exercise.reference, cases)
    runs = run_all(exercise, lambda x: 2 * x * x if len(x) < 4 else x.missing, cases)
    assert explained("The values differ.", exercise, cases, wanted, runs) == "The values differ."


@pytest.mark.parametrize(
    "strange", [torch.eye(2).to_sparse(), torch.ones(2, dtype=torch.complex64), torch.ones(2, device="meta")]
)
def test_strange_tensors_have_no_relation(strange):
    exercise = _square_exercise()
    cases = fresh_cases(exercise, 0)
    wanted = run_all(exercise, exercise.reference, cases)
    runs = run_all(exercise, lambda x: strange, cases)
    assert explained("Bare.", exercise, cases, wanted, runs) == "Bare."


def test_of_two_that_fit_the_plainest_comes_first():
    wanted = [torch.tensor([2.0, 3.5]), torch.tensor([5.0, 6.5])]
    pairs = [pair_of(t, t + 1.0, {"x": t + 1.0}, None) for t in wanted]
    assert [*phrases(pairs)] == ["1 more than the right {ones}", "`x` itself"]
