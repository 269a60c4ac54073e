"""`make bench`: the instruments against the plain way and their peers, patients and their diagnoses, lessons and explorers.

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

from gradutils import machine
from tests.benchmarks import instruments
from tests.benchmarks.patients import KNOWN, NEW, cases, pairs, report
from tests.benchmarks.timing import Line, markdown

ROOT = Path(__file__).parent.parent.parent
RESULTS = Path(__file__).parent / "results.md"

# Runs in a live kernel: every tick sends its messages to a client, as it does under JupyterLab.
TICK = '''
import json, statistics, time
import ipywidgets as widgets
import matplotlib.pyplot as plt
import numpy as np
from IPython.display import display
from gradutils import explorers, plots
from gradutils.explorers import descent
plots.use_style()

def plain(product, beta):
    """What a notebook without an explorer would do: a new figure with the same two panels at every tick."""
    fig, (left, right) = plt.subplots(1, 2)
    x, y = np.linspace(0.02, 4.2, 85), np.linspace(0, 0.98, 50)
    left.imshow(RATES, origin="lower", aspect="auto", extent=(x[0], x[-1], y[0], y[-1]))
    left.plot(descent.momentum_edge("heavy ball", y), y)
    left.plot([product], [beta], "o")
    run = descent.run_momentum_point("heavy ball", product, beta)
    right.semilogy(np.maximum(run.distance, 1e-12))
    right.semilogy(run.rate ** np.arange(len(run.distance)))
    plt.show()

RATES = np.clip(descent.measured_rate("heavy ball", *np.meshgrid(np.linspace(0.02, 4.2, 85), np.linspace(0, 0.98, 50))), 0.6, 1.2)
arms = {"explorer": explorers.explore_momentum(), "explorer again": explorers.explore_momentum()}
product, beta = (widgets.FloatSlider(value=v, min=0, max=4) for v in (1.5, 0.5))
output = widgets.interactive_output(plain, {"product": product, "beta": beta})
display(*arms.values(), output)
moves = {name: arm.sliders["product"] for name, arm in arms.items()} | {"interact": product}
times = {name: [] for name in moves}
for tick in range(TICKS):
    for name, slider in moves.items():
        started = time.perf_counter()
        slider.value = 0.5 + 0.02 * tick
        times[name].append(1e3 * (time.perf_counter() - started))
explorer = arms["explorer"]
compute = []
for tick in range(TICKS):
    started = time.perf_counter()
    explorer.scene.compute(method="heavy ball", product=0.5 + 0.02 * tick, beta=0.9)
    compute.append(1e3 * (time.perf_counter() - started))
print("RESULT" + json.dumps({"ms": {name: statistics.median(values) for name, values in times.items()},
      "compute": statistics.median(compute), "bytes": len(explorer.image.value)}))
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
    print(
        f"{'solution':<28} {'seconds':>8} {'again':>8} {'slowest cell':>13} {'peak MB':>8}   limits: 20 s, 5 s a cell, 500 MB"
    )
    total = 0.0
    for path in sorted((ROOT / "solutions").glob("*.ipynb")):
        runs = [run(nbformat.read(path, as_version=4)) for _ in range(repeats)]
        sums = [sum(seconds.values()) for seconds, _ in runs]
        slowest = statistics.median(max(seconds.values()) for seconds, _ in runs)
        total += sums[0]
        print(
            f"{path.stem:<28} {sums[0]:>8.1f} {sums[-1]:>8.1f} {slowest:>13.1f} {max(peak for _, peak in runs):>8.0f}"
        )
    print(f"{'all, in series':<28} {total:>8.1f}{'':>33} limit: 120 s\n")


def ticks(count):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(TICK.replace("TICKS", str(count)))])
    run(notebook)
    printed = "".join(o.get("text", "") for o in notebook.cells[0].outputs)
    result = json.loads(printed.split("RESULT")[1])
    ms = result["ms"]
    print("a tick of explore_momentum in a live kernel, median of", count)
    print(
        f"  explorer          {ms['explorer']:6.1f} ms, of which computation {result['compute']:.1f} ms; limit 15 ms beside it"
    )
    print(
        f"  explorer again    {ms['explorer again']:6.1f} ms, ratio {ms['explorer again'] / ms['explorer']:.2f} (A/A control)"
    )
    print(
        f"  interact          {ms['interact']:6.1f} ms, ratio {ms['interact'] / ms['explorer']:.1f} (aim: 8)"
    )
    print(f"  a picture         {result['bytes'] / 1e3:6.1f} kB (aim: 20)")


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


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__.split("\n")[0])
    parser.add_argument("--only", choices=("instruments", "recorder", "patients", "lessons"), action="append")
    parser.add_argument("--rounds", type=int, default=9, help="of each comparison")
    parser.add_argument(
        "--bases", type=int, default=30, help="healthy runs that patients are made from, of each kind"
    )
    parser.add_argument(
        "--repeats", type=int, default=2, help="runs of each lesson (the second is the control)"
    )
    parser.add_argument("--ticks", type=int, default=60)
    options = parser.parse_args()
    torch.set_num_threads(1)
    wanted = options.only or ("instruments", "recorder", "patients", "lessons")
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
    if "patients" in wanted:
        lines, confusions = patients(options.bases)
        add("Diagnosis", lines)
        parts["confusions"] = confusions
        print(confusions, flush=True)
    if "lessons" in wanted:
        lessons(options.repeats)
        ticks(options.ticks)
    print(f"{time.perf_counter() - started:.0f} s in all")
    if not options.only:
        where = "\n".join(machine().splitlines()[:-1])  # all but this process's memory
        text = f"# What `make bench` measured\n\n```\n{where}\n```\n" + "".join(parts.values())
        RESULTS.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
