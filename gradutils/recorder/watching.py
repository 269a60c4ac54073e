"""A recorder for any ``nn.Module``: what its gradients, weights, updates and activations did, step by step.

    with Recorder(model) as recorder:
        for x, y in batches:
            optimizer.zero_grad()
            loss = loss_fn(model(x), y)
            loss.backward()
            optimizer.step()
            recorder.step(loss)  # after the optimizer, before the gradients are cleared
    print(recorder.summary())

Training goes on bit for bit as it would without, and a GPU is never waited for. An output is measured as soon as it is
there, while it is still in the processor's cache; of what is small, and of weights of one shape, stacks are measured
together: for small networks most of the price is that of calling operations.
"""

import math
import warnings
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gradutils.models import Elementwise, Erf
from gradutils.recorder.recording import Recording

FIRST = 5  # these steps are always recorded, and kept when the ring wraps: most illnesses show at once
SMALL, LARGE = 1e-15, 1e18  # between them a norm in single precision can be trusted
STACK = 2**18  # entries measured together at most
FLOATS = {torch.float16, torch.bfloat16, torch.float32, torch.float64}
NEAR = 0.05  # a unit is saturated within this distance of a bound of its activation
BOUNDS = {nn.Tanh: (-1, 1), nn.Softsign: (-1, 1), Erf: (-1, 1), nn.Sigmoid: (0, 1), nn.Hardsigmoid: (0, 1),
          torch.tanh: (-1, 1), torch.erf: (-1, 1), torch.sigmoid: (0, 1)}  # fmt: skip
AFFINE = (nn.Linear, nn.modules.conv._ConvNd, nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm)
# What a row of the ring holds. Squares and sums add up over the calls of a layer and the passes of a step, so means and
# ratios are formed when the row is read. ``entries`` and ``units`` count what was added up; 0 says that nothing was.
SCALARS = ("loss", "input_square", "input_sum", "input_entries")
PER_PARAMETER = ("grad_square", "weight_square", "change_square", "grad_dot", "graded")
REDUCED = 4  # of these are added up over the pieces of a sharded parameter
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
    # On a CPU double precision is three times slower, and looking first costs little.
    norms = torch.linalg.vector_norm(rows, dim=1)
    low, high = torch.aminmax(norms)
    if low.item() > SMALL and high.item() < LARGE:
        return norms
    norms = norms.double()
    extreme = ~((norms > SMALL) & (norms < LARGE))
    norms[extreme] = torch.linalg.vector_norm(rows[extreme], dim=1, dtype=torch.float64)
    return norms


def _flat(stack: Tensor) -> Tensor:
    """(K, ...) -> (K, n), where the tensors stacked may also be 0-d or empty."""
    return stack.reshape(len(stack), math.prod(stack.shape[1:]))


def _number(value: Tensor) -> float | Tensor:
    """A 0-d tensor; on the CPU, where nothing has to be waited for, the number itself, which is cheaper to keep."""
    return value.item() if value.device.type == "cpu" else value


def _norm(tensor: Tensor) -> float | Tensor:
    """The norm of a whole tensor, as exact as ``_row_norms``."""
    if tensor.device.type != "cpu" or tensor.dtype != torch.float32:
        return _number(torch.linalg.vector_norm(tensor, dtype=_wide(tensor.device)))
    norm = torch.linalg.vector_norm(tensor).item()
    return norm if SMALL < norm < LARGE else torch.linalg.vector_norm(tensor, dtype=torch.float64).item()


def _groups(tensors: list[Tensor]) -> list[list[int]]:
    """Indices of tensors that can be stacked, in stacks small enough to stay in a cache."""
    groups = defaultdict(list)
    for k, t in enumerate(tensors):
        groups[(t.shape, t.dtype, t.device)].append(k)
    pieces = []
    for members in groups.values():
        room = max(1, STACK // max(1, tensors[members[0]].numel()))
        pieces += [members[start : start + room] for start in range(0, len(members), room)]
    return pieces


def _first_tensor(value) -> Tensor | None:
    """The first floating-point tensor in nested tuples, lists, dictionaries and dataclasses."""
    if isinstance(value, Tensor):
        plain = value.dtype in FLOATS and value.layout is torch.strided and not value.is_nested
        return value if plain and value.numel() else None
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, (tuple, list)):
        value = vars(value).values() if hasattr(value, "__dataclass_fields__") else ()
    return next((found for item in value if (found := _first_tensor(item)) is not None), None)


