# %% [markdown]
# # 07 · Learning-rate schedules
#
# **How large may a step be, and what is gained by changing it on the way?**
#
# After this lesson you can
# - measure the sharpness of a loss, and say which ceiling a rate puts on it,
# - tell when a warmup helps, and what a decay buys,
# - find a rate with a range test.
#
# Core: about 70 minutes. Deeper: another 35 minutes. It runs in 15 seconds. Needs: [lesson 06](06_clipping.ipynb).
# Next: [lesson 08](08_residual_and_normalization.ipynb).

# %%
import math
from functools import partial
from itertools import pairwise

import matplotlib.pyplot as plt
import torch
from torch.nn import functional as F

from gradutils import explorers, plots
from gradutils.attention import transformer_scores, transformer_stacks
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
from gradutils.curvature import follow_sharpness
from gradutils.data import digits
from gradutils.models import weight_stacks
from gradutils.training import grid, train_stacks

plots.use_style()

# %% [markdown]
# ## Before you start

# %%
recall("07")

# %% [markdown]
# ## Predict
#
# In lesson 01 a valley had one curvature, and descent diverged as soon as the rate passed 2 over it. A network has as
# many curvatures as directions. The largest of them is called the **sharpness** of the loss, because it is the one that
# limits the rate. It changes in training, since the weights move.
#
# We train small tanh networks with a squared error on 150 digits, all of them in every step (full batch). The rate is
# `0.3`, and so the limit for the sharpness is $2/0.3 = 6.7$. Before training the sharpness is somewhat below that.

# %%
below = "stays below the limit"
rises = "rises to the limit, and stays there"
breaks = "rises past the limit, and the run diverges"
predict("07.a", "In training the sharpness…", [below, rises, breaks])

# %% [markdown]
# ## 1 · The ceiling on the sharpness
#
# One step of descent in a valley of curvature $c$ multiplies the distance $x$ from the minimum by $1 - \text{lr} \cdot
# c$, because the derivative there is $c\,x$. Take the rate $0.3$ and three curvatures:
#
# - $c = 5$: the factor is $1 - 1.5 = -0.5$. The step crosses the minimum and lands half as far away.
# - $c = 6.7$: the factor is $1 - 2 = -1$. It lands on the other side, as far away as before.
# - $c = 8$: the factor is $1 - 2.4 = -1.4$. It overshoots, and each step lands further out than the last one.

# %% tags=["drawing"]
# The drawing
fig, axes = plt.subplots(1, 2, sharey=True, figsize=(6.4, 2.4))
for ax, bend in zip(axes, (5.0, 8.0)):
    valley = lambda x, c=bend: c * x**2 / 2
    plots.draw_step(ax, valley, -1.0, 0.3, low=-1.8, high=1.8)
    plots.finish(ax, f"Curvature {bend:g}, rate 0.3")

# %% [markdown]
# Lesson 01 read this as a limit on the rate, because the curvature of a valley is given. In a network it is the other
# way round: we choose the rate, and training wanders through places of different curvature. So a rate has a **ceiling
# on the sharpness**:
#
# $$\text{ceiling} = \frac{2}{\text{lr}}$$
#
# With a sharpness below it a step lands nearer to the minimum along every direction that curves upwards. Above it the
# step overshoots along one direction at least. What happens then is the question of section 2. First we need a way to
# measure the sharpness.
#
# **A curvature by hand.** For the quadratic loss $\frac12\, w \cdot Hw$ with $H = \begin{pmatrix} 4 & 1 \\ 1 & 2
# \end{pmatrix}$ take the direction $v = (1, 1)$. Then $Hv = (5, 3)$ and $v \cdot Hv = 8$. Twice as long a $v$ would
# give four times as much, so we divide by $v \cdot v = 2$. The curvature along $v$ is $4$. Along $(1, -1)$ it is $2$,
# and the largest over all directions is $4.4$: the largest eigenvalue of $H$.

# %% [markdown]
# In a network $H$, the **Hessian**, would have a row and a column per weight, far too many to build. But $Hv$ can be
# had without it. $H$ is the derivative of the gradient, so $Hv$ says how the gradient changes along $v$. Form the
# number $g \cdot v$ from the gradient $g$, hold $v$ fixed, and differentiate once more.

# %% tags=["drawing"]
# The drawing
fig, ax = plt.subplots(figsize=(6.4, 1.3))
boxes = ["w", "g", "g @ v", "Hv"]
plots.draw_chain(ax, boxes, ["gradient of L", "times v, summed", "gradient again"])
plots.finish(ax, "A product with the Hessian: two gradients, and no matrix")

# %% [markdown]
# ### Exercise 07.1 · ●●○ · 8 minutes
#
# Write `curvature_along(loss_of, w, v)`. `loss_of` takes a (n,) tensor and returns a 0-d one; `w` and `v` are (n,).
# Return the curvature at `w` along `v`, a number:
#
# $$\frac{v \cdot Hv}{v \cdot v}$$
#
# The first gradient must keep its own graph, or it could not be differentiated again: `create_graph=True`. (Whether `w`
# had requested gradients before is not known, so take a copy that does.)


# %%
def curvature_along(loss_of, w, v):
    ### BEGIN SOLUTION
    w = w.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss_of(w), w, create_graph=True)
    (Hv,) = torch.autograd.grad(gradient @ v, w)
    return float(v @ Hv / (v @ v))
    ### END SOLUTION


curvature_along = check("07.1", curvature_along).function

# %% [markdown]
# The sharpness is the largest value that this takes over all `v`. The power iteration of lesson 01 finds it: multiply
# `v` by $H$ again and again, and it turns to the direction of the largest curvature in size, in training the sharpest.
# From here on `follow_sharpness` does so every few steps while many networks train at once.
#
# ### Exercise 07.2 · ●○○ · 4 minutes
#
# An old limit in new clothes. With a sharpness of $10$ plain descent may take a rate of $2/10 = 0.2$. Heavy ball with
# $\beta = 0.9$ bears almost twice as much, $2 \cdot 1.9/10 = 0.38$ (lesson 01).
#
# Write `largest_stable_lr(sharpness, beta)`, two numbers: the rate above which heavy ball diverges on a quadratic. A
# network can also stand where nothing curves upwards, with a sharpness of 0 or below. There no step overshoots: return
# `math.inf`.


# %%
def largest_stable_lr(sharpness, beta):
    ### BEGIN SOLUTION
    return 2 * (1 + beta) / sharpness if sharpness > 0 else math.inf
    ### END SOLUTION


largest_stable_lr = check("07.2", largest_stable_lr).function

# %% [markdown]
# ## 2 · Above the ceiling
#
# On a quadratic a step that overshoots overshoots for ever, because the curvature is the same everywhere. Here is the
# smallest loss of which that is not true, since its curvature is itself a weight:
#
# $$L(a, x) = \tfrac12\, a\, x^2$$
#
# The curvature along $x$ is $a$. The derivative with respect to $x$ is $a\,x$, and with respect to $a$ it is $\frac12
# x^2$. That is never negative, so descent can only *lower* $a$, and the further $x$ swings, the faster.
#
# Let the rate be $0.5$, so the ceiling is $4$, and begin above it at $a = 5$, $x = 0.5$. The first step multiplies $x$
# by $1 - 0.5 \cdot 5 = -1.5$, so $x = -0.75$. It lowers $a$ by $0.5 \cdot \frac12 \cdot 0.25 = 0.06$, to $4.94$. The
# code goes on from there.

