"""The settings that a learner's code can change for everything that runs after it, and how they are put back.

They are torch's, and beside them numpy's, the random states, the warnings and the working folder. A setting is a row of
`SETTINGS`: a name for sentences, how to read it, how to write it.
"""

import os
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import numpy as np
import torch

from gradutils.recorder.torch_inside import global_hooks, print_options, put_back_global_hooks


class Setting(NamedTuple):
    """One thing that code can leave changed."""

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], Any]
    usual: Any = None  # what the course counts on; None where any value will do


def _default_device() -> torch.device | None:
    """None for one that this machine does not have: torch raises when it is asked for it."""
    try:
        return torch.get_default_device()
    except Exception:
        return None


def _set_default_device(device: torch.device | None) -> None:
    # As torch starts, without a default: one that is named, even the processor, costs a little in every call.
    torch.set_default_device(None if device == torch.device("cpu") else device)


def _deterministic() -> tuple[bool, bool, bool]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.utils.deterministic.fill_uninitialized_memory,
    )


def _set_deterministic(value: tuple[bool, bool, bool]) -> None:
    torch.use_deterministic_algorithms(value[0], warn_only=value[1])
    torch.utils.deterministic.fill_uninitialized_memory = value[2]


def _autocast() -> tuple[bool, torch.dtype]:
    return torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")


def _set_autocast(value: tuple[bool, torch.dtype]) -> None:
    torch.set_autocast_enabled("cpu", value[0])
    torch.set_autocast_dtype("cpu", value[1])


def _working_folder() -> str | None:
    """None for one that has been removed."""
    try:
        return os.getcwd()
    except OSError:
        return None


def _set_working_folder(folder: str | None) -> None:
    with suppress(OSError, TypeError):  # it was removed before the block, or in it
        os.chdir(folder)


SETTINGS = (
    Setting("the default dtype", torch.get_default_dtype, torch.set_default_dtype, torch.float32),
    Setting("the default device", _default_device, _set_default_device, torch.device("cpu")),
    Setting("grad mode", torch.is_grad_enabled, torch.set_grad_enabled, True),
    Setting(
        "anomaly mode",
        lambda: (torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()),
        lambda value: torch.autograd.set_detect_anomaly(*value),
        (False, True),
    ),
    Setting("deterministic mode", _deterministic, _set_deterministic, (False, False, True)),
    Setting("autocast", _autocast, _set_autocast, (False, torch.bfloat16)),
    Setting(
        "the precision of matrix products",
        torch.get_float32_matmul_precision,
        torch.set_float32_matmul_precision,
        "highest",
    ),
    Setting(
        "what becomes of denormal numbers",
        lambda: sys.float_info.min / 2 == 0,  # torch does not say; its setting is the processor's own
        torch.set_flush_denormal,
        False,
    ),
    Setting("the number of threads", torch.get_num_threads, torch.set_num_threads),
    Setting("the hooks of all modules and optimizers", global_hooks, put_back_global_hooks),
    Setting("how torch prints", print_options, lambda value: torch.set_printoptions(**value)),
    Setting("how often torch warns", torch.is_warn_always_enabled, torch.set_warn_always),
    Setting("what numpy does about errors", np.geterr, lambda value: np.seterr(**value)),
    Setting("how numpy prints", np.get_printoptions, lambda value: np.set_printoptions(**value)),
    Setting("the working folder", _working_folder, _set_working_folder),
)


@contextmanager
def usual_settings() -> Iterator[list[str]]:
    """Run a block in the course's usual settings; after it, everything stands as it did before.

    Yields a list that is empty until the block ends and then names the settings that the block left changed. The random
    states, the warnings and inference mode are put back as well, unnamed.
    """
    changed: list[str] = []
    before = [setting.read() for setting in SETTINGS]
    with _random_states_kept(), warnings.catch_warnings(), torch.inference_mode(False):
        start = [
            value if setting.usual is None else setting.usual
            for setting, value in zip(SETTINGS, before, strict=True)
        ]
        try:
            _write(start)
            yield changed
        finally:
            left = [setting.read() for setting in SETTINGS]
            changed += [s.name for s, now, then in zip(SETTINGS, left, start, strict=True) if now != then]
            _write(before)


def _write(values: list) -> None:
    """Write what differs: to set the number of threads anew, for one, is not cheap."""
    for setting, value in zip(SETTINGS, values, strict=True):
        if setting.read() != value:
            setting.write(value)


@contextmanager
def _random_states_kept() -> Iterator[None]:
    """The generators of torch, of numpy and of Python go on after the block as if it had drawn nothing."""
    ours, theirs = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(ours)
        np.random.set_state(theirs)
