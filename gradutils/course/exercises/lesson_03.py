"""Exercises of lesson 03: exploding gradients."""

import math

import torch
from torch import nn

from gradutils.course.exercise import Exercise, call_for_a_list
from gradutils.models import mlp


# 03.1 ----------------------------------------------------------------------------------------------------------------
def _growth_per_layer(sizes):
    return float(sizes[0] / sizes[-1]) ** (1 / (len(sizes) - 1))


def _profiles(generator):
    def rough(growth, depth, dtype=torch.float32):
        steps = torch.randn(depth, generator=generator, dtype=torch.float64) * 0.4
        return (steps.exp() * growth ** torch.arange(depth - 1, -1, -1.0)).to(dtype)

    return [
        (torch.tensor([8.0, 1.0, 2.0]),),
        (torch.tensor([0.01, 1.0]),),
        (rough(1.5, 12),),
        (rough(0.6, 7, torch.float64),),
        (rough(3.0, 40, torch.float64),),
    ]


def _fitted_growth(sizes):
    back = torch.arange(len(sizes) - 1, -1, -1.0, dtype=sizes.dtype)
    back, logs = back - back.mean(), sizes.log() - sizes.log().mean()
    return float((back * logs).sum() / back.square().sum())


GROWTH_PER_LAYER = Exercise(
    task="growth_per_layer(sizes): the factor per layer on the way back, the one that takes the last size to the first in equal steps; sizes is (L,), first layer first",
    reference=_growth_per_layer,
    cases=_profiles,
    mistakes={
        "This is the arithmetic mean of the factors. Factors multiply, so their mean is geometric: one large factor must not win.": (
            lambda s: float((s[:-1] / s[1:]).mean())
        ),
        "This is the growth over all layers together. The task asks for the factor of one.": (
            lambda s: float(s[0] / s[-1])
        ),
        "The root is off by one: between L layers there are L - 1 factors.": (
            lambda s: float(s[0] / s[-1]) ** (1 / len(s))
        ),
        "Upside down: on the way back the last layer comes first, and sizes[0] is where the gradient arrives.": (
            lambda s: float(s[-1] / s[0]) ** (1 / (len(s) - 1))
        ),
        "The total growth was divided by the number of factors. Factors multiply: take the root.": (
            lambda s: float(s[0] / s[-1]) / (len(s) - 1)
        ),
        "This is the logarithm of the factor. Take exp of it.": (
            lambda s: float((s[0] / s[-1]).log()) / (len(s) - 1)
        ),
        "A line was fitted to the logarithms. Wanted is the factor that takes the last size to the first in L - 1 equal steps.": (
            lambda s: math.exp(_fitted_growth(s))
        ),
        "The factors are upside down, and their mean is arithmetic. On the way back: sizes[k] / sizes[k + 1].": (
            lambda s: float((s[1:] / s[:-1]).mean())
        ),
        "A square root too many. The sizes are sizes, not squares: their factor is the growth itself.": (
            lambda s: float(s[0] / s[-1]) ** (0.5 / (len(s) - 1))
        ),
        "The factor was squared, chi in place of its root. The sizes are no squares: their factor is the growth itself.": (
            lambda s: float(s[0] / s[-1]) ** (2 / (len(s) - 1))
        ),
        "A square root was taken, whatever the number of layers. There are L - 1 factors: take the (L - 1)th root.": (
            lambda s: float(s[0] / s[-1]) ** 0.5
        ),
        "The largest size was divided by the smallest. Where the gradient shrinks they stand at the other ends: sizes[0] / sizes[-1].": (
            lambda s: float(s.max() / s.min()) ** (1 / (len(s) - 1))
        ),
        "This is the largest size over the smallest. Wanted is the factor per layer, from the last size to the first.": (
            lambda s: float(s.max() / s.min())
        ),
        "The root is off by one: between L layers there are L - 1 factors, not L - 2.": (
            lambda s: float(s[0] / s[-1]) ** (1 / max(len(s) - 2, 1))
        ),
        "This is the inverse of the whole growth. The task asks for the factor per layer, on the way back.": (
            lambda s: float(s[-1] / s[0])
        ),
        "Only the factor of the first layer came back. The one factor wanted leads from the last size to the first in L - 1 steps.": (
            lambda s: float(s[0] / s[1])
        ),
        "Only the factor of the last layer came back. The one factor wanted leads from the last size to the first in L - 1 steps.": (
            lambda s: float(s[-2] / s[-1])
        ),
        "The factors were added up. They multiply, and what is wanted is one of L - 1 equal ones.": (
            lambda s: float((s[:-1] / s[1:]).sum())
        ),
        "Both slips at once: upside down, and the root off by one. It is sizes[0] / sizes[-1], with L - 1 factors.": (
            lambda s: float(s[-1] / s[0]) ** (1 / len(s))
        ),
        "This is the median of the factors. Their product would not lead from the last size to the first.": (
            lambda s: float((s[:-1] / s[1:]).median())
        ),
        "Differences were averaged. The sizes grow by factors, not by amounts.": (
            lambda s: float((s[0] - s[-1]) / (len(s) - 1))
        ),
    },
    hints=(
        "With the factor g, the gradient meets sizes[-1] first, then g times that, and so on. How many steps to sizes[0]?",
        "sizes[0] = sizes[-1] * g ** (L - 1)",
    ),
    alternatives=(
        lambda sizes: (sizes[0] / sizes[-1]) ** (1 / (len(sizes) - 1)),
        lambda sizes: torch.exp((sizes[:-1] / sizes[1:]).log().mean()),
        lambda sizes: math.exp(-float(sizes.log().diff().mean())),
    ),
    rtol=1e-4,
)


# 03.2 ----------------------------------------------------------------------------------------------------------------
def _what_it_does(delta, weight_grad):
    if not delta.isfinite().all() or delta[0] > 10 * delta[-1]:
        return "explodes"
    return "vanishes" if delta[0] < delta[-1] / 10 else "steady"


