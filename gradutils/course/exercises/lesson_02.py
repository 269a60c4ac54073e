"""Exercises of lesson 02: backpropagation."""

import math
from functools import wraps

import torch

from gradutils.course.exercise import Exercise, drawer


# 02.1 ----------------------------------------------------------------------------------------------------------------
def _linear_backward(h, W, delta):
    return delta @ W, delta.T @ h, delta.sum(0)


def _linear_cases(generator):
    randn = drawer(generator)
    return [
        (torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 0.0], [0.0, 3.0]]), torch.tensor([[1.0, -1.0]])),
        (randn(2, 3), randn(4, 3), randn(2, 4)),
        (
            randn(5, 2, dtype=torch.float64),
            randn(3, 2, dtype=torch.float64),
            randn(5, 3, dtype=torch.float64),
        ),
        (randn(3, 3), randn(3, 3), randn(3, 3)),
        (randn(4, 6), randn(1, 6), randn(4, 1)),
    ]


LINEAR_BACKWARD = Exercise(
    task="linear_backward(h, W, delta): the triple dL/dh, dL/dW, dL/db of the layer z = h @ W.T + b, from delta = dL/dz",
    reference=_linear_backward,
    cases=_linear_cases,
    mistakes={
        "dW is transposed. It has the shape of W: a row for each output, so delta comes first.": (
            lambda h, W, d: (d @ W, h.T @ d, d.sum(0))
        ),
        "delta stands to the right of W.T, as with columns. Here examples are rows, so delta comes first: delta @ W.": (
            lambda h, W, d: (W.T @ d, d.T @ h, d.sum(0))
        ),
        "dh was pulled back through W.T. Forward goes through W.T, so backward goes through W: delta @ W.": (
            lambda h, W, d: (d @ W.T, d.T @ h, d.sum(0))
        ),
        "db still has a row for each example. The bias is used by all of them, so their shares are added.": (
            lambda h, W, d: (d @ W, d.T @ h, d)
        ),
        "db is a mean over the batch. It is a sum: if the loss is a mean, its 1/B is in delta already.": (
            lambda h, W, d: (d @ W, d.T @ h, d.mean(0))
        ),
        "dW and db were divided by the batch size. If the loss is a mean, its 1/B is in delta already.": (
            lambda h, W, d: (d @ W, d.T @ h / len(h), d.mean(0))
        ),
        "dW was divided by the batch size. If the loss is a mean, its 1/B is in delta already.": (
            lambda h, W, d: (d @ W, d.T @ h / len(h), d.sum(0))
        ),
        "db was summed over the outputs. Each output has its own bias: sum over the examples, axis 0.": (
            lambda h, W, d: (d @ W, d.T @ h, d.sum(1))
        ),
        "db was summed over everything. Each output has its own bias: sum over the examples only.": (
            lambda h, W, d: (d @ W, d.T @ h, d.sum())
        ),
        "db has an axis too many: its shape is (m,), that of b.": (
            lambda h, W, d: (d @ W, d.T @ h, d.sum(0, keepdim=True))
        ),
        "dh and dW are swapped: the order is dh, dW, db.": lambda h, W, d: (d.T @ h, d @ W, d.sum(0)),
        "The triple is in reverse order: dh, dW, db.": lambda h, W, d: (d.sum(0), d.T @ h, d @ W),
        "dW is transposed, and db is a mean. dW has a row for each output, and db is a sum over the examples.": (
            lambda h, W, d: (d @ W, h.T @ d, d.mean(0))
        ),
        "dW was built from delta alone. The derivative of z with respect to W is h: delta.T times h.": (
            lambda h, W, d: (d @ W, d.T @ d, d.sum(0))
        ),
        "db is missing: return dh, dW, db.": lambda h, W, d: (d @ W, d.T @ h),
        "dh was divided by the batch size. If the loss is a mean, its 1/B is in delta already.": (
            lambda h, W, d: (d @ W / len(h), d.T @ h, d.sum(0))
        ),
        "All three were divided by the batch size. If the loss is a mean, its 1/B is in delta already.": (
            lambda h, W, d: (d @ W / len(h), d.T @ h / len(h), d.mean(0))
        ),
        "Only the first example was used. Every example adds its share to dW and db, and each has its own row of dh.": (
            lambda h, W, d: ((d @ W)[0], torch.outer(d[0], h[0]), d[0])
        ),
        "dW and db hold the share of the first example alone. Every example uses W and b, so the shares are added.": (
            lambda h, W, d: (d @ W, torch.outer(d[0], h[0]), d[0])
        ),
        "db is 1 for every output: that is dz/db. It still has to be multiplied by delta, and added over the examples.": (
            lambda h, W, d: (d @ W, d.T @ h, torch.ones_like(d[0]))
        ),
        "db counts the examples: dz/db is 1 for each. It is delta that has to be added over them.": (
            lambda h, W, d: (d @ W, d.T @ h, torch.ones_like(d).sum(0))
        ),
        "dh was built entry by entry from delta and h. h does not stand in it: it is delta, sent back through W.": (
            lambda h, W, d: (d * h, d.T @ h, d.sum(0))
        ),
        "These are the local derivatives. Each has to meet delta, the slope that comes from above.": (
            lambda h, W, d: (W, h, 1)
        ),
        "dW was built from dh. It needs h, the layer's input.": (
            lambda h, W, d: (d @ W, d.T @ (d @ W), d.sum(0))
        ),
    },
    hints=(
        "Let the shapes lead: dh is like h (B, n), dW like W (m, n), db like b (m,). delta is (B, m).",
        "One entry: z[i, j] = sum over k of h[i, k] * W[j, k]. So W[j, k] collects delta[i, j] * h[i, k] over all examples i.",
        "dh = delta @ W; dW is delta.T times h; db adds delta over the batch.",
    ),
    alternatives=(
        lambda h, W, delta: (delta @ W, torch.einsum("bm,bn->mn", delta, h), delta.sum(dim=0)),
        lambda h, W, delta: [delta.matmul(W), (h.T @ delta).T, torch.ones(len(h), dtype=h.dtype) @ delta],
    ),
    returns=("dh", "dW", "db"),
)


