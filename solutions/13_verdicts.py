# %% [markdown]
# # 13 · Verdicts
#
# **What of all that is taught about exploding gradients has held, and what follows for your next run?**
#
# After this you can
# - say of each of 41 claims what its trial found, and go there,
# - go from a symptom to a measurement to a remedy, and name the evidence for each step,
# - say what this course did not test.
#
# About 30 minutes to work through, a few seconds to run. Needs all lessons before. Next: your own runs.

# %%
import math
import re

import torch

from gradutils import plots
from gradutils.attention import expected_slope
from gradutils.course import certificate, predict, progress, reveal, show, table, trials
from gradutils.data import quadratic
from gradutils.meanfield import chi_1, critical_sigma_w, depth_scale
from gradutils.schedules import warmup_cosine

plots.use_style()

# %% [markdown]
# ## Before the table
#
# Forty-one claims were put on trial, as they are often taught: ten random seeds or more, the learning rate swept where there was one. Each was tried at several *settings*: an activation, an optimizer, a size, a number of steps. At each setting code said whether the claim is true there.

# %%
third, half, more = "fewer than one in three", "one to two in three", "more than two in three"
predict("13.a", "Over all settings of all trials, at how many was the claim true?", [third, half, more])

# %% [markdown]
# Nothing here is typed. The next cell reads the outputs of the solutions, where the trials were run. It counts the settings, then the verdicts that a rule made of them (lesson 01): true everywhere *holds*, false wherever it is usually said is *refuted*, anything else *depends*. What nobody tried is *not tested*.

# %%
found = trials.trials("../solutions")
settings = trials.how_often_true(found)
table({"at this setting the claim is": settings, "settings": settings.values()})
outcomes = [trial.outcome for trial in found.values()]
counts = {name: outcomes.count(name) for name in trials.OUTCOMES}
table({"verdict": counts, "claims": counts.values()})

# %% tags=["reveal"]
share = settings["true"] / sum(settings.values())
because = f"At {settings['true']} of {sum(settings.values())} settings."
wrong = {third: "Whoever teaches a claim has seen it somewhere, and most trials include that place."}
wrong |= {half: "The trials looked mostly where the claim is at home, or mostly where it is not."}
wrong |= {
    more: "Each claim was also taken to where it could fail: another activation, size, optimizer or rate."
}
reveal("13.a", third if share < 1 / 3 else half if share < 2 / 3 else more, because, wrong)

# %% [markdown]
# ## All verdicts
#
# S: what an article on "the explosive nature of gradient descent" told. W: what is often taught beside it, or tempting. Each name leads to its lesson, and there to *Claim on trial*. *Predicted* is what we wrote before the run; some of it was wrong, and has stayed. *Where* says at which settings the claim was found true, and at which not. Ten networks were run where no other number stands.

# %%
trials.show_trials(found)

# %% [markdown]
# What parts *depends* from *refuted*? Both are false somewhere. A refuted claim was false wherever it is usually said, and may still be true at a setting that nobody means. One that depends is true at some of the usual places, and is taught without saying at which. So read the column *where* first: it is what a sentence about training should carry.

# %% [markdown]
# ## Who trained with what
#
# A verdict reaches no further than its optimizer. Read from the evidence: the claims whose trial names each.

# %%
kinds = {
    "nothing was trained": "no training|algebra",
    "gradient descent, plain or with momentum": "SGD|gradient descent|momentum",
}
kinds["Adam, or AdamW with its weight decay"] = "Adam"
named = [
    [c for c, trial in found.items() if re.search(kind, trial.evidence, re.IGNORECASE)]
    for kind in kinds.values()
]
table({"": kinds, "claims": [", ".join(claims) for claims in named]})

# %% [markdown]
# ## A guide
#
# From what you see, over a number, to what you do. No remedy without a measurement: most remedies work on more than one illness, and so prove nothing.

