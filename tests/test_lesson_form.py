"""The rules of a lesson's form, each on a small lesson that keeps all of them and on one that breaks it."""

from types import SimpleNamespace

import pytest

from tests.lesson_form import (
    RULES,
    WORDS_FOR_COUNTS,
    Lesson,
    in_order,
    lines,
    sentences,
    what_evidence_lacks,
    what_fails_again,
    words,
)
from tools.notebooks import make_pair

EXERCISES = {"02.1": SimpleNamespace(deeper=False), "02.2": SimpleNamespace(deeper=True)}
GOOD = """# %% [markdown]
# # 02 · Things
#
# **Why does a thing become larger at every step, and what keeps it small?**
#
# After this lesson you can say why a thing grows and how it is kept from growing.
#
# About 70 minutes of core, 60 more in Deeper.

# %%
from gradutils.course import check, predict, recall, reveal

# %%
recall("02")

# %% [markdown]
# ## Predict
#
# A number is doubled at every step, because that is the simplest thing that grows.

# %%
faster, swings, grows = "it falls faster", "it swings", "it grows"
predict("02.a", "After 20 steps the number…", [faster, swings, grows])

# %% [markdown]
# The drawing shows the chain of steps, from the first number to the last one.

# %% tags=["drawing"]
# The chain
draw()

# %% tags=["drawing"]
# The chain
draw()

# %% [markdown]
# We double a number 20 times, count how often it grew, and do so for ten seeds.

# %% tags=["experiment"]
# Ten seeds
growth = 2.0**20

# %% tags=["reveal"]
# It is settled
because = {faster: "Nothing is taken away.", swings: "No sign turns."}
reveal("02.a", grows if growth > 1 else faster, "It doubles.", wrong=because)

# %% [markdown]
# ### Exercise 02.1 · ●●○ · 8 minutes
#
# Write `double(x)`, which returns $2x$ for a number or for a tensor of any shape.

# %%
def double(x):
    ### BEGIN SOLUTION
    return 2 * x
    ### END SOLUTION

# %% [markdown]
# ## Summary
#
# A number that is doubled at every step grows, because nothing takes away what was added.

# %% [markdown]
# ## Deeper
#
# ### How fast it grows
#
# The growth is exponential, which the next drawing shows because its axis is a logarithm.

# %% tags=["drawing"]
# The chain
draw()

# %% [markdown]
# ### Exercise 02.2 · ●●● · 15 minutes
#
# Write the function that returns how many steps are needed to pass a given number.

# %%
print("here")

# %% [markdown]
# ## Further reading
#
# - A. Book, [Long](https://example.org).
"""


def lesson(tmp_path, text=GOOD, number="02", exercises=EXERCISES):
    path = tmp_path / f"{number}_things.py"
    path.write_text(text)
    return Lesson(number, make_pair(path)[0].cells, exercises)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_good_lesson_keeps_every_rule(tmp_path, rule):
    assert rule(lesson(tmp_path)) == []


