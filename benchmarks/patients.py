"""Training runs with a known illness, drawn at random: what ``diagnose`` is judged by.

Every patient is a healthy run (its twin) with one thing changed, by a random severity. It counts as sick where it dies or
makes less than 40 % of its twin's progress; where it makes more than 75 % the change was benign, and it is counted apart.
Bugs are bugs whatever they do. Families other than ``mlp``, ``rnn`` and ``transformer`` were never used to set a threshold.
"""

import itertools
import math
import random
from collections import defaultdict
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from gradutils.data import digits
from gradutils.models import TransformerBlock, elman_rnn, init_weights_, mlp
from gradutils.recorder import Recorder
from gradutils.recorder.diagnosis import diagnose

STEPS = 60
BUGS = ("gradients not cleared", "loss summed", "half-precision overflow")
KNOWN, NEW = (
    ("mlp", "rnn", "transformer"),
    ("default init", "convolutional", "batch norm", "autoencoder", "other", "gru"),
)
X, Y, _, _ = digits()
GAINS = {
    "relu": 2**0.5,
    "leaky_relu": 2**0.5,
    "elu": 1.2,
    "gelu": 1.5,
    "silu": 1.7,
    "tanh": 1.0,
    "sigmoid": 4.0,
    "selu": 1.0,
}


@dataclass
class Run:
    """Everything that a training run is made of; an illness changes one of these."""

    family: str
    seed: int
    build: object
    data: str
    optimizer: str
    lr: float
    batch: int
    clear: bool = True
    reduction: str = "mean"
    scale: float = 0.0  # what the loss is multiplied by under autocast to float16; 0 is single precision
    shift: tuple = (1.0, 0.0)  # of the inputs
    change: object = None  # of the model, after it was built


class Outcome(NamedTuple):
    recording: object
    progress: float  # share of the trivial loss that was taken off; -inf if it died


class Flat(nn.Module):
    """A sequence model whose last state is read out."""

    def __init__(self, cell, hidden):
        super().__init__()
        self.rnn, self.out = cell, nn.Linear(hidden, 10)

    def forward(self, x):
        return self.out(self.rnn(x.view(len(x), 16, 4))[0][:, -1])


class Loop(nn.Module):
    def __init__(self, hidden, activation):
        super().__init__()
        self.net = elman_rnn(4, hidden, 10, activation)

    def forward(self, x):
        return self.net(x.view(len(x), 16, 4))


class Transformer(nn.Module):
    def __init__(self, width, blocks, pre_ln, heads=2):
        super().__init__()
        self.embed = nn.Linear(4, width)
        self.blocks = nn.ModuleList(TransformerBlock(width, heads, pre_ln=pre_ln) for _ in range(blocks))
        self.out = nn.Linear(width, 10)

    def forward(self, x):
        x = self.embed(x.view(len(x), 16, 4))
        for block in self.blocks:
            x = block(x)
        return self.out(x.mean(1))


class Residual(nn.Module):
    """x + scale * branch(x)."""

    def __init__(self, branch, scale):
        super().__init__()
        self.branch, self.scale = branch, scale

    def forward(self, x):
        return x + self.scale * self.branch(x)


def residual_mlp(depth, width, activation):
    branches = [
        Residual(mlp(1, width, activation, inputs=width, outputs=width), 1 / depth**0.5) for _ in range(depth)
    ]
    return nn.Sequential(nn.Linear(64, width), *branches, nn.Linear(width, 10))


def convolutional(width, batch_norm, activation):
    layers, channels = [nn.Unflatten(1, (1, 8, 8))], 1
    for stride in (1, 2, 2):
        layers.append(nn.Conv2d(channels, width, 3, stride, 1))
        if batch_norm:
            layers.append(nn.BatchNorm2d(width))
        layers.append(activation(inplace=True))
        channels = width
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(4 * width, 10))


