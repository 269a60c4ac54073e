# %% [markdown]
# # 06 · Clipping
#
# **What does a limit on the gradient mend, what does it only hide, and what is it under Adam?**
#
# After this lesson you can
# - clip by value and by norm, and say what each does to a step's direction,
# - say what a threshold is for plain descent, and what it is for Adam,
# - choose one, and tell what it mends from what it hides.
#
# Core: about 75 minutes. Deeper: another 40 minutes. It runs in 15 seconds. Needs: [lesson
# 05](05_initialization.ipynb). Next: [lesson 07](07_learning_rate_schedules.ipynb).

# %%
import math
import subprocess
import sys

import matplotlib.pyplot as plt
import torch

from gradutils import explorers, plots
from gradutils.course import (
    at_least,
    check,
    mostly,
    predict,
    recall,
    reveal,
    table,
    verdict,
)
from gradutils.data import digits
from gradutils.models import recurrent_scores, recurrent_stacks, weight_stacks
from gradutils.training import grid, train_many, train_stacks

plots.use_style()

# %% [markdown]
# ## Before you start

# %%
recall("06")

# %% [markdown]
# ## Predict
#
# Lesson 01 ended at a cliff. The loss has a gentle slope that leads down to a wall, and runs walk to the wall, step
# over it to and fro, and sooner or later one step ends *inside* the wall. There the slope is huge, and the next step
# throws the run far away. A smaller rate only bought time.
#
# Now we limit the slope instead: every slope above `0.1` in size is cut to `0.1`. The rate stays at `0.5`, at which
# runs were thrown. Each takes 150 steps.

# %%
far = "are thrown all the same"
near = "cross the wall to and fro, but stay near"
rest = "come to rest at the foot of the wall"
predict("06.a", "With the clip most runs…", [far, near, rest])

# %% [markdown]
# ## What happens
#
# First with a pencil. Where the slope is 20, a step at rate `0.5` is $0.5 \cdot 20 = 10$ long, and it leaves the page.
# With the clip the same step is $0.5 \cdot 0.1 = 0.05$ long. No step can be longer, wherever it starts.


# %%
def cliff(b):  # lesson 01: one recurrent unit, 50 steps
    h = torch.full_like(b, 0.5)
    for _ in range(50):
        h = 5 * torch.sigmoid(h) + b
    return (torch.sigmoid(h) - 0.7) ** 2


# %%
def clipped_step(b, lr, limit):
    b = b.detach().requires_grad_()
    (slope,) = torch.autograd.grad(cliff(b).sum(), b)
    return b.detach() - lr * slope.clamp(-limit, limit)


# %% [markdown]
# Fifty runs from neighbouring starts take 150 steps each, without the clip and with it. We count the runs that make a
# step longer than 1, and draw one run of each kind.

# %% tags=["experiment"]
# Fifty runs at the cliff, without a clip and with one
path = [torch.linspace(-2.4, -1.6, 50).double().repeat(2, 1)]
for _ in range(150):
    path.append(clipped_step(path[-1], 0.5, torch.tensor([[math.inf], [0.1]])))
paths = torch.stack(path, 1)  # (without and with, steps + 1, runs)
thrown = [int((path.diff(dim=0).abs() > 1).any(0).sum()) for path in paths]
until = int((paths[0, :, 1].diff().abs() > 1).int().argmax()) + 2
fig, axes = plt.subplots(1, 2, sharey=True)
for ax, run, title in zip(axes, paths, ("No clip: thrown", "Clipped at 0.1: stays")):
    plots.plot_path_1d(ax, cliff, run[:until, 1], low=-3.2, high=-1.4, name="b")
    plots.finish(ax, title)

# %% tags=["reveal"]
# The prediction is settled
turns = paths[1][-100:].diff(dim=0).sign().diff(dim=0) != 0
crossing = int(turns.any(0).sum())
words = ["most" if count > 25 else "some" if count else "none" for count in thrown]
reveal(
    "06.a",
    far if thrown[1] > 25 else near if crossing > 25 else rest,
    f"Thrown without the clip: {words[0]}; with it: {words[1]}.",
    wrong={
        far: "A step is at most the rate times the limit now, so none leads far away.",
        near: "The runs did not keep crossing the wall.",
        rest: "At the wall the slope is above 0.1, so a step there is 0.05 long. It "
        "leads over the foot of the wall, and the next one back.",
    },
)

# %% [markdown]
# The clip limits how far one step can lead. It does not know where to go: a run still walks down to the wall, over it,
# and back. It is never thrown, because no slope counts for more than `0.1`. And it never comes to rest: nearly every
# slope here is above `0.1`, so its steps stay `0.05` long. In the explorer move the threshold, and find where runs
# begin to be thrown.

# %%
explorers.explore_cliff()

# %% [markdown]
# ## 1 · Two ways to clip
#
# A network has many slopes, one for each weight, so there are two things that a limit can be put on: each entry, or the
# length of all of them.
#
# **By value** each entry is cut to lie between $-c$ and $c$. With $c = 1$ the gradient $(3, -4, 0.5)$ becomes $(1, -1,
# 0.5)$: the sign stays, a small entry stays, a large one becomes $c$.
#
# ### Exercise 06.1 · ●○○ · 4 minutes
#
# Write `clip_by_value(grads, c)`. `grads` is a list of tensors. Return a list of new tensors; leave the given ones as
# they are.


# %%
def clip_by_value(grads, c):
    ### BEGIN SOLUTION
    return [g.clamp(-c, c) for g in grads]
    ### END SOLUTION


clip_by_value = check("06.1", clip_by_value).function

# %% [markdown]
# **By norm** (Pascanu et al. 2013) all gradients together are one long vector $g$. If its length $|g|$ is above $c$,
# all of it is multiplied by $c/|g|$, so that its length becomes $c$. Otherwise nothing happens.
#
# Let one weight have the gradient $(3)$ and another $(4)$. Together they are $(3, 4)$, of length $\sqrt{9 + 16} = 5$.
# With $c = 1$ the factor is $1/5$, and the two become $(0.6)$ and $(0.8)$. Note that neither tensor was asked for its
# own length: by itself each would have become $1$, and the ratio of 3 to 4 would be lost.
#
# ### Exercise 06.2 · ●●○ · 8 minutes
#
# Write `clip_by_norm_(grads, c)`. It changes the tensors of the list *in place*, as `torch.nn.utils.clip_grad_norm_`
# does, and returns the norm of all of them together before the clip, a number. A gradient that is short enough stays as
# it is. `c` may be `math.inf`, and a norm may be 0. (Torch divides by the norm plus `1e-6` for that reason.)


# %%
def clip_by_norm_(grads, c):
    ### BEGIN SOLUTION
    norm = torch.stack([g.norm() for g in grads]).norm()
    for g in grads:
        g.mul_((c / (norm + 1e-6)).clamp(max=1))
    return norm
    ### END SOLUTION


clip_by_norm_ = check("06.2", clip_by_norm_).function

# %% [markdown]
# What do the two do to the direction of the step? Here is the gradient $(4, 1)$, clipped at 2. By norm the factor is
# $2/\sqrt{17}$ for both entries. By value the 4 becomes 2, and the 1 stays.

# %% tags=["drawing"]
# The drawing
fig, ax = plt.subplots(figsize=(6.4, 2.2))
gradient = torch.tensor([4.0, 1.0])
(short,) = clip_by_value([gradient], 2)
arrows = {
    "gradient": ((0, 0), (4, 1), plots.REFERENCE),
    "by norm": ((0, 0), tuple((gradient * 2 / gradient.norm()).tolist()), plots.STABLE),
    "by value": ((0, 0), tuple(short.tolist()), plots.SECOND),
}
plots.draw_arrows(ax, arrows, reach=(-0.3, 4.3, -0.3, 1.5))
plots.finish(ax, "Clipped at 2: by norm it is shorter, by value it turns as well")

