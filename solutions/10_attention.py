# %% [markdown]
# # 10 · Attention
#
# **Why does a transformer learn nothing at a slightly larger rate, although every block is normalised?**
#
# After this lesson you can
# - write an attention head, and say which of its numbers nothing holds,
# - tell apart two gradients of a softmax,
# - read the largest logit of a run, and say what QK-norm buys.
#
# Core: about 65 minutes. Deeper: another 35 minutes. It runs in 15 seconds. Needs: [lesson
# 08](08_residual_and_normalization.ipynb). Next: [lesson 11](11_precision.ipynb).

# %%
import math
from collections import namedtuple
from functools import partial

import matplotlib.pyplot as plt
import torch
from torch.nn import functional as F

from gradutils import explorers, plots
from gradutils.attention import freeze, transformer_scores, transformer_stacks
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
from gradutils.data import digits, key_recall
from gradutils.training import grid, train_stacks

plots.use_style()

# %% [markdown]
# ## Before you start

# %%
recall("10")

# %% [markdown]
# ## 1 · A task that needs looking up
#
# Read this list once: `c 3`, `a 7`, `f 1`, `b 7`, `h 0`, `d 5`, and then the question `f`. The answer is `1`. To find
# it one must look for the place where `f` stood, and read what stands beside it. No average over the list contains the
# answer, because averaging forgets which key belongs to which value.
#
# That is our task. A list has six pairs of a key and a value, eight kinds of each, and a seventh token that asks for
# one of the keys. Whoever cannot look up can only guess among the values that were seen.
#
# A transformer looks up with **attention**. Each token sends out three vectors of $d$ numbers. Its **query** $q$ says
# what it looks for, its **key** $k$ what it can be found by, and its **value** $v$ what it hands over.

# %% [markdown]
# **By hand.** Let $d = 4$. The question sends $q = (2, 0, 1, 0)$. Two tokens stand in the list, with the keys $k_1 =
# (2, 1, 0, 0)$ and $k_2 = (0, 1, 0, 3)$, and with the values $1$ and $3$.
#
# 1. Queries meet keys: $q \cdot k_1 = 4$ and $q \cdot k_2 = 0$.
# 2. Each is divided by $\sqrt d = 2$, which leaves $2$ and $0$. These are the **logits**.
# 3. A softmax makes weights of them: $e^2/(e^2 + 1) = 0.88$ and $0.12$. They sum to 1.
# 4. The values are mixed with these weights: $0.88 \cdot 1 + 0.12 \cdot 3 = 1.24$.
#
# So the asking token hears mostly the first value, because its key points where the query points. Why the division? If
# the entries of $q$ and $k$ are independent and of size 1, a product $q \cdot k$ sums $d$ terms of mean square 1. Its
# size is then $\sqrt d$, and divided by $\sqrt d$ it is 1 for any $d$.

# %% tags=["drawing"]
# The drawing
fig, ax = plt.subplots(figsize=(6.4, 2.6))
plots.draw_head(ax)
plots.finish(ax, "One head: T tokens of n numbers, d numbers a head")

# %% [markdown]
# All tokens ask at once, so the logits are a matrix: a row for each query, a column for each key. The softmax goes
# along the rows.
#
# ### Exercise 10.1 · ●●○ · 8 minutes
#
# Write `attention(q, k, v)`. `q` is (…, S, d), `k` is (…, T, d) and `v` is (…, T, m), where the dots stand for any
# number of axes in front (batch, heads). Return what each of the S queries hears, (…, S, m):
#
# $$\text{softmax}\left(\frac{q\,k^T}{\sqrt d}\right) v$$
#
# `k.mT` exchanges the last two axes and leaves the others.


# %%
def attention(q, k, v):
    ### BEGIN SOLUTION
    logits = q @ k.mT / q.shape[-1] ** 0.5
    return logits.softmax(-1) @ v
    ### END SOLUTION


attention = check("10.1", attention).function

# %% [markdown]
# ## Predict
#
# Now put your head into a transformer of one block: 16 numbers a token, one head, then two dense layers. It is
# pre-norm, so what enters the head has been normalised, and what enters the dense layers too. The optimizer is AdamW
# without weight decay, at a constant rate. The order of a list does not matter, so there are no positions, and the
# normalisations have no gain.
#
# We train at the rates `0.01` to `0.3` and look for the largest logit in size after 100 steps, over 100 new lists.

# %%
same = "about as large, as each block is normalised"
ten = "about ten times as large"
hundred = "closer to a hundred times as large"
question = "From the rate 0.03 to 0.3 the largest logit becomes…"
predict("10.a", question, [same, ten, hundred])

# %% [markdown]
# ## What happens
#
# One function serves all experiments. It trains ten transformers for each rate, and puts `prepare` before your
# attention, which may change queries and keys. Parts named in `frozen` keep their first weights. It returns the loss
# and the largest logit of each network at every step. In the end it takes the logits on the new lists, and how many
# rates the weights of queries and keys are away from their start, in root mean square.

# %% tags=["experiment"]
# Ten transformers for each rate, trained at once
x, y = key_recall(4000, seed=1)
x_new, y_new = key_recall(100, seed=2)
task = digits()._replace(x_train=x, y_train=y, x_test=x_new, y_test=y_new)
as_they_are = lambda q, k: (q, k)
Run = namedtuple("Run", "loss largest logits moved")


def fresh(width=16):
    learnt = transformer_stacks(1, width, tokens=7, inputs=24, outputs=8)
    learnt[1] = torch.zeros_like(learnt[1])  # the positions
    return learnt


def trained(prepare, lrs, frozen=(), learnt=None, data=task, head=None, **options):
    learnt, seen, shape = learnt or fresh(), [], (len(lrs), 10)
    half = 2 * learnt[2].shape[-1]  # the rows of queries and keys

    def mix(q, k, v):
        q, k = prepare(q, k)
        logits = (q @ k.mT).detach().squeeze(2, 3) / q.shape[-1] ** 0.5
        seen.append(logits.unflatten(0, shape))
        return (head or attention)(q, k, v)

    def scores(p, x):
        if len(x) == 100:  # new lists, after the last step
            seen.append(p[2].detach()[:, :half].unflatten(0, shape))
        p = freeze(p, ("positions", "gains", *frozen))
        return transformer_scores(p, x, heads=1, pre_norm=True, mix=mix, token=-1)

    options = {"adam": True, "beta2": 0.95, "steps": 100} | options
    loss = train_stacks(scores, learnt, data, grid(lrs, [0.0])[0], **options).loss
    *batches, weights, logits = seen
    largest = torch.stack([z.abs().amax((2, 3)) for z in batches])
    moved = (weights - learnt[2][:, :half]).square().mean((1, 2, 3)).sqrt()
    return Run(loss.unflatten(1, shape), largest, logits, moved / torch.tensor(lrs))


