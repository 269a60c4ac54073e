# %% [markdown]
# # 08 · Residual connections and normalisation
#
# **What made deep networks trainable, and what does it cost?**
#
# After this lesson you can
# - say what a skip path changes in the product behind a gradient, and compute the result,
# - choose where in a block a normalisation, or a zero, may stand,
# - say what batch normalisation gives, what it costs, and which part of it does the work.
#
# Core: about 70 minutes. Deeper: another 35 minutes. It runs in 15 seconds. Needs: [lesson
# 07](07_learning_rate_schedules.ipynb). Next: [lesson 09](09_adam.ipynb).

# %%
import math
from functools import partial

import matplotlib.pyplot as plt
import torch
from torch.nn import functional as F

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
)  # fmt: skip
from gradutils.data import digits
from gradutils.models import normalised_scores, residual_scores, weight_stacks
from gradutils.propagation import residual_profile
from gradutils.training import grid, train_stacks

plots.use_style()

# %% [markdown]
# ## Before you start

# %%
recall("08")

# %% [markdown]
# ## Predict
#
# He's scale keeps the gradient of a ReLU network at one size, and still 50 such layers could not be trained with SGD
# (lesson 05). The best-known remedy is the **skip path** of K. He et al. (2016): a way around the layer, on which the
# signal passes unchanged. A layer with its path is a residual **block**:
#
# $$h \leftarrow h + W\,\text{relu}(h)$$
#
# What is added to the path, $W\,\text{relu}(h)$, is the **branch** of the block. We stack 40 blocks of 128 units, all
# weights at He's scale, and follow a gradient from the end back to the first block. Nothing is trained.

# %%
same = "stays within a factor of two"
adds = "grows by a factor of about forty"
multiplies = "grows by a factor of more than a thousand"
predict("08.a", "On its way back the size of the gradient…", [same, adds, multiplies])

# %% [markdown]
# ## What happens
#
# Ten random networks with skip paths and ten without. The figure shows the size of the gradient at the entrance of each
# block, relative to the last one.

# %% tags=["experiment"]
# Forty layers with a skip path and without


def relative(sizes):  # (seeds, blocks + 1), 1 at the end
    return sizes / sizes[:, -1:]


skipped = relative(residual_profile(40, 128))
plain = relative(residual_profile(40, 128, path=0.0))
fig, ax = plt.subplots()
lines = {"with skip paths": skipped, "without": plain}
plots.plot_depth_profile(ax, lines, ylabel="size of the gradient")
plots.finish(ax, "Forty skip paths, and the gradient explodes")

# %% tags=["reveal"]
# The prediction is settled
grown = skipped[:, 0].median()
reveal(
    "08.a",
    same if grown < 2 else multiplies if grown > 1000 else adds,
    f"It grows by a factor of {grown:.0e} (the median of ten networks).",
    wrong={
        same: "The path does hand the gradient on as it is. But each branch adds a "
        "share of its own to it.",
        adds: "So it would be if each branch added the same amount. It adds in "
        "proportion to what arrives, so the blocks multiply.",
        multiplies: "The branches added less than that.",
    },
)

# %% [markdown]
# So a skip path is not what keeps a gradient small: without it the size stayed, and with it there is an explosion. And
# yet skip paths made very deep networks trainable. To see how both can be true, we need to see what they change.

# %% [markdown]
# ## 1 · One plus something, many times
#
# Take the simplest case, one unit and a straight line in place of the ReLU. The layer $h \to w\,h$ multiplies the
# derivative by $w$. The block $h \to h + w\,h$ multiplies it by $1 + w$. Here are three of them in a row.
#
# | three in a row | with $w = 0.5$ | with $w = 0.01$ |
# |---|---|---|
# | three layers, $w \cdot w \cdot w$ | $0.125$ | $0.000001$ |
# | three blocks, $(1+w)(1+w)(1+w)$ | $3.4$ | $1.03$ |
#
# **What the path changes in the product: each factor is 1 + branch instead of branch.** So small weights no longer make
# a small product, because each factor then lies near one. (A large negative weight still can: $w = -0.5$ gives $0.125$,
# and $w = -1$ gives $0$.) But factors above one multiply, so the gradient can explode, and with small branches it
# cannot by much.
#
# The block is drawn once, with the way back in orange: the gradient arrives by two ways, and they add up.

# %% tags=["drawing"]
# The drawing
fig, ax = plt.subplots(figsize=(6.4, 2.2))
plots.draw_residual(ax, ["ReLU", "W"], path="unchanged", scale=r"$\times s$")
plots.finish(ax, "A residual block, its branch multiplied by s")

# %% [markdown]
# In a wide layer the two parts are vectors. How do they add? The weights are random, so what comes through the branch
# points anywhere. Of all directions in a wide space nearly all stand at right angles to a given one. So path and branch
# add like the sides of a right-angled triangle. If the path brings length 1 and the branch length $s$, then the sum has
# the length $\sqrt{1 + s^2}$.

# %% tags=["drawing"]
# The drawing
fig, ax = plt.subplots(figsize=(6.4, 2.2))
sides = {
    "path: 1": ((0, 0), (1, 0), plots.REFERENCE),
    "branch: s": ((1, 0), (0, 0.6), plots.STABLE),
    "sum": ((0, 0), (1, 0.6), plots.SECOND),
}
plots.draw_arrows(ax, sides, reach=(-0.4, 1.8, -0.1, 0.7))
plots.finish(ax, "At right angles the squares add up")

# %% [markdown]
# That is the rule. Let the branch be $s\,W\,\text{relu}(h)$ with He's weights, which alone would keep the size of a
# gradient. Then a block multiplies the *squared* gradient by $1 + s^2$, and $L$ blocks do so by
#
# $$(1 + s^2)^L$$
#
# With $s = 1$ and three blocks this is $2 \cdot 2 \cdot 2 = 8$. With 40 blocks the square grows by $2^{40}$, and the
# size by its root, $2^{20}$. That is a million, as in the figure.
#
# How small must $s$ be? With $s = 1/\sqrt L$ the product is $(1 + 1/L)^L$, which stays below $e = 2.72$ however deep
# the network is. The size then grows by less than $\sqrt e = 1.65$.

# %% [markdown]
# ### Exercise 08.1 · ●●○ · 6 minutes
#
# Now backwards: choose how much the gradient may grow, and compute $s$. Say the *size* may grow by 3 over 4 blocks.
# Then the square may grow by $9$, and each block may multiply it by $9^{1/4} = 1.73$. Of that the path brings 1. So
# $s^2 = 0.73$, and $s = 0.86$.
#
# Write `branch_scale(growth, blocks)`: the scale $s$ with which the size of the gradient grows by the factor `growth`
# (above 1) over all blocks.


# %%
def branch_scale(growth, blocks):
    ### BEGIN SOLUTION
    return math.sqrt(growth ** (2 / blocks) - 1)
    ### END SOLUTION


branch_scale = check("08.1", branch_scale).function

