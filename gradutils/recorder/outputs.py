"""What is measured of a layer's output while it passes by, and how it is added up in a row."""

import dataclasses
from collections import defaultdict

import torch
from torch import Tensor

from gradutils.recorder.anatomy import FLOATS, Layer
from gradutils.recorder.norms import alike, norm, number, row_norms
from gradutils.recorder.rows import Columns, Row

NEAR = 0.05  # a unit is saturated within this distance of a bound of its activation


def first_tensor(value, depth: int = 8) -> Tensor | None:
    """The first floating-point tensor in tuples, lists, dictionaries and dataclasses, nested so deep at most."""
    if isinstance(value, Tensor):
        plain = value.dtype in FLOATS and value.layout is torch.strided and not value.is_nested
        return value if plain and value.numel() else None
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, (tuple, list)):
        fields = dataclasses.fields(value) if dataclasses.is_dataclass(value) else ()
        value = [getattr(value, field.name, None) for field in fields]
    inside = (first_tensor(item, depth - 1) for item in value) if depth else ()
    return next((found for found in inside if found is not None), None)


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

    def see_input(self, columns: Columns, x: Tensor | None) -> None:
        """Measure the model's input."""
        if x is not None:
            x = x.detach()
            self.norms.append((columns.at("input_square"), norm(x)))
            self.sums.append((columns.at("input_sum"), number(x.sum())))
            self.counts.append((columns.at("input_entries"), x.numel()))

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