at_end = lambda loss, steps=None: loss[:steps][-10:].mean(0)  # of ten batches
tops = lambda run: run.logits.abs().amax((2, 3))  # of new lists, (rates, seeds)

# %% [markdown]
# Four rates, ten networks each. On the left the loss in the end, on the right the largest logit. The grey line is the
# loss of transformers that cannot look: their heads weigh all tokens alike.

# %% tags=["experiment"]
# Loss and largest logit over the rate
rates = [0.01, 0.03, 0.1, 0.3]
hues = {"plain": plots.SECOND, "QK-norm": plots.STABLE}
plain = trained(as_they_are, rates)
blind = float(at_end(trained(lambda q, k: (0 * q, k), [0.03], steps=60).loss).median())


def over_rates(runs, titles):
    axes = plt.subplots(1, 2)[1]
    axes[0].axhline(blind, color=plots.REFERENCE)
    sizes = {
        "loss after 100 steps": lambda run: at_end(run.loss),
        "largest logit": tops,
    }
    options = {"log": "xy", "rough": True, "colours": [hues[name] for name in runs]}
    for ax, title, (unit, size) in zip(axes, titles, sizes.items()):
        curves = {name: size(run) for name, run in runs.items()}
        plots.plot_against_theory(ax, rates, curves, **options)
        ax.set_xticks(rates, rates)
        ax.minorticks_off()
        plots.finish(ax, title, "learning rate", unit)
    return axes[1]


right = over_rates({"plain": plain}, ("At 0.1 no better than blind", "Largest logit"))

# %% [markdown]
# What comes first? The same networks over the steps, at `0.03` and at `0.1`, as means of ten steps.

# %% tags=["experiment"]
# Loss and largest logit over the steps, at two rates
fig, (left, right) = plt.subplots(1, 2)
for ax, values in ((left, plain.loss), (right, plain.largest)):
    tens = values.unflatten(0, (10, 10)).mean(1)
    curves = {f"rate {rates[k]}": tens[:, k] for k in (1, 2)}
    options = {"log": "y", "rough": True, "colours": (plots.THIRD, plots.EXPLODES)}
    plots.plot_against_theory(ax, range(10, 101, 10), curves, **options)
left.axhline(blind, color=plots.REFERENCE)
plots.finish(left, "At 0.1 it never falls", "step", "loss")
plots.finish(right, "The logits are large at once", "step", "largest logit")

# %% [markdown]
# This is no run that went well and then broke. At `0.1` the logits are soon larger than they ever become at `0.03`,
# before anything is learnt, and the loss does not come down.
#
# Does the task matter for the logits? The first control has labels that were drawn at random, so there is nothing to
# look up. The second has a weight decay of `0.1`. And how far do the weights go?

# %% tags=["experiment"]
# Two controls, labels at random and weight decay, and how far weights go
noise = torch.randint(8, (4000,), generator=torch.Generator().manual_seed(3))
random = trained(as_they_are, [0.03, 0.3], data=task._replace(y_train=noise), steps=60)
decayed = trained(as_they_are, [0.1], weight_decay=0.1)
peak = lambda run: tops(run).median(1).values  # one a rate
growths = [float(high / low) for low, high in (peak(plain)[1::2], peak(random))]
told = ", ".join("yes" if 30 < growth < 300 else "no" for growth in growths)
print(f"from 0.03 to 0.3, 30 to 300 times the logit, task and random labels: {told}")
moved = ", ".join(f"{plain.moved[k]:.0f} at {rates[k]}" for k in (1, 3))
print(f"how many rates 100 steps lead away from them: {moved}")
smaller = bool(peak(decayed)[0] < peak(plain)[2] / 10)
print(f"with weight decay, at 0.1: less than a tenth of the logit: {smaller}")

# %% tags=["reveal"]
# The prediction is settled
reveal(
    "10.a",
    hundred if growths[0] > 30 else ten if growths[0] > 3 else same,
    "Queries and keys both grow with the rate, and a logit is their product.",
    wrong={
        same: "The normalisation holds what enters the block. A logit is made inside "
        "of it, by two matrices that no normalisation holds.",
        ten: "So each of the two matrices grows. A logit is made of their product.",
        hundred: "The largest logit grew far less.",
    },
)

# %% [markdown]
# Here is the first half of the answer. What enters the head has size 1 for each entry, since it was normalised. But $q
# = W_q h$ and $k = W_k h$, and Adam moves each weight by about the rate per step, whatever the gradient. The steps go
# back and forth, so 100 of them lead only some ten rates away. At `0.3` that is far more than the first weights, and
# both matrices are made of their steps alone. Then a logit, which holds the product of the two, grows with the square
# of the rate: ten times the rate gives up to a hundred times the logit.

# %% [markdown]
# By hand: at `0.3` eight rates are $2.4$, at `0.03` ten rates are only $0.3$, and the first weights have the size
# $0.18$. So read the square as a rough size and no law. The figure shows no straight line, because at small rates the
# first weights still count, and because a run that learns meets other gradients than one that does not.
#
# Two limits. It is no theory of attention, because random labels do the same: two matrices wander, and their sizes
# multiply. And it is the growth without weight decay, at a constant rate. A decay pulls every weight back at each step,
# so that it cannot wander far. With a decay of `0.1` the logits are small again at the rate `0.1`. Whether that is
# enough to learn, section 3 asks.
#
# Large logits are one finding and failed runs another. Does the one bring about the other? For that we need to know
# what a softmax does when its logits are large.

# %% [markdown]
# ## 2 · What a softmax lets through
#
# Three logits, $2, 1, 0$, and the same three times 2 and times 4:

# %% tags=["drawing"]
# The drawing
fig, axes = plt.subplots(1, 3, figsize=(6.4, 2.2), sharey=True)
for ax, factor in zip(axes, (1, 2, 4)):
    plots.draw_softmax(ax, [2 * factor, factor, 0], colour=hues["plain"])
    plots.finish(ax, f"Times {factor}")

# %% [markdown]
# The larger the logits, the more the softmax has already chosen. What can a gradient still change? Move one logit a
# little. With two tokens and the weights $p = (0.5, 0.5)$ a small change of the first logit moves the first weight by
# $p_1(1 - p_1) = 0.25$ times as much. What it gains the second loses, so that one moves by $-p_1 p_2 = -0.25$. With $p
# = (0.98, 0.02)$ the same numbers are $0.02$ and $-0.02$: hardly anything moves, because there is hardly anything left
# to take.
#
# In general the derivative of weight $i$ with respect to logit $j$ is
#
# $$\frac{\partial p_i}{\partial z_j} = p_i\,(\delta_{ij} - p_j)$$
#
# with $\delta_{ij} = 1$ if $i = j$ and 0 otherwise. For $p = (\frac12, \frac14, \frac14)$ the first row is $\frac14,
# -\frac18, -\frac18$. It sums to 0, since adding one number to all logits changes no weight.
#
# ### Exercise 10.2 · ●○○ · 6 minutes
#
# Write `softmax_jacobian(p)`. `p` is (T,), the weights *after* the softmax. Return the (T, T) matrix with the
# derivative of `p[i]` with respect to logit `j` in row `i` and column `j`.


