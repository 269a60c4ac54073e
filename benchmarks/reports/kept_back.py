"""Reports and practices that no rule was written against: gathered apart, from threads whose cause was found and told.

Each was rebuilt from its thread alone, and its true name was given before any diagnosis of it was seen. Do not set a
threshold by them, or they tell nothing any more.
"""

import copy
import itertools
import math

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.reports import (
    X_TEST,
    Practice,
    Report,
    X,
    Y,
    accuracy,
    confirmed,
    cross_entropy,
    drawn,
    explained,
    seeded,
    squared_error,
    train,
)
from gradutils.recorder import Recorder, Recording

STEPS = 150
IMAGES, IMAGES_TEST = X.view(-1, 1, 8, 8), X_TEST.view(-1, 1, 8, 8)


def net(*widths: int, activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    layers = [[nn.Linear(m, n), activation()] for m, n in itertools.pairwise(widths)]
    return nn.Sequential(*[layer for pair in layers for layer in pair][:-1])


def smooth(rows: int, inputs: int, outputs: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A regression that a small network learns: standard normal inputs, targets of about unit spread."""
    x = torch.randn(rows, inputs)
    return x, torch.tanh(x @ torch.randn(inputs, 16) / inputs**0.5) @ torch.randn(16, outputs) / 2.5


# mixed precision


class NormedBlock(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.norm, self.up, self.down = nn.RMSNorm(width), nn.Linear(width, 64), nn.Linear(64, width)

    def forward(self, x):
        return x + self.down(F.gelu(self.up(self.norm(x))))


@seeded
def norms_in_bfloat16(faulty: bool) -> Recording:
    model = nn.Sequential(
        nn.Linear(64, 48), NormedBlock(48), NormedBlock(48), nn.RMSNorm(48), nn.Linear(48, 10)
    )
    model.to(torch.bfloat16 if faulty else torch.float32)

    def loss_fn(model, x, y):
        with torch.autocast("cpu", torch.bfloat16, enabled=not faulty):
            out = model(x.bfloat16() if faulty else x)
        return F.cross_entropy(out.float(), y)

    recording = train(
        model, drawn(STEPS, 32), loss_fn, torch.optim.AdamW(model.parameters(), 6e-4, weight_decay=0)
    )
    moved = max(
        (m.weight.detach() - 1).abs().max().item() for m in model.modules() if isinstance(m, nn.RMSNorm)
    )
    return confirmed(recording, faulty, moved, sick=0.0, well=0.005)


@seeded
def mask_beyond_half(faulty: bool) -> Recording:
    """Which position of a padded sequence carries the mark."""
    model = nn.Sequential(nn.Conv1d(4, 32, 3, padding=1), nn.ReLU(), nn.Conv1d(32, 1, 3, padding=1))
    optimizer, scaler = (
        torch.optim.Adam(model.parameters(), 3e-3),
        torch.amp.GradScaler("cpu", init_scale=2.0**10),
    )
    right = []
    with Recorder(model) as recorder:
        for _ in range(STEPS):
            x, length = torch.randn(16, 4, 12), torch.randint(6, 13, (16,))
            padded = torch.arange(12) >= length[:, None]
            target = F.one_hot((torch.rand(16) * length).long(), 12).float()
            x = (x + 3 * target[:, None] * torch.tensor([1.0, -1.0, 1.0, -1.0])[:, None]) * ~padded[:, None]
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.float16):
                scores = model(x).squeeze(1)
            if not faulty:
                scores = scores.float()
            scores = torch.where(padded, torch.tensor(-1e15, dtype=scores.dtype), scores)
            loss = -(target * F.log_softmax(scores.float(), 1)).sum(1).mean()
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            recorder.step(loss)
            right.append((scores.argmax(1) == target.argmax(1)).float().mean().item())
    score = sum(right[-20:]) / 20 if math.isfinite(loss.item()) else 0.0
    return confirmed(recorder.recording, faulty, score, sick=0.0, well=0.6)


class HalfLayerNorm(nn.Module):
    """Its epsilon is added in float32 and lost where the variance becomes float16 before the root is taken."""

    def __init__(self, width: int, faulty: bool):
        super().__init__()
        self.gain, self.shift, self.faulty = (
            nn.Parameter(torch.ones(width)),
            nn.Parameter(torch.zeros(width)),
            faulty,
        )

    def forward(self, x):
        x = x.float()
        variance = x.var(-1, unbiased=False, keepdim=True) + 1e-12
        root = torch.rsqrt(variance.half()).float() if self.faulty else torch.rsqrt(variance)
        return self.gain * (x - x.mean(-1, keepdim=True)) * root + self.shift


class Encoder(nn.Module):
    def __init__(self, faulty: bool):
        super().__init__()
        self.embed, self.norm = nn.Embedding(20, 32, padding_idx=0), HalfLayerNorm(32, faulty)
        self.hidden, self.head = nn.Linear(32, 64), nn.Linear(64, 4)

    def forward(self, tokens):
        hidden = F.relu(self.hidden(self.norm(self.embed(tokens))))
        return self.head((hidden * (tokens > 0)[..., None]).mean(1))


@seeded
def epsilon_lost_in_half(faulty: bool) -> Recording:
    tokens = torch.randint(1, 20, (1000, 10))
    labels = (tokens > 15).sum(1).clamp(max=3)
    tokens[::40, 7:] = 0  # few sequences are short

    def loss_fn(model, x, y):
        with torch.autocast("cpu", torch.float16):
            return F.cross_entropy(model(x).float(), y)

    model = Encoder(faulty)
    batches = drawn(STEPS, 16, tokens, labels)
    recording = train(model, batches, loss_fn, torch.optim.Adam(model.parameters(), 5e-3))
    return confirmed(recording, faulty, accuracy(model, tokens, labels), sick=0.4, well=0.7)


# normalisation


@seeded
def norm_of_one_number(faulty: bool) -> Recording:
    model = nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 32, 3, stride=2, padding=1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.GroupNorm(
            32 if faulty else 4, 32
        ),  # a group of one channel at one place has nothing to be normalised by
        nn.ReLU(),
        nn.Linear(32, 10),
    )
    recording = train(
        model, drawn(STEPS, 32, IMAGES, Y), cross_entropy, torch.optim.Adam(model.parameters(), 5e-3)
    )
    return confirmed(recording, faulty, accuracy(model, IMAGES_TEST), sick=0.2, well=0.6)


@seeded
def running_statistics_never_updated(faulty: bool) -> Recording:
    momentum = 0.0 if faulty else 0.1
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.BatchNorm2d(16, eps=1e-3, momentum=momentum),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1),
        nn.BatchNorm2d(32, eps=1e-3, momentum=momentum),
        nn.ReLU(),
        nn.AvgPool2d(4),
        nn.Flatten(),
        nn.Linear(32, 10),
    )
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    recording = train(model, drawn(STEPS, 32, IMAGES + 2, Y), cross_entropy, optimizer)
    return confirmed(recording, faulty, accuracy(model, IMAGES_TEST + 2), sick=0.5, well=0.55)


@seeded
def validation_within_an_epoch(faulty: bool) -> Recording:
    """A fully convolutional net that says for each pixel whether it is bright; dropout is off from a validation on."""
    model = nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),
        nn.ReLU(),
        nn.Dropout2d(0.5),
        nn.Conv2d(32, 32, 3, padding=1),
        nn.ReLU(),
    )
    model.extend([nn.Dropout2d(0.5), nn.Conv2d(32, 1, 1)])
    masks = (IMAGES > 0.5).float()
    noisy = IMAGES + 0.5 * torch.randn(IMAGES.shape)

    def batches():
        for k, batch in enumerate(drawn(STEPS, 16, noisy, masks)):
            if k % 50 == 0:
                model.train()  # at the start of an epoch
            if k % 50 == 20:
                model.eval()
                model(noisy[:50])
                if not faulty:
                    model.train()
            yield batch

    def loss_fn(model, x, y):
        return F.binary_cross_entropy_with_logits(model(x), y)

    recording = train(model, batches(), loss_fn, torch.optim.Adam(model.parameters(), 3e-3))
    return confirmed(recording, faulty, ((model(noisy) > 0) == masks).float().mean().item(), well=0.8)


@seeded
def accuracy_check_leaves_evaluation(faulty: bool) -> Recording:
    model = nn.Sequential(
        nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 64), nn.BatchNorm1d(64)
    )
    model.extend([nn.ReLU(), nn.Linear(64, 10)])

    def batches():
        for k, batch in enumerate(drawn(STEPS, 32)):
            if k % 25 == 10:
                accuracy(model)
                model.train(not faulty)
            yield batch

    recording = train(model, batches(), cross_entropy, torch.optim.Adam(model.parameters(), 1e-3))
    return confirmed(recording, faulty, accuracy(model), well=0.85)


# data


@seeded
def silent_clip(faulty: bool) -> Recording:
    """Clips are divided by their peak; one of them is silent."""
    time = torch.arange(64) / 8
    waves = torch.sin(time * (0.5 + 3 * torch.rand(400, 1)) + 6 * torch.rand(400, 1)) * torch.rand(400, 1)
    waves[123] = 0
    waves = waves / (waves.abs().amax(1, keepdim=True).clamp(min=0.0 if faulty else 1e-3))
    model = nn.Sequential(nn.Conv1d(1, 16, 9, stride=4), nn.LeakyReLU(0.1), nn.Conv1d(16, 16, 5, padding=2))
    model.extend([nn.LeakyReLU(0.1), nn.ConvTranspose1d(16, 1, 12, stride=4)])

    def batches():
        order = torch.randperm(400)
        for k in range(STEPS):
            rows = order[torch.arange(16 * k, 16 * k + 16) % 400]
            yield (waves[rows, None],)

    def loss_fn(model, x):
        return F.l1_loss(model(x), x)

    recording = train(model, batches(), loss_fn, torch.optim.AdamW(model.parameters(), 2e-3))
    score = (
        1 - F.l1_loss(model(waves[:100, None]), waves[:100, None]).item() / waves[:100].abs().mean().item()
    )
    return confirmed(recording, faulty, score if math.isfinite(score) else -1.0, sick=0.0, well=0.5)


@seeded
def boxes_without_width(faulty: bool) -> Recording:
    """An augmentation makes some boxes empty; the regression asks for the logarithm of their width."""
    x = torch.randn(2000, 16)
    box = 0.5 + 0.2 * torch.tanh(x @ torch.randn(16, 4) / 4)  # centre and size over the anchor's
    box[::300, 2] = 0
    if not faulty:
        x, box = x[box[:, 2] > 0], box[box[:, 2] > 0]
    target = torch.cat([(box[:, :2] - 0.5) / 0.1, box[:, 2:].log() / 0.2], 1)
    model = net(16, 64, 64, 4)

    def loss_fn(model, x, y):
        return F.smooth_l1_loss(model(x), y)

    recording = train(
        model, drawn(STEPS, 32, x, target), loss_fn, torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    )
    return confirmed(recording, faulty, -max(recording.loss_curve), sick=-math.inf, well=-100.0)


@seeded
def labels_in_another_order(faulty: bool) -> Recording:
    """Images are listed as the folder gives them, their labels as the table does."""
    images = X[torch.randperm(len(X))] if faulty else X
    model = net(64, 64, 64, 10)
    recording = train(
        model, drawn(STEPS, 32, images, Y), cross_entropy, torch.optim.Adam(model.parameters(), 1e-3)
    )
    return confirmed(recording, faulty, accuracy(model), sick=0.3, well=0.8)


@seeded
def divided_by_255_twice(faulty: bool) -> Recording:
    """Pixels are divided by 255 by the loader, and again, with mean and deviation, by the augmentation."""
    pixels, mean, deviation = (IMAGES - IMAGES.min()) / (IMAGES.max() - IMAGES.min()) * 255, 0.485, 0.229
    images = (pixels / 255 - mean * 255) / (deviation * 255) if faulty else (pixels / 255 - mean) / deviation
    masks = (pixels > 128).float()
    model = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU())
    model.extend([nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 1, 1)])

    def loss_fn(model, x, y):
        return F.binary_cross_entropy_with_logits(model(x), y)

    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9, weight_decay=1e-4)
    recording = train(model, drawn(STEPS, 16, images, masks), loss_fn, optimizer)
    return confirmed(recording, faulty, ((model(images) > 0) == masks).float().mean().item(), well=0.8)


class FactorisationMachine(nn.Module):
    """Two embedded categories and three counts; pairs by the square of the sum less the sum of the squares."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Embedding(60, 1), nn.Embedding(60, 8)
        self.deep = net(5 * 8, 32, 1)

    def forward(self, value, index):
        embedded = self.second(index) * value[..., None]
        pairs = embedded.sum(1).square() - embedded.square().sum(1)
        return (
            (self.first(index)[..., 0] * value).sum(1)
            + pairs.sum(1) / 2
            + self.deep(embedded.flatten(1))[:, 0]
        )


@seeded
def raw_counts(faulty: bool) -> Recording:
    index = torch.cat(
        [
            torch.randint(20, (2000, 1)),
            20 + torch.randint(30, (2000, 1)),
            torch.arange(50, 53).expand(2000, 3),
        ],
        1,
    )
    logs = 4 + 2 * torch.randn(2000, 3)
    clicked = torch.sigmoid(2 * (logs[:, 0] - 4) / 2 + torch.randn(60)[index[:, 0]]) > torch.rand(2000)
    counts = logs.exp().floor() if faulty else (logs - logs.mean(0)) / logs.std(0)
    values = torch.cat([torch.ones(2000, 2), counts], 1)
    model = FactorisationMachine()
    with torch.no_grad():
        model.second.weight.mul_(0.1)

    def loss_fn(model, value, index, y):
        return F.binary_cross_entropy_with_logits(model(value, index), y)

    batches = drawn(STEPS, 64, values, index, clicked.float())
    recording = train(model, batches, loss_fn, torch.optim.Adam(model.parameters(), 1e-2))
    right = ((model(values, index) > 0) == clicked).float().mean().item()
    last = sum(recording.loss_curve[-20:]) / 20
    return confirmed(recording, faulty, right if last < 0.69 else 0.0, sick=0.0, well=0.7)


@seeded
def actions_in_their_own_units(faulty: bool) -> Recording:
    """A policy that imitates: chunks of eight positions in pixels."""
    x, y = smooth(2000, 12, 16)
    actions = 256 + 90 * y if faulty else y
    model = net(12, 128, 128, 16)

    def loss_fn(model, x, y):
        return F.l1_loss(model(x), y)

    recording = train(
        model, drawn(STEPS, 32, x, actions), loss_fn, torch.optim.AdamW(model.parameters(), 1e-3)
    )
    return confirmed(recording, faulty, explained(model, x, actions), sick=0.2, well=0.5)


@seeded
def never_shuffled(faulty: bool) -> Recording:
    """Molecules come sorted by size, and their energy goes with it."""
    x, y = smooth(1280, 12, 1)
    order = y[:, 0].argsort() if faulty else torch.randperm(1280)
    x, y = x[order], y[order]
    model = net(12, 64, 64, 1)

    def batches():
        for k in range(140):
            at = 32 * (k % 40)
            yield x[at : at + 32], y[at : at + 32]

    recording = train(
        model, batches(), squared_error, torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
    )
    return confirmed(recording, faulty, explained(model, x, y), sick=0.5, well=0.7)


# losses


class Critic(nn.Module):
    def __init__(self, faulty: bool):
        super().__init__()
        self.trunk, self.value, self.faulty = net(8, 64, 64), nn.Linear(64, 1), faulty

    def forward(self, x):
        value = self.value(F.relu(self.trunk(x)))
        return value.squeeze(-1) if self.faulty else value


@seeded
def critic_against_every_return(faulty: bool) -> Recording:
    states, returns = smooth(2000, 8, 1)
    model = Critic(faulty)

    def loss_fn(model, states, returns):
        values = model(states)
        return torch.maximum((returns - values).square(), (returns - values.clamp(-5, 5)).square()).mean() / 2

    recording = train(
        model, drawn(STEPS, 64, states, returns), loss_fn, torch.optim.Adam(model.parameters(), 3e-3)
    )
    model.faulty = False  # a column again, to be compared with one
    return confirmed(recording, faulty, explained(model, states, returns), sick=0.2, well=0.6)


@seeded
def sigmoid_before_logits(faulty: bool) -> Recording:
    masks = (IMAGES > 1).float()
    noisy = IMAGES + 0.5 * torch.randn(IMAGES.shape)
    model = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU())
    model.extend([nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 1, 1)])
    if faulty:
        model.append(nn.Sigmoid())

    def loss_fn(model, x, y):
        return F.binary_cross_entropy_with_logits(model(x), y)

    recording = train(
        model, drawn(STEPS, 16, noisy, masks), loss_fn, torch.optim.Adam(model.parameters(), 1e-3)
    )
    return confirmed(recording, faulty, -sum(recording.loss_curve[-20:]) / 20, sick=-0.5, well=-0.4)


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.read, self.tag = (
            nn.Embedding(30, 16),
            nn.GRU(16, 32, batch_first=True),
            nn.Linear(32, 4),
        )

    def forward(self, tokens):
        return self.tag(self.read(self.embed(tokens))[0])