# %%
guide = [
    ("loss leaps\nor NaN", "gradient inf, loss ordinary", "a lower loss scale", "12.9"),
    ("loss leaps\nor NaN", "cosine of gradients near 1", "call zero_grad()", "12.8"),
    ("loss leaps\nor NaN", "step 0: outputs ordinary, loss not", "the mean of the loss, not its sum", "12.7"),
    ("loss leaps\nor NaN", "step 0: inputs far from RMS 1", "normalise the inputs", "12.3"),
    ("loss leaps\nor NaN", "step 0: outputs, gradients large", "start that fits, or warm up", "S5 S10 12.13"),
    ("loss leaps\nor NaN", "the same, but BatchNorm is there", "no alarm: look again at step 10", "W11"),
    ("loss leaps\nor NaN", "attention, logits in hundreds", "warmup and decay, or QK-norm", "W23 12.20"),
    ("loss leaps\nor NaN", "float16 weights, Adam's v is 0", "a float32 copy, or fused=True", "W29"),
    ("loss leaps\nor NaN", "step 0 in scale, update > 0.3", "a tenth of the rate", "S1 S9 12.1"),
    ("loss leaps\nor NaN", "recurrent, gradient grows with T", "orthogonal start, and clip", "12.11 S6"),
]

# %%
guide += [
    ("loss flat", "signals shrink by layer", "start that fits, or a skip path", "S8"),
    ("loss flat", "torch's own start, ten layers, SGD", "He's start, or AdamW and time", "W6"),
    ("loss flat", "samples alike in the last layer", "skip path, BatchNorm, tanh", "W5 W11 12.10"),
    ("loss flat", "deltas shrink by layer, sigmoid", "another activation, or its own scale", "S7 W4"),
    ("loss flat", "Adam, gradients below epsilon", "smaller epsilon, a start that fits", "W17 12.21"),
    ("loss flat", "samples alike, attention only", "a skip path, branches over sqrt(L)", "W24"),
    ("loss flat", "in scale, the rate is 0 too soon", "count the schedule in steps", "12.17"),
    ("loss flat", "in scale, outputs add up to 1", "no softmax before cross_entropy", "12.18"),
    ("loss flat", "in scale, and nothing is learnt", "look at inputs beside labels", "12.19"),
]

# %%
guide += [
    ("late spikes", "inputs leap for one batch", "skip it, go back to a saved state, or clip", "12.16"),
    ("late spikes", "Adam, one bad batch", "clip, smaller beta2", "W13 W14 W18"),
    ("late spikes", "Adam, RMS of g/root v over 3", "clip the update, smaller beta2", "W18 12.23"),
    (
        "late spikes",
        "Adam, tiny gradients, then a burst",
        "a smaller or falling rate, or larger beta2",
        "W14",
    ),
    ("most steps\nare clipped", "gradient descent", "fix rate or threshold, tune the other", "06"),
    ("most steps\nare clipped", "AdamW", "nothing: a clip has no size there", "06 W13"),
    ("slow", "bfloat16 weights, updates rounded away", "a float32 copy, not a lower rate", "W26 W27 12.22"),
    ("slow", "rate far below 2 / sharpness", "range test, a tenth of its minimum", "W10 W16"),
]

# %%
show(plots.plot_guide(guide))

# %% [markdown]
# The same with the evidence, claim by claim, and the way to it:

# %%
trials.show_guide(guide, found)

# %% [markdown]
# ## A sheet of formulas
#
# Each with the line that computes it.
#
# **The largest step on a valley** is $2/\lambda$, with $\lambda$ the largest curvature; with momentum $\beta$ it is $(2 + 2\beta)/\lambda$. (Lesson 01)

# %%
curvature = torch.linalg.eigvalsh(quadratic([0.5, 2.0, 8.0], seed=0))[-1]
print(f"GD {2 / curvature:.3f}, momentum 0.9 {(2 + 2 * 0.9) / curvature:.3f}")