# %% [markdown]
# Does it hold for real networks? We measure the squared growth over 4 to 64 blocks, in ten networks of width 128, with
# $s = 1$ and with your `branch_scale(3, L)`. The second should give 9, the square of 3, at every depth. Both axes are
# logarithmic, theory is dotted, and nothing is fitted to it.

# %% tags=["experiment"]
# Growth over the depth, measured and predicted
depths = [4, 8, 16, 32, 64]


def over_depth(norm="none", scale=lambda L: 1.0):  # (depths, seeds)
    blocks = [{"depth": L, "scale": scale(L), "norm": norm} for L in depths]
    sizes = [relative(residual_profile(width=128, batch=8, **b))[:, 0] for b in blocks]
    return torch.stack(sizes) ** 2


def plot_growth(measured, theory, colours, title):
    ax = plt.subplots()[1]
    style = {"log": "xy", "colours": colours}
    plots.plot_against_theory(ax, depths, measured, theory, **style)
    plots.finish(ax, title, "blocks", "growth of the squared gradient")


growth = {"s = 1": over_depth()}
growth["your s"] = over_depth(scale=lambda L: branch_scale(3.0, L))
title = "With s = 1 each block doubles the square; with your s it ends at 9"
theory = [[2**L for L in depths], [3**2 for L in depths]]
plot_growth(growth, theory, (plots.EXPLODES, plots.STABLE), title)

# %% [markdown]
# The lines lie on the theory, so the right angle is a good description of random networks. The figure says nothing of
# training. There the branches are no longer random, and they grow. Whether such networks *learn* is asked in section 3.
#
# And why did 50 plain layers fail, whose gradient keeps its size? Lesson 05 found the reason: each ReLU layer makes any
# two inputs more alike, until the last one cannot tell them apart. A path hands their difference on, and the smaller
# the branches are, the less they take from it. The table shows the median cosine of two random inputs at the end of 40
# layers.


# %%
forty = weight_stacks([128] * 41, 2**0.5)  # He's weights of ten networks, by layer
pair = torch.randn(2, 128, generator=torch.Generator().manual_seed(0))


def cosine(path, s):
    h = pair
    for W in forty:
        h = path * h + s * torch.relu(h) @ W.mT
    return float(F.cosine_similarity(*h.unbind(1), dim=-1).median())


kept = {"plain": (0, 1), "skip, s = 1": (1, 1), "your s": (1, branch_scale(3, 40))}
table({"40 layers": kept, "cosine": [f"{cosine(*way):.2f}" for way in kept.values()]})

# %% [markdown]
# At $s = 1$ the branches still make the two nearly alike. With small branches they stay apart, and the gradient keeps
# its size as well. A plain network cannot have both: its signal has no way but through the weights.

# %% [markdown]
# ## 2 · A normalisation in the block
#
# Instead of choosing $s$ one can let the network measure it. A **normalisation** divides numbers by their own size.
# There are three common ones, and they differ in which numbers they take together. Here is the row $(3, 4)$.
#
# - **RMSNorm** (Zhang and Sennrich 2019) divides each row by its root mean square. The mean square is $(9 + 16)/2 =
#   12.5$, its root $3.54$, so the row becomes $(0.85, 1.13)$.
# - **LayerNorm** (Ba et al. 2016) first takes the mean of the row away. That leaves $(-0.5, 0.5)$, whose root mean
#   square is $0.5$, so the row becomes $(-1, 1)$.
# - **Batch normalisation** (Ioffe and Szegedy 2015) does the same to a *column*: to one unit, over all examples of the
#   batch.
#
# In each of them a learnt number per unit, the gain, multiplies the result.

# %% tags=["drawing"]
# The drawing
fig, ax = plt.subplots(figsize=(6.4, 1.9))
batch = [[3, 4], [1, -1], [0, 2]]
grids = [("RMSNorm, LayerNorm", batch), ("batch normalisation", batch)]
marked = {"RMSNorm, LayerNorm": (0, None), "batch normalisation": (None, 0)}
plots.draw_grid_of_numbers(ax, grids, highlight=marked, shapes=False)
plots.finish(ax, "Three examples, two units: what is normalised together")

# %% [markdown]
# ### Exercise 08.2 · ●○○ · 5 minutes
#
# Write `rms_norm(x, gain, eps)`: `x` is (…, n), `gain` is (n,). Each row of `x`, along its last axis, is divided by the
# root of (its mean square + `eps`), and then multiplied by `gain`. The small `eps` keeps a row of zeros from becoming
# $0/0$.


# %%
def rms_norm(x, gain, eps):
    ### BEGIN SOLUTION
    return gain * x / (x.square().mean(-1, keepdim=True) + eps).sqrt()
    ### END SOLUTION


rms_norm = check("08.2", rms_norm).function

# %% [markdown]
# Where does it stand in a block? There are two usual places. **Pre**: what *enters the branch* is normalised, and the
# path stays as it is. **Post**: what *leaves the sum* is normalised, and so the path as well.

# %% tags=["drawing"]
# The drawing
fig, (above, below) = plt.subplots(2, 1, figsize=(6.4, 3.8))
plots.draw_residual(above, ["norm", "branch"], back=False)
plots.finish(above, "pre: before the branch")
plots.draw_residual(below, ["branch"], after=["norm"], back=False)
plots.finish(below, "post: after the sum")

# %% [markdown]
# ### Exercise 08.3 · ●○○ · 4 minutes
#
# With toy functions: let `norm` halve a number, let the branch `f` add 3, and let $x = 2$. The pre block gives $2 +
# (1 + 3) = 6$. The post block gives half of $2 + (2 + 3)$, which is $3.5$.
#
# Write `both_blocks(x, f, norm)`; `f` is the branch, `norm` the normalisation, both functions of a tensor. Return the
# pair of what a pre block and what a post block make of `x`.


# %%
def both_blocks(x, f, norm):
    ### BEGIN SOLUTION
    return x + f(norm(x)), norm(x + f(x))
    ### END SOLUTION


both_blocks = check("08.3", both_blocks).function

# %% [markdown]
# **Pre, by hand.** The input has mean square 1. Whatever the size of the path, the branch sees mean square 1, and so it
# adds a vector of mean square 1 at right angles. The path goes $1, 2, 3, 4, \dots$: before block $l$ it is $l$.
#
# The branch has the scale $s = 1$. Going back, the normalisation of block $l$ divides the gradient in it by $\sqrt l$,
# as it did the signal. (It also takes away one direction of many, as Deeper A shows for batch normalisation.) So the
# branch brings $1/l$ of the square, and the block multiplies it by $1 + 1/l = (l + 1)/l$. Over all blocks
#
# $$\frac21 \cdot \frac32 \cdot \frac43 \cdots \frac{L+1}{L} = L + 1$$
#
# Each numerator cancels the next denominator, and only the last one is left. So 40 blocks multiply the square by 41
# instead of by $2^{40}$: the exponential is gone.
#
# **Post, by hand.** Path and branch bring 1 each, and the sum has mean square 2. The normalisation divides by $\sqrt2$,
# the gradient too. So a block multiplies the square by $(1 + 1)/2 = 1$.

