"""New patients without end: an illness, a network and a severity drawn at random, always the same for a number.

Those below `HARD` are as ill as the patients of the ward. From there on they are drawn as widely as the runs that `diagnose` is
judged by in ``benchmarks/patients.py``: other optimizers and depths, norms, and severities that start where a run just fails.
"""

import math
import random
from functools import cache
from typing import NamedTuple

from gradutils.course.clinic.patient import (
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
    SUMMED,
    Data,
    script_with,
)
from gradutils.course.clinic.script import TrainingRun, run_script
from gradutils.recorder import Recording

HARD = 100  # the first number of those that are harder
# Names that say of the same run the same thing; a unit of tanh does not die.
ALSO = {
    "zero gradient": ("init too small", "dead units"),
    "relapse": ("inputs not normalised",),
}


class NewPatient(NamedTuple):
    """One that was drawn at random."""

    illness: str
    script: tuple[str, ...]
    recording: Recording

    @property
    def names(self) -> tuple[str, ...]:
        """All that is right to say of it."""
        also = ALSO.get(self.illness, ())
        return self.illness, *(
            name for name in also if name != "dead units" or '"relu"' in self.script[NET - 1]
        )


@cache
def random_patient(number: int) -> NewPatient:
    """The patient of a number. It is drawn again until the illness shows: a sick run does not train, a healthy one does."""
    rng, hard = random.Random(number), number >= HARD
    # Chosen once, or an illness that always shows would come more often.
    chosen = rng.choice(WIDELY) if hard else ""
    while True:
        illness, well, ill = _draw_widely(rng, chosen) if hard else _draw(rng)
        script, data = script_with(well | ill), Data(shard=illness == "relapse")
        if hard and not _learns(twin := run_script(script_with(well), number)):
            continue
        run = run_script(script, number, watched=True, data=data)
        sick = progress(run) < 0.4 * progress(twin) if hard else run.accuracy < 0.5
        if run.trained if illness == "healthy" else sick:
            return NewPatient(illness, tuple(script), run.recording)


def progress(run: TrainingRun) -> float:
    """The share of a constant answer's loss that was taken off at last; -inf for a run that died."""
    end = sum(run.losses[-8:]) / len(run.losses[-8:])
    return 1 - end / math.log(10) if math.isfinite(end) else -math.inf


def _learns(run: TrainingRun) -> bool:
    return progress(run) > 0.15 and run.trained


def _net(depth: int, width: int, activation: str, more: str = "") -> str:
    return f'net = mlp({depth}, {width}, "{activation}"{more})'


def _draw(rng: random.Random) -> tuple[str, dict[int, str], dict[int, str]]:
    """An illness, the lines of a random healthy run, and those that make it ill."""
    activation = rng.choice(["relu", "tanh"])
    depth, width = rng.randint(2, 6), rng.choice([32, 48, 64, 96])
    sigma = 2**0.5 if activation == "relu" else 1.0
    rate, size = rng.choice([0.02, 0.03, 0.05]), rng.choice([32, 64, 96])

    def sgd(rate):
        return f"optimizer = SGD(net.parameters(), lr={rate:.2g}, momentum=0.9)"

    well = {
        NET: _net(depth, width, activation),
        INIT: f"init_weights_(net, {sigma:.3g})",
        OPTIMIZER: sgd(rate),
        BATCHES: f"for rows in batches(size={size}):",
    }
    ill = {
        "healthy": {},
        "learning rate too high": {OPTIMIZER: sgd(rate * 10 ** rng.uniform(1.2, 2.2))},
        "init too large": {INIT: f"init_weights_(net, {sigma * 2 ** rng.uniform(1.8, 3.5):.3g})"},
        "init too small": {INIT: f"init_weights_(net, {sigma * 10 ** -rng.uniform(1.3, 3):.2g})"},
        "zero gradient": {INIT: "init_weights_(net, 0.0)"},
        "dead signal": {NET: _net(rng.randint(6, 9), width, "sigmoid"), INIT: "init_weights_(net, 1)"},
        "inputs not normalised": {INPUTS: f"x = {rng.choice([1, 4, 16])} * pixels"},
        "loss summed": {LOSS: SUMMED},
        "gradients not cleared": {CLEAR: "optimizer.zero_grad"},
        "half-precision overflow": {
            BACKWARD: f"backward_in_half(loss, net, scale=2.0**{rng.randint(24, 36)})"
        },
        "recurrent explosion": {
            NET: f'net = elman_rnn(8, {width}, activation="relu")',
            INIT: f"init_weights_(net, {rng.uniform(1.9, 3):.2g})",
            INPUTS: SEQUENCES,
        },
    }
    illness = rng.choice(list(ill))
    return illness, well, ill[illness]


