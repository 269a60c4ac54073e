# %% [markdown]
# # 02 · Backpropagation
#
# **Where does the gradient of a deep network come from, and when can it be trusted?**
#
# After this lesson you can
# - write a backward pass by hand, and test it with a judge that knows no calculus,
# - say in which layer a wrong gradient was born,
# - tell how deep a gradient can be trusted, and what spoils it.
#
# Core: about 75 minutes. Deeper: another 50 minutes. It runs in 10 seconds. Needs: [lesson
# 01](01_gradient_descent.ipynb). Next: [lesson 03](03_exploding_gradients.ipynb).

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

plots.use_style()

# %% [markdown]
# ## Before you start
#
# Three short questions on earlier lessons. Answering from memory, even wrongly, is what makes it stay.

# %%
recall("02")

# %% [markdown]
# ## Predict
#
# The wall at the end of lesson 01 was made by applying one number fifty times, so its slope was a product of fifty
# factors. In a network the factors are matrices, and each layer turns and stretches what passes through it.
#
# We take layers of two units with random weights, and 24 arrows of the same length that point every way. Each layer
# multiplies every arrow by its matrix, one layer after the other.

# %%
circle = "still point every way, and some are longer than others"
oval = "point every way, but their ends form a flat oval"
line = "all lie along one line"
predict("02.a", "After 20 layers, to the naked eye, they…", [circle, oval, line])

# %% [markdown]
# ## What happens

# %%
angle = torch.linspace(0, 2 * math.pi, 25)[:-1].double()
arrows = torch.stack([angle.cos(), angle.sin()], 1)  # (24, 2)
torch.manual_seed(2)
chains = torch.randn(10, 20, 2, 2).double() / math.sqrt(2)  # ten chains of 20 layers

# %% tags=["drawing"]
# The drawing
fig, axes = plt.subplots(1, 3)
for ax, count in zip(axes, (1, 5, 20)):
    moved = arrows
    for W in chains[0, :count]:
        moved = moved @ W
    plots.plot_vectors(ax, moved)
    plots.finish(ax, f"{count} layer{'s' * (count > 1)}")

# %% tags=["reveal"]
# The prediction is settled
products = torch.stack([torch.linalg.multi_dot(list(chain)) for chain in chains])
long, wide = torch.linalg.svdvals(products).median(0).values
reveal(
    "02.a",
    line if long > 100 * wide else oval if long > 3 * wide else circle,
    f"In the median of ten chains the oval is {long / wide:.0e} times as long as wide.",
    wrong={
        circle: "One matrix makes an oval of the circle. Twenty of them make it longer "
        "and thinner, on average by a factor per layer.",
        oval: "One matrix makes an oval. Over twenty layers its length over its width "
        "has grown so far that nothing of the width is left to be seen.",
        line: "The oval stayed wide.",
    },
)

# %% [markdown]
# Each picture is drawn as large as its longest arrow. One matrix turns the circle into an oval, and a product of many
# turns it into a needle. Now and then a layer undoes a little of what the layers before it did, but on average the
# length over the width grows by a factor per layer (Deeper B follows it). So nearly everything that enters leaves along
# one line, whatever it was.
#
# A gradient passes through such a product too, from the loss back to the first layer. Whether it can be trusted after
# such a journey is easier to say for someone who has built the journey, piece by piece.

# %% [markdown]
# ## 1 · One layer, by hand
#
# A layer computes $z = hW^T + b$, and then an **activation** $\varphi$ works on each entry: $h' = \varphi(z)$. We call
# $z$ the **pre-activation**, and rows are examples, so $h$ is (B, n), $W$ is (m, n) and $z$ is (B, m).

# %% tags=["drawing"]
# The drawing
fig, ax = plt.subplots(figsize=(6.4, 1.8))
names, steps = ["h", "z", "h'", "L"], ["W, b", "activation", "later layers"]
gradients = ["dL/dh", "delta", "dL/dh'", ""]
plots.draw_chain(
    ax,
    names,
    steps,
    shapes=["(B, n)", "(B, m)", "(B, m)", ""],
    back=["", "", ""],
    gradients=gradients,
)
plots.finish(ax, "One layer: the signal goes right, the gradient comes back")

# %% [markdown]
# Take one example and numbers that fit in the head. The input is $h = (1, 2)$, there are two units, and $b = 0$:
#
# $$W = \begin{pmatrix} 1 & -1 \\ 2 & 1 \end{pmatrix}, \qquad
# z_1 = 1\cdot 1 + 2 \cdot (-1) = -1, \qquad z_2 = 1 \cdot 2 + 2 \cdot 1 = 4$$
#
# Later layers turn $z$ into the loss $L$, and suppose that they tell us how $L$ reacts: if $z_1$ grows by a tiny
# $\epsilon$, $L$ grows by $3\epsilon$, and if $z_2$ does, by $1\epsilon$. We write $\delta = \partial L/\partial z =
# (3, 1)$ and call it **delta**.
#
# How does $L$ react to the *input* $h_1$? Raise it by $\epsilon$: then $z_1$ grows by $1\epsilon$ and $z_2$ by
# $2\epsilon$, because these are the weights of $h_1$. So altogether $L$ grows by $3 \cdot 1\epsilon + 1 \cdot 2\epsilon
# = 5\epsilon$. The input acts on the loss in two ways, and the two are added.

# %% tags=["drawing"]
# The drawing
fig, ax = plt.subplots(figsize=(6.4, 2.2))
deltas, ways = ["delta 1 = 3", "delta 2 = 1"], ["times 1", "times 2"]
plots.draw_unit(ax, deltas, ways, "dL/dh 1 = 5", backward=True)
plots.finish(
    ax, "Going back: two units hand their delta to one input, and the ways add up"
)

