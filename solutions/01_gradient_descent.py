# %% [markdown]
# # 01 · Gradient descent
#
# **When does a step that follows the slope make things worse?**
#
# After this lesson you can
# - say from one number whether gradient descent will converge, oscillate or diverge,
# - measure the steepest curvature of a model on real data, and get its largest stable learning rate from it,
# - tell at which step a diverging run stops being a number.
#
# About 60 to 90 minutes to work (pause after section 5), half a minute to run. Needs: [lesson 00](00_start_here.ipynb). Next: [lesson 02](02_backpropagation.ipynb).

# %%
import math

import matplotlib.pyplot as plt
import torch
from tqdm.auto import tqdm

from gradutils import explorers, plots
from gradutils.course import check, predict, reveal, table, verdict
from gradutils.data import digits, quadratic

plots.use_style()

# %% [markdown]
# ## Predict
#
# A valley: the loss is $2x^2$. We start at $x = 1$ and walk downhill with a fixed learning rate.
# At a rate of `0.45` the loss falls. We take a slightly larger rate, `0.55`.

# %%
options = ["it falls a little faster", "it falls while x jumps from side to side", "it grows without bound"]
predict("01.a", "What does the loss do at the learning rate 0.55?", options)

# %% [markdown]
# ## What happens

# %%
losses = {}
for lr in (0.1, 0.45, 0.55):
    x, curve = 1.0, []
    for _ in range(40):
        curve.append(2 * x**2)
        x = x - lr * 4 * x  # the slope of 2 x**2 is 4 x
    losses[f"lr = {lr}"] = curve
fig, ax = plt.subplots()
plots.plot_history(ax, losses)
plots.finish(ax, "A slightly larger step, and downhill becomes uphill")

# %%
growth = losses["lr = 0.55"][-1] / losses["lr = 0.55"][0]
reveal("01.a", "c" if growth > 1 else "a", f"The last loss is {growth:.1e} times the first.")

# %% [markdown]
# The step always pointed downhill. It was too long: it landed on the other side of the valley, higher than it began.
# Then the slope there was steeper, and the next step was longer still.
# Where exactly is the edge?

# %% [markdown]
# ## 1 · The step
#
# Gradient descent knows one thing about the loss: its slope where it stands.
# It goes against the slope, by an amount in proportion to it:
#
# $$x \leftarrow x - \mathrm{lr} \cdot \nabla L(x)$$
#
# `lr` is the **learning rate**.
#
# ### Exercise 01.1 · ●○○ · 3 minutes
#
# Write `step(x, gradient, lr)`. `x` and `gradient` are tensors of the same shape; `lr` is a number, or
# a tensor that broadcasts (a rate for every row). Return the new `x`; leave the old one as it is. Replace the three dots and run the cell.


# %%
def step(x, gradient, lr):
    ### BEGIN SOLUTION
    return x - lr * gradient
    ### END SOLUTION


step = check("01.1", step).function

# %% [markdown]
# From here on `step` is your own function, once it is right. Until then a reference stands in, so you can go on reading.
#
# The whole algorithm is that step, repeated:


# %%
def descend(gradient_of, x, lr, steps):
    path = [x]
    for _ in range(steps):
        path.append(step(path[-1], gradient_of(path[-1]), lr))
    return torch.stack(path)


start = torch.tensor(1.0).double()
fig, axes = plt.subplots(1, 3, sharey=True)
for ax, lr in zip(axes, (0.125, 0.375, 0.525)):
    path = descend(lambda x: 4 * x, start, lr, steps=8)
    plots.plot_path_1d(ax, lambda x: 2 * x**2, path, low=-2.4, high=2.4)
    plots.finish(ax, f"lr = {lr}")

# %% [markdown]
# Left: every step lands short of the minimum. Middle: every step crosses it and still lands nearer.
# Right: every step crosses it and lands further away.