# %%
def softmax_jacobian(p):
    ### BEGIN SOLUTION
    return torch.diag(p) - torch.outer(p, p)
    ### END SOLUTION


softmax_jacobian = check("10.2", softmax_jacobian).function

# %% [markdown]
# How much slope is left in all? Sum the diagonal, the slope of each weight with respect to its own logit:
#
# $$\sum_i p_i (1 - p_i) = 1 - \sum_i p_i^2$$
#
# It is $1 - 1/T$ where all $T$ weights are alike, and 0 where one of them is 1. For $(\frac12, \frac14, \frac14)$ it is
# $1 - \frac14 - \frac1{16} - \frac1{16} = \frac58$. Let us call it the slope that is left, and ask how it falls as the
# logits spread.
#
# ### Exercise 10.3 · ●●○ · 8 minutes
#
# Write `expected_slope(s, tokens)`: the mean of $1 - \sum p^2$ over many softmaxes, each of `tokens` independent logits
# from $N(0, s^2)$. Draw 20000 rows at once (with a seeded generator, so that every run gives the same) and average.
# Return a number. The check allows 3 %. Two values to compare with: at `s = 0` and 4 tokens it is exactly $\frac34$; at
# `s = 2` and 16 tokens it is about $0.68$.


# %%
def expected_slope(s, tokens):
    ### BEGIN SOLUTION
    g = torch.Generator().manual_seed(0)
    p = (s * torch.randn(20000, tokens, generator=g)).softmax(-1)
    return float((1 - p.square().sum(-1)).mean())
    ### END SOLUTION


expected_slope = check("10.3", expected_slope).function

# %% [markdown]
# Your two functions agree: the Jacobian's diagonal sums to the slope that is left. Then the slope over the spread, for
# three lengths of the list.

# %%
p = torch.tensor([0.5, 0.25, 0.25])
print(softmax_jacobian(p))
print(float(softmax_jacobian(p).diagonal().sum()), float(1 - p.square().sum()))

# %% tags=["drawing"]
# The drawing
fig, ax = plt.subplots(figsize=(6.4, 2.6))
spreads = [0.25, 0.5, 1.0, 2.0, 4.0, 8.0]
slopes = {f"{T} tokens": [expected_slope(s, T) for s in spreads] for T in (2, 8, 32)}
plots.plot_against_theory(ax, spreads, slopes, log="x")
plots.finish(ax, "The slope that is left", "standard deviation of the logits", "slope")

# %% [markdown]
# For a large spread the slope falls as $1/s$: half the slope for twice the spread. So a softmax has no cliff. It closes
# slowly, on average over the rows. The more tokens there are, the further the logits must spread before it closes.
#
# In the explorer, find the spread at which half of the rows have given one token a weight above one half, for 16 tokens
# and for 512. Its sentence tells when you are there. (The dotted line is computed without drawing, by an integral.)

# %%
explorers.explore_softmax()

# %% [markdown]
# ## Claim on trial: W22
#
# *Without 1/sqrt(d) the softmax's gradient becomes extremely small.* So A. Vaswani et al. (2017) explain their
# division, in the section that introduces it. They suspect that "for large values" of $d$ the products push "the
# softmax function into regions where it has extremely small gradients". It is taught with every transformer.
#
# Two gradients are near at hand, and easily confused.
#
# - $\partial L/\partial z$, with respect to the **logits**. It is what the softmax itself lets through, and it is what
#   the sentence speaks of.
# - $\partial L/\partial q$, with respect to the **query**. It sums $\partial L/\partial z_j$ times the key $k_j$, and,
#   with the division, it is divided by $\sqrt d$ as well.
#
# Take $d = 256$ and leave the division out. The logits of random queries and keys have the spread $\sqrt{256} = 16$.

# %%
dies = "much smaller"
stays = "about as large"
grows = "larger"
question = "What reaches the query, in root mean square, is then…"
predict("10.b", question, [dies, stays, grows])

# %% [markdown]
# **Our prediction.** The typical row of $\partial L/\partial z$ shrinks to less than a tenth, at every $d$ from 64 on.
#
# Random queries, keys and derivatives $\partial L/\partial p$, nothing is trained, ten seeds with 24 rows each, 16 and
# 256 tokens. The figure shows what is left without the division, over what there is with it. On the left is the typical
# (median) row of the softmax's own gradient, on the right the root mean square of what reaches the queries.

# %% tags=["experiment"]
# Two gradients, with the division and without it
dims, lengths = [4, 16, 64, 256, 1024], [16, 256]


def two_gradients(d, tokens, seed):  # the median row, rms of both; without over with
    g = torch.Generator().manual_seed(seed)
    q = torch.randn(24, 1, d, generator=g)
    k = torch.randn(24, tokens, d, generator=g)
    upstream = torch.randn(24, tokens, generator=g).double()
    products, found = (q @ k.mT).squeeze(1).double(), []
    for scale in (1.0, d**-0.5):
        p = (products * scale).softmax(-1)
        to_logits = p * (upstream - (p * upstream).sum(-1, keepdim=True))
        to_q = scale * (to_logits.float().unsqueeze(1) @ k)
        rows = to_logits.square().mean(-1).sqrt()
        found.append([rows.median(), rows.norm(), to_q.norm()])
    return [max(float(a / b), 1e-6) for a, b in zip(*found)]


ratios = {}
for tokens in lengths:
    found = [[two_gradients(d, tokens, seed) for seed in range(10)] for d in dims]
    ratios[f"{tokens} tokens"] = torch.tensor(found).double()  # (d, seeds, 3)
fig, axes = plt.subplots(1, 2)
titles = ("The softmax's own, typical row", "What reaches q, rms")
for ax, which, title in zip(axes, (0, 2), titles):
    shown = {name: ratio[..., which] for name, ratio in ratios.items()}
    plots.plot_against_theory(ax, dims, shown, log="xy", rough=True)
    ax.axhline(1, color=plots.REFERENCE)
    ax.set_ylim(1e-5, 100)
    plots.finish(ax, title, "d", "without / with 1/sqrt(d)")

