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

import weakref
from threading import get_ident
from time import perf_counter

import torch
from torch import Tensor, nn

from gradutils.recorder import anatomy, said
from gradutils.recorder.answers import Answers
from gradutils.recorder.arguments import check_share, check_single_number, check_whole_number
from gradutils.recorder.budget import Every, Schedule
from gradutils.recorder.curve import Curve
from gradutils.recorder.deltas import Deltas
from gradutils.recorder.ears import Asleep, Ear, timed
from gradutils.recorder.leftovers import Leftovers
from gradutils.recorder.norms import norm
from gradutils.recorder.optimizers import Optimizers
from gradutils.recorder.outputs import Pass, Trays, first_tensor, inputs
from gradutils.recorder.parts import Parts
from gradutils.recorder.reading import Readable
from gradutils.recorder.rows import FIRST, REDUCED, Columns, Mark, Ring, Row, Sender
from gradutils.recorder.torch_inside import (
    ForwardHook,
    going_back,
    in_transform,
    is_compiled,
    is_many,
    is_traced,
    last_operation,
    loss_of,
    version,
)
from gradutils.recorder.weights import Weights

# Which recorder is at work on which model: a cell that is run again must not leave two of them behind.
_AT_WORK: weakref.WeakKeyDictionary[nn.Module, "weakref.ref[Recorder]"] = weakref.WeakKeyDictionary()
TOGETHER = 10  # each so manyth step is recorded where processes share a model's parameters
WAITING = 256  # passes that have not gone back are kept, for a backward pass that may still come; after that the oldest go


def _watching() -> bool:
    """Where gradients are taken: not under no_grad, not when a checkpointed block runs again on the way back, not in a graph that
    is being compiled, not in vmap."""
    if torch.compiler.is_compiling() or in_transform() or is_traced():
        return False
    return torch.is_grad_enabled() and not going_back()


