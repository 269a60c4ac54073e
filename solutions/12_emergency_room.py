# %% [markdown]
# # 12 · Emergency room
#
# **A training run is ill. What is it, which line does it, and how do you know?**
#
# After this you can
# - name the illness of a run from its chart, most often from step 0,
# - tell a cure from a painkiller,
# - say which of the often listed remedies do the work.
#
# About 75 minutes of core; More patients takes 65 minutes more. Needs lessons 03 to 08, the last four patients 09 to 11. Next: [lesson 13, the verdicts](13_verdicts.ipynb).

# %%
import torch

from gradutils import plots
from gradutils.course import mostly, predict, reveal, table, verdict
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
# Twenty-three patients wait, nine of them in the core. The numbers that are missing there stand under More patients. Each is a script of fourteen lines, run once and watched by a recorder. At work you rarely see the one bad line. You see a run, and the script is yours, and looks right. So the chart comes first here as well, and a patient's script is locked until you have named the illness.
#
# First the script of a run that is well, with its chart, and the names of all illnesses. Everything below is compared with it.

# %%
chart.visit()

# %% [markdown]
# Upper row, step by step: the loss; the update of each weight matrix divided by the matrix; the cosine of each gradient with the one before, in the first twenty steps, because only there each step is recorded.
#
# Lower row, layer by layer, at the first step, in the middle and at the end. Signals are given as RMS, because a wide layer is no louder. The gradients $\partial L/\partial z$ and $\partial L/\partial W$ are given as norms. The output is at the right. A missing point was exactly zero, or not finite. The scale is that of step 0: a line may leave its panel.
#
# Above the chart stands what was known at step 0, before any update.

# %% [markdown]
# ## How to read a chart
#
# A loss begins at `90`, where a constant answer loses `2.3`. Three causes can do that, and the vitals tell them apart.
#
# - Inputs of RMS `30`? Then all that follows is large because they are.
# - Inputs of RMS `1` and outputs of RMS `60`? Then the network made them so, and with them the loss: the start is too large.
# - Inputs and outputs of RMS `1`? Then all before the loss is right, and it is taken wrongly.
#
# So go from the inputs to the loss, and from step 0 to later steps. The first thing out of scale is the suspect: what comes after it passes it on.

# %% [markdown]
# ## How to treat
#
# Run a patient's cell: the chart appears. Replace the three dots by the **name of the illness**, and run it again. Then the script opens, whether you were right or not. Your first name is kept, to be counted beside that of `diagnose`, the rules of this course.
#
# Then add the **number of one line** and the **new line**:
#
# `treat("12.1", "saturated", 3, "x = pixels / 16")`
#
# Your line is tried on three seeds that you have not seen. What counts is what reaches the network, on whichever line you arrange it. No semicolons. Lines may differ from the healthy script and do no harm. Who is well is treated with `"healthy"`.

# %% [markdown]
# Eight of the nine are ill. Suppose that you do not look at them at all: you set the clip in line 11 to 1, and change nothing else. How many of the eight will train?

# %%
few, some, most = "at most 2", "from 3 to 5", "6 or more"
predict("12.a", "With a clip at 1 and no other change there train…", [few, some, most])

# %% [markdown]
# ### Patient 12.1 · ●○○ · 4 minutes
#
# "I have changed one number since it last ran well."

# %%
treat(
    "12.1",
    ### BEGIN SOLUTION
    ("learning rate too high", 4, "optimizer = SGD(net.parameters(), lr=0.05, momentum=0.9)"),
    ### END SOLUTION
)

# %% [markdown]
# ### Patient 12.3 · ●○○ · 4 minutes
#
# "We copied it from the tutorial, line by line."

# %%
treat(
    "12.3",
    ### BEGIN SOLUTION
    ("inputs not normalised", 3, "x = (pixels - pixels.mean()) / pixels.std()"),
    ### END SOLUTION
)

# %% [markdown]
# ### Patient 12.4 · ●○○ · 4 minutes
#
# "We have already lowered the rate. Smaller weights? They are random, what could be wrong with them?"

# %%
treat(
    "12.4",
    ### BEGIN SOLUTION
    ("init too large", 2, "init_weights_(net, 2**0.5)"),
    ### END SOLUTION
)

# %% [markdown]
# ### Patient 12.6 · ●●○ · 3 minutes
#
# "We did not touch the weights at all. After twenty steps it had learnt nothing."

# %%
treat(
    "12.6",
    ### BEGIN SOLUTION
    "healthy",
    ### END SOLUTION
)