# %% [markdown]
# By norm the direction stays, because all entries get one factor. By value it turns, because each entry gets a factor
# of its own. How far? Take the extreme case, a threshold far below all entries. Then only their signs are left, each
# times $c$. The cosine between $(4, 1)$ and $(1, 1)$ is
#
# $$\frac{4 \cdot 1 + 1 \cdot 1}{\sqrt{17} \cdot \sqrt{2}} = 0.86$$
#
# For $n$ entries the top is the sum of the sizes $|g_i|$, and the bottom is $\sqrt n$ times the root of the sum of
# squares. Divide both by $n$, and it is a ratio of two means:
#
# $$\text{cosine} = \frac{E|g|}{\sqrt{E[g^2]}}$$
#
# So it depends on how the entries are spread. If all have one size, it is 1. If a few are far larger than the rest,
# those few *are* the direction, and just those are cut.
#
# Clipping each row, or each tensor, by its own norm is something between: inside a row nothing turns, but the rows lose
# the ratio of their lengths. (Deeper B has an exercise on it, 06.3; the core goes on with 06.4.)

# %% [markdown]
# ## Claim on trial: S11
#
# *Clipping is scaling the gradient down by a threshold.*
#
# **Our prediction.** By norm, yes. By value, cut far below all entries, the formula gives $\sqrt{2/\pi} = 0.80$ for
# Gaussian entries. For heavy tails, $\pm e^{2z}$ with $z$ Gaussian, it gives $e^{-2} = 0.14$, if there are endlessly
# many entries. Rows whose sizes are spread as $e^z$, each clipped to one length, keep a cosine of $e^{-1/2} = 0.61$.
#
# To test it we need the cosine between two gradients, each a list of tensors. Each tensor here is a stack of ten, one
# for each seed, so there are ten cosines.


# %%
def cosines(before, after):
    before, after = (torch.cat([g.flatten(1) for g in gs], 1) for gs in (before, after))
    return (before * after).sum(1) / before.norm(dim=1) / after.norm(dim=1)


# %% [markdown]
# Ten gradients of each kind, as matrices of 100 x 100: Gaussian entries, heavy tails, and Gaussian rows of unequal
# size. The fourth kind is real, the first gradient of ten networks on 100 digits. All are clipped far below their
# entries, by value, by row, and by norm. The table shows medians of the cosine with the gradient before the clip.

# %% tags=["experiment"]
# Four kinds of gradient, three ways to clip them
data, draw = digits(), torch.Generator().manual_seed(0)
z, tail = torch.randn(2, 10, 100, 100, generator=draw, dtype=torch.float64)


def gradients_of(phi, weights):  # of ten networks: a stack for each layer
    weights, h = [W.detach().requires_grad_() for W in weights], data.x_train[:100]
    for W in weights[:-1]:
        h = phi(h @ W.mT)
    scores = (h @ weights[-1].mT).log_softmax(-1)  # (seeds, 100, 10)
    loss = -scores[:, torch.arange(100), data.y_train[:100]].mean(1)
    return torch.autograd.grad(loss.sum(), weights)


nets = weight_stacks([64, 32, 32, 10], 2**0.5)
kinds = {"Gaussian entries": [z], "heavy tails": [z.sign() * (2 * tail).exp()]}
kinds["rows of unequal size"] = [z * tail[:, :, :1].exp()]
kinds["a network's first gradient"] = gradients_of(torch.relu, nets)
turned = {}
for name, kind in kinds.items():
    by_norm = [g.clone() for g in kind]
    for k in range(10):
        clip_by_norm_([g[k] for g in by_norm], 1e-3)
    by_row = [g / g.norm(dim=-1, keepdim=True).clamp(min=1e-12) for g in kind]
    after = by_norm, clip_by_value(kind, 1e-9), by_row
    turned[name] = [float(cosines(kind, grads).median()) for grads in after]
columns = [[f"{value:.2f}" for value in column] for column in zip(*turned.values())]
table({"cosine": kinds} | dict(zip(["by norm", "by value", "by row"], columns)))

# %% tags=["experiment"]
# The verdict on S11
bars, by_row = {"bar": 0.99, "false_at": 0.95}, turned["rows of unequal size"][2]
found = {"by norm": at_least(min(row[0] for row in turned.values()), **bars)}
found |= {f"by value, {name}": at_least(row[1], **bars) for name, row in turned.items()}
found["by row, rows of unequal size"] = at_least(by_row, **bars)
evidence = "No training; ten gradients of each kind, 10000 entries (network: 3392), "
evidence += "thresholds far below all. Cosine with the gradient before the clip: "
evidence += ", ".join(f"{found[name].value:.2f} {name}" for name in found)
verdict("S11", found, evidence + ".")

# %% [markdown]
# The table stands for the extreme case. A threshold that only a few entries pass turns the gradient less, and one above
# all entries does nothing. A clip by value is not wrong for that: its step still leads downhill, because every entry
# keeps its sign. It is another direction, though, and one that favours small entries. From here on we clip by norm.

# %% [markdown]
# ## 2 · How large a threshold?
#
# How large should $c$ be? Suppose first that *every* step is cut.

# %%
larger, equal, smaller = "threshold 1", "threshold 0.1", "threshold 0.01"
question = (
    "If every step is clipped, rate 0.3 with threshold 0.1 does the same as 0.03 with…"
)
predict("06.b", question, [larger, equal, smaller])

# %% [markdown]
# Let the gradient have length 40, the threshold be 1 and the rate `0.3`. The clip makes the length 1, and the rate
# makes it `0.3`. The next gradient has length 7.

# %% tags=["drawing"]
# The drawing
fig, axes = plt.subplots(2, 1, figsize=(6.4, 2.9))
for ax, length in zip(axes, (40, 7)):
    lengths = [f"length {value}" for value in (length, 1, 0.3)]
    values, how = ["gradient", "clipped", "step"], ["clip at 1", "times 0.3"]
    plots.draw_chain(ax, values, how, numbers=lengths)
plots.finish(axes[0], "Two gradients, one length of step: rate times threshold")

# %% [markdown]
# So the length of a step is rate times threshold, whatever the gradient was, and only the direction comes from the
# data. A tenth of the threshold and ten times the rate make the very same step, so that the next gradient is the same,
# and the next step. The two numbers are one knob.

# %% [markdown]
# Now on real data. The digits are read as sequences, 8 steps of 8 pixels each, by a ReLU network of 16 units whose
# recurrent matrix is `1.6` times the identity. Its gradients grow through time, as in lesson 03. Plain descent, 60
# steps, six rates, four thresholds, ten seeds each. The figure shows the accuracy on test digits. The lines above it
# say how many steps are cut at threshold 10.

# %% tags=["experiment"]
# Six rates, four thresholds, ten seeds: 240 recurrent networks at once
lrs, limits = [1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3], [0.1, 1.0, 10.0, math.inf]
rows_of_8 = {name: getattr(data, name).view(-1, 8, 8) for name in ("x_train", "x_test")}
sequences, start = data._replace(**rows_of_8), recurrent_stacks(8, 16, 1.6)
lr, limit = grid(lrs, limits)
sgd = {"momentum": 0.0, "steps": 60}
runs = train_stacks(recurrent_scores, start, sequences, lr, max_norm=limit, **sgd)
by_sgd = runs.accuracy[-1].view(6, 4, 10)  # rates, thresholds, seeds
lines = dict(zip(["clip at 0.1", "at 1", "at 10", "no clip"], by_sgd.unbind(1)))
colours = [plots.STABLE, plots.SECOND, plots.FOURTH, plots.REFERENCE]
cut = (runs.grad_norm.view(60, 6, 4, 10)[:, :, 2] > 10).float().mean((0, 2))
always, rarely = (torch.tensor(lrs)[rates] for rates in (cut > 0.8, cut < 0.5))
print(f"Cut at 10: nearly all up to rate {always.max():g}, some from {rarely.min():g}.")
fig, ax = plt.subplots()
plots.plot_against_theory(ax, lrs, lines, log="x", rough=True, colours=colours)
title = "Plain descent: a threshold moves the window of rates"
plots.finish(ax, title, "learning rate", "test accuracy")

