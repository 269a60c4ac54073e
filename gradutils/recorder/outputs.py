"""What is measured of a layer's output while it passes by, and how it is added up in a row."""

import dataclasses
import math
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from gradutils.recorder.anatomy import FLOATS, Layer
from gradutils.recorder.norms import STACK, flat, norm, number, row_norms
from gradutils.recorder.rows import Columns, Row

NEAR = 0.05  # a unit is saturated within this distance of a bound of its activation
FEWEST = 4  # outputs on a tray: fewer are not worth a copy
MOST = 64  # trays kept


def tensors(value, least: int = 1, depth: int = 8) -> Iterator[Tensor]:
    """The floating-point tensors of ``least`` so many dimensions in tuples, lists, dictionaries and dataclasses, nested so deep at
    most: a single number among them, such as a loss, is passed over."""
    if isinstance(value, Tensor):
        if _is_plain(value, least):
            yield value
        return
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, (tuple, list)):
        fields = dataclasses.fields(value) if dataclasses.is_dataclass(value) else ()
        value = [getattr(value, field.name, None) for field in fields]
    for item in value if depth else ():
        yield from tensors(item, least, depth - 1)


def _is_plain(tensor: Tensor, least: int) -> bool:
    if (
        tensor.ndim < least
        or tensor.dtype not in FLOATS
        or tensor.layout is not torch.strided
        or tensor.is_nested
    ):
        return False
    return tensor.numel() > 0


def first_tensor(value, least: int = 1) -> Tensor | None:
    """The first of ``tensors``."""
    if isinstance(value, Tensor):
        return value if _is_plain(value, least) else None
    return next(tensors(value, least), None)


def inputs(args: tuple, kwargs: dict, names: list[str]) -> Iterator[Tensor]:
    """What a model is given to compute with; what is named a mask, or holds only zeros and infinities, is none of it."""
    named = [*zip([*names, *[""] * len(args)], args, strict=False), *kwargs.items()]
    for name, value in named:
        if "mask" not in name:
            yield from (x.detach() for x in tensors(value) if not _is_mask(x))


def _is_mask(x: Tensor) -> bool:
    if x.device.type != "cpu" or math.isfinite(total := x.sum().item()) or math.isnan(total):
        return False  # a GPU is not asked
    return not x[x.isfinite()].any()


def samples_by_units(h: Tensor) -> Tensor:
    """(samples, units): tokens count as samples, the pixels of a feature map as units."""
    if h.ndim == 2:
        return h
    return h.flatten(0, 1) if h.ndim == 3 else h.flatten(1) if h.ndim > 1 else h.reshape(1, -1)


class Seen(NamedTuple):
    """What was measured of the outputs of K layers of one shape and kind."""

    layers: list[int]
    norms: Tensor  # (K,)
    unit_sum: Tensor  # (K, units)
    nonzero: Tensor | None  # (K, units); of layers that rectify (K,)
    unsaturated: Tensor | None  # (K,)


class Tray:
    """Small outputs of one shape and kind lie side by side until it is full, and are measured together.

    To call an operation costs more than to measure what is small. They are copied, for what comes next may work in place.
    """

    def __init__(self, layer: Layer, h: Tensor):
        self.layer, (self.samples, self.units) = layer, h.shape
        self._dtype = h.dtype if h.dtype in (torch.float32, torch.float64) else torch.float32
        room = STACK // h.numel()
        self._stack = h.new_empty(room if room >= FEWEST else 0, *h.shape, dtype=self._dtype)
        self._slots = self._stack.unbind() if len(self._stack) else ()
        self._layers: list[int] = []
        self._passed: Pass | None = None

    def take(self, passed: "Pass", k: int, h: Tensor) -> None:
        """The output of layer k, (samples, units), in a pass."""
        if not self._slots:
            passed.seen[self].append(self._measured(h.to(self._dtype).unsqueeze(0), [k]))
            return
        if passed is not self._passed:
            self.measure()
            self._passed = passed
        self._slots[len(self._layers)].copy_(h)
        self._layers.append(k)
        if len(self._layers) == len(self._slots):
            self.measure()

    def measure(self) -> None:
        """Measure what lies here, for the pass that it belongs to."""
        if self._layers:
            self._passed.seen[self].append(self._measured(self._stack[: len(self._layers)], self._layers))
        self._layers, self._passed = [], None

    def _measured(self, stack: Tensor, layers: list[int]) -> Seen:
        norms, unit_sum, nonzero, unsaturated = row_norms(flat(stack)), stack.sum(1), None, None
        # Counted in floating point, which is several times faster than comparing.
        if self.layer.bounds is not None:
            low, high = self.layer.bounds
            outside = (stack - (low + high) / 2).abs_().sub_((high - low) / 2 - NEAR)
            unsaturated = -flat(outside.clamp_(max=0).sign_()).sum(1)
        if not self.layer.affine:
            sign = stack.sign_() if self._slots else stack.sign()
            nonzero = flat(sign).sum(1) if self.layer.rectifies else sign.square_().sum(1)
        return Seen(layers, norms, unit_sum, nonzero, unsaturated)


