# %% [markdown]
# # 07 · Learning-rate schedules
#
# **How large may a step be, and what is gained by changing it on the way?**
#
# After this lesson you can
# - measure the sharpness of a loss, and say what a rate does to it,
# - tell when a warmup helps, and what a decay buys,
# - read a range test, and choose Adam's `beta2`.
#
# About 140 minutes to work (pause after section 3), 20 seconds to run. Needs: [lesson 06](06_clipping.ipynb). Next: [lesson 08](08_residual_and_normalization.ipynb).

# %%
import math

import matplotlib.pyplot as plt
import torch
from torch.nn import functional as F

from gradutils import explorers, plots
from gradutils.course import check, predict, reveal, table, verdict
from gradutils.curvature import follow_sharpness
from gradutils.data import digits
from gradutils.models import flat_scores, weight_stacks
from gradutils.training import grid, train_many, train_stacks

plots.use_style()

# %% [markdown]
# ## Predict
#
# Lesson 01: on a quadratic, descent diverges as soon as the rate passes 2 over the **sharpness**, the largest curvature. A network's sharpness changes while it trains. Full batch, 150 digits, tanh, squared error, rate `0.3`: the limit is `6.7`. The sharpness begins near 5.

# %%
below, rises, breaks = "stays below the limit", "rises to it, and stays", "passes it, and the run diverges"
predict("07.a", "In training the sharpness…", [below, rises, breaks])

# %% [markdown]
# ## 1 · Curvature along a direction
#
# ### Exercise 07.1 · ●●○ · 8 minutes
#
# Write `curvature_along(loss_of, w, v)`. `loss_of` takes a (n,) tensor and returns a 0-d one; `w` and `v` are (n,). Return the curvature at `w` along `v`, $\frac{v \cdot Hv}{v \cdot v}$ (the Rayleigh quotient), a number. The Hessian $H$ need not be built: $Hv$ is the gradient of the number $\nabla L \cdot v$.


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
# The sharpness is the largest value that this takes, and `power_iteration` of lesson 01 finds it. `follow_sharpness` does both while ten networks train at once: each is a row of `w`, and at every tenth step its last direction is multiplied by $H$ three more times. (A single network: `gradutils.curvature.sharpness`, by Lanczos, is quicker still.)
#
# ### Exercise 07.2 · ●○○ · 4 minutes
#
# Write `largest_stable_lr(sharpness, beta)`, two numbers: the rate above which heavy ball with momentum `beta` diverges on a quadratic (lesson 01). Where nothing curves upwards, `math.inf`.


# %%
def largest_stable_lr(sharpness, beta):
    ### BEGIN SOLUTION
    return 2 * (1 + beta) / sharpness if sharpness > 0 else math.inf
    ### END SOLUTION


largest_stable_lr = check("07.2", largest_stable_lr).function

# %% [markdown]
# ## 2 · A paper in small: the edge of stability
#
# J. Cohen et al. (2021) trained networks with full-batch descent and saw the sharpness rise until it hovers "right at, or just above" 2 over the rate. Reduced: two layers of 16, 150 digits, ten seeds. Three arms: a constant rate; one that is raised half-way; one that is lowered late.

# %%
x, Y = digits().x_train[:150], F.one_hot(digits().y_train[:150], 10).float()
sizes, steps = [64, 16, 16, 10], range(0, 700, 10)
rate_at = {0: (0.3, 0.3, 0.45), 350: (0.3, 0.45, 0.45), 500: (0.3, 0.45, 0.3)}
first, second, last = (W.flatten(1) for W in weight_stacks(sizes))
w = torch.cat([first, second, 0.3 * last], 1)  # (10, P)
squared = lambda phi: lambda w: (flat_scores(phi, w, sizes, x) - Y).square().sum(-1).mean(-1) / 2
rates = lambda k: torch.tensor(rate_at[max(start for start in rate_at if start <= k)]).repeat_interleave(10)
loss, sharp = follow_sharpness(squared(torch.tanh), w.repeat(3, 1), rates, 700)
sharp, limits = sharp.view(70, 3, 10), torch.stack([2 / rates(k)[::10] for k in steps])  # (…, arms, seeds)

