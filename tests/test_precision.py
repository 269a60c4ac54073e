"""Rounding in float32 is that of torch's own formats, chance keeps the mean, and what is lost is what torch loses."""

import math

import pytest
import torch

from gradutils.data import digits
from gradutils.models import stack_scores, weight_stacks
from gradutils.precision import rounded, share_lost, stochastically_rounded
from gradutils.training import train_stacks


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_rounding_keeps_the_dtype_and_takes_numbers_of_the_format(dtype):
    x = draw(1000) * 10 ** draw(1000, seed=1)
    found = rounded(x, dtype)
    assert found.dtype == torch.float32
    assert torch.equal(found, found.to(dtype).float())
    assert ((found - x).abs() <= x.abs() * torch.finfo(dtype).eps / 2 + 2**-25).all()


def test_a_gradient_is_rounded_on_its_way_back():
    x = draw(50).requires_grad_()
    rounded(x).backward(draw(50, seed=1))
    assert torch.equal(x.grad, rounded(draw(50, seed=1)))


def test_chance_takes_a_neighbour_and_keeps_the_mean():
    x = draw(20) * 10 ** draw(20, seed=1)
    many = stochastically_rounded(x.expand(4000, 20), torch.Generator().manual_seed(0))
    assert torch.equal(many, rounded(many))
    gap = 2.0 ** (x.abs().log2().floor() - 7)
    assert ((many - x).abs() < gap).all()
    assert ((many.mean(0) - x).abs() < 5 * gap * 0.5 / math.sqrt(4000)).all()
    assert (many.amax(0) > many.amin(0)).all()


def test_chance_leaves_what_is_stored_already_and_what_is_no_number():
    x = torch.tensor([1.5, -0.25, 0.0, math.inf, -math.inf, math.nan])
    found = stochastically_rounded(x, torch.Generator().manual_seed(0))
    assert torch.equal(found[:5], x[:5])
    assert found[5].isnan()
    with pytest.raises(TypeError, match=r"float32; got torch\.float64"):
        stochastically_rounded(x.double(), torch.Generator())


@pytest.mark.parametrize("lr", [1e-5, 3e-4, 2**-10.5, 0.01])
@pytest.mark.parametrize(("dtype", "bits"), [(torch.bfloat16, 7), (torch.float16, 10)])
def test_the_share_that_is_lost_is_the_one_that_torch_loses(lr, dtype, bits):
    w = (0.2 * draw(400_000)).to(dtype)
    measured = ((w.double() + lr * draw(400_000, seed=1).sign()).to(dtype) == w).double().mean()
    assert share_lost(lr, 0.2, bits) == pytest.approx(
        float(measured), abs=0.012
    )  # powers of two stand on an edge


@pytest.mark.parametrize("adam", [False, True])
def test_what_is_stored_is_what_stays(adam):
    data, start = digits(), weight_stacks([64, 8, 10], seeds=2)
    seen = []

    def stored(name, new, old):
        seen.append(name)
        return rounded(new) if name == "weights" else new

    def scores(weights, x):
        if seen:
            assert all(torch.equal(W, rounded(W)) for W in weights)
        return stack_scores(torch.relu, weights, x)

    options = {"adam": adam, "steps": 5}
    run = train_stacks(scores, start, data, 0.01, stored=stored, **options)
    assert seen[:3] == ["first", "second", "weights"]
    assert len(seen) == 5 * 2 * 3
    plain = train_stacks(lambda p, x: stack_scores(torch.relu, p, x), start, data, 0.01, **options)
    assert not torch.equal(run.loss, plain.loss)
    same = train_stacks(
        lambda p, x: stack_scores(torch.relu, p, x),
        start,
        data,
        0.01,
        stored=lambda name, new, old: new,
        **options,
    )
    assert torch.equal(same.loss, plain.loss)


def test_a_step_of_torch_on_weights_in_bfloat16_is_ours():
    """SGD without momentum: torch computes in float32 inside and rounds once."""
    w, g = draw(500).bfloat16(), draw(500, seed=1).bfloat16()
    theirs = torch.nn.Parameter(w.clone())
    theirs.grad = g
    torch.optim.SGD([theirs], lr=2**-10).step()
    assert torch.equal(theirs.float(), rounded(w.float() - 2**-10 * g.float()))