# %% [markdown]
# The same question for everything else that made $z$:
#
# - $h_2$ has the weights $-1$ and $1$: $\;3 \cdot (-1) + 1 \cdot 1 = -2$. Together $\partial L/\partial h = (5, -2)$.
# - $W_{12}$ sits between $h_2 = 2$ and $z_1$. Raised by $\epsilon$ it moves $z_1$ by $2\epsilon$, and $L$ by $3 \cdot 2
#   = 6$. So each weight gets the delta above it times the input below it.
# - $b_1$ moves $z_1$ by just $\epsilon$, so it gets $3$.
#
# $$\frac{\partial L}{\partial h} = (5, -2), \qquad \frac{\partial L}{\partial W} = \begin{pmatrix} 3 & 6 \\ 1 & 2 \end{pmatrix}, \qquad
# \frac{\partial L}{\partial b} = (3, 1)$$
#
# In a batch every example has its own row of $h$ and of $\delta$, but all share $W$ and $b$. A shared weight acts on
# the loss through every example, so the parts of all examples are **added**. If a second example has $\delta = (1, 0)$,
# then $\partial L/\partial b = (4, 1)$.

# %% [markdown]
# ### Exercise 02.1 · ●●○ · 8 minutes
#
# Write `linear_backward(h, W, delta)` for a layer $z = hW^T + b$ and a whole batch: `h` is (B, n), `W` is (m, n),
# `delta` is (B, m). Return `dh, dW, db`, the derivatives of $L$ with respect to $h$, $W$ and $b$, each in the shape of
# its namesake.


# %%
def linear_backward(h, W, delta):
    ### BEGIN SOLUTION
    return delta @ W, delta.T @ h, delta.sum(0)
    ### END SOLUTION


linear_backward = check("02.1", linear_backward).function

# %% [markdown]
# The activation is simpler, because it works on each entry by itself. If $z_2 = 4$ and $\varphi$ is ReLU, then $h'_2$
# moves as $z_2$ does: its slope is 1. At $z_1 = -1$ ReLU is flat: its slope is 0, and nothing comes back. For tanh the
# slope is $1 - \tanh^2 z$, so at $z = 0.5$, where $\tanh z$ is about $0.46$, it is $1 - 0.21 = 0.79$.
#
# ### Exercise 02.2 · ●○○ · 5 minutes
#
# Write `activation_backward(phi, z, dh)`. `phi` is `"linear"`, `"relu"` or `"tanh"` (`"linear"` does nothing: $h' =
# z$). `dh` is the derivative of $L$ with respect to $h' = \varphi(z)$. Return the derivative with respect to $z$. At
# the kink of ReLU any slope from 0 to 1 is accepted.


# %%
def activation_backward(phi, z, dh):
    ### BEGIN SOLUTION
    slopes = {"linear": torch.ones_like(z), "relu": (z > 0).to(z.dtype)}
    slopes["tanh"] = 1 - torch.tanh(z) ** 2
    return dh * slopes[phi]
    ### END SOLUTION


activation_backward = check("02.2", activation_backward).function

# %% [markdown]
# ## 2 · A judge that knows no calculus
#
# How would you know that such code is right? Move the input a little and see what the function does. For $x^3$ at $x =
# 2$ the slope is $3x^2 = 12$. With $\epsilon = 0.1$:
#
# $$\frac{2.1^3 - 1.9^3}{0.2} = \frac{9.261 - 6.859}{0.2} = 12.01$$
#
# This is the **central difference**: the slope of the line through two points, one on either side.
#
# $$\text{slope} \approx \frac{f(x + \epsilon) - f(x - \epsilon)}{2\epsilon}$$

# %% tags=["drawing"]
# The drawing
fig, ax = plt.subplots(figsize=(6.4, 2.8))
grid, ends = torch.linspace(0, 2.2, 100).double(), torch.tensor([0.4, 1.6]).double()
line_through = ends[0] ** 3 + (ends**3).diff() / ends.diff() * (grid - ends[0])
curves = {"the curve": grid**3, "the line through two points": line_through}
curves["the true slope"] = 1 + 3 * (grid - 1)
plots.plot_against_theory(ax, grid, curves, marker="")
plots.finish(
    ax, "The curve bends between the points, so the slope is a little off", "x", "f"
)

# %% [markdown]
# It was off by $0.01$, because the curve bends between the two points. The Taylor series says by how much: $\epsilon^2
# f'''/6$, here $0.1^2 \cdot 6/6$. Halve $\epsilon$, and that error falls to a quarter.

# %%
smallest = "near 1e-7"
middle = "near 5e-3"
root = "near 3e-4"
predict("02.b", "In float32 the best eps for exp(x) is…", [smallest, middle, root])

# %% [markdown]
# The slope of $e^x$ is $e^x$ itself, so the error is easy to measure. We take 200 points between `0.5` and `1.5`, 41
# values of eps, two formats, and the median of the relative error.

# %% tags=["experiment"]
# The error of the central difference over eps, with its theory


def relative_error(eps, dtype):  # of the central difference of exp
    x = torch.linspace(0.5, 1.5, 200).to(dtype)
    slope = (torch.exp(x + eps) - torch.exp(x - eps)) / (2 * eps)
    return float((slope / torch.exp(x) - 1).abs().median())


eps = torch.logspace(-10, 0, 41).double()
dtypes = {"float32": torch.float32, "float64": torch.float64}
errors = {
    name: [relative_error(float(e), t) for e in eps] for name, t in dtypes.items()
}
theory = [eps**2 / 6 + torch.finfo(t).eps / 4 / eps for t in dtypes.values()]
fig, ax = plt.subplots()
plots.plot_against_theory(ax, eps, errors, theory, log="xy")
plots.finish(
    ax, "Too small a step drowns in rounding", "eps", "relative error of the slope"
)

