"""Make the tables of the explorers: what each draws at many positions of its sliders, for the browser.

python -m tools.explorers             makes those that are stale or missing
python -m tools.explorers momentum    makes this one
python -m tools.explorers --check     says which are stale; its exit status is 1 if any is
"""

import argparse
import sys
import time
from pathlib import Path

import torch

from gradutils import explorers
from gradutils.explorers import tables
from gradutils.explorers.live import Explorer

NAMES = [name.removeprefix("explore_") for name in explorers.__all__]
LARGEST = 350_000  # bytes


def explorer_of(name: str) -> Explorer:
    """An explorer by the name of its table. Raises ValueError for another name."""
    if name not in NAMES:
        raise ValueError(f"no explorer is called {name!r}; there are {', '.join(NAMES)}")
    return getattr(explorers, f"explore_{name}")()


def is_fresh(name: str) -> bool:
    """Whether the table is there and was made from the explorer as it is now."""
    return tables.fitting(name, explorer_of(name).look()) is not None


def make_table(name: str) -> tuple[int, int]:
    """Record an explorer at all positions of its table; the number of rows and of bytes.

    Raises ValueError for a table larger than LARGEST, which is not written: its sliders want a larger ``every``.
    """
    explorer = explorer_of(name)
    rows = [explorer.row(at) for at in explorer.positions()]
    packed = explorer.pack(rows)
    if len(packed) > LARGEST:
        raise ValueError(f"{name}: {len(rows)} rows take {len(packed):,} bytes, more than {LARGEST:,}")
    Path(str(tables.FOLDER)).mkdir(exist_ok=True)
    Path(str(tables.FOLDER / f"{name}.bin")).write_bytes(packed)
    return len(rows), len(packed)


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.explorers", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--check", action="store_true", help="only say which are stale")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)  # as in a lesson: two add up in another order
    if unknown := [name for name in options.names if name not in NAMES]:
        parser.error(f"no explorer is called {unknown[0]!r}; there are {', '.join(NAMES)}")
    if options.check:
        stale = [name for name in options.names or NAMES if not is_fresh(name)]
        print("stale: " + ", ".join(stale) if stale else "all tables fit their explorers")
        return bool(stale)
    for name in options.names or [name for name in NAMES if not is_fresh(name)]:
        started = time.process_time()
        rows, size = make_table(name)
        print(
            f"{name:20} {rows:6} rows {size / 1e3:6.1f} kB {time.process_time() - started:6.1f} s", flush=True
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
