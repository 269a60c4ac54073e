# %% [markdown]
# # 09 · Adam
#
# **Adam divides by the gradient's size. What can still explode, and what do a clip, an epsilon, a decay mean then?**
#
# After this lesson you can
# - compute the edge of stability of Adam, and measure a network against it,
# - say which gradients epsilon stops, and which size a clip has,
# - tell a weight that wakes from a bad batch, and clip the right thing.
#
# Core: about 75 minutes. Deeper: another 35 minutes. It runs in 15 seconds. Needs: [lesson
# 07](07_learning_rate_schedules.ipynb). Next: [lesson 10](10_attention.ipynb).

# %%
import math

import matplotlib.pyplot as plt
import torch
from torch.nn import functional as F

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
from gradutils.models import flat_scores, mlp, normalised_scores, weight_stacks
from gradutils.training import grid

plots.use_style()

# %% [markdown]
# ## Before you start

# %%
recall("09")

# %% [markdown]
# ## Predict
#
# Lesson 07 found a ceiling on the sharpness. Under plain full-batch descent the rate times the sharpness rises to 2 and
# stays there. It said that Adam has such a ceiling too, on another quantity: the sharpness after each direction was
# divided by Adam's own scale for it. This is the **preconditioned sharpness**.
#
# The first mean of Adam, with $\beta_1$, is a kind of momentum. We train small tanh networks with Adam, full batch and
# squared error, once with $\beta_1 = 0$ and once with the usual $\beta_1 = 0.9$. Without momentum the rate times the
# preconditioned sharpness settles near 2.

# %%
lower = "at less than a third of that"
higher = "at more than three times that"
same = "within a factor of 3 of that"
predict("09.a", "With beta1 = 0.9 it settles…", [lower, higher, same])

# %% [markdown]
# ## 1 · One step of Adam
#
# Adam keeps two running means of the gradient: $m$ of the gradient itself, $v$ of its square. Both begin at 0, so both
# are too small at first, and each is divided by the share $1 - \beta^t$ that has come in after $t$ steps.

# %% [markdown]
# By hand, with $\beta_1 = 0.9$, $\beta_2 = 0.999$, the rate $0.1$ and a weight $w = 1$. Let the gradient be $2$.
#
# - $m = 0.1 \cdot 2 = 0.2$, and corrected $\hat m = 0.2/0.1 = 2$.
# - $v = 0.001 \cdot 4 = 0.004$, and corrected $\hat v = 0.004/0.001 = 4$.
# - The update is $\hat m/(\sqrt{\hat v} + \epsilon) = 2/(2 + 10^{-8}) = 1$. The new weight is $1 - 0.1 \cdot 1 = 0.9$.
#
# In the second step the gradient is $-1$. Then $m = 0.9 \cdot 0.2 - 0.1 = 0.08$ and $\hat m = 0.08/0.19 = 0.42$. The
# mean of squares is $\hat v = 0.005/0.002 = 2.5$ with the root $1.58$. The update is $0.42/1.58 = 0.27$: shorter,
# because the two gradients disagree. That is all that Adam knows of a gradient: how well it agrees with the ones
# before.

# %% [markdown]
# Two small things decide much below. The number $\epsilon$ is added *after* the root, and keeps from dividing by 0. And
# AdamW has a **decoupled** decay: each weight shrinks by itself, $w \leftarrow w\,(1 - \text{lr} \cdot \text{decay})$,
# before the step and beside the means. With the decay $0.5$ the first step above begins at $1 \cdot (1 - 0.05) = 0.95$
# and ends at $0.85$. Added to the gradient, the decay would be divided away with it.
#
# ### Exercise 09.1 · ●●○ · 12 minutes
#
# Write `adam_step(w, g, m, v, t, lr, beta1, beta2, eps, decay)`. The first four are tensors of one shape; `t` is the
# number of this step, 1 for the first. Return `w`, `m` and `v` as new tensors, and change none in place. The means are
# kept uncorrected.


# %%
def adam_step(w, g, m, v, t, lr, beta1, beta2, eps, decay):
    ### BEGIN SOLUTION
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
    update = (m / (1 - beta1**t)) / ((v / (1 - beta2**t)).sqrt() + eps)
    return w * (1 - lr * decay) - lr * update, m, v
    ### END SOLUTION


adam_step = check("09.1", adam_step).function

# %% [markdown]
# ## 2 · Its own edge
#
# What can explode, if every step is about one rate long? A step can still be too long for its valley. Take a weight in
# a valley of curvature $c$, and let $\sqrt v$ stand still. Along this weight Adam is descent with the rate
# $\text{lr}/\sqrt v$. So what counts is the curvature over Adam's scale, $c/\sqrt v$. For two weights of curvatures
# $100$ and $1$, whose gradients have the sizes $10$ and $0.1$, it is $100/10 = 10$ and $1/0.1 = 10$. The valley that
# was narrow in one direction is round for Adam.
#
# And the mean $m$? At the edge of stability a weight jumps from one side to the other, so its gradient alternates: $g,
# -g, g, \dots$ In a mean such gradients nearly cancel.

# %% tags=["drawing"]
# The drawing
fig, ax = plt.subplots(figsize=(6.4, 2.2))
plots.draw_memory(ax, [1, -1] * 20, 0.9)
plots.finish(ax, "Of a gradient that alternates, little is left in the mean")

# %% [markdown]
# How much is left? In the long run $m$ alternates too, between $a$ and $-a$. A step takes $-a$ to $a$:
#
# $$a = \beta_1 \cdot (-a) + (1 - \beta_1)\,g \qquad\text{so}\qquad a = \frac{1-\beta_1}{1+\beta_1}\; g$$
#
# For $\beta_1 = 0.9$ that is $0.1/1.9$, a nineteenth. To land on the other side, as far away, a step must be as long as
# $2x$. The gradient is $c\,x$, so the step is $\text{lr} \cdot \frac{c}{\sqrt v}\,x$ times that share. Set it to $2x$:
#
# $$\text{lr} \cdot \frac{c}{\sqrt v} = \frac{2 + 2\beta_1}{1 - \beta_1}$$
#
# That is 2 for $\beta_1 = 0$, 6 for $0.5$ and 38 for $0.9$ (Cohen et al. 2022). Heavy ball has $2 + 2\beta$ without the
# denominator (lesson 01), because its velocity is a sum of gradients and not a mean.

# %% [markdown]
# ### Exercise 09.2 · ●○○ · 4 minutes
#
# An old edge in new clothes. At the rate $0.3$ plain descent has its ceiling at $2/0.3 = 6.7$. With $\beta_1 = 0.5$ and
# the same rate Adam has it at $6/0.3 = 20$.
#
# Write `adam_edge(lr, beta1)`: the preconditioned sharpness above which the steps overshoot.


# %%
def adam_edge(lr, beta1):
    ### BEGIN SOLUTION
    return (2 + 2 * beta1) / ((1 - beta1) * lr)
    ### END SOLUTION


adam_edge = check("09.2", adam_edge).function

# %% [markdown]
# On a computer, with one weight in a valley of curvature 1. Adam's scale is held at 1. We raise the rate, and ask
# whether the weight is further away after 400 steps than at the start.

# %%
for beta1 in (0.0, 0.5, 0.9):
    for share in (0.98, 1.02):
        x, m = 1.0, 0.0
        for _ in range(400):
            m = beta1 * m + (1 - beta1) * x
            x = x - share * adam_edge(1.0, beta1) * m
        end = "grows" if abs(x) > 1 else "falls"
        print(f"beta1 {beta1}, {share} of the edge: {end}")

