"""Explorers of depth: what a chain of layers, or of steps through time, does to a gradient."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from matplotlib.figure import Figure

from gradutils.explorers.live import Explorer, LiveFigure, Scene, choice, course_style, slider
from gradutils.meanfield import chi_1, predicted_gradient_profile, q_trajectory
from gradutils.models import activation_layer, with_slope
from gradutils.plots import REFERENCE, SECOND, STABLE, THEORY, colour_of_growth
from gradutils.propagation import draw, gradient_profile, rotations

# Jacobians ---------------------------------------------------------------------------------------------------------------
WIDTH, DEEPEST = 64, 40
WEIGHTS = ("Gaussian", "orthogonal")


@cache
def _weights(kind: str) -> tuple[torch.Tensor, torch.Tensor]:
    """One input (1, n) and the weights (DEEPEST, n, n) of one network at sigma_w = 1, float64."""
    x, weights, *_ = draw(1, DEEPEST, WIDTH, 1, torch.float64)
    return x[0], rotations(weights[0]) if kind == "orthogonal" else weights[0] / WIDTH**0.5


@dataclass(frozen=True)
class JacobianRun:
    """What a chain of layers does to a small change of its input."""

    growth: np.ndarray  # (depth + 1,) root mean square of the singular values after 0, 1, … layers
    predicted: np.ndarray  # (depth + 1,)
    singular: np.ndarray  # (WIDTH,) of the whole chain, largest first
    sentence: str


def run_jacobian(activation: str, weights: str, sigma_w: float, depth: int) -> JacobianRun:
    """The Jacobian of ``depth`` layers of width 64, for one input of mean square 1; weights "Gaussian" or "orthogonal".

    The prediction is the square root of the product of chi_1 along the trajectory of the signal.
    """
    (h, W), phi = _weights(weights), activation_layer(activation)
    jacobian, growth = torch.eye(WIDTH, dtype=torch.float64), [1.0]
    for k in range(int(depth)):
        h, slope = with_slope(phi, sigma_w * h @ W[k].T)
        jacobian = slope.T * (sigma_w * W[k] @ jacobian)
        growth.append(float(jacobian.norm()) / WIDTH**0.5)
    q = q_trajectory(activation, sigma_w, q0=sigma_w**2, depth=int(depth))[:-1]
    predicted = torch.cat([torch.ones(1), torch.as_tensor(chi_1(activation, sigma_w, q=q)).cumprod(0).sqrt()])
    singular = torch.linalg.svdvals(jacobian).numpy()
    sentence = (
        f"{int(depth)} layers of {WIDTH} {activation} units, {weights} weights, sigma_w = {sigma_w:.2f}: a random change of the "
        f"input grows by {growth[-1]:.1e} (predicted {float(predicted[-1]):.1e}), the most stretched one by {singular[0]:.1e}, "
        f"the middle one by {singular[WIDTH // 2]:.1e}."
    )
    return JacobianRun(np.array(growth), predicted.numpy(), singular, sentence)


@course_style()
def explore_jacobian() -> Explorer:
    """How a chain of layers stretches: layer by layer for a random change, and all singular values of the whole chain."""
    figure = Figure()
    left, right = figure.subplots(1, 2, sharey=True)
    lines = [axes.plot([], [], marker="o", markersize=3)[0] for axes in (left, right)]
    (predicted,) = left.plot([], [], **THEORY)
    left.set(yscale="log", xlim=(0, DEEPEST), ylim=(1e-9, 1e9), xlabel="layers", ylabel="stretched by")
    left.set_title("A random change (dotted: theory)")
    right.set(xlim=(0, WIDTH), xlabel="singular value, from the largest")
    right.set_title("Every direction")
    for axes in (left, right):
        axes.axhline(1, color=REFERENCE, linewidth=0.8)

    def update(result: JacobianRun) -> None:
        colour = colour_of_growth(result.growth[-1])
        for line, values in zip(lines, (result.growth, result.singular), strict=True):
            line.set_data(np.arange(len(values)), np.clip(values, 1e-15, 1e15))
            line.set_color(colour)
        predicted.set_data(np.arange(len(result.predicted)), np.clip(result.predicted, 1e-15, 1e15))

    sliders = {
        "activation": choice("activation", ("linear", "relu", "tanh")),
        "weights": choice("weights", WEIGHTS),
        "sigma_w": slider("sigma_w", 1.0, 0.2, 4, 0.05),
        "depth": slider("layers", 20, 1, DEEPEST, 1, ".0f"),
    }
    return Explorer(Scene(run_jacobian, update, LiveFigure(figure, [*lines, predicted])), sliders)


# Depth -------------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class DepthRun:
    """Gradients in each layer of a network, first layer first, relative to the last."""

    delta: np.ndarray  # (depth,)
    weight_grad: np.ndarray  # (depth,)
    predicted: np.ndarray  # (depth,) of delta
    sentence: str


def run_depth(activation: str, sigma_w: float, depth: int) -> DepthRun:
    """Sizes of dL/dz and dL/dW in networks of width 64: medians over four seeds, and the prediction of delta."""
    profile = gradient_profile(int(depth), WIDTH, activation, sigma_w, seeds=4, batch=8)
    delta, weight_grad = (
        (values[0] / values[0, :, -1:].clamp(min=1e-38)).median(0).values.double().numpy()
        for values in (profile.delta, profile.weight_grad)
    )
    predicted = predicted_gradient_profile(activation, int(depth), sigma_w).numpy()
    sentence = (
        f"{int(depth)} layers of {activation}, sigma_w = {sigma_w:.2f}: from the last layer to the first delta changes by a factor "
        f"{delta[0]:.1e} (predicted {predicted[0]:.1e}), the weight gradient by {weight_grad[0]:.1e}."
    )
    return DepthRun(delta, weight_grad, predicted, sentence)


@course_style()
def explore_depth() -> Explorer:
    """Depth, scale and activation: what delta does on its way back, and what the plot of weight gradients shows of it."""
    figure = Figure()
    left, right = figure.subplots(1, 2, sharey=True)
    lines = [axes.plot([], [], marker="o", markersize=3)[0] for axes in (left, right)]
    (predicted,) = left.plot([], [], **THEORY)
    left.set(ylabel="size, relative to the last layer")
    left.set_title("delta (dotted: theory)")
    right.set_title("weight gradient")
    for axes in (left, right):
        axes.set(yscale="log", xlim=(0, DEEPEST), ylim=(1e-12, 1e12), xlabel="layers back from the output")
        axes.axhline(1, color=REFERENCE, linewidth=0.8)

    def update(result: DepthRun) -> None:
        back = np.arange(len(result.delta))[::-1]
        for line, values in zip(lines, (result.delta, result.weight_grad), strict=True):
            line.set_data(back, np.clip(values, 1e-18, 1e18))
            line.set_color(colour_of_growth(values[0]))
        predicted.set_data(back, np.clip(result.predicted, 1e-18, 1e18))

    sliders = {
        "activation": choice("activation", ("relu", "tanh", "sigmoid", "gelu")),
        "sigma_w": slider("sigma_w", 2.0, 0.2, 4, 0.05),
        "depth": slider("layers", 20, 2, DEEPEST, 1, ".0f"),
    }
    return Explorer(Scene(run_depth, update, LiveFigure(figure, [*lines, predicted])), sliders)


# Through time ------------------------------------------------------------------------------------------------------------
MOMENTS, BEFORE = 100, 30


@cache
def _recurrent() -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """W (n, n) at gain 1, a start and inputs (1 + BEFORE + MOMENTS, n), dL/dh (n,) of length 1, the spectral radius of W."""
    random = np.random.default_rng(0)
    W = random.normal(size=(WIDTH, WIDTH)) / WIDTH**0.5
    inputs, dh = random.normal(size=(1 + BEFORE + MOMENTS, WIDTH)), random.normal(size=WIDTH)
    return W, inputs, dh / np.linalg.norm(dh), float(np.abs(np.linalg.eigvals(W)).max())


@dataclass(frozen=True)
class RecurrentRun:
    """A gradient on its way back through time, and the states that it passes."""

    size: np.ndarray  # (MOMENTS + 1,) of dL/dh, from the last moment back
    by_radius: np.ndarray  # (MOMENTS + 1,) what the spectral radius alone says
    states: np.ndarray  # (MOMENTS + 1, 3) three units, in order of time
    sentence: str


def run_recurrent(activation: str, gain: float, drive: float) -> RecurrentRun:
    """64 recurrent units, weights N(0, gain^2 / 64), inputs N(0, drive^2) at every moment; "linear" or "tanh"."""
    W, inputs, dh, radius = _recurrent()
    h, states = inputs[0], []
    for k in range(1, BEFORE + MOMENTS + 1):
        z = gain * (W @ h) + drive * inputs[k]
        # A linear network may grow without bound; what the gradient meets does not depend on its states.
        h = np.tanh(z) if activation == "tanh" else z / max(1.0, np.abs(z).max())
        states.append(h)
    states, sizes = np.array(states[BEFORE - 1 :]), [1.0]
    for h in states[:0:-1]:
        dh = gain * ((dh * (1 - h**2) if activation == "tanh" else dh) @ W)
        sizes.append(float(np.linalg.norm(dh)))
    by_radius, rate = (gain * radius) ** np.arange(MOMENTS + 1), np.log(max(sizes[-1], 1e-300)) / MOMENTS
    sentence = (
        f"{activation}, gain {gain:.2f}, spectral radius {gain * radius:.2f}, input {drive:.2f}: over {MOMENTS} steps back the gradient "
        f"changes by {sizes[-1]:.0e}, a factor {np.exp(rate):.3f} a step (the radius alone says {by_radius[-1]:.0e})."
    )
    return RecurrentRun(np.array(sizes), by_radius, states[:, :3], sentence)


@course_style()
def explore_recurrent() -> Explorer:
    """A gradient back through 100 steps of a recurrent network: what the spectral radius says, and what happens."""
    figure = Figure()
    left, right = figure.subplots(1, 2, width_ratios=[3, 2])
    (line,), (radius,) = left.plot([], []), left.plot([], [], color=REFERENCE, linestyle="--")
    left.axhline(1, color=REFERENCE, linewidth=0.8)
    left.set(yscale="log", xlim=(0, MOMENTS), ylim=(1e-20, 1e20), xlabel="steps back", ylabel="size of dL/dh")
    left.set_title("Dashed: the spectral radius alone")
    units = [right.plot([], [], color=colour, linewidth=1)[0] for colour in (STABLE, SECOND, REFERENCE)]
    right.set(xlim=(0, MOMENTS), ylim=(-1.05, 1.05), xlabel="time", title="Three units")

    def update(result: RecurrentRun) -> None:
        line.set_data(np.arange(MOMENTS + 1), np.clip(result.size, 1e-30, 1e30))
        line.set_color(colour_of_growth(result.size[-1]))
        radius.set_data(np.arange(MOMENTS + 1), np.clip(result.by_radius, 1e-30, 1e30))
        for unit, values in zip(units, result.states.T, strict=True):
            unit.set_data(np.arange(MOMENTS + 1), values)

    sliders = {
        "activation": choice("activation", ("linear", "tanh")),
        "gain": slider("gain", 1.1, 0.5, 4, 0.05),
        "drive": slider("size of the input", 0.0, 0, 4, 0.1, ".1f"),
    }
    return Explorer(Scene(run_recurrent, update, LiveFigure(figure, [line, radius, *units])), sliders)
