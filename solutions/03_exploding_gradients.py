# %% [markdown]
# # 03 · Exploding gradients
#
# **What does depth do to a gradient, and at which depth does training die?**
#
# After this lesson you can
# - compute the factor by which a layer multiplies a gradient, before any training,
# - read an explosion off the right plot, in the course's networks and in your own,
# - say at which layer a format overflows, and what a failed run looks like.
#
# Core: about 75 minutes. Deeper: another 60 minutes. It runs in 10 seconds. Needs: [lesson
# 02](02_backpropagation.ipynb). Next: [lesson 04](04_activations.ipynb).

# %%
import math

import matplotlib.pyplot as plt
import torch
from torch.nn import functional as F
from tqdm.auto import tqdm

from gradutils import explorers, plots
from gradutils.course import (
    at_least,
    at_most,
    check,
    mostly,
    predict,
    recall,
    reveal,
    table,
    verdict,
)
from gradutils.data import digits
from gradutils.meanfield import predicted_gradient_profile
from gradutils.models import init_weights_, mlp
from gradutils.propagation import gradient_profile
from gradutils.recorder import Recorder
from gradutils.training import train

plots.use_style()

# %% [markdown]
# ## Before you start

# %%
recall("03")

# %% [markdown]
# ## Predict
#
# Lesson 02 ended with two kinds of explosion, in networks that nobody trained. Now we train. The task is the digits,
# the activation ReLU, and the weights are somewhat too large: `sigma_w = 2`, so each is drawn from $N(0, 4/n)$, where
# $n$ is the number of inputs of its unit.
#
# A network with 3 hidden layers learns the digits in 100 steps of gradient descent with momentum. We make it deeper, at
# the same scale and the same learning rate, until it does not.

# %%
slower = "falls more slowly, and gets there"
jumps = "jumps up at first, and recovers"
breaks = "becomes inf or NaN"
predict("03.a", "With 24 hidden layers the loss…", [slower, jumps, breaks])

# %% [markdown]
# ## What happens
#
# Ten networks are trained for each depth, all at once: a weight is a stack of ten matrices. The function below takes
# the activation, the depth, the scale of the weights, the learning rates and the loss. It returns the loss of each
# network at every step. The table says of how many of ten networks the loss is no better than that of guessing after
# 100 steps, and in how many it was inf or NaN on the way. Most: eight or more of ten. Few: two or fewer. Some: in
# between. (These words mean the same counts in every lesson.)

# %% tags=["experiment"]
# Ten networks at once: the training loop and the loss


def train_many(phi, depth, sigma_w, lrs, loss_of, steps=200, width=32):
    generator, sizes = torch.Generator().manual_seed(0), [64] + [width] * depth + [10]
    shapes = list(zip(sizes[1:], sizes[:-1]))
    draws = [torch.randn(10, m, n, generator=generator) / n**0.5 for m, n in shapes]
    weights = [(sigma_w * W).repeat(len(lrs), 1, 1).requires_grad_() for W in draws]
    lr, losses = torch.tensor(lrs).repeat_interleave(10).view(-1, 1, 1), []
    velocity = [torch.zeros_like(W) for W in weights]  # (N, m, n); N = rates x seeds
    for _ in range(steps):
        rows = torch.randint(1400, (32,), generator=generator)
        h = data.x_train[rows]
        for W in weights[:-1]:
            h = phi(h @ W.mT)
        loss = loss_of(h @ weights[-1].mT, data.y_train[rows])  # (N,)
        grads = torch.autograd.grad(loss.sum(), weights)
        losses.append(loss.detach())
        velocity = [0.9 * v + g for v, g in zip(velocity, grads)]
        moved = [W - lr * v for W, v in zip(weights, velocity)]
        weights = [W.detach().requires_grad_() for W in moved]
    return torch.stack(losses).unflatten(1, (len(lrs), 10))  # (steps, rates, seeds)


def cross_entropy(scores, y):
    return -scores.log_softmax(-1)[..., torch.arange(len(y)), y].mean(-1)


# %% tags=["experiment"]
# Four depths at sigma_w = 2, and the deepest once more at the root of 2
data, depths = digits(), [3, 6, 12, 24]
arms = {f"{L} layers": (L, 2.0) for L in depths} | {"24, root of 2": (24, 2**0.5)}
runs = {
    name: train_many(torch.relu, L, scale, [0.01], cross_entropy, 100)[:, 0]
    for name, (L, scale) in arms.items()
}  # each (steps, seeds)
names = ["3 layers", "12 layers", "24 layers", "24, root of 2"]
curves = {n: runs[n].nan_to_num(torch.inf).median(1).values for n in names}
fig, ax = plt.subplots()
plots.plot_history(ax, curves)
plots.finish(ax, "Same scale, same rate: deeper, and it dies")
failed = [~(run[-20:].mean(0) < 0.95 * math.log(10)) for run in runs.values()]
broken = [~run.isfinite().all(0) for run in runs.values()]
words = [plots.how_many([int(b.sum()) for b in bad]) for bad in (failed, broken)]
columns = dict(zip(["learn nothing", "inf or NaN on the way"], words))
table({"of ten networks": runs} | columns)

# %% tags=["reveal"]
# The prediction is settled
dead = {name: int(bad.sum()) for name, bad in zip(runs, broken)}
reveal(
    "03.a",
    breaks
    if dead["24 layers"] > 5
    else jumps
    if curves["24 layers"].max() > 10
    else slower,
    f"So it is in {dead['24 layers']} of 10 networks with 24 layers, and in "
    f"{dead['3 layers']} with 3.",
    wrong={
        slower: "More layers need not learn more slowly. Here the first loss is "
        "already far larger, because every layer makes the signal larger.",
        jumps: "A jump is overcome where the next gradient is smaller. Here the first "
        "step makes the weights larger, and the loss by many powers of ten.",
        breaks: "Most of the networks kept finite losses.",
    },
)

