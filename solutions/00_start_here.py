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
# About 10 minutes to work through, a few seconds to run. Needs: nothing. Next: [lesson 01, gradient descent](01_gradient_descent.ipynb).

# %% [markdown]
# ## A cell
#
# A page is made of cells. Click the grey one below and press **Shift + Enter**: it runs, and the next one is selected. The first takes a few
# seconds, because it loads the libraries. A star `[*]` beside a cell means that it is running.

# %%
import matplotlib.pyplot as plt
import torch

from gradutils import explorers, plots
from gradutils.course import check, hint, machine, predict, progress, reveal
from gradutils.data import digits

plots.use_style()

# %% [markdown]
# ## A prediction
#
# Every lesson begins with a guess. It is not a test. A wrong guess that is settled by a measurement is remembered longer than a right
# explanation that was only read.
#
# A signal passes through 100 layers. In one network every layer makes it 10 % larger, in another 10 % smaller. Run the cell, choose, then go on.
# (No buttons? Add `choice="a"` to the call.)

# %%
answers = ["about 20 times as large", "about 10,000 times as large", "more than 100 million times as large"]
predict("00.a", "After 100 layers the first signal, compared with the second, is…", answers)

# %% [markdown]
# ## A measurement

# %%
layer = torch.arange(101)
grown, shrunk = 1.1**layer, 0.9**layer

# %%
fig, ax = plt.subplots()
colours = {"x 1.1 a layer": plots.EXPLODES, "x 0.9 a layer": plots.VANISHES}
plots.plot_history(ax, dict(zip(colours, (grown, shrunk))), colours=colours, xlabel="layer", ylabel="signal")
plots.finish(ax, "A small factor, repeated, is a large one")

# %%
ratio = grown[-1] / shrunk[-1]
reveal("00.a", "c" if ratio > 1e8 else "b", f"The ratio is {ratio:.1e}.")

# %% [markdown]
# The axis at the left is logarithmic: every line up is another factor. In figures two colours keep their meaning through the whole course: **red** explodes,
# **purple** vanishes. Grey is for reference, and a dotted black line is theory, drawn over the measurement and never fitted to it. All other colours only tell lines apart.
#
# This picture is the subject of the course. A deep network multiplies, layer after layer. Very little decides between red and purple.

# %% [markdown]
# ## An exercise
#
# To say how large a signal is we need one number. The course uses the **root mean square**, rms: the root of the mean of the squares.
#
# Here is an answer with a mistake in it. Run the cell and read what the check says.


# %%
def rms(x):
    return x.square().sum().sqrt()


check("00.1", rms)

# %% [markdown]
# A check compares your function with known mistakes, and says which one it is. If it knows none, it shows the smallest case that fails. It is never
# angry, and you can run it as often as you like. Under the message a small triangle opens a hint. The same in code:

# %%
hint("00.1")

# %% [markdown]
# ### Exercise 00.1 · ●○○ · 2 minutes
#
# Now yours. Write `rms(x)` for a tensor `x` of any shape; return one number, as a tensor. Replace the three dots, run the cell.


# %%
def rms(x):
    ### BEGIN SOLUTION
    return x.square().mean().sqrt()
    ### END SOLUTION


rms = check("00.1", rms).function

# %% [markdown]
# The last line hands back your function once it is right. Until then it hands back a reference, so the cells below work either way.
#
# ## Real data
#
# Experiments run on 1797 real handwritten digits of 8 x 8 pixels, which come with the course. Nothing is downloaded.

# %%
data = digits()
fig, ax = plt.subplots(figsize=(6.4, 1.2))
plots.plot_images(ax, data.x_train[:10], data.y_train[:10])
plots.finish(ax, "Ten of them, with their labels")

# %%
print(len(data.x_train), "images to train on,", len(data.x_test), "to test on")
print(f"rms of a pixel: {rms(data.x_train):.2f}")

# %% [markdown]
# ## An explorer
#
# Drag the first slider slowly to the right. (Or click it and use the arrow keys.) At one point the path turns red. Where that is can be computed
# beforehand: lesson 01 does it.

# %%
explorers.explore_learning_rate()

# %% [markdown]
# ## Your progress
#
# Passed exercises and predictions are kept in one small file in your own data folder, outside the course. You can close everything and come back. Of the whole course:

# %%
progress()

# %% [markdown]
# ## Your machine
#
# Everything is small enough for a laptop without a graphics card. The course uses one processor thread: for networks of this size more would be slower.

# %% tags=["nbval-ignore-output"]
print(machine())

# %% [markdown]
# ## When something goes wrong
#
# - **A cell hangs** (the star stays): press the black square ■ at the top, *Interrupt*. A check that was interrupted says so.
# - **Names are not defined**: the kernel was restarted, and forgot. Menu *Run*, *Run All Above Selected Cell*.
# - **The kernel dies**: usually memory. Close other notebooks under *Running* at the far left, then *Kernel*, *Restart*.
# - **A slider does nothing**: its cell was not run in this sitting. Run it.
# - **You are stuck**: every lesson has a solution of the same name in the folder `solutions`, with all its output.

# %% [markdown]
# ## What the course will show
#
# Each claim that is often taught is put on trial: a prediction, an experiment over ten random seeds, a verdict. Three of them, as questions:
#
# - ReLU is said to amplify gradients, tanh to tame them. At the same scale of weights, which of the two explodes faster?
# - Initialise near zero to be safe. What does such a network do after a thousand steps, at any learning rate?
# - Clip the gradients and you are safe. Safe from what?
#
# Now to [lesson 01](01_gradient_descent.ipynb), where a step downhill leads up. [The solution of this page](../solutions/00_start_here.ipynb)