# 02.2 ----------------------------------------------------------------------------------------------------------------
def _activation_backward(phi, z, dh):
    if phi == "linear":
        return dh
    return dh * (z > 0) if phi == "relu" else dh * (1 - torch.tanh(z) ** 2)


def _act(phi, z):
    return {"linear": z, "relu": z.relu(), "tanh": z.tanh()}[phi]


def _activation_cases(generator):
    randn = drawer(generator)

    def z(*shape, dtype=torch.float32):  # clear of 0, where ReLU has a kink
        size = 0.2 + 2 * torch.rand(*shape, dtype=dtype, generator=generator)
        return size * randn(*shape, dtype=dtype).sign()

    fixed = torch.tensor([-1.0, 0.5, 2.0]), torch.tensor([1.0, 10.0, -1.0])
    cases = [("linear", *fixed), ("relu", *fixed), ("tanh", *fixed)]
    # At a z of 0 the derivatives of linear and tanh are 1. At ReLU's kink any is right, as dh is 0 there.
    cases += [(phi, torch.tensor([0.0, 1.0]), torch.tensor([2.0, 3.0])) for phi in ("linear", "tanh")]
    cases += [("relu", torch.tensor([0.0, 1.0, -1.0]), torch.tensor([0.0, 3.0, 2.0]))]
    for phi in ("linear", "relu", "tanh"):
        cases += [
            (phi, z(3, 8), randn(3, 8)),
            (phi, z(6, dtype=torch.float64), randn(6, dtype=torch.float64)),
        ]
    return cases


def _activation_variant(linear=None, relu=None, tanh=None):
    """The right answer with one of its branches replaced."""
    branches = {"linear": linear, "relu": relu, "tanh": tanh}

    def activation_backward(phi, z, dh):
        return (branches[phi] or (lambda z, dh: _activation_backward(phi, z, dh)))(z, dh)

    return activation_backward


ACTIVATION_BACKWARD = Exercise(
    task='activation_backward(phi, z, dh): dL/dz from dh = dL/dh, where h = phi(z); phi is "linear", "relu" or "tanh"',
    reference=_activation_backward,
    cases=_activation_cases,
    mistakes={
        "dh is there for linear alone. The slopes of relu and tanh have to meet it as well: multiply each by dh.": (
            lambda phi, z, dh: dh if phi == "linear" else _activation_backward(phi, z, torch.ones_like(dh))
        ),
        "This is the slope of the activation alone. It has to meet dh, the slope that comes from above.": (
            lambda phi, z, dh: _activation_backward(phi, z, torch.ones_like(dh))
        ),
        "This is phi(z), the forward pass. Backwards dh is multiplied by the slope of phi.": (
            lambda phi, z, dh: _act(phi, z)
        ),
        "dh was multiplied by phi(z). It is multiplied by the slope of phi at z.": (
            lambda phi, z, dh: dh * _act(phi, z)
        ),
        "The activation was applied to dh. Backwards dh is multiplied by the slope of phi at z.": (
            lambda phi, z, dh: _act(phi, dh)
        ),
        "dh comes back as it is for every phi. Are the names compared as they are passed, `relu` and `tanh` in small letters?": (
            lambda phi, z, dh: dh
        ),
        "None comes back for relu and tanh. Are the names compared as they are passed, in small letters?": (
            lambda phi, z, dh: dh if phi == "linear" else None
        ),
        "This divides by z, and 0 / 0 is a NaN. Ask where z is positive: dh * (z > 0).": (
            _activation_variant(relu=lambda z, dh: dh * (z.relu() / z))
        ),
        "Under ReLU the gate alone came back. It has to be multiplied by dh.": (
            _activation_variant(relu=lambda z, dh: (z > 0).to(dh.dtype))
        ),
        "ReLU's gate is the wrong way round: dh passes where z is positive.": (
            _activation_variant(relu=lambda z, dh: dh * (z < 0))
        ),
        "ReLU's gate was set by the sign of dh. It was set on the way forward, by the sign of z.": (
            _activation_variant(relu=lambda z, dh: dh.relu())
        ),
        "Under ReLU dh was multiplied by z where z is positive. The slope there is 1.": (
            _activation_variant(relu=lambda z, dh: dh * z.relu())
        ),
        "Under ReLU dh changes sign where z is negative. The slope there is 0, not -1.": (
            _activation_variant(relu=lambda z, dh: dh * z.sign())
        ),
        "Under ReLU everything passes. Where z is negative the slope is 0.": (
            _activation_variant(relu=lambda z, dh: dh)
        ),
        "The slope of tanh is 1 - h**2 with h = tanh(z); here z itself was squared.": (
            _activation_variant(tanh=lambda z, dh: dh * (1 - z**2))
        ),
        "The slope of tanh is 1 - tanh(z)**2: the square is missing.": (
            _activation_variant(tanh=lambda z, dh: dh * (1 - z.tanh()))
        ),
        "The slope of tanh was taken at dh. It is taken at z, where the forward pass was.": (
            _activation_variant(tanh=lambda z, dh: dh * (1 - dh.tanh() ** 2))
        ),
        "The slope of tanh is 1 minus tanh(z)**2: it is at most 1.": (
            _activation_variant(tanh=lambda z, dh: dh * (1 + z.tanh() ** 2))
        ),
        "This is the slope of the sigmoid. That of tanh is 1 - h**2, with h = tanh(z).": (
            _activation_variant(tanh=lambda z, dh: dh * z.sigmoid() * (1 - z.sigmoid()))
        ),
        "h * (1 - h) is the slope of the sigmoid, for its own h. That of tanh is 1 - h**2.": (
            _activation_variant(tanh=lambda z, dh: dh * z.tanh() * (1 - z.tanh()))
        ),
        "The slope of tanh is 1 - tanh(z)**2; here dh was squared. dh only multiplies it.": (
            _activation_variant(tanh=lambda z, dh: dh * (1 - dh**2))
        ),
        "The slope was added to dh. A chain multiplies: dh times the slope.": (
            lambda phi, z, dh: dh + _activation_backward(phi, z, torch.ones_like(dh))
        ),
        "The entries were added up. Each entry of z has its own derivative: the result has the shape of z.": (
            lambda phi, z, dh: _activation_backward(phi, z, dh).sum()
        ),
        "Where z is negative ReLU lets nothing through. A small slope there makes it a leaky ReLU.": (
            _activation_variant(relu=lambda z, dh: torch.where(z > 0, dh, 0.01 * dh))
        ),
        "Under tanh the slope alone came back. It has to be multiplied by dh.": (
            _activation_variant(tanh=lambda z, dh: 1 - z.tanh() ** 2)
        ),
        "Under tanh the sign is lost: the slope is 1 - h**2, not h**2 - 1.": (
            _activation_variant(tanh=lambda z, dh: dh * (z.tanh() ** 2 - 1))
        ),
        "Under tanh dh was multiplied by tanh(z)**2. The slope is 1 minus that.": (
            _activation_variant(tanh=lambda z, dh: dh * z.tanh() ** 2)
        ),
        "For the linear phi the slope is 1, and it is multiplied by dh like any other: dh passes as it is.": (
            _activation_variant(linear=lambda z, dh: torch.ones_like(dh))
        ),
        "The linear phi was treated like tanh: it falls through to the last branch. Its slope is 1, so dh passes as it is.": (
            _activation_variant(linear=lambda z, dh: dh * (1 - z.tanh() ** 2))
        ),
        "The linear phi was treated like ReLU. Its slope is 1 everywhere, so dh passes as it is.": (
            _activation_variant(linear=lambda z, dh: dh * (z > 0))
        ),
        "For the linear phi dh was multiplied by z. Its slope is 1, so dh passes as it is.": (
            _activation_variant(linear=lambda z, dh: dh * z)
        ),
        "Nothing comes back for the linear phi. Its slope is 1, so dh passes as it is.": (
            _activation_variant(linear=lambda z, dh: None)
        ),
        "For the linear phi z was returned. Its slope is 1, so dh passes as it is.": (
            _activation_variant(linear=lambda z, dh: z)
        ),
    },
    hints=(
        "Entry by entry: dL/dz = dL/dh times dh/dz, and dh/dz is the slope of phi at that z.",
        "Slopes: linear 1; relu 1 where z > 0 and 0 elsewhere; tanh 1 - tanh(z)**2.",
    ),
    alternatives=(
        lambda phi, z, dh: (
            dh * {"linear": torch.ones_like(z), "relu": (z > 0).to(z.dtype), "tanh": 1 / z.cosh() ** 2}[phi]
        ),
        _activation_variant(relu=lambda z, dh: torch.where(z >= 0, dh, 0)),
    ),
)


