"""Claims on trial: what each claim says, the card that a trial ends with, and the table of all trials."""

import json
import math
import re
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import quote

from gradutils.course.clinic.patients import PATIENTS
from gradutils.course.display import BLUE, GREY, ORANGE, RED, Card, markdown_table, paragraphs, show

# S: what an article on "the explosive nature of gradient descent" told; W: what is widely taught beside it.
CLAIMS = {
    "S1": "In steep regions a step overshoots: first it oscillates, then it diverges.",
    "S2": "In a deep network the gradients multiply through the layers.",
    "S3": "Exploding gradients make the parameters jump about, and training fails.",
    "S4": "ReLU has large derivatives and so amplifies gradients.",
    "S5": "Initialisation and learning rate decide whether gradients explode.",
    "S6": "Clipping gradients above a threshold prevents explosions.",
    "S7": "Sigmoid and tanh keep gradients in a manageable range.",
    "S8": "Initialise near zero to be stable.",
    "S9": "A smaller learning rate stabilises training.",
    "S10": "Learning-rate schedules help against explosion.",
    "S11": "Clipping is scaling the gradient down by a threshold.",
    "S12": "Together the remedies make training stable.",
    "W1": "A gain of 5/3 is right for tanh.",
    "W2": "With Xavier initialisation a tanh network settles at a fixed variance.",
    "W3": "He initialisation preserves the size of gradients.",
    "W4": "A sigmoid shrinks gradients to a quarter a layer at most, so a gain of 4 repairs it.",
    "W5": "A very deep ReLU network fails because its gradients vanish or explode.",
    "W6": "The framework's default initialisation is fine.",
    "W7": "Two implementations that agree prove the gradient right.",
    "W8": "A recurrent network with a spectral radius above 1 explodes.",
    "W9": "The product of the layers' norms bounds the gradient, so it tells us something.",
    "W10": "A learning rate above 2/sharpness diverges.",
    "W11": "Batch normalisation prevents explosion.",
    "W12": "Transformers with the normalisation after the residual explode.",
    "W13": "With Adam, clipping is useless.",
    "W14": "A lower beta2 protects from spikes.",
    "W15": "With mu-P the best learning rate transfers across widths.",
    "W16": "Take the learning rate at the minimum of the range test.",
    "W17": "Adam does not care how small gradients are.",
    "W18": "Clip gradients at 1, with Adam as well.",
    "W19": "A lower beta2 is safer.",
    "W20": "Weight decay keeps weights small.",
    "W21": "Adam's largest stable rate is 2/sharpness.",
    "W22": "Without 1/sqrt(d) the softmax's gradient becomes extremely small.",
    "W23": "QK-norm keeps attention stable.",
    "W24": "Skip connections stop rank collapse.",
    "W25": "Low attention entropy is the illness.",
    "W26": "bfloat16 has the range of float32, so it trains like it.",
    "W27": "Unstable in low precision? Lower the learning rate.",
    "W28": "The rounding error of a sum grows as the root of its length.",
    "W29": "Adam works in half precision with its default epsilon.",
}

# What each trial decided when a person last looked at it: the tests say when one decides otherwise.
EXPECTED = {
    "holds": ("S2", "W23"),
    "refuted": ("W2", "W5", "W10", "W12", "W16", "W21"),
    "depends": (
        "S1",
        "S3",
        "S4",
        "S5",
        "S6",
        "S7",
        "S8",
        "S9",
        "S10",
        "S11",
        "S12",
        "W1",
        "W3",
        "W4",
        "W6",
        "W7",
        "W8",
        "W9",
        "W11",
        "W13",
        "W14",
        "W15",
        "W17",
        "W18",
        "W19",
        "W20",
        "W22",
        "W24",
        "W25",
        "W26",
        "W27",
        "W28",
        "W29",
    ),
    "not tested": (),
}

