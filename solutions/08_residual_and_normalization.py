# %% [markdown]
# # 08 · Residual connections and normalisation
#
# **What really made deep networks trainable, and what does it cost?**
#
# After this lesson you can
# - predict how a gradient grows through residual blocks,
# - say when a branch may start at zero, and when it then sleeps for ever,
# - tell what a normalisation does to gradients at the start, and what it gives in exchange.
#
# About two hours (120 minutes) to work (pause after section 2), 20 seconds to run. Needs: [lesson 07](07_learning_rate_schedules.ipynb). Next: [lesson 09, the emergency room](09_emergency_room.ipynb).

# %%
import itertools
import math

import matplotlib.pyplot as plt
import torch
from torch import nn

from gradutils import explorers, plots
from gradutils.course import check, predict, reveal, table, verdict
from gradutils.data import digit_sequences, digits
from gradutils.meanfield import predicted_residual_profile
from gradutils.models import TransformerBlock, weight_stacks
from gradutils.propagation import residual_profile
from gradutils.training import grid, train_stacks

plots.use_style()

# %% [markdown]
# ## Predict
#
# He's scale keeps gradients alive in a plain ReLU network, though 50 layers of it could not be trained (lesson 05). Now a skip path around each layer: $h \leftarrow h + W\,\text{relu}(h)$, with He's weights, 40 blocks.

# %%
full, root, share = "1, as it stands", "1/sqrt(40)", "1/40"
question = "The largest factor on the branches with which the gradient grows less than twofold is…"
predict("08.a", question, [full, root, share])

# %% [markdown]
# ## What happens

# %%
relative = lambda sizes: sizes / sizes[:, -1:]  # (seeds, blocks + 1), 1 at the end
scales = {"branch x 1": 1.0, "x 1/sqrt(40)": 40**-0.5, "x 1/40": 1 / 40}
sizes = {name: relative(residual_profile(40, 128, scale=s)) for name, s in scales.items()}

# %%
fig, ax = plt.subplots()
theory = {name: predicted_residual_profile(40, scale=s) for name, s in scales.items()}
plots.plot_depth_profile(ax, sizes, theory, ylabel="size of the gradient")
plots.finish(ax, "Forty skip paths, and the gradient explodes")

# %% tags=["reveal"]
grown = sizes["branch x 1"][:, 0].median()
because = f"With 1 it grows by a factor of {grown:.0e}. A path of its own does not keep it small."
tame = [name for name, rows in zip((full, root, share), sizes.values()) if rows[:, 0].median() < 2]
wrong = {full: "Path and branch bring the same square, so each of the forty blocks doubles it."}
wrong |= {share: "It is smaller than need be, because the forty squares of 1/sqrt(40) add up to 1 only."}
reveal("08.a", tame[0], because, wrong)

# %% [markdown]
# ## 1 · One plus something, many times
#
# Going back, $\delta$ arrives at a block by two ways: along the path, unchanged, and through the branch, which multiplies its mean square by $s^2$ ($s$ is the scale of the branch; He's weights do the rest). The two have random signs against each other, so their squares add: a block multiplies the squared gradient by $1 + s^2$, and $L$ blocks by $(1+s^2)^L$. With $s = 1$ that is $2^L$; with $s = 1/\sqrt L$ it stays below $e$.
#
# ### Exercise 08.1 · ●●○ · 6 minutes
#
# Write `branch_scale(growth, blocks)`: the scale $s$ with which the *size* of the gradient grows by the factor `growth` (above 1) over all blocks.


# %%
def branch_scale(growth, blocks):
    ### BEGIN SOLUTION
    return math.sqrt(growth ** (2 / blocks) - 1)
    ### END SOLUTION


branch_scale = check("08.1", branch_scale).function

# %% [markdown]
# **RMSNorm** (Zhang and Sennrich 2019) divides each row by its root mean square. LayerNorm takes the row's mean away first; batch normalisation works on columns, over the batch.
#
# ### Exercise 08.2 · ●○○ · 5 minutes
#
# Write `rms_norm(x, gain, eps)`: `x` is (…, n), `gain` (n,). Each row divided by the root of (its mean square + `eps`), times `gain`.


