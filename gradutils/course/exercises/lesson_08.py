"""Exercises of lesson 08: residual connections and normalisation."""

import math

import torch
from torch.overrides import TorchFunctionMode

from gradutils.course.exercise import Exercise, drawer


# 08.1 ----------------------------------------------------------------------------------------------------------------
def _branch_scale(growth, blocks):
    return math.sqrt(growth ** (2 / blocks) - 1)


def _target_cases(generator):
    a, b = torch.rand(2, generator=generator, dtype=torch.float64).tolist()
    return [(2.0, 1), (10.0, 2), (4.0, 16), (1 + 9 * a, 32), (1.5 + b, 100), (100.0, 50)]


BRANCH_SCALE = Exercise(
    task="branch_scale(growth, blocks): the scale of each branch with which the size of a gradient grows by `growth` over all blocks",
    reference=_branch_scale,
    cases=_target_cases,
    mistakes={
        "Growth multiplies from block to block. A block multiplies the squared gradient by 1 + s**2: solve that for s.": (
            lambda growth, blocks: growth / blocks
        ),
        "The squared gradient grows by 1 + s**2 a block. `growth` is of its size: square it first.": (
            lambda growth, blocks: math.sqrt(growth ** (1 / blocks) - 1)
        ),
        "This is s**2. The scale is its root.": lambda growth, blocks: growth ** (2 / blocks) - 1,
        "As if the size grew by 1 + s. The branch and the path add as squares: the squared size grows by 1 + s**2.": (
            lambda growth, blocks: growth ** (1 / blocks) - 1
        ),
        "The path itself gives the 1: the branch has only to add what is beyond it.": (
            lambda growth, blocks: growth ** (1 / blocks)
        ),
        "Growth multiplies from block to block: take the root of order `blocks`, do not divide.": (
            lambda growth, blocks: math.sqrt((growth**2 - 1) / blocks)
        ),
        "This is for a single block. Over several the growth multiplies.": (
            lambda growth, blocks: math.sqrt(growth**2 - 1)
        ),
        "1/sqrt(blocks) keeps the squared growth below e. Here the growth is to be exactly `growth`.": (
            lambda growth, blocks: 1 / math.sqrt(blocks)
        ),
        "A root was wanted, not a power: 2 / blocks in the exponent.": (
            lambda growth, blocks: (
                math.sqrt(growth ** (2 * blocks) - 1) if blocks * math.log(growth) < 300 else math.inf
            )
        ),
        "log(1 + s**2) is s**2 only where s is small. Solve (1 + s**2) ** blocks == growth**2 as it stands.": (
            lambda growth, blocks: math.sqrt(2 * math.log(growth) / blocks)
        ),
        "The 1 was taken from the exponent. It belongs outside: growth ** (2 / blocks) - 1.": (
            lambda growth, blocks: math.sqrt(growth ** (2 / blocks - 1))
        ),
        "The 1 was taken from growth before the root. Take the root of order `blocks` first.": (
            lambda growth, blocks: math.sqrt((growth - 1) ** (2 / blocks))
        ),
        "growth / sqrt(blocks) is not it: blocks multiply. Solve (1 + s**2) ** blocks == growth**2.": (
            lambda growth, blocks: growth / math.sqrt(blocks)
        ),
    },
    hints=(
        "One block multiplies the squared gradient by 1 + s**2. And all of them?",
        "(1 + s**2) ** blocks == growth ** 2. Solve for s.",
    ),
    alternatives=(
        lambda growth, blocks: math.expm1(2 * math.log(growth) / blocks) ** 0.5,
        lambda growth, blocks: torch.tensor(growth ** (2 / blocks) - 1.0).sqrt(),
    ),
    rtol=1e-4,
)


# 08.2 ----------------------------------------------------------------------------------------------------------------
def _rms_norm(x, gain, eps):
    return gain * x / (x.square().mean(-1, keepdim=True) + eps).sqrt()


def _row_cases(generator):
    randn = drawer(generator, torch.float64)
    return [
        (torch.tensor([[3.0, 4.0], [0.0, 1.0]]), torch.ones(2), 0.0),
        (torch.tensor([[0.0, 0.0], [1.0, -1.0]]), torch.tensor([1.0, 2.0]), 0.5),
        (2 + 3 * randn(4, 6), randn(6), 1e-5),
        (randn(2, 3, 5, dtype=torch.float32), randn(5, dtype=torch.float32), 0.3),
        (1e-3 * randn(3, 8), randn(8), 1e-5),
    ]


