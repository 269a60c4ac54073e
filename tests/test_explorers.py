"""Explorers: the pure functions at every corner of every slider, and what remains where no kernel lives."""

import io
import itertools

import numpy as np
import pytest
from PIL import Image

from gradutils import explorers
from gradutils.explorers.descent import (
    METHODS,
    measured_rate,
    momentum_edge,
    momentum_rate,
    run_momentum,
    run_momentum_point,
    run_quadratic,
)

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
]


def corners(slider):
    if hasattr(slider, "options"):
        return list(slider.options)
    return [slider.min, slider.value, slider.max]


@pytest.mark.parametrize("explore", ALL)
@pytest.mark.filterwarnings("error")
def test_every_corner_gives_a_picture_and_a_sentence(explore):
    explorer = explore()
    for values in itertools.product(*map(corners, explorer.sliders.values())):
        for slider, value in zip(explorer.sliders.values(), values, strict=True):
            slider.value = value
        picture = Image.open(io.BytesIO(explorer.image.value))
        assert picture.size == (704, 396)
        assert explorer.text.endswith(".")
        assert "nan" not in explorer.text
        assert explorer.text.split()[0] in explorer.sentence.value


@pytest.mark.parametrize("explore", ALL)
def test_a_slider_changes_picture_and_sentence(explore):
    explorer = explore()
    for slider in explorer.sliders.values():
        before = explorer.image.value, explorer.text
        slider.value = [value for value in corners(slider) if value != slider.value][-1]
        assert explorer.image.value != before[0]
        assert explorer.text != before[1]


@pytest.mark.parametrize("explore", ALL)
def test_without_a_kernel_the_first_picture_and_sentence_remain(explore):
    explorer = explore()
    first = explorer._repr_mimebundle_()
    assert set(first) >= {"text/plain", "image/png", "application/vnd.jupyter.widget-view+json"}
    assert len(first["text/plain"].split()) > 10
    list(explorer.sliders.values())[-1].value = 0.5
    again = explorer._repr_mimebundle_()
    assert again["image/png"] == first["image/png"]
    assert again["text/plain"] == first["text/plain"]


def test_an_explorer_is_the_same_whatever_the_notebooks_style():
    from matplotlib import pyplot as plt

    plain = explorers.explore_learning_rate().image.value
    with plt.style.context({"font.size": 20, "axes.facecolor": "black"}):
        assert explorers.explore_learning_rate().image.value == plain


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
    result = run_quadratic(lr, steep, 0.5)
    assert words in result.sentence
    assert (result.loss[-1] > result.loss[0]) == (lr * steep > 2)


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
