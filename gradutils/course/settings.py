"""The settings that a learner's code can change for everything that runs after it, and how they are put back.

They are torch's, numpy's, matplotlib's and Python's own; the random states and the warnings go with them. A setting is a
row of `SETTINGS`: a name for sentences, how to read it, how to write it.
"""

import gc
import logging
import math
import operator
import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import torch
from matplotlib import pyplot as plt
from torch import nn
from torch.nn import functional as F

from gradutils.recorder.torch_inside import (
    end_function_modes,
    function_modes,
    global_hooks,
    print_options,
    put_back_global_hooks,
)


class Setting(NamedTuple):
    """One thing that code can leave changed."""

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], Any]
    usual: Any = None  # what the course counts on; None where any value will do
    slow: bool = False  # reading it takes 20 us or more: not looked at between the parts of a block


def _default_device() -> torch.device | None:
    """None for one that this machine does not have: torch raises when it is asked for it."""
    try:
        return torch.get_default_device()
    except AttributeError:  # torch 2.6, once a default was taken back: it asks None
        return torch.device("cpu")
    except Exception:
        return None


def _set_default_device(device: torch.device | None) -> None:
    # As torch starts, without a default: one that is named, even the processor, costs a little in every call.
    torch.set_default_device(None if device == torch.device("cpu") else device)


def _precision_places() -> list:
    """Where newer versions of torch keep how exactly numbers of 32 bits are multiplied."""
    backends = torch.backends
    places = [backends, getattr(backends.mkldnn, "matmul", None), backends.cuda.matmul]
    return [place for place in places if hasattr(place, "fp32_precision")]


def _matmul_precision() -> tuple:
    """One word, and that of each place; no word where the places differ, since torch then refuses to say it."""
    try:
        word = torch.get_float32_matmul_precision()
    except RuntimeError:
        word = None
    return word, tuple(place.fp32_precision for place in _precision_places())


def _set_matmul_precision(value: tuple) -> None:
    torch.set_float32_matmul_precision(value[0] or "highest")
    for place, word in zip(_precision_places(), value[1], strict=True):
        place.fp32_precision = word


EXACT = "highest", ("none",) * len(_precision_places())


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


BACKEND = ("backend", "backend_fallback")  # chosen when the first figure is made, which is no change


def _figure_settings() -> dict[str, Any]:
    # The plain dictionary below: what matplotlib puts on top checks each value and chooses a backend when it is read.
    return {name: value for name, value in dict.items(matplotlib.rcParams) if name not in BACKEND}


def _set_figure_settings(kept: dict[str, Any]) -> None:
    dict.update(matplotlib.rcParams, kept)


def _interrupt() -> Any:
    """What the stop button calls; only the main thread may set it."""
    return signal.getsignal(signal.SIGINT) if threading.current_thread() is threading.main_thread() else None


def _set_interrupt(handler: Any) -> None:
    if handler is not None:
        signal.signal(signal.SIGINT, handler)


def _environment() -> dict[str, str]:
    """Without those that torch sets for itself, when it compiles or is told to be deterministic."""
    return {name: value for name, value in os.environ.items() if not name.startswith("TORCH")}


def _set_environment(kept: dict[str, str]) -> None:
    for name in _environment().keys() - kept.keys():
        del os.environ[name]
    os.environ.update(kept)


def _tracing() -> tuple[Any, Any]:
    return sys.gettrace(), sys.getprofile()


def _set_tracing(value: tuple[Any, Any]) -> None:
    sys.settrace(value[0])
    sys.setprofile(value[1])


def _set_search_path(kept: list[str]) -> None:
    sys.path[:] = kept


def _set_logging(value: tuple[int, int]) -> None:
    logging.root.setLevel(value[0])
    logging.disable(value[1])


def _close_figures_beyond(kept: list[int]) -> None:
    for number in set(plt.get_fignums()) - set(kept):
        plt.close(number)


# Where a function can be replaced for everybody, what stood there when the course was loaded, and the one name that torch
# gives to another function itself, when it first compiles.
OWNERS = (
    torch, nn, F, torch.Tensor, torch.linalg, torch.autograd, nn.init, nn.Linear, math, np, np.linalg,
)  # fmt: skip
FOUND = [dict(vars(owner)) for owner in OWNERS]
REPLACED_BY_TORCH = "manual_seed"
GONE = object()


def _replaced() -> dict[tuple[Any, str], Any]:
    """What stands where the course found something else; GONE where nothing stands."""
    return {
        (owner, name): vars(owner).get(name, GONE)
        for owner, found in zip(OWNERS, FOUND, strict=True)
        for name in _other_names(owner, found)
    }


