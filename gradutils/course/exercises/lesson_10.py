"""Exercises of lesson 10: attention."""

import math

import torch
from torch.nn import functional as F

from gradutils.attention import expected_slope, scaled_attention
from gradutils.course.exercise import Exercise, drawer


# 10.1 ----------------------------------------------------------------------------------------------------------------
def attention(q, k, v):
    return scaled_attention(q, k, v)


def _head_cases(generator):
    randn = drawer(generator, torch.float64)
    return [
        (torch.eye(2), torch.eye(2), torch.tensor([[1.0], [3.0]])),
        (torch.zeros(1, 4), torch.ones(3, 4), torch.tensor([[1.0, 0.0], [2.0, 0.0], [3.0, 6.0]])),
        (2 * randn(3, 4), randn(3, 4), randn(3, 4)),
        (randn(2, 9), randn(5, 9), randn(5, 3)),
        (randn(2, 4, 6), randn(2, 4, 6), randn(2, 4, 6)),
        (randn(2, 3, 1, 5), randn(2, 3, 4, 5), randn(2, 3, 4, 2)),
        tuple(randn(3, 7, 2, dtype=torch.float32) for _ in range(3)),
    ]


def _head_variant(
    scores=lambda q, k: q @ k.mT,
    scale=lambda q, k: q.shape[-1] ** 0.5,
    weights=lambda z: z.softmax(-1),
    mixed=lambda p, v: p @ v,
):
    return lambda q, k, v: mixed(weights(scores(q, k) / scale(q, k)), v)


ATTENTION = Exercise(
    task="attention(q, k, v): softmax(q k^T / sqrt(d)) v over the last two axes; every query's weights sum to 1",
    reference=attention,
    cases=_head_cases,
    mistakes={
        "The softmax went over the queries. Each query shares itself out over the keys: the last axis.": (
            _head_variant(weights=lambda z: z.softmax(-2))
        ),
        "The 1/sqrt(d) is missing.": _head_variant(scale=lambda q, k: 1),
        "Divided by d. It is the square root of d that makes the logits of size 1.": (
            _head_variant(scale=lambda q, k: q.shape[-1])
        ),
        "Multiplied by sqrt(d). Divide by it.": _head_variant(scale=lambda q, k: q.shape[-1] ** -0.5),
        "Divided by the root of the number of tokens. d is the last axis: the numbers in one query.": (
            _head_variant(scale=lambda q, k: k.shape[-2] ** 0.5)
        ),
        "Divided by the root of the number of queries: len(q) counts rows. d is the last axis.": (
            _head_variant(scale=lambda q, k: len(q) ** 0.5)
        ),
        "The scale comes after the softmax, so the weights no longer sum to 1. Divide the logits by it.": (
            lambda q, k, v: (q @ k.mT).softmax(-1) / q.shape[-1] ** 0.5 @ v
        ),
        "These are the weights. They still have to mix the values: weights @ v.": (
            _head_variant(mixed=lambda p, v: p)
        ),
        "There is no softmax: the weights are neither positive nor do they sum to 1.": (
            _head_variant(weights=lambda z: z)
        ),
        "k.T turns round all axes, also that of the batch. Exchange the last two: k.mT.": (
            lambda q, k, v: (
                scaled_attention(q, k, v) if k.ndim == 2 else (q @ k.permute(*reversed(range(k.ndim)))) @ v
            )
        ),
        "The keys ask and the queries answer. Row i of the logits belongs to query i: q @ k.mT.": (
            lambda q, k, v: scaled_attention(k, q, v)
        ),
        "Divided by the length of each query, not by sqrt(d).": (
            _head_variant(scale=lambda q, k: q.norm(dim=-1, keepdim=True).clamp(min=1e-12))
        ),
    },
    hints=(
        "q @ k.mT has a row for each query and a column for each key.",
        "Divide by q.shape[-1] ** 0.5, take the softmax over the last axis, multiply by v.",
    ),
    alternatives=(
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v),
        lambda q, k, v: torch.einsum(
            "...ij,...jd->...id", F.softmax(q @ k.mT / math.sqrt(q.shape[-1]), -1), v
        ),
    ),
)