LONG = "A word and " + "another one and " * 12 + "the end."
BREAKS = {
    "a long cell": ("# ## Predict\n", "# ## Predict\n#\n# " + "Ten words stand in this sentence, and it is short. " * 18 + "\n", "at most 180"),
    "a long sentence": ("# ## Predict\n", f"# ## Predict\n#\n# {LONG}\n", "at most 35"),
    "no minutes": ("About 70 minutes of core", "Some time", "in how many minutes the core"),
    "a long core": ("70 minutes", "80 minutes", "75 at most"),
    "no minutes of Deeper": (", 60 more in Deeper", "", "how many minutes more"),
    "no Deeper": ("# ## Deeper", "# ## More", '"## Deeper" is missing'),
    "no Summary": ("# ## Summary", "# ## In short", 'after "## Summary"'),
    "a part of its own": ("# ### How fast", "# ## How fast", 'is a part of Deeper: "### How fast it grows"'),
    "a core exercise in Deeper": ("Exercise 02.2 · ●●●", "Exercise 02.1 · ●●●", "the part Deeper asks 02.1; what belongs there: 02.2"),
    "an exercise left out": ("# ### Exercise 02.1 · ●●○ · 8 minutes", "# Try it.", "the core asks nothing"),
    "a hard core": ("02.1 · ●●○", "02.1 · ●●●", "02.1 has three dots"),
    "few drawings": ('# %% tags=["drawing"]\n# The chain\ndraw()\n\n# %% [markdown]\n# We', "# %% [markdown]\n# We", "2 cells are tagged drawing"),
    "no recall": ('recall("02")', "print()", 'recall("02") stands before'),
    "a recall of another lesson": ('recall("02")', 'recall("03")', 'recall("02") stands before'),
    "a late recall": ('recall("02")\n', 'predict("02.b", "Which?", ["a", "b"])\nrecall("02")\n', 'recall("02") stands before'),
    "a long cell of code": ('print("here")', 'print("here")\n' * 16, "16 lines are shown, at most 15"),
    "much code": ('# %%\nprint("here")\n', '# %%\nprint("here")\nprint("there")\n\n' * 65, "lines are shown, at most 130"),
    "much folded code": ("growth = 2.0**20", "growth = 2.0**20\n" * 182, "lines of experiments, at most 180"),
    "large cells": ('# %%\nprint("here")\n', ("# %%\n" + 'print("here")\n' * 5 + "\n") * 6, "half of the shown cells"),
    "a wide line": ("growth = 2.0**20", f"growth = 2.0**20  # {'wide ' * 15}", "at most 88"),
    "a fold without words": ("# We double a number 20 times, count how often it grew, and do so for ten seeds.", "# ## 1 · The run", "no sentence stands above this fold: # Ten seeds"),
    "a fold below code": ("# %% [markdown]\n# We double a number 20 times, count how often it grew, and do so for ten seeds.", "# %%\nprint()", "no sentence stands above this fold: # Ten seeds"),
    "a reveal that is seen": ('tags=["reveal"]', "", "a reveal is tagged reveal"),
    "a letter": ("grows if growth > 1 else faster", '"c"', "02.a is settled by a letter: 'c'"),
    "one of two letters": ("grows if growth > 1 else faster", 'grows if growth > 1 else "a"', "02.a is settled by a letter"),
    "no reasons": (", wrong=because", "", "02.a gives no reasons"),
    "a reason left out": (', swings: "No sign turns."', "", "no reason against grows, swings"),
    "a reason left out where another is measured": (', swings: "No sign turns."', ', grows: "It does not."', "no reason against swings"),
    "a count in a word": ("growth = 2.0**20", "words = plots.how_many([9])", "stands in the section of this cell: # Ten seeds"),
}  # fmt: skip


@pytest.mark.parametrize("name", BREAKS)
def test_a_lesson_that_breaks_a_rule_is_told_which(tmp_path, name):
    before, after, said = BREAKS[name]
    assert before in GOOD
    broken = lesson(tmp_path, GOOD.replace(before, after, 1))
    found = [sentence for rule in RULES for sentence in rule(broken)]
    assert any(said in sentence for sentence in found), found


@pytest.mark.parametrize(
    ("near", "told"), [("# A number is", True), ("# We double", True), ("# About 70", False)]
)
def test_words_for_counts_are_told_in_the_section_that_uses_them(tmp_path, near, told):
    text = GOOD.replace("growth = 2.0**20", "words = plots.how_many([9])")
    assert near in text
    said = lesson(tmp_path, text.replace(near, f"# {WORDS_FOR_COUNTS}\n#\n{near}", 1))
    assert (RULES[-1](said) == []) is told


@pytest.mark.parametrize(
    ("evidence", "lacks"),
    [
        ("Momentum SGD, 150 steps, 4 hidden layers: few.", []),
        ("Plain gradient descent, 1000 steps, valleys of 20 dimensions: none.", []),
        ("At the start, no training, width 128: 20 of 20.", []),
        ("Algebra, 3 entries: the cosine is 0.8.", []),
        ("AdamW, 400 steps, widths 32 and 256: few.", []),
        ("Momentum, 150 steps: few.", ["the size"]),
        ("Adam, 12 layers, some hundred steps: few.", ["the number of steps"]),
        ("150 steps, 10 layers: few.", ["the optimizer"]),
        ("Few learn.", ["the optimizer", "the number of steps", "the size"]),
    ],
)
def test_evidence_names_optimizer_steps_and_size(evidence, lacks):
    assert [sentence.partition(" is not named")[0] for sentence in what_evidence_lacks(evidence)] == lacks


