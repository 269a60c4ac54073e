"""The pure functions at settings that nobody chose, with torch as the judge: clipping, schedules, weights, Gaussian integrals."""

import copy
import math
from itertools import pairwise

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.optim import lr_scheduler

from gradutils.attention import (
    A_BLOCK,
    expected_slope,
    freeze,
    scaled_attention,
    transformer_block,
    transformer_scores,
    transformer_stacks,
)
from gradutils.data import Digits
from gradutils.meanfield import chi_1, gaussian_mean, length_map
from gradutils.models import ACTIVATIONS, init_weights_, mlp, weight_stacks
from gradutils.schedules import (
    cosine,
    step_decay,
    warmup,
    warmup_cosine,
    warmup_stable_decay,
)
from gradutils.training import train_stacks

torch.set_num_threads(1)

ERRORS = 5  # the standard errors that a mean of random draws may be off
judged = settings(derandomize=True, deadline=None)
seeds = st.integers(0, 2**32 - 1)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def powers_of_ten(least, most):
    return st.floats(least, most).map(lambda power: 10**power)


# Clipping --------------------------------------------------------------------------------------------------------------
def scores_of(flat, x):
    """Networks that are no more than P numbers each: flat (N, P), x (B, outputs * P) -> (N, B, outputs)."""
    return (x.view(1, len(x), -1, flat.shape[1]) * torch.sin(flat)[:, None, None]).sum(-1)


# Of the gradient's own norm: far below it, just at it, far above it.
limits = st.sampled_from([math.inf, 0.0, 1.0, 0.9999]) | powers_of_ten(-6, 2)