# %% tags=["reveal"]
# The prediction is settled
apart = (by_sgd[5, 0] - by_sgd[3, 1]).abs().median()  # (0.3, 0.1) and (0.03, 1)
reveal(
    "06.b",
    larger if apart < 0.02 else smaller,
    "The products are equal, and so is what is learnt.",
    wrong={
        larger: "The two runs did not end alike.",
        equal: "Then each step would be a tenth as long: its length is rate times "
        "threshold.",
        smaller: "Then each step would be a hundredth as long, because both of its "
        "factors are smaller.",
    },
)

# %% [markdown]
# From threshold `0.1` to 1 the same curve moves left by a factor of 10: one knob with two names. Up to rate `0.01` the
# line for threshold 10 is this curve once more, because nearly every step is cut. So at its left end it lies below the
# line without a clip: there nothing explodes, and the clip only makes steps shorter. From `0.03` on it is new. The
# first steps are cut, the network learns, its norms fall below 10, and most later steps keep their length. So it learns
# at rates at which the line without a clip has fallen to guessing.
#
# The figure does not say that this holds for every optimizer. The argument was that a step is proportional to the
# gradient. (Momentum adds up such steps, so it holds there too.) The explorer shows the map of both numbers; find the
# diagonals along which nothing changes.

# %%
explorers.explore_rate_and_threshold()

# %% [markdown]
# ## 3 · What a clip is under Adam
#
# Most large networks are trained with Adam or AdamW, and with a clip at 1. Is the threshold a second learning rate
# there too?

# %%
shorter = "falls far: the steps are a hundredth as long"
longer = "rises: a stronger clip protects better"
alike = "is about the same"
question = "AdamW, every step clipped. At threshold 0.001 instead of 0.1 the accuracy…"
predict("06.d", question, [shorter, longer, alike])

# %% [markdown]
# Take one weight, and the first step of Adam. It keeps a mean $m$ of the gradients and a mean $v$ of their squares.
# Both begin at 0, so both are divided by the share that has come in so far, and the step is
#
# $$\text{rate} \cdot \frac{\hat m}{\sqrt{\hat v} + \epsilon}$$
#
# Let the gradient be $2$. Then $m = 0.1 \cdot 2 = 0.2$ and $\hat m = 0.2/0.1 = 2$. The squares give $v = 0.001 \cdot 4$
# and $\hat v = 4$, whose root is 2. The step is the rate times $2/2 = 1$.
#
# Now a tenth of that gradient, $0.2$. Then $\hat m = 0.2$, and the root of $\hat v$ is $0.2$ as well. The step is the
# rate times $0.2/0.2 = 1$, as before. All that differs is $\epsilon = 10^{-8}$, which is added to 2 in one case and to
# $0.2$ in the other. Here are more steps, computed by the lines that follow.


# %%
def adam_steps(gradients, beta1=0.9, beta2=0.999, eps=1e-8):
    m, v, steps = 0.0, 0.0, []
    for t, g in enumerate(gradients, 1):
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
        m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
        steps.append(m_hat / (v_hat**0.5 + eps))  # in units of the rate
    return steps


# %%
gradients = [2, 3, 40, 1, 2, 3]  # the third is an outlier
ways = {
    "as they are": gradients,
    "a tenth of them": [g / 10 for g in gradients],
    "clipped at 1": [min(g, 1) for g in gradients],
    "clipped at 0.1": [min(g, 0.1) for g in gradients],
}
steps = [[f"{step:.2f}" for step in adam_steps(way)] for way in ways.values()]
table({"gradients": ways} | {f"step {t}": row for t, row in enumerate(zip(*steps), 1)})

# %% [markdown]
# Two things can be read here.
#
# **The size drops out.** A factor on all gradients multiplies $m$ and the root of $v$ alike, so the step keeps its
# length, but for $\epsilon$. A clip that cuts every step makes each gradient $c \cdot g/|g|$, and $c$ is such a factor.
# So under Adam a threshold that is always passed has no size: `0.1` and `0.001` are one clip.

# %% [markdown]
# **What stays is an equal say.** Without the clip the outlier makes $v$ so large that all later steps are short: with
# $\beta_2 = 0.999$ it is remembered for about a thousand steps. Its own step is short as well, but only because it
# comes early. At step 3 $\hat v$ is a mean of three squares, so it jumps at once. At step 3000 it would hardly move,
# and the step would be too *long* (W13 below has the numbers). Clipped, the outlier counts as much as any other
# gradient. So under Adam such a clip is no limit on the length of a step. It is a rule about how much each batch may
# say in the two means.

# %% [markdown]
# Now measured. The recurrent network of section 2 is trained with AdamW (weight decay `0.01`), at four rates, with
# thresholds `0.1` and `0.001` and without a clip, ten seeds each, 60 steps. In the clipped runs every gradient is
# longer than the threshold.

# %% tags=["experiment"]
# AdamW: four rates, two thresholds and none, ten seeds: 120 networks at once
adamw = {"adam": True, "weight_decay": 0.01, "steps": 60, "at": (30,)}
adam_lrs, adam_limits = [3e-3, 0.01, 0.03, 0.05], [0.1, 1e-3, math.inf]
lr, limit = grid(adam_lrs, adam_limits)
runs = train_stacks(recurrent_scores, start, sequences, lr, max_norm=limit, **adamw)
by_adam = runs.accuracy.view(2, 4, 3, 10)  # budgets, rates, thresholds, seeds
free_norms = runs.grad_norm.view(60, 4, 3, 10)[:, 1, 2]  # no clip, rate 0.01
largest = float((free_norms.amax(0) / free_norms.median(0).values).median())
early = int((free_norms.argmax(0) < 5).sum())
print(f"The largest norm, about {10 ** round(math.log10(largest))} medians of its run,")
print(f"is one of the first five in {early} of ten runs.")
lines = dict(zip(["clip at 0.1", "at 0.001", "no clip"], by_adam[1].unbind(1)))
colours = [plots.STABLE, plots.SECOND, plots.REFERENCE]
fig, ax = plt.subplots()
plots.plot_against_theory(ax, adam_lrs, lines, log="x", rough=True, colours=colours)
title = "AdamW: the thresholds are alike; without a clip less is learnt"
plots.finish(ax, title, "learning rate", "test accuracy")

# %% tags=["reveal"]
# The prediction is settled
at_best = by_adam[1].median(-1).values.amax(0)  # (thresholds,)
change = float(at_best[1] - at_best[0])
reveal(
    "06.d",
    alike if abs(change) < 0.04 else longer if change > 0 else shorter,
    "At the best rate the two thresholds end within four points of each other.",
    wrong={
        shorter: "So it would be in plain descent. Adam divides by the size of the "
        "gradients, and the factor of a hundred is in both.",
        longer: "Both thresholds cut every step, and to the same length once Adam has "
        "divided.",
        alike: "The accuracies differ by more than a few points.",
    },
)

# %% [markdown]
# The two clips end alike, within the spread. (Epsilon and rounding differ, and at a large rate a small difference
# grows.) And the clipped networks learn *more* than those without a clip, at every rate. Why? The lines above the
# figure say where this network's long gradients are: at the beginning. They are no outliers, since the norm then falls
# step by step. So the early batches have more say than the late ones, in both of Adam's means.
#
# To see what matters, we put something else in the place of the clip, one thing at a time.

# %%
recent = lambda norms: norms[-50:].median(0).values  # (steps so far, networks)
at_first = lambda norms: recent(0 * norms) + (10 if len(norms) <= 10 else math.inf)
others = {
    "cut outliers only, at 2 recent medians": {"max_norm": lambda n: 2 * recent(n)},
    "cut the first ten steps only, at 10": {"max_norm": at_first},
    "no clip, later steps longer": {"schedule": lambda k: 1 + k / 40},
    "no clip, no memory in m: beta1 = 0": {"momentum": 0.0},
}

# %% [markdown]
# Which runs end at least four points of accuracy above the same run without a clip, at two of the rates? Most: eight or
# more of ten. Few: two or fewer. Some: in between.

