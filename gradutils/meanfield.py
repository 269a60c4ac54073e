"""What a random, infinitely wide network does to the size of signals and gradients, layer by layer.

A pre-activation of such a network is Gaussian with second moment q. One layer sends q to the length map
q' = sigma_w^2 E[phi(sqrt(q) z)^2] + sigma_b^2, z ~ N(0, 1), and multiplies the mean squared gradient by
chi_1 = sigma_w^2 E[phi'(sqrt(q) z)^2] on the way back. Everything here follows from these two integrals.

``activation`` is a name in ``ACTIVATIONS`` or any elementwise function; weights are drawn from
N(0, sigma_w^2 / fan_in), biases from N(0, sigma_b^2). Sources: Poole et al. 2016, Schoenholz et al. 2017.
"""

import math
from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from torch import Tensor

from gradutils.models import activation_layer, with_slope

Activation = str | Callable[[Tensor], Tensor]


@cache
def _grid(nodes: int = 128) -> tuple[Tensor, Tensor]:
    """Gauss-Legendre nodes on each side of zero and the Gaussian's weights: no panel crosses a kink at zero."""
    t, w = np.polynomial.legendre.leggauss(nodes)
    u = (t + 1) / 2
    z = 10 * u**3  # beyond 10 lies 1e-23 of the Gaussian; the cube crowds nodes at zero, for large q
    w = w * u**2 * np.exp(-(z**2) / 2)
    w /= 2 * w.sum()
    return torch.tensor(np.concatenate([-z[::-1], z])), torch.tensor(np.concatenate([w[::-1], w]))


def gaussian_mean(function: Callable[[Tensor], Tensor], q=1.0) -> Tensor:
    """E[function(sqrt(q) z)] for z ~ N(0, 1), float64, of the shape of ``q``.

    Exact to about 1e-10 for functions that are smooth on either side of zero, up to q = 1e4, and to 1e-7 up to 1e6.
    """
    z, weights = _grid()
    # A q of zero means its limit: on which side of a kink the argument lies still counts.
    q = torch.as_tensor(q, dtype=torch.float64).clamp(min=1e-30)
    return function(q.sqrt().unsqueeze(-1) * z) @ weights


def mean_square(activation: Activation, q=1.0) -> Tensor:
    """E[phi^2] at pre-activations of second moment q."""
    phi = activation_layer(activation)
    with torch.no_grad():
        return gaussian_mean(lambda x: phi(x) ** 2, q)


def mean_square_slope(activation: Activation, q=1.0) -> Tensor:
    """E[phi'^2] at pre-activations of second moment q."""
    phi = activation_layer(activation)
    return gaussian_mean(lambda x: with_slope(phi, x)[1] ** 2, q)


def length_map(activation: Activation, q, sigma_w, sigma_b=0.0) -> Tensor:
    """The next layer's second moment of the pre-activations; all numbers may be tensors and broadcast."""
    q, sigma_w, sigma_b = _checked(q, sigma_w, sigma_b)
    return sigma_w**2 * mean_square(activation, q) + sigma_b**2


def q_trajectory(activation: Activation, sigma_w, sigma_b=0.0, q0=1.0, depth: int = 50) -> Tensor:
    """The second moment of the pre-activations, starting from ``q0``, over ``depth`` layers: (depth + 1,).

    Where the arguments are tensors their common shape follows: (depth + 1, ...).
    """
    q, sigma_w, sigma_b = torch.broadcast_tensors(*_checked(q0, sigma_w, sigma_b))
    trajectory = [q]
    for _ in range(depth):
        trajectory.append(length_map(activation, trajectory[-1], sigma_w, sigma_b))
    return torch.stack(trajectory)


def fixed_point(activation: Activation, sigma_w: float, sigma_b: float = 0.0) -> float:
    """The second moment at which a trajectory that starts from 1 settles; 0 and infinity are possible answers."""
    exponents = torch.linspace(-10, 10, 81, dtype=torch.float64)  # of ten; the middle one is q = 1
    growth = length_map(activation, 10**exponents, sigma_w, sigma_b) / 10**exponents - 1
    middle = len(exponents) // 2
    if abs(growth[middle]) < 1e-12:
        return 1.0
    up = bool(growth[middle] > 0)
    path = range(middle, len(exponents)) if up else range(middle, -1, -1)
    beyond = next((k for k in path if bool(growth[k] > 1e-14) != up), None)
    if beyond is None:
        return math.inf if up else 0.0
    low, high = sorted((float(exponents[beyond]), float(exponents[beyond - 1 if up else beyond + 1])))
    return 10 ** _first(lambda e: length_map(activation, 10**e, sigma_w, sigma_b) <= 10**e, low, high)


def _first(true: Callable[[Tensor], Tensor], low: float, high: float) -> float:
    """Where ``true``, false at ``low``, becomes true on the way to ``high``: 33 points at a time, to 1e-9 of the bracket."""
    for _ in range(6):
        points = torch.linspace(low, high, 33, dtype=torch.float64)
        k = max(int(true(points).int().argmax()), 1)
        low, high = float(points[k - 1]), float(points[k])
    return (low + high) / 2


def chi_1(activation: Activation, sigma_w, sigma_b=0.0, q=None):
    """The factor by which one layer multiplies the mean squared gradient: above 1 it explodes, below 1 it vanishes.

    ``q`` is the second moment of the pre-activations; without one it is that of the fixed point. A float, or a tensor
    where a tensor was given. Source: Poole et al. 2016.
    """
    if q is None:
        q = min(fixed_point(activation, sigma_w, sigma_b), 1e10)
    q, weight, _ = _checked(q, sigma_w, sigma_b)
    chi = weight**2 * mean_square_slope(activation, q)
    return chi if chi.ndim else chi.item()


