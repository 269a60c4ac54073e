"""The page of a run, redrawn in a notebook while it trains: one output, updated in place."""

import sys
import time
import warnings
from base64 import b64encode

from gradutils.recorder.arguments import check_whole_number
from gradutils.recorder.recording import Recording

SMALL = 80  # dots per inch: half of the time goes into them


class Live:
    """One figure in a notebook, drawn again after ``after_step`` where that is due; ``finish`` draws the last state.

    Drawing takes at most ``budget`` of the time since it began, however often ``every`` asks for it. An error in it is
    a warning, and the end of the drawing: training goes on.
    """

    def __init__(self, recorder, every: int, budget: float):
        # Here and not above: the recorder asks for torch and numpy only.
        from IPython.display import display

        from gradutils.plots import picture_of

        self._display, self._picture_of = display, picture_of
        self._recorder, self._every, self._budget = recorder, every, budget
        self._handle, self._rests_until, self._drawn, self._failed = None, 0.0, -1, False

    def after_step(self, count: int) -> None:
        """Draw, if ``count`` steps, a multiple of ``every``, have been taken and the last drawing is long enough ago."""
        if count % self._every == 0 and time.perf_counter() >= self._rests_until:
            self._draw()

    def finish(self) -> None:
        """Draw what has been recorded since the last drawing."""
        self._draw()

    def _draw(self) -> None:
        if self._failed:
            return
        started = time.perf_counter()
        try:
            recording = self._recorder.recording
            if len(recording) and recording.steps[-1] != self._drawn:
                self._show(recording)
                self._drawn = int(recording.steps[-1])
        except Exception as error:  # whatever a drawing or a frontend raises, a run of days is worth more
            self._failed = True
            warnings.warn(f"the figure is not drawn any more: {type(error).__name__}: {error}", stacklevel=4)
        now = time.perf_counter()
        self._rests_until = now + (now - started) * (1 / self._budget - 1)

    def _show(self, recording: Recording) -> None:
        picture, words = self._picture_of(recording, SMALL)
        data = {"image/png": b64encode(picture).decode(), "text/plain": words}
        alt = {"image/png": {"alt": words}}
        if self._handle is None:
            self._handle = self._display(data, metadata=alt, raw=True, display_id=True)
        else:
            self._handle.update(data, metadata=alt, raw=True)


class Nothing:
    """What stands for the figure where nobody would see it."""

    def after_step(self, count: int) -> None: ...

    def finish(self) -> None: ...


def live(recorder, every: int = 50, budget: float = 0.05) -> Live | Nothing:
    """The page of a recorder, drawn in this notebook's cell at most each ``every`` steps and for ``budget`` of the time.

    Where there is no notebook it says so once, and nothing is drawn. Raises ValueError for options out of range,
    ModuleNotFoundError where there is a notebook and no matplotlib.
    """
    check_whole_number("every", every, 1)
    if not 0 < budget <= 1:
        raise ValueError(f"budget must be above 0 and at most 1; got {budget!r}")
    if not in_kernel():
        print("live: this is no notebook, so no figure is drawn; plot_recording(recorder) draws one.")
        return Nothing()
    return Live(recorder, every, budget)


def in_kernel() -> bool:
    """Whether a notebook's kernel runs this: it can change an output that it has sent."""
    ipython = sys.modules.get("IPython")  # a kernel has imported it
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")
