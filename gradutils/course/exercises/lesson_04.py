"""Exercises of lesson 04: activations."""

import math
from functools import cache

import torch
from torch.nn import functional as F

from gradutils.course.exercise import Exercise
from gradutils.models import with_slope
from gradutils.propagation import gradient_profile

SAMPLES = 4000


# Elementwise functions for the cases; a failing case shows a function by its name and first line.
def relu(z):
    """max(z, 0)"""
    return z.relu()


def tanh(z):
    """the hyperbolic tangent"""
    return z.tanh()


def sigmoid(z):
    """1 / (1 + exp(-z))"""
    return z.sigmoid()


def hat(z):
    """z times exp(-z**2): it falls as well as rises"""
    return z * torch.exp(-(z**2))


def steep(z):
    """three times sin(z)"""
    return 3 * torch.sin(z)


def leaky(z):
    """z where positive, z / 10 elsewhere"""
    return F.leaky_relu(z, 0.1)


def gelu(z):
    """z times the probability that a Gaussian lies below z"""
    return F.gelu(z)


# 04.1 ----------------------------------------------------------------------------------------------------------------
def _slopes(phi, z):
    slope = with_slope(phi, z)[1]
    return slope, float(slope.abs().max())


def _slope_cases(generator):
    def points(count, dtype=torch.float32):
        return 2 * torch.randn(count, generator=generator, dtype=dtype)

    used = torch.tensor([0.5, -1.0])
    used.grad = torch.ones(2)  # left behind by an earlier backward()
    return [
        (tanh, torch.tensor([0.0, 1.0])),
        (hat, torch.tensor([-1.5, -1.2, 0.9])),
        (relu, torch.tensor([-2.0, 0.0, 1.0, 3.0])),
        (tanh, used),
        (steep, points(7)),
        (sigmoid, points((2, 3), torch.float64)),
        (hat, points((4, 5), torch.float64)),
    ]


def _slopes_variant(slope_of, largest=lambda slope, h: slope.abs().max()):
    def slopes(phi, z):
        slope = slope_of(phi, z)
        return slope, float(largest(slope, phi(z)))

    return slopes


def _slope(phi, z):
    return with_slope(phi, z)[1]


def _summed_in_z(phi, z):
    z.requires_grad_()
    phi(z).sum().backward()
    return z.grad, float(z.grad.abs().max())


def _without_a_sum(phi, z):
    z = z.clone().requires_grad_()
    return torch.autograd.grad(phi(z), z)


def _by_vmap(phi, z):
    slope = torch.func.vmap(torch.func.grad(phi))(z.flatten()).view(z.shape)
    return slope, slope.abs().max()


