"""Public reports of runs that failed, rebuilt from what was told there and named before any diagnosis was seen.

None of them was looked at when rules were written. The practices below are sound ones that look odd to a recorder.
"""

import copy
import math
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from benchmarks.reports import Practice, Report, X, Y, accuracy, confirmed, explained, seeded
from gradutils.data import digit_sequences
from gradutils.recorder import Recorder

IMAGES = X.view(-1, 1, 8, 8)


def train(model, loss_at, optimizer, steps=200, *, clear=True, clip=None, after=None):
    """``loss_at(step)``, backward, the optimizer's step, a record. ``after(step)`` comes at the end of each step."""
    with Recorder(model) as recorder:
        for step in range(steps):
            if clear:
                optimizer.zero_grad()
            loss = loss_at(step)
            loss.backward()
            if clip is not None:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimizer.step()
            recorder.step(loss)
            if after is not None:
                after(step)
    return recorder.recording


def adam(model: nn.Module, lr: float = 2e-3, **options):
    return torch.optim.Adam(model.parameters(), lr, **options)


def mlp(*widths: int, activation=nn.ReLU) -> nn.Sequential:
    layers = [part for a, b in pairwise(widths) for part in (nn.Linear(a, b), activation())]
    return nn.Sequential(*layers[:-1])


def draw(size: int, among: int = len(X)) -> torch.Tensor:
    return torch.randint(among, (size,))


def gained(recording, base=None, last=8) -> float:
    """Share of the first losses, or of ``base``, that is gone at the end."""
    return 1 - (recording.loss_curve[-last:].mean() / (recording.loss_curve[:3].mean() if base is None else base)).item()


# Not a number


@seeded
def cox_without_events(faulty):
    x, w = torch.randn(4000, 10), torch.randn(10) / 3
    time = torch.empty(4000).exponential_() * torch.exp(-x @ w)
    event = (time < time.quantile(0.06)).float()  # the others are censored
    model = mlp(10, 32, 1)

    def loss_at(_):
        rows = draw(64, 4000)
        rows = rows[time[rows].argsort(descending=True)]
        risk, seen = model(x[rows]).squeeze(1), event[rows]
        events = seen.sum() if faulty else seen.sum().clamp(min=1)
        return -(seen * (risk - risk.logcumsumexp(0))).sum() / events

    recording = train(model, loss_at, adam(model), 250)
    with torch.no_grad():
        found = torch.corrcoef(torch.stack([model(x)[:, 0], x @ w]))[0, 1].item()
    return confirmed(recording, faulty, found, sick=-math.inf, well=0.5)


class ArcFace(nn.Module):
    """An embedding in the plane, and the cosines of its angles to the classes' directions."""

    def __init__(self):
        super().__init__()
        self.embed = mlp(64, 64, 2)
        self.directions = nn.Parameter(torch.randn(10, 2))

    def forward(self, x):
        return F.normalize(self.embed(x)) @ F.normalize(self.directions).T


@seeded
def arcface_sine(faulty):
    model, margin = ArcFace(), 0.1
    least = 0 if faulty else 1e-6

    def loss_at(_):
        rows = draw(64)
        cosine = model(X[rows])
        sine = (1 - cosine**2).clamp(least, 1).sqrt()
        shifted = cosine * math.cos(margin) - sine * math.sin(margin)
        one_hot = F.one_hot(Y[rows], 10)
        return F.cross_entropy(16 * (one_hot * shifted + (1 - one_hot) * cosine), Y[rows])

    recording = train(model, loss_at, adam(model, 5e-3))
    return confirmed(recording, faulty, gained(recording), sick=-math.inf, well=0.7)


@seeded
def objectness_logarithm(faulty):
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3),
        nn.LeakyReLU(0.1),
        nn.Conv2d(16, 32, 3),
        nn.LeakyReLU(0.1),
        nn.Flatten(),
        nn.Linear(512, 1),
    )
    there, tiny = (Y < 2).float(), 0 if faulty else 1e-7

    def loss_at(_):
        rows = draw(64)
        p, y = model(IMAGES[rows]).sigmoid().squeeze(1), there[rows]
        return -(y * (p + tiny).log() + (1 - y) * (1 - p + tiny).log()).mean()

    recording = train(model, loss_at, torch.optim.SGD(model.parameters(), 0.1, momentum=0.9))
    return confirmed(recording, faulty, gained(recording), sick=-math.inf, well=0.9)


# Weights do not move


class BirdsEye(nn.Module):
    """One trunk, and heads for the score, the position and the size of an object."""

    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(64, 64), nn.ReLU())
        self.score, self.position, self.size = nn.Linear(64, 1), nn.Linear(64, 2), nn.Linear(64, 3)

    def forward(self, x):
        features = self.trunk(x)
        return self.score(features), self.position(features), self.size(features)


@seeded
def line_left_from_a_test(faulty):
    model = BirdsEye()
    there = (Y < 5).float()[:, None]
    places, sizes = torch.tanh(X @ torch.randn(64, 2) / 8), torch.tanh(X @ torch.randn(64, 3) / 8)
    optimizer = adam(model)
    with Recorder(model) as recorder:
        for _ in range(200):
            optimizer.zero_grad()
            rows = draw(64)
            score, position, size = model(X[rows])
            of_score = F.binary_cross_entropy_with_logits(score, there[rows])
            total = of_score + F.mse_loss(position, places[rows]) + F.mse_loss(size, sizes[rows])
            (of_score if faulty else total).backward()
            optimizer.step()
            recorder.step(total)
    return confirmed(recorder.recording, faulty, gained(recorder.recording), sick=0.5, well=0.7)


class SequenceAutoencoder(nn.Module):
    def __init__(self, features=6, width=24):
        super().__init__()
        self.encode = nn.GRU(features, width, batch_first=True)
        self.decode = nn.GRU(width, width, batch_first=True)
        self.read = nn.Linear(width, features)

    def forward(self, x):
        _, code = self.encode(x)
        return self.read(self.decode(code[0][:, None].expand(-1, x.shape[1], -1))[0])


@seeded
def schedule_switched_off(faulty):
    t = torch.linspace(0, 6, 15)[:, None]
    poses = torch.sin(t * torch.rand(512, 1, 6) + 6 * torch.rand(512, 1, 6))
    model = SequenceAutoencoder()
    optimizer = adam(model, 3e-3)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=5, gamma=0.0 if faulty else 1.0)

    def loss_at(_):
        batch = poses[draw(32, 512)]
        return F.mse_loss(model(batch), batch)

    recording = train(
        model, loss_at, optimizer, after=lambda step: schedule.step() if step % 10 == 9 else None
    )
    return confirmed(recording, faulty, gained(recording), sick=0.45, well=0.5)


