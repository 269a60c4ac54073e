"""The numbers of a run, sent to a writer that the engineer has opened: TensorBoard's SummaryWriter or a run of W&B."""

import torch
from torch import Tensor

from gradutils.recorder.recording import Recording

PREFIX = "recorder/"  # beside the engineer's own curves


def log_to(writer) -> "TensorBoard | WandB":
    """What sends records to ``writer``, which has ``add_scalar(tag, value, step)`` or ``log(values, step=step)``.

    Raises TypeError for anything else.
    """
    if callable(getattr(writer, "add_scalar", None)):
        return TensorBoard(writer)
    if callable(getattr(writer, "log", None)):
        return WandB(writer)
    raise TypeError(
        "log_to takes a writer with add_scalar(tag, value, step), such as TensorBoard's SummaryWriter, or with "
        f"log(values, step=step), such as a run of W&B; got {type(writer).__name__}"
    )


class Log:
    """Sends each record once, in order. ``send`` takes the newest records or all of them; ``finish`` comes last."""

    def __init__(self, writer):
        self._writer, self._sent, self._told = writer, -1, False

    def send(self, recording: Recording) -> None:
        """Send the records that are newer than those sent, and the first number that is not finite as text."""
        new = recording.steps > self._sent
        if not new.any():
            return
        bad = None if self._told else _first_bad(recording, new)
        for step, values in _rows(recording, new):
            if bad and step >= bad.step:
                values["first_nonfinite"], self._told, bad = f"{bad}, step {bad.step}", True, None
            self._write(step, {f"{PREFIX}{name}": value for name, value in values.items()})
            self._sent = step

    def finish(self) -> None:
        """Send what had to wait."""

    def _write(self, step: int, values: dict) -> None:
        raise NotImplementedError


class TensorBoard(Log):
    """A curve for each number, at its own step however late it is sent."""

    def _write(self, step, values):
        for tag, value in values.items():
            if not isinstance(value, str):
                self._writer.add_scalar(tag, value, step)
            elif hasattr(self._writer, "add_text"):  # other writers of this kind may know scalars only
                self._writer.add_text(tag, value, step)


class WandB(Log):
    """A row for each record. W&B drops rows that come late, and counts its own steps where it is not given any.

    So a late record goes to the row that W&B is at. One that would overwrite the record before it there waits for the
    end. All carry their own step, which is the axis of their curves.
    """

    def __init__(self, writer):
        super().__init__(writer)
        self._row, self._waiting = -1, []
        if hasattr(writer, "define_metric"):
            writer.define_metric(f"{PREFIX}*", step_metric=f"{PREFIX}step")

    def _write(self, step, values):
        values = {f"{PREFIX}step": step, **values}
        row = max(step, self._at())
        if row > self._row:
            self._writer.log(values, step=row)
            self._row = row
        else:
            self._waiting.append(values)

    def finish(self) -> None:
        """Send what had to wait, in rows behind all others: no more are expected."""
        for row, values in enumerate(self._waiting, max(self._row, self._at()) + 1):
            self._writer.log(values, step=row)
            self._row = row
        self._waiting = []

    def _at(self) -> int:
        return int(getattr(self._writer, "step", 0) or 0)


def _rows(r: Recording, new: Tensor):
    """The step and the numbers by name of each record in ``new`` (R,) bool; what was not measured is left out."""
    matrices = [k for k, shape in enumerate(r.shapes) if len(shape) > 1]
    moved = r.update_ratio.where(r.weight_norm > 0, torch.nan)[
        :, matrices
    ]  # of a weight of zero it is no ratio
    columns = {
        "loss": r.loss,
        "lr": r.lr,
        "gradient_norm": r.total_grad_norm,
        "largest_update_ratio": _largest(moved),
        "dead": _largest(r.dead_fraction),
        "saturated": _largest(r.saturated_fraction),
    }
    known = {"loss", "gradient_norm"}  # a loss of NaN is news; elsewhere NaN stands for what was not measured
    for k in new.nonzero().flatten().tolist():
        values = {name: float(column[k]) for name, column in columns.items()}
        yield int(r.steps[k]), {n: value for n, value in values.items() if n in known or value == value}


def _largest(values: Tensor) -> Tensor:
    """(R, K) -> (R,): the largest number, NaN where there is none."""
    if not values.shape[1]:
        return values.new_full((len(values),), torch.nan)
    largest = values.nan_to_num(nan=-torch.inf, posinf=torch.inf).amax(1)
    return largest.where(~values.isnan().all(1), torch.nan)


def _first_bad(r: Recording, new: Tensor):
    """The first number that is not finite, looked for only where the new records hold one: it takes a while."""
    sizes = (r.input_rms.unsqueeze(1), r.activation_std, r.delta_norm, r.grad_norm, r.update_ratio)
    broken = not r.loss[new].isfinite().all() or any(values[new].isinf().any() for values in sizes)
    return r.first_nonfinite if broken else None
