"""The half of a recorder that is read: what it has recorded so far, and where that is shown while training runs."""

import torch

from gradutils.recorder import rows, said
from gradutils.recorder.answers import constant_losses
from gradutils.recorder.losses import Form
from gradutils.recorder.optimizers import cleared_before
from gradutils.recorder.parts import word
from gradutils.recorder.recording import Recording

TOGETHER = 20  # records that are sent to a writer at once, at least


class Readable:
    """Reads what ``Recorder`` writes. All that a ``Recording`` has can be asked of a recorder as well."""

    _cache: Recording | None = None
    _figure = _log = None  # where records are shown while training runs
    _sent_at = 0

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
            order=self._optimizers.order or cleared_before(measured, marks),
            dtypes=tuple(word(p.dtype) for p in self._parameters),
            layer_dtypes=self._parts.dtypes(called),
            trainable=tuple(p.requires_grad for p in self._parameters),
            held=tuple(self._optimizers.held),
            optimizer=self._optimizers.name,
            foreign_steps=self._optimizers.foreign,
            evaluating=dict(self._parts.evaluating),
            unregistered=self._parts.unregistered,
            spectral_norms=dict(self._spectral),
            dropped=self._ring.dropped,
        )

    def live(self, every: int = 50) -> None:
        """In a notebook, draw the page of the run now, and again every so many steps, in one place; twentyfold the time that this
        takes goes to training in between. Needs matplotlib and IPython; where no notebook is, it says so and does nothing else."""
        from gradutils.recorder.live import live

        self._figure = live(self, every)

    def log_to(self, writer) -> None:
        """Send the numbers of each record to TensorBoard's ``SummaryWriter`` or a run of W&B, some records at a time, and the rest at
        ``stop``. Raises TypeError for what is neither."""
        from gradutils.recorder.logs import log_to

        self._log = log_to(writer)

    @property
    def cost(self) -> float:
        """What recording has taken so far, as a share of the time that training takes without it; NaN with ``every``."""
        return self._schedule.share

    def _show(self, count: int, end: bool = False) -> None:
        """After a step: to the figure and the writer, if there are some."""
        if self._figure is not None:
            self._figure.finish() if end else self._figure.after_step(count)
        if self._log is not None and (
            end or self._ring.written >= self._sent_at + max(TOGETHER, len(self) // 10)
        ):
            self._sent_at = self._ring.written
            try:
                self._log.send(self.recording)
                if end:
                    self._log.finish()
            except Exception as error:  # a full disk is no reason to end the training
                self._log = None
                said.no_writer(error)

    def __len__(self) -> int:
        """How many records there are."""
        return self._ring.kept

    def __bool__(self) -> bool:
        return True  # also while it is empty

    def __getattr__(self, name: str):
        if name.startswith("_") or not (hasattr(Recording, name) or name in Recording.__dataclass_fields__):
            raise AttributeError(f"Recorder has no attribute {name!r}")
        return getattr(self.recording, name)
