"""The training loop against loops written by hand with plain torch, bit for bit."""

import copy
import math
from functools import partial
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import LambdaLR

from gradutils.data import digits
from gradutils.models import mlp, weight_stacks
from gradutils.recorder import Recorder
from gradutils.schedules import warmup_cosine
from gradutils.training import History, grid, train, train_many

torch.set_num_threads(1)

X, Y, _, _ = digits()
STEPS = 12
BATCHES = [(X[20 * k : 20 * k + 20], Y[20 * k : 20 * k + 20]) for k in range(STEPS)]
OPTIMIZERS = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, 0.1),
    "momentum": lambda parameters: torch.optim.SGD(parameters, 0.05, momentum=0.9, weight_decay=1e-3),
    "adam": lambda parameters: torch.optim.Adam(parameters, 0.01),
}


def network():
    torch.manual_seed(0)
    return mlp(3, 16)


def by_hand(model, optimizer, *, max_norm=math.inf, schedule=None):
    """Losses, rates and gradient norms of the loop as everyone writes it."""
    scheduler = LambdaLR(optimizer, schedule or (lambda step: 1.0))
    losses, rates, norms = [], [], []
    for x, y in BATCHES:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        norms.append(nn.utils.clip_grad_norm_(model.parameters(), max_norm).item())
        losses.append(loss.item())
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return losses, rates, norms


def assert_same_weights(a, b):
    for (name, p), q in zip(a.state_dict().items(), b.state_dict().values(), strict=True):
        assert torch.equal(p, q), name


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(
    "options",
    [{}, {"max_norm": 0.5}, {"schedule": warmup_cosine(4, STEPS, 0.1)}, {"max_norm": 0.5, "schedule": warmup_cosine(4, STEPS)}],
    ids=["plain", "clipped", "scheduled", "both"],
)  # fmt: skip
def test_training_equals_a_loop_written_by_hand(optimizer, options):
    ours, theirs = network(), network()
    make = OPTIMIZERS[optimizer]
    history = train(ours, F.cross_entropy, BATCHES, make(ours.parameters()), **options)
    losses, rates, norms = by_hand(theirs, make(theirs.parameters()), **options)
    assert_same_weights(ours, theirs)
    assert (history.loss, history.lr, history.grad_norm) == (losses, rates, norms)
    assert history.diverged_at is None


def test_the_loop_by_hand_without_a_clip_is_the_same():
    ours, theirs = network(), network()
    train(ours, F.cross_entropy, BATCHES, torch.optim.SGD(ours.parameters(), 0.1))
    optimizer = torch.optim.SGD(theirs.parameters(), 0.1)
    for x, y in BATCHES:
        optimizer.zero_grad()
        F.cross_entropy(theirs(x), y).backward()
        optimizer.step()
    assert_same_weights(ours, theirs)


def test_a_clip_that_binds_bounds_the_step_and_the_history_keeps_the_norm_before():
    model = network()
    before = nn.utils.parameters_to_vector(model.parameters()).detach().clone()
    history = train(
        model, F.cross_entropy, BATCHES[:1], torch.optim.SGD(model.parameters(), 1.0), max_norm=0.01
    )
    step = nn.utils.parameters_to_vector(model.parameters()).detach() - before
    assert step.norm().item() == pytest.approx(0.01, rel=1e-3)
    assert history.grad_norm[0] > 0.1


def test_every_group_follows_the_schedule_and_gets_its_rate_back():
    model = network()
    groups = [{"params": model.fc1.parameters(), "lr": 0.1}, {"params": model.out.parameters(), "lr": 0.02}]
    optimizer, seen = torch.optim.SGD(groups), []
    train(
        model,
        F.cross_entropy,
        BATCHES[:4],
        optimizer,
        schedule=lambda step: 1 / (step + 1),
        measure=lambda loss: seen.append([group["lr"] for group in optimizer.param_groups]),
    )
    assert seen == [pytest.approx([0.1 / (k + 1), 0.02 / (k + 1)]) for k in range(4)]
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.02]


