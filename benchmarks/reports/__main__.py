"""`python -m benchmarks.reports`: how many of the reported faults are told, and which healthy runs are accused."""

import argparse
import time

import torch

from benchmarks.reports import SEEDS, SETS, cases_of, judge, report
from benchmarks.timing import markdown


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reports", description=__doc__)
    parser.add_argument("--set", choices=SETS, default="looked_at")
    parser.add_argument("--only", action="append", default=[], help="names, or the beginnings of names")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    started, wanted = time.perf_counter(), tuple(options.only) or ("",)
    lines, text = report(
        judge((c for c in cases_of(options.set) if c.name.startswith(wanted)), options.seeds)
    )
    print(text)
    print(markdown(f"Public reports: {SETS[options.set]}", lines))
    print(f"{time.perf_counter() - started:.0f} s in all")


if __name__ == "__main__":
    main()
