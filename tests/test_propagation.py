"""The batched passes against one plain network at a time, its weights set from the same draws, and torch's autograd."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from gradutils import meanfield, propagation
from gradutils.meanfield import predicted_residual_profile
from gradutils.models import mlp
from gradutils.propagation import (
    draw,
    gradient_profile,
    phase_diagram,
    residual_profile,
    rotations,
    with_slope,
)

torch.set_num_threads(1)

WIDTH, BATCH, SEEDS = 12, 5, 3


def plain_network(draws, seed, depth, activation, sigma_w, sigma_b) -> nn.Sequential:
    """A gradutils.models.mlp in double precision that carries the draws of one seed as its weights."""
    width = draws.x.shape[-1]
    gain = sigma_w / width**0.5
    network = mlp(depth, width, activation, inputs=width).double()
    with torch.no_grad():
        for k in range(depth):
            dense = network.get_submodule(f"fc{k + 1}")
            dense.weight.copy_(gain * draws.weights[seed, k].double())
            dense.bias.copy_(sigma_b * draws.biases[seed, k].double())
        network.out.weight.copy_(gain * draws.readout[seed].double())
        network.out.bias.zero_()
    return network


def by_autograd(draws, seed, depth, activation, sigma_w, sigma_b=0.0):
    """RMS of delta, norm of the weights' gradient and q, each (depth,), by one backward pass."""
    network = plain_network(draws, seed, depth, activation, sigma_w, sigma_b)
    h, pre_activations = draws.x[seed].double(), []
    for name, layer in network.named_children():
        h = layer(h)
        if name.startswith("fc"):
            h.retain_grad()
            pre_activations.append(h)
    (draws.direction[seed].double() * h).sum(1).mean().backward()
    return (
        torch.stack([z.grad.square().mean().sqrt() for z in pre_activations]),
        torch.stack([network.get_submodule(f"fc{k + 1}").weight.grad.norm() for k in range(depth)]),
        torch.stack([z.detach().square().mean() for z in pre_activations]),
    )


@pytest.mark.parametrize("activation", ["tanh", "relu", torch.sin], ids=["tanh", "relu", "sin"])
@pytest.mark.parametrize("sigma_b", [0.0, 0.3])
def test_a_profile_equals_plain_backpropagation(activation, sigma_b):
    depth, sigmas = 6, [0.7, 1.5, 2.2]
    profile = gradient_profile(
        depth, WIDTH, activation, sigmas, sigma_b=sigma_b, seeds=SEEDS, batch=BATCH, dtype=torch.float64
    )
    assert all(values.shape == (len(sigmas), SEEDS, depth) for values in profile)
    draws = draw(SEEDS, depth, WIDTH, BATCH, torch.float64)
    for i, sigma_w in enumerate(sigmas):
        for seed in range(SEEDS):
            truth = by_autograd(draws, seed, depth, activation, sigma_w, sigma_b)
            for values, wanted in zip(profile, truth, strict=True):
                assert torch.allclose(values[i, seed], wanted, rtol=1e-10, atol=0)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("sigma_b", [0.0, 0.3])
def test_several_depths_in_any_order_equal_plain_backpropagation(activation, sigma_b):
    depths, sigmas = [3, 7, 1, 3, 5, 7], [0.9, 1.6]
    profile = gradient_profile(
        depths, WIDTH, activation, sigmas, sigma_b=sigma_b, seeds=SEEDS, batch=BATCH, dtype=torch.float64
    )
    assert all(values.shape == (len(depths), len(sigmas), SEEDS, 7) for values in profile)
    draws = draw(SEEDS, 7, WIDTH, BATCH, torch.float64)
    for d, depth in enumerate(depths):
        for i, sigma_w in enumerate(sigmas):
            for seed in range(SEEDS):
                truth = by_autograd(draws, seed, depth, activation, sigma_w, sigma_b)
                for values, wanted in zip(profile, truth, strict=True):
                    assert torch.allclose(values[d, i, seed, :depth], wanted, rtol=1e-10, atol=0)
                    assert values[d, i, seed, depth:].isnan().all()


def test_one_depth_in_a_list_gives_the_first_axis():
    alone = gradient_profile(4, WIDTH, "tanh", 1.3, seeds=2)
    listed = gradient_profile([4], WIDTH, "tanh", [1.3], seeds=2)
    for a, b in zip(alone, listed, strict=True):
        assert a.shape == (1, 2, 4)
        assert torch.equal(a, b[0])


def test_a_dead_network_has_zero_gradients_and_no_nan():
    delta, weight_grad, q = gradient_profile(3, WIDTH, "relu", 0.0, seeds=2)
    assert (delta == 0).all()
    assert (weight_grad == 0).all()
    assert (q == 0).all()


def test_single_precision_agrees_with_double():
    depth, sigmas = 30, [0.8, 1.4, 2.0]
    profile = gradient_profile(depth, 32, "relu", sigmas, seeds=SEEDS, batch=BATCH)
    assert profile.delta.dtype == torch.float32
    draws = draw(SEEDS, depth, 32, BATCH)
    for i, sigma_w in enumerate(sigmas):
        for seed in range(SEEDS):
            for values, wanted in zip(profile, by_autograd(draws, seed, depth, "relu", sigma_w), strict=True):
                assert torch.allclose(values[i, seed].double(), wanted, rtol=1e-3, atol=0)


