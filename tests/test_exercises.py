"""Every exercise, from its own table: right answers pass, each mistake gets its own sentence."""

from inspect import signature
from itertools import permutations

import pytest
import torch

from gradutils.course.checks import agree, fresh_cases, judge, run_all
from gradutils.course.exercises import all_exercises

EXERCISES = all_exercises()
MISTAKES = [(i, sentence) for i, exercise in EXERCISES.items() for sentence in exercise.mistakes]


def _seeds(exercise):
    return range(3 if exercise.given else 12)  # an exercise judged by a measurement costs a second a seed


@pytest.mark.parametrize(("exercise_id", "sentence"), MISTAKES)
def test_a_mistake_gets_its_own_sentence(exercise_id, sentence):
    exercise = EXERCISES[exercise_id]
    wrong = exercise.mistakes[sentence]
    for seed in _seeds(exercise):
        verdict = judge(exercise, wrong, seed)
        assert verdict.outcome != "correct", (
            f"seed {seed}: a right answer is listed as the mistake {sentence!r}"
        )
        assert (verdict.outcome, verdict.message, verdict.mistake) == ("not yet", sentence, sentence), (
            f"seed {seed}"
        )


@pytest.mark.parametrize("exercise_id", EXERCISES)
def test_no_two_mistakes_agree_on_every_case(exercise_id):
    exercise = EXERCISES[exercise_id]
    for seed in _seeds(exercise):
        cases = fresh_cases(exercise, seed)
        runs = {sentence: run_all(exercise, wrong, cases) for sentence, wrong in exercise.mistakes.items()}
        for one, other in permutations(runs, 2):
            assert not agree(exercise, runs[one], runs[other]), f"seed {seed}: {one} / {other}"


@pytest.mark.parametrize("exercise_id", EXERCISES)
def test_right_answers_pass(exercise_id):
    exercise = EXERCISES[exercise_id]

    def copy_of_the_reference(*arguments):
        return exercise.reference(*arguments)

    # judge() knows the reference itself when it sees it, so a wrapper with the same signature stands in.
    copy_of_the_reference.__wrapped__ = exercise.reference
    for seed in _seeds(exercise):
        for answer in (copy_of_the_reference, *exercise.alternatives):
            verdict = judge(exercise, answer, seed)
            assert verdict.outcome == "correct", f"seed {seed}: {verdict.message}\n{verdict.details}"


@pytest.mark.parametrize("exercise_id", EXERCISES)
def test_an_exercise_is_complete(exercise_id):
    exercise = EXERCISES[exercise_id]
    assert len(exercise.mistakes) >= 3
    assert 2 <= len(exercise.hints) <= 3
    names = exercise.given or signature(exercise.reference).parameters
    assert all(len(case) == len(names) for case in fresh_cases(exercise, 0))
    assert exercise.task.startswith(f"{exercise.reference.__name__.lstrip('_')}(")
    for sentence in exercise.mistakes:
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


@pytest.mark.parametrize("transform", ["vjp", "jacrev", "grad", "enable_grad"])
def test_the_way_back_through_batch_normalisation_is_written_out(transform):
    def normed(z):
        return (z - z.mean(0)) / z.std(0, unbiased=False)

    def by_autograd(z, delta):
        if transform == "vjp":
            return torch.func.vjp(normed, z)[1](delta)[0]
        if transform == "jacrev":
            return torch.einsum("abcd,ab->cd", torch.func.jacrev(normed)(z), delta)
        if transform == "grad":
            return torch.func.grad(lambda z: (normed(z) * delta).sum())(z)
        with torch.enable_grad():
            z = z.clone().requires_grad_()
            return torch.autograd.grad((normed(z) * delta).sum(), z)[0]

    verdict = judge(EXERCISES["08.5"], by_autograd, 0)
    assert verdict.outcome == "not yet"
    assert "Autograd is switched off here" in verdict.message + verdict.details