SLOPES = Exercise(
    task="slopes(phi, z): the slope of phi at every entry of z, of the shape of z, and the largest size of a slope among them, a float",
    reference=_slopes,
    cases=_slope_cases,
    mistakes={
        "These are the values of phi. Its slopes come from torch.autograd.grad.": (
            _slopes_variant(lambda phi, z: phi(z))
        ),
        "Every slope is too small by the number of points: you took the mean of phi(z). Its sum leaves each slope as it is.": (
            _slopes_variant(lambda phi, z: _slope(phi, z) / z.numel())
        ),
        "A slope may be negative: a steep fall counts as steep. Take abs() before max().": (
            _slopes_variant(_slope, lambda slope, h: slope.max())
        ),
        "The largest value of phi came back, not the largest slope.": (
            _slopes_variant(_slope, lambda slope, h: h.abs().max())
        ),
        "The slopes come from two points far apart, so they are those of a chord. Autograd gives the tangent.": (
            _slopes_variant(lambda phi, z: (phi(z + 1) - phi(z - 1)) / 2)
        ),
        "The second number is the mean size of a slope. Wanted is the largest.": (
            _slopes_variant(_slope, lambda slope, h: slope.abs().mean())
        ),
        "The slopes lost their signs. Only the second number is a size.": (
            _slopes_variant(lambda phi, z: _slope(phi, z).abs())
        ),
        "The smallest slope came back as the largest.": _slopes_variant(_slope, lambda slope, h: slope.min()),
        "Each slope was multiplied by z. The slope alone is wanted.": (
            _slopes_variant(lambda phi, z: _slope(phi, z) * z)
        ),
        "The slopes were taken at phi(z), not at z.": _slopes_variant(lambda phi, z: _slope(phi, phi(z))),
        "The slopes come from two close points, which see both sides of a kink: ReLU at 0 gets 0.5. Autograd gives 0 there.": (
            _slopes_variant(lambda phi, z: (phi(z + 1e-3) - phi(z - 1e-3)) / 2e-3)
        ),
        "phi(z) / z belongs to a line from the origin. The slope at z itself comes from autograd.": (
            _slopes_variant(lambda phi, z: phi(z) / z)
        ),
        "torch.gradient compares neighbours in a list, however far apart they are. Each entry has a slope of its own: use autograd.": (
            _slopes_variant(lambda phi, z: torch.gradient(phi(z))[0])
        ),
        "The second number says where phi is steepest. Wanted is the slope there.": (
            lambda phi, z: (_slope(phi, z), float(z.flatten()[_slope(phi, z).abs().argmax()]))
        ),
        "The second number is a position in the list. Wanted is the slope there: max(), not argmax().": (
            _slopes_variant(_slope, lambda slope, h: slope.abs().argmax())
        ),
        "The size of the steepest slope is missing: return two things.": _slope,
        "backward() adds to the z.grad of the given z, so a second call returns a sum. Use a copy: z.clone().requires_grad_().": (
            _summed_in_z
        ),
        "z does not ask for a gradient, so autograd keeps no record of phi(z). First z = z.clone().requires_grad_().": (
            lambda phi, z: torch.autograd.grad(phi(z).sum(), z)
        ),
        "Autograd starts from one number. Take phi(z).sum(): each slope stays as it is.": _without_a_sum,
    },
    hints=(
        "Autograd needs to know that z is to be differentiated: z = z.clone().requires_grad_().",
        "Each phi(z[i]) depends on z[i] alone, so the gradient of phi(z).sum() by z holds all the slopes.",
        "(slope,) = torch.autograd.grad(phi(z).sum(), z), then slope.abs().max().item()",
    ),
    alternatives=(_by_vmap,),
    returns=("the slopes", "the largest"),
    rtol=1e-3,
)


# 04.2 ----------------------------------------------------------------------------------------------------------------
@cache
def _gauss(count=SAMPLES):
    """A standard Gaussian by its quantiles, float64."""
    return torch.special.ndtri((torch.arange(count, dtype=torch.float64) + 0.5) / count)


def _mean_square_slope(phi, q):
    return float(_slope(phi, _gauss() * q**0.5).square().mean())


def _q_cases(generator):
    q = torch.rand(3, generator=generator, dtype=torch.float64).tolist()
    return [
        (relu, 4.0),
        (tanh, 1.0),
        (tanh, 9.0),
        (sigmoid, 5 + 40 * q[0]),
        (leaky, 2 + q[1]),
        (hat, 0.3 + q[2]),
    ]


def _mean_variant(number, z_of=lambda q: _gauss() * q**0.5):
    def mean_square_slope(phi, q):
        z = z_of(q)
        return float(number(_slope(phi, z), phi(z), z, q))

    return mean_square_slope


def _even(low, high):
    return torch.linspace(low, high, SAMPLES, dtype=torch.float64)


def _even_variant(low, high, scale=math.sqrt):
    return _mean_variant(lambda s, h, z, q: s.square().mean(), lambda q: scale(q) * _even(low, high))


def _by_quadrature(phi, q):
    z = torch.linspace(-8, 8, 40_001, dtype=torch.float64)
    density = torch.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    return torch.trapezoid(density * _slope(phi, z * q**0.5) ** 2, z)