def test_a_seed_does_not_depend_on_how_many_there_are():
    for few, many in zip(draw(2, 4, WIDTH, BATCH), draw(5, 4, WIDTH, BATCH), strict=True):
        assert torch.equal(few, many[:2])
    few = gradient_profile([2, 4], WIDTH, "tanh", [1.0, 2.0], seeds=2, dtype=torch.float64)
    many = gradient_profile([2, 4], WIDTH, "tanh", [1.0, 2.0], seeds=5, dtype=torch.float64)
    for a, b in zip(few, many, strict=True):
        assert torch.allclose(a, b[:, :, :2], rtol=1e-12, atol=0, equal_nan=True)
    assert not torch.allclose(many.delta[0, 0, 0, 0], many.delta[0, 0, 1, 0])


def test_seeds_in_small_groups_give_what_all_of_them_give_at_once(monkeypatch):
    def profile():
        return gradient_profile([2, 5], 8, "tanh", [1.0, 1.5], seeds=7, batch=4, dtype=torch.float64)

    whole = profile()
    monkeypatch.setattr(propagation, "AT_ONCE", 3 * 8**2 * (5 + 4))  # three seeds
    for some, all_of_them in zip(profile(), whole, strict=True):
        assert torch.allclose(some, all_of_them, rtol=1e-12, equal_nan=True)


def test_draws_are_standard_normal_and_inputs_have_mean_square_one():
    x, *others = draw(3, 10, 64, 50)
    assert torch.allclose(x.square().mean(-1), torch.ones(3, 50), rtol=1e-5)
    for values in others:
        n = values.numel()
        assert abs(values.double().mean()) < 5 / n**0.5
        assert abs(values.double().square().mean() - 1) < 5 * (2 / n) ** 0.5
    assert [tuple(v.shape) for v in others] == [(3, 10, 64, 64), (3, 10, 64), (3, 10, 64), (3, 50, 10)]


