# %% [markdown]
# # 04 · Activations
#
# **Which activation keeps a gradient alive, and at which scale of the weights?**
#
# After this lesson you can
# - compute what an activation does to a gradient, from its slope and from where its signal lies,
# - find the one scale at which an activation neither explodes nor vanishes, or say that there is none,
# - tell a saturated unit from a dead one.
#
# About 100 minutes to work, 20 seconds to run. Needs: [lesson 03](03_exploding_gradients.ipynb). Next: [lesson 05](05_initialization.ipynb).

# %%
import math

import matplotlib.pyplot as plt
import torch
from torch.nn import functional as F

from gradutils import explorers, plots
from gradutils.course import check, predict, reveal, table, verdict
from gradutils.data import digits
from gradutils.meanfield import critical_sigma_w, predicted_gradient_profile, q_trajectory
from gradutils.propagation import gradient_profile
from gradutils.training import train_many

plots.use_style()

# %% [markdown]
# ## Predict
#
# Lesson 03 gave every layer a factor, the root of $\chi_1$. Half of it is the activation. It is often taught that ReLU has large derivatives and so amplifies gradients, while tanh tames them.
# Two networks of 40 layers, one with ReLU, one with tanh, the same weights at `sigma_w = 1.3`. The gradient goes back from the last layer to the first.

# %%
little, shrinks, much = "grows, less than tenfold", "shrinks", "grows more than tenfold"
predict("04.a", "On this way the gradient of the tanh network…", [little, shrinks, much])

# %% [markdown]
# ## What happens


# %%
def sizes_and_theory(names, scales, depth, width=128):
    sizes, expected = {}, {}
    for name, scale in zip(names, scales):
        profile = gradient_profile(depth, width, name, scale, batch=8).delta[0]
        sizes[name] = profile / profile[:, -1:]  # (seeds, depth), 1 in the last layer
        expected[name] = predicted_gradient_profile(name, depth, scale)
    return sizes, expected


# %%
fig, ax = plt.subplots()
sizes, expected = sizes_and_theory(["relu", "tanh"], [1.3, 1.3], 40)
plots.plot_depth_profile(ax, sizes, expected)
plots.finish(ax, "The same weights, sigma_w = 1.3: ReLU fades, tanh does not")

# %% tags=["reveal"]
grown = sizes["tanh"][:, 0].median()
wrong = {shrinks: "Its slopes are below 1, but the weights multiply as well, and at 1.3 they win."}
wrong |= {much: "At a larger scale it would. At 1.3 the factor per layer is only just above 1."}
reveal(
    "04.a", much if grown > 10 else little if grown > 1 else shrinks, f"By a factor of {grown:.0f}.", wrong
)

# %% [markdown]
# (`predicted_gradient_profile` is your `chi_by_layer` of lesson 03, multiplied up.) So the tame one grows and the wild one fades. What did the teaching overlook?

# %% [markdown]
# ## 1 · Slopes
#
# ### Exercise 04.1 · ●○○ · 6 minutes
#
# Write `slopes(phi, z)`. `phi` works entry by entry on `z`, a float tensor of any shape. Return two things: the slope of `phi` at every entry, of the shape of `z`, by autograd; and the largest size of a slope
# among them, a float.


# %%
def slopes(phi, z):
    ### BEGIN SOLUTION
    z = z.clone().requires_grad_()
    (slope,) = torch.autograd.grad(phi(z).sum(), z)
    return slope, slope.abs().max().item()
    ### END SOLUTION


slopes = check("04.1", slopes).function

# %%
activations = {"relu": torch.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid, "gelu": F.gelu}
z = torch.linspace(-4, 4, 801, dtype=torch.float64)
largest = {name: slopes(phi, z)[1] for name, phi in activations.items()}
colours = dict(zip(activations, plots.QUIET))
fig, ax = plt.subplots()
drawn = [ax.plot(z, slopes(phi, z)[0], color=colours[name])[0] for name, phi in activations.items()]
plots.label_lines(ax, dict(zip(drawn, activations)))
steepest = ", ".join(f"{name} {value:.2f}" for name, value in largest.items())
plots.finish(ax, f"Largest slopes: {steepest}", "z", "slope of phi")