# %% [markdown]
# So training dies between 6 and 12 layers. It is not depth alone that kills it: at a scale of the root of 2 the deepest
# network stays finite, and slowly begins to learn. Look at the first loss, too. With 24 layers it is far larger, before
# anything was learnt. Signals grow from layer to layer on their way forwards, and gradients do so on their way back. By
# how much per layer? That can be computed with a pencil.

# %% [markdown]
# ## 1 · One layer, one factor
#
# Follow a gradient through one layer of lesson 02: from $\delta$ above, back through $W$, then through the slopes of
# the activation. How large is what arrives, compared with what entered? Weights are random, so we ask for the mean of
# the *squares*, because the mean squares of independent terms simply add up.
#
# **Through $W$.** Let the layer have four units, and let every entry of $\delta$ be $1$ or $-1$, so that its mean
# square is one. Each weight is drawn with variance $\sigma_w^2/n$, which is one for $\sigma_w = 2$ and $n = 4$. An
# entry of $\delta W$ is a sum of four products, each of mean square $1 \cdot 1$. They are independent and as often
# negative as positive. So in the square of the sum the mixed terms cancel on average, and the four squares add up to 4.
#
# In general a layer of $n$ units below and $n$ above gives $n$ products of mean square $\delta^2 \sigma_w^2/n$ each,
# and so $\sigma_w^2\,\delta^2$. The width cancels, and that is why weights are drawn with a variance over $n$.

# %% tags=["drawing"]
# The drawing
fig, ax = plt.subplots(figsize=(6.4, 2.4))
deltas, weights = ["1", "-1", "1", "-1"], ["1.3", "0.4", "-0.6", "-1.1"]
plots.draw_unit(ax, deltas, weights, "1.4", backward=True)
plots.finish(ax, "One entry of delta W, in one draw: 1.3 - 0.4 - 0.6 + 1.1 = 1.4")

# %% [markdown]
# **Through the slopes.** Each entry is then multiplied by the slope $\varphi'(z)$ of its unit. For ReLU that is 1 where
# $z$ is positive and 0 elsewhere. With random weights $z$ is positive half of the time. So half of the squares are kept
# and half are lost, and the mean square is halved: from 4 to 2.
#
# Both together are the factor by which one layer multiplies the mean square of $\delta$. (That the two means may be
# multiplied is an assumption, to which we come back.) The factor is called $\chi_1$ (chi; Poole et al. 2016, Schoenholz
# et al. 2017):
#
# $$\chi_1 = \sigma_w^2 \; E[\varphi'(z)^2]$$
#
# $E$ is the mean over the units. For ReLU $E[\varphi'^2] = \frac12$, so $\chi_1 = \sigma_w^2/2$. So at $\sigma_w = 2$
# it is 2, and the mean square doubles per layer. The *size* of $\delta$ is the root of the mean square (RMS), so it
# grows by $\sqrt{\chi_1} = \sqrt2$ per layer. Over 24 layers that is $\sqrt2^{\,24} = 4096$. And at $\sigma_w = \sqrt2$
# the factor is exactly 1, which is why He's initialisation takes this scale.

# %% [markdown]
# **And tanh?** Its slope depends on where $z$ lies. If every $z$ were 0, the slope would be 1, and at $\sigma_w = 2$ we
# would have $\chi_1 = 4 \cdot 1 = 4$. If every $z$ were $1$ or $-1$, the slope would be $1 - \tanh^2 1 = 0.42$, and
# $\chi_1 = 4 \cdot 0.42^2 = 0.71$. The one explodes and the other vanishes, so we need to know how $z$ is spread.
#
# Here the width helps. Each $z$ is a sum of $n$ products of an input and a random weight. A sum of many independent
# terms has a bell-shaped density, whatever the terms look like. It is **Gaussian**, with mean 0, so one number
# describes it, its mean square $q$. The drawing shows $z$ with $q = 2$, a standard deviation of $1.4$, and how much of
# it each activation lets pass.

# %% tags=["drawing"]
# The drawing
fig, axes = plt.subplots(1, 2, figsize=(6.4, 2.8))
for ax, (name, phi) in zip(axes, (("ReLU", torch.relu), ("tanh", torch.tanh))):
    plots.draw_slope_under_density(ax, phi, 1.4)
    plots.finish(ax, f"z, and the slope of {name} there")

# %% [markdown]
# Where does $q$ come from? The same argument, going forwards: $z$ sums $n$ products of weights with variance
# $\sigma_w^2/n$ and inputs $\varphi(z)$ of the layer before. So
#
# $$q_{\text{next}} = \sigma_w^2 \; E[\varphi(z)^2], \qquad z \sim N(0, q)$$
#
# Each layer takes $q$ to the next $q$. For ReLU $E[\varphi^2] = q/2$, so $q$ is multiplied by $\sigma_w^2/2$, just as
# the gradient is. For tanh it settles after a few layers: a large $q$ is followed by a smaller one, because a tanh is
# never larger than 1, and a small $q$ by a larger one. The lines below compute both: `one_layer` takes $q$ to $\chi_1$
# and to the next $q$. 2000 evenly spaced quantiles stand for the Gaussian.

# %%
gauss = torch.special.ndtri((torch.arange(2000).double() + 0.5) / 2000)


def one_layer(phi, sigma_w, q):
    z = (gauss * q**0.5).requires_grad_()
    h = phi(z)
    (slope,) = torch.autograd.grad(h.sum(), z)
    chi, q_next = (slope**2).mean(), (h**2).mean()
    return sigma_w**2 * chi.item(), sigma_w**2 * q_next.item()


def chi_by_layer(phi, sigma_w, layers):
    q, chis = sigma_w**2, []  # the inputs of the network have mean square 1
    for _ in range(layers):
        chi, q = one_layer(phi, sigma_w, q)
        chis.append(chi)
    return torch.tensor(chis)


# %% tags=["drawing"]
# The drawing
fig, ax = plt.subplots(figsize=(6.4, 2.4))
qs = torch.linspace(0.05, 4.5, 60).double()
following = [one_layer(torch.tanh, 2.0, float(q))[1] for q in qs]
plots.plot_against_theory(ax, qs, {"next q": following}, marker="")
ax.plot(qs, qs, color=plots.REFERENCE)
plots.finish(
    ax, "tanh at sigma_w = 2: q settles where the curve meets the diagonal", "q"
)

