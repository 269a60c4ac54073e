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

import warnings
from collections import defaultdict

import torch
from torch import Tensor, nn

from gradutils.models import Elementwise, Erf
from gradutils.recording import Recording

FIRST = 5  # these steps are always recorded, and kept when the ring wraps: most illnesses show at once
LARGE = (
    2**20
)  # entries; larger tensors are measured one by one: stacking them would cost memory and save no time
NEAR = 0.05  # a unit is saturated within this distance of a bound of its activation
BOUNDS = {nn.Tanh: (-1, 1), nn.Softsign: (-1, 1), Erf: (-1, 1), nn.Sigmoid: (0, 1), nn.Hardsigmoid: (0, 1),
          torch.tanh: (-1, 1), torch.erf: (-1, 1), torch.sigmoid: (0, 1)}  # fmt: skip
AFFINE = (nn.Linear, nn.modules.conv._ConvNd, nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm)
SCALARS = ("loss", "input_rms", "input_mean")
PER_PARAMETER = ("grad_norm", "weight_norm", "update_ratio")
FORWARD = (
    "activation_mean",
    "activation_std",
    "zero_fraction",
    "dead_fraction",
    "saturated_fraction",
    "separation",
)
BACKWARD = ("delta_norm", "first_call_delta", "last_call_delta")


def _groups(tensors: list[Tensor]) -> list[list[int]]:
    """Indices of the tensors that can be stacked."""
    groups = defaultdict(list)
    for k, t in enumerate(tensors):
        groups[(t.shape, t.dtype, t.device, k if t.numel() > LARGE else -1)].append(k)
    return list(groups.values())


def _wide(device: torch.device) -> torch.dtype:
    """The type in which sums of squares do not overflow where the numbers themselves do not."""
    return torch.float32 if device.type == "mps" else torch.float64


def _row_norms(rows: Tensor) -> Tensor:
    """The norm of each row, (K, n) -> (K,), exact where squares would overflow or vanish in the rows' own type."""
    wide = _wide(rows.device)
    if rows.device.type != "cpu" or rows.dtype != torch.float32:
        return torch.linalg.vector_norm(rows, dim=1, dtype=wide)
    norms = torch.linalg.vector_norm(rows, dim=1).to(
        wide
    )  # on a CPU double precision costs three times as much,
    extreme = ~((norms > 1e-15) & (norms < 1e18))  # and to look first costs nothing
    if extreme.any():
        norms[extreme] = torch.linalg.vector_norm(rows[extreme], dim=1, dtype=wide)
    return norms


def _norms(tensors: list[Tensor], groups: list[list[int]], device: torch.device) -> Tensor:
    """The norm of each tensor, in their order: (len(tensors),)."""
    if not tensors:
        return torch.zeros(0, dtype=_wide(device), device=device)
    parts = []
    for group in groups:
        stack = torch.stack([tensors[k] for k in group]) if len(group) > 1 else tensors[group[0]].unsqueeze(0)
        parts.append(_row_norms(stack.flatten(1)).to(device))
    order = [k for group in groups for k in group]
    return torch.cat(parts)[torch.tensor(order, device=device).argsort()]


def _first_tensor(value) -> Tensor | None:
    """The first floating-point tensor in nested tuples, lists and dictionaries."""
    if isinstance(value, Tensor):
        plain = (
            value.is_floating_point()
            and value.layout == torch.strided
            and not value.is_nested
            and value.numel()
        )
        return value if plain else None
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, (tuple, list)):
        value = vars(value).values() if hasattr(value, "__dataclass_fields__") else ()
    return next((found for item in value if (found := _first_tensor(item)) is not None), None)


def _samples_by_units(h: Tensor) -> Tensor:
    """(samples, units): tokens count as samples, the pixels of a feature map as units."""
    return h.flatten(0, 1) if h.ndim == 3 else h.flatten(1) if h.ndim > 1 else h.unsqueeze(0)


def _bounds(module: nn.Module) -> tuple[float, float] | None:
    if isinstance(module, nn.Hardtanh):
        return module.min_val, module.max_val
    if isinstance(module, (nn.RNN, nn.RNNCell)) and module.nonlinearity == "tanh":
        return -1, 1
    return BOUNDS.get(module.function if isinstance(module, Elementwise) else type(module))


