"""Equations as MathML, written when the site is built: nothing is left for a script, and a screen reader reads them.

`latex2mathml` puts all of a formula into one row and leaves the spacing to the browser, which then takes the minus of (-1) for
a difference. `mend` says what each sign is. The font comes with `ziamath`, cut to the characters of mathematics.
"""

import logging
import xml.etree.ElementTree as ET
from html import unescape
from importlib.util import find_spec
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont
from latex2mathml.converter import convert_to_element

CLOSING = {")", "]", "}", "!", "′", "%"}
SIGNS = {"-": "−", "~": "∼", "'": "′"}
PLUS_MINUS, BARS = set("−+±"), set("|∣‖")
SPACED = {"/": "0", "∂": "0", "∇": "0", "∼": "0.278em"}
PARTS = {"mfrac": 2, "mroot": 2, "msup": 2, "msub": 2, "msubsup": 3, "mover": 2, "munder": 2, "munderover": 3}
ROWS = {"math", "mrow", "mtd", "mstyle", "mpadded"}
# Latin, Greek, punctuation, sub- and superscripts, letterlike, arrows, operators, fences, letters of mathematics.
CHARACTERS = [
    *range(0x20, 0x180), *range(0x2C6, 0x2DE), *range(0x300, 0x400), *range(0x2000, 0x2300), *range(0x2308, 0x230C),
    *range(0x239B, 0x23B8), *range(0x27E6, 0x27F0), *range(0x27F5, 0x27FB), *range(0x2A00, 0x2A10),
    *range(0x1D434, 0x1D468), *range(0x1D6E2, 0x1D71C),
]  # fmt: skip


def mathml(latex: str, block: bool = False) -> str:
    """A formula as a <math> element, which keeps its LaTeX in ``data-latex``.

    Raises ValueError for LaTeX that cannot be read.
    """
    try:
        element = convert_to_element(latex, display="block" if block else "inline")
        mend(element)
    except Exception as error:  # the converter raises whatever its parts raise
        raise ValueError(f"the formula {latex!r} cannot be read: {type(error).__name__} {error}") from error
    element.set("data-latex", " ".join(latex.split()))
    return ET.tostring(element, encoding="unicode").replace("ns0:", "").replace(":ns0", "")


def mend(element: ET.Element) -> None:
    """Say of each sign in each row whether it stands before, between or after, and set names of functions apart.

    Raises ValueError where a command was not understood, or an argument is missing.
    """
    element.text = unescape(element.text or "")  # the converter leaves references to characters
    for child in element:
        mend(child)
    if "\\" in element.text or len(element) != PARTS.get(_tag(element), len(element)):
        raise ValueError("a command is unknown, or an argument is missing")
    if element.text == "~":
        element.tag = "mo"
    if element.text == "κ":
        element.set("mathvariant", "normal")  # in italics it looks like an x
    if _tag(element) not in ROWS:
        return
    bar_is_open, before = False, None
    for child in list(element):
        text = child.text.strip()
        if _tag(child) == "mo":
            text = child.text = SIGNS.get(text, text)
            if text in BARS:
                bar_is_open = not bar_is_open
                child.attrib |= {"form": "prefix" if bar_is_open else "postfix", "stretchy": "false"}
            elif text in PLUS_MINUS and _begins(before):
                child.set("form", "prefix")
            elif text in SPACED:
                child.attrib |= {"lspace": SPACED[text], "rspace": SPACED[text]}
        if _set_apart(before, child) or _set_apart(child, before):
            element.insert(list(element).index(child), ET.Element("mspace", width="0.167em"))
        before = child


def _tag(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def _begins(before: ET.Element | None) -> bool:
    """Whether what follows begins a term: at the start, after a comma, an opening fence, a relation or another sign."""
    if before is None or _tag(before) == "mspace":
        return True
    return _tag(before) == "mo" and before.text not in CLOSING and before.get("form") != "postfix"


def _set_apart(name: ET.Element | None, other: ET.Element | None) -> bool:
    """Whether the first is the name of a function and the second what it is taken of, or multiplied by."""
    return other is not None and _tag(other) not in ("mo", "mspace") and _names_a_function(name)


def _names_a_function(element: ET.Element | None) -> bool:
    """ln, tanh and the like, with an exponent or without."""
    if element is None:
        return False
    while _tag(element) in ("msup", "msub", "msubsup"):
        element = element[0]
    return _tag(element) == "mi" and len(element.text) > 1 and element.text.isalpha()


def write_font(target: Path) -> None:
    """STIX Two Math as a web font with what mathematics needs, its table of mathematical distances included."""
    logging.getLogger("fontTools").setLevel(logging.WARNING)
    whole = Path(find_spec("ziamath").origin).with_name("fonts") / "STIXTwoMath-Regular.ttf"
    font = TTFont(whole)
    options = subset.Options(
        layout_features=["ssty", "flac", "dtls", "kern"], notdef_outline=True, hinting=False
    )
    cutter = subset.Subsetter(options)
    cutter.populate(unicodes=CHARACTERS)
    cutter.subset(font)
    even_roots(font)
    font.flavor = "woff"
    target.parent.mkdir(parents=True, exist_ok=True)
    font.save(target)


def even_roots(font: TTFont) -> None:
    """Make the taller signs of a root as narrow as the smallest one.

    A browser keeps beside every root the room that the widest of its signs would take, which looks like a stray space.
    """
    variants = font["MATH"].table.MathVariants
    root = font.getBestCmap()[ord("√")]
    signs = variants.VertGlyphConstruction[variants.VertGlyphCoverage.glyphs.index(root)]
    taller = [record.VariantGlyph for record in signs.MathGlyphVariantRecord]
    taller += [part.glyph for part in signs.GlyphAssembly.PartRecords]
    width = font["hmtx"][root][0]
    for name in set(taller) - {root}:
        glyph, (wide, left) = font["glyf"][name], font["hmtx"][name]
        glyph.coordinates.scale((width / wide, 1))
        glyph.recalcBounds(font["glyf"])
        font["hmtx"][name] = (width, round(left * width / wide))
