# %% [markdown]
# # 11 · Precision
#
# **Half of the bits are gone. Which half of training notices?**
#
# After this lesson you can
# - say before any training what a format of 16 bits will lose,
# - tell what may be kept in `bfloat16` and what needs `float32`, or chance,
# - say what `float16` cannot hold, and how far a loss scale helps.
#
# Core: about 70 minutes. Deeper: another 25 minutes. It runs in 15 seconds. Needs: [lesson
# 08](08_residual_and_normalization.ipynb), and [lesson 10](10_attention.ipynb) for Deeper B. Next: [lesson
# 12](12_emergency_room.ipynb).

# %%
import math

import matplotlib.pyplot as plt
import torch

from gradutils import explorers, plots
from gradutils.course import (
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
from gradutils.models import stack_scores, weight_stacks
from gradutils.precision import rounded, stochastically_rounded
from gradutils.training import train_stacks

plots.use_style()

# %% [markdown]
# ## Before you start

# %%
recall("11")

# %% [markdown]
# ## Predict
#
# Lesson 03 found that `bfloat16` overflows no earlier than `float32`, because it has the same range. It takes half of
# the memory, and hardware multiplies it much faster. So why not keep everything in it?
#
# We try it on the weights alone. Two networks are trained by Adam from the same start on the same batches. One keeps
# its weights in `float32`. The other computes each step in `float32` too, and then stores the new weights in
# `bfloat16`. At a rate of `0.003` both reach nearly the same loss in 200 steps. Then the rate is lowered to a tenth.
#
# The second question is about the reverse, at that lower rate. Now the weights stay in `float32`, and all that is
# computed from them is rounded to `bfloat16`: the copy in use, every activation and every $\delta$.

# %%
alike = "again nearly the same"
lower = "clearly lower"
higher = "clearly higher"
predict(
    "11.a",
    "At a tenth of the rate the loss with bfloat16 weights, beside float32's, is…",
    [alike, lower, higher],
)

# %%
same = "nearly float32's"
between = "higher than that, but less so"
worst = "higher than with bfloat16 weights"
predict(
    "11.b",
    "With float32 weights and all else in bfloat16 the loss at that rate is…",
    [between, worst, same],
)

# %% [markdown]
# ## What happens
#
# Networks of two hidden layers of 64 units with ReLU learn the digits. Four rates, ten seeds each, 200 steps of Adam.
# The left panel shows the loss in the last 20 steps. The right one divides it by that of the `float32` network of the
# same seed, at the three lower rates.

# %% tags=["experiment"]
# Weights in float32 and in bfloat16, four rates
data, rates = digits(), [3e-4, 1e-3, 3e-3, 0.1]
start = weight_stacks([64, 64, 64, 10], 2**0.5)


def plain(weights, x):
    return stack_scores(torch.relu, weights, x)


def nearest(name, new, old):  # what is kept of each tensor after a step
    return rounded(new) if name == "weights" else new


def trained(rates, stored=None, scores=plain, **options):
    options = {"adam": True, "steps": 200, "stored": stored} | options
    lr = torch.tensor(rates).repeat_interleave(10)
    return train_stacks(scores, start, data, lr, **options)


def ends(runs):  # losses (budgets, rates, seeds)
    last = [runs.loss[steps - 20 : steps].mean(0) for steps in (100, len(runs.loss))]
    return torch.stack(last).unflatten(1, (-1, 10))


def beside_float32(ax, name, colour, title):  # at the rates that are not too large
    over = {"ratio": by_adam[name][-1, :3] / by_adam["float32"][-1, :3]}
    options = {"log": "x", "rough": True, "colours": [colour]}
    plots.plot_against_theory(ax, rates[:3], over, **options)
    ax.axhline(1, color=plots.REFERENCE)
    ax.set_xticks(rates[:3], map(str, rates[:3]))
    ax.set(xlim=(2e-4, 4.5e-3), ylim=(0, None))
    ax.minorticks_off()
    plots.finish(ax, title, "rate", "loss / float32's")


both = {"float32": trained(rates), "bfloat16": trained(rates, nearest)}
by_adam = {name: ends(run) for name, run in both.items()}
fig, axes = plt.subplots(1, 2)
shown = {name: loss[-1] for name, loss in by_adam.items()}
plots.plot_against_theory(axes[0], rates, shown, log="xy", rough=True)
axes[0].set_xticks(rates, map(str, rates), size="x-small")
axes[0].minorticks_off()
plots.finish(axes[0], "Below the best rate they part", "rate", "loss after 200 steps")
beside_float32(axes[1], "bfloat16", plots.SECOND, "The lower the rate, the wider")

# %% tags=["reveal"]
# The prediction is settled
wider = float((by_adam["bfloat16"] / by_adam["float32"])[-1, 0].median())
reveal(
    "11.a",
    higher if wider > 1.2 else lower if wider < 0.8 else alike,
    f"At 0.0003 the median is {wider:.1f} times float32's.",
    wrong={
        alike: "Both make shorter steps. But one of them must store where it arrives, "
        "and a short step may end where no number is.",
        lower: "Shorter steps are gentler where a rate is too large. Here it was not, "
        "and short steps are what a coarse format loses.",
        higher: "The two losses came out alike.",
    },
)

# %% [markdown]
# A lower rate makes the gap wider, and at the best of these rates it nearly closes. That is the opposite of what a rate
# does to an explosion. At `0.1`, far above the best rate, both are bad alike, and there bits play no part. So what is
# lost when a rate is low? We have to look at one number.

# %% [markdown]
# ## 1 · What sixteen bits hold
#
# A number is stored as a sign, a power of two and digits: $0.1 = 1.6 \cdot 2^{-4}$. The exponent says in which power of
# two the number lies, and the digits say where in between. The first digit is always 1, so it is not stored.

# %% tags=["drawing"]
# The drawing
fig, ax = plt.subplots(figsize=(6.4, 1.8))
plots.draw_bits(ax, 0.1)
plots.finish(ax, "0.1 in three formats, and what each of them really holds")

# %% [markdown]
# `bfloat16` is the upper half of a `float32`, rounded. It keeps all eight bits of the exponent, so its range is the
# same. But of 23 digits it keeps 7. `float16` shares its bits otherwise: 10 digits, and 5 bits for the exponent.
#
# **The gap, by hand.** Between 2 and 4 a format with 7 stored bits has $2^7 = 128$ steps, so neighbours are $2/128 =
# 0.0156$ apart. The number $3.14159$ lies between $3.140625$ and $3.15625$, and the nearer one is stored. Between 4 and
# 8 there are 128 steps as well, twice as long. So the gap is the same from one power of two to the next, and doubles
# there:
#
# $$\text{gap} = 2^{k - \text{bits}} \quad \text{for} \quad 2^k \le |x| < 2^{k+1}$$
#
# The largest error of rounding is half a gap. Compared with the number that is one part in 256 at most, wherever the
# number lies.

# %% [markdown]
# ### Exercise 11.1 · ●○○ · 4 minutes
#
# Write `ulp(x, bits)`: the gap between neighbours where `x` lies. (The name is short for *unit in the last place*.) `x`
# is a number of either sign, not 0, and `bits` the count of stored digits. The range has no end here. Exactly at a
# power of two take the gap above it.


# %%
def ulp(x, bits):
    ### BEGIN SOLUTION
    return 2.0 ** (math.floor(math.log2(abs(x))) - bits)
    ### END SOLUTION


ulp = check("11.1", ulp).function

# %%
formats = {"float32": 23, "bfloat16": 7, "float16": 10}
limits = [torch.finfo(getattr(torch, name)) for name in formats]
columns = {"stored digits": formats.values(), "gap at 1": [f.eps for f in limits]}
columns["gap at 0.1"] = [ulp(0.1, bits) for bits in formats.values()]
columns["largest"] = [f"{f.max:.0e}" for f in limits]
columns["smallest"] = [f"{f.smallest_normal * f.eps:.0e}" for f in limits]
table({"": formats} | columns)

# %% [markdown]
# ## 2 · The update that is rounded away
#
# Let a weight be $0.1$, stored as $0.1001$. It lies between $2^{-4}$ and $2^{-3}$, so the gap there is $2^{-4-7} =
# 0.00049$, and half of it $0.00024$. An update of $0.0002$ leads to $0.1003$, and the nearest number of the format is
# $0.1001$ again. Nothing has happened. An update of $0.0003$ leads past the middle, so the weight moves by a whole gap,
# $0.00049$: more than was asked.

# %% tags=["drawing"]
# The drawing
fig, ax = plt.subplots(figsize=(6.4, 1.7))
line = {"low": 0.0985, "high": 0.1015}
plots.draw_updates(ax, 0.1, [0.0002, 0.0003, -0.0006], **line)
plots.finish(ax, "bfloat16 around 0.1: an update below half a gap is no update")

# %% [markdown]
# Next step, the same: $0.1001 + 0.0002$ is stored as $0.1001$. It can go on so for ever, because nothing remembers what
# was lost. That is the difference between a number that is *used once* and one that is *added to*. A rounding in an
# activation is gone with the batch, and the next one has another sign. A rounding in a weight takes back the step, each
# time anew.
#
# ### Exercise 11.2 · ●●○ · 6 minutes
#
# Write `lost(w, update)`. `w` is a (n,) tensor of `bfloat16` weights, `update` a (n,) tensor of `float32`. The sum is
# formed in `float32` and stored in `bfloat16`. Return a (n,) tensor of bools: True where the weight is what it was.
#
# (There is a formula with `ulp`, but just below a power of two the neighbours are closer. Let torch do the rounding.)


# %%
def lost(w, update):
    ### BEGIN SOLUTION
    return (w + update).to(torch.bfloat16) == w
    ### END SOLUTION


lost = check("11.2", lost).function

# %% [markdown]
# **How many are lost?** In its first step Adam moves every weight by the rate, up or down, because it divides the
# gradient by its own size. So at the start a weight is stuck where half of its gap is above the rate, $2^{k-8} >
# \text{lr}$. A large weight has a large gap: all weights from some power of two on are stuck.
#
# By hand, for a rate of $0.0003$. $2^{-12} = 0.00024$ is below it and $2^{-11} = 0.00049$ above it. So $k = -3$: stuck
# are all weights from $2^{-3} = 0.125$ on. At He's scale, with 64 inputs, weights have the standard deviation
# $\sqrt{2/64} = 0.177$. Of a Gaussian 48 parts in a hundred lie beyond $0.125/0.177 = 0.71$ standard deviations.


# %%
def share_lost(lr, std):
    k = math.floor(math.log2(lr) + 8) + 1  # the first with 2**(k - 8) above lr
    return math.erfc(2.0**k / std / 2**0.5)


print(f"{share_lost(3e-4, (2 / 64) ** 0.5):.2f}")

# %% [markdown]
# Now beside real networks. Left, the share of weights that the first step of Adam leaves as they are, at ten rates.
# Right, what this share becomes in the course of training, by your `lost`, at three rates. Ten networks each.

# %% tags=["experiment"]
# The share of lost updates, in the first step and later
sums = []


def counted(name, new, old):
    if name != "weights":
        return new
    kept, stuck, meant = rounded(new), lost(old.bfloat16(), new - old), new != old
    each = [stuck & meant, meant, (kept - old).abs(), (new - old).abs()]
    sums.append(torch.stack([x.sum((1, 2)).float() for x in each]))
    return kept


def shares_of(rates, steps, **options):  # lost of the updates, of their length; runs
    sums.clear()
    runs = trained(rates, counted, steps=steps, **options)
    per_step = torch.stack(sums).unflatten(0, (-1, 3)).sum(1).unflatten(2, (-1, 10))
    stuck, meant, moved, asked = per_step.unbind(1)  # each (steps, rates, seeds)
    return stuck / meant, 1 - moved.sum(0) / asked.sum(0), runs


stairs, three = [2.0 ** (k - 0.5) for k in range(-16, -6)], [3e-4, 1e-3, 3e-3]
first = shares_of(stairs, 1)[0][0]
fine = torch.logspace(-4.9, -2.4, 200).tolist()
theory = [share_lost(lr, (2 / 64) ** 0.5) for lr in fine]
per_step, of_length, _ = shares_of(three, 100)
later = per_step.unflatten(0, (-1, 10)).mean((1, 3))  # by tens
fig, axes = plt.subplots(1, 2, sharey=True)
shown, colours = {"measured": first}, [plots.VANISHES]
plots.plot_against_theory(axes[0], stairs, shown, log="x", colours=colours)
axes[0].plot(fine, theory, **plots.THEORY)
plots.finish(axes[0], "Known before (dotted)", "rate", "share of updates lost")
named = dict(zip(("0.0003", "0.001", "0.003"), later.T))
tens = [10 * k + 5 for k in range(10)]
plots.plot_against_theory(axes[1], tens, named, rough=True, marker="")
plots.finish(axes[1], "And it rises: later steps are shorter", "step")

# %% [markdown]
# The dotted line was there before any network was drawn. It is a staircase, because gaps double at powers of two. The
# right panel shows that the start is the best moment: later gradients change sign from batch to batch, so Adam's steps
# become a fraction of the rate, and more of them are lost.
#
# **How much harm is a lost update?** That depends on its length. The table adds up the lengths of all updates in these
# 100 steps, and says what share of the sum is lost. Beside it stands the loss after them, over that of `float32`.

# %%
columns = {"updates lost": per_step.mean((0, 2)), "length lost": of_length.mean(1)}
columns["loss / float32's"] = (by_adam["bfloat16"] / by_adam["float32"])[0, :3].mean(1)
table({"rate": three} | {name: [f"{x:.1f}" for x in c] for name, c in columns.items()})

# %% [markdown]
# At `0.003` many updates are lost, and the loss hardly notices, because these are the short ones. What arrives is most
# of the way, also because an update above half a gap is stored as a whole one. At a tenth of that rate most of the way
# itself is lost. So the share to watch is the one of length.
#
# So a weight is deaf to anything below one part in 256 to 512 of itself. A thousandth of the weight per step is often
# named as a healthy update. In `bfloat16` a typical step of that size is lost. In the explorer, find the rate at which
# about half of the weights are stuck with 64 inputs a unit, and then with 4096. (Answer: about $10^{-3.5}$ and
# $10^{-4.4}$.)

# %%
explorers.explore_precision()

# %% [markdown]
# Wider layers have smaller weights and smaller gaps, so they bear smaller updates. But rates fall with the width, too.

# %% [markdown]
# ## 3 · Two remedies
#
# **A copy in float32.** Keep the weights in `float32`, add to those, and make a `bfloat16` copy of them for every pass.
# Activations and gradients stay in `bfloat16`, because they are used once. This is called a *master copy* (Micikevicius
# et al. 2018). It costs memory, four bytes a weight.
#
# **Chance.** If there is no room for a copy, round at random. Say the gap is 1 and the weight 10, and an update adds
# $0.25$. To the nearest that is 10 for ever. Instead go up to 11 once in four times, and stay at 10 in the other three.
# On average the weight rises by $0.25$, as it should. In 100 steps it has risen by about 25 gaps, and not by none.
#
# How to draw so? Add noise, evenly spread from 0 to 1 gap, and round *down*. $10.25$ passes 11 where the noise is above
# $0.75$, which happens once in four times.

# %% tags=["drawing"]
# The drawing
fig, ax = plt.subplots(figsize=(6.4, 1.7))
steps = ["10.25", "10.25 … 11.25", "10 or 11"]
plots.draw_chain(ax, ["10", *steps], ["+ update", "+ noise", "round down"])
plots.finish(ax, "Rounding at random: a quarter of the way up, once in four times up")

# %% [markdown]
# ### Exercise 11.3 · ●●○ · 7 minutes
#
# Write `stochastic_round(x, gap, noise)`. `x` and `noise` are tensors of one shape, `gap` is a number; `noise` is
# uniform between 0 and 1. Return each `x` rounded up or down to a multiple of `gap`, so that the mean over the noise is
# `x` itself. Mind negative numbers, which round down to larger ones in size.


# %%
def stochastic_round(x, gap, noise):
    ### BEGIN SOLUTION
    return torch.floor(x / gap + noise) * gap
    ### END SOLUTION


stochastic_round = check("11.3", stochastic_round).function

# %% [markdown]
# For `bfloat16` the noise is easy to add: it is a random lower half for the bits of a `float32`, which is then cut off.
# `stochastically_rounded` does so from here on.
#
# Both remedies, at the three rates that are not too large. In the third arm the weights are `float32`, and *everything
# else* is rounded to `bfloat16`: the copy of the weights that is used, every activation and every $\delta$. It is the
# reverse of the first arm, and your second prediction.

# %% tags=["experiment"]
# Weights rounded at random
chance = torch.Generator().manual_seed(0)


def by_chance(name, new, old):
    return stochastically_rounded(new, chance) if name == "weights" else new


by_adam["at random"] = ends(trained(rates[:3], by_chance))

# %% tags=["experiment"]
# Weights in float32, all else in bfloat16


def all_rounded(weights, x):  # autograd rounds what comes back as well
    for k, W in enumerate(weights):
        x = rounded((torch.relu(x) if k else rounded(x)) @ rounded(W).mT)
    return x


by_adam["float32 copy"] = ends(trained(rates[:3], scores=all_rounded))
fig, axes = plt.subplots(1, 3, sharey=True, figsize=(9, 3.2))
beside_float32(axes[0], "bfloat16", plots.SECOND, "Weights, to nearest: worse")
beside_float32(axes[1], "at random", plots.THIRD, "Weights, at random: alike")
beside_float32(axes[2], "float32 copy", plots.FOURTH, "All but weights: alike")

# %% tags=["reveal"]
# The second prediction is settled
rest = float((by_adam["float32 copy"] / by_adam["float32"][:, :3])[-1, 0].median())
reveal(
    "11.b",
    same if rest < 1.2 else between if rest < wider else worst,
    f"At 0.0003 the median is {rest:.1f} times float32's.",
    wrong={
        between: "It would be, if these roundings added up. The next batch brings "
        "others, of either sign.",
        worst: "Far more numbers are rounded, but none of them is kept for the next "
        "step. It counts what adds up, not how much is rounded.",
        same: "The roundings of one pass were not forgotten by the next.",
    },
)

# %% [markdown]
# That is the answer to the question of this lesson: **the half that adds up notices.** What is read once may be
# rounded. What is added to may not, unless chance keeps its mean right: weights, running averages, gradients summed
# over several small batches.
#
# There is one exception. A number that goes into an exponential, in a softmax or in the loss, is read once and needs
# its digits, because there a small difference becomes a factor (Deeper B). In all arms here the loss itself is computed
# in `float32`.
#
# Is it a matter of Adam? The table says what descent with momentum loses, as a median of ten, at three rates below its
# best one. And there is a place where every run has a low rate: the end of a schedule. So the figure shows Adam with a
# cosine from `0.003` to 0 in 300 steps (lesson 07), and the share of updates lost on the way.

# %% tags=["experiment"]
# Descent with momentum
slow = [1e-3, 3e-3, 0.01]
by_sgd = {"float32": ends(trained(slow, adam=False))}
by_sgd["bfloat16"] = ends(trained(slow, nearest, adam=False))
medians = (by_sgd["bfloat16"] / by_sgd["float32"])[-1].median(1).values
table({"rate": slow, "loss / float32's": [f"{x:.1f}" for x in medians]})

# %% tags=["experiment"]
# A cosine to zero
cosine = {"steps": 300, "schedule": lambda k: (1 + math.cos(math.pi * k / 300)) / 2}
lost_there, _, halved = shares_of([3e-3], **cosine)
on_the_way = lost_there[:, 0].unflatten(0, (-1, 10)).mean((1, 2))
full, drawn = trained([3e-3], **cosine), trained([3e-3], by_chance, **cosine)
to_zero = {"float32": full, "bfloat16": halved, "at random": drawn}
to_zero = {name: ends(run)[-1:] for name, run in to_zero.items()}
fig, axes = plt.subplots(1, 2)
tens, shown = [10 * k + 5 for k in range(30)], {"lost": on_the_way}
plots.plot_against_theory(axes[0], tens, shown, colours=[plots.VANISHES], marker="")
axes[0].plot(tens, [cosine["schedule"](k) for k in tens], **plots.THEORY)
plots.finish(axes[0], "Rate (dotted) and updates lost", "step", "share")
places, pairs = range(3), zip(to_zero, (plots.STABLE, plots.SECOND, plots.THIRD))
for k, (name, colour) in enumerate(pairs):
    axes[1].plot([k] * 10, to_zero[name][-1, 0], "o", color=colour, alpha=0.6)
axes[1].set(xlim=(-0.5, 2.5), ylim=(0, None), xticks=places, xticklabels=to_zero)
plots.finish(axes[1], "Ten networks at the end", "", "loss")

# %% [markdown]
# Momentum loses as well, and more at lower rates. Under the cosine half of the updates are lost while the rate is still
# near its top, and at the end all of them are. So what a decay is for, the last part of the descent, falls short: the
# loss ends above that of `float32`. The run looks well: no NaN, no jump, a loss that flattens. It only stops too early.
#
# What the figure does not say: whether the *accuracy* suffers. Here it hardly does, because all of these networks have
# learnt most digits.

# %% [markdown]
# ## Claim on trial: W26
#
# *bfloat16 has the range of float32, so it trains like it.* (Often said, when a loss scale is left out.)
#
# **Our prediction.** It is true of all that is used once, at each of the three rates. It is false of weights below the
# best rate, under Adam and under momentum, and at the end of a schedule. At the best rate the steps are long enough.
#
# A network trains like `float32` if its loss is at most a tenth higher than that of its twin with the same seed. At
# each setting one number decides: of how many of ten networks that is true, in the budget and at the rate that speak
# most against the outcome. Budgets of 100 and 200 steps (the cosine: 300). At the best rate the losses are too noisy
# for that; there the two mean accuracies are compared.

# %% tags=["experiment"]
# The verdict on W26


def like(arm, other):  # of ten a tenth above at most, where it speaks most against
    counts = (arm[:, :2] <= 1.1 * other["float32"][:, :2]).sum(-1)  # (budgets, rates)
    return int(counts.min() if counts.float().mean() > 5 else counts.max())


before, after = (run.accuracy[-1, 20:30].mean() for run in both.values())
counts = {
    "activations, deltas and the copy in use": like(by_adam["float32 copy"], by_adam),
    "weights, Adam at 0.0003 and 0.001": like(by_adam["bfloat16"], by_adam),
    "weights rounded at random, Adam": like(by_adam["at random"], by_adam),
    "weights, momentum at 0.001 and 0.003": like(by_sgd["bfloat16"], by_sgd),
    "weights, Adam, a cosine to zero": like(to_zero["bfloat16"], to_zero),
}
found = {name: mostly(count) for name, count in counts.items()}
harm = float(before - after)
found["accuracy with bfloat16 weights, Adam at 0.003"] = at_most(harm, 0.01, 0.03)
evidence = "Two layers of 64 units, Adam and momentum SGD, 100 and 200 steps. Of ten "
evidence += "networks are at most a tenth above float32: "
evidence += ", ".join(f"{count} ({name})" for name, count in counts.items())
evidence += ". At 0.003 accuracy falls by "
evidence += f"{'less' if harm < 0.01 else 'more'} than 0.01."
verdict("W26", found, evidence)

# %% [markdown]
# So the sentence is right about range, and draws the wrong conclusion. Range decides what can be *read*. What can be
# *added* is decided by digits.

# %% [markdown]
# ## Claim on trial: W27
#
# *Unstable in low precision? Lower the learning rate.* (Often advised, because it is what helps against an explosion.)
#
# **Our prediction.** It helps where the rate is too large, and that has nothing to do with bits. Below the best rate it
# makes the gap to `float32` wider, because more updates are lost. And it cannot help where the trouble is a number that
# the format does not hold.
#
# Three settings ask for a lower rate. Far above the best rate: is the loss less than half? Below it, at a tenth: is the
# gap to `float32`, the ratio of the losses, at least no wider? A fourth setting looks ahead to section 5: Adam on
# weights in `float16` with its usual epsilon. Of ten tensors, how many are finite after one step at the lower rate?

# %% tags=["experiment"]
# The verdict on W27


def adam_steps(dtype, seed, lr=1e-3, count=1, std=0.01, **how):  # all finite?
    g = torch.Generator().manual_seed(seed)
    p = torch.nn.Parameter(torch.zeros(2000, dtype=dtype))
    p.grad = (std * torch.randn(2000, generator=g)).to(dtype)
    optimizer = torch.optim.Adam([p], lr=lr, **how)
    for _ in range(count):
        optimizer.step()
    return bool(p.isfinite().all())


def gap(runs, k):  # the median ratio to float32 at rate k, 200 steps
    return float((runs["bfloat16"] / runs["float32"])[-1, k].median())


too_high = by_adam["bfloat16"][-1].median(1).values
gentler = float(too_high[2] / too_high[3])  # 0.003 against 0.1
widens = {"Adam, 0.003 to 0.0003": gap(by_adam, 0) / gap(by_adam, 2)}
widens["momentum, 0.01 to 0.001"] = gap(by_sgd, 0) / gap(by_sgd, 2)
finite = sum(adam_steps(torch.float16, seed, 1e-4) for seed in range(10))
found = {"far above the best rate, Adam, 0.1 to 0.003": at_most(gentler, 0.5, 0.9)}
for name, change in widens.items():
    found[f"below the best rate, {name}"] = at_most(change, 1.0, 1.2)
found["float16 weights, epsilon 1e-8, Adam, 0.001 to 0.0001"] = mostly(finite)
evidence = "Two layers of 64 units with bfloat16 weights, Adam and momentum SGD, 200 "
evidence += "steps. Far above the best rate a lower one "
evidence += f"{'more' if gentler < 0.5 else 'less'} than halves the loss. Below, the "
evidence += "gap to float32 gets wider: "
evidence += ", ".join(f"{change:.1f} times ({n})" for n, change in widens.items())
evidence += f". In float16 {finite} of 10 tensors are finite after a step of Adam."
verdict("W27", found, evidence)

# %% [markdown]
# So ask first what the trouble is. Does the loss jump, or is something inf? Or does it creep, and stop early? For the
# second kind log the share of length that is lost; a lower rate raises it. (W28 is about sums, in Deeper A.)

# %% [markdown]
# ## 4 · Averages and decays that stand still
#
# Weights are not the only thing that training adds to. Adam keeps an average of squared gradients, $v \leftarrow
# \beta_2 v + (1 - \beta_2)\, g^2$. Let the gradients become tiny, so that $v$ has to fall. Each step takes away $(1 -
# \beta_2)\, v$. The law of section 2 applies: if that is less than half of $v$'s gap, nothing happens.
#
# By hand, with $\beta_2 = 0.999$. Let $v = 1.5$. It wants to fall by $0.0015$. Its gap is $1/128$, half of it $0.0039$:
# stuck. Let $v = 1.9$: it wants to fall by $0.0019$, and half a gap is $0.0039$ still. And $v = 0.001$ is no better
# off, because its gap is smaller in proportion. So at $0.999$ *every* average is stuck for ever. Now $\beta_2 = 0.99$.
# Then $v = 1.5$ wants to fall by $0.015$, far more than half a gap, and nothing is stuck. Adam's $m$ is safer still,
# because with $\beta_1 = 0.9$ it moves by a tenth.

# %% [markdown]
# In between it depends on where $v$ lies between two powers of two. Write $v = m\, 2^k$ with $m$ from 1 to 2. Half a
# gap is $2^{k-8}$, so $v$ is stuck where
#
# $$(1 - \beta_2)\, m < 2^{-8}, \qquad \text{that is} \qquad m < \frac{2^{-8}}{1 - \beta_2}$$
#
# The averages of a network spread over many powers of two, and then $\log_2 m$ is evenly spread from 0 to 1. (Not $m$
# itself: numbers of every size begin with small digits more often.) So the share of $m$ below a border $b$ is $\log_2
# b$. With $\beta_2 = 0.997$ the border is $1.30$, and the share $0.38$.
#
# ### Exercise 11.4 · ●●○ · 6 minutes
#
# Write `stuck(beta2)`, below 1: the share of averages that cannot fall in `bfloat16`, a number from 0 to 1. It is the
# share at the first step: an average above the border falls until it meets it.


# %%
def stuck(beta2):
    ### BEGIN SOLUTION
    return min(max(math.log2(2**-8 / (1 - beta2)), 0.0), 1.0)
    ### END SOLUTION


stuck = check("11.4", stuck).function

# %% [markdown]
# Beside it 20 000 averages, spread over twenty powers of two, whose gradients are 0 for 100 steps.

# %% tags=["experiment"]
# Averages that should fall
beta2s, counts = [0.99, 0.995, 0.997, 0.998, 0.999], []
spread = 20 * torch.rand(20_000, generator=torch.Generator().manual_seed(0)) - 10
for beta2 in beta2s:
    v = begin = rounded(2.0**spread)
    for _ in range(100):
        v = rounded(beta2 * v)
    counts.append(float((v == begin).float().mean()))
columns = {"predicted": map(stuck, beta2s), "measured": counts}
columns = {name: [f"{x:.2f}" for x in values] for name, values in columns.items()}
table({"beta2": beta2s} | columns)

# %% [markdown]
# With `0.999`, the default, an average held in `bfloat16` can rise and never fall. Nor does it rise all the way. Let
# $g^2 = 1$, and let $v$ begin at 0. Torch's usual Adam multiplies by $0.999$ and adds $0.001$, each with a rounding of
# its own. The first is always lost, the second once half a gap is larger: at $0.5$, where half a gap is $0.00195$. The
# `fused` one rounds once, and its $v$ stops earlier.
#
# **A decay of AdamW** is an update as well. Each step takes $\text{lr} \cdot \lambda$ of the weight away (lesson 09),
# with a rate of `0.001` and $\lambda = 0.1$ one part in ten thousand. Half a gap is one part in 512 at least. So the
# decay, which torch's usual AdamW rounds by itself, is lost in *every* weight.
#
# We ask torch's own AdamW, on two weights in both formats, for 1200 steps. The first, 1 at the start, has gradients
# of 0. The second has gradients of 1, and its $v$ is shown.


# %%
def by_adamw(dtype, **how):
    pair = torch.nn.Parameter(torch.ones(2, dtype=dtype))
    pair.grad = torch.tensor([0.0, 1.0], dtype=dtype)
    optimizer = torch.optim.AdamW([pair], weight_decay=0.1, **how)
    for _ in range(1200):
        optimizer.step()
    return float(pair[0].detach()), float(optimizer.state[pair]["exp_avg_sq"][1])


arms = {name: by_adamw(getattr(torch, name)) for name in ("float32", "bfloat16")}
arms["bfloat16, fused"] = by_adamw(torch.bfloat16, fused=True)
columns = {"weight": [arm[0] for arm in arms.values()]}
columns["v"] = [arm[1] for arm in arms.values()]
table({"AdamW": arms} | {name: [f"{x:.2f}" for x in c] for name, c in columns.items()})

# %% [markdown]
# In `bfloat16` no decay takes place at all, and in `float32` it does. There $v$ is on its way to 1; in `bfloat16` it
# stands at a half or a quarter for good. A $v$ that is too small makes steps too long, by $\sqrt 2$ or by 2. One spike
# of the gradient would make it large for good, and the steps short. Does that harm training? Deeper C rounds $v$ for
# 200 steps and finds nothing, but in so short a run $v$ has no time to fall anyway. So the law is sure, and the harm is
# not shown.

# %% [markdown]
# ## 5 · Float16: digits without range
#
# `float16` makes the other choice: three more digits, and far less range. Below $2^{-24} = 6 \cdot 10^{-8}$ there is
# nothing, and what lies below half of that is stored as 0.

# %% tags=["drawing"]
# The drawing
fig, ax = plt.subplots(figsize=(6.4, 1.5))
plots.draw_bits(ax, 1e-8, ["float32", "bfloat16", "float16"])
plots.finish(ax, "Adam's epsilon, 1e-8: in float16 no bit is left of it")

# %% [markdown]
# **How deep does a gradient live?** Here lesson 03 returns. Each layer multiplies the size of $\delta$ by a factor, and
# we ask for the layer at which it leaves the format, now at the lower end. Let the factor be $0.5$, and let $\delta$
# begin with a size of $0.001$ at the top. Half of its entries are stored as 0 once their *median* size is below
# $2^{-25}$. Of Gaussian numbers that median is $0.6745$ times the RMS. So
#
# $$0.6745 \cdot 0.001 \cdot 0.5^L = 2^{-25}, \qquad L = \frac{\ln(0.6745 \cdot 0.001 \cdot 2^{25})}{\ln 2} = 14.5$$
#
# A **loss scale** (lesson 06) multiplies the loss, and with it every $\delta$. A scale of 2 makes up for one such
# layer. In general each doubling buys $\ln 2/\ln(1/\text{factor})$ layers, however deep the network is.
#
# ### Exercise 11.5 · ●●○ · 6 minutes
#
# Write `layers_seen(factor, top, scale)`: after how many layers half of the deltas are 0 in `float16`. `factor` is
# below 1, `top` the size at the top without a scale. Return the number as it comes, and 0 where half are lost at once.


# %%
def layers_seen(factor, top, scale):
    ### BEGIN SOLUTION
    depth = math.log(0.6745 * top * scale * 2**25) / math.log(1 / factor)
    return max(depth, 0.0)
    ### END SOLUTION


layers_seen = check("11.5", layers_seen).function

# %% [markdown]
# Real `float16` on the way back through ReLU layers of 128 units, ten networks. Measured is the first layer in which
# half of the deltas are 0, the median over the networks. They are counted as they leave the weights, before the slopes
# of ReLU set half of them to 0 anyway. Narrower networks fall short of the theory, because in them $\delta$ is further
# from Gaussian.

# %% tags=["experiment"]
# How deep float16 sees


def zeros_by_layer(factor, scale, seed, dtype=torch.float16, layers=40):
    g = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=g)
    delta, shares = (0.001 * scale * draw(16, 128)).to(dtype), []
    for _ in range(layers):  # half of the slopes are 0, and the weights make up for it
        slopes = draw(16, 128) > 0
        W = (factor * math.sqrt(2 / 128) * draw(128, 128)).to(dtype)
        delta = ((delta * slopes).float() @ W.float()).to(dtype)
        shares.append(float((delta == 0).float().mean()))
    return torch.tensor(shares)