@seeded
def first_class_taken_for_padding(faulty: bool) -> Recording:
    tokens = torch.randint(30, (1000, 12))
    tags = (tokens // 8 + F.pad(tokens, (1, 0))[:, :-1] // 15) % 4
    model = Tagger()

    def loss_fn(model, x, y):
        return F.cross_entropy(model(x).flatten(0, 1), y.flatten(), ignore_index=0 if faulty else -100)

    recording = train(
        model, drawn(STEPS, 16, tokens, tags), loss_fn, torch.optim.Adam(model.parameters(), 1e-2)
    )
    answered = (model(tokens).argmax(-1) == 0)[tags == 0].float().mean().item()
    return confirmed(recording, faulty, answered, sick=0.1, well=0.6)


@seeded
def logarithm_of_a_softmax(faulty: bool) -> Recording:
    model = net(64, 98, 10).append(nn.Softmax(1) if faulty else nn.LogSoftmax(1))

    def loss_fn(model, x, y):
        return F.nll_loss(model(x).log() if faulty else model(x), y)

    recording = train(model, drawn(250, 64), loss_fn, torch.optim.Adam(model.parameters(), 0.15))
    return confirmed(recording, faulty, accuracy(model), sick=0.2, well=0.5)


@seeded
def deviation_of_one_advantage(faulty: bool) -> Recording:
    """A policy gradient with clipped ratios; roll-outs of 65 states leave a last minibatch of one."""
    states, size = torch.randn(130, 6), 65 if faulty else 64
    best = (states @ torch.randn(6, 3)).argmax(1)
    model = net(6, 64, 64, 3, activation=nn.Tanh)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    with Recorder(model) as recorder:
        for _ in range(25):
            rows = torch.randperm(130)[:size]
            with torch.no_grad():
                logits = model(states[rows])
                logits = torch.zeros_like(logits) if logits.isnan().any() else logits  # so that it can go on
                old = torch.distributions.Categorical(logits=logits)
                action = old.sample()
                before, gain = old.log_prob(action), (action == best[rows]).float()
            for minibatch in torch.arange(size).split(16) * 2:
                advantage = gain[minibatch]
                advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
                log_prob = F.log_softmax(model(states[rows[minibatch]]), 1).gather(
                    1, action[minibatch, None]
                )[:, 0]
                ratio = (log_prob - before[minibatch]).exp()
                loss = -torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage).mean()
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 0.5)
                optimizer.step()
                recorder.step(loss)
    return confirmed(recorder.recording, faulty, accuracy(model, states, best), sick=0.5, well=0.7)