@judged
@given(
    st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=3), min_size=1, max_size=4),
    st.lists(limits, min_size=1, max_size=4),
    st.sampled_from(["a limit each", "two limits each", "one limit", "one network"]),
    powers_of_ten(-4, 3),
    seeds,
)
def test_a_stack_is_clipped_as_torch_clips_each_network(shapes, limits, form, size, seed):
    limits *= 2 if form == "two limits each" else 1
    count = {"two limits each": len(limits) // 2, "one network": 1}.get(form, len(limits))
    generator = seeded(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    stacks = [draw(count, *shape) for shape in shapes]
    numbers = sum(math.prod(shape) for shape in shapes)
    x, y = size * draw(6, 3 * numbers), torch.randint(3, (6,), generator=generator)

    def alone(k):
        """Network ``k`` by itself, with its gradients, and its loss."""
        learnt = [p[k % count].clone().requires_grad_() for p in stacks]
        loss = F.cross_entropy(scores_of(torch.cat([p.flatten() for p in learnt])[None], x)[0], y)
        loss.backward()
        return learnt, loss.item()

    norms = [nn.utils.get_total_norm([p.grad for p in alone(k)[0]]) for k in range(len(limits))]
    limits = torch.tensor([limit * norm for limit, norm in zip(limits, norms, strict=True)])  # float32
    if form == "one limit":
        limits = limits[:1].repeat(count)
    seen = []

    def scores(learnt, x):
        seen.append([p.detach() for p in learnt])  # the last time they are those after the step
        return scores_of(torch.cat([p.flatten(1) for p in learnt], 1), x)

    most = float(limits[0]) if form == "one limit" else limits
    options = {"steps": 1, "batches": lambda step: (x, y), "momentum": 0.0, "max_norm": most}
    runs = train_stacks(scores, stacks, Digits(x, y, x, y), 0.5, **options)
    for k, limit in enumerate(limits.tolist()):
        learnt, loss = alone(k)
        norm = nn.utils.clip_grad_norm_(learnt, limit)
        torch.optim.SGD(learnt, 0.5).step()
        assert runs.loss[0, k].item() == pytest.approx(loss)
        assert runs.grad_norm[0, k].item() == pytest.approx(norm.item())
        for before, p, q in zip(stacks, seen[-1], learnt, strict=True):
            # The difference of two weights near 1 has lost digits.
            ours, theirs = p[k] - before[k % count], q.detach() - before[k % count]
            assert torch.allclose(ours, theirs, rtol=1e-7, atol=1e-15)


# Transformers ----------------------------------------------------------------------------------------------------------
def encoder_layer(width, heads, pre_norm, block):
    """Torch's layer with the weights of one network, given as the six of a block."""
    layer = nn.TransformerEncoderLayer(
        width, heads, 4 * width, dropout=0.0, batch_first=True, norm_first=pre_norm, bias=False
    ).double()
    attention, dense = layer.self_attn, (layer.linear1, layer.linear2)
    places = [attention.in_proj_weight, attention.out_proj.weight, *(part.weight for part in dense)]
    with torch.no_grad():
        for place, stack in zip([*places, layer.norm1.weight, layer.norm2.weight], block, strict=True):
            place.copy_(stack.view_as(place))
    return layer


@pytest.mark.parametrize("pre_norm", [False, True])
@pytest.mark.parametrize(("heads", "width"), [(1, 6), (2, 8)])
def test_a_block_is_torchs_encoder_layer_in_each_network(heads, width, pre_norm):
    generator = seeded(1)
    stacks = [p.double() for p in transformer_stacks(1, width, tokens=5, seeds=3)[2 : 2 + A_BLOCK]]
    stacks[4:] = [torch.rand(3, 1, width, generator=generator).double() + 0.5 for _ in range(2)]  # gains
    h = torch.randn(3, 4 * 5, width, generator=generator, dtype=torch.float64)
    found = transformer_block(stacks, h, 5, heads=heads, pre_norm=pre_norm)
    for k in range(3):
        layer = encoder_layer(width, heads, pre_norm, [p[k] for p in stacks])
        assert torch.allclose(found[k].view(4, 5, width), layer(h[k].view(4, 5, width)))


@pytest.mark.parametrize("pre_norm", [False, True])
def test_a_transformer_is_its_embedding_its_blocks_and_its_readout(pre_norm):
    stacks = [p.double() for p in transformer_stacks(2, 8, tokens=4, inputs=3, outputs=5, seeds=2)]
    x = torch.randn(7, 12, generator=seeded(2), dtype=torch.float64)
    found = transformer_scores(stacks, x, heads=2, pre_norm=pre_norm)
    assert torch.equal(found, transformer_scores(stacks, x.view(7, 4, 3), heads=2, pre_norm=pre_norm))
    embedding, positions, *blocks, readout = (p[1] for p in stacks)
    h = x.view(7, 4, 3) @ embedding.T + positions
    for k in range(0, len(blocks), A_BLOCK):
        h = encoder_layer(8, 2, pre_norm, blocks[k : k + A_BLOCK])(h)
    h = F.layer_norm(h, (8,)) if pre_norm else h
    assert torch.allclose(found[1], h.mean(1) @ readout.T)


def test_a_transformer_begins_as_torchs_own_does():
    """Uniform within torch's bounds, network by network another draw, and the same at each call."""
    width, stacks = 32, transformer_stacks(3, 32, seeds=4)
    assert len(stacks) == 2 + 3 * A_BLOCK + 1
    layer = nn.TransformerEncoderLayer(width, 2, 4 * width, bias=False)
    theirs = [layer.self_attn.in_proj_weight, layer.self_attn.out_proj.weight]
    theirs += [layer.linear1.weight, layer.linear2.weight]
    for ours, weight in zip(stacks[2:6], theirs, strict=True):
        assert ours.shape[1:] == weight.shape
        assert ours.abs().max().item() == pytest.approx(weight.abs().max().item(), rel=0.02)
        assert ours.square().mean().item() == pytest.approx(weight.square().mean().item(), rel=0.1)
    assert all(bool((gain == 1).all()) for gain in stacks[6:8])
    assert all(map(torch.equal, stacks, transformer_stacks(3, 32, seeds=4)))
    assert not torch.equal(stacks[0][0], stacks[0][1])


# Schedules -------------------------------------------------------------------------------------------------------------
def rates(make, steps, lr):
    """The rate of every step under the scheduler that ``make(optimizer)`` gives."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr)
    scheduler, found = make(optimizer), []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def assert_same_rates(ours, theirs, steps, lr):
    found = rates(lambda optimizer: lr_scheduler.LambdaLR(optimizer, ours), steps, lr)
    # torch multiplies from step to step, so its roundings add up.
    assert found == pytest.approx(rates(theirs, steps, lr), rel=1e-9, abs=1e-12 * lr)


counts, factors, bases = st.integers(1, 40), st.floats(0, 1), powers_of_ten(-5, 2)


def rising(optimizer, steps):
    return lr_scheduler.LinearLR(optimizer, start_factor=1 / steps, total_iters=steps - 1)


@judged
@given(counts, factors, bases)
def test_step_decay_is_torchs_milestones_and_its_exponential(every, factor, lr):
    milestones = range(every, 100, every)
    assert_same_rates(
        step_decay(every, factor), lambda o: lr_scheduler.MultiStepLR(o, milestones, factor), 100, lr
    )
    assert_same_rates(step_decay(1, factor), lambda o: lr_scheduler.ExponentialLR(o, factor), 40, lr)


@judged
@given(counts, factors, bases)
def test_cosine_is_the_first_period_of_torchs_restarts(total, floor, lr):
    assert_same_rates(
        cosine(total, floor),
        lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, total, eta_min=floor * lr),
        total,
        lr,
    )
    assert cosine(total, floor)(total) == pytest.approx(floor)


@judged
@given(counts, counts, factors, bases)
def test_warmup_and_cosine_are_torchs_in_a_row(rise, fall, floor, lr):
    def in_a_row(o):
        parts = [rising(o, rise), lr_scheduler.CosineAnnealingLR(o, fall, eta_min=floor * lr)]
        return lr_scheduler.SequentialLR(o, parts, [rise])

    assert_same_rates(warmup_cosine(rise, rise + fall, floor), in_a_row, rise + fall + 1, lr)


@judged
@given(counts, counts, counts, factors, bases)
def test_warmup_plateau_and_fall_are_torchs_in_a_row(rise, plateau, fall, floor, lr):
    def in_a_row(o):
        flat = lr_scheduler.ConstantLR(o, factor=1.0)
        parts = [rising(o, rise), flat, lr_scheduler.PolynomialLR(o, fall, power=1.0)]
        return lr_scheduler.SequentialLR(o, parts, [rise, rise + plateau])

    total = rise + plateau + fall
    to_zero, to_floor = (warmup_stable_decay(rise, total, fall, least) for least in (0.0, floor))
    assert_same_rates(to_zero, in_a_row, total + 3, lr)
    wanted = [floor + (1 - floor) * to_zero(step) for step in range(rise, total + 3)]
    assert [to_floor(step) for step in range(rise, total + 3)] == pytest.approx(wanted)


either = st.integers(0, 40)
schedules = st.one_of(  # a schedule and the length of its warmup
    st.builds(lambda rise: (warmup(rise), rise), either),
    st.builds(lambda total, floor: (cosine(total, floor), 0), either, factors),
    st.builds(
        lambda rise, fall, floor: (warmup_cosine(rise, rise + fall, floor), rise), either, either, factors
    ),
    st.builds(lambda every, factor: (step_decay(every, factor), 0), counts, factors),
    st.builds(
        lambda rise, flat, fall, floor: (warmup_stable_decay(rise, rise + flat + fall, fall, floor), rise),
        either,
        either,
        either,
        factors,
    ),
)


@judged
@given(schedules, st.randoms(use_true_random=False))
def test_every_schedule_rises_by_equal_steps_falls_ever_after_and_remembers_nothing(made, random):
    schedule, rise = made
    steps = [*range(130), 10**4, 10**9, 10**18]
    values = [schedule(step) for step in steps]
    assert all(math.isfinite(value) and 0 <= value <= 1 for value in values)
    assert values[:rise] == pytest.approx([(k + 1) / rise for k in range(rise)])
    after = values[max(rise - 1, 0) :]
    assert after == sorted(after, reverse=True)
    random.shuffle(steps)  # a run that is taken up again asks for any step first
    again = dict(zip(steps, map(schedule, steps), strict=True))
    assert [again[step] for step in sorted(steps)] == values


# Weights ---------------------------------------------------------------------------------------------------------------
sizes, sigmas = st.integers(1, 24), st.just(0.0) | powers_of_ten(-3, 2)
layers = st.one_of(
    st.builds(nn.Linear, sizes, sizes, bias=st.booleans()),
    st.builds(nn.Conv1d, sizes, sizes, st.integers(1, 5)),
    st.builds(lambda groups, n, m: nn.Conv2d(n * groups, m * groups, (2, 3), groups=groups), *[st.integers(1, 4)] * 3),
    st.builds(nn.LSTM, sizes, sizes, num_layers=st.integers(1, 2)),
    st.builds(lambda heads, width: nn.MultiheadAttention(heads * width, heads), *[st.integers(1, 4)] * 2),
    st.builds(mlp, st.integers(0, 3), sizes, inputs=sizes, norm=st.just(nn.LayerNorm)),
)  # fmt: skip


def weights_and_biases(model):
    for name, p in model.named_parameters():
        if "norm" not in name:
            yield p.detach(), p.ndim < 2


@judged
@given(layers, sigmas, sigmas, seeds)
def test_gaussian_weights_are_what_torchs_initialisers_draw(model, sigma_w, sigma_b, seed):
    theirs, generator = copy.deepcopy(model), seeded(seed)
    for p, is_bias in weights_and_biases(theirs):
        if is_bias:
            nn.init.normal_(p, 0, sigma_b, generator=generator)
        else:
            nn.init.kaiming_normal_(p, nonlinearity="linear", generator=generator).mul_(sigma_w)
    init_weights_(model, sigma_w, sigma_b, generator=seeded(seed))
    for p, q in zip(model.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(p, q, rtol=1e-5, atol=0)


@judged
@given(layers, powers_of_ten(-3, 2), sigmas, seeds)
def test_orthogonal_weights_are_torchs_at_the_mean_square_of_gaussian_ones(model, sigma_w, sigma_b, seed):
    init_weights_(model, sigma_w, sigma_b, orthogonal=True, generator=seeded(seed))
    generator = seeded(seed)
    for p, is_bias in weights_and_biases(model):
        if is_bias:
            assert torch.equal(p, nn.init.normal_(torch.empty_like(p), 0, sigma_b, generator=generator))
        else:
            q = nn.init.orthogonal_(torch.empty_like(p), generator=generator)
            assert torch.allclose(p / p.norm(), q / q.norm(), atol=1e-6)
            mean_square = float(p.double().square().mean())
            assert mean_square * p[0].numel() == pytest.approx(sigma_w**2, rel=1e-4)


@judged
@given(st.lists(st.integers(8, 40), min_size=2, max_size=4), powers_of_ten(-3, 2), st.integers(4, 8), seeds)
def test_stacks_of_weights_are_torchs_draws_and_their_networks_are_strangers(sizes, sigma_w, count, seed):
    generator = seeded(seed)
    stacks = weight_stacks(sizes, sigma_w, seeds=count, seed=seed)
    for (n, m), stack in zip(pairwise(sizes), stacks, strict=True):
        theirs = torch.empty(count, m, n, dtype=torch.float64)
        nn.init.normal_(theirs, 0, sigma_w / n**0.5, generator=generator)
        assert torch.allclose(stack.double(), theirs, rtol=1e-6, atol=0)
        unit = stack.double() * n**0.5 / sigma_w
        assert abs(unit.square().mean() - 1) < ERRORS * (2 / unit.numel()) ** 0.5
        assert abs((unit[1:] * unit[:-1]).mean()) < ERRORS / unit[1:].numel() ** 0.5


# Gaussian integrals ----------------------------------------------------------------------------------------------------
names = st.sampled_from(sorted(ACTIVATIONS))


def middles(panels):
    """Nodes and weights of the midpoint rule: no node lies on the kink at zero."""
    z = (torch.arange(-panels, panels, dtype=torch.float64) + 0.5) * 12 / panels
    w = torch.exp(-(z**2) / 2)
    return z, w / w.sum()


GRIDS = [middles(panels) for panels in (10_000, 20_000)]


def by_midpoints(function, q):
    """E[function(sqrt(q) z)], and by how much it may be off: the rule errs by the square of its step, so doubling it tells."""
    coarse, fine = (float((function(q**0.5 * z) * w).sum()) for z, w in GRIDS)
    return fine, abs(fine - coarse) + 2e-10 * abs(fine)


def square_and_slope(name):
    phi = ACTIVATIONS[name]()

    def squared_slope(x):
        x = x.clone().requires_grad_()
        return torch.autograd.grad(phi(x).sum(), x)[0] ** 2

    return lambda x: phi(x) ** 2, squared_slope


@judged
@given(names, powers_of_ten(-4, 4), st.floats(0, 5), st.floats(0, 5))
def test_length_map_and_chi_1_by_the_midpoint_rule(name, q, sigma_w, sigma_b):
    (square, off), (slope, slope_off) = (by_midpoints(f, q) for f in square_and_slope(name))
    wanted = sigma_w**2 * square + sigma_b**2
    found = length_map(name, q, sigma_w, sigma_b).item()
    assert found == pytest.approx(wanted, rel=1e-14, abs=sigma_w**2 * off)
    assert chi_1(name, sigma_w, sigma_b, q) == pytest.approx(sigma_w**2 * slope, abs=sigma_w**2 * slope_off)


@judged
@given(st.sampled_from(["tanh", "erf", "sigmoid", "selu"]), st.floats(0.3, 3), st.floats(0.05, 2))
def test_chi_1_without_q_is_that_of_the_point_where_the_length_map_stands_still(name, sigma_w, sigma_b):
    square, slope = square_and_slope(name)
    q, z, w = 1.0, *middles(1000)
    for _ in range(300):
        last, q = q, sigma_w**2 * float((square(q**0.5 * z) * w).sum()) + sigma_b**2
    assume(abs(q - last) < 1e-10 * q < 1e4)  # near criticality it takes longer
    wanted = sigma_w**2 * by_midpoints(slope, q)[0]
    assert chi_1(name, sigma_w, sigma_b) == pytest.approx(wanted, rel=1e-5)


numbers = st.floats(-2, 2)


@judged
@given(numbers, numbers, numbers, numbers, st.lists(powers_of_ten(-3, 2), min_size=1, max_size=4), seeds)
def test_gaussian_means_are_those_of_a_hundred_thousand_draws(a, b, c, d, q, seed):
    def function(x):  # a wave, a kink, a step and a line
        return a * torch.cos(x + b) + c * torch.relu(x) + d * (x > 0) + b * x

    z = torch.randn(100_000, generator=seeded(seed), dtype=torch.float64)
    found = gaussian_mean(function, torch.tensor(q, dtype=torch.float64))
    assert found.shape == (len(q),)
    for value, mean in zip(q, found.tolist(), strict=True):
        draws = function(value**0.5 * z)
        assert abs(mean - float(draws.mean())) <= ERRORS * float(draws.std()) / len(z) ** 0.5 + 1e-12


@judged
@given(st.floats(-3, 3), st.floats(-1, 1), powers_of_ten(-4, 1))
def test_gaussian_means_of_waves_and_exponentials_in_closed_form(a, b, q):
    assert gaussian_mean(lambda x: torch.cos(a * x), q).item() == pytest.approx(
        math.exp(-(a**2) * q / 2), abs=1e-11
    )
    assert gaussian_mean(lambda x: torch.exp(b * x), q).item() == pytest.approx(
        math.exp(b**2 * q / 2), rel=1e-9
    )


@judged
@given(names, powers_of_ten(-4, 4), st.floats(0.1, 5))
def test_poincare_a_layer_grows_the_gradient_at_least_as_much_as_what_varies_in_its_signal(name, q, sigma_w):
    """Var[phi(x)] <= q E[phi'(x)^2] for a Gaussian x, with equality for straight lines alone."""
    varies = (
        length_map(name, q, sigma_w).item() - (sigma_w * gaussian_mean(ACTIVATIONS[name](), q).item()) ** 2
    )
    bound = q * chi_1(name, sigma_w, q=q)
    assert varies <= bound * (1 + 1e-9)
    if name == "linear":
        assert varies == pytest.approx(bound)


def test_a_head_mixes_as_torch_does():
    q, k, v = (torch.randn(3, 2, 5, 4, generator=seeded(k), dtype=torch.float64) for k in range(3))
    assert torch.allclose(scaled_attention(q, k, v), F.scaled_dot_product_attention(q, k, v))
    wide = torch.randn(3, 2, 5, 7, generator=seeded(4), dtype=torch.float64)
    found = scaled_attention(q[..., :1, :], k, wide)
    assert torch.allclose(found, F.scaled_dot_product_attention(q[..., :1, :], k, wide))


@pytest.mark.parametrize("pre_norm", [False, True])
@pytest.mark.parametrize("blocks", [1, 2])
def test_one_token_that_asks_says_what_it_says_among_all(blocks, pre_norm):
    stacks = [p.double() for p in transformer_stacks(blocks, 8, tokens=5, inputs=3, outputs=4, seeds=2)]
    x = torch.randn(6, 5, 3, generator=seeded(3), dtype=torch.float64)
    embedding, positions, *inner, readout = stacks
    h = (x @ embedding.unsqueeze(1).mT + positions).flatten(1, 2)
    for k in range(0, len(inner), A_BLOCK):
        h = transformer_block(inner[k : k + A_BLOCK], h, 5, pre_norm=pre_norm)
    h = F.layer_norm(h, (8,)) if pre_norm else h
    everything = h.view(2, 6, 5, 8) @ readout.unsqueeze(1).mT
    for token in (-1, 2):
        found = transformer_scores(stacks, x, pre_norm=pre_norm, token=token)
        assert torch.allclose(found, everything[:, :, token])


def test_a_head_mixes_as_it_is_told():
    stacks = [p.double() for p in transformer_stacks(2, 8, tokens=5, inputs=3, seeds=2)]
    x, seen = torch.randn(6, 5, 3, generator=seeded(3), dtype=torch.float64), []

    def torchs(q, k, v):
        seen.append([tuple(part.shape) for part in (q, k, v)])
        return F.scaled_dot_product_attention(q, k, v)

    found = transformer_scores(stacks, x, pre_norm=True, mix=torchs, token=-1)
    assert torch.allclose(found, transformer_scores(stacks, x, pre_norm=True, token=-1))
    assert seen == [[(2, 6, 2, 5, 4)] * 3, [(2, 6, 2, 1, 4), (2, 6, 2, 5, 4), (2, 6, 2, 5, 4)]]
    identity = transformer_scores(stacks, x, mix=lambda q, k, v: v)
    assert not torch.allclose(identity, transformer_scores(stacks, x))


FROZEN = {
    "embedding": [(0, slice(None))],
    "positions": [(1, slice(None))],
    "queries": [(2, slice(0, 4)), (8, slice(0, 4))],
    "keys": [(2, slice(4, 8)), (8, slice(4, 8))],
    "values": [(2, slice(8, 12)), (8, slice(8, 12))],
    "output": [(3, slice(None)), (9, slice(None))],
    "dense": [(k, slice(None)) for k in (4, 5, 10, 11)],
    "gains": [(k, slice(None)) for k in (6, 7, 12, 13)],
    "readout": [(14, slice(None))],
}


@pytest.mark.parametrize("part", FROZEN)
def test_what_is_frozen_gets_no_gradient_and_all_else_the_same(part):
    stacks = [p.requires_grad_() for p in transformer_stacks(2, 4, tokens=3, inputs=2, outputs=3, seeds=2)]
    x = torch.randn(5, 3, 2, generator=seeded(6))

    def gradients(parts):
        scores = transformer_scores(freeze(stacks, parts), x, pre_norm=True)
        return torch.autograd.grad(scores.square().sum(), stacks)

    expected = [g.clone() for g in gradients(())]
    for place, rows in FROZEN[part]:
        assert expected[place][:, rows].abs().max() > 0
        expected[place][:, rows] = 0
    assert all(map(torch.equal, gradients((part,)), expected))
    assert all(map(torch.equal, freeze(stacks, (part,)), stacks))
    with pytest.raises(ValueError, match=r"parts must be names of parts of a transformer; got \['query'\]"):
        freeze(stacks, ("query", part))


@pytest.mark.parametrize("tokens", [1, 2, 16, 300])
@pytest.mark.parametrize("s", [0.0, 0.3, 1.0, 3.0, 12.0, 40.0])
def test_the_expected_slope_of_a_softmax_is_that_of_many_draws(s, tokens):
    z = s * torch.randn(8000, tokens, generator=seeded(5), dtype=torch.float64)
    slopes = 1 - z.softmax(-1).square().sum(-1)
    error = 5 * slopes.std().item() / 8000**0.5
    assert expected_slope(s, tokens) == pytest.approx(slopes.mean().item(), abs=error + 1e-4)


def test_an_expected_slope_needs_a_spread_and_a_token():
    for s, tokens in ((-1.0, 4), (math.nan, 4), (1.0, 0)):
        with pytest.raises(ValueError, match="s must be at least 0, and there must be a token"):
            expected_slope(s, tokens)
