"""Signals and gradients through many random networks at once.

Networks that differ only in sigma_w, sigma_b or depth share their random draws: a weight is sigma_w times a standard
draw, and a shallow network is the foot of a deep one. So one product with a draw serves all of them, and a figure over
180 networks costs milliseconds. Sharing also makes the comparison fair: the same luck in every arm.

Every network reads inputs of mean square 1, has hidden layers of one width with weights N(0, sigma_w^2 / width) and
biases N(0, sigma_b^2), and ends in a random linear readout; its loss is a random linear function of the outputs,
averaged over the batch. ``activation`` is a name in ``ACTIVATIONS`` or any elementwise function.
"""

from collections.abc import Callable, Sequence
from numbers import Integral
from typing import NamedTuple

import torch
from torch import Tensor

from gradutils.meanfield import check_blocks
from gradutils.models import activation_layer, with_slope

OUTPUTS = 10
AT_ONCE = 4_000_000  # entries of weights and of their gradients


class Draws(NamedTuple):
    """Standard normal draws for ``S`` seeds; scaled, they are the weights of every network of an experiment."""

    x: Tensor  # (S, B, n), each row scaled to mean square 1
    weights: Tensor  # (S, depth, n, n), to be multiplied by sigma_w / sqrt(n)
    biases: Tensor  # (S, depth, n), to be multiplied by sigma_b
    readout: Tensor  # (S, 10, n), to be multiplied by sigma_w / sqrt(n)
    direction: Tensor  # (S, B, 10): the loss is the mean over the batch of <direction, outputs>


class GradientProfile(NamedTuple):
    """What a batch of random networks does, layer by layer; (sigmas, seeds, depth).

    With several depths a first axis counts them, and NaN stands beyond the last layer of each.
    """

    delta: Tensor  # RMS of dL/dz over the batch and the units
    weight_grad: Tensor  # Frobenius norm of dL/dW
    q: Tensor  # mean square of the pre-activations z


def draw(seeds: int | Sequence[int], depth: int, width: int, batch: int, dtype=torch.float32) -> Draws:
    """The draws of so many seeds, 0, 1, ..., or of those given: the draws of a seed do not depend on the others."""
    numbers = range(seeds) if isinstance(seeds, Integral) else seeds
    shapes = (batch, width), (depth, width, width), (depth, width), (OUTPUTS, width), (batch, OUTPUTS)
    drawn = [torch.empty(len(numbers), *shape, dtype=dtype) for shape in shapes]
    for k, seed in enumerate(numbers):
        generator = torch.Generator().manual_seed(seed)
        for into in drawn:
            into[k] = torch.randn(into.shape[1:], generator=generator, dtype=dtype)
    x, *others = drawn
    return Draws(x / x.square().mean(-1, keepdim=True).sqrt(), *others)


