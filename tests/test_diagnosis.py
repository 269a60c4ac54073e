"""Each illness is named in plain cases of every kind; how often in random ones is what `make bench` prints."""

import ast
import dataclasses
import math
import re
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.thresholds import ROOMS, SEPARATES, measured, thresholds
from gradutils.course.clinic.nets import attention_net
from gradutils.data import digit_sequences, digits
from gradutils.models import elman_rnn, init_weights_, mlp
from gradutils.recorder import Recorder, diagnosis
from gradutils.recorder.diagnosis import Diagnosis, diagnose
from gradutils.recorder.recording import Recording
from gradutils.recorder.rules import BUGS, CAUSES, FACTS
from gradutils.recorder.signs import read_signs
from gradutils.recorder.words import LITTLE, MENDS, REMEDIES, RERUNS, UNCLEAR, UNNAMED, UNSURE
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
    with Recorder(model, every=1) as recorder:
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


def cut(model):
    """A detach() before the last layer."""
    model.out.register_forward_pre_hook(lambda module, args: args[0].detach())
    return model


def loop(
    model,
    *,
    lr=2e-3,
    steps=60,
    optimizer=None,
    loss_fn=None,
    spoil=lambda k, x: x,
    before=None,
    batch=64,
    x=X,
    y=Y,
):
    """Train with Adam, with something that goes wrong on the way, and record."""
    optimizer = optimizer or torch.optim.Adam(model.parameters(), lr)
    loss_fn, generator = loss_fn or F.cross_entropy, torch.Generator().manual_seed(0)
    with Recorder(model, every=1) as recorder:
        for k in range(steps):
            rows = torch.randint(len(x), (batch,), generator=generator)
            loss = loss_fn(model(spoil(k, x[rows].clone())), y[rows])
            model.zero_grad()
            loss.backward()
            if before is not None:
                before(k, model)
            optimizer.step()
            recorder.step(loss)
    return recorder


def spoilt(step, value):
    def spoil(k, x):
        if k == step:
            x[3, 3] = value
        return x

    return spoil


def outlier(k, x):
    return x if k != 60 else torch.cat([1000 * x[:4].flip(1), x[4:]])


class RootOfDifference(nn.Module):
    """A root whose argument turns negative at the tenth call."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, h):
        self.calls += 1
        return ((h - h.detach()).square() + (1 if self.calls < 10 else -1)).sqrt() * h


def distances(out, y):
    """Has a root of 0 in it, whose slope is infinite."""
    return F.cross_entropy(out, y) + 0.01 * (out[:4] - out[:4].detach()).square().sum(1).sqrt().mean()


class InAList(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden, self.out = [nn.Linear(64, 64) for _ in range(3)], nn.Linear(64, 10)

    def forward(self, x):
        for layer in self.hidden:
            x = torch.relu(layer(x))
        return self.out(x)


def hardest(e, y):
    """A triplet loss on the hardest pairs, under which embeddings collapse."""
    apart = torch.cdist(e, e + 1e-7)
    same = y[:, None] == y
    return (
        (apart.masked_fill(~same, 0).amax(1) - apart.masked_fill(same, 9e9).amin(1) + 0.5).clamp(min=0).mean()
    )


def clipped_while_scaled(k, model):
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for p in model.parameters():
        p.grad /= 2**16


def accumulated():
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
    with Recorder(model, every=1) as recorder:
        for _ in range(30):
            optimizer.zero_grad()
            for _ in range(32):
                rows = torch.randint(len(X), (16,))
                loss = F.cross_entropy(model(X[rows]), Y[rows])
                loss.backward()
            optimizer.step()
            recorder.step(loss)
    return recorder


def in_half_precision():
    model = net()

    def loss_fn(out, y):
        return F.cross_entropy(out.float(), y) * 2.0**30

    class Cast(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = model

        def forward(self, x):
            with torch.autocast("cpu", torch.float16):
                return self.net(x)

    return loop(Cast(), loss_fn=loss_fn, optimizer=torch.optim.SGD(model.parameters(), 1e-9))


def normalised(**options):
    return nn.Sequential(nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 10, **options))


def frozen_norm():
    model = normalised()
    model[1].eval()
    for p in model[1].parameters():
        p.requires_grad_(False)
    return model


class Adapted(nn.Module):
    """A frozen layer with a product of two small matrices beside it, of which one starts at zero."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.out = (
            nn.Linear(64, 64).requires_grad_(False),
            nn.Linear(64, 10).requires_grad_(False),
        )
        self.a, self.b = nn.Linear(64, 4, bias=False), nn.Linear(4, 64, bias=False)
        nn.init.zeros_(self.b.weight)

    def forward(self, x):
        return self.out(torch.relu(self.first(x) + self.b(self.a(x))))