def healthy_run(seed, families):
    """A random network, data set, optimizer and batch size; its learning rate is still to be found."""
    rng = random.Random(seed)
    family = rng.choice(families)
    width, batch = round(2 ** rng.uniform(4, 8)), round(2 ** rng.uniform(3.5, 8))
    optimizer = rng.choice(["sgd", "momentum", "adam", "adamw"])
    data = rng.choice(["digits", "digits", "blobs", "regression"])
    if family == "mlp":
        activation = rng.choice(["relu", "tanh", "gelu", "sigmoid"])
        depth = rng.randint(2, 4) if activation == "sigmoid" else round(2 ** rng.uniform(1, 4.3))
        kind, gain = rng.random(), GAINS[activation]
        if kind < 0.12:
            build = lambda: init_weights_(mlp(depth, width, activation, norm=nn.LayerNorm), gain)
        elif kind < 0.24:
            build = lambda: init_weights_(residual_mlp(min(depth, 8), width, activation), 1.0)
        else:
            build = lambda: init_weights_(mlp(depth, width, activation), gain)
    elif family == "rnn":
        hidden, kind = min(width, 96), rng.choice(["loop", "rnn", "lstm"])
        data = "digits"
        if kind == "loop":
            activation = rng.choice(["tanh", "relu"])
            build = lambda: _orthogonal_loop(Loop(hidden, activation))
        elif kind == "rnn":
            build = lambda: Flat(nn.RNN(4, hidden, batch_first=True), hidden)
        else:
            build = lambda: Flat(nn.LSTM(4, hidden, batch_first=True), hidden)
    elif family == "gru":
        hidden, data = min(width, 96), "digits"
        build = lambda: Flat(nn.GRU(4, hidden, batch_first=True), hidden)
    elif family == "transformer":
        pre_ln, blocks = rng.random() < 0.5, rng.randint(1, 3)
        width, data = 8 * rng.randint(2, 6), "digits"
        build = lambda: Transformer(width, blocks, pre_ln)
    elif family == "default init":
        activation, depth = rng.choice(["relu", "tanh", "gelu"]), rng.randint(1, 4)
        build = lambda: mlp(depth, width, activation)
    elif family == "other":
        activation, depth = rng.choice(["silu", "elu", "leaky_relu", "selu"]), rng.randint(2, 8)
        build = lambda: init_weights_(mlp(depth, width, activation), GAINS[activation])
    elif family == "autoencoder":
        code, data = rng.randint(4, 24), "autoencoder"
        build = lambda: nn.Sequential(
            mlp(2, width, "relu", outputs=code), mlp(2, width, "relu", inputs=code, outputs=64)
        )
    else:
        channels, data = rng.choice([8, 16, 32]), "digits"
        activation = rng.choice([nn.ReLU, nn.SiLU])
        build = lambda: convolutional(channels, family == "batch norm", activation)
    return Run(family, seed, build, data, optimizer, 0.0, batch)


def _orthogonal_loop(model):
    nn.init.orthogonal_(model.net.recurrent.weight)
    return model


def batches(run):
    """Inputs and targets of every step."""
    generator = torch.Generator().manual_seed(run.seed)
    x, y = X, Y
    if run.data == "blobs":
        centres = torch.randn(10, 64, generator=generator)
        x = (0.7 * centres[Y] + torch.randn(len(Y), 64, generator=generator)) / 1.2
    elif run.data == "regression":
        teacher = init_weights_(mlp(1, 32, "tanh", outputs=3), 1.5, generator=generator)
        with torch.no_grad():
            y = teacher(X)
    elif run.data == "autoencoder":
        y = X
    gain, offset = run.shift
    x = gain * x + offset
    for _ in range(STEPS):
        rows = torch.randint(len(x), (run.batch,), generator=generator)
        yield x[rows], y[rows]


def play(run):
    """Train as the run says, and record it."""
    torch.manual_seed(run.seed)
    model = run.build()
    if run.data == "regression" and isinstance(model[-1], nn.Linear):
        model[-1] = nn.Linear(model[-1].in_features, 3)
    if run.change is not None:
        with torch.no_grad():
            run.change(model)
    optimizer = {
        "sgd": lambda p: torch.optim.SGD(p, run.lr),
        "momentum": lambda p: torch.optim.SGD(p, run.lr, momentum=0.9),
        "adam": lambda p: torch.optim.Adam(p, run.lr),
        "adamw": lambda p: torch.optim.AdamW(p, run.lr),
    }[run.optimizer]([p for p in model.parameters() if p.requires_grad])
    losses, bad = [], 0
    with Recorder(model) as recorder:
        for x, y in batches(run):
            if run.clear:
                optimizer.zero_grad()
            with torch.autocast("cpu", torch.float16, enabled=bool(run.scale)):
                out = model(x)
                loss = (
                    F.mse_loss(out, y, reduction=run.reduction)
                    if y.is_floating_point()
                    else F.cross_entropy(out, y, reduction=run.reduction)
                )
            (loss * (run.scale or 1)).backward()
            if run.scale:  # as a GradScaler of a fixed scale does, which does not look for overflows
                for p in model.parameters():
                    if p.grad is not None:
                        p.grad /= run.scale
            optimizer.step()
            recorder.step(loss)
            losses.append(loss.item())
            bad = 0 if math.isfinite(losses[-1]) else bad + 1
            if bad > 2:
                break
    recording = recorder.recording
    trivial = recording.trivial_loss
    end = sum(losses[-8:]) / len(losses[-8:])
    progress = 1 - end / trivial if math.isfinite(end) else -math.inf
    return Outcome(recording, progress)