MEAN_SQUARE_SLOPE = Exercise(
    task="mean_square_slope(phi, q): the mean of phi'(z)**2 over Gaussian z with mean square q, within 3 %",
    reference=_mean_square_slope,
    cases=_q_cases,
    mistakes={
        "This is the square of the mean slope. Square first, then take the mean.": (
            _mean_variant(lambda s, h, z, q: s.mean().square())
        ),
        "This is the mean slope. A squared gradient is multiplied by the mean of its square.": (
            _mean_variant(lambda s, h, z, q: s.mean())
        ),
        "This is the mean square of phi itself, which the signal needs. The gradient needs the slope.": (
            _mean_variant(lambda s, h, z, q: h.square().mean())
        ),
        "z has the standard deviation q. Its mean square is to be q: multiply by the root of q.": (
            _mean_variant(lambda s, h, z, q: s.square().mean(), lambda q: _gauss() * q)
        ),
        "q was left out: z has mean square 1 here.": (
            _mean_variant(lambda s, h, z, q: s.square().mean(), lambda q: _gauss())
        ),
        "torch.rand draws evenly between 0 and 1. The pre-activations are Gaussian: torch.randn.": (
            _even_variant(0, 1)
        ),
        **{
            f"z is spread evenly, up to {k} times the root of q. The pre-activations are Gaussian: most of them lie near zero.": (
                _even_variant(-k, k)
            )
            for k in (1, 2, 3, 4, 5)
        },
        **{
            f"z is spread evenly from -{k} to {k}, whatever q is. Wanted is a Gaussian with mean square q.": (
                _even_variant(-k, k, lambda q: 1.0)
            )
            for k in (3, 4, 5)
        },
        "These are the four units of the example, whatever q is. Wanted is a Gaussian with mean square q.": (
            _mean_variant(
                lambda s, h, z, q: s.square().mean(),
                lambda q: torch.tensor([-2.0, -0.5, 0.5, 2.0], dtype=torch.float64),
            )
        ),
        "The slope was taken at one point, the root of q. Units stand at many z: take the mean over a Gaussian.": (
            _mean_variant(lambda s, h, z, q: s.square(), lambda q: torch.tensor(q).double().sqrt())
        ),
        "This is the mean size of a slope. Square each slope before the mean.": (
            _mean_variant(lambda s, h, z, q: s.abs().mean())
        ),
        "The root is too much: wanted is the mean of the squares, not the RMS.": (
            _mean_variant(lambda s, h, z, q: s.square().mean().sqrt())
        ),
        "The largest slope, squared. Only a few units stand where the slope is largest: take the mean.": (
            _mean_variant(lambda s, h, z, q: s.square().max())
        ),
        "The result was multiplied by q. The slope knows of q already, by where z lies.": (
            _mean_variant(lambda s, h, z, q: q * s.square().mean())
        ),
        "This is a sum over the samples. Take their mean.": (
            _mean_variant(lambda s, h, z, q: s.square().sum())
        ),
        "This is the variance of the slope, which takes the mean away first.": (
            _mean_variant(lambda s, h, z, q: s.var())
        ),
    },
    hints=(
        "Draw many z with torch.randn, or take the quantiles of a Gaussian as lesson 03 did. What must they be multiplied by?",
        "z = q**0.5 * torch.randn(200_000), then your slopes(phi, z)[0].",
        "float((slopes(phi, z)[0] ** 2).mean())",
    ),
    alternatives=(
        _by_quadrature,
        lambda phi, q: float(_slope(phi, q**0.5 * torch.randn(200_000)).square().mean()),
    ),
    rtol=0.03,
)


# 04.3 ----------------------------------------------------------------------------------------------------------------
LAYERS = 50
COARSE = 800  # quantiles for the mistakes: right to less than 1 %


def _settled_growth(phi, sigma_w):
    z, q = _gauss(), 1.0
    for _ in range(LAYERS):
        q = sigma_w**2 * float(phi(z * q**0.5).square().mean())
    return sigma_w * _mean_square_slope(phi, q) ** 0.5


def _scale_cases(generator):
    s = torch.rand(2, generator=generator, dtype=torch.float64).tolist()
    return [
        (tanh, 2.0),
        (relu, 1.0),
        (tanh, 0.5),
        (sigmoid, 6 + 4 * s[0]),
        (tanh, 3 + 5 * s[1]),
        (leaky, 1.4),
        (sigmoid, 1.0),
        (tanh, 1.0),  # three that settle slowly: a few layers are not enough
        (tanh, 1.1),
        (gelu, 1.5),
        (gelu, 1.525),  # here 25 are not enough
    ]


def _settled_variant(next_q, growth=lambda phi, s, q: s * _mean_square_slope(phi, q) ** 0.5, layers=LAYERS):
    def settled_growth(phi, sigma_w):
        z, q = _gauss(COARSE), 1.0
        for _ in range(layers):
            q = float(next_q(phi, sigma_w, z * q**0.5, q))
        return growth(phi, sigma_w, q)

    return settled_growth


