"""Drawings take an axes and return it, say in words what they show, and keep every text legible and in its place."""

import itertools
import logging

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgba
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch

from gradutils import plots
from gradutils.plots.sheet import INK

pytestmark = pytest.mark.filterwarnings("error")

SEVEN = ["x", "z[0]", "h[1]", "z[1]", "h[2]", "z[2]", "L"]
MOMENTUM = {
    "last move": ((0, 0), (2, 1), plots.REFERENCE),
    "gradient step": ((2, 1), (0.5, -1.5), plots.STABLE),
    "their sum": ((0, 0), (2.5, -0.5), "black"),
}
CLOSE = {
    name: ((0, 0), (3, up), plots.STABLE)
    for name, up in (("first moment", 0.3), ("gradient", 0.1), ("step", -0.1))
}
PRODUCT = [("h", [[1, 2], [0, 1]]), "@", ("W.T", [[1, 0], [0.5, -1]]), "=", ("z", [[2, -2], [0.5, -1]])]
LARGE = [("delta.T", np.full((4, 5), -0.25)), "@", ("h", torch.eye(5)), "=", ("dW", [["a", "b"]] * 4)]


def square(x):
    return x**2


def gradients(values):
    return [f"dL/d{value}" for value in values]


def two_rows(values=SEVEN[:5], **more):
    back = ["W[0].T", "phi'(z[0])", "W[1].T", ""][: len(values) - 1]
    steps = ["W[0]", "tanh", "W[1]", "loss"][: len(values) - 1]
    return {"values": values, "steps": steps, "back": back, "gradients": gradients(values)} | more


