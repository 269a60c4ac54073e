# %% [markdown]
# # 02 · Backpropagation
#
# **Where does the gradient of a deep network come from, and when can it be trusted?**
#
# After this lesson you can
# - write a backward pass by hand, and test it with and without autograd,
# - say why a deep chain stretches a few directions and flattens the rest,
# - predict at which depth a chaotic network's gradient is nothing but rounding.
#
# About 80 to 110 minutes to work (pause after section 4), 15 seconds to run. Needs: [lesson 01](01_gradient_descent.ipynb). Next: [lesson 03](03_exploding_gradients.ipynb).

# %%
import math

import matplotlib.pyplot as plt
import torch

from gradutils import explorers, plots
from gradutils.course import check, predict, reveal, table, verdict
from gradutils.data import digits

plots.use_style()

# %% [markdown]
# ## Predict
#
# The wall at the end of lesson 01 was made by applying one weight fifty times. Its slope was a product of fifty numbers. In a network the factors are
# matrices: each layer turns and stretches what passes through it.
#
# We take layers of two units with random weights, and arrows of the same length that point every way. Each layer multiplies every arrow by
# its matrix.

# %%
options = ["still point every way", "point every way, but the circle is an oval", "all lie along one line"]
predict("02.a", "After 20 layers the arrows, seen with the naked eye…", options)

# %% [markdown]
# ## What happens

# %%
angle = torch.linspace(0, 2 * math.pi, 25)[:-1].double()
circle = torch.stack([angle.cos(), angle.sin()], 1)  # (24, 2)
torch.manual_seed(2)
chains = torch.randn(10, 20, 2, 2).double() / math.sqrt(2)  # ten chains of 20 layers

# %%
fig, axes = plt.subplots(1, 3)
for ax, layers in zip(axes, (1, 5, 20)):
    arrows = circle
    for W in chains[0, :layers]:
        arrows = arrows @ W
    plots.plot_vectors(ax, arrows)
    plots.finish(ax, f"{layers} layer{'s' * (layers > 1)}")

# %%
products = torch.stack([torch.linalg.multi_dot(list(chain)) for chain in chains])  # (10, 2, 2)
long, wide = torch.linalg.svdvals(products).median(0).values
because = f"In the median of ten chains the oval is {long / wide:.0e} times as long as wide."
reveal("02.a", "c" if long > 100 * wide else "b", because)

# %% [markdown]
# Each picture is drawn as large as its longest arrow. One matrix makes an oval of the circle. A product of many makes a needle: nearly everything that enters
# comes out along one line, whatever it was. (How long the arrows get is a matter for lesson 03.) A gradient travels through such a product, from the loss back to the first layer. Let us build that journey, piece by piece.

# %% [markdown]
# ## 1 · One layer, backwards
#
# A layer does two things: $z = h W^T + b$, then $h' = \varphi(z)$. Rows are examples: $h$ is (B, n), $W$ is (m, n), $z$ is (B, m).
#
# Going backwards we are handed $\delta = \partial L/\partial z$, the slope of the loss by each entry of $z$. From it follow the slopes by everything
# that made $z$. The chain rule says: the slope above, times the local slope, added up over all ways.
#
# ### Exercise 02.1 · ●●○ · 8 minutes
#
# Write `linear_backward(h, W, delta)`. Return `dh, dW, db`: the slopes of $L$ by $h$, $W$ and $b$, each of the shape of its namesake.


# %%
def linear_backward(h, W, delta):
    ### BEGIN SOLUTION
    return delta @ W, delta.T @ h, delta.sum(0)
    ### END SOLUTION


linear_backward = check("02.1", linear_backward).function

# %% [markdown]
# The activation works on each entry by itself, so going backwards each entry is multiplied by its own slope.
#
# ### Exercise 02.2 · ●○○ · 5 minutes
#
# Write `activation_backward(phi, z, dh)`. `phi` is `"linear"`, `"relu"` or `"tanh"` (`"linear"` does nothing: $h' = z$). `dh` is the slope of $L$ by $h' = \varphi(z)$. Return the
# slope by $z$. At the kink of ReLU any answer is taken.


# %%
def activation_backward(phi, z, dh):
    ### BEGIN SOLUTION
    slope = {"linear": torch.ones_like(z), "relu": (z > 0).to(z.dtype), "tanh": 1 - torch.tanh(z) ** 2}[phi]
    return dh * slope
    ### END SOLUTION


