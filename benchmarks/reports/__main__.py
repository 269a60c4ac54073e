"""`python -m benchmarks.reports`: how many of the reported faults are told, and which healthy runs are accused."""

import argparse
import time

import torch

from benchmarks.reports import SEEDS, judge, report
from benchmarks.reports.healthy import PRACTICES
from benchmarks.reports.looked_at import REPORTS
from benchmarks.timing import markdown


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reports", description=__doc__)
    parser.add_argument("--only", action="append", default=[], help="names, or the beginnings of names")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    started, wanted = time.perf_counter(), tuple(options.only) or ("",)
    cases = [case for case in (*REPORTS, *PRACTICES) if case.name.startswith(wanted)]
    lines, text = report(judge(cases, options.seeds))
    print(text)
    print(markdown("Public reports", lines))
    print(f"{time.perf_counter() - started:.0f} s in all")


if __name__ == "__main__":
    main()
