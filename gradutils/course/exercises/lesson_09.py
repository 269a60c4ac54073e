"""Exercises of lesson 09: Adam."""

import math

import torch

from gradutils.course.exercise import Exercise, drawer


# 09.1 ----------------------------------------------------------------------------------------------------------------
def _adam_step(w, g, m, v, t, lr, beta1, beta2, eps, decay):
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    update = (m / (1 - beta1**t)) / ((v / (1 - beta2**t)).sqrt() + eps)
    return w * (1 - lr * decay) - lr * update, m, v


def _by_torch(w, g, m, v, t, lr, beta1, beta2, eps, decay):
    p = w.clone()
    p.grad = g
    optimizer = torch.optim.AdamW([p], lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=decay)
    optimizer.state[p] = {"step": torch.tensor(t - 1.0), "exp_avg": m.clone(), "exp_avg_sq": v.clone()}
    optimizer.step()
    return p, optimizer.state[p]["exp_avg"], optimizer.state[p]["exp_avg_sq"]


def _step_cases(generator):
    randn = drawer(generator, torch.float64)

    def later(*shape, t, dtype=torch.float64):
        w, g, m = (randn(*shape).to(dtype) for _ in range(3))
        return w, g, m, randn(*shape).to(dtype) ** 2 + 0.1, t

    w, g = torch.tensor([1.0]).double(), torch.tensor([2.0]).double()
    none, no_square = (
        torch.zeros(2, 1).double().unbind()
    )  # two tensors: one that is changed in place leaves the other
    return [
        (w, g, none, no_square, 1, 0.1, 0.9, 0.999, 1e-8, 0.0),
        (w, g, none, no_square, 1, 0.1, 0.9, 0.999, 1e-8, 0.5),
        (w, 0.01 * g, none, no_square, 1, 0.1, 0.9, 0.999, 0.02, 0.0),
        (*later(3, t=5), 0.1, 0.9, 0.95, 1e-8, 0.0),
        (*later(2, 3, t=2), 0.3, 0.8, 0.9, 0.1, 2.0),
        (*later(4, t=40), 0.01, 0.9, 0.99, 0.5, 1.0),
        (*later(2, 2, t=7, dtype=torch.float32), 0.2, 0.5, 0.9, 0.05, 0.7),
    ]


def _step_variant(
    first=lambda m, t, b1, b2: m / (1 - b1**t),
    second=lambda v, t, b1, b2: v / (1 - b2**t),
    root=lambda v, eps: v.sqrt() + eps,
    square=lambda g: g**2,
    move=lambda w, u, lr, decay: w * (1 - lr * decay) - lr * u,
    kept=lambda m, v, m_hat, v_hat: (m, v),
    coupled=False,
    late=False,
):
    def answer(w, g, m, v, t, lr, beta1, beta2, eps, decay):
        g = g + decay * w if coupled else g
        old_m, old_v = m, v
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * square(g)
        used = (old_m, old_v) if late else (m, v)
        m_hat, v_hat = first(used[0], t, beta1, beta2), second(used[1], t, beta1, beta2)
        update = m_hat / root(v_hat, eps)
        moved = move(w, update, lr, 0.0 if coupled else decay)
        return moved, *kept(m, v, m_hat, v_hat)

    return answer