@seeded
def softmax_over_the_batch(faulty: bool) -> Recording:
    """REINFORCE: actions are drawn state by state, the loss takes all states at once, and so does its softmax."""
    states = torch.randn(1000, 6)
    best = (states @ torch.randn(6, 2)).argmax(1)
    model = nn.Sequential(
        nn.Linear(6, 64), nn.LeakyReLU(), nn.Linear(64, 2), nn.Softmax(dim=0 if faulty else -1)
    )
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    with Recorder(model) as recorder:
        for (rows,) in drawn(STEPS, 32, torch.arange(1000)):
            with torch.no_grad():
                probability = F.softmax(model[:3](states[rows]), -1)  # as for one state at a time
            action = probability.multinomial(1)
            gain = (action[:, 0] == best[rows]).float()
            chosen = model(states[rows]).gather(1, action)[:, 0]
            loss = -(chosen.log() * gain).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            recorder.step(loss)
    return confirmed(recorder.recording, faulty, accuracy(model[:3], states, best), well=0.85)


@seeded
def divided_by_a_negative_mean(faulty: bool) -> Recording:
    """Self-supervised pretraining: hidden columns are told from the others, each error in units of its column's variance."""
    x = torch.randn(2000, 4) @ torch.randn(4, 12) / 2
    x[:, 5] = -0.002  # a column that never changes
    model = net(12, 64, 64, 12)

    def loss_fn(model, x):
        hidden = (torch.rand(x.shape) < 0.3).float()
        variance, mean = x.var(0), x.mean(0)
        unit = torch.where(variance < 1e-12, mean if faulty else torch.ones(12), variance)
        return (
            ((model(x * (1 - hidden)) - x).square() * hidden / unit).sum(1).div(hidden.sum(1) + 1e-9).mean()
        )

    recording = train(model, drawn(STEPS, 64, x), loss_fn, torch.optim.Adam(model.parameters(), 0.01))
    return confirmed(
        recording,
        faulty,
        sum(recording.loss_curve[-20:]) / 20 if faulty else explained(model, x, x),
        sick=-100.0,
        well=0.5,
    )


# optimizers


@seeded
def schedule_stepped_every_batch(faulty: bool) -> Recording:
    """Super-resolution; a rate that should fall to a tenth after ten epochs falls to a tenth after ten batches."""
    small = F.avg_pool2d(IMAGES, 2)
    model = nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.PReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.PReLU()
    )
    model.extend([nn.Conv2d(32, 4, 3, padding=1), nn.PixelShuffle(2)])
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=10, gamma=0.1)
    with Recorder(model) as recorder:
        for k, (x, y) in enumerate(drawn(STEPS, 16, small, IMAGES)):
            loss = F.mse_loss(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            recorder.step(loss)
            if faulty or k % 44 == 43:
                schedule.step()
    return confirmed(recorder.recording, faulty, explained(model, small, IMAGES), sick=0.3, well=0.5)


@seeded
def optimizer_of_the_layers_before_pruning(faulty: bool) -> Recording:
    model = net(64, 64, 64, 10)
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
    for x, y in drawn(60, 32):
        optimizer.zero_grad()
        cross_entropy(model, x, y).backward()
        optimizer.step()
    rows, kept = slice(None), None
    for at, width in ((0, 16), (2, 16), (4, 10)):
        old = model[at]
        kept = old.weight.norm(dim=1).topk(width).indices if at < 4 else slice(None)
        smaller = nn.Linear(len(old.weight[0, rows]), width)
        with torch.no_grad():
            smaller.weight.copy_(old.weight[kept][:, rows])
            smaller.bias.copy_(old.bias[kept])
        model[at], rows = smaller, kept
    if not faulty:
        optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
    before = accuracy(model)
    recording = train(model.train(), drawn(STEPS, 32), cross_entropy, optimizer, clear=model.zero_grad)
    return confirmed(recording, faulty, accuracy(model) - before, sick=0.0, well=0.1)


@seeded
def gradients_of_all_batches_before(faulty: bool) -> Recording:
    """Heat maps of a court's corners: squared error of a sigmoid."""
    x = torch.randn(1000, 1, 8, 8) / 2
    at = torch.randint(64, (1000,))
    x.view(1000, 64)[torch.arange(1000), at] += 4
    spread = torch.tensor([[0.1, 0.3, 0.1], [0.3, 1.0, 0.3], [0.1, 0.3, 0.1]])[None, None]
    heat = F.conv2d(F.one_hot(at, 64).float().view(1000, 1, 8, 8), spread, padding=1)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1)
    )
    model.extend([nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 1, 1), nn.Sigmoid()])

    def keep():
        return None

    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    recording = train(
        model, drawn(STEPS, 16, x, heat), squared_error, optimizer, clear=keep if faulty else None
    )
    score = 1 - recording.loss_curve[-20:].mean() / heat.var().item()
    return confirmed(recording, faulty, score, sick=0.7, well=0.8)