activation_backward = check("02.2", activation_backward).function

# %% [markdown]
# ## 2 · A judge that knows no calculus
#
# How would you know that such code is right? Move the input a little and see what the function does:
#
# $$\text{slope} \approx \frac{f(x + \epsilon) - f(x - \epsilon)}{2\epsilon}$$
#
# This is the **central difference**. The curve bends between the two points, which costs a relative error of $\epsilon^2 f'''/6f'$. By this alone, the smaller $\epsilon$ the better.

# %%
question = "float32 keeps about seven digits. Which eps gives the most accurate slope of exp(x)?"
predict("02.b", question, ["about 1e-8: the smaller the better", "about 1e-5", "about 1e-2"])


# %%
def relative_error(eps, dtype):  # of the central difference of exp, whose slope is exp itself
    x = torch.linspace(0.5, 1.5, 200).to(dtype)
    slope = (torch.exp(x + eps) - torch.exp(x - eps)) / (2 * eps)
    return float((slope / torch.exp(x) - 1).abs().median())


# %%
eps = torch.logspace(-10, 0, 41).double()
formats = {"float32": torch.float32, "float64": torch.float64}
errors = {name: [relative_error(float(e), dtype) for e in eps] for name, dtype in formats.items()}
theory = [eps**2 / 6 + torch.finfo(dtype).eps / 4 / eps for dtype in formats.values()]

# %%
fig, ax = plt.subplots()
plots.plot_against_theory(ax, eps, errors, theory, log="xy")
plots.finish(ax, "Too small a step drowns in rounding", "eps", "relative error of the slope")

# %%
best = float(eps[torch.tensor(errors["float32"]).argmin()])
because = f"The best eps for float32 is {best:.0e}. Below it the two values of f agree in all but their last digits."
reveal("02.b", "c" if best > 1e-3 else "b" if best > 1e-6 else "a", because)

# %% [markdown]
# Two straight lines make the V: the bend, $\epsilon^2/6$ here, and the rounding, about $u/\epsilon$, where $u$ is `torch.finfo(dtype).eps`, the step from 1 to the next number of the format.
# (Dotted: $u/4\epsilon$, because a rounding is at most $u/2$, and $u/4$ on average.) They meet near $\epsilon = \sqrt[3]{u}$. Far to the left `float32` sees no difference at all: the slope comes out as 0, the error as 1.

# %% [markdown]
# ### Exercise 02.3 · ●●○ · 8 minutes
#
# Write `central_difference(f, x, v)`: the slope of `f` at `x` along `v`, a number. `x` and `v` are tensors of one shape, `f(x)` is a number. Choose `eps`
# yourself, by the format of `x` (`x.dtype`). Two digits must be right, in `float32` and in `float64`, without autograd. Some of the functions bend sharply.


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
# Forwards we keep what every layer saw: `h[k]` enters layer `k`, and `z[k]` is what it computes, its **pre-activation**. The last `z` is the network's answer; no activation follows it (the last `h` is not used).

# %%
ACTIVATION = {"linear": lambda z: z, "relu": torch.relu, "tanh": torch.tanh}


def forward(weights, phi, x):
    h, z = [x], []
    for W in weights:
        z.append(h[-1] @ W.T)
        h.append(ACTIVATION[phi](z[-1]))
    return h, z


# %% [markdown]
# ### Exercise 02.4 · ●●● · 15 minutes
#
# Write `backward(weights, phi, h, z, delta)`. `h` and `z` come from `forward`; `delta` is $\partial L/\partial z$ of the last layer. Return the list of $\partial L/\partial W$, first layer
# first. (There are no biases here.) Your `linear_backward` and `activation_backward` do the work.


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
# Now the digits: 64 pixels, five hidden layers, ten scores, and the cross-entropy of 100 images. Its slope by the scores is the softmax minus one at the right class, over 100.


# %%
def random_weights(sizes, sigma_w, seed):  # each entry from N(0, sigma_w^2 / n), in float64
    g, pairs = torch.Generator().manual_seed(seed), zip(sizes[1:], sizes[:-1])
    return [torch.randn(m, n, generator=g, dtype=torch.float64) * sigma_w / n**0.5 for m, n in pairs]


