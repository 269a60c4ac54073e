"""Exercises of lesson 11: precision."""

import math

import torch

from gradutils.course.exercise import Exercise, drawer

HALF = torch.bfloat16


# 11.1 ----------------------------------------------------------------------------------------------------------------
def _ulp(x, bits):
    return 2.0 ** (math.floor(math.log2(abs(x))) - bits)


def _ulp_cases(generator):
    draws = drawer(generator, torch.float64)(4).tolist()
    return [
        (1.0, 7),
        (3.0, 7),
        (0.1, 7),
        (-6.0, 7),
        (1.9, 10),
        (0.3, 23),
        (-0.11, 10),
        (200 + 10 * draws[0], 7),
        (draws[1] / 100, 10),
        (-3 - abs(draws[2]), 23),
        (draws[3], 7),
    ]


def _power(exponent):
    return lambda x, bits: 2.0 ** exponent(abs(x), bits)


ULP = Exercise(
    task="ulp(x, bits): the distance between neighbours where x lies, in a format that stores so many bits behind the first",
    reference=_ulp,
    cases=_ulp_cases,
    mistakes={
        "This is the gap at 1. It grows with x: multiply by the power of two at or below |x|.": (
            lambda x, bits: 2.0**-bits
        ),
        "The gap does not grow smoothly: from one power of two to the next it is the same. A floor is missing.": (
            lambda x, bits: abs(x) * 2.0**-bits
        ),
        "Rounded to the nearest power of two. Take the one at or below |x|: floor.": (
            _power(lambda x, bits: round(math.log2(x)) - bits)
        ),
        "This is the power of two above |x|. Take the one at or below it: floor.": (
            _power(lambda x, bits: math.ceil(math.log2(x)) - bits)
        ),
        "Below 1 the logarithm is negative, and int() rounds it up. Use math.floor.": (
            _power(lambda x, bits: int(math.log2(x)) - bits)
        ),
        "This is half of the gap: the largest rounding. The first bit is not among the stored ones.": (
            _power(lambda x, bits: math.floor(math.log2(x)) - bits - 1)
        ),
        "Twice the gap. Between 2^k and 2^(k+1) lie 2^bits numbers: k is the floor of log2, not one more.": (
            _power(lambda x, bits: math.floor(math.log2(x)) - bits + 1)
        ),
        "The natural logarithm counts powers of e. Take math.log2.": (
            _power(lambda x, bits: math.floor(math.log(x)) - bits)
        ),
        "A distance has no sign: begin with abs(x).": (lambda x, bits: math.copysign(_ulp(x, bits), x)),
        "log2 knows no negative numbers: begin with abs(x).": (
            lambda x, bits: 2.0 ** (math.floor(math.log2(x)) - bits)
        ),
        "This is the power of two at or below |x|. Between it and the next lie 2^bits steps: divide.": (
            _power(lambda x, bits: math.floor(math.log2(x)))
        ),
        "The stored bits make the gap smaller: 2 to the power of minus bits.": (
            _power(lambda x, bits: math.floor(math.log2(x)) + bits)
        ),
    },
    hints=(
        "Between 2^k and 2^(k+1) lie 2^bits steps of one length.",
        "k = math.floor(math.log2(abs(x))), and the gap is 2.0 ** (k - bits).",
    ),
    alternatives=(
        lambda x, bits: math.ulp(x) * 2.0 ** (52 - bits),
        lambda x, bits: math.ldexp(1.0, math.frexp(x)[1] - 1 - bits),
    ),
)


# 11.2 ----------------------------------------------------------------------------------------------------------------
def _lost(w, update):
    return (w + update).to(HALF) == w  # the sum of both formats is float32


def _gap(w):
    return 2.0 ** (w.float().abs().log2().floor() - 7)


