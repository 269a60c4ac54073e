"""Exercises of lesson 07: learning-rate schedules."""

import math
from functools import cache

import torch

from gradutils.course.exercise import Exercise, drawer
from gradutils.data import digits
from gradutils.models import weight_stacks
from gradutils.training import train_many


# 07.1 ----------------------------------------------------------------------------------------------------------------
def quartic(w):
    """sum of w**4 / 4"""
    return (w**4).sum() / 4


def valley(w):
    """5 * w[0]**2 + (the sum of w)**2"""
    return 5 * w[0] ** 2 + w.sum() ** 2


def saddle(w):
    """w[0] * w[-1] + the sum of w**3"""
    return w[0] * w[-1] + (w**3).sum()


def _gradient(loss_of, w, graph=False):
    w = w.clone().requires_grad_()
    return w, torch.autograd.grad(loss_of(w), w, create_graph=graph)[0]


def _product(loss_of, w, v):
    w, gradient = _gradient(loss_of, w, graph=True)
    return torch.autograd.grad(gradient @ v, w)[0]


def _curvature_along(loss_of, w, v):
    return float(v @ _product(loss_of, w, v) / (v @ v))


def _curvature_cases(generator):
    randn = drawer(generator, torch.float64)
    used = torch.tensor([1.0, -1.0]).double()
    used.grad = torch.ones(2).double()  # left behind by an earlier backward()
    return [
        (quartic, torch.tensor([1.0, 2.0]).double(), torch.tensor([1.0, 0.0]).double()),
        (quartic, torch.tensor([1.0, 2.0]).double(), torch.tensor([0.0, 2.0]).double()),
        (valley, torch.tensor([1.0, 1.0, 0.0]), torch.tensor([1.0, 1.0, 0.0])),
        (saddle, torch.zeros(2), torch.tensor([1.0, -1.0])),
        (quartic, used, torch.tensor([2.0, 1.0]).double()),
        (saddle, randn(4), randn(4)),
        (quartic, randn(6), 3 * randn(6)),
        (valley, randn(5), 0.2 * randn(5)),
    ]


def _curvature_variant(number):
    return lambda loss_of, w, v: float(number(loss_of, w, v))


def _without_a_graph(loss_of, w, v):
    w, gradient = _gradient(loss_of, w)
    return torch.autograd.grad(gradient @ v, w)


def _gradient_of_its_square(loss_of, w, v):
    w, gradient = _gradient(loss_of, w, graph=True)
    return torch.autograd.grad(gradient @ gradient, w)[0]


def _by_two_gradients(loss_of, w, v):
    unit = v / v.norm()
    ahead, behind = _gradient(loss_of, w + 1e-4 * unit)[1], _gradient(loss_of, w - 1e-4 * unit)[1]
    return float((ahead - behind) @ unit / 2e-4)


