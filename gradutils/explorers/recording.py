"""What moves in a figure, written down: every line, marker, text and image that its artists draw, in pixels.

A figure is drawn once without its artists. For each position of the sliders these are moved, and a `Pen`, which is a
renderer of matplotlib's, is handed to them in place of paper: what reaches it are the very vertices, widths, dashes and
colours with which matplotlib would draw. Vertices are kept in sixteenths of a pixel from the upper left corner.
"""

import hashlib
import io
import json
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.path import Path
from matplotlib.text import Text
from matplotlib.textpath import TextPath
from matplotlib.transforms import Affine2D
from PIL import Image

from gradutils import plots

PARTS = 16  # of a pixel
GAP = -(2**15)  # in a mark's y: the line is interrupted
FINE = 2  # a picture has so many pixels across each one of the page: screens have two
COLOURS = 255  # of a picture
FAR = 1e9  # pixels
LETTERS = {Path.MOVETO: "M", Path.LINETO: "L", Path.CURVE3: "Q", Path.CURVE4: "C", Path.CLOSEPOLY: "Z"}


class Mark(NamedTuple):
    """One thing drawn: a line along the points, or a shape at each of them, or a picture.

    style  how, as JSON: "stroke" with "width", "dash", "cap", "join"; "fill"; "clip" (left, top, width, height); "shape" in
           the letters of SVG; "picture" by name, "at" (left, top, width, height)
    x, y   (points,) int16, in PARTS of a pixel from the upper left corner; y is GAP between two pieces of a line
    """

    style: str
    x: np.ndarray
    y: np.ndarray


class Row(NamedTuple):
    """One position of the sliders: its sentence, its marks by (artist, number) in the order of drawing, and the pictures that they name, as PNG."""

    sentence: str
    marks: dict[tuple[int, int], Mark]
    pictures: dict[str, bytes]


def course_style():
    """A context, or a decorator, in which figures are built in the course's style whatever the notebook's own is."""
    return style.context(["default", plots.STYLE])


