"""Exercises of lesson 01: gradient descent."""

import math
from functools import cache

import torch

from gradutils.course.exercise import Exercise, drawer
from gradutils.data import quadratic


# 01.1 ----------------------------------------------------------------------------------------------------------------
def _step(x, gradient, lr):
    return x - lr * gradient


def _step_cases(generator):
    randn = drawer(generator)
    return [
        (torch.tensor(3.0), torch.tensor(2.0), 0.5),
        (torch.tensor([1.0, 2.0]), torch.tensor([10.0, -10.0]), 0.1),
        (randn(4, dtype=torch.float64), randn(4, dtype=torch.float64), 0.3),
        (randn(2, 3), randn(2, 3), 1.7),
        (randn(2, 3), randn(2, 3), torch.tensor([[0.1], [0.5]])),
    ]


STEP = Exercise(
    task="step(x, gradient, lr): where gradient descent stands after one step from x",
    reference=_step,
    cases=_step_cases,
    mistakes={
        "This walks uphill: the gradient points to larger loss, and a step goes against it.": (
            lambda x, g, lr: x + lr * g
        ),
        "The learning rate was left out: the step is lr times the gradient.": lambda x, g, lr: x - g,
        "The gradient was left out: the step is lr times the gradient.": lambda x, g, lr: x - lr,
        "This is the change of x. The task asks for where x stands after it.": lambda x, g, lr: -lr * g,
        "This is the length to go. The task asks for where x stands after it.": lambda x, g, lr: lr * g,
        "The step was taken along x. It goes along the gradient.": lambda x, g, lr: x - lr * x,
        "The step was multiplied by x. The gradient knows already how steep it is where x stands.": (
            lambda x, g, lr: x - lr * x * g
        ),
        "Only the sign of the gradient was used. Its size counts too.": lambda x, g, lr: x - lr * g.sign(),
        "The gradient was scaled to length 1. In plain gradient descent a steep place makes a long step.": (
            lambda x, g, lr: x - lr * g / g.norm()
        ),
        "The gradient was divided by the learning rate; it is multiplied by it.": lambda x, g, lr: x - g / lr,
        "The learning rate multiplies x too. It scales the gradient alone.": lambda x, g, lr: lr * (x - g),
        "The gradient was averaged, so every entry of x made the same step. Each entry has its own derivative.": (
            lambda x, g, lr: x - lr * g.mean()
        ),
        "x and the gradient have changed places: it is x that moves, by lr times the gradient.": (
            lambda x, g, lr: g - lr * x
        ),
        "The sign of the gradient was lost: where it is negative, x has to grow.": lambda x, g, lr: (
            x - lr * g.abs()
        ),
        "x was multiplied by the step. The step is taken from x: x - lr * gradient.": lambda x, g, lr: (
            x * lr * g
        ),
        "A bracket is misplaced: lr multiplies the gradient first, and the product is taken from x.": (
            lambda x, g, lr: (x - lr) * g
        ),
        "x stands inside the bracket too, so lr shrinks it. lr multiplies the gradient alone.": (
            lambda x, g, lr: x - lr * (x + g)
        ),
    },
    hints=(
        "Which sign makes the loss fall? The gradient is the direction in which it rises.",
        "Three names, one multiplication, one subtraction.",
        "x - lr * gradient",
    ),
    alternatives=(
        lambda x, gradient, lr: torch.sub(x, lr * gradient),
        lambda x, gradient, lr: -lr * gradient + x,
        lambda x, gradient, lr: x.clone().sub_(gradient * lr),
    ),
)


# 01.2 ----------------------------------------------------------------------------------------------------------------
def _regime(lr, curvature):
    product = lr * curvature
    if product < 0 or product > 2:
        return "diverging"
    return "monotone" if product <= 1 else "oscillating"