# %% tags=["reveal"]
# The prediction is settled
_, passed, reaches = ratios["16 tokens"][dims.index(256)].median(0).values.tolist()
reveal(
    "10.b",
    grows if reaches > 2 else stays if reaches > 0.5 else dies,
    f"In root mean square dL/dz falls to {passed:.1f} of what it was. Each key has the "
    f"length 16, and no division by 16 follows: about {reaches:.0f} times as much.",
    wrong={
        dies: "Most rows get next to nothing. But a few rows stand between two keys, "
        "and there a long key multiplies what is left.",
        stays: "The average slope, about 1/16, times a key of length 16 would say so. "
        "But a root mean square is ruled by the few rows that still pass a lot.",
        grows: "It is not larger.",
    },
)

# %% [markdown]
# So both are true at once. The softmax's own gradient dies in the typical row, if $d$ is large. What reaches the
# queries does not vanish: few rows get all of it, and most rows starve.
#
# And the length of the list decides where "large" begins, which we had not expected. With 256 tokens and $d = 64$ the
# typical row is not smaller at all. With the division each weight is near $1/256$, and so is each slope. A sharper
# softmax has fewer weights but larger ones, and so at first a *larger* gradient. Only where the spread of the logits is
# far above what so many tokens can share does the row die.
#
# Does training suffer? Heads of $d = 32$, 50 steps, the better of the rates `0.003` and `0.01` for each network. The
# third arm keeps the division, but its first queries and keys are larger, so that its first logits are as large as
# those without it.

# %% tags=["experiment"]
# With the division, without it, and with it from a start as large
undivided = lambda q, k: (q * q.shape[-1] ** 0.5, k)
larger = fresh(32)
larger[2] = torch.cat([32**0.25 * larger[2][:, :64], larger[2][:, 64:]], 1)
arms = {
    "divided": (as_they_are, fresh(32)),
    "not divided": (undivided, fresh(32)),
    "divided, large start": (as_they_are, larger),
}
ended_at = {}
for name, (prepare, learnt) in arms.items():
    run = trained(prepare, [0.003, 0.01], learnt=learnt, steps=50)
    ended_at[name] = at_end(run.loss).amin(0)  # of the better rate, (seeds,)
others, least = list(arms)[1:], ended_at["divided"]
harmed = plots.how_many([(ended_at[name] > least).sum() for name in others])
tenfold = [bool(ended_at[name].median() > 10 * least.median()) for name in others]
table({"against divided": others, "worse, of ten": harmed, "tenfold loss": tenfold})

# %% [markdown]
# Most: eight or more of ten. Few: two or fewer. Some: in between. Leaving the division out costs in training, and so
# does a large start *with* the division, nearly as much. So much of the harm is the start: a head that has chosen
# before it has learnt anything.

# %% tags=["experiment"]
# The verdict on W22
found = {
    f"d = {d}, {name}": at_most(float(ratio[k, :, 0].median()), 0.1, false_at=0.5)
    for name, ratio in ratios.items()
    for k, d in ((2, 64), (4, 1024))
}
rms = float(ratios["16 tokens"][-1, :, 1].median())
evidence = "No training: random heads of 4 to 1024 dimensions; what is left in the "
evidence += (
    f"typical row. In root mean square it is {rms:.1f} at d = 1024 and 16 tokens; "
)
evidence += "what reaches the queries does not fall. AdamW, 50 steps, d = 32: worse "
evidence += f"without the division in {harmed[0]} of ten."
verdict("W22", found, evidence)

# %% [markdown]
# The advice stands: divide. Its reason is right for the typical row of a head whose logits spread far beyond what the
# list can share. Our prediction was too bold: $d = 64$ is not enough with 16 tokens, and with 256 it does the opposite.

# %% [markdown]
# ## 3 · Hold the queries and keys
#
# If growing queries and keys are the trouble, give them a fixed size. **QK-norm** divides each query and each key by
# its root mean square, before they meet. By hand, with $q = (3, 4)$: the mean square is $12.5$, its root $3.54$, and so
# $q$ becomes $(0.85, 1.13)$. Its length is now $\sqrt2$, whatever it was before. A query a hundred times as long would
# give the same.
#
# So every query and key has the length $\sqrt d$. Their product is $d$ times the cosine of the angle between them, and
# divided by $\sqrt d$ it can never pass $\sqrt d$. For our heads of 16 that is 4. The bound follows from the formula,
# so it is no finding. Whether it helps is one.

# %% tags=["drawing"]
# The drawing
fig, axes = plt.subplots(1, 2, figsize=(6.4, 2.2))
query, key = (3.0, 0.6), (0.5, 1.4)
normed = [
    tuple(2**0.5 * part / math.hypot(*pair) for part in pair) for pair in (query, key)
]
for ax, pair, title in zip(axes, ((query, key), normed), ("Before", "After QK-norm")):
    named = zip(("query", "key"), pair, (plots.THIRD, plots.FOURTH))
    arrows = {name: ((0, 0), vector, hue) for name, vector, hue in named}
    plots.draw_arrows(ax, arrows, reach=(-0.3, 3.4, -0.3, 1.8))
    sizes = " and ".join(f"{math.hypot(*vector):.1f}" for vector in pair)
    plots.finish(ax, f"{title}: lengths {sizes}")

# %% [markdown]
# ### Exercise 10.4 · ●●○ · 6 minutes
#
# RMSNorm of lesson 08 in new clothes. Write `qk_norm(q, k)`: `q` is (…, S, d) and `k` is (…, T, d), with any number of
# axes in front (batch, heads). Return both, each query and each key divided by the root mean square of its own $d$
# entries. No row is all zeros.


# %%
def qk_norm(q, k):
    ### BEGIN SOLUTION
    rms = lambda x: x.square().mean(-1, keepdim=True).sqrt()
    return q / rms(q), k / rms(k)
    ### END SOLUTION


qk_norm = check("10.4", qk_norm).function

# %% [markdown]
# ## Claim on trial: W23
#
# *QK-norm keeps attention stable.* It is said so since M. Dehghani et al. (2023) trained a vision transformer of 22
# billion parameters with it. M. Wortsman et al. (2023) found that it widens the range of usable rates in small models
# too.
#
# **Our prediction.** At the rate `0.1`, where plain attention fails, QK-norm learns. At `0.01` it gains nothing. And if
# growing queries and keys are at fault, *freezing* both must do as well as QK-norm, while freezing any other part must
# not.
#
# The same four rates, ten networks each. Grey are again the transformers that cannot look.

# %% tags=["experiment"]
# Plain and with QK-norm over the rate
normal = trained(qk_norm, rates)
titles = ("Alike at 0.01, then far lower", "Held at 4 (dotted)")
right = over_rates({"plain": plain, "QK-norm": normal}, titles)
right.axhline(4, **plots.THEORY)
print(f"QK-norm, largest logit of all: {float(normal.logits.abs().max()):.1f}")