# %% [markdown]
# The largest slope of ReLU is that of tanh. "Large derivatives" it cannot be. But ReLU keeps its slope however large $z$ is, and tanh has it near zero only.

# %% [markdown]
# ## 2 · Where the signal lies
#
# A unit does not stand where the slope is largest. It stands where its pre-activation $z$ puts it, and in a wide network $z$ is Gaussian with a mean square $q$. What a layer does to the squared gradient is
# a mean over that Gaussian: $\chi_1 = \sigma_w^2\, E[\varphi'(z)^2]$ (Poole et al. 2016, Schoenholz et al. 2017).
#
# ### Exercise 04.2 · ●●○ · 8 minutes
#
# Write `mean_square_slope(phi, q)`: the mean of $\varphi'(z)^2$ over a Gaussian $z$ with mean square `q`, a float, within 3 %. Draw samples or use quantiles, as you like; your `slopes` gives $\varphi'$.


# %%
def mean_square_slope(phi, q):
    ### BEGIN SOLUTION
    gauss = torch.special.ndtri((torch.arange(20_000).double() + 0.5) / 20_000)
    return float((slopes(phi, gauss * q**0.5)[0] ** 2).mean())
    ### END SOLUTION


mean_square_slope = check("04.2", mean_square_slope).function

# %%
qs = [0.1, 1.0, 10.0, 100.0]
columns = {
    f"q = {q:g}": [round(float(mean_square_slope(phi, q)), 2) for phi in activations.values()] for q in qs
}
table({"mean squared slope": activations} | {"largest slope": list(largest.values())} | columns)

# %% [markdown]
# For ReLU it is one half, for every $q$: half of the units are on. For tanh it starts at 1 and falls as the signal grows, because a large $z$ lies on the flat ends. Those units are **saturated**.
#
# In the explorer the signal (blue) lies on the slope (orange). Find for tanh a scale where most of the signal lies on the flat ends. Does the gradient shrink there? Look right.

# %%
explorers.explore_activation()

# %% [markdown]
# ## 3 · The price of being bounded
#
# It does not shrink. The slope of tanh is alive in a strip around zero. A Gaussian of standard deviation $\sigma_w$ has a share of about $1/\sigma_w$ in that strip. So
# $\chi_1 \approx \sigma_w^2 \cdot c/\sigma_w = c\,\sigma_w$: saturation takes one power of the weights' two, not both. With $c = \frac{1}{\sqrt{2\pi}}\int \varphi'^2 dz$:

# %%
c = float(torch.trapezoid(slopes(torch.tanh, 3 * z)[0] ** 2, 3 * z)) / math.sqrt(2 * math.pi)
print(f"c = {c:.3f}: at sigma_w = 10 a gradient grows by about {math.sqrt(10 * c):.1f} a layer.")

# %%
scales, L = [0.5, 1.0, 1.3, 2.0, 4.0, 8.0, 16.0, 32.0], 20
growth, theory = {}, {}
for name in ("relu", "tanh", "sigmoid"):
    delta = gradient_profile(L, 128, name, scales, batch=8, dtype=torch.float64).delta  # (scales, seeds, L)
    growth[name] = (delta[..., 0] / delta[..., -1]) ** (1 / (L - 1))
    predicted = [predicted_gradient_profile(name, L, scale)[0] for scale in scales]
    theory[name] = torch.stack(predicted) ** (1 / (L - 1))

# %% [markdown]
# Before you look, two guesses about the sigmoid, whose slope is at most a quarter. Where does a layer of it neither shrink nor enlarge a gradient? And what do still larger weights do?

# %%
at_4, at_10, nowhere = "about 4", "about 10", "none, it always shrinks"
predict("04.b", "The sigma_w at which sigmoids keep the size of a gradient is…", [at_4, at_10, nowhere])