class Captioner(nn.Module):
    """Images and words in one space; the images' features are handed on by an extractor."""

    def __init__(self, detached):
        super().__init__()
        self.images = nn.Sequential(
            nn.Conv2d(1, 8, 3),
            nn.ReLU(),
            nn.Conv2d(8, 16, 3),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(256, 8),
            nn.ReLU(),
        )
        self.project, self.words, self.detached = nn.Linear(8, 16), nn.Embedding(10, 16), detached

    def forward(self, x):
        features = self.images(x)
        if self.detached:
            features = features.clone().detach()
        return F.normalize(self.project(features)) @ F.normalize(self.words.weight).T


@seeded
def extractor_detaches(faulty):
    model = Captioner(detached=faulty)

    def loss_at(_):
        rows = draw(64)
        return F.cross_entropy(10 * model(IMAGES[rows]), Y[rows])

    recording = train(model, loss_at, adam(model, 3e-3))
    return confirmed(recording, faulty, gained(recording), sick=0.75, well=0.9)


class Tagger(nn.Module):
    """Words to tags, with scores for a tag after another (a conditional random field)."""

    def __init__(self, words=40, tags=5, width=24):
        super().__init__()
        self.words = nn.Embedding(words, width)
        self.lstm = nn.LSTM(width, width, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(2 * width, tags)
        self.follows = nn.Parameter(0.1 * torch.randn(tags, tags))

    def forward(self, sentence, tags):
        scores = self.fc(self.lstm(self.words(sentence))[0])
        told = scores.gather(2, tags[..., None]).sum((1, 2)) + self.follows[tags[:, :-1], tags[:, 1:]].sum(1)
        all_ways = scores[:, 0]
        for t in range(1, scores.shape[1]):
            all_ways = (all_ways[:, :, None] + self.follows).logsumexp(1) + scores[:, t]
        return (all_ways.logsumexp(1) - told).mean()


def tagging(model, optimizer, steps=120):
    sentences = torch.randint(40, (512, 8))
    tags = (sentences + sentences.roll(1, 1)) % 5  # a word's tag depends on the word before it

    def loss_at(_):
        rows = draw(32, 512)
        return model(sentences[rows], tags[rows])

    return train(model, loss_at, optimizer, steps)


@seeded
def group_not_appended(faulty):
    model = Tagger()
    groups = [{"params": model.words.parameters()}, {"params": model.lstm.parameters()}]
    last = {"params": [*model.fc.parameters(), model.follows], "lr": 2e-2}
    if not faulty:
        groups.append(last)
    recording = tagging(model, torch.optim.AdamW(groups, 1e-2))
    return confirmed(recording, faulty, gained(recording), sick=0.4, well=0.7)


# The loss does not fit


@seeded
def masks_of_a_png(faulty):
    inked = (F.avg_pool2d(IMAGES, 3, 1, 1) > 0).float()
    masks = 255 * inked if faulty else inked
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 1, 1),
    )

    def loss_at(_):
        rows = draw(32)
        return F.binary_cross_entropy_with_logits(model(IMAGES[rows]), masks[rows])

    recording = train(model, loss_at, torch.optim.RMSprop(model.parameters(), 1e-3))
    return confirmed(recording, faulty, gained(recording, base=0.7), well=0.9)


@seeded
def sigmoid_before_cross_entropy(faulty):
    model = nn.Sequential(nn.Conv2d(1, 16, 3), nn.LeakyReLU(0.1), nn.Flatten(), nn.Linear(576, 10))

    def loss_at(_):
        rows = draw(64)
        out = model(IMAGES[rows])
        return F.cross_entropy(out.sigmoid() if faulty else out, Y[rows])

    recording = train(model, loss_at, adam(model, 1e-3))
    return confirmed(recording, faulty, gained(recording), sick=0.45, well=0.8)


@seeded
def softmax_over_the_batch(faulty):
    model = nn.Sequential(
        nn.Linear(4, 64), nn.LeakyReLU(), nn.Linear(64, 2), nn.Softmax(dim=0 if faulty else -1)
    )
    wise = torch.randn(4)

    def loss_at(_):
        states = torch.randn(24, 4) + 0.3 * wise
        with torch.no_grad():  # one state at a time, where axis 0 is right
            actions = torch.stack([torch.multinomial(model(state), 1) for state in states])
        reward = ((states @ wise > 0).long() == actions[:, 0]).float()
        taken = model(states).gather(1, actions)[:, 0]
        return -(reward * taken.log()).mean()

    recording = train(model, loss_at, adam(model, 5e-3), 120)
    return confirmed(recording, faulty, gained(recording), sick=0, well=0.5)


@seeded
def one_output_for_two_classes(faulty):
    x = torch.randn(2000, 2)
    y = (x.prod(1, keepdim=True) > 0).float()
    model = mlp(2, 32, 32, 1, activation=nn.Tanh)

    def loss_at(_):
        rows = draw(64, 2000)
        out = model(x[rows])
        return F.cross_entropy(out, y[rows]) if faulty else F.binary_cross_entropy_with_logits(out, y[rows])

    recording = train(model, loss_at, adam(model, 1e-2))
    with torch.no_grad():
        right = ((model(x) > 0) == (y > 0)).float().mean().item()
    return confirmed(recording, faulty, right, sick=0.75, well=0.9)


# Modes, parts, gradients


@seeded
def validation_leaves_eval(faulty):
    inked = (F.avg_pool2d(IMAGES, 3, 1, 1) > 0).long().squeeze(1)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Dropout2d(0.2), nn.Conv2d(16, 2, 1)
    )  # fmt: skip

    def loss_at(_):
        rows = draw(32, 1200)
        return F.cross_entropy(model(IMAGES[rows]), inked[rows])

    def validate(step):
        if step % 40 == 39:
            model.eval()
            with torch.no_grad():
                model(IMAGES[1200:])
            if not faulty:
                model.train()

    recording = train(model, loss_at, torch.optim.SGD(model.parameters(), 0.05, momentum=0.9), after=validate)
    return confirmed(recording, faulty, gained(recording), well=0.8)