ADAM_STEP = Exercise(
    task="adam_step(w, g, m, v, t, lr, beta1, beta2, eps, decay): one step of AdamW, step number t = 1, 2, …; return w, m, v",
    reference=_adam_step,
    cases=_step_cases,
    mistakes={
        "eps stands under the root. It is added after it: sqrt(v_hat) + eps.": _step_variant(
            root=lambda v, eps: (v + eps).sqrt()
        ),
        "The correction is missing: m / (1 - beta1**t) and v / (1 - beta2**t). Without it the first step is 3.2 rates long.": (
            _step_variant(first=lambda m, t, b1, b2: m, second=lambda v, t, b1, b2: v)
        ),
        "Only m is corrected. v begins at 0 as well: v / (1 - beta2**t).": _step_variant(
            second=lambda v, t, b1, b2: v
        ),
        "Only v is corrected. m begins at 0 as well: m / (1 - beta1**t).": _step_variant(
            first=lambda m, t, b1, b2: m
        ),
        "Both means are corrected with beta1. The mean of squares has taken in 1 - beta2**t.": _step_variant(
            second=lambda v, t, b1, b2: v / (1 - b1**t)
        ),
        "Both means are corrected with beta2. The mean of gradients has taken in 1 - beta1**t.": (
            _step_variant(first=lambda m, t, b1, b2: m / (1 - b2**t))
        ),
        "t counts from 1, and this step is number t: 1 - beta**t, not t + 1.": _step_variant(
            first=lambda m, t, b1, b2: m / (1 - b1 ** (t + 1)),
            second=lambda v, t, b1, b2: v / (1 - b2 ** (t + 1)),
        ),
        "The decay was added to the gradient, and Adam divides it away again. It shrinks w itself: w * (1 - lr * decay).": (
            _step_variant(coupled=True)
        ),
        "The decay is not multiplied by the rate: w * (1 - lr * decay).": _step_variant(
            move=lambda w, u, lr, decay: w * (1 - decay) - lr * u
        ),
        "The decay was taken of the moved weight. It is taken of w as it came.": _step_variant(
            move=lambda w, u, lr, decay: (w - lr * u) * (1 - lr * decay)
        ),
        "The decay is missing: w * (1 - lr * decay) before the step.": _step_variant(
            move=lambda w, u, lr, decay: w - lr * u
        ),
        "v is a mean of squared gradients: g**2, not |g|.": _step_variant(square=lambda g: g.abs()),
        "The update is divided by v_hat. Its root is wanted: sqrt(v_hat) + eps.": _step_variant(
            root=lambda v, eps: v + eps
        ),
        "The corrected means are kept, so the next step corrects them again. Return m and v as they are.": (
            _step_variant(kept=lambda m, v, m_hat, v_hat: (m_hat, v_hat))
        ),
        "This goes up the gradient. A step goes against it: minus.": _step_variant(
            move=lambda w, u, lr, decay: w * (1 - lr * decay) + lr * u
        ),
        "The update uses the means from before. This gradient belongs in them first.": _step_variant(
            late=True, second=lambda v, t, b1, b2: v / (1 - b2**t) + 1e-30
        ),
        "eps is missing from the denominator: sqrt(v_hat) + eps.": _step_variant(
            root=lambda v, eps: v.sqrt()
        ),
    },
    hints=(
        "First both means: m = beta1 * m + (1 - beta1) * g, and v with g**2.",
        "Then m / (1 - beta1**t), v / (1 - beta2**t), and update = m_hat / (v_hat.sqrt() + eps).",
        "Return w * (1 - lr * decay) - lr * update, m, v.",
    ),
    alternatives=(
        _by_torch,
        lambda w, g, m, v, t, lr, beta1, beta2, eps, decay: (
            w
            - lr * decay * w
            - lr
            * (beta1 * m + (1 - beta1) * g)
            / (1 - beta1**t)
            / (((beta2 * v + (1 - beta2) * g * g) / (1 - beta2**t)) ** 0.5 + eps),
            beta1 * m + (1 - beta1) * g,
            beta2 * v + (1 - beta2) * g * g,
        ),
    ),
    returns=("w", "m", "v"),
)


# 09.2 ----------------------------------------------------------------------------------------------------------------
def _adam_edge(lr, beta1):
    return (2 + 2 * beta1) / ((1 - beta1) * lr)


def _edge_cases(generator):
    a, b = torch.rand(2, generator=generator, dtype=torch.float64).tolist()
    return [
        (1.0, 0.0),
        (0.01, 0.0),
        (1.0, 0.5),
        (0.01, 0.9),
        (0.001, 0.95),
        (0.001 + 0.1 * a, 0.3 + 0.6 * b),
        (0.01 + a, 0.5 * b),
    ]


