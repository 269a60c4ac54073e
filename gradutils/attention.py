"""Small transformers for experiments, N of them at once: stacks (N, ...) for `gradutils.training.train_stacks`.

A block is torch.nn.TransformerEncoderLayer without biases and without dropout, in either order: post-norm normalises the
sum of path and branch, pre-norm what enters the branch. Source of the two: Xiong et al. 2020.
"""

import math
from collections.abc import Callable, Collection, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

# q, k and v, each (N, B, heads, tokens, d) -> what the heads say
Mix = Callable[[Tensor, Tensor, Tensor], Tensor]
A_BLOCK = 6  # stacks: the weights of queries, keys and values, of the output, of two dense layers; two gains
PARTS = ("attention", "output", "dense", "dense", "gains", "gains")  # what `freeze` calls them
IN_ONE = ("queries", "keys", "values")  # the rows of the first, a third each


def transformer_stacks(
    blocks: int,
    width: int,
    *,
    tokens: int = 8,
    inputs: int = 8,
    outputs: int = 10,
    seeds: int = 10,
    seed: int = 0,
) -> list[Tensor]:
    """Parameters of ``seeds`` transformers that read ``tokens`` tokens of ``inputs`` numbers, drawn as torch draws its own.

    The embedding (seeds, width, inputs), the positions (seeds, 1, tokens, width), six stacks a block, and the readout
    (seeds, outputs, width). They are drawn in float64 and rounded, so that every processor starts from the same numbers.
    """
    generator = torch.Generator().manual_seed(seed)

    def uniform(bound, *shape):
        return bound * (2 * torch.rand(seeds, *shape, generator=generator, dtype=torch.float64) - 1)

    learnt = [uniform(inputs**-0.5, width, inputs), uniform(inputs**-0.5, 1, tokens, width)]
    for _ in range(blocks):
        learnt += [
            uniform((6 / (4 * width)) ** 0.5, 3 * width, width),  # Xavier, of the three as one matrix
            uniform(width**-0.5, width, width),
            uniform(width**-0.5, 4 * width, width),
            uniform((4 * width) ** -0.5, width, 4 * width),
            torch.ones(seeds, 1, width),
            torch.ones(seeds, 1, width),
        ]
    return [stack.float() for stack in (*learnt, uniform(width**-0.5, outputs, width))]


