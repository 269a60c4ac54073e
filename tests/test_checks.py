"""`check` never raises and never passes a wrong answer, whatever it is given."""

import functools
import sys

import numpy as np
import pytest
import torch

from gradutils.course import checks, stubs
from gradutils.course.checks import Verdict, check, exercises, hint, judge
from gradutils.course.exercises import all_exercises
from gradutils.course.progress import read

EXERCISES = all_exercises()


def _loud(*_):
    for _ in range(20_000):
        print("noise")
    return 0.0


def _endless(*arguments):
    return _endless(*arguments)


def _exits(*_):
    sys.exit(3)


def _raises(*_):
    raise ValueError("on purpose")


class Grumpy:
    """An object that objects to everything."""

    def __repr__(self):
        raise RuntimeError("no repr")

    def __eq__(self, other):
        raise RuntimeError("no ==")

    __hash__ = None


def _counting():
    calls = []

    def answer(*arguments):
        calls.append(arguments)
        return float(len(calls))

    return answer


def hostile() -> dict:
    """Made anew for each test: how far the one that counts has come must not depend on the tests before."""
    return {
        "None": None,
        "ellipsis": ...,
        "a number": 3,
        "a text": "x - lr * gradient",
        "a tensor": torch.zeros(3),
        "a class": dict,
        "an object": Grumpy(),
        "no arguments": lambda: 0.0,
        "too many arguments": lambda a, b, c, d, e, f, g: a,
        "raises": _raises,
        "exits": _exits,
        "keyboard": lambda *_: (_ for _ in ()).throw(KeyboardInterrupt),
        "returns None": lambda *_: None,
        "returns ellipsis": lambda *_: ...,
        "NaN": lambda *_: float("nan"),
        "NaN tensor": lambda *_: torch.full((3,), torch.nan),
        "infinity": lambda *_: float("inf"),
        "wrong shape": lambda *_: torch.zeros(7, 7, 7),
        "wrong dtype": lambda *_: torch.zeros(2, dtype=torch.int32),
        "complex": lambda *_: 1j,
        "numpy": lambda *_: np.zeros(3),
        "a list": lambda *_: [1.0, 2.0],
        "a dict": lambda *_: {"x": 1},
        "a string": lambda *_: "right",
        "a generator": lambda *_: (x for x in range(3)),
        "returns a function": lambda *_: _raises,
        "returns an object": lambda *_: Grumpy(),
        "True": lambda *_: True,
        "its first argument": lambda first, *_: first,
        "prints a lot": _loud,
        "recurses": _endless,
        "changes each time": _counting(),
        "partial": functools.partial(_raises, 1),
        "empty tuple": lambda *_: (),
        "nested": lambda *_: ((torch.zeros(1), None), [..., 3]),
    }


@pytest.mark.parametrize("exercise_id", EXERCISES)
@pytest.mark.parametrize("name", hostile())
def test_hostile_answers_neither_raise_nor_pass(home, exercise_id, name, capsys):
    before = torch.get_rng_state()
    verdict = check(exercise_id, hostile()[name])
    assert isinstance(verdict, Verdict)
    assert verdict.outcome in ("not yet", "not attempted")
    assert verdict.function is EXERCISES[exercise_id].reference
    assert exercise_id not in read().passed
    assert torch.equal(before, torch.get_rng_state())
    assert sys.stdout is not None
    assert len(capsys.readouterr().out) < 6000


# Any one number within wide bounds is a right answer there: what an answer remembers cannot make it wrong.
ONE_NUMBER_SERVES = {"07.4"}
VARYING = [exercise_id for exercise_id in EXERCISES if exercise_id not in ONE_NUMBER_SERVES]


@pytest.mark.parametrize("exercise_id", VARYING)
def test_an_answer_that_remembers_its_first_result_does_not_pass(exercise_id):
    exercise, memory = EXERCISES[exercise_id], []

    def cached(*arguments):
        if not memory:
            memory.append(exercise.reference(*arguments))
        return memory[0]

    assert judge(exercise, cached).outcome == "not yet"


@pytest.mark.parametrize("exercise_id", EXERCISES)
def test_an_answer_right_only_in_the_first_case_does_not_pass(exercise_id):
    exercise, calls = EXERCISES[exercise_id], []

    def once(*arguments):
        calls.append(1)
        return exercise.reference(*arguments) if len(calls) == 1 else 0.0

    assert judge(exercise, once).outcome == "not yet"