def noisy(explained, seed=0):
    """Targets of which so much can be explained, and a head that starts at zero."""
    torch.manual_seed(seed)
    model = mlp(1, 32, "tanh", inputs=8, outputs=1)
    nn.init.zeros_(model.out.weight)
    x = torch.randn(4096, 8)
    y = explained**0.5 * x[:, :1] + (1 - explained) ** 0.5 * torch.randn(4096, 1)
    return loop(model, x=x, y=y, loss_fn=F.mse_loss, steps=200, batch=128)


CASES = {
    "healthy": lambda: run(net()),
    "healthy, tanh": lambda: run(net(6, "tanh", 1.0)),
    "healthy, torch's own init": lambda: run(mlp(3, 64)),
    "healthy, odd but recovering": lambda: run(net(2), x=3 * X, lr=0.01),
    "learning rate too high": lambda: run(net(), lr=3.0),
    "init too large": lambda: run(net(10, "relu", 4.0)),
    "init too small": lambda: run(net(4, "relu", 0.01)),
    "zero gradient": lambda: run(net(4, "relu", 0.0)),
    "zero gradient, cut off before the last layer": lambda: run(cut(net(30))),
    "healthy, frozen on purpose and learning nothing": lambda: run(frozen(net(30)), lr=1e-4),
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
    "weights do not move, another model's optimizer": lambda: loop(net(), optimizer=torch.optim.Adam(net().parameters())),
    "weights do not move, a rate of 0": lambda: loop(net(), lr=0.0),
    "weights do not move, no way back": lambda: loop(net(), loss_fn=lambda out, y: F.cross_entropy(out.detach(), y).requires_grad_()),
    "weights do not move, too few digits": lambda: loop(
        net().bfloat16(), lr=1e-7, loss_fn=lambda out, y: F.cross_entropy(out.float(), y), x=X.bfloat16()
    ),
    "weights do not move, clipped while scaled": lambda: loop(
        model := net(), optimizer=torch.optim.SGD(model.parameters(), 0.05), before=clipped_while_scaled
    ),
    "not a number, in the inputs": lambda: loop(net(), spoil=spoilt(30, math.nan)),
    "not a number, in a layer": lambda: loop(nn.Sequential(nn.Linear(64, 32), RootOfDifference(), nn.Linear(32, 10))),
    "not a number, in the loss": lambda: loop(
        net(), loss_fn=lambda out, y: (out[:, 0] - out[:, 0].mean()).log().square().mean()
    ),
    "not a number, on the way back": lambda: loop(net(), loss_fn=distances),
    "not a number, in the optimizer's step": lambda: loop(
        net().half(), x=X.half(), loss_fn=lambda out, y: F.cross_entropy(out.float(), y) / 2**10
    ),
    "weights do not move, a large eps": lambda: loop(
        model := mlp(4, 64), optimizer=torch.optim.Adam(model.parameters(), 0.003, eps=0.1)
    ),
    "weights do not move, rounded away": lambda: loop(
        model := net().bfloat16(), optimizer=torch.optim.Adam(model.parameters(), 1e-5), x=X.bfloat16()
    ),
    "attention logits grow": lambda: loop(attention_net(64), lr=0.3, steps=100),
    "half-precision overflow, under autocast": in_half_precision,
    "relapse": lambda: loop(model := net(2), optimizer=torch.optim.SGD(model.parameters(), 0.1, momentum=0.9), spoil=outlier, steps=120),
    "loss does not fit the outputs, softmax twice": lambda: loop(nn.Sequential(net(), nn.Softmax(1))),
    "loss does not fit the outputs, shapes": lambda: loop(
        nn.Sequential(net(), nn.Linear(10, 1)), y=X[:, 20], loss_fn=F.mse_loss
    ),
    "parts not registered": lambda: loop(InAList()),
    "evaluation mode": lambda: loop(normalised().eval()),
    "one answer, collapsed": lambda: loop(mlp(3, 64), loss_fn=hardest, y=Y[torch.randperm(len(Y))], steps=200),
    "one answer, rare classes": lambda: loop(mlp(1, 16, outputs=2), x=torch.randn(4096, 64), y=(torch.rand(4096) < 0.03).long(), steps=150),
    "targets not normalised": lambda: loop(net(2), y=X[:, :10] * 3000 + 10000, loss_fn=F.mse_loss),
    "loss summed, micro-batches that are not divided": accumulated,
    "healthy, a norm that is frozen on purpose": lambda: loop(frozen_norm()),
    "healthy, adapters that start at zero": lambda: loop(Adapted(), lr=3e-4),
    "healthy, a head that starts at zero, and little to be had": lambda: noisy(0.04),
    "healthy, a loss through zero": lambda: loop(
        nn.Sequential(net(2), nn.Linear(10, 2)), y=0.1 * X[:, 20:21],
        loss_fn=lambda out, y: F.gaussian_nll_loss(out[:, :1], y, out[:, 1:].exp()),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_illness_is_named(name):
    torch.manual_seed(0)
    found = diagnose(CASES[name]())
    assert found.illness == name.partition(",")[0], str(found)
    assert found.remedy in {REMEDIES[found.illness], *MENDS.values(), UNNAMED, LITTLE, UNSURE, UNCLEAR}
    assert found.evidence
    assert found.illness not in found.alternatives
    assert not re.search(r"\b(nan|inf|-inf)\b|loss of loss| 0 of its size", "; ".join(found.evidence)), str(
        found
    )


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


def test_an_unknown_loss_is_compared_with_the_one_given_or_the_start():
    recording = dataclasses.replace(
        run(net()).recording, constant_loss=torch.full((40,), torch.nan), loss_kind="unknown"
    )
    assert math.isnan(recording.trivial_loss)
    assert read_signs(recording, 4.6).start == pytest.approx(recording.loss[0].item() / 4.6)
    assert "that at the start" in diagnose(recording).evidence[0]
    assert read_signs(recording).start >= 1
    assert "that of a constant answer" in diagnose(recording, trivial_loss=math.log(10)).evidence[0]


def test_a_run_that_dies_late_is_not_called_healthy():
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    with Recorder(model, every=1) as recorder:
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
    assert "step 50 made fc2.weight not finite" in str(found)


def test_less_recorded_still_gives_a_diagnosis():
    for options in ({"activations": False}, {"deltas": False}, {"activations": False, "deltas": False}):
        model = net()
        optimizer = torch.optim.SGD(model.parameters(), 3.0)
        with Recorder(model, every=1, **options) as recorder:
            train(model, F.cross_entropy, [(X[:64], Y[:64])] * 25, optimizer, measure=recorder.step)
        assert diagnose(recorder).illness == "learning rate too high"


def test_too_few_records():
    recorder = run(net(), steps=1)
    with pytest.raises(ValueError, match="at least 2 recorded steps"):
        diagnose(recorder)


def test_every_rerun_belongs_to_a_known_illness():
    assert set(RERUNS) <= {*REMEDIES, "missing warmup"}
    assert {rule.illness for rule in (*FACTS, *BUGS, *CAUSES)} == set(REMEDIES) - {"healthy"}
    assert Diagnosis("healthy", ("x",), "y").reruns == {}


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_inputs_that_are_not_finite_are_named(value, activation):
    x = X.clone()
    x[:, 7] = value
    named = diagnose(run(net(2, activation), x=x, steps=5))
    assert named.illness == "not a number"
    assert "the inputs of step 0" in named.evidence[0]


def test_gradients_set_to_zero_before_the_record_are_not_stale():
    model = net(2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    with Recorder(model, every=1) as recorder:
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
    for room in (diagnosis, *ROOMS):
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


def test_a_rate_of_zero_and_a_run_that_learns_nothing_are_never_called_learning():
    for seed in range(10):
        torch.manual_seed(seed)
        x, y = torch.randn(2000, 8), torch.distributions.StudentT(3.0).sample((2000, 1))
        for lr, batch in ((0.0, 4), (1e-9, 4), (1e-9, 16)):
            model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1))
            recorder = run(model, x=x, y=y, lr=lr, batch=batch, loss_fn=F.mse_loss, steps=100)
            found = diagnose(recorder)
            assert found.illness == ("healthy" if lr else "weights do not move"), str(found)
            assert found.remedy != REMEDIES["healthy"]
            assert not read_signs(recorder.recording).recovered


def test_why_the_weights_do_not_move_is_said():
    said = {
        "another model's optimizer": "holds none of this model's parameters",
        "a rate of 0": "the learning rate is 0",
        "no way back": "no parameter has a gradient",
        "too few digits": "in bfloat16",
        "a large eps": "far below its eps",
        "rounded away": "most updates are rounded away",
        "clipped while scaled": "as clipping leaves it",
    }
    for name, words in said.items():
        found = diagnose(CASES[f"weights do not move, {name}"]())
        assert words in found.evidence[0], str(found)
        assert found.remedy in MENDS.values()


def test_where_a_number_broke_is_said():
    said = {
        "in the inputs": "the inputs of step 30",
        "in a layer": "an operation inside 1, or between it and 0 breaks",
        "in the loss": "the loss of step 0 is not finite",
        "on the way back": "on the way back at step 0 the gradient of out's output",
        "in the optimizer's step": "the optimizer's step 0 made",
    }
    for name, words in said.items():
        torch.manual_seed(0)
        assert words in diagnose(CASES[f"not a number, {name}"]()).evidence[0], name


def test_a_relapse_says_when_and_what_leapt_first():
    torch.manual_seed(0)
    found = diagnose(CASES["relapse"]())
    assert "left it at step 60" in found.evidence[0]
    assert "the inputs' RMS leapt first" in found.evidence[0]
    assert found.remedy == MENDS["leapt inputs"]


def made_up(losses, **changes):
    """A healthy run's recording with these losses, of which a constant answer would lose 1."""
    found = run(net(2), steps=len(losses)).recording
    losses = torch.tensor(losses, dtype=torch.float64)
    fields = {"loss": losses, "loss_curve": losses, "constant_loss": torch.ones_like(losses)}
    return dataclasses.replace(found, **(fields | changes))


def wave(values):
    """Noise that is the same on every machine."""
    return [value * (1 + 0.05 * math.sin(12.9 * k)) for k, value in enumerate(values)]


FALLS = [max(0.2, 1 - 0.02 * k) for k in range(60)]


def test_a_relapse_is_read_off_the_losses_alone():
    lost = wave(FALLS + [1.0] * 40)
    assert diagnose(made_up(lost)).illness == "relapse"
    assert diagnose(made_up(wave(FALLS + [0.25] * 40))).illness == "healthy"
    unknown = {"constant_loss": torch.full((100,), torch.nan), "loss_kind": "unknown"}
    assert diagnose(made_up(lost, **unknown)).illness != "relapse"  # it may be that of two players
    spike = wave(FALLS + [50.0] * 3 + [1.0] * 37)
    assert diagnose(made_up(spike, **unknown)).illness == "relapse"
    through_zero = [loss - 0.5 for loss in lost]
    assert diagnose(made_up(through_zero, **unknown)).illness == "healthy"


def test_a_run_that_barely_learns_is_not_said_to_be_in_order():
    """It began far too high, or it stays near a constant answer; one that began high and learnt has nothing to mend."""
    high = [300 * 0.5**k for k in range(12)]
    barely = diagnose(made_up(wave(high + [0.7] * 88)))
    assert (barely.illness, barely.remedy) == ("healthy", LITTLE)
    assert "the loss started at 3e+02 x that of a constant answer" in " ".join(barely.evidence)
    assert diagnose(made_up(wave(high + [0.3] * 88))).remedy == REMEDIES["healthy"]
    assert diagnose(made_up(wave([1.0] * 12 + [0.7] * 88))).remedy == REMEDIES["healthy"]
    assert diagnose(made_up(wave([1.0] * 12 + [0.93] * 88))).remedy == LITTLE


def test_of_losses_of_both_signs_no_ratio_is_told():
    unknown = {"constant_loss": torch.full((100,), torch.nan), "loss_kind": "unknown"}
    falls = diagnose(made_up([1 - 0.03 * k for k in range(100)], **unknown))
    assert falls.remedy == REMEDIES["healthy"]
    assert falls.evidence[0].startswith("the loss goes from 1 to -1.")
    noise = torch.randn(100, generator=torch.Generator().manual_seed(0)).tolist()
    assert diagnose(made_up(noise, **unknown)).remedy == UNCLEAR


def test_micro_batches_and_frozen_parts_are_not_taken_for_faults():
    found = run(net(2), steps=40).recording
    every_other = torch.tensor([0, 1] * 20)
    update = found.update_norm.where(every_other.bool()[:, None], 0.0)
    stale = ~every_other.bool()
    told = dataclasses.replace(
        found, optimizer_steps=every_other, update_norm=update, stale=every_other.bool()
    )
    assert diagnose(told).illness == "healthy"
    assert diagnose(dataclasses.replace(told, stale=stale)).illness == "gradients not cleared"
    out = torch.tensor([name.startswith("out") for name in found.parameters])
    resting = dataclasses.replace(
        found,
        update_norm=found.update_norm.where(out, 0.0),
        trainable=tuple(out.tolist()),
        grad_norm=found.grad_norm.where(out, torch.nan),
    )
    assert diagnose(resting).illness == "healthy"


def test_what_is_in_no_optimizer_is_told_where_nothing_is_learnt():
    found = made_up([1.0 + 0.001 * (k % 3) for k in range(40)])
    out = torch.tensor([name.startswith("out") for name in found.parameters])
    fields = {"update_norm": found.update_norm.where(out, 0.0), "held": tuple(out.tolist())}
    named = diagnose(dataclasses.replace(found, **fields))
    assert named.illness == "weights do not move"
    assert "4 of 6 parameters with gradients are in no optimizer" in named.evidence[0]
    assert diagnose(dataclasses.replace(run(net(2)).recording, **fields)).illness == "healthy"


def test_a_rate_that_falls_to_zero_too_soon_is_told():
    found = made_up([1.0 + 0.001 * (k % 3) for k in range(40)])
    moving = (found.steps < 10)[:, None]
    fields = {
        "update_norm": found.update_norm.where(moving, 0.0),
        "lr": torch.where(moving[:, 0], 0.05, 0.0).double(),
    }
    named = diagnose(dataclasses.replace(found, **fields))
    assert named.illness == "weights do not move"
    assert "from step 10 on: the learning rate is 0" in named.evidence[0]


def test_a_rate_too_high_needs_an_update_that_was_large():
    """Blown, but no step changed much: something else has driven it."""
    blown = [1.0] * 10 + [30.0] * 30
    found = made_up(blown)
    small = dataclasses.replace(found, update_norm=found.update_norm * 1e-3)
    assert diagnose(small).illness != "learning rate too high"
    large = dataclasses.replace(found, update_norm=found.weight_norm * 0.4)
    assert diagnose(large).illness == "learning rate too high"
    resting = dataclasses.replace(large, lr=torch.zeros(40, dtype=torch.float64))
    assert "at a rate" not in str(diagnose(resting))


def test_half_precision_is_only_named_where_there_is_some():
    grads = run(net(2), steps=40).recording.grad_norm.clone()
    grads[30:] = math.inf
    single = made_up(wave([1.0] * 40), grad_norm=grads)
    assert diagnose(single).illness == "not a number"
    half_precision = dataclasses.replace(single, layer_dtypes=("float16",) * len(single.layers))
    assert diagnose(half_precision).illness == "half-precision overflow"
    brain = dataclasses.replace(single, layer_dtypes=("bfloat16",) * len(single.layers))
    assert diagnose(brain).illness == "not a number"
    assert diagnose(brain).reruns == {} or "float32" not in str(diagnose(brain))


def test_step_at_the_wrong_place_is_said_and_silences_what_hangs_on_it():
    found = made_up([1.0 + 0.001 * (k % 3) for k in range(40)], order="step() was called too late")
    nothing = dataclasses.replace(found, update_norm=0 * found.update_norm, grad_norm=0 * found.grad_norm)
    named = diagnose(nothing)
    assert named.illness == "healthy"
    assert named.evidence[-1] == "step() was called too late"
    assert named.remedy == MENDS["order"]


def test_targets_that_run_away_are_told():
    growing = torch.linspace(1, 1000, 100, dtype=torch.float64)
    fields = {"target_rms": growing, "output_rms": growing}
    named = diagnose(made_up(wave([1.0] * 100), **fields))
    assert "the targets grew" in named.evidence[1]
    assert named.remedy == MENDS["runaway"]