# %% [markdown]
# ## 2 · One number decides
#
# Call the **curvature** of the valley $\lambda$ (lambda): for the loss $\lambda x^2/2$ the slope is $\lambda x$. Put it into the step:
#
# $$x \leftarrow x - \mathrm{lr}\,\lambda x = (1 - \mathrm{lr}\,\lambda)\,x$$
#
# Every step multiplies $x$ by the same factor. Neither the rate nor the curvature matters alone; their product does. (The valley above, $2x^2$, has the
# curvature 4.)
#
# ### Exercise 01.2 · ●●○ · 6 minutes
#
# Write `regime(lr, curvature)`: both are numbers. Return `"monotone"`, `"oscillating"` or `"diverging"`.
# The curvature may be negative: then the point is the top of a hill. Exactly on an edge either answer is taken.


# %%
def regime(lr, curvature):
    ### BEGIN SOLUTION
    factor = 1 - lr * curvature
    return "diverging" if abs(factor) > 1 else "monotone" if factor >= 0 else "oscillating"
    ### END SOLUTION


regime = check("01.2", regime).function

# %% [markdown]
# ## Claim on trial: S1
#
# *In steep regions a step overshoots: first it oscillates, then it diverges.* Often taught, rarely with a number.
#
# **Our prediction.** A step begins to cross the minimum when lr times the curvature passes 1, and the run diverges when it passes 2, where the curvature is that
# of the steepest direction. And the loss? We take ten random valleys in 20 dimensions and set lr on either side of both edges.
#
# (For the valley above the edges are `0.25` and `0.5`.)

# %%
torch.manual_seed(0)
H = torch.stack([quadratic(0.02 + torch.rand(20), seed) for seed in range(10)])  # (10, 20, 20)
steepest = torch.linalg.eigvalsh(H)[:, -1].view(10, 1, 1)
begin = torch.randn(10, 20, 1).double()


# %%
def farther(end):  # in how many of the ten valleys does x end further out? (a NaN counts)
    return int((~(end.norm(dim=1) < begin.norm(dim=1))).sum())


products = [0.5, 0.99, 1.01, 1.5, 1.99, 2.01]
runs = [descend(lambda x: H @ x, begin, p / steepest, 1000) for p in products]  # each (1001, 10, 20, 1)
top = torch.linalg.eigh(H).eigenvectors[..., -1:].mT  # (10, 1, 20): the steepest directions
crossed = [int((top @ run[0] * (top @ run[1]) < 0).sum()) for run in runs]
rises = [int(((run.mT @ H @ run).diff(dim=0)[:300] > 0).any(0).sum()) for run in runs]
diverged = [farther(run[-1]) for run in runs]
columns = {
    "lr * curvature": products,
    "it crosses": crossed,
    "the loss rises": rises,
    "it diverges": diverged,
}
table(columns)

# %% [markdown]
# The numbers count valleys out of ten. Between the edges $x$ swings from side to side, and the loss falls all the same: the loss curve does not show it.

# %%
exact = crossed == [0, 0, 10, 10, 10, 10] and diverged == [0, 0, 0, 0, 0, 10]
evidence = f"Crossing begins between 0.99 ({crossed[1]} of 10 valleys) and 1.01 ({crossed[2]} of 10), "
evidence += f"divergence between 1.99 ({diverged[4]} of 10) and 2.01 ({diverged[5]} of 10)."
verdict("S1", "holds" if exact else "refuted", evidence)

# %% [markdown]
# ## 3 · Many directions, one learning rate
#
# A loss of many parameters has a curvature in every direction. They are collected in the **Hessian** $H$, the matrix of second
# derivatives. Along its eigenvectors the directions do not mix: each is a valley of its own, and its curvature is the eigenvalue.
#
# ### Exercise 01.3 · ●●○ · 6 minutes
#
# Write `critical_lr(H)`: `H` is a symmetric (n, n) tensor. Return the learning rate above which some direction that curves upwards
# diverges. Directions of negative curvature run away at every rate, so leave them out.


