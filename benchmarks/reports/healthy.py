"""Healthy practices that may look odd to a recorder. Each is checked to learn what it can; none may be accused."""

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.reports import (
    X_TEST,
    Y_TEST,
    Practice,
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
from benchmarks.reports.looked_at import adam, convolutional, momentum, nearest_centre, regression, sentences
from gradutils.models import mlp
from gradutils.recorder import Recorder

PRACTICES: list[Practice] = []


def practice(name, what):
    """Keep the function, which gives a recording or several, as a practice's play."""

    def keep(play):
        listed = lambda: found if isinstance(found := play(), list) else [found]
        PRACTICES.append(Practice(name, what, seeded(listed)))
        return play

    return keep


def learnt(recording, score, well):
    return confirmed(recording, False, score, well=well)


def turned(x):
    """Images on their side: near to what was learnt before, and not the same."""
    return x.view(-1, 8, 8).transpose(1, 2).flatten(1)


def pretrained(steps=100):
    """Knows the digits upright."""
    model = mlp(2, 128, "relu")
    optimizer = adam(model)
    for batch in drawn(steps, 64):
        optimizer.zero_grad()
        cross_entropy(model, *batch).backward()
        optimizer.step()
    return model


@torch.no_grad()
def lost(model, x):
    return F.cross_entropy(model(x), Y_TEST).item()


class LowRank(nn.Module):
    """A frozen layer and a product B A beside it, B = 0 at the start (Hu et al. 2021)."""

    def __init__(self, layer, rank=4):
        super().__init__()
        self.layer = layer.requires_grad_(False)
        self.a = nn.Parameter(torch.randn(rank, layer.in_features) / layer.in_features**0.5)
        self.b = nn.Parameter(torch.zeros(layer.out_features, rank))

    def forward(self, x):
        return self.layer(x) + x @ self.a.T @ self.b.T


@practice("h01", "low-rank adapters beside frozen layers, B = 0, at a slow rate")
def low_rank():
    model = nn.Sequential(
        *(LowRank(part) if isinstance(part, nn.Linear) else part for part in pretrained(30))
    )
    before = lost(model, turned(X_TEST))
    moving = [p for p in model.parameters() if p.requires_grad]
    recording = train(model, drawn(200, 64, turned(X), Y), cross_entropy, torch.optim.AdamW(moving, 1e-4))
    return learnt(recording, 1 - lost(model, turned(X_TEST)) / before, 0.05)


@practice("h02", "targets of which a twenty-fifth can be explained, and a head that starts at zero")
def zero_head():
    x, y = regression(inputs=10, rows=8192)
    model = mlp(1, 64, "tanh", inputs=10, outputs=1)
    nn.init.zeros_(model.out.weight)
    nn.init.zeros_(model.out.bias)
    noisy = 0.2 * y + 0.96**0.5 * torch.randn(y.shape)
    recording = train(model, drawn(200, 128, x, noisy), squared_error, adam(model, 1e-3))
    return learnt(recording, explained(model, x, noisy), 0.01)


@practice("h03", "a Gaussian's log-likelihood: the loss passes through 0")
def likelihood():
    x, y = regression()
    y = 0.1 * y
    model = mlp(2, 64, "relu", inputs=20, outputs=2)

    def gaussian(model, x, y):
        mean, log_variance = model(x).split(1, 1)
        return F.gaussian_nll_loss(mean, y, log_variance.exp())

    recording = train(model, drawn(200, 64, x, y), gaussian, adam(model))
    return learnt(recording, 1 - ((model(x)[:, :1] - y).square().mean() / y.var()).item(), 0.5)


class Causal(nn.Module):
    """A small language model that is given ids and a mask of 0 and -inf."""

    def __init__(self, words=256, width=64, blocks=1):
        super().__init__()
        self.embed, self.place = nn.Embedding(words, width), nn.Embedding(12, width)
        for table in (self.embed, self.place):
            nn.init.normal_(table.weight, std=0.02)
        options = {"dropout": 0.0, "activation": "gelu", "batch_first": True, "norm_first": True}
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(width, 4, 2 * width, **options) for _ in range(blocks)
        )
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, words, bias=False)

    def forward(self, ids, mask):
        h = self.embed(ids) + self.place.weight[: ids.shape[1]]
        for block in self.blocks:
            h = block(h, mask)
        return self.head(self.norm(h))