ADAM_EDGE = Exercise(
    task="adam_edge(lr, beta1): the preconditioned sharpness above which Adam's steps overshoot, a number",
    reference=_adam_edge,
    cases=_edge_cases,
    mistakes={
        "This is heavy ball's edge. Adam's m is a mean: each gradient enters with 1 - beta1, so divide by that.": (
            lambda lr, beta1: (2 + 2 * beta1) / lr
        ),
        "This is plain descent's edge. An alternating gradient enters m with (1 - beta1) / (1 + beta1) of its size.": (
            lambda lr, beta1: 2 / lr
        ),
        "The two are exchanged: an alternating gradient is damped by (1 - beta1) / (1 + beta1), so the edge lies higher.": (
            lambda lr, beta1: 2 * (1 - beta1) / ((1 + beta1) * lr)
        ),
        "A larger rate lowers the edge: divide by lr.": (
            lambda lr, beta1: lr * (2 + 2 * beta1) / (1 - beta1)
        ),
        "The rate is missing: this is the edge of rate times sharpness.": (
            lambda lr, beta1: (2 + 2 * beta1) / (1 - beta1)
        ),
        "1 - beta1 alone is what one gradient weighs. In an alternating sum the older ones take some of it back: 1 + beta1.": (
            lambda lr, beta1: 2 / ((1 - beta1) * lr)
        ),
        "The 2 is missing: at the edge a step lands on the other side, as far away, so it is twice the distance.": (
            lambda lr, beta1: (1 + beta1) / ((1 - beta1) * lr)
        ),
        "The 2 multiplies beta1 as well: 2 + 2 beta1.": lambda lr, beta1: (2 + beta1) / ((1 - beta1) * lr),
        "1 - beta1 is squared. A gradient passes the mean once.": (
            lambda lr, beta1: (2 + 2 * beta1) / ((1 - beta1) ** 2 * lr)
        ),
        "The root is too much: the edge goes with the damping itself.": (
            lambda lr, beta1: 2 * ((1 + beta1) / (1 - beta1)) ** 0.5 / lr
        ),
    },
    hints=(
        "Plain descent: lr times sharpness is 2 at the edge.",
        "Of an alternating gradient (1 - beta1) / (1 + beta1) is left in m, so the edge is larger by the inverse.",
    ),
    alternatives=(lambda lr, beta1: 2 / lr * (1 + beta1) / (1 - beta1),),
)


# 09.3 ----------------------------------------------------------------------------------------------------------------
def _awake(beta1, beta2, t):
    return (1 - beta1) / (1 - beta1**t) * math.sqrt((1 - beta2**t) / (1 - beta2))


def _awake_cases(generator):
    a, b = torch.rand(2, generator=generator, dtype=torch.float64).tolist()
    t = int(torch.randint(3, 30, (), generator=generator))
    return [
        (0.9, 0.999, 1),
        (0.9, 0.999, 2),
        (0.9, 0.999, 10),
        (0.9, 0.999, 300),
        (0.9, 0.95, 300),
        (0.0, 0.99, 50),
        (0.5 + 0.4 * a, 0.9 + 0.09 * b, t),
        (0.3 * b, 0.5 + 0.4 * a, t + 2),
    ]


def _peak(beta1, beta2, t):
    """The longest step after the weight woke, not the first."""
    return max(
        (1 - beta1**k) / (1 - beta1 ** (t + k - 1)) * math.sqrt((1 - beta2 ** (t + k - 1)) / (1 - beta2**k))
        for k in range(1, 200)
    )