def _lost_cases(generator):
    randn = drawer(generator)

    def case(n, w=None):
        w = (randn(n) * 0.2).to(HALF) if w is None else w
        part = torch.tensor([0.03, 0.2, 0.4, 0.6, 0.8, 1.5])  # of a gap, far from the edges
        part = part[torch.randint(6, (len(w),), generator=generator)] * (
            0.9 + 0.2 * torch.rand(len(w), generator=generator)
        )
        return w, part * _gap(w) * randn(len(w)).sign()

    powers = torch.tensor([1.0, 1.0, -0.5, -0.5, 2.0, -1.0, 0.25])
    moves = torch.tensor([0.003, -0.003, -0.0013, 0.0013, -0.006, 0.003, -0.0007])
    return [
        (torch.tensor([1.5, 1.5, 0.1, 0.1]).to(HALF), torch.tensor([0.003, 0.006, 0.0002, 0.0003])),
        (torch.tensor([1.5, -1.5, 0.1]).to(HALF), torch.tensor([-0.003, -0.006, -0.0003])),
        (powers.to(HALF), moves),
        (torch.tensor([1.95, -1.05]).to(HALF), torch.tensor([0.0045, 0.003])),
        (torch.tensor([1.5, 1.5, -0.1]).to(HALF), torch.tensor([0.00586, -0.00586, 0.00037])),
        (
            torch.tensor([1.5, -1.25, 1.5]).to(HALF),
            torch.tensor([0.00391, -0.00391, 1e-9]),
        ),  # just above; far below
        case(40),
        case(200),
    ]


def _truncated(x):
    return (x.view(torch.int32) & -65536).view(torch.float32)


LOST = Exercise(
    task="lost(w, update): for each weight (bfloat16) whether the update (float32) leaves it as it is, once the sum is stored in bfloat16",
    reference=_lost,
    cases=_lost_cases,
    mistakes={
        "bfloat16 plus float32 is float32, so nothing was rounded. Store the sum: .to(torch.bfloat16).": (
            lambda w, update: w + update == w
        ),
        "The update was rounded before it was added: one just above half a gap may become exactly that. Only the sum is.": (
            lambda w, update: w + update.to(HALF) == w
        ),
        "This asks whether the update alone becomes 0. bfloat16 holds far smaller numbers: it is the sum that is rounded.": (
            lambda w, update: update.to(HALF) == 0
        ),
        "Compared with a whole gap. The sum is rounded to the nearest, so half a gap is enough to move it.": (
            lambda w, update: update.abs() < _gap(w)
        ),
        "Half a gap is right but for powers of two: below one the neighbours are twice as close.": (
            lambda w, update: update.abs() < _gap(w) / 2
        ),
        "Compared with half the gap at 1. The gap belongs to each weight.": (
            lambda w, update: update.abs() < 2.0**-8
        ),
        "Compared with a fixed share of the weight. The gap jumps at powers of two and is the same between them.": (
            lambda w, update: update.abs() < w.float().abs() * 2.0**-8
        ),
        "The update has a sign: a large one that is negative is not lost.": (
            lambda w, update: update < _gap(w) / 2
        ),
        "Cut off instead of rounded: a cast to bfloat16 takes the nearest number.": (
            lambda w, update: _truncated(w.float() + update) == w.float()
        ),
        "The other way round: True where the weight moves.": lambda w, update: ~_lost(w, update),
        "This is the sum itself. Compare it with w.": lambda w, update: (w.float() + update).to(HALF),
        "This asks whether the update itself was rounded. It is the sum that is stored.": (
            lambda w, update: update.to(HALF).float() != update
        ),
        "This is the rule of float16, which stores ten bits.": (
            lambda w, update: (w.float() + update).to(torch.float16) == w.to(torch.float16)
        ),
    },
    hints=(
        "No formula is needed: add in float32, store the sum in bfloat16, and compare.",
        "w.float() + update is a float32; .to(torch.bfloat16) stores it. Is it w?",
    ),
    alternatives=(
        lambda w, update: ~(w + update).to(HALF).ne(w),
        lambda w, update: torch.add(w, update).bfloat16().eq(w),
    ),
)


# 11.3 ----------------------------------------------------------------------------------------------------------------
def _stochastic_round(x, gap, noise):
    return torch.floor(x / gap + noise) * gap


def _rows_in_order(function, x, gap, noise):
    """Each row holds one x many times, and noise that is evenly spread: how often it goes up counts, not where."""
    found = function(x, gap, noise)
    right = isinstance(found, torch.Tensor) and found.shape == x.shape
    return found.sort(-1).values if right else found


