"""Each illness is named in plain cases of every kind; how often in random ones is what `make bench` prints."""

import ast
import math
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.thresholds import SEPARATES, measured, thresholds
from gradutils.data import digit_sequences, digits
from gradutils.models import elman_rnn, init_weights_, mlp
from gradutils.recorder import Recorder, diagnosis, signs
from gradutils.recorder.diagnosis import REMEDIES, RERUNS, UNNAMED, Diagnosis, diagnose, read_signs
from gradutils.recorder.recording import Recording
from gradutils.training import train

X, Y, _, _ = digits()
SEQUENCES = digit_sequences().x_train


def run(
    model,
    *,
    x=X,
    lr=0.05,
    steps=40,
    clear=True,
    loss_fn=F.cross_entropy,
    y=Y,
    grad=lambda g: g,
    scale=1.0,
    batch=64,
):
    """Train with SGD and record."""
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=lr, momentum=0.9)
    generator = torch.Generator().manual_seed(0)
    with Recorder(model) as recorder:
        for _ in range(steps):
            rows = torch.randint(len(x), (batch,), generator=generator)
            if clear:
                optimizer.zero_grad()
            loss = loss_fn(model(x[rows]), y[rows])
            (scale * loss).backward()
            for p in model.parameters():
                if p.grad is not None:
                    p.grad = grad(p.grad)
            optimizer.step()
            recorder.step(loss, lr)
    return recorder


def net(depth=4, activation="relu", sigma_w=2**0.5, seed=0):
    torch.manual_seed(seed)
    return init_weights_(mlp(depth, 64, activation), sigma_w)


def with_biases(model, value):
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name.endswith("bias") and not name.startswith("out"):
                p.copy_(value * (torch.randint(2, p.shape).float() * 2 - 1 if value > 0 else 1.0))
    return model


def frozen(model):
    for name, p in model.named_parameters():
        p.requires_grad_(name.startswith("out"))
    return model


def stretched():
    torch.manual_seed(0)
    model = elman_rnn(4, 48, 10, "relu")
    with torch.no_grad():
        nn.init.orthogonal_(model.recurrent.weight, 3.0)
    return model


def half(g):
    return g.half().float() / 2**30


CASES = {
    "healthy": lambda: run(net()),
    "healthy, tanh": lambda: run(net(6, "tanh", 1.0)),
    "healthy, torch's own init": lambda: run(mlp(3, 64)),
    "healthy, odd but recovering": lambda: run(net(2), x=3 * X, lr=0.01),
    "learning rate too high": lambda: run(net(), lr=3.0),
    "init too large": lambda: run(net(10, "relu", 4.0)),
    "init too small": lambda: run(net(4, "relu", 0.01)),
    "zero gradient": lambda: run(net(4, "relu", 0.0)),
    "zero gradient, frozen": lambda: run(frozen(net(30))),
    "healthy, frozen on purpose": lambda: run(frozen(net(2))),
    "healthy, one sample at a time": lambda: run(net(2), batch=1, lr=1e-3, steps=100),
    "healthy, targets far from zero": lambda: run(
        net(2), y=9 + X[:, :10], loss_fn=F.mse_loss, lr=0.003, steps=200
    ),
    "saturated": lambda: run(with_biases(net(3, "tanh", 1.0), 6.0)),
    "gradients not cleared": lambda: run(net(), clear=False),
    "recurrent explosion": lambda: run(stretched(), x=SEQUENCES),
    "inputs not normalised": lambda: run(net(), x=100 * X + 50),
    "half-precision overflow": lambda: run(net(), scale=2.0**30, grad=half),
    "loss summed": lambda: run(net(), loss_fn=lambda out, y: F.cross_entropy(out, y, reduction="sum")),
    "loss summed, and it survives": lambda: run(
        net(), lr=5e-4, loss_fn=lambda out, y: F.cross_entropy(out, y, reduction="sum")
    ),
    "dead signal": lambda: run(net(8, "sigmoid", 1.0)),
    "dead units": lambda: run(with_biases(net(4, "relu", 0.7), -8.0)),
}


@pytest.mark.parametrize("name", CASES)
def test_the_illness_is_named(name):
    found = diagnose(CASES[name]())
    assert found.illness == name.partition(",")[0], str(found)
    assert found.remedy == REMEDIES[found.illness]
    assert found.evidence
    assert found.illness not in found.alternatives


def test_a_missing_warmup_is_only_ever_an_alternative():
    found = diagnose(CASES["learning rate too high"]())
    assert found.alternatives[-1] == "missing warmup"
    assert "rising" in found.reruns["missing warmup"]
    assert "missing warmup" not in REMEDIES


def test_the_text_gives_evidence_remedy_and_the_run_that_would_tell():
    text = str(diagnose(CASES["init too large"]()))
    assert text.startswith("init too large: outputs of RMS")
    assert "Remedy: Draw weights" in text
    assert "To tell (init too large): Run again at a tenth of the learning rate" in text