def _profile_cases(generator):
    def profile(total, depth, rough=0.2):
        bends = 1 + rough * (torch.rand(depth, generator=generator) - 0.5)
        ends = torch.ones(depth)
        ends[1:-1] = bends[1:-1]
        return total ** torch.linspace(1, 0, depth) * ends

    size = float(torch.rand((), generator=generator)) + 0.5
    return [
        (torch.tensor([100.0, 10.0, 1.0]), torch.tensor([1.0, 1.0, 1.0])),
        (torch.tensor([0.01, 0.1, 1.0]), torch.tensor([5.0, 4.0, 5.0])),
        (torch.tensor([3.0, 2.0, 1.0]), torch.tensor([2.0, 2.0, 2.0])),
        (torch.tensor([4.0, 2.0, 1.0]), torch.tensor([4.0, 2.0, 1.0])),
        (torch.tensor([100.0, 30.0, 10.0, 1.0]), torch.tensor([50.0, 20.0, 5.0, 1.0])),
        (size * 1e-6 * profile(300.0, 8), size * profile(1.5, 8)),
        (size * 1e6 * profile(1 / 300.0, 8), size * 1e6 * profile(0.7, 8)),
        (size * 1e4 * profile(0.5, 12), size * profile(200.0, 12)),
        (size * 1e-4 * profile(4.0, 12), size * profile(1 / 200.0, 12)),
        (size * profile(25.0, 30), size * profile(0.8, 30)),
        (size * profile(1 / 25.0, 30), size * profile(1.1, 30)),
        (torch.tensor([math.inf, 1e30, 1.0]), torch.tensor([math.inf, 1e30, 1.0])),
        (torch.tensor([math.nan, math.inf, 1e30, 1.0]), torch.tensor([math.nan, math.inf, 1.0, 1.0])),
        (torch.tensor([0.0, 1e-30, 1.0]), torch.tensor([0.0, 1.0, 1.0])),
        (torch.tensor([1.0, math.nan, 1.0]), torch.tensor([1.0, math.nan, 1.0])),
        (torch.tensor([1.0, math.inf, 1.0]), torch.tensor([1.0, math.inf, 1.0])),
        (torch.tensor([1.0, 100.0, 1.0]), torch.tensor([1.0, 1.0, 1.0])),  # a hump between equal ends
        (torch.tensor([1.0, 0.01, 1.0]), torch.tensor([1.0, 1.0, 1.0])),
        # Close to a factor of 10 on both sides, both ways.
        *[(torch.tensor([ratio, 3.0, 1.0]), torch.ones(3)) for ratio in (9.5, 10.5, 1 / 9.5, 1 / 10.5)],
    ]


def _by_the_ends(delta, weight_grad):
    ratio = delta[0] / delta[-1]
    return "explodes" if not ratio.isfinite() or ratio > 10 else "vanishes" if ratio < 0.1 else "steady"


def _what_by(
    first_over_last, high=10.0, low=0.1, broken="explodes", is_broken=lambda delta: ~delta.isfinite()
):
    def what_it_does(delta, weight_grad):
        ratio = first_over_last(delta, weight_grad)
        if is_broken(delta).any():
            return broken
        return "explodes" if ratio > high else "vanishes" if ratio < low else "steady"

    return what_it_does


def _where_both_agree(delta, weight_grad):
    one, other = _what_it_does(delta, None), _what_it_does(weight_grad, None)
    return one if one == other else "steady"


def _where_either_says_so(delta, weight_grad):
    both = _what_it_does(delta, None), _what_it_does(weight_grad, None)
    return "explodes" if "explodes" in both else "vanishes" if "vanishes" in both else "steady"


def _by_single_steps(delta, weight_grad):
    steps = delta[:-1] / delta[1:]
    if not delta.isfinite().all() or (steps > 10).any():
        return "explodes"
    return "vanishes" if (steps < 0.1).any() else "steady"


