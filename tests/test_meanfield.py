"""The mean-field integrals against closed forms, scipy's quadrature, published numbers and a wide random network."""

import math
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from gradutils.meanfield import (
    chi_1,
    critical_sigma_w,
    depth_scale,
    fixed_point,
    gaussian_mean,
    length_map,
    mean_square,
    mean_square_slope,
    predicted_gradient_profile,
    q_trajectory,
)
from gradutils.models import ACTIVATIONS

torch.set_num_threads(1)

CLOSED_FORMS = {
    "linear": (lambda q: q, lambda q: 1.0),
    "relu": (lambda q: q / 2, lambda q: 0.5),
    "leaky_relu": (lambda q: q * (1 + 0.01**2) / 2, lambda q: (1 + 0.01**2) / 2),
    "erf": (
        lambda q: 2 / math.pi * math.asin(2 * q / (1 + 2 * q)),
        lambda q: 4 / math.pi / math.sqrt(1 + 4 * q),
    ),
}
names = st.sampled_from(sorted(ACTIVATIONS))
sizes = st.floats(1e-4, 300)
sigmas = st.floats(0, 10)


@settings(deadline=None)
@given(st.sampled_from(sorted(CLOSED_FORMS)), sizes)
def test_integrals_equal_their_closed_forms(name, q):
    square, slope = CLOSED_FORMS[name]
    assert mean_square(name, q).item() == pytest.approx(square(q), rel=1e-9)
    assert mean_square_slope(name, q).item() == pytest.approx(slope(q), rel=1e-9)


@pytest.mark.parametrize("q", [1e-4, 1e-2, 1.0, 30.0, 300.0])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_integrals_equal_scipys(name, q):
    integrate = pytest.importorskip("scipy.integrate")
    phi = ACTIVATIONS[name]()

    def square(x):
        return phi(torch.tensor(x, dtype=torch.float64)).item() ** 2

    def squared_slope(x):
        x = torch.tensor(x, dtype=torch.float64, requires_grad=True)
        return torch.autograd.grad(phi(x), x)[0].item() ** 2

    def expectation(f):
        knee = min(5, 2 / q**0.5)  # below it lies what is steep, beyond it what is flat

        def integrand(z):
            return f(z * q**0.5) * math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)

        pieces = ((-12, -knee), (-knee, 0), (0, knee), (knee, 12))
        return sum(integrate.quad(integrand, *limits, epsabs=0, epsrel=1e-10)[0] for limits in pieces)

    assert mean_square(name, q).item() == pytest.approx(expectation(square), rel=1e-8)
    assert mean_square_slope(name, q).item() == pytest.approx(expectation(squared_slope), rel=1e-8)


def test_gaussian_means_are_the_moments():
    q = torch.tensor([[0.5, 2.0], [7.0, 11.0]], dtype=torch.float64)
    for power, moment in ((0, 1), (1, 0), (2, q), (3, 0), (4, 3 * q**2), (6, 15 * q**3)):
        wanted = moment * torch.ones_like(q)
        assert torch.allclose(gaussian_mean(lambda x, p=power: x**p, q), wanted, rtol=1e-11, atol=1e-10)


def test_a_callable_gives_the_same_as_its_name():
    for name, function in (("tanh", torch.tanh), ("relu", nn.ReLU()), ("gelu", nn.functional.gelu)):
        assert length_map(name, 0.7, 1.3, 0.2) == length_map(function, 0.7, 1.3, 0.2)
        assert chi_1(name, 1.3, 0.2, q=0.7) == chi_1(function, 1.3, 0.2, q=0.7)
    assert mean_square_slope(torch.ones_like, 2.0) == 0


@settings(deadline=None)
@given(names, st.floats(0, 1e6), sigmas, sigmas)
def test_length_map_is_never_below_the_variance_of_the_bias(name, q, sigma_w, sigma_b):
    assert length_map(name, q, sigma_w, sigma_b) >= sigma_b**2


@settings(deadline=None)
@given(names, sizes, st.floats(0.01, 10), st.floats(0.01, 10))
def test_chi_1_scales_with_the_variance_of_the_weights(name, q, sigma_w, factor):
    assert chi_1(name, factor * sigma_w, q=q) == pytest.approx(factor**2 * chi_1(name, sigma_w, q=q))