class Recorder(Readable):
    """Watch a model train: ``with Recorder(model) as recorder``, and ``recorder.step(loss)`` after each optimizer step.

    It records as often as takes no more than ``budget``, a share of the time that training takes without it, and always the first
    21 steps and those around a leap of the loss or the gradient norm; the loss itself is kept of every step. With ``every`` it
    records each step that this divides, and always the first five, whatever that costs. ``activations`` and ``deltas`` may be
    left out, which makes it cheaper. ``cosine`` adds the one between the gradients of successive steps, where both are
    recorded, and holds a copy of them in double precision. ``capacity``: records kept; after that the oldest go, except the first five.
    A pass is seen where the model itself is called, not only parts of it.
    What was recorded is read as attributes (``recorder.grad_norm``; names and shapes as in ``Recording``).

    A model under ``torch.compile`` is recorded without activations and deltas. With DDP or FSDP2 (``fully_shard`` comes
    first) gradients, weights and updates are those of the whole model; activations and deltas those of this process. Under FSDP2 each
    tenth step is recorded, not so many as a budget allows, unless ``every`` says otherwise.
    A model that is rebuilt while it is recorded ends the recording, with a warning. Which loss it is tell the model's output and
    the gradient that reaches it: cross entropies and squared errors, also scaled, detached or written by hand.
    Raises TypeError for what is no module; ValueError for a model without parameters, or with some that cannot be measured, and
    for options out of range.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        every: int | None = None,
        budget: float = 0.05,
        activations: bool = True,
        deltas: bool = True,
        cosine: bool = False,
        capacity: int = 10_000,
    ):
        inner = anatomy.inner_model(model)  # the names are those of the model within
        parameters = anatomy.measurable_parameters(inner)
        if every is not None:
            check_whole_number("every", every, 1)
        check_share("budget", budget)
        check_whole_number("capacity", capacity, FIRST + 1)
        compiled = is_compiled(model)
        if compiled and (activations or deltas):
            said.compiled()
        self._model, self._inner, self._cosine = model, inner, cosine
        self._activations, self._deltas = activations and not compiled, deltas and not compiled
        self._names, self._parameters = tuple(parameters), list(parameters.values())
        self._layers = anatomy.layers_of(inner)
        self._links = anatomy.links_of(inner)
        self._columns = Columns(len(self._names), len(self._layers))
        self._gradients = self._columns.of("grad_square", range(len(self._names)))
        self._sender, self._ring = Sender(self._parameters[0].device), Ring(capacity)
        self._sharded = anatomy.sharding(self._parameters)
        # Processes that hold pieces of one parameter add them up, and so must choose the same steps whatever their clocks say.
        every = TOGETHER if every is None and self._sharded else every
        self._schedule = Schedule(budget) if every is None else Every(every)
        self._answers, self._summed = Answers(), False
        self._curve = Curve(self._sender.device)
        self._optimizers = Optimizers(self._parameters)
        self._input_names = anatomy.input_names(inner)
        self._parts, self._leftovers = Parts(inner, self._layers), Leftovers()
        self._calls: dict[int, int] = {}  # layer -> calls in one pass, in the order of first calls
        self._spectral: dict[str, float] = {}
        self._entered = self._ended = self._listening = False
        self._thread: int | None = (
            None  # the first to call the model in a step; passes of others are not seen
        )
        # When the last step ended, and what the recorder took of the time since, in seconds.
        self._since = self._own = 0.0
        self._count = 0
        self._crowded = False  # passes were let go

    # Where it listens: two hooks on the model, in place only in a step that is recorded; one on each layer, while its pass runs.

    def start(self) -> "Recorder":
        """Begin to record, as ``with`` does; returns the recorder. One that records the same model already is stopped, with a warning."""
        if self._entered:
            raise RuntimeError("this recorder is already recording")
        other = _AT_WORK.get(self._inner, lambda: None)()
        if other is not None:
            other.stop()
            said.stopped(type(self._inner).__name__)
        self._weights = Weights(self._parameters, self._columns)  # first, for it may find no room
        self._trays = Trays(self._layers)
        _AT_WORK[self._inner] = weakref.ref(self)
        self._entered = True
        self._around = [
            ForwardHook(self._model, Ear(self._begin), before=True),
            ForwardHook(self._model, Ear(self._end), always=True),
        ]
        self._hooks = [
            ForwardHook(layer.module, Ear(self._see, k))
            for k, layer in enumerate(self._layers if self._activations or self._deltas else ())
        ]
        self._optimizers.listen()
        self._since, self._own = perf_counter(), 0.0
        self._prepare()
        return self

    def stop(self) -> None:
        """End the recording: no hook is left on the model, and what was recorded can be read. To stop twice does nothing."""
        if not self._entered:
            return
        self._listen(False)
        for hook in (*self._around, *self._hooks):
            hook.remove()
        self._around, self._hooks, self._passes = [], [], []
        self._leftovers.remember([])
        self._optimizers.rest()
        self._answers.forget()
        self._entered, self._weights, self._trays = False, None, None
        _AT_WORK.pop(self._inner, None)
        self._show(self._count, end=True)

    def __enter__(self) -> "Recorder":
        return self.start()

    def __exit__(self, *_) -> None:
        self.stop()

    def _listen(self, on: bool) -> None:
        if on is not self._listening:
            self._listening = on
            for hook in self._hooks:
                (hook.listen if on else hook.rest)()

    def _prepare(self) -> None:
        """Before a step: decide whether to record it, and if so remember the weights and the gradients left over."""
        followed = self._count == 0 or self._recording
        self._recording = not self._ended and self._schedule.wants(self._count)
        if self._recording and not followed:  # it may have been rebuilt in a step that was not recorded
            self._recording = self._is_as_it_was()
        for hook in self._around:
            (hook.listen if self._recording else hook.rest)()
        self._passes: list[Pass] = []
        self._thread = None
        self._answers.forget()
        self._deltas_seen = Deltas()
        left = self._weights.present_gradients() if self._recording and self._count else []
        # Of what no optimizer moves nobody clears the gradients.
        self._leftovers.remember(self._optimizers.concerned(left))
        if self._recording:
            self._weights.remember()
        else:
            self._weights.forget_last_gradients()

    @timed
    def _begin(self, module, args, kwargs) -> None:
        if self._thread is None:
            self._thread = get_ident()
        if module is self._model and self._thread == get_ident() and _watching():
            self._passes.append(passed := Pass(self._trays))
            with torch.no_grad():
                passed.see_inputs(self._columns, inputs(args, kwargs, self._input_names))
            passed.evaluating = self._parts.in_eval_mode()
            if len(self._passes) > WAITING:
                self._let_the_oldest_go()
            self._listen(True)

    def _let_the_oldest_go(self) -> None:
        oldest = next((n for n, passed in enumerate(self._passes) if not passed.went_back), 0)
        del self._passes[oldest]
        if not self._crowded:
            self._crowded = True
            said.crowded(WAITING)

    @timed
    def _see(self, k: int, module, args, out) -> None:
        """A layer has been called."""
        if self._thread != get_ident():
            return
        if not _watching():
            if not torch.is_grad_enabled() and not self._ring.written:
                self._parts.see_without_gradient(k)
            return
        h = first_tensor(out) if self._passes else None
        if h is None:
            return
        self._parts.see(k, h)
        passed, layer = self._passes[-1], self._layers[k]
        passed.calls[k] += 1
        if self._activations:
            passed.see_output(k, h.detach())
        if self._deltas and layer.owns and h.grad_fn is not None:
            h.register_hook(lambda grad: self._receive(k, grad))

    @timed
    def _receive(self, k: int, grad: Tensor) -> None:
        """The gradient of a layer's output has arrived."""
        if not in_transform() and not is_many(grad):
            self._leftovers.began()
            self._optimizers.went_back()
            self._deltas_seen.receive(k, norm(grad.detach()))

    @timed
    def _end(self, module, args, out) -> None:
        if module is not self._model or self._thread != get_ident() or not (self._passes and _watching()):
            return
        self._listen(False)
        passed, h = self._passes[-1], first_tensor(out)
        if h is None:
            h = first_tensor(out, least=0)  # a model that gives its loss, and nothing else
        if h is not None and h.grad_fn is not None:
            answer = [(h.detach(), version(h), last_operation(h))]  # held until it has gone back, no longer
            h.register_hook(lambda grad: self._went_back(passed, answer, grad))

    @timed
    def _went_back(self, passed: Pass, answer: list[tuple[Tensor, int, str]], grad: Tensor) -> None:
        if not in_transform() and not is_many(grad):
            passed.went_back = True
            self._leftovers.began_anew()
            self._optimizers.went_back()
            if answer:
                self._answers.hear(*answer.pop(), grad.detach())

    # What a step adds to the ring.

    def step(self, loss, lr: float | None = None) -> None:
        """Record the step just taken: call it after the optimizer's step and before the gradients are cleared.

        ``loss`` is a 0-d tensor or a number, ``lr`` the learning rate if it is to be kept. Raises RuntimeError outside
        of ``with``, ValueError for a loss that is not a single number.
        """
        if not self._entered:
            raise RuntimeError("step() was called outside of `with Recorder(model) as recorder:`")
        check_single_number("loss", loss)
        if lr is not None:
            check_single_number("lr", lr)
        started, recorded, numbers = perf_counter(), self._recording, {}
        self._cache = None
        self._curve.add(self._count, loss)
        if not isinstance(loss, Tensor) or loss.device.type == "cpu":  # a GPU is not asked for its value
            numbers["loss"] = loss.item() if isinstance(loss, Tensor) else float(loss)
        taken = self._optimizers.taken(self._recording)
        if self._recording and self._is_as_it_was():
            self._listen(False)  # a pass that raised has left the hooks in place
            with torch.no_grad():
                row = self._row(loss)
                self._parts.notice(self._passes)
            if not self._ring.written:
                self._warn_of_what_is_missing()
            rate = self._optimizers.rate if lr is None else lr
            rate = torch.nan if rate is None else float(rate)
            back = sum(passed.went_back for passed in self._passes)
            mark = Mark(self._count, rate, self._leftovers.stale, back, taken)
            self._ring.write(row, mark)
            if row.device.type == "cpu":
                numbers["grad_norm"] = row[self._sender.index(self._gradients)].sum().sqrt().item()
        self._count += 1
        ended = perf_counter()
        self._schedule.stepped(ended - self._since, self._own + ended - started, recorded, **numbers)
        # What is done from here on is the recorder's as well, and counts with the step that comes; drawing has a share of its own.
        self._since, self._own = ended, 0.0
        self._prepare()
        prepared = perf_counter()
        self._own += prepared - ended
        self._show(self._count)
        self._since += perf_counter() - prepared

    def _is_as_it_was(self) -> bool:
        """Whether the model still holds the modules and tensors that are recorded; if not, the recording ends."""
        changed = None if self._sharded else anatomy.first_broken(self._links)
        if changed is not None:
            self._ended = True
            said.rebuilt(changed, self._count)
        return changed is None

    def _warn_of_what_is_missing(self) -> None:
        hidden = self._parts.hidden(set(self._calls))
        if hidden:
            said.hidden(hidden)
        if all(p.grad is None for p in self._parameters):
            said.no_gradient()
        if not self._passes and (self._activations or self._deltas):
            said.no_pass()

    def _row(self, loss) -> Tensor:
        """One row of the ring, (width,)."""
        row = Row(self._columns.width, self._sender)
        for passed in [p for p in self._passes if p.went_back] or self._passes:
            passed.add_to(row, self._columns)
            for k, n in passed.calls.items():
                self._calls[k] = max(n, self._calls.get(k, 0))
        self._deltas_seen.add_to(row, self._columns)
        if not self._ring.written:
            loops = {f"{self._layers[k].name}.weight" for k, calls in self._calls.items() if calls > 1}
            self._spectral = self._weights.stretches(self._names, loops)
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

    def __reduce__(self):
        """A model saved whole while it is recorded takes no recorder with it; ``save`` keeps the recording."""
        return Asleep, ()

    def __deepcopy__(self, memo) -> "Recorder":
        """A copy of a model, hooks and all, still tells this recorder; it does not listen to copies."""
        return self