# %%
fig, axes = plt.subplots(1, 3, sharey=True)
for k, title in enumerate(("Rate 0.3", "Raised to 0.45", "Lowered to 0.3, late")):
    plots.plot_against_theory(axes[k], steps, {"": sharp[:, k]}, [limits[:, k]], marker="", rough=True)
    plots.finish(axes[k], title, "step", "sharpness")

# %% tags=["reveal"]
late = float((sharp[-20:, 0] / limits[-1, 0]).median())
wrong = {below: "Descent drifts to sharper places, and only at the limit does something push back."}
wrong |= {breaks: "A quadratic would diverge. Here the bouncing itself leads to flatter places."}
reveal("07.a", rises if 0.9 < late < 1.1 else below, f"The median ends at {late:.2f} of it.", wrong)

# %% [markdown]
# Dotted: 2 over the rate. The sharpness rises to it and stays within a few hundredths: raise the rate, and it comes down. Lower the rate late, and it climbs only slowly, because little loss is left to push it. At the ceiling the loss rises now and then, and falls all the same: look at it in the explorer.

# %%
explorers.explore_edge()

# %% [markdown]
# Is that a law? Two more arms: ReLU, and tanh with cross-entropy.

# %%
cross = lambda w: -flat_scores(torch.tanh, w, sizes, x).log_softmax(-1)[:, Y.bool()].mean(1)
arms = {"ReLU, squared error": squared(torch.relu), "tanh, cross-entropy": cross}
others = {name: follow_sharpness(loss_of, w, 0.3, 700)[1] * 0.3 / 2 for name, loss_of in arms.items()}
fig, ax = plt.subplots()
lines = {"tanh, squared error": sharp[:, 0] * 0.3 / 2} | others
plots.plot_against_theory(ax, steps, lines, [torch.ones(70)] * 3, marker="", rough=True)
plots.finish(ax, "At this rate cross-entropy turns flat before it arrives", "step", "sharpness / limit")

# %% [markdown]
# With cross-entropy the sharpness rises and then falls: once a digit is classified with certainty its curvature goes to zero. (At larger rates it touches the limit on its way. The bands begin low: `follow_sharpness` takes the eigenvalue of the largest size, which before training may be negative.)
#
# And a run that *starts* above the limit? A. Lewkowycz et al. (2020) solve the smallest network, $f = u \cdot v / \sqrt m$ with loss $f^2/2$. Its curvature is $\lambda = (|u|^2 + |v|^2)/m$. Below $2/\lambda$ it converges; up to $4/\lambda$ the loss first leaps and then the run lands where it is flatter (a **catapult**); beyond, it diverges.

# %%
products = torch.linspace(0.5, 4.5, 17)  # the rate times lambda, at the start
u, v = torch.randn(2, 10, 17, 512, generator=torch.Generator().manual_seed(0)) / 512**0.25
curvature = lambda: (u.square().sum(-1) + v.square().sum(-1)) / 512**0.5  # (seeds, products)
lr = products / curvature()
for _ in range(400):
    pull = (lr / 512**0.5 * (u * v).sum(-1))[..., None]
    u, v = u - pull * v, v - pull * u
end = (lr * curvature()).T  # (products, seeds)
survive = end.isfinite().all(1)
fig, ax = plt.subplots()
plots.plot_against_theory(ax, products[survive], {"at the end": end[survive]})
ax.plot(products, products, **plots.THEORY)
for edge, name in ((2.0, "catapult begins"), (4.0, "divergence")):
    plots.mark_vertical(ax, edge, name)
plots.finish(ax, "Started too sharp, it lands where it is flat", "rate x curvature, start", "at the end")

# %% [markdown]
# ## Claim on trial: W10
#
# *A learning rate above 2/sharpness diverges.* True on a quadratic (lesson 01), and often carried over.
#
# **Our prediction.** Networks hold on: tanh at `0.45` starts above its limit and comes down; in the small model nothing diverges below 4, everything above. And ReLU networks survive beyond 4 (the paper says so from experiments): rates of 3 and 6 times $2/\text{sharpness}$, counted after 100 steps.

# %%
wide = torch.cat([torch.full((1280,), 2**0.5), torch.ones(160)]) * w  # He's scale, for ReLU
_, start = follow_sharpness(squared(torch.relu), wide, 0.0, 1)
(times,) = grid([3.0, 6.0, 12.0])
loss, _ = follow_sharpness(squared(torch.relu), wide.repeat(3, 1), times * 2 / start[0].repeat(3), 100)