def gradient_profile(
    depth: int | Sequence[int],
    width: int,
    activation: str | Callable,
    sigma_w: float | Sequence[float],
    *,
    sigma_b: float = 0.0,
    seeds: int = 10,
    batch: int = 32,
    dtype: torch.dtype = torch.float32,
) -> GradientProfile:
    """Forward and backward through every combination of sigma_w, seed and depth, in one batched pass.

    Several depths give a first axis. Both gradients are recorded because they tell different stories: under ReLU the
    norm of dL/dW is about the same in every layer, and only delta = dL/dz shows the growth.

    Raises ValueError unless depths, width, seeds and batch are 1 or more and the sigmas are not negative.
    """
    single = isinstance(depth, Integral)
    depths = [depth] if single else list(depth)
    sigmas = torch.as_tensor(sigma_w, dtype=dtype).reshape(-1)
    if not depths or min([*depths, width, seeds, batch]) < 1 or not ((sigmas >= 0).all() and sigma_b >= 0):
        raise ValueError(
            "depths, width, seeds and batch must be 1 or more and the sigmas not negative; got "
            f"depth={depth!r}, width={width}, seeds={seeds}, batch={batch}, sigma_w={sigma_w!r}, sigma_b={sigma_b!r}"
        )
    # A few seeds at a time: what is held of all would fill hundreds of megabytes.
    few = max(1, AT_ONCE // (width**2 * (max(depths) + len(sigmas) * len(depths))))
    phi, parts = activation_layer(activation), []
    for first in range(0, seeds, few):
        draws = draw(range(first, min(first + few, seeds)), max(depths), width, batch, dtype)
        parts.append(_profile(draws, depths, phi, sigmas, sigma_b))
    profile = GradientProfile(*(torch.cat(values, 2) for values in zip(*parts, strict=True)))
    return GradientProfile(*(values[0] for values in profile)) if single else profile


def _profile(
    draws: Draws, depths: list[int], phi: Callable[[Tensor], Tensor], sigmas: Tensor, sigma_b: float
) -> GradientProfile:
    """`gradient_profile` of these draws; (depths, sigmas, seeds, depth)."""
    x, weights, biases, readout, direction = draws
    (seeds, batch, width), dtype, deepest, count = x.shape, x.dtype, max(depths), len(sigmas)
    gain = (sigmas / width**0.5).view(1, count, 1, 1)  # the factor that turns a draw into a weight

    def through(rows: Tensor, matrix: Tensor) -> Tensor:  # (S, ..., n) @ (S, n, m) -> (S, ..., m)
        return (rows.flatten(1, -2) @ matrix).view(*rows.shape[:-1], matrix.shape[-1])

    activations, slopes, q = [x.unsqueeze(1).expand(-1, count, -1, -1)], [], []
    for k in range(deepest):
        z = gain * through(activations[-1], weights[:, k].mT)
        if sigma_b:
            z = z + sigma_b * biases[:, k].view(seeds, 1, 1, width)
        q.append(z.square().mean((2, 3)))
        h, slope = with_slope(phi, z)  # (S, sigmas, B, n)
        activations.append(h)
        slopes.append(gain * slope)  # on the way back every slope follows a weight

    shape = (seeds, count, len(depths), deepest)
    delta_rms, weight_grad = (torch.full(shape, torch.nan, dtype=dtype) for _ in range(2))
    start = (direction @ readout / batch).view(seeds, 1, batch, 1, width).expand(-1, count, -1, -1, -1)
    alive, grad = [], start[:, :, :, :0]  # dL/dh over gain, of the networks begun so far, deepest first
    for k in reversed(range(deepest)):
        beginning = [i for i in range(len(depths)) if depths[i] == k + 1]
        if beginning:
            alive += beginning
            grad = torch.cat([grad] + [start] * len(beginning), 3)
        delta = grad * slopes[k].unsqueeze(3)  # (S, sigmas, B, alive, n)
        delta_rms[:, :, alive, k] = delta.square().mean((2, 4)).sqrt()
        dW = delta.flatten(3).mT @ activations[k]  # (S, sigmas, alive * n, n)
        weight_grad[:, :, alive, k] = dW.view(seeds, count, len(alive), -1).norm(dim=3)
        if k:
            grad = through(delta, weights[:, k])
    inside = torch.arange(deepest) < torch.tensor(depths).unsqueeze(1)  # (depths, depth)
    q = torch.stack(q, -1).unsqueeze(2).where(inside, torch.nan)
    return GradientProfile(*(values.permute(2, 1, 0, 3) for values in (delta_rms, weight_grad, q)))


class PhaseDiagram(NamedTuple):
    """Measured growth of gradients and signals over a grid; (sigma_bs, sigma_ws)."""

    chi: Tensor  # factor by which one layer multiplies the mean squared gradient
    q: Tensor  # mean square of the pre-activations in the last layer


def phase_diagram(
    activation: str | Callable,
    sigma_ws: Sequence[float],
    sigma_bs: Sequence[float],
    *,
    width: int = 64,
    depth: int = 40,
    seeds: int = 1,
) -> PhaseDiagram:
    """chi_1 as measured in finite networks: the growth of a random tangent over the second half of the layers.

    A tangent pushed forward meets the same Jacobian as a gradient pulled back and grows by the same factor; it needs no
    memory of the forward pass. Geometric mean over the seeds.
    """
    ws, bs = (torch.as_tensor(values, dtype=torch.float32).reshape(-1) for values in (sigma_ws, sigma_bs))
    if min(len(ws), len(bs), width, seeds) < 1 or depth < 2 or not ((ws >= 0).all() and (bs >= 0).all()):
        raise ValueError(
            "sigma_ws and sigma_bs must be non-empty and not negative, width and seeds 1 or more, depth 2 or more; got "
            f"{len(ws)} and {len(bs)} values, width={width}, seeds={seeds}, depth={depth}"
        )
    phi = activation_layer(activation)
    x, weights, biases, _, _ = draw(seeds, depth, width, 1)
    gain = ws.repeat(len(bs)).unsqueeze(1) / width**0.5  # (G, 1), the grid row by row
    bias = bs.repeat_interleave(len(ws)).unsqueeze(1)
    h = x.expand(-1, len(gain), -1)  # (S, G, n)
    tangent, log_growth = torch.ones_like(h) / width**0.5, torch.zeros(seeds, len(gain))
    for k in range(depth):
        z = gain * (h @ weights[:, k].mT)
        if bias.any():
            z = z + bias * biases[:, k].unsqueeze(1)
        h, slope = with_slope(phi, z)
        tangent = slope * gain * (tangent @ weights[:, k].mT)
        size = tangent.norm(dim=2)
        tangent = tangent / size.clamp(min=1e-30).unsqueeze(2)
        if k >= depth // 2:
            log_growth += size.log()
    chi = (2 * log_growth / (depth - depth // 2)).mean(0).exp()
    q = z.square().mean((0, 2))
    return PhaseDiagram(chi.view(len(bs), len(ws)), q.view(len(bs), len(ws)))


def rotations(gaussian: Tensor) -> Tensor:
    """Random orthogonal matrices from Gaussian ones, every rotation equally likely: (..., n, n) -> the same."""
    q, r = torch.linalg.qr(gaussian)
    return q * r.diagonal(dim1=-2, dim2=-1).sign().unsqueeze(-2)


def _rms_normed(h: Tensor) -> Tensor:
    return h / h.square().mean(-1, keepdim=True).sqrt()


def residual_profile(
    depth: int,
    width: int = 64,
    *,
    scale: float = 1.0,
    norm: str = "none",
    path: float = 1.0,
    seeds: int = 10,
    batch: int = 16,
) -> Tensor:
    """RMS of the gradient at the entrance of each block and at the end, (seeds, depth + 1), in random residual networks.

    A block adds a branch f(h) = scale * W relu(h) with He weights: h + f(h) for ``norm`` "none", h + f(n(h)) for "pre" and
    n(h + f(h)) for "post", where n divides each row by its root mean square. h on the path is multiplied by ``path``, so
    that 0 leaves a plain network. The inputs have mean square 1; the loss is a random linear function of what leaves the
    last block.

    Raises ValueError for an unknown ``norm``, or unless depth is 1 or more and scale is 0 or more.
    """
    check_blocks(depth, scale, norm)
    draws = draw(seeds, depth, width, batch)
    h, entrances = draws.x.clone().requires_grad_(), []
    for W in draws.weights.unbind(1):
        entrances.append(h)
        inner = _rms_normed(h) if norm == "pre" else h
        h = path * h + scale * (2 / width) ** 0.5 * torch.relu(inner) @ W.mT
        h = _rms_normed(h) if norm == "post" else h
    entrances.append(h)
    direction = (draws.direction @ draws.readout).detach()
    grads = torch.autograd.grad((h * direction).sum(), entrances)
    return torch.stack([g.square().mean((1, 2)).sqrt() for g in grads], 1)