RATES = {"SGD": (0.05, 0.2), "momentum": (0.01, 0.05), "Adam": (0.001, 0.005), "AdamW": (0.001, 0.005)}
WIDELY = (
    "healthy", "learning rate too high", "init too large", "init too small", "zero gradient", "dead signal",
    "inputs not normalised", "loss summed", "gradients not cleared", "half-precision overflow", "recurrent explosion",
    "saturated", "dead units", "relapse", "weights do not move", "loss does not fit the outputs", "labels of another order",
)  # fmt: skip
GAINS = {"relu": 2**0.5, "gelu": 1.5, "tanh": 1.0}


def _draw_widely(rng: random.Random, illness: str) -> tuple[str, dict[int, str], dict[int, str]]:
    """Like `_draw`, of a given illness, with all optimizers, more depths and norms, and the severities of the benchmark."""
    activation, depth = rng.choice(list(GAINS)), round(2 ** rng.uniform(1, 3.3))
    width, size = round(2 ** rng.uniform(4, 7)), round(2 ** rng.uniform(4, 7))
    sigma, kind = GAINS[activation], rng.choice(list(RATES))
    low, high = RATES[kind]
    rate, norm = low * (high / low) ** rng.random(), ", norm=nn.LayerNorm" if rng.random() < 0.15 else ""

    def optimizer(rate):
        more = ", momentum=0.9" if kind == "momentum" else ""
        return f"optimizer = {kind.replace('momentum', 'SGD')}(net.parameters(), lr={rate:.2g}{more})"

    def init(scale, biases=""):
        said = f"[p.data.copy_({biases}) for p in list(net.parameters())[:-1] if p.ndim == 1]"
        return f"init_weights_(net, {scale:.3g})" + (f", {said}" if biases else "")

    well = {
        NET: _net(depth, width, activation, norm),
        INIT: init(sigma),
        INPUTS: rng.choice(["x = (pixels - 4.9) / 6.0", "x = (pixels - pixels.mean()) / pixels.std()"]),
        OPTIMIZER: optimizer(rate),
        SCHEDULE: rng.choice(
            [f"schedule = LambdaLR(optimizer, {s})" for s in ("lambda step: 1.0", "warmup_cosine(5, 100)")]
        ),
        BATCHES: f"for rows in batches(size={size}):",
    }
    gain, offset, far = 10 ** rng.uniform(1, 2.2) / 6, 10 ** rng.uniform(0, 2), rng.uniform(4, 10)
    ill = {
        "healthy": {},
        "learning rate too high": {OPTIMIZER: optimizer(rate * 10 ** rng.uniform(1, 2.5))},
        "init too large": {INIT: init(sigma * 2 ** rng.uniform(1.2, 4))},
        "init too small": {INIT: init(sigma * 10 ** -rng.uniform(0.8, 3))},
        "zero gradient": {INIT: init(0.0)},
        "dead signal": {NET: _net(rng.randint(5, 9), 64, "sigmoid"), INIT: init(1.0)},
        "inputs not normalised": {INPUTS: f"x = {gain:.3g} * pixels + {offset:.3g}"},
        "loss summed": {LOSS: SUMMED},
        "gradients not cleared": {CLEAR: "optimizer.zero_grad"},
        "half-precision overflow": {BACKWARD: f"backward_in_half(loss, net, scale=2.0**{rng.randint(26, 40)})"},
        "recurrent explosion": {
            NET: f'net = elman_rnn(8, {width}, activation="relu")',
            INIT: init(rng.uniform(1.6, 4)),
            INPUTS: SEQUENCES,
        },
        "saturated": {
            NET: _net(depth, width, "tanh"),
            INIT: init(1.0, f"{0.8 * far:.2g} * torch.randn_like(p).sign()"),
        },
        "dead units": {NET: _net(depth, width, "relu"), INIT: init(0.7, f"torch.full_like(p, -{far:.2g})")},
        "relapse": {INPUTS: "x = (pixels - 4.9) / 6.0"},
        "weights do not move": {SCHEDULE: f"schedule = LambdaLR(optimizer, warmup_cosine(1, {rng.randint(3, 8)}))"},
        "loss does not fit the outputs": {NET: f"net = nn.Sequential({_net(depth, width, activation)[6:]}, nn.Softmax(1))"},
        "labels of another order": {INPUTS: "x = ((pixels - 4.9) / 6.0)[torch.randperm(len(pixels))]"},
    }  # fmt: skip
    if illness == "dead signal":
        well |= {NET: _net(depth, width, "tanh"), INIT: init(1.0)}
    elif illness == "recurrent explosion":
        well |= {NET: ill[illness][NET], INIT: "init_weights_(net, 1.0, orthogonal=True)", INPUTS: SEQUENCES}
    return illness, well, ill[illness]
