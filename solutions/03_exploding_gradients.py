# %% [markdown]
# # 03 · Exploding gradients
#
# **What does depth do to a gradient, and at which depth does training die?**
#
# After this lesson you can
# - compute the factor by which a layer multiplies a gradient, before any training,
# - read an explosion off the right plot, whether it ends in a NaN or stays silent,
# - say why the spectral radius of a recurrent network does not decide.
#
# About two hours (120 minutes) to work (pause after section 4), 20 seconds to run. Needs: [lesson 02](02_backpropagation.ipynb). Next: [lesson 04](04_activations.ipynb).

# %%
import math

import matplotlib.pyplot as plt
import torch
from torch.nn import functional as F
from tqdm.auto import tqdm

from gradutils import explorers, plots
from gradutils.course import check, predict, reveal, table, verdict
from gradutils.data import digits
from gradutils.models import init_weights_, mlp
from gradutils.propagation import gradient_profile
from gradutils.recorder import Recorder
from gradutils.training import train

plots.use_style()

# %% [markdown]
# ## Predict
#
# Lesson 02 ended with two kinds of explosion, in networks that nobody trained. Now we train: the digits, ReLU, and weights somewhat too large (`sigma_w = 2`, each entry from $N(0, 4/n)$).
# A network with 3 hidden layers learns them in 100 steps. We make it deeper, at the same scale and learning rate.

# %%
options = ["learns more slowly", "jumps about and recovers", "becomes a NaN"]
predict("03.a", "With 24 hidden layers the loss…", options)

# %% [markdown]
# ## What happens
#
# Ten networks for every learning rate, all at once: a weight is a stack of matrices, one for each network.


# %%
def train_many(phi, depth, sigma_w, lrs, loss_of, steps=200, width=32):
    generator, sizes = torch.Generator().manual_seed(0), [64] + [width] * depth + [10]
    draws = [torch.randn(10, m, n, generator=generator) / n**0.5 for m, n in zip(sizes[1:], sizes[:-1])]
    weights = [(sigma_w * draw).repeat(len(lrs), 1, 1).requires_grad_() for draw in draws]  # (N, m, n)
    lr, losses = torch.tensor(lrs).repeat_interleave(10).view(-1, 1, 1), []
    velocity = [torch.zeros_like(W) for W in weights]
    for _ in range(steps):
        rows = torch.randint(1400, (32,), generator=generator)
        h = data.x_train[rows]
        for W in weights[:-1]:
            h = phi(h @ W.mT)
        loss = loss_of(h @ weights[-1].mT, data.y_train[rows])  # (N,)
        grads = torch.autograd.grad(loss.sum(), weights)
        losses.append(loss.detach())
        velocity = [0.9 * v + g for v, g in zip(velocity, grads)]
        weights = [(W - lr * v).detach().requires_grad_() for W, v in zip(weights, velocity)]
    return torch.stack(losses).unflatten(1, (len(lrs), 10))  # (steps, rates, seeds)


# %%
def cross_entropy(scores, y):
    return -scores.log_softmax(-1)[..., torch.arange(len(y)), y].mean(-1)


data, depths = digits(), [3, 6, 24]
runs = {L: train_many(torch.relu, L, 2.0, [0.01], cross_entropy, steps=100)[:, 0] for L in depths}

fig, ax = plt.subplots()
curves = {f"{L} layers": run.nan_to_num(torch.inf).median(1).values for L, run in runs.items()}
plots.plot_history(ax, curves)
plots.finish(ax, "Same scale, same rate: deeper, and it dies")

# %%
dead = {L: int((~run.isfinite().all(0)).sum()) for L, run in runs.items()}
because = f"A NaN in {dead[24]} of 10 networks with 24 layers, and in {dead[3]} with 3."
reveal("03.a", "c" if dead[24] > 5 else "a", because)

# %% [markdown]
# The task has not changed. The first loss has: it is far larger with 24 layers, because signals grow from layer to layer. So do gradients, on their way back. By how much?

