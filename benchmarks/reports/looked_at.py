"""Faults from public reports, each rebuilt from its description on small data: what was wrong, and the same run repaired.

``own`` in place of a repository means that nobody reported it by that description.
"""

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
    train,
)
from gradutils.models import TransformerBlock, mlp

REPORTS: list[Report] = []


def reported(name, source, fault, illness, *also):
    """Keep the function as the report's play: it is given whether to be faulty, and draws from the seed."""

    def keep(play):
        REPORTS.append(Report(name, source, fault, illness, also, seeded(play)))
        return play

    return keep


def adam(model, lr=2e-3, **options):
    return torch.optim.Adam(model.parameters(), lr, **options)


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
        for k, (x, y, mask) in enumerate(drawn(120, 64, X, Y, padded)):
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
    recording = train(model, drawn(200, 64), cross_entropy, momentum(model, 0.01))
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
    recording = train(model, drawn(120, 64), denoising, optimizer)
    with torch.no_grad():
        clean = model((X_TEST + torch.randn(X_TEST.shape)).half()).float()
    score = 1 - ((clean - X_TEST).square().mean() / X_TEST.var(0).mean()).item()
    return confirmed(recording, faulty, score, sick=0.0, well=0.1)


class Rows(nn.Module):
    """A recurrent network over the image's rows, two at a time or fewer, and a readout of its last state."""

    def __init__(self, cell=nn.LSTM, hidden=48, pixels=8):
        super().__init__()
        self.pixels = pixels
        self.rnn, self.out = cell(pixels, hidden, batch_first=True), nn.Linear(hidden, 10)

    def forward(self, x):
        return self.out(self.rnn(x.view(len(x), -1, self.pixels))[0][:, -1])


@reported(
    "c07",
    "spro/practical-pytorch#9",
    "the optimizer holds the parameters of another instance",
    "weights do not move",
)
def another_instance(faulty):
    model = Rows(nn.GRU)
    optimizer = adam(Rows(nn.GRU) if faulty else model, 5e-3)
    recording = train(model, drawn(150, 64), cross_entropy, optimizer, clear=model.zero_grad)
    return confirmed(recording, faulty, accuracy(model), sick=0.3, well=0.7)


class Encoder(nn.Module):
    """A transformer over 16 tokens of four pixels."""

    def __init__(self, width=32, blocks=2, pre_ln=True):
        super().__init__()
        self.embed = nn.Linear(4, width)
        self.place = nn.Parameter(0.1 * torch.randn(16, width))
        self.blocks = nn.ModuleList(TransformerBlock(width, 4, pre_ln=pre_ln) for _ in range(blocks))
        self.norm, self.out = nn.LayerNorm(width), nn.Linear(width, 10)

    def forward(self, x):
        h = self.embed(x.view(len(x), 16, 4)) + self.place
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
    recording = train(model, drawn(200, 64), loss_fn, torch.optim.AdamW(model.parameters(), 3e-5))
    return confirmed(recording, faulty, accuracy(model.float()), sick=0.75, well=0.8)