def with_learning_rate(run):
    """The best of three learning rates, and its outcome; None where none beats the trivial answer by 15 %."""
    adaptive = run.optimizer.startswith("adam")
    rates = [0.001, 0.003, 0.01] if adaptive else [0.01, 0.05, 0.2]
    best = None
    for rate in rates:
        run.lr = rate
        outcome = play(run)
        if best is None or outcome.progress > best[1].progress:
            best = rate, outcome
    run.lr = best[0]
    return best[1] if best[1].progress > 0.15 else None


def matrices(model):
    return [p for p in model.parameters() if p.ndim > 1]


def biases(model):
    return [
        (m, m.bias) for m in model.modules() if isinstance(m, (nn.Linear, nn.Conv2d)) and m.bias is not None
    ]


def scale_weights(factor):
    return lambda model: [p.mul_(factor) for p in matrices(model)]


def scale_recurrent(factor):
    def change(model):
        for name, p in model.named_parameters():
            if "weight_hh" in name or "recurrent" in name:
                p.mul_(factor)

    return change


def shift_biases(amount, signed):
    def change(model):
        for module, bias in biases(model)[:-1]:
            sign = torch.randint(2, bias.shape).mul(2).sub(1).float() if signed else 1.0
            bias.copy_(amount * sign * torch.ones_like(bias))
            if not signed:
                module.weight.mul_(0.5)

    return change


def cut(model):
    """A detach() before the last layer."""
    last = [m for m in model.modules() if isinstance(m, nn.Linear)][-1]
    last.register_forward_pre_hook(lambda module, args: args[0].detach())


def zero(model):
    for p in matrices(model):
        p.zero_()


def ill(run, illness, rng):
    """The run with the illness, by a random severity; None where the network cannot have it (torch's LSTM has no float16 on a CPU)."""
    has = {type(m) for m in run.build().modules()}
    recurrent = bool(has & {nn.RNN, Loop})
    changes = {
        "learning rate too high": lambda: {"lr": run.lr * 10 ** rng.uniform(1, 2.5)},
        "init too large": lambda: {"change": scale_weights(2 ** rng.uniform(1.2, 4))} if not recurrent else None,
        "init too small": lambda: {"change": scale_weights(10 ** -rng.uniform(0.8, 3))},
        "zero gradient": lambda: {"change": rng.choice([cut, zero])},
        "saturated": lambda: {"change": shift_biases(rng.uniform(3, 8), True)} if has & {nn.Tanh, nn.Sigmoid} and not recurrent else None,
        "gradients not cleared": lambda: {"clear": False},
        "recurrent explosion": lambda: {"change": scale_recurrent(rng.uniform(1.6, 4))} if recurrent else None,
        "inputs not normalised": lambda: {"shift": (10 ** rng.uniform(1, 2.2), 10 ** rng.uniform(0, 2))},
        "half-precision overflow": lambda: {"scale": 2.0 ** rng.uniform(26, 40)} if nn.LSTM not in has else None,
        "loss summed": lambda: {"reduction": "sum"},
        "dead signal": lambda: {"build": rng.choice([deep_relu, deep_sigmoid])} if run.family == "mlp" and run.data == "digits" else None,
        "dead units": lambda: {"change": shift_biases(-rng.uniform(4, 10), False)} if has & {nn.ReLU} and not has & {nn.LayerNorm, nn.BatchNorm2d} else None,
    }  # fmt: skip
    depth, layers = rng.randint(80, 110), rng.randint(5, 9)
    deep_relu = lambda: init_weights_(mlp(depth, 64, "relu"), 2**0.5)
    deep_sigmoid = lambda: init_weights_(mlp(layers, 64, "sigmoid"), 1.0)
    change = changes[illness]()
    return None if change is None else Run(**(run.__dict__ | change))


