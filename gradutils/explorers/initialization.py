"""Explorer of the phase diagram: scales of weights and biases, and what they do along the depth."""

from functools import cache

import numpy as np
import torch
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from gradutils.explorers.depth import relative_to_last
from gradutils.explorers.live import Drawn, Explorer, LiveFigure, Scene, course_style, slider
from gradutils.meanfield import chi_1, depth_scale, predicted_gradient_profile, q_trajectory
from gradutils.plots import GROWTH, REFERENCE, THEORY, colour_of_growth
from gradutils.propagation import gradient_profile

DEPTH, WIDTH = 30, 64
WEIGHTS, BIASES = np.linspace(0.5, 4, 29), np.linspace(0, 2, 17)


@cache
def _predicted_map() -> np.ndarray:
    """chi_1 of tanh deep in a network, over the grid, (17, 29)."""
    sigma_w, sigma_b = torch.tensor(WEIGHTS), torch.tensor(BIASES).unsqueeze(1)
    q = q_trajectory("tanh", sigma_w, sigma_b, depth=200)[-1]
    return chi_1("tanh", sigma_w, q=q).numpy()


def run_phase(sigma_w: float, sigma_b: float) -> Drawn:
    """A point of the phase diagram, and the gradients of four tanh networks drawn there, relative to the last layer.

    Weights N(0, sigma_w^2 / WIDTH), biases N(0, sigma_b^2).
    """
    profile = gradient_profile(DEPTH, WIDTH, "tanh", sigma_w, sigma_b=sigma_b, seeds=4, batch=4)
    delta = relative_to_last(profile.delta[0])
    predicted = predicted_gradient_profile("tanh", DEPTH, sigma_w, sigma_b).numpy()
    chi, reach = chi_1("tanh", sigma_w, sigma_b), 6 * depth_scale("tanh", sigma_w, sigma_b)
    phase = (
        "chaotic, gradients explode"
        if chi > 1.001
        else "ordered, gradients vanish"
        if chi < 0.999
        else "critical"
    )
    deep = f"about {reach:.0f} layers" if reach < 1000 else "more than a thousand layers"
    sentence = (
        f"sigma_w = {sigma_w:.2f}, sigma_b = {sigma_b:.2f}: chi_1 = {chi:.2f}, {phase}. Six depth scales: {deep}. "
        f"Over {DEPTH} layers the gradient changes by {delta[0]:.1e} (predicted {predicted[0]:.1e})."
    )
    back, colour = np.arange(DEPTH)[::-1], colour_of_growth(delta[0])
    artists = {
        "point": (sigma_w, sigma_b, colour),
        "delta": (back, delta, colour),
        "predicted": (back, predicted),
    }
    return Drawn(sentence, artists)


@course_style()
def explore_phase_diagram() -> Explorer:
    """A point on the phase diagram of tanh, and the profile of gradients that belongs to it."""
    figure = Figure()
    left, right = figure.subplots(1, 2)
    values = _predicted_map()
    left.pcolormesh(WEIGHTS, BIASES, values, norm=LogNorm(0.1, 10), cmap=GROWTH, rasterized=True)
    left.contour(WEIGHTS, BIASES, values, levels=[1], colors="black", linestyles="dotted")
    left.set(xlabel="sigma_w", ylabel="sigma_b")
    left.set_title("chi_1 (dotted: 1)")
    (point,) = left.plot([1], [1], "o", markersize=9, markeredgecolor="white")
    (delta,), (predicted,) = right.plot([], [], marker="o", markersize=3), right.plot([], [], **THEORY)
    right.axhline(1, color=REFERENCE, linewidth=0.8)
    right.set(yscale="log", xlim=(0, DEPTH), ylim=(1e-12, 1e12), xlabel="layers back from the output")
    right.set_title("delta (dotted: theory)")
    artists = {"point": point, "delta": delta, "predicted": predicted}
    sliders = {
        "sigma_w": slider("sigma_w", 1.0, WEIGHTS[0], WEIGHTS[-1], 0.05, every=2),
        "sigma_b": slider("sigma_b", 0.2, BIASES[0], BIASES[-1], 0.05, every=2),
    }
    return Explorer("phase_diagram", Scene(run_phase, LiveFigure(figure, artists)), sliders)
