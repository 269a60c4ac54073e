# %% [markdown]
# # 04 · Activations
#
# **What decides by how much a layer multiplies a gradient?**
#
# After this lesson you can
# - compute a layer's factor from its weights, its activation and the size of its signal,
# - say which scale of the weights an activation needs, or that there is none,
# - tell a saturated unit from a dead one, and say which of them can return.
#
# Core: about 75 minutes. Deeper: another 45 minutes. It runs in 15 seconds. Needs: [lesson
# 03](03_exploding_gradients.ipynb). Next: [lesson 05](05_initialization.ipynb).

# %%
import math

import matplotlib.pyplot as plt
import torch
from torch.nn import functional as F

from gradutils import explorers, plots
from gradutils.course import check, mostly, predict, recall, reveal, table, verdict
from gradutils.data import digits
from gradutils.meanfield import critical_sigma_w, predicted_gradient_profile
from gradutils.propagation import gradient_profile
from gradutils.training import grid, train_many

plots.use_style()

# %% [markdown]
# ## Before you start

# %%
recall("04")

# %% [markdown]
# ## Predict
#
# Lesson 03 gave each layer a factor, the root of $\chi_1 = \sigma_w^2\,E[\varphi'(z)^2]$. The weights are one half of
# it and the activation $\varphi$ is the other. This lesson is about that other half.
#
# Take two networks of 40 layers that share all their random weights, at `sigma_w = 1.3`. One has ReLU, whose slope is 0
# or 1. The other has tanh, whose slopes lie between 0 and 1. The gradient goes back from the last layer to the first.

# %%
both_shrink = "shrinks, as that of ReLU does"
relu_grows = "shrinks, while that of ReLU grows"
tanh_grows = "grows, while that of ReLU shrinks"
predict(
    "04.a",
    "On its way back the gradient of tanh…",
    [both_shrink, relu_grows, tanh_grows],
)

# %% [markdown]
# ## What happens
#
# Ten pairs of networks of width 128, each with a batch of eight random inputs. Drawn is the size of $\delta$ in each
# layer, divided by that in the last; the dotted lines are the theory of lesson 03. From here on each activation keeps
# its colour: ReLU is blue, tanh orange, the sigmoid plum and GELU green. (In the first layers tanh loses some of its
# gradient again, because there the signal has not yet settled: section 3.)

# %% tags=["experiment"]
# Two activations, the same weights, ten networks each
names = ("relu", "tanh", "sigmoid", "gelu")
activations = dict(zip(names, (torch.relu, torch.tanh, torch.sigmoid, F.gelu)))
colours = dict(zip(names, plots.QUIET))


def profiles(scales, depth):  # sizes by name, each (seeds, layers), and their theory
    sizes, expected = {}, {}
    for name, scale in scales.items():
        delta = gradient_profile(depth, 128, name, scale, batch=8).delta[0]
        sizes[name] = delta / delta[:, -1:]
        expected[name] = predicted_gradient_profile(name, depth, scale)
    return sizes, expected


opening, expected = profiles({"relu": 1.3, "tanh": 1.3}, 40)
fig, ax = plt.subplots()
plots.plot_depth_profile(ax, opening, expected, colours=colours)
plots.finish(ax, "The same weights: ReLU's gradient fades, that of tanh does not")

# %% tags=["reveal"]
# The prediction is settled
by_relu, by_tanh = (float(sizes[:, 0].median()) for sizes in opening.values())
reveal(
    "04.a",
    both_shrink if by_tanh < 1 else tanh_grows if by_relu < 1 else relu_grows,
    f"Over 40 layers it is multiplied by {by_tanh:.1f} with tanh, and by "
    f"{by_relu:.2f} with ReLU (medians of ten).",
    wrong={
        both_shrink: "Its slopes are below 1, but the weights multiply as well. At 1.3 "
        "the two together are just above 1.",
        relu_grows: "ReLU has the slope 1 for half of its units only. The other half "
        "passes nothing. tanh's units all pass something, most of them nearly all.",
        tanh_grows: "At this scale the weights did not make up for the slopes.",
    },
)

# %% [markdown]
# Both functions are steepest with a slope of exactly 1, and yet the same weights give two different factors. So the
# largest slope does not decide. What does? We look at one layer, in three steps: the slopes, the place where they are
# taken, and how that place comes about.
#
# ## 1 · The slope is taken where z lies
#
# Four units of a layer have received $z = -2,\ -0.5,\ 0.5,\ 2$. The slope of tanh is $1 - \tanh^2 z$. Near the middle,
# at $\pm 0.5$, that is $1 - 0.46^2 = 0.79$. Further out, at $\pm 2$, it is $1 - 0.96^2 = 0.07$: there the curve is
# almost flat. A unit on such a flat end is called **saturated**.
#
# A gradient is multiplied by the slope, so its square is multiplied by the slope squared. Over the four units the mean
# of the squared slopes is $(0.62 + 0.005)/2 = 0.31$. For ReLU the slopes are $0, 0, 1, 1$, and the mean is $0.5$.
#
# Now make the same signal three times as large: $z = -6,\ -1.5,\ 1.5,\ 6$. tanh keeps $0.02$ of the square. ReLU keeps
# its half, because a positive number stays positive when it grows.

# %% [markdown]
# ### Exercise 04.1 · ●○○ · 6 minutes
#
# Write `slopes(phi, z)`. `phi` works entry by entry on `z`, a float tensor of any shape. Return two things: the slope
# of `phi` at every entry, of the shape of `z`, by autograd; and the largest size of a slope among them, a float. For
# tanh and $z = (0, 1)$ that is $(1, 0.42)$ and $1$.


# %%
def slopes(phi, z):
    ### BEGIN SOLUTION
    z = z.clone().requires_grad_()
    (slope,) = torch.autograd.grad(phi(z).sum(), z)
    return slope, slope.abs().max().item()
    ### END SOLUTION


slopes = check("04.1", slopes).function

# %% tags=["drawing"]
# The drawing
fig, ax = plt.subplots()
axis = torch.linspace(-4, 4, 801, dtype=torch.float64)
labels, steepest = {}, []
for name, phi in activations.items():
    heights, largest = slopes(phi, axis)
    (line,) = ax.plot(axis, heights, color=colours[name])
    labels[line] = name
    steepest.append(f"{name} {largest:.2f}")
plots.label_lines(ax, labels)
plots.finish(ax, f"Largest slopes: {', '.join(steepest)}", "z", "slope of phi")

# %% [markdown]
# GELU, a smooth relative of ReLU, is even steeper than 1 in places. The sigmoid reaches a quarter at most. But the
# picture does not yet say which slopes count, because it does not say where the units stand.
#
# ## 2 · Where the signal lies
#
# In a wide network $z$ is Gaussian with mean 0, as a sum of many independent terms. One number describes it, its mean
# square $q$. So the mean squared slope is a mean over a Gaussian:
#
# $$\chi_1 = \sigma_w^2\;E[\varphi'(z)^2], \qquad z \sim N(0, q)$$
#
# Here $\sigma_w^2$ is what the weights do to the squared gradient, and $E$ is the mean over the units. The drawing
# shows it twice for tanh. Grey is where the units stand, black is the slope, and blue is what the squared slope leaves
# of the grey. A small signal keeps most of the square, and a large one a sliver.

