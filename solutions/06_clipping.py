# %% [markdown]
# # 06 · Clipping
#
# **What does a limit on the gradient save, and what does it only hide?**
#
# After this lesson you can
# - clip by value, by norm and by unit, and say what each does to the direction of a step,
# - choose a threshold, and see when it is only a second learning rate,
# - tell what clipping mends from what it hides.
#
# About two hours (120 minutes) to work (pause after section 4), 20 seconds to run. Needs: [lesson 05](05_initialization.ipynb). Next: [lesson 07](07_learning_rate_schedules.ipynb).

# %%
import math
import subprocess
import sys

import matplotlib.pyplot as plt
import torch

from gradutils import explorers, plots
from gradutils.course import check, predict, reveal, table, verdict
from gradutils.data import digit_sequences, digits
from gradutils.models import recurrent_scores, recurrent_stacks, weight_stacks
from gradutils.training import grid, train_many, train_stacks

plots.use_style()

# %% [markdown]
# ## Predict
#
# Lesson 01 ended at a cliff: runs walk to a wall, step over it to and fro, and sooner or later a step ends *inside* the wall and throws the run far away. A smaller rate only bought time. Now every slope above `0.1` is cut to `0.1`.

# %%
far, near, rest = "are thrown all the same", "still cross the wall, but stay near", "come to rest"
predict("06.a", "With the clip, at the rate that threw most of them, most runs…", [far, near, rest])

# %% [markdown]
# ## What happens
#
# (The first line starts two processes that section 8 needs. They work while you read.)

# %%
command = [sys.executable, "-m", "gradutils.course.two_processes"]
sharded = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)


# %%
def cliff(b):  # lesson 01: one recurrent unit, 50 steps
    h = torch.full_like(b, 0.5)
    for _ in range(50):
        h = 5 * torch.sigmoid(h) + b
    return (torch.sigmoid(h) - 0.7) ** 2


def walk(b, lr, limit, steps=300):
    path = [b]
    for _ in range(steps):
        b = path[-1].clone().requires_grad_()
        (slope,) = torch.autograd.grad(cliff(b).sum(), b)
        path.append(path[-1] - lr * slope.clamp(-limit, limit))
    return torch.stack(path)  # (steps + 1, runs)


# %%
starts, no_limit = torch.linspace(-2.4, -1.6, 50).double(), math.inf
free, clipped = walk(starts, 0.5, no_limit), walk(starts, 0.5, 0.1)
thrown = [int((path.diff(dim=0).abs() > 1).any(0).sum()) for path in (free, clipped)]
end = int((free[:, 1].diff().abs() > 1).int().argmax()) + 2

# %%
fig, axes = plt.subplots(1, 2, sharey=True)
for ax, path, title in zip(axes, (free, clipped), ("No clip", "Clipped at 0.1")):
    plots.plot_path_1d(ax, cliff, path[:end, 1], low=-3.2, high=-1.4, name="b")
    plots.finish(ax, title)

# %% tags=["reveal"]
crossing = int((clipped[-100:].diff(dim=0).sign().diff(dim=0) != 0).any(0).sum())
words = ["most" if count > 25 else "some" if count else "none" for count in thrown]
because = f"Thrown without the clip: {words[0]}; with it: {words[1]}."
wrong = {far: "A step is at most rate times limit now, so none of them leads far away."}
wrong |= {rest: "At the wall the slope is cut, not zero, so a run steps over it and back for ever."}
reveal("06.a", far if thrown[1] > 25 else near if crossing > 25 else rest, because, wrong)

# %% [markdown]
# The clip limits the length of a step to `0.05`. It does not know where to go: a run still walks down to the wall, over it, and back. It is never thrown, and it never comes to rest. Move the threshold.

# %%
explorers.explore_cliff()

# %% [markdown]
# ## 1 · Three ways to clip
#
# **By value**: each entry is cut to lie between $-c$ and $c$.
#
# ### Exercise 06.1 · ●○○ · 4 minutes
#
# Write `clip_by_value(grads, c)`. `grads` is a list of tensors. Return a list of new tensors; leave the given ones as they are.


