"""The parameters of a recorded model: remembered before a step, and measured after it with their gradients."""

import weakref

import torch
from torch import Tensor

from gradutils.recorder.anatomy import local
from gradutils.recorder.norms import STACK, alike, flat, row_norms, wide
from gradutils.recorder.rows import Columns, Row
from gradutils.recorder.torch_inside import version

LONG = (
    2**13
)  # entries from which on a gradient is measured where it lies: to copy it would cost more than another operation


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
        # Such as are alike share what they are measured in.
        self._kinds = [(b.shape, b.dtype, b.device) for b in self._before]
        shared = {kind: b for kind, b in zip(self._kinds, self._before, strict=True) if b.numel() <= STACK}
        self._spare = {kind: torch.empty_like(before) for kind, before in shared.items()}
        self._gradients = {kind: torch.empty_like(before) for kind, before in shared.items()}
        self._sizes: list[Tensor] = []  # the norms of what is remembered, by stack
        self._last: dict[int, Tensor] = {}  # parameter -> its gradient at the step before, if recorded
        self._graded: list[Tensor | None] | None = None  # gradients, as they were found in this step
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
        self._last, self._graded, self._fresh = {}, None, False

    def _now(self, group: list[int]) -> list[Tensor]:
        """Some parameters as they are now, to be read under ``no_grad``."""
        parameters = [self._parameters[k] for k in group]
        return [local(p) for p in parameters] if self._sharded else parameters

    def present_gradients(self) -> list[tuple[Tensor, "weakref.ref[Tensor]", int]]:
        """Each parameter that has a gradient, the gradient, and how often it has been changed in place.

        It is not held: where gradients are set to None, the room is free for the next ones.
        """
        grads = self._graded if self._graded is not None else [p.grad for p in self._parameters]
        self._graded = None
        pairs = zip(self._parameters, grads, strict=True)
        return [(p, weakref.ref(g), version(g)) for p, g in pairs if g is not None and p.requires_grad]

    def add_to(self, row: Row) -> None:
        """Norms of the gradients, of the weights before the step, and of what the step changed."""
        of = self._columns.of
        self._graded = [p.grad for p in self._parameters]  # each costs as much as a small operation
        row.counts(of("graded", [k for k, grad in enumerate(self._graded) if grad is not None]), 1)
        for n, group in enumerate(self._groups):
            row.norms(of("weight_square", group), self._sizes[n])
            dense, grads = self._dense(n, group)
            if self._kinds[n] in self._spare:
                norms = row_norms(*self._change(n, group), *grads)
            else:
                norms = torch.cat([*self._change_of_large(n, group), *map(row_norms, grads)])
            self._sizes[n] = norms[: len(group)]
            row.norms(of("change_square", group) + of("grad_square", dense), norms[len(group) :])
        for k, grad in enumerate(self._graded):
            if grad is not None and grad.is_sparse:
                values = grad.detach().coalesce().values()
                row.norms(of("grad_square", [k]), row_norms(values.reshape(1, -1)))
        self._fresh = True

    def _change(self, n: int, group: list[int]) -> tuple[Tensor, Tensor]:
        """A stack of weights as they are now, which are remembered from now on, and what has changed in them, (K, size)."""
        before, kind = self._before[n], self._kinds[n]
        self._before[n] = torch.stack(self._now(group), out=self._spare[kind])
        self._spare[kind] = before
        return flat(self._before[n]), flat(before.sub_(self._before[n]))

    def _change_of_large(self, n: int, group: list[int]) -> tuple[Tensor, Tensor]:
        """The same, but their norms: there is to be room for one copy only."""
        before, (now,) = self._before[n], self._now(group)
        change = row_norms(flat(before.sub_(now)))
        before.copy_(now)
        return row_norms(flat(before)), change

    def _dense(self, n: int, group: list[int]) -> tuple[list[int], list[Tensor]]:
        """Which of some parameters have a gradient that is not sparse, and those, as stacks (k, size)."""
        dense = [k for k in group if self._graded[k] is not None and not self._graded[k].is_sparse]
        grads = [local(self._graded[k]) if self._sharded else self._graded[k] for k in dense]
        if len(grads) > 1 and grads[0].numel() < LONG:
            return dense, [flat(torch.stack(grads, out=self._gradients[self._kinds[n]][: len(dense)]))]
        return dense, [flat(grad.unsqueeze(0)) for grad in grads]

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


def _stretch(weight: Tensor) -> float | None:
    """The largest singular value of a recurrent weight, over its gates; None of what is no stack of square matrices."""
    if weight.ndim != 2 or not weight.numel() or len(weight) % weight.shape[1] or not weight.isfinite().all():
        return None
    gates = weight.float().split(weight.shape[1])
    return max(torch.linalg.matrix_norm(gate, 2).item() for gate in gates)
