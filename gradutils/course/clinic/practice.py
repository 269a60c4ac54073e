"""Cases to practise on: a gallery of loss curves, and new patients without end."""

import math
import random
from functools import cache
from typing import NamedTuple

import torch
from matplotlib import pyplot as plt

from gradutils import plots
from gradutils.course.clinic.chart import show_chart
from gradutils.course.clinic.patients import (
    BACKWARD,
    BATCHES,
    CLEAR,
    HEALTHY,
    INIT,
    INPUTS,
    LOSS,
    NET,
    OPTIMIZER,
    PATIENTS,
    SEQUENCES,
    SUMMED,
    named,
    no_such,
    script_with,
)
from gradutils.course.clinic.script import run_script
from gradutils.course.display import BLUE, GREY, ORANGE, Card, block, paragraphs, show
from gradutils.course.progress import read, record_guess
from gradutils.recorder import Recording, diagnose

# The gallery -----------------------------------------------------------------------------------------------------------
GALLERY = {
    letter: f"09.{number}"
    for letter, number in zip("ABCDEFGHIJK", (9, 4, 11, 2, 7, 5, 1, 10, 3, 8, 13), strict=True)
}


@cache
def _curve(letter: str) -> torch.Tensor:
    return torch.tensor(run_script(PATIENTS[GALLERY[letter]].script(), seed=1).losses)


def gallery() -> None:
    """Eleven loss curves of patients you have met, with another seed and in another order."""
    figure, axes = plt.subplots(3, 4, figsize=(9.6, 5.4), sharex=True, layout="none")
    figure.subplots_adjust(left=0.06, right=0.99, bottom=0.05, top=0.94, wspace=0.25, hspace=0.35)
    for ax, letter in zip(axes.flat, GALLERY, strict=False):
        plots.plot_history(
            ax, {"": _curve(letter)}, colours={"": plots.STABLE}, xlabel="", ylabel="", limit=math.inf
        )
        ax.axhline(math.log(10), color=plots.REFERENCE, linestyle="--", linewidth=1)
        ax.set_title(letter)
        plots.widen_to(ax, 1)
        plots.plain_ticks(ax)
    axes.flat[-1].set_axis_off()
    axes[1, 3].tick_params(labelbottom=True)  # below it is no other panel
    said = "Eleven small panels, A to K: the loss over 100 steps, and dashed that of a constant answer."
    show(plots.caption(figure, said))
    _tell(
        f"The names, each once: {', '.join(sorted(PATIENTS[key].treatment[0][0] for key in GALLERY.values()))}."
    )


def flat_curves() -> str:
    """The letters of the curves that are never further than a fifth from the loss of a constant answer."""
    flat = [letter for letter in GALLERY if ((_curve(letter) / math.log(10) - 1).abs() < 0.2).all()]
    return ", ".join(flat)


def name_curves(answer) -> None:
    """Count how many of the eleven curves were named right. ``answer`` maps a letter to an illness."""
    if not isinstance(answer, dict) or any(name is ... for name in answer.values()):
        _tell('○ Not attempted: give a dictionary, such as {"A": "dead signal", "B": "saturated"}.')
        return
    unknown = [f"There is no curve {str(key)[:60]!r}." for key in answer if key not in GALLERY]
    unknown += [no_such(name) for name in answer.values() if named(name) is None]
    given = [named(name) for name in answer.values()]
    unknown += [
        f"Each name stands once; “{name}” stands {given.count(name)} times."
        for name in given
        if given.count(name) > 1
    ]
    if unknown:
        _tell(unknown[0], ORANGE)
        return
    truth = {letter: PATIENTS[patient_id].causes[0] for letter, patient_id in GALLERY.items()}
    right = [letter for letter in truth if named(answer.get(letter)) in truth[letter]]
    _tell(f"{len(right)} of {len(truth)} named right: {', '.join(right) or 'none'}.", BLUE)


def _tell(said: str, colour: str = GREY) -> None:
    show(Card(said, paragraphs(said), colour))


# Names that say of the same start the same thing.
ALSO = {"zero gradient": ("init too small", "dead units")}


# Patients without end --------------------------------------------------------------------------------------------------
class NewPatient(NamedTuple):
    """One that was drawn at random."""

    illness: str
    script: tuple[str, ...]
    recording: Recording


@cache
def random_patient(seed: int) -> NewPatient:
    """A new patient, always the same for a seed.

    It is drawn again until the illness shows: a sick run does not train, a healthy one does.
    """
    rng = random.Random(seed)
    while True:
        illness, texts = _draw_illness(rng)
        script = script_with(texts)
        run = run_script(script, seed, watched=True)
        if run.trained if illness == "healthy" else run.accuracy < 0.5:
            return NewPatient(illness, tuple(script), run.recording)


def _draw_illness(rng: random.Random) -> tuple[str, dict[int, str]]:
    """An illness and the lines that carry it, of a random network and a random severity."""
    activation = rng.choice(["relu", "tanh"])
    depth, width = rng.randint(2, 6), rng.choice([32, 48, 64, 96])
    sigma = 2**0.5 if activation == "relu" else 1.0
    rate, size = rng.choice([0.02, 0.03, 0.05]), rng.choice([32, 64, 96])

    def net(depth, activation):
        return f'net = mlp({depth}, {width}, "{activation}")'

    def sgd(rate):
        return f"optimizer = SGD(net.parameters(), lr={rate:.2g}, momentum=0.9)"

    well = {
        NET: net(depth, activation),
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
        "dead signal": {NET: net(rng.randint(6, 9), "sigmoid"), INIT: "init_weights_(net, 1)"},
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
    return illness, well | ill[illness]


def admit(seed: int, illness=...) -> None:
    """Show the chart of a new patient, without its script, and judge the name given to it: any whole number is a patient."""
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise ValueError(f"a new patient's number is a whole number; got {seed!r}")
    show_chart([f"New patient {seed}"], random_patient(seed).recording)
    if illness is ...:
        _tell("○ Not attempted: name the illness.")
    elif named(illness) is None:
        _tell(no_such(illness), ORANGE)
    else:
        _judge(seed, named(illness))


def _judge(seed: int, illness: str) -> None:
    """The first guess counts, and is kept beside that of `diagnose`."""
    truth, script, found = random_patient(seed)
    machine, right = diagnose(found).illness, illness in (truth, *ALSO.get(truth, ()))
    record_guess(seed, right, machine == truth)
    head = f"{'✓' if right else '✗'} It is {truth}. You said {illness}, diagnose said {machine}."
    body = "\n".join(
        f"{number:>3}  {line}" for number, line in enumerate(script, start=1) if line != HEALTHY[number - 1]
    )
    show(Card(f"{head}\n{body}", paragraphs(head) + block(body), BLUE if right else ORANGE))


def hit_rate() -> None:
    """How often you and `diagnose` were right about new patients, first guesses only."""
    made = read().guesses.values()
    right, by_rule = sum(guess.right for guess in made), sum(guess.diagnose for guess in made)
    _tell(f"New patients: {len(made)}. You: {right} right. diagnose: {by_rule} right.")