def _rounding_cases(generator):
    def case(values, gap, count=20):
        x = torch.as_tensor(values, dtype=torch.float64).unsqueeze(1).repeat(1, count)
        places = torch.stack([torch.randperm(count, generator=generator) for _ in x])
        return x, gap, (places.double() + 0.5) / count

    def between(n, gap):  # in the middle of the steps of the noise, so that no sum lies on an edge
        whole = torch.randint(-8, 8, (n,), generator=generator)
        part = torch.randint(1, 20, (n,), generator=generator) / 20
        return (whole + part.double()) * gap

    return [
        case([0.25], 1.0, 4),
        case([1.5, -0.5], 1.0, 4),
        case([-0.25, 2.75, 3.0], 1.0, 4),
        case([0.3, 0.0], 0.5),
        case(between(4, 0.125), 0.125),
        case(between(6, 2.0), 2.0),
    ]


STOCHASTIC_ROUND = Exercise(
    task="stochastic_round(x, gap, noise): each x on the grid of multiples of gap, up or down by its noise (uniform from 0 to 1), so that the mean is x",
    reference=_stochastic_round,
    cases=_rounding_cases,
    call=_rows_in_order,
    mistakes={
        "The noise is in units of the gap: divide x by gap first, and then add it.": (
            lambda x, gap, noise: torch.floor((x + noise) / gap) * gap
        ),
        "Noise was added and then rounded to the nearest: half a gap too high on average. Round down.": (
            lambda x, gap, noise: torch.round(x / gap + noise) * gap
        ),
        "The noise was centred and then rounded down: half a gap too low on average.": (
            lambda x, gap, noise: torch.floor(x / gap + noise - 0.5) * gap
        ),
        "Negative numbers are cut towards 0: round down with torch.floor.": (
            lambda x, gap, noise: torch.trunc(x / gap + noise) * gap
        ),
        "So whole numbers are the grid. Count in gaps: divide x by gap, add the noise, and multiply at the end.": (
            lambda x, gap, noise: torch.floor(x + noise)
        ),
        "A fair coin, even for what lies on the grid. The chance to go up is the fraction of x / gap.": (
            lambda x, gap, noise: (torch.floor(x / gap) + (noise < 0.5)) * gap
        ),
        "The noise is not used: this is rounding to the nearest.": (
            lambda x, gap, noise: torch.round(x / gap) * gap
        ),
        "The noise is not used: this always rounds down.": lambda x, gap, noise: torch.floor(x / gap) * gap,
        "These are numbers of gaps. Multiply by gap again.": (
            lambda x, gap, noise: torch.floor(x / gap + noise)
        ),
        "Rounded up after noise was added: one gap too high on average. Round down.": (
            lambda x, gap, noise: torch.ceil(x / gap + noise) * gap
        ),
        "One number of noise serves all entries. Each has its own.": (
            lambda x, gap, noise: torch.floor(x / gap + noise.flatten()[0]) * gap
        ),
        "The noise reaches over two gaps. It goes from 0 to 1.": (
            lambda x, gap, noise: torch.floor(x / gap + 2 * noise) * gap
        ),
        "Up and down are equally likely here. The nearer one must be the likelier, or the mean is not x.": (
            lambda x, gap, noise: (torch.floor(x / gap) + (noise > 0.5) * (x % gap != 0)) * gap
        ),
        "The chances are exchanged: near the upper one it must go up more often.": (
            lambda x, gap, noise: (torch.floor(x / gap) + (noise > (x / gap) % 1)) * gap
        ),
        "It is not on the grid: noise was added and nothing rounded.": lambda x, gap, noise: (
            x + (noise - 0.5) * gap
        ),
        "x was multiplied by the gap. How many gaps is it? Divide.": (
            lambda x, gap, noise: torch.floor(x * gap + noise) * gap
        ),
    },
    hints=(
        "x / gap says how many gaps x is, and its fraction is the chance to go up.",
        "Add the noise to x / gap and round down: torch.floor.",
    ),
    alternatives=(
        lambda x, gap, noise: (torch.floor(x / gap) + (noise < (x / gap) % 1)) * gap,
        lambda x, gap, noise: torch.ceil(x / gap - noise) * gap,
    ),
)


# 11.4 ----------------------------------------------------------------------------------------------------------------
def _stuck(beta2):
    return min(max(math.log2(2**-8 / (1 - beta2)), 0.0), 1.0)


def _stuck_cases(generator):
    draws = torch.rand(4, generator=generator, dtype=torch.float64)
    between = 1 - 2.0 ** (-9 + 0.05 + 0.9 * draws)  # where the share lies between 0 and 1
    return [(b,) for b in (0.997, 0.9, 0.99, 0.995, 0.998, 0.999, 0.9999)] + [(b,) for b in between.tolist()]


