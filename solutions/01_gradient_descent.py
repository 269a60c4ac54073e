# %% [markdown]
# # 01 · Gradient descent
#
# **What decides whether a step downhill helps or harms?**
#
# After this lesson you can
# - say from one number whether gradient descent converges, swings or runs away,
# - compute the largest stable learning rate of a model on real data,
# - say what momentum does to that limit, and why.
#
# Core: about 75 minutes. Deeper: another 60 minutes. It runs in 10 seconds. Needs: [lesson 00](00_start_here.ipynb).
# Next: [lesson 02](02_backpropagation.ipynb).

# %%
import math

import matplotlib.pyplot as plt
import torch
from tqdm.auto import tqdm

from gradutils import explorers, plots
from gradutils.course import at_most, check, mostly, predict, reveal, table, verdict
from gradutils.data import digits, quadratic

plots.use_style()

# %% [markdown]
# ## Predict
#
# Picture a valley: the loss is $2x^2$, so its minimum lies at $x = 0$. We start at $x = 1$ and walk downhill, each step
# against the slope. Its length is the slope times a fixed number, the learning rate.
#
# With a rate of `0.45` the loss falls at every step. Now we take a slightly larger one, `0.55`.

# %%
grows = "it grows without bound"
swings = "it falls, while x swings from side to side"
faster = "it falls, a little faster than with 0.45"
predict("01.a", "With the rate 0.55 the loss does this:", [grows, swings, faster])

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

# %% tags=["drawing"]
# The drawing
fig, ax = plt.subplots()
plots.plot_history(ax, losses)
plots.finish(ax, "A slightly larger rate, and downhill becomes uphill")

# %% tags=["reveal"]
# The prediction is settled
growth = losses["lr = 0.55"][-1] / losses["lr = 0.55"][0]
reveal(
    "01.a",
    grows if growth > 1 else faster,
    f"The last loss is {growth:.1e} times the first.",
    wrong={
        grows: "The loss ended below its start.",
        swings: "It does swing: each step lands on the other side of the minimum. But "
        "it lands further out than it began, so the loss grows.",
        faster: "A larger rate is faster only while the step lands short of the "
        "minimum. Beyond that, more rate means further past it.",
    },
)

# %% [markdown]
# Every one of those steps pointed downhill, and still the loss grew. How can that be? The slope says which way is down
# *here*, but not how far down goes on. The step was so long that it landed on the other side of the valley, higher than
# it began. There the slope was steeper, so the next step was longer still.
#
# So between `0.45` and `0.55` there must be an edge. This lesson finds it, first in one valley, then in many directions
# at once, and at last on real data.

# %% [markdown]
# ## 1 · The step
#
# Let us do two steps by hand, one with each rate. The loss is $2x^2$, its slope (the derivative) is $4x$, and we stand
# at $x = 1$, where the slope is $4$.
#
# - Rate $0.1$: the step is $0.1 \times 4 = 0.4$ long. We land at $1 - 0.4 = 0.6$, and the loss falls from $2$ to
#   $0.72$.
# - Rate $0.55$: the step is $0.55 \times 4 = 2.2$ long. We land at $1 - 2.2 = -1.2$, and the loss rises to $2.88$.
#
# In the drawing the short black line is the tangent. Its slope, times the rate, is the length of the step.

# %% tags=["drawing"]
# The drawing
fig, axes = plt.subplots(1, 2, sharey=True)
for ax, lr in zip(axes, (0.1, 0.55)):
    plots.draw_step(ax, lambda x: 2 * x**2, 1.0, lr, low=-1.6, high=1.6)
    plots.finish(ax, f"lr = {lr}")

# %% [markdown]
# Written for any loss $L$, the step is
#
# $$x \leftarrow x - \mathrm{lr} \cdot \nabla L(x)$$
#
# Here $\nabla L(x)$, the **gradient**, holds the slope of $L$ along every coordinate of $x$, and `lr` is the **learning
# rate**. The minus sign is there because the gradient points uphill.
#
# ### Exercise 01.1 · ●○○ · 3 minutes
#
# Write `step(x, gradient, lr)`. `x` and `gradient` are tensors of the same shape. `lr` is a number, or a tensor that
# broadcasts (a rate for every row). Return the new `x`, and leave the old one as it is: later cells draw the whole
# path.


# %%
def step(x, gradient, lr):
    ### BEGIN SOLUTION
    return x - lr * gradient
    ### END SOLUTION


step = check("01.1", step).function

# %% [markdown]
# The whole algorithm is that step, repeated. `descend` keeps every point on the way, so that we can draw the path.


# %%
def descend(gradient_of, x, lr, steps):
    path = [x]
    for _ in range(steps):
        path.append(step(path[-1], gradient_of(path[-1]), lr))
    return torch.stack(path)


# %% tags=["drawing"]
# The drawing
start = torch.tensor(1.0).double()
fig, axes = plt.subplots(1, 3, sharey=True)
for ax, lr in zip(axes, (0.125, 0.375, 0.525)):
    path = descend(lambda x: 4 * x, start, lr, steps=8)
    plots.plot_path_1d(ax, lambda x: 2 * x**2, path, low=-2.4, high=2.4)
    plots.finish(ax, f"lr = {lr}")

# %% [markdown]
# On the left every step lands short of the minimum, so the run creeps towards it. In the middle every step crosses the
# minimum and still lands nearer than before. On the right it crosses and lands further away. Apart from the edges
# between them nothing else can happen here, and the next section says when each does.

# %% [markdown]
# ## 2 · One number decides
#
# Look at the points of the two runs that we did by hand, one more step each:
#
# - rate $0.1$: $\;1 \to 0.6 \to 0.36$, each step *times* $0.6$
# - rate $0.55$: $\;1 \to -1.2 \to 1.44$, each step *times* $-1.2$
#
# A step that subtracts turns out to multiply. The reason is that the slope is itself proportional to $x$: it is $4x$,
# so the step takes $0.1 \times 4 = 0.4$ of $x$ away and leaves $0.6$.
#
# The number $4$ is the **curvature** of this valley, the rate at which its slope changes. We call it $\lambda$
# (lambda). For the loss $\lambda x^2/2$ the slope is $\lambda x$, and a step does this:
#
# $$x \leftarrow x - \mathrm{lr}\,\lambda x = (1 - \mathrm{lr}\,\lambda)\,x$$
#
# So every step multiplies $x$ by the same factor, $1 - \mathrm{lr}\,\lambda$. Neither the rate nor the curvature
# matters alone, because only their product enters.

