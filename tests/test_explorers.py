"""Explorers: the pure functions at every corner of every slider, and what remains where no kernel lives."""

import base64
import io
import itertools
import json

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image
from traitlets import TraitError

from gradutils import explorers, plots
from gradutils.explorers import tables
from gradutils.explorers.awake import SHOWN, run_awake, steps_awake
from gradutils.explorers.descent import (
    METHODS,
    measured_rate,
    momentum_edge,
    momentum_rate,
    run_momentum,
    run_momentum_point,
    run_quadratic,
)
from gradutils.explorers.live import LiveFigure, slider
from gradutils.explorers.packing import unpack

ALL = [
    explorers.explore_learning_rate,
    explorers.explore_momentum,
    explorers.explore_jacobian,
    explorers.explore_depth,
    explorers.explore_recurrent,
    explorers.explore_activation,
    explorers.explore_phase_diagram,
    explorers.explore_cliff,
    explorers.explore_rate_and_threshold,
    explorers.explore_edge,
    explorers.explore_schedule,
    explorers.explore_residual,
    explorers.explore_awake,
    explorers.explore_softmax,
    explorers.explore_precision,
]


def corners(slider):
    return range(len(slider.values)) if slider.kind == "radio" else [0, slider.start, len(slider.values) - 1]


@pytest.mark.parametrize("explore", ALL)
@pytest.mark.filterwarnings("error")
def test_every_corner_draws_and_says_something(explore):
    explorer = explore()
    for at in itertools.product(*map(corners, explorer.sliders.values())):
        row = explorer.row(at)
        assert row.sentence.endswith(".")
        assert "nan" not in row.sentence
        assert row.marks
        for mark in row.marks.values():
            assert len(mark.x) == len(mark.y) > 0
            clip = json.loads(mark.style).get("clip")
            assert clip is None or 0 <= min(clip) <= max(clip) <= 704
    explorer.at = list(at)
    drawn = explorer.scene.compute(**explorer.values)
    assert set(drawn.artists) == set(explorer.scene.figure.artists)  # nothing stays as it was before
    assert Image.open(io.BytesIO(explorer.scene.figure.png())).size == (704, 396)


@pytest.mark.parametrize("explore", ALL)
def test_a_slider_changes_what_is_drawn_and_said(explore):
    explorer = explore()
    for name, moved in explorer.sliders.items():
        before = explorer.row(explorer.at)
        assert explorer.text == before.sentence
        explorer.move(**{name: moved.values[0 if explorer.values[name] == moved.values[-1] else -1]})
        after = explorer.row(explorer.at)
        assert explorer.text == after.sentence != before.sentence
        assert written(after) != written(before)


def written(row):
    return [(slot, mark.style, mark.x.tolist(), mark.y.tolist()) for slot, mark in row.marks.items()]


@pytest.mark.parametrize("explore", ALL)
def test_without_a_kernel_the_first_picture_and_sentence_remain(explore):
    explorer = explore()
    first, metadata = explorer._repr_mimebundle_()
    assert set(first) == {"text/plain", "image/png", "application/vnd.jupyter.widget-view+json"}
    assert len(first["text/plain"].split()) > 10
    assert metadata["image/png"]["alt"] == first["text/plain"]
    assert Image.open(io.BytesIO(base64.b64decode(first["image/png"]))).size == (704, 396)
    explorer.at = [len(slider.values) - 1 for slider in explorer.sliders.values()]
    again, _ = explorer._repr_mimebundle_()
    assert again == first


def test_an_explorer_is_the_same_whatever_the_notebooks_style():
    from matplotlib import pyplot as plt

    plain = explorers.explore_activation()
    ground = plain.scene.figure.background()
    with plt.style.context({"font.size": 20, "axes.facecolor": "black"}):
        other = explorers.explore_activation()
        assert written(other.row([0, 0])) == written(plain.row([0, 0]))
        assert other._first == plain._first
        assert other.scene.figure.background() == plain.scene.figure.background() == ground


# Sliders -----------------------------------------------------------------------------------------------------------------
def test_a_slider_goes_from_end_to_end_and_its_table_holds_both_and_the_first():
    lr = slider("learning rate", 0.4, 0, 1.2, 0.01, every=7)
    assert lr.values[0] == 0
    assert lr.values[lr.start] == 0.4
    assert lr.values[-1] == 1.2
    assert len(lr.values) == 121
    assert lr.labels[29] == "0.29"
    assert {0, lr.start, 120} <= set(lr.table)
    assert set(np.diff(lr.table)) <= {5, 7, 3}
    assert lr.nearest(0.294) == 29
    with pytest.raises(ValueError, match=r"learning rate must lie between 0 and 1.2; got 1.3"):
        lr.nearest(1.3)
    with pytest.raises(ValueError, match="got nan"):
        lr.nearest(float("nan"))


