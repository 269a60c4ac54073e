"""Numbers of half the bits, simulated in float32: rounding to the nearest, rounding at random, what a sum loses."""

import math

import torch
from torch import Tensor

FORMATS = {"float16": torch.float16, "bfloat16": torch.bfloat16}


def rounded(x: Tensor, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    """The nearest number of the format, in x's own dtype; autograd rounds the gradient on its way back as well."""
    return x.to(dtype).to(x.dtype)


def stochastically_rounded(x: Tensor, generator: torch.Generator) -> Tensor:
    """One of the two numbers of bfloat16 around each x, float32: the nearer the likelier, so that the mean is x.

    A bfloat16 number is the upper half of a float32's bits. So a random lower half is added, and what carries over decides.
    """
    if x.dtype != torch.float32:
        raise TypeError(f"x must be float32; got {x.dtype}")
    noise = torch.randint(1 << 16, x.shape, generator=generator, dtype=torch.int32)
    up = ((x.contiguous().view(torch.int32) + noise) & -65536).view(torch.float32)
    return torch.where(x.isfinite(), up, x)


def share_lost(lr: float, std: float, bits: int = 7) -> float:
    """The share of weights from N(0, std^2) that an update of the size lr leaves as they are, with so many stored bits.

    Between 2^k and 2^(k+1) neighbours are 2^(k - bits) apart, and what is smaller than half of that is lost. So are the
    updates of all weights from the smallest such 2^k on. Weights are taken as stored; range has no end.
    """
    k = math.floor(math.log2(lr) + bits + 1) + 1  # the smallest with lr < 2^(k - bits - 1)
    return math.erfc(2.0**k / (std * math.sqrt(2)))
