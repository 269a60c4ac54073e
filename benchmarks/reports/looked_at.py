"""Faults from public reports, each rebuilt from its description on small data: what was wrong, and the same run repaired.

``own`` in place of a repository marks a control, or a fault of the same kind as a reported one in a form of its own.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.reports import (
    X_TEST,
    Y_TEST,
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
from gradutils.models import TransformerBlock, mlp
from gradutils.recorder import Recorder

REPORTS: list[Report] = []


def reported(name, source, fault, illness, *also):
    """Keep the function as the report's play: it is given whether to be faulty, and draws from the seed."""

    def keep(play):
        REPORTS.append(Report(name, source, fault, illness, also, seeded(play)))
        return play

    return keep


def adam(model, lr=2e-3):
    return torch.optim.Adam(model.parameters(), lr)


def momentum(model, lr):
    return torch.optim.SGD(model.parameters(), lr, momentum=0.9)


def regression(inputs=20, hidden=32, outputs=1, rows=2048):
    """Inputs, and targets of a small random network: mean 0, variance 1."""
    x = torch.randn(rows, inputs)
    y = torch.tanh(x @ torch.randn(inputs, hidden) / inputs**0.5) @ torch.randn(hidden, outputs)
    return x, (y - y.mean(0)) / y.std(0)


class Attention(nn.Module):
    """Four pixels a token; padding is masked."""

    def __init__(self, width=32):
        super().__init__()
        self.embed = nn.Linear(4, width)
        self.place = nn.Parameter(0.1 * torch.randn(16, width))
        self.attn = nn.MultiheadAttention(width, 4, batch_first=True)
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(16 * width, 10)

    def forward(self, x, padded):
        h = self.embed(x.view(-1, 16, 4)) + self.place
        h = self.norm(h + self.attn(h, h, h, key_padding_mask=padded)[0])
        return self.out(h.flatten(1))


@reported(
    "c01",
    "pytorch/pytorch#40932",
    "attention to a row that is all padding: softmax of nothing but -inf",
    "not a number",
)
def wholly_padded(faulty):
    model = Attention()
    padded = torch.zeros(len(X), 16, dtype=torch.bool)
    padded[:, 14:] = True

    def batches():
        for k, (x, y, mask) in enumerate(drawn(100, 64, X, Y, padded)):
            if k == 12 and faulty:
                mask[5] = True
            yield x, y, mask

    loss_fn = lambda model, x, y, mask: F.cross_entropy(model(x, mask), y)
    recording = train(model, batches(), loss_fn, adam(model))
    with torch.no_grad():
        right = (model(X_TEST, padded[: len(X_TEST)]).argmax(1) == Y_TEST).float().mean().item()
    return confirmed(recording, faulty, right, sick=0.2, well=0.8)


def centres(e, y):
    return torch.stack([e[y == c].mean(0) for c in y.unique()])


def nearest_centre(model):
    """Accuracy of the nearest class centre."""
    with torch.no_grad():
        e, train_e = model.eval()(X_TEST), model(X)
    return (torch.cdist(e, centres(train_e, Y)).argmin(1) == Y_TEST).float().mean().item()


@reported(
    "c02",
    "pqhieu/jsis3d#26",
    "square root of 0 in a distance to the mean of an instance of one point: its slope is infinite",
    "not a number",
)
def root_of_zero(faulty):
    def discriminative(model, x, y):
        e, inside = model(x), 0
        means = centres(e, y)
        root = lambda square: (square if faulty else square + 1e-8).sqrt()
        for c, mean in zip(y.unique(), means, strict=True):
            far = root((e[y == c] - mean).square().sum(1))
            inside = inside + F.relu(far - 0.5).square().mean() / len(means)
        a, b = torch.triu_indices(len(means), len(means), 1)
        between = F.relu(3 - root((means[a] - means[b]).square().sum(1))).square().mean()
        return inside + between

    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 8))
    recording = train(model, drawn(150, 32), discriminative, adam(model))
    return confirmed(recording, faulty, nearest_centre(model), sick=0.2, well=0.8)