@pytest.mark.parametrize("where", ["model", "loss", "measure", "batches"])
def test_the_rate_is_put_back_even_if_something_raises(where):
    def fail_at_the_third(*_):
        fail_at_the_third.calls += 1
        if fail_at_the_third.calls == 3:
            raise RuntimeError("third")

    fail_at_the_third.calls = 0

    def loss_fn(outputs, y):
        if where == "loss":
            fail_at_the_third()
        return F.cross_entropy(outputs, y)

    def batches():
        for batch in BATCHES:
            if where == "batches":
                fail_at_the_third()
            yield batch

    model = network()
    if where == "model":
        model.register_forward_hook(fail_at_the_third)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    measure = fail_at_the_third if where == "measure" else None
    with pytest.raises(RuntimeError, match="third"):
        train(model, loss_fn, batches(), optimizer, schedule=lambda step: 0.5, measure=measure)
    assert optimizer.param_groups[0]["lr"] == 0.1


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_a_loss_that_is_not_finite_ends_the_run_before_the_weights_are_touched(value):
    calls = []

    def loss_fn(outputs, y):
        calls.append(None)
        return F.cross_entropy(outputs, y) * (value if len(calls) == 4 else 1)

    ours, theirs = network(), network()
    optimizer = torch.optim.Adam(ours.parameters(), 0.01)
    history = train(ours, loss_fn, BATCHES, optimizer, max_norm=1.0, schedule=lambda step: 0.5)
    train(
        theirs,
        F.cross_entropy,
        BATCHES[:3],
        torch.optim.Adam(theirs.parameters(), 0.01),
        max_norm=1.0,
        schedule=lambda step: 0.5,
    )
    assert history.diverged_at == 3
    assert len(history) == len(history.lr) == len(history.grad_norm) == 4
    assert not math.isfinite(history.loss[-1])
    assert_same_weights(ours, theirs)
    assert optimizer.param_groups[0]["lr"] == 0.01


def test_a_gradient_that_is_not_finite_under_a_finite_loss_ends_the_run_too():
    model = nn.Linear(2, 1)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    history = train(
        model,
        lambda outputs, y: outputs.abs().sqrt().mean(),
        [(torch.ones(3, 2), torch.zeros(3))],
        torch.optim.SGD(model.parameters(), 0.1),
    )
    assert history.loss == [0.0]
    assert history.diverged_at == 0
    assert (model.weight == 0).all()