# %% tags=["drawing"]
# The drawing
fig, ax = plt.subplots(figsize=(6.4, 2.4))
powers = torch.arange(9)
factors = {"factor 0.5": 0.5, "factor -0.5": -0.5, "factor -1.1": -1.1}
curves = {name: factor**powers for name, factor in factors.items()}
colours = dict(zip(factors, (plots.STABLE, plots.SECOND, plots.EXPLODES)))
plots.plot_history(ax, curves, colours=colours, ylabel="x", log=False)
plots.finish(ax, "The rates 0.125, 0.375 and 0.525: one factor per step")

# %% [markdown]
# What can be read from the factor? Its *sign* says on which side of the minimum the step lands, and its *size* says
# whether it lands nearer or further out.
#
# ### Exercise 01.2 · ●●○ · 6 minutes
#
# Write `regime(lr, curvature)`; both are numbers. Return `"monotone"` if the run approaches from one side,
# `"oscillating"` if it changes sides and approaches, and `"diverging"` if it moves away. The curvature may be negative:
# then the point is the top of a hill, and each step leads away from it. Exactly on an edge either answer is taken.


# %%
def regime(lr, curvature):
    ### BEGIN SOLUTION
    factor = 1 - lr * curvature
    return (
        "diverging" if abs(factor) > 1 else "monotone" if factor >= 0 else "oscillating"
    )
    ### END SOLUTION


regime = check("01.2", regime).function

# %% [markdown]
# Now the edge between `0.45` and `0.55` has a name. A run moves away when the factor is below $-1$, which means that lr
# times $\lambda$ is above 2. In the valley $2x^2$ the curvature is 4, so the edge lies at a rate of $2/4 = 0.5$.
#
# And the best rate? At $1/\lambda = 0.25$ the factor is 0, and one step lands in the minimum. Above it, more rate means
# a slower run. That is why `0.1`, with a factor of $0.6$, beat `0.45`, whose factor is $-0.8$, in the first figure.

# %% [markdown]
# ## 3 · Many directions, one learning rate
#
# A network has many weights, and its loss has a curvature in every direction. How many edges are there then? Take a
# loss of two weights, $(10\,x_1^2 + 0.5\,x_2^2)/2$. In its gradient $(10\,x_1,\; 0.5\,x_2)$ the two do not mix, so each
# weight is multiplied by a factor of its own.
#
# - At a rate of $0.19$ the factors are $1 - 1.9 = -0.9$ and $1 - 0.095 = 0.905$, so both weights shrink.
# - At a rate of $0.21$ they are $-1.1$ and $0.895$. The first runs away, though the second would like a far larger
#   rate.
#
# The steepest direction sets the limit for all, here $2/10 = 0.2$.

# %% [markdown]
# Usually the weights of a network do mix. The loss $x_1^2 + x_1x_2 + x_2^2$ has the gradient $(2x_1 + x_2,\; x_1 +
# 2x_2)$. How fast do its two entries change when $x_1$ or $x_2$ moves? By $2, 1$ and by $1, 2$, which makes a matrix:
#
# $$H = \begin{pmatrix} 2 & 1 \\ 1 & 2 \end{pmatrix}, \qquad H\begin{pmatrix}1\\1\end{pmatrix} = 3\begin{pmatrix}1\\1\end{pmatrix},
# \qquad H\begin{pmatrix}1\\-1\end{pmatrix} = 1\begin{pmatrix}1\\-1\end{pmatrix}$$
#
# This matrix is called the **Hessian**, and the gradient is $Hx$. Along $(1, 1)$ it only multiplies by 3, along $(1,
# -1)$ only by 1. Such directions are its **eigenvectors**, and the numbers are its **eigenvalues**. (In a network the
# Hessian changes from place to place. It is always symmetric, because it does not matter which of two weights is moved
# first.)

# %% tags=["drawing"]
# The drawing
mixed = torch.tensor([[2.0, 1.0], [1.0, 2.0]]).double()
fig, ax = plt.subplots(figsize=(6.4, 3.2))
plots.plot_path_2d(ax, mixed, torch.zeros(1, 2), reach=1.5)
arrows = {
    "curvature 3": ((0, 0), (0.9, 0.9), plots.SECOND),
    "curvature 1": ((0, 0), (0.9, -0.9), plots.STABLE),
}
plots.draw_arrows(ax, arrows, reach=1.5)
plots.finish(ax, "A valley that lies askew: steep one way, flat the other")

# %% [markdown]
# Along an eigenvector the loss is a valley with one curvature, just like the one in section 2. Along these directions
# nothing mixes, even in a valley that lies askew. Every symmetric matrix has as many of them as rows, at right angles
# to each other.
#
# ### Exercise 01.3 · ●●○ · 6 minutes
#
# Write `critical_lr(H)`, where `H` is a symmetric (n, n) tensor. Return the learning rate above which some direction
# that curves upwards diverges. At least one does. Directions of negative curvature run away at every rate, so they set
# no limit. (`torch.linalg.eigvalsh(H)` gives the eigenvalues in rising order.)


# %%
def critical_lr(H):
    ### BEGIN SOLUTION
    return 2 / torch.linalg.eigvalsh(H)[-1].item()
    ### END SOLUTION


critical_lr = check("01.3", critical_lr).function

# %% tags=["drawing"]
# The drawing
valley, corner = quadratic([10.0, 0.5], seed=1), torch.tensor([1.0, 1.0]).double()
fig, axes = plt.subplots(1, 3, sharey=True)
for ax, fraction in zip(axes, (0.25, 0.95, 1.01)):
    path = descend(lambda x: valley @ x, corner, fraction * critical_lr(valley), 15)
    plots.plot_path_2d(ax, valley, path, reach=1.6)
    plots.finish(ax, f"{fraction} of the limit")

# %% [markdown]
# One rate has to serve all directions. Near the limit the steep direction already shakes while the flat one still
# creeps, because with factors of $-0.9$ and $0.9$ neither is quick. The ratio of the largest to the smallest curvature
# is called the **condition number** $\kappa$ (kappa). The larger it is, the longer the flat direction has to wait for
# the steep one.
#
# Now move the sliders of the explorer. Can you make one direction diverge while the other converges?