# %%
a, x, path = 5.0, 0.5, []
for _ in range(12):
    path.append((a, x))
    a, x = a - 0.5 * x**2 / 2, x - 0.5 * a * x
columns = [[f"{value:.2f}" for value in column] for column in zip(*path)]
table({"step": range(12), "curvature a": columns[0], "x": columns[1]})

# %% tags=["drawing"]
# The drawing
fig, axes = plt.subplots(1, 2, figsize=(6.4, 2.4))
for ax, values in zip(axes, zip(*path)):
    plots.plot_against_theory(ax, range(12), {"": values}, colours=[plots.STABLE])
axes[0].axhline(4, **plots.THEORY)
plots.finish(axes[0], "a (dotted: the ceiling)", "step", "curvature along x")
plots.finish(axes[1], "x swings, and calms down", "step", "x")

# %% [markdown]
# Read it in three parts.
#
# 1. Above the ceiling $x$ swings wider in every step, because its factor is below $-1$.
# 2. The wide swings push $a$ down, because the derivative with respect to $a$ is $\frac12 x^2$.
# 3. Once $a$ is below the ceiling the swings shrink, and the push dies with them. Until then it carries $a$ on, here to
#    half the ceiling.
#
# The push saves only from swings that are not too long. Begin at $x = 2$: $x$ goes on to $-3$ and $3$, and $a$ to $4$,
# $1.75$ and $-0.5$. A long swing carries $a$ below 0. There the valley has become a hill, and $x$ runs off.

# %% [markdown]
# A network does the same. It bounces along its sharpest direction, by $x$ to either side. On average that adds $\frac12
# x^2$ times the sharpness to its loss. So the gradient has a part that lowers the sharpness, and it grows with the
# square of the swing (Damian et al. 2022 call this self-stabilisation). The ceiling is no wall, then, but a line above
# which something pushes back.
#
# Below it the swings die, and the push with them. In most networks the sharpness then rises. That is observed, and
# there is no simple reason known for it. Together the two make a prediction: the sharpness should rise to the ceiling,
# and stay.

# %% [markdown]
# ### A paper in small: the edge of stability
#
# J. Cohen et al. (2021) trained networks with full-batch descent and saw the sharpness rise until it hovers "right at,
# or just above" 2 over the rate. We reduce it to two hidden layers of 16 units, 150 digits and ten seeds. In one arm
# the rate is constant. In the other it is raised at step 200, which lowers the ceiling, and lowered again at step 300.
#
# Two functions serve the whole lesson: `scores_of` runs many networks at once, and `unflat` makes their matrices from
# rows of numbers, because `follow_sharpness` takes a network as one row.


# %%
def scores_of(phi, weights, x):
    for W in weights[:-1]:
        x = phi(x @ W.mT)
    return x @ weights[-1].mT


def unflat(w, sizes):
    parts = w.split([m * n for n, m in pairwise(sizes)], 1)
    return [part.unflatten(1, (m, n)) for part, (n, m) in zip(parts, pairwise(sizes))]


# %% [markdown]
# The sharpness is measured in every tenth of 400 steps.

# %% tags=["experiment"]
# The sharpness in training, two arms of ten networks
data, small, edge_steps = digits(), [64, 16, 16, 10], range(0, 400, 10)
x_few, hot = data.x_train[:150], F.one_hot(data.y_train[:150], 10).float()
xavier = torch.cat([W.flatten(1) for W in weight_stacks(small)], 1)  # (seeds, weights)


def squared(phi, w):
    error = scores_of(phi, unflat(w, small), x_few) - hot
    return error.square().sum(-1).mean(-1) / 2


def entropy(phi, w, sizes=small):
    scores = scores_of(phi, unflat(w, sizes), x_few)
    logs = scores.mT.log_softmax(1)  # along a last axis so short it takes longer
    return -logs[:, hot.T.bool()].mean(1)


def edge_rates(k):
    return torch.tensor([0.3, 0.45 if 200 <= k < 300 else 0.3])


begin = torch.cat([xavier[:, :-160], 0.3 * xavier[:, -160:]], 1)  # not too sharp
now = lambda k: edge_rates(k).repeat_interleave(10)
_, edge = follow_sharpness(partial(squared, torch.tanh), begin.repeat(2, 1), now, 400)
edge = edge.view(40, 2, 10)
ceilings = 2 / torch.stack([edge_rates(k) for k in edge_steps])  # (records, arms)
fig, axes = plt.subplots(1, 2, sharey=True)
titles = ("It rises to the ceiling (dotted)", "Move the ceiling, and it follows")
for ax, seen, ceiling, title in zip(axes, edge.unbind(1), ceilings.T, titles):
    options = {"marker": "", "rough": True}
    plots.plot_against_theory(ax, edge_steps, {"": seen}, [ceiling], **options)
    plots.finish(ax, title, "step", "sharpness")

# %% tags=["reveal"]
# The prediction is settled
late = float((edge[-15:, 0] / ceilings[-1, 0]).median())
reveal(
    "07.a",
    rises if 0.9 < late < 1.1 else below if late < 1 else breaks,
    f"The median ends at {late:.2f} of the limit.",
    wrong={
        below: "Nothing holds the sharpness down there. It drifts upwards, and only at "
        "the limit does something push back.",
        rises: "The sharpness ended far from its limit.",
        breaks: "So it would be on a quadratic, whose curvature is always the same. "
        "Here the bouncing itself leads to flatter places.",
    },
)

# %% [markdown]
# The median rises to the ceiling and stays within a few per cent of it. A single network may stand above it for a
# while, because its swing begins tiny and takes many steps to grow. Raise the rate, and the ceiling falls: the
# sharpness stands above it, and within a few records it is pushed down to the new one. Lower the rate, and the ceiling
# rises away. The sharpness follows only slowly, because little loss is left to drive it.
#
# At the ceiling the loss rises now and then, and falls all the same. Look at it in the explorer. For which rates does
# the sharpness begin above its ceiling, and do they diverge?
#
# <details><summary>The answer</summary>
#
# Divide 2 by the sharpness at step 0. Above that rate, so from `0.4` on, it begins above. None diverges: the sharpness
# is pushed down, and later stands at the ceiling as for the others.
#
# </details>

# %%
explorers.explore_edge()

# %% [markdown]
# What this does *not* say:
#
# - It is full-batch descent and a squared error. With cross-entropy the loss turns flat once the digits are learnt, and
#   the sharpness falls below its ceiling (section 3 shows it).
# - Adam has such a ceiling too, but on another quantity: the sharpness after every direction was divided by Adam's own
#   scale for it. For $\beta_1 = 0.9$ it lies at about $38/\text{lr}$ (Cohen et al. 2022). It is not tried here.

# %% [markdown]
# ## Claim on trial: W10
#
# *A learning rate above 2/sharpness diverges.* It is true on a quadratic (lesson 01), and often carried over to
# networks.
#
# **Our prediction.** Just above the limit no network diverges, because it lands where it is flatter. Far above it that
# is no longer sure: the first leaps may be too long, as those from $x = 2$ were.
#
# Two activations and two losses make four kinds of network, ten of each. Each starts at its own limit times `1.5`, and
# once more at 12 times its limit, and takes 100 full-batch steps. A run diverges if its loss is higher in the end than
# at the start, or not finite. The control is a quadratic of 20 dimensions at `1.5` times its limit.