def test_with_slope_is_torchs_jvp():
    z = torch.linspace(-3, 3, 13, dtype=torch.float64).reshape(13, 1)
    value, slope = torch.func.jvp(torch.nn.functional.silu, (z,), (torch.ones_like(z),))
    with torch.no_grad():
        ours = with_slope(torch.nn.functional.silu, z)
    assert torch.allclose(ours[0], value)
    assert torch.allclose(ours[1], slope)
    assert not ours[0].requires_grad
    assert not z.requires_grad


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("depth", [8, 9])
def test_the_phase_diagrams_growth_is_that_of_torchs_jvp(activation, depth):
    sigma_ws, sigma_bs, width = [0.8, 1.7, 2.5], [0.0, 0.4], 16
    diagram = phase_diagram(activation, sigma_ws, sigma_bs, width=width, depth=depth, seeds=SEEDS)
    assert diagram.chi.shape == diagram.q.shape == (2, 3)
    draws = draw(SEEDS, depth, width, 1)
    for i, sigma_b in enumerate(sigma_bs):
        rates, squares = [], []
        for seed in range(SEEDS):
            network = plain_network(draws, seed, depth, activation, 1.7, sigma_b)
            x = draws.x[seed].double()

            def size(layers, network=network, x=x):
                return torch.func.jvp(network[: 2 * layers], (x,), (torch.ones_like(x),))[1].norm().item()

            rates.append(2 * math.log(size(depth) / size(depth // 2)) / (depth - depth // 2))
            squares.append(network[: 2 * depth - 1](x).square().mean().item())
        assert diagram.chi[i, 1].item() == pytest.approx(math.exp(sum(rates) / SEEDS), rel=1e-3)
        assert diagram.q[i, 1].item() == pytest.approx(sum(squares) / SEEDS, rel=1e-3)


def test_the_phase_diagram_of_a_wide_network_is_the_mean_field_one():
    sigma_ws, sigma_bs = [0.7, 1.0, 1.5, 2.5], [0.05, 0.3]
    diagram = phase_diagram("tanh", sigma_ws, sigma_bs, width=256, depth=40, seeds=2)
    for i, sigma_b in enumerate(sigma_bs):
        for j, sigma_w in enumerate(sigma_ws):
            assert diagram.chi[i, j].item() == pytest.approx(
                meanfield.chi_1("tanh", sigma_w, sigma_b), rel=0.15
            )
            q = meanfield.fixed_point("tanh", sigma_w, sigma_b)
            assert diagram.q[i, j].item() == pytest.approx(q, rel=0.3)


def test_rotations_are_orthogonal_and_keep_a_rotation():
    gaussian = draw(4, 3, WIDTH, 1, torch.float64).weights
    turned = rotations(gaussian)
    eye = torch.eye(WIDTH, dtype=torch.float64)
    assert turned.shape == gaussian.shape
    assert torch.allclose(turned @ turned.mT, eye.expand_as(turned), atol=1e-12)
    assert torch.allclose(rotations(turned), turned, atol=1e-12)


def test_every_rotation_is_equally_likely():
    """Under the Haar measure on O(n), E[trace] = 0 and E[trace^2] = 1 (Diaconis and Shahshahani 1994)."""
    count = 5000
    gaussian = torch.randn(count, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    turned = rotations(gaussian)
    trace = turned.diagonal(dim1=1, dim2=2).sum(1)
    assert abs(trace.mean()) < 5 / count**0.5
    assert abs(trace.square().mean() - 1) < 5 * (2 / count) ** 0.5
    assert abs(torch.linalg.det(turned).mean()) < 5 / count**0.5


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: gradient_profile(0, 4, "tanh", 1.0), "depth=0"),
        (lambda: gradient_profile([3, 0], 4, "tanh", 1.0), r"depth=\[3, 0\]"),
        (lambda: gradient_profile(3, 0, "tanh", 1.0), "width=0"),
        (lambda: gradient_profile(3, 4, "tanh", -1.0), r"sigma_w=-1\.0"),
        (lambda: gradient_profile(3, 4, "tanh", [1.0, math.nan]), r"sigma_w=\[1\.0, nan\]"),
        (lambda: gradient_profile(3, 4, "tanh", 1.0, sigma_b=math.nan), "sigma_b=nan"),
        (lambda: gradient_profile(3, 4, "tanh", 1.0, seeds=0), "seeds=0"),
        (lambda: gradient_profile(3, 4, "tanh", 1.0, batch=0), "batch=0"),
        (lambda: gradient_profile(3, 4, "than", 1.0), "got 'than'"),
        (lambda: phase_diagram("tanh", [], [0.0]), "0 and 1 values"),
        (lambda: phase_diagram("tanh", [1.0, -1.0], [0.0]), "not negative"),
        (lambda: phase_diagram("tanh", [1.0], [math.nan]), "not negative"),
        (lambda: phase_diagram("tanh", [1.0], [0.0], depth=1), "depth=1"),
        (lambda: phase_diagram("tanh", [1.0], [0.0], width=0), "width=0"),
    ],
)
def test_errors_say_what_was_given(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_a_constant_an_inplace_activation_and_numpys_integers():
    constant = gradient_profile(np.int64(3), 4, lambda z: torch.ones_like(z), 1.0, seeds=1)
    assert (constant.delta == 0).all()
    for form in (torch.nn.ReLU(inplace=True), torch.nn.ReLU, "relu"):
        assert torch.equal(gradient_profile(3, 4, form, 1.0).delta, gradient_profile(3, 4, "relu", 1.0).delta)


def test_q_is_there_where_delta_overflows():
    profile = gradient_profile([60, 2], 16, "linear", [4.0], seeds=1)
    assert not profile.q[0].isnan().any()
    assert profile.q[1, ..., 2:].isnan().all()


def test_no_depths_are_refused():
    with pytest.raises(ValueError, match="must be 1 or more"):
        gradient_profile([], 4, "tanh", 1.0)


@pytest.mark.parametrize("norm", ["none", "pre", "post"])
@pytest.mark.parametrize("scale", [0.0, 0.3, 1.0])
def test_residual_gradients_are_as_predicted(norm, scale):
    measured = residual_profile(12, 192, scale=scale, norm=norm, batch=8)
    assert measured.shape == (10, 13)
    relative = (measured / measured[:, -1:]).median(0).values.double()
    assert torch.allclose(relative, predicted_residual_profile(12, scale=scale, norm=norm), rtol=0.15)


def test_one_residual_block_by_hand():
    draws = draw(1, 1, 6, 3)
    x = draws.x[0].clone().requires_grad_()
    out = x + 0.5 * (2 / 6) ** 0.5 * torch.relu(x) @ draws.weights[0, 0].T
    (grad,) = torch.autograd.grad((out * (draws.direction[0] @ draws.readout[0])).sum(), x)
    found = residual_profile(1, 6, scale=0.5, seeds=1, batch=3)
    assert float(found[0, 0]) == pytest.approx(float(grad.square().mean().sqrt()), rel=1e-5)


def test_without_its_path_a_residual_network_is_a_plain_one():
    plain = residual_profile(3, 6, path=0.0, seeds=2, batch=4)
    draws = draw(2, 3, 6, 4)
    h = draws.x.clone().requires_grad_()
    start = h
    for W in draws.weights.unbind(1):
        h = (2 / 6) ** 0.5 * torch.relu(h) @ W.mT
    (grad,) = torch.autograd.grad((h * (draws.direction @ draws.readout)).sum(), start)
    assert torch.allclose(plain[:, 0], grad.square().mean((1, 2)).sqrt(), rtol=1e-5)


@pytest.mark.parametrize("wrong", [{"norm": "batch"}, {"scale": -1.0}, {"depth": 0}])
def test_residual_profiles_refuse_bad_input(wrong):
    for profile in (residual_profile, predicted_residual_profile):
        arguments = {"depth": 3} | wrong
        with pytest.raises(ValueError, match="got"):
            profile(**arguments)
