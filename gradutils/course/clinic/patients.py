"""The patients of the emergency room: one training script, and for each patient the lines that make it ill.

A script is real code. `lines` gives the fourteen lines of a patient; what they may use is listed in `gradutils.course.clinic.treatment`.
"""

from dataclasses import dataclass, field
from difflib import get_close_matches

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
CLIPPED = {CLIP: "        clip_grad_norm_(net.parameters(), 1.0)"}

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


@dataclass(frozen=True)
class Patient:
    """What makes a training run ill, and what counts as its cure.

    changes     line number -> the line that stands there instead of the healthy one
    causes      one dict an illness: each name that is right for it -> the lines where its cause can be mended
    treatment   (illness, line number, new line), one an illness: a cure
    after       what to know once it is healed
    hints       two, weakest first
    needs       line number -> what the new line must contain to mend the cause there
    """

    changes: dict[int, str]
    causes: tuple[dict[str, tuple[int, ...]], ...]
    treatment: tuple[tuple[str, int, str], ...]
    after: str
    hints: tuple[str, ...] = ()
    needs: dict[int, str] = field(default_factory=dict)

    @property
    def is_well(self) -> bool:
        return not self.causes


def lines(patient: Patient, changes: dict[int, str] | None = None) -> list[str]:
    """The patient's script, with further changes on top."""
    changed = patient.changes | (changes or {})
    return [changed.get(number, line) for number, line in enumerate(HEALTHY, start=1)]


def _one(
    changes: dict, causes: dict, illness: str, line: int, after: str, *hints: str, text: str = "", **more
) -> Patient:
    """A patient with one illness, cured by the healthy line unless ``text`` is another."""
    return Patient(
        changes, (causes,), ((illness, line, text or HEALTHY[line - 1].strip()),), after, hints, **more
    )


NORMALISED = {NET: "norm="}  # another activation bears a bad start; it does not mend it
IN_THE_LOOP = (BATCHES, LOSS, CLEAR, BACKWARD, 12, 13, 14)  # gradients can be cleared anywhere in it
SEQUENCES = "x = ((pixels - pixels.mean()) / pixels.std()).view(-1, 8, 8)"
# Lines that differ from the healthy script and do no harm: comparing is not enough.
SLOWER = "optimizer = SGD(net.parameters(), lr=0.03, momentum=0.9)"
SMALL, LARGE = "    for rows in batches(size=32):", "    for rows in batches(size=96):"
SUMMED = '        loss = cross_entropy(net(x[rows]), y[rows], reduction="sum")'