def _next_q(phi, sigma_w, z, q):
    return sigma_w**2 * phi(z).square().mean()


def _growths(phi, sigma_w):
    """The factor of delta in each layer on the way, before q has settled."""
    z, q, found = _gauss(COARSE), 1.0, []
    for _ in range(LAYERS):
        found.append(sigma_w * float(_slope(phi, z * q**0.5).square().mean()) ** 0.5)
        q = float(_next_q(phi, sigma_w, z * q**0.5, q))
    return found


SETTLED_GROWTH = Exercise(
    task="settled_growth(phi, sigma_w): the factor of delta in layer 51: q = 1 sent through 50 layers, then the root of chi_1; within 3 %",
    reference=_settled_growth,
    cases=_scale_cases,
    mistakes={
        "q stayed at 1, where it starts. Send it through 50 layers first: q becomes sigma_w**2 times the mean square of phi.": (
            _settled_variant(_next_q, layers=0)
        ),
        "q went through one layer only. Deep in the network it has settled: 50 layers.": (
            _settled_variant(_next_q, layers=1)
        ),
        **{
            f"q went through {few} layers only. Near the critical scale it settles slowly: 50 layers.": (
                _settled_variant(_next_q, layers=few)
            )
            for few in (2, 3, 5, 10, 25)
        },
        "z was given the standard deviation q. q is a mean square: multiply the Gaussian by its root.": (
            _settled_variant(lambda phi, s, z, q: _next_q(phi, s, _gauss(COARSE) * q, q))
        ),
        "The length map took phi at one point, the root of q. Units stand at many z: take the mean of phi(z)**2.": (
            _settled_variant(lambda phi, s, z, q: s**2 * phi(torch.tensor(q).double().sqrt()).square())
        ),
        "The length map took phi at q itself. q is the mean square of a Gaussian z: take the mean of phi(z)**2.": (
            _settled_variant(lambda phi, s, z, q: s**2 * phi(torch.tensor(q).double()).square())
        ),
        "This is chi_1, the factor of the squared gradient. The growth of its size is the root.": (
            _settled_variant(_next_q, lambda phi, s, q: s**2 * _mean_square_slope(phi, q))
        ),
        "The weights are missing: the root of the mean squared slope has to be multiplied by sigma_w.": (
            _settled_variant(_next_q, lambda phi, s, q: _mean_square_slope(phi, q) ** 0.5)
        ),
        "The length map lacks sigma_w**2: the weights multiply the signal in every layer.": (
            _settled_variant(lambda phi, s, z, q: phi(z).square().mean())
        ),
        "The length map has sigma_w where it needs its square: q is a mean square.": (
            _settled_variant(lambda phi, s, z, q: s * phi(z).square().mean())
        ),
        "The signal was given its variance. Weights do not take the mean away: take the mean square of phi(z).": (
            _settled_variant(lambda phi, s, z, q: s**2 * phi(z).var())
        ),
        "The signal was multiplied by slopes. Forward it is phi itself: q becomes sigma_w**2 times the mean of phi(z)**2.": (
            _settled_variant(lambda phi, s, z, q: s**2 * _slope(phi, z).square().mean())
        ),
        "sigma_w stands there squared, the slope does not. The root of sigma_w**2 times the mean square is wanted.": (
            _settled_variant(_next_q, lambda phi, s, q: s**2 * _mean_square_slope(phi, q) ** 0.5)
        ),
        "The root was taken of sigma_w**2 alone. The mean squared slope stands under it as well.": (
            _settled_variant(_next_q, lambda phi, s, q: s * _mean_square_slope(phi, q))
        ),
        "This is the growth over all layers together. Wanted is that of one layer, where q has settled.": (
            lambda phi, sigma_w: math.prod(_growths(phi, sigma_w))
        ),
        "This is the mean growth of the layers on the way. Wanted is that of one layer, where q has settled.": (
            lambda phi, sigma_w: math.prod(_growths(phi, sigma_w)) ** (1 / LAYERS)
        ),
    },
    hints=(
        "Two steps: where does the signal settle, and what is the slope worth there?",
        "q = sigma_w**2 * (mean of phi(z)**2 with z of mean square q), 50 times; then sigma_w * mean_square_slope(phi, q)**0.5.",
        "gauss = torch.special.ndtri((torch.arange(2000).double() + 0.5) / 2000), then phi(gauss * q**0.5).square().mean()",
    ),
    alternatives=(
        lambda phi, sigma_w: torch.tensor(_settled_growth(phi, sigma_w)),
        _settled_variant(_next_q, lambda phi, s, q: float(s * _by_quadrature(phi, q) ** 0.5)),
    ),
    rtol=0.03,
)