# 10.2 ----------------------------------------------------------------------------------------------------------------
def _softmax_jacobian(p):
    return torch.diag(p) - torch.outer(p, p)


def _weight_cases(generator):
    randn = drawer(generator, torch.float64)
    return [
        (torch.tensor([0.5, 0.5]),),
        (torch.tensor([1.0, 0.0, 0.0]),),
        (torch.tensor([0.5, 0.25, 0.25]),),
        (randn(4).softmax(0),),
        ((3 * randn(6)).softmax(0),),
        (randn(3, dtype=torch.float32).softmax(0),),
    ]


SOFTMAX_JACOBIAN = Exercise(
    task="softmax_jacobian(p): the matrix of the derivatives of p[i] with respect to logit j, p[i] (1 if i == j else 0) - p[i] p[j]",
    reference=_softmax_jacobian,
    cases=_weight_cases,
    mistakes={
        "Only the diagonal is there. A logit also takes from all other weights: -p[i] p[j].": (
            lambda p: torch.diag(p * (1 - p))
        ),
        "The sign is turned: a weight grows with its own logit.": (
            lambda p: torch.outer(p, p) - torch.diag(p)
        ),
        "These are the derivatives of log p, each row still to be multiplied by its p[i].": (
            lambda p: torch.eye(len(p), dtype=p.dtype) - p
        ),
        "The identity stands where diag(p) belongs.": (
            lambda p: torch.eye(len(p), dtype=p.dtype) - torch.outer(p, p)
        ),
        "The products are added. What one weight gains the others lose: -p[i] p[j].": (
            lambda p: torch.diag(p) + torch.outer(p, p)
        ),
        "This is diag(p) alone. The weights sum to 1, so that a logit also takes from the others: -p[i] p[j].": (
            lambda p: torch.diag(p)
        ),
        "Each column sums to 0, but a p is missing: the products were divided by p[i].": (
            lambda p: torch.diag(p) - p.expand(len(p), -1) / len(p)
        ),
        "This is the diagonal alone, as a vector. There is an entry for each pair (i, j).": (
            lambda p: p * (1 - p)
        ),
        "The diagonal holds p squared. It is p[i] - p[i] p[i].": (
            lambda p: torch.diag(p**2) - torch.outer(p, p)
        ),
        "This is the product alone, with its sign. On the diagonal p[i] is added.": (
            lambda p: -torch.outer(p, p)
        ),
        "A softmax was taken of p once more. p holds the weights already.": (
            lambda p: torch.func.jacrev(lambda z: z.softmax(0))(p)
        ),
        "This is p[i] (1 - p[j]) everywhere. The 1 stands on the diagonal only.": (
            lambda p: p[:, None] * (1 - p[None, :])
        ),
    },
    hints=(
        "With i = j it is p[i] (1 - p[i]), with i and j different it is -p[i] p[j].",
        "torch.diag(p) puts p on a diagonal, torch.outer(p, p) makes all products.",
    ),
    alternatives=(
        lambda p: torch.diag(p) - p[:, None] * p[None, :],
        lambda p: p[:, None] * (torch.eye(len(p), dtype=p.dtype) - p),
    ),
)


# 10.3 ----------------------------------------------------------------------------------------------------------------
DRAWS = 40000


def _slope_cases(generator):
    a, b = torch.rand(2, generator=generator, dtype=torch.float64).tolist()
    return [(0.0, 4), (1.0, 2), (1.0, 16), (2.0, 16), (4.0, 8), (4.0, 32), (2 + a, 5), (0.5 + b, 24)]


def _by_draws(s, tokens, of=lambda p: 1 - p.square().sum(-1)):
    return float(of((s * torch.randn(DRAWS, tokens)).softmax(-1)).mean())