# %% tags=["experiment"]
# What did the clip make up for?
(lr,), ends = grid(adam_lrs[1:3]), [by_adam[1, 1:3, 0]]
again = lambda way: train_stacks(recurrent_scores, start, sequences, lr, **adamw | way)
ends += [again(way).accuracy[-1].view(2, 10) for way in others.values()]
gains = torch.stack([end - by_adam[1, 1:3, 2] for end in ends], 1)
words = [plots.how_many((gain > 0.04).sum(-1)) for gain in gains]
names = ["clip at 0.1", *others]
table({"above no clip, of ten": names, "rate 0.01": words[0], "rate 0.03": words[1]})

# %% [markdown]
# A clip that cuts only outliers gains nothing, because it finds hardly any. One that cuts only the first ten steps
# gains in most runs, as the whole clip does. So it is the first gradients that had too much say.
#
# - $m$ remembers them for about ten steps, so the run walks on where they pointed. At rate `0.03`, where that is a long
#   way, most runs without this memory gain, too.
# - $v$ remembers them for the whole run and makes the later steps short. At rate `0.01` longer steps help some runs, at
#   `0.03` few. So length is a part of it, and not all.
#
# What this does not say is that every network gains. In this one gradients grow through time, and the first are about
# ten times as long as the later ones.

# %% [markdown]
# ## Claim on trial: W13
#
# *With Adam, clipping is useless.* (Many ask so, since Adam divides by the size of the gradient anyway.)
#
# **Our prediction.** It is useless where all gradients are about equally long, because then each has an equal say
# already. It is not where the first gradients are far longer than the later ones, as in the recurrent network. And it
# is not after one bad batch late in a run. Adam then divides by a mean over about a thousand steps, which has hardly
# noticed a single large gradient. So that gradient makes a step several times too long.
#
# By hand, late in a run: let all gradients be 1 so far, so that $\hat v = 1$, and let one of 100 come. Then $m$ gains
# $0.1 \cdot 100 = 10$, and $v$ gains $0.001 \cdot 10^4 = 10$. The step is the rate times about $11/\sqrt{11} = 3.3$,
# where it was 1, and the next ones are about as long. With $\beta_2 = 0.9$ the mean of squares gains $0.1 \cdot 10^4 =
# 1000$, and the step is about $11/\sqrt{1000} = 0.3$.

# %% [markdown]
# Networks of two hidden layers of 32 on the digits, AdamW, three rates, two values of $\beta_2$, with a clip at 1 and
# without, ten seeds. Judged after 40 and after 80 healthy steps. Then comes one bad batch, with pixels 20 times as
# large and wrong labels, and 29 healthy ones. The table compares the highest loss of these 29 without and with the
# clip, at the best rate before the bad batch. Most: eight or more of ten. Few: two or fewer. Some: in between.

# %% tags=["experiment"]
# One bad batch: three rates, two memories, with a clip and without
draw, bad = torch.Generator().manual_seed(5), 80
picked = torch.randint(1400, (110, 64), generator=draw)
wrong_labels = torch.randint(10, (64,), generator=draw)


def one_is_bad(k):
    x, y = data.x_train[picked[k]], data.y_train[picked[k]]
    return (20 * x, wrong_labels) if k == bad else (x, y)


spiked = {"adam": True, "weight_decay": 0.01, "batches": one_is_bad, "steps": 110}
dense_lrs, shape = [0.001, 0.003, 0.01], (110, 3, 2, 2, 10)
lr, beta2, spiked_limit = grid(dense_lrs, [0.9, 0.999], [1.0, math.inf])
options = spiked | {"at": (40, 80), "beta2": beta2, "max_norm": spiked_limit}
runs = train_many(torch.relu, nets, data, lr, **options)
by_dense = runs.accuracy.view(3, *shape[1:]).median(-1).values  # at, rates, beta2, clip
best = int(by_dense[1, :, 1, 1].argmax())  # rate of the networks without a clip
dense_norms = runs.grad_norm.view(shape)[:, best, 1, 1]  # steps, seeds
peaks = runs.loss.view(shape)[bad + 1 :, best].amax(0)  # beta2, clip, seeds
ratios = peaks[:, 1] / peaks[:, 0]
words = plots.how_many([(row > 1.5).sum() for row in ratios])
table({"beta2": ["0.9", "0.999"], "half as high again without a clip, of ten": words})

# %% tags=["experiment"]
# The verdict on W13
dense = by_dense[:2, :, 1].amax(1)  # at the best rate, after 40 and 80 steps: (2, clip)
recurrent = by_adam.median(-1).values.amax(1)  # after 30 and 60 steps
shares = [float((way[:, -1] / way[:, 0]).mean()) for way in (dense, recurrent)]
usual = [f"{kind} network, ordinary steps" for kind in ("dense", "recurrent")]
found = {n: at_least(s, 0.97, false_at=0.93) for n, s in zip(usual, shares)}
times = ratios.median(1).values.tolist()
for beta2, ratio in zip(("0.9", "0.999"), times):
    found[f"one bad batch, beta2 {beta2}"] = at_least(1 / ratio, 0.8, false_at=0.5)
evidence = "AdamW; dense: 2 layers of 32, 40 and 80 steps, three rates, clip at 1; "
evidence += "recurrent: 16 units, 30 and 60 steps, four rates, clip at 0.1. The best "
evidence += f"without a clip: {shares[0]:.2f} (dense), {shares[1]:.1f} (recurrent) of "
evidence += "the accuracy with it. After a bad batch the loss without it peaks "
evidence += f"{times[1]:.0f} times as high at beta2 0.999, {times[0]:.0f} times at 0.9."
verdict("W13", found, evidence, usual)

# %% [markdown]
# So the claim is right about ordinary steps in a network whose gradients keep about one length, which is where people
# try it and see nothing. There a clip under Adam is an insurance: it costs nothing, and it pays when one batch is
# unlike the rest. With $\beta_2 = 0.9$ it pays less, as the pencil said, but more than the single step lets expect. For
# some ten steps $m$ points where the bad batch pointed, and $v$ forgets as fast. With other seeds this one setting
# comes out undecided.

# %% [markdown]
# ## 4 · Choosing the threshold
#
# Log the norms *before* the clip: torch's clip returns them, and `Recorder` keeps them. Under plain descent the usual
# advice is to cut the rarest, say the largest tenth of a healthy run (Google's tuning playbook says the 90th
# percentile).
#
# With the norms $1, 2, 3, 4, 5$ and a share of $0.25$ the threshold is $4$: of the four gaps between the five sorted
# numbers a quarter lies above it. This is the quantile at $1 - 0.25 = 0.75$.
#
# ### Exercise 06.4 · ●○○ · 5 minutes
#
# Write `threshold_from(norms, share)`. `norms` is (steps,), and may hold an inf or a NaN from a bad step: leave those
# out. Return the threshold, a float, above which a fraction `share` of the others lies.


# %%
def threshold_from(norms, share):
    ### BEGIN SOLUTION
    return float(norms[norms.isfinite()].quantile(1 - share))
    ### END SOLUTION


threshold_from = check("06.4", threshold_from).function

# %% [markdown]
# But the norm falls while a network learns. A threshold that cuts a tenth of *all* steps need not cut a tenth of the
# late ones. The table takes the 80 healthy steps of the dense networks above, sets the threshold by your function, and
# counts the share that is cut in each quarter of the run.

# %% tags=["experiment"]
# What a fixed threshold cuts, quarter by quarter
healthy = dense_norms[:bad]  # no clip, beta2 0.999: (steps, seeds)
fixed = torch.tensor([threshold_from(norms, 0.1) for norms in healthy.T])
shares = (healthy > fixed).float().view(4, 20, 10).mean((1, 2)).tolist()
quarters = ["first", "second", "third", "last"]
table({"quarter": quarters, "share cut": [f"{share:.1f}" for share in shares]})

# %% [markdown]
# It cuts the beginning, where all is well. A spike in the last quarter would have to be several times as long as its
# neighbours to be noticed. So let the threshold move with the run, for instance at twice the median of the last 50
# norms. Or skip a spike: take no part of a batch whose norm is more than five times that median. Deeper C tries both.
#
# The playbook adds: if more than half of the steps are cut, lower the learning rate. In plain descent that is sound,
# since rate and threshold are one knob there, and you may as well turn the one that you tune. Under Adam it has no
# basis: in section 3 *every* step was cut, and that was the better run.

