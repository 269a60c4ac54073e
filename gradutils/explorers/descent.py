"""Explorers of gradient descent: the learning rate and momentum on quadratics."""

from functools import cache

import numpy as np
from matplotlib.figure import Figure

from gradutils.explorers.live import Drawn, Explorer, LiveFigure, Scene, choice, course_style, slider
from gradutils.plots import EXPLODES, REFERENCE, SECOND, STABLE, THEORY

# The learning rate -------------------------------------------------------------------------------------------------------
STEPS, PAGE = 40, 3e4  # a loss above PAGE is no longer drawn
LEVELS, ANGLE = range(5), np.linspace(0, 2 * np.pi, 90)
RULER = 4  # its length, in lr * curvature
HEIGHTS = {"steep": 0.78, "flat": 0.18}  # of the words on it


def run_quadratic(lr: float, steep: float, flat: float) -> Drawn:
    """Gradient descent from (1, 1) on steep * x1**2 / 2 + flat * x2**2 / 2: the path among level lines, and the loss.

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
    colour = EXPLODES if (products > 2).any() else STABLE
    shown = loss[np.cumsum(loss > PAGE) == 0]
    steps = np.arange(len(shown))
    goes_on = len(shown) < len(loss)
    artists = {
        "path": (*path.T, colour),
        "loss": (steps, shown, colour),
        "cross": (steps[-1:], shown[-1:]) if goes_on else ([], []),
        "marks": (np.minimum(products, RULER - 0.05), 0.48),
    }
    for (name, height), product in zip(HEIGHTS.items(), products, strict=True):
        artists[name] = (min(product, RULER - 0.25), height)
    radii = np.sqrt(1.6 * curvatures.max() / np.maximum(curvatures, 1e-9))
    for k in LEVELS:
        across, along = 0.5 ** (k / 2) * radii
        artists[f"level {k}"] = (across * np.cos(ANGLE), along * np.sin(ANGLE))
    return Drawn(sentence, artists)


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
    artists = {f"level {k}": plane.plot([], [], color=REFERENCE, linewidth=0.7)[0] for k in LEVELS}
    (path,) = plane.plot([], [], marker="o", markersize=3, linewidth=1)
    plane.set(xlim=(-1.6, 1.6), ylim=(-1.6, 1.6), title="The path")
    plane.set(xlabel="$x_1$ (steep)", ylabel="$x_2$ (flat)")
    (loss,) = curve.plot([], [])
    (cross,) = curve.plot([], [], "x", color=EXPLODES, markersize=9, markeredgewidth=2.5)
    curve.set(yscale="log", xlim=(0, STEPS), ylim=(1e-9, 1e5), xlabel="step", title="The loss")
    for low, high, colour in ((0, 1, STABLE), (1, 2, SECOND), (2, RULER, EXPLODES)):
        ruler.axvspan(low, high, color=colour, alpha=0.3, linewidth=0)
    (marks,) = ruler.plot([], [], "v", color="black", markersize=8)
    artists |= {"path": path, "loss": loss, "cross": cross, "marks": marks}
    for name, height in HEIGHTS.items():
        artists[name] = ruler.text(0, height, name, fontsize=8, ha="center", va="center")
    ruler.set(xlim=(0, RULER), ylim=(0, 1), yticks=[], xlabel="lr * curvature")
    sliders = {
        "lr": slider("learning rate", 0.4, 0, 1.2, 0.01, every=2),
        "steep": slider("steep curvature", 4.0, 1, 4, 0.1, ".1f", every=3),
        "flat": slider("flat curvature", 0.5, 0, 1, 0.05, every=2),
    }
    return Explorer("learning_rate", Scene(run_quadratic, LiveFigure(figure, artists)), sliders)


# Momentum ----------------------------------------------------------------------------------------------------------------
METHODS = ("heavy ball", "Nesterov")
RUN, PRODUCTS, BETAS = 60, np.linspace(0.02, 4.2, 85), np.linspace(0, 0.98, 50)


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


@cache
def _measured_map(method: str) -> np.ndarray:  # (BETAS, PRODUCTS)
    return measured_rate(method, *np.meshgrid(PRODUCTS, BETAS))


def run_momentum_point(method: str, product: float, beta: float) -> Drawn:
    """A run at one point of the map, with its predicted rate."""
    distance = np.abs(run_momentum(method, product, beta, RUN))
    rate, edge = float(momentum_rate(method, product, beta)), momentum_edge(method, beta)
    growth = f"multiplied by {rate:.2f} a step in the long run" if product else "unchanged"
    place = "at" if abs(product - edge) < 0.005 else "beyond" if product > edge else "inside"
    sentence = (
        f"{method[0].upper()}{method[1:]}, beta = {beta:.2f}, lr * curvature = {product:.2f}: {place} the edge {edge:.2f}. "
        f"The distance is {growth}; after {RUN} steps it is {distance[-1]:.1g}."
    )
    steps = np.arange(RUN + 1)
    artists = {
        "map": _measured_map(method),
        "edge": (momentum_edge(method, BETAS), BETAS),
        "point": (product, beta),
        "distance": (steps, distance, EXPLODES if rate > 1 else STABLE),
        "predicted": (steps, rate**steps),
    }
    return Drawn(sentence, artists)


@course_style()
def explore_momentum() -> Explorer:
    """The map of convergence rates over lr * curvature and beta, a point on it, and the run at that point."""
    figure = Figure()
    plane, curve = figure.subplots(1, 2)
    extent = (PRODUCTS[0], PRODUCTS[-1], BETAS[0], BETAS[-1])
    options = {"origin": "lower", "aspect": "auto", "interpolation": "nearest", "extent": extent}
    picture = plane.imshow(_measured_map(METHODS[0]), vmin=0.6, vmax=1.2, **options)
    figure.colorbar(picture, ax=plane, label="measured factor a step")
    (edge,) = plane.plot([], [], **THEORY)
    (point,) = plane.plot([], [], "o", color=EXPLODES, markersize=9, markeredgecolor="white")
    plane.set(xlabel="lr * curvature", ylabel="beta", title="Dotted: the edge, by theory")
    plane.set(xlim=extent[:2], ylim=extent[2:])
    (distance,), (predicted,) = curve.plot([], []), curve.plot([], [], **THEORY)
    curve.set(yscale="log", xlim=(0, RUN), ylim=(1e-9, 1e6), xlabel="step", ylabel="distance")
    curve.set_title("Dotted: rate, by theory")
    artists = {"map": picture, "edge": edge, "point": point, "distance": distance, "predicted": predicted}
    sliders = {
        "method": choice("method", METHODS),
        "product": slider("lr * curvature", 1.5, 0, PRODUCTS[-1], 0.02, every=3),
        "beta": slider("beta", 0.9, BETAS[0], BETAS[-1], 0.01, every=3),
    }
    return Explorer("momentum", Scene(run_momentum_point, LiveFigure(figure, artists)), sliders)