# %% tags=["experiment"]
# Four kinds of network and a quadratic, started above their limit
he_scale = torch.cat([2**0.5 * xavier[:, :-160], xavier[:, -160:]], 1)
draws = torch.randn(10, 20, 21, generator=torch.Generator().manual_seed(0))
bowls = draws[..., :20] @ draws[..., :20].mT / 20  # (seeds, 20, 20)


def bowl(w):
    many = bowls.repeat(len(w) // 10, 1, 1)
    return (w.unsqueeze(1) @ many @ w.unsqueeze(2)).flatten() / 2


def diverging(loss_of, w):  # how many of ten, just above the limit and far above
    first, start = follow_sharpness(loss_of, w, 0.0, 1)
    lr, w = 2 * torch.cat([1.5 / start[0], 12 / start[0]]), w.repeat(2, 1)
    for _ in range(100):
        w = w.detach().requires_grad_()
        loss = loss_of(w)
        w = w - lr[:, None] * torch.autograd.grad(loss.sum(), w)[0]
    return (~(loss.view(2, 10) < first)).sum(1).tolist()


kinds = {
    "tanh, squared error": (partial(squared, torch.tanh), xavier),
    "tanh, cross-entropy": (partial(entropy, torch.tanh), xavier),
    "ReLU, squared error": (partial(squared, torch.relu), he_scale),
    "ReLU, cross-entropy": (partial(entropy, torch.relu), he_scale),
}
near, far = zip(*(diverging(*pair) for pair in kinds.values()))
on_bowls, _ = diverging(bowl, draws[..., 20])
columns = {"diverge at 1.5 times": near, "diverge at 12 times": far}
table({"of ten networks": kinds} | columns)

# %% tags=["experiment"]
# The verdict on W10
found = {"a quadratic, 1.5 times the limit": mostly(on_bowls)}
for times, counts in ((1.5, near), (12, far)):
    for k, phi in ((0, "tanh"), (2, "ReLU")):  # either with both losses
        name, both = f"{phi} networks, {times} times", sum(counts[k : k + 2])
        found[name] = mostly(both, of=20)
usual = [name for name in found if name.endswith("1.5 times")]
evidence = "Full-batch gradient descent, 100 steps, two layers of 16, 150 digits. At "
evidence += f"1.5 times the limit at most {max(near)} of ten networks of a kind "
evidence += f"diverge, and {on_bowls} of ten quadratics."
verdict("W10", found, evidence, usual)

# %% [markdown]
# At 12 times the limit the tanh networks are thrown for good. The ReLU networks do not diverge, but that is no success.
# The first leaps leave units that are 0 for every image: nearly all with cross-entropy, many with the squared error.
# Such a unit passes no gradient, so what is left cannot leap again, and the loss ends near that of guessing. A check
# for NaN would see nothing. (Deeper B has a model in which both edges, of the leap and of divergence, are exact.)

# %% [markdown]
# ## 3 · Warmup
#
# A network can be far sharper at its start than later on. Then a rate that would be right for the rest of the run is
# above the limit in the first steps. **Warmup** means to begin with a small rate and to raise it in a straight line. At
# a peak rate of $0.1$ and a warmup of 40 steps the first step has the rate $0.1/40 = 0.0025$, so its ceiling is $800$.
# The 20th has the rate $0.05$ and the ceiling $40$; for the 40th it is $20$.

# %% tags=["drawing"]
# The drawing
fig, axes = plt.subplots(1, 2, sharey=True, figsize=(6.4, 2.4))
ramp = [0.1 * min(1.0, (k + 1) / 40) for k in range(72)]
titles = ("Warmup: it comes down", "No warmup: low at once")
for ax, drawn_rates, title in zip(axes, (ramp, [0.1] * 72), titles):
    plots.draw_ceiling(ax, drawn_rates, limits=(3, 5000))
    plots.finish(ax, title)

# %% [markdown]
# So a warmup lets the ceiling come down slowly, instead of setting it far below the sharpness at once. Above the
# ceiling the network is pushed to flatter places, as in section 2, but by small steps.
#
# Below the ceiling the push dies. So once the ceiling has come down to the sharpness, the sharpness should follow it
# from above. In the end it should lie below, because this is cross-entropy, which turns flat where the digits are
# learnt.
#
# Ten ReLU networks with six hidden layers, weights at `1.5` times He's scale, the peak rate and the warmup of the
# drawing, full batch. A second arm keeps the first rate of the ramp, `0.0025`, so its ceiling stays at `800`. What
# falls there as well is not the work of a falling ceiling.

# %% tags=["experiment"]
# Sharpness and ceiling under a warmup, and at its first rate
deep = [64] + [32] * 6 + [10]
he = weight_stacks(deep, 2**0.5)
large = torch.cat([1.5 * W.flatten(1) for W in he], 1)
deep_loss = partial(entropy, torch.relu, sizes=deep)
now = lambda k: torch.tensor([ramp[k], ramp[0]]).repeat_interleave(10)
_, warmed = follow_sharpness(deep_loss, large.repeat(2, 1), now, 72, every=6)
fig, ax = plt.subplots()
seen = dict(zip(("warmup", "rate 0.0025"), warmed.view(12, 2, 10).unbind(1)))
both = [[2 / rate for rate in ramp[::6]], [2 / ramp[0]] * 12]
options = {"log": "y", "marker": "", "rough": True}
options["colours"] = plots.SECOND, plots.STABLE
plots.plot_against_theory(ax, range(0, 72, 6), seen, both, **options)
plots.finish(ax, "It follows a falling ceiling (dotted)", "step", "sharpness")

# %% [markdown]
# A part of the fall needs no ceiling: the sharpness of the small rate falls too, and then only slowly. The rest comes
# with the ceiling. It passes the median in the first steps, the median follows it down from above, and ends at about
# half of it. (It is not that the warmup has learnt more. Where both arms have the same loss, below 2, it has less than
# half of the sharpness; tried, and not shown.)
#
# The warmup does not keep the sharpness under the ceiling. It limits the distance, and so the leaps.

# %% [markdown]
# The schedule that is used most often has a warmup and then half a cosine wave. By hand, with a warmup of 4 steps, 12
# steps in all and a floor of 0: the multiplier is $\frac14, \frac24, \frac34, 1$ at the steps 0 to 3. From step 4 on
# the cosine runs over the $12 - 4 = 8$ steps that are left. At step 4 it is 1. At step 8, half-way, it is $\frac12(1 +
# \cos\frac{\pi}{2}) = 0.5$. From step 12 on it is 0.
#
# ### Exercise 07.3 · ●●○ · 10 minutes
#
# Write `warmup_cosine(step, warmup, total, floor)`, the multiplier of the rate at a step 0, 1, 2, …
#
# - While `step < warmup` it is `(step + 1) / warmup`. So the first step is not lost, and `warmup` may be 0.
# - Then half a cosine, from 1 at step `warmup` down to `floor` at step `total` (Loshchilov and Hutter 2017, equation 5,
#   without restarts).
# - From `total` on it is `floor`.


# %%
def warmup_cosine(step, warmup, total, floor):
    ### BEGIN SOLUTION
    wave = (1 + math.cos(math.pi * min((step - warmup) / (total - warmup), 1.0))) / 2
    return (step + 1) / warmup if step < warmup else floor + (1 - floor) * wave
    ### END SOLUTION


warmup_cosine = check("07.3", warmup_cosine).function

# %% [markdown]
# ### Does a warmup help?
#
# At one rate anything can be shown, so we sweep the rate, and for two kinds of network. The first are deep ReLU
# networks under plain SGD. The second are transformers under AdamW, where most people meet a warmup: they are told that
# a transformer would not train otherwise. Adam divides by a mean of squared gradients, and in the first steps that mean
# rests on few of them. Post-norm transformers, which normalise after each sum (lesson 08), are said to need a warmup
# most. What does it buy them? The first sweep is a hint, so predict before it.

# %%
better = "a better loss at the best rate"
wider = "rates that fail without it"
neither = "neither of the two"
predict("07.c", "Under AdamW a warmup buys…", [better, wider, neither])

# %% [markdown]
# First six ReLU layers, once at He's scale and once with weights `1.5` times as large. Each network trains with a
# constant rate, with a warmup of 20 steps, and with a decay alone, a cosine to 0. It is plain SGD with batches of 32,
# judged after 40 and after 80 steps. (A decay is judged at its own end only, so it has a cosine for each of the two.)

# %% tags=["experiment"]
# Two scales of the weights, three schedules, three or four rates, ten seeds
relu_scores = partial(scores_of, torch.relu)
few = data._replace(x_test=data.x_test[:20], y_test=data.y_test[:20])
lrs = {1.0: [0.16, 0.32, 0.64], 1.5: [0.04, 0.08, 0.16, 0.32]}
shapes = [
    lambda k: 1.0,
    lambda k: min(1.0, (k + 1) / 20),
    lambda k: warmup_cosine(k, 0, 40, 0.0),
    lambda k: warmup_cosine(k, 0, 80, 0.0),
]


def end_of(loss, steps):  # the mean loss of ten batches; what left the numbers is huge
    return loss[steps - 10 : steps].nan_to_num(1e9).clamp(max=1e9).mean(0)


def sweep(gain):
    lr, kind = grid(lrs[gain], range(4))
    now = lambda k: torch.tensor([shape(k) for shape in shapes])[kind.long()]
    options = {"steps": 80, "momentum": 0.0, "schedule": now}
    loss = train_stacks(relu_scores, [gain * W for W in he], few, lr, **options).loss
    judged = {40: [0, 1, 2], 80: [0, 1, 3]}  # below: (rates, shapes, seeds)
    return {k: end_of(loss, k).view(-1, 4, 10)[:, some] for k, some in judged.items()}


swept = {1.0: sweep(1.0)}

# %% tags=["experiment"]
# The larger weights, and both as a figure
swept |= {1.5: sweep(1.5)}
names, hues = (
    ["constant", "warmup", "cosine"],
    (plots.STABLE, plots.SECOND, plots.FOURTH),
)
fig, axes = plt.subplots(1, 2, sharey=True)
for ax, (gain, ends) in zip(axes, swept.items()):
    shown = dict(zip(names, ends[80].clamp(max=4).unbind(1)))
    plots.plot_against_theory(ax, lrs[gain], shown, log="x", rough=True, colours=hues)
    ax.axhline(math.log(10), color=plots.REFERENCE)
    title = f"{gain:g} times He (grey: guessing)"
    plots.finish(ax, title, "learning rate", "loss after 80 steps")
    ax.set_xticks(lrs[gain], lrs[gain])
    ax.minorticks_off()

# %% [markdown]
# At He's scale warmup changes little. With the larger weights the constant rate fails where the warmup still learns:
# the window of usable rates gets wider, and at the smallest rate, too, the loss is lower. The cosine is the other way
# round. At He's scale it lowers the loss at every rate, because a run that bounces settles as the rate falls. With the
# larger weights it helps nowhere. It saves no network that is thrown at the start, since it begins with the full rate.
# (Losses above 4 are drawn at 4, and there the cosine hides the constant rate.)

# %% [markdown]
# ### Where practice meets it: a transformer under AdamW
#
# Our transformers are small: six post-norm blocks of width 16 with one head. They read a digit as 8 tokens of 8 pixels.
# AdamW with a weight decay of `0.01`, batches of 8, 90 steps, three rates, ten seeds, with a warmup of 30 steps or
# none. For claim S10 we also need how far the largest usable rate moves, here and in the sweep above. "Usable" means
# that the loss has fallen below `1.8`, for the transformers below `2.0`. Between two rates of a sweep a straight line
# tells where it passes that bar.

# %% tags=["experiment"]
# Post-norm transformers without a warmup: three rates, ten seeds
attention_lrs = [0.003, 0.01, 0.03]
transformers, scores = transformer_stacks(6, 16), partial(transformer_scores, heads=1)
adamw = {"adam": True, "weight_decay": 0.01, "steps": 90, "batch": 8}
adamw["lr"] = grid(attention_lrs)[0]
without = train_stacks(scores, transformers, few, **adamw).loss

# %% tags=["experiment"]
# The same with a warmup of 30 steps, and both as a figure
rise = lambda k: min((k + 1) / 30, 1.0)
ramped = train_stacks(scores, transformers, few, **adamw, schedule=rise).loss
# by budget: rates, shapes, seeds
adam_ends = {
    k: torch.stack([end_of(loss, k).view(3, 10) for loss in (without, ramped)], 1)
    for k in (70, 90)
}
fig, ax = plt.subplots()
shown = dict(zip(["no warmup", "warmup"], adam_ends[90].unbind(1)))
plots.plot_against_theory(ax, attention_lrs, shown, log="x", rough=True)
ax.axhline(math.log(10), color=plots.REFERENCE)
plots.finish(ax, "It helps at 0.01 (grey: guessing)", "learning rate", "final loss")


# %% tags=["experiment"]
# How far the largest usable rate moves from that of the first shape, in octaves
def octaves(by_budget, rates, usable):  # the least of two budgets, (shapes - 1,)
    powers, found = torch.tensor([rates[0] / 2, *rates, 2 * rates[-1]]).log2(), []
    for ends in by_budget.values():  # (rates, shapes, seeds)
        row = torch.ones_like(ends[:1])
        ends = torch.cat([row * (usable - 1e-6), ends.clamp(max=4), row * 4])
        count = torch.arange(len(ends)).view(-1, 1, 1)
        k = ((ends < usable) * count).amax(0, keepdim=True)  # the last usable rate
        low, high = ends.gather(0, k)[0], ends.gather(0, k + 1)[0]
        share = (usable - low) / (high - low)
        top = powers[k[0]] + share * (powers[k[0] + 1] - powers[k[0]])
        found.append((top[1:] - top[0]).mean(1))
    return torch.stack(found).amin(0)


moved = {gain: octaves(swept[gain], lrs[gain], 1.8) for gain in swept}
moved_adam = float(octaves(adam_ends, attention_lrs, 2.0))

# %% tags=["reveal"]
# The prediction is settled
lowest = adam_ends[90].median(-1).values.amin(0)  # without, and with a warmup
reveal(
    "07.c",
    better if lowest[1] < lowest[0] - 0.1 else wider if moved_adam > 0.4 else neither,
    "The largest usable rate grows "
    + ("2.5-fold or more." if moved_adam >= 1.3 else "less than 2.5-fold."),
    wrong={
        better: "At the best of the three rates both end alike: it needs no warmup.",
        wider: "The same rates work with it and without.",
        neither: "At the middle rate the loss falls much further with a warmup.",
    },
)

# %% [markdown]
# So the warmup widens the window of rates here too. At the smallest rate both end alike. It even costs a little there,
# because 30 of 90 steps are taken at less than the full rate. The sweep is coarse, and has no rate below its best one.
# The networks are tiny. Large models are often trained close to the edge of their window, and there its width matters
# more.

# %% [markdown]
# ## 4 · Decay
#
# A decay lowers the rate towards the end. What should that be good for? Suppose the gradient is noisy, since each batch
# gives another one. Take a valley of curvature 1 and noise of variance 1. A step is
#
# $$x \leftarrow x - \text{lr}\,(x + \text{noise})$$
#
# The valley multiplies the variance $v$ of $x$ by $(1 - \text{lr})^2$, and the noise adds $\text{lr}^2$. Where the two
# balance, $v = (1 - \text{lr})^2 v + \text{lr}^2$, and so
#
# $$v = \frac{\text{lr}}{2 - \text{lr}}$$
#
# At $\text{lr} = 0.1$ that is $0.053$, and at half the rate it is $0.026$, about half. So a constant rate leaves a
# floor of noise, and it goes with the rate. Why not with its square, if one step brings noise of $\text{lr}^2$? Because
# at half the rate the valley forgets half as fast, and twice as many noisy steps are still in $x$.

# %% [markdown]
# The same on a computer: 600 steps of 6000 chains, in ten groups, at seven rates. The line is the formula.

# %% tags=["experiment"]
# The floor of noise, measured
floor_lrs = torch.tensor([0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 1.5]).double()
chains, noise = torch.zeros(600, 10, 7).double(), torch.Generator().manual_seed(0)
for _ in range(600):
    chains = chains - floor_lrs * (chains + torch.randn(chains.shape, generator=noise))
fig, ax = plt.subplots()
measured = {"measured": chains.square().mean(0).T}
theory = floor_lrs / (2 - floor_lrs)
plots.plot_against_theory(ax, floor_lrs, measured, [theory], log="xy")
plots.finish(ax, "The floor goes with the rate", "learning rate", "mean of x squared")

# %% [markdown]
# So one wants a large rate at first, to get far, and a small one in the end, to lower the floor. The oldest way is to
# divide the rate at fixed steps. With `every = 10` and `factor = 0.5` the multiplier is 1 at the steps 0 to 9, `0.5` at
# 10 to 19, and $0.5^2 = 0.25$ at 20 to 29.
#
# ### Exercise 07.5 · ●○○ · 4 minutes
#
# Write `step_decay(step, every, factor)`: the multiplier at a step 0, 1, 2, …: 1 at first, and times `factor` after
# each `every` steps.


# %%
def step_decay(step, every, factor):
    ### BEGIN SOLUTION
    return factor ** (step // every)
    ### END SOLUTION


step_decay = check("07.5", step_decay).function

# %% [markdown]
# Eight usual shapes, over `T` steps. "Warmup-stable-decay" (WSD; the name is from MiniCPM, Hu et al. 2024) stays at the
# full rate and falls in a line at the end; here it has no warmup. "One cycle" warms up for a third of the run. In the
# original it cycles the momentum as well, which we leave out. Not drawn are the constant and `1/sqrt(t)`, which falls
# like `1/t`, but less.


# %%
def family(T):
    return {
        "constant": lambda k: 1.0,
        "steps": lambda k: step_decay(k, T // 3, 0.3),
        "cosine": lambda k: warmup_cosine(k, T // 20, T, 0.0),
        "restarts": lambda k: warmup_cosine(k % (T // 4), 0, T // 4, 0.0),
        "one cycle": lambda k: warmup_cosine(k, T // 3, T, 0.0),
        "WSD": lambda k: min(1.0, 4 * (1 - k / T)),
        "1/sqrt(t)": lambda k: (1 + 20 * k / T) ** -0.5,
        "1/t": lambda k: 1 / (1 + 20 * k / T),
    }


# %% tags=["drawing"]
# The drawing
fig, axes = plt.subplots(1, 2, sharey=True, figsize=(6.4, 2.4))
halves = (["steps", "WSD", "1/t"], ["cosine", "restarts", "one cycle"])
for ax, half, title in zip(axes, halves, ("Lines and powers", "Cosines")):
    drawn_shapes = {name: [family(300)[name](k) for k in range(300)] for name in half}
    options = {"marker": "", "rough": True, "colours": hues}
    plots.plot_against_theory(ax, range(300), drawn_shapes, **options)
    plots.finish(ax, title, "step", "multiplier of the rate")

# %% [markdown]
# A problem made for noise: the digits by least squares, 8 images a step, 400 steps. There the minimum is known, so we
# can measure the **excess**, the loss above the minimum. SGD, ten seeds, each schedule at the better of two rates. A
# control takes all images in each step, at the same rates. It has no noise, so its excess is what is left of the way
# from the start. Both are divided by the excess of the constant rate.

# %% tags=["experiment"]
# Eight schedules on least squares, two rates, ten seeds, and without noise
X = torch.cat([data.x_train, torch.ones(1400, 1)], 1)
targets = F.one_hot(data.y_train, 10).float()
which, family_lrs = grid(range(8), [0.015, 0.03])
H = X.T @ X / 1400 + 1e-3 * torch.eye(65)
G, W, calm = X.T @ targets / 1400, torch.zeros(160, 65, 10), torch.zeros(160, 65, 10)
batches = torch.Generator().manual_seed(0)
for k in range(400):
    rows = torch.randint(1400, (10, 8), generator=batches).repeat(16, 1)  # by seed
    slope = X[rows].mT @ (X[rows] @ W - targets[rows]) / 8 + 1e-3 * W
    share = torch.tensor([f(k) for f in family(400).values()])[which.long()]
    rate = (family_lrs * share).view(-1, 1, 1)
    W, calm = W - rate * slope, calm - rate * (H @ calm - G)


def excess_of(W):  # over the minimum, (schedules, rates)
    off = W - torch.linalg.solve(H, G)
    return (off * (H @ off)).sum((1, 2)).view(8, 2, 10).mean(-1)


excess, better_rate = excess_of(W).min(1)
still = excess_of(calm).gather(1, better_rate[:, None])[:, 0]
columns = {"excess": excess, "without noise": still}
columns = {name: [f"{e:.2f}" for e in v / excess[0]] for name, v in columns.items()}
table({"schedule": family(1)} | columns)

# %% [markdown]
# All that end at a rate of 0 leave less than the constant rate does. The steps end low and do as well. Why is not
# nearly all of the excess gone, if the floor goes with the rate? Because much of the rest is no noise: 400 steps do not
# reach the minimum along flat directions, as the control shows, and a falling rate does not help there. The last fall
# of the restarts and of WSD takes only a quarter of the run, so they leave more noise than the cosine. WSD makes up for
# it: at the full rate for so long, it has come furthest. `1/t` and its root fall fast at first: they give away speed,
# and in 400 steps `1/t` does not get as far as the constant rate.
#
# A decay is not free, either. It fixes the **horizon**: once the rate is 0 the run is over. Whoever wants to train on
# must go back to before the decay, and that is what WSD is for.

# %%
explorers.explore_schedule()

# %% [markdown]
# ## Claim on trial: S10
#
# *Learning-rate schedules help against explosion.* "Schedules" are two things, and so are on trial separately.
#
# **Our prediction.** Warmup helps where the start is too sharp, and nowhere else: there the largest usable rate grows
# at least `2.5`-fold. Decay does not, because it acts when the dangerous part is over.
#
# Each seed has its own largest usable rate. We take the mean over ten seeds of how far it moves, in octaves. There are
# two budgets, and the smaller of the two results counts. The schedule helps from `1.3` octaves on, a factor of `2.5`.
# It does not help at `0.4` or less, a factor of `1.3`. Between these bars, dotted in the figure, the claim stays
# undecided.

# %% tags=["experiment"]
# How far the largest usable rate moves
gained = {"warmup, AdamW, post-norm transformer": moved_adam}
for gain, words in ((1.0, "SGD, He's scale"), (1.5, "SGD, 1.5 times He's scale")):
    pair = zip(("warmup", "decay"), moved[gain].tolist())
    gained |= {f"{name}, {words}": octave for name, octave in pair}
fig, ax = plt.subplots(figsize=(6.4, 2.0))
ax.plot([*gained.values()], [*gained], "o", color=plots.STABLE)
for bar in (0.4, 1.3):
    ax.axvline(bar, **plots.THEORY)
ax.set_ylim(4.5, -0.5)
words = "shift of the largest usable rate, in octaves"
plots.finish(ax, "Warmup helps most from too sharp a start", words)

# %% tags=["experiment"]
# The verdict on S10
evidence = "The largest usable rate, ten seeds. SGD: six ReLU layers of 32, 40 and 80 "
evidence += "steps; AdamW: six blocks of width 16, 70 and 90 steps. True: it grows at "
evidence += "least 2.5-fold; false: less than 1.3-fold."
bars = {"bar": 1.3, "false_at": 0.4}
found = {name: at_least(octave, **bars) for name, octave in gained.items()}
verdict("S10", found, evidence)

# %% [markdown]
# Half of the prediction on decay has to be taken with care. It saves no network that is thrown at the start. At He's
# scale, however, there are rates at which a run bounces and is not thrown, and as the rate falls it settles.

# %% [markdown]
# ## 5 · Finding a rate
#
# The **range test** (Smith 2017) finds a rate in one short run. The rate rises by the same factor in each step, and the
# loss first falls, then turns, then explodes. By hand, with four steps:
#
# | rate | `0.001` | `0.01` | `0.1` | `1` |
# |---|---|---|---|---|
# | loss | `2.3` | `1.9` | `0.8` | `5.0` |
#
# The loss is smallest at `0.1`. But that rate is not one that was good: the loss was low *before* it exploded, so the
# smallest value sits next to the edge. A run that stays at such a rate for long goes over it. Smith and fastai
# therefore say: go well below the minimum, here to a tenth, `0.01`. A frequent misreading takes the minimum itself
# (Deeper C tries it).
#
# ### Exercise 07.6 · ●○○ · 6 minutes
#
# Write `read_range_test(lrs, losses)`: two (n,) tensors, `losses` perhaps with inf or NaN. Return a tenth of the rate
# at which the smallest finite loss was seen.


# %%
def read_range_test(lrs, losses):
    ### BEGIN SOLUTION
    losses = torch.where(losses.isfinite(), losses, math.inf)
    return float(lrs[losses.argmin()]) / 10
    ### END SOLUTION


read_range_test = check("07.6", read_range_test).function

# %% [markdown]
# ## On a real run
#
# - Does it diverge in the first steps? Take better weights, or a warmup: a tenth of a short run, a few per cent of a
#   long one. Does it diverge later? Lower the rate, or clip.
# - Choose a tenth of the rate at which the loss of the range test is smallest.
# - A sharpness at 2 over the rate is no alarm under full-batch descent. A loss that rises now and then is none, either.
# - Let the rate fall to 0 at the end where noise is the limit, and judge the run only there. Keep the weights from
#   before the decay, if it may have to go on.

# %% [markdown]
# ## Summary
#
# A rate puts a ceiling on the sharpness, 2 over the rate. Above it a step overshoots along the sharpest direction. On a
# quadratic that goes on for ever; in a network the swings push it to flatter places, until the sharpness is below the
# ceiling again. Below the ceiling the sharpness tends to rise, so it hovers there.
#
# Warmup lets the ceiling come down slowly. It buys a wider window of rates where the start is too sharp, and nothing
# where it is not. Decay lowers the floor that noise leaves, and it costs the horizon.

# %% [markdown]
# ## Deeper
#
# Five parts, each on its own:
#
# - A: how long a warmup, with exercise 07.4,
# - B: a start that is too sharp, in an exact model,
# - C: the minimum of the range test, with claim W16,
# - D: what Adam remembers, with prediction 07.b and claim W14,
# - E: width, with claim W15.
#
# ### A · How long a warmup?
#
# Section 3 says what it is for: the sharpness has to come down while the steps are small. That takes a number of steps
# that depends little on the rate, since the ceiling passes the sharpness at some time of any ramp. But a ramp that
# takes most of the run wastes it: with 40 of 80 steps only 40 are left for the full rate.
#
# ### Exercise 07.4 · ●●○ · 8 minutes
#
# Write `choose_warmup(gain, lr, total)`: a number of warmup steps for six ReLU layers whose weights are `gain` times
# He's, trained for `total` steps at the rate `lr`. The check trains such networks with plain SGD. Its gains are 1,
# `1.5` and `2.5`, and its runs are of different length. Not all three numbers are needed.


# %%
def choose_warmup(gain, lr, total):
    ### BEGIN SOLUTION
    return total // 8
    ### END SOLUTION


choose_warmup = check("07.4", choose_warmup).function

# %% [markdown]
# ### B · The catapult
#
# A. Lewkowycz et al. (2020) solve the smallest network that can land flatter, $f = u \cdot v/\sqrt m$ with the loss
# $f^2/2$. Its curvature is $\lambda = (|u|^2 + |v|^2)/m$. The loss of section 2 is close to it: there, too, the
# curvature is made of weights. But as a sum of squares it cannot go below 0, as $a$ could. They find two edges:
#
# - below $\text{lr} \cdot \lambda = 2$ the run converges at once,
# - from 2 to 4 the loss first leaps, and then the run lands where it is flatter, with $\text{lr} \cdot \lambda < 2$ (a
#   **catapult**),
# - above 4 it diverges.
#
# Here $m = 512$, ten seeds, 17 starting values, 200 steps of gradient descent.

# %% tags=["experiment"]
# The smallest network, started below and above both edges
products = torch.linspace(0.5, 4.5, 17)  # the rate times the curvature, at the start
draw = torch.randn(2, 10, 17, 512, generator=torch.Generator().manual_seed(0))
u, v = draw / 512**0.25
toy_lr = products * 512**0.5 / (u.square().sum(-1) + v.square().sum(-1))
for _ in range(200):
    pull = (toy_lr / 512**0.5 * (u * v).sum(-1))[..., None]
    u, v = u - pull * v, v - pull * u
landed = (toy_lr * (u.square().sum(-1) + v.square().sum(-1)) / 512**0.5).T
survive = landed.isfinite().all(1)
fig, ax = plt.subplots()
shown = {"at the end": landed[survive]}
plots.plot_against_theory(ax, products[survive], shown, rough=True)
ax.plot(products, products, **plots.THEORY)
for border, name in ((2.0, "catapult begins"), (4.0, "divergence")):
    plots.mark_vertical(ax, border, name)
title = "Started too sharp, it lands where it is flat"
plots.finish(ax, title, "rate x curvature, start", "rate x curvature, end")

# %% [markdown]
# The dotted line is where it would be if nothing changed. Beyond 2 every run lands below 2. ReLU networks survive far
# beyond 4, as the trial of W10 found, so the second edge belongs to this model and not to networks in general.

# %% [markdown]
# ### C · The minimum of the range test
#
# What does a range test look like, and what does it cost to take its minimum?
#
# #### Claim on trial: W16
#
# *Take the learning rate at the minimum of the range test.* (It is often misread so.)
#
# **Our prediction.** At the minimum divergence is near, so a tenth of it does better in most networks.
#
# Six layers of 32 at He's scale, ten seeds, under SGD with momentum and under AdamW. One range test of 80 steps each,
# its losses averaged over ten steps. Then each network is trained anew, at the minimum and at a tenth of it. The
# verdict is read after 60 and after 100 steps. Beside them stand 30 steps, a run shorter than the test itself. Each
# network has its own reading; the lines in the figure are their medians.

# %% tags=["experiment"]
# The range test under two optimizers, and training at the rates that were read
optimizers = {
    "SGD with momentum": {},
    "AdamW": {"adam": True, "weight_decay": 0.01},
}
tops = {"SGD with momentum": 1.0, "AdamW": 0.0}  # powers of ten


def tested_rates(name):
    return torch.logspace(tops[name] - 4, tops[name], 80)


def range_test(name):  # smoothed losses, (71, seeds), and the two readings
    tested = tested_rates(name)
    options = {"steps": 80, "schedule": lambda k: tested[k]} | optimizers[name]
    loss = train_stacks(relu_scores, he, few, 1.0, **options).loss
    smooth = loss.nan_to_num(1e9).clamp(max=1e9).unfold(0, 10, 1).mean(-1)
    tenth = torch.tensor([read_range_test(tested[9:], column) for column in smooth.T])
    return smooth, {"minimum": 10 * tenth, "a tenth of it": tenth}


ranges = {name: range_test(name) for name in optimizers}
fig, axes = plt.subplots(1, 2, sharey=True)
for ax, (name, (smooth, readings)) in zip(axes, ranges.items()):
    shown = {"loss": smooth.clamp(max=10)}
    plots.plot_against_theory(
        ax, tested_rates(name)[9:], shown, log="xy", marker="", rough=True
    )
    for reading, rate in readings.items():
        plots.mark_vertical(ax, float(rate.median()), reading)
    plots.finish(ax, name, "learning rate", "loss, means of ten")

# %% tags=["experiment"]
# Trained at what was read
wins = {}  # of how many networks the minimum does better than its tenth
for name, (_, readings) in ranges.items():
    rate = torch.cat([*readings.values()])
    loss = train_stacks(relu_scores, he, few, rate, steps=100, **optimizers[name]).loss
    ends = [end_of(loss, steps).view(2, 10) for steps in (30, 60, 100)]
    wins[name] = [int((end[0] < end[1]).sum()) for end in ends]
columns = {
    f"after {steps} steps": plots.how_many(won)
    for steps, won in zip((30, 60, 100), zip(*wins.values()))
}
table({"the minimum beats its tenth": wins} | columns)

# %% tags=["experiment"]
# The verdict on W16
found = {f"{name}, 60 and 100 steps": max(won[1:]) for name, won in wins.items()}
usual, few_won = [*found], plots.how_many([max(found.values())])[0]
found |= {f"{name}, 30 steps": won[0] for name, won in wins.items()}
evidence = "Six ReLU layers of 32, SGD with momentum and AdamW, ten seeds each. The "
evidence += f"minimum does better than a tenth of it in {few_won} of ten networks of "
evidence += "either after 60 and 100 steps."
verdict("W16", {name: mostly(won) for name, won in found.items()}, evidence, usual)

# %% [markdown]
# Most: eight or more of ten. Few: two or fewer. Some: in between. After 30 steps neither reading wins: a small rate has
# not gone far by then. The claim is made of runs that are longer, and by those it is judged.

# %% [markdown]
# ### D · What Adam remembers
#
# Adam divides a mean of gradients, over about $1/(1-\beta_1)$ steps, by the root of a mean of their squares, over
# $1/(1-\beta_2)$ steps. Let the gradients be almost nothing for long, and then jump to a constant $g$. By hand, with
# $\beta_1 = 0.9$ and $\beta_2 = 0.999$: in the first step the mean is $0.1\,g$ and the root $\sqrt{0.001}\,g =
# 0.032\,g$. So the step is $3.2$ times the rate. In general after $k$ steps
#
# $$\text{step} = \text{lr}\;\frac{1-\beta_1^k}{\sqrt{1-\beta_2^k}}$$
#
# It is too long where the denominator is the slower one of the two. By how much depends on $\beta_2$:

# %%
beta2s, k_jump = [0.9, 0.95, 0.99, 0.999], torch.arange(1, 400)
jump = [((1 - 0.9**k_jump) / (1 - b**k_jump).sqrt()).max() for b in beta2s]
table({"beta2": beta2s, "largest step / lr": [f"{step:.1f}" for step in jump]})

# %% [markdown]
# #### Claim on trial: W14
#
# *A lower `beta2` protects from spikes* (often advised, with `0.95`).
#
# AdamW, two hidden layers of 32, batches of 32, a rate of `0.01`, ten seeds, `0.95` against the usual `0.999`. Step 420
# is a bad batch: pixels 20 times as large, wrong labels. Before it, from step 150 on, we count **bursts**, losses that
# pass `0.3`. In a third arm, with `0.95`, the rate falls to 0 in a line until step 420.

# %%
oftener = "more bursts than 0.999"
alike = "as many"
fewer = "fewer"
predict(
    "07.b",
    "Before the bad batch, at a constant rate, 0.95 shows…",
    [oftener, alike, fewer],
)

# %% [markdown]
# <details><summary>Our prediction, made before the run. Open it after yours.</summary>
#
# **Our prediction.** From one bad batch a lower `beta2` protects, because Adam notices it sooner. But a short memory
# also forgets. When gradients have become tiny, the first ordinary one gets a step of full size. So late in the run a
# lower `beta2` bursts more often. If the rate falls to 0, those steps are small as well, and the bursts should go.
#
# </details>
#
# Counted are the bursts of ten networks for each value of `beta2`, and the largest loss after the bad batch.

# %% tags=["experiment"]
# Two values of beta2, one of them with a falling rate too, and a bad batch
bad, two_layers = 420, weight_stacks([64, 32, 32, 10], 2**0.5)
dice = torch.Generator().manual_seed(5)
chosen, swapped = (
    torch.randint(high, size, generator=dice)
    for high, size in ((1400, (460, 32)), (10, (32,)))
)


def batch_at(k):
    x, y = data.x_train[chosen[k]], data.y_train[chosen[k]]
    return (20 * x, swapped) if k == bad else (x, y)


beta2 = torch.tensor([0.95, 0.999, 0.95]).repeat_interleave(10)
falls = torch.tensor([0.0, 0.0, 1.0]).repeat_interleave(10)
options = {"adam": True, "weight_decay": 0.01, "beta2": beta2, "steps": 460}
options |= {"schedule": lambda k: 1 - falls * min(1.0, k / bad), "batches": batch_at}
loss = train_stacks(relu_scores, two_layers, few, 0.01, **options).loss
memory = loss.view(460, 3, 10)  # steps, arms, seeds
high = memory[150:bad] > 0.3
bursts = (high[1:] & ~high[:-1]).sum(0).sum(-1)  # by arm
peak = memory[bad + 1 :].amax(0)  # (arms, seeds)
spared = int((peak[1] > 2 * peak[0]).sum())

# %% tags=["reveal"]
# The prediction is settled
ratio = float(bursts[0] / bursts[1])  # of 0.95, over those of 0.999
reveal(
    "07.b",
    oftener if ratio > 1.2 else fewer if ratio < 0.8 else alike,
    "Bursts a run, to the nearest whole number: {} with 0.95, {} with 0.999, and {} "
    "with 0.95 and a falling rate.".format(*(bursts / 10).round().int().tolist()),
    wrong={
        oftener: "The counts differ by less than the runs do.",
        alike: "Late in the run gradients are tiny, and only the long memory still "
        "knows large ones.",
        fewer: "A short memory notices a bad batch sooner. It also forgets large "
        "gradients sooner, and then the next one gets a step of full size.",
    },
)

# %% tags=["experiment"]
# The verdict on W14
found = {
    "one bad batch, beta2 0.95": mostly(spared),
    "late bursts, constant rate 0.01, beta2 0.95": at_most(ratio, 0.5, false_at=1.0),
}
gone = bool(bursts[2] < bursts[0] / 2)
evidence = "AdamW, rate 0.01, two layers of 32, 460 steps, against beta2 0.999. Bad "
evidence += "batch: true where most peaks are halved. Late bursts: true where they are "
evidence += "halved, false where there are as many or more. If the rate falls to 0, "
evidence += f"0.95 has {'less than half as many' if gone else 'about as many'} as at a "
evidence += "constant rate."
verdict("W14", found, evidence)

# %% [markdown]
# So the advice is good against one bad batch. Late bursts are another matter, though they are too few to say more than
# the direction: a lower `beta2` does not remove them, and with `0.95` a falling rate removes most. They come from a
# rate that is still *large* late in the run: a constant rate of a third has few as well, and there `beta2` hardly
# matters (tried, and not shown).

# %% [markdown]
# ### E · Width
#
# Adam's steps have about one size per weight, whatever the gradient. A unit of a layer sums over `width` of them, and
# they push the same way. So the change of its sum grows with the width: with twice the units a rate does twice as much,
# and the best rate should halve. **mu-P** (G. Yang, E. Hu et al. 2022) divides the rates of the middle and of the last
# layer by the width, and lets the last layer begin smaller. Then the best rate should stay.

# %% [markdown]
# #### Claim on trial: W15
#
# *With mu-P the best learning rate transfers across widths.*
#
# **Our prediction.** From width 16 to 64 the best rate moves by two octaves downwards without mu-P, one for each
# doubling. With mu-P it moves by less than half an octave.
#
# AdamW, two hidden layers, ten seeds, five rates an octave apart, after 25 and 50 steps. The figure has widths 16 and
# 64 and batches of 32. A second pair, 24 and 96 with batches of 16, asks whether the answer hangs on that choice. The
# loss is flat around the best rate. So we lay a parabola through the lowest point of its mean logarithm and both
# neighbours.

# %% tags=["experiment"]
# The best rate by width, with one rate for all layers and with mu-P
powers = torch.arange(-8.0, -3.0)


def widen(width, base, batch=32):  # losses (steps, rates, seeds)
    s = (
        base / width
    )  # what is learnt is multiplied by s, and so are its steps; 1: one rate
    first, middle, last = weight_stacks([64, width, width, 10], 2**0.5)
    scores = lambda p, x: relu_scores([p[0], s * p[1], s * p[2]], x)
    (lr,), parts = grid((2.0**powers).tolist()), [first, middle / s, last / s**0.5]
    options = {"adam": True, "weight_decay": 0.01, "steps": 50, "batch": batch}
    return train_stacks(scores, parts, few, lr, **options).loss.view(50, 5, 10)


def best_power(loss, steps):
    logs = end_of(loss, steps).log().mean(1)
    k = int(logs[1:-1].argmin()) + 1
    a, b, c = logs[k - 1 : k + 2]
    return float(powers[k] + (a - c) / (2 * (a - 2 * b + c)))


narrow = widen(16, 16)
wide = {"one rate for all": widen(64, 64), "mu-P": widen(64, 16)}
fig, axes = plt.subplots(1, 2, sharey=True)
titles = ("One rate: the minimum moves", "mu-P: it stays")
for ax, loss, title in zip(axes, wide.values(), titles):
    shown = {"16 units": end_of(narrow, 50), "64 units": end_of(loss, 50)}
    plots.plot_against_theory(ax, powers, shown, log="y", rough=True)
    plots.finish(ax, title, "learning rate, power of 2", "loss after 50 steps")

# %% tags=["experiment"]
# The verdict on W15
pairs = {
    "width 16 to 64, batches of 32": (narrow, wide["mu-P"]),
    "width 24 to 96, batches of 16": (widen(24, 24, 16), widen(96, 24, 16)),
}


def moves(thin, broad):  # of the best rate, in octaves, after 25 and after 50 steps
    return {
        steps: best_power(broad, steps) - best_power(thin, steps) for steps in (25, 50)
    }


found = {
    f"{name}, {steps} steps": at_most(abs(move), 0.5, false_at=1.0)
    for name, pair in pairs.items()
    for steps, move in moves(*pair).items()
}
control = -max(moves(narrow, wide["one rate for all"]).values())
evidence = (
    "AdamW, two layers, 25 and 50 steps, ten seeds. True: with mu-P the best rate "
)
evidence += "moves by half an octave or less; false: by one or more. With one rate for "
evidence += (
    f"all it moves by {math.floor(4 * control) / 4:g} or more from width 16 to 64."
)
verdict("W15", found, evidence)

# %% [markdown]
# So the result hangs on the pair of widths and on the batch. It hangs on the row of batches, too, which all ten seeds
# share: they are not ten answers, and with two other rows two of these settings came out otherwise. The control moved
# less than theory says, which is about endless width. And a factor of 4 between narrow networks is little: whoever uses
# mu-P goes from hundreds to thousands of units. The figure shows a direction, and no more.

# %% [markdown]
# ## Further reading
#
# - J. Cohen et al., [Gradient descent on neural networks typically occurs at the edge of
#   stability](https://arxiv.org/abs/2103.00065) (2021): the pictures of section 2, in large.
# - A. Damian, E. Nichani, J. Lee, [Self-stabilization](https://arxiv.org/abs/2209.15594) (2022): why the ceiling pushes
#   back.
# - J. Gilmer et al., [A loss curvature perspective on training instability in deep
#   learning](https://arxiv.org/abs/2110.04369) (2021): warmup, weights and normalisation as one thing.
# - I. Loshchilov, F. Hutter, [SGDR](https://arxiv.org/abs/1608.03983) (2017): the cosine.
#
# [The solution of this lesson](../solutions/07_learning_rate_schedules.ipynb) · [Back to the
# start](00_start_here.ipynb)
