"""What code sets is put back after it: each setting is changed in a block, and looked at by what it does."""

import gc
import logging
import math
import os
import random
import signal
import sys
import threading
import warnings

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from torch import nn
from torch.nn import functional as F
from torch.nn.modules import module as hooks_of_modules
from torch.optim.optimizer import register_optimizer_step_post_hook

from gradutils.course.settings import SETTINGS, usual_settings

CALLED = []


def hook_everything():
    def hook(*_):
        CALLED.append(True)

    hooks_of_modules.register_module_parameter_registration_hook(hook)
    hooks_of_modules.register_module_forward_pre_hook(hook)
    hooks_of_modules.register_module_forward_hook(hook, always_call=True)
    hooks_of_modules.register_module_full_backward_hook(hook)
    register_optimizer_step_post_hook(hook)


def hooks_called():
    CALLED.clear()
    layer = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    layer(torch.ones(1, 2, requires_grad=True)).sum().backward()
    optimizer.step()
    return len(CALLED)


def deterministic():
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.utils.deterministic.fill_uninitialized_memory,
    )


def be_deterministic():
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False


def cast_to_half():
    torch.set_autocast_enabled("cpu", True)
    torch.set_autocast_dtype("cpu", torch.float16)


def product():
    return (torch.ones(2, 2) @ torch.ones(2, 2)).dtype, torch.get_autocast_dtype("cpu")


def flush_denormals():
    if not torch.set_flush_denormal(True):
        pytest.skip("a processor that cannot")


def product_of_small_numbers():
    return (torch.tensor(1e-30) * torch.tensor(1e-10)).item()


def numpy_warns():
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        np.float64(1.0) / np.float64(0.0)
    return len(said)


ENTERED = []


def be_in_inference_mode():
    ENTERED.append(torch.inference_mode())  # one that nothing holds ends at once
    ENTERED[-1].__enter__()


def replace_functions():
    F.relu = torch.tanh
    torch.Tensor.square = torch.Tensor.abs  # it hides that of a class above
    del math.tau
    torch.linalg.norm = torch.sum
    nn.Linear.forward = lambda layer, x: x


def replaced_functions():
    functions = F.relu(torch.tensor(2.0)).item(), torch.tensor(-2.0).square().item(), hasattr(math, "tau")
    return (
        *functions,
        torch.linalg.norm(torch.tensor([3.0, 4.0])).item(),
        nn.Linear(1, 2)(torch.ones(1)).shape,
    )


def change_environment():
    os.environ["GRADUTILS_TEST"] = "set"
    del os.environ["PATH"]


GOES_WITH = {
    "inference mode": ("grad mode",),
    "a mode that changes what functions do": ("the default device",),
}


def trace_everything():
    sys.settrace(lambda *_: None)
    sys.setprofile(lambda *_: None)


def log_everything():
    logging.root.setLevel(logging.DEBUG)
    logging.disable(logging.INFO)


# A setting: how to change it, and where the change is seen.
def not_now(*_):
    """What an interrupt does after a change: neither as ever nor nothing, which is as ever behind a shell's `&`."""


CHANGES = {
    "a mode that changes what functions do": (
        lambda: torch.device("meta").__enter__(),
        lambda: torch.empty(1).device.type,
    ),
    "what is called for each line": (trace_everything, lambda: (sys.gettrace(), sys.getprofile())),
    "where Python looks for modules": (lambda: sys.path.insert(0, "elsewhere"), lambda: sys.path[0]),
    "what is logged": (log_everything, lambda: (logging.root.level, logging.root.manager.disable)),
    "the open figures": (plt.figure, plt.get_fignums),
    "the default dtype": (lambda: torch.set_default_dtype(torch.float64), lambda: torch.ones(1).dtype),
    "the default device": (lambda: torch.set_default_device("meta"), lambda: torch.empty(1).device.type),
    "grad mode": (
        lambda: torch.set_grad_enabled(False),
        lambda: torch.ones(1, requires_grad=True).exp().requires_grad,
    ),
    "inference mode": (be_in_inference_mode, lambda: torch.ones(1).is_inference()),
    "anomaly mode": (
        lambda: torch.autograd.set_detect_anomaly(True, check_nan=False),
        lambda: (torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()),
    ),
    "deterministic mode": (be_deterministic, deterministic),
    "autocast": (cast_to_half, product),
    "the precision of matrix products": (
        lambda: torch.set_float32_matmul_precision("medium"),
        torch.get_float32_matmul_precision,
    ),
    "what becomes of denormal numbers": (flush_denormals, product_of_small_numbers),
    "the number of threads": (lambda: torch.set_num_threads(3), torch.get_num_threads),
    "the hooks of all modules and optimizers": (hook_everything, hooks_called),
    "how torch prints": (lambda: torch.set_printoptions(precision=1), lambda: str(torch.tensor(1 / 3))),
    "how often torch warns": (lambda: torch.set_warn_always(True), torch.is_warn_always_enabled),
    "what numpy does about errors": (lambda: np.seterr(all="ignore"), numpy_warns),
    "how numpy prints": (lambda: np.set_printoptions(precision=1), lambda: str(np.array([1 / 3]))),
    "the working folder": (lambda: os.chdir(os.path.dirname(os.getcwd())), os.getcwd),
    "the figures' style": (lambda: plt.rc("lines", linewidth=9), lambda: plt.Line2D([], []).get_linewidth()),
    "the recursion limit": (lambda: sys.setrecursionlimit(5000), sys.getrecursionlimit),
    "what an interrupt does": (
        lambda: signal.signal(signal.SIGINT, not_now),
        lambda: signal.getsignal(signal.SIGINT),
    ),
    "the environment variables": (
        change_environment,
        lambda: (os.environ.get("GRADUTILS_TEST"), os.environ.get("PATH")),
    ),
    "garbage collection": (gc.disable, gc.isenabled),
    "a function of torch, numpy or math": (replace_functions, replaced_functions),
}


