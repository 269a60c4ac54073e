# %% [markdown]
# # 00 · Start here
#
# **How does this course work, and what will it show?**
#
# After these pages you can
# - run cells, make a prediction and have it settled by a measurement,
# - hand in an exercise and read what the check says,
# - move an explorer, and find out what went wrong when something hangs.
#
# Core: about 15 minutes; there is nothing deeper here. It runs in a few seconds. Needs: nothing. Next: [lesson 01,
# gradient descent](01_gradient_descent.ipynb).

# %% [markdown]
# ## A cell
#
# A page is made of cells. Click the grey one below and press **Shift + Enter**: it runs, and the next one is selected.
# The first one takes a few seconds, because it loads the libraries. A star `[*]` beside a cell means that it is
# running.
#
# Some cells are folded: you see what they show, and not their code. That is code which is not needed to follow the
# lesson, such as the drawing of a figure. A click on the three dots, or on the blue bar at the left, opens them. They
# run like all others.

# %%
import matplotlib.pyplot as plt
import torch

from gradutils import explorers, plots
from gradutils.course import check, hint, machine, predict, progress, reveal, review
from gradutils.data import digits

plots.use_style()

# %% [markdown]
# ## How a lesson goes

# %% tags=["drawing"]
# The drawing
fig, ax = plt.subplots(figsize=(6.4, 2.6))
boxes = ["you guess", "it is measured", "the reason", "you write it"]
plots.draw_cycle(ax, boxes, ["run", "why?", "exercise", "the next doubt"])
plots.finish(ax, "The way of a lesson, round after round")

# %% [markdown]
# Every lesson begins with a guess, which is no test and which nobody counts. A wrong guess that is settled by a
# measurement is remembered longer than a right explanation that was only read, because you now know what you expected.
#
# Each lesson has a **core**, which stands alone, and a part called **Deeper** after its summary. Skip the second when
# you are short of time, because no later core needs it.

# %% [markdown]
# ## A prediction
#
# A deep network is a chain of layers. A signal enters on the left, and each layer passes it on, a little larger or a
# little smaller than it came.

# %% tags=["drawing"]
# The drawing
fig, ax = plt.subplots(figsize=(6.4, 1.6))
values, numbers = (
    ["in", "h[1]", "h[2]", "h[3]", "out"],
    ["1", "1.1", "1.21", "1.331", "?"],
)
plots.draw_chain(ax, values, ["x 1.1", "x 1.1", "x 1.1", "..."], numbers=numbers)
plots.finish(ax, "A signal passes through layers")

# %% [markdown]
# One network has 100 layers that each make the signal 10 % larger. Another has 100 layers that each make it 10 %
# smaller, and both begin with the same signal. Run the cell, choose, then go on. (Where there are no buttons, add
# `choice="a"` to the call.)

# %%
single = "about 14 thousand times as large as the second"
huge = "more than 100 million times as large"
added = "about 20 times as large"
predict("00.a", "At the end the first signal is…", [single, huge, added])

# %% [markdown]
# ## A measurement

# %%
layer = torch.arange(101)
grown, shrunk = 1.1**layer, 0.9**layer

# %% tags=["drawing"]
# The drawing
fig, ax = plt.subplots()
colours = {"x 1.1 per layer": plots.EXPLODES, "x 0.9 per layer": plots.VANISHES}
curves = dict(zip(colours, (grown, shrunk)))
plots.plot_history(ax, curves, colours=colours, xlabel="layer", ylabel="signal")
plots.finish(ax, "A small factor, repeated, is a large one")

# %% tags=["reveal"]
# The prediction is settled
ratio = grown[-1] / shrunk[-1]
reveal(
    "00.a",
    huge if ratio > 1e8 else single,
    f"The ratio is {ratio:.1e}.",
    wrong={
        single: "That is the first signal by itself, 1.1 to the power of 100. The "
        "second has shrunk in the meantime, by an even larger factor.",
        huge: "The two stayed closer together.",
        added: "A hundred times 10 % up and 10 % down would make 20, if they were "
        "added. Each layer multiplies what the layer before it made.",
    },
)

# %% [markdown]
# The axis at the left is logarithmic: every line up is another factor, so what multiplies becomes straight. In figures
# two colours keep their meaning through the whole course: **red** explodes, **purple** vanishes. Grey is for reference,
# and a dotted black line is theory, drawn over the measurement and never fitted to it. All other colours only tell
# lines apart.
#
# This picture is the subject of the course, because a deep network multiplies, layer after layer, and very little
# decides between red and purple.

