"""How the loss went: against a constant answer on the same batches, or where that is not known, against the start.

One batch can be lucky, so nothing is concluded from one loss: losses are added up over a window, and divided by what the constant
answer loses on the same batches. Losses of both signs have no ratio; of them only a fall beyond their noise is told.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from gradutils.recorder.recording import Recording
from gradutils.recorder.threshold import EARLY, Threshold

WINDOW = 5  # losses that are added up before one is compared with another
TINY = 1e-9
LAST_ONES = 20  # constants that are averaged where the step itself was not recorded
MISREAD = 30  # times
MOVED = 2  # times
FEWEST = 4  # losses of which a trend can be told
FIRST_ONES = 5  # of these the middle one is the start, where no constant answer is known
CONSTANT, START = "that of a constant answer", "that at the start"
# Whether it learns, and whether it rose on the way: losses over that of a constant answer.
LEARNT_LATER = Threshold(0.8, well=0.074, ill=1)
LEARNT_AT_LAST = Threshold(0.9, well=0.095, ill=1)
LEAP = Threshold(12, well=1, ill=66)
NOT_BEATEN = Threshold(0.95, well=0.63, ill=1)
RISE = Threshold(2.5, well=1, ill=66)
FAR_ABOVE = Threshold(1.4, well=0.7, ill=35)
WORSE_THAN_AT_FIRST = Threshold(1.2, well=0.62, ill=36)
BEATEN = Threshold(0.955, well=0.63, ill=1)
WELL_BEATEN = Threshold(0.56, well=0.3, ill=1)
HALVED = Threshold(0.5, well=0.074, ill=1)
TWICE_ITS_NOISE = 2
BEYOND_NOISE = Threshold(3, well=82, ill=0)
HAD_LEARNT = Threshold(0.8, well=0.12, ill=1)
LOST = Threshold(0.5, well=0, ill=0.99)


@dataclass(frozen=True)
class Course:
    """How the loss went. A loss is in units of that of a constant answer, or of the start; see ``unit``."""

    trivial: float  # the loss that counts as 1: of the best constant answer, or of the start
    unit: str  # what a loss is compared with, in words
    signed: bool  # the losses have both signs, and no ratio of two of them means anything
    first: float  # the loss of the first record, as it came
    last: float  # the mean of the last ones, as they came
    start: float  # first loss
    rise: float  # largest of the losses up to step 20 / the larger of first and trivial
    peak: float  # largest of all, likewise
    level: float  # of the last six up to step 20
    later: float  # smallest of a window from step 22 on; 1 if there is none, or one that is not finite
    end: float  # of the last sixth
    fall: float  # by how many standard errors the last losses lie below a constant answer's, or below the first ones
    drift: float  # by how much the last quarter lies below the quarter before it; 0 within twice its noise
    steps: int  # the last one recorded
    moves: bool  # the targets themselves are others at last than at first
    shaky: float  # standard error of what a constant answer loses at last, as a share of it
    best: float  # smallest of a window
    best_step: int  # the step in the middle of it
    lost: float  # share of what had been gained by then that is lost at the end
    left: int  # the step at which the loss left its best for good; -1 if it did not

    @property
    def compared(self) -> bool:
        """The loss of a constant answer is known."""
        return self.unit == CONSTANT


def read_course(recording: Recording, trivial_loss: float | None = None) -> dict:
    """The fields of ``Course``."""
    known = recording.trivial_loss if trivial_loss is None else trivial_loss
    compared = math.isfinite(known) and known > 0 and (trivial_loss is not None or _steady(recording))
    steps, loss, constant = _all_losses(recording)
    shaky = 0.0
    if not compared:
        constant = torch.full_like(loss, _start(loss))
    elif trivial_loss is None:
        shaky = _error_of(constant, steps)
        constant = _filled(constant, known)
    else:
        constant = torch.full_like(loss, known)
    early, late, last = steps <= EARLY, steps > EARLY + 1, max(WINDOW, len(loss) // 6)
    trivial = _sound(constant[early].mean().item()) or _sound(constant.mean().item()) or 1.0
    signed = not compared and bool((loss < 0).any())
    scale = max(_sound(loss[0].item()), trivial)
    finite = loss.nan_to_num(nan=math.inf)
    found = {
        "trivial": trivial,
        "unit": CONSTANT if compared else START,
        "signed": signed,
        "first": loss[0].item(),
        "last": loss[-last:].mean().item(),
        "start": loss[0].item() / trivial,
        "rise": finite[early].max().item() / scale if early.any() else 1.0,
        "peak": finite.max().item() / scale,
        "level": _ratio(loss[early][-6:], constant[early][-6:]),
        "later": _least(loss[late], constant[late]),
        "end": _ratio(loss[-last:], constant[-last:]),
        "fall": _fall(loss, constant, compared, shaky),
        "drift": _drift(loss, constant),
        "steps": int(steps[-1]),
        "shaky": shaky,
        "moves": compared and _moves(recording),
    }
    return found | _relapse(steps, loss, constant, found)


def _all_losses(recording: Recording) -> tuple[Tensor, Tensor, Tensor]:
    """Steps, their losses, and what a constant answer loses on their batches, NaN where that was not recorded."""
    curve = recording.loss_steps
    if len(curve) <= len(recording):
        return recording.steps, recording.loss, recording.constant_loss
    forgotten = recording.steps < curve[0]  # of a long run the curve keeps the newest
    steps = torch.cat([recording.steps[forgotten], curve])
    constant = torch.full((len(steps),), math.nan, dtype=torch.float64)
    constant[torch.isin(steps, recording.steps)] = recording.constant_loss[torch.isin(recording.steps, steps)]
    return steps, torch.cat([recording.loss[forgotten], recording.loss_curve]), constant


def _steady(recording: Recording) -> bool:
    """Entropies of targets do not grow with the outputs; where they seem to, they were misread."""
    constant = recording.constant_loss[recording.constant_loss > 0]
    entropy = "entropy" in recording.loss_kind
    return not (entropy and len(constant) and constant.max() > MISREAD * constant[0])


def _moves(recording: Recording) -> bool:
    """Whether the last recorded batches ask of a constant answer much else than the first ones: targets that are computed."""
    constant = recording.constant_loss[recording.constant_loss > 0]
    if len(constant) < 2 * WINDOW or recording.loss_kind != "squared error":
        return False
    return not 1 / MOVED < (constant[-WINDOW:].mean() / constant[:WINDOW].mean()).item() < MOVED


def _filled(constant: Tensor, known: float) -> Tensor:
    """Where it was not recorded, the mean of the last ones recorded before."""
    told = constant.isfinite().nonzero().flatten()
    if not len(told):
        return torch.full_like(constant, known)
    values = constant[told].clamp(min=0)
    means = torch.stack([values[max(0, k - LAST_ONES + 1) : k + 1].mean() for k in range(len(values))])
    before = torch.searchsorted(told, torch.arange(len(constant)), right=True) - 1
    return constant.clamp(min=0).where(constant.isfinite(), means[before.clamp(min=0)])


def _error_of(constant: Tensor, steps: Tensor) -> float:
    """Standard error of the constants at last, over their mean: 0 where enough of the last steps were recorded."""
    told = constant.isfinite()
    late = told & (steps > steps[-1] * 5 / 6)
    if not told.any() or late.sum() >= WINDOW:
        return 0.0
    values = constant[told][-LAST_ONES:]
    if len(values) < 2 or not values.mean() > 0:
        return 0.0
    return (values.std() / values.mean()).item() / math.sqrt(len(values))


def _start(loss: Tensor) -> float:
    """The first loss, or the middle one of the first five where the first was an unlucky one; 1 where neither is a size."""
    early = loss[:FIRST_ONES]
    return min(filter(_sound, (loss[0].item(), early.median().item())), default=1.0)


def _sound(value: float) -> float:
    """The value where it is a size, else 0."""
    return value if math.isfinite(value) and value > 0 else 0.0


def _ratio(loss: Tensor, constant: Tensor) -> float:
    """What some batches lost over what a constant answer loses on them; of none 1."""
    whole = _sound(constant.sum().item())
    return loss.sum().item() / whole if whole else 1.0


def _windows(loss: Tensor, constant: Tensor, width: int) -> Tensor:
    """The same of every window of so many losses, (n - width + 1,); infinite where one is no number."""
    sums = (v.unfold(0, width, 1).sum(1) for v in (loss, constant))
    return torch.div(*sums).nan_to_num(nan=math.inf)


def _least(loss: Tensor, constant: Tensor) -> float:
    if not len(loss) or not loss.isfinite().all():
        return 1.0
    return _windows(loss, constant, min(_width(loss), len(loss))).min().item()


def _width(loss: Tensor) -> int:
    """Of a window, in losses: wide enough that a lucky one is rare."""
    return max(WINDOW, len(loss) // 10)


def _errors_below(low: Tensor, high: Tensor, unsure: float = 0.0) -> float:
    """By how many standard errors one mean lies below another; ``unsure`` is another error of their difference."""
    error = math.sqrt(sum(v.var().item() / len(v) for v in (low, high)) + unsure**2)
    below = (high.mean() - low.mean()).item()
    return below / error if error > 0 else math.copysign(math.inf, below) if below else 0.0


def _fall(loss: Tensor, constant: Tensor, compared: bool, shaky: float) -> float:
    n = len(loss)
    if n < FEWEST or not loss.isfinite().all():
        return 0.0
    if compared:  # of the later half, or of the last third where it fell until then
        gains = [(constant - loss)[-max(2, n // part) :] for part in (2, 3)]
        unsure = shaky * constant.mean().item()
        return max(_errors_below(torch.zeros_like(gained), gained, unsure) for gained in gains)
    first = loss[: max(2, min(WINDOW, n // 3), n // 10)]
    return _errors_below(loss[-max(2, n // 3) :], first)


def _drift(loss: Tensor, constant: Tensor) -> float:
    quarter = len(loss) // 4
    if quarter < WINDOW or not loss.isfinite().all():
        return 0.0
    excess = loss - constant
    last, before = excess[-quarter:], excess[-2 * quarter : -quarter]
    if abs(_errors_below(last, before)) < TWICE_ITS_NOISE:
        return 0.0
    return ((before.mean() - last.mean()) / constant.mean()).item()


def _relapse(steps: Tensor, loss: Tensor, constant: Tensor, found: dict) -> dict:
    """The best that was reached, and whether it was lost."""
    none = {"best": 1.0, "best_step": -1, "lost": 0.0, "left": -1}
    width = _width(loss)
    if len(loss) < 2 * width or found["signed"]:
        return none
    over = _windows(loss, constant, width)
    k = int(over.argmin())
    best, end = over[k].item(), found["end"]
    if not best < 1:
        return none
    ratio = loss / constant.clamp(min=TINY * constant.mean().item())
    noise = ratio[k : k + width].std().item() / math.sqrt(width)
    end = min(end, ratio[-width:].median().item())  # a few outliers are no relapse
    lost = (end - best) / (1 - best) if end - best > BEYOND_NOISE * noise else 0.0
    left = -1
    if lost > LOST and best < HAD_LEARNT:
        far = (
            over > (best + min(end, 1.0)) / 2
        )  # a window this bad begins with or before the step that spoilt it
        near = (~far).nonzero().flatten()
        after = min(int(near[-1]) + width if len(near) else 0, len(loss) - 1)
        left = int(steps[after])
    return none | {"best": best, "best_step": int(steps[k + width // 2]), "lost": lost, "left": left}