def test_an_import_is_one_line_however_its_names_are_spread():
    assert len(lines("import math\nfrom torch import (\n    nn,\n    Tensor,\n)\n\nx = (\n    1\n)\n")) == 5


def test_short_sentences_are_told(tmp_path):
    broken = lesson(tmp_path, GOOD.replace("# We double", "# So it is now. " * 40 + "We double"))
    assert "lies between 12 and 16" in "".join(RULES[1](broken))


def test_lesson_00_may_do_without_deeper_and_recall(tmp_path):
    text = GOOD.partition("# %% [markdown]\n# ## Deeper")[0].replace('recall("02")\n', "print()\n")
    first = lesson(tmp_path, text.replace(", 60 more in Deeper", ""), "00")
    found = [sentence for rule in RULES for sentence in rule(first)]
    assert found == ["the part Deeper asks nothing; what belongs there: 02.2"]


def test_a_sixth_core_exercise_is_one_too_many(tmp_path):
    heads = "".join(f"# ### Exercise 02.{k} · ●○○ · 5 minutes\n" for k in range(3, 8))
    exercises = EXERCISES | {f"02.{k}": SimpleNamespace(deeper=False) for k in range(3, 8)}
    many = lesson(tmp_path, GOOD.replace("# ## Summary", f"{heads}#\n# ## Summary"), exercises=exercises)
    found = [sentence for rule in RULES for sentence in rule(many)]
    assert found == ["the core asks 6 exercises, at most 5"]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("One two three.", 3),
        ("The derivative $\\partial L / \\partial h$ of `f(x + 1)` is small.", 7),
        ("$$\n a = b + c\n$$", 1),
        ("A [link of four words](https://example.org/a/b c) counts.", 6),
        ("A dash — and a bar | are none.", 7),
        ("**Bold** and *leaning* count once.", 5),
        ("<details><summary>Why</summary>Because it is.</details>", 4),
        ("![a picture](x.png) No more.", 2),
    ],
)
def test_words_are_counted_as_they_are_read(text, count):
    assert len(words(text)) == count


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("One two. Three four five.", [2, 3]),
        ("One two\nthree. Four\nfive!", [3, 2]),
        ("# A heading\n\nOne two three.", [3]),
        ("It is `a.b. C` here. And $x. Y$ there.", [4, 3]),
        ("You can\n- write one thing,\n- say another.\n\nThen go.", [2, 3, 2, 2]),
        ("| a. b. | c |\n|---|---|\n| d | e |\n\nOne two.", [2]),
        ("This moves it by\n\n$$x - \\eta g$$\n\nwhere the rate is small.", [4, 5]),
        ("It grows by 0.5 per layer, e.g. in tanh. No more.", [9, 2]),
        ("It said \"no more.\" Then it stopped (at once.) It fell.", [4, 5, 2]),
        ("How far does it go… and why? See below… It goes on.", [7, 2, 3]),
        ("<details><summary>Why</summary>\nBecause it is.\n</details>", [1, 3]),
    ],
)  # fmt: skip
def test_sentences_end_where_a_reader_stops(text, counts):
    assert [len(words(sentence)) for sentence in sentences(text)] == counts


def test_exercises_are_counted_in_tens():
    assert in_order(["11.10", "11.9", "11.1"]) == ["11.1", "11.9", "11.10"]


AGAIN = """# %%
import time

# %%
rows = [1, 2]

# %%
time.sleep(0.6)
total = rows + [3]

# %%
print(sum(rows))

# %%
rows = 5
"""


@pytest.mark.parametrize(
    ("last", "found"),
    [("rows = 5", ["cell 4 fails when it is run again, TypeError"]), ("columns = 5", [])],
)
def test_a_cell_that_cannot_be_run_again_is_named(tmp_path, last, found):
    cells = lesson(tmp_path, AGAIN.replace("rows = 5", last)).cells
    failed = what_fails_again(cells, tmp_path, tmp_path / "home", quick=0.5)
    assert [sentence[: len(start)] for sentence, start in zip(failed, found, strict=True)] == found
