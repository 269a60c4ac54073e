"""Patients of attention, of Adam and of half precision; the others stand in `patients`."""

from gradutils.course.clinic.patient import (
    BATCHES,
    INIT,
    INPUTS,
    LOSS,
    NET,
    OPTIMIZER,
    SCHEDULE,
    STANDARD,
    Change,
    Data,
    Patient,
    healthy,
    only,
)

MODERN = (
    Patient(
        id="12.20",
        lines={
            NET: "net = attention_net(96, norm_qk=False)",
            INIT: "pass  # as torch draws it",
            INPUTS: STANDARD,
            OPTIMIZER: "optimizer = Adam(net.parameters(), lr=0.3, betas=(0.9, 0.95))",
            SCHEDULE: "schedule = LambdaLR(optimizer, warmup(20))",
            BATCHES: "for rows in batches(size=96):",
        },
        causes=[{name: name for name in ("attention logits grow", "learning rate too high")}],
        treatment=[Change("attention logits grow", NET, "net = attention_net(96, norm_qk=True)")],
        after="The rate is ten times what such a net bears, and one part of it does not bear it: queries and keys grow with every step, and a "
        "logit is the product of the two. Values grow as well, but a norm follows them. Divided by their RMS they cannot grow, and the rest trains at this very rate. A lower rate is a "
        "cure as well. A recording tells the two apart only where the softmax is a module of its own; elsewhere `diagnose` says that the "
        "rate is too high, and a second run with the norm tells.",
        hints=(
            "Step 0 is in scale. Which signals have left it by the middle of the run, and which of these does no norm follow?",
            "Line 1 has an option that is off: `norm_qk=True` divides each query and each key by its RMS.",
        ),
        asides={
            "clip": "A clip bounds a gradient, and Adam divides by its size again: the steps are as long as before.",
            "warmup": "A warmup is there, and the logits grow while the rate still rises.",
        },
    ),
    Patient(
        id="12.21",
        lines={
            NET: 'net = mlp(5, 64, "relu")',
            INIT: "pass  # as torch draws it",
            INPUTS: STANDARD,
            OPTIMIZER: "optimizer = Adam(net.parameters(), lr=0.003, eps=0.1)",
        },
        causes=[only("weights do not move")],
        treatment=[Change("weights do not move", OPTIMIZER, "optimizer = Adam(net.parameters(), lr=0.003)")],
        after="Adam divides by the gradient's size plus eps. Where the gradient is far smaller than eps, eps is what it divides by, and the "
        "step shrinks as the gradient does. It hits the layers below the last one hardest, whose gradients are smallest. Torch's own eps "
        "is 1e-8. A larger start, as He's, lifts the gradients and helps as well.",
        hints=(
            "The updates are a straight line, far below that of the healthy run. What divides a gradient before it moves a weight?",
            "The gradients are small and not zero. Line 4 holds a number that is larger than they are.",
        ),
        asides={"clip": "There is nothing to cut: the gradients are small already."},
        likely={
            "init too small": "The signals do shrink, and yet with torch's own eps this very start trains. Look at the updates.",
            "dead signal": "The samples differ little because all signals are small. A dead signal has an ordinary size. Look at the updates.",
            "zero gradient": "The gradients are small, and not zero: each panel holds its lines.",
        },
    ),
    Patient(
        id="12.22",
        lines={
            NET: 'net = mlp(3, 256, "relu")',
            INIT: "init_weights_(net, 2**0.5).to(torch.bfloat16)",
            OPTIMIZER: "optimizer = AdamW(net.parameters(), lr=8e-5)",
            LOSS: "loss = cross_entropy(net(x[rows].to(net.out.weight.dtype)).float(), y[rows])",
        },
        causes=[only("weights do not move")],
        treatment=[Change("weights do not move", INIT, healthy(INIT))],
        after="A weight in bfloat16 has eight binary digits. A step that is smaller than half of its last digit leaves it where it was, however "
        "often it is repeated; only the small weights move. Weights in float32 keep such steps, and so does a copy of them in float32 "
        "beside the network, from which it is rounded after each step. A rate ten times as high would move them as well.",
        hints=(
            "It learns, and slowly. Compare the updates with those of a healthy run, not with zero.",
            "How many digits has a weight, and how large is a step beside the last of them?",
        ),
        asides={
            "clip": "A clip makes no step longer.",
            "float16)": "In float16 Adam's eps of 1e-8 is zero, and where a gradient is zero as well, zero is divided by zero.",
        },
        likely={
            "init too small": "Signals and gradients are in scale at step 0, in every layer.",
            "healthy": "It learns a little, as long as small weights are left to move, and ends close to a constant answer.",
        },
    ),
    Patient(
        id="12.23",
        lines={
            NET: 'net = mlp(3, 96, "tanh")',
            INIT: "init_weights_(net, 1.0)",
            INPUTS: STANDARD,
            OPTIMIZER: "optimizer = Adam(net.parameters(), lr=0.03, betas=(0.0, 0.999))",
        },
        causes=[only("relapse")],
        treatment=[
            Change("relapse", OPTIMIZER, "optimizer = Adam(net.parameters(), lr=0.03, betas=(0.9, 0.95))")
        ],
        data=Data(dark=True, steps=225),
        after="For two hundred steps five of the eight lines of each picture were missing and stood at the mean, which is zero once it is taken off. "
        "So the weights of these pixels had no gradient, and Adam's mean of their squares was zero. When the lines came back, it held one "
        "gradient where it should hold two hundred, and the step was the root of 200 times too long. A smaller beta2 forgets the silence "
        "sooner (0.95 does), a beta1 of 0.9 holds the first steps back, a rate that is warmed up again from step 200 on, for 50 steps, or is ten times lower keeps them short, "
        "and a clip of the update (lesson 09) cuts them. That the sum of squares was stale a recording does not show: it shows that the "
        "update leapt ten times as far as the gradient.",
        hints=(
            "It is well for two hundred steps. How far do the updates leap then, and how far do the gradients of any layer?",
            "Adam divides by what it remembers of the gradient. What does it remember of a pixel that was dark?",
        ),
        asides={
            "clip": "A clip shortens the gradient, and Adam divides by what it remembers of it: of the pixels that were dark, nothing.",
        },
        likely={
            "learning rate too high": "For two hundred steps this rate trains. Something comes at step 200 that it does not bear: name that.",
            "missing warmup": "A warmup at the start is over long before step 200. One that begins there would help: name what happens there.",
            "inputs not normalised": "The vitals say that the inputs stay in scale: what comes at step 200 is as large as what was there before.",
        },
    ),
)