# %% [markdown]
# ## 5 · What is no number
#
# A limit on large numbers should be at its best with the largest of all.

# %%
all_nan = "all are NaN"
one_nan = "one is NaN, none has moved"
skipped = "none is NaN, the step was skipped"
question = (
    "One gradient entry is inf. After torch's clip_grad_norm_ and a step the weights…"
)
predict("06.c", question, [all_nan, one_nan, skipped])

# %% [markdown]
# Three gradients go through torch's two clips at 1: one with an inf, one with a NaN, and four finite entries of $2
# \cdot 10^{19}$ each. What do they become?

# %%
after, hard = {}, ([1, 2, math.inf], [1, 2, math.nan], [2e19] * 4)
for clip in (torch.nn.utils.clip_grad_norm_, torch.nn.utils.clip_grad_value_):
    after[clip.__name__] = []
    for values in hard:
        p = torch.nn.Parameter(torch.zeros(len(values)))
        p.grad = torch.tensor(values)
        clip(p, 1.0)
        after[clip.__name__].append(", ".join(f"{entry:g}" for entry in p.grad))
table({"gradient": [", ".join(map(str, values)) for values in hard]} | after)

# %% tags=["reveal"]
# The prediction is settled
seen = {"0, 0, nan": one_nan, "nan, nan, nan": all_nan}
reveal(
    "06.c",
    seen.get(after["clip_grad_norm_"][0], skipped),
    "c / inf is 0, and 0 times inf is NaN.",
    wrong={
        all_nan: "With a NaN in the gradient they would be. An inf makes 0 of all "
        "finite entries.",
        one_nan: "The clip left another gradient.",
        skipped: "By default torch does not look whether the norm is finite, so the "
        "step is taken with what is left.",
    },
)

# %% [markdown]
# With an inf the norm is inf, and the factor is $c/\infty = 0$. It makes 0 of every finite entry, and $0 \cdot \infty$
# is a NaN. With a NaN the norm is NaN, and so is everything. In the last row all entries are finite, and only their
# squares overflow: the norm is inf, and the step silently does nothing.

# %% [markdown]
# So ask for the norm *before* the step, and skip the step if it is not finite. `error_if_nonfinite=True` makes torch
# raise an error instead. On an accelerator either makes the program wait, because Python has to know the norm before it
# can go on.
#
# ### Exercise 06.5 · ●●○ · 8 minutes
#
# An old idea in new clothes: in lesson 03 an inf became a NaN one layer later, as $\infty - \infty$. Here it does so in
# the optimizer. Write `safe_step(weights, grads, lr, c)`, with two lists of tensors. If any gradient holds an inf or a
# NaN, return `weights` as they are. Otherwise clip by norm at `c` (your `clip_by_norm_`, on copies), and return the
# list of new weights after a step of plain descent. Change none of the given tensors.
#
# An example: weights $(1, 1)$, gradient $(30, 40)$, `lr = 0.1`, `c = 1`. The norm is 50, the clipped gradient $(0.6,
# 0.8)$, and the new weights are $(0.94, 0.92)$.


# %%
def safe_step(weights, grads, lr, c):
    ### BEGIN SOLUTION
    if not all(g.isfinite().all() for g in grads):
        return weights
    grads = [g.clone() for g in grads]
    clip_by_norm_(grads, c)
    return [W - lr * g for W, g in zip(weights, grads)]
    ### END SOLUTION


safe_step = check("06.5", safe_step).function

# %% [markdown]
# In `float16` an inf is daily work, since numbers end at 65504 there. Torch's `GradScaler` looks for it and skips the
# step by itself, and then `error_if_nonfinite=True` is wrong: it raises before the scaler can skip. Deeper D shows
# both. `bfloat16` needs no scaler, because it has the range of `float32`. What it lacks is digits, so that small
# updates are lost; that belongs to a later lesson on precision.

# %% [markdown]
# ## 6 · What it mends: two kinds of explosion
#
# Gradients can grow for two reasons, as lesson 02 found. Either the signal grows as well, and all that is wrong is the
# scale. Or the signal is bounded and the gradient grows nevertheless, because neighbouring inputs are driven apart. We
# take one network of each kind, both with 14 hidden layers.
#
# - ReLU at `sigma_w = 2.18`. Lesson 03 gives the growth per layer, $\sqrt{\chi_1} = 2.18/\sqrt2 = 1.54$.
# - tanh at `sigma_w = 4`, for which the same theory gives $1.54$ as well, once $q$ has settled.
#
# A clip changes the length and keeps the direction, so it can help only where the direction is good. That can be asked
# before training: move all weights a little, at random, and see whether the gradient still points the same way. If it
# does not, the gradient says nothing of the place where a step along it would lead.

# %% [markdown]
# Ten networks of each kind, 40 units wide. Every weight is moved by a share of its size, from a thousandth to a tenth,
# and the cosine of the gradients before and after is taken.

# %% tags=["experiment"]
# Does the gradient survive a small move of the weights?
sizes, scales = [64] + [40] * 14 + [10], {"ReLU": 2.18, "tanh": 4.0}
functions, kept = {"ReLU": torch.relu, "tanh": torch.tanh}, {}
moves = [1e-3, 0.01, 0.1]
for name, phi in functions.items():
    weights, noise = (weight_stacks(sizes, scales[name], seed=k) for k in (0, 1))
    moved = [[W + move * E for W, E in zip(weights, noise)] for move in moves]
    before = gradients_of(phi, weights)
    kept[name] = torch.stack([cosines(before, gradients_of(phi, W)) for W in moved])
fig, ax = plt.subplots()
colours = [plots.STABLE, plots.SECOND]
plots.plot_against_theory(ax, moves, kept, log="x", rough=True, colours=colours)
title = "ReLU keeps its direction, tanh loses it at once"
plots.finish(ax, title, "size of the move, share of the weights", "cosine of gradients")

# %% [markdown]
# Both gradients grow by the same factor per layer, but only one of them is a direction. A hundredth of the weights is
# enough to turn the other one away. So we expect a clip to save the ReLU networks, and not the tanh networks.
#
# Each kind is trained with momentum, 120 steps, with a clip at 1 and without, ten seeds; then with AdamW, 60 steps.
# ReLU gets two rates each, tanh the one of them at which most ReLU networks learn. The table says how many of ten reach
# an accuracy of `0.2`, where guessing is `0.1`. Most: eight or more of ten. Few: two or fewer. Some: in between.

# %% tags=["experiment"]
# Fourteen layers of each kind, momentum
deep_rates = {("tanh", "momentum"): [0.01], ("tanh", "AdamW"): [0.006]}
deep_rates |= {("ReLU", "momentum"): [1e-4, 0.01], ("ReLU", "AdamW"): [0.006, 0.1]}


def deep_runs(kind, optimizer, **options):  # how many of ten learn, (rates, clip)
    lr, limit = grid(deep_rates[kind, optimizer], [1.0, math.inf])
    stacks = weight_stacks(sizes, scales[kind])
    runs = train_many(functions[kind], stacks, data, lr, max_norm=limit, **options)
    return (runs.accuracy[-1].view(-1, 2, 10) > 0.2).sum(-1)


deep = {(kind, "momentum"): deep_runs(kind, "momentum", steps=120) for kind in scales}

# %% tags=["experiment"]
# The same with AdamW, and the table
adamw_deep = {"steps": 60, "batch": 64, "adam": True, "weight_decay": 0.01}
deep |= {(kind, "AdamW"): deep_runs(kind, "AdamW", **adamw_deep) for kind in scales}
arms = [(*arm, k) for arm in deep for k in range(len(deep[arm]))]
names = [f"{kind}, {how}, rate {deep_rates[kind, how][k]:g}" for kind, how, k in arms]
counts = [deep[kind, how][k] for kind, how, k in arms]
words = [plots.how_many(column) for column in zip(*counts)]
table({"of ten reach 0.2": names, "clip at 1": words[0], "no clip": words[1]})