CURVATURE_ALONG = Exercise(
    task="curvature_along(loss_of, w, v): the curvature of loss_of at w along v, v.Hv over v.v, a number",
    reference=_curvature_along,
    cases=_curvature_cases,
    mistakes={
        "v.Hv has not been divided by v.v: it grows with the length of v.": (
            _curvature_variant(lambda f, w, v: v @ _product(f, w, v))
        ),
        "Divided by the length of v. v.Hv holds v twice: divide by v.v.": (
            _curvature_variant(lambda f, w, v: v @ _product(f, w, v) / v.norm())
        ),
        "The sign is gone. A curvature is negative where the loss bends down.": (
            _curvature_variant(lambda f, w, v: abs(v @ _product(f, w, v) / (v @ v)))
        ),
        "The gradient itself is still in it: backward() adds to w.grad. Use torch.autograd.grad, or clear w.grad between the two.": (
            _curvature_variant(lambda f, w, v: v @ (_gradient(f, w)[1] + _product(f, w, v)) / (v @ v))
        ),
        "This is the length of Hv. Only its part along v counts: v.Hv, which has a sign.": (
            _curvature_variant(lambda f, w, v: _product(f, w, v).norm() / v.norm())
        ),
        "This is the slope along v. The curvature is the slope of the slope: one backward pass more.": (
            _curvature_variant(lambda f, w, v: _gradient(f, w)[1] @ v / (v @ v))
        ),
        "The gradient was squared. The curvature is the change of the gradient along v.": (
            _curvature_variant(lambda f, w, v: (_gradient(f, w)[1] @ v) ** 2 / (v @ v))
        ),
        "v is not in it: this is the curvature along the vector of ones.": (
            _curvature_variant(lambda f, w, v: _product(f, w, torch.ones_like(v)).sum() / len(v))
        ),
        "This is the mean of the Hessian's diagonal. v has to say in which direction.": (
            _curvature_variant(lambda f, w, v: torch.autograd.functional.hessian(f, w).diagonal().mean())
        ),
        "The Hessian was taken at v. It belongs to the place w; v is only the direction.": (
            _curvature_variant(lambda f, w, v: v @ _product(f, v, v) / (v @ v))
        ),
        "This is the largest curvature at w. Wanted is the one along v.": (
            _curvature_variant(
                lambda f, w, v: torch.linalg.eigvalsh(torch.autograd.functional.hessian(f, w))[-1]
            )
        ),
        "The first gradient has no graph, so it cannot be differentiated again: create_graph=True (and w needs requires_grad_()).": (
            _without_a_graph
        ),
        "gradient @ gradient was differentiated. Hv is the gradient of gradient @ v.": (
            _curvature_variant(lambda f, w, v: v @ _gradient_of_its_square(f, w, v) / (v @ v))
        ),
        "Divided by v.v twice, or by its square. Once is enough: v.Hv holds v twice.": (
            _curvature_variant(lambda f, w, v: v @ _product(f, w, v) / (v @ v) ** 2)
        ),
        "This is the sum of Hv. Its part along v is wanted: v.Hv over v.v.": (
            _curvature_variant(lambda f, w, v: _product(f, w, v).sum())
        ),
    },
    hints=(
        "gradient = torch.autograd.grad(loss_of(w), w, create_graph=True)[0], for a copy of w with requires_grad.",
        "Hv is the gradient of the number gradient @ v.",
        "Return v @ Hv / (v @ v).",
    ),
    alternatives=(
        lambda loss_of, w, v: v @ torch.autograd.functional.hessian(loss_of, w) @ v / (v @ v),
        lambda loss_of, w, v: (
            float(v @ torch.autograd.functional.hvp(loss_of, w, v)[1]) / float(v.square().sum())
        ),
        _by_two_gradients,
    ),
    rtol=1e-2,
)


# 07.2 ----------------------------------------------------------------------------------------------------------------
def _largest_stable_lr(sharpness, beta):
    return 2 * (1 + beta) / sharpness if sharpness > 0 else math.inf


def _sharpness_cases(generator):
    a, b = torch.rand(2, generator=generator, dtype=torch.float64).tolist()
    return [
        (4.0, 0.0),
        (10.0, 0.9),
        (-1.0, 0.5),
        (0.0, 0.0),
        (0.5, 0.5),
        (1 + 50 * a, 0.0),
        (1 + 50 * b, 0.5 * a + 0.1),
    ]


def _lr_variant(formula, flat=math.inf):
    return lambda sharpness, beta: formula(sharpness, beta) if sharpness > 0 else flat