# %%
explorers.explore_learning_rate()

# %% [markdown]
# ## Claim on trial: S1
#
# *In steep regions a step overshoots: first it oscillates, then it diverges.* (Claims are numbered through the course,
# S or W, and lesson 13 lists them all.) This one is often taught, and rarely with a number. "First" can only mean *as
# the rate grows*, because within one run the factor never changes.
#
# **Our prediction.** A step begins to cross the minimum where the rate times the steepest curvature passes 1, and the
# run diverges where it passes 2.
#
# The trial takes ten random valleys in 20 dimensions and sets the rate on either side of both edges. It counts the
# valleys in which the first step crosses the minimum along the steepest direction, in which the loss rises within 300
# steps, and in which the run ends further out than it began.

# %% tags=["experiment"]
# Ten valleys, and a way to count the runs that end further out
torch.manual_seed(0)
valleys = torch.stack([quadratic(0.02 + torch.rand(20), seed) for seed in range(10)])
values, vectors = torch.linalg.eigh(valleys)
steepest, top = (
    values[:, -1].view(10, 1, 1),
    vectors[..., -1:].mT,
)  # (10, 1, 1), (10, 1, 20)
begin = torch.randn(10, 20, 1).double()


def farther(end):  # in how many of the ten valleys x ends further out; a NaN counts
    return int((~(end.norm(dim=1) < begin.norm(dim=1))).sum())


# %% tags=["experiment"]
# Six rates in each of the ten valleys
products = [0.5, 0.99, 1.01, 1.5, 1.99, 2.01]
runs = [descend(lambda x: valleys @ x, begin, p / steepest, 1000) for p in products]
crossed = [int((top @ run[0] * (top @ run[1]) < 0).sum()) for run in runs]
first_300 = [run[:300] for run in runs]
rises = [int(((x.mT @ valleys @ x).diff(dim=0) > 0).any(0).sum()) for x in first_300]
diverged = [farther(run[-1]) for run in runs]
counts = {"it crosses": crossed, "the loss rises": rises, "it diverges": diverged}
table({"lr * curvature": products} | counts)

# %% [markdown]
# The numbers count valleys out of ten, and both edges lie where they were predicted. One thing is easily missed.
# Between the edges $x$ swings from side to side, and yet the loss falls at every step. So a loss curve that falls
# smoothly does not show that the steps overshoot.
#
# But these are perfect valleys, and the claim speaks of steep regions, of which few are valleys. On a real loss the
# curvature changes on the way. So the verdict waits for section 5, where real data are asked the same question.

# %% [markdown]
# ## 4 · Momentum
#
# Most optimizers do not take the bare step but keep a **velocity** $v$, in which old gradients fade slowly. The oldest
# form of it is called **heavy ball** (Polyak 1964):
#
# $$v \leftarrow \beta v + \nabla L(x), \qquad x \leftarrow x - \mathrm{lr}\, v$$
#
# Here $\beta$ (beta) says how much of the old velocity is kept; `0.9` is usual. Three steps by hand, in the valley
# $x^2/2$ (its gradient is $x$), with $\mathrm{lr} = 1$ and $\beta = 0.5$, from $x = 1$ and $v = 0$:
#
# | step | gradient $x$ | new $v$ | move $-\mathrm{lr}\,v$ | new $x$ |
# |---|---|---|---|---|
# | 1 | $1$ | $0 + 1 = 1$ | $-1$ | $0$ |
# | 2 | $0$ | $0.5 + 0 = 0.5$ | $-0.5$ | $-0.5$ |
# | 3 | $-0.5$ | $0.25 - 0.5 = -0.25$ | $+0.25$ | $-0.25$ |
#
# Look at step 2: the gradient is zero, and still the ball moves on, by half of its last move. That is the meaning of
# the formula: **each move is $\beta$ times the last move, plus the gradient's step.**

# %% tags=["drawing"]
# The drawing
fig, ax = plt.subplots(figsize=(6.4, 2.6))
arrows = {
    "beta times the last move": ((0, 0), (1.0, -0.6), plots.REFERENCE),
    "the gradient's step": ((1.0, -0.6), (0.35, 1.1), plots.SECOND),
    "the new move": ((0, 0), (1.35, 0.5), plots.STABLE),
}
plots.draw_arrows(ax, arrows, reach=(-1, 2.4, -0.7, 0.6))
plots.finish(ax, "A move with momentum is a sum of two")

# %% [markdown]
# ### Exercise 01.4 · ●○○ · 5 minutes
#
# Write `heavy_ball(x, v, gradient, lr, beta)`. The tensors have one shape; `lr` and `beta` are numbers, or tensors that
# broadcast. Return the pair `x, v`, both new.


# %%
def heavy_ball(x, v, gradient, lr, beta):
    ### BEGIN SOLUTION
    v = beta * v + gradient
    return x - lr * v, v
    ### END SOLUTION


heavy_ball = check("01.4", heavy_ball).function

# %% [markdown]
# What does that do to the edge? Plain descent runs away when the rate times the curvature passes 2. If the gradient
# always points the same way, moves pile up: at $\beta = 0.9$ they become $1 + 0.9 + 0.81 + \dots = 10$ times as long.

# %%
tenth = "lr times curvature is 0.2: the moves are ten times as long"
same = "it is 2, as before: the valley has not changed"
double = "it is 3.8, nearly twice as far out"
predict("01.b", "With beta = 0.9 the edge lies where…", [tenth, same, double])

# %% [markdown]
# The trial valleys of S1 again, ten of them, 1000 steps each. For three values of beta the rate is set one percent
# below and one percent above the edge that we predict. Counted are the runs that end further out than they began.


# %% tags=["experiment"]
# Heavy ball, 1 % below and 1 % above its edge


def heavy_ball_run(product, beta, steps=1000):
    x, v = begin, torch.zeros_like(begin)
    for _ in range(steps):
        x, v = heavy_ball(x, v, valleys @ x, product / steepest, beta)
    return x


