"""The only room that knows names which torch does not promise to keep. Each has a test that says what it is for."""

import sys
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch._tensor_str import get_printoptions  # torch has no other word that reads them
from torch.overrides import _get_current_function_mode_stack, _pop_mode

LOSS_NODES = {
    "NllLoss": "cross entropy",
    "BinaryCrossEntropy": "binary cross entropy",
    "MseLoss": "squared error",
    "L1Loss": "absolute error",
    "SmoothL1Loss": "absolute error",
    "HuberLoss": "absolute error",
}
# What may stand between a loss and what is gone back from: divided, added to, averaged, cast.
RESHAPES = (
    "View",
    "UnsafeView",
    "Reshape",
    "ReshapeAlias",
    "Squeeze",
    "Unsqueeze",
    "ToCopy",
    "Alias",
    "Clone",
    "Transpose",
    "Permute",
    "T",
)
PASSED_THROUGH = ("Div", "Mul", "Add", "Sub", "Neg", "Mean", "Sum", "Stack", "Cat", *RESHAPES)
WRAPPERS = ("_orig_mod", "_checkpoint_wrapped_module")  # what torch.compile and checkpointing put into names
# The files of torch where hooks for all modules and for all optimizers are kept.
HOOKED = (torch.nn.modules.module, sys.modules[torch.optim.Optimizer.__module__])


def plain_name(name: str) -> str:
    """A module's or parameter's name as its author knows it."""
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)


def is_compiled(model: nn.Module) -> bool:
    """Whether torch.compile has taken hold of the model or of a part of it."""
    return any(hasattr(m, "_orig_mod") or m._compiled_call_impl is not None for m in model.modules())


def shelf(owner: nn.Module, name: str) -> dict:
    """Where a module keeps its child or parameter of this name: to look there costs a tenth of ``getattr``."""
    return owner._modules if name in owner._modules else owner._parameters


class LossNode(NamedTuple):
    """What autograd's graph says of a loss."""

    kind: str = "unknown"
    summed: bool = False  # over its entries, instead of averaged, and not divided afterwards
    logits: bool = False  # a binary cross entropy that takes the sigmoid itself
    added: bool = False  # something else was added to it
    expanded: bool = False  # the outputs were repeated to meet targets of another shape
    log_softmax: bool = False  # it is made of one, by hand


def loss_of(node) -> LossNode:
    """The loss that a node of autograd's graph computes, as torch names its nodes, below divisions, additions and casts."""
    waiting, distance = [node] if node is not None else [], None
    added = divided = log_softmax = False
    for _ in range(64):
        if not waiting:
            break
        node = waiting.pop(0)
        name = node.name()
        kind = next((kind for start, kind in LOSS_NODES.items() if name.startswith(start)), None)
        below = [found for found, _ in node.next_functions if found is not None]
        if kind is not None:
            return LossNode(
                kind,
                summed=getattr(node, "_saved_reduction", 1) == 2 and not divided,
                logits="WithLogits" in name,
                added=added,
                expanded="Expand" in map(_operation_below, below),
            )
        operation = name.partition("Backward")[0]
        log_softmax |= operation == "LogSoftmax"
        if operation == "Abs" and below and below[0].name().startswith("Sub"):
            sides = [found for found, _ in below[0].next_functions if found is not None]
            distance = LossNode(
                "absolute error", added=added, expanded="Expand" in map(_operation_below, sides)
            )
        if operation in PASSED_THROUGH:
            added |= operation in ("Add", "Sub") and len(below) > 1
            divided |= operation in ("Div", "Mul")  # by how many there are, perhaps: what it was is not kept
            waiting += below
    return distance or LossNode(added=added, log_softmax=log_softmax)


def last_operation(tensor: Tensor) -> str:
    """The operation that made a tensor, as autograd names it, changes of shape and type aside: "Sigmoid", "Addmm", ..."""
    return _operation_below(tensor.grad_fn)


