"""The parameters of a recorded model: remembered before a step, and measured after it with their gradients."""

import torch
from torch import Tensor

from gradutils.recorder.anatomy import local
from gradutils.recorder.norms import alike, flat, row_norms, wide
from gradutils.recorder.rows import Columns, Row
from gradutils.recorder.torch_inside import version


class Weights:
    """Parameters of one shape lie in one stack, (K, ...): what is done to them is done once a stack."""

    def __init__(self, parameters: list[Tensor], columns: Columns):
        self._parameters, self._columns = parameters, columns
        mine = [local(p) for p in parameters]
        self._groups = alike(mine)
        self._before = [mine[g[0]].new_empty(len(g), *mine[g[0]].shape) for g in self._groups]
        self._scratch = {}
        for before in self._before:
            room = max(before.numel(), len(self._scratch.get((before.dtype, before.device), ())))
            self._scratch[before.dtype, before.device] = before.new_empty(room)
        self._last: dict[int, Tensor] = {}  # parameter -> its gradient at the step before, if recorded

    @torch.no_grad()
    def remember(self) -> None:
        """Keep the weights as they are before a step."""
        for group, before in zip(self._groups, self._before, strict=True):
            torch.stack([local(self._parameters[k]) for k in group], out=before)

    def forget_last_gradients(self) -> None:
        """The next step has no recorded one before it."""
        self._last = {}

    def present_gradients(self) -> list[tuple[Tensor, Tensor, int]]:
        """Each parameter that has a gradient, the gradient, and how often it has been changed in place."""
        graded = [(p, p.grad) for p in self._parameters if p.requires_grad and p.grad is not None]
        return [(p, g, version(g)) for p, g in graded]

    def add_to(self, row: Row) -> None:
        """Norms of the gradients, of the weights before the step, and of what the step changed."""
        of = self._columns.of
        for group, before in zip(self._groups, self._before, strict=True):
            scratch = self._scratch[before.dtype, before.device][: before.numel()].view_as(before)
            row.norms(of("weight_square", group), row_norms(flat(before)))
            torch.stack([local(self._parameters[k]) for k in group], out=scratch)
            row.norms(of("change_square", group), row_norms(flat(scratch.sub_(before))))
            graded = [k for k in group if self._parameters[k].grad is not None]
            for column in of("graded", graded):
                row.count(column, 1)
            dense = [k for k in graded if not self._parameters[k].grad.is_sparse]
            if dense:
                torch.stack([local(self._parameters[k].grad) for k in dense], out=scratch[: len(dense)])
                row.norms(of("grad_square", dense), row_norms(flat(scratch[: len(dense)])))
            for k in graded:
                if self._parameters[k].grad.is_sparse:
                    values = self._parameters[k].grad.detach().coalesce().values()
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
        """How far recurrent weights stretch: those of a recurrent module, and square ones in ``loops``."""
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
