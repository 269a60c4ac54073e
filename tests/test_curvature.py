"""Products with the Hessian and Lanczos against the dense Hessian and torch's eigensolver."""

import math

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F

from gradutils.curvature import follow_sharpness, hessian_vector_product, lanczos, sharpness
from gradutils.data import digits, quadratic
from gradutils.models import mlp

torch.set_num_threads(1)


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def dense_hessian(model, loss_of_outputs, x):
    """The Hessian with respect to all parameters as one vector, by torch.autograd.functional.hessian."""
    shapes = {name: p.shape for name, p in model.named_parameters()}

    def loss(vector):
        pieces = vector.split([shape.numel() for shape in shapes.values()])
        weights = {
            name: piece.view(shape) for (name, shape), piece in zip(shapes.items(), pieces, strict=True)
        }
        return loss_of_outputs(functional_call(model, weights, (x,)))

    vector = nn.utils.parameters_to_vector(model.parameters()).detach()
    return torch.autograd.functional.hessian(loss, vector, vectorize=True)


def small_network():
    torch.manual_seed(0)
    model = mlp(2, 5, "tanh", inputs=4, outputs=3).double()
    x, y = normal(20, 4), torch.arange(20) % 3
    return model, x, lambda outputs: F.cross_entropy(outputs, y)


def symmetric(n, seed=0):
    A = normal(n, n, seed=seed)
    return (A + A.T) / 2


def test_products_equal_those_with_the_dense_hessian():
    model, x, loss_of = small_network()
    H = dense_hessian(model, loss_of, x)
    product = hessian_vector_product(loss_of(model(x)), model.parameters())
    for seed in range(3):
        v = normal(len(H), seed=seed)
        assert torch.allclose(product(v), H @ v, rtol=1e-8, atol=1e-8)


def test_products_with_every_axis_make_up_the_dense_hessian():
    model, x, loss_of = small_network()
    H = dense_hessian(model, loss_of, x)
    product = hessian_vector_product(loss_of(model(x)), model.parameters())
    columns = torch.stack([product(e) for e in torch.eye(len(H), dtype=torch.float64)])
    assert torch.allclose(columns, H, atol=1e-8)


def test_unused_parameters_count_as_zeros():
    used, unused, linear = normal(3).requires_grad_(), normal(2).requires_grad_(), normal(2).requires_grad_()
    loss = used.pow(4).sum() + 3 * linear.sum()
    product = hessian_vector_product(loss, [unused, used, linear])
    v = normal(7)
    wanted = torch.cat([torch.zeros(2), 12 * used.detach() ** 2 * v[2:5], torch.zeros(2)])
    assert torch.allclose(product(v), wanted)


def test_parameters_are_one_vector_in_the_order_given():
    a, b = normal(2, 3).requires_grad_(), normal(3, 2, seed=1).requires_grad_()
    v = normal(12, seed=2)
    first = hessian_vector_product((a @ b).square().sum(), [a, b])(v)
    second = hessian_vector_product((a @ b).square().sum(), [b, a])(v.roll(6))
    assert torch.allclose(first, second.roll(6))
    assert not torch.allclose(first, second)


def test_a_linear_loss_has_no_curvature():
    w = normal(4).requires_grad_()
    loss = (w * normal(4, seed=1)).sum()
    assert (hessian_vector_product(loss, [w])(normal(4)) == 0).all()
    assert sharpness(loss, [w]) == 0


def test_the_graph_is_kept_for_further_products_and_for_backward():
    model, x, loss_of = small_network()
    wanted = torch.autograd.grad(loss_of(model(x)), list(model.parameters()))
    loss = loss_of(model(x))
    product = hessian_vector_product(loss, model.parameters())
    v = normal(sum(p.numel() for p in model.parameters()))
    assert torch.equal(product(v), product(v))
    assert all(p.grad is None for p in model.parameters())
    loss.backward()
    assert all(torch.allclose(p.grad, g) for p, g in zip(model.parameters(), wanted, strict=True))