# 02.3 ----------------------------------------------------------------------------------------------------------------
def _good(x):
    return torch.finfo(x.dtype).eps ** (1 / 3)


def _central_difference(f, x, v):
    eps = _good(x)
    return (f(x + eps * v) - f(x - eps * v)) / (2 * eps)


def _measured(f):
    """f as a measurement: it gives values, and nothing to differentiate."""

    @wraps(f)
    def measured(x):
        if x.requires_grad or x.is_complex():
            raise TypeError(
                "f measures, and cannot be differentiated. Move x by eps * v and look at the values"
            )
        return f(x.detach())

    return measured


@_measured
def _valley(x):
    """1e4 * x**2, summed over x."""
    return 1e4 * x.square().sum()


@_measured
def _on_a_plateau(x):
    """60 + sin(x), summed over x."""
    return 60 + x.sin().sum()


@_measured
def _steep(x):
    """exp(8 * x), summed over x."""
    return (8 * x).exp().sum()


@_measured
def _ripple(x):
    """sin(3000 * x) / 3000, summed over x: it bends within a thousandth."""
    return (3000 * x).sin().sum() / 3000


def _slope_cases(generator):
    def rand(low, high, *shape, dtype=torch.float32):
        return low + (high - low) * torch.rand(*shape, dtype=dtype, generator=generator)

    return [
        (_ripple, torch.zeros(1, dtype=torch.float64), torch.tensor([1.5], dtype=torch.float64)),
        (_valley, torch.zeros(1), torch.tensor([1.0])),
        (_on_a_plateau, rand(0.1, 0.3, 2), torch.tensor([2.0, 1.0])),
        *((_on_a_plateau, rand(0, 0.4, n), rand(0.8, 1.6, n)) for n in (2, 3, 4) for _ in range(4)),
        (_steep, rand(0, 0.3, 3), rand(0.4, 0.9, 3)),
        (_steep, rand(0, 0.3, 3, dtype=torch.float64), rand(-2.0, -0.6, 3, dtype=torch.float64)),
        (_ripple, rand(-1e-4, 1e-4, 2, dtype=torch.float64), rand(1.0, 2.0, 2, dtype=torch.float64)),
    ]


def _difference(eps_of, *, sides=2, divide=lambda eps: 2 * eps):
    def central_difference(f, x, v):
        eps = eps_of(x)
        there = f(x + eps * v)
        return (there - (f(x - eps * v) if sides == 2 else f(x))) / divide(eps)

    return central_difference


def _fixed_difference(eps):
    return _difference(lambda x: eps)


