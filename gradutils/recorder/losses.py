"""Which loss it is, and whether the model's outputs fit it: told by the outputs and by the gradient that reached them.

The gradient of a cross entropy is (softmax - targets) times a weight, that of a squared error 2 (output - target) over their
number: targets and weights can be read off it, whoever wrote the loss, and in whatever precision, scaled or detached it is. What
autograd's graph says of the loss, where it is there, decides between what a gradient leaves open.

A function mode of torch would see the loss being called, arguments and all. But whoever leaves a mode of their own while ours is
on ends ours in its place, and some layers compute otherwise under any mode: training would no longer be the same bit for bit.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gradutils.recorder.torch_inside import LossNode

CROSS, BINARY, SQUARED = "cross entropy", "binary cross entropy", "squared error"
ABSOLUTE, LIKELIHOOD, UNKNOWN = "absolute error", "negative log likelihood", "unknown"
# What the last operation of a model can give.
REACH = {
    "Sigmoid": (0.0, 1.0),
    "Softmax": (0.0, 1.0),
    "Tanh": (-1.0, 1.0),
    "Relu": (0.0, math.inf),
}
OUT_OF_REACH = 0.1  # share of the targets


@dataclass(frozen=True)
class Form:
    """How a loss is read: its kind, and in which form the outputs come."""

    kind: str = UNKNOWN
    outputs: str = ""  # of entropies: "logits", "log-probabilities" or "probabilities"
    soft: bool = False  # targets between the classes
    even: bool = False  # all samples weigh the same
    classes: int | None = None  # the dimension of the outputs in which they stand
    scale: float = math.nan  # what the mean loss was multiplied by on its way back
    added: bool = False  # something else was added to it
    misfit: str = ""


def arranged(tensor: Tensor, classes: int | None) -> Tensor:
    """(samples, units) or, where there are classes, (samples, classes)."""
    if classes is not None:
        return tensor.movedim(classes, -1).flatten(0, -2)
    if tensor.ndim == 2:
        return tensor
    return (
        tensor.flatten(0, 1)
        if tensor.ndim == 3
        else tensor.flatten(1)
        if tensor.ndim > 1
        else tensor.reshape(-1, 1)
    )


@torch.no_grad()
def recognise(loss: float, node: LossNode, tail: str, out: Tensor, delta: Tensor) -> Form:
    """The form of a loss. ``tail`` is the last operation of the model, as autograd names it; "" if it has none."""
    # How equal equal numbers are.
    close = max(1e-4, *(2 * torch.finfo(tensor.dtype).eps for tensor in (out, delta)))
    if not delta.any():
        one = out.ndim > 1 and out.shape[-1] == 1 and node.kind == CROSS
        return (
            Form(CROSS, misfit="a cross entropy over one class is 0 whatever the output is")
            if one
            else Form(node.kind)
        )
    if node.expanded:
        return _repeated(node.kind, out)
    if (
        tail == "Softmax"
        and out.ndim == 2
        and len(out) > 1
        and _sums_to_one(out, 0)
        and not _sums_to_one(out, 1)
    ):
        return Form(
            node.kind,
            misfit="the outputs are a softmax over the samples instead of the classes: they sum to 1 over the batch",
        )
    o, d = out.double(), delta.double()
    classes = _classes(d, close)
    if classes is not None and node.kind not in (SQUARED, BINARY, ABSOLUTE):
        found = _softmax(loss, node, tail, arranged(o, classes), arranged(d, classes), classes, close)
        if found.kind != UNKNOWN or node.kind == UNKNOWN:
            return replace(found, added=found.added or node.added)
    if node.kind == CROSS and node.added and classes is None and out.ndim > 1:
        classes = out.ndim - 1 if out.ndim == 3 and out.shape[2] >= out.shape[1] else 1
        logs = bool((o.logsumexp(classes).abs() < 10 * close).all())
        form = Form(CROSS, "log-probabilities" if logs else "logits", even=True, classes=classes, added=True)
        return replace(form, scale=float(arranged(o, classes).shape[0]) if node.summed else 1.0)
    candidates = [lambda: _log_probabilities(loss, node, o, d, close)]
    o2, d2 = arranged(o, None), arranged(d, None)
    elementwise = {
        BINARY: lambda: _binary(node, tail, o2, d2, close),
        SQUARED: lambda: _squared(loss, node, tail, o2, d2, close),
        ABSOLUTE: lambda: _absolute(d2, close),
    }
    if node.kind in elementwise:
        candidates = [elementwise[node.kind]]
    elif _alike_targets(o2, d2, d2.numel(), loss, max(1e-3, close)):
        candidates = [elementwise[SQUARED]]
    else:
        candidates += elementwise.values()
    for candidate in candidates:
        found = candidate()
        if found.kind != UNKNOWN:
            return replace(found, added=found.added or node.added)
    return Form(node.kind if node.kind in (ABSOLUTE, LIKELIHOOD) else UNKNOWN, added=node.added)


def _told_share(close: float) -> float:
    """How large a gradient must be beside the largest so that rounding leaves it its meaning."""
    return 0.01 if close < 1e-3 else 0.1


def _classes(d: Tensor, close: float) -> int | None:
    """Where the classes stand: softmax minus targets sums to zero over them."""
    sums = {
        k: (d.sum(k).abs().max() / d.abs().sum(k).max()).item() for k in range(1, d.ndim) if d.shape[k] > 1
    }
    zero = {k: s for k, s in sums.items() if s < close}
    return min(zero, key=zero.get) if zero else None


def _softmax(
    loss: float, node: LossNode, tail: str, o: Tensor, d: Tensor, classes: int, close: float
) -> Form:
    """A cross entropy that takes a softmax of the outputs."""
    used = d.abs().amax(1) > 0
    p, d, o = o[used].softmax(1), d[used], o[used]
    # Of an answer that is right and sure hardly anything goes back, and that is rounded.
    told = -d.amin(1) > _told_share(close) * d.abs().max()
    slopes, shares = d[told], p[told]
    rows, y = torch.arange(len(slopes), device=p.device), slopes.argmin(1)
    weight = -slopes[rows, y] / (1 - shares[rows, y])
    others = (slopes - weight.unsqueeze(1) * shares).abs()
    others[rows, y] = 0
    hard = (others.sum(1) / slopes.abs().sum(1)).quantile(0.9).item() < 5 * close
    misfit = _no_logits(tail, o)
    if hard:
        # Of one class all weigh the same; where they do not, as with rewards, a lower loss is no better answer.
        by_class = [weight[y == k] for k in y.unique()]
        if not all(len(g) < 2 or _alike(g, 5 * close) for g in by_class):
            return Form()
        even = _alike(weight, 5 * close)
        scale = weight.median().item() * len(used) if even else weight.sum().item()
        return Form(CROSS, "logits", even=even, classes=classes, scale=scale, misfit=misfit)
    # The gradient is scale * (p - targets) / samples, so a loss that was scaled itself is scale * mean entropy(p) + sum(d * o); one
    # that was scaled on its way back only is that over the scale. A divergence lacks the targets' own entropy.
    entropy, moved = torch.special.entr(p).sum(1).mean().item(), (d * o).sum().item()
    asked = loss - entropy
    candidates = [((loss - moved) / entropy, False), (moved / asked if asked else -1.0, False)]
    if node.log_softmax:
        candidates += [(1 / p.shape[1], True), (1.0, True), (float(len(d)), True)]
    for scale, added in candidates:
        targets = p - d * len(d) / scale if scale > 0 else p - torch.inf
        if (
            targets.min() > -0.05
            and targets.max() < 1.05
            and nice(scale, len(d), p.shape[1], max(0.03, close))
        ):
            return Form(CROSS, "logits", soft=True, classes=classes, scale=scale, added=added, misfit=misfit)
    return Form()


def _sums_to_one(out: Tensor, dim: int) -> bool:
    return bool(((out.double().sum(dim) - 1).abs() < 1e-2).all())


def _no_logits(tail: str, o: Tensor) -> str:
    """Outputs that are no logits: probabilities already, or cut off."""
    if o.min() >= 0 and o.max() <= 1 + 1e-6:
        for dim, over in ((1, ""), (0, " over the samples instead of the classes")):
            if o.shape[dim] > 1 and _sums_to_one(o, dim):
                return f"the outputs are probabilities already (they sum to 1{over}), and the loss takes a softmax of them once more"
    if tail in ("Sigmoid", "Tanh", "Relu"):
        low, high = REACH[tail]
        reach = f"{low:g} and {high:g}" if math.isfinite(high) else f"{low:g} and more"
        return f"the outputs end in {tail}, which gives {reach} only, and the loss takes a softmax of them as of free logits"
    return ""


def _log_probabilities(loss: float, node: LossNode, o: Tensor, d: Tensor, close: float) -> Form:
    """A loss that picks one output of each sample: right for logarithms of probabilities."""
    for classes in (k for k in range(1, d.ndim) if d.shape[k] > 1):
        o2, d2 = arranged(o, classes), arranged(d, classes)
        if (d2 > 0).any():
            continue
        scale, logs = -d2.sum().item(), (o2.logsumexp(1).abs() < 10 * close).all()
        if ((d2 != 0).sum(1) > 1).any():
            if logs:  # a divergence from the targets, which lacks their own entropy
                return Form(CROSS, "log-probabilities", soft=True, classes=classes, scale=scale, added=True)
            continue
        if logs:
            return Form(CROSS, "log-probabilities", classes=classes, scale=scale)
        sums = (o2.min() >= 0) and _sums_to_one(o2, 1)
        if sums and loss > 0:
            picked = -(d2.sum(1) * o2.gather(1, d2.argmin(1, keepdim=True)).squeeze(1))
            return Form(CROSS, "probabilities", classes=classes, scale=picked.sum().item())
        if node.kind == CROSS:
            what = "probabilities without their logarithm" if sums else "no logarithms of probabilities"
            return Form(
                LIKELIHOOD,
                scale=scale,
                misfit=f"nll_loss picks one output of each sample, and the outputs are {what}",
            )
    return Form()


def _binary(node: LossNode, tail: str, o: Tensor, d: Tensor, close: float) -> Form:
    """A cross entropy of each output by itself."""
    entries, large = int((d != 0).sum()), d.abs() > _told_share(close) * d.abs().max()
    o, d = o[large], d[large]
    y = d < 0
    for outputs in ("logits", "probabilities"):
        if outputs == "probabilities" and (o.min() < 0 or o.max() > 1):
            continue
        weight = binary_weight(outputs, o, d)
        groups = [weight[y], weight[~y]]
        if all(len(g) < 2 or _alike(g, 5 * close) for g in groups) and len(weight) > 2:
            if node.kind == UNKNOWN and outputs == "logits" and o.abs().max() < 1e-3:
                continue  # all sigmoids are one half: an absolute error looks the same
            misfit = ""
            if outputs == "logits" and tail in ("Sigmoid", "Softmax", "Relu"):
                misfit = f"the outputs end in {tail}, and the loss takes a sigmoid of them once more"
            return Form(BINARY, outputs, scale=weight.mean().item() * entries, misfit=misfit)
    if node.kind == BINARY and node.logits:
        targets = o.sigmoid() - d * (1 if node.summed else entries)
        beyond = ((targets < -0.02) | (targets > 1.02)).double().mean().item()
        misfit = (
            f"{beyond:.0%} of the targets of a binary cross entropy lie outside of 0 and 1"
            if beyond > OUT_OF_REACH
            else ""
        )
        return Form(BINARY, "logits", soft=True, scale=entries if node.summed else 1.0, misfit=misfit)
    return Form(BINARY) if node.kind == BINARY else Form()


def binary_weight(outputs: str, o: Tensor, d: Tensor) -> Tensor:
    """By what each entry of a binary cross entropy was multiplied, its target being 1 where its gradient is negative."""
    if outputs == "logits":
        p = o.sigmoid()
        return torch.where(d < 0, -d / (1 - p).clamp(min=1e-12), d / p.clamp(min=1e-12))
    return torch.where(d < 0, -d * o, d * (1 - o))


def _alike(values: Tensor, close: float) -> bool:
    low, high = torch.quantile(
        values[:100_000], torch.tensor([0.1, 0.9], dtype=values.dtype, device=values.device)
    )
    return (high - low).item() <= close * high.abs().item()


def _squared(loss: float, node: LossNode, tail: str, o: Tensor, d: Tensor, close: float) -> Form:
    """A squared error, or half of one."""
    used = d != 0
    n, square = int(used.sum()), d.square().sum().item()
    if not (loss > 0 and math.isfinite(loss) and square > 0):
        return Form(node.kind if node.kind == SQUARED else UNKNOWN)
    scale = n * square / (4 * loss)
    if scale > 2**16:  # that of half precision: what went back was scaled, and what is given is not
        scale = scale**0.5
    spread = _alike_targets(o, d, n, loss, max(1e-3, close))
    if spread:
        return _repeated(SQUARED, o)
    if node.added and node.kind == SQUARED:
        scale = float(n) if node.summed else 1.0
    more = node.added
    if not nice(scale, n, len(o), close):
        scale, more = float(n) if node.summed else 1.0, True
        if node.kind != SQUARED or n * square / (4 * scale) > loss:  # nothing that was added explains it
            return Form(node.kind if node.kind == SQUARED else UNKNOWN)
    y, misfit = (o - d * n / (2 * scale))[used], ""
    if tail in REACH:
        low, high = REACH[tail]
        room = 0.05 * (high - low if math.isfinite(high) else y.std().item())
        beyond = ((y < low - room) | (y > high + room)).double().mean().item()
        if beyond > OUT_OF_REACH:
            misfit = (
                f"the outputs end in {tail}, and {beyond:.0%} of the targets lie outside of what that gives"
            )
    return Form(SQUARED, scale=scale, added=more, misfit=misfit)


def _repeated(kind: str, out: Tensor) -> Form:
    shape, middle = tuple(out.shape), "mean" if kind == SQUARED else "median"
    return Form(
        kind,
        misfit=f"outputs of shape {shape} are compared with targets of another shape, so that each meets every target: all are "
        f"pulled to the targets' {middle}",
    )


def _alike_targets(o: Tensor, d: Tensor, n: int, loss: float, close: float) -> bool:
    """Whether the gradient pulls all outputs to one number, and yet leaves a loss there: the targets were spread out."""
    residual = d * n / 2
    y = o - residual
    left = loss - residual.square().mean().item()
    if len(o) < 3 or o.shape[1] > 1 or not loss > 0 or not o.std().item() > 0.1 * close * loss**0.5:
        return False
    return y.std().item() < close * loss**0.5 and left > 0.02 * loss


def _absolute(d: Tensor, close: float) -> Form:
    sizes = d[d != 0].abs()
    return Form(ABSOLUTE, scale=sizes.sum().item()) if len(sizes) > 2 and _alike(sizes, close) else Form()


def nice(scale: float, entries: int, samples: int, close: float) -> bool:
    """Whether people multiply a mean by such a number: a half, a whole number, a power of two, a count, or one over these."""
    if not (math.isfinite(scale) and scale > 0):
        return False
    whole = max(scale, 1 / scale)
    nearest = max(1, round(whole))
    if nearest <= 64 and abs(whole - nearest) <= close * nearest:
        return True
    power = 2.0 ** round(math.log2(scale))
    counts = (entries, samples, entries / samples, entries / 2, samples / 2, power)
    return any(abs(scale - count) <= close * count for count in counts)