def _stuck_variant(share):
    return lambda beta2: min(max(share(beta2), 0.0), 1.0)


STUCK = Exercise(
    task="stuck(beta2): the share of the running averages v that cannot fall in bfloat16, whose logarithms are evenly spread",
    reference=_stuck,
    cases=_stuck_cases,
    mistakes={
        "Compared with a whole gap. A sum is rounded to the nearest: half a gap, 2^-8, is the border.": (
            _stuck_variant(lambda b: math.log2(2**-7 / (1 - b)))
        ),
        "Compared with a quarter of a gap. bfloat16 stores 7 bits, so half a gap is 2^-8.": (
            _stuck_variant(lambda b: math.log2(2**-9 / (1 - b)))
        ),
        "A share lies between 0 and 1: clip it.": lambda b: math.log2(2**-8 / (1 - b)),
        "Above 1 it was not clipped: where every m is stuck the share is 1.": (
            lambda b: max(math.log2(2**-8 / (1 - b)), 0.0)
        ),
        "Below 0 it was not clipped: where no m is stuck the share is 0.": (
            lambda b: min(math.log2(2**-8 / (1 - b)), 1.0)
        ),
        "So it would be if m itself were evenly spread. Its logarithm is: the share of m below a border is log2(border).": (
            _stuck_variant(lambda b: 2**-8 / (1 - b) - 1)
        ),
        "This is the border for m, and it may lie beyond 1 to 2. The share of m below it is its log2, from 0 to 1.": (
            lambda b: 2**-8 / (1 - b)
        ),
        "So it would be if m itself were evenly spread, and not clipped. Take log2 of the border, from 0 to 1.": (
            lambda b: 2**-8 / (1 - b) - 1
        ),
        "The natural logarithm: m goes from 1 to 2, so take log2.": (
            _stuck_variant(lambda b: math.log(2**-8 / (1 - b)))
        ),
        "This is the share that can fall. Stuck is what lies below the border.": lambda b: 1 - _stuck(b),
        "v falls by (1 - beta2) v per step, not by beta2 v.": _stuck_variant(lambda b: math.log2(2**-8 / b)),
        "Upside down: with a larger beta2 v falls by less, and more of it is stuck.": (
            _stuck_variant(lambda b: math.log2((1 - b) / 2**-8))
        ),
        "This is all or nothing. Between the two the share of the m below the border is stuck.": (
            lambda b: float(1 - b < 2**-8)
        ),
        "This is the border for m. The share of the m below it, with even logarithms, is log2(border).": (
            _stuck_variant(lambda b: 2**-8 / (1 - b))
        ),
        "The gap of float16 was taken: bfloat16 stores 7 bits.": (
            _stuck_variant(lambda b: math.log2(2**-11 / (1 - b)))
        ),
    },
    hints=(
        "Write v = m 2^k with m from 1 to 2: half a gap is 2^(k-8), and v wants to fall by (1 - beta2) m 2^k.",
        "Stuck are the m below 2^-8 / (1 - beta2). How large is their share if log2(m) is even from 0 to 1?",
        "min(max(math.log2(2**-8 / (1 - beta2)), 0), 1).",
    ),
    alternatives=(
        lambda beta2: float(torch.tensor(-8 - math.log2(1 - beta2)).clamp(0, 1)),
        lambda beta2: 0 if 1 - beta2 >= 2**-8 else 1 if 1 - beta2 <= 2**-9 else -8 - math.log2(1 - beta2),
    ),
    rtol=1e-4,
)


# 11.5 ----------------------------------------------------------------------------------------------------------------
def _layers_seen(factor, top, scale):
    return max(math.log(0.6745 * top * scale * 2**25) / -math.log(factor), 0.0)


def _layers_cases(generator):
    a, b, c = torch.rand(3, generator=generator, dtype=torch.float64).tolist()
    return [
        (0.5, 1e-3, 1.0),
        (0.5, 1e-3, 2.0),
        (0.7, 1e-3, 1.0),
        (0.7, 1e-2, 256.0),
        (0.5, 1e-9, 1.0),
        (0.5 + 0.4 * a, 1e-3 * (1 + b), 1024.0),
        (0.6 + 0.3 * b, 1e-5 * (1 + c), 1.0),
        (0.3 + 0.3 * c, 1e-4, 64.0),
    ]


