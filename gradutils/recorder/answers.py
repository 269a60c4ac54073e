"""What the model answers, and what it was asked for: of each record, from the outputs and the gradient that reached them.

The best constant answer is that to all targets seen so far: the frequencies of the classes, or their mean. What it loses on the
very batch of a step is what the loss of that step is held against: a lucky batch is lucky for both.
"""

import math

import torch
from torch import Tensor

from gradutils.recorder.losses import BINARY, CROSS, SQUARED, Form, arranged, binary_weight, recognise
from gradutils.recorder.norms import number
from gradutils.recorder.rows import FIRST, Columns, Row
from gradutils.recorder.torch_inside import LossNode, version

ENTRIES = 2**18  # of an output that are looked at; of larger ones some samples only
PASSES = 16  # of a step


class Answers:
    """Outputs and the gradients that reached them, gathered pass by pass and read once a step."""

    def __init__(self):
        self.form: Form | None = None  # not known yet
        self._pairs: list[tuple[Tensor, Tensor]] = []
        self._tail = ""
        self._tried = 0
        self._weights: Tensor | None = None  # of the targets so far: by class, or how many there were
        self._sums: Tensor | None = None  # of the targets so far, by unit

    def forget(self) -> None:
        """Before a step."""
        self._pairs = []

    def hear(self, out: Tensor, was: int, tail: str, delta: Tensor) -> None:
        """The gradient of an output has arrived; ``was`` is the version that the output had then."""
        if version(out) == was and out.shape == delta.shape and len(self._pairs) < PASSES:
            self._tail = tail
            steps = _strides(out.shape)
            if any(step > 1 for step in steps):
                part = tuple(slice(None, None, step) for step in steps)
                out, delta = out[part].clone(), delta[part].clone()
            self._pairs.append((out, delta))

    @torch.no_grad()
    def add_to(self, row: Row, columns: Columns, loss: Tensor | float, node: LossNode) -> None:
        """Add what this step's answers tell to a row."""
        pairs = [
            pair for pair in self._pairs if pair[0].shape[1:] == self._pairs[-1][0].shape[1:] and pair[0].ndim
        ]
        if not pairs:
            return
        out, delta = (torch.cat(side) if len(side) > 1 else side[0] for side in zip(*pairs, strict=True))
        if self.form is None and self._tried < FIRST:  # these steps may wait for a GPU
            self._tried += 1
            if bool(delta.isfinite().all()) and bool(out.isfinite().all()):
                found = recognise(
                    loss.item() if isinstance(loss, Tensor) else float(loss), node, self._tail, out, delta
                )
                if found.kind != "unknown" or self._tried == FIRST:
                    self.form = found
        form = self.form or Form()
        o = arranged(out, form.classes).float()
        found = {"output_sum": o.sum(), "output_square": o.flatten().dot(o.flatten())}
        row.count(columns.at("output_entries"), o.numel())
        if len(o) > 1:
            found["output_spread_square"] = (o - o.mean(0)).square().sum()
            row.count(columns.at("output_spread_entries"), o.numel())
        if form.kind != "unknown":
            d = arranged(delta, form.classes).float()
            read = {CROSS: self._classes, BINARY: self._binary, SQUARED: self._squares}.get(form.kind)
            if read is not None and (form.outputs or math.isfinite(form.scale)):
                found |= read(form, o, d, row, columns, loss)
        names, values = zip(*found.items(), strict=True)
        row.sums([columns.at(name) for name in names], row.sender.vector([number(value) for value in values]))

    def _classes(
        self, form: Form, o: Tensor, d: Tensor, row: Row, columns: Columns, loss
    ) -> dict[str, Tensor]:
        used = d.abs().amax(1) > 0
        log_p = (
            o.log_softmax(1)
            if form.outputs == "logits"
            else o.clamp(min=1e-30).log()
            if form.outputs == "probabilities"
            else o
        )
        if form.soft:
            pull = -d * len(d) / form.scale
            targets = (
                pull if form.outputs == "log-probabilities" else (log_p.exp() + pull) * used.unsqueeze(1)
            )
            targets = targets.clamp(min=0)
            y, own, by_class = targets.argmax(1), -(targets * log_p).sum() / len(d), targets.sum(0) / len(d)
        else:
            top, first = log_p.max(1)
            least, y = d.min(1)
            used = least < 0
            y = torch.where(used, y, first)
            used = used | (top > -1e-3)  # right and sure: nothing goes back; else it is to be ignored
            d_y, log_p_y = d.gather(1, y[:, None]).squeeze(1), log_p.gather(1, y[:, None]).squeeze(1)
            if form.outputs == "logits":
                weight = d_y / torch.expm1(log_p_y).clamp(max=-1e-30)
            else:
                weight = -d_y * (log_p_y.exp() if form.outputs == "probabilities" else 1)
            weight = weight.where(used, 0.0) if not form.even else used.to(o.dtype) * (form.scale / len(d))
            own = -(weight * log_p_y).sum()
            by_class = o.new_zeros(o.shape[1]).index_add_(0, y, weight)
        share = by_class / by_class.sum().clamp(min=1e-30)
        self._weights = share * len(o) if self._weights is None else self._weights + share * len(o)
        known = self._weights / self._weights.sum()
        # Frequencies counted on few samples flatter the constant answer (Miller and Madow's correction).
        few = ((self._weights > 0).sum() - 1) / (2 * self._weights.sum())
        constant = by_class.sum() * ((-torch.xlogy(share, known)).sum() + few).clamp(max=math.log(o.shape[1]))
        row.count(columns.at("constant_told"), 1)
        row.count(columns.at("classes_told"), 1)
        answers = torch.zeros_like(share).index_add_(0, o.argmax(1), torch.ones_like(o[:, 0]))
        asked = torch.zeros_like(share).index_add_(0, y, used.to(o.dtype))
        return {
            "own_loss": own,
            "constant_loss": constant,
            "top_answer": answers.max() / len(o),
            "top_target": asked.max() / used.sum().clamp(min=1),
        }

    def _binary(
        self, form: Form, o: Tensor, d: Tensor, row: Row, columns: Columns, loss
    ) -> dict[str, Tensor]:
        used, p = d != 0, (o.sigmoid() if form.outputs == "logits" else o)
        p = p.clamp(1e-7, 1 - 1e-7)
        if form.soft:
            y, weight = (
                (p - d * d.numel() / form.scale).clamp(0, 1),
                used.to(o.dtype) * form.scale / d.numel(),
            )
        else:
            y, weight = (d < 0).to(o.dtype), binary_weight(form.outputs, o, d).where(used, 0.0)
        own = -(weight * (torch.xlogy(y, p) + torch.xlogy(1 - y, 1 - p))).sum()
        # by unit: weights of the zeros and of the ones
        by_unit = torch.stack([(weight * (1 - y)).sum(0), (weight * y).sum(0)])
        share = by_unit / by_unit.sum(0).clamp(min=1e-30)
        self._weights = share * len(o) if self._weights is None else self._weights + share * len(o)
        seen = self._weights.sum(0)
        known = self._weights / seen.clamp(min=1e-30)
        few = ((self._weights > 0).sum(0) - 1).clamp(min=0) / (2 * seen.clamp(min=1))
        entropy = ((-torch.xlogy(share, known)).sum(0) + few).clamp(max=math.log(2))
        found = {"own_loss": own, "constant_loss": (by_unit.sum(0) * entropy).sum()}
        row.count(columns.at("constant_told"), 1)
        if o.shape[1] == 1:
            row.count(columns.at("classes_told"), 1)
            answer, target = (p > 0.5).to(o.dtype).mean(), y.round().mean()
            found |= {
                "top_answer": torch.maximum(answer, 1 - answer),
                "top_target": torch.maximum(target, 1 - target),
            }
        return found

    def _squares(
        self, form: Form, o: Tensor, d: Tensor, row: Row, columns: Columns, loss
    ) -> dict[str, Tensor]:
        used = d != 0
        n = used.sum()
        scale = form.scale
        if (
            scale >= 256 and math.log2(scale).is_integer()
        ):  # that of half precision, which changes as training goes on
            scale = (n * d.square().sum() / (4 * torch.as_tensor(loss).detach().to(d).reshape(()))).sqrt()
        residual = d * (n / (2 * scale))
        y = (o - residual).where(used, 0.0)
        count = used.sum(0).to(o.dtype)
        self._weights = count if self._weights is None else self._weights + count
        self._sums = y.sum(0) if self._sums is None else self._sums + y.sum(0)
        mean = self._sums / self._weights.clamp(min=1)
        # A mean taken of these very targets lies nearer to them than that of all would.
        few = self._weights / (self._weights - 1).clamp(min=1)
        spread = ((y - mean).square().where(used, 0.0) * few).sum()
        for name in ("constant_told", "targets_told"):
            row.count(columns.at(name), 1)
        return {
            "own_loss": scale * residual.square().sum() / n.clamp(min=1),
            "constant_loss": scale * spread / n.clamp(min=1),
            "target_sum": y.sum() / n.clamp(min=1),
            "target_square": y.square().sum() / n.clamp(min=1),
            "target_spread_square": spread / n.clamp(min=1),
        }