# name: (function, arguments, width and height in inches)
DRAWINGS = {
    "chain": (plots.draw_chain, {"values": ["x", "z", "L"], "steps": ["W", "loss"]}, (6.4, 1.6)),
    "chain, bent back": (plots.draw_chain, two_rows(gradients=(), shapes=["(B, n)"] * 5), (6.4, 1.6)),
    "chain, two rows": (plots.draw_chain, two_rows(shapes=["(B, n)"] * 5), (6.4, 2.0)),
    "chain, numbers": (
        plots.draw_chain,
        two_rows(numbers=["[1, 2]", "[3, 4]\n[2, 1]", "1", "-0.5", "0.125"], back_numbers=["[-1, 0.5]"] * 5),
        (6.4, 2.4),
    ),
    "chain of seven": (
        plots.draw_chain,
        {
            "values": SEVEN,
            "steps": ["W[0]", "tanh", "W[1]", "tanh", "W[2]", "loss"],
            "shapes": ["(B, n)"] * 6 + ["()"],
            "back": ["W[0].T", "phi'", "W[1].T", "phi'", "W[2].T", ""],
            "gradients": gradients(SEVEN),
        },
        (6.4, 2.0),
    ),
    "chain, long steps": (
        plots.draw_chain,
        {"values": SEVEN[:5], "steps": ["times W[0], plus b[0]", "tanh", "times W[1], plus b[1]", "mean square"]},
        (6.4, 1.6),
    ),
    "chain, half": (plots.draw_chain, two_rows(SEVEN[:3]), (3.2, 2.0)),
    "unit": (plots.draw_unit, {"inputs": ["h[0]", "h[1]"], "weights": ["w[0]", "w[1]"], "output": "z"}, (6.4, 1.6)),
    "unit, many": (
        plots.draw_unit,
        {"inputs": ["h[0]", "h[1]", "h[2]", "…", "h[n-1]"], "weights": ["W[0,0]", "W[0,1]", "W[0,2]", "", "W[0,n-1]"], "output": "z[0]"},
        (6.4, 2.4),
    ),
    "unit, five": (
        plots.draw_unit,
        {"inputs": list("12345"), "weights": ["0.1", "-0.2", "0.3", "0.4", "-0.5"], "output": "1.3", "sum_label": "+"},
        (6.4, 1.6),
    ),
    "unit, half, backward": (
        plots.draw_unit,
        {"inputs": ["delta[0]", "delta[1]", "…"], "weights": ["W[0,0]", "W[1,0]", ""], "output": "dL/dh", "backward": True},
        (3.2, 1.8),
    ),
    "unit, half, five": (
        plots.draw_unit,
        {"inputs": SEVEN[:5], "weights": ["W[0,0]", "W[0,1]", "W[0,2]", "W[0,3]", "W[0,4]"], "output": "z"},
        (3.2, 1.6),
    ),
    "unrolled": (plots.draw_unrolled, {"steps": 3}, (6.4, 1.6)),
    "unrolled, four": (plots.draw_unrolled, {"steps": 4, "first": 1, "inputs": None}, (6.4, 1.6)),
    "unrolled, folded": (plots.draw_unrolled, {"steps": 3, "folded": True}, (6.4, 1.8)),
    "unrolled, half": (plots.draw_unrolled, {"steps": 2, "operation": "W", "gradient": False}, (3.2, 1.6)),
    "unrolled, once": (plots.draw_unrolled, {"steps": 1}, (3.2, 1.6)),
    "residual": (plots.draw_residual, {"branch": ["W", "ReLU"]}, (6.4, 1.6)),
    "residual, full": (
        plots.draw_residual,
        {"branch": ["norm", "W", "ReLU"], "path": "unchanged", "after": ["norm"], "scale": r"$\times 1/\sqrt{L}$"},
        (6.4, 2.0),
    ),
    "residual, half": (plots.draw_residual, {"branch": ["norm", "f"], "back": False}, (3.2, 1.8)),
    "statistics": (plots.draw_statistics, {}, (6.4, 2.4)),
    "statistics, one": (
        plots.draw_statistics,
        {"values": ["x", "y"], "statistics": ["RMS r"], "steps": ["/ r"], "back": False},
        (3.2, 1.8),
    ),
    "cycle of three": (plots.draw_cycle, {"boxes": ["predict", "run", "read"]}, (6.4, 1.6)),
    "cycle of four": (
        plots.draw_cycle,
        {"boxes": ["weights", "loss", "gradient", "step"], "labels": ["forward", "backward", "times lr", "W - lr g"]},
        (6.4, 2.4),
    ),
    "cycle of five": (
        plots.draw_cycle,
        {"boxes": ["predict", "run", "read", "exercise", "verdict"], "labels": ["one", "two and more", "three", "four", "five"]},
        (6.4, 2.6),
    ),
    "cycle, half": (plots.draw_cycle, {"boxes": ["one", "two", "three", "four"], "labels": list("abcd")}, (3.2, 2.0)),
    "cycle, half, labels": (
        plots.draw_cycle,
        {"boxes": ["weights", "loss", "gradient", "step"], "labels": ["forward", "backward", "times lr", "W - lr g"]},
        (3.2, 2.0),
    ),
    "slope": (plots.draw_slope_under_density, {"phi": torch.tanh, "sigma": 3.0}, (6.4, 2.4)),
    "slope, half": (plots.draw_slope_under_density, {"phi": torch.relu, "sigma": 0.5}, (3.2, 2.0)),
    "slope, below zero": (plots.draw_slope_under_density, {"phi": torch.nn.functional.gelu, "sigma": 1.0}, (6.4, 3.6)),
    "step": (plots.draw_step, {"loss": square, "x": -1.0, "lr": 0.3, "low": -2, "high": 2}, (6.4, 2.4)),
    "step, too long": (plots.draw_step, {"loss": square, "x": 1.2, "lr": 5.0, "low": -2, "high": 2}, (6.4, 3.0)),
    "step, half": (plots.draw_step, {"loss": square, "x": -1.9, "lr": 0.01, "low": -2, "high": 2}, (3.2, 2.0)),
    "step, on a hill": (
        plots.draw_step,
        {"loss": lambda x: x**4 / 4 - x**2, "x": 0.3, "lr": 0.9, "low": -2, "high": 2},
        (6.4, 3.0),
    ),
    "step by step": (plots.draw_staircase, {"function": lambda x: 4 * x / (1 + x), "start": 0.2, "steps": 6, "high": 4}, (6.4, 2.8)),
    "step by step, half": (plots.draw_staircase, {"function": lambda x: x / (1 + x), "start": 1.0, "steps": 4, "high": 1.2}, (3.2, 2.4)),
    "arrows": (plots.draw_arrows, {"arrows": MOMENTUM, "reach": (-0.5, 3, -1, 1.5)}, (6.4, 2.4)),
    "arrows, half": (plots.draw_arrows, {"arrows": MOMENTUM, "reach": (-0.5, 3, -1, 1.5)}, (3.2, 2.4)),
    "arrows, close": (plots.draw_arrows, {"arrows": CLOSE, "reach": (-1, 4, -1, 1)}, (6.4, 1.8)),
    "ceiling": (plots.draw_ceiling, {"rates": [0.1 * (k + 1) / 40 for k in range(40)]}, (6.4, 2.4)),
    "ceiling, half": (plots.draw_ceiling, {"rates": [0.3] * 20}, (3.2, 2.0)),
    "memory": (plots.draw_memory, {"gradients": [1, -1] * 15}, (6.4, 2.4)),
    "memory, both": (plots.draw_memory, {"gradients": [0] * 20 + [1] * 10, "beta2": 0.99}, (6.4, 2.4)),
    "memory, late": (plots.draw_memory, {"gradients": [0, 0, 1, 1], "beta2": 0.999, "quiet": 30}, (3.2, 2.4)),
    "memory, half": (plots.draw_memory, {"gradients": [1, 2, 40, 1], "beta1": None, "beta2": 0.999}, (3.2, 2.0)),
    "directions": (
        plots.draw_directions,
        {"cosines": [-1.0, -0.5, 0.0, 0.32, 0.87, 0.99, 1.0], "names": ["inputs"] + [f"layer {k}" for k in (1, 2, 5, 10, 20, 50)]},
        (6.4, 1.8),
    ),
    "directions, two": (plots.draw_directions, {"cosines": [0.5, 0.998], "names": ["before", "after"]}, (6.4, 2.4)),
    "directions, half": (plots.draw_directions, {"cosines": [0.0, 0.32, 0.49], "names": ["inputs", "layer 1", "layer 2"]}, (3.2, 1.6)),
    "head": (plots.draw_head, {}, (6.4, 2.6)),
    "head, normed": (plots.draw_head, {"names": ["q / rms(q)", "k / rms(k)", "v"], "shapes": ["(B, T, n)", "(B, T, d)", "(B, T, T)"]}, (6.4, 2.4)),
    "softmax": (plots.draw_softmax, {"logits": [2.0, 1.0, 0.0]}, (3.2, 2.2)),
    "softmax, sharp": (plots.draw_softmax, {"logits": [32.0, 16.0, 0.0, -8.0]}, (3.2, 2.0)),
    "bits": (plots.draw_bits, {"value": 0.1}, (6.4, 1.8)),
    "bits, of nothing": (plots.draw_bits, {"value": -1e-8, "formats": ["bfloat16", "float16"]}, (6.4, 1.4)),
    "bits, half": (plots.draw_bits, {"value": 3.0, "formats": ["float16"]}, (3.2, 1.4)),
    "updates": (plots.draw_updates, {"start": 0.1, "updates": [0.0002, 0.0003, -0.0006], "low": 0.0985, "high": 0.1015}, (6.4, 1.8)),
    "updates, at a power of two": (plots.draw_updates, {"start": 1.0, "updates": [0.003, -0.003], "low": 0.98, "high": 1.03}, (6.4, 1.6)),
    "numbers": (plots.draw_grid_of_numbers, {"matrices": PRODUCT, "highlight": {"h": (0, None)}}, (6.4, 1.6)),
    "numbers, large": (plots.draw_grid_of_numbers, {"matrices": LARGE}, (6.4, 2.0)),
    "numbers, half": (plots.draw_grid_of_numbers, {"matrices": PRODUCT, "shapes": False}, (3.2, 1.6)),
}  # fmt: skip


