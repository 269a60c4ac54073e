"""Run the script of a patient of the emergency room.

A script may use what `_names` lists: the course's networks, torch's optimizer, schedule, losses and clip; ``pixels``
(1797, 64), 0 to 16, their labels ``y`` and ``one_hot``; ``batches(size)``, rows to train on; and
``backward_in_half(loss, net, scale)``, a backward pass whose gradients go through 16 bits.
"""

import contextlib
import io
import math
import warnings
from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import LambdaLR

from gradutils.course.limits import TooLongError
from gradutils.course.settings import usual_settings
from gradutils.data import digits
from gradutils.models import elman_rnn, init_weights_, mlp
from gradutils.recorder import Recorder
from gradutils.recorder.recording import Recording
from gradutils.schedules import warmup_cosine

STEPS, TRAINED = 100, 0.7  # a run trains where it gets this share of unseen digits right after so many steps


class TrainingRun(NamedTuple):
    """What became of one run of a script."""

    accuracy: float  # on digits that were not trained on
    recording: Recording | None  # where it was watched
    losses: tuple[float, ...] = ()
    warms_up: bool = False  # its rate rises after the first step
    error: str = ""  # the sentence, where a line raised

    @property
    def trained(self) -> bool:
        return self.accuracy > TRAINED


class _LossOnly:
    """Stands for a recorder where only the loss is looked at: it costs next to nothing."""

    def __init__(self, net: nn.Module):
        self.losses = []

    def __enter__(self):
        return self

    def __exit__(self, *_): ...

    def step(self, loss):
        self.losses.append(loss.item())


def backward_in_half(loss, net, scale):
    """loss.backward(), with gradients that pass through 16 bits, multiplied by ``scale`` on the way."""
    (loss * scale).backward()
    for p in net.parameters():
        p.grad = p.grad.half().float() / scale


@cache
def _data():
    x_train, y_train, x_test, y_test = digits(standardised=False)
    return torch.cat([x_train, x_test]), torch.cat([y_train, y_test]), len(x_train)


def _clip(parameters, max_norm):
    """torch's clip; without a limit it is not called, since to take the norms costs a fifth of a step."""
    if max_norm < math.inf:
        nn.utils.clip_grad_norm_(parameters, max_norm)


def _no_clip(parameters, max_norm):
    """Stands for a clip where it is asked whether a run trains without one."""


@contextlib.contextmanager
def quietly():
    """What a script prints is dropped, and so are its warnings; what it sets is put back."""
    unread = io.StringIO()
    with usual_settings(), contextlib.redirect_stdout(unread), contextlib.redirect_stderr(unread):
        warnings.simplefilter("ignore")
        yield


def _names(seed: int, watched: bool, clipping: bool) -> dict:
    pixels, y, train = _data()
    generator = torch.Generator().manual_seed(seed)

    def batches(size):
        for _ in range(STEPS):
            yield torch.randint(train, (size,), generator=generator)

    return {
        "torch": torch, "nn": nn, "math": math, "inf": math.inf,
        "mlp": mlp, "elman_rnn": elman_rnn, "init_weights_": init_weights_,
        "SGD": torch.optim.SGD, "Adam": torch.optim.Adam, "LambdaLR": LambdaLR, "warmup_cosine": warmup_cosine,
        "F": F, "np": np, "cross_entropy": F.cross_entropy, "mse_loss": F.mse_loss,
        "clip_grad_norm_": _clip if clipping else _no_clip,
        "backward_in_half": backward_in_half, "batches": batches,
        "Recorder": (lambda net: Recorder(net, every=1, cosine=True)) if watched else _LossOnly,
        "pixels": pixels.clone(), "y": y.clone(), "one_hot": F.one_hot(y, 10).float(),
    }  # fmt: skip


def run_script(script: list[str], seed: int, watched: bool = False, clipping: bool = True) -> TrainingRun:
    """Run a script; an error in one of its lines is said in a sentence. Without ``clipping`` its clip does nothing."""
    with quietly():
        names, (_, y, train) = _names(seed, watched, clipping), _data()
        torch.manual_seed(seed)
        try:
            exec(compile("\n".join(script), "<patient>", "exec"), names)
            with torch.no_grad():
                answers = names["net"](names["x"][train:]).argmax(-1)
                accuracy = (answers == y[train:]).float().mean().item()
            recording = names["recorder"].recording if watched else None
            losses = recording.loss.tolist() if watched else names["recorder"].losses
            warms_up = _warms_up(names.get("schedule"))
        except (KeyboardInterrupt, TooLongError):
            raise
        except BaseException as error:  # a line can raise anything; the kernel goes on
            return TrainingRun(0.0, None, error=f"{_place(error)}{type(error).__name__}: {str(error)[:200]}")
    return TrainingRun(accuracy, recording, tuple(losses), warms_up)


def _warms_up(schedule) -> bool:
    """Whether a schedule's rate rises after the first step; what is no LambdaLR does not."""
    if not isinstance(schedule, LambdaLR):
        return False
    first, *later = map(schedule.lr_lambdas[0], range(STEPS))
    return max(later) > first


def _place(error: BaseException) -> str:
    """Where a script raised: the last of its lines that the error went through."""
    number = getattr(error, "lineno", None) if isinstance(error, SyntaxError) else None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<patient>":
            number = trace.tb_lineno
        trace = trace.tb_next
    return f"Line {number} raises " if number else "The script raises "


def count_trained(script: list[str], seeds: Iterable[int]) -> int:
    """On how many of the seeds the script trains."""
    return sum(run_script(script, seed).trained for seed in seeds)
