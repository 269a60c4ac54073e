"""`make bench`: the instruments against the plain way and their peers; faults that people reported, patients, and what `diagnose` says
of them; lessons and explorers.

Every comparison is interleaved and has an A/A control: the same thing measured twice, whose ratio says how far
two equal things differ on this machine today.
"""

import argparse
import contextlib
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

import nbformat
import psutil
import torch
from nbclient import NotebookClient

from benchmarks import instruments
from benchmarks import reports as public
from benchmarks.patients import KNOWN, NEW, cases, pairs, report
from benchmarks.timing import Line, markdown
from gradutils.course import machine

ROOT = Path(__file__).parent.parent
PARTS = ("instruments", "recorder", "reports", "patients", "lessons")
RESULTS = Path(__file__).parent / "results.md"

# Runs in a live kernel: every tick sends its messages to a client, as it does under JupyterLab.
TICK = '''
import json, statistics, time
import ipywidgets as widgets
import matplotlib.pyplot as plt
import numpy as np
from IPython.display import display
from gradutils import explorers, plots
from gradutils.explorers import descent, live
plots.use_style()

def plain(product, beta):
    """What a notebook without an explorer would do: a new figure with the same two panels at every tick."""
    fig, (left, right) = plt.subplots(1, 2)
    x, y = np.linspace(0.02, 4.2, 85), np.linspace(0, 0.98, 50)
    left.imshow(RATES, origin="lower", aspect="auto", extent=(x[0], x[-1], y[0], y[-1]))
    left.plot(descent.momentum_edge("heavy ball", y), y)
    left.plot([product], [beta], "o")
    drawn = descent.run_momentum_point("heavy ball", product, beta).artists
    for name in ("distance", "predicted"):
        steps, sizes, *_ = drawn[name]
        right.semilogy(steps, np.maximum(sizes, 1e-12))
    plt.show()

RATES = np.clip(descent.measured_rate("heavy ball", *np.meshgrid(np.linspace(0.02, 4.2, 85), np.linspace(0, 0.98, 50))), 0.6, 1.2)
arms = {"explorer": explorers.explore_momentum(), "explorer again": explorers.explore_momentum()}
product, beta = (widgets.FloatSlider(value=v, min=0, max=4) for v in (1.5, 0.5))
output = widgets.interactive_output(plain, {"product": product, "beta": beta})
display(*arms.values(), output)
moves = {name: lambda value, arm=arm: arm.move(product=value) for name, arm in arms.items()}
moves["interact"] = lambda value: setattr(product, "value", value)
times = {name: [] for name in moves}
explorer, sent = arms["explorer"], []
pack = live.pack
live.pack = lambda *rest, **known: sent.append(pack(*rest, **known)) or sent[-1]
for tick in range(TICKS):
    value = 0.5 + 0.02 * tick
    for name, move in moves.items():
        started = time.perf_counter()
        move(value)
        elapsed = 1e3 * (time.perf_counter() - started)
        if name == "interact" or explorer.at[1] not in explorer.sliders["product"].table:  # a row of the table costs nothing
            times[name].append(elapsed)
compute = []
for tick in range(TICKS):
    started = time.perf_counter()
    explorer.scene.compute(method="heavy ball", product=0.5 + 0.02 * tick, beta=0.9)
    compute.append(1e3 * (time.perf_counter() - started))
print("RESULT" + json.dumps({"ms": {name: statistics.median(values) for name, values in times.items()},
      "compute": statistics.median(compute), "bytes": statistics.median(map(len, sent))}))
'''


def client(notebook, **hooks):
    resources = {"metadata": {"path": str(ROOT / "solutions")}}
    return NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources, **hooks)


def run(notebook):
    """Run it; seconds a cell, and the kernel's peak memory in MB."""
    seconds, started, peak, done = {}, {}, [0.0], threading.Event()
    hooks = {
        "on_cell_execute": lambda cell, cell_index: started.update({cell_index: time.perf_counter()}),
        "on_cell_executed": lambda cell, cell_index, execute_reply: seconds.update(
            {cell_index: time.perf_counter() - started[cell_index]}
        ),
    }

    def watch():
        while not done.wait(0.05):
            for child in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.Error):  # it may just have ended
                    peak[0] = max(peak[0], child.memory_info().rss / 1e6)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with tempfile.TemporaryDirectory() as home:
            client(notebook, **hooks).execute(
                env=os.environ | {"GRADUTILS_HOME": home, "OMP_NUM_THREADS": "1"}
            )
    finally:
        done.set()
        watcher.join()
    return seconds, peak[0]


def lessons(repeats):
    """Seconds and memory of every solution; the runs take turns, so the spread is what this machine does to one run."""
    paths = sorted((ROOT / "solutions").glob("*.ipynb"))
    runs = {path.stem: [] for path in paths}
    for _ in range(repeats):
        for path in paths:
            runs[path.stem].append(run(nbformat.read(path, as_version=4)))
            seconds, peak = runs[path.stem][-1]
            print(f"{path.stem:<34} {sum(seconds.values()):5.1f} s {peak:5.0f} MB", flush=True)
    lines, total, first = [], 0.0, []
    for name, found in runs.items():
        sums = [sum(seconds.values()) for seconds, _ in found]
        slowest = statistics.median(max(seconds.values()) for seconds, _ in found)
        memory, middle = max(peak for _, peak in found), statistics.median(sums)
        spread = f"{min(sums):.1f} to {max(sums):.1f} s; slowest cell {slowest:.1f} s"
        lines.append(Line(name, f"{middle:.1f} s, {memory:.0f} MB", spread, "20 s, 500 MB, 5 s a cell"))
        total += middle
        first.append(sums[0] / sums[-1])
    lines.append(Line("all, in series", f"{total:.0f} s", "", "120 s"))
    lines.append(
        Line(
            "A/A: first run / last run",
            f"{statistics.median(first):.2f} x",
            f"{min(first):.2f} to {max(first):.2f}",
            "1",
        )
    )
    return lines