@pytest.fixture
def new_axes():
    with plt.style.context(plots.STYLE):
        yield lambda width=6.4, height=2.4: plt.subplots(figsize=(width, height))[1]
    plt.close("all")


def drawn(new_axes, name, title=""):
    function, arguments, size = DRAWINGS[name]
    ax = new_axes(*size)
    assert function(ax, **arguments) is ax
    if title:
        plots.finish(ax, title)
    ax.figure.draw_without_rendering()
    return ax


def written(ax):
    return {text: text.get_window_extent().padded(-0.5) for text in ax.texts if text.get_text()}


@pytest.mark.parametrize("title", ["", "What it shows"])
@pytest.mark.parametrize("name", DRAWINGS)
def test_no_text_is_cut_off_or_covered(new_axes, caplog, name, title):
    with caplog.at_level(logging.WARNING):
        ax = drawn(new_axes, name, title)
    assert not caplog.messages
    if not name.startswith(("slope", "step", "arrows", "ceiling", "memory", "softmax")):
        scale = ax.transData.transform([(0, 0), (0, 1)])[:, 1]
        assert scale[1] - scale[0] == pytest.approx(
            110 / 72
        )  # one unit is one point, with a title and without
    texts = written(ax)
    assert texts
    figure, top = ax.figure.bbox, ax.title.get_window_extent().y0 if title else ax.figure.bbox.y1
    for text, extent in texts.items():
        assert figure.x0 <= extent.x0, text
        assert extent.x1 <= figure.x1, text
        assert figure.y0 <= extent.y0, text
        assert extent.y1 <= top, text
        assert text.get_fontsize() >= 7
    for (a, first), (b, second) in itertools.combinations(texts.items(), 2):
        assert not first.overlaps(second), (a, b)
    boxes = [patch for patch in ax.patches if isinstance(patch, FancyBboxPatch | Circle)]
    for box, (text, extent) in itertools.product([box.get_window_extent() for box in boxes], texts.items()):
        inside = box.x0 <= extent.x0 <= extent.x1 <= box.x1 and box.y0 <= extent.y0 <= extent.y1 <= box.y1
        assert inside or not box.overlaps(extent), text
    for a, b in itertools.combinations([box.get_window_extent() for box in boxes], 2):
        assert not a.overlaps(b)


