"""Run the script of a patient of the emergency room.

A script may use what `_names` lists: the course's networks, torch's optimizers, schedules, losses and clip; ``pixels``
(1797, 64), 0 to 16, their labels ``y`` and ``one_hot``; ``batches(size)``, rows to train on; ``Saved(net, optimizer)``, a
state to go back to; and ``backward_in_half(loss, net, scale)``, a backward pass whose gradients go through 16 bits.
"""

import contextlib
import copy
import io
import math
import warnings
from collections.abc import Iterable
from functools import cache
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, StepLR

from gradutils.course.clinic.nets import attention_net
from gradutils.course.clinic.patient import AS_EVER, Data
from gradutils.course.limits import TooLongError
from gradutils.course.settings import usual_settings
from gradutils.data import digits
from gradutils.models import elman_rnn, init_weights_, mlp
from gradutils.recorder import Recorder
from gradutils.recorder.budget import ALWAYS, Every
from gradutils.recorder.recording import Recording
from gradutils.schedules import warmup, warmup_cosine

TRAINED = 0.7  # a run trains where it gets this share of unseen digits right at its end
LOOKED_AT, SURE = (
    (40, 70),
    0.8,
)  # where more are right so early, the rest of a run that is only judged is not needed
BAD, BAD_STEPS = 64, (60, 61)  # the rows of a bad shard, and when they come
MISSING, FILLED_WITH = (
    5,
    4.9,
)  # so many lines of a picture are missing at first, and what stands there: about the mean
WAKES = 200  # the step from which on nothing is missing


class Reached(NamedTuple):
    """What reached the first weights at step 0, whatever line made it so."""

    rms: float
    mean: float


class TrainingRun(NamedTuple):
    """What became of one run of a script."""

    accuracy: float  # on digits that were not trained on
    recording: Recording | None  # where it was watched
    losses: tuple[float, ...] = ()
    reached: Reached | None = None
    probabilities: bool = (
        False  # whether what entered the first cross-entropy was that already, or a multiple of it
    )
    error: str = ""  # the sentence, where a line raised

    @property
    def trained(self) -> bool:
        return self.accuracy > TRAINED


class _Often(Every):
    """The first 21 steps, and then each tenth: enough for a chart, at a third of the price."""

    def wants(self, step: int) -> bool:
        return step < ALWAYS or super().wants(step)


class _Watching(Recorder):
    """A recorder for a chart."""

    def __init__(self, net: nn.Module):
        super().__init__(net, every=10, cosine=True)
        self._schedule = _Often(10)


class _LossOnly:
    """Stands for a recorder where only the loss is looked at: it costs next to nothing."""

    def __init__(self, net: nn.Module):
        self.losses = []

    def __enter__(self):
        return self

    def __exit__(self, *_): ...

    def step(self, loss):
        self.losses.append(loss.item())


class Saved:
    """A state of a network and its optimizer to go back to: the newest of those kept every ten steps."""

    def __init__(self, net: nn.Module, optimizer: torch.optim.Optimizer):
        self._parts, self._count = (net, optimizer), 0
        self._keep()

    def _keep(self):
        self._states = [copy.deepcopy(part.state_dict()) for part in self._parts]

    def step(self):
        self._count += 1
        if self._count % 10 == 0:
            self._keep()

    def restore(self):
        for part, state in zip(self._parts, self._states, strict=True):
            part.load_state_dict(copy.deepcopy(state))


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


@contextlib.contextmanager
def _watched_losses():
    """Note what enters the first cross-entropy, by whatever name it is called: torch's own loss modules look it up here."""
    seen, usual = [], F.cross_entropy

    def cross_entropy(given, *args, **options):
        if not seen:
            seen.append(_adds_up(given.detach()))
        return usual(given, *args, **options)

    F.cross_entropy = cross_entropy
    try:
        yield seen
    finally:
        F.cross_entropy = usual