def _regime_cases(generator):
    # Products of lr and curvature stay clear of the edges 0, 1 and 2, where rounding would decide.
    fractions = (torch.rand(8, generator=generator) * 0.8 + 0.1).tolist()
    products = [k + fraction for k, fraction in zip([0, 1, 2, 0, 1, 2, 3, 9], fractions, strict=True)]
    lrs = (torch.rand(8, generator=generator) * 3 + 0.1).tolist()
    return [
        (0.1, 4.0),
        (0.1, 15.0),
        (0.1, 25.0),
        (0.5, -1.0),
        (0.1, -15.0),
        (1.5, 0.4),
        (3.0, 0.5),
        (0.9, 2.0),
        (0.1, 35.0),
        (2.0, 30.0),
        *[(lr, product / lr) for lr, product in zip(lrs, products, strict=True)],
    ]


def _regime_by(
    product_of, edges=(1, 2), names=("monotone", "oscillating", "diverging"), negative="diverging"
):
    def regime(lr, curvature):
        product = product_of(lr, curvature)
        if product < 0:
            return negative
        return names[sum(product > edge for edge in edges)]

    return regime


def _product(lr, curvature):
    return lr * curvature


REGIME = Exercise(
    task='regime(lr, curvature): "monotone", "oscillating" or "diverging", for gradient descent on curvature * x**2 / 2',
    reference=_regime,
    cases=_regime_cases,
    mistakes={
        "Right for valleys. Where the curvature is negative there is no valley: 1 - lr * curvature is above 1, and x runs away.": (
            _regime_by(_product, negative="monotone")
        ),
        "The sign of the curvature was dropped. On a hill (negative curvature) x runs away at every learning rate.": (
            _regime_by(lambda lr, c: lr * abs(c))
        ),
        "Crossing the minimum was taken for divergence. Between 1 and 2 each step crosses it and still lands nearer.": (
            _regime_by(_product, edges=(1, 1))
        ),
        "Between 1 and 2 the factor 1 - lr * curvature is negative: x changes sides at every step.": (
            _regime_by(_product, edges=(2, 2), names=("monotone", "diverging", "diverging"))
        ),
        "Below 1 the factor 1 - lr * curvature is positive: x shrinks and stays on its side.": (
            _regime_by(_product, names=("oscillating", "oscillating", "diverging"))
        ),
        "Only the learning rate was looked at. What counts is its product with the curvature.": (
            _regime_by(lambda lr, c: lr)
        ),
        "The learning rate was compared with 1 and 2 by itself. What counts is its product with the curvature.": (
            lambda lr, c: "diverging" if c < 0 else _regime_by(lambda lr, c: lr)(lr, c)
        ),
        "Oscillating and diverging are swapped: between 1 and 2 the factor lies between 0 and -1, and x shrinks.": (
            _regime_by(_product, names=("monotone", "diverging", "oscillating"), negative="oscillating")
        ),
        "Oscillating and diverging are swapped for a positive curvature: between 1 and 2 the factor lies between 0 and -1.": (
            _regime_by(_product, names=("monotone", "diverging", "oscillating"))
        ),
        "Monotone and oscillating are swapped: a short step does not cross the minimum.": (
            _regime_by(_product, names=("oscillating", "monotone", "diverging"))
        ),
        "Your edges lie at lr * curvature = 1/2 and 1. They belong at 1 and 2, as the gradient of curvature * x**2 / 2 is curvature * x.": (
            _regime_by(_product, edges=(0.5, 1))
        ),
        "`diverging` is never reached: a factor below -1 is negative too, and that was asked first. Ask for abs(factor) > 1 first.": (
            _regime_by(_product, names=("monotone", "oscillating", "oscillating"))
        ),
        "Nothing ever diverges here: above lr * curvature = 2 each step lands further away, and on a hill x runs away too.": (
            _regime_by(_product, names=("monotone", "oscillating", "oscillating"), negative="monotone")
        ),
        "The learning rate was divided by the curvature. A step is lr * curvature * x, so the two are multiplied.": (
            lambda lr, c: _regime_by(lambda lr, c: lr / c)(lr, c)
        ),
        "0.25 and 0.5 are the edges of one valley, of curvature 4. The product lr * curvature has the same edges in every valley.": (
            _regime_by(lambda lr, c: lr, edges=(0.25, 0.5))
        ),
        "0.25 and 0.5 are the edges for a curvature of 4 alone. The product lr * curvature has the same edges in every valley.": (
            lambda lr, c: "diverging" if c < 0 else _regime_by(lambda lr, c: lr, edges=(0.25, 0.5))(lr, c)
        ),
        "The product lr * curvature was taken for the factor. A step multiplies x by 1 minus that product.": (
            lambda lr, c: "diverging" if abs(lr * c) > 1 else "monotone" if lr * c >= 0 else "oscillating"
        ),
        "The outer edge is too far out: at lr * curvature = 3 the factor is -2, and x doubles at every step.": (
            _regime_by(_product, edges=(1, 4))
        ),
    },
    hints=(
        "One step multiplies x by 1 - lr * curvature. When does a repeated factor shrink x, and when does it change its sign?",
        "Three cases of the factor: between 0 and 1, between -1 and 0, and outside.",
        "A negative curvature gives a factor above 1.",
    ),
    alternatives=(
        lambda lr, c: (
            "diverging" if abs(1 - lr * c) > 1 else ("monotone" if 1 - lr * c >= 0 else "oscillating")
        ),
    ),
)