class Case(NamedTuple):
    truth: str
    named: str
    alternatives: tuple
    family: str
    benign: bool
    note: str


ILLNESSES = (
    "learning rate too high", "init too large", "init too small", "zero gradient", "saturated", "gradients not cleared",
    "recurrent explosion", "inputs not normalised", "half-precision overflow", "loss summed", "dead signal", "dead units",
)  # fmt: skip


def drawn(seeds, families, per_run):
    """Yield, for each run that trains, itself as healthy and ``per_run`` patients: truth, run, outcome, and whether it was benign."""
    for seed in seeds:
        run, rng = healthy_run(seed, families), random.Random(seed + 10**6)
        twin = with_learning_rate(run)
        if twin is None:
            continue
        yield "healthy", run, twin, False
        for illness in rng.sample(ILLNESSES, len(ILLNESSES))[: per_run + 2]:
            patient = ill(run, illness, rng)
            if patient is None:
                continue
            outcome = play(patient)
            sick = not outcome.progress > 0.4 * twin.progress
            if illness in BUGS or sick or outcome.progress > 0.75 * twin.progress:
                yield illness, patient, outcome, not sick and illness not in BUGS


def cases(seeds, families, per_run=4):
    """What `diagnose` says of each of them."""
    return itertools.starmap(judge, drawn(seeds, families, per_run))


def pairs(seeds, families):
    """Runs with two illnesses at once that are sick; right is a diagnosis of either."""
    for seed in seeds:
        run, rng = healthy_run(seed, families), random.Random(seed + 10**6)
        twin = with_learning_rate(run)
        if twin is None:
            continue
        for first, second in (rng.sample(ILLNESSES, 2) for _ in range(3)):
            patient = ill(run, first, rng)
            both = patient and ill(patient, second, rng)
            if not both or (patient.change is not None and both.change is not patient.change):
                continue  # both change the model, and the second would undo the first
            outcome = play(both)
            if not outcome.progress > 0.4 * twin.progress:
                found = diagnose(outcome.recording)
                yield (
                    found.illness in (first, second),
                    {first, second} <= {found.illness, *found.alternatives},
                )


def judge(truth, run, outcome, benign):
    found = diagnose(outcome.recording)
    note = f"seed {run.seed} {run.family} {run.data} {run.optimizer} lr {run.lr:.3g} batch {run.batch} progress {outcome.progress:.2f}"
    return Case(
        truth, found.illness, found.alternatives, run.family, benign, f"{note} | {'; '.join(found.evidence)}"
    )


def report(found, title):
    """Accuracy and confusions in words, and the numbers as a dictionary."""
    judged, benign = [c for c in found if not c.benign], [c for c in found if c.benign]
    healthy, hard = [c for c in judged if c.truth == "healthy"], [c for c in judged if c.truth not in BUGS]
    numbers = {
        "cases": len(judged),
        "right": share(judged, lambda c: c.named == c.truth),
        "second": share(judged, lambda c: c.truth in (c.named, *c.alternatives[:1])),
        "hard": share(hard, lambda c: c.named == c.truth),
        "hard cases": len(hard),
        "alarms": share(healthy, lambda c: c.named != "healthy"),
        "healthy": len(healthy),
        "calm": share(benign, lambda c: c.named == "healthy"),
        "benign": len(benign),
    }
    table = defaultdict(lambda: defaultdict(int))
    for case in judged:
        table[case.truth][case.named] += 1
    lines = [f"\n{title}\n"]
    for truth in sorted(table):
        wrong = ", ".join(f"{n} {name}" for name, n in sorted(table[truth].items()) if name != truth)
        right = f"  {truth:<26} {table[truth][truth]:>3} of {sum(table[truth].values()):<3} right"
        lines.append(right + (f"; else {wrong}" if wrong else ""))
    return numbers, "\n".join(lines) + "\n"


def share(cases, holds):
    return sum(map(holds, cases)) / max(1, len(cases))