@seeded
def cleared_at_every_micro_batch(faulty: bool) -> Recording:
    """A denoiser; four micro-batches are meant to count, and only the last does."""
    model = net(65, 128, 128, 64, activation=nn.SiLU)
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
    with Recorder(model) as recorder:
        for k, (x,) in enumerate(drawn(4 * STEPS, 8, X)):
            time, noise = torch.rand(len(x), 1), torch.randn(x.shape)
            if faulty or k % 4 == 0:
                optimizer.zero_grad()
            mixed = torch.cat([(1 - time) * x + time * noise, time], 1)
            loss = F.mse_loss(model(mixed), noise - x)
            (loss / 4).backward()
            if k % 4 == 3:
                optimizer.step()
                recorder.step(loss)
    return confirmed(recorder.recording, faulty, -recorder.recording.loss_curve[-20:].mean(), well=-1.4)


@seeded
def accumulated_and_not_divided(faulty: bool) -> Recording:
    model = net(64, 64, 64, 10)

    def loss_fn(model, x, y):
        return F.cross_entropy(model(x), y) / (1 if faulty else 16)

    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    recording = train(model, drawn(16 * 80, 8), loss_fn, optimizer, accumulate=16)
    return confirmed(recording, faulty, accuracy(model), sick=0.5, well=0.85)


# models


class Contrast(nn.Module):
    """Images against their captions; what an extractor keeps of the image encoder is a detached copy."""

    def __init__(self, faulty: bool):
        super().__init__()
        self.vision = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU(), nn.Flatten()
        )
        self.project, self.words, self.faulty = nn.Linear(512, 16), nn.Embedding(10, 16), faulty

    def forward(self, images, captions):
        seen = self.vision(images)
        seen = self.project(seen.detach() if self.faulty else seen)
        return F.normalize(seen, dim=1) @ F.normalize(self.words(captions), dim=1).T * 5


@seeded
def extractor_detaches(faulty: bool) -> Recording:
    model = Contrast(faulty)
    start = copy.deepcopy(model.vision.state_dict())

    def loss_fn(model, x, y):
        return F.cross_entropy(model(x, torch.arange(10)), y)

    recording = train(model, drawn(STEPS, 32, IMAGES, Y), loss_fn, torch.optim.Adam(model.parameters(), 2e-3))
    moved = max((model.vision.state_dict()[k] - v).abs().max().item() for k, v in start.items())
    return confirmed(recording, faulty, moved, sick=0.0, well=0.01)


class GraphNet(nn.Module):
    def __init__(self, faulty: bool):
        super().__init__()
        layers = [nn.Linear(8, 32), nn.Linear(32, 32)]
        self.layers = layers if faulty else nn.ModuleList(layers)
        self.fc1, self.fc2 = nn.Linear(32, 8), nn.Linear(8, 3)

    def forward(self, nodes, edges):
        for layer in self.layers:
            nodes = F.relu(layer(edges @ nodes))
        return self.fc2(F.relu(self.fc1(nodes.mean(1))))


@seeded
def graph_layers_in_a_list(faulty: bool) -> Recording:
    nodes = torch.randn(1500, 10, 8)
    edges = (torch.rand(1500, 10, 10) < 0.3).float() + torch.eye(10)
    edges = edges / edges.sum(2, keepdim=True)
    hidden = torch.tanh(edges @ torch.tanh(edges @ nodes @ torch.randn(8, 12)) @ torch.randn(12, 12))
    scores = hidden.mean(1) @ torch.randn(12, 3)
    labels = ((scores - scores.mean(0)) / scores.std(0)).argmax(1)
    model = GraphNet(faulty)
    start = [layer.weight.detach().clone() for layer in model.layers]

    def loss_fn(model, nodes, edges, y):
        return F.cross_entropy(model(nodes, edges), y)

    recording = train(
        model, drawn(200, 32, nodes, edges, labels), loss_fn, torch.optim.Adam(model.parameters(), 5e-3)
    )
    moved = max((a.weight - b).abs().max().item() for a, b in zip(model.layers, start, strict=True))
    return confirmed(recording, faulty, moved, sick=0.0, well=0.01)


@seeded
def counts_behind_a_relu(faulty: bool) -> Recording:
    """Nothing but zeros comes from some first weights, and no gradient with them."""
    x, y = smooth(2000, 10, 1)
    people = (1.5 + y).relu()
    model = net(10, 64, 64, 1)
    while model(x).max() > 0:
        model = net(10, 64, 64, 1)
    model.append(nn.ReLU() if faulty else nn.Softplus())

    def loss_fn(model, x, y):
        return F.l1_loss(model(x), y)

    recording = train(model, drawn(STEPS, 32, x, people), loss_fn, torch.optim.Adam(model.parameters(), 3e-3))
    return confirmed(recording, faulty, explained(model, x, people), sick=0.0, well=0.3)


class LanguageModel(nn.Module):
    def __init__(self, kind: str):
        super().__init__()
        self.embed, self.rnn = (
            nn.Embedding(20, 64),
            nn.RNN(64, 64, num_layers=2, nonlinearity=kind, batch_first=True),
        )
        self.head = nn.Linear(64, 20)

    def forward(self, tokens):
        return self.head(self.rnn(self.embed(tokens))[0])


@seeded
def recurrent_relu(faulty: bool) -> Recording:
    start, stride = torch.randint(20, (500, 1)), torch.randint(1, 4, (500, 1))
    tokens = (start + stride * torch.arange(36)) % 20
    model = LanguageModel("relu" if faulty else "tanh")

    def loss_fn(model, x):
        return F.cross_entropy(model(x[:, :-1]).flatten(0, 1), x[:, 1:].flatten())

    recording = train(model, drawn(STEPS, 20, tokens), loss_fn, torch.optim.SGD(model.parameters(), 4.0))
    last = recording.loss_curve[-20:].mean()
    return confirmed(recording, faulty, -last if math.isfinite(last) else -99.0, sick=-2.5, well=-1.5)


@seeded
def states_in_metres(faulty: bool) -> Recording:
    """Deterministic policy gradient, two actions between -1 and 1, states as a simulator gives them."""
    scale = torch.tensor([200.0, 30.0, 3.0, 180.0, 50.0, 1.0])
    units = torch.randn(2000, 6)
    states = units * scale if faulty else units
    best = torch.tanh(units @ torch.randn(6, 2) / 3)
    actor, critic = net(6, 64, 64, 2).append(nn.Tanh()), net(8, 64, 64, 1)
    actor_optimizer = torch.optim.Adam(actor.parameters(), 1e-3)
    critic_optimizer = torch.optim.Adam(critic.parameters(), 3e-3)
    with Recorder(actor) as recorder:
        for (rows,) in drawn(250, 64, torch.arange(2000)):
            state = states[rows]
            tried = (actor(state).detach() + 0.3 * torch.randn(64, 2)).clamp(-1, 1)
            reward = -(tried - best[rows]).square().sum(1, keepdim=True)
            critic_optimizer.zero_grad()
            F.mse_loss(critic(torch.cat([state, tried], 1)), reward).backward()
            critic_optimizer.step()
            actor_optimizer.zero_grad()
            loss = -critic(torch.cat([state, actor(state)], 1)).mean()
            loss.backward()
            actor_optimizer.step()
            recorder.step(loss)
    return confirmed(recorder.recording, faulty, explained(actor, states, best), sick=0.0, well=0.2)


class Detector(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv2d(3, 32, 3, 1, 1), nn.ReLU(), nn.Conv2d(32, 64, 3, 1, 1), nn.ReLU()
        )
        self.trunk.extend([nn.Conv2d(64, 64, 3, 1, 1), nn.ReLU()])
        self.box, self.kind = nn.Conv2d(64, 4, 3, 1, 1), nn.Conv2d(64, 3, 3, 1, 1)

    def forward(self, x):
        trunk = self.trunk(x)
        return self.box(trunk).flatten(2).mT, self.kind(trunk).flatten(2).mT