# %% [markdown]
# With momentum the clip saves ReLU at a rate at which few learn without it. (A far smaller rate shortens the step, too,
# and some begin to learn. There a clip does harm: it makes short steps shorter.) It does not save tanh, whose gradient
# holds nowhere. The table does not say that these networks never learn, because 120 steps are few, and it does not
# speak of fewer layers.
#
# With AdamW the ReLU networks learn without a clip, since Adam divides by the size of the gradient anyway, and the clip
# adds nothing. The large rate is far too large: few learn, clipped or not, because under Adam the clip does not limit
# the step. Rates in between, which this notebook does not run, show no rescue either: as the rate grows, fewer and
# fewer networks learn, with the clip much as without.

# %% [markdown]
# ## 7 · What it hides
#
# A clip makes a step short whatever made the gradient long, and that may be a mistake of yours. Four bugs and a rate
# that is far too large each get a clip instead of their cure. Networks of three hidden layers, descent with momentum at
# rate `0.05`, 60 steps, ten seeds. Would you still notice the bug? Most: eight or more of ten. Few: two or fewer. Some:
# in between.

# %% tags=["experiment"]
# Four bugs and a rate, with a clip and without
raw = data._replace(x_train=100 * data.x_train, x_test=100 * data.x_test)
he = lambda times: weight_stacks([64, 40, 40, 40, 10], times * 2**0.5)
bugs = {"none": {}, "loss summed": {"reduction": "sum"}}
bugs |= {"gradients not cleared": {"clear": False}, "raw inputs": {"data": raw}}
bugs |= {"weights 4 x He": {"weights": he(4)}, "rate x 40": {"lr": 2.0}}
sound = {"weights": he(1), "data": data, "lr": 0.05, "batch": 64, "steps": 60}
sound["max_norm"] = torch.tensor([math.inf, 1.0]).repeat_interleave(10)
ill = [train_many(torch.relu, **sound | bug) for bug in bugs.values()]
ends = torch.stack([runs.accuracy[-1].view(2, 10) for runs in ill])  # bugs, clip, seeds
norms = [runs.grad_norm[-30:, 10:].median(0).values.median() for runs in ill]
columns = {
    "above 0.4": plots.how_many((ends[:, 0] > 0.4).sum(-1)),
    "above 0.4, clip": plots.how_many((ends[:, 1] > 0.4).sum(-1)),
    "all above 0.75, clip": (ends[:, 1] > 0.75).all(-1).tolist(),
    "norm above 4 thresholds": [bool(norm > 4) for norm in norms],
}
table({"bug": bugs} | columns)

# %% [markdown]
# With a clip four bugs train, and two of them end where a healthy network ends, so the loss no longer gives them away.
# What does? Not that a step is cut: at this threshold a healthy run is cut often as well. For three bugs it is *how
# far* the norm lies above the threshold. The fourth, gradients that are not cleared, hides even there. Each gradient is
# added to the last one *after* its clip, which has norm 1 at most, so the sum stays small. `Recorder` sees it all the
# same, because it looks whether old gradients are still there when a backward pass begins.
#
# The rate that is too large is not hidden: a clip at 1 is too long for it. So log how far above the threshold the norm
# is. Find the cause, mend it, and then see whether you still need the clip.

# %% [markdown]
# ## Claim on trial: S6
#
# *Clipping gradients above a threshold prevents explosions.*
#
# **Our prediction.** It saves the recurrent network and the deep ReLU network under plain descent, since both have a
# good direction of the wrong length. It saves no chaotic network, under either optimizer, and no run from a NaN. Under
# Adam it saves the recurrent network from its first gradients, and does not help the deep ReLU network, whose size Adam
# has mended.
#
# One count decides at each setting. We keep the rates at which the clip is needed, because few of ten networks learn
# without it. How many learn with it, at the best of these rates? Learning is an accuracy of `0.2`, where guessing is
# `0.1`. A last setting is a run with momentum and a clip at 1, in which one batch is divided by zero. Its gradient is
# all NaN. How many of ten have learnt at the end? Most: eight or more of ten. Few: two or fewer. Some: in between.

# %% tags=["experiment"]
# What a clip saves, setting by setting
saved = lambda clip, none: int((clip * (none <= 2)).max())  # of ten, over the rates
by_sgd_end, by_adam_end = ((end > 0.2).sum(-1) for end in (by_sgd, by_adam[1]))
counts = {"recurrent ReLU, SGD": saved(by_sgd_end[:, 2], by_sgd_end[:, 3])}
counts["recurrent ReLU, AdamW"] = saved(by_adam_end[:, 0], by_adam_end[:, 2])
counts |= {f"14 {arm[0]} layers, {arm[1]}": saved(*deep[arm].T) for arm in deep}
counts["14 ReLU layers, AdamW at rate 0.1"] = counts.pop("14 ReLU layers, AdamW")
by_zero = lambda k: (one_is_bad(k)[0] / (k != 20), one_is_bad(k)[1])
options = {"batches": by_zero, "steps": 40, "max_norm": 1.0}
survivors = train_many(torch.relu, nets, data, 0.05, **options).accuracy[-1] > 0.2
counts["a batch divided by zero, momentum"] = int(survivors.sum())
words = zip(counts, plots.how_many(counts.values()))
alone = plots.how_many([by_sgd_end[:, 3].max(), by_adam_end[:, 2].max()])
evidence = "Of ten that few learn without a clip, learn with it: "
evidence += ", ".join(f"{word} ({name})" for name, word in words) + ". Recurrent: "
evidence += f"60 steps, six rates (SGD, clip 10; without, at the best, {alone[0]}) or "
evidence += f"four (AdamW, clip 0.1; {alone[1]}), 16 units. Deep: 40 units, clip 1, "
evidence += "120 steps (momentum) or 60 (AdamW); tanh at one rate."
verdict("S6", {name: mostly(count) for name, count in counts.items()}, evidence)

# %% [markdown]
# So "prevents explosions" is too much said. A clip saves a run whose gradients have a good direction and a wild length,
# under an optimizer whose step follows that length. It is no cure for chaos, none for a NaN, and under Adam it is
# another thing: an equal say for each batch. (AdamW at rate `0.1` speaks of a rate far too large, and of no other. With
# other seeds the ReLU networks under momentum come out between most and some.)

# %% [markdown]
# ## On a real run
#
# - Log the norm before the clip, how often it cuts, and how far above the threshold it is.
# - Plain descent or momentum: set the threshold near the 90th percentile of a healthy run. The norm falls, so renew it,
#   or let it move with the median of the last steps, or skip a spike. If most steps are cut, rate and threshold are one
#   knob: tune one.
# - Adam and AdamW: tell two clips apart. If *late* norms lie near `0.3`, a threshold of 1 cuts the long first gradients
#   and a bad batch, and leaves ordinary steps alone. A threshold of `0.1` cuts them all, and `0.01` is then the same
#   clip, so tuning it is wasted. Begin with the first kind; take the second where a run with it learns more. With
#   either, a high share of cut steps is no reason for a smaller rate.

# %% [markdown]
# - Without a scaler (`float32`, `bfloat16`): skip a step whose norm is not finite, and log it.
#   `error_if_nonfinite=True` stops the run instead. Both wait for the device.
# - With `GradScaler`: `scaler.unscale_(optimizer)`, then the clip *without* that flag, then `scaler.step(optimizer)`,
#   which skips what overflowed.
# - Before you rely on a clip, train a few steps without it, and find out why it is needed.

# %% [markdown]
# ## Summary
#
# A clip by norm limits what one gradient can do and keeps its direction; a clip by value, or by parts, turns it. It
# mends a gradient with a good direction and a wild length: a bad batch, an explosion of scale. It mends neither chaos
# nor an inf or a NaN, and it hides bugs, which show in how far the norm lies above the threshold. Under plain descent a
# threshold that always cuts is a second learning rate. Under Adam it has no size: it gives every batch an equal say.
# That pays where the first gradients are far longer than the later ones, which would point the way too long and then
# keep the steps short.