# %%
def critical_lr(H):
    ### BEGIN SOLUTION
    return 2 / torch.linalg.eigvalsh(H)[-1].item()
    ### END SOLUTION


critical_lr = check("01.3", critical_lr).function

# %% [markdown]
# One learning rate has to serve all directions. The steepest limits it. The flattest has to wait.

# %%
valley, corner = quadratic([10.0, 0.5], seed=1), torch.tensor([1.0, 1.0]).double()
fig, axes = plt.subplots(1, 3, sharey=True)
for ax, fraction in zip(axes, (0.25, 0.95, 1.01)):
    path = descend(lambda x: valley @ x, corner, fraction * critical_lr(valley), 15)
    plots.plot_path_2d(ax, valley, path, reach=1.6)
    plots.finish(ax, f"{fraction} of the limit")

# %% [markdown]
# The ratio of the largest to the smallest curvature is the **condition number** $\kappa$ (kappa). Near the limit the steep
# direction shakes, while the flat one still creeps. Move the sliders: can you make one direction diverge and the other converge?

# %%
explorers.explore_learning_rate()

# %% [markdown]
# ## 4 · Momentum
#
# Momentum keeps a velocity. **Heavy ball** (Polyak 1964) adds up the gradients, while the old ones fade by a factor $\beta$:
#
# $$v \leftarrow \beta v + \nabla L(x), \qquad x \leftarrow x - \mathrm{lr}\, v$$
#
# ### Exercise 01.4 · ●○○ · 5 minutes
#
# Write `heavy_ball(x, v, gradient, lr, beta)`. The tensors have one shape; `lr` and `beta` are numbers, or tensors that broadcast. Return the pair `x, v`, both new.


# %%
def heavy_ball(x, v, gradient, lr, beta):
    ### BEGIN SOLUTION
    v = beta * v + gradient
    return x - lr * v, v
    ### END SOLUTION


heavy_ball = check("01.4", heavy_ball).function

# %% [markdown]
# **Nesterov's** variant (1983) differs in one thing: it takes the gradient not where it stands, but where the velocity is about to carry it. It
# looks ahead. That sounds safer.

# %%
question = "Plain descent diverges at lr * curvature = 2. Nesterov's edge, at beta = 0.9, is…"
predict("01.b", question, ["higher than 2", "exactly 2", "lower than 2"])

# %% [markdown]
# A run that just changes sides for ever, $x_k = (-1)^k$, neither shrinks nor grows: an edge, if nothing else gives way before. With $p$ for lr times curvature:
#
# - plain: $-x = x - p\,x$, so $p = 2$
# - heavy ball: the velocity adds $\beta$ times the last move, $2x$. So $-x = x + 2\beta x - p\,x$, and $p = 2 + 2\beta$
# - Nesterov: as before, but the gradient is seen from $x + 2\beta x$. So $-x = x + 2\beta x - p\,(1 + 2\beta)\,x$, and $p = (2 + 2\beta)/(1 + 2\beta)$


# %%
def end_of_run(p, look_ahead, beta=0.9):
    x, v, lr = begin, torch.zeros_like(begin), p / steepest
    for _ in range(1000):
        seen_from = x - lr * beta * v if look_ahead else x
        x, v = heavy_ball(x, v, H @ seen_from, lr, beta)
    return x


edges = {"heavy ball": 2 + 2 * 0.9, "Nesterov": (2 + 2 * 0.9) / (1 + 2 * 0.9)}
below = [farther(end_of_run(0.99 * p, name == "Nesterov")) for name, p in edges.items()]
above = [farther(end_of_run(1.01 * p, name == "Nesterov")) for name, p in edges.items()]
table({"method": edges, "edge": edges.values(), "diverge 1 % below": below, "1 % above": above})

