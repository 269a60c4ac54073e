# %% [markdown]
# # 09 · Emergency room
#
# **A training run is ill. What is it, which line does it, and how do you know?**
#
# After this you can
# - read the chart of a run and name its illness, most often from step 0,
# - tell a cure from a painkiller,
# - say which of the often listed remedies do the work.
#
# About 150 minutes to work through (split it anywhere), 20 seconds to run. Needs lessons 03 to 08. Next: [lesson 10, the verdicts](10_verdicts.ipynb).

# %%
import matplotlib.pyplot as plt
import torch

from gradutils import plots
from gradutils.course import predict, reveal, table, verdict
from gradutils.course.clinic import chart, practice, treatment
from gradutils.course.clinic.treatment import treat
from gradutils.data import digits
from gradutils.models import weight_stacks
from gradutils.schedules import warmup_cosine
from gradutils.training import grid, train_many

plots.use_style()

# %% [markdown]
# ## A healthy run
#
# Fifteen patients wait. Each is a script of fourteen lines, run once and watched by a recorder. First the script of a run that is well, with its chart. Look at it as long as you need: everything below is compared with it.

# %%
chart.visit()

# %% [markdown]
# Upper row: the loss, with that of a constant answer dashed; the update of each weight matrix in proportion to it (above `0.3` the ground is red); the cosine of each gradient with the one before.
#
# Lower row, at the first, a middle and the last step: the RMS of the inputs and of each layer's $z$; $\partial L/\partial z$; $\partial L/\partial W$. The output is at the right. A point that is missing was exactly zero, or not finite. Above the chart stands what was known at step 0, before any update.

# %% [markdown]
# ## How to treat
#
# Run a patient's cell: its script and chart appear. Then replace the three dots by the **name of the illness**, the **number of one line**, and the **new line**, and run it again:
#
# `treat("09.1", "saturated", 3, "x = pixels / 16")`
#
# Your line is tried on three seeds that you have not seen. Who is well is treated with `"healthy"`. Under each answer are two hints.

# %% [markdown]
# The names. Not every illness has a patient here. If you name one that the chart does not show, you are told how it would show.

# %%
print("\n".join(treatment.SIGNS))

# %% [markdown]
# Thirteen of the fifteen are ill. Suppose that you do not look at them at all: you set the clip in line 11 to 1, and change nothing else. How many of the thirteen will train?

# %%
few, some, most = "at most 3", "from 4 to 9", "10 or more"
predict("09.a", "With a clip at 1 and no other change there train…", [few, some, most])

# %% [markdown]
# ### Patient 09.1 · ●○○ · 5 minutes
#
# "It worked well, only slowly. So I made it faster."

# %%
treat(
    "09.1",
    ### BEGIN SOLUTION
    "learning rate too high",
    4,
    "optimizer = SGD(net.parameters(), lr=0.05, momentum=0.9)",
    ### END SOLUTION
)

# %% [markdown]
# ### Patient 09.2 · ●○○ · 5 minutes
#
# "Nothing happens. It does not even get worse."

# %%
treat(
    "09.2",
    ### BEGIN SOLUTION
    "zero gradient",
    2,
    "init_weights_(net, 2**0.5)",
    ### END SOLUTION
)

# %% [markdown]
# ### Patient 09.3 · ●○○ · 5 minutes
#
# "The network is the one from the paper, the data are ours."

# %%
treat(
    "09.3",
    ### BEGIN SOLUTION
    "inputs not normalised",
    3,
    "x = (pixels - pixels.mean()) / pixels.std()",
    ### END SOLUTION
)

# %% [markdown]
# ### Patient 09.4 · ●○○ · 5 minutes
#
# "We have already lowered the rate. Smaller weights? They are random, what could be wrong with them?"

# %%
treat(
    "09.4",
    ### BEGIN SOLUTION
    "init too large",
    2,
    "init_weights_(net, 2**0.5)",
    ### END SOLUTION
)

# %% [markdown]
# ### Patient 09.5 · ●○○ · 5 minutes
#
# "I read that small weights are safe."

# %%
treat(
    "09.5",
    ### BEGIN SOLUTION
    "init too small",
    2,
    "init_weights_(net, 1.0)",
    ### END SOLUTION
)