OUTCOMES = {
    "holds": ("✓", BLUE),
    "refuted": ("✗", RED),
    "depends": ("◐", ORANGE),
    "not tested": ("○", GREY),
}


# What a claim was found to be, setting by setting ----------------------------------------------------------------------
@dataclass(frozen=True)
class Finding:
    """The number that decides whether a claim is true at one setting, and the bars that it is held against."""

    value: float
    true_at: float  # from here on the claim is true
    false_at: float  # from here on, in the other direction, it is false
    rising: bool  # whether a larger value speaks for the claim

    @property
    def true(self) -> bool | None:
        """None where the value lies between the bars, or is not a number: undecided."""
        sign = 1 if self.rising else -1
        if sign * self.value >= sign * self.true_at:
            return True
        return False if sign * self.value <= sign * self.false_at else None

    @property
    def margin(self) -> float:
        """How far the value lies from the bar that it would have to cross, in its own unit."""
        return min(abs(self.value - self.true_at), abs(self.value - self.false_at))

    def as_json(self) -> dict:
        """JSON knows no infinity: what is not finite becomes a word, which `float` reads."""
        value = float(f"{self.value:.6g}")
        return asdict(self) | {"value": value if math.isfinite(value) else str(value)}


def findings_of(record: dict) -> dict[str, Finding]:
    """What a verdict found at each setting, from its record. (A notebook sorts the keys of a dictionary, and leaves lists alone.)"""
    return {
        each["setting"]: Finding(float(each["value"]), each["true_at"], each["false_at"], each["rising"])
        for each in record.get("found", [])
    }


def at_least(value: float, bar: float, false_at: float | None = None) -> Finding:
    """The claim is true where ``value`` reaches ``bar``, and false below; with ``false_at`` only from there down.

    Raises ValueError where ``false_at`` lies above the bar.
    """
    return _held_against(value, bar, bar if false_at is None else false_at, rising=True)


def at_most(value: float, bar: float, false_at: float | None = None) -> Finding:
    """The claim is true where ``value`` is no larger than ``bar``, and false above; with ``false_at`` only from there up.

    Raises ValueError where ``false_at`` lies below the bar.
    """
    return _held_against(value, bar, bar if false_at is None else false_at, rising=False)


def mostly(count: int, of: int = 10) -> Finding:
    """The claim is true where at least eight of ten bear it out, and false where at most two do."""
    return at_least(count, 0.8 * of, false_at=0.2 * of)


def _held_against(value: float, true_at: float, false_at: float, rising: bool) -> Finding:
    if (false_at > true_at) if rising else (false_at < true_at):
        side = "below" if rising else "above"
        raise ValueError(f"false_at must lie {side} the bar, {true_at:g}; got {false_at:g}")
    return Finding(float(value), float(true_at), float(false_at), rising)


def decide(found: dict[str, Finding], usual: Collection[str] = ()) -> str:
    """The outcome: true everywhere; false wherever it is usually said (everywhere, if ``usual`` is empty); neither; or nothing was tried."""
    if not found:
        return "not tested"
    if all(finding.true for finding in found.values()):
        return "holds"
    if all(found[setting].true is False for setting in usual or found):
        return "refuted"
    return "depends"


