"""What a patient is: the healthy script, and the lines that differ from it.

A script is real code of fourteen lines. What a line may use is listed in `gradutils.course.clinic.script`.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

HEALTHY = (
    'net = mlp(4, 64, "relu")',
    "init_weights_(net, 2**0.5)",
    "x = (pixels - pixels.mean()) / pixels.std()",
    "optimizer = SGD(net.parameters(), lr=0.05, momentum=0.9)",
    "schedule = LambdaLR(optimizer, lambda step: 1.0)",
    "with Recorder(net) as recorder:",
    "    for rows in batches(size=64):",
    "        loss = cross_entropy(net(x[rows]), y[rows])",
    "        optimizer.zero_grad()",
    "        loss.backward()",
    "        clip_grad_norm_(net.parameters(), inf)",
    "        optimizer.step()",
    "        recorder.step(loss)",
    "        schedule.step()",
)
NET, INIT, INPUTS, OPTIMIZER, SCHEDULE, BATCHES, LOSS, CLEAR, BACKWARD, CLIP = 1, 2, 3, 4, 5, 7, 8, 9, 10, 11
STEP, AFTER = 12, 14
STEPS = 100
SEQUENCES = "x = ((pixels - pixels.mean()) / pixels.std()).view(-1, 8, 8)"
STANDARD = "x = (pixels - 4.9) / 6.0"  # does no harm: nearly what the healthy line does
SUMMED = 'loss = cross_entropy(net(x[rows]), y[rows], reduction="sum")'


def healthy(number: int) -> str:
    """The text of a line of the healthy script."""
    return HEALTHY[number - 1].strip()


def script_with(texts: dict[int, str]) -> list[str]:
    """The healthy script with new texts on some of its lines, each as deep as the line that stood there."""
    depths = [len(line) - len(line.lstrip()) for line in HEALTHY]
    return [" " * depth + texts.get(number, healthy(number)) for number, depth in enumerate(depths, start=1)]


class Change(NamedTuple):
    """A line that is given a new text, to mend an illness."""

    illness: str
    line: int
    text: str


class Data(NamedTuple):
    """What a run trains on."""

    shard: bool = False  # whether 64 of the rows were written in another way
    dark: bool = False  # whether the upper lines of each picture are missing for the first 200 steps
    steps: int = STEPS
    larger: int = 1  # by how much batches are larger than the script asks for


AS_EVER = Data()


# A patient equals itself alone: what has been measured of one is cached by it.
@dataclass(frozen=True, eq=False)
class Patient:
    """What makes a training run ill, and what counts as its cure.

    lines       line number -> the text that stands there instead of the healthy one
    after       what to know once it is healed
    hints       two, weakest first
    causes      one dict an illness: each name that is right for it -> the illness whose sign tells whether it was mended
    treatment   one change an illness: a cure
    clip_cures  whether a clip is a cure here, and no painkiller
    data        what it trains on, where a part of the data is bad
    asides      a word in a new line -> what to say of it where it does not heal
    likely      a wrong name that the chart does suggest -> what to say of it
    """

    id: str
    lines: dict[int, str]
    after: str
    hints: tuple[str, str]
    causes: Sequence[dict[str, str]] = ()
    treatment: Sequence[Change] = ()
    clip_cures: bool = False
    data: Data = AS_EVER
    asides: dict[str, str] = field(default_factory=dict)
    likely: dict[str, str] = field(default_factory=dict)

    @property
    def is_well(self) -> bool:
        return not self.causes

    @property
    def names(self) -> set[str]:
        """All that is right to say of it."""
        return {name for cause in self.causes for name in cause} or {"healthy"}

    def script(self, changes: dict[int, str] | None = None) -> list[str]:
        """Its script, with further changes on top: line number -> text."""
        return script_with(self.lines | (changes or {}))

    def is_named_by(self, names: Collection[str]) -> bool:
        """Whether each of its illnesses is named, and nothing else."""
        each = all(any(name in names for name in cause) for cause in self.causes)
        return each and set(names) <= self.names


def only(*names: str) -> dict[str, str]:
    """The names of one illness, the first of which has the sign that is looked at."""
    return dict.fromkeys(names, names[0])