# %% tags=["drawing"]
# The drawing
fig, axes = plt.subplots(1, 2, figsize=(6.4, 2.8))
for ax, sigma in zip(axes, (0.5, 3.0)):
    plots.draw_slope_under_density(ax, torch.tanh, sigma, reach=9)
    plots.finish(ax, f"tanh, z of RMS {sigma:g}")

# %% [markdown]
# ### Exercise 04.2 · ●●○ · 8 minutes
#
# Write `mean_square_slope(phi, q)`: the mean of $\varphi'(z)^2$ over a Gaussian $z$ with mean square `q`, a float,
# within 3 %. Draw samples or use quantiles, as you like; your `slopes` gives $\varphi'$.
#
# The four units of section 1 have $q = (4 + 0.25)/2 = 2.1$, and a mean of `0.31`. A Gaussian with that $q$ gives
# `0.34`.


# %%
def mean_square_slope(phi, q):
    ### BEGIN SOLUTION
    gauss = torch.special.ndtri((torch.arange(20_000).double() + 0.5) / 20_000)
    return float((slopes(phi, gauss * q**0.5)[0] ** 2).mean())
    ### END SOLUTION


mean_square_slope = check("04.2", mean_square_slope).function

# %% [markdown]
# Here is your function for the four activations, which `activations` holds by name, and four sizes of the signal.

# %%
qs = [0.1, 1.0, 10.0, 100.0]
kept = [[mean_square_slope(phi, q) for q in qs] for phi in activations.values()]
columns = {f"q = {q:g}": [f"{v:.2f}" for v in c] for q, c in zip(qs, zip(*kept))}
table({"mean squared slope": activations} | columns)

# %% [markdown]
# ReLU keeps one half whatever $q$ is. tanh begins at 1 and falls as the signal grows. The sigmoid begins at $(1/4)^2 =
# 0.06$ and falls later, because its slope is spread twice as wide. GELU goes the other way: it rises from a quarter to
# one half. So for all but ReLU we cannot know the factor before we know $q$.
#
# ## 3 · Where q comes from
#
# Go one layer forwards with the four units of section 1. Their $z$ has mean square $(4 + 0.25)/2 = 2.1$. Through tanh
# they become $h = \pm 0.96$ and $\pm 0.46$, with mean square $(0.93 + 0.21)/2 = 0.57$. Each unit of the next layer sums
# $n$ products of an $h$ and a weight of variance $\sigma_w^2/n$. Mean squares of independent terms add up, so the next
# $q$ is $\sigma_w^2$ times the mean square of $h$. At $\sigma_w = 2$ that is $4 \cdot 0.57 = 2.3$: nearly what it was.
#
# $$q_{\text{next}} = \sigma_w^2\;E[\varphi(z)^2], \qquad z \sim N(0, q)$$
#
# This is the **length map**. Below, `length_map` computes it, and a staircase shows it: up or down to the curve, which
# gives the next $q$, then across to the diagonal.

# %% tags=["drawing"]
# The drawing
gauss = torch.special.ndtri((torch.arange(2000).double() + 0.5) / 2000)


def length_map(phi, sigma_w, q, sigma_b=0.0):
    return sigma_w**2 * float(phi(gauss * q**0.5).square().mean()) + sigma_b**2


fig, axes = plt.subplots(1, 2, figsize=(6.4, 2.8))
for ax, scale, first in zip(axes, (2.0, 1.0), (0.3, 1.0)):
    step = lambda q, scale=scale: length_map(torch.tanh, scale, q)
    plots.draw_staircase(ax, step, first, 8, high=1.1 if scale == 1 else 4.0)
    plots.finish(ax, f"tanh at sigma_w = {scale:g}")

# %% [markdown]
# At $\sigma_w = 2$ the curve crosses the diagonal, and $q$ **settles** there. A smaller $q$ is followed by a larger
# one, because the weights enlarge it; a larger $q$ by a smaller one, because $\tanh$ is bounded.
#
# At $\sigma_w = 1$ the curve touches the diagonal at 0 only. There $q$ creeps towards 0, slower and slower. How slowly?
# For small $z$, $\tanh z \approx z - z^3/3$, so $\tanh^2 z \approx z^2 - \frac23 z^4$. For a Gaussian $E[z^4] = 3q^2$.
# Hence $q_{\text{next}} \approx q - 2q^2$. Begin with $q = 0.1$: it becomes $0.08$, then $0.067$. Look at $1/q$
# instead: $10$, $12.5$, $14.9$. It rises by about 2 per layer, so after $l$ layers $q \approx 1/(2l)$.
#
# And the gradient? The squared slope is about $1 - 2z^2$, so $\chi_1 \approx 1 - 2q \approx 1 - 1/l$ in layer $l$. Over
# layers 2 to $L$ the product is $\frac12 \cdot \frac23 \cdot \frac34 \cdots \frac{L-1}{L} = \frac1L$. So the *size* of
# a gradient falls as $1/\sqrt L$.

# %% [markdown]
# That is not the exponential of lesson 03, and not nothing either. Ten tanh networks of width 256 at $\sigma_w = 1$, at
# four depths: $\delta$ in the first layer over that in the last, the median.

# %% tags=["experiment"]
# tanh at 1: what four depths leave of a gradient
depths = [10, 20, 40, 80]
delta = gradient_profile(depths, 256, "tanh", 1.0, batch=8).delta[:, 0].nan_to_num()
rows = []
for L, sizes_at in zip(depths, delta):  # (seeds, layers)
    theory = predicted_gradient_profile("tanh", L, 1.0)[0]
    rows.append([(sizes_at[:, 0] / sizes_at[:, L - 1]).median(), theory, L**-0.5])
heads = ["measured", "length map", "1 / root of L"]
columns = {n: [f"{float(v):.2f}" for v in c] for n, c in zip(heads, zip(*rows))}
table({"layers": depths} | columns)

# %% [markdown]
# Where the root law loses half, going from 20 to 80 layers, a factor of $0.9$ per layer would lose all but a part in
# 500. (The deepest networks lose somewhat more than theory says: they are not endlessly wide.)
#
# ### Exercise 04.3 · ●●○ · 8 minutes
#
# Deep in a network $q$ has settled, and what the layers do *there* decides what many layers do. Write
# `settled_growth(phi, sigma_w)`. Start at $q = 1$ and send it through 50 layers of the length map. Then return
# $\sqrt{\chi_1}$ at that $q$, a float, within 3 %. (Your `mean_square_slope` is $E[\varphi'(z)^2]$. For the length map
# use quantiles as in lesson 03; few layers are not enough, as you have just seen.)


# %%
def settled_growth(phi, sigma_w):
    ### BEGIN SOLUTION
    z, q = torch.special.ndtri((torch.arange(2000).double() + 0.5) / 2000), 1.0
    for _ in range(50):
        q = sigma_w**2 * float((phi(z * q**0.5) ** 2).mean())
    return sigma_w * mean_square_slope(phi, q) ** 0.5
    ### END SOLUTION


settled_growth = check("04.3", settled_growth).function