# %% [markdown]
# ## 1 · One layer, one factor
#
# A row $\delta = \partial L/\partial z$ goes back through $W$, then through the slopes $\varphi'$ of the layer below. Each entry of $\delta W$ is a sum of $n$ products with random weights of variance
# $\sigma_w^2/n$: its mean square is $\sigma_w^2$ times that of $\delta$. Then the slopes multiply it. So the mean square of $\delta$ is multiplied by
#
# $$\chi_1 = \sigma_w^2 \, E[\varphi'(z)^2]$$
#
# (chi; Poole et al. 2016, Schoenholz et al. 2017), and its size by $\sqrt{\chi_1}$. $E$ is a mean over the pre-activations. In a wide network they are Gaussian; their mean square follows
# from the layer before.

# %% [markdown]
# ### Exercise 03.1 · ●○○ · 5 minutes
#
# Write `growth_per_layer(sizes)`. `sizes` is an (L,) tensor: the size of $\delta$ in each layer, first layer first. Return one number, the factor that a layer contributes: the one that
# takes the last size to the first in equal steps.


# %%
def growth_per_layer(sizes):
    ### BEGIN SOLUTION
    return float(sizes[0] / sizes[-1]) ** (1 / (len(sizes) - 1))
    ### END SOLUTION


growth_per_layer = check("03.1", growth_per_layer).function

# %% [markdown]
# The theory takes eight lines. 2000 quantiles stand for the Gaussian; `drive` is an input at every layer, which section 6 needs.

# %%
gauss = torch.special.ndtri((torch.arange(2000).double() + 0.5) / 2000).requires_grad_()


def chi_by_layer(phi, sigma_w, layers, drive=0.0):
    q, chis = sigma_w**2 + drive**2, []  # q: the mean square of z in the first layer
    for _ in range(layers):
        h = phi(gauss * q**0.5)
        (slope,) = torch.autograd.grad(h.sum() / q**0.5, gauss)  # by z, which is gauss * q**0.5
        chis.append(sigma_w**2 * float((slope**2).mean()))
        q = sigma_w**2 * float((h.detach() ** 2).mean()) + drive**2
    return torch.tensor(chis)


# %%
functions = {"relu": torch.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid, "selu": torch.selu}
sigmas, L = [1.0, 1.4, 2.0, 2.8, 4.0], 20
growth, theory = {}, {}
for name, phi in functions.items():
    delta = gradient_profile(L, 128, name, sigmas).delta  # (sigmas, seeds, L)
    growth[name] = torch.tensor([[growth_per_layer(sizes) for sizes in rows] for rows in delta])
    theory[name] = [float(chi_by_layer(phi, s, L - 1).log().mean().mul(0.5).exp()) for s in sigmas]

# %%
fig, ax = plt.subplots()
plots.plot_against_theory(ax, sigmas, growth, list(theory.values()), log="xy")
plots.finish(ax, "The factor of a layer, known before the first step", "sigma_w", "growth of delta a layer")

# %% [markdown]
# ## Claim on trial: S2
#
# *In a deep network the gradients multiply through the layers.*
#
# **Our prediction.** They multiply by $\sqrt{\chi_1}$ a layer, within three hundredths in at least 19 of 20 cells: four activations, five scales, the median of ten networks of width 128 and 20 layers.

# %%
medians = torch.stack([rows.median(1).values for rows in growth.values()])  # (activations, sigmas)
off = (medians / torch.tensor(list(theory.values())) - 1).abs()
evidence = f"{int((off < 0.03).sum())} of 20 cells lie within 3 % of the theory; worst: {off.max():.1%}."
verdict("S2", "holds" if (off < 0.03).sum() >= 19 else "depends", evidence)

# %% [markdown]
# A factor of $\sqrt2$ a layer sounds harmless. Over 20 layers it is a thousand. That is why growth is drawn on logarithmic axes: what multiplies becomes nearly a straight line. (Narrow networks stray further; section 5 says how far.)

# %% [markdown]
# ## 2 · The plot that everybody draws
#
# To look for exploding gradients most people plot the norm of each layer's weight gradient. We have 20 ReLU layers whose $\delta$ doubles at every step back.