@reported(
    "c03",
    "Photon-AI-Research/NeuralSolvers#20",
    "MSELoss of (B, 1) against (B,): every output is held against every target",
    "loss does not fit the outputs",
)
def broadcast(faulty):
    x, y = regression()
    model = nn.Sequential(nn.Linear(20, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1))
    loss_fn = lambda model, x, y: F.mse_loss(model(x), y[:, 0] if faulty else y)
    recording = train(model, drawn(200, 64, x, y), loss_fn, adam(model))
    return confirmed(recording, faulty, explained(model, x, y), sick=0.1, well=0.6)


@reported(
    "c04",
    "jindongwang/Deep-learning-activity-recognition#10",
    "softmax in the model, and CrossEntropyLoss takes it once more",
    "loss does not fit the outputs",
)
def softmax_twice(faulty):
    model = nn.Sequential(
        nn.Unflatten(1, (4, 16)),
        nn.Conv1d(4, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool1d(2),
        nn.Conv1d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool1d(2),
        nn.Flatten(),
        nn.Linear(256, 100),
        nn.ReLU(),
        nn.Linear(100, 10),
        nn.Softmax(1) if faulty else nn.Identity(),
    )
    recording = train(model, drawn(150, 32), cross_entropy, momentum(model, 0.01))
    return confirmed(recording, faulty, accuracy(model), sick=0.6, well=0.8)


@reported(
    "c05",
    "pytorch/pytorch#8860",
    "Adam's epsilon of 1e-8 is 0 in float16: the first step divides by it",
    "not a number",
    "half-precision overflow",
)
def epsilon_of_half(faulty):
    model = mlp(2, 128, "gelu", outputs=64).half()

    def denoising(model, x, _):
        return F.mse_loss(model((x + torch.randn(x.shape)).half()).float(), x)

    optimizer = torch.optim.Adam(model.parameters(), 1e-3, eps=1e-8 if faulty else 1e-4)
    recording = train(model, drawn(100, 64), denoising, optimizer)
    with torch.no_grad():
        clean = model((X_TEST + torch.randn(X_TEST.shape)).half()).float()
    score = 1 - ((clean - X_TEST).square().mean() / X_TEST.var(0).mean()).item()
    return confirmed(recording, faulty, score, sick=0.0, well=0.1)


class Rows(nn.Module):
    """A recurrent network reads the image row by row, and its last state is read out."""

    def __init__(self, hidden=48):
        super().__init__()
        self.rnn, self.out = nn.GRU(8, hidden, batch_first=True), nn.Linear(hidden, 10)

    def forward(self, x):
        return self.out(self.rnn(x.view(-1, 8, 8))[0][:, -1])


@reported(
    "c07",
    "spro/practical-pytorch#9",
    "the optimizer holds the parameters of another instance",
    "weights do not move",
)
def another_instance(faulty):
    model = Rows()
    optimizer = adam(Rows() if faulty else model, 5e-3)
    recording = train(model, drawn(150, 64), cross_entropy, optimizer, clear=model.zero_grad)
    return confirmed(recording, faulty, accuracy(model), sick=0.3, well=0.7)


class Encoder(nn.Module):
    """A transformer over the pixels, a few a token."""

    def __init__(self, width=32, blocks=2, pre_ln=True, pixels=4):
        super().__init__()
        self.embed = nn.Linear(pixels, width)
        self.place = nn.Parameter(0.1 * torch.randn(64 // pixels, width))
        self.blocks = nn.ModuleList(TransformerBlock(width, 4, pre_ln=pre_ln) for _ in range(blocks))
        self.norm, self.out = nn.LayerNorm(width), nn.Linear(width, 10)

    def forward(self, x):
        h = self.embed(x.view(len(x), *self.place.shape[:1], -1)) + self.place
        for block in self.blocks:
            h = block(h)
        return self.out(self.norm(h).mean(1))


@reported(
    "c08",
    "NVIDIA-NeMo/Automodel#3444",
    "weights in bfloat16: small updates are rounded away",
    "weights do not move",
)
def rounded_away(faulty):
    dtype = torch.bfloat16 if faulty else torch.float32
    model = mlp(3, 128, "gelu", norm=nn.LayerNorm).to(dtype)
    loss_fn = lambda model, x, y: F.cross_entropy(model(x.to(dtype)).float(), y)
    recording = train(model, drawn(150, 64), loss_fn, torch.optim.AdamW(model.parameters(), 4e-5))
    return confirmed(recording, faulty, accuracy(model.float()), sick=0.5, well=0.7)


@reported(
    "c09",
    "discuss.pytorch.org: Neural network could not learn on this type of data, why?",
    "raw inputs up to 4000, raw targets up to 6e10",
    "targets not normalised",
    "inputs not normalised",
)
def raw_numbers(faulty):
    x = 4000 * torch.rand(2048, 3)
    y = x[:, :1] * x[:, 1:2] * x[:, 2:]
    if not faulty:
        x, y = (x - x.mean(0)) / x.std(0), (y - y.mean()) / y.std()
    model = nn.Sequential(nn.Linear(3, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
    recording = train(model, drawn(200, 32, x, y), squared_error, adam(model, 1e-3))
    return confirmed(recording, faulty, explained(model, x, y), sick=0.1, well=0.8)


class Listed(nn.Module):
    """Hidden layers in a plain list, or in one that the model knows."""

    def __init__(self, hidden_in):
        super().__init__()
        self.layers = hidden_in([nn.Linear(64 if k == 0 else 32, 32) for k in range(10)])
        self.out = nn.Linear(32, 10)

    def forward(self, x):
        for layer in self.layers:
            x = torch.relu(layer(x))
        return self.out(x)


def he_normal_(module):
    if isinstance(module, nn.Linear):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        nn.init.zeros_(module.bias)


@reported(
    "c11",
    "pytorch/pytorch#715",
    "layers in a Python list, which model.parameters() does not see",
    "parts not registered",
)
def plain_list(faulty):
    model = Listed(list if faulty else nn.ModuleList).apply(he_normal_)
    recording = train(model, drawn(200, 64), cross_entropy, momentum(model, 0.01))
    return confirmed(recording, faulty, accuracy(model), sick=0.4, well=0.8)


def convolutional():
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)),
        nn.Conv2d(1, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(512, 10),
    )


@reported(
    "c12",
    "xingyizhou/CenterNet#928",
    "zero_grad is missing: the gradients of all steps add up",
    "gradients not cleared",
)
def never_cleared(faulty):
    model = nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)),
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(512, 10),
    )
    clear = (lambda: None) if faulty else model.zero_grad
    recording = train(model, drawn(120, 64), cross_entropy, momentum(model, 0.02), clear=clear)
    return confirmed(recording, faulty, accuracy(model), sick=0.7, well=0.8)


