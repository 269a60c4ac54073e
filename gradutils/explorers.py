"""Sliders around pure functions. Every explorer repeats, movable, a figure that its lesson has shown at rest."""

from dataclasses import dataclass
from functools import cache

import ipywidgets as widgets
import numpy as np
import torch
from matplotlib.figure import Figure

from gradutils.live import Explorer, LiveFigure, Scene, course_style, slider
from gradutils.meanfield import chi_1, predicted_gradient_profile, q_trajectory
from gradutils.models import activation_layer, with_slope
from gradutils.plots import EXPLODES, REFERENCE, SECOND, STABLE, THEORY, VANISHES
from gradutils.propagation import draw, gradient_profile, rotations

STEPS = 40


def _choice(label: str, options) -> widgets.ToggleButtons:
    return widgets.ToggleButtons(options=options, description=label, style={"description_width": "11em"})


def _colour(growth: float) -> str:
    return EXPLODES if growth > 10 else VANISHES if growth < 0.1 else STABLE


# The learning rate -------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class QuadraticRun:
    """Gradient descent on a valley with two curvatures."""

    curvatures: np.ndarray  # (2,) steep, flat
    products: np.ndarray  # (2,) learning rate times curvature
    path: np.ndarray  # (STEPS + 1, 2)
    loss: np.ndarray  # (STEPS + 1,)
    sentence: str


def run_quadratic(lr: float, steep: float, flat: float) -> QuadraticRun:
    """Gradient descent from (1, 1) on steep * x1**2 / 2 + flat * x2**2 / 2.

    Raises ValueError for a curvature or a learning rate that is negative or not finite.
    """
    curvatures = np.array([steep, flat], dtype=float)
    if not (np.isfinite([lr, steep, flat]).all() and lr >= 0 and (curvatures >= 0).all()):
        raise ValueError(f"lr, steep and flat must be finite and at least 0; got {lr}, {steep}, {flat}")
    products = lr * curvatures
    path = (1 - products) ** np.arange(STEPS + 1)[:, None]
    loss = (curvatures * path**2).sum(1) / 2
    steep_way, flat_way = map(_motion, products)
    size = f"After {STEPS} steps the loss is {loss[-1]:.1g}, from {loss[0]:.2g}."
    sentence = (
        f"lr * curvature is {products[0]:.2f} in the steep direction ({steep_way}) "
        f"and {products[1]:.2f} in the flat one ({flat_way}). {size}"
    )
    return QuadraticRun(curvatures, products, path, loss, sentence)


def _motion(product: float) -> str:
    if product == 0:
        return "stands still"
    if product <= 1:
        return "shrinks without crossing the minimum"
    if product < 2:
        return "crosses the minimum at every step and shrinks"
    return "crosses at every step and stays as large" if product == 2 else "crosses at every step and grows"