# %% [markdown]
# ### Patient 12.8 · ●●○ · 4 minutes
#
# "I have compared it with the healthy script, word for word."

# %%
treat(
    "12.8",
    ### BEGIN SOLUTION
    ("gradients not cleared", 9, "optimizer.zero_grad()"),
    ### END SOLUTION
)

# %% [markdown]
# ### Patient 12.10 · ●●○ · 5 minutes
#
# "Every signal has a good size in every layer. I have checked."

# %%
treat(
    "12.10",
    ### BEGIN SOLUTION
    ("dead signal", 1, 'net = mlp(4, 64, "tanh")'),
    ### END SOLUTION
)

# %% [markdown]
# ### Patient 12.16 · ●●○ · 6 minutes
#
# "Nobody has touched the script since it last ran well." In it, `saved` keeps the state of every tenth step, and `saved.restore()` goes back to it.

# %%
treat(
    "12.16",
    ### BEGIN SOLUTION
    ("relapse", 12, "saved.restore() if loss > 5 else optimizer.step()"),
    ### END SOLUTION
)

# %% [markdown]
# ### Patient 12.18 · ●●○ · 5 minutes
#
# "It learns. It only stops early, at whatever rate."

# %%
treat(
    "12.18",
    ### BEGIN SOLUTION
    ("loss does not fit the outputs", 1, 'net = mlp(4, 64, "relu")'),
    ### END SOLUTION
)

# %% [markdown]
# ### Patient 12.19 · ●●● · 5 minutes
#
# "Each number on the chart is what it should be."

# %%
treat(
    "12.19",
    ### BEGIN SOLUTION
    ("labels of another order", 3, "x = (pixels - pixels.mean()) / pixels.std()"),
    ### END SOLUTION
)

# %% [markdown]
# ## What each repair bought
#
# And what the clip alone would have bought, from the very start that the chart shows. The table holds the patients that you have healed so far.

# %%
treatment.repairs()

# %% tags=["reveal"]
# Counts on how many of the eight the clip alone trains
ill = [f"12.{number}" for number in (1, 3, 4, 8, 10, 16, 18, 19)]
numbed = sum(treatment.with_a_clip(patient) for patient in ill)
wrong = {few: "A run that is only out of scale trains with a clip, because the clip bounds its steps."}
wrong |= {some: "A clip bounds the steps, and a run whose steps were all that was wrong trains."}
wrong |= {most: "What sleeps has nothing to cut, and no clip makes a right label of a wrong one."}
reveal("12.a", few if numbed < 3 else some if numbed < 6 else most, f"{numbed} of 8.", wrong)

# %% [markdown]
# A clip hides raw inputs, a start that is too large and gradients that are never cleared. Such a run trains, so nobody looks for the line, and the next change of data, depth or batch size finds it. Against a bad part of the data it is more: it keeps two bad batches from undoing what sixty good ones taught.
#
# What puts a network to sleep, a clip does not touch, because there is nothing to cut. Nor does it mend steps that are too long in every direction, a loss that does not fit, or labels that are wrong.

# %% [markdown]
# ## Ten new patients · 20 minutes
#
# No script, and no second try: at work a run is often all there is. Five are as ill as those you have met. The other five are harder: other optimizers and depths, norms, and an illness just strong enough to matter. They are numbered 1 to 5, and 101 to 105.
#
# Run the cell for the first chart. Then write its number and your name for it, such as `{1: "healthy"}`, and run it again. You see what it was, what `diagnose` made of the same numbers, and the next chart. First names count, for both.

# %%
practice.consult(
    ### BEGIN SOLUTION
    {1: "inputs not normalised", 2: "init too large", 3: "loss summed", 4: "dead signal"}
    | {5: "half-precision overflow", 101: "inputs not normalised", 102: "zero gradient"}
    | {103: "weights do not move", 104: "healthy", 105: "saturated"}
    ### END SOLUTION
)

# %% [markdown]
# The rules look at one number after the other, bugs first: a stale gradient, an overflow, a sum. Then come inputs, signals and gradients at step 0; the learning rate last, when all else is in scale. What they never name is wrong data, as in patient 12.19: then they say that nothing is learnt, and what to print.
#
# More of them come without end: `practice.admit(6, ...)` in a cell of your own, and from number 100 on the harder ones. Go on until you are as good as the rules.

# %% [markdown]
# ## Claim on trial: S12
#
# *Together the remedies make training stable.* The list is often given like this: clip the gradients, use a bounded activation such as the sigmoid or tanh, start near zero, change the rate by a schedule.
#
# The illness: six layers of ReLU with twice He's scale. "Near zero" can be read as $N(0, 0.01^2)$, or as $N(0, 0.1^2)$, which at a width of 64 is nearly Xavier's scale.

