"""A recorder for any ``nn.Module``: what its gradients, weights, updates and activations did, step by step.

    with Recorder(model) as recorder:
        for x, y in batches:
            optimizer.zero_grad()
            loss = loss_fn(model(x), y)
            loss.backward()
            optimizer.step()
            recorder.step(loss)  # after the optimizer, before the gradients are cleared
    print(recorder.summary())

Training goes on bit for bit as it would without. Nothing is copied to the host before it is read. Tensors of one shape
are stacked and measured together: for small networks most of the price is that of calling operations.
"""

import math
import warnings
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gradutils.models import Elementwise, Erf
from gradutils.recording import Recording

FIRST = 5  # these steps are always recorded, and kept when the ring wraps: most illnesses show at once
STACK = 2**18  # entries measured together at most
NEAR = 0.05  # a unit is saturated within this distance of a bound of its activation
BOUNDS = {nn.Tanh: (-1, 1), nn.Softsign: (-1, 1), Erf: (-1, 1), nn.Sigmoid: (0, 1), nn.Hardsigmoid: (0, 1),
          torch.tanh: (-1, 1), torch.erf: (-1, 1), torch.sigmoid: (0, 1)}  # fmt: skip
AFFINE = (nn.Linear, nn.modules.conv._ConvNd, nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm)
# What a row of the ring holds. Squares and sums add up over the calls of a layer and the passes of a step, so means and
# ratios are formed when the row is read. ``entries`` and ``units`` count what was added up; 0 says that nothing was.
SCALARS = ("loss", "input_square", "input_sum", "input_entries")
PER_PARAMETER = ("grad_square", "weight_square", "change_square", "graded")
PER_LAYER = (
    "entries", "units", "sum", "square", "unit_sum_square", "nonzero", "alive", "unsaturated",
    "delta_square", "first_call_delta_square", "last_call_delta_square", "delta_calls",
)  # fmt: skip


def _wide(device: torch.device) -> torch.dtype:
    """The type in which sums of squares do not overflow where the numbers themselves do not."""
    return torch.float32 if device.type == "mps" else torch.float64


def _row_norms(rows: Tensor) -> Tensor:
    """The norm of each row, (K, n) -> (K,), exact where squares would overflow or vanish in the rows' own type."""
    if rows.device.type != "cpu" or rows.dtype != torch.float32:
        return torch.linalg.vector_norm(rows, dim=1, dtype=_wide(rows.device))
    norms = torch.linalg.vector_norm(rows, dim=1)
    low, high = torch.aminmax(
        norms
    )  # on a CPU double precision is three times slower, and looking first costs little
    if low.item() > 1e-15 and high.item() < 1e18:
        return norms
    norms = norms.double()
    extreme = ~((norms > 1e-15) & (norms < 1e18))
    norms[extreme] = torch.linalg.vector_norm(rows[extreme], dim=1, dtype=torch.float64)
    return norms


def _groups(tensors: list[Tensor], *kinds) -> list[list[int]]:
    """Indices of tensors that can be stacked, in stacks small enough to stay in a cache; ``kinds`` sets more of them apart."""
    groups = defaultdict(list)
    for k, t in enumerate(tensors):
        groups[(t.shape, t.dtype, t.device, *(kind[k] for kind in kinds))].append(k)
    pieces = []
    for members in groups.values():
        room = max(1, STACK // max(1, tensors[members[0]].numel()))
        pieces += [members[start : start + room] for start in range(0, len(members), room)]
    return pieces


def _stacked(tensors: list[Tensor]) -> Tensor:
    return torch.stack(tensors) if len(tensors) > 1 else tensors[0].unsqueeze(0)


def _first_tensor(value) -> Tensor | None:
    """The first floating-point tensor in nested tuples, lists, dictionaries and dataclasses."""
    if isinstance(value, Tensor):
        plain = (
            value.is_floating_point()
            and value.layout == torch.strided
            and not value.is_nested
            and value.numel()
        )
        return value if plain and not torch._C._functorch.is_batchedtensor(value) else None
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, (tuple, list)):
        value = vars(value).values() if hasattr(value, "__dataclass_fields__") else ()
    return next((found for item in value if (found := _first_tensor(item)) is not None), None)