@reported(
    "c13",
    "isayev/ReLeaSE#39",
    "a policy's loss is made of detached numbers, and requires_grad_() silences the error",
    "weights do not move",
    "zero gradient",
)
def cut_graph(faulty):
    def reinforce(policy, x, y):
        chosen = torch.distributions.Categorical(logits=policy(x))
        action = chosen.sample()
        reward = (action == y).float()
        log_probability = chosen.log_prob(action)
        if faulty:
            log_probability = torch.tensor(log_probability.tolist())
        loss = -((reward - reward.mean()) * log_probability).mean()
        return loss.requires_grad_() if faulty else loss

    policy = nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 10))
    recording = train(policy, drawn(200, 128), reinforce, adam(policy, 5e-3))
    return confirmed(recording, faulty, accuracy(policy), sick=0.3, well=0.6)


@reported(
    "c15",
    "lululxvi/deepxde#80",
    "a physics-informed network with ReLU: its second derivative is zero, so the equation teaches nothing",
    "zero gradient",
    "one answer",
)
def no_second_derivative(faulty):
    """-u'' = pi^2 sin(pi x) with u = 0 at both ends; the answer is sin(pi x)."""
    act = nn.ReLU if faulty else nn.Tanh
    u = nn.Sequential(nn.Linear(1, 32), act(), nn.Linear(32, 32), act(), nn.Linear(32, 1))
    ends = torch.tensor([[0.0], [1.0]])

    def residual(u, x):
        x = x.requires_grad_()
        slope = torch.autograd.grad(u(x).sum(), x, create_graph=True)[0]
        bend = torch.autograd.grad(slope.sum(), x, create_graph=True)[0]
        source = math.pi**2 * torch.sin(math.pi * x)
        return (bend + source).square().mean() + 100 * u(ends).square().mean()

    batches = ((torch.rand(64, 1),) for _ in range(150))
    recording = train(u, batches, residual, adam(u, 5e-3))
    x = torch.linspace(0, 1, 101)[:, None]
    return confirmed(recording, faulty, explained(u, x, torch.sin(math.pi * x)), sick=0.2, well=0.9)