# %%
by_root, by_two, by_one = "rises by a factor of 1.4", "doubles", "stays nearly as it is"
predict("04.c", "If sigma_w is large and doubles, the sigmoids' growth per layer…", [by_root, by_two, by_one])

# %%
fig, ax = plt.subplots()
plots.plot_against_theory(ax, scales, growth, list(theory.values()), log="xy")
ax.axhline(1, color=plots.REFERENCE, linewidth=0.8)
plots.finish(ax, "All three explode, at their own scale", "sigma_w", "growth of delta a layer")

# %% [markdown]
# On logarithmic axes the line of ReLU has slope one, that of tanh at large scales one half. (At the largest scale tanh lies somewhat below its theory: 128 units are not endlessly many.)
#
# ## Claim on trial: S7
#
# *Sigmoid and tanh keep gradients in a manageable range* (often taught, because their values are bounded).
#
# **Our prediction.** No: bounded values do not bound gradients. Over 50 layers of tanh at `sigma_w = 10` and over 20 of sigmoid at `sigma_w = 32` the gradient grows; over 20 of sigmoid at `sigma_w = 1` it
# vanishes. A control: tanh at 1.

# %%
arms = {"tanh, 10, 50 layers": ("tanh", 10.0, 50), "sigmoid, 32, 20 layers": ("sigmoid", 32.0, 20)}
arms |= {"sigmoid, 1, 20 layers": ("sigmoid", 1.0, 20), "tanh, 1, 20 layers": ("tanh", 1.0, 20)}
totals, foretold = {}, []
for name, (phi, scale, depth) in arms.items():
    delta = gradient_profile(depth, 96, phi, scale, batch=8, dtype=torch.float64).delta[0]
    totals[name] = (delta[:, 0] / delta[:, -1]).log10()  # (seeds,)
    foretold.append(float(predicted_gradient_profile(phi, depth, scale)[0].log10()))
powers = [round(float(rows.median())) for rows in totals.values()]
table({"power of ten": arms, "median of 10": powers, "predicted": [round(power) for power in foretold]})

# %%
wild, steep, asleep, control = ((rows.min(), rows.max()) for rows in totals.values())
refuted = wild[0] > 6 and steep[0] > 2 and asleep[1] < -6 and control[0] > -2 and control[1] < 0
evidence = "tanh past 1e6 and sigmoid past 1e2 in 10/10; sigmoid at 1 below 1e-6; tanh at 1 within 1e-2."
verdict("S7", "refuted" if refuted else "depends", evidence if refuted else "Not all arms agree.")

# %% [markdown]
# ## Claim on trial: W4
#
# *The slope of a sigmoid is at most a quarter. So it shrinks a gradient to a quarter a layer at most, and weights four times as large repair it.* The first half is often taught; the second is the question that follows.

# %% [markdown]
# **Our prediction.** At `sigma_w = 4` the signal is larger, too, and lies further out on the slope: about six tenths a layer, not one. And at `sigma_w = 1` a network shrinks gradients *faster* than a quarter, since units rarely stand at zero exactly.

# %% tags=["reveal"]
kept = min([s for s, rows in zip(scales, growth["sigmoid"]) if rows.median() > 1], default=math.inf)
wrong = {at_4: "Four quarters are one only for a unit at zero. Larger weights spread the units out."}
wrong |= {nowhere: "Fewer units have a slope, but weights multiply by more than that takes away."}
because = f"The line crosses 1 before {kept:g}. Theory puts that at {critical_sigma_w('sigmoid'):.0f}."
reveal("04.b", at_4 if kept <= 4 else at_10 if kept <= 16 else nowhere, because, wrong)
times = (growth["sigmoid"][-1] / growth["sigmoid"][-3]).median().sqrt()  # two doublings
wrong = {by_two: "So it is for ReLU, whose slopes do not change. Here fewer units keep a slope."}
wrong |= {by_one: "Only the values are bounded. Saturation takes one of the two powers of sigma_w."}
answer = by_two if times > 1.7 else by_root if times > 1.2 else by_one
reveal("04.c", answer, "As with tanh, its square keeps one of two powers of sigma_w.", wrong)
one, four = growth["sigmoid"][1], growth["sigmoid"][4]  # (seeds,), at sigma_w = 1 and 4
evidence = (
    f"{four.median():.2f} a layer at 4 ({theory['sigmoid'][4]:.2f} predicted); {one.median():.2f} at 1."
)
verdict("W4", "refuted" if four.max() < 0.8 and one.max() < 0.25 else "depends", evidence)