@pytest.mark.parametrize("n", [1, 2, 10, 40])
def test_all_steps_give_the_whole_spectrum(n):
    A = symmetric(n)
    values = lanczos(lambda v: A @ v, normal(n, seed=1), n)
    assert values.dtype == torch.float64
    assert torch.allclose(values, torch.linalg.eigvalsh(A), atol=1e-8)


def test_more_steps_than_dimensions_do_no_harm():
    A = symmetric(6)
    assert torch.allclose(lanczos(lambda v: A @ v, normal(6), 50), torch.linalg.eigvalsh(A), atol=1e-8)


@pytest.mark.parametrize("seed", range(5))
def test_a_few_steps_give_the_ends(seed):
    A = symmetric(200, seed)
    values, truth = lanczos(lambda v: A @ v, normal(200, seed=9), 60), torch.linalg.eigvalsh(A)
    assert len(values) == 60
    assert values[-1].item() == pytest.approx(truth[-1].item(), rel=0.01)
    assert values[0].item() == pytest.approx(truth[0].item(), rel=0.01)
    assert truth[0] - 1e-9 <= values[0]
    assert values[-1] <= truth[-1] + 1e-9


def test_the_largest_is_returned_and_not_the_largest_in_size():
    H = quadratic([-100.0, -3.0, 0.5, 2.0], seed=0)
    w = normal(4).requires_grad_()
    assert sharpness(w @ H @ w / 2, [w]) == pytest.approx(2.0, rel=1e-8)
    assert sharpness(-(w @ w), [w]) == pytest.approx(-2.0)


def test_no_eigenvalue_comes_back_twice():
    A = quadratic([1e4, *torch.linspace(0, 1, 99).tolist()], seed=3)
    values = lanczos(lambda v: A @ v, normal(100), 60)
    assert (values > 10).sum() == 1
    assert values[-1].item() == pytest.approx(1e4)


def test_an_exhausted_space_gives_fewer_values():
    start = normal(8)
    assert torch.allclose(lanczos(lambda v: v, start, 8), torch.ones(1, dtype=torch.float64))
    u = normal(8, seed=1)
    rank_one = lanczos(lambda v: u * (u @ v), start, 8)
    assert torch.allclose(rank_one, torch.stack([torch.zeros(()), u @ u]).double(), atol=1e-8)
    A = quadratic([1.0, 1.0, 5.0, 5.0, 9.0, 9.0], seed=0)
    assert torch.allclose(
        lanczos(lambda v: A @ v, normal(6), 6), torch.tensor([1.0, 5.0, 9.0], dtype=torch.float64)
    )
    assert lanczos(torch.zeros_like, start, 8).tolist() == [0.0]


def test_the_start_may_have_any_length():
    A = symmetric(10)
    for scale in (1e-8, 1e8):
        assert torch.allclose(lanczos(lambda v: A @ v, scale * normal(10), 10), torch.linalg.eigvalsh(A))


@pytest.mark.parametrize("seed", [None, 0, 1])
def test_the_sharpness_of_a_quadratic_is_its_largest_curvature(seed):
    H = quadratic([0.1, 1.0, 4.0, 25.0], seed)
    w = normal(4).requires_grad_()
    assert sharpness(w @ H @ w / 2, [w]) == pytest.approx(25.0, rel=1e-8)


def trained_on_digits():
    """A tanh network after 50 steps, its batch and the largest eigenvalue of its dense Hessian."""
    torch.manual_seed(0)
    data = digits()
    x, y = data.x_train[:300].double(), data.y_train[:300]
    model = mlp(2, 8, "tanh").double()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for _ in range(50):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    return model, x, y


