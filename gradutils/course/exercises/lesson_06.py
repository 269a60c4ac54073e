"""Exercises of lesson 06: clipping."""

import math

import torch

from gradutils.course.exercise import Exercise, drawer


def _norm(grads):
    return torch.stack([g.norm() for g in grads]).norm()


# 06.1 ----------------------------------------------------------------------------------------------------------------
def _clip_by_value(grads, c):
    return [g.clamp(-c, c) for g in grads]


def _value_cases(generator):
    randn = drawer(generator, torch.float64)
    return [
        ([torch.tensor([3.0, -4.0, 0.5])], 1.0),
        ([torch.tensor([0.2, -0.1])], 1.0),
        ([randn(4, 3), randn(4)], 0.5),
        ([5 * randn(2, 6, dtype=torch.float32), randn(3, 3, dtype=torch.float32)], 2.0),
        ([0.2 * randn(5), 3 * randn(2, 2), randn(1)], 0.8),
    ]


def _in_place_value(grads, c):
    for g in grads:
        g.clamp_(-c, c)
    return grads


def _torchs_own_value(grads, c):
    torch.nn.utils.clip_grad_value_(grads, c)
    return grads


CLIP_BY_VALUE = Exercise(
    task="clip_by_value(grads, c): a list of new tensors, each entry cut to lie between -c and c",
    reference=_clip_by_value,
    cases=_value_cases,
    mistakes={
        "Large negative entries are not cut: the lower end is -c.": (
            lambda grads, c: [g.clamp(max=c) for g in grads]
        ),
        "Large positive entries are not cut: the upper end is c.": (
            lambda grads, c: [g.clamp(min=-c) for g in grads]
        ),
        "Negative entries became 0. The lower end is -c.": lambda grads, c: [g.clamp(0, c) for g in grads],
        "The signs are gone. Cut the size and keep the sign.": (
            lambda grads, c: [g.abs().clamp(max=c) for g in grads]
        ),
        "Small entries were made larger: an entry between -c and c stays as it is.": (
            lambda grads, c: [c * g.sign() for g in grads]
        ),
        "This clips each tensor by its norm. Cut each entry by itself.": (
            lambda grads, c: [g * (c / g.norm()).clamp(max=1) for g in grads]
        ),
        "All tensors were multiplied by one factor, which is the clip by norm. Cut each entry by itself.": (
            lambda grads, c: [g * (c / _norm(grads)).clamp(max=1) for g in grads]
        ),
        "Each tensor was scaled by its largest entry. Cut each entry by itself, and leave the others.": (
            lambda grads, c: [g * (c / g.abs().max()).clamp(max=1) for g in grads]
        ),
        "Large entries became 0. They are to become c or -c.": (
            lambda grads, c: [torch.where(g.abs() > c, 0.0, g) for g in grads]
        ),
        "Large negative entries became +c. They are to become -c.": (
            lambda grads, c: [torch.where(g.abs() > c, c, g).to(g.dtype) for g in grads]
        ),
        "clip_grad_value_ looks at the .grad of parameters, and changes it in place. These are the gradients: g.clamp(-c, c).": (
            _torchs_own_value
        ),
        "Each entry was divided by the largest of its tensor and multiplied by c. Small entries stay as they are.": (
            lambda grads, c: [c * g / g.abs().max() for g in grads]
        ),
    },
    hints=("Each tensor has .clamp(low, high).", "[g.clamp(-c, c) for g in grads]"),
    alternatives=(
        lambda grads, c: [
            torch.minimum(torch.maximum(g, torch.full_like(g, -c)), torch.full_like(g, c)) for g in grads
        ],
        lambda grads, c: tuple(torch.where(g.abs() > c, c * g.sign(), g) for g in grads),
    ),
)


# 06.2 ----------------------------------------------------------------------------------------------------------------
def _clip_by_norm_(grads, c):
    norm = _norm(grads)
    for g in grads:
        g.mul_((c / (norm + 1e-6)).clamp(max=1))
    return norm


def _then_the_gradients(function, grads, c):
    """What an in-place answer returned, then what it made of the gradients."""
    given = list(grads)  # the tensors themselves: a list can be given others
    return (function(grads, c), *given)


