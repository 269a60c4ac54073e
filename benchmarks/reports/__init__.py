"""Faults that people reported in public, rebuilt small, and healthy practices: what ``diagnose`` is judged by besides patients.

looked_at   reports that the rules were made for, each with its fault and repaired
healthy     practices that look odd to a recorder and are fine: none may be accused
asked_for   other reports and practices, gathered by symptom without a look at the rules; rules were mended after them once
kept_back   others again, gathered by their cause: no rule was set on them

A rebuilt run is checked each time: a faulty one must fail and a repaired one learn, or it is no case (`confirmed`).
"""

import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from importlib import import_module
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.timing import Line
from gradutils.data import digits
from gradutils.recorder import Recorder, Recording, diagnose
from gradutils.recorder.diagnosis import REMEDIES

X, Y, X_TEST, Y_TEST = digits()
SEEDS = (0, 1, 2)


class Report(NamedTuple):
    """One reported fault. ``play(seed, faulty)`` gives the recording of the faulty or of the repaired run."""

    name: str
    source: str  # repository#number
    fault: str
    illness: str  # as a person who knows the fault would name it; "" where no recording can tell
    also: tuple[str, ...]  # other names that are fair
    play: Callable[[int, bool], Recording]


class Practice(NamedTuple):
    """Something that people do and that is fine; ``play(seed)`` gives a recording for each model that it trains."""

    name: str
    what: str
    play: Callable[[int], list[Recording]]


class Outcome(NamedTuple):
    """What ``diagnose`` said of one recording, or the exception that came in place of it."""

    case: str
    kind: str  # faulty, repaired or practice
    seed: int
    illness: str = "healthy"  # the truth
    also: tuple[str, ...] = ()
    named: str = ""
    alternatives: tuple[str, ...] = ()
    calm: bool = False  # "healthy", and said to need no mending
    note: str = ""  # the evidence, or the exception

    @property
    def verdict(self) -> str:
        if not self.named:
            return "exception"
        if self.kind != "faulty":
            return "left alone" if self.named == "healthy" else "accused"
        if {self.named, *self.alternatives[:2]} & self.fair:
            return "told"
        if self.named == "healthy":
            return "called healthy" if self.calm else "not named"
        return "wrong name"

    @property
    def fair(self) -> set[str]:
        return {self.illness, *self.also} - {""}


SETS = {
    "kept_back": "on which no rule was set",
    "asked_for": "gathered without a look at the rules, which were mended after them once",
    "looked_at": "which the rules were made for",
}


def cases_of(name: str) -> list[Report | Practice]:
    """All reports and practices of a set."""
    rooms = [f"benchmarks.reports.{room}" for room in ((name, "healthy") if name == "looked_at" else (name,))]
    rooms = [import_module(room) for room in rooms]  # here, for they import this one
    return [
        case for room in rooms for case in (*getattr(room, "REPORTS", ()), *getattr(room, "PRACTICES", ()))
    ]


def seeded(play: Callable) -> Callable:
    """``play`` with a seed as its first argument, which leaves torch's own generator as it was."""

    @wraps(play)
    def wrapped(seed, *arguments):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return play(*arguments)

    return wrapped


def train(
    model: nn.Module,
    batches: Iterable[tuple],
    loss_fn: Callable[..., Tensor],
    optimizer: torch.optim.Optimizer,
    *,
    clear: Callable[[], object] | None = None,
    accumulate: int = 1,
    before: Callable[[], object] | None = None,
    schedule: torch.optim.lr_scheduler.LRScheduler | None = None,
    every: int = 1,
) -> Recording:
    """The loop that most people write: ``clear``, ``loss_fn(model, *batch)``, backward, ``before``, the optimizer's step.

    ``schedule`` is stepped after as many batches as ``every`` says, and then the recorder is told the learning rate.
    """
    with Recorder(model) as recorder:
        for k, batch in enumerate(batches):
            if k % accumulate == 0:
                (clear or optimizer.zero_grad)()
            loss = loss_fn(model, *batch)
            loss.backward()
            if (k + 1) % accumulate:
                continue
            if before is not None:
                before()
            optimizer.step()
            if schedule is None:
                recorder.step(loss)
            else:
                recorder.step(loss, lr=optimizer.param_groups[0]["lr"])
                if (k + 1) % every == 0:
                    schedule.step()
    return recorder.recording


