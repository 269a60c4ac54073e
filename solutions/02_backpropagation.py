# %% [markdown]
# # 02 · Backpropagation
#
# **Where does the gradient of a deep network come from, and when can it be trusted?**
#
# After this lesson you can
# - write the backward pass of a network by hand, and prove it right,
# - say why a deep chain stretches one direction and flattens the others,
# - predict the depth at which a gradient in `float32` is nothing but rounding.
#
# About 75 to 100 minutes to work (pause after section 4), a quarter of a minute to run. Needs: [lesson 01](01_gradient_descent.ipynb). Next: lesson 03.

# %%
import math

import matplotlib.pyplot as plt
import torch

from gradutils import check, explorers, plots, predict, reveal, verdict
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
# comes out along one line, whatever it was. A gradient travels through such a product, from the loss back to the first layer. Let us build that journey, piece by piece.

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
# This is the **central difference**. The curve bends between the two points, which costs a relative error of $\epsilon^2 f'''/6f'$. A smaller $\epsilon$ is better.

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
# Two straight lines make the U: the bend grows as $\epsilon^2$; the rounding, about $u/\epsilon$, grows as $\epsilon$ shrinks ($u$ is the rounding of the format: `torch.finfo(dtype).eps`).
# They meet near $\epsilon = \sqrt[3]{u}$, and no $\epsilon$ does better. (The dotted theory takes a quarter of the worst rounding, which is about its average.)
#
# ### Exercise 02.3 · ●●○ · 8 minutes
#
# Write `central_difference(f, x, v)`: the slope of `f` at `x` along `v`, a number. `x` and `v` are tensors of one shape, `f(x)` is a number. Choose `eps`
# yourself, by the format of `x` (`x.dtype`). Two digits must be right, in `float32` and in `float64`.


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
# Forwards we keep what every layer saw. `h[k]` enters layer `k`, and `z[k]` is its pre-activation. The last `z` holds the ten scores.

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
# first. (There are no biases here.) Your two functions from section 1 do the work.


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


# %%
along = torch.randn(64, 64, generator=torch.Generator().manual_seed(1)).double()
measured = central_difference(loss_of, weights[0], along)
first = weights[0].clone().requires_grad_()
(by_autograd,) = torch.autograd.grad(loss_of(first), first)
off = (by_hand[0] - by_autograd).norm() / by_autograd.norm()
difference_off = abs(measured / (by_hand[0] * along).sum() - 1)
print(f"central difference: off by less than a millionth: {bool(difference_off < 1e-6)}")
print(f"autograd: equal to 14 digits: {bool(off < 1e-14)}")

# %% [markdown]
# Ten lines are a backward pass. The judge without calculus needed two forward passes for one direction, and would need two for each of the 64 x 64 weights.
# Backpropagation found all of them in one journey.

# %% [markdown]
# ## 4 · A value used twice
#
# A recurrent network uses one $W$ at every step. A skip path uses one $h$ in two places. Then the loss depends on it in several ways, and **the ways add up**.
# In code this is the difference between `=` and `+=`.
#
# ### Exercise 02.5 · ●●○ · 8 minutes
#
# Two layers share a square $W$: $h = \tanh(x W^T)$, then $z_2 = h W^T$. The loss is the sum of the entries of $c$ times those of $z_2$. Write `tied_backward(W, x, c)`: $\partial L/\partial W$.


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
# That is also why `loss.backward()` in torch adds to `.grad`, and why a training loop must clear it.

# %% [markdown]
# ## 5 · The chain as one matrix
#
# Between input and output stands the **Jacobian** $J$: the matrix of all slopes of the outputs by the inputs. It is the product of the layers' matrices. A small
# change $v$ of the input moves the output by $Jv$; a gradient comes back as $J^T\delta$. Both meet the same stretching.
#
# ### Exercise 02.6 · ●●○ · 8 minutes
#
# Write `push_forward(weights, phi, x, v)`. `x` and `v` are (B, n): inputs, and a small change of each. Every layer is $\varphi(xW^T)$, the last one too. Return the change
# of the output, to first order (exactly $Jv$, without building $J$). Nothing needs to be kept, and nothing goes backwards.


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
# No activation, and weights that keep the size of a signal on average. Still, after 20 layers half of all directions arrive a thousand times smaller. Try the others.

# %%
explorers.explore_jacobian()

# %% [markdown]
# Two things to find: what do orthogonal weights change, with each activation? And at which `sigma_w` does a tanh chain of 40 layers keep its size?

# %% [markdown]
# ## Claim on trial: W9
#
# *A product of matrices is at most as long as the product of their norms; so that product tells how a gradient grows.* Often taught for explosions.
#
# **Our prediction.** With Gaussian weights of size 1 the norm of each matrix is 2 (as they get wide). So the bound says $2^L$. But the largest singular value of the product tends to
# $\sqrt{(L+1)^{L+1}/L^L}$ only (Penson and Życzkowski 2011; Nait Saada and Naderi 2024). The bound is too large by the quotient of the two. The control that could embarrass us:
# orthogonal weights, whose directions cannot miss one another.