# 01.3 ----------------------------------------------------------------------------------------------------------------
def _critical_lr(H):
    return 2 / float(torch.linalg.eigvalsh(H)[-1])


def _hessians(generator):
    def seed():
        return int(torch.randint(1, 10_000, (), generator=generator))

    return [
        (quadratic([1.0, 4.0]),),
        (quadratic([-10.0, 1.0, 4.0]),),
        (quadratic([0.5, 3.0, 8.0], seed()),),
        (quadratic([-6.0, 0.1, 2.5, 5.0], seed()).float(),),
        (quadratic([0.01, 0.02, 20.0, 7.0, 1.0], seed()),),
    ]


def _eigenvalues(H):
    return torch.linalg.eigvalsh(H)


CRITICAL_LR = Exercise(
    task="critical_lr(H): the largest stable learning rate over all directions that curve upwards; H is (n, n), symmetric",
    reference=_critical_lr,
    cases=_hessians,
    mistakes={
        "This is 1/lambda, where oscillation begins. Divergence begins at twice that.": (
            lambda H: 1 / float(_eigenvalues(H)[-1])
        ),
        "The largest absolute value was taken. A direction of negative curvature runs away at every rate and sets no limit.": (
            lambda H: 2 / float(_eigenvalues(H).abs().max())
        ),
        "The first eigenvalue is the smallest. The steepest direction, the largest eigenvalue, sets the limit.": (
            lambda H: 2 / abs(float(_eigenvalues(H)[0]))
        ),
        "The smallest eigenvalue was taken. The steepest direction, the largest eigenvalue, sets the limit.": (
            lambda H: 2 / float(_eigenvalues(H)[0])
        ),
        "The smallest positive eigenvalue was taken. The steepest direction, the largest eigenvalue, sets the limit.": (
            lambda H: 2 / float(_eigenvalues(H)[_eigenvalues(H) > 0][0])
        ),
        "Multiplied where it should be divided: the limit is on lr times the curvature.": (
            lambda H: 2 * float(_eigenvalues(H)[-1])
        ),
        "The norm of H mixes all eigenvalues. Each direction moves by itself, and the steepest sets the limit.": (
            lambda H: 2 / float(torch.linalg.norm(H))
        ),
        "The trace adds all eigenvalues. Each direction moves by itself, and the steepest sets the limit.": (
            lambda H: 2 / float(H.trace())
        ),
        "An entry of H was taken, a curvature along an axis. A turned valley is steeper along its own direction: take eigenvalues.": (
            lambda H: 2 / float(H.diagonal().max())
        ),
        "Upside down: a steeper valley needs a smaller learning rate.": (
            lambda H: float(_eigenvalues(H)[-1]) / 2
        ),
        "This is the curvature. The limit is on lr times the curvature.": (
            lambda H: float(_eigenvalues(H)[-1])
        ),
        "A root was taken. The eigenvalue of H is the curvature already, and the limit is 2 over it.": (
            lambda H: 2 / float(_eigenvalues(H)[-1]) ** 0.5
        ),
        "The eigenvalues were averaged. Each direction moves by itself, and the steepest sets the limit.": (
            lambda H: 2 / float(_eigenvalues(H).mean())
        ),
        "The smallest of 2 / eigenvalue was taken, and a negative eigenvalue makes it negative. Leave those directions out.": (
            lambda H: float((2 / _eigenvalues(H)).min())
        ),
        "torch.linalg.eigvals gives the eigenvalues in no order, so the first is any of them. Take the largest.": (
            lambda H: 2 / float(torch.linalg.eigvals(H)[0].real)
        ),
        "torch.linalg.eigvals gives the eigenvalues in no order, so the last is any of them. Take the largest.": (
            lambda H: 2 / float(torch.linalg.eigvals(H)[-1].real)
        ),
    },
    hints=(
        "Turn the axes to the eigenvectors of H: then each coordinate is a valley of its own, as in the last exercise.",
        "Every coordinate must stay below lr * curvature = 2. Which one is the first to reach it?",
        "torch.linalg.eigvalsh(H) gives the eigenvalues of a symmetric matrix, in rising order.",
    ),
    alternatives=(
        lambda H: 2 / torch.linalg.eigvalsh(H).max(),
        lambda H: (2 / torch.linalg.eigh(H).eigenvalues[-1]).item(),
    ),
    rtol=1e-4,
)