def drawn(steps: int, batch: int, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Random batches, with replacement; of the digits if nothing else is given."""
    tensors = tensors or (X, Y)
    for _ in range(steps):
        rows = torch.randint(len(tensors[0]), (batch,))
        yield tuple(t[rows] for t in tensors)


def cross_entropy(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(model(x), y)


def squared_error(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return F.mse_loss(model(x), y)


@torch.no_grad()
def accuracy(model: nn.Module, x: Tensor = X_TEST, y: Tensor = Y_TEST) -> float:
    return (model.eval()(x).argmax(-1) == y).float().mean().item()


@torch.no_grad()
def explained(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """R2: 1 is all of the variance, 0 is a constant answer."""
    return 1 - ((model.eval()(x) - y).square().mean() / y.var(0).mean()).item()


def confirmed(recording, faulty: bool, score: float, *, sick: float = float("inf"), well: float):
    """The recording, if the run is what the report says: faulty and no better than ``sick``, or no worse than ``well``."""
    if faulty and score > sick:
        raise AssertionError(f"the faulty run reaches {score:.3g}: it is not sick")
    if not faulty and not score >= well:
        raise AssertionError(f"the run reaches {score:.3g}, less than {well}: it does not learn")
    return recording


def judge(cases: Iterable[Report | Practice], seeds: Iterable[int] = SEEDS) -> list[Outcome]:
    """What is said of each case and seed. An exception is an outcome of its own, of the run or of the diagnosis."""
    outcomes = []
    for case in cases:
        for seed in seeds:
            if isinstance(case, Report):
                truth = {"illness": case.illness, "also": case.also}
                outcomes += named(Outcome(case.name, "faulty", seed, **truth), case.play, seed, True)
                outcomes += named(Outcome(case.name, "repaired", seed), case.play, seed, False)
            else:
                outcomes += named(Outcome(case.name, "practice", seed), case.play, seed)
    return outcomes


def named(blank: Outcome, play: Callable, *arguments) -> list[Outcome]:
    found = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a diagnosis is judged, not what a recorder says meanwhile
            played = play(*arguments)
        for recording in played if isinstance(played, list) else [played]:
            said = diagnose(recording)
            calm = said.illness == "healthy" and said.remedy == REMEDIES["healthy"]
            note = "; ".join(said.evidence)
            found.append(
                blank._replace(named=said.illness, alternatives=said.alternatives, calm=calm, note=note)
            )
    except Exception as error:
        found.append(blank._replace(note=f"{type(error).__name__}: {error}"))
    return found


def settled(outcomes: list[Outcome]) -> str:
    """The verdict of a case: "told" by most of its seeds, or else what most of the others say."""
    votes = Counter(outcome.verdict for outcome in outcomes)
    if 2 * votes["told"] > len(outcomes):
        return "told"
    return next(verdict for verdict, _ in votes.most_common() if verdict != "told")


def report(outcomes: list[Outcome]) -> tuple[list[Line], str]:
    """Lines for the table, and a text with one line a case."""
    cases = defaultdict(list)
    for outcome in outcomes:
        cases[outcome.kind, outcome.case].append(outcome)
    faulty = {name: found for (kind, name), found in cases.items() if kind == "faulty"}
    verdicts = Counter(settled(found) for found in faulty.values())
    tellable = sum(bool(found[0].illness) for found in faulty.values())
    first = sum(2 * sum(o.named in o.fair for o in found) > len(found) for found in faulty.values())
    lines = [
        Line("reported faults told", f"{verdicts['told']} of {len(faulty)}, {tellable} of them can be told"),
        Line("… by the first name", f"{first} of {len(faulty)}"),
        Line("… called healthy though ill", f"{verdicts['called healthy']} of {len(faulty)}"),
        Line("… nothing named", f"{verdicts['not named']} of {len(faulty)}"),
        Line("… a wrong name", f"{verdicts['wrong name']} of {len(faulty)}"),
    ]
    for kind, what in (("repaired", "repaired runs accused"), ("practice", "healthy practices accused")):
        runs = [outcome for outcome in outcomes if outcome.kind == kind]
        lines.append(Line(what, f"{sum(o.verdict == 'accused' for o in runs)} of {len(runs)} runs"))
    broken = sum(outcome.verdict == "exception" for outcome in outcomes)
    lines.append(Line("exceptions", f"{broken} of {len(outcomes)} runs"))
    return lines, "\n".join(in_words(*case) for case in cases.items())


def in_words(key: tuple[str, str], outcomes: list[Outcome]) -> str:
    kind, name = key
    votes = Counter(outcome.verdict for outcome in outcomes)
    verdict = settled(outcomes) if kind == "faulty" else votes.most_common()[0][0]
    shown = next(outcome for outcome in outcomes if outcome.verdict == verdict)
    said = Counter(outcome.named or "exception" for outcome in outcomes)
    names = ", ".join(f"{name} {n}/{len(outcomes)}" for name, n in said.most_common())
    truth = f" [{shown.illness or 'no name'}]" if kind == "faulty" else ""
    return f"{name:<24} {kind:<8} {verdict:<14}{truth} {names}: {shown.note}"