# %% [markdown]
# As numbers, for tanh at `sigma_w = 2`, beside one real network of 500 units: what theory says of each layer, and what
# is measured on 50 random inputs.

# %% tags=["experiment"]
# Theory beside one network, layer by layer
q, rows = 4.0, []
h = torch.randn(50, 500, generator=torch.Generator().manual_seed(0))
for layer in range(1, 7):
    generator = torch.Generator().manual_seed(layer)
    W = torch.randn(500, 500, generator=generator) * 2 / 500**0.5
    z = h @ W.T
    h, slope = torch.tanh(z), 1 - torch.tanh(z) ** 2
    chi, q_next = one_layer(torch.tanh, 2.0, q)
    rows.append([layer, q, z.square().mean(), chi, 4 * slope.square().mean()])
    q = q_next
names = ["layer", "q predicted", "q measured", "chi_1 predicted", "chi_1 measured"]
columns = dict(zip(names, zip(*rows)))
table(
    {
        n: [v if n == "layer" else f"{float(v):.2f}" for v in c]
        for n, c in columns.items()
    }
)

# %% [markdown]
# What was assumed on the way? Weights that are independent, with mean 0 and no biases, layers of one width, and a width
# so large that sums are Gaussian; 500 units come close to it. One assumption is not quite true. Going back, $\delta$
# meets the very $W$ that made $z$ going forwards, and we treated the two as independent. In a wide layer each weight
# has little influence on any $z$, so this should do no harm. The trial below has to show whether it does.
#
# ### Exercise 03.1 · ●○○ · 5 minutes
#
# To measure the factor we need it from sizes. If $\delta$ has the sizes $8, 4, 2, 1$ from the first layer to the last,
# then going back it doubles at each of the *three* steps between the four layers: $(8/1)^{1/3} = 2$.
#
# Write `growth_per_layer(sizes)`. `sizes` is an (L,) tensor, the size of $\delta$ in each layer, first layer first.
# Return one number, the factor that takes the last size to the first in equal steps.


# %%
def growth_per_layer(sizes):
    ### BEGIN SOLUTION
    return float(sizes[0] / sizes[-1]) ** (1 / (len(sizes) - 1))
    ### END SOLUTION


growth_per_layer = check("03.1", growth_per_layer).function

# %% [markdown]
# ## Claim on trial: S2
#
# *In a deep network the gradients multiply through the layers.*
#
# **Our prediction.** They multiply by $\sqrt{\chi_1}$ per layer, within three hundredths, in at least 19 of 20 cases.
# The cases are four activations at five scales. Each is the median of ten random networks of width 128 and 20 layers,
# and nothing is trained.

# %% tags=["experiment"]
# Four activations, five scales, ten networks each
functions = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "selu": torch.selu,
}
sigmas, L = [1.0, 1.4, 2.0, 2.8, 4.0], 20
growth, theory = {}, {}
for name, phi in functions.items():
    delta = gradient_profile(L, 128, name, sigmas).delta  # (sigmas, seeds, L)
    growth[name] = torch.tensor([[growth_per_layer(d) for d in rows] for rows in delta])
    chis = [chi_by_layer(phi, s, L - 1) for s in sigmas]
    theory[name] = [float(chi.log().mean().mul(0.5).exp()) for chi in chis]
fig, ax = plt.subplots()
plots.plot_against_theory(ax, sigmas, growth, list(theory.values()), log="xy")
title = "The factor per layer, known before the first step"
plots.finish(ax, title, "sigma_w", "growth of delta per layer")

# %% tags=["experiment"]
# The verdict on S2
medians = torch.stack([rows.median(1).values for rows in growth.values()])
off = (medians / torch.tensor(list(theory.values())) - 1).abs()  # (activations, scales)
found = {name: at_most(worst, 0.03) for name, worst in zip(functions, off.amax(1))}
evidence = "Random networks at the start, width 128, 20 layers, no training: "
evidence += f"{int((off < 0.03).sum())} of 20 cases lie within 3 % of the theory; "
evidence += f"worst: {off.max():.1%}."
verdict("S2", found, evidence)

# %% [markdown]
# No line was fitted: the dotted ones were there before any network was drawn. Do not take a factor near 1 for harmless,
# because $\sqrt2$ per layer is a thousand over 20 layers. And the figure speaks of medians. A single narrow network
# strays from them, and Deeper B says how far.

# %% [markdown]
# ## 2 · The plot that everybody draws
#
# To look for exploding gradients most people plot the norm of each layer's *weight* gradient, because that is what an
# optimizer sees. Let us test that plot on an explosion that we know: 20 ReLU layers with `sigma_w` at the root of 8.
# Then $\chi_1 = 8/2 = 4$, so $\delta$ doubles at every layer on its way back.

# %%
first = "in the first layer, by far"
same = "in no layer: all are about the same"
last = "in the last layer, by far"
predict("03.b", "The weight gradient is largest…", [first, same, last])

# %% [markdown]
# Ten networks of width 64, of ReLU and of tanh at the same scale. On the left the size of $\delta$, on the right the
# norm of the weight gradient. The layers are counted back from the output, so the first layer stands at the right.
# Dotted is the theory, `chi_by_layer` of section 1 multiplied up, which from here on is imported as
# `predicted_gradient_profile`, so that the code stays short.

# %% tags=["experiment"]
# delta and the weight gradient, layer by layer
profiles = {
    name: gradient_profile(20, 64, name, 8**0.5, batch=8) for name in ("relu", "tanh")
}
seeds = {
    name: profile.delta[0] for name, profile in profiles.items()
}  # (seeds, layers)
expected = {name: predicted_gradient_profile(name, 20, 8**0.5) for name in seeds}
expected = {
    name: seeds[name][:, -1].median() * shape for name, shape in expected.items()
}
fig, (left, right) = plt.subplots(1, 2)
plots.plot_depth_profile(left, seeds, expected, ylabel="RMS of delta")
plots.finish(left, "delta grows on its way back")
norms = {name: profile.weight_grad[0] for name, profile in profiles.items()}
plots.plot_depth_profile(right, norms, ylabel="norm of dL/dW")
plots.finish(right, "ReLU's weight gradient is flat")