# %%
learn = plots.how_many((loss[-1].view(3, 10) < 0.4).sum(1))
exact = bool(survive[products < 3.9].all() and not survive[products > 4.1].any())
evidence = f"tanh stays at {late:.2f} of it. ReLU at 3, 6, 12 times the limit: {', '.join(learn)} learn."
verdict("W10", "refuted" if exact and learn[0] == "most" and late > 0.9 else "depends", evidence)

# %% [markdown]
# At 12 times the limit nothing overflows, either: the loss leaps, the units die, and what is left is the loss of a constant answer. A check for NaN would see nothing.
#
# ## 3 · Warmup
#
# If the sharpness is high only at the start, wait with the full rate until it has fallen. **Warmup**: the rate rises in a line over the first steps. The ceiling, 2 over the rate, then comes down slowly, and pushes the sharpness before it (J. Gilmer et al. 2021 see warmup so: it steers to flatter places). Six ReLU layers at `1.5` times He's scale, cross-entropy, peak rate `0.1`, warmup of 40 steps:

# %%
deep = [64] + [32] * 6 + [10]
w = torch.cat([W.flatten(1) for W in weight_stacks(deep, 1.5 * 2**0.5)], 1)
cross = lambda w: -flat_scores(torch.relu, w, deep, x).log_softmax(-1)[:, Y.bool()].mean(1)
ramp = lambda k: 0.1 * min(1.0, (k + 1) / 40)
_, sharp = follow_sharpness(cross, w, ramp, 80, every=2)
fig, ax = plt.subplots()
limit = [2 / ramp(k) for k in range(0, 80, 2)]
plots.plot_against_theory(ax, range(0, 80, 2), {"sharpness": sharp}, [limit], log="y", marker="", rough=True)
plots.finish(ax, "As the rate rises (dotted: 2 / rate), the sharpness comes down", "step", "sharpness")

# %% [markdown]
# ### Exercise 07.3 · ●●○ · 10 minutes
#
# Write `warmup_cosine(step, warmup, total, floor)`, the multiplier of the rate at a step 0, 1, 2, …: `(step + 1) / warmup` while `step < warmup`; then half a cosine, from 1 at step `warmup` down to `floor` at step `total` (Loshchilov and Hutter 2017, equation 5, without restarts); `floor` from there. `warmup` may be 0.


# %%
def warmup_cosine(step, warmup, total, floor):
    ### BEGIN SOLUTION
    wave = (1 + math.cos(math.pi * min((step - warmup) / (total - warmup), 1.0))) / 2
    return (step + 1) / warmup if step < warmup else floor + (1 - floor) * wave
    ### END SOLUTION


warmup_cosine = check("07.3", warmup_cosine).function

# %% [markdown]
# Does it help? At one rate anything can be shown, so all rates, with a good, a bad and a worse start: 1, `1.5` and 2 times He's scale. A constant rate, a warmup of 20 steps, and a decay alone, a cosine. Plain SGD, 120 steps.

# %%
lrs, he = [0.003, 0.01, 0.03, 0.1, 0.3], weight_stacks(deep, 2**0.5)
lr, kind = grid(lrs, range(3))
shapes = {"constant": lambda k: 1.0, "warmup": lambda k: min(1.0, (k + 1) / 20)}
shapes["cosine"] = lambda k: warmup_cosine(k, 0, 120, 0.0)
now = lambda k: torch.tensor([f(k) for f in shapes.values()])[kind.long()]
options = {"steps": 120, "at": (60,), "momentum": 0.0, "schedule": now}
train_scaled = lambda gain: train_many(torch.relu, [gain * W for W in he], digits(), lr, **options)
tried = {gain: train_scaled(gain).accuracy.view(2, 5, 3, 10) for gain in (1.0, 1.5, 2.0)}

# %%
fig, axes = plt.subplots(1, 3, sharey=True)
for ax, (gain, a) in zip(axes, tried.items()):
    plots.plot_against_theory(ax, lrs, dict(zip(shapes, a[1].unbind(1))), log="x", rough=True)
    plots.finish(ax, f"{gain:g} x He", "learning rate", "test accuracy")

