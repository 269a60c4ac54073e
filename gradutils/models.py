"""Networks for experiments: small, plain, their layers named as in the text (``fc1, act1, ..., out``).

Every network ends in a random linear readout. A bare sum over the last activations would not do: under ReLU its
terms all push the same way, and the gradient comes out several times too large.
"""

import itertools
import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn


class Elementwise(nn.Module):
    """Any elementwise function as a layer."""

    def __init__(self, function: Callable[[Tensor], Tensor]):
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:  # any shape -> the same
        return self.function(x)

    def extra_repr(self) -> str:
        return getattr(self.function, "__name__", repr(self.function))


class Erf(nn.Module):
    """The error function, the activation whose mean-field integrals are known in closed form."""

    def forward(self, x: Tensor) -> Tensor:  # any shape -> the same
        return torch.erf(x)


ACTIVATIONS = {
    "linear": nn.Identity,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "erf": Erf,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
}


def activation_layer(activation: str | Callable) -> nn.Module:
    """A fresh layer for a name in ``ACTIVATIONS``, for a module (copied) or its class, or for any elementwise function.

    It does not work in place, whatever the module did.
    Raises ValueError for an unknown name, TypeError for what cannot be called.
    """
    if isinstance(activation, str):
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}; got {activation!r}")
        return ACTIVATIONS[activation]()
    if isinstance(activation, type) and issubclass(activation, nn.Module):
        activation = activation()
    if isinstance(activation, nn.Module):
        layer = deepcopy(activation)
        for module in layer.modules():
            if hasattr(module, "inplace"):
                module.inplace = False
        return layer
    if not callable(activation):
        raise TypeError(f"activation must be a name or an elementwise function; got {activation!r}")
    return Elementwise(activation)


def with_slope(phi: Callable[[Tensor], Tensor], z: Tensor) -> tuple[Tensor, Tensor]:
    """phi(z) and phi'(z), of the shape of z."""
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        h = phi(z)
        slope = torch.autograd.grad(h.sum(), z)[0] if h.requires_grad else torch.zeros_like(z)
    return h.detach(), slope


def mlp(
    depth: int,
    width: int,
    activation: str | Callable = "relu",
    *,
    inputs: int = 64,
    outputs: int = 10,
    norm: Callable[[int], nn.Module] | None = None,
) -> nn.Sequential:
    """``depth`` hidden layers of ``width`` units, then a linear readout: (B, inputs) -> (B, outputs).

    Layers are named ``fc1, act1, fc2, ..., out``. ``norm``, such as ``nn.LayerNorm``, is called with the width and
    put before each activation as ``norm1, ...``. The weights are torch's defaults; ``init_weights_`` draws others.

    Raises ValueError unless depth is 0 or more and the sizes are positive.
    """
    if depth < 0 or min(width, inputs, outputs) < 1:
        raise ValueError(
            "depth must be 0 or more, width, inputs and outputs 1 or more; "
            f"got depth={depth}, width={width}, inputs={inputs}, outputs={outputs}"
        )
    layers, size = OrderedDict(), inputs
    for k in range(1, depth + 1):
        layers[f"fc{k}"] = nn.Linear(size, width)
        if norm is not None:
            layers[f"norm{k}"] = norm(width)
        layers[f"act{k}"] = activation_layer(activation)
        size = width
    layers["out"] = nn.Linear(size, outputs)
    return nn.Sequential(layers)


