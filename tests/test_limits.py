"""A limit in time ends whatever can be written in Python, in every thread, and nothing but the block."""

import contextlib
import sys
import threading
import time

import pytest
import torch

from gradutils.course.limits import TooLongError, within


def loops():
    while True:
        pass


def catches_everything():
    while True:
        try:
            torch.ones(3).sum()
        except:  # noqa: E722
            continue


def catches_around_a_long_loop():
    while True:
        try:
            for _ in range(10**9):
                pass
        except BaseException:
            continue


def catches_around_a_call_of_c():
    while True:
        try:
            time.sleep(0.02)
        except:  # noqa: E722
            continue


def makes_another_error_of_it():
    try:
        loops()
    except BaseException as error:
        raise ValueError("mine") from error


def returns_after_it():
    try:
        loops()
    except BaseException:
        return 1


def sleeps():
    time.sleep(0.4)


ENDLESS = [loops, catches_everything, catches_around_a_long_loop, catches_around_a_call_of_c]
ENDLESS += [makes_another_error_of_it, returns_after_it, sleeps]


def in_another_thread(function):
    found = []

    def run():
        try:
            function()
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    raise found[0]


@pytest.mark.parametrize("block", ENDLESS)
@pytest.mark.parametrize("run", [lambda function: function(), in_another_thread], ids=["main", "another"])
def test_a_block_is_stopped(block, run):
    tracing, said = sys.gettrace(), []
    began = time.perf_counter()
    with pytest.raises(TooLongError):
        run(lambda: within(0.2, block, said.append, patience=0.1))
    assert time.perf_counter() - began > 0.2
    assert len(said) == 1
    assert "Still running after 0.1 seconds. It is stopped after 0.2" in said[0]
    assert sys.gettrace() is tracing
    time.sleep(0.15)  # nothing arrives afterwards


def test_a_block_in_time_is_left_alone():
    said = []
    assert within(5, lambda: 7, said.append) == 7
    with pytest.raises(ZeroDivisionError):
        within(5, lambda: 1 / 0, said.append)
    assert not said


def test_many_blocks_that_end_at_their_limit_leave_nothing_behind():
    for _ in range(40):
        with contextlib.suppress(TooLongError):
            within(0.02, lambda: time.sleep(0.02))
    time.sleep(0.15)
    assert threading.active_count() < 10


def test_an_interrupt_goes_through():
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        within(5, interrupted)