cases, measured = [(0.5, 1), (0.5, 256), (0.7, 1)], []
for factor, scale in cases:
    runs = [zeros_by_layer(factor, scale, seed) for seed in range(10)]
    measured.append(int((torch.stack(runs) < 0.5).sum(1).median()) + 1)
at_all = bool(zeros_by_layer(0.5, 1, 0, torch.bfloat16).max() > 0)
depths = [f"{layers_seen(f, 0.001, s):.1f}" for f, s in cases]
table({"factor, scale": cases, "predicted": depths, "measured": measured})
print(f"bfloat16 loses some deltas within 40 layers: {at_all}")

# %% [markdown]
# So a scale moves the window, and does not widen it: what it saves below it may lose above, at 65504. `bfloat16` needs
# no scale, because its window is that of `float32`.

# %% [markdown]
# ## Claim on trial: W29
#
# *Adam works in half precision with its default epsilon.* It is often carried over from `float32`, because one call of
# `.half()` turns a model into `float16`.
#
# The step is $\text{lr} \cdot m/(\sqrt v + \epsilon)$. In the first step $v = 0.001\, g^2$ for $\beta_2 = 0.999$. With
# $g = 0.005$ that is $2.5 \cdot 10^{-8}$, below $2^{-25}$, so $v = 0$ in `float16`. The epsilon is there for this case,
# but it is 0 as well. And $m/0$ is inf.

