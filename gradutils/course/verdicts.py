"""Claims on trial: what each claim says, and the card that a trial ends with."""

from gradutils.course.display import BLUE, ORANGE, RED, Card, paragraphs, show

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
}

OUTCOMES = {"holds": ("✓", BLUE), "refuted": ("✗", RED), "depends": ("◐", ORANGE)}


def verdict(claim_id: str, outcome: str, evidence: str) -> None:
    """Show what a trial decided: "holds", "refuted" or "depends", with the sentence holding the numbers that decided.

    The same three values go into the output's metadata, from which the table of all verdicts is put together.

    Raises ValueError for an unknown claim, an unknown outcome or empty evidence.
    """
    if claim_id not in CLAIMS:
        raise ValueError(f"claim_id must be one of {', '.join(CLAIMS)}; got {claim_id!r}")
    if outcome not in OUTCOMES:
        raise ValueError(f"outcome must be one of {', '.join(map(repr, OUTCOMES))}; got {outcome!r}")
    if not isinstance(evidence, str) or not evidence.strip():
        raise ValueError(f"evidence must be a sentence with the numbers that decided; got {evidence!r}")
    mark, colour = OUTCOMES[outcome]
    head = f"{mark} Claim {claim_id}: {outcome}."
    claim = f"“{CLAIMS[claim_id]}”"
    html = f"<b>{head}</b>" + paragraphs(claim, evidence)
    record = {"claim": claim_id, "outcome": outcome, "evidence": evidence}
    show(Card(f"{head}\n{claim}\n{evidence}", html, colour), metadata={"gradutils_verdict": record})