# %%
def rms_norm(x, gain, eps):
    ### BEGIN SOLUTION
    return gain * x / (x.square().mean(-1, keepdim=True) + eps).sqrt()
    ### END SOLUTION


rms_norm = check("08.2", rms_norm).function

# %% [markdown]
# Where it stands in a block matters. **Pre**: what enters the branch is normalised. **Post**: what leaves the sum is.
#
# ### Exercise 08.3 · ●○○ · 4 minutes
#
# Write `both_blocks(x, f, norm)`; `f` is the branch, `norm` the normalisation, both functions of a tensor. Return the pair of what a pre block and a post block make of `x`.


# %%
def both_blocks(x, f, norm):
    ### BEGIN SOLUTION
    return x + f(norm(x)), norm(x + f(x))
    ### END SOLUTION


both_blocks = check("08.3", both_blocks).function

# %% [markdown]
# **Prediction for pre.** Each branch adds 1 to the mean square of $h$, so that before block $l$ it is $l$. The branch sees $h/\sqrt l$, and its share of the squared gradient is $1/l$: $\prod (1 + 1/l) = L + 1$. No exponential. **Post**: the sum has the mean square 2, so the normalisation divides it by $\sqrt2$, and the gradient on its way back as well: $(1 + 1)/2 = 1$. And your `branch_scale(3, L)` should give 9, the square of 3, at every depth.

# %%
depths, arms = [4, 8, 16, 32, 64], {"x 1": "none", "branch_scale": "none", "pre": "pre", "post": "post"}
growth, theory = {name: [] for name in arms}, {name: [] for name in arms}
for (name, norm), L in itertools.product(arms.items(), depths):
    s = branch_scale(3.0, L) if name == "branch_scale" else 1.0
    growth[name].append(relative(residual_profile(L, 128, scale=s, norm=norm, batch=8))[:, 0] ** 2)
    theory[name].append(float(predicted_residual_profile(L, scale=s, norm=norm)[0] ** 2))
growth = {name: torch.stack(rows) for name, rows in growth.items()}  # each (depths, seeds)

# %%
fig, axes = plt.subplots(1, 2)
for ax, names in zip(axes, (list(arms), ["branch_scale", "pre", "post"])):
    plots.plot_against_theory(ax, depths, {n: growth[n] for n in names}, [theory[n] for n in names], log="xy")
    plots.finish(ax, "All" if len(names) > 3 else "Without the first", "blocks", "growth, squared")

# %% [markdown]
# No fit is in it. (Post strays upwards with depth: 128 units are not endlessly many.)

# %%
explorers.explore_residual()

# %% [markdown]
# ## 2 · Near zero, and zero
#
# The digits are nearly linearly separable, so that a skip path alone would pass for a trained network. So from here on each digit has a random sign, a photographic negative of every other one: no linear model gets far.
#
# ## Claim on trial: S8
#
# *Initialise near zero to be stable.* In a plain network it puts all to sleep, already at 5 layers (first two rows of the table below). And with a skip path?

# %%
w_last, relu_last, either, neither = "W relu(h) only", "relu(W h) only", "either", "neither"
question = "Branches on a skip path, all W exactly zero. Most networks come above 0.5 with the branch…"
predict("08.b", question, [w_last, relu_last, either, neither])

# %% [markdown]
# **Our prediction.** Near zero ($0.01$) is right: the network begins as its path, and the branches grow. At exactly zero it depends on what comes last. In $h + \text{relu}(Wh)$ the slope of ReLU at zero is 0, and no gradient reaches $W$: never more than a linear model. In $h + W\,\text{relu}(h)$ the gradient of $W$ is not zero. 30 blocks of 20 units, two rates, two budgets.


# %%
def blocks(path, outside):  # scores of N networks; path (N, 1, 1) is 1 with a skip path and 0 without
    def scores(learnt, x):
        h = x @ learnt[0].mT
        for W in learnt[1].unbind(1):
            h = path * h + (torch.relu(h @ W.mT) if outside else torch.relu(h) @ W.mT)
        return h @ learnt[2].mT

    return scores