@course_style()
def explore_learning_rate() -> Explorer:
    """One learning rate, two curvatures: the path, the loss, and where lr * curvature stands against 1 and 2."""
    figure = Figure()
    axes = figure.subplot_mosaic([["plane", "curve"], ["plane", "ruler"]], height_ratios=[3, 1.1])
    plane, curve, ruler = axes["plane"], axes["curve"], axes["ruler"]
    angle = np.linspace(0, 2 * np.pi, 90)
    ellipses = [plane.plot([], [], color=REFERENCE, linewidth=0.7)[0] for _ in range(5)]
    (path,) = plane.plot([], [], marker="o", markersize=3, linewidth=1)
    plane.set(
        xlim=(-1.6, 1.6), ylim=(-1.6, 1.6), xlabel="$x_1$ (steep)", ylabel="$x_2$ (flat)", title="The path"
    )
    (loss,) = curve.plot([], [])
    (cross,) = curve.plot([], [], "x", color=EXPLODES, markersize=9, markeredgewidth=2.5)
    curve.set(yscale="log", xlim=(0, STEPS), ylim=(1e-9, 1e5), xlabel="step", title="The loss")
    for low, high, colour in ((0, 1, STABLE), (1, 2, SECOND), (2, 4, EXPLODES)):
        ruler.axvspan(low, high, color=colour, alpha=0.3, linewidth=0)
    (marks,) = ruler.plot([], [], "v", color="black", markersize=8)
    names = [
        ruler.text(0, y, text, fontsize=8, ha="center", va="center")
        for text, y in (("steep", 0.78), ("flat", 0.18))
    ]
    ruler.set(xlim=(0, 4), ylim=(0, 1), yticks=[], xlabel="lr * curvature")

    def update(result: QuadraticRun) -> None:
        for k, ellipse in enumerate(ellipses):
            radius = np.minimum(
                np.sqrt(0.5**k * result.curvatures.max() * 1.6 / np.maximum(result.curvatures, 1e-9)), 50
            )
            ellipse.set_data(radius[0] * np.cos(angle), radius[1] * np.sin(angle))
        colour = EXPLODES if (result.products > 2).any() else STABLE
        path.set_data(*np.clip(result.path, -50, 50).T)
        high = result.loss > 3e4
        shown = result.loss[: np.argmax(high)] if high.any() else result.loss
        loss.set_data(np.arange(len(shown)), np.maximum(shown, 1e-12))
        cross.set_data(([len(shown) - 1], [shown[-1]]) if len(shown) < len(result.loss) else ([], []))
        path.set_color(colour)
        loss.set_color(colour)
        marks.set_data(np.minimum(result.products, 3.95), [0.48, 0.48])
        for name, product in zip(names, result.products, strict=True):
            name.set_x(min(product, 3.75))

    live = LiveFigure(figure, [*ellipses, path, loss, cross, marks, *names])
    sliders = {
        "lr": slider("learning rate", 0.4, 0, 1.2, 0.01),
        "steep": slider("steep curvature", 4.0, 1, 4, 0.1, ".1f"),
        "flat": slider("flat curvature", 0.5, 0, 1, 0.05),
    }
    return Explorer(Scene(run_quadratic, update, live), sliders)


# Momentum ----------------------------------------------------------------------------------------------------------------
METHODS = ("heavy ball", "Nesterov")


def momentum_matrix(method: str, product, beta):
    """What one step does to (x_k, x_k-1) on a quadratic: x_k+1 = trace * x_k - determinant * x_k-1; both, elementwise."""
    if method not in METHODS:
        raise ValueError(f"method must be one of {METHODS}; got {method!r}")
    shrink = 1 - product if method == "Nesterov" else 1
    return (1 - product + beta, beta) if method == "heavy ball" else (shrink * (1 + beta), shrink * beta)


def momentum_rate(method: str, product, beta):
    """The factor by which a step shrinks (below 1) or grows the distance: the larger root of z**2 - trace*z + det."""
    trace, determinant = momentum_matrix(
        method, np.asarray(product, dtype=complex), np.asarray(beta, dtype=complex)
    )
    root = np.sqrt(trace**2 - 4 * determinant)
    return np.maximum(np.abs(trace + root), np.abs(trace - root)) / 2


def momentum_edge(method: str, beta):
    """The lr * curvature above which the method diverges."""
    return 2 + 2 * beta if method == "heavy ball" else (2 + 2 * beta) / (1 + 2 * beta)


def run_momentum(method: str, product, beta, steps: int = 120) -> np.ndarray:
    """The distances x_0 = 1, x_1, …, (steps + 1, …): run step by step, any shape of ``product`` and ``beta``."""
    product, beta = np.broadcast_arrays(np.asarray(product, dtype=float), np.asarray(beta, dtype=float))
    x, v, distances = np.ones(product.shape), np.zeros(product.shape), []
    for _ in range(steps + 1):
        distances.append(x)
        gradient = product * (x + beta * v if method == "Nesterov" else x)  # Nesterov looks ahead
        v = beta * v - gradient
        x = x + v
    return np.array(distances)


def measured_rate(method: str, product, beta, steps: int = 200) -> np.ndarray:
    """The growth a step of sqrt(x_k**2 + x_k-1**2) over the second half of a run; 0 where that half is all zeros."""
    x = run_momentum(method, product, beta, steps)
    size = np.hypot(x[1:], x[:-1])
    half = steps // 2
    start = np.where(size[half] > 0, size[half], 1)
    return (size[-1] / start) ** (1 / (steps - 1 - half))


@dataclass(frozen=True)
class MomentumRun:
    """One run with momentum on a quadratic."""

    method: str
    product: float
    beta: float
    distance: np.ndarray  # (steps + 1,) absolute
    rate: float  # predicted
    sentence: str