# %% tags=["reveal"]
# The prediction is settled
best = float(eps[torch.tensor(errors["float32"]).argmin()])
reveal(
    "02.b",
    middle if best > 1e-3 else root if best > 1e-5 else smallest,
    f"The most accurate eps for float32 is {best:.0e}.",
    wrong={
        smallest: "There the two values of f agree in all digits but the last. Their "
        "difference is mostly rounding, and it is divided by a tiny number.",
        middle: "The V has its tip elsewhere.",
        root: "That suits the difference to one side, whose bend costs as much as eps. "
        "Here the bend costs only eps squared, so a larger eps pays.",
    },
)

# %% [markdown]
# Two straight lines make the V: on the right the bend, $\epsilon^2/6$, and on the left the rounding. Let $u$ be the
# step from 1 to the next number of the format (`torch.finfo(dtype).eps`). Each of the two values of $f$ is rounded by
# up to $u/2$, and on average by half of that. So their difference is off by some $u/2$, and dividing by $2\epsilon$
# leaves $u/4\epsilon$.
#
# The lines meet near $\epsilon = \sqrt[3]{u}$: there the bend has become as small as the rounding. Further left the
# judge only gets worse, and at last $x + \epsilon$ is rounded to $x$: the difference is 0, and the error is 1, that is
# all of it.
#
# ### Exercise 02.3 · ●●○ · 8 minutes
#
# Write `central_difference(f, x, v)`, the slope of `f` at `x` along `v`: how fast `f` grows when `x` moves along `v`.
# `x` and `v` are tensors of one shape, and `f(x)` is a number. Choose `eps` yourself, by the format of `x` (`x.dtype`).
# Two digits must be right, in `float32` and in `float64`. Some of the functions bend sharply, and none can be
# differentiated by autograd.


# %%
def central_difference(f, x, v):
    ### BEGIN SOLUTION
    eps = torch.finfo(x.dtype).eps ** (1 / 3)
    return (f(x + eps * v) - f(x - eps * v)) / (2 * eps)
    ### END SOLUTION


central_difference = check("02.3", central_difference).function

# %% [markdown]
# ## 3 · A whole network
#
# Forwards we keep what every layer saw, because the way back needs it. `h[k]` enters layer `k`, and `z[k]` is what that
# layer computes from it. Usually the last `z` is the answer of the network, and then the last entry of `h`, which
# follows it, is not used.

# %%
ACTIVATION = {"linear": lambda z: z, "relu": torch.relu, "tanh": torch.tanh}


def forward(weights, phi, x):
    h, z = [x], []
    for W in weights:
        z.append(h[-1] @ W.T)
        h.append(ACTIVATION[phi](z[-1]))
    return h, z


# %% [markdown]
# Here is the way back through two layers, in numbers. Brackets now count layers, as in the code, and layer 0 is the one
# of section 1, with ReLU. Layer 1 has a single unit, and the loss is half the square of what it computes:
#
# $$h[0] = (1, 2), \quad z[0] = (-1, 4), \quad h[1] = (0, 4), \quad W[1] = (1,\; 0.5), \quad z[1] = 2, \quad L = z[1]^2/2 = 2$$
#
# 1. The loss: $\delta[1] = z[1] = 2$.
# 2. Layer 1: $\partial L/\partial W[1] = 2 \cdot (0, 4) = (0, 8)$, and $\partial L/\partial h[1] = 2 \cdot (1,\; 0.5) =
#    (2, 1)$.
# 3. ReLU: its slopes at $z[0] = (-1, 4)$ are $(0, 1)$, so $\delta[0] = (0, 1)$. The first unit is silent, and gets
#    nothing.
# 4. Layer 0: each delta times each input, $\partial L/\partial W[0] =  \begin{pmatrix} 0 & 0 \\ 1 & 2 \end{pmatrix}$.

# %% tags=["drawing"]
# The drawing
fig, ax = plt.subplots(figsize=(6.4, 2.4))
plots.draw_chain(
    ax,
    ["h[0]", "z[0]", "h[1]", "z[1]", "L"],
    ["W[0]", "ReLU", "W[1]", "loss"],
    numbers=["(1, 2)", "(-1, 4)", "(0, 4)", "2", "2"],
    back=["", "slope", "W[1]", ""],
    gradients=["", "delta[0]", "dL/dh[1]", "delta[1]", ""],
    back_numbers=["", "(0, 1)", "(2, 1)", "2", ""],
)
plots.finish(ax, "Two layers: values above, derivatives below")

# %% [markdown]
# ### Exercise 02.4 · ●●○ · 15 minutes
#
# Write `backward(weights, phi, h, z, delta)`. `h` and `z` come from `forward`, and `delta` is $\partial L/\partial z$
# of the last layer. Return the list of $\partial L/\partial W$, first layer first. (There are no biases here.)
#
# Your `linear_backward` and `activation_backward` do the work, layer by layer from the last to the first. In layer `k`
# compute `dW`. Then, unless `k` is 0, take `dh` through the activation *below* it, whose pre-activation is `z[k - 1]`,
# and you have the next `delta`.


# %%
def backward(weights, phi, h, z, delta):
    ### BEGIN SOLUTION
    grads = []
    for k in reversed(range(len(weights))):
        dh, dW, _ = linear_backward(h[k], weights[k], delta)
        grads.insert(0, dW)
        if k > 0:
            delta = activation_backward(phi, z[k - 1], dh)
    return grads
    ### END SOLUTION


backward = check("02.4", backward).function

# %% [markdown]
# Now the digits: 64 pixels, five hidden layers of tanh, ten scores, and the cross-entropy of 100 images. Each weight is
# drawn from $N(0, \sigma_w^2/n)$, where $n$ is the number of inputs of its unit; lesson 03 says how $\sigma_w$ should
# be chosen, and here it is `1.4`. The derivative of the cross-entropy with respect to the scores is the one of lesson
# 01: the probabilities, minus 1 at the right digit, over 100.


# %%
def random_weights(sizes, sigma_w, seed):  # each entry from N(0, sigma_w^2 / n)
    g = torch.Generator().manual_seed(seed)
    pairs = zip(sizes[1:], sizes[:-1])
    draw = lambda m, n: torch.randn(m, n, generator=g, dtype=torch.float64)
    return [draw(m, n) * sigma_w / n**0.5 for m, n in pairs]