# %% tags=["reveal"]
# The prediction is settled
first_over_last = lambda sizes: float((sizes[0, :, 0] / sizes[0, :, -1]).median())
ratio = first_over_last(profiles["relu"].weight_grad)
grown = first_over_last(profiles["relu"].delta)
reveal(
    "03.b",
    same if 0.2 < ratio < 5 else first if ratio > 1 else last,
    f"First over last layer: weight gradient {ratio:.1f}, delta {grown:.0e} (medians).",
    wrong={
        first: "That is what delta does. But a weight gradient is delta times the "
        "input of the layer, and in the first layer that input is still small.",
        same: "The weight gradients of the layers differ.",
        last: "There the input is largest, since the signal has doubled 19 times. But "
        "delta is smallest there, by the same factor.",
    },
)

# %% [markdown]
# Both panels show the same networks, and they look as if one of them must be wrong. But a weight gradient is $\delta$
# times the layer's input. Going back one layer, $\delta$ doubles, and the input of that layer is half as large, so the
# product stays. So the explosion is spread evenly, and the gradient of *every* layer is large.
#
# tanh is different. Its signal is bounded, so the inputs do not shrink on the way back, and its weight gradient grows
# as $\delta$ does. (In the panels red means that a line grows by more than ten, blue that it does not.)

# %% [markdown]
# So it is $\delta$ that one has to look at. Where does trouble begin? There is no sharp border; we take a factor of 10
# between the last and the first layer.
#
# ### Exercise 03.2 · ●●○ · 6 minutes
#
# Write `what_it_does(delta, weight_grad)`: two (L,) tensors, sizes by layer, first layer first. Return `"explodes"` if
# the size in the first layer is more than 10 times that in the last, `"vanishes"` if it is less than a tenth of it,
# otherwise `"steady"`. An inf or a NaN anywhere on the way is an explosion.
#
# Two examples: $\delta = (50, 20, 1)$ explodes, and $(5, 100, 1)$ is steady: only the first and the last size count.
# Exactly on an edge either answer is taken. One of the two tensors is a decoy.


# %%
def what_it_does(delta, weight_grad):
    ### BEGIN SOLUTION
    explodes, vanishes = delta[0] > 10 * delta[-1], delta[0] < delta[-1] / 10
    broken = not delta.isfinite().all()
    return "explodes" if explodes or broken else "vanishes" if vanishes else "steady"
    ### END SOLUTION


what_it_does = check("03.2", what_it_does).function

# %% [markdown]
# In the explorer, find the `sigma_w` at which $\delta$ has the same size in the first and the last of 40 tanh layers,
# and compare it with that of ReLU, which you know. (Answer: about $1.2$ and $\sqrt2$.)

# %%
explorers.explore_depth()

# %% [markdown]
# ## 3 · Looking into your own network
#
# In your own project nobody hands you $\delta$. A **hook** does: a function that torch calls whenever a layer has run.
# It receives the layer, its inputs and its output, and the forward pass goes on as before.

# %% tags=["drawing"]
# The drawing
fig, ax = plt.subplots(figsize=(6.4, 1.8))
steps, gradients = ["Linear", "ReLU", "Linear"], ["", "delta", "dL/dh", "delta"]
plots.draw_chain(
    ax, ["x", "output", "h", "output"], steps, back=["", "", ""], gradients=gradients
)
plots.finish(
    ax, "A hook on each Linear collects its output; delta is the derivative there"
)

# %% [markdown]
# Here is one hook on one layer, which keeps the output in a list. A hook returns None, as `append` does: anything else
# would take the place of the output. After the forward pass it is removed, or it would run at every later pass as well.
# Then `torch.autograd.grad(loss, outputs)` gives the derivative of the loss with respect to each tensor in the list.
# (After `loss.backward()` an output has no `.grad`, because torch keeps gradients of parameters only, unless one calls
# `output.retain_grad()`.)

# %%
layer, outputs = torch.nn.Linear(3, 2), []
handle = layer.register_forward_hook(
    lambda layer, inputs, output: outputs.append(output)
)
loss = layer(torch.ones(4, 3)).sum()
handle.remove()
print(torch.autograd.grad(loss, outputs)[0])  # of a sum: 1 everywhere

# %% [markdown]
# ### Exercise 03.3 · ●●○ · 12 minutes
#
# Write `delta_sizes(model, loss_of, x)`, where the loss is `loss_of(model(x))`. Return a list with one number for each
# `torch.nn.Linear` in the model: the RMS of the gradient of the loss with respect to that layer's output.
#
# - `model.modules()` goes through all layers, nested ones too. It lists them in the order in which they were *defined*.
#   Yours should stand in the order in which they *run*. A hook that appends to a list does that by itself.
# - Leave the model as it was: no hook of yours stays behind, and nothing is trained.


# %%
def delta_sizes(model, loss_of, x):
    ### BEGIN SOLUTION
    outputs, handles = [], []
    for layer in model.modules():
        if isinstance(layer, torch.nn.Linear):
            keep = lambda layer, inputs, output: outputs.append(output)
            handles.append(layer.register_forward_hook(keep))
    loss = loss_of(model(x))
    for handle in handles:
        handle.remove()
    deltas = torch.autograd.grad(loss, outputs)
    return [float(delta.square().mean().sqrt()) for delta in deltas]
    ### END SOLUTION


delta_sizes = check("03.3", delta_sizes).function

# %% [markdown]
# From here on `Recorder` does this at every step of a training, with the norms of weights, updates and activations
# beside it. Twelve ReLU layers at `sigma_w = 2` are trained for 20 steps, at a rate more than thirty times smaller than
# the one that killed such networks above. You see your hooks before the first step, and the recorder at the first and
# the last.

