"""From a recording to the name of the illness: the first rule that holds names it, in numbers that do not depend on the
network's size; the others that hold, in their order, are what else it could be. Where none holds, health is only said of a run
that learns."""

import math
import os
from dataclasses import dataclass

from gradutils.recorder.course import BEATEN, HALVED, LEARNT_AT_LAST
from gradutils.recorder.recording import Recording
from gradutils.recorder.rules import BUGS, CAUSES, FACTS, HARDLY_MOVES, HIGH_START, WITHOUT_GRADIENT
from gradutils.recorder.signs import Signs, read_signs
from gradutils.recorder.watching import Recorder
from gradutils.recorder.words import LITTLE, MENDS, REMEDIES, RERUNS, UNCLEAR, UNNAMED, UNSURE


@dataclass(frozen=True)
class Diagnosis:
    """The illness by name, the numbers that say so, what to do, and what else the same numbers allow."""

    illness: str
    evidence: tuple[str, ...]
    remedy: str
    alternatives: tuple[str, ...] = ()

    @property
    def reruns(self) -> dict[str, str]:
        """The cheap run that would tell, for the illness and each alternative that has one."""
        return {name: RERUNS[name] for name in (self.illness, *self.alternatives) if name in RERUNS}

    def __str__(self) -> str:
        lines = [f"{self.illness}: {'; '.join(self.evidence)}.", f"Remedy: {self.remedy}"]
        if self.alternatives:
            lines.append(f"It could also be: {', '.join(self.alternatives)}.")
        lines += [f"To tell ({name}): {rerun}" for name, rerun in self.reruns.items() if self.alternatives]
        return "\n".join(lines)


def diagnose(recorder: Recorder | Recording, *, trivial_loss: float | None = None) -> Diagnosis:
    """Name what ails a recorded run, with its evidence, its remedy and what else it could be.

    ``trivial_loss`` is the loss of the best answer that ignores the input: give it where the recorder does not know the loss, or
    the loss at the start stands in for it. Twenty steps are enough for most illnesses; sixty silence false alarms.
    "missing warmup" cannot be told from a recording and is only ever an alternative. "healthy" is also the name where nothing is
    found: then the evidence and the remedy say whether it learns. Raises ValueError for fewer than 2
    records, TypeError for anything but a recorder or a recording.
    """
    recording = recorder.recording if isinstance(recorder, Recorder) else recorder
    if not isinstance(recording, Recording):
        hint = "; Recording.load(path) reads a saved one" if isinstance(recorder, str | os.PathLike) else ""
        raise TypeError(f"diagnose takes a Recorder or a Recording; got {type(recorder).__name__}{hint}")
    if len(recording) < 2:
        raise ValueError(f"a diagnosis needs at least 2 recorded steps, better 20; got {len(recording)}")
    signs = read_signs(recording, trivial_loss)
    # Where no weight moves nothing else can show.
    found = [rule for rule in (FACTS if signs.unmoved else (*FACTS, *BUGS, *CAUSES)) if rule.holds(signs)]
    if not found:
        return _without_a_name(signs)
    rule, illness = found[0], found[0].illness
    evidence = (rule.says(signs), _stands(signs), *filter(None, [signs.order]))
    others = dict.fromkeys(other.illness for other in found if other.illness != illness)
    if illness in ("learning rate too high", "init too large"):
        others |= dict.fromkeys(["missing warmup"])
    return Diagnosis(illness, evidence, MENDS.get(rule.reason(signs), REMEDIES[illness]), tuple(others))


def _without_a_name(s: Signs) -> Diagnosis:
    """Nothing to mend is said only of what learns; of the rest, what is odd."""
    if s.order:  # what was recorded is not what was meant
        learns = s.falls and not s.poor
        return Diagnosis("healthy", (_stands(s), s.order), REMEDIES["healthy"] if learns else MENDS["order"])
    if s.signed:
        learns = "and falls by more than its noise" if s.falls else "and does not fall by more than its noise"
        return Diagnosis("healthy", (_stands(s), learns), REMEDIES["healthy"] if s.falls else UNCLEAR)
    if s.runs_away:
        grew = f"the targets grew {s.target_growth:.2g} x and the outputs {s.output_growth:.2g} x: they move with each other"
        return Diagnosis("healthy", (_stands(s), grew), MENDS["runaway"])
    if s.falls and not s.poor:
        little = s.compared and (s.end > LEARNT_AT_LAST or (s.end > HALVED and s.start > HIGH_START))
        return Diagnosis(
            "healthy", (_stands(s), *(_odd(s) if little else ())), LITTLE if little else REMEDIES["healthy"]
        )
    if s.opponent:
        return Diagnosis("healthy", (_stands(s), "an optimizer of other parameters steps as often"), UNCLEAR)
    if not s.poor:
        return Diagnosis("healthy", (f"{_stands(s)}, {s.fall:.2g} standard errors below it",), UNSURE)
    if s.falls and s.end < 1:
        evidence = f"{_stands(s)}, {s.fall:.2g} standard errors below it"
        return Diagnosis("healthy", (evidence, *_odd(s)), LITTLE)
    odd = _odd(s) or ("nothing in the recording tells why",)
    return Diagnosis("healthy", (_stands(s), *odd), UNNAMED)


def _stands(s: Signs) -> str:
    """Where the loss is at last."""
    if not math.isfinite(s.end):
        return "the loss is not finite at last"
    if s.signed:
        return f"the loss goes from {s.first:.3g} to {s.last:.3g}"
    return f"the loss {'fell to' if s.end < BEATEN * min(1, s.start) else 'stands at'} {s.end:.2g} x {s.unit}"


def _odd(s: Signs) -> tuple[str, ...]:
    """What is unusual, though no illness."""
    outputs = f", with outputs of RMS {s.output_rms:.2g}" if math.isfinite(s.output_rms) else ""
    seen = {
        f"{s.frozen:.0%} of the weight matrices are frozen": s.frozen > WITHOUT_GRADIENT,
        f"no step changed a weight matrix by more than {s.peak_update:.1g} of its size": s.peak_update
        < HARDLY_MOVES,
        f"the loss started at {s.start:.2g} x {s.unit}{outputs}": s.start > HIGH_START,
        f"the outputs vary over the samples by {s.spread:.1g} of what the targets do": s.spread
        < WITHOUT_GRADIENT,
    }
    return tuple(said for said, holds in seen.items() if holds)
