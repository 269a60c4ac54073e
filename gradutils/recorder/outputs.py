"""What is measured of a layer's output while it passes by, and how it is added up in a row."""

import dataclasses
import math
from collections import defaultdict
from collections.abc import Iterator

import torch
from torch import Tensor

from gradutils.recorder.anatomy import FLOATS, Layer
from gradutils.recorder.norms import alike, norm, number, row_norms
from gradutils.recorder.rows import Columns, Row

NEAR = 0.05  # a unit is saturated within this distance of a bound of its activation


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


class Pass:
    """What one forward pass adds to a row: a column, and a number (on a GPU a 0-d tensor) to be added there."""

    def __init__(self):
        self.norms: list[tuple[int, float | Tensor]] = []  # to be squared first
        self.sums: list[tuple[int, float | Tensor]] = []
        self.counts: list[tuple[int, float]] = []
        # layer, the sums of its units, the numbers of their outputs that are not zero
        self.units: list[tuple[int, Tensor, Tensor | None]] = []
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

    def see_output(self, k: int, layer: Layer, at: dict[str, int], h: Tensor) -> None:
        """Measure the output of layer k, (samples, units); what is per unit is kept for ``add_to``."""
        samples, units = h.shape
        h = h if h.dtype in (torch.float32, torch.float64) else h.float()
        unit_sum, nonzero = h.sum(0), None
        self.norms.append((at["square"], norm(h)))
        if not layer.affine:  # counted in floating point, which is several times faster than comparing
            sign = h.sign()
            if layer.rectifies:
                self.sums.append((at["nonzero"], number(sign.sum())))
            else:
                nonzero = sign.square_().sum(0)
        self.units.append((k, unit_sum, nonzero))
        if layer.bounds is not None:
            centre, reach = sum(layer.bounds) / 2, (layer.bounds[1] - layer.bounds[0]) / 2
            inside = ((h - centre).abs_() < reach - NEAR).sum()
            self.sums.append((at["unsaturated"], number(inside)))
        self.counts += ((at["entries"], samples * units), (at["units"], units))

    def add_to(self, row: Row, columns: Columns, layers: list[Layer]) -> None:
        """Add all that was measured to a row."""
        for add, pairs in ((row.norms, self.norms), (row.sums, self.sums)):
            if pairs:
                places, values = zip(*pairs, strict=True)
                add(places, row.sender.vector(values))
        for place, n in self.counts:
            row.count(place, n)
        for group in alike([unit_sum for _, unit_sum, _ in self.units]):
            self._add_units(row, columns, layers, group)

    def _add_units(self, row: Row, columns: Columns, layers: list[Layer], group: list[int]) -> None:
        """Add what is known of the units of some layers of one size."""
        of, members = columns.of, [self.units[n][0] for n in group]
        unit_sum = torch.stack([self.units[n][1] for n in group])  # (K, units)
        row.sums(of("sum", members), unit_sum.sum(1))
        row.norms(of("unit_sum_square", members), row_norms(unit_sum))
        rectified = [i for i, k in enumerate(members) if layers[k].rectifies]
        if rectified:  # what is never negative sums to zero only where all of it is
            alive = unit_sum.sign().sum(1)[row.sender.index(rectified).to(unit_sum.device)]
            row.sums(of("alive", [members[i] for i in rectified]), alive)
        counted = [n for n in group if self.units[n][2] is not None]
        if counted:
            nonzero = torch.stack([self.units[n][2] for n in counted])
            members = [self.units[n][0] for n in counted]
            row.sums(of("nonzero", members), nonzero.sum(1))
            row.sums(of("alive", members), nonzero.sign().sum(1))