@pytest.mark.parametrize(
    "name", ["chain of seven", "chain, numbers", "unit, many", "unrolled", "residual, full"]
)
def test_a_wide_drawing_is_written_large_enough_to_read(new_axes, name):
    assert max(text.get_fontsize() for text in written(drawn(new_axes, name))) >= 9


@pytest.mark.parametrize("name", [name for name in DRAWINGS if not name.startswith(("slope", "step"))])
def test_what_is_written_is_also_said(new_axes, name):
    ax = drawn(new_axes, name)
    words = plots.sentence(ax.figure)
    for text in written(ax):
        for line in text.get_text().splitlines():
            if line != "$\\vdots$" and "$" not in line and line not in "+=@":
                assert all(word in words for word in line.split("  ")[0].split()), line


def arrows(ax, colour):
    shown = [patch for patch in ax.patches if isinstance(patch, FancyArrowPatch)]
    return [patch for patch in shown if patch.get_edgecolor() == to_rgba(colour)]


def test_a_chain_goes_forward_in_grey_and_back_in_its_colour(new_axes):
    ax = new_axes()
    plots.draw_chain(ax, ["x", "z", "h", "L"], ["W", "tanh", "loss"], back=[None, "1 - h^2", ""])
    assert len(arrows(ax, INK)) == 3
    assert len(arrows(ax, plots.SECOND)) == 2
    assert plots.sentence(ax.figure) == (
        "A chain from x, through W to z, through tanh to h, through loss to L. "
        "Backwards from the gradient of L, to the gradient of h, through 1 - h^2 to the gradient of z."
    )
    ax = new_axes()
    plots.draw_chain(
        ax, ["x", "L"], ["W"], gradients=["dL/dx", ""], numbers=["1", "2"], back_colour=plots.EXPLODES
    )
    assert len(arrows(ax, plots.EXPLODES)) == 1
    assert plots.sentence(ax.figure).startswith("A chain from x = 1, through W to L = 2. Backwards")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"steps": ["W"]}, "steps must hold 2 entries, one for each arrow between 3 boxes; got 1"),
        ({"back": [""]}, "back must hold 2 entries, one for each arrow between 3 boxes; got 1"),
        ({"shapes": ["(n)"]}, "shapes must hold 3 entries, one a box; got 1"),
        ({"gradients": ["g"] * 4}, "gradients must hold 3 entries, one a box; got 4"),
    ],
    ids=str,
)
def test_a_chain_of_a_wrong_length_says_what_it_expected(new_axes, row, message):
    arguments = {"values": ["x", "z", "L"], "steps": ["W", "loss"]} | row
    with pytest.raises(ValueError, match=message):
        plots.draw_chain(new_axes(), **arguments)