@seeded
def default_rate_for_batches_of_one(faulty: bool) -> Recording:
    """Boxes and kinds at 64 places, hard negatives three to one, summed over the positives."""
    kind, place = torch.randint(1, 3, (400,)), torch.randint(64, (400,))
    images = torch.randn(400, 3, 8, 8)
    images.view(400, 3, 64)[torch.arange(400), kind - 1, place] += 5
    offsets = torch.tanh(images.view(400, 3, 64)[torch.arange(400), :, place] @ torch.randn(3, 4) / 3)
    model = Detector()

    def loss_fn(model, x, kind, place, offset):
        boxes, kinds = model(x)
        rows = torch.arange(len(x))
        target = torch.zeros(len(x), 64, dtype=torch.long)
        target[rows, place] = kind
        each = F.cross_entropy(kinds.mT, target, reduction="none")
        hard = torch.where(target > 0, 0, each).topk(3, 1).values.sum()
        return (
            F.smooth_l1_loss(boxes[rows, place], offset, reduction="sum") + each[target > 0].sum() + hard
        ) / len(x)

    optimizer = torch.optim.SGD(model.parameters(), 0.5 if faulty else 3e-3, momentum=0.9)
    recording = train(model, drawn(250, 1, images, kind, place, offsets), loss_fn, optimizer)
    last = recording.loss_curve[-40:].mean()
    return confirmed(recording, faulty, -last if math.isfinite(last) else -99.0, sick=-3.3, well=-2.9)


@seeded
def density_maps_nearly_empty(faulty: bool) -> Recording:
    """Cells counted by a density map that integrates to their number; most of it is near 0."""
    cells = (torch.rand(600, 1, 12, 12) < 0.02).float()
    axis = torch.exp(-torch.arange(-3.0, 4.0).square() / 4)
    bell = axis[:, None] * axis / axis.sum() ** 2
    density = F.conv2d(cells, bell[None, None], padding=3)
    images = density / density.max() + 0.1 * torch.randn(density.shape)
    density = density * (1 if faulty else 100)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU()
    )
    model.append(nn.Conv2d(16, 1, 1))
    optimizer = torch.optim.SGD(model.parameters(), 1e-3, momentum=0.9, weight_decay=1e-3)
    recording = train(model, drawn(STEPS, 16, images, density), squared_error, optimizer)
    score = 1 - F.mse_loss(model(images), density).item() / density.var().item()
    return confirmed(recording, faulty, score, sick=0.2, well=0.7)


class SparseEmbeddings(nn.Module):
    """Embeddings cut off below a learnt threshold, sigmoid(s)."""

    def __init__(self, first: float):
        super().__init__()
        self.v, self.s = nn.Parameter(0.3 * torch.randn(200, 8)), nn.Parameter(torch.full((200, 1), first))
        self.mlp = net(32, 32, 1)

    def forward(self, index):
        v, s = self.v[index], self.s[index]
        return self.mlp((v.sign() * F.relu(v.abs() - torch.sigmoid(s))).flatten(1))[:, 0]


@seeded
def threshold_that_never_moves(faulty: bool) -> Recording:
    index = torch.randint(50, (3000, 4)) + 50 * torch.arange(4)
    taste = torch.randn(200)[index].sum(1)
    clicked = (taste > 0).float()
    model = SparseEmbeddings(-150.0 if faulty else -4.0)
    start = model.s.detach().clone()

    def loss_fn(model, x, y):
        return F.binary_cross_entropy_with_logits(model(x), y)

    recording = train(
        model, drawn(STEPS, 64, index, clicked), loss_fn, torch.optim.Adam(model.parameters(), 1e-2)
    )
    return confirmed(recording, faulty, (model.s - start).abs().max().item(), sick=0.0, well=0.1)


class Cascade(nn.Module):
    """Unrolled reconstruction: each stage mends its image by a small net and by what was measured."""

    def __init__(self, faulty: bool):
        super().__init__()
        self.stages = nn.ModuleList()
        for _ in range(5):
            norms = [nn.Identity() if faulty else nn.InstanceNorm2d(12, affine=True) for _ in range(2)]
            stage = nn.Sequential(
                nn.Conv2d(1, 12, 3, padding=1), norms[0], nn.ReLU(), nn.Conv2d(12, 12, 3, padding=1)
            )
            stage.extend([norms[1], nn.ReLU(), nn.Conv2d(12, 1, 3, padding=1)])
            with torch.no_grad():
                stage[-1].weight.mul_(0.1)
            self.stages.append(stage)

    def forward(self, measured, mask):
        image = measured
        for stage in self.stages:
            image = image + stage(image)
            image = image - 0.5 * mask * (image - measured)
        return image


def dissimilarity(a, b):
    """One less a structural similarity over whole images."""
    a, b = a.flatten(1), b.flatten(1)
    means, spreads = (a.mean(1), b.mean(1)), (a.var(1), b.var(1))
    both = ((a - means[0][:, None]) * (b - means[1][:, None])).sum(1) / (a.shape[1] - 1)
    light = (2 * means[0] * means[1] + 0.01) / (means[0].square() + means[1].square() + 0.01)
    return (1 - light * (2 * both + 0.03) / (spreads[0] + spreads[1] + 0.03)).mean()


@seeded
def cascade_without_norms(faulty: bool) -> Recording:
    """Scans are of very different brightness. With norms training is safe, and slower."""
    model = Cascade(faulty)
    scans = (IMAGES + 1) * torch.randn(len(IMAGES), 1, 1, 1).exp()

    def loss_fn(model, x):
        mask = (torch.rand(x.shape) < 0.5).float()
        return dissimilarity(model(x * mask, mask), x)

    optimizer = torch.optim.SGD(model.parameters(), 0.4 if faulty else 0.02, momentum=0.9)
    recording = train(model, drawn(200, 4, scans), loss_fn, optimizer)
    return confirmed(recording, faulty, -recording.loss_curve[-30:].mean(), sick=-0.8, well=-0.35)


class Capsules(nn.Module):
    """Primary capsules vote for ten digits; three rounds of routing."""

    def __init__(self, faulty: bool):
        super().__init__()
        self.primary = nn.Conv2d(1, 32, 3, stride=2)
        self.weight = nn.Parameter(torch.randn(36, 10, 8, 8))
        if not faulty:
            nn.init.uniform_(self.weight, -(8**-0.5), 8**-0.5)

    @staticmethod
    def squash(s):
        square = s.square().sum(-1, keepdim=True)
        return square / (1 + square) * s / (square + 1e-8).sqrt()

    def forward(self, x):
        capsules = self.squash(self.primary(x).view(len(x), 4, 8, 9).transpose(2, 3).reshape(len(x), 36, 8))
        votes = torch.einsum("pcoi,bpi->bpco", self.weight, capsules)
        logits = torch.zeros(votes.shape[:3])
        for _ in range(3):
            out = self.squash((F.softmax(logits, 2)[..., None] * votes).sum(1))
            logits = logits + (votes * out[:, None]).sum(-1)
        return out.norm(dim=-1)


@seeded
def votes_drawn_too_large(faulty: bool) -> Recording:
    model = Capsules(faulty)

    def loss_fn(model, x, y):
        length, own = model(x), F.one_hot(y, 10)
        return (
            (own * (0.9 - length).relu().square() + 0.5 * (1 - own) * (length - 0.1).relu().square())
            .sum(1)
            .mean()
        )

    recording = train(
        model, drawn(100, 16, 3 * IMAGES, Y), loss_fn, torch.optim.Adam(model.parameters(), 3e-3)
    )
    return confirmed(recording, faulty, accuracy(model, 3 * IMAGES_TEST), sick=0.3, well=0.6)


# practices