def distances(e):
    return (e[:, None] - e).square().sum(2).clamp(min=1e-12).sqrt()


@reported(
    "c17",
    "omoindrot/tensorflow-triplet-loss#6",
    "triplet loss on the hardest triplets: all embeddings fall onto one point and the loss stands at the margin",
    "one answer",
    "dead signal",
)
def collapse(faulty):
    def triplets(model, x, y):
        d = distances(model(x))
        same = y[:, None] == y
        if faulty:
            far, near = (d * same).amax(1), d.masked_fill(same, math.inf).amin(1)
            return F.relu(far - near + 0.5).mean()
        losses = F.relu(d[:, :, None] - d[:, None] + 0.5) * (same[:, :, None] & ~same[:, None])
        return losses.sum() / (losses > 0).sum().clamp(min=1)

    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 32))
    noisy = X + 1.5 * torch.randn(X.shape)
    recording = train(model, drawn(200, 64, noisy, Y), triplets, adam(model))
    return confirmed(recording, faulty, nearest_centre(model), sick=0.5, well=0.8)


class VAE(nn.Module):
    def __init__(self, hidden=128, latent=8):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, hidden), nn.ReLU())
        self.mean, self.log_variance = nn.Linear(hidden, latent), nn.Linear(hidden, latent)
        self.decoder = nn.Sequential(nn.Linear(latent, hidden), nn.ReLU(), nn.Linear(hidden, 64))

    def forward(self, x):
        h = self.encoder(x)
        mean, log_variance = self.mean(h), self.log_variance(h)
        z = mean + torch.randn(mean.shape) * (log_variance / 2).exp()
        return self.decoder(z), mean, log_variance


def divergence(mean, log_variance):
    """KL from N(0, 1), of each sample."""
    return (mean.square() + log_variance.exp() - log_variance - 1).sum(1) / 2


@reported(
    "c18",
    "AppliedDataSciencePartners/WorldModels#12",
    "a VAE's KL summed and its reconstruction averaged: the code is ignored, all outputs are the mean image",
    "one answer",
    "loss summed",
)
def ignored_code(faulty):
    def negative_elbo(model, x, _):
        output, mean, log_variance = model(x)
        error, kl = (output - x).square(), divergence(mean, log_variance)
        return error.mean() + kl.sum() if faulty else error.sum(1).mean() + kl.mean()

    model = VAE()
    recording = train(model, drawn(150, 64), negative_elbo, adam(model))
    with torch.no_grad():
        left = (model(X_TEST)[0] - X_TEST).square().mean() / X_TEST.var(0).mean()
    return confirmed(recording, faulty, 1 - left.item(), sick=0.05, well=0.2)