# %% tags=["experiment"]
# Hooks and Recorder on one network
x, y, net = data.x_train[:256], data.y_train[:256], mlp(12, 64, "relu")
init_weights_(net, 2.0, generator=torch.Generator().manual_seed(0))
seen = {
    "by your hooks": delta_sizes(net, lambda scores: F.cross_entropy(scores, y), x)[:12]
}
optimizer = torch.optim.SGD(net.parameters(), lr=3e-4)
with Recorder(net, every=1) as recorder:
    train(net, F.cross_entropy, [(x, y)] * 20, optimizer, measure=recorder.step)
to_rms = math.sqrt(256 * 64)
for step in (0, 19):  # every second layer is an activation
    seen[f"Recorder, step {step}"] = recorder.delta_norm[step, :24:2] / to_rms
fig, ax = plt.subplots()
plots.plot_depth_profile(ax, seen)
plots.finish(ax, "Twelve layers at sigma_w = 2: your hooks and the Recorder agree")

# %% [markdown]
# ## 4 · How deep until it overflows
#
# Growth by a factor is what lesson 00 began with, so the depth at which a signal overflows can be computed as well.
# Take raw weights from $N(0, 1)$, without the division by $n$, as they are often drawn by mistake. Then $\sigma_w^2 =
# n$, and for ReLU and a width of 128 $\sqrt{\chi_1} = \sqrt{128/2} = 8$.
#
# The numbers of `float16` end at 65504. With inputs of RMS 1 the first layer has an RMS of $\sqrt{128} = 11$. Its
# largest entry is about four times that, say $45$. Then it is $360$ in layer 2, $2880$ in layer 3, $23040$ in layer 4,
# and too large in layer 5.
#
# ### Exercise 03.4 · ●●○ · 8 minutes
#
# Write `overflow_depth(first, growth, largest)`. Layer 1's largest entry is `first`, and each further layer multiplies
# it by `growth`. Return the number of the first layer whose largest entry is above `largest`, and `math.inf` if that
# never happens. An entry equal to `largest` still fits. The cases avoid other exact hits, where rounding would decide.
# (A `growth` of 1 or less needs a thought of its own.)


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

# %% [markdown]
# Ten networks of width 128, with batches of 16 inputs. The largest entry comes first, so we also measure how far it
# stands above the RMS, among the 2048 entries of a layer. Then: at which layer does the first inf appear, and when the
# first NaN?

# %% tags=["experiment"]
# The first inf and the first NaN, in three formats


def first_inf_and_nan(dtype, seed):
    g, inf = torch.Generator().manual_seed(seed), 0
    h = torch.randn(16, 128, generator=g).to(dtype)
    for layer in range(1, 100):
        z = h @ torch.randn(128, 128, generator=g).to(dtype).T
        inf = inf or layer * bool(z.isinf().any())
        if z.isnan().any():
            return [inf, layer]
        h = z.relu()


draws = torch.randn(10, 2048, generator=torch.Generator().manual_seed(0))
peak = float(draws.abs().amax(1).median())
print(f"largest of 2048 Gaussian numbers: {peak:.1f} times their RMS (median of 10)")
formats = [torch.float16, torch.bfloat16, torch.float32]
predicted = [
    overflow_depth(peak * math.sqrt(128), 8, torch.finfo(t).max) for t in formats
]
found = torch.tensor([[first_inf_and_nan(t, k) for k in range(10)] for t in formats])
inf_at = found[..., 0].median(1).values
later = (found[..., 1] - found[..., 0]).amax(1) <= 1
columns = {"inf predicted": predicted, "inf at": inf_at.tolist()}
table({"": formats} | columns | {"NaN there or a layer later": later.tolist()})

# %% [markdown]
# The prediction is a layer off at most, since every draw differs. First comes an inf, because a number has become too
# large. Then two infinities of opposite sign meet in one sum, and that is a NaN. It can happen in the same layer,
# because a sum is computed in parts, or in the next one. So when you find a NaN, look at the layer before. `bfloat16`
# has the range of `float32`: it does not overflow earlier, it only rounds more coarsely.

# %% [markdown]
# ## Claim on trial: S3
#
# *Exploding gradients make the parameters jump about, and training fails.*
#
# Two things are on trial: whether a run that explodes fails, and what most people take from it, that a failed run shows
# a NaN. The explosion is made by training here: a step that is too long leaves weights that are too large. (They are no
# longer random, so section 1 does not describe them.) We take tanh with cross-entropy, four hidden layers, a good
# initialisation, and rates up to far too large.

# %%
silent = "none of them"
half = "those at the largest rates"
all_of_them = "all of them"
predict("03.c", "Of the failed runs a NaN is shown by…", [silent, half, all_of_them])

# %% [markdown]
# <details><summary>Our prediction, made before the run. Open it after yours.</summary>
#
# **Our prediction.** A NaN shows where a slope can grow without bound: in all failed runs with squared error, in none
# with tanh and a loss of bounded slope, in some with ReLU.
#
# </details>
#
# Four arms: tanh with cross-entropy, with Huber's loss and with squared error, and ReLU with cross-entropy. (Huber's
# loss is a squared error up to an error of 1, and from there a straight line.) Five rates, ten seeds, plain momentum,
# judged after 60 and after 150 steps. A run has failed if its loss is a NaN, or above nine tenths of that of guessing.
# It has exploded if its loss was once more than ten times that of guessing.

# %% tags=["experiment"]
# Four arms, five rates, ten seeds, two budgets


def squared_error(scores, y):
    return (scores - F.one_hot(y, 10)).square().mean((-1, -2))


def huber(scores, y):
    error = (scores - F.one_hot(y, 10)).abs()
    return torch.where(error < 1, error**2, 2 * error - 1).mean((-1, -2))


def outcome(loss, steps, guess):  # which runs show a NaN, and which failed
    nan = ~loss[:steps].isfinite().all(0)
    return nan, nan | ~(loss[steps - 20 : steps].mean(0) < 0.9 * guess)


def in_a_word(nan, failed):  # how many of the failed runs show a NaN
    return "none" if not nan.any() else "all" if nan.sum() == failed.sum() else "some"