# %%
tiny = torch.tensor(1e-8)
print(float(tiny.half()), float(tiny.bfloat16()))
print(torch.tensor(0.001 * 0.005**2).half().item())

# %% [markdown]
# **Our prediction.** Wherever the step is computed in `float16`, each $|g|$ below $2^{-12.5}/\sqrt{0.001} = 0.0055$
# gives an inf. Torch has three ways to take a step: a loop over tensors, `foreach`, and `fused`. The fused one computes
# in `float32` inside, so it should be safe.
#
# Torch's own Adam takes ten steps on 2000 weights at 0, whose gradients are Gaussian with a standard deviation of
# `0.01`. Of ten draws, how many stay finite?

# %% tags=["experiment"]
# The verdict on W29
ways = {"loop": {"foreach": False}, "foreach": {"foreach": True}}
ways["fused"] = {"fused": True}
kept = {}
for name, dtype in (("float16", torch.float16), ("bfloat16", torch.bfloat16)):
    for way, how in ways.items():
        runs = [adam_steps(dtype, seed, count=10, **how) for seed in range(10)]
        kept[f"{name}, {way}"] = sum(runs)
found = {name: mostly(count) for name, count in kept.items()}
evidence = "torch.optim.Adam, 1 tensor of 2000 weights, 10 steps, gradients of "
evidence += "0.01. Of ten draws stay finite: "
evidence += ", ".join(f"{count} ({name})" for name, count in kept.items()) + "."
verdict("W29", found, evidence)