def test_a_unit_adds_forwards_and_backwards(new_axes):
    for backward, colour in ((False, INK), (True, plots.SECOND)):
        ax = new_axes()
        plots.draw_unit(ax, ["a", "b", "…"], ["u", "v", ""], "c", backward=backward)
        assert len(arrows(ax, colour)) == 3  # two inputs and the output; what stands for many has none
        left, right = (next(t for t in ax.texts if t.get_text() == name).get_position()[0] for name in "ac")
        assert (left > right) == backward
    with pytest.raises(ValueError, match="weights must hold 2 entries, one an input; got 1"):
        plots.draw_unit(new_axes(), ["a", "b"], ["u"], "c")


def test_every_step_of_an_unrolled_network_has_its_state_its_input_and_its_way_back(new_axes):
    ax = new_axes()
    plots.draw_unrolled(ax, 3, first=4, back_colour=plots.VANISHES)
    names = [text.get_text() for text in ax.texts]
    assert {"h[4]", "h[7]", "x[5]", "x[7]", "the same W at every step"} <= set(names)
    assert "x[4]" not in names
    assert names.count("W, tanh") == 3
    assert len(arrows(ax, plots.VANISHES)) == 3
    ax = new_axes()
    plots.draw_unrolled(ax, 1, inputs=None, gradient=False)
    assert [text.get_text() for text in ax.texts] == ["h[0]", "h[1]", "W, tanh"]
    with pytest.raises(ValueError, match="at least 1; got 0"):
        plots.draw_unrolled(new_axes(), 0)


def test_the_gradient_of_a_residual_block_has_two_ways(new_axes):
    for back in (True, False):
        ax = new_axes()
        plots.draw_residual(ax, ["f"], back=back)
        assert len(arrows(ax, plots.SECOND)) == 2 * back
        assert ("both ways" in plots.sentence(ax.figure)) == back
    with pytest.raises(ValueError, match="at least one box"):
        plots.draw_residual(new_axes(), [])
    with pytest.raises(ValueError, match="ends must hold 2"):
        plots.draw_residual(new_axes(), ["f"], ends=["h"])


def test_a_loop_goes_round_clockwise(new_axes):
    ax = new_axes()
    plots.draw_cycle(ax, ["a", "b", "c", "d"])
    x, y = np.array([text.get_position() for text in ax.texts]).T
    assert np.argmax(y) == 0
    assert np.argmax(x) == 1
    assert np.argmin(y) == 2
    assert np.argmin(x) == 3
    assert len(arrows(ax, INK)) == 4
    for boxes, labels, message in (
        ("ab", (), "3 to 5 texts; got 2"),
        ("abc", "x", "labels must hold 3 entries"),
    ):
        with pytest.raises(ValueError, match=message):
            plots.draw_cycle(new_axes(), list(boxes), labels)