WHAT_IT_DOES = Exercise(
    task='what_it_does(delta, weight_grad): "explodes", "vanishes" or "steady"; both are (L,), sizes by layer, first layer first',
    reference=_what_it_does,
    cases=_profile_cases,
    mistakes={
        "The weight gradients were compared. In a ReLU network they are flat whatever happens; delta shows it.": (
            _what_by(lambda d, w: w[0] / w[-1])
        ),
        "`explodes` and `vanishes` are swapped: the gradient explodes where delta[0] is larger than delta[-1].": (
            lambda d, w: {"explodes": "vanishes", "vanishes": "explodes"}.get(_what_it_does(d, w), "steady")
        ),
        "The direction is reversed. delta starts at the last layer and arrives at the first: exploding means delta[0] is large.": (
            _what_by(lambda d, w: d[-1] / d[0])
        ),
        "An inf or a NaN in delta was not called an explosion. Every comparison with a NaN is false: test for it first.": (
            _what_by(lambda d, w: d[0] / d[-1], broken="steady")
        ),
        "Right, but for an inf or a NaN that the two ends do not show. Test isfinite() of the whole profile first.": (
            lambda d, w: "explodes" if d[0] > 10 * d[-1] else "vanishes" if d[0] < d[-1] / 10 else "steady"
        ),
        "An inf or a NaN on the way was overlooked: only the first and the last layer were tested. Test isfinite() of all.": (
            _by_the_ends
        ),
        "Only the size at the first layer was looked at. The scale of the loss is in it; compare with the last layer.": (
            _what_by(lambda d, w: d[0])
        ),
        "The largest was compared with the smallest, so a vanishing gradient looks like an exploding one.": (
            _what_by(lambda d, w: d.max() / d.min())
        ),
        "The growth of one layer was compared with 10. Little by little is enough: compare the first with the last.": (
            _what_by(lambda d, w: (d[0] / d[-1]) ** (1 / (len(d) - 1)))
        ),
        "Everything that grows was called exploding. Within a factor of 10 over the whole network is steady.": (
            _what_by(lambda d, w: d[0] / d[-1], high=1.0, low=1.0)
        ),
        "Only a NaN was looked for. An inf on the way is an explosion as well: isfinite() finds both.": (
            _what_by(lambda d, w: d[0] / d[-1], is_broken=lambda d: d.isnan())
        ),
        "Only an inf was looked for. A NaN on the way is an explosion as well: isfinite() finds both.": (
            _what_by(lambda d, w: d[0] / d[-1], is_broken=lambda d: d.isinf())
        ),
        "An inf or a NaN was called vanishing. The gradient has outgrown the numbers: that is an explosion.": (
            _what_by(lambda d, w: d[0] / d[-1], broken="vanishes")
        ),
        "The two profiles were multiplied. The weight gradient holds the signal too and can hide the change: delta alone shows it.": (
            _what_by(lambda d, w: d[0] * w[0] / (d[-1] * w[-1]))
        ),
        "Both profiles had to agree. The weight gradient can stay flat while delta explodes: delta alone shows it.": (
            _where_both_agree
        ),
        "The largest delta was compared with the last. A hump on the way is no explosion: compare the first with the last.": (
            _what_by(lambda d, w: d.max() / d[-1])
        ),
        "delta was compared with the weight gradient. Compare it with itself: the first layer with the last.": (
            _what_by(lambda d, w: d[0] / w[0])
        ),
        "A change in either profile was enough. The weight gradient changes for other reasons too: delta alone shows it.": (
            _where_either_says_so
        ),
        "The first and the last size were subtracted. A factor of 10 is a ratio, which does not change with the scale of the loss.": (
            _what_by(lambda d, w: d[0] - d[-1])
        ),
        "Single steps were compared with 10. Little by little is enough: compare the first layer with the last.": (
            _by_single_steps
        ),
        "`vanishes` was read off the size of delta[0] alone. Small everywhere is only the scale of the loss: compare with delta[-1].": (
            lambda d, w: (
                "explodes"
                if not d.isfinite().all() or d[0] > 10 * d[-1]
                else "vanishes"
                if d[0] < 0.1
                else "steady"
            )
        ),
        "Nothing ever vanishes here. Ask for delta[0] below a tenth of delta[-1]; a ratio of sizes is never negative.": (
            lambda d, w: "explodes" if not d.isfinite().all() or d[0] > 10 * d[-1] else "steady"
        ),
        "A small delta was taken for a vanishing one. Small everywhere is only the scale of the loss.": (
            lambda d, w: "vanishes" if (d < 1e-5).any() else _what_it_does(d, w)
        ),
    },
    hints=(
        "One of the two profiles is of no use here. Which one, and why? (See the figure.)",
        "Compare delta[0], where the gradient arrives, with delta[-1], where it starts.",
        "First `if not delta.isfinite().all()`, then the factor 10 in either direction.",
    ),
    alternatives=(
        lambda delta, weight_grad: (
            "vanishes"
            if delta[0] * 10 < delta[-1]
            else "steady"
            if delta[0] <= 10 * delta[-1] and delta.sum() < math.inf
            else "explodes"
        ),
    ),
)


# 03.3 ----------------------------------------------------------------------------------------------------------------
def _linear_layers(model):
    return [module for module in model.modules() if isinstance(module, nn.Linear)]


def _rms(values):
    return float(values.detach().square().mean().sqrt())


def _delta_sizes(model, loss_of, x):
    outputs, handles = [], []
    for layer in _linear_layers(model):
        handles.append(layer.register_forward_hook(lambda layer, inputs, z: outputs.append(z)))
    loss = loss_of(model(x))
    for handle in handles:
        handle.remove()
    return [_rms(grad) for grad in torch.autograd.grad(loss, outputs)]


def _sum_of_squares(scores):
    return scores.square().sum()


def _mean_of_first(scores):
    return scores[:, 0].mean()


class _DefinedBackwards(nn.Module):
    """Its layers are defined in another order than that in which they run."""

    def __init__(self):
        super().__init__()
        self.out = nn.Linear(5, 2)
        self.first = nn.Linear(4, 5)

    def forward(self, x):
        return self.out(self.first(x).tanh())


def _looks_on(layer, inputs, z): ...


def _model_cases(generator):
    def case(depth, width, activation, loss_of, batch, dtype=torch.float32):
        model = mlp(depth, width, activation, inputs=3, outputs=2).to(dtype)
        for parameter in model.parameters():
            with torch.no_grad():
                parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=dtype) * 0.7)
        return model, loss_of, torch.randn(batch, 3, generator=generator, dtype=dtype)

    def nested():
        body, loss_of, x = case(2, 5, "tanh", _sum_of_squares, 4)
        return nn.Sequential(body, nn.Tanh(), nn.Linear(2, 3)), loss_of, x

    def drawn(model):
        for parameter in model.parameters():
            with torch.no_grad():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
        return model, _sum_of_squares, torch.randn(3, 4, generator=generator)

    cases = [
        drawn(_DefinedBackwards()),
        drawn(nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.Sequential(nn.Tanh(), nn.Linear(6, 2)))),
        drawn(nn.Sequential(nn.Unflatten(1, (1, 4)), nn.Conv1d(1, 2, 2), nn.Flatten(), nn.Linear(6, 2))),
        case(1, 4, "tanh", _sum_of_squares, 2),
        case(2, 6, "sigmoid", _mean_of_first, 3),
        case(4, 8, "tanh", _sum_of_squares, 5, torch.float64),
        case(3, 16, "relu", _sum_of_squares, 6, torch.float64),
        nested(),
    ]
    for model, *_ in cases:  # a hook that was there before the answer, and has to stay
        _linear_layers(model)[0].register_forward_hook(_looks_on)
    return cases


def _with_forward_hooks(chosen, seen, size=_rms, reverse=False, remove=True, start=lambda x: x):
    """Hook the ``chosen`` modules, keep what ``seen(inputs, output)`` picks, and give the sizes of its gradients."""

    def delta_sizes(model, loss_of, x):
        kept, handles = [], []
        for layer in chosen(model):
            handles.append(layer.register_forward_hook(lambda layer, inputs, z: kept.append(seen(inputs, z))))
        loss = loss_of(model(start(x)))
        if remove:
            for handle in handles:
                handle.remove()
        sizes = [size(grad) for grad in torch.autograd.grad(loss, kept)]
        return sizes[::-1] if reverse else sizes

    return delta_sizes


