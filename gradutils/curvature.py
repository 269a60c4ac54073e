"""The curvature of a loss: products with its Hessian, and the largest eigenvalue by Lanczos.

The Hessian itself is never built. Differentiating the gradient along v gives H v at about the price of two more
backward passes, and the graph of the gradient is built once and kept for all products.
"""

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor


def hessian_vector_product(loss: Tensor, parameters: Iterable[Tensor]) -> Callable[[Tensor], Tensor]:
    """The function v -> H v, with H the Hessian of a 0-d loss with respect to the parameters taken as one vector (P,).

    Parameters that the loss does not depend on count as zeros. Raises ValueError unless the loss is a 0-d tensor with a
    graph. Source: Pearlmutter 1994.
    """
    parameters = list(parameters)
    if loss.ndim or not loss.requires_grad:
        raise ValueError(
            "loss must be a 0-d tensor computed from the parameters, before backward(); "
            f"got shape {tuple(loss.shape)}, requires_grad={loss.requires_grad}"
        )
    if not parameters:
        raise ValueError("parameters must hold at least one tensor; got none")
    grads = torch.autograd.grad(loss, parameters, create_graph=True, allow_unused=True)
    # those in which the loss is not linear
    used = [k for k, g in enumerate(grads) if g is not None and g.requires_grad]
    some = [parameters[k] for k in used]
    sizes = [p.numel() for p in parameters]

    def product(v: Tensor) -> Tensor:  # (P,) -> (P,)
        pieces = v.split(sizes)
        along = [pieces[k].view_as(p) for k, p in zip(used, some, strict=True)]
        found = [None] * len(parameters)
        if used:
            gradients = [grads[k] for k in used]
            out = torch.autograd.grad(gradients, some, along, retain_graph=True, allow_unused=True)
            for k, part in zip(used, out, strict=True):
                found[k] = part
        flat = [
            torch.zeros_like(p) if part is None else part for p, part in zip(parameters, found, strict=True)
        ]
        return torch.cat([part.reshape(-1) for part in flat])

    return product


def lanczos(product: Callable[[Tensor], Tensor], start: Tensor, steps: int = 20) -> Tensor:
    """Eigenvalue estimates of the symmetric matrix behind ``product`` after that many products: ascending, float64.

    The ends of the spectrum come first and to most digits; every vector is orthogonalised twice against all before it,
    or rounding would bring back the ones already found. ``start`` is a vector (P,) that is not zero. Fewer values come back
    where the matrix has no more.
    """
    if steps < 1 or start.ndim != 1 or not start.any():
        raise ValueError(
            f"steps must be 1 or more and start a vector that is not zero; got {steps!r}, {tuple(start.shape)}"
        )
    basis = torch.empty(min(steps, len(start)), len(start), dtype=start.dtype, device=start.device)
    v, diagonal, beside = start / start.norm(), [], []
    for k in range(len(basis)):
        basis[k] = v
        w = product(v)
        diagonal.append((w @ v).item())
        for _ in range(2):
            w = w - (basis[: k + 1] @ w) @ basis[: k + 1]
        beside.append(w.norm().item())
        if not beside[-1] > 1e-6 * max(map(abs, diagonal)):  # the space is exhausted, or all is NaN
            break
        v = w / beside[-1]
    if not math.isfinite(sum(diagonal) + sum(beside)):
        return torch.full((len(diagonal),), torch.nan, dtype=torch.float64)
    off = torch.tensor(beside[:-1], dtype=torch.float64)
    tridiagonal = (
        torch.diag(torch.tensor(diagonal, dtype=torch.float64)) + torch.diag(off, 1) + torch.diag(off, -1)
    )
    return torch.linalg.eigvalsh(tridiagonal)


def sharpness(loss: Tensor, parameters: Iterable[Tensor], steps: int = 20, seed: int = 0) -> float:
    """The largest eigenvalue of the Hessian of a 0-d loss: the largest, not the largest in size.

    ``steps`` products with the Hessian give it to about 1 % for the networks of the course. Gradient descent with a step
    above 2 / sharpness overshoots along that direction. NaN where the loss is not finite.
    """
    parameters = list(parameters)
    product = hessian_vector_product(loss, parameters)
    if not loss.isfinite():
        return math.nan
    generator = torch.Generator().manual_seed(seed)
    start = torch.cat(
        [torch.randn(p.numel(), generator=generator, dtype=p.dtype).to(p.device) for p in parameters]
    )
    return lanczos(product, start, steps)[-1].item()


def follow_sharpness(
    loss_of: Callable[[Tensor], Tensor],
    w: Tensor,
    lr: float | Tensor | Callable[[int], float | Tensor],
    steps: int,
    *,
    every: int = 10,
    products: int = 3,
    momentum: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Gradient descent on N networks at once, with the sharpness of each every few steps: losses (steps, N), sharpness (k, N).

    ``w`` is (N, P), one network's parameters a row, and stays as it is; ``loss_of(w)`` gives (N,), each of its own row.
    ``lr`` is one number, (N,), or a function of the step. The sharpness comes from a power iteration that goes on from the
    vector it had found before: ``products`` products with the Hessian each time, 30 at first. It is the eigenvalue of the
    largest size, which in training is the largest. NaN where a network has left the finite numbers.
    """
    generator = torch.Generator().manual_seed(0)
    v, velocity = torch.randn(w.shape, generator=generator, dtype=w.dtype), torch.zeros_like(w)
    losses, sharp = [], []
    for step in range(steps):
        w = w.detach().requires_grad_()
        loss, due = loss_of(w), step % every == 0
        (gradient,) = torch.autograd.grad(loss.sum(), w, create_graph=due)
        if due:
            for _ in range(products if sharp else 30):
                v = v / v.norm(dim=1, keepdim=True)
                (Hv,) = torch.autograd.grad((gradient * v).sum(), w, retain_graph=True)
                curvature, v = (v * Hv).sum(1), Hv
            sharp.append(curvature.detach())
        losses.append(loss.detach())
        velocity = momentum * velocity + gradient.detach()
        rate = torch.as_tensor(lr(step) if callable(lr) else lr, dtype=w.dtype).reshape(-1, 1)
        w = w.detach() - rate * velocity
    return torch.stack(losses), torch.stack(sharp)