# %%
depths, medians, bands = [1, 2, 5, 10, 15, 20], {}, {}
for name in ("Gaussian", "orthogonal"):
    rows = []
    for seed in range(10):
        chain = random_weights([64] * 21, 1.0, seed)
        chain = chain if name == "Gaussian" else [torch.linalg.qr(W).Q for W in chain]
        norms = torch.stack([torch.linalg.matrix_norm(W, 2) for W in chain]).cumprod(0)
        true = [torch.linalg.matrix_norm(jacobian(chain[:L], "linear", image), 2) for L in depths]
        rows.append([norms[L - 1] / s for L, s in zip(depths, true)])
    medians[name], bands[name] = plots.median_and_band(rows)  # (depths,), (2, depths)

# %%
bound = [2**L / math.sqrt((L + 1) ** (L + 1) / L**L) for L in depths]
fig, ax = plt.subplots()
plots.plot_against_theory(ax, depths, medians, [bound, [1] * 6], bands=bands, log="y")
plots.finish(ax, "A bound that is true, and too large by the depth", "layers", "bound / largest stretching")

# %%
vacuous, exact = float(medians["Gaussian"][-1]), float(medians["orthogonal"][-1])
evidence = f"At 20 layers the bound is {vacuous:.0e} times too large with Gaussian weights, and exact "
evidence += f"({exact:.1f}) with orthogonal ones. Small, it proves that a gradient vanishes."
verdict("W9", "holds" if vacuous < 10 else "depends" if exact < 1.1 else "refuted", evidence)

# %% [markdown]
# The matrix norms belong to the most stretched directions, and the most stretched direction of one layer is not that of the next. What a gradient meets is the typical
# stretching. Lesson 03 computes it.

# %% [markdown]
# ### A paper in small: how wide is the spectrum?
#
# J. Pennington, S. Schoenholz and S. Ganguli (*Resurrecting the sigmoid*, 2017): keeping the size on average is not enough, the singular values should lie close together. They find that ReLU networks
# cannot have that, and tanh networks only with orthogonal weights. Measure the spread of their squares $s^2$: variance over squared mean. For independent factors the spreads add up,
# layer by layer. A slope $\varphi'$ contributes $E[\varphi'^4]/E[\varphi'^2]^2 - 1$, a Gaussian matrix 1, an orthogonal one 0.
#
# Reduced: width 128 and small inputs (mean square $1/64$), no biases.

# %%
gauss = torch.special.ndtri((torch.arange(20000).double() + 0.5) / 20000)  # the quantiles of N(0, 1)


def predicted_spread(phi, q, layers):  # q: the mean square of the signal; the activations' part
    total = 0.0
    for _ in range(layers):
        z = gauss * math.sqrt(q)
        slope = activation_backward(phi, z, torch.ones_like(z))
        total += float((slope**4).mean() / (slope**2).mean() ** 2 - 1)
        scale = 1 / (slope**2).mean() if phi == "relu" else 1.0  # ReLU's weights are sqrt(2) larger
        q = float((ACTIVATION[phi](z) ** 2).mean() * scale)
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
plots.table({"": names} | dict(columns))

# %% [markdown]
# The order is theirs: with orthogonal weights a tanh chain near the origin is almost a plain rotation, and a ReLU chain is not. Lesson 05 asks what that buys in
# training.

# %% [markdown]
# ## Claim on trial: W7
#
# *If two implementations agree, the gradient is right.* Nobody teaches it; everybody is tempted. Two chains whose gradients grow by about the same factor a layer: ReLU at
# `sigma_w = 2.18`, and tanh at `4`. We compute the first layer's gradient in `float32` by hand and by autograd.

# %%
question = "At 40 tanh layers the two agree to six digits. How many digits of the gradient are right?"
predict("02.c", question, ["about six", "about three", "none"])

# %% [markdown]
# **Our prediction.** A rounding error is a small change like any other: it is stretched as much as a gradient. It begins near $2^{-24}$, half the last digit of `float32`, and grows by the same factor $g$ a layer.
# In the tanh chain the signal stays below 1, so the error reaches it after $\ln 2^{24}/\ln g$ layers. In the ReLU chain the signal grows just as fast, and the *relative* error stays.


# %%
def trial(phi, sigma_w, layers, seed):
    weights = [W.float() for W in random_weights([64] * (layers + 1), sigma_w, seed)]
    generator = torch.Generator().manual_seed(seed + 100)
    x, c = torch.randn(2, 8, 64, generator=generator, dtype=torch.float64).float()
    found = []
    for dtype in (torch.float64, torch.float32):
        first, *others = [W.to(dtype).detach() for W in weights]
        first.requires_grad_()
        loss = (forward([first, *others], phi, x.to(dtype))[0][-1] * c).sum()
        found.append(torch.autograd.grad(loss, first)[0].double())
    (true, torchs), (h, z) = found, forward(weights, phi, x)
    ours = backward(weights, phi, h, z, activation_backward(phi, z[-1], c))[0].double()
    return [true.norm(), (torchs - true).norm() / true.norm(), (torchs - ours).norm() / torchs.norm()]


