"""`check` never raises and never passes a wrong answer, whatever it is given."""

import functools
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.modules import module as hooks_of_modules

from gradutils.course import checks, stubs
from gradutils.course.checks import Verdict, check, exercises, fresh_cases, hint, judge
from gradutils.course.exercises import all_exercises
from gradutils.course.progress import read
from gradutils.course.settings import usual_settings

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


# What an answer leaves behind ------------------------------------------------------------------------------------------
def test_a_setting_that_a_right_answer_changes_is_named_and_put_back():
    def rms(x):
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)
        return x.square().mean().sqrt()

    verdict = judge(EXERCISES["00.1"], rms, 0)
    assert verdict.outcome == "correct"
    said = "Your function left the default dtype and grad mode changed; they have been put back."
    assert verdict.message == said
    assert torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled()


def test_what_an_answer_replaces_touches_neither_the_reference_nor_what_follows():
    square = torch.Tensor.square

    def rms(x):
        torch.Tensor.square = lambda t: torch.zeros_like(t)
        return x.square().mean().sqrt()

    verdict = judge(EXERCISES["00.1"], rms, 0)
    assert verdict.outcome == "not yet"
    assert verdict.message.endswith(
        "Your function left a function of torch, numpy or math changed; it has been put back."
    )
    assert torch.Tensor.square is square


STATES = {
    "grad mode off": lambda: torch.set_grad_enabled(False),
    "float16": lambda: torch.set_default_dtype(torch.float16),
    "float64": lambda: torch.set_default_dtype(torch.float64),
    "the meta device": lambda: torch.set_default_device("meta"),
    "deterministic": lambda: torch.use_deterministic_algorithms(True),
}


@pytest.mark.parametrize("exercise_id", ["00.1", "01.1", "02.4", "03.3", "04.1", "07.1", "08.4"])
@pytest.mark.parametrize("state", STATES)
def test_a_right_answer_is_right_whatever_the_kernel_has_set(exercise_id, state):
    exercise = EXERCISES[exercise_id]
    with usual_settings():  # puts the test's own change back
        STATES[state]()
        for answer in exercise.alternatives:
            verdict = judge(exercise, answer, 0)
            assert (verdict.outcome, verdict.message) == ("correct", "")
    with torch.inference_mode():
        assert judge(exercise, exercise.alternatives[0], 0).outcome == "correct"


def test_where_the_reference_fails_nothing_is_compared():
    def fails(*_):
        raise RuntimeError("no memory")

    exercise = replace(EXERCISES["00.1"], reference=lambda x: fails())
    verdict = judge(exercise, lambda x: fails(), 0)
    assert verdict.outcome == "not judged"
    assert verdict.message == "The course itself cannot compute this just now: RuntimeError: no memory"


def test_the_second_call_is_given_what_the_first_has_left():
    def slopes(phi, z):
        z.requires_grad_(True)
        phi(z).sum().backward()
        z.requires_grad_(False)
        return z.grad.clone(), z.grad.abs().max().item()

    verdict = judge(EXERCISES["04.1"], slopes, 0)
    assert verdict.outcome == "not yet"
    assert "your function changed `z.grad`. Leave the arguments as they are." in verdict.message
    assert "before    z.grad = None" in verdict.details
    assert "after     z.grad = tensor(" in verdict.details


def _delta_sizes(before=lambda model: None, after=lambda model: None):
    reference = EXERCISES["03.3"].reference

    def delta_sizes(model, loss_of, x):
        before(model)
        sizes = reference(model, loss_of, x)
        after(model)
        return sizes

    return delta_sizes


def _freeze(model):
    for parameter in model.parameters():
        parameter.requires_grad_(False)


def _zero(model):
    with torch.no_grad():
        next(model.parameters()).zero_()


def _patch(model):
    model.forward = model.forward


def _clear_hooks(model):
    for part in model.modules():
        part._forward_hooks.clear()


def _another_forward_hook(model):
    next(model.parameters()).register_hook(lambda g: None)


def _hook_all(model):
    hooks_of_modules.register_module_forward_hook(lambda *_: None)


@pytest.mark.parametrize(
    ("after", "what"),
    [
        (lambda model: model.register_forward_hook(print), "the hooks on `model`"),
        (lambda model: model.register_full_backward_pre_hook(print), "the hooks on `model`"),
        (_another_forward_hook, "the hooks on `model`"),
        (_clear_hooks, "the hooks on `model`"),
        (_hook_all, "the hooks of all modules"),
        (_patch, "the method `forward` of `model`"),
        (_zero, "the weights of `model`"),
        (_freeze, "`requires_grad` of the weights of `model`"),
        (lambda model: model.eval(), "the mode, train or eval, of `model`"),
        (lambda model: model.add_module("mine", torch.nn.ReLU()), "the submodules of `model`"),
    ],
)
def test_what_an_answer_leaves_on_a_model_is_seen(after, what):
    exercise = EXERCISES["03.3"]
    verdict = judge(exercise, _delta_sizes(after=after), 0)
    assert verdict.outcome == "not yet"
    if what != "the hooks on `model`":  # for which there may be a known mistake
        assert f"your function changed {what}. Leave the arguments as they are." in verdict.message
        assert "\nbefore    " in verdict.details
    assert judge(exercise, _delta_sizes(), 0).outcome == "correct"