# %%
data = digits()
x, y = data.x_train[:100].double(), data.y_train[:100]
weights = random_weights([64] * 6 + [10], 1.4, seed=0)
h, z = forward(weights, "tanh", x)
delta = (torch.softmax(z[-1], 1) - torch.nn.functional.one_hot(y, 10)) / 100
by_hand = backward(weights, "tanh", h, z, delta)

# %% [markdown]
# Two judges: the central difference along a random direction of the first layer, and torch's own backward pass.


# %%
def loss_of(first):  # the loss as a function of the first layer's weights alone
    scores = forward([first, *weights[1:]], "tanh", x)[1][-1]
    return torch.nn.functional.cross_entropy(scores, y)


along = torch.randn(64, 64, generator=torch.Generator().manual_seed(1)).double()
measured = central_difference(loss_of, weights[0], along)
first = weights[0].clone().requires_grad_()
(by_autograd,) = torch.autograd.grad(loss_of(first), first)
off = (by_hand[0] - by_autograd).norm() / by_autograd.norm()
difference_off = abs(measured / (by_hand[0] * along).sum() - 1)
print(f"central difference: off by less than a millionth: {bool(difference_off < 1e-6)}")
print(f"autograd: equal to 14 digits: {bool(off < 1e-14)}")

# %% [markdown]
# Ten lines are a backward pass. (`sigma_w` sets the size of the weights: each is drawn from $N(0, \sigma_w^2/n)$.) The judge without calculus needed two forward passes for one direction, and would need two for each of the 64 x 64 weights.
# Backpropagation found all of them in one journey.

# %% [markdown]
# ## 4 · A value used twice
#
# A recurrent network uses one $W$ at every step. A skip path uses one $h$ in two places. Then the loss depends on it in several ways, and **the ways add up**.
# In code this is the difference between `=` and `+=`.
#
# ### Exercise 02.5 · ●●○ · 8 minutes
#
# Two layers share a square $W$: $h = \tanh(x W^T)$, then $z_2 = h W^T$. The loss is the sum of the entries of $c$ times those of $z_2$. Write `tied_backward(W, x, c)`: $\partial L/\partial W$. Your `linear_backward` and `activation_backward` serve here, too.


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
# torch keeps to the same rule: whatever reaches a weight is added to its `.grad`. A second call of `backward` counts as one more way, so a training loop must clear it.

# %% [markdown]
# ## 5 · The chain as one matrix
#
# Between input and output stands the **Jacobian** $J$: the matrix of all slopes of the outputs by the inputs. It is a product, layer by layer, of $W$ and of
# the slopes of the activation. A small change $v$ of the input moves the output by $Jv$; a gradient $g$ by the outputs comes back as $J^Tg$. Both meet the same stretching.

# %% [markdown]
# ### Exercise 02.6 · ●●○ · 8 minutes
#
# Write `push_forward(weights, phi, x, v)`. `x` and `v` are (B, n): inputs, and a small change of each. Every layer is $\varphi(xW^T)$, the last one too. Return the change
# of the output, to first order (exactly $Jv$, without building $J$). Nothing needs to be kept, and nothing goes backwards. (`ACTIVATION[phi]` is $\varphi$; your `activation_backward` multiplies by its slope.)


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
# Push all unit vectors at once and you have $J$ itself. Its **singular values** say how much it stretches each of the perpendicular directions: the circle
# became an oval, and these are the oval's half axes.


# %%
def jacobian(weights, phi, x):  # x (n,): one example
    n = len(x)
    return push_forward(weights, phi, x.expand(n, n), torch.eye(n).double()).T


# %%
image = x[0]
chain = random_weights([64] * 21, 1.0, seed=0)
stretch = {L: torch.linalg.svdvals(jacobian(chain[:L], "linear", image)) for L in (1, 5, 20)}
fig, ax = plt.subplots()
curves = {f"{L} layer{'s' * (L > 1)}": values[:40] for L, values in stretch.items()}
plots.plot_history(ax, curves, ylabel="stretched by", xlabel="singular value, from the largest")
plots.finish(ax, "Depth stretches a few directions and flattens the rest")

# %% [markdown]
# (The 40 largest of 64.) Why a few? Each layer stretches some directions more than others. What was stretched once is longer, and the ratios multiply: twice a layer is a million times after 20.
#
# Here no activation is at work, and the weights keep the mean square of a signal. Try the others. What do orthogonal weights change, with each activation? At which `sigma_w` does a tanh chain of 40 layers keep its size?