def _rms_variant(
    size=lambda x, eps: (x.square().mean(-1, keepdim=True) + eps).sqrt(),
    centre=lambda x: x,
    gained=lambda g, y: g * y,
):
    return lambda x, gain, eps: gained(gain, centre(x) / size(centre(x), eps))


def _like_layer_norm(x):
    return x - x.mean(-1, keepdim=True)


RMS_NORM = Exercise(
    task="rms_norm(x, gain, eps): each row of x (its last axis) divided by the root of its mean square + eps, times gain",
    reference=_rms_norm,
    cases=_row_cases,
    mistakes={
        "Divided by the length of the row, a sum of squares, and without eps. Take their mean, and add eps under the root.": (
            lambda x, gain, eps: gain * x / x.norm(dim=-1, keepdim=True).clamp(min=1e-30)
        ),
        "The mean was taken away first, as in LayerNorm. RMSNorm only divides.": (
            _rms_variant(centre=_like_layer_norm)
        ),
        "Divided by the standard deviation, which leaves the mean out. RMSNorm takes the mean of the squares.": (
            _rms_variant(size=lambda x, eps: (x.var(-1, keepdim=True, unbiased=False) + eps).sqrt())
        ),
        "Divided by the length: a sum of squares. Take their mean.": (
            _rms_variant(size=lambda x, eps: (x.square().sum(-1, keepdim=True) + eps).sqrt())
        ),
        "The mean went over the batch. Each row has its own: the last axis.": (
            _rms_variant(size=lambda x, eps: (x.square().mean(0, keepdim=True) + eps).sqrt())
        ),
        "One number was taken for all rows. Each row has its own.": (
            _rms_variant(size=lambda x, eps: (x.square().mean() + eps).sqrt())
        ),
        "eps stands beside the root. It is added to the mean square, under the root.": (
            _rms_variant(size=lambda x, eps: x.square().mean(-1, keepdim=True).sqrt() + eps)
        ),
        "eps is missing: a row near zero is blown up to full size.": (
            _rms_variant(size=lambda x, eps: x.square().mean(-1, keepdim=True).sqrt().clamp(min=1e-30))
        ),
        "Divided by the mean square. Take its root.": (
            _rms_variant(size=lambda x, eps: x.square().mean(-1, keepdim=True) + eps)
        ),
        "Divided by the length of the row (norm), which is the root of a sum of squares. Take their mean, and add eps under the root.": (
            _rms_variant(size=lambda x, eps: x.norm(dim=-1, keepdim=True) + eps)
        ),
        "Divided by std, which leaves the mean out, with eps beside it. Take the root of (the mean square + eps).": (
            _rms_variant(size=lambda x, eps: x.std(-1, keepdim=True) + eps)
        ),
        "Divided by std, which leaves the mean out and divides by n - 1. RMSNorm takes the mean of the squares.": (
            _rms_variant(size=lambda x, eps: (x.var(-1, keepdim=True) + eps).sqrt())
        ),
        "The gain is missing.": _rms_variant(gained=lambda g, y: y),
        "Without keepdim=True there is one number a row, and torch lines them up with the columns: mean(-1, keepdim=True).": (
            lambda x, gain, eps: gain * x / (x.square().mean(-1) + eps).sqrt()
        ),
        "mean(1) is the last axis only where x has two. Use mean(-1, keepdim=True).": (
            _rms_variant(size=lambda x, eps: (x.square().mean(1, keepdim=True) + eps).sqrt())
        ),
        "eps is missing: a row of zeros gives 0/0, which is NaN.": (
            _rms_variant(size=lambda x, eps: x.square().mean(-1, keepdim=True).sqrt())
        ),
        "1 was added to the gain. Here the gain itself multiplies.": _rms_variant(
            gained=lambda g, y: (1 + g) * y
        ),
        "The gain was multiplied first, and so it is in the mean square too. Divide first.": (
            lambda x, gain, eps: _rms_norm(gain * x, torch.ones_like(gain), eps)
        ),
        "eps was divided by n as well. It is added to the mean, not to the sum.": (
            _rms_variant(size=lambda x, eps: ((x.square().sum(-1, keepdim=True) + eps) / x.shape[-1]).sqrt())
        ),
        "Divided by the mean of the sizes. RMS is the root of the mean of the squares.": (
            _rms_variant(size=lambda x, eps: x.abs().mean(-1, keepdim=True) + eps)
        ),
    },
    hints=(
        "The last axis: dim=-1, and keepdim=True so that it can divide.",
        "gain * x / (x.square().mean(-1, keepdim=True) + eps).sqrt()",
    ),
    alternatives=(
        lambda x, gain, eps: torch.nn.functional.rms_norm(x, x.shape[-1:], gain, eps),
        lambda x, gain, eps: gain * (x * torch.rsqrt(x.pow(2).mean(dim=-1, keepdim=True) + eps)),
    ),
    rtol=1e-5,
)


