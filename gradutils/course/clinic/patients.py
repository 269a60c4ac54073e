"""The patients of the emergency room: one training script, and for each patient the lines that make it ill.

A script is real code of fourteen lines. What a line may use is listed in `gradutils.course.clinic.script`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import NamedTuple

from gradutils.course.words import meant

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


def healthy(number: int) -> str:
    """The text of a line of the healthy script."""
    return HEALTHY[number - 1].strip()


def script_with(texts: dict[int, str]) -> list[str]:
    """The healthy script with new texts on some of its lines, each as deep as the line that stood there."""
    depths = [len(line) - len(line.lstrip()) for line in HEALTHY]
    return [" " * depth + texts.get(number, healthy(number)) for number, depth in enumerate(depths, start=1)]


# How an illness shows, said to whoever names it where it is not.
SIGNS = {
    "healthy": "A healthy run ends far below the loss of a constant answer.",
    "learning rate too high": "A rate that is too high shows in the updates: they are a large part of the weights, while at step 0 "
    "signals and gradients are in scale, and successive gradients do not line up.",
    "init too large": "A start that is too large shows at step 0, before any update: the inputs are in scale, the outputs and the loss are not.",
    "init too small": "A start that is too small shows at step 0: the signals shrink from layer to layer.",
    "zero gradient": "A zero gradient cannot be drawn: its panels are empty.",
    "dead signal": "A dead signal has an ordinary size, but the samples of a batch hardly differ in the last hidden layer.",
    "saturated": "Saturation as a cause shows at step 0, with ordinary inputs: most outputs lie at a bound of their activation.",
    "dead units": "Dead units as a cause show at step 0: nearly all units of a layer are zero, for every sample.",
    "inputs not normalised": "Bad inputs show in the first point of all: their RMS and their mean.",
    "loss summed": "A summed loss has ordinary outputs at step 0, and a loss as many times too large as the batch has rows.",
    "gradients not cleared": "Gradients that are kept make each one point where the last one did: their cosine is close to 1.",
    "half-precision overflow": "An overflow of half precision kills a run while its loss is ordinary.",
    "recurrent explosion": "Only a recurrent network has it: its recurrent weight stretches.",
    "missing warmup": "A missing warmup shows only in a second run: with one, the same start trains.",
}


def named(illness) -> str | None:
    """An illness as the course writes it, whatever its capitals and its z; None for what is none."""
    name = illness.strip().lower().replace("ized", "ised") if isinstance(illness, str) else None
    return name if name in SIGNS else None


def no_such(illness) -> str:
    """What is said to whoever gives another name."""
    near = get_close_matches(str(illness).lower(), SIGNS, 1)
    said = f"Did you mean “{near[0]}”?" if near else f"The names are: {', '.join(SIGNS)}."
    return f"There is no illness {str(illness)[:60]!r}. {said}"


class Change(NamedTuple):
    """A line that is given a new text, to mend an illness."""

    illness: str
    line: int
    text: str


# A patient equals itself alone: what has been measured of one is cached by it.
@dataclass(frozen=True, eq=False)
class Patient:
    """What makes a training run ill, and what counts as its cure.

    lines       line number -> the text that stands there instead of the healthy one
    after       what to know once it is healed
    hints       two, weakest first
    causes      one dict an illness: each name that is right for it -> the lines where its cause can be mended
    treatment   one change an illness: a cure
    needs       line number -> what the new text must contain to mend the cause there
    """

    id: str
    lines: dict[int, str]
    after: str
    hints: tuple[str, str]
    causes: Sequence[dict[str, Sequence[int]]] = ()
    treatment: Sequence[Change] = ()
    needs: dict[int, str] = field(default_factory=dict)

    @property
    def is_well(self) -> bool:
        return not self.causes

    def script(self, changes: dict[int, str] | None = None) -> list[str]:
        """Its script, with further changes on top: line number -> text."""
        return script_with(self.lines | (changes or {}))

    def lines_of(self, illness: str) -> Sequence[int]:
        """The lines where an illness can be mended; none for an illness that it does not have."""
        return next((cause[illness] for cause in self.causes if illness in cause), ())

    def mends(self, change: Change, lines: Sequence[int]) -> bool:
        """Whether a change is on one of the lines, and holds what it takes there."""
        return change.line in lines and self.needs.get(change.line, "") in change.text


def find_patient(patient_id: str) -> Patient:
    """The patient of an id; ValueError for an id that nobody has."""
    if patient_id not in PATIENTS:
        near = meant(patient_id, PATIENTS)
        said = f". Did you mean {near}?" if near else ""
        raise ValueError(f"patient must be one of {', '.join(PATIENTS)}; got {patient_id!r}{said}")
    return PATIENTS[patient_id]


NORMALISED = {NET: "norm="}  # another activation bears a bad start; it does not mend it
IN_THE_LOOP = [BATCHES, LOSS, CLEAR, BACKWARD, 12, 13, 14]  # gradients can be cleared anywhere in it
SEQUENCES = "x = ((pixels - pixels.mean()) / pixels.std()).view(-1, 8, 8)"
SUMMED = 'loss = cross_entropy(net(x[rows]), y[rows], reduction="sum")'
WARMED_UP = "schedule = LambdaLR(optimizer, lambda step: min(1, (step + 1) / 50))"
# Lines that differ from the healthy script and do no harm: comparing is not enough.
SLOWER = "optimizer = SGD(net.parameters(), lr=0.03, momentum=0.9)"
SMALL, LARGE = "for rows in batches(size=32):", "for rows in batches(size=96):"

ADMITTED = (
    Patient(
        id="09.1",
        lines={
            NET: 'net = mlp(4, 96, "relu")',
            OPTIMIZER: "optimizer = SGD(net.parameters(), lr=1.0, momentum=0.9)",
            BATCHES: SMALL,
        },
        causes=[{"learning rate too high": [OPTIMIZER, SCHEDULE]}],
        treatment=[Change("learning rate too high", OPTIMIZER, healthy(OPTIMIZER))],
        after="At step 0 all was in scale; then the updates became as large as the weights. A clip keeps the numbers finite, and the network ill.",
        hints=(
            "Compare the first point of each panel with what comes after. Is step 0 already out of scale?",
            "The updates become as large as the weights.",
        ),
    ),
    Patient(
        id="09.2",
        lines={INIT: "init_weights_(net, 0.0)", OPTIMIZER: SLOWER},
        causes=[{"zero gradient": [INIT], "init too small": [INIT], "dead units": [INIT]}],
        treatment=[Change("zero gradient", INIT, healthy(INIT))],
        after="Zero weights pass nothing on, forward or back. No rate, no clip and no patience moves a weight whose gradient is exactly zero.",
        hints=(
            "Three panels hold almost nothing. What cannot be drawn on a logarithmic axis?",
            "Zero weights pass nothing on, forward or back.",
        ),
    ),
    Patient(
        id="09.3",
        lines={NET: 'net = mlp(5, 64, "relu")', INPUTS: "x = pixels", BATCHES: LARGE},
        causes=[{"inputs not normalised": [INPUTS]}],
        treatment=[Change("inputs not normalised", INPUTS, healthy(INPUTS))],
        after="A lower rate or a clip trains it, too. Both pay with every later step for what one line mends for good.",
        hints=(
            "What is known before the first layer has done anything?",
            "Look at the RMS and the mean of the inputs.",
        ),
    ),
    Patient(
        id="09.4",
        lines={INIT: "init_weights_(net, 4 * 2**0.5)", OPTIMIZER: SLOWER, BATCHES: LARGE},
        causes=[{"init too large": [INIT, NET]}],
        treatment=[Change("init too large", INIT, healthy(INIT))],
        needs=NORMALISED,
        after="A tenth of the rate would be no help: it is the start that is wrong. A clip drags it out of there, slowly.",
        hints=(
            "Is the loss at step 0 that of a network that knows nothing?",
            "Signals grow from layer to layer, and so do gradients on their way back.",
        ),
    ),
    Patient(
        id="09.5",
        lines={NET: 'net = mlp(4, 64, "tanh")', INIT: "init_weights_(net, 0.01)"},
        causes=[{"init too small": [INIT, NET], "zero gradient": [INIT, NET]}],
        treatment=[Change("init too small", INIT, "init_weights_(net, 1.0)")],
        after="Stable, and asleep: the gradients of all layers together are a product of small numbers.",
        hints=(
            "The loss is flat, as in patient 2. What is different in the panels below?",
            "Follow the signals from the inputs to the outputs.",
        ),
    ),
    Patient(
        id="09.6",
        lines={INIT: "pass  # as torch draws it"},
        after="A plateau is not a death: signals and gradients are small, but far from zero, and the updates grow. It learns within 100 steps.",
        hints=(
            "Look at the whole of the loss, to its last step.",
            "How far below the dashed line does it end?",
        ),
    ),
    Patient(
        id="09.7",
        lines={NET: 'net = mlp(3, 96, "relu")', LOSS: SUMMED},
        causes=[{"loss summed": [LOSS, BACKWARD]}],
        treatment=[Change("loss summed", LOSS, healthy(LOSS))],
        after="Gradients were 64 times too large, one for each row. A clip or a lower rate hides that, and the next change of batch size brings it back.",
        hints=(
            "The outputs are ordinary at step 0, and so is the start. And the loss?",
            "The loss at step 0 divided by that of a constant answer for one row: it is near the size of a batch.",
        ),
    ),
    Patient(
        id="09.8",
        lines={CLEAR: "optimizer.zero_grad"},
        causes=[{"gradients not cleared": IN_THE_LOOP}],
        treatment=[Change("gradients not cleared", CLEAR, healthy(CLEAR))],
        after="A function that is named but not called is no error. With a clip it trains, on a sum of all gradients so far.",
        hints=(
            "One panel looks unlike that of any other patient so far.",
            "Each gradient points where the one before it pointed.",
        ),
    ),
    Patient(
        id="09.9",
        lines={
            NET: 'net = mlp(5, 64, "relu")',
            OPTIMIZER: SLOWER,
            BACKWARD: "backward_in_half(loss, net, scale=2.0**24)",
        },
        causes=[{"half-precision overflow": [BACKWARD]}],
        treatment=[Change("half-precision overflow", BACKWARD, "backward_in_half(loss, net, scale=2.0**10)")],
        after="Half precision ends at 65504, and the scale carried the gradients past it. A clip cannot help: the norm is infinite as well.",
        hints=(
            "It died at once. Which number was the first that was not finite?",
            "The loss is ordinary when a gradient overflows.",
        ),
    ),
    Patient(
        id="09.10",
        lines={NET: 'net = mlp(8, 64, "sigmoid")', INIT: "init_weights_(net, 1.0)"},
        causes=[{"dead signal": [NET, INIT]}],
        treatment=[Change("dead signal", NET, 'net = mlp(8, 64, "tanh")')],
        after="Not saturated: every unit sits near a half, for every digit. The size of a signal says nothing of what it carries.",
        hints=(
            "The signals have an ordinary size in all layers. Do they carry anything?",
            "How much do samples differ in the last hidden layer?",
        ),
    ),
    Patient(
        id="09.11",
        lines={
            NET: 'net = elman_rnn(8, 64, activation="relu")',
            INPUTS: SEQUENCES,
            INIT: "init_weights_(net, 2.0)",
        },
        causes=[{"recurrent explosion": [INIT, NET, CLIP], "init too large": [INIT, NET]}],
        treatment=[Change("recurrent explosion", INIT, "init_weights_(net, 1.0, orthogonal=True)")],
        after="In a recurrent network a clip is more than a painkiller: training itself can lead to such cliffs. A start that fits keeps the "
        "product near 1 at first. It is usual to do both.",
        hints=(
            "The same weight is used eight times in a row.",
            "A recurrent weight that stretches does so at every step of the sequence.",
        ),
    ),
    Patient(
        id="09.12",
        lines={
            NET: 'net = mlp(2, 64, "tanh")',
            INIT: "init_weights_(net, 1.0)",
            OPTIMIZER: "optimizer = SGD(net.parameters(), lr=0.6)",
            LOSS: "loss = mse_loss(net(x[rows]), one_hot[rows])",
        },
        after="The loss leaps, the network lands where the loss is flatter, and from there the same rate is small enough: a catapult.",
        hints=("The start is alarming. And then?", "How far below the dashed line does it end?"),
    ),
    Patient(
        id="09.13",
        lines={
            NET: 'net = mlp(6, 64, "relu")',
            INIT: "init_weights_(net, 2.2)",
            OPTIMIZER: "optimizer = SGD(net.parameters(), lr=0.04, momentum=0.9)",
        },
        causes=[
            {
                "missing warmup": [SCHEDULE],
                "init too large": [INIT, NET],
                "learning rate too high": [OPTIMIZER, SCHEDULE],
            }
        ],
        treatment=[Change("missing warmup", SCHEDULE, WARMED_UP)],
        needs=NORMALISED,
        after="Three names are right for this one, and three lines cure it: a start half as large again as it should be, a rate too high for it, "
        "or no time to leave it. A recording cannot tell them apart; a second run can.",
        hints=(
            "Step 0 is out of scale, though less than patient 4 was.",
            "Lines 2, 4 and 5 belong together. A warmup needs time here: half of the 100 steps or more.",
        ),
    ),
    Patient(
        id="09.14",
        lines={
            NET: 'net = mlp(3, 96, "relu")',
            INPUTS: "x = pixels",
            BATCHES: SMALL,
            CLEAR: "optimizer.zero_grad",
        },
        causes=[{"inputs not normalised": [INPUTS]}, {"gradients not cleared": IN_THE_LOOP}],
        treatment=[
            Change("inputs not normalised", INPUTS, healthy(INPUTS)),
            Change("gradients not cleared", CLEAR, healthy(CLEAR)),
        ],
        after="Each illness alone kills it. `diagnose` names one: the bug, because bugs are exact to detect. After a repair, look again.",
        hints=(
            "Two things are wrong, on two lines. One of them is known before the first step.",
            "You have met both: patients 3 and 8.",
        ),
    ),
    Patient(
        id="09.15",
        lines={NET: 'net = mlp(8, 64, "sigmoid")', INIT: "init_weights_(net, 1.0)", LOSS: SUMMED},
        causes=[{"dead signal": [NET, INIT]}, {"loss summed": [LOSS, BACKWARD]}],
        treatment=[
            Change("dead signal", NET, 'net = mlp(8, 64, "tanh")'),
            Change("loss summed", LOSS, healthy(LOSS)),
        ],
        after="The signal that was dead hid the gradients that were 64 times too large: mended alone, the network explodes.",
        hints=(
            "Two things are wrong. The loss at step 0 is one of them.",
            "You have met both: patients 7 and 10.",
        ),
    ),
)

PATIENTS = {patient.id: patient for patient in ADMITTED}