def _norm_cases(generator):
    randn = drawer(generator, torch.float64)
    return [
        ([torch.tensor([3.0]), torch.tensor([4.0])], 1.0),
        ([torch.tensor([0.3, 0.4])], 1.0),
        ([torch.zeros(3), torch.zeros(2)], 1.0),
        ([randn(3, 4), 5 * randn(4)], 2.0),
        ([randn(2, 3), randn(3)], math.inf),
        (
            [
                10 * randn(4, 4, dtype=torch.float32),
                randn(4, dtype=torch.float32),
                randn(2, dtype=torch.float32),
            ],
            0.5,
        ),
        ([0.01 * randn(3), 0.01 * randn(2, 2)], 0.05),
        ([0.02 * randn(6), 0.02 * randn(2)], 2e-3),
    ]


def _norm_variant(
    size=_norm, scale=lambda c, norm: (c / (norm + 1e-6)).clamp(max=1), answer=lambda norm, grads: norm
):
    def clip_by_norm_(grads, c):
        norm = size(grads)
        for g in grads:
            g.mul_(scale(c, norm))
        return answer(norm, grads)

    return clip_by_norm_


def _each_by_itself(grads, c):
    norm = _norm(grads)
    for g in grads:
        g.mul_((c / (g.norm() + 1e-6)).clamp(max=1))
    return norm


def _not_in_place(grads, c):
    norm = _norm(grads)
    grads = [g * (c / (norm + 1e-6)).clamp(max=1) for g in grads]
    return norm


def _by_entries(grads, c):
    norm = _norm(grads)
    for g in grads:
        g.clamp_(-c, c)
    return norm


def _torchs_own(grads, c):
    parameters = [torch.nn.Parameter(g.clone()) for g in grads]
    for p, g in zip(parameters, grads, strict=True):
        p.grad = g
    return torch.nn.utils.clip_grad_norm_(parameters, c)


def _flat_and_if(grads, c):
    norm = torch.cat([g.flatten() for g in grads]).norm().item()
    if norm > c:
        for g in grads:
            g *= c / norm
    return norm