@seeded
def frozen_batch_norm() -> list[Recording]:
    """Fine-tuning on shifted digits with the running statistics of the pretraining."""
    model = nn.Sequential(
        nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 64), nn.BatchNorm1d(64)
    )
    model.extend([nn.ReLU(), nn.Linear(64, 10)])
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for x, y in drawn(60, 64):
        optimizer.zero_grad()
        cross_entropy(model, x, y).backward()
        optimizer.step()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.eval().requires_grad_(False)
    mirrored = X.view(-1, 8, 8).flip(2).flatten(1)
    trained = [p for p in model.parameters() if p.requires_grad]
    recording = train(model, drawn(STEPS, 32, mirrored, Y), cross_entropy, torch.optim.Adam(trained, 1e-3))
    score = accuracy(model, X_TEST.view(-1, 8, 8).flip(2).flatten(1))
    return [confirmed(recording, False, score, well=0.75)]


@seeded
def critic_with_gradient_penalty() -> list[Recording]:
    """WGAN-GP on eight points of a circle: three steps of the critic for one of the generator."""
    generator, critic = net(4, 48, 48, 2), net(2, 48, 48, 1, activation=nn.LeakyReLU)
    optimizers = [
        torch.optim.Adam(generator.parameters(), 2e-3, betas=(0.0, 0.9)),
        torch.optim.Adam(critic.parameters(), 5e-3, betas=(0.0, 0.9)),
    ]
    angles = torch.arange(8) * math.pi / 4
    points = torch.stack([angles.cos(), angles.sin()], 1)

    def apart():
        fake = generator(torch.randn(500, 4)).detach()
        return (
            torch.cdist(fake, points).amin(1).mean().item() + torch.cdist(points, fake).amin(1).mean().item()
        )

    start = apart()
    with Recorder(generator) as makes, Recorder(critic) as judges:
        for k in range(250):
            real = points[torch.randint(8, (32,))] + 0.02 * torch.randn(32, 2)
            fake = generator(torch.randn(32, 4)).detach()
            between = (real + torch.rand(32, 1) * (fake - real)).requires_grad_()
            (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
            loss = critic(fake).mean() - critic(real).mean() + (slope.norm(dim=1) - 1).square().mean()
            optimizers[1].zero_grad()
            loss.backward()
            optimizers[1].step()
            judges.step(loss)
            if k % 3 == 2:
                loss = -critic(generator(torch.randn(32, 4))).mean()
                optimizers[0].zero_grad()
                loss.backward()
                optimizers[0].step()
                makes.step(loss)
    confirmed(judges.recording, False, start - apart(), well=0.8)
    return [makes.recording, judges.recording]


@seeded
def actor_and_critic() -> list[Recording]:
    states = torch.randn(2000, 6)
    best = (states @ torch.randn(6, 3)).argmax(1)
    actor, critic = net(6, 64, 3, activation=nn.Tanh), net(6, 64, 1, activation=nn.Tanh)
    optimizers = [torch.optim.Adam(actor.parameters(), 5e-3), torch.optim.Adam(critic.parameters(), 1e-2)]
    with Recorder(actor) as acts, Recorder(critic) as judges:
        for (rows,) in drawn(STEPS, 64, torch.arange(2000)):
            policy = torch.distributions.Categorical(logits=actor(states[rows]))
            action = policy.sample()
            reward, value = (action == best[rows]).float(), critic(states[rows])[:, 0]
            losses = [
                -(policy.log_prob(action) * (reward - value.detach())).mean()
                - 0.01 * policy.entropy().mean(),
                F.mse_loss(value, reward),
            ]
            for recorder, optimizer, loss in zip((acts, judges), optimizers, losses, strict=True):
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                recorder.step(loss)
    confirmed(acts.recording, False, accuracy(actor, states, best), well=0.75)
    return [acts.recording, judges.recording]


@seeded
def q_learning_with_target_network() -> list[Recording]:
    """A walk of six fields to a goal on the right; targets from a copy that follows every 20 steps."""
    model, target, gamma = net(6, 64, 2), net(6, 64, 2), 0.9
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    fields = torch.eye(6)
    with Recorder(model) as recorder:
        for k in range(250):
            if k % 20 == 0:
                target.load_state_dict(model.state_dict())
            at, action = torch.randint(5, (32,)), torch.randint(2, (32,))
            to = (at + 2 * action - 1).clamp(min=0)
            done = to == 5
            with torch.no_grad():
                wanted = done + gamma * ~done * target(fields[to]).amax(1)
            loss = F.smooth_l1_loss(model(fields[at]).gather(1, action[:, None])[:, 0], wanted)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            recorder.step(loss)
    score = (model(fields[:5]).argmax(1) == 1).float().mean().item()
    return [confirmed(recorder.recording, False, score, well=1.0)]


@seeded
def autoencoder_of_dark_images() -> list[Recording]:
    """Pixels from 0 to 1, most of them 0; a sigmoid at the end, binary cross-entropy, a sparse code."""
    pixels = ((X - X.min()) / (X.max() - X.min())).square()
    model = nn.Sequential(nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 64), nn.Sigmoid())

    def loss_fn(model, x):
        return F.binary_cross_entropy(model(x), x) + 1e-3 * model[:2](x).abs().mean()

    recording = train(model, drawn(STEPS, 32, pixels), loss_fn, torch.optim.Adam(model.parameters(), 3e-3))
    return [confirmed(recording, False, explained(model, pixels, pixels), well=0.4)]


@seeded
def mixture_density_network() -> list[Recording]:
    """Two branches over one input; a negative log likelihood that passes through 0."""
    x = torch.rand(2000, 1) * 2 - 1
    y = torch.where(torch.rand(2000, 1) < 0.5, x, -x) + 0.05 * torch.randn(2000, 1)
    model = net(1, 64, 64, 9, activation=nn.Tanh)

    def loss_fn(model, x, y):
        weight, mean, deviation = model(x).chunk(3, 1)
        deviation = F.softplus(deviation) + 1e-2
        each = F.log_softmax(weight, 1) - ((y - mean) / deviation).square() / 2 - deviation.log()
        return (math.log(2 * math.pi) / 2 - each.logsumexp(1)).mean()

    recording = train(model, drawn(250, 64, x, y), loss_fn, torch.optim.Adam(model.parameters(), 5e-3))
    return [confirmed(recording, False, recording.loss_curve[0] - recording.loss_curve[-20:].mean(), well=0.8)]


class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.read, self.say = nn.GRU(6, 48, batch_first=True, bidirectional=True), nn.Linear(96, 6)

    def forward(self, x):
        return self.say(self.read(x)[0])


@seeded
def transcription_by_ctc() -> list[Recording]:
    """Five letters and a blank, each letter three frames long."""
    letters = torch.randint(1, 6, (1000, 4))
    frames = F.one_hot(letters, 6).float().repeat_interleave(3, 1)
    frames = frames + 0.3 * torch.randn(frames.shape)
    model = Reader()
    lengths = torch.full((16,), 12), torch.full((16,), 4)

    def loss_fn(model, x, y):
        return F.ctc_loss(F.log_softmax(model(x), 2).transpose(0, 1), y, *lengths, zero_infinity=True)

    recording = train(
        model, drawn(STEPS, 16, frames, letters), loss_fn, torch.optim.Adam(model.parameters(), 1e-2)
    )
    return [confirmed(recording, False, -recording.loss_curve[-20:].mean(), well=-0.6)]


@seeded
def hinge_and_cosine() -> list[Recording]:
    """A hinge over classes, and embeddings of two views of an image that shall agree where others shall not."""
    model = net(64, 64, 10)
    one = train(
        model,
        drawn(STEPS, 32),
        lambda model, x, y: F.multi_margin_loss(model(x), y),
        torch.optim.SGD(model.parameters(), 0.1, momentum=0.9),
    )
    confirmed(one, False, accuracy(model), well=0.8)
    model = net(64, 64, 16)

    def loss_fn(model, x, y):
        same = torch.where(y == y.roll(1), 1, -1)
        return F.cosine_embedding_loss(model(x), model(x.roll(1, 0)), same, margin=0.2)

    rows = Y < 2
    two = train(
        model, drawn(STEPS, 32, X[rows], Y[rows]), loss_fn, torch.optim.Adam(model.parameters(), 1e-3)
    )
    return [one, confirmed(two, False, two.loss_curve[0] - two.loss_curve[-20:].mean(), well=0.15)]