PATIENTS = {
    "09.1": _one(
        {NET: 'net = mlp(4, 96, "relu")', OPTIMIZER: "optimizer = SGD(net.parameters(), lr=1.0, momentum=0.9)", BATCHES: SMALL},
        {"learning rate too high": (OPTIMIZER, SCHEDULE)}, "learning rate too high", OPTIMIZER,
        "At step 0 all was in scale; then the updates became as large as the weights. A clip keeps the numbers finite, and the network ill.",
        "Compare the first point of each panel with what comes after. Is step 0 already out of scale?",
        "The updates become as large as the weights.",
    ),
    "09.2": _one(
        {INIT: "init_weights_(net, 0.0)", OPTIMIZER: SLOWER},
        dict.fromkeys(("zero gradient", "init too small", "dead units"), (INIT,)), "zero gradient", INIT,
        "Zero weights pass nothing on, forward or back. No rate, no clip and no patience moves a weight whose gradient is exactly zero.",
        "Three panels hold almost nothing. What cannot be drawn on a logarithmic axis?",
        "Zero weights pass nothing on, forward or back.",
    ),
    "09.3": _one(
        {NET: 'net = mlp(5, 64, "relu")', INPUTS: "x = pixels", BATCHES: LARGE}, {"inputs not normalised": (INPUTS,)}, "inputs not normalised", INPUTS,
        "A lower rate or a clip trains it, too. Both pay with every later step for what one line mends for good.",
        "What is known before the first layer has done anything?",
        "Look at the RMS and the mean of the inputs.",
    ),
    "09.4": _one(
        {INIT: "init_weights_(net, 4 * 2**0.5)", OPTIMIZER: SLOWER, BATCHES: LARGE},
        {"init too large": (INIT, NET)}, "init too large", INIT,
        "A tenth of the rate would be no help: it is the start that is wrong. A clip drags it out of there, slowly.",
        "Is the loss at step 0 that of a network that knows nothing?",
        "Signals grow from layer to layer, and so do gradients on their way back.",
        needs=NORMALISED,
    ),
    "09.5": _one(
        {NET: 'net = mlp(4, 64, "tanh")', INIT: "init_weights_(net, 0.01)"},
        dict.fromkeys(("init too small", "zero gradient"), (INIT, NET)), "init too small", INIT,
        "Stable, and asleep: the gradients of all layers together are a product of small numbers.",
        "The loss is flat, as in patient 2. What is different in the panels below?",
        "Follow the signals from the inputs to the outputs.",
        text="init_weights_(net, 1.0)",
    ),
    "09.6": Patient(
        {INIT: "pass  # as torch draws it"}, (), (),
        "A plateau is not a death: signals and gradients are small, but far from zero, and the updates grow. It learns within 100 steps.",
        ("Look at the whole of the loss, to its last step.", "How far below the dashed line does it end?"),
    ),
    "09.7": _one(
        {NET: 'net = mlp(3, 96, "relu")', LOSS: SUMMED}, {"loss summed": (LOSS, BACKWARD)}, "loss summed", LOSS,
        "Gradients were 64 times too large, one for each row. A clip or a lower rate hides that, and the next change of batch size brings it back.",
        "The outputs are ordinary at step 0, and so is the start. And the loss?",
        "The loss at step 0 divided by that of a constant answer for one row: it is near the size of a batch.",
    ),
    "09.8": _one(
        {CLEAR: "        optimizer.zero_grad"}, {"gradients not cleared": IN_THE_LOOP}, "gradients not cleared", CLEAR,
        "A function that is named but not called is no error. With a clip it trains, on a sum of all gradients so far.",
        "One panel looks unlike that of any other patient so far.",
        "Each gradient points where the one before it pointed.",
    ),
    "09.9": _one(
        {NET: 'net = mlp(5, 64, "relu")', OPTIMIZER: SLOWER, BACKWARD: "        backward_in_half(loss, net, scale=2.0**24)"},
        {"half-precision overflow": (BACKWARD,)}, "half-precision overflow", BACKWARD,
        "Half precision ends at 65504, and the scale carried the gradients past it. A clip cannot help: the norm is infinite as well.",
        "It died at once. Which number was the first that was not finite?",
        "The loss is ordinary when a gradient overflows.",
        text="backward_in_half(loss, net, scale=2.0**10)",
    ),
    "09.10": _one(
        {NET: 'net = mlp(8, 64, "sigmoid")', INIT: "init_weights_(net, 1.0)"}, {"dead signal": (NET, INIT)}, "dead signal", NET,
        "Not saturated: every unit sits near a half, for every digit. The size of a signal says nothing of what it carries.",
        "The signals have an ordinary size in all layers. Do they carry anything?",
        "How much do samples differ in the last hidden layer?",
        text='net = mlp(8, 64, "tanh")',
    ),
    "09.11": _one(
        {NET: 'net = elman_rnn(8, 64, activation="relu")', INPUTS: SEQUENCES, INIT: "init_weights_(net, 2.0)"},
        {"recurrent explosion": (INIT, NET, CLIP), "init too large": (INIT, NET)}, "recurrent explosion", INIT,
        "In a recurrent network a clip is more than a painkiller: training itself can lead to such cliffs. A start that fits keeps the "
        "product near 1 at first. It is usual to do both.",
        "The same weight is used eight times in a row.",
        "A recurrent weight that stretches does so at every step of the sequence.",
        text="init_weights_(net, 1.0, orthogonal=True)",
    ),
    "09.12": Patient(
        {
            NET: 'net = mlp(2, 64, "tanh")', INIT: "init_weights_(net, 1.0)",
            OPTIMIZER: "optimizer = SGD(net.parameters(), lr=0.6)",
            LOSS: "        loss = mse_loss(net(x[rows]), one_hot[rows])",
        }, (), (),
        "The loss leaps, the network lands where the loss is flatter, and from there the same rate is small enough: a catapult.",
        ("The start is alarming. And then?", "How far below the dashed line does it end?"),
    ),
    "09.13": _one(
        {
            NET: 'net = mlp(6, 64, "relu")', INIT: "init_weights_(net, 2.2)",
            OPTIMIZER: "optimizer = SGD(net.parameters(), lr=0.04, momentum=0.9)",
        },
        {"missing warmup": (SCHEDULE,), "init too large": (INIT, NET), "learning rate too high": (OPTIMIZER, SCHEDULE)},
        "missing warmup", SCHEDULE,
        "Three names are right for this one, and three lines cure it: a start half as large again as it should be, a rate too high for it, "
        "or no time to leave it. A recording cannot tell them apart; a second run can.",
        "Step 0 is out of scale, though less than patient 4 was.",
        "Lines 2, 4 and 5 belong together. A warmup needs time here: half of the 100 steps or more.",
        text="schedule = LambdaLR(optimizer, lambda step: min(1, (step + 1) / 50))", needs=NORMALISED,
    ),
    "09.14": Patient(
        {NET: 'net = mlp(3, 96, "relu")', INPUTS: "x = pixels", BATCHES: SMALL, CLEAR: "        optimizer.zero_grad"},
        ({"inputs not normalised": (INPUTS,)}, {"gradients not cleared": IN_THE_LOOP}),
        (("inputs not normalised", INPUTS, HEALTHY[INPUTS - 1]), ("gradients not cleared", CLEAR, "optimizer.zero_grad()")),
        "Each illness alone kills it. `diagnose` names one: the bug, because bugs are exact to detect. After a repair, look again.",
        ("Two things are wrong, on two lines. One of them is known before the first step.", "You have met both: patients 3 and 8."),
    ),
    "09.15": Patient(
        {NET: 'net = mlp(8, 64, "sigmoid")', INIT: "init_weights_(net, 1.0)", LOSS: SUMMED},
        ({"dead signal": (NET, INIT)}, {"loss summed": (LOSS, BACKWARD)}),
        (("dead signal", NET, 'net = mlp(8, 64, "tanh")'), ("loss summed", LOSS, HEALTHY[LOSS - 1].strip())),
        "The signal that was dead hid the gradients that were 64 times too large: mended alone, the network explodes.",
        ("Two things are wrong. The loss at step 0 is one of them.", "You have met both: patients 7 and 10."),
    ),
}  # fmt: skip