LARGEST_LR = Exercise(
    task="largest_stable_lr(sharpness, beta): the rate at which heavy ball begins to diverge; math.inf where no curvature is positive",
    reference=_largest_stable_lr,
    cases=_sharpness_cases,
    mistakes={
        "Momentum moves the limit by 1 + beta; and where the curvature is negative there is none.": (
            lambda sharpness, beta: 2 / sharpness if sharpness else math.inf
        ),
        "Momentum moves the limit: heavy ball's is 1 + beta times that of plain descent (lesson 01).": (
            _lr_variant(lambda s, b: 2 / s)
        ),
        "Momentum raises the limit: 1 + beta, not 1 - beta.": _lr_variant(lambda s, b: 2 * (1 - b) / s),
        "This is Nesterov's limit. Heavy ball's is 2 (1 + beta) / sharpness.": (
            _lr_variant(lambda s, b: 2 * (1 + b) / (1 + 2 * b) / s)
        ),
        "At this rate a step lands on the minimum. It diverges at twice that.": (
            _lr_variant(lambda s, b: (1 + b) / s)
        ),
        "Where nothing curves upwards no rate overshoots: the limit is math.inf, not 0.": (
            _lr_variant(lambda s, b: 2 * (1 + b) / s, 0.0)
        ),
        "Steeper curvature needs a smaller rate: divide by the sharpness.": (
            _lr_variant(lambda s, b: 2 * (1 + b) * s)
        ),
        "A negative curvature sets no limit: there the path bends away from the top of a hill at any rate.": (
            lambda sharpness, beta: 2 * (1 + beta) / abs(sharpness) if sharpness else math.inf
        ),
        "The limit goes with one over the sharpness, not over its root.": (
            _lr_variant(lambda s, b: 2 * (1 + b) / s**0.5)
        ),
        "lr / (1 - beta) is the effective rate in a flat direction. At the edge the steps alternate: the limit is 2 (1 + beta) / sharpness.": (
            _lr_variant(lambda s, b: 2 / ((1 - b) * s))
        ),
        "The sharpness is not in it: the limit is 2 (1 + beta) over the sharpness.": _lr_variant(
            lambda s, b: 2 / (1 - b)
        ),
        "Where the sharpness is 0 or below nothing can be divided: the limit is math.inf there.": (
            lambda sharpness, beta: 2 * (1 + beta) / sharpness
        ),
        "A negative sharpness gives a negative rate. Below 0 the limit is math.inf as well.": (
            lambda sharpness, beta: 2 * (1 + beta) / sharpness if sharpness != 0 else math.inf
        ),
        "The 1.9 of the example belongs to beta = 0.9: in general it is 1 + beta.": _lr_variant(
            lambda s, b: 2 * 1.9 / s
        ),
        "The 2 multiplies beta as well: 2 (1 + beta), not 2 + beta.": _lr_variant(lambda s, b: (2 + b) / s),
        "Brackets are missing: 2 * 1 + beta is 2 + beta, and only beta was divided by the sharpness.": (
            _lr_variant(lambda s, b: 2 + b / s)
        ),
    },
    hints=(
        "Plain descent: lr times curvature is 2 at the edge.",
        "Heavy ball: 2 + 2 beta (lesson 01). And what if the sharpness is not positive?",
    ),
    alternatives=(lambda sharpness, beta: math.inf if sharpness <= 0 else (2 + 2 * beta) / sharpness,),
)


# 07.3 ----------------------------------------------------------------------------------------------------------------
def _warmup_cosine(step, warmup, total, floor):
    if step < warmup:
        return (step + 1) / warmup
    done = min((step - warmup) / (total - warmup), 1.0)
    return floor + (1 - floor) * (1 + math.cos(math.pi * done)) / 2