def verdict(claim_id: str, found: dict[str, Finding], evidence: str, usual: Collection[str] = ()) -> None:
    """Decide a claim from what was found at each named setting, and show it with the sentence holding the numbers.

    ``found`` maps a setting to `at_least`, `at_most` or `mostly`; `decide` makes the outcome of it. ``usual`` names the
    settings at which the claim is usually made. All of it goes into the output's metadata, too, from which the table of
    all verdicts is put together.

    Raises ValueError for an unknown claim, for settings that are not so decided, for a usual one that was not tried, or for
    empty evidence.
    """
    if claim_id not in CLAIMS:
        raise ValueError(f"claim_id must be one of {', '.join(CLAIMS)}; got {claim_id!r}")
    if not isinstance(evidence, str) or not evidence.strip():
        raise ValueError(f"evidence must be a sentence with the numbers that decided; got {evidence!r}")
    if not isinstance(found, dict) or not all(isinstance(finding, Finding) for finding in found.values()):
        raise ValueError(f"found must map settings to at_least, at_most or mostly; got {found!r}")
    if unknown := [setting for setting in usual if setting not in found]:
        raise ValueError(f"usual must name settings that were tried, {', '.join(found)}; got {unknown[0]!r}")
    outcome = decide(found, usual)
    mark, colour = OUTCOMES[outcome]
    head = f"{mark} Claim {claim_id}: {outcome}."
    texts = [f"“{CLAIMS[claim_id]}”", *filter(None, [where(found)]), evidence]
    record = {"claim": claim_id, "outcome": outcome, "evidence": evidence}
    record["found"] = [{"setting": setting} | finding.as_json() for setting, finding in found.items()]
    html = f"<b>{head}</b>" + paragraphs(*texts)
    show(Card("\n".join([head, *texts]), html, colour), metadata={"gradutils_verdict": record})


def where(found: dict[str, Finding]) -> str:
    """At which settings a claim was found true, false and undecided, as it is read."""
    words = []
    for name, true in (("True", True), ("False", False), ("Undecided", None)):
        settings = [setting for setting, finding in found.items() if finding.true is true]
        words += [f"{name}: {'; '.join(settings)}."] if settings else []
    return " ".join(words)


# All trials together ---------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Trial:
    """One claim's trial, as it stands in an executed solution."""

    claim: str
    outcome: str
    evidence: str
    found: dict[str, Finding]  # setting -> what decided there
    lesson: str  # the notebook's name
    heading: str  # under which the trial begins
    taught: str  # what is said of where the claim is taught, "" where nothing is
    prediction: str  # ours, or the question that was put to the learner

    @property
    def link(self) -> str:
        """The address of the trial from a notebook of the same folder."""
        return f"{self.lesson}.ipynb#{quote(self.heading.replace(' ', '-'), safe=':')}"


def trials(folder: str | Path = "../solutions") -> dict[str, Trial]:
    """Every trial by its claim, read from the outputs of the executed solutions, in the order of `CLAIMS`.

    Raises ValueError where a claim has no trial there, or has two.
    """
    found = {}
    for path in sorted(Path(folder).glob("[0-9][0-9]_*.ipynb")):
        for trial in _trials_of(path.stem, json.loads(path.read_text(encoding="utf-8"))["cells"]):
            if trial.claim in found:
                raise ValueError(
                    f"claim {trial.claim} is tried in {found[trial.claim].lesson} and in {trial.lesson}"
                )
            found[trial.claim] = trial
    missing = [claim_id for claim_id in CLAIMS if claim_id not in found]
    if missing:
        raise ValueError(
            f"{folder} must hold the executed solutions; no trial was found of {', '.join(missing)}"
        )
    return {claim_id: found[claim_id] for claim_id in CLAIMS}


def _trials_of(lesson: str, cells: list[dict]) -> Iterator[Trial]:
    """The trials of one notebook: each verdict, with the text between its heading and itself."""
    begun: dict[str, list[str]] = {}  # claim -> its heading and the text that follows
    for cell in cells:
        source = "".join(cell["source"])
        heading = re.search(r"^#{2,4} (.*Claims? on trial: .*)$", source, re.MULTILINE)
        if heading:
            claims = re.findall(r"\b[SW]\d+\b", heading[1])
            begun |= {claim_id: [heading[1], source[heading.end() :]] for claim_id in claims}
        else:
            for text in begun.values():
                text.append(source)
        for output in cell.get("outputs", []):
            record = output.get("metadata", {}).get("gradutils_verdict")
            if record:
                title, *texts = begun.pop(record["claim"])
                words = _taught(record["claim"], texts[0]), _prediction(record["claim"], "\n\n".join(texts))
                yield Trial(
                    **record | {"found": findings_of(record)},
                    lesson=lesson,
                    heading=title,
                    taught=words[0],
                    prediction=words[1],
                )