# %% [markdown]
# A larger epsilon, such as $10^{-4}$, would be stored, but it is a scale, too (lesson 09): gradients below it hardly
# move anything. Better is a copy in `float32`, on which the optimizer works.

# %% [markdown]
# ## On a real run
#
# `torch.autocast` is the master copy, done for you. The weights are `float32`; inside of the block each operation
# chooses its format. Multiplications of matrices take `bfloat16`, and a loss is computed in `float32`.

# %%
layer = torch.nn.Linear(8, 3)
optimizer = torch.optim.AdamW(layer.parameters())
with torch.autocast("cpu", dtype=torch.bfloat16):
    scores = layer(torch.ones(4, 8))
    loss = torch.nn.functional.cross_entropy(scores, torch.zeros(4, dtype=torch.long))
loss.backward()
optimizer.step()
W = layer.weight
kept = {"scores": scores, "loss": loss, "weights": W, "gradient": W.grad}
kept["Adam's v"] = optimizer.state[W]["exp_avg_sq"]
table(
    {"": kept, "format": [str(x.dtype).removeprefix("torch.") for x in kept.values()]}
)

# %% [markdown]
# - Use `autocast` with `bfloat16`. On a GPU it leaves softmax, norms and sums in `float32` as well, because these are
#   the exponentials and what is added to. On the CPU, as here, it does so for fewer of them.
# - Do not call `model.bfloat16()` for training, unless the optimizer keeps a `float32` copy or rounds at random. The
#   decay of AdamW is then the first thing that is lost.
# - Keep in `float32` whatever else is added to: gradients summed over several batches, a running average of the
#   weights.
# - `GradScaler` is for `float16` alone. With `bfloat16` it does nothing useful.
# - If weights must be in 16 bits, log the share of length lost: one minus the sum of `|w_new - w_old|` over that of the
#   updates before rounding. It rises as the rate falls, so look at the end of the schedule.
# - If $v$ must be in `bfloat16`, take a $\beta_2$ of `0.99` or less, or round it at random.

