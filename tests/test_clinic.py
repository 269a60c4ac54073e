"""The emergency room: every patient is ill as it says, its cure cures, and no answer fools the treatment."""

from pathlib import Path

import numpy as np
import pytest
import torch

from gradutils.course.clinic import chart, practice, rules, script, treatment
from gradutils.course.clinic.patients import (
    CLEAR,
    CLIP,
    HEALTHY,
    INIT,
    OPTIMIZER,
    PATIENTS,
    SIGNS,
    script_with,
)
from gradutils.course.clinic.script import count_trained, run_script
from gradutils.course.clinic.treatment import judge
from gradutils.course.progress import progress, read
from gradutils.recorder.diagnosis import REMEDIES, diagnose

SICK = treatment.sick()
WELL = [patient_id for patient_id in PATIENTS if patient_id not in SICK]
DOUBLY = [patient_id for patient_id in SICK if len(PATIENTS[patient_id].causes) > 1]
SEEDS = range(300, 306)  # neither those of the charts nor those that judge
CLIPPED = "clip_grad_norm_(net.parameters(), 1.0)"
HIDDEN_BY_A_CLIP = ["09.3", "09.4", "09.7", "09.8", "09.13"]
NUMBERS = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty",
]  # fmt: skip


def said(patient_id, *answer):
    verdict = judge(PATIENTS[patient_id], answer)
    return verdict.outcome, verdict.message


def test_an_illness_of_a_patient_has_a_name_and_a_cure():
    assert set(SIGNS) <= set(REMEDIES) | {"missing warmup"}
    for patient in PATIENTS.values():
        assert len(patient.treatment) == len(patient.causes)
        for change, cause in zip(patient.treatment, patient.causes, strict=True):
            assert set(cause) <= set(SIGNS)
            assert patient.mends(change, cause[change.illness])


def test_the_lesson_counts_its_patients_right():
    lesson = (Path(__file__).parent.parent / "solutions" / "09_emergency_room.py").read_text(encoding="utf-8")
    everybody, ill = NUMBERS[len(PATIENTS)], NUMBERS[len(SICK)]
    assert f"{everybody.capitalize()} patients wait." in lesson
    assert f"{ill.capitalize()} of the {everybody} are ill." in lesson
    assert f"How many of the {ill} will train?" in lesson
    assert f"{NUMBERS[len(practice.GALLERY)].capitalize()} patients that you have met" in lesson


def test_a_script_is_the_healthy_one_but_for_what_is_changed():
    patient = PATIENTS["09.8"]
    assert script_with({}) == list(HEALTHY)
    assert [new for new, old in zip(patient.script(), HEALTHY, strict=True) if new != old] == [
        "        optimizer.zero_grad"
    ]
    assert patient.script({9: "pass", 3: "x = pixels"})[2:9:6] == ["x = pixels", "        pass"]


def test_the_healthy_script_trains():
    assert count_trained(list(HEALTHY), SEEDS) == len(SEEDS)


@pytest.mark.parametrize("patient_id", PATIENTS)
def test_a_patient_is_as_ill_as_it_says(patient_id):
    patient = PATIENTS[patient_id]
    assert patient.id == patient_id
    assert count_trained(patient.script(), SEEDS) == (len(SEEDS) if patient.is_well else 0)
    assert chart.as_it_came(patient).trained == patient.is_well


@pytest.mark.parametrize("patient_id", SICK)
def test_the_cure_heals_on_other_seeds_as_well(patient_id):
    patient = PATIENTS[patient_id]
    healed = patient.script({change.line: change.text for change in patient.treatment})
    assert count_trained(healed, SEEDS) == len(SEEDS)


@pytest.mark.parametrize("patient_id", PATIENTS)
def test_the_treatment_is_accepted(patient_id):
    patient = PATIENTS[patient_id]
    outcome, message = said(patient_id, *(patient.treatment or ("healthy",)))
    assert outcome == "correct"
    assert message.endswith(patient.after)
    assert len(patient.hints) == 2