@pytest.mark.parametrize(("phi", "mean"), [(torch.relu, 0.5), (torch.tanh, 0.46), (lambda z: 2 * z, 4.0)])
def test_the_slope_under_a_density_writes_the_mean_that_it_shades(new_axes, phi, mean):
    ax = new_axes()
    plots.draw_slope_under_density(ax, phi, 1.0)
    z = torch.randn(1_000_000, generator=torch.Generator().manual_seed(0), requires_grad=True)
    phi(z).sum().backward()
    assert z.grad.square().mean().item() == pytest.approx(mean, abs=5e-3)
    assert any(f"= {mean:.2f}" in text.get_text() for text in ax.texts)
    grey, blue = (np.ptp(area.get_paths()[0].vertices[:, 1]) for area in ax.collections)
    assert grey == pytest.approx(1)
    assert blue <= max(mean, 1)


def test_two_densities_are_compared_on_one_axis(new_axes):
    areas = []
    for sigma, height, mean in ((5, 1.0, 0.11), (10, 0.5, 0.05)):
        ax = new_axes()
        plots.draw_slope_under_density(ax, torch.tanh, sigma, reach=18, height=height)
        assert ax.get_xlim() == (-18, 18)
        assert any(f"= {mean}" in text.get_text() for text in ax.texts)  # of all, also where the picture ends
        x, y = torch.tensor(ax.collections[0].get_paths()[0].vertices[1:4002].T)
        areas.append(float(torch.trapezoid(y, x)))
    assert areas[0] == pytest.approx(areas[1], rel=1e-2)


def test_a_slope_can_be_given_and_sigma_must_be_positive(new_axes):
    ax = new_axes()
    plots.draw_slope_under_density(ax, torch.sign, 1.0, slope=lambda z: (z.abs() <= 1).double())
    assert "keeps 68 %" in plots.sentence(ax.figure)
    with pytest.raises(ValueError, match="sigma must be positive; got 0"):
        plots.draw_slope_under_density(new_axes(), torch.tanh, 0)


@pytest.mark.parametrize(
    ("lr", "colour", "said"),
    [
        (0.3, plots.STABLE, "the step of +0.6 lands at -0.4, not higher"),
        (1.0, plots.STABLE, "lands at 1, not higher"),
        (1.2, plots.EXPLODES, "lands at 1.4, higher"),
        (9.0, plots.EXPLODES, "lands at 17, outside the picture, higher"),
    ],
)
def test_a_step_is_red_where_it_lands_higher(new_axes, lr, colour, said):
    ax = new_axes()
    plots.draw_step(ax, square, -1.0, lr, low=-2, high=2)
    (arrow,) = [text.arrow_patch for text in ax.texts if text.arrow_patch]
    assert arrow.get_edgecolor() == to_rgba(colour)
    assert said in plots.sentence(ax.figure)


def test_a_step_without_a_slope_stays_and_one_from_outside_is_refused(new_axes):
    ax = plots.draw_step(new_axes(), square, 0.0, 0.5, low=-1, high=1)
    assert not [text for text in ax.texts if text.arrow_patch]
    with pytest.raises(ValueError, match="x must lie between low = -1 and high = 1; got 3"):
        plots.draw_step(new_axes(), square, 3, 0.5, low=-1, high=1)


def test_a_staircase_goes_to_the_curve_and_then_to_the_diagonal(new_axes):
    ax = plots.draw_staircase(new_axes(), lambda x: x / 2 + 1, 4.0, 2, high=4)
    x, y = ax.lines[2].get_data()
    assert list(zip(x.tolist(), y.tolist(), strict=True)) == [(4, 0), (4, 3), (3, 3), (3, 2.5), (2.5, 2.5)]
    assert "q goes from 4, 3, 2.5;" in plots.sentence(ax.figure)
    for start, steps in ((5.0, 2), (1.0, 0)):
        with pytest.raises(ValueError, match="start must lie between 0 and high = 4"):
            plots.draw_staircase(new_axes(), lambda x: x, start, steps, high=4)