betas = [0.0, 0.5, 0.9]
edges = [2 + 2 * beta for beta in betas]
below = [farther(heavy_ball_run(0.99 * p, beta)) for p, beta in zip(edges, betas)]
above = [farther(heavy_ball_run(1.01 * p, beta)) for p, beta in zip(edges, betas)]
columns = {"2 + 2 beta": edges, "diverge 1 % below": below, "1 % above": above}
table({"beta": betas} | columns)

# %% tags=["reveal"]
# The prediction is settled
further = (below, above) == ([0, 0, 0], [10, 10, 10])
reveal(
    "01.b",
    double if further else same,
    "The edge is 2 + 2 beta, in ten valleys of ten.",
    wrong={
        tenth: "Moves pile up only while the gradient keeps its sign. At the edge it "
        "changes sign at every step, so the velocity and the gradient pull against "
        "each other.",
        same: "The valley is the same, but the gradient no longer acts alone. To "
        "throw the run out, it must first undo what is left of the last move.",
        double: "Some runs below it diverged, or some above it did not.",
    },
)

# %% [markdown]
# Why $2 + 2\beta$? Suppose that a run at the edge jumps from $1$ to $-1$ and back for ever, neither shrinking nor
# growing. (Deeper B shows that nothing else can happen there.) Stand at $-1$ and look at the two parts of the next
# move.
#
# - The last move went from $1$ to $-1$, so it was $-2$. A share of $0.9$ is kept, which is $-1.8$ and still points
#   outwards.
# - To come back to $1$, the whole move must be $+2$. So the gradient has to supply $2 + 1.8 = 3.8$.
#
# At $-1$ the gradient's step is $\mathrm{lr}\,\lambda$, so the edge lies where $\mathrm{lr}\,\lambda = 2 + 2\beta$.

# %% tags=["drawing"]
# The drawing
fig, ax = plt.subplots(figsize=(6.4, 2.4))
arrows = {
    "0.9 of the last move: -1.8": ((-1, 0.5), (-1.8, 0), plots.REFERENCE),
    "the gradient's step: +3.8": ((-2.8, 0), (3.8, 0), plots.SECOND),
    "together: +2": ((-1, -0.5), (2, 0), plots.STABLE),
}
plots.draw_arrows(ax, arrows, reach=(-3.4, 1.6, -0.8, 0.9))
for x in (-1, 1):
    plots.mark_vertical(ax, x, f"x = {x}", colour=plots.REFERENCE)
plots.finish(ax, "At the edge: from -1 back to 1")

# %% [markdown]
# Momentum and gradient pull apart when a run swings, and together when it creeps. So momentum raises the limit of the
# steep direction and pushes the flat one. It pays where the two are far apart, as Deeper C measures. In a valley that
# is equally steep all round it costs: there one plain step of the best rate would do, while old moves need time to
# fade.

# %% [markdown]
# ## 5 · Real data
#
# So far every loss was a perfect valley. Now we take 150 of the handwritten digits and the smallest model that can read
# them. It has ten scores, each a weighted sum of the 64 pixels and a constant, which makes 650 weights.
#
# A **softmax** turns the ten scores into probabilities, and the loss is the **cross-entropy**: minus the logarithm of
# the probability of the right digit. Its derivative with respect to a score is simple: the probability, minus 1 for the
# right digit. With zero weights all ten probabilities are $0.1$. So the derivative is $0.1$ for nine scores, and $0.1 -
# 1 = -0.9$ for the right one: that score must rise, the others fall. A score is a weighted sum of pixels, so each
# weight gets its pixel times that derivative, averaged over the images.
#
# A small penalty on the weights (`decay`) gives the loss a single minimum.


# %%
def problem(rows, decay=0.01):
    pixels, y = data.x_train[rows], data.y_train[rows]  # (n, 64), (n,)
    X = torch.cat([pixels, torch.ones(len(rows), 1)], 1)  # (n, 65): the constant
    Y = torch.nn.functional.one_hot(y, 10)  # (n, 10): 1 at the right digit

    def gradient_of(w):  # (..., 650) -> (..., 650)
        W = w.unflatten(-1, (65, 10))
        probabilities = torch.softmax(X @ W, -1)
        return (X.T @ (probabilities - Y) / len(X) + decay * W).flatten(-2)

    return gradient_of


# %% [markdown]
# The Hessian holds the derivative of every entry of the gradient with respect to every weight, 650 x 650 of them. That
# is small enough to write down, so your `critical_lr` can read the limit from it. (For a large network nobody could
# store it, and Deeper D finds the largest eigenvalue without.)


# %%
def limit_at(gradient_of, w):
    copies = w.repeat(len(w), 1).requires_grad_()  # a copy of w for each row of H
    diagonal = gradient_of(copies).diagonal()  # entry k of the gradient at copy k
    (H,) = torch.autograd.grad(diagonal.sum(), copies)  # (650, 650)
    return critical_lr((H + H.T) / 2)


data, zero = digits(), torch.zeros(650)
gradient_of = problem(torch.arange(150))
minimum = descend(gradient_of, zero, 0.5, 1000)[-1]  # 0.5 is small enough
limits = [limit_at(gradient_of, place) for place in (zero, minimum)]
table({"Hessian taken at": ["the start", "the minimum"], "stable below lr": limits})

# %% [markdown]
# Here is something that no perfect valley has: the two limits differ, because the curvature changes as the weights
# move. Which of them counts? Take a rate of `0.8` times the limit at the minimum, which is far too large at the start.

# %%
settles = "bounce at first, then settle at the minimum"
diverges = "diverge from the start, as in a valley"
bounces = "bounce about for ever"
predict("01.c", "From zero weights it will…", [diverges, settles, bounces])

# %% [markdown]
# Six rates are tried, from `0.3` to `1.2` times the limit at the minimum, 600 steps each, all from zero weights. On the
# left is the loss in the first 60 steps, for three of them. On the right is the largest gradient in the last 150 steps,
# for every rate: small where a run has settled, large where it bounces about.


# %% tags=["experiment"]
# Six rates on the digits, and two panels
def losses_of(w, rows):  # (..., 650) -> (...)
    weights, constant = w.unflatten(-1, (65, 10)).split([64, 1], dim=-2)
    scores = data.x_train[rows] @ weights + constant
    right = scores.log_softmax(-1)[..., torch.arange(len(rows)), data.y_train[rows]]
    return 0.005 * w.square().sum(-1) - right.mean(-1)


