"""Hooks as they stand on a model: they do not keep the recorder alive, are not carried along by copies, and cost what they cost."""

import weakref
from functools import wraps
from time import perf_counter

import torch


def timed(method):
    """What a hook takes is the recorder's own time."""

    @wraps(method)
    def hook(self, *args, **kwargs):
        if torch.compiler.is_compiling():
            return
        started = perf_counter()
        try:
            method(self, *args, **kwargs)
        finally:
            self._own += perf_counter() - started

    return hook


class Asleep:
    """What stands for a recorder, or for its hooks, in a copied or pickled model."""

    def __call__(self, *_) -> None: ...

    def _begin(self, *_) -> None: ...

    def _see(self, *_) -> None: ...

    def _end(self, *_) -> None: ...


class Ear:
    """A hook that does not keep the recorder alive, and that copies of the model do not carry along."""

    def __init__(self, method, *first):
        self._method, self._first = weakref.WeakMethod(method), first

    def __call__(self, *given) -> None:
        method = self._method()
        if method is not None:
            method(*self._first, *given)

    def __deepcopy__(self, memo) -> Asleep:
        return Asleep()

    def __reduce__(self):
        return Asleep, ()