def _one_sided(f, x, v):
    return _difference(lambda x: torch.finfo(x.dtype).eps ** 0.5, sides=1, divide=lambda eps: eps)(f, x, v)


def _by_autograd(f, x, v):
    return torch.autograd.functional.jvp(f, x, v)[1]


CENTRAL_DIFFERENCE = Exercise(
    task="central_difference(f, x, v): the slope of f at x along v, to two digits, in float32 and in float64, without autograd",
    reference=_central_difference,
    cases=_slope_cases,
    mistakes={
        "This is one-sided: its error falls only with eps, not with its square. At the bottom of a valley it sees a slope.": (
            _difference(_good, sides=1, divide=lambda eps: eps)
        ),
        "A one-sided difference, with its best eps: still its error falls only with eps. Look to both sides.": (
            _one_sided
        ),
        "One-sided, and divided by the way of both sides: f(x) was taken where f(x - eps * v) belongs.": (
            _difference(_good, sides=1, divide=lambda eps: 2 * eps)
        ),
        "eps was taken from float32 whatever x is. In float64 a finer one is possible, and f may bend within yours: use x.dtype.": (
            _difference(lambda x: torch.finfo(torch.float32).eps ** (1 / 3))
        ),
        "A one-sided difference, looking back: still its error falls only with eps. Look to both sides.": (
            lambda f, x, v: -_one_sided(f, x, -v)
        ),
        "Twice too large: from x - eps * v to x + eps * v it is 2 * eps.": (
            _difference(_good, divide=lambda eps: eps)
        ),
        "The difference was not divided by the way, 2 * eps.": _difference(_good, divide=lambda eps: 1),
        "The sign is the other way round: ahead minus behind.": (
            _difference(_good, divide=lambda eps: -2 * eps)
        ),
        "v was scaled to length 1. The slope along v is gradient times v: a v twice as long sees twice the slope.": (
            lambda f, x, v: _central_difference(f, x, v / v.norm())
        ),
        "v was not used: every entry of x was moved by the same eps. Move x by eps * v.": (
            lambda f, x, v: _central_difference(f, x, torch.ones_like(v))
        ),
        "Each entry of x was moved by itself, and v came in afterwards. x has to move along v: x + eps * v.": (
            lambda f, x, v: (_central_difference(f, x, torch.ones_like(v)) * v).sum()
        ),
        "eps is as small as a rounding, so the difference is nothing but rounding. Where is the bottom of the V?": (
            _difference(lambda x: torch.finfo(x.dtype).eps)
        ),
        **{
            f"An eps of {eps:.0e} suits float32. In float64 a finer one is possible, and f may bend within yours: let eps depend on x.dtype.": (
                _fixed_difference(eps)
            )
            for eps in (1e-2, 5e-3, 3e-3, 2e-3, 1e-3, 1e-4)
        },
        **{
            f"An eps of {eps:.0e} suits float64. In float32 the difference is then mostly rounding: let eps depend on x.dtype.": (
                _fixed_difference(eps)
            )
            for eps in (1e-5, 1e-6, 1e-7, 1e-8)
        },
        "An eps of 0.1 is far too coarse: f bends within it. The error falls with eps squared, until rounding takes over.": (
            _fixed_difference(0.1)
        ),
        "This differentiates f (autograd, jvp). The task wants its values only: f at x + eps * v and at x - eps * v.": (
            _by_autograd
        ),
        "This differentiates f by torch.func, but f only measures. Use its values at x + eps * v and at x - eps * v.": (
            lambda f, x, v: torch.func.jvp(f, (x,), (v,))[1]
        ),
        "`/ 2 * eps` divides by 2 and then multiplies by eps. Write `/ (2 * eps)`.": (
            _difference(_good, divide=lambda eps: 2 / eps)
        ),
        "`eps ** 1 / 3` is a third of eps: the power comes first. Write `eps ** (1 / 3)`.": (
            _difference(lambda x: torch.finfo(x.dtype).eps ** 1 / 3)
        ),
    },
    hints=(
        "Two values of f, one on either side of x, and the way between them.",
        "torch.finfo(x.dtype).eps is the rounding of the format of x. Its cube root is near the bottom of the V.",
        "(f(x + eps * v) - f(x - eps * v)) / (2 * eps)",
    ),
    alternatives=(
        _difference(lambda x: 1e-3 if x.dtype == torch.float32 else 1e-6),
        _difference(lambda x: torch.finfo(x.dtype).eps ** 0.4),
        lambda f, x, v: float(_central_difference(f, x, v)),
    ),
    rtol=1e-2,
)


# 02.4 ----------------------------------------------------------------------------------------------------------------
def _backward(weights, phi, h, z, delta):
    grads = [None] * len(weights)
    for k in reversed(range(len(weights))):
        grads[k] = delta.T @ h[k]
        if k:
            delta = _activation_backward(phi, z[k - 1], delta @ weights[k])
    return grads


# Not symmetric, so that a transpose shows, and no z is 0.
BY_HAND = [torch.tensor([[1.0, 1.0], [2.0, -2.0]]), torch.tensor([[2.0, 1.0], [3.0, 1.0]])]


def _network_cases(generator):
    def passed(weights, phi, x, delta):
        h, z = [x], []
        for W in weights:
            z.append(h[-1] @ W.T)
            h.append(_act(phi, z[-1]))
        return weights, phi, h, z, delta

    def case(phi, *sizes, batch=3, dtype=torch.float64):
        randn = drawer(generator)
        pairs = zip(sizes[1:], sizes[:-1], strict=True)
        weights = [randn(m, n, dtype=dtype) / n**0.5 for m, n in pairs]
        return passed(weights, phi, randn(batch, sizes[0], dtype=dtype), randn(batch, sizes[-1], dtype=dtype))

    x, delta = torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, -2.0]])
    return [
        passed(BY_HAND, "linear", x, delta),
        passed(BY_HAND, "relu", x, delta),
        case("tanh", 3, 3, 3, 3, dtype=torch.float32),
        case("relu", 6, 6, 6, 6, 6),
        case("tanh", 5, 4, 3, 2),
        case("relu", 4, 8, 8, 3, batch=5),
        case("tanh", 4, 2, batch=2),
    ]