def test_a_numpy_array_is_as_good_as_a_list_and_no_wrapper_is_shown():
    exercise = EXERCISES["03.3"]
    assert judge(exercise, lambda m, f, x: np.array(exercise.reference(m, f, x)), 0).outcome == "correct"
    for answer in (lambda m, f, x: [1.0, 2.0], lambda m, f, x: 1.0, lambda m, f, x: [1.0] * 4):
        verdict = judge(exercise, answer, 0)
        assert "hooks" not in verdict.details
        assert "Value" not in verdict.message
    assert "a list or tuple of 1 is expected" in judge(exercise, lambda m, f, x: 1.0, 0).message


@pytest.mark.parametrize("case", fresh_cases(EXERCISES["03.3"], 0))
def test_each_model_comes_with_a_hook_that_fires(case, monkeypatch):
    model, _, x = case
    fired = []
    layer = next(part for part in model.modules() if part._forward_hooks)
    (key,) = layer._forward_hooks
    monkeypatch.setitem(layer._forward_hooks, key, lambda *_: fired.append(1))
    model(x)
    assert fired == [1]


# Time ------------------------------------------------------------------------------------------------------------------
def _never_ends(x):
    while True:
        try:
            x = x + 1
        except:  # noqa: E722
            continue


def test_an_answer_that_does_not_end_is_stopped():
    verdict = judge(EXERCISES["00.1"], _never_ends, seed=0, seconds=0.3)
    assert verdict.outcome == "not yet"
    assert verdict.message.startswith("Stopped after 0.3 seconds: your function was still running.")
    assert verdict.details.startswith("with      x = ")


def test_the_limit_covers_all_calls_together():
    def slow(x):
        time.sleep(0.1)
        return x.square().mean().sqrt()

    assert len(fresh_cases(EXERCISES["00.1"], 0)) * 0.1 > 0.35
    assert judge(EXERCISES["00.1"], slow, 0, seconds=0.35).message.startswith("Stopped")
    assert judge(EXERCISES["00.1"], slow, 0).outcome == "correct"


# What a card says ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("exercise_id", "which", "name"),
    [("02.1", 1, "dW"), ("01.4", 0, "new x"), ("06.6", 1, "clean"), ("08.3", 1, "post")],
)
def test_values_are_called_by_their_names(exercise_id, which, name):
    exercise = EXERCISES[exercise_id]

    def wrong(*case):
        values = list(exercise.reference(*case))
        values[which] = values[which] + 7
        return tuple(values)

    wrong.__wrapped__ = exercise.reference
    verdict = judge(exercise, wrong, 0)
    assert verdict.mistake or f"{name} is not." in verdict.message
    few = judge(exercise, lambda *case: exercise.reference(*case)[:1], 0).message
    assert few.endswith(f"are expected: {', '.join(exercise.returns[:-1])} and {exercise.returns[-1]}.")


def test_an_argument_that_was_changed_is_shown_before_and_after():
    lines = judge(EXERCISES["01.1"], _in_place, 0).details.splitlines()
    assert lines[-2:] == ["before    x = tensor(3.)", "after     x = tensor(2.)"]
    assert not any(line.startswith(("expected", "got")) for line in lines)


def test_a_case_in_whole_numbers_is_shown_before_one_a_little_smaller():
    cases = [(torch.tensor([0.31]),), (torch.tensor([1.0, 2.0]),), (torch.tensor([0.5, 0.6, 0.7]),)]
    exercise = replace(EXERCISES["00.1"], cases=lambda generator: cases)
    assert "x = tensor([1., 2.])" in judge(exercise, lambda x: x.sum() + 100).details


@pytest.mark.parametrize("given", ["1.1", "1.01", "lesson 1.1", "01_1", "O1.1", 1.1])
def test_an_exercise_that_was_meant_is_named(home, capsys, given):
    check(given, lambda x: x)
    hint(given)
    assert capsys.readouterr().out.count("Did you mean 01.1?") == 2


def test_a_patient_is_told_from_an_exercise(home, capsys):
    check("12.3", lambda x: x)
    assert "12.3 is a patient, not an exercise: treat('12.3', ...)." in capsys.readouterr().out
    hint("012.3")
    assert "Did you mean 12.3?" in capsys.readouterr().out


def test_a_text_that_calls_itself_equal_to_everything_is_not():
    class Yes(str):
        def __eq__(self, other):
            return True

        def lower(self):
            return "monotone"

        __hash__ = str.__hash__

    assert judge(EXERCISES["01.2"], lambda lr, curvature: Yes("no")).outcome == "not yet"
    right = EXERCISES["01.2"].reference
    assert judge(EXERCISES["01.2"], lambda lr, curvature: Yes(right(lr, curvature))).outcome == "correct"


def test_none_that_is_returned_is_an_answer():
    def rms(x):
        return None

    assert judge(EXERCISES["00.1"], rms).message.startswith("It returns None.")


def test_a_try_without_a_name_leaves_an_empty_mistake(home):
    check("01.1", lambda x, gradient, lr: x - lr * gradient + 1)
    check("01.1", lambda x, gradient, lr: x + lr * gradient)
    first, second = read().tries["01.1"]
    assert first == ""
    assert second.startswith("This walks uphill")


def test_samples_as_many_as_the_lesson_asks_for_are_enough():
    def next_q(phi, q, sigma_w, sigma_b):
        z = torch.randn(100_000) * q**0.5
        return sigma_w**2 * phi(z).square().mean() + sigma_b**2

    for seed in range(60):
        torch.manual_seed(seed)
        assert judge(EXERCISES["05.2"], next_q).outcome == "correct", seed
