"""Theory, propagation, curvature and the recorder, each against the plain way and against what others use."""

import contextlib
import io
import logging
import os
import tempfile
import warnings

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.patients import Transformer, convolutional
from benchmarks.timing import Line, compare, interleave, milliseconds
from gradutils import propagation
from gradutils.curvature import hessian_vector_product, lanczos
from gradutils.data import digits
from gradutils.meanfield import critical_sigma_w
from gradutils.models import init_weights_, mlp
from gradutils.recorder import Recorder
from gradutils.training import train

X, Y, _, _ = digits()


def theory(rounds):
    times = {"tanh, with biases": 0.05**0.5, "sigmoid": 0.0, "relu": 0.0}
    arms = {name: lambda name=name, b=b: critical_sigma_w(name.split(",")[0], b) for name, b in times.items()}
    found = interleave(arms, rounds)
    return [milliseconds(f"critical_sigma_w, {name}", seconds, "20 ms") for name, seconds in found.items()]


def one_network(depth, width, sigma_w, seed, batch):
    """The plain way: build the module, run it forward and back, read each layer."""
    torch.manual_seed(seed)
    model = init_weights_(mlp(depth, width, "tanh", inputs=width), sigma_w)
    h, zs = torch.randn(batch, width), []
    for name, layer in model.named_children():
        h = layer(h)
        if name.startswith("fc"):
            h.retain_grad()
            zs.append(h)
    (torch.randn(batch, 10) * h).sum(1).mean().backward()
    return [(z.grad.square().mean().sqrt().item(), model.get_submodule(f"fc{k + 1}").weight.grad.norm().item()) for k, z in enumerate(zs)]  # fmt: skip