def _one_layer_down(weights, phi, z, k, delta, top):
    return _activation_backward(phi, z[k - 1], delta @ weights[k])


def _at_z_k(weights, phi, z, k, delta, top):
    return _activation_backward(phi, z[k], delta @ weights[k])


def _at_h_k(weights, phi, z, k, delta, top):
    return _activation_backward(phi, _act(phi, z[k - 1]), delta @ weights[k])


def _from_the_top(weights, phi, z, k, delta, top):
    return _activation_backward(phi, z[k - 1], top @ weights[k])


def _through_the_weights_below(weights, phi, z, k, delta, top):
    return _activation_backward(phi, z[k - 1], delta @ weights[k - 1])


def _always_the_top(weights, phi, z, k, delta, top):
    return top


def _walk(ks, names="dh dW db", carry=True):
    """With linear_backward: layers in the order of ``ks``, its triple under other ``names``, delta carried or not."""

    def backward(weights, phi, h, z, delta):
        grads = []
        for k in ks(range(len(weights))):
            got = dict(zip(names.split(), _linear_backward(h[k], weights[k], delta), strict=True))
            grads.append(got["dW"]) if ks is list else grads.insert(0, got["dW"])
            if k > 0 and carry:
                delta = _activation_backward(phi, z[k - 1], got["dh"])
        return grads

    return backward


def _network_variant(
    weight_grad=lambda delta, h, k: delta.T @ h[k],
    down=_one_layer_down,
    last=lambda d, phi, z: d,
    stops=True,
):
    """The right answer with one of its steps replaced; ``down`` is given the delta at layer k and that of the top.

    Without ``stops`` it goes on down from the first layer.
    """

    def backward(weights, phi, h, z, delta):
        delta, grads = last(delta, phi, z), []
        top = delta
        for k in reversed(range(len(weights))):
            grads.insert(0, weight_grad(delta, h, k))
            if k or not stops:
                delta = down(weights, phi, z, k, delta, top)
        return grads

    return backward


BACKWARD = Exercise(
    task="backward(weights, phi, h, z, delta): the list of dL/dW, first layer first; delta is dL/dz of the last layer",
    reference=_backward,
    cases=_network_cases,
    mistakes={
        "The list is in the order of the backward pass. The task wants the first layer first.": (
            lambda *case: _backward(*case)[::-1]
        ),
        "The activations were left out: after delta @ W comes activation_backward, with the z below.": (
            _network_variant(down=lambda weights, phi, z, k, d, top: d @ weights[k])
        ),
        "The slope was taken at z[k]. Going down through weights[k] you arrive at layer k - 1: its z counts.": (
            _network_variant(down=_at_z_k)
        ),
        "The slope was taken at h[k]. activation_backward wants the pre-activation below, z[k - 1].": (
            _network_variant(down=_at_h_k)
        ),
        "At k = 0 there is no layer below: z[k - 1] is then z[-1], the last. Stop after the gradient of weights[0].": (
            _network_variant(stops=False)
        ),
        "The slope was taken at z[k]; going down through weights[k] you arrive at layer k - 1. And at k = 0, stop.": (
            _network_variant(down=_at_z_k, stops=False)
        ),
        "The last layer has no activation: delta is dL/dz of it already.": (
            _network_variant(last=lambda d, phi, z: _activation_backward(phi, z[-1], d))
        ),
        "The gradient of weights[k] was built with h[k + 1]. Its input is h[k].": (
            _network_variant(weight_grad=lambda delta, h, k: delta.T @ h[k + 1])
        ),
        "Each dW is transposed: it has the shape of its W.": (
            _network_variant(weight_grad=lambda delta, h, k: h[k].T @ delta)
        ),
        "Divided by the batch size. If the loss is a mean, its 1/B is in delta already.": (
            _network_variant(weight_grad=lambda delta, h, k: delta.T @ h[k] / len(delta))
        ),
        "The first layer is missing. The loop has to reach weights[0].": (
            lambda weights, phi, h, z, delta: _backward(weights, phi, h, z, delta)[1:]
        ),
        "Every layer was given the delta from the top, pulled back once. delta has to be carried down, layer by layer.": (
            _network_variant(down=_from_the_top)
        ),
        "delta never moves: the result of activation_backward has to be called delta, so that the layer below works with it.": (
            _walk(reversed, carry=False)
        ),
        "delta stays that of the last layer. It has to move down: through weights[k], then through the slope at z[k - 1].": (
            _network_variant(down=_always_the_top)
        ),
        "delta went through the transpose of weights[k]. Forward goes through W.T, so backward goes through W.": (
            _network_variant(
                down=lambda weights, phi, z, k, d, top: _activation_backward(phi, z[k - 1], d @ weights[k].T)
            )
        ),
        "The slope of tanh was taken whatever phi is. Pass phi on to activation_backward.": (
            _network_variant(
                down=lambda weights, phi, z, k, d, top: _activation_backward("tanh", z[k - 1], d @ weights[k])
            )
        ),
        "The slope of ReLU was taken whatever phi is. Pass phi on to activation_backward.": (
            _network_variant(
                down=lambda weights, phi, z, k, d, top: _activation_backward("relu", z[k - 1], d @ weights[k])
            )
        ),
        "The gradient of weights[k] was built with z[k - 1]. Its input is h[k], which is phi of that.": (
            lambda weights, phi, h, z, delta: _backward(weights, phi, [h[0], *z], z, delta)
        ),
        "linear_backward returns dh, dW, db in this order. Here dW and dh have changed places.": (
            _walk(reversed, names="dW dh db")
        ),
        "The loop runs from the first layer to the last. delta starts at the last layer: take k in reversed order.": (
            _walk(list)
        ),
        "delta went down through weights[k - 1]. From layer k it goes down through that layer's own weights[k].": (
            _network_variant(down=_through_the_weights_below)
        ),
    },
    hints=(
        "Walk k from the last layer to the first. At each stop: the gradient of weights[k] needs delta and h[k].",
        "Then move delta one layer down: through weights[k] (linear_backward gives dh), then through the activation at z[k - 1].",
        "for k in reversed(range(len(weights))): …; if k > 0: delta = activation_backward(phi, z[k - 1], dh)",
    ),
    alternatives=(
        _network_variant(),
        lambda weights, phi, h, z, delta: tuple(_backward(weights, phi, h, z, delta)),
    ),
)


