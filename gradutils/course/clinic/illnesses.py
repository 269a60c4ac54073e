"""The names of the illnesses, and how each shows."""

from difflib import get_close_matches

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
    "attention logits grow": "Growing logits show between step 0 and the middle of the run, and only where there is attention: the signals of "
    "queries and keys leave their scale, those of the other layers less.",
    "relapse": "A relapse shows in the middle of the loss: it had learnt, and then lost it again.",
    "weights do not move": "Where weights do not move the updates lie far below those of a healthy run, or fall to nothing, though there are "
    "gradients.",
    "loss does not fit the outputs": "Where the loss does not fit, all sizes are in scale, and the loss falls a little and stays high; "
    "outputs that hardly grow, or add up to one, tell it from wrong labels.",
    "labels of another order": "Labels of another order show in no norm: all is in scale, the updates go on, and the loss stays at that of "
    "a constant answer. Only the data themselves, a few samples beside their labels, can tell.",
}
THE_NAMES = f"The names are: {', '.join(SIGNS)}."
MEANT = dict.fromkeys(("learning rate too low", "learning rate too small"), "weights do not move")
BEYOND_NORMS = ("labels of another order",)  # what no recording can name


def named(illness) -> str | None:
    """An illness as the course writes it, whatever its capitals and its z; None for what is none."""
    name = illness.strip().lower().replace("ized", "ised") if isinstance(illness, str) else None
    return name if name in SIGNS else None


def no_such(illness) -> str:
    """What is said to whoever gives another name."""
    given = str(illness).lower()
    near = [MEANT[given]] if given in MEANT else get_close_matches(given, SIGNS, 1)
    said = f"Did you mean “{near[0]}”?" if near else THE_NAMES
    return f"There is no illness {str(illness)[:60]!r}. {said}"