# the loss of a constant answer
guess = {cross_entropy: math.log(10), squared_error: 0.09, huber: 0.09}
arms = {
    "tanh, cross-entropy": ("tanh", cross_entropy),
    "tanh, Huber": ("tanh", huber),
    "tanh, squared error": ("tanh", squared_error),
    "ReLU, cross-entropy": ("relu", cross_entropy),
}
lrs, scale, seen_in = [0.1, 0.3, 1.0, 3.0, 10.0], {"tanh": 1.0, "relu": 2**0.5}, {}
shares, exploded, came_back = {}, 0, 0
for name, (phi, loss_of) in tqdm(arms.items(), leave=False):
    loss = train_many(functions[phi], 4, scale[phi], lrs, loss_of, steps=150)
    ends = [outcome(loss, steps, guess[loss_of]) for steps in (60, 150)]
    nan, failed = ends[1]
    seen_in[name] = [in_a_word(*end) for end in ends] + [bool(failed.sum() >= 20)]
    shares[name] = float(nan.sum() / failed.sum())
    leapt = ~(loss < 10 * guess[loss_of]).all(0)
    exploded, came_back = exploded + leapt.sum(), came_back + (leapt & ~failed).sum()
early, late, many = zip(*seen_in.values())
columns = {"a NaN in failed runs, 60 steps": early, "150 steps": late}
table({"": arms} | columns | {"20 or more of 50 failed": many})
print(f"of about {round(int(exploded), -2)} exploded runs came back: {came_back}")

# %% tags=["reveal"]
# The prediction is settled
quiet, bounded, loud, relu = late
reveal(
    "03.c",
    {"none": silent, "some": half, "all": all_of_them}[quiet],
    "They fail with finite losses, at that of guessing or far above it.",
    wrong={
        silent: "Some of the failed runs showed a NaN.",
        half: "A larger rate makes longer steps, but not steps that grow. The slope of "
        "the loss is bounded, and so is every unit.",
        all_of_them: "A NaN needs steps that grow without bound. Here a step is at "
        "most the rate times a bounded gradient.",
    },
)

# %% [markdown]
# A NaN needs steps that grow without bound. A step can grow if the gradient of the loss can, or if the signals can.
#
# - *Squared error*: its slope grows with the error, so longer steps make larger errors, until the run ends in a NaN.
# - *Cross-entropy and tanh*: the derivative with respect to a score is a probability, minus 1 for the right digit, so
#   at most 1 in size. So is each input of the last layer, and its weights grow by a bounded amount per step. The layers
#   below are pushed to the flat ends of tanh and stop learning.
# - *Huber's loss* is the control: a squared error whose slope is bounded. With tanh it fails without a NaN too, so it
#   was the gradient of the loss that made the difference.
# - *ReLU* has signals without bound, so its steps can grow even under cross-entropy, and sometimes they do. Often a
#   long step pushes all $z$ of a layer below 0. There every slope is 0, nothing moves any more, and the loss stays at
#   that of guessing.

# %% tags=["experiment"]
# The verdict on S3
found = {
    f"a NaN when it fails ({name})": at_least(share, 0.8, false_at=0.2)
    for name, share in shares.items()
}
stays = 1 - came_back / exploded
found["failure after an explosion"] = at_least(stays, 0.8, false_at=0.2)
evidence = "4 hidden layers of 32, momentum SGD, rates 0.1 to 10, 150 steps. Runs that "
evidence += (
    f"came back from an explosion: {came_back}. A NaN in failed runs: tanh with "
)
evidence += f"cross-entropy {quiet}, Huber {bounded}, squared error {loud}; "
evidence += f"ReLU with cross-entropy {relu}."
verdict("S3", found, evidence)

# %% [markdown]
# ## On a real run
#
# - Before the first step take one batch and compare $\delta$ in the first and the last layer. More than a factor of 10?
#   Change the initialisation, not the learning rate.
# - Plot $\delta$, and not only the weight gradients: with ReLU they hide an explosion.
# - If you find a NaN, look for an inf in the layer before.
# - If you find none, that proves nothing. Compare the loss with guessing, and watch the gradient norm.

# %% [markdown]
# ## Summary
#
# Each layer multiplies the mean square of a gradient by $\chi_1 = \sigma_w^2 E[\varphi'(z)^2]$: the weights add up $n$
# terms of variance $\sigma_w^2/n$, and the slopes let a share of it pass. It is known before training, because $z$ is
# Gaussian, and depth turns a small excess into an explosion. The explosion shows in $\delta$; for ReLU the weight
# gradients hide it. And a run can fail without a NaN, where both the gradient of the loss and the signals are bounded.

# %% [markdown]
# ## Deeper
#
# Four parts follow: what is exact about the flat line (A), how far a single network strays from the theory (B), what
# happens through time (C), and what decides there (D, with claim W8). The last one needs C.
#
# ### A · What is exact about the flat line
#
# The weight gradients of a ReLU network without biases are only roughly equal in norm, but one number is equal in all
# layers. Multiply one $W$ by $c$: then the output $s$ is multiplied by $c$ too, whichever layer $W$ belongs to. Now ask
# how $L$ changes with $c$ at $c = 1$. Seen from the weights it is the sum of all $W$ times $\partial L/\partial W$.
# Seen from the output it is the sum of all $s$ times $\partial L/\partial s$. So
#
# $$\sum W \cdot \frac{\partial L}{\partial W} = \sum s \cdot \frac{\partial L}{\partial s}$$
#
# The right side knows nothing of the layer, so the left side is the same number in every layer. Here it is in a network
# of 20 hidden layers and one of outputs.

# %%
net = init_weights_(
    mlp(20, 64, "relu"), 2.0, generator=torch.Generator().manual_seed(0)
)
net(data.x_train[:50]).square().sum().backward()
matrices = [W for W in net.parameters() if W.ndim == 2]
products = torch.stack([(W * W.grad).sum().detach() for W in matrices])
print(f"{len(products)} matrices: from {products.min():.3g} to {products.max():.3g}")