data = digits()
x, y = data.x_train[:100].double(), data.y_train[:100]
weights = random_weights([64] * 6 + [10], 1.4, seed=0)
h, z = forward(weights, "tanh", x)
delta = (torch.softmax(z[-1], 1) - torch.nn.functional.one_hot(y, 10)) / 100
by_hand = backward(weights, "tanh", h, z, delta)

# %% [markdown]
# Two judges look at the first layer: the central difference along a random direction, and torch's own backward pass.

# %% tags=["experiment"]
# Two judges of the first layer's gradient


def loss_of(first):  # the loss as a function of the first layer's weights alone
    scores = forward([first, *weights[1:]], "tanh", x)[1][-1]
    return torch.nn.functional.cross_entropy(scores, y)


along = torch.randn(64, 64, generator=torch.Generator().manual_seed(1)).double()
measured = central_difference(loss_of, weights[0], along)
first = weights[0].clone().requires_grad_()
(by_autograd,) = torch.autograd.grad(loss_of(first), first)
off = (by_hand[0] - by_autograd).norm() / by_autograd.norm()
difference_off = abs(measured / (by_hand[0] * along).sum() - 1)
print(
    f"central difference: off by less than a millionth: {bool(difference_off < 1e-6)}"
)
print(f"autograd: equal to 14 digits: {bool(off < 1e-14)}")

# %% [markdown]
# So ten lines are a backward pass, and two judges confirm it. Neither uses your code, and one of them knows no
# calculus. The judge without calculus needed two forward passes for *one* direction, and there are 64 x 64 of them in
# this layer alone. Backpropagation found all derivatives on one way back. That is why it, and not the central
# difference, is used to train networks.

# %% [markdown]
# ## 4 · Where was the error born?
#
# Suppose a judge says that some gradients are wrong. Which line of your code is to blame? To find out, look at the four
# steps of section 3 again and ask of each result: who uses it further on? `dh` is handed down, through the slopes, to
# all layers below. `dW` and `db` are handed to nobody, because they are ends of the chain.
#
# We spoil one result in layer 2 of the network above, whose six layers are numbered from 0, and compare with the right
# gradients, layer by layer. First `db` is spoilt, by a mean over the batch in place of the sum, then `dW`, from the
# wrong input. (For `db` every layer gets a bias, which is 0.) At last we spoil what layer 2 hands down: `dh` goes on
# without the slope. Where will the gradients be wrong then?

# %%
above = "in all layers from 2 up to the last"
at_it = "in layer 2 and in all below it"
below = "in all layers below 2, but not in 2 itself"
predict(
    "02.d", "With dh spoilt in layer 2, gradients are wrong…", [above, at_it, below]
)

# %% [markdown]
# The table names, from the last layer down, the results that differ from the right ones.

# %% tags=["experiment"]
# One result spoilt in layer 2, and what is wrong then


def with_biases(spoilt):  # [(dW, db)] of the layers; the named result is wrong in 2
    grads, d = [], delta
    for k in reversed(range(6)):
        dh, dW, db = linear_backward(h[k], weights[k], d)
        if k == 2 and spoilt == "db":
            db = db / len(x)
        if k == 2 and spoilt == "dW":
            dW = d.T @ h[k + 1]
        grads.insert(0, (dW, db))
        slope_forgotten = k == 2 and spoilt == "dh"
        d = (
            dh
            if k == 0 or slope_forgotten
            else activation_backward("tanh", z[k - 1], dh)
        )
    return grads


def wrong_ones(spoilt):
    pairs = zip(with_biases(spoilt), with_biases(None))
    marks = [
        [not torch.allclose(a, b) for a, b in zip(got, want)] for got, want in pairs
    ]
    named = [[n for n, bad in zip(("dW", "db"), mark) if bad] for mark in marks]
    return [", ".join(names) or "-" for names in reversed(named)]


columns = {f"{name} spoilt in layer 2": wrong_ones(name) for name in ("db", "dW", "dh")}
table({"layer": range(5, -1, -1)} | columns)

# %% tags=["reveal"]
# The prediction is settled
spoilt = wrong_ones("dh")  # from the last layer down
untouched, hit = spoilt[:4] == ["-"] * 4, spoilt[4:] == ["dW, db"] * 2
reveal(
    "02.d",
    below if untouched and hit else at_it if hit else above,
    "Layers 0 and 1 are wrong, in all their results.",
    wrong={
        above: "The layers above had handed down their results before layer 2 began.",
        at_it: "The dW and db of layer 2 come from its own delta, which is right. Only "
        "what it hands on is wrong.",
        below: "Layer 2 or a layer above it was wrong, too.",
    },
)

# %% [markdown]
# A wrong `db` or `dW` shows up in its own layer, and nowhere else, because nothing is computed from it. A wrong `dh` is
# different: its own layer looks clean, and *every* layer below is wrong. So read such a table from the loss downwards,
# as it stands here, to the first wrong entry.
#
# - Only `dW` is wrong, or only `db`, in one layer: that result itself is to blame.
# - Both are wrong, there and in all layers below: its delta was wrong. Look one layer nearer to the loss, at what was
#   handed down and at the slope on the way.
# - Only `dW`, or only `db`, in *all* layers: they share one function, and one line of it is wrong.
#
# The sizes differ too. The mean in place of the sum makes `db` too small by a factor of the number of examples, at any
# depth. An error in `dh` is multiplied by every layer on its way, like everything that travels back, so it can arrive
# much larger or smaller than it was born.