# %% [markdown]
# Both predictions, over the same depths and in networks of the same kind as above.

# %% tags=["experiment"]
# Pre and post over the depth
placed = {"pre": over_depth("pre"), "post": over_depth("post")}
title = "Pre grows as the number of blocks, post hardly at all"
theory = [[L + 1 for L in depths], [1 for L in depths]]
plot_growth(placed, theory, (plots.FOURTH, plots.THIRD), title)

# %% [markdown]
# (Post strays from its line with depth, because 128 units are not endlessly many.) In the explorer, take 64 blocks
# without a normalisation, and find the largest scale at which the gradient grows less than tenfold. Your
# `branch_scale(10, 64)` says `0.27`. Then let it normalise, pre and post, at a scale of 1.

# %%
explorers.explore_residual()

# %% [markdown]
# **What pre costs.** The sum on the path grows, and that is what tames the gradient. It has a price. Block $l$ adds
# something of size 1 to a path of size $\sqrt l$. So the first block changes what passes by as much as was there, and
# block 30 by $1/\sqrt{30} = 0.18$ of it.
#
# Does training repair this? We train ten networks of 30 pre blocks of 16 units, for 80 steps of AdamW at a rate of
# `0.01`. The task from here to the end of section 3 is the digits with a random sign: every other image is a
# photographic negative. (Plain digits can nearly be told apart by a linear model, so that a skip path alone would pass
# for a trained network. With random signs it cannot.) On the left is the size of each branch relative to its path, on
# the right how far the median accuracy falls if this block alone is taken out. The table asks whether it falls by a
# tenth, for two single blocks and for the last ten together.

# %% tags=["experiment"]
# Thirty pre blocks before and after training


def stacked(L, n):  # first layer, standard draws (10, L, n, n) of the branches, last
    generator = torch.Generator().manual_seed(0)
    draws = torch.randn(10, L, n, n, generator=generator, dtype=torch.float64)
    return weight_stacks([64, n])[0], draws.float(), weight_stacks([n, 10])[0]


def unit(h):
    return rms_norm(h, torch.ones(h.shape[-1]), 1e-6)


def keeping(learnt, x):  # the last weights stay behind
    latest[:] = [p.detach() for p in learnt]
    return residual_scores(learnt, x, norm=unit)


flipped, latest, shares = digits(sign_flipped=True), [], {}
adamw = {"adam": True, "weight_decay": 0.01}
first, draws, last = stacked(30, 16)
begin = [first, (2 / 16) ** 0.5 * draws, last]
train_stacks(keeping, begin, flipped, 0.01, steps=80, batch=24, **adamw)
for name, learnt in (("at the start", begin), ("after 80 steps", latest)):
    seen = []
    residual_scores(learnt, flipped.x_test, norm=unit, seen=seen)
    shares[name] = torch.stack(seen)  # (blocks, seeds)

# %% tags=["experiment"]
# The figure, and what is lost where blocks are taken out


def accuracy(learnt, **options):
    said = residual_scores(learnt, flipped.x_test, norm=unit, **options).argmax(-1)
    return float((said == flipped.y_test).float().mean(-1).median())


whole, early = accuracy(latest), [latest[0], latest[1][:, :20], latest[2]]
fallen = torch.tensor([whole - accuracy(latest, without=k) for k in range(30)])
ax, beside = plt.subplots(1, 2)[1]
places, style = torch.arange(1, 31), {"rough": True, "marker": ""}
plots.plot_against_theory(ax, places, shares, [places**-0.5] * 2, log="y", **style)
plots.finish(ax, "Late branches are small", "block", "branch / path")
plots.plot_against_theory(beside, places, {"one block out": fallen}, **style)
plots.finish(beside, "Any late one is hardly missed", "block", "accuracy lost")
lost = {"the first block": fallen[0], "the last block": fallen[-1]}
lost["the last ten together"] = whole - accuracy(early)
table(
    {"taken out": lost, "accuracy falls by a tenth": [v > 0.1 for v in lost.values()]}
)

# %% [markdown]
# Training makes it no better: beside their paths all branches have become smaller, early and late ones alike. Two
# things did that. The first layer has grown, and with it the path from its beginning; and the later branches have
# shrunk. Take out one of the first blocks, and accuracy falls. Take out any one of the late blocks, and hardly anything
# happens. So that is the cost of pre: a late block alone is hardly missed, because it is small beside what the others
# have added. But they are not idle: the last ten *together* are missed. (All this here; a harder task and a longer
# training may use single blocks more.)

# %% [markdown]
# ## 3 · Near zero, and zero
#
# If small branches are harmless, why not start all of them at nothing? Such a network begins as its path, and the
# branches grow as they are needed. In a plain network the same advice has no path to fall back on.
#
# ## Claim on trial: S8
#
# *Initialise near zero to be stable.* It is said of networks in general, and of residual branches in particular. We try
# both kinds. A branch can be written in two orders, with the weights last, $h + W\,\text{relu}(h)$, or with the ReLU
# last, $h + \text{relu}(W h)$. Exactly zero is tried in both orders, and near zero (weights of `0.01`) with the ReLU
# last.

# %%
w_last = "W relu(h) only"
relu_last = "relu(W h) only"
either = "both of them"
neither = "none of them"
question = "All W exactly zero, with skip paths. After training, most networks have "
question += "learnt with the branch…"
predict("08.b", question, [w_last, relu_last, either, neither])

# %% [markdown]
# <details><summary>Our prediction, made before the run. Open it after yours.</summary>
#
# **Our prediction.** A plain network near zero learns nothing where it is deep, because its gradients multiply by tiny
# weights. With a skip path near zero is right. At exactly zero it depends on the order, because only one of the two
# hands a gradient to $W$. Scaled branches, He's weights divided by $\sqrt L$, learn as well.
#
# </details>
#
# Plain networks with 2 and 5 inner layers of 16 units, and 20 blocks of 16 units. They are trained for 80 steps of
# momentum SGD and of AdamW (weight decay `0.01`), at two rates each. A network has learnt if its test accuracy is above
# `0.35`.  We count networks of ten, at the better rate, after 80 steps; the verdict looks after 40 as well. In the
# table the arms are named by their order and by the standard deviation of their weights at the start.
#
# Most: eight or more of ten. Few: two or fewer. Some: in between.