# %% [markdown]
# ## Summary
#
# A number of 16 bits either keeps the range or keeps the digits. `bfloat16` keeps the range, so what is read once, such
# as an activation or a gradient, may be rounded; what goes into an exponential may not. What is *added to* does not
# notice anything below half a gap, one part in 256 to 512 of itself: weights and their decay, averages, sums. The lower
# the rate, the more of the way is lost, so the end of a schedule does little. A `float32` copy cures it, and so does
# rounding at random, because the mean stays right. `float16` keeps digits and loses range: small gradients, squares and
# an epsilon of $10^{-8}$ become 0, and a loss scale moves the window.

# %% [markdown]
# ## Deeper
#
# Four parts, each for itself: sums (A, with claim W28), a softmax in 16 bits (B), one tensor at a time (C), and your
# own hardware (D).
#
# ### A · The error of a sum
#
# Add up ones in `bfloat16`. At 256 the gap is 2, so $256 + 1$ is stored as 256 again: the sum stands still. It is the
# law of section 2 once more, with the sum in the place of the weight.
#
# Now let the terms have both signs. After $k$ terms of size 1 the sum is about $\sqrt k$. A rounding there is evenly
# spread over a gap, so its standard deviation is the gap over $\sqrt{12}$. Over all places between two powers of two
# that is $u = 0.0017$ of the sum. So roundings add up to a variance of $u^2 (1 + 2 + \dots + n) = u^2 n^2/2$. Compared
# with the sum itself, of size $\sqrt n$, the error is
#
# $$u \sqrt{n/2}$$
#
# It grows as a root. But this took two things for granted: roundings that are independent, and a mean of 0.