@pytest.mark.parametrize("exercise_id", VARYING)
def test_an_answer_that_drifts_after_all_cases_does_not_pass(exercise_id):
    exercise, calls = EXERCISES[exercise_id], []

    def counted(*arguments):
        calls.append(1)
        return exercise.reference(*arguments)

    checks.run_all(exercise, counted, checks.fresh_cases(exercise, 0))
    count = len(calls)  # a measurement calls the function more than once a case
    calls.clear()

    def drifts(*arguments):
        calls.append(1)
        return exercise.reference(*arguments) if len(calls) <= count else 0.0

    verdict = judge(exercise, drifts, seed=0)
    assert verdict.outcome == "not yet"
    assert "between calls" in verdict.message


def _in_place(x, gradient, lr):
    x -= lr * gradient
    return x


def test_changing_an_argument_is_named():
    verdict = judge(EXERCISES["01.1"], _in_place)
    assert verdict.message.startswith(
        "The value is right, but your function changed its argument `x` in place"
    )


def test_a_known_mistake_made_in_place_is_still_named():
    def uphill(x, gradient, lr):
        x += lr * gradient
        return x

    assert judge(EXERCISES["01.1"], uphill).message.startswith("This walks uphill")


def test_the_inputs_of_an_answer_are_copies():
    exercise = EXERCISES["01.1"]
    cases = checks.fresh_cases(exercise, 0)
    before = [[torch.as_tensor(value).clone() for value in case] for case in cases]
    checks.run_all(exercise, _in_place, cases)
    for case, kept in zip(cases, before, strict=True):
        assert all(torch.equal(torch.as_tensor(a), b) for a, b in zip(case, kept, strict=True))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda x, gradient, lr: x if x.ndim else x - lr * gradient, "of 5 cases are right"),
        (lambda x, gradient, lr: (x - lr * gradient).numpy(), "a numpy array; a torch.Tensor is expected"),
        (lambda x, gradient, lr: (x - lr * gradient).double(), "The dtype differs: expected torch.float32"),
        (lambda x, gradient, lr: (x - lr * gradient).unsqueeze(-1), "of shape (1,); one number is expected"),
        (lambda x, gradient: x, "It is called as step(x, gradient, lr); yours takes (x, gradient)."),
        (lambda x, gradient, lr: undefined_name, "It raises NameError: name 'undefined_name' is not defined"),  # noqa: F821
        (lambda x, gradient, lr: print("seen"), "It returns None. Is there a return?"),
        (lambda x, gradient, lr: torch.full_like(x, torch.nan), "NaN"),
    ],
)  # fmt: skip
def test_what_differs_is_said(answer, words):
    assert words in judge(EXERCISES["01.1"], answer).message


@pytest.mark.parametrize("value", [None, float("nan"), "text", (1.0, None), [torch.ones(2)], Grumpy()])
def test_a_steady_wrong_answer_is_not_said_to_remember(value):
    assert "between calls" not in judge(EXERCISES["01.1"], lambda x, gradient, lr: value).message


def test_the_smallest_failing_case_is_shown(capsys):
    verdict = check("01.1", lambda x, gradient, lr: x - lr * gradient + 1)
    assert "x = tensor(3.)" in verdict.details
    assert "expected  tensor(2.)" in verdict.details
    assert "got       tensor(3.)" in verdict.details
    assert "expected  tensor(2.)" in capsys.readouterr().out


def test_numbers_that_look_alike_are_shown_in_full():
    exercise = EXERCISES["02.4"]
    verdict = judge(exercise, lambda *case: [g * (1 + 3e-6) for g in exercise.reference(*case)], 0)
    expected, got = (line.split()[1:] for line in verdict.details.splitlines()[-2:])
    assert expected != got


def test_a_named_mistake_stands_in_the_verdict_and_nothing_else_does():
    exercise = EXERCISES["01.1"]
    uphill = judge(exercise, lambda x, gradient, lr: x + lr * gradient)
    assert uphill.mistake == uphill.message
    assert uphill.mistake.startswith("This walks uphill")
    unknown = [lambda x, gradient, lr: x - lr * gradient + 1, lambda x, gradient: x, _stub, _raises, None]
    for answer in (*unknown, exercise.alternatives[0]):
        assert judge(exercise, answer).mistake == ""


def test_what_was_printed_is_shown_and_bounded():
    verdict = judge(EXERCISES["01.1"], lambda x, gradient, lr: print(f"lr is {lr}"))
    assert "It printed" in verdict.details
    assert "lr is 0.5" in verdict.details
    assert len(judge(EXERCISES["01.1"], _loud).details) < 2000