# 01.4 ----------------------------------------------------------------------------------------------------------------
def _heavy_ball(x, v, gradient, lr, beta):
    v = beta * v + gradient
    return x - lr * v, v


def _heavy_ball_cases(generator):
    randn = drawer(generator)
    return [
        (torch.tensor(1.0), torch.tensor(4.0), torch.tensor(2.0), 0.1, 0.5),
        (torch.tensor([1.0, 2.0]), torch.tensor([0.0, 10.0]), torch.tensor([1.0, -1.0]), 0.2, 0.9),
        (
            randn(3, dtype=torch.float64),
            randn(3, dtype=torch.float64),
            randn(3, dtype=torch.float64),
            0.3,
            0.8,
        ),
        (randn(2, 3), randn(2, 3), randn(2, 3), 1.3, 0.0),
        (randn(2, 3), randn(2, 3), randn(2, 3), torch.tensor([[0.1], [0.5]]), torch.tensor([0.0, 0.5, 0.9])),
    ]


HEAVY_BALL = Exercise(
    task="heavy_ball(x, v, gradient, lr, beta): the pair (new x, new v); v <- beta * v + gradient, then x moves by -lr * v",
    reference=_heavy_ball,
    cases=_heavy_ball_cases,
    mistakes={
        "x moved with the old velocity. The new one comes first, and x moves with that.": (
            lambda x, v, g, lr, b: (x - lr * v, b * v + g)
        ),
        "The gradient was weighted by 1 - beta. That is a running average, as in Adam; here v sums the gradients.": (
            lambda x, v, g, lr, b: (x - lr * (b * v + (1 - b) * g), b * v + (1 - b) * g)
        ),
        "The learning rate went into v. The path is the same while lr stays, but v is to hold gradients only.": (
            lambda x, v, g, lr, b: (x - (b * v + lr * g), b * v + lr * g)
        ),
        "beta multiplies the gradient. It is the old velocity that fades.": (
            lambda x, v, g, lr, b: (x - lr * (v + b * g), v + b * g)
        ),
        "x moves uphill: v sums gradients, and a step goes against it.": (
            lambda x, v, g, lr, b: (x + lr * (b * v + g), b * v + g)
        ),
        "The learning rate and the sign went into v. That is another usual form of the same path; here v is to hold gradients only.": (
            lambda x, v, g, lr, b: (x + b * v - lr * g, b * v - lr * g)
        ),
        "Two forms are mixed: x moves by -lr times the new v, and by nothing else.": (
            lambda x, v, g, lr, b: (x - lr * g + b * v, b * v + g)
        ),
        "The gradient was subtracted in v. Here v adds the gradients, and x moves by -lr * v.": (
            lambda x, v, g, lr, b: (x + lr * (b * v - g), b * v - g)
        ),
        "v adds the gradient; here it was subtracted, and x then moves uphill.": (
            lambda x, v, g, lr, b: (x - lr * (b * v - g), b * v - g)
        ),
        "beta multiplies the new gradient too. Only the old velocity fades.": (
            lambda x, v, g, lr, b: (x - lr * b * (v + g), b * (v + g))
        ),
        "The pair is swapped: x first, then v.": lambda x, v, g, lr, b: (b * v + g, x - lr * (b * v + g)),
        "Nothing fades: beta was left out.": lambda x, v, g, lr, b: (x - lr * (v + g), v + g),
        "This is Nesterov's step, which looks ahead. Heavy ball moves by the velocity itself.": (
            lambda x, v, g, lr, b: (x - lr * (g + b * (b * v + g)), b * v + g)
        ),
        "Only x came back. The velocity is needed in the next step: return both.": (
            lambda x, v, g, lr, b: x - lr * (b * v + g)
        ),
        "x moved with the gradient alone. It moves with the velocity.": (
            lambda x, v, g, lr, b: (x - lr * g, b * v + g)
        ),
        "v came back as the move, -lr * v. x is right, but the next step would count lr twice: return v itself.": (
            lambda x, v, g, lr, b: (x - lr * (b * v + g), -lr * (b * v + g))
        ),
        "The old velocity was subtracted. It is kept, faded by beta: v = beta * v + gradient.": (
            lambda x, v, g, lr, b: (x - lr * (g - b * v), g - b * v)
        ),
        "The learning rate counts twice: in v, and again in the step. v holds gradients only, and x moves by -lr * v.": (
            lambda x, v, g, lr, b: (x - lr * (b * v + lr * g), b * v + lr * g)
        ),
        "The learning rate was left out: x moves by -lr * v.": lambda x, v, g, lr, b: (
            x - (b * v + g),
            b * v + g,
        ),
        "x moved rightly, but the old v came back. The next step needs the new one.": (
            lambda x, v, g, lr, b: (x - lr * (b * v + g), v)
        ),
    },
    hints=(
        "Two lines: first the velocity, then the position, which uses the new velocity.",
        "Return both: return x, v",
    ),
    alternatives=(
        lambda x, v, gradient, lr, beta: (x - lr * (beta * v + gradient), beta * v + gradient),
        lambda x, v, gradient, lr, beta: (x - lr * beta * v - lr * gradient, v * beta + gradient),
    ),
    returns=("new x", "new v"),
)


