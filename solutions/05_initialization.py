# %% [markdown]
# # 05 · Initialisation
#
# **How large must the first weights be, and what can go wrong although they are right?**
#
# After this lesson you can
# - derive the scale of a layer's weights, and say what Xavier, He and a gain of 5/3 keep,
# - explain why deep ReLU layers make one direction of all inputs, and measure it,
# - say when the framework's own weights will do.
#
# Core: about 75 minutes. Deeper: another 45 minutes. It runs in 15 seconds. Needs: [lesson 04](04_activations.ipynb).
# Next: [lesson 06](06_clipping.ipynb).

# %%
import math

import matplotlib.pyplot as plt
import torch

from gradutils import explorers, meanfield, plots, propagation
from gradutils.course import check, predict, recall, reveal, table, verdict
from gradutils.course.trials import at_least, at_most, mostly
from gradutils.data import digits
from gradutils.training import train_many

plots.use_style()

# %% [markdown]
# ## Before you start

# %%
recall("05")

# %% [markdown]
# ## Predict
#
# Lesson 04 found for each activation the scale of the weights at which a gradient keeps its size. Most people never set
# that scale. They write `nn.Linear` and train with the weights that it draws. Does it matter?
#
# Take the digits, hidden layers of 32 ReLU units, and gradient descent with momentum. A network with 3 hidden layers
# learns them in 120 steps. We give it ten hidden layers, 240 steps, and two learning rates that lie a factor of ten
# apart.

# %%
nothing = "learns nothing"
slower = "learns, but more slowly"
as_well = "learns as well as 3 layers"
predict("05.a", "At the better rate the ten layers…", [nothing, slower, as_well])

# %% [markdown]
# ## What happens
#
# As in lesson 03 ten networks train at once, each with its own draw of the weights, and a weight is a stack of ten
# matrices. `as_torch_draws` draws weights and biases as `nn.Linear` does. `trained` returns the loss of each network at
# every step, and its accuracy on the test images, once early and once at the end.
#
# The table says how many of ten networks pass an accuracy of `0.7` at their best rate. With 3 and 5 layers one rate is
# enough, because they learn at it, and more rates could only find a better one. Most: eight or more of ten. Few: two or
# fewer. Some: in between.

# %% tags=["experiment"]
# The weights of nn.Linear, and the training of ten networks at once


def as_torch_draws(depth, width=32):  # uniform within 1 over the root of fan_in
    g, sizes = torch.Generator().manual_seed(0), [64] + [width] * depth + [10]
    uniform = lambda n, *shape: (2 * torch.rand(10, *shape, generator=g) - 1) / n**0.5
    fans = list(zip(sizes[1:], sizes))
    return [uniform(n, m, n) for m, n in fans], [uniform(n, m) for m, n in fans]


def trained(weights, biases, lrs, steps, early, phi=torch.relu, images=None, **more):
    rates = torch.tensor(lrs).repeat_interleave(len(weights[0]))
    more |= {"biases": biases, "steps": steps, "at": (early,)}
    runs = train_many(phi, weights, images or data, rates, **more)
    accuracy = runs.accuracy.view(2, len(lrs), -1)  # (two budgets, rates, networks)
    return runs.loss.view(steps, len(lrs), -1), accuracy


def passing(runs, level=0.7):  # of ten networks, at the best rate: early, in the end
    return [int(n) for n in (runs[1] > level).sum(2).amax(1)]


data, adamw = digits(), {"adam": True, "weight_decay": 0.01}

# %% tags=["experiment"]
# Three depths with the weights of nn.Linear
rates, big = {3: [0.05], 5: [0.05], 10: [0.03, 0.3]}, {"batch": 128}
sgd = {L: trained(*as_torch_draws(L), rates[L], 240, 60, **big) for L in rates}
fig, ax = plt.subplots()
medians = {f"{L} layers": runs[0].median(2).values[:, 0] for L, runs in sgd.items()}
colours = dict(zip(medians, (plots.STABLE, plots.SECOND, plots.VANISHES)))
plots.plot_history(ax, medians, colours=colours, log=False)
plots.finish(ax, "nn.Linear's own weights: 5 layers wait, 10 do not start")
by_depth = [passing(runs) for runs in sgd.values()]
at_60, at_240 = map(plots.how_many, zip(*by_depth))
table({"hidden layers": sgd, "0.7 after 60 steps": at_60, "after 240": at_240})

# %% tags=["reveal"]
# The prediction is settled
shallow, deep = by_depth[0][1], by_depth[2][1]
escaped = int((sgd[10][1][1] > 0.2).sum(1).max())
reveal(
    "05.a",
    nothing if escaped <= 1 else as_well if deep >= shallow else slower,
    f"Of ten networks {escaped} pass an accuracy of 0.2, at the better rate.",
    wrong={
        slower: "Five layers do just that. With ten the first layers hardly move, and "
        "the last ones see the same vector for every image, as section 2 measures.",
        as_well: "Each layer lets only a part of the gradient through. These parts "
        "multiply, so ten layers lose far more than three times as much as three.",
        nothing: "Some of the networks learnt.",
    },
)

# %% [markdown]
# So depth alone can silence a network at a scale that millions of networks use. Where does that scale come from, and
# how far is it off? For that we need one sum.

# %% [markdown]
# ## 1 · One sum, and its scale
#
# A unit computes $z_i = \sum_j W_{ij} h_j$, one product for each of its inputs. The number of inputs is the **fan-in**.
#
# Let the fan-in be 100, each input $1$ or $-1$, and each weight drawn with variance $1$ and mean $0$. Then $z$ is a sum
# of 100 independent terms, each of mean square 1. In the square of the sum the mixed terms cancel on average, because
# each of them is as often negative as positive. The 100 squares remain, so the mean square of $z$ is 100, and its size
# is 10. Every layer would multiply the signal by 10.
#
# The remedy: draw each weight with variance $v = 1/100$. Then the sum is $100 \cdot \frac{1}{100} = 1$. A signal keeps
# its mean square, because a variance *divided by the fan-in* takes back what the number of terms adds.
#
# Going back, the same matrix is read the other way. Unit $j$ below collects one product from each unit *above*, and
# their number is the **fan-out**. If 400 units stand above, the mean square grows by $400 \cdot \frac{1}{100} = 4$.

# %% tags=["drawing"]
# The drawing
fig, (left, right) = plt.subplots(1, 2, figsize=(6.4, 2.4))
plots.draw_unit(left, ["h[0]", "h[1]"], ["W[0,0]", "W[0,1]"], "z[0]")
plots.finish(left, "Forward: fan-in terms")
above = [f"delta[{k}]" for k in range(4)]
weights_above = [f"W[{k},0]" for k in range(4)]
plots.draw_unit(right, above, weights_above, "dL/dh[0]", backward=True)
plots.finish(right, "Back: fan-out terms")