# %% [markdown]
# ### B · One network lies
#
# The theory speaks of very wide networks, so how far does one narrow network stray? Under ReLU at He's scale one layer
# multiplies $|\delta|^2$ by
#
# $$\frac{2}{n}\sum_{i=1}^n \xi_i\, g_i^2$$
#
# Here $g_i$ is the sum that arrives at unit $i$, a Gaussian number, and $\xi_i$ is its slope, a coin: 0 or 1. The mean
# of $\xi_i g_i^2$ is $\frac12 \cdot 1$, so the mean of the factor is 1, as $\chi_1$ says.
#
# Its variance takes two lines. The square of one term is $\xi_i g_i^4$, whose mean is $\frac12 \cdot 3$, because
# $E[g^4] = 3$ for a Gaussian number. So one term has the variance $\frac32 - \frac14 = \frac54$. Then $n$ independent
# terms, each multiplied by $\frac2n$, have
#
# $$n \cdot \frac{4}{n^2} \cdot \frac54 = \frac5n$$
#
# At $n = 64$ that is $0.08$, a standard deviation of $0.28$: one layer easily multiplies by $1.3$ or by $0.7$.

# %% [markdown]
# Now multiply 29 such factors, one per step between 30 layers. A product becomes a sum in logarithms, and a sum of many
# random terms is Gaussian. For a factor $1 + \epsilon$ the logarithm is about $\epsilon - \epsilon^2/2$. Its variance
# is about that of $\epsilon$, which is $5/n$. Its mean is not 0 but $-\frac12 \cdot \frac5n$, because of the square. So
# after $L$ layers $\ln|\delta|^2$ is about Gaussian, with
#
# $$\text{variance } \beta = \frac{5L}{n}, \qquad \text{mean } -\frac{\beta}{2}$$
#
# Hanin and Nica (2020) prove that such a logarithm is Gaussian in the limit; the numbers are ours. One hundred networks
# of width 64, 30 layers, one input. They are sorted, and each is drawn over the quantile where a Gaussian would put it:
# the dotted line is the prediction.

# %% tags=["experiment"]
# One hundred networks, sorted
delta = gradient_profile(30, 64, "relu", 2**0.5, seeds=100, batch=1).delta[
    0
]  # (seeds, 30)
logs, beta = 2 * (delta[:, 0] / delta[:, -1]).log().sort().values, 5 * 29 / 64
normal = torch.special.ndtri((torch.arange(100) + 0.5) / 100)
fig, ax = plt.subplots()
line = math.sqrt(beta) * normal - beta / 2
plots.plot_against_theory(ax, normal, {"networks": logs}, [line])
spread = (logs[-1] - logs[0]).exp()
title = f"Same recipe: the luckiest and the unluckiest differ by {spread:.0e}"
plots.finish(ax, title, "quantile of a Gaussian", "ln of the squared growth")

# %% [markdown]
# Nothing was changed but the seed, and the results differ a thousandfold. The mean over endlessly many networks is kept
# by a few that grow much, and the typical one lies below it. That is why no trial of this course rests on one seed.
# (Width 64 is small for this theory, and the networks lie somewhat below the line.)

# %% [markdown]
# ### C · Through time
#
# A recurrent network applies one $W$ at every step, $h_t = \tanh(h_{t-1} W^T + \text{input})$. Unrolled, it is a deep
# network whose layers share their weights.

# %% tags=["drawing"]
# The drawing
fig, ax = plt.subplots(figsize=(6.4, 2.6))
plots.draw_unrolled(ax, 3)
plots.finish(ax, "A recurrent network, unrolled: the same W at every step")

# %% [markdown]
# Here is one unit, by hand. Let $W = 2$, $h_1 = 0.5$, $h_2 = 0.8$, and let the loss hand back $\partial L/\partial h_2
# = 1$. The slope of tanh at step 2 is $1 - h_2^2 = 0.36$, because $h_2$ *is* the tanh. So $\partial L/\partial h_1 = 1
# \cdot 0.36 \cdot 2 = 0.72$. One step further back, $\partial L/\partial h_0 = 0.72 \cdot (1 - 0.25) \cdot 2 = 1.08$.
# Slope first, then $W$, and the slope is that of the *later* state.
#
# ### Exercise 03.5 · ●●○ · 10 minutes
#
# Write `through_time(W, h, dh)`. `h` is (T + 1, n), the states `h[0]` to `h[T]`. `dh` is (n,), the derivative of the
# loss with respect to the last state `h[T]`. (Nothing but the last state acts on the loss directly.) Return the
# derivatives with respect to all states, stacked to (T + 1, n): row `t` belongs to `h[t]`, and the last row is `dh`
# itself.


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
# **A paper in small: eigenvalues through time.** Y. Bengio, P. Simard and P. Frasconi described the problem in 1994. R.
# Pascanu, T. Mikolov and Y. Bengio (2013, section 2) put it so for the *linear* recurrent network. The **spectral
# radius** $\rho$ is the largest size of an eigenvalue of $W$. If it is below 1, the gradient must vanish. It can
# explode only if it is above 1. In the long run the gradient goes as $\rho^k$ over $k$ steps.
#
# With all states at 0 every slope of tanh is 1, and your `through_time` is linear. Three radii, ten random $W$ of 64
# units each, 100 steps.

# %% tags=["experiment"]
# Three radii of a linear network
steps_back, radii = torch.arange(0, 101, 5), [0.9, 1.0, 1.1]
sizes, still = {f"radius {r}": [] for r in radii}, torch.zeros(101, 64).double()
for seed in range(10):
    draws = torch.randn(65, 64, generator=torch.Generator().manual_seed(seed)).double()
    W, dh = draws[:64] / torch.linalg.eigvals(draws[:64]).abs().max(), draws[64]
    for r, rows in zip(radii, sizes.values()):
        rows.append(through_time(r * W, still, dh / dh.norm()).norm(dim=1).flip(0)[::5])
