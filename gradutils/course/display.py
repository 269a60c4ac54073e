"""How the course speaks: cards, tables and figures, shown in a notebook or printed. Only this room asks where it runs."""

import sys
from base64 import b64encode
from dataclasses import dataclass
from html import escape
from io import BytesIO

import ipywidgets as widgets
from IPython import get_ipython
from IPython.display import display
from matplotlib import pyplot as plt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib_inline.config import InlineBackend

from gradutils.plots import sentence

BLUE, ORANGE, RED, GREY = "87,144,252", "248,156,32", "228,37,54", "156,156,161"


@dataclass(frozen=True)
class Card:
    """A coloured box: ``text`` is its plain form, ``html`` its inner HTML, ``colour`` an "r,g,b" string.

    The colour is only ever a translucent tint, and the text keeps the theme's own colour: readable on light and dark.
    """

    text: str
    html: str
    colour: str = GREY

    def __post_init__(self):
        for name in ("text", "html"):  # half a surrogate pair can be neither sent nor printed
            object.__setattr__(self, name, getattr(self, name).encode("utf-8", "replace").decode("utf-8"))

    def _repr_mimebundle_(self, include=None, exclude=None):
        box = (
            f"border-left:4px solid rgb({self.colour});background:rgba({self.colour},.12);"
            "padding:.5em .9em;margin:.2em 0;max-width:52em;line-height:1.45"
        )
        return {"text/plain": self.text, "text/html": f'<div style="{box}">{self.html}</div>'}

    def __str__(self):
        return self.text


@dataclass(frozen=True)
class Rich:
    """Anything with a plain form and a richer one, such as a table: ``kind`` is the richer one's mime type.

    A picture's plain form is its alternative text, too.
    """

    text: str
    kind: str
    rich: str

    def _repr_mimebundle_(self, include=None, exclude=None):
        described = {self.kind: {"alt": self.text}} if self.kind.startswith("image/") else {}
        return {"text/plain": self.text, self.kind: self.rich}, described


class Spoken(widgets.VBox):
    """Widgets in a column, and what stands there in words where no widget lives: ``text``, and ``html`` if there is more to it.

    Set before anything displays it. Told to ipywidgets 7, which Colab has, and 8 in one way.
    """

    text, html = "", ""
    _ipython_display_ = None  # that of ipywidgets 7 would send no words

    def _repr_mimebundle_(self, **kwargs):
        view = {"version_major": 2, "version_minor": 0, "model_id": self.model_id}
        words = {"text/plain": self.text} | ({"text/html": self.html} if self.html else {})
        return {"application/vnd.jupyter.widget-view+json": view, **words}


def show(thing: Card | Rich | Figure, metadata: dict | None = None) -> None:
    """Display a card, a table or a figure in a notebook; print its plain form anywhere else. A figure is closed."""
    if isinstance(thing, Figure):
        thing = _picture(thing)
    if in_notebook():
        display(thing, metadata=metadata)
    else:
        encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
        print(thing.text.encode(encoding, "replace").decode(encoding))


def in_notebook() -> bool:
    """Whether what is displayed has a reader: in a notebook or IPython, not in a plain program."""
    return get_ipython() is not None


def current_cell() -> int | None:
    """The number of the cell that runs; None outside of a notebook."""
    return get_ipython().execution_count if in_notebook() else None


def speak_for_figures() -> None:
    """In a notebook the sentence that describes a figure becomes its plain text, and the alternative text of its picture."""
    if in_notebook():
        plt.switch_backend(plt.get_backend())  # a backend that loads later would drop the formatters
        formatters = get_ipython().display_formatter.formatters
        formatters["text/plain"].for_type(Figure, lambda figure, p, _: p.text(sentence(figure)))
        if usual := formatters["image/png"].for_type(Figure):  # a terminal draws none
            as_ever = InlineBackend.instance(parent=get_ipython()).figure_formats == {"png"}  # not "retina"

            def picture(figure):
                # Without a layout something may lie outside of it.
                once = as_ever and figure.axes and figure.get_layout_engine()
                return _with_alt(_png(figure) if once else usual(figure), figure)

            formatters["image/png"].for_type(Figure, picture)
            plt.uninstall_repl_displayhook()  # it draws after each cell what is then drawn to be shown


def _png(figure: Figure) -> str:
    """A figure as PNG, in base64, drawn once as it is laid out: to save it would draw it twice, and to cut a margin off as well."""
    buffer, usual = BytesIO(), figure.canvas
    fast = {"compress_level": 3}  # up to a tenth larger, in half of the time
    try:
        FigureCanvasAgg(figure).print_png(buffer, pil_kwargs=fast)
    finally:
        figure.set_canvas(usual)
    return b64encode(buffer.getvalue()).decode()


def _with_alt(drawn, figure: Figure):
    """What a formatter made of a figure, the PNG alone or with its metadata: the same with its alternative text.

    None, of a figure without axes, stays None.
    """
    picture, metadata = drawn if isinstance(drawn, tuple) else (drawn, {})
    return picture and (picture, metadata | {"alt": sentence(figure)})


def table(columns: dict) -> None:
    """Show columns side by side: HTML in a notebook, aligned text elsewhere. Numbers keep three digits.

    Raises ValueError where the columns differ in length.
    """
    columns = {name: [_in_table(value) for value in values] for name, values in columns.items()}
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"columns must be of one length; got {lengths}")
    rows = [tuple(columns), *zip(*columns.values(), strict=True)]
    show(Rich(aligned(rows, ">"), "text/html", html_table(rows)))


def aligned(rows: list[tuple[str, ...]], side: str = "<") -> str:
    """Rows of cells as text; ``side`` is "<" for left-aligned columns, ">" for right-aligned ones."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(f"{cell:{side}{w}}" for cell, w in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() if side == "<" else line for line in lines)


def html_table(rows: list[tuple[str, ...]]) -> str:
    """Escaped HTML; the first row is the head. A column without a name has an empty cell there, which heads nothing."""
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows[1:])
    head = "".join(f'<th scope="col">{escape(name)}</th>' if name else "<td></td>" for name in rows[0])
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def markdown_table(head: tuple[str, ...], rows: list[tuple[str, ...]], text: str) -> Rich:
    """A table whose cells are markdown; ``text`` is its plain form."""
    cells = [[cell.replace("|", "\\vert ").replace("\n", " ") for cell in row] for row in (head, *rows)]
    lines = [f"| {' | '.join(row)} |" for row in cells]
    lines.insert(1, "|-" * len(head) + "|")
    return Rich(text, "text/markdown", "\n".join(lines))


def paragraphs(*texts: str) -> str:
    """Escaped HTML, one paragraph a text; empty texts are left out."""
    return "".join(f'<p style="margin:.25em 0">{escape(text)}</p>' for text in texts if text)


def block(text: str) -> str:
    """Escaped HTML for lines whose spacing matters."""
    style = "white-space:pre-wrap;word-break:normal;background:transparent;color:inherit;margin:.3em 0;font-size:.95em"
    return f'<pre style="{style}">{escape(text)}</pre>'


def _picture(figure: Figure) -> Rich:
    plt.close(figure)
    return Rich(sentence(figure), "image/png", _png(figure))


def _in_table(value) -> str:
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
