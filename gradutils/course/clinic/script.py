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

from gradutils.data import digits
from gradutils.models import elman_rnn, init_weights_, mlp
from gradutils.recorder import Recorder
from gradutils.recorder.recording import Recording
from gradutils.schedules import warmup_cosine

STEPS, TRAINED = 100, 0.7  # a run trains where it gets this share of unseen digits right after so many steps


class Played(NamedTuple):
    """What became of one run of a script."""

    accuracy: float  # on digits that were not trained on
    recording: Recording | None  # where it was watched
    loss: tuple[float, ...] = ()
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
def _as_before():
    """What a script prints is dropped, and torch's random state and settings are put back."""
    dtype, graded, threads = torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads()
    checked, device = torch.is_anomaly_enabled(), torch.get_default_device()
    with (
        torch.random.fork_rng(devices=[]),
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)
            torch.set_grad_enabled(graded)
            torch.autograd.set_detect_anomaly(checked)
            if torch.get_num_threads() != threads:
                torch.set_num_threads(threads)
            if torch.get_default_device() != device:
                torch.set_default_device(device)


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
        "Recorder": (lambda net: Recorder(net, cosine=True)) if watched else _LossOnly,
        "pixels": pixels.clone(), "y": y.clone(), "one_hot": F.one_hot(y, 10).float(),
    }  # fmt: skip


def play(script: list[str], seed: int, watched: bool = False, clipping: bool = True) -> Played:
    """Run a script; an error in one of its lines is said in a sentence. Without ``clipping`` its clip does nothing."""
    names, (_, y, train) = _names(seed, watched, clipping), _data()
    with _as_before():
        torch.manual_seed(seed)
        try:
            exec(compile("\n".join(script), "<patient>", "exec"), names)
            with torch.no_grad():
                said = names["net"](names["x"][train:]).argmax(-1)
                accuracy = (said == y[train:]).float().mean().item()
            found = names["recorder"].recording if watched else None
            loss = found.loss.tolist() if watched else names["recorder"].losses
            warms_up = _warms_up(names.get("schedule"))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a line can raise anything; the kernel goes on
            return Played(0.0, None, error=f"{_place(error)}{type(error).__name__}: {str(error)[:200]}")
    return Played(accuracy, found, tuple(loss), warms_up)


def _warms_up(schedule) -> bool:
    """Whether a schedule's rate rises after the first step; what is no LambdaLR does not."""
    if not isinstance(schedule, LambdaLR):
        return False
    first, *later = map(schedule.lr_lambdas[0], range(STEPS))
    return max(later) > first


def _place(error: BaseException) -> str:
    number = getattr(error, "lineno", None) if isinstance(error, SyntaxError) else None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<patient>":
            number = trace.tb_lineno
        trace = trace.tb_next
    return f"Line {number} raises " if number else "The script raises "


def trained(script: list[str], seeds: Iterable[int]) -> int:
    """On how many of the seeds the script trains."""
    return sum(play(script, seed).trained for seed in seeds)