def test_arrows_stand_where_they_are_given_at_one_scale(new_axes):
    ax = plots.draw_arrows(new_axes(), MOMENTUM, reach=3)
    ax.figure.draw_without_rendering()
    shown = [text for text in ax.texts if text.arrow_patch]
    assert [tuple(text.xy) for text in shown] == [(2, 1), (2.5, -0.5), (2.5, -0.5)]
    origin, right, up = ax.transData.transform([(0, 0), (1, 0), (0, 1)])
    assert right[0] - origin[0] == pytest.approx(up[1] - origin[1])
    low, high = ax.get_xlim()
    assert low <= -3 < 3 <= high
    assert "gradient step from (2, 1) by (0.5, -1.5)" in plots.sentence(ax.figure)


def test_what_adam_remembers_is_what_torch_keeps(new_axes):
    gradients = [2.0, -1.0, 0.0, 0.5]
    ax = plots.draw_memory(new_axes(), gradients, 0.9, 0.99)
    p = torch.zeros(1, dtype=torch.float64)
    optimizer = torch.optim.Adam([p], betas=(0.9, 0.99))
    means, roots = [], []
    for t, gradient in enumerate(gradients, 1):
        p.grad = torch.full_like(p, gradient)
        optimizer.step()
        means.append(float(optimizer.state[p]["exp_avg"]) / (1 - 0.9**t))
        roots.append((float(optimizer.state[p]["exp_avg_sq"]) / (1 - 0.99**t)) ** 0.5)
    drawn = [line.get_ydata() for line in ax.lines[:2]]
    assert drawn[0] == pytest.approx(means)
    assert drawn[1] == pytest.approx(roots)
    whole = plots.draw_memory(new_axes(), [0.0, 0.0, *gradients], 0.9, 0.99)
    late = plots.draw_memory(new_axes(), gradients, 0.9, 0.99, quiet=2)
    for one, other in zip(late.lines[:2], whole.lines[:2], strict=True):
        assert one.get_ydata() == pytest.approx(other.get_ydata()[2:])
        assert one.get_xdata() == pytest.approx(other.get_xdata()[2:])
    for wrong in ({"gradients": [1.0]}, {"gradients": gradients, "beta1": None}):
        with pytest.raises(ValueError, match="two or more, and a beta be given"):
            plots.draw_memory(new_axes(), **wrong)


def test_a_row_and_a_column_of_numbers_are_marked(new_axes):
    ax = new_axes()
    plots.draw_grid_of_numbers(ax, PRODUCT, highlight={"h": (0, None), "W.T": (None, 1), "z": (0, 1)})
    marked = [box for box in ax.patches if box.get_edgecolor() == to_rgba(plots.STABLE)]
    assert len(marked) == 2 + 2 + 1
    assert len(ax.patches) == 12
    assert plots.sentence(ax.figure) == (
        "Numbers: h [[1, 2], [0, 1]] @ W.T [[1, 0], [0.5, -1]] = z [[2, -2], [0.5, -1]]. "
        "Marked: h at row 0, W.T at column 1, z at row 0 and column 1."
    )
    with pytest.raises(ValueError, match=r"must name some of the matrices \['h', 'W.T', 'z'\]; got \['b'\]"):
        plots.draw_grid_of_numbers(new_axes(), PRODUCT, highlight={"b": (0, 0)})
    with pytest.raises(ValueError, match="rows of one length"):
        plots.draw_grid_of_numbers(new_axes(), [("h", [[1, 2], [3]])])


def test_a_vector_of_numbers_is_a_row(new_axes):
    ax = plots.draw_grid_of_numbers(new_axes(), [("b", torch.tensor([0.5, -1.0])), "=", ("c", [0.5, "?"])])
    assert plots.sentence(ax.figure) == "Numbers: b [[0.5, -1]] = c [[0.5, ?]]."


def test_the_ceiling_is_two_over_the_rate(new_axes):
    ax = plots.draw_ceiling(new_axes(), [0.1, 0.2, 0.4])
    assert ax.lines[0].get_ydata() == pytest.approx([20, 10, 5])
    low, high = ax.get_ylim()
    assert low < 5 < 20 < high
    assert "over 3 steps, from 20 to 5" in plots.sentence(ax.figure)
    for rates in ([0.1], [0.1, 0.0], [[0.1, 0.2]]):
        with pytest.raises(ValueError, match="two or more steps, all above 0"):
            plots.draw_ceiling(new_axes(), rates)