def freeze(learnt: Sequence[Tensor], parts: Collection[str]) -> list[Tensor]:
    """The same stacks, of which some parts pass no gradient on: an optimizer without weight decay leaves them as they are.

    The parts are "embedding", "positions", "queries", "keys", "values", "output", "dense", "gains" and "readout", each in
    all blocks. Raises ValueError for any other.
    """
    if unknown := set(parts) - {"embedding", "positions", "readout", *IN_ONE, *PARTS[1:]}:
        raise ValueError(f"parts must be names of parts of a transformer; got {sorted(unknown)}")
    names = ["embedding", "positions", *PARTS * (len(learnt) // A_BLOCK), "readout"]
    return [_still(stack, name, parts) for stack, name in zip(learnt, names, strict=True)]


def _still(stack: Tensor, name: str, parts: Collection[str]) -> Tensor:
    """The stack, with a gradient of 0 where it is frozen: to torch it is still a part of the loss."""
    moving = [part not in parts for part in (IN_ONE if name == "attention" else (name,))]
    if all(moving):
        return stack
    rows = torch.tensor(moving, dtype=stack.dtype).repeat_interleave(stack.shape[1] // len(moving))
    return stack.detach() + rows.unsqueeze(1) * (stack - stack.detach())


def scaled_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(d)) v over the last two axes, (tokens, d)."""
    # (keys, queries): along the last axis, where it is short, a softmax takes three times as long.
    logits = k @ q.mT / q.shape[-1] ** 0.5
    return logits.softmax(-2).mT @ v


def expected_slope(s: float, tokens: int) -> float:
    """E[1 - sum of p^2] of a softmax over ``tokens`` independent logits from N(0, s^2): how far it still is from a choice.

    With S the sum of exp(logits), 1/S^2 is the integral of t exp(-t S) over t > 0. Under it the tokens are independent, and
    two quadratures are left: over t on a logarithmic grid, and over one logit. Raises ValueError for a negative ``s`` or fewer
    than one token.
    """
    if not (s >= 0 and tokens >= 1):
        raise ValueError(
            f"s must be at least 0, and there must be a token; got s = {s!r}, tokens = {tokens!r}"
        )
    z = torch.linspace(-8, 8, 401, dtype=torch.float64)
    share = torch.exp(-z.square() / 2) / torch.exp(-z.square() / 2).sum()  # of each logit s * z
    log_t = torch.linspace(-8 * s - math.log(tokens) - 12, 8 * s + 5, 401, dtype=torch.float64)
    power = torch.exp((log_t.unsqueeze(1) + s * z).clamp(max=300))  # far beyond, exp(-power) is 0 anyway
    left = torch.exp(-power)
    others = (left @ share) ** (tokens - 1)
    squares = (power.square() * left) @ share * others  # the integral over log t takes one more t
    return 1 - tokens * float(squares.sum() * (log_t[1] - log_t[0]))


def transformer_scores(
    learnt: Sequence[Tensor],
    x: Tensor,
    *,
    heads: int = 2,
    pre_norm: bool = False,
    mix: Mix = scaled_attention,
    token: int | None = None,
) -> Tensor:
    """What N transformers say of x, (B, tokens * inputs) or (B, tokens, inputs): (N, B, outputs).

    ``learnt`` is what `transformer_stacks` gives. The scores are read off the mean token, or off the one at the place
    ``token``; then the last block asks for that one alone. Pre-norm normalises what leaves the last block once more, without
    a gain. ``mix`` stands in each block where the heads mix their values.
    """
    embedding, positions, *inner, readout = learnt
    batch, count, tokens = len(x), len(embedding), x[0].numel() // embedding.shape[-1]
    h = x.reshape(batch * tokens, -1) @ embedding.mT  # (N, B * tokens, width)
    h = (h.unflatten(1, (batch, tokens)) + positions).flatten(1, 2)
    for k in range(0, len(inner), A_BLOCK):
        asked = token if k + A_BLOCK == len(inner) else None
        block = inner[k : k + A_BLOCK]
        h = transformer_block(block, h, tokens, heads=heads, pre_norm=pre_norm, mix=mix, token=asked)
    if pre_norm:
        h = F.layer_norm(h, h.shape[-1:])
    return h.view(count, batch, -1, h.shape[-1]).mean(2) @ readout.mT


def transformer_block(
    block: Sequence[Tensor],
    h: Tensor,
    tokens: int,
    *,
    heads: int = 2,
    pre_norm: bool = False,
    mix: Mix = scaled_attention,
    token: int | None = None,
) -> Tensor:
    """One block of N transformers: h (N, B * tokens, width) -> the same; ``block`` holds its six stacks.

    With ``token`` only that token asks, and only it leaves the block: (N, B, width).
    """
    attention, output, dense1, dense2, gain1, gain2 = block

    def norm(h, gain):
        return F.layer_norm(h, h.shape[-1:]) * gain

    def attend(h):
        shape = (len(h), -1, tokens, heads, h.shape[-1] // heads)
        # each (N, B, heads, tokens, width / heads)
        q, k, v = (part.view(shape).transpose(2, 3) for part in (h @ attention.mT).chunk(3, -1))
        if token is not None:
            q = q[..., [token], :]
        return mix(q, k, v).transpose(2, 3).flatten(3).flatten(1, 2) @ output.mT

    def think(h):
        return torch.relu_(h @ dense1.mT) @ dense2.mT

    def path(h):
        return h if token is None else h.view(len(h), -1, tokens, h.shape[-1])[:, :, token]

    if pre_norm:
        h = path(h) + attend(norm(h, gain1))
        return h + think(norm(h, gain2))
    h = norm(path(h) + attend(h), gain1)
    return norm(h + think(h), gain2)