# 01.5 ----------------------------------------------------------------------------------------------------------------
def _steps_to_overflow(lr, largest):
    return math.floor(math.log(largest / lr) / math.log(lr - 1)) + 2


def _count_while(lr, fits):
    x, count = 1.0, 0
    while fits(x):
        x, count = x - lr * x, count + 1
    return count


@cache
def _count_in_float32(lr):
    x, count = torch.tensor(1.0), 0
    while x.isfinite():
        x, count = x - lr * x, count + 1
    return count


def _count_powers(factor, largest):
    count = 0
    while factor**count <= largest:
        count += 1
    return count


def _overflow_cases(generator):
    # Rates at which the true count stays clear of whole numbers, so that rounding in a logarithm cannot decide.
    candidates = 2.05 + 8 * torch.rand(40, generator=generator, dtype=torch.float64)
    largest = [torch.finfo(dtype).max for dtype in (torch.float16, torch.float32, torch.float64)]
    drawn = []
    for k, lr in enumerate(candidates.tolist()):
        exact = math.log(largest[k % 3] / lr) / math.log(lr - 1)
        rounded = 0.05 if k % 3 == 0 else 1e-6  # a loop in 16 bits rounds at every step
        if abs(exact - round(exact)) > rounded:
            drawn.append((lr, largest[k % 3]))
    return [
        (11.0, 65504.0),
        (2.5, 65504.0),
        (2.1, 65504.0),
        (2.1, largest[1]),
        (2.5, largest[2]),
        (2.03, largest[2]),  # some 24 000 steps: a loop may not stop early
        *drawn[:12],
    ]