def constant_losses(form: Form, raw: dict[str, Tensor]) -> Tensor:
    """What the best constant answer loses on the batch of each record, in the units of the loss that was given, (R,).

    A loss that was scaled on its way back is larger than what was given by one factor. Where a penalty was added, or what was
    given holds more than the outputs explain though nothing is scaled, a constant answer would have to pay that as well.
    """
    loss, own, constant = (raw[name] for name in ("loss", "own_loss", "constant_loss"))
    plain = any(abs(form.scale - n) <= 0.02 * n for n in (1.0, raw["output_entries"][:1].sum().item()))
    more = form.added or (plain and bool(loss[:1].sum() > 1.02 * own[:1].sum()))
    found = loss + constant - own if more else torch.where(own > 0, loss * (constant / own), loss + constant)
    return found.where((raw["constant_told"] > 0) & found.isfinite(), math.nan)


def _strides(shape: torch.Size) -> list[int]:
    """Which samples, tokens or pixels of an output are looked at, so that few enough entries are left: one in so many along each axis."""
    steps, entries = [1] * len(shape), math.prod(shape)
    classes = 1 if len(shape) != 3 or shape[1] >= shape[2] else 2
    for axis in range(len(shape)):
        if entries > ENTRIES and (axis != classes or len(shape) == 1):
            steps[axis] = min(max(1, shape[axis] // 2), -(-entries // ENTRIES))
            entries = entries // shape[axis] * -(-shape[axis] // steps[axis])
    return steps