@pytest.mark.parametrize("patient_id", PATIENTS)
def test_the_rules_name_it_as_the_ward_does(patient_id):
    patient = PATIENTS[patient_id]
    named = diagnose(chart.as_it_came(patient).recording).illness
    assert named == "healthy" if patient.is_well else patient.lines_of(named)


@pytest.mark.parametrize("patient_id", HIDDEN_BY_A_CLIP)
def test_a_clip_is_called_a_painkiller(patient_id):
    name = next(iter(PATIENTS[patient_id].causes[0]))
    outcome, message = said(patient_id, name, CLIP, CLIPPED)
    assert outcome == "not yet"
    assert "3 of 3 train" in message
    assert "A painkiller" in message


def test_the_painkiller_is_shown_by_a_measurement():
    assert "still says “loss summed”" in said("09.7", "loss summed", CLIP, CLIPPED)[1]
    assert "trains by a clip, and not without" in said("09.3", "inputs not normalised", CLIP, CLIPPED)[1]
    assert (
        "bears the cause"
        in said("09.3", "inputs not normalised", OPTIMIZER, "optimizer = Adam(net.parameters())")[1]
    )


@pytest.mark.parametrize(
    ("patient_id", "illness", "number", "line"),
    [
        ("09.8", "gradients not cleared", 9, CLIPPED),
        ("09.8", "gradients not cleared", 10, f"loss.backward(), {CLIPPED}"),
        ("09.7", "loss summed", 10, f"loss.backward(), {CLIPPED}"),
    ],
)
def test_a_clip_on_a_line_of_the_cause_is_a_painkiller_as_well(patient_id, illness, number, line):
    assert "A painkiller" in said(patient_id, illness, number, line)[1]


def test_a_clip_is_a_cure_in_a_recurrent_network():
    assert said("09.11", "recurrent explosion", CLIP, CLIPPED)[0] == "correct"


@pytest.mark.parametrize(
    ("patient_id", "answer"),
    [
        ("09.1", ("learning rate too high", 5, "schedule = LambdaLR(optimizer, lambda step: 0.03)")),
        ("09.4", ("init too large", 1, 'net = mlp(4, 64, "relu", norm=nn.LayerNorm)')),
        ("09.7", ("loss summed", 10, "(loss / 64).backward()")),
        ("09.2", ("Dead units", 2, "init_weights_(net, 2**0.5)")),
        ("09.3", ("inputs not normalized", 3, "x = pixels / 16 - 0.3")),
        ("09.7", ("loss summed", 10, "(loss / len(rows)).backward()")),
        ("09.13", ("missing warmup", 5, "schedule = LambdaLR(optimizer, warmup_cosine(50, 100))")),
        ("09.13", ("learning rate too high", 5, "schedule = LambdaLR(optimizer, lambda step: 0.1)")),
        ("09.8", ("gradients not cleared", 10, "net.zero_grad(), loss.backward()")),
        ("09.8", ("gradients not cleared", 12, "optimizer.step(), optimizer.zero_grad()")),
        ("09.8", ("gradients not cleared", np.int64(14), "schedule.step(), optimizer.zero_grad()")),
        ("09.6", ("Healthy ",)),
        ("09.12", (("healthy",),)),
        ("09.9", ("half-precision overflow", 10, "loss.backward()")),
        ("09.13", ("init too large", 2, "init_weights_(net, 2**0.5)")),
        ("09.13", ("learning rate too high", 4, "optimizer = SGD(net.parameters(), lr=0.005, momentum=0.9)")),
    ],
)
def test_other_right_answers(patient_id, answer):
    assert said(patient_id, *answer)[0] == "correct"


@pytest.mark.parametrize(
    ("illness", "number", "line"),
    [
        ("missing warmup", 5, "schedule = LambdaLR(optimizer, lambda step: 0.1)"),
        ("missing warmup", 4, "optimizer = SGD(net.parameters(), lr=0.004, momentum=0.9)"),
        ("init too large", 4, "optimizer = SGD(net.parameters(), lr=0.004, momentum=0.9)"),
        ("learning rate too high", 2, "init_weights_(net, 2**0.5)"),
    ],
)
def test_a_cure_has_to_bear_the_name_of_what_it_mends(illness, number, line):
    outcome, message = said("09.13", illness, number, line)
    assert outcome == "not yet"
    assert f"no cure of “{illness}”" in message