def run_momentum_point(method: str, product: float, beta: float) -> MomentumRun:
    """A run at one point of the map, with its predicted rate."""
    distance = np.abs(run_momentum(method, product, beta, steps=60))
    rate, edge = float(momentum_rate(method, product, beta)), momentum_edge(method, beta)
    growth = f"multiplied by {rate:.2f} a step in the long run" if product else "unchanged"
    place = "at" if abs(product - edge) < 0.005 else "beyond" if product > edge else "inside"
    sentence = (
        f"{method[0].upper()}{method[1:]}, beta = {beta:.2f}, lr * curvature = {product:.2f}: {place} the edge {edge:.2f}. "
        f"The distance is {growth}; after 60 steps it is {distance[-1]:.1g}."
    )
    return MomentumRun(method, product, beta, distance, rate, sentence)


@course_style()
def explore_momentum() -> Explorer:
    """The map of convergence rates over lr * curvature and beta, a point on it, and the run at that point."""
    products, betas = np.linspace(0.02, 4.2, 85), np.linspace(0, 0.98, 50)
    mesh = np.meshgrid(products, betas)
    maps = {method: np.clip(measured_rate(method, *mesh), 0.6, 1.2) for method in METHODS}
    figure = Figure()
    plane, curve = figure.subplots(1, 2)
    extent = (products[0], products[-1], betas[0], betas[-1])
    picture = plane.imshow(
        maps[METHODS[0]],
        origin="lower",
        aspect="auto",
        extent=extent,
        vmin=0.6,
        vmax=1.2,
        interpolation="nearest",
    )
    figure.colorbar(picture, ax=plane, label="measured factor a step")
    (edge,) = plane.plot([], [], **THEORY)
    (point,) = plane.plot([], [], "o", color=EXPLODES, markersize=9, markeredgecolor="white")
    plane.set(
        xlabel="lr * curvature",
        ylabel="beta",
        title="Dotted: the edge, by theory",
        xlim=extent[:2],
        ylim=extent[2:],
    )
    (run,) = curve.plot([], [])
    (predicted,) = curve.plot([], [], **THEORY)
    curve.set(
        yscale="log",
        xlim=(0, 60),
        ylim=(1e-9, 1e6),
        xlabel="step",
        ylabel="distance",
        title="Dotted: rate, by theory",
    )

    def update(result: MomentumRun) -> None:
        picture.set_data(maps[result.method])
        edge.set_data(momentum_edge(result.method, betas), betas)
        point.set_data([result.product], [result.beta])
        steps = np.arange(len(result.distance))
        run.set_data(steps, np.clip(result.distance, 1e-15, 1e15))
        run.set_color(EXPLODES if result.rate > 1 else STABLE)
        predicted.set_data(steps, np.clip(result.rate**steps, 1e-15, 1e15))

    live = LiveFigure(figure, [picture, edge, point, run, predicted])
    sliders = {
        "method": _choice("method", METHODS),
        "product": slider("lr * curvature", 1.5, 0, 4.2, 0.02),
        "beta": slider("beta", 0.9, 0, 0.98, 0.01),
    }
    return Explorer(Scene(run_momentum_point, update, live), sliders)


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
        colour = _colour(result.growth[-1])
        for line, values in zip(lines, (result.growth, result.singular), strict=True):
            line.set_data(np.arange(len(values)), np.clip(values, 1e-15, 1e15))
            line.set_color(colour)
        predicted.set_data(np.arange(len(result.predicted)), np.clip(result.predicted, 1e-15, 1e15))

    sliders = {
        "activation": _choice("activation", ("linear", "relu", "tanh")),
        "weights": _choice("weights", WEIGHTS),
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
            line.set_color(_colour(values[0]))
        predicted.set_data(back, np.clip(result.predicted, 1e-18, 1e18))

    sliders = {
        "activation": _choice("activation", ("relu", "tanh", "sigmoid", "gelu")),
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
        line.set_color(_colour(result.size[-1]))
        radius.set_data(np.arange(MOMENTS + 1), np.clip(result.by_radius, 1e-30, 1e30))
        for unit, values in zip(units, result.states.T, strict=True):
            unit.set_data(np.arange(MOMENTS + 1), values)

    sliders = {
        "activation": _choice("activation", ("linear", "tanh")),
        "gain": slider("gain", 1.1, 0.5, 4, 0.05),
        "drive": slider("standard deviation of the input", 0.0, 0, 4, 0.1, ".1f"),
    }
    return Explorer(Scene(run_recurrent, update, LiveFigure(figure, [line, radius, *units])), sliders)