EXPECTED_SLOPE = Exercise(
    task="expected_slope(s, tokens): the mean of 1 - sum of p^2 over many softmaxes of `tokens` logits from N(0, s^2), a number",
    reference=expected_slope,
    cases=_slope_cases,
    mistakes={
        "s was squared: it is the standard deviation already. Logits are s * torch.randn(...).": (
            lambda s, tokens: _by_draws(s**2, tokens)
        ),
        "The root of s was taken. s is the standard deviation: logits are s * torch.randn(...).": (
            lambda s, tokens: _by_draws(s**0.5, tokens)
        ),
        "The weights were averaged before they were squared: on average all are 1/T. Square first, each row by itself.": (
            lambda s, tokens: 1 - 1 / tokens
        ),
        "The squares were averaged over the tokens. Sum them: 1 - (p**2).sum(-1).": (
            lambda s, tokens: _by_draws(s, tokens, lambda p: 1 - p.square().mean(-1))
        ),
        "p (1 - p) was averaged over the tokens. Sum it.": (
            lambda s, tokens: _by_draws(s, tokens, lambda p: (p * (1 - p)).mean(-1))
        ),
        "This is the sum of p^2. What is left of 1 is wanted.": (
            lambda s, tokens: _by_draws(s, tokens, lambda p: p.square().sum(-1))
        ),
        "This is 1 minus the largest weight. Wanted is 1 - sum of p^2.": (
            lambda s, tokens: _by_draws(s, tokens, lambda p: 1 - p.amax(-1))
        ),
        "This is the sum of 1 - p, the slope of log p. That of p is the sum of p (1 - p).": (
            lambda s, tokens: tokens - 1.0
        ),
        "This is the entropy of the weights. Wanted is 1 - sum of p^2.": (
            lambda s, tokens: _by_draws(s, tokens, lambda p: -(p * p.clamp(min=1e-30).log()).sum(-1))
        ),
        "The softmax went over the rows. The tokens of a row share its weights: the last axis.": (
            lambda s, tokens: float((1 - (s * torch.randn(DRAWS, tokens)).softmax(0).square().sum(-1)).mean())
        ),
        "The logits were drawn uniformly. Draw them from a Gaussian: s * torch.randn(...).": (
            lambda s, tokens: float(1 - (s * torch.rand(DRAWS, tokens)).softmax(-1).square().sum(-1).mean())
        ),
        "The logits were divided by sqrt(d) once more. s is the standard deviation of what enters the softmax.": (
            lambda s, tokens: _by_draws(s / tokens**0.5, tokens)
        ),
    },
    hints=(
        "Draw many rows of logits at once: s * torch.randn(20000, tokens).",
        "p = logits.softmax(-1), and then 1 - (p**2).sum(-1), averaged over the rows.",
    ),
    alternatives=(
        lambda s, tokens: (1 - (s * torch.randn(20000, tokens)).softmax(1).square().sum(1)).mean(),
        _by_draws,
    ),
    rtol=0.03,
)


# 10.4 ----------------------------------------------------------------------------------------------------------------
def _rms(x, axes=-1):
    return x.square().mean(axes, keepdim=True).sqrt()


def _qk_norm(q, k):
    return q / _rms(q), k / _rms(k)


def _pair_cases(generator):
    randn = drawer(generator, torch.float64)
    return [
        (torch.tensor([[3.0, 4.0]]), torch.tensor([[1.0, -1.0], [0.0, 2.0]])),
        (100 * randn(3, 4), 0.1 * randn(3, 4)),
        (1 + randn(2, 5, 6), 3 * randn(2, 5, 6)),
        (randn(2, 3, 4, 8), 5 * randn(2, 3, 4, 8) - 2),
        (randn(4, 2, 3, dtype=torch.float32), randn(4, 2, 3, dtype=torch.float32)),
    ]


def _norm_variant(size, centre=lambda x: x):
    return lambda q, k: (centre(q) / size(centre(q)), centre(k) / size(centre(k)))