# %% [markdown]
# ## 4 · The one scale
#
# Deep in a network $q$ has settled: what comes in goes out. The growth *there* decides what many layers do.
#
# ### Exercise 04.3 · ●●○ · 8 minutes
#
# Write `settled_growth(phi, sigma_w)`. Start at $q = 1$. Send it through 50 layers of the length map $q \to \sigma_w^2 E[\varphi(z)^2]$, with $z$ Gaussian of mean square $q$. Then return $\sqrt{\chi_1}$ at that $q$, within 3 %. (Your `mean_square_slope` is $E[\varphi'(z)^2]$.)


# %%
def settled_growth(phi, sigma_w):
    ### BEGIN SOLUTION
    gauss, q = torch.special.ndtri((torch.arange(2000).double() + 0.5) / 2000), 1.0
    for _ in range(50):
        q = sigma_w**2 * float((phi(gauss * q**0.5) ** 2).mean())
    return sigma_w * mean_square_slope(phi, q) ** 0.5
    ### END SOLUTION


settled_growth = check("04.3", settled_growth).function

# %% [markdown]
# ### Exercise 04.4 · ●●○ · 8 minutes
#
# Write `crossing(f, g, low, high)`. `f` and `g` take a float and return one. At `low` one of them is above, at `high` the other. Return the float in between at which they are equal, right to four digits. (Halve the
# interval 20 times: at its middle, which is above?)


# %%
def crossing(f, g, low, high):
    ### BEGIN SOLUTION
    first = f(low) > g(low)
    for _ in range(20):
        middle = (low + high) / 2
        if (f(middle) > g(middle)) == first:
            low = middle
        else:
            high = middle
    return (low + high) / 2
    ### END SOLUTION


crossing = check("04.4", crossing).function

# %% [markdown]
# One function, two questions. First: where is the growth exactly 1? That is the **critical scale** of an activation. `critical_sigma_w` of the package solves it without the 50 layers.

# %%
critical = {"relu": torch.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid, "erf": torch.erf}
growths = [lambda s, phi=phi: settled_growth(phi, s) for phi in critical.values()]
found = [crossing(growth_at, lambda s: 1.0, 0.5, 20.0) for growth_at in growths]
exact, yours = (
    {name: critical_sigma_w(name) for name in critical},
    [round(float(value), 1) for value in found],
)
table({"critical scale": critical, "yours, 50 layers": yours, "endless depth": list(exact.values())})

# %% [markdown]
# Xavier's scale is 1, right for tanh; He's is $\sqrt2$, right for ReLU. (Why they found them is lesson 05.) The sigmoid's is ten times Xavier's.
#
# Second: below which scale does tanh grow faster than ReLU?

# %%
relu_at, tanh_at = (lambda s, phi=phi: settled_growth(phi, s) for phi in (torch.relu, torch.tanh))
equal = float(crossing(relu_at, tanh_at, 1.2, 4.0))
print(f"They are equal at {equal:.2f}.")

# %% [markdown]
# ## Claim on trial: S4
#
# *ReLU has large derivatives and so amplifies gradients.*
#
# **Our prediction.** Its largest slope is that of tanh. Below the crossing tanh has the larger factor. Above it ReLU does, not by its slope, but because it does not saturate. A control that has small slopes and no bound: the leaky ReLU
# with both slopes halved. At `sigma_w = 16` it should outgrow tanh, whose largest slope is twice its own.