def test_a_schedule_that_falls_is_on_the_right_line():
    falling = "schedule = LambdaLR(optimizer, lambda step: 1 - step / 100)"
    assert "Name and line are right" in said("09.13", "missing warmup", 5, falling)[1]


def test_a_script_without_a_schedule_is_judged_as_well():
    outcome, message = said(
        "09.14", ("inputs not normalised", 5, "pass"), ("gradients not cleared", 14, "pass")
    )
    assert outcome == "not yet"
    assert "0 of 3 train" in message
    short = "schedule = LambdaLR(optimizer, lambda step: [1.0][step])"
    message = said("09.14", ("inputs not normalised", 5, short), ("gradients not cleared", 14, "pass"))[1]
    assert "Line 5 raises IndexError" in message


def test_a_lower_rate_is_a_painkiller_where_the_loss_is_summed():
    lower = "optimizer = SGD(net.parameters(), lr=0.05 / 64, momentum=0.9)"
    assert "A painkiller" in said("09.7", "loss summed", 4, lower)[1]


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("patient_id", DOUBLY)
def test_half_a_cure_is_said_to_be_half(patient_id, which):
    outcome, message = said(patient_id, PATIENTS[patient_id].treatment[which])
    assert outcome == "not yet"
    assert "Name and line fit, but something else is ill as well" in message


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((...,), "Replace the dots"),
        ((), "Replace the dots"),
        (("saturated", ..., "x"), "Replace the dots"),
        (("healthy",), "0 of 3 train on new seeds as it is"),
        (("init too big", 2, "pass"), "There is no illness 'init too big'. Did you mean"),
        (("flu", 2, "pass"), "The names are: healthy, learning rate too high"),
        ((["init too large"], 2, "pass"), "Two illnesses are two such triples"),
        ((torch.zeros(3),), "Two illnesses are two such triples"),
        (("healthy", 2, "pass"), "stands alone"),
        (("init too large", 15, "pass"), "a whole number, 1 to 14; got 15."),
        (("init too large", True, "pass"), "1 to 14"),
        (("init too large", "2", "pass"), "1 to 14; got '2'."),
        (("init too large", torch.tensor(2.0), "pass"), "1 to 14; got tensor(2.)."),
        (("init too large", 2, 1.4), "A treatment is"),
        (("init too large", 2, " "), "The new line is empty"),
        (("init too large", 4, "lr=0.05"), "replaces the whole of its line"),
        (("init too large", 2), "Two illnesses are two such triples"),
        (("init too large", 2, "pass\npass"), "without a line break or a semicolon"),
        (("init too large", 2, "pass; clip()"), "without a line break or a semicolon"),
        (("init too large", 2, "init_weights_(net, 4 * 2**0.5)"), "Line 2 is as it was"),
        (("init too large", 2, "init_weights_(net"), "Line 2 raises SyntaxError"),
        (("init too large", 2, "he_init(net)"), "Line 2 raises NameError"),
        (("init too large", 2, "raise SystemExit"), "Line 2 raises SystemExit"),
        (("init too large", 2, "init_weights_(net, 3 * 2**0.5)"), "the new line is too much, or not enough"),
        (("init too large", 2, "pass"), "the new line goes the right way"),
        (("init too large", 1, 'net = mlp(4, 64, "tanh")  # no norm'), "A painkiller"),
        ((("init too large", 2, "init_weights_(net, 1.4)"), ("init too large", 4, "optimizer = Adam(net.parameters())")), "one line an illness is enough"),
        (("init too large", 4, "optimizer = SGD(net.parameters(), lr=0.04)"), "look for another line"),
        (("init too large", 1, 'net = mlp(4, 64, "tanh")'), "A painkiller"),
        (("init too large", 3, "x = (pixels - pixels.mean(0)) / pixels.std(0)"), "is something divided by zero?"),
        (("loss summed", 2, "init_weights_(net, 2**0.5)"), "a line that can cure it. But the name is not"),
        (("loss summed", 3, "x = pixels / 16"), SIGNS["loss summed"]),
        (("saturated", CLIP, CLIPPED), "3 of 3 train on new seeds with this line. But the name is not “saturated”"),
        ((("init too large", 2, "pass"), ("init too small", 2, "pass  #")), "two different lines"),
    ],
)  # fmt: skip
def test_what_is_said_of_wrong_answers(answer, words):
    outcome, message = said("09.4", *answer)
    assert outcome in ("not yet", "not attempted")
    assert words in message


