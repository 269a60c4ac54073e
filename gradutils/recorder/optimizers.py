"""What torch's optimizers do while a model is recorded: whether they hold its parameters, at which rate, and when they step.

Torch calls a hook after each step of any optimizer; one that is not torch's is not seen, and nothing is said of it then.
"""

import weakref

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook

from gradutils.recorder.rows import Mark

WAITED = "step() was called before optimizer.step(): updates are recorded one step late. Call it after the optimizer's step"
CLEARED = "the gradients had been cleared before step() was called: call it before zero_grad()"
OFTEN = (
    "step() was called several times between two steps of the optimizer: call it once, after optimizer.step()"
)


class Optimizers:
    """Counts the steps that concern some parameters, between ``listen`` and ``rest``."""

    def __init__(self, parameters: list[Tensor]):
        self._index = {id(p): k for k, p in enumerate(parameters)}
        self.held = [False] * len(parameters)
        self.name, self.rate = "", None
        self.foreign = self.steps = 0
        self._calls = self._recorded = 0  # of step()
        # How many of them came late; without a step of the optimizer since the one before; and, of those recorded, with gradients.
        self._late = self._early = self._idle = 0
        self._steps_before = 0  # at the last call
        self._waiting = False  # gradients have come that no optimizer has used yet
        self._first_came_late = (
            None  # whether an optimizer stepped between the last call and the first way back after it
        )
        self._groups: weakref.WeakKeyDictionary[Optimizer, tuple[list, list[dict]]] = (
            weakref.WeakKeyDictionary()
        )
        self._handle = None

    def listen(self) -> None:
        # By a weak reference: a recorder that nobody stops must not live as long as torch.
        this = weakref.WeakMethod(self._stepped)

        def stepped(optimizer, args, kwargs):
            method = this()
            if method is not None:
                method(optimizer)

        self._handle = register_optimizer_step_post_hook(stepped)
        weakref.finalize(self, self._handle.remove)

    def rest(self) -> None:
        if self._handle is not None:
            self._handle.remove()
            self._handle = None

    def _stepped(self, optimizer: Optimizer) -> None:
        known, groups = self._groups.get(optimizer, (None, []))
        if known != _sizes(optimizer):  # a loaded state brings other groups
            groups = self._meet(optimizer)
        if not groups:
            self.foreign += 1
            return
        self.steps += 1
        self._waiting = False
        rate = groups[0].get("lr")
        self.rate = rate if not isinstance(rate, Tensor) or rate.device.type == "cpu" else None

    def _meet(self, optimizer: Optimizer) -> list[dict]:
        """The groups of an optimizer that hold parameters of the model."""
        groups = []
        for group in optimizer.param_groups:
            mine = [self._index[id(p)] for p in group["params"] if id(p) in self._index]
            for k in mine:
                self.held[k] = True
            groups += [group] if mine else []
        if groups:
            self.name = type(optimizer).__name__
        self._groups[optimizer] = _sizes(optimizer), groups
        return groups

    def concerned(self, left: list[tuple]) -> list[tuple]:
        """Of tuples that begin with a parameter, those whose parameter is in an optimizer that stepped; all, where none did."""
        if not any(self.held):
            return left
        return [found for found in left if self.held[self._index[id(found[0])]]]

    def went_back(self) -> None:
        """A backward pass has begun."""
        self._waiting = True
        if self._first_came_late is None:
            self._first_came_late = self.steps > self._steps_before

    def taken(self, recorded: bool) -> int:
        """The recorder's step() is called: steps since its last call, -1 if no optimizer is known."""
        taken, self._steps_before = self.steps - self._steps_before, self.steps
        self._calls, self._recorded = self._calls + 1, self._recorded + recorded
        self._early += taken == 0
        if self._waiting:
            self._late += bool(self._first_came_late)
            self._idle += taken == 0
        self._first_came_late = None
        return taken if self.steps or self.foreign else -1

    @property
    def order(self) -> str:
        """What is wrong with the place where step() is called, in words; half precision skips a step now and then, and is none."""
        if self._late > self._recorded / 2:
            return WAITED
        return OFTEN if self.steps and self._idle and 3 * self._early > self._calls > 3 else ""


def _sizes(optimizer: Optimizer) -> list[tuple[int, int]]:
    return [(id(group), len(group["params"])) for group in optimizer.param_groups]


def cleared_before(measured: dict[str, Tensor], marks: list[Mark]) -> str:
    """That the gradients were cleared before step() came, in words: none, or all zero, at every step, and weights that moved."""
    grads, moved = measured["grad_norm"], measured["update_norm"] > 0
    stepped = all(mark.optimizer_steps > 0 for mark in marks)
    if len(marks) > 1 and stepped and moved.any(1).all() and not (grads > 0).any():
        return CLEARED
    return ""