def stacked(L, n=20):  # first layer (10, n, 64), standard draws of the branches (10, L, n, n), last layer
    draws = torch.randn(10, L, n, n, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return weight_stacks([64, n])[0], draws.float(), weight_stacks([n, 10])[0]


# %%
(first, draws, last), he, flipped = stacked(30), (2 / 20) ** 0.5, digits(sign_flipped=True)
arms = {"plain, 5 layers, He": (0, he, True, 5), "plain, 5 layers, 0.01": (0, 0.01, True, 5)}
arms |= {"plain, He": (0, he, True, 30), "skip, He": (1, he, True, 30), "skip, 0.01": (1, 0.01, True, 30)}
arms |= {"skip, zero, ReLU last": (1, 0.0, True, 30), "skip, zero, W last": (1, 0.0, False, 30)}
(lr,), options, found = grid([0.003, 0.01]), {"steps": 100, "at": (50,)}, {}
for name, (path, std, outside, L) in arms.items():
    runs = train_stacks(blocks(path, outside), [first, std * draws[:, :L], last], flipped, lr, **options)
    found[name] = runs.accuracy.view(2, 2, 10)  # budgets, rates, seeds
linear = train_stacks(lambda p, x: x @ p[0].mT, weight_stacks([64, 10]), flipped, lr, **options).accuracy
found["linear model"] = linear.view(2, 2, 10)

# %%
enough = {name: (a > 0.5).sum(-1).amax(-1).tolist() for name, a in found.items()}  # at the better rate
early, late = (plots.how_many(counts) for counts in zip(*enough.values()))
table({"networks above 0.5": enough, "after 50 steps": early, "after 100": late})

# %% tags=["reveal"]
asleep, linear = (
    found[name][1].median(-1).values.max() for name in ("skip, zero, ReLU last", "linear model")
)
same = bool((asleep - linear).abs() < 0.05)
answer = [neither, relu_last, w_last, either][(late[5] == "most") + 2 * (late[6] == "most")]
wrong = {relu_last: "There the zero stands before a ReLU, whose slope at 0 is 0, so W gets no gradient."}
wrong |= {either: "In relu(W h) no gradient reaches W, because the slope of ReLU at 0 is 0."}
wrong |= {neither: "In W relu(h) the gradient of W is not zero, because what enters it is alive."}
because = f"With ReLU last as far as a linear model, within 0.05: {'yes' if same else 'no'}."
reveal("08.b", answer, because, wrong)
evidence = (
    f"Plain at 0.01: {late[1]}. With a skip: 0.01 {late[4]}; zero {late[5]} (ReLU last), {late[6]} (W last)."
)
all_four = (late[1], late[4], late[5], late[6]) == ("few", "most", "few", "most")
verdict("S8", "depends" if all_four else "holds", evidence)

# %% [markdown]
# It is not the zero that kills, but where it stands. **ReZero** multiplies each branch by a number that starts at 0 (Bachlechner et al. 2021), **Fixup** sets the last layer of each branch to zero (Zhang et al. 2019): a zero right behind a living signal has a gradient.

# %% [markdown]
# ## 3 · What a normalisation does to a gradient
#
# Batch normalisation is often said to prevent explosions; Ioffe and Szegedy (2015) say that too large a rate makes gradients "explode or vanish", and that it helps. At the start, though: each layer divides by the standard deviation of its input. If $\varphi$ squeezes the variance more than the gradient, the division enlarges the gradient. For a wide batch a layer multiplies its square by $E[\varphi'(z)^2]/\text{Var}[\varphi(z)]$ (Yang et al. 2019 for ReLU: $\pi/(\pi - 1)$).
#
# ### Exercise 08.4 · ●●○ · 6 minutes
#
# Write `normalised_growth(phi)`: the root of that fraction, for a Gaussian $z$ of variance 1, a float, within 2 % (draw 100,000 samples, or use quantiles).


# %%
def normalised_growth(phi):
    ### BEGIN SOLUTION
    z = torch.special.ndtri((torch.arange(20_000).double() + 0.5) / 20_000).requires_grad_()
    (slope,) = torch.autograd.grad(phi(z).sum(), z)
    return float((slope.square().mean() / phi(z).var()).sqrt())
    ### END SOLUTION


normalised_growth = check("08.4", normalised_growth).function

# %% [markdown]
# One line shows that it is never below 1: for a Gaussian, $\text{Var}[\varphi] \le E[\varphi'^2]$ for every $\varphi$ (Poincaré's inequality), with equality for straight lines only.
#
# ### Exercise 08.5 · ●●● · 12 minutes
#
# Write `batch_norm_backward(z, delta)`. `z` is (B, n), and $y = (z - \text{mean})/\text{std}$ with the mean and standard deviation (divided by B) of each column. `delta` is $\partial L/\partial y$. Return $\partial L/\partial z$ by a formula, without autograd. Mean and std depend on `z`, too.


# %%
def batch_norm_backward(z, delta):
    ### BEGIN SOLUTION
    std, y = z.std(0, unbiased=False), (z - z.mean(0)) / z.std(0, unbiased=False)
    return (delta - delta.mean(0) - y * (delta * y).mean(0)) / std
    ### END SOLUTION


batch_norm_backward = check("08.5", batch_norm_backward).function

# %% [markdown]
# ## Claim on trial: W11
#
# *Batch normalisation prevents explosion.*
#
# **Our prediction.** At the start it causes one: ReLU by `1.21` a layer, as the formula says, within three hundredths at a batch of 128. In training it does prevent: at a rate of 1, where networks without it learn nothing, those with it do.
#
# ## A paper in small: Yang et al., 2019
#
# They compute what batch normalisation does in a deep network at the start, and find that gradients explode for every activation at finite batch. Reduced: 20 layers of 128 units, random inputs, batches of 16 and of 128, ten networks. Your `batch_norm_backward` carries the gradient back.


# %%
def growth_with_batch_norm(phi, batch, seed, n=128, L=20):
    g = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=g, dtype=torch.float64)
    h, kept = draw(batch, n), []
    for _ in range(L):
        W = draw(n, n) / n**0.5
        z = h @ W.T
        y = ((z - z.mean(0)) / z.std(0, unbiased=False)).requires_grad_()
        h = phi(y)
        kept.append((W, z, torch.autograd.grad(h.sum(), y)[0]))
        h = h.detach()
    delta, sizes = draw(batch, n), []
    for W, z, slope in reversed(kept):
        delta = batch_norm_backward(z, delta * slope) @ W
        sizes.append(float(delta.norm()))
    return (sizes[-3] / sizes[2]) ** (1 / (L - 5))  # without the layers next to the ends