# %% [markdown]
# Now the controls, at the rate `0.1`. In most of them some weights keep their first values. One has a **softcap**
# instead, which replaces each logit $z$ by $c\,\tanh(z/c)$, here with $c = 4$: the bound of QK-norm, reached otherwise
# (its row shows the logits before that). We say that an arm learns if its median network ends below a loss of 1.

# %% tags=["experiment"]
# Freeze one part after the other at the rate 0.1


def capped(q, k, v, c=4.0):
    return (c * torch.tanh(q @ k.mT / q.shape[-1] ** 0.5 / c)).softmax(-1) @ v


runs = {"softcap at 4": trained(as_they_are, [0.1], head=capped)}
for parts in ("queries keys", "queries", "keys"):
    runs[f"frozen: {parts}"] = trained(as_they_are, [0.1], parts.split())
for parts in ("values output dense", "embedding readout"):
    runs[f"frozen: {parts}"] = trained(as_they_are, [0.1, 0.03], parts.split())
ends = {"plain": at_end(plain.loss)[2], "QK-norm": at_end(normal.loss)[2]}
ends |= {name: at_end(run.loss)[0] for name, run in runs.items()}
heights = [peak(plain)[2], peak(normal)[2], *(peak(run)[0] for run in runs.values())]
sizes = ["below 10" if h < 10 else "below 100" if h < 100 else "more" for h in heights]
learns = [bool(loss.median() < 1) for loss in ends.values()]
table({"at 0.1": ends, "largest logit": sizes, "learns": learns})
able = [bool(at_end(run.loss)[1].median() < 1) for run in list(runs.values())[-2:]]
print(f"the last two at 0.03: {' and '.join('learns' if a else 'fails' for a in able)}")

# %% [markdown]
# That names the culprit. With queries and keys frozen the transformer learns, although all other parts move at the same
# rate. (It can still attend to what it needs, because the embedding learns to place the keys.) Freezing *one* of the
# two is enough: then the logits grow with one matrix, not with the product of two. Freezing the others saves it in no
# case, although with these frozen it can learn, as `0.03` shows. And a bound alone is not enough. Where the softcap
# cuts, its slope is 0, so that no gradient brings the logits behind it back.
#
# How does the harm come about? Look into the trained heads, on the new lists: how much slope has the typical row, and
# does its largest weight lie on the right pair?

# %% tags=["experiment"]
# Inside the trained heads: the slope of the typical row, and where it looks
tokens = x_new.view(100, 7, 3, 8)
asked = (tokens[:, :6, 0] * tokens[:, 6:, 2]).sum(-1).argmax(1)
heads = {f"plain, {rates[k]}": plain.logits[k] for k in range(3)}
heads["QK-norm, 0.1"] = normal.logits[2]
weights = torch.stack(list(heads.values())).softmax(-1)  # (heads, seeds, lists, 7)
slopes = (1 - weights.square().sum(-1)).flatten(1).median(1).values
hits = (weights.argmax(-1) == asked).float().mean((1, 2))
right = ["over 0.8" if h > 0.8 else "below 0.5" if h < 0.5 else "between" for h in hits]
shut = (slopes < 0.01).tolist()
table({"head": heads, "typical slope below 0.01": shut, "share of right": right})

# %% [markdown]
# So a shut softmax is not ill in itself. At `0.03` the typical row lets nothing through either, but it looks at the
# right pair and has nothing left to learn. At `0.1` it was shut before it had learnt, and looks at a wrong pair. Such a
# row gets next to nothing that could correct it. It is moved all the same, by what the few open rows send to the
# weights that all share, and that is much, as we saw. Which harms more, too little for most or too much from few, we
# did not separate.
#
# The usual recipe does not have a constant rate. Here it has a warmup of 20 steps and a cosine to 0. Below it: what
# QK-norm gains at smaller rates, and whether weight decay can take its place. Most: eight or more of ten. Few: two or
# fewer. Some: in between.

# %% tags=["experiment"]
# With a warmup and a cosine, and what QK-norm gains where plain attention learns


def recipe(k):
    return min(1.0, (k + 1) / 20) * (1 + math.cos(math.pi * max(0, k - 20) / 80)) / 2


usual = at_end(trained(as_they_are, [0.1, 0.3], schedule=recipe).loss)
usual = [*usual, *at_end(trained(qk_norm, [0.3], schedule=recipe).loss)]
learns = [bool(loss.median() < 1) for loss in usual]
table({"recipe": ["plain, 0.1", "plain, 0.3", "QK-norm, 0.3"], "learns": learns})
ours, theirs = at_end(normal.loss), at_end(plain.loss)  # (rates, seeds)
over = (ours.median(1).values / theirs.median(1).values).tolist()
print(
    f"QK-norm over plain: {over[0]:.1f} at 0.01; below 1/3 at 0.03: {over[1] < 1 / 3}"
)
print(f"decay instead, at 0.1: most learn: {(at_end(decayed.loss) < 1).sum() >= 8}")

# %% tags=["experiment"]
# The verdict on W23
names = ["rate 0.1, 80 steps", "rate 0.1, 100 steps", "rate 0.3, warmup and cosine"]
at_80 = [at_end(run.loss, 80)[2] for run in (normal, plain)]
pairs = [at_80, (ours[2], theirs[2]), (usual[2], usual[1])]
parts = [float(with_it.median() / without.median()) for with_it, without in pairs]
found = {n: at_most(part, 0.5, false_at=0.9) for n, part in zip(names, parts)}
lower = plots.how_many([(ours[1] < theirs[1]).sum()])[0]
evidence = "AdamW, no decay, one block of width 16, 80 and 100 steps, rates up to 0.3: "
evidence += "the median loss with QK-norm over that without it, where plain attention "
evidence += (
    f"fails. At a constant 0.01 it is {over[0]:.1f}: nothing is gained. At 0.03, "
)
evidence += f"where both learn, QK-norm ends lower in {lower} of ten."
verdict("W23", found, evidence)

# %% [markdown]
# What holds is a wider window of rates. At `0.01` both end alike. At `0.03`, where plain attention learns as well,
# QK-norm ends far lower. With a warmup and a cosine plain attention bears `0.1`, and the gap moves to `0.3`. QK-norm
# has its limits too: at a constant `0.3` its loss rises again. Weight decay holds the same matrices, and the logits are
# small, but at `0.1` it does not take the place of QK-norm.

# %% [markdown]
# ## On a real run
#
# `F.scaled_dot_product_attention` never shows its logits, since it computes them in pieces and keeps none. Hook what
# goes in: the two normalisations, or the layer that makes queries and keys. On one small batch multiply them yourself.