shares, first_150 = torch.tensor([0.3, 0.5, 0.8, 0.97, 1.03, 1.2]), torch.arange(150)
path = descend(gradient_of, zero.expand(6, -1), shares[:, None] * limits[1], 600)
norms = gradient_of(path[:60]).norm(dim=-1)  # (60, 6)
last = gradient_of(path[-150:]).norm(dim=-1).amax(0)
fig, (left, right) = plt.subplots(1, 2)
colours = {"0.5": plots.STABLE, "0.8": plots.THIRD, "1.2": plots.EXPLODES}
curves = dict(zip(colours, losses_of(path[:60, [1, 2, 5]], first_150).T))
plots.plot_history(left, curves, colours=colours)
plots.finish(left, "Rates 0.5, 0.8, 1.2 of the limit")
plots.plot_outcomes(right, shares, last, good=last < 5e-3)
plots.mark_vertical(
    right, limits[0] / limits[1], "limit at the start", colour=plots.REFERENCE
)
plots.mark_vertical(right, 1.0, "limit at the minimum")
plots.finish(right, "Steps 450 to 600", "rate / limit", "largest gradient")
late_loss = losses_of(path[-150:], first_150).mean(0)
near = late_loss < 1.01 * late_loss.min()
table({"rate / limit": shares, "late loss within 1 % of the lowest": near})

# %% tags=["reveal"]
# The prediction is settled
bounced, settled = bool(norms[1, 2] > norms[0, 2]), bool(last[2] < 5e-3)
reveal(
    "01.c",
    settles if bounced and settled else bounces if bounced else diverges,
    "What counts is the curvature where training wants to stay.",
    wrong={
        settles: "It did not settle, or it did not bounce.",
        diverges: "In a valley the slope grows with the distance, and so do the "
        "steps. The slope of cross-entropy is bounded, so a step that is too long "
        "does not make the next one longer.",
        bounces: "It would above the limit at the minimum. Below it, every direction "
        "near the minimum shrinks, so a run that comes by is caught.",
    },
)

# %% [markdown]
# The limit at the minimum separates the runs that settle from those that do not. Early jumps say nothing, because they
# occur on either side of it: the start is steeper. (A softmax reacts most while it is undecided. A probability $p$
# changes in proportion to $p(1 - p)$, and that is nearly 0 once it is sure.) Only the late steps tell.
#
# A little above the limit a run does not run off either, because the slope of cross-entropy is bounded. It bounces
# about near the minimum, with a burst now and then, and its loss stays above the lowest. So a learning rate that is too
# large need not end in a NaN, and nothing in such a curve says "rate".

# %% [markdown]
# ### The verdict on S1
#
# That was one sample of digits, and the claim that a run diverges has to face ten. Each sample holds 60 digits. The
# rates are given as a share of the limit at the minimum of that sample, and every run starts at zero weights. Counted
# are the runs whose loss is higher than it was at the start, in the median of the last 200 of 1000 steps. (A run that
# bounces has a burst now and then, so its very last loss says little.)