# %% tags=["experiment"]
# Plain networks and residual ones
(first16, draws16, last16), he = stacked(20, 16), (2 / 16) ** 0.5
under = {"SGD": ([0.01, 0.03], {}), "AdamW": ([0.01, 0.03], adamw)}
relu_last_net = partial(residual_scores, relu_last=True)
plain_net = partial(relu_last_net, path=0.0)
scaled = {"He": he, "He/sqrt(20)": he / 20**0.5, "0": 0.0}
groups = {  # the networks, their layers, and the scales of their weights
    "skip, W last": (residual_scores, 20, scaled),
    "skip, ReLU last": (relu_last_net, 20, {"0.01": 0.01, "0": 0.0}),
    "plain, 5 layers": (plain_net, 5, {"He": he, "0.01": 0.01}),
    "plain, 2 layers": (plain_net, 2, {"0.01": 0.01}),
}
learnt_in = {}  # counts of ten, after 40 and after 80 steps
for kind, (scores, L, scales) in groups.items():
    for optimizer, (rates, options) in under.items():
        lr, std = grid(rates, list(scales.values()))
        branches = draws16[:, :L].repeat(len(std) // 10, 1, 1, 1)
        learnt = [first16, std.view(-1, 1, 1, 1) * branches, last16]
        options = {"steps": 80, "at": (40,), "batch": 24} | options
        runs = train_stacks(scores, learnt, flipped, lr, **options)
        passed = (runs.accuracy > 0.35).view(2, 2, len(scales), 10).sum(-1).amax(1)
        counts = zip(scales, passed.T.tolist())
        learnt_in |= {(f"{kind}, {scale}", optimizer): n for scale, n in counts}

# %% tags=["experiment"]
# The table of counts
arms = list(dict.fromkeys(arm for arm, _ in learnt_in))
columns = {o: plots.how_many([learnt_in[arm, o][1] for arm in arms]) for o in under}
table({"networks that have learnt": arms} | columns)

# %% tags=["reveal"]
# The prediction is settled
w, relu = (
    min(learnt_in[f"skip, {order} last, 0", name][1] for name in under) > 7
    for order in ("W", "ReLU")
)
reveal(
    "08.b",
    {(1, 0): w_last, (0, 1): relu_last, (1, 1): either, (0, 0): neither}[w, relu],
    "Under both optimizers.",
    wrong={
        w_last: "The other order learnt as well, or this one did not.",
        relu_last: "There the zero stands before the ReLU, which hands no gradient on "
        "from an input of exactly 0.",
        either: "In relu(W h) no gradient arrives at W, so W stays at zero for ever.",
        neither: "In W relu(h) what enters W is alive, so W gets a gradient.",
    },
)

# %% [markdown]
# By hand, with one unit. Let $h = 2$, $w = 0$, and let the derivative of $L$ with respect to the output of the branch
# be 3.
#
# - $w \cdot \text{relu}(h)$: the derivative with respect to $w$ is $3 \cdot \text{relu}(2) = 6$. So $w$ moves with the
#   first step.
# - $\text{relu}(w\,h)$: it is $3 \cdot \text{relu}'(0) \cdot 2$. A ReLU has no derivative at 0, its slope jumps there
#   from 0 to 1. PyTorch takes 0, by convention. So the derivative is 0, and $w$ stays at 0 for ever.
#
# So the zero networks with the ReLU last stay linear models for ever, and a linear model cannot learn flipped digits.
# It is not the zero that kills, but where it stands: a zero behind a living signal has a gradient.

# %% tags=["experiment"]
# The verdict on S8
named = {
    "a plain network of 5 layers": "plain, 5 layers, 0.01",
    "a plain network of 2 layers": "plain, 2 layers, 0.01",
    "skip paths": "skip, ReLU last, 0.01",
    "exactly zero, ReLU last": "skip, ReLU last, 0",
    "exactly zero, W last": "skip, W last, 0",
}
tried = {f"{words} ({o})": (arm, o) for words, arm in named.items() for o in under}
found = {key: mostly(learnt_in[place][1]) for key, place in tried.items()}
sooner = [mostly(learnt_in[place][0]).true for place in tried.values()]
late = [key for key, soon in zip(tried, sooner) if soon != found[key].true]
evidence = "80 steps of momentum SGD and of AdamW, two rates each, 16 units, flipped "
evidence += "digits; skip paths around 20 blocks; weights of 0.01 where not zero. "
evidence += f"After 40 steps it is the same, but for: {', '.join(late) or 'none'}."
verdict("S8", found, evidence)

# %% [markdown]
# So the advice needs a path, or very few layers. A plain network near zero is stable because it is asleep: its gradient
# is a product of tiny weights. Two layers wake under AdamW, whose steps do not depend on the size of a gradient. Five
# do not in this time. And with a path near zero is not the only way. He's branches divided by $\sqrt L$, the scale of
# section 1, learn under both optimizers. Undivided they fail under SGD, and under AdamW only a part of them learns.

# %% [markdown]
# ## 4 · What batch normalisation does to a gradient
#
# Batch normalisation is often said to prevent explosions. Before we train anything, look at the start. From here on the
# digits are the ordinary ones, and there are no skip paths.
#
# One layer takes the normalised $y$ to $\varphi(y)$, multiplies by $W$ (variance $1/n$), and normalises the result.
# Follow the squared gradient back through these three.
#
# - Through the slopes it is multiplied by $E[\varphi'^2]$, as in lesson 04. For ReLU that is $0.5$.
# - Through $W$ it keeps its mean square.
# - The normalisation divides it by the variance that it met going forwards. (It also takes away two directions of as
#   many as there are examples: Deeper A.) This is the variance of $\varphi(y)$ over the batch. For ReLU the mean square
#   is $0.5$ and the mean $1/\sqrt{2\pi} = 0.4$, so the variance is $0.5 - 0.16 = 0.34$.
#
# Together $0.5/0.34 = 1.47$. So the *size* of the gradient grows by $\sqrt{1.47} = 1.21$ per layer (Yang et al. 2019
# give $\pi/(\pi - 1)$ for the square). In general, for a wide batch, the square is multiplied by
#
# $$\frac{E[\varphi'(y)^2]}{\text{Var}[\varphi(y)]}$$

# %% [markdown]
# ### Exercise 08.4 · ●●○ · 8 minutes
#
# The mean squared slope of lesson 04 in new clothes. Write `normalised_growth(phi)`: the root of that fraction, for a
# Gaussian $y$ with mean 0 and variance 1. Return a number, right within 2 %. Draw some 100,000 samples, or use
# quantiles; autograd gives the slopes. For a straight line, $\varphi(y) = 2y$, slope and standard deviation are both 2,
# and the answer is 1.


# %%
def normalised_growth(phi):
    ### BEGIN SOLUTION
    levels = (torch.arange(20_000).double() + 0.5) / 20_000
    y = torch.special.ndtri(levels).requires_grad_()
    (slope,) = torch.autograd.grad(phi(y).sum(), y)
    return float((slope.square().mean() / phi(y).var()).sqrt())
    ### END SOLUTION


normalised_growth = check("08.4", normalised_growth).function

# %% [markdown]
# It is never below 1, for any activation.
#
# <details><summary>Why</summary>
#
# Write $\varphi$ as a sum of Hermite polynomials $\varphi = a_0 + a_1 h_1 + a_2 h_2 + \dots$, which are uncorrelated
# for a Gaussian number and have variance 1. The variance of $\varphi$ is then $a_1^2 + a_2^2 + a_3^2 + \dots$. The
# derivative of $h_k$ is $\sqrt k\,h_{k-1}$, so the mean squared slope is $a_1^2 + 2a_2^2 + 3a_3^2 + \dots$. No term of
# the second sum is smaller, and they are equal for a straight line only. (Poincaré's inequality.)
#
# </details>
#
# So at the start batch normalisation *makes* an explosion. Measured: plain networks of 20 layers, 128 units, random
# inputs, ten of each. The second table has two arms more, with ReLU: one divides each unit by its root mean square over
# the batch and does not centre, the other normalises nothing (He's scale).

# %% tags=["experiment"]
# Growth per layer at the start, for several batches


def growth_at_start(phi, batch, gain=1.0, centre=-2, divide=-2):
    generator, seen = torch.Generator().manual_seed(0), []
    draw = lambda n: torch.randn(batch, n, generator=generator, dtype=torch.float64)
    x, weights = draw(128).float().requires_grad_(), [gain * W for W in square]
    axes = {"centre": centre, "divide": divide}
    scores = normalised_scores(weights, x, phi=phi, seen=seen, **axes)
    torch.autograd.grad((scores * draw(10).float()).sum(), x)
    return float((seen[-3] / seen[2]).median()) ** (1 / 15)  # without the ends


square = weight_stacks([128] * 21 + [10])
phis = {"ReLU": torch.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid}
each, sizes = phis.values(), (4, 16, 128)
at_start = {f"batch {B}": [growth_at_start(f, B) for f in each] for B in sizes}
at_start["wide batch, predicted"] = [normalised_growth(f) for f in each]
columns = {name: [f"{v:.2f}" for v in column] for name, column in at_start.items()}
table({"growth of delta per layer": phis} | columns)
others = {"divided only": (None, -2), "no normalisation": (None, None)}
without = [growth_at_start(torch.relu, 128, 2**0.5, *axes) for axes in others.values()]
table({"ReLU, batch 128": others, "growth": [f"{v:.2f}" for v in without]})

# %% [markdown]
# The formula holds for a batch of 128. Small batches make it worse, because a variance of few numbers is now and then
# tiny, and the normalisation divides by it (Deeper A). Without the centring there is an explosion too, a smaller one.
# There each unit is divided by a size $r$ of its own, and the mean of $1/r^2$ over units is larger than 1 over the mean
# of $r^2$.

# %% [markdown]
# **And in training?** What does such an explosion become? Thirty layers of 32 units with batch normalisation, SGD
# without momentum at a rate of `0.3`, ten networks. We follow two numbers over the first 40 steps. One is what an
# optimizer sees, the norm of the whole gradient. The other is the explosion itself, the size of $\delta$ at the first
# layer divided by that at the last.

# %% tags=["experiment"]
# The gradient norm and the explosion, step by step


seen, deep = [], weight_stacks([64] + [32] * 30 + [10])
options = {"steps": 40, "batch": 64, "momentum": 0.0}
watched = partial(normalised_scores, centre=-2, divide=-2, seen=seen)
runs = train_stacks(watched, deep, digits(), 0.3, **options)
by_layer = torch.stack(seen).view(40, 30, 10)  # (steps, layers from the last, seeds)
explosion = by_layer[:, -1] / by_layer[:, 0]
lines = {"norm of the gradient": runs.grad_norm, "delta, first / last": explosion}
fig, ax = plt.subplots()
style = {"log": "y", "marker": "", "rough": True}
colours = (plots.STABLE, plots.EXPLODES)
plots.plot_against_theory(ax, range(40), lines, colours=colours, **style)
plots.finish(ax, "The norm is soon small, the explosion is not", "step", "norm; ratio")
growing = int((explosion[-1] ** (1 / 29) > 1.02).sum())
print(f"after 40 steps delta still grows from layer to layer in {growing} of 10")

# %% [markdown]
# They are two different things. The norm falls within a few steps. The explosion falls as well (why, the figure does
# not say), but after 40 steps it is still there. So a small gradient norm does not say that the explosion is over.

# %% [markdown]
# ## Claim on trial: W11
#
# *Batch normalisation prevents explosion.*
#
# At the start it causes one. What it may prevent is another: that in the course of training, where steps are too long,
# the gradient grows from step to step. Such a run is lost whether its gradient blows up or its ReLUs die. So we measure
# the largest usable rate: the largest of our rates at which the median of ten networks passes an accuracy of `0.4`. And
# we ask which part of it does the work. One arm only centres each unit over the batch. Another only divides each unit
# by its root mean square over the batch.

# %%
centring = "the centring alone"
division = "the division alone"
together = "only both together"
question = "Momentum SGD at ten times the largest rate that is usable without "
question += "normalisation. At this rate most networks still learn with…"
predict("08.c", question, [centring, division, together])

# %% [markdown]
# <details><summary>Our prediction, made before the run. Open it after yours.</summary>
#
# **Our prediction.** A division ties what leaves a layer to one size, however long its weights have become. So dividing
# alone gives most of the window, and centring alone none. The usable rates reach at least three times as far with batch
# normalisation, under both optimizers.
#
# </details>
#
# Six ReLU layers of 20 units at He's scale, five arms, rates `0.02` to `0.6`, ten networks each, 40 and 80 steps of
# momentum SGD and of AdamW. The figure shows the accuracy after 80 steps. The first table says of four arms whether the
# two largest rates are usable, the second of all five in how many networks the gradient norm rises to ten times that of
# the first step. Most: eight or more of ten. Few: two or fewer. Some: in between.

# %% tags=["experiment"]
# Five arms under momentum SGD
lrs, nets = [0.02, 0.06, 0.2, 0.6], weight_stacks([64] + [20] * 6 + [10], 2**0.5)
kinds = {"none": (None, None), "centred": (-2, None), "divided": (None, -2)}
kinds |= {"both": (-2, -2), "LayerNorm": (-1, -1)}


def window(kind, lrs=lrs, **options):  # accuracy (budgets, rates, seeds), and tenfold
    options = {"steps": 80, "at": (40,), "batch": 32} | options
    scores = partial(normalised_scores, centre=kind[0], divide=kind[1])
    runs = train_stacks(scores, nets, digits(), grid(lrs)[0], **options)
    highest = (runs.grad_norm.amax(0) / runs.grad_norm[0]).view(-1, 10)  # NaN: it broke
    return runs.accuracy.view(2, len(lrs), 10), (~(highest < 10)).sum(1)


windows = {"SGD": {name: window(kind) for name, kind in kinds.items()}}

# %% tags=["experiment"]
# The same five arms under AdamW, the figure and the table
windows["AdamW"] = {name: window(kind, **adamw) for name, kind in kinds.items()}
fig, axes = plt.subplots(1, 2, sharey=True)
colours = (plots.REFERENCE, plots.SECOND, plots.THIRD, plots.STABLE, plots.FOURTH)
for ax, (optimizer, arms_of) in zip(axes, windows.items()):
    late = {name: found[1] for name, (found, _) in arms_of.items()}
    plots.plot_against_theory(ax, lrs, late, log="x", rough=True, colours=colours)
    ax.set_xticks(lrs, lrs, minor=False)
    ax.set_xticks([], minor=True)
    plots.finish(ax, f"{optimizer}: 'both' stays up", "learning rate", "accuracy")


def usable(optimizer, name, budget=1):  # the largest rate at which the median passes
    medians = windows[optimizer][name][0][budget].median(1).values
    return max((lr for lr, m in zip(lrs, medians) if m > 0.4), default=0.0)


shown = ["none", "centred", "divided", "both"]
reached, tenfold = {}, {}
for optimizer in windows:
    best = [usable(optimizer, name) for name in shown]
    reached |= {f"{optimizer}, rate {lr}": [b >= lr for b in best] for lr in lrs[2:]}
    rose = [int(windows[optimizer][name][1][-1]) for name in kinds]
    tenfold[f"{optimizer}, rate {lrs[-1]}"] = plots.how_many(rose)
table({"usable after 80 steps": shown} | reached)
table({"gradient rises tenfold": kinds} | tenfold)

# %% tags=["reveal"]
# The prediction is settled
far = {name: usable("SGD", name) >= 0.5 for name in shown}
reveal(
    "08.c",
    centring if far["centred"] else division if far["divided"] else together,
    "Under momentum SGD. Under AdamW the division alone reaches further than the "
    "centring alone too, but not as far as both.",
    wrong={
        centring: "Centring leaves the size of what a layer puts out as it is, so "
        "that longer weights put out more.",
        division: "Divided but not centred, the networks gave up at a smaller rate.",
        together: "At the largest rate the division alone still learns, so it does not "
        "need the centring under momentum SGD.",
    },
)

# %% [markdown]
# Why does a division help? It makes the loss blind to the size of the weights before it. The next cell multiplies the
# weights of a unit by 2: its outputs are the same, and its gradient is half as large.

# %%
g = torch.Generator().manual_seed(0)
x, v, delta = (torch.randn(*shape, generator=g) for shape in ((8, 3), (3,), (8,)))
for c in (1.0, 2.0):
    w = (c * v).requires_grad_()
    z = x @ w
    y = (z - z.mean()) / z.std()
    (grad,) = torch.autograd.grad(y @ delta, w)
    print(f"weights x {c:.0f}: y[0] = {y[0]:.3f}, gradient {grad.norm():.3f}")

# %% [markdown]
# Such a gradient stands at right angles to the weights, because along them nothing changes. So every step makes the
# weights longer (Pythagoras again). A step that is far too long makes them much longer. Beside longer weights all later
# steps are short: the same step turns them less, and under SGD the step shrinks with the gradient as well. (AdamW's
# does not, as its length hardly depends on the gradient.) That is a brake which pulls by itself.

# %% tags=["drawing"]
# The drawing
fig, ax = plt.subplots(figsize=(6.4, 2.6))
boxes = [
    "step too long",
    "longer weights",
    "same step turns less",
    "weights keep length",
]
arrows = ["adds length", "same outputs", "adds little", "until the next"]
plots.draw_cycle(ax, boxes, arrows)
plots.finish(ax, "The brake of a loss that is blind to the size of weights")

# %% tags=["experiment"]
# The verdict on W11
wide, small = at_start["batch 128"][0], at_start["batch 4"][0]
reach = lambda o, k: usable(o, "both", k) / max(usable(o, "none", k), lrs[0])
further = {o: min(reach(o, 0), reach(o, 1)) for o in windows}
found = {
    "at the start, batch 128": at_most(wide, 1.05, false_at=1.1),
    "at the start, batch 4": at_most(small, 1.05, false_at=1.1),
    "in training with momentum SGD": at_least(further["SGD"], 3, false_at=1),
    "in training with AdamW": at_least(further["AdamW"], 3, false_at=1),
}
sgd, adam = ([usable(o, name) for name in ("both", "none")] for o in windows)
evidence = "At the start, no training, 20 ReLU layers of 128 units: delta grows by "
evidence += f"{wide:.2f} per layer at batch 128, by {small:.1f} at batch 4, by "
evidence += f"{without[1]:.1f} without it. Largest usable rate, 6 layers of 20 units, "
evidence += f"batches of 32, 80 steps: {sgd[0]} with it and {sgd[1]} without under "
evidence += f"momentum SGD, {adam[0]} and {adam[1]} under AdamW."
verdict("W11", found, evidence)

# %% [markdown]
# So no wide window without a division: in the arms that divide the gradient rises tenfold in few networks. (Without one
# a long step ends in one of two ways. The gradient rises, or the ReLUs die and it is zero.) Centring alone reaches no
# further than no normalisation under SGD, somewhat further under AdamW, and under neither as far as dividing. On top of
# the division it adds much under AdamW, and some under SGD.
#
# But a division is not enough. LayerNorm divides too, its loss is just as blind to the size of the weights, and it
# stays narrow. It divides a row by one number, which all units share. Deeper B finds that a wide window needs a
# division and besides something that treats each unit by itself, the divisor or the centring.

# %% [markdown]
# ## On a real run
#
# - Deep and residual: normalise before the branch, scale the branches by $1/\sqrt L$, or start their last layer at
#   zero. Then compare the gradient of the first block with that of the last.
# - A zero must not stand in front of a ReLU: look after one step whether every branch has a gradient.
# - Pre blocks: print the size of a late branch relative to its path. If it is tiny, one block more will change little.
# - With batch normalisation a large gradient at step 0 is no alarm. Look again after ten steps, and look at $\delta$.
# - Small batches make its explosion worse. LayerNorm and RMSNorm do not look at the batch.

# %% [markdown]
# ## Summary
#
# A skip path puts a one into every factor of the product: 1 + branch instead of branch. So small branches no longer
# make gradients vanish, the difference of two inputs is handed on, and with branches of scale $s$ the squared gradient
# grows as $(1 + s^2)^L$. A normalisation before the branch makes of it $L + 1$, at the price that a single late block
# does little. A zero is a good start where something alive stands before it. Batch normalisation makes gradients
# explode at the start, and gives a wide window of rates. It divides, so that the loss is blind to the size of weights
# and brakes steps that are too long, and it treats each unit by itself.

# %% [markdown]
# ## Deeper
#
# Four independent parts: the way back through batch normalisation (A), which division counts (B), transformers with
# claim W12 (C), and forty blocks, three ways (D).
#
# ### A · The way back through batch normalisation
#
# Forwards, a column $z$ loses its mean $m$ and is divided by its standard deviation $s$, which gives $y = (z - m)/s$.
# Both $m$ and $s$ were made from $z$. So going back, a gradient reaches an entry of $z$ directly, and by two more ways:
# through the mean and through the standard deviation.

# %% tags=["drawing"]
# The drawing
fig, ax = plt.subplots(figsize=(6.4, 2.4))
plots.draw_statistics(ax)
plots.finish(ax, "The direct way, and the two ways through the statistics")

# %% [markdown]
# By hand: let $z = (0, 2, 4)$, so $m = 2$ and $s = \sqrt{8/3} = 1.63$, and $y = (-1.22, 0, 1.22)$. Let $\delta = (1, 0,
# 0)$.
#
# - Directly: $\delta/s = (0.61, 0, 0)$.
# - Through the mean: if all $z$ rise by the same amount, $y$ does not change. So what pushes all alike must go, and
#   that is the mean of $\delta$: $(1, 0, 0) - \frac13 = (0.67, -0.33, -0.33)$.
# - Through $s$: if all $z - m$ are stretched, $y$ does not change either. So what lies along $y$ must go, too. That
#   part is $y$ times the mean of $\delta y$, which is $-0.41$: $y \cdot (-0.41) = (0.5, 0, -0.5)$.
#
# What is left is $(0.67 - 0.5, -0.33, -0.33 + 0.5) = (0.17, -0.33, 0.17)$, and divided by $s$ $(0.10, -0.20, 0.10)$. It
# sums to zero, and so does its product with $y$.
#
# ### Exercise 08.5 · ●●● · 12 minutes
#
# Write `batch_norm_backward(z, delta)`. `z` is (B, n), and $y = (z - m)/s$ with the mean and the standard deviation
# (divided by B) of each column. `delta` is $\partial L/\partial y$. Return $\partial L/\partial z$ by the formula.
# While it is checked autograd is switched off.


# %%
def batch_norm_backward(z, delta):
    ### BEGIN SOLUTION
    s = z.std(0, unbiased=False)
    y = (z - z.mean(0)) / s
    return (delta - delta.mean(0) - y * (delta * y).mean(0)) / s
    ### END SOLUTION


batch_norm_backward = check("08.5", batch_norm_backward).function

# %% [markdown]
# **A paper in small: Yang et al. (2019).** They compute what batch normalisation does at the start, and find that
# gradients explode for every activation at finite batch, even for a straight line. Your formula says why. It takes two
# of $B$ directions from $\delta$, so $(B-2)/B$ of the square is left. Then it divides by the variance of $B$ Gaussian
# numbers. The mean of 1 over such a variance is $B/(B-3)$, because small ones count much. Together
#
# $$\frac{B - 2}{B - 3}$$
#
# That is 2 for a batch of 4, and 1 for a very wide one only. Here it is in ten linear networks of 20 layers for each of
# four batches.

# %% tags=["experiment"]
# Straight lines, for four batches: yours carries delta back through one layer


def linear_growth(batch, seed, n=128, L=20):
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)
    h, kept = draw(batch, n), []
    for _ in range(L):
        W = draw(n, n) / n**0.5
        z = h @ W.T
        h = (z - z.mean(0)) / z.std(0, unbiased=False)
        kept.append((W, z))
    delta, sizes = draw(batch, n), []
    for W, z in reversed(kept):
        delta = batch_norm_backward(z, delta) @ W
        sizes.append(float(delta.square().mean()))
    return (sizes[-3] / sizes[2]) ** (1 / (L - 5))