# %%
lower = edges["Nesterov"] < 2 and (below[1], above[1]) == (0, 10)
because = "While x changes sides the velocity points outwards: ahead is further out, and corrects too much."
reveal("01.b", "c" if lower else "a", because)

# %% [markdown]
# ### A paper in small: the rate map of momentum
#
# G. Goh, *Why momentum really works* (Distill, 2017), writes a step of heavy ball as a 2 x 2 matrix and reads its fate from the eigenvalues.
# The determinant is $\beta$. So where the eigenvalues are complex both have the size $\sqrt{\beta}$: the distance shrinks by that a step, whatever the learning rate.
# The edge is lr times curvature = $2 + 2\beta$. We run your `heavy_ball` on a grid. Reduced against the paper: one direction, a fixed start.

# %%
product, beta = torch.arange(0.05, 4.2, 0.05).double(), torch.arange(0, 0.96, 0.025).double()[:, None]
x, v, sizes = torch.ones(39, 83).double(), torch.zeros(39, 83).double(), []
for _ in range(200):
    old, (x, v) = x, heavy_ball(x, v, x, product, beta)  # on x**2 / 2 the gradient is x, so lr is the product
    sizes.append(torch.hypot(x, old))
factor = (sizes[-1] / sizes[99].clamp(min=1e-300)) ** (1 / 100)

# %%
trace = (1 + beta - product).to(torch.complex128)  # of the matrix of a step; its determinant is beta
root = (trace**2 - 4 * beta).sqrt()
theory = torch.maximum((trace + root).abs(), (trace - root).abs()) / 2  # the size of the larger eigenvalue
print(f"measured minus predicted, median size: {(factor - theory).abs().median():.0e}")
fig, ax = plt.subplots()
plots.plot_map(ax, product, beta, factor, theory, levels=[0.7, 0.8, 0.9, 1], limits=(0.5, 1.2))
plots.finish(ax, "Factor a step: colours measured, dotted lines predicted", "lr * curvature", "beta")

# %%
explorers.explore_momentum()

# %% [markdown]
# Try Nesterov in the explorer, and watch the edge fold inwards as beta grows.
#
# What is momentum for, then? It shortens the wait of the flat directions. With the best fixed rate plain descent needs about
# $\kappa/2$ steps for every factor of $e$; heavy ball with the best rate and beta needs about $\sqrt\kappa/2$.


# %%
def steps_needed(kappa, lr, beta):
    curvature, count = torch.tensor([kappa, 1.0]).double(), 0
    x, v = torch.ones(2).double(), torch.zeros(2).double()
    while x.norm() > 1e-6 * math.sqrt(2):
        (x, v), count = heavy_ball(x, v, curvature * x, lr, beta), count + 1
    return count


# %%
kappas = [10, 30, 100, 300, 1000]
plain = [steps_needed(k, 2 / (k + 1), 0.0) for k in kappas]
ball = [steps_needed(k, 4 / (k**0.5 + 1) ** 2, ((k**0.5 - 1) / (k**0.5 + 1)) ** 2) for k in kappas]
waits = [k / 2 * math.log(1e6) for k in kappas], [k**0.5 / 2 * math.log(1e6) for k in kappas]
fig, ax = plt.subplots()
plots.plot_against_theory(ax, kappas, {"plain": plain, "heavy ball": ball}, waits, log="xy")
plots.finish(ax, "Momentum takes the root of the wait", "condition number", "steps to a millionth")

# %% [markdown]
# Heavy ball needs somewhat more than its theory: right at the best setting its two eigenvalues coincide, and the distance first grows before it shrinks.

# %% [markdown]
# ## 5 · How long until it is no number
#
# A diverging run grows by the same factor at every step, so the step at which it leaves the finite numbers can be computed.
# Half precision (`float16`) ends at 65504, `float32` near $10^{38}$.
#
# ### Exercise 01.5 · ●●● · 10 minutes
#
# The loss is $x^2/2$, so a step is `x = x - lr * x`, from $x = 1$, with `lr` above 2. Write `steps_to_overflow(lr, largest)`, the number
# of steps after which `x` is no longer finite. `largest` is the largest number of the format. Mind the order in which a
# computer evaluates `x - lr * x`.


