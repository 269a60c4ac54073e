"""Every exercise, from its own table: right answers pass, each mistake gets its own sentence."""

from dataclasses import replace

import pytest
import torch

from gradutils.course.checks import fresh_cases, judge, named_mistake, run_all
from gradutils.course.exercises import all_exercises

EXERCISES = all_exercises()
SEEDS = range(12)
MISTAKES = [(i, k) for i, exercise in EXERCISES.items() for k in range(len(exercise.mistakes))]


@pytest.mark.parametrize(("exercise_id", "k"), MISTAKES)
def test_a_mistake_gets_its_own_sentence(exercise_id, k):
    exercise = EXERCISES[exercise_id]
    wrong, sentence = exercise.mistakes[k]
    for seed in SEEDS:
        verdict = judge(exercise, wrong, seed)
        assert (verdict.outcome, verdict.message) == ("not yet", sentence), f"seed {seed}"


@pytest.mark.parametrize(("exercise_id", "k"), MISTAKES)
def test_no_other_mistake_agrees_with_it_on_every_case(exercise_id, k):
    exercise = EXERCISES[exercise_id]
    wrong, _ = exercise.mistakes[k]
    for seed in SEEDS:
        cases = fresh_cases(exercise, seed)
        runs = run_all(exercise, wrong, cases)
        for other in exercise.mistakes[:k] + exercise.mistakes[k + 1 :]:
            assert named_mistake(replace(exercise, mistakes=(other,)), cases, runs) is None, (
                f"seed {seed}: {other[1]}"
            )


@pytest.mark.parametrize("exercise_id", EXERCISES)
def test_right_answers_pass(exercise_id):
    exercise = EXERCISES[exercise_id]

    def copy_of_the_reference(*arguments):
        return exercise.reference(*arguments)

    # judge() knows the reference itself when it sees it, so a wrapper with the same signature stands in.
    copy_of_the_reference.__wrapped__ = exercise.reference
    for seed in SEEDS:
        for answer in (copy_of_the_reference, *exercise.alternatives):
            verdict = judge(exercise, answer, seed)
            assert verdict.outcome == "correct", f"seed {seed}: {verdict.message}\n{verdict.details}"


@pytest.mark.parametrize("exercise_id", EXERCISES)
def test_an_exercise_is_complete(exercise_id):
    exercise = EXERCISES[exercise_id]
    assert len(exercise.mistakes) >= 3
    assert 2 <= len(exercise.hints) <= 3
    assert len({sentence for _, sentence in exercise.mistakes}) == len(exercise.mistakes)
    assert exercise.task.startswith(f"{exercise.reference.__name__.lstrip('_')}(")
    for _, sentence in exercise.mistakes:
        assert sentence.endswith((".", "?")), sentence
        assert "!" not in sentence.replace("!=", ""), sentence
        assert len(sentence) <= 170, sentence


@pytest.mark.parametrize("exercise_id", EXERCISES)
def test_cases_differ_in_shape_or_size_and_are_fresh(exercise_id):
    exercise = EXERCISES[exercise_id]
    assert len(exercise.cases(_generator(1))) >= 4
    assert repr(exercise.cases(_generator(1))) == repr(exercise.cases(_generator(1))) or exercise_id == "01.6"
    assert repr(exercise.cases(_generator(1))) != repr(exercise.cases(_generator(2)))


def _generator(seed):
    return torch.Generator().manual_seed(seed)