# %% [markdown]
# ### Patient 09.6 · ●●○ · 5 minutes
#
# "We did not touch the weights at all. After twenty steps it had learnt nothing."

# %%
treat(
    "09.6",
    ### BEGIN SOLUTION
    "healthy",
    ### END SOLUTION
)

# %% [markdown]
# ### Patient 09.7 · ●●○ · 6 minutes
#
# "It trained with batches of one. Since we use 64 at a time it explodes."

# %%
treat(
    "09.7",
    ### BEGIN SOLUTION
    "loss summed",
    8,
    "loss = cross_entropy(net(x[rows]), y[rows])",
    ### END SOLUTION
)

# %% [markdown]
# ### Patient 09.8 · ●●○ · 6 minutes
#
# "I have compared it with the healthy script, word for word."

# %%
treat(
    "09.8",
    ### BEGIN SOLUTION
    "gradients not cleared",
    9,
    "optimizer.zero_grad()",
    ### END SOLUTION
)

# %% [markdown]
# ### Patient 09.9 · ●●○ · 6 minutes
#
# "On the old cards it ran in single precision." (`backward_in_half` carries the gradients through 16 bits, multiplied by a scale on the way.)

# %%
treat(
    "09.9",
    ### BEGIN SOLUTION
    "half-precision overflow",
    10,
    "backward_in_half(loss, net, scale=2.0**10)",
    ### END SOLUTION
)

# %% [markdown]
# ### Patient 09.10 · ●●○ · 8 minutes
#
# "Every signal has a good size in every layer. I have checked."

# %%
treat(
    "09.10",
    ### BEGIN SOLUTION
    "dead signal",
    1,
    'net = mlp(8, 64, "tanh")',
    ### END SOLUTION
)

# %% [markdown]
# ### Patient 09.11 · ●●○ · 8 minutes
#
# "It reads the digits row by row. Networks of this depth have never been a problem."

# %%
treat(
    "09.11",
    ### BEGIN SOLUTION
    "recurrent explosion",
    2,
    "init_weights_(net, 1.0, orthogonal=True)",
    ### END SOLUTION
)

# %% [markdown]
# ### Patient 09.12 · ●●○ · 6 minutes
#
# "The loss shot up at once, and I stopped it. Here is the same run to its end."

# %%
treat(
    "09.12",
    ### BEGIN SOLUTION
    "healthy",
    ### END SOLUTION
)

# %% [markdown]
# ### Patient 09.13 · ●●● · 10 minutes
#
# "Two of us have cured it, each with another line. A third says there is another way yet."

# %%
treat(
    "09.13",
    ### BEGIN SOLUTION
    "missing warmup",
    5,
    "schedule = LambdaLR(optimizer, lambda step: min(1, (step + 1) / 50))",
    ### END SOLUTION
)

# %% [markdown]
# ### Patient 09.14 · ●●● · 10 minutes
#
# Two illnesses: two answers in brackets, `("…", 1, "…"), ("…", 2, "…")`. "We repaired it, and it is as ill as before."

# %%
treat(
    "09.14",
    ### BEGIN SOLUTION
    ("inputs not normalised", 3, "x = (pixels - pixels.mean()) / pixels.std()"),
    ("gradients not cleared", 9, "optimizer.zero_grad()"),
    ### END SOLUTION
)

# %% [markdown]
# ### Patient 09.15 · ●●● · 10 minutes
#
# Two illnesses again. "As soon as we heal the one, the other breaks out."

# %%
treat(
    "09.15",
    ### BEGIN SOLUTION
    ("dead signal", 1, 'net = mlp(8, 64, "tanh")'),
    ("loss summed", 8, "loss = cross_entropy(net(x[rows]), y[rows])"),
    ### END SOLUTION
)

# %% [markdown]
# ## What each repair bought
#
# And what the clip alone would have bought, on two new seeds. The table holds the patients that you have healed.

# %%
treatment.repairs()