# %%
def steps_to_overflow(lr, largest):
    ### BEGIN SOLUTION
    fits = math.floor(math.log(largest / lr) / math.log(abs(1 - lr)))  # the last k at which lr * x still fits
    return fits + 2
    ### END SOLUTION


steps_to_overflow = check("01.5", steps_to_overflow).function

# %%
for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
    path = descend(lambda x: x, torch.tensor(1.0, dtype=dtype), lr=2.1, steps=8000)
    predicted = steps_to_overflow(2.1, torch.finfo(dtype).max)
    print(f"{dtype}: predicted {predicted}, measured {int(path.isfinite().sum())}")

# %% [markdown]
# Double precision only delays the end. One format misses its prediction by a few steps: `bfloat16` keeps about three digits, so every
# product is rounded by up to half a percent, and the roundings add up over hundreds of steps.

# %% [markdown]
# ## 6 · Real data
#
# So far every loss was a perfect valley. Now 150 of the handwritten digits from lesson 00, and softmax regression: ten scores, each a weighted sum of
# the pixels, and the cross-entropy of the right one. A small penalty on the weights (`decay`) gives it a single minimum.
# With ten scores and 65 inputs there are 650 weights, in one vector `w`.


# %%
def problem(rows, decay=0.01):
    pixels, Y = data.x_train[rows], torch.nn.functional.one_hot(data.y_train[rows], 10)  # (n, 64), (n, 10)
    X = torch.cat([pixels, torch.ones(len(rows), 1)], 1)  # (n, 65): a last column for the bias

    def gradient_of(w):  # (..., 650) -> (..., 650)
        W = w.unflatten(-1, (65, 10))
        return (X.T @ (torch.softmax(X @ W, -1) - Y) / len(X) + decay * W).flatten(-2)

    return gradient_of


data, zero = digits(), torch.zeros(650)
gradient_of = problem(torch.arange(150))

# %% [markdown]
# Its Hessian has 650 x 650 entries. For a large network nobody could store it. But a product $Hv$ is cheap: it is the
# slope of the number $\nabla L \cdot v$, one backward pass more. That is enough to find the eigenvalue of the
# largest size. (Here all curvatures are positive, so it is the steepest.)
#
# ### Exercise 01.6 · ●●○ · 8 minutes
#
# Write `power_iteration(multiply, v, steps)`. `multiply(v)` returns $Hv$; `v` is an (n,) tensor, the start. Multiply `steps` times, bringing `v` back
# to length 1 each time. Return the curvature along the last `v`, which is $v \cdot Hv$.


# %%
def power_iteration(multiply, v, steps):
    ### BEGIN SOLUTION
    for _ in range(steps):
        v = multiply(v)
        v = v / v.norm()
    return v @ multiply(v)
    ### END SOLUTION


power_iteration = check("01.6", power_iteration).function


# %%
def largest_curvature(gradient_of, w):
    w = w.clone().requires_grad_()
    gradient = gradient_of(w)
    multiply = lambda v: torch.autograd.grad(gradient @ v, w, retain_graph=True)[0]
    start = torch.randn(650, generator=torch.Generator().manual_seed(0))
    return float(power_iteration(multiply, start, steps=100))


minimum = descend(gradient_of, zero, 0.5, 1000)[-1]
limits = [2 / largest_curvature(gradient_of, place) for place in (zero, minimum)]
table({"curvature taken at": ["the start", "the minimum"], "stable below lr": limits})

# %% [markdown]
# Here is something that no quadratic has: the two limits differ, because the curvature changes as the weights move.
# Take a rate of `0.8` times the limit at the minimum. At the start it is far too large.