# %%
question = "sigma_w is the root of 8, so delta doubles a layer. Which layer has the largest weight gradient?"
predict("03.b", question, ["the first, by far", "the last, by far", "all about the same"])

# %%
profiles = {name: gradient_profile(20, 64, name, 8**0.5, batch=8) for name in ("relu", "tanh")}
seeds = {name: profile.delta[0] for name, profile in profiles.items()}  # (seeds, layers), first layer first
roots = {name: chi_by_layer(functions[name], 8**0.5, 19).sqrt().flip(0) for name in seeds}
back = {name: F.pad(r.cumprod(0), (1, 0), value=1).flip(0) for name, r in roots.items()}
expected = {name: seeds[name][:, -1].median() * back[name] for name in seeds}

# %%
fig, (left, right) = plt.subplots(1, 2)
plots.plot_depth_profile(left, seeds, expected, ylabel="RMS of delta")
plots.finish(left, "delta: grows")
plots.plot_depth_profile(right, {n: p.weight_grad[0] for n, p in profiles.items()}, ylabel="norm of dL/dW")
plots.finish(right, "Weight gradient: flat for ReLU")

# %%
first_over_last = lambda sizes: float((sizes[0, :, 0] / sizes[0, :, -1]).median())
ratio, grown = map(first_over_last, (profiles["relu"].weight_grad, profiles["relu"].delta))
because = f"First over last layer, in the median: weight gradient {ratio:.1f}, delta {grown:.0e}."
reveal("03.b", "c" if 0.2 < ratio < 5 else "a" if ratio > 1 else "b", because)

# %% [markdown]
# Both plots show the same networks. A weight gradient is $\delta$ times the layer's input. Going back $\delta$ grows, and the signal shrinks by the same factor: the explosion is spread
# evenly, and every layer's gradient is large. For ReLU without biases one thing is exact. Scaling any one $W$ by $c$ scales the output by $c$, so the inner product of $W$ and $\partial L/\partial W$ is
# the same in every layer. (Glorot and Bengio saw flat weight gradients in 2010, in tanh networks near their linear part.)

# %%
net = init_weights_(mlp(20, 64, "relu"), 2.0, generator=torch.Generator().manual_seed(0))
net(data.x_train[:50]).square().sum().backward()
products = torch.stack([(W * W.grad).sum().detach() for W in net.parameters() if W.ndim == 2])
print(f"{len(products)} layers, equal to 3 digits: {bool(products.std() < 1e-3 * products.abs().mean())}")

# %% [markdown]
# ### Exercise 03.2 · ●●○ · 6 minutes
#
# Write `what_it_does(delta, weight_grad)`: two (L,) tensors, sizes by layer, first layer first. Return `"explodes"` or `"vanishes"` if the gradient changes by more than a factor of 10 on its
# way from the last layer to the first, otherwise `"steady"`. An inf or a NaN on the way is an explosion.


# %%
def what_it_does(delta, weight_grad):
    ### BEGIN SOLUTION
    explodes, vanishes = delta[0] > 10 * delta[-1], delta[0] < delta[-1] / 10
    return "explodes" if explodes or not delta.isfinite().all() else "vanishes" if vanishes else "steady"
    ### END SOLUTION


what_it_does = check("03.2", what_it_does).function

# %%
explorers.explore_depth()

# %% [markdown]
# ## 3 · Looking into your own network
#
# In your own project nobody hands you $\delta$. A **hook** does: a function that torch calls whenever a layer has run.
#
# ### Exercise 03.3 · ●●● · 12 minutes
#
# Write `delta_sizes(model, loss_of, x)`. The loss is `loss_of(model(x))`. Return a list with one number for each `torch.nn.Linear` in the model, nested ones too, in the order in which they run: the RMS (the root of the mean square) of the gradient of
# the loss by that layer's output. Use `layer.register_forward_hook(f)`, where `f(layer, inputs, output)`. Leave no hook behind: each registration returns a handle with `.remove()`.