def _samples_by_units(h: Tensor) -> Tensor:
    """(samples, units): tokens count as samples, the pixels of a feature map as units."""
    return h.flatten(0, 1) if h.ndim == 3 else h.flatten(1) if h.ndim > 1 else h.reshape(1, -1)


def _bounds(module: nn.Module) -> tuple[float, float] | None:
    if isinstance(module, nn.Hardtanh):
        return module.min_val, module.max_val
    if isinstance(module, (nn.RNN, nn.RNNCell)) and module.nonlinearity == "tanh":
        return -1, 1
    return BOUNDS.get(module.function if isinstance(module, Elementwise) else type(module))


def _plain(name: str) -> str:
    """A module's or parameter's name without what DDP, torch.compile and checkpointing put into it."""
    parts = [part for part in name.split(".") if part not in ("_orig_mod", "_checkpoint_wrapped_module")]
    return ".".join(parts).removeprefix("module.")


def _local(tensor: Tensor) -> Tensor:
    """The part of a tensor that this process holds, without its graph."""
    tensor = tensor.detach()
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor


def _sharding(parameters: list[Tensor]) -> list[tuple]:
    """(process group, indices of the parameters whose pieces it holds)."""
    groups = defaultdict(list)
    for k, p in enumerate(parameters):
        for dim, placement in enumerate(getattr(p, "placements", ())):
            if placement.is_shard():
                groups[p.device_mesh.get_group(dim)].append(k)
    return list(groups.items())


def _watching() -> bool:
    """Not in evaluation, not when a checkpointed block is run again on the way back, not inside a compiled graph."""
    compiling = torch.compiler.is_compiling()
    return not compiling and torch.is_grad_enabled() and torch._C._current_graph_task_id() == -1


class _Layer(NamedTuple):
    """What the recorder must know of a module at each of its calls."""

    name: str
    module: nn.Module
    owns: bool  # parameters: then its output is a pre-activation, whose gradient is the delta
    affine: bool
    rectifies: bool  # never negative: a unit is dead where its sum is zero
    bounds: tuple[float, float] | None


class _Pass:
    """One forward pass under way: the outputs seen, then what they add to the row."""

    def __init__(self):
        self.outputs: list[tuple[int, Tensor, Tensor, int]] = []  # layer, output or its copy, output, version
        self.squares: list[
            tuple[list[int], Tensor]
        ] = []  # columns of the row, norms to be squared and added there
        self.sums: list[tuple[list[int], Tensor]] = []
        self.counts: list[tuple[int, float]] = []
        self.went_back = False