# %% [markdown]
# With good weights warmup changes nothing; with large ones the window moves right, and the best is better. The cosine is the other way round.
#
# ### Exercise 07.4 · ●●○ · 6 minutes
#
# Write `choose_warmup(gain, lr, total)`: a number of warmup steps for six ReLU layers whose weights are `gain` times He's, trained for `total` steps at the rate `lr`. The check trains such networks, with `gain` 1 and `1.5`, and for runs of different length.


# %%
def choose_warmup(gain, lr, total):
    ### BEGIN SOLUTION
    return total // 8
    ### END SOLUTION


choose_warmup = check("07.4", choose_warmup).function

# %% [markdown]
# ## 4 · Decay
#
# ### Exercise 07.5 · ●○○ · 4 minutes
#
# Write `step_decay(step, every, factor)`: the multiplier at a step 0, 1, 2, …: 1 at first, and times `factor` after each `every` steps.


# %%
def step_decay(step, every, factor):
    ### BEGIN SOLUTION
    return factor ** (step // every)
    ### END SOLUTION


step_decay = check("07.5", step_decay).function

# %% [markdown]
# The family, over `T` steps:


# %%
def family(T):
    return {
        "constant": lambda k: 1.0,
        "steps": lambda k: step_decay(k, T // 3, 0.3),
        "cosine": lambda k: warmup_cosine(k, T // 20, T, 0.0),
        "restarts": lambda k: warmup_cosine(k % (T // 4), 0, T // 4, 0.0),
        "one cycle": lambda k: warmup_cosine(k, T // 3, T, 0.0),
        "stable, then down": lambda k: min(1.0, 4 * (1 - k / T)),
        "1/sqrt(t)": lambda k: (1 + 20 * k / T) ** -0.5,
        "1/t": lambda k: 1 / (1 + 20 * k / T),
    }


# %%
fig, axes = plt.subplots(1, 2, sharey=True)
for ax, half in zip(axes, (slice(4), slice(4, 8))):
    lines = {name: [f(step) for step in range(300)] for name, f in list(family(300).items())[half]}
    plots.plot_against_theory(ax, range(300), lines, marker="", rough=True)
    ax.set(xlabel="step", ylabel="multiplier")

# %% [markdown]
# What should a decay be good for? In a valley of curvature $\lambda$, with gradient noise of variance 1, descent ends in a cloud: $E[x^2] = \frac{\mathrm{lr}}{\lambda(2 - \mathrm{lr}\,\lambda)}$. This floor goes with the rate. Here $\lambda = 1$:

# %%
lr, x = torch.tensor([0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 1.5]).double(), torch.zeros(600, 10, 7).double()
g = torch.Generator().manual_seed(0)
for _ in range(600):  # steps of 600 chains, ten groups, seven rates
    x = x - lr * (x + torch.randn(x.shape, generator=g))
fig, ax = plt.subplots()
plots.plot_against_theory(ax, lr, {"measured": x.square().mean(0).T}, [lr / (2 - lr)], log="xy")
plots.finish(ax, "The floor of noise goes with the rate", "learning rate", "mean of x squared")

# %% [markdown]
# Two problems. First the digits, one hidden layer, 200 steps: the question is whether it learns. Second, the same digits by least squares with 8 images a step, 800 steps: its minimum is known, and noise decides. Ten seeds; each schedule at the best of its rates.

# %%
schedules, (which, lr) = family(200), grid(range(8), [0.01, 0.03, 0.1])
now = lambda k: torch.tensor([f(k) for f in schedules.values()])[which.long()]
shallow = weight_stacks([64, 32, 10], 2**0.5)
digit = train_many(torch.relu, shallow, digits(), lr, schedule=now).accuracy[-1].view(8, 3, 10)

# %%
X, Y = torch.cat([digits().x_train, torch.ones(1400, 1)], 1), F.one_hot(digits().y_train, 10).float()
H, (which, lr) = X.T @ X / 1400 + 1e-3 * torch.eye(65), grid(range(8), [0.008, 0.015, 0.03, 0.06])
W, draw = torch.zeros(320, 65, 10), torch.Generator().manual_seed(0)
for k in range(800):
    some = torch.randint(1400, (10, 8), generator=draw).repeat(32, 1)  # (N, 8): each seed has its own images
    slope = X[some].mT @ (X[some] @ W - Y[some]) / 8 + 1e-3 * W
    share = torch.tensor([f(k) for f in family(800).values()])[which.long()]
    W = W - (lr * share).view(-1, 1, 1) * slope
off = W - torch.linalg.solve(H, X.T @ Y / 1400)  # from the minimum
excess = (off * (H @ off)).sum((1, 2)).view(8, 4, 10).median(-1).values.amin(1)

# %%
best = digit.median(-1).values.amax(1)
near, ratio = [bool(a > best.max() - 0.03) for a in best], [f"{e:.1f}" for e in excess / excess[0]]
table({"schedule": schedules, "digits: near the best": near, "least squares: excess / constant": ratio})

# %% [markdown]
# On the digits the schedule makes no difference: by any of them the network gets there. Where noise decides a decay to zero leaves half of it over, or less; which one matters little. The textbook's `1/t` and its root never get to zero, and leave more.

# %%
explorers.explore_schedule()

# %% [markdown]
# ## Claim on trial: S10
#
# *Learning-rate schedules help against explosion.*
#
# **Our prediction.** Warmup does where the start is too sharp: there the largest usable rate rises at least threefold, while at He's own scale nothing changes. Decay does not: it acts when the dangerous part is over. Usable: the median network passes `0.5` after 60 steps and `0.67` after 120.


# %%
# Whether the largest usable rate is three times that of the constant rate, in both budgets.
def widens(gain, shape):
    medians = tried[gain].median(-1).values  # (budgets, rates, shapes)
    usable = medians > torch.tensor([0.5, 0.67]).view(2, 1, 1)
    top = (usable * torch.tensor(lrs).view(5, 1)).amax(1)
    return bool((top[:, shape] > 2.5 * top[:, 0].clamp(min=lrs[0])).all())


words = {True: "yes", False: "no"}
gains = {shape: [widens(gain, k) for gain in (1.0, 1.5)] for k, shape in ((1, "warmup"), (2, "decay"))}
evidence = "Largest usable rate x 3 or more, at He and 1.5 x He: "
evidence += "; ".join(f"{shape} {words[he_too]}, {words[bad]}" for shape, (he_too, bad) in gains.items())
verdict("S10", "depends" if gains["warmup"] == [False, True] else "refuted", evidence + ".")

# %% [markdown]
# Half of the prediction on decay failed. It saves no run that is thrown at the start. But at He's scale there are rates at which a run bounces and is not thrown, and as the rate falls it settles.
#
# ## 5 · Finding a rate
#
# The **range test** (Smith 2017): train once while the rate rises by the same factor each step, and look at the loss. Smith and fastai say how to read it: well before the minimum. A misreading takes the minimum itself.
#
# ### Exercise 07.6 · ●○○ · 6 minutes
#
# Write `read_range_test(lrs, losses)`: two (n,) tensors, `losses` perhaps with inf or NaN. Return a tenth of the rate at which the smallest finite loss was seen.


# %%
def read_range_test(lrs, losses):
    ### BEGIN SOLUTION
    losses = torch.where(losses.isfinite(), losses, math.inf)
    return float(lrs[losses.argmin()]) / 10
    ### END SOLUTION


read_range_test = check("07.6", read_range_test).function

# %% [markdown]
# ## Claim on trial: W16
#
# *Take the learning rate at the minimum of the range test.* (Often misread so.)
#
# **Our prediction.** At the minimum divergence is near. With a tenth of it every network trains, with the minimum itself not. A third reading is the steepest fall. Six layers at He's scale, SGD with momentum, ten seeds; then 100 and 200 steps at the rate that was read.

# %%
tested = torch.logspace(-4, 1, 100)
losses = train_many(torch.relu, he, digits(), 1.0, steps=100, schedule=lambda k: tested[k]).loss
smooth = losses.nan_to_num(1e9).clamp(max=1e9).unfold(0, 10, 1).mean(-1)  # (91, seeds): means of ten steps
tenth = torch.tensor([read_range_test(tested[9:], column) for column in smooth.T])
falls = [(column[10:] - column[:-10])[: column.argmin()].argmin() for column in smooth.T]
readings = {"minimum": 10 * tenth, "steepest fall": tested[torch.stack(falls) + 14], "a tenth of it": tenth}
fig, ax = plt.subplots()
plots.plot_against_theory(ax, tested[9:], {"loss": smooth.clamp(max=10)}, log="xy", marker="", rough=True)
for name, found in readings.items():
    plots.mark_vertical(ax, float(found.median()), name)
plots.finish(ax, "One run, the rate rising: three ways to read it", "learning rate", "loss, means of ten")

# %%
rate = torch.cat([*readings.values()])
read = train_many(torch.relu, he, digits(), rate, at=(100,)).accuracy.view(2, 3, 10)
enough, better = (read > 0.75).sum(-1) > 7, int((read[1, 2] > read[1, 0]).sum())  # in eight of ten or more
table({"read": readings, "most above 0.75, 100 steps": enough[0], "200 steps": enough[1]})
evidence = f"A tenth of it does better in {'most' if better > 7 else 'some'} of ten networks."
verdict("W16", "refuted" if better > 7 else "depends", evidence)

# %% [markdown]
# ## 6 · Adam, and what it remembers
#
# Adam divides a mean of gradients (over about $1/(1-\beta_1)$ steps) by the root of a mean of their squares (over $1/(1-\beta_2)$). Let the gradients jump from almost nothing to a constant $g$. After $k$ steps the update is $\mathrm{lr}\,\frac{1-\beta_1^k}{\sqrt{1-\beta_2^k}}$: at first far above `lr`, because the denominator is the slower one.

# %%
beta2s, k = torch.tensor([0.9, 0.95, 0.99, 0.999]), torch.arange(1, 400).view(-1, 1)
m, v, largest = torch.zeros(3, 4)
for _ in range(400):  # Adam, long after its start, while the gradient is 1
    m, v = 0.9 * m + 0.1, beta2s * v + (1 - beta2s)
    largest = torch.maximum(largest, m / v.sqrt())
predicted = ((1 - 0.9**k) / (1 - beta2s**k).sqrt()).amax(0)
columns = {"largest step / lr": largest.tolist(), "predicted": predicted.tolist()}
table({"beta2": beta2s.tolist()} | columns)

# %% [markdown]
# ## Claim on trial: W14
#
# *A lower `beta2` protects from spikes* (often advised).
#
# `beta2` of `0.9` against `0.999`, at a large and at a smaller rate, batches of 32. Step 800 is a bad batch (pixels 20 times as large, wrong labels). Before it, after step 300, we count bursts: losses that pass `0.3`.

# %%
oftener, alike, fewer = "more bursts than those with 0.999", "as many", "fewer"
predict("07.b", "At the large rate, before the bad batch, beta2 = 0.9 shows…", [oftener, alike, fewer])

# %% [markdown]
# **Our prediction.** From one bad batch, yes: Adam notices it sooner. But a short memory also forgets. When gradients have become tiny, the first ordinary one gets a step of full size: late bursts. With `0.999` it has not forgotten when they were large, and small ones get small steps. So at the large rate `0.9` bursts more often, and at the smaller one neither does.

# %% tags=["reveal"]
data, draw, bad = digits(), torch.Generator().manual_seed(5), 800
rows, wrong = torch.randint(1400, (860, 32), generator=draw), torch.randint(10, (32,), generator=draw)
right = lambda k: (data.x_train[rows[k]], data.y_train[rows[k]])
batch = lambda k: (20 * right(k)[0], wrong) if k == bad else right(k)
lr, beta2 = grid([0.01, 0.003], [0.9, 0.999])
options = {"batches": batch, "steps": 860, "adam": True, "beta2": beta2}
nets = weight_stacks([64, 32, 32, 10], 2**0.5)
loss = train_many(torch.relu, nets, data, lr, **options).loss.view(860, 2, 2, 10)  # rates, beta2, seeds
high, peak = loss[300:bad] > 0.3, loss[bad + 1 :].amax(0)
bursts, spared = (high[1:] & ~high[:-1]).sum(0), int((peak[:, 1] > 2 * peak[:, 0]).sum(1).min())
more = int((bursts[0, 0] > bursts[0, 1]).sum())
wrong = {alike: "Late in the run gradients are tiny, and only the long memory knows the large ones."}
wrong |= {fewer: "A short memory notices a bad batch sooner. It also forgets large gradients sooner."}
reveal("07.b", oftener if more > 5 else alike, f"Bursts at the smaller one: {int(bursts[1].sum())}.", wrong)
evidence = f"Bad batch: a peak twice as high with 0.999 in {plots.how_many([spared])[0]}. Late bursts: more with 0.9."
verdict("W14", "depends" if spared > 7 and more > 5 else "refuted" if spared < 3 else "holds", evidence)

# %% [markdown]
# ## 7 · Width
#
# Adam's steps have one size a weight, and a unit sums over `width` of them. So a wide network needs smaller rates. **mu-P** (G. Yang, E. Hu et al. 2022) divides the rates of the middle and the last layer by the width, and lets the last layer begin smaller.
#
# ## Claim on trial: W15
#
# *With mu-P the best learning rate transfers across widths.*
#
# **Our prediction.** At this size the best rate is lost in the noise of seeds. The left edge is not: the rate at which the loss first passes `0.7` in 50 steps. In octaves a doubling it moves by $-1$ with one rate for all, by nearly 0 with mu-P.


# %%
def left_edge(width, divide):  # in powers of two, (seeds,)
    s, powers = (32 / width if divide else 1.0), torch.arange(-12.0, -6.0)
    first, middle, last = weight_stacks([64, width, width, 10], 2**0.5)
    hidden = lambda p, x: torch.relu(torch.relu(x @ p[0].mT) @ (s * p[1]).mT)
    scores = lambda p, x: hidden(p, x) @ (s * p[2]).mT  # what is learnt is multiplied by s: so are its steps
    learnt, (lr,) = [first, middle / s, last / s**0.5], grid((2.0**powers).tolist())
    end = train_stacks(scores, learnt, data, lr, adam=True, steps=50, batch=64).loss[-10:].mean(0).view(6, 10)
    k = (end < 0.7).int().argmax(0)[None]  # the first rate that is good enough; before it a straight line
    a, b = end.gather(0, k - 1)[0], end.gather(0, k)[0]
    return powers[k[0] - 1] + (a - 0.7) / (a - b)


# %%
widths, names = [32, 64, 128], {"one rate for all": False, "mu-P": True}
edges = {name: torch.stack([left_edge(width, divide) for width in widths]) for name, divide in names.items()}
start = edges["mu-P"][0].median().expand(3)

# %%
fig, ax = plt.subplots()
plots.plot_against_theory(ax, widths, edges, [start - torch.arange(3.0), start], log="x")
plots.finish(ax, "The left edge moves with the width, less so with mu-P", "width", "left edge, power of 2")

# %%
plain, mup = (float((e[-1] - e[0]).median() / 2) for e in edges.values())  # octaves a doubling
evidence = f"Left edge, octaves a doubling: {plain:.1f} with one rate for all, {mup:.1f} with mu-P."
verdict("W15", "holds" if mup > -0.2 else "depends" if mup > 0.6 * plain else "refuted", evidence)

# %% [markdown]
# mu-P moved the edge by less than half as much, but not by nearly nothing: these widths are small. Whether the *best* rate transfers was not measured.

# %% [markdown]
# ## On a real run
#
# - Diverges in the first steps? A warmup of a few per cent of the run, or better weights. Later? Lower the rate, or clip.
# - Choose the rate a factor of three to ten below the one at which the range test turns up.
# - A decay to zero over the last quarter costs nothing, and pays where noise is the limit. Judge it only at its end.
# - Rare bad batches: a clip, or a lower `beta2`, and then watch for late bursts.

# %% [markdown]
# ## Summary
#
# A network in training does not diverge at 2 over its sharpness; it is pushed to where the sharpness is as large as the rate allows.
# Warmup pays where the start is too sharp, and does nothing where it is not; decay pays where noise decides.
# What looks like a matter of schedules is often one of weights, of a single rate, or of memory.

# %% [markdown]
# ## Further reading
#
# - J. Cohen et al., [Gradient descent on neural networks typically occurs at the edge of stability](https://arxiv.org/abs/2103.00065) (2021): the pictures of section 2, in large.
# - J. Gilmer et al., [A loss curvature perspective on training instability in deep learning](https://arxiv.org/abs/2110.04369) (2021): warmup, weights and normalisation as one thing.
# - I. Loshchilov, F. Hutter, [SGDR](https://arxiv.org/abs/1608.03983) (2017): the cosine.
#
# [The solution of this lesson](../solutions/07_learning_rate_schedules.ipynb) · [Back to the start](00_start_here.ipynb)