# %%
at = lambda name, scale: growth[name][scales.index(scale)]  # (seeds,)
half = lambda z: F.leaky_relu(z / 2, 0.1)
halved = gradient_profile(L, 128, half, 16.0, batch=8, dtype=torch.float64).delta[0]
halved = (halved[:, 0] / halved[:, -1]) ** (1 / (L - 1))
below, above = (int((at("tanh", s) > at("relu", s)).sum()) for s in (1.3, 4.0))
outgrown = int((halved > at("tanh", 16.0)).sum())
evidence = (
    f"tanh grows faster in {below}/10 at 1.3, {above}/10 at 4; at 16 half a slope wins in {outgrown}/10."
)
verdict("S4", "refuted" if below >= 9 and above <= 1 and outgrown >= 9 else "depends", evidence)

# %% [markdown]
# In practice the claim is half right: badly scaled, large weights explode sooner under ReLU. The reason it gives is wrong, and with it the remedy: a smaller slope does not help, a matched scale does.

# %% [markdown]
# ## 5 · Critical is not preserved, and some have no such scale
#
# Each activation at its own critical scale, 50 layers:

# %%
fig, ax = plt.subplots()
sizes, expected = sizes_and_theory(exact, exact.values(), 50)
plots.plot_depth_profile(ax, sizes, expected, colours=dict(zip(exact, colours.values())))
plots.finish(ax, "Each at its critical scale: no exponential is left")

# %% [markdown]
# "Critical" means that no exponential is left, not that nothing is lost. At their critical scales tanh and erf (the error function, a close relative) send $q$ towards zero, slowly; on the way $\chi_1$ is a little below 1, and that adds up. ReLU and the sigmoid stay near 1. Now GELU: does its signal settle?

# %%
paths = {f"q = {q:g}": q_trajectory("gelu", math.sqrt(2.4), q0=q, depth=40) for q in (0.1, 0.5, 1.0, 3.0)}
fig, ax = plt.subplots()
plots.plot_history(ax, paths, ylabel="q", xlabel="layer")
plots.finish(ax, "GELU, sigma_w squared = 2.4: it fades or explodes, by the start")

# %% [markdown]
# A small signal sees a mean squared slope of a quarter, a large one of one half. No scale is right for both, so GELU, SiLU and softplus have no stable critical scale, and `critical_sigma_w("gelu")` says so. They live on normalisation (lesson 08).
#
# ### Exercise 04.5 · ●●● · 10 minutes
#
# Design your own. Write `steady(z)`: elementwise, not a straight line, and such that in random networks at `sigma_w = 3` the gradient crosses up to 30 layers within a factor of 10. There are many right answers;
# the check builds networks with yours, on inputs of RMS 1 and of RMS `0.2`, and measures. (GELU fails for the small ones.)


# %%
def steady(z):
    ### BEGIN SOLUTION
    return torch.relu(z) * math.sqrt(2) / 3
    ### END SOLUTION


steady = check("04.5", steady).function

# %% [markdown]
# ## 6 · Saturated and dead
#
# Two ways for a unit to lose its slope. A saturated unit has nearly none, and comes back when its input shrinks. A **dead** one, after ReLU, is zero for every image: its slope is exactly zero, and no gradient will ever move its weights.
#
# ### Exercise 04.6 · ●○○ · 5 minutes
#
# Write `dead_fraction(h)`. `h` is (B, n): the outputs of a ReLU layer, one row an image. Return the fraction of its units that are 0 for all images, a float.


# %%
def dead_fraction(h):
    ### BEGIN SOLUTION
    return float((h == 0).all(0).float().mean())
    ### END SOLUTION


dead_fraction = check("04.6", dead_fraction).function