CLIP_BY_NORM = Exercise(
    task="clip_by_norm_(grads, c): the norm of all gradients together; afterwards, in place, that norm is at most c",
    reference=_clip_by_norm_,
    cases=_norm_cases,
    call=_then_the_gradients,
    mistakes={
        "This returns clipped copies and leaves the gradients as they were. Change the given tensors, and return the norm.": (
            lambda grads, c: [g * (c / (_norm(grads) + 1e-6)).clamp(max=1) for g in grads]
        ),
        "Each tensor was clipped by its own norm. The norm is over all of them, and so is the factor.": (
            _each_by_itself
        ),
        "A short gradient was made longer. The factor is at most 1.": (
            _norm_variant(scale=lambda c, norm: c / (norm + 1e-6) if c < math.inf else 1.0)
        ),
        "The factor c / norm is used even where it is above 1: a short gradient grows, an infinite c gives inf.": (
            _norm_variant(scale=lambda c, norm: c / (norm + 1e-6))
        ),
        "The gradients are as before: g * factor is a new tensor. Change the given ones, with g.mul_(factor) or g *= factor.": (
            _not_in_place
        ),
        "This is the norm after the clip. Return the one from before.": (
            _norm_variant(answer=lambda norm, grads: _norm(grads))
        ),
        "The gradients are right. Return the norm that they had before.": (
            _norm_variant(answer=lambda norm, grads: None)
        ),
        "The gradients are right. Return the norm, not the list.": (
            _norm_variant(answer=lambda norm, grads: grads)
        ),
        "The norms of the tensors were added. Lengths add as squares: the root of the sum of their squares.": (
            _norm_variant(size=lambda grads: sum(g.norm() for g in grads))
        ),
        "This is the squared norm. Take the root.": (
            _norm_variant(size=lambda grads: sum(g.square().sum() for g in grads))
        ),
        "This is the largest of the norms. All gradients are one long vector.": (
            _norm_variant(size=lambda grads: max(g.norm() for g in grads))
        ),
        "These are sums of absolute values. The norm is the root of the sum of squares.": (
            _norm_variant(size=lambda grads: sum(g.abs().sum() for g in grads))
        ),
        "The 1e-6 in the denominator is there for a norm of 0. Yours is so large that gradients come out too short.": (
            _norm_variant(scale=lambda c, norm: (c / (norm + 1)).clamp(max=1))
        ),
        "The 1e-6 in the denominator is there for a norm of 0. With 1e-2 a small gradient comes out too short.": (
            _norm_variant(scale=lambda c, norm: (c / (norm + 1e-2)).clamp(max=1))
        ),
        "The entries were cut, which turns the gradient. Multiply all of them by one factor.": _by_entries,
        "The factor c / norm was always used: a short gradient grows, and one of length 0 becomes NaN. At most 1.": (
            _norm_variant(scale=lambda c, norm: c / norm)
        ),
        "A long gradient was brought to length 1. Its length is to be c.": (
            _norm_variant(scale=lambda c, norm: 1 / norm if norm > c else 1.0)
        ),
        "Every gradient was brought to length 1. Only one longer than c is changed, and then to length c.": (
            _norm_variant(scale=lambda c, norm: 1 / (norm + 1e-6))
        ),
        "Every gradient was divided by its length: one of length 0 becomes NaN, and c is not in it. The factor is c / norm, at most 1.": (
            _norm_variant(scale=lambda c, norm: 1 / norm)
        ),
        "clip_grad_norm_ looks at the .grad of parameters. These are the gradients themselves: take their norm, then g.mul_(factor).": (
            lambda grads, c: torch.nn.utils.clip_grad_norm_(grads, c)
        ),
        "The factor is upside down: a long gradient became longer. It is c / norm.": (
            _norm_variant(scale=lambda c, norm: norm / c if norm > c else 1.0)
        ),
        "The factor is upside down: short gradients became shorter, long ones stayed. It is c / norm, at most 1.": (
            _norm_variant(scale=lambda c, norm: (norm / c).clamp(max=1))
        ),
        "The sides are exchanged: only a gradient longer than c is multiplied by c / norm.": (
            _norm_variant(scale=lambda c, norm: c / (norm + 1e-6) if norm < c < math.inf else 1.0)
        ),
        "This is the largest entry, the norm of another kind. Wanted is the root of the sum of squares.": (
            _norm_variant(size=lambda grads: max(g.abs().max() for g in grads))
        ),
        "The norm is that of the last tensor alone. All gradients are one long vector.": (
            _norm_variant(size=lambda grads: grads[-1].norm())
        ),
    },
    hints=(
        "All gradients are one long vector: its norm is the root of the sum of all squares.",
        "norm = torch.stack([g.norm() for g in grads]).norm(); the factor is c / norm, but at most 1.",
        "In place: g.mul_(factor) for each g.",
    ),
    alternatives=(_torchs_own, _flat_and_if),
    returns=("the norm", "the gradients"),
    rtol=5e-4,  # with or without 1e-6 beside a norm of a hundredth
)


# 06.3 ----------------------------------------------------------------------------------------------------------------
def _clip_by_unit(W, G, most):
    limit = most * W.norm(dim=1, keepdim=True).clamp(min=1e-3)
    return G * (limit / G.norm(dim=1, keepdim=True).clamp(min=1e-12)).clamp(max=1)


def _unit_cases(generator):
    def case(units, inputs, weights, gradients, most, dtype=torch.float64):
        W = weights * torch.randn(units, inputs, generator=generator, dtype=dtype)
        spread = torch.logspace(-2, 1, units, dtype=dtype).unsqueeze(1)  # some units are clipped, some not
        return (W, gradients * spread * torch.randn(units, inputs, generator=generator, dtype=dtype), most)

    small = (torch.tensor([[3.0, 4.0], [0.0, 0.0]]), torch.tensor([[6.0, 8.0], [0.6, 0.8]]), 0.1)
    silent = (torch.ones(2, 2), torch.tensor([[0.0, 0.0], [3.0, 4.0]]), 0.1)  # a unit without a gradient
    return [
        small,
        silent,
        case(4, 3, 1.0, 1.0, 0.1),
        case(6, 5, 0.2, 1.0, 0.5),
        case(5, 8, 1.0, 0.3, 0.02, torch.float32),
        case(3, 4, 1e-5, 1.0, 1.0),
    ]


def _rows(A):
    return A.norm(dim=1, keepdim=True)