class ImplicitImage(nn.Module):
    """Coordinates to a colour through residual parts, each with its own frequencies."""

    def __init__(self, listed):
        super().__init__()
        parts = [nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32)) for _ in range(6)]
        self.lift, self.read = nn.Linear(18, 32), nn.Linear(32, 1)
        self.parts = parts if listed else nn.ModuleList(parts)

    def forward(self, place):
        angles = torch.cat([place * 2.0**k for k in range(4)], 1)
        features = self.lift(torch.cat([place, angles.sin(), angles.cos()], 1))
        for part in self.parts:
            features = features + part(features.relu())
        return self.read(features)


@seeded
def parts_in_a_list(faulty):
    place = 2 * torch.rand(4096, 2) - 1
    colour = torch.sin(6 * place[:, :1]) * torch.cos(9 * place[:, 1:] * place[:, :1])
    model = ImplicitImage(listed=faulty)

    def loss_at(_):
        rows = draw(128, 4096)
        return F.mse_loss(model(place[rows]), colour[rows])

    recording = train(model, loss_at, adam(model))
    return confirmed(recording, faulty, gained(recording), sick=0.85, well=0.95)


@seeded
def court_keypoints(faulty):
    corner = torch.randint(1, 7, (1024, 2))
    grid = torch.stack(torch.meshgrid(torch.arange(8), torch.arange(8), indexing="ij"))
    heat = torch.exp(-((grid[None] - corner[:, :, None, None]) ** 2).sum(1, keepdim=True) / 2.0)
    picture = (grid[None] == corner[:, :, None, None]).all(1, keepdim=True) + 0.1 * torch.randn(1024, 1, 8, 8)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.BatchNorm2d(16),
        nn.Conv2d(16, 16, 5, padding=2),
        nn.ReLU(),
        nn.BatchNorm2d(16),
        nn.Conv2d(16, 1, 3, padding=1),
    )

    def loss_at(_):
        rows = draw(32, 1024)
        return F.mse_loss(model(picture[rows]), heat[rows])

    recording = train(model, loss_at, adam(model, 1e-2), clear=not faulty)
    return confirmed(recording, faulty, gained(recording), sick=0, well=0.9)


# Rates, initialisation, scale of the data


@seeded
def rate_of_a_tagger(faulty):
    model = Tagger()
    recording = tagging(model, adam(model, 0.3 if faulty else 1e-2))
    return confirmed(recording, faulty, gained(recording, base=8 * math.log(5)), sick=0.2, well=0.6)


@seeded
def gaussian_with_a_typo(faulty):
    widths = (1, 32, 32, 32, 32, 32, 32, 1)
    layers = [
        part for a, b in pairwise(widths) for part in (nn.Conv2d(a, b, 3, padding=1), nn.LeakyReLU(0.2))
    ]
    model = nn.Sequential(*layers[:-1])
    for layer in model[::2]:
        nn.init.normal_(layer.weight, 0, 0.2 if faulty else 0.02)
        nn.init.zeros_(layer.bias)

    def loss_at(_):
        stained = IMAGES[draw(16)]
        return F.l1_loss(model(stained), -stained)

    recording = train(model, loss_at, adam(model, 1e-3), 150)
    return confirmed(recording, faulty, gained(recording, base=IMAGES.abs().mean()), sick=0.2, well=0.6)


@seeded
def vgg_from_scratch(faulty):
    layers: list[nn.Module] = []
    for i in range(16):
        layers += [nn.Conv2d(16 if i else 1, 16, 3, padding=1), nn.ReLU()]
        if i in (5, 10):
            layers.append(nn.MaxPool2d(2))
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(64, 10))
    if not faulty:
        for layer in model:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")

    def loss_at(_):
        rows = draw(32)
        return F.cross_entropy(model(IMAGES[rows]), Y[rows])

    recording = train(
        model, loss_at, torch.optim.SGD(model.parameters(), 0.01, momentum=0.9, weight_decay=5e-4), 220
    )
    return confirmed(recording, faulty, gained(recording), sick=0.1, well=0.35)


@seeded
def cooling_cup(faulty):
    rate, around, start = 0.005, 25.0, 100.0
    seconds, degrees = (1.0, 1.0) if faulty else (1000.0, 100.0)
    t_seen = torch.linspace(0, 300, 10)[:, None]
    seen = around + (start - around) * torch.exp(-rate * t_seen) + torch.randn(10, 1)
    t_inside = torch.linspace(0, 1000, 64)[:, None] / seconds
    model = mlp(1, 32, 32, 1, activation=nn.Tanh)

    def loss_at(_):
        t = t_inside.clone().requires_grad_()
        u = model(t)
        (slope,) = torch.autograd.grad(u.sum(), t, create_graph=True)
        physics = (slope / seconds - rate * (around / degrees - u)) / rate
        return F.mse_loss(model(t_seen / seconds), seen / degrees) + 0.1 * (physics**2).mean()

    recording = train(model, loss_at, adam(model, 1e-2), 250)
    t = torch.linspace(0, 1000, 50)[:, None]
    truth = around + (start - around) * torch.exp(-rate * t)
    missed = (degrees * model(t / seconds) - truth).square().mean() / truth.var()
    return confirmed(recording, faulty, 1 - missed.item(), sick=0.5, well=0.9)


class GraphNetwork(nn.Module):
    """Two rounds of messages along ``links``."""

    def __init__(self, links, features=50):
        super().__init__()
        self.links, self.first, self.second = links, nn.Linear(features, 16), nn.Linear(16, 5)

    def forward(self, x):
        return self.links @ self.second(F.dropout(F.relu(self.links @ self.first(x)), 0.5, self.training))


@seeded
def links_as_they_are(faulty):
    subject = torch.randint(5, (600,))
    # a few papers have most of the links
    cited = torch.distributions.Pareto(1.0, 1.2).sample((600,)).clamp(max=150)
    alike = torch.where(subject[:, None] == subject, 1.0, 0.12)
    links = (torch.rand(600, 600) < 0.004 * alike * cited[:, None] * cited).float().triu(1)
    links = links + links.T
    if not faulty:
        links = links + torch.eye(600)
        root = links.sum(1).rsqrt()
        links = root[:, None] * links * root
    words = (torch.rand(600, 50) < 0.02 + 0.08 * torch.rand(5, 50)[subject] ** 3).float()
    model, known = GraphNetwork(links), torch.randperm(600)[:100]

    def loss_at(_):
        return F.cross_entropy(model(words)[known], subject[known])

    recording = train(model, loss_at, adam(model, 1e-2, weight_decay=5e-4))
    with torch.no_grad():
        right = (model.eval()(words).argmax(1) == subject).float().mean().item()
    return confirmed(recording, faulty, right, sick=0.76, well=0.7)