# %%
explorers.explore_jacobian()

# %% [markdown]
# <details><summary>What we found</summary>Orthogonal and linear: every direction keeps its length at every depth. With ReLU orthogonal weights help little, because half of all slopes are 0. With tanh
# they keep the directions together only at a small `sigma_w`. A tanh chain keeps its size a little above 1; ReLU at the root of 2.</details>

# %% [markdown]
# ## Claim on trial: W9
#
# *The product of the layers' norms bounds the gradient, so it tells us something.* Often taught for explosions. (The norm of a matrix is its largest singular value.)
#
# **Our prediction.** With Gaussian weights at `sigma_w = 1` the norm of each matrix is 2, if it is wide. So the bound says $2^L$. But the largest singular value of the product tends to
# $\sqrt{(L+1)^{L+1}/L^L}$, about $\sqrt{e(L+1)}$ (Penson and Życzkowski 2011; Nait Saada and Naderi 2024). The bound is too large by the quotient of the two. The control that could embarrass us: orthogonal
# weights. They stretch every direction alike, so for them the bound is exact.

# %%
depths, too_large = [1, 2, 5, 10, 15, 20], {}
for name in ("Gaussian", "orthogonal"):
    rows = []
    for seed in range(10):
        chain = random_weights([64] * 21, 1.0, seed)
        chain = chain if name == "Gaussian" else [torch.linalg.qr(W).Q for W in chain]
        norms = torch.stack([torch.linalg.matrix_norm(W, 2) for W in chain]).cumprod(0)
        true = [torch.linalg.matrix_norm(jacobian(chain[:L], "linear", image), 2) for L in depths]
        rows.append([norms[L - 1] / s for L, s in zip(depths, true)])
    too_large[name] = torch.tensor(rows).T  # (depths, seeds)

# %%
bound = [2**L / math.sqrt((L + 1) ** (L + 1) / L**L) for L in depths]
fig, ax = plt.subplots()
plots.plot_against_theory(ax, depths, too_large, [bound, [1] * 6], log="y")
plots.finish(ax, "True, and further off at every layer", "layers", "bound / largest stretching")

# %%
vacuous, exact = (float(rows[-1].median()) for rows in too_large.values())
evidence = f"At 20 layers the bound is {vacuous:.0e} times too large with Gaussian weights, and exact "
evidence += f"({exact:.1f}) with orthogonal ones. Where it is small, it proves that a gradient vanishes."
verdict("W9", "holds" if vacuous < 10 else "depends" if exact < 1.1 else "refuted", evidence)

# %% [markdown]
# Each norm belongs to the most stretched direction of one layer, and that is not the one which the next layer stretches most. A gradient points in no special
# direction: it meets the average stretching. Lesson 03 computes it.

# %% [markdown]
# ### A paper in small: how wide is the spectrum?
#
# J. Pennington, S. Schoenholz and S. Ganguli (*Resurrecting the sigmoid*, 2017): keeping the size on average is not enough, the singular values should lie close together. They find that ReLU networks
# cannot have that, and tanh networks only with orthogonal weights. Measure the spread of their squares $s^2$: variance over squared mean. In wide networks the spreads of the factors add up,
# layer by layer (their result, which we test): a slope $\varphi'$ adds $E[\varphi'^4]/E[\varphi'^2]^2 - 1$, a Gaussian matrix 1, an orthogonal one 0.
#
# Reduced: width 128, 16 layers, small inputs (mean square $1/64$), no biases. This code is the hardest of the lesson; the table is enough.

# %%
gauss = torch.special.ndtri((torch.arange(20000).double() + 0.5) / 20000)  # the quantiles of N(0, 1)


def predicted_spread(phi, q, layers):  # q: the mean square of the signal; the activations' part
    total = 0.0
    for _ in range(layers):
        z = gauss * math.sqrt(q)
        slope = activation_backward(phi, z, torch.ones_like(z))
        total += float((slope**4).mean() / (slope**2).mean() ** 2 - 1)
        q = float((ACTIVATION[phi](z) ** 2).mean())  # for ReLU its size does not matter
    return total


# %%
def measured_spread(phi, orthogonal, seed, layers=16, n=128):
    chain = random_weights([n] * (layers + 1), 1.0, seed)
    chain = [torch.linalg.qr(W).Q for W in chain] if orthogonal else chain
    chain = [W * math.sqrt(2) for W in chain] if phi == "relu" else chain
    x = torch.randn(n, generator=torch.Generator().manual_seed(seed)).double() / 8
    J = jacobian(chain, phi, x)
    return float(n * (J.T @ J).square().sum() / J.square().sum() ** 2 - 1)