STEPS_TO_OVERFLOW = Exercise(
    deeper=True,
    task="steps_to_overflow(lr, largest): after how many steps x = x - lr * x is no longer finite, from x = 1, for lr > 2",
    reference=_steps_to_overflow,
    cases=_overflow_cases,
    mistakes={
        "This counts until x is too large. The product lr * x is larger than x, and it overflows first.": (
            lambda lr, big: math.floor(math.log(big) / math.log(lr - 1)) + 1
        ),
        "The loop compares x with largest. The product lr * x is larger than x, and it passes largest first.": (
            lambda lr, big: _count_while(lr, lambda x: abs(x) <= big)
        ),
        "largest was not used: this is when double precision, which Python counts in, comes to its end.": (
            lambda lr, big: _count_while(lr, math.isfinite)
        ),
        "1 - lr is negative, so its odd powers are below any limit. Compare the size, abs(1 - lr)**k.": (
            lambda lr, big: _count_powers(1 - lr, big)
        ),
        "This counts until x is too large, and one more. The product lr * x is larger than x, and it overflows first.": (
            lambda lr, big: math.ceil(math.log(big) / math.log(lr - 1)) + 1
        ),
        "This is the last step at which x itself is still finite. But lr * x overflows first.": (
            lambda lr, big: math.floor(math.log(big) / math.log(lr - 1))
        ),
        "One too few: this is the first x for which lr * x overflows. It is the step after it that is not finite.": (
            lambda lr, big: math.floor(math.log(big / lr) / math.log(lr - 1)) + 1
        ),
        "Two too few: this is the last x for which lr * x still fits.": (
            lambda lr, big: math.floor(math.log(big / lr) / math.log(lr - 1))
        ),
        "A count of steps is a whole number: which is the first step at which it has happened?": (
            lambda lr, big: math.log(big / lr) / math.log(lr - 1)
        ),
        "A count of steps is a whole number; and it is lr * x that overflows first, not x.": (
            lambda lr, big: math.log(big) / math.log(lr - 1)
        ),
        "The loop asks for x <= largest, and every other x is negative. Ask for its size, abs(x); and lr * x overflows first.": (
            lambda lr, big: _count_while(lr, lambda x: x <= big)
        ),
        "largest was not used: this is when torch's float32 comes to its end.": (
            lambda lr, big: _count_in_float32(lr)
        ),
        "The count was rounded to the nearest. Round down: the last k at which lr * x fits, and the step after the next.": (
            lambda lr, big: round(math.log(big / lr) / math.log(lr - 1)) + 2
        ),
        "Right up to the rounding. A count of steps is a whole number: round the logarithm down before adding.": (
            lambda lr, big: math.log(big / lr) / math.log(lr - 1) + 2
        ),
        "A count of steps is a whole number: round the logarithm down, and count the step after it too.": (
            lambda lr, big: math.log(big / lr) / math.log(lr - 1) + 1
        ),
        "A count of steps is a whole number; and the product lr * x overflows one step before x does.": (
            lambda lr, big: math.log(big) / math.log(lr - 1) + 1
        ),
        "Two kinds of logarithm are mixed. Take the same above and below.": (
            lambda lr, big: math.floor(math.log10(big / lr) / math.log(lr - 1)) + 2
        ),
        "The factor per step is 1 - lr, of size lr - 1. Here it was taken for 1 + lr, which is a step uphill.": (
            lambda lr, big: math.floor(math.log(big / lr) / math.log(1 + lr)) + 2
        ),
        "One too many: lr * x first overflows in the step from x, and that step is the last one to count.": (
            lambda lr, big: _steps_to_overflow(lr, big) + 1
        ),
        "x grows by the factor |1 - lr| per step, not by lr.": (
            lambda lr, big: math.floor(math.log(big / lr) / math.log(lr)) + 2
        ),
        "A logarithm or a root of a negative number was asked for. 1 - lr is negative here; the size of x grows by |1 - lr|.": (
            lambda lr, big: math.floor(math.log(big / lr) / math.log(1 - lr)) + 2
        ),
    },
    hints=(
        "After k steps |x| is |1 - lr| to the power k. Solve for k with a logarithm.",
        "The computer forms lr * x before it subtracts. Which is larger, x or lr * x?",
        "First k with lr * |1 - lr|**k > largest; the step after it is the first that is not finite.",
    ),
    alternatives=(
        lambda lr, largest: math.floor(math.log(largest / lr, abs(1 - lr))) + 2,
        lambda lr, largest: math.ceil(math.log(largest / lr) / math.log(abs(1 - lr))) + 1,
    ),
)