class Recorder:
    """Watch a model train: ``with Recorder(model) as recorder``, and ``recorder.step(loss)`` after each optimizer step.

    ``every``: record each step that it divides, and always the first five. ``activations`` and ``deltas`` may be left
    out, which makes it cheaper. ``capacity``: records kept; after that the oldest go, except the first five.
    What was recorded is read as attributes (``recorder.grad_norm``; names and shapes as in ``Recording``).

    A model under ``torch.compile`` is recorded without activations and deltas. With DDP or FSDP2 (``fully_shard`` comes
    first) gradients, weights and updates are those of the whole model; activations and deltas those of this process.
    Raises ValueError for a model without parameters and for options out of range.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        every: int = 1,
        activations: bool = True,
        deltas: bool = True,
        capacity: int = 10_000,
    ):
        if not isinstance(model, nn.Module):
            raise TypeError(f"model must be an nn.Module; got {type(model).__name__}")
        if every < 1 or capacity <= FIRST:
            raise ValueError(
                f"every must be 1 or more and capacity above {FIRST}; got {every} and {capacity}"
            )
        if any(isinstance(p, nn.parameter.UninitializedTensorMixin) for p in model.parameters()):
            raise ValueError(
                "some parameters have no shape yet (lazy modules): run one batch through the model first"
            )
        if any(type(m).__name__ == "FullyShardedDataParallel" for m in model.modules()):
            raise ValueError("FSDP1 hides the parameters; shard the model with FSDP2's fully_shard instead")
        named = {_plain(name): p for name, p in model.named_parameters()}
        if not named:
            raise ValueError(f"model must have parameters to record; {type(model).__name__} has none")
        self._model, self._every, self._capacity = model, every, capacity
        self._parameters, self._names = list(named.values()), tuple(named)
        self._device = self._parameters[0].device
        compiled = hasattr(model, "_orig_mod") or any(m._compiled_call_impl for m in model.modules())
        if compiled and (activations or deltas):
            warnings.warn("the model is compiled: activations and deltas are not recorded", stacklevel=2)
        self._activations, self._deltas = activations and not compiled, deltas and not compiled
        self._layers = []
        for name, module in model.named_modules():
            owns = any(True for _ in module.parameters(recurse=False))
            if name and (owns or not any(module.children())):
                kind = isinstance(module, AFFINE), isinstance(module, (nn.ReLU, nn.ReLU6))
                self._layers.append(_Layer(_plain(name), module, owns, *kind, _bounds(module)))
        widths = [len(SCALARS), len(PER_PARAMETER) * len(named), len(PER_LAYER) * len(self._layers)]
        self._width, self._layers_from = sum(widths), widths[0] + widths[1]
        self._sharded = _sharding(self._parameters)
        self._rows: Tensor | None = None  # (room, width), the ring; grows up to capacity
        self._marks: list[tuple[int, float, bool]] = []  # step, lr, stale of each row
        self._entered = False
        self._count = self._written = 0
        self._calls: dict[int, int] = {}  # layer -> calls in one pass, in the order of first calls
        self._overwritten: set[int] = set()  # layers whose output a later one changes in place
        self._loss_kind, self._loss_summed, self._trivial = "unknown", False, torch.nan
        self._spectral: dict[str, float] = {}
        self._sent: dict[tuple, Tensor] = {}
        self._cache: Recording | None = None

    def _column(self, name: str, k: int) -> int:
        """Where a row holds a layer's number."""
        return self._layers_from + PER_LAYER.index(name) * len(self._layers) + k

    # Where it listens: two hooks on the model, always there; one on each layer, in place only while a recorded pass runs.

    def __enter__(self) -> "Recorder":
        if self._entered:
            raise RuntimeError("this recorder is already recording")
        self._entered = True
        self._handles = [
            self._model.register_forward_pre_hook(self._begin, with_kwargs=True),
            self._model.register_forward_hook(self._end),
        ]
        self._hooks = []
        for k, layer in enumerate(self._layers if self._activations or self._deltas else ()):
            handle = layer.module.register_forward_hook(lambda module, args, out, k=k: self._see(k, out))
            self._hooks.append(
                (layer.module._forward_hooks, handle.id, layer.module._forward_hooks.pop(handle.id))
            )
        weights = [_local(p) for p in self._parameters]
        self._groups = _groups(weights)
        self._before = [weights[g[0]].new_empty(len(g), *weights[g[0]].shape) for g in self._groups]
        self._scratch = {}
        for before in self._before:
            room = max(before.numel(), len(self._scratch.get((before.dtype, before.device), ())))
            self._scratch[before.dtype, before.device] = before.new_empty(room)
        self._prepare()
        return self

    def __exit__(self, *_) -> None:
        self._listen(False)
        for handle in self._handles:
            handle.remove()
        self._handles, self._hooks, self._passes, self._cleared = [], [], [], []
        self._before, self._scratch = [], {}
        self._entered = False

    def _listen(self, on: bool) -> None:
        for hooks, key, hook in self._hooks:
            if on:
                hooks[key] = hook
            else:
                hooks.pop(key, None)

    @torch.no_grad()
    def _prepare(self) -> None:
        """Before a step: decide whether to record it, and if so remember the weights and the gradients left over."""
        self._recording = self._count < FIRST or self._count % self._every == 0
        self._passes: list[_Pass] = []
        self._deltas_seen: list[tuple[int, Tensor]] = []
        self._stale: bool | None = None
        self._cleared = []
        if self._recording:
            for group, before in zip(self._groups, self._before, strict=True):
                torch.stack([_local(self._parameters[k]) for k in group], out=before)
            if self._count:
                self._cleared = [(p, g, g._version) for p in self._parameters if (g := p.grad) is not None]

    @torch.no_grad()
    def _read_input(self, args, kwargs) -> None:
        x = _first_tensor((args, kwargs))
        if x is not None:
            passed = self._passes[-1]
            passed.squares.append(([1], _row_norms(x.detach().reshape(1, -1))))
            passed.sums.append(([2], x.detach().sum().reshape(1)))
            passed.counts.append((3, x.numel()))

    def _begin(self, module, args, kwargs) -> None:
        if _watching() and self._recording:
            self._passes.append(_Pass())
            self._read_input(args, kwargs)
            self._listen(True)

    def _see(self, k: int, out) -> None:
        """A layer has been called."""
        h = _first_tensor(out) if _watching() and self._passes else None
        if h is None:
            return
        if self._activations:
            seen = h.detach()
            # At first nobody knows whose output will be changed in place; then those that were are copied in time.
            kept = seen.clone() if self._written == 0 or k in self._overwritten else seen
            self._passes[-1].outputs.append((k, kept, seen, seen._version))
        if self._deltas and self._layers[k].owns and h.requires_grad:
            h.register_hook(lambda grad: self._receive(k, grad))

    def _receive(self, k: int, grad: Tensor) -> None:
        """The gradient of a layer's output has arrived."""
        if self._stale is None:
            self._ask_whether_stale()
        self._deltas_seen.append((k, grad.detach()))

    def _end(self, module, args, out) -> None:
        if not (_watching() and self._recording and self._passes):
            return
        self._listen(False)
        passed, h = self._passes[-1], _first_tensor(out)
        if h is not None and h.requires_grad:
            if self._written == 0:
                self._output = h.detach()
            h.register_hook(lambda grad: self._went_back(passed, grad))
        self._measure(passed)

    def _went_back(self, passed: _Pass, grad: Tensor) -> None:
        passed.went_back = True
        if self._stale is None:
            self._ask_whether_stale()
        if self._written == 0:
            self._output_delta = grad.detach()

    def _ask_whether_stale(self) -> None:
        """A backward pass begins: are the gradients of the step before still there, and was nothing done to them?"""
        self._stale = any(p.grad is g and g._version == version for p, g, version in self._cleared)

    @torch.no_grad()
    def _measure(self, passed: _Pass) -> None:
        """All outputs of a pass at once; then they are let go, before the backward pass needs the memory."""
        calls, layers, outputs = defaultdict(int), [], []
        for k, kept, seen, version in passed.outputs:
            calls[k] += 1
            if seen._version != version:
                self._overwritten.add(k)
            if (
                kept is not seen or seen._version == version
            ):  # else what is there now is another layer's output
                layers.append(k)
                outputs.append(_samples_by_units(kept))
        for group in _groups(outputs, [self._layers[k][3:] for k in layers]):
            self._add_statistics(passed, [layers[n] for n in group], _stacked([outputs[n] for n in group]))
        passed.outputs.clear()
        for k, n in calls.items():
            self._calls[k] = max(n, self._calls.get(k, 0))

    def _add_statistics(self, passed: _Pass, layers: list[int], h: Tensor) -> None:
        """Add the outputs of layers of one kind, (K, samples, units), to the row."""
        _, samples, units = h.shape
        layer = self._layers[layers[0]]
        h = h if h.dtype in (torch.float32, torch.float64) else h.float()

        def add(to: list, name: str, values: Tensor) -> None:
            to.append(([self._column(name, k) for k in layers], values))

        unit_sum = h.sum(1)  # (K, units)
        add(passed.sums, "sum", unit_sum.sum(1))
        add(passed.squares, "square", _row_norms(h.flatten(1)))
        add(passed.squares, "unit_sum_square", _row_norms(unit_sum))
        if not layer.affine:  # counted in floating point, which is several times faster than comparing
            sign = h.sign()
            nonzero = unit_sum if layer.rectifies else sign.square_().sum(1)
            add(passed.sums, "nonzero", sign.sum((1, 2)) if layer.rectifies else nonzero.sum(1))
            add(passed.sums, "alive", nonzero.sign().sum(1))
        if layer.bounds is not None:
            centre, reach = sum(layer.bounds) / 2, (layer.bounds[1] - layer.bounds[0]) / 2
            add(passed.sums, "unsaturated", ((h - centre).abs_() < reach - NEAR).sum((1, 2)))
        for k in layers:
            passed.counts += [
                (self._column("entries", k), samples * units),
                (self._column("units", k), units),
            ]

    def step(self, loss, lr: float | None = None) -> None:
        """Record the step just taken: call it after the optimizer's step and before the gradients are cleared.

        ``loss`` is a 0-d tensor or a number, ``lr`` the learning rate if it is to be kept. Raises RuntimeError outside
        of ``with``, ValueError for a loss that is not a single number.
        """
        if not self._entered:
            raise RuntimeError("step() was called outside of `with Recorder(model) as recorder:`")
        if isinstance(loss, Tensor) and loss.numel() != 1:
            raise ValueError(f"loss must be a single number; got a tensor of shape {tuple(loss.shape)}")
        if self._recording:
            self._cache = None
            self._listen(False)  # a pass that raised has left the hooks in place
            with torch.no_grad():
                if not self._written:
                    self._look_closer(loss)
                self._write(self._row(loss))
            self._marks.append((self._count, torch.nan if lr is None else float(lr), bool(self._stale)))
            self._written += 1
        self._count += 1
        self._prepare()

    def _row(self, loss) -> Tensor:
        """One row of the ring, (width,)."""
        passes = [p for p in self._passes if p.went_back] or self._passes
        for passed in passes:
            if passed.outputs:  # layers were called, the model as a whole was not
                self._measure(passed)
        squares = [pair for p in passes for pair in p.squares]
        sums = [pair for p in passes for pair in p.sums]
        counts = defaultdict(float)
        for column, n in (pair for p in passes for pair in p.counts):
            counts[column] += n
        self._add_deltas(squares, counts)
        self._add_parameters(squares, counts)
        sums.append(([0], torch.as_tensor(loss, dtype=_wide(self._device)).detach().reshape(1)))

        row = torch.zeros(self._width, dtype=_wide(self._device), device=self._device)
        for pairs, power in ((squares, 2), (sums, 1)):
            values = torch.cat([values.to(self._device, non_blocking=True) for _, values in pairs]).to(
                row.dtype
            )
            row.index_add_(0, self._index([c for columns, _ in pairs for c in columns]), values**power)
        row[self._index(list(counts))] = self._constants(counts.values(), row.dtype)
        for process_group, columns in self._sharded:
            at = self._index(
                [len(SCALARS) + kind * len(self._names) + k for kind in range(3) for k in columns]
            )
            whole = row[at]
            torch.distributed.all_reduce(whole, group=process_group)
            row[at] = whole
        return row

    def _index(self, columns: list[int]) -> Tensor:
        return self._constants(columns, torch.int64)

    def _constants(self, numbers: Iterable[float], dtype: torch.dtype) -> Tensor:
        """A tensor of numbers that are the same at almost every step, so that it is sent to the device once."""
        key = (*numbers, dtype)
        if key not in self._sent:
            if len(self._sent) > 100:
                self._sent.clear()
            self._sent[key] = torch.tensor(key[:-1], dtype=dtype, device=self._device)
        return self._sent[key]

    def _add_deltas(self, squares: list, counts: dict) -> None:
        deltas = [grad for _, grad in self._deltas_seen]
        column = self._column("delta_square", 0), self._column("first_call_delta_square", 0)
        last_column, calls = self._column("last_call_delta_square", 0), defaultdict(list)
        for n, (k, _) in enumerate(self._deltas_seen):
            calls[k].append(n)  # the last call of a pass comes back first
            counts[self._column("delta_calls", k)] += 1
        for group in _groups(deltas):
            norms = _row_norms(_stacked([deltas[n] for n in group]).flatten(1))
            layers = [self._deltas_seen[n][0] for n in group]
            squares.append(([column[0] + k for k in layers], norms))
            for at, place in ((column[1], -1), (last_column, 0)):
                ends = [
                    i
                    for i, (n, k) in enumerate(zip(group, layers, strict=True))
                    if len(calls[k]) > 1 and calls[k][place] == n
                ]
                if ends:
                    squares.append(
                        (
                            [at + layers[i] for i in ends],
                            norms[self._constants(ends, torch.int64).to(norms.device)],
                        )
                    )

    def _add_parameters(self, squares: list, counts: dict) -> None:
        start, count = len(SCALARS), len(self._names)
        for group, before in zip(self._groups, self._before, strict=True):
            scratch = self._scratch[before.dtype, before.device][: before.numel()].view_as(before)
            squares.append(([start + count + k for k in group], _row_norms(before.flatten(1))))
            torch.stack([_local(self._parameters[k]) for k in group], out=scratch)
            squares.append(
                ([start + 2 * count + k for k in group], _row_norms(scratch.sub_(before).flatten(1)))
            )
            graded = [k for k in group if self._parameters[k].grad is not None]
            counts.update((start + 3 * count + k, 1.0) for k in graded)
            dense = [k for k in graded if not self._parameters[k].grad.is_sparse]
            if dense:
                torch.stack([_local(self._parameters[k].grad) for k in dense], out=scratch[: len(dense)])
                squares.append(([start + k for k in dense], _row_norms(scratch[: len(dense)].flatten(1))))
            for k in graded:
                if self._parameters[k].grad.is_sparse:
                    values = self._parameters[k].grad.detach().coalesce().values()
                    squares.append(([start + k], _row_norms(values.reshape(1, -1))))

    def _write(self, row: Tensor) -> None:
        if self._rows is None:
            self._rows = row.new_empty(min(64, self._capacity), len(row))
        if self._written < self._capacity:
            place = self._written
            if place == len(self._rows):
                more = min(len(self._rows), self._capacity - len(self._rows))
                self._rows = torch.cat([self._rows, self._rows.new_empty(more, len(row))])
        else:
            place = FIRST + (self._written - FIRST) % (self._capacity - FIRST)
            self._marks.pop(FIRST)
        self._rows[place] = row

    def _look_closer(self, loss) -> None:
        """At the first step: which loss is this, what would a constant answer lose, how large are recurrent weights?"""
        out, delta = getattr(self, "_output", None), getattr(self, "_output_delta", None)
        kind = type(getattr(loss, "grad_fn", None)).__name__
        self._loss_summed = getattr(getattr(loss, "grad_fn", None), "_saved_reduction", 1) == 2
        if kind.startswith("NllLoss") and out is not None:
            self._loss_kind = "cross entropy"
            classes = out.shape[1] if kind.startswith("NllLoss2D") else out.shape[-1]
            self._trivial = math.log(classes) * (out.numel() / classes if self._loss_summed else 1)
        elif kind.startswith("MseLoss") and delta is not None:
            self._loss_kind = "squared error"
            # The targets are gone by now, but dL/dout = 2 (out - y) / numel tells what they were.
            y = out.double() - delta.double() / 2 * (1 if self._loss_summed else out.numel())
            spread = (y - y.mean(0)).square()
            self._trivial = (spread.sum() if self._loss_summed else spread.mean()).item()
        self._output = self._output_delta = None
        loops = {f"{self._layers[k].name}.weight" for k, calls in self._calls.items() if calls > 1}
        for group, before in zip(self._groups, self._before, strict=True):
            for k, weight in zip(group, before, strict=True):
                square = weight.ndim == 2 and weight.numel() and len(weight) % weight.shape[1] == 0
                looped = self._names[k] in loops and len(weight) == weight.shape[-1]
                if square and (looped or "weight_hh" in self._names[k]) and weight.isfinite().all():
                    gates = weight.float().split(weight.shape[1])
                    self._spectral[self._names[k]] = max(torch.linalg.matrix_norm(g, 2).item() for g in gates)

    @property
    def recording(self) -> Recording:
        """All that has been recorded so far, on the CPU."""
        if self._cache is None:
            self._cache = self._read()
        return self._cache

    def _read(self) -> Recording:
        kept, P, L = min(self._written, self._capacity), len(self._names), len(self._layers)
        rows = torch.zeros(0, self._width) if self._rows is None else self._rows[:kept]
        if self._written > self._capacity:  # the oldest but five lies where the next would be written
            oldest = FIRST + (self._written - FIRST) % (self._capacity - FIRST)
            rows = torch.cat([rows[:FIRST], rows[oldest:], rows[FIRST:oldest]])
        rows = rows.to("cpu", torch.float64)
        parts = rows.split([len(SCALARS), len(PER_PARAMETER) * P, len(PER_LAYER) * L], dim=1)
        raw = dict(zip(SCALARS, parts[0].unbind(1), strict=True))
        raw |= zip(PER_PARAMETER, parts[1].view(kept, len(PER_PARAMETER), P).unbind(1), strict=True)
        called = list(self._calls)
        raw |= zip(PER_LAYER, parts[2].view(kept, len(PER_LAYER), L)[:, :, called].unbind(1), strict=True)
        steps, lr, stale = zip(*self._marks, strict=True) if self._marks else ((), (), ())

        def size(square: Tensor, there: Tensor) -> Tensor:
            """A norm; infinite where it was not finite, NaN where there was nothing."""
            return square.sqrt().nan_to_num(nan=torch.inf, posinf=torch.inf).where(there > 0, torch.nan)

        layers = [self._layers[k] for k in called]
        entries, samples = raw["entries"], raw["entries"] / raw["units"]
        mean, square = raw["sum"] / entries, raw["square"] / entries
        counted = torch.tensor([not layer.affine for layer in layers], dtype=torch.bool) & (entries > 0)
        bounded = torch.tensor([layer.bounds is not None for layer in layers], dtype=torch.bool) & (
            entries > 0
        )
        loops = torch.tensor([self._calls[k] > 1 for k in called], dtype=torch.bool)
        delta, there = raw["delta_square"], raw["delta_calls"]
        weight = size(raw["weight_square"], torch.ones(()))
        return Recording(
            steps=torch.tensor(steps, dtype=torch.int64),
            loss=raw["loss"],
            lr=torch.tensor(lr, dtype=torch.float64),
            input_rms=(raw["input_square"] / raw["input_entries"]).sqrt(),
            input_mean=raw["input_sum"] / raw["input_entries"],
            stale=torch.tensor(stale, dtype=torch.bool),
            parameters=self._names,
            shapes=tuple(tuple(p.shape) for p in self._parameters),
            grad_norm=size(raw["grad_square"], raw["graded"]),
            weight_norm=weight,
            update_ratio=raw["change_square"].sqrt() / weight,
            layers=tuple(layer.name for layer in layers),
            kinds=tuple(type(layer.module).__name__ for layer in layers),
            calls=tuple(self._calls[k] for k in called),
            activation_mean=mean,
            activation_std=size((square - mean**2).clamp(min=0).where(square.isfinite(), torch.inf), entries),
            zero_fraction=(1 - raw["nonzero"] / entries).where(counted, torch.nan),
            dead_fraction=(1 - raw["alive"] / raw["units"]).where(counted, torch.nan),
            saturated_fraction=(1 - raw["unsaturated"] / entries).where(bounded, torch.nan),
            separation=(1 - raw["unit_sum_square"] / samples / raw["square"]).clamp(min=0),
            delta_norm=size(delta, there),
            first_call_delta=size(raw["first_call_delta_square"].where(loops, delta), there),
            last_call_delta=size(raw["last_call_delta_square"].where(loops, delta), there),
            loss_kind=self._loss_kind,
            loss_summed=self._loss_summed,
            trivial_loss=self._trivial,
            spectral_norms=dict(self._spectral),
            dropped=max(0, self._written - self._capacity),
        )

    def __getattr__(self, name: str):
        if name.startswith("_") or not (hasattr(Recording, name) or name in Recording.__dataclass_fields__):
            raise AttributeError(f"Recorder has no attribute {name!r}")
        return getattr(self.recording, name)