# %% [markdown]
# So one $v$ would have to be both $1/\text{fan-in}$ and $1/\text{fan-out}$. In a square layer the two agree. In any
# other layer one has to choose, and the rules differ in how:
#
# - **LeCun** keeps the signal: $v = 1/\text{fan-in}$.
# - **Xavier** (Glorot and Bengio 2010) takes the mean of the two fans and puts it below the line. So $v = 1 /
#   \frac{\text{fan-in} + \text{fan-out}}{2} = \frac{2}{\text{fan-in} + \text{fan-out}}$.
# - **He** (2015) makes up for what the activation takes. ReLU sets half of the squares to zero, so the weights must be
#   twice as large in variance: $v = 2/\text{fan-in}$.
#
# For 100 inputs and 400 outputs that is $0.01$, $0.004$ and $0.02$. A last point decides between right and wrong code:
# these are variances of a weight, and a Gaussian draw is multiplied by the *standard deviation*, their root. (A uniform
# draw from $-c$ to $c$ has the variance $c^2/3$, so its bound $c$ is $\sqrt3$ times the standard deviation.)

# %% [markdown]
# ### Exercise 05.1 · ●○○ · 5 minutes
#
# Write `weight_std(fan_in, fan_out, rule)`. Return the standard deviation of a weight, a float. `rule` is `"lecun"`,
# `"xavier"` or `"he"`.


# %%
def weight_std(fan_in, fan_out, rule):
    ### BEGIN SOLUTION
    variance = {
        "lecun": 1 / fan_in,
        "xavier": 2 / (fan_in + fan_out),
        "he": 2 / fan_in,
    }[rule]
    return math.sqrt(variance)
    ### END SOLUTION


weight_std = check("05.1", weight_std).function

# %% [markdown]
# Yours, on a layer of 100 inputs and 400 outputs without an activation. It is measured what one draw of the weights
# does to the mean square of 50 signals going forward and of 50 gradients going back.

# %% tags=["experiment"]
# One layer, three rules, both ways
generator = torch.Generator().manual_seed(0)
randn = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)
rules, forward, backward = ["lecun", "xavier", "he"], [], []
for rule in rules:
    W = weight_std(100, 400, rule) * randn(400, 100)
    forward.append(f"{(randn(50, 100) @ W.T).square().mean():.2g}")
    backward.append(f"{(randn(50, 400) @ W).square().mean():.2g}")
ways = {"signal squared x": forward, "gradient squared x": backward}
table({"100 units to 400": rules} | ways)

# %% [markdown]
# LeCun keeps the signal and lets the gradient grow by the ratio of the fans. Xavier keeps neither, because it is a
# compromise: with its variance of `0.004` one expects $100 \cdot 0.004 = 0.4$ going forward and $400 \cdot 0.004 = 1.6$
# going back. In square layers all three differ only by He's factor of 2.

# %% [markdown]
# ## 2 · What the framework draws
#
# `nn.Linear` draws uniformly from $-1/\sqrt n$ to $1/\sqrt n$, where $n$ is the fan-in. The variance is $\frac13 \cdot
# \frac1n$, a sixth of He's, so `sigma_w` is $1/\sqrt3 = 0.58$.
#
# With ReLU lesson 03 gives $\chi_1 = \sigma_w^2/2 = \frac16$, and $\delta$ keeps $\sqrt{1/6} = 0.41$ of its size per
# layer. From the tenth layer back to the first there are nine steps, and $6^{9/2}$ is about 3000.

# %% [markdown]
# But a step of descent moves *weights*, and the gradient of a weight is $\delta$ times its input. The input shrinks on
# its way forward by the same $0.41$ per layer. Without biases the two make up for each other, and the gradient is
# equally small in every layer.
#
# `nn.Linear` draws biases too, and they do two things. From about the fourth layer on they keep the input from
# shrinking, but never $\delta$. So the gradients are smallest in the first layers, as $\delta$ is. And a bias is the
# same for every image. What comes from the image fades from layer to layer, the biases do not, and in the end any two
# images look alike. Here is all this before any training: the tenth layer over the first, and the cosine between images
# behind the tenth.

# %% tags=["experiment"]
# Ten layers at the start: what comes back, and how far images lie apart


def apart(h):  # 1 - cosine, the mean over all pairs of samples; h is (networks, B, n)
    unit = h / h.norm(dim=2, keepdim=True)
    return 1 - unit.mean(1).square().sum(1)


def at_the_start(weights, biases=None, x=data.x_train[:128]):  # medians of ten nets
    biases = biases or [0 * W[..., 0] for W in weights]
    weights, z, inputs = [W.double().requires_grad_() for W in weights], [], []
    h = x.double().expand(10, -1, -1)
    for W, b in zip(weights, biases):
        inputs.append(h)
        z.append(h @ W.mT + b.double().unsqueeze(1))
        h = torch.relu(z[-1])
    targets = data.y_train[:128].repeat(10)
    loss = torch.nn.functional.cross_entropy(z[-1].flatten(0, 1), targets)
    ends = torch.autograd.grad(loss, [z[0], z[-2], weights[0], weights[-2]])
    ends = [v.detach().flatten(1).norm(dim=1) for v in (*ends, inputs[0], inputs[-2])]
    ratios = [last / first for first, last in zip(ends[::2], ends[1::2])]
    return [float(v.median()) for v in (*ratios, apart(inputs[-1].detach()))]


narrow, root = as_torch_draws(10), 6**0.5
nets = {"as drawn": narrow, "no biases": (narrow[0], None)}
nets["weights x root 6"] = [root * W for W in narrow[0]], narrow[1]
deltas, moves, inputs, alike = zip(*(at_the_start(*net) for net in nets.values()))
brief = lambda numbers: [f"{float(f'{v:.2g}'):g}" for v in numbers]
columns = {"10th over 1st: delta": brief(deltas), "input": brief(inputs)}
columns["weights' gradient"] = brief(moves)
table({"": nets} | columns | {"1 - cosine": [f"{v:.1g}" for v in alike]})

# %% [markdown]
# The gradient of the weights is roughly the product of the two columns before it. As drawn, the layers that could tell
# images apart hardly move. The layers that do move get the same vector for every image, and all they can learn from it
# is how often each class occurs. A larger rate does not help, because the last layers feel it first. Without biases the
# gradient is about as large in the first layer as in the tenth, but tiny in all of them. Weights $\sqrt6$ times as
# large mend all of it, *with* the biases: what comes from the image now keeps its size beside them.

# %% [markdown]
# ## Claim on trial: W6
#
# *The framework's default initialisation is fine.* (The textbook d2l adds "for moderate problem sizes".)
#
# Few people train with plain gradient descent today. **AdamW** divides the gradient of each weight by the running root
# mean square of that very gradient. So a step is as long where gradients are small as where they are large.
#
# The control under gradient descent changes one thing about the ten layers: their weights are multiplied by $\sqrt6$,
# and the biases stay. (It has a rate of its own, because its gradients are larger.) Two arms have AdamW: ten layers of
# 32, and five layers of 256, each at one rate, since they learn at it. Which of the three learn, and which must wait?
#
# <details><summary>Our prediction, made before the run.</summary>
#
# **Our prediction.** The control learns. Under AdamW ten layers learn, because the first layers move as fast as the
# last. But not at once, because at first all images look alike.
#
# </details>