def test_each_setting_is_tried():
    assert set(CHANGES) == {setting.name for setting in SETTINGS}


@pytest.mark.parametrize("name", CHANGES)
def test_a_setting_is_put_back_and_named(name):
    change, look = CHANGES[name]
    before = look()
    with usual_settings() as changed:
        assert look() == before
        assert not changed
        change()
        assert look() != before
    assert look() == before
    assert set(changed) == {name, *GOES_WITH.get(name, ())}


@pytest.mark.parametrize("setting", [s for s in SETTINGS if s.usual is not None], ids=lambda s: s.name)
def test_a_block_starts_from_what_is_usual_and_gives_back_what_was_found(setting):
    change, look = CHANGES[setting.name]
    usual = look()
    with usual_settings():  # puts the test's own change back
        change()
        found = look()
        with usual_settings() as changed:
            assert look() == usual
        assert look() == found != usual
        assert not changed


def test_hooks_of_another_kind_can_be_registered_afterwards():
    with usual_settings():
        hook_everything()
    with usual_settings():
        hooks_of_modules.register_module_backward_hook(lambda *_: None)  # torch takes one kind or the other


def test_a_hook_that_was_there_stays():
    handle = hooks_of_modules.register_module_forward_hook(lambda *_: CALLED.append(True))
    with usual_settings():
        hooks_of_modules._global_forward_hooks.clear()
    assert hooks_called() == 1
    handle.remove()
    assert hooks_called() == 0


def test_a_default_device_is_as_if_it_had_never_been_named():
    with usual_settings():
        torch.set_default_device("meta")
    assert torch._GLOBAL_DEVICE_CONTEXT.device_context is None


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a device that is not there")
def test_a_default_device_that_is_not_there_is_put_back_as_well():
    with usual_settings() as changed:
        torch.set_default_device("cuda")
    assert torch.empty(1).device.type == "cpu"
    assert changed == ["the default device"]


@pytest.mark.parametrize("draw", [lambda: torch.rand(1).item(), random.random, np.random.random])
def test_random_states_go_on_as_if_nothing_had_been_drawn(draw):
    torch.manual_seed(0), random.seed(0), np.random.seed(0)
    wanted = draw()
    torch.manual_seed(0), random.seed(0), np.random.seed(0)
    with usual_settings() as changed:
        draw()
    assert draw() == wanted
    assert not changed


def test_warnings_are_put_back():
    before = list(warnings.filters)
    with usual_settings():
        warnings.simplefilter("ignore")
        assert warnings.filters != before
    assert warnings.filters == before


def test_inference_mode_neither_comes_in_nor_goes_out():
    with torch.inference_mode():
        with usual_settings():
            assert not torch.is_inference_mode_enabled()
            assert torch.ones(1, requires_grad=True).exp().requires_grad
        assert torch.is_inference_mode_enabled()
    with usual_settings():
        entered = torch.inference_mode()
        entered.__enter__()
    assert not torch.is_inference_mode_enabled()
    assert torch.is_grad_enabled()


def test_a_folder_that_is_gone_is_no_error(tmp_path):
    folder = os.getcwd()
    gone = tmp_path / "gone"
    with usual_settings():
        gone.mkdir()
        os.chdir(gone)
        with usual_settings():
            os.chdir(folder)
            gone.rmdir()
        gone.mkdir()
        os.chdir(gone)
        gone.rmdir()
        with usual_settings() as changed:
            pass
        assert not changed
    assert os.getcwd() == folder


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_goes_through_and_leaves_nothing(error):
    def block():
        with usual_settings():
            torch.set_grad_enabled(False)
            raise error

    with pytest.raises(error):
        block()
    assert torch.is_grad_enabled()


def test_each_part_of_a_block_starts_alike():
    with usual_settings() as changed:
        with changed.alike():
            torch.set_grad_enabled(False)
            be_in_inference_mode()
        assert torch.is_grad_enabled()
        assert not torch.is_inference_mode_enabled()
        assert changed == ["inference mode", "grad mode"]
        with changed.alike():
            torch.set_grad_enabled(False)
    assert changed == ["inference mode", "grad mode"]


def test_what_is_not_called_a_change():
    with usual_settings() as changed:
        matplotlib.rcParams["backend"]
        torch.compile(torch.sin, backend="eager")(torch.ones(1))  # torch replaces a function of its own then
    assert not changed


def test_another_thread_than_the_main_one_has_the_settings_too():
    seen = []

    def block():
        with usual_settings() as changed:
            torch.set_grad_enabled(False)
        seen.append((changed, torch.is_grad_enabled()))

    thread = threading.Thread(target=block)
    thread.start()
    thread.join()
    assert seen == [(["grad mode"], True)]


def test_a_precision_that_torch_cannot_name_in_one_word_harms_nothing():
    place = getattr(torch.backends.mkldnn, "matmul", None)
    if not hasattr(place, "fp32_precision"):
        pytest.skip("an older torch")
    before = place.fp32_precision
    try:
        place.fp32_precision = "bf16"
        with usual_settings() as left:
            assert torch.get_float32_matmul_precision() == "highest"
        assert (left, place.fp32_precision) == ([], "bf16")
    finally:
        place.fp32_precision = before


def test_a_device_that_stands_around_a_block_is_kept_out_of_it():
    with torch.device("meta"):
        with usual_settings() as left:
            assert not torch.ones(1).is_meta
        assert torch.ones(1).is_meta
    assert left == []