# %%
question = "Training starts from zero weights with that rate. It will…"
predict("01.c", question, ["diverge, as on the quadratic", "bounce for ever", "bounce at first, then settle"])

# %%
shares = torch.tensor([0.3, 0.5, 0.8, 0.97, 1.03, 1.2])
path = descend(gradient_of, zero.expand(6, -1), shares[:, None] * limits[1], 600)  # (601, 6, 650)
norms = gradient_of(path[:100]).norm(dim=-1)
last = gradient_of(path[-150:]).norm(dim=-1).amax(0)  # a bouncing run is sometimes near the minimum
fig, (left, right) = plt.subplots(1, 2)
colours = {"0.5": plots.STABLE, "0.8": plots.SECOND, "1.2": plots.EXPLODES}
curves = dict(zip(colours, norms[:, [1, 2, 5]].T))
plots.plot_history(left, curves, colours=colours, ylabel="gradient norm")
plots.finish(left, "Rates in units of the limit")
plots.plot_outcomes(right, shares, last, good=last < 5e-3)
plots.mark_vertical(right, limits[0] / limits[1], "limit at the start", colour=plots.REFERENCE)
plots.mark_vertical(right, 1.0, "limit at the minimum")
plots.finish(right, "Largest in the last 150 of 600 steps", "rate")

# %%
bounces, settles = bool(norms[1, 2] > norms[0, 2]), bool(last[2] < 5e-3)
because = "What counts is the curvature where it wants to stay. A little above that limit it does not run off either: "
because += "the slope of cross-entropy is bounded, so it bounces about. An explosion need not end in a NaN."
reveal("01.c", "c" if bounces and settles else "b", because)

# %% [markdown]
# ## 7 · A cliff
#
# Valleys have one curvature. Networks that apply the same weights again and again have cliffs: plains with a wall between them. The smallest one comes
# from R. Pascanu, T. Mikolov and Y. Bengio (2013, fig. 6): one recurrent unit, 50 steps of $h \leftarrow w\,\sigma(h) + b$, and the loss
# $(\sigma(h) - 0.7)^2$. We keep $w = 5$ and look along $b$.


# %%
def cliff(b):
    h = torch.full_like(b, 0.5)
    for _ in range(50):
        h = 5 * torch.sigmoid(h) + b
    return (torch.sigmoid(h) - 0.7) ** 2


def cliff_slope(b):
    b = b.detach().requires_grad_()
    return torch.autograd.grad(cliff(b).sum(), b)[0]


# %%
b = torch.linspace(-3.2, -1.4, 50001).double()
steep = cliff_slope(b).abs()
thin = (steep > 2).double().mean()
print(f"slope: median {steep.median():.2f}, steepest {steep.max():.0e}, above 2 on {thin:.0e} of the axis")

# %% [markdown]
# A step is the rate times the slope: from the wall it is thousands long. But a wall so thin is easily missed. Does a run ever end there? Fifty starts on the plain to its right, three learning rates.

# %%
starts, rates = torch.linspace(-2.4, -1.6, 50).double(), torch.tensor([0.5, 0.1, 0.02]).double()
walk = descend(cliff_slope, starts.expand(3, -1), rates[:, None], 1000)  # (1001, 3, 50)
jump = walk.diff(dim=0).abs()
thrown = [((jump[:n] > 1).any(0).double().mean(1) > 0.5) for n in (100, 1000)]
table({"rate": rates, "most thrown in 100 steps": thrown[0], "in 1000": thrown[1]})

# %%
end = int((jump[:, 0, 1] > 1).int().argmax())  # of the second start, at lr = 0.5
fig, ax = plt.subplots()
plots.plot_path_1d(ax, cliff, walk[: end + 2, 0, 1], low=-3.2, high=-1.4, name="b")
plots.finish(ax, "To and fro across the wall, until a step ends inside it")