# 08.3 ----------------------------------------------------------------------------------------------------------------
def relu(z):
    """max(z, 0)"""
    return z.relu()


def tanh(z):
    """the hyperbolic tangent"""
    return z.tanh()


def _both_blocks(x, f, norm):
    return x + f(norm(x)), norm(x + f(x))


def doubled(x):
    """2 x"""
    return 2 * x


def first_up(x):
    """x with 1 added to its first column"""
    return torch.cat([x[..., :1] + 1, x[..., 1:]], -1)


def to_length_one(x):
    """each row divided by its length"""
    return x / x.norm(dim=-1, keepdim=True)


def centred(x):
    """each row without its mean"""
    return x - x.mean(-1, keepdim=True)


def _block_cases(generator):
    randn = drawer(generator, torch.float64)
    return [
        (torch.tensor([[3.0, 4.0]]), doubled, to_length_one),
        (torch.tensor([[1.0, 2.0]]), first_up, to_length_one),
        (randn(3, 4), first_up, centred),
        (randn(2, 5), tanh, to_length_one),
        (randn(4, 3), relu, centred),
    ]


BOTH_BLOCKS = Exercise(
    task="both_blocks(x, f, norm): the pair (pre, post): what a block with the normalisation before the branch f returns, and one with it after the sum",
    reference=_both_blocks,
    cases=_block_cases,
    mistakes={
        "In the post block the branch was normalised by itself as well. Only the sum is.": (
            lambda x, f, norm: (x + f(norm(x)), norm(x + norm(f(x))))
        ),
        "The two are exchanged: pre comes first, then post.": (
            lambda x, f, norm: (norm(x + f(x)), x + f(norm(x)))
        ),
        "In the pre block the path itself is normalised, too. Only what enters the branch is; x goes on as it is.": (
            lambda x, f, norm: (norm(x) + f(norm(x)), norm(x + f(x)))
        ),
        "In the pre block the normalisation stands behind the branch. It comes before: f(norm(x)).": (
            lambda x, f, norm: (x + norm(f(x)), norm(x + f(x)))
        ),
        "In the post block the sum is normalised, path and branch together: norm(x + f(x)).": (
            lambda x, f, norm: (x + f(norm(x)), x + norm(f(x)))
        ),
        "In the post block only the path was normalised. It is the sum: norm(x + f(x)).": (
            lambda x, f, norm: (x + f(norm(x)), norm(x) + f(x))
        ),
        "The skip path is missing: x is added to the branch.": lambda x, f, norm: (f(norm(x)), norm(f(x))),
        "In the post block the branch sees x as it is: it was normalised on leaving the block before.": (
            lambda x, f, norm: (x + f(norm(x)), norm(x + f(norm(x))))
        ),
        "The pre block is not normalised: f(norm(x)).": lambda x, f, norm: (x + f(x), norm(x + f(x))),
        "The pre block ends without a normalisation: x + f(norm(x)).": (
            lambda x, f, norm: (norm(x + f(norm(x))), norm(x + f(x)))
        ),
        "This is the pre block alone. Return the pair: pre, post.": lambda x, f, norm: x + f(norm(x)),
        "This is the post block alone. Return the pair: pre, post.": lambda x, f, norm: norm(x + f(x)),
        "The two were stacked into one tensor. Return them as a pair: pre, post.": (
            lambda x, f, norm: torch.stack([x + f(norm(x)), norm(x + f(x))])
        ),
        "The post block was given what the pre block returned. Both begin with x.": (
            lambda x, f, norm: (x + f(norm(x)), norm(x + f(norm(x)) + f(x + f(norm(x)))))
        ),
    },
    hints=("Pre: what enters the branch. Post: what leaves the sum.", "x + f(norm(x)), and norm(x + f(x))."),
    alternatives=(lambda x, f, norm: [torch.add(x, f(norm(x))), norm(f(x) + x)],),
    returns=("pre", "post"),
)