# %% tags=["experiment"]
# Ten samples of digits: five rates, 1000 steps
sample_shares = torch.tensor([0.1, 0.98, 1.02, 1.2, 2.0])
late_norms, loss_after = {100: [], 1000: []}, []
for seed in tqdm(range(10), leave=False):
    rows = torch.randperm(1400, generator=torch.Generator().manual_seed(seed))[:60]
    sample = problem(rows)
    lowest = descend(sample, zero, 0.5, 700)[-1]
    sample_rates = sample_shares[:, None] * limit_at(sample, lowest)
    walked = descend(sample, zero.expand(5, -1), sample_rates, 1000)
    loss_after.append(losses_of(walked[-200:], rows).median(0).values)
    for n, norms_of in late_norms.items():  # the largest gradient in the last fifth
        norms_of.append(sample(walked[n * 4 // 5 : n]).norm(dim=-1).amax(0))
higher = (torch.stack(loss_after) > math.log(10)).sum(0)  # at the start it is ln 10
columns = {"loss higher than at the start, of 10": higher[:4]}
table({"rate / limit": sample_shares[:4]} | columns)

# %% tags=["experiment"]
# The verdict on S1
expected = torch.tensor([[0, 0, 10, 10, 10, 10], [0, 0, 0, 0, 0, 10]])
exact = 10 - int((torch.tensor([crossed, diverged]) - expected).abs().max())
found = {"valleys": mostly(exact), "softmax regression on digits": mostly(higher[3])}
evidence = "Plain gradient descent, 1000 steps. Valleys of 20 dimensions: both edges "
evidence += (
    f"where predicted in {exact} of 10. Digits, 650 weights, rate 1.2 times the "
)
evidence += f"limit: {int(higher[3])} of 10 diverge."
verdict("S1", found, evidence)

# %% [markdown]
# A verdict is decided by code, from the numbers above it. At each setting that it names the claim is true, false, or
# undecided, where a number lies too near its bar. One rule makes a word of them:
#
# - **holds**: true at every setting that was tried.
# - **refuted**: false at every setting at which the claim is usually made.
# - **depends**: neither of the two. The verdict says where the claim is true and where it is not.
# - **not tested**: nothing was tried, and the verdict says why.
#
# So *holds* means only that nothing tried here spoke against it. Read the evidence, because it says what was run: the
# optimizer, the number of steps and the size.

# %% [markdown]
# ## 6 · A cliff
#
# On the digits the curvature changed by some factor on the way. There are losses on which it changes by many powers of
# ten. They arise where one weight is applied again and again, as in a recurrent network.
#
# The smallest example comes from R. Pascanu, T. Mikolov and Y. Bengio (2013, fig. 6). A single unit starts at $h =
# 0.5$, then repeats the step below 50 times:
#
# $$h \leftarrow w\,\sigma(h) + b$$
#
# Here $\sigma$ is the sigmoid, which squeezes any number between 0 and 1, and the loss is $(\sigma(h) - 0.7)^2$. We
# keep $w = 5$ and look at the loss as a function of $b$ alone. A small change of $h$ is multiplied at each step by
# $w\,\sigma'(h)$. Where that factor is above 1, fifty of them make a wall out of nothing.

# %% tags=["drawing"]
# The drawing
fig, ax = plt.subplots(figsize=(6.4, 2.4))
plots.draw_unrolled(ax, 3, operation="5 sigmoid", inputs=["b"] * 3, gradient=False)
plots.finish(ax, "The same b enters at each of the 50 steps; here are three of them")


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
print(f"slope: median {steep.median():.2f}, steepest {steep.max():.0e}")
print(f"steeper than 2 on {thin:.0e} of the axis")
foot = b[cliff(b).argmin()] + torch.linspace(-5e-5, 5e-5, 1001).double()
lowest = foot[cliff(foot).argmin()]
bend = (cliff_slope(lowest + 1e-9) - cliff_slope(lowest - 1e-9)) / 2e-9
print(f"limit at the minimum: below a millionth: {bool(2 / bend < 1e-6)}")

# %% tags=["drawing"]
# The drawing
fig, ax = plt.subplots(figsize=(6.4, 2.4))
plots.plot_against_theory(ax, b[::50], {"loss": cliff(b[::50])}, marker="")
plots.finish(ax, "Two plains with a wall between them", "b", "loss")

# %% [markdown]
# Nearly everywhere the slope is gentle. In one place, a wall thinner than a hair, it is tens of thousands of times
# steeper. At the foot of the wall lies the minimum, where the loss is 0, so both plains lead down to it. The curvature
# there sets a limit of less than a millionth, far below any rate that one would use. But so thin a wall is easily
# stepped over, so does a run ever end up on it? We take fifty starts on the plain to its right, and three learning
# rates. A run counts as thrown once one of its steps is longer than 1, which is more than half of the page.

# %% tags=["experiment"]
# Fifty starts on the plain, three rates
starts = torch.linspace(-2.4, -1.6, 50).double()
rates = torch.tensor([0.5, 0.1, 0.02]).double()
walk = descend(cliff_slope, starts.expand(3, -1), rates[:, None], 2000)  # (2001, 3, 50)
jump = walk.diff(dim=0).abs()
thrown = [(jump[:n] > 1).any(0).double().mean(1) for n in (100, 2000)]
columns = {"over half thrown in 100 steps": thrown[0] > 0.5, "in 2000": thrown[1] > 0.5}
table({"rate": rates} | columns)

# %% tags=["drawing"]
# The drawing
end = int((jump[:, 0, 1] > 1).int().argmax())  # of the second start, at lr = 0.5
fig, ax = plt.subplots()
plots.plot_path_1d(ax, cliff, walk[: end + 2, 0, 1], low=-3.2, high=-1.4, name="b")
plots.mark_vertical(ax, float(b[steep.argmax()]), "the wall")
plots.finish(ax, "To and fro across the wall, until a step begins on it")

# %% [markdown]
# A smaller rate buys time, and no more. The picture shows one run. It walks down the plain on the right and steps over
# the wall, without touching it. Now it stands on the high plain, which slopes back, so it steps over again, to and fro.
# Sooner or later a step ends *on* the wall or at its foot, and the next one begins there and throws the run off the
# page (red). The wall throws to the right, and its foot, which rises again a little, to the left.
#
# *When* that happens cannot be predicted, because another processor rounds differently and the run is thrown at another
# step. Therefore the table says no more than whether it was over half of the starts.

# %% [markdown]
# ## Claim on trial: S9
#
# *A smaller learning rate stabilises training.* It is often taught as the first remedy.
#
# **Our prediction.** On the digits every run below the limit at the minimum settles, none above it does, and a smaller
# rate only takes longer. The control that could embarrass the claim is the cliff: there the slope jumps so high that
# even a rate 25 times smaller should not help.
#
# The trial takes the ten samples of the verdict on S1, and looks at those runs once more. A run has settled if the size
# of its gradient stays below `0.005` for the last fifth of its steps. It is judged after 100 steps and after 1000.

# %% tags=["experiment"]
# The ten samples again: which runs settled, judged after two budgets of steps
settled = {n: torch.stack(norms_of) < 5e-3 for n, norms_of in late_norms.items()}
early, late = (runs_settled.sum(0) for runs_settled in settled.values())
four = [0, 1, 2, 4]  # without 1.2
columns = {"settled in 100 steps, of 10": early[four], "in 1000": late[four]}
table({"rate / limit": sample_shares[four]} | columns)

# %% tags=["experiment"]
# The verdict on S9
under, over = settled[1000].split([2, 3], dim=1)  # the limit; each (samples, rates)
as_said, cliff_share = int((under.all(1) & ~over.any(1)).sum()), float(thrown[1][2])
found = {
    "softmax regression on digits": mostly(as_said),
    "a cliff": at_most(cliff_share, 0.2, false_at=0.5),
}
evidence = "Plain gradient descent. Digits, 650 weights, 1000 steps: all rates settle "
evidence += f"below the limit and none above it in {as_said} of 10 samples. Cliff, 1 "
evidence += f"weight, 2000 steps: {'over' if cliff_share > 0.5 else 'at most'} half of "
evidence += "the starts are thrown at a 25 times smaller rate, too."
verdict("S9", found, evidence)

# %% [markdown]
# Three things to take from the tables.
#
# - *The price.* At a tenth of the limit nothing has settled after 100 steps, because a small rate is safe and slow.
# - *The trap.* After 100 steps most runs just above the limit look settled. A short budget flatters a rate that is too
#   large, because its growth is slow as well.
# - *The cliff.* A smaller rate is no rescue where the slope jumps, because the wall is steeper than any usable rate
#   allows. What helps there is to limit the step itself, which is called clipping (lesson 06).

# %% [markdown]
# ## On a real run
#
# - It diverges at once? Then the rate times the steepest curvature is above 2. (The converse does not hold, as section
#   5 showed.) Divide the rate by 3, and again, until the loss falls after a dozen steps.
# - `torch.optim.SGD(momentum=0.9)` is your `heavy_ball`. In a valley its limit is $1 + \beta$ times that of plain
#   descent.
# - Judge a learning rate by its late steps, because the first hundred flatter one that is too large.
# - No NaN does not mean that the rate is right. Compare the loss with one at a third of the rate.
# - All this is about gradient descent, plain or with momentum. Adam divides by the size of the gradient, and its limit
#   is another one.

# %% [markdown]
# ## Summary
#
# Each step of gradient descent multiplies the distance along a direction by $1 - \mathrm{lr}\,\lambda$. So it is stable
# while the rate times the steepest curvature stays below 2, and the flattest direction has to live with that rate.
# Momentum moves that edge to $2 + 2\beta$, because the last move pulls outwards whenever a run swings. On real data the
# curvature that counts is the one where training wants to stay, and at a cliff no fixed rate is both safe and quick.

# %% [markdown]
# ## Deeper
#
# Four parts follow, and each stands alone. They ask when a run stops being a number, why momentum has just one edge,
# what momentum is for, and how to find the steepest curvature of a large model.
#
# ### A · How long until a run overflows
#
# A diverging run grows by the same factor at every step. So the step at which it becomes too large for its format can
# be computed, just as lesson 00 computed how a factor of $1.1$ grows over 100 layers. Half precision (`float16`) ends
# at 65504, `float32` near $10^{38}$. At a rate of $2.1$ on the loss $x^2/2$ the factor is $-1.1$. It reaches $65504$
# when $1.1^k = 65504$, so after
#
# $$k = \frac{\ln 65504}{\ln 1.1} \approx 116 \text{ steps}$$
#
# ### Exercise 01.5 · ●●● · 10 minutes
#
# The loss is $x^2/2$, so a step is `x = x - lr * x`, from $x = 1$, with `lr` above 2. Write `steps_to_overflow(lr,
# largest)`, the number of steps after which `x` is no longer finite. `largest` is the largest number of the format.
# Mind the order in which a computer evaluates `x - lr * x`: the product is formed first, and it may overflow before `x`
# does.


# %%
def steps_to_overflow(lr, largest):
    ### BEGIN SOLUTION
    # the last k at which lr * x still fits
    fits = math.floor(math.log(largest / lr) / math.log(abs(1 - lr)))
    return fits + 2
    ### END SOLUTION


steps_to_overflow = check("01.5", steps_to_overflow).function

# %% [markdown]
# Predicted beside measured, for four formats, at a rate of `2.1`. (In `float16` it is fewer steps than the 116 above,
# because the product of rate and $x$ overflows before $x$ does.)

# %% tags=["experiment"]
# Overflow, predicted and measured, in four formats
formats = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
for dtype in formats:
    path = descend(lambda x: x, torch.tensor(1.0, dtype=dtype), lr=2.1, steps=8000)
    predicted = steps_to_overflow(2.1, torch.finfo(dtype).max)
    print(f"{dtype}: predicted {predicted}, measured {int(path.isfinite().sum())}")

# %% [markdown]
# Double precision only delays the end. One format misses its prediction by a few steps, because `bfloat16` keeps about
# three digits. So every product is rounded by up to half a percent, and the roundings add up over hundreds of steps.

# %% [markdown]
# ### B · The matrix of a step, and Nesterov's edge
#
# A step of heavy ball needs the point and the point before it, because their difference is the last move. With $p$ for
# the rate times the curvature, the move is $\beta$ times the last one, minus $p\,x_k$:
#
# $$\begin{pmatrix} x_{k+1} \\ x_k \end{pmatrix} =
# \begin{pmatrix} 1 + \beta - p & -\beta \\ 1 & 0 \end{pmatrix} \begin{pmatrix} x_k \\ x_{k-1} \end{pmatrix}$$
#
# Everything follows from the two eigenvalues of this matrix, whose product is its determinant, $\beta$. If they are
# complex, they are conjugates $a \pm bi$, whose product is $a^2 + b^2$, the square of the size of either. So both have
# the size $\sqrt\beta$, whatever the rate, and the run shrinks. If they are real, one of them can reach $-1$ or $+1$.
# An eigenvalue $\mu$ satisfies $\mu^2 - (1 + \beta - p)\,\mu + \beta = 0$. For $\mu = -1$ that gives $p = 2 + 2\beta$,
# the edge of section 4, and for $\mu = 1$ it gives $p = 0$. So there is no other edge.
#
# **Nesterov's** variant (1983) takes the gradient not where it stands, but where the velocity is about to carry it:
#
# $$v \leftarrow \beta v + \nabla L(x - \mathrm{lr}\,\beta\,v), \qquad x \leftarrow x - \mathrm{lr}\,v$$

# %% tags=["drawing"]
# The drawing
fig, ax = plt.subplots(figsize=(6.4, 2.6))
arrows = {
    "beta times the last move": ((0, 0), (1.0, -0.6), plots.REFERENCE),
    "the gradient, seen from there": ((1.0, -0.6), (0.15, 1.3), plots.SECOND),
    "the new move": ((0, 0), (1.15, 0.7), plots.STABLE),
}
plots.draw_arrows(ax, arrows, reach=(-1, 2.4, -0.7, 0.8))
plots.finish(
    ax, "Nesterov looks ahead: the gradient is taken at the end of the grey arrow"
)

# %% [markdown]
# To look ahead sounds safer, but is it? Stand at $-1$ once more, at the edge, with $\beta = 0.9$. The last move is
# carried on by $-1.8$, so the gradient is seen from $-2.8$ and is $2.8$ times as large as at $-1$. It has to supply
# $3.8$ as before, and $2.8\,p = 3.8$ gives $p = 1.36$. In general
#
# $$p = \frac{2 + 2\beta}{1 + 2\beta}$$
#
# which is *below* the 2 of plain descent. Ahead is further out, where the gradient is larger, so it corrects too much.

# %% tags=["experiment"]
# Nesterov, 1 % below and 1 % above its edge
nesterov_edge, ends = (2 + 2 * 0.9) / (1 + 2 * 0.9), []
for product in (0.99 * nesterov_edge, 1.01 * nesterov_edge):
    x, v, lr = begin, torch.zeros_like(begin), product / steepest
    for _ in range(1000):
        x, v = heavy_ball(x, v, valleys @ (x - lr * 0.9 * v), lr, 0.9)
    ends.append(farther(x))
print(
    f"Nesterov, beta 0.9, edge {nesterov_edge:.2f}: {ends[0]} of 10 diverge 1 % below,"
)
print(f"and {ends[1]} diverge 1 % above")

# %%
explorers.explore_momentum()

# %% [markdown]
# Choose Nesterov in the explorer, and watch its edge come in as beta grows.

# %% [markdown]
# ### C · A paper in small: the rate map of momentum
#
# G. Goh, *Why momentum really works* (Distill, 2017), reads the fate of a run from the eigenvalues of the matrix above.
# We run your `heavy_ball` on a grid of rates and betas, in one direction, from a fixed start, and measure the factor
# per step. Dotted is the size of the larger eigenvalue, computed from the matrix.

# %% tags=["experiment"]
# The rate map: a grid of rates and betas
product = torch.arange(0.05, 4.2, 0.05).double()
beta = torch.arange(0, 0.96, 0.025).double()[:, None]
x, v, sizes = torch.ones(39, 83).double(), torch.zeros(39, 83).double(), []
for _ in range(200):
    old, (x, v) = x, heavy_ball(x, v, x, product, beta)  # of x**2 / 2 the gradient is x
    sizes.append(torch.hypot(x, old))
factor = (sizes[-1] / sizes[99].clamp(min=1e-300)) ** (1 / 100)
trace = (1 + beta - product).to(
    torch.complex128
)  # of the matrix; its determinant is beta
root = (trace**2 - 4 * beta).sqrt()
theory = torch.maximum((trace + root).abs(), (trace - root).abs()) / 2
print(f"measured minus predicted, median size: {(factor - theory).abs().median():.0e}")
fig, ax = plt.subplots()
levels = [0.7, 0.8, 0.9, 1]
plots.plot_map(ax, product, beta, factor, theory, levels=levels, limits=(0.5, 1.2))
title = "Factor per step: colours measured; dotted 0.7, 0.8, 0.9 and 1, predicted"
plots.finish(ax, title, "lr * curvature", "beta")

# %% [markdown]
# The rightmost dotted line is the edge, $2 + 2\beta$. To its left lies a wide plain in which the factor does not depend
# on the rate at all: there the eigenvalues are complex, and it is $\sqrt\beta$.
#
# What is momentum for, then? It shortens the wait of the flat direction, and here is by how much. In the best case
# plain descent chooses its rate so that the steepest and the flattest direction have factors of equal size,
# $\frac{\kappa - 1}{\kappa + 1}$. For large $\kappa$ that is about $1 - 2/\kappa$, so $\kappa/2$ steps shrink the
# distance by a factor of $e$, and a millionth takes $\ln 10^6$ times as many. With the best rate and beta heavy ball
# reaches $\frac{\sqrt\kappa - 1}{\sqrt\kappa + 1}$, and needs only $\sqrt\kappa/2$ steps for the same (Polyak 1964). We
# count the steps to a millionth.

# %% tags=["experiment"]
# The steps that plain descent and heavy ball need


def steps_needed(kappa, lr, beta):
    curvature, count = torch.tensor([kappa, 1.0]).double(), 0
    x, v = torch.ones(2).double(), torch.zeros(2).double()
    while x.norm() > 1e-6 * math.sqrt(2):
        (x, v), count = heavy_ball(x, v, curvature * x, lr, beta), count + 1
    return count


kappas, slowest = [10, 30, 100, 300, 1000], lambda k: (k - 1) / (k + 1)
plain = [steps_needed(k, 2 / (k + 1), 0.0) for k in kappas]
ball = [steps_needed(k, 4 / (k**0.5 + 1) ** 2, slowest(k**0.5) ** 2) for k in kappas]
waits = (
    [k / 2 * math.log(1e6) for k in kappas],
    [k**0.5 / 2 * math.log(1e6) for k in kappas],
)
fig, ax = plt.subplots()
plots.plot_against_theory(
    ax, kappas, {"plain": plain, "heavy ball": ball}, waits, log="xy"
)
title = "With momentum the wait grows as the root of the condition number"
plots.finish(ax, title, "condition number", "steps to a millionth")

# %% [markdown]
# Heavy ball needs somewhat more than its theory, because right at the best setting its two eigenvalues coincide. Then
# the distance first grows before it shrinks.

# %% [markdown]
# ### D · The steepest direction of a large model
#
# A network with a million weights has a Hessian with $10^{12}$ entries. But a product $Hv$ is cheap, and a product is
# all that we need. The directional derivative of the gradient along $v$ is $Hv$, and $\nabla L \cdot v$ is one number
# whose gradient is
#
# $$\nabla\,(\nabla L \cdot v) = Hv$$
#
# because $v$ is held fixed. So a second backward pass, from that number, gives $Hv$ for about the price of a gradient.
#
# How does a product find an eigenvalue? By being repeated. For the matrix of section 3 and the start $(1, 0)$:
#
# $$\begin{pmatrix}1\\0\end{pmatrix} \to \begin{pmatrix}2\\1\end{pmatrix} \to \begin{pmatrix}5\\4\end{pmatrix}
# \to \begin{pmatrix}14\\13\end{pmatrix}$$
#
# The direction turns towards $(1, 1)$, the steepest, because that part is multiplied by 3 each time and the other by 1.
#
# ### Exercise 01.6 · ●●○ · 8 minutes
#
# Write `power_iteration(multiply, v, steps)`. `multiply(v)` returns $Hv$; `v` is an (n,) tensor, the start. Multiply
# `steps` times, bringing `v` back to length 1 each time. Return the curvature along the last `v`, which is $v \cdot
# Hv$.


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


by_products = [2 / largest_curvature(gradient_of, place) for place in (zero, minimum)]
columns = {"limit, all eigenvalues": limits, "limit, 100 products": by_products}
table({"at": ["the start", "the minimum"]} | columns)

# %% [markdown]
# A hundred products find what all 650 eigenvalues said, to the printed digits. (Power iteration finds the eigenvalue of
# the largest *size*. Here all curvatures are positive, so that is the steepest.) Lesson 07 follows this number through
# the training of a network.

# %% [markdown]
# ## Further reading
#
# - G. Goh, [Why momentum really works](https://distill.pub/2017/momentum/) (2017): the rate map, to play with.
# - R. Pascanu, T. Mikolov, Y. Bengio, [On the difficulty of training recurrent neural
#   networks](https://arxiv.org/abs/1211.5063) (2013): where cliffs come from.
# - J. Cohen et al., [Gradient descent on neural networks typically occurs at the edge of
#   stability](https://arxiv.org/abs/2103.00065) (2021): what the limit does in a network.
#
# [The solution of this lesson](../solutions/01_gradient_descent.ipynb) · [Back to the start](00_start_here.ipynb)