# %%
def clip_by_value(grads, c):
    ### BEGIN SOLUTION
    return [g.clamp(-c, c) for g in grads]
    ### END SOLUTION


clip_by_value = check("06.1", clip_by_value).function

# %% [markdown]
# **By norm** (Pascanu et al. 2013, algorithm 1): all gradients together are one long vector $g$. If it is longer than $c$, it is multiplied by $c/|g|$.
#
# ### Exercise 06.2 · ●●○ · 8 minutes
#
# Write `clip_by_norm_(grads, c)`. It changes the tensors of the list *in place*, as `torch.nn.utils.clip_grad_norm_` does, and returns the norm of all of them together before the clip, a number. A gradient that is short enough stays as it is. `c` may be `math.inf`.


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
# **By unit** (adaptive gradient clipping, Brock et al. 2021): a step should be short against the weights that it changes. For each unit, a row of $W$, the gradient's norm is held to at most $\lambda$ times the norm of the weights. A norm of the weights below $10^{-3}$ counts as $10^{-3}$, or a unit could never leave zero.
#
# ### Exercise 06.3 · ●●○ · 8 minutes
#
# Write `clip_by_unit(W, G, most)`. `W` and its gradient `G` are (units, inputs). Return the clipped gradient, a new tensor; `most` is $\lambda$.


# %%
def clip_by_unit(W, G, most):
    ### BEGIN SOLUTION
    limit = most * W.norm(dim=1, keepdim=True).clamp(min=1e-3)
    return G * (limit / G.norm(dim=1, keepdim=True).clamp(min=1e-12)).clamp(max=1)
    ### END SOLUTION


clip_by_unit = check("06.3", clip_by_unit).function

# %% [markdown]
# ## Claim on trial: S11
#
# *Clipping is scaling the gradient down by a threshold.*
#
# **Our prediction.** By norm, yes: it keeps its direction. By value it turns. Cut far below all entries, only their signs are left, and the cosine with the gradient is $E|g|/\sqrt{E g^2}$. For Gaussian entries that is $\sqrt{2/\pi}$; for heavy tails, $\pm e^{2z}$ with $z$ Gaussian, it is $e^{-2}$. Rows of sizes $e^{z}$, each clipped to one length, give $e^{-1/2}$. For a Gaussian and a threshold of $c$ times the RMS it is $p/\sqrt{p - c\sqrt{2/\pi}\,e^{-c^2/2} + c^2(1-p)}$, with $p = \text{erf}(c/\sqrt2)$.

