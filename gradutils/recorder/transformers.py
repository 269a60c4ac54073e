"""The recorder inside the Trainer of Hugging Face's transformers, which the course itself does not need.

    callback = RecorderCallback()
    Trainer(model, args, train_dataset=data, callbacks=[callback]).train()
    print(callback.diagnosis())

One record for each step of the optimizer, from the beginning of ``train``.
"""

import inspect
import warnings
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from gradutils.recorder.diagnosis import Diagnosis, diagnose
from gradutils.recorder.watching import Recorder

try:
    from transformers import Trainer, TrainerCallback
except ImportError as error:
    raise ImportError(
        "gradutils.recorder.transformers needs the Trainer: pip install transformers accelerate"
    ) from error


def _loss_of(output) -> Tensor | None:
    """The loss in a model's output, where the Trainer looks for it."""
    if isinstance(output, Mapping):
        loss = output.get("loss")
    else:
        loss = output[0] if isinstance(output, tuple | list) and output else getattr(output, "loss", None)
    return loss if isinstance(loss, Tensor) and loss.numel() == 1 else None


def _is_training() -> bool:
    """Whether this is called within ``Trainer.train``, which tells a callback of its end, but not of an exception."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_code is not Trainer.train.__code__:
        frame = frame.f_back
    return frame is not None


class _Ear:
    """A forward hook on the model, which hears the loss. A copy of the model, or a saved one, takes a deaf one with it."""

    def __init__(self, hear: Callable | None = None):
        self._hear = hear

    def __call__(self, *given) -> None:
        if self._hear is not None:
            self._hear(*given)

    def __reduce__(self):
        return _Ear, ()


class RecorderCallback(TrainerCallback):
    """A Recorder that the Trainer runs, made anew by each ``train``; ``options`` are those of ``Recorder``.

    The model is recorded, or the part of it that ``module`` names, as in ``module=lambda m: m.classifier``. A part must be called as
    such.

    The Trainer hides the loss from callbacks, so it is taken from the output of the model: its mean over the micro-batches of a step,
    or its sum where the Trainer gave the model ``num_items_in_batch`` to divide by. Where a ``compute_loss`` of your own computes
    another one, hand it over: ``return callback.note(loss)``.

    The Trainer tells no callback of an exception either. Its hooks are gone when the model is next called; ``with callback:``
    around ``trainer.train()`` takes them away at once.
    """

    def __init__(self, *, module: Callable[[nn.Module], nn.Module] | None = None, **options):
        self._module, self._options = module, options
        self._recorder: Recorder | None = None
        self._ear = None
        self._begin_step()

    @property
    def recorder(self) -> Recorder:
        """Of the last ``train``. Raises RuntimeError where none has begun."""
        if self._recorder is None:
            raise RuntimeError("nothing is recorded yet: trainer.train() has not begun")
        return self._recorder

    def diagnosis(self) -> Diagnosis:
        """What ails the run: ``diagnose(callback.recorder)``."""
        return diagnose(self.recorder)

    def note(self, loss: Tensor) -> Tensor:
        """Take this loss of a micro-batch for the step's, and give it back; their mean is recorded. One of an evaluation is let pass."""
        if loss.requires_grad:
            self._noted.append(loss.detach())
        return loss

    # When it is at work.

    def on_train_begin(self, args, state, control, model=None, **_) -> None:
        self.stop()
        self._begin_step()
        self._warned = False
        self._model, self._inside = model, _is_training()
        self._recorder = Recorder(
            model if self._module is None else self._module(model), **self._options
        ).start()
        self._ear = model.register_forward_hook(_Ear(self._hear), with_kwargs=True)

    def on_train_end(self, args, state, control, **_) -> None:
        self.stop()

    def stop(self) -> None:
        """End the recording: no hook is left on the model, and what was recorded can be read."""
        if self._ear is not None:
            self._ear.remove()
            self._recorder.stop()
            self._ear = self._model = None

    def __enter__(self) -> "RecorderCallback":
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    # What a step is, and its loss.

    def _begin_step(self) -> None:
        self._losses: list[Tensor] = []
        self._noted: list[Tensor] = []
        self._shares = False  # whether each loss is a share of the step's, not one of its own

    def _hear(self, model, args, kwargs, output) -> None:
        if self._inside and not _is_training():
            self.stop()
        elif model.training and torch.is_grad_enabled() and (loss := _loss_of(output)) is not None:
            self._losses.append(loss.detach())
            self._shares = kwargs.get("num_items_in_batch") is not None

    def on_optimizer_step(self, args, state, control, optimizer=None, **_) -> None:
        losses = self._noted or self._losses
        if losses:
            losses = torch.stack([loss.reshape(()) for loss in losses])
            loss = losses.sum() if self._shares and not self._noted else losses.mean()
            self._recorder.step(loss, lr=optimizer.param_groups[0]["lr"])
        elif not self._warned:
            self._warned = True
            warnings.warn(
                "nothing is recorded, for the output of the model holds no loss. Where a loss function of your own computes "
                "it, hand it over: return callback.note(loss)",
                stacklevel=2,
            )
        self._begin_step()
