"""Small transformers for experiments, N of them at once: stacks (N, ...) for `gradutils.training.train_stacks`.

A block is torch.nn.TransformerEncoderLayer without biases and without dropout, in either order: post-norm normalises the
sum of path and branch, pre-norm what enters the branch. Source of the two: Xiong et al. 2020.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

A_BLOCK = 6  # stacks: the weights of queries, keys and values, of the output, of two dense layers; two gains


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


def transformer_scores(
    learnt: Sequence[Tensor], x: Tensor, *, heads: int = 2, pre_norm: bool = False
) -> Tensor:
    """What N transformers say of x, (B, tokens * inputs) or (B, tokens, inputs): (N, B, outputs), read off the mean token.

    ``learnt`` is what `transformer_stacks` gives. Pre-norm normalises what leaves the last block once more, without a gain.
    """
    embedding, positions, *inner, readout = learnt
    x = x.reshape(len(x), -1, embedding.shape[-1])
    h = x @ embedding.unsqueeze(1).mT + positions  # (N, B, T, width)
    shape = h.shape
    h = h.flatten(1, 2)
    for k in range(0, len(inner), A_BLOCK):
        h = transformer_block(inner[k : k + A_BLOCK], h, shape[2], heads=heads, pre_norm=pre_norm)
    if pre_norm:
        h = F.layer_norm(h, h.shape[-1:])
    return h.view(shape).mean(2) @ readout.mT


def transformer_block(
    block: Sequence[Tensor], h: Tensor, tokens: int, *, heads: int = 2, pre_norm: bool = False
) -> Tensor:
    """One block of N transformers: h (N, B * tokens, width) -> the same; ``block`` holds its six stacks."""
    attention, output, dense1, dense2, gain1, gain2 = block

    def norm(h, gain):
        return F.layer_norm(h, h.shape[-1:]) * gain

    def attend(h):
        parts = (h @ attention.mT).view(len(h), -1, tokens, 3, heads, h.shape[-1] // heads)
        q, k, v = parts.permute(3, 0, 1, 4, 2, 5)  # each (N, B, heads, tokens, width / heads)
        mixed = (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1) @ v
        return mixed.transpose(2, 3).reshape(h.shape) @ output.mT

    def think(h):
        return torch.relu(h @ dense1.mT) @ dense2.mT

    if pre_norm:
        h = h + attend(norm(h, gain1))
        return h + think(norm(h, gain2))
    h = norm(h + attend(h), gain1)
    return norm(h + think(h), gain2)