# %%
phis = {"straight line": lambda z: 1.0 * z, "ReLU": torch.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid}
median = lambda phi, B: torch.tensor([growth_with_batch_norm(phi, B, k) for k in range(10)]).median()
medians = {f"batch {B}": [median(phi, B) for phi in phis.values()] for B in (16, 128)}
medians["wide batch, predicted"] = [float(normalised_growth(phi)) for phi in phis.values()]

# %%
columns = {name: [f"{float(value):.2f}" for value in column] for name, column in medians.items()}
table({"growth of delta a layer": phis} | columns)

# %% [markdown]
# Batch normalisation *causes* an explosion at the start, more so for small batches. And it trains all the same. Why? It makes the loss blind to the size of the weights before it: twice the weights, the same outputs, half the gradient. A step that is too long makes the weights larger, and larger weights make the next steps shorter. The explosion removes itself:


# %%
# Scores of N plain ReLU networks; axis -2 normalises over the batch, -1 over the units, None not at all.
def normalised(axis):
    def scores(learnt, x):
        for W in learnt[:-1]:
            z = x @ W.mT
            if axis is not None:
                z = z - z.mean(axis, keepdim=True)
                z = z / (z.square().mean(axis, keepdim=True) + 1e-5).sqrt()
            x = torch.relu(z)
        return x @ learnt[-1].mT

    return scores


# %%
options = {"steps": 40, "batch": 64, "momentum": 0.0}
kinds = {"none": None, "batch": -2, "layer": -1}
norms = train_stacks(
    normalised(-2), weight_stacks([64] + [32] * 30 + [10]), digits(), 0.3, **options
).grad_norm
fig, ax = plt.subplots()
plots.plot_against_theory(ax, range(40), {"batch normalisation": norms}, log="y", marker="", rough=True)
plots.finish(
    ax, "30 layers: the explosion at the start is gone in a few steps", "step", "norm of the gradient"
)

# %% [markdown]
# Does it widen the window of rates? Six layers, at He's scale and at twice it (all but the last layer), rates over two decades:

# %%
lrs, nets = [0.03, 0.1, 0.3, 1.0, 3.0], weight_stacks([64] + [24] * 6 + [10], 2**0.5)
(lr,), options = grid(lrs), {"steps": 60, "batch": 48, "momentum": 0.0}
windows = {gain: {} for gain in (1, 2)}
for (gain, lines), (name, axis) in itertools.product(windows.items(), kinds.items()):
    runs = train_stacks(normalised(axis), [gain * W for W in nets[:-1]] + nets[-1:], digits(), lr, **options)
    lines[name] = runs.accuracy.view(5, 10)

# %%
fig, axes = plt.subplots(1, 2, sharey=True)
for ax, (gain, lines) in zip(axes, windows.items()):
    plots.plot_against_theory(ax, lrs, lines, log="x", rough=True)
    plots.finish(ax, f"{gain} x He", "learning rate", "test accuracy")

# %% [markdown]
# Layer normalisation is blind to the size of weights, too, and its window is much narrower. So that is not all. What else differs? The mean cosine between digits in the last hidden layer, at the start:


# %%
def cosine_between(axis):
    hidden = normalised(axis)([*nets[:-1], torch.eye(24).repeat(10, 1, 1)], digits().x_train[:100])
    return float(torch.cosine_similarity(hidden[:, :50], hidden[:, 50:], dim=-1).mean())  # of 50 pairs


table({"normalisation": kinds, "cosine above 0.6": [cosine_between(axis) > 0.6 for axis in kinds.values()]})

# %%
start, theory = (float(medians[name][1]) for name in ("batch 128", "wide batch, predicted"))
with_it, without = ((windows[1][name][3] > 0.5).sum() for name in ("batch", "none"))
evidence = f"At the start x {start:.2f} a layer. At rate 1 learn: {with_it}/10 with it, {without}/10 without."
verdict("W11", "depends" if abs(start / theory - 1) < 0.03 and with_it > without + 6 else "refuted", evidence)

# %% [markdown]
# It centres each unit over the batch, and so keeps inputs apart: the dead signal of lesson 05 does not arise. That is what it gives for its explosion.

# %% [markdown]
# ## 4 · Transformers
#
# ## Claim on trial: W12
#
# *Transformers with the normalisation after the residual explode.* Often said; R. Xiong et al. (2020), who compare pre- and post-LN (LN: LayerNorm), do not say it. Their theorem bounds the gradient of the *last* layer at the start: with pre-LN it falls as $1/\sqrt L$, with post-LN it does not.
#
# **Our prediction.** On logarithmic axes the last layer's slope over the depth is near 0 for post-LN and near $-\frac12$ for pre-LN (the theorem gives bounds); with post-LN the first layer's gradient is not larger than the last one's. Reduced: width 64, four heads, digits as sequences, ten networks.


# %%
def ends(L, pre, seed):  # gradient norms of the second dense layer in the first and the last block
    torch.manual_seed(seed)
    blocks = [TransformerBlock(64, pre_ln=pre) for _ in range(L)]
    net = nn.Sequential(nn.Linear(8, 64), *blocks, nn.LayerNorm(64) if pre else nn.Identity())
    for layer in [m for m in net.modules() if isinstance(m, nn.Linear)]:
        nn.init.xavier_normal_(layer.weight)
        nn.init.zeros_(layer.bias)
    scores = net(sequences.x_train[:8]).mean(1) @ torch.randn(64, 10) / 8
    nn.functional.cross_entropy(scores, sequences.y_train[:8]).backward()
    return [float(block.dense.fc2.weight.grad.norm()) for block in (blocks[0], blocks[-1])]


# %%
sequences, depths, sizes = digit_sequences(8), [2, 4, 8, 16], {}
for name, pre in (("post-LN", False), ("pre-LN", True)):
    sizes[name] = torch.tensor([[ends(L, pre, k) for k in range(10)] for L in depths])  # (depths, seeds, 2)
last = {name: rows[..., 1] for name, rows in sizes.items()}

# %%
fig, ax = plt.subplots()
theory = [
    last["post-LN"][0].median().expand(4),
    last["pre-LN"][0].median() * (2 / torch.tensor(depths)) ** 0.5,
]
plots.plot_against_theory(ax, depths, last, theory, log="xy")
plots.finish(ax, "The last layer's gradient: pre-LN falls with depth, post-LN does not", "blocks", "norm")