class LiveFigure:
    """A figure of which the ``artists``, by name, change while everything else stays.

    The axes, their limits and labels are drawn once. Raises TypeError, with its name, for an artist that `set` cannot move.
    """

    def __init__(self, figure: Figure, artists: dict):
        for name, artist in artists.items():
            if not isinstance(artist, (Line2D, Text, AxesImage)):
                raise TypeError(
                    f"artist {name!r} is a {type(artist).__name__}; only Line2D, Text and AxesImage move"
                )
            artist.set_animated(True)
        for ax in figure.axes:
            plots.plain_ticks(ax)
        self.figure, self.artists = figure, artists
        self._canvas = FigureCanvasAgg(figure)
        self._canvas.draw()
        self._still = self._canvas.copy_from_bbox(figure.bbox)
        figure.set_layout_engine("none")  # the layout is found once
        self._shown = {}  # what each image holds
        self._pens = {}  # what drew each artist where it stands, so that one that stays is not drawn again

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels of the page."""
        return self._canvas.get_width_height()

    def boxes(self) -> list[list[float]]:
        """Where each of the axes lies: left, bottom, right, top, in pixels to the sixteenth."""
        return [(np.round(axes.bbox.extents * PARTS) / PARTS).tolist() for axes in self.figure.axes]

    def set(self, artists: dict) -> None:
        """Move the artists: ``artists`` is that of a `Drawn`."""
        for name, values in artists.items():
            artist = self.artists[name]
            if isinstance(artist, AxesImage):
                if values is not self._shown.get(name):  # drawing an image takes longer than all the rest
                    artist.set_data(values)
                    self._shown[name] = values
                    self._pens.pop(name, None)
                continue
            self._pens.pop(name, None)
            x, y, *colour = values
            if isinstance(artist, Text):
                artist.set_position((x, y))
            else:
                artist.set_data(*_near(artist.axes, x, y))
            if colour:
                artist.set_color(*colour)

    def record(self, sentence: str) -> Row:
        """What the artists draw where they stand now. Raises TypeError, with its name, for one that the pen cannot draw."""
        marks, pictures = {}, {}
        for place, (name, artist) in enumerate(self.artists.items()):
            pen = self._pens.get(name) or Pen(self.figure)
            try:
                if name not in self._pens:
                    artist.draw(pen)
            except NotImplementedError as wrong:
                raise TypeError(f"artist {name!r} ({type(artist).__name__}): {wrong}") from None
            self._pens[name] = pen
            marks |= {(place, number): mark for number, mark in enumerate(pen.marks)}
            pictures |= pen.pictures
        return Row(sentence, marks, pictures)

    @course_style()  # what is drawn late, as ticks are, asks for the style again
    def background(self) -> bytes:
        """The figure without its artists, FINE times as large, as PNG."""
        dpi, artists = self.figure.dpi, self.artists.values()
        for artist in artists:
            artist.set_visible(False)  # an image is drawn though it is animated
        try:
            self.figure.set_dpi(FINE * dpi)
            canvas = FigureCanvasAgg(self.figure)
            canvas.draw()
            return _png(np.asarray(canvas.buffer_rgba()))
        finally:
            for artist in artists:
                artist.set_visible(True)
            self.figure.set_dpi(dpi)
            self.figure.set_canvas(self._canvas)

    @course_style()
    def png(self) -> bytes:
        """The whole figure as it is now, drawn by matplotlib."""
        self._canvas.restore_region(self._still)
        for artist in self.artists.values():
            artist.axes.draw_artist(artist)
        return _png(np.asarray(self._canvas.buffer_rgba()), 128)


def _png(pixels: np.ndarray, colours: int = COLOURS) -> bytes:
    """(height, width, 4) as PNG, small: few colours, of which white stays white."""
    ground = Image.new("RGBA", pixels.shape[1::-1], "white")
    picture = Image.alpha_composite(ground, Image.fromarray(pixels)).convert("RGB")
    picture = picture.quantize(colours, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    picture.putpalette([255 if part > 247 else part for part in picture.getpalette()])
    stream = io.BytesIO()
    picture.save(stream, "PNG", optimize=True)
    return stream.getvalue()


class Pen(RendererBase):
    """A renderer that keeps what it is given, in ``marks``. Raises NotImplementedError for what a `Mark` cannot say."""

    def __init__(self, figure: Figure):
        super().__init__()
        self._width, self._height, self._dpi = *figure.bbox.size, figure.dpi
        self.marks, self.pictures = [], {}

    def get_canvas_width_height(self):
        """In pixels."""
        return self._width, self._height

    def points_to_pixels(self, points):
        """A point is a 72nd of an inch."""
        return points * self._dpi / 72

    def flipy(self):
        """Text is told where it stands from the lower left corner, as everything else is."""
        return False

    def get_image_magnification(self):
        """Images come as fine as the background."""
        return FINE

    def draw_path(self, gc, path, transform, rgbFace=None):
        """A line, with gaps where a vertex is not finite."""
        if path.codes is not None:
            raise NotImplementedError("a path with curves or closed pieces is not recorded as a line")
        if pens := self._pens(gc, rgbFace):
            self._keep(pens, transform.transform(path.vertices))

    def draw_markers(self, gc, marker_path, marker_trans, path, trans, rgbFace=None):
        """The same shape at every vertex that is finite."""
        if pens := self._pens(gc, rgbFace):
            points = trans.transform(path.vertices)
            shape = {"shape": _letters(marker_path.transformed(marker_trans))}
            self._keep(pens | shape, points[np.isfinite(points).all(1)])

    def draw_text(self, gc, x, y, s, prop, angle, ismath=False, mtext=None):
        """The outlines of the letters, filled."""
        size = self.points_to_pixels(prop.get_size_in_points())
        pens = self._pens(gc, gc.get_rgb())
        pens = {name: pens[name] for name in ("fill", "clip") if name in pens}
        self._keep(pens | {"shape": _outlines(s, size, prop, angle)}, np.array([[x, y]]))

    def draw_image(self, gc, x, y, im, transform=None):
        """A picture whose lower left corner is (x, y)."""
        if transform is not None or gc.get_alpha() != 1:
            raise NotImplementedError("an image that is turned or shines through is not recorded")
        picture = _png(np.ascontiguousarray(im[::-1]))
        name = hashlib.sha256(picture).hexdigest()[:12]
        height, width = np.array(im.shape[:2]) / FINE
        at = [round(float(part), 3) for part in (x, self._height - y - height, width, height)]
        self.pictures[name] = picture
        self._keep({"picture": name, "at": at} | self._clip(gc), np.array([[x, y]]))

    def draw_tex(self, gc, x, y, s, prop, angle, *, mtext=None):
        """Refused: it would need TeX."""
        raise NotImplementedError("text set by TeX is not recorded")

    def _pens(self, gc, face) -> dict:
        """How to stroke and how to fill; empty where nothing of it would be seen."""
        for name, value in (("a hatch", gc.get_hatch()), ("a sketch", gc.get_sketch_params())):
            if value is not None:
                raise NotImplementedError(f"{name} is not recorded")
        if gc.get_clip_path()[0] is not None:
            raise NotImplementedError("a clip that is no rectangle is not recorded")
        pens, width = {}, self.points_to_pixels(gc.get_linewidth())
        if width > 0 and gc.get_rgb()[3] > 0:
            pens = {"stroke": _colour(gc.get_rgb()), "width": round(width, 3)}
            pens |= {"join": gc.get_joinstyle(), "cap": gc.get_capstyle().replace("projecting", "square")}
            offset, dash = gc.get_dashes()
            if dash is not None:
                if offset:
                    raise NotImplementedError("dashes that begin in the middle are not recorded")
                pens["dash"] = [round(self.points_to_pixels(part), 3) for part in dash]
        if face is not None and (len(face) == 3 or face[3] > 0):
            pens["fill"] = _colour(face)
        return pens and pens | self._clip(gc)

    def _clip(self, gc) -> dict:
        box = gc.get_clip_rectangle()
        if box is None:
            return {}
        left, top, right, bottom = box.x0, self._height - box.y1, box.x1, self._height - box.y0
        return {"clip": [round(float(part), 3) for part in (left, top, right - left, bottom - top)]}

    def _keep(self, style: dict, points: np.ndarray) -> None:
        """Keep a mark at ``points`` (n, 2), in pixels from the lower left corner; none where there are no points."""
        points = np.asarray(points, dtype=float)
        missing = ~np.isfinite(points).all(1)
        parts = np.round((points * (1, -1) + (0, self._height)) * PARTS)
        parts[missing] = 0
        if (np.abs(parts) >= -GAP).any():
            raise NotImplementedError(f"a vertex {-GAP // PARTS} pixels away is not recorded")
        x, y = parts.astype(np.int16).T
        # A gap keeps the x before it, which costs nothing.
        x = x[np.maximum.accumulate(np.where(missing, 0, np.arange(len(x))))] if len(x) else x
        y = np.where(missing, np.int16(GAP), y)
        if (~missing).any():
            self.marks.append(Mark(json.dumps(style, sort_keys=True), x, y))


def _colour(rgba) -> str:
    return to_hex(rgba, keep_alpha=len(rgba) == 4 and rgba[3] < 1)


def _letters(path: Path) -> str:
    """A path in the letters of SVG, y downwards, to a thousandth of a pixel."""
    return _written(path.vertices.tobytes(), None if path.codes is None else path.codes.tobytes())


@lru_cache(256)
def _written(vertices: bytes, codes: bytes | None) -> str:
    codes = None if codes is None else np.frombuffer(codes, Path.code_type)
    path, written = Path(np.frombuffer(vertices).reshape(-1, 2), codes), []
    for numbers, code in path.iter_segments(simplify=False, curves=True):
        numbers = [] if code == Path.CLOSEPOLY else numbers * np.tile([1, -1], len(numbers) // 2)
        written.append(LETTERS[code] + " ".join(f"{number:.3f}" for number in numbers))
    return "".join(written)


@lru_cache(64)
def _outlines(text: str, size: float, font: FontProperties, angle: float) -> str:
    return _letters(TextPath((0, 0), text, size=size, prop=font).transformed(Affine2D().rotate_deg(angle)))


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