# %% [markdown]
# ### Do networks go there?
#
# In a network $v$ does not stand still, and the curvature changes. Lesson 07 saw plain descent rise to its ceiling and
# stay. The loop below trains many networks at once with Adam, and serves for the whole lesson. `loss_of(weights, t)`
# returns the loss of each network. `look` is called after each step, with the weights before and after it and with what
# each gradient was divided by. The settings are numbers, or one number for each network.

# %% tags=["experiment"]
# Adam for many networks at once, with a clip of the gradient or of the update
inf = math.inf


def train_adam(loss_of, weights, steps, lr, *, look=None, pace=None, **settings):
    base = {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "limit": inf, "loudest": inf}
    decays = settings.pop("decay", [0.0] * len(weights))  # one a layer
    each = lambda value: torch.as_tensor(value).expand(len(weights[0])).view(-1, 1, 1)
    lr, beta1, beta2, eps, limit, loudest = map(each, (lr, *(base | settings).values()))
    weights = [W.mT.contiguous().mT for W in weights]  # in memory as their gradients
    m, v = ([torch.zeros_like(W) for W in weights] for _ in range(2))
    seen, left1, left2 = [], 1.0, 1.0  # beta^t, one product a step: no power is rounded
    for t in range(1, steps + 1):
        weights = [W.detach().requires_grad_() for W in weights]
        grads = torch.autograd.grad(loss_of(weights, t).sum(), weights)
        if limit.isfinite().any():
            norm = sum(g.square().sum((1, 2), keepdim=True) for g in grads).sqrt()
            grads = [g * (limit / norm).clamp(max=1) for g in grads]
        left1, left2, moved, scales = left1 * beta1, left2 * beta2, [], []
        for k, (W, g) in enumerate(zip(weights, grads)):
            m[k] = beta1 * m[k] + (1 - beta1) * g
            v[k] = beta2 * v[k] + (1 - beta2) * (g_sq := g**2)
            v_hat = v[k] / (1 - left2)
            scales.append((v_hat.sqrt() + eps) * (1 - left1))
            update = m[k] / scales[k]
            if loudest.isfinite().any():  # 09.4, for a stack of networks
                rms = (g_sq / v_hat.clamp(min=1e-16)).mean((1, 2), keepdim=True).sqrt()
                update = update / (rms / loudest).clamp(min=1)
            paced = lr * pace(t, k) if pace else lr
            moved.append(W.detach() * (1 - lr * each(decays[k])) - paced * update)
        if look and (value := look(t, weights, moved, scales)) is not None:
            seen.append(value)
        weights = moved
    return weights, seen


def cross_entropy(scores, y):  # (N, B, classes) -> (N,); .mT: short rows are slow
    return -scores.mT.log_softmax(1)[:, y, torch.arange(len(y))].mean(1)


# %% [markdown]
# Ten tanh networks with two hidden layers of 16, 100 digits, full batch and squared error, $\beta_2 = 0.99$. Three
# values of $\beta_1$, each at a rate of its own, 600 steps. In every 25th step the preconditioned sharpness is found by
# power iteration, and beside it the sharpness as it is. Ten more networks have cross-entropy, for the trial below. The
# dotted lines are the three edges, drawn before the run.

# %% tags=["experiment"]
# The sharpness of each network, as it is and preconditioned, while Adam trains it
data, small = digits(), [64, 16, 16, 10]
x_few, y_few = data.x_train[:100], data.y_train[:100]
hot, beta1s = F.one_hot(y_few, 10).float(), [0.0, 0.5, 0.9]
begin = torch.cat([W.flatten(1) for W in weight_stacks(small)], 1)  # (seeds, weights)
edge_lrs = torch.tensor([0.001, 0.003, 0.015, 0.015]).repeat_interleave(10)
edge_betas = torch.tensor([*beta1s, 0.9]).repeat_interleave(10)
vectors = torch.randn(2, 40, 1440, generator=torch.Generator().manual_seed(0))


def edge_loss(w):  # the last ten networks have cross-entropy
    scores = flat_scores(torch.tanh, w, small, x_few)
    squared = (scores[:30] - hot).square().sum(-1).mean(-1) / 2
    return torch.cat([squared, cross_entropy(scores[30:], y_few)])


def both_sharpnesses(t, before, after, scales):  # times the rate, (2, networks)
    if t % 25:
        return None
    w, scale = before[0].squeeze(1).detach().requires_grad_(), scales[0].squeeze(1)
    (g,) = torch.autograd.grad(edge_loss(w).sum(), w, create_graph=True)
    for k, root in enumerate((scale.rsqrt(), torch.ones_like(scale))):
        for _ in range(4 if t > 25 else 30):
            along = root * vectors[k] / vectors[k].norm(dim=1, keepdim=True)
            (Hv,) = torch.autograd.grad((g * along).sum(), w, retain_graph=True)
            vectors[k] = root * Hv
    return edge_lrs * vectors.norm(dim=2)


flat = lambda weights, t: edge_loss(weights[0].squeeze(1))
options = {"beta1": edge_betas, "beta2": 0.99, "look": both_sharpnesses}
_, seen = train_adam(flat, [begin.repeat(4, 1).unsqueeze(1)], 600, edge_lrs, **options)
edge = torch.stack(seen).unflatten(-1, (4, 10))  # (records, 2, arms, seeds)
fig, ax = plt.subplots()
shown = {f"beta1 = {b}": edge[:, 0, k] for k, b in enumerate(beta1s)}
lines = [[adam_edge(1.0, b)] * len(edge) for b in beta1s]
options = {"log": "y", "marker": "", "rough": True}
plots.plot_against_theory(ax, range(25, 601, 25), shown, lines, **options)
title = "Each settles at its own edge (dotted)"
plots.finish(ax, title, "step", "rate x preconditioned sharpness")

# %% tags=["reveal"]
# The prediction is settled
late = edge[-6:, :, :3].mean(0)  # (2, beta1s, seeds)
settled = float(late[0, 2].median() / late[0, 0].median())
reveal(
    "09.a",
    higher if settled > 3 else lower if settled < 1 / 3 else same,
    f"The ratio of the two medians is about {round(settled)}.",
    wrong={
        lower: "Momentum carries a step further along a slope. But at the edge "
        "gradients alternate, and a mean damps those.",
        higher: "The two settle closer together than that.",
        same: "Only plain descent has its edge at 2. A mean lets a nineteenth of an "
        "alternating gradient through.",
    },
)

# %% [markdown]
# Each arm rises to its own edge, and stays. With $\beta_1 = 0.9$ it stays just under 38; we know no simple reason for
# that. It is the edge of stability of lesson 07 again, with Adam's scale and Adam's mean. Above the edge the steps
# overshoot along one direction, the swings push the network to flatter places or make $v$ larger, and both bring it
# back.

# %% [markdown]
# ## Claim on trial: W21
#
# *Adam's largest stable rate is 2/sharpness.* The rule for plain descent is often carried over so.
#
# **Our prediction.** The sharpness as it is has nothing to do with it, at any $\beta_1$. Multiply the loss by 100, and
# this sharpness is 100 times as large. But $\sqrt v$ grows as much, so Adam's steps stay as they were. With the
# preconditioned sharpness the rule is right for $\beta_1 = 0$ and wrong for the usual $0.9$.
#
# The networks of the figure stand at their edge, so their rate is the largest stable one for the sharpness that they
# have. The claim is true where the rate times the sharpness lies within half an octave of 2, and false from one octave
# on. As a control, which edge is each network nearest to: 2, 6, 38, or the 78 of $\beta_1 = 0.95$? A second control has
# cross-entropy, at $\beta_1 = 0.9$.