class ElmanRNN(nn.Module):
    """h_t = act(input(x_t) + recurrent(h_{t-1})); the readout sees the last h: (B, T, inputs) -> (B, outputs)."""

    def __init__(self, inputs: int, hidden: int, outputs: int, activation: str | Callable = "tanh"):
        super().__init__()
        self.input = nn.Linear(inputs, hidden)
        self.recurrent = nn.Linear(hidden, hidden, bias=False)
        self.act = activation_layer(activation)
        self.out = nn.Linear(hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        h = x.new_zeros(len(x), self.recurrent.in_features)  # (B, hidden)
        for x_t in x.unbind(1):  # (B, inputs), T times
            h = self.act(self.input(x_t) + self.recurrent(h))
        return self.out(h)


def elman_rnn(inputs: int, hidden: int, outputs: int = 10, activation: str | Callable = "tanh") -> ElmanRNN:
    """A recurrent network written as a loop, so that every step through time can be looked at.

    Shapes (B, T, inputs) -> (B, outputs). Source: Elman, Finding structure in time, 1990.
    """
    return ElmanRNN(inputs, hidden, outputs, activation)


class TransformerBlock(nn.Module):
    """Self-attention, then two dense layers, each on a skip path: (B, T, width) -> (B, T, width).

    Pre-LN normalises what enters a branch, x + f(LN(x)); post-LN what leaves the sum, LN(x + f(x)).
    Source of the two forms: Xiong et al. 2020.
    """

    def __init__(
        self, width: int, heads: int = 4, *, pre_ln: bool = True, activation: str | Callable = "relu"
    ):
        super().__init__()
        self.pre_ln = pre_ln
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.dense = nn.Sequential(
            OrderedDict(
                fc1=nn.Linear(width, 4 * width),
                act=activation_layer(activation),
                fc2=nn.Linear(4 * width, width),
            )
        )
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def attend(self, x: Tensor) -> Tensor:  # (B, T, width) -> the same
        return self.attention(x, x, x, need_weights=False)[0]

    def forward(self, x: Tensor) -> Tensor:
        if self.pre_ln:
            x = x + self.attend(self.norm1(x))
            return x + self.dense(self.norm2(x))
        x = self.norm1(x + self.attend(x))
        return self.norm2(x + self.dense(x))


@torch.no_grad()
def init_weights_(
    model: nn.Module,
    sigma_w: float = 1.0,
    sigma_b: float = 0.0,
    *,
    orthogonal: bool = False,
    generator: torch.Generator | None = None,
) -> nn.Module:
    """Draw every weight from N(0, sigma_w^2 / fan_in) and every bias from N(0, sigma_b^2), in place; return the model.

    A weight is a parameter of two or more dimensions, (fan_out, fan_in, ...); embeddings and normalisation layers are
    left alone. With ``orthogonal`` each weight tensor is a random rotation of the same mean square; where fan_out exceeds
    fan_in, as in the stacked weights of an LSTM, its columns are orthogonal.

    Raises ValueError unless sigma_w and sigma_b are finite and not negative.
    """
    for name, value in (("sigma_w", sigma_w), ("sigma_b", sigma_b)):
        if not 0 <= value < math.inf:
            raise ValueError(f"{name} must be a finite number, 0 or more; got {value!r}")
    embeddings = {id(m.weight) for m in model.modules() if isinstance(m, (nn.Embedding, nn.EmbeddingBag))}
    for module in model.modules():
        if hasattr(module, "eps"):  # it normalises
            continue
        for name, parameter in module.named_parameters(recurse=False):
            if id(parameter) in embeddings:
                continue
            if parameter.ndim >= 2:
                fan_out, fan_in = len(parameter), parameter[0].numel()
                if orthogonal:
                    gain = sigma_w * max(1.0, fan_out / fan_in) ** 0.5
                    nn.init.orthogonal_(parameter, gain, generator=generator)
                else:
                    parameter.normal_(0.0, sigma_w / fan_in**0.5, generator=generator)
            elif "bias" in name:
                parameter.normal_(0.0, sigma_b, generator=generator)
    return model


def weight_stacks(
    sizes: Sequence[int], sigma_w: float = 1.0, *, seeds: int = 10, seed: int = 0
) -> list[Tensor]:
    """Weights N(0, sigma_w^2 / fan_in) of ``seeds`` networks with these layer sizes: one stack (seeds, fan_out, fan_in) a layer.

    They are drawn in float64 and rounded, so that every processor starts from the same float32 numbers.
    """
    generator = torch.Generator().manual_seed(seed)
    draws = [
        torch.randn(seeds, m, n, generator=generator, dtype=torch.float64) / n**0.5
        for n, m in itertools.pairwise(sizes)
    ]
    return [(sigma_w * draw).float() for draw in draws]


def stack_scores(
    phi: Callable[[Tensor], Tensor], weights: Sequence[Tensor], x: Tensor, biases: Sequence[Tensor] = ()
) -> Tensor:
    """Scores of N plain networks: weights (N, m, n) a layer, biases (N, 1, m) or none, x (B, inputs) -> (N, B, outputs).

    ``phi`` follows all layers but the last.
    """
    for k, W in enumerate(weights):
        x = (phi(x) if k else x) @ W.mT
        if biases:
            x = x + biases[k]
    return x


def flat_scores(phi: Callable[[Tensor], Tensor], w: Tensor, sizes: Sequence[int], x: Tensor) -> Tensor:
    """`stack_scores` of N networks without biases whose weights are the rows of w: (N, P), x (B, inputs) -> (N, B, outputs).

    ``torch.cat([W.flatten(1) for W in weight_stacks(sizes)], 1)`` makes such rows.
    """
    shapes = [(m, n) for n, m in itertools.pairwise(sizes)]
    pieces = w.split([m * n for m, n in shapes], 1)
    return stack_scores(phi, [piece.view(-1, *shape) for piece, shape in zip(pieces, shapes, strict=True)], x)


def recurrent_stacks(
    inputs: int, hidden: int, scale: float, outputs: int = 10, *, seeds: int = 10, seed: int = 0
) -> list[Tensor]:
    """U, W, b and V of ``seeds`` recurrent networks for `recurrent_scores`: W is ``scale`` times the identity, b is zero."""
    U, V = (
        weight_stacks(sizes, seeds=seeds, seed=seed)[0] for sizes in ((inputs, hidden), (hidden, outputs))
    )
    return [U, scale * torch.eye(hidden).expand(seeds, hidden, hidden), torch.zeros(seeds, 1, hidden), V]


def recurrent_scores(learnt: list[Tensor], x: Tensor) -> Tensor:
    """What N ReLU networks h <- relu(x_t U' + h W' + b) say after the last step: x (B, T, inputs) -> (N, B, outputs).

    ``learnt`` holds the stacks U (N, h, inputs), W (N, h, h), b (N, 1, h) and V (N, outputs, h).
    """
    U, W, b, V = learnt
    along = x.transpose(0, 1).unsqueeze(1) @ U.mT + b  # (T, N, B, h)
    h = torch.relu(along[0])
    for now in along[1:]:
        h = torch.relu(now + h @ W.mT)
    return h @ V.mT


def residual_scores(
    learnt: Sequence[Tensor],
    x: Tensor,
    *,
    norm: Callable[[Tensor], Tensor] | None = None,
    relu_last: bool = False,
    path: float = 1.0,
    without: int | None = None,
    seen: list[Tensor] | None = None,
) -> Tensor:
    """Scores of N residual networks, h <- path * h + W relu(norm(h)): x (B, inputs) -> (N, B, outputs).

    ``learnt`` holds the stacks of the first layer (N, n, inputs), of the branches (N, blocks, n, n) and of the last layer
    (N, outputs, n). With ``relu_last`` a branch is relu(W norm(h)); without a ``path`` the network is a plain one. The
    branch of the block ``without`` is left out. ``seen`` receives from each block the size of its branch over that of h, (N,).
    """
    first, branches, last = learnt
    h = x @ first.mT
    for k, W in enumerate(branches.unbind(1)):
        inner = norm(h) if norm else h
        branch = torch.relu(inner @ W.mT) if relu_last else torch.relu(inner) @ W.mT
        if seen is not None:
            seen.append((branch.square().mean((1, 2)) / h.square().mean((1, 2))).sqrt())
        h = path * h + (0 if k == without else branch)
    return h @ last.mT


def normalised_scores(
    weights: Sequence[Tensor],
    x: Tensor,
    *,
    phi: Callable[[Tensor], Tensor] = torch.relu,
    centre: int | tuple[int, ...] | None = None,
    divide: int | tuple[int, ...] | None = None,
    seen: list[Tensor] | None = None,
) -> Tensor:
    """`stack_scores` of N networks that normalise what enters phi: less its mean over the axes ``centre``, over its RMS over ``divide``.

    Axis -2 is the batch, -1 the units, and None leaves the step out: both -2 is batch normalisation, both -1 LayerNorm,
    without gains. ``seen`` receives on the way back, last layer first, the norm of the gradient that leaves phi, (N,).
    """
    for W in weights[:-1]:
        x = x @ W.mT
        if centre is not None:
            x = x - x.mean(centre, keepdim=True)
        if divide is not None:
            x = x / (x.square().mean(divide, keepdim=True) + 1e-5).sqrt()
        if seen is not None and x.requires_grad:
            x.register_hook(lambda delta: seen.append(delta.norm(dim=(1, 2))))
        x = phi(x)
    return x @ weights[-1].mT