# %%
def delta_sizes(model, loss_of, x):
    ### BEGIN SOLUTION
    outputs, handles = [], []
    for layer in model.modules():
        if isinstance(layer, torch.nn.Linear):
            handles.append(layer.register_forward_hook(lambda layer, inputs, output: outputs.append(output)))
    loss = loss_of(model(x))
    for handle in handles:
        handle.remove()
    return [float(grad.square().mean().sqrt()) for grad in torch.autograd.grad(loss, outputs)]
    ### END SOLUTION


delta_sizes = check("03.3", delta_sizes).function

# %% [markdown]
# From here on `Recorder` does this at every step of a training, with the norms of weights, updates and activations beside it, for a few per cent of the time.

# %%
x, y, net = data.x_train[:256], data.y_train[:256], mlp(12, 64, "relu")
init_weights_(net, 2.0, generator=torch.Generator().manual_seed(0))
seen = {"by your hooks": delta_sizes(net, lambda scores: F.cross_entropy(scores, y), x)[:12]}
with Recorder(net) as recorder:
    train(
        net, F.cross_entropy, [(x, y)] * 20, torch.optim.SGD(net.parameters(), lr=3e-4), measure=recorder.step
    )
for step in (0, 19):  # every second layer is an activation; the norms are made RMS, like yours
    seen[f"Recorder, step {step}"] = recorder.delta_norm[step, :24:2] / math.sqrt(256 * 64)
fig, ax = plt.subplots()
plots.plot_depth_profile(ax, seen)
plots.finish(ax, "Twelve layers at sigma_w = 2: your hooks and Recorder")

# %% [markdown]
# ## 4 · How deep until it is no number
#
# Growth is geometric, so the depth at which it leaves the numbers of a format can be computed. The largest entry goes first. Take ReLU and raw weights from $N(0, 1)$, width 128:
# $\sqrt{\chi_1} = \sqrt{128/2} = 8$. Among the 2048 entries of a layer (16 inputs) the largest is nearly 4 times the RMS.
#
# ### Exercise 03.4 · ●●○ · 8 minutes
#
# Write `overflow_depth(first, growth, largest)`. Layer 1's largest entry is `first`, and each further layer multiplies it by `growth`. Return the number of the first layer whose largest
# entry passes `largest`; `math.inf` if that never happens.


# %%
def overflow_depth(first, growth, largest):
    ### BEGIN SOLUTION
    if first > largest:
        return 1
    if growth <= 1:
        return math.inf
    return math.floor(math.log(largest / first) / math.log(growth)) + 2
    ### END SOLUTION


overflow_depth = check("03.4", overflow_depth).function


# %%
def first_inf_and_nan(dtype, seed):
    g, inf = torch.Generator().manual_seed(seed), 0
    h = torch.randn(16, 128, generator=g).to(dtype)
    for layer in range(1, 100):
        z = h @ torch.randn(128, 128, generator=g).to(dtype).T
        inf = inf or layer * bool(z.isinf().any())
        if z.isnan().any():
            return [inf, layer]
        h = z.relu()


formats = [torch.float16, torch.bfloat16, torch.float32]
predicted = [overflow_depth(4 * math.sqrt(128), 8, torch.finfo(dtype).max) for dtype in formats]
found = torch.tensor([[first_inf_and_nan(dtype, k) for k in range(10)] for dtype in formats])
inf_at, later = found[..., 0].median(1).values, (found[..., 1] - found[..., 0]).amax(1) <= 1
columns = {
    "inf predicted": predicted,
    "inf at": inf_at.tolist(),
    "NaN there or a layer later": later.tolist(),
}
table({"": formats} | columns)

# %% [markdown]
# (Medians of ten networks; the prediction is a layer off at most.) First comes an inf. A layer later, or still in the same one, two infinities of opposite sign meet in one sum, and that is a NaN. When you find a NaN, look at the layer before. `bfloat16` has the range of `float32`: it does
# not overflow earlier, it only rounds more coarsely.

# %% [markdown]
# ## Claim on trial: S3
#
# *Exploding gradients make the parameters jump about, and training fails.*
#
# That it fails is not in doubt. On trial is how: with a NaN, one would think. Four hidden layers, a good initialisation, and learning rates from usable to far too large: what does a failed run look like?