def _statistics(h: Tensor, zeros: bool, bounds: tuple[float, float] | None) -> Tensor:
    """What ``FORWARD`` names, for outputs stacked as (K, samples, units): (K, 6)."""
    wide, (_, samples, units) = _wide(h.device), h.shape
    h = h if h.dtype in (torch.float32, torch.float64) else h.float()
    unit_mean = (h.sum(1) / samples).to(wide)
    mean, size = (
        unit_mean.mean(1),
        _row_norms(h.flatten(1)) ** 2 / (samples * units),
    )
    std = (size - mean**2).clamp(min=0).sqrt().where(size.isfinite(), torch.inf)
    absent = torch.full_like(mean, torch.nan)
    zero = dead = saturated = absent
    if zeros:  # counted in floating point, which is several times faster than comparing
        nonzero = h.sign().square_().sum(1)  # (K, units)
        zero, dead = 1 - nonzero.mean(1).to(wide) / samples, 1 - nonzero.sign().mean(1).to(wide)
    if bounds is not None:
        centre, reach = sum(bounds) / 2, (bounds[1] - bounds[0]) / 2
        beyond = ((h - centre).abs_() - (reach - NEAR)).sign_()
        saturated = (1 + beyond.mean((1, 2)).to(wide)) / 2
    alike = unit_mean.square().mean(1) / size
    return torch.stack([mean, std, zero, dead, saturated, (1 - alike).clamp(min=0)], 1)