# %% [markdown]
# ## Deeper
#
# Five parts follow, each by itself. Why can a clipped step be faster (A)? What is a clip against the size of the
# weights (B), a threshold from the past (C)? What happens in half precision (D), and on more than one machine (E)? The
# line below starts two processes that E needs; they work while you read.

# %%
command = [sys.executable, "-m", "gradutils.two_processes"]
sharded = subprocess.Popen(
    command, stdout=subprocess.PIPE, text=True, start_new_session=True
)

# %% [markdown]
# ### A · Why a clipped step can be faster
#
# **A paper in small: Zhang et al., 2020.** Their question: why should a limit on steps ever make training *faster*?
# Where the curvature grows with the gradient, a fixed rate has to suit the steepest place, and is far too small
# elsewhere. They prove that the gain can be any factor.
#
# Take $\cosh x - 1$, whose slope is $\sinh x$. At $x = 10$ that is about $11000$, so a step may be at most 20 long (to
# land no further out on the other side), and the rate at most $20/11000 = 0.0018$. Near the bottom the slope is about
# $x$, so each step takes away $0.0018$ of what is left: some hundreds of steps for each factor of $e$. Clipped at 1,
# with rate 1, the run walks one unit per step, and is there after ten.

# %% [markdown]
# **Our prediction.** At a small rate $x$ follows $\dot x = -\text{lr}\,\sinh x$, along which $\tanh(x/2)$ falls
# exponentially. We put in the largest rate that keeps the outermost start $x_0$ from landing further out, $2x_0/\sinh
# x_0$. The clipped run takes $x_0$ steps.
#
# Twenty starts between $-x_0$ and $x_0$. The fixed rate is the best of 20, judged by its *slowest* start, because from
# a single start a lucky rate arrives at once. The clipped run is not tuned. Both are done when all starts are within
# `0.001` of the minimum.

# %% tags=["experiment"]
# The best fixed rate against a clip, for five outermost starts


def slowest(
    x0, lrs, c=math.inf, most=6000
):  # steps of the slowest start, at the best rate
    x = (x0 * torch.linspace(-1, 1, 20).double()).repeat(len(lrs), 1)
    lr = torch.tensor(lrs)[:, None]
    for step in range(most):
        if (x.abs() < 1e-3).all(1).any():
            return step
        x = (x - lr * torch.sinh(x).clamp(-c, c)).clamp(-100, 100)
    return most


reach = [2.0, 4.0, 6.0, 8.0, 10.0]
edges = [2 * x0 / math.sinh(x0) for x0 in reach]
tried = [[edge * k / 20 for k in range(1, 21)] for edge in edges]
steps_needed = {
    "best fixed rate": [slowest(x0, rates) for x0, rates in zip(reach, tried)],
    "clipped": [slowest(x0, [1.0], c=1.0) for x0 in reach],
}
flow = [
    math.log(math.tanh(x0 / 2) / math.tanh(5e-4)) / edge
    for x0, edge in zip(reach, edges)
]
fig, ax = plt.subplots()
plots.plot_against_theory(ax, reach, steps_needed, [flow, reach], log="y")
title = "The steeper the start, the more a clip gains"
plots.finish(ax, title, "outermost start", "steps of the slowest")

# %% [markdown]
# The fixed rate pays for its steepest start at every later step. The figure does not say that a network's loss is like
# a cosh; the paper measures curvature that grows with the gradient in language models.

# %% [markdown]
# ### B · Against the size of the weights
#
# **Adaptive clipping** (Brock et al. 2021) holds each unit by itself: a step should be short against the weights that
# it changes. For each row of $W$, the weights of one unit, the gradient's norm is held to at most $\lambda$ times the
# norm of the weights. A norm of the weights below $10^{-3}$ counts as $10^{-3}$, or a unit could never leave zero.
#
# By hand, with $\lambda = 0.1$: the unit with weights $(3, 4)$, of norm 5, may have a gradient of norm $0.5$. Its
# gradient $(6, 8)$ has norm 10, so it is multiplied by $0.05$ and becomes $(0.3, 0.4)$. A unit with weights $(0, 0)$
# may have a norm of $0.1 \cdot 10^{-3}$.
#
# ### Exercise 06.3 · ●●○ · 8 minutes
#
# Write `clip_by_unit(W, G, most)`. `W` and its gradient `G` are (units, inputs). Return the clipped gradient, a new
# tensor; `most` is $\lambda$. A unit without a gradient keeps its zeros.


# %%
def clip_by_unit(W, G, most):
    ### BEGIN SOLUTION
    limit = most * W.norm(dim=1, keepdim=True).clamp(min=1e-3)
    return G * (limit / G.norm(dim=1, keepdim=True).clamp(min=1e-12)).clamp(max=1)
    ### END SOLUTION


clip_by_unit = check("06.3", clip_by_unit).function

# %% [markdown]
# It turns the gradient as any clip by rows does. What does that cost, and what does it give? The ten first gradients of
# section 1 are clipped by unit, for several $\lambda$: the cosine with the gradient, and the share of units that are
# cut.

# %% tags=["experiment"]
# By unit, on the first gradients of ten networks
lambdas, gradient_stacks = [0.1, 0.03, 0.01, 1e-3], kinds["a network's first gradient"]
columns = {"cosine": [], "share of units cut": []}
for most in lambdas:
    by_unit = [
        torch.stack([clip_by_unit(w, g, most) for w, g in zip(W, G)])
        for W, G in zip(nets, gradient_stacks)
    ]
    pairs_of_units = zip(by_unit, gradient_stacks)
    cut = torch.cat([(new != old).any(-1).flatten() for new, old in pairs_of_units])
    columns["cosine"].append(f"{cosines(gradient_stacks, by_unit).median():.2f}")
    columns["share of units cut"].append(f"{cut.float().mean():.1f}")
table({"lambda": lambdas} | columns)

# %% [markdown]
# ### C · A threshold from the past
#
# **AutoClip** (Seetharaman et al. 2020) takes the threshold from all norms so far: a low percentile of them. No healthy
# run is needed beforehand. Its heart is one line, which returns the tenth percentile of the history and of this run.

# %%
autoclip = lambda old: lambda norms: torch.cat([old, norms]).quantile(0.1, dim=0)

# %% [markdown]
# At the first step of all the history is one norm long. Which limit does it set? Think before you read on.
#
# The recurrent network of section 2 is trained by plain descent at rate `0.03`, ten seeds: without a history, and with
# the norms of a run at `0.003` that learns. The last arm has a fixed threshold, which your function takes from these
# norms. Most: eight or more of ten. Few: two or fewer. Some: in between.

# %% tags=["experiment"]
# AutoClip with and without a history


def sgd_run(lr, how=None):
    return train_stacks(recurrent_scores, start, sequences, lr, max_norm=how, **sgd)


good = sgd_run(0.003).grad_norm
arms = {
    "AutoClip, no history": autoclip(good[:0]),
    "AutoClip, a run that learns first": autoclip(good),
    "90th percentile of that run": threshold_from(good, 0.1),
}
hits = [(sgd_run(0.03, how).accuracy[-1] > 0.25).sum() for how in arms.values()]
table({"threshold": arms, "of ten learn": plots.how_many(hits)})

# %% [markdown]
# Without a history the first norm *is* the percentile. So the first explosion passes unclipped, spoils the network, and
# enters the history. A percentile only says which steps are unusual, and it is worth as much as the run that it was
# taken from.
#
# **A threshold that moves** asks the recent past only. We try two forms of it on the dense networks with the bad batch,
# beside the fixed 90th percentile of section 4. One is twice the median of the last 50 norms. The other is a skip,
# which leaves out a gradient that is longer than five such medians. (It puts 0 in place of the gradient, so Adam still
# moves a little by its memory.)