# %% tags=["experiment"]
# How far from 2, which edge is nearest, and a control with cross-entropy
edges = torch.tensor([adam_edge(1.0, b) for b in (*beta1s, 0.95)])
nearest = (late[0, ..., None] / edges).log().abs().argmin(-1)  # (beta1s, seeds)
right = [int((row == k).sum()) for k, row in enumerate(nearest)]
reached = int((edge[:, 0, 3].amax(0) > edges[2] / 2).sum())
columns = {"its edge": edges[:3].tolist(), "nearest, of ten": right}
columns["raw sharpness x rate"] = [f"{float(row.median()):.1g}" for row in late[1]]
table({"beta1": beta1s} | columns)
print(f"cross-entropy: {reached} of ten come within a factor of 2 of the edge")

# %% tags=["experiment"]
# The verdict on W21
kinds = ("preconditioned sharpness", "sharpness as it is")
octaves = (late.median(-1).values / 2).log2().abs()  # (kinds, beta1s)
found = {
    f"{kind}, beta1 {b}": at_most(float(octaves[i, k]), 0.5, false_at=1.0)
    for i, kind in enumerate(kinds)
    for k, b in enumerate(beta1s)
}
evidence = "Adam, full batch, squared error, two tanh layers of 16, 600 steps. "
evidence += "Rate times preconditioned sharpness is nearest to (2 + 2 beta1)/(1 - "
evidence += f"beta1) in {sum(right)} of 30 networks. With cross-entropy {reached} of "
evidence += "ten come within a factor of 2 of that edge."
verdict("W21", found, evidence, [name for name in found if name.endswith("0.9")])

# %% [markdown]
# What this does *not* say:
#
# - With cross-entropy the edge is not reached. The loss turns flat once the digits are learnt, as in lesson 07.
# - It is full batch, as in the figure. Whether the sharpness as it is falls or rises meanwhile depends on the network.
#   Cohen et al. (2022) report that adaptive methods often go on into sharper regions, because their scale follows.

# %% [markdown]
# ## 3 · Its own scale
#
# Kingma and Ba, who invented Adam, note that its steps do not change if the gradients are rescaled (2015). Lesson 06
# saw it for a clip: a factor on all gradients multiplies $\hat m$ and $\sqrt{\hat v}$ alike. But between the two stands
# $\epsilon$, by default $10^{-8}$. For a weight whose gradient is always $g$ the update is
#
# $$\frac{|g|}{|g| + \epsilon}$$
#
# With $g = 10^{-6}$ it is $0.99$, with $g = 10^{-8}$ it is one half. Large models come near. A gradient of norm $0.1$
# over $10^9$ weights has entries of about $0.1/\sqrt{10^9} = 3 \cdot 10^{-6}$, and many are far smaller than that.

# %% tags=["drawing"]
# The drawing
fig, ax = plt.subplots(figsize=(6.4, 2.4))
g_axis = torch.logspace(-12, -4, 100)
shown = {"update": g_axis / (g_axis + 1e-8)}
plots.plot_against_theory(ax, g_axis, shown, log="x", marker="")
plots.mark_vertical(ax, 1e-8, "epsilon")
plots.finish(
    ax, "A gradient as large as epsilon makes half a step", "gradient", "update"
)

# %% [markdown]
# So $\epsilon$ is a size, and gradients are large or small only beside it. With it a clip has a size again as well. A
# clip at $c$ leaves a gradient of norm $c$, so an entry of a network with $P$ weights has about $c/\sqrt P$. That is
# $\epsilon$ where
#
# $$c = \epsilon\,\sqrt P$$
#
# With a million weights and $\epsilon = 10^{-8}$ it is $10^{-5}$. Clips at 1 or at $0.1$ are far from it.
#
# Without $\epsilon$ it is algebra, and can be checked to the last bit. A factor that is a power of two changes only the
# exponent of a floating-point number. Here is your `adam_step` on ten weights with random gradients. They are taken as
# they are, or $2^{10}$ times as large, or clipped by norm in every step, at $2^{-7}$ and at $2^{-10}$.


# %%
def walk(gradients, eps):
    w, m, v = torch.ones(10), torch.zeros(10), torch.zeros(10)
    for t, g in enumerate(gradients, 1):
        w, m, v = adam_step(w, g, m, v, t, 0.01, 0.9, 0.999, eps, 0.0)
    return w


# %%
draws = 1e-6 * torch.randn(100, 10, generator=torch.Generator().manual_seed(0))
unit = draws / draws.norm(dim=1, keepdim=True)
pairs = {
    "1024 times as large": (draws, 2.0**10 * draws),
    "a clip at 1/8 of the other": (2.0**-7 * unit, 2.0**-10 * unit),
}
equal = {}
for eps in (1e-30, 1e-8):
    found = [walk(a, eps) == walk(b, eps) for a, b in pairs.values()]
    equal[f"eps {eps}"] = [int(bits.sum()) for bits in found]
table({"equal in every bit, of ten": pairs} | equal)

# %% [markdown]
# ## Claim on trial: W17
#
# *Adam does not care how small gradients are.* It is often said so, after the sentence of Kingma and Ba.
#
# Twelve tanh layers of 16 units make small gradients by themselves: at $\sigma_w = 0.1$ each layer divides by ten, and
# a gradient begins near $10^{-14}$. At $\sigma_w = 0.25$ it begins near $10^{-9}$. Adam trains both with the default
# $\epsilon = 10^{-8}$ and with $10^{-12}$, at three rates. A network has *moved* if its loss has fallen from that of
# guessing, `2.30`, below `2.2`.

# %%
both_kinds = "of both kinds"
larger = "of those that begin near 1e-9 alone"
neither = "of neither kind"
predict("09.b", "With epsilon 1e-8 most networks move…", [neither, both_kinds, larger])

# %% [markdown]
# <details><summary>Our prediction, made before the run. Open it after yours.</summary>
#
# **Our prediction.** Far below $\epsilon$ no network moves, at any rate. Where the gradient begins near $\epsilon$
# nothing is lost: the first steps are short, and then the gradient grows. If $\epsilon$ vanishes, a factor on the loss
# changes nothing, as in the first row of the table above.
#
# </details>
#
# The networks are judged at the best of three rates, after 100 and after 150 steps, ten an arm.

# %% tags=["experiment"]
# Twelve layers at two scales, two values of epsilon, three rates
batches = torch.randint(1400, (451, 32), generator=torch.Generator().manual_seed(0))
lr, sigma, eps = grid([0.001, 0.003, 0.01], [0.1, 0.25], [1e-8, 1e-12])
twelve = weight_stacks([64] + [16] * 12 + [10])
starts = [sigma.view(-1, 1, 1) * W.repeat(12, 1, 1) for W in twelve]
losses = []


def deep_loss(weights, t):
    h, y = data.x_train[batches[t]], data.y_train[batches[t]]
    for W in weights[:-1]:
        h = torch.tanh(h @ W.mT)
    loss = cross_entropy(h @ weights[-1].mT, y)
    losses.append(loss.detach())
    return loss