def _names(seed: int, watched: bool, clipping: bool, data: Data) -> dict:
    pixels, y, train = _data()
    pixels, generator = pixels.clone(), torch.Generator().manual_seed(seed)
    if data.shard:
        pixels[:BAD] = 160 - 10 * pixels[:BAD]  # as another program writes them
    if data.dark:
        pixels.view(-1, 8, 8)[: train // 2, :MISSING] = FILLED_WITH

    def batches(size):
        for step in range(data.steps):
            even = not data.shard and not data.dark  # what comes late is never skipped
            if not watched and even and step in LOOKED_AT and _accuracy(names) > SURE:
                return
            first, last = 0, train
            if data.shard:
                first, last = (0, BAD) if step in BAD_STEPS else (BAD, train)
            elif data.dark:
                first, last = (0, train // 2) if step < WAKES else (train // 2, train)
            yield torch.randint(first, last, (data.larger * size,), generator=generator)

    def recorder(net):
        _look(net, names)
        return _Watching(net) if watched else _LossOnly(net)

    names = {
        "torch": torch, "nn": nn, "math": math, "inf": math.inf,
        "mlp": mlp, "elman_rnn": elman_rnn, "attention_net": attention_net, "init_weights_": init_weights_,
        "SGD": torch.optim.SGD, "Adam": torch.optim.Adam, "AdamW": torch.optim.AdamW, "RMSprop": torch.optim.RMSprop,
        "LambdaLR": LambdaLR, "StepLR": StepLR, "CosineAnnealingLR": CosineAnnealingLR,
        "warmup": warmup, "warmup_cosine": warmup_cosine, "Saved": Saved,
        "F": SimpleNamespace(**vars(F)), "np": np, "cross_entropy": F.cross_entropy, "mse_loss": F.mse_loss,
        "clip_grad_norm_": _clip if clipping else _no_clip,
        "backward_in_half": backward_in_half, "batches": batches, "Recorder": recorder,
        "pixels": pixels, "y": y.clone(), "one_hot": F.one_hot(y, 10).float(),
    }  # fmt: skip
    return names


def _adds_up(given: torch.Tensor) -> bool:
    """Whether all rows have the same sum, and it is none that is made by taking off a mean."""
    sums = given.sum(-1)
    return bool((sums - sums.mean()).abs().max() < 1e-4 * sums.mean().abs())


def _look(net: nn.Module, names: dict) -> None:
    """Note what reaches the first weights, once."""
    first = next(module for module in net.modules() if isinstance(module, nn.Linear))

    def note(module, args):
        handle.remove()
        names["reached"] = Reached(args[0].square().mean().sqrt().item(), args[0].mean().item())

    handle = first.register_forward_pre_hook(note)


def _accuracy(names: dict) -> float:
    """The share of the unseen digits that are right."""
    _, y, train = _data()
    mine = names["y"]
    if not torch.equal(mine.sort().values, y.sort().values):
        mine = y  # labels in another order are labels, changed ones are none
    dtype = next((p.dtype for p in names["net"].parameters()), torch.float32)
    with torch.no_grad():
        scores = names["net"](names["x"][train:].to(dtype))
    return (scores.argmax(-1) == mine[train:]).float().mean().item()


def run_script(
    script: list[str], seed: int, watched: bool = False, clipping: bool = True, data: Data = AS_EVER
) -> TrainingRun:
    """Run a script; an error in one of its lines is said in a sentence. Without ``clipping`` its clip does nothing."""
    with quietly(), _watched_losses() as seen:
        names = _names(seed, watched, clipping, data)
        torch.manual_seed(seed)
        try:
            exec(compile("\n".join(script), "<patient>", "exec"), names)
            accuracy = _accuracy(names)
            recording = names["recorder"].recording if watched else None
            losses = recording.loss_curve.tolist() if watched else names["recorder"].losses
        except (KeyboardInterrupt, TooLongError):
            raise
        except BaseException as error:  # a line can raise anything; the kernel goes on
            return TrainingRun(0.0, None, error=f"{_place(error)}{type(error).__name__}: {str(error)[:200]}")
    return TrainingRun(accuracy, recording, tuple(losses), names.get("reached"), any(seen))


def _place(error: BaseException) -> str:
    """Where a script raised: the last of its lines that the error went through."""
    number = getattr(error, "lineno", None) if isinstance(error, SyntaxError) else None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<patient>":
            number = trace.tb_lineno
        trace = trace.tb_next
    return f"Line {number} raises " if number else "The script raises "


def count_trained(script: list[str], seeds: Iterable[int], data: Data = AS_EVER) -> int:
    """On how many of the seeds the script trains."""
    return sum(run_script(script, seed, data=data).trained for seed in seeds)