@seeded
def two_passes_that_agree() -> list[Recording]:
    """R-Drop: the same batch twice through dropout, and what divides the answers."""
    model = nn.Sequential(nn.Linear(64, 96), nn.ReLU(), nn.Dropout(0.3), nn.Linear(96, 10))

    def loss_fn(model, x, y):
        a, b = model(x), model(x)
        p, q = F.log_softmax(a, 1), F.log_softmax(b, 1)
        apart = F.kl_div(p, q, log_target=True, reduction="batchmean") + F.kl_div(
            q, p, log_target=True, reduction="batchmean"
        )
        return (F.cross_entropy(a, y) + F.cross_entropy(b, y)) / 2 + apart / 2

    recording = train(model, drawn(STEPS, 32), loss_fn, torch.optim.Adam(model.parameters(), 2e-3))
    return [confirmed(recording, False, accuracy(model), well=0.85)]


@seeded
def sharpness_aware() -> list[Recording]:
    """Two backward passes a step: one to climb from the weights, one for the gradient there."""
    model = net(64, 64, 64, 10)
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
    with Recorder(model) as recorder:
        for x, y in drawn(STEPS, 32):
            optimizer.zero_grad()
            loss = cross_entropy(model, x, y)
            loss.backward()
            with torch.no_grad():
                norm = torch.stack([p.grad.norm() for p in model.parameters()]).norm()
                climbs = [0.05 * p.grad / norm for p in model.parameters()]
                for p, climb in zip(model.parameters(), climbs, strict=True):
                    p.add_(climb)
            optimizer.zero_grad()
            cross_entropy(model, x, y).backward()
            with torch.no_grad():
                for p, climb in zip(model.parameters(), climbs, strict=True):
                    p.sub_(climb)
            optimizer.step()
            recorder.step(loss)
    return [confirmed(recorder.recording, False, accuracy(model), well=0.85)]


@seeded
def always_clipped() -> list[Recording]:
    """Every gradient is cut to the same small norm; the rate is chosen for that."""
    model = net(64, 64, 64, 10)

    def clip():
        nn.utils.clip_grad_norm_(model.parameters(), 0.05)

    optimizer = torch.optim.SGD(model.parameters(), 1.0, momentum=0.9)
    recording = train(model, drawn(STEPS, 32), cross_entropy, optimizer, before=clip)
    return [confirmed(recording, False, accuracy(model), well=0.85)]


@seeded
def annealed_and_resumed() -> list[Recording]:
    """A rate that ends at a hundred thousandth; then training goes on from there for a while at a tiny rate."""
    model = net(64, 64, 64, 10)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS, eta_min=3e-8)
    whole = train(model, drawn(STEPS, 32), cross_entropy, optimizer, schedule=schedule)
    confirmed(whole, False, accuracy(model), well=0.85)
    resumed = copy.deepcopy(model).train()
    rest = train(resumed, drawn(STEPS, 32), cross_entropy, torch.optim.Adam(resumed.parameters(), 1e-5))
    return [whole, confirmed(rest, False, accuracy(resumed), well=0.85)]


class Equilibrium(nn.Module):
    """One layer, applied until it stands still; no biases anywhere."""

    def __init__(self):
        super().__init__()
        self.read, self.loop = nn.Linear(64, 64, bias=False), nn.Linear(64, 64, bias=False)
        self.say = nn.Linear(64, 10, bias=False)

    def forward(self, x):
        inside, z = self.read(x), torch.zeros(len(x), 64)
        for _ in range(12):
            z = torch.tanh(0.5 * self.loop(z) + inside)
        return self.say(z)


@seeded
def loop_without_biases() -> list[Recording]:
    model = Equilibrium()
    recording = train(model, drawn(STEPS, 32), cross_entropy, torch.optim.Adam(model.parameters(), 2e-3))
    return [confirmed(recording, False, accuracy(model), well=0.85)]