# %%
clip, tanh, whole, fits = "the clip alone", "tanh alone", "the whole list, with 0.1", "He's scale alone"
predict(
    "12.b", "With SGD, at the largest of three rates, most networks learn with…", [clip, tanh, whole, fits]
)

# %% [markdown]
# **Our prediction.** Two entries of the list put the network to sleep, under SGD and under AdamW, at every rate: $0.01$, and the sigmoid.
#
# Ten networks, three rates in each arm, two budgets of steps. Counted is how many reach an accuracy of one half.

# %%
data, nets = digits(), weight_stacks([64] + [64] * 6 + [10])
start = lambda std: [std * 8 * W for W in nets]  # N(0, std²): all layers have a fan-in of 64
he, twice = start(2**0.5 / 8), start(2 * 2**0.5 / 8)
all_of_it = {"max_norm": 1.0, "schedule": warmup_cosine(10, 50)}
arms = {
    "the list, 0.1": (torch.tanh, start(0.1), all_of_it),
    "the list, 0.01": (torch.tanh, start(0.01), all_of_it),
    "the list, 0.1, sigmoid": (torch.sigmoid, start(0.1), all_of_it),
    "the illness": (torch.relu, twice, {}),
    "tanh alone": (torch.tanh, twice, {}),
    "the clip alone": (torch.relu, twice, {"max_norm": 1.0}),
    "He's scale alone": (torch.relu, he, {}),
}


# %%
# Counts who learns after 25 and 50 steps of SGD: (budgets, rates) for each arm
def learnt(name, lrs, **optimizer):
    (lr,), (phi, weights, remedies) = grid(lrs), arms[name]
    options = {"steps": 50, "at": (25,), "batch": 16} | remedies | optimizer
    return (train_many(phi, weights, data, lr, **options).accuracy.view(2, 3, 10) > 0.5).sum(-1)


sgd = {name: learnt(name, [0.01, 0.05, 0.25]) for name in arms}

# %%
# The same with AdamW, for the three readings of the list and the illness itself
adam = {"adam": True, "weight_decay": 0.01}
adamw = {name: learnt(name, [0.001, 0.005, 0.025], **adam) for name in list(arms)[:4]}
# The best of three rates after both budgets, and the largest rate after the longer one
rows = {f"SGD, {name}": found for name, found in sgd.items()}
rows |= {f"AdamW, {name}": found for name, found in adamw.items()}
early, late = (plots.how_many([found[k].max() for found in rows.values()]) for k in (0, 1))
fast = plots.how_many([found[1, 2] for found in rows.values()])
table({"above one half": list(rows), "25 steps": early, "50 steps": late, "largest rate": fast})

# %% [markdown]
# Most: eight or more of ten. Few: two or fewer. Some: in between.

# %% tags=["reveal"]
# Selects the option by what was counted at the largest rate
at_largest = {
    clip: sgd["the clip alone"],
    tanh: sgd["tanh alone"],
    whole: sgd["the list, 0.1"],
    fits: sgd["He's scale alone"],
}
counts = {option: int(found[1, 2]) for option, found in at_largest.items()}
wrong = {clip: "It bounds a step, but the start stays too large, and steps of this length go astray."}
wrong |= {tanh: "It bounds the signal. Its gradient still grows at this scale, so the rate is too large."}
wrong |= {fits: "Its start is right, but nothing holds back a rate that is too large for it."}
wrong |= {
    whole: "Its start fits, and the warmup and the clip let it bear a rate that is too large for the others."
}
because = "; ".join(f"{option}: {word}" for option, word in zip(counts, plots.how_many(counts.values())))
reveal("12.b", max(counts, key=counts.get), f"Of ten networks learn with {because}.", wrong)

# %%
names = {
    "the list, 0.1": "tanh at 0.1",
    "the list, 0.01": "tanh at 0.01",
    "the list, 0.1, sigmoid": "sigmoid at 0.1",
}
best = {
    (o, arm): int(found[arm][1].max())
    for o, found in {"SGD": sgd, "AdamW": adamw}.items()
    for arm in list(arms)[:4]
}
decided = {f"{o}, {names[arm]}": mostly(count) for (o, arm), count in best.items() if arm in names}
said = [", ".join(f"{name} {best[o, arm]}" for arm, name in names.items()) for o in ("SGD", "AdamW")]
evidence = f"Six layers of 64, 50 steps, best of three rates, ten networks. SGD: {said[0]}. AdamW: {said[1]}."
without = (
    f"The illness without any remedy: SGD {best['SGD', 'the illness']}, AdamW {best['AdamW', 'the illness']}."
)
verdict("S12", decided, f"{evidence} {without}")