# %% [markdown]
# **The growth of the squared gradient a layer** is $\chi_1 = \sigma_w^2\,E[\varphi'(z)^2]$, $z$ Gaussian with variance $q$. Over $L$ layers a gradient changes by $\chi_1^{L/2}$. (Lesson 03)

# %%
for name, sigma_w in (("relu", 1.0), ("relu", 2.0), ("tanh", 1.5), ("tanh", 4.0)):
    print(
        f"{name} at {sigma_w}: {chi_1(name, sigma_w) ** 0.5:.2f} a layer, {chi_1(name, sigma_w) ** 10:.1g} over 20"
    )

# %% [markdown]
# **The start that fits** has $\chi_1 = 1$: weights of variance $\sigma_w^2/n$ with $n$ inputs. (Lessons 04, 05)

# %%
print({name: round(critical_sigma_w(name), 2) for name in ("relu", "tanh", "erf", "sigmoid")})

# %% [markdown]
# **How deep a signal reaches**: $\xi = 1/|\ln\chi_1|$ layers. (Lesson 05)

# %%
print(f"xi at 0.9: {depth_scale('tanh', 0.9):.1f} layers; at 0.99: {depth_scale('tanh', 0.99):.0f}")

# %% [markdown]
# **A clip** at $c$ multiplies the gradient by $\min(1, c/|g|)$. By value, far below all entries, it turns a Gaussian gradient by a cosine of $\sqrt{2/\pi}$. (Lesson 06)

# %%
print(f"{min(1, 1.0 / 25.0)} at c = 1, |g| = 25; cosine by value {math.sqrt(2 / math.pi):.2f}")

# %% [markdown]
# **Adam after one bad batch**: an update is at most $\frac{1 - \beta_1}{\sqrt{1 - \beta_2}}$ times the rate for a gradient out of nothing. (Lessons 06, 07)

# %%
print({beta2: round(0.1 / math.sqrt(1 - beta2), 2) for beta2 in (0.9, 0.99, 0.999)})

# %% [markdown]
# **Adam's edge** is $(2 + 2\beta_1)/(1 - \beta_1)$ over the rate, for the sharpness divided by Adam's own scale. With **epsilon** a weight whose gradient is $g$ moves by the share $|g|/(|g| + \epsilon)$ of a rate. (Lesson 09)

# %%
print({beta1: round((2 + 2 * beta1) / (1 - beta1)) for beta1 in (0.0, 0.5, 0.9)})
print({g: round(g / (g + 1e-8), 2) for g in (1e-6, 1e-8, 1e-10)})

# %% [markdown]
# **Weights before a normalisation turn** by $\sqrt{2\,\text{lr} \cdot \text{decay}\,(1 - \beta_1)/(1 + \beta_1)}$ per step, where batches are noisy. (Lesson 09)

# %%
print(f"lr 0.001, decay 0.1: {math.sqrt(2 * 0.001 * 0.1 * 0.1 / 1.9):.4f} radians")

# %% [markdown]
# **The slope of a softmax** is $1 - E\sum p^2$ in sum over its weights: large where logits are alike, small where they are far apart. (Lesson 10)

# %%
print({spread: round(expected_slope(spread, 16), 2) for spread in (0.5, 2.0, 8.0)})

# %% [markdown]
# **A bfloat16 number** between $2^k$ and $2^{k+1}$ has its neighbours at $2^{k-7}$: an update below half of that is lost. (Lesson 11)

# %%
for w in (0.02, 0.2):
    print(f"w = {w}: less than {2.0 ** (math.floor(math.log2(w)) - 8):.1g} is lost")

# %% [markdown]
# **Warmup and cosine**: a straight line up over $w$ steps, then half a cosine down. (Lesson 07)

# %%
multiplier = warmup_cosine(10, 100)
print({step: round(multiplier(step), 2) for step in (0, 4, 9, 55, 99)})