# 01.6 ----------------------------------------------------------------------------------------------------------------
def _power_iteration(multiply, v, steps):
    for _ in range(steps):
        v = multiply(v)
        v = v / v.norm()
    return v @ multiply(v)


def _power_cases(generator):
    def case(eigenvalues, dtype, steps, seed):
        # A start with the same share of every eigenvector: 100 steps are then always enough.
        H = quadratic(eigenvalues, seed).to(dtype)
        start = torch.linalg.eigh(H).eigenvectors.sum(1)
        return (lambda v: H @ v), start * (1 + 2 * float(torch.rand((), generator=generator))), steps

    seeds = torch.randint(1, 10_000, (4,), generator=generator).tolist()
    H = torch.tensor([[1.0, 0.0], [0.0, 3.0]])
    return [
        ((lambda v: H @ v), torch.tensor([1.0, 1.0]), 1),  # v becomes (1, 3), and the answer is 28/10
        case([1.0, 2.0], torch.float64, 60, None),
        case([-9.0, 1.0, 3.0], torch.float64, 60, seeds[0]),
        case([0.5, 2.0, 20.0], torch.float32, 100, seeds[1]),
        case([0.1, 1.0, 6.0, 3.0, 2.0], torch.float64, 60, seeds[2]),
        case([1.0, 2.0, 3.0], torch.float64, 2, seeds[3]),  # far from its end: the number of steps shows
    ]


def _power_variant(normalise, result):
    def power_iteration(multiply, v, steps):
        for _ in range(steps):
            v = normalise(multiply(v))
        return result(multiply, v)

    return power_iteration


def _unit(v):
    return v / v.norm()


def _normalised_at_the_start(multiply, v, steps):
    v = _unit(v)
    for _ in range(steps):
        v = multiply(v)
    return v @ multiply(v)


def _normalised_before(multiply, v, steps):
    for _ in range(steps):
        v = multiply(_unit(v))
    return v @ multiply(v)


def _last_length(multiply, v, steps):
    for _ in range(steps):
        v = multiply(v)
        length = v.norm()
        v = v / length
    return length


