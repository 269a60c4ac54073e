"""What is known of a model before it trains: its parameters, its layers, and how they hang together."""

import inspect
from collections import defaultdict
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from gradutils.models import Elementwise, Erf
from gradutils.recorder.torch_inside import plain_name, shelf

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
BOUNDS = {nn.Tanh: (-1, 1), nn.Softsign: (-1, 1), Erf: (-1, 1), nn.Sigmoid: (0, 1), nn.Hardsigmoid: (0, 1),
          torch.tanh: (-1, 1), torch.erf: (-1, 1), torch.sigmoid: (0, 1)}  # fmt: skip
AFFINE = (
    nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
    nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm,
    nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm,
)  # fmt: skip


class Layer(NamedTuple):
    """What the recorder must know of a module at each of its calls."""

    name: str
    module: nn.Module
    owns: bool  # whether it has parameters: then its output is a pre-activation, whose gradient is the delta
    affine: bool  # or a normalisation: a zero in its output says nothing
    rectifies: bool  # never negative: a unit is dead where its sum is zero
    bounds: tuple[float, float] | None


class Link(NamedTuple):
    """That a model holds this module or this tensor there, and the tensor's shape and type."""

    path: str
    shelf: dict
    name: str
    held: nn.Module | Tensor
    shape: torch.Size = torch.Size()
    dtype: torch.dtype | None = None  # None of a module


def inner_model(model: nn.Module) -> nn.Module:
    """The model itself, or the one that DDP or DataParallel wraps. Raises TypeError for anything else."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be an nn.Module; got {type(model).__name__}")
    return model.module if isinstance(model, nn.parallel.DistributedDataParallel | nn.DataParallel) else model


def measurable_parameters(model: nn.Module) -> dict[str, Tensor]:
    """The floating-point parameters by name. Raises ValueError where there are none, or some that cannot be measured."""
    if any(type(m).__name__ == "FullyShardedDataParallel" for m in model.modules()):
        raise ValueError("FSDP1 hides the parameters; shard the model with FSDP2's fully_shard instead")
    named = {plain_name(name): p for name, p in model.named_parameters() if p.is_floating_point()}
    if not named:
        raise ValueError(
            f"model must have floating-point parameters to record; {type(model).__name__} has none"
        )
    for name, p in named.items():
        if isinstance(p, UninitializedParameter):
            raise ValueError(
                f"{name} has no shape yet (a lazy module): run one batch through the model first"
            )
        if p.device.type == "meta":
            raise ValueError(
                f"{name} is on the meta device and holds no numbers: model.to_empty(...) and initialise it first"
            )
        if p.dtype not in FLOATS:
            known = ", ".join(str(dtype).removeprefix("torch.") for dtype in FLOATS)
            raise ValueError(
                f"parameters must be of {known}; {name} is of {str(p.dtype).removeprefix('torch.')}"
            )
    return named


def layers_of(model: nn.Module) -> list[Layer]:
    """The modules that are watched: those without children, and those with parameters of their own."""
    layers = []
    for name, module in model.named_modules():
        owns = any(True for _ in module.parameters(recurse=False))
        if ".parametrizations" not in name and (owns or not any(module.children())):
            rectifies = isinstance(module, nn.ReLU | nn.ReLU6)
            name = plain_name(name) or type(module).__name__
            layers.append(Layer(name, module, owns, isinstance(module, AFFINE), rectifies, _bounds(module)))
    return layers


def _bounds(module: nn.Module) -> tuple[float, float] | None:
    if isinstance(module, nn.Hardtanh):
        return module.min_val, module.max_val
    if isinstance(module, nn.RNN | nn.RNNCell) and module.nonlinearity == "tanh":
        return -1, 1
    return BOUNDS.get(module.function if isinstance(module, Elementwise) else type(module))


def links_of(model: nn.Module) -> list[Link]:
    """Every module and parameter below the model."""
    found = []
    for path, held in (*model.named_modules(), *model.named_parameters()):
        if path:
            owner, _, name = path.rpartition(".")
            kind = () if isinstance(held, nn.Module) else (held.shape, held.dtype)
            found.append(Link(plain_name(path), shelf(model.get_submodule(owner), name), name, held, *kind))
    return found


def first_broken(links: list[Link]) -> str | None:
    """The first module or tensor that is another one by now, or has another shape or type; None if all are as they were."""
    for path, there, name, held, shape, dtype in links:
        if there.get(name) is not held or (dtype and (held.shape != shape or held.dtype is not dtype)):
            return path
    return None


# Other numbers in eval mode: norm layers that keep running statistics, and dropout.
KEEPING = (
    nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm,
    nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d,
)  # fmt: skip
DROPPING = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)


def moody(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """The layers that do something else in eval mode, with their names, and the model itself, whose name is ""."""
    layers = [
        (plain_name(name), module)
        for name, module in model.named_modules()
        if name and (_drops(module) or _remembers(module))
    ]
    return [("", model), *layers] if layers else []


def _drops(module: nn.Module) -> bool:
    if isinstance(module, nn.RNNBase | nn.MultiheadAttention):
        return module.dropout > 0
    return isinstance(module, DROPPING) and module.p > 0


def _remembers(module: nn.Module) -> bool:
    """A norm layer with running statistics, which is trained: one that was frozen belongs in eval mode."""
    if not isinstance(module, KEEPING) or not module.track_running_stats:
        return False
    return module.weight is None or module.weight.requires_grad


def unregistered(model: nn.Module) -> dict[str, list[Tensor]]:
    """Trainable tensors in attributes, lists and dictionaries that the model does not know as its parameters, by their path."""
    known_modules, known = set(model.modules()), {id(p) for p in model.parameters()}
    found: dict[str, list[Tensor]] = {}

    def look(value, path: str, depth: int) -> None:
        if isinstance(value, nn.Module):
            mine = (
                []
                if value in known_modules
                else [p for p in value.parameters() if p.requires_grad and id(p) not in known]
            )
        elif isinstance(value, Tensor):
            mine = [value] if value.is_leaf and value.requires_grad and id(value) not in known else []
        else:
            items = (
                value.items()
                if isinstance(value, dict)
                else enumerate(value)
                if isinstance(value, list | tuple)
                else ()
            )
            for key, item in items if depth else ():
                look(item, f"{path}[{key!r}]", depth - 1)
            return
        if mine:
            found[path] = mine

    for name, module in model.named_modules():
        for attribute, value in list(vars(module).items()):
            if not attribute.startswith("_"):
                look(value, f"{plain_name(name)}.{attribute}".removeprefix("."), 3)
    return found


def input_names(model: nn.Module) -> list[str]:
    """The names of what the model's forward takes, in their order."""
    try:
        return list(inspect.signature(model.forward).parameters)
    except (TypeError, ValueError):
        return []


def local(tensor: Tensor) -> Tensor:
    """The part of a tensor that this process holds, without its graph."""
    tensor = tensor.detach()
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor


def sharding(parameters: list[Tensor]) -> list[tuple]:
    """(process group, indices of the parameters whose pieces it holds)."""
    groups = defaultdict(list)
    for k, p in enumerate(parameters):
        for dim, placement in enumerate(getattr(p, "placements", ())):
            if placement.is_shard():
                groups[p.device_mesh.get_group(dim)].append(k)
    return list(groups.items())