# %% [markdown]
# Where is this growth exactly 1? That is called the **critical scale** of an activation: below it gradients vanish,
# above it they explode. For ReLU it is $\sqrt2$, because $\sigma_w^2/2 = 1$. For tanh it is 1, because there $q$ goes
# to 0, where the slope is 1. (These are the scales of He and of Xavier; why *they* chose them is lesson 05. How such a
# scale is computed is exercise 04.4, in Deeper.)

# %%
for name, phi in (("relu", torch.relu), ("tanh", torch.tanh)):
    around = [f"{settled_growth(phi, s):.2f}" for s in (0.8, 1.0, 2**0.5, 2.0)]
    print(name, "at 0.8, 1, root of 2 and 2:", *around)

# %% [markdown]
# ## 4 · Large weights
#
# Now make the weights too large. For ReLU the growth is $\sigma_w/\sqrt2$: twice the weights, twice the growth per
# layer. What of tanh?

# %%
doubles = "doubles, as that of ReLU does"
by_root = "rises by a factor of about 1.4"
hardly = "hardly changes"
predict(
    "04.c",
    "If a large sigma_w is doubled, tanh's growth per layer…",
    [doubles, by_root, hardly],
)

# %% [markdown]
# Ten networks for each of nine scales, 20 layers, width 128. Drawn is the growth of $\delta$ per layer, with the
# theory.

# %% tags=["experiment"]
# ReLU and tanh at nine scales, ten networks each
scales = [0.5, 1.0, 1.3, 2**0.5, 2.0, 4.0, 10.0, 16.0, 32.0]
at = {f"{scale:.3g}": k for k, scale in enumerate(scales)}


def total(phi, depth=20):  # delta in the first layer over the last: measured, predicted
    profile = gradient_profile(depth, 128, phi, scales, batch=8, dtype=torch.float64)
    foretold = [predicted_gradient_profile(phi, depth, scale)[0] for scale in scales]
    return profile.delta[..., 0] / profile.delta[..., -1], torch.stack(foretold)


def draw_growth(found, shades, title):
    _, ax = plt.subplots()
    pairs = {name: measured ** (1 / 19) for name, (measured, _) in found.items()}
    dotted = [foretold ** (1 / 19) for _, foretold in found.values()]
    plots.plot_against_theory(ax, scales, pairs, dotted, log="xy", colours=shades)
    ax.axhline(1, color=plots.REFERENCE, linewidth=0.8)
    plots.finish(ax, title, "sigma_w", "growth of delta per layer")
    return {name: rows.median(1).values for name, rows in pairs.items()}


crossed = {name: total(name) for name in ("relu", "tanh")}
title = "ReLU is the steeper line, tanh the higher one at small scales"
per_layer = draw_growth(crossed, plots.QUIET, title)

# %% tags=["reveal"]
# The prediction is settled
times = float(per_layer["tanh"][-1] / per_layer["tanh"][-2])  # from 16 to 32
reveal(
    "04.c",
    doubles if times > 1.7 else by_root if times > 1.2 else hardly,
    f"From 16 to 32 it is multiplied by {times:.1f}.",
    wrong={
        doubles: "So it is where the slopes stay as they are. A larger signal pushes "
        "tanh units to the flat ends, and fewer of them keep a slope.",
        by_root: "Saturation did not take half of what the weights gave.",
        hardly: "Its values are bounded, and so is the signal. But the gradient passes "
        "through the weights, and of those saturation takes back only a part.",
    },
)

# %% [markdown]
# (At 1 tanh lies somewhat below 1: that is its root law, over 20 layers. At the largest scale it lies below its theory,
# because 128 units are not endlessly many.)
#
# Why the root? Take $\sigma_w = 10$. Nearly every $\tanh$ is now $1$ or $-1$, so $E[\tanh^2] \approx 1$ and $q \approx
# 100$: the signal is spread with a standard deviation of 10. The slope is alive in a strip around 0 only. How much of
# the Gaussian lies there? At 0 its density is $0.4/10 = 0.04$, and across the narrow strip it hardly changes. So
#
# $$E[\varphi'(z)^2] \approx 0.04 \int \varphi'(z)^2\,dz = 0.04 \cdot \frac43 = 0.053$$
#
# The integral is $\frac43$ because with $t = \tanh z$ it becomes that of $1 - t^2$ from $-1$ to $1$, which is $2 -
# \frac23$. Then $\chi_1 = 100 \cdot 0.053 = 5.3$, and a gradient grows by $\sqrt{5.3} = 2.3$ per layer. At $\sigma_w =
# 20$ the strip is the same, but the density is halved, so $\chi_1 = 400 \cdot 0.027 = 10.6$ and the growth is $3.3$. In
# general $\chi_1 \approx 0.53\,\sigma_w$. The weights give two powers of $\sigma_w$, and saturation takes one of them
# back.

# %% tags=["drawing"]
# The drawing
fig, axes = plt.subplots(1, 2, figsize=(6.4, 2.8))
for ax, sigma, height in zip(axes, (5, 10), (1.0, 0.5)):
    plots.draw_slope_under_density(ax, torch.tanh, sigma, reach=18, height=height)
    plots.finish(ax, f"z has RMS {sigma}" + ": half the density" * (sigma == 10))

# %% [markdown]
# The explorer opens on tanh at $\sigma_w = 4$. On the left most of the signal, blue, lies where the slope, orange, is
# nearly 0. On the right the dot still stands above 1. Lower `sigma_w` until the dot reaches 1, and see where the signal
# lies then.

# %%
explorers.explore_activation()

# %% [markdown]
# ## Claim on trial: S4
#
# *ReLU has large derivatives and so amplifies gradients.* (Often said where explosions are explained.)
#
# **Our prediction.** Whether ReLU amplifies depends on the weights alone: over 20 layers more than tenfold at $\sigma_w
# = 2$ and $4$, not at $1$ and $\sqrt2$. tanh grows faster below a scale of about $1.5$, ReLU above. The reason given is
# wrong, because the largest slope of both is 1. In the control tanh has the larger slope: it stands against a leaky
# ReLU with both slopes halved, which has no bound. At $\sigma_w = 16$ tanh should lose.
#
# Of ten networks it is counted in how many the sentence is true.

# %% tags=["experiment"]
# The verdict on S4
relu, tanh = (found for found, _ in crossed.values())  # (scales, seeds)
halved, _ = total(lambda z: F.leaky_relu(z / 2, 0.1))
tenfold = ("1", "1.41", "2", "4")
true = {f"ReLU tenfold at sigma_w {s}": relu[at[s]] > 10 for s in tenfold}
true |= {f"ReLU above tanh at {s}": relu[at[s]] > tanh[at[s]] for s in ("1.3", "4")}
wins = "at 16 tanh above a leaky ReLU of half its slope"
true |= {wins: tanh[at["16"]] > halved[at["16"]]}
counts = {setting: int(found.sum()) for setting, found in true.items()}  # of 10
evidence = "No training; 20 layers of width 128, ten networks, in how many it is true: "
evidence += "; ".join(f"{s}, {count}" for s, count in counts.items()) + "."
verdict("S4", {setting: mostly(count) for setting, count in counts.items()}, evidence)