# %% [markdown]
# Both arms of AdamW run once more at He's scale, at the same rate, to tell whether a wait is the scale's. The table
# counts twice during each run, and says after how many steps. Most: eight or more of ten. Few: two or fewer. Some: in
# between.

# %% tags=["experiment"]
# Ten layers: momentum SGD at He's scale, AdamW at both scales
arms = {f"momentum SGD, {L} layers of 32": (60, 240, sgd[L]) for L in rates}


def run(name, net, lr, early, steps, **how):
    arms[name] = early, steps, trained(*net, [lr], steps, early, **how)


he, at_he = " at He's scale", nets["weights x root 6"]
run("momentum SGD, 10 layers of 32" + he, at_he, 0.01, 40, 160, **big)
run("AdamW, 10 layers of 32", narrow, 0.005, 60, 240, **big, **adamw)
run("AdamW, 10 layers of 32" + he, at_he, 0.005, 15, 60, **big, **adamw)

# %% tags=["experiment"]
# Five layers of 256: AdamW at both scales
wide = as_torch_draws(5, 256)
wide_at_he = [root * W for W in wide[0]], wide[1]
run("AdamW, 5 layers of 256", wide, 0.002, 8, 16, batch=64, **adamw)
run("AdamW, 5 layers of 256" + he, wide_at_he, 0.002, 2, 8, batch=64, **adamw)

# %% tags=["experiment"]
# All arms side by side
counts = {name: passing(runs) for name, (*_, runs) in arms.items()}
early, in_the_end = map(plots.how_many, zip(*counts.values()))
soon, late, _ = zip(*arms.values())
table({"": arms, "steps": soon, "0.7": early, "more": late, "0.7 then": in_the_end})

# %% tags=["experiment"]
# The verdict on W6
said = "ReLU, digits, ten seeds, above 0.7. Ten layers of 32, batch 128: {2} in 240 "
said += "steps of momentum SGD (rates 0.03, 0.3), {3} at He's; AdamW (0.005): {4} in "
said += "240, at He's {5} in 60. Five of 256, batch 64 (0.002): {6} in 16, {7} in 8."
defaults = {name: mostly(n) for name, (_, n) in counts.items() if he not in name}
verdict("W6", defaults, said.format(*in_the_end))

# %% [markdown]
# The claim leaves out what it depends on. Under gradient descent the default is fine for few layers and hopeless for
# ten, and the weights alone decide: the same draws learn at He's scale. Under AdamW ten layers learn too, and so do
# five wide ones, but both wait: at He's scale most pass within steps in which few do as drawn. The wait grows as
# batches get smaller (tried with batches of 32, not shown). With other seeds the five wide ones learn in most runs or
# only in some, so that setting lies at an edge. We tried no more than ten layers, no ten wide ones, and no transformer.
#
# Images that look alike are an illness by themselves. Section 4 finds it where gradients are even and no layer has a
# bias.

# %% [markdown]
# ## 3 · Along the depth: Xavier, 5/3 and tanh
#
# For tanh Xavier's scale, `sigma_w = 1`, is the usual advice. The other is a **gain** of `5/3`, which torch's
# `calculate_gain` recommends. (A gain is a factor for the standard deviation, so it is our `sigma_w`.) What do the two
# keep over 50 layers?
#
# We follow $q$, the mean square of the pre-activations, as lesson 03 did. This time the layer may have biases of
# variance $\sigma_b^2$, which add their square at every layer:
#
# $$q_{\text{next}} = \sigma_w^2 \; E[\varphi(z)^2] + \sigma_b^2, \qquad z \sim N(0, q)$$
#
# Poole et al. (2016) call it the **length map**. Here is a step by hand. Suppose that every $z$ were $1$ or $-1$, so $q
# = 1$. Then $\tanh^2 z = 0.58$ for all of them. With a gain of $5/3$ and `sigma_b = 0.5` the next $q$ is $2.78 \cdot
# 0.58 + 0.25 = 1.86$. In truth $z$ is spread as a Gaussian, and the mean has to be taken over it: by evenly spaced
# quantiles, as lesson 03 did, or by some 100,000 random samples.

# %% [markdown]
# ### Exercise 05.2 · ●○○ · 6 minutes
#
# Write `next_q(phi, q, sigma_w, sigma_b)`: one step of the length map, a float, within 2 %. $z$ is Gaussian with mean
# square `q`; `phi` takes a tensor.


# %%
def next_q(phi, q, sigma_w, sigma_b):
    ### BEGIN SOLUTION
    quantiles = (torch.arange(4000).double() + 0.5) / 4000
    z = torch.special.ndtri(quantiles) * q**0.5
    return sigma_w**2 * float((phi(z) ** 2).mean()) + sigma_b**2
    ### END SOLUTION


next_q = check("05.2", next_q).function

# %% [markdown]
# Two things can be read off before any network is drawn.
#
# **Xavier.** A small $z$ hardly notices that tanh bends, because $\tanh^2 z \approx z^2 - \frac23 z^4$. The mean of
# $z^4$ is $3q^2$ for a Gaussian number. So a layer takes $q$ to about $q - 2q^2$. From $0.1$ it goes to $0.08$, then to
# $0.067$: it always falls, and the smaller it is, the more slowly. Its inverse goes from $10$ to $12.5$, then to $15$.
# It grows by about 2 per layer, because $\frac{1}{q - 2q^2} \approx \frac1q + 2$. So after $l$ layers $q$ is about
# $\frac{1}{2l}$, and twice the depth leaves half.
#
# **Gain 5/3.** Here $q$ settles, at about $1.18$. And the gradient? Lesson 03: one layer multiplies its square by
# $\chi_1 = \sigma_w^2\,E[\varphi'(z)^2]$. The drawing shows which share of the squares the slopes of tanh keep there.

# %% tags=["drawing"]
# The drawing
settled = 1.0
for _ in range(50):
    settled = next_q(torch.tanh, settled, 5 / 3, 0.0)
fig, ax = plt.subplots(figsize=(6.4, 2.4))
plots.draw_slope_under_density(ax, torch.tanh, settled**0.5)
plots.finish(ax, f"Gain 5/3: q settles at {settled:.2f}, and the slopes of tanh there")

# %% [markdown]
# So $\chi_1 = 2.78 \cdot 0.44 = 1.21$, and a gradient grows by its root, $1.1$, per layer. That is a tenth, and over 50
# layers it makes a factor of about a hundred.
#
# ## Claims on trial: W2 and W1
#
# *With Xavier initialisation a tanh network settles at a fixed variance* (often taught). *A gain of 5/3 is right for
# tanh* (torch's `calculate_gain` recommends it).
#
# **Our prediction.** W2: $q$ never settles; from layer 25 to layer 50 it falls to half. W1: the signal is steady, while
# the gradient grows by a tenth per layer. That is harmless over 10 layers, and more than tenfold over 50.
#
# Ten random networks of 50 layers and 128 units for each scale, one input each; nothing is trained. On the left $q$
# from the first layer on, on the right $\delta$ on its way back. Dotted is the theory: your `next_q`, and lesson 03's
# product of the $\chi_1$.

