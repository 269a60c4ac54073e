# %% [markdown]
# # 05 · Initialisation
#
# **How large must the first weights be, and what can go wrong although they are right?**
#
# After this lesson you can
# - derive the scale of a layer's weights, forward and backward, and test it by measuring,
# - predict from two numbers how deep a network may be,
# - tell apart three illnesses that look alike: a gradient that explodes, one that vanishes, and a signal that is dead.
#
# About two hours (120 minutes) to work, 25 seconds to run. Needs: [lesson 04](04_activations.ipynb). Next: [lesson 06](06_clipping.ipynb).

# %%
import math

import matplotlib.pyplot as plt
import torch

from gradutils import explorers, plots
from gradutils.course import check, predict, reveal, table, verdict
from gradutils.data import digits
from gradutils.meanfield import chi_1, depth_scale, predicted_gradient_profile, q_trajectory
from gradutils.propagation import gradient_profile, phase_diagram
from gradutils.training import train_many

plots.use_style()

# %% [markdown]
# ## Predict
#
# Lesson 04 found for each activation one scale that neither explodes nor vanishes. Most people never set it: they write `nn.Linear` and take what the framework draws. Ten hidden ReLU layers on the digits, SGD, weights and biases as `nn.Linear` draws them.

# %%
nothing, slower, as_well = "learns nothing", "learns, but more slowly", "learns as well as 3 layers"
predict("05.a", "At its best learning rate the network with ten layers…", [nothing, slower, as_well])

# %% [markdown]
# ## What happens


# %%
def stacks(sizes, seeds=10):  # Gaussian draws with variance 1/fan_in, one stack of matrices a layer
    g = torch.Generator().manual_seed(0)
    draws = [
        torch.randn(seeds, m, n, generator=g, dtype=torch.float64) / n**0.5 for m, n in zip(sizes[1:], sizes)
    ]
    return [draw.float() for draw in draws]  # each (seeds, fan_out, fan_in)