# %% [markdown]
# So badly scaled, large weights do explode sooner under ReLU. The cause is not a steep slope: it is that ReLU does not
# saturate. For ReLU slope and scale are one knob, because $\frac12\,\mathrm{relu}$ at $2\sigma_w$ is ReLU at
# $\sigma_w$. So no slope is too large by itself. What counts is its product with the scale, taken where the signal
# lies.

# %% [markdown]
# ## 5 · The sigmoid, and what biases do
#
# The slope of the sigmoid is $\frac14$ at 0, and smaller elsewhere. So at $\sigma_w = 1$ each layer keeps at most a
# quarter of a gradient's size, and after 20 layers next to nothing is left. Larger weights can make up for it. How much
# larger must they be?

# %%
at_4 = "about 4"
at_10 = "about 10"
at_30 = "about 30"
predict(
    "04.b",
    "The sigma_w at which sigmoids keep a gradient's size:",
    [at_4, at_10, at_30],
)

# %% [markdown]
# There is a way to see the sigmoid as something that we know:
#
# $$\mathrm{sigmoid}(z) = \tfrac12 + \tfrac12 \tanh\frac z2$$
#
# At $z = 2$, for instance, it is $0.88 = 0.5 + 0.5 \cdot 0.76$. So a sigmoid is a tanh stretched to twice the width and
# half the height, plus a half. What does that half do to the next layer?
#
# Take one unit with the four weights $2,\ 1,\ -3,\ 2$. From the four halves alone it receives $(2 + 1 - 3 + 2) \cdot
# \frac12 = 1$. It receives this 1 whatever the image is. So to the unit the half is a **bias**: a number of its own,
# which the input does not change.

# %% [markdown]
# How large is this bias? Weights of variance $\sigma_w^2/n$, $n$ of them, each times $\frac12$: its variance is
# $\sigma_w^2/4$. To compare it with tanh, halve $z$. Then the weights count $\sigma_w/4$ and the bias, too, has a
# standard deviation of $\sigma_w/4$. So a sigmoid network at $\sigma_w = 4$ *is* a tanh network at $\sigma_w = 1$ with
# random biases of size $\sigma_b = 1$. (All but its first layer, which sees the inputs as they are.)
#
# What do biases do? A bias adds its own variance to the signal. On the way back nothing passes through it, because it
# is not made of anything below:
#
# $$q_{\text{next}} = \sigma_w^2\;E[\varphi(z)^2] + \sigma_b^2, \qquad \chi_1 = \sigma_w^2\;E[\varphi'(z)^2]$$
#
# So a bias acts on $\chi_1$ through $q$ alone: it pushes units outwards. Here is your `settled_growth` with a bias. It
# uses `length_map` from the drawing in section 3, whose last argument is $\sigma_b$.


# %%
def settled_with(phi, sigma_w, sigma_b):
    q = 1.0
    for _ in range(50):
        q = length_map(phi, sigma_w, q, sigma_b)
    return sigma_w * mean_square_slope(phi, q) ** 0.5


# %% [markdown]
# Four biases, for tanh at two scales and for ReLU. No network is drawn.

# %% tags=["experiment"]
# The settled growth at four biases
sigma_bs = [0.0, 0.5, 1.0, 2.0]
cases = {"tanh at 1": (torch.tanh, 1.0), "tanh at 2": (torch.tanh, 2.0)}
cases |= {"ReLU at root of 2": (torch.relu, 2**0.5)}
grown = [[settled_with(*case, b) for b in sigma_bs] for case in cases.values()]
columns = [[f"{growth:.2f}" for growth in column] for column in zip(*grown)]
columns = {f"biases {b:g}": column for b, column in zip(sigma_bs, columns)}
table({"growth per layer": cases} | columns)
print(f"sigmoid at 4: {settled_growth(torch.sigmoid, 4.0):.2f}")

# %% [markdown]
# Biases calm a tanh network: at 1 it vanishes because of them, at 2 it explodes less. They do nothing to the growth of
# ReLU, because its slope does not depend on how far out a unit stands. And the sigmoid at 4 has just the growth of tanh
# at 1 with biases of 1, as it must.
#
# So the quarter was repaired and a bias came in. The control follows from this: take the half away. `sigmoid - 1/2` has
# the same slopes everywhere, and at a scale of 4 it is a tanh network at 1 without biases.


# %%
def centred(z):
    return torch.sigmoid(z) - 0.5


# %% [markdown]
# Ten networks for each of the nine scales again, of 20 layers: with the half and without it. The one without has tanh's
# colour, because that is what it is. At 4 it stays somewhat below 1, as tanh does at 1, by its root law.

# %% tags=["experiment"]
# The sigmoid with its half and without, ten networks each
two = {"sigmoid": total("sigmoid"), "sigmoid - 1/2": total(centred)}
title = "The same slopes, but the half calls for larger weights"
keeps = draw_growth(two, (colours["sigmoid"], colours["tanh"]), title)["sigmoid"]

# %% tags=["reveal"]
# The prediction is settled
kept_at = min([s for s, g in zip(scales, keeps) if g > 0.95], default=math.inf)
reveal(
    "04.b",
    at_4 if kept_at <= 4 else at_10 if kept_at <= 16 else at_30,
    f"At 4 it is {keeps[at['4']]:.2f} per layer, at 10 it is {keeps[at['10']]:.2f}. "
    f"Theory puts the critical scale at {critical_sigma_w('sigmoid'):.0f}.",
    wrong={
        at_4: "Four quarters are 1 only for a unit that stands at 0. The half of the "
        "sigmoid acts as a bias, and pushes the units away from there.",
        at_10: "No scale up to 16 kept the size.",
        at_30: "Larger weights push units to the flat ends. But as with tanh, "
        "saturation takes back only one of the two powers of the weights.",
    },
)

# %% [markdown]
# ## Claim on trial: W4
#
# *A sigmoid shrinks gradients to a quarter a layer at most, so a gain of 4 repairs it.* (The first half is often
# taught; the second is the question that students ask next.)
#
# **Our prediction.** The quarter is right at the usual scale: the factor is at most $\sigma_w/4$. The repair is not. At
# a gain of 4 some $0.63$ is kept per layer. A network of 3 layers can bear that, one of 20 cannot. As in lesson 03 a
# gradient counts as kept if its size in the first layer is within a factor of 10 of that in the last. The control has
# the same slopes and no half: there a gain of 4 should leave the root law of tanh, and no exponential. (Somewhat more
# is lost than by tanh at 1, because in tanh's terms these networks begin with $z$ twice as large.)

# %% tags=["experiment"]
# The verdict on W4
short, long = total("sigmoid", 3)[0], two["sigmoid"][0]  # (scales, seeds)
bare = two["sigmoid - 1/2"][0]
true = {f"the quarter, at sigma_w {s}": long[at[s]] ** (1 / 19) <= 0.25 for s in "12"}
true |= {"the gain of 4, 3 layers": short[at["4"]] > 0.1}
true |= {"the gain of 4, 20 layers": long[at["4"]] > 0.1}
found = {setting: mostly(int(networks.sum())) for setting, networks in true.items()}
medians = [1 / ratio[at["4"]].median() for ratio in (short, long, bare)]
kept_by = ", ".join(f"{keeps[at[s]]:.2f} at {s}" for s in ("1", "2", "4"))
over = f"{medians[0]:.1f} over 3 layers, by {medians[1]:.0e} over 20"
evidence = "No training; width 128, medians of ten. Kept of a gradient per layer, by "
evidence += f"sigma_w: {kept_by}. At 4 it is divided by {over}; without the half by "
evidence += f"{medians[2]:.1f} over 20."
verdict("W4", found, evidence)