def _unit_variant(weight=lambda W: _rows(W).clamp(min=1e-3), gradient=_rows, cap=True):
    def clip_by_unit(W, G, most):
        factor = most * weight(W) / gradient(G).clamp(min=1e-12)
        return G * (factor.clamp(max=1) if cap else factor)

    return clip_by_unit


def _without_keepdim(W, G, most):
    return G * (most * W.norm(dim=1).clamp(min=1e-3) / G.norm(dim=1).clamp(min=1e-12)).clamp(max=1)


def _unit_vectors(W, G, most):
    return G / _rows(G) * torch.minimum(_rows(G), most * _rows(W).clamp(min=1e-3))


def _each_entry_by_its_weight(W, G, most):
    limit = most * W.abs().clamp(min=1e-3)
    return G.clamp(-limit, limit)


def _unit_by_unit(W, G, most):
    rows = []
    for w, g in zip(W, G, strict=True):
        limit = most * max(w.norm().item(), 1e-3)
        rows.append(g if g.norm() <= limit else g * (limit / g.norm()))
    return torch.stack(rows)


CLIP_BY_UNIT = Exercise(
    task="clip_by_unit(W, G, most): G with each row held to at most `most` times the norm of the same row of W (that norm counts as 1e-3 at least)",
    reference=_clip_by_unit,
    cases=_unit_cases,
    mistakes={
        "One norm was taken of the whole matrix. Each row has its own (and that of the weights counts as 1e-3 at least).": (
            _unit_variant(weight=lambda W: W.norm(), gradient=lambda G: G.norm())
        ),
        "The entries were cut at `most`. Each row is scaled as a whole, against the norm of its own weights.": (
            lambda W, G, most: G.clamp(-most, most)
        ),
        "A unit whose weights are zero gets no gradient and stays zero for ever. Its norm counts as 1e-3 at least.": (
            _unit_variant(weight=_rows)
        ),
        "One norm was taken of the whole matrix. Each row has its own.": (
            _unit_variant(weight=lambda W: W.norm().clamp(min=1e-3), gradient=lambda G: G.norm())
        ),
        "The weights' norm is of the whole matrix. Take each row's.": (
            _unit_variant(weight=lambda W: W.norm().clamp(min=1e-3))
        ),
        "The norms are of the columns. A unit is a row: dim=1.": (
            _unit_variant(
                weight=lambda W: W.norm(dim=0, keepdim=True).clamp(min=1e-3),
                gradient=lambda G: G.norm(dim=0, keepdim=True),
            )
        ),
        "Short gradients were made longer. The factor is at most 1.": _unit_variant(cap=False),
        "The weights are not in it: the limit is `most` times the norm of the unit's weights.": (
            _unit_variant(weight=lambda W: torch.ones(len(W), 1, dtype=W.dtype))
        ),
        "1e-3 was added to every norm. It is only the least that a norm counts as: clamp(min=1e-3).": (
            _unit_variant(weight=lambda W: _rows(W) + 1e-3)
        ),
        "Each entry was cut by its own weight. A unit's row is scaled as a whole.": (
            _each_entry_by_its_weight
        ),
        "The norms were squared. The ratio is of the norms themselves.": (
            _unit_variant(
                weight=lambda W: _rows(W).square().clamp(min=1e-3), gradient=lambda G: _rows(G).square()
            )
        ),
        "The norms are (units,), and torch lines them up with the columns. Keep them as a column: keepdim=True.": (
            _without_keepdim
        ),
        "A unit without a gradient gives 0/0, which is NaN. Divide by its norm clamped at 1e-12: 0 stays 0.": (
            _unit_vectors
        ),
        "1e-3 is the floor of the product. It is the least that the norm of the weights counts as, before `most`.": (
            lambda W, G, most: (
                G * ((most * _rows(W)).clamp(min=1e-3) / _rows(G).clamp(min=1e-12)).clamp(max=1)
            )
        ),
        "`most` is missing: the limit is `most` times the norm of the unit's weights.": (
            lambda W, G, most: _unit_variant()(W, G, 1.0)
        ),
        "The fraction is upside down: the limit goes above, the norm of the gradient below.": (
            lambda W, G, most: G * (_rows(G) / (most * _rows(W).clamp(min=1e-3))).clamp(max=1)
        ),
    },
    hints=(
        "W.norm(dim=1, keepdim=True) is (units, 1): one norm a row, ready to multiply rows.",
        "factor = most * norm of W's row (at least 1e-3) / norm of G's row, and at most 1.",
    ),
    alternatives=(_unit_by_unit,),
    rtol=1e-4,
    deeper=True,
)


