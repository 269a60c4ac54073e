"""Explorer of activations: where the signal lives on them, and what that does to a gradient."""

from functools import cache

import numpy as np
import torch
from matplotlib.figure import Figure

from gradutils.explorers.live import Drawn, Explorer, LiveFigure, Scene, choice, course_style, slider
from gradutils.meanfield import chi_1, q_trajectory
from gradutils.models import activation_layer, with_slope
from gradutils.plots import REFERENCE, SECOND, THEORY, colour_of_growth
from gradutils.propagation import draw

WIDTH, DEPTH, BATCH, SEEDS = 128, 10, 16, 4
NAMES = ("relu", "tanh", "sigmoid", "gelu")
REACH = 8.0
GRID = torch.linspace(-REACH, REACH, 161, dtype=torch.float64)
LOG_SCALES = (-1, 1.5)
SCALES = torch.logspace(*LOG_SCALES, 41, dtype=torch.float64)
DOT = (0.021, 29)  # just inside the axis of growth, so that the dot is always seen


def _layer_q(activation: str, sigma_w: torch.Tensor) -> torch.Tensor:
    """Second moment of the pre-activations of layer DEPTH, for inputs of mean square 1."""
    return q_trajectory(activation, sigma_w, q0=sigma_w**2, depth=DEPTH - 1)[-1]


@cache
def _predicted_growth(activation: str) -> np.ndarray:
    """sqrt(chi_1) of layer DEPTH at every one of SCALES."""
    q = _layer_q(activation, SCALES)
    return torch.as_tensor(chi_1(activation, SCALES, q=q)).sqrt().numpy()


def run_activation(activation: str, log_sigma_w: float) -> Drawn:
    """Layer DEPTH of random networks with inputs of mean square 1: its pre-activations, and what it does to a gradient."""
    sigma_w, phi = 10.0**log_sigma_w, activation_layer(activation)
    h, weights, *_ = draw(SEEDS, DEPTH, WIDTH, BATCH)
    for k in range(DEPTH):
        z = sigma_w * h @ weights[:, k].mT / WIDTH**0.5
        h, slope = with_slope(phi, z)
    growth = sigma_w * float(slope.square().mean().sqrt())
    q = float(_layer_q(activation, torch.tensor(sigma_w, dtype=torch.float64)))
    variance = max(q, 1e-6)
    gaussian = torch.exp(-GRID.square() / (2 * variance)) / (2 * np.pi * variance) ** 0.5
    inside, edges = np.histogram(z.numpy(), bins=GRID.numpy())
    beyond = float((z.abs() > REACH).float().mean())
    sentence = (
        f"{activation}, sigma_w = {sigma_w:.2f}: in layer {DEPTH} the pre-activations have RMS {float(z.square().mean()) ** 0.5:.2g} "
        f"(predicted {q**0.5:.2g}), {beyond:.0%} of them beyond the page. A layer multiplies a gradient by {growth:.2f} "
        f"(predicted {float(chi_1(activation, sigma_w, q=q)) ** 0.5:.2f})."
    )
    artists = {
        "signal": ((edges[1:] + edges[:-1]) / 2, inside / z.numel() / np.diff(edges)),
        "gaussian": (edges, gaussian.numpy()),
        "slope": (edges, with_slope(phi, GRID)[1].numpy()),
        "growth": (SCALES.numpy(), _predicted_growth(activation)),
        "dot": (sigma_w, np.clip(growth, *DOT), colour_of_growth(growth**20)),  # what 20 such layers do
    }
    return Drawn(sentence, artists)


@course_style()
def explore_activation() -> Explorer:
    """Where the pre-activations of a layer lie on the slope of its activation, and the gain that follows."""
    figure = Figure()
    left, right = figure.subplots(1, 2)
    # What moves stands somewhere at first, for the palette to have its colours.
    (signal,), (gaussian,) = left.plot(GRID, 0 * GRID, linewidth=1.2), left.plot(GRID, 0 * GRID, **THEORY)
    (slope,) = left.plot(GRID, 0 * GRID, color=SECOND)
    left.set(xlim=(-REACH, REACH), ylim=(-0.15, 1.25), xlabel="z")
    left.set_title("Signal (blue) on the slope (orange)")
    right.axhline(1, color=REFERENCE, linewidth=0.8)
    (growth,), (dot,) = right.plot(SCALES, 0 * SCALES + 1, **THEORY), right.plot([1], [1], "o", markersize=8)
    right.set(xscale="log", yscale="log", xlim=(0.1, 32), ylim=(0.02, 30), xlabel="sigma_w")
    right.set_title("Growth of a gradient per layer")
    artists = {"signal": signal, "gaussian": gaussian, "slope": slope, "growth": growth, "dot": dot}
    sliders = {
        "activation": choice("activation", NAMES, "tanh"),
        "log_sigma_w": slider("log10 of sigma_w", 0.6, *LOG_SCALES, 0.05),
    }
    return Explorer("activation", Scene(run_activation, LiveFigure(figure, artists)), sliders)