train_adam(deep_loss, starts, 150, lr, eps=eps)
loss = torch.stack(losses).view(150, 3, 2, 2, 10)
ends = torch.stack([loss[90:100].mean(0), loss[-10:].mean(0)])
moved = (ends < 2.2).sum(-1).amax(1)  # at the best rate: budgets, sigmas, values of eps
names = [f"sigma_w {s}, {k} steps" for k in (100, 150) for s in (0.1, 0.25)]
with_8, with_12 = moved.flatten(0, 1).T.tolist()
columns = {"eps 1e-8: moved": with_8, "eps 1e-12: moved": with_12}
table({"of ten networks": names} | columns)

# %% tags=["reveal"]
# The prediction is settled
(default, tiny), (near, _) = moved[1].tolist()
reveal(
    "09.b",
    neither if near < 3 else both_kinds if default > 7 else larger,
    f"With 1e-8 {near} of ten have moved that began near 1e-9, and {default} that "
    f"began near 1e-14. With 1e-12 {tiny} of these have.",
    wrong={
        neither: "A tenth of epsilon still makes a tenth of a step, and after some of "
        "these the gradient is larger.",
        both_kinds: "1e-14 beside 1e-8 makes a millionth of a step. In 150 of these "
        "the gradient stays what it was.",
        larger: "The two kinds did alike.",
    },
)

# %% tags=["experiment"]
# The verdict on W17
found = {
    "gradients times 1024, eps 1e-30": mostly(equal["eps 1e-30"][0]),
    "gradients of 1e-9, eps 1e-8": mostly(near),
    "gradients of 1e-14, eps 1e-12": mostly(tiny),
    "gradients of 1e-14, eps 1e-8": mostly(default),
}
evidence = "Adam, twelve tanh layers of 16, three rates, 150 steps. Gradients of "
evidence += f"1e-14: {default} of ten networks leave the loss of guessing with eps "
evidence += f"1e-8, {tiny} with 1e-12. Gradients of 1e-9 with 1e-8: {near}."
verdict("W17", found, evidence)

# %% [markdown]
# So a small gradient alone does no harm. A network that begins at about a tenth of $\epsilon$ gets away, because its
# first short steps make the next gradients larger. One that begins a million times below it stands still. Somewhere
# between $10^{-14}$ and $10^{-9}$ lies a border, and where it lies depends on the network.

# %% [markdown]
# ## 4 · Its own memory
#
# $v$ remembers for about $1/(1-\beta_2)$ steps, a thousand by default. What if a weight has its *first* gradient late?
# So it is with the embedding of a rare word, or with an input that was always 0. Its $m$ and $v$ are 0. Then, at step
# $t = 300$, it *wakes*, and the gradient $g$ comes:
#
# - $m = 0.1\,g$. The correction $1 - 0.9^{300}$ is 1.
# - $v = 0.001\,g^2$. The correction is $1 - 0.999^{300} = 0.26$, so $\hat v = 0.0039\,g^2$ and its root is $0.062\,g$.
# - The step is $0.1/0.062 = 1.6$ rates.
#
# At step 1 the same gradient makes a step of exactly 1, because there the corrections know that nothing has come in
# yet. At step 300 they take the silence for gradients of 0. In the long run both corrections are 1, and the step is
# $0.1/\sqrt{0.001} = 3.2$ rates.
#
# A weight that had gradients *before* its silence is safer, because $\sqrt v$ still knows them. After 500 quiet steps
# it is $\sqrt{0.999^{500}} = 0.78$ of what it was, so the same gradient makes a step of $0.1/0.78 = 0.13$ rates. It
# takes some thousands of quiet steps to forget.

# %% tags=["drawing"]
# The drawing
fig, axes = plt.subplots(1, 2, sharey=True, figsize=(6.4, 2.4))
titles = ("A new weight", "A first gradient at step 300")
for ax, (before, silent), title in zip(axes, [(0, 0), (289, 10)], titles):
    plots.draw_memory(ax, [0] * silent + [1] * 25, 0.9, 0.999, quiet=before)
    plots.finish(ax, title)

# %% [markdown]
# A step is the blue line over the orange one. In a new weight both lie on the gradient, so the ratio is 1. On the right
# both begin low. The blue one catches up first, because $m$ has the shorter memory. So, if the gradient stays the same,
# the ratio grows for some ten steps. If its sign changes from batch to batch, the first step is the longest.
#
# ### Exercise 09.3 · ●●○ · 8 minutes
#
# Write `awake(beta1, beta2, t)`: the first step, in units of the rate, of a weight whose gradient was 0 in all steps
# before `t` and is not 0 at step `t`. Leave $\epsilon$ out. At `t = 1` it is 1.


# %%
def awake(beta1, beta2, t):
    ### BEGIN SOLUTION
    m, v = (1 - beta1) / (1 - beta1**t), (1 - beta2) / (1 - beta2**t)
    return m / math.sqrt(v)
    ### END SOLUTION


awake = check("09.3", awake).function

# %%
ts = [1, 10, 100, 1000, 10000]
columns = {
    f"beta2 {b}": [f"{awake(0.9, b, t):.1f}" for t in ts] for b in (0.95, 0.99, 0.999)
}
table({"first gradient at step": ts} | columns)

# %% [markdown]
# With $\beta_2 = 0.95$ a silence makes the first step shorter than at $t = 1$, because $v$ is not much slower than $m$.
# The explorer shows the steps that follow. For which $\beta_2$ is no step longer than one rate and a half, however late
# the first gradient comes? (Answer: up to about `0.978`, a memory of 45 steps.)

# %%
explorers.explore_awake()

# %% [markdown]
# ### The alarm, and a clip that knows it
#
# The norm of the gradient gives no alarm, because the gradient that comes is of ordinary size. What is wrong is the
# scale beside it. So compare the two, in each tensor:
#
# $$\text{RMS} = \sqrt{\text{mean of } \frac{g^2}{\hat v}}$$
#
# Where the scale is right that is about 1. Two entries with $g = (2, 3)$ and $\hat v = (4, 9)$ give $\sqrt{(1 + 1)/2} =
# 1$. If both wake at step 300, each $g^2/\hat v$ is $1/0.0039 = 256$, and the RMS is 16, in the very step in which the
# gradient comes. An **update clip** divides the update of the tensor by the RMS wherever that is above 1 (from
# Adafactor, Shazeer and Stern 2018). A step of $1.6$ rates becomes $1.6/16 = 0.1$: again what $m$ has taken in.
#
# The mean over a tensor dilutes. If 1 entry of 100 wakes and the others have a ratio of 1, the RMS is $\sqrt{0.01 \cdot
# 256 + 0.99} = 1.9$. For an embedding with rare words take it row by row.

# %% [markdown]
# ### Exercise 09.4 · ●●○ · 8 minutes
#
# Write `update_clip(update, g, v)`, three tensors of one shape. The rate is not in `update`. `v` is the corrected mean
# of squares, with this step's gradient in it. Return the update, divided by the larger of 1 and the RMS. Where `v` is 0
# both are 0: let an entry of `v` be at least `1e-16`.


# %%
def update_clip(update, g, v):
    ### BEGIN SOLUTION
    rms = (g**2 / v.clamp(min=1e-16)).mean().sqrt()
    return update / rms.clamp(min=1)
    ### END SOLUTION


update_clip = check("09.4", update_clip).function