# %% [markdown]
# ## 5 · How far a rounding grows
#
# There is one error that no code is free of: every number is rounded, by up to half of `torch.finfo(dtype).eps`,
# measured against its own size. A rounding in the first layer is a small change of the signal, and later layers stretch
# it as they stretch everything.
#
# Suppose each layer multiplies a small change by $1.2$. In `float32` a rounding begins at $6 \cdot 10^{-8}$. It has
# grown to the size of the signal, 1, when $1.2^k = 1/(6 \cdot 10^{-8})$, so after $k = \ln(1.7 \cdot 10^7)/\ln 1.2
# \approx 91$ layers. It is the picture of lesson 00 in new clothes: a small factor, repeated, is a large one.
#
# ### Exercise 02.7 · ●○○ · 4 minutes
#
# Each layer multiplies a small change by `growth` (above 1). Write `noise_depth(growth, dtype)`: after how many layers
# has a rounding grown to 1, if it begins at half of `torch.finfo(dtype).eps`? Return the number as it comes, not
# rounded to whole layers.


# %%
def noise_depth(growth, dtype):
    ### BEGIN SOLUTION
    return math.log(2 / torch.finfo(dtype).eps) / math.log(growth)
    ### END SOLUTION


noise_depth = check("02.7", noise_depth).function

# %% [markdown]
# ## Claim on trial: W7
#
# *Two implementations that agree prove the gradient right.* Nobody teaches it, and everybody is tempted by it, because
# it is so easy to check.
#
# We take two kinds of networks of width 64, ReLU at `sigma_w = 2.18` and tanh at `4`. The scales are chosen so that
# gradients of both grow by about the same factor per layer, $1.5$. The last activation counts here: the loss is the sum
# of the last `h`, each entry times a random number `c`. The gradient of the first layer is computed in `float32` twice,
# by your code and by autograd. At 40 tanh layers the two agree to five digits.

# %%
none = "none"
three = "about three"
five = "all five"
predict("02.c", "How many of the five digits are right?", [none, three, five])

# %% [markdown]
# **Our prediction.** Forwards a rounding passes the same weights and slopes that a gradient passes backwards, so on
# average it grows by the same factor per layer. A tanh unit stays between $-1$ and $1$: its signal cannot grow, but a
# rounding can. After about `noise_depth` layers it is as large as the signal. Then every $z$ is wrong, the slopes taken
# there are wrong, and the gradient that is multiplied by them is noise. In the ReLU network the signal itself grows by
# the same factor as the rounding. So the rounding stays as small, *compared with the signal*, as it was.
#
# The judge is `float64`, ten networks of each kind and depth. The control is a third program that adds up in another
# order: the units of every layer are numbered backwards, which changes nothing in mathematics.

# %% tags=["experiment"]
# One network: its gradient by four programs


def trial(phi, sigma_w, layers, seed):
    weights = [W.float() for W in random_weights([64] * (layers + 1), sigma_w, seed)]
    generator = torch.Generator().manual_seed(seed + 100)
    x, c = torch.randn(2, 8, 64, generator=generator, dtype=torch.float64).float()

    def by_hand(weights, x, c):
        h, z = forward(weights, phi, x)
        return backward(weights, phi, h, z, activation_backward(phi, z[-1], c))[
            0
        ].double()

    first = weights[0].clone().requires_grad_()
    loss = (forward([first, *weights[1:]], phi, x)[0][-1] * c).sum()
    (auto,) = torch.autograd.grad(loss, first)
    true = by_hand([W.double() for W in weights], x.double(), c.double())
    ours = by_hand(weights, x, c)
    turned = by_hand([W.flip(0, 1) for W in weights], x.flip(1), c.flip(1)).flip(0, 1)
    off = lambda a, b: (a - b).norm() / b.norm()
    return [true.norm(), off(ours, true), off(ours, auto.double()), off(ours, turned)]


layers, nets = [10, 20, 30, 40, 50], {"relu": 2.18, "tanh": 4.0}
found = {
    p: [[trial(p, s, L, k) for k in range(10)] for L in layers] for p, s in nets.items()
}
found = {phi: torch.tensor(rows) for phi, rows in found.items()}  # (depths, seeds, 4)
size, wrong, apart, turned = (
    {p: t[..., k] for p, t in found.items()} for k in range(4)
)

# %% tags=["experiment"]
# The errors over depth, with their theory
growth = {p: float(s[-1].median() / s[0].median()) ** (1 / 40) for p, s in size.items()}
depth = noise_depth(growth["tanh"], torch.float32)
print({phi: f"{g:.2f} per layer" for phi, g in growth.items()})
print(f"predicted: noise from {depth:.0f} tanh layers on")
theory = [[2**-24] * 5, [min(2**-24 * growth["tanh"] ** L, 1) for L in layers]]
fig, ax = plt.subplots()
plots.plot_against_theory(ax, layers, wrong, theory, log="y", rough=True)
title = "Same growth, same code: one gradient is noise"
plots.finish(ax, title, "layers", "error against float64")

# %% tags=["reveal"]
# The prediction is settled
off = {phi: int((w[3] > 0.1).sum()) for phi, w in wrong.items()}
reveal(
    "02.c",
    none if off["tanh"] > 5 else three,
    f"Not even the first digit holds in {off['tanh']} of 10 networks.",
    wrong={
        none: "Most of the networks kept some digits.",
        three: "Rounding grows by a fixed factor per layer. It does not stop halfway: "
        "after noise_depth layers it has eaten every digit.",
        five: "The two programs agree because they make the same roundings in the "
        "same order. That shows that they compute the same thing, and not that it "
        "means something.",
    },
)

# %% tags=["experiment"]
# The verdict on W7
agreed = {p: apart[p] < 1e-5 for p in nets}  # they agree; each (depths, seeds)
right = {p: (agreed[p] & (wrong[p] < 0.1)).sum(1) for p in nets}  # and are right
found = {
    "ReLU, 10 layers": mostly(right["relu"][0]),
    "ReLU, 40 layers": mostly(right["relu"][3]),
    "tanh, 10 layers": mostly(right["tanh"][0]),
    "tanh, 40 layers": mostly(right["tanh"][3]),
}
shown = int((turned["tanh"][3] > 0.1).sum())
evidence = (
    "Width 64 at the start, float32, no training. At 40 layers the two agree to five "
)
evidence += (
    f"digits in {int(agreed['relu'][3].sum())} of 10 ReLU networks, and are right "
)
evidence += f"in {int(right['relu'][3])}; of 10 tanh networks they agree in "
evidence += f"{int(agreed['tanh'][3].sum())} and are right, to a tenth, in "
evidence += f"{int(right['tanh'][3])}. Another order of adding shows it in {shown}."
verdict("W7", found, evidence)

