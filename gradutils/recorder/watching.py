"""A recorder for any ``nn.Module``: what its gradients, weights, updates and activations did, step by step.

    with Recorder(model) as recorder:
        for x, y in batches:
            optimizer.zero_grad()
            loss = loss_fn(model(x), y)
            loss.backward()
            optimizer.step()
            recorder.step(loss)  # after the optimizer, before the gradients are cleared
    print(recorder.summary())

Training goes on bit for bit as it would without, and after the first step a GPU is never waited for. An output is measured
as soon as it is there, while it is still in the processor's cache; of what is small, and of weights of one shape, stacks are
measured together: for small networks most of the price is that of calling operations.
"""

import warnings
import weakref
from collections import defaultdict
from collections.abc import Iterable
from functools import partial

import torch
from torch import Tensor, nn

from gradutils.recorder import rows
from gradutils.recorder import anatomy
from gradutils.recorder.answers import Answers, constant_losses
from gradutils.recorder.curve import Curve
from gradutils.recorder.losses import Form
from gradutils.recorder.norms import norm
from gradutils.recorder.optimizers import Optimizers
from gradutils.recorder.outputs import Pass, first_tensor, inputs, samples_by_units
from gradutils.recorder.recording import Recording
from gradutils.recorder.rows import FIRST, REDUCED, Columns, Mark, Ring, Row, Sender
from gradutils.recorder.torch_inside import (
    ForwardHook,
    going_back,
    in_transform,
    is_compiled,
    last_operation,
    loss_of,
    version,
)
from gradutils.recorder.weights import Weights

# Which recorder is at work on which model: a cell that is run again must not leave two of them behind.
_AT_WORK: weakref.WeakKeyDictionary[nn.Module, "weakref.ref[Recorder]"] = weakref.WeakKeyDictionary()
WAITING = 256  # passes that have not gone back are kept, for a backward pass that may still come; after that the oldest go


def _watching() -> bool:
    """Where gradients are taken: not under no_grad, not when a checkpointed block runs again on the way back, not in a graph that
    is being compiled, not in vmap."""
    if torch.compiler.is_compiling() or in_transform():
        return False
    return torch.is_grad_enabled() and not going_back()


def _check_single_number(name: str, value) -> None:
    if not _is_single_number(value):
        given = (
            f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        )
        raise ValueError(f"{name} must be a single number; got {given}")


def _is_single_number(value) -> bool:
    if isinstance(value, Tensor):
        return value.numel() == 1  # a GPU is not asked for its value
    try:
        float(value)
    except (TypeError, ValueError, OverflowError):
        return False
    return not isinstance(value, str)