def test_an_explorer_is_moved_from_python_and_refuses_what_is_not_there():
    explorer = explorers.explore_momentum()
    explorer.move(method="Nesterov", beta=0.5)
    assert explorer.values == {"method": "Nesterov", "product": 1.5, "beta": 0.5}
    assert explorer.text.startswith("Nesterov, beta = 0.50, lr * curvature = 1.50:")
    with pytest.raises(ValueError, match="no slider is called 'lr'; there are method, product, beta"):
        explorer.move(lr=1)
    with pytest.raises(ValueError, match="method must be one of"):
        explorer.move(method="Adam")
    for wrong in ([0, 0], [0, 0, 99], [0, -1, 0]):
        with pytest.raises(TraitError, match="at must hold a position of each of 3 sliders"):
            explorer.at = wrong
    assert explorer.values["beta"] == 0.5


# What the browser is sent ------------------------------------------------------------------------------------------------
def test_a_position_between_the_rows_is_sent_and_one_of_the_table_is_not(monkeypatch):
    explorer, sent = explorers.explore_momentum(), []
    monkeypatch.setattr(explorer, "send", lambda content, buffers=None: sent.append((content, buffers)))
    for position in explorer.sliders["beta"].table:
        explorer.at = [0, 75, position]
    assert not sent
    explorer.move(beta=0.91)
    explorer._handle_custom_msg({"missing": explorer.at}, [])  # a page that was opened later
    (content, (packed,)), again = sent
    assert again == (content, [packed])
    head, (row,) = unpack(packed)
    assert content == {"at": explorer.at} == {"at": head["at"]}
    assert written(row) == written(explorer.row(explorer.at))
    assert row.sentence == explorer.text
    assert head["pictures"] == []  # the browser has them from the table
    assert len(packed) < 3000


def test_without_its_table_an_explorer_has_one_row_and_is_sent_the_others(monkeypatch):
    monkeypatch.setattr(tables, "stored", lambda name: None)
    explorer, sent = explorers.explore_learning_rate(), []
    monkeypatch.setattr(explorer, "send", lambda content, buffers=None: sent.append(content))
    head, (row,) = unpack(explorer.table)
    assert [s["table"] for s in head["sliders"]] == [[s.start] for s in explorer.sliders.values()]
    assert row.sentence == explorer.text
    explorer.move(lr=0.5)
    assert sent == [{"at": explorer.at}]


# What a figure draws of any numbers --------------------------------------------------------------------------------------
@pytest.fixture(params=["linear", "log"])
def live(request):
    """A figure with a dot and a line over x from 0 to 4; the middle of its height is at 1, its ends at 0 and 2 or .1 and 10."""
    axes = Figure().subplots()
    axes.set(yscale=request.param, xlim=(0, 4), ylim=(0, 2) if request.param == "linear" else (0.1, 10))
    return LiveFigure(axes.figure, {"line": axes.plot([], [])[0], "dot": axes.plot([], [], "o")[0]})


def places(live):
    """The points of the line in parts of the axes, (n, 2)."""
    line = live.artists["line"]
    return line.axes.transAxes.inverted().transform(line.axes.transData.transform(line.get_xydata()))


ODD = [np.inf, -np.inf, np.nan, 1e300, -1e300, 5e-324, 0, -1]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("length", [0, 1, 3])
def test_any_numbers_are_drawn_and_near_the_axes(live, length):
    for values in itertools.product([*ODD, 1.5], repeat=length):
        for x, y in ((np.arange(length), values), (values, np.ones(length)), (values, values)):
            live.set({"line": (x, y), "dot": (x, y, plots.EXPLODES)})
            points = places(live)
            assert (np.abs(points[np.isfinite(points).all(1)] - 0.5) < 1.01).all()
    assert Image.open(io.BytesIO(live.png())).size == (640, 480)
    assert live.record("").sentence == ""


def test_what_lies_within_twice_the_axes_stays_as_it_is(live):
    x, y = np.linspace(-1.5, 5, 30), np.geomspace(0.1, 2.5, 30)
    live.set({"line": (x, y), "dot": (2, 1, plots.EXPLODES)})
    assert np.array_equal(live.artists["line"].get_xydata(), np.column_stack([x, y]))
    assert np.array_equal(live.artists["dot"].get_xydata(), [[2, 1]])
    assert live.artists["dot"].get_color() == plots.EXPLODES