def one_point(width, depth, sigma_w, sigma_b):
    """chi_1 at one point of the phase diagram, the plain way: the gradient's growth over the second half of the layers."""
    torch.manual_seed(0)
    model = init_weights_(mlp(depth, width, "tanh", inputs=width), sigma_w, sigma_b)
    h, zs = torch.randn(1, width), []
    for name, layer in model.named_children():
        h = layer(h)
        if name.startswith("fc"):
            zs.append(h)
    middle, last = torch.autograd.grad((h * torch.randn(10)).sum(), [zs[depth // 2], zs[-1]])
    return (middle.norm() / last.norm()).item() ** (4 / depth)


def propagating(rounds):
    gains, depths, seeds, lines = [0.5 + 0.25 * k for k in range(9)], (2, 5, 10, 20), 5, []
    for width, aim in ((32, "10 x"), (64, "3 x")):
        arms = {
            "loop": lambda w=width: [one_network(d, w, s, seed, 16) for d in depths for s in gains for seed in range(seeds)],
            "batched": lambda w=width: propagation.gradient_profile(depths, w, "tanh", gains, seeds=seeds, batch=16),
            "batched again": lambda w=width: propagation.gradient_profile(depths, w, "tanh", gains, seeds=seeds, batch=16),
        }  # fmt: skip
        times = interleave(arms, rounds)
        what = f"180 networks, 9 gains x depths {depths} x 5 seeds, width {width}"
        lines.append(milliseconds(what, times["batched"], "20 ms" if width == 32 else ""))
        lines.append(compare("… faster than the loop over modules", times, "loop", "batched", aim))
        lines.append(compare("… A/A", times, "batched again", "batched", "1"))
    grid = torch.linspace(0.5, 4, 40), torch.linspace(0, 2, 40)
    points = [(float(grid[0][i]), float(grid[1][(7 * i) % 40])) for i in range(40)]
    times = interleave(
        {
            "loop": lambda: [one_point(64, 40, w, b) for w, b in points],
            "batched": lambda: propagation.phase_diagram("tanh", *grid, width=64, depth=40),
        },
        rounds,
    )
    times["loop"] = [40 * seconds for seconds in times["loop"]]
    lines.append(milliseconds("40 x 40 phase diagram, width 64, depth 40", times["batched"]))
    lines.append(
        compare(
            "… faster than a loop over the points (40 of them, times 40)", times, "loop", "batched", "30 x"
        )
    )
    return lines


def curvature(rounds):
    torch.manual_seed(0)
    model = init_weights_(mlp(2, 24, "tanh"), 1.0)
    train(model, F.cross_entropy, [(X[:300], Y[:300])] * 100, torch.optim.SGD(model.parameters(), 0.1))
    parameters = list(model.parameters())
    size = sum(p.numel() for p in parameters)

    def loss():
        return F.cross_entropy(model(X[:300]), Y[:300])

    def power(products, v):
        """Power iteration as in most tutorials: the graph is built anew for each product."""
        for _ in range(products):
            v = v / v.norm()
            grads = torch.autograd.grad(loss(), parameters, create_graph=True)
            flat = torch.cat([g.reshape(-1) for g in grads])
            hv = torch.cat([g.reshape(-1) for g in torch.autograd.grad(flat @ v, parameters)])
            value, v = (v @ hv).item(), hv
        return value

    def ours(products, v):
        return lanczos(hessian_vector_product(loss(), parameters), v, products)[-1].item()

    truth, starts = ours(60, torch.randn(size)), [torch.randn(size) for _ in range(10)]

    def needed(method):
        """Products that bring every one of ten random starts within 1 %: what one would have to set."""
        return max(next(n for n in range(2, 100) if abs(method(n, v) / truth - 1) < 0.01) for v in starts)

    few, many = needed(ours), needed(power)
    arms = {
        "Lanczos": lambda: ours(few, torch.randn(size)),
        "again": lambda: ours(few, torch.randn(size)),
        "power": lambda: power(many, torch.randn(size)),
    }
    with contextlib.suppress(ImportError):
        from pyhessian import hessian

        def peer():
            with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return hessian(model, F.cross_entropy, data=(X[:300], Y[:300]), cuda=False).eigenvalues(
                    tol=1e-2
                )[0][0]

        arms["PyHessian"] = peer
    times = interleave(arms, rounds)
    lines = [
        Line("Lanczos: products to 1 % of the largest eigenvalue, worst of 10 starts", str(few), aim="20"),
        Line("power iteration: the same", str(many)),
        milliseconds("sharpness of a 64-24-24-10 tanh network, 300 digits", times["Lanczos"]),
        compare("… A/A", times, "again", "Lanczos", "1"),
        compare("… faster than power iteration on a rebuilt graph", times, "power", "Lanczos", "3 x"),
    ]
    if "PyHessian" in times:
        lines.append(compare("… faster than PyHessian (tolerance 1 %)", times, "PyHessian", "Lanczos"))
    return lines


# What to make, the batch at which the peers are measured, and the aims for norms and for everything.
MODELS = {
    "20 x 128 MLP": (lambda: init_weights_(mlp(20, 128), 2**0.5), 256, (1.20, 1.50)),
    "100 x 64 MLP": (lambda: init_weights_(mlp(100, 64), 2**0.5), 256, (1.20, 1.80)),
    "4-block transformer": (lambda: Transformer(64, 4, True, heads=4), 32, (1.20, 1.50)),
    "convnet": (lambda: convolutional(32, True, nn.ReLU), 128, (1.20, 1.50)),
}
OPTIMIZERS = {"SGD": torch.optim.SGD, "Adam": torch.optim.Adam}
BATCHES = (32, 128, 256)
SETTLED = 200  # steps
BUDGET = 0.05
TURN = 0.03  # seconds that an arm trains at a time, one step at least and ten at most


def steps_of(model, batch, optimizer, after=lambda model, loss: None):
    """Some training steps, as a function of how many."""
    optimizer, rows = OPTIMIZERS[optimizer](model.parameters(), 1e-4), torch.arange(batch)

    def steps(many):
        for k in range(many):
            at = (rows + k * batch) % len(X)
            optimizer.zero_grad()
            loss = F.cross_entropy(model(X[at]), Y[at])
            loss.backward()
            optimizer.step()
            after(model, loss)

    return steps


class Naive:
    """What one writes in a hurry: a hook on each layer, a loop over the parameters, ``.item()`` everywhere."""

    def __init__(self, model):
        self.before, self.seen = [p.detach().clone() for p in model.parameters()], []
        for module in model.modules():
            if not list(module.children()):
                module.register_forward_hook(self.look)

    def look(self, module, args, out):
        h = out[0] if isinstance(out, tuple) else out
        zero = (h == 0).float()
        self.seen.append(
            (
                h.mean().item(),
                h.std().item(),
                zero.mean().item(),
                (h == 0).flatten(0, -2).all(0).float().mean().item(),
            )
        )
        if h.requires_grad:
            h.register_hook(lambda g: self.seen.append(g.norm().item()))

    def __call__(self, model, loss):
        self.row = [loss.item()]
        for k, p in enumerate(model.parameters()):
            if p.grad is not None:
                change = (p.detach() - self.before[k]).norm().item()
                self.row += [
                    p.grad.norm().item(),
                    p.detach().norm().item(),
                    change / (self.before[k].norm().item() + 1e-12),
                ]
                self.before[k] = p.detach().clone()
        self.seen.clear()


class FastaiStyle:
    """Mean, standard deviation and a histogram of each layer's output, as activation hooks of courses record them."""

    def __init__(self, model):
        self.stats = []
        for module in model.modules():
            if not list(module.children()):
                module.register_forward_hook(self.look)

    def look(self, module, args, out):
        h = (out[0] if isinstance(out, tuple) else out).detach()
        self.stats.append((h.mean().item(), h.std().item(), h.abs().histc(40, 0, 10).cpu()))

    def __call__(self, model, loss):
        self.stats.clear()


def peers(make):
    """(name, model, what is called after each step) for the libraries that are installed."""
    yield "a loop of .item() over tensors and hooks", (model := make()), Naive(model)
    yield "fastai-style hooks: mean, std, histogram", (model := make()), FastaiStyle(model)
    with contextlib.suppress(ImportError):
        from lightning.pytorch.utilities import grad_norm

        yield "lightning's grad_norm", make(), lambda model, loss: grad_norm(model, 2)
    with contextlib.suppress(ImportError):
        from torch.utils.tensorboard import SummaryWriter

        writer = SummaryWriter(tempfile.mkdtemp())

        def histograms(model, loss):
            for name, p in model.named_parameters():
                writer.add_histogram(name, p, 0)
                writer.add_histogram(f"{name}.grad", p.grad, 0)

        yield "TensorBoard histograms of weights and gradients", make(), histograms
    with contextlib.suppress(ImportError):
        os.environ |= {"WANDB_MODE": "offline", "WANDB_SILENT": "true"}
        logging.getLogger("wandb").setLevel(logging.ERROR)
        import wandb

        run = wandb.init(dir=tempfile.mkdtemp(), project="bench")
        model = make()
        run.watch(model, log="all", log_freq=1)
        yield "wandb.watch, offline", model, lambda model, loss: run.log({"loss": loss.item()})


def recorder(rounds):
    """Each model at each batch and optimizer: the ratio is that of a turn of steps to one of plain steps."""
    sections = {}
    for name, (make, peers_batch, aims) in MODELS.items():
        sections[name] = []
        for batch in BATCHES:
            for optimizer in OPTIMIZERS:
                others = list(peers(make)) if (batch, optimizer) == (peers_batch, "Adam") else []
                sections[name] += setting(make, batch, optimizer, aims, others, rounds)
    return sections


def setting(make, batch, optimizer, aims, others, rounds):
    """One model at one batch and optimizer: plain, again, norms, everything, within a budget, and the peers."""
    torch.manual_seed(0)
    recorders = {"norms": {"every": 1, "activations": False, "deltas": False}, "everything": {"every": 1}}
    recorders["budget"] = {"budget": BUDGET}
    arms = {arm: steps_of(make(), batch, optimizer) for arm in ("plain", "again")}
    with contextlib.ExitStack() as stack:
        for arm, options in recorders.items():
            model = make()
            watching = stack.enter_context(Recorder(model, **options))
            arms[arm] = steps_of(
                model, batch, optimizer, lambda model, loss, watching=watching: watching.step(loss)
            )
        for peer, model, after in others:
            arms[peer] = steps_of(model, batch, optimizer, after)
        arms["budget"](SETTLED)  # the first are recorded whatever they cost, and then paid back
        arms["plain"](1)
        many = min(10, max(1, round(TURN / interleave({"one": lambda: arms["plain"](1)}, 3)["one"][-1])))
        turns = {arm: lambda steps=steps: steps(many) for arm, steps in arms.items()}
        times = interleave(turns, rounds)
        # Records are few: their share shows in long turns.
        longer = {arm: lambda steps=arms[arm]: steps(5 * many) for arm in ("plain", "budget")}
        long_turns = interleave(longer, rounds)
    what = f"batch {batch}, {optimizer}"
    lines = [
        milliseconds(f"a plain step, {what}", [t / many for t in times["plain"]]),
        compare("… A/A: a plain step again", times, "again", "plain", "1"),
        compare("… norms of gradients, weights, updates", times, "norms", "plain", f"{aims[0]:.2f}"),
        compare("… everything", times, "everything", "plain", f"{aims[1]:.2f}"),
    ]
    kept = sum(long_turns["budget"]) / sum(long_turns["plain"])
    what = f"… within a budget of {BUDGET:.0%}, after {SETTLED} steps"
    lines.append(Line(what, f"{kept:.3f} x", "", f"{1 + BUDGET:.2f}"))
    lines += [compare(f"… {peer}", times, peer, "plain") for peer, _, _ in others]
    if others:
        ours, theirs = (
            [a - b for a, b in zip(times[arm], times["plain"], strict=True)]
            for arm in ("everything", others[0][0])
        )
        share = sorted(a / b for a, b in zip(ours, theirs, strict=True))
        spread = f"{share[0]:.2f} to {share[-1]:.2f}"
        middle = f"{share[len(share) // 2]:.2f}"
        lines.append(Line("… added by the recorder / by the .item() loop", middle, spread, "0.50"))
    return lines