@pytest.mark.parametrize(
    ("exercise_id", "answer"),
    [
        ("00.1", lambda x: x.float().square().mean().sqrt()),
        ("00.1", lambda x: x.square().mean().sqrt().item()),
        ("01.1", lambda x, gradient, lr: x - torch.as_tensor(lr) * gradient),
        ("01.1", lambda *args: args[0] - args[2] * args[1]),
        ("01.2", lambda lr, c: np.array(["diverging", "monotone", "oscillating", "diverging"])[np.searchsorted([0, 1, 2], lr * c)]),
        ("01.3", lambda H: 2 / torch.linalg.eigvalsh(H).max()),
        ("01.4", lambda x, v, gradient, lr, beta: [x - lr * (v * beta + gradient), v * beta + gradient]),
        ("01.5", functools.partial(lambda lr, largest: float(all_exercises()["01.5"].reference(lr, largest)))),
    ],
)  # fmt: skip
def test_right_answers_in_other_styles_pass(exercise_id, answer):
    for seed in range(10):
        verdict = judge(EXERCISES[exercise_id], answer, seed)
        assert verdict.outcome == "correct", verdict.message + verdict.details


@pytest.mark.parametrize(
    ("exercise_id", "answer"),
    [
        ("01.2", lambda lr, c: ("monotone", "oscillating", "diverging")[int(lr * c)] if c > 0 else "diverging"),
        ("01.2", lambda lr, c: "diverging" if 2 < lr * c < 3 or c < 0 else "monotone" if lr * c < 1 else "oscillating"),
        ("01.6", lambda multiply, v, steps: EXERCISES["01.6"].reference(multiply, v, 500)),
        ("01.6", lambda multiply, v, steps: EXERCISES["01.6"].reference(multiply, v, steps // 4)),
        ("01.6", lambda multiply, v, steps: min(torch.tensor(10.0), EXERCISES["01.6"].reference(multiply, v, steps))),
    ],
)  # fmt: skip
def test_nearly_right_answers_do_not_pass(exercise_id, answer):
    for seed in range(10):
        verdict = judge(EXERCISES[exercise_id], answer, seed)
        assert verdict.outcome == "not yet"
        assert "overflows" not in verdict.message


def test_only_the_learners_own_line_is_shown():
    verdict = judge(EXERCISES["01.6"], lambda multiply, v, steps: multiply(v[None]))
    assert "multiply(v[None])" in verdict.message
    assert "start *" not in verdict.message


def test_words_that_cannot_be_encoded_and_endless_names_are_cut(home, capsys, monkeypatch):
    def answer(x):
        raise ValueError("\ud800")

    assert check("00.1", answer).outcome == "not yet"

    def odd(x):
        raise type("E" * 100_000, (Exception,), {})

    check("00.1", odd)
    assert len(capsys.readouterr().out) < 3000


def test_a_console_without_these_letters_gets_other_ones(monkeypatch):
    import io

    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    check("00.1", None)
    stream.flush()
    assert b"00.1 not yet" in stream.buffer.getvalue()


def test_an_interrupt_while_recording_keeps_the_verdict(home, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(checks, "record_pass", interrupted)
    monkeypatch.setattr(checks, "record_try", interrupted)
    verdict = check("00.1", lambda x: x.square().mean().sqrt())
    assert verdict.outcome == "correct"
    assert "once more" in verdict.message
    verdict = check("00.1", lambda x: x)
    assert verdict.outcome == "not yet"
    assert "once more" not in verdict.message


def test_an_interrupt_is_a_verdict():
    verdict = check("01.1", hostile()["keyboard"])
    assert "interrupted" in verdict.message


def _stub(x, gradient, lr): ...


def _stub_with_docstring(x, gradient, lr):
    """To be done."""


def _half_done(x, gradient, lr):
    x = ...
    return x


@pytest.mark.parametrize("stub", [_stub, _stub_with_docstring, _half_done, lambda x, gradient, lr: ..., ...])
def test_a_stub_is_not_attempted(stub):
    verdict = check("01.1", stub)
    assert verdict.outcome == "not attempted"
    assert "Replace the three dots" in verdict.message


def _kinds_of_function():
    """Each with whether it is a stub; all take the one argument of 00.1."""
    outside = 0.0

    def dots(x): ...

    def described(x):
        """To be done."""

    def described_at_length(x):
        """To be done.

        By whoever reads this.
        """
        # Replace the three dots.
        ...  # noqa: PIE790

    def passes(x):
        pass

    def with_defaults(x, y=3, *rest, k=4, **more): ...

    def annotated(x: torch.Tensor, y: "str" = "text") -> torch.Tensor: ...

    def returns_nothing(x):
        return

    def returns_the_dots(x):
        """To be done."""
        return ...

    async def waits(x): ...

    def yields(x):
        yield

    def returns_none(x): return None  # fmt: skip

    def returns_none_at_length(x):
        """To be done."""
        return  None  # fmt: skip

    def returns_a_number(x):
        return 0.0

    def returns_a_text(x):
        """To be done."""
        return "text"

    def returns_an_empty_pair(x):
        return ()

    def returns_what_it_is_given(x):
        return x

    def uses_its_argument(x):
        x.square()

    def returns_what_lies_outside(x):
        return outside

    class Written:
        def method(self, x): ...

        def __call__(self, x): ...

    stubs = [dots, described, described_at_length, passes, with_defaults, annotated, returns_nothing]
    stubs += [returns_the_dots, Written().method, Written.method, lambda x: ..., _stub]
    others = [
        lambda x: None,
        returns_none,
        returns_none_at_length,
        waits,
        yields,
        returns_a_number,
        returns_a_text,
        returns_an_empty_pair,
        uses_its_argument,
    ]
    others += [
        returns_what_it_is_given,
        returns_what_lies_outside,
        functools.partial(dots),
        Written(),
        torch.sqrt,
    ]
    others += [lambda x: 0, lambda x: "text", lambda x: True, lambda x: x, None, 3]
    return [(function, True) for function in stubs] + [(function, False) for function in others]


@pytest.mark.parametrize(("function", "is_stub"), _kinds_of_function())
def test_a_stub_is_told_from_an_answer(function, is_stub):
    assert stubs.is_stub(function) is is_stub


def test_a_half_stub_is_not_attempted():
    assert judge(EXERCISES["01.4"], lambda x, v, gradient, lr, beta: (x, ...)).outcome == "not attempted"


def test_a_right_answer_is_recorded_and_handed_back(home):
    def step(x, gradient, lr):
        return x - gradient * lr

    verdict = check("01.1", step)
    assert verdict.outcome == "correct"
    assert verdict.function is step
    assert list(read().passed) == ["01.1"]
    assert read().tries == {}


def test_a_try_that_was_not_right_is_noted(home):
    for answer in (lambda x: x, None, ..., EXERCISES["00.1"].reference):  # the last two are no tries
        check("00.1", answer)
    assert [len(tries) for tries in read().tries.values()] == [2]
    assert read().passed == {}


def test_the_reference_that_stood_in_does_not_count(home):
    stand_in = check("01.1", lambda x, gradient, lr: x).function
    verdict = check("01.1", stand_in)
    assert verdict.outcome == "not attempted"
    assert "stood in" in verdict.message
    assert read().passed == {}


@pytest.mark.parametrize("unknown", ["01.99", "", None, 3, [], ("01.1",)])
def test_an_unknown_exercise_is_a_sentence(unknown, capsys):
    assert check(unknown, lambda x: x).outcome == "not attempted"
    assert "There is no exercise" in capsys.readouterr().out


def test_hints_come_in_order(capsys):
    for number, text in enumerate(EXERCISES["01.1"].hints, start=1):
        hint("01.1", number)
        assert text in capsys.readouterr().out
    hint(["01.1"])
    assert "There is no exercise" in capsys.readouterr().out
    for wrong in (0, 99, "two", None, [1]):
        hint("01.1", wrong)
        assert "has hints 1 to" in capsys.readouterr().out
    hint("77.1")
    assert "There is no exercise" in capsys.readouterr().out


def test_html_is_escaped_and_hints_nest():
    def answer(x, gradient, lr):
        raise ValueError("<script>alert(1)</script>")

    verdict = judge(EXERCISES["01.1"], answer)
    verdict.hints = ("one", "two")
    html = verdict.card._repr_mimebundle_()["text/html"]
    assert "<script>" not in html
    assert html.index("one") < html.index("two")
    assert html.count("<details") == html.count("</details>") == 2
    assert "color:" not in html.replace("color:inherit", "").replace("border-left:4px solid", "").replace(
        "background", ""
    )


def test_exercises_returns_a_copy():
    exercises().clear()
    assert exercises()


def test_infinity_is_matched_by_infinity_alone():
    exercise = EXERCISES["03.4"]  # where it never overflows the answer is inf

    def never_infinite(first, growth, largest):
        return min(exercise.reference(first, growth, largest), 1e9)

    assert judge(exercise, never_infinite).outcome == "not yet"


def test_a_function_among_the_arguments_is_shown_by_name_and_docstring():
    verdict = judge(EXERCISES["02.3"], lambda f, x, v: 123.0)
    assert "valley: 1e4 * x**2, summed over x." in verdict.details