# %% tags=["experiment"]
# Xavier and a gain of 5/3 along 50 layers of tanh
L, gains = 50, {"Xavier": 1.0, "gain 5/3": 5 / 3}
signal, delta, lengths, expected = {}, {}, [], {}
exact = {"batch": 1, "dtype": torch.float64}
for name, s in gains.items():
    profile = propagation.gradient_profile(L, 128, "tanh", s, **exact)
    signal[name] = profile.q[0].T  # (layers, seeds)
    delta[name] = profile.delta[0] / profile.delta[0, :, -1:]  # (seeds, layers)
    lengths.append([s**2])
    for _ in range(L - 1):
        lengths[-1].append(next_q(torch.tanh, lengths[-1][-1], s, 0.0))
    expected[name] = meanfield.predicted_gradient_profile("tanh", L, s)
fig, (left, right) = plt.subplots(1, 2)
style = {"log": "xy", "marker": "", "colours": (plots.STABLE, plots.EXPLODES)}
plots.plot_against_theory(left, range(1, L + 1), signal, lengths, **style)
plots.finish(left, "5/3 settles, Xavier falls", "layer", "mean square of z")
plots.plot_depth_profile(
    right, delta, expected, colours=dict(zip(gains, style["colours"]))
)
plots.finish(right, "The gradient: 5/3 grows", ylabel="RMS of delta, last = 1")

# %% tags=["experiment"]
# The verdict on W2
q = {name: values.median(1).values for name, values in signal.items()}
soon, later = (float(q["Xavier"][2 * l - 1] / q["Xavier"][l - 1]) for l in (5, 25))
steady = float(q["gain 5/3"][49] / q["gain 5/3"][9])
evidence = "Random tanh networks at the start, width 128, no training, medians of "
evidence += f"ten: q falls to {soon:.1f} of itself from layer 5 to 10, and to "
evidence += f"{later:.1f} from 25 to 50. With gain 5/3: x {steady:.1f} from "
evidence += "layer 10 to 50."
spans = {"layers 5 to 10": soon, "layers 25 to 50": later}
found = {name: at_least(x, 0.9, false_at=0.7) for name, x in spans.items()}
verdict("W2", found, evidence)

# %% tags=["experiment"]
# The verdict on W1
grown = delta["gain 5/3"].median(0).values  # the last layer is 1
drift = max(steady, 1 / steady)
found = {"the signal over 50 layers": at_most(drift, 1.5)}
found["the gradient over 10 layers"] = at_most(float(grown[-10]), 10)
found["the gradient over 50 layers"] = at_most(float(grown[0]), 10)
evidence = "Random tanh networks at the start, width 128, no training, medians of "
evidence += f"ten: the signal changes by x {drift:.1f} from layer 10 to 50; the "
evidence += f"gradient grows by x {grown[-10]:.1f} over 10 layers and by x "
evidence += f"{grown[0]:.0f} over 50."
verdict("W1", found, evidence)

# %% [markdown]
# So the gain of 5/3 is right for the signal, and for few layers it does no harm to the gradient either. In a deep
# network no single scale keeps both: at Xavier's the signal fades, and with it, slowly, the gradient.
#
# One thing in the figure calls for a reason. The measured gradient ends below its dotted line, and at the first layers
# the theory even lies outside the band. The theory is for endless width. With 128 units every layer misses it by a
# little, and these factors multiply. Lesson 03 (Deeper B) showed what comes of that: a few networks grow much, and the
# *median* lies below the mean. Deeper A looks at it width by width.

# %% [markdown]
# **Or measure.** All these rules need a derivation, for each activation anew. **LSUV** (Mishkin and Matas 2016) needs
# none. It sends one batch through the network and divides each layer's weights by the size of what comes out.
#
# For one layer: say the pre-activations of three samples are $3, -4, 0$ in a single unit. Their mean square is
# $\frac{25}{3}$, and the RMS is $2.9$. Divide the weights by $2.9$, and the pre-activations become $1.04, -1.39, 0$,
# with an RMS of 1. Only then does the signal go on to the next layer, through the *new* weights.
#
# ### Exercise 05.4 · ●●○ · 8 minutes
#
# (05.3 is in Deeper A.) Write `lsuv(weights, phi, x)`. `weights` is a list of (fan_out, fan_in) tensors, `x` is (B, n).
# Layer by layer: divide $W$ by the RMS of its pre-activations `h @ W.T` (one number, over the batch and all units),
# then send `h` through the scaled layer and `phi`. Return the list of scaled weights, and leave the given ones as they
# are.


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
# ## 4 · Norms healthy, signal dead
#
# With your `lsuv` all norms of a deep network are even. Does a ReLU network of 50 layers learn then? So far only sizes
# counted. But a network must also tell one input from another, and for that the *directions* count. What does one ReLU
# layer do to the angle between two inputs?
#
# Take four units. For input $a$ they have $z = (1, 1, -1, -1)$, for input $b$ they have $(1, -1, 1, -1)$. The products
# unit by unit are $1, -1, -1, 1$. They sum to 0, so the two are at right angles: the cosine is 0.
#
# Now ReLU: $a$ becomes $(1, 1, 0, 0)$ and $b$ becomes $(1, 0, 1, 0)$. The sum of the products is 1. Each vector has
# length $\sqrt2$, so the cosine is $\frac{1}{\sqrt2\sqrt2} = \frac12$. One layer has turned a right angle into one of
# 60 degrees.

# %% tags=["drawing"]
# The drawing
fig, ax = plt.subplots(figsize=(6.4, 1.8))
before = ("a, b and their products", [[1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]])
after = ("after", [[1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 0, 0]])
lit = {before[0]: (2, None), after[0]: (2, None)}
plots.draw_grid_of_numbers(ax, [before, "ReLU", after], highlight=lit, shapes=False)
plots.finish(ax, "Both products of -1 become 0, and one of the two products of 1 stays")

# %% [markdown]
# *Why?* Two units counted against the likeness of $a$ and $b$: those that are positive for one and negative for the
# other. After ReLU one of their two values is 0, so they count nothing. Of the two units that counted for it, one is
# left, the one where both are positive. ReLU has no negative values, so no product can be negative any more. All
# vectors after a ReLU point into the same corner of space, and that is why they are more alike.
#
# In a wide layer $z$ is Gaussian, and the mean over all units can be computed. If the inputs lie at the angle $\theta$,
# the cosine after the layer is
#
# $$\frac{1}{\pi}\,\bigl(\sin\theta + (\pi - \theta)\cos\theta\bigr)$$
#
# At a right angle that is $\frac1\pi = 0.32$, less than our four units gave, because Gaussian values differ in size.
# The next layer starts from $\theta = 1.25$, which is $\arccos 0.32$. It gives $\frac1\pi (0.95 + 1.89 \cdot 0.32) =
# 0.49$. Each layer brings the two closer, and nothing brings them apart again.


# %%
def next_cosine(c):
    theta = math.acos(c)
    return (math.sin(theta) + (math.pi - theta) * math.cos(theta)) / math.pi


# %% tags=["drawing"]
# The drawing
cosines_by_hand = [0.0]
for _ in range(20):
    cosines_by_hand.append(next_cosine(cosines_by_hand[-1]))