layers, nets = [10, 20, 30, 40, 50], {"tanh": 4.0, "relu": 2.18}
runs = {phi: [[trial(phi, s, L, k) for k in range(10)] for L in layers] for phi, s in nets.items()}

# %%
size, wrong, apart = ({phi: torch.tensor(run)[:, :, k] for phi, run in runs.items()} for k in range(3))
growth = {phi: float(s[-1].median() / s[0].median()) ** (1 / 40) for phi, s in size.items()}
theory = [[min(2**-24 * growth["tanh"] ** L, 1) for L in layers], [2**-24] * 5]
print({phi: f"gradients grow by {g:.2f} a layer" for phi, g in growth.items()})

# %%
medians, bands = zip(*(plots.median_and_band(w, dim=1) for w in wrong.values()))
fig, ax = plt.subplots()
measured, bands = dict(zip(nets, medians)), dict(zip(nets, bands))
plots.plot_against_theory(ax, layers, measured, theory, bands=bands, log="y", rough=True)
plots.finish(ax, "Same growth, same code: one gradient is noise", "layers", "error against float64")

# %%
off = {phi: int((w[3] > 0.1).sum()) for phi, w in wrong.items()}
agree = int((apart["tanh"][3] < 1e-5).sum())
because = f"Not even the first digit holds in {off['tanh']} of 10 nets. "
because += f"Predicted depth: {math.log(2**24) / math.log(growth['tanh']):.0f}."
reveal("02.c", "c" if off["tanh"] > 5 else "b", because)

# %%
evidence = (
    f"40 layers, float32: the two agree to five digits in {agree} of 10 tanh nets, and are off by a tenth "
)
evidence += f"or more in {off['tanh']} of 10. In ReLU nets of the same growth: {off['relu']} of 10."
verdict("W7", "refuted" if agree > 5 and off["tanh"] > 5 else "holds", evidence)

# %% [markdown]
# The measured errors run parallel to the dotted line and lie above it, because every layer adds a rounding of its own. Both programs round alike, so they go wrong together. And is `float64` right? Nudge the input and see.


# %%
def nudged(phi, sigma_w, nudge, L=40):  # the cosine between two gradients, when the input moves by `nudge`
    weights = random_weights([64] * (L + 1), sigma_w, seed=0)
    x, c, v = torch.randn(3, 8, 64, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    pair = []
    for start in (x, x + nudge * v):
        h, z = forward(weights, phi, start)
        pair.append(backward(weights, phi, h, z, activation_backward(phi, z[-1], c))[0].flatten())
    return float(torch.cosine_similarity(*pair, dim=0))


for phi, sigma_w in nets.items():
    same = {nudge: nudged(phi, sigma_w, nudge) > 0.99 for nudge in (1e-3, 1e-6, 1e-15)}
    print(f"{phi}: the gradient keeps its direction when the input moves by", same)

# %% [markdown]
# So this is no fault of the code, or of `float32`. The gradient of the tanh chain is right for its input, and different for an input a millionth away. That is **chaos**:
# growth that a bounded signal cannot follow. Explosions come in two kinds, and lesson 03 tells them apart. `float64` is safe here, and noise itself at about twice the depth.

# %% [markdown]
# ## On a real run
#
# - Wrote a backward pass? `torch.autograd.gradcheck` is your central difference for every entry. It wants `float64`, small inputs, and no kinks.
# - Test it at several points and depths. A passed check at one point proves that point.
# - A gradient looks odd? Take it twice, with the inputs moved by a millionth. If the direction turns, no implementation will help: the network is chaotic, and its initialisation has to change.

# %% [markdown]
# ## Summary
#
# A backward pass is one product after the other, and where a value is used twice the ways add up.
# A product of many matrices stretches few directions and flattens the rest; the norms of its factors say little about it.
# Two programs that agree show that the code is right, not that the number means something.

# %% [markdown]
# ## Further reading
#
# - A. Karpathy and others, [CS231n notes on learning](https://cs231n.github.io/neural-networks-3/): gradient checks in practice, with the pitfalls.
# - J. Pennington, S. Schoenholz, S. Ganguli, [Resurrecting the sigmoid](https://arxiv.org/abs/1711.04735) (2017): the whole spectrum, by free probability.
# - T. Nait Saada, A. Naderi, [The largest singular value of a product of Gaussian matrices](https://arxiv.org/abs/2409.20180) (2024): the limit drawn over our bound, proved.
#
# [The solution of this lesson](../solutions/02_backpropagation.ipynb) · [Back to the start](00_start_here.ipynb)