# %% tags=["reveal"]
numbed = [patient for patient in treatment.sick() if treatment.with_a_clip(patient) > 1]
wrong = {few: "A run that is only out of scale trains with a clip, because the clip bounds its steps."}
wrong |= {most: "A network that sleeps has nothing to cut, and a clip makes no number of a NaN."}
reveal("09.a", few if len(numbed) < 4 else some if len(numbed) < 10 else most, f"{len(numbed)} of 13.", wrong)

# %% [markdown]
# A clip hides raw inputs, a start that is too large, a summed loss and gradients that are never cleared. Such a run trains, so nobody looks for the line; the next change of data, depth or batch size finds it. What puts a network to sleep, a clip does not touch: there is nothing to cut. Nor does it mend steps that are too long in every direction, or a gradient that is already infinite.

# %% [markdown]
# ## The gallery: what a loss curve can tell
#
# Eleven patients that you have met, with another seed and in another order. Name them by their loss alone, each name once: a dictionary from letters to names.

# %%
practice.gallery()

# %%
practice.name_curves(
    ### BEGIN SOLUTION
    {"A": "half-precision overflow", "B": "init too large", "C": "recurrent explosion", "D": "zero gradient"}
    | {"E": "loss summed", "F": "init too small", "G": "learning rate too high", "H": "dead signal"}
    | {"I": "inputs not normalised", "J": "gradients not cleared", "K": "missing warmup"}
    ### END SOLUTION
)

# %%
print("never far from a constant answer:", practice.flat_curves())

# %% [markdown]
# What helped you was that each name stands there once. Alone, a flat line can have any of three causes, and most of the explosions look alike. A loss tells that a run is ill. What it has, the numbers by layer tell, and step 0.

# %% [markdown]
# ## New patients without end
#
# Every whole number is a new patient: another network, another severity, no script to read. `diagnose`, the rules of this course, sees the same numbers as you. First guesses count, for both.

# %%
practice.admit(
    1,
    ### BEGIN SOLUTION
    "inputs not normalised",
    ### END SOLUTION
)

# %%
practice.admit(
    2,
    ### BEGIN SOLUTION
    "init too large",
    ### END SOLUTION
)

# %%
practice.hit_rate()

# %% [markdown]
# Go on with `practice.admit(3, ...)` in a cell of your own, until you are as good as the rules. They look at one number after the other, bugs first: a stale gradient, an overflow, a sum; then inputs, signals and gradients at step 0; the learning rate last, when all else is in scale.

# %% [markdown]
# ## Claim on trial: S12
#
# *Together the remedies make training stable.* The list is often given like this: clip the gradients, use a bounded activation such as the sigmoid or tanh, start near zero, change the rate by a schedule.
#
# The illness: six layers of ReLU with twice He's scale. "Near zero" can be read as $N(0, 0.01^2)$, or as $N(0, 0.1^2)$, which at a width of 64 is nearly Xavier's scale.

# %%
clip, tanh, whole, fits = "the clip alone", "tanh alone", "the whole list, with 0.1", "He's scale alone"
predict("09.b", "At the largest of three rates most networks learn with…", [clip, tanh, whole, fits])

# %% [markdown]
# **Our prediction.** Two entries of the list put the network to sleep, at every rate: $0.01$, and the sigmoid. With $0.1$ and tanh the list trains. He's scale alone trains as well, in a narrower window of rates. Two budgets of steps, ten networks.

# %%
data, nets = digits(), weight_stacks([64] + [64] * 6 + [10])
scaled = lambda sigma_w: [sigma_w * W for W in nets]
literal = lambda std: [std * 64**0.5 * W for W in nets]  # N(0, std²): all layers have a fan-in of 64
both = {"max_norm": 1.0, "schedule": warmup_cosine(10, 100)}

# %%
arms = {
    "He's scale alone": (torch.relu, scaled(2**0.5), {}),
    "the list, 0.1": (torch.tanh, literal(0.1), both),
    "the list, 0.01": (torch.tanh, literal(0.01), both),
    "tanh alone": (torch.tanh, scaled(2 * 2**0.5), {}),
    "clip alone": (torch.relu, scaled(2 * 2**0.5), {"max_norm": 1.0}),
    "the list, 0.1, sigmoid": (torch.sigmoid, literal(0.1), both),
    "the illness": (torch.relu, scaled(2 * 2**0.5), {}),
}