class Tied(nn.Module):
    """A small language model whose readout is its embedding."""

    def __init__(self, words=256, width=128, std=1.0):
        super().__init__()
        self.embed = nn.Embedding(words, width)
        nn.init.normal_(self.embed.weight, std=std)
        self.place = nn.Parameter(std * torch.randn(12, width))
        self.block, self.norm = TransformerBlock(width, 4), nn.LayerNorm(width)

    def forward(self, ids):
        mixed = self.block(self.embed(ids) + self.place[: ids.shape[1]])
        return self.norm(mixed) @ self.embed.weight.T


def sentences(words=256, length=13, count=2048):
    """Each word is followed by one of two."""
    follow, ids = torch.randint(words, (words, 2)), [torch.randint(words, (count,))]
    for _ in range(length - 1):
        ids.append(follow[ids[-1], torch.randint(2, (count,))])
    return torch.stack(ids, 1)


@reported(
    "c19",
    "syncdoth/RetNet#31",
    "the embedding is drawn from N(0, 1) and is the readout as well: the loss starts at 11 times ln V",
    "init too large",
)
def tied_embedding(faulty):
    model, ids = Tied(std=1.0 if faulty else 0.02), sentences()
    loss_fn = lambda model, ids: F.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
    recording = train(model, drawn(100, 8, ids), loss_fn, adam(model, 1e-3))
    gained = 1 - recording.loss_curve[-20:].mean().item() / math.log(256)
    return confirmed(recording, faulty, gained, sick=0.0, well=0.5)


class Turned(nn.Module):
    """An LSTM that wants time first: it is given it by view, which mixes the samples, or by transpose."""

    def __init__(self, by_view):
        super().__init__()
        self.by_view, self.rnn, self.out = by_view, nn.LSTM(8, 48), nn.Linear(48, 10)

    def forward(self, x):
        x = x.view(len(x), 8, 8)
        x = x.view(8, len(x), 8) if self.by_view else x.transpose(0, 1)
        return self.out(self.rnn(x)[0][-1])


@reported("c20", "HHTseng/video-classification#42", "view where transpose belongs: samples are mixed", "")
def mixed_samples(faulty):
    model = Turned(faulty)
    recording = train(model, drawn(150, 64), cross_entropy, adam(model, 5e-3))
    return confirmed(recording, faulty, accuracy(model), sick=0.4, well=0.75)


@reported(
    "c23",
    "keras-team/keras#3687",
    "a ReLU after the last layer, dead from the first step by an unlucky draw: every output is 0",
    "dead units",
    "zero gradient",
    "loss does not fit the outputs",
    "one answer",
)
def dead_output(faulty):
    x, y = regression(inputs=16)
    body = [nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1)]
    model = nn.Sequential(*body, *([nn.ReLU()] if faulty else []))
    with torch.no_grad():
        while faulty and (model(x) > 0).any():  # the report is of such a draw
            for layer in body[::2]:
                layer.reset_parameters()
    recording = train(model, drawn(150, 32, x, y), squared_error, adam(model))
    return confirmed(recording, faulty, explained(model, x, y), sick=0.02, well=0.5)


@reported(
    "c24",
    "facebookresearch/ReAgent#189",
    "Q-learning without a target network: the targets move with the outputs, and both grow without end",
    "",
)
def moving_targets(faulty):
    states, following = torch.randn(1024, 8), 1.5 * torch.randn(1024, 8)
    reward = torch.tanh(states @ torch.randn(8, 4))
    q = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 4))
    frozen = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 4))

    def batches():
        for k, batch in enumerate(drawn(200, 64, states, following, reward)):
            if k % 100 == 0:
                frozen.load_state_dict(q.state_dict())
            yield batch

    def bellman(q, state, after, reward):
        action = torch.randint(4, (len(state), 1))
        with torch.no_grad():
            target = reward.gather(1, action) + 0.99 * (q if faulty else frozen)(after).amax(1, keepdim=True)
        return F.mse_loss(q(state).gather(1, action), target)

    recording = train(q, batches(), bellman, adam(q, 1e-2))
    score = accuracy(q, states, reward.argmax(1))
    return confirmed(recording, faulty, score, sick=0.6, well=0.7)