four = [4, 6, 8, 16]
squared = torch.tensor([[linear_growth(B, seed) for seed in range(10)] for B in four])
fig, ax = plt.subplots()
theory = [(B - 2) / (B - 3) for B in four]
plots.plot_against_theory(ax, four, {"measured": squared}, [theory])
title = "A straight line explodes as well, where the batch is small"
plots.finish(ax, title, "batch", "growth of the squared gradient per layer")

# %% [markdown]
# At a batch of 4 the measured networks lie below the theory: a mean that rests on rare tiny variances is not seen by
# ten networks.

# %% [markdown]
# ### B · Which division counts
#
# Batch normalisation divides each unit by a number of its own. LayerNorm divides a whole row by one number. If the
# number per unit is what counts, then an arm that divides *all* units of the batch by one number must be as narrow as
# LayerNorm. A second arm centres each unit first and then divides all by one number. The networks and steps of W11,
# under both optimizers. The table counts those of ten that pass `0.4` at a rate of `0.2` after 80 steps. Most: eight or
# more of ten. Few: two or fewer. Some: in between.

# %% tags=["experiment"]
# One divisor for the whole layer
whole_layer = {"one divisor": (None, (-2, -1)), "centred, one divisor": (-2, (-2, -1))}
names = ["LayerNorm", "divided", "both", *whole_layer]
passing = {}
for optimizer, options in (("SGD", {}), ("AdamW", adamw)):
    tried = {name: found[1, 2] for name, (found, _) in windows[optimizer].items()}
    more = {name: window(kind, [0.2], **options) for name, kind in whole_layer.items()}
    tried |= {name: found[1, 0] for name, (found, _) in more.items()}
    counts = [int((tried[name] > 0.4).sum()) for name in names]
    passing[optimizer] = plots.how_many(counts)
