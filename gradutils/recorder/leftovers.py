"""Whether gradients of an earlier step are still there when a backward pass begins, and nothing was done to them."""

import weakref
from collections.abc import Iterable

import torch
from torch import Tensor

from gradutils.recorder.torch_inside import version


class Leftovers:
    """The gradients that a step leaves behind, from one call of ``remember`` to the next."""

    def __init__(self):
        self.remember([])

    def remember(self, gradients: list[tuple[Tensor, "weakref.ref[Tensor]", int]]) -> None:
        """Before a step: parameters, their gradients, and how often these have been changed in place."""
        self._gradients = gradients
        self._untouched: list[tuple[Tensor, Tensor]] = []
        self._found: bool | None = None  # not asked yet

    def began(self) -> None:
        """A gradient has arrived, so a backward pass has begun."""
        if self._found is None:
            present = [(p, p.grad, g, was) for p, g, was in self._gradients if p.grad is not None]
            self._untouched = [(p, now) for p, now, g, was in present if now is g() and version(now) == was]
            self._found = _anything(g for _, g in self._untouched)

    def began_anew(self) -> None:
        """Another pass goes back. Gradients taken for a penalty come before zero_grad: are the old ones still there now?"""
        if self._found:
            self._found = _anything(g for p, g in self._untouched if p.grad is g)
        self.began()

    @property
    def stale(self) -> bool:
        """Whether this step's gradients were added to those of the step before."""
        return bool(self._found) and any(p.grad is g for p, g in self._untouched)


def _anything(gradients: Iterable[Tensor]) -> bool:
    """Whether one of them is not zero: those that were set to zero are still there, and harmless."""
    some = [g.detach().any() if not g.is_sparse else torch.ones((), dtype=torch.bool) for g in gradients]
    return any(bool(found) for found in some)