@settings(deadline=None)
@given(sizes, st.floats(0.01, 5), sigmas)
def test_length_map_and_chi_1_of_erf_in_closed_form(q, sigma_w, sigma_b):
    square, slope = CLOSED_FORMS["erf"]
    wanted = sigma_w**2 * square(q) + sigma_b**2
    assert length_map("erf", q, sigma_w, sigma_b).item() == pytest.approx(wanted, rel=1e-9)
    assert chi_1("erf", sigma_w, sigma_b, q) == pytest.approx(sigma_w**2 * slope(q), rel=1e-9)


def test_a_float_gives_a_float_and_a_tensor_broadcasts():
    assert isinstance(chi_1("tanh", 1.5), float)
    sigma_w = torch.tensor([0.5, 1.0, 2.0])
    q = torch.tensor([[0.1], [3.0]])
    table = length_map("tanh", q, sigma_w, 0.3)
    assert table.shape == chi_1("tanh", sigma_w, q=q).shape == (2, 3)
    assert table[1, 2].item() == pytest.approx(length_map("tanh", 3.0, 2.0, 0.3).item())


@pytest.mark.parametrize("name", ["tanh", "relu", "gelu"])
def test_a_trajectory_is_the_length_map_iterated(name):
    trajectory = q_trajectory(name, 1.4, 0.2, q0=2.5, depth=6)
    q = 2.5
    for k in range(7):
        assert trajectory[k].item() == pytest.approx(float(q), rel=1e-12)
        q = length_map(name, q, 1.4, 0.2)
    assert trajectory.shape == (7,)
    many = q_trajectory(name, torch.tensor([1.4, 0.5]), torch.tensor([[0.2], [0.0]]), q0=2.5, depth=6)
    assert many.shape == (7, 2, 2)
    assert torch.allclose(many[:, 0, 0], trajectory)


@pytest.mark.parametrize("name", ["tanh", "erf", "sigmoid", "selu", "elu"])
@pytest.mark.parametrize(("sigma_w", "sigma_b"), [(0.8, 0.3), (1.3, 0.05), (2.5, 0.0)])
def test_a_fixed_point_is_where_trajectories_end(name, sigma_w, sigma_b):
    q = fixed_point(name, sigma_w, sigma_b)
    end = q_trajectory(name, sigma_w, sigma_b, depth=1500)[-1].item()
    if math.isfinite(q):
        assert length_map(name, q, sigma_w, sigma_b).item() == pytest.approx(q, rel=1e-8)
        assert end == pytest.approx(q, rel=1e-5)
    else:
        assert end > 1e12


@pytest.mark.parametrize(
    ("name", "sigma_w", "sigma_b", "wanted"),
    [
        ("relu", 1.0, 0.5, 0.25 / (1 - 1 / 2)),
        ("relu", 1.3, 0.1, 0.01 / (1 - 1.69 / 2)),
        ("linear", 0.9, 0.4, 0.16 / (1 - 0.81)),
        ("leaky_relu", 1.2, 0.3, 0.09 / (1 - 1.44 * (1 + 1e-4) / 2)),
        ("relu", 1.0, 0.0, 0.0),
        ("relu", math.sqrt(2), 0.0, 1.0),
        ("relu", 1.5, 0.0, math.inf),
        ("linear", 1.1, 0.0, math.inf),
        ("tanh", 0.9, 0.0, 0.0),
    ],
)
def test_fixed_points_in_closed_form(name, sigma_w, sigma_b, wanted):
    assert fixed_point(name, sigma_w, sigma_b) == pytest.approx(wanted, rel=1e-8)


@pytest.mark.parametrize(("sigma_w", "sigma_b"), [(0.5, 0.2), (1.5, 0.0), (3.0, 1.0)])
def test_the_fixed_point_of_erf_equals_scipys_root(sigma_w, sigma_b):
    optimize = pytest.importorskip("scipy.optimize")
    square = CLOSED_FORMS["erf"][0]
    root = optimize.brentq(lambda q: sigma_w**2 * square(q) + sigma_b**2 - q, 1e-6, 100, xtol=1e-14)
    assert fixed_point("erf", sigma_w, sigma_b) == pytest.approx(root, rel=1e-8)