kinds = [(phi, orthogonal) for phi in ("linear", "relu", "tanh") for orthogonal in (False, True)]
spreads = torch.tensor([[measured_spread(*kind, seed) for seed in range(10)] for kind in kinds])
predictions = [predicted_spread(phi, 1 / 64, 16) + 16 * (not orthogonal) for phi, orthogonal in kinds]
middle, (low, high) = plots.median_and_band(spreads, dim=1)
names = [f"{phi}, {'orthogonal' if orthogonal else 'Gaussian'}" for phi, orthogonal in kinds]
show = lambda values: [f"{v:.2g}" if abs(v) > 1e-9 else "0" for v in values]
columns = zip(["predicted", "measured", "10 %", "90 %"], map(show, [predictions, middle, low, high]))
table({"": names} | dict(columns))

# %% [markdown]
# (Bands over ten networks. The theory is for endless width; at this one some medians lie above it.) The finding is theirs: with orthogonal weights a tanh chain near the origin is almost a plain
# rotation, and a ReLU chain is not. Lesson 05 asks what that buys in training.

# %% [markdown]
# ## 6 · How far a rounding grows
#
# A rounding error is a small change like any other: it is stretched as it passes the layers. It begins as half of `torch.finfo(dtype).eps`, measured against a signal of size 1.
#
# ### Exercise 02.7 · ●○○ · 4 minutes
#
# Each layer multiplies a small change by `growth` (above 1). Write `noise_depth(growth, dtype)`: after how many layers has a rounding grown to 1? Not a whole number.


# %%
def noise_depth(growth, dtype):
    ### BEGIN SOLUTION
    return math.log(2 / torch.finfo(dtype).eps) / math.log(growth)
    ### END SOLUTION


noise_depth = check("02.7", noise_depth).function

# %% [markdown]
# ## Claim on trial: W7
#
# *Two implementations that agree prove the gradient right.* Nobody teaches it; everybody is tempted. Two networks of width 64 whose gradients grow by about the same factor a layer: ReLU at
# `sigma_w = 2.18`, and tanh at `4`. We take the first layer's gradient in `float32`, by hand and by autograd. The loss is a random weighting of the outputs; eight inputs.

# %%
question = "At 40 tanh layers the two agree to five digits. How many digits of the gradient are right?"
predict("02.c", question, ["about five", "about three", "none"])

# %% [markdown]
# **Our prediction.** In the tanh network the signal stays below 1, so a rounding reaches its size after `noise_depth` layers, and the gradient is noise. In the ReLU network the signal
# grows as fast as the error: relative to it the error stays. The judge is `float64`. The control: a third program that adds up in another order. (All units of all layers are numbered
# backwards: the same network, the same mathematics.)


# %%
def trial(phi, sigma_w, layers, seed):
    weights = [W.float() for W in random_weights([64] * (layers + 1), sigma_w, seed)]
    generator = torch.Generator().manual_seed(seed + 100)
    x, c = torch.randn(2, 8, 64, generator=generator, dtype=torch.float64).float()

    def by_hand(weights, x, c):
        h, z = forward(weights, phi, x)
        return backward(weights, phi, h, z, activation_backward(phi, z[-1], c))[0].double()

    first = weights[0].clone().requires_grad_()
    (auto,) = torch.autograd.grad((forward([first, *weights[1:]], phi, x)[0][-1] * c).sum(), first)
    true, ours = by_hand([W.double() for W in weights], x.double(), c.double()), by_hand(weights, x, c)
    turned = by_hand([W.flip(0, 1) for W in weights], x.flip(1), c.flip(1)).flip(0, 1)
    off = lambda a, b: (a - b).norm() / b.norm()
    return [true.norm(), off(ours, true), off(ours, auto.double()), off(ours, turned)]


# %%
layers, nets = [10, 20, 30, 40, 50], {"relu": 2.18, "tanh": 4.0}
runs = {phi: [[trial(phi, s, L, k) for k in range(10)] for L in layers] for phi, s in nets.items()}
size, wrong, apart, turned = (
    {phi: torch.tensor(run)[:, :, k] for phi, run in runs.items()} for k in range(4)
)
growth = {phi: float(s[-1].median() / s[0].median()) ** (1 / 40) for phi, s in size.items()}
depth = noise_depth(growth["tanh"], torch.float32)
print(
    {phi: f"{g:.2f} a layer" for phi, g in growth.items()},
    f"noise from {depth:.0f} tanh layers on (predicted)",
)