class Sign(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.where(x < 0, -1.0, 1.0)

    @staticmethod
    def backward(ctx, gradient):
        return gradient * (ctx.saved_tensors[0].abs() <= 1)


class BinaryLinear(nn.Linear):
    def forward(self, x):
        return F.linear(x, Sign.apply(self.weight) / self.in_features**0.5, self.bias)


class Signs(nn.Module):
    def forward(self, x):
        return Sign.apply(x)


@seeded
def binary_weights_and_activations() -> list[Recording]:
    model = nn.Sequential(BinaryLinear(64, 128), nn.BatchNorm1d(128), Signs(), BinaryLinear(128, 128))
    model.extend([nn.BatchNorm1d(128), Signs(), nn.Linear(128, 10)])
    recording = train(model, drawn(STEPS, 32), cross_entropy, torch.optim.Adam(model.parameters(), 3e-3))
    return [confirmed(recording, False, accuracy(model), well=0.75)]


@seeded
def one_in_fifty() -> list[Recording]:
    """Rare positives, weighed in the loss, and told in the end."""
    x = torch.randn(4000, 12)
    score = torch.tanh(x @ torch.randn(12, 12) / 3) @ torch.randn(12)
    y = (score > score.quantile(0.98)).float()
    model = net(12, 64, 1)

    def loss_fn(model, x, y):
        return F.binary_cross_entropy_with_logits(model(x)[:, 0], y, pos_weight=torch.tensor(20.0))

    recording = train(model, drawn(250, 64, x, y), loss_fn, torch.optim.Adam(model.parameters(), 5e-3))
    said = model(x)[:, 0] > 0
    balanced = (said[y == 1].float().mean() + (~said[y == 0]).float().mean()).item() / 2
    return [confirmed(recording, False, balanced, well=0.85)]


@seeded
def noisy_batches_of_four() -> list[Recording]:
    """A quarter of the variance can be explained at most, and batches are small."""
    x, y = smooth(3000, 8, 1)
    y = y + 1.2 * y.std() * torch.randn(y.shape)
    model = net(8, 32, 1)
    recording = train(model, drawn(250, 4, x, y), squared_error, torch.optim.Adam(model.parameters(), 3e-3))
    return [confirmed(recording, False, explained(model, x, y), well=0.12)]


@seeded
def micro_batches_of_many_devices() -> list[Recording]:
    """Eight backward passes a step, each loss an eighth, as where gradients are averaged over devices."""
    model = net(64, 64, 64, 10)

    def loss_fn(model, x, y):
        return F.cross_entropy(model(x), y) / 8

    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    recording = train(model, drawn(8 * 100, 8), loss_fn, optimizer, accumulate=8)
    return [confirmed(recording, False, accuracy(model), well=0.85)]


REPORTS = (
    Report(
        "norms in bfloat16",
        "vllm-project/speculators#765",
        "all weights in bfloat16, where gains of norms cannot leave 1 by steps as small as theirs",
        "weights do not move",
        (),
        norms_in_bfloat16,
    ),
    Report(
        "mask beyond half",
        "NVIDIA/apex#93",
        "padding masked by -1e15, which is minus infinity in float16",
        "half-precision overflow",
        ("not a number", "weights do not move"),
        mask_beyond_half,
    ),
    Report(
        "epsilon lost in half",
        "deepspeedai/DeepSpeed#581",
        "a LayerNorm whose epsilon is rounded away in float16, met by padding without variance",
        "not a number",
        ("half-precision overflow",),
        epsilon_lost_in_half,
    ),
    Report(
        "norm of one number",
        "pytorch/pytorch#19250",
        "each channel is normalised over a single value and becomes 0",
        "dead signal",
        ("one answer", "zero gradient"),
        norm_of_one_number,
    ),
    Report(
        "running statistics stay",
        "Cadene/pretrained-models.pytorch#5",
        "BatchNorm with momentum 0: training is fine, evaluation is not",
        "",
        (),
        running_statistics_never_updated,
    ),
    Report(
        "validation in an epoch",
        "wkentaro/pytorch-fcn#57",
        "dropout stays off from a validation until the next epoch begins",
        "evaluation mode",
        (),
        validation_within_an_epoch,
    ),
    Report(
        "accuracy check",
        "facebookresearch/clevr-iep#22",
        "the model is left in evaluation mode by the first check of its accuracy",
        "evaluation mode",
        (),
        accuracy_check_leaves_evaluation,
    ),
    Report(
        "silent clip",
        "bshall/hifigan#4",
        "a silent clip is divided by its peak, 0",
        "not a number",
        (),
        silent_clip,
    ),
    Report(
        "boxes without width",
        "lufficc/SSD#103",
        "boxes of width 0, whose logarithm is the target; the gradients stay finite",
        "not a number",
        (),
        boxes_without_width,
    ),
    Report(
        "labels in another order",
        "NoahVl/Explaining-In-Style-Reproducibility-Study#9",
        "images in the order of the folder, labels in that of a table",
        "",
        (),
        labels_in_another_order,
    ),
    Report(
        "divided by 255 twice",
        "4uiiurz1/pytorch-nested-unet#62",
        "pixels are scaled by the loader and again by the augmentation",
        "inputs not normalised",
        (),
        divided_by_255_twice,
    ),
    Report(
        "raw counts",
        "chenxijun1029/DeepFM_with_PyTorch#5",
        "counts up to thousands are squared in a factorisation machine",
        "inputs not normalised",
        (),
        raw_counts,
    ),
    Report(
        "actions in pixels",
        "huggingface/lerobot#106",
        "targets of a policy are not normalised",
        "targets not normalised",
        (),
        actions_in_their_own_units,
    ),
    Report(
        "never shuffled",
        "choderalab/modelforge#129",
        "sorted data in their order, epoch after epoch",
        "",
        (),
        never_shuffled,
    ),
    Report(
        "critic of all returns",
        "RLinf/RLinf#1568",
        "values (B,) against returns (B, 1)",
        "loss does not fit the outputs",
        (),
        critic_against_every_return,
    ),
    Report(
        "sigmoid before logits",
        "avBuffer/UNet3plus_pth#23",
        "a sigmoid in the model and another in the loss",
        "loss does not fit the outputs",
        (),
        sigmoid_before_logits,
    ),
    Report(
        "first class ignored",
        "nyu-mll/jiant#925",
        "the index of padding is that of a class, which is never learnt",
        "",
        ("loss does not fit the outputs",),
        first_class_taken_for_padding,
    ),
    Report(
        "logarithm of a softmax",
        "skorch-dev/skorch#481",
        "probabilities that round to 0 meet a logarithm",
        "not a number",
        ("learning rate too high",),
        logarithm_of_a_softmax,
    ),
    Report(
        "one advantage",
        "DLR-RM/stable-baselines3#440",
        "the standard deviation of a minibatch of one",
        "not a number",
        (),
        deviation_of_one_advantage,
    ),
    Report(
        "softmax over the batch",
        "DeepReinforcementLearning/DeepReinforcementLearningInAction#32",
        "the softmax of a policy runs over the states of a batch; small policies learn all the same",
        "",
        ("loss does not fit the outputs",),
        softmax_over_the_batch,
    ),
    Report(
        "negative unit",
        "dreamquark-ai/tabnet#515",
        "the error of a column without variance is divided by its negative mean: the loss has no minimum",
        "",
        ("loss does not fit the outputs", "inputs not normalised"),
        divided_by_a_negative_mean,
    ),
    Report(
        "schedule every batch",
        "Lornatang/SRGAN-PyTorch#1",
        "a schedule meant for epochs is stepped every batch and ends at a rate of nothing",
        "weights do not move",
        (),
        schedule_stepped_every_batch,
    ),
    Report(
        "pruned after optimizer",
        "microsoft/nni#4521",
        "pruning replaced the layers that the optimizer holds",
        "weights do not move",
        (),
        optimizer_of_the_layers_before_pruning,
    ),
    Report(
        "no zero_grad",
        "yastrebksv/TennisCourtDetector#7",
        "gradients are never cleared",
        "gradients not cleared",
        (),
        gradients_of_all_batches_before,
    ),
    Report(
        "cleared too often",
        "bytetriper/RAE#67",
        "gradients are cleared before each micro-batch: three of four are lost",
        "",
        (),
        cleared_at_every_micro_batch,
    ),
    Report(
        "not divided",
        "fastai/fastai#3023",
        "the losses of accumulated micro-batches are not divided by their number",
        "loss summed",
        ("learning rate too high",),
        accumulated_and_not_divided,
    ),
    Report(
        "extractor detaches",
        "lucidrains/CoCa-pytorch#6",
        "the image encoder's features are detached on their way to the loss",
        "weights do not move",
        (),
        extractor_detaches,
    ),
    Report(
        "layers in a list",
        "qbxlvnf11/graph-neural-networks-for-graph-classification#3",
        "graph layers in a Python list, unknown to the optimizer",
        "parts not registered",
        (),
        graph_layers_in_a_list,
    ),
    Report(
        "counts behind a ReLU",
        "jvargasmu/population_estimation#68",
        "a ReLU at the end is shut for all inputs from the first weights on",
        "zero gradient",
        ("one answer", "dead units"),
        counts_behind_a_relu,
    ),
    Report(
        "recurrent ReLU",
        "chenxie95/deeplearning_course_sjtu#31",
        "a recurrent network of ReLUs without clipping, at the rate of one of tanh",
        "recurrent explosion",
        ("learning rate too high", "not a number"),
        recurrent_relu,
    ),
    Report(
        "states in metres",
        "ZhihanLee/DDPG_Learning#2",
        "raw states drive an actor's tanh to its limits",
        "inputs not normalised",
        ("saturated",),
        states_in_metres,
    ),
    Report(
        "rate for one image",
        "amdegroot/ssd.pytorch#275",
        "the default rate with batches of one",
        "learning rate too high",
        ("not a number", "one answer"),
        default_rate_for_batches_of_one,
    ),
    Report(
        "empty density maps",
        "WeidiXie/cell_counting_v2#9",
        "targets so small and sparse that zeros lose next to nothing",
        "one answer",
        ("targets not normalised",),
        density_maps_nearly_empty,
    ),
    Report(
        "threshold at -150",
        "ssui-liu/learnable-embed-sizes-for-RecSys#4",
        "thresholds start where a sigmoid has no slope; all else learns",
        "zero gradient",
        ("weights do not move", "saturated"),
        threshold_that_never_moves,
    ),
    Report(
        "cascade without norms",
        "hellopipu/PromptMR-plus#7",
        "it learns, explodes for want of norms, and stays at a loss of 1",
        "relapse",
        ("learning rate too high",),
        cascade_without_norms,
    ),
    Report(
        "votes too large",
        "motokimura/capsnet_pytorch#1",
        "votes of capsules drawn from a unit normal",
        "init too large",
        ("saturated",),
        votes_drawn_too_large,
    ),
)

PRACTICES = (
    Practice("frozen BatchNorm", "fine-tuning with norms in evaluation mode on purpose", frozen_batch_norm),
    Practice("gradient penalty", "WGAN-GP, critic and generator", critic_with_gradient_penalty),
    Practice("actor and critic", "two models, two optimizers, a policy gradient", actor_and_critic),
    Practice("target network", "Q-learning with a slow copy", q_learning_with_target_network),
    Practice(
        "autoencoder", "sigmoid, binary cross-entropy, dark images, sparse code", autoencoder_of_dark_images
    ),
    Practice("mixture density", "a negative log likelihood below 0", mixture_density_network),
    Practice("CTC", "transcription without alignment", transcription_by_ctc),
    Practice("hinge and cosine", "losses that reach exactly 0 for most samples", hinge_and_cosine),
    Practice("R-Drop", "two passes through dropout a step", two_passes_that_agree),
    Practice("sharpness-aware", "two backward passes and a detour of the weights a step", sharpness_aware),
    Practice("always clipped", "every gradient is clipped", always_clipped),
    Practice(
        "annealed, resumed",
        "rates that end near 0, and a run that begins where another ended",
        annealed_and_resumed,
    ),
    Practice("equilibrium", "one layer in a loop, no biases", loop_without_biases),
    Practice("binary network", "straight-through gradients", binary_weights_and_activations),
    Practice("one in fifty", "rare positives, weighed", one_in_fifty),
    Practice("noisy small batches", "little to explain, batches of four", noisy_batches_of_four),
    Practice("micro-batches", "eight divided backward passes a step", micro_batches_of_many_devices),
)