def _samples_by_units(h: Tensor) -> Tensor:
    """(samples, units): tokens count as samples, the pixels of a feature map as units."""
    if h.ndim == 2:
        return h
    return h.flatten(0, 1) if h.ndim == 3 else h.flatten(1) if h.ndim > 1 else h.reshape(1, -1)


def _bounds(module: nn.Module) -> tuple[float, float] | None:
    if isinstance(module, nn.Hardtanh):
        return module.min_val, module.max_val
    if isinstance(module, (nn.RNN, nn.RNNCell)) and module.nonlinearity == "tanh":
        return -1, 1
    return BOUNDS.get(module.function if isinstance(module, Elementwise) else type(module))


def _plain(name: str) -> str:
    """A module's or parameter's name without what torch.compile and checkpointing put into it."""
    parts = [part for part in name.split(".") if part not in ("_orig_mod", "_checkpoint_wrapped_module")]
    return ".".join(parts)


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
    """Not in evaluation, not when a checkpointed block is run again on the way back, not in a compiled graph or vmap."""
    if torch.compiler.is_compiling() or _transformed():
        return False
    return torch.is_grad_enabled() and torch._C._current_graph_task_id() == -1


def _transformed() -> bool:
    """Inside of torch.func's vmap, grad or jacrev, where a tensor stands for many."""
    return torch._C._functorch.peek_interpreter_stack() is not None


class _Layer(NamedTuple):
    """What the recorder must know of a module at each of its calls."""

    name: str
    module: nn.Module
    owns: bool  # parameters: then its output is a pre-activation, whose gradient is the delta
    affine: bool
    rectifies: bool  # never negative: a unit is dead where its sum is zero
    bounds: tuple[float, float] | None
    columns: dict[str, int]  # where a row holds its numbers


class _Pass:
    """What one forward pass adds to the row: columns, and the numbers (on a GPU 0-d tensors) to be added there."""

    def __init__(self):
        self.squares: list[tuple[int, float | Tensor]] = []  # norms, to be squared first
        self.sums: list[tuple[int, float | Tensor]] = []
        self.counts: list[tuple[int, float]] = []
        # layer, the sums of its units, the numbers of their outputs that are not zero
        self.units: list[tuple[int, Tensor, Tensor | None]] = []
        self.calls: dict[int, int] = defaultdict(int)
        self.went_back = False


class _Asleep:
    """What stands for a recorder in a pickled model."""

    def _begin(self, *_) -> None: ...

    def _end(self, *_) -> None: ...