# 02.5 ----------------------------------------------------------------------------------------------------------------
def _tied_backward(W, x, c):
    h = torch.tanh(x @ W.T)
    return c.T @ h + (c @ W * (1 - h**2)).T @ x


def _tied_cases(generator):
    randn = drawer(generator)
    return [
        # x @ W.T is 0 here, so h is 0 and the slope 1: only the first use counts. Then a z1 of (0, 1).
        (
            torch.tensor([[2.0, -1.0], [4.0, -2.0]]),
            torch.tensor([[1.0, 2.0]]),
            torch.tensor([[1.0, -1.0]]),
        ),
        (
            torch.tensor([[2.0, -1.0], [1.0, 0.0]]),
            torch.tensor([[1.0, 2.0]]),
            torch.tensor([[1.0, -1.0]]),
        ),
        (randn(2, 2), randn(1, 2), randn(1, 2)),
        (
            randn(3, 3, dtype=torch.float64),
            randn(4, 3, dtype=torch.float64),
            randn(4, 3, dtype=torch.float64),
        ),
        (randn(5, 5), randn(2, 5), randn(2, 5)),
    ]


def _tied_variant(combine, slope=lambda h: 1 - h**2):
    def tied_backward(W, x, c):
        h = torch.tanh(x @ W.T)
        return combine(c.T @ h, (c @ W * slope(h)).T @ x)

    return tied_backward


def _tied_by_uses(W, x, c, first=lambda x, z: x, second=lambda x, z: z.tanh(), slope_at=lambda W, z: z):
    """The sum of the two uses, each with its input, and the place at which the slope of tanh is taken."""
    z = x @ W.T
    delta = _activation_backward("tanh", slope_at(W, z), c @ W)
    return c.T @ second(x, z) + delta.T @ first(x, z)


TIED_BACKWARD = Exercise(
    deeper=True,
    task="tied_backward(W, x, c): dL/dW where L = sum(c * z2), z2 = h @ W.T, h = tanh(x @ W.T): one W, used twice",
    reference=_tied_backward,
    cases=_tied_cases,
    mistakes={
        "Only the second use of W was counted: h was taken for a constant, and it depends on W too.": (
            _tied_variant(lambda second, first: second)
        ),
        "Only the first use of W is left. An `=` where a `+=` belongs overwrites the second.": (
            _tied_variant(lambda second, first: first)
        ),
        "The two uses were averaged. They add up: W moves both.": (
            _tied_variant(lambda second, first: (second + first) / 2)
        ),
        "The two uses were multiplied. A chain multiplies; two ways to the same loss add up.": (
            _tied_variant(lambda second, first: second * first)
        ),
        "The second use was counted twice. The first runs through h: through W, then through the slope of tanh.": (
            _tied_variant(lambda second, first: 2 * second)
        ),
        "The two uses were subtracted. They add up.": _tied_variant(lambda second, first: second - first),
        "The slope of tanh is missing on the way to the first use.": (
            _tied_variant(lambda second, first: second + first, slope=torch.ones_like)
        ),
        "tanh was taken twice: h is tanh(z1) already, so the slope is 1 - h**2.": (
            _tied_variant(lambda second, first: second + first, slope=lambda h: 1 - h.tanh() ** 2)
        ),
        "On the way to the first use c went through W.T. Backwards it goes through W: c @ W.": (
            lambda W, x, c: c.T @ (x @ W.T).tanh() + (c @ W.T * (1 - (x @ W.T).tanh() ** 2)).T @ x
        ),
        "A slope of tanh was taken at z2 as well. The second layer has no activation: its delta is c.": (
            lambda W, x, c: _tied_backward(W, x, c * (1 - ((x @ W.T).tanh() @ W.T).tanh() ** 2))
        ),
        "The first use met h. It is the second use that reads h; the input of the first is x.": (
            lambda W, x, c: _tied_by_uses(W, x, c, first=lambda x, z: z.tanh())
        ),
        "The second use met z1. It reads h = tanh(z1).": (
            lambda W, x, c: _tied_by_uses(W, x, c, second=lambda x, z: z)
        ),
        "The second use met x. It reads h = tanh(x @ W.T).": (
            lambda W, x, c: _tied_by_uses(W, x, c, second=lambda x, z: x)
        ),
        "x and c went through W in the wrong direction: forward is x @ W.T.": (
            lambda W, x, c: c.T @ (x @ W).tanh() + _activation_backward("tanh", x @ W, c @ W).T @ x
        ),
        "h * (1 - h) is the slope of the sigmoid. That of tanh is 1 - h**2.": (
            _tied_variant(lambda second, first: second + first, slope=lambda h: h * (1 - h))
        ),
        "The slope was taken at z2. The tanh stands between the two uses: its slope is taken at z1 = x @ W.T.": (
            lambda W, x, c: _tied_by_uses(W, x, c, slope_at=lambda W, z: z.tanh() @ W.T)
        ),
        "dW is transposed: it has the shape of W, so delta.T comes first.": (
            _tied_variant(lambda second, first: (second + first).T)
        ),
    },
    hints=(
        "Call the two uses W1 and W2, take the gradient of each as in a network of two layers, then make them one again.",
        "Second use: c.T @ h. First use: pull c back through W and through tanh, then meet x.",
        "dW = c.T @ h; dW = dW + delta1.T @ x, with delta1 = (c @ W) * (1 - h**2)",
    ),
    alternatives=(lambda W, x, c: sum(_backward([W, W], "tanh", [x, (x @ W.T).tanh()], [x @ W.T], c)),),
)