def test_a_line_that_leaves_keeps_its_course_and_comes_back(live):
    far = 1e6 if live.artists["line"].axes.get_yscale() == "log" else 7  # three axes above the middle
    live.set({"line": ([0, 3, 4], [1, far, 1])})
    points = places(live)
    assert points[0] == pytest.approx([0, 0.5])
    assert points[1, 1] == pytest.approx(1.5, abs=0.01)  # half an axis above the top
    assert points[1, 0] == pytest.approx((points[1, 1] - 0.5) / 4, abs=1e-6)  # on the way to the far point
    assert np.isnan(points[2]).all()
    assert points[3, 0] == pytest.approx(1 - (points[3, 1] - 0.5) / 12, abs=1e-6)  # on the way back
    assert points[4] == pytest.approx([1, 0.5])


def test_infinity_is_far_up_and_nan_is_a_gap(live):
    live.set({"line": ([1, 2, 3, 4], [1, np.inf, np.nan, 1])})
    points = places(live)
    assert points[:, 0] == pytest.approx([0.25, 0.25, np.nan, 1], abs=0.01, nan_ok=True)
    assert points[1, 1] == pytest.approx(1.5, abs=0.01)
    assert points[-1] == pytest.approx([1, 0.5])


# What they compute ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("lr", "steep", "words"),
    [
        (0.0, 4.0, "stands still"),
        (0.2, 4.0, "shrinks without crossing"),
        (0.4, 4.0, "crosses the minimum at every step and shrinks"),
        (0.5, 4.0, "stays as large"),
        (0.6, 4.0, "crosses at every step and grows"),
    ],
)
def test_run_quadratic_names_the_motion(lr, steep, words):
    drawn = run_quadratic(lr, steep, 0.5)
    _, loss, colour = drawn.artists["loss"]
    assert words in drawn.sentence
    assert (loss[-1] > loss[0]) == (lr * steep > 2)
    assert colour == (plots.EXPLODES if lr * steep > 2 else plots.STABLE)


def test_a_loss_that_leaves_the_page_ends_in_a_cross():
    assert [len(part) for part in run_quadratic(0.4, 4, 0.5).artists["cross"]] == [0, 0]
    drawn = run_quadratic(0.6, 4, 0.5).artists
    (steps, loss, _), cross = drawn["loss"], drawn["cross"]
    assert 1e4 < loss[-1] < 1e5
    assert len(steps) < 41
    assert cross == (steps[-1], loss[-1])


@pytest.mark.parametrize("wrong", [(-1, 1, 1), (np.nan, 1, 1), (1, -1, 1), (1, 1, np.inf)])
def test_run_quadratic_refuses_bad_input(wrong):
    with pytest.raises(ValueError, match="must be finite"):
        run_quadratic(*wrong)