@pytest.mark.parametrize(
    ("name", "sigma_b", "wanted", "digits"),
    [
        ("linear", 0.0, 1.0, 1e-9),
        ("relu", 0.0, math.sqrt(2), 1e-9),
        ("relu", 0.3, math.sqrt(2), 1e-9),
        ("leaky_relu", 0.0, math.sqrt(2 / (1 + 1e-4)), 1e-9),
        ("tanh", 0.0, 1.0, 1e-9),
        ("erf", 0.0, math.sqrt(math.pi) / 2, 1e-9),
        ("tanh", math.sqrt(0.05), math.sqrt(1.7610), 1e-4),  # Schoenholz et al. 2017 print 1.76
        ("sigmoid", 0.0, 10.149, 1e-4),
    ],
)
def test_critical_sigma_w_is_the_published_one(name, sigma_b, wanted, digits):
    sigma_w = critical_sigma_w(name, sigma_b)
    assert sigma_w == pytest.approx(wanted, rel=digits)
    assert chi_1(name, sigma_w, sigma_b) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("sigma_b", [0.05, 0.3, 1.0])
def test_critical_sigma_w_of_erf_equals_scipys_root(sigma_b):
    optimize = pytest.importorskip("scipy.optimize")
    square, slope = CLOSED_FORMS["erf"]
    q = optimize.brentq(lambda q: q - square(q) / slope(q) - sigma_b**2, 1e-9, 100, xtol=1e-15)
    assert critical_sigma_w("erf", sigma_b) == pytest.approx(slope(q) ** -0.5, rel=1e-7)


@pytest.mark.parametrize("name", ["tanh", "erf", "sigmoid", "elu", "selu"])
@pytest.mark.parametrize("sigma_b", [0.0, 0.2])
def test_gradients_vanish_below_criticality_and_explode_above(name, sigma_b):
    sigma_w = critical_sigma_w(name, sigma_b)
    assert chi_1(name, 0.95 * sigma_w, sigma_b) < 1 - 1e-4
    assert chi_1(name, 1.05 * sigma_w, sigma_b) > 1 + 1e-4


@pytest.mark.parametrize("sigma_b", [0.0, 0.3])
@pytest.mark.parametrize("name", ["gelu", "silu", "softplus"])
def test_no_criticality_is_an_error(name, sigma_b):
    with pytest.raises(ValueError, match=f"'{name}'.*no stable point"):
        critical_sigma_w(name, sigma_b)


@pytest.mark.parametrize(
    ("name", "sigma_w", "chi"),
    [
        ("linear", 0.9, 0.81),
        ("linear", 1.2, 1.44),
        ("relu", 1.0, 0.5),
        ("relu", 2.0, 2.0),
        ("tanh", 0.7, 0.49),
    ],
)
def test_depth_scale_in_closed_form(name, sigma_w, chi):
    assert depth_scale(name, sigma_w) == pytest.approx(1 / abs(math.log(chi)), rel=1e-9)


@pytest.mark.parametrize(("name", "sigma_w"), [("linear", 1.0), ("relu", math.sqrt(2)), ("tanh", 1.0)])
def test_depth_scale_is_infinite_at_criticality(name, sigma_w):
    assert depth_scale(name, sigma_w) == math.inf


def test_the_profile_of_relu_grows_by_the_square_root_of_chi():
    profile = predicted_gradient_profile("relu", 12, 2.0)
    assert profile.shape == (12,)
    assert profile[-1] == 1
    assert torch.allclose(profile[:-1] / profile[1:], torch.full((11,), math.sqrt(2), dtype=torch.float64))
    assert predicted_gradient_profile("tanh", 1, 2.0).tolist() == [1.0]


def test_the_profile_of_erf_in_closed_form():
    square, slope = CLOSED_FORMS["erf"]
    q, logs = 1.2**2 * 0.5 + 0.3**2, []
    for _ in range(7):
        logs.append(math.log(1.2**2 * slope(q)) / 2)
        q = 1.2**2 * square(q) + 0.3**2
    wanted = [math.exp(sum(logs[k:])) for k in range(8)]
    assert predicted_gradient_profile("erf", 8, 1.2, 0.3, q0=0.5).tolist() == pytest.approx(wanted, rel=1e-8)