# 06.4 ----------------------------------------------------------------------------------------------------------------
def _threshold_from(norms, share):
    return float(norms[norms.isfinite()].quantile(1 - share))


def _history_cases(generator):
    def draw(steps, spoilt=()):
        norms = torch.randn(steps, generator=generator, dtype=torch.float64).exp()
        for k, value in enumerate(spoilt):
            norms[3 * k + 1] = value
        return norms

    return [
        (torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]), 0.25),
        (torch.tensor([5.0, math.inf, 1.0, 2.0, 3.0, math.nan, 4.0]), 0.25),
        (draw(51), 0.1),  # a whole rank, on which all definitions of a quantile agree
        (draw(202, (math.nan,)), 0.1),
        (draw(83, (math.inf, math.inf)), 0.4),
    ]


def _finite(norms):
    return norms[norms.isfinite()]


THRESHOLD_FROM = Exercise(
    task="threshold_from(norms, share): the threshold above which a fraction `share` of the finite norms lies, a float",
    reference=_threshold_from,
    cases=_history_cases,
    mistakes={
        "A fraction `share` lies below this threshold, and nearly every step would be clipped. Take the quantile 1 - share.": (
            lambda norms, share: float(_finite(norms).quantile(share))
        ),
        "A bad step's inf or NaN is still in the list. Keep norms[norms.isfinite()].": (
            lambda norms, share: float(norms.quantile(1 - share))
        ),
        "NaNs are left out, infinities are not: norms.isfinite() finds both.": (
            lambda norms, share: float(norms.nanquantile(1 - share))
        ),
        "Infinities are left out, NaNs are not: norms.isfinite() finds both.": (
            lambda norms, share: float(norms[~norms.isinf()].quantile(1 - share))
        ),
        "Bad steps were counted as 0, which moves the quantile. Leave them out.": (
            lambda norms, share: float(norms.nan_to_num(0.0, 0.0).quantile(1 - share))
        ),
        "This is the mean. A quantile is wanted.": lambda norms, share: float(_finite(norms).mean()),
        "This is the largest norm: no step would be clipped.": (
            lambda norms, share: float(_finite(norms).max())
        ),
        "This is a share of the largest norm, which an outlier sets. Count steps instead: a quantile.": (
            lambda norms, share: float((1 - share) * _finite(norms).max())
        ),
        "This is the median. The fraction above is `share`, not a half.": (
            lambda norms, share: float(_finite(norms).median())
        ),
        "A mean plus some standard deviations belongs to a Gaussian. Norms have a long tail: take a quantile.": (
            lambda norms, share: float(_finite(norms).mean() + 1.28 * _finite(norms).std())
        ),
        "np.percentile counts in per cent, and 1 - share is a fraction: it gives nearly the smallest norm.": (
            lambda norms, share: float(_finite(norms).quantile((1 - share) / 100))
        ),
        "share is not in it: this is always the quantile 0.9.": (
            lambda norms, share: float(_finite(norms).quantile(0.9))
        ),
        "One place too low: positions are counted from 0, so the sorted norms are asked at int((1 - share) * n).": (
            lambda norms, share: float(_finite(norms).sort()[0][int((1 - share) * len(_finite(norms))) - 1])
        ),
        "One place too high: this norm is itself among the share that is to lie above.": (
            lambda norms, share: float(_finite(norms).topk(int(share * len(_finite(norms))))[0][-1])
        ),
        "Bad steps are left out of the list but counted in its length. Count the finite ones.": (
            lambda norms, share: float(_finite(norms).sort()[0][-1 - int(share * len(norms))])
        ),
    },
    hints=(
        "First keep the finite ones: norms[norms.isfinite()].",
        "If a tenth lies above, nine tenths lie below: quantile(0.9).",
    ),
    alternatives=(
        lambda norms, share: torch.quantile(_finite(norms), 1 - share),
        lambda norms, share: float(torch.quantile(-_finite(norms), share) * -1),
    ),
    rtol=1e-4,
)