fig, ax = plt.subplots(figsize=(6.4, 1.8))
shown = [0, 1, 2, 5, 10, 20]
names = ["inputs"] + [f"layer {k}" for k in shown[1:]]
plots.draw_directions(ax, [cosines_by_hand[k] for k in shown], names)
plots.finish(ax, "Two inputs at a right angle, layer by layer")

# %% [markdown]
# Lengths play no part in this, because ReLU knows no scale: twice the input is twice the output. So He's rule, which
# mends all lengths, mends nothing here.
#
# A bias makes it worse. It adds the same vector to both. Take $a = (1, 0, 0)$ and $b = (0, 1, 0)$, at a right angle,
# and the bias $(0, 0, 1)$. The sums $(1, 0, 1)$ and $(0, 1, 1)$ have the cosine $\frac12$. Were the inputs a tenth as
# long, it would be $\frac{1}{1.01} = 0.99$. This is what `nn.Linear` does in section 2: what comes from the image
# shrinks from layer to layer, and the biases do not. In this section's experiments no layer has one.
#
# ### Exercise 05.5 · ●●○ · 8 minutes
#
# Write `cosines(weights, phi, a, b)`. `a` and `b` are two inputs, (n,). Return L + 1 floats: the cosine of the angle
# between them, then between what they have become after each layer, which is `phi(W @ a)` and `phi(W @ b)`.


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
# **A start that looks linear.** Can a ReLU network be drawn so that the angles stay? Let the units come in pairs. Where
# one has $z$, its partner has $-z$. One of the two passes ReLU, and the next layer takes their difference:
#
# $$\text{relu}(z) - \text{relu}(-z) = z$$
#
# For $z = -3$ that is $0 - 3 = -3$. Nothing is lost, so at the start the whole network is a linear function. Each
# matrix is made of a random rotation $O$ (a matrix that keeps lengths and angles) as $\begin{pmatrix}O & -O\\-O &
# O\end{pmatrix}$: the minus signs take the difference and make the partners. (Deeper A draws rotations by hand.)
#
# All this is so at the start. Nothing holds the pairs together in training.
#
# Both starts, 50 layers of 32 units. Each of ten networks gets one pair of digits, and your `cosines` follows it. The
# axis shows what is missing to 1; the dotted line is the formula above, applied 50 times.


# %% tags=["experiment"]
# He's start and a looks-linear one, and the angle between two digits
def he_draws(depth, width=32, scale=2**0.5):
    g, sizes = torch.Generator().manual_seed(0), [64] + [width] * depth + [10]
    draw = lambda m, n: torch.randn(10, m, n, generator=g, dtype=torch.float64)
    return [(scale * draw(m, n) / n**0.5).float() for m, n in zip(sizes[1:], sizes)]


def random_rotations(sizes):
    g = torch.Generator().manual_seed(0)
    draw = lambda n: torch.randn(10, n, n, generator=g, dtype=torch.float64)
    return [propagation.rotations(draw(n)).float() for n in sizes]


def looks_linear(depth, half=16):
    mirror = lambda O: torch.cat([torch.cat([O, -O], 2), torch.cat([-O, O], 2)], 1)
    first, *middle, last = random_rotations([64] + [half] * depth)
    first, last = first[:, :half], last[:, :10]
    outer = torch.cat([first, -first], 1), torch.cat([last, -last], 2)
    return [outer[0], *map(mirror, middle), outer[1]]


def followed(net):  # the cosine of one pair of digits in each network: (layers + 1, 10)
    ways = zip(range(10), data.x_test[:10], data.x_test[10:20])
    every = [cosines([W[k] for W in net[:-1]], torch.relu, a, b) for k, a, b in ways]
    return torch.tensor(every).T


starts = {"He": he_draws(50), "looks-linear": looks_linear(50)}
angles = {name: 1 - followed(net) for name, net in starts.items()}
line = [1 - float(angles["He"][0].median())]
for _ in range(50):
    line.append(next_cosine(line[-1]))
fig, ax = plt.subplots()
plots.plot_against_theory(ax, range(51), angles, log="y", marker="", rough=True)
ax.plot(range(51), [1 - c for c in line], **plots.THEORY)
plots.finish(ax, "He: any two digits become one direction", "layer", "1 - cosine")

# %% [markdown]
# The typical narrow network is far below the formula, which is for endless width. In a narrow layer what is left of the
# difference is multiplied by a factor of chance. The typical product of such factors lies below their mean, as for the
# gradient in section 3. The looks-linear start falls once, at its first ReLU, and then stays. (Behind a ReLU its
# vectors have no negative entry either, but the next layer takes the differences and undoes it.)

# %% [markdown]
# ## Claim on trial: W5
#
# *A very deep ReLU network fails because its gradients vanish or explode.*
#
# At a wrong scale they do. Now let signals and gradients be even along the layers. If the claim is right, the network
# should then train.
#
# Two tests, one shallow and one deep. The first has three layers, He's weights, and other *inputs*: the constant 30 is
# added to every pixel, and the images are divided by 30, so that their size is about 1 as before. Any two of them now
# have a cosine of about $1 - \frac{1}{900}$. Rates are swept over a decade and more.

# %%
unshifted = "above 0.7, as the unshifted ones do"
part = "from 0.2 to 0.7"
guess = "below 0.2, near guessing"
question = "In 80 steps at the best rate the shifted networks reach an accuracy…"
predict("05.b", question, [unshifted, part, guess])

# %% [markdown]
# Ten networks each with and without the shift, under gradient descent and under AdamW. The table says how even $\delta$
# is at the start, and how many pass `0.7` after 80 steps. Most: eight or more of ten. Few: two or fewer. Some: in
# between.

# %% tags=["experiment"]
# Three layers, with and without the shift
shifted = data._replace(
    x_train=(data.x_train + 30) / 30, x_test=(data.x_test + 30) / 30
)
three, optimizers = he_draws(3), {"momentum SGD": {}, "AdamW": adamw}
sweep = {"momentum SGD": [0.003, 0.03, 0.1], "AdamW": [0.0003, 0.003, 0.01]}
plain, spoilt = {}, {}
for name, how in optimizers.items():
    plain[name] = trained(three, None, sweep[name][1:2], 80, 40, **how)
    spoilt[name] = trained(three, None, sweep[name], 80, 40, images=shifted, **how)
count_of = lambda arms: plots.how_many([passing(runs)[1] for runs in arms.values()])
drawn = [at_the_start(three, x=d.x_train[:128])[0] for d in (data, shifted)]
columns = {"inputs": ["as they are", "shifted"], "delta, 3rd over 1st": brief(drawn)}
table(columns | dict(zip(optimizers, zip(count_of(plain), count_of(spoilt)))))

# %% tags=["reveal"]
# The prediction is settled
reached = max(float(runs[1][1].median(1).values.max()) for runs in spoilt.values())
reveal(
    "05.b",
    unshifted if reached > 0.7 else part if reached > 0.2 else guess,
    f"The best median, over both optimizers and all rates: {reached:.1f}.",
    wrong={
        unshifted: "The sizes are as before, and so are the gradients. But what tells "
        "two digits apart has become a thousandth of the mean square.",
        part: "The difference is there, but it lies along the flat directions of a "
        "valley, and in 80 steps descent hardly moves there.",
        guess: "The networks got further than that.",
    },
)