def _operation_below(node) -> str:
    while node is not None:
        operation = node.name().partition("Backward")[0]
        if operation not in RESHAPES or not node.next_functions:
            return operation
        node = node.next_functions[0][0]
    return ""


def going_back() -> bool:
    """Inside of a backward pass: a checkpointed block that runs again is no new pass."""
    return torch._C._current_graph_task_id() != -1


def in_transform() -> bool:
    """Inside of torch.func's vmap, grad or jacrev, where a tensor stands for many."""
    return torch._C._functorch.peek_interpreter_stack() is not None


def is_many(tensor: Tensor) -> bool:
    """Whether a gradient stands for many, as where ``torch.autograd`` takes those of a batch at once."""
    return torch._C._functorch.is_legacy_batchedtensor(tensor)


def is_traced() -> bool:
    """Whether operations are being written down instead of done: tensors hold no numbers then."""
    return torch._C._len_torch_dispatch_stack() > 0 or torch.jit.is_tracing()


def version(tensor: Tensor) -> int:
    """How often the tensor has been changed in place."""
    return tensor._version


class ForwardHook:
    """A hook of a module's forward that can rest: to register and remove one anew costs 8 us a layer and step, this a tenth.

    ``before`` it is called with ``(module, args, kwargs)``, else after it with ``(module, args, out)``, ``always`` also where it raises.
    """

    def __init__(self, module: nn.Module, function, *, before: bool = False, always: bool = False):
        if before:
            handle, hooks = (
                module.register_forward_pre_hook(function, with_kwargs=True),
                module._forward_pre_hooks,
            )
        else:
            handle, hooks = module.register_forward_hook(function, always_call=always), module._forward_hooks
        self._hooks, self._key, self._function = hooks, handle.id, function
        self._more = (
            [module._forward_pre_hooks_with_kwargs]
            if before
            else [module._forward_hooks_always_called]
            if always
            else []
        )
        self.remove = handle.remove
        self.rest()

    def listen(self) -> None:
        self._hooks[self._key] = self._function
        for more in self._more:
            more[self._key] = True

    def rest(self) -> None:
        self._hooks.pop(self._key, None)
        for (
            more
        ) in self._more:  # a model that is saved meanwhile would give them to another hook of that number
            more.pop(self._key, None)


def hooks_of(owner: nn.Module | Tensor) -> dict[str, tuple]:
    """The hooks of every kind that stand on a module or a tensor: where each kind is kept -> the keys of those there."""
    if isinstance(owner, Tensor):
        shelves = [
            (name, getattr(owner, name)) for name in ("_backward_hooks", "_post_accumulate_grad_hooks")
        ]
    else:
        shelves = [
            (name, held) for name, held in vars(owner).items() if "hooks" in name and isinstance(held, dict)
        ]
    return {name: tuple(held) for name, held in shelves if held}


def print_options() -> dict[str, Any]:
    """How torch prints, as ``torch.set_printoptions`` takes it."""
    return get_printoptions()


def function_modes() -> tuple[Any, ...]:
    """What stands between callers and torch's functions, the outermost first: a default device is one."""
    return tuple(_get_current_function_mode_stack())


def end_function_modes(kept: tuple[Any, ...]) -> None:
    """End the innermost modes until only such as were ``kept`` are left."""
    while (modes := function_modes()) and modes[-1] not in kept:
        _pop_mode()


def global_hooks() -> list[tuple[str, Any]]:
    """A copy of each place where a hook waits for every module or every optimizer, with its name."""
    return [
        (name, value.copy() if isinstance(value, dict) else value)
        for room in HOOKED
        for name, value in vars(room).items()
        if name.startswith("_global_")
    ]


def put_back_global_hooks(kept: list[tuple[str, Any]]) -> None:
    """Leave exactly the hooks that ``global_hooks`` found."""
    for name, value in kept:
        room = next(room for room in HOOKED if hasattr(room, name))
        if isinstance(value, dict):  # the same dictionary: the handles of the hooks point to it
            getattr(room, name).clear()
            getattr(room, name).update(value)
        else:
            setattr(room, name, value)