@cache
def wide_networks(name, sigma_w, sigma_b, seeds=9, width=512, depth=15, batch=32):
    """RMS of delta and mean square of the pre-activations, by autograd: two tensors (seeds, depth)."""
    deltas, lengths = [], []
    for seed in range(seeds):
        generator = torch.Generator().manual_seed(seed)
        h = torch.randn(batch, width, generator=generator)
        h = h / h.square().mean(1, keepdim=True).sqrt()
        pre_activations = []
        for _ in range(depth):
            dense = nn.Linear(width, width)
            nn.init.normal_(dense.weight, 0, sigma_w / width**0.5, generator=generator)
            nn.init.normal_(dense.bias, 0, sigma_b, generator=generator)
            z = dense(h)
            z.retain_grad()
            pre_activations.append(z)
            h = {"tanh": torch.tanh, "relu": torch.relu}[name](z)
        (h * torch.randn(batch, width, generator=generator)).sum().backward()
        deltas.append(torch.stack([z.grad.square().mean().sqrt() for z in pre_activations]))
        lengths.append(torch.stack([z.detach().square().mean() for z in pre_activations]))
    return torch.stack(deltas).double(), torch.stack(lengths).double()


@pytest.mark.parametrize(
    ("name", "sigma_w", "sigma_b"), [("tanh", 1.5, 0.0), ("tanh", 1.2, 0.3), ("relu", 1.6, 0.0)]
)
def test_the_profile_is_that_of_a_wide_network(name, sigma_w, sigma_b):
    deltas, _ = wide_networks(name, sigma_w, sigma_b)
    measured = (deltas / deltas[:, -1:]).median(0).values
    predicted = predicted_gradient_profile(name, 15, sigma_w, sigma_b)
    assert torch.allclose(measured, predicted, rtol=0.05)


@pytest.mark.parametrize(("sigma_w", "sigma_b"), [(1.5, 0.0), (1.2, 0.3)])
def test_the_trajectory_is_that_of_a_wide_network(sigma_w, sigma_b):
    _, lengths = wide_networks("tanh", sigma_w, sigma_b)
    trajectory = q_trajectory("tanh", sigma_w, sigma_b, sigma_w**2 + sigma_b**2, 14)
    assert torch.allclose(lengths.median(0).values, trajectory, rtol=0.05)


@pytest.mark.parametrize("wrong", [-0.1, math.nan])
def test_bad_numbers_are_a_clear_error(wrong):
    for name, arguments in (
        ("q", (wrong, 1.0, 0.0)),
        ("sigma_w", (1.0, wrong, 0.0)),
        ("sigma_b", (1.0, 1.0, wrong)),
    ):
        with pytest.raises(ValueError, match=f"{name} must be 0 or more; got {wrong}"):
            length_map("tanh", *arguments)
    for call in (
        lambda: q_trajectory("tanh", wrong),
        lambda: fixed_point("tanh", wrong),
        lambda: chi_1("tanh", wrong),
        lambda: depth_scale("tanh", wrong),
    ):
        with pytest.raises(ValueError, match=f"sigma_w must be 0 or more; got {wrong}"):
            call()
    with pytest.raises(ValueError, match=f"sigma_b must be 0 or more; got {wrong}"):
        critical_sigma_w("tanh", wrong)


def test_one_bad_number_in_a_tensor_is_enough():
    with pytest.raises(ValueError, match="sigma_w"):
        length_map("tanh", 1.0, torch.tensor([1.0, -1.0]))


def test_an_unknown_activation_and_no_layers_are_clear_errors():
    with pytest.raises(ValueError, match="got 'than'"):
        chi_1("than", 1.0)
    with pytest.raises(ValueError, match="depth must be 1 or more; got 0"):
        predicted_gradient_profile("tanh", 0, 1.0)


def test_large_second_moments_are_still_exact():
    for q in (1e3, 1e4):
        truth = 4 / math.pi / math.sqrt(1 + 4 * q)
        assert mean_square_slope("erf", q).item() == pytest.approx(truth, rel=1e-9)


def test_relu_with_biases_has_no_fixed_point_but_keeps_its_gradients():
    assert fixed_point("relu", math.sqrt(2), 0.3) == math.inf
    assert critical_sigma_w("relu", 0.3) == pytest.approx(math.sqrt(2))


def test_no_weights_no_depth():
    assert depth_scale("tanh", 0.0) == 0
