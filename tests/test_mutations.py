"""The cases of an exercise pin its answer down: a slip anywhere in a right answer shows on one of them."""

import warnings

import pytest

from gradutils.course.checks import agree, fresh_cases, judge, run_all
from gradutils.course.exercises import all_exercises
from tests.free_04_08 import FREE as FREE_LATER
from tests.free_09 import FREE as FREE_09
from tests.free_10 import FREE as FREE_10
from tests.free_11 import FREE as FREE_11
from tests.mutations import variants

SEEDS = 3
EXERCISES = all_exercises()

# What may be written the other way, and why. What a learner could trip over stands in the text of the lesson as well.
EDGE = "exactly on the edge either answer is taken"
EPS = "eps is the learner's choice"
SIGN = "only the size counts"
FREE = (
    {
        "01.2": {
            "_regime: product < 0 -> product <= 0": EDGE,
            "_regime: product > 2 -> product >= 2": EDGE,
            "_regime: product <= 1 -> product < 1": EDGE,
            "the answer: abs(1 - lr * c) > 1 -> abs(1 - lr * c) >= 1": EDGE,
            "the answer: 1 - lr * c >= 0 -> 1 - lr * c > 0": EDGE,
            "the answer: 1 - lr * c -> lr * c - 1": SIGN,
        },
        "01.5": {"the answer: 1 - lr -> lr - 1": SIGN},
        "01.6": {
            "_power_iteration: v @ multiply(v) -> multiply(v) @ v": "a product of two vectors has no order",
            "the answer: v @ multiply(v) -> multiply(v) @ v": "a product of two vectors has no order",
            "the answer: v.abs().max -> v.abs().min": "the result is divided by v @ v, so any scale of v serves",
            "the answer: v.abs() -> v": "the result is divided by v @ v, so any scale of v serves",
        },
        "02.2": {
            "_activation_backward: z > 0 -> z >= 0": "at the kink any answer is taken",
            "the answer: z > 0 -> z >= 0": "at the kink any answer is taken",
            "the answer: z >= 0 -> z > 0": "at the kink any answer is taken",
        },
        "02.3": {
            f"the answer: 0.001 if x.dtype == torch.float32 else 1e-06 -> {other} if x.dtype == torch.float32 else {fine}": EPS
            for other, fine in [
                ("0.002", "1e-06"),
                ("0.0005", "1e-06"),
                ("0.001", "2e-06"),
                ("0.001", "5e-07"),
            ]
        },
        "02.4": {
            "the answer: tuple(_backward(weights, phi, h, z, delta)) -> _backward(weights, phi, h, z, delta)": "list or tuple"
        },
        "03.2": {
            "_what_it_does: delta[0] > 10 * delta[-1] -> delta[0] >= 10 * delta[-1]": EDGE,
            "_what_it_does: delta[0] < delta[-1] / 10 -> delta[0] <= delta[-1] / 10": EDGE,
            "the answer: delta[0] * 10 < delta[-1] -> delta[0] * 10 <= delta[-1]": EDGE,
            "the answer: delta[0] <= 10 * delta[-1] -> delta[0] < 10 * delta[-1]": EDGE,
            "the answer: delta.sum -> delta.mean": "the mean of an inf is an inf as well",
        },
        "03.3": {
            "_with_backward_hooks: gradients[picked][0] -> gradients[picked][-1]": "a layer has one output",
            "_with_backward_hooks: x.clone().requires_grad_() -> x.clone()": "torch warns, and gives the same",
        },
        "03.6": {
            "_lyapunov: 1 - state ** 2 -> state ** 2 - 1": SIGN,
            "the answer: torch.tensor(_lyapunov(W, h, v), dtype=W.dtype) -> _lyapunov(W, h, v)": "any number is taken",
        },
    }
    | FREE_LATER
    | FREE_09
    | FREE_10
    | FREE_11
)


@pytest.mark.parametrize("exercise_id", EXERCISES)
def test_every_variant_of_a_right_answer_is_told_apart_unless_it_is_free(exercise_id):
    exercise = all_exercises()[exercise_id]
    seen = [(seed, cases := fresh_cases(exercise, seed), _wanted(exercise, cases)) for seed in range(SEEDS)]

    def passes(variant) -> bool:
        return any(
            _agrees(exercise, variant, cases, wanted) and judge(exercise, variant, seed).outcome == "correct"
            for seed, cases, wanted in seen
        )

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        left = {what for what, variant in variants(exercise_id) if passes(variant)}
    assert left == set(FREE.get(exercise_id, {}))


def test_the_variants_hold_the_slips_that_once_passed():
    made = {what for what, _ in variants("03.4")} | {what for what, _ in variants("03.2")}
    assert {
        "_overflow_depth: later: if first > largest:     return 1",
        "_overflow_depth: growth <= 1 -> growth < 1",
        "_what_it_does: 10 * delta[-1] -> 20 * delta[-1]",
        "_what_it_does: delta[0] -> delta[-1]",
    } <= made


def _wanted(exercise, cases):
    return run_all(exercise, exercise.reference, cases)


def _agrees(exercise, variant, cases, wanted) -> bool:
    """One case after the other, to the first that differs: `judge` would run them all."""
    return all(
        agree(exercise, [want], run_all(exercise, variant, [case]))
        for case, want in zip(cases, wanted, strict=True)
    )