def _output(inputs, z):
    return z


def _forward_sizes(model, loss_of, x):
    sizes, handles = [], []
    for layer in _linear_layers(model):
        handles.append(layer.register_forward_hook(lambda layer, inputs, z: sizes.append(_rms(z))))
    model(x)
    for handle in handles:
        handle.remove()
    return sizes


def _weight_grad_sizes(model, loss_of, x):
    weights = [layer.weight for layer in _linear_layers(model)]
    return [_rms(grad) for grad in torch.autograd.grad(loss_of(model(x)), weights)]


def _with_backward_hooks(model, loss_of, x, order=reversed, picked=1):
    sizes = {}  # in the order in which the gradients arrive: the last layer to run comes first

    def keep(layer, *gradients):
        sizes[layer] = gradients[picked][0].square().mean().sqrt()

    handles = [layer.register_full_backward_hook(keep) for layer in _linear_layers(model)]
    loss_of(model(x.clone().requires_grad_())).backward()  # torch warns where the input asks for no gradient
    for handle in handles:
        handle.remove()
    return [sizes[layer] for layer in order(sizes)]


def _in_order_of_definition(model, loss_of, x):
    return _with_backward_hooks(model, loss_of, x, order=lambda sizes: _linear_layers(model))


def _with_grads_of(size, retain=False, kept=lambda inputs, z: z):
    """.backward(), and then the .grad of what a hook kept."""

    def delta_sizes(model, loss_of, x):
        seen = []

        def keep(layer, inputs, z):
            seen.append(kept(inputs, z))
            if retain:
                seen[-1].retain_grad()

        handles = [layer.register_forward_hook(keep) for layer in _linear_layers(model)]
        loss_of(model(x)).backward()
        for handle in handles:
            handle.remove()
        return [size(value.grad if retain else None) for value in seen]  # torch warns where it kept none

    return delta_sizes


def _by_inputs(model, loss_of, x):
    inputs, handles = [], []
    for layer in _linear_layers(model):
        handles.append(layer.register_forward_hook(lambda layer, given, z: inputs.append(given[0])))
    loss = loss_of(model(x))
    for handle in handles:
        handle.remove()
    return [_rms(grad) for grad in torch.autograd.grad(loss, inputs)]


def _with_retained_grads(model, loss_of, x):
    outputs = []

    def keep(layer, inputs, z):
        z.retain_grad()
        outputs.append(z)

    handles = [layer.register_forward_hook(keep) for layer in _linear_layers(model)]
    loss_of(model(x)).backward()
    [handle.remove() for handle in handles]
    return tuple(_rms(z.grad) for z in outputs)


DELTA_SIZES = Exercise(
    task="delta_sizes(model, loss_of, x): the RMS of dL/dz for the output z of each nn.Linear, in order; no hook may stay behind",
    reference=_delta_sizes,
    cases=_model_cases,
    call=call_for_a_list,
    mistakes={
        "The numbers are right, but your hooks stay on the model and run at every later call: remove each handle.": (
            _with_forward_hooks(_linear_layers, _output, remove=False)
        ),
        "These are the gradients with respect to the layers' inputs. delta belongs to the output z (grad_output, not grad_input).": (
            _with_forward_hooks(
                _linear_layers, lambda inputs, z: inputs[0], start=lambda x: x.clone().requires_grad_()
            )
        ),
        "The order is that of the backward pass, last layer first. Wanted: first layer first.": (
            _with_forward_hooks(_linear_layers, _output, reverse=True)
        ),
        "These are norms, which grow with the number of entries. The RMS is the root of the mean square.": (
            _with_forward_hooks(_linear_layers, _output, size=lambda grad: float(grad.norm()))
        ),
        "These are mean squares. The root is missing.": (
            _with_forward_hooks(_linear_layers, _output, size=lambda grad: float(grad.square().mean()))
        ),
        "These are means of absolute values. The RMS is the root of the mean square.": (
            _with_forward_hooks(_linear_layers, _output, size=lambda grad: float(grad.abs().mean()))
        ),
        "This is the standard deviation, which takes the mean away first. The RMS does not.": (
            _with_forward_hooks(_linear_layers, _output, size=lambda grad: float(grad.std()))
        ),
        "The activations' outputs are among them. Hook the nn.Linear layers only.": (
            _with_forward_hooks(
                lambda model: [part for part in model.modules() if not list(part.children())], _output
            )
        ),
        "Only the model's direct children were looked at. A layer may be nested deeper: walk over model.modules().": (
            _with_forward_hooks(
                lambda model: [part for part in model.children() if isinstance(part, nn.Linear)], _output
            )
        ),
        "Every module was hooked, activations and containers too. Take those with isinstance(module, nn.Linear).": (
            _with_forward_hooks(lambda model: list(model.modules()), _output)
        ),
        "These are the largest entries. The RMS weighs all of them: the root of the mean square.": (
            _with_forward_hooks(_linear_layers, _output, size=lambda grad: float(grad.abs().max()))
        ),
        "The layers come in the order of their definition. Wanted is that in which they run: keep the outputs as the hook is called.": (
            _in_order_of_definition
        ),
        "A None stands for a gradient: an output keeps its .grad after output.retain_grad() only, and none reaches the model's input.": (
            _with_grads_of(lambda grad: grad.square().mean().sqrt())
        ),
        "torch kept no .grad of the outputs, and None has no `pow`. Call output.retain_grad() in the hook.": (
            _with_grads_of(lambda grad: grad.pow(2).mean().sqrt())
        ),
        "torch kept no .grad of the outputs, and None has no square. Call output.retain_grad() in the hook.": (
            _with_grads_of(lambda grad: (grad**2).mean().sqrt())
        ),
        "torch kept no .grad of the outputs, and None has no norm. Call output.retain_grad() in the hook.": (
            _with_grads_of(lambda grad: grad.norm() / grad.numel() ** 0.5)
        ),
        "The model's input has no gradient to keep. delta belongs to the output of a layer, not to inputs[0].": (
            _with_grads_of(_rms, retain=True, kept=lambda inputs, z: inputs[0])
        ),
        "torch has no gradient for the model's input. delta belongs to the output of a layer, not to inputs[0].": (
            _by_inputs
        ),
        "These are the gradients themselves. Wanted is one number per layer: the root of the mean of their squares.": (
            _with_forward_hooks(_linear_layers, _output, size=lambda grad: grad)
        ),
        "Layers of other kinds are among them: a LayerNorm and a convolution have a weight too. Ask for isinstance(module, nn.Linear).": (
            _with_forward_hooks(
                lambda model: [module for module in model.modules() if hasattr(module, "weight")], _output
            )
        ),
        "These are the sizes of the outputs z themselves. Wanted are the gradients of the loss with respect to them.": (
            _forward_sizes
        ),
        "These are the gradients with respect to the weights. Wanted are those with respect to the layers' outputs z.": (
            _weight_grad_sizes
        ),
    },
    hints=(
        "layer.register_forward_hook(f) calls f(layer, inputs, output) at every pass; what it returns has .remove().",
        "Collect the outputs in a list on the way forward. torch.autograd.grad(loss, outputs) then gives every delta at once.",
        "Loop over model.modules(), take those with isinstance(module, nn.Linear), keep the handles and remove them.",
    ),
    alternatives=(_with_backward_hooks, _with_retained_grads),
)