# %%
class Head(torch.nn.Module):
    def __init__(self, n, d):
        super().__init__()
        self.qkv = torch.nn.Linear(n, 3 * d, bias=False)
        self.q_norm, self.k_norm = torch.nn.RMSNorm(d), torch.nn.RMSNorm(d)

    def forward(self, h):
        q, k, v = self.qkv(h).chunk(3, -1)
        return F.scaled_dot_product_attention(self.q_norm(q), self.k_norm(k), v)


# %%
torch.manual_seed(0)
head, seen = Head(64, 16), []
keep = lambda layer, inputs, output: seen.append(output)
handles = [part.register_forward_hook(keep) for part in (head.q_norm, head.k_norm)]
with torch.no_grad():
    head(torch.randn(8, 10, 64, generator=torch.Generator().manual_seed(0)))
for handle in handles:
    handle.remove()
logits = seen[0] @ seen[1].mT / 16**0.5
p = logits.softmax(-1)
print(f"largest logit {float(logits.abs().max()):.1f}, bound {16**0.5:.0f}")
share = float(-(p * p.log()).sum(-1).mean()) / math.log(10)
print(f"entropy {share:.2f} of the largest, ln 10")

# %% [markdown]
# - Without QK-norm hook `qkv` instead: `q, k, v = output.chunk(3, -1)`. With more heads than one, split each before
#   they meet: `q.unflatten(-1, (heads, d)).transpose(-3, -2)`.
# - Log the **largest logit** of each layer, not the mean. Here heads learnt at some tens and failed at some hundreds.
#   Look whether it still grows from step to step; a large one that stands still may be what the task needs.
# - `Recorder` sees the outputs of layers, here of `qkv`, `q_norm` and `k_norm`. A logit is no layer's output, so it
#   shows the growth one step earlier: in the size of what `qkv` gives.
# - `torch.nn.RMSNorm` has a gain that is learnt. It can undo part of the bound, so log the largest logit with QK-norm
#   too.
# - A run that learns only at smaller rates: first a warmup and a decay of the rate, then QK-norm. Weight decay keeps
#   the logits small too, but here that was not enough. At a small rate expect nothing from QK-norm.

# %% [markdown]
# ## Summary
#
# A block's normalisation holds what enters the head, but not the logits, because these are made inside by two matrices
# that multiply. At a large rate both are soon made of their steps, and the logits grow roughly with the square of the
# rate. They are large before anything is learnt. Then the softmax has chosen, most choices are wrong, and the typical
# row lets next to nothing through that could correct it. Whatever holds queries or keys widens the window of rates:
# freezing one or both, or QK-norm. Freezing the other parts does not, and nor does a softcap. The size of the bound
# counts, since too flat and too sharp are both worse. At a small rate nothing is gained.

# %% [markdown]
# ## Deeper
#
# Four parts follow. A asks how large a logit should be, with claim W25. B asks what depth does to the tokens, with W24,
# and C whether that explains why skip paths help. D is a paper in small.

# %% [markdown]
# ### A · How large may a logit be?
#
# QK-norm came with a bound, $\sqrt d$. Is it the bound that helps, or its size? Multiply the normalised queries by a
# number, and the bound is whatever we like.
#
# #### Claim on trial: W25
#
# *Low attention entropy is the illness.* S. Zhai et al. (2023) found that low entropy *accompanies* unstable training.
# It is often said as if it were the cause, and its opposite the cure. The **entropy** $-\sum p \ln p$ of the weights is
# $\ln T$ where all are alike and 0 where one token has everything.

# %%
flattest = "1, the flattest"
middle = "4, in the middle"
sharpest = "32, the sharpest"
predict(
    "10.c",
    "Of the bounds 1, 4 and 32 the lowest loss has…",
    [flattest, middle, sharpest],
)

# %% [markdown]
# Two rates in each arm, `0.01` and `0.03`, of which every network takes the better one, read after 80 and after 100
# steps.

# %% tags=["experiment"]
# Three bounds


def bounded(q, k, bound):
    q, k = qk_norm(q, k)
    return bound / 4 * q, k


def entropy_at_start(bound):  # of random queries and keys, as a share of ln T
    draws = torch.randn(2, 1000, 7, 16, generator=torch.Generator().manual_seed(0))
    q, k = bounded(*draws, bound)
    p = (q @ k.mT / 4).softmax(-1).clamp(min=1e-30)
    return f"{float(-(p * p.log()).sum(-1).mean()) / math.log(7):.2f}"


doses = {"1": None, "4": normal.loss[:, :2], "32": None}
for bound in (1, 32):
    prepare = partial(bounded, bound=bound)
    doses[f"{bound}"] = trained(prepare, [0.01, 0.03]).loss
best = {n: [at_end(loss, k).amin(0) for k in (80, 100)] for n, loss in doses.items()}
good = plots.how_many([(by_end < 0.1).sum() for _, by_end in best.values()])
shares = [entropy_at_start(int(n)) for n in doses]
table({"bound": doses, "entropy at first": shares, "loss below 0.1, of ten": good})

# %% tags=["reveal"]
# The prediction is settled
medians = [float(by_end.median()) for _, by_end in best.values()]
reveal(
    "10.c",
    [flattest, middle, sharpest][medians.index(min(medians))],
    "It is lower by a factor of ten or more than the others.",
    wrong={
        flattest: "It keeps the highest entropy for ever, and so it can never look at "
        "one token alone: all others are heard as well.",
        middle: "Another bound did better.",
        sharpest: "It can look at one token. But at the start it has chosen at random "
        "already, and a softmax that has chosen lets little through.",
    },
)

# %% [markdown]
# Most: eight or more of ten. Few: two or fewer. Some: in between. Too flat, right, too sharp: there is a good size, and
# entropy alone does not say whether a head is ill. At a bound of 1 the logits lie between $-1$ and $1$, so with seven
# tokens the right one gets at most $e/(e + 6/e) = 0.55$. At 32 the weights are decided in nearly every row before the
# first step. That fits the large start in the trial of W22. But a larger bound also lets the logits move faster, and
# this trial does not tell the two apart. A head that *ends up* sharp is what this task needs: at `0.03` it was sharp
# and right.

# %% tags=["experiment"]
# The verdict on W25
worse = {
    pair: min(int((a > b).sum()) for a, b in zip(best[pair[1]], best[pair[0]]))
    for pair in (("4", "32"), ("1", "4"))
}
found = {
    f"bound {sharp} instead of {flat}: the lower entropy is worse": mostly(count)
    for (flat, sharp), count in worse.items()
}
evidence = "AdamW at the better of two rates, 80 and 100 steps, one block of width 16. "
evidence += f"Bound 32 ends higher than bound 4 in {worse['4', '32']} of ten, bound 4 "
evidence += f"higher than bound 1 in {worse['1', '4']}; the smaller count of the two "
evidence += "budgets."
verdict("W25", found, evidence)