def next_word(lr, steps, well):
    model, ids = Causal(), sentences()
    mask = nn.Transformer.generate_square_subsequent_mask(12)
    loss_fn = lambda model, ids: F.cross_entropy(model(ids[:, :-1], mask).flatten(0, 1), ids[:, 1:].flatten())
    recording = train(model, drawn(steps, 16, ids), loss_fn, torch.optim.AdamW(model.parameters(), lr))
    return learnt(recording, 1 - (recording.loss_curve[-10:].mean() / recording.loss_curve[0]).item(), well)


@practice("h04", "a language model given ids and a floating mask, at a slow rate")
def slow_language_model():
    return next_word(1e-4, 100, 0.02)


@practice("gpt", "a language model given ids and a floating mask")
def language_model():
    return next_word(3e-3, 100, 0.5)


def reinforce(policy, x, y):
    chosen = torch.distributions.Categorical(logits=policy(x))
    action = chosen.sample()
    reward = (action == y).float()
    return -((reward - reward.mean()) * chosen.log_prob(action)).mean()


@practice("h05", "REINFORCE: the loss says nothing, and passes through 0")
def policy_gradient():
    policy = mlp(1, 64, "tanh")
    recording = train(policy, drawn(200, 128), reinforce, adam(policy, 5e-3))
    return learnt(recording, accuracy(policy), 0.6)


@practice("h06", "a penalty on the gradient before zero_grad(set_to_none=False)")
def gradient_penalty():
    x, y = regression()
    model = mlp(2, 64, "tanh", inputs=20, outputs=1)
    optimizer = adam(model)
    with Recorder(model) as recorder:
        for rows, targets in drawn(200, 64, x, y):
            rows.requires_grad_()
            slope = torch.autograd.grad(model(rows).sum(), rows, create_graph=True)[0]
            optimizer.zero_grad(set_to_none=False)
            (0.001 * slope.square().sum(1).mean()).backward()
            loss = squared_error(model, rows, targets)
            loss.backward()
            optimizer.step()
            recorder.step(loss)
    return learnt(recorder.recording, explained(model, x, y), 0.6)


@practice("h07 lbfgs", "LBFGS: many passes a step, in a closure")
def closure():
    x, y = regression(rows=256)
    model = mlp(1, 32, "tanh", inputs=20, outputs=1)
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.5, max_iter=4)

    def again():
        optimizer.zero_grad()
        loss = squared_error(model, x, y)
        loss.backward()
        return loss

    with Recorder(model) as recorder:
        for _ in range(50):
            recorder.step(optimizer.step(again))
    return learnt(recorder.recording, explained(model, x, y), 0.8)


@practice("h07 sam", "sharpness-aware minimisation: two passes a step, the first at the batch's worst place")
def sharpness_aware():
    model = mlp(2, 64, "relu")
    optimizer, parameters = momentum(model, 0.05), list(model.parameters())
    with Recorder(model) as recorder:
        for x, y in drawn(120, 64):
            optimizer.zero_grad()
            loss = cross_entropy(model, x, y)
            loss.backward()
            length = nn.utils.get_total_norm([p.grad for p in parameters])
            uphill = [0.05 * p.grad / length for p in parameters]
            with torch.no_grad():
                torch._foreach_add_(parameters, uphill)
            optimizer.zero_grad()
            cross_entropy(model, x, y).backward()
            with torch.no_grad():
                torch._foreach_sub_(parameters, uphill)
            optimizer.step()
            recorder.step(loss)
    return learnt(recorder.recording, accuracy(model), 0.85)