POWER_ITERATION = Exercise(
    deeper=True,
    task="power_iteration(multiply, v, steps): the eigenvalue of largest size; multiply(v) is H @ v, H is never given",
    reference=_power_iteration,
    cases=_power_cases,
    mistakes={
        "v comes back to length 1 at the end at best. In the loop it grows by the eigenvalue at every step, and overflows.": (
            _power_variant(lambda v: v, lambda multiply, v: v @ multiply(v) / (v @ v))
        ),
        "v was never brought back to length 1, so v @ multiply(v) is no eigenvalue.": (
            _power_variant(lambda v: v, lambda multiply, v: v @ multiply(v))
        ),
        "v has length 1 only before the loop. Bring it back to length 1 after every multiplication.": (
            _normalised_at_the_start
        ),
        "v was brought back to length 1 before the multiplication, not after it: at the end its length is not 1.": (
            _normalised_before
        ),
        "The length of the last product was returned. It has no sign; v @ multiply(v) of the final v has one.": (
            _last_length
        ),
        "This is the length of H @ v, which has no sign. v @ multiply(v) has one: an eigenvalue can be negative.": (
            _power_variant(_unit, lambda multiply, v: multiply(v).norm())
        ),
        "This is the eigenvector. The task asks for the eigenvalue, v @ multiply(v).": (
            _power_variant(_unit, lambda multiply, v: v)
        ),
        "v @ v is always 1 here. Multiply once more: v @ multiply(v).": (
            _power_variant(_unit, lambda multiply, v: v @ v)
        ),
        "v was never replaced by multiply(v): this is the curvature along the start.": (
            lambda multiply, v, steps: _unit(v) @ multiply(_unit(v))
        ),
        "One multiplication too few: the curvature is wanted along the last v, after all the steps.": (
            lambda multiply, v, steps: _power_iteration(multiply, v, steps - 1)
        ),
        "One multiplication too many: the one in v @ multiply(v) is not counted as a step.": (
            lambda multiply, v, steps: _power_iteration(multiply, v, steps + 1)
        ),
        "steps was not used: the number of multiplications is given.": (
            lambda multiply, v, steps: _power_iteration(multiply, v, 300)
        ),
        "One step was taken. Repeat it `steps` times (is the return inside the loop?).": (
            lambda multiply, v, steps: _power_iteration(multiply, v, 1)
        ),
        "v was divided by its largest entry. For v @ multiply(v) to be an eigenvalue its length must be 1.": (
            _power_variant(lambda v: v / v.abs().max(), lambda multiply, v: v @ multiply(v))
        ),
        "v was divided by its sum. For v @ multiply(v) to be an eigenvalue its length must be 1.": (
            _power_variant(lambda v: v / v.sum(), lambda multiply, v: v @ multiply(v))
        ),
        "Entry by entry H @ v was divided by v. Only at the very end are these ratios equal: take v @ multiply(v).": (
            _power_variant(_unit, lambda multiply, v: (multiply(v) / v).mean())
        ),
        "v was divided by v @ v, its length squared. Divide by the length, v.norm().": (
            _power_variant(lambda v: v / (v @ v), lambda multiply, v: v @ multiply(v))
        ),
    },
    hints=(
        "Multiplying by H again and again turns any vector towards the direction that H stretches most.",
        "In each step: v = multiply(v), then divide v by its length, v.norm().",
        "With v of length 1, v @ multiply(v) is the curvature along v.",
    ),
    alternatives=(
        lambda multiply, v, steps: float(_power_iteration(multiply, v, steps)),
        _power_variant(lambda v: v / v.abs().max(), lambda multiply, v: v @ multiply(v) / (v @ v)),
    ),
    rtol=1e-3,
)

EXERCISES = {
    "01.1": STEP,
    "01.2": REGIME,
    "01.3": CRITICAL_LR,
    "01.4": HEAVY_BALL,
    "01.5": STEPS_TO_OVERFLOW,
    "01.6": POWER_ITERATION,
}