# %% [markdown]
# **A skip path** with branches of scale $s$ grows by $(1 + s^2)^L$ in the square; $s = 1/\sqrt L$ keeps that below $e$. **Batch normalisation** with ReLU, at the start: $\sqrt{\pi/(\pi-1)}$ a layer. (Lesson 08)

# %%
print(f"s = 1, 50 blocks: {2.0**50:.0e}; s = 1/sqrt(50): {(1 + 1 / 50) ** 50:.2f}")
print(f"BatchNorm, ReLU: {math.sqrt(math.pi / (math.pi - 1)):.2f} a layer")

# %% [markdown]
# **A constant answer** loses $\ln C$ with $C$ classes. A first loss far above it speaks of the start, the inputs, or a sum; a last loss at it of a network asleep. (Lesson 12)

# %%
print({classes: round(math.log(classes), 2) for classes in (2, 10, 1000, 50_000)})

# %% [markdown]
# ## What this course did not test
#
# - **Size.** Trained were widths to 256 and depths to 50, on one data set of 1797 digits, for some hundred steps. Rates per layer carry over, for theory says so and was right here. The largest usable rate does not: measure your own.
# - **Optimizers.** The table above says who trained with what. A verdict that names only gradient descent says nothing of AdamW. Weight decay stood at AdamW's usual value, except in lesson 09. Lion, Muon, Shampoo: not tried.

# %% [markdown]
# Nor did it test these:
#
# - **Large language models.** Logits that grow and memories that are stale were made here, by hand or by a large rate, in one or two layers. Whether the spikes of large runs are of that kind was not asked; embeddings and data were not looked at.
# - **Convolutions, many blocks of attention trained on text, reinforcement learning, GANs.** Not on trial.
# - **Generalisation.** Whether a stable run also ends in a better model was not asked.
# - **Hardware.** bfloat16 and float16 were numbers of this processor, rounded by its rules. No GPU was used, and several devices were two processes on one machine.

# %% [markdown]
# ## Where small scale may mislead
#
# Digits are easy: with a skip path a linear model would do, so they were flipped there. Ten seeds see a failure in one run of five, not in one of a hundred. Best rates were chosen on the seeds that are shown, which flatters every arm alike. And a verdict is of a claim as it is often taught, not of the papers behind it: most of those say it with more care.

# %% [markdown]
# ## Further reading
#
# - S. Schoenholz et al., [Deep information propagation](https://arxiv.org/abs/1611.01232) (2017): the theory that was drawn dotted through half of this course.
# - J. Cohen et al., [Gradient descent on neural networks typically occurs at the edge of stability](https://arxiv.org/abs/2103.00065) (2021): why the old limit is not the end.
# - M. Wortsman et al., [Small-scale proxies for large-scale transformer training instabilities](https://arxiv.org/abs/2309.14322) (2023): what can be learnt about large runs from small ones.

# %% [markdown]
# ## Your results
#
# What you have done so far. What is open stays open as long as you like.

# %%
progress()

# %% [markdown]
# And as a page of its own. `certificate("Your name", "results.html")` keeps it as a file in this folder, or wherever the path leads; your data stay on this machine.

# %%
print(certificate().text.splitlines()[1])

# %% [markdown]
# ## Summary
#
# Gradients multiply; at the start one number, computed beforehand, says by how much per layer.
# A start that fits, a rate below the edge and a look at step 0 do most of the work.
# A clip keeps a direction and mends a wild length, of one batch or of an explosion in scale; chaos and NaN it does not mend, and it hides bugs. Under Adam it has no size.
# Adam has an edge, a memory and a scale of its own; attention multiplies two matrices that grow; in bfloat16 small steps are lost.
# Most else depends, and now you can say on what.
#
# [The solution of this lesson](../solutions/13_verdicts.ipynb) · [Back to the start](00_start_here.ipynb)