class Recorder:
    """Watch a model train: ``with Recorder(model) as recorder``, and ``recorder.step(loss)`` after each optimizer step.

    ``every``: record each step that it divides, and always the first five. ``activations`` and ``deltas`` may be left
    out, which makes it cheaper. ``cosine`` adds the one between the gradients of successive steps, where both are
    recorded, and holds a copy of them. ``capacity``: records kept; after that the oldest go, except the first five.
    A pass is seen where the model itself is called, not only parts of it.
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
        cosine: bool = False,
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
        wrapped = isinstance(model, (nn.parallel.DistributedDataParallel, nn.DataParallel))
        inner = model.module if wrapped else model  # the names are those of the model within
        named = {_plain(name): p for name, p in inner.named_parameters() if p.is_floating_point()}
        if not named:
            raise ValueError(
                f"model must have floating-point parameters to record; {type(model).__name__} has none"
            )
        self._model, self._every, self._cosine, self._capacity = model, every, cosine, capacity
        self._parameters, self._names = list(named.values()), tuple(named)
        self._device = self._parameters[0].device
        compiled = hasattr(model, "_orig_mod") or any(m._compiled_call_impl for m in model.modules())
        if compiled and (activations or deltas):
            warnings.warn("the model is compiled: activations and deltas are not recorded", stacklevel=2)
        self._activations, self._deltas = activations and not compiled, deltas and not compiled
        modules = []
        for name, module in inner.named_modules():
            owns = any(True for _ in module.parameters(recurse=False))
            if ".parametrizations" not in name and (owns or not any(module.children())):
                modules.append((_plain(name) or type(module).__name__, module, owns))
        start = len(SCALARS) + len(PER_PARAMETER) * len(named)
        self._width = start + len(PER_LAYER) * len(modules)
        self._layers = []
        for k, (name, module, owns) in enumerate(modules):
            kind = isinstance(module, AFFINE), isinstance(module, (nn.ReLU, nn.ReLU6)), _bounds(module)
            columns = {what: start + place * len(modules) + k for place, what in enumerate(PER_LAYER)}
            self._layers.append(_Layer(name, module, owns, *kind, columns))
        self._sharded = _sharding(self._parameters)
        self._rows: Tensor | None = None  # (room, width), the ring; grows up to capacity
        self._marks: list[tuple[int, float, bool]] = []  # step, lr, stale of each row
        self._entered = False
        self._count = self._written = 0
        self._calls: dict[int, int] = {}  # layer -> calls in one pass, in the order of first calls
        self._loss_kind, self._loss_summed, self._trivial = "unknown", False, torch.nan
        # Of the first step's pass: they tell what the targets were.
        self._output: Tensor | None = None
        self._output_delta: Tensor | None = None
        self._spectral: dict[str, float] = {}
        self._sent: dict[tuple, Tensor] = {}
        self._cache: Recording | None = None

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
        self._last: dict[int, Tensor] = {}  # parameter -> its gradient at the step before, if recorded
        self._prepare()
        return self

    def __exit__(self, *_) -> None:
        self._listen(False)
        for handle in self._handles:
            handle.remove()
        self._handles, self._hooks, self._passes, self._cleared = [], [], [], []
        self._before, self._scratch, self._last = [], {}, {}
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
        self._deltas_seen: list[tuple[int, float | Tensor]] = []  # layer, norm; last calls come first
        self._stale: bool | None = None
        self._cleared = []
        if self._recording:
            for group, before in zip(self._groups, self._before, strict=True):
                torch.stack([_local(self._parameters[k]) for k in group], out=before)
            if self._count:
                self._cleared = [
                    (p, g, g._version)
                    for p in self._parameters
                    if p.requires_grad and (g := p.grad) is not None
                ]
        else:
            self._last = {}

    @torch.no_grad()
    def _read_input(self, args, kwargs) -> None:
        x = _first_tensor((args, kwargs))
        if x is not None:
            passed = self._passes[-1]
            passed.squares.append((1, _norm(x.detach())))
            passed.sums.append((2, _number(x.detach().sum())))
            passed.counts.append((3, x.numel()))

    def _begin(self, module, args, kwargs) -> None:
        if module is self._model and _watching() and self._recording:
            self._passes.append(_Pass())
            self._read_input(args, kwargs)
            self._listen(True)

    def _see(self, k: int, out) -> None:
        """A layer has been called."""
        h = _first_tensor(out) if _watching() and self._passes else None
        if h is None:
            return
        passed, layer = self._passes[-1], self._layers[k]
        passed.calls[k] += 1
        if self._activations:
            self._measure(passed, k, layer, _samples_by_units(h.detach()))
        if self._deltas and layer.owns and h.grad_fn is not None:
            h.register_hook(lambda grad: self._receive(k, grad))

    def _receive(self, k: int, grad: Tensor) -> None:
        """The gradient of a layer's output has arrived."""
        if _transformed():
            return
        if self._stale is None:
            self._ask_whether_stale()
        self._deltas_seen.append((k, _norm(grad.detach())))

    def _end(self, module, args, out) -> None:
        if module is not self._model or not (_watching() and self._recording and self._passes):
            return
        self._listen(False)
        passed, h = self._passes[-1], _first_tensor(out)
        if h is not None and h.grad_fn is not None:
            first = h.detach() if self._written == 0 else None
            h.register_hook(lambda grad: self._went_back(passed, first, grad))

    def _went_back(self, passed: _Pass, out: Tensor | None, grad: Tensor) -> None:
        if _transformed():
            return
        passed.went_back = True
        if self._stale is None:
            self._ask_whether_stale()
        if out is not None:
            self._output, self._output_delta = out, grad.detach()

    def _ask_whether_stale(self) -> None:
        """A backward pass begins: are the gradients of the step before still there, and was nothing done to them?"""
        self._left_over = [(p, g) for p, g, version in self._cleared if p.grad is g and g._version == version]
        # Gradients that were set to zero before step() are still there, and harmless. A GPU is not asked: it would be waited for.
        self._stale = any(g.device.type != "cpu" or g.is_sparse or bool(g.any()) for _, g in self._left_over)

    def _measure(self, passed: _Pass, k: int, layer: _Layer, h: Tensor) -> None:
        """Add a layer's output, (samples, units), to the row; what is per unit is kept for ``_units``."""
        samples, units = h.shape
        h = h if h.dtype in (torch.float32, torch.float64) else h.float()
        at, unit_sum, nonzero = layer.columns, h.sum(0), None
        passed.squares.append((at["square"], _norm(h)))
        if not layer.affine:  # counted in floating point, which is several times faster than comparing
            sign = h.sign()
            if layer.rectifies:
                passed.sums.append((at["nonzero"], _number(sign.sum())))
            else:
                nonzero = sign.square_().sum(0)
        passed.units.append((k, unit_sum, nonzero))
        if layer.bounds is not None:
            centre, reach = sum(layer.bounds) / 2, (layer.bounds[1] - layer.bounds[0]) / 2
            inside = ((h - centre).abs_() < reach - NEAR).sum()
            passed.sums.append((at["unsaturated"], _number(inside)))
        passed.counts += ((at["entries"], samples * units), (at["units"], units))

    def _units(self, passed: _Pass, squares: list, sums: list) -> None:
        """Add what is known of the units of all layers, those of one size together."""
        for group in _groups([unit_sum for _, unit_sum, _ in passed.units]):
            layers = [passed.units[n][0] for n in group]
            unit_sum = torch.stack([passed.units[n][1] for n in group])  # (K, units)
            sums.append(([self._layers[k].columns["sum"] for k in layers], unit_sum.sum(1)))
            squares.append(
                ([self._layers[k].columns["unit_sum_square"] for k in layers], _row_norms(unit_sum))
            )
            rectified = [i for i, k in enumerate(layers) if self._layers[k].rectifies]
            if rectified:  # what is never negative sums to zero only where all of it is
                alive = unit_sum.sign().sum(1)[self._constants(rectified, torch.int64).to(unit_sum.device)]
                sums.append(([self._layers[layers[i]].columns["alive"] for i in rectified], alive))
            counted = [n for n in group if passed.units[n][2] is not None]
            if counted:
                nonzero = torch.stack([passed.units[n][2] for n in counted])
                sums.append(
                    ([self._layers[passed.units[n][0]].columns["nonzero"] for n in counted], nonzero.sum(1))
                )
                sums.append(
                    (
                        [self._layers[passed.units[n][0]].columns["alive"] for n in counted],
                        nonzero.sign().sum(1),
                    )
                )

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
            if not self._written and all(p.grad is None for p in self._parameters):
                warnings.warn(
                    "no parameter has a gradient: call step() after backward() and before zero_grad()",
                    stacklevel=2,
                )
            if not self._written and not self._passes and (self._activations or self._deltas):
                warnings.warn(
                    "no pass through the model was seen, so activations and deltas are not recorded: the model itself "
                    "must be called inside of `with`, neither in parts nor compiled",
                    stacklevel=2,
                )
            self._cache = None
            self._listen(False)  # a pass that raised has left the hooks in place
            with torch.no_grad():
                self._write(self._row(loss))
                if not self._written:
                    self._look_at_loss(loss)
                    self._look_at_loops()
                    self._output = self._output_delta = None
            # Gradients taken for a penalty may come before zero_grad: only what is still there now was not cleared.
            stale = bool(self._stale) and any(p.grad is g for p, g in self._left_over)
            self._marks.append((self._count, torch.nan if lr is None else float(lr), stale))
            self._written += 1
        self._count += 1
        self._prepare()

    def _row(self, loss) -> Tensor:
        """One row of the ring, (width,)."""
        row_type = _wide(self._device)
        passes = [p for p in self._passes if p.went_back] or self._passes
        squares, sums, counts = [], [], defaultdict(float)
        for passed in passes:
            self._units(passed, squares, sums)
            for to, pairs in ((squares, passed.squares), (sums, passed.sums)):
                if pairs:
                    columns, values = zip(*pairs, strict=True)
                    to.append((columns, self._vector(values)))
            for column, n in passed.counts:
                counts[column] += n
            for k, n in passed.calls.items():
                self._calls[k] = max(n, self._calls.get(k, 0))
        self._add_deltas(squares, counts)
        self._add_parameters(squares, counts)
        if self._cosine:
            self._add_turns(sums)
        sums.append(([0], torch.as_tensor(loss, dtype=row_type).detach().reshape(1)))

        row = torch.zeros(self._width, dtype=row_type, device=self._device)
        for pairs, power in ((squares, 2), (sums, 1)):
            values = torch.cat([values.to(self._device, non_blocking=True) for _, values in pairs]).to(
                row.dtype
            )
            row.index_add_(0, self._index([c for columns, _ in pairs for c in columns]), values**power)
        row[self._index(list(counts))] = self._constants(counts.values(), row.dtype)
        for process_group, columns in self._sharded:
            at = self._index(
                [len(SCALARS) + kind * len(self._names) + k for kind in range(REDUCED) for k in columns]
            )
            whole = row[at]
            torch.distributed.all_reduce(whole, group=process_group)
            row[at] = whole
        return row

    def _vector(self, values: Iterable[float | Tensor]) -> Tensor:
        """Numbers, or 0-d tensors of any device, as one tensor."""
        if all(isinstance(value, float | int) for value in values):
            return torch.tensor(values, dtype=_wide(self._device)).to(self._device, non_blocking=True)
        return torch.stack([torch.as_tensor(v, dtype=_wide(self._device)).to(self._device) for v in values])

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
        if not self._deltas_seen:
            return
        layers, norms = zip(*self._deltas_seen, strict=True)
        norms = self._vector(norms)
        squares.append(([self._layers[k].columns["delta_square"] for k in layers], norms))
        calls = defaultdict(list)
        for n, k in enumerate(layers):
            calls[k].append(n)
            counts[self._layers[k].columns["delta_calls"]] += 1
        loops = {k: members for k, members in calls.items() if len(members) > 1}
        for name, place in (("first_call_delta_square", -1), ("last_call_delta_square", 0)):
            if loops:
                ends = self._constants([members[place] for members in loops.values()], torch.int64)
                squares.append(([self._layers[k].columns[name] for k in loops], norms[ends]))

    def _add_parameters(self, squares: list, counts: dict) -> None:
        start, count = len(SCALARS), len(self._names)
        for group, before in zip(self._groups, self._before, strict=True):
            scratch = self._scratch[before.dtype, before.device][: before.numel()].view_as(before)
            squares.append(([start + count + k for k in group], _row_norms(_flat(before))))
            torch.stack([_local(self._parameters[k]) for k in group], out=scratch)
            squares.append(([start + 2 * count + k for k in group], _row_norms(_flat(scratch.sub_(before)))))
            graded = [k for k in group if self._parameters[k].grad is not None]
            counts.update((start + 4 * count + k, 1.0) for k in graded)
            dense = [k for k in graded if not self._parameters[k].grad.is_sparse]
            if dense:
                torch.stack([_local(self._parameters[k].grad) for k in dense], out=scratch[: len(dense)])
                squares.append(([start + k for k in dense], _row_norms(_flat(scratch[: len(dense)]))))
            for k in graded:
                if self._parameters[k].grad.is_sparse:
                    values = self._parameters[k].grad.detach().coalesce().values()
                    squares.append(([start + k], _row_norms(values.reshape(1, -1))))

    def _add_turns(self, sums: list) -> None:
        """The scalar product of each gradient with that of the step before."""
        start = len(SCALARS) + 3 * len(self._names)
        now = {
            k: _local(p.grad).flatten().to(_wide(p.device), copy=True)
            for k, p in enumerate(self._parameters)
            if p.grad is not None and not p.grad.is_sparse
        }
        both = [k for k in now if k in self._last]
        if both:
            dots = [torch.dot(now[k], self._last[k]).to(self._device) for k in both]
            sums.append(([start + k for k in both], torch.stack(dots)))
        self._last = now

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

    def _look_at_loss(self, loss) -> None:
        """At the first step: which loss is this, and what would a constant answer lose?"""
        out, delta, node = self._output, self._output_delta, getattr(loss, "grad_fn", None)
        kind = type(node).__name__
        self._loss_summed = getattr(node, "_saved_reduction", 1) == 2
        if out is None or delta is None or out.ndim == 0:
            return
        if kind.startswith("NllLoss"):
            # Softmax minus one-hot sums to zero over the classes: so they are found wherever they stand.
            dims = [
                d for d in range(1, out.ndim) if delta.sum(d).abs().max() < 1e-3 * delta.abs().sum(d).max()
            ]
            if len(dims) == 1:
                classes = out.shape[dims[0]]
                self._loss_kind = "cross entropy"
                self._trivial = math.log(classes) * (out.numel() / classes if self._loss_summed else 1)
        elif kind.startswith("BinaryCrossEntropy"):
            self._loss_kind = "binary cross entropy"
            self._trivial = math.log(2) * (out.numel() if self._loss_summed else 1)
        elif kind.startswith("MseLoss"):
            self._loss_kind = "squared error"
            # The targets are gone by now, but the outputs' gradient 2 (out - y) / numel tells what they were.
            y = out.double() - delta.double() / 2 * (1 if self._loss_summed else out.numel())
            total, spread = (out - y).square(), (y - y.mean(0)).square()
            total, spread = ((v.sum() if self._loss_summed else v.mean()).item() for v in (total, spread))
            # Unless the gradient was scaled, or the loss is not of these outputs.
            if abs(total - loss.item()) < 0.01 * abs(loss.item()) and spread > 1e-6 * total:
                self._trivial = spread

    def _look_at_loops(self) -> None:
        """At the first step: how far do recurrent weights stretch?"""
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
        total, steps = raw["grad_square"].sum(1).sqrt(), torch.tensor(steps, dtype=torch.int64)
        cosine = torch.full((kept,), torch.nan, dtype=torch.float64)
        if self._cosine:
            turned = raw["grad_dot"][1:].sum(1) / (total[1:] * total[:-1])
            cosine[1:] = turned.where((steps[1:] - steps[:-1] == 1) & turned.isfinite(), torch.nan)
        return Recording(
            steps=steps,
            loss=raw["loss"],
            lr=torch.tensor(lr, dtype=torch.float64),
            input_rms=(raw["input_square"] / raw["input_entries"]).sqrt(),
            input_mean=raw["input_sum"] / raw["input_entries"],
            stale=torch.tensor(stale, dtype=torch.bool),
            parameters=self._names,
            shapes=tuple(tuple(p.shape) for p in self._parameters),
            grad_norm=size(raw["grad_square"], raw["graded"]),
            grad_cosine=cosine,
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
            separation=(1 - raw["unit_sum_square"] / samples / raw["square"])
            .clamp(min=0)
            .where(samples > 1, torch.nan),
            delta_norm=size(delta, there),
            first_call_delta=size(raw["first_call_delta_square"].where(loops, delta), there),
            last_call_delta=size(raw["last_call_delta_square"].where(loops, delta), there),
            loss_kind=self._loss_kind,
            loss_summed=self._loss_summed,
            trivial_loss=self._trivial,
            spectral_norms=dict(self._spectral),
            dropped=max(0, self._written - self._capacity),
        )

    def __reduce__(self):
        """A model saved whole while it is recorded takes no recorder with it; ``save`` keeps the recording."""
        return _Asleep, ()

    def __deepcopy__(self, memo) -> "Recorder":
        """A copy of a model, hooks and all, still tells this recorder; it does not listen to copies."""
        return self

    def __getattr__(self, name: str):
        if name.startswith("_") or not (hasattr(Recording, name) or name in Recording.__dataclass_fields__):
            raise AttributeError(f"Recorder has no attribute {name!r}")
        return getattr(self.recording, name)