@reported(
    "c25",
    "pytorch/pytorch#40907",
    "gradients are clipped while they are scaled for half precision, and unscaled after",
    "weights do not move",
)
def clipped_while_scaled(faulty):
    model, scaler = convolutional(), torch.amp.GradScaler("cpu")
    optimizer = momentum(model, 0.05)
    with Recorder(model) as recorder:
        for x, y in drawn(120, 64):
            optimizer.zero_grad()
            loss = cross_entropy(model, x, y)
            scaler.scale(loss).backward()
            if not faulty:
                scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            scaler.step(optimizer)
            scaler.update()
            recorder.step(loss)
    return confirmed(recorder.recording, faulty, accuracy(model), sick=0.3, well=0.8)


@reported(
    "c26", "pytorch/pytorch#65417", "OneCycleLR is stepped once an epoch: the rate stays at its start", ""
)
def cycle_by_epoch(faulty):
    model = mlp(2, 64, "relu")
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=200)
    every = 22 if faulty else 1  # 1400 / 64 batches an epoch
    recording = train(model, drawn(200, 64), cross_entropy, optimizer, schedule=cycle, every=every)
    return confirmed(recording, faulty, accuracy(model), well=0.85)


@reported(
    "c27", "pytorch/torchtitan#1261", "the rate is 0 for the whole of the first epoch", "weights do not move"
)
def rate_of_zero(faulty):
    model = Encoder(blocks=1)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    warmup = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: min(1, k / 20))
    every = 1000 if faulty else 1  # batches an epoch
    recording = train(model, drawn(100, 32), cross_entropy, optimizer, schedule=warmup, every=every)
    return confirmed(recording, faulty, accuracy(model), sick=0.3, well=0.6)


@reported("c29", "ratschlab/DeepSpot#9", "one row of the data is NaN, met at step 28", "not a number")
def broken_row(faulty):
    x, y = regression(inputs=32, outputs=8)
    model = mlp(2, 128, "relu", inputs=32, outputs=8)

    def batches():
        for k, (rows, targets) in enumerate(drawn(150, 64, x, y)):
            if k == 28 and faulty:
                rows[7] = math.nan
            yield rows, targets

    recording = train(model, batches(), squared_error, adam(model))
    return confirmed(recording, faulty, explained(model, x, y), sick=0.0, well=0.5)


@reported(
    "c31",
    "agokrani/distillKitPlus#5",
    "16 micro-batches a step, and the loss is not divided",
    "loss summed",
    "learning rate too high",
)
def undivided(faulty):
    teacher, model = mlp(2, 64, "tanh"), mlp(2, 128, "relu")
    with torch.no_grad():
        soft = (8 * teacher(X)).softmax(1)

    def distillation(model, x, target):
        kl = F.kl_div(model(x).log_softmax(1), target, reduction="batchmean")
        return kl if faulty else kl / 16

    recording = train(model, drawn(16 * 50, 8, X, soft), distillation, momentum(model, 0.4), accumulate=16)
    with torch.no_grad():
        agree = (model(X_TEST).argmax(1) == teacher(X_TEST).argmax(1)).float().mean().item()
    return confirmed(recording, faulty, agree, sick=0.4, well=0.6)


@reported(
    "c33",
    "abhuse/polyloss-pytorch#5",
    "97 of 100 samples are of one class, and only that one is answered",
    "one answer",
)
def rare_class(faulty):
    y = (torch.rand(4096) < 0.03).long()
    x = torch.randn(4096, 32) + 0.22 * y[:, None]
    model = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2))
    weight = None if faulty else torch.tensor([1 / 0.97, 1 / 0.03])
    loss_fn = lambda model, x, y: F.cross_entropy(model(x), y, weight)
    recording = train(model, drawn(150, 128, x, y), loss_fn, torch.optim.SGD(model.parameters(), 0.1))
    rare = accuracy(model, x[y == 1], y[y == 1])
    return confirmed(recording, faulty, rare, sick=0.02, well=0.5)