# %% [markdown]
# ## An exercise
#
# To say how large a signal is we need one number. The course uses the **root mean square**, RMS: the root of the mean
# of the squares. For the signal $(3, -4)$ the squares are 9 and 16, their mean is $12.5$, and the root of it is $3.5$.
# It is a kind of average size, and the sign of an entry does not matter.
#
# Here is an answer with a mistake in it. Run the cell and read what the check says.


# %%
def rms(x):
    return x.square().sum().sqrt()


check("00.1", rms)

# %% [markdown]
# A check runs your function on several cases, then compares it with mistakes that people make. If it recognises one, it
# says which, and if not, it shows the smallest case that fails. You can run it as often as you like. Under the message
# a small triangle opens a hint. The same in code:

# %%
hint("00.1")

# %% [markdown]
# ### Exercise 00.1 · ●○○ · 2 minutes
#
# Now yours. Write `rms(x)` for a tensor `x` of any shape, and return one number, as a tensor. Replace the three dots
# and run the cell.


# %%
def rms(x):
    ### BEGIN SOLUTION
    return x.square().mean().sqrt()
    ### END SOLUTION


rms = check("00.1", rms).function

# %% [markdown]
# The last line hands back your function once it is right. Until then it hands back a reference, so the cells below work
# either way.
#
# ## Real data
#
# Experiments run on 1797 real handwritten digits of 8 x 8 pixels, which come with the course, so nothing is downloaded.

# %%
data = digits()

# %% tags=["drawing"]
# The drawing
fig, ax = plt.subplots(figsize=(6.4, 1.2))
plots.plot_images(ax, data.x_train[:10], data.y_train[:10])
plots.finish(ax, "Ten of them, with their labels")

# %%
print(len(data.x_train), "images to train on,", len(data.x_test), "to test on")
print(f"RMS of a pixel: {rms(data.x_train):.2f}")

# %% [markdown]
# The RMS is 1 because the pixels were **standardised**: their mean was subtracted, and they were divided by their
# spread. Lesson 05 shows what happens without that.
#
# ## An explorer
#
# Drag the first slider slowly to the right, or click it and use the arrow keys. You see a walk down a valley that is
# steep one way and flat the other, and the slider sets the length of the steps. At one point the path turns red. Where
# that is can be computed beforehand, as lesson 01 will show.

# %%
explorers.explore_learning_rate()

# %% [markdown]
# ## Your progress
#
# Passed exercises and predictions are kept in one small file in your own data folder, outside the course. You can close
# everything and come back, and find this table as you left it.

# %%
progress()

# %% [markdown]
# What was learnt once fades, so from the second day on the next cell asks again: a few short questions on what you have
# passed, after 1, 3, 7 and 16 days. Come back to this page for it, or call `review()` anywhere.

# %%
review()

# %% [markdown]
# ## Your machine
#
# Everything is small enough for a laptop without a graphics card. The course uses one processor thread, because for
# networks of this size more would be slower.

# %% tags=["nbval-ignore-output"]
print(machine())

# %% [markdown]
# ## When something goes wrong
#
# - **A cell hangs** (the star stays): press the black square ■ at the top, *Interrupt*. A check ends by itself after
#   half a minute and says so.
# - **Names are not defined**: the kernel was restarted, and forgot. Menu *Run*, *Run All Above Selected Cell*.
# - **The kernel dies**: usually memory. Close other notebooks under *Running* at the far left, then *Kernel*,
#   *Restart*.
# - **A slider does nothing**: its cell was not run in this sitting. Run it.
# - **There are no buttons and no sliders**: some programs show none. Every prediction, check and explorer says the same
#   in words, and `choice="a"` in the call of a prediction answers it.
# - **You are stuck**: every lesson has a solution of the same name in the folder `solutions`, with all its output.

# %% [markdown]
# ## What the course will show
#
# Each claim that is often taught is put on trial: a prediction, an experiment over ten random seeds, a verdict. Three
# of them, as questions:
#
# - ReLU is said to amplify gradients, tanh to tame them. At the same scale of weights, which of the two explodes
#   faster?
# - Initialise near zero to be safe. What does such a network do after a thousand steps, at any learning rate?
# - Clip the gradients and you are safe. Safe from what?
#
# Now to [lesson 01](01_gradient_descent.ipynb), which asks how long a step downhill may be. [The solution of this
# page](../solutions/00_start_here.ipynb)