class Forecaster(nn.Module):
    def __init__(self, features, width=32):
        super().__init__()
        self.lstm, self.read = nn.LSTM(features, width, batch_first=True), nn.Linear(width, 1)

    def forward(self, x):
        return self.read(self.lstm(x)[0][:, -1])


@seeded
def trade_in_millions(faulty):
    week = torch.arange(600.0)
    oil = 80 + 15 * torch.sin(week / 9) + 3 * torch.randn(600)
    volume = 8e6 + 2e6 * torch.cos(week / 13) + 2e5 * torch.randn(600)
    trade = 4e4 + 300 * oil + 1e-3 * volume + 500 * torch.randn(600)
    series = torch.stack([oil, volume, trade], 1)
    if not faulty:
        series = (series - series.mean(0)) / series.std(0)
    windows = series.unfold(0, 13, 1).transpose(1, 2)
    model = Forecaster(3)

    def loss_at(_):
        rows = draw(32, len(windows))
        return F.mse_loss(model(windows[rows, :12]), windows[rows, 12, 2:])

    recording = train(model, loss_at, adam(model, 1e-2))
    return confirmed(recording, faulty, gained(recording), sick=0.1, well=0.7)


# Collapses


@seeded
def decay_of_a_half(faulty):
    joints = torch.tanh(X @ torch.randn(64, 6) / 4)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(256, 64),
        nn.ReLU(),
        nn.Linear(64, 6),
    )
    optimizer = torch.optim.SGD(model.parameters(), 0.02, momentum=0.9, weight_decay=0.5 if faulty else 5e-4)

    def loss_at(_):
        rows = draw(32)
        return F.mse_loss(model(IMAGES[rows]), joints[rows])

    recording = train(model, loss_at, optimizer)
    return confirmed(recording, faulty, gained(recording), sick=0.5, well=0.75)


@seeded
def hardest_negative(faulty):
    model = mlp(64, 128, 128, 32)

    def loss_at(_):
        rows = draw(64)
        one, other = (model(X[rows] + torch.randn(64, 64)) for _ in range(2))
        distance = torch.cdist(one, other)
        others = distance + 1e6 * torch.eye(64)
        negative = others.amin(1) if faulty else others.topk(32, largest=False).values.mean(1)
        return F.relu(distance.diagonal() - negative + 1.0).mean()

    recording = train(model, loss_at, adam(model, 1e-2))
    return confirmed(recording, faulty, gained(recording, base=1), sick=0.1, well=0.4)


class ProjectedLSTM(nn.Module):
    def __init__(self, scale):
        super().__init__()
        self.lstm, self.read = nn.LSTM(4, 48, proj_size=16, batch_first=True), nn.Linear(16, 10)
        for name, weight in self.lstm.named_parameters():
            if "weight" in name:
                nn.init.normal_(weight, 0, scale)

    def forward(self, x):
        return self.read(self.lstm(x)[0][:, -1])


@seeded
def long_sequences(faulty):
    x, y, _, _ = digit_sequences(pixels=4)
    model = ProjectedLSTM(0.3)
    optimizer = torch.optim.SGD(model.parameters(), 0.2, momentum=0.9)

    def loss_at(_):
        rows = draw(32)
        return F.cross_entropy(model(x[rows]), y[rows])

    recording = train(model, loss_at, optimizer, clip=None if faulty else 1.0)
    return confirmed(recording, faulty, gained(recording, base=math.log(10)), sick=0, well=0.5)


@seeded
def summed_over_a_large_batch(faulty):
    model = mlp(64, 128, 128, 10)
    optimizer = torch.optim.SGD(model.parameters(), 1e-2 if faulty else 0.2)

    def loss_at(_):
        rows = draw(512)
        return F.cross_entropy(model(X[rows]), Y[rows], reduction="sum" if faulty else "mean")

    recording = train(model, loss_at, optimizer, 150)
    return confirmed(recording, faulty, gained(recording, base=recording.loss_curve[0]), sick=0.2, well=0.8)


@seeded
def sum_of_five_numbers(faulty):
    x = torch.randint(1, 10, (1000, 5)).float()
    y = x.sum(1, keepdim=True)
    if not faulty:
        x, y = (x - 5) / 2.6, (y - 25) / 5.8
    model = mlp(5, 2 if faulty else 32, 1)

    def loss_at(_):
        rows = draw(16, 1000)
        return F.mse_loss(model(x[rows]), y[rows])

    recording = train(model, loss_at, torch.optim.SGD(model.parameters(), 0.01))
    return confirmed(recording, faulty, gained(recording, base=y.var(), last=50), sick=0.3, well=0.8)


class Pruned(nn.Module):
    """A click's probability from embeddings that a learnt threshold prunes."""

    def __init__(self, start):
        super().__init__()
        self.embed = nn.Embedding(200, 8)
        nn.init.normal_(self.embed.weight, 0, 0.3)
        self.threshold = nn.Parameter(torch.full((200, 8), start))
        self.read = mlp(32, 32, 1)

    def forward(self, fields):
        v = self.embed.weight
        sparse = v.sign() * F.relu(v.abs() - self.threshold.sigmoid())
        return self.read(F.embedding(fields, sparse).flatten(1))


@seeded
def threshold_never_learns(faulty):
    fields = torch.randint(50, (4000, 4)) + 50 * torch.arange(4)
    worth = torch.randn(200)
    clicked = (worth[fields].sum(1) + 0.3 * torch.randn(4000) > 0).float()
    start = -150.0 if faulty else -3.0
    model = Pruned(start)

    def loss_at(_):
        rows = draw(128, 4000)
        return F.binary_cross_entropy_with_logits(model(fields[rows]).squeeze(1), clicked[rows])

    recording = train(model, loss_at, adam(model, 1e-2))
    return confirmed(recording, faulty, (model.threshold - start).abs().max().item(), sick=0, well=0.1)


class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru, self.read = nn.GRU(8, 32, batch_first=True), nn.Linear(32, 6)

    def forward(self, x):
        return self.read(self.gru(x)[0]).log_softmax(-1)