# 03.4 ----------------------------------------------------------------------------------------------------------------
def _overflow_depth(first, growth, largest):
    if first > largest:
        return 1
    if growth <= 1:
        return math.inf
    return math.floor(math.log(largest / first) / math.log(growth)) + 2


def _overflow_cases(generator):
    formats = [torch.finfo(dtype).max for dtype in (torch.float16, torch.float32, torch.float64)]
    cases = [
        (1.0, 10.0, 5e4),
        (3.0, 8.0, 65504.0),
        (2.0, 1.5, formats[1]),
        (7e6, 2.0, 65504.0),
        (1.0, 0.9, 65504.0),
        (1e5, 0.9, 65504.0),  # too large at once, and shrinking
        # Exact in floating point: what does not grow stays, and what equals the largest number is still one.
        (1.0, 1.0, 65504.0),
        (65504.0, 2.0, 65504.0),
        (1.0, 2.5, formats[2]),
    ]
    draws = torch.rand(30, 2, generator=generator, dtype=torch.float64)
    for k, (a, b) in enumerate(draws.tolist()):
        first, growth, largest = 1.5 + 20 * a, 1.2 + 6 * b, formats[k % 3]
        exact = math.log(largest / first) / math.log(growth)
        if abs(exact - round(exact)) > 1e-3:  # clear of whole numbers, where rounding would decide
            cases.append((first, growth, largest))
    return cases[:19]


def _depth_variant(depth_of, never=math.inf):
    def overflow_depth(first, growth, largest):
        if first > largest:
            return 1
        return never if growth <= 1 else depth_of(first, growth, largest)

    return overflow_depth


def _count_layers(first, growth, largest):
    layer, size = 1, first
    while size <= largest:
        if growth <= 1:
            return math.inf
        layer, size = layer + 1, size * growth
    return layer


