"""Explorer of residual networks: depth, the scale of a branch, and where the normalisation stands."""

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from gradutils.explorers.live import Explorer, LiveFigure, Scene, choice, course_style, slider
from gradutils.meanfield import PLACES, predicted_residual_profile
from gradutils.plots import REFERENCE, THEORY, colour_of_growth
from gradutils.propagation import residual_profile

DEEPEST = 64


@dataclass(frozen=True)
class ResidualRun:
    """Gradients at the entrance of each block, relative to the end, first block first."""

    sizes: np.ndarray  # (depth + 1,), median over four seeds
    predicted: np.ndarray  # (depth + 1,)
    sentence: str


def run_residual(norm: str, scale: float, depth: float) -> ResidualRun:
    """Random networks of width 64 whose blocks add scale * W relu(h); ``norm`` is "none", "pre" or "post"."""
    sizes = residual_profile(int(depth), scale=scale, norm=norm, seeds=4, batch=4)
    sizes = (sizes / sizes[:, -1:]).median(0).values.double().numpy()
    predicted = predicted_residual_profile(int(depth), scale=scale, norm=norm).numpy()
    where = {"none": "no normalisation", "pre": "pre-normalisation", "post": "post-normalisation"}[norm]
    sentence = (
        f"{int(depth)} blocks, branches times {scale:.2f}, {where}: from the end to the first block the gradient grows by a factor "
        f"{sizes[0]:.1e} (predicted {predicted[0]:.1e})."
    )
    return ResidualRun(sizes, predicted, sentence)


@course_style()
def explore_residual() -> Explorer:
    """Depth, branch scale and normalisation: what residual blocks do to a gradient."""
    figure = Figure()
    axes = figure.subplots()
    (line,), (theory,) = axes.plot([], [], marker="o", markersize=3), axes.plot([], [], **THEORY)
    axes.axhline(1, color=REFERENCE, linewidth=0.8)
    axes.set(yscale="log", xlim=(0, DEEPEST), ylim=(0.1, 1e12), xlabel="blocks back from the end")
    axes.set(ylabel="size of the gradient", title="Gradient at the entrance of each block (dotted: theory)")

    def update(result: ResidualRun) -> None:
        back = np.arange(len(result.sizes))[::-1]
        line.set_data(back, np.clip(result.sizes, 1e-3, 1e15))
        line.set_color(colour_of_growth(result.sizes[0]))
        theory.set_data(back, np.clip(result.predicted, 1e-3, 1e15))

    sliders = {
        "norm": choice("normalisation", PLACES),
        "scale": slider("scale of the branch", 1.0, 0, 1.5, 0.05),
        "depth": slider("blocks", 32, 1, DEEPEST, 1, ".0f"),
    }
    return Explorer(Scene(run_residual, update, LiveFigure(figure, [line, theory])), sliders)