AWAKE = Exercise(
    task="awake(beta1, beta2, t): the first step, in units of the rate, of a weight whose gradient was 0 before step t and is not 0 now",
    reference=_awake,
    cases=_awake_cases,
    mistakes={
        "t is not in it. v is divided by 1 - beta2**t, so a short silence gives a shorter step.": (
            lambda beta1, beta2, t: (1 - beta1) / math.sqrt(1 - beta2)
        ),
        "m is corrected too, by 1 - beta1**t. After a long silence that is 1, after a short one it is not.": (
            lambda beta1, beta2, t: (1 - beta1) * math.sqrt((1 - beta2**t) / (1 - beta2))
        ),
        "v is corrected too, by 1 - beta2**t.": (
            lambda beta1, beta2, t: (1 - beta1) / (1 - beta1**t) / math.sqrt(1 - beta2)
        ),
        "The root is missing: v is a mean of squares.": (
            lambda beta1, beta2, t: (1 - beta1) / (1 - beta1**t) * (1 - beta2**t) / (1 - beta2)
        ),
        "beta1 and beta2 are exchanged. m has beta1, and stands above.": (
            lambda beta1, beta2, t: (1 - beta2) / (1 - beta2**t) * math.sqrt((1 - beta1**t) / (1 - beta1))
        ),
        "This is upside down: m / (1 - beta1**t) stands above, the root of v / (1 - beta2**t) below.": (
            lambda beta1, beta2, t: 1 / _awake(beta1, beta2, t)
        ),
        "This is the longest step, some steps later. The first one is asked for.": _peak,
        "The step number is one too small: the step on which the gradient comes is number t.": (
            lambda beta1, beta2, t: 1.0 if t == 1 else _awake(beta1, beta2, t - 1)
        ),
        "This is the RMS, |g| over the root of v. Adam's step has m above, which has taken in 1 - beta1 of g.": (
            lambda beta1, beta2, t: math.sqrt((1 - beta2**t) / (1 - beta2))
        ),
        "With new means the first step is 1. These have counted t steps already.": (
            lambda beta1, beta2, t: 1.0
        ),
    },
    hints=(
        "Both means were 0. With the gradient g the first becomes (1 - beta1) g, the second (1 - beta2) g**2.",
        "Correct both by 1 - beta**t, divide the first by the root of the second; g drops out.",
    ),
    alternatives=(
        lambda beta1, beta2, t: (1 - beta1) / (1 - beta1**t) / ((1 - beta2) / (1 - beta2**t)) ** 0.5,
    ),
)


# 09.4 ----------------------------------------------------------------------------------------------------------------
def _update_clip(update, g, v):
    rms = (g**2 / v.clamp(min=1e-16)).mean().sqrt()
    return update / rms.clamp(min=1)


def _clip_cases(generator):
    randn = drawer(generator, torch.float64)

    def case(*shape, size, dtype=torch.float64):
        g, v = randn(*shape), randn(*shape) ** 2 + 0.1
        return tuple(part.to(dtype) for part in (randn(*shape), size * g, v))

    one, asleep = torch.ones(4).double(), torch.tensor([0.0, 0.0, 1.0, 1.0]).double()
    return [
        (0.1 * one, 2 * one, one),
        (0.1 * one, 0.5 * one, one),
        (asleep, 3 * asleep, asleep),
        (0.5 * one, torch.tensor([1.0, 2.0, 3.0, 4.0]).double(), torch.tensor([1.0, 1.0, 4.0, 4.0]).double()),
        case(3, 2, size=4.0),
        case(5, size=0.2),
        case(2, 4, size=6.0, dtype=torch.float32),
        (torch.ones(2).double(), torch.ones(2).double(), torch.tensor([1e-20, 1.0]).double()),
    ]


def _clip_variant(rms, keep=lambda size: size.clamp(min=1)):
    return lambda update, g, v: update / keep(rms(update, g, v.clamp(min=1e-16)))


def _ratio(update, g, v):
    return (g**2 / v).mean().sqrt()