# %%
lrs, found = [0.01, 0.05, 0.25], {}
(lr,), options = grid(lrs), {"steps": 100, "at": (40,), "batch": 16}
for name, (phi, weights, remedies) in arms.items():
    found[name] = train_many(phi, weights, data, lr, **options, **remedies).accuracy.view(2, 3, 10)

# %%
fig, ax = plt.subplots()
shown = {name: 1 - found[name][1] for name in list(arms)[:3]}  # all arms are in the table
plots.plot_against_theory(ax, lrs, shown, log="x", rough=True)
plots.finish(ax, "The list trains if near zero means Xavier's scale", "learning rate", "test error")

# %%
enough = {name: (accuracy > 0.5).sum(-1).amax(-1).tolist() for name, accuracy in found.items()}
early, late = (plots.how_many(counts) for counts in zip(*enough.values()))
fast = plots.how_many([(accuracy[1, -1] > 0.5).sum() for accuracy in found.values()])
table({"above 0.5, best rate": enough, "40 steps": early, "100": late, "100, largest rate": fast})

# %%
asleep = [max(enough[name]) for name in ("the list, 0.01", "the list, 0.1, sigmoid")]
awake, he = enough["the list, 0.1"][1], enough["He's scale alone"][1]

# %% tags=["reveal"]
tried = {clip: "clip alone", tanh: "tanh alone", whole: "the list, 0.1", fits: "He's scale alone"}
learnt = {option: (found[arm][1, -1] > 0.5).sum() for option, arm in tried.items()}  # at the largest rate
wrong = {clip: "It bounds a step, but the start stays too large, and steps of this length go astray."}
wrong |= {tanh: "It bounds the signal. Its gradient still grows at this scale, so the rate is too large."}
wrong |= {fits: "Its start is right, but nothing holds back a rate that is too large for it."}
words = plots.how_many(list(learnt.values()))
because = "; ".join(f"{option}: {word}" for option, word in zip(learnt, words))
reveal("09.b", max(learnt, key=learnt.get), f"Of ten networks learn with {because}.", wrong)

# %%
evidence = (
    f"The list with tanh: at 0.1 {awake}/10 learn, at 0.01 {asleep[0]}/10. With the sigmoid {asleep[1]}/10."
)
verdict("S12", "depends" if awake > 7 and max(asleep) < 3 else "refuted", f"{evidence} He alone: {he}/10.")

# %% [markdown]
# Two entries put the network to sleep: "near zero" taken at its word, and the sigmoid. Then nothing else on the list wakes it, at any of the rates. In six layers a clip alone or tanh alone already trains this start, and a start that fits needs neither. What the whole list with $0.1$ adds is room: it trains at the largest rate as well, where each of these alone does not.
#
# Reduced: six layers of 64 units, batches of 16, at most 100 steps, three rates.

# %% [markdown]
# ## On a real run
#
# - Record the first five steps of every run. Most illnesses show at step 0, where to find them costs nothing.
# - Ask in this order: bugs, inputs, start, rate. A lower rate "cures" too many things to tell them apart.
# - A remedy that works is no diagnosis. Take it back, and mend the line.
# - A plateau and a leap can both be well. Wait a little where gradients are not zero and updates are small.

# %% [markdown]
# ## Summary
#
# A loss curve says that a run is ill; step 0, layer by layer, says what it has.
# A clip trains about half of the patients; in all but the recurrent one it hides the cause.
# One remedy that fits is enough to train; more of them widen the range of rates. Two of the usual list, taken at their word, end in sleep.

# %% [markdown]
# ## Further reading
#
# - A. Karpathy, [A recipe for training neural networks](https://karpathy.github.io/2019/04/25/recipe/) (2019): looking before training, step by step.
# - A. Lewkowycz et al., [The large learning rate phase of deep learning: the catapult mechanism](https://arxiv.org/abs/2003.02218) (2020): the patient who was well.
# - J. Gilmer et al., [A loss curvature perspective on training instability in deep learning](https://arxiv.org/abs/2110.04369) (2021): why a warmup heals a start.
#
# [The solution of this lesson](../solutions/09_emergency_room.ipynb) · [Back to the start](00_start_here.ipynb)