class Trays:
    """A tray for each shape and kind of output."""

    def __init__(self, layers: list[Layer]):
        self._layers = layers
        self._trays: dict[tuple, Tray] = {}
        self._known: dict[tuple, Tray] = {}  # the same, by layer

    def take(self, passed: "Pass", k: int, h: Tensor) -> None:
        """The output of layer k in a pass."""
        key = k, h.shape, h.dtype, h.device
        tray = self._known.get(key)
        if tray is None:
            tray = self._known[key] = self._tray(self._layers[k], samples_by_units(h))
        tray.take(passed, k, samples_by_units(h))

    def _tray(self, layer: Layer, h: Tensor) -> Tray:
        if len(self._trays) >= MOST:  # sequences may have another length each time
            self.measure()
            self._trays, self._known = {}, {}
        key = layer.affine, layer.rectifies, layer.bounds, h.shape, h.dtype, h.device
        return self._trays.setdefault(key, Tray(layer, h))

    def measure(self) -> None:
        """Measure what still lies on them."""
        for tray in self._trays.values():
            tray.measure()


class Pass:
    """What one forward pass adds to a row."""

    def __init__(self, trays: Trays):
        self._trays = trays
        self.seen: dict[Tray, list[Seen]] = defaultdict(list)
        # A column, and a number (on a GPU a 0-d tensor) to be added there.
        self.norms: list[tuple[int, float | Tensor]] = []  # to be squared first
        self.sums: list[tuple[int, float | Tensor]] = []
        self.counts: list[tuple[int, float]] = []
        self.calls: dict[int, int] = defaultdict(int)  # by layer
        self.went_back = False
        self.evaluating: set[str] = set()  # layers in eval mode

    def see_inputs(self, columns: Columns, given: Iterator[Tensor]) -> None:
        """Measure the model's first input; of the others only whether they are numbers."""
        first = next(given, None)
        if first is not None:
            self.norms.append((columns.at("input_square"), norm(first)))
            self.sums.append((columns.at("input_sum"), number(first.sum())))
            self.counts.append((columns.at("input_entries"), first.numel()))
            self.sums += ((columns.at("input_square"), number(0 * x.sum())) for x in given)

    def see_output(self, k: int, h: Tensor) -> None:
        """Measure the output of layer k, or keep a copy until there are more."""
        self._trays.take(self, k, h)

    def add_to(self, row: Row, columns: Columns) -> None:
        """Add all that was measured to a row."""
        self._trays.measure()
        for add, pairs in ((row.norms, self.norms), (row.sums, self.sums)):
            if pairs:
                places, values = zip(*pairs, strict=True)
                add(places, row.sender.vector(values))
        for place, n in self.counts:
            row.count(place, n)
        for tray, seen in self.seen.items():
            _add(row, columns, tray, seen)


def _add(row: Row, columns: Columns, tray: Tray, seen: list[Seen]) -> None:
    """Add what was measured on one tray."""
    layers, norms, unit_sum, nonzero, unsaturated = zip(*seen, strict=True)
    of, layers, unit_sum = columns.of, [k for some in layers for k in some], torch.cat(unit_sum)
    row.counts(of("entries", layers), tray.samples * tray.units)
    row.counts(of("units", layers), tray.units)
    row.norms(of("square", layers), torch.cat(norms))
    row.sums(of("sum", layers), unit_sum.sum(1))
    # By its own samples: passes of a step may differ in size.
    row.norms(of("unit_sum_square", layers), row_norms(unit_sum) / tray.samples**0.5)
    if tray.layer.bounds is not None:
        row.sums(of("unsaturated", layers), torch.cat(unsaturated))
    if tray.layer.rectifies:  # what is never negative sums to zero only where all of it is
        row.sums(of("nonzero", layers), torch.cat(nonzero))
        row.sums(of("alive", layers), unit_sum.sign().sum(1))
    elif not tray.layer.affine:
        nonzero = torch.cat(nonzero)
        row.sums(of("nonzero", layers), nonzero.sum(1))
        row.sums(of("alive", layers), nonzero.sign().sum(1))