def test_a_saved_recording_gets_the_same_diagnosis(tmp_path):
    recorder = CASES["saturated"]()
    recorder.save(tmp_path / "run.npz")
    assert diagnose(Recording.load(tmp_path / "run.npz")) == diagnose(recorder)


def test_an_unknown_loss_is_compared_with_the_one_given_or_the_first():
    def loss_fn(out, y):
        return -(F.log_softmax(out, 1) * F.one_hot(y, 10)).sum(1).mean()

    recorder = run(net(), loss_fn=loss_fn)
    assert math.isnan(recorder.trivial_loss)
    assert read_signs(recorder.recording, 4.6).start == pytest.approx(recorder.loss[0].item() / 4.6)
    assert read_signs(recorder.recording).start == 1
    assert diagnose(recorder, trivial_loss=math.log(10)).illness == "healthy"


def test_a_run_that_dies_late_is_not_called_healthy():
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    with Recorder(model) as recorder:
        for k in range(60):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(X[:64]), Y[:64])
            loss.backward()
            optimizer.step()
            if k == 50:
                with torch.no_grad():
                    model.fc2.weight.fill_(torch.nan)
            recorder.step(loss)
    found = diagnose(recorder)
    assert found.illness != "healthy"
    assert "fc2 at step 51" in str(found)


def test_less_recorded_still_gives_a_diagnosis():
    for options in ({"activations": False}, {"deltas": False}, {"activations": False, "deltas": False}):
        model = net()
        optimizer = torch.optim.SGD(model.parameters(), 3.0)
        with Recorder(model, **options) as recorder:
            train(model, F.cross_entropy, [(X[:64], Y[:64])] * 25, optimizer, measure=recorder.step)
        assert diagnose(recorder).illness == "learning rate too high"


def test_too_few_records():
    recorder = run(net(), steps=1)
    with pytest.raises(ValueError, match="at least 2 recorded steps"):
        diagnose(recorder)


def test_every_rerun_belongs_to_a_known_illness():
    assert set(RERUNS) <= {*REMEDIES, "missing warmup"}
    assert Diagnosis("healthy", ("x",), "y").reruns == {}


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_inputs_that_are_not_finite_are_named(value, activation):
    x = X.clone()
    x[:, 7] = value
    named = diagnose(run(net(2, activation), x=x, steps=5))
    assert named.illness == "inputs not normalised"
    assert "not finite" in named.evidence[0]


def test_gradients_set_to_zero_before_the_record_are_not_stale():
    model = net(2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    with Recorder(model) as recorder:
        for _ in range(10):
            loss = F.cross_entropy(model(X[:64]), Y[:64])
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=False)
            recorder.step(loss)
    assert not recorder.stale.any()


def test_a_run_without_a_name_that_learns_nothing_is_not_called_mended():
    named = diagnose(run(net(2), lr=1e-8))
    assert named.illness == "healthy"
    assert named.remedy == UNNAMED
    assert diagnose(run(net(2))).remedy == REMEDIES["healthy"]


def test_a_loss_that_is_not_known_is_compared_with_the_first():
    def own(out, y):
        return (out - F.one_hot(y, 10)).abs().mean()

    assert "x the first" in diagnose(run(net(2), loss_fn=own)).evidence[0]
    assert "x that of a constant answer" in diagnose(run(net(2))).evidence[0]


def test_what_is_not_a_recording_is_refused():
    with pytest.raises(TypeError, match=r"Recording\.load"):
        diagnose("run.npz")
    with pytest.raises(TypeError, match="got list"):
        diagnose([1.0, 2.0])


def test_every_threshold_lies_between_health_and_illness():
    known = thresholds()
    assert set(known) == set(SEPARATES)
    for name, value in known.items():
        assert min(value.well, value.ill) <= value <= max(value.well, value.ill), name


def test_the_rules_hold_no_number_without_a_name():
    """Every comparison is with a threshold, with nothing at all (0), or with another sign."""
    for room in (diagnosis, signs):
        for node in ast.walk(ast.parse(Path(room.__file__).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Compare):
                for side in (node.left, *node.comparators):
                    number = side.value if isinstance(side, ast.Constant) else 0
                    assert number is None or isinstance(number, str) or number in (0, 1, 2), ast.unparse(node)


def test_the_two_sides_of_a_threshold_are_found_again():
    """Of runs that are far apart, ``measured`` gives the middle of each side."""
    healthy = [read_signs(run(net(seed=seed)).recording) for seed in range(3)]
    ill = [read_signs(run(net(seed=seed), x=100 * X).recording) for seed in range(3)]
    seen = [("healthy", s) for s in healthy] + [("inputs not normalised", s) for s in ill]
    well, beyond, *counts = measured(seen, ["INPUT_RMS"])["INPUT_RMS"]
    assert well == sorted(s.input_rms for s in healthy)[1]
    assert beyond == sorted(s.input_rms for s in ill)[1]
    assert counts == [3, 3]