# %% [markdown]
# What kills them, and do they come back? One layer of 64 units with biases on the digits, plain descent on 100 images: 20 steps at a rate that may be too large, then 80 at a small one. Ten seeds. The
# control is a leaky ReLU: for negative $z$ it keeps a tenth of the slope.


# %%
def leaky(z):
    return F.leaky_relu(z, 0.1)


def dead_after(phi, lr, seeds=10):
    draw = torch.Generator().manual_seed(0)
    randn = lambda n, m: torch.randn(seeds, n, m, generator=draw) / m**0.5
    parameters, counts = [2**0.5 * randn(64, 64), torch.zeros(seeds, 1, 64), randn(10, 64)], []
    for step in range(101):
        W, b, V = parameters = [p.detach().requires_grad_() for p in parameters]
        z = images @ W.mT + b
        if step in (20, 100):
            counts.append([dead_fraction(torch.relu(rows)) for rows in z.detach()])
        loss = -(phi(z) @ V.mT).log_softmax(-1)[:, torch.arange(100), labels].mean(1).sum()
        grads = torch.autograd.grad(loss, parameters)
        parameters = [p - (lr if step < 20 else 0.1) * g for p, g in zip(parameters, grads)]
    return counts  # after the large steps and after the small ones, each (seeds)


# %%
images, labels, lrs = digits().x_train[:100], digits().y_train[:100], [0.1, 0.5, 2.0, 5.0]
dead = {phi.__name__: torch.tensor([dead_after(phi, lr) for lr in lrs]) for phi in (torch.relu, leaky)}
when = ("after large steps", "80 small steps later")
counts = {f"{name}, {when[k]}": both[:, k] for name, both in dead.items() for k in (0, 1)}

# %%
fig, ax = plt.subplots()
plots.plot_against_theory(ax, lrs, counts, log="x", rough=True)
plots.finish(ax, "Steps that are too long kill units", "learning rate", "units silent for every image")

# %% [markdown]
# No theory is drawn: nothing here was derived. The rate does it, by throwing biases and weights so far that no image reaches the unit any more. The two ReLU lines are one: no unit came back. Some leaky units do, not soon: a tenth of a slope is little.

# %% [markdown]
# ## 7 · Does the scale decide training?
#
# Ten hidden layers of 24 units on the digits, four rates (the last far too large for most), ten seeds, SGD. Each activation at its own critical scale; then all at Xavier's `sigma_w = 1`. Accuracy on the test digits after 50 steps and after 150.


# %%
def accuracies(phi, scale, depth=10, width=24):  # (2 budgets, rates, 10 seeds)
    generator, sizes = torch.Generator().manual_seed(0), [64] + [width] * depth + [10]
    draw = lambda m, n: torch.randn(10, m, n, generator=generator, dtype=torch.float64) / n**0.5
    weights = [(scale * draw(m, n)).float() for m, n in zip(sizes[1:], sizes)]
    lr = torch.tensor(rates).repeat_interleave(10)
    return train_many(phi, weights, digits(), lr, steps=150, at=(50,)).accuracy.view(2, len(rates), 10)


# %%
rates = [0.003, 0.01, 0.03, 1.0]
own = {"relu": accuracies(torch.relu, exact["relu"]), "tanh": accuracies(torch.tanh, 1.0)}
own["sigmoid"] = accuracies(torch.sigmoid, exact["sigmoid"])

# %%
one = {"relu": accuracies(torch.relu, 1.0), "tanh": own["tanh"], "sigmoid": accuracies(torch.sigmoid, 1.0)}

# %%
fig, axes = plt.subplots(1, 2, sharey=True)
for ax, arms, title in zip(axes, (own, one), ("Own critical scale", "sigma_w = 1 for all")):
    plots.plot_against_theory(ax, rates, {name: a[1] for name, a in arms.items()}, log="x", rough=True)
    plots.finish(ax, f"{title}, 150 steps", "learning rate", "test accuracy")
    ax.set_xticks(rates, rates)
    ax.minorticks_off()