# %% tags=["experiment"]
# Fixed, moving, skipping: the peak of the loss after the bad batch
spike = lambda norms: norms[-1] > 5 * recent(norms)
arms = {
    "90th percentile of the run": fixed,
    "twice the median of the last 50": lambda norms: 2 * recent(norms),
    "skip above 5 medians": lambda norms: torch.where(spike(norms), 0.0, math.inf),
}
halved = []
for how in arms.values():
    run = train_many(torch.relu, nets, data, dense_lrs[best], max_norm=how, **spiked)
    halved.append((peaks[1, 1] > 2 * run.loss[bad + 1 :].amax(0)).sum())
columns = {"peak less than half of that without, of ten": plots.how_many(halved)}
table({"threshold": arms} | columns)

# %% [markdown]
# Most: eight or more of ten. Few: two or fewer. Some: in between. All of them catch this spike, because it is a hundred
# times as long as its neighbours. They differ in upkeep: a moving threshold needs no healthy run beforehand, and keeps
# its meaning while the norm falls.

# %% [markdown]
# ### D · Half precision
#
# `float16` knows nothing below $2^{-24}$ and nothing above 65504 (Micikevicius et al. 2018). So the loss is multiplied
# by a **scale** before the backward pass, and the gradients are divided by it before the clip. With too small a scale
# gradients become 0; with too large a one they overflow. Since nobody knows the right scale, it is found while
# training: an overflow halves it, and a row of clean steps doubles it.
#
# By hand, with `every = 4`: the scale is 1024, and three steps have been clean. One more clean step, and the pair is
# $(2048, 0)$. An overflow instead, and it is $(512, 0)$.
#
# ### Exercise 06.6 · ●●○ · 6 minutes
#
# Write `next_scale(scale, clean, overflow, every)`. After a step with an overflow: half the scale, and no clean steps.
# Otherwise one more clean step; when there are `every` of them, twice the scale, and count from 0. Return the pair
# (scale, clean).


# %%
def next_scale(scale, clean, overflow, every):
    ### BEGIN SOLUTION
    if overflow:
        return scale / 2, 0
    return (scale * 2, 0) if clean + 1 == every else (scale, clean + 1)
    ### END SOLUTION


next_scale = check("06.6", next_scale).function

# %% [markdown]
# A gradient of 4096 Gaussian entries of size $10^{-6}$. On the left, the share of entries that is lost at each scale;
# dotted is what the format predicts, from what it rounds to 0 and what it rounds past 65504. On the right your
# `next_scale` starts far too high and doubles after every 8 clean steps.

# %% tags=["experiment"]
# A window of scales, and how it is found
gradient, powers = 1e-6 * z.flatten()[:4096], torch.arange(-8, 40, 2).double()
halves = torch.stack([(gradient * 2**k).half() for k in powers])
lost, broken = (halves == 0).double().mean(1), halves.isinf().double().mean(1)
below = lambda edge: torch.erf(edge / 2**powers / 1e-6 / 2**0.5)  # of |entries|, scaled
scale, clean, path = 2.0**38, 0, []
for _ in range(60):
    path.append(math.log2(scale))
    overflow = bool((gradient * scale).half().isinf().any())
    scale, clean = next_scale(scale, clean, overflow, 8)
fig, (left, right) = plt.subplots(1, 2)
kinds_of_loss = {"become 0": lost, "become inf": broken}
colours = [plots.VANISHES, plots.EXPLODES]
theory = [below(2.0**-25), 1 - below(65520.0)]
plots.plot_against_theory(left, powers, kinds_of_loss, theory, colours=colours)
plots.finish(left, "A window of scales", "scale, power of 2", "share of entries")
plots.plot_history(right, {"scale": path}, ylabel="power of 2", log=False)
plots.finish(right, "Your next_scale finds its edge")

# %% [markdown]
# The scale lives at the upper edge, and pays for it with a skipped step now and then. That is how torch's `GradScaler`
# works, too: it starts at $2^{16}$, and doubles after 2000 clean steps. So an overflow is nothing unusual, and the clip
# must let it pass to the scaler. Below is one training step whose gradient in `float16` is 2 times the scale, and $2
# \cdot 2^{16}$ is above 65504.


# %%
class Descent:  # what GradScaler asks of an optimizer
    def __init__(self, *parameters):
        self.param_groups = [{"params": parameters}]

    def step(self):
        for p in self.param_groups[0]["params"]:
            p.data -= 0.1 * p.grad


# %%
def one_overflow(flag):
    w = torch.nn.Parameter(torch.ones(2))
    optimizer, scaler = Descent(w), torch.amp.GradScaler("cpu")
    scaler.scale((2 * w.half()).float().sum()).backward()
    scaler.unscale_(optimizer)  # before the clip, or it would cut the scaled gradient
    torch.nn.utils.clip_grad_norm_([w], 1.0, error_if_nonfinite=flag)
    scaler.step(optimizer)
    scaler.update()
    return f"weights {w.tolist()}, scale 2^{math.log2(scaler.get_scale()):.0f}"


# %%
print(one_overflow(False))
try:
    one_overflow(True)
except RuntimeError as error:
    print("RuntimeError:", str(error).partition(",")[0])

# %% [markdown]
# Without the flag the weights stay and the scale is halved: the step was skipped, as it should be. With the flag the
# same harmless overflow ends the run, before `scaler.step` could skip it. So with a scaler leave the flag away. With
# `bfloat16`, which has the range of `float32`, leave the scaler away.
#
# ### E · Outgrowing one machine
#
# In large trainings the gradient lies in pieces on many machines, and the norm that counts is over all of them. Let one
# process hold the entry 3 and another the entry 4, with a clip at 1. Together the norm is 5, and the pieces become
# $0.6$ and $0.8$. If each clips what it holds, they become 1 and 1.

# %% tags=["drawing"]
# The drawing
fig, ax = plt.subplots(figsize=(6.4, 2.4))
arrows = {
    "gradient": ((0, 0), (3, 4), plots.REFERENCE),
    "clipped together": ((0, 0), (0.6, 0.8), plots.STABLE),
    "each by itself": ((0, 0), (1, 1), plots.EXPLODES),
}
plots.draw_arrows(ax, arrows, reach=(-1.5, 4.5, -0.2, 4.2))
plots.finish(ax, "Two processes that each clip their own entry: too long, and turned")

# %% [markdown]
# The two processes from the beginning of this part ran `gradutils/two_processes.py`: a network of 8 tanh layers,
# clip at 1. First each process clips the layers that it holds, then the rows of each weight that it holds. Last comes
# the clip that knows of all, of FSDP2, torch's way to spread a model.

# %%
report, _ = sharded.communicate(timeout=120)
print(report.strip())

# %% [markdown]
# With layers apart the direction changes, because the first half of this network has the larger gradients. With rows
# apart the halves are alike: the direction is right by luck, and the step is $\sqrt2$ too long. On a thousand processes
# it would be $\sqrt{1000}$.
#
# Which call is right where?
#
# - *FSDP2* (`fully_shard`): `torch.nn.utils.clip_grad_norm_`, as tested here, since its gradients know that they are
#   pieces.
# - *FSDP1* (`FullyShardedDataParallel`): the method `model.clip_grad_norm_`, called on every process. Its documentation
#   says so, because torch's function sees only local pieces there.
# - *DeepSpeed* clips in its own step, at `gradient_clipping` in its configuration; do not clip by hand as well.
# - *Pipeline stages* hold layers, and torch's function does not add over stages. Sum the squares of the norms over the
#   stages, take the root, and give it to `torch.nn.utils.clip_grads_with_norm_`.
#
# Only the first was run in this lesson.

# %% [markdown]
# ## Further reading
#
# - R. Pascanu, T. Mikolov, Y. Bengio, [On the difficulty of training recurrent neural
#   networks](https://arxiv.org/abs/1211.5063) (2013): the cliff and the clip.
# - J. Zhang et al., [Why gradient clipping accelerates training](https://arxiv.org/abs/1905.11881) (2020): part A, with
#   proofs, and curvature measured in language models.
# - A. Brock et al., [High-performance large-scale image recognition without
#   normalization](https://arxiv.org/abs/2102.06171) (2021): clipping by unit, at scale.
#
# [The solution of this lesson](../solutions/06_clipping.ipynb) · [Back to the start](00_start_here.ipynb)