QK_NORM = Exercise(
    task="qk_norm(q, k): both, each query and each key (the last axis) divided by its root mean square",
    reference=_qk_norm,
    cases=_pair_cases,
    mistakes={
        "Divided by the length, so that every row has length 1. Then no logit passes 1/sqrt(d). Divide by the root mean square.": (
            _norm_variant(lambda x: x.norm(dim=-1, keepdim=True))
        ),
        "The mean went over the tokens. Each query and each key has its own size: the last axis.": (
            _norm_variant(lambda x: _rms(x, -2))
        ),
        "One number was taken for all rows. Each query and each key has its own.": (
            _norm_variant(lambda x: x.square().mean().sqrt())
        ),
        "One size was taken for all heads together. Each head's queries and keys are divided by their own.": (
            lambda q, k: tuple(x / _rms(x, (-3, -1) if x.ndim > 3 else -1) for x in (q, k))
        ),
        "The mean was taken away first, as in LayerNorm. Here only divide.": (
            _norm_variant(_rms, lambda x: x - x.mean(-1, keepdim=True))
        ),
        "Divided by the mean square. Take its root.": _norm_variant(lambda x: _rms(x) ** 2),
        "The keys are as they were. Both are divided.": lambda q, k: (q / _rms(q), k),
        "The queries are as they were. Both are divided.": lambda q, k: (q, k / _rms(k)),
        "Multiplied by the size. Divide by it.": _norm_variant(lambda x: 1 / _rms(x)),
        "Divided by the largest entry. Divide by the root mean square.": (
            _norm_variant(lambda x: x.abs().amax(-1, keepdim=True))
        ),
        "Divided by the standard deviation, which leaves the mean out. Take the root of the mean square.": (
            _norm_variant(lambda x: x.std(-1, keepdim=True, unbiased=False))
        ),
        "This is torch's std: it leaves the mean out and divides by d - 1. Take the root of the mean square.": (
            _norm_variant(lambda x: x.std(-1, keepdim=True))
        ),
        "layer_norm takes the mean away first. Here only divide, as F.rms_norm does.": (
            lambda q, k: tuple(F.layer_norm(x, x.shape[-1:]) for x in (q, k))
        ),
        "These are the logits. Return the two tensors, q and k, each divided by its own size.": (
            lambda q, k: q / _rms(q) @ (k / _rms(k)).mT
        ),
        "The keys come first here. Return q and then k.": lambda q, k: (k / _rms(k), q / _rms(q)),
        "Divided by the mean of the sizes of the entries. Take the root of the mean square.": (
            _norm_variant(lambda x: x.abs().mean(-1, keepdim=True))
        ),
    },
    hints=(
        "As in RMSNorm (08.2), without gain and eps: the root of the mean of the squares over the last axis.",
        "q / q.square().mean(-1, keepdim=True).sqrt(), and the same with k.",
    ),
    alternatives=(
        lambda q, k: [x * x.shape[-1] ** 0.5 / x.norm(dim=-1, keepdim=True) for x in (q, k)],
        lambda q, k: (F.rms_norm(q, q.shape[-1:], eps=1e-12), F.rms_norm(k, k.shape[-1:], eps=1e-12)),
    ),
    returns=("q", "k"),
)


# 10.5 ----------------------------------------------------------------------------------------------------------------
def _still_apart(cosine, tokens, blocks, branch):
    shared, own = cosine, 1 - cosine
    for _ in range(blocks):
        shared = shared + branch**2 * (shared + own / tokens)
    return own / (shared + own)


def _apart_cases(generator):
    a, b, c = torch.rand(3, generator=generator, dtype=torch.float64).tolist()
    return [
        (0.0, 2, 1, 1.0),
        (0.5, 4, 1, 1.0),
        (0.0, 4, 2, 1.0),
        (0.2, 10, 0, 1.0),
        (0.0, 16, 8, 8**-0.5),
        (0.9 * a, 8, 5, 0.5),
        (0.9 * b, 16, 12, 0.2 + 0.5 * c),
        (0.9 * c, 3, 3, 2.0),
    ]


def _apart_variant(step=lambda c, r, T, b: (c + b**2 * (c + r / T), r), blocks=lambda L: L, result=None):
    def still_apart(cosine, tokens, blocks_, branch):
        shared, own = cosine, 1 - cosine
        for _ in range(blocks(blocks_)):
            shared, own = step(shared, own, tokens, branch)
        return (result or (lambda c, r: r / (c + r)))(shared, own)

    return still_apart