# 04.4 ----------------------------------------------------------------------------------------------------------------
def _crossing(f, g, low, high):
    sign = f(low) > g(low)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if (f(middle) > g(middle)) == sign else (low, middle)
    return (low + high) / 2


def square(x):
    """x * x"""
    return x * x


def four(x):
    """4, whatever x"""
    return 4.0


def fall(x):
    """3 - x"""
    return 3.0 - x


def _crossing_cases(generator):
    a, b = torch.rand(2, generator=generator, dtype=torch.float64).tolist()

    return [
        (square, four, 0.0, 10.0),
        (four, square, 0.0, 10.0),
        (fall, square, 0.0, 3.0),
        (square, fall, 0.1 * a, 2 + b),
        (four, fall, -5 - a, 2 + b),
        (math.exp, four, a, 3 + b),
        (math.sqrt, fall, 0.2, 3.0),
    ]


def _bisect(keep_low, steps=60, answer=lambda f, g, low, high: (low + high) / 2):
    def crossing(f, g, low, high):
        start = f(low) > g(low)
        for _ in range(steps):
            middle = (low + high) / 2
            low, high = (middle, high) if keep_low(f(middle), g(middle), start) else (low, middle)
        return answer(f, g, low, high)

    return crossing


def _same_side(a, b, start):
    return (a > b) == start


def _on_a_grid(points):
    def crossing(f, g, low, high):
        grid = [low + (high - low) * k / (points - 1) for k in range(points)]
        return min(grid, key=lambda x: abs(f(x) - g(x)))

    return crossing


def _without_brackets(f, g, low, high):
    start = f(low) > g(low)
    for _ in range(20):
        middle = low + high / 2
        low, high = (middle, high) if _same_side(f(middle), g(middle), start) else (low, middle)
    return low + high / 2


def _zero_of_f(f, g, low, high):
    return _crossing(f, lambda x: 0.0, low, high)


CROSSING = Exercise(
    task="crossing(f, g, low, high): the x between low and high at which f(x) = g(x), to four digits; one of them is above at low, the other at high",
    reference=_crossing,
    cases=_crossing_cases,
    mistakes={
        "This works when g is above f at low. When f is above it runs the other way: ask first which is above at low.": (
            _bisect(lambda a, b, start: a < b)
        ),
        "This works when f is above g at low. When g is above it runs the other way: ask first which is above at low.": (
            _bisect(lambda a, b, start: a > b)
        ),
        "The wrong half is kept each time: if f and g stand at the middle as they do at low, the crossing lies above the middle.": (
            _bisect(lambda a, b, start: not _same_side(a, b, start))
        ),
        "The interval was halved too few times: to four digits it takes about 15.": (
            _bisect(_same_side, steps=4)
        ),
        "The interval was halved ten times, which gives three digits. It takes about 15.": (
            _bisect(_same_side, steps=10)
        ),
        **{
            f"A grid of {points} points is too coarse for four digits. Halve the interval instead: each time the error halves.": (
                _on_a_grid(points)
            )
            for points in (100, 1000)
        },
        "low + high / 2 is not the middle: the division comes first. Write (low + high) / 2.": _without_brackets,
        "g is not in it: this is where f is 0. Compare f with g at the middle.": _zero_of_f,
        "This is the middle of the interval, where the search begins.": _bisect(_same_side, steps=0),
        "This is the height at which they cross. Wanted is the x.": (
            _bisect(_same_side, answer=lambda f, g, low, high: f((low + high) / 2))
        ),
        "One straight line was drawn between the ends. The functions bend: halve the interval again and again.": (
            lambda f, g, low, high: (
                low + (high - low) * (g(low) - f(low)) / (g(low) - f(low) + f(high) - g(high))
            )
        ),
    },
    hints=(
        "At the middle of the interval, which is above? The same as at low: the crossing lies in the upper half.",
        "first = f(low) > g(low); then 40 times: middle = (low + high) / 2, and one of the two ends moves there.",
        "if (f(middle) > g(middle)) == first: low = middle, else: high = middle",
    ),
    alternatives=(
        lambda f, g, low, high: torch.tensor(_crossing(f, g, low, high), dtype=torch.float64),
        _bisect(_same_side, steps=25),
    ),
    rtol=2e-4,
    deeper=True,
)


