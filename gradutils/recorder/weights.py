"""The parameters of a recorded model: remembered before a step, and measured after it with their gradients."""

import torch
from torch import Tensor

from gradutils.recorder.anatomy import local
from gradutils.recorder.norms import alike, flat, row_norms, wide
from gradutils.recorder.rows import Columns, Row
from gradutils.recorder.torch_inside import version


class Weights:
    """Parameters of one shape lie in one stack, (K, ...): what is done to them is done once a stack.

    A stack is small enough to stay in the processor's cache from one operation to the next. Weights remembered after a recorded
    step are those before the next one: they are neither copied nor measured again.
    """

    def __init__(self, parameters: list[Tensor], columns: Columns):
        self._parameters, self._columns = parameters, columns
        self._sharded = any(hasattr(p, "to_local") for p in parameters)
        mine = [local(p) for p in parameters]
        self._groups = alike(mine)
        self._before = [mine[g[0]].new_empty(len(g), *mine[g[0]].shape) for g in self._groups]
        self._scratch = {_kind(b): torch.empty_like(b) for b in self._before if len(b) > 1}
        self._sizes: list[Tensor] = []  # the norms of what is remembered, by stack
        self._last: dict[int, Tensor] = {}  # parameter -> its gradient at the step before, if recorded
        self._fresh = False  # what is remembered are the weights as they are now

    @torch.no_grad()
    def remember(self) -> None:
        """Keep the weights as they are before a step."""
        if not self._fresh:
            for group, before in zip(self._groups, self._before, strict=True):
                torch.stack(self._now(group), out=before)
            self._sizes = [row_norms(flat(before)) for before in self._before]
        self._fresh = False

    def forget_last_gradients(self) -> None:
        """The next step has no recorded one before it."""
        self._last, self._fresh = {}, False

    def _now(self, group: list[int]) -> list[Tensor]:
        """Some parameters as they are now, to be read under ``no_grad``."""
        parameters = [self._parameters[k] for k in group]
        return [local(p) for p in parameters] if self._sharded else parameters

    def present_gradients(self) -> list[tuple[Tensor, Tensor, int]]:
        """Each parameter that has a gradient, the gradient, and how often it has been changed in place."""
        graded = [(p, p.grad) for p in self._parameters if p.requires_grad and p.grad is not None]
        return [(p, g, version(g)) for p, g in graded]

    def add_to(self, row: Row) -> None:
        """Norms of the gradients, of the weights before the step, and of what the step changed."""
        of = self._columns.of
        for n, group in enumerate(self._groups):
            row.norms(of("weight_square", group), self._sizes[n])
            row.norms(of("change_square", group), self._change(n, group))
            self._sizes[n] = row_norms(flat(self._before[n]))
            self._add_gradients(row, n, group)
        self._fresh = True

    def _change(self, n: int, group: list[int]) -> Tensor:
        """The norms of what has changed since a stack was remembered; what it remembers now are the present weights."""
        before, now = self._before[n], self._now(group)
        if len(group) == 1:
            size = row_norms(flat(before.sub_(now[0])))
            before.copy_(now[0])
            return size
        scratch = torch.stack(now, out=self._scratch[_kind(before)])
        size = row_norms(flat(before.sub_(scratch)))
        self._before[n], self._scratch[_kind(before)] = scratch, before
        return size

    def _add_gradients(self, row: Row, n: int, group: list[int]) -> None:
        of, grads = self._columns.of, [self._parameters[k].grad for k in group]
        found = [(k, grad) for k, grad in zip(group, grads, strict=True) if grad is not None]
        row.counts(of("graded", [k for k, _ in found]), 1)
        dense = [(k, local(g) if self._sharded else g) for k, g in found if not g.is_sparse]
        if dense:
            members, grads = zip(*dense, strict=True)
            if len(dense) == 1:
                stack = grads[0].unsqueeze(0)
            else:
                stack = torch.stack(grads, out=self._scratch[_kind(self._before[n])][: len(dense)])
            row.norms(of("grad_square", members), row_norms(flat(stack)))
        for k, grad in found:
            if grad.is_sparse:
                values = grad.detach().coalesce().values()
                row.norms(of("grad_square", [k]), row_norms(values.reshape(1, -1)))

    def add_dots_to(self, row: Row) -> None:
        """The scalar product of each gradient with that of the step before."""
        now = {
            k: local(p.grad).flatten().to(wide(p.device), copy=True)
            for k, p in enumerate(self._parameters)
            if p.grad is not None and not p.grad.is_sparse
        }
        both = [k for k in now if k in self._last]
        if both:
            dots = torch.stack([torch.dot(now[k], self._last[k]).to(row.sender.device) for k in both])
            row.sums(self._columns.of("grad_dot", both), dots)
        self._last = now

    def stretches(self, names: tuple[str, ...], loops: set[str]) -> dict[str, float]:
        """How far recurrent weights stretch as they are remembered: those of a recurrent module, and square ones in ``loops``."""
        found = {}
        for group, before in zip(self._groups, self._before, strict=True):
            for k, weight in zip(group, before, strict=True):
                looped = names[k] in loops and len(weight) == weight.shape[-1]
                size = _stretch(weight) if looped or "weight_hh" in names[k] else None
                if size is not None:
                    found[names[k]] = size
        return found


def _kind(stack: Tensor) -> tuple:
    """Stacks that are alike share what they are measured in."""
    return stack.shape, stack.dtype, stack.device


def _stretch(weight: Tensor) -> float | None:
    """The largest singular value of a recurrent weight, over its gates; None of what is no stack of square matrices."""
    if weight.ndim != 2 or not weight.numel() or len(weight) % weight.shape[1] or not weight.isfinite().all():
        return None
    gates = weight.float().split(weight.shape[1])
    return max(torch.linalg.matrix_norm(gate, 2).item() for gate in gates)