def _seen(size, rate=lambda factor: -math.log(factor), log=math.log):
    return lambda factor, top, scale: max(log(size(top, scale)) / rate(factor), 0.0)


LAYERS_SEEN = Exercise(
    task="layers_seen(factor, top, scale): after how many layers half of the deltas are 0 in float16 (not rounded), if each layer multiplies their size by factor",
    reference=_layers_seen,
    cases=_layers_cases,
    mistakes={
        "2^-14 is the smallest number with all its bits. Smaller ones are stored, with fewer: 0 begins below 2^-25.": (
            _seen(lambda top, scale: 0.6745 * top * scale * 2**14)
        ),
        "2^-24 is the smallest number stored. What lies above half of it is rounded up to it: 0 begins below 2^-25.": (
            _seen(lambda top, scale: 0.6745 * top * scale * 2**24)
        ),
        "This is where the size itself passes the border. Half of the deltas are 0 once their median does: 0.6745 times the size.": (
            _seen(lambda top, scale: top * scale * 2**25)
        ),
        "The median was divided by. It is smaller than the size: multiply by 0.6745.": (
            _seen(lambda top, scale: top * scale * 2**25 / 0.6745)
        ),
        "The scale multiplies the loss, and so every delta: it buys layers.": (
            _seen(lambda top, scale: 0.6745 * top / scale * 2**25)
        ),
        "The scale is missing: it multiplies every delta.": (_seen(lambda top, scale: 0.6745 * top * 2**25)),
        "ln 2 was taken for every factor. Each layer multiplies by factor: divide by ln(1 / factor).": (
            _seen(lambda top, scale: 0.6745 * top * scale * 2**25, lambda f: math.log(2))
        ),
        "A doubling of the scale buys one layer only where factor is 0.5. Put the scale under the logarithm, beside top.": (
            lambda factor, top, scale: (
                max(math.log(0.6745 * top * 2**25) / -math.log(factor), 0.0) + math.log2(scale)
            )
        ),
        "factor was squared. It is the factor of the size; chi_1 is its square.": (
            _seen(lambda top, scale: 0.6745 * top * scale * 2**25, lambda f: -2 * math.log(f))
        ),
        "A root was taken of factor. It is the factor of the size already.": (
            _seen(lambda top, scale: 0.6745 * top * scale * 2**25, lambda f: -math.log(f) / 2)
        ),
        "Two kinds of logarithm are mixed. Take the same above and below.": (
            _seen(lambda top, scale: 0.6745 * top * scale * 2**25, log=math.log2)
        ),
        "A depth is not negative: where half are 0 at once, it is 0.": (
            lambda factor, top, scale: math.log(0.6745 * top * scale * 2**25) / -math.log(factor)
        ),
        "The sign is the other way round: ln(factor) is negative, because factor is below 1.": (
            lambda factor, top, scale: math.log(0.6745 * top * scale * 2**25) / math.log(factor)
        ),
        "Rounded. The task wants the number as it is.": (
            lambda factor, top, scale: float(math.floor(_layers_seen(factor, top, scale)))
        ),
        "This is the depth at which it would overflow: 65504 belongs to the other end of the format.": (
            lambda factor, top, scale: abs(math.log(65504 / (top * scale)) / math.log(factor))
        ),
        "1 / factor was taken for its logarithm: the layers multiply.": (
            _seen(lambda top, scale: 0.6745 * top * scale * 2**25, lambda f: 1 / f)
        ),
        "top is missing: it is the size with which the deltas begin.": (
            _seen(lambda top, scale: 0.6745 * scale * 2**25)
        ),
    },
    hints=(
        "After L layers their median is 0.6745 * top * scale * factor ** L. When is that 2 ** -25?",
        "L = log(0.6745 * top * scale * 2**25) / log(1 / factor), and at least 0.",
    ),
    alternatives=(
        lambda factor, top, scale: max(0.0, math.log(2**-25 / (0.6745 * top * scale), factor)),
        lambda factor, top, scale: max(
            0, (25 + math.log2(0.6745 * top) + math.log2(scale)) / math.log2(1 / factor)
        ),
    ),
    rtol=1e-3,
)


# 11.6 ----------------------------------------------------------------------------------------------------------------
def _safe_softmax(z):
    e = (z - z.amax(-1, keepdim=True)).exp()
    return e / e.sum(-1, keepdim=True)