measured = {
    name: torch.stack(rows, 1) for name, rows in sizes.items()
}  # (steps, seeds)
fig, ax = plt.subplots()
colours = (plots.VANISHES, plots.STABLE, plots.EXPLODES)
predicted = [r**steps_back for r in radii]
plots.plot_against_theory(ax, steps_back, measured, predicted, log="y", colours=colours)
title = "A linear network: in the long run the radius decides"
plots.finish(ax, title, "steps back", "size of dL/dh")

# %% [markdown]
# From some 40 steps on the lines are parallel, and the level is too low: at first the gradient shrinks, because a
# random direction is mostly made of smaller eigenvalues. Only what lies along the largest one survives.
#
# Now we take tanh, with states that move. "Radius above 1, so it explodes" is often said of such networks too. The
# explorer opens on a tanh network of radius 2 without input, and its gradient explodes. Raise the size of the input,
# and watch when the explosion ends.

# %%
explorers.explore_recurrent()

# %% [markdown]
# ### D · What decides through time
#
# What decides is the mean growth along the states that the network really visits. A small change $v$ of the state is
# multiplied, say, by $2$, then by $\frac12$, then by $3$. The product is 3 over three steps, so per step
#
# $$\frac{\ln 2 + \ln \frac12 + \ln 3}{3} = 0.37$$
#
# In the long run this mean logarithm is the **Lyapunov exponent**. Above 0 small changes grow, which is chaos; below 0
# they fade. To compute it push a vector along, add up the logarithms of its growth, and bring it back to length 1 after
# every step. This is the power iteration of lesson 01 in new clothes: there the matrix was always the same, here it
# changes with the state.
#
# ### Exercise 03.6 · ●●● · 10 minutes
#
# Write `lyapunov(W, h, v)`. `h` is (T + 1, n), the states; `v` is (n,), a small change of `h[0]`, of any length. Push
# `v` through the T steps: first `W`, then the slope `1 - h[t]**2` of the new state. Return the mean over the steps of
# the natural logarithm of the factor by which its length grows.


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
# #### Claim on trial: W8
#
# *A recurrent network with a spectral radius above 1 explodes.* (Pascanu et al. say it with care; teaching notes drop
# the care.)
#
# **Our prediction.** The gradient grows per step by the Lyapunov exponent, which is about $\frac12\ln\chi_1$. An input
# of standard deviation $d$ adds $d^2$ to $q$ at every step, so it pushes units to the flat ends of tanh, where slopes
# are small. At a radius of 2 the rate should turn negative before $d = 2$. The control: is it the *noise* of the input
# that calms the network? A constant input of the same size has none. We take ten networks of 128 units and 100 steps.

# %% tags=["experiment"]
# The rate of the gradient, measured and predicted


def rates(
    gain, drive, seed, constant=False, n=128
):  # of the gradient, and the Lyapunov exponent
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    W, h, inputs = draw(n, n) * gain / n**0.5, [draw(n)], drive * draw(150, n)
    for t in range(150):
        h.append(torch.tanh(h[-1] @ W.T + inputs[0 if constant else t]))
    h, (dh, v) = torch.stack(h[50:]), draw(2, n)
    grads = through_time(W, h, dh)
    return float((grads[0].norm() / dh.norm()).log() / 100), lyapunov(W, h, v)


def predicted_rate(gain, drive):
    q = gain**2
    for _ in range(100):
        chi, q = one_layer(torch.tanh, gain, q + drive**2)
    return math.log(chi) / 2


# %% tags=["experiment"]
# Five sizes of the input, ten networks each
drives, found = [0.0, 0.5, 1.0, 2.0, 4.0], []
for drive in tqdm(drives, leave=False):
    found.append([rates(2.0, drive, seed) for seed in range(10)])
pair = torch.tensor(found).permute(
    2, 0, 1
)  # gradient and Lyapunov, each (drives, seeds)
measured = {"gradient": pair[0], "Lyapunov": pair[1]}
predicted = [predicted_rate(2.0, drive) for drive in drives]
fig, ax = plt.subplots()
plots.plot_against_theory(ax, drives, measured, [predicted] * 2)
ax.axhline(0, color=plots.REFERENCE)
title = "An input calms a network of radius 2"
plots.finish(ax, title, "standard deviation of the input", "rate per step")

# %% tags=["experiment"]
# The verdict on W8
grows = (measured["gradient"] > 0).sum(1)  # of ten, for each size of the input
constant = sum(rates(2.0, 2.0, seed, constant=True)[0] > 0 for seed in range(10))
linear = int((torch.stack(sizes["radius 1.1"])[:, -1] > 1).sum())
found = {
    "linear, radius 1.1": mostly(linear),
    "tanh, radius 2, no input": mostly(grows[0]),
    "tanh, radius 2, random input": mostly(grows[3]),
    "tanh, radius 2, constant input": mostly(constant),
}
evidence = "At the start, 100 steps back, no training. Linear networks of 64 units, "
evidence += f"radius 1.1: the gradient grows in {linear} of 10. tanh networks of 128 "
evidence += f"units, radius 2: in {int(grows[0])}, in {int(grows[3])} with an input of "
evidence += f"standard deviation 2, in {constant} with a constant one."
verdict("W8", found, evidence)

# %% [markdown]
# A constant input calms the networks as well, so the cause is not noise but saturation. The theory is for endless
# width; at 128 units the rates lie a little below it. On a real run, then: measure the rate of a recurrent network on
# real inputs. Its radius alone tells you little.

# %% [markdown]
# ## Further reading
#
# - R. Pascanu, T. Mikolov, Y. Bengio, [On the difficulty of training recurrent neural
#   networks](https://arxiv.org/abs/1211.5063) (2013): what the radius says, and what it does not.
# - S. Schoenholz et al., [Deep information propagation](https://arxiv.org/abs/1611.01232) (2017): how deep a network
#   can be before a signal is lost.
# - R. Vogt et al., [On Lyapunov exponents for RNNs](https://arxiv.org/abs/2006.14123) (2020): part D, done thoroughly.
#
# [The solution of this lesson](../solutions/03_exploding_gradients.ipynb) · [Back to the start](00_start_here.ipynb)
