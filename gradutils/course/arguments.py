"""What a call changed in the arguments that it was given: their values, and what tensors and modules carry along."""

from typing import Any, NamedTuple

import torch
from torch import nn

from gradutils.recorder.torch_inside import global_hooks, hooks_of


class Change(NamedTuple):
    """The first thing that differs in an argument after a call."""

    what: str  # as a sentence names it
    shown: str  # as the lines of a case name it
    before: Any
    after: Any
    in_place: bool = False  # the values of the argument themselves


def first_change(name: str, before: Any, after: Any) -> Change | None:
    """What a call changed in the argument of this name, given as it was before and as it is now."""
    if isinstance(before, torch.Tensor):
        return _in_tensor(name, before, after)
    if isinstance(before, nn.Module):
        return _in_module(name, before, after)
    if isinstance(before, (list, tuple)) and len(before) == len(after):
        parts = (
            first_change(f"{name}[{k}]", *pair) for k, pair in enumerate(zip(before, after, strict=True))
        )
        return next(filter(None, parts), None)
    if before is after or callable(before) or before == after:
        return None
    return _of_values(name, before, after)


def change_for_all_modules(before: list) -> Change | None:
    """Whether the hooks that every module calls are others than ``before``, which `global_hooks` found."""
    now = global_hooks()
    return None if now == before else _of_part("the hooks of all modules", dict(before), dict(now))


def _of_values(name: str, before: Any, after: Any) -> Change:
    return Change(f"its argument `{name}` in place", name, before, after, in_place=True)


def _in_tensor(name: str, before: torch.Tensor, after: torch.Tensor) -> Change | None:
    if not _alike(before, after):
        return _of_values(name, _kept(before), _kept(after))
    for part in ("requires_grad", "grad"):
        one, other = getattr(before, part), getattr(after, part)
        if not _alike(one, other):
            return Change(f"`{name}.{part}`", f"{name}.{part}", _kept(one), _kept(other))
    if hooks_of(before) != hooks_of(after):
        return _of_part(f"the hooks on `{name}`", hooks_of(before), hooks_of(after))
    return None


def _in_module(name: str, before: nn.Module, after: nn.Module) -> Change | None:
    for what, read in PARTS_OF_MODULE.items():
        one, other = read(before), read(after)
        differ = [key for key in (one | other) if key not in one or not _alike(one[key], other.get(key))]
        if differ:
            one, other = ({key: _kept(part[key]) for key in differ if key in part} for part in (one, other))
            return _of_part(what.format(name), one, other)
    return None


def _of_part(what: str, before: dict, after: dict) -> Change:
    return Change(what, what.replace("`", ""), before, after)


def _hooks(module: nn.Module) -> dict[str, tuple]:
    """The hooks on every part of a module and on its weights."""
    parts = (*module.named_modules(), *module.named_parameters())
    return {
        f"{name} {place}".strip(): found for name, part in parts for place, found in hooks_of(part).items()
    }


PARTS_OF_MODULE = {
    "the submodules of `{}`": lambda module: {
        name: type(part).__name__ for name, part in module.named_modules()
    },
    "the weights of `{}`": lambda module: module.state_dict(),
    "the mode, train or eval, of `{}`": lambda module: {
        name: "train" if part.training else "eval" for name, part in module.named_modules()
    },
    "`requires_grad` of the weights of `{}`": lambda module: {
        name: weight.requires_grad for name, weight in module.named_parameters()
    },
    "the method `forward` of `{}`": lambda module: {
        name: "another method" for name, part in module.named_modules() if "forward" in vars(part)
    },
    "the hooks on `{}`": _hooks,
}


def _kept(value: Any) -> Any:
    """A copy that the second call with the same arguments cannot change."""
    return value.detach().clone() if isinstance(value, torch.Tensor) else value


def _alike(one: Any, other: Any) -> bool:
    """Whether two values are equal; a NaN equals itself here."""
    if not isinstance(one, torch.Tensor) or not isinstance(other, torch.Tensor):
        return type(one) is type(other) and one == other
    if one.shape != other.shape or one.dtype != other.dtype or one.device != other.device:
        return False
    return bool(((one == other) | (one != one) & (other != other)).all())