# %%
theory = [[2**-24] * 5, [min(2**-24 * growth["tanh"] ** L, 1) for L in layers]]
fig, ax = plt.subplots()
plots.plot_against_theory(ax, layers, wrong, theory, log="y", rough=True)
plots.finish(ax, "Same growth, same code: one gradient is noise", "layers", "error against float64")

# %%
off = {phi: int((w[3] > 0.1).sum()) for phi, w in wrong.items()}
agree, exposed = int((apart["tanh"][3] < 1e-5).sum()), int((turned["tanh"][3] > 0.1).sum())
reveal("02.c", "c" if off["tanh"] > 5 else "b", f"Not even the first holds in {off['tanh']} of 10 networks.")

# %%
evidence = (
    f"40 tanh layers, float32: in {agree} of 10 networks the two agree to five digits, in {off['tanh']} they "
)
evidence += (
    f"are off by a tenth or more (ReLU: {off['relu']}), and adding in another order shows it in {exposed}."
)
verdict("W7", "refuted" if agree > 5 and off["tanh"] > 5 else "holds", evidence)

# %% [markdown]
# The dotted line has the measured slope, and starts too low: every layer adds a rounding of its own, and a gradient suffers more than a signal. The size of that gap we did not predict.
#
# Hand and autograd agreed because both ran the same forward pass, in the same order, roundings included. A program that adds in another order went its own way. And `float64`, is it right? Nudge the input and see.


# %%
def direction_kept(phi, sigma_w, nudge, L=40):  # the cosine between the gradients before and after a nudge
    weights = random_weights([64] * (L + 1), sigma_w, seed=0)
    x, c, v = torch.randn(3, 8, 64, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    pair = []
    for start in (x, x + nudge * v):
        h, z = forward(weights, phi, start)
        pair.append(backward(weights, phi, h, z, activation_backward(phi, z[-1], c))[0].flatten())
    return f"{float(torch.cosine_similarity(*pair, dim=0)):.2f}"


nudges = [1e-3, 1e-6, 1e-9, 1e-15]
table({"nudge": nudges} | {phi: [direction_kept(phi, s, n) for n in nudges] for phi, s in nets.items()})

# %% [markdown]
# So this is no fault of the code, or of `float32`. The gradient of the tanh network is right for its input, and a different one for an input a millionth away. That is **chaos**:
# growth that a bounded signal cannot follow. Explosions come in two kinds: with a signal that grows as fast, and, as here, without. `float64` is safe at this depth: a nudge of the size of its rounding changes nothing.

# %% [markdown]
# ## On a real run
#
# - Wrote a backward pass? `torch.autograd.gradcheck` is your central difference for every entry. It wants `float64`, small inputs, and no kinks.
# - Test it at several points and depths. A passed check at one point proves that point.
# - A gradient looks odd? Take it twice, with the inputs moved by a millionth, or with the batch in another order. If the direction turns, no implementation will help: the network is chaotic, and its initialisation has to change.
# - `bfloat16` keeps 8 bits: its `noise_depth` is a third of that of `float32`.

# %% [markdown]
# ## Summary
#
# A backward pass is one product after the other, and where a value is used twice the ways add up.
# A product of many matrices stretches few directions and flattens the rest; the norms of its factors say little about it.
# Two programs that agree show that they compute the same thing, not that the number means something.

# %% [markdown]
# ## Further reading
#
# - A. Karpathy and others, [CS231n notes on learning](https://cs231n.github.io/neural-networks-3/): gradient checks in practice, with the pitfalls.
# - J. Pennington, S. Schoenholz, S. Ganguli, [Resurrecting the sigmoid](https://arxiv.org/abs/1711.04735) (2017): the whole spectrum, by free probability.
# - T. Nait Saada, A. Naderi, [The largest singular value of a product of Gaussian matrices](https://arxiv.org/abs/2409.20180) (2024): the limit drawn over our bound, proved.
#
# [The solution of this lesson](../solutions/02_backpropagation.ipynb) · [Back to the start](00_start_here.ipynb)