def test_exchanged_names_are_said_to_be_exchanged():
    (one, *first), (other, *second) = PATIENTS["09.14"].treatment
    outcome, message = said("09.14", (other, *first), (one, *second))
    assert outcome == "not yet"
    assert "their names are exchanged" in message


def test_a_treatment_of_the_well_is_turned_down():
    outcome, message = said(
        "09.12", "learning rate too high", OPTIMIZER, "optimizer = SGD(net.parameters(), lr=0.3)"
    )
    assert outcome == "not yet"
    assert "and 3 of 3 without it" in message
    assert (
        "Line 4 raises NameError"
        in said("09.12", "learning rate too high", OPTIMIZER, "optimizer = sgd(net)")[1]
    )


def test_a_script_does_not_touch_the_random_state_or_the_data():
    torch.manual_seed(0)
    wanted = torch.rand(3)
    torch.manual_seed(0)
    before = script._data()[0].clone()
    run_script(PATIENTS["09.3"].script({INIT: "pixels.zero_()"}), 0)
    assert torch.equal(torch.rand(3), wanted)
    assert torch.equal(script._data()[0], before)


@pytest.mark.parametrize(
    "line",
    [
        "y -= 1",
        "raise GeneratorExit",
        "print('x' * 10**6)",
        "torch.use_deterministic_algorithms(True), torch.set_grad_enabled(False)",
        "torch.set_default_device('cuda' if not torch.cuda.is_available() else 'meta')",
    ],
)  # what else a line can set is tried in test_settings
def test_a_line_leaves_nothing_behind(line, capsys):
    run_script(PATIENTS["09.3"].script({INIT: line}), 0)
    assert capsys.readouterr().out == ""
    assert run_script(list(HEALTHY), 0).trained
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.is_grad_enabled()
    assert torch.empty(1).device.type == "cpu"


def test_a_script_runs_in_the_usual_settings_whatever_the_kernel_has(request):
    request.addfinalizer(lambda: torch.set_grad_enabled(True))
    torch.set_grad_enabled(False)
    assert run_script(list(HEALTHY), 0).trained
    assert not torch.is_grad_enabled()


def test_each_script_is_run_once_for_a_verdict(monkeypatch):
    made = []
    monkeypatch.setattr(rules, "run_script", lambda *a, **k: made.append(str((a, k))) or run_script(*a, **k))
    assert "by a clip, and not without" in said("09.8", "gradients not cleared", CLEAR, CLIPPED)[1]
    # Three seeds, one without the clip, on which it fails, and one with a recorder.
    assert len(made) == len(set(made)) == 5
    made.clear()
    said("09.3", "inputs not normalised", 99, CLIPPED)
    said("09.6", "healthy")
    assert not made


def test_an_interrupted_treatment_says_so(home, capsys, monkeypatch):
    monkeypatch.setattr(rules, "run_script", _interrupted)
    monkeypatch.setattr(treatment, "show_patient", lambda patient: None)
    treatment.treat("09.4", "init too large", 2, "init_weights_(net, 1.0)")
    assert "was interrupted" in capsys.readouterr().out