def test_momentum_runs_as_torch_does():
    import torch

    for method in METHODS:
        x = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.SGD([x], lr=0.3, momentum=0.8, nesterov=method == "Nesterov")
        theirs = []
        for _ in range(60):
            optimizer.zero_grad()
            (x**2 / 2).backward()
            optimizer.step()
            theirs.append(x.item())
        ours = run_momentum(method, 0.3, 0.8, 60)
        # torch's Nesterov reports the point ahead: the sizes differ, the rate does not.
        rate = abs(theirs[-1] / theirs[20]) ** (1 / 39)
        assert rate == pytest.approx(abs(ours[60] / ours[21]) ** (1 / 39), rel=0.03)
        if method == "heavy ball":
            assert np.allclose(ours[1:], theirs, rtol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_the_rate_is_the_spectral_radius_and_the_edge_is_where_it_is_one(method):
    for beta in (0.0, 0.3, 0.9):
        edge = momentum_edge(method, beta)
        assert momentum_rate(method, edge, beta) == pytest.approx(1, abs=1e-7)
        assert momentum_rate(method, edge * 1.01, beta) > 1 > momentum_rate(method, edge * 0.99, beta)
        for product in (0.1, 1.0, 3.0):
            shrink = 1 - product if method == "Nesterov" else 1
            t = shrink * (1 + beta) if method == "Nesterov" else 1 + beta - product
            companion = np.array([[t, -shrink * beta], [1, 0]])
            assert momentum_rate(method, product, beta) == pytest.approx(
                abs(np.linalg.eigvals(companion)).max(), abs=1e-7
            )


@pytest.mark.parametrize("method", METHODS)
def test_the_measured_rate_agrees_with_theory(method):
    product, beta = np.meshgrid(np.linspace(0.1, 4, 14), np.linspace(0.05, 0.95, 10))
    difference = np.abs(measured_rate(method, product, beta) - momentum_rate(method, product, beta))
    assert np.median(difference) < 5e-3


def test_the_edges():
    assert momentum_edge("heavy ball", 0.9) == pytest.approx(3.8)
    assert momentum_edge("Nesterov", 0.9) == pytest.approx(3.8 / 2.8)
    assert "beyond the edge 1.36" in run_momentum_point("Nesterov", 1.5, 0.9).sentence
    with pytest.raises(ValueError, match="method must be one of"):
        momentum_rate("Adam", 1.0, 0.9)


def test_the_cliffs_slope_is_that_of_autograd():
    import torch

    from gradutils.explorers.clipping import cliff_and_slope

    b = torch.linspace(-3, -1.5, 40, dtype=torch.float64, requires_grad=True)
    h = torch.full_like(b, 0.5)
    for _ in range(50):
        h = 5 * torch.sigmoid(h) + b
    loss = (torch.sigmoid(h) - 0.7) ** 2
    loss.sum().backward()
    ours, slope = cliff_and_slope(b.detach().numpy())
    assert np.allclose(ours, loss.detach().numpy(), rtol=1e-10)
    assert np.allclose(slope, b.grad.numpy(), rtol=1e-8)


@pytest.mark.parametrize(
    ("beta1", "beta2", "t"), [(0.9, 0.999, 301), (0.9, 0.95, 1), (0.0, 0.99, 40), (0.99, 0.8, 2)]
)
def test_the_steps_of_a_weight_whose_first_gradient_comes_late_are_those_of_torch(beta1, beta2, t):
    p = torch.zeros(1, dtype=torch.float64)
    optimizer = torch.optim.Adam([p], lr=1.0, betas=(beta1, beta2), eps=1e-30)
    taken = []
    for step in range(1, t + SHOWN):
        p.grad = torch.full_like(p, 2.5 if step >= t else 0.0)
        before = p.clone()
        optimizer.step()
        taken.append(float(before - p))
    steps, loudness = steps_awake(beta1, beta2, t)
    assert steps == pytest.approx(taken[t - 1 :], rel=1e-6)
    assert loudness[-1] >= 1 - 1e-9
    assert loudness[0] == pytest.approx(((1 - beta2**t) / (1 - beta2)) ** 0.5)


def test_a_long_silence_is_said_to_be_loud_and_an_update_clip_holds_the_steps():
    drawn = run_awake(0.9, 3, 3)
    assert drawn.sentence.startswith(
        "No gradient in the first 1000 steps, beta1 0.90, beta2 0.999: the first step is 2.52 rates long"
    )
    assert drawn.artists["steps"][2] == plots.EXPLODES
    assert drawn.artists["clipped"][1].max() <= 1 + 1e-9
    assert run_awake(0.9, 0.7, 0).artists["steps"][2] == plots.STABLE


def test_the_slope_of_a_softmax_is_1_minus_1_over_t_where_logits_are_equal_and_small_where_they_are_far_apart():
    from gradutils.explorers.softmax import run_softmax

    for doublings in (1, 4, 9):
        flat, sharp = (run_softmax(spread, doublings).artists for spread in (-1, 1.5))
        assert flat["dot"][1] == pytest.approx(1 - 2.0**-doublings, abs=0.01)
        assert sharp["dot"][1] < 0.13
        assert sharp["largest"][1][-3] > 0.6 > 0.01 > flat["largest"][1][-3]  # above 0.96
        assert (np.diff(flat["slope"][1]) < 1e-9).all()


def test_the_purple_weights_are_those_that_a_sum_in_bfloat16_leaves_alone():
    import torch

    from gradutils.explorers.precision import POWERS, run_precision

    drawn = run_precision(-3.5, 6, 7)
    x = torch.tensor(2.0**POWERS, dtype=torch.float32).bfloat16()
    stays = (x.float() + 10**-3.5).bfloat16() == x
    (kept, _), (lost, _) = drawn.artists["kept"], drawn.artists["lost"]
    assert len(kept) + len(lost) == 3 * len(POWERS)
    assert set(lost) == set(POWERS[stays.numpy()])
    assert "No network" not in drawn.sentence
    assert "the formula alone" in run_precision(-3.5, 12, 7).sentence