# %% [markdown]
# Two entries put the network to sleep, whatever the optimizer: "near zero" taken at its word, and the sigmoid. Then nothing else on the list wakes it. With $0.1$, which fits tanh, the list trains, under SGD also at the largest rate, where each part alone does not: what the list adds is room.
#
# Under AdamW the illness itself trains at this depth, later and in a narrower window of rates. There the list buys speed and room, and two of its readings do harm.
#
# Reduced: six layers of 64 units, batches of 16, at most 50 steps, three rates. With ten layers AdamW does not bear this start in 50 steps (tried, and not shown).

# %% [markdown]
# ## On a real run
#
# - Record the first twenty steps of every run. Most illnesses show at step 0.
# - Ask in this order: bugs, inputs, start, rate. A lower rate "cures" too many things to tell them apart.
# - It was well and is ill: look at the batch of that step first, and keep a state to go back to.
# - Nothing is out of scale, and nothing learnt: print samples beside their labels, and fit ten of them.
# - A remedy that works is no diagnosis. Take it back, and mend the line.
# - A plateau and a leap can both be well. Wait a little where gradients are not zero.

# %% [markdown]
# ## Summary
#
# A loss curve says that a run is ill; step 0, layer by layer, says what it has. What comes in the middle of a run mostly comes from outside of it: from the data, or from a schedule.
#
# A clip trains about half of the patients. Except against bad batches and in a recurrent network it hides the cause.
#
# One remedy that fits is enough to train; more of them widen the range of rates. Two of the usual list, taken at their word, end in sleep.

# %% [markdown]
# ## More patients
#
# Fourteen more, each by itself and in any order, then loss curves alone. About 65 minutes. The last four need lessons 09 to 11.

# %% [markdown]
# ### Patient 12.2 · ●○○ · 3 minutes
#
# "Nothing happens. It does not even get worse."

# %%
treat(
    "12.2",
    ### BEGIN SOLUTION
    ("zero gradient", 2, "init_weights_(net, 2**0.5)"),
    ### END SOLUTION
)

# %% [markdown]
# ### Patient 12.5 · ●○○ · 3 minutes
#
# "I read that small weights are safe."

# %%
treat(
    "12.5",
    ### BEGIN SOLUTION
    ("init too small", 2, "init_weights_(net, 1.0)"),
    ### END SOLUTION
)

# %% [markdown]
# ### Patient 12.7 · ●●○ · 4 minutes
#
# "It trained with batches of one. Since we use 64 at a time it explodes."

# %%
treat(
    "12.7",
    ### BEGIN SOLUTION
    ("loss summed", 8, "loss = cross_entropy(net(x[rows]), y[rows])"),
    ### END SOLUTION
)

# %% [markdown]
# ### Patient 12.9 · ●●○ · 4 minutes
#
# "On the old cards it ran in single precision." (`backward_in_half` carries the gradients through 16 bits, multiplied by a scale on the way.)

# %%
treat(
    "12.9",
    ### BEGIN SOLUTION
    ("half-precision overflow", 10, "backward_in_half(loss, net, scale=2.0**10)"),
    ### END SOLUTION
)

# %% [markdown]
# ### Patient 12.11 · ●●○ · 4 minutes
#
# "It reads the digits row by row. Networks of this depth have never been a problem."

# %%
treat(
    "12.11",
    ### BEGIN SOLUTION
    ("recurrent explosion", 2, "init_weights_(net, 1.0, orthogonal=True)"),
    ### END SOLUTION
)

# %% [markdown]
# ### Patient 12.12 · ●●○ · 3 minutes
#
# "The loss shot up at once, and I stopped it. Here is the same run to its end."

# %%
treat(
    "12.12",
    ### BEGIN SOLUTION
    "healthy",
    ### END SOLUTION
)

# %% [markdown]
# ### Patient 12.13 · ●●● · 6 minutes
#
# "Two of us have cured it, each with another line. A third says there is another way yet."

# %%
treat(
    "12.13",
    ### BEGIN SOLUTION
    ("missing warmup", 5, "schedule = LambdaLR(optimizer, lambda step: min(1, (step + 1) / 30))"),
    ### END SOLUTION
)

