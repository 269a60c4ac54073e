"""One figure, redrawn fast: a background drawn once, artists updated and blitted over it, a small PNG each time."""

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass
from html import escape

import ipywidgets as widgets
import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.path import Path
from matplotlib.text import Text
from PIL import Image

from gradutils import plots

FAR = 1e9  # pixels
PALETTE_COLOURS = 128
COLOURS = (
    plots.STABLE,
    plots.SECOND,
    plots.EXPLODES,
    plots.THIRD,
    plots.REFERENCE,
    plots.VANISHES,
    "#000000",
)


@dataclass(frozen=True)
class Drawn:
    """What an explorer shows at one position of its sliders.

    artists  what each artist of the figure draws, by name: an image its values, a line or a text (x, y) or
             (x, y, colour); one number stands for all of a line, and a line may hold any numbers, inf and NaN too
    """

    sentence: str
    artists: dict


class LiveFigure:
    """A figure of which the ``artists``, by name, change while everything else stays.

    The axes, their limits and labels are drawn once. `png` draws only the artists, over a copy of that picture.
    """

    def __init__(self, figure: Figure, artists: dict):
        self.figure, self.artists = figure, artists
        for artist in artists.values():
            artist.set_animated(True)
        self._canvas = FigureCanvasAgg(figure)
        self._canvas.draw()
        figure.set_layout_engine("none")  # the layout is found once
        self._background = self._canvas.copy_from_bbox(figure.bbox)
        self._palette = self._find_palette()

    def set(self, artists: dict) -> None:
        """Move the artists: ``artists`` is that of a `Drawn`."""
        for name, values in artists.items():
            artist = self.artists[name]
            if isinstance(artist, AxesImage):
                artist.set_data(values)
                continue
            x, y, *colour = values
            if isinstance(artist, Text):
                artist.set_position((x, y))
            else:
                artist.set_data(*_near(artist.axes, x, y))
            if colour:
                artist.set_color(*colour)

    def _draw(self) -> Image.Image:
        self._canvas.restore_region(self._background)
        for artist in self.artists.values():
            artist.axes.draw_artist(artist)
        size = self._canvas.get_width_height()
        return Image.frombuffer("RGBA", size, self._canvas.buffer_rgba(), "raw", "RGBA", 0, 1).convert("RGB")

    def _find_palette(self) -> Image.Image:
        """The colours of the first picture, and every course colour on its way to white: an artist may change to any.

        Found once, because finding one costs as much as all the rest of a tick.
        """
        picture = self._draw()
        tints = Image.new("RGB", (picture.width, 8 * len(COLOURS)))
        for row, colour in enumerate(COLOURS):
            for column in range(8):
                tint = Image.blend(
                    Image.new("RGB", (1, 1), "white"), Image.new("RGB", (1, 1), colour), (8 - column) / 8
                )
                tints.paste(tint.getpixel((0, 0)), (column * 80, row * 8, column * 80 + 80, row * 8 + 8))
        both = Image.new("RGB", (picture.width, picture.height + tints.height))
        both.paste(picture, (0, 0))
        both.paste(tints, (0, picture.height))
        palette = both.quantize(PALETTE_COLOURS, method=Image.Quantize.MEDIANCUT)
        palette.putpalette(
            [255 if part > 247 else part for part in palette.getpalette()]
        )  # white stays white
        return palette

    def png(self) -> bytes:
        """The picture as it is now; the palette keeps it near 20 kB."""
        stream = io.BytesIO()
        picture = self._draw().quantize(palette=self._palette, dither=Image.Dither.NONE)
        picture.save(stream, "PNG", compress_level=4)
        return stream.getvalue()


def _near(axes: Axes, x, y) -> np.ndarray:  # (2, n)
    """The line through x and y within twice the axes, in their own scales: cut where it leaves, so that inside nothing bends.

    Infinity counts as the largest number, the logarithm of zero as far below; NaN is a gap, and so is what was cut out.
    """
    points = np.stack(np.broadcast_arrays(x, y), -1).reshape(-1, 2).astype(float)
    points = np.nan_to_num(points, copy=False, nan=np.nan)
    pixels, box = axes.transData.transform(points), axes.bbox.expanded(2, 2)
    if ((box.min < pixels) & (pixels < box.max)).all():
        return points.T
    path = Path(np.clip(pixels, -FAR, FAR)).cleaned(remove_nans=True, clip=box.extents)
    pieces = np.flatnonzero(path.codes == Path.MOVETO)[1:]
    vertices = np.insert(path.vertices[:-1], pieces, np.nan, axis=0)  # the last one only says stop
    return axes.transData.inverted().transform(vertices).T


def course_style():
    """A context, or a decorator, in which figures are built in the course's style whatever the notebook's own is."""
    return style.context(["default", plots.STYLE])


@dataclass(frozen=True)
class Scene:
    """A pure function of the slider values, and the figure whose artists it moves."""

    compute: Callable[..., Drawn]
    figure: LiveFigure


class Explorer(widgets.VBox):
    """Sliders, a sentence and a picture. Without a kernel the sentence and the picture at the first setting remain."""

    def __init__(self, scene: Scene, sliders: dict[str, widgets.Widget]):
        self.scene, self.sliders = scene, sliders
        self.sentence = widgets.HTML()
        self.image = widgets.Image(format="png")
        for slider in sliders.values():
            slider.observe(self._tick, names="value")
        self._tick()
        self._first = (self.text, self.image.value)
        # Without flex-start the picture is stretched to the width of the page.
        layout = widgets.Layout(align_items="flex-start")
        super().__init__([*sliders.values(), self.sentence, self.image], layout=layout)

    def _tick(self, _change=None) -> None:
        drawn = self.scene.compute(**{name: slider.value for name, slider in self.sliders.items()})
        self.scene.figure.set(drawn.artists)
        self.text = drawn.sentence
        self.sentence.value = f"<div style='max-width:46em;line-height:1.45'>{escape(self.text)}</div>"
        self.image.value = self.scene.figure.png()

    def _repr_mimebundle_(self, **kwargs):
        text, picture = self._first
        static = {"text/plain": text, "image/png": base64.b64encode(picture).decode()}
        return super()._repr_mimebundle_(**kwargs) | static


def slider(
    label: str, value: float, low: float, high: float, step: float, fmt: str = ".2f"
) -> widgets.FloatSlider:
    """A slider with room for its label, redrawing while it moves."""
    return widgets.FloatSlider(
        value=value, min=low, max=high, step=step, description=label, readout_format=fmt,
        style={"description_width": "11em"}, layout=widgets.Layout(width="34em"), continuous_update=True,
    )  # fmt: skip


def choice(label: str, options, value=None) -> widgets.ToggleButtons:
    """Buttons of which one is pressed, ``value`` or the first, with room for their label."""
    return widgets.ToggleButtons(
        options=options,
        value=options[0] if value is None else value,
        description=label,
        style={"description_width": "11em"},
    )