# %% [markdown]
# The first half is right where it is taught, and its bound is really $\sigma_w/4$. The second half asks only how steep
# the slope can be, and not where the units stand.

# %% [markdown]
# ## 6 · A flat gradient is not enough
#
# At $\sigma_w = 10$ the sigmoid's gradient neither explodes nor vanishes. Does such a network learn? We count before we
# train. Networks of ten layers, ten seeds, see a hundred digits, and we look at the last hidden layer. How many units
# are *flat*, with a slope below a tenth of the largest? How many are flat for *every* image? And how much of $q$, the
# mean square of $z$, differs from image to image?

# %% tags=["experiment"]
# Ten layers on a hundred digits, nothing trained
data = digits()
seen = data.x_train[:100].double()


def by_layer(phi, scale, images):  # z in each of ten layers: (10 seeds, images, 128)
    generator, z, found = torch.Generator().manual_seed(0), images, []
    for k in range(10):
        h = phi(z) if k else z.expand(10, -1, -1)
        W = torch.randn(10, 128, h.shape[-1], generator=generator) / h.shape[-1] ** 0.5
        z = scale * h @ W.double().mT
        found.append(z)
    return found


def differing(z):  # the share of the mean square that differs from image to image
    return float((z - z.mean(1, keepdim=True)).square().mean() / z.square().mean())


looked_at = {f"sigmoid at {s:g}": (torch.sigmoid, s) for s in (1.0, 4.0, 10.0)}
looked_at |= {"sigmoid - 1/2 at 4": (centred, 4.0)}
counted = []
for case in looked_at.values():
    z = by_layer(*case, seen)[-1]
    flat = slopes(case[0], z)[0] < 0.025
    shares = flat.double().mean(), flat.all(1).double().mean()
    counted.append([*(f"{share:.2f}" for share in shares), f"{differing(z):.0e}"])
heads = ["flat", "flat for every image", "share of q that differs"]
table({"of the units of layer 10": looked_at} | dict(zip(heads, zip(*counted))))

# %% [markdown]
# Read the last column. At a scale of 1 hardly anything of $z$ differs from image to image, because a small difference
# on its way forwards meets the same weights and slopes as a gradient on its way back. So its square, too, is multiplied
# by $\chi_1$ in each layer. But at 10, $\chi_1$ is about 1, and still most of the difference is lost.
#
# Does $\chi_1$ rule differences of every size? We follow the share that differs from layer 2 on, where $q$ has settled,
# as a part of that in layer 2. In the second row all digits are first moved close to one of them, to a hundredth of
# their distance.

# %% tags=["experiment"]
# Large and small differences on their way through the layers
near = seen[:1] + 0.01 * (seen - seen[:1])
followed = {"sigmoid at 10": (torch.sigmoid, 10.0, seen)}
followed |= {"the same, small differences": (torch.sigmoid, 10.0, near)}
followed |= {"sigmoid - 1/2 at 4": (centred, 4.0, seen)}
parts = []
for case in followed.values():
    shares = [differing(z) for z in by_layer(*case)]
    parts.append([f"{shares[k - 1] / shares[1]:.2f}" for k in (2, 3, 5, 10)])
columns = {f"layer {k}": column for k, column in zip((2, 3, 5, 10), zip(*parts))}
table({"differs, as a part of layer 2": followed} | columns)

# %% [markdown]
# With the half the small differences stay, as $\chi_1 = 1$ says. The large ones are lost, because a slope speaks of
# small differences only. Take one unit. At $z = 1$ the sigmoid's slope is $0.20$. Two images that give it $1$ and $1.1$
# leave it with $0.731$ and $0.750$: the difference was multiplied by $0.19$, nearly the slope. Two others give it $1$
# and $9$. By the slope their outputs would differ by $0.20 \cdot 8 = 1.6$. They differ by $0.27$, because the curve
# ends at 1.

# %% tags=["drawing"]
# The drawing
fig, ax = plt.subplots(figsize=(6.4, 2.6))
axis, ends = torch.linspace(-3, 10, 261), torch.tensor([1.0, 9.0])
(curve,) = ax.plot(axis, axis.sigmoid(), color="black")
heights, steepness = ends.sigmoid(), slopes(torch.sigmoid, ends)[0][0]
promised = heights[0] + steepness * (ends - 1)
(tangent,) = ax.plot(ends, promised, "--", color=plots.REFERENCE)
ax.plot(ends, heights, "o", color=colours["sigmoid"])
plots.label_lines(ax, {curve: "sigmoid", tangent: "by the slope at 1"})
plots.finish(
    ax, "A large difference is cut, whatever the slope promised", "z", "output"
)

# %% [markdown]
# So each layer cuts large differences. Without the half that does no harm: all of $q$ is cut in nearly the same
# measure, and the *share* that differs stays.
#
# With the half it does harm, because something is added that is the same for every image. At $\sigma_w = 10$ the halves
# add $10^2/4 = 25$ to $q$ in each layer. The rest, $\sigma_w^2\,E[(\mathrm{sigmoid}(z) - \frac12)^2]$, can never exceed
# $25$, and is $19$ where $q$ settles, at $44$. So of two images that have nothing in common, only $19/44 = 0.43$ of $q$
# differs one layer later. The next layer cuts that and adds the 25 anew: $0.24$, then $0.15$. Each layer takes a
# smaller part, because for small differences $\chi_1 = 1$ is right.
#
# The same halves hold many units on one flat end for *every* image. Such a unit answers all digits alike.

# %% [markdown]
# Take the two whose gradient neither explodes nor vanishes, at 10 with the half and at 4 without. Now we train them,
# ten seeds each, with ten hidden layers of 24 units. Each optimizer has its rates swept, and is judged after 75 and
# after 150 steps. Counted is how many of ten read two thirds of the test digits, at the best rate.

# %% tags=["experiment"]
# Two arms, two optimizers, rates swept, two budgets
optimizers = {"SGD": {}, "AdamW": {"adam": True, "weight_decay": 0.01}}