def _softmax_cases(generator):
    randn = drawer(generator)
    far = torch.tensor([[0.0], [-300.0], [400.0]])  # rows at different places
    masked = torch.tensor([[1.0, 2.0, -math.inf], [-math.inf, 30.0, 29.0]])
    return [
        (torch.tensor([[0.0, 1.0]]).half(),),
        (torch.tensor([[20.0, 19.0, 0.0]]).half(),),
        (torch.tensor([[100.0, 99.0], [-100.0, -99.0]]).half(),),
        (masked.half(),),
        (torch.tensor([[0.0, 0.0, 40.0, -40.0]]).half(),),
        ((randn(3, 5) + far).half(),),
        ((8 * randn(4, 12)).half(),),
        ((randn(2, 3, 6) * 30).half(),),
    ]


def _softmax_variant(shift, after=lambda e: e / e.sum(-1, keepdim=True)):
    return lambda z: after((z - shift(z)).exp())


SAFE_SOFTMAX = Exercise(
    task="safe_softmax(z): the softmax over the last dimension, in the format of z (float16), for logits of any size",
    reference=_safe_softmax,
    cases=_softmax_cases,
    mistakes={
        "exp(12) is beyond float16, and inf / inf is NaN. Subtract each row's maximum first.": (
            _softmax_variant(lambda z: 0)
        ),
        "The mean was subtracted. A logit far above the mean still overflows: subtract the maximum.": (
            _softmax_variant(lambda z: z.mean(-1, keepdim=True))
        ),
        "One maximum for all rows: in a row far below it all terms are 0, and 0 / 0 is NaN. One each: keepdim=True.": (
            _softmax_variant(lambda z: z.amax())
        ),
        "This is the maximum over the first dimension. Each row needs its own: amax(-1, keepdim=True).": (
            _softmax_variant(lambda z: z.amax(0, keepdim=True))
        ),
        "The minimum was subtracted: all exponents are positive now, and overflow.": (
            _softmax_variant(lambda z: z.amin(-1, keepdim=True))
        ),
        "The logits were cut off where exp would overflow. Softmax depends on their differences: subtract the maximum.": (
            lambda z: _safe_softmax(z.clamp(max=11))
        ),
        "The largest size was subtracted. Where all logits are negative that pushes them all to 0: take the maximum.": (
            _softmax_variant(lambda z: z.nan_to_num(neginf=0).abs().amax(-1, keepdim=True))
        ),
        "Each row was divided by its maximum. That changes the differences: subtract it.": (
            lambda z: torch.softmax(z / z.amax(-1, keepdim=True), -1)
        ),
        "A small number in the denominator does not help: 1e-8 is 0 in float16, and inf / inf stays NaN.": (
            lambda z: (e := z.exp()) / (e.sum(-1, keepdim=True) + 1e-8) + 0 * e.sum()
        ),
        "Normalised over the first dimension. Each row sums to 1.": (
            _softmax_variant(lambda z: z.amax(-1, keepdim=True), lambda e: e / e.sum(0, keepdim=True))
        ),
        "The sum is missing: divide by it, so that a row sums to 1.": (
            _softmax_variant(lambda z: z.amax(-1, keepdim=True), lambda e: e)
        ),
        "These are the logarithms. Take exp.": lambda z: torch.log_softmax(z, -1),
        "Computed in float32 and left there: return the format of z.": (
            lambda z: torch.softmax(z.float(), -1)
        ),
    },
    hints=(
        "The same number subtracted from all logits of a row changes no softmax. Which one keeps exp from overflowing?",
        "z - z.amax(-1, keepdim=True): the largest term is then exp(0) = 1.",
    ),
    alternatives=(
        lambda z: torch.softmax(z, -1),
        lambda z: torch.softmax(z, -1, dtype=torch.float32).to(z.dtype),
        lambda z: (
            z - z.amax(-1, keepdim=True) - (z - z.amax(-1, keepdim=True)).exp().sum(-1, keepdim=True).log()
        ).exp(),
    ),
    deeper=True,
)


EXERCISES = {
    "11.1": ULP,
    "11.2": LOST,
    "11.3": STOCHASTIC_ROUND,
    "11.4": STUCK,
    "11.5": LAYERS_SEEN,
    "11.6": SAFE_SOFTMAX,
}