STILL_APART = Exercise(
    task="still_apart(cosine, tokens, blocks, branch): 1 - cosine between tokens after the blocks, own / (shared + own), a number",
    reference=_still_apart,
    cases=_apart_cases,
    mistakes={
        "The skip path is missing: the branch is added to what is shared, it does not take its place.": (
            _apart_variant(lambda c, r, T, b: (b**2 * (c + r / T), r))
        ),
        "The own part grew too. The mean over the tokens brings every token the same: own stays as it is.": (
            _apart_variant(lambda c, r, T, b: (c + b**2 * (c + r / T), r * (1 + b**2)))
        ),
        "The branch was not squared. shared and own are mean squares.": (
            _apart_variant(lambda c, r, T, b: (c + b * (c + r / T), r))
        ),
        "own / tokens is missing: the mean of different tokens is not zero, and all of them get it.": (
            _apart_variant(lambda c, r, T, b: (c * (1 + b**2), r))
        ),
        "The own parts were not averaged: divide by the number of tokens.": (
            _apart_variant(lambda c, r, T, b: (c + b**2 * (c + r), r))
        ),
        "This is the cosine. 1 minus it is wanted.": _apart_variant(result=lambda c, r: c / (c + r)),
        "The own part was divided by what is shared. Divide by both together.": (
            _apart_variant(result=lambda c, r: r / c if c else math.inf)
        ),
        "1 - shared is the rest only at the start: the total grows. It is own / (shared + own).": (
            _apart_variant(result=lambda c, r: 1 - c)
        ),
        "The cosine itself was multiplied by 1 + branch^2. Follow the two parts, and divide in the end.": (
            lambda cosine, tokens, blocks, branch: 1 - cosine * (1 + branch**2) ** blocks
        ),
        "The branch was divided by the number of blocks once more. It is given as it is.": (
            lambda cosine, tokens, blocks, branch: _still_apart(
                cosine, tokens, blocks, branch / max(blocks, 1)
            )
        ),
        "The blocks were added up. Each acts on what the last one left.": (
            lambda cosine, tokens, blocks, branch: (
                (1 - cosine) / (1 + blocks * branch**2 * (cosine + (1 - cosine) / tokens))
            )
        ),
        "The own part was divided by the square of the number of tokens. The mean of T independent numbers has 1/T of their square.": (
            _apart_variant(lambda c, r, T, b: (c + b**2 * (c + r / T**2), r))
        ),
        "One block is missing.": _apart_variant(blocks=lambda L: L - 1),
        "One block too many.": _apart_variant(blocks=lambda L: L + 1),
        "The own part is used up by the sharing. The path keeps it: own stays as it is.": (
            _apart_variant(lambda c, r, T, b: (c + b**2 * (c + r / T), r * (1 - b**2 / T)))
        ),
        "The own parts were weakened by the path too. The path passes both on unchanged.": (
            _apart_variant(lambda c, r, T, b: (c + b**2 * (c + r / T), r * (1 - 1 / T)))
        ),
    },
    hints=(
        "Begin with shared = cosine and own = 1 - cosine.",
        "In each block: shared = shared + branch**2 * (shared + own / tokens).",
        "In the end own / (shared + own).",
    ),
    alternatives=(
        lambda cosine, tokens, blocks, branch: (
            (1 - cosine)
            / ((cosine + (1 - cosine) / tokens) * (1 + branch**2) ** blocks + (1 - cosine) * (1 - 1 / tokens))
        ),
    ),
    deeper=True,
)


# 10.6 ----------------------------------------------------------------------------------------------------------------
def _largest_branch(cosine, tokens, blocks):
    own = 1 - cosine
    growth = (own + own / tokens) / (cosine + own / tokens)
    return math.sqrt(growth ** (1 / blocks) - 1)


def _branch_cases(generator):
    a, b = torch.rand(2, generator=generator, dtype=torch.float64).tolist()
    return [
        (0.0, 2, 1),
        (0.25, 4, 1),
        (0.0, 16, 4),
        (0.0, 16, 64),
        (0.1 + 0.3 * a, 8, 12),
        (0.4 * b, 32, 24),
    ]