# %% [markdown]
# ### A paper in small: update clipping
#
# M. Wortsman et al. (2023) trained vision-language models of up to a billion weights, and met spikes of the loss. These
# came 1 to 8 steps after $v$ had under-estimated the squared gradients. AdamW with an update clip avoided them, and did
# better than with a clip of the gradient.
#
# Theirs came by themselves. We reduce it to two hidden layers of 24, 520 steps, and a change made by hand. Three
# quarters of the pixels are dark for 500 steps, so their weights never had a gradient. Then all pixels are lit. The
# loss does not jump by that itself, because these weights begin at 0. It is measured on 200 fixed images after each
# step, since a batch is too noisy to show a spike. Beside it stands another accident, with all pixels and after 300
# steps: one bad batch, its pixels 20 times as large and its labels wrong.

# %%
by_norm = "a clip of the gradient at 1"
by_update = "an update clip"
alike = "both about as well"
predict("09.c", "After the bad batch, what helps?", [alike, by_norm, by_update])

# %% [markdown]
# Ten networks an arm, AdamW with a decay of `0.01`, batches of 32. The rates `0.03` and `0.02` are ten to a hundred
# times those of a usual run, because at smaller ones networks of this size show no spike. What counts is the height of
# the peak: the largest loss in the 20 steps after the change, over the mean of the 20 steps before, less 1.
#
# Two arms are controls. One has all pixels from the start, and so shows how high the noise of 20 steps reaches. In the
# other the weights that wake have corrections of their own, which begin with their first gradient. If the wrong scale
# is to blame, that takes most of the peak away.

# %% tags=["experiment"]
# A group of weights wakes: seven arms at one rate, two at two thirds of it
dark, dice = (torch.arange(64) >= 16).float(), torch.Generator().manual_seed(1)
rows = torch.randint(1200, (521, 32), generator=dice)
wrong_labels, y_last = torch.randint(10, (32,), generator=dice), data.y_train[1200:]


