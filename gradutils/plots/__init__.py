"""Every figure of the course: functions take an axes and return it, and leave a sentence that says what it shows.

style        colours with their meaning, the sentence of a figure, labels, ticks, titles
curves       losses, paths, measurements with their theory, profiles by layer, maps
recordings   a recorded run on one page
chart        a patient's chart in the emergency room
networks     a network as boxes and arrows
ceilings     what a learning rate allows: the ceiling on the sharpness
memories     what Adam remembers of a weight's gradients
blocks       a normalisation with its statistics
sketches     a step in a valley, vectors, a slope under a density, products of matrices
staircase    a map applied again and again
diagrams     a loop of boxes, a flow chart
heads        an attention head, and what a softmax makes of logits
directions   pairs of vectors and their angles
numbers      a number in bits; the numbers of a format, and updates between them
sheet        what networks and loops are drawn on
"""

try:
    import matplotlib  # noqa: F401
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        "figures need matplotlib: pip install gradutils[plots]", name="matplotlib"
    ) from missing

from gradutils.plots.blocks import draw_statistics
from gradutils.plots.ceilings import draw_ceiling
from gradutils.plots.chart import CHART_SIZE, plot_chart
from gradutils.plots.curves import (
    colours_of,
    finite_part,
    how_many,
    median_and_band,
    plot_against_theory,
    plot_depth_profile,
    plot_history,
    plot_images,
    plot_map,
    plot_outcomes,
    plot_path_1d,
    plot_path_2d,
    plot_vectors,
)  # fmt: skip
from gradutils.plots.diagrams import draw_cycle, plot_guide
from gradutils.plots.directions import draw_directions
from gradutils.plots.heads import draw_head, draw_softmax
from gradutils.plots.memories import draw_memory
from gradutils.plots.networks import draw_chain, draw_residual, draw_unit, draw_unrolled
from gradutils.plots.numbers import draw_bits, draw_updates
from gradutils.plots.recordings import picture_of, plot_recording
from gradutils.plots.sketches import draw_arrows, draw_grid_of_numbers, draw_slope_under_density, draw_step
from gradutils.plots.staircase import draw_staircase
from gradutils.plots.style import (
    EXPLODES,
    FOURTH,
    GROWTH,
    QUIET,
    REFERENCE,
    SECOND,
    STABLE,
    STYLE,
    THEORY,
    THIRD,
    VANISHES,
    caption,
    colour_of_growth,
    describe,
    finish,
    label_lines,
    mark_vertical,
    plain_ticks,
    sentence,
    use_style,
    widen_to,
)  # fmt: skip

__all__ = [
    "CHART_SIZE",
    "EXPLODES",
    "FOURTH",
    "GROWTH",
    "QUIET",
    "REFERENCE",
    "SECOND",
    "STABLE",
    "STYLE",
    "THEORY",
    "THIRD",
    "VANISHES",
    "caption",
    "colour_of_growth",
    "colours_of",
    "describe",
    "draw_arrows",
    "draw_bits",
    "draw_ceiling",
    "draw_chain",
    "draw_cycle",
    "draw_directions",
    "draw_grid_of_numbers",
    "draw_head",
    "draw_memory",
    "draw_residual",
    "draw_slope_under_density",
    "draw_softmax",
    "draw_staircase",
    "draw_statistics",
    "draw_step",
    "draw_unit",
    "draw_unrolled",
    "draw_updates",
    "finish",
    "finite_part",
    "how_many",
    "label_lines",
    "mark_vertical",
    "median_and_band",
    "picture_of",
    "plain_ticks",
    "plot_against_theory",
    "plot_chart",
    "plot_depth_profile",
    "plot_guide",
    "plot_history",
    "plot_images",
    "plot_map",
    "plot_outcomes",
    "plot_path_1d",
    "plot_path_2d",
    "plot_recording",
    "plot_vectors",
    "sentence",
    "use_style",
    "widen_to",
]  # fmt: skip
