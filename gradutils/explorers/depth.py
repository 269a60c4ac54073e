"""Explorers of depth: what a chain of layers, or of steps through time, does to a gradient."""

from functools import cache

import numpy as np
import torch
from matplotlib.figure import Figure

from gradutils.explorers.live import Drawn, Explorer, LiveFigure, Scene, choice, course_style, slider
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


def run_jacobian(activation: str, weights: str, sigma_w: float, depth: float) -> Drawn:
    """The Jacobian of ``depth`` layers, for one input of mean square 1; weights "Gaussian" or "orthogonal".

    A random change grows by the root mean square of the singular values, by theory by the square root of the product of
    chi_1 along the trajectory of the signal.
    """
    (h, W), phi, depth = _weights(weights), activation_layer(activation), int(depth)
    jacobian, growth = torch.eye(WIDTH, dtype=torch.float64), [1.0]
    for k in range(depth):
        h, slope = with_slope(phi, sigma_w * h @ W[k].T)
        jacobian = slope.T * (sigma_w * W[k] @ jacobian)
        growth.append(float(jacobian.norm()) / WIDTH**0.5)
    q = q_trajectory(activation, sigma_w, q0=sigma_w**2, depth=depth)[:-1]
    predicted = torch.cat([torch.ones(1), torch.as_tensor(chi_1(activation, sigma_w, q=q)).cumprod(0).sqrt()])
    singular = torch.linalg.svdvals(jacobian).numpy()
    singular[singular < WIDTH * np.finfo(float).eps * singular[0]] = 0  # below it is rounding alone
    middle = f"{singular[WIDTH // 2]:.1e}" if singular[WIDTH // 2] else "no more than rounding makes of 0"
    sentence = (
        f"{depth} layers of {WIDTH} {activation} units, {weights} weights, sigma_w = {sigma_w:.2f}: a random change of the "
        f"input grows by {growth[-1]:.1e} (predicted {float(predicted[-1]):.1e}), the most stretched one by {singular[0]:.1e}, "
        f"the middle one by {middle}."
    )
    layers, colour = np.arange(depth + 1), colour_of_growth(growth[-1])
    artists = {
        "growth": (layers, growth, colour),
        "singular": (np.arange(WIDTH), singular, colour),
        "predicted": (layers, predicted.numpy()),
    }
    return Drawn(sentence, artists)


@course_style()
def explore_jacobian() -> Explorer:
    """How a chain of layers stretches: layer by layer for a random change, and all singular values of the whole chain."""
    figure = Figure()
    left, right = figure.subplots(1, 2, sharey=True)
    growth, singular = (axes.plot([], [], marker="o", markersize=3)[0] for axes in (left, right))
    (predicted,) = left.plot([], [], **THEORY)
    left.set(yscale="log", xlim=(0, DEEPEST), ylim=(1e-9, 1e9), xlabel="layers", ylabel="stretched by")
    left.set_title("A random change (dotted: theory)")
    right.set(xlim=(0, WIDTH), xlabel="singular value, from the largest")
    right.set_title("Every direction")
    for axes in (left, right):
        axes.axhline(1, color=REFERENCE, linewidth=0.8)
    artists = {"growth": growth, "singular": singular, "predicted": predicted}
    sliders = {
        "activation": choice("activation", ("linear", "relu", "tanh")),
        "weights": choice("weights", WEIGHTS),
        "sigma_w": slider("sigma_w", 1.0, 0.2, 4, 0.05, every=3),
        "depth": slider("layers", 20, 1, DEEPEST, 1, ".0f", every=4),
    }
    return Explorer("jacobian", Scene(run_jacobian, LiveFigure(figure, artists)), sliders)


# Depth -------------------------------------------------------------------------------------------------------------------
def relative_to_last(sizes: torch.Tensor) -> np.ndarray:  # (seeds, depth) -> (depth,)
    """Sizes by layer as multiples of the last layer's: their median over the seeds."""
    return (sizes / sizes[:, -1:].clamp(min=1e-38)).median(0).values.double().numpy()


def run_depth(activation: str, sigma_w: float, depth: float) -> Drawn:
    """Sizes of dL/dz and dL/dW in four networks, relative to the last layer, and the prediction of delta."""
    depth = int(depth)
    profile = gradient_profile(depth, WIDTH, activation, sigma_w, seeds=4, batch=8)
    delta, weight_grad = relative_to_last(profile.delta[0]), relative_to_last(profile.weight_grad[0])
    predicted = predicted_gradient_profile(activation, depth, sigma_w).numpy()
    sentence = (
        f"{depth} layers of {activation}, sigma_w = {sigma_w:.2f}: from the last layer to the first delta changes by a factor "
        f"{delta[0]:.1e} (predicted {predicted[0]:.1e}), the weight gradient by {weight_grad[0]:.1e}."
    )
    back = np.arange(depth)[::-1]
    artists = {
        "delta": (back, delta, colour_of_growth(delta[0])),
        "weight_grad": (back, weight_grad, colour_of_growth(weight_grad[0])),
        "predicted": (back, predicted),
    }
    return Drawn(sentence, artists)


@course_style()
def explore_depth() -> Explorer:
    """Depth, scale and activation: what delta does on its way back, and what the plot of weight gradients shows of it."""
    figure = Figure()
    left, right = figure.subplots(1, 2, sharey=True)
    delta, weight_grad = (axes.plot([], [], marker="o", markersize=3)[0] for axes in (left, right))
    (predicted,) = left.plot([], [], **THEORY)
    left.set(ylabel="size, relative to the last layer")
    left.set_title("delta (dotted: theory)")
    right.set_title("weight gradient")
    for axes in (left, right):
        axes.set(yscale="log", xlim=(0, DEEPEST), ylim=(1e-12, 1e12), xlabel="layers back from the output")
        axes.axhline(1, color=REFERENCE, linewidth=0.8)
    artists = {"delta": delta, "weight_grad": weight_grad, "predicted": predicted}
    sliders = {
        "activation": choice("activation", ("relu", "tanh", "sigmoid", "gelu")),
        "sigma_w": slider("sigma_w", 2.0, 0.2, 4, 0.05, every=2),
        "depth": slider("layers", 20, 2, DEEPEST, 1, ".0f", every=4),
    }
    return Explorer("depth", Scene(run_depth, LiveFigure(figure, artists)), sliders)


# Through time ------------------------------------------------------------------------------------------------------------
MOMENTS, BEFORE = 100, 30
UNITS = (STABLE, SECOND, REFERENCE)  # the colours of those shown


@cache
def _recurrent() -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """W (n, n) at gain 1, a start and inputs (1 + BEFORE + MOMENTS, n), dL/dh (n,) of length 1, the spectral radius of W."""
    random = np.random.default_rng(0)
    W = random.normal(size=(WIDTH, WIDTH)) / WIDTH**0.5
    inputs, dh = random.normal(size=(1 + BEFORE + MOMENTS, WIDTH)), random.normal(size=WIDTH)
    return W, inputs, dh / np.linalg.norm(dh), float(np.abs(np.linalg.eigvals(W)).max())


def run_recurrent(activation: str, gain: float, drive: float) -> Drawn:
    """A gradient on its way back through time, and the states of three units that it passes; "linear" or "tanh".

    Weights N(0, gain^2 / WIDTH), inputs N(0, drive^2) at every moment.
    """
    W, inputs, dh, radius = _recurrent()
    radius, h, states = gain * radius, inputs[0], []
    for k in range(1, BEFORE + MOMENTS + 1):
        z = gain * (W @ h) + drive * inputs[k]
        # A linear network may grow without bound; what the gradient meets does not depend on its states.
        h = np.tanh(z) if activation == "tanh" else z / max(1.0, np.abs(z).max())
        states.append(h)
    states, sizes = np.array(states[BEFORE - 1 :]), [1.0]
    for h in states[:0:-1]:
        dh = gain * ((dh * (1 - h**2) if activation == "tanh" else dh) @ W)
        sizes.append(float(np.linalg.norm(dh)))
    moments, rate = np.arange(MOMENTS + 1), np.log(max(sizes[-1], 1e-300)) / MOMENTS
    by_radius = radius**moments
    sentence = (
        f"{activation}, gain {gain:.2f}, spectral radius {radius:.2f}, input {drive:.2f}: over {MOMENTS} steps back the gradient "
        f"changes by {sizes[-1]:.0e}, a factor {np.exp(rate):.3f} a step (the radius alone says {by_radius[-1]:.0e})."
    )
    artists = {"size": (moments, sizes, colour_of_growth(sizes[-1])), "by_radius": (moments, by_radius)}
    return Drawn(sentence, artists | {f"unit {k}": (moments, states[:, k]) for k in range(len(UNITS))})


@course_style()
def explore_recurrent() -> Explorer:
    """A gradient back through 100 steps of a recurrent network: what the spectral radius says, and what happens."""
    figure = Figure()
    left, right = figure.subplots(1, 2, width_ratios=[3, 2])
    (size,), (by_radius,) = left.plot([], []), left.plot([], [], color=REFERENCE, linestyle="--")
    left.axhline(1, color=REFERENCE, linewidth=0.8)
    left.set(yscale="log", xlim=(0, MOMENTS), ylim=(1e-20, 1e20), xlabel="steps back", ylabel="size of dL/dh")
    left.set_title("Dashed: the spectral radius alone")
    artists = {"size": size, "by_radius": by_radius}
    for k, colour in enumerate(UNITS):
        (artists[f"unit {k}"],) = right.plot([], [], color=colour, linewidth=1)
    right.set(xlim=(0, MOMENTS), ylim=(-1.05, 1.05), xlabel="time", title="Three units")
    sliders = {
        "activation": choice("activation", ("tanh", "linear")),
        "gain": slider("gain", 2.0, 0.5, 4, 0.05, every=3),
        "drive": slider("size of the input", 0.0, 0, 4, 0.1, ".1f", every=4),
    }
    return Explorer("recurrent", Scene(run_recurrent, LiveFigure(figure, artists)), sliders)