# %%
total = torch.tensor(0.0).bfloat16()
for _ in range(1000):
    total += 1
print(float(total))

# %% [markdown]
# #### Claim on trial: W28
#
# *The rounding error of a sum grows as the root of its length.* (Often taught, for roundings that are independent.)
#
# **Our prediction.** True for a loop over terms of mean 0. For positive terms the sum outgrows them, and from there on
# each term is rounded away in part: a bias, which grows faster. Torch's own `sum` and a product of matrices should not
# grow at all, because inside they add in a wider format.
#
# Sums of 64 to 4096 terms, 500 of each, in three ways. Measured is the slope of the error over $n$, both in logarithms:
# a root is one half. The claim counts as true within `0.15` of that, as false beyond `0.3`.

# %% tags=["experiment"]
# The verdict on W28
lengths = [64, 256, 1024, 4096]


def in_a_loop(x):
    total = torch.zeros_like(x[:, 0])
    for column in x.T:
        total = total + column
    return total


adders = {"a loop": in_a_loop, "torch.sum": lambda x: x.sum(1)}
adders["a matmul"] = lambda x: (x @ torch.ones(x.shape[1], 1).bfloat16())[:, 0]
kinds = {"mean 0": lambda x: x, "positive": torch.abs}
errors = {}
for kind, of in kinds.items():
    for way, add in adders.items():
        for n in lengths:
            x = torch.randn(500, n, generator=torch.Generator().manual_seed(n))
            x = of(x).bfloat16()
            exact = x.double().sum(1)
            size = exact.square().mean().sqrt()
            off = (add(x).double() - exact).square().mean().sqrt()
            errors.setdefault(f"{kind}, {way}", []).append(float(off / size))