@seeded
def labels_longer_than_the_sound(faulty):
    letters, sounds = torch.randint(1, 6, (512, 6)), torch.randn(6, 8)
    heard = sounds[letters]
    # strides leave half a frame a letter, where three leave room for the blanks
    heard = heard[:, ::2] if faulty else heard.repeat_interleave(3, 1)
    heard = heard + 0.1 * torch.randn_like(heard)
    model, ctc = Reader(), nn.CTCLoss(zero_infinity=True)

    def loss_at(_):
        rows = draw(32, 512)
        frames, wanted = torch.full((32,), heard.shape[1]), torch.full((32,), 6)
        return ctc(model(heard[rows]).transpose(0, 1), letters[rows], frames, wanted)

    recording = train(model, loss_at, adam(model, 1e-2))
    return confirmed(recording, faulty, gained(recording), sick=-math.inf, well=0.9)


# What no recording tells


@seeded
def normalised_over_the_batch(faulty):
    model = mlp(64, 128, 32)

    def unit(z):
        return z / z.norm() if faulty else F.normalize(z)

    def loss_at(_):
        rows = draw(64)
        one, other = (unit(model(X[rows] + 0.3 * torch.randn(64, 64))) for _ in range(2))
        return F.cross_entropy(one @ other.T / 0.1, torch.arange(64))

    recording = train(model, loss_at, adam(model, 1e-3))
    return confirmed(recording, faulty, gained(recording), sick=0.1, well=0.7)


class SmallGPT(nn.Module):
    """One head, two blocks; the scores are made weights along ``axis``."""

    def __init__(self, axis, words=12, width=32, length=16):
        super().__init__()
        self.axis, self.words, self.places = axis, nn.Embedding(words, width), nn.Embedding(length, width)
        self.mix = nn.ModuleList(nn.Linear(width, 3 * width) for _ in range(2))
        self.think = nn.ModuleList(mlp(width, 4 * width, width) for _ in range(2))
        self.read = nn.Linear(width, words)
        self.register_buffer("future", torch.ones(length, length).triu(1).bool())

    def forward(self, text):
        x = self.words(text) + self.places.weight
        for mix, think in zip(self.mix, self.think, strict=True):
            q, k, v = mix(F.layer_norm(x, x.shape[-1:])).chunk(3, -1)
            scores = (q @ k.transpose(1, 2) / q.shape[-1] ** 0.5).masked_fill(self.future, -torch.inf)
            x = x + scores.softmax(self.axis) @ v
            x = x + think(F.layer_norm(x, x.shape[-1:]))
        return self.read(x)


@seeded
def attention_along_the_wrong_axis(faulty):
    text = (torch.randint(12, (2048, 1)) + torch.randint(1, 3, (2048, 17)).cumsum(1)) % 12  # one bit a letter
    model = SmallGPT(axis=-2 if faulty else -1)

    def loss_at(_):
        rows = draw(32, 2048)
        return F.cross_entropy(model(text[rows, :-1]).flatten(0, 1), text[rows, 1:].flatten())

    recording = train(model, loss_at, adam(model, 3e-3), 150)
    last = recording.loss_curve[-8:].mean().item()  # no honest model is below log 2
    return confirmed(recording, faulty, last, sick=0.6, well=0.6)


@seeded
def sorted_by_class(faulty):
    order = Y.argsort(stable=True)
    model = mlp(64, 64, 10)

    def loss_at(step):
        rows = order[torch.arange(16 * step, 16 * step + 16) % len(X)] if faulty else draw(16)
        return F.cross_entropy(model(X[rows]), Y[rows])

    recording = train(model, loss_at, adam(model, 5e-3), 175)  # two epochs
    return confirmed(recording, faulty, accuracy(model), sick=0.6, well=0.85)