# %% [markdown]
# Where a rounding stays small, the two agreed and were right: so agreement is evidence. It is no proof, and the
# everyday reason is simple: two programs can share a wrong loss or a wrong formula. Here both programs were right. Hand
# and autograd agreed because both ran the same operations in the same order, roundings included. The program that adds
# in another order went its own way. Noise came earlier than predicted: the dotted line has the right slope and begins
# too low, because every layer adds roundings of its own. The size of that gap we did not predict.
#
# And is at least `float64` right? Nudge the input a little and compare the gradients before and after by the size of
# their cosine: 1 means that they lie along one line, 0 that they have nothing in common. The table gives medians over
# ten networks of 40 layers.

# %% tags=["experiment"]
# The gradient before and after a nudge of the input


def direction_kept(phi, sigma_w, nudge, seed, L=40):
    weights = random_weights([64] * (L + 1), sigma_w, seed)
    generator, pair = torch.Generator().manual_seed(seed + 7), []
    x, c, v = torch.randn(3, 8, 64, generator=generator, dtype=torch.float64)
    for start in (x, x + nudge * v):
        h, z = forward(weights, phi, start)
        delta = activation_backward(phi, z[-1], c)
        pair.append(backward(weights, phi, h, z, delta)[0].flatten())
    return torch.cosine_similarity(*pair, dim=0).abs()


def median_kept(phi, sigma_w, nudge):
    kept = [direction_kept(phi, sigma_w, nudge, seed) for seed in range(10)]
    return f"{float(torch.stack(kept).median()):.1f}"


nudges = [1e-3, 1e-6, 1e-9, 1e-15]
cosines = {phi: [median_kept(phi, s, n) for n in nudges] for phi, s in nets.items()}
table({"nudge": nudges} | cosines)

# %% [markdown]
# At $1.5$ per layer the `noise_depth` of `float64` is about 90 layers, so at 40 its rounding does no harm. But the
# gradient that it computes is good for one input only: a millionth further on it is quite another one. Growth of small
# changes under a signal that stays bounded is called **chaos**. There no implementation helps, because a step in that
# direction is useless a hair's breadth away.
#
# Explosions come in two kinds, then: with a signal that grows as fast, and without.

# %% [markdown]
# ## On a real run
#
# - You wrote a backward pass? `torch.autograd.gradcheck` is your central difference for every entry. It wants
#   `float64`, inputs of few entries, and no kinks.
# - Test it at several points and depths, because a check that passed at one point proves that point.
# - Gradients are wrong in many layers? Find the wrong one that is nearest to the loss, and look at what was handed to
#   it.
# - A gradient looks odd? Take it twice, with inputs moved by a millionth. If the direction turns, no implementation
#   will help: the network is chaotic, and its initialisation has to change.
# - `bfloat16` keeps 8 significant bits, `float32` 24, so its `noise_depth` is about a third.

# %% [markdown]
# ## Summary
#
# A backward pass hands delta from layer to layer, times the weights and times the slopes, and gives each weight its
# delta times its input, added over all examples. A wrong `dh` is handed down and spoils everything below; a wrong `dW`
# or `db` spoils only itself. Two programs that agree show that they compute the same thing. In a chaotic network that
# may be the same noise, because a rounding grows by a factor in every layer.

# %% [markdown]
# ## Deeper
#
# Four parts follow: a weight that is used twice, the whole chain as one matrix, what the norms of its factors say
# (claim W9), and how wide the spectrum of a deep network is. The last two use a function from B.
#
# ### A · A value used twice
#
# A recurrent network uses one $W$ at every step, and a skip path uses one $h$ in two places. Then the loss depends on
# it in two ways, and **the ways add up**, as they did for one input and two units in section 1. With numbers: if $L = w
# \cdot (w \cdot 3)$ at $w = 2$, the outer $w$ gets $w \cdot 3 = 6$, the inner one $w \cdot 3 = 6$, together $12$. And
# indeed $L = 3w^2$ has the derivative $6w = 12$. In code this is the difference between `=` and `+=`.

# %% tags=["drawing"]
# The drawing
fig, ax = plt.subplots(figsize=(6.4, 1.8))
values, steps = ["x", "z1", "h", "z2", "L"], ["W", "tanh", "W", "times c"]
plots.draw_chain(ax, values, steps, back=["", "", "", ""])
plots.finish(ax, "One W in two places: the gradient comes past both")

# %% [markdown]
# ### Exercise 02.5 · ●●○ · 8 minutes
#
# Two layers share a square $W$: $h = \tanh(x W^T)$, then $z_2 = h W^T$. The loss is the sum of the entries of $c$ times
# those of $z_2$. Write `tied_backward(W, x, c)`, which returns $\partial L/\partial W$, with the help of your
# `linear_backward` and `activation_backward`.


# %%
def tied_backward(W, x, c):
    ### BEGIN SOLUTION
    h = torch.tanh(x @ W.T)
    dh, dW, _ = linear_backward(h, W, c)
    delta = activation_backward("tanh", x @ W.T, dh)
    dW += delta.T @ x
    return dW
    ### END SOLUTION


tied_backward = check("02.5", tied_backward).function

# %% [markdown]
# torch keeps to the same rule: whatever reaches a weight is added to its `.grad`. A second call of `backward` counts as
# one more way, and therefore a training loop must clear it.