class _Pass:
    """One forward pass under way: the outputs seen, then their statistics."""

    def __init__(self):
        self.outputs: list[tuple[int, Tensor, int]] = []  # layer, output, version
        self.statistics: list[tuple[Tensor, Tensor]] = []  # layers (K,), statistics (K, 6)
        self.input: Tensor | None = None  # (2,) RMS and mean
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
        self._layers: list[tuple[str, nn.Module]] = [
            (_plain(name), m)
            for name, m in model.named_modules()
            if name and (not any(m.children()) or any(True for _ in m.parameters(recurse=False)))
        ]
        self._sharded = _sharding(self._parameters)
        self._rows: Tensor | None = None  # (room, columns), the ring; grows up to capacity
        self._marks: list[tuple[int, float, bool]] = []  # step, lr, stale of each row
        self._handles: list = []
        self._entered = False
        self._count = self._written = 0
        self._first_call: dict[int, int] = {}  # layer -> rank of its first call
        self._calls: dict[int, int] = {}  # layer -> calls in one pass
        self._overwritten: set[int] = set()  # layers whose output a later one changes in place
        self._loss_kind, self._loss_summed, self._trivial = "unknown", False, torch.nan
        self._spectral: dict[str, float] = {}
        self._cache: Recording | None = None

    # Where it listens: one hook on the model, always there; one on each layer, in place only while a recorded pass runs.

    def __enter__(self) -> "Recorder":
        if self._entered:
            raise RuntimeError("this recorder is already recording")
        self._entered = True
        register = self._model.register_forward_pre_hook, self._model.register_forward_hook
        self._handles = [register[0](self._begin, with_kwargs=True), register[1](self._end)]
        self._hooks = []
        for k, (_, module) in enumerate(self._layers if self._activations or self._deltas else ()):
            handle = module.register_forward_hook(lambda module, args, out, k=k: self._see(k, module, out))
            self._hooks.append((module._forward_hooks, handle.id, module._forward_hooks.pop(handle.id)))
        weights = [_local(p) for p in self._parameters]
        self._groups = _groups(weights)
        self._order = torch.tensor([k for group in self._groups for k in group], device=self._device)
        self._before = [
            torch.empty_like(weights[g[0]]).expand(len(g), *weights[g[0]].shape).clone() for g in self._groups
        ]
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
        self._handles, self._hooks, self._passes, self._before, self._scratch, self._cleared = (
            [],
            [],
            [],
            [],
            {},
            [],
        )
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

    def _begin(self, module, args, kwargs) -> None:
        # Not in evaluation, not when a checkpointed block is run again by the backward pass, not in a compiled graph.
        if (
            torch.compiler.is_compiling()
            or not self._recording
            or not torch.is_grad_enabled()
            or _in_backward()
        ):
            return
        self._passes.append(_Pass())
        x = _first_tensor((args, kwargs))
        if x is not None and not torch._C._functorch.is_batchedtensor(x):
            with torch.no_grad():
                wide = _wide(x.device)
                rms = _row_norms(x.detach().reshape(1, -1))[0] / x.numel() ** 0.5
                self._passes[-1].input = torch.stack([rms, x.detach().mean(dtype=wide)]).to(self._device)
        self._listen(True)

    def _see(self, k: int, module: nn.Module, out) -> None:
        """A layer has been called."""
        h = _first_tensor(out)
        if torch.compiler.is_compiling() or h is None or not torch.is_grad_enabled() or not self._passes:
            return
        if _in_backward() or torch._C._functorch.is_batchedtensor(h):
            return
        self._first_call.setdefault(k, len(self._first_call))
        if self._activations:
            first_time = self._written == 0 or k in self._overwritten
            seen = h.detach()
            self._passes[-1].outputs.append((k, seen.clone() if first_time else seen, h._version, seen))
        if self._deltas and h.requires_grad and any(True for _ in module.parameters(recurse=False)):
            h.register_hook(lambda grad: self._receive(k, grad))

    def _receive(self, k: int, grad: Tensor) -> None:
        """The gradient of a layer's output has arrived."""
        self._backward_begins()
        self._deltas_seen.append((k, grad.detach()))

    def _backward_begins(self, passed: _Pass | None = None) -> None:
        if passed is not None:
            passed.went_back = True
        if self._stale is None:
            self._stale = any(p.grad is g and g._version == version for p, g, version in self._cleared)

    def _end(self, module, args, out) -> None:
        if (
            torch.compiler.is_compiling()
            or not self._recording
            or not torch.is_grad_enabled()
            or _in_backward()
        ):
            return
        self._listen(False)
        if not self._passes:
            return
        passed, h = self._passes[-1], _first_tensor(out)
        if h is not None and h.requires_grad:
            if self._written == 0:
                self._output = h.detach()
            h.register_hook(lambda grad: self._go_back(passed, grad))
        self._measure(passed)

    def _go_back(self, passed: _Pass, grad: Tensor) -> None:
        self._backward_begins(passed)
        if self._written == 0:
            self._output_delta = grad.detach()

    @torch.no_grad()
    def _measure(self, passed: _Pass) -> None:
        """Statistics of all outputs of a pass at once; then they are let go, before the backward pass needs the memory."""
        calls = defaultdict(int)
        stacks = defaultdict(list)
        for k, h, version, seen in passed.outputs:
            calls[k] += 1
            if seen._version != version:
                self._overwritten.add(k)
                if h is seen:  # too late: what is there now is another layer's output
                    continue
            zeros, bounds = not isinstance(self._layers[k][1], AFFINE), _bounds(self._layers[k][1])
            h = _samples_by_units(h)
            stacks[(zeros, bounds, h.shape, h.dtype, h.device, k if h.numel() > LARGE else -1)].append((k, h))
        for (zeros, bounds, *_), members in stacks.items():
            stack = torch.stack([h for _, h in members]) if len(members) > 1 else members[0][1].unsqueeze(0)
            layers = torch.tensor([k for k, _ in members], device=self._device)
            passed.statistics.append((layers, _statistics(stack, zeros, bounds).to(self._device)))
        passed.outputs.clear()
        self._calls |= calls

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
                self._look_at_loss(loss)
                self._write(self._row(loss))
            self._marks.append((self._count, torch.nan if lr is None else float(lr), bool(self._stale)))
            self._written += 1
        self._count += 1
        self._prepare()

    def _row(self, loss) -> Tensor:
        device, wide, columns = self._device, _wide(self._device), len(self._layers)
        went_back = [p for p in self._passes if p.went_back] or self._passes
        for passed in went_back:
            if passed.outputs:  # the layers were called, the model as a whole was not
                self._measure(passed)
        inputs = [p.input for p in went_back if p.input is not None]
        head = [torch.as_tensor(loss, dtype=wide, device=device).detach().reshape(1)]
        head.append(
            torch.stack(inputs).mean(0).to(wide)
            if inputs
            else torch.full((2,), torch.nan, dtype=wide, device=device)
        )

        sums = torch.zeros(columns, len(FORWARD), dtype=wide, device=device)
        count = torch.zeros(columns, 1, dtype=wide, device=device)
        for layers, values in (pair for passed in went_back for pair in passed.statistics):
            sums.index_add_(0, layers, values)
            count.index_add_(0, layers, torch.ones(len(layers), 1, dtype=wide, device=device))
        forward = (sums / count).where(count > 0, torch.nan)

        backward = torch.full((columns, len(BACKWARD)), torch.nan, dtype=wide, device=device)
        if self._deltas_seen:
            deltas = [grad for _, grad in self._deltas_seen]
            norms = _norms(deltas, _groups(deltas), device).nan_to_num(nan=torch.inf, posinf=torch.inf)
            calls = defaultdict(list)
            for n, (k, _) in enumerate(self._deltas_seen):
                calls[k].append(n)  # the last call comes back first
            at = torch.tensor([k for k, _ in self._deltas_seen], device=device)
            seen = torch.tensor(list(calls), device=device)
            squares = torch.zeros(columns, dtype=wide, device=device).index_add_(0, at, norms**2)
            backward[seen, 0] = squares[seen].sqrt()
            backward[seen, 1] = norms[[members[-1] for members in calls.values()]]
            backward[seen, 2] = norms[[members[0] for members in calls.values()]]
        return torch.cat(
            [*head, self._parameter_norms().flatten(), forward.T.flatten(), backward.T.flatten()]
        )

    def _parameter_norms(self) -> Tensor:
        """What ``PER_PARAMETER`` names: (3, P)."""
        device, count = self._device, len(self._parameters)
        norms = torch.full((3, count), torch.nan, dtype=_wide(device), device=device)
        weights, changes, grads, graded = [], [], [], []
        for group, before in zip(self._groups, self._before, strict=True):
            scratch = self._scratch[before.dtype, before.device][: before.numel()].view_as(before)
            weights.append(_row_norms(before.flatten(1)).to(device))
            torch.stack([_local(self._parameters[k]) for k in group], out=scratch)
            changes.append(_row_norms(scratch.sub_(before).flatten(1)).to(device))
            dense = [k for k in group if (g := self._parameters[k].grad) is not None and not g.is_sparse]
            if dense:
                out = scratch[: len(dense)]
                torch.stack([_local(self._parameters[k].grad) for k in dense], out=out)
                grads.append(_row_norms(out.flatten(1)).to(device))
                graded += dense
            for k in group:
                if (g := self._parameters[k].grad) is not None and g.is_sparse:
                    grads.append(_row_norms(g.detach().coalesce().values().reshape(1, -1)).to(device))
                    graded.append(k)
        norms[1, self._order], norms[2, self._order] = torch.cat(weights), torch.cat(changes)
        if graded:
            norms[0, torch.tensor(graded, device=device)] = torch.cat(grads)
        for process_group, columns in self._sharded:
            squares = norms[:, columns].square().contiguous()
            torch.distributed.all_reduce(squares, group=process_group)
            norms[:, columns] = squares.sqrt()
        absent = torch.ones(count, dtype=torch.bool, device=device)
        absent[graded] = False
        norms[0] = norms[0].nan_to_num(nan=torch.inf, posinf=torch.inf).masked_fill(absent, torch.nan)
        norms[1].nan_to_num_(nan=torch.inf, posinf=torch.inf)
        norms[2] /= norms[1]
        return norms

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
        """Once: which loss this is, and what a model would lose that ignored its input."""
        if self._written or not isinstance(loss, Tensor):
            return
        out, delta = getattr(self, "_output", None), getattr(self, "_output_delta", None)
        name = type(loss.grad_fn).__name__
        self._loss_summed = getattr(loss.grad_fn, "_saved_reduction", 1) == 2
        if name.startswith("NllLoss") and out is not None:
            self._loss_kind = "cross entropy"
            classes = out.shape[-1] if out.ndim <= 2 or name.startswith("NllLossBackward") else out.shape[1]
            each = torch.tensor(float(classes)).log().item()
            self._trivial = each * (out.numel() // classes if self._loss_summed else 1)
        elif name.startswith("MseLoss") and out is not None and delta is not None:
            self._loss_kind = "squared error"
            # The targets are gone by now, but dL/dout = 2 (out - y) / numel says what they were.
            y = out.double() - delta.double() / 2 * (1 if self._loss_summed else out.numel())
            spread = (y - y.mean(0)).square()
            self._trivial = (spread.sum() if self._loss_summed else spread.mean()).item()
        for k, calls in self._calls.items():
            weight = getattr(self._layers[k][1], "weight", None)
            if calls > 1 and weight is not None and weight.ndim == 2 and len(weight) == weight.shape[1]:
                self._spectral[self._layers[k][0] + ".weight"] = torch.nan
        for name in self._names:
            if "weight_hh" in name:
                self._spectral[name] = torch.nan
        for name in [name for name in self._spectral if name in self._names]:
            k = self._names.index(name)
            group = next(i for i, members in enumerate(self._groups) if k in members)
            weight = self._before[group][self._groups[group].index(k)].float()
            gates = (
                weight.split(weight.shape[1])
                if weight.ndim == 2 and len(weight) % weight.shape[1] == 0
                else ()
            )
            if gates and weight.isfinite().all():
                self._spectral[name] = max(torch.linalg.matrix_norm(gate, 2).item() for gate in gates)
        self._output = self._output_delta = None

    @property
    def recording(self) -> Recording:
        """All that has been recorded so far, on the CPU."""
        if self._cache is None:
            self._cache = self._read()
        return self._cache

    def _read(self) -> Recording:
        kept, P, L = min(self._written, self._capacity), len(self._parameters), len(self._layers)
        width = len(SCALARS) + len(PER_PARAMETER) * P + (len(FORWARD) + len(BACKWARD)) * L
        rows = torch.zeros(0, width) if self._rows is None else self._rows[:kept]
        if (
            self._written > self._capacity
        ):  # the oldest after the first five lies where the next would be written
            oldest = FIRST + (self._written - FIRST) % (self._capacity - FIRST)
            rows = torch.cat([rows[:FIRST], rows[oldest:], rows[FIRST:oldest]])
        rows = rows.to("cpu", torch.float64)
        scalars, parameters, layers = rows.split(
            [len(SCALARS), len(PER_PARAMETER) * P, (len(FORWARD) + len(BACKWARD)) * L], dim=1
        )
        called = sorted(self._first_call, key=self._first_call.get)
        values = dict(zip(SCALARS, scalars.unbind(1), strict=True))
        values |= zip(PER_PARAMETER, parameters.view(kept, -1, P).unbind(1), strict=True)
        layers = layers.view(kept, -1, L)[:, :, called]
        values |= zip(FORWARD + BACKWARD, layers.unbind(1), strict=True)
        steps, lr, stale = zip(*self._marks, strict=True) if self._marks else ((), (), ())
        return Recording(
            steps=torch.tensor(steps, dtype=torch.int64),
            lr=torch.tensor(lr, dtype=torch.float64),
            stale=torch.tensor(stale, dtype=torch.bool),
            parameters=self._names,
            shapes=tuple(tuple(p.shape) for p in self._parameters),
            layers=tuple(self._layers[k][0] for k in called),
            kinds=tuple(type(self._layers[k][1]).__name__ for k in called),
            calls=tuple(self._calls.get(k, 1) for k in called),
            loss_kind=self._loss_kind,
            loss_summed=self._loss_summed,
            trivial_loss=self._trivial,
            spectral_norms=dict(self._spectral),
            dropped=max(0, self._written - self._capacity),
            **values,
        )

    def __getattr__(self, name: str):
        if name.startswith("_") or (
            not hasattr(Recording, name) and name not in Recording.__dataclass_fields__
        ):
            raise AttributeError(f"Recorder has no attribute {name!r}")
        return getattr(self.recording, name)


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


def _in_backward() -> bool:
    return torch._C._current_graph_task_id() != -1