# %%
z, tail = torch.randn(2, 10, 10_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
cosine = lambda a, b: torch.nn.functional.cosine_similarity(a, b, dim=-1)
levels, turned = torch.logspace(-2, 1, 13), {}
for name, rows in {"Gaussian": z, "heavy tails": z.sign() * (2 * tail).exp()}.items():
    unit = rows / rows.square().mean(1, keepdim=True).sqrt()
    turned[name] = torch.stack([cosine(unit, clip_by_value([unit], float(c))[0]) for c in levels])
p, slope = torch.erf(levels / 2**0.5), (2 / math.pi) ** 0.5 * torch.exp(-(levels**2) / 2)
gauss = p / (p - levels * slope + levels**2 * (1 - p)).sqrt()

# %%
fig, ax = plt.subplots()
plots.plot_against_theory(ax, levels, turned, [gauss, torch.full((13,), math.exp(-2.0))], log="x")
plots.finish(ax, "Clipping by value turns the gradient", "threshold / RMS", "cosine with the unclipped")

# %%
cuts = [row.clone() for row in z]
norms = [clip_by_norm_([cut], 1.0) for cut in cuts]
straight = int((cosine(torch.stack(cuts), z) > 0.999999).sum())
G = z.view(10, 100, 100) * tail[:, :100, None].exp()  # ten matrices, rows of unequal size
units = torch.stack(
    [cosine(g.flatten(), clip_by_unit(torch.ones(100, 100), g, 1e-3).flatten()) for g in G]
).median()
low = [float(rows[0].median()) for rows in turned.values()]
evidence = (
    f"Cosine by norm 1 in {straight}/10; by value {low[0]:.2f} ({gauss[0]:.2f} predicted), unit {units:.2f}."
)
verdict("S11", "refuted" if straight < 10 else "depends" if low[0] < 0.9 else "holds", evidence)

# %% [markdown]
# With heavy tails a few large entries *are* the direction, and just those are cut. (Their level is for endlessly many entries.) By unit turns where rows differ.
#
# ## 2 · A paper in small: Zhang et al., 2020
#
# Why should a clipped step ever be *faster*? Where curvature grows with the gradient, a fixed rate must suit the steepest place. They prove that clipping can be faster by any factor. Reduced: one dimension, $\cosh x - 1$, starts up to $\pm x_0$. The fixed rate is the best of 40, judged by its *slowest* start (from one start a lucky rate arrives at once). The clipped run is not tuned: rate 1, threshold 1.


# %%
def slowest(x0, lrs, c=no_limit, most=6000):  # steps until all 20 starts are within 0.001, at the best rate
    x, lr = (x0 * torch.linspace(-1, 1, 20).double()).repeat(len(lrs), 1), torch.tensor(lrs)[:, None]
    for step in range(most):
        if (x.abs() < 1e-3).all(1).any():
            return step
        x = (x - lr * torch.sinh(x).clamp(-c, c)).clamp(-100, 100)
    return most


# %% [markdown]
# **Our prediction.** Fixed: $x$ follows $\dot x = -\mathrm{lr}\,\sinh x$, on which $\tanh(x/2)$ falls exponentially, at the largest rate that keeps the outermost start from landing further out, $2x_0/\sinh x_0$. Clipped: one unit a step, $x_0$ steps.

# %%
reach = [2.0, 4.0, 6.0, 8.0, 10.0]
edges = [2 * x0 / math.sinh(x0) for x0 in reach]
fixed = [slowest(x0, [edge * k / 40 for k in range(2, 42)]) for x0, edge in zip(reach, edges)]
cut = [slowest(x0, [1.0], c=1.0) for x0 in reach]
flow = [math.log(math.tanh(x0 / 2) / math.tanh(5e-4)) / edge for x0, edge in zip(reach, edges)]
fig, ax = plt.subplots()
plots.plot_against_theory(ax, reach, {"best fixed rate": fixed, "clipped": cut}, [flow, reach], log="y")
plots.finish(ax, "The steeper the start, the more a clip gains", "outermost start", "steps of the slowest")

# %% [markdown]
# ## 3 · A recurrent network on real data
#
# The digits as sequences, 8 steps of 8 pixels. A ReLU network of 16 units whose recurrent matrix is `1.6` times the identity: gradients grow through time. Eight rates, four thresholds, ten seeds, plain SGD: 80 networks at once for each threshold.

# %%
lrs, limits = [3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3, 1.0], [0.1, 1.0, 10.0, math.inf]
sequences, start = digit_sequences(8), recurrent_stacks(8, 16, 1.6)
(lr,), plain = grid(lrs), {"momentum": 0.0, "steps": 100, "at": (50,)}
runs = [train_stacks(recurrent_scores, start, sequences, lr, max_norm=limit, **plain) for limit in limits]
accuracy = torch.stack([run.accuracy.view(2, 8, 10) for run in runs], 2)  # budgets, rates, thresholds, seeds
grad_norm = torch.stack([run.grad_norm.view(100, 8, 10) for run in runs], 2)  # steps, then the same

# %%
fig, ax = plt.subplots()
lines = dict(zip(["clip at 0.1", "at 1", "at 10", "no clip"], accuracy[1].unbind(1)))  # each (rates, seeds)
plots.plot_against_theory(ax, lrs, lines, log="x", rough=True, colours=[*plots.QUIET[:3], plots.REFERENCE])
plots.finish(ax, "A threshold moves and widens the window of rates", "learning rate", "test accuracy")

# %%
larger, equal, smaller = "threshold 1", "threshold 0.1", "threshold 0.01"
question = "If every step is clipped, rate 0.3 with threshold 0.1 does the same as rate 0.03 with…"
predict("06.b", question, [larger, equal, smaller])

# %% tags=["reveal"]
same = (accuracy[1, 6, 0] - accuracy[1, 4, 1]).abs().median()  # (rate 0.3, threshold 0.1) and (0.03, 1)
wrong = {equal: "Each step would be a tenth as long, because its length is rate times threshold."}
wrong |= {smaller: "Each step would be a hundredth as long, because both of its factors are smaller."}
reveal("06.b", larger if same < 0.02 else smaller, "The products are equal, and so is what is learnt.", wrong)

# %%
explorers.explore_rate_and_threshold()

# %% [markdown]
# On the lower left of the map every step is clipped, and its length is rate times threshold, nothing else. What is new is the right end of the line for threshold 10 in the figure before: there only outliers are cut.
#
# ## 4 · Choosing the threshold
#
# Record the norms *before* the clip (`Recorder` keeps them, torch's clip returns them), and cut the rarest.
#
# ### Exercise 06.4 · ●○○ · 5 minutes
#
# Write `threshold_from(norms, share)`. `norms` is (steps,), and may hold an inf or a NaN from a bad step: leave those out. Return the threshold, a float, above which a fraction `share` of the others lies.


# %%
def threshold_from(norms, share):
    ### BEGIN SOLUTION
    return float(norms[norms.isfinite()].quantile(1 - share))
    ### END SOLUTION


threshold_from = check("06.4", threshold_from).function

# %% [markdown]
# Google's tuning playbook advises the 90th percentile, and a smaller rate when more than half of the steps are clipped. Each threshold at its best rate:

# %%
often = (grad_norm > torch.tensor(limits).view(4, 1)).float().mean(0).median(-1).values  # (rates, thresholds)
best = accuracy[1].median(-1).values.argmax(0).tolist()
cut = ["all" if often[k, j] > 0.98 else "some" if often[k, j] > 0.02 else "none" for j, k in enumerate(best)]
table({"threshold": lines, "best rate": [lrs[k] for k in best], "steps clipped": cut})

# %% [markdown]
# Two ways lead to nearly the same: cut outliers at a small rate, or cut every step at a large one. The second is descent with steps of one length. It cannot settle, so its rate must fall later (lesson 07).
#
# **AutoClip** (Seetharaman et al. 2020) takes a percentile of all norms so far. Its heart is the first line below. At the rate `0.05`, which limit does it set at the first step of all? Then with a history: 100 norms at a tiny rate, or at a rate that learns unclipped. Last, your threshold from these.

# %%
autoclip = lambda old: lambda norms: torch.cat([old, norms]).quantile(0.1, dim=0)  # (steps so far, networks)
run = lambda lr, how=None: train_stacks(recurrent_scores, start, sequences, lr, max_norm=how, **plain)
tiny, good = run(1e-5).grad_norm, run(0.003).grad_norm
arms = {"AutoClip, no history": autoclip(tiny[:0]), "AutoClip, tiny rate first": autoclip(tiny)}
arms |= {
    "AutoClip, a run that learns first": autoclip(good),
    "90th percentile of that run": threshold_from(good, 0.1),
}
hits = [int((run(0.05, how).accuracy[-1] > 0.3).sum()) for how in arms.values()]
table({"threshold": arms, "most of ten networks learn": [n > 7 for n in hits]})

# %% [markdown]
# Without a history the first norm *is* the percentile: the first explosion passes unclipped, spoils the network, and enters the history. At a tiny rate every norm is as large as the first. A percentile only says which steps are unusual; take it from a run that learns.
#
# ## 5 · What is no number

# %%
all_nan, one_nan, skipped = "all are NaN", "one is NaN, none has moved", "none is NaN, the step was skipped"
question = "One gradient entry is inf. After torch's clip_grad_norm_ and a step, among the weights…"
predict("06.c", question, [all_nan, one_nan, skipped])

# %% tags=["reveal"]
cases, after = {"1, 2, inf": [1, 2, math.inf], "1, 2, nan": [1, 2, math.nan], "4 times 2e19": [2e19] * 4}, {}
for clip in (torch.nn.utils.clip_grad_norm_, torch.nn.utils.clip_grad_value_):
    after[clip.__name__] = []
    for values in cases.values():
        p = torch.nn.Parameter(torch.zeros(len(values)))
        p.grad = torch.tensor(values)
        clip(p, 1.0)
        after[clip.__name__].append(", ".join(f"{value:g}" for value in p.grad))
table({"gradient": cases} | after)
answer = {"0, 0, nan": one_nan, "nan, nan, nan": all_nan}.get(after["clip_grad_norm_"][0], skipped)
wrong = {all_nan: "With a NaN in the gradient they would be. An inf makes 0 of all finite entries."}
wrong |= {skipped: "By default torch does not look at the norm, so the step is taken with what is left."}
reveal("06.c", answer, "c / inf is 0, and 0 times inf is NaN.", wrong)

# %% [markdown]
# A single NaN spoils all. In the last row every entry is finite, only their norm overflows: the step silently does nothing. `error_if_nonfinite=True` makes torch say so.
#
# ### Exercise 06.5 · ●●○ · 8 minutes
#
# Write `safe_step(weights, grads, lr, c)`, with two lists of tensors. If any gradient holds an inf or a NaN return `weights` as they are. Otherwise clip by norm at `c` (your `clip_by_norm_`, on copies) and return the list of new weights after a step of plain descent. Change none of the given tensors.


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
# Half precision makes this daily work: `float16` knows nothing below $2^{-24}$ and nothing above 65504 (Micikevicius et al. 2018). So the loss is multiplied by a **scale** before the backward pass, and the gradients are divided by it before the clip. Too small a scale, and gradients become 0; too large, and they overflow.
#
# ### Exercise 06.6 · ●●○ · 6 minutes
#
# Write `next_scale(scale, clean, overflow, every)`. After a step with an overflow: half the scale, and no clean steps. Otherwise one more clean step; when there are `every` of them, twice the scale, and count from 0. Return the pair (scale, clean).


# %%
def next_scale(scale, clean, overflow, every):
    ### BEGIN SOLUTION
    return (scale / 2, 0) if overflow else (scale * 2, 0) if clean + 1 == every else (scale, clean + 1)
    ### END SOLUTION


next_scale = check("06.6", next_scale).function

# %%
gradient, powers = 1e-6 * z[0, :4096], torch.arange(-8, 40, 2).double()
scale, clean, path = 2.0**38, 0, []
halves = torch.stack([(gradient * 2**k).half() for k in powers])
lost, broken = (halves == 0).double().mean(1), halves.isinf().double().mean(1)
share = lambda edge: torch.erf(edge / 2**powers / 1e-6 / 2**0.5)  # of Gaussian entries, scaled, below edge
for _ in range(60):
    path.append(math.log2(scale))
    scale, clean = next_scale(scale, clean, bool((gradient * scale).half().isinf().any()), 8)
fig, (left, right) = plt.subplots(1, 2)
kinds = {"become 0": lost, "become inf": broken}
plots.plot_against_theory(left, powers, kinds, [share(2.0**-25), 1 - share(65520.0)])
plots.finish(left, "A window of scales", "scale, power of 2", "share of entries")
plots.plot_history(right, {"scale": path}, ylabel="power of 2", log=False)
plots.finish(right, "Your next_scale finds its edge")

# %% [markdown]
# The theory is that of the format: what rounds to 0, and what rounds past 65504. The scale lives at the upper edge, and pays for it with a skipped step now and then.
#
# ## 6 · Claim on trial: W13
#
# *With Adam, clipping is useless.* Many ask so: Adam divides by the gradient's size anyway.
#
# **Our prediction.** It depends. In ordinary steps a clip changes little. But Adam divides by a *mean* over about $1/(1-\beta_2)$ steps, and at `0.999` that mean has hardly noticed one bad batch (pixels 20 times as large, wrong labels). So there the clip counts, and at `0.9` much less. Ten networks, three rates.

# %%
data, draw, bad = digits(), torch.Generator().manual_seed(5), 200
rows, wrong = torch.randint(1400, (260, 64), generator=draw), torch.randint(10, (64,), generator=draw)
right = lambda k: (data.x_train[rows[k]], data.y_train[rows[k]])
batch = lambda k: (20 * right(k)[0], wrong) if k == bad else right(k)
rates = [0.001, 0.003, 0.01]
beta2, cap = grid([0.9, 0.999], [math.inf, 1.0])
nets = weight_stacks([64, 32, 32, 10], 2**0.5)
options = {"batches": batch, "steps": 260, "adam": True, "beta2": beta2, "max_norm": cap}
adam = torch.stack([train_many(torch.relu, nets, data, lr, **options).loss for lr in rates], 1)
adam = adam.view(260, 3, 2, 2, 10)  # (steps, rates, beta2, clip, seeds)
before, peak = (v[:, :, 0] / v[:, :, 1] for v in (adam[170:bad].mean(0), adam[bad + 1 :].amax(0)))
ratios = {"before, beta2 0.999": before[:, 1], "after, 0.9": peak[:, 0], "after, 0.999": peak[:, 1]}
columns = {name: [f"{float(r):.2g}" for r in v.median(1).values] for name, v in ratios.items()}
table({"loss, no clip / clip, at rate": rates} | columns)
wins = [int((ratios > 3).sum()) for ratios in peak[:, 1]]
of_10 = ", ".join(map(str, wins))
evidence = f"Bad batch, beta2 0.999: without a clip the peak is 3 x as high in {of_10} of 10, by rate."
verdict("W13", "holds" if max(wins) < 5 else "refuted" if before.median() > 3 else "depends", evidence)

# %% [markdown]
# ## 7 · What it mends and what it hides
#
# Lesson 02 told explosions of scale from chaos. Both networks here have gradients that grow by half a layer: ReLU at `2.18`, tanh at `4`. 14 layers, three rates. Whom does a clip save?

# %%
rates, deep = [1e-4, 0.003, 0.01], {}
(lr,) = grid(rates)
scales = {torch.relu: 2.18, torch.tanh: 4.0}
for phi, cap in [(phi, cap) for phi in scales for cap in (None, 1.0)]:
    many = weight_stacks([64] + [40] * 14 + [10], scales[phi])
    counts = (train_many(phi, many, data, lr, max_norm=cap).accuracy[-1].view(3, 10) > 0.2).sum(1)
    deep[phi.__name__, cap] = [bool(n > 4) for n in counts]
names = [f"{phi}, {'clip' if cap else 'none'}" for phi, cap in deep]
columns = dict(zip([f"rate {r:g}" for r in rates], zip(*deep.values())))
table({"half or more above 0.2": names} | columns)

# %% [markdown]
# ReLU's gradient had the right direction and a wild length; a far smaller rate mends that, and so does a clip at the usual ones. The direction of a chaotic gradient is noise, and no length helps. (With 10 layers chaos is only slow.)
#
# Now four bugs, and a rate that is far too large. Each gets a clip instead of its cure. Would you still notice it?

# %%
raw = data._replace(x_train=100 * data.x_train, x_test=100 * data.x_test)
he = lambda times: weight_stacks([64, 40, 40, 40, 10], times * 2**0.5)
bugs = {"none": {}, "loss summed": {"reduction": "sum"}, "gradients not cleared": {"clear": False}}
bugs |= {"raw inputs": {"data": raw}, "weights 4 x He": {"weights": he(4)}, "rate x 20": {"lr": 1.0}}
usual, columns = {"weights": he(1), "data": data, "lr": 0.05, "batch": 64, "steps": 120}, {}
for cap, bars in ((None, [0.4]), (1.0, [0.4, 0.85])):
    ill = [train_many(torch.relu, **usual | bug, max_norm=cap) for bug in bugs.values()]
    for bar in bars:
        words = plots.how_many([(runs.accuracy[-1] > bar).sum() for runs in ill])
        columns[f"above {bar}{', clip' if cap else ''}"] = words
always = [bool((runs.grad_norm > 1).float().mean(0).median() > 0.95) for runs in ill]
table({"bug": bugs} | columns | {"nearly all steps cut": always})

# %% [markdown]
# With a clip four bugs train, two as well as a healthy network. What gives them away is how often it cuts. Find the cause, then take the clip away. (The bugs come back in lesson 09.)
#
# ## 8 · Outgrowing one machine
#
# In large trainings the gradient lies in pieces on many machines; the norm that counts is over all of them. The two processes from the beginning ran `gradutils/course/two_processes.py`, a network of 8 tanh layers, clip at 1. First each process clips the layers that it holds, then the rows of each weight that it holds; then the clip that knows of all (FSDP2, torch's way to spread a model).

# %%
report, _ = sharded.communicate(timeout=120)
print(report.strip())

# %% [markdown]
# With layers apart the direction changes: the first half of this network has the larger gradients. With rows apart the halves are alike: the direction is right by luck, and the step $\sqrt2$ too long; on a thousand processes it would be $\sqrt{1000}$.
#
# ## Claim on trial: S6
#
# *Clipping gradients above a threshold prevents explosions.*
#
# **Our prediction.** It raises the largest usable rate of the recurrent network at least tenfold (usable: the median passes `0.3` after 50 steps, and `0.35` after 100). It mends scale and not chaos, and no NaN.

# %%
usable = accuracy.median(-1).values > torch.tensor([0.3, 0.35]).view(2, 1, 1)  # (budgets, rates, thresholds)
largest = (usable * torch.tensor(lrs).view(8, 1)).amax(1)
times, relu, tanh = (largest[:, 2] / largest[:, 3]).min(), deep["relu", 1.0][2], deep["tanh", 1.0][2]
words = [f"{name} {'learns' if learns else 'does not'}" for name, learns in (("ReLU", relu), ("tanh", tanh))]
evidence = f"Largest usable rate x {times:.0f}. 14 layers, clipped, rate 0.01: {words[0]}, {words[1]}."
verdict("S6", "refuted" if times < 3 or not relu else "holds" if tanh else "depends", evidence)

# %% [markdown]
# ## On a real run
#
# - Log the norm before the clip, and how often it cuts. Set the threshold near the 90th percentile of a healthy run.
# - Pass `error_if_nonfinite=True`, or skip the step. Log what was skipped: in half precision some skips are normal.
# - With `GradScaler`, torch's own `next_scale`: `scaler.unscale_(optimizer)` first, then clip.
# - Before you rely on a clip, train a few steps without it, and find out why it is needed.

# %% [markdown]
# ## Summary
#
# A clip by norm limits the length of a step and keeps its direction; a clip by value turns it.
# It widens the window of learning rates, most where curvature grows with the gradient, and it protects Adam from a bad batch.
# It mends neither chaos nor a NaN, and it hides bugs.

# %% [markdown]
# ## Further reading
#
# - R. Pascanu, T. Mikolov, Y. Bengio, [On the difficulty of training recurrent neural networks](https://arxiv.org/abs/1211.5063) (2013): the cliff and the clip.
# - J. Zhang et al., [Why gradient clipping accelerates training](https://arxiv.org/abs/1905.11881) (2020): curvature that grows with the gradient, measured in language models.
# - A. Brock et al., [High-performance large-scale image recognition without normalization](https://arxiv.org/abs/2102.06171) (2021): clipping by unit, at scale.
#
# [The solution of this lesson](../solutions/06_clipping.ipynb) · [Back to the start](00_start_here.ipynb)