# 06.5 ----------------------------------------------------------------------------------------------------------------
def _safe_step(weights, grads, lr, c):
    if not all(g.isfinite().all() for g in grads):
        return weights
    factor = (c / (_norm(grads) + 1e-6)).clamp(max=1)
    return [W - lr * factor * g for W, g in zip(weights, grads, strict=True)]


def _step_cases(generator):
    def case(shapes, size, lr, c, spoil=None, where=(-1, -1)):
        randn = drawer(generator, torch.float64)
        weights, grads = [randn(shape) for shape in shapes], [size * randn(shape) for shape in shapes]
        if spoil is not None:
            tensor, entry = where
            grads[tensor].view(-1)[entry] = spoil
        return (weights, grads, lr, c)

    return [
        ([torch.tensor([1.0, 1.0])], [torch.tensor([30.0, 40.0])], 0.1, 1.0),
        ([torch.tensor([1.0, 1.0])], [torch.tensor([1.0, math.inf])], 0.1, 1.0),
        ([torch.tensor([1.0, 1.0])], [torch.tensor([1.0, -math.inf])], 0.1, 1.0),
        (
            [torch.tensor([2.0]), torch.tensor([1.0])],
            [torch.tensor([math.nan]), torch.tensor([3.0])],
            0.5,
            1.0,
        ),
        case([(3, 2), (3,)], 5.0, 0.1, 1.0),
        case([(3, 2), (3,)], 0.01, 0.1, 1.0),
        case([(2,), (4, 2)], 1.0, 0.2, 2.0, math.nan),
        case([(3,), (2, 2)], 1.0, 0.2, 2.0, math.inf),
        case([(3,), (2, 3), (2,)], 1.0, 0.2, 2.0, math.nan, where=(1, -1)),
        case([(2,), (4,), (3, 2)], 1.0, 0.1, 1.0, math.inf, where=(1, 0)),
    ]


def _step_variant(
    bad=lambda grads: not all(g.isfinite().all() for g in grads), clip=True, sign=-1, each=False
):
    def safe_step(weights, grads, lr, c):
        if bad(grads):
            return weights
        factor = (c / (_norm(grads) + 1e-6)).clamp(max=1) if clip else 1.0
        factors = [(c / (g.norm() + 1e-6)).clamp(max=1) for g in grads] if each else [factor] * len(grads)
        return [W + sign * lr * f * g for W, f, g in zip(weights, factors, grads, strict=True)]

    return safe_step


def _always_scaled(weights, grads, lr, c):
    if not all(g.isfinite().all() for g in grads):
        return weights
    return [W - lr * (c / _norm(grads)) * g for W, g in zip(weights, grads, strict=True)]


def _clipped_step(weights, grads, lr, c):
    if not all(g.isfinite().all() for g in grads):
        return weights
    factor = min(1.0, c / (lr * float(_norm(grads))))
    return [W - lr * factor * g for W, g in zip(weights, grads, strict=True)]


def _mended_entries(weights, grads, lr, c):
    return _safe_step(weights, [g.nan_to_num(0.0, 0.0, 0.0) for g in grads], lr, c)


def _norm_of_all_but_good_steps(weights, grads, lr, c):
    factor = (c / (_norm(grads) + 1e-6)).clamp(max=1)
    return [W - lr * factor * g if g.isfinite().all() else W for W, g in zip(weights, grads, strict=True)]


def _unclipped_good_steps(weights, grads, lr, c):
    return [W - lr * g if g.isfinite().all() else W for W, g in zip(weights, grads, strict=True)]


def _only_the_bad_tensor(weights, grads, lr, c):
    good = [g if g.isfinite().all() else torch.zeros_like(g) for g in grads]
    return _safe_step(weights, good, lr, c)


def _tested_by_a_sum(weights, grads, lr, c):
    if not torch.isfinite(sum(g.sum() * 0 for g in grads)):
        return list(weights)
    factor = min(1.0, c / float(_norm(grads)))
    return [W - lr * g * factor for W, g in zip(weights, grads, strict=True)]