names = ["mean 0, a loop", "positive, a loop", "mean 0, torch.sum"]
shown = {name: errors[name] for name in names}
predicted = [0.00166 * math.sqrt(n / 2) for n in lengths]
fig, ax = plt.subplots()
colours = [plots.STABLE, plots.EXPLODES, plots.FOURTH]
plots.plot_against_theory(ax, lengths, shown, log="xy", rough=True, colours=colours)
ax.plot(lengths, predicted, **plots.THEORY)
plots.finish(ax, "The loop loses, torch.sum does not", "terms", "error / sum")
slopes = {
    name: math.log(off[-1] / off[0]) / math.log(64) for name, off in errors.items()
}
found = {name: at_most(abs(s - 0.5), 0.15, 0.3) for name, s in slopes.items()}
evidence = "No training; bfloat16, vectors of 64 to 4096 entries, on the CPU. Slopes: "
evidence += ", ".join(f"{s:.1f} ({name})" for name, s in slopes.items()) + "."
verdict("W28", found, evidence)

# %% [markdown]
# How large the bias is depends on the terms, so no rule gives it. That torch adds in a wider format holds on this CPU.
# On a GPU there is a switch that lets a product of `bfloat16` matrices be added up in fewer bits.

# %% [markdown]
# ### B · A softmax in 16 bits
#
# In `float16` $e^{12}$ is beyond 65504. A logit of 12 is nothing special, as lesson 10 saw. But a softmax does not
# change when the same number is taken from all logits of a row, because it cancels above and below. By hand, for the
# logits $(100, 99)$: take 100 off, and $e^0 = 1$, $e^{-1} = 0.37$. So the shares are $1/1.37 = 0.73$ and $0.27$, and
# nothing was large. Taking off the *largest* is safe, because then no exponent is above 0.
#
# ### Exercise 11.6 · ●●○ · 6 minutes
#
# Write `safe_softmax(z)`, without torch's own if you like: `z` is (…, n) in `float16`, with logits of any size, some of
# them `-inf` (masked). Return the softmax over the last dimension, in the same format.