REPORTS = (
    Report("cox without events", "liupei101/TFDeepSurv#15", "the loss of survival times is divided by the number of events in the batch, which is 0 now and then", "not a number", (), cox_without_events),
    Report("arcface sine", "ronghuaiyang/arcface-pytorch#91", "the root of 1 - cos² has an infinite slope where a feature meets its class's direction", "not a number", (), arcface_sine),
    Report("objectness logarithm", "miemie2013/Paddle-DIOU-YOLOv3#1", "a hand-written cross entropy takes log(0) once the sigmoid rounds to 1", "not a number", (), objectness_logarithm),
    Report("line left from a test", "tom-roddick/oft#6", "only the loss of the score goes backward, so two heads get no gradient", "weights do not move", (), line_left_from_a_test),
    Report("schedule switched off", "LINCellularNeuroscience/VAME#26", "switched off, the schedule multiplies the rate by 0 instead of by 1", "weights do not move", (), schedule_switched_off),
    Report("extractor detaches", "lucidrains/CoCa-pytorch#6", "the extractor detaches the features, so no gradient reaches the images' encoder", "weights do not move", (), extractor_detaches),
    Report("group not appended", "zjunlp/HVPNeT#5", "the group with the classifier and the transitions is never given to the optimizer", "weights do not move", (), group_not_appended),
    Report("masks of a PNG", "milesial/Pytorch-UNet#78", "masks of 0 and 255 under a binary cross entropy, which has then no lower bound", "loss does not fit the outputs", ("targets not normalised",), masks_of_a_png),
    Report("sigmoid before cross entropy", "eriklindernoren/PyTorch-YOLOv3#108", "a sigmoid stands before a loss that takes logits", "loss does not fit the outputs", (), sigmoid_before_cross_entropy),
    Report("softmax over the batch", "DeepReinforcementLearning/DeepReinforcementLearningInAction#32", "the policy's softmax runs over the states of the batch, not over the actions", "loss does not fit the outputs", (), softmax_over_the_batch),
    Report("one output for two classes", "darioizzo/dcgp#86", "the cross entropy of a single class is 0 whatever the output is", "loss does not fit the outputs", ("zero gradient", "weights do not move"), one_output_for_two_classes),
    Report("validation leaves eval", "wkentaro/pytorch-fcn#57", "after the first validation the model stays in eval mode", "evaluation mode", (), validation_leaves_eval),
    Report("parts in a list", "LianpoWang/SLIIF#13", "residual parts in a plain list, which the optimizer never sees", "parts not registered", (), parts_in_a_list),
    Report("court keypoints", "yastrebksv/TennisCourtDetector#7", "zero_grad is missing", "gradients not cleared", (), court_keypoints),
    Report("rate of a tagger", "guillaumegenthial/sequence_tagging#47", "a rate far above the one that works", "learning rate too high", ("relapse",), rate_of_a_tagger),
    Report("Gaussian with a typo", "sophiajw/HistAuGAN#7", "weights drawn with 0.2 in place of 0.02", "init too large", (), gaussian_with_a_typo),
    Report("VGG from scratch", "facebookarchive/fbcunn#75", "a deep VGG with torch's default weights, which shrink the signal in each layer", "init too small", ("dead signal",), vgg_from_scratch),
    Report("links as they are", "sufeidechabei/graphnets_gcn#1", "messages are summed over up to hundreds of links, and no degree divides them", "init too large", ("inputs not normalised",), links_as_they_are),
    Report("cooling cup", "TheodoreWolf/pinns#3", "seconds to 1000 in, degrees to 100 out of a physics-informed network", "inputs not normalised", ("targets not normalised", "saturated"), cooling_cup),
    Report("trade in millions", "dhopp1/nowcast_lstm#12", "targets near 70,000 (and inputs of very different units) for an LSTM", "targets not normalised", ("inputs not normalised",), trade_in_millions),
    Report("decay of a half", "BVLC/caffe#1396", "a weight decay of 0.5 takes all weights to 0", "one answer", ("dead signal", "zero gradient"), decay_of_a_half),
    Report("hardest negative", "wanggrun/triplet#1", "with the hardest negative alone all embeddings fall into one point", "one answer", (), hardest_negative),
    Report("long sequences", "Marcovaldong/lstmp.pytorch#2", "an LSTM with projection on long sequences, its gradients not clipped to 1", "recurrent explosion", ("init too large", "learning rate too high"), long_sequences),
    Report("summed over a large batch", "jax-ml/jax#3113", "the loss is summed over the batch, and the batch became large", "loss summed", ("learning rate too high",), summed_over_a_large_batch),
    Report("sum of five numbers", "ai.stackexchange.com/questions/28864", "both hidden ReLUs die on raw inputs, and the bias alone answers", "dead units", ("zero gradient", "one answer", "inputs not normalised", "learning rate too high"), sum_of_five_numbers),
    Report("threshold never learns", "ssui-liu/learnable-embed-sizes-for-RecSys#4", "a threshold begins at sigmoid(-150), whose slope is 0", "zero gradient", ("weights do not move", "saturated"), threshold_never_learns),
    Report("labels longer than the sound", "SeanNaren/warp-ctc#59", "fewer frames than letters: no path exists, and the loss is 0", "zero gradient", ("weights do not move", "loss does not fit the outputs"), labels_longer_than_the_sound),
    Report("normalised over the batch", "tensorflow/similarity#237", "embeddings divided by the norm of the whole batch: all similarities are near 0", "", ("loss does not fit the outputs", "init too small"), normalised_over_the_batch),
    Report("attention along the wrong axis", "karpathy/ng-video-lecture#42", "the softmax of the scores runs over the queries, and the future leaks in", "", (), attention_along_the_wrong_axis),
    Report("sorted by class", "google-research/bert#324", "the data are sorted by class and not shuffled", "", ("one answer", "relapse", "loss does not fit the outputs"), sorted_by_class),
)  # fmt: skip


# Practices: odd to look at, sound, and each of them learns


def learns(recording, score, well):
    return [confirmed(recording, False, score, well=well)]


@seeded
def siamese():
    model = mlp(64, 64, 16)

    def loss_at(_):
        one, other = draw(64), draw(64)
        other[::2] = torch.stack(
            [(Y[row] == Y).nonzero()[draw(1, int((Y[row] == Y).sum())), 0] for row in one[::2]]
        )[:, 0]
        same = (Y[one] == Y[other]).float()
        distance = (model(X[one]) - model(X[other])).norm(dim=1)
        return (same * distance**2 + (1 - same) * F.relu(2 - distance) ** 2).mean()

    recording = train(model, loss_at, adam(model), 150)
    return learns(recording, gained(recording), 0.5)


class LowRank(nn.Module):
    def __init__(self, linear, rank=4):
        super().__init__()
        self.linear = linear.requires_grad_(False)
        self.down = nn.Parameter(torch.randn(rank, linear.in_features) / linear.in_features**0.5)
        self.up = nn.Parameter(torch.zeros(linear.out_features, rank))

    def forward(self, x):
        return self.linear(x) + x @ self.down.T @ self.up.T


@seeded
def low_rank_adapters():
    model = mlp(64, 128, 128, 10)
    pretraining = adam(model)
    for _ in range(150):
        rows = draw(64)
        pretraining.zero_grad()
        F.cross_entropy(model(X[rows]), Y[rows]).backward()
        pretraining.step()
    for i in (0, 2, 4):
        model[i] = LowRank(model[i])
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 2e-3)

    def loss_at(_):
        rows = draw(64)
        return F.cross_entropy(model(X[rows].flip(1)), Y[rows])  # the digits upside down

    recording = train(model, loss_at, optimizer)
    return learns(recording, gained(recording), 0.8)


@seeded
def thawed_layer_by_layer():
    model = mlp(64, 64, 64, 10)
    for layer in (model[0], model[2]):
        layer.requires_grad_(False)

    def loss_at(_):
        rows = draw(64)
        return F.cross_entropy(model(X[rows]), Y[rows])

    def thaw(step):
        if step in (60, 120):
            model[2 if step == 60 else 0].requires_grad_(True)

    recording = train(model, loss_at, adam(model), after=thaw)
    return learns(recording, accuracy(model), 0.85)


@seeded
def mean_teacher():
    model = mlp(64, 128, 10)
    teacher = copy.deepcopy(model).requires_grad_(False)

    def loss_at(step):
        known, unknown = draw(32, 100), draw(64)  # only 100 digits have labels
        wanted = teacher(X[unknown] + 0.3 * torch.randn(64, 64)).softmax(1)
        said = model(X[unknown] + 0.3 * torch.randn(64, 64)).softmax(1)
        return F.cross_entropy(model(X[known]), Y[known]) + min(step / 50, 1) * F.mse_loss(said, wanted)

    @torch.no_grad()
    def follow(_):
        for slow, fast in zip(teacher.parameters(), model.parameters(), strict=True):
            slow.lerp_(fast, 0.05)

    recording = train(model, loss_at, adam(model), after=follow)
    return learns(recording, accuracy(teacher), 0.7)