def _check_whole_number(name: str, value: int, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be a whole number, {least} or more; got {value!r}")


def _word(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _clearing(measured: dict[str, Tensor], marks: list[Mark]) -> str:
    """Gradients that were cleared before step() came, in words: none, or all zero, at every step, and weights that moved."""
    grads, moved = measured["grad_norm"], measured["update_norm"] > 0
    stepped = all(mark.optimizer_steps > 0 for mark in marks)
    if len(marks) > 1 and stepped and moved.any(1).all() and not (grads > 0).any():
        return "the gradients had been cleared before step() was called: call it before zero_grad()"
    return ""


class _Asleep:
    """What stands for a recorder in a pickled model."""

    def _begin(self, *_) -> None: ...

    def _see(self, *_) -> None: ...

    def _end(self, *_) -> None: ...


class Recorder:
    """Watch a model train: ``with Recorder(model) as recorder``, and ``recorder.step(loss)`` after each optimizer step.

    ``every``: record each step that it divides, and always the first five. ``activations`` and ``deltas`` may be left
    out, which makes it cheaper. ``cosine`` adds the one between the gradients of successive steps, where both are
    recorded, and holds a copy of them in double precision. ``capacity``: records kept; after that the oldest go, except the first five.
    A pass is seen where the model itself is called, not only parts of it.
    What was recorded is read as attributes (``recorder.grad_norm``; names and shapes as in ``Recording``).

    A model under ``torch.compile`` is recorded without activations and deltas. With DDP or FSDP2 (``fully_shard`` comes
    first) gradients, weights and updates are those of the whole model; activations and deltas those of this process.
    A model that is rebuilt while it is recorded ends the recording, with a warning. The loss is known where it is torch's
    cross entropy, binary cross entropy or squared error of the model's output, given to ``step`` as it was computed.
    Raises TypeError for what is no module; ValueError for a model without parameters, or with some that cannot be measured, and
    for options out of range.
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
        inner = anatomy.inner_model(model)  # the names are those of the model within
        parameters = anatomy.measurable_parameters(inner)
        _check_whole_number("every", every, 1)
        _check_whole_number("capacity", capacity, FIRST + 1)
        compiled = is_compiled(model)
        if compiled and (activations or deltas):
            warnings.warn("the model is compiled: activations and deltas are not recorded", stacklevel=2)
        self._model, self._inner, self._every, self._cosine = model, inner, every, cosine
        self._activations, self._deltas = activations and not compiled, deltas and not compiled
        self._names, self._parameters = tuple(parameters), list(parameters.values())
        self._layers = anatomy.layers_of(inner)
        self._links = anatomy.links_of(inner)
        self._columns = Columns(len(self._names), len(self._layers))
        self._at = [self._columns.of_layer(k) for k in range(len(self._layers))]
        self._sender, self._ring = Sender(self._parameters[0].device), Ring(capacity)
        self._sharded = anatomy.sharding(self._parameters)
        self._answers, self._summed = Answers(), False
        self._curve = Curve(self._sender.device)
        self._optimizers = Optimizers(self._parameters)
        self._input_names = anatomy.input_names(inner)
        self._moody = anatomy.moody(inner)
        self._evaluating: dict[str, int] = {}  # layer -> records in which it trained in eval mode
        self._strangers = anatomy.unregistered(inner)
        self._strangers_before = {
            p: version(t) for p, tensors in self._strangers.items() for t in tensors[:1]
        }
        self._lost: set[str] = set()  # of these: have gradients, and are moved by nobody
        self._dtypes: dict[int, torch.dtype] = {}  # of the layers' outputs
        self._without_gradient: set[int] = set()  # layers called under no_grad within a recorded pass
        self._calls: dict[int, int] = {}  # layer -> calls in one pass, in the order of first calls
        self._spectral: dict[str, float] = {}
        self._entered = self._ended = False
        self._count = 0
        self._crowded = False  # passes were let go
        self._cache: Recording | None = None

    # Where it listens: two hooks on the model, always there; one on each layer, in place only while a recorded pass runs.

    def start(self) -> "Recorder":
        """Begin to record, as ``with`` does; returns the recorder. One that records the same model already is stopped, with a warning."""
        if self._entered:
            raise RuntimeError("this recorder is already recording")
        other = _AT_WORK.get(self._inner, lambda: None)()
        if other is not None:
            other.stop()
            warnings.warn(
                f"another recorder was still recording this {type(self._inner).__name__}: it is stopped now, and keeps what it "
                "has recorded. `with Recorder(model)`, or stop(), ends a recording",
                stacklevel=2,
            )
        self._weights = Weights(self._parameters, self._columns)  # first, for it may find no room
        _AT_WORK[self._inner] = weakref.ref(self)
        self._entered = True
        self._handles = [
            self._model.register_forward_pre_hook(self._begin, with_kwargs=True),
            self._model.register_forward_hook(self._end, always_call=True),  # also where a pass raises
        ]
        self._hooks = [
            ForwardHook(layer.module, partial(self._see, k))
            for k, layer in enumerate(self._layers if self._activations or self._deltas else ())
        ]
        self._optimizers.listen()
        self._prepare()
        return self

    def stop(self) -> None:
        """End the recording: no hook is left on the model, and what was recorded can be read. To stop twice does nothing."""
        if not self._entered:
            return
        self._listen(False)
        for handle in self._handles:
            handle.remove()
        self._handles, self._hooks, self._passes, self._old_gradients = [], [], [], []
        self._optimizers.rest()
        self._answers.forget()
        self._entered, self._weights = False, None
        _AT_WORK.pop(self._inner, None)

    def __enter__(self) -> "Recorder":
        return self.start()

    def __exit__(self, *_) -> None:
        self.stop()

    def _listen(self, on: bool) -> None:
        for hook in self._hooks:
            if on:
                hook.listen()
            else:
                hook.rest()

    def _prepare(self) -> None:
        """Before a step: decide whether to record it, and if so remember the weights and the gradients left over."""
        self._recording = not self._ended and (self._count < FIRST or self._count % self._every == 0)
        if self._recording and self._every > 1:  # it may have been rebuilt in a step that was not recorded
            self._recording = self._is_as_it_was()
        self._passes: list[Pass] = []
        self._answers.forget()
        self._deltas_seen: list[tuple[int, float | Tensor]] = []  # layer, norm; last calls come first
        self._stale: bool | None = None
        self._old_gradients = []
        if self._recording:
            self._weights.remember()
            if self._count:
                self._old_gradients = self._weights.present_gradients()
        else:
            self._weights.forget_last_gradients()

    def _begin(self, module, args, kwargs) -> None:
        # A copy of the model, such as an average of its weights, carries this hook along.
        if module is self._model and self._recording and _watching() and not torch.jit.is_tracing():
            self._passes.append(passed := Pass())
            with torch.no_grad():
                passed.see_inputs(self._columns, inputs(args, kwargs, self._input_names))
            passed.evaluating = {name for name, layer in self._moody if not layer.training}
            if len(self._passes) > WAITING:
                self._let_the_oldest_go()
            self._listen(True)

    def _let_the_oldest_go(self) -> None:
        oldest = next((n for n, passed in enumerate(self._passes) if not passed.went_back), 0)
        del self._passes[oldest]
        if not self._crowded:
            self._crowded = True
            warnings.warn(
                f"{WAITING} passes of the model, and no step(): the oldest are not kept. Call them under torch.no_grad() where "
                "nothing is to be learnt from them, or stop() the recorder for that time",
                stacklevel=2,
            )

    def _see(self, k: int, module, args, out) -> None:
        """A layer has been called."""
        if not _watching():
            if not torch.is_grad_enabled() and not self._ring.written:
                self._without_gradient.add(k)
            return
        h = first_tensor(out) if self._passes else None
        if h is None:
            return
        self._dtypes.setdefault(k, h.dtype)
        passed, layer = self._passes[-1], self._layers[k]
        passed.calls[k] += 1
        if self._activations:
            passed.see_output(k, layer, self._at[k], samples_by_units(h.detach()))
        if self._deltas and layer.owns and h.grad_fn is not None:
            h.register_hook(lambda grad: self._receive(k, grad))

    def _receive(self, k: int, grad: Tensor) -> None:
        """The gradient of a layer's output has arrived."""
        if not in_transform():
            self._ask_whether_stale()
            self._deltas_seen.append((k, norm(grad.detach())))

    def _end(self, module, args, out) -> None:
        if module is not self._model or not (self._recording and self._passes and _watching()):
            return
        self._listen(False)
        passed, h = self._passes[-1], first_tensor(out)
        if h is None:
            h = first_tensor(out, least=0)  # a model that gives its loss, and nothing else
        if h is not None and h.grad_fn is not None:
            answer = h.detach(), version(h), last_operation(h)
            h.register_hook(lambda grad: self._went_back(passed, answer, grad))

    def _went_back(self, passed: Pass, answer: tuple[Tensor, int, str], grad: Tensor) -> None:
        if not in_transform():
            passed.went_back = True
            if (
                self._stale
            ):  # by an earlier pass of this step, as one for a penalty: are they still there now?
                self._stale = self._anything(g for p, g in self._left_over if p.grad is g)
            self._ask_whether_stale()
            self._answers.hear(*answer, grad.detach())

    def _ask_whether_stale(self) -> None:
        """A backward pass begins: are the gradients of the step before still there, and was nothing done to them?"""
        self._optimizers.went_back()
        if self._stale is None:
            self._left_over = [
                (p, g) for p, g, was in self._old_gradients if p.grad is g and version(g) == was
            ]
            self._stale = self._anything(g for _, g in self._left_over)

    def _anything(self, gradients: Iterable[Tensor]) -> bool:
        """Whether one of them is not zero: those that were set to zero are still there, and harmless."""
        some = [g.detach().any() if not g.is_sparse else torch.ones((), dtype=torch.bool) for g in gradients]
        return (
            any(map(bool, some))
            if some and some[0].device.type == "cpu"
            else bool(some and torch.stack(some).any())
        )

    # What a step adds to the ring.

    def step(self, loss, lr: float | None = None) -> None:
        """Record the step just taken: call it after the optimizer's step and before the gradients are cleared.

        ``loss`` is a 0-d tensor or a number, ``lr`` the learning rate if it is to be kept. Raises RuntimeError outside
        of ``with``, ValueError for a loss that is not a single number.
        """
        if not self._entered:
            raise RuntimeError("step() was called outside of `with Recorder(model) as recorder:`")
        _check_single_number("loss", loss)
        if lr is not None:
            _check_single_number("lr", lr)
        self._curve.add(self._count, loss)
        taken = self._optimizers.taken(self._recording)
        if self._recording and self._is_as_it_was():
            self._cache = None
            self._listen(False)  # a pass that raised has left the hooks in place
            with torch.no_grad():
                row = self._row(loss)
                self._notice()
            if not self._ring.written:
                self._warn_of_what_is_missing()
            rate = self._optimizers.rate if lr is None else lr
            # Gradients taken for a penalty may come before zero_grad: only what is still there now was not cleared.
            stale = bool(self._stale) and any(p.grad is g for p, g in self._left_over)
            back = sum(passed.went_back for passed in self._passes)
            mark = Mark(self._count, torch.nan if rate is None else float(rate), stale, back, taken)
            self._ring.write(row, mark)
        self._count += 1
        self._prepare()

    def _notice(self) -> None:
        """What is no number: modes, and parts that the model does not know."""
        back = [passed.evaluating for passed in self._passes if passed.went_back]
        for name in set.intersection(*back) if back else ():
            self._evaluating[name] = self._evaluating.get(name, 0) + 1
        for path, (tensor, *_) in self._strangers.items():
            moved = version(tensor) != self._strangers_before[path]
            if moved or tensor.grad is not None:
                (self._lost.discard if moved else self._lost.add)(path)
        if not self._ring.written:
            loops = {f"{self._layers[k].name}.weight" for k, calls in self._calls.items() if calls > 1}
            self._spectral = self._weights.stretches(self._names, loops)

    def _is_as_it_was(self) -> bool:
        """Whether the model still holds the modules and tensors that are recorded; if not, the recording ends."""
        changed = None if self._sharded else anatomy.first_broken(self._links)
        if changed is not None:
            self._ended = True
            warnings.warn(
                f"the model was rebuilt while it is recorded: {changed} is another one now, or has another shape or type. The "
                f"recording ends before step {self._count}; a new Recorder(model) records the new model",
                stacklevel=3,
            )
        return changed is None

    def _warn_of_what_is_missing(self) -> None:
        hidden = [
            self._layers[k].name
            for k in self._without_gradient - self._calls.keys()
            if any(p.grad is not None for p in self._layers[k].module.parameters(recurse=False))
        ]
        if hidden:
            warnings.warn(
                f"{', '.join(hidden[:3])}{' and others' if len(hidden) > 3 else ''} ran without gradients on the way forward and have "
                "some all the same: reentrant checkpointing hides them, checkpoint(..., use_reentrant=False) does not",
                stacklevel=3,
            )
        if all(p.grad is None for p in self._parameters):
            warnings.warn(
                "no parameter has a gradient: call step() after backward() and before zero_grad()",
                stacklevel=3,
            )
        if not self._passes and (self._activations or self._deltas):
            warnings.warn(
                "no pass through the model was seen, so activations and deltas are not recorded: the model itself "
                "must be called inside of `with`, neither in parts nor compiled",
                stacklevel=3,
            )

    def _row(self, loss) -> Tensor:
        """One row of the ring, (width,)."""
        row = Row(self._columns.width, self._sender)
        for passed in [p for p in self._passes if p.went_back] or self._passes:
            passed.add_to(row, self._columns, self._layers)
            for k, n in passed.calls.items():
                self._calls[k] = max(n, self._calls.get(k, 0))
        self._add_deltas(row)
        self._weights.add_to(row)
        if self._cosine:
            self._weights.add_dots_to(row)
        self._answers.add_to(row, self._columns, loss, node := loss_of(getattr(loss, "grad_fn", None)))
        if not self._ring.written:
            self._summed = node.summed
        loss = torch.as_tensor(loss, dtype=self._sender.dtype, device=self._sender.device).detach().reshape(1)
        row.sums([self._columns.at("loss")], loss)
        made = row.tensor()
        for process_group, members in self._sharded:
            at = self._sender.index(
                [column for name in REDUCED for column in self._columns.of(name, members)]
            )
            whole = made[at]
            torch.distributed.all_reduce(whole, group=process_group)
            made[at] = whole
        return made

    def _add_deltas(self, row: Row) -> None:
        if not self._deltas_seen:
            return
        layers, sizes = zip(*self._deltas_seen, strict=True)
        sizes = self._sender.vector(sizes)
        row.norms(self._columns.of("delta_square", layers), sizes)
        calls = defaultdict(list)
        for n, k in enumerate(layers):
            calls[k].append(n)
            row.count(self._columns.at("delta_calls", k), 1)
        loops = {k: members for k, members in calls.items() if len(members) > 1}
        for name, place in (("first_call_delta_square", -1), ("last_call_delta_square", 0)):
            if loops:
                ends = self._sender.index([members[place] for members in loops.values()])
                row.norms(self._columns.of(name, loops), sizes[ends])

    # What has been recorded.

    @property
    def recording(self) -> Recording:
        """All that has been recorded so far, on the CPU."""
        if self._cache is None:
            with torch.device("cpu"):  # whatever the default device is by now
                self._cache = self._read()
        return self._cache

    def _read(self) -> Recording:
        written, marks = self._ring.read(self._columns.width)
        called = list(self._calls)
        layers = [self._layers[k] for k in called]
        raw = self._columns.named(written)
        raw |= {name: raw[name][:, called] for name in rows.PER_LAYER}
        loops = [self._calls[k] > 1 for k in called]
        form = self._answers.form or Form()
        measured = rows.measured_fields(raw, marks, layers, loops, self._cosine)
        steps, losses = self._curve.read()
        return Recording(
            **measured,
            loss_steps=steps,
            loss_curve=losses,
            constant_loss=constant_losses(form, raw),
            parameters=self._names,
            shapes=tuple(tuple(p.shape) for p in self._parameters),
            layers=tuple(layer.name for layer in layers),
            kinds=tuple(type(layer.module).__name__ for layer in layers),
            calls=tuple(self._calls[k] for k in called),
            loss_kind=form.kind,
            loss_summed=self._summed,
            loss_scale=form.scale,
            misfit=form.misfit,
            order=self._optimizers.order or _clearing(measured, marks),
            dtypes=tuple(_word(p.dtype) for p in self._parameters),
            layer_dtypes=tuple(_word(self._dtypes[k]) if k in self._dtypes else "" for k in called),
            trainable=tuple(p.requires_grad for p in self._parameters),
            held=tuple(self._optimizers.held),
            optimizer=self._optimizers.name,
            foreign_steps=self._optimizers.foreign,
            evaluating=dict(self._evaluating),
            unregistered=tuple(path for path in self._strangers if path in self._lost),
            spectral_norms=dict(self._spectral),
            dropped=self._ring.dropped,
        )

    def __reduce__(self):
        """A model saved whole while it is recorded takes no recorder with it; ``save`` keeps the recording."""
        return _Asleep, ()

    def __len__(self) -> int:
        """How many records there are."""
        return self._ring.kept

    def __bool__(self) -> bool:
        return True  # also while it is empty

    def __deepcopy__(self, memo) -> "Recorder":
        """A copy of a model, hooks and all, still tells this recorder; it does not listen to copies."""
        return self

    def __getattr__(self, name: str):
        if name.startswith("_") or not (hasattr(Recording, name) or name in Recording.__dataclass_fields__):
            raise AttributeError(f"Recorder has no attribute {name!r}")
        return getattr(self.recording, name)