# %%
rows = {f"{name}, own": a for name, a in own.items()} | {
    f"{name}, 1": one[name] for name in ("relu", "sigmoid")
}
words = lambda hits: "all" if hits >= 9 else "none" if hits <= 1 else "some"
best = [a.median(2).values.argmax(1) for a in rows.values()]  # of each budget the best rate
counts = [
    [(a[k, i[k]] > level).sum() for k in (0, 1) for level in (0.3, 0.6)] for a, i in zip(rows.values(), best)
]
heads = ["above 0.3, 50 steps", "above 0.6, 50 steps", "above 0.3, 150 steps", "above 0.6, 150 steps"]
table({"at its best rate": rows} | {h: list(map(words, column)) for h, column in zip(heads, zip(*counts))})

# %% [markdown]
# A matched scale is what makes the difference: ReLU gains most, and the sigmoid, which at `sigma_w = 1` leaves guessing at no rate, begins to move. (What could arrive in its first layer is too small for a rate that the last layer survives.) A matched scale does not make activations equal: the sigmoid learns slowly at its own. There most of its units are saturated. ReLU at 1 still learns, given time: ten layers lose less than forty.

# %% [markdown]
# ## A paper in small: Glorot and Bengio, 2010
#
# They asked why deep tanh networks trained badly with the standard weights of the day, uniform with variance $\frac{1}{3n}$, and proposed a normalised scale (their equation 16), which between equal layers is $\frac1n$. Their figure 7 shows the gradients sent back: with the standard weights they shrink
# layer by layer. Their argument is for the linear part of tanh: from layer five to layer one a factor of $3^{-2}$ with the standard, exactly 1 with the normalised weights. Reduced: 384 units instead of 1000, Gaussian weights, random inputs of mean
# square 1.

# %%
linear = {"standard": 3**-2.0, "normalised": 1.0}
glorot = [gradient_profile(5, 384, "tanh", s, batch=8).delta[0] for s in (3**-0.5, 1.0)]
ratios = [float((delta[:, 0] / delta[:, -1]).median()) for delta in glorot]
mean_field = [float(predicted_gradient_profile("tanh", 5, s)[0]) for s in (3**-0.5, 1.0)]
columns = {"measured": ratios, "linear theory": list(linear.values()), "with the slopes": mean_field}
table({"first over last layer": linear} | columns)

# %% [markdown]
# They were right about which scale is better. The linear theory is wrong by more than a factor of two for the better one: at inputs of this size tanh is no longer linear. With the mean squared slope in it, no fit, the theory lies within a twentieth of the measurement.

# %% [markdown]
# ## On a real run
#
# - Choose the scale with the activation: `sigma_w` is $\sqrt2$ for ReLU, about 1 for tanh. Change one, change both.
# - Print for each layer the share of saturated or dead units on one batch (`Recorder` keeps `dead_fraction` and `saturated_fraction`).
# - GELU and SiLU have no scale of their own: without normalisation do not stack them deep.
# - Dead units after a spike of the loss do not return. Lower the rate, and start again from before the spike.

# %% [markdown]
# ## Summary
#
# What an activation does to a gradient is its mean squared slope where the signal lies, not its largest slope.
# Bounded activations explode as well, more slowly, and vanish when the weights are small.
# Most activations have one scale that is neither; it keeps gradients alive, but does not make all activations equal.

# %% [markdown]
# ## Further reading
#
# - X. Glorot, Y. Bengio, [Understanding the difficulty of training deep feedforward neural networks](https://proceedings.mlr.press/v9/glorot10a.html) (2010): saturation watched during training.
# - B. Poole et al., [Exponential expressivity in deep neural networks through transient chaos](https://arxiv.org/abs/1606.05340) (2016): the length map and $\chi_1$.
# - G. Klambauer et al., [Self-normalizing neural networks](https://arxiv.org/abs/1706.02515) (2017): an activation designed for a scale.
#
# [The solution of this lesson](../solutions/04_activations.ipynb) · [Back to the start](00_start_here.ipynb)
