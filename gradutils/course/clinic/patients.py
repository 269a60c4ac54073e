"""The patients of the emergency room: for each the lines that make it ill, its names, a cure, and what to know afterwards."""

from gradutils.course.clinic.modern import MODERN
from gradutils.course.clinic.patient import (
    AFTER,
    BACKWARD,
    BATCHES,
    CLEAR,
    INIT,
    INPUTS,
    LOSS,
    NET,
    OPTIMIZER,
    SCHEDULE,
    SEQUENCES,
    STANDARD,
    STEP,
    SUMMED,
    Change,
    Data,
    Patient,
    healthy,
    only,
)
from gradutils.course.words import meant

WARMED_UP = "schedule = LambdaLR(optimizer, lambda step: min(1, (step + 1) / 30))"
# Lines that differ from the healthy script and do no harm: comparing is not enough.
SLOWER = "optimizer = SGD(net.parameters(), lr=0.03, momentum=0.9)"
NESTEROV = "optimizer = SGD(net.parameters(), lr=0.03, momentum=0.9, nesterov=True)"
DECOUPLED = "optimizer = AdamW(net.parameters(), lr=0.003)"
SMALL, LARGE = "for rows in batches(size=32):", "for rows in batches(size=96):"
FALLS = "schedule = LambdaLR(optimizer, warmup_cosine(5, 100))"

