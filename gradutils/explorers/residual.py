"""Explorer of residual networks: depth, the scale of a branch, and where the normalisation stands."""

import numpy as np
from matplotlib.figure import Figure

from gradutils.explorers.depth import relative_to_last
from gradutils.explorers.live import Drawn, Explorer, LiveFigure, Scene, choice, course_style, slider
from gradutils.meanfield import PLACES, predicted_residual_profile
from gradutils.plots import REFERENCE, THEORY, colour_of_growth
from gradutils.propagation import residual_profile

DEEPEST = 64


def run_residual(norm: str, scale: float, depth: float) -> Drawn:
    """Random networks of width 64 whose blocks add scale * W relu(h): gradients relative to the end, medians over four seeds.

    ``norm`` is "none", "pre" or "post".
    """
    depth = int(depth)
    sizes = relative_to_last(residual_profile(depth, scale=scale, norm=norm, seeds=4, batch=4))
    predicted = predicted_residual_profile(depth, scale=scale, norm=norm).numpy()
    where = {"none": "no normalisation", "pre": "pre-normalisation", "post": "post-normalisation"}[norm]
    sentence = (
        f"{depth} blocks, branches times {scale:.2f}, {where}: from the end to the first block the gradient grows by a factor "
        f"{sizes[0]:.1e} (predicted {predicted[0]:.1e})."
    )
    back = np.arange(depth, -1, -1)
    artists = {"measured": (back, sizes, colour_of_growth(sizes[0])), "predicted": (back, predicted)}
    return Drawn(sentence, artists)


@course_style()
def explore_residual() -> Explorer:
    """Depth, branch scale and normalisation: what residual blocks do to a gradient."""
    figure = Figure()
    axes = figure.subplots()
    (measured,), (predicted,) = axes.plot([], [], marker="o", markersize=3), axes.plot([], [], **THEORY)
    axes.axhline(1, color=REFERENCE, linewidth=0.8)
    axes.set(yscale="log", xlim=(0, DEEPEST), ylim=(0.1, 1e12), xlabel="blocks back from the end")
    axes.set(ylabel="size of the gradient", title="Gradient at the entrance of each block (dotted: theory)")
    live = LiveFigure(figure, {"measured": measured, "predicted": predicted})
    sliders = {
        "norm": choice("normalisation", PLACES),
        "scale": slider("scale of the branch", 1.0, 0, 1.5, 0.05, every=2),
        "depth": slider("blocks", 32, 1, DEEPEST, 1, ".0f", every=4),
    }
    return Explorer("residual", Scene(run_residual, live), sliders)