@practice("h08", "each parameter is updated, and its gradient dropped, within the backward pass")
def step_in_backward():
    model = mlp(2, 64, "relu")
    optimizers = {p: torch.optim.Adam([p], 2e-3) for p in model.parameters()}

    def update(p):
        optimizers[p].step()
        optimizers[p].zero_grad()

    for p in optimizers:
        p.register_post_accumulate_grad_hook(update)
    with Recorder(model) as recorder:
        for x, y in drawn(120, 64):
            loss = cross_entropy(model, x, y)
            loss.backward()
            recorder.step(loss)
    return learnt(recorder.recording, accuracy(model), 0.85)


def energy(a, b):
    """The energy distance of two samples: 0 if they are of one distribution."""
    return (2 * torch.cdist(a, b).mean() - torch.cdist(a, a).mean() - torch.cdist(b, b).mean()).item()


@practice("gan", "two players, both recorded; the second one's gradients reach the first's weights")
def two_players():
    real = torch.randn(4096, 2) @ torch.tensor([[1.0, 0.6], [0.0, 0.5]]) + torch.tensor([2.0, -1.0])
    g = mlp(2, 64, "relu", inputs=4, outputs=2)
    d = mlp(2, 64, "leaky_relu", inputs=2, outputs=1)
    optimizers = [torch.optim.Adam(net.parameters(), 1e-3, betas=(0.5, 0.999)) for net in (d, g)]
    with torch.no_grad():
        before = energy(g(torch.randn(1000, 4)), real[:1000])
    with Recorder(d) as of_d, Recorder(g) as of_g:
        for (x,) in drawn(200, 64, real):
            ones, fake = torch.ones(64, 1), g(torch.randn(64, 4))
            optimizers[0].zero_grad(set_to_none=False)
            loss = F.binary_cross_entropy_with_logits(d(x), ones)
            loss = loss + F.binary_cross_entropy_with_logits(d(fake.detach()), 0 * ones)
            loss.backward()
            optimizers[0].step()
            of_d.step(loss)
            optimizers[1].zero_grad()
            loss = F.binary_cross_entropy_with_logits(d(fake), ones)
            loss.backward()
            optimizers[1].step()
            of_g.step(loss)
    with torch.no_grad():
        after = energy(g(torch.randn(1000, 4)), real[:1000])
    return [learnt(recorder.recording, 1 - after / before, 0.7) for recorder in (of_d, of_g)]


class Experts(nn.Module):
    """The kind of sample chooses the branch; only two kinds are met."""

    def __init__(self, width=32, count=6):
        super().__init__()
        self.first = nn.Linear(64, width)
        self.experts = nn.ModuleList(mlp(1, width, "relu", inputs=width, outputs=width) for _ in range(count))
        self.out = nn.Linear(width, 10)

    def forward(self, x):
        h = torch.relu(self.first(x))
        kind, mixed = (x[:, :32].sum(1) > x[:, 32:].sum(1)).long(), torch.zeros_like(h)
        for k in kind.unique().tolist():
            mixed[kind == k] = self.experts[k](h[kind == k])
        return self.out(h + mixed)


@practice("experts", "a mixture of experts of which four in six are never called, at a slow rate")
def unused_branches():
    model = Experts()
    recording = train(model, drawn(150, 64), cross_entropy, adam(model, 1e-4))
    return learnt(recording, accuracy(model), 0.2)


@practice("fine-tuning", "slow fine-tuning of what is trained already")
def fine_tuning():
    model = pretrained()
    x, held = (a + 1.2 * torch.randn(a.shape) for a in (X, X_TEST))
    before = lost(model, held)
    recording = train(model, drawn(200, 32, x, Y), cross_entropy, torch.optim.AdamW(model.parameters(), 5e-5))
    return learnt(recording, 1 - lost(model, held) / before, 0.03)


@practice("accumulation", "eight micro-batches a step, each loss divided by eight")
def accumulation():
    model = mlp(2, 64, "relu")
    loss_fn = lambda model, x, y: cross_entropy(model, x, y) / 8
    recording = train(model, drawn(8 * 80, 8), loss_fn, adam(model), accumulate=8)
    return learnt(recording, accuracy(model), 0.8)