# %%
def safe_softmax(z):
    ### BEGIN SOLUTION
    e = (z - z.amax(-1, keepdim=True)).exp()
    return e / e.sum(-1, keepdim=True)
    ### END SOLUTION


safe_softmax = check("11.6", safe_softmax).function

# %% [markdown]
# That mends the range. What of the digits? A logit between $2^k$ and $2^{k+1}$ is rounded by half a gap at most, evenly
# spread, so by $2^{k-7}/\sqrt{12}$ on average. The exponential turns a *difference* of logits into a *factor*. So an
# error of $0.1$ in a logit of 40 is an error of ten per cent in its probability.

# %% tags=["experiment"]
# The error of exp, by the size of the logit
g, rows = torch.Generator().manual_seed(0), []
for k in range(8):
    z = 2.0**k * (1 + torch.rand(20_000, generator=g, dtype=torch.float64))
    off = (rounded(z, torch.bfloat16) - z).expm1().square().mean().sqrt()
    rows.append([f"{2**k} to {2 ** (k + 1)}", 2 ** (k - 7) / 12**0.5, float(off)])
names = ["logit", "predicted", "measured"]
columns = dict(zip(names, zip(*rows)))
columns = {
    n: [x if isinstance(x, str) else f"{x:.2g}" for x in c] for n, c in columns.items()
}
table(columns)

# %% [markdown]
# So logits that grow, as in lesson 10, cost twice: the softmax gets sharp, and its probabilities get imprecise. That is
# one more reason to compute a softmax in `float32`, as `autocast` does on a GPU.

# %% [markdown]
# ### C · A paper in small: which tensor may be cut
#
# Micikevicius et al. (2018) trained with `float16` in three steps: a `float32` master copy of the weights, a loss
# scale, and sums in `float32`. They give two reasons for the copy. Updates can be smaller than the smallest number of
# the format. And a weight that is at least 2048 times larger than its update may keep its value, because `float16` has
# ten stored digits. (By section 2 it depends on where the weight lies: some from 2048 on, all from 4096.)
#
# We reduce it to digits and 9000 weights, and cut one tensor at a time. The others stay in `float32`. Adam at `0.001`,
# 200 steps, ten seeds; no tensor cores, only rounding. The table says of how many networks the loss is more than a
# tenth above that of `float32`. In `bfloat16` it is 256 to 512, so weights in `float16` should bear far more.

# %% tags=["experiment"]
# One tensor at a time


def only(tensor, dtype):
    keep = lambda name, new, old: rounded(new, dtype) if name == tensor else new
    return ends(trained([1e-3], keep))


def signals_rounded(weights, x):
    for k, W in enumerate(weights):
        x = rounded((torch.relu(x) if k else rounded(x)) @ W.mT)
    return x


half, exact = (torch.bfloat16, torch.float16), by_adam["float32"][-1, 1]
cut = {"weights": by_adam["bfloat16"][:, 1:2], "Adam's m": only("first", half[0])}
cut |= {"Adam's v": only("second", half[0])}
cut["activations and deltas"] = ends(trained([1e-3], scores=signals_rounded))
cut |= {"weights, float16": only("weights", half[1])}
cut |= {"Adam's v, float16": only("second", half[1])}
over = [int((~(loss[-1, 0] <= 1.1 * exact)).sum()) for loss in cut.values()]
broken = [bool(loss[-1].isnan().any()) for loss in cut.values()]
names = [name if "," in name else f"{name}, bfloat16" for name in cut]
table({"cut": names, "worse, of ten": over, "NaN": broken})

# %% [markdown]
# Two rows fail, for two reasons. Weights in `bfloat16` lack digits. Adam's $v$ in `float16` lacks range: it is a
# square, so it becomes 0 first, and a step is divided by nearly nothing. Each of them is well in the other format.
#
# What this does not say: $v$ in `bfloat16` was held for 200 steps only, and section 4 found that it cannot fall. And
# the paper's models were far larger, on real hardware.
#
# ### D · On your own hardware
#
# All above is simulated: `float32` results, rounded. If this machine has a GPU, the next cell multiplies two `bfloat16`
# matrices there and says how far the product is from ours, compared with one rounding. Nothing depends on it.

# %% tags=["nbval-ignore-output"]
if torch.cuda.is_available():
    a, b = torch.randn(
        2, 512, 512, generator=torch.Generator().manual_seed(0)
    ).bfloat16()
    there, ours = (a.cuda() @ b.cuda()).cpu().float(), rounded(a.float() @ b.float())
    print(
        f"off by {float((there - ours).norm() / ours.norm()):.1e}; a rounding is 2e-03"
    )
else:
    print("No GPU on this machine, so there is nothing to compare with.")

# %% [markdown]
# ## Further reading
#
# - P. Micikevicius, S. Narang et al., [Mixed precision training](https://arxiv.org/abs/1710.03740) (2018): the master
#   copy, the loss scale, and the histograms behind them.
# - D. Goldberg, [What every computer scientist should know about floating-point
#   arithmetic](https://docs.oracle.com/cd/E19957-01/806-3568/ncg_goldberg.html) (1991): gaps and roundings, from the
#   ground.
#
# [The solution of this lesson](../solutions/11_precision.ipynb) · [Back to the start](00_start_here.ipynb)