SAFE_STEP = Exercise(
    task="safe_step(weights, grads, lr, c): weights as they are if a gradient is not finite, otherwise those after a step clipped by the norm of all",
    reference=_safe_step,
    cases=_step_cases,
    mistakes={
        "A gradient with an inf or a NaN was used: look at the gradients before the step, and skip it.": (
            _step_variant(bad=lambda grads: False)
        ),
        "An inf passes the test for NaN. isfinite() finds both.": (
            _step_variant(bad=lambda grads: any(g.isnan().any() for g in grads))
        ),
        "A NaN passes the test for inf. isfinite() finds both.": (
            _step_variant(bad=lambda grads: any(g.isinf().any() for g in grads))
        ),
        "Only the first gradient was looked at. Any of them may be spoilt.": (
            _step_variant(bad=lambda grads: not grads[0].isfinite().all())
        ),
        "The step is skipped only if all gradients are spoilt. One is enough.": (
            _step_variant(bad=lambda grads: not any(g.isfinite().all() for g in grads))
        ),
        "-inf was overlooked. isfinite() finds it as well.": (
            _step_variant(bad=lambda grads: any((g == math.inf).any() or g.isnan().any() for g in grads))
        ),
        "The bad steps are skipped; the others are not clipped yet.": _step_variant(clip=False),
        "This walks uphill: subtract.": _step_variant(sign=1),
        "Each gradient was clipped by its own norm. The norm is over all of them.": _step_variant(each=True),
        "Spoilt entries were set to 0 and the rest was used. Skip the whole step: what made an inf spoilt the others, too.": (
            _mended_entries
        ),
        "Only the spoilt tensor was skipped. Skip the whole step.": _only_the_bad_tensor,
        "Only the spoilt tensor was skipped, and a NaN in the norm spoils the others. Skip the whole step.": (
            _norm_of_all_but_good_steps
        ),
        "Only the spoilt tensor was skipped, and nothing is clipped yet. Skip the whole step.": (
            _unclipped_good_steps
        ),
        "A gradient with one finite entry passes. All entries have to be finite: isfinite().all().": (
            _step_variant(bad=lambda grads: not all(g.isfinite().any() for g in grads))
        ),
        "The last gradient decides alone: each turn of the loop overwrites what was found before.": (
            _step_variant(bad=lambda grads: not grads[-1].isfinite().all())
        ),
        "Only the first entry of each gradient was looked at. Any of them may be spoilt.": (
            _step_variant(bad=lambda grads: not all(g.view(-1)[0].isfinite() for g in grads))
        ),
        "lr is missing: the step is lr times the clipped gradient.": (
            lambda weights, grads, lr, c: _safe_step(weights, grads, 1.0, c)
        ),
        "A spoilt step gives back the gradients. Return the weights as they are.": (
            lambda weights, grads, lr, c: (
                _safe_step(weights, grads, lr, c) if all(g.isfinite().all() for g in grads) else grads
            )
        ),
        "A short gradient was made longer. The factor c / norm is at most 1.": _always_scaled,
        "The step was clipped, lr times the gradient. Clip the gradient, then multiply by lr.": _clipped_step,
        "A spoilt step gives None. Return the weights as they are.": (
            lambda weights, grads, lr, c: (
                _safe_step(weights, grads, lr, c) if all(g.isfinite().all() for g in grads) else None
            )
        ),
    },
    hints=(
        "all(g.isfinite().all() for g in grads) says whether the gradients can be used.",
        "Clip copies, [g.clone() for g in grads], with your clip_by_norm_: it works in place.",
    ),
    alternatives=(_tested_by_a_sum,),
    rtol=1e-4,
)


# 06.6 ----------------------------------------------------------------------------------------------------------------
def _next_scale(scale, clean, overflow, every):
    if overflow:
        return scale / 2, 0
    return (scale * 2, 0) if clean + 1 == every else (scale, clean + 1)


def _scale_cases(generator):
    power, every = (
        2.0 ** int(torch.randint(4, 30, (1,), generator=generator)),
        int(torch.randint(3, 9, (1,), generator=generator)),
    )
    return [
        (1024.0, 0, False, 4),
        (1024.0, 2, False, 4),
        (1024.0, 2, True, 4),
        (1024.0, 3, False, 4),
        (1024.0, 3, True, 4),
        (1.0, 0, True, 4),
        (power, 1, False, every),
        (power, every - 1, False, every),
        (power, every - 1, True, every),
    ]