@practice("autocast", "autocast to bfloat16")
def autocast():
    model = convolutional()

    def loss_fn(model, x, y):
        with torch.autocast("cpu", torch.bfloat16):
            return cross_entropy(model, x, y)

    recording = train(model, drawn(100, 64), loss_fn, adam(model))
    return learnt(recording, accuracy(model), 0.85)


@practice("distillation", "a student learns a teacher's softened answers")
def distillation():
    teacher, student = pretrained(), mlp(1, 32, "relu")

    def loss_fn(student, x, y):
        with torch.no_grad():
            soft = (teacher(x) / 4).softmax(1)
        return 16 * F.kl_div((student(x) / 4).log_softmax(1), soft, reduction="batchmean")

    recording = train(student, drawn(150, 64), loss_fn, adam(student))
    return learnt(recording, accuracy(student), 0.8)


@practice("contrastive", "InfoNCE: two noisy views of an image find each other in the batch")
def contrastive():
    model = mlp(2, 128, "relu", outputs=32)

    def info_nce(model, x, _):
        a, b = (F.normalize(model(x + 0.7 * torch.randn(x.shape)), dim=1) for _ in range(2))
        return F.cross_entropy(a @ b.T / 0.2, torch.arange(len(x)))

    recording = train(model, drawn(150, 64), info_nce, adam(model, 1e-3))
    return learnt(recording, nearest_centre(model), 0.6)


@practice("new head", "a frozen backbone and a new head")
def new_head():
    model = pretrained()
    before = [p.clone() for p in model[:-1].parameters()]
    model[:-1].requires_grad_(False)
    model.out = nn.Linear(128, 10)
    recording = train(model, drawn(150, 64, turned(X), Y), cross_entropy, adam(model.out))
    assert all(map(torch.equal, before, model[:-1].parameters()))
    return learnt(recording, accuracy(model, turned(X_TEST)), 0.6)


@practice("noise", "batches of 4, and targets of which a tenth can be explained")
def noisy_targets():
    x = torch.randn(4096, 5)
    y = x @ F.normalize(torch.randn(5, 1), dim=0) + 3 * torch.randn(4096, 1)
    model = mlp(1, 16, "tanh", inputs=5, outputs=1)
    recording = train(model, drawn(300, 4, x, y), squared_error, torch.optim.SGD(model.parameters(), 0.01))
    return learnt(recording, explained(model, x, y), 0.02)


@practice("dropout", "six units in ten are dropped, the inputs included")
def dropout():
    model = nn.Sequential(
        nn.Dropout(0.4), nn.Linear(64, 256), nn.ReLU(), nn.Dropout(0.6), nn.Linear(256, 256), nn.ReLU(),
        nn.Dropout(0.6), nn.Linear(256, 10),
    )  # fmt: skip
    recording = train(model, drawn(150, 64), cross_entropy, adam(model, 1e-3))
    return learnt(recording, accuracy(model), 0.8)


class TwoHeads(nn.Module):
    def __init__(self, width=96):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(64, width), nn.GELU(), nn.Linear(width, width), nn.GELU())
        self.label, self.ink = nn.Linear(width, 10), nn.Linear(width, 1)

    def forward(self, x):
        h = self.trunk(x)
        return self.label(h), self.ink(h)


@practice("two heads", "two tasks, and the sum of their losses")
def two_heads():
    model = TwoHeads()

    def loss_fn(model, x, y):
        logits, ink = model(x)
        return F.cross_entropy(logits, y) + 0.5 * F.mse_loss(ink[:, 0], 3 * x.mean(1))

    recording = train(model, drawn(150, 64), loss_fn, adam(model))
    right = (model(X_TEST)[0].argmax(1) == Y_TEST).float().mean().item()
    return learnt(recording, right, 0.85)


