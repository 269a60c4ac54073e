"""What a row of the recorder's ring holds, how one is put together, and how the rows are read as a ``Recording``.

Squares and sums add up over the calls of a layer and the passes of a step, so means and ratios are formed only when a row
is read. ``entries`` and ``units`` count what was added up; 0 says that nothing was.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor

from gradutils.recorder.norms import wide

FIRST = 5  # these steps are always recorded, and kept when the ring wraps: most illnesses show at once
SCALARS = (
    "loss", "input_square", "input_sum", "input_entries",
    "output_sum", "output_square", "output_entries", "output_spread_square", "output_spread_entries",
    "own_loss", "constant_loss", "constant_told",
    "target_sum", "target_square", "target_spread_square", "targets_told",
    "top_answer", "top_target", "classes_told",
)  # fmt: skip
REDUCED = (
    "grad_square",
    "weight_square",
    "change_square",
    "grad_dot",
)  # added up over the pieces of a sharded parameter
PER_PARAMETER = (*REDUCED, "graded")
PER_LAYER = (
    "entries", "units", "sum", "square", "unit_sum_square", "nonzero", "alive", "unsaturated",
    "delta_square", "first_call_delta_square", "last_call_delta_square", "delta_calls",
)  # fmt: skip


class Columns:
    """Where a row holds what: asked by name, and by the number of the parameter or layer."""

    def __init__(self, parameters: int, layers: int):
        sizes = (
            dict.fromkeys(SCALARS, 1)
            | dict.fromkeys(PER_PARAMETER, parameters)
            | dict.fromkeys(PER_LAYER, layers)
        )
        self._sizes = sizes
        self._start = dict(zip(sizes, accumulate(sizes.values(), initial=0), strict=False))
        self.width = sum(sizes.values())

    def at(self, name: str, k: int = 0) -> int:
        return self._start[name] + k

    def of(self, name: str, members: Iterable[int]) -> list[int]:
        start = self._start[name]
        return [start + k for k in members]

    def named(self, rows: Tensor) -> dict[str, Tensor]:
        """(R, width) -> by name: (R,) for scalars, (R, P) and (R, L)."""
        parts = dict(zip(self._sizes, rows.split(list(self._sizes.values()), dim=1), strict=True))
        return parts | {name: parts[name].squeeze(1) for name in SCALARS}


class Sender:
    """Brings numbers to the device, those that are the same at almost every step only once."""

    def __init__(self, device: torch.device):
        self.device, self.dtype = device, wide(device)
        self._sent: dict[tuple, Tensor] = {}

    def vector(self, values: Sequence[float | Tensor]) -> Tensor:
        """Numbers, or 0-d tensors of any device, as one tensor."""
        if self.device.type == "cpu":  # to ask for a number costs less than another operation
            values = [v.item() if isinstance(v, Tensor) and v.device == self.device else v for v in values]
        if {*map(type, values)} <= {float, int, bool}:
            return torch.tensor(values, dtype=self.dtype, device="cpu").to(self.device, non_blocking=True)
        return torch.stack([torch.as_tensor(v, dtype=self.dtype, device=self.device) for v in values])

    def index(self, columns: Iterable[int]) -> Tensor:
        return self.joined([columns])

    def joined(self, places: Iterable[Iterable[int]]) -> Tensor:
        """The index of all these columns, one after another."""
        key = tuple(map(tuple, places))
        return self._once(
            "index", key, lambda: self._sent_now([c for part in key for c in part], torch.int64)
        )

    def counted(self, counts: Iterable[tuple[Iterable[int], float]], width: int) -> Tensor:
        """(width,): what was counted in each column."""
        key = tuple((tuple(columns), n) for columns, n in counts)

        def row() -> Tensor:
            sums = [0.0] * width
            for columns, n in key:
                for c in columns:
                    sums[c] += n
            return self._sent_now(sums, self.dtype)

        return self._once("counts", key, row)

    def _sent_now(self, numbers: list[float], dtype: torch.dtype) -> Tensor:
        return torch.tensor(numbers, dtype=dtype, device=self.device)

    def _once(self, kind: str, key: tuple, make: Callable[[], Tensor]) -> Tensor:
        if (kind, key) not in self._sent:
            if len(self._sent) > 100:
                self._sent.clear()
            self._sent[kind, key] = make()
        return self._sent[kind, key]


class Row:
    """A row in the making: numbers are gathered by column, and added up all at once."""

    def __init__(self, width: int, sender: Sender):
        self._width, self.sender = width, sender
        self._norms: list[tuple[Sequence[int], Tensor]] = []
        self._sums: list[tuple[Sequence[int], Tensor]] = []
        self._counts: list[tuple[Sequence[int], float]] = []

    def norms(self, columns: Sequence[int], values: Tensor) -> None:
        """To be squared, and added to their columns."""
        self._norms.append((columns, values))

    def sums(self, columns: Sequence[int], values: Tensor) -> None:
        self._sums.append((columns, values))

    def count(self, column: int, n: float) -> None:
        self._counts.append(((column,), n))

    def counts(self, columns: Sequence[int], n: float) -> None:
        """To be added to each of the columns."""
        self._counts.append((columns, n))

    def tensor(self) -> Tensor:
        """(width,)"""
        sender = self.sender
        row = sender.counted(self._counts, self._width).clone()
        for pairs, squared in ((self._norms, True), (self._sums, False)):
            for dtype in {
                values.dtype for _, values in pairs
            }:  # to join what differs in type is twenty times slower
                places, found = zip(*((c, v) for c, v in pairs if v.dtype == dtype), strict=True)
                moved = [
                    v if v.device == sender.device else v.to(sender.device, non_blocking=True) for v in found
                ]
                values = torch.cat(moved).to(row.dtype)
                row.index_add_(0, sender.joined(places), values**2 if squared else values)
        return row


class Mark(NamedTuple):
    """What a record holds besides its row."""

    step: int
    lr: float
    stale: bool
    passes: int = 0  # that went back
    optimizer_steps: int = -1  # -1: no optimizer was seen


class Ring:
    """Rows and marks of the first five records and of the newest; it grows up to its capacity and then overwrites."""

    def __init__(self, capacity: int):
        self.written, self._capacity = 0, capacity
        self._rows: Tensor | None = None  # (room, width)
        self._marks: list[Mark] = []

    @property
    def dropped(self) -> int:
        return max(0, self.written - self._capacity)

    @property
    def kept(self) -> int:
        return min(self.written, self._capacity)

    def write(self, row: Tensor, mark: Mark) -> None:
        if self._rows is None:
            self._rows = row.new_empty(min(64, self._capacity), len(row))
        place = self.written if self.written < self._capacity else self._oldest()
        if place == len(self._rows):
            more = min(len(self._rows), self._capacity - len(self._rows))
            self._rows = torch.cat([self._rows, self._rows.new_empty(more, len(row))])
        if self.written >= self._capacity:
            self._marks.pop(FIRST)
        self._rows[place] = row
        self._marks.append(mark)
        self.written += 1

    def _oldest(self) -> int:
        """Where the oldest record but the first five lies: it is the next to be overwritten."""
        return FIRST + (self.written - FIRST) % (self._capacity - FIRST)

    def read(self, width: int) -> tuple[Tensor, list[Mark]]:
        """(R, width) on the CPU in the order in which they were written, float64, and their marks."""
        rows = torch.zeros(0, width) if self._rows is None else self._rows[: self.kept]
        if self.written > self._capacity:
            oldest = self._oldest()
            rows = torch.cat([rows[:FIRST], rows[oldest:], rows[FIRST:oldest]])
        return rows.to("cpu", torch.float64), list(self._marks)


def measured_fields(
    raw: dict[str, Tensor], marks: list[Mark], layers: Sequence, loops: Sequence[bool], cosine: bool
) -> dict:
    """The measured fields of a ``Recording``, from the numbers by name: (R,), (R, P) and, of the called ``layers``, (R, L)."""
    steps, lr, stale, passes, taken = zip(*marks, strict=True) if marks else ((),) * 5
    steps, loops = torch.tensor(steps, dtype=torch.int64), torch.tensor(loops, dtype=torch.bool)
    entries, units = raw["entries"], raw["units"]
    samples, mean, square = entries / units, raw["sum"] / entries, raw["square"] / entries
    told = (entries > 0) & square.isfinite()  # among numbers that are none, zeros mean nothing
    counted = torch.tensor([not layer.affine for layer in layers], dtype=torch.bool) & told
    bounded = torch.tensor([layer.bounds is not None for layer in layers], dtype=torch.bool) & told
    delta, received, weight = (
        raw["delta_square"],
        raw["delta_calls"],
        _size(raw["weight_square"], torch.ones(())),
    )
    separation = 1 - raw["unit_sum_square"] / raw["square"]
    return {
        "steps": steps,
        "loss": raw["loss"],
        "lr": torch.tensor(lr, dtype=torch.float64),
        "passes": torch.tensor(passes, dtype=torch.int64),
        "optimizer_steps": torch.tensor(taken, dtype=torch.int64),
        "input_rms": _size(raw["input_square"] / raw["input_entries"], raw["input_entries"]),
        "input_mean": raw["input_sum"] / raw["input_entries"],
        "stale": torch.tensor(stale, dtype=torch.bool),
        "grad_norm": _size(raw["grad_square"], raw["graded"]),
        "grad_cosine": _cosine(raw, steps)
        if cosine
        else torch.full((len(steps),), torch.nan, dtype=torch.float64),
        "weight_norm": weight,
        "update_norm": _size(raw["change_square"], torch.ones(())),
        "output_mean": raw["output_sum"] / raw["output_entries"],
        "output_rms": (raw["output_square"] / raw["output_entries"]).sqrt(),
        "output_spread": (raw["output_spread_square"] / raw["output_spread_entries"]).sqrt(),
        "target_mean": raw["target_sum"].where(raw["targets_told"] > 0, torch.nan),
        "target_rms": raw["target_square"].sqrt().where(raw["targets_told"] > 0, torch.nan),
        "target_spread": raw["target_spread_square"].sqrt().where(raw["targets_told"] > 0, torch.nan),
        "top_answer": raw["top_answer"].where(raw["classes_told"] > 0, torch.nan),
        "top_target": raw["top_target"].where(raw["classes_told"] > 0, torch.nan),
        "activation_mean": mean,
        "activation_std": _size((square - mean**2).clamp(min=0).where(square.isfinite(), torch.inf), entries),
        "zero_fraction": (1 - raw["nonzero"] / entries).where(counted, torch.nan),
        "dead_fraction": (1 - raw["alive"] / units).where(counted, torch.nan),
        "saturated_fraction": (1 - raw["unsaturated"] / entries).where(bounded, torch.nan),
        "separation": separation.clamp(min=0).where(samples > 1, torch.nan),
        "delta_norm": _size(delta, received),
        "first_call_delta": _size(raw["first_call_delta_square"].where(loops, delta), received),
        "last_call_delta": _size(raw["last_call_delta_square"].where(loops, delta), received),
    }


def _size(square: Tensor, there: Tensor) -> Tensor:
    """A norm; infinite where it was not finite, NaN where there was nothing."""
    return square.sqrt().nan_to_num(nan=torch.inf, posinf=torch.inf).where(there > 0, torch.nan)


def _cosine(raw: dict[str, Tensor], steps: Tensor) -> Tensor:
    """Between the gradients of each step and of the step before, where both are recorded, (R,)."""
    total, cosine = (
        raw["grad_square"].sum(1).sqrt(),
        torch.full((len(steps),), torch.nan, dtype=torch.float64),
    )
    turned = raw["grad_dot"][1:].sum(1) / (total[1:] * total[:-1])
    cosine[1:] = turned.where((steps[1:] - steps[:-1] == 1) & turned.isfinite(), torch.nan)
    return cosine