def _other_names(owner: Any, found: dict[str, Any]) -> list[str]:
    now, in_class = vars(owner), isinstance(owner, type)
    if all(map(operator.is_, now.values(), found.values())) and (len(now) == len(found) or not in_class):
        return []  # the usual case, and quick; what a module has beyond that it has imported
    names = [
        name for name, value in found.items() if now.get(name) is not value and name != REPLACED_BY_TORCH
    ]
    if in_class:  # a new name hides what stands in a class above
        names += [name for name in now.keys() - found.keys() if hasattr(owner.__base__, name)]
    return names


def _replace(wanted: dict[tuple[Any, str], Any]) -> None:
    for owner, name in _replaced().keys() | wanted.keys():
        value = wanted.get((owner, name), FOUND[OWNERS.index(owner)].get(name, GONE))
        if value is GONE:
            delattr(owner, name)
        else:
            setattr(owner, name, value)


NUMPY_ERRORS = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}  # as numpy starts
SETTINGS = (
    Setting("the default dtype", torch.get_default_dtype, torch.set_default_dtype, torch.float32),
    Setting("the default device", _default_device, _set_default_device, torch.device("cpu")),
    Setting("a mode that changes what functions do", function_modes, end_function_modes),  # a device is one
    Setting(
        "inference mode", torch.is_inference_mode_enabled, lambda value: None, False
    ),  # ends with `alike`
    Setting("grad mode", torch.is_grad_enabled, torch.set_grad_enabled, True),
    Setting(
        "anomaly mode",
        lambda: (torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()),
        lambda value: torch.autograd.set_detect_anomaly(*value),
        (False, True),
    ),
    Setting("deterministic mode", _deterministic, _set_deterministic, (False, False, True)),
    Setting("autocast", _autocast, _set_autocast, (False, torch.bfloat16)),
    Setting("the precision of matrix products", _matmul_precision, _set_matmul_precision, EXACT),
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
    Setting("what numpy does about errors", np.geterr, lambda value: np.seterr(**value), NUMPY_ERRORS),
    Setting("how numpy prints", np.get_printoptions, lambda value: np.set_printoptions(**value)),
    Setting("the working folder", _working_folder, _set_working_folder),
    Setting("the figures' style", _figure_settings, _set_figure_settings, slow=True),
    Setting("the recursion limit", sys.getrecursionlimit, sys.setrecursionlimit),
    Setting("what an interrupt does", _interrupt, _set_interrupt),
    Setting("the environment variables", _environment, _set_environment, slow=True),
    Setting("what is called for each line", _tracing, _set_tracing),
    Setting("where Python looks for modules", lambda: list(sys.path), _set_search_path),
    Setting("what is logged", lambda: (logging.root.level, logging.root.manager.disable), _set_logging),
    Setting("the open figures", plt.get_fignums, _close_figures_beyond),
    Setting("garbage collection", gc.isenabled, lambda on: gc.enable() if on else gc.disable()),
    Setting("a function of torch, numpy or math", _replaced, _replace, {}, slow=True),
)


class Left(list):
    """The names of the settings that a block left changed."""

    def __init__(self, start: list):
        super().__init__()
        self._start = start

    @contextmanager
    def alike(self) -> Iterator[None]:
        """A part of the block that starts as the others do, whatever they have changed."""
        with torch.inference_mode(False):
            try:
                yield
            finally:
                self.put_back(slow=False)

    def put_back(self, slow: bool = True) -> None:
        """Name what differs from the start, and put it back."""
        for setting, value in zip(SETTINGS, self._start, strict=True):
            if (slow or not setting.slow) and setting.read() != value:
                setting.write(value)
                self += [setting.name] * (setting.name not in self)


@contextmanager
def usual_settings() -> Iterator[Left]:
    """Run a block in the course's usual settings; after it, everything stands as it did before.

    Yields a list that is empty until the block ends and then names the settings that the block left changed. The random
    states and the warnings are put back as well, unnamed.
    """
    with _on_the_processor(), _random_states_kept(), warnings.catch_warnings():
        before = [setting.read() for setting in SETTINGS]
        start = [
            value if setting.usual is None else setting.usual
            for setting, value in zip(SETTINGS, before, strict=True)
        ]
        left = Left(start)
        try:
            _write(start, before)
            with torch.inference_mode(False):
                try:
                    yield left
                finally:
                    left.put_back()
        finally:
            _write(before, start)


def _on_the_processor():
    """A context that stands inside of another device's, such as ``with torch.device("meta")``; it costs a little in each call."""
    return nullcontext() if _default_device() == torch.device("cpu") else torch.device("cpu")


def _write(values: list, instead_of: list) -> None:
    """Write what differs: to set the number of threads anew, for one, is not cheap."""
    for setting, value, other in zip(SETTINGS, values, instead_of, strict=True):
        if value != other:
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
