"""Take the README's figure out of an executed solution: docs/front.png is what lesson 03 drew."""

import base64
import json
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOLUTION, TITLE = "03_exploding_gradients", "The factor per layer, known before the first step"


def front_figure() -> bytes:
    """The PNG whose sentence ends with the title. Raises ValueError where the solution has none."""
    notebook = json.loads((ROOT / "solutions" / f"{SOLUTION}.ipynb").read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data and TITLE in "".join(data["text/plain"]):
                return base64.b64decode("".join(data["image/png"]))
    raise ValueError(f"no figure with the title {TITLE!r} is in solutions/{SOLUTION}.ipynb")


if __name__ == "__main__":
    (ROOT / "docs" / "front.png").write_bytes(front_figure())
