"""The cases of lessons 04 to 08 pin their answers down: a slip anywhere in a right answer shows on one of them."""

import warnings

import pytest

from gradutils.course.checks import agree, fresh_cases, judge, run_all
from gradutils.course.exercises import all_exercises
from tests.free_04_08 import FREE
from tests.mutations import variants

SEEDS = 3


@pytest.mark.parametrize(
    "exercise_id", [exercise_id for exercise_id in all_exercises() if exercise_id >= "04"]
)
def test_every_variant_of_a_right_answer_is_told_apart_unless_it_is_free(exercise_id):
    exercise = all_exercises()[exercise_id]
    drawn = [fresh_cases(exercise, seed) for seed in range(SEEDS)]
    seen = [(seed, cases, run_all(exercise, exercise.reference, cases)) for seed, cases in enumerate(drawn)]

    def passes(variant) -> bool:
        return any(
            all(
                agree(exercise, [want], run_all(exercise, variant, [case]))
                for case, want in zip(cases, wanted, strict=True)
            )
            and judge(exercise, variant, seed).outcome == "correct"
            for seed, cases, wanted in seen
        )

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        left = {what for what, variant in variants(exercise_id) if passes(variant)}
    assert left == set(FREE.get(exercise_id, {}))