# %% [markdown]
# **Why?** Not because of depth, since the same three layers learn from the images as they are. Inputs that point one
# way make the valley of lesson 01. Write two inputs of the last layer, of length 1 and with the cosine $c$, as $m + d$
# and $m - d$: what they share, and what tells them apart. Then $|m|^2 = \frac{1 + c}{2}$ and $|d|^2 = \frac{1 - c}{2}$.
#
# The last layer learns by moving its weights along $m$ and along $d$. For a squared error the curvature along a
# direction is the mean square of the inputs there. So the two curvatures stand in the ratio
#
# $$\frac{1 + c}{1 - c}$$
#
# At $c = 0.5$ that is 3. At $c = 0.998$ it is 999. The steep direction $m$ limits the rate, and says nothing of the
# class. The flat one, $d$, holds all that can be learnt, and plain descent needs about as many steps as that ratio.
# (Momentum saves many of them, but more inputs share $1 - c$ among more directions.) The same holds in each layer whose
# inputs are alike.

# %% [markdown]
# AdamW does not lift it here. It has a factor for each *weight*, and $m$ and $d$ lie across all weights, so no such
# factors make steps longer along $d$ alone. (In section 2 it moves the first layers, which see the images apart, and so
# pulls them apart further on. Shifted inputs leave it no such layer.)

# %% [markdown]
# Now the deep test. Two starts of 50 layers of 32 units, ten networks each. The first is made of random rotations,
# scaled by your `lsuv`, so that all norms are even. (The scale before does not matter, because LSUV divides it out.)
# The second is looks-linear, which is made of rotations as well, so rotations cannot be what makes the difference. It
# gets one rate, and the first gets two. All are trained for 50 steps, under both optimizers, and those that pass `0.7`
# are counted. Which of the two learns?
#
# <details><summary>Our prediction, made before the run.</summary>
#
# **Our prediction.** Even norms do not save 50 layers, under either optimizer. A looks-linear start does.
#
# </details>
#
# The table has the column of $\delta$ once more.

# %% tags=["experiment"]
# Fifty layers whose norms are even
turns = random_rotations([64] + [32] * 50)
turns = [turns[0][:, :32], *turns[1:-1], turns[-1][:, :10]]
even = [lsuv([W[k] for W in turns], torch.relu, data.x_train[:256]) for k in range(10)]
even = [torch.stack(layer) for layer in zip(*even)]
pace, rescued, kept = {"momentum SGD": [0.003, 0.01], "AdamW": [0.001, 0.003]}, {}, {}
for name, how in optimizers.items():
    rescued[name] = trained(even, None, pace[name], 50, 25, **how)

# %% tags=["experiment"]
# Fifty layers whose angles are kept, and both side by side
for name, how in optimizers.items():
    kept[name] = trained(starts["looks-linear"], None, pace[name][:1], 50, 25, **how)
drawn = [at_the_start(net)[0] for net in (even, starts["looks-linear"])]
columns = {"": ["norms even", "looks-linear"], "delta, 50th over 1st": brief(drawn)}
table(columns | dict(zip(optimizers, zip(count_of(rescued), count_of(kept)))))

# %% tags=["experiment"]
# The verdict on W5
he_ten = counts["momentum SGD, 10 layers of 32 at He's scale"][1]
found = {"10 layers at He's scale, momentum SGD": mostly(he_ten)}
for runs, said in ((rescued, "50 layers"), (spoilt, "3 layers with shifted inputs")):
    found |= {f"{said}, {name}": mostly(passing(runs[name])[1]) for name in optimizers}
words = [count_of(runs) for runs in (rescued, kept, plain, spoilt)]
evidence = "The claim is true where most pass 0.7 once norms are even. ReLU, width 32, "
evidence += "digits, ten seeds, momentum SGD (AdamW): with 50 layers {} ({}) in 50 "
evidence += "steps, with a looks-linear start {} ({}). With 3 layers, 80 steps, {} "
evidence += "({}), with shifted inputs {} ({})."
evidence = evidence.format(*(word for pair in words for word in pair))
verdict("W5", found, evidence, usual=[f"50 layers, {name}" for name in optimizers])

# %% [markdown]
# The same activation, the same depth, rotations in both, and $\delta$ about even: one learns and the other does not.
# (Looks-linear keeps more than one angle. It is a linear function at the start, so it keeps all of them.) Three layers
# with even gradients do not learn either, once their inputs point one way. So in a *very* deep ReLU network even norms
# are not enough. At ten layers (section 2) they are, because two digits have not yet become one direction.
#
# Why does AdamW not help the fifty layers? Their first layers do see the digits apart, and in longer runs (not shown)
# AdamW pulls them apart behind the fiftieth too. But at first nearly all of that difference lies along *one* direction,
# which is what a long product of random matrices leaves (lesson 02). Along one line ten classes are hard to tell apart,
# and the loss falls slowly.

# %% [markdown]
# So is it only a wait? At the rates of the table none of the ten passes in 240 steps either, under either optimizer. At
# a rate of `0.0003` AdamW brings one after the other past it, in the course of 1500 steps. Looks-linear needs 50. We
# tried one width. A wider network loses the angle more slowly, as Deeper A shows. Lesson 08 has a better answer, a path
# around the layers.

# %% [markdown]
# ## On a real run
#
# It does not train? Before anything else look at two numbers at step 0.
#
# - $\delta$ in the first layer over $\delta$ in the last: above 10 it explodes, below a tenth it vanishes. Set the
#   scale yourself. Under plain gradient descent a deep network does not learn without it. Under AdamW the default costs
#   steps, at least up to the ten layers that we tried.
# - The mean cosine between different inputs in the last hidden layer. At `0.99` the valley has a ratio of 200 whatever
#   the norms say. Centre the inputs; start the biases at 0; take fewer layers, or a path around them (lesson 08).
#   (`Recorder` says how much "samples differ", a share of the mean square. It counts unequal lengths in, which ReLU
#   hands on. So samples that hardly differ point one way, and the reverse need not hold.)
#
# ```python
# from torch import nn
#
# for layer in model.modules():
#     if isinstance(layer, nn.Linear):
#         nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
#         nn.init.zeros_(layer.bias)
#
# hidden = model[:-1]  # of an nn.Sequential
# h = hidden(x)  # what the last hidden layer gives: (samples, units)
# unit, n = h / h.norm(dim=1, keepdim=True), len(h)
# mean_cosine = (unit.sum(0).square().sum() - n) / (n * n - n)  # less each sample with itself
# ```
#
# Both are healthy? Then look at the learning rate next.