def _scale_variant(
    on_overflow=lambda scale, clean: (scale / 2, 0),
    full=lambda clean, every: clean + 1 == every,
    grown=lambda scale, clean: (scale * 2, 0),
    usual=lambda scale, clean: (scale, clean + 1),
):
    def next_scale(scale, clean, overflow, every):
        if overflow:
            return on_overflow(scale, clean)
        return grown(scale, clean) if full(clean, every) else usual(scale, clean)

    return next_scale


def _full_row_before_overflow(scale, clean, overflow, every):
    if clean + 1 == every:
        return scale * 2, 0
    return (scale / 2, 0) if overflow else (scale, clean + 1)


NEXT_SCALE = Exercise(
    task="next_scale(scale, clean, overflow, every): the pair (scale, clean) after one more step",
    reference=_next_scale,
    cases=_scale_cases,
    mistakes={
        "It does not double in time: this step is a clean one, too, so there are clean + 1 of them.": (
            _scale_variant(full=lambda clean, every: clean == every)
        ),
        "It doubles one step early: this step makes clean + 1, and there have to be `every` of them.": (
            _scale_variant(full=lambda clean, every: clean + 2 == every)
        ),
        "An overflow ends the row of clean steps: count from 0.": (
            _scale_variant(on_overflow=lambda scale, clean: (scale / 2, clean))
        ),
        "After an overflow the scale was too large: halve it.": (
            _scale_variant(on_overflow=lambda scale, clean: (scale * 2, 0))
        ),
        "The step with the overflow is not a clean one: count from 0.": (
            _scale_variant(on_overflow=lambda scale, clean: (scale / 2, 1))
        ),
        "After doubling count from 0, or it will never double again.": (
            _scale_variant(grown=lambda scale, clean: (scale * 2, clean + 1))
        ),
        "After doubling count from 0: the next step is the first of a new row.": (
            _scale_variant(grown=lambda scale, clean: (scale * 2, 1))
        ),
        "A clean step was not counted.": _scale_variant(usual=lambda scale, clean: (scale, clean)),
        "It doubles at every clean step. Wait for `every` of them.": (
            _scale_variant(full=lambda clean, every: True)
        ),
        "An overflow in the last step of a row must halve, too: look at overflow first.": (
            _full_row_before_overflow
        ),
        "The pair is exchanged: the scale comes first, then the clean steps.": (
            lambda scale, clean, overflow, every: _next_scale(scale, clean, overflow, every)[::-1]
        ),
        "// rounds down: half of 1 becomes 0, and the scale never recovers. Use / or * 0.5.": (
            _scale_variant(on_overflow=lambda scale, clean: (scale // 2, 0))
        ),
        "The two are exchanged: an overflow halves the scale, a row of clean steps doubles it.": (
            _scale_variant(
                on_overflow=lambda scale, clean: (scale * 2, 0), grown=lambda scale, clean: (scale / 2, 0)
            )
        ),
        "It doubles at every clean step, and goes on counting. Wait for `every` of them.": (
            _scale_variant(full=lambda clean, every: True, grown=lambda scale, clean: (scale * 2, clean + 1))
        ),
        "An overflow leaves the scale as it was. It was too large: halve it.": (
            _scale_variant(on_overflow=lambda scale, clean: (scale, 0))
        ),
        "The scale stays as it is after a full row. Double it, and count from 0.": (
            _scale_variant(grown=lambda scale, clean: (scale, 0))
        ),
    },
    hints=(
        "Look at the overflow first; it decides alone.",
        "This step counts: there are clean + 1 clean steps now.",
    ),
    alternatives=(
        lambda scale, clean, overflow, every: (
            [scale * 0.5, 0] if overflow else [scale * 2 ** ((clean + 1) // every), (clean + 1) % every]
        ),
    ),
    returns=("scale", "clean"),
    deeper=True,
)

EXERCISES = {
    "06.1": CLIP_BY_VALUE,
    "06.2": CLIP_BY_NORM,
    "06.3": CLIP_BY_UNIT,
    "06.4": THRESHOLD_FROM,
    "06.5": SAFE_STEP,
    "06.6": NEXT_SCALE,
}