# %% [markdown]
# ### Patient 12.14 · ●●● · 5 minutes
#
# Two illnesses: first two names, then two answers in brackets, `("…", 1, "…"), ("…", 2, "…")`. "We repaired it, and it is as ill as before."

# %%
treat(
    "12.14",
    ### BEGIN SOLUTION
    ("inputs not normalised", 3, "x = (pixels - pixels.mean()) / pixels.std()"),
    ("gradients not cleared", 9, "optimizer.zero_grad()"),
    ### END SOLUTION
)

# %% [markdown]
# ### Patient 12.15 · ●●● · 5 minutes
#
# Two illnesses again. "As soon as we heal the one, the other breaks out."

# %%
treat(
    "12.15",
    ### BEGIN SOLUTION
    ("dead signal", 1, 'net = mlp(4, 64, "tanh")'),
    ("loss summed", 8, "loss = cross_entropy(net(x[rows]), y[rows])"),
    ### END SOLUTION
)

# %% [markdown]
# ### Patient 12.17 · ●●○ · 4 minutes
#
# "It begins well. Then it rests."

# %%
treat(
    "12.17",
    ### BEGIN SOLUTION
    ("weights do not move", 5, "schedule = LambdaLR(optimizer, warmup_cosine(10, 100))"),
    ### END SOLUTION
)

# %% [markdown]
# ### Patient 12.20 · ●●○ · 5 minutes
#
# "Every layer is normalised, and there is a warmup. What should blow up?" Here a digit is read as eight tokens, its rows, by `attention_net`: one attention, then the readout. In the panels of signals and of dL/dz, counted back from the output, 2 are the values, 3 the keys, 4 the queries and 6 the embedding; 1 and 5 are norms. In that of dL/dW, where no norm has a place, they are 1, 2, 3 and 4.

# %%
treat(
    "12.20",
    ### BEGIN SOLUTION
    ("attention logits grow", 1, "net = attention_net(96, norm_qk=True)"),
    ### END SOLUTION
)

# %% [markdown]
# ### Patient 12.21 · ●●○ · 4 minutes
#
# "Adam does not care how small a gradient is. So I have not looked at the gradients."

# %%
treat(
    "12.21",
    ### BEGIN SOLUTION
    ("weights do not move", 4, "optimizer = Adam(net.parameters(), lr=0.003)"),
    ### END SOLUTION
)

# %% [markdown]
# ### Patient 12.22 · ●●○ · 4 minutes
#
# "It is the run of last week, on half of the memory. It has become a little slow."

# %%
treat(
    "12.22",
    ### BEGIN SOLUTION
    ("weights do not move", 2, "init_weights_(net, 2**0.5)"),
    ### END SOLUTION
)

# %% [markdown]
# ### Patient 12.23 · ●●● · 5 minutes
#
# "Of each picture the upper part was missing at first, and we filled in the mean. Since step 200 it is there, and the run is worse for it." Its chart has 225 steps.

# %%
treat(
    "12.23",
    ### BEGIN SOLUTION
    ("relapse", 4, "optimizer = Adam(net.parameters(), lr=0.03, betas=(0.9, 0.95))"),
    ### END SOLUTION
)

# %% [markdown]
# ### The gallery: what a loss curve can tell
#
# Eleven patients that you have met, in another order. Name them by their loss alone, each name once: a dictionary from letters to names.

# %%
practice.gallery()
practice.name_curves(
    ### BEGIN SOLUTION
    {"A": "half-precision overflow", "B": "init too large", "C": "recurrent explosion", "D": "zero gradient"}
    | {"E": "loss summed", "F": "init too small", "G": "learning rate too high", "H": "dead signal"}
    | {"I": "inputs not normalised", "J": "gradients not cleared", "K": "missing warmup"}
    ### END SOLUTION
)

# %% [markdown]
# What helped you was that each name stands there once. Alone, a flat line can have any of three causes, and most of the explosions look alike. A loss tells that a run is ill. What it has, the numbers by layer tell.

# %% [markdown]
# ## Further reading
#
# - A. Karpathy, [A recipe for training neural networks](https://karpathy.github.io/2019/04/25/recipe/) (2019): looking before training, step by step.
# - A. Lewkowycz et al., [The large learning rate phase of deep learning: the catapult mechanism](https://arxiv.org/abs/2003.02218) (2020): the patient who was well.
# - J. Gilmer et al., [A loss curvature perspective on training instability in deep learning](https://arxiv.org/abs/2110.04369) (2021): why a warmup heals a start.
#
# [The solution of this lesson](../solutions/12_emergency_room.ipynb) · [Back to the start](00_start_here.ipynb)