table({"networks that pass at 0.2": names} | passing)

# %% [markdown]
# One divisor without centring is as narrow as LayerNorm. So a division by itself is not enough: it must treat each unit
# by itself. But there is a second way to the wide window, one divisor *and* centred units. So "the division, not the
# centring" is too short a sentence. A division is needed in every wide arm, because without one there is no brake. But
# it must come with something that treats each unit by itself, be it the divisor or the centre. Why that is so, these
# arms do not say.

# %% [markdown]
# ### C · Transformers
#
# #### Claim on trial: W12
#
# *Transformers with the normalisation after the residual explode.* It is often said. R. Xiong et al. (2020), who
# compare pre-LN and post-LN (LN is LayerNorm), do not say it. Their theorem bounds the gradient of the *last* layer at
# the start. With pre-LN the bound falls with depth as $1/\sqrt L$, with post-LN it stays.
#
# **Our prediction.** At the start the first layer's gradient is not larger than the last one's with post-LN. The last
# layer's norm has a slope over the depth near $0$ with post-LN and near $-\frac12$ with pre-LN, on logarithmic axes. In
# training the gradient norm of most post-LN networks does not rise tenfold above its start. The start is measured on
# transformers of width 32 with one head, which read a digit 8 pixels at a time, ten networks.

# %% tags=["experiment"]
# Transformers in stacks, and the gradients of the second dense layer of each block


