"""Tables of explorers, part of the package: what each of them draws at many positions of its sliders.

`python -m tools.explorers` makes them. A table says what it was made from; one that does not fit is not used.
"""

import hashlib
import json
import sys
from functools import cache
from importlib.resources import files
from pathlib import Path

from gradutils import plots
from gradutils.explorers import recording
from gradutils.explorers.packing import head_of

FOLDER = files("gradutils.explorers") / "tables"


@cache
def digest(module: str) -> str:
    """Of the sources that a table is made from: the explorer's module, what records it, the style of all figures."""
    read = hashlib.sha256()
    for path in (sys.modules[module].__file__, recording.__file__, plots.STYLE):
        read.update(Path(path).read_text(encoding="utf-8").encode())  # whatever the ends of its lines
    return read.hexdigest()[:16]


def stored(name: str) -> bytes | None:
    """The table of an explorer, None where there is none."""
    path = FOLDER / f"{name}.bin"
    return path.read_bytes() if path.is_file() else None


def fitting(name: str, look: dict) -> bytes | None:
    """The table of an explorer whose head says what ``look`` says, None where there is none."""
    packed = stored(name)
    if packed is None:
        return None
    head = head_of(packed)
    expected = json.loads(json.dumps(look))
    return packed if {key: head.get(key) for key in expected} == expected else None