# %% [markdown]
# ### B · The chain as one matrix
#
# Between input and output stands the **Jacobian** $J$, which holds the derivative of every output with respect to every
# input. A small change $v$ of the input moves the output by $Jv$, and a gradient $g$ comes back as $J^Tg$. By the chain
# rule $J$ is a product, layer by layer, of $W$ and the slopes. With one layer, $W = \begin{pmatrix} 1 & -1 \\ 2 & 1
# \end{pmatrix}$ and ReLU slopes $(0, 1)$, the change $v = (1, 0)$ becomes $Wv = (1, 2)$, and then $(0, 2)$.
#
# ### Exercise 02.6 · ●●○ · 8 minutes
#
# Write `push_forward(weights, phi, x, v)`. `x` and `v` are (B, n): inputs, and a small change of each. Here every layer
# is $\varphi(xW^T)$, the last one too. Return the change of the output to first order, which is exactly $Jv$, without
# building $J$. Nothing needs to be kept, and nothing goes backwards. (`ACTIVATION[phi]` is $\varphi$, and your
# `activation_backward` multiplies by its slope.)


# %%
def push_forward(weights, phi, x, v):
    ### BEGIN SOLUTION
    for W in weights:
        z = x @ W.T
        v = activation_backward(phi, z, v @ W.T)
        x = ACTIVATION[phi](z)
    return v
    ### END SOLUTION


push_forward = check("02.6", push_forward).function

# %% [markdown]
# Push all unit vectors at once and you have $J$ itself. Its **singular values** say how much it stretches each of a set
# of perpendicular directions. The circle became an oval, and they are the half axes of that oval.


# %%
def jacobian(weights, phi, x):  # x (n,): one example
    n = len(x)
    return push_forward(weights, phi, x.expand(n, n), torch.eye(n).double()).T


# %% [markdown]
# Chains of 1, 5 and 20 layers of 64 linear units, one network each, with weights that keep the mean square of a signal.

# %% tags=["experiment"]
# Singular values of chains of 1, 5 and 20 layers
image = x[0]
chain = random_weights([64] * 21, 1.0, seed=0)
stretch = {L: jacobian(chain[:L], "linear", image) for L in (1, 5, 20)}
stretch = {
    f"{L} layer{'s' * (L > 1)}": torch.linalg.svdvals(J) for L, J in stretch.items()
}
fig, ax = plt.subplots()
curves = {name: values[:40] for name, values in stretch.items()}
plots.plot_history(
    ax, curves, ylabel="stretched by", xlabel="singular value, from the largest"
)
plots.finish(ax, "Depth stretches a few directions and flattens the rest")

# %% [markdown]
# These are the 40 largest of 64, and only a few of them grow. What is stretched twice as much per layer as the rest is
# a million times longer after 20 layers. Here no activation is at work, so try the others in the explorer: what do
# orthogonal weights change, with each activation? At which `sigma_w` does a tanh chain of 40 layers keep its size?

# %%
explorers.explore_jacobian()

# %% [markdown]
# <details><summary>What we found</summary>Orthogonal and linear: every direction keeps its length at every depth. With
# ReLU orthogonal weights help little, because half of all slopes are 0. With tanh they keep the directions together
# only at a small <code>sigma_w</code>. A tanh chain keeps its size a little above 1, ReLU at the root of 2.</details>

# %% [markdown]
# ### C · Claim on trial: W9
#
# *The product of the layers' norms bounds the gradient, so it tells us something.* It is often taught for explosions.
# The norm of a matrix is its largest singular value, and one wide random matrix shows how large it is.

# %% tags=["drawing"]
# The drawing
(wide_one,) = random_weights([400, 400], 1.0, seed=0)
fig, ax = plt.subplots(figsize=(6.4, 2.4))
ax.hist(torch.linalg.svdvals(wide_one), bins=40, color=plots.STABLE)
plots.mark_vertical(ax, 2.0, "2")
title = "The singular values of one Gaussian matrix at sigma_w = 1 end at 2"
plots.finish(ax, title, "singular value", "how many of 400")

# %% [markdown]
# So with Gaussian weights at `sigma_w = 1` the bound says $2^L$ for $L$ layers. That would be right if the direction
# which one layer stretches most came out as the direction which the next layer stretches most, which in random layers
# it does not.
#
# **Our prediction.** The largest singular value of the product tends to $\sqrt{(L+1)^{L+1}/L^L}$, about
# $\sqrt{e(L+1)}$. (That is a theorem on wide Gaussian matrices, from Penson and Życzkowski 2011, and Nait Saada and
# Naderi 2024. We take it from them.) The bound is too large by the quotient of the two. The control that could
# embarrass us: orthogonal weights stretch every direction alike, so for them the bound must be exact. We take ten
# chains of each kind, of width 64.

# %% tags=["experiment"]
# The bound of the norms over the true stretching
depths, too_large = [1, 2, 5, 10, 15, 20], {}
for name in ("Gaussian", "orthogonal"):
    rows = []
    for seed in range(10):
        chain = random_weights([64] * 21, 1.0, seed)
        chain = chain if name == "Gaussian" else [torch.linalg.qr(W).Q for W in chain]
        norms = torch.stack([torch.linalg.matrix_norm(W, 2) for W in chain]).cumprod(0)
        jacobians = [jacobian(chain[:L], "linear", image) for L in depths]
        true = [torch.linalg.matrix_norm(J, 2) for J in jacobians]
        rows.append([norms[L - 1] / s for L, s in zip(depths, true)])
    too_large[name] = torch.tensor(rows).T  # (depths, seeds)
bound = [2**L / math.sqrt((L + 1) ** (L + 1) / L**L) for L in depths]
fig, ax = plt.subplots()
plots.plot_against_theory(ax, depths, too_large, [bound, [1] * 6], log="y")
ax.set_xticks(depths)
title = "The bound of the norms is true, and too large by more with every layer"
plots.finish(ax, title, "layers", "bound / largest stretching")