OVERFLOW_DEPTH = Exercise(
    task="overflow_depth(first, growth, largest): the first layer (from 1) whose largest entry, first * growth**(layer - 1), passes largest",
    reference=_overflow_depth,
    cases=_overflow_cases,
    mistakes={
        "One too few: this is the last layer that still fits. Layer 1 has the size `first`, before any growth.": (
            _depth_variant(lambda f, g, big: math.floor(math.log(big / f) / math.log(g)) + 1)
        ),
        "Two too few: the quotient counts growths that fit. Layer 1 has had none, and the first that does not fit is one later.": (
            _depth_variant(lambda f, g, big: math.floor(math.log(big / f) / math.log(g)))
        ),
        "A layer is a whole number: which is the first that does not fit?": (
            _depth_variant(lambda f, g, big: math.log(big / f) / math.log(g) + 1)
        ),
        "`first` was left out: layer 1 does not begin at 1.": (
            _depth_variant(lambda f, g, big: math.floor(math.log(big) / math.log(g)) + 2)
        ),
        "With a growth below 1 it never happens: return math.inf.": (
            lambda f, g, big: (
                1 if f > big else math.floor(math.log(big / f) / math.log(g)) + 2 if g != 1 else math.inf
            )
        ),
        "A growth of exactly 1 never passes either: nothing grows. Its logarithm is 0, so ask for `growth <= 1`.": (
            lambda f, g, big: (
                1 if f > big else math.inf if g < 1 else math.floor(math.log(big / f) / math.log(g)) + 2
            )
        ),
        "The guards stand in the wrong order: layer 1 may be too large although nothing grows. Ask for `first > largest` first.": (
            lambda f, g, big: (
                math.inf if g <= 1 else 1 if f > big else math.floor(math.log(big / f) / math.log(g)) + 2
            )
        ),
        "Where it never happens the answer is math.inf, a number that can be compared; here it is None.": (
            _depth_variant(lambda f, g, big: math.floor(math.log(big / f) / math.log(g)) + 2, never=None)
        ),
        "If layer 1 is too large already, the answer is 1.": (
            lambda f, g, big: math.inf if g <= 1 else math.floor(math.log(big / f) / math.log(g)) + 2
        ),
        "An entry equal to `largest` has not passed it: the next layer is the first. Compare with `>`, and take floor and 2 rather than ceil and 1.": (
            _depth_variant(lambda f, g, big: math.ceil(math.log(big / f) / math.log(g)) + 1)
        ),
        "One too many: layer 1 holds `first`, and so layer l has grown l - 1 times.": (
            _depth_variant(lambda f, g, big: math.floor(math.log(big / f) / math.log(g)) + 3)
        ),
        "`first` was left out, and layer 1 may be too large already. Solve first * growth**(l - 1) > largest for l.": (
            lambda f, g, big: math.inf if g <= 1 else math.floor(math.log(big) / math.log(g)) + 2
        ),
        "The formula alone, without its two guards: is layer 1 too large already, and does anything grow at all?": (
            lambda f, g, big: math.floor(math.log(big / f) / math.log(g)) + 2
        ),
        "Layers count from 1. If layer 1 is too large already, the answer is 1, not 0.": (
            lambda f, g, big: 0 if f > big else _overflow_depth(f, g, big)
        ),
        "The growths were counted, not the layers. Layer 1 has had none, so the layer is one more.": (
            lambda f, g, big: _overflow_depth(f, g, big) - 1
        ),
        "The growths were counted: one layer is missing, except where layer 1 is too large and the answer is 1.": (
            _depth_variant(lambda f, g, big: math.ceil(math.log(big / f) / math.log(g)))
        ),
        "Doublings were counted. The layers multiply by `growth`: divide by its logarithm.": (
            _depth_variant(lambda f, g, big: math.floor(math.log2(big / f)) + 2)
        ),
        "Upside down: the logarithm of the growth goes below, as a larger growth needs fewer layers.": (
            _depth_variant(
                lambda f, g, big: math.floor(math.log(g) / math.log(big / f)) + 2 if big > f else 2
            )
        ),
        "Where it never happens the answer is math.inf, which is larger than any layer; -1 is smaller.": (
            _depth_variant(lambda f, g, big: math.floor(math.log(big / f) / math.log(g)) + 2, never=-1)
        ),
        "The count was rounded to the nearest layer. Round down and add 2: the first layer that passes `largest` is wanted.": (
            _depth_variant(lambda f, g, big: round(math.log(big / f) / math.log(g)) + 1)
        ),
        "Where nothing grows no layer passes: return math.inf, not 0.": (
            _depth_variant(lambda f, g, big: math.floor(math.log(big / f) / math.log(g)) + 2, never=0)
        ),
        "A layer is a whole number, and layer 1 has grown by nothing: round down and add 2.": (
            _depth_variant(lambda f, g, big: math.log(big / f) / math.log(g))
        ),
        "The growth was added up, layer by layer. It multiplies: the answer is a logarithm.": (
            _depth_variant(lambda f, g, big: math.floor(big / (f * g)) + 1)
        ),
        "Powers of ten were counted. The layers multiply by `growth`: divide by its logarithm.": (
            _depth_variant(lambda f, g, big: math.floor(math.log10(big / f)) + 2)
        ),
    },
    hints=(
        "Layer l holds first * growth**(l - 1). Solve for l with a logarithm.",
        "Two cases apart: it is too large at once, or it does not grow at all.",
        "math.floor(math.log(largest / first) / math.log(growth)) + 2",
    ),
    alternatives=(
        _depth_variant(lambda f, g, big: math.floor(math.log(big / f, g)) + 2),
        _count_layers,
    ),
)


# 03.5 ----------------------------------------------------------------------------------------------------------------
def _through_time(W, h, dh):
    grads = [dh]
    for t in range(len(h) - 1, 0, -1):
        grads.insert(0, (grads[0] * (1 - h[t] ** 2)) @ W)
    return torch.stack(grads)


def _states(generator, units, steps, scale=1.5, dtype=torch.float64, drive=0.0):
    """W (n, n), the states h (T + 1, n) of h[t] = tanh(h[t-1] @ W.T + input), and a vector (n,)."""
    W = torch.randn(units, units, generator=generator, dtype=dtype) * scale / units**0.5
    h = [torch.rand(units, generator=generator, dtype=dtype) - 0.5]
    for _ in range(steps):
        noise = torch.randn(units, generator=generator, dtype=dtype)
        h.append(torch.tanh(h[-1] @ W.T + drive * noise))
    return W, torch.stack(h), torch.randn(units, generator=generator, dtype=dtype)


def _time_cases(generator):
    return [
        (
            torch.tensor([[2.0, 0.0], [1.0, 1.0]]),
            torch.tensor([[0.5, 0.1], [0.8, -0.5]]),
            torch.tensor([1.0, 1.0]),
        ),
        _states(generator, 3, 2, dtype=torch.float32),
        _states(generator, 4, 6, drive=0.5),
        _states(generator, 8, 20, drive=0.5),
    ]


def _time_variant(step, reverse=False):
    def through_time(W, h, dh):
        grads = [dh]
        for t in range(len(h) - 1, 0, -1):
            grads.insert(0, step(W, h, t, grads[0], dh))
        return torch.stack(grads[::-1] if reverse else grads)

    return through_time


def _forwards(W, h, dh):
    grads = [dh]
    for state in h[1:]:
        grads.append((grads[-1] * (1 - state**2)) @ W)
    return torch.stack(grads)