@seeded
def mixup():
    model = mlp(64, 128, 10)

    def loss_at(_):
        one, other, share = draw(64), draw(64), torch.distributions.Beta(0.4, 0.4).sample()
        out = model(share * X[one] + (1 - share) * X[other])
        return share * F.cross_entropy(out, Y[one]) + (1 - share) * F.cross_entropy(out, Y[other])

    recording = train(model, loss_at, adam(model))
    return learns(recording, accuracy(model), 0.85)


@seeded
def quantiles():
    x = 4 * torch.rand(4000, 1) - 2
    y = torch.sin(2 * x) + (0.1 + 0.4 * x.abs()) * torch.randn(4000, 1)
    model, shares = mlp(1, 64, 64, 3), torch.tensor([0.05, 0.5, 0.95])

    def pinball(above):
        return torch.maximum(shares * above, (shares - 1) * above).mean()

    def loss_at(_):
        rows = draw(64, 4000)
        return pinball(y[rows] - model(x[rows]))

    recording = train(model, loss_at, adam(model, 5e-3))
    constant = pinball(y - y.quantile(shares))
    return learns(recording, gained(recording, base=constant, last=20), 0.3)


@seeded
def counts():
    x, w = torch.randn(4000, 8), torch.randn(8) / 4
    y = torch.poisson(torch.exp(1.5 + x @ w))
    model = mlp(8, 32, 1)

    def loss_at(_):
        rows = draw(64, 4000)
        return F.poisson_nll_loss(model(x[rows]).squeeze(1), y[rows])

    recording = train(model, loss_at, adam(model, 5e-3))
    with torch.no_grad():
        return learns(recording, torch.corrcoef(torch.stack([model(x)[:, 0], x @ w]))[0, 1].item(), 0.9)


class Checkpointed(nn.Module):
    def __init__(self):
        super().__init__()
        self.inside = nn.Linear(64, 64)
        self.blocks = nn.ModuleList(nn.Sequential(nn.LayerNorm(64), mlp(64, 64, 64)) for _ in range(4))
        self.read = nn.Linear(64, 10)

    def forward(self, x):
        x = self.inside(x)
        for block in self.blocks:
            x = x + checkpoint(block, x, use_reentrant=False)
        return self.read(x)


@seeded
def checkpointing():
    model = Checkpointed()

    def loss_at(_):
        rows = draw(32)
        return F.cross_entropy(model(X[rows]), Y[rows])

    recording = train(model, loss_at, adam(model, 1e-3), 120)
    return learns(recording, accuracy(model), 0.85)