@practice("adversarial", "adversarial training: the attack's backward passes run in eval mode")
def adversarial():
    model = nn.Sequential(
        nn.Linear(64, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Dropout(0.2), nn.Linear(128, 10)
    )

    def attacked(model, x, y):
        model.eval()
        moved = x.clone().requires_grad_()
        slope = torch.autograd.grad(cross_entropy(model, moved, y), moved)[0]
        model.train()
        return cross_entropy(model, x + 0.2 * slope.sign(), y)

    recording = train(model, drawn(150, 64), attacked, adam(model))
    return learnt(recording, accuracy(model), 0.8)


@practice("average", "a moving average of the weights is kept beside the model")
def moving_average():
    model = mlp(2, 64, "relu")
    average = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.95)
    )
    update = lambda: average.update_parameters(model)
    recording = train(model, drawn(150, 64), cross_entropy, adam(model), before=update)
    return learnt(recording, accuracy(average), 0.85)


@practice("weight decay", "a large weight decay that does no harm")
def weight_decay():
    model = mlp(2, 128, "relu")
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3, weight_decay=2.0)
    recording = train(model, drawn(150, 64), cross_entropy, optimizer)
    return learnt(recording, accuracy(model), 0.85)


@practice("label smoothing", "a tenth of each label is spread over all classes")
def label_smoothing():
    model = convolutional()
    loss_fn = lambda model, x, y: F.cross_entropy(model(x), y, label_smoothing=0.1)
    recording = train(model, drawn(100, 64), loss_fn, momentum(model, 0.02))
    return learnt(recording, accuracy(model), 0.85)


@practice("absolute error", "L1 loss")
def absolute_error():
    x, y = regression()
    model = mlp(2, 64, "relu", inputs=20, outputs=1)
    loss_fn = lambda model, x, y: F.l1_loss(model(x), y)
    recording = train(model, drawn(200, 64, x, y), loss_fn, adam(model))
    return learnt(recording, explained(model, x, y), 0.5)


@practice("divergence", "log-probabilities from the model, held against soft labels by KLDivLoss")
def divergence():
    model = nn.Sequential(mlp(2, 64, "relu"), nn.LogSoftmax(1))
    soft = 0.9 * F.one_hot(Y, 10) + 0.01
    loss_fn = lambda model, x, y: F.kl_div(model(x), y, reduction="batchmean")
    recording = train(model, drawn(150, 64, X, soft), loss_fn, adam(model))
    return learnt(recording, accuracy(model), 0.85)


@practice("focal", "focal loss: what is known already counts little")
def focal():
    model = mlp(2, 64, "relu")

    def loss_fn(model, x, y):
        each = F.cross_entropy(model(x), y, reduction="none")
        return ((1 - (-each).exp()).square() * each).mean()

    recording = train(model, drawn(150, 64), loss_fn, adam(model))
    return learnt(recording, accuracy(model), 0.85)


class Reader(nn.Module):
    """Columns of pixels in, log-probabilities of a blank and ten digits out, time first."""

    def __init__(self, hidden=48):
        super().__init__()
        self.rnn = nn.LSTM(8, hidden, batch_first=True, bidirectional=True)
        self.out = nn.Linear(2 * hidden, 11)

    def forward(self, x):
        return self.out(self.rnn(x)[0]).log_softmax(2).transpose(0, 1)


@practice("ctc", "two digits side by side are read with CTC loss")
def reading():
    model = Reader()
    other = torch.randperm(len(X))
    pairs = torch.cat([X.view(-1, 8, 8), X[other].view(-1, 8, 8)], 2).transpose(1, 2)  # (N, 16, 8)
    words = torch.stack([Y, Y[other]], 1) + 1

    def loss_fn(model, x, y):
        lengths = [torch.full((len(x),), n) for n in (16, 2)]
        return F.ctc_loss(model(x), y, *lengths)

    recording = train(model, drawn(150, 64, pairs, words), loss_fn, adam(model, 1e-2))
    return learnt(recording, 1 - (recording.loss_curve[-10:].mean() / recording.loss_curve[5:15].mean()).item(), 0.4)