# %%
question = "tanh and cross-entropy, a rate far too large. Of the runs that fail, how many show a NaN?"
predict("03.c", question, ["all of them", "about half", "none"])

# %% [markdown]
# **Our prediction.** It depends on whether a slope can grow without bound.
#
# - Squared error: its slope grows with the error. Longer steps, larger errors, longer steps: a NaN.
# - Cross-entropy and tanh: the slope by the scores is at most 1, and so is each input of the last layer. Its weights grow by a bounded amount a step, the layers below saturate and stop learning. No NaN.
# - ReLU: signals without bound. Sometimes.

# %% [markdown]
# The control is Huber's loss: a squared error up to an error of 1, from there a straight line, whose slope is bounded. With tanh it should fail in silence, too. Ten seeds at five rates; failed: a NaN, or a loss no better than nine tenths of guessing, after 60 and
# after 150 steps.


# %%
def squared_error(scores, y):
    return (scores - F.one_hot(y, 10)).square().mean((-1, -2))


def huber(scores, y):
    return torch.where((e := (scores - F.one_hot(y, 10)).abs()) < 1, e**2, 2 * e - 1).mean((-1, -2))


guessing = {cross_entropy: math.log(10), squared_error: 0.09, huber: 0.09}  # of the best constant answer
arms = [("tanh", cross_entropy), ("tanh", huber), ("tanh", squared_error), ("relu", cross_entropy)]
ended = {f"{phi}, {loss_of.__name__}": [] for phi, loss_of in arms}
for (phi, loss_of), words in zip(tqdm(arms, leave=False), ended.values()):
    sigma_w = {"tanh": 1.0, "relu": 2**0.5}[phi]
    loss = train_many(functions[phi], 4, sigma_w, [0.1, 0.3, 1.0, 3.0, 10.0], loss_of, steps=150)
    for steps in (60, 150):
        nan = ~loss[:steps].isfinite().all(0)
        failed = nan | ~(loss[steps - 20 : steps].mean(0) < 0.9 * guessing[loss_of])
        words += [
            "none" if not nan.any() else "all" if nan.sum() == failed.sum() else "some",
            int(failed.sum()),
        ]

# %%
rows = list(zip(*ended.values()))  # words and counts after 60 steps, then after 150
columns = {"a NaN in the failed, 60 steps": rows[0], "150 steps": rows[2]}
table({"": ended} | columns | {"20 or more of 50 failed": [n >= 20 for n in rows[3]]})

# %%
silent, bounded, loud, relu = rows[2]
evidence = f"NaN in failed runs: tanh, cross-entropy {silent}; Huber {bounded}; squared {loud}; ReLU {relu}."
reveal("03.c", {"none": "c", "some": "b", "all": "a"}[silent])
verdict("S3", "depends" if (silent, bounded, loud) == ("none", "none", "all") else "holds", evidence)

# %% [markdown]
# ## 5 · One network lies
#
# The theory speaks of wide networks. How far does a single one stray? Under ReLU a layer multiplies $|\delta|^2$ by $\frac{2}{n}\sum_i \xi_i g_i^2$, with $g_i$ Gaussian and $\xi_i$ a coin, 0 or 1. Its mean is 1. Its
# variance is $\frac{4}{n}(\frac32 - \frac14) = \frac5n$. The logarithms of many such factors add up: after $L$ layers $\ln|\delta|^2$ is about Gaussian, with variance $\beta = 5L/n$ and mean $-\beta/2$ (Hanin and Nica 2020 prove such a limit).
# One hundred networks of width 64 at He's scale, where $\chi_1 = 1$:

# %%
delta = gradient_profile(30, 64, "relu", 2**0.5, seeds=100, batch=1).delta[0]  # (seeds, 30)
logs, beta = 2 * (delta[:, 0] / delta[:, -1]).log().sort().values, 5 * 29 / 64
normal = torch.special.ndtri((torch.arange(100) + 0.5) / 100)
fig, ax = plt.subplots()
plots.plot_against_theory(ax, normal, {"networks": logs}, [math.sqrt(beta) * normal - beta / 2])
title = f"Same recipe: the luckiest and the unluckiest differ by {(logs[-1] - logs[0]).exp():.0e}"
plots.finish(ax, title, "quantile of a Gaussian", "ln of the squared growth")

