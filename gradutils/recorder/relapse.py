"""Where a run lost what it had learnt: what leapt first around that step, and what died since."""

from dataclasses import dataclass

from torch import Tensor

from gradutils.recorder.recording import Recording
from gradutils.recorder.threshold import EARLY

LEAPT = 4  # times what was usual before
NEAR = 3  # steps before the one at which the loss left its best


@dataclass(frozen=True)
class Relapse:
    """What the records around a relapse say; see ``Course.left`` for the step."""

    leapt: str  # inputs, gradient or update, whichever leapt first; "" if none did
    leapt_at: int  # its step
    leapt_by: float  # times what was usual before; where nothing leapt, the most that came near
    dead_before: float  # units of the worst layer that were dead before, and are at the end
    dead_after: float


def read_relapse(recording: Recording, left: int) -> dict:
    """The fields of ``Relapse``."""
    found = {"leapt": "", "leapt_at": -1, "leapt_by": 1.0, "dead_before": 0.0, "dead_after": 0.0}
    if left < 0:
        return found
    # Where few steps are recorded, the last one that is.
    latest = recording.steps[recording.steps <= left]
    reach = max(NEAR, left - int(latest[-1])) if len(latest) else NEAR
    before = recording.steps < left - reach
    if before.sum() < 2:
        return found
    dead = recording.dead_fraction.nan_to_num(nan=0.0)
    if dead.numel():
        found |= {"dead_before": dead[before][-1].max().item(), "dead_after": dead[-1].max().item()}
    looked = {
        "inputs": recording.input_rms,
        "gradient": recording.total_grad_norm,
        "update": recording.update_norm.nan_to_num(nan=0.0).square().sum(1).sqrt(),
    }
    near = ((recording.steps >= left - reach) & (recording.steps <= left)).nonzero().flatten()
    for r in near.tolist():
        for what, sizes in looked.items():
            by = _times(sizes, before, r)
            if by > LEAPT:
                return found | {"leapt": what, "leapt_at": int(recording.steps[r]), "leapt_by": by}
            found["leapt_by"] = max(by, found["leapt_by"])
    return found


def _times(sizes: Tensor, before: Tensor, r: int) -> float:
    """One size over the middle one of the last ones before."""
    usual = sizes[before][-EARLY:]
    usual = usual[usual.isfinite()]
    middle = usual.median().item() if len(usual) else 0.0
    return (sizes[r] / middle).nan_to_num(nan=0.0).item() if middle > 0 else 1.0