@seeded
def growing_sequences():
    model = nn.Sequential(nn.GRU(1, 32, batch_first=True), Last(), nn.Linear(32, 1))

    def loss_at(step):
        numbers = torch.rand(64, 2 + step // 25, 1) * (1 + step / 100)  # longer and larger as it goes on
        return F.mse_loss(model(numbers), numbers.sum(1))

    recording = train(model, loss_at, adam(model, 5e-3))
    numbers = 3 * torch.rand(500, 9, 1)
    return learns(recording, explained(model, numbers, numbers.sum(1)), 0.7)


class Last(nn.Module):
    def forward(self, out):
        return out[0][:, -1]


@seeded
def cyclic_rate():
    model = mlp(64, 64, 10)
    optimizer = torch.optim.SGD(model.parameters(), 1e-3, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CyclicLR(optimizer, 1e-3, 0.3, step_size_up=25)

    def loss_at(_):
        rows = draw(64)
        return F.cross_entropy(model(X[rows]), Y[rows])

    recording = train(model, loss_at, optimizer, after=lambda _: schedule.step())
    return learns(recording, accuracy(model), 0.85)


@seeded
def warm_restarts():
    model = mlp(64, 64, 10)
    optimizer = adam(model, 1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=30, T_mult=2)

    def loss_at(_):
        rows = draw(64)
        return F.cross_entropy(model(X[rows]), Y[rows])

    recording = train(model, loss_at, optimizer, 210, after=lambda _: schedule.step())
    return learns(recording, accuracy(model), 0.85)


@seeded
def large_batch():
    model = mlp(64, 128, 128, 10)
    optimizer = torch.optim.SGD(model.parameters(), 0.2, momentum=0.9, nesterov=True)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 0.01, total_iters=30)

    def loss_at(_):
        rows = draw(1024)
        return F.cross_entropy(model(X[rows]), Y[rows])

    recording = train(model, loss_at, optimizer, 100, after=lambda _: schedule.step())
    return learns(recording, accuracy(model), 0.9)


class Tied(nn.Module):
    """The matrix that embeds a word also scores it."""

    def __init__(self, words=60, width=32):
        super().__init__()
        self.words, self.lstm, self.read = (
            nn.Embedding(words, width),
            nn.LSTM(width, width, batch_first=True),
            nn.Linear(width, words),
        )
        nn.init.normal_(self.words.weight, 0, 0.1)
        self.read.weight = self.words.weight

    def forward(self, text):
        return self.read(self.lstm(self.words(text))[0])


@seeded
def tied_weights():
    text = (torch.randint(60, (1024, 1)) + torch.randint(1, 4, (1024, 9)).cumsum(1)) % 60
    model = Tied()

    def loss_at(_):
        rows = draw(32, 1024)
        return F.cross_entropy(model(text[rows, :-1]).flatten(0, 1), text[rows, 1:].flatten())

    recording = train(model, loss_at, adam(model, 1e-2))
    return learns(recording, gained(recording), 0.5)


class Matched(nn.Module):
    """How well a user and an item go together, by sparse embeddings and a dense head."""

    def __init__(self):
        super().__init__()
        self.users, self.items = nn.Embedding(2000, 8, sparse=True), nn.Embedding(300, 8, sparse=True)
        self.read = mlp(16, 32, 1)

    def forward(self, user, item):
        return self.read(torch.cat([self.users(user), self.items(item)], 1)).squeeze(1)


@seeded
def sparse_embeddings():
    model, kind, taste = Matched(), torch.randn(2000), torch.randn(300)
    of_tables = torch.optim.SparseAdam([*model.users.parameters(), *model.items.parameters()], 3e-2)
    of_head = adam(model.read, 3e-3)
    with Recorder(model) as recorder:
        for _ in range(200):
            of_tables.zero_grad()
            of_head.zero_grad()
            user, item = draw(256, 2000), draw(256, 300)
            liked = (kind[user] + taste[item] > 0).float()
            loss = F.binary_cross_entropy_with_logits(model(user, item), liked)
            loss.backward()
            of_tables.step()
            of_head.step()
            recorder.step(loss)
    return learns(recorder.recording, gained(recorder.recording), 0.3)


class ActorCritic(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk, self.policy, self.value = mlp(6, 64, 64), nn.Linear(64, 4), nn.Linear(64, 1)

    def forward(self, state):
        features = self.trunk(state).tanh()
        return torch.distributions.Categorical(logits=self.policy(features)), self.value(features).squeeze(-1)


@seeded
def proximal_policy():
    model, wise = ActorCritic(), torch.randn(6, 4)
    optimizer = adam(model, 3e-3)
    rewards = []
    with Recorder(model) as recorder:
        for _ in range(25):
            state = torch.randn(256, 6)
            with torch.no_grad():
                policy, value = model(state)
                action = policy.sample()
                before = policy.log_prob(action)
            reward = (action == (state @ wise).argmax(1)).float()
            rewards.append(reward.mean().item())
            advantage = (reward - value - (reward - value).mean()) / (reward - value).std()
            for rows in torch.randperm(256).chunk(8):
                policy, value = model(state[rows])
                ratio = torch.exp(policy.log_prob(action[rows]) - before[rows])
                surrogate = torch.minimum(
                    ratio * advantage[rows], ratio.clamp(0.8, 1.2) * advantage[rows]
                ).mean()
                loss = -surrogate + 0.5 * F.mse_loss(value, reward[rows]) - 0.01 * policy.entropy().mean()
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 0.5)
                optimizer.step()
                recorder.step(loss)
    return learns(recorder.recording, sum(rewards[-3:]) / 3, 0.6)


class Flow(nn.Module):
    """Four affine couplings of the plane."""

    def __init__(self):
        super().__init__()
        self.couplings = nn.ModuleList(mlp(1, 32, 2, activation=nn.Tanh) for _ in range(6))

    def forward(self, x):
        volume = torch.zeros(len(x))
        for k, coupling in enumerate(self.couplings):
            kept, moved = x[:, k % 2, None], x[:, 1 - k % 2, None]
            scale, shift = coupling(kept).chunk(2, 1)
            scale = 2 * torch.tanh(scale)
            moved = moved * scale.exp() + shift
            volume = volume + scale[:, 0]
            x = torch.cat([kept, moved] if k % 2 == 0 else [moved, kept], 1)
        return -0.5 * (x**2).sum(1) - math.log(2 * math.pi) + volume


@seeded
def flow_with_a_negative_loss():
    model = Flow()

    def loss_at(_):
        angle = math.pi * torch.rand(128)
        return -model(0.2 * torch.stack([angle.cos(), angle.sin()], 1) + 0.02 * torch.randn(128, 2)).mean()

    recording = train(model, loss_at, adam(model, 5e-3))
    return learns(recording, -recording.loss_curve[-8:].mean().item(), 1.5)


@seeded
def noisy_labels():
    model = mlp(64, 128, 10)
    wrong = torch.rand(len(Y)) < 0.4
    labels = torch.where(wrong, torch.randint(10, Y.shape), Y)

    def loss_at(_):
        rows = draw(64)
        return F.cross_entropy(model(X[rows]), labels[rows])

    recording = train(model, loss_at, adam(model, 1e-3), 150)
    return learns(recording, accuracy(model), 0.8)


@seeded
def heavy_tails():
    x, w = torch.randn(4000, 8), torch.randn(8, 1)
    noise = torch.distributions.StudentT(1.5).sample((4000, 1))
    model = mlp(8, 64, 1)

    def loss_at(_):
        rows = draw(64, 4000)
        return F.huber_loss(model(x[rows]), torch.sin(x[rows] @ w) + x[rows] @ w + 0.3 * noise[rows])

    recording = train(model, loss_at, adam(model, 5e-3))
    return learns(recording, explained(model, x, torch.sin(x @ w) + x @ w), 0.8)


@seeded
def rare_labels():
    x, w = torch.randn(8000, 20), F.normalize(torch.randn(20, 30), dim=0)
    y = (x @ w + 0.2 * torch.randn(8000, 30) > 2).float()  # each of 30 labels on one row in 45
    model = mlp(20, 64, 30)

    def loss_at(_):
        rows = draw(128, 8000)
        return F.binary_cross_entropy_with_logits(model(x[rows]), y[rows])

    recording = train(model, loss_at, adam(model, 5e-3))
    rate = y.mean()
    constant = -(rate * rate.log() + (1 - rate) * (1 - rate).log())
    return learns(recording, gained(recording, base=constant), 0.3)


PRACTICES = (
    Practice("siamese", "one encoder called twice a step under a contrastive loss", siamese),
    Practice("low-rank adapters", "LoRA: frozen weights, and a factor that begins at 0", low_rank_adapters),
    Practice("thawed layer by layer", "two of three layers are frozen at first, and thawed one after the other", thawed_layer_by_layer),
    Practice("mean teacher", "a consistency loss, whose weight grows, against a moving average of the student", mean_teacher),
    Practice("mixup", "mixed inputs under two labels, so the loss stays high", mixup),
    Practice("quantiles", "three quantiles by the pinball loss, two of them far out", quantiles),
    Practice("counts", "a Poisson likelihood, whose loss is negative", counts),
    Practice("checkpointing", "each block runs forward twice a step", checkpointing),
    Practice("growing sequences", "inputs become longer and larger, and the loss rises with them", growing_sequences),
    Practice("cyclic rate", "the rate swings by a factor of 300", cyclic_rate),
    Practice("warm restarts", "a cosine that begins again twice", warm_restarts),
    Practice("large batch", "1024 of 1400 digits a step, a high rate and a warmup", large_batch),
    Practice("tied weights", "one matrix embeds words and scores them", tied_weights),
    Practice("sparse embeddings", "two optimizers, and tables of which a step touches a few rows", sparse_embeddings),
    Practice("proximal policy", "PPO: roll-outs without gradient, several epochs on each, a loss around 0", proximal_policy),
    Practice("flow with a negative loss", "a normalising flow; the loss passes 0 and goes on", flow_with_a_negative_loss),
    Practice("noisy labels", "40 % of the labels are drawn at random", noisy_labels),
    Practice("heavy tails", "Huber's loss on noise without a variance", heavy_tails),
    Practice("rare labels", "30 labels of which each stands on one row in 45", rare_labels),
)  # fmt: skip