def _taught(claim_id: str, text: str) -> str:
    """The first sentence after the claim, which stands between asterisks."""
    paragraph = text.strip().split("\n\n")[0].replace("\n", " ")
    after = paragraph.partition(f"*{CLAIMS[claim_id].rstrip('.')}")[2] or paragraph.removeprefix("*")
    words = re.split(r"(?<=[a-z]{3})\. |; ", after.partition("*")[2].partition("*")[0])[0].strip(" .()")
    return (
        words if re.search("taught|teach|say|said|advise|ask|recommend|misread|carried|given", words) else ""
    )


def _prediction(claim_id: str, text: str) -> str:
    """The paragraph that begins with our prediction, or its part for this claim; else the question asked in its place."""
    ours = re.search(r"\*\*Our prediction\.\*\*\s+(.*?)(?:\n\n|\Z)", text, re.DOTALL)
    if ours:
        parts = re.split(r"\b([SW]\d+): ", ours[1].replace("\n", " "))
        return dict(zip(parts[1::2], parts[2::2], strict=True)).get(claim_id, parts[0]).strip()
    asked = re.search(r"question = \"([^\"]+)\"|predict\(\s*\"[^\"]+\",\s*\"([^\"]+)\"", text)
    return f"Asked: {asked[1] or asked[2]}" if asked else ""


def show_trials(found: dict[str, Trial]) -> None:
    """All trials in one table, each with the way to it."""
    head = ("claim", "predicted", "where", "evidence", "verdict")
    rows = [
        (
            f"[{claim_id}]({trial.link}) {CLAIMS[claim_id]} ({trial.taught or 'often taught'})",
            trial.prediction,
            where(trial.found),
            trial.evidence,
            f"{OUTCOMES[trial.outcome][0]} **{trial.outcome}**",
        )
        for claim_id, trial in found.items()
    ]
    show(markdown_table(head, rows, "\n".join(map(line_of, found.values()))))


def line_of(trial: Trial) -> str:
    """A trial in the plain form of the table."""
    return (
        f"{trial.claim:<4} {trial.outcome:<10} {' '.join(filter(None, [where(trial.found), trial.evidence]))}"
    )


def how_often_true(found: dict[str, Trial]) -> dict[str, int]:
    """Over the settings of all trials: at how many the claim was true, false and undecided."""
    truths = [finding.true for trial in found.values() for finding in trial.found.values()]
    return {"true": truths.count(True), "false": truths.count(False), "undecided": truths.count(None)}


def show_guide(rows: list[tuple[str, str, str, str]], found: dict[str, Trial]) -> None:
    """The evidence of each row of a guide (symptom, measurement, remedy, evidence), with the way to it.

    Evidence is claims, patients and lessons ("06"), separated by spaces. Raises ValueError for one that is not there.
    """
    linked = [(*cells, "; ".join(_link(name, found) for name in names.split())) for *cells, names in rows]
    lines = [" -> ".join(row[:3]).replace("\n", " ") + f"  ({row[3]})" for row in rows]
    show(markdown_table(("symptom", "measurement", "remedy", "evidence"), linked, "\n".join(lines)))


def _link(name: str, found: dict[str, Trial]) -> str:
    """The way to a patient, to a lesson, or to a claim, which is named by its words and its verdict."""
    if name in PATIENTS:
        return f"[patient {name}](12_emergency_room.ipynb)"
    lessons = {trial.lesson[:2]: trial.lesson for trial in found.values()}
    if name in lessons:
        return f"[lesson {name}]({lessons[name]}.ipynb)"
    if name not in found:
        raise ValueError(f"evidence must be a claim, a patient or a lesson; got {name!r}")
    return f"[{CLAIMS[name].rstrip('.')}]({found[name].link}) ({name}: {found[name].outcome})"