# %% [markdown]
# Nothing was changed but the seed. The mean over endlessly many networks is kept; the typical one lies below it. That is why no
# trial here rests on one seed. (Width 64 is small for this theory: the networks lie somewhat below the line.) Lesson 05 comes back to it.

# %% [markdown]
# ## 6 · Through time
#
# A recurrent network applies one $W$ at every step: $h_t = \tanh(h_{t-1} W^T + \text{input})$. Unrolled, it is a deep network with shared weights.
#
# ### Exercise 03.5 · ●●○ · 10 minutes
#
# Write `through_time(W, h, dh)`. `h` is (T + 1, n): the states, start included. `dh` is (n,): $\partial L/\partial h_T$. Return $\partial L/\partial h_t$ for every $t$, stacked, (T + 1, n): row $t$ belongs to $h_t$.


# %%
def through_time(W, h, dh):
    ### BEGIN SOLUTION
    grads = [dh]
    for t in range(len(h) - 1, 0, -1):
        grads.insert(0, (grads[0] * (1 - h[t] ** 2)) @ W)
    return torch.stack(grads)
    ### END SOLUTION


through_time = check("03.5", through_time).function

# %% [markdown]
# ### A paper in small: eigenvalues through time
#
# Y. Bengio, P. Simard and P. Frasconi described it in 1994; R. Pascanu, T. Mikolov and Y. Bengio (2013, section 2) put it so for the *linear* recurrent network: the **spectral radius** $\rho$ (the largest size of
# an eigenvalue of $W$) below 1 suffices for the gradient to vanish, and above 1 is necessary for it to explode. In the long run it goes as $\rho^k$. With $h = 0$ every slope of tanh is 1: then your `through_time` is linear. Reduced: 64
# units, 100 steps, random $W$.

# %%
steps_back, radii = torch.arange(0, 101, 5), [0.9, 1.0, 1.1]
sizes, still = {f"radius {r}": [] for r in radii}, torch.zeros(101, 64).double()
for seed in range(10):
    W, dh = torch.randn(65, 64, generator=torch.Generator().manual_seed(seed)).double().split([64, 1])
    W, dh = W / torch.linalg.eigvals(W).abs().max(), dh[0] / dh.norm()
    for r, rows in zip(radii, sizes.values()):
        rows.append(through_time(r * W, still, dh).norm(dim=1).flip(0)[::5])

# %%
measured = {name: torch.stack(rows, 1) for name, rows in sizes.items()}  # (steps, seeds)
fig, ax = plt.subplots()
plots.plot_against_theory(ax, steps_back, measured, [r**steps_back for r in radii], log="y")
plots.finish(ax, "A linear network: the radius decides, in the long run", "steps back", "size of dL/dh")

# %% [markdown]
# The slope is right, the level is not: at first the gradient shrinks, because a random direction is mostly made of smaller eigenvalues. Now add tanh. The textbook rule "radius above 1, so it explodes" is often said of such networks too. Move the sliders: find a radius of 2 without an explosion.

# %%
explorers.explore_recurrent()

# %% [markdown]
# What decides is the mean growth along the states that the network really visits. Its logarithm is the **Lyapunov exponent**: above 0 small changes grow (chaos), below 0 they fade.
#
# ### Exercise 03.6 · ●●● · 10 minutes
#
# Write `lyapunov(W, h, v)`. `h` is (T + 1, n), the states; `v` is (n,), a small change of `h[0]`. Push `v` through the T steps. Return the mean over the steps of the natural logarithm of the factor by which its length
# grows. T may be large: bring `v` back to length 1 after every step.


# %%
def lyapunov(W, h, v):
    ### BEGIN SOLUTION
    total = 0.0
    for state in h[1:]:
        v = (v / v.norm() @ W.T) * (1 - state**2)
        total += float(v.norm().log())
    return total / (len(h) - 1)
    ### END SOLUTION