# %%
post, pre = (float((rows[-1].median() / rows[0].median()).log() / math.log(8)) for rows in last.values())
ratio = float((sizes["post-LN"][-1, :, 0] / sizes["post-LN"][-1, :, 1]).median())
evidence = (
    f"At the start: slopes {post:+.1f} post, {pre:+.1f} pre. Post, 16 blocks: first / last layer {ratio:.1f}."
)
verdict("W12", "refuted" if ratio < 2 and post < 0.5 else "holds", evidence)

# %% [markdown]
# Nothing was trained here: it is the start that does not explode. What is right in the saying: near the output post-LN has the larger gradients, so that at the start its last layers bear less of a rate. That is why it is trained with a warmup (lesson 07).
#
# ## 5 · A hundred layers, three ways
#
# Branches near zero; branches times a number that starts at zero (ReZero); pre-normalised branches at He's scale. 100 blocks of 16 units on the flipped digits, 50 steps. Which of them needs a clip?


# %%
def three_ways(name):
    def scores(learnt, x):
        h, gates = x @ learnt[0].mT, learnt[3].unbind(1) if name == "gate" else [1.0] * 100
        for W, gate in zip(learnt[1].unbind(1), gates):
            inner = rms_norm(h, torch.ones(16), 1e-6) if name == "pre" else h
            h = h + gate * torch.relu(inner) @ W.mT
        return h @ learnt[2].mT

    return scores


# %%
(first, draws, last), (lr, limit), found = stacked(100, n=16), grid([0.01, 0.1], [math.inf, 1.0]), {}
for name, std in (("near zero", 0.01), ("gate", 8**-0.5), ("pre", 8**-0.5)):
    learnt = [first, std * draws, last] + ([torch.zeros(10, 100, 1, 1)] if name == "gate" else [])
    runs = train_stacks(three_ways(name), learnt, flipped, lr, max_norm=limit, steps=50)
    enough = (runs.accuracy.view(4, 10).median(-1).values > 0.25).tolist()
    found[name] = [*enough, bool((~runs.loss.isfinite().all(0)).view(4, 10)[2].sum() > 5)]

# %%
heads = ["rate 0.01", "rate 0.01, clip", "rate 0.1", "rate 0.1, clip", "most NaN at 0.1, no clip"]
table({"100 layers, median above 0.25": found} | dict(zip(heads, zip(*found.values()))))

# %% [markdown]
# All three learn at the smaller rate, where a plain network of 50 layers was dead. At the larger one most of the first two become a NaN without a clip (last column): their branches grow, and with them $(1 + s^2)^L$. A normalisation in each block keeps that factor small, whatever the weights do. (At the smaller rate a clip at 1 slows all three down.)

# %% [markdown]
# ## On a real run
#
# - Deep and residual: pre-normalisation, or the last layer of each branch at zero. Then look at the gradient of the first block against the last.
# - A zero must not stand in front of a ReLU: check after one step that every branch has a gradient.
# - With batch normalisation a large gradient at step 0 is no alarm. Look again after ten steps.
# - Small batches make it worse; LayerNorm and RMSNorm do not look at the batch.

# %% [markdown]
# ## Summary
#
# A skip path alone explodes, as $(1+s^2)^L$; scaled, started near zero, or pre-normalised branches tame it.
# Batch normalisation makes gradients explode at the start, and makes training blind to the size of weights and tolerant of rates.
# Where a zero or a normalisation stands matters more than that it is there.

# %% [markdown]
# ## Further reading
#
# - G. Yang et al., [A mean field theory of batch normalization](https://arxiv.org/abs/1902.08129) (2019): why it explodes, and that it settles after a step.
# - R. Xiong et al., [On layer normalization in the transformer architecture](https://arxiv.org/abs/2002.04745) (2020): pre and post.
# - T. Bachlechner et al., [ReZero is all you need](https://arxiv.org/abs/2003.04887) (2021): one number a branch.
#
# [The solution of this lesson](../solutions/08_residual_and_normalization.ipynb) · [Back to the start](00_start_here.ipynb)
