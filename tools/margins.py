"""Does a lesson decide alike on every processor, and how far from its bars? Each solution is run in six kernels.

    python -m tools.margins            all lessons, one kernel at a time: minutes
    python -m tools.margins 01 03      these

Printed are, for every verdict, its outcome and each finding: the smallest and the largest value, the bar, the margin to the
nearer bar, and the spread of the values. Named besides are counts of networks that lie at an edge of their word, and what a
cell printed that is not as it is stored. The exit status is 1 where something flips from one processor to another, or
differs from what is stored.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell

from gradutils.course.display import aligned
from gradutils.course.trials import Finding, findings_of
from gradutils.plots import how_many
from tools.notebooks import BuildError, execute, make_pair, sources, targets

# The instruction sets of a processor of 2008, of 2013 and of this one. torch, MKL and oneDNN read them when they are loaded.
OLD = {"ATEN_CPU_CAPABILITY": "default", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2", "ONEDNN_MAX_CPU_ISA": "SSE41"}
INSTRUCTIONS = {"default": OLD, "avx2": {"ATEN_CPU_CAPABILITY": "avx2"}, "native": {}}
PROCESSORS = {
    f"{name}, {threads} thread{'s' * (threads > 1)}": variables
    | {"GRADUTILS_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
    for name, variables in INSTRUCTIONS.items()
    for threads in (1, 2)
}
# Run before a lesson: each count that is said in a word is shown, too, unseen by whoever reads the text.
LISTEN = """
from IPython.display import display
from gradutils import plots

def heard(counts, how_many=plots.how_many):
    counts = [int(count) for count in counts]
    display({"text/plain": ""}, raw=True, metadata={"gradutils_counts": counts})
    return how_many(counts)