def accuracies(phi, scales, name, lrs, at=(75, 150)):  # by scale: (budgets, rates, 10)
    scale, lr = grid(scales, lrs)  # one of each for every network, ten seeds
    generator, weights = torch.Generator().manual_seed(0), []
    for m, n in [(24, 64)] + [(24, 24)] * 9 + [(10, 24)]:
        draws = torch.randn(10, m, n, generator=generator).repeat(len(lr) // 10, 1, 1)
        weights.append(draws * scale.view(-1, 1, 1) / n**0.5)
    options = {"steps": at[-1], "at": at} | optimizers[name]
    runs = train_many(phi, weights, data, lr, **options)
    return runs.accuracy.view(len(at), len(scales), -1, 10).unbind(1)


def at_the_best(runs, bar):  # of each budget: how many of ten, at its best rate
    best = [accuracy[accuracy.median(1).values.argmax()] for accuracy in runs]
    return [int((accuracy > bar).sum()) for accuracy in best]


flats = {n: looked_at[n] for n in ("sigmoid at 10", "sigmoid - 1/2 at 4")}
columns = {}
for name, lrs in (("SGD", [0.03, 0.1, 0.3]), ("AdamW", [0.003, 0.01, 0.03])):
    runs = [accuracies(phi, [s], name, lrs)[0] for phi, s in flats.values()]
    counts = zip(*[at_the_best(accuracy, 2 / 3) for accuracy in runs])
    for steps, column in zip((75, 150), counts):
        columns[f"{name}, {steps} steps"] = plots.how_many(column)
table({"above two thirds": flats} | columns)

# %% [markdown]
# Most: eight or more of ten. Few: two or fewer. Some: in between.
#
# The half is what stood in the way. Without it the same slopes learn under both optimizers, and with it, at a gradient
# just as flat, they do not in this time. So a critical scale is needed in a deep network, and it is not enough: what
# arrives must also differ from input to input. Lesson 05 takes that up.
#
# What the table does not say: that sigmoids cannot be trained. In few layers, with more steps or with normalisation
# they can.

# %% [markdown]
# ## 7 · Activations without such a scale
#
# ReLU, tanh and the sigmoid each have one critical scale. GELU has none. From section 2: a small signal sees a mean
# squared slope of a quarter, a large one of one half. By hand, at $\sigma_w = 1.55$, where $\sigma_w^2 = 2.4$: a small
# signal has $\chi_1 = 2.4/4 = 0.6$, and $q$ shrinks by the same factor, so it becomes smaller still. A large one has
# $2.4/2 = 1.2$, grows, and stays large. Four starts, by the length map:

# %% tags=["drawing"]
# The drawing
fig, ax = plt.subplots()
paths = {}
for q in (0.1, 0.5, 1.0, 3.0):
    path = [q]
    for _ in range(40):
        path.append(length_map(F.gelu, 2.4**0.5, path[-1]))
    paths[f"from {q:g}"] = path
ends = (plots.VANISHES, plots.VANISHES, plots.EXPLODES, plots.EXPLODES)
shades = dict(zip(paths, ends))
plots.plot_history(ax, paths, ylabel="q", xlabel="layer", colours=shades)
plots.finish(ax, "GELU at one scale: the signal fades or explodes, by its start")

# %% [markdown]
# For ReLU any $q$ stays, and for tanh any $q$ settles at the same place. Here there is one $q$ in between that would
# stay, and every small deviation from it grows. So GELU has no stable critical scale, and `critical_sigma_w("gelu")`
# says so. The same goes for SiLU, whose slope rises from one half to 1 in the same way. Deep networks of them live on
# normalisation, which sets $q$ anew in each layer (lesson 08).

# %% [markdown]
# ## 8 · Saturated and dead
#
# A saturated unit has nearly no slope, and returns when its $z$ shrinks. A ReLU unit can lose its slope altogether. If
# $z$ is negative for *every* image, its output is 0 for every image, and so is its slope. Such a unit is **dead**.
#
# By hand: three images and two units, with the outputs $(0, 2)$, $(0, 0)$ and $(0, 1)$. The first unit is dead. The
# second answers to two images, so it is alive. One of two is dead, a fraction of $0.5$.
#
# ### Exercise 04.6 · ●○○ · 5 minutes
#
# Write `dead_fraction(h)`. `h` is (B, n): the outputs of a ReLU layer, one row an image. Return the fraction of its
# units that are 0 for all images, a float.


# %%
def dead_fraction(h):
    ### BEGIN SOLUTION
    return float((h == 0).all(0).float().mean())
    ### END SOLUTION


dead_fraction = check("04.6", dead_fraction).function

# %% [markdown]
# Long steps kill units, as Deeper shows: one long step can turn a unit's weights against every image. When the steps
# become small again, do the dead return?

# %%
stays, all_layers = "in no layer", "in every layer"
behind_the_first = "in the second and third layer only"
predict(
    "04.d",
    "With smaller steps, dead units return…",
    [stays, behind_the_first, all_layers],
)

# %% [markdown]
# Ten networks of three hidden layers with 32 units and biases, at ReLU's critical scale, on a hundred digits. In 20
# steps SGD kills units at a rate of 1. Then a hundred small steps follow, of SGD at `0.1` or of AdamW at `0.01`. Is any
# unit that was dead alive at the end?

# %% tags=["experiment"]
# Which of the dead units return, layer by layer
images, numbers, width = data.x_train[:100], data.y_train[:100], (64, 32, 32, 32, 10)


def start():  # four stacks of weights, then four of biases
    generator, shapes = torch.Generator().manual_seed(0), zip(width[1:], width)
    draws = [torch.randn(10, m, n, generator=generator) for m, n in shapes]
    weights = [(W * (2 / W.shape[-1]) ** 0.5).requires_grad_() for W in draws]
    return weights + [torch.zeros(10, 1, m, requires_grad=True) for m in width[1:]]


def dead_after(parameters, name, lr, steps, learn=8):  # by layer, seed and unit
    first, second = ([torch.zeros_like(p) for p in parameters] for _ in range(2))
    for step in range(1, steps + 2):
        h, dead = images, []
        for W, b in zip(parameters[:4], parameters[4:]):
            z = h @ W.mT + b
            h = z.relu()
            dead.append((h == 0).all(1))
        loss = -z.log_softmax(-1)[:, torch.arange(100), numbers].mean(1).sum()
        grads = torch.autograd.grad(loss, parameters) if step <= steps else ()
        with torch.no_grad():
            for p, g, m, v in list(zip(parameters, grads, first, second))[:learn]:
                if name == "AdamW":  # with the usual weight decay
                    m.lerp_(g, 0.1)
                    v.lerp_(g * g, 0.001)
                    size = (v / (1 - 0.999**step)).sqrt() + 1e-8
                    g = m / (1 - 0.9**step) / size + 0.01 * p
                p -= lr * g
    return torch.stack(dead[:-1])


returned = {}
for name, lr in (("SGD", 0.1), ("AdamW", 0.01)):
    parameters = start()
    killed = dead_after(parameters, "SGD", 1.0, 20)
    after = dead_after(parameters, name, lr, 100)
    returned[name] = (killed & ~after).sum((1, 2)).tolist()  # by layer
share = ["yes" if s > 0.1 else "no" for s in killed.float().mean((1, 2))]
words = {n: ["yes" if c else "no" for c in r] for n, r in returned.items()}
columns = {f"any returns, {n}": column for n, column in words.items()}
table({"layer": [1, 2, 3], "more than a tenth dead": share} | columns)

# %% tags=["reveal"]
# The prediction is settled
first, *later = zip(*returned.values())
reveal(
    "04.d",
    all_layers if any(first) else behind_the_first if all(map(any, later)) else stays,
    "In the first layer the inputs of a unit are the images, and these do not move.",
    wrong={
        stays: "Its own weights do not move, but what it receives does. The layers "
        "below still learn, and can bring its z above 0 for some image.",
        behind_the_first: "The table says otherwise.",
        all_layers: "In the first layer nothing moves: neither the weights of a dead "
        "unit, which get no gradient, nor its inputs, which are the images.",
    },
)

# %% [markdown]
# A dead unit gets no gradient, so its own weights stay as they are. But its *inputs* may change. In the first layer
# they are the images, so there a dead unit stays dead. Behind it the layers below go on learning, and some units
# returned under either optimizer. Within these hundred steps most did not. A *leaky* ReLU, which keeps a small slope
# for negative $z$, has no dead units by construction.
#
# ## On a real run
#
# - Choose the scale with the activation: `sigma_w` is $\sqrt2$ for ReLU and 1 for tanh. Change one, change both.
# - Print for each layer the share of saturated or dead units on one batch. (`Recorder` keeps `dead_fraction` and
#   `saturated_fraction`.)
# - Count also what is saturated for *every* input: such a unit tells nothing apart.
# - GELU and SiLU have no scale of their own, so do not stack them deep without normalisation.
# - Dead units after a spike of the loss: in the first layer they stay dead, deeper ones return in part. Lower the rate,
#   and go back to a checkpoint from before the spike.

# %% [markdown]
# ## Summary
#
# 1. A layer multiplies the squared gradient by $\sigma_w^2$ times the mean squared slope, taken where the signal lies:
#    over a Gaussian of mean square $q$.
# 2. The length map takes $q$ from layer to layer; it settles for tanh, and at $\sigma_w = 1$ it creeps to 0 as
#    $1/(2l)$, which costs a gradient $1/\sqrt L$ and not an exponential.
# 3. ReLU's mean squared slope is always one half, so its growth is linear in $\sigma_w$; tanh saturates, so its growth
#    goes as the root, and each crosses 1 at one scale, its critical one.
# 4. A bias acts on $\chi_1$ through $q$ alone, and it is the same for every input. The sigmoid's half is one. It moves
#    the critical scale from 4 to 10, and there inputs become alike: $\chi_1 = 1$ keeps small differences, and each
#    layer cuts the large ones.
# 5. GELU has no such scale, and a ReLU unit that is 0 for every input gets no gradient, though behind the first layer
#    it may return.

# %% [markdown]
# ## Deeper
#
# Six parts, each on its own.
#
# ### A · Where two curves cross
#
# Where is the growth of an activation 1, and where do tanh and ReLU grow alike? Both ask where two curves cross. Halve
# the interval: at its middle, which curve is above? If it is the one that is above at the left end, the crossing lies
# in the right half. By hand, for $x^2$ and $4$ between 0 and 10: at 0 the square is below, and at 5 it is above, so go
# on between 0 and 5. At $2.5$ it is above again, so go on between 0 and $2.5$. Each halving adds a binary digit.
#
# #### Exercise 04.4 · ●●○ · 8 minutes
#
# Write `crossing(f, g, low, high)`. `f` and `g` take a float and return one. At `low` one of them is above, at `high`
# the other. Return the float in between at which they are equal, right to four digits: 20 halvings will do.


# %%
def crossing(f, g, low, high):
    ### BEGIN SOLUTION
    first = f(low) > g(low)
    for _ in range(20):
        middle = (low + high) / 2
        if (f(middle) > g(middle)) == first:
            low = middle
        else:
            high = middle
    return (low + high) / 2
    ### END SOLUTION


crossing = check("04.4", crossing).function

# %% [markdown]
# Yours come from 50 layers; `critical_sigma_w` solves for endless depth. The fourth activation is the error function, a
# close relative of tanh. Below it, the scale at which ReLU overtakes tanh.

# %% tags=["experiment"]
# Critical scales by bisection, and the crossing of ReLU and tanh
solved = {n: activations[n] for n in ("relu", "tanh", "sigmoid")} | {"erf": torch.erf}
yours = [
    crossing(lambda s, phi=phi: settled_growth(phi, s), lambda s: 1.0, 0.5, 20.0)
    for phi in solved.values()
]
exact = [critical_sigma_w(name) for name in solved]
columns = {"yours, 50 layers": yours, "endless depth": exact}
table(
    {"critical scale": solved}
    | {n: [f"{v:.1f}" for v in c] for n, c in columns.items()}
)
by_name = {n: lambda s, phi=solved[n]: settled_growth(phi, s) for n in ("relu", "tanh")}
print(f"equal at {crossing(by_name['relu'], by_name['tanh'], 1.2, 4.0):.2f}")

# %% [markdown]
# The sigmoid asks for ten times Xavier's scale. And each activation at its own critical scale, over 50 layers: ReLU and
# the sigmoid stay near 1, tanh follows its root law.

# %% tags=["experiment"]
# Three activations, each at its critical scale
critical = dict(zip(solved, exact))
sizes, foretold = profiles({n: critical[n] for n in ("relu", "tanh", "sigmoid")}, 50)
fig, ax = plt.subplots()
plots.plot_depth_profile(ax, sizes, foretold, colours=colours)
plots.finish(ax, "Each at its critical scale: no exponential is left")

# %% [markdown]
# ### B · Design your own
#
# #### Exercise 04.5 · ●●○ · 8 minutes
#
# Design your own. Write `steady(z)`: elementwise, not a straight line, and such that in random networks at `sigma_w =
# 3` the gradient crosses 30 layers within a factor of 10. There are many right answers. The check builds networks with
# yours, on inputs of RMS 1 and of RMS `0.2`, and measures. (GELU, rescaled, fails for the small ones.)
#
# A number to begin with: $\sigma_w^2 = 9$, so the mean squared slope must be about $1/9$.


# %%
def steady(z):
    ### BEGIN SOLUTION
    return torch.relu(z) * math.sqrt(2) / 3
    ### END SOLUTION


steady = check("04.5", steady).function

# %% [markdown]
# ### C · What a matched scale is worth to ReLU
#
# Ten ReLU layers of 24 units at the critical scale, and at Xavier's, where ten layers divide a gradient by
# $\sqrt2^{\,9} = 23$. Beside them stand two sigmoids below their critical scale: at 4, and at 1, where ten layers
# divide a gradient by more than $4^9$. Ten seeds, SGD with momentum and AdamW, two to four rates, judged after 100 and
# after 200 steps.

# %% tags=["experiment"]
# Four arms with SGD and momentum
pairs = {"ReLU": (torch.relu, [2**0.5, 1.0]), "sigmoid": (torch.sigmoid, [4.0, 1.0])}
rates = {("SGD", "ReLU"): [0.003, 0.01, 0.03, 0.1], ("SGD", "sigmoid"): [0.01, 0.1]}
rates |= {("AdamW", "ReLU"): [0.001, 0.003, 0.01], ("AdamW", "sigmoid"): [0.003, 0.01]}


def four_arms(optimizer):
    found = {}
    for name, (phi, scales) in pairs.items():
        arms = accuracies(phi, scales, optimizer, rates[optimizer, name], (100, 200))
        found |= {f"{name} at {s:.3g}": arm for s, arm in zip(scales, arms)}
    return found


trained = {"SGD": four_arms("SGD")}

# %% tags=["experiment"]
# The same arms with AdamW, and those of ReLU drawn
trained["AdamW"] = four_arms("AdamW")
_, axes = plt.subplots(1, 2, sharey=True)
for ax, (name, runs) in zip(axes, trained.items()):
    lrs, shades = rates[name, "ReLU"], (colours["relu"], plots.VANISHES)
    late = {arm: runs[arm][1] for arm in ("ReLU at 1.41", "ReLU at 1")}
    plots.plot_against_theory(ax, lrs, late, log="x", rough=True, colours=shades)
    title = {"SGD": "SGD: the scale decides", "AdamW": "AdamW: both learn"}[name]
    plots.finish(ax, title, "learning rate", "accuracy after 200 steps")
    ax.set_xticks(lrs, lrs)
    ax.minorticks_off()

# %% [markdown]
# How many of ten ReLU networks learn, at their best rate? That is, read four tenths of the digits after 100 steps, or
# half of them after 200. And how many sigmoid networks are better than guessing, with a quarter of them after 200?

# %% tags=["experiment"]
# The counts in words
learn, better = {}, {}
for name, runs in trained.items():
    for k, (steps, bar) in enumerate(((100, 0.4), (200, 0.5))):
        counts = [
            at_the_best(runs[arm], bar)[k] for arm in ("ReLU at 1.41", "ReLU at 1")
        ]
        learn[f"{name}, {steps} steps"] = plots.how_many(counts)
    counts = [at_the_best(runs[f"sigmoid at {s}"], 0.25)[1] for s in (4, 1)]
    better[f"{name}, 200 steps"] = plots.how_many(counts)
table({"learn": ["ReLU at root of 2", "ReLU at 1"]} | learn)
table({"better than guessing": ["sigmoid at 4", "sigmoid at 1"]} | better)

# %% [markdown]
# Most: eight or more of ten. Few: two or fewer. Some: in between.
#
# Under SGD the matched scale makes the difference to ReLU, because all layers share one rate and the first ones get the
# smallest gradients. AdamW divides each gradient by its own size, and under it both scales learn. So "ReLU gains most
# from a matched scale" is a sentence about SGD.
#
# The sigmoid is another matter. At 1 it stays at guessing, under both. Adam can enlarge a small gradient. But look at
# the first row of the table in section 6: by layer 10 nearly nothing is left of the difference between two images, and
# no optimizer can learn from what is not there. At 4 a little more is left, and AdamW makes something of it, without a
# flat gradient.

# %% [markdown]
# ### D · Claim on trial: S7
#
# *Sigmoid and tanh keep gradients in a manageable range.* (Often taught, because their values are bounded.)
#
# **Our prediction.** Bounded values do not bound gradients; the scale decides. Over 20 layers a gradient stays within a
# factor of 10 with tanh at $\sigma_w = 1$ and with the sigmoid at $10$. It vanishes with the sigmoid at $1$ and at $4$,
# and it explodes with tanh from $4$ on and with the sigmoid at $32$. Counted is in how many of ten networks the factor
# lies within 10 either way.

# %% tags=["experiment"]
# The verdict on S7
powers = {
    f"{name} at sigma_w {scale}": ratio[at[scale]].log10()  # (seeds,)
    for name, ratio in (("tanh", tanh), ("sigmoid", long))
    for scale in ("1", "4", "10", "32")
}
found = {setting: mostly(int((p.abs() <= 1).sum())) for setting, p in powers.items()}
evidence = "No training; 20 layers of width 128, ten networks. First layer over last, "
evidence += "medians, as powers of ten: "
evidence += "; ".join(f"{setting}, {p.median():.1f}" for setting, p in powers.items())
verdict("S7", found, evidence + ".")

# %% [markdown]
# So each of them has a scale at which the claim is true, and it is the critical one or near it. What keeps the range is
# $\chi_1 \approx 1$, and not the bound on the values. This holds for 20 layers. By the root law a tanh network of two
# hundred layers at a scale of 1 leaves the range too.

# %% [markdown]
# ### E · What kills units
#
# Units die by long steps, and one may suspect the biases. So we take 20 steps at a small rate and at a far too large
# one, each twice: with biases that learn, and with biases frozen at 0. Are more than a third of a layer's units dead
# afterwards?

# %% tags=["experiment"]
# Dead units by layer: biases that learn, and frozen ones
harmed = {"SGD": (0.3, 2.0), "AdamW": (0.01, 0.1)}
found = {}
for name, lr in [(name, lr) for name, lrs in harmed.items() for lr in lrs]:
    for label, learn in (("biases learn", 8), ("frozen", 4)):
        dead = dead_after(start(), name, lr, 20, learn).float().mean((1, 2))
        found[f"{name} at {lr:g}, {label}"] = [
            "yes" if s > 1 / 3 else "no" for s in dead
        ]
columns = {f"layer {k}": column for k, column in zip((1, 2, 3), zip(*found.values()))}
table({"more than a third dead": found} | columns)

# %% [markdown]
# The rate decides and not the biases. A long step turns the weights of a unit against the images that it answered to.

# %% [markdown]
# ### F · A paper in small: Glorot and Bengio, 2010
#
# They asked why deep tanh networks trained badly with the standard weights of the day, uniform with variance
# $\frac{1}{3n}$, and proposed a normalised scale, which between equal layers is $\frac1n$. Their argument is for the
# linear part of tanh, where every slope is 1. From layer five to layer one that gives a factor of $3^{-2}$ with the
# standard weights, and exactly 1 with the normalised ones.
#
# Reduced here: 384 units instead of 1000, Gaussian weights, random inputs of mean square 1.

# %% tags=["experiment"]
# Five tanh layers with the old weights and the new
linear = {"standard": 3**-2.0, "normalised": 1.0}
roots = [3**-0.5, 1.0]
delta = gradient_profile(5, 384, "tanh", roots, batch=8).delta  # (scales, seeds, 5)
ratios = (delta[..., 0] / delta[..., -1]).median(1).values
with_slopes = [predicted_gradient_profile("tanh", 5, scale)[0] for scale in roots]
columns = {"measured": ratios, "linear theory": linear.values()}
columns |= {"with slopes": with_slopes}
heads = {"first over last layer": linear}
table(heads | {n: [f"{float(v):.2f}" for v in c] for n, c in columns.items()})

# %% [markdown]
# They were right about which scale is better. For that better one the linear theory is wrong by more than a factor of
# two, because at inputs of this size tanh is no longer linear. With the mean squared slope in it, and nothing fitted,
# theory and measurement agree.

# %% [markdown]
# ## Further reading
#
# - X. Glorot, Y. Bengio, [Understanding the difficulty of training deep feedforward neural
#   networks](https://proceedings.mlr.press/v9/glorot10a.html) (2010): saturation watched during training.
# - B. Poole et al., [Exponential expressivity in deep neural networks through transient
#   chaos](https://arxiv.org/abs/1606.05340) (2016): the length map and $\chi_1$.
# - G. Klambauer et al., [Self-normalizing neural networks](https://arxiv.org/abs/1706.02515) (2017): an activation
#   designed for a scale.
#
# [The solution of this lesson](../solutions/04_activations.ipynb) · [Back to the start](00_start_here.ipynb)