# %% [markdown]
# ### B · Tokens that become alike
#
# Attention averages. Tokens that are mixed again and again become alike, which is called **rank collapse**, because a
# matrix of equal rows has rank 1. Y. Dong et al. (2021) prove that without skip paths and dense layers it goes doubly
# exponentially with depth.

# %% [markdown]
# Follow it by hand, with a skip path and weights that are all $1/T$. Split the mean square of a token into a part that
# it **shares** with all others, and a part of its **own**. Let there be four tokens, each of mean square 1, all at
# right angles, so shared is $0$ and own is $1$. The mean over the four tokens has the mean square $0 + \frac14$, since
# own parts are independent and average out. The branch brings just that to *every* token, turned by random weights:
# shared becomes $0 + \frac14$, and own stays $1$. After the second block shared is $\frac14 + \frac14 + \frac14 =
# \frac34$. What is left apart, $1 - \cos$, is own over the total, $1/1.75 = 0.57$.

# %% tags=["drawing"]
# The drawing
fig, ax = plt.subplots(figsize=(6.4, 1.8))
plots.draw_residual(ax, ["mean over tokens", "W"], path="own and shared", back=False)
plots.finish(ax, "The path keeps what is own; the branch adds only what is shared")

# %% [markdown]
# ### Exercise 10.5 · ●●○ · 8 minutes
#
# Write `still_apart(cosine, tokens, blocks, branch)`. At first shared is `cosine` and own is `1 - cosine`. In each
# block the branch, multiplied by the number `branch`, adds `branch**2 * (shared + own / tokens)` to shared. Return own
# over the total after all blocks, a number.


# %%
def still_apart(cosine, tokens, blocks, branch):
    ### BEGIN SOLUTION
    shared, own = cosine, 1 - cosine
    for _ in range(blocks):
        shared = shared + branch**2 * (shared + own / tokens)
    return own / (shared + own)
    ### END SOLUTION


still_apart = check("10.5", still_apart).function

# %% [markdown]
# This is the growth of lesson 08 again: with `branch = 1` shared doubles per block, so $1 - \cos$ is halved, and small
# soon. How small must the branch be, to keep half? Own does not change, so it is half where shared has grown to own.
# And shared plus own over $T$ is multiplied by $1 + b^2$ in each block, where $b$ is the branch. With four tokens at
# right angles it must grow from $\frac14$ to $1 + \frac14$, five times in all. In two blocks that is $1 + b^2 =
# \sqrt5$, so $b = 1.11$.
#
# ### Exercise 10.6 · ●●○ · 8 minutes
#
# Write `largest_branch(cosine, tokens, blocks)`: the `branch` at which `still_apart` has come down to exactly one half.
# `cosine` is below one half. Solve it, or search for it.


# %%
def largest_branch(cosine, tokens, blocks):
    ### BEGIN SOLUTION
    own = 1 - cosine
    growth = (own + own / tokens) / (cosine + own / tokens)
    return math.sqrt(growth ** (1 / blocks) - 1)
    ### END SOLUTION


largest_branch = check("10.6", largest_branch).function

# %% [markdown]
# For many blocks the root of order $L$ is $1 + \ln(\text{growth})/L$, and so the branch may be about $1/\sqrt L$, as
# for gradients in lesson 08. Times the square root of the depth it settles:

# %%
for blocks in (4, 16, 64):
    print(f"{blocks} blocks: {largest_branch(0.0, 16, blocks) * blocks**0.5:.2f}")

# %% [markdown]
# #### Claim on trial: W24
#
# *Skip connections stop rank collapse.* The abstract of Dong et al. says: "skip connections and MLPs stop the output
# from degeneration", that is, from the doubly exponential one. It is often said of skip paths alone.
#
# **Our prediction.** A skip path slows the collapse, from doubly exponential to a halving per block, but does not stop
# it. Only branches over $\sqrt L$ do.
#
# Random networks with a softmax instead of equal weights, 16 tokens at right angles on average, 64 dimensions, ten
# draws in float64, no training. Dotted is your `still_apart`, from below for skip paths, pre-norm and branches over
# $\sqrt L$. Pre-norm divides the branch by the size of the path, which gives $1/L$ in the same theory. One arm has
# dense layers as well.

# %% tags=["experiment"]
# 1 - cosine between tokens, by depth, in four kinds of network
normed = lambda h: h / h.square().mean(-1, keepdim=True).sqrt()
kinds = {
    "skip": {},
    "pre-norm": {"norm": normed},
    "pre-norm, dense": {"norm": normed, "dense": True},
    "skip, branch / sqrt(L)": {"root": True},
}


def apart(h):  # the mean of 1 - cosine over pairs of tokens, (seeds,)
    unit = F.normalize(h, dim=-1)
    return (1 - unit @ unit.mT).sum((1, 2)) / (16 * 15)


def collapse(L, path=1.0, norm=lambda h: h, dense=False, root=False):
    g = torch.Generator().manual_seed(L)
    draw = lambda *shape: torch.randn(10, *shape, generator=g, dtype=torch.float64)
    h, branch = draw(16, 64), L**-0.5 if root else 1.0
    for _ in range(L):
        q, k, v = (norm(h) @ draw(64, 192) / 8).chunk(3, -1)
        h = path * h + branch * attention(q, k, v)
        if dense:
            z = torch.relu(norm(h) @ draw(64, 128) / 8)
            h = path * h + branch * z @ draw(128, 64) / 8
    return apart(h)


def pre_norm_apart(blocks, tokens=16):
    shared, own = 0.0, 1.0
    for _ in range(blocks):
        shared += (shared + own / tokens) / (shared + own)
    return own / (shared + own)


depths = [4, 8, 16, 32]
apart_at = {
    name: torch.stack([collapse(L, **options) for L in depths])
    for name, options in kinds.items()
}
expected = {
    "skip": [still_apart(0.0, 16, L, 1.0) for L in depths],
    "pre-norm": [pre_norm_apart(L) for L in depths],
    "skip, branch / sqrt(L)": [still_apart(0.0, 16, L, L**-0.5) for L in depths],
}
fig, ax = plt.subplots()
options = {"log": "xy", "rough": True}
plots.plot_against_theory(ax, depths, apart_at, **options)
for line in expected.values():
    ax.plot(depths, line, **plots.THEORY)
ax.set_ylim(1e-9, 3)
plots.finish(
    ax, "Pre-norm slows it to 1/L; only 1/sqrt(L) stops it", "blocks", "1 - cosine"
)

# %% [markdown]
# Without any skip path three layers are enough; only powers of ten are worth printing there.