UPDATE_CLIP = Exercise(
    task="update_clip(update, g, v): the update of one tensor over its RMS of g / sqrt(v), where that is above 1; a 0 in v counts as 1e-16",
    reference=_update_clip,
    cases=_clip_cases,
    mistakes={
        "It divides always, and lengthens an update whose RMS is below 1. Divide by max(1, RMS).": (
            _clip_variant(_ratio, lambda size: size)
        ),
        "This is min(1, RMS): it lengthens quiet updates and lets the loud ones pass.": _clip_variant(
            _ratio, lambda size: size.clamp(max=1)
        ),
        "This is the RMS of the update. It waits for m, which has taken in only a tenth of g: take g**2 / v.": (
            _clip_variant(lambda update, g, v: (update**2).mean().sqrt())
        ),
        "The root is missing: RMS is the root of the mean of g**2 / v.": (
            _clip_variant(lambda update, g, v: (g**2 / v).mean())
        ),
        "The squares are summed. Take their mean, or a large tensor is always clipped.": (
            _clip_variant(lambda update, g, v: (g**2 / v).sum().sqrt())
        ),
        "The largest entry decides here. Take the mean of g**2 / v over the tensor.": (
            _clip_variant(lambda update, g, v: (g**2 / v).max().sqrt())
        ),
        "Each entry has its own factor. The tensor has one, so that its direction stays.": (
            lambda update, g, v: update / (g**2 / v.clamp(min=1e-16)).sqrt().clamp(min=1)
        ),
        "The mean of g**2 is divided by the mean of v. Divide first, entry by entry, then take the mean.": (
            _clip_variant(lambda update, g, v: ((g**2).mean() / v.mean()).sqrt())
        ),
        "v is a mean of squares already: g**2 / v, not (g / v)**2.": (
            _clip_variant(lambda update, g, v: ((g / v) ** 2).mean().sqrt())
        ),
        "Only the update was asked for. Where v is 0, 0 / 0 is NaN: take v.clamp(min=1e-16).": (
            lambda update, g, v: update / (g**2 / v).mean().sqrt().clamp(min=1)
        ),
        "This is a mean of |g| / sqrt(v). RMS squares first, so that one loud entry counts.": (
            _clip_variant(lambda update, g, v: (g.abs() / v.sqrt()).mean())
        ),
        "The update is cut at 1 entry by entry, which turns it. Divide all of it by one number.": (
            lambda update, g, v: update.clamp(-1, 1)
        ),
        "The update was multiplied by the RMS. A loud one is to become shorter.": (
            lambda update, g, v: update * _ratio(update, g, v.clamp(min=1e-16)).clamp(min=1)
        ),
    },
    hints=(
        "g**2 / v.clamp(min=1e-16), its mean over all entries, and the root of that: one number.",
        "Divide the update by that number where it is above 1: rms.clamp(min=1).",
    ),
    alternatives=(
        lambda update, g, v: update / max(1.0, float((g / v.sqrt().clamp(min=1e-8)).square().mean()) ** 0.5),
    ),
)


# 09.5 ----------------------------------------------------------------------------------------------------------------
def _angle(lr, decay, beta1):
    return math.sqrt(2 * lr * decay * (1 - beta1) / (1 + beta1))


def _angle_cases(generator):
    a, b, c = torch.rand(3, generator=generator, dtype=torch.float64).tolist()
    return [
        (0.01, 1.0, 0.0),
        (0.01, 1.0, 0.9),
        (0.003, 3.0, 0.9),
        (0.001, 0.1, 0.95),
        (0.001 + 0.02 * a, 0.05 + b, 0.9 * c),
        (0.01 * b, 0.2 + c, 0.5 + 0.4 * a),
    ]


ANGLE = Exercise(
    task="angle(lr, decay, beta1): by how many radians the weights before a normalisation turn in a step, once they have settled",
    reference=_angle,
    cases=_angle_cases,
    mistakes={
        "The root is missing: lr * decay was a balance of squares.": (
            lambda lr, decay, beta1: 2 * lr * decay * (1 - beta1) / (1 + beta1)
        ),
        "The 2 is missing: a decay of lr * decay per step takes twice that from the square.": (
            lambda lr, decay, beta1: math.sqrt(lr * decay * (1 - beta1) / (1 + beta1))
        ),
        "beta1 is missing. A single step is made of a mean, and so shorter by (1 - beta1) / (1 + beta1) in its square.": (
            lambda lr, decay, beta1: math.sqrt(2 * lr * decay)
        ),
        "1 - beta1 alone is the weight of one gradient. The mean square of m goes with (1 - beta1) / (1 + beta1).": (
            lambda lr, decay, beta1: math.sqrt(2 * lr * decay * (1 - beta1))
        ),
        "This is upside down: a longer mean makes a step shorter, not longer.": (
            lambda lr, decay, beta1: math.sqrt(2 * lr * decay * (1 + beta1) / (1 - beta1))
        ),
        "The decay per step is lr times decay. The rate is missing.": (
            lambda lr, decay, beta1: math.sqrt(2 * decay * (1 - beta1) / (1 + beta1))
        ),
        "The decay is missing: the rate alone sets no angle, because weights that only grow turn ever more slowly.": (
            lambda lr, decay, beta1: math.sqrt(2 * lr * (1 - beta1) / (1 + beta1))
        ),
        "The share of beta1 stands outside the root. It is a share of the square.": (
            lambda lr, decay, beta1: math.sqrt(2 * lr * decay) * (1 - beta1) / (1 + beta1)
        ),
        "lr is divided by decay here. That is the size of the weights, not their angle.": (
            lambda lr, decay, beta1: math.sqrt(lr / (2 * decay) * (1 - beta1) / (1 + beta1))
        ),
    },
    hints=(
        "A step has the squared length lr**2 * n * (1 - beta1) / (1 + beta1), the weights lr * n / (2 * decay).",
        "Divide the first by the second, and take the root.",
    ),
    alternatives=(lambda lr, decay, beta1: (2 * lr * decay) ** 0.5 * ((1 - beta1) / (1 + beta1)) ** 0.5,),
    deeper=True,
)


