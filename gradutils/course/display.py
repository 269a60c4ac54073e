"""How the course speaks: a card is HTML in JupyterLab and plain text everywhere else."""

import sys
from dataclasses import dataclass
from html import escape

from IPython import get_ipython
from IPython.display import display

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


def show(card: Card, metadata: dict | None = None) -> None:
    """Display the card in a notebook, print it anywhere else."""
    if get_ipython() is None:
        encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
        print(card.text.encode(encoding, "replace").decode(encoding))
    else:
        display(card, metadata=metadata)


def paragraphs(*texts: str) -> str:
    """Escaped HTML, one paragraph a text; empty texts are left out."""
    return "".join(f'<p style="margin:.25em 0">{escape(text)}</p>' for text in texts if text)


def block(text: str) -> str:
    """Escaped HTML for lines whose spacing matters."""
    style = "white-space:pre-wrap;background:transparent;color:inherit;margin:.3em 0;font-size:.95em"
    return f'<pre style="{style}">{escape(text)}</pre>'