def test_two_directions_stand_at_the_angle_of_their_cosine(new_axes):
    ax = new_axes()
    plots.draw_directions(ax, [0.0, 0.5, -0.5], ["a", "b", "c"])
    both = arrows(ax, INK) + arrows(ax, plots.STABLE)
    tips = [
        np.subtract(*patch.get_path().vertices[1::-1]) for patch in both
    ]  # a line begins with its two ends
    pairs = zip(tips[:3], tips[3:], strict=True)
    found = [a @ b / np.hypot(*a) / np.hypot(*b) for a, b in pairs]
    assert found == pytest.approx([0.0, 0.5, -0.5], abs=0.05)
    assert "a cosine 0.00; b cosine 0.50; c cosine -0.50" in plots.sentence(ax.figure)
    with pytest.raises(ValueError, match="names must hold 1 entries, one a pair; got 2"):
        plots.draw_directions(new_axes(), [0.5], ["a", "b"])
    with pytest.raises(ValueError, match=r"between -1 and 1; got 1\.5"):
        plots.draw_directions(new_axes(), [0.5, 1.5], ["a", "b"])


def test_a_head_has_an_arrow_for_every_step(new_axes):
    ax = plots.draw_head(new_axes(6.4, 2.6))
    assert len(arrows(ax, INK)) == 3 + 2 + 1 + 1 + 1
    assert "the tokens h (T, n) become q, k and v, each (T, d)" in plots.sentence(ax.figure)
    with pytest.raises(ValueError, match="names must hold 3 entries, of queries, keys and values; got 2"):
        plots.draw_head(new_axes(), names=["q", "k"])


def test_the_bars_of_a_softmax_are_its_weights(new_axes):
    logits = [3.0, 1.0, -2.0]
    ax = plots.draw_softmax(new_axes(3.2, 2.2), logits)
    heights = torch.tensor([float(bar.get_height()) for bar in ax.patches])
    assert torch.allclose(heights, torch.tensor(logits).softmax(0), atol=1e-6)
    assert "3 gets 0.88" in plots.sentence(ax.figure)


def test_the_bits_are_those_that_torch_stores(new_axes):
    ax = plots.draw_bits(new_axes(), 0.1)
    names = [text.get_text() for text in ax.texts]
    assert names[4:7] == ["0", "01111011", "10011001100110011001101"]
    assert {"0.1000977", "0.09997559"} <= set(names)
    assert "bfloat16 0 01111011 1001101, which is 0.1000977" in plots.sentence(ax.figure)
    zero = plots.draw_bits(new_axes(), 1e-8, ["float16"])
    assert "0 00000 0000000000, which is 0." in plots.sentence(zero.figure)
    with pytest.raises(ValueError, match="some of float32, bfloat16, float16; got 'float8'"):
        plots.draw_bits(new_axes(), 1.0, ["float8"])


def test_an_update_is_lost_where_torch_stores_the_same_number(new_axes):
    updates = [0.0002, 0.0003, -0.0006]
    ax = plots.draw_updates(new_axes(), 0.1, updates, low=0.0985, high=0.1015)
    w = torch.tensor(0.1).bfloat16()
    for u, text in zip(updates, ax.texts[1:], strict=True):
        assert text.get_text().endswith(f"is stored as {(w.float() + u).bfloat16().item():.5g}")
    assert len(arrows(ax, plots.VANISHES)) == 1
    assert len(arrows(ax, plots.STABLE)) == 2
    assert "A line of 6 numbers" in plots.sentence(ax.figure)
    assert "1 of 3 are lost" in plots.sentence(ax.figure)
    for low, message in ((0.2, "must rise"), (0.001, "40 numbers at most")):
        with pytest.raises(ValueError, match=message):
            plots.draw_updates(new_axes(), 0.1, [0.1], low=low, high=0.3)