ADMITTED = (
    Patient(
        id="12.1",
        lines={
            NET: 'net = mlp(4, 96, "relu")',
            INPUTS: STANDARD,
            OPTIMIZER: "optimizer = SGD(net.parameters(), lr=1.0, momentum=0.9)",
            BATCHES: SMALL,
        },
        causes=[only("learning rate too high")],
        treatment=[Change("learning rate too high", OPTIMIZER, healthy(OPTIMIZER))],
        after="At step 0 all was in scale; then the updates became as large as the weights. A clip keeps the numbers finite, and the network ill.",
        hints=(
            "Compare the first point of each panel with what comes after. Is step 0 already out of scale?",
            "The updates become as large as the weights.",
        ),
    ),
    Patient(
        id="12.2",
        lines={INIT: "init_weights_(net, 0.0)", OPTIMIZER: SLOWER, SCHEDULE: FALLS},
        causes=[only("zero gradient", "init too small", "dead units")],
        treatment=[Change("zero gradient", INIT, healthy(INIT))],
        after="Zero weights pass nothing on, forward or back. No rate, no clip and no patience moves a weight whose gradient is exactly zero.",
        hints=(
            "Three panels hold almost nothing. What cannot be drawn on a logarithmic axis?",
            "Zero weights pass nothing on, forward or back.",
        ),
    ),
    Patient(
        id="12.3",
        lines={
            NET: 'net = mlp(5, 64, "relu")',
            INPUTS: "x = (pixels - 0.1307) / 0.3081",
            SCHEDULE: FALLS,
            BATCHES: LARGE,
        },
        causes=[only("inputs not normalised")],
        treatment=[Change("inputs not normalised", INPUTS, healthy(INPUTS))],
        after="The two numbers are the mean and the standard deviation of MNIST, whose pixels end at 1; these end at 16. A lower rate or a clip "
        "trains it, too, and pays with every later step for what one line mends for good.",
        hints=(
            "What is known before the first layer has done anything?",
            "Look at the RMS and the mean of the inputs.",
        ),
    ),
    Patient(
        id="12.4",
        lines={
            INIT: "init_weights_(net, 4 * 2**0.5)",
            INPUTS: STANDARD,
            OPTIMIZER: SLOWER,
            BATCHES: LARGE,
        },
        causes=[only("init too large")],
        treatment=[Change("init too large", INIT, healthy(INIT))],
        after="A tenth of the rate would be no help: it is the start that is wrong. A clip drags it out of there, slowly.",
        hints=(
            "Is the loss at step 0 that of a network that knows nothing?",
            "Signals grow from layer to layer, and so do gradients on their way back.",
        ),
    ),
    Patient(
        id="12.5",
        lines={
            NET: 'net = mlp(4, 64, "tanh")',
            INIT: "init_weights_(net, 0.01)",
            INPUTS: STANDARD,
            BATCHES: LARGE,
        },
        causes=[only("init too small", "zero gradient")],
        treatment=[Change("init too small", INIT, "init_weights_(net, 1.0)")],
        after="Stable, and asleep: the gradients of all layers together are a product of small numbers.",
        hints=(
            "The loss is flat, as in patient 2. What is different in the panels below?",
            "Follow the signals from the inputs to the outputs.",
        ),
    ),
    Patient(
        id="12.6",
        lines={INIT: "pass  # as torch draws it", INPUTS: STANDARD},
        likely={
            "init too small": "The signals do shrink from layer to layer, and yet it learns: look at where the loss ends, and at the "
            "updates, which rise.",
        },
        after="A plateau is not a death: signals and gradients are small, but far from zero, and the updates grow. It learns within 100 steps.",
        hints=(
            "Look at the whole of the loss, to its last step.",
            "How far below the dashed line does it end?",
        ),
    ),
    Patient(
        id="12.7",
        lines={NET: 'net = mlp(3, 96, "relu")', INPUTS: STANDARD, SCHEDULE: FALLS, LOSS: SUMMED},
        causes=[only("loss summed")],
        treatment=[Change("loss summed", LOSS, healthy(LOSS))],
        after="Gradients were 64 times too large, one for each row. A clip, a lower rate or a division by 64 hides that, and the next change of "
        "the batch size brings it back.",
        hints=(
            "The outputs are ordinary at step 0, and so is the start. And the loss?",
            "The loss at step 0 divided by that of a constant answer for one row: it is near the size of a batch.",
        ),
    ),
    Patient(
        id="12.8",
        lines={
            NET: 'net = mlp(3, 96, "relu")',
            INPUTS: STANDARD,
            OPTIMIZER: SLOWER,
            CLEAR: "optimizer.zero_grad",
        },
        causes=[only("gradients not cleared")],
        treatment=[Change("gradients not cleared", CLEAR, healthy(CLEAR))],
        after="A function that is named but not called is no error. With a clip it trains, on a sum of all gradients so far.",
        hints=(
            "One panel looks unlike that of any other patient so far.",
            "Each gradient points where the one before it pointed.",
        ),
    ),
    Patient(
        id="12.9",
        lines={
            NET: 'net = mlp(5, 64, "relu")',
            OPTIMIZER: DECOUPLED,
            BACKWARD: "backward_in_half(loss, net, scale=2.0**24)",
        },
        causes=[only("half-precision overflow")],
        treatment=[Change("half-precision overflow", BACKWARD, "backward_in_half(loss, net, scale=2.0**10)")],
        after="Half precision ends at 65504, and the scale carried the gradients past it. A clip cannot help: the norm is infinite as well.",
        hints=(
            "It died at once. Which number was the first that was not finite?",
            "The loss is ordinary when a gradient overflows.",
        ),
        likely={
            "zero gradient": "dL/dz is large. A panel is empty where its numbers are not finite: the vitals say which came first.",
        },
    ),
    Patient(
        id="12.10",
        lines={
            NET: 'net = mlp(4, 64, "sigmoid")',
            INIT: "init_weights_(net, 1.0)",
            INPUTS: STANDARD,
            OPTIMIZER: "optimizer = SGD(net.parameters(), lr=0.1, momentum=0.9)",
        },
        causes=[only("dead signal")],
        treatment=[Change("dead signal", NET, 'net = mlp(4, 64, "tanh")')],
        after="Not saturated: every unit sits near a half, for every digit. The size of a signal says nothing of what it carries. Tanh has no "
        "such middle; the sigmoid's own scale, ten times Xavier's, keeps the digits apart as well.",
        hints=(
            "The signals have an ordinary size in all layers. Do they carry anything?",
            "How much do samples differ in the last hidden layer?",
        ),
        asides={
            "LayerNorm": "Why not LayerNorm, the cure of lesson 08? It normalises each sample by itself, and what all samples have in common, "
            "which is nearly all that is left here, stays. BatchNorm1d takes off the mean over the samples.",
        },
    ),
    Patient(
        id="12.11",
        lines={
            NET: 'net = elman_rnn(8, 64, activation="relu")',
            INPUTS: SEQUENCES,
            INIT: "init_weights_(net, 2.0)",
        },
        causes=[only("recurrent explosion", "init too large")],
        treatment=[Change("recurrent explosion", INIT, "init_weights_(net, 1.0, orthogonal=True)")],
        clip_cures=True,
        after="In a recurrent network a clip is more than a painkiller: training itself can lead to such cliffs. A start that fits keeps the "
        "product near 1 at first. It is usual to do both.",
        hints=(
            "The same weight is used eight times in a row.",
            "A recurrent weight that stretches does so at every step of the sequence.",
        ),
    ),
    Patient(
        id="12.12",
        lines={
            NET: 'net = mlp(2, 64, "tanh")',
            INIT: "init_weights_(net, 1.0)",
            OPTIMIZER: "optimizer = SGD(net.parameters(), lr=0.6)",
            LOSS: "loss = mse_loss(net(x[rows]), one_hot[rows])",
        },
        likely={
            "learning rate too high": "Yes, at first: the updates are large, and successive gradients point against each other. And then? "
            "Look at where the loss ends.",
        },
        after="The loss leaps, the network lands where the loss is flatter, and from there the same rate is small enough: a catapult.",
        hints=("The start is alarming. And then?", "How far below the dashed line does it end?"),
    ),
    Patient(
        id="12.13",
        lines={
            NET: 'net = mlp(5, 96, "relu")',
            INIT: "init_weights_(net, 2.1)",
            OPTIMIZER: "optimizer = SGD(net.parameters(), lr=0.06, momentum=0.9)",
        },
        causes=[
            {name: name for name in ("missing warmup", "init too large", "learning rate too high")},
        ],
        treatment=[Change("missing warmup", SCHEDULE, WARMED_UP)],
        after="Three names are right for this one, and three lines cure it: a start half as large again as it should be, a rate too high for it, "
        "or no time to leave it. A recording cannot tell them apart; a second run can.",
        hints=(
            "Step 0 is out of scale, though less than patient 4 was.",
            "Lines 2, 4 and 5 belong together. A warmup of a fifth of the run is enough, as in lesson 07.",
        ),
    ),
    Patient(
        id="12.14",
        lines={
            NET: 'net = mlp(3, 96, "relu")',
            INPUTS: "x = pixels",
            BATCHES: SMALL,
            CLEAR: "optimizer.zero_grad",
        },
        causes=[only("inputs not normalised"), only("gradients not cleared")],
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
        id="12.15",
        lines={
            NET: 'net = mlp(4, 64, "sigmoid")',
            INIT: "init_weights_(net, 1.0)",
            OPTIMIZER: "optimizer = SGD(net.parameters(), lr=0.1, momentum=0.9)",
            LOSS: SUMMED,
        },
        causes=[only("dead signal"), only("loss summed")],
        treatment=[
            Change("dead signal", NET, 'net = mlp(4, 64, "tanh")'),
            Change("loss summed", LOSS, healthy(LOSS)),
        ],
        after="The signal that was dead hid the gradients that were 64 times too large: mended alone, the network explodes.",
        hints=(
            "Two things are wrong. The loss at step 0 is one of them.",
            "You have met both: patients 7 and 10.",
        ),
    ),
    Patient(
        id="12.16",
        lines={
            NET: 'net = mlp(4, 96, "relu")',
            INPUTS: STANDARD,
            OPTIMIZER: "optimizer = SGD(net.parameters(), lr=0.012, momentum=0.9)",
            SCHEDULE: "schedule, saved = LambdaLR(optimizer, lambda step: 1.0), Saved(net, optimizer)",
            AFTER: "schedule.step(), saved.step()",
        },
        causes=[only("relapse", "inputs not normalised")],
        treatment=[Change("relapse", STEP, "saved.restore() if loss > 5 else optimizer.step()")],
        clip_cures=True,
        data=Data(shard=True),
        after="No line of the script is wrong. One part of the data, a shard, was written by another program: black and white exchanged, and "
        "ten times as large. Two batches of it undid what was learnt. To skip such a step, to go back to a state from before it, to clip, or "
        "to bound the inputs: each of them ends the harm, and only the shard itself is the cause. Adam trains as well: "
        "its steps do not grow with the gradient. “Relapse” says when it came, “inputs not normalised” what came: both names are right.",
        hints=(
            "It is well for sixty steps. What do the vitals say of the largest inputs, and when they came?",
            "No line is wrong. Lines 3, 11 and 12 can keep a bad batch from doing harm; `saved.restore()` goes back to an earlier state.",
        ),
        likely={
            "learning rate too high": "For sixty steps this rate trains. Something comes then that it does not bear: name that.",
        },
    ),
    Patient(
        id="12.17",
        lines={
            NET: 'net = mlp(3, 96, "relu")',
            INPUTS: STANDARD,
            OPTIMIZER: DECOUPLED,
            SCHEDULE: "schedule = LambdaLR(optimizer, warmup_cosine(1, 5))",
        },
        causes=[only("weights do not move")],
        treatment=[
            Change("weights do not move", SCHEDULE, "schedule = LambdaLR(optimizer, warmup_cosine(10, 100))")
        ],
        after="The schedule counts epochs, one to warm up and five in all, and it is stepped once per batch. After five batches the rate is zero, "
        "and it stays there. Count the schedule in what it is stepped by.",
        hints=(
            "Gradients are there to the last step. What do they do?",
            "The updates end after a few steps. Who sets the rate, and how often?",
        ),
    ),
    Patient(
        id="12.18",
        lines={
            NET: 'net = nn.Sequential(mlp(4, 64, "relu"), nn.Softmax(dim=1))',
            OPTIMIZER: "optimizer = SGD(net.parameters(), lr=0.005, momentum=0.9)",
            BATCHES: LARGE,
        },
        causes=[only("loss does not fit the outputs")],
        treatment=[Change("loss does not fit the outputs", NET, 'net = mlp(4, 64, "relu")')],
        after="`cross_entropy` takes a softmax itself. Of probabilities it takes it once more, and cannot tell 1 from 0 by more than a factor "
        "of e: even a right answer keeps a loss. A higher rate only goes faster to that floor.",
        hints=(
            "All sizes are in scale, and it learns a little. What can the outputs of this network be?",
            "At step 0 their mean is a tenth: ten numbers that add up to one.",
        ),
    ),
    Patient(
        id="12.19",
        lines={
            NET: 'net = mlp(3, 96, "relu")',
            INPUTS: "x = ((pixels - pixels.mean()) / pixels.std())[torch.randperm(len(pixels))]",
            OPTIMIZER: "optimizer = SGD(net.parameters(), lr=0.01, momentum=0.9)",
            BATCHES: LARGE,
        },
        causes=[only("labels of another order")],
        treatment=[Change("labels of another order", INPUTS, healthy(INPUTS))],
        after="Shuffled once, and the labels were not. No norm can know that: `diagnose` finds no illness, and says that little is learnt. Print "
        "a few samples beside their labels, and try to fit ten of them alone.",
        hints=(
            "Is anything out of scale, at any step? And does it learn?",
            "If all numbers are in order, what is left are the data.",
        ),
    ),
)

PATIENTS = {patient.id: patient for patient in (*ADMITTED, *MODERN)}


def find_patient(patient_id: str) -> Patient:
    """The patient of an id; ValueError for an id that nobody has."""
    if patient_id not in PATIENTS:
        raise ValueError(nobody(patient_id))
    return PATIENTS[patient_id]


def nobody(patient_id) -> str:
    """What is said of an id that no patient has."""
    near = meant(patient_id, PATIENTS)
    said = f" Did you mean {near}?" if near else ""
    return f"There is no patient {str(patient_id)[:60]!r}; there are {', '.join(PATIENTS)}.{said}"