def accuracies(weights, biases, lrs, images=None, phi=torch.relu, steps=120, **options):
    rates = torch.tensor(lrs).repeat_interleave(len(weights[0]))
    options |= {"biases": biases, "steps": steps, "at": (steps // 2,)}
    runs = train_many(phi, weights, images or data, rates, **options)  # repeats the networks for each rate
    return runs.accuracy.view(2, len(lrs), -1)  # (two budgets, rates, seeds)


def as_torch_draws(depth):  # uniform within 1 over the root of fan_in, biases too: (weights, biases)
    g, sizes = torch.Generator().manual_seed(0), [64] + [32] * depth + [10]
    uniform = lambda n, *shape: (2 * torch.rand(10, *shape, generator=g) - 1) / n**0.5
    return [uniform(n, m, n) for m, n in zip(sizes[1:], sizes)], [
        uniform(n, m) for m, n in zip(sizes[1:], sizes)
    ]


# %%
data, lrs = digits(), [0.01, 0.03, 0.1]
default = {L: accuracies(*as_torch_draws(L), lrs, steps=140) for L in (3, 5, 10)}

# %% [markdown]
# ## Claim on trial: W6
#
# *The framework's default initialisation is fine* ("for moderate problem sizes", says the textbook d2l, with care; code comments drop the care).
#
# **Our prediction.** `nn.Linear` draws uniformly with variance $\frac{1}{3n}$: `sigma_w` is $1/\sqrt3$, and with ReLU the gradient shrinks to $\sqrt{1/6}$ a layer. Three layers lose a factor of 15, ten layers one of eight thousand. Control: the same ten layers with weights
# $\sqrt6$ times as large and no biases.

# %%
fig, ax = plt.subplots()
plots.plot_against_theory(ax, lrs, {f"{d} layers": a[1] for d, a in default.items()}, log="x", rough=True)
plots.finish(ax, "As the framework draws them: at ten layers, nothing", "learning rate", "test accuracy")

# %%
control = accuracies([W * 6**0.5 for W in as_torch_draws(10)[0]], None, [0.03], steps=140)
hits = lambda found, level=0.3: int((found[1] > level).sum(1).max())  # seeds at the best rate, longer budget
shallow, deep, mended = hits(default[3], 0.8), hits(default[10]), hits(control)

# %% tags=["reveal"]
wrong = {slower: "The first layer's gradient is thousands of times too small, so no rate suits all layers."}
wrong |= {as_well: "Three layers lose a factor of 15, ten layers thousands, because the losses multiply."}
because = f"Above 0.3 at their best rate: {deep} of 10 networks."
reveal("05.a", nothing if deep <= 1 else slower if deep < shallow else as_well, because, wrong)
evidence = f"3 layers pass 0.8 in {shallow}/10; 10 layers pass 0.3 in {deep}/10, and {mended}/10 once scaled."
verdict("W6", "depends" if shallow >= 9 and deep <= 1 and mended >= 9 else "holds", evidence)

# %% [markdown]
# ## 1 · The rule of the variance
#
# An output $z_i = \sum_j W_{ij} h_j$ is a sum of fan-in products. For independent weights of variance $v$ its mean square is $v \cdot \text{fan-in}$ times that of $h$. Going back, an entry of $\delta W$ is a sum of **fan-out** products, so that the gradient is kept by $v = 1/\text{fan-out}$. Where a layer is not square, only one of the two can be kept. LeCun's rule keeps the forward sum, $v = 1/\text{fan-in}$. Xavier's (Glorot and Bengio 2010, their equation 16) takes the mean of both fans, $v = 2/(\text{fan-in} + \text{fan-out})$. He's (2015) makes up for the half that ReLU removes:
# $v = 2/\text{fan-in}$.

# %% [markdown]
# ### Exercise 05.1 · ●○○ · 5 minutes
#
# Write `weight_std(fan_in, fan_out, rule)`: the standard deviation of a weight, a float; `rule` is `"lecun"`, `"xavier"` or `"he"`.


# %%
def weight_std(fan_in, fan_out, rule):
    ### BEGIN SOLUTION
    variance = {"lecun": 1 / fan_in, "xavier": 2 / (fan_in + fan_out), "he": 2 / fan_in}[rule]
    return math.sqrt(variance)
    ### END SOLUTION


weight_std = check("05.1", weight_std).function

# %%
rules, forward, backward, generator = ["lecun", "xavier", "he"], [], [], torch.Generator().manual_seed(0)
randn = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)
for rule in rules:
    W, h, delta = weight_std(100, 400, rule) * randn(400, 100), randn(50, 100), randn(50, 400)
    forward.append(float((h @ W.T).square().mean()))
    backward.append(float((delta @ W).square().mean()))
table({"100 units to 400, linear": rules, "signal squared x": forward, "gradient squared x": backward})

# %% [markdown]
# LeCun keeps the signal and multiplies the gradient by four, the ratio of the fans. Xavier keeps neither: the signal falls to less than half, the gradient grows by more than half. It is a compromise. In square layers the three differ only by He's 2.
#
# ## 2 · Along the depth
#
# With an activation and biases of variance $\sigma_b^2$ the mean square $q$ of the pre-activations obeys the **length map** $q \to \sigma_w^2 E[\varphi(z)^2] + \sigma_b^2$ (Poole et al. 2016).
#
# ### Exercise 05.2 · ●○○ · 6 minutes
#
# Write `next_q(phi, q, sigma_w, sigma_b)`: one step of it, a float, within 2 % (quantiles, or some 100,000 samples). $z$ is Gaussian with mean square `q`; `phi` takes a tensor.


# %%
def next_q(phi, q, sigma_w, sigma_b):
    ### BEGIN SOLUTION
    z = torch.special.ndtri((torch.arange(4000).double() + 0.5) / 4000) * q**0.5
    return sigma_w**2 * float((phi(z) ** 2).mean()) + sigma_b**2
    ### END SOLUTION


next_q = check("05.2", next_q).function

# %% [markdown]
# ## Claims on trial: W2 and W1
#
# *With Xavier initialisation a tanh network settles at a fixed variance* (often taught). *A gain of 5/3 is right for tanh* (torch's `calculate_gain` recommends it).
#
# **Our prediction.** W2: near zero $\tanh^2 z \approx z^2 - \frac23 z^4$, so $q \to q - 2q^2$: it never settles but decays as $\frac{1}{2l}$, a power of the depth, not exponentially. W1: with 5/3 the signal is steady, while $\chi_1$ is about $1.2$: gradients grow by a tenth a layer. No scale keeps both. (A gain is `sigma_w`.)

# %%
L, gains = 50, {"Xavier": 1.0, "gain 5/3": 5 / 3}
profiles = {
    name: gradient_profile(L, 128, "tanh", s, batch=1, dtype=torch.float64) for name, s in gains.items()
}
signal, lengths = {name: p.q[0].T for name, p in profiles.items()}, []  # (layers, seeds)
for s in gains.values():
    path = [s**2]
    for _ in range(L - 1):
        path.append(next_q(torch.tanh, path[-1], s, 0.0))
    lengths.append(path)

# %%
fig, (left, right) = plt.subplots(1, 2)
plots.plot_against_theory(left, range(1, L + 1), signal, lengths, log="xy")
plots.finish(left, "Signal: mean square of z", "layer", "q")
delta = {name: p.delta[0] / p.delta[0, :, -1:] for name, p in profiles.items()}
plots.plot_depth_profile(
    right, delta, {n: predicted_gradient_profile("tanh", L, s) for n, s in gains.items()}
)
plots.finish(right, "Gradient")

# %%
fall = signal["Xavier"][-1] / signal["Xavier"][24]  # (seeds,)
evidence = f"From layer 25 to 50 q falls to {fall.median():.1f} of itself, below 0.8 in {int((fall < 0.8).sum())}/10."
verdict("W2", "refuted" if (fall < 0.8).sum() >= 9 else "depends", evidence)

# %%
steady = (signal["gain 5/3"][-1] / signal["gain 5/3"][9]).median()
grown = int((delta["gain 5/3"][:, 0] > 10).sum())
evidence = f"From layer 10 to 50 q changes by x {steady:.1f}; gradients grow more than tenfold in {grown}/10."
verdict("W1", "refuted" if grown >= 9 and 0.5 < steady < 2 else "holds", evidence)

# %% [markdown]
# ## Claim on trial: W3
#
# *He initialisation preserves the size of gradients.*
#
# He et al. derive it for the *mean* square, and so it is. Lesson 03 saw that a single network is log-normal: $\ln|\delta|^2$ has variance $\beta = 5L/n$ and mean $-\beta/2$. Width over depth decides.
#
# **Our prediction.** Over 100 networks of 12 layers the median of the squared growth is $e^{-\beta/2}$: a fifth at width 16, four fifths at width 128. (The mean is 1, by He's derivation; a few lucky networks carry it. From the last of 12 layers to the first a gradient crosses 11.)

# %%
widths = [16, 32, 64, 128]
profiles = [gradient_profile(12, n, "relu", 2**0.5, seeds=100, batch=1).delta[0] for n in widths]
medians = torch.stack([(delta[:, 0] / delta[:, -1]).square().median() for delta in profiles])
theory = [math.exp(-5 * 11 / n / 2) for n in widths]

# %%
fig, ax = plt.subplots()
plots.plot_against_theory(ax, widths, {"median": medians}, [theory], log="y")
ax.axhline(1, color=plots.REFERENCE, linewidth=0.8)
plots.finish(ax, "He, 12 layers: the typical narrow network fades", "width", "squared growth, median of 100")

# %%
low, high = float(medians[0]), float(medians[-1])
evidence = f"Median at width 16: {low:.1f} (theory {theory[0]:.1f}); at 128: {high:.1f} ({theory[-1]:.1f})."
verdict("W3", "depends" if low < 0.4 and high > 2 * low else "holds", evidence)

# %% [markdown]
# So a variance rule is a statement about an average that few networks show. **Orthogonal** weights take a part of the luck away: each layer stretches every direction alike. Which units are on remains chance.
#
# ### Exercise 05.3 · ●●○ · 8 minutes
#
# Write `orthogonal(A, gain)`. `A` is (n, n), Gaussian. Return `gain` times the Q of `A = QR` (`torch.linalg.qr`), with the signs of its columns chosen such that R has a positive diagonal: only then is every rotation equally likely.


# %%
def orthogonal(A, gain):
    ### BEGIN SOLUTION
    Q, R = torch.linalg.qr(A)
    return gain * Q * R.diagonal().sign()
    ### END SOLUTION


orthogonal = check("05.3", orthogonal).function

# %% [markdown]
# Or measure instead of deriving. **LSUV** (Mishkin and Matas 2016) starts orthogonal, sends one batch through, and divides each layer's weights by what it measures.
#
# ### Exercise 05.4 · ●●○ · 8 minutes
#
# Write `lsuv(weights, phi, x)`. `weights` is a list of (fan_out, fan_in) tensors, `x` is (B, n). Layer by layer: divide $W$ by the RMS of its pre-activations `h @ W.T`, then send `h` through the scaled layer and `phi`. Return the list of scaled weights. (The check does not ask for orthogonal ones.)


# %%
def lsuv(weights, phi, x):
    ### BEGIN SOLUTION
    scaled, h = [], x
    for W in weights:
        W = W / (h @ W.T).square().mean().sqrt()
        scaled.append(W)
        h = phi(h @ W.T)
    return scaled
    ### END SOLUTION


lsuv = check("05.4", lsuv).function

# %% [markdown]
# ## 3 · A paper in small: He et al., 2015
#
# Their figure 3 shows a network of 30 layers: with Xavier's scale it "completely stalls", with theirs it trains. The first layer's gradient is smaller by $\sqrt2^{\,29}$. Reduced: 30 dense layers of 32 units instead of convolutions, digits instead of ImageNet, 120 steps. And a
# question that the figure leaves open: does Adam, which divides by the gradient's size, need the right scale?

# %%
arms = {"SGD": ([0.003, 0.03, 1.0], False), "Adam": ([0.001], True)}
rows, square = {}, stacks([64] + [32] * 30 + [10])
for optimizer, (rates, adam) in arms.items():
    for rule, scale in {"He": 2**0.5, "Xavier": 1.0}.items():
        rows[f"{rule}, {optimizer}"] = accuracies(
            [scale * W for W in square], None, rates, adam=adam, steps=120
        )
words = lambda count: "4 or more" if count > 3 else "up to 3"  # each CPU rounds in its own way
leaves = [[words((a[k] > 0.15).sum(1).max()) for a in rows.values()] for k in (0, 1)]
table({"networks of 10 that leave guessing": rows, "after 60 steps": leaves[0], "after 120": leaves[1]})

# %% [markdown]
# With SGD (momentum `0.9` in this lesson) the paper's picture: Xavier stalls at every rate. With Adam Xavier moves too, only later. But three layers are far beyond guessing by then. Why not 30?
#
# ## 4 · Norms healthy, signal dead
#
# Narrow networks fade (section 2). Your `lsuv` mends that: every layer's pre-activations get RMS 1. Does a ReLU network of 50 layers train then? If not, something other than the norms is ill.
#
# ### Exercise 05.5 · ●●○ · 8 minutes
#
# Write `cosines(weights, phi, a, b)`. `a` and `b` are two inputs, (n,). Return L + 1 floats: the cosine of the angle between them, then between what they have become after each layer (`phi(W @ a)`).


# %%
def cosines(weights, phi, a, b):
    ### BEGIN SOLUTION
    cosine = torch.nn.functional.cosine_similarity
    found = [float(cosine(a, b, dim=0))]
    for W in weights:
        a, b = phi(W @ a), phi(W @ b)
        found.append(float(cosine(a, b, dim=0)))
    return found
    ### END SOLUTION


cosines = check("05.5", cosines).function


# %% [markdown]
# For wide ReLU layers one step is known: two inputs at angle $\theta$ have, after it, the cosine $\frac1\pi(\sin\theta + (\pi-\theta)\cos\theta)$.
#
# A "looks-linear" network is the control: each layer holds a rotation $O$ (your `orthogonal`) as $\begin{pmatrix}O & -O\\-O & O\end{pmatrix}$. Its units come in pairs, $z$ and $-z$, and $\text{relu}(z) - \text{relu}(-z) = z$: nothing is lost. Same ReLU, same depth.


# %%
def looks_linear(depth, n=32, seeds=10):
    g = torch.Generator().manual_seed(0)
    turns = [torch.randn(seeds, k, k, generator=g, dtype=torch.float64) for k in [64] + [n // 2] * depth]
    turns = [torch.stack([orthogonal(A, 1.0) for A in stack]).float() for stack in turns]
    mirror = lambda O: torch.cat([torch.cat([O, -O], 2), torch.cat([-O, O], 2)], 1)
    first, last = turns[0][:, : n // 2], torch.cat([turns[-1], -turns[-1]], 2)[:, :10]
    return [torch.cat([first, -first], 1), *map(mirror, turns[1:-1]), last]


# %%
nets = {"He": [2**0.5 * W for W in stacks([64] + [32] * 50 + [10])], "looks-linear": looks_linear(50)}
pairs = [[data.x_test[k], data.x_test[k + 10]] for k in range(10)]
angles = {
    name: torch.tensor([cosines([W[k] for W in net[:-1]], torch.relu, *pairs[k]) for k in range(10)]).T
    for name, net in nets.items()
}
theory = [angles["He"][0].median()]
for _ in range(50):
    theta = torch.acos(theory[-1])
    theory.append((theta.sin() + (math.pi - theta) * theta.cos()) / math.pi)

# %%
fig, ax = plt.subplots()
plots.plot_against_theory(ax, range(51), {"He": angles["He"]}, [theory])
ax.plot(range(51), angles["looks-linear"].median(1).values, color=plots.SECOND)
plots.finish(ax, "Any two digits become one direction (orange: looks-linear)", "layer", "cosine")

# %% [markdown]
# ## Claim on trial: W5
#
# *A very deep ReLU network fails because its gradients vanish or explode.* At too large or too small a scale it does. But at He's?
#
# One arm has no depth: three layers. A constant is added to all pixels, and all are divided to their old size. Any two inputs then point the same way.

# %%
unshifted, part, guess = "above 0.5, as unshifted", "from 0.2 to 0.5", "below 0.2, near guessing"
question = "So shifted, cosine 0.999, three He layers reach in 200 steps an accuracy…"
predict("05.b", question, [unshifted, part, guess])

# %% [markdown]
# **Our prediction.** It fails because all inputs have become one direction. If so, even norms do not cure it (LSUV), restoring the angle does (looks-linear), and taking it away spoils even three layers (shifted). Rates are swept in each arm.

# %%
even = [lsuv([W[k] for W in nets["He"]], torch.relu, data.x_train[:256]) for k in range(10)]
nets["He, then LSUV"] = [torch.stack(layer) for layer in zip(*even)]
shifted = data._replace(x_train=(data.x_train + 30) / 30, x_test=(data.x_test + 30) / 30)
three = [2**0.5 * W for W in stacks([64, 32, 32, 32, 10])]
arms = {name: accuracies(net, None, [0.003, 0.01], steps=60) for name, net in nets.items()}
arms["three layers"] = accuracies(three, None, [0.003, 0.01], steps=200)
arms["three, shifted"] = accuracies(three, None, [0.003, 0.01, 0.03, 0.1], images=shifted, steps=200)

# %% tags=["reveal"]
counts = {name: hits(a, 0.5) for name, a in arms.items()}
table({"": counts, "networks above 0.5, of 10": list(counts.values())})
sick, cured, even, simple, spoilt = counts.values()
reached = arms["three, shifted"][1].median(-1).values.amax()
wrong = {unshifted: "Its gradients are healthy, but what tells two digits apart has become tiny."}
wrong |= {part: "The small difference is there, but in 200 steps descent makes almost nothing of it."}
because = f"Above 0.5: {spoilt} of 10, against {simple} without the shift."
reveal("05.b", unshifted if reached > 0.5 else part if reached > 0.2 else guess, because, wrong)
evidence = f"50 He layers: norms even {even}/10, angle restored {cured}/10. 3 layers: {simple}/10, spoilt {spoilt}/10."
decide = max(sick, even, spoilt) <= 1 and min(cured, simple) >= 9
verdict("W5", "refuted" if decide else "depends", evidence)

# %% [markdown]
# The same activation, the same depth, and it trains; three layers only, and it does not. What decides is the angle. Not that such a network can never learn: with ten times the steps most of the shifted ones leave guessing.
#
# ## 5 · The map
#
# Weights and biases together, for tanh. To the left of the line where $\chi_1 = 1$ gradients vanish and all inputs become one direction. To its right gradients explode, and inputs that were close move apart. On the line both last longest.

# %%
ws, bs = torch.linspace(0.5, 4, 29), torch.linspace(0, 2, 17)
measured = phase_diagram("tanh", ws, bs, width=64, depth=30, seeds=1).chi
grid = chi_1("tanh", ws, q=q_trajectory("tanh", ws, bs.unsqueeze(1), depth=200)[-1])
fig, ax = plt.subplots()
style = {"limits": (0.1, 10), "log": True, "cmap": "PuOr_r", "rough": True}
plots.plot_map(ax, ws, bs, measured, grid, levels=[1.0], **style)
plots.finish(ax, "Growth of the squared gradient a layer; dotted: chi_1 = 1", "sigma_w", "sigma_b")

# %% [markdown]
# How deep may a network be off the line? Squared gradients (and, left of the line, differences between inputs) change by a factor $e$ over the **depth scale** $\xi = 1/|\ln\chi_1|$. Schoenholz et al. (2017) found that networks train up to a few times that depth; six is the number often quoted.

# %% [markdown]
# ## A paper in small: Schoenholz et al., 2017
#
# 40 tanh layers, $\sigma_b^2 = 0.05$, five scales, ten seeds. Prediction: it trains where $6\xi > 40$. Reduced: 32 units, 60 steps, and "trains" means that it leaves guessing. The learning rate is a constant divided by the depth: the change of the output is a sum over all layers, so that deeper networks need shorter steps.

# %%
squares, depth = [1.0, 1.3, 1.76, 3.0, 4.0], 40
roots, noise = torch.tensor(squares).sqrt(), 0.05**0.5
draws = stacks([64] + [32] * depth + [10])
weights = [torch.cat([root * W for root in roots]) for W in draws]
g = torch.Generator().manual_seed(1)
biases = [noise * torch.randn(10, W.shape[1], generator=g).repeat(5, 1) for W in draws]
tent = accuracies(weights, biases, [0.15 / depth], phi=torch.tanh, steps=60)[1].view(5, 10)
inside = [s / 100 for s in range(100, 400, 4) if 6 * depth_scale("tanh", (s / 100) ** 0.5, noise) > depth]

# %%
fig, ax = plt.subplots()
plots.plot_against_theory(ax, squares, {"accuracy": tent}, rough=True)
ax.axvspan(inside[0], inside[-1], color=plots.REFERENCE, alpha=0.2, linewidth=0)
plots.finish(ax, "Shaded, 6 xi > 40: a tent around the critical line", "sigma_w squared", "accuracy")

# %%
reach = [6 * depth_scale("tanh", float(root), noise) for root in roots]
learns = [bool(a.median() > 0.15) for a in tent]
table({"sigma_w squared": squares, "6 xi > 40": [r > depth for r in reach], "learns": learns})

# %% [markdown]
# All five scales as predicted; the one just inside the edge, only just. Move the point along the line and off it.

# %%
explorers.explore_phase_diagram()

# %% [markdown]
# ## Claim on trial: S5
#
# *Initialisation and learning rate decide whether gradients explode.*
#
# **Our prediction.** They do, together. In six ReLU layers the gradient at the start changes by $(\sigma_w^2/2)^3$: it is 60 times too large at twice He's scale, 60 times too small at half of it. So at the larger start a rate explodes (the loss grows tenfold) that is safe at He's scale; at the smaller one little
# explodes and little is learnt.

# %%
sigmas, rates = [0.7, 1.0, 2**0.5, 2.0, 2.8], [0.001, 0.01, 0.03, 0.3]
many = [torch.cat([s * W for s in sigmas]) for W in stacks([64] + [32] * 6 + [10])]
runs = [train_many(torch.relu, many, data, lr, steps=160, at=(80,)) for lr in rates]
share = lambda true: torch.stack(true).view(4, 5, 10).float().mean(-1)  # (rates, sigmas), of the ten seeds
tenfold = share([run.loss.nan_to_num(math.inf).amax(0) > 10 * run.loss[0] for run in runs])
good = share([run.accuracy[1] > 0.5 for run in runs])

# %%
fig, panels = plt.subplots(1, 2)
maps = {"Loss grows tenfold": tenfold, "Above 0.5 after 160 steps": good}
for ax, (name, values) in zip(panels, maps.items()):
    plots.plot_map(ax, range(5), range(4), values, limits=(0, 1))
    ax.set(xticks=range(5), xticklabels=[f"{s:.1f}" for s in sigmas], yticks=range(4), yticklabels=rates)
    plots.finish(ax, name, "sigma_w (He: 1.4)", "learning rate")

# %%
he, twice = (10 * tenfold[:, k] for k in (2, 4))  # networks of ten, by rate
many = "most" if twice[2] >= 7 else "few"
evidence = (
    f"Exploded at 0.03: twice He's scale {many}, He's {he[2]:.0f}/10. Twice He's at 0.001: {twice[0]:.0f}/10."
)
verdict("S5", "holds" if twice[0] <= 1 and many == "most" and he[2] <= 1 else "depends", evidence)

# %% [markdown]
# ### Exercise 05.6 · ●●● · 10 minutes
#
# Networks of 6 and of 20 layers, their widths between 24 and 144, with a leaky ReLU that passes negative numbers at half their size. Write `choose_std(fan_in, fan_out)`: the standard deviation for each layer's weights. The check draws networks with yours and trains them for 15 steps.


# %%
def choose_std(fan_in, fan_out):
    ### BEGIN SOLUTION
    return math.sqrt(2 / (1 + 0.5**2) / fan_in)
    ### END SOLUTION


choose_std = check("05.6", choose_std).function

# %% [markdown]
# ## On a real run
#
# It does not train? Before anything else, look at three numbers at step 0:
#
# - $\delta$ first over last: above 10 it explodes, below a tenth it vanishes. Change the scale.
# - the cosine between different inputs in the last hidden layer: above `0.99` the signal is dead. Centre the inputs; fewer layers, or a skip path (lesson 08).
# - both healthy: then it is the learning rate. From five layers on set the weights yourself (`torch.nn.init`).

# %% [markdown]
# ## Summary
#
# A layer's scale follows from counting: fan-in forward, fan-out backward, and what the activation lets through.
# The rules hold for a mean over networks; the typical narrow and deep network fades.
# Healthy norms are not enough: inputs that have become one direction can be told apart only very slowly, if at all.

# %% [markdown]
# ## Further reading
#
# - K. He et al., [Delving deep into rectifiers](https://arxiv.org/abs/1502.01852) (2015): the derivation for ReLU, and the two figures.
# - S. Schoenholz et al., [Deep information propagation](https://arxiv.org/abs/1611.01232) (2017): the depth scale and the tent.
# - D. Mishkin, J. Matas, [All you need is a good init](https://arxiv.org/abs/1511.06422) (2016): LSUV.
#
# [The solution of this lesson](../solutions/05_initialization.ipynb) · [Back to the start](00_start_here.ipynb)