def accident(at, spoil=False, **settings):  # losses around it, (40, arms, seeds)
    settings = {k: torch.tensor(v).repeat_interleave(10) for k, v in settings.items()}
    lit = 1 - settings.pop("slept").view(-1, 1, 1) * dark  # (networks, 1, pixels)
    fresh = settings.pop("fresh").view(-1, 1, 1) * (1 - lit)
    start = weight_stacks([64, 24, 24, 10], 2**0.5)
    start = [W.repeat(len(lit) // 10, 1, 1) for W in start]
    start[0] = start[0] * lit

    def scores(weights, x, t):  # a dark pixel is one whose weights do not count
        W = weights[0] * lit if t <= at else weights[0]
        return torch.relu(torch.relu(x @ W.mT) @ weights[1].mT) @ weights[2].mT

    def loss_of(weights, t):
        x, y = data.x_train[rows[t]], data.y_train[rows[t]]
        x, y = (20 * x, wrong_labels) if spoil and t == at + 1 else (x, y)
        return cross_entropy(scores(weights, x, t), y)

    def pace(t, k):  # with fresh corrections, the weights that wake are as good as new
        if k or t <= at:
            return 1.0
        second = (1 - 0.999 ** (t - at)) / (1 - 0.999**t)
        return 1 + (math.sqrt(second) / (1 - 0.9 ** (t - at)) - 1) * fresh

    def look(t, before, after, scales):  # on the last 200 digits
        if t > at - 20:
            return cross_entropy(scores(after, data.x_train[1200:], t), y_last)

    settings |= {"decay": [0.01] * 3, "look": look, "pace": pace}
    _, seen = train_adam(loss_of, start, at + 20, **settings)
    return torch.stack(seen).unflatten(1, (-1, 10))


arms = {"lr": [0.03] * 6 + [0.02] * 2 + [0.03], "slept": [0.0] + [1.0] * 8}
arms |= {"limit": [inf, inf, 1.0, 0.1, inf, inf, inf, 1.0, inf]}
arms |= {"loudest": [inf] * 4 + [1.0] + [inf] * 4, "fresh": [0.0] * 8 + [1.0]}
arms |= {"beta2": [0.999] * 5 + [0.95] + [0.999] * 3}
woken = accident(500, **arms)

# %% tags=["experiment"]
# A bad batch, and both as a figure
kept = [1, 2, 4, 5, 6, 7]  # of the arms above
some = {name: [values[k] for k in kept] for name, values in arms.items()}
bad_batch = accident(300, spoil=True, **some | {"slept": [0.0] * 6})
fig, axes = plt.subplots(1, 2, sharey=True)
axes[0].set(yscale="log", ylim=(0.5, 20))
titles = ("Weights wake: clip the update", "A bad batch: clip the gradient")
kinds = ["no clip", "gradient at 1", "update clip"]
options |= {"colours": [plots.EXPLODES, plots.SECOND, plots.STABLE]}
for ax, seen, title in zip(axes, (woken[:, [1, 2, 4]], bad_batch[:, :3]), titles):
    shown = dict(zip(kinds, (seen / seen[:20].mean(0)).unbind(1)))
    plots.plot_against_theory(ax, range(-20, 20), shown, **options)
    plots.finish(ax, title, "steps after the change", "loss / mean before")

# %% tags=["reveal"]
# The prediction is settled, and all arms as a table
height = lambda seen: seen[20:].amax(0) / seen[:20].mean(0) - 1  # of the peak, above 1
woke, hit = (height(seen).mean(-1) for seen in (woken, bad_batch))  # (arms,)
bad = height(bad_batch)
lowest = int((bad[1] < torch.minimum(bad[0], bad[2])).sum())
clear = lowest > 7 and hit[2] > hit[0] / 2
reveal(
    "09.c",
    by_norm if clear else by_update if lowest < 3 else alike,
    f"The clip of the gradient has the lower peak in {lowest} of ten networks.",
    wrong={
        alike: "The update clip shortens the step of the bad batch alone, and its "
        "gradient stays in m.",
        by_norm: "The networks with this clip had no lower peak.",
        by_update: "It shortens one step, and in the steps that follow m still holds "
        "the bad gradient, while the RMS is low again.",
    },
)
word = lambda left: "gone" if left < 1 / 6 else "lower" if left < 2 / 3 else "no lower"
names = [
    "all pixels from the start",
    "no clip",
    "clip at 1",
    "clip at 0.1",
    "update clip",
    "beta2 = 0.95",
    "no clip, rate 0.02",
    "clip at 1, rate 0.02",
    "fresh corrections",
]
after = dict(zip(kept, map(word, hit / hit[[0, 0, 0, 0, 4, 4]])))
columns = {"weights wake": list(map(word, woke / woke[[1] * 6 + [6, 6, 1]]))}
columns["a bad batch"] = [after.get(k, "not run") for k in range(9)]
table({"height of the peak": names} | columns)

# %% [markdown]
# The table compares the mean height of ten networks with that of no clip at the same rate: *gone* where at most a sixth
# is left, *lower* at most two thirds. When weights wake, the gradient is ordinary and the scale is wrong. So a clip of
# the gradient does nothing, and fresh corrections take most of the peak away. A small peak stays, no higher than the
# noise, because all these weights still move from 0 at once. An update clip hides that one too: it makes the first step
# about 17 times shorter, where fresh corrections halve it. The loss is highest right after that step, because the
# gradients that follow lead back.
#
# In a bad batch the gradient is wrong. The update clip shortens that one step. But the gradient stays in $m$ for ten
# more steps, and by then $v$ has taken it in, so the RMS is low. It must be cut before it enters. A shorter memory,
# $\beta_2 = 0.95$, helps in both accidents.

# %% [markdown]
# ## Claim on trial: W18
#
# *Clip gradients at 1, with Adam as well.* So it is advised in many recipes for large models.
#
# **Our prediction.** It protects from a bad batch, as W13 found. It does nothing for weights that wake. And where it
# always acts, it does not make the steps shorter.
#
# The number that decides is a share: the height of the peak above the mean before it, with the clip over without. Both
# heights are means over ten networks. The clip protects where at most half is left. For the clip that always acts it is
# the length of the path of your ten weights in section 3 with the clip of $2^{-10}$, over that with $2^{-7}$.

# %% tags=["experiment"]
# The verdict on W18
peak, (_, both_clips) = height(woken), pairs.values()
quiet = int((peak[4] < torch.minimum(peak[1], peak[3])).sum())
path = [float((walk(clipped, 1e-8) - 1).norm()) for clipped in both_clips]
left = {
    "one bad batch, rate 0.03, clip at 1": hit[1] / hit[0],
    "one bad batch, rate 0.02, clip at 1": hit[5] / hit[4],
    "weights wake, rate 0.03, clip at 1": woke[2] / woke[1],
    "weights wake, rate 0.03, clip at 0.1": woke[3] / woke[1],
    "weights wake, rate 0.02, clip at 1": woke[7] / woke[6],
    "every step clipped, at an eighth of the limit": path[1] / path[0],
}
evidence = "AdamW, two layers of 24, 320 and 520 steps, ten seeds. After a bad batch "
evidence += (
    "a clip at 1 leaves at most half of the peak. Where weights have their first "
)
evidence += (
    f"gradient after 500 steps, an update clip has the lowest peak in {quiet} of ten."
)
verdict("W18", {name: at_most(share, 0.5) for name, share in left.items()}, evidence)

# %% [markdown]
# What it does not say: that spikes of large runs are of this kind. Ours was made by hand, with weights that begin at 0.
# A first gradient after 100 steps makes no spike here, and at the rate `0.01` there is none above the noise (tried, and
# not shown).

# %% [markdown]
# ## 5 · Its decay
#
# What does a decay do to such steps? Lesson 08 found that weights before a normalisation can be doubled without
# changing the outputs. So their size means nothing, and what a step does is to *turn* them. By which angle?
#
# Say that the gradient is mostly noise of the batches, and $\beta_1 = 0$. Then each of $n$ entries goes one rate up or
# down in every step, a random walk. The squared length grows by $\text{lr}^2 n$ per step. The decay takes away the
# share $2\,\text{lr} \cdot \text{decay}$ of it. The two balance where
#
# $$|w|^2 = \frac{\text{lr}\; n}{2\;\text{decay}}$$

# %% tags=["drawing"]
# The drawing
fig, ax = plt.subplots(figsize=(6.4, 2.6))
arrows = {
    "w": ((0, 0), (4, 0), plots.REFERENCE),
    "step": ((4, 0), (0, 1.6), plots.STABLE),
    "decay": ((4, 1.6), (-0.6, -0.24), plots.SECOND),
    "new w": ((0, 0), (3.4, 1.36), "black"),
}
plots.draw_arrows(ax, arrows, reach=(-0.2, 4.6, -0.4, 1.9))
plots.finish(ax, "A step across makes w longer, the decay shorter: it turns")

# %% [markdown]
# The angle is the length of a step, $\text{lr}\sqrt n$, over that of $w$:
#
# $$\text{angle} = \sqrt{2\;\text{lr} \cdot \text{decay}}$$
#
# For the rate $0.01$ and the decay $1$ it is $\sqrt{0.02} = 0.14$, or 8 degrees. Neither $n$ nor the start is in it:
# weights that begin too small grow. So behind a normalisation a decay is a thermostat, and sets by how much the weights
# turn. (Kosson et al. 2023 call this balance rotational equilibrium.) Without a normalisation the size of a weight
# counts, and a decay does make it smaller. Both take thousands of steps at the usual rate `0.001` and decay `0.1`.
# Deeper A adds $\beta_1$, and puts *weight decay keeps weights small* on trial.

# %% [markdown]
# ## On a real run
#
# `torch.optim.AdamW` keeps both means in `optimizer.state[p]`, so all that this lesson names can be read there. An
# update clip needs the RMS *before* the step, so the mean of squares is advanced by hand. Then your `update_clip`
# shortens the rate of that tensor, and with it the decay, as Wortsman et al. do.

# %%
torch.manual_seed(0)
net = mlp(3, 32, "tanh")
groups = [{"params": [p]} for p in net.parameters()]  # a rate for each tensor
optimizer = torch.optim.AdamW(groups, lr=1e-3, eps=1e-8, weight_decay=0.1)


# %%
def clip_updates(lr=1e-3, beta2=0.999):  # after backward, before step
    for group in optimizer.param_groups:
        (p,) = group["params"]
        if state := optimizer.state[p]:
            v = beta2 * state["exp_avg_sq"] + (1 - beta2) * p.grad**2
            v_hat = v / (1 - beta2 ** (state["step"] + 1))
            group["lr"] = float(update_clip(torch.tensor(lr), p.grad, v_hat))


# %%
for k in range(100):
    x, y = data.x_train[batches[k]], data.y_train[batches[k]]  # of section 3
    optimizer.zero_grad()
    F.cross_entropy(net(x), y).backward()
    clip_updates()
    optimizer.step()

# %%
p = net.fc1.weight
v_hat = optimizer.state[p]["exp_avg_sq"] / (1 - 0.999**100)
rms = float((p.grad**2 / v_hat.clamp(min=1e-16)).mean().sqrt())
below = float((p.grad.abs() < 1e-8).float().mean())
print(f"RMS {rms:.1f}, share of gradients below eps {below:.1f}")
kept_update = optimizer.state[p]["exp_avg"] / (1 - 0.9**100) / (v_hat.sqrt() + 1e-8)
new_update = p.grad / (p.grad.abs() + 1e-8)
for state, update in (("this", kept_update), ("a new", new_update)):
    print(
        f"update with {state} state: {float(update.square().mean().sqrt()):.1f} rates"
    )

# %% [markdown]
# - **Log per tensor** the RMS, the size of the update over that of the weight (`Recorder` keeps both sizes), and the
#   share of entries with a gradient below $\epsilon$. An RMS far above 1 warns before the loss does, because it is
#   known before the step is taken.
# - **Save the optimizer** with the model (`optimizer.state_dict()`). With new means every weight takes a step of a full
#   rate, as in step 1, while the old means had made the steps less than half as long. If the state is lost, warm up
#   again.
# - **Choose epsilon by the gradients**: a hundredth of their usual size or less. A loss that is summed or scaled moves
#   it.
# - `foreach=True` and `fused=True` change speed, and results only by rounding; in float16 more than that (lesson 11).
# - **Clip the right thing**: the gradient, at about its usual norm, against bad batches; the update against parts that
#   wake. A lower $\beta_2$, or a small rate after the change, serves as well.

# %% [markdown]
# ## Summary
#
# In five sentences:
#
# 1. Adam's steps are about a rate long whatever the gradient's size, so what explodes is a step that is long for its
#    valley, or one with a wrong scale.
# 2. Its edge is $(2 + 2\beta_1)/(1 - \beta_1)$ over the rate, for the sharpness divided by its scale.
# 3. Epsilon is the size to which gradients are compared, and only with it a clip that always acts has a size.
# 4. The mean of squares is slow, so weights with a late first gradient take steps that are too long. An update clip
#    sees it, and a clip of the gradient is for bad batches.
# 5. A decay sets the angle by which weights before a normalisation turn, and makes others small if it has the time.

# %% [markdown]
# ## Deeper
#
# Three parts, each on its own: how far a decay lets weights turn (A, with claim W20), what a short memory costs (B,
# with claim W19), and how much of a step epsilon takes (C).
#
# ### A · The decay as a thermostat
#
# Section 5 left out $m$. A single step is shorter than a rate, because it is made of that mean. For independent
# gradients the mean square of $m$ is the share $\sum (1-\beta_1)^2 \beta_1^{2k} = (1-\beta_1)/(1+\beta_1)$ of that of
# $g$: the share of section 2, once more. The size of the weights stays, because in the long run each gradient still
# adds about one rate. So
#
# $$\text{angle} = \sqrt{2\;\text{lr} \cdot \text{decay}\;\frac{1-\beta_1}{1+\beta_1}}$$
#
# By hand, for the rate $0.01$, the decay $1$ and $\beta_1 = 0.9$: $\sqrt{0.02/19} = 0.032$, which is almost 2 degrees
# per step.
#
# ### Exercise 09.5 · ●○○ · 5 minutes
#
# Write `angle(lr, decay, beta1)`, in radians.


# %%
def angle(lr, decay, beta1):
    ### BEGIN SOLUTION
    return math.sqrt(2 * lr * decay * (1 - beta1) / (1 + beta1))
    ### END SOLUTION


angle = check("09.5", angle).function

# %% [markdown]
# #### Claim on trial: W20
#
# *Weight decay keeps weights small.* So it is taught, as a penalty on the size of the weights.
#
# **Our prediction.** Without a normalisation it does, if rate times decay times steps is not small. Behind one it sets
# a size from either side: weights that begin smaller grow to it. What it decides is the angle, to a fifth.
#
# One hidden layer of 16, with its $z$ divided by their RMS or not; AdamW, batches of 32, 450 steps, ten seeds. The
# decay acts on the first layer alone. Its size in the end is compared with that of the same network without a decay,
# and for a start at a tenth of the size with that start. The angle is the RMS over the last 150 steps. In the control
# the batch is always the same 100 digits, so there is no noise.

# %% tags=["experiment"]
# Angles and sizes behind a normalisation, without one, and without noise


def turning(lr, decay, scale, divide=-1, full=False):  # angles and sizes, (arms, seeds)
    arms = (torch.tensor(v).repeat_interleave(10) for v in (lr, decay, scale))
    lr, decay, scale = arms
    starts = [W.repeat(len(lr) // 10, 1, 1) for W in weight_stacks([64, 16, 10])]
    starts[0] = scale.view(-1, 1, 1) * starts[0]

    def loss_of(weights, t):
        batch = torch.arange(100) if full else batches[t]
        scores = normalised_scores(weights, data.x_train[batch], divide=divide)
        return cross_entropy(scores, data.y_train[batch])

    def look(t, before, after, scales):
        if t > 300:
            a, b = (F.normalize(W[0].detach().flatten(1)) for W in (before, after))
            return 2 * ((a - b).norm(dim=1) / 2).asin()

    options = {"decay": [decay, 0.0], "look": look}
    weights, seen = train_adam(loss_of, starts, 450, lr, **options)
    angles = torch.stack(seen).square().mean(0).sqrt()
    sizes = torch.stack([W[0].flatten(1).norm(dim=1) for W in (starts, weights)])
    return angles.view(-1, 10), sizes.view(2, -1, 10)


fast, slow = [0.01, 0.01, 0.001, 0.001], [1.0, 0.0, 0.1, 0.0]  # rates and decays
lrs, decays, scales = [0.003, 0.01, *fast], [3.0, 1.0, *slow], [1.0, 0.1] + [1.0] * 4
turned, sizes = turning(lrs, decays, scales)
quiet_angles, _ = turning([0.01], [1.0], [1.0], full=True)
_, bare = turning(fast, slow, [1.0] * 4, divide=None)
settings = list(zip(lrs, decays, scales))[:5]
over = [turned[k] / angle(*settings[k][:2], 0.9) for k in (0, 2, 1, 4)]
over.append(quiet_angles[0] / angle(0.01, 1.0, 0.9))
words = ["0.003, 3", "0.01, 1", "0.01, 1, from a tenth", "0.001, 0.1"]
words.append("0.01, 1, no noise")
within = [int(((row - 1).abs() < 0.2).sum()) for row in over]
columns = {"angle / theory": [f"{float(row.median()):.1f}" for row in over]}
table({"rate, decay": words} | columns | {"within a fifth, of ten": within})

# %% tags=["experiment"]
# The verdict on W20
share = lambda pair, k, i: float((pair[1, k] / pair[1, i]).median())
found = {
    "no normalisation, rate 0.01, decay 1": share(bare, 0, 1),
    "no normalisation, rate 0.001, decay 0.1": share(bare, 2, 3),
    "behind a normalisation, rate 0.01, decay 1": share(sizes, 2, 3),
    "behind a normalisation, rate 0.001, decay 0.1": share(sizes, 4, 5),
    "behind a normalisation, from a tenth": float((sizes[1, 1] / sizes[0, 1]).median()),
}
found = {name: at_most(value, 0.5, false_at=0.9) for name, value in found.items()}
evidence = "AdamW, one layer of 16 units, 450 steps, ten seeds; true where at most "
evidence += (
    "half of the size is left, false from nine tenths on. Behind a normalisation "
)
evidence += f"the angle is within a fifth of its formula in {sum(within[:3])} of 30 "
evidence += "networks where rate and decay are not small."
verdict("W20", found, evidence)

# %% [markdown]
# The small start grew, as a thermostat heats as well as cools. The product of rate and decay sets the angle, whatever
# the start. It takes some $1/(2\,\text{lr}\cdot\text{decay})$ steps to settle. With the usual `0.001` and `0.1` that is
# 5000 steps, so after 450 the angle is still far below the formula. And without the noise of batches there is no random
# walk, and the formula does not hold.

# %% [markdown]
# ### B · Rare classes and a short memory
#
# Claim W14 (lesson 07) found that a lower `beta2` protects from one bad batch, and not from late bursts. There is
# another price. Take a class that is seen once in 100 steps, and whose score is right. A sighting is one large
# gradient, which lifts its score. In all other steps the score is pushed down a little, so that on average the two
# cancel. With $\beta_2 = 0.95$ the sighting is forgotten after some tens of steps. From then on $\sqrt v$ is as small
# as the little pushes, and each push becomes a step of almost full size. With $\beta_2 = 0.999$ the sighting stays in
# $v$ until the next one, and little pushes stay little. The drawing has a class that is seen every 40 steps.

# %% tags=["drawing"]
# The drawing
fig, axes = plt.subplots(1, 2, sharey=True, figsize=(6.4, 2.4))
sighted = [0.0, *([0.02] * 39 + [-1.0]) * 3, *[0.02] * 39]
titles = {0.9: "beta2 = 0.9: it forgets", 0.999: "beta2 = 0.999: it knows"}
for ax, (beta2, title) in zip(axes, titles.items()):
    plots.draw_memory(ax, sighted, None, beta2)
    plots.finish(ax, title)

# %% [markdown]
# #### Claim on trial: W19
#
# *A lower `beta2` is safer.* So it is often advised, with $0.95$ for language models.
#
# **Our prediction.** Against weights that wake and bad batches it is safer. But started from the right answer it drives
# rare classes away from it, the further the shorter the memory.

# %% [markdown]
# No network is needed: 1200 classes, of which the $k$-th has a probability in proportion to $1/k$, one score for each,
# and batches of 32. The scores start at the truth. Then Adam takes 2000 steps at three rates. Measured is the
# divergence from the truth (KL), the loss above its minimum. As a control they start at 0, where all is still to be
# learnt.

# %% tags=["experiment"]
# Three values of beta2 from the truth, and two from nothing, at three rates
truth = 1 / torch.arange(1.0, 1201.0)
truth = truth / truth.sum()
dice = torch.Generator().manual_seed(0)
sightings = torch.multinomial(truth, 2000 * 320, True, generator=dice).view(-1, 10, 32)
seen_share = torch.full((10, 32), 1 / 32)


def divergence(beta2, lr, b):  # after 1000 and 2000 steps, (2, arms, seeds)
    beta2, lr = beta2.view(-1, 1, 1), lr.view(-1, 1, 1)
    b = b.repeat(len(lr), 10, 1)  # (arms, seeds, classes)
    m, v, found = torch.zeros_like(b), torch.zeros_like(b), []
    for t, rows in enumerate(sightings, 1):
        g = b.softmax(-1) - torch.zeros(10, 1200).scatter_add_(1, rows, seen_share)
        m, v = 0.9 * m + 0.1 * g, beta2 * v + (1 - beta2) * g**2
        scale = (v / (1 - beta2**t)).sqrt() + 1e-8
        b = b - lr / (1 - 0.9**t) * m / scale
        if t in (1000, 2000):
            found.append((truth * (truth.log() - b.log_softmax(-1))).sum(-1))
    return torch.stack(found)


rare_lrs = [0.001, 0.003, 0.01]
beta2, lr = grid([0.9, 0.95, 0.999], rare_lrs, seeds=1)
kl = divergence(beta2, lr, truth.log()).unflatten(1, (3, 3))  # budgets, betas, rates
beta2, lr = grid([0.95, 0.999], rare_lrs[::2], seeds=1)
fresh = divergence(beta2, lr, torch.zeros(1200)).unflatten(1, (2, 2))
names = [f"beta2 = {b}" for b in (0.9, 0.95, 0.999)]
fig, ax = plt.subplots()
shown = dict(zip(names, kl[1]))
plots.plot_against_theory(ax, rare_lrs, shown, log="xy", rough=True)
title = "From the truth: the shorter the memory, the further away"
plots.finish(ax, title, "learning rate", "KL from the truth")

# %% tags=["experiment"]
# The verdict on W19
# of ten seeds, at all rates and both budgets
worse = int((kl[:, 1] > kl[:, 2]).all(1).all(0).sum())
ordered = int((kl[:, 0] > kl[:, 1]).all(1).all(0).sum())
log_ratio = (fresh[1, 0] / fresh[1, 1]).median(-1).values.log2().tolist()
found = {
    "weights wake (section 4)": at_most(woke[5] / woke[1], 0.7),
    "one bad batch (section 4)": at_most(hit[3] / hit[0], 0.7),
    "rare classes, from the truth": mostly(10 - worse),
    "rare classes, from nothing, rate 0.001": at_most(log_ratio[0], -0.3, false_at=0.3),
    "rare classes, from nothing, rate 0.01": at_most(log_ratio[1], -0.3, false_at=0.3),
}
evidence = "0.95 against 0.999. AdamW, two layers of 24, 520 steps: the height of a "
evidence += "peak. Adam, 1200 classes, three rates, 2000 steps from the truth: 0.95 is "
evidence += f"further away in {worse} of ten runs, and 0.9 further still in {ordered}. "
evidence += "From nothing 0.95 is nearer at the rate 0.001 and further away at 0.01."
verdict("W19", found, evidence)

# %% [markdown]
# So there is no safer side. A short memory forgets a wrong scale sooner, and a right one as well. It matters from which
# side a class comes: from nothing, at a small rate, a short memory learns rare classes faster, because it takes larger
# steps. There is no sharp threshold either: the divergence grows with the rate and with the number of steps. These are
# scores alone; in a network classes share weights.

# %% [markdown]
# ### C · How much epsilon takes
#
# Section 3 has the update of one gradient, $|g|/(|g| + \epsilon)$. A layer has gradients of many sizes. What is left on
# average, if they are Gaussian with the RMS $r$? Three entries by hand, $0.5\,\epsilon$, $\epsilon$ and $2\,\epsilon$:
# their updates are $0.33$, $0.5$ and $0.67$, so the mean is $0.5$. But put the RMS of the three in, which is
# $1.32\,\epsilon$, and you get $0.57$. Most entries lie below the RMS, and these lose most.
#
# ### Exercise 09.6 · ●●○ · 8 minutes
#
# Write `eps_shrinks(rms, eps)`: the mean of $|g|/(|g| + \epsilon)$ over Gaussian $g$ with that RMS, within one part in
# 100. Lesson 03 had evenly spaced quantiles for such a mean.


# %%
def eps_shrinks(rms, eps):
    ### BEGIN SOLUTION
    gauss = torch.special.ndtri((torch.arange(20000).double() + 0.5) / 20000)
    size = rms * gauss.abs()
    return float((size / (size + eps)).mean())
    ### END SOLUTION


eps_shrinks = check("09.6", eps_shrinks).function

# %% [markdown]
# In the first step of Adam the update of each entry is just this. Ten tanh networks of three layers, with the loss
# multiplied so that the gradient of the second layer has a chosen RMS. Your `adam_step` takes the step, and the dotted
# line is your `eps_shrinks`.

# %% tags=["experiment"]
# The first update of the second layer, by the size of its gradient
starts = [W.requires_grad_() for W in weight_stacks([64, 32, 32, 10])]
h = data.x_train[batches[0]]
for W in starts[:-1]:
    h = torch.tanh(h @ W.mT)
loss = cross_entropy(h @ starts[-1].mT, data.y_train[batches[0]])
g = torch.autograd.grad(loss.sum(), starts)[1]
g = g / g.square().mean((1, 2), keepdim=True).sqrt()
all_rms = torch.logspace(-10, -6, 9)
still, usual = torch.zeros_like(g), (1, 1.0, 0.9, 0.999, 1e-8, 0.0)
first_steps = [adam_step(still, r * g, still, still, *usual)[0] for r in all_rms]
measured = torch.stack([step.abs().mean((1, 2)) for step in first_steps])
fig, ax = plt.subplots()
predicted = [eps_shrinks(float(r), 1e-8) for r in all_rms]
plots.plot_against_theory(ax, all_rms, {"measured": measured}, [predicted], log="x")
title = "What epsilon leaves of a first step"
plots.finish(ax, title, "RMS of the gradient", "mean update")

# %% [markdown]
# The measured updates lie a little below the line, because real gradients have heavier tails than a Gaussian: at one
# RMS more entries are small.

# %% [markdown]
# ## Further reading
#
# - J. Cohen et al., [Adaptive gradient methods at the edge of stability](https://arxiv.org/abs/2207.14484) (2022):
#   where Adam's edge lies, and what is different there.
# - M. Wortsman et al., [Stable and low-precision training for large-scale vision-language
#   models](https://arxiv.org/abs/2304.13013) (2023): the spikes, and the update clip.
# - A. Kosson et al., [Rotational equilibrium](https://arxiv.org/abs/2305.17212) (2023): what a decay balances.
#
# [The solution of this lesson](../solutions/09_adam.ipynb) · [Back to the start](00_start_here.ipynb)