def test_twenty_products_give_the_sharpness_to_one_percent():
    model, x, y = trained_on_digits()
    H = dense_hessian(model, lambda outputs: F.cross_entropy(outputs, y), x)
    truth = torch.linalg.eigvalsh(H)[-1].item()
    loss = F.cross_entropy(model(x), y)
    for seed in range(3):
        assert sharpness(loss, model.parameters(), 20, seed) == pytest.approx(truth, rel=0.01)
    model, x = model.float(), x.float()
    assert sharpness(F.cross_entropy(model(x), y), model.parameters()) == pytest.approx(truth, rel=0.01)


def test_the_same_seed_gives_the_same_number_and_leaves_torchs_generator_alone():
    model, x, loss_of = small_network()
    before = torch.get_rng_state()
    numbers = [sharpness(loss_of(model(x)), model.parameters(), 3, seed) for seed in (0, 0, 1)]
    assert numbers[0] == numbers[1] != numbers[2]
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("factor", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_has_no_sharpness(factor):
    model, x, loss_of = small_network()
    assert math.isnan(sharpness(loss_of(model(x)) * factor, model.parameters()))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda w: hessian_vector_product(w.square(), [w]), r"shape \(3,\)"),
        (lambda w: hessian_vector_product(w.square().sum().detach(), [w]), "requires_grad=False"),
        (lambda w: hessian_vector_product(w.square().sum(), []), "at least one tensor; got none"),
        (lambda w: sharpness(w.square(), [w]), r"shape \(3,\)"),
        (lambda w: sharpness(w.detach().square().sum(), [w]), "requires_grad=False"),
    ],
)
def test_errors_say_what_was_given(make, words):
    with pytest.raises(ValueError, match=words):
        make(torch.ones(3, requires_grad=True))


def test_a_loss_that_is_infinite_has_no_sharpness():
    w = torch.ones(1, requires_grad=True)
    assert math.isnan(sharpness(w.square().sum() + torch.inf, [w]))


def test_lanczos_says_what_it_needs():
    with pytest.raises(ValueError, match="steps must be 1 or more"):
        lanczos(lambda v: v, torch.ones(3), 0)


def test_the_sharpness_of_many_networks_is_followed():
    generator = torch.Generator().manual_seed(0)
    Q = torch.linalg.qr(torch.randn(3, 6, 6, generator=generator, dtype=torch.float64)).Q
    tops = torch.tensor([1.0, 3.0, 8.0], dtype=torch.float64)
    eigenvalues = tops[:, None] * torch.linspace(0.1, 1, 6, dtype=torch.float64)
    H = Q @ torch.diag_embed(eigenvalues) @ Q.mT
    w = torch.ones(3, 6, dtype=torch.float64)
    kept = w.clone()
    loss_of = lambda w: torch.einsum("ni,nij,nj->n", w, H, w) / 2  # noqa: E731
    losses, sharp = follow_sharpness(loss_of, w, 0.2, 40, every=4)
    assert torch.equal(w, kept)
    assert losses.shape == (40, 3)
    assert sharp.shape == (10, 3)
    assert torch.allclose(sharp[-1], tops, rtol=1e-3)
    by_hand = kept
    for step in range(40):
        assert torch.allclose(losses[step], loss_of(by_hand), rtol=1e-9)
        by_hand = by_hand - 0.2 * torch.einsum("nij,nj->ni", H, by_hand)
    rates = torch.tensor([0.2, 0.1, 0.3], dtype=torch.float64)
    each, _ = follow_sharpness(loss_of, w, lambda step: rates, 5, momentum=0.5)
    assert each[0].tolist() == pytest.approx(losses[0].tolist())
    assert (each[-1] != losses[4]).any()


def test_what_has_left_the_finite_numbers_has_no_sharpness():
    loss_of = lambda w: (w**4).sum(1)  # noqa: E731
    _, sharp = follow_sharpness(loss_of, torch.tensor([[0.1], [50.0]]), 0.1, 30, every=5)
    assert sharp[-1, 0].isfinite()
    assert sharp[-1, 1].isnan()