def predicted_gradient_profile(
    activation: Activation, depth: int, sigma_w: float, sigma_b: float = 0.0, q0: float = 1.0
) -> Tensor:
    """The RMS of delta = dL/dz in each of ``depth`` hidden layers, relative to the last: (depth,), ending in 1.

    ``q0`` is the mean square of the network's inputs; no activation precedes the first layer, whose pre-activations
    therefore have second moment sigma_w^2 q0 + sigma_b^2. The product runs along the trajectory of q at finite depth and
    not at its fixed point, which near criticality no real network reaches.
    """
    if depth < 1:
        raise ValueError(f"depth must be 1 or more; got {depth!r}")
    _checked(q0, sigma_w, sigma_b)
    q = q_trajectory(activation, sigma_w, sigma_b, sigma_w**2 * q0 + sigma_b**2, depth - 1)
    log_chi = torch.as_tensor(chi_1(activation, sigma_w, sigma_b, q[:-1])).log()
    return torch.cat([log_chi.flip(0).cumsum(0).flip(0).div(2).exp(), torch.ones(1, dtype=torch.float64)])


def critical_sigma_w(activation: Activation, sigma_b: float = 0.0) -> float:
    """The sigma_w at which gradients keep their size: chi_1 = 1 where a trajectory from q = 1 settles.

    Both conditions hold where sigma_w^2 = 1 / E[phi'^2] and q - E[phi^2] / E[phi'^2] = sigma_b^2, an equation in q
    alone. (ReLU with biases has no fixed point, but chi_1 = 1 everywhere at sqrt(2).)
    Raises ValueError where no stable point solves it, as for GELU, SiLU and softplus.
    """
    _checked(1.0, 1.0, sigma_b)

    def excess(q):
        """The sigma_b^2 that q asks for, less the one given, in units of q."""
        return 1 - mean_square(activation, q) / mean_square_slope(activation, q) / q - sigma_b**2 / q

    exponents = torch.linspace(-8, 8, 129, dtype=torch.float64)
    values = excess(10**exponents)
    crossing = next(iter(torch.nonzero((values[:-1] < -1e-12) & (values[1:] >= 0)).ravel().tolist()), None)
    if sigma_b == 0 and (values.abs() < 1e-9).all():  # homogeneous, as ReLU is: every q solves it
        q = 1.0
    elif crossing is not None:
        bracket = float(exponents[crossing]), float(exponents[crossing + 1])
        q = 10 ** _first(lambda e: excess(10**e) >= 0, *bracket)
    else:
        q = 0.0
    sigma_w = float(mean_square_slope(activation, q)) ** -0.5
    if abs(chi_1(activation, sigma_w, sigma_b) - 1) > 1e-6:
        raise ValueError(
            f"{activation!r} with sigma_b = {sigma_b!r} has no stable point at which gradients keep their size"
        )
    return sigma_w


def depth_scale(activation: Activation, sigma_w: float, sigma_b: float = 0.0) -> float:
    """The number of layers over which the mean squared gradient changes by a factor e: 1 / |ln chi_1|, infinite at criticality.

    Source: Schoenholz et al. 2017.
    """
    chi = chi_1(activation, sigma_w, sigma_b)
    rate = abs(math.log(chi)) if chi > 0 else math.inf
    return 1 / rate if rate > 1e-9 else math.inf


def _checked(q, sigma_w, sigma_b) -> tuple[Tensor, Tensor, Tensor]:
    tensors = tuple(torch.as_tensor(value, dtype=torch.float64) for value in (q, sigma_w, sigma_b))
    for name, tensor in zip(("q", "sigma_w", "sigma_b"), tensors, strict=True):
        if not bool((tensor >= 0).all()):  # also false for NaN
            raise ValueError(f"{name} must be 0 or more; got {tensor.tolist()!r}")
    return tensors


PLACES = ("none", "pre", "post")  # where a residual block normalises


def predicted_residual_profile(depth: int, *, scale: float = 1.0, norm: str = "none") -> Tensor:
    """What `residual_profile` should be for endless width, relative to the end: (depth + 1,), ending in 1, float64.

    A branch adds scale^2 times the mean square of what enters it. So the squared gradient grows by 1 + scale^2 a block without
    normalisation; by 1 + scale^2 / q with the normalisation before the branch, where q is the mean square of h, which is
    1 + scale^2 times the number of blocks before; and not at all with the normalisation after the sum.
    """
    check_blocks(depth, scale, norm)
    blocks = torch.arange(depth, dtype=torch.float64)
    if norm == "none":
        factors = torch.full((depth,), 1 + scale**2, dtype=torch.float64)
    else:
        factors = 1 + scale**2 / (1 + scale**2 * blocks) if norm == "pre" else torch.ones_like(blocks)
    return torch.cat([factors.flip(0).cumprod(0).flip(0).sqrt(), torch.ones(1, dtype=torch.float64)])


def check_blocks(depth: int, scale: float, norm: str) -> None:
    """Raises ValueError for residual networks that there cannot be."""
    if norm not in PLACES:
        raise ValueError(f"norm must be one of {', '.join(PLACES)}; got {norm!r}")
    if depth < 1 or not 0 <= scale < float("inf"):
        raise ValueError(
            f"depth must be 1 or more and scale a finite number, 0 or more; got {depth!r}, {scale!r}"
        )