@pytest.mark.parametrize("line", ["while True: pass", "any(True for _ in iter(int, 1) if False)"])
def test_a_treatment_that_does_not_end_is_stopped(home, capsys, monkeypatch, line):
    monkeypatch.setattr(treatment, "SECONDS", 0.5)
    monkeypatch.setattr(treatment, "show_patient", lambda patient: None)
    verdict = treatment.treat("09.4", "init too large", 2, line)
    assert verdict.message.startswith("Stopped after 0.5 seconds: the script was still running.")
    print("still heard")
    assert capsys.readouterr().out.endswith("still heard\n")


def test_a_patient_that_was_meant_is_named():
    with pytest.raises(ValueError, match=r"Did you mean 09\.3\?"):
        treatment.treat("9.3")


def _interrupted(*_, **__):
    raise KeyboardInterrupt


def test_treating_healing_and_the_table(home, capsys):
    treatment.repairs()
    assert "09.4" not in capsys.readouterr().out
    treatment.treat("09.4", "init too large", CLIP, CLIPPED)
    assert "A painkiller" in capsys.readouterr().out
    assert read().passed == {}
    treatment.treat("09.4", *PATIENTS["09.4"].treatment[0])
    assert "✓ 09.4 correct" in capsys.readouterr().out
    assert "✓ 09.4" in str(progress("09"))
    treatment.repairs()
    assert "2 of 2  3 of 3" in capsys.readouterr().out
    with pytest.raises(ValueError, match="patient must be one of"):
        treatment.treat("9.4", ...)
    with pytest.raises(ValueError, match="patient must be one of"):
        chart.visit("09.99")


def test_visits_show_script_vitals_and_chart(capsys):
    chart.visit("09.9")
    shown = capsys.readouterr().out
    assert " 10          backward_in_half(loss, net, scale=2.0**24)" in shown
    assert "not finite  the gradient of" in shown
    assert "A chart: the loss starts near" in shown
    chart.visit()
    assert "A healthy run" in capsys.readouterr().out


def test_the_gallery(capsys):
    practice.gallery()
    curves = len(practice.GALLERY)
    assert f"{NUMBERS[curves].capitalize()} small panels" in capsys.readouterr().out
    practice.name_curves(...)
    assert "Not attempted" in capsys.readouterr().out
    practice.name_curves({"A": ...})
    assert "Not attempted" in capsys.readouterr().out
    practice.name_curves({"A": "half-precision overflow", "B": "saturated"})
    assert f"1 of {curves} named right: A" in capsys.readouterr().out
    practice.name_curves({"Z": "saturated"})
    assert "no curve 'Z'" in capsys.readouterr().out
    practice.name_curves({"D": "zero gradient", "F": "Zero gradient"})
    assert "“zero gradient” stands 2 times" in capsys.readouterr().out
    assert set(practice.GALLERY.values()) == set(SICK) - set(DOUBLY)


def test_new_patients(home, capsys):
    practice.admit(5, ...)
    said = capsys.readouterr().out
    assert "New patient 5" in said
    assert "Not attempted" in said
    truth, script, _ = practice.random_patient(5)
    assert practice.random_patient.__wrapped__(5)[:2] == (truth, script)
    for unknown in ("flu", 7, ["dead units"]):
        practice.admit(5, unknown)
        assert "There is no illness" in capsys.readouterr().out
    wrong = "dead units" if truth != "dead units" else "saturated"
    practice.admit(5, wrong)
    practice.admit(5, f" {truth.upper()}")  # the first one counts
    assert f"It is {truth}" in capsys.readouterr().out
    practice.hit_rate()
    assert "New patients: 1. You: 0 right. diagnose: 1 right." in capsys.readouterr().out
    for bad in ("5", 1.5, True):
        with pytest.raises(ValueError, match="a whole number"):
            practice.admit(bad)


def test_new_patients_have_many_illnesses_and_the_rules_mostly_know_them():
    drawn = [practice.random_patient(seed) for seed in range(1000, 1040)]
    assert len({truth for truth, _, _ in drawn}) >= 8
    right = sum(diagnose(found).illness == truth for truth, _, found in drawn)
    assert right >= 34