def test_gradient_descent_above_the_edge_diverges_where_plain_arithmetic_says():
    """On w^2 / 2 a rate of 3 doubles w and flips its sign; the loss leaves single precision at 2^(2k - 1) >= 2^128."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.ones_(model.weight)
    batches = [(torch.ones(1, 1), torch.zeros(1, 1))] * 200
    optimizer = torch.optim.SGD(model.parameters(), 3.0)
    history = train(model, lambda outputs, y: (outputs - y).square().mean() / 2, batches, optimizer)
    assert history.diverged_at in (64, 65)  # whether the square overflows before it is halved
    assert history.loss[:60] == [2.0 ** (2 * k - 1) for k in range(60)]
    assert model.weight.isfinite().all()


def test_measure_sees_the_weights_after_the_step_and_the_gradients_of_it():
    model, reference = network(), network()
    optimizer = torch.optim.SGD(reference.parameters(), 0.1)
    wanted = []
    for x, y in BATCHES:
        optimizer.zero_grad()
        loss = F.cross_entropy(reference(x), y)
        loss.backward()
        optimizer.step()
        wanted.append((loss.item(), reference.fc1.weight.detach().clone(), reference.fc1.weight.grad.clone()))

    def measure(loss):
        return loss.item(), model.fc1.weight.detach().clone(), model.fc1.weight.grad.clone()

    history = train(
        model, F.cross_entropy, BATCHES, torch.optim.SGD(model.parameters(), 0.1), measure=measure
    )
    assert len(history.measured) == STEPS
    for (loss, weight, grad), truth in zip(history.measured, wanted, strict=True):
        assert loss == truth[0]
        assert torch.equal(weight, truth[1])
        assert torch.equal(grad, truth[2])


def test_what_measure_returns_is_collected_without_the_nones():
    steps = iter(range(STEPS))

    def measure(loss):
        step = next(steps)
        return step if step % 3 == 0 else None

    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    history = train(model, F.cross_entropy, BATCHES, optimizer, measure=measure)
    assert history.measured == [0, 3, 6, 9]  # zero is a value, not a None
    assert len(history) == STEPS


def test_a_recorder_records_the_run():
    model, reference = network(), network()
    with Recorder(model) as recorder:
        history = train(
            model,
            F.cross_entropy,
            BATCHES,
            torch.optim.SGD(model.parameters(), 0.1),
            measure=recorder.step,
        )
    losses, _, norms = by_hand(reference, torch.optim.SGD(reference.parameters(), 0.1))
    assert_same_weights(model, reference)
    assert recorder.steps.tolist() == list(range(STEPS))
    assert recorder.loss.tolist() == pytest.approx(losses)
    assert recorder.grad_norm.square().sum(1).sqrt().tolist() == pytest.approx(norms, rel=1e-5)
    assert not recorder.stale.any()
    assert history.measured == []


def test_a_recorder_sees_the_step_that_diverged():
    model = network()
    with Recorder(model) as recorder:
        history = train(
            model,
            lambda outputs, y: F.cross_entropy(outputs, y) * (math.inf if len(recorder.steps) == 2 else 1),
            BATCHES,
            torch.optim.SGD(model.parameters(), 0.1),
            measure=recorder.step,
        )
    assert history.diverged_at == 2
    assert recorder.first_nonfinite.step == 2


@pytest.mark.parametrize("kind", ["generator", "zip", "loader"])
def test_batches_may_be_any_iterable(kind):
    batches = {
        "generator": lambda: (batch for batch in BATCHES),
        "zip": lambda: zip(X[: 20 * STEPS].split(20), Y[: 20 * STEPS].split(20), strict=True),
        "loader": lambda: torch.utils.data.DataLoader(
            torch.utils.data.TensorDataset(X[: 20 * STEPS], Y[: 20 * STEPS]), 20
        ),
    }[kind]()
    ours, theirs = network(), network()
    history = train(ours, F.cross_entropy, batches, torch.optim.SGD(ours.parameters(), 0.1))
    by_hand(theirs, torch.optim.SGD(theirs.parameters(), 0.1))
    assert_same_weights(ours, theirs)
    assert len(history) == STEPS


def test_no_batches_no_history():
    model = network()
    before = copy.deepcopy(model)
    history = train(model, F.cross_entropy, [], torch.optim.SGD(model.parameters(), 0.1))
    assert history == History()
    assert len(history) == 0
    assert_same_weights(model, before)


def test_frozen_parameters_stay_and_do_not_count():
    model = network()
    model.fc1.requires_grad_(False)
    before = model.fc1.weight.clone()
    norms = []

    def measure(loss):
        grads = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
        norms.append(torch.cat(grads).norm().item())

    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    history = train(model, F.cross_entropy, BATCHES, optimizer, measure=measure)
    assert torch.equal(model.fc1.weight, before)
    assert history.grad_norm == pytest.approx(norms, rel=1e-5)


def test_gradients_left_from_before_are_cleared():
    ours, theirs = network(), network()
    for p in ours.parameters():
        p.grad = torch.ones_like(p)
    train(ours, F.cross_entropy, BATCHES[:1], torch.optim.SGD(ours.parameters(), 0.1))
    train(theirs, F.cross_entropy, BATCHES[:1], torch.optim.SGD(theirs.parameters(), 0.1))
    assert_same_weights(ours, theirs)


@pytest.mark.parametrize("adam", [False, True])
@pytest.mark.parametrize("with_biases", [False, True])
def test_many_networks_at_once_equal_torch_one_by_one(adam, with_biases):
    generator, data, steps = torch.Generator().manual_seed(3), digits(), 6
    sizes, rates = (64, 9, 10), (0.01, 0.003)
    weights = [torch.randn(2, m, n, generator=generator) / n**0.5 for n, m in pairwise(sizes)]
    biases = [torch.randn(2, m, generator=generator) for m in sizes[1:]] if with_biases else None
    kept = [w.clone() for w in weights]
    runs = train_many(
        torch.tanh,
        weights,
        data,
        torch.tensor(rates),
        biases=biases,
        steps=steps,
        at=(2,),
        batch=8,
        adam=adam,
    )
    assert runs.loss.shape == (steps, 2)
    assert runs.accuracy.shape == (2, 2)
    assert all(torch.equal(a, b) for a, b in zip(weights, kept, strict=True))
    for k, lr in enumerate(rates):
        net = torch.nn.Sequential(
            torch.nn.Linear(64, 9, bias=with_biases),
            torch.nn.Tanh(),
            torch.nn.Linear(9, 10, bias=with_biases),
        )
        with torch.no_grad():
            for i, layer in enumerate((net[0], net[2])):
                layer.weight.copy_(weights[i][k])
                if with_biases:
                    layer.bias.copy_(biases[i][k])
        build = torch.optim.Adam if adam else partial(torch.optim.SGD, momentum=0.9)
        draw = torch.Generator().manual_seed(0)
        rows = [torch.randint(1400, (8,), generator=draw) for _ in range(steps)]
        history = train(
            net,
            F.cross_entropy,
            [(data.x_train[r], data.y_train[r]) for r in rows],
            build(net.parameters(), lr=lr),
        )
        assert runs.loss[:, k].tolist() == pytest.approx(history.loss, rel=1e-4)
        right = (net(data.x_test).argmax(-1) == data.y_test).float().mean()
        assert float(runs.accuracy[-1, k]) == pytest.approx(float(right), abs=0.006)


@pytest.mark.parametrize(
    "options",
    [
        {"max_norm": 0.3},
        {"max_norm": lambda norms: norms.quantile(0.1, dim=0)},
        {"schedule": lambda step: 1 / (1 + step)},
        {"momentum": 0.0},
        {"adam": True, "beta2": 0.9, "max_norm": 0.3},
        {"adam": True, "weight_decay": 2.0, "eps": 1e-3},
        {"reduction": "sum", "max_norm": 2.0},
        {"clear": False, "max_norm": 0.3},
    ],
)
def test_stacks_train_as_torch_does(options):
    steps, lr, weights = 5, 0.01, weight_stacks([64, 7, 10], 1.5, seeds=2)
    rows = torch.randint(1400, (steps, 8), generator=torch.Generator().manual_seed(4))
    data = digits()
    batches = lambda k: (data.x_train[rows[k]], data.y_train[rows[k]])  # noqa: E731
    runs = train_many(torch.tanh, weights, data, lr, batches=batches, steps=steps, **options)
    for k in range(2):
        net = torch.nn.Sequential(
            torch.nn.Linear(64, 7, bias=False), torch.nn.Tanh(), torch.nn.Linear(7, 10, bias=False)
        )
        net[0].weight.data, net[2].weight.data = (W[k].clone() for W in weights)
        if options.get("adam"):
            optimizer = torch.optim.AdamW(
                net.parameters(),
                lr=lr,
                betas=(0.9, options.get("beta2", 0.999)),
                eps=options.get("eps", 1e-8),
                weight_decay=options.get("weight_decay", 0.0),
            )
        else:
            optimizer = torch.optim.SGD(net.parameters(), lr=lr, momentum=options.get("momentum", 0.9))
        norms = []
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = lr * options.get("schedule", lambda step: 1)(step)
            if options.get("clear", True):
                optimizer.zero_grad()
            x, y = batches(step)
            loss = F.cross_entropy(net(x), y, reduction=options.get("reduction", "mean"))
            loss.backward()
            norms.append(torch.nn.utils.get_total_norm([p.grad for p in net.parameters()]))
            if limit := options.get("max_norm"):
                limit = float(limit(torch.stack(norms)[:, None])) if callable(limit) else limit
                torch.nn.utils.clip_grad_norm_(net.parameters(), limit)
            optimizer.step()
            assert float(runs.loss[step, k]) == pytest.approx(loss.item(), rel=1e-4)
        assert runs.grad_norm[:, k].tolist() == pytest.approx([float(n) for n in norms], rel=1e-4)


def test_settings_can_differ_by_network():
    weights = [W[:1].repeat(3, 1, 1) for W in weight_stacks([64, 8, 10], seeds=1)]
    limits, rates = torch.tensor([0.1, 1.0, math.inf]), torch.tensor([0.1, 0.01, 0.001])
    together = train_many(torch.relu, weights, digits(), rates, max_norm=limits, steps=4)
    for k in range(3):
        alone = train_many(
            torch.relu,
            [W[k : k + 1] for W in weights],
            digits(),
            float(rates[k]),
            max_norm=float(limits[k]),
            steps=4,
        )
        assert together.loss[:, k].tolist() == pytest.approx(alone.loss[:, 0].tolist(), rel=1e-5)


def test_a_limit_does_not_mend_a_gradient_that_is_no_number():
    runs = train_many(torch.relu, weight_stacks([64, 8, 10], 1e25, seeds=2), digits(), 0.1, max_norm=1.0, steps=3)  # fmt: skip
    assert runs.loss[-1].isnan().all()


def test_a_grid_holds_every_combination_for_each_seed():
    lr, limit = grid([0.1, 0.01], [1.0, 2.0, math.inf], seeds=4)
    assert lr.shape == limit.shape == (24,)
    assert lr.view(2, 3, 4)[1, 2].tolist() == pytest.approx([0.01] * 4)
    assert limit.view(2, 3, 4)[0, 1].tolist() == [2.0] * 4
    (alone,) = grid([1.0, 2.0], seeds=2)
    assert alone.tolist() == [1.0, 1.0, 2.0, 2.0]


def test_stacks_are_repeated_for_the_settings():
    weights, (lr,) = weight_stacks([64, 8, 10], seeds=2), grid([0.1, 0.01], seeds=2)
    short = train_many(torch.tanh, weights, digits(), lr, steps=3)
    long = train_many(torch.tanh, [W.repeat(2, 1, 1) for W in weights], digits(), lr, steps=3)
    assert torch.equal(short.loss, long.loss)
    with pytest.raises(ValueError, match="multiple of the 2 networks; got 3"):
        train_many(torch.tanh, weights, digits(), torch.ones(3), steps=1)