def _cosine_cases(generator):
    w, t = (int(torch.randint(a, b, (1,), generator=generator)) for a, b in ((5, 20), (60, 100)))
    middle = (w + t) // 2
    return [
        (0, 10, 100, 0.0),
        (4, 10, 100, 0.0),
        (9, 10, 100, 0.0),
        (10, 10, 100, 0.0),
        (55, 10, 100, 0.0),
        (55, 10, 100, 0.1),
        (100, 10, 100, 0.1),
        (130, 10, 100, 0.1),
        (0, 0, 50, 0.0),
        (20, 0, 50, 0.2),
        (w // 2, w, t, 0.05),
        (middle, w, t, 0.05),
        (middle + 7, w, t, 0.3),
    ]


def _cosine_variant(
    rise=lambda step, w: (step + 1) / w,
    done=lambda step, w, t: (step - w) / (t - w),
    wave=lambda x: (1 + math.cos(math.pi * x)) / 2,
    end=lambda x: min(x, 1.0),
    blend=lambda floor, x: floor + (1 - floor) * x,
):
    def warmup_cosine(step, warmup, total, floor):
        if step < warmup:
            return rise(step, warmup)
        return blend(floor, wave(end(done(step, warmup, total))))

    return warmup_cosine


WARMUP_COSINE = Exercise(
    task="warmup_cosine(step, warmup, total, floor): the multiplier at this step: 1/warmup at step 0, 1 at step warmup - 1 and at step warmup, then half a cosine to floor at step total, and floor from there",
    reference=_warmup_cosine,
    cases=_cosine_cases,
    mistakes={
        "The first step has the rate 0, and is lost. At step 0 it is 1/warmup: (step + 1) / warmup.": (
            _cosine_variant(rise=lambda step, w: step / w)
        ),
        "The cosine was counted from step 0. It begins where the warmup ends, and has total - warmup steps.": (
            _cosine_variant(done=lambda step, w, t: step / t)
        ),
        "The cosine has total - warmup steps, not total: it does not reach the floor.": (
            _cosine_variant(done=lambda step, w, t: (step - w) / t)
        ),
        "pi is missing: half a wave goes from cos(0) to cos(pi).": (
            _cosine_variant(wave=lambda x: (1 + math.cos(x)) / 2)
        ),
        "radians() was taken of a fraction. Half a wave goes from cos(0) to cos(pi).": (
            _cosine_variant(wave=lambda x: (1 + math.cos(math.radians(x))) / 2)
        ),
        "After total the cosine rises again. From there on the multiplier stays at the floor.": (
            _cosine_variant(wave=lambda x: (1 + math.cos(math.pi * x)) / 2, end=lambda x: x)
        ),
        "This is a quarter of a wave, and steepest where it ends. Half a wave is flat at both ends: lift and halve it, (1 + cos) / 2.": (
            _cosine_variant(wave=lambda x: math.cos(math.pi * x / 2))
        ),
        "The cosine has total - warmup steps, not total. And from step total on the multiplier stays at the floor.": (
            _cosine_variant(done=lambda step, w, t: (step - w) / t, end=lambda x: x)
        ),
        "1 + cos goes from 2 to 0. Halve it: the multiplier begins at 1.": (
            _cosine_variant(wave=lambda x: 1 + math.cos(math.pi * x))
        ),
        "The cosine itself ends at -1. Lift and halve it: (1 + cos) / 2.": (
            _cosine_variant(wave=lambda x: math.cos(math.pi * x))
        ),
        "This is a straight line. It is right at both ends; a cosine is flat there.": (
            _cosine_variant(wave=lambda x: 1 - x)
        ),
        "The floor is missing: the cosine goes from 1 down to floor.": (
            _cosine_variant(blend=lambda floor, x: x)
        ),
        "The floor was added on top: at the start of the cosine that is above 1. It goes from 1 to floor.": (
            _cosine_variant(blend=lambda floor, x: floor + x)
        ),
        "The cosine was cut off at the floor. It should arrive there smoothly: floor + (1 - floor) * wave.": (
            _cosine_variant(blend=lambda floor, x: max(floor, x))
        ),
        "There is no warmup in it.": _cosine_variant(rise=lambda step, w: 1.0),
        "This is a whole wave: it comes back to 1 at step total. Half a wave ends at the floor: cos(pi * done).": (
            _cosine_variant(wave=lambda x: (1 + math.cos(2 * math.pi * x)) / 2)
        ),
        "At step `warmup` the ramp is over. With <= it goes one step further, above 1: while step < warmup.": (
            lambda step, warmup, total, floor: (
                (step + 1) / warmup
                if step <= warmup and warmup
                else _warmup_cosine(step, warmup, total, floor)
            )
        ),
        "The floor is reached one step early. It belongs to step total: total - warmup steps, not one less.": (
            _cosine_variant(done=lambda step, w, t: (step - w) / (t - 1 - w))
        ),
        "warmup may be 0: divide by it only while step < warmup.": (
            lambda step, warmup, total, floor: min(
                (step + 1) / warmup, _cosine_variant(rise=lambda step, w: 1.0)(step, warmup, total, floor)
            )
        ),
        "The cosine is upside down: it rises from the floor. Half a wave falls with + cos.": (
            _cosine_variant(wave=lambda x: (1 - math.cos(math.pi * x)) / 2)
        ),
        "From step total on it returns 0. The multiplier stays at the floor.": (
            lambda step, warmup, total, floor: (
                0.0 if step >= total else _warmup_cosine(step, warmup, total, floor)
            )
        ),
    },
    hints=(
        "Two parts: while step < warmup a straight line, then the cosine of the part of the rest that is done.",
        "done = (step - warmup) / (total - warmup), at most 1.",
        "floor + (1 - floor) * (1 + cos(pi * done)) / 2",
    ),
    alternatives=(_cosine_variant(wave=lambda x: math.cos(math.pi / 2 * x) ** 2),),
)


# 07.4 ----------------------------------------------------------------------------------------------------------------
def _train_with(choose_warmup, gain, lr, total):
    """What four ReLU networks of six layers, gain times He's weights, do with the learner's warmup, in words."""
    steps = choose_warmup(gain, lr, total)
    if steps is None:
        raise TypeError("choose_warmup returned None. Is there a return?")
    steps = float(steps)
    if not 0 <= steps < math.inf:
        raise ValueError(f"a number of steps is 0 or more; got {steps!r}")
    if 0 < steps < 1:
        return "the warmup is less than one step"
    return _outcome(steps, gain, lr, total)


SHORT = 36  # steps of a run in which 20 of warmup cost more than a tenth of what is learnt


@cache
def _outcome(steps, gain, lr, total):
    weights = weight_stacks([64] + [32] * 6 + [10], gain * 2**0.5, seeds=4)
    runs = train_many(
        torch.relu,
        weights,
        digits(),
        lr,
        momentum=0.0,
        steps=total,
        schedule=lambda k: min(1.0, (k + 1) / max(steps, 1)),
    )
    if total == SHORT:  # over so few steps the loss tells more than the accuracy
        trained = float(runs.loss[-5:].mean(0).median()) < 1.77
    else:
        bar = 0.64 if gain <= 1 else 0.4 if gain <= 1.5 else 0.2  # better weights get further
        trained = float(runs.accuracy[-1].quantile(0.5)) > bar
    if trained:
        return "they train"
    leaps = int((~(runs.loss.amax(0) < 3 * runs.loss[0])).sum())
    return "they do not train: the loss leaps" if leaps >= 2 else "they do not train: too little was learnt"


def _network_cases(generator):
    more = int(torch.randint(0, 24, (), generator=generator))
    return [
        (1.0, 0.03, 100),
        (1.0, 0.03, SHORT),
        (1.5, 0.15, 160),
        (1.5, 0.15, 140 + more),
        (2.5, 0.012, 120),
    ]


def _choose_warmup(gain, lr, total):
    return total // 8


CHOOSE_WARMUP = Exercise(
    task="choose_warmup(gain, lr, total): a number of warmup steps with which six ReLU layers, gain times He's weights, train",
    reference=_choose_warmup,
    cases=_network_cases,
    call=_train_with,
    given=("gain", "learning rate", "steps"),
    mistakes={
        "Too short: at 1.5 times He's weights the first steps at the full rate throw the network. Where does the loss leap?": (
            lambda gain, lr, total: 0
        ),
        "The ramp takes most of the run: the network with good weights hardly ever sees its full rate, and learns too little.": (
            lambda gain, lr, total: total
        ),
        "The other way round: good weights need no warmup, and lose by a long one; large weights need it.": (
            lambda gain, lr, total: 0 if gain > 1 else total
        ),
        "In the short run the ramp takes half of the steps or more, and too little is learnt. Take a smaller share of total.": (
            lambda gain, lr, total: 20
        ),
        "The smaller the rate, the shorter this warmup, and large weights are thrown at small rates as well. Take a share of total alone.": (
            lambda gain, lr, total: lr * total
        ),
        "This is a fraction of a step. If it is meant as a share of the run, multiply it by total.": (
            lambda gain, lr, total: 0.1
        ),
    },
    hints=(
        "The sharpness of the large weights falls within a few tens of steps, if the rate is small until then.",
        "A tenth of the run serves all of them: good weights lose little by it.",
    ),
    alternatives=(
        lambda gain, lr, total: 0 if gain <= 1 else 30,
        lambda gain, lr, total: 12,
        lambda gain, lr, total: 0.1 * total,
    ),
    deeper=True,
)


# 07.5 ----------------------------------------------------------------------------------------------------------------
def _step_decay(step, every, factor):
    return factor ** (step // every)


def _decay_cases(generator):
    every = int(torch.randint(5, 30, (1,), generator=generator))
    return [
        (0, 10, 0.1),
        (9, 10, 0.1),
        (10, 10, 0.1),
        (6, 10, 0.1),
        (25, 10, 0.5),
        (40, 10, 0.5),
        (95, 10, 0.9),
        (every - 1, every, 0.3),
        (2 * every, every, 0.3),
        (3 * every + 2, every, 0.8),
    ]


STEP_DECAY = Exercise(
    task="step_decay(step, every, factor): the multiplier at this step: 1 at first, times factor after each `every` steps",
    reference=_step_decay,
    cases=_decay_cases,
    mistakes={
        "It falls a little at every step. Whole intervals only: step // every.": (
            lambda step, every, factor: factor ** (step / every)
        ),
        "It falls one step early: steps 0 to every - 1 have the multiplier 1.": (
            lambda step, every, factor: factor ** ((step + 1) // every)
        ),
        "It falls one step late: at step `every` it has fallen once.": (
            lambda step, every, factor: factor ** ((step - 1) // every) if step else 1.0
        ),
        "Each fall multiplies: factor to the power of the number of falls.": (
            lambda step, every, factor: factor * (step // every) if step >= every else 1.0
        ),
        "Before the first fall this is 0. And each fall multiplies: factor to the power of their number.": (
            lambda step, every, factor: factor * (step // every)
        ),
        "The first fall comes at once, because ceil() rounds up. Whole intervals only: step // every.": (
            lambda step, every, factor: factor ** math.ceil(step / every)
        ),
        "step % every == 0 marks the step of a fall, and step 0 is none. A fall stays: factor ** (step // every).": (
            lambda step, every, factor: factor if step % every == 0 else 1.0
        ),
        "It falls only once. After 2 * every steps it has fallen twice.": (
            lambda step, every, factor: factor if step >= every else 1.0
        ),
        "It falls by the same amount each time, and ends below 0. Each fall multiplies.": (
            lambda step, every, factor: 1 - (1 - factor) * (step // every)
        ),
        "factor is what is left after a fall, not what is taken away.": (
            lambda step, every, factor: (1 - factor) ** (step // every)
        ),
        "It falls for a single step and comes back. A fall stays.": (
            lambda step, every, factor: factor if step and step % every == 0 else 1.0
        ),
        "% gives the steps since the last fall. Count the falls: step // every.": (
            lambda step, every, factor: factor ** (step % every)
        ),
        "round() goes up from the middle of an interval on. Count whole intervals: step // every.": (
            lambda step, every, factor: factor ** round(step / every)
        ),
        "It rises: one over factor is above 1. Multiply by factor at each fall.": (
            lambda step, every, factor: (1 / factor) ** (step // every)
        ),
        "factor was taken away each time. Each fall multiplies by it.": (
            lambda step, every, factor: 1 - factor * (step // every)
        ),
        "step and every are exchanged: how many times does `every` go into step? step // every.": (
            lambda step, every, factor: factor ** (every // step) if step else 1.0
        ),
    },
    hints=("How many times has it fallen at this step?", "step // every times."),
    alternatives=(lambda step, every, factor: math.prod([factor] * int(step / every)),),
)


# 07.6 ----------------------------------------------------------------------------------------------------------------
def _read_range_test(lrs, losses):
    losses = torch.where(losses.isfinite(), losses, math.inf)
    return float(lrs[losses.argmin()]) / 10


def _range_cases(generator):
    def case(steps, breaks=None, dtype=torch.float64):
        lrs, place = torch.logspace(-4, 1, steps, dtype=dtype), torch.linspace(0, 1, steps, dtype=dtype)
        low = 0.4 + 0.3 * torch.rand((), generator=generator, dtype=dtype)
        losses = 0.3 + (place - low) ** 2 * 8 + 0.02 * torch.rand(steps, generator=generator, dtype=dtype)
        losses[place > low + 0.1] *= 3
        if breaks is not None:
            losses[-steps // 8 :] = breaks
        return (lrs, losses)

    return [
        (torch.tensor([0.001, 0.01, 0.1, 1.0]), torch.tensor([2.0, 1.0, 0.5, 3.0])),
        (torch.tensor([0.001, 0.01, 0.1, 1.0, 10.0]), torch.tensor([2.0, 1.0, 0.4, 5.0, math.nan])),
        (torch.tensor([0.001, 0.01, 0.1, 1.0]), torch.tensor([2.0, 0.5, 1.0, -math.inf])),
        (torch.tensor([0.001, 0.01, 0.1, 1.0, 10.0]), torch.tensor([math.nan, 2.0, 1.0, 0.5, 3.0])),
        case(40),
        case(80, math.nan),
        case(60, math.inf, torch.float32),
    ]


def _range_variant(rate, losses=lambda losses: torch.where(losses.isfinite(), losses, math.inf)):
    return lambda lrs, values: float(rate(lrs, losses(values)))


READ_RANGE_TEST = Exercise(
    task="read_range_test(lrs, losses): a tenth of the learning rate at which the smallest finite loss was seen, a float",
    reference=_read_range_test,
    cases=_range_cases,
    mistakes={
        "This is the rate at the minimum, not a tenth of it; and for argmin a NaN is the smallest: leave out what is not finite.": (
            lambda lrs, losses: float(lrs[losses.argmin()])
        ),
        "Once some losses are left out the positions shift: leave out the same rates, lrs[losses.isfinite()].": (
            lambda lrs, losses: float(lrs[losses[losses.isfinite()].argmin()]) / 10
        ),
        "This is the rate at the minimum, where divergence is near. Take a tenth of it.": (
            _range_variant(lambda lrs, losses: lrs[losses.argmin()])
        ),
        "A NaN counts as the smallest for argmin. Leave out what is not finite.": (
            _range_variant(lambda lrs, losses: lrs[losses.argmin()] / 10, lambda losses: losses)
        ),
        "-inf passes for the smallest loss. Leave out whatever is not finite.": (
            _range_variant(
                lambda lrs, losses: lrs[losses.argmin()] / 10,
                lambda losses: losses.nan_to_num(math.inf, math.inf, -math.inf),
            )
        ),
        "Values that are not finite became 0, and so the smallest. Make them inf, or leave them out.": (
            _range_variant(
                lambda lrs, losses: lrs[losses.argmin()] / 10, lambda losses: losses.nan_to_num(0.0, 0.0, 0.0)
            )
        ),
        "This is a tenth of the position. Look up the rate there: lrs[k].": (
            _range_variant(lambda lrs, losses: losses.argmin() / 10)
        ),
        "This is a tenth of the loss. The rate at which it was seen is wanted.": (
            _range_variant(lambda lrs, losses: losses.min() / 10)
        ),
        "This is the rate at the largest loss.": (
            _range_variant(lambda lrs, losses: lrs[losses.nan_to_num(0, 0, 0).argmax()] / 10)
        ),
        "Multiplied by ten: that rate diverges. Divide.": (
            _range_variant(lambda lrs, losses: 10 * lrs[losses.argmin()])
        ),
        "This is one point before the minimum. A tenth of the rate is wanted, however dense the points are.": (
            _range_variant(lambda lrs, losses: lrs[max(int(losses.argmin()) - 1, 0)])
        ),
        "This is ten points before the minimum. A tenth of the rate is wanted, however dense the points are.": (
            _range_variant(lambda lrs, losses: lrs[int(losses.argmin()) - 10 if len(lrs) > 10 else 0])
        ),
        "This is where the loss falls most steeply. The task asks for a tenth of the rate at the smallest loss.": (
            _range_variant(lambda lrs, losses: lrs[losses.diff().nan_to_num(math.inf).argmin()])
        ),
        "This is the rate after the steepest fall. The task asks for a tenth of the rate at the smallest loss.": (
            _range_variant(lambda lrs, losses: lrs[1 + losses.diff().nan_to_num(math.inf).argmin()])
        ),
        "This is the steepest fall, and a NaN passes for it. Leave out what is not finite, and look for the smallest loss.": (
            lambda lrs, losses: float(lrs[losses.diff().argmin()])
        ),
        "This is a tenth of the rate at the steepest fall. Take a tenth of the rate at the smallest loss.": (
            _range_variant(lambda lrs, losses: lrs[losses.diff().nan_to_num(math.inf).argmin()] / 10)
        ),
        "This is a tenth of the last rate with a finite loss. The smallest loss was seen before.": (
            lambda lrs, losses: float(lrs[losses.isfinite()][-1]) / 10
        ),
        "This is a tenth of the largest rate. Look up where the loss was smallest.": (
            lambda lrs, losses: float(lrs[-1]) / 10
        ),
        "Half of it is not enough room: take a tenth.": (
            _range_variant(lambda lrs, losses: lrs[losses.argmin()] / 2)
        ),
    },
    hints=(
        "Replace what is not finite by inf: torch.where(losses.isfinite(), losses, math.inf).",
        "k = losses.argmin(), and then lrs[k] / 10.",
    ),
    alternatives=(
        lambda lrs, losses: lrs[losses.isfinite()][losses[losses.isfinite()].argmin()] / 10,
        lambda lrs, losses: (
            min((float(b), float(a)) for a, b in zip(lrs, losses, strict=True) if math.isfinite(b))[1] * 0.1
        ),
    ),
    rtol=1e-4,
)


EXERCISES = {
    "07.1": CURVATURE_ALONG,
    "07.2": LARGEST_LR,
    "07.3": WARMUP_COSINE,
    "07.4": CHOOSE_WARMUP,
    "07.5": STEP_DECAY,
    "07.6": READ_RANGE_TEST,
}
