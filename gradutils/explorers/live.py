"""An explorer: sliders, a figure that they move, and a sentence that says what it shows.

The figure is drawn in the browser, by `figure.js`, from what matplotlib would draw (`recording`). Many positions of the
sliders stand in a table that is part of the package (`tables`); one between them is computed here when it is asked for. So
an explorer answers at once over a slow line, and goes on moving when its kernel is gone.
"""

import base64
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files

import anywidget
import numpy as np
import traitlets

from gradutils.explorers import tables
from gradutils.explorers.packing import head_of, pack
from gradutils.explorers.recording import LiveFigure, Row, course_style

__all__ = ["Drawn", "Explorer", "LiveFigure", "Scene", "Slider", "choice", "course_style", "slider"]


@dataclass(frozen=True)
class Drawn:
    """What an explorer shows at one position of its sliders.

    artists  what each artist of the figure draws, by name: an image its values, a line or a text (x, y) or
             (x, y, colour); one number stands for all of a line, and a line may hold any numbers, inf and NaN too
    """

    sentence: str
    artists: dict


@dataclass(frozen=True)
class Scene:
    """A pure function of the slider values, and the figure whose artists it moves."""

    compute: Callable[..., Drawn]
    figure: LiveFigure


@dataclass(frozen=True)
class Slider:
    """A slider ("range") or a few buttons of which one is pressed ("radio").

    values  what is computed with, position by position; labels says each of them
    start   the position at first; table lists the positions that are recorded
    """

    kind: str
    label: str
    values: tuple
    labels: tuple[str, ...]
    start: int
    table: tuple[int, ...]

    def nearest(self, value) -> int:
        """The position of a value, or the nearest one. Raises ValueError for what is no option or lies beyond the ends."""
        if self.kind == "radio":
            if value not in self.values:
                raise ValueError(f"{self.label} must be one of {self.values}; got {value!r}")
            return self.values.index(value)
        low, high = self.values[0], self.values[-1]
        if not low <= value <= high:
            raise ValueError(f"{self.label} must lie between {low:g} and {high:g}; got {value!r}")
        return int(np.abs(np.subtract(self.values, value)).argmin())


def slider(
    label: str, value: float, low: float, high: float, step: float, fmt: str = ".2f", every: int = 1
) -> Slider:
    """A slider over low, low + step, ..., high.

    The table holds one of ``every`` so many positions, the first one (that of ``value``) and both ends among them.
    """
    values = tuple(float(round(low + k * step, 10)) for k in range(round((high - low) / step) + 1))
    start = int(np.abs(np.subtract(values, value)).argmin())
    last = len(values) - 1
    kept = {0, last, *range(start % every, last + 1, every)}
    return Slider("range", label, values, tuple(format(v, fmt) for v in values), start, tuple(sorted(kept)))


def choice(label: str, options, value=None) -> Slider:
    """Buttons of which one is pressed, ``value`` or the first; all of them are in the table."""
    options = tuple(options)
    start = 0 if value is None else options.index(value)
    return Slider("radio", label, options, tuple(map(str, options)), start, tuple(range(len(options))))


class Explorer(anywidget.AnyWidget):
    """Sliders, a figure and a sentence; ``name`` is that of its table. Without a browser to draw, what it shows first remains.

    ``at`` holds the position of each slider, counted from 0, as the reader has left them.
    """

    _esm = files("gradutils.explorers") / "figure.js"
    table = traitlets.Bytes().tag(sync=True)
    at = traitlets.List(traitlets.Int()).tag(sync=True)
    _ipython_display_ = None  # that of ipywidgets 7 would send no words

    def __init__(self, name: str, scene: Scene, sliders: dict[str, Slider]):
        self.name, self.scene, self.sliders = name, scene, sliders
        start = tuple(slider.start for slider in sliders.values())
        first = self.row(start)
        self._first = first.sentence, scene.figure.png()
        stored = tables.fitting(name, self.look())
        kept = [slider.table if stored else (slider.start,) for slider in sliders.values()]
        self._kept = [set(positions) for positions in kept]
        table = stored or self.pack([first], kept)
        self._pictures = head_of(table)["pictures"]
        super().__init__(table=table, at=list(start))
        self.on_msg(lambda _self, message, _buffers: self._send_row() if "missing" in message else None)

    @property
    def values(self) -> dict:
        """What each slider stands at."""
        return self._values(self.at)

    @property
    def text(self) -> str:
        """The sentence where the sliders stand."""
        return self.scene.compute(**self.values).sentence

    def move(self, **values) -> None:
        """Set sliders by name, here and in the browser: ``explorer.move(lr=0.3)``. Of a range the nearest position is taken.

        Raises ValueError for a slider that is not there and for a value beyond its ends.
        """
        for name in values:
            if name not in self.sliders:
                raise ValueError(f"no slider is called {name!r}; there are {', '.join(self.sliders)}")
        at = {name: self.sliders[name].nearest(value) for name, value in values.items()}
        self.at = [at.get(name, position) for name, position in zip(self.sliders, self.at, strict=True)]

    def row(self, at: Sequence[int]) -> Row:
        """What is drawn at these positions of the sliders."""
        drawn = self.scene.compute(**self._values(at))
        self.scene.figure.set(drawn.artists)
        return self.scene.figure.record(drawn.sentence)

    def positions(self) -> list[tuple[int, ...]]:
        """The positions of all rows of the table, in order."""
        return list(itertools.product(*(slider.table for slider in self.sliders.values())))

    def look(self, kept: Sequence[Sequence[int]] | None = None) -> dict:
        """What a table says beside its rows: the figure, the sliders, their positions in the table, what it was made from."""
        figure, sliders = self.scene.figure, self.sliders.values()
        kept = [slider.table for slider in sliders] if kept is None else kept
        said = [
            {
                "kind": s.kind,
                "label": s.label,
                "labels": list(s.labels),
                "start": s.start,
                "table": list(table),
            }
            for s, table in zip(sliders, kept, strict=True)
        ]
        made_from = tables.digest(self.scene.compute.__module__)
        return {"size": list(figure.size), "boxes": figure.boxes(), "sliders": said, "made from": made_from}

    def pack(self, rows: Sequence[Row], kept: Sequence[Sequence[int]] | None = None) -> bytes:
        """A table of these rows, with the background."""
        return pack(rows, self.look(kept), {"background": self.scene.figure.background()})

    def _values(self, at: Sequence[int]) -> dict:
        return {name: slider.values[k] for (name, slider), k in zip(self.sliders.items(), at, strict=True)}

    @traitlets.validate("at")
    def _inside(self, proposal):
        at, sliders = proposal["value"], list(self.sliders.values())
        if len(at) != len(sliders) or not all(
            0 <= k < len(s.values) for k, s in zip(at, sliders, strict=True)
        ):
            raise traitlets.TraitError(f"at must hold a position of each of {len(sliders)} sliders; got {at}")
        return at

    @traitlets.observe("at")
    def _answer(self, change) -> None:
        """The browser draws what stands in its table without asking."""
        if not all(k in kept for k, kept in zip(self.at, self._kept, strict=True)):
            self._send_row()

    def _send_row(self) -> None:
        packed = pack([self.row(self.at)], {"at": list(self.at)}, {}, known=self._pictures)
        self.send({"at": list(self.at)}, [packed])

    def _repr_mimebundle_(self, **kwargs):
        sentence, picture = self._first
        data, metadata = super()._repr_mimebundle_(**kwargs)
        data |= {"text/plain": sentence, "image/png": base64.b64encode(picture).decode()}
        return data, metadata | {"image/png": {"alt": sentence}}