# 02.6 ----------------------------------------------------------------------------------------------------------------
def _push_forward(weights, phi, x, v):
    for W in weights:
        z = x @ W.T
        v = _activation_backward(phi, z, v @ W.T)
        x = _act(phi, z)
    return v


def _push_cases(generator):
    def case(phi, *sizes, batch=2, dtype=torch.float64):
        randn = drawer(generator)
        weights = [
            randn(m, n, dtype=dtype) * 1.5 / n**0.5 for m, n in zip(sizes[1:], sizes[:-1], strict=True)
        ]
        return weights, phi, randn(batch, sizes[0], dtype=dtype), randn(batch, sizes[0], dtype=dtype)

    x, v = torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 0.0]])
    return [
        (BY_HAND, "linear", x, v),
        (BY_HAND, "relu", x, v),
        case("tanh", 3, 3, 3, dtype=torch.float32),
        case("relu", 8, 8, 8, 8, batch=3),
        case("tanh", 2, 5, 3, batch=4),
        case("relu", 9, 6, 7, 5),
    ]


def _push_variant(step):
    def push_forward(weights, phi, x, v):
        for W in weights:
            x, v = step(W, phi, x, v)
        return v

    return push_forward


def _forward_only(weights, phi, x):
    for W in weights:
        x = _act(phi, x @ W.T)
    return x


def _sum_of_changes(weights, phi, x, v):
    total = v
    for k in range(len(weights)):
        total = total + _push_forward(weights[: k + 1], phi, x, v)
    return total


PUSH_FORWARD = Exercise(
    deeper=True,
    task="push_forward(weights, phi, x, v): how the output moves when the input x moves along v; every layer is phi(x @ W.T)",
    reference=_push_forward,
    cases=_push_cases,
    mistakes={
        "The activations were left out: after W, v meets the slope of phi at z.": (
            _push_variant(lambda W, phi, x, v: (_act(phi, x @ W.T), v @ W.T))
        ),
        "The slope was taken at v. The network works at z, which comes from x.": (
            _push_variant(
                lambda W, phi, x, v: (_act(phi, x @ W.T), _activation_backward(phi, v @ W.T, v @ W.T))
            )
        ),
        "v went through the network like an input. It goes through its slopes: a straight line, not phi.": (
            _push_variant(lambda W, phi, x, v: (_act(phi, x @ W.T), _act(phi, v @ W.T)))
        ),
        "The slope was taken before W, at x. In each layer W comes first, then the slope at z = x @ W.T.": (
            _push_variant(lambda W, phi, x, v: (_act(phi, x @ W.T), _activation_backward(phi, x, v) @ W.T))
        ),
        "x went on without its activation: the next layer reads phi(z), not z.": (
            _push_variant(lambda W, phi, x, v: (x @ W.T, _activation_backward(phi, x @ W.T, v @ W.T)))
        ),
        "The slope was taken at phi(z). It is taken at z (activation_backward applies tanh itself).": (
            _push_variant(
                lambda W, phi, x, v: (
                    _act(phi, x @ W.T),
                    _activation_backward(phi, _act(phi, x @ W.T), v @ W.T),
                )
            )
        ),
        "The slope was multiplied in before W. In each layer W comes first: slope at z times v @ W.T.": (
            _push_variant(
                lambda W, phi, x, v: (_act(phi, x @ W.T), _activation_backward(phi, x @ W.T, v) @ W.T)
            )
        ),
        "The slope was multiplied in twice. Each layer has one activation, so v meets its slope once.": (
            _push_variant(
                lambda W, phi, x, v: (
                    _act(phi, x @ W.T),
                    _activation_backward(phi, x @ W.T, _activation_backward(phi, x @ W.T, v @ W.T)),
                )
            )
        ),
        "The slope of tanh was taken whatever phi is. Pass phi on to activation_backward.": (
            _push_variant(
                lambda W, phi, x, v: (_act(phi, x @ W.T), _activation_backward("tanh", x @ W.T, v @ W.T))
            )
        ),
        "The pair came back. Wanted is the change of the output alone: return v.": (
            lambda weights, phi, x, v: (_forward_only(weights, phi, x), _push_forward(weights, phi, x, v))
        ),
        "The layers were taken in reverse. The change goes forwards, with the signal: first layer first.": (
            lambda weights, phi, x, v: _push_forward(weights[::-1], phi, x, v)
        ),
        "The changes of all layers were added up. Each layer changes v, and only what leaves the last one counts.": (
            _sum_of_changes
        ),
        "x stood still: every layer has its own input. Carry x along with v.": (
            _push_variant(lambda W, phi, x, v: (x, _activation_backward(phi, x @ W.T, v @ W.T)))
        ),
        "v went through W, which is the way back. Forwards it goes through W.T, like x.": (
            _push_variant(
                lambda W, phi, x, v: (_act(phi, x @ W.T), _activation_backward(phi, x @ W.T, v @ W))
            )
        ),
        "x was replaced before z was computed from it. The slope belongs to the z that this layer sees.": (
            _push_variant(
                lambda W, phi, x, v: (
                    _act(phi, x @ W.T),
                    _activation_backward(phi, _act(phi, x @ W.T) @ W.T, v @ W.T),
                )
            )
        ),
        "This is the change for a v of full size. To first order: each layer's slope at x, not a difference.": (
            lambda weights, phi, x, v: _forward_only(weights, phi, x + v) - _forward_only(weights, phi, x)
        ),
        "This is the output of the network. The task wants how it moves: v, pushed through.": (
            lambda weights, phi, x, v: _forward_only(weights, phi, x)
        ),
        "v went through one layer only. Is the return inside the loop?": (
            lambda weights, phi, x, v: _push_forward(weights[:1], phi, x, v)
        ),
        "The last layer's activation was left out. Here every layer has one.": (
            lambda weights, phi, x, v: _push_forward(weights[:-1], phi, x, v) @ weights[-1].T
        ),
    },
    hints=(
        "Carry two things through the loop: x, the signal, and v, its change.",
        "A linear layer moves a change as it moves the signal: v @ W.T. An activation multiplies it by its slope at z.",
        "v = activation_backward(phi, z, v @ W.T): a slope multiplies forwards as backwards.",
    ),
    alternatives=(
        lambda weights, phi, x, v: torch.func.jvp(lambda x: _forward_only(weights, phi, x), (x,), (v,))[1],
    ),
)