# 04.5 ----------------------------------------------------------------------------------------------------------------
GIVEN_SCALE = 3.0
SMALL = 0.2  # RMS of small inputs: they see a mean squared slope of GELU of a quarter, those of RMS 1 nearly one half


def _measure_design(phi, sigma_w, depth, width, size):
    """What random networks with the learner's phi do with inputs of this RMS; the words that the verdict compares."""
    z = torch.linspace(-6, 6, 49)
    h = torch.as_tensor(phi(z.clone()))
    if h.shape != z.shape:
        raise ValueError(
            f"phi must keep the shape of its input: given {tuple(z.shape)}, got {tuple(h.shape)}"
        )
    h, part = h.detach(), torch.as_tensor(phi(z[:20].clone())).detach()
    if not torch.allclose(part, h[:20], rtol=1e-4, atol=1e-6):
        return "it mixes each z with its neighbours"
    if bool((h == h[0]).all()):
        return "it is constant"
    if float(with_slope(phi, z)[1].abs().max()) == 0:
        return "no gradient passes"
    if bool((h.diff().diff().abs() < 1e-3 * h.abs().max()).all()):
        return "it is a straight line, or nearly"

    def resized(z):  # phi in this network does what it does with inputs of the given size
        return phi(size * z) / size

    sizes = gradient_profile(depth, width, resized, sigma_w, seeds=4, batch=8, dtype=torch.float64).delta[0]
    ratio = float((sizes[:, 0] / sizes[:, -1]).median())
    return "the gradient " + ("explodes" if not ratio <= 10 else "vanishes" if ratio < 0.1 else "is steady")


def _design_cases(generator):
    width = int(torch.randint(60, 80, (), generator=generator))
    return [
        (GIVEN_SCALE, 30, 64, 1.0),
        (GIVEN_SCALE, 30, 64, SMALL),
        (GIVEN_SCALE, 30, width, 1.0),
        (GIVEN_SCALE, 30, width + 20, SMALL),
    ]


def _steady(z):
    return F.relu(z) * (2**0.5 / GIVEN_SCALE)


DESIGN = Exercise(
    task="steady(z): elementwise and bent, such that at sigma_w = 3 the gradient crosses 30 layers within a factor of 10",
    reference=_steady,
    cases=_design_cases,
    call=_measure_design,
    given=("sigma_w", "depth", "width", "RMS of the inputs"),
    mistakes={
        "A straight line, or nearly: 30 such layers are one linear map. Bend it.": lambda z: z / GIVEN_SCALE,
        "At sigma_w = 3 the gradient explodes. The slope is too large where the signal lies: make phi flatter.": (
            torch.tanh
        ),
        "At sigma_w = 3 the gradient vanishes. The slope is too small where the signal lies, and 30 layers multiply it.": (
            lambda z: torch.sigmoid(z)
        ),
        "Steady for inputs of RMS 1, and the gradient vanishes for small ones, which see another slope. GELU has no scale for both.": (
            lambda z: F.gelu(z) * (2**0.5 / GIVEN_SCALE)
        ),
        "Steady for small inputs, and the gradient vanishes for those of RMS 1: they reach the flat parts. Stretch it along z.": (
            lambda z: torch.tanh(z) / GIVEN_SCALE
        ),
        "Its slope is zero everywhere (or was cut off from autograd), so that no gradient passes at all.": (
            torch.sign
        ),
        "A constant has no slope: no gradient passes, and no signal either.": torch.zeros_like,
        "This treats the units of a row together. An activation is given one z at a time (lesson 08 comes to the other kind).": (
            lambda z: F.layer_norm(z, z.shape[-1:])
        ),
    },
    hints=(
        "chi_1 = sigma_w**2 times the mean squared slope, and sigma_w**2 = 9. How large must the mean squared slope be?",
        "Take an activation whose critical scale you know, and shrink its input or its output so that the weights look smaller.",
        "ReLU is critical at sqrt(2): relu(z) * sqrt(2) / 3. Others work, too.",
    ),
    alternatives=(
        lambda z: torch.tanh(z / GIVEN_SCALE),
        lambda z: F.leaky_relu(z, 0.5) * (2 / 1.25) ** 0.5 / GIVEN_SCALE,
        lambda z: torch.where(z > 0, z, -z / 2) * (2 / 1.25) ** 0.5 / GIVEN_SCALE,
    ),
    deeper=True,
)