THROUGH_TIME = Exercise(
    deeper=True,
    task="through_time(W, h, dh): dL/dh[t] for every t, (T + 1, n); h[t] = tanh(h[t-1] @ W.T + input), dh = dL/dh[T]",
    reference=_through_time,
    cases=_time_cases,
    mistakes={
        "The slope was taken at h[t - 1]. Going from t to t - 1 you pass the tanh that made h[t]: its slope is 1 - h[t]**2.": (
            _time_variant(lambda W, h, t, g, dh: (g * (1 - h[t - 1] ** 2)) @ W)
        ),
        "The gradient went through W.T. Forward goes through W.T, so backward goes through W.": (
            _time_variant(lambda W, h, t, g, dh: (g * (1 - h[t] ** 2)) @ W.T)
        ),
        "The slope of tanh is missing at every step: 1 - h[t]**2.": (
            _time_variant(lambda W, h, t, g, dh: g @ W)
        ),
        "This carries dL/dz, not dL/dh: the slope came after W. From dL/dh[t]: first the slope at t, then W.": (
            _time_variant(lambda W, h, t, g, dh: (g @ W) * (1 - h[t - 1] ** 2))
        ),
        "The slope and W are in the wrong order: from h[t] you meet the tanh first, then W.": (
            _time_variant(lambda W, h, t, g, dh: (g @ W) * (1 - h[t] ** 2))
        ),
        "The rows are in backward order. Row t belongs to h[t], so dh itself is the last.": (
            _time_variant(lambda W, h, t, g, dh: (g * (1 - h[t] ** 2)) @ W, reverse=True)
        ),
        "tanh was taken twice: h[t] is a tanh already, so its slope is 1 - h[t]**2.": (
            _time_variant(lambda W, h, t, g, dh: (g * (1 - torch.tanh(h[t]) ** 2)) @ W)
        ),
        "The square is missing: the slope is 1 - h[t]**2.": (
            _time_variant(lambda W, h, t, g, dh: (g * (1 - h[t])) @ W)
        ),
        "Every step started from dh again. The gradient has to be carried from step to step.": (
            _time_variant(lambda W, h, t, g, dh: (dh * (1 - h[t] ** 2)) @ W)
        ),
        "The loop ran forwards. dh belongs to the last state: start at t = T and put each new gradient in front.": (
            _forwards
        ),
        "dh was added at every step. The loss reads the last state alone, so dh enters once.": (
            _time_variant(lambda W, h, t, g, dh: (g * (1 - h[t] ** 2)) @ W + dh)
        ),
        "The sign in the slope of tanh is wrong: it is 1 - h[t]**2, never above 1.": (
            _time_variant(lambda W, h, t, g, dh: (g * (1 + h[t] ** 2)) @ W)
        ),
        "The rows came back as a list. Put them on top of one another: torch.stack.": (
            lambda W, h, dh: list(_through_time(W, h, dh))
        ),
        "The gradients stand side by side. Row t belongs to h[t]: stack them along the first axis.": (
            lambda W, h, dh: _through_time(W, h, dh).T
        ),
        "A row is missing: the gradient of h[0], the start, is wanted too. One step more.": (
            lambda W, h, dh: _through_time(W, h, dh)[1:]
        ),
        "The slope is 1 minus h[t]**2; here h[t]**2 stands alone.": (
            _time_variant(lambda W, h, t, g, dh: (g * h[t] ** 2) @ W)
        ),
        "Only the gradient with respect to h[0] came back. The task wants all of them, (T + 1, n).": (
            lambda W, h, dh: _through_time(W, h, dh)[0]
        ),
        "dh itself is missing: it is the last row.": lambda W, h, dh: _through_time(W, h, dh)[:-1],
    },
    hints=(
        "One step back is a backward pass through one layer of lesson 02, always with the same W.",
        "grad at t - 1 = (grad at t times the slope of the tanh that made h[t]) @ W",
        "Start with [dh], walk t from T down to 1, put each new gradient in front, torch.stack at the end.",
    ),
    alternatives=(_time_variant(lambda W, h, t, g, dh: W.T @ ((1 - h[t] ** 2) * g)),),
)


# 03.6 ----------------------------------------------------------------------------------------------------------------
def _lyapunov(W, h, v):
    total = 0.0
    for state in h[1:]:
        v = (v @ W.T) * (1 - state**2) / v.norm()
        total += float(v.norm().log())
    return total / (len(h) - 1)


def _lyapunov_cases(generator):
    # v has length 1, except where told: the first growth must be counted from the length it has.
    def unit(W, h, v):
        return W, h, v / v.norm()

    quiet = torch.zeros(4, 2, dtype=torch.float64)
    diagonal = torch.tensor([[3.0, 0.0], [0.0, 0.5]], dtype=torch.float64)
    W, h, v = _states(generator, 5, 12, drive=0.3)
    return [
        (diagonal, quiet, torch.tensor([1.0, 0.0], dtype=torch.float64)),
        # The first slopes are (0.75, 1), the second (1, 1): v becomes (1.5, 1) and then, but for its length, (3, 1.5).
        (
            torch.tensor([[2.0, 0.0], [1.0, 0.0]], dtype=torch.float64),
            torch.tensor([[0.25, 0.5], [0.5, 0.0], [0.0, 0.0]], dtype=torch.float64),
            torch.tensor([1.0, 0.0], dtype=torch.float64),
        ),
        unit(*_states(generator, 3, 4, dtype=torch.float32)),
        unit(*_states(generator, 6, 30, scale=2.5)),
        (W, h, 7 * v),
        # Without renewing the length these two leave the numbers of float32.
        unit(1e4 * torch.randn(3, 3, generator=generator), torch.zeros(21, 3), torch.ones(3)),
        unit(1e-4 * torch.randn(3, 3, generator=generator), torch.zeros(21, 3), torch.ones(3)),
    ]


def _lyapunov_variant(growths_to_number, *, slope=lambda h, t: 1 - h[t] ** 2, transpose=True):
    def lyapunov(W, h, v):
        factors = []
        for t in range(1, len(h)):
            new = (v @ (W.T if transpose else W)) * slope(h, t)
            factors.append(float(new.norm() / v.norm()))
            v = new / new.norm()
        return growths_to_number(torch.tensor(factors, dtype=torch.float64))

    return lyapunov


def _without_renewing(W, h, v):
    start = v.norm()
    for state in h[1:]:
        v = (v @ W.T) * (1 - state**2)
    return float((v.norm() / start).log()) / (len(h) - 1)


def _lengths_added(W, h, v, log=torch.log):
    total = 0.0
    for state in h[1:]:
        v = (v @ W.T) * (1 - state**2)
        total += float(log(v.norm()))
    return total / (len(h) - 1)


def _product_before_log(W, h, v):
    product = torch.ones((), dtype=v.dtype)
    for state in h[1:]:
        new = (v @ W.T) * (1 - state**2)
        product, v = product * new.norm() / v.norm(), new / new.norm()
    return float(product.log()) / (len(h) - 1)


def _last_log(W, h, v):
    for state in h[1:]:
        v = (v @ W.T) * (1 - state**2) / v.norm()
    return float(v.norm().log())


def _always_the_start(W, h, v):
    growths = [((v @ W.T) * (1 - state**2)).norm() / v.norm() for state in h[1:]]
    return float(torch.stack(growths).log().mean())