@reported(
    "c35",
    "stanford-crfm/mistral#115",
    "4 broken records at step 100 throw the weights away, and the run never comes back",
    "relapse",
    "dead units",
)
def broken_records(faulty):
    model = mlp(2, 64, "relu")

    def batches():
        for k, (x, y) in enumerate(drawn(200, 64)):
            if k == 100 and faulty:
                x[:4] = 1000 * x[:4].flip(1)
            yield x, y

    recording = train(model, batches(), cross_entropy, momentum(model, 0.1))
    return confirmed(recording, faulty, accuracy(model), sick=0.3, well=0.85)


@reported(
    "c36",
    "LiyuanLucasLiu/Transformer-Clinic#16",
    "post-LN without a warmup",
    "learning rate too high",
    "missing warmup",
)
def no_warmup(faulty):
    model = Encoder(blocks=6, pre_ln=False, pixels=8)
    optimizer = adam(model, 1e-2)
    warmup = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: 1.0 if faulty else min(1, k / 60))
    recording = train(model, drawn(100, 32), cross_entropy, optimizer, schedule=warmup)
    return confirmed(recording, faulty, accuracy(model), sick=0.35, well=0.5)


@reported("c37", "own", "labels shuffled against the inputs", "")
def shuffled(faulty):
    model = mlp(2, 64, "relu")
    y = Y[torch.randperm(len(Y))] if faulty else Y
    recording = train(model, drawn(150, 64, X, y), cross_entropy, adam(model))
    return confirmed(recording, faulty, accuracy(model), sick=0.3, well=0.85)


@reported("s01", "own", "a rate of exactly 0 from the first step to the last", "weights do not move")
def nothing_is_trained(faulty):
    x, y = regression(inputs=8)
    model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1))
    recording = train(model, drawn(150, 16, x, y), squared_error, momentum(model, 0.0 if faulty else 0.03))
    return confirmed(recording, faulty, explained(model, x, y), sick=0.1, well=0.4)


@reported(
    "s02",
    "timeseriesAI/tsai#150",
    "the squared error of log(1 + output), and outputs fall below -1; targets from 0.001 to 1000",
    "not a number",
)
def logarithm_of_a_negative(faulty):
    x = torch.randn(2048, 16)
    y = (6.9 * torch.tanh(x @ torch.randn(16, 1) / 3)).exp().log1p()
    model = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 1))
    loss_fn = lambda model, x, y: F.mse_loss(model(x).log1p() if faulty else model(x), y)
    recording = train(model, drawn(150, 64, x, y), loss_fn, momentum(model, 0.05))
    return confirmed(recording, faulty, explained(model, x, y), sick=0.0, well=0.5)


@reported(
    "s03",
    "pytorch/tutorials#1624",
    "eval() for a validation, and no train() after it",
    "evaluation mode",
)
def never_back(faulty):
    model = nn.Sequential(convolutional()[:-1], nn.Dropout(0.5), nn.Linear(512, 10))

    def batches():
        for k, batch in enumerate(drawn(100, 64)):
            if k and k % 40 == 0:
                accuracy(model)
                model.train(not faulty)
            yield batch

    recording = train(model, batches(), cross_entropy, adam(model))
    return confirmed(recording, faulty, accuracy(model), well=0.85)


@reported("s04", "own", "targets around 10000, thousands apart", "targets not normalised")
def far_targets(faulty):
    x, y = regression()
    shown = 3000 * y + 10000 if faulty else y
    model = mlp(2, 64, "relu", inputs=20, outputs=1)
    recording = train(model, drawn(200, 64, x, shown), squared_error, adam(model))
    return confirmed(recording, faulty, explained(model, x, shown), sick=0.0, well=0.5)


@reported("s05", "own", "a weight decay that takes more than the gradient gives", "one answer")
def decayed(faulty):
    model = mlp(3, 64, "relu")
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9, weight_decay=0.2 if faulty else 1e-4)
    recording = train(model, drawn(150, 64), cross_entropy, optimizer)
    return confirmed(recording, faulty, accuracy(model), sick=0.3, well=0.85)