def layer_norm(h):
    return F.layer_norm(h, h.shape[-1:])


def transformers(L, d):  # Xavier weights of ten transformers with one head
    generator = torch.Generator().manual_seed(0)

    def xavier(rows, columns, *stack):
        shape = (10, *stack, rows, columns)
        draws = torch.randn(shape, generator=generator, dtype=torch.float64)
        return (draws * (2 / (rows + columns)) ** 0.5).float()

    inner = [xavier(d, d, L, 4), xavier(4 * d, d, L), xavier(d, 4 * d, L)]
    return [xavier(d, 8), *inner, xavier(10, d)]


def transformer(pre):  # scores of N transformers, which read 8 pixels at a time
    before, after = (layer_norm, torch.clone) if pre else (torch.clone, layer_norm)

    def scores(learnt, x):
        first, attention, up, down, last = learnt
        h = x.view(-1, 8) @ first.mT
        tokens = (len(first), len(x), 8, h.shape[-1])
        for heads, A, B in zip(attention.unbind(1), up.unbind(1), down.unbind(1)):
            *three, out = heads.unbind(1)
            q, k, v = ((before(h) @ W.mT).view(tokens) for W in three)
            mixed = torch.softmax(q @ k.mT / tokens[-1] ** 0.5, -1) @ v
            h = after(h + mixed.flatten(1, 2) @ out.mT)
            h = after(h + torch.relu(before(h) @ A.mT) @ B.mT)
        return before(h).view(tokens).mean(2) @ last.mT

    return scores