plots.how_many = heard
"""


@dataclass(frozen=True)
class Run:
    """What one kernel found."""

    verdicts: dict[str, dict]  # claim -> its record
    counts: list[tuple[int, list[int]]]  # the cell, and the counts that were said in words
    texts: list[str]  # a cell


def run(source: Path, variables: dict[str, str]) -> Run:
    """Run a solution in a kernel of its own, on the processor that the variables describe."""
    notebook, _ = make_pair(source)
    notebook.cells.insert(0, new_code_cell(LISTEN))
    ours = {name: value for name, value in os.environ.items() if name not in OLD}
    execute(notebook, source, ours | variables)
    return read(notebook.cells[1:])


def read(cells: list) -> Run:
    """What a notebook that was run holds."""
    verdicts, counts, texts = {}, [], []
    for k, cell in enumerate(cells, start=1):
        text = []
        for output in cell.get("outputs", []):
            known = output.get("metadata", {})
            if record := known.get("gradutils_verdict"):
                verdicts[record["claim"]] = record
            if "gradutils_counts" in known:
                counts.append((k, known["gradutils_counts"]))
            else:
                text.append(output.get("text") or output.get("data", {}).get("text/plain", ""))
        texts.append("" if "nbval-ignore-output" in cell.metadata.get("tags", []) else "\n".join(text))
    return Run(verdicts, counts, texts)


# What is said of it ----------------------------------------------------------------------------------------------------
def flips(runs: dict[str, Run], stored: Run) -> list[str]:
    """A sentence for each thing that is not the same everywhere, and for each text that differs from the stored one."""
    found = []
    for claim, records in _by_claim(runs).items():
        outcomes = [record and record["outcome"] for record in records]
        if len(set(outcomes)) > 1:
            found.append(f"{claim} flips: {_where(runs, outcomes)}")
        for setting, findings in _by_setting(records).items():
            truths = [_truth(finding) for finding in findings]
            if len(set(truths)) > 1:
                found.append(f"{claim}, {setting}, flips: {_where(runs, truths)}")
    for cell, counts in _by_call(runs):
        words = [_word(count) for count in counts]
        if len(set(words)) > 1:
            found.append(f"a count in cell {cell} changes its word: {_where(runs, words)}")
    for processor, seen in runs.items():
        for cell, (now, then) in enumerate(zip_longest(seen.texts, stored.texts, fillvalue=""), start=1):
            if now != then:
                found.append(f"cell {cell} prints otherwise with {processor}: {_first_difference(now, then)}")
    return found


def close_calls(runs: dict[str, Run]) -> list[str]:
    """A sentence for each number that lies near a bar: nearer than twice its spread, or than one network of the count."""
    found = []
    for claim, records in _by_claim(runs).items():
        for setting, findings in _by_setting(records).items():
            findings = [finding for finding in findings if finding]
            if 2 * _spread(findings) > min(finding.margin for finding in findings):
                found.append(f"{claim}, {setting}: nearer to its bar than twice the spread")
            elif any(map(_hangs_on_one, findings)):
                found.append(f"{claim}, {setting}: one network more or less would decide otherwise")
    for cell, counts in _by_call(runs):
        near = sorted({count for count in counts if count is not None and _at_an_edge(count)})
        found += [f"a count in cell {cell} lies at the edge of its word: {count}" for count in near]
    return found


def margins(runs: dict[str, Run]) -> str:
    """A table: each verdict, and the finding at each of its settings."""
    rows = [("", "", "", "values", "bar", "margin", "spread")]
    for claim, records in _by_claim(runs).items():
        outcomes = dict.fromkeys(record["outcome"] for record in records if record)
        rows.append((claim, " / ".join(outcomes), "", "", "", "", ""))
        for setting, findings in _by_setting(records).items():
            findings = [finding for finding in findings if finding]
            values = sorted(finding.value for finding in findings)
            margin = min(finding.margin for finding in findings)
            truths = dict.fromkeys(map(_truth, findings))
            numbers = (f"{values[0]:.4g} to {values[-1]:.4g}", _bar(findings[0]), f"{margin:.2g}")
            rows.append(("", " / ".join(truths), setting, *numbers, f"{_spread(findings):.2g}"))
    return aligned(rows)


def _by_claim(runs: dict[str, Run]) -> dict[str, list[dict | None]]:
    claims = dict.fromkeys(claim for seen in runs.values() for claim in seen.verdicts)
    return {claim: [seen.verdicts.get(claim) for seen in runs.values()] for claim in claims}


def _by_setting(records: list[dict | None]) -> dict[str, list[Finding | None]]:
    found = [findings_of(record or {}) for record in records]
    settings = dict.fromkeys(setting for one in found for setting in one)
    return {setting: [one.get(setting) for one in found] for setting in settings}


def _by_call(runs: dict[str, Run]) -> Iterator[tuple[int, list[int | None]]]:
    """Each count that was said in a word: its cell, and what it was on each processor (None: it was not said)."""
    for calls in zip_longest(*(seen.counts for seen in runs.values())):
        cell = next(call[0] for call in calls if call)
        for counts in zip_longest(*(call[1] if call else [] for call in calls)):
            yield cell, list(counts)


def _where(runs: dict[str, Run], answers: list) -> str:
    """Each answer with the processors that gave it."""
    by_answer = {answer: [] for answer in answers}
    for processor, answer in zip(runs, answers, strict=True):
        by_answer[answer].append(processor)
    return "; ".join(
        f"{answer or 'nothing'} with {' and '.join(given)}" for answer, given in by_answer.items()
    )


def _truth(finding: Finding | None) -> str:
    return {True: "true", False: "false", None: "undecided"}[finding.true] if finding else ""


def _spread(findings: list[Finding]) -> float:
    values = [finding.value for finding in findings]
    return 0.0 if len(set(map(repr, values))) == 1 else max(values) - min(values)


def _hangs_on_one(finding: Finding) -> bool:
    """Whether a count would decide otherwise if it were one more, or one less. (What is held against less than 2 is a share.)"""
    if not finding.value.is_integer() or max(finding.true_at, finding.false_at) < 2:
        return False
    return any(replace(finding, value=finding.value + step).true != finding.true for step in (-1, 1))


def _word(count: int | None) -> str:
    return "" if count is None else how_many([count])[0]


def _at_an_edge(count: int) -> bool:
    return len(set(how_many([count - 1, count, count + 1]))) > 1


def _bar(finding: Finding) -> str:
    sign, other = ("≥", "≤") if finding.rising else ("≤", "≥")
    true, false = f"true {sign} {finding.true_at:g}", f"false {other} {finding.false_at:g}"
    return true if finding.true_at == finding.false_at else f"{true}, {false}"


def _first_difference(now: str, then: str) -> str:
    for line, other in zip_longest(now.splitlines(), then.splitlines(), fillvalue=""):
        if line != other:
            return f"{line.strip()!r} in place of {other.strip()!r}"
    return "another number of lines"


def main(arguments: list[str] | None = None, processors: dict[str, dict[str, str]] = PROCESSORS) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.margins", description=__doc__.split("\n")[0])
    parser.add_argument("lessons", nargs="*", help="numbers or names, such as 01; none: all")
    parser.add_argument("--root", type=Path, default=Path.cwd(), help="the folder that holds solutions/")
    options = parser.parse_args(arguments)
    failed = False
    try:
        for source in sources(options.root, options.lessons):
            stored = read(nbformat.read(targets(source)[0], as_version=4).cells)
            runs = {processor: run(source, variables) for processor, variables in processors.items()}
            flipped = flips(runs, stored)
            failed |= bool(flipped)
            said = [f"! {sentence}" for sentence in flipped] + [
                f"? {sentence}" for sentence in close_calls(runs)
            ]
            print(f"{source.stem}, {len(runs)} processors", margins(runs), *said, "", sep="\n", flush=True)
    except (BuildError, OSError) as error:
        print(f"not run: {error}", file=sys.stderr)
        return 1
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