# 04.6 ----------------------------------------------------------------------------------------------------------------
def _dead_fraction(h):
    return float((h == 0).all(0).float().mean())


def _layer_cases(generator):
    def layer(batch, units, shift, dtype=torch.float32):
        z = torch.randn(batch, units, generator=generator, dtype=dtype)
        z = z - shift * torch.rand(units, generator=generator, dtype=dtype)
        h = torch.where(z > 0, z + 4, 0.0)  # no unit answers so weakly that a small threshold would miss it
        h[:, 0] = 0.0
        h[:, 1] = 0.0
        h[0, 1] = 5.0  # this one answers to a single image
        return h

    return [
        (torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 2.0]]),),
        (torch.tensor([[0.0, 0.0], [0.0, 0.0], [0.0, 3.0]]),),
        (layer(4, 6, 3.0),),
        (layer(8, 20, 4.0, torch.float64),),
        (layer(32, 50, 6.0),),
        (torch.rand(5, 7, generator=generator) + 0.1,),
        (torch.tensor([[0.0, 1e-30, 0.0, 0.0], [0.0, 0.0, 2.0, 0.0], [0.0, 0.0, 0.0, 4.0]]).double(),),
        (torch.tensor([[2.0, 0.0, 1.0], [2.0, 0.0, 3.0]]),),  # the first answers to both images alike
    ]


DEAD_FRACTION = Exercise(
    task="dead_fraction(h): the fraction of units that are 0 for every image; h is (B, n), one row an image, after a ReLU",
    reference=_dead_fraction,
    cases=_layer_cases,
    mistakes={
        "This is the fraction of zeros. A unit that is silent for some images is well; a dead one is silent for all.": (
            lambda h: float((h == 0).float().mean())
        ),
        "The axes are exchanged: these are images that wake no unit. Units are columns: all(0).": (
            lambda h: float((h == 0).all(1).float().mean())
        ),
        "These are the units that are silent at least once. Dead means for every image: all, not any.": (
            lambda h: float((h == 0).any(0).float().mean())
        ),
        "This is the number of dead units. Divide it by the number of units.": (
            lambda h: float((h == 0).all(0).sum())
        ),
        "This is the fraction of living units.": lambda h: float((h != 0).any(0).float().mean()),
        "A threshold counts units that are only quiet. After a ReLU a dead unit is exactly 0.": (
            lambda h: float((h.mean(0) < 0.1).float().mean())
        ),
        "The number of dead units was divided by the number of images. Divide by the number of units.": (
            lambda h: float((h == 0).all(0).sum() / len(h))
        ),
        "A unit that answers every image alike was counted as dead. A dead one answers with 0.": (
            lambda h: float((h == h[0]).all(0).float().mean())
        ),
        "True and False have no mean in torch. Turn them into numbers first: .float().mean().": (
            lambda h: float((h == 0).all(0).mean())
        ),
    },
    hints=(
        "First one answer a unit, then one number. A unit is a column of h.",
        "(h == 0).all(0) is True for the dead units.",
        "The mean of True and False, as floats, is a fraction.",
    ),
    alternatives=(
        lambda h: (h.max(0).values == 0).float().mean(),
        lambda h: 1 - float((h > 0).any(0).double().mean()),
    ),
    rtol=1e-5,
)

EXERCISES = {
    "04.1": SLOPES,
    "04.2": MEAN_SQUARE_SLOPE,
    "04.3": SETTLED_GROWTH,
    "04.4": CROSSING,
    "04.5": DESIGN,
    "04.6": DEAD_FRACTION,
}
