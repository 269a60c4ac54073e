"""Explorers of gradient descent: the learning rate and momentum on quadratics."""

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from gradutils.explorers.live import Explorer, LiveFigure, Scene, choice, course_style, slider
from gradutils.plots import EXPLODES, REFERENCE, SECOND, STABLE, THEORY

STEPS = 40


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
        "method": choice("method", METHODS),
        "product": slider("lr * curvature", 1.5, 0, 4.2, 0.02),
        "beta": slider("beta", 0.9, 0, 0.98, 0.01),
    }
    return Explorer(Scene(run_momentum_point, update, live), sliders)