# %% [markdown]
# The run walks down the plain to the wall and steps over it, on to the high plain, which slopes back. So it steps over again, to and fro. Sooner or later
# a step ends inside the wall, and the next one throws it off the page (red), thousands of times further than the minimum was away. When that happens is chaos: another processor
# rounds differently, and the run is thrown at another step. So the table says only "most".

# %% [markdown]
# ## Claim on trial: S9
#
# *A smaller learning rate stabilises training.* Often taught as the first remedy.
#
# **Our prediction.** On the digits: below the limit at the minimum every run settles (its gradient norm stays below `0.005` for the last fifth of the steps), above it none; a smaller rate takes
# longer. Ten samples of 60 digits, two budgets of steps. The control that could embarrass the claim is the cliff, at a rate 25 times smaller.

# %%
fractions, settled = torch.tensor([0.1, 0.98, 1.02, 2.0]), {100: 0, 1000: 0}
for seed in tqdm(range(10), leave=False):
    sample = problem(torch.randperm(1400, generator=torch.Generator().manual_seed(seed))[:60])
    lowest = descend(sample, zero, 0.5, 700)[-1]
    lrs = fractions[:, None] * 2 / largest_curvature(sample, lowest)
    ends = descend(sample, zero.expand(4, -1), lrs, 1000)
    for budget in settled:
        settled[budget] += (sample(ends[budget * 4 // 5 : budget]).norm(dim=-1).amax(0) < 5e-3).int()
early, late = settled.values()
table({"rate / limit": fractions, "settled in 100 steps, of 10": early, "in 1000": late})

# %%
smooth, all_the_same = late.tolist() == [10, 10, 0, 0], bool(thrown[1][2])
evidence = f"Digits: {late[1]} of 10 settle below the limit, {late[2]} of 10 above it. "
evidence += f"Cliff: {'most' if all_the_same else 'few'} starts are thrown at a 25 times smaller rate, too."
verdict("S9", "refuted" if not smooth else "depends" if all_the_same else "holds", evidence)

# %% [markdown]
# Three things to take from the tables. The price: at a tenth of the limit nothing has arrived after 100 steps. The trap: after 100 steps most runs just
# above the limit look settled, because a short budget flatters an unstable setting. And at the cliff a smaller rate is no rescue, because the wall is steeper than any usable rate allows. What helps there is to limit the step itself. That is clipping, lesson 06.

# %% [markdown]
# ## On a real run
#
# - Diverges at once? The rate times the steepest curvature is above 2. Divide the rate by 3, and again, until the loss falls.
# - Want the number? Every step of a power iteration costs about as much as a gradient. Lesson 07 does it on networks.
# - `torch.optim.SGD(momentum=0.9)` is your `heavy_ball`: its limit is $1 + \beta$ times that of plain descent. `nesterov=True` lowers it to below plain.
# - Judge a learning rate by its late steps, not by its first hundred.

# %% [markdown]
# ## Summary
#
# Gradient descent is stable where the learning rate times the steepest curvature stays below 2, and how long it takes is the flattest direction's affair.
# On real data the curvature that counts is the one at the place where training wants to stay.
# Where the slope itself jumps, no fixed learning rate is both safe and quick.

# %% [markdown]
# ## Further reading
#
# - G. Goh, [Why momentum really works](https://distill.pub/2017/momentum/) (2017): the rate map, to play with.
# - R. Pascanu, T. Mikolov, Y. Bengio, [On the difficulty of training recurrent neural networks](https://arxiv.org/abs/1211.5063) (2013): where cliffs come from.
# - J. Cohen et al., [Gradient descent on neural networks typically occurs at the edge of stability](https://arxiv.org/abs/2103.00065) (2021): what the limit does in a network.
#
# [The solution of this lesson](../solutions/01_gradient_descent.ipynb) · [Back to the start](00_start_here.ipynb)