lyapunov = check("03.6", lyapunov).function

# %% [markdown]
# ## Claim on trial: W8
#
# *A recurrent network with a spectral radius above 1 explodes.* (Pascanu et al. say it with care; teaching notes drop the care.)
#
# **Our prediction.** The rate of the gradient is the Lyapunov exponent, about $\frac12\ln\chi_1$ with the input as `drive`. An input pushes the units into saturation, where slopes are small. At gain 2 the rate turns
# negative before an input of standard deviation 2, while the radius stays near 2. Ten networks of 128 units, 100 steps. The control: is it the input's noise that calms them? A constant input of the same size has none.


# %%
def rates(gain, drive, seed, constant=False, n=128):  # of the gradient, and the Lyapunov exponent
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    W, h, inputs = draw(n, n) * gain / n**0.5, [draw(n)], drive * draw(150, n)
    for t in range(150):
        h.append(torch.tanh(h[-1] @ W.T + inputs[0 if constant else t]))
    h, (dh, v) = torch.stack(h[50:]), draw(2, n)
    grads = through_time(W, h, dh)
    return float((grads[0].norm() / dh.norm()).log() / 100), lyapunov(W, h, v)


# %%
drives = [0.0, 0.5, 1.0, 2.0, 4.0]
found = torch.tensor([[rates(2.0, drive, seed) for seed in range(10)] for drive in tqdm(drives, leave=False)])
measured = dict(zip(["gradient", "Lyapunov"], found.permute(2, 0, 1)))  # each (drives, seeds)
predicted = [float(chi_by_layer(torch.tanh, 2.0, 100, drive)[-1].log() / 2) for drive in drives]

# %%
fig, ax = plt.subplots()
plots.plot_against_theory(ax, drives, measured, [predicted] * 2)
ax.axhline(0, color=plots.REFERENCE)
plots.finish(ax, "An input calms a network of radius 2", "standard deviation of the input", "rate a step")

# %%
alone, driven = (int((measured["gradient"][k] > 0).sum()) for k in (0, 3))
constant = sum(rates(2.0, 2.0, seed, constant=True)[0] > 0 for seed in range(10))
evidence = f"Radius 2: growth in {alone} of 10 networks; in {driven} with an input, in {constant} with a constant one."
verdict("W8", "depends" if alone >= 9 and max(driven, constant) <= 1 else "holds", evidence)

# %% [markdown]
# A constant input calms them as well: the cause is saturation. (The theory is for endless width; at 128 units the rates lie a little below it.) In the explorer, try tanh without input and gains just above 1: even there the radius promises too much.

# %% [markdown]
# ## On a real run
#
# - Before the first step, take one batch and compare $\delta$ in the first and the last layer. More than a factor of 10? Change the initialisation, not the learning rate.
# - Plot $\delta$, not only the weight gradients.
# - A NaN: look at the layer before. No NaN proves nothing: watch the loss against guessing, and the gradient norm.
# - A recurrent network: measure its rate on real inputs. Its radius alone tells you little.

# %% [markdown]
# ## Summary
#
# Each layer multiplies a gradient by the root of $\chi_1$, which is known before training; depth turns a small excess into an explosion.
# It shows in $\delta$, for ReLU not in the weight gradients; and a run can fail without a NaN.
# With a bounded activation the states decide: the same weights can explode or fade.

# %% [markdown]
# ## Further reading
#
# - R. Pascanu, T. Mikolov, Y. Bengio, [On the difficulty of training recurrent neural networks](https://arxiv.org/abs/1211.5063) (2013): what the radius says and what it does not.
# - S. Schoenholz et al., [Deep information propagation](https://arxiv.org/abs/1611.01232) (2017): how deep a network can be before a signal is lost.
# - R. Vogt et al., [On Lyapunov exponents for RNNs](https://arxiv.org/abs/2006.14123) (2020): section 6, done thoroughly.
#
# [The solution of this lesson](../solutions/03_exploding_gradients.ipynb) · [Back to the start](00_start_here.ipynb)
