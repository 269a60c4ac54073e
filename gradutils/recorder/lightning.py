"""The recorder inside Lightning: ``Trainer(callbacks=[RecorderCallback()])``. Needs Lightning, which the course itself does not.

    callback = RecorderCallback()
    Trainer(callbacks=[callback]).fit(model, batches)
    print(callback.diagnosis())

One record for each step of the optimizer, from the beginning of ``fit``; with accumulation the loss is the mean over the micro-batches.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook

from gradutils.recorder.diagnosis import Diagnosis, diagnose
from gradutils.recorder.watching import Recorder

try:
    from lightning.pytorch import Callback, LightningModule
    from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
except ImportError as error:
    raise ImportError("gradutils.recorder.lightning needs Lightning: pip install lightning") from error


def _parts(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The children that train, by name; of a list or a dictionary of modules, which nobody calls, what it holds."""
    for name, child in module.named_children():
        if isinstance(child, nn.ModuleList | nn.ModuleDict):
            yield from _parts(child, f"{prefix}{name}.")
        elif any(p.requires_grad for p in child.parameters()):
            yield prefix + name, child


def _candidates(module: nn.Module) -> dict[str, nn.Module]:
    """What a ``training_step`` may call: the LightningModule itself where it has a ``forward``, or its children."""
    parts = dict(_parts(module))
    if parts and type(module).forward is LightningModule.forward:
        return parts
    return {type(module).__name__: module} | parts


class RecorderCallback(Callback):
    """A Recorder that Lightning runs, made anew by each ``fit``; ``options`` are those of ``Recorder``.

    A pass is seen where a module is called. What ``training_step`` calls is found in the first batch: the LightningModule
    itself, as ``self(x)``, or else those of its children that are called, as ``self.net(x)``, each with a recorder of its own in
    ``recorders``. Until then all of them are recorded, which needs room for a second copy of the weights during this batch;
    ``module``, as in ``module=lambda m: m.net``, says which one it is.

    A recorder takes a step where an optimizer that holds one of its module's parameters has: at once if there is one such optimizer,
    at the end of the batch if there are several. Its loss is what went back before; where backward() is called on a loss itself, it
    must be returned by ``training_step``. A step that a GradScaler skips is recorded too.
    """

    def __init__(self, *, module: Callable[[nn.Module], nn.Module] | None = None, **options):
        self.recorders: dict[str, Recorder] = {}
        self._module, self._options = module, options
        self._handles = []

    @property
    def recorder(self) -> Recorder:
        """That of the largest module, in the last ``fit``. Raises RuntimeError where none has begun to train."""
        if not self.recorders:
            raise RuntimeError("nothing is recorded yet: trainer.fit has not begun to train")
        sizes = {name: sum(p.numel() for p in self._modules[name].parameters()) for name in self.recorders}
        return self.recorders[max(sizes, key=sizes.get)]

    def diagnosis(self) -> Diagnosis:
        """What ails the run: ``diagnose(callback.recorder)``."""
        return diagnose(self.recorder)

    # When it is at work.

    def on_train_start(self, trainer, pl_module) -> None:
        self._stop()
        if self._module is None:
            self._modules = _candidates(pl_module)
        else:
            chosen = self._module(pl_module)
            names = {held: name for name, held in pl_module.named_modules()}
            self._modules = {names.get(chosen) or type(chosen).__name__: chosen}
        self._whole = next((name for name, held in self._modules.items() if held is pl_module), None)
        self._optimizers = trainer.optimizers
        self._losses: list[Tensor] = []  # that went back since the last step of any optimizer
        self._used = False  # whether a step was taken with them
        self._rates: dict[str, float] = {}  # of the modules for which a step is under way
        self._called: list[str] = []  # in this order, and not within another one
        self._depth = 0
        self.recorders = {}
        for name, module in self._modules.items():
            self.recorders[name] = Recorder(module, **self._options).start()
        self._searching = True
        for name, module in self._modules.items():
            self._listen(name, module)
        # After the recorders' own, so that what they learn of a step is known by then.
        self._handles.append(register_optimizer_step_post_hook(self._after_step))

    def on_train_end(self, trainer, pl_module) -> None:
        self._stop()

    def on_exception(self, trainer, pl_module, exception) -> None:
        self._stop()

    def _stop(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []
        for recorder in self.recorders.values():
            recorder.stop()

    # Which modules are called.

    def _listen(self, name: str, module: nn.Module) -> None:
        """Note that a module is called, unless within another one."""

        def begin(*_):
            if self._depth == 0 and torch.is_grad_enabled() and name not in self._called:
                self._called.append(name)
            self._depth += 1

        def end(*_):
            self._depth -= 1

        self._handles.append(module.register_forward_pre_hook(begin))
        self._handles.append(module.register_forward_hook(end, always_call=True))

    def _seen(self) -> list[str]:
        """The names of what is recorded, as far as it is known by now."""
        if not self._searching:
            return list(self.recorders)
        if not self._called:
            return [self._whole] if self._whole else list(self._modules)
        return [self._whole] if self._whole in self._called else self._called

    def _choose(self) -> None:
        """The first batch is over: go on with what was called."""
        kept = self._seen()
        *search, after_step = self._handles
        for handle in search:
            handle.remove()
        self._handles, self._searching = [after_step], False
        for name in self.recorders.keys() - set(kept):
            self.recorders[name].stop()
        self.recorders = {name: self.recorders[name] for name in kept}
        rank_zero_info(f"gradutils records {' and '.join(kept)}")

    # What a step is, and its loss.

    def on_before_backward(self, trainer, pl_module, loss) -> None:
        if self._used:
            self._losses, self._used = [], False
        scale = trainer.accumulate_grad_batches if pl_module.automatic_optimization else 1
        if trainer.scaler is not None:
            scale = scale / trainer.scaler.scale(torch.ones_like(loss.detach()))
        self._losses.append(loss.detach() * scale)

    def on_before_optimizer_step(self, trainer, pl_module, optimizer) -> None:
        self._used = True
        for name, module in self._modules.items():
            if name in self.recorders and _moves(optimizer, module):
                self._rates[name] = optimizer.param_groups[0]["lr"]

    def _after_step(self, optimizer, *_) -> None:
        """An optimizer has taken a step: in manual optimization the gradients may be cleared before the batch is over."""
        for name in [name for name in self._rates if name in self._seen()]:
            holders = [held for held in self._optimizers if _moves(held, self._modules[name])]
            if self._losses and holders == [optimizer]:
                self._step(name, self._mean_loss())

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        if self._searching:
            self._choose()
        given = outputs.get("loss") if isinstance(outputs, dict) else None
        for name in [name for name in self._rates if name in self.recorders]:
            if self._losses or given is not None:
                self._step(name, self._mean_loss() if self._losses else given)
            elif not pl_module.automatic_optimization:  # else training_step returned None: no step
                rank_zero_warn(
                    "a step is not recorded, for its loss is not known: call self.manual_backward(loss) in place of loss.backward(), "
                    "or return the loss from training_step"
                )
        self._rates = {}
        if self._used:
            self._losses = []

    def _mean_loss(self) -> Tensor:
        return torch.stack(self._losses).mean()

    def _step(self, name: str, loss: Tensor) -> None:
        self.recorders[name].step(loss, lr=self._rates.pop(name))


def _moves(optimizer: Optimizer, module: nn.Module) -> bool:
    """Whether an optimizer holds a parameter of a module."""
    own = set(module.parameters())
    return any(p in own for group in optimizer.param_groups for p in group["params"])