# %% tags=["experiment"]
# Without a skip path, and the verdict on W24
bare = [float(collapse(L, path=0.0).median()) for L in (1, 2, 3)]
print("no skip, 1 to 3 layers:", ", ".join(f"1e{round(math.log10(b))}" for b in bare))
found = {
    f"{name}, 32 blocks": at_least(float(values[-1].median()), 0.5, false_at=0.3)
    for name, values in apart_at.items()
}
evidence = "No training: random heads of 64 dimensions, 16 tokens, ten draws; what "
evidence += "counts is the median of 1 - cosine after 32 blocks, from nearly 1 at "
last = [float(v[-1].median()) for v in apart_at.values()]
evidence += f"first: {last[1]:.2f} pre-norm, {last[2]:.1f} with dense layers, "
evidence += f"{last[3]:.1f} with branches over sqrt(L)."
verdict("W24", found, evidence)

# %% [markdown]
# The skip path turns a collapse within three layers into a halving per block. Pre-norm turns that into $1/L$, because
# each branch is small beside a path that has grown. With dense layers pre-norm falls more slowly still, about as
# $L^{-1/2}$, so do not carry $1/L$ over to whole transformers.

# %% [markdown]
# ### C · Two facts, not one
#
# Networks with skip paths train faster, and skip paths keep tokens apart. Is the second the reason for the first? The
# control replaces attention by the identity, so that each token hears itself alone and nothing can collapse. If
# collapse were the reason, this network should do well without skip paths.
#
# Digits as 8 tokens of 8 pixels, four pre-norm blocks of width 16, AdamW, a rate of `0.003`, 50 steps, ten networks.

# %% tags=["experiment"]
# Skip paths and attention, each there or not


def four_blocks(p, x, path, mix):
    embedding, heads, outputs, first, second, readout = p
    h = x.view(len(x), 8, 8) @ embedding.unsqueeze(1).mT
    for k in range(4):
        q, key, v = (normed(h) @ heads[:, k, None].mT).chunk(3, -1)
        h = path * h + mix(q, key, v) @ outputs[:, k, None].mT
        z = torch.relu(normed(h) @ first[:, k, None].mT)
        h = path * h + z @ second[:, k, None].mT
    return normed(h).mean(2) @ readout.mT


draws = torch.Generator().manual_seed(0)
shapes = [(16, 8), (4, 48, 16), (4, 16, 16), (4, 32, 16), (4, 16, 32), (10, 16)]
start = [torch.randn(10, *s, generator=draws) / s[-1] ** 0.5 for s in shapes]
images = digits()
few = images._replace(x_test=images.x_test[:20], y_test=images.y_test[:20])
identity = lambda q, k, v: v
arms = {
    "skip paths": (1.0, attention),
    "none": (0.0, attention),
    "none, nothing collapses": (0.0, identity),
}
ended = {}
for name, (path, mix) in arms.items():
    scores = partial(four_blocks, path=path, mix=mix)
    options = {"adam": True, "steps": 50, "batch": 8}
    ended[name] = at_end(train_stacks(scores, start, few, 0.003, **options).loss)
faster = [int((ended["skip paths"] < ended[name]).sum()) for name in list(arms)[1:]]
columns = {"skip paths end lower, of ten": plots.how_many(faster)}
table({"against": list(arms)[1:]} | columns)

# %% [markdown]
# Most: eight or more of ten. Few: two or fewer. Some: in between. The network in which nothing collapses is left behind
# just as the collapsed one is. So these are two facts, and the first does not explain the second here. (Nor does it say
# that such networks *cannot* train. They are slower, and 50 steps are few.)

# %% [markdown]
# ### D · A paper in small
#
# M. Wortsman et al. (2023) plot the final loss over the rate, with QK-norm and without, for models of many sizes. They
# sum up a curve in one number, the **learning-rate sensitivity**: how far the loss lies above the best one, averaged
# over the rates. A loss above that of the start counts as that of the start. Here it is, over our four rates.

# %% tags=["experiment"]
# Learning-rate sensitivity over four rates


def sensitivity(loss):
    medians = at_end(loss).median(1).values.clamp(max=math.log(8))
    return float((medians - medians.min()).mean())


sensitive = [sensitivity(loss) for loss in (plain.loss, normal.loss)]
print(f"plain {sensitive[0]:.0f}, QK-norm below 0.3: {sensitive[1] < 0.3}")

# %% [markdown]
# What was reduced: one block of width 16 instead of models of up to billions of weights, 100 steps instead of 100
# thousand, an artificial task instead of text. Our figure has a constant rate. Theirs has a warmup, a cosine, a clip by
# norm at 1 and a little weight decay, and so their curves part at larger rates, as ours did at `0.3` above.
#
# They also look at the outputs, whose scores $s$ can run away as logits do. A **z-loss** adds a small multiple of
# $(\ln \sum e^s)^2$ to the loss, so that the sum cannot drift. Does it save our run at the rate `0.1`?

# %% tags=["experiment"]
# A z-loss of 1e-4, whose gradient is added on the way back


class ZLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, s):
        ctx.save_for_backward(s)
        return s.clone()

    @staticmethod
    def backward(ctx, grad):
        (s,) = ctx.saved_tensors
        slope = 2 * s.logsumexp(-1, keepdim=True) * s.softmax(-1)
        return grad + 1e-4 * slope / s.shape[1]  # a mean over the batch


def with_z_loss(p, x):
    p = freeze(p, ("positions", "gains"))
    return ZLoss.apply(
        transformer_scores(p, x, heads=1, pre_norm=True, mix=attention, token=-1)
    )


penalised = train_stacks(
    with_z_loss, fresh(), task, 0.1, adam=True, beta2=0.95, steps=100
)
print("with a z-loss it learns:", bool(at_end(penalised.loss).median() < 1))

# %% [markdown]
# It does not, because the outputs are not what is ill here. In large models z-loss and softcap are used for reasons that
# this task does not have. So this is a null result about our task, and no verdict on them.

# %% [markdown]
# ## Further reading
#
# - A. Vaswani et al., [Attention is all you need](https://arxiv.org/abs/1706.03762) (2017): the division, and the
#   reason given for it.
# - M. Wortsman et al., [Small-scale proxies for large-scale transformer training
#   instabilities](https://arxiv.org/abs/2309.14322) (2023): rates, QK-norm and z-loss in small models.
# - S. Zhai et al., [Stabilizing transformer training by preventing attention entropy
#   collapse](https://arxiv.org/abs/2303.06296) (2023): entropy as a companion of instability.
# - Y. Dong et al., [Attention is not all you need](https://arxiv.org/abs/2103.03404) (2021), and L. Noci et al.,
#   [Signal propagation in transformers](https://arxiv.org/abs/2206.03126) (2022): rank collapse.
#
# [The solution of this lesson](../solutions/10_attention.ipynb) · [Back to the start](00_start_here.ipynb)