# 02.7 ----------------------------------------------------------------------------------------------------------------
def _noise_depth(growth, dtype):
    return math.log(2 / torch.finfo(dtype).eps) / math.log(growth)


def _noise_cases(generator):
    draws = (1.1 + 2 * torch.rand(4, generator=generator, dtype=torch.float64)).tolist()
    formats = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
    return [(2.0, torch.float32), (2.0, torch.float64), *zip(draws, formats, strict=True)]


NOISE_DEPTH = Exercise(
    task="noise_depth(growth, dtype): after how many layers a rounding of half of torch.finfo(dtype).eps has grown to 1 (not rounded)",
    reference=_noise_depth,
    cases=_noise_cases,
    mistakes={
        "This starts from eps. A number is rounded to the nearest, so the error is half of it.": (
            lambda g, dtype: math.log(1 / torch.finfo(dtype).eps) / math.log(g)
        ),
        "The sign is the other way round: growth has to lead from eps / 2 up to 1.": (
            lambda g, dtype: math.log(torch.finfo(dtype).eps / 2) / math.log(g)
        ),
        "This is the depth at which numbers leave the format. Wanted is the one at which its rounding reaches 1.": (
            lambda g, dtype: math.log(torch.finfo(dtype).max) / math.log(g)
        ),
        "The growth was divided out once. Every layer multiplies by it: a logarithm counts the layers.": (
            lambda g, dtype: 2 / torch.finfo(dtype).eps / g
        ),
        "The logarithm of the growth is missing: divide by it.": (
            lambda g, dtype: math.log(2 / torch.finfo(dtype).eps)
        ),
        "Two kinds of logarithm are mixed. Take the same above and below.": (
            lambda g, dtype: math.log10(2 / torch.finfo(dtype).eps) / math.log(g)
        ),
        "Two kinds of logarithm are mixed, base 2 above and natural below. Take the same above and below.": (
            lambda g, dtype: math.log2(2 / torch.finfo(dtype).eps) / math.log(g)
        ),
        "Two kinds of logarithm are mixed, natural above and base 2 below. Take the same above and below.": (
            lambda g, dtype: math.log(2 / torch.finfo(dtype).eps) / math.log2(g)
        ),
        "The half went the wrong way: eps / 2 has to grow by 2 / eps, further than eps itself.": (
            lambda g, dtype: math.log(0.5 / torch.finfo(dtype).eps) / math.log(g)
        ),
        "Layers were counted, or the depth rounded up. The task wants the number as it is, so use the logarithm.": (
            lambda g, dtype: math.ceil(_noise_depth(g, dtype))
        ),
        "The smallest number of the format was taken. A rounding is measured against 1: it begins at eps / 2.": (
            lambda g, dtype: -math.log(torch.finfo(dtype).tiny) / math.log(g)
        ),
        "Upside down: the growth per layer goes below, as a larger one needs fewer layers.": (
            lambda g, dtype: 1 / _noise_depth(g, dtype)
        ),
        "One too many: the rounding begins at eps / 2 before the first layer, and each layer multiplies it once.": (
            lambda g, dtype: _noise_depth(g, dtype) + 1
        ),
        "A root was taken. The number of layers stands in the exponent, growth ** L = 2 / eps: a logarithm gives it.": (
            lambda g, dtype: (2 / torch.finfo(dtype).eps) ** (1 / g)
        ),
        "Divided by the growth itself. Divide by its logarithm.": (
            lambda g, dtype: math.log(2 / torch.finfo(dtype).eps) / g
        ),
        "Right, and then rounded. The task wants the number as it is.": (
            lambda g, dtype: math.floor(_noise_depth(g, dtype))
        ),
        "dtype was not used: this is the answer for float32.": (
            lambda g, dtype: _noise_depth(g, torch.float32)
        ),
    },
    hints=(
        "After L layers the error is eps / 2 times growth to the power L. When is that 1?",
        "growth ** L = 2 / eps, so L = log(2 / eps) / log(growth).",
    ),
    alternatives=(
        lambda growth, dtype: -math.log(torch.finfo(dtype).eps / 2, growth),
        lambda growth, dtype: math.log2(2 / torch.finfo(dtype).eps) / math.log2(growth),
    ),
)

EXERCISES = {
    "02.1": LINEAR_BACKWARD,
    "02.2": ACTIVATION_BACKWARD,
    "02.3": CENTRAL_DIFFERENCE,
    "02.4": BACKWARD,
    "02.5": TIED_BACKWARD,
    "02.6": PUSH_FORWARD,
    "02.7": NOISE_DEPTH,
}