# %% tags=["experiment"]
# The verdict on W9
gauss_over, orthogonal_over = (rows.median(1).values for rows in too_large.values())
found = {
    "Gaussian weights, 2 layers": at_most(gauss_over[1], 10),
    "Gaussian weights, 20 layers": at_most(gauss_over[-1], 10),
    "orthogonal weights, 20 layers": at_most(orthogonal_over[-1], 10),
}
evidence = "Linear layers of width 64 at the start, no training: the bound is "
evidence += f"{gauss_over[1]:.1f} times too large with 2 Gaussian layers, "
evidence += f"{gauss_over[-1]:.0e} times with 20, and {orthogonal_over[-1]:.1f} times "
evidence += "with 20 orthogonal ones. (It tells something up to ten times.)"
verdict("W9", found, evidence)

# %% [markdown]
# A gradient that enters a layer points in no direction that this layer favours, since the layer was drawn
# independently. So it meets the *average* stretching, and not the largest. Lesson 03 computes that average, with a
# pencil.

# %% [markdown]
# ### D · A paper in small: how wide is the spectrum?
#
# J. Pennington, S. Schoenholz and S. Ganguli (*Resurrecting the sigmoid*, 2017) ask for more than an average: all
# singular values should lie close together, so that no direction is lost. They find that ReLU networks cannot have
# that, and tanh networks only with orthogonal weights. Here are two networks of 16 layers whose *mean* squared
# stretching is 1.

# %% tags=["experiment"]
# The squared singular values of one network


def network(
    phi, orthogonal, seed, layers=16, n=128
):  # its squared singular values, mean 1
    chain = random_weights([n] * (layers + 1), 1.0, seed)
    chain = [torch.linalg.qr(W).Q for W in chain] if orthogonal else chain
    chain = [W * math.sqrt(2) for W in chain] if phi == "relu" else chain
    x = torch.randn(n, generator=torch.Generator().manual_seed(seed)).double() / 8
    squares = torch.linalg.svdvals(jacobian(chain, phi, x)) ** 2
    return squares / squares.mean()


fig, axes = plt.subplots(1, 2, figsize=(6.4, 2.4))
titles = {
    ("relu", False): "ReLU, Gaussian: wide",
    ("tanh", True): "tanh, orthogonal: narrow",
}
bins = torch.logspace(-8, 2, 41)
for ax, (kind, title) in zip(axes, titles.items()):
    ax.hist(network(*kind, seed=0).clamp(min=1e-8), bins=bins, color=plots.STABLE)
    ax.set_xscale("log")
    plots.finish(ax, title, "squared stretching", "how many of 128")

# %% [markdown]
# On the left most directions are flattened to nothing (the first bar holds all that is smaller still), while a few are
# stretched many times. On the right all stay together. A number for the width is the **spread**, variance over squared
# mean. What does one layer add to this spread? For ReLU the squared slope is 0 or 1, half and half. Its mean is $1/2$
# and its variance $1/4$, so the spread is $\frac{1/4}{(1/2)^2} = 1$. For any activation, with $E$ for the mean over the
# units, it is
#
# $$\frac{E[\varphi'^4]}{E[\varphi'^2]^2} - 1$$
#
# A Gaussian matrix has the spread 1, an orthogonal one 0. The result of the paper that we test: in wide networks the
# spreads of all factors **add up**, as variances do when independent things are added. So 16 ReLU layers with Gaussian
# weights should have $16 \cdot (1 + 1) = 32$.
#
# Reduced against the paper: width 128, small inputs (mean square $1/64$), no biases. There are ten networks of each
# kind, and the expectations are taken over 20000 evenly spaced quantiles of a Gaussian.

# %% tags=["experiment"]
# The spread, predicted and measured
gauss = torch.special.ndtri((torch.arange(20000).double() + 0.5) / 20000)


def predicted_spread(phi, q, layers):  # q: the mean square of the signal
    total = 0.0
    for _ in range(layers):
        z = gauss * math.sqrt(q)
        slope = activation_backward(phi, z, torch.ones_like(z))
        total += float((slope**4).mean() / (slope**2).mean() ** 2 - 1)
        q = float((ACTIVATION[phi](z) ** 2).mean())
    return total


kinds = [(phi, orthogonal) for phi in ACTIVATION for orthogonal in (False, True)]
spreads = [
    [float(network(*kind, seed).var(correction=0)) for seed in range(10)]
    for kind in kinds
]
theory = [
    predicted_spread(phi, 1 / 64, 16) + 16 * (not orthogonal)
    for phi, orthogonal in kinds
]
medians, (low, high) = plots.median_and_band(torch.tensor(spreads), dim=1)
names = [
    f"{phi}, {'orthogonal' if orthogonal else 'Gaussian'}" for phi, orthogonal in kinds
]
show = lambda values: [f"{v:.2g}" if abs(v) > 1e-9 else "0" for v in values]
columns = zip(
    ["predicted", "measured", "10 %", "90 %"], map(show, [theory, medians, low, high])
)
table({"": names} | dict(columns))

# %% [markdown]
# The theory is for endless width. At this one ReLU with orthogonal weights lies above its prediction by more than its
# band. The finding stands: with orthogonal weights a tanh chain near the origin is almost a rotation, and a ReLU chain
# is not. Lesson 05 asks what that buys in training, if anything.

# %% [markdown]
# ## Further reading
#
# - A. Karpathy and others, [CS231n notes on learning](https://cs231n.github.io/neural-networks-3/): gradient checks in
#   practice, with the pitfalls.
# - J. Pennington, S. Schoenholz, S. Ganguli, [Resurrecting the sigmoid](https://arxiv.org/abs/1711.04735) (2017): the
#   whole spectrum, by free probability.
# - T. Nait Saada, A. Naderi, [The largest singular value of a product of Gaussian
#   matrices](https://arxiv.org/abs/2409.20180) (2024): the limit drawn over our bound, proved.
#
# [The solution of this lesson](../solutions/02_backpropagation.ipynb) · [Back to the start](00_start_here.ipynb)