def ends(L, pre):  # (seeds, 2): gradient norms in the first and in the last block
    learnt = [p.requires_grad_() for p in transformers(L, 32)]
    scores = transformer(pre)(learnt, ordinary.x_train[:8]).log_softmax(-1)
    loss = -scores[:, torch.arange(8), ordinary.y_train[:8]].mean(1).sum()
    (grad,) = torch.autograd.grad(loss, learnt[3])
    return grad.norm(dim=(2, 3))[:, [0, -1]]


ordinary, heights, norms = digits(), [2, 4, 8, 16], {}
for name, pre in (("post-LN", False), ("pre-LN", True)):
    norms[name] = torch.stack([ends(L, pre) for L in heights])  # (heights, seeds, 2)
at_end = {name: rows[..., 1] for name, rows in norms.items()}
fig, ax = plt.subplots()
falling = at_end["pre-LN"][0].median() * (2 / torch.tensor(heights)) ** 0.5
theory = [at_end["post-LN"][0].median().expand(4), falling]
colours = (plots.THIRD, plots.FOURTH)
plots.plot_against_theory(ax, heights, at_end, theory, log="xy", colours=colours)
title = "The last layer's gradient: with pre-LN it falls with depth"
plots.finish(ax, title, "blocks", "norm")

# %% [markdown]
# And in training: 4 blocks of width 16 with one head, 30 steps of AdamW at two rates, ten networks each. What is
# counted is whether the gradient norm ever rises to ten times that of the first step. The control is pre-LN. Most:
# eight or more of ten. Few: two or fewer. Some: in between.

# %% tags=["experiment"]
# Small transformers, trained with AdamW
spikes, rates = {}, [0.003, 0.01]
options = {"steps": 30, "batch": 8} | adamw
for name, pre in (("post-LN", False), ("pre-LN", True)):
    learnt = transformers(4, 16)
    runs = train_stacks(transformer(pre), learnt, ordinary, grid(rates)[0], **options)
    highest = runs.grad_norm.amax(0) / runs.grad_norm[0]  # NaN where a run broke
    spikes[name] = (~(highest < 10)).view(2, 10).sum(1).tolist()
by_rate = [plots.how_many(counts) for counts in zip(*spikes.values())]
heads = [f"rate {rate}" for rate in rates]
table({"networks with a tenfold gradient": spikes} | dict(zip(heads, by_rate)))

# %% tags=["experiment"]
# The verdict on W12
post, pre = (rows.median(1).values for rows in at_end.values())
slopes = [float((row[-1] / row[0]).log() / math.log(8)) for row in (post, pre)]
ratio = float((norms["post-LN"][-1, :, 0] / norms["post-LN"][-1, :, 1]).median())
found = {
    "16 blocks of width 32 at the start": at_least(ratio, 10, false_at=2),
    "4 blocks of width 16, AdamW": mostly(max(spikes["post-LN"])),
}
evidence = "Post-LN at the start, no training, 16 blocks of width 32: gradient of the "
evidence += f"first over the last layer {ratio:.1f}; slope of the last over the depth "
evidence += f"{slopes[0]:+.1f}, with pre-LN {slopes[1]:+.1f}. In 30 steps of AdamW at "
evidence += "0.003 and 0.01 the gradient norm rises tenfold in "
evidence += f"{max(spikes['post-LN'])} of 10 networks at the worse rate."
verdict("W12", found, evidence)

# %% [markdown]
# So nothing explodes with depth at the start, and little does in the first steps. What is right in the saying is this:
# with post-LN the layers near the output keep large gradients however deep the network is. What that asks of the
# learning rate at first, lesson 07 tries under AdamW.

# %% [markdown]
# ### D · Forty blocks, three ways
#
# Branches near zero; branches times a number that starts at zero (ReZero); pre-normalised branches at He's scale. Forty
# blocks of 16 units on the flipped digits are trained for 40 steps. Which of them needs a clip? We try momentum SGD at
# a large rate, without a clip and with a clip by norm at 1, and AdamW without a clip. The table shows the median
# accuracy of ten networks.

# %% tags=["experiment"]
# Three ways, two optimizers, with a clip and without
gated = lambda p, x: residual_scores([p[0], p[3] * p[1], p[2]], x)
pre_scores = partial(residual_scores, norm=unit)
first40, draws40, last40 = stacked(40, 16)
ways = {
    "near zero": (residual_scores, 0.01),
    "gate": (gated, he),
    "pre": (pre_scores, he),
}
limits = grid([math.inf, 1.0])[0]  # without a clip, and with one
trials = [(0.1, {"max_norm": limits}), (0.01, adamw)]
ended = {name: [] for name in ways}
for rate, options in trials:
    for name, (scores, std) in ways.items():
        learnt = [first40, std * draws40, last40]
        learnt += [torch.zeros(10, 40, 1, 1)] * (name == "gate")
        more = {"steps": 40, "batch": 16} | options
        runs = train_stacks(scores, learnt, flipped, rate, **more)
        medians = runs.accuracy[-1].view(-1, 10).median(1).values
        ended[name] += [f"{m:.2f}" if m > 0.25 else "below 0.25" for m in medians]
heads = ["SGD 0.1", "SGD 0.1, clip at 1", "AdamW 0.01"]
table({"40 blocks, median accuracy": ended} | dict(zip(heads, zip(*ended.values()))))

# %% [markdown]
# At this rate of momentum SGD none of the three gets anywhere without a clip. Steps are long, the branches grow, and
# with them $(1 + s^2)^L$. With a clip all three learn. So do the pre blocks: their normalisation keeps the gradient
# small at the start, but it does not limit a step. Under AdamW none of the three needs a clip, because the length of
# its steps does not grow with the gradient. So "which needs a clip" has no answer without an optimizer and a rate.

# %% [markdown]
# ## Further reading
#
# - K. He et al., [Deep residual learning for image recognition](https://arxiv.org/abs/1512.03385) (2016): the skip
#   path.
# - G. Yang et al., [A mean field theory of batch normalization](https://arxiv.org/abs/1902.08129) (2019): why it
#   explodes at the start, and that it settles after a step.
# - R. Xiong et al., [On layer normalization in the transformer architecture](https://arxiv.org/abs/2002.04745) (2020):
#   pre and post.
# - T. Bachlechner et al., [ReZero is all you need](https://arxiv.org/abs/2003.04887) (2021): one number per branch.
#
# [The solution of this lesson](../solutions/08_residual_and_normalization.ipynb) · [Back to the
# start](00_start_here.ipynb)