def ticks(count):
    """A position of an explorer that is no row of its table, in a live kernel, beside a new figure at every tick."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(TICK.replace("TICKS", str(count)))])
    run(notebook)
    printed = "".join(o.get("text", "") for o in notebook.cells[0].outputs)
    result = json.loads(printed.split("RESULT")[1])
    ms = result["ms"]
    return [
        Line(
            f"explore_momentum, median of {count}",
            f"{ms['explorer']:.1f} ms",
            f"computation {result['compute']:.1f} ms",
            "15 ms beside it",
        ),
        Line("A/A: the same explorer again", f"{ms['explorer again'] / ms['explorer']:.2f} x", "", "1"),
        Line("interact with a new figure", f"{ms['interact'] / ms['explorer']:.1f} x", "", "8 x"),
        Line("a row, as it is sent", f"{result['bytes'] / 1e3:.1f} kB", "", "3 kB"),
    ]


def patients(bases):
    """How often ``diagnose`` is right, on seeds that set no threshold."""
    lines, confusions = [], ""
    for families, start, aims in (
        (KNOWN, 3000, ("92 %", "98 %", "2 %")),
        (NEW, 4000, ("92 %", "98 %", "6 %")),
    ):
        title = "kinds it was built on" if families is KNOWN else "kinds it never saw"
        found = list(cases(range(start, start + bases), families, per_run=6))
        numbers, confusion = report(found, f"{title}: {', '.join(families)}")
        confusions += confusion
        lines += [
            Line(f"{title}: right", f"{numbers['right']:.1%} of {numbers['cases']}", aim=aims[0]),
            Line(
                "… without the bugs that are exact to detect",
                f"{numbers['hard']:.1%} of {numbers['hard cases']}",
            ),
            Line("… within the first two names", f"{numbers['second']:.1%}", aim=aims[1]),
            Line(
                "… false alarms",
                f"{numbers['alarms']:.1%} of {numbers['healthy']} healthy",
                aim=aims[2],
            ),
            Line(
                "… benign changes called healthy",
                f"{numbers['calm']:.0%} of {numbers['benign']}",
            ),
        ]
    two = list(pairs(range(5000, 5000 + bases), KNOWN))
    either, both = (sum(column) for column in zip(*two, strict=True)) if two else (0, 0)
    lines.append(Line("two illnesses at once: one of them named", f"{either} of {len(two)}"))
    lines.append(Line("… the other among the alternatives", f"{both} of {len(two)}"))
    return lines, f"\n```{confusions}```\n"


def reports():
    """How many faults that people reported are told, set by set; those on which no rule was set come first."""
    sections = {}
    for name, what in public.SETS.items():
        lines, text = public.report(public.judge(public.cases_of(name)))
        sections[f"Public reports {what}"] = lines, f"\n```\n{text}\n```\n"
    return sections


def page(parts):
    """The page of results, in which the parts that were measured now take the place of the older ones."""
    older = RESULTS.read_text(encoding="utf-8") if RESULTS.exists() else ""
    sections = {text.partition("\n")[0]: f"\n### {text.rstrip()}\n" for text in older.split("\n### ")[1:]}
    sections |= {title: text for title, text in parts.items() if title != "confusions"}
    if "confusions" in parts:
        sections["Diagnosis"] += parts["confusions"]
    where = "\n".join(machine().splitlines()[:-1])  # all but this process's memory
    return f"# What `make bench` measured\n\n```\n{where}\n```\n" + "".join(sections.values())


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.split("\n")[0])
    parser.add_argument("--only", choices=PARTS, action="append")
    parser.add_argument("--write", action="store_true", help="with --only: put its part into results.md")
    parser.add_argument("--rounds", type=int, default=9, help="of each comparison")
    parser.add_argument(
        "--bases", type=int, default=30, help="healthy runs that patients are made from, of each kind"
    )
    parser.add_argument("--repeats", type=int, default=3, help="runs of each lesson, in turn")
    parser.add_argument("--ticks", type=int, default=60)
    options = parser.parse_args()
    torch.set_num_threads(1)
    wanted = options.only or PARTS
    started, parts = time.perf_counter(), {}

    def add(title, lines):
        parts[title] = markdown(title, lines)
        print(parts[title], flush=True)

    if "instruments" in wanted:
        add("Mean-field theory", instruments.theory(options.rounds))
        add("Propagation", instruments.propagating(options.rounds))
        add("Curvature", instruments.curvature(options.rounds))
    if "recorder" in wanted:
        for name, lines in instruments.recorder(options.rounds).items():
            add(f"Recorder on a {name}", lines)
    if "reports" in wanted:
        for title, (lines, text) in reports().items():
            add(title, lines)
            parts[title] += text
    if "patients" in wanted:
        lines, confusions = patients(options.bases)
        add("Diagnosis", lines)
        parts["confusions"] = confusions
        print(confusions, flush=True)
    if "lessons" in wanted:
        add("Lessons", lessons(options.repeats))
        add("A tick of an explorer", ticks(options.ticks))
    print(f"{time.perf_counter() - started:.0f} s in all")
    if options.write or not options.only:
        RESULTS.write_text(page(parts), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