def _branch_variant(growth=lambda c, r, T: (r + r / T) / (c + r / T), solve=None):
    solve = solve or (lambda g, L: math.sqrt(g ** (1 / L) - 1))
    return lambda cosine, tokens, blocks: solve(growth(cosine, 1 - cosine, tokens), blocks)


def _by_halving(cosine, tokens, blocks, wanted=0.5):
    low, high = 0.0, 100.0
    for _ in range(80):
        middle = (low + high) / 2
        if _still_apart(cosine, tokens, blocks, middle) > wanted:
            low = middle
        else:
            high = middle
    return low


LARGEST_BRANCH = Exercise(
    task="largest_branch(cosine, tokens, blocks): the branch scale at which 1 - cosine has come down to 1/2 after the blocks",
    reference=_largest_branch,
    cases=_branch_cases,
    mistakes={
        "This is the square of the branch scale. Take the root.": (
            _branch_variant(solve=lambda g, L: g ** (1 / L) - 1)
        ),
        "1/sqrt(blocks) is how it falls with depth. How large it may be depends on cosine and tokens as well.": (
            lambda cosine, tokens, blocks: blocks**-0.5
        ),
        "1/blocks is too small: the squares of the branches add up, so that it is the root.": (
            lambda cosine, tokens, blocks: 1 / blocks
        ),
        "The blocks multiply: take the root of order `blocks`, not the quotient.": (
            _branch_variant(solve=lambda g, L: math.sqrt((g - 1) / L))
        ),
        "own / tokens is missing where it begins and where it ends.": (
            lambda cosine, tokens, blocks: math.sqrt(
                max(((1 - cosine) / max(cosine, 1e-12)) ** (1 / blocks) - 1, 0)
            )
        ),
        "It is at the start that tokens were left out: shared + own / tokens is what grows.": (
            _branch_variant(lambda c, r, T: (r + r / T) / max(c, 1e-12))
        ),
        "At the end own / tokens is in it as well: own + own / tokens.": (
            _branch_variant(lambda c, r, T: r / (c + r / T))
        ),
        "All has been turned round: the growth is the end over the start.": (
            _branch_variant(
                lambda c, r, T: (c + r / T) / (r + r / T), lambda g, L: math.sqrt(abs(g ** (1 / L) - 1))
            )
        ),
        "The 1 is still in it: (1 + branch^2)^blocks is the growth.": (
            _branch_variant(solve=lambda g, L: math.sqrt(g ** (1 / L)))
        ),
        "1 - cosine fell to half of its start. It should be 1/2 in the end.": (
            lambda cosine, tokens, blocks: (
                _by_halving(cosine, tokens, blocks, (1 - cosine) / 2) if cosine else 1.0
            )
        ),
        "This is the largest branch of one block alone. The blocks share the growth.": (
            lambda cosine, tokens, blocks: _largest_branch(cosine, tokens, 1)
        ),
        "The tokens were taken for independent: that is the case for cosine 0 alone.": (
            lambda cosine, tokens, blocks: math.sqrt((1.0 + tokens) ** (1 / blocks) - 1)
        ),
    },
    hints=(
        "own does not change, so 1 - cosine is 1/2 where shared has grown to own.",
        "shared + own / tokens is multiplied by 1 + branch**2 in each block.",
        "(1 + branch**2) ** blocks == (own + own / tokens) / (cosine + own / tokens).",
    ),
    alternatives=(
        _by_halving,
        lambda cosine, tokens, blocks: (
            math.expm1(math.log((1 - cosine) * (1 + tokens) / (cosine * tokens + 1 - cosine)) / blocks) ** 0.5
        ),
    ),
    rtol=1e-4,
    deeper=True,
)


EXERCISES = {
    "10.1": ATTENTION,
    "10.2": SOFTMAX_JACOBIAN,
    "10.3": EXPECTED_SLOPE,
    "10.4": QK_NORM,
    "10.5": STILL_APART,
    "10.6": LARGEST_BRANCH,
}
