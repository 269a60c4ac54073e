"""A limit in time that works on every platform and in every thread, and that no ``except`` of the block's own defeats."""

import ctypes
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

PATIENCE = 10.0  # seconds until it is said that a block still runs
AGAIN = 0.05  # seconds until a block that goes on is stopped once more
GENTLY = 6  # so often; then at once again, with threads that take turns fast, until the block gives in
STUBBORN = 5.0  # seconds of that until it is said that it does not


class TooLongError(BaseException):
    """The time of a block is over. No Exception: what the block itself catches should not be this."""

    def __init__(self, *args):
        super().__init__(*args)
        # A bare `except` in a loop eats this, and the loop goes on: the next line of the block raises once more.
        frame = sys._getframe(1)
        if _runs_in(frame):
            sys.settrace(_once_more)
            while frame.f_code is not _inside.__code__:
                frame.f_trace = _once_more
                frame = frame.f_back


def _once_more(frame: FrameType, event: str, arg) -> None:
    if _runs_in(frame):
        raise TooLongError


def _inside(block: Callable[[], Any]) -> Any:
    """The frame that marks a block: what stands above it on the stack may be stopped, and nothing else."""
    return block()


def within(
    seconds: float, block: Callable[[], Any], tell: Callable[[str], Any] = print, patience: float = PATIENCE
) -> Any:
    """What ``block()`` returns; TooLongError where it has not ended after so many seconds.

    After ``patience`` seconds ``tell`` is given a sentence, from another thread. A call that Python cannot look into, such
    as time.sleep, is stopped when it returns.
    """
    me, before, lock = threading.get_ident(), sys.gettrace(), threading.Lock()
    turns = sys.getswitchinterval()
    ended, stopped = threading.Event(), threading.Event()

    def watch():
        if ended.wait(min(patience, seconds)):
            return
        if patience < seconds:
            tell(
                f"Still running after {patience:g} seconds. It is stopped after {seconds:g}; "
                "the stop button (■) does so at once."
            )
            if ended.wait(seconds - patience):
                return
        stopped.set()
        tries, begun, said = 0, time.monotonic(), False
        while not ended.wait(AGAIN if tries < GENTLY or said else 0):
            tries += 1
            if tries == GENTLY:
                sys.setswitchinterval(1e-6)
            if not said and time.monotonic() - begun > STUBBORN:
                said = True
                tell("It catches what should stop it: press the stop button (■), or restart the kernel.")
            with lock:  # the block does not end in between
                if ended.is_set() or not _runs_in(sys._current_frames().get(me)):
                    return
                _raise_in(me, TooLongError)

    threading.Thread(target=watch, daemon=True).start()
    try:
        value = _inside(block)
    finally:
        if stopped.is_set():
            sys.settrace(before)
            sys.setswitchinterval(turns)
        try:
            with lock:
                ended.set()
            for _ in range(2):
                pass  # Python looks here for what has been sent and has not arrived
        except TooLongError:
            ended.set()
    if stopped.is_set():  # the block caught what was to stop it
        raise TooLongError
    return value


def _runs_in(frame: FrameType | None) -> bool:
    """Whether a frame stands inside of a block with a limit."""
    while frame is not None and frame.f_code is not _inside.__code__:
        frame = frame.f_back
    return frame is not None


def _raise_in(thread: int, error: type) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(error))