# %% [markdown]
# ## Summary
#
# A unit sums fan-in products, so weights with the variance `1 / fan-in` keep the signal; going back fan-out counts.
# Xavier's rule averages the two, He's has the factor 2 that ReLU costs, and a gain of 5/3 keeps the signal of tanh but
# not its gradient. The framework's default is smaller than all of these. Its biases then outweigh the image: under
# gradient descent ten layers do not learn, under AdamW they learn later, and the later the smaller the batch. ReLU has
# no negative values, so each layer makes any two inputs more alike, and the norms do not show it. Units in pairs, $z$
# and $-z$, keep the angles, and such a network trains.

# %% [markdown]
# ## Deeper
#
# Five parts follow, each by itself. A asks how far one network strays from a rule of variance. B joins the scale to the
# rate. C is the map of all scales, D the depth that a scale allows, and E a scale of your own.

# %% [markdown]
# ### A · One network is no mean
#
# He et al. derive their rule for the *mean* square over all networks that could be drawn. Lesson 03 (Deeper B) found
# what a single one does: over $L$ layers of width $n$ the logarithm of $|\delta|^2$ is about Gaussian, with
#
# $$\text{variance } \beta = \frac{5L}{n}, \qquad \text{mean } -\frac{\beta}{2}$$
#
# The median of $|\delta|^2$ is then $e^{-\beta/2}$, although its mean is 1: a few lucky networks carry the mean. Twelve
# layers have eleven steps from the last to the first. At width 16 that gives $\beta = \frac{55}{16} = 3.4$ and a median
# of $e^{-1.7} = 0.18$. At width 128 it is $0.81$. So depth over width decides.
#
# #### Claim on trial: W3
#
# *He initialisation preserves the size of gradients.*
#
# **Our prediction.** The median of the squared growth follows $e^{-\beta/2}$: a fifth at width 16, four fifths at width
# 128. One hundred networks of 12 layers for each width; nothing is trained.

# %% tags=["experiment"]
# Four widths, one hundred networks each
widths, growth = [16, 32, 64, 128], []
for n in widths:
    profile = propagation.gradient_profile(12, n, "relu", 2**0.5, seeds=100, batch=1)
    first, last = profile.delta[0, :, 0], profile.delta[0, :, -1]
    growth.append(float((first / last).square().median()))
theory = [math.exp(-5 * 11 / n / 2) for n in widths]
fig, ax = plt.subplots()
plots.plot_against_theory(ax, widths, {"median": growth}, [theory], log="xy")
ax.axhline(1, color=plots.REFERENCE, linewidth=0.8)
plots.finish(
    ax, "He, 12 layers: the typical narrow network fades", "width", "squared growth"
)

# %% tags=["experiment"]
# The verdict on W3
found = {
    f"12 layers of {n}": at_least(g, 0.5, false_at=0.3) for n, g in zip(widths, growth)
}
evidence = "12 ReLU layers at the start, no training, median of 100 networks: the "
evidence += f"squared gradient changes by x {growth[0]:.1f} at width 16 (theory "
evidence += f"{theory[0]:.1f}) and by x {growth[-1]:.1f} at width 128 "
evidence += f"({theory[-1]:.1f})."
verdict("W3", found, evidence)

# %% [markdown]
# Two more things in this lesson depend on the width. In section 3 the typical gradient under a gain of 5/3 grew less
# than theory says, and in section 4 two digits came together faster. Here are both by width, as medians: 50 layers, 20
# networks of tanh, ten of ReLU. The last row is the theory for endless width.

# %% tags=["experiment"]
# A gain of 5/3, and the angle under He's start, at three widths
some_widths, grows, closer = [16, 32, 64], [], []
for n in some_widths:
    profile = propagation.gradient_profile(50, n, "tanh", 5 / 3, seeds=20, **exact)
    first, last = profile.delta[0, :, 0], profile.delta[0, :, -1]
    grows.append(f"{float((first / last).median()):.0f}")
    closer.append(f"{1 - float(followed(he_draws(50, n))[-1].median()):.1g}")
grows.append(f"{float(expected['gain 5/3'][0]):.0f}")
columns = {"5/3: gradient x": grows, "He: 1 - cosine": [*closer, f"{1 - line[-1]:.1g}"]}
table({"width": [*some_widths, "endless"]} | columns)

# %% [markdown]
# Both come nearer to the theory as the layers get wider, so the theory is right where it speaks, and a narrow network
# is worse off than it says.

# %% [markdown]
# Can one draw with less luck in it? **Orthogonal** weights take a part of it away. A random matrix stretches some
# directions and crushes others; an orthogonal one turns all of them and keeps every length. (Which units are on remains
# chance.) Any matrix $A$ can be written as $A = QR$, with $Q$ orthogonal and $R$ zero below its diagonal. For
#
# $$A = \begin{pmatrix}0 & -2\\3 & 0\end{pmatrix} \quad\text{one such pair is}\quad Q = \begin{pmatrix}0 & -1\\1 &
# 0\end{pmatrix},\quad R = \begin{pmatrix}3 & 0\\0 & 2\end{pmatrix}$$
#
# Turn the sign of a column of $Q$ and of the same row of $R$, and the product is the same. Algorithms choose these
# signs as they like, so $Q$ alone is not a *random* rotation. If the diagonal of $R$ is made positive, it is one.
#
# ### Exercise 05.3 · ●●○ · 8 minutes
#
# Write `orthogonal(A, gain)`. `A` is (n, n), Gaussian. Return `gain` times the Q of `A = QR` (`torch.linalg.qr`), with
# the signs of its columns chosen such that R has a positive diagonal.


# %%
def orthogonal(A, gain):
    ### BEGIN SOLUTION
    Q, R = torch.linalg.qr(A)
    return gain * Q * R.diagonal().sign()
    ### END SOLUTION


orthogonal = check("05.3", orthogonal).function

# %% [markdown]
# ### B · The scale and the rate, together
#
# The scale of the weights is one half of the start. The learning rate is the other. A step is the rate times the
# gradient, so weights that make the gradient 60 times too large ask for a rate 60 times smaller.
#
# #### Claim on trial: S5
#
# *Initialisation and learning rate decide whether gradients explode.*
#
# **Our prediction.** In six ReLU layers the gradient at the start changes by $(\sigma_w^2/2)^3$. At twice He's scale
# that is $4^3 = 64$. So under gradient descent a rate explodes there that is safe at He's scale. Under AdamW the length
# of a step does not depend on the gradient's size, so the rate alone should decide.
#
# Six layers of 32, half of He's scale, He's, and twice He's, ten networks each, 24 steps. A network has exploded if its
# loss rises to ten times its first value. The table says how many of ten do. Most: eight or more of ten. Few: two or
# fewer. Some: in between.

# %% tags=["experiment"]
# Three scales, three rates, two optimizers
scales = {"half": 2**-0.5, "He": 2**0.5, "twice": 8**0.5}
six = [torch.cat([s * W for s in scales.values()]) for W in he_draws(6, scale=1.0)]
by_rates = {"momentum SGD": [0.001, 0.06, 8.0], "AdamW": [0.001, 0.03, 1.0]}
blown, rows = {}, []
for name, how in optimizers.items():
    loss = trained(six, None, by_rates[name], 24, 12, **how)[0].nan_to_num(math.inf)
    exploded = loss.amax(0) > 10 * loss[0]
    blown[name] = exploded.view(3, 3, 10).sum(2)  # (rates, scales), of ten seeds
    rows += [plots.how_many(row) for row in blown[name].tolist()]