def _slope_before_weights(W, h, v):
    total = 0.0
    for state in h[1:]:
        v = (v / v.norm() * (1 - state**2)) @ W.T
        total += float(v.norm().log())
    return total / (len(h) - 1)


def _mean_log(factors):
    return float(factors.log().mean())


LYAPUNOV = Exercise(
    deeper=True,
    task="lyapunov(W, h, v): the mean over the steps of the log of the factor by which a small change v of h[0] grows",
    reference=_lyapunov,
    cases=_lyapunov_cases,
    mistakes={
        "v was never brought back to length 1, so every log holds all growth so far. Divide v by its length after each step.": (
            _lengths_added
        ),
        "v was never brought back to length 1 and becomes 0 in the end, which has no logarithm. Divide v by its length after each step.": (
            lambda W, h, v: _lengths_added(W, h, v, log=lambda length: math.log(float(length)))
        ),
        "The factors were multiplied before the log. Over many steps their product becomes 0 or inf: add up the logs instead.": (
            _product_before_log
        ),
        "tanh was taken again: h[t] is a tanh already, so its slope is 1 - h[t]**2.": (
            _lyapunov_variant(_mean_log, slope=lambda h, t: 1 - h[t].tanh() ** 2)
        ),
        "This is the growth of the squared length, twice the exponent. Take the log of the length itself.": (
            _lyapunov_variant(lambda f: 2 * _mean_log(f))
        ),
        "Divided by T - 1. From T + 1 states, start included, there are T steps.": (
            lambda W, h, v: _lyapunov(W, h, v) * (len(h) - 1) / max(len(h) - 2, 1)
        ),
        "The square is missing: the slope of tanh is 1 - h[t]**2.": (
            _lyapunov_variant(_mean_log, slope=lambda h, t: 1 - h[t])
        ),
        "The steps began with h[0]. It was there before the first step, so v meets only the slopes at h[1], h[2] and so on.": (
            lambda W, h, v: _lyapunov(W, torch.cat([h[:1], h]), v)
        ),
        "The states were taken in reverse. A change goes forwards: first the slope at h[1].": (
            lambda W, h, v: _lyapunov(W, torch.cat([h[:1], h[1:].flip(0)]), v)
        ),
        "Only the last step counts here (an `=` for a `+=`?). The exponent is the mean over all steps.": (
            lambda W, h, v: _last_log(W, h, v)
        ),
        "Only the last step counts, and it was divided by the number of steps. Add the logs up: `+=`, not `=`.": (
            lambda W, h, v: _last_log(W, h, v) / (len(h) - 1)
        ),
        "The sign of the logs was lost. Where v shrinks the logarithm is negative, and it has to stay so.": (
            _lyapunov_variant(lambda f: float(f.log().abs().mean()))
        ),
        "v began anew at every step. The change is carried on: the v that leaves a step enters the next one.": (
            _always_the_start
        ),
        "Right in principle, but over many steps v becomes 0 or inf. Bring it back to length 1 after each, and add up the logs.": (
            _without_renewing
        ),
        "A logarithm to base 10. A Lyapunov exponent is a natural logarithm: .log().": (
            _lyapunov_variant(lambda f: float(f.log10().mean()))
        ),
        "This is the sum of the logs. Divide by the number of steps.": (
            _lyapunov_variant(lambda f: float(f.log().sum()))
        ),
        "This is the log of the mean factor. Factors multiply: take the logs first, then their mean.": (
            _lyapunov_variant(lambda f: float(f.mean().log()))
        ),
        "The factors were averaged as they are. Take their logs, then the mean.": (
            _lyapunov_variant(lambda f: float(f.mean()))
        ),
        "This is the factor per step. The exponent is its logarithm.": (
            _lyapunov_variant(lambda f: float(f.log().mean().exp()))
        ),
        "The logarithm has base 2. The exponent is a natural logarithm.": (
            _lyapunov_variant(lambda f: float(f.log2().mean()))
        ),
        "The slope of tanh is missing: after W.T comes 1 - h[t]**2.": (
            _lyapunov_variant(_mean_log, slope=lambda h, t: 1.0)
        ),
        "The slope was taken at h[t - 1]. Moving into step t, v passes the tanh that made h[t].": (
            _lyapunov_variant(_mean_log, slope=lambda h, t: 1 - h[t - 1] ** 2)
        ),
        "v went through W, which is the way back. Forward is v @ W.T.": (
            _lyapunov_variant(_mean_log, transpose=False)
        ),
        "The slope came before W. Moving into step t, v goes through W.T first, then through the tanh that made h[t].": (
            _slope_before_weights
        ),
        "This is the log of the spectral radius. It knows nothing of the states: use h.": (
            lambda W, h, v: math.log(float(torch.linalg.eigvals(W).abs().max()))
        ),
        "Divided by T + 1. Between T + 1 states there are T steps.": (
            lambda W, h, v: _lyapunov(W, h, v) * (len(h) - 1) / len(h)
        ),
        "The length that v had at the start was counted as growth. Divide by it.": (
            lambda W, h, v: _lyapunov(W, h, v) + math.log(float(v.norm())) / (len(h) - 1)
        ),
    },
    hints=(
        "This is push_forward of lesson 02, one step after the other, with one W and the slopes 1 - h[t]**2.",
        "After each step: how much longer is v than before? Add the log of that factor, then make v length 1 again.",
        "v = v / v.norm(); v = (v @ W.T) * (1 - h[t]**2); total += v.norm().log()",
    ),
    alternatives=(
        _lyapunov_variant(_mean_log),
        lambda W, h, v: torch.tensor(_lyapunov(W, h, v), dtype=W.dtype),
    ),
    rtol=1e-3,
)

EXERCISES = {
    "03.1": GROWTH_PER_LAYER,
    "03.2": WHAT_IT_DOES,
    "03.3": DELTA_SIZES,
    "03.4": OVERFLOW_DEPTH,
    "03.5": THROUGH_TIME,
    "03.6": LYAPUNOV,
}