# 09.6 ----------------------------------------------------------------------------------------------------------------
def _eps_shrinks(rms, eps):
    gauss = torch.special.ndtri((torch.arange(20000, dtype=torch.float64) + 0.5) / 20000)
    size = rms * gauss.abs()
    return float((size / (size + eps)).mean())


def _by_a_sum(rms, eps):
    z = torch.linspace(0, 8, 40001, dtype=torch.float64)
    density = torch.exp(-(z**2) / 2)
    return float((density * rms * z / (rms * z + eps)).sum() / density.sum())


def _eps_cases(generator):
    a, b = torch.rand(2, generator=generator, dtype=torch.float64).tolist()
    return [
        (1.0, 1.0),
        (1e-8, 1e-8),
        (1e-7, 1e-8),
        (1e-9, 1e-8),
        (1e-12, 1e-8),
        (1.0, 1e-8),
        (10 ** (-9 + 2 * a), 1e-8),
        (0.5 + b, 0.3),
    ]


def _eps_variant(share):
    def answer(rms, eps):
        gauss = torch.special.ndtri((torch.arange(20000, dtype=torch.float64) + 0.5) / 20000)
        return float(share(rms * gauss, eps))

    return answer


EPS_SHRINKS = Exercise(
    task="eps_shrinks(rms, eps): the mean of |g| / (|g| + eps) over Gaussian gradients g of that RMS, within 1 %",
    reference=_eps_shrinks,
    cases=_eps_cases,
    mistakes={
        "This puts the RMS in for every entry. Most entries are smaller, and lose more: take the mean over all of them.": (
            lambda rms, eps: rms / (rms + eps)
        ),
        "eps stands under a root with g**2. Adam adds it after the root: |g| / (|g| + eps).": _eps_variant(
            lambda g, eps: (g.abs() / (g**2 + eps**2).sqrt()).mean()
        ),
        "The shares are squared. Their mean is asked for.": _eps_variant(
            lambda g, eps: ((g.abs() / (g.abs() + eps)) ** 2).mean()
        ),
        "The sign stayed in, and both halves cancel. Take |g|.": _eps_variant(
            lambda g, eps: (g / (g.abs() + eps)).mean()
        ),
        "This is the mean of |g| over itself plus eps. Divide first, entry by entry, then take the mean.": (
            _eps_variant(lambda g, eps: g.abs().mean() / (g.abs().mean() + eps))
        ),
        "This is what is lost, eps / (|g| + eps). What is left is asked for.": _eps_variant(
            lambda g, eps: (eps / (g.abs() + eps)).mean()
        ),
        "This is a yes or no, the share of entries above eps. An entry that equals eps keeps a half.": (
            _eps_variant(lambda g, eps: (g.abs() > eps).double().mean())
        ),
        "The entries have RMS 1 here. Multiply the Gaussian numbers by rms.": (
            lambda rms, eps: _eps_shrinks(1.0, eps)
        ),
        "The root of the mean of squares was taken. The mean of the shares is asked for.": _eps_variant(
            lambda g, eps: ((g.abs() / (g.abs() + eps)) ** 2).mean().sqrt()
        ),
    },
    hints=(
        "Gaussian numbers: torch.special.ndtri((torch.arange(20000).double() + 0.5) / 20000), times rms.",
        "size = g.abs(), then (size / (size + eps)).mean().",
    ),
    alternatives=(_by_a_sum,),
    rtol=1e-2,
    deeper=True,
)


EXERCISES = {
    "09.1": ADAM_STEP,
    "09.2": ADAM_EDGE,
    "09.3": AWAKE,
    "09.4": UPDATE_CLIP,
    "09.5": ANGLE,
    "09.6": EPS_SHRINKS,
}
