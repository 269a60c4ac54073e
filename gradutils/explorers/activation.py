"""Explorer of activations: where the signal lives on them, and what that does to a gradient."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from matplotlib.figure import Figure

from gradutils.explorers.live import Explorer, LiveFigure, Scene, choice, course_style, slider
from gradutils.meanfield import chi_1, q_trajectory
from gradutils.models import activation_layer, with_slope
from gradutils.plots import REFERENCE, SECOND, THEORY, colour_of_growth
from gradutils.propagation import draw

WIDTH, DEPTH, BATCH, SEEDS = 128, 10, 16, 4
NAMES = ("relu", "tanh", "sigmoid", "gelu")
REACH = 8.0
GRID = torch.linspace(-REACH, REACH, 161, dtype=torch.float64)
SCALES = torch.logspace(-1, 1.5, 41, dtype=torch.float64)


def _layer_q(activation: str, sigma_w: torch.Tensor) -> torch.Tensor:
    """Second moment of the pre-activations of layer DEPTH, for inputs of mean square 1."""
    return q_trajectory(activation, sigma_w, q0=sigma_w**2, depth=DEPTH - 1)[-1]


@cache
def _predicted_growth(activation: str) -> np.ndarray:
    """sqrt(chi_1) of layer DEPTH at every one of SCALES."""
    q = _layer_q(activation, SCALES)
    return torch.as_tensor(chi_1(activation, SCALES, q=q)).sqrt().numpy()


@dataclass(frozen=True)
class ActivationRun:
    """Layer DEPTH of random networks: its pre-activations, and the factor of a gradient that passes it."""

    density: np.ndarray  # (160,) of the pre-activations over the bins of GRID
    predicted: np.ndarray  # (161,) the Gaussian of mean-field theory
    slope: np.ndarray  # (161,) phi' over GRID
    sigma_w: float
    growth: float
    curve: np.ndarray  # (41,) predicted growth over SCALES
    sentence: str


def run_activation(activation: str, log_sigma_w: float) -> ActivationRun:
    """Four networks of 10 layers of width 128 at sigma_w = 10**log_sigma_w, each with 16 inputs of mean square 1."""
    sigma_w, phi = 10.0**log_sigma_w, activation_layer(activation)
    h, weights, *_ = draw(SEEDS, DEPTH, WIDTH, BATCH)
    for k in range(DEPTH):
        z = sigma_w * h @ weights[:, k].mT / WIDTH**0.5
        h, slope = with_slope(phi, z)
    growth = sigma_w * float(slope.square().mean().sqrt())
    q = float(_layer_q(activation, torch.tensor(sigma_w, dtype=torch.float64)))
    predicted = torch.exp(-GRID.square() / (2 * max(q, 1e-6))) / (2 * np.pi * max(q, 1e-6)) ** 0.5
    inside, edges = np.histogram(z.numpy(), bins=GRID.numpy())
    beyond = float((z.abs() > REACH).float().mean())
    sentence = (
        f"{activation}, sigma_w = {sigma_w:.2f}: in layer {DEPTH} the pre-activations have RMS {float(z.square().mean()) ** 0.5:.2g} "
        f"(predicted {q**0.5:.2g}), {beyond:.0%} of them beyond the page. A layer multiplies a gradient by {growth:.2f} "
        f"(predicted {float(chi_1(activation, sigma_w, q=q)) ** 0.5:.2f})."
    )
    density = inside / z.numel() / np.diff(edges)
    curve = _predicted_growth(activation)
    slopes = with_slope(phi, GRID)[1].numpy()
    return ActivationRun(density, predicted.numpy(), slopes, sigma_w, growth, curve, sentence)


@course_style()
def explore_activation() -> Explorer:
    """Where the pre-activations of a layer lie on the slope of its activation, and the gain that follows."""
    figure = Figure()
    left, right = figure.subplots(1, 2)
    centres = (GRID[1:] + GRID[:-1]).numpy() / 2
    (signal,), (theory,) = left.plot(centres, 0 * centres, lw=1.2), left.plot(GRID, 0 * GRID, **THEORY)
    (slope,) = left.plot(GRID, 0 * GRID, color=SECOND)
    left.set(xlim=(-REACH, REACH), ylim=(-0.15, 1.25), xlabel="z")
    left.set_title("Signal (blue) on the slope (orange)")
    right.axhline(1, color=REFERENCE, linewidth=0.8)
    (curve,), (dot,) = right.plot(SCALES, 0 * SCALES + 1, **THEORY), right.plot([1], [1], "o", markersize=8)
    right.set(xscale="log", yscale="log", xlim=(0.1, 32), ylim=(0.02, 30), xlabel="sigma_w")
    right.set_title("Growth of a gradient a layer")

    def update(result: ActivationRun) -> None:
        signal.set_ydata(result.density)
        theory.set_ydata(result.predicted)
        slope.set_ydata(result.slope)
        curve.set_ydata(np.clip(result.curve, 1e-3, 1e3))
        dot.set_data([result.sigma_w], [np.clip(result.growth, 0.021, 29)])
        dot.set_color(colour_of_growth(result.growth**20))  # what 20 such layers do

    sliders = {
        "activation": choice("activation", NAMES),
        "log_sigma_w": slider("log10 of sigma_w", 0.0, -1, 1.5, 0.05),
    }
    live = LiveFigure(figure, [signal, theory, slope, curve, dot])
    return Explorer(Scene(run_activation, update, live), sliders)
