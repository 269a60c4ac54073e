"""Norms that neither overflow nor vanish, of many small tensors at once: most of the price is that of calling operations."""

import math
from collections import defaultdict

import torch
from torch import Tensor

SMALL, LARGE = 1e-15, 1e18  # between them a norm in single precision can be trusted
STACK = 2**16  # entries measured together at most: they are still in the cache when the next operation comes


def wide(device: torch.device) -> torch.dtype:
    """The type in which sums of squares do not overflow where the numbers themselves do not."""
    return torch.float32 if device.type == "mps" else torch.float64


def row_norms(*stacks: Tensor) -> Tensor:
    """The norm of each row of one stack, (K, n) -> (K,), or of several, one after another; exact where squares would overflow or
    vanish in the rows' own type."""
    if any(rows.device.type != "cpu" or rows.dtype != torch.float32 for rows in stacks):
        return _joined([torch.linalg.vector_norm(rows, dim=1, dtype=wide(rows.device)) for rows in stacks])
    # On a CPU double precision is three times slower, and looking first costs little.
    norms = _joined([torch.linalg.vector_norm(rows, dim=1) for rows in stacks])
    low, high = torch.aminmax(norms)
    if low.item() > SMALL and high.item() < LARGE:
        return norms
    norms = norms.double()
    for rows, part in zip(stacks, norms.split([len(rows) for rows in stacks]), strict=True):
        _mend(rows, part)
    return norms


def _mend(rows: Tensor, norms: Tensor) -> None:
    """Measure again the rows whose squares overflowed or vanished, not those of zeros alone or with a number that is not finite."""
    extreme = ~((norms > SMALL) & (norms < LARGE))
    if rows.shape[1] and extreme.any():
        largest = torch.maximum(rows.amax(1), -rows.amin(1))  # a norm of infinite order is fifty times slower
        extreme &= (largest > 0) & largest.isfinite()
        if extreme.any():
            norms[extreme] = torch.linalg.vector_norm(rows[extreme], dim=1, dtype=torch.float64)


def _joined(norms: list[Tensor]) -> Tensor:
    return torch.cat(norms) if len(norms) > 1 else norms[0]


def norm(tensor: Tensor) -> float | Tensor:
    """The norm of a whole tensor, as exact as ``row_norms``."""
    if tensor.device.type != "cpu" or tensor.dtype != torch.float32:
        return number(torch.linalg.vector_norm(tensor, dtype=wide(tensor.device)))
    quick = torch.linalg.vector_norm(tensor).item()
    if SMALL < quick < LARGE or not 0 < max(tensor.amax().item(), -tensor.amin().item()) < math.inf:
        return quick
    return torch.linalg.vector_norm(tensor, dtype=torch.float64).item()


def number(value: Tensor) -> float | Tensor:
    """A 0-d tensor; on the CPU, where nothing has to be waited for, the number itself, which is cheaper to keep."""
    return value.item() if value.device.type == "cpu" else value


def flat(stack: Tensor) -> Tensor:
    """(K, ...) -> (K, n), where the tensors stacked may also be 0-d or empty."""
    return stack.reshape(len(stack), -1)


def alike(tensors: list[Tensor]) -> list[list[int]]:
    """Indices of tensors that can be stacked, in stacks small enough to stay in a cache."""
    groups = defaultdict(list)
    for k, t in enumerate(tensors):
        groups[(t.shape, t.dtype, t.device)].append(k)
    pieces = []
    for members in groups.values():
        room = max(1, STACK // max(1, tensors[members[0]].numel()))
        pieces += [members[start : start + room] for start in range(0, len(members), room)]
    return pieces