cases = [f"{name}, rate {rate:g}" for name in optimizers for rate in by_rates[name]]
table({"exploded": cases} | dict(zip(scales, zip(*rows))))

# %% tags=["experiment"]
# The verdict on S5
found, at_scale = {}, {}
for name, by_rate in blown.items():
    at_scale[name] = int((by_rate[:, 2] - by_rate[:, 1]).max())  # twice He's less He's
    found[f"the scale under {name}"] = mostly(at_scale[name])
    found[f"the rate under {name}"] = mostly(int(by_rate[2, 2] - by_rate[0, 2]))
gap = [plots.how_many([n])[0] for n in at_scale.values()]
ends = [plots.how_many(by_rate[[0, 2], 2].tolist()) for by_rate in blown.values()]
evidence = "6 ReLU layers of 32, digits, 24 steps, ten seeds, momentum SGD (AdamW). At "
evidence += (
    f"one rate {gap[0]} ({gap[1]}) networks more explode at twice He's scale than "
)
evidence += f"at He's. At twice He's scale {ends[0][0]} ({ends[1][0]}) explode at the "
evidence += f"smallest rate, {ends[0][1]} ({ends[1][1]}) at the largest."
verdict("S5", found, evidence)

# %% [markdown]
# ### C · The map
#
# Weights and biases together, for tanh. Each point of the map is a network of 30 layers of 64 units; its colour is the
# factor by which one layer multiplies a squared gradient, measured. Purple vanishes, red explodes, white keeps. Dotted
# is the line where theory says $\chi_1 = 1$.

# %% tags=["experiment"]
# The growth of a gradient over the scales of weights and biases
ws, bs = torch.linspace(0.5, 4, 29), torch.linspace(0, 2, 17)
measured = propagation.phase_diagram("tanh", ws, bs, width=64, depth=30, seeds=1).chi
settled_q = meanfield.q_trajectory("tanh", ws, bs.unsqueeze(1), depth=200)[-1]
grid = meanfield.chi_1("tanh", ws, q=settled_q)
fig, ax = plt.subplots()
style = {"limits": (0.1, 10), "log": True, "cmap": plots.GROWTH, "rough": True}
plots.plot_map(ax, ws, bs, measured, grid, levels=[1.0], **style)
plots.finish(
    ax, "The squared gradient per layer; dotted: chi_1 = 1", "sigma_w", "sigma_b"
)

# %% [markdown]
# To the left of the line gradients vanish, and all inputs become one direction. To its right gradients explode, and
# inputs that were close move apart: the network is chaotic. On the line both last longest. So for tanh the two
# illnesses of this lesson lie on the two sides of one line. ReLU without biases has no such choice: at its one good
# scale inputs become one direction all the same.
#
# Move the point along the line and off it.

# %%
explorers.explore_phase_diagram()

# %% [markdown]
# ### D · How deep may a network be?
#
# Off the line a squared gradient changes by the factor $\chi_1$ per layer. At $\chi_1 = 0.8$ seven layers leave a
# fifth. The number of layers over which it changes by a factor $e$ is the **depth scale** $\xi = 1/|\ln\chi_1|$, here
# $4.5$. To the left of the line the differences between inputs go the same way. Schoenholz et al. (2017) found that
# networks train up to a few times that depth; six is the number often quoted.
#
# **A paper in small: Schoenholz et al., 2017.** 16 tanh layers of 32 units, $\sigma_b^2 = 0.05$, five scales, ten
# seeds, gradient descent with momentum. Trained means an accuracy above `0.5` after 100 steps. Our prediction: it
# trains where $6\xi > 16$.
#
# The learning rate is `0.15` divided by 16, the number of layers. Each step changes all layers, and the output feels
# the sum of their changes, so more layers need shorter steps. The figure shows the accuracy after 50 and after 100
# steps. Most: eight or more of ten. Few: two or fewer. Some: in between.

# %% tags=["experiment"]
# Sixteen tanh layers at five scales
squares, depth, noise = [0.8, 1.3, 1.76, 2.4, 6.0], 16, 0.05**0.5
roots = [s**0.5 for s in squares]
scaled = [torch.cat([root * W for root in roots]) for W in he_draws(depth, scale=1.0)]
g = torch.Generator().manual_seed(1)
biases = [noise * torch.randn(10, W.shape[1], generator=g).repeat(5, 1) for W in scaled]
tent = trained(scaled, biases, [0.15 / depth], 100, 50, phi=torch.tanh)[1][:, 0].view(
    2, 5, 10
)
reach = [6 * meanfield.depth_scale("tanh", root, noise) for root in roots]
fig, ax = plt.subplots()
by_budget = {"50 steps": tent[0], "100 steps": tent[1]}
plots.plot_against_theory(ax, squares, by_budget, log="x", rough=True)
fine = [s / 100 for s in range(60, 700, 5)]
inside = [s for s in fine if 6 * meanfield.depth_scale("tanh", s**0.5, noise) > depth]
ax.axvspan(inside[0], inside[-1], color=plots.REFERENCE, alpha=0.2, linewidth=0)
plots.finish(
    ax,
    "Shaded, 6 xi > 16: a tent around the critical line",
    "sigma_w squared",
    "accuracy",
)
trains = plots.how_many((tent[1] > 0.5).sum(1).tolist())
table(
    {
        "sigma_w squared": squares,
        "6 xi > 16": [r > depth for r in reach],
        "of ten above 0.5": trains,
    }
)

# %% [markdown]
# The five scales come out as predicted, and at the top of the tent the networks really train. What the figure does not
# show is the edge of the shaded part. The scales were chosen away from it, because near it six is only a rule of thumb.

# %% [markdown]
# ### E · A scale of your own
#
# Networks of 6 and of 20 layers, their widths between 24 and 144, with a leaky ReLU that passes negative numbers at
# half their size. You know all that is needed: count the terms of the sum, and see what the activation lets through.
#
# ### Exercise 05.6 · ●●● · 10 minutes
#
# Write `choose_std(fan_in, fan_out)`: the standard deviation for each layer's weights. The check draws networks with
# yours and trains them for 15 steps.


# %%
def choose_std(fan_in, fan_out):
    ### BEGIN SOLUTION
    return math.sqrt(2 / (1 + 0.5**2) / fan_in)
    ### END SOLUTION


choose_std = check("05.6", choose_std).function

# %% [markdown]
# ## Further reading
#
# - K. He et al., [Delving deep into rectifiers](https://arxiv.org/abs/1502.01852) (2015): the derivation for ReLU, and
#   the two figures.
# - S. Schoenholz et al., [Deep information propagation](https://arxiv.org/abs/1611.01232) (2017): the depth scale.
# - D. Mishkin, J. Matas, [All you need is a good init](https://arxiv.org/abs/1511.06422) (2016): LSUV.
#
# [The solution of this lesson](../solutions/05_initialization.ipynb) · [Back to the start](00_start_here.ipynb)