# 08.4 ----------------------------------------------------------------------------------------------------------------
def sigmoid(z):
    """1 / (1 + exp(-z))"""
    return z.sigmoid()


def leaky(z):
    """z where z > 0, z / 10 elsewhere"""
    return torch.where(z > 0, z, z / 10)


def line(z):
    """2 z + 1"""
    return 2 * z + 1


def _gauss():
    return torch.special.ndtri((torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000)


def _phi_and_slope(phi, z):
    z = z.clone().requires_grad_()
    h = phi(z)
    return h.detach(), torch.autograd.grad(h.sum(), z)[0]


def _normalised_growth(phi):
    h, slope = _phi_and_slope(phi, _gauss())
    return float((slope.square().mean() / h.var(unbiased=False)).sqrt())


def _shifted_by(shift):
    def shifted(z):
        return torch.relu(z - shift)

    shifted.__doc__ = f"relu(z - {shift:g})"
    return shifted


SHIFTED = [_shifted_by(k / 20) for k in range(1, 20)]


def _activation_cases(generator):
    pick = int(torch.randint(len(SHIFTED), (), generator=generator))
    return [(relu,), (tanh,), (sigmoid,), (leaky,), (line,), (SHIFTED[pick],)]


def _growth_variant(number, z=None):
    return lambda phi: float(number(*_phi_and_slope(phi, _gauss() if z is None else z)))


def _ratio(h, slope):
    return (slope.square().mean() / h.var()).sqrt()


def _by_samples(phi):
    z = torch.randn(400_000, dtype=torch.float64)
    slope = (phi(z + 1e-4) - phi(z - 1e-4)) / 2e-4
    return float((slope.square().mean() / phi(z).var()).sqrt())


NORMALISED_GROWTH = Exercise(
    task="normalised_growth(phi): the root of E[phi'(y)^2] / Var[phi(y)] over a Gaussian y of variance 1, a number, within 2 %",
    reference=_normalised_growth,
    cases=_activation_cases,
    mistakes={
        "This is the factor of the squared gradient. Its root is the factor of its size.": (
            _growth_variant(lambda h, s: s.square().mean() / h.var())
        ),
        "The mean square of phi stands where its variance belongs: batch normalisation takes the mean away.": (
            _growth_variant(lambda h, s: (s.square().mean() / h.square().mean()).sqrt())
        ),
        "The division is missing: the next normalisation brings phi(y) back to variance 1, and multiplies the gradient by as much.": (
            _growth_variant(lambda h, s: s.square().mean().sqrt())
        ),
        "The slope was averaged before it was squared. Square first.": (
            _growth_variant(lambda h, s: (s.mean() ** 2 / h.var()).sqrt())
        ),
        "Divided by the standard deviation. Below the root stands the variance.": (
            _growth_variant(lambda h, s: (s.square().mean() / h.std()).sqrt())
        ),
        "The fraction is upside down.": _growth_variant(lambda h, s: (h.var() / s.square().mean()).sqrt()),
        "The variance of the slope leaves its mean out. Its mean square is wanted.": (
            _growth_variant(lambda h, s: (s.var() / h.var()).sqrt())
        ),
        "Divided by the mean size of phi(y). Its variance is wanted.": (
            _growth_variant(lambda h, s: (s.square().mean() / h.abs().mean() ** 2).sqrt())
        ),
        "y was drawn evenly between -1 and 1. It is Gaussian: torch.randn.": (
            _growth_variant(_ratio, torch.linspace(-1, 1, 4000).double())
        ),
        "y was drawn evenly between 0 and 1. It is Gaussian: torch.randn.": (
            _growth_variant(_ratio, torch.linspace(0, 1, 4000).double())
        ),
        "y is spread evenly from -3 to 3. It is Gaussian: most of its values lie near zero.": (
            _growth_variant(_ratio, torch.linspace(-3, 3, 4000).double())
        ),
        "The root was taken of the mean squared slope alone. The variance stands under it as well.": (
            _growth_variant(lambda h, s: s.square().mean().sqrt() / h.var())
        ),
        "The root was taken of the variance alone. The mean squared slope stands under it as well.": (
            _growth_variant(lambda h, s: s.square().mean() / h.std())
        ),
        "The largest slope stands where the mean square belongs. Only a few units are there.": (
            _growth_variant(lambda h, s: (s.square().max() / h.var()).sqrt())
        ),
    },
    hints=(
        "Draw y, or take quantiles as in lesson 04; the slopes come from autograd, which needs y.requires_grad_().",
        "((slope**2).mean() / phi(y).var()) ** 0.5",
    ),
    alternatives=(
        _growth_variant(_ratio),
        _by_samples,
    ),
    rtol=0.02,
)


# 08.5 ----------------------------------------------------------------------------------------------------------------
def _normed(z):
    z = z - z.mean(0)
    return z / z.square().mean(0).sqrt()


def _batch_norm_backward(z, delta):
    std, y = z.std(0, unbiased=False), _normed(z)
    return (delta - delta.mean(0) - y * (delta * y).mean(0)) / std


def _batch_cases(generator):
    randn = drawer(generator, torch.float64)
    return [
        (
            torch.tensor([[0.0, 1.0], [2.0, 0.0], [4.0, 0.0]]).double(),
            torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]]).double(),
        ),
        (randn(5, 3), randn(5, 3)),
        (3 * randn(8, 4) + 2, randn(8, 4) + 1),
        (randn(16, 2, dtype=torch.float32), randn(16, 2, dtype=torch.float32)),
        (0.1 * randn(6, 5), 10 * randn(6, 5)),
    ]


