"""Explorer of the phase diagram: scales of weights and biases, and what they do along the depth."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from gradutils.explorers.live import Explorer, LiveFigure, Scene, course_style, slider
from gradutils.meanfield import chi_1, depth_scale, predicted_gradient_profile, q_trajectory
from gradutils.plots import REFERENCE, THEORY, colour_of_growth
from gradutils.propagation import gradient_profile

DEPTH, WIDTH = 30, 64
WEIGHTS, BIASES = np.linspace(0.5, 4, 29), np.linspace(0, 2, 17)


@cache
def _predicted_map() -> np.ndarray:
    """chi_1 of tanh deep in a network, over the grid, (17, 29)."""
    sigma_w, sigma_b = torch.tensor(WEIGHTS), torch.tensor(BIASES).unsqueeze(1)
    q = q_trajectory("tanh", sigma_w, sigma_b, depth=200)[-1]
    return chi_1("tanh", sigma_w, q=q).numpy()


@dataclass(frozen=True)
class PhaseRun:
    """One point of the phase diagram and the gradients of networks drawn there."""

    sigma_w: float
    sigma_b: float
    delta: np.ndarray  # (DEPTH,) RMS by layer relative to the last, first layer first; median over four seeds
    predicted: np.ndarray  # (DEPTH,)
    sentence: str


def run_phase(sigma_w: float, sigma_b: float) -> PhaseRun:
    """Gradients in tanh networks of 30 layers of width 64, weights N(0, sigma_w^2 / 64), biases N(0, sigma_b^2)."""
    profile = gradient_profile(DEPTH, WIDTH, "tanh", sigma_w, sigma_b=sigma_b, seeds=4, batch=4)
    delta = (profile.delta[0] / profile.delta[0, :, -1:].clamp(min=1e-38)).median(0).values.double().numpy()
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
    return PhaseRun(sigma_w, sigma_b, delta, predicted, sentence)


@course_style()
def explore_phase_diagram() -> Explorer:
    """A point on the phase diagram of tanh, and the profile of gradients that belongs to it."""
    figure = Figure()
    left, right = figure.subplots(1, 2)
    values = _predicted_map()
    left.pcolormesh(WEIGHTS, BIASES, values, norm=LogNorm(0.1, 10), cmap="PuOr_r", rasterized=True)
    left.contour(WEIGHTS, BIASES, values, levels=[1], colors="black", linestyles="dotted")
    left.set(xlabel="sigma_w", ylabel="sigma_b")
    left.set_title("chi_1 (dotted: 1)")
    (dot,) = left.plot([1], [1], "o", markersize=9, markeredgecolor="white")
    (line,), (theory,) = right.plot([], [], marker="o", markersize=3), right.plot([], [], **THEORY)
    right.axhline(1, color=REFERENCE, linewidth=0.8)
    right.set(yscale="log", xlim=(0, DEPTH), ylim=(1e-12, 1e12), xlabel="layers back from the output")
    right.set_title("delta (dotted: theory)")

    def update(result: PhaseRun) -> None:
        back, colour = np.arange(DEPTH)[::-1], colour_of_growth(result.delta[0])
        dot.set_data([result.sigma_w], [result.sigma_b])
        dot.set_color(colour)
        line.set_data(back, np.clip(result.delta, 1e-18, 1e18))
        line.set_color(colour)
        theory.set_data(back, np.clip(result.predicted, 1e-18, 1e18))

    sliders = {
        "sigma_w": slider("sigma_w", 1.0, 0.5, 4, 0.05),
        "sigma_b": slider("sigma_b", 0.2, 0, 2, 0.05),
    }
    return Explorer(Scene(run_phase, update, LiveFigure(figure, [dot, line, theory])), sliders)