class _NoGradient(TorchFunctionMode):
    """Nothing may switch autograd on again, as torch.func does by itself."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if torch.is_grad_enabled():
            raise RuntimeError("Autograd is switched off here: write out what it computes.")
        return function(*args, **(kwargs or {}))


def _without_autograd(function, z, delta):
    with torch.no_grad(), _NoGradient():
        return function(z, delta)


def _bn_variant(combine):
    return lambda z, delta: combine(z, delta, z.std(0, unbiased=False), _normed(z))


def _over_rows(z, delta):
    return _batch_norm_backward(z.T, delta.T).T


def _over_all(z, delta):
    std = z.std(unbiased=False)
    y = (z - z.mean()) / std
    return (delta - delta.mean() - y * (delta * y).mean()) / std


def _with_eps(z, delta):
    std = (z.var(0, unbiased=False) + 1e-5).sqrt()
    y = (z - z.mean(0)) / std
    return (delta - delta.mean(0) - y * (delta * y).mean(0)) / std


def _with_torchs_std(z, delta):
    std, y = z.std(0), (z - z.mean(0)) / z.std(0)
    return (delta - delta.mean(0) - y * (delta * y).mean(0)) / std


def _in_stages(z, delta):
    count, centred = len(z), z - z.mean(0)
    variance = centred.square().mean(0)
    by_variance = (delta * centred).sum(0) * -0.5 * variance**-1.5
    by_centred = delta * variance**-0.5 + by_variance * 2 * centred / count
    return by_centred - by_centred.mean(0)


def _by_autograd(z, delta):
    z = z.clone().requires_grad_()
    y = torch.nn.functional.batch_norm(z, None, None, training=True, eps=1e-12)
    return torch.autograd.grad((y * delta).sum(), z)[0]


BATCH_NORM_BACKWARD = Exercise(
    task="batch_norm_backward(z, delta): dL/dz of y = (z - mean) / std, by a formula, where mean and std are those of each column of z and delta is dL/dy; both (B, n)",
    reference=_batch_norm_backward,
    cases=_batch_cases,
    call=_without_autograd,
    mistakes={
        "delta was multiplied by the normalised values. It is to be sent back through (z - mean) / std.": (
            _bn_variant(lambda z, d, s, y: d * y)
        ),
        "delta was multiplied by the normalised values (and std() divides by B - 1). Send it back through (z - mean) / std.": (
            lambda z, delta: delta * (z - z.mean(0)) / z.std(0)
        ),
        "Mean and std were taken for constants. They depend on z as well: each entry moves all others of its column.": (
            _bn_variant(lambda z, d, s, y: d / s)
        ),
        "The path through the mean is there, the one through the std is missing: - y * mean(delta * y).": (
            _bn_variant(lambda z, d, s, y: (d - d.mean(0)) / s)
        ),
        "The path through the std is there, the one through the mean is missing: - mean(delta).": (
            _bn_variant(lambda z, d, s, y: (d - y * (d * y).mean(0)) / s)
        ),
        "The second term is a mean over the batch, not a sum.": (
            _bn_variant(lambda z, d, s, y: (d - d.mean(0) - y * (d * y).sum(0)) / s)
        ),
        "These are sums. All terms are means over the batch.": (
            _bn_variant(lambda z, d, s, y: (d - d.sum(0) - y * (d * y).sum(0)) / s)
        ),
        "Divide by the std: y is z over std.": (
            _bn_variant(lambda z, d, s, y: d - d.mean(0) - y * (d * y).mean(0))
        ),
        "Multiplied by the std. y is z over std, and so is the gradient.": (
            _bn_variant(lambda z, d, s, y: (d - d.mean(0) - y * (d * y).mean(0)) * s)
        ),
        "z stands where y belongs: the normalised values.": (
            _bn_variant(lambda z, d, s, y: (d - d.mean(0) - z * (d * z).mean(0)) / s)
        ),
        "The sign of the last term: a larger std makes y smaller, so it is subtracted.": (
            _bn_variant(lambda z, d, s, y: (d - d.mean(0) + y * (d * y).mean(0)) / s)
        ),
        "The means went over the units. Batch normalisation takes them over the batch: dim 0.": (
            _bn_variant(
                lambda z, d, s, y: (d - d.mean(1, keepdim=True) - y * (d * y).mean(1, keepdim=True)) / s
            )
        ),
        "torch's std divides by B - 1 unless it is told otherwise. Batch normalisation divides by B: unbiased=False.": (
            _with_torchs_std
        ),
        "y is centred: (z - mean) / std. Yours is z / std.": (
            _bn_variant(lambda z, d, s, y: (d - d.mean(0) - z / s * (d * z / s).mean(0)) / s)
        ),
        "std() divides by B - 1. Batch normalisation divides by B: unbiased=False.": (
            _bn_variant(lambda z, d, s, y: (d - d.mean(0) - y * (d * y).mean(0)) / z.std(0))
        ),
        "Autograd is switched off here: write out what it computes. delta goes back by three paths.": _by_autograd,
        "Mean and std are those of the rows here. Batch normalisation takes a column each, over the batch.": (
            _over_rows
        ),
        "delta.mean() without a dim is the mean of the whole matrix. Each column has its own: mean(0).": (
            _bn_variant(lambda z, d, s, y: (d - d.mean() - y * (d * y).mean()) / s)
        ),
        "One mean and one std were taken of the whole matrix. Each column has its own: dim 0.": _over_all,
        "Divided by the variance. y is z over std, so the gradient is divided by std.": (
            _bn_variant(lambda z, d, s, y: (d - d.mean(0) - y * (d * y).mean(0)) / s**2)
        ),
        "The second term has no y: the std moves each entry in proportion to its own y. - y * mean(delta * y).": (
            _bn_variant(lambda z, d, s, y: (d - d.mean(0) - (d * y).mean(0)) / s)
        ),
        "The second term is y * mean(delta). The std feels delta * y: y * mean(delta * y).": (
            _bn_variant(lambda z, d, s, y: (d - d.mean(0) - y * d.mean(0)) / s)
        ),
        "The first term is a mean over the batch, not a sum: each entry moves the mean by 1/B.": (
            _bn_variant(lambda z, d, s, y: (d - d.sum(0) - y * (d * y).mean(0)) / s)
        ),
        "There is one more 1/B: mean() has divided by B already.": (
            _bn_variant(lambda z, d, s, y: (d - d.mean(0) - y * (d * y).mean(0)) / s / len(z))
        ),
        "The second term has one more 1/B: mean() has divided by B already.": (
            _bn_variant(lambda z, d, s, y: (d - d.mean(0) - y * (d * y).mean(0) / len(z)) / s)
        ),
        "An eps was added to the variance. Here std is the standard deviation itself.": _with_eps,
        "This is delta, normalised. Normalised is z; delta is sent back through that.": (
            _bn_variant(lambda z, d, s, y: _normed(d))
        ),
        "Only mean and std of z stand here, and delta does not: (z - mean) / std is y itself.": (
            _bn_variant(lambda z, d, s, y: y)
        ),
    },
    hints=(
        "delta reaches z by three paths: directly, through the mean, through the std.",
        "Each path through a statistic takes away a mean: of delta, and of delta * y, the latter times y.",
        "(delta - mean(delta) - y * mean(delta * y)) / std, means over the batch, std with unbiased=False.",
    ),
    deeper=True,
    alternatives=(_in_stages,),
    rtol=1e-4,
)


EXERCISES = {
    "08.1": BRANCH_SCALE,
    "08.2": RMS_NORM,
    "08.3": BOTH_BLOCKS,
    "08.4": NORMALISED_GROWTH,
    "08.5": BATCH_NORM_BACKWARD,
}
